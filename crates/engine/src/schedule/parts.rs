//! What the operations of a graph stand on, for whoever made a value of them.

use thrifty_catalog::Time;

use super::Schedule;
use crate::made_of::Parts;
use crate::observed::Observation;

impl Schedule<'_> {
    /// What was observed by all operations that are settled, computed or hit.
    pub fn observed(&self) -> Vec<Observation> {
        let settled = (0..self.len()).filter_map(|number| self.settled(number)?.as_ref().ok());
        settled.flat_map(|settled| settled.value.observed().iter().cloned()).collect()
    }

    /// When the first result expires, or is too old for who asked for it, of all operations that
    /// are settled, computed or hit.
    pub fn expires_at(&self) -> Option<Time> {
        let settled = (0..self.len()).filter_map(|number| self.settled(number)?.as_ref().ok());
        let expiries = settled.filter_map(|settled| settled.value.expires_at());
        expiries.chain((0..self.len()).filter_map(|number| self.too_old_at(number))).min()
    }

    /// All operations that are settled, computed or hit, as parts of something.
    pub fn parts(&self) -> Parts {
        let mut parts = Parts::default();
        self.take_parts(0..self.len(), &mut parts);
        parts
    }

    /// Adds those of these that are settled.
    pub(super) fn take_parts(&self, numbers: impl IntoIterator<Item = usize>, parts: &mut Parts) {
        for number in numbers {
            let (operation, key) =
                (self.nodes[number].node.operation.name(), self.nodes[number].key);
            match self.settled(number) {
                Some(Ok(settled)) => {
                    parts.take(operation, key, settled.entry, settled.value.made_of());
                }
                Some(Err(_)) => parts.take_unstored(operation, key),
                None => {}
            }
        }
    }
}
