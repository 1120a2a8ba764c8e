//! What the filesystem says of files that a command may read and not write.
//!
//! Files which several commands have in common cannot be kept from a command that runs as the
//! superuser, or changes their permissions. What it did shows here.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files at a path, which may be moved as a whole, each with its number, its length, the time of the last
/// write and its permissions.
///
/// Not the time at which attributes changed: another name for a file changes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stamp(BTreeMap<PathBuf, (u64, u64, i64, i64, u32)>);

impl Stamp {
    /// What is at a path now; nothing if that cannot be told.
    pub(crate) fn of(root: &Path) -> Self {
        let mut stamp = Self::default();
        let mut ahead = vec![root.to_owned()];
        while let Some(path) = ahead.pop() {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                ahead.extend(entries.map(|entry| entry.path()));
            }
            let path = path.strip_prefix(root).unwrap_or(&path);
            stamp.add(path.to_owned(), &metadata);
        }
        stamp
    }

    /// Whether one of its files was written to, or given other permissions, since, judged by what is there later.
    pub(crate) fn is_written(&self, later: &Self) -> bool {
        self.0.iter().any(|(path, before)| {
            later.0.get(path).is_some_and(|after| after.0 == before.0 && after != before)
        })
    }

    fn add(&mut self, path: PathBuf, found: &Metadata) {
        // A directory is what is in it.
        let content = if found.is_dir() {
            (found.ino(), 0, 0, 0, 0)
        } else {
            (found.ino(), found.size(), found.mtime(), found.mtime_nsec(), found.mode())
        };
        self.0.insert(path, content);
    }
}
