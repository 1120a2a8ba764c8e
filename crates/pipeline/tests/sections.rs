//! What of a key `sections` leaves out: for each section, what changes the result's name and what does not.

#![allow(clippy::unwrap_used)]

mod project;

use project::Project;
use thrifty_pipeline::Pipeline;

const ALL: [&str; 6] = ["command", "code", "packages", "env", "params", "inputs"];

const TEXT: &str = "operations:
  one:
    run: python3 s.py {{ params.p }} i > o
    params: {p: 1}
    inputs: {i: i}
    outputs: {o: o}
    env: {V: a, PYTHONPATH: PACKAGES, PATH: 'PROGRAMS'}
    cache: {disable: false, sections: SECTIONS}
";

fn project(sections: &[&str]) -> Project {
    let project = Project::new(&[
        ("s.py", "import lib\nprint('a')\n"),
        ("i", "a"),
        ("packages/lib.py", ""),
        ("packages/lib-1.dist-info/METADATA", "Name: lib\nVersion: 1\n"),
        ("packages/lib-1.dist-info/top_level.txt", "lib\n"),
    ]);
    let packages = project.at("packages").display().to_string();
    let text = TEXT
        .replace("PACKAGES", &packages)
        .replace("PROGRAMS", project::path())
        .replace("SECTIONS", &format!("{sections:?}"));
    project.write("p.yaml", &text);
    project
}

/// Changes what belongs to a section, and nothing else.
fn change(project: &Project, section: &str) {
    let edit = |from: &str, to: &str| {
        let text = project.read("p.yaml");
        assert!(text.contains(from));
        project.write("p.yaml", &text.replace(from, to));
    };
    match section {
        "command" => edit("i > o", "i  > o"),
        "code" => project.write("s.py", "import lib\nprint('b')\n"),
        "packages" => {
            let place = project.at("packages");
            std::fs::remove_dir_all(place.join("lib-1.dist-info")).unwrap();
            project.write("packages/lib-2.dist-info/METADATA", "Name: lib\nVersion: 2\n");
            project.write("packages/lib-2.dist-info/top_level.txt", "lib\n");
        }
        "env" => edit("V: a", "V: b"),
        "params" => edit("p: 1", "p: 2"),
        "inputs" => project.write("i", "b"),
        other => unreachable!("{other}"),
    }
}

#[test]
fn a_section_counts_if_and_only_if_it_is_named() {
    for section in ALL {
        let others: Vec<_> = ALL.into_iter().filter(|other| *other != section).collect();
        for (sections, outcome) in [(vec![section], "one computed"), (others, "one hit")] {
            let project = project(&sections);
            assert_eq!(project.run(&[]).1, ["one computed"]);
            assert_eq!(project.run(&[]).1, ["one hit"], "{sections:?}");
            change(&project, section);
            assert_eq!(project.run(&[]).1, [outcome], "{section} changed, {sections:?} count");
        }
    }
}

#[test]
fn what_counts_is_part_of_the_key_itself() {
    let project = project(&ALL);
    project.run(&[]);
    let text = project.read("p.yaml");
    project.write("p.yaml", &text.replace("\"command\", ", ""));
    assert_eq!(project.run(&[]).1, ["one computed"], "fewer sections are another key");
    project.write("p.yaml", &text.replace("\"command\", \"code\"", "\"code\", \"command\""));
    assert_eq!(project.run(&[]).1, ["one hit"], "their order is not");
}

#[test]
fn other_words_are_refused() {
    let project = Project::new(&[(
        "p.yaml",
        "operations:\n  one:\n    run: 'true'\n    cache: {sections: [commands]}\n",
    )]);
    let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
    assert!(
        error.contains("p.yaml:4")
            && error.contains("expected one of command, code")
            && error.contains("commands"),
        "{error}"
    );
}
