//! Faults of the disk, and of those who share it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use thrifty_key::Digest;
use thrifty_store::disk::{Disk, OpenError};
use thrifty_store::links::{Access, Placement};
use thrifty_store::verified::{MemoryTrust, Trust, Verified};
use thrifty_store::{BlobName, Blobs, Damage, GetError, PutError, StatIdentity};

fn home() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn disk(home: &TempDir) -> Disk {
    Disk::open(home.path().join("cache")).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Runs the body on a thread that may do no more than an ordinary user owning `path`; directly if
/// the process is an ordinary user already.
fn as_ordinary_user(path: &Path, body: impl FnOnce() + Send) {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return body();
    }
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    own(path);
    walk(path, &own);
    let run = || {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(NOBODY)).unwrap();
        body();
    };
    std::thread::scope(|scope| scope.spawn(run).join()).unwrap();
}

fn walk(path: &Path, visit: &dyn Fn(&Path)) {
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        visit(&entry.path());
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), visit);
        }
    }
}

#[test]
fn opening_writes_nothing_and_the_first_put_makes_a_private_directory() {
    let home = home();
    let disk = disk(&home);
    assert!(!disk.root().exists());
    assert!(disk.contains(&Digest::of_blob(b"x")).unwrap().is_none());
    assert!(disk.list().unwrap().next().is_none());
    let name = disk.put(&[b"x"]).unwrap();
    assert_eq!(mode(disk.root()), 0o700);
    let path = disk.open(&name).unwrap().path().unwrap().to_owned();
    assert_eq!(mode(&path) & 0o333, 0, "blobs are read-only");
    let expected = format!("blobs/v1/{}/{name}", &name.digest.to_string()[..2]);
    assert_eq!(path, disk.root().join(expected));
}

#[test]
fn a_directory_removed_under_a_running_process_is_made_again() {
    let home = home();
    let disk = disk(&home);
    disk.put(&[b"x"]).unwrap();
    fs::remove_dir_all(disk.root()).unwrap();
    let name = disk.put(&[b"x"]).unwrap();
    assert_eq!(&disk.open(&name).unwrap()[..], b"x");
    assert_eq!(mode(disk.root()), 0o700);
}

#[test]
fn a_root_that_others_control_is_refused() {
    let home = home();
    let root = home.path().join("open");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, Permissions::from_mode(0o777)).unwrap();
    let error = Disk::open(&root).unwrap_err();
    assert!(matches!(error, OpenError::WorldWritable { .. }), "{error}");
    assert!(error.to_string().contains("chmod o-w"));
    let file = home.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(matches!(Disk::open(&file).unwrap_err(), OpenError::NotADirectory { .. }));
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&root, Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&root, Some(12345), None).unwrap();
        let error = Disk::open(&root).unwrap_err();
        assert!(matches!(error, OpenError::ForeignOwner { owner: 12345, .. }), "{error}");
    }
}

#[test]
fn a_root_made_by_others_after_opening_is_refused_at_the_first_put() {
    let home = home();
    let disk = disk(&home);
    fs::create_dir(disk.root()).unwrap();
    fs::set_permissions(disk.root(), Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(disk.put(&[b"x"]).unwrap_err(), PutError::Denied { .. }));
}

#[test]
fn without_permission_to_write_hits_are_served_and_puts_denied() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"kept"]).unwrap();
    let root = disk.root().to_owned();
    walk(&root, &|path| {
        if path.is_dir() {
            fs::set_permissions(path, Permissions::from_mode(0o500)).unwrap();
        }
    });
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    as_ordinary_user(&root, || {
        let disk = Disk::open(&root).unwrap();
        assert_eq!(&disk.open(&name).unwrap()[..], b"kept");
        assert!(matches!(disk.put(&[b"new"]).unwrap_err(), PutError::Denied { .. }));
        let file = disk.open(&name).unwrap().path().unwrap().to_owned();
        assert!(matches!(disk.put_file(&file).unwrap_err(), PutError::Denied { .. }));
        assert!(disk.delete(&name).is_err());
        assert_eq!(&disk.open(&name).unwrap()[..], b"kept");
    });
}

#[test]
fn a_blob_that_cannot_be_read_now_is_not_taken_for_missing() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"kept"]).unwrap();
    let path = disk.open(&name).unwrap().path().unwrap().to_owned();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let root = disk.root().to_owned();
    as_ordinary_user(&root, || {
        let blobs = Verified::new(Disk::open(&root).unwrap(), Arc::new(MemoryTrust::default()));
        let error = blobs.open(&name).unwrap_err();
        assert!(matches!(error, GetError::Transient { .. }), "{error}");
        assert!(!error.is_certain_absence());
    });
    assert!(path.exists(), "kept for when it can be read again");
}

#[test]
fn storage_that_is_not_there_makes_no_blob_certainly_missing() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"on a volume"]).unwrap();
    fs::rename(disk.root(), home.path().join("unmounted")).unwrap();
    assert!(!disk.open(&name).unwrap_err().is_certain_absence());
    fs::rename(home.path().join("unmounted"), disk.root()).unwrap();
    assert_eq!(&disk.open(&name).unwrap()[..], b"on a volume");
}

