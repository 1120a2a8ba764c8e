//! What a worker changed on the disk, in order, as the library wrote it down.

use std::io;
use std::path::{Path, PathBuf};

/// Where a file lies, below the cache directory.
pub type Place = PathBuf;
/// The number of a file, which it keeps under all its names.
pub type Inode = u64;

/// One change to the files below the cache directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A file is there, new or not, and empty if it was cut.
    Make {
        /// Its name.
        place: Place,
        /// The file.
        inode: Inode,
        /// Whether it was emptied.
        is_cut: bool,
    },
    /// Bytes are written.
    Write {
        /// Into this file.
        inode: Inode,
        /// From this byte on.
        offset: usize,
        /// What is written.
        bytes: Vec<u8>,
    },
    /// A file gets another length.
    Cut {
        /// The file.
        inode: Inode,
        /// Its length.
        length: usize,
        /// Whether it can only grow.
        grows: bool,
    },
    /// A file or directory is synced.
    Sync {
        /// A name of it.
        place: Place,
        /// The file.
        inode: Inode,
    },
    /// A file gets another name.
    Rename {
        /// The name that it had.
        from: Place,
        /// The one that it has.
        to: Place,
    },
    /// A file gets a second name.
    Link {
        /// The file.
        inode: Inode,
        /// Its new name.
        to: Place,
    },
    /// A name goes, of a file or an empty directory.
    Unlink(Place),
    /// A directory is made.
    Directory(Place),
    /// Nothing; the worker is at this place.
    Mark(Place),
}

/// Bytes of a change before its paths.
const HEAD: usize = 33;

/// The changes that a journal tells of.
///
/// # Errors
///
/// If it is not one.
pub fn parse(mut bytes: &[u8]) -> io::Result<Vec<Change>> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let (change, rest) = next(bytes)
            .ok_or_else(|| io::Error::other(format!("change {} of the journal", changes.len())))?;
        changes.push(change);
        bytes = rest;
    }
    Ok(changes)
}

fn next(bytes: &[u8]) -> Option<(Change, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let number = |at: usize, width: usize| {
        let mut all = [0; 8];
        all[..width].copy_from_slice(&head[at..at + width]);
        u64::from_le_bytes(all)
    };
    let part = |rest, length| <[u8]>::split_at_checked(rest, usize::try_from(length).ok()?);
    let (place, rest) = part(rest, number(1, 4))?;
    let (to, rest) = part(rest, number(5, 4))?;
    let (inode, offset) = (number(9, 8), usize::try_from(number(17, 8)).ok()?);
    let (bytes, rest) = part(rest, number(25, 8))?;
    let path = |bytes| Some(Path::new(std::str::from_utf8(bytes).ok()?).to_owned());
    let (place, to) = (path(place)?, path(to)?);
    let change = match head[0] {
        b'm' => Change::Make { place, inode, is_cut: offset != 0 },
        b'w' => Change::Write { inode, offset, bytes: bytes.to_vec() },
        b'c' => Change::Cut { inode, length: offset, grows: false },
        b'g' => Change::Cut { inode, length: offset, grows: true },
        b's' => Change::Sync { place, inode },
        b'r' => Change::Rename { from: place, to },
        b'l' => Change::Link { inode, to },
        b'u' => Change::Unlink(place),
        b'd' => Change::Directory(place),
        b'k' => Change::Mark(place),
        _ => return None,
    };
    Some((change, rest))
}
