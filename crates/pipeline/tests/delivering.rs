//! What is put where an operation file says takes nothing of the user's with it, and nothing that
//! the pipeline reads.

#![allow(clippy::unwrap_used)]

mod project;

use std::fs;
use std::os::unix::fs::symlink;

use project::Project;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Ended, Pipeline};

#[track_caller]
fn failed(ended: &Ended, told: &str) {
    assert_eq!(ended.status, RunStatus::Failed);
    assert!(ended.failures.iter().any(|(_, why)| why.contains(told)), "{ended:?}");
}

#[track_caller]
fn succeeds(project: &Project, set: &[(&str, &str)]) {
    let (ended, _) = project.run(set);
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
}

/// A pipeline that puts a directory, made by a command that parameters are part of, at `results`.
fn giving(make: &str) -> Project {
    let text = format!(
        "params: {{n: 1}}
operations: {{one: {{run: 'mkdir d; {make}', outputs: {{d: d/}}}}}}
outputs: {{d: {{from: one.d, to: results}}}}
"
    );
    Project::new(&[("p.yaml", text.as_str())])
}

#[test]
fn a_file_of_the_user_is_not_replaced_by_one_of_its_name() {
    let project = giving("echo {{ params.n }} > d/report.txt");
    project.write("results/report.txt", "MY THESIS");
    let (ended, _) = project.run(&[]);
    failed(&ended, "`report.txt` in it was not put there by the pipeline, or was changed since");
    assert_eq!(project.read("results/report.txt"), "MY THESIS");
    // What has the very bytes that would be put there is no loss.
    project.write("results/report.txt", "1\n");
    succeeds(&project, &[]);
    succeeds(&project, &[("n", "2")]);
    project.write("results/report.txt", "2, as I see it\n");
    failed(&project.run(&[("n", "3")]).0, "`report.txt`");
    assert_eq!(project.read("results/report.txt"), "2, as I see it\n");
}

#[test]
fn a_directory_of_the_user_is_not_removed() {
    let project = giving("mkdir -p d/own/empty; echo {{ params.n }} > d/report.txt");
    fs::create_dir_all(project.at("results/emptydir/sub")).unwrap();
    failed(&project.run(&[]).0, "`emptydir` in it was not put there by the pipeline");
    assert!(project.at("results/emptydir/sub").is_dir());
    fs::remove_dir_all(project.at("results")).unwrap();
    succeeds(&project, &[]);
    assert!(project.at("results/own/empty").is_dir());
    succeeds(&project, &[("n", "2")]);
}

#[test]
fn a_name_that_the_pipeline_once_gave_makes_no_file_its_own() {
    let project = giving("touch d/b.txt; if [ {{ params.n }} = 1 ]; then echo 1 > d/notes.txt; fi");
    succeeds(&project, &[]);
    fs::remove_dir_all(project.at("results")).unwrap();
    project.write("results/notes.txt", "of my own");
    failed(&project.run(&[("n", "2")]).0, "`notes.txt` in it was not put there by the pipeline");
    assert_eq!(project.read("results/notes.txt"), "of my own");
}

#[test]
fn what_was_put_there_stays_the_pipelines_when_a_delivery_fails() {
    let project = giving("for i in $(seq {{ params.n }}); do echo {{ params.n }} > d/$i; done");
    succeeds(&project, &[("n", "3")]);
    fs::rename(project.at("results"), project.at("aside")).unwrap();
    for n in ["2", "1"] {
        project.write("results", "");
        failed(&project.run(&[("n", n)]).0, "cannot write");
        fs::remove_file(project.at("results")).unwrap();
    }
    fs::rename(project.at("aside"), project.at("results")).unwrap();
    succeeds(&project, &[("n", "2")]);
    let mut names: Vec<_> =
        fs::read_dir(project.at("results")).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1", "2"]);
}

/// Why an operation file cannot be used, or its run cannot begin.
fn refused(project: &Project) -> String {
    match Pipeline::read(&project.at("p.yaml"), &[], &|_| None) {
        Ok(_) => project.refused(&[]),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_read_on_the_way_is_not_overwritten() {
    let path = project::path();
    for (operation, to) in [
        ("{run: python3 s.py, outputs: {o: o}}", "helper.py"),
        ("{run: python3 -m s, outputs: {o: o}}", "pack/__init__.py"),
        ("{run: python3 -m s, outputs: {o: o}}", "pack"),
        ("{run: python3 s.py, outputs: {o: o}, cache: {version: '1'}}", "helper.py"),
        ("{task: 's:train', outputs: [o]}", "s.py"),
        ("{task: 's:train', outputs: [o]}", "pack/deep.py"),
        ("{use: used.yaml}", "used.yaml"),
        ("{use: used.yaml}", "below.yaml"),
        ("{run: touch o, outputs: {o: o}}", "above.yaml"),
        ("{run: touch o, inputs: {i: alias/in.csv}, outputs: {o: o}}", "data/in.csv"),
        ("{run: touch o, inputs: {i: data/in.csv}, outputs: {o: o}}", "alias/in.csv"),
        ("{run: touch o, inputs: {i: link.csv}, outputs: {o: o}}", "data/in.csv"),
    ] {
        let used = "operations: {a: {run: touch o, outputs: {o: o}}}\noutputs: {o: a.o}\n";
        let files = [
            ("s.py", "import helper, pack\n"),
            ("helper.py", ""),
            ("pack/__init__.py", "from . import deep\n"),
            ("pack/deep.py", ""),
            ("below.yaml", "env: {}\n"),
            ("above.yaml", "env: {}\n"),
            ("data/in.csv", "1"),
        ];
        let project = Project::new(&files);
        project.write("used.yaml", &format!("include: [below.yaml]\n{used}"));
        symlink("data", project.at("alias")).unwrap();
        symlink("data/in.csv", project.at("link.csv")).unwrap();
        let text = format!(
            "include: [above.yaml]\nenv: {{PATH: {path:?}}}\noperations: {{one: {operation}}}\noutputs: {{o: {{from: one.o, to: {to}}}}}\n"
        );
        project.write("p.yaml", &text);
        let told = refused(&project);
        assert!(told.contains("output `o` would overwrite"), "{operation}, {to}: {told}");
    }
}

#[test]
fn one_place_by_two_paths_is_one_place() {
    let text = "operations: {one: {run: touch o p, outputs: {o: o, p: p}}}
outputs: {o: {from: one.o, to: data/x}, p: {from: one.p, to: alias/x}}
";
    let project = Project::new(&[("p.yaml", text), ("data/in.csv", "")]);
    symlink("data", project.at("alias")).unwrap();
    let told = refused(&project);
    assert!(told.contains("have the same `to`"), "{told}");
}
