//! Pipelines of real commands: what runs, what is a hit, what fails and how.

#![allow(clippy::unwrap_used)]

mod project;

use std::path::Path;

use project::Project;
use serde_json::json;
use thrifty_engine::Cache;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Demand, Ended, Gave, log_of};

const SUMS: &str = "params: {factor: 2}
operations:
  count:
    run: wc -l < {{ inputs.data }} | tr -d ' ' > {{ outputs.lines }}; echo counted
    inputs: {data: data/rows.csv}
    outputs: {lines: lines.json, many: {json: lines.json}}
  scale:
    run: [sh, scale.sh, '{{ params.factor }}', '{{ params.many }}', '{{ outputs.table }}']
    params: {many: {from: count.many}}
    outputs: {table: out/, value: {json: value.json, at: /x}}
outputs:
  value: scale.value
  table: {from: scale.table, to: results/table}
";
const SCALE: &str =
    "mkdir -p $3\necho $1 $2 > $3/both.txt\necho '{\"x\": '$(($1 * $2))'}' > value.json\n";

fn sums() -> Project {
    Project::new(&[("p.yaml", SUMS), ("data/rows.csv", "a\nb\nc\n"), ("scale.sh", SCALE)])
}

fn value(ended: &Ended) -> &Gave {
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    &ended.given[0].1
}

#[test]
fn a_second_run_computes_nothing_and_gives_the_same() {
    let project = sums();
    let (first, settled) = project.run(&[]);
    assert_eq!(settled, ["count computed", "scale computed"]);
    assert_eq!(value(&first), &Gave::Value(json!(6)));
    assert_eq!(project.read("results/table/both.txt"), "2 3\n");
    std::fs::remove_dir_all(project.at("results")).unwrap();
    let (second, settled) = project.run(&[]);
    assert_eq!(settled, ["count hit", "scale hit"]);
    assert_eq!(value(&second), &Gave::Value(json!(6)));
    assert_eq!(project.read("results/table/both.txt"), "2 3\n");
}

#[test]
fn only_what_follows_from_a_change_runs_again() {
    let project = sums();
    project.run(&[]);
    let (ended, settled) = project.run(&[("factor", "5")]);
    assert_eq!(settled, ["count hit", "scale computed"]);
    assert_eq!(value(&ended), &Gave::Value(json!(15)));
    // Other bytes with as many lines: the count is the same, and so is what follows.
    project.write("data/rows.csv", "x\ny\nz\n");
    assert_eq!(project.run(&[]).1, ["count computed", "scale hit"]);
    project.write("data/rows.csv", "x\n");
    let (ended, settled) = project.run(&[]);
    assert_eq!(settled, ["count computed", "scale computed"]);
    assert_eq!(value(&ended), &Gave::Value(json!(2)));
    project.write("scale.sh", &SCALE.replace('*', "+"));
    let (ended, settled) = project.run(&[]);
    assert_eq!(settled, ["count hit", "scale computed"]);
    assert_eq!(value(&ended), &Gave::Value(json!(3)));
    project.write("data/rows.csv", "a\nb\nc\n");
    project.write("scale.sh", SCALE);
    assert_eq!(project.run(&[]).1, ["count hit", "scale hit"], "all of it is known");
}

/// One operation that writes `out` from what it has.
fn one(more: &str) -> String {
    format!(
        "params: {{p: 1}}
operations:
  one:
    run: cat i.txt > out; echo {{{{ params.p }}}} $V >> out
    inputs: {{i: i.txt}}
    outputs: {{o: out}}
    {more}
outputs: {{o: {{from: one.o, to: got}}}}
"
    )
}

#[test]
fn every_ingredient_counts_and_nothing_else() {
    let before = one("env: {V: a}");
    for (after, input, set, outcome) in [
        (before.clone(), "i", "1", "hit"),
        (format!("# a comment\n{before}"), "i", "1", "hit"),
        (before.replace("params: {p: 1}", "params: {p: 1, q: 2}"), "i", "1", "hit"),
        (before.replace("one:", "one:\n    description: more"), "i", "1", "hit"),
        (before.replace("one:", "one:\n    retries: 2\n    timeout: 9s"), "i", "1", "hit"),
        (before.replace("to: got", "to: other"), "i", "1", "hit"),
        (before.clone(), "j", "1", "computed"),
        (before.clone(), "i", "2", "computed"),
        (before.replace("V: a", "V: b"), "i", "1", "computed"),
        (before.replace("V: a", "V: a, W: a"), "i", "1", "computed"),
        (before.replace(">> out", ">>out"), "i", "1", "computed"),
        (
            before
                .replace("outputs: {o: out}", "outputs: {o: out, p: out2}")
                .replace("> out;", "> out; touch out2;"),
            "i",
            "1",
            "computed",
        ),
        (before.replace("i: i.txt", "k: i.txt"), "i", "1", "computed"),
        (before.replace("env:", "cache: {salt: x}\n    env:"), "i", "1", "computed"),
        (before.replace("env:", "cache: {version: x}\n    env:"), "i", "1", "computed"),
    ] {
        let project = Project::new(&[("p.yaml", &before), ("i.txt", "i")]);
        assert_eq!(project.run(&[]).1, ["one computed"]);
        project.write("p.yaml", &after);
        project.write("i.txt", input);
        assert_eq!(project.run(&[("p", set)]).1, [format!("one {outcome}")], "{after}");
    }
}

