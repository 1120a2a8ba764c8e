//! How facts are shown: names, ages, counts of a run.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use thrifty_engine::catalog::{Node, Run, Time};
use thrifty_engine::units::show_duration;

/// An operation's name without that of its module or file: of a step, `process.step`.
pub(crate) fn short_name(operation: &str) -> &str {
    match operation.split_once(':') {
        Some((_, name)) => name.rsplit("<locals>.").next().unwrap_or(name),
        None => operation.rsplit('.').next().unwrap_or(operation),
    }
}

/// A time as text for programs: RFC 3339, UTC.
pub(crate) fn timestamp(time: Time) -> String {
    let since = Duration::from_millis(u64::try_from(time).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// A time as people say it.
pub(crate) fn age(now: Time, time: Time) -> String {
    let past = Duration::from_millis(u64::try_from(now.saturating_sub(time)).unwrap_or(0));
    if past < Duration::from_secs(1) {
        "just now".to_owned()
    } else {
        format!("{} ago", show_duration(past))
    }
}

/// A number and its noun: `1 hit`, `2 hits`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// Nothing for zero, so that columns stay readable.
pub(crate) fn unless_zero(duration: Duration) -> String {
    if duration.is_zero() { String::new() } else { show_duration(duration) }
}

/// How many nodes of a run, or calls of an operation, came to which end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) computed: u64,
    pub(crate) hits: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
    pub(crate) other: u64,
}

impl Counts {
    /// Adds calls with an outcome of this word.
    pub(crate) fn add(&mut self, outcome: &str, calls: u64) {
        *match outcome {
            "waited" | "hit-memory" | "hit-local" => &mut self.hits,
            "computed" | "computed-not-stored" | "uncached" | "fenced" | "nondeterministic" => {
                &mut self.computed
            }
            "failed" => &mut self.failed,
            "skipped" => &mut self.skipped,
            // Those that stand in its place are counted.
            "expanded" => return,
            _ => &mut self.other,
        } += calls;
    }

    /// The counts of a run.
    pub(crate) fn of(run: &Run) -> Self {
        let mut counts = Self::default();
        run.outcomes.iter().for_each(|(outcome, calls)| counts.add(outcome, *calls));
        counts
    }
}

/// How long a run took, if it has ended.
pub(crate) fn duration(run: &Run) -> Option<Duration> {
    let took = run.finished_at?.saturating_sub(run.started_at);
    Some(Duration::from_millis(u64::try_from(took).unwrap_or(0)))
}

/// A run for programs.
#[derive(Debug, Serialize)]
pub(crate) struct RunJson {
    id: String,
    name: String,
    arguments: String,
    status: &'static str,
    project: String,
    domain: String,
    host: String,
    user: String,
    started_at: String,
    seconds: Option<f64>,
    computed: u64,
    hits: u64,
    failed: u64,
    saved_seconds: f64,
    reasons: BTreeMap<String, u64>,
}

impl RunJson {
    pub(crate) fn of(run: &Run) -> Self {
        let counts = Counts::of(run);
        Self {
            id: run.id.0.clone(),
            name: run.name.clone(),
            arguments: run.arguments.clone(),
            status: run.status.word(),
            project: run.scope.project.clone(),
            domain: run.scope.domain.clone(),
            host: run.host.clone(),
            user: run.user.clone(),
            started_at: timestamp(run.started_at),
            seconds: duration(run).map(|took| took.as_secs_f64()),
            computed: counts.computed,
            hits: counts.hits,
            failed: counts.failed,
            saved_seconds: run.saved.as_secs_f64(),
            reasons: run.reasons.iter().map(|it| (it.reason.clone(), it.count)).collect(),
        }
    }
}

/// A node for programs.
#[derive(Debug, Serialize)]
pub(crate) struct NodeJson {
    number: u32,
    name: String,
    operation: String,
    label: String,
    outcome: String,
    detail: String,
    reason: String,
    rule: String,
    calls: u64,
    seconds: f64,
    saved_seconds: f64,
    key: Option<String>,
    source: Option<String>,
    upstream: Vec<u32>,
    parent: Option<u32>,
}

impl NodeJson {
    pub(crate) fn of(node: &Node, label: &str) -> Self {
        Self {
            label: label.to_owned(),
            parent: node.parent,
            number: node.number,
            name: short_name(&node.operation).to_owned(),
            operation: node.operation.clone(),
            outcome: node.outcome.clone(),
            detail: node.detail.clone(),
            reason: node.reason.clone(),
            rule: node.rule.clone(),
            calls: node.count,
            seconds: node.spent.as_secs_f64(),
            saved_seconds: node.saved.as_secs_f64(),
            key: node.key.map(|key| key.to_string()),
            source: node.source.as_ref().map(|run| run.0.clone()),
            upstream: node.upstream.clone(),
        }
    }
}
