//! Blobs as files: shared where that is safe, copied where not.
//!
//! A reflink shares blocks until one side writes, and is always right. A hard link is the blob
//! itself: permissions and content are one for both names, so it is made only for callers that
//! read, and only for files that are not executable. Who overrides the permissions and writes all
//! the same damages the blob, which [`Verified`](crate::verified::Verified) finds at its next use;
//! and what somebody made of the permissions through one name is taken back before there is another.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempPath};

use crate::blob::{Backing, Blob};
use crate::error::PlaceError;

/// What the caller may do with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whether the file is the caller's own, to write to.
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
}

impl Access {
    /// To be read and nothing else. Such a file may be the blob itself under a second name.
    pub const READ: Self = Self { writable: false, executable: false };
    /// The caller's own file.
    pub const WRITE: Self = Self { writable: true, executable: false };

    /// Permission bits, before the process's umask takes some away.
    fn permissions(self) -> Permissions {
        let write = if self.writable { 0o222 } else { 0 };
        let execute = if self.executable { 0o111 } else { 0 };
        Permissions::from_mode(0o444 | write | execute)
    }

    /// Whether the blob's own permissions are the ones wanted.
    fn allows_link(self) -> bool {
        self == Self::READ
    }
}

/// How a blob became a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// A file of its own which shares its blocks until one side writes.
    Reflinked,
    /// A hard link: the blob itself under a second name, read-only. This changed the blob's
    /// link count, and with it the change time in its [`StatIdentity`](crate::StatIdentity).
    Linked,
    /// A file of its own with its own blocks.
    Copied,
}

/// Makes a blob the file at `path`, replacing what is there at once.
///
/// Tries a reflink, then a hard link if the caller only reads, then a copy. Directories above
/// are made; a symlink at `path` is replaced, not followed. [`Blobs::place`](crate::Blobs::place)
/// is the way for callers; this one backs it.
///
/// # Errors
///
/// [`PlaceError::Target`]; then what was at the path is still there.
pub fn materialise(blob: &Blob, path: &Path, access: Access) -> Result<Placement, PlaceError> {
    let target = |source| PlaceError::target(path, source);
    let directory = directory_of(path);
    fs::create_dir_all(directory).map_err(target)?;
    if let Some(backing) = blob.backing() {
        let may_link = access.allows_link() && is_to_be_read(&backing.file);
        if may_link && is_link_to(path, backing) {
            return Ok(Placement::Linked);
        }
        if let Some(file) = reflink(backing, directory, access).map_err(target)? {
            return persist(file.into_temp_path(), path, Placement::Reflinked);
        }
        if let Some(link) = Some(backing).filter(|_| may_link).and_then(|b| link(b, directory)) {
            return persist(link, path, Placement::Linked);
        }
    }
    let mut file = beside(directory, access).map_err(target)?;
    file.write_all(blob).map_err(target)?;
    persist(file.into_temp_path(), path, Placement::Copied)
}

/// The directory in which the path names something.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Whether the path is the blob already. Renaming one link of a file over another does nothing
/// and would leave the temporary name behind.
fn is_link_to(path: &Path, backing: &Backing) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        (found.dev(), found.ino()) == (backing.identity.device, backing.identity.inode)
    })
}

/// Whether a blob has the permissions of one, if need be again.
fn is_to_be_read(file: &File) -> bool {
    let Ok(found) = file.metadata() else { return false };
    // Which of the others may read it is the umask's choice.
    if found.mode() & 0o7733 == 0o400 {
        return true;
    }
    file.set_permissions(Permissions::from_mode(found.mode() & 0o044 | 0o400)).is_ok()
}

fn beside(directory: &Path, access: Access) -> io::Result<NamedTempFile> {
    Builder::new().prefix(".thrifty-").permissions(access.permissions()).tempfile_in(directory)
}

/// A clone of the file in a new temporary; `None` where the filesystem cannot.
fn reflink(
    backing: &Backing,
    directory: &Path,
    access: Access,
) -> io::Result<Option<NamedTempFile>> {
    let file = beside(directory, access)?;
    Ok(clone_content(&backing.file, file.as_file()).then_some(file))
}

/// Makes `to` share the blocks of `from`; `false` where the filesystem cannot.
pub(crate) fn clone_content(from: &File, to: &File) -> bool {
    reflink_copy::reflink_file(from, to).is_ok()
}

/// A second name of the blob; `None` where the filesystem cannot, or the path is no longer the
/// file that was opened.
fn link(backing: &Backing, directory: &Path) -> Option<TempPath> {
    let make = |name: &Path| fs::hard_link(&backing.path, name);
    let link = Builder::new().prefix(".thrifty-").make_in(directory, make).ok()?.into_temp_path();
    is_link_to(&link, backing).then_some(link)
}

fn persist(from: TempPath, path: &Path, how: Placement) -> Result<Placement, PlaceError> {
    from.persist(path).map_err(|error| PlaceError::target(path, error.error))?;
    Ok(how)
}
