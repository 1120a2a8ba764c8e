//! What copies of an operation gave, by their seeds and partitions, for an operation that
//! aggregates them.

use std::sync::Arc;

use thrifty_engine::graph::{Body, Edge, Expansion, Failure, From, Input, Node, Product, Taken};
use thrifty_engine::record::{Draft, Shape};
use thrifty_engine::{Mode, Operation, Policy};
use thrifty_key::plain::{self, Container, Writer};
use thrifty_key::{Ingredients, Preview};

/// A mapping of as many edges, each in its place by these keys.
struct Gather {
    keys: Vec<Vec<String>>,
}

/// The node that puts together what these edges lead to, by these keys.
pub(crate) fn node(name: String, edges: Vec<Edge>, keys: &[Vec<String>]) -> Node {
    let mut writer = Writer::new();
    write(&parts(keys), &mut writer);
    let input = Input {
        name: "all".to_owned(),
        encoding: writer.into_bytes(),
        preview: Preview::text(format!("{} results", keys.len())),
    };
    Node {
        operation: Arc::new(Operation::new(name, Ingredients::new(), Vec::new())),
        policy: Policy { mode: Mode::Off, ..Policy::default() },
        inputs: vec![input],
        edges,
        unkeyed: Some("it puts results together, and each of them is looked up".to_owned()),
        body: Arc::new(Gather { keys: keys.to_vec() }),
    }
}

/// What is known before anything runs, as what a node gives.
struct Known(Vec<u8>);

/// The node that gives this, in the plain encoding.
pub(crate) fn known(operation: Arc<Operation>, encoding: Vec<u8>) -> Node {
    Node {
        operation,
        policy: Policy { mode: Mode::Off, ..Policy::default() },
        inputs: Vec::new(),
        edges: Vec::new(),
        unkeyed: Some("it was written down".to_owned()),
        body: Arc::new(Known(encoding)),
    }
}

impl Body for Known {
    fn run(&self, _: &[Taken]) -> Result<Product, Failure> {
        Ok(Product::Became(self.expansion()))
    }

    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        Some(Ok(self.expansion()))
    }
}

impl Known {
    fn expansion(&self) -> Expansion {
        Expansion::new(Vec::new(), Vec::new(), Draft::Plain(self.0.clone()))
    }
}

impl Body for Gather {
    fn run(&self, _: &[Taken]) -> Result<Product, Failure> {
        Ok(Product::Became(self.expansion()))
    }

    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        Some(Ok(self.expansion()))
    }
}

impl Gather {
    fn expansion(&self) -> Expansion {
        let edges = 0..self.keys.len();
        let edges = edges.map(|at| Edge { from: From::Argument(at), steps: Vec::new() });
        Expansion::new(Vec::new(), edges.collect(), draft(&parts(&self.keys)))
    }
}

/// Outputs by their keys, each with its edge.
type Parts<'a> = Vec<(&'a [String], u64)>;

fn parts(keys: &[Vec<String>]) -> Parts<'_> {
    keys.iter().map(Vec::as_slice).zip(0..).collect()
}

fn draft(parts: &[(&[String], u64)]) -> Draft {
    if let [([], edge)] = parts {
        return Draft::Edge(*edge);
    }
    let groups = groups(parts);
    let keys = groups.iter().map(|(key, _)| plain::text(key).into()).collect();
    let parts = groups.iter().map(|(_, within)| draft(within)).collect();
    Draft::Composite { container: Shape::Dict(keys), parts }
}

/// The same as an argument of the key.
fn write(parts: &[(&[String], u64)], writer: &mut Writer) {
    if let [([], edge)] = parts {
        return writer.edge(*edge);
    }
    let groups = groups(parts);
    writer.open(Container::Dict, groups.len());
    for (key, within) in groups {
        writer.text(key.as_bytes());
        write(&within, writer);
    }
}

/// Parts by their outermost keys, which stand together.
fn groups<'a>(parts: &[(&'a [String], u64)]) -> Vec<(&'a str, Parts<'a>)> {
    let mut groups: Vec<(&str, Parts<'_>)> = Vec::new();
    for (keys, edge) in parts {
        let Some((first, rest)) = keys.split_first() else { continue };
        match groups.last_mut() {
            Some((key, within)) if key == first => within.push((rest, *edge)),
            _ => groups.push((first, vec![(rest, *edge)])),
        }
    }
    groups
}
