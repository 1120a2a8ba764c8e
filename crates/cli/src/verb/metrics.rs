//! `thrifty metrics`: what operations measured.

use clap::Args;
use serde::Serialize;
use thrifty_engine::catalog::{Entry, Node, Run};

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
    let (run, operation) = match what.as_str() {
        "last" | "latest" => (choose::newest(catalog, cache.scope())?, None),
        _ => match choose::find_run(catalog, &what)? {
            Some(run) => (run, None),
            None => (choose::run(catalog, cache.scope(), &run)?, Some(what)),
        },
    };
    let nodes = catalog.nodes(&run.id)?;
    let chosen: Vec<&Node> = match &operation {
        None => nodes.iter().collect(),
        Some(name) => choose::nodes(&nodes, name),
    };
    if let Some(name) = operation.filter(|_| chosen.is_empty()) {
        return Err(choose::unknown_node(&run, &nodes, &name));
    }
    let found = told::entries(catalog, &run, chosen.into_iter())?;
    if json {
        let all: Vec<_> = found.iter().map(|(node, entry)| measured(node, entry)).collect();
        return console.json(&all);
    }
    write(&run, &found, catalog.now()?, console)
}

fn measured(node: &Node, entry: &Entry) -> MeasuredJson {
    MeasuredJson {
        operation: node.operation.clone(),
        number: node.number,
        outcome: node.outcome.clone(),
        origin: OriginJson::of(entry),
        told: ToldJson::of(entry),
    }
}

fn write(
    run: &Run,
    found: &[(&Node, Entry)],
    now: i64,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for (node, entry) in found {
        let notes = told::annotations(entry);
        for (metric, count) in told::last_values(&notes.metrics) {
            rows.push([
                short_name(&node.operation).to_owned(),
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
