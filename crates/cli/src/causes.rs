//! How explanations are told: causes first, with the operations that they made run.

use std::collections::BTreeMap;

use serde::Serialize;
use thrifty_engine::Unseen;
use thrifty_engine::catalog::RunId;
use thrifty_engine::explain::{Cause, Explained, Explanation, Reason, Root, Shown};
use thrifty_engine::units::show_duration;

use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::{count, short_name, unless_zero};

/// From how many lines on a difference is folded.
const LINES: usize = 40;
/// How many calls of one operation are told apart.
const CALLS: usize = 8;
/// How many operations are named in one line.
const OPERATIONS: usize = 12;

/// Shows what made operations run, that which cost most first.
pub(crate) fn show_roots(
    explanation: &Explanation,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let nodes = explanation.nodes.iter().map(|node| (node.node, node)).collect();
    explanation.roots.iter().try_for_each(|root| show_root(root, &nodes, console))
}

/// Shows what bodies of operations did that no key can hold.
pub(crate) fn show_unseen(
    explanation: &Explanation,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    for Unseen { operation, note } in &explanation.unseen {
        let text = format!("note: {} {}", short_name(operation), note.text());
        let text = console.paint(Paint::Dim, &text);
        console.line(&text)?;
    }
    Ok(())
}

/// What a body did that no key can hold, for programs.
#[derive(Serialize)]
pub(crate) struct NoteJson<'a> {
    operation: &'a str,
    what: &'static str,
    text: &'static str,
}

impl<'a> NoteJson<'a> {
    pub(crate) fn all(explanation: &'a Explanation) -> Vec<Self> {
        let notes = explanation.unseen.iter();
        notes
            .map(|Unseen { operation, note }| Self {
                operation,
                what: note.word(),
                text: note.text(),
            })
            .collect()
    }
}

type Nodes<'a> = BTreeMap<u32, &'a Explained>;

fn show_root(root: &Root, nodes: &Nodes<'_>, console: &mut Console<'_>) -> Result<(), Failure> {
    let since = root.since.as_ref().map(|run| format!("  since run {run}"));
    let mut since = console.paint(Paint::Dim, &since.unwrap_or_default());
    match &root.cause {
        Cause::Changed(all) => {
            for shown in all {
                let line = console.paint(Paint::Bold, &difference_line(shown));
                console.line(&format!("{line}{}", std::mem::take(&mut since)))?;
                show_diff(shown, "  ", console)?;
            }
        }
        cause => {
            let line = console.paint(Paint::Bold, &sentence(cause));
            console.line(&line)?;
        }
    }
    for (told, numbers) in told(root, nodes) {
        console.line(&format!("  {told}: {}", names(&numbers, nodes)))?;
    }
    Ok(())
}

/// The operations of a root in groups, each with the words for it.
fn told(root: &Root, nodes: &Nodes<'_>) -> Vec<(String, Vec<u32>)> {
    let outcome = |number: &u32| nodes.get(number).map_or("", |node| node.outcome.as_str());
    let is_forecast =
        root.nodes().any(|number| matches!(outcome(&number), "would-run" | "may-run"));
    if !is_forecast {
        let time = |numbers: &[u32]| {
            let nodes = numbers.iter().filter_map(|number| nodes.get(number));
            let time = unless_zero(nodes.map(|node| node.spent).sum());
            if time.is_empty() { time } else { format!(", {time}") }
        };
        let (spent, after) = (time(&root.direct), time(&root.behind));
        let direct = count(root.direct.len() as u64, "operation");
        let pronoun = if root.direct.len() == 1 { "it" } else { "them" };
        let behind = root.behind.len();
        return match behind {
            0 => vec![(format!("{direct}{spent}"), root.direct.clone())],
            _ => vec![
                (format!("{direct} directly{spent}"), root.direct.clone()),
                (format!("{behind} behind {pronoun}{after}"), root.behind.clone()),
            ],
        };
    }
    let (certain, possible): (Vec<u32>, Vec<u32>) =
        root.nodes().partition(|number| outcome(number) == "would-run");
    let mut groups = Vec::new();
    if !certain.is_empty() {
        let would = format!("{} would run", count(certain.len() as u64, "operation"));
        groups.push((would, certain));
    }
    if !possible.is_empty() {
        let number = count(possible.len() as u64, "operation");
        groups.push((format!("{number} would run if what goes in changes"), possible));
    }
    groups
}

/// `train #3 (lr=0.1), #4 (lr=0.2), evaluate #5–#12`.
fn names(numbers: &[u32], nodes: &Nodes<'_>) -> String {
    let mut operations: Vec<(&str, Vec<u32>)> = Vec::new();
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    for number in sorted {
        let name = nodes.get(&number).map_or("?", |node| short_name(&node.operation));
        match operations.iter_mut().find(|(known, _)| *known == name) {
            Some((_, calls)) => calls.push(number),
            None => operations.push((name, vec![number])),
        }
    }
    let left_out = operations.len().saturating_sub(OPERATIONS);
    let mut parts: Vec<String> = operations
        .iter()
        .take(OPERATIONS)
        .map(|(name, calls)| format!("{name} {}", calls_of(calls, nodes)))
        .collect();
    parts.extend((left_out > 0).then(|| format!("… {left_out} more operations")));
    parts.join(", ")
}

