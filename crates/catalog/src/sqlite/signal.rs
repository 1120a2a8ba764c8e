//! What processes tell each other without SQL: `catalog.changes`, words in shared memory.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use memmap2::{Mmap, MmapMut, MmapOptions};

const LENGTH: usize = size_of::<Layout>();
/// A count of commits that says nothing.
const BLIND: u64 = u64::MAX;

/// The count of changes, the clock's offset, and the counts of commits, turns, writes and entries,
/// shared by all processes that use the catalog.
///
/// The count is odd while a transaction that removes or replaces entries is being committed.
/// Only the holder of the database's write lock changes it, so there is one such transaction at
/// most. A process that dies in between leaves the count odd; the next write makes it even
/// again, and until then [`Signal::changes`] answers something new each time.
pub(super) struct Signal {
    words: Words,
    /// The largest offset seen here, for words that cannot be written or were lost.
    offset: AtomicI64,
    unsettled: AtomicU64,
}

enum Words {
    Private(Box<Layout>),
    Shared(MmapMut),
    Watched(Mmap),
}

/// The words as they lie in the file, and what they count; `docs/formats/catalog.md` specifies them.
#[derive(Default)]
#[repr(C)]
struct Layout {
    changes: AtomicU64,
    offset: AtomicI64,
    commits: AtomicU64,
    turns: AtomicU32,
    writes: AtomicU32,
    entries: AtomicU64,
}

impl Words {
    fn private(changes: u64, commits: u64) -> Self {
        let (changes, commits) = (AtomicU64::new(changes), AtomicU64::new(commits));
        Self::Private(Box::new(Layout { changes, commits, ..Layout::default() }))
    }
}

impl Signal {
    /// Words nobody else sees.
    pub(super) fn private() -> Self {
        Self::over(Words::private(0, 0))
    }

    /// No words: nothing is known of changes.
    pub(super) fn blind() -> Self {
        Self::over(Words::private(1, BLIND))
    }

    /// The words in the file at `path`, made if missing.
    pub(super) fn shared(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        allocate(&file)?;
        // SAFETY: the mapping is only accessed through atomics. The file never shrinks: it is
        // opened in no other place of this crate, and here it is only ever lengthened.
        let map = unsafe {
            MmapOptions::new()
                .len(LENGTH)
                .map_mut(&OpenOptions::new().read(true).write(true).open(path)?)?
        };
        Ok(Self::over(Words::Shared(map)))
    }

    /// The words in the file at `path`, only to be read.
    pub(super) fn watched(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() < LENGTH as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: as in `shared`.
        let map = unsafe { MmapOptions::new().len(LENGTH).map(&file)? };
        Ok(Self::over(Words::Watched(map)))
    }

    fn over(words: Words) -> Self {
        Self { words, offset: AtomicI64::new(i64::MIN), unsettled: AtomicU64::new(0) }
    }

    /// The count of changes: equal answers mean that nothing was removed or replaced between.
    pub(super) fn changes(&self) -> u64 {
        let count = self.words().changes.load(Ordering::Acquire);
        if count & 1 == 0 {
            return count;
        }
        let call = self.unsettled.fetch_add(1, Ordering::Relaxed);
        u64::MAX - (call << 1)
    }

    /// The count of commits: equal answers mean that no entry became visible between.
    pub(super) fn commits(&self) -> u64 {
        match self.words().commits.load(Ordering::Acquire) {
            BLIND => BLIND - (self.unsettled.fetch_add(1, Ordering::Relaxed) << 1),
            count => count,
        }
    }

    /// How many entries were stored, as far as is known: each of them got a number before.
    pub(super) fn entries(&self) -> u64 {
        self.words().entries.load(Ordering::Acquire)
    }

