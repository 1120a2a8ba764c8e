//! What goes wrong in Polyaxon's cache, by the number of the weakness, and does not here.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::keys::one;
use crate::project::{Project, of_length};
use crate::sharing::slow;
use crate::switches::TWO;

/// Stands in for a container engine: an image is a file with its id, and a command runs right here.
const ENGINE: &str = r#"#!/bin/sh
case $1 in
image) cat "$(dirname "$0")/$5" ;;
run)
  while [ "$1" != --entrypoint ]; do [ "$1" = --workdir ] && cd "$2"; shift; done
  program=$2; shift 2
  while case $1 in -*) true ;; *) false ;; esac; do shift 2; done
  shift; exec "$program" "$@" ;;
esac
"#;

#[test]
fn polyaxon_weakness_01_image_variables_and_what_is_mounted_count() {
    let text = one("cat i.txt > o", "image: tools\n    env: {V: a}\n    inputs: {i: i.txt}");
    let project = Project::new(&[("p.yaml", &text), ("i.txt", "1"), ("bin/podman", ENGINE)]);
    fs::set_permissions(project.at("bin/podman"), fs::Permissions::from_mode(0o755)).unwrap();
    project.write("bin/tools", &"1".repeat(64));
    let outcome = || {
        let path = format!("{}:/usr/bin:/bin", project.at("bin").display());
        let output = project.command(&["run", "p.yaml"]).env("PATH", path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        project.outcomes().join("")
    };
    assert_eq!((outcome().as_str(), outcome().as_str()), ("one computed", "one hit"));
    project.write("bin/tools", &"2".repeat(64));
    assert_eq!(outcome(), "one computed", "another image of the same name");
    project.edit("p.yaml", "V: a", "V: b");
    assert_eq!(outcome(), "one computed");
    project.write("i.txt", "2");
    assert_eq!(outcome(), "one computed");
    project.edit("p.yaml", "image: tools", "image: {name: tools, network: true}");
    assert_eq!(outcome(), "one computed");
    assert_eq!(outcome(), "one hit");
}

#[test]
fn polyaxon_weakness_02_another_revision_of_the_code_is_another_key() {
    let text = one("sh code/main.sh > o", "code: [code]");
    let project = Project::new(&[("p.yaml", &text), ("code/main.sh", "sh code/lib.sh\n")]);
    project.write("code/lib.sh", "echo 1\n");
    project.run(&[]);
    assert_eq!(project.run(&[]), ["one hit"]);
    project.write("code/lib.sh", "echo 2\n");
    assert_eq!(project.run(&[]), ["one computed"]);
    assert_eq!(project.read("got"), "2\n");
}

#[test]
fn polyaxon_weakness_03_equal_values_have_equal_keys_and_others_have_not() {
    let text = one("echo {{ params.x }} > o", "params: {x: '{{ params.x }}'}");
    let project = Project::of(&format!("params: {{x: {{type: float, default: 1}}}}\n{text}"));
    project.run(&[]);
    for (given, outcome) in
        [("x=1.0", "hit"), ("x=1", "hit"), ("x=1e0", "hit"), ("x=1.5", "computed")]
    {
        assert_eq!(project.run(&["-p", given]), [format!("one {outcome}")], "{given}");
    }
    project.write("p.yaml", &format!("params: {{x: {{a: 1, b: [1, 2]}}}}\n{text}"));
    project.run(&[]);
    for (given, outcome) in [
        (r#"x={"b": [1, 2], "a": 1}"#, "hit"),
        (r#"x={"a": 1, "b": [2, 1]}"#, "computed"),
        (r#"x={"a": 1.0, "b": [1, 2]}"#, "computed"),
        (r#"x={"a": "1", "b": [1, 2]}"#, "computed"),
    ] {
        assert_eq!(project.run(&["-p", given]), [format!("one {outcome}")], "{given}");
    }
}

#[test]
fn polyaxon_weakness_04_a_key_can_be_taken_apart_and_compared() {
    let project = Project::of(
        &format!("params: {{n: 1}}\n{TWO}").replace("cat o", "head -n {{ params.n }} o"),
    );
    project.run(&[]);
    project.run(&["-p", "n=2"]);
    let why = project.ok(&["why"]);
    assert!(why.contains("inputs n: 1 → 2"), "{why}");
    let key = project.nodes()[1]["key"].as_str().unwrap().to_owned();
    let entry = &project.json(&["show", &key, "--json"])[0];
    let parts = entry["ingredients"].as_array().unwrap().iter();
    let names: Vec<_> = parts.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    assert!(["n", "o"].iter().all(|name| names.contains(&(*name).to_owned())), "{names:?}");
}

#[test]
fn polyaxon_weakness_05_what_was_invalidated_does_not_come_back_by_a_hit() {
    let project = Project::of(&one("echo one >> RAN; echo 1 > o", ""));
    project.run(&[]);
    let source = project.newest();
    // Two hits, which have the same key and are younger.
    project.run(&[]);
    project.run(&[]);
    assert_eq!(project.ran(), "one");
    project.ok(&["invalidate", "--run", &source, "--yes"]);
    project.run(&[]);
    assert_eq!(project.ran(), "one");
}

#[test]
fn polyaxon_weakness_05_what_was_begun_before_does_not_come_back_either() {
    let project = Project::of(&slow("echo 1 > o", ""));
    project.go();
    project.ok(&["run", "p.yaml", "one"]);
    fs::remove_file(project.beside("go")).unwrap();
    project.ran();
    let late = project.begin(&["run", "p.yaml", "one", "--refresh"]);
    project.until_ran(1);
    project.ok(&["invalidate", "--operation", "one", "--yes"]);
    project.go();
    assert_eq!(late.end().code, 0, "who computed it has it");
    project.ran();
    project.ok(&["run", "p.yaml", "one"]);
    assert_eq!(project.ran(), "one", "and nobody else");
}

#[test]
fn polyaxon_weakness_06_a_restart_with_other_params_answers_for_those_alone() {
    let text = one("echo {{ params.n }} > o; test -e GATE", "params: {n: '{{ params.n }}'}");
    let project = Project::of(&format!("params: {{n: 1}}\n{text}"));
    assert_eq!(project.said(&["run", "p.yaml"]).code, 1);
    let failed = project.newest();
    project.go();
    // Of a failed run, with other params: it succeeds, and is a result like any other.
    project.ok(&["restart", &failed, "-p", "n=2"]);
    assert_eq!(
        (project.run(&["-p", "n=2"]), project.read("got").as_str()),
        (vec!["one hit".to_owned()], "2\n")
    );
    // What the failed run asked for has no result yet, and never that one.
    assert_eq!(
        (project.run(&[]), project.read("got").as_str()),
        (vec!["one computed".to_owned()], "1\n")
    );
    // Restarted again with the first params, by the newest run.
    project.ok(&["restart", "last", "-p", "n=2"]);
    assert_eq!(
        (project.run(&[]), project.read("got").as_str()),
        (vec!["one hit".to_owned()], "1\n")
    );
}

#[test]
fn polyaxon_weakness_07_groups_with_equal_inputs_are_told_apart_by_what_is_in_them() {
    let group = |run: &str| {
        format!(
            "operations:
  group:
    params: {{x: 1}}
    operations: {{step: {{run: '{run}', outputs: {{o: o}}}}}}
    outputs: {{o: step.o}}
outputs: {{o: {{from: group.o, to: got}}}}
"
        )
    };
    let project = Project::of(&group("echo {{ params.x }} > o"));
    project.run(&[]);
    assert_eq!(project.run(&[]), ["group hit"]);
    project.write("p.yaml", &group("echo {{ params.x }} twice > o"));
    project.run(&[]);
    assert_eq!(project.read("got"), "1 twice\n");
}

#[test]
fn polyaxon_weakness_08_a_failure_does_not_spread_to_who_waits() {
    // The first one fails, as nobody has let it go on; the one that waited is let go.
    let project = Project::of(&slow("test $(wc -l < RAN) -gt 1; echo 1 > o", ""));
    let first = project.begin(&["run", "p.yaml", "one"]);
    project.until_ran(1);
    let second = project.begin(&["run", "p.yaml", "one"]);
    project.until_waiting();
    project.go();
    let (first, second) = (first.end(), second.end());
    assert_eq!((first.code, second.code), (1, 0), "{first:?} {second:?}");
    assert_eq!(project.read("got"), "1\n");
}

#[test]
fn polyaxon_weakness_09_of_many_that_miss_at_once_one_computes() {
    let project = Project::of(&slow("echo 1 > o", ""));
    project.go();
    let many: Vec<_> = (0..4).map(|_| project.begin(&["run", "p.yaml", "one"])).collect();
    let codes: Vec<_> = many.into_iter().map(|one| one.end().code).collect();
    assert_eq!((codes, project.ran().as_str()), (vec![0; 4], "one"));
}

#[test]
fn polyaxon_weakness_10_nobody_waits_for_the_dead() {
    let project = Project::of(&slow("echo 1 > o", ""));
    let first = project.begin(&["run", "p.yaml", "one"]);
    project.until_ran(1);
    first.kill();
    // Nobody waited when it was killed: who comes later finds its place free.
    let second = project.begin(&["run", "p.yaml", "one"]);
    project.until_ran(2);
    project.go();
    assert_eq!(second.end().code, 0);
}

#[test]
fn polyaxon_weakness_11_results_expire_are_collected_and_are_made_again_where_they_are_gone() {
    let big = |salt: &str| {
        one("head -c 300000 /dev/zero | tr '\\0' x > o", "")
            .replace("false}", &format!("false{salt}}}"))
    };
    let project = Project::of(&big(""));
    project.run(&[]);
    let home = project.beside("home");
    // The bytes are gone, whoever took them.
    of_length(&home, 300_000).into_iter().for_each(|blob| fs::remove_file(blob).unwrap());
    fs::remove_file(project.at("got")).unwrap();
    project.run(&[]);
    assert_eq!(project.read("got").len(), 300_000);
    assert_eq!(project.run(&[]), ["one hit"]);
    // Of two results only one fits.
    project.write("p.yaml", &big(", salt: x"));
    project.run(&[]);
    project.ok(&["gc", "--budget", "1KiB"]);
    assert_eq!(project.run(&[]), ["one computed"]);
    // What is valid for a moment is gone for everybody.
    project.write("p.yaml", &big(", salt: y, expires: 1ms"));
    project.run(&[]);
    assert_eq!(project.run(&[]), ["one computed"]);
    let freed = project.json(&["gc", "--json"]);
    assert!(freed["entries"].as_u64().unwrap() >= 1, "{freed}");
}

#[test]
fn polyaxon_weakness_12_a_plan_a_reason_and_statistics() {
    let project = Project::of(TWO);
    let plan = project.ok(&["run", "p.yaml", "--dry-run"]);
    assert!(plan.contains("1 operation would run") || plan.contains("would run"), "{plan}");
    assert_eq!(project.ran(), "", "a plan runs nothing");
    project.run(&[]);
    project.edit("p.yaml", "echo 1 >", "echo 2 >");
    let plan = project.json(&["run", "p.yaml", "--dry-run", "--json"]);
    assert_eq!((plan["would_run"].clone(), plan["may_run"].clone()), (1.into(), 1.into()));
    project.run(&[]);
    let why = project.ok(&["why"]);
    assert!(why.contains("echo 1") && why.contains("echo 2"), "{why}");
    let stats = project.json(&["stats", "--json"]);
    let first = stats["operations"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["operation"].as_str().unwrap().ends_with("first"));
    assert_eq!(first.unwrap()["computed"], 2, "{stats}");
}
