//! Files that several commands have in common: what one made, and others read.
//!
//! A command that reads gets the file itself under another name, without the permission to write.
//! Who writes all the same, as the superuser may, is found by the [`Stamp`], and fails.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::stamp::Stamp;

/// An input in the directory of a command, as it was put there.
pub(crate) struct Shared {
    pub(crate) name: String,
    path: PathBuf,
    before: Stamp,
}

impl Shared {
    /// What was just put at a path.
    pub(crate) fn new(name: &str, path: PathBuf) -> Self {
        let before = Stamp::of(&path);
        Self { name: name.to_owned(), path, before }
    }

    /// Whether somebody has written into its files. That they were replaced or removed in the
    /// directory of the command is nobody else's matter.
    pub(crate) fn is_written(&self) -> bool {
        self.before.is_written(&Stamp::of(&self.path))
    }
}

/// Makes a file, or the files of a directory, found at another path as well.
pub(crate) fn link(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop));
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        link(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Makes what a command left at a path below its directory a file or directory of its own: no link
/// to something else, no way there by a link, and without the permission to write to its files.
pub(crate) fn own_below(directory: &Path, relative: &Path) -> io::Result<()> {
    let mut at = directory.to_owned();
    for part in relative.parent().iter().flat_map(|above| above.components()) {
        at.push(part);
        if fs::symlink_metadata(&at)?.is_symlink() {
            spread(&at)?;
        }
    }
    own(&directory.join(relative))
}

/// Makes a link to a directory a directory of links to what is in that.
fn spread(link: &Path) -> io::Result<()> {
    let target = link.canonicalize()?;
    let entries = fs::read_dir(&target)?.collect::<io::Result<Vec<_>>>()?;
    fs::remove_file(link)?;
    fs::create_dir(link)?;
    for entry in entries {
        symlink(entry.path(), link.join(entry.file_name()))?;
    }
    Ok(())
}

/// The same for what no link leads to.
fn own(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A link in a directory is refused when the directory is read.
            if !entry.file_type()?.is_symlink() {
                own(&entry.path())?;
            }
        }
        return Ok(());
    }
    if found.is_symlink() || (found.is_file() && found.nlink() > 1) {
        let above = path.parent().unwrap_or(path);
        let staging = tempfile::Builder::new().prefix(".thrifty-").tempdir_in(above)?;
        let new = staging.path().join("new");
        copy(path, &new)?;
        fs::remove_file(path)?;
        fs::rename(&new, path)?;
        return own(path);
    }
    match found.is_file() {
        true => fs::set_permissions(path, Permissions::from_mode(found.mode() & 0o555)),
        false => Ok(()),
    }
}

/// A copy of a file or directory, which its owner may write to.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let found = fs::metadata(from)?;
    if !found.is_dir() {
        if !found.is_file() {
            return Err(io::Error::other(format!("{} is no file", from.display())));
        }
        fs::copy(from, to)?;
        return fs::set_permissions(to, Permissions::from_mode(found.mode() & 0o777 | 0o200));
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
