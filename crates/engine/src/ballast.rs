//! Space kept for the time when there is none.
//!
//! Deleting entries writes to the catalog's log, and opening the catalog makes files: on a disk
//! without a free byte neither can be done. A file of random bytes, which no filesystem can
//! shrink, is given up then, and made again afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The log of some dozens of entries, and the files beside the catalog.
const SIZE: u64 = 1 << 20;

/// The file, in the directory of a cache.
#[derive(Debug, Clone)]
pub struct Ballast(PathBuf);

impl Ballast {
    /// That of the cache in this directory.
    pub fn of(home: &Path) -> Self {
        Self(home.join("ballast"))
    }

    /// Makes the file if it is not there, or not whole. Where there is no space for it now, the
    /// next collection tries again.
    pub fn take(&self) {
        let is_whole = fs::metadata(&self.0).is_ok_and(|there| there.len() >= SIZE);
        if !is_whole && self.write().is_err() {
            self.give();
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut random = File::open("/dev/urandom")?.take(SIZE);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.0)?;
        io::copy(&mut random, &mut file)?;
        Ok(())
    }

    /// Gives the space up. Whether there was any.
    pub fn give(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }
}
