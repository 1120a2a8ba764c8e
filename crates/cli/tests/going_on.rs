//! Runs that go on, as a user types it: resume, recover, restart, replay, and what a hit tells.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

const FILE: &str = "params: {rate: 1}
operations:
  first: {run: 'echo first >> RAN; echo one > {{ outputs.o }}', outputs: {o: o}}
  second:
    run: |
      echo second >> RAN
      [ -e PASS ]
      ls art | tr '\\n' ' ' > seen
      echo x > art/made
      echo '{\"loss\": 0.5, \"step\": 7}' > m.jsonl
      echo {{ params.rate }} $(cat {{ inputs.o }}) > {{ outputs.p }}
    inputs: {o: {from: first.o}}
    artifacts: art/
    tags: [nightly]
    outputs: {p: p, seen: seen, loss: {metrics: m.jsonl}}
outputs: {p: {from: second.p, to: got}, seen: {from: second.seen, to: seen}}
";

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(project.at("p")).unwrap();
        let place = |name: &str| project.at(name).display().to_string();
        let text = FILE.replace("RAN", &place("ran")).replace("PASS", &place("pass"));
        project.write("p/p.yaml", &text);
        project
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    fn edit(&self, from: &str, to: &str) {
        self.write("p/p.yaml", &self.read("p/p.yaml").replace(from, to));
    }

    fn output(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_thrifty"))
            .args(words)
            .current_dir(self.at("p"))
            .env("THRIFTY_HOME", self.at("home"))
            .env("USER", "ada")
            .output()
            .unwrap()
    }

    /// What the command wrote, its exit code before it.
    fn said(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        format!("{}\n{out}{err}", output.status.code().unwrap())
    }

    fn json(&self, words: &[&str]) -> Value {
        serde_json::from_slice(&self.output(words).stdout).unwrap()
    }

    /// What ran since this was last asked.
    fn ran(&self) -> String {
        let ran = self.read("ran");
        _ = fs::remove_file(self.at("ran"));
        ran.lines().collect::<Vec<_>>().join(" ")
    }

    fn newest(&self) -> Value {
        self.json(&["runs", "--limit", "1", "--json"])[0].clone()
    }

    /// Outcomes and rules of the newest run.
    fn nodes(&self) -> Vec<String> {
        let shown = self.json(&["show", "--json"]);
        let nodes = shown["nodes"].as_array().unwrap().iter();
        nodes.map(|it| format!("{} {}", it["name"], it["outcome"]).replace('"', "")).collect()
    }
}

#[test]
fn a_failed_run_is_resumed_and_only_that() {
    let project = Project::new();
    assert!(project.said(&["run", "p.yaml", "-p", "rate=3", "--no-cache"]).starts_with("1\n"));
    let failed = project.newest();
    assert_eq!(project.ran(), "first second");
    project.write("pass", "");
    let said = project.said(&["resume"]);
    assert!(said.starts_with("0\n"), "{said}");
    assert!(said.contains("1 taken from before"), "{said}");
    assert_eq!((project.ran().as_str(), project.read("p/got").as_str()), ("second", "3 one\n"));
    let resumed = project.newest();
    assert_eq!((&resumed["id"], &resumed["status"]), (&failed["id"], &"succeeded".into()));
    let said = project.said(&["resume", "latest"]);
    assert!(
        said.starts_with("2\n") && said.contains("has succeeded: there is nothing left"),
        "{said}"
    );
    assert_eq!(project.ran(), "");
}

#[test]
fn a_failed_run_is_recovered_in_a_new_one() {
    let project = Project::new();
    project.said(&["run", "p.yaml", "--no-cache"]);
    let failed = project.newest();
    project.ran();
    project.write("pass", "");
    let id = failed["id"].as_str().unwrap();
    let said = project.said(&["recover", &id[..4]]);
    assert!(said.starts_with("0\n"), "{said}");
    assert_eq!(project.ran(), "second");
    assert_ne!(project.newest()["id"], failed["id"]);
    assert_eq!(project.nodes(), ["first skipped", "second uncached"]);
    assert!(project.said(&["recover", "last"]).starts_with("2\n"));
}

