//! Looking up keys: memory first, then one request to the catalog for the rest.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{Found, Request, Selector, Slot, Why};
use thrifty_key::Key;

use crate::answer::Answer;
use crate::cache::Cache;
use crate::outcome::{Miss, Outcome};

/// What a lookup gave.
#[derive(Debug, Clone)]
pub enum Looked {
    /// An answer, and from where.
    Hit(Arc<Answer>, Outcome),
    /// None; with the slot to publish to, unless the catalog did not answer.
    Miss(Miss, Option<Slot>),
}

impl Cache {
    /// Looks up one key.
    pub fn look(&self, key: &Key, max_age: Option<Duration>) -> Looked {
        if let Some(answer) = self.remembered(key, max_age) {
            return Looked::Hit(answer, Outcome::HitMemory);
        }
        self.look_again(key, max_age)
    }

    /// Looks up many keys with one request.
    pub fn look_all(&self, requests: &[Request]) -> Vec<Looked> {
        let mut looked: Vec<_> = requests
            .iter()
            .map(|request| {
                let answer = self.remembered(&request.key, request.max_age)?;
                Some(Looked::Hit(answer, Outcome::HitMemory))
            })
            .collect();
        let unknown: Vec<_> = requests
            .iter()
            .zip(&looked)
            .filter(|(_, looked)| looked.is_none())
            .map(|(request, _)| *request)
            .collect();
        let mut asked = self.ask(&unknown).into_iter();
        for slot in looked.iter_mut().filter(|looked| looked.is_none()) {
            *slot = asked.next();
        }
        looked
            .into_iter()
            .map(|looked| looked.unwrap_or(Looked::Miss(Miss::Unavailable, None)))
            .collect()
    }

    /// Looks up one key in the catalog, whatever memory says.
    pub(crate) fn look_again(&self, key: &Key, max_age: Option<Duration>) -> Looked {
        let request = Request { key: *key, max_age };
        self.ask(&[request]).pop().unwrap_or(Looked::Miss(Miss::Unavailable, None))
    }

    /// Where a key is committed that is computed without being looked up; `None` if the catalog
    /// does not answer.
    pub fn slot(&self, key: &Key) -> Option<Slot> {
        if !self.health.may_ask() {
            return None;
        }
        self.health.note(self.catalog.slot(&self.scope, key))
    }

    fn remembered(&self, key: &Key, max_age: Option<Duration>) -> Option<Arc<Answer>> {
        // The catalog's clock is asked only where time matters.
        self.memory.get(key, self.catalog.changes(), |answer| {
            (max_age.is_none() && answer.expires_at.is_none())
                || self.catalog.now().is_ok_and(|now| answer.is_valid(now, max_age))
        })
    }

    fn ask(&self, requests: &[Request]) -> Vec<Looked> {
        if requests.is_empty() {
            return Vec::new();
        }
        // Read before the request, so that an answer overtaken by a removal is never kept.
        let changes = self.catalog.changes();
        let found = if self.health.may_ask() {
            self.health.note(self.catalog.lookup(&self.scope, requests))
        } else {
            None
        };
        let Some(found) = found else {
            return vec![Looked::Miss(Miss::Unavailable, None); requests.len()];
        };
        let read = |(request, found): (&Request, Found)| self.read(&request.key, found, changes);
        requests.iter().zip(found).map(read).collect()
    }

    fn read(&self, key: &Key, found: Found, changes: u64) -> Looked {
        let hit = match found {
            Found::Hit(hit) => hit,
            Found::Miss(slot, why) => return Looked::Miss(reason(why), Some(slot)),
        };
        let entry = hit.entry;
        match Answer::from_hit(hit) {
            Ok(answer) => {
                let answer = Arc::new(answer);
                self.memory.put(*key, Arc::clone(&answer), changes);
                Looked::Hit(answer, Outcome::HitLocal)
            }
            Err(_) => {
                let removed = Selector { ids: Some(vec![entry]), ..Selector::default() };
                self.health.note(self.catalog.invalidate(Some(&self.scope), &removed));
                Looked::Miss(Miss::Unreadable, self.slot(key))
            }
        }
    }
}

const fn reason(why: Why) -> Miss {
    match why {
        Why::Absent => Miss::Absent,
        Why::Expired => Miss::Expired,
        Why::TooOld => Miss::TooOld,
        Why::Corrupt => Miss::Unreadable,
    }
}