#[test]
fn a_version_and_a_list_of_names_say_what_counts() {
    let text = one("cache: {version: v1, io: [i]}\n    env: {V: a}");
    let project = Project::new(&[("p.yaml", &text), ("i.txt", "i")]);
    project.run(&[]);
    project.write("p.yaml", &text.replace(">> out", ">>out"));
    assert_eq!(project.run(&[("p", "7")]).1, ["one hit"], "neither code nor p counts");
    project.write("i.txt", "j");
    assert_eq!(project.run(&[]).1, ["one computed"]);
    project.write("p.yaml", &text.replace("v1", "v2"));
    assert_eq!(project.run(&[]).1, ["one computed"]);
}

#[test]
fn what_fails_is_told_and_not_kept() {
    for (run, told) in [
        ("echo one; echo two >&2; exit 3", "it ended with status 3:\none\ntwo"),
        ("false; echo > o", "it ended with status 1"),
        ("true", "output `o`: the command ended without making `o`"),
        ("kill -9 $$", "it was ended by signal 9"),
        ("echo nothing > o; no-such-program", "status 127"),
    ] {
        let text = format!(
            "operations:\n  one: {{run: {run:?}, outputs: {{o: o}}}}\n  two: {{run: 'cp t o', inputs: {{t: {{from: one.o, to: t}}}}, outputs: {{o: o}}}}\n"
        );
        let project = Project::new(&[("p.yaml", &text)]);
        for _ in 0..2 {
            let (ended, settled) = project.run(&[]);
            assert_eq!(ended.status, RunStatus::Failed);
            assert_eq!(settled, ["one failed", "two upstream-failed"], "{run}");
            assert!(ended.failures[0].1.contains(told), "{run}: {:?}", ended.failures);
            assert_eq!(ended.given, []);
        }
    }
    let project = Project::new(&[("p.yaml", "operations: {one: {run: [/nowhere/program]}}")]);
    assert!(project.run(&[]).0.failures[0].1.starts_with("cannot run `/nowhere/program`: "));
}

#[test]
fn an_attempt_sees_nothing_of_the_one_before() {
    let text = "operations:
  one:
    run: '[ ! -e left ]; touch left; n=$(cat {{ params.count }} 2>/dev/null || echo 0); echo $((n + 1)) > {{ params.count }}; [ $n -ge 2 ]; echo $n > o'
    params: {count: COUNT}
    retries: 2
    outputs: {o: o}
";
    let project = Project::new(&[("x", "")]);
    let count = project.at("count").display().to_string();
    project.write("p.yaml", &text.replace("COUNT", &count));
    let (ended, settled) = project.run(&[]);
    assert_eq!(
        (ended.status, settled.join("")),
        (RunStatus::Succeeded, "one computed".to_owned()),
        "{ended:?}"
    );
    assert_eq!(ended.notes.len(), 3, "{:?}", ended.notes);
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_its_processes() {
    let text = "operations: {one: {run: 'sleep 600 & echo $! > PID; wait', timeout: 200ms, outputs: {o: o}}}";
    let project = Project::new(&[("x", "")]);
    let pid = project.at("pid");
    project.write("p.yaml", &text.replace("PID", &pid.display().to_string()));
    let (ended, _) = project.run(&[]);
    assert!(ended.failures[0].1.contains("longer than its `timeout` of 200 ms"), "{ended:?}");
    assert!(!is_alive(&std::fs::read_to_string(pid).unwrap()));
}

fn is_alive(pid: &str) -> bool {
    let status = Path::new("/proc").join(pid.trim()).join("status");
    let status = std::fs::read_to_string(status).unwrap_or_default();
    !status.is_empty() && !status.contains("Z (zombie)")
}

#[test]
fn an_interrupt_ends_what_runs() {
    let one = "operations:\n  one: {run: 'echo $$ > PID.new; mv PID.new PID; sleep 60'}\n";
    let two = one.to_owned() + "  two: {run: [sleep, '60']}\n";
    // What is all that there is to do does not run on the thread that asks for interrupts.
    for text in [one, &two] {
        let project = Project::new(&[("x", "")]);
        let pid = project.at("pid");
        project.write("p.yaml", &text.replace("PID", &pid.display().to_string()));
        let has_begun = || pid.exists();
        let (ended, _) = project.run_with(&[], &has_begun, |_| ());
        assert_eq!(ended.status, RunStatus::Cancelled);
        assert!(!is_alive(&std::fs::read_to_string(&pid).unwrap()), "it outlived the run");
    }
}

#[test]
fn nothing_is_stored_that_was_made_of_a_changed_input() {
    let project = Project::new(&[("i.txt", "before")]);
    let input = project.at("i.txt").display().to_string();
    project.write("p.yaml", &format!("operations: {{one: {{run: 'cat i.txt > o; echo after > {input}', inputs: {{i: i.txt}}, outputs: {{o: o}}}}}}"));
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded);
    assert_eq!(settled, ["one computed-not-stored"]);
    project.write("i.txt", "before");
    assert_eq!(project.run(&[]).1, ["one computed-not-stored"], "nothing was stored");
}

