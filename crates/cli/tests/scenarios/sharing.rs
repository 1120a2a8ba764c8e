//! What one run computes and another one takes: while it is computed, afterwards, for how long,
//! and until somebody takes it back.

use crate::keys::one;
use crate::project::Project;

/// An operation whose body says that it runs, waits to be let go on, and then does as told.
pub fn slow(then: &str, cache: &str) -> String {
    format!(
        "operations:
  one:
    run: 'echo one >> RAN; until [ -e GATE ]; do sleep 0.02; done; {then}'
    outputs: {{o: o}}
    cache: {{disable: false, serialize: true{cache}}}
  beside: {{run: 'echo beside >> RAN; echo b > o', outputs: {{o: o}}}}
outputs: {{o: {{from: one.o, to: got}}}}
"
    )
}

const RUN: [&str; 3] = ["run", "p.yaml", "one"];

#[test]
fn polyaxon_18_f37_f39_who_comes_second_takes_over_what_is_being_computed() {
    let project = Project::of(&slow("echo 1 > o", ""));
    let first = project.begin(&RUN);
    project.until_ran(1);
    let second = project.begin(&RUN);
    project.until_waiting();
    project.go();
    let (first, second) = (first.end(), second.end());
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_eq!(project.ran(), "one", "it was computed once");
    assert!(first.err.contains("1 computed") && second.err.contains("1 hit"), "{second:?}");
}

#[test]
fn polyaxon_05_of_all_results_of_a_key_the_newest_is_taken_and_a_failure_never() {
    let project = Project::of(&one("echo one >> RAN; wc -l < RAN > o; test -e GATE", ""));
    assert_eq!(project.said(&["run", "p.yaml"]).code, 1);
    assert_eq!(project.said(&["run", "p.yaml"]).code, 1, "a failure is no result");
    project.go();
    project.run(&[]);
    project.run(&["--refresh"]);
    assert_eq!(project.run(&[]), ["one hit"]);
    assert_eq!(project.read("got").trim(), "4");
}

#[test]
fn polyaxon_06_a_hit_names_who_computed_it_and_not_another_hit() {
    let project = Project::of(&one("echo 1 > o", ""));
    project.run(&[]);
    let computed = project.newest();
    for _ in 0..2 {
        project.run(&[]);
        assert_eq!(project.nodes()[0]["source"], computed.as_str());
    }
}

#[test]
fn polyaxon_07_f30_f31_age_is_bounded_by_who_reads_and_by_who_writes() {
    let reader = one("echo 1 > o", "").replace("false}", "false, ttl: 0s}");
    let project = Project::of(&reader);
    project.run(&[]);
    assert_eq!(project.run(&[]), ["one computed"], "it is too old for this reader");
    project.edit("p.yaml", "ttl: 0s", "ttl: 1d");
    assert_eq!(project.run(&[]), ["one hit"], "and not for this one");
    let why = project.ok(&["why", "one"]);
    assert!(why.contains("hit"), "{why}");
    project.edit("p.yaml", "ttl: 1d", "salt: x, expires: 1ms");
    project.run(&[]);
    project.edit("p.yaml", ", expires: 1ms", "");
    assert_eq!(project.run(&[]), ["one computed"], "what has expired has for all");
    assert!(project.ok(&["why"]).contains("expired"), "{}", project.ok(&["why"]));
}

#[test]
fn polyaxon_17_f51_f52_a_hit_looks_like_the_run_that_computed_it() {
    let run = "echo told; echo 1 > o; echo '{\"loss\": 0.5}' > m";
    let text = one(run, "tags: [nightly]").replace("{o: o}", "{o: o, m: {metrics: m}}");
    let project = Project::of(&text);
    project.run(&[]);
    let source = project.newest();
    std::fs::remove_file(project.at("got")).unwrap();
    assert_eq!(project.run(&[]), ["one hit"]);
    assert_eq!(project.read("got"), "1\n");
    assert!(project.ok(&["logs", "one"]).contains("told"));
    let measured = &project.json(&["metrics", "--json"])[0];
    assert_eq!(measured["metrics"][0]["name"], "loss");
    assert_eq!(
        (&measured["tags"][0], &measured["origin"]["run"]),
        (&"nightly".into(), &source.as_str().into())
    );
    let node = &project.nodes()[0];
    assert_eq!(node["source"], source.as_str());
    let entry = &project.json(&["show", node["key"].as_str().unwrap(), "--json"])[0];
    assert_eq!((&entry["user"], &entry["run"]), (&"ada".into(), &source.as_str().into()));
}

