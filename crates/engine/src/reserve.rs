//! One leader per key across processes.
//!
//! A reservation saves work; it protects nothing. What protects the data is the fence that the
//! commit checks. Heartbeats come from a thread of their own that needs nothing of the body.
//!
//! Who waits writes nothing: it looks at the slot when something was committed or given back, and
//! when the lease has passed. It asks for the slot only when that looks free.

mod held;
mod told;

use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use thrifty_catalog::{
    Catalog, CatalogError, Claim, Ended, Held, Holder, LONGEST_LEASE, Reserved, Scope, Standing,
};
use thrifty_key::Key;

pub(crate) use self::held::Reservations;
pub(crate) use self::told::Rows;
use self::told::Told;
use crate::answer::{Answer, Terms};
use crate::cache::Cache;
use crate::compute::Task;
use crate::flight::{Landing, Lineage};
use crate::graph::Failure;
use crate::lookup::Looked;
use crate::made_of::Parts;
use crate::outcome::Miss;
use crate::policy::OnFailure;
use crate::process;

/// How often waiters ask whether to give up.
const INTERRUPT: Duration = Duration::from_millis(100);
/// How long waiters leave the catalog alone after a look, whatever others commit meanwhile.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a call is made whose outcome stays unknown.
const ATTEMPTS: u32 = 3;
/// The longest message that waiters share, in characters.
const MESSAGE: usize = 2_000;

/// How long a reservation outlives the last heartbeat of its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease(Duration);

impl Lease {
    /// A lease of a second to a minute.
    pub fn new(length: Duration) -> Option<Self> {
        (Duration::from_secs(1)..=LONGEST_LEASE).contains(&length).then_some(Self(length))
    }

    /// How long it is.
    pub const fn length(self) -> Duration {
        self.0
    }

    /// How often its holder says that it is alive: two beats may fail, each within this time, and
    /// it still holds.
    pub fn heartbeat(self) -> Duration {
        self.0 / 4
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

/// What somebody waits to compute, or for somebody else to compute.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The call.
    pub task: &'a Task<'a>,
    /// Its key.
    pub key: &'a Key,
    /// The key that the result is published under.
    pub goal: &'a Key,
    /// Why the cache had no answer.
    pub miss: &'a Miss,
    /// How many commits there were before the last look that found nothing.
    pub commits: u64,
    /// The threads on whose behalf it waits.
    pub lineage: &'a Lineage,
}

/// What became of coming to one's turn.
pub(crate) enum Turn {
    /// Compute.
    Mine(Reservation),
    /// Compute without a reservation.
    Unserialised(Alone),
    /// Another process computed it, or failed to and shares that.
    Landed(Landing),
}

/// Why a computation did without the reservation that its policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// The catalog does not answer.
    Unavailable,
    /// Who holds the slot waits, through others, for this computation.
    Circle,
    /// The slot is held by a process that started this one, and may wait for it.
    Ancestor,
    /// The system does not say which processes started this one: any holder may be one of them.
    Unplaced,
    /// Holder after holder ended without a result.
    Failing,
    /// It waited for one whose result nobody else can have.
    Unshared,
}

impl Alone {
    /// What it says to people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unavailable => "the cache did not answer",
            Self::Circle => "the process that computes it waits for this one",
            Self::Ancestor => "a process that computes it started this one",
            Self::Unplaced => "the system does not say whether what computes it started this one",
            Self::Failing => "the last three that computed it ended without a result",
            Self::Unshared => "the one that computed it before could not share its result",
        }
    }
}

/// A wait for somebody else's reservation, until it is dropped.
pub(crate) struct Waiting {
    /// Whom it waits for.
    pub held: Held,
    /// The count of turns before the last look.
    pub seen: u64,
    /// When to look again at the latest, by the timer.
    pub look_at: Duration,
    not_before: Duration,
    commits: u64,
    trying: Trying,
}

