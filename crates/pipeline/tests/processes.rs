//! Processes: one hit for all steps, and where it is none, each step alone.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use serde_json::json;
use thrifty_engine::catalog::{RunFilter, RunStatus};
use thrifty_engine::{Cache, Mode, explain};
use thrifty_pipeline::{Ended, Gave, Pipeline, Variation};

/// A file with a process that cleans and counts, and an operation behind it.
const FILE: &str = "params: {word: a, times: 2}
operations:
  made:
    run: printf 'a b\\na\\n' > {{ outputs.raw }}
    outputs: {raw: raw.txt}
  words:
    params: {word: '{{ params.word }}', times: '{{ params.times }}', unused: 1}
    inputs: {raw: {from: made.raw}, more: more.txt}
    operations:
      join:
        run: cat {{ inputs.raw }} {{ inputs.more }} > {{ outputs.all }}
        inputs: {raw: {from: inputs.raw}, more: {from: inputs.more}}
        outputs: {all: all.txt}
      count:
        run: grep -c {{ params.word }} {{ inputs.all }} > {{ outputs.count }} || true
        inputs: {all: {from: join.all}}
        outputs: {count: {json: count.json}}
      scale:
        run: echo $(({{ params.count }} * {{ params.times }})) > {{ outputs.scaled }}
        params: {count: {from: count.count}}
        outputs: {scaled: {json: scaled.json}}
    outputs: {all: join.all, scaled: scale.scaled}
  last:
    run: cat {{ inputs.all }} > o; echo {{ params.scaled }} >> o
    params: {scaled: {from: words.scaled}}
    inputs: {all: {from: words.all}}
    outputs: {o: o}
outputs: {scaled: words.scaled, text: {from: last.o, to: text.txt}}
";

fn words() -> Project {
    Project::new(&[("p.yaml", FILE), ("more.txt", "a\n")])
}

fn scaled(ended: &Ended) -> &Gave {
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    &ended.given[0].1
}

const ALL: [&str; 6] = [
    "last computed",
    "made computed",
    "words computed",
    "words.count computed",
    "words.join computed",
    "words.scale computed",
];

#[test]
fn a_process_that_is_a_hit_looks_at_none_of_its_steps() {
    let project = words();
    let (first, settled) = project.run(&[]);
    assert_eq!(settled, ALL);
    assert_eq!(scaled(&first), &Gave::Value(json!(6)));
    assert_eq!(project.read("text.txt"), "a b\na\na\n6\n");
    let (second, settled) = project.run(&[]);
    assert_eq!(settled, ["last hit", "made hit", "words hit"]);
    assert_eq!(second.given, first.given);
}

#[test]
fn what_changes_in_a_process_runs_alone_with_what_follows() {
    let hits = ["last hit", "made hit", "words computed"];
    let with = |steps: &[&str]| {
        let mut all: Vec<String> = hits.iter().chain(steps).map(|it| (*it).to_owned()).collect();
        all.sort();
        all
    };
    for (edit, steps, last) in [
        // A param that one step uses.
        (
            ("times: 2", "times: 3"),
            ["words.count hit", "words.join hit", "words.scale computed"],
            "computed",
        ),
        (
            ("word: a", "word: b"),
            ["words.count computed", "words.join hit", "words.scale computed"],
            "computed",
        ),
        // Another command that gives the same: the step behind is a hit.
        (
            ("grep -c", "grep  -c"),
            ["words.count computed", "words.join hit", "words.scale hit"],
            "hit",
        ),
        // Another shape of the process, of the same steps.
        (
            (
                "outputs: {all: join.all, scaled: scale.scaled}",
                "outputs: {scaled: scale.scaled, all: join.all, n: count.count}",
            ),
            ["words.count hit", "words.join hit", "words.scale hit"],
            "hit",
        ),
    ] {
        let project = words();
        project.run(&[]);
        project.write("p.yaml", &FILE.replace(edit.0, edit.1));
        let expected: Vec<String> = with(&steps)
            .into_iter()
            .map(|it| it.replace("last hit", &format!("last {last}")))
            .collect();
        assert_eq!(project.run(&[]).1, expected, "{edit:?}");
    }
    let project = words();
    project.run(&[]);
    project.write("p.yaml", &FILE.replace("unused: 1", "unused: 2"));
    assert_eq!(project.run(&[]).1, ["last hit", "made hit", "words hit"], "no step names it");
    project.write("more.txt", "b\n");
    let (ended, settled) = project.run(&[]);
    assert_eq!(scaled(&ended), &Gave::Value(json!(4)));
    assert_eq!(
        settled,
        [
            "last computed",
            "made hit",
            "words computed",
            "words.count computed",
            "words.join computed",
            "words.scale computed"
        ]
    );
}

