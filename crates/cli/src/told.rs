//! What the computation of a stored result told besides, and who computed it.

use serde::Serialize;
use thrifty_engine::annotations::{Annotations, Metric};
use thrifty_engine::catalog::{Catalog, Entry, Node, Run, Selector, Time};
use thrifty_engine::units::show_duration;
use thrifty_pipeline::annotations_of;

use crate::failure::Failure;
use crate::show::{age, timestamp};

/// The entries of nodes of a run, by the nodes.
pub(crate) fn entries<'a>(
    catalog: &dyn Catalog,
    run: &Run,
    nodes: impl Iterator<Item = &'a Node>,
) -> Result<Vec<(&'a Node, Entry)>, Failure> {
    let nodes: Vec<_> = nodes.filter_map(|node| Some((node, node.entry?))).collect();
    let ids = Some(nodes.iter().map(|(_, entry)| *entry).collect());
    let selector = Selector { ids, ..Selector::default() };
    let entries = catalog.entries(Some(&run.scope), &selector, usize::MAX >> 1)?;
    let found = nodes.into_iter().filter_map(|(node, id)| {
        entries.iter().find(|entry| entry.id == id).map(|entry| (node, entry.clone()))
    });
    Ok(found.collect())
}

/// What was told; nothing if the output cannot be read.
pub(crate) fn annotations(entry: &Entry) -> Annotations {
    annotations_of(&entry.output).unwrap_or_default()
}

/// Who computed a result, and when, for people.
pub(crate) fn origin(entry: &Entry, now: Time) -> String {
    let run = entry
        .origin
        .run
        .as_ref()
        .map_or_else(String::new, |run| format!(" in run {run} #{}", entry.origin.node));
    let attempt = annotations(entry).attempt;
    let attempt = attempt.map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
    format!(
        "computed {}{run} by {}@{}, took {}{attempt}",
        age(now, entry.created_at),
        entry.origin.user,
        entry.origin.host,
        show_duration(entry.cost)
    )
}

/// Who computed a result, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct OriginJson {
    run: Option<String>,
    node: u32,
    attempt: u32,
    host: String,
    user: String,
    computed_at: String,
    seconds: f64,
    key: String,
}

/// What the computation told, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct ToldJson {
    pub(crate) metrics: Vec<Metric>,
    pub(crate) plots: Vec<String>,
    pub(crate) tags: Vec<String>,
}

impl OriginJson {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            run: entry.origin.run.as_ref().map(ToString::to_string),
            node: entry.origin.node,
            attempt: annotations(entry).attempt.unwrap_or(1),
            host: entry.origin.host.clone(),
            user: entry.origin.user.clone(),
            computed_at: timestamp(entry.created_at),
            seconds: entry.cost.as_secs_f64(),
            key: entry.key.to_string(),
        }
    }
}

impl ToldJson {
    pub(crate) fn of(entry: &Entry) -> Self {
        let Annotations { metrics, plots, tags, attempt: _ } = annotations(entry);
        Self { metrics, plots, tags }
    }
}

/// The metrics by name, each with its last value, and how many there are, in the order in which
/// they first came.
pub(crate) fn last_values(metrics: &[Metric]) -> Vec<(&Metric, usize)> {
    let mut found: Vec<(&Metric, usize)> = Vec::new();
    for metric in metrics {
        match found.iter_mut().find(|(known, _)| known.name == metric.name) {
            Some((last, count)) => (*last, *count) = (metric, *count + 1),
            None => found.push((metric, 1)),
        }
    }
    found
}
