//! `thrifty runs`: what was run.

use clap::Args;
use thrifty_engine::catalog::{RunFilter, RunStatus};
use thrifty_engine::process::judged;
use thrifty_engine::units::show_duration;

use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{Counts, RunJson, age, duration, unless_zero};

/// List runs, newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty runs
  thrifty runs --name experiment --limit 5 --json")]
pub(crate) struct Arguments {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Only runs of this workflow or script
    #[arg(long)]
    name: Option<String>,
    /// Runs of all projects
    #[arg(long)]
    all_projects: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { limit, name, all_projects, json } = arguments;
    let cache = console.cache()?;
    let scope = (!all_projects).then(|| cache.scope());
    let filter = RunFilter { name, limit: Some(limit), ..RunFilter::default() };
    let runs: Vec<_> = cache.catalog().runs(scope, &filter)?.into_iter().map(judged).collect();
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

/// The colour of a status.
pub(crate) const fn colour(status: RunStatus) -> Paint {
    match status {
        RunStatus::Succeeded => Paint::Green,
        RunStatus::Failed | RunStatus::Lost => Paint::Red,
        RunStatus::Cancelled => Paint::Yellow,
        RunStatus::Running => Paint::Cyan,
    }
}
