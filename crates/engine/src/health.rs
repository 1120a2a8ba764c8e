//! A cache in trouble costs time, and only so much of it.
//!
//! Two breakers: one for what is read, one for what is written, so that a full, read-only or busy
//! cache goes on serving hits. Each opens when it has seen several failures within a short time,
//! whatever succeeded between them: then the cache is left alone, and every call is answered at
//! once. After a rest one call tries; if it succeeds, all goes on as before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use thrifty_catalog::CatalogError;

use crate::reason::Reason;
use crate::timer::Timer;

/// So many failures within [`WINDOW`] open a breaker.
const PATIENCE: usize = 5;
/// Failures longer ago than this count no more.
const WINDOW: Duration = Duration::from_secs(30);
/// How long the cache is left alone before one call tries.
const REST: Duration = Duration::from_secs(30);

/// Counts failures of the cache and decides whether to ask it.
pub(crate) struct Health {
    timer: Arc<dyn Timer>,
    reading: Breaker,
    writing: Breaker,
    first: Mutex<Option<String>>,
}

/// Decides about calls of one kind. The times are of a clock that never runs backwards.
#[derive(Default)]
struct Breaker {
    /// Whether it is not closed: while all is well, a call costs this look.
    is_open: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When calls failed lately, oldest first, [`PATIENCE`] of them at most.
    failures: VecDeque<Duration>,
    /// Why the last one did.
    last: Option<Reason>,
    /// While open: when it opened, or when the last call was let through to try.
    since: Duration,
    /// While open: whether a call is under way that tries.
    is_trying: bool,
}

impl Breaker {
    fn allows(&self, now: impl FnOnce() -> Duration) -> bool {
        if !self.is_open.load(Ordering::Relaxed) {
            return true;
        }
        let now = now();
        let mut state = self.state.lock();
        // A call that tries and never comes back is followed by another one after as long.
        let rested = now.saturating_sub(state.since) >= REST;
        if rested {
            (state.since, state.is_trying) = (now, true);
        }
        rested
    }

    fn succeeded(&self) {
        if !self.is_open.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        // A call that began before it opened says nothing about now.
        if state.is_trying {
            *state = State::default();
            self.is_open.store(false, Ordering::Relaxed);
        }
    }

    fn failed(&self, reason: Reason, now: Duration) {
        let mut state = self.state.lock();
        state.last = Some(reason);
        if self.is_open.load(Ordering::Relaxed) {
            if state.is_trying {
                (state.since, state.is_trying) = (now, false);
            }
            return;
        }
        state.failures.retain(|at| now.saturating_sub(*at) < WINDOW);
        state.failures.push_back(now);
        if state.failures.len() >= PATIENCE {
            state.since = now;
            self.is_open.store(true, Ordering::Relaxed);
        }
    }

    fn reason(&self) -> Reason {
        self.state.lock().last.unwrap_or(Reason::Failed)
    }
}

impl Health {
    pub fn new(timer: Arc<dyn Timer>) -> Self {
        Self {
            timer,
            reading: Breaker::default(),
            writing: Breaker::default(),
            first: Mutex::default(),
        }
    }

    /// Whether the cache may be read now.
    pub fn may_ask(&self) -> bool {
        self.reading.allows(|| self.timer.now())
    }

    /// Whether the cache may be written now; if not, what kept failing.
    pub fn may_write(&self) -> Result<(), Reason> {
        if self.writing.allows(|| self.timer.now()) { Ok(()) } else { Err(self.writing.reason()) }
    }

    /// Passes on what reading gave, counting it; an error becomes `None`.
    pub fn note<T>(&self, result: Result<T, CatalogError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.reading.succeeded();
                Some(value)
            }
            Err(error) => {
                self.reading.failed(Reason::from(&error), self.timer.now());
                self.mention(&error.to_string());
                None
            }
        }
    }

    /// Passes on what writing gave, counting it.
    pub fn wrote<T>(&self, result: Result<T, CatalogError>) -> Result<T, CatalogError> {
        match &result {
            Ok(_) => self.writing.succeeded(),
            Err(error) => self.failed_to_write(error),
        }
        result
    }

    /// As [`Health::wrote`]; an error becomes `None`.
    pub fn note_write<T>(&self, result: Result<T, CatalogError>) -> Option<T> {
        self.wrote(result).ok()
    }

    /// Counts a write that failed.
    pub fn failed_to_write(&self, error: &CatalogError) {
        self.writing.failed(Reason::from(error), self.timer.now());
        self.mention(&error.to_string());
    }

    /// What kept the last read from being answered that was not.
    pub fn reading_trouble(&self) -> Reason {
        self.reading.reason()
    }

    /// Keeps a trouble for the warning.
    pub fn mention(&self, text: &str) {
        self.first.lock().get_or_insert_with(|| text.to_owned());
    }

    /// The first trouble since this was last asked, for one warning.
    pub fn take_trouble(&self) -> Option<String> {
        self.first.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn allows(breaker: &Breaker, seconds: u64) -> bool {
        breaker.allows(|| at(seconds))
    }

    fn fail(breaker: &Breaker, seconds: impl IntoIterator<Item = u64>) {
        seconds.into_iter().for_each(|seconds| breaker.failed(Reason::Busy, at(seconds)));
    }

    #[test]
    fn a_steady_trickle_of_failures_opens_it_though_others_succeed() {
        let breaker = Breaker::default();
        for second in [0, 6, 12, 18] {
            fail(&breaker, [second]);
            breaker.succeeded();
            assert!(allows(&breaker, second));
        }
        fail(&breaker, [24]);
        assert!(!allows(&breaker, 24));
        assert_eq!(breaker.reason(), Reason::Busy);
    }

    #[test]
    fn rare_failures_never_open_it() {
        let breaker = Breaker::default();
        for second in (0..600).step_by(8) {
            fail(&breaker, [second]);
            assert!(allows(&breaker, second));
        }
    }

    #[test]
    fn after_a_rest_one_call_tries_and_its_success_closes_it() {
        let breaker = Breaker::default();
        fail(&breaker, 0..5);
        // One that began before it opened comes back late.
        breaker.succeeded();
        assert!(!allows(&breaker, 33));
        assert!(allows(&breaker, 34));
        assert!(!allows(&breaker, 34));
        breaker.succeeded();
        assert!(allows(&breaker, 34) && allows(&breaker, 34));
        // What failed before is forgotten.
        fail(&breaker, 34..38);
        assert!(allows(&breaker, 38));
    }

    #[test]
    fn a_try_that_fails_or_never_returns_is_followed_by_another_after_a_rest() {
        let breaker = Breaker::default();
        fail(&breaker, 0..5);
        assert!(allows(&breaker, 40));
        fail(&breaker, [41]);
        assert!(!allows(&breaker, 70));
        assert!(allows(&breaker, 71));
        assert!(!allows(&breaker, 100));
        assert!(allows(&breaker, 101));
        breaker.succeeded();
        assert!(allows(&breaker, 101));
    }
}
