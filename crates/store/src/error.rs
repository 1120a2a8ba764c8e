//! What can go wrong, by phase, and what the caller can do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thrifty_key::Digest;

use crate::BlobName;

/// A blob could not be written. Nothing became visible; the caller keeps its bytes.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// No space, no quota, or beyond the largest file allowed. Collecting garbage may help.
    #[error("no space left to store a blob in {}: free some, or run `thrifty gc`", path.display())]
    Full {
        /// Where it was written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The filesystem is mounted read-only: hits are still served.
    #[error("cannot store a blob in {}: the filesystem is read-only", path.display())]
    ReadOnly {
        /// Where it was written.
        path: PathBuf,
    },
    /// The user may not write there, or the directory is not safe to use.
    #[error("cannot store a blob in {}: {reason}", path.display())]
    Denied {
        /// Where it was written.
        path: PathBuf,
        /// Why, and the way out.
        reason: String,
    },
    /// The file to be stored could not be read.
    #[error("cannot read {} in order to store it: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else, such as a failing disk or too many open files. May pass.
    #[error("cannot store a blob in {}: {source}", path.display())]
    Io {
        /// Where it was written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PutError {
    /// The error for a failure of the system while writing at `path`.
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        // By kind: errors that carry a path have lost their number.
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::Full { path, source }
            }
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            ErrorKind::PermissionDenied => Self::Denied {
                reason: "permission denied: set THRIFTY_HOME to a directory of your own".into(),
                path,
            },
            _ => Self::Io { path, source },
        }
    }
}

/// A blob could not be read. Whatever the variant, the caller has a miss.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The blob is certainly not there: what refers to it can be repaired.
    #[error("blob {name} is missing")]
    Missing {
        /// The blob.
        name: BlobName,
    },
    /// The bytes are not those of the name. They must not be used.
    #[error("blob {name} is corrupt: {found}")]
    Corrupt {
        /// The blob: the digest and length expected.
        name: BlobName,
        /// What is there instead.
        found: Damage,
    },
    /// The system cannot tell now: no permission, a failing disk, too many open files. What refers
    /// to the blob must be kept.
    #[error("cannot read blob storage at {}: {source}", path.display())]
    Transient {
        /// What was read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl GetError {
    /// Whether the blob is certainly gone, or certainly no longer itself.
    ///
    /// Only then may what refers to it be repaired or deleted.
    pub const fn is_certain_absence(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Corrupt { .. })
    }

    /// The blob cannot be read now.
    pub(crate) fn transient(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Transient { path: path.to_owned(), source: source.into() }
    }
}

/// How a corrupt blob differs from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It has another length.
    #[error("it has {0} bytes")]
    Length(u64),
    /// It has the right length and another digest.
    #[error("its bytes have the digest {0}")]
    Digest(Digest),
    /// It is a symlink, a directory or a device.
    #[error("it is not a regular file")]
    NotAFile,
}

/// A blob or leftover could not be removed or set aside. It may still be there.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}: {source}", path.display())]
pub struct RemoveError {
    /// What was to be removed.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A blob could not become a file.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The blob could not be read: a miss.
    #[error(transparent)]
    Get(#[from] GetError),
    /// The file could not be written. The fault is with the target, not with the cache.
    #[error("cannot write {}: {source}", path.display())]
    Target {
        /// The file to be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl PlaceError {
    /// The target could not be written.
    pub(crate) fn target(path: &Path, source: io::Error) -> Self {
        Self::Target { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn errors_of_the_system_become_what_the_caller_can_do() {
        let class = |errno: Errno| match PutError::new(Path::new("/cache"), errno.into()) {
            PutError::Full { .. } => "full",
            PutError::ReadOnly { .. } => "read-only",
            PutError::Denied { .. } => "denied",
            PutError::Unreadable { .. } => "unreadable",
            PutError::Io { .. } => "io",
        };
        let full = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].map(class);
        assert_eq!(full, ["full"; 3]);
        assert_eq!(class(Errno::ROFS), "read-only");
        assert_eq!([Errno::ACCESS, Errno::PERM].map(class), ["denied"; 2]);
        let other = [Errno::IO, Errno::MFILE, Errno::NFILE, Errno::STALE, Errno::NOMEM].map(class);
        assert_eq!(other, ["io"; 5]);
    }

    #[test]
    fn only_missing_and_corrupt_are_certain() {
        let name = BlobName::fresh(Digest::of_blob(b"x"), 1).unwrap();
        let corrupt = GetError::Corrupt { name, found: Damage::Length(2) };
        assert!(GetError::Missing { name }.is_certain_absence() && corrupt.is_certain_absence());
        for errno in [Errno::IO, Errno::ACCESS, Errno::MFILE, Errno::NOMEM, Errno::STALE] {
            assert!(!GetError::transient(Path::new("/cache"), errno).is_certain_absence());
        }
        let message = corrupt.to_string();
        assert!(message.contains(&name.to_string()) && message.ends_with("it has 2 bytes"));
    }
}
