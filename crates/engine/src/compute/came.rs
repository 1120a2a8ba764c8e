//! How a value came to a call, for what is made of it.

use thrifty_key::Key;

use super::Settled;
use crate::made_of::Parts;

/// How a value came to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It was looked up, or computed, when it was asked for.
    Now,
    /// It was computed then, and replaced what was stored before, with this ticket.
    Replacing(i64),
    /// It was there before, nobody knows how long.
    Before,
}

impl Settled {
    /// Adds it to what a value is made of whose computation asked for it, as the result of this
    /// operation.
    pub fn add_to(&self, parts: &mut Parts, operation: &str, key: Option<Key>) {
        let made_of = self.value.made_of();
        match self.came {
            Came::Now if self.outcome.ran() => {
                parts.take_computed(operation, key, self.entry, made_of, None);
            }
            Came::Now => parts.take(operation, key, self.entry, made_of),
            Came::Replacing(ticket) => {
                parts.take_computed(operation, key, self.entry, made_of, Some(ticket));
            }
            Came::Before => {
                let mut old = Parts::default();
                old.take(operation, key, self.entry, made_of);
                parts.merge(&old.of_before(0));
            }
        }
    }
}