#[test]
fn an_edit_in_a_process_is_one_cause() {
    let project = words();
    project.run(&[]);
    let (ended, _) = project.run(&[("times", "3")]);
    let cache = Cache::open(project.directory.path().join("home")).unwrap();
    let runs = cache.catalog().runs(None, &RunFilter::default()).unwrap();
    let run = runs.iter().find(|run| Some(&run.id.0) == ended.run.as_ref()).unwrap();
    let found = explain::explain(cache.catalog().as_ref(), run, None).unwrap();
    let direct = |name: &str| {
        let number = found.nodes.iter().find(|node| node.operation == name).unwrap().node;
        found.roots[0].direct.contains(&number)
    };
    assert_eq!(found.roots.len(), 1, "{:?}", found.roots);
    assert!(direct("p:words") && direct("p:words.scale"));
    let explain::Cause::Changed(parts) = &found.roots[0].cause else { panic!() };
    assert_eq!(parts[0].name, "times", "by the name that it has at the step");
}

/// Two sub-graphs with equal inputs that differ in one thing are never taken for each other.
#[test]
fn processes_with_equal_inputs_are_told_apart_by_everything_within() {
    let process = "operations:
  p:
    inputs: {i: i.txt}
    operations:
      a: {run: 'cat {{ inputs.i }} > o', inputs: {i: {from: inputs.i}}, outputs: {o: o}}
      b: {run: 'sh s.sh {{ inputs.o }} > o', inputs: {o: {from: a.o, to: x}}, outputs: {o: o}}
    outputs: {o: b.o}
outputs: {o: {from: p.o, to: out}}
";
    let files = [("i.txt", "i\n"), ("j.txt", "i\n"), ("s.sh", "cat $1; echo 1\n")];
    let edits: [(&str, &str); 9] = [
        ("cat {{ inputs.i }} >", "cat  {{ inputs.i }} >"),
        (
            "> o', inputs: {i: {from: inputs.i}}, outputs: {o: o}}",
            "> p', inputs: {i: {from: inputs.i}}, outputs: {o: p}}",
        ),
        ("inputs: {o: {from: a.o, to: x}}", "inputs: {o: {from: a.o, to: y}}"),
        ("      b: {", "      b: {env: {V: '1'}, "),
        ("      a: {", "      a: {cache: {salt: s}, "),
        ("      a: {", "      a: {cache: {version: v}, "),
        ("outputs: {o: b.o}", "outputs: {o: a.o}"),
        ("outputs: {o: b.o}", "outputs: {o: b.o, also: a.o}"),
        ("      a: {", "      extra: {run: 'true'}\n      a: {"),
    ];
    for (from, to) in edits {
        let project = Project::new(&files);
        project.write("p.yaml", process);
        assert_eq!(project.run(&[]).1[0], "p computed");
        assert_eq!(project.run(&[]).1, ["p hit"]);
        assert!(process.contains(from), "{from}");
        project.write("p.yaml", &process.replace(from, to));
        assert_eq!(project.run(&[]).1[0], "p computed", "{to}");
    }
    let project = Project::new(&files);
    project.write("p.yaml", process);
    project.run(&[]);
    project.write("s.sh", "cat $1; echo 2\n");
    assert_eq!(project.run(&[]).1[0], "p computed", "a script of a step");
    assert_eq!(project.read("out"), "i\n2\n");
    project.write("s.sh", "cat $1; echo 1\n");
    project.write("p.yaml", &process.replace("i: i.txt", "i: {path: j.txt, to: i.txt}"));
    assert_eq!(project.run(&[]).1, ["p hit"], "the same bytes in another place");
}

