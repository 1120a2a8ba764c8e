//! `thrifty config`: the configuration and where it comes from.

use clap::Args;
use serde::Serialize;
use thrifty_engine::Mode;
use thrifty_engine::config::{Setting, Settings};
use thrifty_engine::units::{show_duration, show_size};

use crate::console::Console;
use crate::failure::Failure;

/// Show each value of the configuration and where it comes from
#[derive(Debug, Args)]
#[command(after_help = "\
Most specific first: THRIFTY_* variables, thrifty.toml or [tool.thrifty] in pyproject.toml in
the nearest directory upward, defaults.

Example:
  THRIFTY_HOME=/scratch/cache thrifty config")]
pub(crate) struct Arguments {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// One value, for programs and for people.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    value: String,
    source: String,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { json } = arguments;
    let lines = lines(&console.settings()?);
    if json {
        return console.json(&lines);
    }
    let rows = lines.into_iter().map(|line| [line.name.to_owned(), line.value, line.source]);
    console.table(["setting", "value", "from"], rows)
}

fn lines(settings: &Settings) -> Vec<Line> {
    let Settings {
        home,
        project,
        domain,
        cache,
        observe,
        executor,
        workers,
        budget,
        project_budget,
        seed,
        lease,
    } = settings;
    let or = |value: Option<String>, unset: &str| value.unwrap_or_else(|| unset.to_owned());
    vec![
        line("home", home, home.value.display().to_string()),
        line("project", project, project.value.clone()),
        line("domain", domain, domain.value.clone()),
        line("cache", cache, cache.value.unwrap_or(Mode::On).word().to_owned()),
        line("observe", observe, observe.value.to_string()),
        line("executor", executor, executor.value.word().to_owned()),
        line("workers", workers, or(workers.value.map(|n| n.to_string()), "one a core")),
        line("budget", budget, or(budget.value.map(show_size), "any size")),
        line("project_budget", project_budget, or(project_budget.value.map(show_size), "any size")),
        line("seed", seed, or(seed.value.map(|seed| seed.number().to_string()), "none")),
        line("lease", lease, show_duration(lease.value.length())),
    ]
}

fn line<T>(name: &'static str, setting: &Setting<T>, value: String) -> Line {
    Line { name, value, source: setting.source.to_string() }
}
