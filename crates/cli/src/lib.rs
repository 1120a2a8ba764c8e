//! The thrifty command: one file a verb.
//!
//! [`main`] is a table from verb to function. A verb reads its arguments, asks the engine, and
//! writes to a [`Console`]; running workflows is left to a [`Host`], which the binding of a
//! language implements. Exit codes: 0 done, 1 an operation failed, 2 wrong use, 3 trouble with
//! the cache, 130 interrupted, 128 and its number if a signal ended it.

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod causes;
mod choose;
mod computing;
mod console;
mod definition;
mod failure;
mod host;
mod lookups;
mod operation_file;
mod progress;
mod room;
mod scheduler;
mod show;
mod told;
mod trials;
mod verb;

pub use console::Console;
use failure::{EXIT_CODES, Failure};
pub use host::{
    CheckReport, CheckRequest, End, Failed, Given, Host, HostError, PlanReport, RunReport,
    RunRequest, Telling, Which,
};
use thrifty_engine::Cache;
use thrifty_engine::explain::Explanation;

/// Never computes the same pipeline step twice.
#[derive(Debug, Parser)]
#[command(name = "thrifty", bin_name = "thrifty", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Command {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(verb::run::Arguments),
    Resume(verb::resume::Arguments),
    Restart(verb::restart::Arguments),
    Replay(verb::replay::Arguments),
    Recover(verb::recover::Arguments),
    Schedule(verb::schedule::Arguments),
    Why(verb::why::Arguments),
    Runs(verb::runs::Arguments),
    Show(verb::show::Arguments),
    Logs(verb::logs::Arguments),
    Metrics(verb::metrics::Arguments),
    Stats(verb::stats::Arguments),
    Check(verb::check::Arguments),
    Invalidate(verb::invalidate::Arguments),
    Clear(verb::clear::Arguments),
    Pin(verb::pin::Arguments),
    Gc(verb::gc::Arguments),
    Fsck(verb::fsck::Arguments),
    Config(verb::config::Arguments),
    Completion(verb::completion::Arguments),
}

/// Runs the command with the terminal, environment and working directory of this process.
/// `arguments` begin with the name of the program. Returns the exit code.
pub fn main(arguments: Vec<OsString>, host: &dyn Host) -> u8 {
    let is_terminal = stdout().is_terminal();
    let mut input = stdin().lock();
    let answers = stdin().is_terminal() && stderr().is_terminal();
    let mut console = Console {
        out: &mut std::io::BufWriter::new(stdout()),
        err: &mut stderr(),
        input: answers.then_some(&mut input),
        width: is_terminal.then(terminal_width),
        is_live: stderr().is_terminal(),
        is_coloured: console::is_coloured(is_terminal, &console::variable),
        directory: std::env::current_dir().unwrap_or_else(|_| ".".into()),
        variables: &console::variable,
    };
    main_in(arguments, host, &mut console)
}

/// What is added to the number of the signal that ended a program, as shells do.
const SIGNALLED: u8 = 128;

/// As [`main`], in other surroundings.
pub fn main_in(arguments: Vec<OsString>, host: &dyn Host, console: &mut Console<'_>) -> u8 {
    let command = match Command::try_parse_from(arguments) {
        Ok(command) => command,
        Err(error) => return say_usage(&error, console),
    };
    let done = dispatch(command.verb, host, console);
    let done = done.and_then(|()| Ok(console.out.flush()?));
    let Err(failure) = done else { return 0 };
    if let Some(message) = failure.message() {
        // Nobody is left to be told if the terminal is gone.
        _ = console.out.flush();
        _ = console.note(&format!("thrifty: {message}"));
    }
    match (&failure, host.ended_by()) {
        (Failure::Interrupted, Some(signal)) => SIGNALLED.saturating_add(signal),
        _ => failure.code(),
    }
}

/// What `thrifty why RUN NODE` writes, without colours.
///
/// # Errors
///
/// What the command would say.
pub fn why(cache: &Cache, run: &str, node: Option<&str>) -> Result<String, String> {
    let catalog = cache.catalog().as_ref();
    written(|console| verb::why::write(catalog, cache.scope(), Some(run), node, console))
        .map_err(|failure| failure.message().unwrap_or_default())
}

/// What `thrifty run --dry-run` writes, without colours.
pub fn plan(explanation: &Explanation) -> String {
    written(|console| causes::write_plan(explanation, console)).unwrap_or_default()
}

/// What is written to a console without a terminal.
fn written(write: impl FnOnce(&mut Console<'_>) -> Result<(), Failure>) -> Result<String, Failure> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: None,
        width: None,
        is_live: false,
        is_coloured: false,
        directory: PathBuf::new(),
        variables: &|_| None,
    };
    write(&mut console)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn dispatch(verb: Verb, host: &dyn Host, console: &mut Console<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Run(arguments) => verb::run::run(arguments, host, console),
        Verb::Resume(arguments) => verb::resume::run(arguments, host, console),
        Verb::Restart(arguments) => verb::restart::run(arguments, host, console),
        Verb::Replay(arguments) => verb::replay::run(arguments, host, console),
        Verb::Recover(arguments) => verb::recover::run(arguments, host, console),
        Verb::Schedule(arguments) => verb::schedule::run(arguments, host, console),
        Verb::Why(arguments) => verb::why::run(arguments, console),
        Verb::Runs(arguments) => verb::runs::run(arguments, console),
        Verb::Show(arguments) => verb::show::run(arguments, console),
        Verb::Logs(arguments) => verb::logs::run(arguments, console),
        Verb::Metrics(arguments) => verb::metrics::run(arguments, console),
        Verb::Stats(arguments) => verb::stats::run(arguments, console),
        Verb::Check(arguments) => verb::check::run(arguments, host, console),
        Verb::Invalidate(arguments) => verb::invalidate::run(arguments, console),
        Verb::Clear(arguments) => verb::clear::run(arguments, console),
        Verb::Pin(arguments) => verb::pin::run(arguments, console),
        Verb::Gc(arguments) => verb::gc::run(arguments, console),
        Verb::Fsck(arguments) => verb::fsck::run(arguments, console),
        Verb::Config(arguments) => verb::config::run(arguments, console),
        Verb::Completion(arguments) => verb::completion::run(arguments, console),
    }
}

/// Help and version go out as results, wrong use as an error.
fn say_usage(error: &clap::Error, console: &mut Console<'_>) -> u8 {
    let text = error.render();
    let text = if console.is_coloured { text.ansi().to_string() } else { text.to_string() };
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let stream = if error.use_stderr() { &mut *console.err } else { &mut *console.out };
    _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    code
}

/// The columns of the terminal, as the table library finds them. Some terminals say 0, and in
/// a very narrow one whole cells that run over are easier to read than columns of letters.
fn terminal_width() -> u16 {
    let columns = comfy_table::Table::new().width();
    columns.filter(|columns| *columns > 0).unwrap_or(100).max(60)
}
