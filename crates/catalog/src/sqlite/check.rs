//! Checking, mending and compacting.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, Error, ParamsFromIter, Result, Row, Statement, ffi, params_from_iter};
use thrifty_key::Digest;

use super::Sqlite;
use super::budget::{Budget, UPKEEP};
use super::commit::FORGOTTEN;
use super::fault::is_damage;
use super::lookup::millis;
use super::reserve::ALONE;
use super::schema::{Made, bring_up, inspect};
use super::seal::{COLUMNS, Sealed, WIDTH, digest, parts_digest};
use super::select::{list, references};
use super::write::{Write, begin_log_anew, step_through};
use crate::contract::LONGEST_LEASE;
use crate::entry::{EntryId, Scope, Time};
use crate::error::CatalogError;
use crate::problem::{Problem, Remedy};

/// How long a deleted blob is remembered, which is longer than any computation takes.
const BURIED: Duration = Duration::from_hours(90 * 24);

/// Pages moved while the file is shrunk before others may write: a millisecond, and half a
/// megabyte of log.
const PAGES: u32 = 100;

/// No lease reaches so far, nor the time that a key is left alone, not even one that begins while
/// this is checked. What reads so was damaged.
const NO_LEASE: Duration = LONGEST_LEASE.saturating_add(ALONE);

/// The entries that queries of [`ENTRIES`] are about.
const EVERY: &str = "SELECT id FROM entry";

/// What must not be of an entry, and the query for the numbers of those for which it is so.
const ENTRIES: [(&str, &str); 2] = [
    (
        "lacks its usage or its ingredients",
        "SELECT it.id FROM entry AS it WHERE it.id IN (SELECT id FROM entry) \
         AND (NOT EXISTS (SELECT 1 FROM usage WHERE usage.entry = it.id) \
         OR NOT EXISTS (SELECT 1 FROM ingredients WHERE ingredients.entry = it.id))",
    ),
    (
        "refers to a blob that is not live",
        "SELECT DISTINCT entry FROM reference LEFT JOIN blob USING (digest, generation) \
         WHERE blob.state IS NOT 0 AND entry IN (SELECT id FROM entry)",
    ),
];

/// What must not be of other rows: the query for how many are so, and what makes them fit.
/// `?1` is a moment until which nobody can have or be refused a slot.
const ROWS: [(&str, &str, &str); 10] = [
    (
        "usage of no entry",
        "SELECT count(*) FROM usage WHERE entry NOT IN (SELECT id FROM entry)",
        "DELETE FROM usage WHERE entry NOT IN (SELECT id FROM entry)",
    ),
    (
        "ingredients of no entry",
        "SELECT count(*) FROM ingredients WHERE entry NOT IN (SELECT id FROM entry)",
        "DELETE FROM ingredients WHERE entry NOT IN (SELECT id FROM entry)",
    ),
    (
        "references of no entry",
        "SELECT count(*) FROM reference WHERE entry NOT IN (SELECT id FROM entry)",
        "DELETE FROM reference WHERE entry NOT IN (SELECT id FROM entry)",
    ),
    (
        "blobs without a name, a length or a state that there is",
        "SELECT count(*) FROM blob WHERE state NOT IN (0, 1, 2) OR length < 0 \
         OR length(digest) <> 32 OR generation < 0",
        "DELETE FROM blob WHERE state NOT IN (0, 1, 2) OR length < 0 \
         OR length(digest) <> 32 OR generation < 0",
    ),
    (
        "slots that nobody can hold as they are held",
        "SELECT count(*) FROM slot WHERE lease_until > ?1 OR fence < 0 OR epoch < 0 \
         OR length(nonce) <> 16 OR (nonce IS NULL) <> (lease_until IS NULL)",
        "UPDATE slot SET nonce = NULL, lease_until = NULL, fence = max(fence, 0), \
         epoch = max(epoch, (SELECT epoch FROM meta)) \
         WHERE lease_until > ?1 OR fence < 0 OR epoch < 0 \
         OR length(nonce) <> 16 OR (nonce IS NULL) <> (lease_until IS NULL)",
    ),
    (
        "slots that were given up in no way that there is",
        "SELECT count(*) FROM slot WHERE alone_until > ?1 OR failures < 0 \
         OR length(ended) <> 16",
        "UPDATE slot SET alone_until = 0, failures = 0, ended = NULL \
         WHERE alone_until > ?1 OR failures < 0 OR length(ended) <> 16",
    ),
    (
        "commits answered in no way that there is",
        "SELECT count(*) FROM committed WHERE how NOT IN (0, 1, 2) OR length(id) <> 16",
        "DELETE FROM committed WHERE how NOT IN (0, 1, 2) OR length(id) <> 16",
    ),
    // Every write puts it right.
    (
        "clocks at a time that has not come to anybody",
        "SELECT count(*) FROM meta WHERE clock NOT BETWEEN 0 AND 1 << 43",
        "",
    ),
    // The two below are mended by handing out greater numbers, see `Write::catch_up`.
    (
        "entries with a number not yet given",
        "SELECT count(*) FROM entry WHERE id > (SELECT last_entry FROM meta)",
        "",
    ),
    (
        "slots or invalidations of an epoch not yet reached",
        "SELECT (SELECT count(*) FROM slot WHERE epoch > (SELECT epoch FROM meta)) \
         + (SELECT count(*) FROM invalidation WHERE epoch > (SELECT epoch FROM meta)) \
         + (SELECT count(*) FROM meta WHERE log_floor > epoch)",
        "",
    ),
];

