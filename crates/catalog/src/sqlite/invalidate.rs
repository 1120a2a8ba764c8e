//! Removing entries so that they stay removed.

use rusqlite::Result;
use thrifty_key::Key;

use super::Sqlite;
use super::commit::tail;
use super::select::{Conditions, range};
use super::text::marred;
use super::write::Write;
use crate::entry::{EntryId, Invalidated, NewEntry, Scope, Selector};
use crate::error::CatalogError;

/// Entries removed in one transaction, so that others need not wait longer than a moment.
const BATCH: usize = 10_000;

/// Invalidations remembered for computations that have no slot yet.
const REMEMBERED: i64 = 1_000;

impl Sqlite {
    /// See [`crate::Catalog::invalidate`].
    ///
    /// Up to 10,000 entries go in one transaction; more in several, the first of which already
    /// refuses every commit begun before. Interrupted in between, it is to be repeated.
    pub(super) fn sweep_selected(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> std::result::Result<Invalidated, CatalogError> {
        let mut total = Invalidated::default();
        let mut first = true;
        loop {
            let (count, bytes) = self.write(|write| {
                if std::mem::take(&mut first) {
                    write.log(scope, selector)?;
                }
                write.remove_selected(scope, selector)
            })?;
            total.entries += count as u64;
            total.bytes = total.bytes.saturating_add(bytes);
            self.signal.turn();
            if count < BATCH {
                return Ok(total);
            }
        }
    }
}

impl Write<'_> {
    /// Remembers what was invalidated, for keys that are being computed and have no entry yet.
    /// Selectors that speak of entries alone (their number, age, use or run) mean none of these.
    fn log(&self, scope: Option<&Scope>, selector: &Selector) -> Result<()> {
        let epoch = self.raise_epoch();
        // Also where no entry is found: damage may hide one that processes have in memory.
        self.changes();
        let by_key_and_operation = Selector {
            key_prefix: selector.key_prefix.clone(),
            operation: selector.operation.clone(),
            ..Selector::default()
        };
        if *selector != by_key_and_operation {
            return Ok(());
        }
        let Some((low, high)) = range(selector.key_prefix.as_deref().unwrap_or_default()) else {
            return Ok(());
        };
        self.conn
            .prepare_cached("INSERT INTO invalidation VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute((
                epoch,
                scope.map(|scope| &scope.project),
                scope.map(|scope| &scope.domain),
                low.as_bytes(),
                high.as_bytes(),
                &selector.operation,
            ))?;
        self.shorten_log()
    }

    /// Forgets all but the newest invalidations. Claims from before those forgotten are refused.
    fn shorten_log(&self) -> Result<()> {
        let newest_forgotten: Option<i64> = self
            .conn
            .prepare_cached(
                "SELECT max(epoch) FROM (SELECT epoch FROM invalidation \
                 ORDER BY epoch DESC LIMIT -1 OFFSET ?1)",
            )?
            .query_row([REMEMBERED], |row| row.get(0))?;
        let Some(epoch) = newest_forgotten else {
            return Ok(());
        };
        self.set_log_floor(epoch);
        self.conn.prepare_cached("DELETE FROM invalidation WHERE epoch <= ?1")?.execute([epoch])?;
        Ok(())
    }

    /// Whether an invalidation after `epoch` meant the entry that is to be committed.
    pub(super) fn is_invalidated(
        &self,
        scope: &Scope,
        entry: &NewEntry,
        epoch: i64,
    ) -> Result<bool> {
        if epoch >= self.epoch() {
            return Ok(false);
        }
        self.conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM invalidation WHERE epoch > ?1 \
                 AND (project IS NULL OR project = ?2) AND (domain IS NULL OR domain = ?3) \
                 AND ?4 BETWEEN low AND high \
                 AND (operation IS NULL OR ?5 GLOB operation OR ?6 GLOB operation))",
            )?
            .query_row(
                (
                    epoch,
                    &scope.project,
                    &scope.domain,
                    entry.key.as_bytes(),
                    &entry.operation,
                    tail(&entry.operation),
                ),
                |row| row.get(0),
            )
    }

    fn remove_selected(&self, scope: Option<&Scope>, selector: &Selector) -> Result<(usize, u64)> {
        let Some(conditions) = Conditions::new(scope, selector, self.now) else {
            return Ok((0, 0));
        };
        // No use is known of an entry whose row of uses is damaged; it is an answer nevertheless.
        let sql = format!(
            "SELECT entry.id, entry.key, entry.project, entry.domain, entry.size \
             FROM entry LEFT JOIN usage ON usage.entry = entry.id WHERE {} LIMIT {BATCH}",
            conditions.sql()
        );
        let doomed = self
            .conn
            .prepare_cached(&sql)?
            .query_map(conditions.params(), |row| {
                let scope = Scope { project: marred(row, 2)?, domain: marred(row, 3)? };
                let key = Key::from_bytes(row.get(1)?);
                Ok((EntryId(row.get(0)?), key, scope, row.get::<_, i64>(4)?))
            })?
            .collect::<Result<Vec<_>>>()?;
        let mut bytes = 0_u64;
        for (id, key, scope, size) in &doomed {
            self.set_slot_epoch(scope, key, self.epoch())?;
            self.remove(*id)?;
            bytes = bytes.saturating_add(size.unsigned_abs());
        }
        Ok((doomed.len(), bytes))
    }

    /// Raises the epoch of a slot and takes it from whoever has it.
    fn set_slot_epoch(&self, scope: &Scope, key: &Key, epoch: i64) -> Result<()> {
        self.conn
            .prepare_cached(
                "INSERT INTO slot (key, project, domain, epoch, fence) \
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE \
                 SET epoch = ?4, nonce = NULL, lease_until = NULL, ended = NULL",
            )?
            .execute((key.as_bytes(), &scope.project, &scope.domain, epoch, self.log_floor()))?;
        Ok(())
    }

    /// Removes an entry and all that hangs on it. Its blobs count as used when it was.
    pub(super) fn remove(&self, id: EntryId) -> Result<()> {
        self.changes();
        self.conn
            .prepare_cached(
                "UPDATE blob SET used_at = max(used_at, coalesce((SELECT used_at FROM usage \
                 WHERE entry = ?1), 0)) WHERE (digest, generation) IN \
                 (SELECT digest, generation FROM reference WHERE entry = ?1)",
            )?
            .execute([id.0])?;
        self.conn.prepare_cached("DELETE FROM entry WHERE id = ?1")?.execute([id.0])?;
        Ok(())
    }
}
