//! Directories to manifests and back.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;
use thrifty_key::Digest;
use thrifty_key::tree::{self, Entry, Manifest};
use thrifty_store::disk::Disk;
use thrifty_store::memory::Memory;
use thrifty_store::restore::{self, RestoreError};
use thrifty_store::scan::{self, Memo, NoMemo, ScanError};
use thrifty_store::verified::{MemoryTrust, Verified};
use thrifty_store::{Blobs, StatIdentity};

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Makes the last write of a file one of long ago, as far as that can be.
fn age(path: &Path) {
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let times = FileTimes::new().set_modified(long_ago);
    fs::File::options().write(true).open(path).unwrap().set_times(times).unwrap();
}

fn store(directory: &Path, manifest: &Manifest, blobs: &dyn Blobs) {
    for (path, file) in manifest.files() {
        assert_eq!(blobs.put_file(&directory.join(path)).unwrap().digest, file.digest);
    }
}

fn restored(manifest: &Manifest, blobs: &dyn Blobs, to: &Path) -> Result<(), RestoreError> {
    restore::directory(manifest, blobs, &|digest| blobs.contains(digest), to, true)
}

#[test]
fn a_directory_comes_back_as_it_was() {
    let home = home();
    let data = home.path().join("data");
    write(&data.join("a/b/größe.csv"), b"1,2\n");
    write(&data.join("a.txt"), b"");
    write(&data.join("run me"), b"#!/bin/sh\n");
    write(&data.join("large"), &vec![3; 5 << 20]);
    fs::create_dir(data.join("empty")).unwrap();
    fs::set_permissions(data.join("run me"), Permissions::from_mode(0o755)).unwrap();
    let manifest = scan::directory(&data, &NoMemo).unwrap();
    let paths: Vec<_> = manifest.entries().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a", "a.txt", "a/b", "a/b/größe.csv", "empty", "large", "run me"]);
    assert_eq!(manifest.length(), 4 + 10 + (5 << 20));

    let blobs = Verified::new(
        Disk::open(home.path().join("cache")).unwrap(),
        Arc::new(MemoryTrust::default()),
    );
    store(&data, &manifest, &blobs);
    let copy = home.path().join("new/place");
    restored(&manifest, &blobs, &copy).unwrap();
    assert_eq!(scan::directory(&copy, &NoMemo).unwrap(), manifest);
    assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), 1, "no temporary stays");
    fs::write(copy.join("a.txt"), b"mine").unwrap();
    let other = home.path().join("other");
    restored(&manifest, &blobs, &other).unwrap();
    assert_eq!(scan::directory(&other, &NoMemo).unwrap(), manifest);
}

#[test]
fn an_empty_directory_is_a_value_too() {
    let home = home();
    let manifest = scan::directory(home.path(), &NoMemo).unwrap();
    assert_eq!(manifest, Manifest::default());
    let target = home.path().join("empty");
    restored(&manifest, &Memory::new(), &target).unwrap();
    restored(&manifest, &Memory::new(), &target).unwrap();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
}

#[test]
fn nothing_of_the_user_is_overwritten() {
    let home = home();
    let (full, file) = (home.path().join("full"), home.path().join("file"));
    write(&full.join("precious"), b"1");
    write(&file, b"2");
    for target in [&full, &file] {
        let error = restored(&Manifest::default(), &Memory::new(), target).unwrap_err();
        assert!(matches!(error, RestoreError::Occupied { .. }), "{error}");
    }
    assert_eq!(fs::read(full.join("precious")).unwrap(), b"1");
    assert_eq!(fs::read(&file).unwrap(), b"2");
}

#[test]
fn a_missing_blob_restores_nothing() {
    let home = home();
    let data = home.path().join("data");
    write(&data.join("a"), b"a");
    write(&data.join("b"), b"b");
    let manifest = scan::directory(&data, &NoMemo).unwrap();
    let blobs = Memory::new();
    blobs.put(&[b"a"]).unwrap();
    let target = home.path().join("target");
    let error = restored(&manifest, &blobs, &target).unwrap_err();
    assert!(matches!(&error, RestoreError::Missing { path, .. } if path == "b"), "{error}");
    assert!(!target.exists());
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no temporary stays");
}

#[test]
fn a_manifest_that_lies_about_a_length_restores_nothing() {
    let home = home();
    let blobs = Memory::new();
    let name = blobs.put(&[b"four"]).unwrap();
    let mut manifest = Manifest::default();
    let file = tree::File { digest: name.digest, length: 5, executable: false };
    manifest.add_file("file", file).unwrap();
    let target = home.path().join("target");
    let error = restored(&manifest, &blobs, &target).unwrap_err();
    assert!(matches!(error, RestoreError::Missing { .. }), "{error}");
    assert!(!target.exists());
}

#[test]
fn what_is_no_plain_file_is_named() {
    let home = home();
    let inside = |name: &OsStr| home.path().join("data").join(name);
    fs::create_dir(home.path().join("data")).unwrap();
    let scan = || scan::directory(&home.path().join("data"), &NoMemo).unwrap_err();

    symlink("/etc/passwd", inside("link".as_ref())).unwrap();
    assert!(matches!(scan(), ScanError::Symlink { path } if path.ends_with("link")));
    fs::remove_file(inside("link".as_ref())).unwrap();

    let pipe = inside("pipe".as_ref());
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(scan(), ScanError::Kind { path, .. } if path.ends_with("pipe")));
    assert!(matches!(scan::file(&pipe, &NoMemo).unwrap_err(), ScanError::Kind { .. }));
    fs::remove_file(pipe).unwrap();

    fs::write(inside(OsStr::from_bytes(b"\xff")), b"").unwrap();
    assert!(matches!(scan(), ScanError::NotUnicode { .. }));
    fs::remove_file(inside(OsStr::from_bytes(b"\xff"))).unwrap();

    fs::write(inside("back\\slash".as_ref()), b"").unwrap();
    assert!(matches!(scan(), ScanError::Path { source, .. } if source.path == "back\\slash"));
}