#[test]
fn polyaxon_19_f40_when_the_first_fails_the_next_computes_or_shares_the_failure() {
    for (policy, times) in [("next", "one one"), ("share", "one")] {
        let project = Project::of(&slow("exit 3", &format!(", on_failure: {policy}")));
        let first = project.begin(&RUN);
        project.until_ran(1);
        let second = project.begin(&RUN);
        project.until_waiting();
        project.go();
        assert_eq!((first.end().code, second.end().code), (1, 1), "{policy}");
        assert_eq!(project.ran(), times, "{policy}");
    }
}

#[test]
fn polyaxon_20_f38_when_the_first_is_killed_the_next_computes() {
    let project = Project::of(&slow("echo 1 > o", ""));
    let first = project.begin(&RUN);
    project.until_ran(1);
    let second = project.begin(&RUN);
    project.until_waiting();
    first.kill();
    project.until_ran(2);
    project.go();
    let second = second.end();
    assert_eq!(second.code, 0, "{second:?}");
    assert_eq!(project.read("got"), "1\n");
    let runs = project.json(&["runs", "--json"]);
    assert_eq!((&runs[0]["status"], &runs[1]["status"]), (&"succeeded".into(), &"lost".into()));
}

#[test]
fn polyaxon_21_f41_who_waits_holds_no_worker_and_may_be_told_to_compute_now() {
    let project = Project::of(&slow("echo 1 > o", ""));
    let first = project.begin(&RUN);
    project.until_ran(1);
    // With one worker, what does not wait goes on.
    let second = project.begin(&["run", "p.yaml", "--workers", "1"]);
    project.until_waiting();
    project.until_ran(2);
    let third = project.begin(&["run", "p.yaml", "one", "--now"]);
    project.until_ran(3);
    project.go();
    let codes = [first.end().code, second.end().code, third.end().code];
    assert_eq!((codes, project.ran().as_str()), ([0; 3], "beside one one"));
}

#[test]
fn polyaxon_22_f32_what_is_taken_back_is_computed_again() {
    let text = "operations:
  nightly: {run: 'echo nightly >> RAN', tags: [nightly, eu]}
  other: {run: 'echo other >> RAN'}
";
    let project = Project::of(text);
    project.run(&[]);
    project.ran();
    let run = project.newest();
    project.run(&[]);
    let key = project.nodes()[1]["key"].as_str().unwrap().to_owned();
    for (chosen, again) in [
        (["--operation", "nightly"], "nightly"),
        (["--tag", "nightly"], "nightly"),
        (["--tag", "e*"], "nightly"),
        (["--key", &key[..12]], "other"),
        (["--older-than", "0s"], "nightly other"),
        (["--run", &run], ""),
        (["--run", "last"], "nightly other"),
    ] {
        let said = project.said(&[&["invalidate", "--yes"], &chosen[..]].concat());
        assert_eq!(said.code, 0, "{chosen:?}: {said:?}");
        project.run(&[]);
        assert_eq!(project.ran(), again, "{chosen:?}");
        project.run(&[]);
        assert_eq!(project.ran(), "", "{chosen:?}");
    }
    let said = project.said(&["invalidate", "--tag", "nothing"]);
    assert!(said.err.contains("no entry of"), "{said:?}");
}

#[test]
fn f43_of_two_searches_the_second_takes_what_is_done_and_what_is_running() {
    let project = Project::of(
        "params: {xs: []}
operations:
  train:
    run: |
      echo {{ params.x }} >> RAN
      if [ {{ params.x }} = 2 ]; then until [ -e GATE ]; do sleep 0.02; done; fi
      echo {{ params.x }}0 > loss.json
    outputs: {loss: {json: loss.json}}
    matrix: {kind: grid, params: {x: '{{ params.xs }}'}, concurrency: 1, metric: {name: loss, goal: minimize}}
",
    );
    let first = project.begin(&["run", "p.yaml", "-p", "xs=[1, 2]"]);
    project.until_ran(2);
    let second = project.begin(&["run", "p.yaml", "-p", "xs=[1, 2, 3]", "--json"]);
    project.until_waiting();
    project.go();
    let (first, second) = (first.end(), second.end());
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_eq!(project.ran(), "1 2 3", "each point once");
    let told: serde_json::Value = serde_json::from_str(&second.out).unwrap();
    let trials = told["searches"][0]["trials"].as_array().unwrap();
    let found: Vec<_> =
        trials.iter().map(|it| (it["status"].clone(), it["value"].clone())).collect();
    let expected = [("hit", 10), ("waited", 20), ("computed", 30)];
    assert_eq!(found, expected.map(|(status, value)| (status.into(), value.into())), "{told}");
    // The table for people has the same words.
    let table = project.ok(&["run", "p.yaml", "-p", "xs=[2, 3]"]);
    assert!(table.contains("train: 2 trials: 2 hit (done)"), "{table}");
}
