//! Looking up keys: the hot path.

use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, Result};
use thrifty_key::Key;

use super::Sqlite;
use super::seal::{COLUMNS, Sealed, WIDTH};
use crate::entry::{EntryId, Found, Hit, Request, RunId, Scope, Slot, Time, Why};
use crate::error::CatalogError;
use crate::made_of::MadeOf;

/// The query for one key: sealed columns first, then the number.
pub(super) fn by_key() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {COLUMNS}, entry.id FROM entry WHERE key = ?1 AND project = ?2 AND domain = ?3"
        )
    });
    &SQL
}

impl Sqlite {
    /// See [`crate::Catalog::lookup`].
    ///
    /// Several keys are looked up in one transaction. One key needs none: the epoch of a miss is
    /// read after the entry, so it can only be too new for what happened before the call, and
    /// the computation begins after it.
    pub(super) fn look_up(
        &self,
        scope: &Scope,
        requests: &[Request],
    ) -> std::result::Result<Vec<Found>, CatalogError> {
        let now = self.ratchet.now();
        let mut broken = Vec::new();
        let found = self.read(|conn| {
            let together = requests.len() > 1;
            if together {
                conn.prepare_cached("BEGIN")?.execute([])?;
            }
            let found = find_all(conn, scope, requests, now, &mut broken);
            if together { end_reading(conn, found) } else { found }
        })?;
        if !broken.is_empty() {
            // The answer is a miss whether or not the row can be removed now.
            let _ = self.remove_broken(scope, &broken);
        }
        Ok(found)
    }

    /// Removes rows that do not match their seals, unless somebody replaced them meanwhile.
    fn remove_broken(
        &self,
        scope: &Scope,
        broken: &[(EntryId, Key)],
    ) -> std::result::Result<(), CatalogError> {
        self.write(|write| {
            for (id, key) in broken {
                let still = find(&mut write.conn.prepare_cached(by_key())?, scope, key, write.now)?;
                if matches!(still, Looked::Broken(found) if found == *id) {
                    write.remove(*id)?;
                }
            }
            Ok(())
        })
    }
}

/// Ends a transaction that only read. A failure in it may have ended it already, and is the news.
pub(super) fn end_reading<T>(conn: &Connection, found: Result<T>) -> Result<T> {
    let ended = match conn.is_autocommit() {
        true => Ok(0),
        false => conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])),
    };
    found.and_then(|found| ended.map(|_| found))
}

fn find_all(
    conn: &Connection,
    scope: &Scope,
    requests: &[Request],
    now: Time,
    broken: &mut Vec<(EntryId, Key)>,
) -> Result<Vec<Found>> {
    let mut statement = conn.prepare_cached(by_key())?;
    let mut slot = None;
    let mut miss = |why| -> Result<Found> {
        let epoch = match slot {
            Some(epoch) => epoch,
            None => *slot.insert(epoch(conn)?),
        };
        Ok(Found::Miss(Slot { epoch }, why))
    };
    requests
        .iter()
        .map(|request| match find(&mut statement, scope, &request.key, now)? {
            Looked::Valid(hit) if is_too_old(&hit, request.max_age, now) => miss(Why::TooOld),
            Looked::Valid(hit) => Ok(Found::Hit(hit)),
            Looked::Absent => miss(Why::Absent),
            Looked::Expired => miss(Why::Expired),
            Looked::Broken(id) => {
                broken.push((id, request.key));
                miss(Why::Corrupt)
            }
        })
        .collect()
}

/// What there is under a key.
enum Looked {
    Valid(Hit),
    Expired,
    Absent,
    Broken(EntryId),
}

fn find(
    statement: &mut CachedStatement<'_>,
    scope: &Scope,
    key: &Key,
    now: Time,
) -> Result<Looked> {
    let mut rows = statement.query((key.as_bytes(), &scope.project, &scope.domain))?;
    let Some(row) = rows.next()? else {
        return Ok(Looked::Absent);
    };
    let id = EntryId(row.get(WIDTH)?);
    let Some(sealed) = Sealed::read(row, 0, scope, key) else {
        return Ok(Looked::Broken(id));
    };
    if sealed.expires_at.is_some_and(|at| at <= now) {
        return Ok(Looked::Expired);
    }
    // What matches its seal was written so.
    let made_of = MadeOf::from_bytes(sealed.made_of).unwrap_or_default();
    Ok(Looked::Valid(Hit {
        entry: id,
        made_of,
        output: sealed.output.to_vec(),
        output_digest: sealed.output_digest,
        cost: nanos(sealed.cost),
        created_at: sealed.created_at,
        expires_at: sealed.expires_at,
        run: sealed.run.map(|run| RunId(run.to_owned())),
        observed: sealed.observed.to_vec(),
    }))
}

fn is_too_old(hit: &Hit, max_age: Option<Duration>, now: Time) -> bool {
    max_age.is_some_and(|age| now.saturating_sub(hit.created_at) > millis(age))
}

/// The number of the last invalidation or ticket anywhere.
pub(super) fn epoch(conn: &Connection) -> Result<i64> {
    conn.prepare_cached("SELECT epoch FROM meta")?.query_row([], |row| row.get(0))
}

/// Milliseconds, rounded up, so that no positive duration becomes none.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// A duration from a column of nanoseconds.
pub(super) fn nanos(column: i64) -> Duration {
    Duration::from_nanos(u64::try_from(column).unwrap_or(0))
}

/// A column of nanoseconds from a duration.
pub(super) fn column(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
