//! What people and collections do: pins, evictions, and a history that does not grow for ever.

use std::collections::HashSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result};
use thrifty_key::{Digest, Ingredients, Kind, Preview};

use super::Sqlite;
use super::lookup::millis;
use super::select::Conditions;
use crate::entry::{EntryId, Invalidated, Scope, Selector, Time};
use crate::error::CatalogError;
use crate::run::Shortened;

/// Runs deleted in one transaction, with all their nodes.
const RUNS: usize = 20;
/// No run lasts so long. One that never ended is kept at least until then.
const ENDLESS: Duration = Duration::from_hours(90 * 24);
/// Memos, texts or answers deleted in one transaction.
pub(super) const ROWS: usize = 1_000;
/// How many are looked for at once.
pub(super) const MANY: usize = 100_000;

impl Sqlite {
    /// See [`crate::Catalog::pin`].
    pub(super) fn mark_pinned(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        pinned: bool,
    ) -> std::result::Result<u64, CatalogError> {
        self.write(|write| {
            let Some(conditions) = Conditions::new(scope, selector, write.now) else {
                return Ok(0);
            };
            let sql = format!(
                "UPDATE usage SET pinned = {} WHERE entry IN (SELECT entry.id FROM entry \
                 JOIN usage ON usage.entry = entry.id WHERE {})",
                u8::from(pinned),
                conditions.sql()
            );
            Ok(write.conn.prepare_cached(&sql)?.execute(conditions.params())? as u64)
        })
    }

    /// See [`crate::Catalog::evict`].
    pub(super) fn remove_unused(
        &self,
        ids: &[EntryId],
        chosen: Time,
    ) -> std::result::Result<Invalidated, CatalogError> {
        self.write(|write| {
            // A use that is still to come was written by nobody.
            let mut size = write.conn.prepare_cached(
                "SELECT size FROM entry JOIN usage ON usage.entry = entry.id \
                 WHERE id = ?1 AND pinned = 0 AND (used_at <= ?2 OR used_at > ?3)",
            )?;
            let mut removed = Invalidated::default();
            for id in ids {
                let size: Option<i64> =
                    size.query_row((id.0, chosen, write.now), |row| row.get(0)).optional()?;
                if let Some(size) = size {
                    write.remove(*id)?;
                    removed.entries += 1;
                    removed.bytes = removed.bytes.saturating_add(size.unsigned_abs());
                }
            }
            Ok(removed)
        })
    }

    /// See [`crate::Catalog::shorten`].
    pub(super) fn shorten_history(
        &self,
        age: Duration,
    ) -> std::result::Result<Shortened, CatalogError> {
        let now = self.ratchet.now();
        let before = now.saturating_sub(millis(age));
        // One that runs, or was killed: nobody says which it is.
        let given_up = before.min(now.saturating_sub(millis(ENDLESS)));
        let runs = self.each_found(
            |conn| old_runs(conn, before, given_up),
            // Numbers are given again.
            |conn, id: &i64| {
                conn.prepare_cached(
                    "DELETE FROM run WHERE id = ?1 AND started_at < ?2 \
                     AND (finished_at IS NOT NULL OR started_at < ?3)",
                )?
                .execute((id, before, given_up))
            },
            RUNS,
        )?;
        let memos = self.each_found(
            |conn| {
                conn.prepare_cached("SELECT topic, name FROM memo WHERE kept_at < ?1 LIMIT ?2")?
                    .query_map((before, MANY as i64), |row| Ok((row.get(0)?, row.get(1)?)))?
                    .collect()
            },
            |conn, (topic, name): &(String, Vec<u8>)| {
                conn.prepare_cached(
                    "DELETE FROM memo WHERE topic = ?1 AND name = ?2 AND kept_at < ?3",
                )?
                .execute((topic, name, before))
            },
            ROWS,
        )?;
        let texts = self.delete_texts(before)?;
        self.forget_answers()?;
        Ok(Shortened { runs, memos, texts })
    }

