//! Commands and their files are kept apart: from each other, from the cache, and from the user's.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Ended, Pipeline};

#[track_caller]
fn failed(ended: &Ended, told: &str) {
    assert_eq!(ended.status, RunStatus::Failed);
    assert!(ended.failures.iter().any(|(_, why)| why.contains(told)), "{ended:?}");
}

/// `first` makes a file and a directory, `second` does something with them.
fn two(run: &str) -> Project {
    let text = "operations:
  first: {run: 'echo a > f; mkdir d; echo b > d/g', outputs: {f: f, d: d/}}
  second:
    run: RUN
    inputs: {f: {from: first.f}, d: {from: first.d}}
    outputs: {o: o}
  third: {run: cat f d/g > o, needs: [second], inputs: {f: {from: first.f}, d: {from: first.d}}, outputs: {o: o}}
outputs: {o: {from: third.o, to: o}, d: {from: first.d, to: d}}
";
    Project::new(&[("p.yaml", &text.replace("RUN", &format!("{run:?}")))])
}

#[test]
fn a_command_cannot_write_into_what_another_made() {
    for run in [
        "chmod u+w f; echo x >> f; cp f o",
        "chmod u+w d/g; echo x >> d/g; touch o",
        "chmod u+w f; printf 'x' | dd of=f conv=notrunc status=none; touch o",
    ] {
        // What was just made, and what comes from the cache.
        for is_stored in [false, true] {
            let project = two(run);
            if is_stored {
                project.run_with(&[], &|| false, |demand| demand.only = vec!["first".to_owned()]);
            }
            let (ended, settled) = project.run(&[]);
            failed(&ended, "it wrote into input");
            assert!(settled.contains(&"second failed".to_owned()), "{run}: {settled:?}");
            // Nobody has the damage: not the cache, and not who comes after.
            project
                .write("p.yaml", &project.read("p.yaml").replace(&format!("{run:?}"), "touch o"));
            let (ended, _) = project.run(&[]);
            assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
            assert_eq!(project.read("o"), "a\nb\n", "{run}, stored: {is_stored}");
        }
    }
}

#[test]
fn a_command_cannot_change_the_permissions_of_what_another_made() {
    let text = "operations:
  first: {run: 'echo a > f', outputs: {f: f}}
  second: {run: 'RUN', inputs: {f: {from: first.f}}, outputs: {o: o}}
  third: {run: 'if [ -x f ]; then echo yes; else echo no; fi > o', needs: [second], inputs: {f: {from: first.f}}, outputs: {o: o}}
outputs: {o: {from: third.o, to: o}}
";
    for (run, told) in
        [("chmod +x f; touch o", Some("it wrote into input")), ("mv f o; chmod +x o", None)]
    {
        for is_stored in [false, true] {
            let project = Project::new(&[("p.yaml", &text.replace("RUN", run))]);
            if is_stored {
                project.run_with(&[], &|| false, |demand| demand.only = vec!["first".to_owned()]);
            }
            let (ended, _) = project.run(&[]);
            if let Some(told) = told {
                failed(&ended, told);
                project.write("p.yaml", &text.replace("RUN", "touch o"));
                assert_eq!(project.run(&[]).0.status, RunStatus::Succeeded);
            }
            assert_eq!(project.read("o"), "no\n", "{run}, stored: {is_stored}");
        }
    }
}

#[test]
fn a_command_may_replace_what_it_takes_in_its_own_directory() {
    for run in
        ["sed -i s/a/x/ f; sed -i s/b/x/ d/g; cp f o", "rm -r f d; touch o", "touch d/new; mv f o"]
    {
        let project = two(run);
        let (ended, _) = project.run(&[]);
        assert_eq!(ended.status, RunStatus::Succeeded, "{run}: {ended:?}");
        assert_eq!(
            (project.read("o"), project.read("d/g")),
            ("a\nb\n".to_owned(), "b\n".to_owned())
        );
        assert!(!project.at("d/new").exists());
    }
}

#[test]
fn an_output_is_a_file_of_its_own() {
    for run in ["ln -s FILE o", "ln FILE o", "ln -s FILE x; ln -s x o", "cp -l FILE o"] {
        let text = "operations:
  first: {run: 'RUN', outputs: {o: o}}
  edit: {run: 'x=FILE; echo after > $x', needs: [first]}
  second: {run: cat o > p, needs: [edit], inputs: {o: {from: first.o}}, outputs: {p: p}}
outputs: {p: {from: second.p, to: got}}
";
        let project = Project::new(&[("file", "before\n")]);
        let file = project.at("file").display().to_string();
        project.write("p.yaml", &text.replace("RUN", run).replace("FILE", &file));
        let (ended, settled) = project.run(&[]);
        assert_eq!(ended.status, RunStatus::Succeeded, "{run}: {ended:?}");
        assert!(settled.contains(&"first computed".to_owned()), "{run}: {settled:?}");
        assert_eq!(project.read("got"), "before\n", "{run}");
        assert_eq!(project.read("file"), "after\n", "the file is still the user's to write");
    }
}

