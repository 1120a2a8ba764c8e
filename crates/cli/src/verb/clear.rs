//! `thrifty clear`: removes all entries of a project.

use clap::Args;
use thrifty_engine::catalog::Selector;
use thrifty_engine::removal::remember_cleared;
use thrifty_engine::units::show_size;

use crate::console::Console;
use crate::failure::Failure;
use crate::show::count;

/// Remove all entries of this project and domain
#[derive(Debug, Args)]
#[command(after_help = "\
The history of runs stays. `thrifty gc` frees the bytes.

Examples:
  thrifty clear --yes
  THRIFTY_PROJECT=flights thrifty clear")]
pub(crate) struct Arguments {
    /// Remove the entries of all projects and domains
    #[arg(long)]
    all_projects: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { all_projects, yes } = arguments;
    let cache = console.cache()?;
    let scope = (!all_projects).then(|| cache.scope());
    let whose = scope.map_or_else(|| "all projects".to_owned(), ToString::to_string);
    console.confirm(&format!("remove all entries of {whose}"), yes)?;
    let removed = cache.catalog().invalidate(scope, &Selector::default())?;
    // Only so that a later miss can say who did it.
    _ = remember_cleared(cache.catalog().as_ref(), scope, "thrifty clear", cache.who());
    let (entries, size) = (count(removed.entries, "entry"), show_size(removed.bytes));
    console.note(&format!("removed {entries} ({size}) of {whose}; `thrifty gc` frees the bytes"))
}
