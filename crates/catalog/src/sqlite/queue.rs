//! Waiting to write: as long as there is patience, which the writes of others renew.

use std::time::Instant;

use super::budget;
use super::signal::Signal;

/// One who waits, since when, and what he has seen of the others.
pub(super) struct Queue<'a> {
    signal: &'a Signal,
    began: Instant,
    got_on: Instant,
    seen: u32,
}

impl<'a> Queue<'a> {
    pub(super) fn new(signal: &'a Signal) -> Self {
        let (now, seen) = (Instant::now(), signal.writes());
        Self { signal, began: now, got_on: budget::watched(seen).unwrap_or(now), seen }
    }

    /// He has what he waited for, and is about to wait for the next thing: what he saw still
    /// counts.
    pub(super) fn waits_on(&self) {
        budget::waits_on(self.seen, self.got_on);
    }

    /// How many writes had ended when he last looked.
    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    /// Looks whether the others get on.
    pub(super) fn look(&mut self) {
        let writes = self.signal.writes();
        if writes != self.seen {
            (self.seen, self.got_on) = (writes, Instant::now());
        }
    }

    pub(super) fn has_patience(&self) -> bool {
        budget::has_patience(self.began, self.got_on)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sqlite::budget::{ASK, COMMIT};

    #[test]
    fn who_has_waited_in_one_queue_is_as_patient_in_the_next_as_is_left() {
        let signal = Signal::private();
        let long_ago = Instant::now().checked_sub(Duration::from_millis(1200)).unwrap();
        let waited = |budget: budget::Budget, between: &dyn Fn()| {
            budget.spend(|| {
                Queue { got_on: long_ago, ..Queue::new(&signal) }.waits_on();
                between();
                Queue::new(&signal).has_patience()
            })
        };
        assert!(!waited(ASK, &|| {}), "nothing went on for more than a second");
        assert!(waited(COMMIT, &|| {}), "a commit waits for a second and a half");
        assert!(waited(ASK, &|| signal.wrote()), "somebody got on");
        assert!(waited(ASK, &budget::begin_work), "it has worked since");
        assert!(ASK.spend(|| Queue::new(&signal).has_patience()), "another call");
    }
}