#[test]
fn what_is_no_file_is_refused() {
    for (make, run, told) in [
        ("mkfifo i", "cat i > o", "is not a regular file"),
        ("ln -s /dev/zero i", "head -c1 i > o", "is not a regular file"),
        ("ln -s nowhere i", "cat i > o", "No such file"),
        ("mkdir i; ln -s /etc i/x", "ls i > o", "is a symlink"),
        ("mkdir i; mkfifo i/x", "ls i > o", "is not a regular file"),
        ("ln -s i i", "cat i > o", ""),
    ] {
        let project = Project::new(&[]);
        project.write(
            "p.yaml",
            &format!("operations: {{one: {{run: '{run}', inputs: {{i: i}}, outputs: {{o: o}}}}}}"),
        );
        let made = std::process::Command::new("sh")
            .args(["-c", make])
            .current_dir(project.at(""))
            .status();
        assert!(made.unwrap().success());
        let told_by = match Pipeline::read(&project.at("p.yaml"), &[], &|_| None) {
            Ok(_) => project.refused(&[]),
            Err(error) => error.to_string(),
        };
        assert!(told_by.contains(told), "{make}: {told_by}");
    }
    for (run, told) in [
        ("mkfifo o", "is not a regular file"),
        ("mkdir o", "is not a regular file"),
        ("ln -s /dev/zero o", "is no file"),
        ("ln -s nowhere o", "does not exist"),
    ] {
        let project = Project::new(&[(
            "p.yaml",
            &format!("operations: {{one: {{run: '{run}', outputs: {{o: o}}}}}}"),
        )]);
        failed(&project.run(&[]).0, told);
    }
}

#[test]
fn names_bits_and_emptiness_come_through() {
    let text = "operations:
  one:
    run: 'mkdir -p \"d/ä ö\" d/empty; printf x > \"d/ä ö/$(printf \"new\\nline\")\"; : > d/nothing; printf \"#!/bin/sh\\necho ran\" > d/run; chmod +x d/run; : > o'
    outputs: {d: d/, o: o}
  two: {run: './d/run > p; find d | sort >> p', inputs: {d: {from: one.d}, o: {from: one.o}}, outputs: {p: p}}
outputs: {p: {from: two.p, to: p}, d: {from: one.d, to: d}, o: {from: one.o, to: o}}
";
    let project = Project::new(&[("p.yaml", text)]);
    for _ in 0..2 {
        let (ended, _) = project.run(&[]);
        assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
        assert!(project.read("p").starts_with("ran\nd\nd/empty\n"), "{}", project.read("p"));
        assert_eq!(
            (project.read("d/ä ö/new\nline"), project.read("o")),
            ("x".to_owned(), String::new())
        );
        assert!(project.at("d/empty").is_dir());
        // What is delivered is the user's.
        project.write("d/nothing", "mine");
        std::fs::remove_dir_all(project.at("d")).unwrap();
    }
}

#[test]
fn what_is_left_or_read_without_being_declared_is_told_once() {
    let text = "operations:
  one: {run: 'cat SIDE > o; touch left; mkdir -p sub; touch sub/x d/y', retries: 1, outputs: {o: o, d: d/in/z}}
";
    let project = Project::new(&[]);
    let side = project.directory.path().join("side").display().to_string();
    std::fs::write(&side, "x").unwrap();
    project.write("p.yaml", &text.replace("SIDE", &side).replace("touch sub", "touch d/in/z sub"));
    let (ended, _) = project.run(&[]);
    assert_eq!(
        ended.notes,
        [
            "one: it left d/y, left, sub, which is no output: it is gone".to_owned(),
            format!(
                "one: it names {side} and does not declare it: a change of it goes unnoticed; take it in `inputs`"
            ),
        ]
    );
    assert_eq!(project.run(&[]).0.notes, [""; 0], "a hit leaves nothing");
}