#[test]
fn processes_nest_and_hit_at_every_level() {
    let text = "operations:
  outer:
    params: {n: 1}
    operations:
      inner:
        params: {n: '{{ params.n }}', m: 5}
        operations:
          one: {run: 'echo {{ params.n }} > o', outputs: {o: {json: o}}}
          two: {run: 'echo $(({{ params.o }} + {{ params.m }})) > o', params: {o: {from: one.o}}, outputs: {o: {json: o}}}
        outputs: {o: two.o}
      after: {run: 'echo $(({{ params.o }} * 2)) > o', params: {o: {from: inner.o}}, outputs: {o: {json: o}}}
    outputs: {o: after.o}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(scaled(&ended), &Gave::Value(json!(12)));
    assert_eq!(settled.len(), 5);
    assert_eq!(project.run(&[]).1, ["outer hit"]);
    project.write("p.yaml", &text.replace("* 2", "* 3"));
    let (ended, settled) = project.run(&[]);
    assert_eq!(scaled(&ended), &Gave::Value(json!(18)));
    assert_eq!(settled, ["outer computed", "outer.after computed", "outer.inner hit"]);
    project.write("p.yaml", &text.replace("m: 5", "m: 6"));
    assert_eq!(
        project.run(&[]).1,
        [
            "outer computed",
            "outer.after computed",
            "outer.inner computed",
            "outer.inner.one hit",
            "outer.inner.two computed"
        ]
    );
    // Without a cache, what steps gave is handed on through all levels.
    let off = |demand: &mut thrifty_pipeline::Demand<'_>| demand.chosen.mode = Some(Mode::Off);
    assert_eq!(scaled(&project.run_with(&[], &|| false, off).0), &Gave::Value(json!(14)));
}

#[test]
fn a_refresh_reaches_the_steps_of_a_process_and_the_process_of_a_step() {
    let refresh = |name: &str| {
        let name = name.to_owned();
        move |demand: &mut thrifty_pipeline::Demand<'_>| demand.chosen.refresh = vec![name]
    };
    let project = words();
    project.run(&[]);
    let (_, settled) = project.run_with(&[], &|| false, refresh("words"));
    let expected: Vec<_> = ALL
        .iter()
        .map(|it| it.replace("made computed", "made hit").replace("last computed", "last hit"))
        .collect();
    assert_eq!(settled, expected);
    let (_, settled) = project.run_with(&[], &|| false, refresh("words.count"));
    assert_eq!(
        settled,
        [
            "last hit",
            "made hit",
            "words computed",
            "words.count computed",
            "words.join hit",
            "words.scale hit"
        ]
    );
    assert_eq!(project.run(&[]).1, ["last hit", "made hit", "words hit"]);
}

/// Which trials there are may depend on the results of others: no key holds that.
#[test]
fn a_process_around_a_search_looks_up_each_trial() {
    let text = "operations:
  p:
    operations:
      try: {run: 'echo {{ params.n }} > o', matrix: {kind: grid, params: {n: [1, 2]}}, outputs: {o: o}}
";
    let project = Project::new(&[("p.yaml", text)]);
    let computed = |settled: &[String]| settled.iter().filter(|it| *it == "p.try computed").count();
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), 2, "{settled:?}");
    let (_, settled) = project.run(&[]);
    assert_eq!(computed(&settled), 0);
    assert!(settled.contains(&"p uncached".to_owned()), "{settled:?}");
    project.write("p.yaml", &text.replace("[1, 2]", "[1, 3]"));
    assert_eq!(computed(&project.run(&[]).1), 1);
}

