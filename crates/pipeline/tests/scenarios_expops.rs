//! What goes wrong in ExpOps, by the number of the fault, and its features that are rows of the
//! feature table: here as commands do it.

#![allow(clippy::unwrap_used)]

mod project;

use std::path::{Path, PathBuf};

use project::Project;
use thrifty_engine::catalog::RunStatus;

/// One cached operation that gives `o`.
fn one(run: &str, more: &str) -> String {
    format!(
        "operations:\n  one:\n    run: {run:?}\n    outputs: {{o: o}}\n    {more}\n    cache: {{disable: false}}\noutputs: {{o: {{from: one.o, to: got}}}}\n"
    )
}

/// The outcome of the only operation.
#[track_caller]
fn outcome(project: &Project) -> String {
    let (ended, settled) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    settled.join(", ")
}

#[test]
fn fault_1_hits_do_not_alternate_with_misses() {
    let project = Project::new(&[("p.yaml", &one("echo x > o", ""))]);
    let outcomes: Vec<_> = (0..6).map(|_| outcome(&project)).collect();
    assert_eq!(outcomes[0], "one computed");
    assert!(outcomes[1..].iter().all(|it| it == "one hit"), "{outcomes:?}");
}

#[test]
fn fault_2_a_command_that_fails_runs_once() {
    let project = Project::new(&[("p.yaml", "")]);
    let count = project.at("count").display().to_string();
    project.write("p.yaml", &one(&format!("c={count}; echo x >> $c; exit 3"), ""));
    assert_eq!(project.run(&[]).0.status, RunStatus::Failed);
    assert_eq!(project.read("count"), "x\n");
}

#[test]
fn fault_3_tables_that_differ_in_one_row_are_different() {
    let rows = |changed: usize| {
        let row = |n: usize| format!("{n},{}\n", if n == changed { "x" } else { "y" });
        (0..1000).map(row).collect::<String>()
    };
    let text = one("grep -n x table.csv > o || true", "inputs: {table: table.csv}");
    let project = Project::new(&[("p.yaml", &text), ("table.csv", &rows(1000))]);
    outcome(&project);
    for changed in [0, 500, 999] {
        project.write("table.csv", &rows(changed));
        assert_eq!(outcome(&project), "one computed");
        assert_eq!(project.read("got"), format!("{}:{changed},x\n", changed + 1));
    }
}

#[test]
fn faults_4_and_9_helpers_count_and_equal_outputs_cut_off() {
    let text = "operations:
  first: {run: python3 s.py, outputs: {o: o}}
  second: {run: cp o p, inputs: {o: {from: first.o}}, outputs: {p: p}}
outputs: {p: {from: second.p, to: got}}
";
    let text = format!("env: {{PATH: {:?}}}\n{text}", project::path());
    let script = "from lib import value\nopen('o', 'w').write(str(value()))\n";
    let project =
        Project::new(&[("p.yaml", &text), ("s.py", script), ("lib.py", "def value(): return 1\n")]);
    assert_eq!(project.run(&[]).1, ["first computed", "second computed"]);
    project.write("lib.py", "def value(): return 2\n");
    assert_eq!(project.run(&[]).1, ["first computed", "second computed"]);
    assert_eq!(project.read("got"), "2");
    project.write("lib.py", "def value(): return 1 + 1\n");
    assert_eq!(project.run(&[]).1, ["first computed", "second hit"], "the same came out");
}

#[test]
fn fault_5_what_an_operation_does_not_use_does_not_count() {
    let text = "params: {used: 1, other: 1}
operations:
  one: {run: 'echo {{ params.used }} > o', outputs: {o: o}}
  two: {run: 'echo {{ params.other }} > o', outputs: {o: o}, env: {V: a}}
";
    let project = Project::new(&[("p.yaml", text)]);
    project.run(&[]);
    for edited in [
        text.replace("other: 1", "other: 2"),
        text.replace("V: a", "V: b"),
        text.replace("params: {", "description: more\nparams: {third: 1, "),
        format!("{text}  three: {{run: 'true'}}\n"),
    ] {
        project.write("p.yaml", &edited);
        assert!(project.run(&[]).1.contains(&"one hit".to_owned()), "{edited}");
    }
}

