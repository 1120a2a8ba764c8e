//! `thrifty why`: why operations ran.

use clap::Args;
use serde::Serialize;
use thrifty_engine::catalog::{Catalog, Node, Run, Scope};
use thrifty_engine::explain::{Explained, Explanation, Reason, Shown, explain};

use crate::choose;
use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{age, count, short_name};

/// Explain why operations of a run ran: root causes first, with the difference
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty why                   all operations that ran in the newest run
  thrifty why train             one operation of the newest run
  thrifty why k3f9 '#4'         one operation of another run, by its number")]
pub(crate) struct Arguments {
    /// The beginning of a run's id, or `last`; an operation of the newest run if it stands alone
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// The name of an operation, or its number
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { run, node, json } = arguments;
    let cache = console.cache()?;
    let catalog = cache.catalog().as_ref();
    if json {
        let (run, _, wanted) = chosen(catalog, cache.scope(), run.as_deref(), node.as_deref())?;
        return console.json(&Answer::of(&explain(catalog, &run, wanted.as_deref())?));
    }
    write(catalog, cache.scope(), run.as_deref(), node.as_deref(), console)
}

/// Writes the explanation for people.
pub(crate) fn write(
    catalog: &dyn Catalog,
    scope: &Scope,
    run: Option<&str>,
    node: Option<&str>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let (run, nodes, wanted) = chosen(catalog, scope, run, node)?;
    let explanation = explain(catalog, &run, wanted.as_deref())?;
    let id = console.paint(Paint::Bold, &run.id.0);
    console.line(&format!("{id}  {}  {}", run.name, age(catalog.now()?, run.started_at)))?;
    if explanation.nodes.is_empty() {
        let calls = count(nodes.len() as u64, "operation");
        return console.line(&format!("nothing ran: {calls}, all taken from the cache"));
    }
    explanation.nodes.chunk_by(is_alike).try_for_each(|alike| show(alike, &run, console))
}

/// A run, its nodes, and the numbers of those that are meant; `None` for all that ran.
type Chosen = (Run, Vec<Node>, Option<Vec<u32>>);

fn chosen(
    catalog: &dyn Catalog,
    scope: &Scope,
    first: Option<&str>,
    second: Option<&str>,
) -> Result<Chosen, Failure> {
    let (run, node) = match (first, second) {
        (Some(run), Some(node)) => (choose::run(catalog, scope, run)?, Some(node)),
        (None | Some("last"), _) => (choose::newest(catalog, scope)?, None),
        (Some(text), None) => {
            let newest = choose::newest(catalog, scope)?;
            let is_node = !choose::nodes(&catalog.nodes(&newest.id)?, text).is_empty();
            match choose::find_run(catalog, text) {
                Ok(Some(run)) if !is_node => (run, None),
                Err(error) if !is_node => return Err(error),
                _ => (newest, Some(text)),
            }
        }
    };
    let nodes = catalog.nodes(&run.id)?;
    let Some(text) = node else {
        return Ok((run, nodes, None));
    };
    let numbers: Vec<u32> = choose::nodes(&nodes, text).iter().map(|node| node.number).collect();
    if numbers.is_empty() {
        return Err(choose::unknown_node(&run, &nodes, text));
    }
    Ok((run, nodes, Some(numbers)))
}

/// Whether all that is said of both is the same, but for their numbers.
fn is_alike(one: &Explained, other: &Explained) -> bool {
    let since = |explained: &Explained| explained.against.clone().and_then(|against| against.run);
    let said = |explained: &Explained| Explained { node: 0, against: None, ..explained.clone() };
    // Siblings are compared with one another, each with another one.
    one.reason != Reason::FirstTime && since(one) == since(other) && said(one) == said(other)
}

/// Shows what is said of calls that are alike, once.
fn show(alike: &[Explained], run: &Run, console: &mut Console<'_>) -> Result<(), Failure> {
    let Some(explained) = alike.first() else {
        return Ok(());
    };
    let name = console.paint(Paint::Bold, short_name(&explained.operation));
    let numbers: Vec<_> = alike.iter().map(|it| format!("#{}", it.node)).collect();
    let numbers = console.paint(Paint::Dim, &numbers.join(" "));
    console.line(&format!("{name} {numbers}: {}", sentence(explained, run)))?;
    for difference in &explained.differences {
        let text = difference_line(difference);
        console.line(&format!("  {text}"))?;
        show_diff(difference, console)?;
    }
    Ok(())
}

