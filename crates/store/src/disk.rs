//! Blobs as files in a directory.
//!
//! `blobs/v1/ab/<digest>.<generation>` are the blobs, `tmp/` holds what is being written,
//! `quarantine/` what turned out corrupt. A file comes into `blobs/` only by a rename of a whole,
//! synced, read-only file, so that a crash at any moment leaves a leftover in `tmp/` at worst.

use std::fs::{self, DirBuilder, DirEntry, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::NamedTempFile;
use thrifty_key::Digest;

use crate::blob::{Backing, Blob};
use crate::error::{Damage, GetError, PutError, RemoveError};
use crate::identity::StatIdentity;
use crate::parallel;
use crate::{BlobName, Blobs, Listed, Listing, links};

/// The directory must not be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something else is at the path.
    #[error("cache directory {} is not a directory: set THRIFTY_HOME to one", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Its owner could hand this user any value.
    #[error(
        "cache directory {} belongs to user {owner}, not to the current user {user}: set THRIFTY_HOME to a directory of your own",
        path.display()
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// User id of its owner.
        owner: u32,
        /// User id of this process.
        user: u32,
    },
    /// Anybody could hand this user any value.
    #[error("cache directory {0} can be written by everybody: run `chmod o-w {0}`", path.display())]
    WorldWritable {
        /// The directory.
        path: PathBuf,
    },
    /// The system cannot tell what is there.
    #[error("cannot look at cache directory {}: {source}", path.display())]
    Unreadable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Blobs in a directory of the local machine, for any number of processes at once.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    /// Set once this process has made the directories, or found them.
    ready: OnceLock<()>,
}

impl Disk {
    /// Opens the blobs below `root`, which need not exist: the first writer makes it, for its
    /// user alone. Nothing is written here.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if `root` exists and is not a directory that only this user controls.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let root = root.into();
        check_root(&root)?;
        Ok(Self { root, ready: OnceLock::new() })
    }

    /// The directory given to [`Disk::open`].
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whole blobs, and nothing else of ours. The version of the layout is in the path.
    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/v1")
    }

    /// Files being written. On the same filesystem as the blobs, or the rename would fail.
    fn staging(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Corrupt blobs, out of the way of readers.
    fn set_aside(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// One of 256 directories, so that none grows long to list.
    fn shard(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(&digest.to_string()[..2])
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        let text = name.to_string();
        self.blobs().join(&text[..2]).join(text)
    }

    /// Makes the directories. Checked again afterwards: somebody else may have been first.
    fn prepare(&self) -> Result<(), PutError> {
        for directory in [self.blobs(), self.staging()] {
            create_directory(&directory).map_err(|error| PutError::new(&directory, error))?;
        }
        check_root(&self.root).map_err(|error| match error {
            OpenError::Unreadable { path, source } => PutError::new(&path, source),
            unsafe_root => {
                PutError::Denied { path: self.root.clone(), reason: unsafe_root.to_string() }
            }
        })?;
        let _ = self.ready.set(());
        Ok(())
    }

    /// A new, empty file in `tmp/`, removed unless it is persisted.
    fn temporary(&self) -> Result<NamedTempFile, PutError> {
        let staging = self.staging();
        let create = || {
            let permissions = Permissions::from_mode(0o444);
            tempfile::Builder::new().prefix("put-").permissions(permissions).tempfile_in(&staging)
        };
        if self.ready.get().is_none() {
            self.prepare()?;
        }
        let created = match create() {
            // Somebody removed the directory while this process was at work.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.prepare()?;
                create()
            }
            created => created,
        };
        created.map_err(|error| PutError::new(&staging, error))
    }

    /// Makes a whole file durable, then visible.
    ///
    /// Its time of change is set by the fine clock, where the kernel's own stamps move in ticks:
    /// a write right afterwards, even in the same tick, gives it another.
    ///
    /// A failed sync is not tried again: the kernel has forgotten which pages it did not write
    /// and would report success. The temporary goes, and the caller has to write anew.
    fn publish(
        &self,
        temporary: NamedTempFile,
        digest: Digest,
        length: u64,
    ) -> Result<BlobName, PutError> {
        let failed = |error: io::Error| PutError::new(&self.root, error);
        temporary.as_file().set_modified(SystemTime::now()).map_err(failed)?;
        temporary.as_file().sync_all().map_err(failed)?;
        let name = BlobName::fresh(digest, length).map_err(|error| failed(error.into()))?;
        let (path, shard) = (self.path(&name), self.shard(&digest));
        if !shard.is_dir() {
            create_directory(&shard).map_err(failed)?;
        }
        temporary.persist(&path).map_err(|error| failed(error.error))?;
        // A crash here leaves a whole blob that nothing refers to, or its name lost: an orphan.
        sync_directory(&shard).map_err(|error| {
            let _ = fs::remove_file(&path);
            failed(error)
        })?;
        Ok(name)
    }

    /// Nothing is at the path of the blob: certain only if the storage itself is there, and not,
    /// say, a volume that was not mounted.
    fn absent(&self, name: &BlobName, source: io::Error) -> GetError {
        if self.blobs().is_dir() {
            GetError::Missing { name: *name }
        } else {
            GetError::transient(&self.blobs(), source)
        }
    }

    /// What a failure to open the file of a blob means. Only what says that the file is not there,
    /// or is no file, is certain; the rest may pass.
    fn refused(&self, name: &BlobName, error: io::Error) -> GetError {
        let not_a_file = GetError::Corrupt { name: *name, found: Damage::NotAFile };
        match Errno::from_io_error(&error) {
            Some(Errno::NOENT) => self.absent(name, error),
            // What opening a symlink, or a socket, says.
            Some(Errno::LOOP | Errno::NXIO) => not_a_file,
            _ => GetError::transient(&self.path(name), error),
        }
    }
}

