//! What a check finds, and what a repair leaves.

#![allow(clippy::unwrap_used)]

mod past;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use past::{commit, digest, new_entry};
use thrifty_engine::catalog::{BlobRef, Catalog, EntryId, NewEntry, Selector, Sqlite, Time};
use thrifty_engine::fsck::{Finding, Level, Report, check};
use thrifty_engine::key::Digest;
use thrifty_engine::store::disk::Disk;
use thrifty_engine::store::verified::{MemoryTrust, Verified};
use thrifty_engine::store::{Blob, BlobName, Blobs, GetError, Listing, PutError, RemoveError};

struct World {
    home: tempfile::TempDir,
    catalog: Sqlite,
    blobs: Disk,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let blobs = Disk::open(home.path()).unwrap();
        Self { home, catalog: Sqlite::in_memory().unwrap(), blobs }
    }

    fn entry(&self, input: &str) -> (EntryId, BlobRef) {
        let BlobName { digest, generation, length } = self.blobs.put(&[input.as_bytes()]).unwrap();
        let blob = BlobRef { digest, generation, length };
        (commit(&self.catalog, &new_entry("f", input, vec![blob])), blob)
    }

    fn path(&self, blob: &BlobRef) -> PathBuf {
        let digest = blob.digest.to_string();
        let name = format!("{digest}.{}", blob.generation);
        self.home.path().join("blobs/v1").join(&digest[..2]).join(name)
    }

    fn overwrite(&self, blob: &BlobRef, bytes: &[u8]) {
        let path = self.path(blob);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn check(&self, level: Level, repair: bool) -> Report {
        check(&self.catalog, &self.blobs, level, repair).unwrap()
    }

    fn entries(&self) -> Vec<EntryId> {
        let all = self.catalog.entries(None, &Selector::default(), 100).unwrap();
        all.into_iter().map(|entry| entry.id).collect()
    }
}

fn name(blob: &BlobRef) -> String {
    format!("{}.{}", blob.digest, blob.generation)
}

#[test]
fn a_sound_cache_has_no_findings_and_a_repair_leaves_it_alone() {
    let world = World::new();
    let sound = [world.entry("one").0, world.entry("three").0];
    let quick = world.check(Level::Quick, true);
    assert_eq!(quick, Report { entries: 2, blobs: 2, ..Report::default() });
    let full = world.check(Level::Full, true);
    assert_eq!(full, Report { entries: 2, blobs: 2, bytes: 8, ..Report::default() });
    let mut left = world.entries();
    left.sort();
    assert_eq!(left, sound);
}

#[test]
fn what_nothing_refers_to_is_counted_and_is_no_finding() {
    let world = World::new();
    world.entry("sound");
    world.blobs.put(&[b"put and never committed"]).unwrap();
    fs::write(world.home.path().join("tmp/put-1"), "half").unwrap();
    for repair in [false, true] {
        let found = world.check(Level::Quick, repair);
        assert_eq!((found.orphans, found.orphan_bytes, found.leftovers), (1, 23, 1));
        assert_eq!((found.findings, found.removed), (vec![], 0));
    }
    let found = world.check(Level::Catalog, true);
    assert_eq!(found, Report { entries: 1, ..Report::default() }, "the store is not looked at");
}

#[test]
fn each_level_finds_what_it_says() {
    let world = World::new();
    let (dangling, lost) = world.entry("dangling");
    let (torn, blob) = world.entry("torn");
    fs::remove_file(world.path(&lost)).unwrap();
    world.overwrite(&blob, b"tOrn");
    let other_key = NewEntry { key: digest("no such key"), ..new_entry("f", "1", vec![]) };
    let other_key = commit(&world.catalog, &other_key);
    let other_digest = NewEntry { output_digest: digest("3"), ..new_entry("f", "2", vec![]) };
    let other_digest = commit(&world.catalog, &other_digest);
    let named = |level| {
        let found = world.check(level, false).findings;
        let mut named: Vec<_> = found.iter().flat_map(Finding::entries).copied().collect();
        named.sort();
        named
    };
    assert_eq!(named(Level::Catalog), []);
    assert_eq!(named(Level::Quick), [dangling]);
    assert_eq!(named(Level::Full), [dangling, torn, other_key, other_digest]);
    assert_eq!(world.check(Level::Full, true).removed, 4);
    assert_eq!(world.check(Level::Full, false).findings, []);
}

