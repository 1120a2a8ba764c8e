//! Under which other keys the result of an entry is known: those of the units it is a part of.
//!
//! The history knows which operations became which others. What an operation gave stands in what
//! the unit gave that it is a part of, so that whoever removes the one means the other, too.

use std::collections::{HashMap, HashSet};

use thrifty_catalog::{Catalog, CatalogError, EntryId, Node, RunFilter, Scope};

/// How many runs are looked through.
const RUNS: usize = 100_000;

/// The entries of workflows and processes that were made of these, and of those, and so on, as far
/// as the history tells.
///
/// # Errors
///
/// That the history cannot be read.
pub fn wholes(
    catalog: &dyn Catalog,
    scope: &Scope,
    parts: &[EntryId],
) -> Result<Vec<EntryId>, CatalogError> {
    let filter = RunFilter { limit: Some(RUNS), ..RunFilter::default() };
    let mut pairs = Vec::new();
    for run in catalog.runs(Some(scope), &filter)? {
        pairs.extend(within(&catalog.nodes(&run.id)?));
    }
    let mut known: HashSet<EntryId> = parts.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for (part, whole) in &pairs {
            if known.contains(part) && known.insert(*whole) {
                found.push(*whole);
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Which entries are parts of which, in one run.
fn within(nodes: &[Node]) -> Vec<(EntryId, EntryId)> {
    let by_number: HashMap<u32, &Node> = nodes.iter().map(|node| (node.number, node)).collect();
    let parts = nodes.iter().filter_map(|node| Some((node.entry?, node.parent?)));
    parts.filter_map(|(part, parent)| Some((part, whole_of(&by_number, parent)?))).collect()
}

/// The entry of a node, or of the nearest around it that has one.
fn whole_of(nodes: &HashMap<u32, &Node>, number: u32) -> Option<EntryId> {
    let mut node = nodes.get(&number)?;
    while node.entry.is_none() {
        node = nodes.get(&node.parent?)?;
    }
    node.entry
}
