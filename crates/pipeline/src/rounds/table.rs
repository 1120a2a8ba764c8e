//! What became of the trials of a run.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value as Json;
use thrifty_engine::graph::Taken;
use thrifty_engine::{Outcome, Schedule};

use super::round::Round;
use crate::expand::{Goal, Point, Resulted, Trial};

/// A search of a run, with all its trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// The operation.
    pub operation: String,
    /// What was sought, if anything: the output and which of its values are good.
    pub metric: Option<(String, Goal)>,
    /// The trials, in their order.
    pub trials: Vec<Tried>,
    /// The best of them, by number.
    pub best: Option<usize>,
}

/// A trial of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// What it was tried with.
    pub params: Point,
    /// What it gave as the metric.
    pub value: Option<Json>,
    /// What became of it.
    pub status: Status,
    /// Time that its command took.
    pub spent: Duration,
    /// Time that a hit saved.
    pub saved: Duration,
}

/// What became of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It ran.
    Computed,
    /// Its result was known.
    Hit,
    /// Somebody else computed it meanwhile, or another trial of the run.
    Waited,
    /// It failed.
    Failed,
    /// It did not run.
    NotRun,
}

impl Status {
    /// What is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Hit => "hit (done)",
            Self::Waited => "hit while running",
            Self::Failed => "failed",
            Self::NotRun => "not run",
        }
    }

    fn of(outcome: Option<&Outcome>) -> Self {
        match outcome {
            Some(Outcome::Waited) => Self::Waited,
            Some(outcome) if outcome.is_hit() => Self::Hit,
            Some(Outcome::Failed(_)) => Self::Failed,
            Some(outcome) if outcome.ran() => Self::Computed,
            _ => Self::NotRun,
        }
    }
}

/// The searches of a run, in the order of their operations.
pub(crate) fn searched(schedule: &Schedule<'_>) -> Vec<Searched> {
    let mut all: BTreeMap<usize, Searched> = BTreeMap::new();
    let mut children: HashMap<usize, usize> = HashMap::new();
    for number in 0..schedule.len() {
        let Some(parent) = schedule.parent(number) else { continue };
        let next = children.entry(parent).or_default();
        let place = std::mem::replace(next, *next + 1);
        let trial = round_of(schedule, parent).and_then(|round| {
            let trial = round.trials.lock().get(place)?.clone();
            Some((round, trial))
        });
        if let Some((round, trial)) = trial {
            let searched =
                all.entry(first_of(schedule, parent)).or_insert_with(|| Searched::of(round));
            searched.trials.push(tried(schedule, number, round, &trial));
        }
    }
    for (number, searched) in &mut all {
        let results = searched.trials.iter().map(Tried::result);
        searched.best =
            round_of(schedule, *number).and_then(|round| round.searching.search.best(results));
    }
    all.into_values().collect()
}

impl Searched {
    fn of(round: &Round) -> Self {
        let metric = round.searching.search.metric.as_ref();
        Self {
            operation: round.searching.name().to_owned(),
            metric: metric.map(|metric| (metric.name.clone(), metric.goal)),
            trials: Vec::new(),
            best: None,
        }
    }
}

impl Tried {
    fn result(&self) -> Resulted {
        match self.status {
            Status::Failed | Status::NotRun => Resulted::Failed,
            Status::Computed | Status::Hit | Status::Waited => {
                Resulted::Gave(self.value.as_ref().and_then(Json::as_f64))
            }
        }
    }
}

fn tried(schedule: &Schedule<'_>, number: usize, round: &Round, trial: &Trial) -> Tried {
    let settled = schedule.settled(number).and_then(|settled| settled.as_ref().ok());
    let value = settled.and_then(|settled| {
        let taken = Taken { value: settled.value.clone(), steps: Vec::new() };
        round.searching.measured(&taken)
    });
    Tried {
        params: trial.point.clone(),
        value,
        status: Status::of(schedule.outcome(number).as_ref()),
        spent: schedule.spent(number),
        saved: settled.map(|settled| settled.saved()).unwrap_or_default(),
    }
}

/// The round that a node is, if it is one.
fn round_of<'a>(schedule: &'a Schedule<'_>, number: usize) -> Option<&'a Round> {
    let body: &dyn Any = &*schedule.node(number).body;
    body.downcast_ref()
}

/// The first round of the search that this one belongs to.
fn first_of(schedule: &Schedule<'_>, round: usize) -> usize {
    let mut first = round;
    while let Some(parent) = schedule.parent(first) {
        if round_of(schedule, parent).is_none() {
            break;
        }
        first = parent;
    }
    first
}