/// How often a damaged catalog is looked at before it counts as one.
const LOOKS: usize = 3;

impl Sqlite {
    /// See [`crate::Catalog::check`].
    pub(super) fn problems(&self) -> std::result::Result<Vec<Problem>, CatalogError> {
        let longest = self.longest_lease(self.ratchet.now());
        // Before the numbers are read that were given since.
        let stored = self.signal.entries();
        standing(|| {
            self.read(|conn| {
                let mut found = look(conn, longest)?;
                found.extend(tolerate(missing(conn, stored))?);
                Ok(found)
            })
        })
    }

    /// See [`crate::Catalog::mend`].
    pub(super) fn mend_rows(&self, problems: &[Problem]) -> std::result::Result<u64, CatalogError> {
        let doomed = problems.iter().filter_map(|problem| match problem.remedy {
            Remedy::Remove(entry) => Some(entry),
            Remedy::Mend | Remedy::Rebuild => None,
        });
        let mut doomed: Vec<_> = doomed.collect();
        doomed.sort_unstable();
        doomed.dedup();
        if problems.iter().all(|problem| problem.remedy == Remedy::Rebuild) {
            return Ok(0);
        }
        let longest = self.longest_lease(self.ratchet.now());
        let unfit = self.read(|conn| unfit_rows(conn, longest))?;
        let mut is_short = false;
        let removed = self.write(|write| {
            let mut removed = 0;
            // What was broken when it was looked at may have been replaced since. No other entry
            // is looked at: everybody waits for this.
            let broken = match doomed.is_empty() {
                true => Vec::new(),
                false => broken_entries(write.conn, Some(&doomed))?,
            };
            let still = |id: &EntryId| broken.iter().any(|it| it.remedy == Remedy::Remove(*id));
            for id in doomed.iter().filter(|id| still(id)) {
                write.remove(*id)?;
                removed += 1;
            }
            write.mend(&unfit, self.longest_lease(write.now))?;
            is_short = self.signal.entries() > write.last_entry().unsigned_abs();
            Ok(removed)
        });
        if is_short && removed.is_ok() {
            self.signal.forget_entries();
        }
        removed
    }

    fn longest_lease(&self, now: Time) -> Time {
        now.saturating_add(millis(NO_LEASE))
    }

    /// See [`crate::Catalog::compact`].
    pub(super) fn shrink(&self) -> std::result::Result<(), CatalogError> {
        let buried = self.write(|write| {
            let last = write.now.saturating_sub(millis(BURIED));
            // What a reservation waited for that is no more means nothing.
            write.conn.execute_batch(
                "DELETE FROM waiting WHERE holder NOT IN \
                 (SELECT nonce FROM slot WHERE nonce IS NOT NULL)",
            )?;
            write
                .conn
                .prepare_cached("DELETE FROM blob WHERE state = ?1 AND used_at < ?2")?
                .execute([FORGOTTEN, last])
        });
        let shrunk = self.shrink_file();
        // On a full disk this may be the step that makes room for the others.
        buried.and(shrunk).and(self.cut_log(UPKEEP))
    }

