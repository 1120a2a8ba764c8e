//! The cache directory a worker finds, made once for each job and copied for each case.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use thrifty_engine::store::{BlobName, Blobs};
use thrifty_engine::{Cache, Looked, Policy};

use crate::job::Job;
use crate::value::{self, DAMAGED, LARGE, SMALL, Shape, VICTIM};

/// Takes away what format 2 of the catalog lacks.
const TO_FORMAT_2: &str = "
BEGIN;
DROP INDEX entry_made_of;
ALTER TABLE entry DROP COLUMN made_of;
DROP TABLE committed;
DROP TABLE waiting;
DROP INDEX slot_nonce;
ALTER TABLE slot DROP COLUMN taken_at;
ALTER TABLE slot DROP COLUMN operation;
ALTER TABLE slot DROP COLUMN host;
ALTER TABLE slot DROP COLUMN process;
ALTER TABLE slot DROP COLUMN ended;
ALTER TABLE slot DROP COLUMN failures;
ALTER TABLE slot DROP COLUMN alone_until;
ALTER TABLE slot DROP COLUMN failed_fence;
ALTER TABLE slot DROP COLUMN failure;
ALTER TABLE usage DROP COLUMN pinned;
ALTER TABLE node DROP COLUMN reason;
ALTER TABLE text DROP COLUMN kept_at;
ALTER TABLE memo DROP COLUMN kept_at;
PRAGMA user_version = 2;
COMMIT;
";

/// What may go wrong while a stage is set.
pub type Setting<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A cache directory to copy.
pub struct Stage {
    directory: TempDir,
    /// Keeps the catalog's log from being written back, if the stage has one.
    _open: Option<Arc<Cache>>,
}

impl Stage {
    /// The directory that a job finds: nothing, or a small value and a large one that stay, one
    /// that is to go, and bytes that nobody needs.
    ///
    /// # Errors
    ///
    /// If the machine is out of order.
    pub fn of(job: Job) -> Setting<Self> {
        let directory = scratch()?;
        if job != Job::Open {
            let cache = Cache::open(directory.path())?;
            for (name, shape) in
                [(SMALL, Shape::Inline), (LARGE, Shape::Blobs), (VICTIM, Shape::Blobs)]
            {
                value::call(&cache, name, shape, Policy::default(), || {});
            }
            cache.blobs().put(&[b"nobody refers to this"])?;
            if job == Job::Repair {
                value::call(&cache, DAMAGED, Shape::Blobs, Policy::default(), || {});
                damage(&cache, directory.path())?;
            }
        }
        if job == Job::Migrate {
            // The last handle on it is closed by now.
            Connection::open(directory.path().join("catalog.sqlite"))?
                .execute_batch(TO_FORMAT_2)?;
        }
        Ok(Self { directory, _open: None })
    }

    /// As [`Stage::of`], with everything still in the catalog's log, as a killed process leaves
    /// it.
    ///
    /// # Errors
    ///
    /// As [`Stage::of`].
    pub fn abandoned(job: Job) -> Setting<Self> {
        let stage = Self::of(job)?;
        if job == Job::Migrate {
            // Who opens it to fill its log brings it up.
            return Ok(stage);
        }
        let cache = Cache::open(stage.directory.path())?;
        value::call(&cache, "logged", Shape::Inline, Policy::default(), || {});
        Ok(Self { _open: Some(cache), ..stage })
    }

    /// A copy for one case.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub fn copy(&self) -> io::Result<TempDir> {
        let copy = scratch()?;
        self.copy_to(copy.path())?;
        Ok(copy)
    }

    /// A copy in a directory that is there.
    ///
    /// # Errors
    ///
    /// If there is no room for it.
    pub fn copy_to(&self, directory: &Path) -> io::Result<()> {
        copy_into(self.directory.path(), directory)
    }
}

/// A new directory, in memory where the machine has one there: a killed process loses nothing that
/// it wrote, and syncing to a disk takes most of the time.
///
/// # Errors
///
/// If there is no room for it.
pub fn scratch() -> io::Result<TempDir> {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())
}

fn copy_into(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            fs::create_dir(&target)?;
            copy_into(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// The blobs of an operation's value, in order.
pub fn blobs_of(cache: &Cache, name: &str) -> Vec<BlobName> {
    match cache.look(&value::key(name), None) {
        Looked::Hit(answer, _) => answer.record.blobs(),
        Looked::Miss(..) => Vec::new(),
    }
}

fn damage(cache: &Cache, home: &Path) -> io::Result<()> {
    let Some(name) = blobs_of(cache, DAMAGED).pop() else {
        return Err(io::Error::other("nothing to damage"));
    };
    let path = blob_file(home, &name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
    let file = OpenOptions::new().write(true).open(&path)?;
    file.write_all_at(b"not what was written", 0)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444))
}

/// Where a blob lies.
pub fn blob_file(home: &Path, name: &BlobName) -> PathBuf {
    let text = name.to_string();
    home.join("blobs/v1").join(&text[..2]).join(text)
}