/// Runs in a child whose files may not grow beyond 32 KiB: see the test below.
#[test]
fn child_with_limited_file_size() {
    let Some(root) = std::env::var_os("THRIFTY_TEST_LIMITED_ROOT") else {
        return;
    };
    let disk = Disk::open(&root).unwrap();
    let large = vec![7; 1 << 20];
    let error = disk.put(&[&large]).unwrap_err();
    assert!(matches!(error, PutError::Full { .. }), "{error}");
    let file = Path::new(&root).join("../large");
    let error = disk.put_file(&file).unwrap_err();
    assert!(matches!(error, PutError::Full { .. }), "{error}");
    assert_eq!(fs::read_dir(Path::new(&root).join("tmp")).unwrap().count(), 0);
    assert!(disk.list().unwrap().next().is_none());
    let small = disk.put(&[b"small"]).unwrap();
    assert_eq!(&disk.open(&small).unwrap()[..], b"small");
    println!("the child is done");
}

#[test]
fn a_full_disk_fails_the_put_and_leaves_nothing() {
    let home = home();
    fs::write(home.path().join("large"), vec![7; 1 << 20]).unwrap();
    // POSIX counts in blocks of 512 bytes. The signal must be ignored for the error to be seen.
    let script =
        r#"trap "" XFSZ; ulimit -f 64; exec "$0" --exact child_with_limited_file_size --nocapture"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env("THRIFTY_TEST_LIMITED_ROOT", home.path().join("cache"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("the child is done"), "{output:?}");
}

/// Runs in a child that is killed while it writes: see the test below.
#[test]
fn child_to_be_killed() {
    let Some(root) = std::env::var_os("THRIFTY_TEST_KILLED_ROOT") else {
        return;
    };
    let disk = Disk::open(root).unwrap();
    let bytes = vec![7; 300_000];
    for round in 0_u64.. {
        let name = disk.put(&[&round.to_le_bytes(), &bytes]).unwrap();
        println!("put {name} {}", name.length);
    }
}

#[test]
fn a_writer_killed_at_any_moment_leaves_whole_blobs_and_loses_none_it_reported() {
    let home = home();
    let root = home.path().join("cache");
    for kept in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_to_be_killed", "--nocapture"])
            .env("THRIFTY_TEST_KILLED_ROOT", &root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let reported = lines.filter(|line| line.starts_with("put ")).take(kept).collect::<Vec<_>>();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(reported.len(), kept);

        let blobs = Verified::new(Disk::open(&root).unwrap(), Arc::new(MemoryTrust::default()));
        let found: Vec<_> = blobs.list().unwrap().map(|listed| listed.unwrap().name).collect();
        for name in &found {
            assert_eq!(blobs.verify(name).unwrap().len(), 300_008);
        }
        let texts: HashSet<_> = found.iter().map(|name| format!("put {name} 300008")).collect();
        assert!(reported.iter().all(|line| texts.contains(line)), "{reported:?}");
    }
    let disk = Disk::open(&root).unwrap();
    for path in disk.leftovers(Duration::ZERO).unwrap() {
        disk.remove_leftover(&path).unwrap();
    }
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
}

#[test]
fn what_a_crashed_writer_leaves_is_invisible_and_can_be_removed() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"whole"]).unwrap();
    let leftover = disk.root().join("tmp/put-crashed");
    fs::write(&leftover, b"who").unwrap();
    let foreign = disk.root().join("blobs/v1").join(&name.to_string()[..2]).join("README");
    fs::write(&foreign, b"not a blob").unwrap();
    let listed: Vec<_> = disk.list().unwrap().map(|listed| listed.unwrap().name).collect();
    assert_eq!(listed, [name]);
    assert!(disk.leftovers(Duration::from_secs(3600)).unwrap().is_empty(), "may be at work");
    let found = disk.leftovers(Duration::ZERO).unwrap();
    assert_eq!(found, std::slice::from_ref(&leftover));
    disk.remove_leftover(&leftover).unwrap();
    disk.remove_leftover(&leftover).unwrap();
    assert!(disk.leftovers(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn only_leftovers_can_be_removed_as_such() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"kept"]).unwrap();
    let path = disk.open(&name).unwrap().path().unwrap().to_owned();
    let escape = disk.root().join("tmp").join("../blobs");
    for path in [&path, &escape, &home.path().join("other")] {
        let error = disk.remove_leftover(path).unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::InvalidInput);
    }
    assert!(path.exists());
}

#[test]
fn corrupt_blobs_are_kept_in_quarantine() {
    let home = home();
    let blobs = Verified::new(disk(&home), Arc::new(MemoryTrust::default()));
    let name = blobs.put(&[b"bytes"]).unwrap();
    let path = blobs.open(&name).unwrap().path().unwrap().to_owned();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, b"BYTES").unwrap();
    let error = blobs.open(&name).unwrap_err();
    let expected = Damage::Digest(Digest::of_blob(b"BYTES"));
    assert!(matches!(error, GetError::Corrupt { found, .. } if found == expected), "{error}");
    let kept = blobs.inner().root().join("quarantine").join(name.to_string());
    assert_eq!(fs::read(&kept).unwrap(), b"BYTES");
    assert_eq!(blobs.leftovers(Duration::ZERO).unwrap(), [kept]);
}

