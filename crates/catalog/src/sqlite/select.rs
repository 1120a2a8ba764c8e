//! Selectors as SQL, and the entries they select.

use std::fmt::Write as _;

use rusqlite::types::{ToSql, Value};
use rusqlite::{Connection, Params, Result, Row, params_from_iter};
use thrifty_key::{Digest, Ingredients};

use super::Sqlite;
use super::commit::tail;
use super::lookup::{end_reading, millis, nanos};
use super::seal::{COLUMNS, Sealed, WIDTH, parts_digest};
use crate::entry::{BlobRef, Entry, EntryId, Origin, RunId, Scope, Selector, Time};
use crate::error::CatalogError;
use crate::made_of::MadeOf;

/// Conditions on `entry` and `usage`, joined by `AND`, and what they bind.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// What selects the entries of `scope` that `selector` means at `now`. `None` if nothing can
    /// match: no key begins with something other than hexadecimal digits.
    pub(super) fn new(scope: Option<&Scope>, selector: &Selector, now: Time) -> Option<Self> {
        let Selector { ids, key_prefix, operation, run, older_than, unused_for, before } = selector;
        let mut all = Self::default();
        if let Some(scope) = scope {
            all.add("entry.project = ?", scope.project.clone());
            all.add("entry.domain = ?", scope.domain.clone());
        }
        if let Some(ids) = ids {
            all.add("entry.id IN (SELECT value FROM json_each(?))", list(ids));
        }
        if let Some(prefix) = key_prefix {
            let (low, high) = range(prefix)?;
            all.add("entry.key >= ?", low.as_bytes().to_vec());
            all.add("entry.key <= ?", high.as_bytes().to_vec());
        }
        if let Some(pattern) = operation {
            all.add_pattern(pattern);
        }
        if let Some(run) = run {
            all.add("entry.run = ?", run.0.clone());
        }
        if let Some(age) = older_than {
            all.add("entry.created_at < ?", now.saturating_sub(millis(*age)));
        }
        if let Some(rest) = unused_for {
            all.add("coalesce(usage.used_at, 0) < ?", now.saturating_sub(millis(*rest)));
        }
        if let Some(before) = before {
            all.add("entry.id < ?", before.0);
        }
        Some(all)
    }

    /// The conditions as text, true if there are none.
    pub(super) fn sql(&self) -> &str {
        if self.sql.is_empty() { "TRUE" } else { &self.sql }
    }

    /// What the conditions bind, in order.
    pub(super) fn params(&self) -> impl Params + '_ {
        params_from_iter(self.values.iter().map(|value| value as &dyn ToSql))
    }

    fn add(&mut self, condition: &str, value: impl Into<Value>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(condition);
        self.values.push(value.into());
    }

    /// A pattern without wildcards is looked up in the index.
    fn add_pattern(&mut self, pattern: &str) {
        if pattern.contains(['*', '?', '[']) {
            self.add("(entry.operation GLOB ? OR", pattern.to_owned());
            let _ = write!(self.sql, " entry.tail GLOB ?)");
            self.values.push(pattern.to_owned().into());
        } else {
            self.add("entry.tail = ?", tail(pattern).to_owned());
            if tail(pattern) != pattern {
                self.add("entry.operation = ?", pattern.to_owned());
            }
        }
    }
}

/// The lowest and the highest key that begin with these hexadecimal digits.
pub(super) fn range(prefix: &str) -> Option<(Digest, Digest)> {
    let digits = prefix.len() <= 64 && prefix.bytes().all(|digit| digit.is_ascii_hexdigit());
    let filled = |with: &str| (prefix.to_owned() + &with.repeat(64 - prefix.len())).parse();
    if !digits {
        return None;
    }
    Some((filled("0").ok()?, filled("f").ok()?))
}

/// Numbers of entries, as SQLite reads lists.
pub(super) fn list(ids: &[EntryId]) -> String {
    let mut text = String::from("[");
    for (n, id) in ids.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{}", id.0);
    }
    text.push(']');
    text
}