#[test]
fn a_wrong_kind_or_nothing_is_told_apart() {
    let home = home();
    let file = home.path().join("file");
    fs::write(&file, b"x").unwrap();
    let none = home.path().join("none");
    assert!(matches!(scan::file(&none, &NoMemo).unwrap_err(), ScanError::Missing { .. }));
    assert!(matches!(scan::directory(&none, &NoMemo).unwrap_err(), ScanError::Missing { .. }));
    assert!(matches!(scan::file(home.path(), &NoMemo).unwrap_err(), ScanError::Kind { .. }));
    assert!(matches!(scan::directory(&file, &NoMemo).unwrap_err(), ScanError::Kind { .. }));
    let link = home.path().join("link");
    symlink(&file, &link).unwrap();
    assert_eq!(scan::file(&link, &NoMemo).unwrap().digest, Digest::of_blob(b"x"));
}

/// Remembers, counts, and can do something between the stat and the reading of a file.
#[derive(Default)]
struct Spy {
    known: Mutex<HashMap<(PathBuf, StatIdentity), Digest>>,
    on_recall: Option<fn(&Path)>,
}

impl Memo for Spy {
    fn recall(&self, path: &Path, identity: &StatIdentity) -> Option<Digest> {
        self.on_recall.inspect(|act| act(path));
        self.known.lock().unwrap().get(&(path.to_owned(), *identity)).copied()
    }

    fn remember(&self, path: &Path, identity: &StatIdentity, digest: &Digest) {
        self.known.lock().unwrap().insert((path.to_owned(), *identity), *digest);
    }
}

#[test]
fn a_file_written_a_moment_ago_is_not_remembered() {
    let home = home();
    let file = home.path().join("fresh");
    fs::write(&file, b"x").unwrap();
    age(&file);
    let memo = Spy::default();
    scan::file(&file, &memo).unwrap();
    assert!(memo.known.lock().unwrap().is_empty(), "its change time is of now");
}

#[test]
fn an_old_file_is_remembered_and_not_read_again() {
    let old = Path::new("/bin/sh");
    let memo = Spy::default();
    let file = scan::file(old, &memo).unwrap();
    let remembered: Vec<_> = memo.known.lock().unwrap().values().copied().collect();
    assert_eq!(remembered, [file.digest]);
    let marked = Digest::of_blob(b"from memory");
    memo.known.lock().unwrap().values_mut().for_each(|digest| *digest = marked);
    assert_eq!(scan::file(old, &memo).unwrap(), tree::File { digest: marked, ..file });
}

#[test]
fn a_file_that_changes_while_it_is_read_has_no_digest() {
    let home = home();
    let file = home.path().join("file");
    let grow =
        |path: &Path| fs::write(path, [&fs::read(path).unwrap()[..], b"+"].concat()).unwrap();
    // Of the same length; writing sets the modification time, which was long ago.
    let edit = |path: &Path| fs::write(path, fs::read(path).unwrap().to_ascii_uppercase()).unwrap();
    fs::write(&file, b"before").unwrap();
    age(&file);
    let of = |on_recall| Spy { on_recall: Some(on_recall), ..Spy::default() };
    let (edited, memo) = (of(edit), of(grow));
    let errors = [
        scan::file(&file, &edited).unwrap_err(),
        scan::file(&file, &memo).unwrap_err(),
        scan::directory(home.path(), &memo).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, ScanError::Changed { .. })), "{errors:?}");
    assert!(memo.known.lock().unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Any directory with the same paths and contents has the same manifest, whatever the order
    /// of its making, and any other has another.
    #[test]
    fn manifests_say_the_same_of_the_same(
        files in proptest::collection::btree_map("[a-c]{1,2}(/[d-f]{1,2}){0,2}", proptest::collection::vec(any::<u8>(), 0..40), 1..8),
        flip in any::<prop::sample::Index>(),
    ) {
        let (one, two) = (home(), home());
        // A path that runs through a file cannot be made: left out on both sides.
        let make = |root: &Path, reverse: bool| {
            let fits = |path: &&String| !files.keys().any(|other| path.starts_with(&format!("{other}/")));
            let mut paths: Vec<_> = files.keys().filter(fits).collect();
            if reverse { paths.reverse(); }
            paths.iter().for_each(|path| write(&root.join(path), &files[*path]));
            paths.len()
        };
        let count = make(one.path(), false);
        make(two.path(), true);
        let (left, right) = (scan::directory(one.path(), &NoMemo).unwrap(), scan::directory(two.path(), &NoMemo).unwrap());
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(left.digest(), right.digest());
        prop_assert_eq!(left.files().count(), count);
        let (path, _) = left.files().nth(flip.index(count)).unwrap();
        let mut bytes = fs::read(two.path().join(path)).unwrap();
        bytes.push(0);
        fs::write(two.path().join(path), bytes).unwrap();
        prop_assert_ne!(scan::directory(two.path(), &NoMemo).unwrap().digest(), left.digest());
        prop_assert!(left.entries().all(|(path, entry)| one.path().join(path).is_dir() == (*entry == Entry::Directory)));
    }
}
