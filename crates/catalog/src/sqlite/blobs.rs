//! Blobs: which bytes are referenced, pinned, condemned.

use std::time::Duration;

use rusqlite::{OptionalExtension, Result};
use thrifty_key::Digest;

use super::Sqlite;
use super::commit::{CONDEMNED, FORGOTTEN, LIVE};
use super::lookup::millis;
use super::select::read_blob;
use super::upkeep::{MANY, ROWS};
use crate::entry::{BlobRef, EntryId, Usage};
use crate::error::CatalogError;

/// What makes a live blob collectable at `?1`, having been used last at `?2` or before.
const IDLE: &str = "state = 0 AND pinned_until <= ?1 AND used_at <= ?2 AND NOT EXISTS \
     (SELECT 1 FROM reference WHERE reference.digest = blob.digest \
      AND reference.generation = blob.generation)";

impl Sqlite {
    /// See [`crate::Catalog::touch`].
    pub(super) fn count_uses(
        &self,
        uses: &[(EntryId, Usage)],
    ) -> std::result::Result<(), CatalogError> {
        if uses.is_empty() {
            return Ok(());
        }
        self.write(|write| {
            let mut count = write.conn.prepare_cached(
                "UPDATE usage SET hits = hits + ?2, used_at = ?3 WHERE entry = ?1",
            )?;
            for (id, usage) in uses {
                let hits = i64::try_from(usage.hits).unwrap_or(i64::MAX);
                count.execute((id.0, hits, write.now))?;
            }
            Ok(())
        })
    }

    /// See [`crate::Catalog::find_blob`]. Content that is not there costs no write.
    pub(super) fn pin_blob(
        &self,
        digest: &Digest,
        pin: Duration,
    ) -> std::result::Result<Option<BlobRef>, CatalogError> {
        let find = |conn: &rusqlite::Connection| -> Result<Option<BlobRef>> {
            conn.prepare_cached(
                "SELECT digest, generation, length FROM blob WHERE digest = ?1 AND state = ?2 \
                 ORDER BY used_at DESC LIMIT 1",
            )?
            .query_row((digest.as_bytes(), LIVE), read_blob)
            .optional()
        };
        if self.read(find)?.is_none() {
            return Ok(None);
        }
        self.write(|write| {
            let found = find(write.conn)?;
            if let Some(blob) = &found {
                let until = write.now.saturating_add(millis(pin));
                write
                    .conn
                    .prepare_cached(
                        "UPDATE blob SET pinned_until = max(pinned_until, ?3), used_at = ?4 \
                         WHERE digest = ?1 AND generation = ?2",
                    )?
                    .execute((
                        blob.digest.as_bytes(),
                        blob.generation.cast_signed(),
                        until,
                        write.now,
                    ))?;
            }
            Ok(found)
        })
    }