#[test]
fn files_of_an_uncached_process_are_handed_on() {
    let project = words();
    let off = |demand: &mut thrifty_pipeline::Demand<'_>| demand.chosen.mode = Some(Mode::Off);
    let (ended, settled) = project.run_with(&[], &|| false, off);
    assert_eq!(scaled(&ended), &Gave::Value(json!(6)));
    assert_eq!(settled.len(), 6);
    assert_eq!(project.read("text.txt"), "a b\na\na\n6\n");
}

#[test]
fn a_step_that_fails_is_named_and_the_process_follows() {
    let text = "operations:
  p:
    operations:
      good: {run: 'echo 1 > o', outputs: {o: o}}
      bad: {run: 'exit 3'}
    outputs: {o: good.o}
";
    let project = Project::new(&[("p.yaml", text)]);
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Failed);
    assert_eq!(settled, ["p upstream-failed", "p.bad failed", "p.good computed"]);
    assert_eq!(ended.failures[0].0, "p.bad");
    assert_eq!(project.run(&[]).1[2], "p.good hit", "what succeeded is kept");
}

const USED: &str =
    "params: {times: {type: int, default: 1, choices: [1, 2, 3]}, word: {type: text}}
inputs: {text: own.txt}
operations:
  count:
    run: sh count.sh {{ params.word }} {{ inputs.text }} {{ params.times }} > {{ outputs.n }}
    inputs: {text: {from: inputs.text}}
    outputs: {n: {json: n.json}}
outputs: {n: count.n}
";

fn user(more: &str) -> String {
    format!(
        "operations:\n  first: {{run: 'echo a > o', outputs: {{o: o, n: {{json: n}}}}}}\n  part:\n    use: sub/used.yaml\n{more}"
    )
}

fn uses(more: &str) -> Project {
    Project::new(&[
        ("p.yaml", &user(more)),
        ("sub/used.yaml", USED),
        ("sub/own.txt", "a\na\n"),
        ("sub/count.sh", "echo $(($(grep -c $1 $2) * $3))\n"),
    ])
}