#[test]
fn fault_6_values_of_different_types_are_different() {
    let values = [
        "1", "'1'", "1.0", "true", "'true'", "[1]", "['1']", "[[1]]", "{a: 1}", "{'1': 1}", "null",
        "''",
    ];
    let text = |value: &str| {
        one(
            "echo {{ params.x | length if params.x is sequence else 0 }} > o",
            &format!("params: {{x: {value}}}"),
        )
    };
    let project = Project::new(&[("x", "")]);
    for value in values {
        project.write("p.yaml", &text(value));
        assert_eq!(outcome(&project), "one computed", "{value}");
    }
    for value in values {
        project.write("p.yaml", &text(value));
        assert_eq!(outcome(&project), "one hit", "{value}");
    }
}

#[test]
fn fault_7_what_cannot_be_hashed_is_an_error_and_nothing_runs() {
    let project = Project::new(&[("d/x", "")]);
    let count = project.at("count");
    let text = one(&format!("c={}; echo x > $c; touch o", count.display()), "inputs: {d: d}");
    project.write("p.yaml", &text);
    std::os::unix::fs::symlink("nowhere", project.at("d/link")).unwrap();
    let refused = project.refused(&[]);
    assert!(refused.contains("`d`") && refused.contains("d/link"), "{refused}");
    assert!(!count.exists());
}

#[test]
fn fault_8_a_cache_that_cannot_be_written_is_said() {
    let project = Project::new(&[("p.yaml", &one("echo x > o", ""))]);
    let file = project.at("file");
    std::fs::write(&file, "").unwrap();
    let (ended, settled) = project.run_with(&[], &|| false, |demand| demand.work = file.join("w"));
    assert_eq!((ended.status, settled.join("")), (RunStatus::Succeeded, "one computed".to_owned()));
    assert!(ended.notes.iter().any(|note| note.contains("cannot write to")), "{:?}", ended.notes);
}

#[test]
fn fault_10_packages_count_by_version_and_not_by_the_name_of_an_environment() {
    let project = Project::new(&[("s.py", "import lib\nopen('o', 'w').write(lib.text)\n")]);
    let install = |version: &str| {
        _ = std::fs::remove_dir_all(project.at("env"));
        project.write("env/lib.py", &format!("text = '{version}'\n"));
        project.write(
            &format!("env/lib-{version}.dist-info/METADATA"),
            &format!("Name: lib\nVersion: {version}\n"),
        );
        project.write(&format!("env/lib-{version}.dist-info/top_level.txt"), "lib\n");
    };
    install("1");
    let env = format!(
        "env: {{PYTHONPATH: '{}', PATH: '{}'}}",
        project.at("env").display(),
        project::path()
    );
    project.write("p.yaml", &one("python3 s.py", &env));
    assert_eq!(outcome(&project), "one computed");
    install("2");
    assert_eq!(outcome(&project), "one computed");
    assert_eq!(project.read("got"), "2");
    install("1");
    assert_eq!(outcome(&project), "one hit");
}

#[test]
fn fault_11_a_time_to_live_is_kept() {
    let text = one("echo x > o", "").replace("disable: false", "disable: false, ttl: 1ms");
    let project = Project::new(&[("p.yaml", &text)]);
    assert_eq!(outcome(&project), "one computed");
    assert_eq!(outcome(&project), "one computed", "a millisecond has passed");
    project.write("p.yaml", &text.replace("1ms", "1h"));
    assert_eq!(outcome(&project), "one hit");
}

/// The files below a directory that have this length.
fn of_length(directory: &Path, length: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let metadata = entry.metadata().unwrap();
        match metadata.is_dir() {
            true => found.extend(of_length(&entry.path(), length)),
            false if metadata.len() == length => found.push(entry.path()),
            false => {}
        }
    }
    found
}

const BIG: &str = "head -c 300000 /dev/zero | tr '\\0' x > o";

#[test]
fn faults_12_and_14_bytes_are_checked_and_equal_ones_kept_once() {
    let text = format!(
        "operations:
  one: {{run: {BIG:?}, outputs: {{o: o}}}}
  two: {{run: {:?}, needs: [one], outputs: {{o: o}}}}
  three: {{run: 'wc -c < o > n', inputs: {{o: {{from: one.o}}}}, outputs: {{n: n}}}}
outputs: {{o: {{from: one.o, to: got}}, n: {{from: three.n, to: n}}, t: two.o}}
",
        format!("{BIG}; true")
    );
    let project = Project::new(&[("p.yaml", &text)]);
    project.run(&[]);
    let kept = of_length(&project.directory.path().join("home"), 300_000);
    assert_eq!(kept.len(), 1, "{kept:?}");
    // Somebody damages it: a miss, never what stands there now.
    std::fs::remove_file(&kept[0]).unwrap();
    std::fs::write(&kept[0], "y".repeat(300_000)).unwrap();
    project.write("p.yaml", &text.replace("wc -c < o", "cat o | tr -d x"));
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!((project.read("n"), project.read("got")), (String::new(), "x".repeat(300_000)));
}

