//! Only as many bodies run at once as the pools they claim parts of have room for.

#![allow(clippy::unwrap_used)]

mod stage;

use std::collections::HashMap;
use std::sync::Arc;

use stage::*;
use thrifty_engine::event::Event;
use thrifty_engine::graph::{Body, Failure, Node as Call, Product, Taken};
use thrifty_engine::{ClaimOn, Pool};

/// A body that holds parts of pools while it runs.
struct Claiming {
    body: Arc<dyn Body>,
    claims: Vec<ClaimOn>,
}

impl Body for Claiming {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        self.body.run(inputs)
    }

    fn claims(&self) -> &[ClaimOn] {
        &self.claims
    }
}

/// An operation of this name that takes nothing.
fn claiming(stage: &Stage, name: &str, claims: &[(&Arc<Pool>, u64)]) -> Call {
    let call = stage.call(name, &[], |_| 1);
    let claims = claims.iter().map(|(pool, amount)| (Arc::clone(pool), *amount)).collect();
    Call { body: Arc::new(Claiming { body: call.body, claims }), ..call }
}

/// Settles everything; gives the sets of operations that ran at once, as the events have it, at
/// their largest: one for each that began.
fn at_once(stage: &Stage, nodes: Vec<Call>, workers: usize) -> Vec<Vec<usize>> {
    let all: Vec<_> = (0..nodes.len()).collect();
    let settled = stage.settle(nodes, &all, workers);
    assert!(settled.words().iter().all(|word| *word == "computed"), "{:?}", settled.words());
    let (mut running, mut seen) = (Vec::new(), Vec::new());
    for event in stage.events.lock().iter() {
        match event {
            Event::Started { number, .. } => {
                running.push(*number);
                seen.push(running.clone());
            }
            Event::Settled { number, .. } => running.retain(|other| other != number),
            _ => {}
        }
    }
    assert_eq!(seen.len(), all.len());
    seen
}

#[test]
fn what_does_not_fit_waits_and_all_of_it_runs() {
    let stage = Stage::new();
    let pool = Pool::new(2);
    let nodes = (0..20).map(|n| claiming(&stage, &format!("n{n}"), &[(&pool, 1)])).collect();
    let seen = at_once(&stage, nodes, 8);
    assert_eq!(seen.iter().map(Vec::len).max(), Some(2), "{seen:?}");
    let free = (0..8).map(|n| claiming(&stage, &format!("free {n}"), &[])).collect();
    assert_eq!(at_once(&stage, free, 4).iter().map(Vec::len).max(), Some(4));
}

#[test]
fn the_sum_of_what_runs_stays_within_every_pool() {
    let stage = Stage::new();
    let (cpus, memory) = (Pool::new(8), Pool::new(100));
    let wants: HashMap<usize, (u64, u64)> =
        (0..60).map(|n| (n, ([1, 3, 8, 0][n % 4], [10, 60, 0, 100, 45][n % 5]))).collect();
    let nodes = (0..60)
        .map(|n| {
            let (some, more) = wants[&n];
            claiming(&stage, &format!("n{n}"), &[(&cpus, some), (&memory, more)])
        })
        .collect();
    for running in at_once(&stage, nodes, 16) {
        let sum = |part: fn(&(u64, u64)) -> u64| running.iter().map(|n| part(&wants[n])).sum();
        let (cpus, memory): (u64, u64) = (sum(|it| it.0), sum(|it| it.1));
        assert!(cpus <= 8 && memory <= 100, "{running:?}");
    }
}

#[test]
fn what_waits_for_two_pools_overdraws_neither() {
    let stage = Stage::new();
    let (cpus, gpus) = (Pool::new(2), Pool::new(1));
    let nodes = vec![
        claiming(&stage, "on the gpu", &[(&gpus, 1)]),
        claiming(&stage, "on both", &[(&cpus, 2)]),
        claiming(&stage, "wants both", &[(&cpus, 2), (&gpus, 1)]),
        claiming(&stage, "small", &[(&cpus, 1)]),
    ];
    let seen = at_once(&stage, nodes, 4);
    assert!(seen.iter().all(|running| !(running.contains(&0) && running.contains(&2))));
    assert!(seen.iter().all(|running| !(running.contains(&1) && running.contains(&3))));
}

#[test]
fn more_than_there_is_runs_alone() {
    let stage = Stage::new();
    let pool = Pool::new(2);
    let nodes = vec![
        claiming(&stage, "small", &[(&pool, 1)]),
        claiming(&stage, "huge", &[(&pool, 9)]),
        claiming(&stage, "small too", &[(&pool, 2)]),
    ];
    let seen = at_once(&stage, nodes, 3);
    assert!(seen.iter().all(|running| running.len() == 1), "{seen:?}");
}
