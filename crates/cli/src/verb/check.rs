//! `thrifty check`: executes operations again whose results are stored, and compares.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use thrifty_engine::check::{Checked, Verdict, is_proven};
use thrifty_engine::event::Event;
use thrifty_engine::units::{parse_share, show_duration};

use crate::console::{Console, Paint};
use crate::definition::parameter;
use crate::failure::Failure;
use crate::host::{CheckReport, CheckRequest, Host, Which};
use crate::progress::Progress;
use crate::show::{count, short_name};
use crate::verb::run::target;

/// What is checked if nobody says how much.
const SAMPLE: &str = "20%";

/// How many of the things that an operation reads are named.
const READS: usize = 5;

/// Execute operations again whose results are stored, in clean processes, and compare
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 all as stored, 1 something differs, fails, or could not be checked at all.

Examples:
  thrifty check pipeline:experiment -p path=flights.csv
  thrifty check pipeline:experiment train 'clean_*'
  thrifty check pipeline:experiment --all --json")]
pub(crate) struct Arguments {
    /// The workflow or task, as module:name
    #[arg(value_name = "MODULE:WORKFLOW", value_parser = target)]
    target: String,
    /// Check these operations: names or globs
    #[arg(value_name = "NAME", conflicts_with_all = ["sample", "all"])]
    names: Vec<String>,
    /// A parameter of the workflow; repeat for more
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Check so many of the operations, drawn by lot; one at least
    #[arg(long, value_name = "SHARE", default_value = SAMPLE, value_parser = some_share)]
    sample: f64,
    /// Check all of them
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// How many clean processes run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    workers: Option<u16>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(
    arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let Arguments { target, names, parameters, sample, all, workers, json } = arguments;
    let which = match names.is_empty() {
        true => Which::Share(if all { 1.0 } else { sample }),
        false => Which::Named(names),
    };
    let request =
        CheckRequest { target, parameters, which, workers: workers.map(usize::from), json };
    // What is wrong with the configuration is said before anything is loaded.
    console.settings()?;
    let progress = Arc::new(Progress::new(console.is_live));
    let listener = {
        let progress = Arc::clone(&progress);
        Arc::new(move |event: &Event| progress.take(event))
    };
    let found = host.check_workflow(&request, listener);
    progress.close();
    let report = found?;
    match json {
        true => console.json(&ReportJson::of(&report))?,
        false => show(&report, console)?,
    }
    if is_proven(&report.checks) { Ok(()) } else { Err(Failure::Operation) }
}

/// A share of which something is left.
fn some_share(text: &str) -> Result<f64, String> {
    match parse_share(text) {
        Ok(0.0) => Err("a sample of nothing checks nothing".to_owned()),
        Ok(share) => Ok(share),
        Err(error) => Err(error.to_string()),
    }
}

fn show(report: &CheckReport, console: &mut Console<'_>) -> Result<(), Failure> {
    report.checks.iter().try_for_each(|checked| show_one(checked, console))?;
    let line = summary(report);
    console.line(&line)
}

/// Writes a verdict with all that is known about it.
pub(crate) fn show_one(checked: &Checked, console: &mut Console<'_>) -> Result<(), Failure> {
    let Checked { number, operation, verdict, differences, reads, causes, reason, spent, .. } =
        checked;
    let paint = match verdict {
        Verdict::Same => Paint::Green,
        Verdict::Nondeterministic | Verdict::Differs | Verdict::Failed => Paint::Red,
        Verdict::NotCheckable => Paint::Yellow,
    };
    let word = console.paint(paint, &format!("{:<16}", verdict.word()));
    let took = if spent.is_zero() { String::new() } else { format!("  {}", show_duration(*spent)) };
    console.line(&format!("{word}  {} #{number}{took}", short_name(operation)))?;
    let perhaps = causes.iter().map(|cause| format!("perhaps: {cause}"));
    let reason = Some(reason).filter(|reason| !reason.is_empty()).cloned();
    let read = reads.iter().take(READS).map(|what| format!("reads {what} without declaring it"));
    let more = reads.len().saturating_sub(READS);
    let more = (more > 0).then(|| format!("reads {more} more"));
    let lines = differences.iter().cloned().chain(reason).chain(perhaps).chain(read).chain(more);
    for line in lines {
        console.line(&format!("    {line}"))?;
    }
    Ok(())
}

fn summary(report: &CheckReport) -> String {
    let CheckReport { checks, stored, unknown } = report;
    let mut parts = Vec::new();
    for verdict in Verdict::ALL {
        let alike = checks.iter().filter(|checked| checked.verdict == verdict).count();
        parts.extend((alike > 0).then(|| format!("{alike} {}", verdict.word())));
    }
    let found = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    let of = count(*stored as u64, "operation");
    let behind = match unknown {
        0 => String::new(),
        _ => format!(
            "; {} not stored, or behind one that is not",
            count(*unknown as u64, "operation")
        ),
    };
    format!("checked {} of {of} with a stored result{found}{behind}", checks.len())
}

/// A report for programs.
#[derive(Serialize)]
struct ReportJson<'a> {
    stored: usize,
    unknown: usize,
    checks: Vec<CheckedJson<'a>>,
}

/// A verdict for programs.
#[derive(Serialize)]
struct CheckedJson<'a> {
    number: u32,
    name: &'a str,
    operation: &'a str,
    key: Option<String>,
    verdict: &'static str,
    differences: &'a [String],
    reads: &'a [String],
    causes: &'a [String],
    reason: &'a str,
    seconds: f64,
}

impl<'a> ReportJson<'a> {
    fn of(report: &'a CheckReport) -> Self {
        let CheckReport { checks, stored, unknown } = report;
        let checks = checks.iter().map(|checked| CheckedJson {
            number: checked.number,
            name: short_name(&checked.operation),
            operation: &checked.operation,
            key: checked.key.map(|key| key.to_string()),
            verdict: checked.verdict.word(),
            differences: &checked.differences,
            reads: &checked.reads,
            causes: &checked.causes,
            reason: &checked.reason,
            seconds: checked.spent.as_secs_f64(),
        });
        Self { stored: *stored, unknown: *unknown, checks: checks.collect() }
    }
}
