//! Source texts and memos: things that may be lost.

use rusqlite::OptionalExtension;
use thrifty_key::Digest;

use super::Sqlite;
use super::text::marred;
use crate::error::CatalogError;

impl Sqlite {
    /// See [`crate::Catalog::put_texts`].
    pub(super) fn keep_texts(&self, texts: &[(Digest, &str)]) -> Result<(), CatalogError> {
        if texts.is_empty() {
            return Ok(());
        }
        self.write(|write| {
            let mut keep = write.conn.prepare_cached(
                "INSERT INTO text (digest, body, kept_at) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET kept_at = ?3",
            )?;
            for (digest, text) in texts {
                keep.execute((digest.as_bytes(), text, write.now))?;
            }
            Ok(())
        })
    }

    /// See [`crate::Catalog::text`].
    pub(super) fn kept_text(&self, digest: &Digest) -> Result<Option<String>, CatalogError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT body FROM text WHERE digest = ?1")?
                .query_row([digest.as_bytes()], |row| marred(row, 0))
                .optional()
        })
    }

    /// See [`crate::Catalog::recall`].
    pub(super) fn memo(&self, topic: &str, name: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        self.read(|conn| {
            conn.prepare_cached("SELECT body FROM memo WHERE topic = ?1 AND name = ?2")?
                .query_row((topic, name), |row| row.get(0))
                .optional()
        })
    }

    /// See [`crate::Catalog::remember`].
    pub(super) fn keep_memos(
        &self,
        topic: &str,
        memos: &[(&[u8], &[u8])],
    ) -> Result<(), CatalogError> {
        if memos.is_empty() {
            return Ok(());
        }
        self.write(|write| {
            let mut keep = write.conn.prepare_cached(
                "INSERT INTO memo (topic, name, body, kept_at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO UPDATE SET body = ?3, kept_at = ?4",
            )?;
            for (name, body) in memos {
                keep.execute((topic, name, body, write.now))?;
            }
            Ok(())
        })
    }
}
