//! From what SQLite says to what the caller can do about it.

use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::error::CatalogError;

/// How long a call waits for others before it gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The error of the catalog at `path` that `error` stands for.
pub(super) fn fault(path: &Path, error: &rusqlite::Error) -> CatalogError {
    let (path, reason) = (path.to_owned(), error.to_string());
    let Some(cause) = error.sqlite_error() else {
        return CatalogError::Failed { path, reason };
    };
    // Growing the shared index of the log fails so on a full disk.
    if cause.extended_code == SQLITE_IOERR_SHMSIZE {
        return CatalogError::Full { path };
    }
    match cause.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => CatalogError::Busy {
            path,
            waited_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
        },
        ErrorCode::DiskFull => CatalogError::Full { path },
        ErrorCode::ReadOnly => CatalogError::ReadOnly { path, reason },
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
            CatalogError::Unreadable { path, reason }
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            CatalogError::Damaged { path, reason }
        }
        _ => CatalogError::Failed { path, reason },
    }
}
