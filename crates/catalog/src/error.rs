//! What can go wrong with a catalog, by what the caller can do about it.

use std::path::PathBuf;

/// A catalog call that failed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Others held the catalog longer than we are willing to wait. Try again or do without. The
    /// same trouble has the same text: it is warned of once.
    #[error("the catalog {path} is busy: others held it for longer than may be waited for")]
    Busy {
        /// The catalog.
        path: PathBuf,
    },
    /// No space left. Do without; collect garbage.
    #[error("no space left for the catalog {path}; free some, or run `thrifty gc`")]
    Full {
        /// The catalog.
        path: PathBuf,
    },
    /// It cannot be written. Reading may go on.
    #[error("the catalog {path} is read-only: {reason}")]
    ReadOnly {
        /// The catalog.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It cannot be opened or read.
    #[error("cannot open the catalog {path}: {reason}")]
    Unreadable {
        /// The catalog.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It was made by a newer version of the format.
    #[error(
        "the catalog {path} has format {found} and this version knows {known}; \
         upgrade thrifty, or set THRIFTY_HOME to another directory"
    )]
    Newer {
        /// The catalog.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// It was made by an earlier version of the format.
    #[error(
        "the catalog {path} has format {found}, from before those that this version brings up to \
         {known}; delete its directory, or set THRIFTY_HOME to another one"
    )]
    Older {
        /// The catalog.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format known here.
        known: i64,
    },
    /// It is damaged. Nothing was deleted.
    #[error(
        "the catalog {path} is damaged: {reason}; `thrifty fsck --repair` saves what is sound in it"
    )]
    Damaged {
        /// The catalog.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Anything else; the call may or may not have taken effect.
    #[error("the catalog {path} failed: {reason}")]
    Failed {
        /// The catalog.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
}

impl CatalogError {
    /// Whether the call certainly changed nothing.
    pub const fn is_certain(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }
}
