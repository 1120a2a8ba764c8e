//! Time as the protocol needs it: a clock that never stops, and beats that no body can hold up.
//!
//! Nothing of the protocol asks the machine for the time, sleeps or starts a thread by itself, so
//! that a simulation can stand in the machine's place.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use once_cell::race::OnceBox;
use rustix::time::{ClockId, clock_gettime};
use thrifty_catalog::uptime;

/// Where the engine gets the time from.
pub trait Timer: Send + Sync {
    /// The time since some moment, never set back; suspended time included.
    fn now(&self) -> Duration;

    /// Calls `beat` every `period`, first after one period, until it answers `false` or the guard
    /// is dropped. One that takes longer than a period is followed by the next at once. Nothing
    /// that runs in this process may hold it up. Dropping the guard does not wait for a beat under
    /// way.
    fn every(&self, period: Duration, beat: Box<dyn FnMut() -> bool + Send>) -> Box<dyn Beating>;
}

/// About the time, by a clock that costs next to nothing and may be set: for what is done now and
/// then, and never for the protocol.
pub fn about_now() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::RealtimeCoarse;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Realtime;
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A beat that goes on until this is dropped.
pub trait Beating: Send + Sync {}

/// The clock and a thread of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Timer for Machine {
    fn now(&self) -> Duration {
        uptime()
    }

    fn every(&self, period: Duration, beat: Box<dyn FnMut() -> bool + Send>) -> Box<dyn Beating> {
        let heart = Heart::of_this_process();
        Box::new(Guard { heart, number: heart.add(period, beat) })
    }
}

/// The one thread that beats for all of this process, while there is anything to beat. A process
/// that holds nothing has no thread of ours, and may fork as it likes.
///
/// A forked child has a copy of its parent's heart without the thread, and perhaps with a lock
/// that nobody there will ever open. It leaves that copy alone and makes its own.
struct Heart {
    process: u32,
    beats: Mutex<Beats>,
    changed: Condvar,
    /// That of a forked child, in its copy of this one.
    of_child: OnceBox<Heart>,
}

static HEART: OnceBox<Heart> = OnceBox::new();

#[derive(Default)]
struct Beats {
    /// The thread, and its number; one of another number is to end.
    thread: Option<JoinHandle<()>>,
    current: u64,
    last: u64,
    /// By number; what beats at this moment is not among them, but its number is in `beating`.
    resting: BTreeMap<u64, Beat>,
    beating: Option<u64>,
    is_beating: bool,
}

struct Beat {
    due: Duration,
    period: Duration,
    beat: Box<dyn FnMut() -> bool + Send>,
}

struct Guard {
    heart: &'static Heart,
    number: u64,
}

impl Beating for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        // What belongs to the parent of a forked child goes on beating there.
        if self.heart.process == std::process::id() {
            self.heart.stop(self.number);
        }
    }
}

impl Beat {
    /// Beats once; `None` if that was the last time.
    fn run(mut self, now: impl Fn() -> Duration) -> Option<Self> {
        let begun = now();
        // A beat that panics ends; the others depend on its thread.
        let goes_on = catch_unwind(AssertUnwindSafe(|| (self.beat)())).unwrap_or(false);
        // From its beginning: what it took does not defer the next. Not from when it was due:
        // after a pause there is one beat, not many.
        self.due = now().max(begun + self.period);
        goes_on.then_some(self)
    }
}

