//! Blobs that were hashed before they are used, and not twice.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use thrifty_key::Digest;

use crate::error::Damage;
use crate::links::{self, Access, Placement};
use crate::parallel::{hash_file, hash_parts};
use crate::{
    Blob, BlobName, Blobs, GetError, Listing, PlaceError, PutError, RemoveError, StatIdentity,
};

/// Remembers which file was found to hold the bytes of its name, best across processes.
///
/// It may forget at will: that costs a hash. It must not invent.
pub trait Trust: Send + Sync {
    /// The identity the blob's file had when its bytes were right.
    fn recall(&self, name: &BlobName) -> Option<StatIdentity>;

    /// The bytes of the blob are right as long as its file has this identity.
    fn remember(&self, name: &BlobName, identity: StatIdentity);

    /// The blob is corrupt or gone.
    fn forget(&self, name: &BlobName);
}

/// Trust for the life of this value.
#[derive(Debug, Default)]
pub struct MemoryTrust(RwLock<HashMap<BlobName, StatIdentity>>);

impl Trust for MemoryTrust {
    fn recall(&self, name: &BlobName) -> Option<StatIdentity> {
        self.0.read().get(name).copied()
    }

    fn remember(&self, name: &BlobName, identity: StatIdentity) {
        self.0.write().insert(*name, identity);
    }

    fn forget(&self, name: &BlobName) {
        self.0.write().remove(name);
    }
}

/// Hands over a blob only if its bytes are those of its name.
///
/// A blob written here, or hashed once, is trusted while the [`StatIdentity`] of its file stays
/// the same, so that opening it again costs no look at its bytes. Any other is hashed first. A
/// corrupt one is set aside, and missing from then on.
///
/// ```
/// use std::sync::Arc;
/// use thrifty_store::{Blobs, memory::Memory, verified::{MemoryTrust, Verified}};
///
/// let blobs = Verified::new(Memory::new(), Arc::new(MemoryTrust::default()));
/// let name = blobs.put(&[b"expensive ", b"result"]).unwrap();
/// assert_eq!(&blobs.open(&name).unwrap()[..], b"expensive result");
/// ```
pub struct Verified<B> {
    inner: B,
    trust: Arc<dyn Trust>,
}

impl<B: Blobs> Verified<B> {
    /// Verifies what comes out of `inner`.
    pub fn new(inner: B, trust: Arc<dyn Trust>) -> Self {
        Self { inner, trust }
    }

    /// The blobs as they are.
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// Reads and hashes the bytes of a blob, trusted or not, and sets it aside if it is corrupt.
    ///
    /// # Errors
    ///
    /// [`GetError`].
    pub fn verify(&self, name: &BlobName) -> Result<Blob, GetError> {
        let blob = self.open_whole(name)?;
        self.hash(name, &blob)?;
        Ok(blob)
    }

    /// The blob as it is, unless it is corrupt at first sight.
    fn open_whole(&self, name: &BlobName) -> Result<Blob, GetError> {
        self.inner.open(name).inspect_err(|error| {
            if let GetError::Corrupt { .. } = error {
                self.set_aside(name);
            }
        })
    }

    /// Compares the bytes with the name, and remembers or sets aside accordingly.
    fn hash(&self, name: &BlobName, blob: &Blob) -> Result<(), GetError> {
        let (digest, length) = match blob.backing() {
            Some(backing) => hash_file(&backing.file)
                .map_err(|error| GetError::transient(&backing.path, error))?,
            None => (hash_parts(&[blob]), blob.len() as u64),
        };
        if let Some(found) = damage(name, digest, length) {
            self.set_aside(name);
            return Err(GetError::Corrupt { name: *name, found });
        }
        self.settle(name, blob)
    }

    /// Remembers a blob whose bytes were right, if a later change to its file would show.
    fn settle(&self, name: &BlobName, blob: &Blob) -> Result<(), GetError> {
        let Some(backing) = blob.backing() else {
            return Ok(());
        };
        let transient = |error| GetError::transient(&backing.path, error);
        let now = StatIdentity::of_file(&backing.file).map_err(transient)?;
        if !now.same_content(&backing.identity) {
            return Err(transient(io::Error::other("it was written to while it was read")));
        }
        if now == backing.identity && now.is_settled(SystemTime::now()) {
            self.trust.remember(name, now);
        }
        Ok(())
    }

    /// Trusts what was just written: nobody else knew its name.
    fn written(&self, name: BlobName) -> BlobName {
        if let Some(identity) = self.inner.open(&name).ok().and_then(|blob| blob.identity()) {
            self.trust.remember(&name, identity);
        }
        name
    }

    /// A link more changed the identity of a blob found right before; nothing else may have.
    fn linked(&self, name: &BlobName, blob: &Blob) {
        let Some(backing) = blob.backing() else {
            return;
        };
        let trusted = self.trust.recall(name) == Some(backing.identity);
        if let Ok(now) = StatIdentity::of_file(&backing.file)
            && trusted
            && now.same_content(&backing.identity)
        {
            self.trust.remember(name, now);
        }
    }

    /// Failing to set it aside changes nothing for the caller: it is not trusted.
    fn set_aside(&self, name: &BlobName) {
        self.trust.forget(name);
        let _ = self.inner.quarantine(name);
    }
}

/// How what was read differs from the name.
fn damage(name: &BlobName, digest: Digest, length: u64) -> Option<Damage> {
    if length != name.length {
        Some(Damage::Length(length))
    } else if digest != name.digest {
        Some(Damage::Digest(digest))
    } else {
        None
    }
}

#[deny(clippy::missing_trait_methods)]
impl<B: Blobs> Blobs for Verified<B> {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        self.inner.put(parts).map(|name| self.written(name))
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        self.inner.put_file(path).map(|name| self.written(name))
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        let blob = self.open_whole(name)?;
        let identity = blob.identity();
        if identity.is_none() || self.trust.recall(name) != identity {
            self.hash(name, &blob)?;
        }
        Ok(blob)
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        self.inner.contains(digest)
    }

    fn place(&self, name: &BlobName, path: &Path, access: Access) -> Result<Placement, PlaceError> {
        let blob = self.open(name)?;
        let how = links::materialise(&blob, path, access)?;
        if how == Placement::Linked {
            self.linked(name, &blob);
        }
        Ok(how)
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.inner.delete(name).inspect(|()| self.trust.forget(name))
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.inner.quarantine(name).inspect(|()| self.trust.forget(name))
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        self.inner.list()
    }

    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError> {
        self.inner.leftovers(age)
    }

    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError> {
        self.inner.remove_leftover(path)
    }
}
