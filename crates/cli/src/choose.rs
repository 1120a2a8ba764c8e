//! Finds the run or node that the user means; says the closest names if there is none.

use thrifty_engine::catalog::{Catalog, Entry, Node, Reservation, Run, RunFilter, Scope, Selector};
use thrifty_engine::explain::labels;
use thrifty_engine::process::judged;
use thrifty_engine::{did_you_mean, with_variants};

use crate::console::Console;
use crate::failure::Failure;
use crate::show::short_name;

/// How many calls of one name are shown.
const SHOWN: usize = 10;

/// Among how many runs the newest is looked for: each worker process has one for its lone calls.
const LOOKED_AT: usize = 200;

/// The run with this id, or the only one whose id begins so; the [`newest`] of the scope for `last`.
pub(crate) fn run(catalog: &dyn Catalog, scope: &Scope, text: &str) -> Result<Run, Failure> {
    if is_last(text) {
        return newest(catalog, scope);
    }
    match find_run(catalog, text)? {
        Some(run) => Ok(run),
        None => {
            let known = known_runs(catalog, scope)?;
            let hint = did_you_mean(text, known.iter().map(String::as_str));
            Err(Failure::Usage(format!("there is no run `{text}`; {hint}")))
        }
    }
}

fn is_last(text: &str) -> bool {
    text == "last" || text == "latest"
}

/// The run that is meant, with its nodes, where an operation of it is asked for. What `last` has not
/// under this name is looked for in the runs that gave way to it, which is told.
pub(crate) fn run_with(
    catalog: &dyn Catalog,
    scope: &Scope,
    run: &str,
    operation: &str,
    console: &mut Console<'_>,
) -> Result<(Run, Vec<Node>), Failure> {
    let meant = self::run(catalog, scope, run)?;
    let nodes = catalog.nodes(&meant.id)?;
    // A number says nothing in another run.
    let is_settled = !is_last(run) || number(operation).is_some();
    if is_settled || !self::nodes(&nodes, operation).is_empty() {
        return Ok((meant, nodes));
    }
    for lone in lone_beside(catalog, scope, &meant)? {
        let calls = catalog.nodes(&lone.id)?;
        if !self::nodes(&calls, operation).is_empty() {
            console.note(&format!(
                "run {} has no operation `{operation}`; this is of run {}, which gathers calls outside of workflows",
                meant.id, lone.id
            ))?;
            return Ok((lone, calls));
        }
    }
    Ok((meant, nodes))
}

/// What gathers the lone calls that were made beside the newest run, newest first: those that began
/// after it and gave way to it, and those of its own process.
fn lone_beside(catalog: &dyn Catalog, scope: &Scope, newest: &Run) -> Result<Vec<Run>, Failure> {
    let runs = newest_of(catalog, scope, LOOKED_AT)?;
    let later = runs.iter().position(|run| run.id == newest.id).unwrap_or_default();
    let is_of_same = |run: &Run| !run.process.is_empty() && run.process == newest.process;
    let beside = runs.into_iter().enumerate().filter(|(at, run)| {
        is_lone(run) && run.id != newest.id && (*at < later || is_of_same(run))
    });
    Ok(beside.map(|(_, run)| judged(run)).collect())
}

/// Whether it gathers the calls outside of workflows of a process.
const fn is_lone(run: &Run) -> bool {
    run.name.is_empty()
}

/// So many runs of the scope, newest first.
fn newest_of(catalog: &dyn Catalog, scope: &Scope, limit: usize) -> Result<Vec<Run>, Failure> {
    let filter = RunFilter { limit: Some(limit), ..RunFilter::default() };
    Ok(catalog.runs(Some(scope), &filter)?)
}

/// The newest run of the scope. What gathers the lone calls of a process that began other runs gives
/// way to these: mostly their bodies made the calls.
pub(crate) fn newest(catalog: &dyn Catalog, scope: &Scope) -> Result<Run, Failure> {
    let mut runs = newest_of(catalog, scope, 1)?;
    if runs.iter().all(is_lone) {
        runs = newest_of(catalog, scope, LOOKED_AT)?;
    }
    let gives_way = |run: &Run| {
        let is_of_same = |other: &Run| !is_lone(other) && other.process == run.process;
        is_lone(run) && !run.process.is_empty() && runs.iter().any(is_of_same)
    };
    let meant = runs.iter().find(|run| !gives_way(run)).cloned();
    meant.map(judged).ok_or_else(|| {
        Failure::Usage(format!(
            "there is no run in {scope} yet; `thrifty config` shows which cache and project this is"
        ))
    })
}

