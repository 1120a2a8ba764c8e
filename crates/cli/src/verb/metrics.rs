//! `thrifty metrics`: what operations measured.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use thrifty_engine::catalog::{Entry, Node, Run};
use thrifty_engine::explain::labels;

use crate::choose;
use crate::console::Console;
use crate::failure::Failure;
use crate::show::short_name;
use crate::told::{self, OriginJson, ToldJson};

/// Show what operations measured, also where they were hits
#[derive(Debug, Args)]
#[command(after_help = "\
Of a series, the last value; all of them with --json.

Examples:
  thrifty metrics                     of the newest run
  thrifty metrics k3f9 --json         of a run, by the beginning of its id
  thrifty metrics train --run k3f9    of one operation")]
pub(crate) struct Arguments {
    /// The beginning of a run's id, or an operation, by name or by its number in the run
    #[arg(value_name = "RUN|OPERATION", default_value = "last")]
    what: String,
    /// The run of the operation
    #[arg(long, value_name = "RUN", default_value = "last")]
    run: String,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What one operation measured, for programs.
#[derive(Serialize)]
struct MeasuredJson {
    operation: String,
    /// What tells it from other calls of the operation.
    label: String,
    number: u32,
    outcome: String,
    origin: OriginJson,
    #[serde(flatten)]
    told: ToldJson,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { what, run, json } = arguments;
    let cache = console.cache()?;
    let catalog = cache.catalog().as_ref();
    let whole = match what.as_str() {
        "last" | "latest" => Some(choose::newest(catalog, cache.scope())?),
        _ => choose::find_run(catalog, &what)?,
    };
    let ((run, nodes), operation) = match whole {
        Some(run) => {
            let nodes = catalog.nodes(&run.id)?;
            ((run, nodes), None)
        }
        None => (choose::run_with(catalog, cache.scope(), &run, &what, console)?, Some(what)),
    };
    let chosen: Vec<&Node> = match &operation {
        None => nodes.iter().collect(),
        Some(name) => choose::nodes(&nodes, name),
    };
    if let Some(name) = operation.filter(|_| chosen.is_empty()) {
        return Err(choose::unknown_node(&run, &nodes, &name));
    }
    let found = told::entries(catalog, &run, chosen.into_iter())?;
    let labels = labels(catalog, &run.scope, &nodes)?;
    if json {
        let all: Vec<_> =
            found.iter().map(|(node, entry)| measured(node, entry, &labels)).collect();
        return console.json(&all);
    }
    write(&run, &found, &labels, catalog.now()?, console)
}

fn measured(node: &Node, entry: &Entry, labels: &BTreeMap<u32, String>) -> MeasuredJson {
    MeasuredJson {
        operation: node.operation.clone(),
        label: labels.get(&node.number).cloned().unwrap_or_default(),
        number: node.number,
        outcome: node.outcome.clone(),
        origin: OriginJson::of(entry),
        told: ToldJson::of(entry),
    }
}

fn write(
    run: &Run,
    found: &[(&Node, Entry)],
    labels: &BTreeMap<u32, String>,
    now: i64,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (node, entry) in found {
        let notes = told::annotations(entry);
        let label = labels.get(&node.number).map_or("", String::as_str);
        let name = format!("{} {label}", short_name(&node.operation));
        for (metric, count) in told::last_values(&notes.metrics) {
            rows.push([
                name.trim_end().to_owned(),
                metric.name.clone(),
                metric.value.to_string(),
                metric.step.map_or_else(String::new, |step| step.to_string()),
                count.to_string(),
                node.outcome.clone(),
                told::origin(entry, now),
            ]);
        }
    }
    if rows.is_empty() {
        return console.note(&format!("nothing was measured in run {}", run.id));
    }
    console.table(["operation", "metric", "value ", "step ", "values ", "outcome", "origin"], rows)
}