/// The reason as a sentence.
fn sentence(explained: &Explained, run: &Run) -> String {
    let with_detail = |text: &str| match explained.detail.as_str() {
        "" => text.to_owned(),
        detail => format!("{text}: {detail}"),
    };
    let verb = if explained.outcome == "failed" { "ran and failed" } else { "ran" };
    match explained.reason {
        Reason::Hit => with_detail(&format!("{}, nothing ran", explained.outcome)),
        Reason::FirstTime => match &explained.against {
            Some(sibling) => {
                format!("{verb} for the first time; differs from #{} of this run in", sibling.node)
            }
            None => format!("{verb} for the first time"),
        },
        Reason::Changed | Reason::Upstream => {
            format!("{verb} because {}", changed_kinds(explained, run))
        }
        Reason::Observed => format!("{verb} because {}", explained.detail),
        Reason::NotReused => with_detail(&format!("{verb} although nothing changed")),
        Reason::Uncached => with_detail(&format!("{verb} without the cache")),
        Reason::NotRun => with_detail(&explained.outcome),
        Reason::Unknown => with_detail(verb),
    }
}

/// `its code and its inputs changed`.
fn changed_kinds(explained: &Explained, run: &Run) -> String {
    let mut kinds: Vec<String> = Vec::new();
    for shown in &explained.differences {
        let kind = if shown.upstream.is_empty() {
            format!("its {}", shown.kind.word())
        } else {
            "what it takes from upstream".to_owned()
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let since = explained.against.as_ref().and_then(|against| against.run.as_ref());
    let since = since.filter(|earlier| **earlier != run.id);
    let since = since.map(|earlier| format!(" since run {earlier}")).unwrap_or_default();
    format!("{} changed{since}", kinds.join(" and "))
}

fn difference_line(shown: &Shown) -> String {
    let Shown { kind, name, change, old, new, upstream, .. } = shown;
    let part = format!("{} {name}", kind.word());
    if !upstream.is_empty() {
        let names = upstream.iter();
        let names: Vec<_> =
            names.map(|node| format!("{} #{}", short_name(&node.operation), node.node)).collect();
        return format!("{part}: another output of {}", names.join(", "));
    }
    match (old, new) {
        (Some(old), Some(new)) if old == new => format!("{part}: {change}, shown alike: {new}"),
        (Some(old), Some(new)) => format!("{part}: {old} → {new}"),
        (None, Some(new)) => format!("{part}: {change} {new}"),
        (Some(old), None) => format!("{part}: {change}, was {old}"),
        (None, None) => format!("{part}: {change}"),
    }
}

fn show_diff(shown: &Shown, console: &mut Console<'_>) -> Result<(), Failure> {
    for line in shown.diff.iter().flat_map(|diff| diff.lines()) {
        let line = match line.as_bytes().first() {
            _ if line.starts_with("---") || line.starts_with("+++") => {
                console.paint(Paint::Dim, line)
            }
            Some(b'+') => console.paint(Paint::Green, line),
            Some(b'-') => console.paint(Paint::Red, line),
            Some(b'@') => console.paint(Paint::Cyan, line),
            _ => line.to_owned(),
        };
        console.line(&format!("    {line}"))?;
    }
    Ok(())
}

/// The explanation for programs: one cause for each difference, one for a node without any.
#[derive(Serialize)]
struct Answer<'a> {
    run: &'a str,
    causes: Vec<Cause<'a>>,
}

#[derive(Serialize)]
struct Cause<'a> {
    node: u32,
    operation: &'a str,
    outcome: &'a str,
    reason: Reason,
    detail: &'a str,
    against: Option<&'a str>,
    kind: Option<&'static str>,
    name: Option<&'a str>,
    change: Option<&'a str>,
    old: Option<&'a str>,
    new: Option<&'a str>,
    diff: Option<&'a str>,
    upstream: Vec<u32>,
}

impl<'a> Answer<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        let causes = explanation.nodes.iter().flat_map(|explained| {
            let differences = explained.differences.iter().map(Some);
            let alone = explained.differences.is_empty().then_some(None);
            differences.chain(alone).map(|shown| Cause::of(explained, shown))
        });
        Self { run: &explanation.run.0, causes: causes.collect() }
    }
}

impl<'a> Cause<'a> {
    fn of(explained: &'a Explained, shown: Option<&'a Shown>) -> Self {
        let against = explained.against.as_ref().and_then(|against| against.run.as_ref());
        Self {
            node: explained.node,
            operation: &explained.operation,
            outcome: &explained.outcome,
            reason: explained.reason,
            detail: &explained.detail,
            against: against.map(|run| run.0.as_str()),
            kind: shown.map(|shown| shown.kind.word()),
            name: shown.map(|shown| shown.name.as_str()),
            change: shown.map(|shown| shown.change),
            old: shown.and_then(|shown| shown.old.as_deref()),
            new: shown.and_then(|shown| shown.new.as_deref()),
            diff: shown.and_then(|shown| shown.diff.as_deref()),
            upstream: shown
                .iter()
                .flat_map(|shown| &shown.upstream)
                .map(|node| node.node)
                .collect(),
        }
    }
}
