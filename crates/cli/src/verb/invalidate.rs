//! `thrifty invalidate`: removes chosen entries.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use clap::Args;
use glob::Pattern;
use serde::Serialize;
use thrifty_engine::catalog::{Entry, EntryId, Half, MadeOf, RunId, Selector, half};
use thrifty_engine::removal::remember_removed;
use thrifty_engine::units::{parse_duration, show_size};
use thrifty_engine::{Cache, did_you_mean, with_variants};

use crate::choose;
use crate::console::Console;
use crate::failure::Failure;
use crate::show::{age, count};
use crate::told;

/// Remove entries, so that the next call computes; entries must match all that is given
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing that is being computed now from before the invalidation can come back afterwards. What was
made of a removed result goes with it: workflows, processes, and tasks that called it; of a run, so do
the results that it took, and all that those were made of which it computed. What a task called whose own
result is not stored is left: the run without a name of that process has it.

Examples:
  thrifty invalidate --operation 'clean_*' --dry-run
  thrifty invalidate --run k3f9 --yes
  thrifty invalidate --tag nightly
  thrifty invalidate --operation train --older-than 7d")]
#[group(id = "selection", required = true, multiple = true, args = ["key", "operation", "run", "tag", "older_than"])]
pub(crate) struct Arguments {
    /// Entries whose key begins so
    #[arg(long, value_name = "HEX", value_parser = key_prefix)]
    key: Option<String>,
    /// Entries of operations that match this glob, whole or behind the last `.` or `:`
    #[arg(long, value_name = "GLOB")]
    operation: Option<String>,
    /// Entries computed in this run, and those that it took
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Entries with a tag that matches this glob; what is being computed now is not meant
    #[arg(long, value_name = "GLOB")]
    tag: Option<Pattern>,
    /// Entries computed longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// What was, or would be, removed, for programs.
#[derive(Serialize)]
struct Removed {
    dry_run: bool,
    entries: u64,
    bytes: u64,
    keys: Vec<String>,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { key, operation, run, tag, older_than, dry_run, yes, json } = arguments;
    let cache = console.cache()?;
    let catalog = cache.catalog().as_ref();
    let run = match run {
        Some(run) => Some(choose::run(catalog, cache.scope(), &run)?.id),
        None => None,
    };
    let mut selector =
        Selector { key_prefix: key, operation, run, older_than, ..Selector::default() };
    if let Some(tag) = &tag {
        selector.ids = Some(tagged(&cache, &selector, tag)?);
    }
    let (entries, taken) = selected(&cache, &selector, tag.as_ref())?;
    if entries.is_empty() && !json {
        let told = nothing(&cache, &selector, dry_run)?;
        // What is being computed for the first time has no entry yet, and is meant as well.
        if !dry_run {
            catalog.invalidate(Some(cache.scope()), &selector)?;
        }
        return console.note(&told);
    }
    if !json {
        list(&entries, catalog.now()?, console)?;
    }
    let size: u64 = entries.iter().map(|entry| entry.size).sum();
    let mut removed = Removed {
        dry_run,
        entries: entries.len() as u64,
        bytes: size,
        keys: entries.iter().map(|entry| entry.key.to_string()).collect(),
    };
    if !dry_run {
        let what = format!("remove {} ({})", count(removed.entries, "entry"), show_size(size));
        console.confirm(&what, yes)?;
        let before = catalog.invalidate(Some(cache.scope()), &by_number(taken))?.entries;
        removed.entries = before + catalog.invalidate(Some(cache.scope()), &selector)?.entries;
        // Only so that a later miss can say who did it.
        let gone = entries.iter().map(|entry| (&entry.scope, &entry.key));
        _ = remember_removed(catalog, gone, "thrifty invalidate", cache.who());
    }
    if json {
        return console.json(&removed);
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    console
        .note(&format!("{verb} {}; `thrifty gc` frees the bytes", count(removed.entries, "entry")))
}

/// The entries that are meant: those selected, those that a run took, and what was made of any of
/// them; and the numbers of those that a run took.
fn selected(
    cache: &Cache,
    selector: &Selector,
    tag: Option<&Pattern>,
) -> Result<(Vec<Entry>, Vec<EntryId>), Failure> {
    let (catalog, scope) = (cache.catalog().as_ref(), Some(cache.scope()));
    let all = |selector: &Selector| catalog.entries(scope, selector, usize::MAX >> 1);
    let mut entries = all(selector)?;
    let mut wholes = catalog.wholes(scope, selector)?;
    let mut numbers = Vec::new();
    if let Some(run) = &selector.run {
        let mut taken = taken(cache, selector, run)?;
        // The other conditions hold for these as well.
        taken.retain(|entry| tag.is_none_or(|tag| carries(entry, tag)));
        numbers = taken.iter().map(|entry| entry.id).collect();
        wholes.extend(catalog.wholes(scope, &by_number(numbers.clone()))?);
        entries.extend(taken);
    }
    entries.extend(all(&by_number(wholes))?);
    let mut known = HashSet::new();
    entries.retain(|entry| known.insert(entry.id));
    Ok((entries, numbers))
}

/// The selected entries of all runs that this one took: its operations, and the bodies of what it
/// computed, which called them.
fn taken(cache: &Cache, selector: &Selector, run: &RunId) -> Result<Vec<Entry>, Failure> {
    let (catalog, scope) = (cache.catalog().as_ref(), Some(cache.scope()));
    let all = |selector: &Selector| catalog.entries(scope, selector, usize::MAX >> 1);
    let own: Vec<_> = catalog.nodes(run)?.iter().filter_map(|node| node.entry).collect();
    let mut wholes = all(&Selector { run: Some(run.clone()), ..Selector::default() })?;
    wholes.retain(|entry| !entry.made_of.is_empty());
    if wholes.is_empty() {
        return Ok(all(&Selector { run: None, ids: Some(own), ..selector.clone() })?);
    }
    let own: HashSet<_> = own.into_iter().collect();
    let mut parts = Parts::default();
    wholes.iter().for_each(|whole| parts.add(&whole.made_of));
    let mut taken = all(&Selector { run: None, ids: None, ..selector.clone() })?;
    taken.retain(|entry| own.contains(&entry.id) || parts.hold(entry));
    Ok(taken)
}

/// The calls that results were made of, by operation: what their keys begin with, or `None` where
/// any call may be meant.
#[derive(Default)]
struct Parts(HashMap<String, Option<HashSet<Half>>>);

impl Parts {
    fn add(&mut self, made_of: &MadeOf) {
        for (operation, calls) in made_of.calls() {
            let none = || Some(HashSet::new());
            let known = self.0.entry(operation.to_owned()).or_insert_with(none);
            match (known.as_mut(), calls) {
                (Some(known), Some(calls)) => known.extend(calls),
                _ => *known = None,
            }
        }
    }

