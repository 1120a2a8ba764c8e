//! What may go: entries beyond the budget, and bytes that nothing needs.
//!
//! [`plan`] chooses entries; [`collect`] removes them and then deletes blobs.

mod collect;
mod placed;

use std::collections::HashMap;
use std::time::Duration;

use thrifty_catalog::{
    BlobRef, Catalog, CatalogError, Entry, EntryId, LONGEST_LEASE, Scope, Selector, Time,
};
use thrifty_key::Key;
use thrifty_store::BlobName;

pub use self::collect::{CollectError, Collected, Means, collect};

/// How long bytes that nothing needs are kept. Longer than any upload, and than the time from a
/// lookup to the opening of the bytes.
pub const GRACE: Duration = Duration::from_secs(60 * 60);
/// Whoever holds a reservation has time to be taken over, and once more, before a blob of his goes.
const _: () = assert!(GRACE.as_secs() > 2 * LONGEST_LEASE.as_secs());

/// How long the history of runs is kept.
pub const HISTORY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long leftovers of interrupted writers, corrupt blobs that were set aside, and files placed
/// for readers are kept.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The time after which the worth of an unused entry has halved.
const HALF_LIFE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Entries read or removed in one request.
const BATCH: usize = 500;

/// Which entries must go, besides those past their expiry. A field that is `None` asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goal {
    /// The bytes that may stay, over all projects.
    pub budget: Option<u64>,
    /// The bytes that may stay of one project.
    pub quota: Option<(String, u64)>,
    /// Only entries of this project go.
    pub only: Option<String>,
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
    chosen: Time,
    is_pinned: bool,
    hits: u64,
    own: u64,
    blobs: Vec<BlobRef>,
}

/// The entries that must go to reach the goal: first those expired or beyond an age, then, while
/// more bytes are held than the quota of the project or the budget allows, those that save the
/// fewest seconds for each byte, counting recent use more than old use. Bytes shared with an entry
/// that stays are not counted as won. Pinned entries stay.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be read.
pub fn plan(catalog: &dyn Catalog, goal: &Goal) -> Result<Vec<Victim>, CatalogError> {
    let Goal { budget, quota, only, older_than, unused_for } = goal;
    let now = catalog.now()?;
    let is_beyond =
        |since: Time, limit: &Option<Duration>| limit.is_some_and(|limit| age(now, since) > limit);
    let mut victims = Vec::new();
    let mut others = Vec::new();
    each_entry(catalog, |entry| {
        if only.as_ref().is_some_and(|only| *only != entry.scope.project) {
            return;
        }
        let gone = !entry.pinned
            && (is_beyond(entry.created_at, older_than)
                || is_beyond(entry.used_at, unused_for)
                || entry.expires_at.is_some_and(|expiry| expiry <= now));
        if gone { &mut victims } else { &mut others }.push(Victim::of(entry, now));
    })?;
    if let Some((project, quota)) = quota {
        let (of_project, rest) = others.into_iter().partition(|it| it.scope.project == *project);
        let (gone, kept) = cheapest_beyond(of_project, *quota, now);
        victims.extend(gone);
        others = rest;
        others.extend(kept);
    }
    if let Some(budget) = budget {
        victims.extend(cheapest_beyond(others, *budget, now).0);
    }
    Ok(victims)
}

impl Victim {
    fn of(entry: Entry, chosen: Time) -> Self {
        let shared: u64 = entry.blobs.iter().map(|blob| blob.length).sum();
        Self {
            id: entry.id,
            key: entry.key,
            scope: entry.scope,
            operation: entry.operation,
            size: entry.size,
            cost: entry.cost,
            used_at: entry.used_at,
            chosen,
            is_pinned: entry.pinned,
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

/// The entries of least worth, until the others fit the budget; and those others. Pinned ones
/// stay, whatever they hold.
fn cheapest_beyond(entries: Vec<Victim>, budget: u64, now: Time) -> (Vec<Victim>, Vec<Victim>) {
    let mut users: HashMap<BlobRef, u64> = HashMap::new();
    for blob in entries.iter().flat_map(|entry| &entry.blobs) {
        *users.entry(*blob).or_default() += 1;
    }
    let shared: u64 = users.keys().map(|blob| blob.length).sum();
    let mut held = shared + entries.iter().map(|entry| entry.own).sum::<u64>();
    let (pinned, mut entries): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| entry.is_pinned);
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
    let mut others = entries.split_off(stays.unwrap_or(entries.len()));
    others.extend(pinned);
    (entries, others)
}

/// The name in the store of a blob in the catalog.
pub(crate) const fn name_of(blob: &BlobRef) -> BlobName {
    BlobName { digest: blob.digest, generation: blob.generation, length: blob.length }
}
