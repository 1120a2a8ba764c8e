//! Making an entry visible.

use rusqlite::{Error, OptionalExtension, Result, ToSql};
use thrifty_key::{Digest, Key};

use super::Sqlite;
use super::fault::fault;
use super::lookup::{by_key, column};
use super::reserve::Slot;
use super::seal::{Sealed, WIDTH, parts_digest};
use super::write::Write;
use crate::entry::{BlobRef, Claim, Committed, EntryId, NewEntry, Scope};
use crate::error::CatalogError;

/// States of a row of `blob`.
pub(super) const LIVE: i64 = 0;
/// Its bytes are about to be deleted.
pub(super) const CONDEMNED: i64 = 1;
/// Its bytes were deleted; the row keeps a late commit from naming them.
pub(super) const FORGOTTEN: i64 = 2;

impl Sqlite {
    /// See [`crate::Catalog::commit`].
    pub(super) fn publish(
        &self,
        scope: &Scope,
        entry: &NewEntry,
        claim: &Claim,
    ) -> std::result::Result<Committed, CatalogError> {
        let prepared = Prepared::new(entry).map_err(|error| {
            fault(&self.pool.path, &Error::ToSqlConversionFailure(error.into()))
        })?;
        // Each entry is counted once, so that there are never more than were given numbers.
        let mut is_new = false;
        let committed = self.write(|write| {
            if let Some(before) = write.answered(scope, entry)? {
                return Ok(before);
            }
            let slot = write.slot(scope, &entry.key)?;
            if write.is_stale(&slot, scope, entry, claim)? {
                return Ok(Committed::Fenced);
            }
            let committed = write.put(scope, &prepared, claim)?;
            is_new = matches!(committed, Committed::Stored(_));
            write.keep_answer(scope, entry, &committed)?;
            if let Some(held) = claim.reservation
                && !matches!(committed, Committed::BlobGone(_))
            {
                write.free_committed(scope, &entry.key, held, entry.id)?;
            }
            Ok(committed)
        });
        if is_new && committed.is_ok() {
            self.signal.stored();
        }
        self.signal.committed();
        self.signal.turn();
        if claim.replace && matches!(committed, Ok(Committed::Stored(_))) {
            // What it replaced must not be served again after a loss of power.
            self.sync()?;
        }
        committed
    }
}

/// An entry with what can be worked out before the write lock is taken.
struct Prepared<'a> {
    entry: &'a NewEntry,
    made_of: Vec<u8>,
    ingredients: Vec<u8>,
    blobs: Vec<BlobRef>,
    parts_digest: Digest,
    size: i64,
}

impl<'a> Prepared<'a> {
    fn new(entry: &'a NewEntry) -> std::result::Result<Self, rmp_serde::encode::Error> {
        let ingredients = rmp_serde::to_vec_named(&entry.ingredients)?;
        let mut blobs = entry.blobs.clone();
        blobs.sort_unstable();
        blobs.dedup();
        let bytes = blobs.iter().map(|blob| blob.length).sum::<u64>() + entry.output.len() as u64;
        Ok(Self {
            entry,
            made_of: entry.made_of.to_bytes(),
            parts_digest: parts_digest(&ingredients, &blobs),
            ingredients,
            blobs,
            size: i64::try_from(bytes).unwrap_or(i64::MAX),
        })
    }
}

