//! Whether a cache still lies where it was opened.
//!
//! Who removes a cache's directory, moves it, or puts another one in its place leaves the processes
//! that have it open with files which nobody else can come to: what is invalidated elsewhere does
//! not reach them, and what they store is lost.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How long a look is good for, in milliseconds.
const LOOK: u64 = 5;

/// The file of a catalog, as it was when it was opened.
pub(crate) struct Place {
    path: PathBuf,
    /// Device and number; `None` where the system did not say, so that nothing is known.
    identity: Option<(u64, u64)>,
    /// In milliseconds of the clock that the caller tells.
    looked_at: AtomicU64,
    is_gone: AtomicBool,
}

impl Place {
    /// The place of a catalog that was just opened.
    pub(crate) fn of(path: PathBuf) -> Self {
        let identity = fs::metadata(&path).ok().map(|it| (it.dev(), it.ino()));
        Self { path, identity, looked_at: AtomicU64::new(0), is_gone: AtomicBool::new(false) }
    }

    /// Whether another file is there now, or none.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone_at(milliseconds())
    }

    fn is_gone_at(&self, now: u64) -> bool {
        if now.abs_diff(self.looked_at.load(Ordering::Relaxed)) >= LOOK {
            self.looked_at.store(now, Ordering::Relaxed);
            self.is_gone.fetch_or(self.look(), Ordering::AcqRel);
        }
        self.is_gone.load(Ordering::Acquire)
    }

    fn look(&self) -> bool {
        let Some(identity) = self.identity else {
            return false;
        };
        match fs::metadata(&self.path) {
            Ok(now) => (now.dev(), now.ino()) != identity,
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        }
    }
}

/// The time since some moment. A hit reads this clock: it is the cheapest there is.
fn milliseconds() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    // Time zero is one at which nobody has looked.
    now.tv_sec.unsigned_abs() * 1_000 + now.tv_nsec.unsigned_abs() / 1_000_000 + LOOK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &tempfile::TempDir) -> Place {
        let path = directory.path().join("catalog.sqlite");
        fs::write(&path, "one").unwrap();
        Place::of(path)
    }

    #[test]
    fn what_is_removed_moved_or_replaced_is_gone_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let (path, aside) = (directory.path().join("catalog.sqlite"), directory.path().join("old"));
        let acts: [fn(&std::path::Path, &std::path::Path); 3] = [
            |path, _| fs::remove_file(path).unwrap(),
            |path, aside| fs::rename(path, aside).unwrap(),
            |path, aside| {
                fs::write(aside, "two").unwrap();
                fs::rename(aside, path).unwrap();
            },
        ];
        for act in acts {
            let place = place(&directory);
            assert!(!place.is_gone_at(10));
            act(&path, &aside);
            assert!(place.is_gone_at(10 + LOOK));
            let _new_one = self::place(&directory);
            assert!(place.is_gone_at(10 + 2 * LOOK));
        }
    }

    #[test]
    fn what_changes_or_cannot_be_looked_at_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory);
        fs::write(&place.path, "another text").unwrap();
        assert!(!place.is_gone_at(10));
        let unknown = Place { identity: None, ..self::place(&directory) };
        fs::remove_file(&unknown.path).unwrap();
        assert!(!unknown.is_gone_at(10));
    }

    #[test]
    fn a_look_is_good_for_a_moment() {
        let directory = tempfile::tempdir().unwrap();
        let place = place(&directory);
        assert!(!place.is_gone_at(10));
        fs::remove_file(&place.path).unwrap();
        assert!(!place.is_gone_at(9 + LOOK));
        assert!(place.is_gone_at(10 + LOOK));
    }

    #[test]
    fn the_clock_goes_on() {
        assert!(milliseconds() >= LOOK);
        assert!(milliseconds() <= milliseconds());
    }
}
