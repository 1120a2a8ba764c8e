//! `thrifty run`: runs a workflow.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use thrifty_engine::check::Checked;
use thrifty_engine::config::Executor;
use thrifty_engine::event::Event;
use thrifty_engine::units::parse_share;
use thrifty_engine::{Mode, Seed};
use thrifty_pipeline::Keeping;

use crate::causes::{PlanJson, write_plan};
use crate::console::{Console, Paint};
use crate::definition::{Definition, parameter};
use crate::failure::Failure;
use crate::host::{End, Failed, Given, Host, PlanReport, RunReport, RunRequest, Telling};
use crate::lookups;
use crate::operation_file::{self, Choice};
use crate::progress::Progress;
use crate::room::Room;
use crate::trials::{self, SearchJson};

/// Run a workflow or an operation file; what is known already is not computed again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty run pipeline:experiment -p path=flights.csv -p lr=0.1
  thrifty run pipeline:experiment --refresh train 'clean_*'
  thrifty run pipeline:experiment --no-cache --workers 4
  thrifty run pipeline.yaml -p rate=0.1         an operation file
  thrifty run pipeline.yaml train               one operation of it, and what it needs
  thrifty run command.yaml --cache              a lone command, cached
  thrifty run pipeline.yaml --preset fast --set operations.train.timeout=1h
  thrifty run pipeline:experiment --dry-run     what would run, and why")]
pub(crate) struct Arguments {
    /// The workflow, as module:name, or an operation file
    #[arg(value_name = "MODULE:WORKFLOW|FILE", value_parser = target_or_file)]
    target: String,
    /// Of an operation file, run these operations and what they need
    #[arg(value_name = "OPERATION")]
    operations: Vec<String>,
    /// A parameter of the workflow; repeat for more
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// Of an operation file, a preset; repeat for more, later ones hold over earlier ones
    #[arg(long = "preset", value_name = "NAME")]
    presets: Vec<String>,
    /// Of an operation file, a field, such as operations.train.cache.ttl=1d; repeat for more
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = field)]
    fields: Vec<(String, String)>,
    /// Look up and store, also where the file or the default says not to
    #[arg(long, conflicts_with_all = ["no_cache", "read_only"])]
    cache: bool,
    /// Neither look up nor store anything
    #[arg(long, conflicts_with = "read_only")]
    no_cache: bool,
    /// Compute again and replace what is stored: these operations (names or globs), or all
    #[arg(long, value_name = "NAME", num_args = 0..)]
    refresh: Option<Vec<String>>,
    /// Look up, and store nothing
    #[arg(long)]
    read_only: bool,
    /// How many operations run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    workers: Option<u16>,
    #[command(flatten)]
    room: Room,
    /// Of a file with a schedule: run it as for this tick, such as 2026-01-31T03:00:00Z; the last that was due
    /// unless given
    #[arg(long, value_name = "TIME", value_parser = tick)]
    tick: Option<jiff::Timestamp>,
    /// Wait for nobody: compute what another run or process computes already, too
    #[arg(long)]
    now: bool,
    /// Let nothing begin any more once an operation has failed; what runs goes on to its end
    #[arg(long, conflicts_with = "keep_going")]
    fail_fast: bool,
    /// Let what does not need a failed operation go on; the default, also where the file says otherwise
    #[arg(long)]
    keep_going: bool,
    /// Of an operation file, where the run has its directory, if not with the cache
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Where operations run
    #[arg(long, value_parser = Executor::ALL.map(Executor::word))]
    executor: Option<String>,
    /// Execute so many of the hits again when the run has ended, and compare
    #[arg(long, value_name = "SHARE", value_parser = share)]
    check: Option<f64>,
    /// Only tell what would run and why; nothing is computed or stored
    #[arg(long)]
    dry_run: bool,
    /// Write JSON: what the run gave, or with --dry-run what it would do
    #[arg(long)]
    json: bool,
    /// Seed random number generators, other than where code or operations state a seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=Seed::LARGEST))]
    seed: Option<u64>,
}

pub(crate) fn run(
    mut arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let choice = Choice {
        only: std::mem::take(&mut arguments.operations),
        presets: std::mem::take(&mut arguments.presets),
        tick: arguments.tick,
        fields: std::mem::take(&mut arguments.fields),
        room: arguments.room,
        keeping: Keeping {
            elsewhere: arguments.run_dir.take().map(|directory| console.directory.join(directory)),
            ..Keeping::default()
        },
        does_again: false,
    };
    let telling = if arguments.json { Telling::Json } else { Telling::Text };
    go(&request(arguments)?, &choice, telling, host, console)
}

/// Runs what is asked for, or tells what would run.
pub(crate) fn go(
    request: &RunRequest,
    choice: &Choice,
    telling: Telling,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let mut choice = choice.clone();
    choice.keeping.definition = Definition::of(request, &choice, console).json();
    let choice = &choice;
    let is_file = operation_file::is_one(&request.target);
    if let Some(option) = choice.first_option().filter(|_| !is_file) {
        let message = format!("{option} is for operation files; `{}` is none", request.target);
        return Err(Failure::Usage(message));
    }
    // What is wrong with the configuration is said before anything is loaded.
    console.settings()?;
    if let Some(note) = lookups::elsewhere(console.variables)? {
        console.note(&note)?;
    }
    if let Some(telling) = request.dry_run {
        let plan = match is_file {
            true => operation_file::plan(request, choice, host, console)?,
            false => host.plan_workflow(request)?,
        };
        return tell(&plan, telling, console);
    }
    let progress = Arc::new(Progress::new(console.is_live));
    let listener = {
        let progress = Arc::clone(&progress);
        Arc::new(move |event: &Event| progress.take(event))
    };
    let ended = match is_file {
        true => operation_file::run(request, choice, host, console, listener),
        false => host.run_workflow(request, listener).map_err(Failure::from),
    };
    progress.close();
    let ended = ended?;
    if telling == Telling::Json {
        console.json(&RunJson::of(&ended))?;
    }
    report(&ended, &progress.summary(), telling, console)
}

