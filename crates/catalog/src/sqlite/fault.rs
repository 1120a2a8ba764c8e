//! From what SQLite says to what the caller can do about it.

use std::path::Path;

use rusqlite::ffi::{SQLITE_ERROR, SQLITE_IOERR_SHMSIZE, SQLITE_IOERR_WRITE, sqlite3_system_errno};
use rusqlite::{Connection, Error, ErrorCode};

use crate::error::CatalogError;

/// Whether the bytes in the file are not what was written.
///
/// Every statement of this crate fits the tables of the format, and no row was written that does
/// not fit them: a column that is missing or holds another type, a row of `meta` that is not
/// there, or a constraint that does not hold, is damage as well.
pub(super) fn is_damage(error: &Error) -> bool {
    match error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::QueryReturnedNoRows
        | Error::Utf8Error(..)
        | Error::SqlInputError { .. } => true,
        // What a table that is not there says.
        Error::SqliteFailure(cause, _) if cause.extended_code == SQLITE_ERROR => true,
        error => matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::TypeMismatch
            )
        ),
    }
}

/// The error of the catalog at `path` that `error` stands for.
pub(super) fn fault(path: &Path, error: &Error) -> CatalogError {
    let reason = match error {
        // Without the statement, which says nothing to anybody else.
        Error::SqlInputError { msg, .. } => msg.clone(),
        error => error.to_string(),
    };
    let path = path.to_owned();
    if is_damage(error) {
        return CatalogError::Damaged { path, reason };
    }
    let Some(cause) = error.sqlite_error() else {
        return CatalogError::Failed { path, reason };
    };
    // Growing the shared index of the log fails so on a full disk.
    if cause.extended_code == SQLITE_IOERR_SHMSIZE {
        return CatalogError::Full { path };
    }
    match cause.code {
        // Interrupted: its budget was spent. The protocol of locks: others came first again and
        // again, while the log was opened.
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::OperationInterrupted
        | ErrorCode::FileLockingProtocolFailed => CatalogError::Busy { path },
        ErrorCode::DiskFull => CatalogError::Full { path },
        ErrorCode::ReadOnly => CatalogError::ReadOnly { path, reason },
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            CatalogError::Unreadable { path, reason }
        }
        _ => CatalogError::Failed { path, reason },
    }
}

/// As [`fault`], of what just failed on this connection: to SQLite, a write beyond a quota is one that
/// failed, and not one that found no space.
pub(super) fn fault_on(conn: &Connection, path: &Path, error: &Error) -> CatalogError {
    let is_write = |cause: &rusqlite::ffi::Error| cause.extended_code == SQLITE_IOERR_WRITE;
    // SAFETY: the handle is of a connection that is open as long as it is borrowed.
    let is_full = error.sqlite_error().is_some_and(is_write)
        && unsafe { sqlite3_system_errno(conn.handle()) } == libc::EDQUOT;
    if is_full { CatalogError::Full { path: path.to_owned() } } else { fault(path, error) }
}

#[cfg(test)]
mod tests {
    use crate::conformance::{entry, scope};
    use crate::entry::Claim;
    use crate::{Catalog, CatalogError, Mode, Sqlite};

    #[test]
    fn who_never_comes_to_read_the_log_is_told_of_others() {
        let protocol = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_PROTOCOL);
        let error = rusqlite::Error::SqliteFailure(protocol, None);
        let told = super::fault(std::path::Path::new("catalog.db"), &error);
        assert!(matches!(told, CatalogError::Busy { .. }), "{told}");
        assert!(told.is_certain());
    }

    #[test]
    fn a_full_disk_changes_nothing() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
        let limit = |pages: i64| {
            let set = |conn: &rusqlite::Connection| {
                conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                    .unwrap();
                Ok(())
            };
            catalog.pool.write(set).unwrap();
        };
        let mut large = entry("a", "a");
        large.output = vec![1; 100_000];
        limit(1);
        let commit = || catalog.commit(&scope("lab"), &large, &Claim::default());
        let refused = commit().unwrap_err();
        assert!(matches!(refused, CatalogError::Full { .. }), "{refused}");
        assert!(refused.is_certain());
        assert_eq!(catalog.check().unwrap(), []);
        assert_eq!(catalog.entries(None, &Default::default(), 9).unwrap(), []);
        limit(i64::from(u32::MAX) - 1);
        commit().unwrap();
    }
}