    /// Writes the log back, and cuts it where no reader needs it any more, in its turn among those
    /// who write: one of them would always be there first.
    fn cut_log(&self, budget: Budget) -> std::result::Result<(), CatalogError> {
        self.step_through("PRAGMA wal_checkpoint(PASSIVE)", budget)?;
        budget.spend(|| {
            self.pool.write(|conn| {
                let cut = self.take_lock(conn).and_then(|()| {
                    conn.execute_batch("ROLLBACK")?;
                    begin_log_anew(conn)
                });
                self.signal.wrote();
                cut.map_err(|error| super::fault(&self.pool.path, &error))
            })
        })
    }

    /// Moves the last pages of the file to free places, some at a time: commits go between. Each
    /// step goes through the log, which is cut where it finds no more space.
    fn shrink_file(&self) -> std::result::Result<(), CatalogError> {
        let free = || {
            self.read(|conn| {
                conn.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))
            })
        };
        let mut left = free()?;
        while left > 0 {
            let pragma = format!("PRAGMA incremental_vacuum({PAGES})");
            let step = || self.step_through(&pragma, UPKEEP);
            match step() {
                Err(CatalogError::Full { .. }) => self.cut_log(UPKEEP).and_then(|()| step())?,
                stepped => stepped?,
            }
            // Others free pages meanwhile; without progress, they are left to the next time.
            let now = free()?;
            if now >= left {
                return Ok(());
            }
            left = now;
        }
        Ok(())
    }

    /// Runs a pragma that works as long as it is asked for rows, and waits for others meanwhile as
    /// the budget says.
    fn step_through(&self, pragma: &str, budget: Budget) -> std::result::Result<(), CatalogError> {
        let stepped = self.pool.write(|conn| {
            budget
                .spend(|| step_through(conn, pragma))
                .map_err(|error| super::fault(&self.pool.path, &error))
        });
        self.signal.wrote();
        stepped
    }
}

impl Write<'_> {
    /// Makes rows beside the entries fit, of the kinds of which some were found not to.
    fn mend(&self, unfit: &[&str], longest_lease: Time) -> Result<()> {
        for mended in unfit {
            let mut statement = self.conn.prepare(mended)?;
            statement.execute(bound(&statement, longest_lease))?;
        }
        let sql = "SELECT (SELECT coalesce(max(id), 0) FROM entry), \
             max((SELECT coalesce(max(epoch), 0) FROM slot), \
                 (SELECT coalesce(max(epoch), 0) FROM invalidation))";
        let (entry, epoch) = self.conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.catch_up(entry, epoch);
        Ok(())
    }
}

/// What still stands when it is looked at again. SQLite takes a page for damaged that it could not
/// read just now; what is damaged is so each time, and in the same words unless somebody writes.
fn standing<E>(
    mut look: impl FnMut() -> std::result::Result<Vec<Problem>, E>,
) -> std::result::Result<Vec<Problem>, E> {
    let mut seen: Vec<Problem> = Vec::new();
    let mut found = look()?;
    for _ in 1..LOOKS {
        let is_damage = |problem: &&Problem| problem.remedy == Remedy::Rebuild;
        let mut damage = found.iter().filter(is_damage).peekable();
        if damage.peek().is_none() || damage.any(|problem| seen.contains(problem)) {
            return Ok(found);
        }
        seen.append(&mut found);
        found = look()?;
    }
    Ok(found)
}

/// All that is wrong at one look.
fn look(conn: &Connection, longest_lease: Time) -> Result<Vec<Problem>> {
    let mut found = tolerate(structure(conn))?;
    found.append(&mut tolerate(misshapen(conn))?);
    let mut entries = tolerate(broken_entries(conn, None))?;
    entries.sort_by_key(|problem| problem.what.clone());
    found.append(&mut entries);
    for (what, query, _) in ROWS {
        found.append(&mut tolerate(broken_rows(conn, what, query, longest_lease))?);
    }
    Ok(found)
}

/// A column of a table: its table, its name, its type, whether it must be there, and its place in
/// the primary key.
type Column = (String, String, String, bool, i64);

/// Tables whose columns are not as this format has them: SQLite believes the text of its schema.
fn misshapen(conn: &Connection) -> Result<Vec<Problem>> {
    if inspect(conn)? != Made::Current {
        return Ok(Vec::new());
    }
    let new = Connection::open_in_memory()?;
    bring_up(&new)?;
    let (found, wanted) = (columns(conn)?, columns(&new)?);
    let tables: BTreeSet<_> =
        found.symmetric_difference(&wanted).map(|(table, ..)| table.as_str()).collect();
    let problem = |table| rebuild(format!("table {table} has not the columns of this format"));
    Ok(tables.into_iter().map(problem).collect())
}

