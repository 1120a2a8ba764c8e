//! Which epoch of the catalog this process has seen: what it takes from then on was there after all
//! that was invalidated before.
//!
//! A function may remember what it took of an operation whose result is stored nowhere. Held against
//! all invalidations that are known, that would refuse for ever whatever is made of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::SystemTime;

static EPOCHS: Epochs = Epochs::new();

/// What tells a catalog's file from others, also from one that is given its number later: its
/// device, its number, and when it was made.
type Identity = (u64, u64, SystemTime);

/// The epochs of the only catalog that a process opened. Those of several say nothing of each other.
struct Epochs {
    first: OnceLock<Option<Identity>>,
    are_several: AtomicBool,
    last: AtomicI64,
}

impl Epochs {
    const fn new() -> Self {
        let (are_several, last) = (AtomicBool::new(false), AtomicI64::new(0));
        Self { first: OnceLock::new(), are_several, last }
    }

    /// A catalog is opened; one that cannot be told from others is another one each time.
    fn opened(&self, identity: Option<Identity>) {
        let mut is_first = false;
        let first = self.first.get_or_init(|| {
            is_first = true;
            identity
        });
        if !is_first && (first.is_none() || *first != identity) {
            self.are_several.store(true, Ordering::Release);
        }
    }

    fn saw(&self, epoch: i64) {
        self.last.fetch_max(epoch, Ordering::AcqRel);
    }

    fn known(&self, since: i64) -> i64 {
        if self.are_several.load(Ordering::Acquire) { 0 } else { since }
    }
}

/// A catalog on disk is about to be used. Forks go on with those of the process that they are of.
pub(crate) fn opened(catalog: &Path) {
    let file = fs::metadata(catalog).ok();
    let identity = file.and_then(|it| Some((it.dev(), it.ino(), it.created().ok()?)));
    EPOCHS.opened(identity);
}

/// A catalog in memory is about to be used.
pub(crate) fn opened_in_memory() {
    EPOCHS.opened(None);
}

/// The catalog told its epoch.
pub(crate) fn saw(epoch: i64) {
    EPOCHS.saw(epoch);
}

/// The last epoch that this process saw: nothing that it takes from now on was invalidated before.
pub fn last() -> i64 {
    EPOCHS.last.load(Ordering::Acquire)
}

/// What such an epoch says when a result is stored: itself, or 0 if nobody knows of which catalog it
/// is.
pub fn known(since: i64) -> i64 {
    EPOCHS.known(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(number: u64) -> Option<Identity> {
        Some((1, number, SystemTime::UNIX_EPOCH))
    }

    #[test]
    fn an_epoch_is_known_while_there_is_one_catalog() {
        let epochs = Epochs::new();
        epochs.opened(identity(7));
        epochs.saw(3);
        epochs.saw(2);
        assert_eq!((epochs.last.load(Ordering::Acquire), epochs.known(3)), (3, 3));
        epochs.opened(identity(7));
        assert_eq!(epochs.known(3), 3, "it is opened again");
        epochs.opened(identity(8));
        epochs.opened(identity(7));
        assert_eq!(epochs.known(3), 0, "once there were two, there are");
    }

    #[test]
    fn a_catalog_that_cannot_be_told_from_others_is_another_one() {
        for (first, second) in [(None, identity(7)), (identity(7), None), (None, None)] {
            let epochs = Epochs::new();
            epochs.opened(first);
            assert_eq!(epochs.known(3), 3);
            epochs.opened(second);
            assert_eq!(epochs.known(3), 0, "{first:?}, {second:?}");
        }
        let another = identity(7).map(|it| (it.0, it.1, it.2 + std::time::Duration::from_secs(1)));
        let epochs = Epochs::new();
        epochs.opened(identity(7));
        epochs.opened(another);
        assert_eq!(epochs.known(3), 0, "it was given the number of one that is gone");
    }
}