/// What stays the same from attempt to attempt.
struct Trying {
    nonce: u128,
    lineage: Lineage,
    /// Those of this process, once asked for.
    ancestors: Option<Option<Vec<String>>>,
    told: Told,
}

impl Waiting {
    /// Whether it is worth another look.
    pub fn is_over(&self, cache: &Cache) -> bool {
        let now = cache.timer.now();
        if now < self.not_before {
            return false;
        }
        now >= self.look_at
            || cache.catalog.turns() != self.seen
            || cache.held_up(&self.trying.lineage) != self.trying.told.holding()
    }

    /// For how long it needs no look if nobody acts; a moment at most.
    pub fn rest(&self, cache: &Cache) -> Duration {
        let now = cache.timer.now();
        let is_news = now < self.not_before && cache.catalog.turns() != self.seen;
        let until = if is_news { self.not_before } else { self.look_at };
        until.saturating_sub(now).min(INTERRUPT)
    }

    /// Sleeps until it may be over, for a moment at most.
    pub fn pause(&self, cache: &Cache) {
        let now = cache.timer.now();
        let rest = self.not_before.saturating_sub(now);
        if rest.is_zero() {
            let left = self.look_at.saturating_sub(now);
            cache.catalog.await_turn(self.seen, left.min(INTERRUPT));
        } else {
            cache.catalog.await_turn(cache.catalog.turns(), rest);
        }
    }
}

impl Cache {
    /// Waits until this process may compute, or somebody else has; `None` if the caller gave up.
    pub(crate) fn take_turn(&self, wanted: &Wanted<'_>) -> Option<Turn> {
        let mut waiting = None;
        loop {
            let held = match self.try_turn(wanted, waiting.take()) {
                Ok(turn) => return Some(turn),
                Err(held) => held,
            };
            while !held.is_over(self) {
                if (wanted.task.interrupted)() {
                    return None;
                }
                held.pause(self);
            }
            waiting = Some(held);
        }
    }

    /// Tries once to come to one's turn, without waiting. An error if somebody else has it: to be
    /// tried again when that [is over](Waiting::is_over). Every attempt but the first is given
    /// what the one before it gave. A reservation belongs to the thread that is given it.
    pub(crate) fn try_turn(
        &self,
        wanted: &Wanted<'_>,
        waiting: Option<Box<Waiting>>,
    ) -> Result<Turn, Box<Waiting>> {
        let (mut trying, waited, mut commits) = match waiting {
            Some(waiting) => {
                let Waiting { held, commits, trying, .. } = *waiting;
                (trying, Some(held.fence), commits)
            }
            None => (self.begin_trying(wanted), None, wanted.commits),
        };
        for _ in 0..ATTEMPTS {
            let seen = self.catalog.turns();
            let Some(standing) = self.stand(&mut trying) else { break };
            if let Some(failure) = shared_failure(wanted.task, &standing, waited) {
                return Ok(Turn::Landed(Landing::Failure(failure)));
            }
            // Read before the look, so that no commit goes unnoticed.
            let now = self.catalog.commits();
            if std::mem::replace(&mut commits, now) != now
                && let Some(answer) = self.found_meanwhile(wanted)
            {
                return Ok(Turn::Landed(Landing::Answer(answer)));
            }
            if let Some(held) = standing.held {
                return match trying.closes(&held, &standing.beyond) {
                    Some(why) => Ok(Turn::Unserialised(why)),
                    None => Err(self.wait_on(held, seen, commits, trying)),
                };
            }
            // If somebody else is faster, once more.
            if let Some(turn) = self.ask_for_turn(wanted, commits, &trying) {
                return Ok(turn);
            }
        }
        Ok(Turn::Unserialised(Alone::Unavailable))
    }

    fn begin_trying(&self, wanted: &Wanted<'_>) -> Trying {
        let told = Told::nothing(self, *wanted.goal);
        let lineage = Lineage::clone(wanted.lineage);
        Trying { nonce: nonce(), lineage, ancestors: None, told }
    }

