//! `thrifty runs`: what was run.

use clap::Args;
use thrifty_engine::catalog::{Catalog, Run, RunFilter, RunStatus};
use thrifty_engine::process::judged;
use thrifty_engine::units::show_duration;

use crate::choose;
use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{Counts, RunJson, age, duration, unless_zero};

const STATUSES: [RunStatus; 5] = [
    RunStatus::Running,
    RunStatus::Lost,
    RunStatus::Succeeded,
    RunStatus::Failed,
    RunStatus::Cancelled,
];

/// List runs, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty runs
  thrifty runs --name experiment --limit 5 --json
  thrifty runs --status failed
  thrifty runs --source k3f9            those that took results of this run")]
pub(crate) struct Arguments {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only runs of this workflow or script
    #[arg(long)]
    name: Option<String>,
    /// Only runs that ended so, or have not
    #[arg(long, value_parser = STATUSES.map(RunStatus::word))]
    status: Option<String>,
    /// Only runs with hits on what this run computed
    #[arg(long, value_name = "RUN")]
    source: Option<String>,
    /// Runs of all projects
    #[arg(long)]
    all_projects: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { limit, name, status, source, all_projects, json } = arguments;
    let cache = console.cache()?;
    let catalog = cache.catalog().as_ref();
    let scope = (!all_projects).then(|| cache.scope());
    let source = source.map(|it| choose::run(catalog, cache.scope(), &it)).transpose()?;
    let is_filtered = status.is_some() || source.is_some();
    let filter = RunFilter {
        name,
        limit: Some(if is_filtered { usize::MAX >> 1 } else { limit }),
        ..RunFilter::default()
    };
    let mut runs = Vec::new();
    for run in catalog.runs(scope, &filter)?.into_iter().map(judged) {
        let is_meant = status.as_ref().is_none_or(|it| it == run.status.word())
            && source.as_ref().map_or(Ok(true), |it| took_from(catalog, &run, it))?;
        runs.extend(is_meant.then_some(run));
        if runs.len() == limit {
            break;
        }
    }
    if json {
        return console.json(&runs.iter().map(RunJson::of).collect::<Vec<_>>());
    }
    if runs.is_empty() {
        return console.note(&format!("no runs in {}", cache.scope()));
    }
    let now = cache.catalog().now()?;
    let heading = ["run", "name", "status", "started", "took ", "computed ", "hits ", "saved "];
    let rows: Vec<_> = runs
        .iter()
        .map(|run| {
            let counts = Counts::of(run);
            [
                run.id.0.clone(),
                run.name.clone(),
                console.paint(colour(run.status), run.status.word()),
                age(now, run.started_at),
                duration(run).map(show_duration).unwrap_or_default(),
                counts.computed.to_string(),
                counts.hits.to_string(),
                unless_zero(run.saved),
            ]
        })
        .collect();
    console.table(heading, rows)
}

/// Whether a run had hits on what another one computed.
fn took_from(catalog: &dyn Catalog, run: &Run, source: &Run) -> Result<bool, Failure> {
    if run.started_at < source.started_at {
        return Ok(false);
    }
    let nodes = catalog.nodes(&run.id)?;
    Ok(run.id != source.id && nodes.iter().any(|node| node.source.as_ref() == Some(&source.id)))
}

/// The colour of a status.
pub(crate) const fn colour(status: RunStatus) -> Paint {
    match status {
        RunStatus::Succeeded => Paint::Green,
        RunStatus::Failed | RunStatus::Lost => Paint::Red,
        RunStatus::Cancelled => Paint::Yellow,
        RunStatus::Running => Paint::Cyan,
    }
}
