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
    /// Up to 10,000 entries go in one transaction; more in several, each of which refuses every
    /// commit begun before it. Interrupted in between, it is to be repeated.
    pub(super) fn sweep_selected(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> std::result::Result<Invalidated, CatalogError> {
        let removed = self.sweep(Sweep::new(scope, selector, Wholes::Go))?;
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
        self.sweep(Sweep::new(None, &these, Wholes::Stay))
    }

    fn sweep(&self, mut sweep: Sweep<'_>) -> std::result::Result<Invalidated, CatalogError> {
        while self.sweep_on(&mut sweep)? {}
        Ok(sweep.removed)
    }

    /// Removes entries in one transaction. Says whether there may be more.
    fn sweep_on(&self, sweep: &mut Sweep<'_>) -> std::result::Result<bool, CatalogError> {
        let (epoch, is_full, removed) = self.write(|write| {
            let epoch = write.log(sweep)?;
            let (is_full, removed) = write.remove_selected(sweep)?;
            Ok((epoch, is_full, removed))
        })?;
        sweep.logged = Some(epoch);
        sweep.removed.entries += removed.entries;
        sweep.removed.bytes = sweep.removed.bytes.saturating_add(removed.bytes);
        self.signal.turn();
        Ok(is_full)
    }
}

/// Entries that are being removed.
struct Sweep<'a> {
    scope: Option<&'a Scope>,
    selector: &'a Selector,
    wholes: Wholes,
    /// How many in one transaction.
    most: usize,
    /// The epoch of the last transaction.
    logged: Option<i64>,
    removed: Invalidated,
}

impl<'a> Sweep<'a> {
    fn new(scope: Option<&'a Scope>, selector: &'a Selector, wholes: Wholes) -> Self {
        let removed = Invalidated::default();
        Self { scope, selector, wholes, most: BATCH, logged: None, removed }
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
    /// The ticket of that one.
    own_ticket: Option<i64>,
}

impl Since {
    fn new(epoch: i64, own_ticket: Option<i64>) -> Self {
        let replaced = own_ticket.map_or(epoch, |own| own.max(epoch));
        Self { invalidated: epoch, replaced, own_ticket }
    }

