//! Operations that stand for others, and go on without those that failed.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;

use stage::*;
use thrifty_engine::catalog::RunStatus;
use thrifty_engine::graph::{Body, Edge, Expansion, Failure, Node as Call, Product, Taken};
use thrifty_engine::record::{Draft, Shape};
use thrifty_engine::{Mode, Policy};

/// Becomes trials of these names, and what gathers their outputs.
struct Search(Vec<Arc<dyn Fn() -> Call + Send + Sync>>);
/// Becomes a list of what it takes, without what is not there.
struct Gather;

fn expansion(nodes: Vec<Call>, edges: Vec<Edge>, output: Draft) -> Result<Product, Failure> {
    Ok(Product::Became(Expansion::new(nodes, edges, output)))
}

fn off(name: &str, edges: Vec<Edge>, body: Arc<dyn Body>) -> Call {
    let policy = Policy { mode: Mode::Off, ..Policy::default() };
    Call { operation: operation(name), policy, inputs: Vec::new(), edges, unkeyed: None, body }
}

impl Body for Search {
    fn run(&self, _: &[Taken]) -> Result<Product, Failure> {
        let mut nodes: Vec<_> = self.0.iter().map(|trial| trial()).collect();
        let edges = (0..nodes.len()).map(whole).collect();
        nodes.push(off("gather", edges, Arc::new(Gather)));
        expansion(nodes, vec![whole(self.0.len())], Draft::Edge(0))
    }
}

impl Body for Gather {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        let there = inputs.iter().enumerate().filter(|(_, taken)| !taken.value.is_failed());
        let edges: Vec<_> = there.map(|(number, _)| argument(number)).collect();
        let parts = (0..edges.len() as u64).map(Draft::Edge).collect();
        expansion(Vec::new(), edges, Draft::Composite { container: Shape::List, parts })
    }

    fn takes_failures(&self) -> bool {
        true
    }
}

/// A search of three trials, of which the second fails if told so, and what takes their sum.
fn nodes(stage: &Arc<Stage>, is_bad: bool) -> Vec<Call> {
    let trial = |number: i64| {
        let stage = Arc::clone(stage);
        let make = move || {
            stage.scripted(&format!("trial {number}"), Vec::new(), move |_| match number {
                1 if is_bad => failed("it diverged"),
                _ => Ok(number_of(number)),
            })
        };
        Arc::new(make) as Arc<dyn Fn() -> Call + Send + Sync>
    };
    let search = off("search", Vec::new(), Arc::new(Search((0..3).map(trial).collect())));
    vec![search, stage.call("user", &[0], |inputs| inputs[0] + 100)]
}

fn number_of(number: i64) -> Product {
    big(number * 10)
}

#[test]
fn what_became_others_is_looked_into_every_time() {
    let stage = Arc::new(Stage::new());
    let first = stage.settle(nodes(&stage, false), &[0, 1], 2);
    let computed = ["computed"; 3];
    assert_eq!(first.words()[..2], ["expanded", "computed"]);
    assert_eq!(first.words()[2..5], computed);
    assert_eq!((first.words()[5], first.values[1]), ("expanded", Some(130)));
    let again = Arc::new(stage.again());
    let second = again.settle(nodes(&again, false), &[0, 1], 2);
    assert_eq!(
        second.words(),
        ["expanded", "hit-local", "hit-local", "hit-local", "hit-local", "expanded"]
    );
    assert_eq!(again.take_ran(), [""; 0]);
}

#[test]
fn a_failure_is_gathered_around() {
    let stage = Arc::new(Stage::new());
    let settled = stage.settle(nodes(&stage, true), &[0, 1], 2);
    assert_eq!(settled.words()[..2], ["expanded", "computed"]);
    assert_eq!((settled.words()[3], settled.values[1]), ("failed", Some(120)));
    assert_eq!(settled.status, RunStatus::Succeeded, "what was gathered around fails nobody");
    // Only what failed is tried again.
    let again = Arc::new(stage.again());
    let settled = again.settle(nodes(&again, true), &[0, 1], 2);
    assert_eq!(again.take_ran(), ["trial 1"]);
    assert_eq!(settled.words()[1], "hit-local");
}
