//! `thrifty why`: why operations ran.

use clap::Args;
use serde::Serialize;
use thrifty_engine::catalog::{Catalog, Node, Run, Scope};
use thrifty_engine::explain::{Explained, Explanation, Reason, Root, explain, is_hit};

use crate::causes::{
    CauseJson, NoteJson, RootJson, difference_line, in_words, root_line, show_diff, show_roots,
    show_unseen,
};
use crate::choose;
use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{age, count, short_name};

/// Explain why operations of a run ran: root causes first, with the difference
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty why                   what made operations of the newest run run
  thrifty why train             one operation of the newest run
  thrifty why k3f9 '#4'         one operation of another run, by its number
  thrifty why 9c1e2ab04d17      the call that stored an entry, by the beginning of its key
What a call would do is told by `thrifty run … --dry-run`.")]
pub(crate) struct Arguments {
    /// The beginning of a run's id or of an entry's key, or `last`; an operation of the newest
    /// run if it stands alone
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
        let chosen = chosen(catalog, cache.scope(), run.as_deref(), node.as_deref(), console)?;
        let Chosen::Nodes { run, wanted, .. } = chosen else {
            let nothing =
                Answer { run: "", causes: Vec::new(), roots: Vec::new(), notes: Vec::new() };
            return console.json(&nothing);
        };
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
    let (run, nodes, wanted) = match chosen(catalog, scope, run, node, console)? {
        Chosen::Nodes { run, nodes, wanted } => (run, nodes, wanted),
        Chosen::Inside(told) => return console.line(&told),
    };
    let explanation = explain(catalog, &run, wanted.as_deref())?;
    let id = console.paint(Paint::Bold, &run.id.0);
    let ago = age(catalog.now()?, run.started_at);
    if explanation.nodes.is_empty() {
        console.line(&format!("{id}  {}  {ago}", run.name))?;
        let calls = count(nodes.len() as u64, "operation");
        console.line(&format!("nothing ran: {calls}, all taken from the cache"))?;
        return show_unseen(&explanation, console);
    }
    if wanted.is_none() {
        let (ran, hits) = (explanation.nodes.len(), count(explanation.hits as u64, "hit"));
        console.line(&format!("{id}  {}  {ago}: {ran} ran, {hits}", run.name))?;
        show_roots(&explanation, console)?;
        return show_unseen(&explanation, console);
    }
    console.line(&format!("{id}  {}  {ago}", run.name))?;
    let mut operations: Vec<&str> = Vec::new();
    // What became other operations is explained by those.
    let is_only = |it: &&Explained| it.outcome != "expanded" || explanation.nodes.len() == 1;
    for explained in explanation.nodes.iter().filter(is_only) {
        show(explained, &explanation.roots, &run, console)?;
        if !operations.contains(&explained.operation.as_str()) {
            operations.push(&explained.operation);
            let node = nodes.iter().find(|node| node.number == explained.node);
            show_notes(catalog, &run, node, console)?;
        }
    }
    Ok(())
}

/// What is to be explained.
enum Chosen {
    /// A run, its nodes, and the numbers of those that are meant; `None` for all that ran.
    Nodes { run: Box<Run>, nodes: Vec<Node>, wanted: Option<Vec<u32>> },
    /// An operation that the run did not look at: which one did not need it.
    Inside(String),
}

fn chosen(
    catalog: &dyn Catalog,
    scope: &Scope,
    first: Option<&str>,
    second: Option<&str>,
    console: &mut Console<'_>,
) -> Result<Chosen, Failure> {
    let ((run, nodes), node) = match (first, second) {
        (Some(run), Some(node)) => {
            (choose::run_with(catalog, scope, run, node, console)?, Some(node.to_owned()))
        }
        (None | Some("last"), _) => (with_nodes(catalog, choose::newest(catalog, scope)?)?, None),
        (Some(text), None) => alone(catalog, scope, text, console)?,
    };
    let Some(text) = node else {
        return Ok(Chosen::Nodes { run: run.into(), nodes, wanted: None });
    };
    let numbers: Vec<u32> = choose::nodes(&nodes, &text).iter().map(|node| node.number).collect();
    if numbers.is_empty() {
        return match inside_a_hit(catalog, &nodes, &text)? {
            Some(told) => Ok(Chosen::Inside(told)),
            None => Err(choose::unknown_node(&run, &nodes, &text)),
        };
    }
    Ok(Chosen::Nodes { run: run.into(), nodes, wanted: Some(numbers) })
}

type WithNodes = (Run, Vec<Node>);

fn with_nodes(catalog: &dyn Catalog, run: Run) -> Result<WithNodes, Failure> {
    let nodes = catalog.nodes(&run.id)?;
    Ok((run, nodes))
}