    fn hold(&self, entry: &Entry) -> bool {
        match self.0.get(&entry.operation) {
            Some(Some(known)) => known.contains(&half(&entry.key)),
            Some(None) => true,
            None => false,
        }
    }
}

fn by_number(ids: Vec<EntryId>) -> Selector {
    Selector { ids: Some(ids), ..Selector::default() }
}

/// The selected entries that carry such a tag.
fn tagged(cache: &Cache, selector: &Selector, tag: &Pattern) -> Result<Vec<EntryId>, Failure> {
    let entries = cache.catalog().entries(Some(cache.scope()), selector, usize::MAX >> 1)?;
    Ok(entries.iter().filter(|entry| carries(entry, tag)).map(|entry| entry.id).collect())
}

fn carries(entry: &Entry, tag: &Pattern) -> bool {
    told::annotations(entry).tags.iter().any(|it| tag.matches(it))
}

fn list(entries: &[Entry], now: i64, console: &mut Console<'_>) -> Result<(), Failure> {
    let rows = entries.iter().map(|entry| {
        [
            entry.key.short(),
            entry.operation.clone(),
            age(now, entry.created_at),
            entry.hits.to_string(),
            show_size(entry.size),
        ]
    });
    console.excerpt(["key", "operation", "computed", "hits ", "size "], rows)
}

/// What is said when nothing matches: what is being computed, or the closest operations, if one was
/// named.
fn nothing(cache: &Cache, selector: &Selector, dry_run: bool) -> Result<String, Failure> {
    let scope = cache.scope();
    let computing = under_way(cache, selector)?;
    if computing > 0 {
        let verb = if dry_run { "would not be" } else { "will not be" };
        let computing = count(computing, "computation");
        return Ok(format!("0 entries of {scope}; {computing} under way {verb} stored"));
    }
    let Some(operation) = &selector.operation else {
        return Ok(format!("no entry of {scope} matches"));
    };
    let totals = cache.catalog().totals(Some(scope))?;
    let hint = did_you_mean(operation, totals.iter().map(|total| total.operation.as_str()));
    Ok(format!("no entry of {scope} matches `{operation}`; {hint}"))
}

/// How many computations of those that are computed one at a time such an invalidation refuses: one
/// that speaks of entries alone refuses none.
fn under_way(cache: &Cache, selector: &Selector) -> Result<u64, Failure> {
    let Selector { ids, key_prefix, operation, run, older_than, unused_for, before } = selector;
    let is_of_entries = ids.is_some()
        || run.is_some()
        || older_than.is_some()
        || unused_for.is_some()
        || before.is_some();
    if is_of_entries {
        return Ok(0);
    }
    let pattern = operation.as_deref().and_then(|operation| Pattern::new(operation).ok());
    let is_named = |name: &str| {
        let tail = name.rsplit(['.', ':']).next().unwrap_or(name);
        pattern.as_ref().map_or(operation.is_none(), |it| it.matches(name) || it.matches(tail))
    };
    let prefix = key_prefix.as_deref().unwrap_or_default();
    let all = cache.catalog().reservations(Some(cache.scope()))?;
    let meant = all.iter().filter(|it| it.key.to_string().starts_with(prefix));
    Ok(meant.filter(|it| is_named(&it.held.holder.operation)).count() as u64)
}

fn key_prefix(text: &str) -> Result<String, String> {
    let is_prefix = (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_hexdigit());
    if is_prefix {
        Ok(with_variants(&text.to_lowercase()).to_owned())
    } else {
        Err("a key is up to 64 hexadecimal digits; `thrifty show --json` lists keys".to_owned())
    }
}
