//! Attempts that are to be made once more, and not yet. Nothing waits for them but the run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::Missed;
use super::{INTERRUPT, Schedule};
use crate::event::Event;
use crate::units::show_duration;

/// What is to be attempted, by the time it is due and its number.
#[derive(Default)]
pub(super) struct Later(BTreeMap<(Duration, usize), Missed>);

impl Later {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take_all(&mut self) -> impl Iterator<Item = usize> + use<> {
        std::mem::take(&mut self.0).into_keys().map(|(_, number)| number)
    }
}

impl Schedule<'_> {
    /// Has an operation attempted again after a time.
    pub(super) fn put_off(
        &mut self,
        number: usize,
        missed: Missed,
        after: Duration,
        message: String,
    ) {
        let due = self.cache.timer.now().saturating_add(after);
        let first = message.lines().next().unwrap_or_default();
        self.record_waiting(number, format!("{} after: {first}", show_duration(after)));
        let operation = self.nodes[number].node.operation.name().to_owned();
        self.tell(&Event::PutOff { number, operation, after, message });
        self.later.0.insert((due, number), missed);
    }

    /// Brings back what is due.
    pub(super) fn bring_back(&mut self) {
        while let Some(first) = self.later.0.first_entry()
            && first.key().0 <= self.cache.timer.now()
        {
            let ((_, number), missed) = first.remove_entry();
            self.missed.push_back((number, missed));
        }
    }

    /// How long the run may wait for news: until something is due, or until it asks again whether
    /// it was interrupted.
    pub(super) fn patience(&self) -> Duration {
        let due = self.later.0.first_key_value().map(|((due, _), _)| *due);
        due.map_or(INTERRUPT, |due| due.saturating_sub(self.cache.timer.now()).min(INTERRUPT))
    }
}