impl Blobs for Disk {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        let length = parts.iter().map(|part| part.len()).sum();
        let temporary = self.temporary()?;
        // Not through the temporary itself, whose errors name its random path: one trouble is told
        // once.
        let mut file = temporary.as_file();
        let write = || parts.iter().try_for_each(|part| file.write_all(part));
        let (digest, written) = parallel::both(length, || parallel::hash_parts(parts), write);
        written.map_err(|error| PutError::new(&self.root, error))?;
        self.publish(temporary, digest, length as u64)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        let unreadable = |source| PutError::Unreadable { path: path.to_owned(), source };
        let source = open_file(path, OFlags::empty()).map_err(unreadable)?;
        if !source.metadata().map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let temporary = self.temporary()?;
        let copied = if links::clone_content(&source, temporary.as_file()) {
            parallel::hash_file(temporary.as_file())
        } else {
            parallel::copy_file(&source, temporary.as_file())
        };
        let (digest, length) = copied.map_err(|error| PutError::new(&self.root, error))?;
        self.publish(temporary, digest, length)
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        let path = self.path(name);
        let file = open_file(&path, OFlags::NOFOLLOW).map_err(|error| self.refused(name, error))?;
        let transient = |error| GetError::transient(&self.path(name), error);
        let metadata = file.metadata().map_err(transient)?;
        if let Some(found) = damage(name, &metadata) {
            return Err(GetError::Corrupt { name: *name, found });
        }
        let identity = StatIdentity::of(&metadata);
        Blob::of_file(Backing { file, path, identity }).map_err(transient)
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        let shard = self.shard(digest);
        for listed in list_directory(&shard)? {
            let name = listed?.name;
            if name.digest == *digest {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        remove(&self.path(name))
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        let path = self.path(name);
        let moved = create_directory(&self.set_aside())
            .and_then(|()| fs::rename(&path, self.set_aside().join(name.to_string())));
        settled(moved, &path)
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        let mut shards = Vec::new();
        for shard in read_directory(&self.blobs())? {
            shards.push(shard.map_err(|error| GetError::transient(&self.blobs(), error))?.path());
        }
        shards.sort_unstable();
        Ok(Box::new(shards.into_iter().flat_map(|shard| match list_directory(&shard) {
            Ok(listing) => listing,
            Err(error) => Box::new(std::iter::once(Err(error))),
        })))
    }

    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError> {
        let mut found = Vec::new();
        for directory in [self.staging(), self.set_aside()] {
            for entry in read_directory(&directory)? {
                let entry = entry.map_err(|error| GetError::transient(&directory, error))?;
                if is_older(&entry, age) {
                    found.push(entry.path());
                }
            }
        }
        Ok(found)
    }

    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError> {
        let homes = [self.staging(), self.set_aside()];
        if !homes.iter().any(|home| path.parent() == Some(home)) {
            let source = io::Error::new(ErrorKind::InvalidInput, "it is no leftover of this store");
            return Err(RemoveError { path: path.to_owned(), source });
        }
        remove(path)
    }
}

/// How the file differs from the name, as far as its metadata tell.
fn damage(name: &BlobName, metadata: &Metadata) -> Option<Damage> {
    if !metadata.is_file() {
        Some(Damage::NotAFile)
    } else if metadata.len() != name.length {
        Some(Damage::Length(metadata.len()))
    } else {
        None
    }
}

/// Refuses a directory through which somebody else could hand over values.
fn check_root(root: &Path) -> Result<(), OpenError> {
    let path = root.to_owned();
    let metadata = match fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(OpenError::Unreadable { path, source }),
    };
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if !metadata.is_dir() {
        Err(OpenError::NotADirectory { path })
    } else if owner != user {
        Err(OpenError::ForeignOwner { path, owner, user })
    } else if metadata.mode() & 0o002 != 0 {
        Err(OpenError::WorldWritable { path })
    } else {
        Ok(())
    }
}

