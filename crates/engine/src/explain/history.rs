//! What was called before: the calls a node can be compared with.

use std::collections::{BTreeMap, BTreeSet};

use thrifty_catalog::{
    Catalog, CatalogError, Entry, EntryId, Node, Run, RunFilter, RunId, Selector, Time,
};
use thrifty_key::explain::{Difference, nearest};
use thrifty_key::{Digest, Ingredients, Key};

use super::{Against, has_run, is_hit};

/// How many earlier entries of one operation are compared, most recent first.
const ENTRIES: usize = 1_000;
/// How many earlier runs are searched for calls that left no entry.
const RUNS: usize = 10;

/// An earlier call of an operation.
pub(super) struct Earlier {
    pub(super) run: Option<RunId>,
    pub(super) output: Option<Digest>,
    node: u32,
    at: Time,
    entry: Option<EntryId>,
    ingredients: Ingredients,
    /// The word of its outcome, where no entry is left of it.
    outcome: Option<String>,
}

impl Earlier {
    pub(super) fn reference(&self) -> Against {
        Against { run: self.run.clone(), node: self.node, at: self.at }
    }

    /// Why it did not answer a call with the same key.
    pub(super) fn absence(&self) -> &'static str {
        let kept = "its earlier result was there and was not used";
        self.outcome.as_deref().map_or(kept, absence)
    }
}

/// Why an earlier call of this outcome did not answer a call with the same key.
fn absence(outcome: &str) -> &'static str {
    match outcome {
        "failed" => "it failed before, and failures are not kept",
        "computed-not-stored" | "fenced" | "uncached" => "its earlier result was not stored",
        _ => "its earlier result was invalidated or collected since",
    }
}

/// An earlier call with the same key, of which nothing but the history is left.
pub(super) struct Seen {
    pub(super) against: Against,
    pub(super) absence: &'static str,
}

/// The ingredients of the nodes to be explained, and the earlier calls of their operations.
pub(super) struct History {
    own: BTreeMap<u32, Ingredients>,
    earlier: BTreeMap<String, Vec<Earlier>>,
    seen: BTreeMap<Key, Seen>,
    operations_seen: BTreeSet<String>,
    run: RunId,
}

impl History {
    pub(super) fn load(
        catalog: &dyn Catalog,
        run: &Run,
        all: &BTreeMap<u32, Node>,
        nodes: &[&Node],
    ) -> Result<Self, CatalogError> {
        let operations: BTreeSet<&str> = nodes.iter().map(|node| node.operation.as_str()).collect();
        let mut history = Self {
            own: own_ingredients(catalog, run, nodes)?,
            earlier: BTreeMap::new(),
            seen: BTreeMap::new(),
            operations_seen: BTreeSet::new(),
            run: run.id.clone(),
        };
        for operation in &operations {
            let entries = entries_of(catalog, run, operation, all)?;
            history.earlier.insert((*operation).to_owned(), entries);
        }
        for earlier in earlier_runs(catalog, run)? {
            for node in catalog.nodes(&earlier.id)? {
                history.see(&earlier.id, &node);
                history.add_unstored(&earlier.id, node);
            }
        }
        Ok(history)
    }

    /// Remembers that this was called; the most recent run comes first.
    fn see(&mut self, run: &RunId, node: &Node) {
        if !has_run(node) && !is_hit(&node.outcome) {
            return;
        }
        self.operations_seen.insert(node.operation.clone());
        if let Some(key) = node.key {
            let against = Against { run: Some(run.clone()), node: node.number, at: node.at };
            let seen = Seen { against, absence: absence(&node.outcome) };
            self.seen.entry(key).or_insert(seen);
        }
    }

    /// The newest call with the same key in an earlier run.
    pub(super) fn seen(&self, node: &Node) -> Option<&Seen> {
        self.seen.get(&node.key?)
    }

    /// Whether an earlier run called the operation.
    pub(super) fn has_seen(&self, operation: &str) -> bool {
        self.operations_seen.contains(operation)
    }

    /// Keeps a node of an earlier run that no entry is left of.
    fn add_unstored(&mut self, run: &RunId, node: Node) {
        let Some(all) = self.earlier.get_mut(&node.operation) else {
            return;
        };
        let Some(ingredients) = node.ingredients else {
            return;
        };
        if node.entry.is_some() && all.iter().any(|earlier| earlier.entry == node.entry) {
            return;
        }
        all.push(Earlier {
            run: Some(run.clone()),
            node: node.number,
            at: node.at,
            output: node.output_digest,
            entry: None,
            ingredients,
            outcome: Some(node.outcome),
        });
    }

