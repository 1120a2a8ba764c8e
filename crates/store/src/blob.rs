//! The bytes of one blob.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, MmapMut, MmapOptions};

use crate::identity::StatIdentity;

/// An empty slice where aligned data could begin; an empty file cannot be mapped.
#[repr(align(64))]
struct Aligned([u8; 0]);
static EMPTY: Aligned = Aligned([]);

/// The bytes of one blob: a shared, read-only map of its file, or memory.
///
/// Dereferences to the bytes, which start at a multiple of 64. Clones share the map. Deleting
/// the blob does not disturb those who hold it. Keeps its file open: one descriptor a blob.
#[derive(Debug, Clone)]
pub struct Blob(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` for an empty blob.
    map: Option<Mmap>,
    backing: Option<Backing>,
}

/// The file behind a map.
#[derive(Debug)]
pub(crate) struct Backing {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    /// Taken before the map was made.
    pub(crate) identity: StatIdentity,
}

impl Blob {
    /// A copy of the parts, one after the other, in memory.
    ///
    /// # Errors
    ///
    /// What the system said, such as out of memory.
    pub fn in_memory(parts: &[&[u8]]) -> io::Result<Self> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length == 0 {
            return Ok(Self(Arc::new(Inner { map: None, backing: None })));
        }
        let mut map = MmapMut::map_anon(length)?;
        let mut rest = &mut map[..];
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        Ok(Self(Arc::new(Inner { map: Some(map.make_read_only()?), backing: None })))
    }

    /// Maps a file of the length in its identity.
    pub(crate) fn of_file(backing: Backing) -> io::Result<Self> {
        let length = usize::try_from(backing.identity.size).map_err(io::Error::other)?;
        let map = if length == 0 {
            None
        } else {
            // SAFETY: blob files are never written after they became visible, and are read-only
            // to their owner. Whoever overrides that and writes or cuts one short breaks the
            // map of this process; `Verified` notices at the next opening.
            Some(unsafe { MmapOptions::new().len(length).map(&backing.file) }?)
        };
        Ok(Self(Arc::new(Inner { map, backing: Some(backing) })))
    }

    /// A map of the bytes which the caller may write to: nobody else sees it, the file stays as
    /// it is, and pages are copied only when written. An empty blob gives an empty map. The map
    /// needs no descriptor, and stays when the blob is dropped.
    ///
    /// # Errors
    ///
    /// What the system said, such as out of memory.
    pub fn map_private(&self) -> io::Result<MmapMut> {
        match &self.0.backing {
            Some(backing) if !self.is_empty() => {
                // SAFETY: as in `of_file`; writes go to copies of the pages.
                unsafe { MmapOptions::new().len(self.len()).map_copy(&backing.file) }
            }
            _ => {
                let mut map = MmapMut::map_anon(self.len())?;
                map.copy_from_slice(self);
                Ok(map)
            }
        }
    }

    /// The file that holds the bytes, if one does. It must never be written to.
    pub fn path(&self) -> Option<&Path> {
        self.0.backing.as_ref().map(|backing| backing.path.as_path())
    }

    /// What the filesystem said of the file when it was opened; `None` for memory.
    pub fn identity(&self) -> Option<StatIdentity> {
        self.0.backing.as_ref().map(|backing| backing.identity)
    }

    pub(crate) fn backing(&self) -> Option<&Backing> {
        self.0.backing.as_ref()
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.map.as_deref().unwrap_or(&EMPTY.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_aligned_and_private_maps_are_private() {
        let blob = Blob::in_memory(&[b"one", b"", b" two"]).unwrap();
        assert_eq!(&blob[..], b"one two");
        assert_eq!(blob.as_ptr().align_offset(64), 0);
        let mut private = blob.map_private().unwrap();
        private[0] = b'O';
        assert_eq!(&blob[..], b"one two");
    }

    #[test]
    fn an_empty_blob_is_an_aligned_empty_slice_and_an_empty_map() {
        let blob = Blob::in_memory(&[]).unwrap();
        assert!(blob.is_empty());
        assert_eq!(blob.as_ptr().align_offset(64), 0);
        assert_eq!(blob.map_private().unwrap().len(), 0);
    }
}
