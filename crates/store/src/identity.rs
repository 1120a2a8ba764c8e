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
    /// How old a change must be for the page to have been written back: Linux does it after half a minute.
    const WRITEBACK: Duration = Duration::from_secs(120);

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

    /// Whether any later change of the file shows, so that its digest may be remembered by this
    /// identity: it is settled, and this process does not write to it through memory.
    pub fn is_lasting(&self, now: SystemTime) -> bool {
        let is_young =
            now.checked_sub(Self::WRITEBACK).is_none_or(|then| !self.is_settled(then + Self::TICK));
        self.is_settled(now) && !(is_young && self.is_mapped())
    }

    /// Whether this process has the file mapped to write to it. Only Linux tells.
    ///
    /// Only the first write into a page sets the times of the file, until the system has written
    /// the page back. Other processes are not asked, which would take their permission; on tmpfs, which
    /// has nothing to write back to, no such write shows.
    fn is_mapped(&self) -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        // Address, permissions, offset, device, inode, path. Devices differ from those of `stat`
        // on some filesystems.
        let is_this = |line: &str| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let permissions = fields.next().unwrap_or_default();
            let inode = fields.nth(2).and_then(|inode| inode.parse().ok());
            inode == Some(self.inode) && permissions.ends_with('s') && permissions.contains('w')
        };
        maps.lines().any(is_this)
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
    #[cfg(target_os = "linux")]
    fn what_this_process_writes_through_memory_is_not_remembered() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8).unwrap();
        let identity = StatIdentity::of_file(&file).unwrap();
        let after = |seconds| SystemTime::now() + Duration::from_secs(seconds);
        assert!(identity.is_lasting(after(10)));
        // SAFETY: nobody else has the file.
        let map = unsafe { memmap2::MmapMut::map_mut(&file) }.unwrap();
        let lasts = [1, 10, 100, 130].map(|seconds| identity.is_lasting(after(seconds)));
        assert_eq!(lasts, [false, false, false, true]);
        drop(map);
        assert!(identity.is_lasting(after(10)));
        // SAFETY: as above.
        let read_only = unsafe { memmap2::Mmap::map(&file) }.unwrap();
        assert!(identity.is_lasting(after(10)), "nobody writes there");
        drop(read_only);
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
