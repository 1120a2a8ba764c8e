//! Operations whose failure ends the run: what runs goes on to its end, nothing else begins.

use super::{Problem, Schedule, State};
use crate::outcome::Outcome;

impl Schedule<'_> {
    /// Notes that an operation failed which was to end the run.
    pub(super) fn note_failure(&mut self, number: usize, problem: &Problem) {
        let ends = self.nodes[number].node.policy.fail_fast;
        if ends && matches!(problem, Problem::Failed(_)) {
            self.halted.get_or_insert(number);
        }
    }

    /// Closes all that has not begun, if the run is to end; whether there was any. What waits for
    /// an operation that still runs comes here when that has ended.
    pub(super) fn halt(&mut self) -> bool {
        let Some(because) = self.halted else { return false };
        let mut waiting = std::mem::take(&mut self.ready);
        waiting.extend(std::mem::take(&mut self.missed).into_iter().map(|(number, _)| number));
        waiting.extend(std::mem::take(&mut self.parked).into_keys());
        waiting.extend(self.later.take_all());
        waiting.extend(self.aside.take_all());
        self.resumed.clear();
        for number in &waiting {
            self.close(*number, Err(Problem::NotStarted(because)));
        }
        !waiting.is_empty()
    }

    /// The problem of an operation that needs this one, which has no value.
    pub(super) fn problem_behind(&self, number: usize) -> Problem {
        match self.nodes[number].state {
            State::Closed(Err(Problem::NotStarted(because))) => Problem::NotStarted(because),
            _ => Problem::Upstream(number),
        }
    }

    /// The outcome of an operation that has no value.
    pub fn outcome_of(&self, problem: &Problem) -> Outcome {
        match problem {
            Problem::Failed(failure) => Outcome::Failed(failure.message().to_owned()),
            Problem::Upstream(from) => {
                Outcome::UpstreamFailed(self.nodes[*from].node.operation.name().to_owned())
            }
            Problem::NotStarted(because) => {
                Outcome::NotStarted(self.nodes[*because].node.operation.name().to_owned())
            }
        }
    }
}
