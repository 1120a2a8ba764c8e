//! The contract every backend and decorator keeps; [`crate::conformance`] checks it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thrifty_key::Digest;

use crate::links::{self, Access, Placement};
use crate::{Blob, BlobName, GetError, PlaceError, PutError, RemoveError};

/// One blob of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its name, with the length it has, which is the length it should have unless it is damaged.
    pub name: BlobName,
    /// When it was written.
    pub modified: SystemTime,
}

/// Blobs, one after the other. One that cannot be read is an error and not the end.
pub type Listing<'a> = Box<dyn Iterator<Item = Result<Listed, GetError>> + 'a>;

/// Where bytes are kept: blob name to bytes, and nothing else.
///
/// A blob is visible only when it is whole, never changes, and is never replaced. Backends hand
/// over what they find; [`Verified`](crate::verified::Verified) is what makes it fit for use.
/// Nothing is ever deleted because it could not be read.
pub trait Blobs: Send + Sync {
    /// Writes the parts, one after the other, as one new blob. It is whole and durable on return.
    ///
    /// # Errors
    ///
    /// [`PutError`]; then nothing is visible.
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError>;

    /// Writes a copy of a file as one new blob, without moving bytes where the filesystem can.
    /// The name says what was copied, should the file change meanwhile.
    ///
    /// # Errors
    ///
    /// [`PutError`]; then nothing is visible.
    fn put_file(&self, path: &Path) -> Result<BlobName, PutError>;

    /// The bytes of a blob.
    ///
    /// # Errors
    ///
    /// [`GetError`], a miss in each case.
    fn open(&self, name: &BlobName) -> Result<Blob, GetError>;

    /// Any blob of this digest, so that it need not be written again.
    ///
    /// # Errors
    ///
    /// [`GetError::Transient`] if that cannot be told now.
    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError>;

    /// Makes the blob a file at the path: the caller's own, or one it shares and may only read.
    /// Directories above are made, an existing file is replaced at once, a symlink is replaced
    /// and not followed.
    ///
    /// # Errors
    ///
    /// [`PlaceError`]; then what was at the path is still there.
    fn place(&self, name: &BlobName, path: &Path, access: Access) -> Result<Placement, PlaceError> {
        links::materialise(&self.open(name)?, path, access)
    }

    /// Deletes a blob. One that is not there counts as deleted.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; the blob may still be there.
    fn delete(&self, name: &BlobName) -> Result<(), RemoveError>;

    /// Sets a corrupt blob aside, so that it is missing from now on and can still be looked at.
    /// One that is not there counts as set aside.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; the blob may still be there.
    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError>;

    /// All blobs. One written or deleted meanwhile may or may not be among them.
    ///
    /// # Errors
    ///
    /// [`GetError::Transient`] if there is no way to tell.
    fn list(&self) -> Result<Listing<'_>, GetError>;

    /// What interrupted writers and quarantine left behind, and nobody touched for at least `age`:
    /// files that are no blobs and that [`Blobs::remove_leftover`] may remove. A writer at work
    /// touches its file more often than every hour.
    ///
    /// # Errors
    ///
    /// [`GetError::Transient`] if there is no way to tell.
    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError>;

    /// Removes one of [`Blobs::leftovers`]. One that is not there counts as removed.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]; it may still be there.
    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError>;
}

#[deny(clippy::missing_trait_methods)]
impl<B: Blobs + ?Sized> Blobs for Arc<B> {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        (**self).put(parts)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        (**self).put_file(path)
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        (**self).open(name)
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        (**self).contains(digest)
    }

    fn place(&self, name: &BlobName, path: &Path, access: Access) -> Result<Placement, PlaceError> {
        (**self).place(name, path, access)
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        (**self).delete(name)
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        (**self).quarantine(name)
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        (**self).list()
    }

    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError> {
        (**self).leftovers(age)
    }

    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError> {
        (**self).remove_leftover(path)
    }
}