/// Counts what is asked and told, and can be shared like a catalog.
#[derive(Default)]
struct Spy {
    memory: MemoryTrust,
    told: std::sync::Mutex<Vec<StatIdentity>>,
}

impl Trust for Spy {
    fn recall(&self, name: &BlobName) -> Option<StatIdentity> {
        self.memory.recall(name)
    }

    fn remember(&self, name: &BlobName, identity: StatIdentity) {
        self.told.lock().unwrap().push(identity);
        self.memory.remember(name, identity);
    }

    fn forget(&self, name: &BlobName) {
        self.memory.forget(name);
    }
}

#[test]
fn trust_is_shared_and_follows_links_made_here() {
    let (home, trust) = (home(), Arc::new(Spy::default()));
    let writer = Verified::new(disk(&home), trust.clone());
    let reader = Verified::new(disk(&home), trust.clone());
    let name = writer.put(&[b"bytes"]).unwrap();
    assert_eq!(trust.recall(&name), reader.open(&name).unwrap().identity());
    let path = home.path().join("placed");
    let how = reader.place(&name, &path, Access::READ).unwrap();
    assert_eq!(trust.recall(&name), reader.open(&name).unwrap().identity());
    let told = trust.told.lock().unwrap().len();
    assert_eq!(told, if how == Placement::Linked { 2 } else { 1 });
    let shares = fs::metadata(&path).unwrap().ino() == trust.recall(&name).unwrap().inode;
    assert_eq!(shares, how == Placement::Linked);
}

#[test]
fn a_blob_hashed_right_after_it_changed_is_not_trusted_yet() {
    let (home, trust) = (home(), Arc::new(Spy::default()));
    let name = disk(&home).put(&[b"written elsewhere"]).unwrap();
    let reader = Verified::new(disk(&home), trust.clone());
    assert_eq!(&reader.open(&name).unwrap()[..], b"written elsewhere");
    assert_eq!(trust.recall(&name), None);
}

#[test]
fn a_trusted_blob_that_was_damaged_is_caught_by_verify_and_by_open() {
    let (home, trust) = (home(), Arc::new(Spy::default()));
    let blobs = Verified::new(disk(&home), trust.clone());
    let name = blobs.put(&[b"bytes"]).unwrap();
    let path = blobs.open(&name).unwrap().path().unwrap().to_owned();
    let untouched = fs::metadata(&path).unwrap().modified().unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, b"BYTES").unwrap();
    // As a failing disk would: the bytes changed and nothing tells.
    fs::File::open(&path).unwrap().set_modified(untouched).unwrap();
    trust.remember(&name, blobs.inner().open(&name).unwrap().identity().unwrap());
    assert!(matches!(blobs.verify(&name).unwrap_err(), GetError::Corrupt { .. }));
    assert_eq!(trust.recall(&name), None);
    assert!(matches!(blobs.open(&name).unwrap_err(), GetError::Missing { .. }));
}

#[test]
fn a_length_that_is_wrong_shows_without_reading() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"bytes"]).unwrap();
    let error = disk.open(&BlobName { length: 6, ..name }).unwrap_err();
    assert!(matches!(error, GetError::Corrupt { found: Damage::Length(5), .. }), "{error}");
}

#[test]
fn placing_a_blob_over_its_own_link_leaves_no_temporary() {
    let home = home();
    let disk = disk(&home);
    let name = disk.put(&[b"bytes"]).unwrap();
    let path = home.path().join("placed/here");
    for _ in 0..3 {
        disk.place(&name, &path, Access::READ).unwrap();
    }
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    assert_eq!(fs::read(&path).unwrap(), b"bytes");
}

#[test]
fn a_file_on_another_filesystem_is_copied() {
    let (home, other) = (home(), tempfile::tempdir_in("/dev/shm").unwrap());
    let disk = disk(&home);
    let name = disk.put(&[b"bytes"]).unwrap();
    let path = other.path().join("placed");
    let same =
        fs::metadata(home.path()).unwrap().dev() == fs::metadata(other.path()).unwrap().dev();
    let how = disk.place(&name, &path, Access::READ).unwrap();
    assert!(same || how == Placement::Copied, "{how:?}");
    assert_eq!(fs::read(&path).unwrap(), b"bytes");
}

#[test]
fn pipes_and_sockets_are_no_files_to_store_and_no_blobs() {
    let home = home();
    let disk = disk(&home);
    let pipe = home.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    assert!(matches!(disk.put_file(&pipe).unwrap_err(), PutError::Unreadable { .. }));
    let name = disk.put(&[b"bytes"]).unwrap();
    let path = disk.open(&name).unwrap().path().unwrap().to_owned();
    fs::rename(&pipe, &path).unwrap();
    let error = disk.open(&name).unwrap_err();
    assert!(matches!(error, GetError::Corrupt { found: Damage::NotAFile, .. }), "{error}");
}
