//! What is put where an operation file says takes nothing of the user's with it.

#![allow(clippy::unwrap_used)]

mod project;

use std::fs;

use project::Project;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::Ended;

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