fn request(arguments: Arguments) -> Result<RunRequest, Failure> {
    let Arguments {
        target,
        parameters,
        cache,
        no_cache,
        refresh,
        read_only,
        workers,
        now,
        fail_fast,
        keep_going,
        executor,
        check,
        seed,
        ..
    } = arguments;
    let telling = if arguments.json { Telling::Json } else { Telling::Text };
    let refresh_all = refresh.as_ref().is_some_and(Vec::is_empty);
    if refresh_all && (cache || no_cache || read_only) {
        let message = "--refresh without names contradicts --cache, --no-cache and --read-only";
        return Err(Failure::Usage(message.to_owned()));
    }
    let modes = [
        (cache, Mode::On),
        (no_cache, Mode::Off),
        (read_only, Mode::ReadOnly),
        (refresh_all, Mode::Refresh),
    ];
    let mode = modes.into_iter().find_map(|(chosen, mode)| chosen.then_some(mode));
    Ok(RunRequest {
        target,
        parameters,
        mode,
        refresh: refresh.unwrap_or_default(),
        executor: executor.as_deref().and_then(Executor::from_word),
        workers: workers.map(usize::from),
        now,
        fail_fast: (fail_fast || keep_going).then_some(fail_fast),
        check,
        dry_run: arguments.dry_run.then_some(telling),
        seed: seed.and_then(Seed::new),
    })
}

/// A run for programs.
#[derive(Serialize)]
struct RunJson<'a> {
    run: Option<&'a str>,
    status: &'static str,
    result: Option<&'a str>,
    outputs: BTreeMap<&'a str, &'a serde_json::Value>,
    failures: Vec<FailedJson<'a>>,
    searches: Vec<SearchJson<'a>>,
}

#[derive(Serialize)]
struct FailedJson<'a> {
    operation: &'a str,
    message: &'a str,
}

impl<'a> RunJson<'a> {
    fn of(report: &'a RunReport) -> Self {
        let Given { outputs, searches } = &report.given;
        let failed = |it: &'a Failed| FailedJson { operation: &it.operation, message: &it.message };
        Self {
            run: report.run.as_deref(),
            status: match report.end {
                End::Succeeded => "succeeded",
                End::Failed => "failed",
                End::Interrupted => "cancelled",
            },
            result: report.result.as_deref(),
            outputs: outputs.iter().map(|(name, value)| (name.as_str(), value)).collect(),
            failures: report.failures.iter().map(failed).collect(),
            searches: searches.iter().map(SearchJson::of).collect(),
        }
    }
}

fn report(
    report: &RunReport,
    summary: &str,
    telling: Telling,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for failed in &report.failures {
        let heading = console.paint(Paint::Red, &format!("{} failed", failed.operation));
        console.note(&format!("{heading}\n{}", failed.message.trim_end()))?;
    }
    for note in &report.notes {
        console.note(note)?;
    }
    for checked in &report.checks {
        show_finding(checked, console)?;
    }
    for searched in report.given.searches.iter().filter(|_| telling == Telling::Text) {
        trials::show(searched, console)?;
    }
    let run = report.run.as_deref().unwrap_or("(not recorded)");
    console.note(&format!("run {run}: {summary}"))?;
    if let Some(result) = report.result.as_ref().filter(|_| telling == Telling::Text) {
        console.line(result)?;
    }
    match report.end {
        End::Succeeded => Ok(()),
        End::Failed => Err(Failure::Operation),
        End::Interrupted => Err(Failure::Interrupted),
    }
}

/// Says beside the result which entry is in doubt.
fn show_finding(checked: &Checked, console: &mut Console<'_>) -> Result<(), Failure> {
    if !checked.verdict.is_finding() {
        return Ok(());
    }
    let heading = console.paint(Paint::Red, &checked.operation);
    console.note(&format!("{heading}, {}", checked.line()))
}

fn share(text: &str) -> Result<f64, String> {
    parse_share(text).map_err(|error| error.to_string())
}

/// Tells what a run would do.
fn tell(plan: &PlanReport, telling: Telling, console: &mut Console<'_>) -> Result<(), Failure> {
    let explanation = match plan {
        PlanReport::Told(explanation) => explanation,
        PlanReport::Failed(failed) => {
            let heading = console.paint(Paint::Red, &format!("{} failed", failed.operation));
            console.note(&format!("{heading}\n{}", failed.message.trim_end()))?;
            return Err(Failure::Operation);
        }
    };
    match telling {
        Telling::Json => console.json(&PlanJson::of(explanation)),
        Telling::Text => write_plan(explanation, console),
    }
}

fn tick(text: &str) -> Result<jiff::Timestamp, String> {
    let wrong = |_| "write a time with its offset, such as 2026-01-31T03:00:00+01:00".to_owned();
    text.parse().map_err(wrong)
}

fn target_or_file(text: &str) -> Result<String, String> {
    if operation_file::is_one(text) { Ok(text.to_owned()) } else { target(text) }
}

pub(crate) fn target(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some((module, name)) if !module.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("write module:workflow, such as pipeline:experiment".to_owned()),
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((path, value)) if !path.is_empty() => Ok((path.to_owned(), value.to_owned())),
        _ => Err("write path=value, such as operations.train.cache.ttl=1d".to_owned()),
    }
}
