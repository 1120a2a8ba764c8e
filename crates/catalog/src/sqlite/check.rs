//! Checking and compacting.

use std::time::Duration;

use rusqlite::{Connection, Result, Row};
use thrifty_key::Digest;

use super::Sqlite;
use super::commit::FORGOTTEN;
use super::lookup::millis;
use super::seal::{COLUMNS, Sealed, WIDTH, digest, parts_digest};
use super::select::references;
use crate::entry::Scope;
use crate::error::CatalogError;

/// How long a deleted blob is remembered, which is longer than any computation takes.
const BURIED: Duration = Duration::from_hours(90 * 24);

/// Pages moved while the file is shrunk before others may write: some milliseconds.
const PAGES: u32 = 500;

/// Queries for what must not be, and how to say it of a row's one column.
const FORBIDDEN: [(&str, &str); 4] = [
    (
        "an entry without usage or ingredients",
        "SELECT id FROM entry WHERE id NOT IN (SELECT entry FROM usage) \
         OR id NOT IN (SELECT entry FROM ingredients)",
    ),
    (
        "a reference to a blob that is not live, by the entry",
        "SELECT entry FROM reference LEFT JOIN blob USING (digest, generation) \
         WHERE blob.state IS NOT 0",
    ),
    (
        "a number not yet given, of the entry",
        "SELECT id FROM entry WHERE id > (SELECT last_entry FROM meta)",
    ),
    (
        "an epoch not yet reached, in slots:",
        "SELECT count(*) FROM slot WHERE epoch > (SELECT epoch FROM meta) HAVING count(*) > 0",
    ),
];

impl Sqlite {
    /// See [`crate::Catalog::check`].
    pub(super) fn findings(&self) -> std::result::Result<Vec<String>, CatalogError> {
        self.read(|conn| {
            let mut findings: Vec<String> = conn
                .prepare("PRAGMA quick_check")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_>>()?;
            findings.retain(|finding| finding != "ok");
            for (what, sql) in FORBIDDEN {
                let numbers = conn
                    .prepare(sql)?
                    .query_map([], |row| row.get::<_, i64>(0))?
                    .collect::<Result<Vec<_>>>()?;
                findings.extend(numbers.iter().map(|number| format!("{what} {number}")));
            }
            findings.extend(broken_seals(conn)?);
            Ok(findings)
        })
    }

    /// See [`crate::Catalog::compact`].
    pub(super) fn shrink(&self) -> std::result::Result<(), CatalogError> {
        self.write(|write| {
            let last = write.now.saturating_sub(millis(BURIED));
            write
                .conn
                .prepare_cached("DELETE FROM blob WHERE state = ?1 AND used_at < ?2")?
                .execute([FORGOTTEN, last])
        })?;
        let shrunk = self.shrink_file();
        // Beside readers the log cannot be cut now; it is cut when they are gone.
        let cut = self.step_through("PRAGMA wal_checkpoint(TRUNCATE)");
        shrunk.and(cut)
    }

    /// Moves the last pages of the file to free places, some at a time: commits go between.
    fn shrink_file(&self) -> std::result::Result<(), CatalogError> {
        let free = || {
            self.read(|conn| {
                conn.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))
            })
        };
        let mut left = free()?;
        while left > 0 {
            self.step_through(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            // Others free pages meanwhile; without progress, they are left to the next time.
            let now = free()?;
            if now >= left {
                return Ok(());
            }
            left = now;
        }
        Ok(())
    }

    /// Runs a pragma that works as long as it is asked for rows.
    fn step_through(&self, pragma: &str) -> std::result::Result<(), CatalogError> {
        let step_through = |conn: &Connection| -> Result<()> {
            let mut statement = conn.prepare(pragma)?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        };
        self.pool
            .write(|conn| step_through(conn).map_err(|error| super::fault(&self.pool.path, &error)))
    }
}

fn broken_seals(conn: &Connection) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT {COLUMNS}, entry.id, entry.project, entry.domain, entry.key, ingredients.body \
         FROM entry LEFT JOIN ingredients ON ingredients.entry = entry.id"
    );
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut findings = Vec::new();
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(WIDTH)?;
        match sealed_parts(row) {
            None => findings.push(format!("entry {id} does not match its seal")),
            Some(sealed) if found_parts(conn, row, id)? != Some(sealed) => {
                findings.push(format!("ingredients or blobs of entry {id} do not match its seal"));
            }
            Some(_) => {}
        }
    }
    Ok(findings)
}

fn sealed_parts(row: &Row<'_>) -> Option<Digest> {
    let scope = Scope { project: row.get(WIDTH + 1).ok()?, domain: row.get(WIDTH + 2).ok()? };
    let key = digest(row.get_ref(WIDTH + 3).ok()?)?;
    Some(Sealed::read(row, 0, &scope, &key)?.parts_digest)
}

fn found_parts(conn: &Connection, row: &Row<'_>, id: i64) -> Result<Option<Digest>> {
    let body: Option<Vec<u8>> = row.get(WIDTH + 4)?;
    let blobs = references(conn, id)?;
    Ok(body.map(|body| parts_digest(&body, &blobs)))
}
