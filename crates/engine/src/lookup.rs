//! Looking up keys: memory first, then the catalog for the rest, many keys with one request.
//!
//! An answer whose body observed its surroundings is a hit only if all it observed still holds.
//! One that does not hold leads on: its key, its entry and what is there now give the key of a
//! *variant*, where the result for what is there now is looked up, and published if there is
//! none. So results for earlier states stay, and are hits again when their state comes back. A
//! variant has observations of its own, and may lead on in turn.
//!
//! Variants hang on the entry that led to them. When it is replaced or removed, nobody comes to
//! them any more; and they share half of its key, so that one prefix selects them all.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{EntryId, Found, Hit, Request, Selector, Slot, Why};
use thrifty_key::{Context, Digest, Hasher, Key};

use crate::answer::Answer;
use crate::cache::Cache;
use crate::epochs;
use crate::observed::{self, Change, Glance, Observation};
use crate::outcome::{Miss, Outcome};

/// How many answers a lookup follows that do not hold. A body that never observes the same
/// places twice would make it as long as its history; then the first answer is replaced.
const STEPS: usize = 8;
/// How many earlier results are compared to tell what changed.
const COMPARED: usize = 32;
/// Keys in one request. Each request has its own time: were there one for all of a wave, a slow
/// cache would answer none of them.
const TOGETHER: usize = 256;
/// Bytes of a key that its variants share.
const SHARED: usize = 16;

/// What a lookup gave.
#[derive(Debug, Clone)]
pub enum Looked {
    /// An answer, and from where.
    Hit(Arc<Answer>, Outcome),
    /// None; with the place to publish to, unless the catalog did not answer.
    Miss(Miss, Option<Target>),
}

/// Where the result of a computation is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The key that was looked up, or a variant of it.
    pub(crate) key: Key,
    pub(crate) slot: Slot,
    /// How many commits there were before the lookup that found nothing.
    pub(crate) commits: u64,
    /// How many turns there were before it: what was invalidated since moved them.
    pub(crate) turns: u64,
}

/// The way of one request from answer to answer.
struct Trail {
    asked: Key,
    next: Request,
    steps: usize,
    /// Why the first answer did not hold.
    change: Option<Change>,
    end: Option<Looked>,
}

impl Cache {
    /// Looks up one key.
    pub fn look(&self, key: &Key, max_age: Option<Duration>) -> Looked {
        self.look_here(key, max_age)
            .unwrap_or_else(|| first(self.look_all(&[Request { key: *key, max_age }])))
    }

    /// A hit that takes nothing but the memory of this process, which waits for nobody.
    pub fn look_here(&self, key: &Key, max_age: Option<Duration>) -> Option<Looked> {
        let answer = self.remembered(key, max_age).filter(|it| it.observed.is_empty())?;
        Some(Looked::Hit(answer, Outcome::HitMemory))
    }

    /// Looks up many keys with few requests, and some more for each time that some of them lead on.
    pub fn look_all(&self, requests: &[Request]) -> Vec<Looked> {
        let surroundings = self.surroundings();
        let mut glance = Glance::new(&surroundings);
        let mut looked = self.search(requests, &mut glance, true);
        for (request, looked) in requests.iter().zip(&mut looked) {
            if let Looked::Miss(Miss::Observed(change), _) = looked {
                self.name_change(&request.key, change, &mut glance);
            }
        }
        looked
    }

    /// Looks up one key in the catalog, whatever memory says.
    pub(crate) fn look_again(&self, key: &Key, max_age: Option<Duration>) -> Looked {
        let surroundings = self.surroundings();
        let request = Request { key: *key, max_age };
        first(self.search(&[request], &mut Glance::new(&surroundings), false))
    }

