//! What may go: entries beyond the budget, and bytes that nothing needs.
//!
//! [`plan`] chooses entries; [`collect`] removes them and then deletes blobs in the only order
//! that is safe beside readers and writers: an entry goes before its blobs are condemned, the
//! bytes of a blob go after it was condemned, and its row goes last. A crash between any two
//! steps leaves bytes that the next collection finds, never an entry without its bytes.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use thrifty_catalog::{BlobRef, Catalog, CatalogError, Entry, EntryId, Scope, Selector, Time};
use thrifty_key::Key;
use thrifty_store::{BlobName, Blobs, GetError, RemoveError};

/// How long bytes that nothing needs are kept. Longer than any upload, and than the time from a
/// lookup to the opening of the bytes.
pub const GRACE: Duration = Duration::from_secs(60 * 60);

/// How long leftovers of interrupted writers, and corrupt blobs that were set aside, are kept.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The time after which the worth of an unused entry has halved.
const HALF_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Entries read or removed in one request.
const BATCH: usize = 500;

/// Which entries must go, besides those past their expiry. A field that is `None` asks nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Goal {
    /// The bytes that may stay, over all projects.
    pub budget: Option<u64>,
    /// The age, since they were committed, beyond which entries go.
    pub older_than: Option<Duration>,
    /// The time without a use beyond which entries go.
    pub unused_for: Option<Duration>,
}

/// An entry that is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// The entry.
    pub id: EntryId,
    /// The key it answers.
    pub key: Key,
    /// Who shares it.
    pub scope: Scope,
    /// The operation.
    pub operation: String,
    /// Bytes of the record and its blobs.
    pub size: u64,
    /// How long computing it again takes.
    pub cost: Duration,
    /// When it was last used.
    pub used_at: Time,
    hits: u64,
    own: u64,
    blobs: Vec<BlobRef>,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Entries removed.
    pub entries: u64,
    /// Blobs deleted.
    pub blobs: u64,
    /// Bytes of the blobs deleted.
    pub bytes: u64,
    /// Interrupted writes and blobs set aside, deleted.
    pub leftovers: u64,
    /// Bytes that nothing needs and that stay until their time of grace is over.
    pub waiting: u64,
    /// What could not be deleted now, one line each. The next collection tries again.
    pub failures: Vec<String>,
}

/// A collection that could not go on. What was done until then is safe.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store cannot be listed.
    #[error(transparent)]
    Store(#[from] GetError),
}

/// The entries that must go to reach the goal: first those expired or beyond an age, then, while more bytes
/// are held than the budget allows, those that save the fewest seconds for each byte, counting
/// recent use more than old use. Bytes shared with an entry that stays are not counted as won.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be read.
pub fn plan(catalog: &dyn Catalog, goal: &Goal) -> Result<Vec<Victim>, CatalogError> {
    let Goal { budget, older_than, unused_for } = *goal;
    let now = catalog.now()?;
    let is_beyond =
        |since: Time, limit: Option<Duration>| limit.is_some_and(|limit| age(now, since) > limit);
    let mut victims = Vec::new();
    let mut others = Vec::new();
    each_entry(catalog, |entry| {
        let gone = is_beyond(entry.created_at, older_than)
            || is_beyond(entry.used_at, unused_for)
            || entry.expires_at.is_some_and(|expiry| expiry <= now);
        if gone { &mut victims } else { &mut others }.push(Victim::of(entry));
    })?;
    if let Some(budget) = budget {
        victims.extend(cheapest_beyond(others, budget, now));
    }
    Ok(victims)
}

/// Removes the entries, then the bytes that nothing needs any more: condemned blobs, blobs that
/// no row knows, and leftovers. `grace` protects what was used, or written, so recently that a
/// call may be about to refer to it; [`GRACE`] unless nobody else uses the cache. With `dry_run`
/// nothing changes, and the bytes of the entries that would go count as waiting.
///
/// # Errors
///
/// [`CollectError`] if the catalog or the store cannot be read. A blob that cannot be deleted
/// is no error but one of [`Collected::failures`].
pub fn collect(
    catalog: &dyn Catalog,
    blobs: &dyn Blobs,
    victims: &[Victim],
    grace: Duration,
    dry_run: bool,
) -> Result<Collected, CollectError> {
    // Listed before the catalog is asked: a blob committed in between is known by then.
    let orphans = orphans(catalog, blobs, grace)?;
    let mut collection = Collection { catalog, blobs, dry_run, done: Collected::default() };
    collection.remove_entries(victims)?;
    collection.delete_condemned(grace)?;
    for orphan in orphans {
        collection.delete(&orphan);
    }
    collection.delete_leftovers()?;
    collection.count_waiting(victims)?;
    if !dry_run && collection.done.entries > 0 {
        catalog.compact()?;
    }
    Ok(collection.done)
}

impl Victim {
    fn of(entry: Entry) -> Self {
        let shared: u64 = entry.blobs.iter().map(|blob| blob.length).sum();
        Self {
            id: entry.id,
            key: entry.key,
            scope: entry.scope,
            operation: entry.operation,
            size: entry.size,
            cost: entry.cost,
            used_at: entry.used_at,
            hits: entry.hits,
            own: entry.size.saturating_sub(shared),
            blobs: entry.blobs,
        }
    }

    /// Seconds saved for each byte, halved for every [`HALF_LIFE`] without a use.
    fn worth(&self, now: Time) -> f64 {
        let idle = age(now, self.used_at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        let uses = (self.hits + 1) as f64;
        self.cost.as_secs_f64() * uses / (self.size + 1) as f64 * 0.5_f64.powf(idle)
    }
}

fn age(now: Time, since: Time) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(since)).unwrap_or(0))
}

