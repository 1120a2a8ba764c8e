//! Results of an earlier run, or of the attempts of a run before: what is known from there is
//! neither looked up nor run.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::Entry;
use thrifty_key::Key;

use super::{Schedule, State};
use crate::answer::{Answer, Terms};
use crate::cache::Cache;
use crate::compute::{Came, Settled};
use crate::graph::{Made, Value};
use crate::outcome::Outcome;

/// Results of an earlier run, or of the attempts of this one before.
pub trait Earlier: Send + Sync {
    /// What the operation of this name gave under this key, if it did and it is there still.
    fn result(&self, operation: &str, key: &Key) -> Option<Settled>;
}

impl Schedule<'_> {
    /// Says what was computed before: what is known from there is neither looked up nor run.
    pub fn take_from(&mut self, earlier: impl Earlier + 'static) {
        self.earlier = Some(Box::new(earlier));
    }

    /// Gives an operation its result before anything is settled; what it takes is not needed for
    /// it. Nothing of it is looked up, run or stored.
    pub fn give(&mut self, number: usize, settled: Settled) {
        if matches!(self.nodes[number].state, State::Idle) {
            self.close(number, Ok(settled));
        }
    }

    /// What was computed before, under the same key. What was lost since is computed anew.
    pub(super) fn earlier_result(&self, number: usize) -> Option<Settled> {
        let slate = &self.nodes[number];
        let earlier = self.earlier.as_ref().filter(|_| slate.losses == 0)?;
        earlier.result(slate.node.operation.name(), slate.key.as_ref()?)
    }
}

impl Settled {
    /// A value that was made in an earlier run, and is there still.
    pub fn skipped(run: &str, made: Made) -> Self {
        let Made { object, contribution, draft, observed, expires_at, made_of } = made;
        let outline = draft.ok().and_then(|draft| draft.outline(&[])).map(Arc::new);
        let made_of = made_of.shared();
        let terms = Terms { observed: observed.into(), expires_at, made_of };
        Self::of_before(run, None, Value::Live { object, contribution, outline, terms })
    }

    fn of_before(run: &str, entry: Option<thrifty_catalog::EntryId>, value: Value) -> Self {
        let outcome = Outcome::Skipped(run.to_owned());
        let (came, spent) = (Came::Before, Duration::ZERO);
        Self { entry, value, outcome, came, spent, alone: None, made: None }
    }
}

impl Cache {
    /// The result that an entry keeps, as that of an earlier run; nothing if its bytes are gone.
    /// Where `strict`, what was observed must still be so.
    pub fn taken_from(&self, run: &str, entry: Entry, strict: bool) -> Option<Settled> {
        let answer = Answer::from_entry(entry).ok()?;
        let is_right = !strict || self.holds(&answer.observed);
        let is_there = is_right && self.is_whole(&answer);
        is_there.then(|| Settled::of_before(run, answer.entry, Value::Known(Arc::new(answer))))
    }
}
