//! `thrifty pin`: keeps entries from being evicted.

use clap::Args;
use thrifty_engine::catalog::{Catalog, Entry, Scope, Selector};
use thrifty_engine::did_you_mean;
use thrifty_engine::units::show_size;

use crate::choose;
use crate::console::Console;
use crate::failure::Failure;
use crate::show::{age, count};

/// Keep entries, whatever `thrifty gc` is asked to free; without a name, list those kept so
#[derive(Debug, Args)]
#[command(after_help = "\
The entries that there are now are pinned, and what replaces them. `thrifty invalidate` and
`thrifty clear` remove them all the same.

Examples:
  thrifty pin train
  thrifty pin 9c1e2ab04d17
  thrifty pin --off 'clean_*'
  thrifty pin")]
pub(crate) struct Arguments {
    /// The beginning of a key, or a glob that operations match, whole or behind the last `.` or `:`
    #[arg(value_name = "KEY|OPERATION")]
    what: Option<String>,
    /// Take the pins back
    #[arg(long, requires = "what")]
    off: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { what, off } = arguments;
    let cache = console.cache()?;
    let (catalog, scope) = (cache.catalog().as_ref(), cache.scope());
    let Some(what) = what else {
        return list(catalog, scope, console);
    };
    let selector = match choose::entries(catalog, &what)?.first() {
        Some(_) => Selector { key_prefix: Some(what.to_lowercase()), ..Selector::default() },
        None => Selector { operation: Some(what.clone()), ..Selector::default() },
    };
    let pinned = catalog.pin(Some(scope), &selector, !off)?;
    if pinned == 0 {
        let totals = catalog.totals(Some(scope))?;
        let hint = did_you_mean(&what, totals.iter().map(|total| total.operation.as_str()));
        return Err(Failure::Usage(format!("no entry of {scope} matches `{what}`; {hint}")));
    }
    let done = if off { "unpinned" } else { "pinned" };
    console.note(&format!("{done} {}", count(pinned, "entry")))
}

fn list(catalog: &dyn Catalog, scope: &Scope, console: &mut Console<'_>) -> Result<(), Failure> {
    let all = catalog.entries(Some(scope), &Selector::default(), usize::MAX >> 1)?;
    let pinned: Vec<Entry> = all.into_iter().filter(|entry| entry.pinned).collect();
    if pinned.is_empty() {
        return console.note(&format!("no entry of {scope} is pinned"));
    }
    let now = catalog.now()?;
    let rows = pinned.iter().map(|entry| {
        [entry.key.short(), entry.operation.clone(), age(now, entry.used_at), show_size(entry.size)]
    });
    console.table(["key", "operation", "last used", "size "], rows)
}
