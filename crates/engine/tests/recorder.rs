//! The history of runs: nothing is lost between recording and flushing, and order is kept.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::Duration;

use thrifty_engine::Cache;
use thrifty_engine::catalog::{EntryId, NewRun, Node, RunFilter, RunId, RunStatus};
use thrifty_engine::process;

fn node(number: u32, outcome: &str) -> Node {
    Node {
        number,
        operation: "clean".to_owned(),
        key: None,
        ingredients: None,
        outcome: outcome.to_owned(),
        detail: String::new(),
        reason: String::new(),
        rule: String::new(),
        entry: None,
        source: None,
        output_digest: None,
        count: 1,
        at: 1,
        spent: Duration::ZERO,
        saved: Duration::ZERO,
        upstream: Vec::new(),
        takes: Vec::new(),
        parent: None,
    }
}

fn recorded(cache: &Cache, run: &RunId) -> Vec<(u32, String)> {
    let nodes = cache.catalog().nodes(run).unwrap();
    nodes.into_iter().map(|it| (it.number, it.outcome)).collect()
}

#[test]
fn everything_recorded_is_there_after_a_flush_and_later_nodes_replace_earlier_ones() {
    let cache = Cache::in_memory().unwrap();
    let recorder = cache.recorder();
    let run = recorder.begin(&NewRun::default()).unwrap();
    let other = recorder.begin(&NewRun::default()).unwrap();
    let many: Vec<_> = (0..1000).map(|number| node(number, "computed")).collect();
    recorder.nodes(&run, many);
    recorder.nodes(&other, vec![node(0, "computed")]);
    recorder.nodes(&run, vec![node(7, "failed")]);
    recorder.flush();
    let found = recorded(&cache, &run);
    assert_eq!(found.len(), 1000);
    assert_eq!(found[7], (7, "failed".to_owned()));
    assert_eq!(found[8], (8, "computed".to_owned()));
    assert_eq!(recorded(&cache, &other), [(0, "computed".to_owned())]);
}

#[test]
fn a_flush_waits_for_what_other_threads_recorded_before() {
    let cache = Cache::in_memory().unwrap();
    let run = cache.recorder().begin(&NewRun::default()).unwrap();
    std::thread::scope(|threads| {
        for part in 0..4 {
            let (cache, run) = (&cache, &run);
            threads.spawn(move || {
                for number in part * 100..part * 100 + 100 {
                    cache.recorder().nodes(run, vec![node(number, "computed")]);
                    cache.recorder().flush();
                    assert!(recorded(cache, run).iter().any(|it| it.0 == number));
                }
            });
        }
    });
    assert_eq!(recorded(&cache, &run).len(), 400);
}

#[test]
fn lone_hits_of_an_entry_are_one_node_of_a_run_that_ends_at_the_close() {
    let cache = Cache::in_memory().unwrap();
    let recorder = cache.recorder();
    recorder.name_lone("notebook");
    for entry in [1, 2, 1, 1] {
        let described = || Node { entry: Some(EntryId(entry)), ..node(0, "hit (local)") };
        recorder.lone_hit(EntryId(entry), Duration::from_secs(2), Duration::ZERO, described);
    }
    recorder.close();
    let runs = cache.catalog().runs(None, &RunFilter::default()).unwrap();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    assert_eq!((run.name.as_str(), run.status), ("notebook", RunStatus::Succeeded));
    let nodes = cache.catalog().nodes(&run.id).unwrap();
    let counted: Vec<_> = nodes.iter().map(|it| (it.entry, it.count, it.saved)).collect();
    assert_eq!(
        counted,
        [
            (Some(EntryId(1)), 3, Duration::from_secs(6)),
            (Some(EntryId(2)), 1, Duration::from_secs(2)),
        ]
    );
}

#[test]
fn many_lone_hits_are_written_when_that_is_asked_for() {
    let cache = Cache::in_memory().unwrap();
    let recorder = cache.recorder();
    let hit = |entry| {
        let described = || Node { entry: Some(EntryId(entry)), ..node(0, "hit (local)") };
        recorder.lone_hit(EntryId(entry), Duration::ZERO, Duration::ZERO, described)
    };
    assert!((0..4096).all(|entry| !hit(entry)));
    assert!(hit(5) && hit(4096));
    let begun = || cache.catalog().runs(None, &RunFilter::default()).unwrap();
    assert_eq!((begun().len(), recorder.lone_begun()), (0, None), "a hit asks nothing");
    recorder.write_lone_hits();
    assert!(!hit(7));
    recorder.close();
    let [run] = &begun()[..] else { panic!("not one run") };
    let counts = cache.catalog().nodes(&run.id).unwrap().into_iter().map(|it| it.count);
    assert_eq!(counts.sum::<u64>(), 4099);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_process_was_killed_is_lost() {
    let cache = Cache::in_memory().unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let its = process::identity_of(child.id()).unwrap();
    let own = cache.recorder().begin(&NewRun::default()).unwrap();
    let begin = |process: &str| {
        let run = NewRun { process: process.to_owned(), ..NewRun::default() };
        cache.catalog().begin_run(cache.scope(), &run).unwrap()
    };
    let (its_run, ended) = (begin(&its), begin(&its));
    cache.catalog().finish_run(&ended, RunStatus::Succeeded).unwrap();
    let elsewhere = begin(&its.replace("pid:[", "pid:[9"));
    let before_the_boot = begin(&format!("0{its}"));
    let unknown = begin("7");
    let status = |id: &RunId| {
        let filter = RunFilter { id_prefix: Some(id.0.clone()), ..RunFilter::default() };
        let run = cache.catalog().runs(None, &filter).unwrap().remove(0);
        process::judged(run).status
    };
    assert_eq!((status(&own), status(&its_run)), (RunStatus::Running, RunStatus::Running));
    child.kill().unwrap();
    child.wait().unwrap();
    let all = [own, its_run, ended, elsewhere, before_the_boot, unknown];
    let expected = [
        RunStatus::Running,
        RunStatus::Lost,
        RunStatus::Succeeded,
        RunStatus::Running,
        RunStatus::Lost,
        RunStatus::Running,
    ];
    assert_eq!(all.map(|id| status(&id)), expected);
}
