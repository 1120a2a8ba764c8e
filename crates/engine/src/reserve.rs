//! One leader per key across processes.
//!
//! A reservation saves work; it protects nothing. What protects the data is the fence that the
//! commit checks. Heartbeats come from a thread of their own that needs nothing of the body.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{Catalog, Claim, Reserved, Scope};
use thrifty_key::Key;

use crate::answer::Answer;
use crate::cache::Cache;
use crate::lookup::Looked;
use crate::policy::Policy;
use crate::timer::Beating;

/// How long a reservation outlives the last heartbeat of its holder.
const LEASE: Duration = Duration::from_secs(10);
/// How often a holder says that it is alive; at most a third of the lease.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often waiters ask whether to give up.
const INTERRUPT: Duration = Duration::from_millis(100);

/// What became of waiting for one's turn.
pub(crate) enum Turn {
    /// Compute.
    Mine(Reservation),
    /// Another process computed it.
    Answered(Arc<Answer>),
    /// The catalog does not answer: compute without a reservation.
    Unserialised,
    /// The caller gave up.
    Interrupted,
}

impl Cache {
    /// Waits until this process may compute the result of `key` that is published as `goal`, or
    /// somebody else has.
    pub(crate) fn take_turn(
        &self,
        key: &Key,
        goal: &Key,
        policy: &Policy,
        interrupted: &dyn Fn() -> bool,
    ) -> Turn {
        let nonce = rand_nonce();
        loop {
            let seen = self.catalog.turns();
            if self.health.may_write().is_err() {
                return Turn::Unserialised;
            }
            let reserved = self.catalog.reserve(&self.scope, goal, nonce, LEASE);
            let taken = match self.health.note_write(reserved) {
                Some(Reserved::Taken(claim)) => Some(claim),
                Some(Reserved::Held(_)) => None,
                None => return Turn::Unserialised,
            };
            // Whether taken or held: the answer may have come before.
            let looked = policy.mode.reads().then(|| self.look_again(key, policy.max_age));
            if let Some(Looked::Hit(answer, _)) = looked {
                if let Some(claim) = taken {
                    self.health.note_write(self.catalog.release(&self.scope, goal, &claim));
                }
                return Turn::Answered(answer);
            }
            if let Some(claim) = taken {
                return Turn::Mine(Reservation::hold(self, *goal, claim));
            }
            if interrupted() {
                return Turn::Interrupted;
            }
            self.catalog.await_turn(seen, INTERRUPT);
        }
    }
}

/// A reservation that is kept alive until it is dropped.
pub(crate) struct Reservation {
    catalog: Arc<dyn Catalog>,
    scope: Scope,
    key: Key,
    claim: Claim,
    owner: u32,
    heart: Option<Box<dyn Beating>>,
}

impl Reservation {
    fn hold(cache: &Cache, key: Key, claim: Claim) -> Self {
        let (catalog, scope) = (Arc::clone(&cache.catalog), cache.scope.clone());
        // A lost reservation is noticed by the commit; the computation goes on.
        let beat = move || !matches!(catalog.heartbeat(&scope, &key, &claim, LEASE), Ok(false));
        Self {
            catalog: Arc::clone(&cache.catalog),
            scope: cache.scope.clone(),
            key,
            claim,
            owner: std::process::id(),
            heart: Some(cache.timer.every(HEARTBEAT, Box::new(beat))),
        }
    }

    pub(crate) const fn claim(&self) -> Claim {
        self.claim
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        drop(self.heart.take());
        // A forked child holds a copy of what belongs to its parent.
        if self.owner != std::process::id() {
            return;
        }
        // Best effort: the lease ends by itself.
        _ = self.catalog.release(&self.scope, &self.key, &self.claim);
    }
}

/// 128 random bits: the identity of a holder, which no other process or host can share.
fn rand_nonce() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    let word = |salt: u64| u128::from(RandomState::new().hash_one(salt));
    word(std::process::id().into()) << 64 | word(0)
}