fn calls_of(calls: &[u32], nodes: &Nodes<'_>) -> String {
    let label = |number: &u32| nodes.get(number).map_or("", |node| node.label.as_str());
    // Where all calls of an operation are meant, nothing has to tell them apart.
    let are_all = calls.first().and_then(|number| nodes.get(number));
    if calls.len() > CALLS || are_all.is_some_and(|node| node.calls == calls.len()) {
        return ranges(calls);
    }
    let told = calls.iter().map(|number| match label(number) {
        "" => format!("#{number}"),
        label => format!("#{number} ({label})"),
    });
    told.collect::<Vec<_>>().join(" ")
}

/// `#3–#9 #12`, and of many how many there are.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let left_out = ranges.len().saturating_sub(CALLS);
    let mut parts: Vec<String> = ranges
        .iter()
        .take(CALLS)
        .map(|(first, last)| match last - first {
            0 => format!("#{first}"),
            _ => format!("#{first}–#{last}"),
        })
        .collect();
    parts.extend((left_out > 0).then(|| "…".to_owned()));
    parts.extend((numbers.len() > CALLS).then(|| format!("({} calls)", numbers.len())));
    parts.join(" ")
}

/// A cause that is no difference, in words.
fn sentence(cause: &Cause) -> String {
    match cause {
        Cause::Changed(_) => String::new(),
        Cause::NotReused(detail) => format!("nothing changed: {}", in_words(detail)),
        Cause::Observed(change) => change.clone(),
        Cause::FirstTime => "called for the first time".to_owned(),
        Cause::Uncached(detail) => format!("without the cache: {detail}"),
        Cause::Unknown(detail) if detail.is_empty() => "for a reason no longer known".to_owned(),
        Cause::Unknown(detail) => detail.clone(),
    }
}

/// Why a result was not taken, as a sentence; the history keeps a word.
pub(crate) fn in_words(detail: &str) -> &str {
    match detail {
        "expired" => "the earlier result has expired",
        "too old" => "the earlier result is older than `max_age` accepts",
        "unreadable entry" => "the earlier result could not be read back",
        "refresh" => "it was asked to be computed again",
        "cache unavailable" => "the cache did not answer",
        other => other,
    }
}

/// One difference in a line; longer texts follow as a diff.
pub(crate) fn difference_line(shown: &Shown) -> String {
    let Shown { kind, name, change, old, new, upstream, .. } = shown;
    let part = match kind.word() {
        word if word == name => word.to_owned(),
        word => format!("{word} {name}"),
    };
    if !upstream.is_empty() {
        let names = upstream.iter();
        let names: Vec<_> =
            names.map(|node| format!("{} #{}", short_name(&node.operation), node.node)).collect();
        let output = if *change == "pending" { "the output" } else { "another output" };
        return format!("{part}: {output} of {}", names.join(", "));
    }
    match (old, new) {
        (Some(old), Some(new)) if old == new => format!("{part}: {change}, shown alike: {new}"),
        (Some(old), Some(new)) => format!("{part}: {old} → {new}"),
        (None, Some(new)) => format!("{part}: {change}: {new}"),
        (Some(old), None) => format!("{part}: {change}, was {old}"),
        (None, None) => format!("{part}: {change}"),
    }
}

/// The difference of sources, coloured; the rest of a long one is counted.
pub(crate) fn show_diff(
    shown: &Shown,
    indent: &str,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let lines: Vec<&str> = shown.diff.iter().flat_map(|diff| diff.lines()).collect();
    for line in lines.iter().take(LINES) {
        let painted = match line.as_bytes().first() {
            _ if line.starts_with("---") || line.starts_with("+++") => {
                console.paint(Paint::Dim, line)
            }
            Some(b'+') => console.paint(Paint::Green, line),
            Some(b'-') => console.paint(Paint::Red, line),
            Some(b'@') => console.paint(Paint::Cyan, line),
            _ => (*line).to_owned(),
        };
        console.line(&format!("{indent}  {painted}"))?;
    }
    let rest = lines.get(LINES..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(());
    }
    let beginning = |sign: char| rest.iter().filter(|line| line.starts_with(sign)).count();
    let (added, removed) = (beginning('+'), beginning('-'));
    let more = format!("… {} more lines: {added} added, {removed} removed", rest.len());
    console.line(&format!("{indent}  {}", console.paint(Paint::Dim, &more)))
}

/// What a cause says in one line: for an operation that ran behind it.
pub(crate) fn root_line(root: &Root) -> String {
    let since = |run: &RunId| format!(", since run {run}");
    match &root.cause {
        Cause::Changed(all) => {
            let first = all.first().map(difference_line).unwrap_or_default();
            format!("{first}{}", root.since.as_ref().map(since).unwrap_or_default())
        }
        cause => sentence(cause),
    }
}

