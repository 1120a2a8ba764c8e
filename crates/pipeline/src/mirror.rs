//! The code of a command, as it was when the key was made.
//!
//! Commands do not run the project's files but copies, in a directory that holds those which count
//! and nothing else, each below it where it is below the root. So what runs is what the key was made
//! of, also where a file is edited meanwhile; and what the key was not made of is not there:
//! the command fails at once instead of giving what nobody will compute again.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tempfile::TempDir;
use thrifty_key::Digest;
use thrifty_store::scan::{self, NoMemo};

use crate::error::AttemptError;
use crate::stamp::Stamp;
use crate::workplace;

/// A file of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The digest of its bytes.
    pub(crate) digest: Digest,
    /// Whether it may be executed.
    pub(crate) executable: bool,
    /// Its bytes, unless there are too many.
    pub(crate) bytes: Option<Arc<[u8]>>,
}

/// All files that count of a command's code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The files, by path.
    pub(crate) files: Vec<Kept>,
}

impl Snapshot {
    /// What the mirror is known by: the bytes, which are more than what counts.
    fn digest(&self) -> Digest {
        let mut all = Vec::new();
        for file in &self.files {
            let path = file.path.as_os_str().as_encoded_bytes();
            all.extend(path.len().to_le_bytes());
            all.extend(path);
            all.extend(file.digest.as_bytes());
            all.push(u8::from(file.executable));
        }
        Digest::of_blob(&all)
    }
}

/// The copies of a run, each made when a command first needs it.
#[derive(Debug)]
pub(crate) struct Mirrors {
    work: PathBuf,
    built: Mutex<Built>,
}

#[derive(Debug, Default)]
struct Built {
    /// Goes with the run.
    directory: Option<TempDir>,
    made: usize,
    mirrors: HashMap<Digest, Mirror>,
}

/// A directory with the code of a command.
#[derive(Debug, Clone)]
pub(crate) struct Mirror {
    root: PathBuf,
    stamp: Arc<Stamp>,
}

impl Mirrors {
    /// None yet; they are made below `work`.
    pub(crate) fn new(work: &Path) -> Self {
        Self { work: work.to_owned(), built: Mutex::default() }
    }

    /// The mirror that holds these files.
    ///
    /// # Errors
    ///
    /// It cannot be made, or a large file is no longer what the key was made of.
    pub(crate) fn of(&self, snapshot: &Snapshot) -> Result<Mirror, AttemptError> {
        let digest = snapshot.digest();
        let mut built = self.built.lock();
        if let Some(mirror) = built.mirrors.get(&digest)
            && mirror.is_whole()
        {
            return Ok(mirror.clone());
        }
        let root = built.next(&self.work).map_err(|e| AttemptError::directory(&self.work, &e))?;
        for file in &snapshot.files {
            put(file, &below(&root, &file.path))?;
        }
        let stamp = Arc::new(Stamp::of(&root));
        let mirror = Mirror { root, stamp };
        built.mirrors.insert(digest, mirror.clone());
        Ok(mirror)
    }
}

impl Built {
    /// A directory that no mirror has had.
    fn next(&mut self, work: &Path) -> io::Result<PathBuf> {
        let directory = match self.directory.take() {
            Some(directory) => directory,
            None => workplace::for_code(work)?,
        };
        self.made += 1;
        let next = directory.path().join(self.made.to_string());
        self.directory = Some(directory);
        Ok(next)
    }
}

impl Mirror {
    /// Where the copy of a file or directory of the project is.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }

    /// The directory that stands for the root of the filesystem.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether no command has written into it.
    pub(crate) fn is_whole(&self) -> bool {
        *self.stamp == Stamp::of(&self.root)
    }
}

/// A path from the root, below another one.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn put(file: &Kept, target: &Path) -> Result<(), AttemptError> {
    let failed = |error: io::Error| AttemptError::directory(target, &error);
    if let Some(above) = target.parent() {
        fs::create_dir_all(above).map_err(failed)?;
    }
    match &file.bytes {
        Some(bytes) => fs::write(target, bytes).map_err(failed)?,
        None => {
            fs::copy(&file.path, target).map_err(failed)?;
            let copied = scan::file(target, &NoMemo)
                .map_err(|error| failed(io::Error::other(error.to_string())))?;
            if copied.digest != file.digest {
                return Err(AttemptError::Edited { path: file.path.clone() });
            }
        }
    }
    // Shared by the commands of a run, so none of them may write to it.
    let execute = if file.executable { 0o111 } else { 0 };
    fs::set_permissions(target, Permissions::from_mode(0o444 | execute)).map_err(failed)
}
