//! Whether the files that a key was made of stay what they were while a command runs.
//!
//! Their digests alone do not tell: what changes and changes back has the digest it had, and the
//! command may have read what was there in between. The filesystem tells: any write, and any other
//! file in the place of one, sets a time that no program can set back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thrifty_key::{Digest, plain};
use thrifty_store::StatIdentity;
use thrifty_store::scan::Memo;

use crate::given;

/// A file or directory of the project, and the value digest it had when the key was made.
pub(crate) type Read = (PathBuf, Digest);

/// What the filesystem said of files when a command began.
pub(crate) struct Steady<'a> {
    read: &'a [Read],
    before: Vec<Identities>,
}

impl<'a> Steady<'a> {
    /// A command that may read these files is about to run.
    pub(crate) fn begin(read: &'a [Read]) -> Self {
        let before = read.iter().map(|(path, _)| identities(path)).collect();
        Self { read, before }
    }

    /// The first of the files that is no longer what the key was made of, or was something else
    /// in between, judged before anything is done with what the command gave.
    pub(crate) fn changed(&self, memo: &dyn Memo) -> Option<&'a Path> {
        let is_other = |path: &Path, digest: &Digest| match given::found_at(path, memo) {
            Ok((encoding, _)) => plain::digest(&encoding).is_ok_and(|now| now != *digest),
            Err(_) => true,
        };
        let mut all = self.read.iter().zip(&self.before);
        let found = all.find(|((path, digest), before)| {
            !are_same(before, &identities(path)) || is_other(path, digest)
        });
        found.map(|((path, _), _)| path.as_path())
    }
}

/// What the filesystem says of everything at a path, with the number of names that each file has.
type Identities = BTreeMap<PathBuf, (StatIdentity, u64)>;

fn are_same(before: &Identities, after: &Identities) -> bool {
    let is_same = |(before, names): &(StatIdentity, u64), (after, others): &(StatIdentity, u64)| {
        // Another name for a file sets the time of its attributes, too.
        let expected = if names == others { before.changed } else { after.changed };
        StatIdentity { changed: expected, ..*before } == *after
    };
    before.len() == after.len()
        && before.iter().zip(after).all(|((path, was), (at, is))| path == at && is_same(was, is))
}

fn identities(path: &Path) -> Identities {
    let mut found = Identities::new();
    let mut ahead: Vec<_> = path.canonicalize().into_iter().collect();
    while let Some(path) = ahead.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            ahead.extend(entries.map(|entry| entry.path()));
        }
        found.insert(path, (StatIdentity::of(&metadata), metadata.nlink()));
    }
    found
}
