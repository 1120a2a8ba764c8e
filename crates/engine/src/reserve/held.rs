//! The reservations of this process, which one heartbeat prolongs.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::thread::ThreadId;

use parking_lot::Mutex;
use thrifty_catalog::Claim;
use thrifty_key::Key;

use crate::cache::Cache;
use crate::timer::Beating;

/// The reservations that this process holds through one cache, by their nonce.
#[derive(Clone, Default)]
pub(crate) struct Reservations(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    held: BTreeMap<u128, Held>,
    /// Prolongs them all in one call: one after the other, each would wait for its turn to write.
    /// There is one while any is held, in the process of this number.
    beat: Option<(u32, Box<dyn Beating>)>,
}

struct Held {
    /// Who computes.
    thread: ThreadId,
    key: Key,
    claim: Claim,
    /// Whether somebody else has it. The commit notices; the computation goes on.
    is_lost: bool,
}

impl Reservations {
    /// Keeps a reservation alive, which the current thread holds from now on.
    pub(super) fn add(&self, cache: &Cache, nonce: u128, key: Key, claim: Claim) {
        let thread = std::thread::current().id();
        let process = std::process::id();
        let mut all = self.0.lock();
        // A forked child keeps none of its parent's, and has nothing that beats.
        if all.beat.as_ref().is_some_and(|(of, _)| *of != process) {
            *all = All::default();
        }
        all.held.insert(nonce, Held { thread, key, claim, is_lost: false });
        if all.beat.is_some() {
            return;
        }
        drop(all);
        let beat = cache.timer.every(cache.lease().heartbeat(), self.beat(cache));
        let mut all = self.0.lock();
        // Another thread may have been as quick, or it may be given back already.
        let spare = match all.beat.is_some() || all.held.is_empty() {
            true => Some(beat),
            false => all.beat.replace((process, beat)).map(|(_, beat)| beat),
        };
        drop(all);
        drop(spare);
    }

    /// Keeps it alive no longer.
    pub(super) fn remove(&self, nonce: u128) {
        let mut all = self.0.lock();
        all.held.remove(&nonce);
        let ended = if all.held.is_empty() { all.beat.take() } else { None };
        drop(all);
        // This may wait for the thread of the heart.
        drop(ended);
    }

    /// Those that threads hold of which this is so.
    pub(super) fn held_by(&self, threads: impl FnOnce() -> HashSet<ThreadId>) -> Vec<u128> {
        let all = self.0.lock();
        if all.held.is_empty() {
            return Vec::new();
        }
        drop(all);
        let threads = threads();
        let all = self.0.lock();
        let of_these = all.held.iter().filter(|(_, held)| threads.contains(&held.thread));
        of_these.map(|(nonce, _)| *nonce).collect()
    }

    fn beat(&self, cache: &Cache) -> Box<dyn FnMut() -> bool + Send> {
        let (catalog, scope) = (Arc::clone(&cache.catalog), cache.scope.clone());
        let (reservations, lease) = (self.clone(), cache.lease().length());
        Box::new(move || {
            let held = reservations.0.lock().alive();
            let claims: Vec<_> = held.iter().map(|(_, held)| *held).collect();
            // One that fails is followed by the next.
            if !claims.is_empty()
                && let Ok(alive) = catalog.heartbeat(&scope, &claims, lease)
            {
                let lost = held.iter().zip(alive).filter(|(_, alive)| !alive);
                reservations.0.lock().lose(lost.map(|((nonce, _), _)| *nonce));
            }
            true
        })
    }
}

impl All {
    /// Those that are not lost, in the order of their keys: nonces have none.
    fn alive(&self) -> Vec<(u128, (Key, Claim))> {
        let alive = self.held.iter().filter(|(_, held)| !held.is_lost);
        let mut alive: Vec<_> =
            alive.map(|(nonce, held)| (*nonce, (held.key, held.claim))).collect();
        alive.sort_unstable_by_key(|(_, (key, _))| *key);
        alive
    }

    fn lose(&mut self, lost: impl Iterator<Item = u128>) {
        for nonce in lost {
            if let Some(held) = self.held.get_mut(&nonce) {
                held.is_lost = true;
            }
        }
    }
}
