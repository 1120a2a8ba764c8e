//! A child of a fork can store and verify: data loaders and process pools fork.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use thrifty_store::disk::Disk;
use thrifty_store::verified::{MemoryTrust, Verified};
use thrifty_store::{BlobName, Blobs};

/// Writes enough to be hashed on several threads, and reads it back.
fn round_trip(blobs: &impl Blobs) -> io::Result<BlobName> {
    let bytes = vec![7; 8 << 20];
    let name = blobs.put(&[&bytes]).map_err(io::Error::other)?;
    let blob = blobs.open(&name).map_err(io::Error::other)?;
    if blob[..] == bytes[..] { Ok(name) } else { Err(io::Error::other("other bytes")) }
}

#[test]
fn a_child_uses_the_store_of_its_parent() {
    let home = tempfile::tempdir().unwrap();
    let disk = Disk::open(home.path()).unwrap();
    let blobs = Arc::new(Verified::new(disk, Arc::new(MemoryTrust::default())));
    let first = round_trip(&*blobs).unwrap();
    let inherited = blobs.clone();
    let in_child = move || {
        inherited.verify(&first).map_err(io::Error::other)?;
        round_trip(&*inherited).map(|_| ())
    };
    // SAFETY: the closure runs in a real child of a fork, which is what is tested. It allocates
    // and starts threads, which the C library of this system allows after a fork.
    let child = unsafe { Command::new("true").pre_exec(in_child).status() };
    assert!(child.unwrap().success());
    let names: Vec<_> = blobs.list().unwrap().map(|listed| listed.unwrap().name).collect();
    assert_eq!(names.len(), 2);
    assert_ne!(names[0].generation, names[1].generation);
    round_trip(&*blobs).unwrap();
}