impl Sqlite {
    /// See [`crate::Catalog::entries`]. Rows that do not match their seals are left out.
    pub(super) fn list_entries(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        limit: usize,
    ) -> std::result::Result<Vec<Entry>, CatalogError> {
        let Some(conditions) = Conditions::new(scope, selector, self.ratchet.now()) else {
            return Ok(Vec::new());
        };
        let sql = format!(
            "SELECT {COLUMNS}, entry.id, entry.project, entry.domain, entry.key, usage.used_at, \
             usage.hits, usage.nondeterministic, ingredients.body, usage.pinned \
             FROM entry JOIN usage ON usage.entry = entry.id \
             JOIN ingredients ON ingredients.entry = entry.id \
             WHERE {} ORDER BY entry.id DESC",
            conditions.sql()
        );
        self.read(|conn| {
            conn.execute_batch("BEGIN")?;
            end_reading(conn, read_entries(conn, &sql, conditions.params(), limit))
        })
    }
}

fn read_entries(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    limit: usize,
) -> Result<Vec<Entry>> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut entries = Vec::new();
    while entries.len() < limit
        && let Some(row) = rows.next()?
    {
        entries.extend(read_entry(conn, row)?);
    }
    Ok(entries)
}

/// The entry in a row; `None` if it does not match its seal, or what is not sealed cannot be.
fn read_entry(conn: &Connection, row: &Row<'_>) -> Result<Option<Entry>> {
    let id: i64 = row.get(WIDTH)?;
    let (Ok(project), Ok(domain)) = (row.get(WIDTH + 1), row.get(WIDTH + 2)) else {
        return Ok(None);
    };
    let scope = Scope { project, domain };
    let Some(key) = super::seal::digest(row.get_ref(WIDTH + 3)?) else {
        return Ok(None);
    };
    let Some(sealed) = Sealed::read(row, 0, &scope, &key) else {
        return Ok(None);
    };
    let Ok(body) = row.get::<_, Vec<u8>>(WIDTH + 7) else {
        return Ok(None);
    };
    let blobs = match references(conn, id) {
        // What is there is no reference.
        Err(error) if error.sqlite_error().is_none() => return Ok(None),
        blobs => blobs?,
    };
    if parts_digest(&body, &blobs) != sealed.parts_digest {
        return Ok(None);
    }
    let Ok(ingredients) = rmp_serde::from_slice::<Ingredients>(&body) else {
        return Ok(None);
    };
    Ok(Some(Entry {
        id: EntryId(id),
        key,
        operation: sealed.operation.to_owned(),
        ingredients,
        output: sealed.output.to_vec(),
        output_digest: sealed.output_digest,
        blobs,
        size: sealed.size.unsigned_abs(),
        cost: nanos(sealed.cost),
        created_at: sealed.created_at,
        expires_at: sealed.expires_at,
        used_at: row.get(WIDTH + 4)?,
        hits: row.get::<_, i64>(WIDTH + 5)?.unsigned_abs(),
        origin: Origin {
            run: sealed.run.map(|run| RunId(run.to_owned())),
            node: u32::try_from(sealed.node).unwrap_or(0),
            host: sealed.host.to_owned(),
            user: sealed.user.to_owned(),
        },
        nondeterministic: row.get(WIDTH + 6)?,
        pinned: row.get(WIDTH + 8)?,
        observed: sealed.observed.to_vec(),
        made_of: MadeOf::from_bytes(sealed.made_of).unwrap_or_default(),
        scope,
    }))
}

/// The blobs an entry references, in the order of digest and generation.
pub(super) fn references(conn: &Connection, entry: i64) -> Result<Vec<BlobRef>> {
    let mut blobs = conn
        .prepare_cached(
            "SELECT digest, generation, length FROM reference \
             JOIN blob USING (digest, generation) WHERE entry = ?1",
        )?
        .query_map([entry], read_blob)?
        .collect::<Result<Vec<_>>>()?;
    blobs.sort_unstable();
    Ok(blobs)
}

/// A blob from a row of digest, generation and length.
pub(super) fn read_blob(row: &Row<'_>) -> Result<BlobRef> {
    Ok(BlobRef {
        digest: Digest::from_bytes(row.get(0)?),
        generation: row.get::<_, i64>(1)?.cast_unsigned(),
        length: row.get::<_, i64>(2)?.cast_unsigned(),
    })
}
