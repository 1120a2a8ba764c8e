//! Text that no seal vouches for.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Result, Row};

/// Text that nothing but people's reading depends on: where a bit of it flipped, it has a mark,
/// and what stands in the same row can still be had.
struct Marred(String);

impl FromSql for Marred {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Text(text) => Ok(Self(String::from_utf8_lossy(text).into_owned())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// The text in a column, whatever bytes it is made of.
pub(super) fn marred(row: &Row<'_>, at: usize) -> Result<String> {
    row.get::<_, Marred>(at).map(|text| text.0)
}

/// As [`marred`], where there may be none.
pub(super) fn marred_or_none(row: &Row<'_>, at: usize) -> Result<Option<String>> {
    row.get::<_, Option<Marred>>(at).map(|text| text.map(|text| text.0))
}
