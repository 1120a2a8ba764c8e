//! Removing entries so that they stay removed.

use std::collections::HashMap;

use rusqlite::Result;
use thrifty_key::{Digest, Key};

use super::Sqlite;
use super::commit::tail;
use super::select::{Conditions, range};
use super::wholes::{self, FIND, Wholes};
use super::write::Write;
use crate::entry::{EntryId, Invalidated, NewEntry, Part, Scope, Selector};
use crate::error::CatalogError;
use crate::made_of::{Half, MadeOf, half, told};

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
        let removed = self.sweep(scope, selector, Wholes::Go)?;
        // Also where nothing was found: what another one removed may not be on the disk yet.
        self.sync()?;
        Ok(removed)
    }

    /// See [`crate::Catalog::remove`]. Not synced: what comes back cannot be read then either.
    pub(super) fn sweep_useless(
        &self,
        entries: &[EntryId],
    ) -> std::result::Result<Invalidated, CatalogError> {
        let these = Selector { ids: Some(entries.to_vec()), ..Selector::default() };
        self.sweep(None, &these, Wholes::Stay)
    }

    fn sweep(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        wholes: Wholes,
    ) -> std::result::Result<Invalidated, CatalogError> {
        let mut total = Invalidated::default();
        let mut first = true;
        loop {
            let (count, removed) = self.write(|write| {
                if std::mem::take(&mut first) {
                    write.log(scope, selector)?;
                }
                write.remove_selected(scope, selector, wholes)
            })?;
            total.entries += removed.entries;
            total.bytes = total.bytes.saturating_add(removed.bytes);
            self.signal.turn();
            if count < BATCH {
                return Ok(total);
            }
        }
    }
}

/// After which epochs what was done to a part refuses what was made of it.
#[derive(Clone, Copy)]
struct Since {
    /// Invalidations that are remembered.
    invalidated: i64,
    /// What the slot tells: its last invalidation or replacement. One that the computation made
    /// itself hides what was before it.
    replaced: i64,
}

impl Since {
    fn new(epoch: i64, own_ticket: Option<i64>) -> Self {
        Self { invalidated: epoch, replaced: own_ticket.map_or(epoch, |own| own.max(epoch)) }
    }

    fn taken(part: &Part, epoch: i64) -> Self {
        if part.is_old { Self::new(0, None) } else { Self::new(epoch, part.own_ticket) }
    }
}

/// The tickets with which a computation itself replaced what it took, by call.
fn own_tickets(parts: &[Part]) -> HashMap<(&str, Half), i64> {
    let mut own = HashMap::new();
    for part in parts {
        if let (Some(key), Some(ticket)) = (&part.key, part.own_ticket) {
            let last = own.entry((part.operation.as_str(), half(key))).or_insert(ticket);
            *last = ticket.max(*last);
        }
    }
    own
}

