//! What counts in a key, and what does not.

use std::os::unix::fs::PermissionsExt;

use crate::project::Project;

/// One operation that is cached, with more fields; it gives `o`.
pub fn one(run: &str, more: &str) -> String {
    format!(
        "operations:\n  one:\n    run: {run:?}\n    outputs: {{o: o}}\n    cache: {{disable: false}}\n    {more}\noutputs: {{o: {{from: one.o, to: got}}}}\n"
    )
}

/// A change of a project, and what then becomes of its operation.
type Change<'a> = (&'a dyn Fn(&Project), &'a str);

/// Whether each change of the project makes the only operation run.
#[track_caller]
fn changes(project: &Project, all: &[Change<'_>]) {
    project.run(&[]);
    for (number, (change, outcome)) in all.iter().enumerate() {
        change(project);
        assert_eq!(project.run(&[]), [format!("one {outcome}")], "change {number}");
    }
}

/// An edit of the operation file.
fn edit(from: &'static str, to: &'static str) -> impl Fn(&Project) {
    move |project| project.edit("p.yaml", from, to)
}

#[test]
fn polyaxon_08_results_stay_in_their_project() {
    let project = Project::of(&one("echo x > o", ""));
    for (name, outcome) in
        [("blue", "computed"), ("red", "computed"), ("blue", "hit"), ("red", "hit")]
    {
        let run = |words: &[&str]| project.command(words).env("THRIFTY_PROJECT", name).output();
        assert!(run(&["run", "p.yaml"]).unwrap().status.success());
        let shown = String::from_utf8(run(&["show"]).unwrap().stdout).unwrap();
        assert!(shown.contains(outcome), "{name}: {shown}");
    }
}

#[test]
fn polyaxon_09_f12_f13_inputs_count_by_name_type_and_value_or_those_that_are_chosen() {
    let text = one("echo {{ params.a }} > o", "params: {a: 1, b: x}");
    changes(
        &Project::of(&text),
        &[
            (&edit("params: {a: 1, b: x}", "params: {b: x, a: 1}"), "hit"),
            (&edit("b: x", "b: y"), "computed"),
            (&edit("b: y", "c: y"), "computed"),
            (&edit("a: 1", "a: '1'"), "computed"),
            (&edit("disable: false", "disable: false, io: [a]"), "computed"),
            (&edit("c: y", "c: z"), "hit"),
            (&edit("a: '1'", "a: '2'"), "computed"),
        ],
    );
}

#[test]
fn polyaxon_10_f14_declared_outputs_count() {
    let project = Project::of(&one("echo '{\"x\": 1, \"y\": 1}' | tee o > m.json", ""));
    changes(
        &project,
        &[
            (&edit("outputs: {o: o}", "outputs: {o: o, m: m.json}"), "computed"),
            (&edit("m: m.json", "m: {json: m.json}"), "computed"),
            (&edit("{json: m.json}", "{json: m.json, at: /x}"), "computed"),
            (&edit("at: /x", "at: /y"), "computed"),
            (&edit("to: got", "to: elsewhere"), "hit"),
        ],
    );
}

#[test]
fn polyaxon_11_f15_f16_f21_command_scripts_and_variables_count() {
    let text = one("sh tool.sh > o", "env: {LEVEL: '1'}");
    let project = Project::new(&[("p.yaml", &text), ("tool.sh", "echo $LEVEL\n"), ("notes", "")]);
    changes(
        &project,
        &[
            (&|project| project.write("notes", "nothing to do with it"), "hit"),
            (&|project| project.write("tool.sh", "echo $LEVEL more\n"), "computed"),
            (&edit("LEVEL: '1'", "LEVEL: '2'"), "computed"),
            (&edit("LEVEL: '2'", "LEVEL: '2', MORE: ''"), "computed"),
            (&edit("sh tool.sh", "sh  tool.sh"), "computed"),
            (&edit("env: {", "timeout: 1h\n    resources: {cpus: 1}\n    env: {"), "hit"),
        ],
    );
}

#[test]
fn polyaxon_12_f22_f23_what_is_brought_in_counts_by_content() {
    let text = one("cat data/* > o", "inputs: {data: data}");
    let project = Project::new(&[("p.yaml", &text), ("data/a", "1"), ("data/b", "2")]);
    let touch = |project: &Project| {
        std::fs::remove_file(project.at("data/a")).unwrap();
        project.write("data/a", "1");
    };
    let mode = |project: &Project| {
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(project.at("data/a"), mode).unwrap();
    };
    changes(
        &project,
        &[
            (&touch, "hit"),
            (&|project| project.write("data/b", "3"), "computed"),
            (&|project| project.write("data/c", ""), "computed"),
            (&mode, "computed"),
            (
                &|project| std::fs::rename(project.at("data/c"), project.at("data/d")).unwrap(),
                "computed",
            ),
            (&|project| project.write("data/b", "2"), "computed"),
        ],
    );
}

#[test]
fn polyaxon_13_f25_sections_say_what_counts() {
    let text = one("cat i.txt > o", "inputs: {i: i.txt}\n    env: {V: a}");
    let project = Project::new(&[("p.yaml", &text), ("i.txt", "1")]);
    changes(
        &project,
        &[
            (&edit("disable: false", "disable: false, sections: [command, inputs]"), "computed"),
            (&edit("V: a", "V: b"), "hit"),
            (&|project| project.write("i.txt", "2"), "computed"),
            (&edit("sections: [command, inputs]", "sections: [command]"), "computed"),
            (&|project| project.write("i.txt", "3"), "hit"),
            (&edit("cat i.txt", "cat < i.txt"), "computed"),
        ],
    );
}

#[test]
fn polyaxon_14_f17_f18_a_version_stands_in_for_the_code_and_a_salt_keeps_apart() {
    let project = Project::new(&[("p.yaml", &one("sh tool.sh > o", "")), ("tool.sh", "echo 1\n")]);
    changes(
        &project,
        &[
            (&edit("disable: false", "disable: false, version: '1'"), "computed"),
            (&|project| project.write("tool.sh", "echo 2\n"), "hit"),
            (&edit("version: '1'", "version: '2'"), "computed"),
            (&edit("version: '2'", "version: '2', salt: blue"), "computed"),
            (&edit("salt: blue", "salt: red"), "computed"),
        ],
    );
}

#[test]
fn polyaxon_15_f62_an_operation_that_declares_nothing_is_cached() {
    let text = "operations: {one: {run: 'true', cache: {disable: false}}}";
    changes(&Project::of(text), &[(&|_| (), "hit")]);
}

#[test]
fn polyaxon_16_f26_resolved_values_count_wherever_they_came_from() {
    let text = "params: {a: 1, unused: 1}
presets: {two: {params: {a: 2}}}
operations:
  one: {run: 'echo {{ params.a }} > o', outputs: {o: o}}
  two: {run: 'echo {{ params.b }} > o', params: {b: '{{ params.a * 2 }}'}, outputs: {o: o}}
";
    let project = Project::of(text);
    project.run(&["-p", "a=2"]);
    assert_eq!(project.run(&["--preset", "two"]), ["one hit", "two hit"]);
    assert_eq!(project.run(&["--set", "params.a=2"]), ["one hit", "two hit"]);
    assert_eq!(project.run(&["-p", "a=2", "-p", "unused=9"]), ["one hit", "two hit"]);
    assert_eq!(project.run(&["-p", "a=3"]), ["one computed", "two computed"]);
    project.write("p.yaml", &text.replace("params: {a: 1,", "params: {a: 3,"));
    assert_eq!(project.run(&[]), ["one hit", "two hit"]);
}

#[test]
fn polyaxon_37_f24_outputs_count_by_content_and_stop_what_follows() {
    let project = Project::new(&[
        (
            "p.yaml",
            "operations:
  clean: {run: \"grep -v '^#' raw.txt > o\", inputs: {raw: raw.txt}, outputs: {o: o}}
  train: {run: 'echo train >> RAN; cat o > m', inputs: {o: {from: clean.o}}, outputs: {m: m}}
",
        ),
        ("raw.txt", "a\n"),
    ]);
    project.run(&[]);
    project.write("raw.txt", "# a comment\na\n");
    assert_eq!(project.run(&[]), ["clean computed", "train hit"]);
    project.write("raw.txt", "b\n");
    assert_eq!(project.run(&[]), ["clean computed", "train computed"]);
}

#[test]
fn f20_packages_that_a_script_imports_count_by_their_version() {
    let version = |project: &Project, version: &str| {
        _ = std::fs::remove_dir_all(project.at("site"));
        project.write("site/lib.py", &format!("text = '{version}'\n"));
        let place = format!("site/lib-{version}.dist-info");
        let metadata = format!("Name: lib\nVersion: {version}\n");
        project.write(&format!("{place}/METADATA"), &metadata);
        project.write(&format!("{place}/top_level.txt"), "lib\n");
    };
    let project = Project::new(&[("s.py", "import lib\nopen('o', 'w').write(lib.text)\n")]);
    version(&project, "1.0");
    let site = project.at("site").display().to_string();
    let search = format!("env: {{PYTHONPATH: {site:?}, PATH: null}}");
    project.write("p.yaml", &one("python3 s.py", &search));
    changes(
        &project,
        &[
            (&|project| version(project, "2.0"), "computed"),
            (&|project| version(project, "1.0"), "hit"),
        ],
    );
}

#[test]
fn f27_f65_a_seed_counts_for_who_draws_and_repeats_what_was_drawn() {
    let project = Project::of(
        "operations:
  drawn: {run: 'echo {{ seed }} > o', outputs: {o: o}}
  other: {run: 'true'}
outputs: {o: {from: drawn.o, to: o}}
",
    );
    project.run(&["--seed", "1"]);
    let first = project.read("o");
    assert_eq!(project.run(&["--seed", "2"]), ["drawn computed", "other hit"]);
    assert_ne!(project.read("o"), first);
    assert_eq!(project.run(&["--seed", "1", "--no-cache"]), ["drawn uncached", "other uncached"]);
    assert_eq!(project.read("o"), first, "the same seed gives the same number");
}
