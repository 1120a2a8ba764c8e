//! Plans: what is told beforehand is what a run then does, and nothing is done meanwhile.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use stage::*;
use thrifty_engine::catalog::{Node, Sqlite};
use thrifty_engine::explain::{Explanation, Reason, foresee};
use thrifty_engine::graph::{Body, Expansion, Failure, Node as Call, Product, Taken};
use thrifty_engine::plan::plan;
use thrifty_engine::record::Draft;
use thrifty_engine::{Mode, Policy};

/// What is told of a graph: the forecast of each operation.
fn told(stage: &Stage, nodes: Vec<Call>) -> (Vec<String>, Explanation) {
    let plan = plan(&stage.cache, nodes).ok().unwrap();
    let explanation = foresee(stage.catalog.as_ref(), &scope(), "w", &plan).unwrap();
    let word = |node: &Node| {
        let explained = explanation.nodes.iter().find(|it| it.node == node.number);
        let forecast = plan.forecast(node.number).word().to_owned();
        explained.map_or(forecast, |it| it.outcome.clone())
    };
    (plan.nodes.iter().map(|planned| word(&planned.node)).collect(), explanation)
}

/// A catalog that keeps the names of the methods that were called.
fn watched() -> (Stage, Arc<Mutex<Vec<&'static str>>>) {
    let called: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let keep = Arc::clone(&called);
    let catalog = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), move |_, method| {
        keep.lock().push(method);
        false
    });
    (Stage::over(catalog), called)
}

const WRITES: [&str; 12] = [
    "commit",
    "reserve",
    "heartbeat",
    "release",
    "invalidate",
    "discard",
    "touch",
    "begin_run",
    "record",
    "finish_run",
    "put_texts",
    "remember",
];

/// Operations that take from those before them, and what they add.
type Graph = Vec<(Vec<usize>, i64)>;

fn graphs() -> impl Strategy<Value = Graph> {
    let node = (prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..3_i64);
    prop::collection::vec(node, 1..9).prop_map(|nodes| {
        let from = |number: usize, from: Vec<prop::sample::Index>| match number {
            0 => Vec::new(),
            _ => from.iter().map(|from| from.index(number)).collect(),
        };
        nodes.into_iter().enumerate().map(|(n, (all, add))| (from(n, all), add)).collect()
    })
}

/// The graph; the operations' results are so small that equal ones are common.
fn calls(stage: &Stage, graph: &Graph) -> Vec<Call> {
    let call = |(number, (from, add)): (usize, &(Vec<usize>, i64))| {
        let add = *add;
        stage.call(&format!("n{number} + {add}"), from, move |inputs| {
            inputs.iter().fold(add, |a, b| (a + b) % 3)
        })
    };
    graph.iter().enumerate().map(call).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_run_does_what_its_plan_told(graph in graphs(), edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_i64), 0..3)) {
        let (stage, called) = watched();
        let every: Vec<usize> = (0..graph.len()).collect();
        stage.settle(calls(&stage, &graph), &every, 1);
        stage.take_ran();
        let mut edited = graph.clone();
        for (at, add) in edits {
            let at = at.index(edited.len());
            edited[at].1 = add;
        }
        called.lock().clear();
        let again = stage.again();
        let (words, _) = told(&again, calls(&again, &edited));
        prop_assert!(again.take_ran().is_empty(), "a plan runs nothing");
        let written: Vec<_> = called.lock().iter().filter(|it| WRITES.contains(*it)).copied().collect();
        prop_assert!(written.is_empty(), "a plan writes nothing: {:?}", written);

        let settled = again.settle(calls(&again, &edited), &every, 1);
        for (word, outcome) in words.iter().zip(settled.words()) {
            let agrees = match word.as_str() {
                "hit" => outcome.starts_with("hit"),
                "would-run" => outcome == "computed",
                "may-run" => true,
                _ => false,
            };
            prop_assert!(agrees, "{} was told, and {} it was", word, outcome);
        }
    }
}

#[test]
fn what_takes_an_output_that_is_not_known_may_run_unless_it_is_new_itself() {
    let stage = Stage::new();
    let graph = |stage: &Stage, first: &str, last: &str| {
        vec![
            stage.call(first, &[], |_| 1),
            stage.call("b", &[0], |i| i[0] + 1),
            stage.call(last, &[1], |i| i[0] + 1),
            stage.call("d", &[], |_| 7),
        ]
    };
    stage.settle(graph(&stage, "a v1", "c v1"), &[2, 3], 1);
    let words = |first, last| told(&stage, graph(&stage, first, last)).0;
    assert_eq!(words("a v1", "c v1"), ["hit", "hit", "hit", "hit"]);
    assert_eq!(words("a v2", "c v1"), ["would-run", "may-run", "may-run", "hit"]);
    assert_eq!(words("a v2", "c v2"), ["would-run", "may-run", "would-run", "hit"]);
    assert_eq!(words("a v1", "c v2"), ["hit", "hit", "would-run", "hit"]);
}

