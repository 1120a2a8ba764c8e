//! Values that were settled and are in the cache no longer.

use std::sync::Arc;

use super::{LOSSES, Problem, Schedule, State};
use crate::event::Event;
use crate::graph::{Edge, Failure, Loss, Value};

impl Schedule<'_> {
    /// Opens a settled operation again, because its value is in the cache no longer or damaged.
    /// Its entry is removed if it cannot be served by anybody. A result that is lost again and
    /// again is computed and kept in memory; returns false, with the operation closed as failed,
    /// if even that is lost.
    pub fn reopen(&mut self, number: usize, loss: Loss, reason: &str) -> bool {
        let slate = &mut self.nodes[number];
        let State::Closed(Ok(settled)) = &slate.state else {
            return true;
        };
        if let (Some(key), Value::Known(answer)) = (&slate.key, &settled.value) {
            self.cache.discard(key, answer, loss);
        }
        self.reopened += 1;
        slate.opened = self.reopened;
        slate.losses += 1;
        if slate.losses > LOSSES {
            let message = format!(
                "the result of {} cannot be read back: {reason}",
                slate.node.operation.name()
            );
            let cause = Arc::new(message.clone());
            let failure = Failure::raised(message, cause);
            self.close(number, Err(Problem::Failed(failure)));
            return false;
        }
        self.unlead(number);
        self.tell(&Event::Reopened { number, reason: reason.to_owned() });
        self.nodes[number].state = State::Idle;
        self.demand(number);
        true
    }

    /// An input of an operation was found lost: settle that again first.
    pub(super) fn recover(&mut self, number: usize, edge: usize, loss: Loss, reason: &str) {
        let from = self.nodes[number].node.edges.get(edge).and_then(Edge::node);
        let Some(from) = from else {
            let (message, cause) = (reason.to_owned(), Arc::new(reason.to_owned()));
            let failure = Failure::raised(message, cause);
            return self.close(number, Err(Problem::Failed(failure)));
        };
        self.nodes[number].state = State::Idle;
        if self.nodes[from].opened <= self.nodes[number].began {
            self.reopen(from, loss, reason);
        }
        self.unlead(number);
        self.demand(number);
    }

    /// The key of an operation may be another one when it is open again: who waited for the
    /// result under the old key goes on by itself.
    pub(super) fn unlead(&mut self, number: usize) {
        if let Some(key) = self.nodes[number].key
            && self.leaders.get(&key) == Some(&number)
        {
            self.leaders.remove(&key);
        }
        for follower in std::mem::take(&mut self.nodes[number].followers) {
            self.nodes[follower].state = State::Idle;
            self.demand(follower);
        }
    }
}
