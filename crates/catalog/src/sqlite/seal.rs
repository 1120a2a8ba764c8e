//! The seal of an entry: SQLite's pages carry no checksum, so every row carries its own.

use rusqlite::Row;
use rusqlite::types::ValueRef;
use thrifty_key::{Context, Digest, Hasher, Key};

use super::commit::tail;
use crate::entry::{BlobRef, Scope};

/// The columns of `entry` in the order in which [`Sealed::read`] takes them.
pub(super) const COLUMNS: &str = "entry.operation, entry.output_digest, entry.parts_digest, \
     entry.size, entry.cost, entry.created_at, entry.expires_at, entry.run, entry.node, \
     entry.host, entry.user, entry.seal, entry.observed, entry.made_of, entry.output, \
     entry.tail";

/// The one of them that earlier formats lack.
pub(super) const MADE_OF: &str = "entry.made_of";

/// How many columns [`COLUMNS`] names.
pub(super) const WIDTH: usize = 16;

/// The sealed columns of an entry, borrowed from a row or about to be written.
pub(super) struct Sealed<'a> {
    pub(super) operation: &'a str,
    pub(super) output_digest: Digest,
    pub(super) parts_digest: Digest,
    pub(super) size: i64,
    pub(super) cost: i64,
    pub(super) created_at: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) run: Option<&'a str>,
    pub(super) node: i64,
    pub(super) host: &'a str,
    pub(super) user: &'a str,
    pub(super) observed: &'a [u8],
    pub(super) made_of: &'a [u8],
    pub(super) output: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Reads the columns of an entry of `scope` and `key`, the first of them at `first`. `None`
    /// if they do not match their seal: the bytes in the file are not those that were written. The
    /// tail, by which an invalidation finds the entry, must be that of the operation.
    pub(super) fn read(row: &'a Row<'_>, first: usize, scope: &Scope, key: &Key) -> Option<Self> {
        let at = |offset: usize| row.get_ref(first + offset).ok();
        let sealed = Self {
            operation: text(at(0)?)?,
            output_digest: digest(at(1)?)?,
            parts_digest: digest(at(2)?)?,
            size: integer(at(3)?)?,
            cost: integer(at(4)?)?,
            created_at: integer(at(5)?)?,
            expires_at: optional(at(6)?, integer)?,
            run: optional(at(7)?, text)?,
            node: integer(at(8)?)?,
            host: text(at(9)?)?,
            user: text(at(10)?)?,
            observed: bytes(at(12)?)?,
            made_of: bytes(at(13)?)?,
            output: bytes(at(14)?)?,
        };
        let is_whole =
            text(at(15)?)? == tail(sealed.operation) && digest(at(11)?)? == sealed.seal(scope, key);
        is_whole.then_some(sealed)
    }

    /// The seal, as specified in `docs/formats/catalog.md`.
    pub(super) fn seal(&self, scope: &Scope, key: &Key) -> Digest {
        let mut hasher = Hasher::new(Context::Value);
        hasher
            .framed(b"thrifty catalog entry 2")
            .digest(key)
            .framed(scope.project.as_bytes())
            .framed(scope.domain.as_bytes())
            .framed(self.operation.as_bytes())
            .digest(&self.output_digest)
            .digest(&self.parts_digest);
        for number in [self.size, self.cost, self.created_at, self.node] {
            hasher.raw(&number.to_le_bytes());
        }
        match self.expires_at {
            Some(at) => hasher.tag(1).raw(&at.to_le_bytes()),
            None => hasher.tag(0),
        };
        match self.run {
            Some(run) => hasher.tag(1).framed(run.as_bytes()),
            None => hasher.tag(0),
        };
        hasher
            .framed(self.host.as_bytes())
            .framed(self.user.as_bytes())
            .framed(self.observed)
            .framed(self.output);
        // Those of format 4 end here.
        if !self.made_of.is_empty() {
            hasher.framed(self.made_of);
        }
        hasher.finish()
    }
}

/// The digest over what an entry has in other tables. The blobs come in the order of digest and
/// generation.
pub(super) fn parts_digest(ingredients: &[u8], blobs: &[BlobRef]) -> Digest {
    let mut hasher = Hasher::new(Context::Value);
    hasher.framed(b"thrifty catalog parts 1").framed(ingredients).count(blobs.len());
    for blob in blobs {
        hasher
            .digest(&blob.digest)
            .raw(&blob.generation.to_le_bytes())
            .raw(&blob.length.to_le_bytes());
    }
    hasher.finish()
}

/// A digest out of a column, if that is what it holds.
pub(super) fn digest(value: ValueRef<'_>) -> Option<Digest> {
    Some(Digest::from_bytes(bytes(value)?.try_into().ok()?))
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

fn bytes(value: ValueRef<'_>) -> Option<&[u8]> {
    match value {
        ValueRef::Blob(bytes) => Some(bytes),
        _ => None,
    }
}

fn optional<'a, T>(
    value: ValueRef<'a>,
    read: impl Fn(ValueRef<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        ValueRef::Null => Some(None),
        value => read(value).map(Some),
    }
}
