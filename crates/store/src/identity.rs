//! What the filesystem says of a file, to notice that it changed.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The stat fields that change when somebody changes a file.
///
/// Any write sets the change time, which no program can set back; replacing the file changes
/// the inode. What it cannot show is a second write within one tick of the filesystem's clock;
/// see [`StatIdentity::is_settled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StatIdentity {
    /// Device of the filesystem.
    pub device: u64,
    /// Number of the file in it.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since 1970.
    pub modified: i64,
    /// Time of the last change of content or attributes, in nanoseconds since 1970.
    pub changed: i64,
}

impl StatIdentity {
    /// How old a change must be before a later one is sure to show: the coarsest clock of the
    /// filesystems in use (FAT, 2 s).
    const TICK: Duration = Duration::from_secs(2);

    /// The identity in these metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The identity of an open file.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn of_file(file: &File) -> io::Result<Self> {
        Ok(Self::of(&file.metadata()?))
    }

    /// Whether the last change is old enough that any later one would show.
    ///
    /// A file hashed within a tick of its last write can change again without a trace (git's
    /// "racy" index entries), so an unsettled identity must not be remembered. Times in the
    /// future are unsettled.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let last = u64::try_from(self.modified.max(self.changed)).unwrap_or(0);
        now.duration_since(UNIX_EPOCH + Duration::from_nanos(last))
            .is_ok_and(|age| age > Self::TICK)
    }

    /// Whether both are the same file with the same content, whatever became of its attributes.
    ///
    /// Adding or removing a hard link sets the change time and nothing else of the identity.
    pub fn same_content(&self, other: &Self) -> bool {
        Self { changed: other.changed, ..*self } == *other
    }
}

const fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_at(second: i64) -> StatIdentity {
        let time = second * 1_000_000_000;
        StatIdentity { device: 1, inode: 2, size: 3, modified: 0, changed: time }
    }

    #[test]
    fn a_fresh_or_future_change_is_not_settled() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let settled = [990, 997, 998, 1000, 2000, -5].map(|at| changed_at(at).is_settled(now));
        assert_eq!(settled, [true, true, false, false, false, true]);
    }

    #[test]
    fn only_attributes_may_differ_for_the_same_content() {
        let one = changed_at(1);
        assert!(one.same_content(&changed_at(2)));
        assert!(!one.same_content(&StatIdentity { modified: 1, ..one }));
        assert!(!one.same_content(&StatIdentity { size: 4, ..one }));
        assert!(!one.same_content(&StatIdentity { inode: 4, ..one }));
    }
}
