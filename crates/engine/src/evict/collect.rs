//! Removing entries and deleting bytes, in the only order that is safe beside readers and writers.
//!
//! An entry goes before its blobs are condemned, the bytes of a blob go after it was condemned,
//! and its row goes last; bytes that no row knows get one first, which refuses a late commit. A
//! crash between any two steps leaves bytes that the next collection finds, never an entry
//! without its bytes. What frees space without writing comes first: the disk may be full.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use thrifty_catalog::{BlobRef, Catalog, CatalogError, EntryId};
use thrifty_store::hold::Holds;
use thrifty_store::{BlobName, Blobs, GetError, RemoveError};

use super::placed::{Placed, Removal};
use super::{BATCH, LEFTOVER_AGE, Victim, each_entry, name_of};
use crate::record::reference;

/// How a collection goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// Protects what was used, or written, so recently that a call may be about to refer to it:
    /// [`GRACE`](super::GRACE) unless nobody else uses the cache.
    pub grace: Duration,
    /// The time, by the clock that stamps the files of the store.
    pub now: SystemTime,
    /// Where files that came out of the cache are placed, if they are to be collected.
    pub files: Option<&'a Path>,
    /// Runs that began longer ago are forgotten, and what else of the history is as old:
    /// [`HISTORY`](super::HISTORY) unless somebody says otherwise.
    pub history: Duration,
    /// Nothing changes; the bytes of the entries that would go count as waiting.
    pub dry_run: bool,
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
    /// Files and directories deleted that were placed for readers of entries that are gone.
    pub placed: u64,
    /// Runs forgotten, with their operations.
    pub runs: u64,
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

impl CollectError {
    /// Whether it needed space that is not there.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Catalog(CatalogError::Full { .. }))
    }
}

/// Removes the entries, then the bytes that nothing needs any more: condemned blobs, blobs that
/// no row knows, files placed from entries that are gone, and leftovers.
///
/// # Errors
///
/// [`CollectError`] if the catalog or the store cannot be read, or the catalog cannot be written.
/// A blob that cannot be deleted is no error but one of [`Collected::failures`].
pub fn collect(
    catalog: &dyn Catalog,
    blobs: &dyn Blobs,
    victims: &[Victim],
    means: &Means<'_>,
) -> Result<Collected, CollectError> {
    let mut collection = Collection { catalog, blobs, means, done: Collected::default() };
    collection.delete_leftovers()?;
    collection.delete_orphans()?;
    collection.remove_entries(victims)?;
    collection.delete_condemned()?;
    collection.delete_placed(victims)?;
    collection.shorten_history()?;
    collection.count_waiting(victims)?;
    if !means.dry_run && collection.done.entries + collection.done.runs > 0 {
        collection.compact()?;
    }
    Ok(collection.done)
}

/// A collection under way.
struct Collection<'a> {
    catalog: &'a dyn Catalog,
    blobs: &'a dyn Blobs,
    means: &'a Means<'a>,
    done: Collected,
}

