//! Does everything the catalog promises hold?
//!
//! A check never trusts what was verified before. Entries come and go while it works, so a
//! finding is reported only if it still stands when looked at again. A repair removes what
//! cannot be served, so that the next call computes it; bytes that are wrong are set aside and
//! not deleted, and nothing is touched because it could not be read. All of it is safe beside
//! others at work, except for [`salvage`], which needs the catalog for itself and says who has it.

mod examine;

use std::fmt;
use std::path::Path;

use serde::Serialize;
use thrifty_catalog::{Catalog, CatalogError, EntryId, Remedy, Sqlite};
pub use thrifty_catalog::{SalvageError, Salvaged};
use thrifty_store::{Blobs, GetError, RemoveError};

use self::examine::{Broken, Examination};
use crate::cache::CATALOG;

/// How much is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The catalog alone: that its tables and indexes agree, that every entry matches its seal and
    /// can be read, and that slots, references and states of blobs contradict nothing.
    Catalog,
    /// Also that every blob is there and has its length; what nothing needs is counted.
    #[default]
    Quick,
    /// Also every byte of every blob, every key, made again of its ingredients, and every value
    /// digest that a record tells.
    Full,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries checked.
    pub entries: u64,
    /// Blobs checked.
    pub blobs: u64,
    /// Bytes read and compared with their digest.
    pub bytes: u64,
    /// Files of blobs that the catalog does not know: left behind, or of computations under way.
    pub orphans: u64,
    /// The bytes of these.
    pub orphan_bytes: u64,
    /// Blobs that are gone, and that no entry needs: their rows go with the next collection.
    pub unbacked: u64,
    /// Interrupted writes, and blobs set aside.
    pub leftovers: u64,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// Entries removed by the repair.
    pub removed: u64,
    /// Blobs set aside by the repair.
    pub quarantined: u64,
    /// What was saved of a damaged catalog by the repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub salvaged: Option<Salvaged>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// The catalog's database is damaged. Only a new one can be sound: see [`salvage`].
    Catalog {
        /// What was found.
        problem: String,
    },
    /// An entry is not what was committed.
    Entry {
        /// The entry.
        entry: EntryId,
        /// What is wrong.
        problem: String,
    },
    /// Rows of the catalog beside its entries contradict each other.
    Rows {
        /// What is wrong.
        problem: String,
    },
    /// An entry is as it was committed, and cannot be served: its record cannot be read, or does
    /// not fit its key or its blobs.
    Record {
        /// The entry.
        entry: EntryId,
        /// Its operation.
        operation: String,
        /// What is wrong.
        problem: String,
    },
    /// The bytes of a blob are not those of its name.
    Corrupt {
        /// The blob.
        blob: String,
        /// What is wrong.
        problem: String,
        /// The entries that need it.
        entries: Vec<EntryId>,
    },
    /// A blob that entries need is not there.
    Missing {
        /// The blob.
        blob: String,
        /// The entries that need it.
        entries: Vec<EntryId>,
    },
    /// Something could not be read now; it may be sound.
    Unreadable {
        /// What the system said.
        problem: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog { problem } => write!(f, "the catalog is damaged: {problem}"),
            Self::Entry { problem, .. } => f.write_str(problem),
            Self::Rows { problem } => write!(f, "the catalog has {problem}"),
            Self::Record { entry, operation, problem } => {
                write!(f, "entry {} of {operation}: {problem}", entry.0)
            }
            Self::Corrupt { blob, problem, entries } => {
                write!(f, "blob {blob} is corrupt: {problem}; needed by {} entries", entries.len())
            }
            Self::Missing { blob, entries } => {
                write!(f, "blob {blob} is missing; needed by {} entries", entries.len())
            }
            Self::Unreadable { problem } => write!(f, "cannot be checked now: {problem}"),
        }
    }
}

/// A check that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store cannot be listed.
    #[error(transparent)]
    Store(#[from] GetError),
    /// Something wrong could not be set aside.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

/// Saves what is sound in the damaged catalog of a cache into a new one. The damaged file stays
/// beside it, and no blob is touched. Nobody may have the cache open.
///
/// # Errors
///
/// [`SalvageError`].
pub fn salvage(home: &Path) -> Result<Salvaged, SalvageError> {
    Sqlite::salvage(&home.join(CATALOG))
}

/// Checks the cache, and with `repair` makes it so that every entry that is left can be served.
/// Without, it changes nothing if `blobs` are handed over as they are: those of a cache set aside
/// what turns out corrupt when it is read.
///
/// # Errors
///
/// [`CheckError`] if the catalog or the store cannot be read at all, or not repaired.
pub fn check(
    catalog: &dyn Catalog,
    blobs: &dyn Blobs,
    level: Level,
    repair: bool,
) -> Result<Report, CheckError> {
    let mut examination = Examination::new(catalog, blobs, level);
    let problems = examination.catalog_itself()?;
    if repair && problems.iter().any(|problem| problem.remedy != Remedy::Rebuild) {
        examination.report.removed = catalog.mend(&problems)?;
    }
    // What is damaged hides entries, and the bytes that they need would look needless.
    let broken = if problems.iter().any(|problem| problem.remedy == Remedy::Rebuild) {
        Broken::default()
    } else {
        match examination.entries_and_blobs() {
            Err(CheckError::Catalog(error @ CatalogError::Damaged { .. })) => {
                let problem = error.to_string();
                examination.report.findings.push(Finding::Catalog { problem });
                Broken::default()
            }
            broken => broken?,
        }
    };
    examination.report.findings.sort();
    if repair {
        examination.repair(broken)?;
    }
    Ok(examination.report)
}

impl Finding {
    /// The entries that cannot be served because of it.
    pub fn entries(&self) -> &[EntryId] {
        match self {
            Self::Entry { entry, .. } | Self::Record { entry, .. } => std::slice::from_ref(entry),
            Self::Corrupt { entries, .. } | Self::Missing { entries, .. } => entries,
            Self::Catalog { .. } | Self::Rows { .. } | Self::Unreadable { .. } => &[],
        }
    }

    /// Whether a repair of this kind leaves it: it needs a new catalog, or another day.
    pub const fn outlasts_repair(&self) -> bool {
        matches!(self, Self::Catalog { .. } | Self::Unreadable { .. })
    }
}
