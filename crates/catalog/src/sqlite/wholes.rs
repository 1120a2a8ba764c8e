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
use crate::made_of::{Half, half, told};

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
    operation: String,
}

/// The lowest and the highest key.
pub(super) const ALL_KEYS: [Digest; 2] =
    [Digest::from_bytes([0; 32]), Digest::from_bytes([0xff; 32])];

/// Between these lies no key.
pub(super) const NO_KEY: [Digest; 2] = [ALL_KEYS[1], ALL_KEYS[0]];

/// The query for the entries of which what follows is so.
pub(super) const FIND: &str = "SELECT entry.id, entry.key, entry.project, entry.domain, entry.size, \
     entry.operation FROM entry LEFT JOIN usage ON usage.entry = entry.id WHERE";

/// The keys between which all keys of the call lie that has this one.
pub(super) fn keys_of_call(key: &Key) -> [Digest; 2] {
    keys_of_half(&half(key))
}

/// The keys between which all lie that have this half.
pub(super) fn keys_of_half(half: &Half) -> [Digest; 2] {
    [0, 0xff].map(|fill| {
        let mut bytes = [fill; 32];
        bytes[..half.len()].copy_from_slice(half);
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
                .and_then(|parts| of(conn, scope, selector, &parts, usize::MAX));
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
    let operation = marred(row, 5)?;
    Ok(Found { id: EntryId(row.get(0)?), key, scope, size: row.get(4)?, operation })
}

/// The entries beside these that were made of any of them, or of an operation that the selector
/// means; not more than `most`.
pub(super) fn of(
    conn: &Connection,
    scope: Option<&Scope>,
    selector: &Selector,
    parts: &[Found],
    most: usize,
) -> Result<Vec<Found>> {
    // All are selected themselves.
    if *selector == Selector::default() {
        return Ok(Vec::new());
    }
    let mut meant = Meant::new(conn, selector, parts);
    those(conn, scope, most, |found, made_of| meant.is_whole(found, made_of))
}

/// The entries that were made of what this call of the operation gave.
pub(super) fn of_call(
    conn: &Connection,
    scope: &Scope,
    operation: &str,
    key: &Key,
) -> Result<Vec<Found>> {
    let half = half(key);
    let is_it = |(name, halves): (&str, &[Half])| match halves {
        [] => name == operation,
        halves => halves.contains(&half),
    };
    those(conn, Some(scope), usize::MAX, |_, made_of| {
        Ok(told(made_of).map_while(|told| told).any(is_it))
    })
}

/// The entries that say that they were made of something that is so; not more than `most`.
fn those(
    conn: &Connection,
    scope: Option<&Scope>,
    most: usize,
    mut is_whole: impl FnMut(&Found, &[u8]) -> Result<bool>,
) -> Result<Vec<Found>> {
    let Some(conditions) = Conditions::new(scope, &Selector::default(), 0) else {
        return Ok(Vec::new());
    };
    let mut statement = conn.prepare_cached(&candidates(&conditions))?;
    let mut rows = statement.query(conditions.params())?;
    let mut wholes = Vec::new();
    while wholes.len() < most
        && let Some(row) = rows.next()?
    {
        // A row that is damaged answers no key.
        let Ok(found) = read(row) else { continue };
        let Ok(made_of) = row.get_ref(6)?.as_blob() else { continue };
        if is_whole(&found, made_of)? {
            wholes.push(found);
        }
    }
    Ok(wholes)
}

/// The query for the entries that were made of others.
fn candidates(conditions: &Conditions) -> String {
    format!(
        "SELECT entry.id, entry.key, entry.project, entry.domain, entry.size, entry.operation, \
         entry.made_of FROM entry WHERE entry.made_of <> x'' AND {}",
        conditions.sql()
    )
}

/// What is meant: entries that are to go, and what a selector of keys and operations means whether
/// it is stored or not.
struct Meant<'a> {
    conn: &'a Connection,
    ids: HashSet<EntryId>,
    halves: HashSet<(&'a Scope, Half)>,
    operations: HashSet<(&'a Scope, &'a str)>,
    /// The pattern, and the keys; nothing if the selector speaks of more.
    calls: Option<(Option<&'a str>, [Digest; 2])>,
    /// Which names the pattern matches, as far as that was asked.
    known: HashMap<String, bool>,
}

impl<'a> Meant<'a> {
    fn new(conn: &'a Connection, selector: &'a Selector, parts: &'a [Found]) -> Self {
        let keys = range(selector.key_prefix.as_deref().unwrap_or_default());
        let calls = keys
            .filter(|_| is_by_call(selector))
            .map(|(low, high)| (selector.operation.as_deref(), [low, high]));
        Self {
            conn,
            ids: parts.iter().map(|part| part.id).collect(),
            halves: parts.iter().map(|part| (&part.scope, half(&part.key))).collect(),
            operations: parts.iter().map(|part| (&part.scope, part.operation.as_str())).collect(),
            calls,
            known: HashMap::new(),
        }
    }

    /// Whether an entry, not itself one of those that are to go, was made of what is meant.
    fn is_whole(&mut self, found: &Found, made_of: &[u8]) -> Result<bool> {
        if self.ids.contains(&found.id) {
            return Ok(false);
        }
        for told in told(made_of) {
            let Some((operation, halves)) = told else { break };
            let is_there = match halves {
                [] => self.operations.contains(&(&found.scope, operation)),
                halves => halves.iter().any(|half| self.halves.contains(&(&found.scope, *half))),
            };
            if is_there || self.means(operation, halves)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the selector itself means a call of the operation.
    fn means(&mut self, operation: &str, halves: &[Half]) -> Result<bool> {
        let Some((pattern, [low, high])) = self.calls else {
            return Ok(false);
        };
        let between = |it: &Half| (half(&low)..=half(&high)).contains(it);
        let has_key = [low, high] == ALL_KEYS || halves.iter().any(between);
        Ok(has_key && self.is_meant(pattern, operation)?)
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
