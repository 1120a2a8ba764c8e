//! A cache in trouble costs time, and only so much of it.
//!
//! After a few failures in a row the cache is left alone for a while: every call is a miss at
//! once. Then one call tries again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::timer::Timer;

/// Failures in a row after which the cache is left alone.
const PATIENCE: u32 = 5;
/// How long it is left alone.
const REST: Duration = Duration::from_secs(30);

/// Counts failures of the cache and decides whether to ask it.
pub(crate) struct Health {
    timer: Arc<dyn Timer>,
    failures: AtomicU32,
    resting_since: Mutex<Option<Duration>>,
    first: Mutex<Option<String>>,
}

impl Health {
    pub fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            timer,
            failures: AtomicU32::new(0),
            resting_since: Mutex::new(None),
            first: Mutex::new(None),
        }
    }

    /// Whether the cache may be asked now.
    pub fn may_ask(&self) -> bool {
        if self.failures.load(Ordering::Relaxed) < PATIENCE {
            return true;
        }
        let now = self.timer.now();
        let mut since = self.resting_since.lock();
        match *since {
            Some(begun) if now.saturating_sub(begun) < REST => false,
            // This call tries; the others go on resting meanwhile.
            _ => {
                *since = Some(now);
                true
            }
        }
    }

    /// Passes a result on, counting it; an error becomes `None`.
    pub fn note<T, E: std::fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => {
                self.failures.store(0, Ordering::Relaxed);
                Some(value)
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.first.lock().get_or_insert_with(|| error.to_string());
                None
            }
        }
    }

    /// Keeps a trouble for the warning that is no reason to stop asking: a full store still
    /// serves hits.
    pub fn mention(&self, text: &str) {
        self.first.lock().get_or_insert_with(|| text.to_owned());
    }

    /// The first trouble since this was last asked, for one warning.
    pub fn take_trouble(&self) -> Option<String> {
        self.first.lock().take()
    }
}
