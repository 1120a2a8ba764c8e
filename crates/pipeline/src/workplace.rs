//! The directories in which this process works, and those that killed processes left.
//!
//! A directory is gone when what it was made for ends. That of a process that was killed stays; who
//! collects finds it by a lock that only a living process has.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use tempfile::TempDir;
use thrifty_key::Digest;
use thrifty_store::hold::Holds;

/// What this process holds, by the directory that it works below.
static HELD: LazyLock<Mutex<HashMap<PathBuf, Holds>>> = LazyLock::new(Mutex::default);

/// What the names begin with.
const PREFIXES: [&str; 3] = ["attempt-", "code-", "joins-"];

/// Where an operation runs, once.
pub(crate) fn for_attempt(work: &Path) -> io::Result<TempDir> {
    directory(work, PREFIXES[0])
}

/// Where copies of code are.
pub(crate) fn for_code(work: &Path) -> io::Result<TempDir> {
    directory(work, PREFIXES[1])
}

/// Where answers to queries are.
pub(crate) fn for_joins(work: &Path) -> io::Result<TempDir> {
    directory(work, PREFIXES[2])
}

/// A fresh directory below `work`. Its name is held before it is made: killed in between, a process
/// leaves nothing; killed later, a directory that nobody holds.
fn directory(work: &Path, prefix: &str) -> io::Result<TempDir> {
    fs::create_dir_all(work)?;
    loop {
        let name = format!("{prefix}{}", fresh());
        hold(work, &name);
        let made = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir_in(work);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made,
        }
    }
}

/// A name that no other process makes, as far as that can be known.
fn fresh() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = format!("{} {number} {}", std::process::id(), now.as_nanos());
    Digest::of_blob(text.as_bytes()).to_string()[..12].to_owned()
}

/// Holds a name as long as this process lives. Where there are no locks, nobody can claim it either.
fn hold(work: &Path, name: &str) {
    let mut held = HELD.lock();
    if !held.contains_key(work) {
        let Ok(holds) = Holds::open(work) else { return };
        held.insert(work.to_owned(), holds);
    }
    _ = held.get(work).map(|holds| holds.hold(&Digest::of_blob(name.as_bytes())));
}

/// Removes the directories below `work` that processes left which were killed; says how many.
///
/// # Errors
///
/// What the system said of `work` itself. What cannot be removed now is left to the next time.
pub fn collect_work(work: &Path, dry_run: bool) -> io::Result<u64> {
    let entries = match fs::read_dir(work) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let holds = Holds::open(work)?;
    let mut removed = 0;
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        // Kept until it is removed, so that nobody makes one of the same lock meanwhile.
        let Some(_claimed) = holds.claim(&Digest::of_blob(name.as_bytes()))? else { continue };
        if dry_run || fs::remove_dir_all(work.join(&*name)).is_ok() {
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_collected_and_nothing_else() {
        let work = TempDir::new().unwrap();
        let mine = for_attempt(work.path()).unwrap();
        let left = ["attempt-left", "code-left", "joins-left"].map(|name| work.path().join(name));
        for path in &left {
            fs::create_dir_all(path.join("run")).unwrap();
        }
        fs::create_dir(work.path().join("other")).unwrap();
        assert_eq!(collect_work(work.path(), true).unwrap(), 3);
        assert!(left.iter().all(|path| path.is_dir()));
        assert_eq!(collect_work(work.path(), false).unwrap(), 3);
        assert!(left.iter().all(|path| !path.exists()));
        assert!(mine.path().is_dir() && work.path().join("other").is_dir());
        assert_eq!(collect_work(&work.path().join("nowhere"), false).unwrap(), 0);
    }

    #[test]
    fn names_are_not_used_twice() {
        let work = TempDir::new().unwrap();
        let made: Vec<_> = (0..20).map(|_| for_code(work.path()).unwrap()).collect();
        let mut names: Vec<_> = made.iter().map(TempDir::path).collect();
        names.dedup();
        assert_eq!(names.len(), 20);
    }
}
