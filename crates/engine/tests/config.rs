//! Where a value comes from, and what is said of a wrong one.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use thrifty_engine::config::{ConfigError, Executor, Settings, Source};
use thrifty_engine::units::{parse_duration, parse_size, show_duration, show_size};
use thrifty_engine::{Lease, Mode, Seed};

fn find(directory: &Path, variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let all: HashMap<_, _> = variables.iter().copied().collect();
    Settings::find(directory, &|name| all.get(name).map(OsString::from))
}

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn wrong(text: &str) -> String {
    let root = project(&[("thrifty.toml", text)]);
    let said = find(root.path(), &[]).unwrap_err().to_string();
    said.replace(&format!("{}/", root.path().display()), "")
}

#[test]
fn without_anything_there_are_defaults() {
    let root = project(&[]);
    let settings = find(root.path(), &[]).unwrap();
    assert!(settings.home.value.ends_with("thrifty"));
    assert_eq!(settings.project.value, "default");
    assert_eq!(settings.domain.value, "development");
    assert_eq!(settings.executor.value, Executor::Threads);
    assert!(settings.observe.value);
    let Settings { cache, workers, budget, .. } = &settings;
    assert_eq!((cache.value, workers.value, budget.value), (None, None, None));
    let sources = [&settings.home.source, &settings.project.source, &settings.budget.source];
    assert!(sources.iter().all(|source| **source == Source::Default));
}

#[test]
fn a_variable_beats_the_file_and_the_file_beats_the_default() {
    let file = "domain = 'staging'\nworkers = 3\n\ncache = \"read-only\"\nobserve = false\n";
    let root = project(&[("thrifty.toml", file)]);
    let settings = find(root.path(), &[("THRIFTY_WORKERS", "5"), ("THRIFTY_DOMAIN", "")]).unwrap();
    assert_eq!(settings.workers.value, Some(5));
    assert_eq!(settings.workers.source, Source::Variable("THRIFTY_WORKERS"));
    assert_eq!(settings.domain.value, "staging", "an empty variable is unset");
    assert_eq!(settings.cache.value, Some(Mode::ReadOnly));
    assert!(!settings.observe.value);
    let path = root.path().join("thrifty.toml");
    assert_eq!(settings.cache.source, Source::File(path.clone(), 4));
    assert_eq!(settings.cache.source.to_string(), format!("{}:4", path.display()));
}

#[test]
fn every_variable_is_read() {
    let root = project(&[]);
    let variables = [
        ("THRIFTY_HOME", "/scratch/cache"),
        ("THRIFTY_PROJECT", "flüge"),
        ("THRIFTY_DOMAIN", "production"),
        ("THRIFTY_CACHE", "off"),
        ("THRIFTY_OBSERVE", "0"),
        ("THRIFTY_WORKERS", "2"),
        ("THRIFTY_EXECUTOR", "processes"),
        ("THRIFTY_BUDGET", "20GB"),
        ("THRIFTY_PROJECT_BUDGET", "5GB"),
        ("THRIFTY_SEED", "7"),
        ("THRIFTY_LEASE", "1m"),
    ];
    let Settings {
        home,
        project,
        domain,
        cache,
        observe,
        executor,
        workers,
        budget,
        project_budget,
        seed,
        lease,
    } = find(root.path(), &variables).unwrap();
    assert_eq!(home.value, Path::new("/scratch/cache"));
    assert_eq!((project.value.as_str(), domain.value.as_str()), ("flüge", "production"));
    assert!(!observe.value);
    assert_eq!((cache.value, executor.value), (Some(Mode::Off), Executor::Processes));
    assert_eq!((workers.value, budget.value), (Some(2), Some(20_000_000_000)));
    assert_eq!(project_budget.value, Some(5_000_000_000));
    assert_eq!(seed.value, Seed::new(7));
    assert_eq!(lease.value.length(), Duration::from_secs(60));
}

#[test]
fn a_lease_lasts_seconds_and_outlives_two_lost_heartbeats() {
    let root = project(&[]);
    let lease = |text| find(root.path(), &[("THRIFTY_LEASE", text)]);
    assert_eq!(find(root.path(), &[]).unwrap().lease.value, Lease::default());
    for text in ["1s", "1.5s", "10s", "60s", "1m"] {
        let lease = lease(text).unwrap().lease.value;
        assert!(lease.length() >= lease.heartbeat() * 3 && !lease.heartbeat().is_zero());
    }
    for text in ["0s", "0.9s", "61s", "10m", "10", "-5s", "for ever"] {
        let said = lease(text).unwrap_err().to_string();
        let told = "`lease` must be a duration from `1s` to `1m`, not";
        assert!(said.contains(told) && said.contains(text), "{said}");
    }
}

#[test]
fn the_nearest_file_that_configures_thrifty_is_read_alone() {
    let other = "[tool.ruff]\nline-length = 100\n";
    let root = project(&[
        ("pyproject.toml", "[tool.thrifty]\nbudget = '1GB'\ndomain = 'outer'\n"),
        ("package/pyproject.toml", other),
        ("package/deep/x", ""),
        ("own/thrifty.toml", "domain = 'inner'\n"),
    ]);
    let deep = find(&root.path().join("package/deep"), &[]).unwrap();
    assert_eq!(deep.domain.value, "outer");
    assert_eq!(deep.project.value, "package", "the nearest root names the project");
    let own = find(&root.path().join("own"), &[]).unwrap();
    assert_eq!((own.domain.value.as_str(), own.budget.value), ("inner", None));
}