    /// Looks at the slot, and tells whom this wait holds up, if there is news about that.
    fn stand(&self, trying: &mut Trying) -> Option<Standing> {
        self.health.begin();
        let found = repeated(|| self.catalog.standing(&self.scope, trying.told.key()));
        // A slot that cannot be read says nothing about entries: hits go on.
        let found = found.inspect_err(|error| self.health.failed_to_write(error)).ok()?;
        let holding = self.held_up(&trying.lineage);
        if found.held.is_none() || trying.told.is_told(&holding) {
            return Some(found);
        }
        trying.told.count(holding);
        let standing = repeated(|| trying.told.tell());
        // Of a slot that came free meanwhile nothing was told; somebody else may be faster.
        let is_told = standing.as_ref().is_ok_and(|standing| standing.held.is_some());
        trying.told.mark(is_told);
        self.health.note_write(standing)
    }

    fn found_meanwhile(&self, wanted: &Wanted<'_>) -> Option<Arc<Answer>> {
        if !wanted.task.policy.mode.reads() {
            return None;
        }
        match self.look_again(wanted.key, wanted.task.policy.max_age) {
            Looked::Hit(answer, _) => Some(answer),
            Looked::Miss(..) => None,
        }
    }

    fn wait_on(&self, held: Held, seen: u64, commits: u64, trying: Trying) -> Box<Waiting> {
        let now = self.timer.now();
        let (look_at, not_before) = (now + held.left, now + PAUSE);
        Box::new(Waiting { held, seen, look_at, not_before, commits, trying })
    }

    /// Asks for a slot that looks free; `None` if somebody else was faster.
    fn ask_for_turn(&self, wanted: &Wanted<'_>, commits: u64, trying: &Trying) -> Option<Turn> {
        let holder = Holder {
            nonce: trying.nonce,
            operation: wanted.task.operation.name().to_owned(),
            host: self.host.clone(),
            process: process::own_identity(),
        };
        // Asked right before the write: whoever is let through to try must try.
        if self.health.may_write().is_err() {
            return Some(Turn::Unserialised(Alone::Unavailable));
        }
        let (goal, lease) = (wanted.goal, self.lease().length());
        let reserved = repeated(|| self.catalog.reserve(&self.scope, goal, &holder, lease));
        match self.health.note_write(reserved) {
            Some(Reserved::Taken(claim)) => {
                let reservation = Reservation::hold(self, *goal, claim);
                // The answer may have come between the look at it and this; its commit is counted
                // only after it gave the slot back. An entry that could not be loaded, and perhaps
                // not be removed, is no answer unless something was committed since.
                let may_look = !matches!(wanted.miss, Miss::Unavailable | Miss::Unreadable)
                    || self.catalog.commits() != commits;
                Some(match may_look.then(|| self.found_meanwhile(wanted)).flatten() {
                    Some(answer) => {
                        reservation.end(Ended::Unused);
                        Turn::Landed(Landing::Answer(answer))
                    }
                    None => Turn::Mine(reservation),
                })
            }
            Some(Reserved::Held(_)) => None,
            Some(Reserved::Unserialised(_)) => Some(Turn::Unserialised(Alone::Failing)),
            None => Some(Turn::Unserialised(Alone::Unavailable)),
        }
    }

    /// The reservations of this process that end only after the last thread of a lineage goes on,
    /// in ascending order.
    fn held_up(&self, lineage: &[ThreadId]) -> Vec<u128> {
        self.reservations.held_by(|| self.flights.held_up(lineage))
    }
}

impl Trying {
    /// Why waiting for these would never end, if it would not.
    fn closes(&mut self, held: &Held, beyond: &[Holder]) -> Option<Alone> {
        let mut holders = std::iter::once(&held.holder).chain(beyond);
        if holders.clone().any(|holder| self.told.holding().contains(&holder.nonce)) {
            return Some(Alone::Circle);
        }
        let Some(ancestors) = self.ancestors.get_or_insert_with(process::ancestors) else {
            return Some(Alone::Unplaced);
        };
        holders.any(|holder| ancestors.contains(&holder.process)).then_some(Alone::Ancestor)
    }
}

