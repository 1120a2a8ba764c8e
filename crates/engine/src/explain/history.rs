//! What was called before: the calls a node can be compared with.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use thrifty_catalog::{
    Catalog, CatalogError, Entry, EntryId, Node, Run, RunFilter, RunId, Scope, Selector, Time,
};
use thrifty_key::{Ingredients, Key};

use super::calls::{Calls, Earlier, Nearest, Query};
use super::{Against, Subject, has_run, is_hit};

/// How many earlier entries of one operation are read at least, most recent first.
const ENTRIES: usize = 1_000;
/// How many earlier runs are searched for calls that left no entry.
const RUNS: usize = 10;
/// How many nodes of earlier runs are searched.
const NODES: usize = 20_000;

/// What is said of an earlier result that was there, and is no longer.
pub(super) const GONE: &str = "its earlier result was invalidated or collected since";

/// Why an earlier call of this outcome did not answer a call with the same key.
fn absence(outcome: &str) -> &'static str {
    match outcome {
        "failed" => "it failed before, and failures are not kept",
        "computed-not-stored" | "fenced" | "uncached" => "its earlier result was not stored",
        _ => GONE,
    }
}

impl Earlier {
    /// Why it did not answer a call with the same key.
    pub(super) fn absence(&self) -> &'static str {
        let kept = "its earlier result was there and was not used";
        self.outcome.as_deref().map_or(kept, absence)
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
    earlier: BTreeMap<String, Calls>,
    /// Operations of which more entries are stored than are compared.
    cut: BTreeSet<String>,
    seen: HashMap<Key, Seen>,
    operations_seen: BTreeSet<String>,
    /// The keys of the run itself.
    keys: HashSet<Key>,
    pub(super) run: Option<RunId>,
}

impl History {
    pub(super) fn load(
        catalog: &dyn Catalog,
        subject: &Subject<'_>,
        nodes: &[&Node],
    ) -> Result<Self, CatalogError> {
        let operations: BTreeSet<&str> = nodes.iter().map(|node| node.operation.as_str()).collect();
        let mut history = Self {
            own: ingredients_of(catalog, subject.scope, nodes.iter().copied())?,
            earlier: BTreeMap::new(),
            cut: BTreeSet::new(),
            seen: HashMap::new(),
            operations_seen: BTreeSet::new(),
            keys: subject.nodes.values().filter_map(|node| node.key).collect(),
            run: subject.run.map(|run| run.id.clone()),
        };
        for operation in operations {
            history.load_entries(catalog, subject, operation)?;
        }
        let mut left = NODES;
        for earlier in earlier_runs(catalog, subject)? {
            let nodes = catalog.nodes(&earlier.id)?;
            left = left.saturating_sub(nodes.len());
            for node in nodes {
                history.see(&earlier.id, &node);
                history.add_unstored(&earlier.id, node);
            }
            if left == 0 {
                break;
            }
        }
        Ok(history)
    }

    /// Entries of an operation that were there before the run stored its first, most recent
    /// first, then those of the run itself. Asked for apart: a run may store more than are
    /// compared.
    fn load_entries(
        &mut self,
        catalog: &dyn Catalog,
        subject: &Subject<'_>,
        operation: &str,
    ) -> Result<(), CatalogError> {
        let own = subject.nodes.values();
        let own = own.filter(|node| node.operation == operation && !is_hit(&node.outcome));
        let own: Vec<&Node> = own.collect();
        let before = own.iter().filter_map(|node| node.entry).min();
        // Each call of a large run may have its own counterpart.
        let limit = ENTRIES + 2 * own.len();
        let pattern = Some(exactly(operation));
        let earlier = Selector { operation: pattern.clone(), before, ..Selector::default() };
        let mut entries = catalog.entries(Some(subject.scope), &earlier, limit)?;
        if entries.len() == limit {
            self.cut.insert(operation.to_owned());
        }
        if let Some(run) = &self.run {
            entries.retain(|entry| entry.origin.run.as_ref() != Some(run));
            let run = Some(run.clone());
            let siblings = Selector { operation: pattern, run, ..Selector::default() };
            entries.extend(catalog.entries(Some(subject.scope), &siblings, ENTRIES)?);
        }
        let calls = self.earlier.entry(operation.to_owned()).or_default();
        let entries = entries.into_iter().filter(|entry| entry.operation == operation);
        for entry in entries {
            calls.add(of_entry(entry, self.run.as_ref(), &self.keys));
        }
        Ok(())
    }

