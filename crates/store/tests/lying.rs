//! A backend that hands over the wrong bytes, and tells nothing of a file.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thrifty_key::Digest;
use thrifty_store::memory::Memory;
use thrifty_store::verified::{MemoryTrust, Verified};
use thrifty_store::{Blob, BlobName, Blobs, Damage, GetError, Listing, PutError, RemoveError};

/// Memory, until it starts to lie.
#[derive(Default)]
struct Lying {
    memory: Memory,
    lies: AtomicBool,
}

impl Blobs for Lying {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        self.memory.put(parts)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        self.memory.put_file(path)
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        let truth = self.memory.open(name)?;
        let lie = || Blob::in_memory(&[&truth[1..], b"!"]).unwrap();
        Ok(if self.lies.load(Ordering::Relaxed) { lie() } else { truth })
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        self.memory.contains(digest)
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.memory.delete(name)
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.memory.quarantine(name)
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        self.memory.list()
    }

    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError> {
        self.memory.leftovers(age)
    }

    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError> {
        self.memory.remove_leftover(path)
    }
}

#[test]
fn bytes_without_a_file_are_hashed_at_every_opening() {
    let lying = Arc::new(Lying::default());
    let blobs = Verified::new(lying.clone(), Arc::new(MemoryTrust::default()));
    let name = blobs.put(&[b"bytes"]).unwrap();
    assert_eq!(&blobs.open(&name).unwrap()[..], b"bytes");
    lying.lies.store(true, Ordering::Relaxed);
    let error = blobs.open(&name).unwrap_err();
    let found = Damage::Digest(Digest::of_blob(b"ytes!"));
    assert!(matches!(error, GetError::Corrupt { found: f, .. } if f == found), "{error}");
    assert!(matches!(blobs.open(&name).unwrap_err(), GetError::Missing { .. }));
}
