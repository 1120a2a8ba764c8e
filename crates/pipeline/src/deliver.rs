//! Putting what a pipeline gives where its file says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tempfile::TempDir;
use thrifty_engine::graph::Taken;
use thrifty_engine::{Cache, Schedule};
use thrifty_key::tree::{Entry, Manifest};
use thrifty_store::scan;

use crate::graph;
use crate::language::{Exported, Language, Unexported};
use crate::part;
use crate::pipeline::Delivered;
use crate::share;

/// The table of what was delivered where.
const MEMOS: &str = "deliveries";

/// Something that a pipeline gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Gave {
    /// A value.
    Value(Json),
    /// A file or directory, put where the operation file says.
    Placed(PathBuf),
    /// A file or directory that stays in the cache.
    Kept,
    /// A value that is nothing outside of its language: what it is.
    Foreign(String),
}

/// An output did not come to its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undelivered {
    /// It is in the cache no longer.
    #[error("{0}")]
    Lost(String),
    /// Its place does not take it.
    #[error("cannot write {}: {reason}", path.display())]
    Refused {
        /// The place.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What became of one output of the pipeline.
pub(crate) fn deliver(
    delivered: &Delivered,
    schedule: &Schedule<'_>,
    cache: &Cache,
    language: Option<&dyn Language>,
) -> Result<Gave, Undelivered> {
    let edge = graph::edge(&delivered.from);
    let taken =
        schedule.take(&edge).ok_or_else(|| Undelivered::Lost("it is not there".to_owned()))?;
    if let Ok(value) = part::value(&taken) {
        return Ok(Gave::Value(value));
    }
    let exported = match exported(&taken, language) {
        Ok(Some(Exported::Json(text))) => {
            let value = serde_json::from_str(&text);
            return value.map(Gave::Value).map_err(|it| Undelivered::Lost(it.to_string()));
        }
        Ok(Some(Exported::Path(path))) => Some(path),
        Ok(None) => None,
        Err(Unexported::Unfit(what)) => return Ok(Gave::Foreign(what)),
        Err(Unexported::Lost(reason)) => return Err(Undelivered::Lost(reason)),
    };
    let Some(target) = &delivered.to else {
        return Ok(Gave::Kept);
    };
    Placing { taken: &taken, exported, cache, target }.place()?;
    Ok(Gave::Placed(target.clone()))
}

/// What a language makes of a value of its own; `None` for what commands and the cache have.
fn exported(
    taken: &Taken,
    language: Option<&dyn Language>,
) -> Result<Option<Exported>, Unexported> {
    match language {
        Some(language) if !part::is_made(taken) && !part::is_kept(taken) => {
            language.export(taken).map(Some)
        }
        _ => Ok(None),
    }
}

struct Placing<'a> {
    taken: &'a Taken,
    /// Where it is, if a language says that.
    exported: Option<PathBuf>,
    cache: &'a Cache,
    target: &'a Path,
}

impl Placing<'_> {
    /// Puts a file or directory at its place, all at once. A file that was there goes, and of a
    /// directory what was put there before; somebody else's files in it are in the way.
    fn place(&self) -> Result<(), Undelivered> {
        let above = self.target.parent().unwrap_or(self.target);
        fs::create_dir_all(above).map_err(|error| self.refused(&error))?;
        let staging = tempfile::Builder::new()
            .prefix(".thrifty-")
            .tempdir_in(above)
            .map_err(|error| self.refused(&error))?;
        let new = staging.path().join("new");
        let there = match &self.exported {
            Some(path) => Some(path.clone()),
            None => part::place_of(self.taken).map_err(Undelivered::Lost)?,
        };
        match there {
            Some(path) => share::copy(&path, &new).map_err(|error| self.refused(&error))?,
            None => part::put(self.taken, &**self.cache.blobs(), &new, true)
                .map_err(Undelivered::Lost)?,
        }
        if new.is_dir() {
            return self.replace(&new, staging);
        }
        if self.is_directory() {
            let reason = "it is a directory: choose another `to`";
            return Err(self.refused(&io::Error::other(reason)));
        }
        fs::rename(&new, self.target).map_err(|error| self.refused(&error))
    }

    /// Puts a directory where the pipeline may have put one before.
    ///
    /// What is known as the pipeline's covers, between any two steps, all that may be there: until
    /// the new directory is there, what is there now and the new one.
    fn replace(&self, new: &Path, staging: TempDir) -> Result<(), Undelivered> {
        let coming = self.read(new)?;
        let there = if self.is_directory() { Some(self.read(self.target)?) } else { None };
        if let Some(there) = &there {
            self.is_ours(there, &coming)?;
        }
        self.know(there.as_ref(), &coming);
        let old = staging.path().join("old");
        if there.is_some() {
            fs::rename(self.target, &old).map_err(|error| self.refused(&error))?;
        }
        if let Err(error) = fs::rename(new, self.target) {
            if there.is_some() && fs::rename(&old, self.target).is_err() {
                // Better left beside its place than lost.
                _ = staging.keep();
            }
            return Err(self.refused(&error));
        }
        self.know(Some(&coming), &coming);
        Ok(())
    }

    fn is_directory(&self) -> bool {
        self.target.is_dir() && !self.target.is_symlink()
    }

    fn read(&self, path: &Path) -> Result<Manifest, Undelivered> {
        scan::directory(path, &*self.cache.file_memo())
            .map_err(|error| self.refused(&io::Error::other(error.to_string())))
    }

    /// Nothing would go that the pipeline has not put there, or that would not come again.
    fn is_ours(&self, there: &Manifest, coming: &Manifest) -> Result<(), Undelivered> {
        let known = self.names().map(|name| {
            let known = self.cache.catalog().recall(MEMOS, &name).ok().flatten();
            known.and_then(|bytes| Manifest::decode(&bytes).ok()).unwrap_or_default()
        });
        let is_in = |manifest: &Manifest, path: &str, entry: &Entry| match manifest.get(path) {
            Some(Entry::Directory) => *entry == Entry::Directory,
            Some(Entry::File(file)) => {
                matches!(entry, Entry::File(other) if other.digest == file.digest)
            }
            None => false,
        };
        let is_ours = |path: &str, entry: &Entry| {
            known.iter().chain([coming]).any(|manifest| is_in(manifest, path, entry))
        };
        match there.entries().find(|(path, entry)| !is_ours(path, entry)) {
            None => Ok(()),
            Some((path, _)) => {
                let reason = format!(
                    "`{path}` in it was not put there by the pipeline, or was changed since, and would be lost: move it away, or choose another `to`"
                );
                Err(self.refused(&io::Error::other(reason)))
            }
        }
    }

    /// Remembers what is at the place, and what is to come there. Forgotten, the next delivery may
    /// find its own files in the way, and says so.
    fn know(&self, there: Option<&Manifest>, coming: &Manifest) {
        let [placed, awaited] = self.names();
        let coming = coming.encode();
        let there = there.map(Manifest::encode);
        let mut memos = vec![(awaited.as_slice(), coming.as_slice())];
        memos.extend(there.as_ref().map(|there| (placed.as_slice(), there.as_slice())));
        _ = self.cache.catalog().remember(MEMOS, &memos);
    }

    /// By what it is remembered what was put at the place, and what is to come there.
    fn names(&self) -> [Vec<u8>; 2] {
        let name = self.target.as_os_str().as_encoded_bytes();
        [name.to_vec(), [name, b"\0coming"].concat()]
    }

    fn refused(&self, error: &io::Error) -> Undelivered {
        Undelivered::Refused { path: self.target.to_owned(), reason: error.to_string() }
    }
}
