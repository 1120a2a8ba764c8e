//! `thrifty gc`: frees space.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use thrifty_engine::evict::{Collected, GRACE, Goal, Victim, collect, plan};
use thrifty_engine::explain::remember_removed;
use thrifty_engine::units::{parse_duration, parse_size, show_duration, show_size};

use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{age, count};

/// Free space: remove entries beyond a budget or an age, and bytes that nothing needs
#[derive(Debug, Args)]
#[command(after_help = "\
Safe beside running work. Beyond the budget go the entries that save the fewest seconds for each
byte. Bytes used within the last hour are freed by a later call.

Examples:
  thrifty gc --budget 20GB --dry-run
  thrifty gc --unused-for 30d")]
pub(crate) struct Arguments {
    /// The bytes that may stay, over all projects; `budget` of the configuration if not given
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    budget: Option<u64>,
    /// Remove entries computed longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// Remove entries not used for longer than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    unused_for: Option<Duration>,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What was, or would be, freed, for programs.
#[derive(Serialize)]
struct Freed {
    dry_run: bool,
    #[serde(flatten)]
    collected: Collected,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { budget, older_than, unused_for, dry_run, json } = arguments;
    let budget = match budget {
        Some(budget) => Some(budget),
        None => console.settings()?.budget.value,
    };
    let cache = console.cache()?;
    let (catalog, blobs) = (cache.catalog().as_ref(), cache.blobs().as_ref());
    let victims = plan(catalog, &Goal { budget, older_than, unused_for })?;
    if dry_run && !json && !victims.is_empty() {
        list(&victims, catalog.now()?, console)?;
    }
    let collected = collect(catalog, blobs, &victims, GRACE, dry_run)?;
    if !dry_run {
        // Only so that a later miss can say who did it.
        let gone = victims.iter().map(|victim| (&victim.scope, &victim.key));
        _ = remember_removed(catalog, gone, "thrifty gc", cache.who());
    }
    if json {
        return console.json(&Freed { dry_run, collected });
    }
    let (removed, freed) = if dry_run { ("would remove", "free") } else { ("removed", "freed") };
    console.line(&format!(
        "{removed} {} and {freed} {} in {}; {} stay for up to an hour",
        count(collected.entries, "entry"),
        show_size(collected.bytes),
        count(collected.blobs + collected.leftovers, "file"),
        show_size(collected.waiting),
    ))?;
    for failure in &collected.failures {
        let failure = console.paint(Paint::Yellow, failure);
        console.note(&failure)?;
    }
    if collected.failures.is_empty() { Ok(()) } else { Err(Failure::Findings) }
}

fn list(victims: &[Victim], now: i64, console: &mut Console<'_>) -> Result<(), Failure> {
    let rows = victims.iter().map(|victim| {
        [
            victim.operation.clone(),
            victim.scope.to_string(),
            age(now, victim.used_at),
            show_duration(victim.cost),
            show_size(victim.size),
        ]
    });
    console.excerpt(["operation", "project", "last used", "cost ", "size "], rows)
}