impl Heart {
    fn of_this_process() -> &'static Self {
        let process = std::process::id();
        // Made without a lock: another thread may be making one at the moment of a fork.
        let make = || {
            Box::new(Self {
                process,
                beats: Mutex::default(),
                changed: Condvar::new(),
                of_child: OnceBox::new(),
            })
        };
        let mut heart = HEART.get_or_init(make);
        while heart.process != process {
            heart = heart.of_child.get_or_init(make);
        }
        heart
    }

    fn add(&'static self, period: Duration, beat: Box<dyn FnMut() -> bool + Send>) -> u64 {
        let mut beats = self.lock();
        beats.last += 1;
        let (number, due) = (beats.last, Machine.now() + period);
        beats.resting.insert(number, Beat { due, period, beat });
        if beats.thread.is_some() {
            self.changed.notify_all();
        } else {
            beats.current += 1;
            let mine = beats.current;
            // Without a thread the leases of this process just end; the next one tries again.
            let thread = std::thread::Builder::new().name("thrifty-heartbeat".to_owned());
            beats.thread = thread.spawn(move || self.beat_on(mine)).ok();
        }
        number
    }

    fn stop(&self, number: u64) {
        let mut beats = self.lock();
        if beats.beating == Some(number) {
            beats.beating = None;
        }
        let stopped = beats.resting.remove(&number);
        let mut ending = None;
        if beats.resting.is_empty() && !beats.is_beating {
            beats.current += 1;
            ending = beats.thread.take();
            self.changed.notify_all();
        }
        drop(beats);
        // What it holds is dropped without the lock.
        drop(stopped);
        if let Some(thread) = ending {
            _ = thread.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat_on(&self, mine: u64) {
        let mut beats = self.lock();
        while beats.current == mine {
            let next = beats.resting.iter().min_by_key(|(_, beat)| beat.due);
            let Some((&number, due)) = next.map(|(number, beat)| (number, beat.due)) else {
                // Nobody waits for this thread to end.
                beats.thread = None;
                return;
            };
            let left = due.saturating_sub(Machine.now());
            if !left.is_zero() {
                let waited = self.changed.wait_timeout(beats, left);
                beats = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some(beat) = beats.resting.remove(&number) else { continue };
            (beats.beating, beats.is_beating) = (Some(number), true);
            drop(beats);
            let beat = beat.run(|| Machine.now());
            beats = self.lock();
            beats.is_beating = false;
            if beats.beating.take() == Some(number)
                && let Some(beat) = beat
            {
                beats.resting.insert(number, beat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// When beats begin that each take as long as this, after a pause.
    fn begins(period: Duration, pause: Duration, lengths: &[Duration]) -> Vec<Duration> {
        let time = Arc::new(Mutex::new(SECOND + pause));
        let begun = Arc::new(Mutex::new(Vec::new()));
        let mut next = Some(Beat { due: SECOND + period, period, beat: Box::new(|| true) });
        for length in lengths {
            let (passes, told, length) = (Arc::clone(&time), Arc::clone(&begun), *length);
            let Some(beat) = next.take() else { break };
            let now = beat.due.max(*time.lock().unwrap());
            *time.lock().unwrap() = now;
            let take = move || {
                told.lock().unwrap().push(now - SECOND);
                *passes.lock().unwrap() += length;
                true
            };
            next = Beat { beat: Box::new(take), ..beat }.run(|| *time.lock().unwrap());
        }
        begun.lock().unwrap().clone()
    }

    #[test]
    fn the_third_beat_begins_within_the_lease_though_two_took_long() {
        let lease = crate::Lease::default();
        let beats = begins(lease.heartbeat(), Duration::ZERO, &[2 * SECOND; 3]);
        assert_eq!(beats[2], 3 * lease.heartbeat(), "{beats:?}");
        assert!(beats[2] + 2 * SECOND < lease.length());
    }

    #[test]
    fn after_a_pause_there_is_one_beat() {
        let hour = Duration::from_hours(1);
        let beats = begins(SECOND, hour, &[Duration::ZERO; 3]);
        assert_eq!(beats, [hour, hour + SECOND, hour + 2 * SECOND]);
    }

    #[test]
    fn a_beat_that_took_longer_than_its_period_is_followed_at_once() {
        let beats = begins(SECOND, Duration::ZERO, &[3 * SECOND, Duration::ZERO, Duration::ZERO]);
        assert_eq!(beats, [SECOND, 4 * SECOND, 5 * SECOND]);
    }
}