    pub(super) fn ingredients(&self, node: &Node) -> Option<&Ingredients> {
        self.own.get(&node.number)
    }

    /// The nearest earlier call of another run; if there is none, that of the same run.
    pub(super) fn nearest(&self, node: &Node) -> Option<(&Earlier, Vec<Difference>)> {
        let own = self.ingredients(node)?;
        let all = self.earlier.get(&node.operation)?;
        let before = |earlier: &&Earlier| match (earlier.entry, node.entry) {
            (Some(earlier), Some(own)) => earlier < own,
            _ => earlier.at <= node.at,
        };
        let is_same_run = |earlier: &&Earlier| earlier.run.as_ref() == Some(&self.run);
        let paired = |earlier| (earlier, candidate(earlier));
        let others = all.iter().filter(before).filter(|earlier| !is_same_run(earlier));
        nearest(own, others.map(paired)).or_else(|| {
            let siblings = all.iter().filter(before).filter(is_same_run);
            let siblings = siblings.filter(|sibling| sibling.node != node.number);
            nearest(own, siblings.map(paired))
        })
    }
}

const fn candidate(earlier: &Earlier) -> &Ingredients {
    &earlier.ingredients
}

/// What the keys of the nodes were made of: kept with the node, or with its entry.
fn own_ingredients(
    catalog: &dyn Catalog,
    run: &Run,
    nodes: &[&Node],
) -> Result<BTreeMap<u32, Ingredients>, CatalogError> {
    let ids: Vec<EntryId> = nodes.iter().filter_map(|node| node.entry).collect();
    let limit = ids.len();
    let selector = Selector { ids: Some(ids), ..Selector::default() };
    let entries = match limit {
        0 => Vec::new(),
        _ => catalog.entries(Some(&run.scope), &selector, limit)?,
    };
    let entries: BTreeMap<EntryId, Ingredients> =
        entries.into_iter().map(|entry| (entry.id, entry.ingredients)).collect();
    let with_ingredients = nodes.iter().filter_map(|node| {
        let kept = node.entry.and_then(|entry| entries.get(&entry));
        Some((node.number, node.ingredients.as_ref().or(kept)?.clone()))
    });
    Ok(with_ingredients.collect())
}

/// Entries of an operation that were there before the run stored its first, most recent first,
/// then those of the run itself. Asked for apart: a run may store more than are compared.
fn entries_of(
    catalog: &dyn Catalog,
    run: &Run,
    operation: &str,
    all: &BTreeMap<u32, Node>,
) -> Result<Vec<Earlier>, CatalogError> {
    let own = all.values().filter(|node| node.operation == operation && !is_hit(&node.outcome));
    let before = own.filter_map(|node| node.entry).min();
    let pattern = Some(exactly(operation));
    let earlier = Selector { operation: pattern.clone(), before, ..Selector::default() };
    let siblings =
        Selector { operation: pattern, run: Some(run.id.clone()), ..Selector::default() };
    let mut entries = catalog.entries(Some(&run.scope), &earlier, ENTRIES)?;
    entries.retain(|entry| entry.origin.run.as_ref() != Some(&run.id));
    entries.extend(catalog.entries(Some(&run.scope), &siblings, ENTRIES)?);
    entries.retain(|entry| entry.operation == operation);
    Ok(entries.into_iter().map(of_entry).collect())
}

fn of_entry(entry: Entry) -> Earlier {
    Earlier {
        run: entry.origin.run,
        node: entry.origin.node,
        at: entry.created_at,
        output: Some(entry.output_digest),
        entry: Some(entry.id),
        ingredients: entry.ingredients,
        outcome: None,
    }
}

/// The runs of the same name that began before this one, most recent first.
fn earlier_runs(catalog: &dyn Catalog, run: &Run) -> Result<Vec<Run>, CatalogError> {
    let filter =
        RunFilter { name: Some(run.name.clone()), limit: Some(1_000), ..RunFilter::default() };
    let mut runs = catalog.runs(Some(&run.scope), &filter)?;
    runs.retain(|other| other.started_at <= run.started_at && other.id != run.id);
    runs.truncate(RUNS);
    Ok(runs)
}

/// The glob pattern that matches this text alone.
pub(super) fn exactly(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '*' | '?' | '[' => pattern.extend(['[', character, ']']),
            _ => pattern.push(character),
        }
    }
    pattern
}
