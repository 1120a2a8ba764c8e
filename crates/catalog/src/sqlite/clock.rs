//! The catalog's clock: never backwards, never still.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::signal::Signal;
use crate::entry::Time;

/// A time that no clock shows before the year 2248. One that stands in the database was not
/// written by anybody.
pub(super) const NEVER: Time = 1 << 43;

/// Where a catalog gets the time from; tests bring their own.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970 by the wall clock, which may be set back.
    fn wall(&self) -> Time;

    /// Milliseconds since the machine started, suspended time included. Never set back.
    fn steady(&self) -> Time;
}

/// The clocks of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    fn wall(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| Time::try_from(since.as_millis()).unwrap_or(Time::MAX))
    }

    fn steady(&self) -> Time {
        Time::try_from(uptime().as_millis()).unwrap_or(Time::MAX)
    }
}

/// The time since the machine started, suspended time included: a lease passes meanwhile.
pub fn uptime() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let now = clock_gettime(clock);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Turns the machine's clocks into the catalog's.
///
/// The time is `steady + offset`, where the offset is the largest difference between wall and
/// steady clock that any process has seen. A wall clock set back thus changes nothing: time goes
/// on at its pace, nothing expired becomes valid, and no lease is prolonged.
pub(super) struct Ratchet {
    clock: Arc<dyn Clock>,
    signal: Arc<Signal>,
}

impl Ratchet {
    pub(super) fn new(clock: Arc<dyn Clock>, signal: Arc<Signal>) -> Self {
        Self { clock, signal }
    }

    /// The time, which every later call in any process reaches or passes.
    pub(super) fn now(&self) -> Time {
        // In this order: what passes in between, as when the process is stopped, makes the offset
        // smaller, which means nothing. A larger one stays for ever.
        let wall = self.clock.wall();
        let steady = self.clock.steady();
        let seen = wall.saturating_sub(steady);
        steady.saturating_add(self.signal.raise_offset(seen))
    }

    /// The time, at least `floor`: what the database remembers from before the last restart.
    pub(super) fn now_after(&self, floor: Time) -> Time {
        if floor < NEVER {
            let lowest = floor.saturating_sub(self.clock.steady());
            self.signal.raise_offset(lowest);
        }
        self.now()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A machine on which the process is stopped for a minute after its first look at a clock.
    struct Halting {
        passed: AtomicI64,
    }

    impl Halting {
        fn look(&self) -> Time {
            self.passed.swap(60_000, Ordering::Relaxed)
        }
    }

    impl Clock for Halting {
        fn wall(&self) -> Time {
            1_000_000 + self.look()
        }

        fn steady(&self) -> Time {
            self.look()
        }
    }

    #[test]
    fn who_is_stopped_between_the_clocks_does_not_put_the_time_forward() {
        let clock = Arc::new(Halting { passed: AtomicI64::new(0) });
        let shared: Arc<dyn Clock> = Arc::<Halting>::clone(&clock);
        let ratchet = Ratchet::new(shared, Arc::new(Signal::private()));
        assert!(ratchet.now() <= clock.wall());
        assert_eq!(ratchet.now(), clock.wall());
    }
}