    /// Where a key is committed that is computed without being looked up; `None` if the catalog
    /// does not answer.
    pub fn slot(&self, key: &Key) -> Option<Target> {
        if !self.health.may_ask() {
            return None;
        }
        let (commits, turns) = (self.catalog.commits(), self.catalog.turns());
        let slot = self.health.note(self.catalog.slot(&self.scope, key))?;
        epochs::saw(slot.epoch);
        Some(Target { key: *key, slot, commits, turns })
    }

    /// Whether all that was observed still holds.
    pub(crate) fn holds(&self, observed: &[Observation]) -> bool {
        observed.is_empty() || Glance::new(&self.surroundings()).first_change(observed).is_none()
    }

    fn search(
        &self,
        requests: &[Request],
        glance: &mut Glance<'_>,
        remembers: bool,
    ) -> Vec<Looked> {
        let mut trails: Vec<_> = requests.iter().map(Trail::new).collect();
        loop {
            let open: Vec<_> = trails.iter_mut().filter(|trail| trail.end.is_none()).collect();
            if open.is_empty() {
                break;
            }
            let next: Vec<_> = open.iter().map(|trail| trail.next).collect();
            let found = if remembers { self.find_all(&next) } else { self.ask(&next) };
            for (trail, found) in open.into_iter().zip(found) {
                self.follow(trail, found, glance);
            }
        }
        let unavailable = Looked::Miss(Miss::Unavailable, None);
        trails.into_iter().map(|trail| trail.end.unwrap_or_else(|| unavailable.clone())).collect()
    }

    /// Ends a trail with what was found on it, or leads it on.
    fn follow(&self, trail: &mut Trail, found: Looked, glance: &mut Glance<'_>) {
        let (answer, outcome) = match (found, trail.change.take()) {
            (Looked::Hit(answer, outcome), change) => {
                trail.change = change;
                (answer, outcome)
            }
            (Looked::Miss(Miss::Absent, target), Some(change)) => {
                trail.end = Some(Looked::Miss(Miss::Observed(Box::new(change)), target));
                return;
            }
            (miss, _) => {
                trail.end = Some(miss);
                return;
            }
        };
        let Some(change) = glance.first_change(&answer.observed) else {
            trail.end = Some(Looked::Hit(answer, outcome));
            return;
        };
        let change = trail.change.get_or_insert(change).clone();
        match trail.variant(&answer, glance) {
            Some(key) => {
                trail.next.key = key;
                trail.steps += 1;
            }
            None => {
                let target = self.slot(&trail.asked);
                trail.end = Some(Looked::Miss(Miss::Observed(Box::new(change)), target));
            }
        }
    }