#[test]
fn without_a_cache_everything_runs_and_is_handed_on() {
    let project = sums();
    for _ in 0..2 {
        let (ended, settled) = project.run_with(&[], &|| false, |demand| {
            demand.chosen.mode = Some(thrifty_engine::Mode::Off)
        });
        assert_eq!(settled, ["count uncached", "scale uncached"]);
        assert_eq!(value(&ended), &Gave::Value(json!(6)));
        assert_eq!(project.read("results/table/both.txt"), "2 3\n");
    }
}

#[test]
fn an_operation_says_itself_whether_it_is_cached() {
    let text = SUMS.replace("  scale:\n", "  scale:\n    cache: {disable: true}\n");
    let project = sums();
    project.write("p.yaml", &text);
    project.run(&[]);
    assert_eq!(project.run(&[]).1, ["count hit", "scale uncached"]);
    let all = format!(
        "cache: {{disable: true}}\n{}",
        SUMS.replace("  scale:\n", "  scale:\n    cache: {disable: false}\n")
    );
    project.write("p.yaml", &all);
    project.run(&[]);
    assert_eq!(project.run(&[]).1, ["count uncached", "scale hit"]);
}

#[test]
fn chosen_operations_run_with_what_they_need() {
    let project = sums();
    let (ended, settled) =
        project.run_with(&[], &|| false, |demand| demand.only = vec!["count".to_owned()]);
    assert_eq!(settled, ["count computed"]);
    assert_eq!(ended.given, []);
    let (_, settled) =
        project.run_with(&[], &|| false, |demand| demand.chosen.refresh = vec!["count".to_owned()]);
    assert_eq!(settled, ["count computed", "scale computed"]);
}

const TRAIN: &str = "import json, sys\nfrom tools import clean\n\n# trains\njson.dump({'x': clean(sys.argv[1])}, open('m.json', 'w'))\n";