#[test]
fn whatever_a_command_names_elsewhere_is_told() {
    let around = tempfile::tempdir().unwrap();
    let side = around.path().join("side");
    std::fs::create_dir_all(side.join("sub")).unwrap();
    std::fs::write(side.join("a.csv"), "").unwrap();
    let side = side.display().to_string();
    for (word, told) in [
        ("SIDE", Some("SIDE")),
        ("--data=SIDE/", Some("SIDE")),
        ("SIDE/*.csv", Some("SIDE/*.csv")),
        ("SIDE/[a-c].c?v", Some("SIDE/[a-c].c?v")),
        ("SIDE/s*/", Some("SIDE/s*")),
        ("~/a.csv", Some("SIDE/a.csv")),
        ("$HOME/a.csv", Some("SIDE/a.csv")),
        ("\"${HOME}/sub\"", Some("SIDE/sub")),
        ("~/*.csv", Some("SIDE/*.csv")),
        ("BASE/data", Some("BASE/data")),
        ("$SIDE_DIR/sub", Some("SIDE/sub")),
        ("; D=SIDE/sub; ls ${D}", Some("SIDE/sub")),
        ("$UNKNOWN/a.csv", None),
        ("SIDE/*.txt", None),
        ("SIDE/[!a]*.csv", None),
        ("~/none", None),
        ("/usr/bin", None),
        ("/tmp", None),
        ("/", None),
    ] {
        let project = Project::new(&[("data/x", "")]);
        let base = project.at("").canonicalize().unwrap().display().to_string();
        let filled = |text: &str| {
            text.replace("SIDE_DIR", "S").replace("SIDE", &side).replace("BASE", &base)
        };
        let text = "operations:\n  one:\n    run: |\n      : WORD\n      touch o\n    env: {HOME: SIDE, SIDE_DIR: SIDE}\n    outputs: {o: o}\n";
        project.write("p.yaml", &filled(&text.replace("WORD", word)));
        let notes = project.run(&[]).0.notes;
        let expected: Vec<_> = told
            .map(|told| format!("one: it names {} and does not declare it: a change of it goes unnoticed; take it in `inputs`", filled(told)))
            .into_iter()
            .collect();
        assert_eq!(notes, expected, "{word}");
    }
}

#[test]
fn what_the_user_has_in_a_directory_is_not_deleted() {
    let text = "params: {n: 2}
operations: {one: {run: 'mkdir d; touch d/a; for i in $(seq {{ params.n }}); do touch d/$i; done', outputs: {d: d/}}}
outputs: {d: {from: one.d, to: results}}
";
    let project = Project::new(&[("p.yaml", text)]);
    assert_eq!(project.run(&[]).0.status, RunStatus::Succeeded);
    assert_eq!(project.run(&[("n", "1")]).0.status, RunStatus::Succeeded);
    assert!(!project.at("results/2").exists(), "what the pipeline put there before goes");
    project.write("results/mine", "x");
    let (ended, settled) = project.run(&[]);
    failed(&ended, "`mine` in it was not put there by the pipeline");
    assert_eq!(settled, ["one hit"], "and nothing is computed for it");
    assert_eq!(project.read("results/mine"), "x");
}

#[test]
fn a_place_that_cannot_be_written_fails_the_run_and_computes_nothing() {
    let text = "operations: {one: {run: 'echo x > o', outputs: {o: o}}}\noutputs: {o: {from: one.o, to: file/o}}\n";
    let project = Project::new(&[("p.yaml", text), ("file", "")]);
    let (ended, settled) = project.run(&[]);
    failed(&ended, "cannot write");
    assert_eq!(settled, ["one computed"]);
    assert_eq!(project.run(&[]).1, ["one hit"]);
}

#[test]
fn a_pipeline_does_not_overwrite_what_it_reads() {
    for (to, told) in [
        ("i.txt", "would overwrite"),
        ("s.sh", "would overwrite"),
        ("p.yaml", "would overwrite"),
        ("data", "would overwrite"),
        ("data/in/new", "would overwrite"),
        ("out/x/y", "have the same `to`, or one is within the other"),
    ] {
        let text = format!("operations: {{one: {{run: 'sh s.sh', inputs: {{i: i.txt, d: data/in}}, outputs: {{o: o, p: p}}}}}}
outputs: {{p: {{from: one.p, to: out/x}}, o: {{from: one.o, to: {to}}}}}
");
        let project =
            Project::new(&[("p.yaml", &text), ("i.txt", ""), ("s.sh", ""), ("data/in/f", "")]);
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told), "{to}: {error}");
    }
}

/// What a command gives may lie behind a link that it made; what lies there stays as it is.
#[test]
fn what_lies_behind_a_link_that_a_command_made_stays_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let text = "operations:
  one: {run: 'rmdir out; ln -s BASE/scratch out; echo a > out/o; echo b > out/p', outputs: {o: out/o, p: out/p}}
outputs: {o: {from: one.o, to: o}, p: {from: one.p, to: p}}
";
    let project = Project::new(&[("scratch/kept", "kept")]);
    let base = project.at("").display().to_string();
    project.write("p.yaml", &text.replace("BASE/", &base));
    let (ended, _) = project.run(&[]);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    assert_eq!((project.read("o"), project.read("p")), ("a\n".to_owned(), "b\n".to_owned()));
    for (name, text) in [("kept", "kept"), ("o", "a\n"), ("p", "b\n")] {
        let path = project.at("scratch").join(name);
        let mode = path.symlink_metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o200, 0o200, "{name} may be written to");
        assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    }
    // What was given is another file.
    project.write("scratch/o", "other");
    assert_eq!(project.run(&[]).1, ["one hit"]);
    assert_eq!(project.read("o"), "a\n");
}
