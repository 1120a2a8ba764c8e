//! Every backend and decorator keeps the contract.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::sync::Arc;

use thrifty_store::Blobs;
use thrifty_store::conformance::{check, check_detection};
use thrifty_store::disk::Disk;
use thrifty_store::memory::Memory;
use thrifty_store::verified::{MemoryTrust, Verified};

/// A directory of its own for each check.
fn fresh(home: &Path) -> Disk {
    let root = tempfile::Builder::new().tempdir_in(home).unwrap().keep();
    Disk::open(root.join("not/yet/there")).unwrap()
}

fn verified(blobs: impl Blobs) -> Verified<impl Blobs> {
    Verified::new(blobs, Arc::new(MemoryTrust::default()))
}

#[test]
fn memory() {
    check(&|| Box::new(Memory::new())).unwrap();
}

#[test]
fn disk() {
    let home = tempfile::tempdir().unwrap();
    check(&|| Box::new(fresh(home.path()))).unwrap();
}

#[test]
fn disk_on_another_filesystem() {
    let home = tempfile::tempdir_in("/dev/shm").unwrap();
    check(&|| Box::new(fresh(home.path()))).unwrap();
    // In memory, so an edit often falls in the clock tick in which the blob was written.
    check_detection(&|| Box::new(verified(fresh(home.path())))).unwrap();
}

#[test]
fn verified_memory() {
    check(&|| Box::new(verified(Memory::new()))).unwrap();
}

#[test]
fn verified_disk() {
    let home = tempfile::tempdir().unwrap();
    check(&|| Box::new(verified(fresh(home.path())))).unwrap();
    check_detection(&|| Box::new(verified(fresh(home.path())))).unwrap();
}

#[test]
fn shared() {
    let home = tempfile::tempdir().unwrap();
    let shared = || Arc::new(verified(fresh(home.path()))) as Arc<dyn Blobs>;
    check(&|| Box::new(shared())).unwrap();
    check_detection(&|| Box::new(shared())).unwrap();
}

#[test]
fn the_suite_catches_a_disk_that_is_not_verified() {
    let home = tempfile::tempdir().unwrap();
    let violation = check_detection(&|| Box::new(fresh(home.path()))).unwrap_err();
    assert_eq!(violation.check, "flipped bytes");
}