#[test]
fn a_restart_looks_nothing_up_and_takes_what_it_is_told_to_copy() {
    let project = Project::new();
    project.write("pass", "");
    project.said(&["run", "p.yaml", "-p", "rate=3"]);
    project.said(&["run", "p.yaml", "-p", "rate=3"]);
    assert_eq!(project.nodes(), ["first hit-local", "second hit-local"]);
    let hit = project.newest()["id"].as_str().unwrap().to_owned();
    project.ran();
    // A run of hits is done anew, by what it was asked to do.
    let said = project.said(&["restart", &hit]);
    assert!(said.starts_with("0\n"), "{said}");
    assert_eq!(
        (project.ran().as_str(), project.read("p/got").as_str()),
        ("first second", "3 one\n")
    );
    assert_eq!(project.nodes(), ["first uncached", "second uncached"]);
    assert_eq!(project.json(&["show", "--json"])["nodes"][0]["rule"], "restart or resume");
    assert_eq!(project.read("p/seen"), "");
    // With its artifacts, and another parameter.
    let said = project.said(&["restart", "last", "--copy", "-p", "rate=4"]);
    assert!(said.starts_with("0\n"), "{said}");
    assert_eq!(
        (project.read("p/seen").as_str(), project.read("p/got").as_str()),
        ("made ", "4 one\n")
    );
    let said = project.said(&["restart", "last", "--copy-file", "second/nothing"]);
    assert!(said.starts_with("2\n") && said.contains("there is no such file"), "{said}");
    // Where the file says that it is cached, what was made with copies answers nobody without.
    project.edit("    artifacts:", "    cache: {disable: false}\n    artifacts:");
    project.said(&["restart", "last", "--copy", "-p", "rate=5"]);
    assert_eq!(project.read("p/seen"), "made ");
    project.said(&["run", "p.yaml", "-p", "rate=5"]);
    assert_eq!(
        (project.nodes()[1].as_str(), project.read("p/seen").as_str()),
        ("second computed", "")
    );
}

#[test]
fn a_replay_begins_where_it_is_told_to() {
    let project = Project::new();
    project.write("pass", "");
    project.said(&["run", "p.yaml"]);
    project.ran();
    project.edit("echo one", "echo two");
    let said = project.said(&["replay", "last", "--from", "second", "-p", "rate=2"]);
    assert!(said.starts_with("0\n"), "{said}");
    assert_eq!((project.ran().as_str(), project.read("p/got").as_str()), ("second", "2 one\n"));
    assert_eq!(project.nodes(), ["first skipped", "second computed"]);
    let said = project.said(&["replay", "--from", "secnd"]);
    assert!(said.starts_with("2\n") && said.contains("did you mean `second`?"), "{said}");
    // Only what was replayed from the old value has its key.
    project.said(&["run", "p.yaml", "-p", "rate=2"]);
    assert_eq!(project.nodes(), ["first computed", "second computed"]);
    assert_eq!(project.read("p/got"), "2 two\n");
}

#[test]
fn what_is_no_run_of_a_file_is_told_so() {
    let project = Project::new();
    project.write("pass", "");
    project.said(&["run", "p.yaml"]);
    fs::remove_dir_all(project.at("home/runs")).unwrap();
    for verb in ["resume", "recover", "restart"] {
        let said = project.said(&[verb, "last"]);
        assert!(said.starts_with("2\n") && said.contains("is not kept"), "{said}");
    }
    let said = project.said(&["resume", "nothing"]);
    assert!(said.contains("there is no run `nothing`"), "{said}");
}

