//! The directory of a run: what it was asked to do, and what outlasts its attempts.
//!
//! ```text
//! runs/ID/run.json                    what was asked for
//!         checkpoints/OPERATION/KEY/  what attempts under this key left for those after them
//!         checkpoints/OPERATION/KEY.log  the log of the last of them, locked while its command runs
//!         artifacts/OPERATION/        what an operation leaves for people
//!         copied/OPERATION/           artifacts of an earlier run with which it began
//!         results/OPERATION/KEY/      what was made and went into no cache, while the run is not whole
//! ```
//!
//! Checkpoints stand under the key of the operation: what was written with other code, params or
//! inputs is never found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use thrifty_engine::catalog::RunId;
use thrifty_key::{Digest, Key};

/// The longest name of an operation that is a name of a directory as it is.
const LONGEST: usize = 120;

/// The directory of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDirectory {
    root: PathBuf,
}

impl RunDirectory {
    /// The directory of a run, below that of all runs.
    pub fn of(runs: &Path, run: &str) -> Self {
        Self { root: runs.join(run) }
    }

    /// Makes the directory of a run below `runs`; where `elsewhere` is given, it is made there and
    /// linked.
    pub(crate) fn make(
        runs: &Path,
        elsewhere: Option<&Path>,
        run: &RunId,
        definition: &Json,
    ) -> io::Result<Self> {
        let directory = Self::of(runs, &run.0);
        fs::create_dir_all(runs)?;
        match elsewhere.map(|elsewhere| elsewhere.join(&run.0)) {
            Some(target) => {
                fs::create_dir_all(&target)?;
                std::os::unix::fs::symlink(target.canonicalize()?, &directory.root)?;
            }
            None => fs::create_dir(&directory.root)?,
        }
        let text = serde_json::to_vec_pretty(definition).map_err(io::Error::other)?;
        fs::write(directory.root.join("run.json"), text)?;
        Ok(directory)
    }

    /// What the run was asked to do; nothing if that was not kept.
    pub fn definition(&self) -> Option<Json> {
        serde_json::from_slice(&fs::read(self.root.join("run.json")).ok()?).ok()
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where operations leave what is for people.
    pub fn all_artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    pub(crate) fn checkpoints(&self, operation: &str, key: Option<&Key>) -> PathBuf {
        self.root.join("checkpoints").join(file_name(operation)).join(name_of(key))
    }

    pub(crate) fn artifacts(&self, operation: &str) -> PathBuf {
        self.all_artifacts().join(file_name(operation))
    }

    /// Artifacts of an earlier run with which operations began.
    pub(crate) fn all_copied(&self) -> PathBuf {
        self.root.join("copied")
    }

    pub(crate) fn result(&self, operation: &str, key: Option<&Key>) -> PathBuf {
        self.root.join("results").join(file_name(operation)).join(name_of(key))
    }

    /// Forgets the results that no cache has: the run is whole, and nobody goes on from them.
    pub(crate) fn forget_results(&self) {
        _ = fs::remove_dir_all(self.root.join("results"));
    }
}

/// Removes the directories of runs that nobody knows any more.
///
/// # Errors
///
/// That the directory of all runs cannot be read.
pub fn collect_runs(
    runs: &Path,
    is_known: &dyn Fn(&str) -> bool,
    dry_run: bool,
) -> io::Result<u64> {
    let entries = match fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if is_known(&entry.file_name().to_string_lossy()) {
            continue;
        }
        removed += 1;
        if !dry_run {
            let place = entry.path();
            // A link leads to where `--run-dir` was.
            _ = place.canonicalize().and_then(fs::remove_dir_all);
            _ = fs::remove_file(&place);
        }
    }
    Ok(removed)
}

/// The name of the directory of an operation.
pub(crate) fn file_name(operation: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_.-=,[]".contains(letter);
    if operation.len() <= LONGEST && operation.chars().all(is_plain) {
        return operation.to_owned();
    }
    let plain: String =
        operation.chars().map(|it| if is_plain(it) { it } else { '_' }).take(40).collect();
    format!("{plain}-{}", &Digest::of_blob(operation.as_bytes()).to_string()[..16])
}

fn name_of(key: Option<&Key>) -> String {
    key.map_or_else(|| "unkeyed".to_owned(), |key| key.to_string()[..32].to_owned())
}

/// Copies a file, or a directory with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_directories_of_their_own() {
        assert_eq!(file_name("train.fit[lr=0.1]"), "train.fit[lr=0.1]");
        let names = ["a/b", "a:b", "../a", &"x".repeat(200)].map(file_name);
        let all: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(all.len(), 4, "{names:?}");
        assert!(names.iter().all(|name| !name.contains('/') && name.len() < 100), "{names:?}");
    }

    #[test]
    fn directories_of_runs_that_are_forgotten_go_also_those_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let (runs, elsewhere) = (directory.path().join("runs"), directory.path().join("elsewhere"));
        assert_eq!(collect_runs(&runs, &|_| false, false).unwrap(), 0);
        let make = |id: &str, elsewhere| {
            RunDirectory::make(&runs, elsewhere, &RunId(id.to_owned()), &Json::Null).unwrap()
        };
        let kept = make("kept", None);
        make("gone", None);
        make("far", Some(elsewhere.as_path()));
        assert!(elsewhere.join("far/run.json").is_file());
        assert_eq!(collect_runs(&runs, &|id| id == "kept", true).unwrap(), 2);
        assert_eq!(collect_runs(&runs, &|id| id == "kept", false).unwrap(), 2);
        assert!(kept.path().is_dir() && !elsewhere.join("far").exists());
        assert_eq!(fs::read_dir(&runs).unwrap().count(), 1);
    }
}