#[test]
fn fault_13_who_comes_second_waits_for_the_first() {
    let project = Project::new(&[("x", "")]);
    let place = |name: &str| project.at(name).display().to_string();
    let run = format!("c={}; echo x >> $c; echo y > o", place("count"));
    project.write(
        "p.yaml",
        &one(&run, "").replace("disable: false", "disable: false, serialize: true"),
    );
    let run = |n: usize| {
        let work = project.directory.path().join(format!("work{n}"));
        project.run_with(&[], &|| false, |demand| demand.work = work).1
    };
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let both: Vec<_> = [0, 1]
            .map(|n| {
                scope.spawn({
                    let run = &run;
                    move || run(n)
                })
            })
            .into();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(project.read("count"), "x\n", "{outcomes:?}");
}

#[test]
fn fault_15_a_seed_is_an_ingredient_of_its_own() {
    let text = "seed: 1
operations:
  drawn: {run: 'echo {{ seed }} > o', outputs: {o: o}}
  other: {run: 'echo x > o', outputs: {o: o}}
";
    let project = Project::new(&[("p.yaml", text)]);
    assert_eq!(project.run(&[]).1, ["drawn computed", "other computed"]);
    assert_eq!(project.run(&[]).1, ["drawn hit", "other hit"]);
    project.write("p.yaml", &text.replace("seed: 1", "seed: 2"));
    assert_eq!(project.run(&[]).1, ["drawn computed", "other hit"]);
}

#[test]
fn row_f2_a_process_is_looked_up_before_its_steps_and_then_they_are() {
    let text = "operations:
  p:
    inputs: {i: i.txt}
    operations:
      a: {run: 'cat i.txt > o', inputs: {i: {from: inputs.i}}, outputs: {o: o}}
      b: {run: 'wc -l < o > n', inputs: {o: {from: a.o}}, outputs: {n: n}}
    outputs: {n: b.n}
outputs: {n: {from: p.n, to: got}}
";
    let project = Project::new(&[("p.yaml", text), ("i.txt", "x\n")]);
    let (_, first) = project.run(&[]);
    assert!(first.contains(&"p.a computed".to_owned()), "{first:?}");
    assert_eq!(project.run(&[]).1, ["p hit"], "its steps are not even looked up");
    project.write("p.yaml", &text.replace("wc -l", "wc -c"));
    let (_, again) = project.run(&[]);
    assert!(
        again.contains(&"p.a hit".to_owned()) && again.contains(&"p.b computed".to_owned()),
        "{again:?}"
    );
}

#[test]
fn row_f35_a_payload_that_is_gone_is_made_again() {
    let project = Project::new(&[("p.yaml", &one(BIG, ""))]);
    outcome(&project);
    for blob in of_length(&project.directory.path().join("home"), 300_000) {
        std::fs::remove_file(blob).unwrap();
    }
    std::fs::remove_file(project.at("got")).unwrap();
    outcome(&project);
    assert_eq!(project.read("got").len(), 300_000);
    assert_eq!(outcome(&project), "one hit");
}

#[test]
fn row_f62_an_operation_without_outputs_is_kept_too() {
    let project =
        Project::new(&[("p.yaml", "operations: {one: {run: 'true', cache: {disable: false}}}")]);
    assert_eq!(outcome(&project), "one computed");
    assert_eq!(outcome(&project), "one hit");
}

#[test]
fn the_switch_that_expops_lacks_works_at_every_level() {
    let project = Project::new(&[("p.yaml", &one("echo x > o", ""))]);
    outcome(&project);
    let off = |demand: &mut thrifty_pipeline::Demand<'_>| {
        demand.chosen.mode = Some(thrifty_engine::Mode::Off)
    };
    let (ended, settled) = project.run_with(&[], &|| false, off);
    assert_eq!(settled, ["one uncached"], "{ended:?}");
    project.write("p.yaml", &project.read("p.yaml").replace("disable: false", "disable: true"));
    assert_eq!(outcome(&project), "one uncached");
}
