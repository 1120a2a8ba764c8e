//! The store of blobs as one process sees it: slow, full, forgetful, or wrong.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use thrifty_engine::key::Digest;
use thrifty_engine::store::{
    Blob, BlobName, Blobs, GetError, Listed, Listing, PutError, RemoveError,
};

use crate::identity::ProcessId;
use crate::options::Micros;
use crate::scheduler;
use crate::world::{self, World};

/// The blobs as one process sees them. They lie in the world.
pub struct Bytes {
    process: ProcessId,
}

impl Bytes {
    /// The blobs as `process` sees them.
    pub const fn new(process: ProcessId) -> Self {
        Self { process }
    }

    /// Lets a call take its time; `false` if the process does not live to see it.
    fn travel(&self) -> bool {
        if !scheduler::is_alive(self.process) {
            return false;
        }
        let time: Micros = world::with(|world| {
            if world.strikes(|faults| faults.crash) {
                world.kill(self.process);
            }
            world.latency()
        });
        scheduler::sleep(time);
        true
    }
}

fn place() -> PathBuf {
    PathBuf::from("simulated")
}

fn transient() -> GetError {
    GetError::Transient { path: place(), source: Error::from(ErrorKind::PermissionDenied) }
}

fn not_now() -> RemoveError {
    RemoveError { path: place(), source: Error::from(ErrorKind::PermissionDenied) }
}

/// Loses or damages a blob, for good.
fn wear(world: &mut World, name: &BlobName) {
    if !world.blobs.contains_key(name) {
        return;
    }
    if world.strikes(|faults| faults.gone) {
        world.tell(|| format!("the medium loses blob {}", name.generation));
        world.blobs.remove(name);
        world.model.damaged.insert(*name);
    } else if world.strikes(|faults| faults.corrupt)
        && let Some((blob, _)) = world.blobs.get_mut(name)
    {
        let mut bytes = blob.to_vec();
        bytes[0] ^= 1;
        *blob = Blob::in_memory(&[&bytes]).expect("there is memory for a blob");
        world.model.damaged.insert(*name);
        world.tell(|| format!("the medium damages blob {}", name.generation));
    }
}

impl Blobs for Bytes {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        let full = |kind: ErrorKind| PutError::Full { path: place(), source: kind.into() };
        if !self.travel() {
            return Err(full(ErrorKind::StorageFull));
        }
        let blob =
            Blob::in_memory(parts).map_err(|source| PutError::Io { path: place(), source })?;
        let name = world::with(|world| {
            if world.strikes(|faults| faults.put) {
                return Err(full(ErrorKind::StorageFull));
            }
            world.uploads += 1;
            let name = BlobName {
                digest: Digest::of_blob(&blob),
                generation: world.uploads,
                length: blob.len() as u64,
            };
            let now = world.wall();
            world.blobs.insert(name, (blob, now));
            world.tell(|| format!("process {}: put blob {}", self.process, name.generation));
            Ok(name)
        })?;
        self.travel();
        Ok(name)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        let source = Error::from(ErrorKind::NotFound);
        Err(PutError::Unreadable { path: path.to_owned(), source })
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        if !self.travel() {
            return Err(transient());
        }
        world::with(|world| {
            if world.strikes(|faults| faults.open) {
                return Err(transient());
            }
            wear(world, name);
            let found = world.blobs.get(name).map(|(blob, _)| blob.clone());
            found.ok_or(GetError::Missing { name: *name })
        })
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        if !self.travel() {
            return Err(transient());
        }
        Ok(world::with(|world| world.blobs.keys().find(|name| name.digest == *digest).copied()))
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        if !self.travel() {
            return Err(not_now());
        }
        world::with(|world| {
            if world.strikes(|faults| faults.delete) {
                return Err(not_now());
            }
            if world.blobs.remove(name).is_some() {
                world
                    .tell(|| format!("process {}: deletes blob {}", self.process, name.generation));
                world.model.deleted(name);
            }
            Ok(())
        })
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        if !self.travel() {
            return Err(not_now());
        }
        world::with(|world| {
            if !world.model.damaged.contains(name) {
                world.violate("S7", || format!("blob {} is set aside, and sound", name.generation));
            }
            world.blobs.remove(name);
        });
        Ok(())
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        if !self.travel() {
            return Err(transient());
        }
        let listed: Vec<_> = world::with(|world| {
            let at = |ms: i64| UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs());
            let of = |(name, (_, written)): (&BlobName, &(Blob, i64))| {
                Ok(Listed { name: *name, modified: at(*written) })
            };
            world.blobs.iter().map(of).collect()
        });
        Ok(Box::new(listed.into_iter()))
    }

    fn leftovers(&self, _: Duration) -> Result<Vec<PathBuf>, GetError> {
        Ok(Vec::new())
    }

    fn remove_leftover(&self, _: &Path) -> Result<(), RemoveError> {
        Ok(())
    }
}