    /// See [`crate::Catalog::keep_blobs`].
    pub(super) fn pin_blobs(
        &self,
        blobs: &[BlobRef],
        pin: Duration,
    ) -> std::result::Result<(), CatalogError> {
        for some in blobs.chunks(ROWS) {
            self.write(|write| {
                let until = write.now.saturating_add(millis(pin));
                let mut keep = write.conn.prepare_cached(
                    "INSERT INTO blob (digest, generation, length, state, used_at, pinned_until) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE \
                     SET pinned_until = max(pinned_until, ?6), used_at = ?5 WHERE state = ?4",
                )?;
                for blob in some {
                    let (generation, length) =
                        (blob.generation.cast_signed(), blob.length.cast_signed());
                    let row = (blob.digest.as_bytes(), generation, length, LIVE, write.now, until);
                    keep.execute(row)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// See [`crate::Catalog::condemn`].
    pub(super) fn condemn_idle(
        &self,
        grace: Duration,
        dry_run: bool,
    ) -> std::result::Result<Vec<BlobRef>, CatalogError> {
        let now = self.ratchet.now();
        let last = now.saturating_sub(millis(grace));
        if dry_run {
            let sql = format!(
                "SELECT digest, generation, length FROM blob WHERE state = {CONDEMNED} OR ({IDLE})"
            );
            return self.read(|conn| {
                conn.prepare_cached(&sql)?.query_map([now, last], read_blob)?.collect()
            });
        }
        let find = format!("SELECT digest, generation, length FROM blob WHERE {IDLE} LIMIT {MANY}");
        let mark = format!(
            "UPDATE blob SET state = {CONDEMNED} WHERE digest = ?3 AND generation = ?4 AND {IDLE}"
        );
        self.each_found(
            |conn| conn.prepare_cached(&find)?.query_map([now, last], read_blob)?.collect(),
            |conn, blob: &BlobRef| {
                let generation = blob.generation.cast_signed();
                conn.prepare_cached(&mark)?.execute((now, last, blob.digest.as_bytes(), generation))
            },
            ROWS,
        )?;
        let condemned = self.read(|conn| {
            conn.prepare_cached("SELECT digest, generation, length FROM blob WHERE state = ?1")?
                .query_map([CONDEMNED], read_blob)?
                .collect()
        })?;
        // What is condemned is deleted next, and must not be needed again after a loss of power: the
        // removal of its entries may have been committed long ago, and still not be on the disk. Nor
        // may what another collector condemns just now, which is not among these.
        self.sync()?;
        Ok(condemned)
    }

    /// See [`crate::Catalog::disown`]. The rows made here keep a writer from naming the blob that
    /// was stopped for longer than the time of grace between writing it and committing.
    pub(super) fn forget_unknown(
        &self,
        blobs: &[BlobRef],
    ) -> std::result::Result<Vec<BlobRef>, CatalogError> {
        if blobs.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|write| {
            let mut forget = write.conn.prepare_cached(
                "INSERT INTO blob (digest, generation, length, state, used_at, pinned_until) \
                 VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT DO UPDATE SET used_at = ?5 \
                 WHERE state = ?4",
            )?;
            let mut forgotten = Vec::new();
            for blob in blobs {
                let (generation, length) =
                    (blob.generation.cast_signed(), blob.length.cast_signed());
                let row = (blob.digest.as_bytes(), generation, length, FORGOTTEN, write.now);
                if forget.execute(row)? == 1 {
                    forgotten.push(*blob);
                }
            }
            Ok(forgotten)
        })
    }

    /// See [`crate::Catalog::forget`]. The row stays, so that no late commit can name the blob.
    pub(super) fn bury(&self, blobs: &[BlobRef]) -> std::result::Result<(), CatalogError> {
        let bury = format!(
            "UPDATE blob SET state = {FORGOTTEN}, used_at = ?1 \
             WHERE digest = ?3 AND generation = ?4 AND (state = {CONDEMNED} OR ({IDLE}))"
        );
        self.write(|write| {
            let mut bury = write.conn.prepare_cached(&bury)?;
            for blob in blobs {
                let generation = blob.generation.cast_signed();
                bury.execute((write.now, write.now, blob.digest.as_bytes(), generation))?;
            }
            Ok(())
        })
    }

    /// See [`crate::Catalog::blobs`].
    pub(super) fn known_blobs(&self) -> std::result::Result<Vec<BlobRef>, CatalogError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT digest, generation, length FROM blob WHERE state <> ?1")?
                .query_map([FORGOTTEN], read_blob)?
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use rusqlite::Connection;

    use super::*;
    use crate::conformance::{blob, entry, scope};
    use crate::entry::{Claim, Committed, Time};
    use crate::{Catalog, Clock, Mode, System};

    /// A clock that looks how many blobs are condemned when a transaction begins.
    struct Looking {
        eye: Mutex<Connection>,
        seen: Mutex<Vec<u32>>,
    }

    impl Looking {
        fn at(path: &Path) -> Self {
            Self { eye: Mutex::new(Connection::open(path).unwrap()), seen: Mutex::default() }
        }
    }

    impl Clock for Looking {
        fn wall(&self) -> Time {
            System.wall()
        }

        fn steady(&self) -> Time {
            let sql = "SELECT count(*) FROM blob WHERE state = 1";
            let count = self.eye.lock().unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
            self.seen.lock().unwrap().push(count);
            System.steady()
        }
    }

    #[test]
    fn blobs_are_condemned_some_at_a_time_and_each_only_if_it_still_is_idle() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        drop(Sqlite::open(&path, Mode::ReadWrite).unwrap());
        let clock = Arc::new(Looking::at(&path));
        let shared: Arc<dyn Clock> = Arc::<Looking>::clone(&clock);
        let catalog = Sqlite::open_with_clock(&path, Mode::ReadWrite, shared).unwrap();
        let mut blobs: Vec<_> =
            (0..2 * ROWS as u64 + 500).map(|number| blob(&number.to_string(), number)).collect();
        blobs.sort_unstable();
        catalog.keep_blobs(&blobs, Duration::ZERO).unwrap();
        let stored = catalog.commit(&scope("lab"), &entry("a", "a"), &Claim::default()).unwrap();
        let Committed::Stored(EntryId(id)) = stored else { panic!("{stored:?}") };
        // All are found together; with the first ones, somebody comes to need the last.
        let (first, late) = (blobs[0].digest, blobs.pop().unwrap());
        let needs = format!(
            "CREATE TRIGGER comes AFTER UPDATE ON blob WHEN new.digest = x'{first}' BEGIN \
             INSERT INTO reference VALUES ({id}, x'{}', {}); END",
            late.digest, late.generation
        );
        clock.eye.lock().unwrap().execute_batch(&needs).unwrap();

        clock.seen.lock().unwrap().clear();
        let mut condemned = catalog.condemn(Duration::ZERO, false).unwrap();
        condemned.sort_unstable();
        assert_eq!(condemned, blobs, "all, and not the one that is needed");
        let mut seen = std::mem::take(&mut *clock.seen.lock().unwrap());
        seen.dedup();
        assert_eq!(seen, [0, 1_000, 2_000], "each part is committed before the next");
        assert_eq!(catalog.find_blob(&late.digest, Duration::ZERO).unwrap(), Some(late));
    }
}