impl Write<'_> {
    /// Whether the claim's epoch or reservation is no longer the slot's. A lease that has passed
    /// without anybody taking the slot over is as good as one that has not.
    fn is_stale(
        &self,
        slot: &Slot,
        scope: &Scope,
        entry: &NewEntry,
        claim: &Claim,
    ) -> Result<bool> {
        let taken_over = claim.reservation.is_some_and(|held| !slot.is_of(held));
        // An epoch from the future is a claim on another catalog that was here before.
        let foreign = claim.epoch > self.epoch();
        // A ticket replaces once.
        let used = claim.replace && claim.epoch == slot.epoch;
        let stale = used || claim.epoch < slot.epoch || claim.epoch < self.log_floor();
        Ok(taken_over || foreign || stale || self.is_invalidated(scope, entry, claim.epoch)?)
    }

    fn put(&self, scope: &Scope, new: &Prepared<'_>, claim: &Claim) -> Result<Committed> {
        let there = self.existing(scope, &new.entry.key)?;
        let is_same =
            there.as_ref().is_some_and(|it| it.output_digest == Some(new.entry.output_digest));
        if let Some(there) = &there
            && !claim.replace
            && there.is_valid
        {
            if is_same {
                return Ok(Committed::Same(there.id));
            }
            self.conn
                .prepare_cached("UPDATE usage SET nondeterministic = 1 WHERE entry = ?1")?
                .execute([there.id.0])?;
            return Ok(Committed::Different(there.id));
        }
        if let Some(gone) = self.gone(&new.blobs)? {
            return Ok(Committed::BlobGone(gone));
        }
        if claim.replace {
            self.replace_up_to(scope, &new.entry.key, claim.epoch)?;
            self.changes();
        }
        let mut is_pinned = false;
        if let Some(there) = there {
            is_pinned = self.is_pinned(there.id)?;
            self.remove(there.id)?;
        }
        if claim.replace && !is_same {
            self.remove_wholes(scope, &new.entry.operation, &new.entry.key, claim.epoch)?;
        }
        let id = EntryId(self.next_entry());
        self.insert(id, scope, new)?;
        if is_pinned {
            self.conn
                .prepare_cached("UPDATE usage SET pinned = 1 WHERE entry = ?1")?
                .execute([id.0])?;
        }
        Ok(Committed::Stored(id))
    }

    /// Refuses what began before this ticket was drawn. Whoever has the slot keeps it: he may
    /// have begun later.
    fn replace_up_to(&self, scope: &Scope, key: &Key, ticket: i64) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO slot (key, project, domain, epoch, fence) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET epoch = ?4",
            )?
            .execute((key.as_bytes(), &scope.project, &scope.domain, ticket, self.log_floor()))?;
        Ok(())
    }

    fn is_pinned(&self, id: EntryId) -> Result<bool> {
        let pinned = self
            .conn
            .prepare_cached("SELECT pinned FROM usage WHERE entry = ?1")?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        Ok(pinned.unwrap_or(false))
    }

    fn existing(&self, scope: &Scope, key: &Key) -> Result<Option<Existing>> {
        self.conn
            .prepare_cached(by_key())?
            .query_row((key.as_bytes(), &scope.project, &scope.domain), |row| {
                let sealed = Sealed::read(row, 0, scope, key);
                let is_valid = sealed
                    .as_ref()
                    .is_some_and(|sealed| sealed.expires_at.is_none_or(|at| at > self.now));
                let output_digest = sealed.map(|sealed| sealed.output_digest);
                Ok(Existing { id: EntryId(row.get(WIDTH)?), output_digest, is_valid })
            })
            .optional()
    }

    /// The first of the blobs whose bytes are or may be deleted.
    fn gone(&self, blobs: &[BlobRef]) -> Result<Option<BlobRef>> {
        let mut state = self
            .conn
            .prepare_cached("SELECT state FROM blob WHERE digest = ?1 AND generation = ?2")?;
        for blob in blobs {
            let state: Option<i64> = state
                .query_row((blob.digest.as_bytes(), blob.generation.cast_signed()), |row| {
                    row.get(0)
                })
                .optional()?;
            if state.is_some_and(|state| state != LIVE) {
                return Ok(Some(*blob));
            }
        }
        Ok(None)
    }

    fn insert(&self, id: EntryId, scope: &Scope, new: &Prepared<'_>) -> Result<()> {
        let entry = new.entry;
        let sealed = Sealed {
            operation: &entry.operation,
            output_digest: entry.output_digest,
            parts_digest: new.parts_digest,
            size: new.size,
            cost: column(entry.cost),
            created_at: self.now,
            expires_at: entry.expires_at,
            run: entry.origin.run.as_ref().map(|run| run.0.as_str()),
            node: i64::from(entry.origin.node),
            host: &entry.origin.host,
            user: &entry.origin.user,
            observed: &entry.observed,
            made_of: &new.made_of,
            output: &entry.output,
        };
        self.insert_row(id, scope, &entry.key, &sealed)?;
        self.conn
            .prepare_cached(
                "INSERT INTO usage (entry, used_at, hits, nondeterministic) VALUES (?1, ?2, 0, 0)",
            )?
            .execute((id.0, self.now))?;
        self.conn
            .prepare_cached("INSERT INTO ingredients VALUES (?1, ?2)")?
            .execute((id.0, &new.ingredients))?;
        new.blobs.iter().try_for_each(|blob| self.insert_reference(id, blob))
    }

    fn insert_row(&self, id: EntryId, scope: &Scope, key: &Key, sealed: &Sealed<'_>) -> Result<()> {
        let seal = sealed.seal(scope, key);
        let columns: [&dyn ToSql; 20] = [
            &id.0,
            key.as_bytes(),
            &scope.project,
            &scope.domain,
            &sealed.operation,
            &tail(sealed.operation),
            sealed.output_digest.as_bytes(),
            sealed.parts_digest.as_bytes(),
            &sealed.size,
            &sealed.cost,
            &sealed.created_at,
            &sealed.expires_at,
            &sealed.run,
            &sealed.node,
            &sealed.host,
            &sealed.user,
            seal.as_bytes(),
            &sealed.observed,
            &sealed.made_of,
            &sealed.output,
        ];
        self.conn
            .prepare_cached(
                "INSERT INTO entry (id, key, project, domain, operation, tail, output_digest, \
                 parts_digest, size, cost, created_at, expires_at, run, node, host, user, seal, \
                 observed, made_of, output) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
                 ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
            )?
            .execute(columns)?;
        Ok(())
    }

    fn insert_reference(&self, id: EntryId, blob: &BlobRef) -> Result<()> {
        let (digest, generation) = (blob.digest.as_bytes(), blob.generation.cast_signed());
        self.conn
            .prepare_cached("INSERT INTO reference VALUES (?1, ?2, ?3)")?
            .execute((id.0, digest, generation))?;
        self.conn
            .prepare_cached(
                "INSERT INTO blob (digest, generation, length, state, used_at, pinned_until) \
                 VALUES (?1, ?2, ?3, 0, ?4, 0) \
                 ON CONFLICT DO UPDATE SET used_at = ?4",
            )?
            .execute((digest, generation, blob.length.cast_signed(), self.now))?;
        Ok(())
    }
}

/// What is under a key that is to be committed.
struct Existing {
    id: EntryId,
    /// The value digest of its output, unless it is broken.
    output_digest: Option<Digest>,
    /// It is neither expired nor broken.
    is_valid: bool,
}

/// The part of an operation's name behind the last `.` or `:`.
pub(super) fn tail(operation: &str) -> &str {
    operation.rsplit(['.', ':']).next().unwrap_or(operation)
}
