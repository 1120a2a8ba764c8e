//! Blobs in memory, for tests and for values that are not to outlive the process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use thrifty_key::Digest;

use crate::parallel::hash_parts;
use crate::{Blob, BlobName, Blobs, GetError, Listed, Listing, PutError, RemoveError};

/// Blobs in the memory of this process.
///
/// Each takes whole pages, as a mapped file would. Nothing is ever left over, and what is set aside
/// is dropped.
#[derive(Debug, Default)]
pub struct Memory(RwLock<BTreeMap<BlobName, (Blob, SystemTime)>>);

impl Memory {
    /// No blobs yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// The place named in errors.
fn here() -> &'static Path {
    Path::new("memory")
}

impl Blobs for Memory {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        let failed = |error: io::Error| PutError::new(here(), error);
        let blob = Blob::in_memory(parts).map_err(failed)?;
        let digest = hash_parts(&[&blob]);
        let name = BlobName::fresh(digest, blob.len() as u64).map_err(|e| failed(e.into()))?;
        self.0.write().insert(name, (blob, SystemTime::now()));
        Ok(name)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        let unreadable = |source| PutError::Unreadable { path: path.to_owned(), source };
        self.put(&[&fs::read(path).map_err(unreadable)?])
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        let blobs = self.0.read();
        blobs.get(name).map(|(blob, _)| blob.clone()).ok_or(GetError::Missing { name: *name })
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        let first = BlobName { digest: *digest, generation: 0, length: 0 };
        let blobs = self.0.read();
        let next = blobs.range(first..).next().map(|(name, _)| *name);
        Ok(next.filter(|name| name.digest == *digest))
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.0.write().remove(name);
        Ok(())
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.delete(name)
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        let blobs = self.0.read();
        let listed: Vec<_> =
            blobs.iter().map(|(name, (_, at))| Ok(Listed { name: *name, modified: *at })).collect();
        Ok(Box::new(listed.into_iter()))
    }

    fn leftovers(&self, _age: Duration) -> Result<Vec<PathBuf>, GetError> {
        Ok(Vec::new())
    }

    fn remove_leftover(&self, _path: &Path) -> Result<(), RemoveError> {
        Ok(())
    }
}
