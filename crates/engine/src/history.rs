//! What a run leaves in the catalog.

use std::collections::HashSet;
use std::time::Duration;

use thrifty_catalog::{Node, RunStatus};

use crate::compute::Settled;
use crate::graph::Value;
use crate::outcome::Outcome;
use crate::policy::Mode;
use crate::reason::Reason;
use crate::schedule::{Problem, Schedule};

impl Schedule<'_> {
    /// The operations that were asked for, as the catalog keeps them; those that a cancelled run
    /// did not come to are cancelled.
    pub fn history(&self) -> Vec<Node> {
        (0..self.len()).filter_map(|number| self.history_of(number)).collect()
    }

    fn history_of(&self, number: usize) -> Option<Node> {
        let outcome = self.outcome(number)?;
        let node = self.node(number);
        let done = self.settled(number).and_then(|settled| settled.as_ref().ok());
        let entry = done.and_then(|settled| settled.entry);
        let source = match done.map(|settled| &settled.value) {
            Some(Value::Known(answer))
                if outcome.is_hit() || matches!(outcome, Outcome::Skipped(_)) =>
            {
                answer.run.clone()
            }
            _ => None,
        };
        let keeps_ingredients = entry.is_none() && self.key(number).is_some();
        let upstream = node.upstream().into_iter().filter_map(|from| u32::try_from(from).ok());
        Some(Node {
            number: u32::try_from(number).ok()?,
            operation: node.operation.name().to_owned(),
            key: self.key(number),
            ingredients: keeps_ingredients.then(|| node.ingredients(self.digests(number))),
            outcome: outcome.word().to_owned(),
            detail: outcome.detail(),
            reason: self.reason(number).map_or_else(String::new, |it| it.word().to_owned()),
            rule: node.policy.rule.word().to_owned(),
            entry,
            source,
            output_digest: done.and_then(|settled| settled.value.digest()),
            count: 1,
            at: self.now(),
            spent: self.spent(number),
            saved: done.map(Settled::saved).unwrap_or_default(),
            upstream: upstream.collect(),
            takes: node.takes(),
            parent: self.parent(number).and_then(|parent| u32::try_from(parent).ok()),
        })
    }

    fn reason(&self, number: usize) -> Option<Reason> {
        self.reason_of(number, self.settled(number)?.as_ref().ok()?)
    }

    /// Why the result of an operation is not in the cache, or went there without protection.
    pub(crate) fn reason_of(&self, number: usize, settled: &Settled) -> Option<Reason> {
        let reads_or_writes = self.node(number).policy.mode != Mode::Off;
        let is_unkeyed = self.key(number).is_none() && reads_or_writes && settled.outcome.ran();
        settled.reason().or(is_unkeyed.then_some(Reason::Unkeyed))
    }

    /// How the run ended. It succeeded also if something failed that others went on around.
    pub fn status(&self) -> RunStatus {
        let failed = |number: &usize| matches!(self.settled(*number), Some(Err(_)));
        let taken = self.taken_as_failed();
        if self.is_stopped() {
            RunStatus::Cancelled
        } else if (0..self.len()).filter(failed).any(|number| !taken.contains(&number)) {
            RunStatus::Failed
        } else {
            RunStatus::Succeeded
        }
    }

    /// What something has come to its end with that takes failures.
    fn taken_as_failed(&self) -> HashSet<usize> {
        let takers = (0..self.len()).filter(|number| {
            let is_done = matches!(self.settled(*number), Some(Ok(_)));
            is_done && self.node(*number).body.takes_failures()
        });
        takers.flat_map(|number| self.node(number).upstream()).collect()
    }

    /// The first operation that failed by itself, and its failure.
    pub fn failure(&self) -> Option<(usize, &crate::graph::Failure)> {
        (0..self.len()).find_map(|number| match self.settled(number)? {
            Err(Problem::Failed(failure)) => Some((number, failure)),
            _ => None,
        })
    }

    /// The outcome of an operation; `None` if nothing asked for it, or it is on its way.
    pub fn outcome(&self, number: usize) -> Option<Outcome> {
        match self.settled(number) {
            Some(Ok(settled)) => Some(settled.outcome.clone()),
            Some(Err(problem)) => Some(self.outcome_of(problem)),
            None if self.is_stopped() && self.is_open(number) => Some(Outcome::Cancelled),
            None => None,
        }
    }
}

impl Settled {
    /// The time that a hit saved.
    pub fn saved(&self) -> Duration {
        match &self.value {
            Value::Known(answer) if self.outcome.is_hit() => answer.cost,
            _ => Duration::ZERO,
        }
    }

    /// Why the result is not in the cache though nobody chose so, or went there without protection.
    pub fn reason(&self) -> Option<Reason> {
        self.outcome.reason().or(self.alone.map(|_| Reason::Unserialised))
    }
}