#[test]
fn the_key_of_a_variant_begins_as_that_of_its_ingredients() {
    let world = World::new();
    let plain = new_entry("f", "1", vec![]);
    let mut key = *plain.key.as_bytes();
    key[31] ^= 1;
    commit(&world.catalog, &NewEntry { key: Digest::from_bytes(key), ..plain });
    assert_eq!(world.check(Level::Full, false).findings, []);
    key[0] ^= 1;
    let other = new_entry("f", "1", vec![]);
    commit(&world.catalog, &NewEntry { key: Digest::from_bytes(key), ..other });
    assert_eq!(world.check(Level::Full, false).findings.len(), 1);
}

#[test]
fn a_blob_that_is_offered_and_not_there_is_counted_and_offered_no_more() {
    let world = World::new();
    let (id, blob) = world.entry("removed");
    let selector = Selector { ids: Some(vec![id]), ..Selector::default() };
    world.catalog.invalidate(None, &selector).unwrap();
    fs::remove_file(world.path(&blob)).unwrap();
    let seen = world.check(Level::Quick, true);
    assert_eq!((seen.unbacked, seen.findings), (1, vec![]));
    assert_eq!(world.catalog.find_blob(&blob.digest, Duration::ZERO).unwrap(), None);
    assert_eq!(world.check(Level::Full, false).unbacked, 0);
}

#[test]
fn a_blob_that_is_being_collected_is_no_finding() {
    let world = World::new();
    let (id, blob) = world.entry("removed");
    let selector = Selector { ids: Some(vec![id]), ..Selector::default() };
    world.catalog.invalidate(None, &selector).unwrap();
    world.catalog.condemn(Duration::ZERO, false).unwrap();
    fs::remove_file(world.path(&blob)).unwrap();
    assert_eq!(world.check(Level::Full, false).findings, []);
}

#[test]
fn a_missing_blob_is_found_at_once_and_its_entry_removed() {
    let world = World::new();
    let (stays, _) = world.entry("stays");
    let (dangling, blob) = world.entry("dangling");
    fs::remove_file(world.path(&blob)).unwrap();
    let missing = Finding::Missing { blob: name(&blob), entries: vec![dangling] };
    let seen = world.check(Level::Quick, false);
    assert_eq!((seen.findings, seen.removed), (vec![missing.clone()], 0));
    let repaired = world.check(Level::Quick, true);
    assert_eq!((repaired.findings, repaired.removed), (vec![missing], 1));
    assert_eq!(world.entries(), [stays]);
    assert_eq!(world.check(Level::Full, false).findings, []);
    let offered = world.catalog.find_blob(&blob.digest, std::time::Duration::ZERO).unwrap();
    assert_eq!(offered, None, "a writer would be told that the bytes are there");
}

#[test]
fn what_is_sound_stays_for_whoever_is_about_to_need_it() {
    let world = World::new();
    let (removed, sound) = world.entry("removed a moment ago");
    let selector = Selector { ids: Some(vec![removed]), ..Selector::default() };
    world.catalog.invalidate(None, &selector).unwrap();
    let (_, broken) = world.entry("broken");
    world.overwrite(&broken, b"brOken");
    assert_eq!(world.check(Level::Full, true).quarantined, 1);
    assert_eq!(world.catalog.condemn(Duration::from_secs(3600), true).unwrap(), []);
    assert_eq!(world.catalog.blobs().unwrap(), [sound]);
}

#[test]
fn changed_bytes_of_the_same_length_are_found_by_a_full_check() {
    let world = World::new();
    let (id, blob) = world.entry("sound");
    world.overwrite(&blob, b"sOund");
    assert_eq!(world.check(Level::Quick, false).findings, []);
    let found = world.check(Level::Full, true);
    let [Finding::Corrupt { blob: named, entries, .. }] = found.findings.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((named, entries.as_slice()), (&name(&blob), [id].as_slice()));
    assert_eq!((found.removed, found.quarantined), (1, 1));
    assert!(!world.path(&blob).exists());
    let aside: Vec<_> = fs::read_dir(world.home.path().join("quarantine")).unwrap().collect();
    assert_eq!(aside.len(), 1, "what was found is kept for a look");
    assert_eq!(world.check(Level::Full, false).findings, []);
}

#[test]
fn another_length_is_found_by_a_quick_check() {
    let world = World::new();
    let (id, blob) = world.entry("sound");
    world.overwrite(&blob, b"soun");
    let found = world.check(Level::Quick, false);
    let [Finding::Corrupt { entries, .. }] = found.findings.as_slice() else { panic!("{found:?}") };
    assert_eq!(entries, &[id]);
}