impl Collection<'_> {
    fn delete_leftovers(&mut self) -> Result<(), GetError> {
        let leftovers: Vec<PathBuf> = self.blobs.leftovers(LEFTOVER_AGE)?;
        for path in leftovers {
            let dry_run = self.means.dry_run;
            let removed = if dry_run { Ok(()) } else { self.blobs.remove_leftover(&path) };
            self.done.leftovers += u64::from(self.succeeded(removed));
        }
        Ok(())
    }

    /// Deletes blobs of the store that no row knows and that were written before the time of
    /// grace. The row that each gets before it goes is what protects a writer that was stopped
    /// for longer, or whose machine's clock was set forward.
    fn delete_orphans(&mut self) -> Result<(), CollectError> {
        let orphans = self.orphans()?;
        for batch in orphans.chunks(BATCH) {
            let refs: Vec<BlobRef> = batch.iter().map(reference).collect();
            let disowned = if self.means.dry_run { refs } else { self.catalog.disown(&refs)? };
            for blob in &disowned {
                self.delete(&name_of(blob));
            }
        }
        Ok(())
    }

    fn orphans(&self) -> Result<Vec<BlobName>, CollectError> {
        let mut old = Vec::new();
        for listed in self.blobs.list()? {
            // One that cannot be looked at now is left for the next collection.
            let Ok(listed) = listed else { continue };
            let age = self.means.now.duration_since(listed.modified);
            if age.is_ok_and(|age| age >= self.means.grace) {
                old.push(listed.name);
            }
        }
        let known: HashSet<_> =
            self.catalog.blobs()?.iter().map(|blob| (blob.digest, blob.generation)).collect();
        old.retain(|name| !known.contains(&(name.digest, name.generation)));
        Ok(old)
    }

    /// Removes the entries. Where there is too little space for the log of many, fewer go at
    /// once, and what they free is freed between.
    fn remove_entries(&mut self, victims: &[Victim]) -> Result<(), CollectError> {
        if self.means.dry_run {
            self.done.entries = victims.len() as u64;
            return Ok(());
        }
        let (mut left, mut batch) = (victims, BATCH);
        while !left.is_empty() {
            let (some, rest) = left.split_at(batch.min(left.len()));
            let ids: Vec<_> = some.iter().map(|victim| victim.id).collect();
            // All were chosen at one time.
            let chosen = some.iter().map(|victim| victim.chosen).min().unwrap_or_default();
            match self.catalog.evict(&ids, chosen) {
                Ok(removed) => {
                    self.done.entries += removed.entries;
                    left = rest;
                }
                Err(CatalogError::Full { .. }) if batch > 1 => batch = (batch / 8).max(1),
                Err(error) => return Err(error.into()),
            }
            if batch < BATCH {
                self.delete_condemned()?;
                self.compact()?;
            }
        }
        Ok(())
    }

    fn delete_condemned(&mut self) -> Result<(), CatalogError> {
        let condemned = self.catalog.condemn(self.means.grace, self.means.dry_run)?;
        for batch in condemned.chunks(BATCH) {
            let deleted: Vec<BlobRef> =
                batch.iter().copied().filter(|blob| self.delete(&name_of(blob))).collect();
            if !self.means.dry_run {
                self.catalog.forget(&deleted)?;
            }
        }
        Ok(())
    }

    /// Deletes what was placed long ago from entries that are not there any more.
    fn delete_placed(&mut self, victims: &[Victim]) -> Result<(), CatalogError> {
        let Some(files) = self.means.files else { return Ok(()) };
        let mut placed = Placed::find(files, self.means.now, LEFTOVER_AGE);
        if placed.is_empty() {
            return Ok(());
        }
        let gone: HashSet<EntryId> = victims.iter().map(|victim| victim.id).collect();
        each_entry(self.catalog, |entry| {
            if !gone.contains(&entry.id) {
                placed.keep(&entry.output, self.blobs);
            }
        })?;
        match Holds::open(files) {
            Ok(holds) => self.remove_placed(placed.into_unneeded(), &holds),
            Err(source) => {
                let failed = RemoveError { path: files.to_owned(), source };
                self.done.failures.push(failed.to_string());
            }
        }
        Ok(())
    }

    fn remove_placed(&mut self, unneeded: Vec<PathBuf>, holds: &Holds) {
        let Means { now, dry_run, .. } = *self.means;
        let removal = Removal { holds, now, age: LEFTOVER_AGE, dry_run };
        for path in unneeded {
            match removal.remove(&path) {
                Ok(is_gone) => self.done.placed += u64::from(is_gone),
                Err(error) => self.done.failures.push(error.to_string()),
            }
        }
    }

    fn shorten_history(&mut self) -> Result<(), CatalogError> {
        if !self.means.dry_run {
            self.done.runs = self.catalog.shorten(self.means.history)?.runs;
        }
        Ok(())
    }

    /// Gives what is free of the catalog's file back. A disk too full even for that is no reason
    /// to stop: the next collection tries again.
    fn compact(&self) -> Result<(), CatalogError> {
        match self.catalog.compact() {
            Err(CatalogError::Full { .. }) => Ok(()),
            compacted => compacted,
        }
    }

    /// Whether the blob is gone.
    fn delete(&mut self, name: &BlobName) -> bool {
        let deleted = if self.means.dry_run { Ok(()) } else { self.blobs.delete(name) };
        if self.succeeded(deleted) {
            self.done.blobs += 1;
            self.done.bytes += name.length;
            return true;
        }
        false
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
        let deleted = if self.means.dry_run { self.done.bytes } else { 0 };
        self.done.waiting = bytes.saturating_sub(deleted);
        Ok(())
    }
}