/// A cause for programs.
#[derive(Serialize)]
pub(crate) struct RootJson<'a> {
    reason: Reason,
    detail: &'a str,
    changes: Vec<ChangeJson<'a>>,
    since: Option<&'a str>,
    direct: &'a [u32],
    behind: &'a [u32],
    seconds: f64,
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    kind: &'static str,
    name: &'a str,
    change: &'a str,
    old: Option<&'a str>,
    new: Option<&'a str>,
    diff: Option<&'a str>,
}

impl<'a> RootJson<'a> {
    pub(crate) fn of(root: &'a Root) -> Self {
        let (reason, detail, changes): (_, _, &[Shown]) = match &root.cause {
            Cause::Changed(all) => (Reason::Changed, "", all),
            Cause::NotReused(detail) => (Reason::NotReused, detail, &[]),
            Cause::Observed(change) => (Reason::Observed, change, &[]),
            Cause::FirstTime => (Reason::FirstTime, "", &[]),
            Cause::Uncached(detail) => (Reason::Uncached, detail, &[]),
            Cause::Unknown(detail) => (Reason::Unknown, detail, &[]),
        };
        Self {
            reason,
            detail,
            changes: changes.iter().map(ChangeJson::of).collect(),
            since: root.since.as_ref().map(|run| run.0.as_str()),
            direct: &root.direct,
            behind: &root.behind,
            seconds: root.spent.as_secs_f64(),
        }
    }
}

impl<'a> ChangeJson<'a> {
    fn of(shown: &'a Shown) -> Self {
        Self {
            kind: shown.kind.word(),
            name: &shown.name,
            change: shown.change,
            old: shown.old.as_deref(),
            new: shown.new.as_deref(),
            diff: shown.diff.as_deref(),
        }
    }
}

/// A node for programs: one for each difference, one for a node without any.
#[derive(Serialize)]
pub(crate) struct CauseJson<'a> {
    node: u32,
    operation: &'a str,
    label: &'a str,
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

impl<'a> CauseJson<'a> {
    pub(crate) fn all(explanation: &'a Explanation) -> Vec<Self> {
        let causes = explanation.nodes.iter().flat_map(|explained| {
            let differences = explained.differences.iter().map(Some);
            let alone = explained.differences.is_empty().then_some(None);
            differences.chain(alone).map(|shown| Self::of(explained, shown))
        });
        causes.collect()
    }

    fn of(explained: &'a Explained, shown: Option<&'a Shown>) -> Self {
        let against = explained.against.as_ref().and_then(|against| against.run.as_ref());
        let upstream = shown.iter().flat_map(|shown| &shown.upstream);
        Self {
            node: explained.node,
            operation: &explained.operation,
            label: &explained.label,
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
            upstream: upstream.map(|node| node.node).collect(),
        }
    }
}

/// Shows what a plan would run, and why.
pub(crate) fn write_plan(
    explanation: &Explanation,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    console.line(&forecast_line(explanation))?;
    show_roots(explanation, console)?;
    show_unseen(explanation, console)
}

/// A plan for programs.
#[derive(Serialize)]
pub(crate) struct PlanJson<'a> {
    would_run: usize,
    may_run: usize,
    hits: usize,
    saved_seconds: f64,
    causes: Vec<CauseJson<'a>>,
    roots: Vec<RootJson<'a>>,
    notes: Vec<NoteJson<'a>>,
}

impl<'a> PlanJson<'a> {
    pub(crate) fn of(explanation: &'a Explanation) -> Self {
        let of = |word| explanation.nodes.iter().filter(|node| node.outcome == word).count();
        Self {
            would_run: of("would-run"),
            may_run: of("may-run"),
            hits: explanation.hits,
            saved_seconds: explanation.saved.as_secs_f64(),
            causes: CauseJson::all(explanation),
            roots: explanation.roots.iter().map(RootJson::of).collect(),
            notes: NoteJson::all(explanation),
        }
    }
}

/// How much a plan would run, for people.
fn forecast_line(explanation: &Explanation) -> String {
    let of = |word: &'static str| explanation.nodes.iter().filter(move |node| node.outcome == word);
    let (certain, possible) = (of("would-run").count(), of("may-run").count());
    let mut parts = Vec::new();
    parts.push(match (certain, possible) {
        (0, 0) => "nothing would run".to_owned(),
        (certain, 0) => format!("{} would run", count(certain as u64, "operation")),
        (certain, possible) => format!(
            "{} would run, {possible} more if what goes in changes",
            count(certain as u64, "operation")
        ),
    });
    let before: std::time::Duration = of("would-run").map(|node| node.spent).sum();
    parts.extend(
        (!before.is_zero()).then(|| format!("{} when last computed", show_duration(before))),
    );
    let saved = unless_zero(explanation.saved);
    let verb = if explanation.hits == 1 { "saves" } else { "save" };
    let saved = if saved.is_empty() { saved } else { format!(" {verb} {saved}") };
    parts.push(format!("{}{saved}", count(explanation.hits as u64, "hit")));
    parts.join("; ")
}
