//! What commits were answered, so that one that is repeated is told the same.

use std::time::Duration;

use rusqlite::{Error, OptionalExtension, Result};

use super::Sqlite;
use super::lookup::millis;
use super::upkeep::{MANY, ROWS};
use super::write::Write;
use crate::entry::{Committed, EntryId, NewEntry, Scope};
use crate::error::CatalogError;

/// For how long a commit can be repeated at least: longer than any message is on its way, and
/// than a machine sleeps overnight.
const REPEATED: Duration = Duration::from_hours(48);

/// Values of `how`.
const STORED: i64 = 0;
const SAME: i64 = 1;
const DIFFERENT: i64 = 2;

impl Write<'_> {
    /// What this commit was answered, whatever has become of its entry and its slot.
    pub(super) fn answered(&self, scope: &Scope, new: &NewEntry) -> Result<Option<Committed>> {
        let commit = (new.id.to_be_bytes(), new.key.as_bytes(), &scope.project, &scope.domain);
        let kept = self
            .conn
            .prepare_cached(
                "SELECT how, entry FROM committed \
                 WHERE id = ?1 AND key = ?2 AND project = ?3 AND domain = ?4",
            )?
            .query_row(commit, |row| Ok((row.get(0)?, EntryId(row.get(1)?))))
            .optional()?;
        kept.map(|(how, entry)| match how {
            STORED => Ok(Committed::Stored(entry)),
            SAME => Ok(Committed::Same(entry)),
            DIFFERENT => Ok(Committed::Different(entry)),
            unknown => Err(Error::IntegralValueOutOfRange(0, unknown)),
        })
        .transpose()
    }

    /// Keeps what a commit is answered. A refusal is not kept: it did nothing, and whoever may
    /// write the blobs anew commits them under the same id.
    pub(super) fn keep_answer(
        &self,
        scope: &Scope,
        new: &NewEntry,
        answer: &Committed,
    ) -> Result<()> {
        let (how, entry) = match answer {
            Committed::Stored(entry) => (STORED, entry),
            Committed::Same(entry) => (SAME, entry),
            Committed::Different(entry) => (DIFFERENT, entry),
            Committed::Fenced | Committed::BlobGone(_) => return Ok(()),
        };
        let (id, key) = (new.id.to_be_bytes(), new.key.as_bytes());
        self.conn
            .prepare_cached("INSERT INTO committed VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute((id, key, &scope.project, &scope.domain, how, entry.0, self.now))?;
        Ok(())
    }
}

impl Sqlite {
    /// Forgets the answers that nobody asks for any more.
    pub(super) fn forget_answers(&self) -> std::result::Result<(), CatalogError> {
        let before = self.ratchet.now().saturating_sub(millis(REPEATED));
        self.each_found(
            |conn| {
                conn.prepare_cached(
                    "SELECT id, key, project, domain FROM committed WHERE at < ?1 LIMIT ?2",
                )?
                .query_map((before, MANY as i64), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?
                .collect()
            },
            |conn, (id, key, project, domain): &(Vec<u8>, Vec<u8>, String, String)| {
                conn.prepare_cached(
                    "DELETE FROM committed WHERE id = ?1 AND key = ?2 AND project = ?3 AND domain = ?4",
                )?
                .execute((id, key, project, domain))
            },
            ROWS,
        )?;
        Ok(())
    }
}