fn columns(conn: &Connection) -> Result<BTreeSet<Column>> {
    let mut statement = conn.prepare(
        "SELECT it.name, part.name, part.type, part.\"notnull\", part.pk FROM sqlite_schema AS it, \
         pragma_table_info(it.name, 'main') AS part WHERE it.type = 'table'",
    )?;
    let column =
        |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    statement.query_map([], column)?.collect()
}

/// Whether more entries were stored than this catalog gave numbers to. SQLite takes an empty file
/// for a new database, and a log that lost its end for a shorter one.
fn missing(conn: &Connection, stored: u64) -> Result<Vec<Problem>> {
    let sql = "SELECT last_entry FROM meta";
    let given: i64 = conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    let given = given.unsigned_abs();
    let Some(count @ 1..) = stored.checked_sub(given) else { return Ok(Vec::new()) };
    let what = format!(
        "missing entries that were stored: {count}; the catalog was emptied, removed or put back \
         from a copy, or the machine stopped before they were on its disk; they are computed again"
    );
    Ok(vec![Problem { remedy: Remedy::Mend, what }])
}

/// What was found until the damage was met, and that it was met.
fn tolerate(found: Result<Vec<Problem>>) -> Result<Vec<Problem>> {
    match found {
        Err(error) if is_damage(&error) => Ok(vec![rebuild(error.to_string())]),
        found => found,
    }
}

fn rebuild(what: String) -> Problem {
    Problem { remedy: Remedy::Rebuild, what }
}

fn structure(conn: &Connection) -> Result<Vec<Problem>> {
    let mut statement = conn.prepare("PRAGMA integrity_check")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let lines = lines.collect::<Result<Vec<_>>>()?;
    if let Some(error) = lines.iter().find_map(|line| passing(line)) {
        return Err(error);
    }
    Ok(lines.into_iter().filter(|line| line != "ok").map(rebuild).collect())
}

/// The failure that a line of the check tells of, if it is one that may pass: what could not be
/// read just now, for want of a descriptor or of memory, is not damaged.
fn passing(line: &str) -> Option<Error> {
    let (_, code) = line.split_once("error code")?;
    let code: i32 = code.trim_start_matches(['=', ' ']).trim_end().parse().ok()?;
    let error = Error::SqliteFailure(ffi::Error::new(code), Some(line.to_owned()));
    (!is_damage(&error)).then_some(error)
}

/// What a statement of [`ROWS`] binds, if it binds anything.
fn bound(statement: &Statement<'_>, longest_lease: Time) -> ParamsFromIter<Option<Time>> {
    params_from_iter((statement.parameter_count() > 0).then_some(longest_lease))
}

fn broken_rows(conn: &Connection, what: &str, query: &str, longest: Time) -> Result<Vec<Problem>> {
    let mut statement = conn.prepare(query)?;
    let count: i64 = statement.query_row(bound(&statement, longest), |row| row.get(0))?;
    let problem = || Problem { remedy: Remedy::Mend, what: format!("{what}: {count}") };
    Ok((count > 0).then(problem).into_iter().collect())
}

/// What mends the kinds of rows of which some do not fit.
fn unfit_rows(conn: &Connection, longest_lease: Time) -> Result<Vec<&'static str>> {
    let mut found = Vec::new();
    for (_, query, mended) in ROWS.iter().filter(|(_, _, mended)| !mended.is_empty()) {
        let mut statement = conn.prepare(query)?;
        let count: i64 = statement.query_row(bound(&statement, longest_lease), |row| row.get(0))?;
        found.extend((count > 0).then_some(*mended));
    }
    Ok(found)
}

/// The entries that are not what was committed, of all or of these alone.
fn broken_entries(conn: &Connection, among: Option<&[EntryId]>) -> Result<Vec<Problem>> {
    let mut found = broken_seals(conn, among)?;
    for (what, query) in ENTRIES {
        let query = match among {
            Some(_) => query.replace(EVERY, "SELECT value FROM json_each(?1)"),
            None => query.to_owned(),
        };
        let mut statement = conn.prepare(&query)?;
        let ids = statement.query_map(params_from_iter(among.map(list)), |row| row.get(0))?;
        let ids = ids.collect::<Result<Vec<i64>>>()?;
        found.extend(ids.into_iter().map(|id| broken(id, what)));
    }
    Ok(found)
}