    /// Does something with all that are found, some in each transaction, after which they are found
    /// no more; says how many there were. They are looked for outside of it, for that takes the longer the more there is, and nobody can store
    /// anything in the meantime.
    pub(super) fn each_found<T>(
        &self,
        find: impl Fn(&Connection) -> Result<Vec<T>>,
        change: impl Fn(&Connection, &T) -> Result<usize>,
        some: usize,
    ) -> std::result::Result<u64, CatalogError> {
        let mut all = 0;
        loop {
            let found = self.read(&find)?;
            if found.is_empty() {
                return Ok(all);
            }
            let before = all;
            for some in found.chunks(some) {
                all += self.write(|write| {
                    some.iter().map(|one| change(write.conn, one)).sum::<Result<usize>>()
                })? as u64;
            }
            // Everything found was used anew, or somebody else did the same.
            if all == before {
                return Ok(all);
            }
        }
    }

    /// Deletes source texts that nothing refers to and that were kept before this time. Keeping
    /// one again makes it new, so that none goes that is about to be referred to.
    fn delete_texts(&self, before: Time) -> std::result::Result<u64, CatalogError> {
        let unused = self.read(|conn| unused_texts(conn, before))?;
        let mut all = 0;
        for some in unused.chunks(ROWS) {
            all += self.write(|write| {
                let mut delete = write
                    .conn
                    .prepare_cached("DELETE FROM text WHERE digest = ?1 AND kept_at < ?2")?;
                let delete = some.iter().map(|text| delete.execute((text.as_bytes(), before)));
                delete.sum::<Result<usize>>()
            })? as u64;
        }
        Ok(all)
    }
}

/// Runs that are to be forgotten. They begin in the order of their numbers, for the clock of the
/// catalog never goes back, so that only old ones are looked at.
fn old_runs(conn: &Connection, before: Time, given_up: Time) -> Result<Vec<i64>> {
    let mut runs = Vec::new();
    let mut statement =
        conn.prepare_cached("SELECT id, started_at, finished_at IS NOT NULL FROM run ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, started_at, is_finished): (i64, Time, bool) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        if started_at >= before || runs.len() >= MANY {
            break;
        }
        if is_finished || started_at < given_up {
            runs.push(id);
        }
    }
    Ok(runs)
}

fn unused_texts(conn: &Connection, before: Time) -> Result<Vec<Digest>> {
    let mut unused: HashSet<Digest> = conn
        .prepare_cached("SELECT digest FROM text WHERE kept_at < ?1")?
        .query_map([before], |row| row.get(0).map(Digest::from_bytes))?
        .collect::<Result<_>>()?;
    for sql in [
        "SELECT body FROM ingredients",
        "SELECT ingredients FROM node WHERE ingredients IS NOT NULL",
    ] {
        if unused.is_empty() {
            break;
        }
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let body = row.get_ref(0)?.as_blob().unwrap_or_default();
            // What cannot be read refers to nothing that can be shown.
            let Ok(ingredients) = rmp_serde::from_slice::<Ingredients>(body) else { continue };
            let parts = Kind::ALL.into_iter().flat_map(|kind| ingredients.parts(kind));
            for (_, part) in parts {
                if let Preview::Source(text) = &part.preview {
                    unused.remove(text);
                }
            }
        }
    }
    Ok(unused.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, Mode};

    #[test]
    fn all_that_is_found_is_done_however_few_are_found_at_once() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
        let names: Vec<[u8; 1]> = (0..8).map(|name| [name]).collect();
        let memos: Vec<(&[u8], &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
        catalog.remember("topic", &memos).unwrap();
        let find = |conn: &Connection| {
            conn.prepare("SELECT name FROM memo ORDER BY name LIMIT 3")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<Vec<Vec<u8>>>>()
        };
        let delete = |conn: &Connection, name: &Vec<u8>| {
            conn.execute("DELETE FROM memo WHERE name = ?1 AND name <> x'07'", [name])
        };
        let before = catalog.signal.writes();
        let done = catalog.each_found(find, delete, 2).unwrap();
        // The last is not found to be so when its turn comes, and is not looked for without end.
        assert_eq!(done, 7);
        assert_eq!(catalog.recall("topic", &[7]).unwrap().unwrap(), b"");
        // Three, three and two of them, two at a time, and the last once more.
        assert_eq!(catalog.signal.writes() - before, 2 + 2 + 1 + 1);
    }
}
