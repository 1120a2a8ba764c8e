//! What can be wrong with an operation file. Nothing has run when one of these is told.

use std::fmt;
use std::path::PathBuf;

use serde_saphyr::Location;

/// A place in a file, from 1; line 0 is the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    /// The place of a value in a file.
    pub(crate) fn of(path: &std::path::Path, location: Location) -> Self {
        Self { path: path.to_owned(), line: location.line(), column: location.column() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.path.display()),
            line => write!(f, "{}:{line}:{}", self.path.display(), self.column),
        }
    }
}

/// An operation file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It is no YAML, or its fields are not those of the format.
    #[error("{place}: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        reason: String,
    },
    /// Its parts do not fit together.
    #[error("{place}: {reason}")]
    Meaning {
        /// Where.
        place: Place,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// A parameter was set that the file does not have, or to a value that it cannot have.
    #[error("{}: {reason}", path.display())]
    Parameter {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        reason: String,
    },
}
