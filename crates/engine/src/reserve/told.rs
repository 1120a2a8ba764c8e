//! What the catalog is told of waits: which reservations of this process they hold up.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use thrifty_catalog::{Catalog, CatalogError, Scope, Standing};
use thrifty_key::Key;

use super::repeated;
use crate::cache::Cache;

/// By the key that is waited for and the reservation that is held up by that. All waits of this
/// process that hold it up have one row of the catalog, which goes with the last of them: were
/// it gone before, a circle through it would be seen by nobody else.
pub(crate) type Rows = Arc<Mutex<BTreeMap<(Key, u128), Row>>>;

/// A row of the catalog, and who of this process stands behind it.
#[derive(Default)]
pub(crate) struct Row {
    waits: usize,
    is_there: bool,
}

/// What was told of one wait. Dropping it takes that back.
pub(super) struct Told {
    catalog: Arc<dyn Catalog>,
    rows: Rows,
    scope: Scope,
    key: Key,
    owner: u32,
    holding: Vec<u128>,
}

impl Told {
    /// Nothing yet, of a wait for this key.
    pub(super) fn nothing(cache: &Cache, key: Key) -> Self {
        Self {
            catalog: Arc::clone(&cache.catalog),
            rows: Arc::clone(&cache.rows),
            scope: cache.scope.clone(),
            key,
            owner: std::process::id(),
            holding: Vec::new(),
        }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The reservations that are held up, as far as it was said.
    pub(super) fn holding(&self) -> &[u128] {
        &self.holding
    }

    /// Whether the catalog knows that this wait holds up these, and no others.
    pub(super) fn is_told(&self, holding: &[u128]) -> bool {
        let rows = self.rows.lock();
        let is_there = |nonce: &u128| rows.get(&(self.key, *nonce)).is_some_and(|row| row.is_there);
        self.holding == holding && holding.iter().all(is_there)
    }

    /// From now on this wait holds up these.
    pub(super) fn count(&mut self, holding: Vec<u128>) {
        let before = std::mem::replace(&mut self.holding, holding);
        let mut rows = self.rows.lock();
        let new = self.holding.iter().filter(|nonce| !before.contains(nonce));
        new.for_each(|nonce| rows.entry((self.key, *nonce)).or_default().waits += 1);
        drop(rows);
        let over = before.into_iter().filter(|nonce| !self.holding.contains(nonce));
        self.stop(over.collect());
    }

    /// Tells the catalog what this wait holds up.
    pub(super) fn tell(&self) -> Result<Standing, CatalogError> {
        self.catalog.wait_for(&self.scope, &self.key, &self.holding)
    }

    /// The catalog has rows of what is held up, or none.
    pub(super) fn mark(&self, is_there: bool) {
        let mut rows = self.rows.lock();
        for nonce in &self.holding {
            rows.entry((self.key, *nonce)).or_default().is_there = is_there;
        }
    }

    /// Takes back what only this wait stood behind: a row that stays would show others a circle
    /// that there is not.
    fn stop(&self, mut over: Vec<u128>) {
        over.retain(|nonce| self.was_the_last(*nonce));
        if over.is_empty() {
            return;
        }
        // What stays there ends with the reservations.
        _ = repeated(|| self.catalog.stop_waiting(&self.scope, &self.key, &over));
        // Another wait that told the same meanwhile tells it once more.
        let mut rows = self.rows.lock();
        for nonce in over {
            rows.entry((self.key, nonce)).and_modify(|row| row.is_there = false);
        }
    }

    fn was_the_last(&self, nonce: u128) -> bool {
        let mut rows = self.rows.lock();
        let Some(row) = rows.get_mut(&(self.key, nonce)) else { return false };
        row.waits -= 1;
        let was_the_last = row.waits == 0;
        if was_the_last {
            rows.remove(&(self.key, nonce));
        }
        was_the_last
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // What a forked child has of it belongs to its parent.
        if self.owner == std::process::id() {
            self.count(Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use thrifty_catalog::{Ended, Holder, Reserved};
    use thrifty_key::Digest;

    use super::*;

    const MINE: u128 = 7;
    const FOREIGN: u128 = 8;

    fn key(name: &str) -> Key {
        Digest::of_blob(name.as_bytes())
    }

    fn reserve(cache: &Cache, name: &str, nonce: u128) -> thrifty_catalog::Claim {
        let holder = Holder {
            nonce,
            operation: name.to_owned(),
            host: String::new(),
            process: String::new(),
        };
        let lease = Duration::from_secs(60);
        match cache.catalog.reserve(&cache.scope, &key(name), &holder, lease) {
            Ok(Reserved::Taken(claim)) => claim,
            other => panic!("{other:?}"),
        }
    }

    /// A wait for `theirs` that holds up `mine`.
    fn wait(cache: &Cache) -> Told {
        let mut told = Told::nothing(cache, key("theirs"));
        told.count(vec![MINE]);
        let standing = told.tell().unwrap();
        told.mark(standing.held.is_some());
        told
    }

    /// How many rows there are of waits for `theirs`.
    fn rows(cache: &Cache) -> u64 {
        let reservations = cache.catalog.reservations(None).unwrap();
        reservations.iter().find(|it| it.key == key("theirs")).map_or(0, |it| it.waiting)
    }

    #[test]
    fn a_row_stays_until_the_last_wait_behind_it_ends() {
        let cache = Cache::in_memory().unwrap();
        reserve(&cache, "mine", MINE);
        reserve(&cache, "theirs", FOREIGN);
        let (first, second) = (wait(&cache), wait(&cache));
        assert_eq!(rows(&cache), 1);
        drop(first);
        assert_eq!(rows(&cache), 1);
        assert!(second.is_told(&[MINE]));
        drop(second);
        assert_eq!(rows(&cache), 0);
        assert!(cache.rows.lock().is_empty());
    }

    #[test]
    fn what_another_wait_took_away_is_told_again() {
        let cache = Cache::in_memory().unwrap();
        reserve(&cache, "mine", MINE);
        let claim = reserve(&cache, "theirs", FOREIGN);
        let first = wait(&cache);
        cache.catalog.release(&cache.scope, &key("theirs"), &claim, Ended::Unused).unwrap();
        // It finds the key free.
        let second = wait(&cache);
        assert!(!first.is_told(&[MINE]) && !second.is_told(&[MINE]));
        reserve(&cache, "theirs", FOREIGN + 1);
        assert_eq!(rows(&cache), 0);
        let standing = first.tell().unwrap();
        first.mark(standing.held.is_some());
        assert_eq!(rows(&cache), 1);
        assert!(first.is_told(&[MINE]));
    }

    #[test]
    fn what_is_held_up_no_longer_is_taken_back() {
        let cache = Cache::in_memory().unwrap();
        reserve(&cache, "mine", MINE);
        reserve(&cache, "theirs", FOREIGN);
        let mut told = wait(&cache);
        assert!(!told.is_told(&[]));
        told.count(Vec::new());
        assert_eq!(rows(&cache), 0);
        assert!(told.is_told(&[]));
    }
}
