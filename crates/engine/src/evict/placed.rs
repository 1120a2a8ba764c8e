//! Files and directories that were placed for readers of entries.
//!
//! `files/file/<digest>/` and `files/dir/<digest>/` hold what was loaded as files. They are copies,
//! or the blobs themselves under another name: a blob's bytes are free only when these go too.
//! What is still needed is placed anew when it is loaded again, and what a living process loaded
//! stays: its code may come to it by path.

use std::collections::HashMap;
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thrifty_key::Digest;
use thrifty_key::tree::Manifest;
use thrifty_store::hold::Holds;
use thrifty_store::{Blobs, RemoveError};

use crate::record::{Buffer, Object, Record};

/// Where files and directories are placed, and the codecs of the values that they are.
const KINDS: [(&str, &str); 2] = [("file", "file/1"), ("dir", "dir/1")];

/// Begins the name of what is being deleted, so that nobody finds it half deleted.
const GOING: &str = ".going-";

/// What was placed and has been left alone for a while.
pub(super) struct Placed {
    idle: HashMap<(&'static str, Digest), PathBuf>,
    /// What an interrupted collection left.
    going: Vec<PathBuf>,
}

impl Placed {
    /// What is under `files` and was neither made nor read for this long. What cannot be looked
    /// at stays.
    pub(super) fn find(files: &Path, now: SystemTime, age: Duration) -> Self {
        let mut placed = Self { idle: HashMap::new(), going: Vec::new() };
        for (kind, _) in KINDS {
            let Ok(entries) = fs::read_dir(files.join(kind)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(GOING) {
                    placed.going.push(entry.path());
                } else if let Ok(digest) = name.parse()
                    && is_idle(&entry.path(), now, age).unwrap_or(false)
                {
                    placed.idle.insert((kind, digest), entry.path());
                }
            }
        }
        placed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.going.is_empty()
    }

    /// Keeps what the record of an entry is loaded as.
    pub(super) fn keep(&mut self, output: &[u8], blobs: &dyn Blobs) {
        if let Ok(record) = Record::from_bytes(output) {
            self.keep_of(&record, blobs);
        }
    }

    fn keep_of(&mut self, record: &Record, blobs: &dyn Blobs) {
        match record {
            Record::Plain(_) => {}
            Record::Hashed { value, .. } | Record::Annotated { value, .. } => {
                self.keep_of(value, blobs)
            }
            Record::Composite { parts, .. } => {
                parts.iter().for_each(|part| self.keep_of(part, blobs));
            }
            Record::Object(object) => {
                let kind = KINDS.into_iter().find(|(_, codec)| *codec == object.codec);
                if let Some((kind, _)) = kind
                    && let Some(digest) = digest_of(object, blobs)
                {
                    self.idle.remove(&(kind, digest));
                }
            }
        }
    }

    /// What no entry needs.
    pub(super) fn into_unneeded(self) -> Vec<PathBuf> {
        let mut unneeded: Vec<_> = self.idle.into_values().chain(self.going).collect();
        unneeded.sort_unstable();
        unneeded
    }
}

/// Deletes places that no living process holds.
pub(super) struct Removal<'a> {
    pub(super) holds: &'a Holds,
    pub(super) now: SystemTime,
    /// As of [`Placed::find`]; it is asked again, as somebody may have come meanwhile.
    pub(super) age: Duration,
    pub(super) dry_run: bool,
}

impl Removal<'_> {
    /// Whether it is gone, or would be. It goes at once for whoever looks for it, then bit by bit.
    pub(super) fn remove(&self, path: &Path) -> Result<bool, RemoveError> {
        let removed = self.set_aside(path).and_then(|going| match going {
            Some(going) => self.delete(&going),
            None => Ok(false),
        });
        removed.map_err(|source| RemoveError { path: path.to_owned(), source })
    }

    /// Gives a place that is to go another name, under which nobody looks for it; `None` if it stays.
    /// It is claimed no longer than that: who waits to hold it finds nothing there any more.
    fn set_aside(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Ok(digest) = name.parse() else {
            return Ok(Some(path.to_owned()));
        };
        let Some(_claimed) = self.holds.claim(&digest)? else {
            return Ok(None);
        };
        if !is_idle(path, self.now, self.age).unwrap_or(false) {
            return Ok(None);
        }
        let going = path.with_file_name(format!("{GOING}{name}"));
        if !self.dry_run {
            fs::rename(path, &going)?;
        }
        Ok(Some(going))
    }

    fn delete(&self, path: &Path) -> io::Result<bool> {
        if self.dry_run {
            return Ok(true);
        }
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(true),
        }
    }
}

/// The digest under which the value is placed.
fn digest_of(object: &Object, blobs: &dyn Blobs) -> Option<Digest> {
    match (object.codec.as_str(), object.buffers.first()?) {
        ("dir/1", Buffer::Inline(manifest)) => Some(Manifest::decode(manifest).ok()?.digest()),
        ("dir/1", Buffer::Blob(name)) => {
            Some(Manifest::decode(&blobs.open(name).ok()?).ok()?.digest())
        }
        (_, Buffer::Blob(name)) => Some(name.digest),
        (_, Buffer::Inline(_)) => None,
    }
}

/// Whether nothing in it was made, changed or read for this long.
fn is_idle(path: &Path, now: SystemTime, age: Duration) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // Looking into a directory, as this does, is not reading what it holds.
    let read = if metadata.is_dir() { metadata.mtime() } else { metadata.atime() };
    let last = at(read.max(metadata.mtime()).max(metadata.ctime()));
    if !now.duration_since(last).is_ok_and(|idle| idle >= age) {
        return Ok(false);
    }
    if !metadata.is_dir() {
        return Ok(true);
    }
    let within: Vec<DirEntry> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
    for entry in within {
        if !is_idle(&entry.path(), now, age)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_while_a_place_is_deleted_finds_none_and_makes_his_own() {
        let files = tempfile::tempdir().unwrap();
        let digest = Digest::of_blob(b"placed");
        let place = files.path().join("file").join(digest.to_string());
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("report.txt"), b"placed").unwrap();
        let [collector, reader] = [(); 2].map(|()| Holds::open(files.path()).unwrap());
        let day = Duration::from_hours(24);
        let now = SystemTime::now() + 2 * day;
        let removal = Removal { holds: &collector, now, age: day, dry_run: false };
        let going = removal.set_aside(&place).unwrap().unwrap();
        assert!(!place.exists() && going.join("report.txt").exists());
        // Before anything is deleted, which may take long.
        reader.hold(&digest).unwrap();
        fs::create_dir(&place).unwrap();
        assert!(removal.delete(&going).unwrap());
        assert!(!going.exists() && place.exists());
        assert!(!removal.remove(&place).unwrap(), "it is held");
        drop(reader);
        assert!(removal.remove(&place).unwrap());
    }
}
