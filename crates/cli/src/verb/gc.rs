//! `thrifty gc`: frees space.

use std::path::Path;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;
use thrifty_engine::Ballast;
use thrifty_engine::catalog::RunFilter;
use thrifty_engine::evict::{Collected, GRACE, Goal, HISTORY, Means, Victim, collect, plan};
use thrifty_engine::removal::remember_removed;
use thrifty_engine::units::{parse_duration, parse_size, show_duration, show_size};
use thrifty_pipeline::{collect_runs, collect_work};

use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{age, count};

/// Free space: remove entries beyond a budget or an age, and bytes that nothing needs
#[derive(Debug, Args)]
#[command(after_help = "\
Safe beside running work, and on a disk without a free byte. Beyond the budget go the entries that
save the fewest seconds for each byte. Bytes used within the last hour are freed by a later call.

Examples:
  thrifty gc --budget 20GB --dry-run
  thrifty gc --project flights --budget 5GB
  thrifty gc --unused-for 30d")]
pub(crate) struct Arguments {
    /// The bytes that may stay, over all projects or of the one named; if not given, `budget` and
    /// `project_budget` of the configuration
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    budget: Option<u64>,
    /// Remove only entries of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Remove entries computed longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// Remove entries not used for longer than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    unused_for: Option<Duration>,
    /// Forget runs that began longer ago than this; 90d if not given
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    history: Option<Duration>,
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
    let home = console.settings()?.home.value;
    let ballast = Ballast::of(&home);
    // What was freed before it stopped stays so: the second attempt goes on from there.
    let done = match free(&arguments, console) {
        Err(Failure::Full(_)) if ballast.give() => free(&arguments, console),
        done => done,
    };
    if !arguments.dry_run {
        ballast.take();
    }
    done.map_err(|failure| match failure {
        Failure::Full(_) => Failure::Full(no_room(&home)),
        other => other,
    })
}

/// What is said where there is no space even to free some.
fn no_room(home: &Path) -> String {
    let home = home.display();
    format!(
        "no space left in {home}, not even for the little that it takes to remove entries: free a \
         megabyte beside the cache and run this again, or, while nothing uses it, delete the \
         directory: all results are computed again then"
    )
}

/// What the arguments and the configuration ask for.
fn goal(arguments: &Arguments, console: &Console<'_>) -> Result<Goal, Failure> {
    let Arguments { budget, project, older_than, unused_for, .. } = arguments;
    let settings = console.settings()?;
    let named = |name: &String| name.clone();
    let (total, quota) = match (project, budget) {
        (Some(project), budget) => (None, budget.map(|bytes| (named(project), bytes))),
        (None, Some(budget)) => (Some(*budget), None),
        (None, None) => {
            let quota = settings.project_budget.value;
            (settings.budget.value, quota.map(|bytes| (named(&settings.project.value), bytes)))
        }
    };
    Ok(Goal {
        budget: total,
        quota,
        only: project.clone(),
        older_than: *older_than,
        unused_for: *unused_for,
    })
}

fn free(arguments: &Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let (dry_run, json) = (arguments.dry_run, arguments.json);
    let home = console.settings()?.home.value;
    let [files, runs, work] = ["files", "runs", "work"].map(|name| home.join(name));
    let cache = console.cache()?;
    let (catalog, blobs) = (cache.catalog().as_ref(), cache.blobs().as_ref());
    let victims = plan(catalog, &goal(arguments, console)?)?;
    if dry_run && !json && !victims.is_empty() {
        list(&victims, catalog.now()?, console)?;
    }
    let means = Means {
        grace: GRACE,
        now: SystemTime::now(),
        files: Some(&files),
        history: arguments.history.unwrap_or(HISTORY),
        dry_run,
    };
    let mut collected = collect(catalog, blobs, &victims, &means)?;
    collected.leftovers += collect_work(&work, dry_run)?;
    if !dry_run {
        // Only so that a later miss can say who did it.
        let gone = victims.iter().map(|victim| (&victim.scope, &victim.key));
        _ = remember_removed(catalog, gone, "thrifty gc", cache.who());
    }
    // A run that cannot be looked for now counts as known.
    let is_known = |id: &str| {
        let filter = RunFilter { id_prefix: Some(id.to_owned()), ..RunFilter::default() };
        id.starts_with('.') || catalog.runs(None, &filter).map_or(true, |runs| !runs.is_empty())
    };
    let forgotten = collect_runs(&runs, &is_known, dry_run)?;
    if json {
        return console.json(&Freed { dry_run, collected });
    }
    let (removed, freed) = if dry_run { ("would remove", "free") } else { ("removed", "freed") };
    console.line(&format!(
        "{removed} {} and {freed} {} in {}; {} stay for up to an hour",
        count(collected.entries, "entry"),
        show_size(collected.bytes),
        count(collected.blobs + collected.leftovers + collected.placed, "file"),
        show_size(collected.waiting),
    ))?;
    if forgotten > 0 {
        console.line(&format!("{removed} {} of runs", count(forgotten, "directory")))?;
    }
    if collected.runs > 0 {
        console.line(&format!("forgot {}", count(collected.runs, "run")))?;
    }
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
