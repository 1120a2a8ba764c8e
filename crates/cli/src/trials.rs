//! What a run shows of the trials of its searches.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use thrifty_engine::units::show_duration;
use thrifty_pipeline::expand::Goal;
use thrifty_pipeline::{Searched, Status, Tried};

use crate::console::Console;
use crate::failure::Failure;
use crate::show::{count, unless_zero};

/// How many trials a table shows all of; of more, the first of each kind.
const ALL: usize = 30;
/// How many trials of a large search are shown.
const SOME: usize = 10;

/// A search for programs.
#[derive(Debug, Serialize)]
pub(crate) struct SearchJson<'a> {
    operation: &'a str,
    metric: Option<&'a str>,
    goal: Option<&'static str>,
    best: Option<usize>,
    trials: Vec<TrialJson<'a>>,
}

#[derive(Debug, Serialize)]
struct TrialJson<'a> {
    trial: usize,
    params: Map<String, Json>,
    value: Option<&'a Json>,
    status: &'static str,
    seconds: f64,
    saved_seconds: f64,
}

impl<'a> SearchJson<'a> {
    pub(crate) fn of(searched: &'a Searched) -> Self {
        let trial = |(number, trial): (usize, &'a Tried)| TrialJson {
            trial: number,
            params: trial.params.iter().cloned().collect(),
            value: trial.value.as_ref(),
            status: word(trial.status),
            seconds: trial.spent.as_secs_f64(),
            saved_seconds: trial.saved.as_secs_f64(),
        };
        Self {
            operation: &searched.operation,
            metric: searched.metric.as_ref().map(|(name, _)| name.as_str()),
            goal: searched.metric.as_ref().map(|(_, goal)| match goal {
                Goal::Minimize => "minimize",
                Goal::Maximize => "maximize",
            }),
            best: searched.best,
            trials: searched.trials.iter().enumerate().map(trial).collect(),
        }
    }
}

/// One word for programs.
const fn word(status: Status) -> &'static str {
    match status {
        Status::Computed => "computed",
        Status::Hit => "hit",
        Status::Waited => "waited",
        Status::Failed => "failed",
        Status::NotRun => "not-run",
    }
}

/// Shows a search beside the result: its trials, or of many the best and those that failed.
pub(crate) fn show(searched: &Searched, console: &mut Console<'_>) -> Result<(), Failure> {
    let metric = searched.metric.as_ref().map_or("value", |(name, _)| name);
    let shown = chosen(searched);
    let left = searched.trials.len() - shown.len();
    let rows = shown.into_iter().map(|number| row(searched, number));
    console.notes(["trial ", "params", metric, "status", "time "], rows)?;
    if left > 0 {
        console
            .note(&format!("… and {}; all of them: --json", count(left as u64, "more trial")))?;
    }
    let mut counts: BTreeMap<Status, u64> = BTreeMap::new();
    searched.trials.iter().for_each(|trial| *counts.entry(trial.status).or_default() += 1);
    let counts: Vec<_> =
        counts.iter().map(|(status, trials)| format!("{trials} {}", status.word())).collect();
    let all = count(searched.trials.len() as u64, "trial");
    console.note(&format!("{}: {all}: {}", searched.operation, counts.join(", ")))
}

/// The trials that are shown, by number.
fn chosen(searched: &Searched) -> Vec<usize> {
    let trials = &searched.trials;
    let mut order: Vec<usize> = (0..trials.len()).collect();
    if trials.len() <= ALL {
        return order;
    }
    if let Some((_, goal)) = &searched.metric {
        let value = |number: &usize| trials[*number].value.as_ref().and_then(Json::as_f64);
        order.sort_by(|one, other| match (value(one), value(other), goal) {
            (Some(one), Some(other), Goal::Minimize) => one.total_cmp(&other),
            (Some(one), Some(other), Goal::Maximize) => other.total_cmp(&one),
            (one, other, _) => other.is_some().cmp(&one.is_some()),
        });
    }
    let failed = (0..trials.len()).filter(|number| trials[*number].status == Status::Failed);
    let mut shown: Vec<usize> = order.into_iter().take(SOME).chain(failed.take(SOME)).collect();
    let mut seen = std::collections::HashSet::new();
    shown.retain(|number| seen.insert(*number));
    shown
}

fn row(searched: &Searched, number: usize) -> [String; 5] {
    let trial = &searched.trials[number];
    let params: Vec<_> =
        trial.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let best = if searched.best == Some(number) { "  best" } else { "" };
    let value = trial.value.as_ref().map_or_else(String::new, Json::to_string);
    let time = match trial.status {
        Status::Hit | Status::Waited if !trial.saved.is_zero() => {
            format!("saved {}", show_duration(trial.saved))
        }
        _ => unless_zero(trial.spent),
    };
    [number.to_string(), params.join(", "), value, format!("{}{best}", trial.status.word()), time]
}
