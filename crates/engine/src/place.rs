//! Whether what is stored outlasts this process, and is found by others.
//!
//! A cache in memory may stand in for a directory that could not be opened. Who removes a cache's
//! directory, moves it, or puts another one in its place leaves the processes that have it open
//! with files which nobody else can come to: what is invalidated elsewhere does not reach them, and
//! what they store is lost.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::reason::Reason;
use crate::timer::about_now;

/// How long a look is good for, in milliseconds.
const LOOK: u64 = 5;

/// Where a cache keeps what it is given.
#[derive(Default)]
pub(crate) struct Place {
    /// The catalog's file, with its device and number: held open, no other file gets that one.
    file: Option<(PathBuf, (u64, u64))>,
    /// In milliseconds of a clock that may be set, in either direction.
    looked_at: AtomicU64,
    is_gone: AtomicBool,
    /// Why the directory could not be opened for which this cache stands in.
    stands_in: OnceLock<(Reason, String)>,
}

impl Place {
    /// The place of a catalog that was just opened.
    pub(crate) fn of(catalog: PathBuf) -> Self {
        let identity = fs::metadata(&catalog).ok().map(|it| (it.dev(), it.ino()));
        Self { file: identity.map(|identity| (catalog, identity)), ..Self::default() }
    }

    /// The cache stands in for another one, for this reason. Only the first call counts.
    pub(crate) fn stand_in(&self, reason: Reason, text: String) {
        _ = self.stands_in.set((reason, text));
    }

    /// Whether another file is there now, or none.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone_at(u64::try_from(about_now().as_millis()).unwrap_or(u64::MAX))
    }

    /// Why nobody else finds what is stored here, if nobody does.
    pub(crate) fn why_lost(&self) -> Option<(Reason, String)> {
        self.look();
        let text = "the cache directory was removed or replaced while it was in use; the next call \
                    opens it anew";
        let is_gone = self.is_gone.load(Ordering::Acquire);
        let gone = || is_gone.then(|| (Reason::Unreadable, text.to_owned()));
        self.stands_in.get().cloned().or_else(gone)
    }

    fn is_gone_at(&self, now: u64) -> bool {
        if now.abs_diff(self.looked_at.load(Ordering::Relaxed)) >= LOOK {
            self.looked_at.store(now, Ordering::Relaxed);
            self.look();
        }
        self.is_gone.load(Ordering::Acquire)
    }

    fn look(&self) {
        let Some((path, opened)) = &self.file else { return };
        let is_other = match fs::metadata(path) {
            Ok(now) => (now.dev(), now.ino()) != *opened,
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        self.is_gone.fetch_or(is_other, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &tempfile::TempDir) -> (Place, PathBuf) {
        let path = directory.path().join("catalog.sqlite");
        fs::write(&path, "one").unwrap();
        (Place::of(path.clone()), path)
    }

    #[test]
    fn what_is_removed_moved_or_replaced_is_gone_for_good() {
        let directory = tempfile::tempdir().unwrap();
        let aside = directory.path().join("old");
        let acts: [fn(&std::path::Path, &std::path::Path); 3] = [
            |path, _| fs::remove_file(path).unwrap(),
            |path, aside| fs::rename(path, aside).unwrap(),
            |path, aside| {
                fs::write(aside, "two").unwrap();
                fs::rename(aside, path).unwrap();
            },
        ];
        for act in acts {
            let (place, path) = place(&directory);
            assert!(!place.is_gone_at(10) && place.why_lost().is_none());
            // Held open by whoever uses it, its number is nobody else's.
            let _held = fs::File::open(&path).unwrap();
            act(&path, &aside);
            assert!(place.is_gone_at(10 + LOOK));
            let _new_one = self::place(&directory);
            assert!(place.is_gone_at(10 + 2 * LOOK));
            assert_eq!(place.why_lost().unwrap().0, Reason::Unreadable);
        }
    }

    #[test]
    fn what_changes_or_cannot_be_looked_at_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let (place, path) = place(&directory);
        fs::write(&path, "another text").unwrap();
        assert!(!place.is_gone_at(10));
        let unknown = Place::of(directory.path().join("none"));
        assert!(!unknown.is_gone_at(10) && unknown.why_lost().is_none());
    }

    #[test]
    fn a_look_is_good_for_a_moment_and_none_is_where_something_is_stored() {
        let directory = tempfile::tempdir().unwrap();
        let (place, path) = place(&directory);
        assert!(!place.is_gone_at(10));
        fs::remove_file(&path).unwrap();
        assert!(!place.is_gone_at(9 + LOOK));
        assert!(place.is_gone_at(10 + LOOK));
        let (place, path) = self::place(&directory);
        assert!(!place.is_gone_at(10));
        fs::remove_file(&path).unwrap();
        assert!(place.why_lost().is_some());
    }
}
