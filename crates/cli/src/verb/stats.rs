//! `thrifty stats`: what the cache saved.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use thrifty_engine::catalog::{Selector, Totals};
use thrifty_engine::explain::is_hit;

use crate::computing::{self, ComputingJson};
use crate::console::Console;
use crate::failure::Failure;
use crate::show::{Counts, count, unless_zero};

/// Show hits, misses and time saved, by operation
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty stats
  thrifty stats --all-projects --json")]
pub(crate) struct Arguments {
    /// Over all projects
    #[arg(long)]
    all_projects: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// The totals of one operation.
#[derive(Debug, Clone, Default)]
struct Line {
    counts: Counts,
    spent: Duration,
    saved: Duration,
}

/// All that is told, for programs.
#[derive(Serialize)]
struct StatsJson {
    operations: Vec<LineJson>,
    pinned: u64,
    computing: Vec<ComputingJson>,
}

/// The totals of one operation, for programs.
#[derive(Serialize)]
struct LineJson {
    operation: String,
    hits: u64,
    computed: u64,
    failed: u64,
    seconds: f64,
    saved_seconds: f64,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { all_projects, json } = arguments;
    let cache = console.cache()?;
    let scope = (!all_projects).then(|| cache.scope());
    let lines = lines(cache.catalog().totals(scope)?);
    let computing = cache.catalog().reservations(scope)?;
    let pinned = cache.catalog().entries(scope, &Selector::default(), usize::MAX >> 1)?;
    let pinned = pinned.iter().filter(|entry| entry.pinned).count() as u64;
    if json {
        return console.json(&StatsJson {
            operations: lines.iter().map(LineJson::of).collect(),
            pinned,
            computing: computing.iter().map(ComputingJson::of).collect(),
        });
    }
    if lines.is_empty() && computing.is_empty() {
        return console.note("nothing was run yet");
    }
    let mut total = Line::default();
    lines.iter().for_each(|(_, line)| total.add_line(line));
    let all = lines.into_iter().chain([("all".to_owned(), total)]);
    let heading = ["operation", "hits ", "computed ", "failed ", "spent ", "saved "];
    console.table(heading, all.map(|(operation, line)| line.row(operation)))?;
    if pinned > 0 {
        console.line(&format!("\n{} pinned", count(pinned, "entry")))?;
    }
    if computing.is_empty() {
        return Ok(());
    }
    console.line("")?;
    computing::write(&computing, cache.catalog().now()?, console)
}

/// By operation, those that saved most first.
fn lines(totals: Vec<Totals>) -> Vec<(String, Line)> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for Totals { operation, outcome, count, spent, saved } in totals {
        let line = lines.entry(operation).or_default();
        line.counts.add(&outcome, count);
        // Of a hit, it is the time in which another one computed it, or in which it was looked up.
        line.spent += if is_hit(&outcome) || outcome == "waited" { Duration::ZERO } else { spent };
        line.saved += saved;
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.saved));
    lines
}

impl Line {
    fn add_line(&mut self, other: &Self) {
        let Counts { computed, hits, failed, skipped, other: rest } = other.counts;
        self.counts.computed += computed;
        self.counts.hits += hits;
        self.counts.failed += failed;
        self.counts.skipped += skipped;
        self.counts.other += rest;
        self.spent += other.spent;
        self.saved += other.saved;
    }

    fn row(&self, operation: String) -> [String; 6] {
        [
            operation,
            self.counts.hits.to_string(),
            self.counts.computed.to_string(),
            self.counts.failed.to_string(),
            unless_zero(self.spent),
            unless_zero(self.saved),
        ]
    }
}

impl LineJson {
    fn of((operation, line): &(String, Line)) -> Self {
        Self {
            operation: operation.clone(),
            hits: line.counts.hits,
            computed: line.counts.computed,
            failed: line.counts.failed,
            seconds: line.spent.as_secs_f64(),
            saved_seconds: line.saved.as_secs_f64(),
        }
    }
}