/// The run of any scope with this id, or the only one whose id begins so.
pub(crate) fn find_run(catalog: &dyn Catalog, text: &str) -> Result<Option<Run>, Failure> {
    let filter = RunFilter { id_prefix: Some(text.to_owned()), ..RunFilter::default() };
    let mut found: Vec<_> = catalog.runs(None, &filter)?.into_iter().map(judged).collect();
    if let Some(exact) = found.iter().position(|run| run.id.0 == text) {
        return Ok(Some(found.swap_remove(exact)));
    }
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().take(5).map(|run| run.id.0.as_str()).collect();
        let ids = ids.join(", ");
        return Err(Failure::Usage(format!("several runs begin with `{text}`: {ids}")));
    }
    Ok(found.pop())
}

/// Ids of recent runs, for hints.
pub(crate) fn known_runs(catalog: &dyn Catalog, scope: &Scope) -> Result<Vec<String>, Failure> {
    let runs = catalog.runs(Some(scope), &RunFilter::default())?;
    Ok(runs.into_iter().map(|run| run.id.0).collect())
}

/// The nodes with this number or name: the whole name, or its part behind the last `.` or `:`.
pub(crate) fn nodes<'a>(nodes: &'a [Node], text: &str) -> Vec<&'a Node> {
    let number = number(text);
    let is_meant = |node: &&Node| {
        Some(node.number) == number || node.operation == text || short_name(&node.operation) == text
    };
    nodes.iter().filter(is_meant).collect()
}

fn number(text: &str) -> Option<u32> {
    text.trim_start_matches('#').parse().ok()
}

/// The one node with this number or name that has an entry.
pub(crate) fn stored<'a>(
    catalog: &dyn Catalog,
    run: &Run,
    nodes: &'a [Node],
    text: &str,
) -> Result<&'a Node, Failure> {
    let found = self::nodes(nodes, text);
    let stored: Vec<&Node> = found.iter().copied().filter(|node| node.entry.is_some()).collect();
    match (stored.as_slice(), found.first()) {
        ([node], _) => Ok(node),
        ([], None) => Err(unknown_node(run, nodes, text)),
        ([], Some(node)) => Err(Failure::Usage(format!(
            "nothing is stored of {} in run {}: its outcome is {}",
            node.operation, run.id, node.outcome
        ))),
        _ => {
            let labels = labels(catalog, &run.scope, nodes)?;
            // A number alone means a node of `last`, which gathers lone calls only at times.
            let key = |node: &Node| node.key.filter(|_| is_lone(run)).map(|key| key.short());
            let name = |node: &Node| key(node).unwrap_or_else(|| format!("#{}", node.number));
            let label = |node: &&Node| match labels.get(&node.number) {
                Some(label) => format!("{} ({label})", name(node)),
                None => name(node),
            };
            let by = if is_lone(run) { "key" } else { "number" };
            let several: Vec<_> = stored.iter().take(SHOWN).map(label).collect();
            let more = if stored.len() > SHOWN { ", …" } else { "" };
            Err(Failure::Usage(format!(
                "{text} is there {} times in run {}: say which, by its {by}: {}{more}",
                stored.len(),
                run.id,
                several.join(", ")
            )))
        }
    }
}

/// The error for a name that no node has.
pub(crate) fn unknown_node(run: &Run, nodes: &[Node], text: &str) -> Failure {
    let hint = did_you_mean(text, nodes.iter().map(|node| short_name(&node.operation)));
    Failure::Usage(format!("run {} has no operation `{text}`; {hint}", run.id))
}

/// The entries whose keys begin so, of any scope.
pub(crate) fn entries(catalog: &dyn Catalog, prefix: &str) -> Result<Vec<Entry>, Failure> {
    if prefix.is_empty() || !prefix.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let key_prefix = Some(with_variants(&prefix.to_lowercase()).to_owned());
    Ok(catalog.entries(None, &Selector { key_prefix, ..Selector::default() }, 20)?)
}

/// The reservations of keys that begin so, of any scope.
pub(crate) fn computing(catalog: &dyn Catalog, prefix: &str) -> Result<Vec<Reservation>, Failure> {
    let prefix = prefix.to_lowercase();
    let mut found = catalog.reservations(None)?;
    found.retain(|reservation| reservation.key.to_string().starts_with(with_variants(&prefix)));
    Ok(found)
}

/// What is to be known about the code of a call.
pub(crate) fn notes(
    catalog: &dyn Catalog,
    scope: &Scope,
    node: &Node,
) -> Result<Vec<String>, Failure> {
    if let Some(ingredients) = &node.ingredients {
        return Ok(thrifty_engine::notes(catalog, ingredients)?);
    }
    let Some(entry) = node.entry else { return Ok(Vec::new()) };
    let selector = Selector { ids: Some(vec![entry]), ..Selector::default() };
    match catalog.entries(Some(scope), &selector, 1)?.pop() {
        Some(entry) => Ok(thrifty_engine::notes(catalog, &entry.ingredients)?),
        None => Ok(Vec::new()),
    }
}
