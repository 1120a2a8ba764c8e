//! What the operations of a graph stand on, for whoever made a value of them.

use thrifty_catalog::Time;

use super::{Problem, Schedule};
use crate::answer::Terms;
use crate::graph::Value;
use crate::made_of::Parts;
use crate::observed::Observation;

impl Schedule<'_> {
    /// What was observed by all operations that are settled, computed, hit or failed.
    pub fn observed(&self) -> Vec<Observation> {
        let values = self.values().flat_map(Value::observed);
        let failures = self.failures().flat_map(|terms| terms.observed.iter());
        values.chain(failures).cloned().collect()
    }

    /// When the first result expires, or is too old for who asked for it, of all operations that are
    /// settled, and of what those took that failed.
    pub fn expires_at(&self) -> Option<Time> {
        let values = self.values().filter_map(Value::expires_at);
        let too_old = (0..self.len()).filter_map(|number| self.too_old_at(number));
        let failures = self.failures().filter_map(|terms| terms.expires_at);
        values.chain(too_old).chain(failures).min()
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        let settled = (0..self.len()).filter_map(|number| self.settled(number)?.as_ref().ok());
        settled.map(|settled| &settled.value)
    }

    /// What those depend on that failed.
    fn failures(&self) -> impl Iterator<Item = &Terms> {
        (0..self.len()).flat_map(|number| self.failure_of(number))
    }

    /// What an operation depends on that failed: its body, and what that raised.
    fn failure_of(&self, number: usize) -> impl Iterator<Item = &Terms> {
        let raised = match self.settled(number) {
            Some(Err(Problem::Failed(failure))) => failure.terms(),
            _ => None,
        };
        let fell = self.nodes[number].fell.as_ref();
        raised.into_iter().chain(fell)
    }

    /// All operations that are settled, or failed, as parts of something.
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
                Some(Ok(settled)) => settled.add_to(parts, operation, key),
                Some(Err(_)) => {
                    parts.take_unstored(operation, key);
                    self.failure_of(number).for_each(|terms| parts.merge(&terms.made_of));
                }
                None => {}
            }
        }
    }
}
