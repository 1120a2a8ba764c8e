//! Manifests of directories: which paths, and which content under each.
//!
//! A [`Manifest`] has exactly one byte form, so that equal directories have equal digests: every
//! directory below the root is listed, entries are sorted by the bytes of their path, nothing
//! appears twice. [`Manifest::decode`] takes bytes from a store that others may have written,
//! and accepts that one form only; a path that could leave the directory never gets through.
//! Layout: `docs/formats/blob.md`, *Manifests*.
//!
//! ```
//! use thrifty_key::{Digest, tree::{File, Manifest}};
//!
//! let mut manifest = Manifest::default();
//! let file = File { digest: Digest::of_blob(b"a,b\n"), length: 4, executable: false };
//! manifest.add_file("raw/flights.csv", file).unwrap();
//! manifest.add_directory("empty").unwrap();
//! assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
//! assert!(manifest.add_directory("../outside").is_err());
//! ```

use std::collections::BTreeMap;

use crate::digest::{Context, Digest, Hasher};

/// First byte of an encoded manifest: the version of its layout.
const VERSION: u8 = 1;
/// Longest name of one file or directory, in bytes.
const MAX_COMPONENT: usize = 255;
/// Longest path of an entry, in bytes.
const MAX_PATH: usize = 4096;

/// The content of one file, by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Plain BLAKE3 of the content ([`Digest::of_blob`]): also the digest of its blob.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub length: u64,
    /// Whether its owner may execute it. No other permission counts.
    pub executable: bool,
}

/// What a path of a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A directory, empty or not.
    Directory,
    /// A regular file.
    File(File),
}

/// A path that may not stand in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} cannot stand in a directory manifest: {reason}")]
pub struct PathError {
    /// The path, relative to the directory.
    pub path: String,
    /// Which rule it breaks.
    pub reason: PathFault,
}

/// The rules for paths of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The path, or a component between two slashes, is empty; absolute paths are such.
    #[error("a component is empty, or the path is absolute")]
    Empty,
    /// A component is `.` or `..`.
    #[error("a component is \".\" or \"..\"")]
    Dots,
    /// A NUL or a backslash, which some system takes for an end or a separator.
    #[error("it contains a NUL or a backslash")]
    Character,
    /// A component longer than 255 bytes, or a path longer than 4,096.
    #[error("a component is longer than 255 bytes, or the path longer than 4096")]
    Long,
    /// It, or a directory above it, is in the manifest as something else.
    #[error("it or a directory above it is listed as something else")]
    Taken,
}

/// The bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a version this program does not know, or not a manifest at all.
    #[error(
        "directory manifest has layout {found}, this program reads layout {VERSION}: upgrade thrifty"
    )]
    Version {
        /// First byte of the bytes.
        found: u8,
    },
    /// The bytes end too early, go on too long, or hold an unknown tag or ill-formed text.
    #[error("directory manifest is damaged at byte {at}")]
    Malformed {
        /// Offset of the first byte that makes no sense.
        at: usize,
    },
    /// A path breaks a rule.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Entries are out of order or repeated, or the directory above one is not listed.
    #[error("directory manifest is not canonical at path {path:?}")]
    Order {
        /// The first path out of place.
        path: String,
    },
}

/// A directory as a value: its paths, sorted, with the content of each.
///
/// Permissions other than *executable*, owners and times are no part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest(BTreeMap<String, Entry>);

impl Manifest {
    /// Adds a file, and the directories above it. `/` separates the components of `path`.
    ///
    /// # Errors
    ///
    /// [`PathError`] if the path breaks a rule of [`PathFault`].
    pub fn add_file(&mut self, path: &str, file: File) -> Result<(), PathError> {
        self.add(path, Entry::File(file))
    }

    /// Adds a directory, and those above it. Adding one twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`PathError`] if the path breaks a rule of [`PathFault`].
    pub fn add_directory(&mut self, path: &str) -> Result<(), PathError> {
        self.add(path, Entry::Directory)
    }