#[test]
fn a_blob_of_which_the_catalog_tells_another_length_is_left_alone() {
    for level in [Level::Quick, Level::Full] {
        let world = World::new();
        let BlobName { digest, generation, length } = world.blobs.put(&[b"sound"]).unwrap();
        let told = BlobRef { digest, generation, length: length + 4 };
        let id = commit(&world.catalog, &new_entry("f", "sound", vec![told]));
        world.catalog.evict(&[id], Time::MAX).unwrap();
        // As a cache has it: whose bytes are not as told is set aside when it is opened.
        let disk = Disk::open(world.home.path()).unwrap();
        let blobs = Verified::new(disk, Arc::new(MemoryTrust::default()));
        let repaired = check(&world.catalog, &blobs, level, true).unwrap();
        let [Finding::Rows { .. }] = repaired.findings.as_slice() else { panic!("{repaired:?}") };
        assert_eq!((repaired.quarantined, world.path(&told).is_file()), (0, true));
        assert_eq!(world.check(level, false).findings, []);
    }
}

#[test]
fn one_corrupt_blob_takes_every_entry_that_needs_it_and_no_other() {
    let world = World::new();
    let (first, blob) = world.entry("shared");
    let second = commit(&world.catalog, &new_entry("g", "shared", vec![blob]));
    let (stays, _) = world.entry("other");
    world.overwrite(&blob, b"");
    let repaired = world.check(Level::Quick, true);
    let mut named = repaired.findings[0].entries().to_vec();
    named.sort();
    assert_eq!((named, repaired.removed), (vec![first, second], 2));
    assert_eq!(world.entries(), [stays]);
}

#[test]
fn a_record_that_cannot_be_read_is_found_and_removed() {
    let world = World::new();
    let sound = new_entry("f", "1", vec![]);
    let torn = NewEntry { output: b"\xff\xff".to_vec(), ..sound };
    let id = commit(&world.catalog, &torn);
    let empty = commit(&world.catalog, &NewEntry { output: vec![], ..new_entry("f", "2", vec![]) });
    let found = world.check(Level::Quick, true);
    let mut named: Vec<_> = found.findings.iter().flat_map(Finding::entries).copied().collect();
    named.sort();
    assert_eq!((named, found.removed), (vec![id, empty], 2));
    assert!(found.findings.iter().all(|finding| matches!(finding, Finding::Record { .. })));
    assert_eq!(world.entries(), []);
}

/// A store whose disk fails for now: blobs are listed by nobody and cannot be opened.
struct Failing(Disk);

impl Failing {
    fn fault(&self) -> GetError {
        GetError::Transient {
            path: self.0.root().to_owned(),
            source: io::Error::other("i/o error"),
        }
    }
}

impl Blobs for Failing {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        self.0.put(parts)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        self.0.put_file(path)
    }

    fn open(&self, _: &BlobName) -> Result<Blob, GetError> {
        Err(self.fault())
    }

    fn contains(&self, _: &Digest) -> Result<Option<BlobName>, GetError> {
        Err(self.fault())
    }

    fn delete(&self, _: &BlobName) -> Result<(), RemoveError> {
        panic!("nothing may be deleted because it could not be read")
    }

    fn quarantine(&self, _: &BlobName) -> Result<(), RemoveError> {
        panic!("nothing may be set aside because it could not be read")
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        Ok(Box::new(std::iter::once(Err(self.fault()))))
    }

    fn leftovers(&self, _: Duration) -> Result<Vec<PathBuf>, GetError> {
        Err(self.fault())
    }

    fn remove_leftover(&self, _: &Path) -> Result<(), RemoveError> {
        panic!("nothing may be removed because it could not be read")
    }
}

#[test]
fn what_cannot_be_read_now_is_reported_and_never_touched() {
    let world = World::new();
    let (id, blob) = world.entry("sound");
    let failing = Failing(Disk::open(world.home.path()).unwrap());
    for level in [Level::Quick, Level::Full] {
        let found = check(&world.catalog, &failing, level, true).unwrap();
        assert!(matches!(found.findings.as_slice(), [Finding::Unreadable { .. }]), "{found:?}");
        assert_eq!((found.removed, world.entries()), (0, vec![id]));
    }
    assert!(world.path(&blob).exists());
}