/// Makes a directory and those above it, for this user alone, each durable.
fn create_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_directory(links::directory_of(path)),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = links::directory_of(path);
            if above == path || above == Path::new(".") {
                return Err(error);
            }
            create_directory(above)?;
            create_directory(path)
        }
        Err(error) => Err(error),
    }
}

/// Makes the names in a directory durable; syncing the files in it does not.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Opens for reading, and never waits for the other end of a pipe.
fn open_file(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = (flags | OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Deletes a file if it is there.
fn remove(path: &Path) -> Result<(), RemoveError> {
    settled(fs::remove_file(path), path)
}

/// Nothing at the path is as good as done.
fn settled(done: io::Result<()>, path: &Path) -> Result<(), RemoveError> {
    match done {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(RemoveError { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// What is in a directory; nothing if there is none.
fn read_directory(
    path: &Path,
) -> Result<impl Iterator<Item = io::Result<DirEntry>> + 'static, GetError> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(GetError::transient(path, error)),
    }
}

/// The blobs in one directory. What has not the name of a blob is none of ours and is left alone.
fn list_directory(path: &Path) -> Result<Listing<'static>, GetError> {
    let directory = path.to_owned();
    let listed =
        read_directory(path)?.filter_map(move |entry| match entry.and_then(|e| list_entry(&e)) {
            Ok(listed) => listed.map(Ok),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(Err(GetError::transient(&directory, error))),
        });
    Ok(Box::new(listed))
}

/// One file as a blob; `None` if it has not the name of one.
fn list_entry(entry: &DirEntry) -> io::Result<Option<Listed>> {
    let file_name = entry.file_name();
    let Some(name) = file_name.to_str().and_then(|text| BlobName::parse(text, 0)) else {
        return Ok(None);
    };
    let metadata = entry.metadata()?;
    let name = BlobName { length: metadata.len(), ..name };
    Ok(Some(Listed { name, modified: metadata.modified()? }))
}

/// Whether the file was neither written nor renamed for this long.
fn is_older(entry: &DirEntry, age: Duration) -> bool {
    let Ok(metadata) = entry.metadata() else {
        return false;
    };
    let moved = u64::try_from(metadata.ctime()).map_or(SystemTime::UNIX_EPOCH, |seconds| {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    });
    let touched = metadata.modified().map_or(moved, |written| written.max(moved));
    SystemTime::now().duration_since(touched).is_ok_and(|idle| idle >= age)
}
