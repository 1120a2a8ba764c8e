//! What bodies that run at once share, so that only as many run as there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So much of something, of which bodies hold a part while they run: processors, memory, turns.
/// Two pools are the same if they are the same object.
#[derive(Debug)]
pub struct Pool {
    capacity: u64,
    /// Changed by the thread of one schedule alone.
    taken: AtomicU64,
}

/// A part of a pool that a body holds while it runs.
pub type ClaimOn = (Arc<Pool>, u64);

impl Pool {
    /// A pool of which nothing is taken.
    pub fn new(capacity: u64) -> Arc<Self> {
        Arc::new(Self { capacity, taken: AtomicU64::new(0) })
    }

    /// Whether there is room for so much. A body that wants more than there is gets all of it:
    /// nothing waits for ever.
    pub(crate) fn has_room(&self, amount: u64) -> bool {
        self.has_room_beside(0, amount)
    }

    /// The same, when so much more is taken.
    pub(crate) fn has_room_beside(&self, more: u64, amount: u64) -> bool {
        let taken = self.taken.load(Ordering::Relaxed).saturating_add(more);
        taken == 0 || amount <= self.capacity.saturating_sub(taken)
    }

    pub(crate) fn take(&self, amount: u64) {
        let taken = self.taken.load(Ordering::Relaxed).saturating_add(amount);
        self.taken.store(taken, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, amount: u64) {
        let taken = self.taken.load(Ordering::Relaxed).saturating_sub(amount);
        self.taken.store(taken, Ordering::Relaxed);
    }
}
