//! Places that a living process may be reading.
//!
//! Whoever places files for readers, and hands out their path, cannot know when the last of them
//! is read. It *holds* the place as long as its process lives; who collects places *claims* one
//! before it deletes it. Both are locks on one byte of a file of their own, one byte for the first
//! two of a digest: the system lets go of them when the process ends, however it ends. Two digests
//! that share a byte are kept a little longer.
//!
//! ```
//! use thrifty_key::Digest;
//! use thrifty_store::hold::Holds;
//!
//! let directory = tempfile::tempdir()?;
//! let (reader, collector) = (Holds::open(directory.path())?, Holds::open(directory.path())?);
//! let digest = Digest::of_blob(b"placed");
//! reader.hold(&digest)?;
//! assert!(collector.claim(&digest)?.is_none());
//! drop(reader);
//! assert!(collector.claim(&digest)?.is_some());
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use thrifty_key::Digest;

/// The file that is locked, which stays empty.
const NAME: &str = "held";
/// How long somebody is waited for who claims a place.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long until he is looked for again.
const PAUSE: Duration = Duration::from_millis(1);

/// The places under one directory that this process holds, until this is dropped.
///
/// The locks are those of the open file: a forked child has a part in them, and two of these in
/// one process keep each other out.
#[derive(Debug)]
pub struct Holds(File);

/// A place that nobody holds, and nobody comes to hold until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Claimed<'a> {
    holds: &'a Holds,
    byte: libc::off_t,
}

impl Holds {
    /// Those under a directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn open(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(directory.join(NAME)).map(Self)
    }

    /// Holds the place of a digest. Waits a moment for somebody who claims it, who is about to take
    /// away what is there: it is looked at afterwards. One who was stopped meanwhile is not waited
    /// for longer than a second.
    ///
    /// # Errors
    ///
    /// What the system said: it may have no locks left. [`ErrorKind::WouldBlock`] if the place is
    /// claimed for so long.
    pub fn hold(&self, digest: &Digest) -> io::Result<()> {
        let began = Instant::now();
        loop {
            match self.lock(libc::F_RDLCK, byte_of(digest)) {
                Err(error) if is_taken(&error) && began.elapsed() < PATIENCE => {
                    std::thread::sleep(PAUSE);
                }
                locked => return locked,
            }
        }
    }

    /// Claims the place of a digest; `None` if somebody holds it.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn claim(&self, digest: &Digest) -> io::Result<Option<Claimed<'_>>> {
        let byte = byte_of(digest);
        match self.lock(libc::F_WRLCK, byte) {
            Ok(()) => Ok(Some(Claimed { holds: self, byte })),
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(&self, kind: impl Into<libc::c_int>, byte: libc::off_t) -> io::Result<()> {
        // SAFETY: all zeroes are a valid value of it.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        let kind: libc::c_int = kind.into();
        (lock.l_type, lock.l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        (lock.l_start, lock.l_len) = (byte, 1);
        loop {
            // SAFETY: the file is open, and the lock lives as long as the call.
            if unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        // What cannot be unlocked now is when the file is closed.
        _ = self.holds.lock(libc::F_UNLCK, self.byte);
    }
}

/// Whether somebody else has the lock.
fn is_taken(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::EACCES)
}

fn byte_of(digest: &Digest) -> libc::off_t {
    let [first, second, ..] = *digest.as_bytes();
    libc::off_t::from(u16::from_be_bytes([first, second]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a collector that was stopped at the worst moment.
    #[test]
    fn a_claim_that_does_not_end_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let (reader, collector) =
            (Holds::open(directory.path()).unwrap(), Holds::open(directory.path()).unwrap());
        let digest = Digest::of_blob(b"placed");
        let claimed = collector.claim(&digest).unwrap().unwrap();
        assert!(is_taken(&reader.hold(&digest).unwrap_err()));
        drop(claimed);
        reader.hold(&digest).unwrap();
    }
}