#[test]
fn a_file_of_another_tool_may_be_broken() {
    let root = project(&[("pyproject.toml", "[tool.other\n")]);
    assert_eq!(find(root.path(), &[]).unwrap().domain.value, "development");
}

#[test]
fn a_home_in_a_file_is_relative_to_the_file() {
    let root = project(&[("thrifty.toml", "home = '.cache'\n"), ("deep/x", "")]);
    let settings = find(&root.path().join("deep"), &[]).unwrap();
    assert_eq!(settings.home.value, root.path().join(".cache"));
    let deep = root.path().join("deep");
    assert_eq!(find(&deep, &[("THRIFTY_HOME", "c")]).unwrap().home.value, deep.join("c"));
}

#[test]
fn a_wrong_field_or_value_is_named_with_its_line_and_the_way_out() {
    let said = [
        (
            "\nprojct = 'x'\n",
            "thrifty.toml:2: unknown field `projct`; did you mean `project` or `project_budget`?",
        ),
        (
            "workers = 'many'",
            "thrifty.toml:1: `workers` must be a whole number from 1 to 4096, not \"many\"",
        ),
        (
            "workers = 0",
            "thrifty.toml:1: `workers` must be a whole number from 1 to 4096, not \"0\"",
        ),
        (
            "#\n#\nbudget = 20",
            "thrifty.toml:3: `budget` must be a size such as `500MB` or `20GB`, not the integer 20",
        ),
        (
            "cache = true",
            "thrifty.toml:1: `cache` must be `on`, `refresh`, `read-only` or `off`, not the boolean true",
        ),
        (
            "project = 'a/b'",
            "thrifty.toml:1: `project` must be a name of 1 to 100 characters without `/` and control characters, not \"a/b\"",
        ),
        ("observe = 'no'", "thrifty.toml:1: `observe` must be `true` or `false`, not \"no\""),
        ("observe = 1", "thrifty.toml:1: `observe` must be `true` or `false`, not the integer 1"),
        (
            "executor = ['threads']",
            "thrifty.toml:1: `executor` must be `threads` or `processes`, not the array ['threads']",
        ),
    ];
    for (text, expected) in said {
        assert_eq!(wrong(text), expected);
    }
    for seed in ["-1", "1.5", "true", "'x'", "''", "9223372036854775808", "0x10"] {
        let said = wrong(&format!("seed = {seed}"));
        let start =
            "thrifty.toml:1: `seed` must be a whole number from 0 to 9223372036854775807, not ";
        assert!(said.starts_with(start), "{said}");
    }
    assert!(wrong("a = 1\nb = \n").starts_with("thrifty.toml:2: "));
}

#[test]
fn a_wrong_variable_is_named() {
    let root = project(&[]);
    let said = find(root.path(), &[("THRIFTY_CACHE", "yes")]).unwrap_err().to_string();
    let expected =
        "THRIFTY_CACHE: `cache` must be `on`, `refresh`, `read-only` or `off`, not \"yes\"";
    assert_eq!(said, expected);
    let bytes = || OsString::from_vec(vec![0xff]);
    let binary = Settings::find(root.path(), &|name| (name == "THRIFTY_PROJECT").then(bytes));
    assert!(binary.unwrap_err().to_string().contains("not UTF-8"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_a_default() {
    let root = project(&[]);
    fs::create_dir(root.path().join("thrifty.toml")).unwrap();
    assert!(matches!(find(root.path(), &[]), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn durations_and_sizes_are_read_or_refused() {
    let seconds = |text: &str| parse_duration(text).map(|duration| duration.as_secs_f64()).ok();
    assert_eq!(seconds("7d"), Some(604_800.0));
    assert_eq!(seconds("1w 1h30m"), Some(610_200.0));
    assert_eq!(seconds("1.5s"), Some(1.5));
    assert_eq!(seconds("250ms"), Some(0.25));
    for text in ["", "7", "d", "-1d", "1y", "1 2d", "1dd", "1..2s", "99999999999999999999w"] {
        assert_eq!(seconds(text), None, "{text:?}");
    }
    assert_eq!(parse_size("20GB"), Ok(20_000_000_000));
    assert_eq!(parse_size("1.5GiB"), Ok(1_610_612_736));
    assert_eq!(parse_size("0B"), Ok(0));
    for text in ["", "20", "GB", "-1GB", "1 XB", "1e3GB", "99999999999TB"] {
        assert!(parse_size(text).is_err(), "{text:?}");
    }
}

#[test]
fn durations_and_sizes_are_shown_for_people() {
    let shown = [340, 12_000, 1_500_000, 200_000_000, 7_500_000_000, 187_200_000_000]
        .map(|micros| show_duration(Duration::from_micros(micros)));
    assert_eq!(shown, ["340 µs", "12 ms", "1.5 s", "3 m 20 s", "2 h 5 m", "2 d 4 h"]);
    let shown = [17, 1_500, 20_000_000_000, u64::MAX].map(show_size);
    assert_eq!(shown, ["17 B", "1.5 kB", "20.0 GB", "18446744.1 TB"]);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,40}") {
        let _ = (parse_duration(&text), parse_size(&text));
        let root = project(&[("thrifty.toml", &text)]);
        let _ = find(root.path(), &[("THRIFTY_BUDGET", &text), ("THRIFTY_PROJECT", &text)]);
    }
}