#[test]
fn a_hit_tells_what_the_run_told_that_computed_it() {
    let project = Project::new();
    project.write("pass", "");
    project.said(&["run", "p.yaml"]);
    let computed = project.newest()["id"].clone();
    let first = project.json(&["metrics", "--json"]);
    project.said(&["run", "p.yaml"]);
    let second = project.json(&["metrics", "second", "--json"]);
    assert_eq!(second[0]["outcome"], "hit-local");
    assert_eq!(second[0]["metrics"][0]["name"], "loss");
    assert_eq!(second[0]["tags"][0], "nightly");
    assert_eq!(
        (&second[0]["origin"]["run"], &second[0]["origin"]["user"]),
        (&computed, &"ada".into())
    );
    assert_eq!(second[0]["origin"], first[1]["origin"]);
    let said = project.said(&["metrics"]);
    assert!(said.contains("loss") && said.contains("0.5"), "{said}");
    let key = second[0]["origin"]["key"].as_str().unwrap();
    let said = project.said(&["show", &key[..12]]);
    assert!(
        said.contains("metric     loss 0.5 at step 7") && said.contains("tags       nightly"),
        "{said}"
    );
    let said = project.said(&["logs", "first"]);
    assert!(said.contains("hit-local, computed"), "{said}");
    let said = project.said(&["show"]);
    assert!(said.contains("directory: ") && said.contains("/runs/"), "{said}");
}

#[test]
fn directories_of_forgotten_runs_are_collected() {
    let project = Project::new();
    project.write("pass", "");
    project.said(&["run", "p.yaml", "--run-dir", "elsewhere"]);
    let id = project.newest()["id"].as_str().unwrap().to_owned();
    assert!(project.at("p/elsewhere").join(&id).join("artifacts/second/made").is_file());
    project.said(&["gc"]);
    assert!(project.at("home/runs").join(&id).join("run.json").is_file());
    let said = project.said(&["gc", "--history", "0s"]);
    assert!(said.contains("removed 1 directory of runs"), "{said}");
    assert!(!project.at("home/runs").join(&id).exists());
    assert!(!project.at("p/elsewhere").join(&id).exists());
}

const PROCESS: &str = "operations:
  table:
    operations:
      a: {run: 'echo 1 > o', outputs: {o: o}}
      b: {run: 'cat {{ inputs.o }} > p', inputs: {o: {from: a.o}}, outputs: {p: p}}
    outputs: {p: b.p}
  use: {run: 'cat {{ inputs.p }} > q', inputs: {p: {from: table.p}}, outputs: {q: q}}
";

#[test]
fn to_invalidate_a_result_reaches_what_was_made_of_it_and_where_it_was_taken_from() {
    let project = Project::new();
    project.write("p/p.yaml", PROCESS);
    project.said(&["run", "p.yaml"]);
    project.said(&["run", "p.yaml"]);
    assert_eq!(project.nodes(), ["table hit-local", "use hit-local"]);
    // The step alone is named: its process would hand out what was made of it.
    let said = project.said(&["invalidate", "--operation", "*table.a", "--yes"]);
    assert!(said.contains("removed 2 entries"), "{said}");
    project.said(&["run", "p.yaml"]);
    let nodes = project.nodes();
    assert_eq!(nodes[..2], ["table computed", "use hit-local"], "{nodes:?}");
    assert!(nodes.iter().any(|node| node.ends_with("a computed")), "{nodes:?}");
    // A run of hits: what it took is meant, and of that the process.
    project.said(&["run", "p.yaml"]);
    assert_eq!(project.nodes(), ["table hit-local", "use hit-local"]);
    let said = project.said(&["invalidate", "--run", "last", "--yes"]);
    assert!(said.contains("removed 2 entries"), "{said}");
    project.said(&["run", "p.yaml"]);
    assert_eq!(project.nodes()[..2], ["table computed", "use computed"]);
}

