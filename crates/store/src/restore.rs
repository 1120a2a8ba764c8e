//! A manifest and its blobs as a directory.
//!
//! The directory is built beside its target under another name, and renamed when it is whole.
//!
//! ```
//! use thrifty_store::{Blobs, memory::Memory, restore, scan::{self, NoMemo}};
//!
//! let home = tempfile::tempdir()?;
//! let (data, copy) = (home.path().join("data"), home.path().join("copy"));
//! std::fs::create_dir(&data)?;
//! std::fs::write(data.join("flights.csv"), "a,b\n")?;
//!
//! let blobs = Memory::new();
//! let manifest = scan::directory(&data, &NoMemo)?;
//! blobs.put_file(&data.join("flights.csv"))?;
//! restore::directory(&manifest, &blobs, &|digest| blobs.contains(digest), &copy, true)?;
//! assert_eq!(std::fs::read(copy.join("flights.csv"))?, b"a,b\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use thrifty_key::Digest;
use thrifty_key::tree::{Entry, File, Manifest};

use crate::error::{GetError, PlaceError};
use crate::links::{Access, directory_of};
use crate::parallel::pool;
use crate::{BlobName, Blobs};

/// A directory could not be restored. Nothing new is at the target.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The content of a file is not known any more: a miss.
    #[error("the blob with the digest {digest} of {path:?} is missing")]
    Missing {
        /// The digest of the content.
        digest: Digest,
        /// The path in the directory.
        path: String,
    },
    /// A blob could not be read, which is a miss, or a file not be written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Something is at the target already, which is never deleted.
    #[error("{} is in the way: remove it, or choose another directory", path.display())]
    Occupied {
        /// The target.
        path: PathBuf,
    },
    /// The directory could not be made.
    #[error("cannot write {}: {source}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the directory `target`, all at once, from a manifest and the blobs `find` names by
/// digest. An empty directory may be there already.
///
/// With `writable` the files are the caller's own; else they may be the blobs themselves.
///
/// # Errors
///
/// [`RestoreError`]; then nothing new is at the target.
pub fn directory(
    manifest: &Manifest,
    blobs: &dyn Blobs,
    find: &(dyn Fn(&Digest) -> Result<Option<BlobName>, GetError> + Sync),
    target: &Path,
    writable: bool,
) -> Result<(), RestoreError> {
    let failed = |source| RestoreError::Target { path: target.to_owned(), source };
    let above = directory_of(target);
    fs::create_dir_all(above).map_err(failed)?;
    let staging = tempfile::Builder::new()
        .prefix(".thrifty-")
        .permissions(fs::Permissions::from_mode(0o777))
        .tempdir_in(above)
        .map_err(failed)?;
    for (path, entry) in manifest.entries() {
        if *entry == Entry::Directory {
            fs::create_dir(staging.path().join(path)).map_err(failed)?;
        }
    }
    let files: Vec<_> = manifest.files().collect();
    let place = |&(path, file): &(&str, &File)| {
        place(blobs, find, path, file, &staging.path().join(path), writable)
    };
    match pool() {
        Some(pool) => pool.install(|| files.par_iter().try_for_each(place))?,
        None => files.iter().try_for_each(place)?,
    }
    // Replaces an empty directory and nothing else.
    fs::rename(staging.path(), target).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty
        | io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory => RestoreError::Occupied { path: target.to_owned() },
        _ => failed(error),
    })?;
    let _ = staging.keep();
    Ok(())
}

/// Puts one file of the manifest where it belongs. The length comes from the manifest, which others
/// may have written, and must be that of the blob.
fn place(
    blobs: &dyn Blobs,
    find: &(dyn Fn(&Digest) -> Result<Option<BlobName>, GetError> + Sync),
    path: &str,
    file: &File,
    target: &Path,
    writable: bool,
) -> Result<(), RestoreError> {
    let missing = || RestoreError::Missing { digest: file.digest, path: path.to_owned() };
    let name = find(&file.digest).map_err(PlaceError::from)?;
    let fits = |name: &BlobName| name.digest == file.digest && name.length == file.length;
    let name = name.filter(fits).ok_or_else(missing)?;
    blobs.place(&name, target, Access { writable, executable: file.executable })?;
    Ok(())
}