    fn taken(part: &Part, epoch: i64) -> Self {
        match part.since {
            Some(since) => Self::new(since.min(epoch), None),
            None => Self::new(epoch, part.own_ticket),
        }
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
    /// What was begun between two transactions of one sweep may have taken what the second removes:
    /// each of them stands in the log anew, instead of the one before.
    fn log(&self, sweep: &Sweep<'_>) -> Result<i64> {
        let epoch = self.raise_epoch();
        // Also where no entry is found: damage may hide one that processes have in memory.
        self.changes();
        let Sweep { scope, selector, .. } = sweep;
        if !wholes::is_by_call(selector) {
            return Ok(epoch);
        }
        let Some((low, high)) = range(selector.key_prefix.as_deref().unwrap_or_default()) else {
            return Ok(epoch);
        };
        if let Some(before) = sweep.logged {
            self.conn
                .prepare_cached("DELETE FROM invalidation WHERE epoch = ?1")?
                .execute([before])?;
        }
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
        self.shorten_log()?;
        Ok(epoch)
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
        let earliest = entry.parts.iter().filter_map(|part| part.since).fold(epoch, i64::min);
        if earliest >= self.epoch() {
            return Ok(false);
        }
        if self.is_logged(scope, &entry.operation, [entry.key; 2], epoch)? {
            return Ok(true);
        }
        let mut unvouched_since: Option<i64> = None;
        for part in &entry.parts {
            if self.is_there(scope, part)? {
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

    /// Whether the entry of a part is there. In a catalog that was made anew another call's may have
    /// its number; what has no key has no entry.
    fn is_there(&self, scope: &Scope, part: &Part) -> Result<bool> {
        let Some(id) = part.entry else {
            return Ok(false);
        };
        let [low, high] = part.key.as_ref().map_or(wholes::NO_KEY, wholes::keys_of_call);
        self.conn
            .prepare_cached(
                "SELECT 1 FROM entry WHERE id = ?1 AND key BETWEEN ?2 AND ?3 \
                 AND project = ?4 AND domain = ?5",
            )?
            .exists((id.0, low.as_bytes(), high.as_bytes(), &scope.project, &scope.domain))
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
                 AND domain = ?4 AND epoch > ?5 AND NOT (key = ?1 AND fence IS ?6)",
            )?
            .exists((
                low.as_bytes(),
                high.as_bytes(),
                project,
                domain,
                since.replaced,
                since.own_ticket,
            ))?;
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
    /// time. Says whether there may be more.
    fn remove_selected(&self, sweep: &Sweep<'_>) -> Result<(bool, Invalidated)> {
        let Sweep { scope, selector, most, .. } = *sweep;
        let Some(conditions) = Conditions::new(scope, selector, self.now) else {
            return Ok((false, Invalidated::default()));
        };
        // No use is known of an entry whose row of uses is damaged; it is an answer nevertheless.
        let sql = format!("{FIND} {} LIMIT {most}", conditions.sql());
        let mut doomed = wholes::found(self.conn, &sql, conditions.params())?;
        let beside = match sweep.wholes {
            Wholes::Go => wholes::of(self.conn, scope, selector, &doomed, most)?,
            Wholes::Stay => Vec::new(),
        };
        if beside.len() == most {
            // There may be more, and without the parts nobody would find them again.
            doomed.clear();
        }
        let is_full = beside.len().max(doomed.len()) == most;
        let mut removed = Invalidated::default();
        for found in doomed.iter().chain(&beside) {
            self.set_slot_epoch(&found.scope, &found.key, self.epoch())?;
            self.remove(found.id)?;
            removed.entries += 1;
            removed.bytes = removed.bytes.saturating_add(found.size.unsigned_abs());
        }
        Ok((is_full, removed))
    }

    /// Removes what was made of a result in whose place another one comes, and has whoever took that,
    /// or one of these, refused. Whoever computes one of these is not: he may have taken the new one.
    pub(super) fn remove_wholes(
        &self,
        scope: &Scope,
        operation: &str,
        key: &Key,
        ticket: i64,
    ) -> Result<()> {
        let epoch = self.raise_epoch();
        self.refuse_takers(scope, key, epoch, ticket)?;
        for whole in wholes::of_call(self.conn, scope, operation, key)? {
            self.refuse_takers(scope, &whole.key, epoch, 0)?;
            self.remove(whole.id)?;
        }
        Ok(())
    }

    /// Refuses what began before and took a result of this call that is gone, but for who replaced it
    /// himself. The slot that says so is nobody's: its key is the lowest of those that the call may
    /// have, and in the place of a fence stands the ticket.
    fn refuse_takers(&self, scope: &Scope, key: &Key, epoch: i64, ticket: i64) -> Result<()> {
        let [lowest, _] = wholes::keys_of_call(key);
        self.set_slot_epoch(scope, &lowest, epoch)?;
        self.conn
            .prepare_cached(
                "UPDATE slot SET fence = ?4 WHERE key = ?1 AND project = ?2 AND domain = ?3",
            )?
            .execute((lowest.as_bytes(), &scope.project, &scope.domain, ticket))?;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{entry, key, scope};
    use crate::{Catalog, Claim, Committed, MadeOf};

    fn claim(catalog: &Sqlite, scope: &Scope) -> Claim {
        let slot = catalog.slot(scope, &key("any")).unwrap();
        Claim { epoch: slot.epoch, ..Claim::default() }
    }

    fn put(catalog: &Sqlite, scope: &Scope, entry: &NewEntry) -> EntryId {
        match catalog.commit(scope, entry, &claim(catalog, scope)).unwrap() {
            Committed::Stored(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn part(name: &str) -> NewEntry {
        NewEntry { operation: "lab.clean".to_owned(), ..entry(name, name) }
    }

    fn whole(name: &str, part: &str, id: EntryId) -> NewEntry {
        let (operation, of) = ("lab.clean".to_owned(), key(part));
        let mut made_of = MadeOf::default();
        made_of.add(&operation, Some(&of));
        let parts =
            vec![Part { operation, key: Some(of), entry: Some(id), since: None, own_ticket: None }];
        NewEntry { made_of, parts, ..entry(name, name) }
    }

    fn logged(catalog: &Sqlite) -> i64 {
        let count = "SELECT count(*) FROM invalidation";
        catalog.read(|conn| conn.query_row(count, [], |row| row.get(0))).unwrap()
    }

    /// Computes whole by whole of the last of the parts that go, one before each transaction.
    fn late_wholes(catalog: &Sqlite, scope: &Scope, selector: &Selector, last: (&str, EntryId)) {
        let mut sweep = Sweep { most: 2, ..Sweep::new(Some(scope), selector, Wholes::Go) };
        let mut begun = Vec::new();
        let mut is_more = true;
        while is_more {
            begun.push(claim(catalog, scope));
            is_more = catalog.sweep_on(&mut sweep).unwrap();
        }
        assert!(begun.len() > 2, "in several transactions: {begun:?}");
        for (number, claim) in begun.iter().enumerate() {
            let late = whole(&format!("late {number}"), last.0, last.1);
            let done = catalog.commit(scope, &late, claim).unwrap();
            assert_eq!(done, Committed::Fenced, "begun before transaction {number}: {selector:?}");
        }
        let left = catalog.entries(Some(scope), &Selector::default(), 9).unwrap();
        assert_eq!(left, [], "{selector:?}");
    }

    #[test]
    fn what_began_between_two_transactions_is_refused() {
        let ids = |parts: &[EntryId]| Selector { ids: Some(parts.to_vec()), ..Selector::default() };
        let by_operation = Selector { operation: Some("clean".to_owned()), ..Selector::default() };
        let many = ["a", "b", "c", "d", "e"];
        for is_by_call in [false, true] {
            let (catalog, scope) = (Sqlite::in_memory().unwrap(), scope("lab"));
            let parts: Vec<_> = many.map(|name| put(&catalog, &scope, &part(name))).into();
            let selector = if is_by_call { by_operation.clone() } else { ids(&parts) };
            late_wholes(&catalog, &scope, &selector, ("e", parts[4]));
            assert_eq!(logged(&catalog), i64::from(is_by_call), "one row for all transactions");

            // A part that has more wholes than go at once goes behind them.
            let parts = [put(&catalog, &scope, &part("a"))];
            for name in many {
                put(&catalog, &scope, &whole(&format!("whole {name}"), "a", parts[0]));
            }
            let selector = if is_by_call { by_operation.clone() } else { ids(&parts) };
            late_wholes(&catalog, &scope, &selector, ("a", parts[0]));
        }
    }

    /// What has no entry yet is meant by what stands in the log, which goes on with each
    /// transaction.
    #[test]
    fn what_began_between_two_transactions_and_is_meant_itself_is_refused() {
        let (catalog, scope) = (Sqlite::in_memory().unwrap(), scope("lab"));
        for name in ["a", "b", "c"] {
            put(&catalog, &scope, &part(name));
        }
        let selector = Selector { operation: Some("clean".to_owned()), ..Selector::default() };
        let mut sweep = Sweep { most: 2, ..Sweep::new(None, &selector, Wholes::Go) };
        assert!(catalog.sweep_on(&mut sweep).unwrap());
        let began = claim(&catalog, &scope);
        assert!(!catalog.sweep_on(&mut sweep).unwrap());
        let done = catalog.commit(&scope, &part("new"), &began).unwrap();
        assert_eq!(done, Committed::Fenced);
        put(&catalog, &scope, &part("new"));
    }
}
