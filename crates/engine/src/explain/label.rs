//! What tells the calls of a run apart.

use std::collections::BTreeMap;

use thrifty_catalog::{Catalog, CatalogError, Node, Scope};
use thrifty_key::{Ingredients, Kind};

use super::history::ingredients_of;
use crate::label::{Argument, tell_apart};

/// For each call of an operation that a run calls more than once, the arguments by which it
/// differs from the others; for all others nothing.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be read.
pub fn labels(
    catalog: &dyn Catalog,
    scope: &Scope,
    nodes: &[Node],
) -> Result<BTreeMap<u32, String>, CatalogError> {
    let mut calls: BTreeMap<&str, usize> = BTreeMap::new();
    nodes.iter().for_each(|node| *calls.entry(&node.operation).or_default() += 1);
    let several: Vec<&Node> =
        nodes.iter().filter(|node| calls[node.operation.as_str()] > 1).collect();
    let ingredients = ingredients_of(catalog, scope, several.iter().copied())?;
    Ok(labels_of(&several, &ingredients))
}

/// As [`labels`], of nodes whose ingredients are known.
pub(super) fn labels_of(
    nodes: &[&Node],
    ingredients: &BTreeMap<u32, Ingredients>,
) -> BTreeMap<u32, String> {
    let mut operations: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| ingredients.contains_key(&node.number)) {
        operations.entry(&node.operation).or_default().push(node);
    }
    let mut labels = BTreeMap::new();
    for nodes in operations.values().filter(|nodes| nodes.len() > 1) {
        let calls: Vec<_> =
            nodes.iter().map(|node| arguments(node, &ingredients[&node.number])).collect();
        let told = tell_apart(&calls);
        labels.extend(nodes.iter().map(|node| node.number).zip(told));
    }
    labels
}

fn arguments<'a>(node: &Node, ingredients: &'a Ingredients) -> Vec<Argument<'a>> {
    let from = |name: &str| {
        let taken = node.takes.iter().find(|(input, _)| input == name);
        taken.map(|(_, numbers)| numbers.clone()).unwrap_or_default()
    };
    let parts = ingredients.parts(Kind::Inputs);
    parts
        .map(|(name, part)| Argument {
            name,
            identity: part.digest.as_bytes().as_slice(),
            preview: &part.preview,
            from: from(name),
        })
        .collect()
}
