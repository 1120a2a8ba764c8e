//! What operations need of the machine: how many run at once, and that none of it is in a key.

#![allow(clippy::unwrap_used)]

mod project;

use std::sync::{Arc, Mutex};

use project::Project;
use thrifty_engine::catalog::RunStatus;
use thrifty_engine::event::Event;
use thrifty_pipeline::{Pipeline, Resources};

const TWO: Resources = Resources { millicpus: 2000, memory: 1 << 30, gpus: 2 };

/// Four operations that need `resources`, and one that says nothing.
fn four(resources: &str) -> String {
    let mut text = "operations:\n  free: {run: 'true'}\n".to_owned();
    for n in 0..4 {
        text += &format!(
            "  n{n}:\n    run: echo $CUDA_VISIBLE_DEVICES {n} > o\n    outputs: {{o: o}}\n    resources: {resources}\n"
        );
    }
    text + "outputs: {o0: {from: n0.o, to: o0}, o1: {from: n1.o, to: o1}, o2: {from: n2.o, to: o2}, o3: {from: n3.o, to: o3}}\n"
}

/// Runs with four workers; gives how many of the four ran at once, and what became of each.
fn at_once(project: &Project, capacity: Resources) -> (usize, Vec<String>) {
    let running = Arc::new(Mutex::new((0_usize, 0_usize)));
    let seen = Arc::clone(&running);
    let (ended, settled) = project.run_with(&[], &|| false, |demand| {
        let before = Arc::clone(&demand.listener);
        demand.workers = 4;
        demand.capacity = capacity;
        demand.listener = Arc::new(move |event: &Event| {
            let mut seen = seen.lock().unwrap();
            match event {
                Event::Started { operation, .. } if operation != "p:free" => {
                    seen.0 += 1;
                    seen.1 = seen.1.max(seen.0);
                }
                Event::Settled { operation, outcome, .. }
                    if operation != "p:free" && !outcome.is_hit() =>
                {
                    seen.0 -= 1;
                }
                _ => {}
            }
            drop(seen);
            before(event);
        });
    });
    assert_eq!(ended.status, RunStatus::Succeeded, "{ended:?}");
    let most = running.lock().unwrap().1;
    (most, settled)
}

#[test]
fn only_as_many_run_at_once_as_fit() {
    for (resources, most) in [
        ("{cpus: 2}", 1),
        ("{cpus: 0.7}", 2),
        ("{memory: 512MiB}", 2),
        ("{gpus: 1}", 2),
        ("{gpus: 2, cpus: 0.1}", 1),
    ] {
        let project = Project::new(&[("p.yaml", &four(resources))]);
        assert_eq!(at_once(&project, TWO).0, most, "{resources}");
    }
    let project = Project::new(&[("p.yaml", &four("{cpus: 0.1}"))]);
    assert!(at_once(&project, TWO).0 > 2);
}

#[test]
fn resources_are_no_part_of_a_key() {
    let project = Project::new(&[("p.yaml", &four("{cpus: 1}"))]);
    let words = ["free computed", "n0 computed", "n1 computed", "n2 computed", "n3 computed"];
    assert_eq!(at_once(&project, TWO).1, words);
    project.write("p.yaml", &four("{cpus: 2, memory: 1MiB, gpus: 1}"));
    let words = ["free hit", "n0 hit", "n1 hit", "n2 hit", "n3 hit"];
    assert_eq!(at_once(&project, TWO).1, words);
}

#[test]
fn a_command_is_told_which_graphics_processors_are_its_own() {
    let project = Project::new(&[("p.yaml", &four("{gpus: 1}"))]);
    at_once(&project, TWO);
    for n in 0..4 {
        let told = project.read(&format!("o{n}"));
        assert!([format!("0 {n}\n"), format!("1 {n}\n")].contains(&told), "{told:?}");
    }
    let project = Project::new(&[("p.yaml", &four("{gpus: 2}"))]);
    at_once(&project, TWO);
    assert_eq!(project.read("o3"), "0,1 3\n");
    let project = Project::new(&[("p.yaml", &four("{cpus: 1}"))]);
    at_once(&project, TWO);
    assert_eq!(project.read("o3"), "3\n", "who asks for none is told of none");
}

#[test]
fn what_can_never_run_is_told_before_anything_runs() {
    for (resources, told) in [
        ("{cpus: 3}", "needs 3 cpus, 0 B of memory and 0 gpus, and there are 2 cpus"),
        ("{memory: 2GiB}", "needs 0 cpus, 2.1 GB of memory"),
        ("{gpus: 3}", "and 3 gpus, and there are"),
    ] {
        let project = Project::new(&[("p.yaml", &four(resources))]);
        let message = project.refused_with(&[], |demand| demand.capacity = TWO);
        assert!(message.contains("p.yaml:6:16: operation `n0` needs"), "{message}");
        assert!(message.contains(told) && message.contains("--cpus"), "{message}");
        assert!(!project.directory.path().join("home/work").exists(), "nothing has run");
    }
}

#[test]
fn what_is_no_amount_is_told_with_its_place() {
    for (resources, told) in [
        ("{cpus: 0}", "`cpus: 0` is no number of processors"),
        ("{cpus: -1}", "is no number of processors"),
        ("{cpus: .nan}", "is no number of processors"),
        ("{cpus: two}", "p.yaml:6:"),
        ("{memory: 4}", "p.yaml:6:"),
        ("{memory: 4X}", "`memory`: \"4X\" is not a size"),
        ("{gpus: -1}", "p.yaml:6:"),
        ("{cpu: 1}", "unknown field"),
    ] {
        let project = Project::new(&[("p.yaml", &four(resources))]);
        let error = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("p.yaml:6:"), "{resources}: {error}");
    }
}
