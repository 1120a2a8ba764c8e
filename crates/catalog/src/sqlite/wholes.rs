//! What was made of the entries that are to go.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, Params, Result, Row};
use thrifty_key::{Digest, Key};

use super::Sqlite;
use super::commit::tail;
use super::lookup::end_reading;
use super::select::{Conditions, range};
use super::text::marred;
use crate::entry::{EntryId, Scope, Selector};
use crate::error::CatalogError;
use crate::made_of::{MadeOf, half};

/// Whether what was made of removed entries is removed with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wholes {
    /// It is.
    Go,
    /// It is as good as it was.
    Stay,
}

/// One entry that is to go.
pub(super) struct Found {
    pub(super) id: EntryId,
    pub(super) key: Key,
    pub(super) scope: Scope,
    pub(super) size: i64,
}

/// Between these lies no key.
pub(super) const NO_KEY: [Digest; 2] =
    [Digest::from_bytes([0xff; 32]), Digest::from_bytes([0; 32])];

/// The query for the entries of which what follows is so.
pub(super) const FIND: &str = "SELECT entry.id, entry.key, entry.project, entry.domain, entry.size \
     FROM entry LEFT JOIN usage ON usage.entry = entry.id WHERE";

/// The keys between which all keys of the call lie that has this one.
pub(super) fn keys_of_call(key: &Key) -> [Digest; 2] {
    [0, 0xff].map(|fill| {
        let mut bytes = [fill; 32];
        let half = half(key);
        bytes[..half.len()].copy_from_slice(&half);
        Digest::from_bytes(bytes)
    })
}

/// Whether a selector speaks of keys and operations alone: it means what is being computed, too, and
/// what was made of results that were never stored.
pub(super) fn is_by_call(selector: &Selector) -> bool {
    let by_call = Selector {
        key_prefix: selector.key_prefix.clone(),
        operation: selector.operation.clone(),
        ..Selector::default()
    };
    *selector == by_call
}

impl Sqlite {
    /// See [`crate::Catalog::wholes`].
    pub(super) fn list_wholes(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> std::result::Result<Vec<EntryId>, CatalogError> {
        let Some(conditions) = Conditions::new(scope, selector, self.ratchet.now()) else {
            return Ok(Vec::new());
        };
        let sql = format!("{FIND} {}", conditions.sql());
        self.read(|conn| {
            conn.execute_batch("BEGIN")?;
            let beside = found(conn, &sql, conditions.params())
                .and_then(|parts| of(conn, scope, selector, &parts));
            end_reading(conn, beside)
        })
        .map(|beside| beside.into_iter().map(|it| it.id).collect())
    }
}

/// The entries that a query which begins as [`FIND`] gives.
pub(super) fn found(conn: &Connection, sql: &str, params: impl Params) -> Result<Vec<Found>> {
    conn.prepare_cached(sql)?.query_map(params, read)?.collect()
}

fn read(row: &Row<'_>) -> Result<Found> {
    let scope = Scope { project: marred(row, 2)?, domain: marred(row, 3)? };
    let key = Key::from_bytes(row.get(1)?);
    Ok(Found { id: EntryId(row.get(0)?), key, scope, size: row.get(4)? })
}

/// The entries beside these that were made of any of them, or of an operation that the selector
/// means.
pub(super) fn of(
    conn: &Connection,
    scope: Option<&Scope>,
    selector: &Selector,
    parts: &[Found],
) -> Result<Vec<Found>> {
    let (ids, halves): (HashSet<_>, HashSet<_>) =
        parts.iter().map(|part| (part.id, (&part.scope, half(&part.key)))).unzip();
    let Some(conditions) = Conditions::new(scope, &Selector::default(), 0) else {
        return Ok(Vec::new());
    };
    let sql = candidates(&conditions);
    let mut meant = Meant::new(conn, selector);
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(conditions.params())?;
    let mut wholes = Vec::new();
    while let Some(row) = rows.next()? {
        // A row that is damaged answers no key.
        let Ok(found) = read(row) else { continue };
        let Some(made_of) = row.get_ref(5)?.as_blob().ok().and_then(MadeOf::from_bytes) else {
            continue;
        };
        let mut every = made_of.calls().flat_map(|(_, halves)| halves);
        let is_one = !ids.contains(&found.id)
            && (every.any(|half| halves.contains(&(&found.scope, *half)))
                || meant.any_of(&made_of)?);
        if is_one {
            wholes.push(found);
        }
    }
    Ok(wholes)
}

/// The query for the entries that were made of others.
fn candidates(conditions: &Conditions) -> String {
    format!(
        "SELECT entry.id, entry.key, entry.project, entry.domain, entry.size, entry.made_of \
         FROM entry WHERE entry.made_of <> x'' AND {}",
        conditions.sql()
    )
}

/// The operations that a selector of keys and operations means, by their names.
struct Meant<'a> {
    conn: &'a Connection,
    /// The pattern, and the keys; nothing if the selector speaks of more.
    calls: Option<(Option<&'a str>, [Digest; 2])>,
    known: HashMap<String, bool>,
}

impl<'a> Meant<'a> {
    fn new(conn: &'a Connection, selector: &'a Selector) -> Self {
        let keys = range(selector.key_prefix.as_deref().unwrap_or_default());
        let calls = keys
            .filter(|_| is_by_call(selector))
            .map(|(low, high)| (selector.operation.as_deref(), [low, high]));
        Self { conn, calls, known: HashMap::new() }
    }

    fn any_of(&mut self, made_of: &MadeOf) -> Result<bool> {
        let Some((pattern, [low, high])) = self.calls else {
            return Ok(false);
        };
        for (operation, halves) in made_of.calls() {
            let has_any = [low, high] == [NO_KEY[1], NO_KEY[0]]
                || halves.range(half(&low)..=half(&high)).next().is_some();
            if has_any && self.is_meant(pattern, operation)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_meant(&mut self, pattern: Option<&str>, operation: &str) -> Result<bool> {
        let Some(pattern) = pattern else {
            return Ok(true);
        };
        if let Some(known) = self.known.get(operation) {
            return Ok(*known);
        }
        let is_meant = self
            .conn
            .prepare_cached("SELECT ?1 GLOB ?3 OR ?2 GLOB ?3")?
            .query_row((operation, tail(operation), pattern), |row| row.get(0))?;
        self.known.insert(operation.to_owned(), is_meant);
        Ok(is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema::bring_up;

    /// Most entries were made of nothing else, and none of these is read.
    #[test]
    fn wholes_are_found_by_their_index() {
        let conn = Connection::open_in_memory().unwrap();
        bring_up(&conn).unwrap();
        let scope = Scope { project: "lab".to_owned(), domain: "development".to_owned() };
        for scope in [None, Some(&scope)] {
            let conditions = Conditions::new(scope, &Selector::default(), 0).unwrap();
            let sql = format!("EXPLAIN QUERY PLAN {}", candidates(&conditions));
            let plan: String = conn.query_row(&sql, conditions.params(), |row| row.get(3)).unwrap();
            assert!(plan.ends_with("entry_made_of") || plan.contains("entry_made_of ("), "{plan}");
        }
    }
}