/// Visits all entries of all projects, without holding more than one batch.
fn each_entry(catalog: &dyn Catalog, mut visit: impl FnMut(Entry)) -> Result<(), CatalogError> {
    let mut selector = Selector::default();
    loop {
        let batch = catalog.entries(None, &selector, BATCH)?;
        let Some(oldest) = batch.iter().map(|entry| entry.id).min() else {
            return Ok(());
        };
        selector.before = Some(oldest);
        batch.into_iter().for_each(&mut visit);
    }
}

/// The entries of least worth, until the others fit the budget.
fn cheapest_beyond(mut entries: Vec<Victim>, budget: u64, now: Time) -> Vec<Victim> {
    let mut users: HashMap<BlobRef, u64> = HashMap::new();
    for blob in entries.iter().flat_map(|entry| &entry.blobs) {
        *users.entry(*blob).or_default() += 1;
    }
    let shared: u64 = users.keys().map(|blob| blob.length).sum();
    let mut held = shared + entries.iter().map(|entry| entry.own).sum::<u64>();
    entries.sort_by(|a, b| a.worth(now).total_cmp(&b.worth(now)).then(a.id.cmp(&b.id)));
    let stays = entries.iter().position(|entry| {
        if held <= budget {
            return true;
        }
        held -= entry.own;
        for blob in &entry.blobs {
            let left = users.entry(*blob).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                held -= blob.length;
            }
        }
        false
    });
    entries.truncate(stays.unwrap_or(entries.len()));
    entries
}

/// Blobs in the store that no row knows and that were written before the time of grace.
fn orphans(
    catalog: &dyn Catalog,
    blobs: &dyn Blobs,
    grace: Duration,
) -> Result<Vec<BlobName>, CollectError> {
    let now = SystemTime::now();
    let mut old = Vec::new();
    for listed in blobs.list()? {
        // One that cannot be looked at now is left for the next collection.
        let Ok(listed) = listed else { continue };
        if now.duration_since(listed.modified).is_ok_and(|age| age >= grace) {
            old.push(listed.name);
        }
    }
    let known: HashSet<_> =
        catalog.blobs()?.iter().map(|blob| (blob.digest, blob.generation)).collect();
    old.retain(|name| !known.contains(&(name.digest, name.generation)));
    Ok(old)
}

/// A collection under way.
struct Collection<'a> {
    catalog: &'a dyn Catalog,
    blobs: &'a dyn Blobs,
    dry_run: bool,
    done: Collected,
}

impl Collection<'_> {
    fn remove_entries(&mut self, victims: &[Victim]) -> Result<(), CatalogError> {
        if self.dry_run {
            self.done.entries = victims.len() as u64;
            return Ok(());
        }
        for batch in victims.chunks(BATCH) {
            let ids = Some(batch.iter().map(|victim| victim.id).collect());
            let selector = Selector { ids, ..Selector::default() };
            self.done.entries += self.catalog.invalidate(None, &selector)?.entries;
        }
        Ok(())
    }

    fn delete_condemned(&mut self, grace: Duration) -> Result<(), CatalogError> {
        let condemned = self.catalog.condemn(grace, self.dry_run)?;
        for batch in condemned.chunks(BATCH) {
            let deleted: Vec<BlobRef> =
                batch.iter().copied().filter(|blob| self.delete(&name_of(blob))).collect();
            if !self.dry_run {
                self.catalog.forget(&deleted)?;
            }
        }
        Ok(())
    }

    /// Whether the blob is gone.
    fn delete(&mut self, name: &BlobName) -> bool {
        let deleted = if self.dry_run { Ok(()) } else { self.blobs.delete(name) };
        if self.succeeded(deleted) {
            self.done.blobs += 1;
            self.done.bytes += name.length;
            return true;
        }
        false
    }

    fn delete_leftovers(&mut self) -> Result<(), GetError> {
        let leftovers: Vec<PathBuf> = self.blobs.leftovers(LEFTOVER_AGE)?;
        for path in leftovers {
            let removed = if self.dry_run { Ok(()) } else { self.blobs.remove_leftover(&path) };
            self.done.leftovers += u64::from(self.succeeded(removed));
        }
        Ok(())
    }

    fn succeeded(&mut self, result: Result<(), RemoveError>) -> bool {
        if let Err(error) = &result {
            self.done.failures.push(error.to_string());
        }
        result.is_ok()
    }

    /// Counts what no entry needs and what still stands in the catalog.
    fn count_waiting(&mut self, victims: &[Victim]) -> Result<(), CatalogError> {
        let gone: HashSet<EntryId> = victims.iter().map(|victim| victim.id).collect();
        let mut needed: HashSet<BlobRef> = HashSet::new();
        each_entry(self.catalog, |entry| {
            if !gone.contains(&entry.id) {
                needed.extend(entry.blobs);
            }
        })?;
        let known = self.catalog.blobs()?;
        let unneeded = known.iter().filter(|blob| !needed.contains(blob));
        let bytes: u64 = unneeded.map(|blob| blob.length).sum();
        let deleted = if self.dry_run { self.done.bytes } else { 0 };
        self.done.waiting = bytes.saturating_sub(deleted);
        Ok(())
    }
}

/// The name in the store of a blob in the catalog.
pub(crate) const fn name_of(blob: &BlobRef) -> BlobName {
    BlobName { digest: blob.digest, generation: blob.generation, length: blob.length }
}
