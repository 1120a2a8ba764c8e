//! What is done once for each partition, where only the run tells which there are.
//!
//! It stands in the graph as one node, which becomes a copy for each partition when what it takes is
//! there. A copy takes of each mapping by partition the part that is its own, and has the key that
//! the operation has with that part alone. Nothing is cached but the copies.

use std::sync::Arc;

use thrifty_engine::graph::{Body, Edge, Expansion, Failure, From, Node, Product, Taken};
use thrifty_engine::record::{Draft, Shape, Step};
use thrifty_engine::{Mode, Operation, Policy};
use thrifty_key::{Ingredients, plain};

use crate::copying::{Change, Copied};
use crate::part;

/// Stands in the steps of an edge for the partition. No key of a mapping is encoded so.
pub(crate) const EACH: Step = Step(Vec::new());

/// One node for all partitions.
struct Each {
    /// The name of the operation.
    name: String,
    /// The operation for one partition.
    template: Node,
    /// What it gives: where it stands in the value of a copy, and in that of all.
    gives: Vec<Vec<Step>>,
    copied: Copied,
}

/// The node that becomes a copy of a node for each partition. The name is that of the operation;
/// what it gives is told by the steps that lead there.
pub(crate) fn node(name: &str, template: Node, gives: Vec<Vec<Step>>, copied: Copied) -> Node {
    let operation = template.operation.name().to_owned();
    Node {
        operation: Arc::new(Operation::new(operation, Ingredients::new(), Vec::new())),
        policy: Policy { mode: Mode::Off, rule: template.policy.rule, ..Policy::default() },
        inputs: Vec::new(),
        edges: template.edges.iter().map(before_each).collect(),
        unkeyed: Some("each of its partitions is looked up".to_owned()),
        body: Arc::new(Each { name: name.to_owned(), template, gives, copied }),
    }
}

/// The edge to the mapping by partition, or just the edge.
fn before_each(edge: &Edge) -> Edge {
    let steps = edge.steps.iter().take_while(|step| **step != EACH);
    Edge { from: edge.from, steps: steps.cloned().collect() }
}

impl Body for Each {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        let names = self
            .partitions(inputs)
            .map_err(|reason| Failure::raised(reason.clone(), Arc::new(reason)))?;
        Ok(Product::Became(self.expansion(&names)))
    }
}

impl Each {
    /// The names of the partitions, which everything that is taken by partition has.
    fn partitions(&self, inputs: &[Taken]) -> Result<Vec<String>, String> {
        let edges = self.template.edges.iter().zip(inputs);
        let all = edges.filter(|(edge, _)| edge.steps.contains(&EACH));
        let mut found: Option<Vec<String>> = None;
        for (_, taken) in all {
            let names = part::names(taken).ok_or("what it takes has no partitions")?;
            match &found {
                Some(others) if *others != names => {
                    return Err(format!(
                        "what it takes has different partitions: {} and {}",
                        others.join(", "),
                        names.join(", ")
                    ));
                }
                _ => found = Some(names),
            }
        }
        match found {
            Some(names) if !names.is_empty() => Ok(names),
            _ => Err("there is no partition: what it is split by is empty".to_owned()),
        }
    }

    fn expansion(&self, names: &[String]) -> Expansion {
        let nodes = names.iter().map(|name| self.copy(name)).collect();
        let all = self.gives.iter().flat_map(|steps| {
            (0..names.len()).map(|at| Edge { from: From::Node(at), steps: steps.clone() })
        });
        // Every copy is to run, also one that gives nothing.
        let every = (0..names.len()).map(|at| Edge { from: From::Node(at), steps: Vec::new() });
        let places: Places<'_> =
            self.gives.iter().map(Vec::as_slice).zip((0..).step_by(names.len())).collect();
        Expansion::new(nodes, all.chain(every).collect(), nested(&places, names))
    }

    fn copy(&self, partition: &str) -> Node {
        let own = with_partition(&self.name, partition);
        let name = |name: &str| match name.strip_prefix(&self.name) {
            Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("{own}{rest}"),
            _ => name.to_owned(),
        };
        let change = Change { name: &name, claims: &[], copied: self.copied };
        let mut node = (self.copied)(&self.template, &change);
        for (number, edge) in node.edges.iter_mut().enumerate() {
            let steps = edge.steps.split(|step| *step == EACH).nth(1).map(|after| {
                let own = Step(plain::text(partition));
                std::iter::once(own).chain(after.iter().cloned()).collect()
            });
            *edge = Edge { from: From::Argument(number), steps: steps.unwrap_or_default() };
        }
        node
    }
}

/// The name of a copy.
fn with_partition(name: &str, partition: &str) -> String {
    match name.strip_suffix(']') {
        Some(name) => format!("{name},partition={partition}]"),
        None => format!("{name}[partition={partition}]"),
    }
}

/// Where mappings by partition stand, each with the number of its first edge.
type Places<'a> = Vec<(&'a [Step], usize)>;

/// Mappings by partition at the ends of these steps, each with the number of its first edge.
fn nested(places: &[(&[Step], usize)], names: &[String]) -> Draft {
    if let [([], first)] = places {
        let keys = names.iter().map(|name| plain::text(name).into()).collect();
        let parts = (0..names.len()).map(|at| Draft::Edge((first + at) as u64)).collect();
        return Draft::Composite { container: Shape::Dict(keys), parts };
    }
    let mut groups: Vec<(&Step, Places<'_>)> = Vec::new();
    for (steps, first) in places {
        let Some((step, rest)) = steps.split_first() else { continue };
        match groups.iter_mut().find(|(known, _)| *known == step) {
            Some((_, within)) => within.push((rest, *first)),
            None => groups.push((step, vec![(rest, *first)])),
        }
    }
    let parts = groups.iter().map(|(_, within)| nested(within, names)).collect();
    // What a command gives is the first of a pair.
    let is_pair = groups.iter().any(|(step, _)| step.0 == plain::int(0));
    let container = match is_pair {
        true => Shape::Tuple,
        false => Shape::Dict(groups.iter().map(|(step, _)| step.0.clone().into()).collect()),
    };
    Draft::Composite { container, parts }
}