    /// Remembers that this was called; the most recent run comes first.
    fn see(&mut self, run: &RunId, node: &Node) {
        if !has_run(node) && !is_hit(&node.outcome) {
            return;
        }
        if !self.operations_seen.contains(&node.operation) {
            self.operations_seen.insert(node.operation.clone());
        }
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

    /// Whether all entries of the operation are among its earlier calls.
    pub(super) fn is_whole(&self, operation: &str) -> bool {
        !self.cut.contains(operation)
    }

    /// Whether the run called this key, too.
    pub(super) fn calls_again(&self, call: &Earlier) -> bool {
        call.is_sibling || call.is_called
    }

    /// Keeps a node of an earlier run that no entry is left of.
    fn add_unstored(&mut self, run: &RunId, node: Node) {
        let Some(calls) = self.earlier.get_mut(&node.operation) else {
            return;
        };
        let Some(ingredients) = node.ingredients else {
            return;
        };
        let is_same = |earlier: &Earlier| earlier.entry == node.entry;
        let is_full = calls.all().len() >= 2 * ENTRIES;
        if is_full || node.entry.is_some() && calls.all().iter().any(is_same) {
            return;
        }
        calls.add(Earlier {
            run: Some(run.clone()),
            node: node.number,
            at: node.at,
            output: node.output_digest,
            entry: None,
            key: node.key,
            ingredients,
            cost: node.spent,
            outcome: Some(node.outcome),
            is_sibling: false,
            is_called: node.key.is_some_and(|key| self.keys.contains(&key)),
        });
    }

    pub(super) fn ingredients(&self, node: &Node) -> Option<&Ingredients> {
        self.own.get(&node.number)
    }

    /// All ingredients that are known, by node.
    pub(super) const fn all_ingredients(&self) -> &BTreeMap<u32, Ingredients> {
        &self.own
    }

    pub(super) fn call(&self, operation: &str, at: usize) -> Option<&Earlier> {
        self.earlier.get(operation)?.all().get(at)
    }

    /// The nearest earlier call of another run, one that this run does not make as well if it
    /// can be; if there is none, that of the same run.
    pub(super) fn nearest(&mut self, node: &Node, pending: &[&str]) -> Option<Nearest> {
        let ingredients = self.own.get(&node.number)?;
        let query = Query { ingredients, pending };
        let calls = self.earlier.get_mut(&node.operation)?;
        let is_plan = self.run.is_none();
        let before = |earlier: &Earlier| match (earlier.entry, node.entry) {
            (Some(earlier), Some(own)) => earlier < own,
            // Whatever is there was there before a plan.
            _ => is_plan || earlier.at <= node.at,
        };
        let others = |earlier: &Earlier| {
            (before(earlier) && !earlier.is_sibling)
                .then(|| u8::from(earlier.is_called && earlier.key != node.key))
        };
        let siblings = |earlier: &Earlier| {
            (before(earlier) && earlier.is_sibling && earlier.node != node.number).then_some(0)
        };
        calls.nearest(&query, others).or_else(|| calls.nearest(&query, siblings))
    }
}

/// What the keys of the nodes were made of: kept with the node, or with its entry.
pub(super) fn ingredients_of<'a>(
    catalog: &dyn Catalog,
    scope: &Scope,
    nodes: impl Iterator<Item = &'a Node> + Clone,
) -> Result<BTreeMap<u32, Ingredients>, CatalogError> {
    let ids: Vec<EntryId> = nodes.clone().filter_map(|node| node.entry).collect();
    let limit = ids.len();
    let selector = Selector { ids: Some(ids), ..Selector::default() };
    let entries = match limit {
        0 => Vec::new(),
        _ => catalog.entries(Some(scope), &selector, limit)?,
    };
    let entries: HashMap<EntryId, Ingredients> =
        entries.into_iter().map(|entry| (entry.id, entry.ingredients)).collect();
    let with_ingredients = nodes.filter_map(|node| {
        let kept = node.entry.and_then(|entry| entries.get(&entry));
        Some((node.number, node.ingredients.as_ref().or(kept)?.clone()))
    });
    Ok(with_ingredients.collect())
}

fn of_entry(entry: Entry, run: Option<&RunId>, keys: &HashSet<Key>) -> Earlier {
    Earlier {
        is_sibling: run.is_some() && entry.origin.run.as_ref() == run,
        is_called: keys.contains(&entry.key),
        run: entry.origin.run,
        node: entry.origin.node,
        at: entry.created_at,
        output: Some(entry.output_digest),
        entry: Some(entry.id),
        key: Some(entry.key),
        ingredients: entry.ingredients,
        cost: entry.cost,
        outcome: None,
    }
}

/// The runs of the same name that began before this one, most recent first.
fn earlier_runs(catalog: &dyn Catalog, subject: &Subject<'_>) -> Result<Vec<Run>, CatalogError> {
    let until: Option<Time> = subject.run.map(|run| run.started_at);
    let name = Some(subject.name.to_owned());
    let filter = RunFilter { name, until, limit: Some(RUNS + 1), ..RunFilter::default() };
    let mut runs = catalog.runs(Some(subject.scope), &filter)?;
    runs.retain(|other| Some(&other.id) != subject.run.map(|run| &run.id));
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