#[test]
fn a_script_counts_by_what_it_does_with_what_it_imports() {
    let text =
        "operations: {train: {run: 'python3 train.py abc', outputs: {m: {json: m.json, at: /x}}}}";
    let tools = "def clean(text):\n    return len(text)\n";
    let project = Project::new(&[("p.yaml", text), ("train.py", TRAIN), ("tools.py", tools)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(settled, ["train computed"]);
    assert_eq!(value(&ended), &Gave::Value(json!(3)));
    project.write("train.py", &TRAIN.replace("# trains", "# trains a model"));
    project.write("tools.py", &tools.replace("text", "words"));
    // The parameter of a function can be given by name.
    assert_eq!(project.run(&[]).1, ["train computed"]);
    project.write("tools.py", &format!("\"\"\"Tools.\"\"\"\n\n{}", tools.replace("text", "words")));
    assert_eq!(project.run(&[]).1, ["train hit"], "docstrings and comments do not count");
    project.write("tools.py", &tools.replace("len(text)", "2 * len(text)"));
    let (ended, settled) = project.run(&[]);
    assert_eq!(settled, ["train computed"]);
    assert_eq!(value(&ended), &Gave::Value(json!(6)));
}

#[test]
fn packages_of_the_interpreter_count() {
    let text = "operations: {one: {run: ./python3 one.py, code: [one.py], outputs: {o: o}}}";
    // A stand-in for an interpreter: says which packages it has, or copies a file.
    let stand_in = "#!/bin/sh\n[ $1 = -c ] || { echo ran > o; exit 0; }\nprintf 'place\\tSITE\\npackage\\tpython\\t3.12\\npackage\\tnumpy\\t'; cat SITE/version; echo >> COUNT\n";
    let project = Project::new(&[
        ("p.yaml", text),
        ("one.py", "import numpy\n"),
        ("site/version", "numpy 1\n"),
    ]);
    let place = |name: &str| project.at(name).display().to_string();
    project.write(
        "python3",
        &stand_in.replace("SITE", &place("site")).replace("COUNT", &place("count")),
    );
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.at("python3"), executable).unwrap();
    let run =
        format!("operations: {{one: {{run: '{} one.py', outputs: {{o: o}}}}}}", place("python3"));
    project.write("p.yaml", &run);
    assert_eq!(project.run(&[]).1, ["one computed"]);
    assert_eq!(project.run(&[]).1, ["one hit"]);
    let asked = project.read("count").lines().count();
    // What installs a package makes or removes something where packages are.
    project.write("site/version", "numpy 2\n");
    project.write("site/new", "");
    assert_eq!(project.run(&[]).1, ["one computed"]);
    assert_eq!(project.read("count").lines().count(), asked + 1);
}

#[test]
fn the_example_of_the_guide_does_what_the_guide_says() {
    let guide = include_str!("../../../docs/guide/operation-files.md");
    let text = guide.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let project = Project::new(&[("p.yaml", text), ("data/text.txt", "a b a c\nb a d\n")]);
    assert_eq!(project.run(&[]).1, ["head computed", "words computed"]);
    assert_eq!(project.read("results/top.txt").lines().count(), 3);
    assert_eq!(project.run(&[("top", "2")]).1, ["head computed", "words hit"]);
    assert_eq!(project.read("results/top.txt").lines().count(), 2);
}

#[test]
fn a_log_comes_with_a_hit() {
    let project = sums();
    let logged = |ended: &Ended| {
        let cache = Cache::open(project.directory.path().join("home")).unwrap();
        let run = thrifty_engine::catalog::RunId(ended.run.clone().unwrap());
        let entry = cache.catalog().nodes(&run).unwrap()[0].entry.unwrap();
        let selector =
            thrifty_engine::catalog::Selector { ids: Some(vec![entry]), ..Default::default() };
        let output = cache.catalog().entries(None, &selector, 1).unwrap().remove(0).output;
        log_of(&output, &**cache.blobs()).unwrap().unwrap()
    };
    let (first, _) = project.run(&[]);
    let (second, settled) = project.run(&[]);
    assert_eq!(settled[0], "count hit");
    assert_eq!((logged(&first), logged(&second)), (b"counted\n".to_vec(), b"counted\n".to_vec()));
}

#[test]
fn a_log_alone_makes_no_other_result() {
    let text = "operations: {one: {run: 'date +%N; echo 1 > o', cache: {disable: false}, outputs: {o: o}}}";
    let project = Project::new(&[("p.yaml", text)]);
    project.run(&[]);
    let refresh =
        |demand: &mut Demand<'_>| demand.chosen.mode = Some(thrifty_engine::Mode::Refresh);
    assert_eq!(project.run_with(&[], &|| false, refresh).1, ["one computed"]);
}

#[test]
fn a_program_is_found_on_the_path_that_the_command_has() {
    let project = Project::new(&[
        ("bin/plain", "echo \"$0\" > o\n"),
        ("bin/script", "#!/bin/sh\necho \"${0##*/}\" > o\n"),
        ("other/script", "not to be found\n"),
    ]);
    let executable: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    for name in ["bin/plain", "bin/script"] {
        std::fs::set_permissions(project.at(name), executable.clone()).unwrap();
    }
    let path = ["other", "bin"].map(|name| project.at(name).display().to_string()).join(":");
    for program in ["plain", "script"] {
        let text = format!(
            "operations: {{one: {{run: [{program}], env: {{PATH: '{path}:/usr/bin:/bin'}}, outputs: {{o: o}}}}}}\noutputs: {{o: {{from: one.o, to: o}}}}\n"
        );
        project.write("p.yaml", &text);
        let (ended, _) = project.run(&[]);
        assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
        assert!(project.read("o").trim_end().ends_with(program), "{}", project.read("o"));
    }
}