/// The run, or operation of the newest run, or call behind an entry that one word means.
fn alone(
    catalog: &dyn Catalog,
    scope: &Scope,
    text: &str,
    console: &mut Console<'_>,
) -> Result<(WithNodes, Option<String>), Failure> {
    let newest = choose::run_with(catalog, scope, "last", text, console)?;
    if !choose::nodes(&newest.1, text).is_empty() {
        return Ok((newest, Some(text.to_owned())));
    }
    if let Some(run) = choose::find_run(catalog, text)? {
        return Ok((with_nodes(catalog, run)?, None));
    }
    if text.len() >= 8
        && let [entry] = choose::entries(catalog, text)?.as_slice()
        && let Some(origin) = &entry.origin.run
        && let Some(run) = choose::find_run(catalog, &origin.0)?
    {
        return Ok((with_nodes(catalog, run)?, Some(format!("#{}", entry.origin.node))));
    }
    Ok((newest, Some(text.to_owned())))
}

/// What is said of an operation that is a part of one which was a hit.
fn inside_a_hit(
    catalog: &dyn Catalog,
    nodes: &[Node],
    text: &str,
) -> Result<Option<String>, Failure> {
    for unit in nodes.iter().filter(|node| is_hit(&node.outcome) && node.key.is_some()) {
        let Some(source) = &unit.source else { continue };
        let all = catalog.nodes(source)?;
        let Some(then) = all.iter().find(|node| node.key == unit.key) else { continue };
        let parts = choose::nodes(&all, text);
        let Some(part) = parts.iter().find(|part| is_within(part, then.number, &all)) else {
            continue;
        };
        let (part, name) = (short_name(&part.operation), short_name(&unit.operation));
        return Ok(Some(format!(
            "{part} was not looked at: {name} #{} was a hit as a whole, computed in run {source}; \
             see `thrifty why {source} {part}`",
            unit.number
        )));
    }
    Ok(None)
}

fn is_within(node: &Node, unit: u32, all: &[Node]) -> bool {
    let mut parent = node.parent;
    while let Some(number) = parent {
        if number == unit {
            return true;
        }
        // Numbers of what an operation became are higher than its own.
        let above = all.iter().find(|node| node.number == number);
        parent = above.and_then(|node| node.parent).filter(|above| *above < number);
    }
    false
}

/// Shows what is said of one call.
fn show(
    explained: &Explained,
    roots: &[Root],
    run: &Run,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let name = console.paint(Paint::Bold, short_name(&explained.operation));
    let label = match explained.label.as_str() {
        "" => format!("#{}", explained.node),
        label => format!("#{} ({label})", explained.node),
    };
    let label = console.paint(Paint::Dim, &label);
    console.line(&format!("{name} {label}: {}", ran_because(explained, run)))?;
    for difference in &explained.differences {
        let text = difference_line(difference);
        console.line(&format!("  {text}"))?;
        show_diff(difference, "  ", console)?;
    }
    let behind = roots.iter().filter(|root| root.behind.contains(&explained.node));
    for root in behind {
        console.line(&format!("  it began with {}", root_line(root)))?;
    }
    Ok(())
}

/// What is to be known about the code of a call.
fn show_notes(
    catalog: &dyn Catalog,
    run: &Run,
    node: Option<&Node>,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let Some(node) = node else { return Ok(()) };
    for note in choose::notes(catalog, &run.scope, node)? {
        let note = console.paint(Paint::Dim, &format!("note: {note}"));
        console.line(&format!("  {note}"))?;
    }
    Ok(())
}

/// The reason as a sentence.
fn ran_because(explained: &Explained, run: &Run) -> String {
    let with_detail = |text: &str| match in_words(&explained.detail) {
        "" => text.to_owned(),
        detail => format!("{text}: {detail}"),
    };
    let verb = if explained.outcome == "failed" { "ran and failed" } else { "ran" };
    match explained.reason {
        Reason::Hit => with_detail(&format!("{}, nothing ran", explained.outcome)),
        Reason::FirstTime => match &explained.against {
            Some(other) if other.run.as_ref() == Some(&run.id) => {
                format!("{verb} for the first time; differs from #{} of this run in", other.node)
            }
            Some(_) => format!("{verb} for the first time with"),
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

/// The explanation for programs.
#[derive(Serialize)]
struct Answer<'a> {
    run: &'a str,
    causes: Vec<CauseJson<'a>>,
    roots: Vec<RootJson<'a>>,
    notes: Vec<NoteJson<'a>>,
}

impl<'a> Answer<'a> {
    fn of(explanation: &'a Explanation) -> Self {
        Self {
            run: explanation.run.as_ref().map_or("", |run| run.0.as_str()),
            causes: CauseJson::all(explanation),
            roots: explanation.roots.iter().map(RootJson::of).collect(),
            notes: NoteJson::all(explanation),
        }
    }
}
