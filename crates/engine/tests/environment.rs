//! Where a run was computed: kept as a memo, and missed by nobody.

#![allow(clippy::unwrap_used)]

use thrifty_engine::Cache;
use thrifty_engine::catalog::{NewRun, RunId};
use thrifty_engine::environment::Environment;

fn environment(python: &str) -> Environment {
    [("python", python), ("naïve", "1.0 \n")].map(|(name, fact)| (name.into(), fact.into())).into()
}

#[test]
fn each_run_has_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(directory.path()).unwrap();
    let runs: Vec<_> =
        (0..2).map(|_| cache.recorder().begin(&NewRun::default()).unwrap()).collect();
    for (run, python) in runs.iter().zip(["3.11.1", "3.12.0"]) {
        cache.remember_environment(run, &environment(python));
    }
    drop(cache);
    let again = Cache::open(directory.path()).unwrap();
    assert_eq!(again.environment_of(&runs[0]), Some(environment("3.11.1")));
    assert_eq!(again.environment_of(&runs[1]), Some(environment("3.12.0")));
    again.remember_environment(&runs[0], &environment("3.13.0"));
    assert_eq!(again.environment_of(&runs[0]), Some(environment("3.13.0")));
}

#[test]
fn one_that_is_lost_or_damaged_is_unknown() {
    let cache = Cache::in_memory().unwrap();
    let run = RunId("k3f9".to_owned());
    assert_eq!(cache.environment_of(&run), None);
    let damaged: &[u8] = b"\xc1 no message";
    cache.catalog().remember("environment", &[(run.0.as_bytes(), damaged)]).unwrap();
    assert_eq!(cache.environment_of(&run), None);
}
