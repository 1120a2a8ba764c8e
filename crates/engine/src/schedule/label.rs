//! What tells operations of a graph apart, for those who watch it.

use std::collections::{BTreeMap, HashMap};

use super::{Schedule, Slate};
use crate::graph::Node;
use crate::label::{Argument, tell_apart};

/// Labels of operations that came into the graph together, by the number of the first.
pub(super) struct Labels {
    /// Where operations that came together begin.
    pub(super) blocks: Vec<usize>,
    known: HashMap<usize, Vec<String>>,
}

impl Labels {
    pub(super) fn starting_with(first: usize) -> Self {
        Self { blocks: vec![first], known: HashMap::new() }
    }
}

impl Schedule<'_> {
    /// The arguments by which an operation differs from others of its name; made when first
    /// asked for, as in a graph of hits nobody asks.
    pub(super) fn label(&mut self, number: usize) -> String {
        let block = self.labels.blocks.partition_point(|first| *first <= number);
        let Some(first) = block.checked_sub(1).map(|block| self.labels.blocks[block]) else {
            return String::new();
        };
        let end = self.labels.blocks.get(block).copied().unwrap_or(self.nodes.len());
        let slates = &self.nodes[first..end];
        let known = self.labels.known.entry(first).or_insert_with(|| labels(slates));
        known.get(number - first).cloned().unwrap_or_default()
    }
}

fn labels(slates: &[Slate]) -> Vec<String> {
    let mut operations: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, slate) in slates.iter().enumerate() {
        operations.entry(slate.node.operation.name()).or_default().push(at);
    }
    let mut labels = vec![String::new(); slates.len()];
    for places in operations.values().filter(|places| places.len() > 1) {
        let calls: Vec<_> = places.iter().map(|at| arguments(&slates[*at].node)).collect();
        for (at, label) in places.iter().zip(tell_apart(&calls)) {
            labels[*at] = label;
        }
    }
    labels
}

fn arguments(node: &Node) -> Vec<Argument<'_>> {
    let takes = node.takes();
    let from = |name: &str| {
        let taken = takes.iter().find(|(input, _)| input == name);
        taken.map(|(_, numbers)| numbers.clone()).unwrap_or_default()
    };
    let inputs = node.inputs.iter();
    inputs
        .map(|input| Argument {
            name: &input.name,
            identity: &input.encoding,
            preview: &input.preview,
            from: from(&input.name),
        })
        .collect()
}