impl Write<'_> {
    /// Remembers what was invalidated, for keys that are being computed and have no entry yet.
    /// Selectors that speak of entries alone (their number, age, use or run) mean none of these.
    fn log(&self, scope: Option<&Scope>, selector: &Selector) -> Result<()> {
        let epoch = self.raise_epoch();
        // Also where no entry is found: damage may hide one that processes have in memory.
        self.changes();
        if !wholes::is_by_call(selector) {
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

    /// Whether an invalidation after `epoch` meant the entry that is to be committed, or a result
    /// that it took: one that is there still was stored since, or else it would have gone.
    pub(super) fn is_invalidated(
        &self,
        scope: &Scope,
        entry: &NewEntry,
        epoch: i64,
    ) -> Result<bool> {
        if epoch >= self.epoch() && !entry.parts.iter().any(|part| part.is_old) {
            return Ok(false);
        }
        if self.is_logged(scope, &entry.operation, [entry.key; 2], epoch)? {
            return Ok(true);
        }
        let mut unvouched_since: Option<i64> = None;
        for part in &entry.parts {
            if self.is_there(part)? {
                continue;
            }
            let since = Since::taken(part, epoch);
            let keys = part.key.as_ref().map(wholes::keys_of_call);
            // What was forgotten since may have meant it.
            let is_unknown = since.invalidated < self.log_floor();
            if is_unknown || self.is_refused(scope, &part.operation, keys, since)? {
                return Ok(true);
            }
            if part.entry.is_some() {
                let earliest = unvouched_since.unwrap_or(epoch);
                unvouched_since = Some(earliest.min(since.invalidated));
            }
        }
        // What these were made of could be invalidated without anybody finding them.
        let Some(since) = unvouched_since else { return Ok(false) };
        let own = if since < epoch { HashMap::new() } else { own_tickets(&entry.parts) };
        self.is_made_of_refused(scope, &entry.made_of, since, &own)
    }

    fn is_there(&self, part: &Part) -> Result<bool> {
        let Some(id) = part.entry else {
            return Ok(false);
        };
        self.conn.prepare_cached("SELECT 1 FROM entry WHERE id = ?1")?.exists([id.0])
    }

    /// Whether any of these calls was invalidated or replaced after `epoch`, but for what the computation
    /// itself replaced.
    fn is_made_of_refused(
        &self,
        scope: &Scope,
        made_of: &MadeOf,
        epoch: i64,
        own: &HashMap<(&str, Half), i64>,
    ) -> Result<bool> {
        for (operation, halves) in told(&made_of.to_bytes()).flatten() {
            if halves.is_empty() && self.is_logged(scope, operation, wholes::ALL_KEYS, epoch)? {
                return Ok(true);
            }
            for half in halves {
                let since = Since::new(epoch, own.get(&(operation, *half)).copied());
                if self.is_refused(scope, operation, Some(wholes::keys_of_half(half)), since)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether one of the keys was invalidated or replaced since, or the operation was.
    fn is_refused(
        &self,
        scope: &Scope,
        operation: &str,
        keys: Option<[Digest; 2]>,
        since: Since,
    ) -> Result<bool> {
        let Some([low, high]) = keys else {
            return self.is_logged(scope, operation, wholes::NO_KEY, since.invalidated);
        };
        let (project, domain) = (&scope.project, &scope.domain);
        let is_later = self
            .conn
            .prepare_cached(
                "SELECT 1 FROM slot WHERE key BETWEEN ?1 AND ?2 AND project = ?3 \
                 AND domain = ?4 AND epoch > ?5",
            )?
            .exists((low.as_bytes(), high.as_bytes(), project, domain, since.replaced))?;
        Ok(is_later || self.is_logged(scope, operation, [low, high], since.invalidated)?)
    }

    /// Whether an invalidation after `epoch` meant the operation and one of these keys.
    fn is_logged(
        &self,
        scope: &Scope,
        operation: &str,
        [low, high]: [Digest; 2],
        epoch: i64,
    ) -> Result<bool> {
        self.conn
            .prepare_cached(
                "SELECT 1 FROM invalidation WHERE epoch > ?1 \
                 AND (project IS NULL OR project = ?2) AND (domain IS NULL OR domain = ?3) \
                 AND ?4 <= high AND ?5 >= low \
                 AND (operation IS NULL OR ?6 GLOB operation OR ?7 GLOB operation)",
            )?
            .exists((
                epoch,
                &scope.project,
                &scope.domain,
                low.as_bytes(),
                high.as_bytes(),
                operation,
                tail(operation),
            ))
    }

    /// Removes entries that are selected, and with them those that were made of them, so many at a
    /// time. There may be more if it says as many.
    fn remove_selected(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        wholes: Wholes,
    ) -> Result<(usize, Invalidated)> {
        let Some(conditions) = Conditions::new(scope, selector, self.now) else {
            return Ok((0, Invalidated::default()));
        };
        // No use is known of an entry whose row of uses is damaged; it is an answer nevertheless.
        let sql = format!("{FIND} {} LIMIT {BATCH}", conditions.sql());
        let doomed = wholes::found(self.conn, &sql, conditions.params())?;
        let beside = match wholes {
            Wholes::Go => wholes::of(self.conn, scope, selector, &doomed, BATCH)?,
            Wholes::Stay => Vec::new(),
        };
        // Where there are more, they go first: without the parts nobody would find them again.
        let (doomed, count) = match beside.len() {
            BATCH => (Vec::new(), BATCH),
            _ => {
                let count = doomed.len();
                (doomed, count)
            }
        };
        let mut removed = Invalidated::default();
        for found in doomed.iter().chain(&beside) {
            self.set_slot_epoch(&found.scope, &found.key, self.epoch())?;
            self.remove(found.id)?;
            removed.entries += 1;
            removed.bytes = removed.bytes.saturating_add(found.size.unsigned_abs());
        }
        Ok((count, removed))
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
