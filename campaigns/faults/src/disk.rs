//! A disk that forgets: which files there may be once the power was gone.
//!
//! A sync of a file keeps its bytes and its length, and no name of it; a sync of a directory keeps
//! the names in it. Of what came later any of the bytes may be there, sector by sector, and of the
//! names in a directory those of the first changes. What a file held in memory that processes share
//! is not written down here: such files stay as they were.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::journal::{Change, Inode, Place};

/// Bytes that are written wholly or not at all.
const SECTOR: usize = 512;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(Inode),
}

/// The bytes of a file.
#[derive(Debug, Clone, Default)]
struct Content {
    synced: Vec<u8>,
    later: Vec<Edit>,
}

#[derive(Debug, Clone)]
enum Edit {
    Write(usize, Vec<u8>),
    Cut(usize),
    Grow(usize),
}

/// A change to the names in a directory.
#[derive(Debug, Clone)]
struct Naming {
    place: Place,
    node: Option<Node>,
    /// The name that goes with it, where a file was renamed.
    from: Option<Place>,
}

/// What lies on the disk, and what may.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: HashMap<Inode, Content>,
    synced: BTreeMap<Place, Node>,
    /// As processes see them.
    names: BTreeMap<Place, Node>,
    later: Vec<Naming>,
}

impl Disk {
    /// All that lies in a directory, synced.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        disk.read_below(root, Path::new(""))?;
        disk.synced.clone_from(&disk.names);
        Ok(disk)
    }

    fn read_below(&mut self, root: &Path, place: &Path) -> io::Result<()> {
        for entry in fs::read_dir(root.join(place))? {
            let entry = entry?;
            let (place, found) = (place.join(entry.file_name()), entry.metadata()?);
            if found.is_dir() {
                self.names.insert(place.clone(), Node::Directory);
                self.read_below(root, &place)?;
            } else {
                let synced = fs::read(entry.path())?;
                self.files.insert(found.ino(), Content { synced, later: Vec::new() });
                self.names.insert(place, Node::File(found.ino()));
            }
        }
        Ok(())
    }

    /// A process makes a change.
    pub fn meets(&mut self, change: &Change) {
        match change {
            Change::Make { place, inode, is_cut } => {
                let node = Node::File(*inode);
                if self.names.get(place) != Some(&node) {
                    self.files.insert(*inode, Content::default());
                    self.name(place, node, None);
                } else if *is_cut {
                    self.edit(*inode, Edit::Cut(0));
                }
            }
            Change::Write { inode, offset, bytes } => {
                self.edit(*inode, Edit::Write(*offset, bytes.clone()));
            }
            Change::Cut { inode, length, grows } => {
                self.edit(*inode, if *grows { Edit::Grow(*length) } else { Edit::Cut(*length) });
            }
            Change::Sync { place, inode } => self.sync(place, *inode),
            Change::Rename { from, to } => {
                if let Some(node) = self.names.remove(from) {
                    self.name(to, node, Some(from.clone()));
                }
            }
            Change::Link { inode, to } => self.name(to, Node::File(*inode), None),
            Change::Unlink(place) => {
                self.names.remove(place);
                self.later.push(Naming { place: place.clone(), node: None, from: None });
            }
            Change::Directory(place) => self.name(place, Node::Directory, None),
            Change::Mark(_) => {}
        }
    }

    fn edit(&mut self, inode: Inode, edit: Edit) {
        self.files.entry(inode).or_default().later.push(edit);
    }

    fn name(&mut self, place: &Path, node: Node, from: Option<Place>) {
        self.names.insert(place.to_owned(), node);
        self.later.push(Naming { place: place.to_owned(), node: Some(node), from });
    }

    fn sync(&mut self, place: &Path, inode: Inode) {
        if let Some(content) = self.files.get_mut(&inode) {
            let later = std::mem::take(&mut content.later);
            later.iter().for_each(|edit| edit.apply(&mut content.synced, |_| true));
            return;
        }
        let directory = if place == Path::new(".") { Path::new("") } else { place };
        let (kept, later) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|naming| naming.directory() == directory);
        self.later = later;
        let kept: Vec<Naming> = kept;
        kept.iter().for_each(|naming| naming.apply(&mut self.synced));
    }

    /// Writes what may be there after a loss of power into an empty directory: which of it, the
    /// dice say.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn lose_power(&self, root: &Path, dice: &mut fastrand::Rng) -> io::Result<()> {
        let mut names = self.synced.clone();
        let mut kept: BTreeMap<&Path, usize> = BTreeMap::new();
        for naming in &self.later {
            *kept.entry(naming.directory()).or_default() += 1;
        }
        kept.values_mut().for_each(|count| *count = some(dice, *count));
        for naming in &self.later {
            if let Some(left @ 1..) = kept.get_mut(naming.directory()) {
                *left -= 1;
                naming.apply(&mut names);
            }
        }
        let mut contents: HashMap<Inode, Vec<u8>> = HashMap::new();
        for (place, node) in names {
            let path = root.join(&place);
            // What lies in a directory that is not there is not there.
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match node {
                Node::Directory => fs::create_dir(path)?,
                Node::File(inode) => {
                    let content = self.files.get(&inode);
                    let lost = || content.map(|it| it.lose(dice)).unwrap_or_default();
                    fs::write(path, contents.entry(inode).or_insert_with(lost))?;
                }
            }
        }
        Ok(())
    }
}

/// None, all, or any number of them.
fn some(dice: &mut fastrand::Rng, count: usize) -> usize {
    match dice.u8(..4) {
        0 => 0,
        1 => count,
        _ => dice.usize(..=count),
    }
}

impl Content {
    /// What of it may be there.
    fn lose(&self, dice: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        // How likely it is that a sector was written.
        let kept = [0, 10, 50, 90, 100][dice.usize(..5)];
        for edit in &self.later {
            edit.apply(&mut bytes, |_| dice.u8(..100) < kept);
        }
        bytes
    }
}

impl Edit {
    /// Does as much of it as is kept, by sectors of the file; a change of its length is one.
    fn apply(&self, content: &mut Vec<u8>, mut is_kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Write(offset, bytes) => {
                let end = offset + bytes.len();
                for sector in offset / SECTOR..end.div_ceil(SECTOR) {
                    let from = (sector * SECTOR).max(*offset);
                    let to = ((sector + 1) * SECTOR).min(end);
                    if is_kept(sector) {
                        content.resize(content.len().max(to), 0);
                        content[from..to].copy_from_slice(&bytes[from - offset..to - offset]);
                    }
                }
            }
            Self::Cut(length) if is_kept(0) => content.resize(*length, 0),
            Self::Grow(length) if is_kept(0) => content.resize(content.len().max(*length), 0),
            Self::Cut(_) | Self::Grow(_) => {}
        }
    }
}

impl Naming {
    fn directory(&self) -> &Path {
        self.place.parent().unwrap_or(Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        match self.node {
            Some(node) => _ = names.insert(self.place.clone(), node),
            None => _ = names.remove(&self.place),
        }
    }
}