#[test]
fn the_plan_says_what_it_would_begin_with_and_what_stands_behind_it() {
    let stage = Stage::new();
    let graph = |mode| {
        let mut first = stage.call("a", &[], |_| 1);
        first.policy = Policy { mode, ..Policy::default() };
        vec![first, stage.call("b", &[0], |i| i[0] + 1), stage.call("c", &[1], |i| i[0] + 1)]
    };
    stage.settle(graph(Mode::On), &[2], 1);
    let (words, explanation) = told(&stage, graph(Mode::Refresh));
    assert_eq!(words, ["would-run", "may-run", "may-run"]);
    let [root] = explanation.roots.as_slice() else { panic!("{:?}", explanation.roots) };
    assert_eq!((root.direct.as_slice(), root.behind.as_slice()), (&[0][..], &[1, 2][..]));
    assert_eq!(explanation.nodes[0].reason, Reason::NotReused);
    assert_eq!(explanation.nodes[0].detail, "refresh");
    let (words, explanation) = told(&stage, graph(Mode::Off));
    assert_eq!(words, ["would-run", "may-run", "may-run"]);
    assert_eq!(explanation.nodes[0].reason, Reason::Uncached);
}

#[test]
fn equal_calls_are_computed_once() {
    let stage = Stage::new();
    let nodes = vec![
        stage.call("a", &[], |_| 1),
        stage.call("a", &[], |_| 1),
        stage.call("b", &[1], |i| i[0]),
    ];
    let (words, explanation) = told(&stage, nodes);
    assert_eq!(words, ["would-run", "would-wait", "would-run"]);
    assert_eq!(explanation.hits, 0);
}

/// A nested workflow of one operation, which says what it becomes.
struct Unit {
    part: Box<dyn Fn() -> Result<Call, Failure> + Send + Sync>,
}

impl Unit {
    fn expansion(&self) -> Result<Expansion, Failure> {
        Ok(Expansion::new(vec![(self.part)()?], vec![whole(0)], Draft::Edge(0)))
    }
}

impl Body for Unit {
    fn run(&self, _inputs: &[Taken]) -> Result<Product, Failure> {
        self.expansion().map(Product::Expanded)
    }

    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        Some(self.expansion())
    }
}

fn unit(
    stage: &Stage,
    name: &str,
    part: impl Fn() -> Result<Call, Failure> + Send + Sync + 'static,
) -> Call {
    Call { body: Arc::new(Unit { part: Box::new(part) }), ..stage.call(name, &[], |_| 0) }
}

#[test]
fn a_nested_workflow_is_told_by_its_parts_and_known_if_they_are() {
    let stage = Arc::new(Stage::new());
    let graph = |name: &str, part: &'static str| {
        let inner = Arc::clone(&stage);
        let nested = unit(&stage, name, move || Ok(inner.call(part, &[], |_| 5)));
        vec![nested, stage.call("after", &[0], |i| i[0] + 1)]
    };
    stage.settle(graph("unit v1", "part"), &[1], 1);
    stage.take_ran();
    let words = |name, part| told(&stage, graph(name, part)).0;
    assert_eq!(words("unit v1", "part"), ["hit", "hit"]);
    assert_eq!(words("unit v2", "part"), ["would-run", "hit", "hit"], "its value is known");
    assert_eq!(words("unit v2", "part v2"), ["would-run", "may-run", "would-run"]);
    assert!(stage.take_ran().is_empty());
}

#[test]
fn what_a_nested_workflow_raises_ends_the_plan() {
    let stage = Stage::new();
    let raised = || Failure::raised("no".to_owned(), Arc::new(()));
    let nested = unit(&stage, "unit", move || Err(raised()));
    let failed = plan(&stage.cache, vec![nested]).err().unwrap();
    assert_eq!(failed.message(), "no");
}

#[test]
fn a_long_chain_is_planned_without_recursion_and_loads_nothing() {
    let stage = Stage::new();
    let chain = |first: &str| {
        let mut nodes = vec![stage.big(first, &[], |_| 1)];
        nodes.extend((1..2_000).map(|n| stage.big("next", &[n - 1], |i| i[0] + 1)));
        nodes
    };
    stage.settle(chain("a"), &[1_999], 1);
    stage.blobs.opened.store(0, Ordering::SeqCst);
    let plan = plan(&stage.cache, chain("b")).ok().unwrap();
    assert_eq!(plan.nodes.len(), 2_000);
    assert_eq!(stage.blobs.opened.load(Ordering::SeqCst), 0);
}

#[test]
fn an_entry_that_has_expired_is_told_as_such() {
    let stage = Stage::new();
    let call = || {
        let mut call = stage.call("a", &[], |_| 1);
        call.policy.expires = Some(Duration::ZERO);
        vec![call]
    };
    stage.settle(call(), &[0], 1);
    let (words, explanation) = told(&stage, call());
    assert_eq!(words, ["would-run"]);
    assert_eq!(explanation.nodes[0].detail, "expired");
}