#[test]
fn trials_of_one_name_are_told_apart() {
    let project = Project::new();
    let search = r#"operations:
  train:
    run: 'echo rate {{ params.rate }}; echo "{\"loss\":{{ params.rate }}}" > m.json'
    outputs: {loss: {metrics: m.json}}
    matrix: {kind: grid, params: {rate: [1, 2]}}
"#;
    project.write("p/search.yaml", search);
    project.said(&["run", "search.yaml"]);
    let measured = project.json(&["metrics", "--json"]);
    assert_eq!([&measured[0]["label"], &measured[1]["label"]], ["rate=1", "rate=2"]);
    let told = project.said(&["metrics", "train"]);
    assert!(told.contains("train rate=1") && told.contains("train rate=2"), "{told}");
    for verb in ["logs", "show"] {
        let refused = project.output(&[verb, "train"]);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains("#1 (rate=1), #2 (rate=2)"), "{told}");
    }
    assert_eq!(project.said(&["logs", "#2"]), "0\nrate 2\n");
    assert!(project.said(&["show", "#2"]).contains("search:train"));
    let why = project.said(&["why", "train"]);
    assert!(why.contains("rate=1") && !why.contains("expanded"), "{why}");
}

#[test]
fn who_does_a_run_again_says_what_of_the_machine_it_may_use() {
    let project = Project::new();
    project.edit("    artifacts: art/\n", "    artifacts: art/\n    resources: {gpus: 2}\n");
    assert!(project.said(&["run", "p.yaml", "--gpus", "2", "--no-cache"]).starts_with("1\n"));
    project.write("pass", "");
    let nodes = |verb: &[&str]| {
        project.ran();
        let with_room: Vec<_> = verb.iter().copied().chain(["--gpus", "2"]).collect();
        let with_workers: Vec<_> = with_room.iter().copied().chain(["--workers", "1"]).collect();
        let refused = project.said(&[verb, &["--gpus", "1"]].concat());
        assert!(refused.starts_with("2\n") && refused.contains("gpus"), "{verb:?}: {refused}");
        let said = project.said(&with_workers);
        assert!(said.starts_with("0\n"), "{verb:?}: {said}");
        project.ran()
    };
    assert_eq!(nodes(&["resume"]), "second");
    assert_eq!(nodes(&["restart", "last"]), "first second");
}

/// What is taken from before is there when it is taken, not when the run began.
#[test]
fn what_is_invalidated_while_a_run_recovers_is_not_taken_from_before() {
    let project = Project::new();
    let at = |name: &str| project.at(name).display().to_string();
    let invalidate = format!(
        "THRIFTY_HOME={} {} invalidate --operation \"*table.b\" --yes",
        at("home"),
        env!("CARGO_BIN_EXE_thrifty")
    );
    let text = "operations:
  up: {run: 'UP; echo 1 > o', outputs: {o: o}}
  table:
    needs: [up]
    operations:
      b: {run: 'X=data; cat AT/$X > o', outputs: {o: o}}
      c: {run: 'X=pass; test -e AT/$X && cat {{ inputs.o }} > p', inputs: {o: {from: b.o}}, outputs: {p: p}}
    outputs: {p: c.p}
outputs: {p: {from: table.p, to: got}}
";
    let text = text.replace("AT", &project.0.path().display().to_string());
    for verb in [&["recover", "last"][..], &["resume"]] {
        project.write("p/p.yaml", &text.replace("UP", "true"));
        project.write("data", "old");
        _ = fs::remove_file(project.at("pass"));
        project.said(&["clear", "--yes"]);
        assert!(project.said(&["run", "p.yaml"]).starts_with("1\n"));
        project.write("data", "new");
        project.write("pass", "");
        project.write("p/p.yaml", &text.replace("UP", &invalidate));
        let said = project.said(verb);
        assert!(said.starts_with("0\n"), "{said}");
        assert_eq!(project.read("p/got"), "new", "{verb:?}");
        _ = fs::remove_file(project.at("p/got"));
        assert!(project.said(&["run", "p.yaml"]).starts_with("0\n"));
        assert_eq!(project.read("p/got"), "new", "{verb:?}");
    }
}