fn broken(id: i64, what: &str) -> Problem {
    Problem { remedy: Remedy::Remove(EntryId(id)), what: format!("entry {id} {what}") }
}

fn broken_seals(conn: &Connection, among: Option<&[EntryId]>) -> Result<Vec<Problem>> {
    let mut sql = format!(
        "SELECT {COLUMNS}, entry.id, entry.project, entry.domain, entry.key, ingredients.body \
         FROM entry LEFT JOIN ingredients ON ingredients.entry = entry.id"
    );
    if among.is_some() {
        sql += " WHERE entry.id IN (SELECT value FROM json_each(?1))";
    }
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(among.map(list)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(WIDTH)?;
        match sealed_parts(row) {
            None => found.push(broken(id, "does not match its seal")),
            Some(sealed) if found_parts(conn, row, id)? != Some(sealed) => {
                found.push(broken(id, "does not match its seal in its ingredients or blobs"));
            }
            Some(_) => {}
        }
    }
    Ok(found)
}

fn sealed_parts(row: &Row<'_>) -> Option<Digest> {
    let scope = Scope { project: row.get(WIDTH + 1).ok()?, domain: row.get(WIDTH + 2).ok()? };
    let key = digest(row.get_ref(WIDTH + 3).ok()?)?;
    Some(Sealed::read(row, 0, &scope, &key)?.parts_digest)
}

/// The digest of the parts that are there; `None` if they are not even parts.
fn found_parts(conn: &Connection, row: &Row<'_>, id: i64) -> Result<Option<Digest>> {
    let blobs = match references(conn, id) {
        Err(error) if error.sqlite_error().is_none() => return Ok(None),
        blobs => blobs?,
    };
    let body: Option<Vec<u8>> = row.get(WIDTH + 4).unwrap_or_default();
    Ok(body.map(|body| parts_digest(&body, &blobs)))
}

#[cfg(test)]
mod tests {
    use super::super::budget::AT_ONCE;
    use super::super::open::beside;
    use super::*;
    use crate::{Catalog, Mode};

    /// Not beside the others, where it would find one of them writing each time and cut nothing.
    #[test]
    fn who_cuts_the_log_takes_his_turn_among_those_who_write() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
        let length = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
        catalog.remember("topic", &[(b"name", b"body")]).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let refused = catalog.cut_log(AT_ONCE);
        assert!(matches!(refused, Err(CatalogError::Busy { .. })), "{refused:?}");
        assert!(length() > 0);
        other.execute_batch("ROLLBACK").unwrap();
        let before = catalog.signal.writes();
        catalog.cut_log(AT_ONCE).unwrap();
        assert_eq!(length(), 0);
        // Writing back is one turn, cutting another, and whoever waits is woken after each.
        assert_eq!(catalog.signal.writes() - before, 2);
        assert_eq!(catalog.recall("topic", b"name").unwrap().unwrap(), b"body");
    }

    #[test]
    fn damage_is_what_is_seen_again() {
        let damage = |what: &str| rebuild(what.to_owned());
        let row = || Problem { remedy: Remedy::Mend, what: "rows".to_owned() };
        for (looks, found) in [
            (vec![vec![]], vec![]),
            (vec![vec![row()]], vec![row()]),
            (vec![vec![damage("a")], vec![row()]], vec![row()]),
            (vec![vec![damage("a")], vec![damage("a"), row()]], vec![damage("a"), row()]),
            (vec![vec![damage("a")], vec![damage("b")], vec![]], vec![]),
            (vec![vec![damage("a")], vec![damage("b")], vec![damage("c")]], vec![damage("c")]),
        ] {
            let mut ahead = looks.into_iter();
            let stands = standing(|| ahead.next().ok_or("it looked once too often"));
            assert_eq!(stands, Ok(found));
            assert_eq!(ahead.next(), None, "it looked too seldom");
        }
    }

    #[test]
    fn what_cannot_be_read_now_is_not_damaged() {
        let line =
            |code: i32| format!("Tree 16 page 16: unable to get the page. error code={code}");
        let (read, memory, open) = (266, 7, 14);
        for code in [read, memory, open] {
            assert!(passing(&line(code)).is_some(), "{code}");
        }
        let corrupt = 11;
        assert!(passing(&line(corrupt)).is_none());
        assert!(passing("Tree 2 page 5: btreeInitPage() returns error code 11").is_none());
        assert!(passing("row 3 missing from index entry_tail").is_none());
    }
}
