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
        let now = Instant::now();
        Self { signal, began: now, got_on: now, seen: signal.writes() }
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