#[test]
fn another_file_is_a_process_with_paths_of_its_own() {
    let project = uses("    params: {word: a, times: 3}\noutputs: {n: part.n}\n");
    project.write(
        "p.yaml",
        &project
            .read("p.yaml")
            .replace("n: {json: n}", "m: o2")
            .replace("echo a > o", "echo a > o; echo > o2"),
    );
    let (ended, settled) = project.run(&[]);
    assert_eq!(scaled(&ended), &Gave::Value(json!(6)));
    assert_eq!(settled, ["first computed", "part computed", "part.count computed"]);
    assert_eq!(project.run(&[]).1, ["first hit", "part hit"]);
    // An input of the user in place of the file's own.
    let given = project
        .read("p.yaml")
        .replace("times: 3}", "times: 3}\n    inputs: {text: {from: first.o}}");
    project.write("p.yaml", &given);
    let (ended, _) = project.run(&[]);
    assert_eq!(scaled(&ended), &Gave::Value(json!(3)));
    // What the used file computed alone is known to whoever uses it.
    let alone = Project { directory: project.directory };
    let params = [("word", "a"), ("times", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    let variation = Variation { params: params.to_vec(), ..Variation::default() };
    let (ended, _) = alone.run_file("sub/used.yaml", &variation, &|| false, |_| ());
    assert_eq!(scaled(&ended), &Gave::Value(json!(4)));
    alone.write(
        "p.yaml",
        &user("    params: {word: a, times: 2}\n")
            .replace("n: {json: n}", "m: o2")
            .replace("echo a > o", "echo a > o; echo > o2"),
    );
    assert_eq!(alone.run(&[]).1, ["first hit", "part computed", "part.count hit"]);
}

fn refused(text: &str) -> String {
    let project = uses("");
    project.write("p.yaml", text);
    let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
    let root = project.directory.path().canonicalize().unwrap();
    error.replace(&format!("{}/project/", root.display()), "")
}

#[test]
fn what_does_not_fit_is_told_in_the_right_file() {
    for (more, told) in [
        (
            "    params: {times: 4, word: a}",
            "p.yaml:5:21: parameter `times` of the used file is none of 1, 2, 3",
        ),
        (
            "    params: {time: 3, word: a}",
            "p.yaml:5:20: the used file has no parameter `time`; did you mean `times`?",
        ),
        (
            "    params: {}",
            "p.yaml:4:10: the used file needs a parameter `word`: give it in `params`",
        ),
        (
            "    params: {word: a}\n    inputs: {txt: p.yaml}",
            "p.yaml:6:19: the used file has no input `txt`; did you mean `text`?",
        ),
        (
            "    params: {word: a}\n    outputs: {x: y}",
            "p.yaml:6:18: the outputs of a used file are those that it gives itself",
        ),
        (
            "    params: {word: a}\n    run: x",
            "p.yaml:4:5: operation `part` has `run` and `use`: it may have one of them",
        ),
        (
            "    params: {word: a}\n  z: {params: {n: {from: part.m}}, run: x}",
            "p.yaml:6:19: `part` has no output `m`; known: `n`",
        ),
        (
            "    params: {word: a}\n  z: {inputs: {n: {from: part.count}}, run: x}",
            "p.yaml:6:19: `part` has no output `count`",
        ),
        (
            "    params: {word: a}\n    timeout: 3s",
            "p.yaml:6:14: `timeout` is for a command: say it at the steps of `part`",
        ),
        ("    params: {word: a}\n    cache: {io: [text]}", "`cache.io` is for a command"),
        ("    params: {word: a}\n  z: {}", "p.yaml:6:6: operation `z` has none of `run`"),
    ] {
        let error = refused(&user(more));
        assert!(error.contains(told), "{more}\n{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    for (steps, told) in [
        ("x: {run: 'echo {{ params.top }}'}", "`params.top` in `run`: there is no such name"),
        ("x: {run: x, inputs: {i: {from: made.raw}}}", "there is no operation `made`"),
        ("x: {run: x, inputs: {i: {from: inputs.raw}}}", "there is no input `raw` around it"),
        (
            "x: {run: x, inputs: {i: {path: '{{ params.late }}'}}}",
            "`params.late` is known only when the run has come so far: name it in `run`",
        ),
        ("x: {run: x}\n      y: {run: x, needs: [z]}", "there is no operation `z`"),
        ("inputs: {run: x}", "no operation can be named `inputs`"),
        ("x: {run: x, outputs: {o: ../o}}", "output `o`: `../o` leads out of"),
    ] {
        let error = refused(&format!(
            "params: {{top: 1}}\noperations:\n  made: {{run: x, outputs: {{raw: r, n: {{json: n}}}}}}\n  p:\n    params: {{late: {{from: made.n}}}}\n    inputs: {{rows: {{from: made.raw}}}}\n    operations:\n      {steps}\n"
        ));
        assert!(error.contains(told), "{steps}\n{error}");
    }
    let project = uses("    params: {word: a}\n");
    project.write("sub/used.yaml", "operations:\n  a: {run: 'x {{ params.b }}'}\n");
    let read = || {
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err();
        error.to_string()
    };
    project.write("p.yaml", &user(""));
    assert!(read().contains("used.yaml:2:12: `params.b` in `run`"), "{}", read());
    project.write("sub/used.yaml", "operations: {a: {use: ../p.yaml}}\n");
    assert!(read().contains("used.yaml:1:23: files use each other in a circle: "), "{}", read());
    project.write("p.yaml", "operations: {a: {use: none.yaml}}\n");
    assert!(read().contains("p.yaml:1:23: `use`: cannot read "), "{}", read());
}
