//! Files and directories of the user as digests.
//!
//! A file is read only if its [`StatIdentity`] is not known to the [`Memo`]; it is looked at again
//! after reading, and one that changed meanwhile has no digest.
//!
//! ```
//! use thrifty_store::scan::{self, NoMemo};
//!
//! let data = tempfile::tempdir()?;
//! std::fs::write(data.path().join("flights.csv"), "a,b\n")?;
//! let manifest = scan::directory(data.path(), &NoMemo)?;
//! assert_eq!(manifest.length(), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rayon::prelude::*;
use rustix::fs::OFlags;
use thrifty_key::Digest;
use thrifty_key::tree::{self, Manifest, PathError};

use crate::identity::StatIdentity;
use crate::parallel::{hash_file, pool};

/// Remembers the digest of a file by its [`StatIdentity`], so that an unchanged file costs a stat.
///
/// It may forget at will: that costs a hash. It must not invent.
pub trait Memo: Send + Sync {
    /// The digest the file at this absolute path had when it had this identity.
    fn recall(&self, path: &Path, identity: &StatIdentity) -> Option<Digest>;

    /// The file at this absolute path has this digest as long as it has this identity.
    fn remember(&self, path: &Path, identity: &StatIdentity, digest: &Digest);
}

/// Remembers nothing: every file is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemo;

impl Memo for NoMemo {
    fn recall(&self, _: &Path, _: &StatIdentity) -> Option<Digest> {
        None
    }

    fn remember(&self, _: &Path, _: &StatIdentity, _: &Digest) {}
}

/// A file or directory could not become a digest.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Nothing is there.
    #[error("{} does not exist", path.display())]
    Missing {
        /// What was to be read.
        path: PathBuf,
    },
    /// It, or something in it, cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody wrote to it meanwhile, so no digest describes it.
    #[error("{} changed while it was read: run again when its writer is done", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A symlink in a directory, whose target is no part of the directory.
    #[error("{} is a symlink: replace it by what it points to, or keep it elsewhere", path.display())]
    Symlink {
        /// The symlink.
        path: PathBuf,
    },
    /// A pipe, socket or device; or a file where a directory was asked for, or the reverse.
    #[error("{} is not a {expected}", path.display())]
    Kind {
        /// What was to be read.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A name that is not Unicode.
    #[error("the name of {} is not valid UTF-8: rename it", path.display())]
    NotUnicode {
        /// The file.
        path: PathBuf,
    },
    /// A name that cannot stand in a manifest.
    #[error("{}: {source}", directory.display())]
    Path {
        /// The directory scanned.
        directory: PathBuf,
        /// The path in it, and the rule it breaks.
        source: PathError,
    },
}

impl ScanError {
    fn unreadable(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Unreadable { path, source },
        }
    }

    fn kind(path: &Path, expected: &'static str) -> Self {
        Self::Kind { path: path.to_owned(), expected }
    }
}

/// The content of one regular file. A symlink is followed.
///
/// # Errors
///
/// [`ScanError`].
pub fn file(path: &Path, memo: &dyn Memo) -> Result<tree::File, ScanError> {
    let real = path.canonicalize().map_err(|error| ScanError::unreadable(path, error))?;
    let metadata = fs::symlink_metadata(&real).map_err(|e| ScanError::unreadable(path, e))?;
    digest_file(&real, &metadata, memo)
}

/// The content of a directory, files hashed on all cores. The directory itself may be a
/// symlink; one inside is an error.
///
/// # Errors
///
/// [`ScanError`], naming the first path in the way.
pub fn directory(path: &Path, memo: &dyn Memo) -> Result<Manifest, ScanError> {
    let root = path.canonicalize().map_err(|error| ScanError::unreadable(path, error))?;
    let Walk { mut manifest, files, .. } = Walk::through(&root)?;
    let digest = |found: &Found| digest_file(&found.path, &found.metadata, memo);
    let digested: Vec<_> = match pool() {
        Some(pool) => pool.install(|| files.par_iter().map(digest).collect::<Result<_, _>>())?,
        None => files.iter().map(digest).collect::<Result<_, _>>()?,
    };
    for (found, file) in files.iter().zip(digested) {
        manifest.add_file(&found.relative, file).map_err(|source| in_directory(&root, source))?;
    }
    Ok(manifest)
}

/// A regular file met on the way.
struct Found {
    path: PathBuf,
    relative: String,
    metadata: Metadata,
}

/// What was found so far, and where to look next.
struct Walk<'a> {
    root: &'a Path,
    /// Holds the directories; the files follow once they are hashed.
    manifest: Manifest,
    files: Vec<Found>,
    /// Directories not read yet. No recursion: a deep tree would take a descriptor a level.
    ahead: Vec<(PathBuf, String)>,
}

impl<'a> Walk<'a> {
    /// Meets everything below the root.
    fn through(root: &'a Path) -> Result<Self, ScanError> {
        let ahead = vec![(root.to_owned(), String::new())];
        let mut walk = Self { root, manifest: Manifest::default(), files: Vec::new(), ahead };
        while let Some((directory, prefix)) = walk.ahead.pop() {
            walk.enter(&directory, &prefix)?;
        }
        Ok(walk)
    }

    /// Meets what is in one directory.
    fn enter(&mut self, directory: &Path, prefix: &str) -> Result<(), ScanError> {
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotADirectory => ScanError::kind(directory, "directory"),
            _ => ScanError::unreadable(directory, error),
        };
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(|error| ScanError::unreadable(directory, error))?;
            self.meet(entry.path(), prefix)?;
        }
        Ok(())
    }

    /// Notes a directory or file, and refuses what is neither.
    fn meet(&mut self, path: PathBuf, prefix: &str) -> Result<(), ScanError> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(ScanError::NotUnicode { path });
        };
        let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        let metadata =
            fs::symlink_metadata(&path).map_err(|error| ScanError::unreadable(&path, error))?;
        if metadata.is_symlink() {
            return Err(ScanError::Symlink { path });
        }
        if metadata.is_dir() {
            let added = self.manifest.add_directory(&relative);
            added.map_err(|source| in_directory(self.root, source))?;
            self.ahead.push((path, relative));
        } else {
            self.files.push(Found { path, relative, metadata });
        }
        Ok(())
    }
}

fn in_directory(root: &Path, source: PathError) -> ScanError {
    ScanError::Path { directory: root.to_owned(), source }
}

/// The file as it was when `metadata` were taken, read only if its digest is not remembered.
fn digest_file(path: &Path, metadata: &Metadata, memo: &dyn Memo) -> Result<tree::File, ScanError> {
    if !metadata.is_file() {
        return Err(ScanError::kind(path, "regular file"));
    }
    let identity = StatIdentity::of(metadata);
    let executable = metadata.permissions().mode() & 0o100 != 0;
    let digest = match memo.recall(path, &identity) {
        Some(digest) => digest,
        None => read_file(path, &identity, memo)?,
    };
    Ok(tree::File { digest, length: identity.size, executable })
}

/// Reads and hashes a file which must be the one of `before`, before and after.
fn read_file(path: &Path, before: &StatIdentity, memo: &dyn Memo) -> Result<Digest, ScanError> {
    let unreadable = |error| ScanError::unreadable(path, error);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file: File =
        OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let (digest, length) = hash_file(&file).map_err(unreadable)?;
    let after = StatIdentity::of_file(&file).map_err(unreadable)?;
    if after != *before || length != before.size {
        return Err(ScanError::Changed { path: path.to_owned() });
    }
    if after.is_lasting(SystemTime::now()) {
        memo.remember(path, &after, &digest);
    }
    Ok(digest)
}
