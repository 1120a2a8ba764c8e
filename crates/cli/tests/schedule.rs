//! `thrifty schedule`: when a file runs, what other schedulers are told, and a tick that runs at once.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::fs;
use std::process::{Command, Output};

struct Project(tempfile::TempDir);

impl Project {
    fn new(schedule: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        let text = format!(
            "schedule: {schedule}\nparams: {{name: a}}\noperations:\n  still: {{run: 'true'}}\n  dated: {{run: 'echo {{{{ tick.year }}}} {{{{ params.name }}}} > o', outputs: {{o: o}}}}\noutputs: {{o: {{from: dated.o, to: o}}}}\n"
        );
        fs::write(project.0.path().join("nightly 100%.yaml"), text).unwrap();
        project
    }

    fn thrifty(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_thrifty"))
            .args(words)
            .current_dir(self.0.path())
            .env("THRIFTY_HOME", self.0.path().join("home"))
            .output()
            .unwrap()
    }

    fn schedule(&self, words: &[&str]) -> String {
        let output = self.thrifty(&[&["schedule", "nightly 100%.yaml"], words].concat());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &told
    }
}

const NIGHTLY: &str = "{cron: 0 3 * * *, timezone: Europe/Berlin}";

#[test]
fn the_next_ticks_are_listed() {
    let told = Project::new(NIGHTLY).schedule(&["--ticks", "3"]);
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(lines.iter().all(|line| line.contains("T03:00:00+0")), "{told}");
    let few = Project::new("{every: 1h, max_runs: 2}");
    assert_eq!(few.schedule(&["--ticks", "9"]).lines().count(), 2);
    let past = Project::new("{every: 1h, end: 2020-01-01}");
    assert_eq!(past.schedule(&["--ticks", "9"]), "");
}

#[test]
fn a_tick_runs_at_once_and_what_does_not_name_it_is_a_hit() {
    let project = Project::new(NIGHTLY);
    let told = project.schedule(&["--once"]);
    assert!(told.contains("2 computed") && told.contains("tick 2"), "{told}");
    // As for a tick of another year.
    let words = ["run", "nightly 100%.yaml", "--tick", "2020-05-05T00:00:00Z"];
    let output = project.thrifty(&words);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("1 computed, 1 hit"), "{told}");
    assert_eq!(fs::read_to_string(project.0.path().join("o")).unwrap(), "2020 a\n");
    let told = project.schedule(&["--once"]);
    assert!(told.contains("2 hits"), "{told}");
}

#[test]
fn other_schedulers_are_told_to_run_a_tick() {
    let project = Project::new(NIGHTLY);
    let words = ["-p", "name=b c", "--emit"];
    let cron = project.schedule(&[&words[..], &["cron"]].concat());
    assert!(cron.starts_with("CRON_TZ=Europe/Berlin\n0 3 * * * "), "{cron}");
    assert!(cron.contains("/nightly 100\\%.yaml' --once -p 'name=b c'"), "{cron}");
    let systemd = project.schedule(&[&words[..], &["systemd"]].concat());
    assert!(
        systemd.contains("OnCalendar=*-*-* 3:0:00 Europe/Berlin\nPersistent=true\n"),
        "{systemd}"
    );
    assert!(systemd.contains("100%%.yaml\" \"--once\" \"-p\" \"name=b c\""), "{systemd}");
    let kubernetes =
        project.schedule(&[&words[..], &["kubernetes", "--image", "tools:1"]].concat());
    let job: serde_json::Value = serde_json::from_str(&kubernetes).unwrap();
    assert_eq!(job["apiVersion"], "batch/v1");
    assert_eq!(job["kind"], "CronJob");
    assert_eq!(job["metadata"]["name"], "nightly-100");
    let spec = &job["spec"];
    assert_eq!(
        (&spec["schedule"], &spec["timeZone"]),
        (&"0 3 * * *".into(), &"Europe/Berlin".into())
    );
    assert_eq!(spec["concurrencyPolicy"], "Forbid");
    let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
    assert_eq!(pod["restartPolicy"], "Never");
    assert_eq!(pod["containers"][0]["image"], "tools:1");
    let words = pod["containers"][0]["command"].as_array().unwrap();
    assert_eq!(words[1], "schedule");
    assert!(words.iter().any(|word| word == "--once"));
}

#[test]
fn a_timer_for_systemd_is_one() {
    let project = Project::new(NIGHTLY);
    let written = project.schedule(&["--emit", "systemd"]);
    let (timer, service) = written.split_once("# nightly 100%.service\n").unwrap();
    for (name, text) in [("night.timer", timer), ("night.service", service)] {
        fs::write(project.0.path().join(name), text.replace("thrifty\"", "sh\"")).unwrap();
    }
    let asked = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(project.0.path().join("night.timer"))
        .output();
    // Not every machine has systemd.
    if let Ok(asked) = asked {
        let told = String::from_utf8_lossy(&asked.stderr);
        let faults: Vec<_> = told.lines().filter(|line| line.contains("night.")).collect();
        assert!(
            !faults.iter().any(|it| it.contains("OnCalendar") || it.contains("Unknown")),
            "{told}"
        );
    }
}

#[test]
fn wrong_use_is_told() {
    let project = Project::new(NIGHTLY);
    fs::write(project.0.path().join("plain.yaml"), "operations: {a: {run: 'true'}}\n").unwrap();
    for (words, told) in [
        (vec!["schedule", "plain.yaml"], "plain.yaml has no `schedule`"),
        (vec!["schedule", "nightly 100%.yaml", "--emit", "kubernetes"], "needs --image"),
        (vec!["run", "plain.yaml", "--tick", "2026-01-01T00:00:00Z"], "the file has no `schedule`"),
        (vec!["run", "nightly 100%.yaml", "--tick", "noon"], "write a time with its offset"),
        (vec!["run", "m:w", "--tick", "2026-01-01T00:00:00Z"], "--tick"),
    ] {
        let output = project.thrifty(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(told), "{words:?}: {said}");
    }
    let odd = Project::new("{every: 7m, start: 2026-01-01}");
    let output = odd.thrifty(&["schedule", "nightly 100%.yaml", "--emit", "cron"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("must divide an hour or a day"));
}
