//! What follows when an operation has its outcome.

use std::time::Duration;

use super::{Closing, Problem, Schedule, State};
use crate::compute::{Came, Settled};
use crate::event::Event;
use crate::graph::{Node, Value};
use crate::outcome::Outcome;
use crate::policy::OnFailure;

impl Schedule<'_> {
    /// Gives an operation its outcome, and all that thereby get theirs. Without recursion: a
    /// chain may be longer than the stack.
    pub(super) fn close(&mut self, number: usize, result: Result<Settled, Problem>) {
        let mut stack = vec![(number, result)];
        while let Some((number, result)) = stack.pop() {
            self.tell_settled(number, &result);
            if let Err(problem) = &result {
                self.note_failure(number, problem);
            }
            self.keep(&result);
            let slate = &mut self.nodes[number];
            let followers = std::mem::take(&mut slate.followers);
            let dependents = std::mem::take(&mut slate.dependents);
            self.lead_followers(number, followers, &result, &mut stack);
            self.nodes[number].state = State::Closed(result);
            for dependent in dependents {
                stack.extend(self.advance(dependent));
            }
        }
    }

    /// Followers take a result that can be loaded and that their policy accepts; otherwise the
    /// first of them goes on by itself, and all of them if what the leader has nobody else can
    /// have. What the result observed must still hold: a follower may
    /// stand behind an operation that wrote it after the leader had looked.
    fn lead_followers(
        &mut self,
        number: usize,
        followers: Vec<usize>,
        result: &Result<Settled, Problem>,
        stack: &mut Vec<Closing>,
    ) {
        for follower in followers {
            let follows = &self.nodes[follower].node;
            let share = follows.policy.on_failure == OnFailure::Share;
            match result {
                Ok(settled)
                    if shares(settled, &self.nodes[number].node, follows)
                        && self.cache.holds(settled.value.observed()) =>
                {
                    stack.push((follower, Ok(followed(settled))));
                }
                Err(problem) if share => stack.push((follower, Err(problem.clone()))),
                _ => {
                    let is_own = |it: &Settled| matches!(it.value, Value::Live { .. });
                    self.nodes[follower].is_apart = result.as_ref().is_ok_and(is_own);
                    if let Some(key) = self.nodes[follower].key {
                        self.leaders.remove(&key);
                    }
                    self.ready.push(follower);
                }
            }
        }
    }

    /// One operation that this one needs is settled.
    fn advance(&mut self, number: usize) -> Option<Closing> {
        match &mut self.nodes[number].state {
            State::Waiting(left) | State::Expanded(left, _) if *left > 1 => {
                *left -= 1;
                None
            }
            State::Waiting(_) => self.make_ready(number),
            State::Expanded(..) => self.collapse(number),
            State::Idle | State::Open | State::Closed(_) => None,
        }
    }

    fn tell_settled(&mut self, number: usize, result: &Result<Settled, Problem>) {
        let operation = self.nodes[number].node.operation.name().to_owned();
        let (outcome, spent, saved) = match result {
            Ok(settled) => (settled.outcome.clone(), settled.spent, settled.saved()),
            Err(problem) => {
                let ran = self.nodes[number].ran.unwrap_or_default();
                (self.outcome_of(problem), ran, Duration::ZERO)
            }
        };
        let reason = result.as_ref().ok().and_then(|settled| self.reason_of(number, settled));
        let label = if outcome.is_hit() { String::new() } else { self.label(number) };
        self.tell(&Event::Settled { number, operation, label, outcome, reason, spent, saved });
    }
}

/// Whether an operation may take what another one of the same key got.
pub(super) fn shares(settled: &Settled, leader: &Node, follower: &Node) -> bool {
    let loads = matches!(settled.value, Value::Known(_));
    let accepts = follower.policy.max_age == leader.policy.max_age
        && follower.policy.mode == leader.policy.mode;
    loads && (accepts || settled.outcome.ran())
}

/// What an operation gets that took the result of another one of this run, which may have begun before
/// what the two are a part of.
pub(super) fn followed(settled: &Settled) -> Settled {
    Settled {
        outcome: if settled.outcome.is_hit() { settled.outcome.clone() } else { Outcome::Waited },
        came: Came::Before,
        spent: Duration::ZERO,
        made: None,
        ..settled.clone()
    }
}