    /// What is at the path; `None` if nothing is.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.0.get(path)
    }

    /// All entries, sorted by path; a directory comes before what is in it.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// The files among the entries, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.0.iter().filter_map(|(path, entry)| match entry {
            Entry::File(file) => Some((path.as_str(), file)),
            Entry::Directory => None,
        })
    }

    /// The sum of the lengths of all files, in bytes.
    pub fn length(&self) -> u64 {
        self.files().fold(0, |sum, (_, file)| sum.saturating_add(file.length))
    }

    /// The digest of the directory: of [`Manifest::encode`], under [`Context::Tree`].
    pub fn digest(&self) -> Digest {
        Hasher::new(Context::Tree).raw(&self.encode()).finish()
    }

    /// The one byte form of this manifest.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend((self.0.len() as u64).to_le_bytes());
        for (path, entry) in &self.0 {
            bytes.push(tag(entry));
            bytes.extend((path.len() as u64).to_le_bytes());
            bytes.extend(path.as_bytes());
            if let Entry::File(file) = entry {
                bytes.extend(file.digest.as_bytes());
                bytes.extend(file.length.to_le_bytes());
            }
        }
        bytes
    }

    /// The manifest of which these bytes are the form.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for any other bytes; nothing is guessed or repaired.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader { bytes, at: 0 };
        let [found] = reader.array()?;
        if found != VERSION {
            return Err(DecodeError::Version { found });
        }
        let count = reader.number()?;
        let mut manifest = Self::default();
        for _ in 0..count {
            let (path, entry) = reader.entry()?;
            check(path)?;
            manifest.append(path, entry)?;
        }
        if reader.at == bytes.len() { Ok(manifest) } else { Err(reader.malformed()) }
    }

    fn add(&mut self, path: &str, entry: Entry) -> Result<(), PathError> {
        check(path)?;
        let taken = |path: &str| PathError { path: path.to_owned(), reason: PathFault::Taken };
        if self.0.get(path).is_some_and(|present| *present != entry) {
            return Err(taken(path));
        }
        if parents(path).any(|above| matches!(self.0.get(above), Some(Entry::File(_)))) {
            return Err(taken(path));
        }
        for above in parents(path).take_while(|above| !above.is_empty()) {
            self.0.entry(above.to_owned()).or_insert(Entry::Directory);
        }
        self.0.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Adds an entry that must follow all others and lie in a directory already there.
    fn append(&mut self, path: &str, entry: Entry) -> Result<(), DecodeError> {
        let follows = self.0.last_key_value().is_none_or(|(last, _)| last.as_str() < path);
        let housed =
            parents(path).next().is_none_or(|above| self.0.get(above) == Some(&Entry::Directory));
        if !(follows && housed) {
            return Err(DecodeError::Order { path: path.to_owned() });
        }
        self.0.insert(path.to_owned(), entry);
        Ok(())
    }
}

/// The directories above a path, nearest first, without the root.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.rmatch_indices('/').map(|(at, _)| &path[..at])
}

fn check(path: &str) -> Result<(), PathError> {
    fault(path).map_or(Ok(()), |reason| Err(PathError { path: path.to_owned(), reason }))
}

fn fault(path: &str) -> Option<PathFault> {
    if path.len() > MAX_PATH {
        return Some(PathFault::Long);
    }
    if path.contains(['\0', '\\']) {
        return Some(PathFault::Character);
    }
    path.split('/').find_map(|component| match component {
        "" => Some(PathFault::Empty),
        "." | ".." => Some(PathFault::Dots),
        long if long.len() > MAX_COMPONENT => Some(PathFault::Long),
        _ => None,
    })
}

const fn tag(entry: &Entry) -> u8 {
    match entry {
        Entry::Directory => 0,
        Entry::File(File { executable: false, .. }) => 1,
        Entry::File(File { executable: true, .. }) => 2,
    }
}

/// Takes bytes from the front; lengths are checked against what is there before they are used.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    const fn malformed(&self) -> DecodeError {
        DecodeError::Malformed { at: self.at }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let piece = rest.get(..length).ok_or_else(|| self.malformed())?;
        self.at += length;
        Ok(piece)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    fn entry(&mut self) -> Result<(&'a str, Entry), DecodeError> {
        let damaged = self.malformed();
        let [tag] = self.array()?;
        let length = usize::try_from(self.number()?).map_err(|_| damaged.clone())?;
        let path = std::str::from_utf8(self.take(length)?).map_err(|_| damaged.clone())?;
        let entry = match tag {
            0 => Entry::Directory,
            1 | 2 => Entry::File(self.file(tag == 2)?),
            _ => return Err(damaged),
        };
        Ok((path, entry))
    }

    fn file(&mut self, executable: bool) -> Result<File, DecodeError> {
        let digest = Digest::from_bytes(self.array()?);
        Ok(File { digest, length: self.number()?, executable })
    }
}