    /// Tells that an entry was stored. Not told, it is not missed.
    pub(super) fn stored(&self) {
        if self.is_writable() {
            self.words().entries.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Counts anew: nobody misses any more what was stored before.
    pub(super) fn forget_entries(&self) {
        if self.is_writable() {
            self.words().entries.store(0, Ordering::Release);
        }
    }

    /// Tells of an entry that is visible now. A process that dies before it tells costs another
    /// one a computation, and nothing else.
    pub(super) fn committed(&self) {
        if self.is_writable() {
            self.words().commits.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The count of turns: whoever waits for a slot looks again when it differs.
    pub(super) fn turns(&self) -> u64 {
        u64::from(self.words().turns.load(Ordering::Acquire))
    }

    /// Tells of a slot that may be free now, or an entry that may be there, and wakes whoever
    /// waits for one. A process that dies before it tells costs the others a lease.
    pub(super) fn turn(&self) {
        if self.is_writable() {
            self.words().turns.fetch_add(1, Ordering::AcqRel);
            wake(&self.words().turns, ALL);
        }
    }

    /// Waits until the count of turns may differ from `seen`, for `timeout` at most.
    pub(super) fn await_turn(&self, seen: u64, timeout: Duration) {
        // A count that nobody here could have seen has no low half to wait on.
        if let Ok(seen) = u32::try_from(seen)
            && !timeout.is_zero()
        {
            wait(&self.words().turns, seen, timeout);
        }
    }

    /// The count of writes that have ended.
    pub(super) fn writes(&self) -> u32 {
        self.words().writes.load(Ordering::Acquire)
    }

    /// Tells that a write has ended, and wakes the one who has waited longest to begin another. A
    /// process that dies before it tells costs the others a pause.
    pub(super) fn wrote(&self) {
        if self.is_writable() {
            self.words().writes.fetch_add(1, Ordering::AcqRel);
            wake(&self.words().writes, 1);
        }
    }

    /// Waits until a write has ended since the count was `seen`, for `timeout` at most.
    pub(super) fn await_write(&self, seen: u32, timeout: Duration) {
        wait(&self.words().writes, seen, timeout);
    }

    /// Makes the count odd, and says which it is. The caller holds the write lock, has called
    /// [`Signal::recover`], and has not committed yet.
    pub(super) fn unsettle(&self) -> u64 {
        if self.is_writable() { self.words().changes.fetch_or(1, Ordering::SeqCst) | 1 } else { 0 }
    }

    /// Makes the count even that the caller made `odd`, unless the next writer has done so. The
    /// next writer may already have made it odd again, so only this very count is touched.
    pub(super) fn settle(&self, odd: u64) {
        if self.is_writable() {
            let even = odd.wrapping_add(1);
            let _ = self.words().changes.compare_exchange(
                odd,
                even,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
        }
    }

    /// Makes an odd count even. The caller holds the write lock, so whoever left it odd has
    /// committed or died, and what it did is visible or undone.
    pub(super) fn recover(&self) {
        let count = self.words().changes.load(Ordering::SeqCst);
        if count & 1 == 1 {
            self.settle(count);
        }
    }

    /// Raises the clock's offset to at least `seen`, and says what it is now.
    pub(super) fn raise_offset(&self, seen: i64) -> i64 {
        let own = self.offset.fetch_max(seen, Ordering::AcqRel).max(seen);
        match &self.words {
            Words::Private(_) => own,
            Words::Shared(_) => self.words().offset.fetch_max(own, Ordering::AcqRel).max(own),
            Words::Watched(_) => self.words().offset.load(Ordering::Acquire).max(own),
        }
    }

    fn is_writable(&self) -> bool {
        !matches!(self.words, Words::Watched(_))
    }

    fn words(&self) -> &Layout {
        match &self.words {
            Words::Private(words) => words,
            // SAFETY: a mapping is page-aligned and `LENGTH` long, lives as long as `self`, and
            // every access by every process is atomic.
            Words::Shared(map) => unsafe { &*map.as_ptr().cast::<Layout>() },
            // SAFETY: as above; a watched word is never written, see `is_writable`.
            Words::Watched(map) => unsafe { &*map.as_ptr().cast::<Layout>() },
        }
    }
}

/// How many there may be at most, for [`wake`].
const ALL: u32 = i32::MAX.unsigned_abs();

/// Wakes so many of those who wait on the word, in whatever process, in the order in which they
/// came.
#[cfg(target_os = "linux")]
fn wake(word: &AtomicU32, most: u32) {
    use rustix::thread::futex;
    // Not private: the word may lie in memory shared with other processes.
    let _ = futex::wake(word, futex::Flags::empty(), most);
}

/// Whoever waits looks by himself.
#[cfg(not(target_os = "linux"))]
fn wake(_word: &AtomicU32, _most: u32) {}

/// Waits while the word is `seen`. Comes back early for a signal to this process, too.
#[cfg(target_os = "linux")]
fn wait(word: &AtomicU32, seen: u32, timeout: Duration) {
    use rustix::thread::futex::{self, Timespec};
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let _ = futex::wait(word, futex::Flags::empty(), seen, Some(&timeout));
}

/// As above, by looking now and then.
#[cfg(not(target_os = "linux"))]
fn wait(word: &AtomicU32, seen: u32, timeout: Duration) {
    const PAUSE: Duration = Duration::from_millis(10);
    let began = std::time::Instant::now();
    while word.load(Ordering::Acquire) == seen && began.elapsed() < timeout {
        std::thread::sleep(PAUSE.min(timeout));
    }
}

/// Gives the file its length by writing zeros, so that its block exists and touching the mapping
/// never needs space on a full disk. Appending is safe beside others that do the same.
fn allocate(mut file: &File) -> io::Result<()> {
    while file.metadata()?.len() < LENGTH as u64 {
        file.write_all(&[0; LENGTH])?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// Between the commit of one and the word that he is done, the next one may have begun.
    #[test]
    fn who_is_late_to_settle_does_not_settle_what_is_of_another() {
        let signal = Signal::private();
        let before = signal.changes();
        let late = signal.unsettle();
        signal.recover();
        let own = signal.unsettle();
        signal.settle(late);
        assert_ne!(signal.changes(), signal.changes(), "the other is at it still");
        signal.settle(own);
        let after = signal.changes();
        assert_eq!(signal.changes(), after);
        assert_ne!(before, after);
    }

    /// What wakes, and what waits for it.
    type Pair = (fn(&Signal), fn(&Signal));

    #[test]
    fn whoever_waits_is_woken() {
        let pairs: [Pair; 2] = [
            (Signal::wrote, |signal| signal.await_write(signal.writes(), LONG)),
            (Signal::turn, |signal| signal.await_turn(signal.turns(), LONG)),
        ];
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("changes");
        for (wake, wait) in pairs {
            let (here, there) = (Signal::shared(&path).unwrap(), Signal::shared(&path).unwrap());
            let (told, thread) = mpsc::channel();
            let waiter = std::thread::spawn(move || {
                told.send(rustix::thread::gettid()).unwrap();
                wait(&there);
            });
            let state = format!("/proc/self/task/{}/stat", thread.recv().unwrap().as_raw_nonzero());
            let deadline = Instant::now() + Duration::from_secs(60);
            let until = |done: &dyn Fn() -> bool| {
                while !done() {
                    assert!(Instant::now() < deadline, "nobody woke it");
                    std::thread::yield_now();
                }
            };
            until(&|| std::fs::read_to_string(&state).is_ok_and(|it| it.contains(") S ")));
            wake(&here);
            until(&|| waiter.is_finished());
        }
    }
}