/// The failure of the very reservation that was waited for, if it is shared.
fn shared_failure(task: &Task<'_>, standing: &Standing, waited: Option<i64>) -> Option<Failure> {
    let (fence, message) = standing.failure.as_ref()?;
    let shares = task.policy.on_failure == OnFailure::Share && waited == Some(*fence);
    // Of a failure there is no entry, which would tell what it was made of.
    let made_of = Parts::unknown().shared();
    let terms = Terms { made_of, ..Terms::default() };
    shares.then(|| Failure::raised(message.clone(), Arc::new(())).on(terms))
}

/// A reservation that is kept alive until it is dropped. Unless it [ends](Reservation::end)
/// otherwise, there was no result.
pub(crate) struct Reservation {
    catalog: Arc<dyn Catalog>,
    all: Reservations,
    scope: Scope,
    key: Key,
    claim: Claim,
    owner: u32,
    /// Whether it is not to be given back: it was, or a commit ended it.
    is_over: bool,
}

impl Reservation {
    fn hold(cache: &Cache, key: Key, claim: Claim) -> Self {
        if let Some((_, nonce)) = claim.reservation {
            cache.reservations.add(cache, nonce, key, claim);
        }
        Self {
            catalog: Arc::clone(&cache.catalog),
            all: cache.reservations.clone(),
            scope: cache.scope.clone(),
            key,
            claim,
            owner: std::process::id(),
            is_over: false,
        }
    }

    pub(crate) const fn claim(&self) -> Claim {
        self.claim
    }

    /// A commit ended it.
    pub(crate) fn committed(mut self) {
        self.is_over = true;
    }

    /// Gives it back.
    pub(crate) fn end(mut self, ended: Ended<'_>) {
        self.give_back(ended);
    }

    /// Gives it back after a failure: with `shares`, for whoever waits for it to share.
    pub(crate) fn fail(self, failure: &Failure, shares: bool) {
        match failure {
            Failure::Raised { message, .. } if shares => {
                let end = message.char_indices().nth(MESSAGE).map_or(message.len(), |(at, _)| at);
                self.end(Ended::Shared(&message[..end]));
            }
            Failure::Raised { .. } => self.end(Ended::Failed),
            // Neither says anything about what was to be computed.
            Failure::Lost { .. } | Failure::Again { .. } | Failure::Cancelled => {
                self.end(Ended::Unused);
            }
        }
    }

    fn give_back(&mut self, ended: Ended<'_>) {
        // A forked child holds a copy of what belongs to its parent.
        if self.owner != std::process::id() {
            return;
        }
        if let Some((_, nonce)) = self.claim.reservation {
            self.all.remove(nonce);
        }
        if !std::mem::replace(&mut self.is_over, true) {
            // Best effort: the lease ends by itself.
            let release = || self.catalog.release(&self.scope, &self.key, &self.claim, ended);
            _ = repeated(release);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back(Ended::Failed);
    }
}

/// Makes a call once more whose outcome is unknown, and a few times at most. The catalog takes
/// the repetition for the same call.
pub(crate) fn repeated<T>(
    mut call: impl FnMut() -> Result<T, CatalogError>,
) -> Result<T, CatalogError> {
    for _ in 1..ATTEMPTS {
        match call() {
            Err(error) if !error.is_certain() => {}
            known => return known,
        }
    }
    call()
}

/// 128 random bits: the identity of a reservation or a commit, which no other process or host can
/// share.
pub(crate) fn nonce() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    // The kernel's generator: a child of a fork would repeat the numbers of its parent's, and
    // after a while there is another child of the same process number.
    let mut random = [0; size_of::<u128>()];
    if rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()) == Ok(16) {
        return u128::from_ne_bytes(random);
    }
    let word = |salt: u64| u128::from(RandomState::new().hash_one(salt));
    word(std::process::id().into()) << 64 | word(0)
}