    /// Looks up keys in memory, and those that are not there in the catalog.
    fn find_all(&self, requests: &[Request]) -> Vec<Looked> {
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

    fn remembered(&self, key: &Key, max_age: Option<Duration>) -> Option<Arc<Answer>> {
        // The catalog's clock is asked only where time matters.
        self.memory.get(key, self.catalog.changes(), |answer| {
            (max_age.is_none() && answer.expires_at.is_none())
                || self.catalog.now().is_ok_and(|now| answer.is_valid(now, max_age))
        })
    }

    fn ask(&self, requests: &[Request]) -> Vec<Looked> {
        requests.chunks(TOGETHER).flat_map(|some| self.ask_together(some)).collect()
    }

    fn ask_together(&self, requests: &[Request]) -> Vec<Looked> {
        // Read before the request, so that an answer overtaken by a removal is never kept, and
        // no commit goes unnoticed.
        let (changes, commits) = (self.catalog.changes(), self.catalog.commits());
        let turns = self.catalog.turns();
        let found = if self.health.may_ask() {
            self.health.note(self.catalog.lookup(&self.scope, requests))
        } else {
            None
        };
        let Some(found) = found else {
            return vec![Looked::Miss(Miss::Unavailable, None); requests.len()];
        };
        let read = |(request, found): (&Request, Found)| match found {
            Found::Hit(hit) => self.read(&request.key, hit, changes),
            Found::Miss(slot, why) => {
                epochs::saw(slot.epoch);
                let target = Target { key: request.key, slot, commits, turns };
                Ok(Looked::Miss(reason(why), Some(target)))
            }
        };
        let looked: Vec<_> = requests.iter().zip(found).map(read).collect();
        let unreadable: Vec<_> =
            looked.iter().filter_map(|it| it.as_ref().err().copied()).collect();
        self.remove_all(&unreadable);
        // A slot is asked for after the removal, which takes it from whoever had it before.
        let unread = |key: &Key| Looked::Miss(Miss::Unreadable, self.slot(key));
        let both = requests.iter().zip(looked);
        both.map(|(request, it)| it.unwrap_or_else(|_| unread(&request.key))).collect()
    }

    /// An answer; the entry as an error if it cannot be read.
    fn read(&self, key: &Key, hit: Hit, changes: u64) -> Result<Looked, EntryId> {
        let entry = hit.entry;
        let answer = Arc::new(Answer::from_hit(hit).map_err(|_| entry)?);
        self.memory.put(*key, Arc::clone(&answer), changes);
        Ok(Looked::Hit(answer, Outcome::HitLocal))
    }

    /// Names what changed since the nearest result there is for the key. The first answer of a
    /// trail alone would name what changed long ago; it stands where the nearest is not found in time.
    fn name_change(&self, key: &Key, change: &mut Change, glance: &mut Glance<'_>) {
        let shared: String =
            key.as_bytes()[..SHARED].iter().map(|byte| format!("{byte:02x}")).collect();
        let selector = Selector { key_prefix: Some(shared), ..Selector::default() };
        if !self.health.may_ask() {
            return;
        }
        let entries = self.catalog.entries_in_time(Some(&self.scope), &selector, COMPARED);
        let entries = self.health.note(entries);
        let changes = entries.unwrap_or_default().into_iter().filter_map(|entry| {
            let observed = observed::decode(&entry.observed).ok()?;
            Some(glance.changes(&observed)).filter(|changes| !changes.is_empty())
        });
        if let Some(nearest) = changes.min_by_key(Vec::len)
            && let Some(first) = nearest.into_iter().next()
        {
            *change = first;
        }
    }
}

impl Trail {
    const fn new(request: &Request) -> Self {
        Self { asked: request.key, next: *request, steps: 0, change: None, end: None }
    }

    /// The key that an answer which does not hold leads to, given what is there now; `None` if
    /// that cannot be told, or the trail is too long.
    fn variant(&self, answer: &Answer, glance: &mut Glance<'_>) -> Option<Key> {
        let now = glance.again(&answer.observed).filter(|_| self.steps < STEPS)?;
        variant(&self.next.key, answer.entry?, &observed::encode(&now).ok()?)
    }
}

/// The key of the result of `key` for what is there now, as its entry's observations tell it.
fn variant(key: &Key, entry: EntryId, now: &[u8]) -> Option<Key> {
    let mut hasher = Hasher::new(Context::Key);
    hasher.framed(b"thrifty variant 1").digest(key).raw(&entry.0.to_le_bytes()).framed(now);
    let mut bytes = *key.as_bytes();
    let own = bytes.get_mut(SHARED..)?;
    own.copy_from_slice(hasher.finish().as_bytes().get(SHARED..)?);
    Some(Digest::from_bytes(bytes))
}

/// The prefix of keys that selects what this one does, and all variants of it: a whole key
/// alone would leave those behind.
pub fn with_variants(prefix: &str) -> &str {
    prefix.get(..2 * SHARED).unwrap_or(prefix)
}

fn first(looked: Vec<Looked>) -> Looked {
    looked.into_iter().next().unwrap_or(Looked::Miss(Miss::Unavailable, None))
}

const fn reason(why: Why) -> Miss {
    match why {
        Why::Absent => Miss::Absent,
        Why::Expired => Miss::Expired,
        Why::TooOld => Miss::TooOld,
        Why::Corrupt => Miss::Unreadable,
    }
}
