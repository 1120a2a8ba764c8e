//! Waiting for a slot: who has it, and whom those wait for.
//!
//! A row of `waiting` says that a reservation ends only after a key has come free. It counts only
//! while its reservation is in force: a waiter that dies takes its rows' meaning with it.

use rusqlite::{Connection, OptionalExtension, Result, Row};
use thrifty_key::Key;

use super::Sqlite;
use super::reserve::{COLUMNS, Slot, WIDTH, by_key};
use super::text::marred;
use super::write::Write;
use crate::entry::{Holder, Reservation, Scope, Standing, Time};
use crate::error::CatalogError;

impl Sqlite {
    /// See [`crate::Catalog::standing`].
    pub(super) fn stand(
        &self,
        scope: &Scope,
        key: &Key,
    ) -> std::result::Result<Standing, CatalogError> {
        // The time is read after the row, so that no lease seems longer than there are leases.
        self.read(|conn| standing(conn, scope, key, &mut || self.ratchet.now()))
    }

    /// See [`crate::Catalog::wait_for`].
    pub(super) fn tell_waiting(
        &self,
        scope: &Scope,
        key: &Key,
        holding: &[u128],
    ) -> std::result::Result<Standing, CatalogError> {
        if holding.is_empty() {
            return self.stand(scope, key);
        }
        self.write(|write| {
            let found = standing(write.conn, scope, key, &mut || write.now)?;
            let holders = found.held.iter().map(|held| &held.holder).chain(&found.beyond);
            let closes = holders.map(|holder| holder.nonce).any(|nonce| holding.contains(&nonce));
            if found.held.is_some() && !closes {
                write.tell(scope, key, holding)?;
            } else {
                write.untell(scope, key, holding)?;
            }
            Ok(found)
        })
    }

    /// See [`crate::Catalog::stop_waiting`].
    pub(super) fn take_back(
        &self,
        scope: &Scope,
        key: &Key,
        holding: &[u128],
    ) -> std::result::Result<(), CatalogError> {
        if holding.is_empty() {
            return Ok(());
        }
        self.write(|write| write.untell(scope, key, holding))
    }

    /// See [`crate::Catalog::reservations`].
    pub(super) fn list_reservations(
        &self,
        scope: Option<&Scope>,
    ) -> std::result::Result<Vec<Reservation>, CatalogError> {
        self.read(|conn| {
            let sql = format!(
                "SELECT {COLUMNS}, slot.key, slot.project, slot.domain, \
                 (SELECT count(*) FROM waiting WHERE waiting.key = slot.key \
                 AND waiting.project = slot.project AND waiting.domain = slot.domain) \
                 FROM slot WHERE nonce IS NOT NULL ORDER BY taken_at, key"
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.extend(reservation(row, self.ratchet.now())?);
            }
            found.retain(|found| scope.is_none_or(|scope| *scope == found.scope));
            Ok(found)
        })
    }
}

impl Write<'_> {
    fn tell(&self, scope: &Scope, key: &Key, holding: &[u128]) -> Result<()> {
        self.each(
            "INSERT INTO waiting (holder, key, project, domain) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT DO NOTHING",
            scope,
            key,
            holding,
        )
    }

    fn untell(&self, scope: &Scope, key: &Key, holding: &[u128]) -> Result<()> {
        self.each(
            "DELETE FROM waiting WHERE holder = ?1 AND key = ?2 AND project = ?3 AND domain = ?4",
            scope,
            key,
            holding,
        )
    }

    fn each(&self, sql: &str, scope: &Scope, key: &Key, holding: &[u128]) -> Result<()> {
        let mut statement = self.conn.prepare_cached(sql)?;
        holding.iter().try_for_each(|nonce| {
            let row = (nonce.to_be_bytes(), key.as_bytes(), &scope.project, &scope.domain);
            statement.execute(row).map(drop)
        })
    }
}

fn standing(
    conn: &Connection,
    scope: &Scope,
    key: &Key,
    now: &mut dyn FnMut() -> Time,
) -> Result<Standing> {
    let slot = conn
        .prepare_cached(by_key())?
        .query_row((key.as_bytes(), &scope.project, &scope.domain), |row| Slot::read(row, 0))
        .optional()?
        .unwrap_or_default();
    let held = slot.held(now());
    let beyond = match &held {
        Some(held) => beyond(conn, &held.holder, now())?,
        None => Vec::new(),
    };
    Ok(Standing { held, beyond, failure: slot.failure })
}

/// Whom a holder waits for, and whom those wait for, each once.
fn beyond(conn: &Connection, first: &Holder, now: Time) -> Result<Vec<Holder>> {
    let mut wanted = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM waiting JOIN slot USING (key, project, domain) \
         WHERE waiting.holder = ?1"
    ))?;
    let mut met: Vec<Holder> = Vec::new();
    let mut next = vec![first.nonce];
    while let Some(nonce) = next.pop() {
        let slots = wanted
            .query_map([nonce.to_be_bytes()], |row| Slot::read(row, 0))?
            .collect::<Result<Vec<_>>>()?;
        for holder in slots.iter().filter_map(|slot| Some(slot.held(now)?.holder)) {
            if met.iter().all(|known| known.nonce != holder.nonce) {
                next.push(holder.nonce);
                met.push(holder);
            }
        }
    }
    Ok(met)
}

fn reservation(row: &Row<'_>, now: Time) -> Result<Option<Reservation>> {
    let Some(held) = Slot::read(row, 0)?.held(now) else {
        return Ok(None);
    };
    let key = Key::from_bytes(row.get(WIDTH)?);
    let scope = Scope { project: marred(row, WIDTH + 1)?, domain: marred(row, WIDTH + 2)? };
    let waiting = row.get::<_, i64>(WIDTH + 3)?.unsigned_abs();
    Ok(Some(Reservation { scope, key, held, waiting }))
}
