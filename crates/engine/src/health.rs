//! A cache in trouble costs time, and only so much of it.
//!
//! Two breakers: one for what is read, one for what is written, so that a full, read-only or busy
//! cache goes on serving hits. Each opens when it has seen several failures within a short time,
//! or fewer that took long, whatever succeeded between them: then the cache is left alone, and
//! every call is answered at once. After a rest one call tries; if it succeeds, all goes on as
//! before.
//!
//! Of what is written, little time lost in a row is enough for a short rest: a catalog that somebody
//! holds for good holds up nobody for long, and one that was slow for a moment is soon asked again.
//! The rest doubles with each try that fails. A hit that is not looked up may cost hours, so that
//! what is read has more patience.

use std::cell::Cell;
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
/// Failures longer ago than this are not among those.
const WINDOW: Duration = Duration::from_secs(30);
/// So much time lost in the failures of the last [`MINUTE`] opens a breaker as well.
const LOSS: Duration = Duration::from_secs(15);
/// Failures longer ago than this count no more.
const MINUTE: Duration = Duration::from_secs(60);
/// No call waits longer. What took more slept with the machine, and no failure alone opens a
/// breaker for a [`REST`].
const LONGEST: Duration = Duration::from_secs(10);
/// How long the cache is left alone before one call tries.
const REST: Duration = Duration::from_secs(30);
/// So much time lost in writing, with no success between, is enough for a [`SHORT_REST`]: a commit in
/// vain, or two of the shorter calls.
const VAIN: Duration = Duration::from_millis(1250);
/// How long the cache is left alone for that, at first.
const SHORT_REST: Duration = Duration::from_secs(2);

thread_local! {
    /// When the call of this thread began, or last failed.
    static BEGAN: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Counts failures of the cache and decides whether to ask it.
///
/// A call begins when its thread is let through. What a thread does in between counts with the
/// call, and one that is let through again meanwhile counts from then on.
pub(crate) struct Health {
    timer: Arc<dyn Timer>,
    reading: Breaker,
    writing: Breaker,
    first: Mutex<Option<String>>,
}

/// Decides about calls of one kind. The times are of a clock that never runs backwards.
#[derive(Default)]
struct Breaker {
    /// Whether it is open, or the last call failed: while all is well, a call costs this look and
    /// one at the clock.
    is_troubled: AtomicBool,
    state: Mutex<State>,
    /// How much time lost in a row opens it for a [`SHORT_REST`], if any does.
    vain: Option<Duration>,
}

#[derive(Default)]
struct State {
    /// The calls that failed within a [`MINUTE`], oldest first.
    failures: VecDeque<Lost>,
    /// Why the last one did.
    last: Option<Reason>,
    /// How much time was lost since the last success, and until when.
    in_vain: (Duration, Duration),
    open: Option<Open>,
}

/// That the cache is left alone.
struct Open {
    /// When it opened, or when the last call was let through to try.
    since: Duration,
    /// How long nobody tries from then on.
    rest: Duration,
    /// Whether a call is under way that tries.
    is_trying: bool,
}

/// A call that failed: when, and how long that took.
#[derive(Clone, Copy)]
struct Lost {
    at: Duration,
    time: Duration,
}

impl State {
    fn count(&mut self, lost: Lost) {
        let since = |it: &Lost| lost.at.saturating_sub(it.at);
        self.failures.retain(|it| since(it) < MINUTE);
        self.failures.push_back(Lost { time: lost.time.min(LONGEST), ..lost });
        let (vain, last) = self.in_vain;
        // Those that waited at the same time lost it once.
        self.in_vain = (vain + lost.time.min(lost.at.saturating_sub(last)), lost.at);
    }

    fn is_too_much(&self, now: Duration) -> bool {
        let is_recent = |it: &&Lost| now.saturating_sub(it.at) < WINDOW;
        self.failures.iter().filter(is_recent).count() >= PATIENCE
            || self.failures.iter().map(|it| it.time).sum::<Duration>() >= LOSS
    }
}

impl Breaker {
    fn allows(&self, now: Duration) -> bool {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return true;
        }
        let mut state = self.state.lock();
        let Some(open) = &mut state.open else { return true };
        // A call that tries and never comes back is followed by another one after as long.
        let rested = now.saturating_sub(open.since) >= open.rest;
        if rested {
            (open.since, open.is_trying) = (now, true);
        }
        rested
    }

    fn succeeded(&self) {
        if !self.is_troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        match &state.open {
            // A call that began before it opened says nothing about now.
            Some(open) if !open.is_trying => return,
            Some(_) => *state = State::default(),
            None => state.in_vain = Default::default(),
        }
        self.is_troubled.store(false, Ordering::Relaxed);
    }

    fn failed(&self, reason: Reason, lost: Lost) {
        let now = lost.at;
        let mut state = self.state.lock();
        state.last = Some(reason);
        if let Some(open) = &mut state.open {
            if open.is_trying {
                *open = Open { since: now, rest: REST.min(2 * open.rest), is_trying: false };
            }
            return;
        }
        state.count(lost);
        let short = self.vain.filter(|vain| state.in_vain.0 >= *vain).map(|_| SHORT_REST);
        let rest = if state.is_too_much(now) { Some(REST) } else { short };
        state.open = rest.map(|rest| Open { since: now, rest, is_trying: false });
        self.is_troubled.store(true, Ordering::Relaxed);
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
            writing: Breaker { vain: Some(VAIN), ..Breaker::default() },
            first: Mutex::default(),
        }
    }

    /// Whether the cache may be read now.
    pub fn may_ask(&self) -> bool {
        self.reading.allows(self.begin())
    }

    /// Whether the cache may be written now; if not, what kept failing.
    pub fn may_write(&self) -> Result<(), Reason> {
        if self.writing.allows(self.begin()) { Ok(()) } else { Err(self.writing.reason()) }
    }

    /// A call of this thread begins, which is made whatever failed before. Says when that is.
    pub fn begin(&self) -> Duration {
        let now = self.timer.now();
        BEGAN.set(Some(now));
        now
    }

    /// The call of this thread failed. What fails further took the time from then on.
    fn lose(&self) -> Lost {
        let at = self.timer.now();
        let began = BEGAN.replace(Some(at)).unwrap_or(at);
        Lost { at, time: at.saturating_sub(began) }
    }

    /// Passes on what reading gave, counting it; an error becomes `None`.
    pub fn note<T>(&self, result: Result<T, CatalogError>) -> Option<T> {
        match result {
            Ok(value) => {
                self.reading.succeeded();
                Some(value)
            }
            Err(error) => {
                self.reading.failed(Reason::from(&error), self.lose());
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
        self.writing.failed(Reason::from(error), self.lose());
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
    use crate::timer::Beating;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn allows(breaker: &Breaker, seconds: u64) -> bool {
        breaker.allows(at(seconds))
    }

    fn fail_after(breaker: &Breaker, millis: u64, seconds: impl IntoIterator<Item = u64>) {
        for seconds in seconds {
            let lost = Lost { at: at(seconds), time: Duration::from_millis(millis) };
            breaker.failed(Reason::Busy, lost);
        }
    }

    fn fail(breaker: &Breaker, seconds: impl IntoIterator<Item = u64>) {
        fail_after(breaker, 0, seconds);
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
    fn few_failures_that_took_long_together_open_it() {
        let breaker = Breaker::default();
        fail_after(&breaker, 5000, [0, 29]);
        assert!(allows(&breaker, 29));
        // The first of them is forgotten.
        fail_after(&breaker, 5000, [60]);
        assert!(allows(&breaker, 60));
        fail_after(&breaker, 4999, [61]);
        assert!(allows(&breaker, 61));
        fail_after(&breaker, 1, [62]);
        assert!(!allows(&breaker, 62));
        assert!(allows(&breaker, 92), "it rests as long as ever");
    }

    fn of_writing() -> Breaker {
        Breaker { vain: Some(VAIN), ..Breaker::default() }
    }

    #[test]
    fn little_time_lost_in_a_row_opens_that_of_writing_for_a_short_rest() {
        let breaker = of_writing();
        fail_after(&breaker, 1000, [2]);
        assert!(allows(&breaker, 2), "one is not two");
        fail_after(&breaker, 1000, [2]);
        assert!(allows(&breaker, 2), "they waited at the same time");
        fail_after(&breaker, 249, [3]);
        assert!(allows(&breaker, 3), "it is not enough");
        fail_after(&breaker, 1, [4]);
        assert!(!allows(&breaker, 4) && !allows(&breaker, 5));
        assert!(allows(&breaker, 6) && !allows(&breaker, 6), "one tries");
        breaker.succeeded();
        assert!(allows(&breaker, 6) && allows(&breaker, 6));
        fail_after(&breaker, 1000, [7]);
        assert!(allows(&breaker, 7), "what was before is forgotten");
        breaker.succeeded();
        fail_after(&breaker, 1000, [8]);
        assert!(allows(&breaker, 8), "one succeeded between them");
        let reading = Breaker::default();
        fail_after(&reading, 1500, [1, 3, 5]);
        assert!(allows(&reading, 5), "what is read has more patience");
    }

    #[test]
    fn a_short_rest_doubles_with_each_try_that_fails() {
        let breaker = of_writing();
        fail_after(&breaker, 1000, [1, 2]);
        let mut failed = 2;
        for rest in [2, 4, 8, 16, 30, 30] {
            assert!(!allows(&breaker, failed + rest - 1), "{rest}");
            assert!(allows(&breaker, failed + rest), "{rest}");
            failed += rest + 1;
            fail_after(&breaker, 1000, [failed]);
        }
    }

    #[test]
    fn one_failure_never_opens_it_however_long_it_took() {
        let breaker = Breaker::default();
        fail_after(&breaker, 3_600_000, [0]);
        assert!(allows(&breaker, 0));
        fail_after(&breaker, 5000, [59]);
        assert!(!allows(&breaker, 59));
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

    /// A clock that the test sets.
    #[derive(Default)]
    struct Set(Mutex<Duration>);

    impl Timer for Set {
        fn now(&self) -> Duration {
            *self.0.lock()
        }

        fn every(&self, _: Duration, _: Box<dyn FnMut() -> bool + Send>) -> Box<dyn Beating> {
            unreachable!("nothing here beats")
        }
    }

    #[test]
    fn what_fails_further_in_a_call_took_the_time_from_then_on() {
        let clock = Arc::new(Set::default());
        let health = Health::new(Arc::<Set>::clone(&clock));
        let busy = std::path::PathBuf::from("catalog");
        let fail_at = |seconds| {
            *clock.0.lock() = at(seconds);
            _ = health.note::<()>(Err(CatalogError::Busy { path: busy.clone() }));
        };
        *clock.0.lock() = at(0);
        assert!(health.may_ask());
        fail_at(7);
        fail_at(14);
        assert!(health.reading.allows(at(14)), "fourteen seconds were lost, and not twenty-one");
        fail_at(15);
        assert!(!health.reading.allows(at(15)));
    }

    #[test]
    fn what_is_read_and_what_is_written_closes_its_own_breaker() {
        let clock = Arc::new(Set::default());
        let health = Health::new(Arc::<Set>::clone(&clock));
        for _ in 0..5 {
            let busy = || Err::<(), _>(CatalogError::Busy { path: "catalog".into() });
            assert_eq!(health.note(busy()), None);
            assert!(health.wrote(busy()).is_err());
        }
        assert!(!health.may_ask() && health.may_write() == Err(Reason::Busy));
        *clock.0.lock() += REST;
        assert!(health.may_ask() && health.may_write().is_ok(), "one of each tries");
        health.note(Ok(()));
        assert!(health.may_ask() && health.may_write().is_err());
        assert!(health.wrote(Ok(())).is_ok());
        assert!(health.may_write().is_ok());
    }

    #[test]
    fn the_first_trouble_is_told_once() {
        let health = Health::new(Arc::new(Set::default()));
        assert_eq!(health.take_trouble(), None);
        ["first", "second"].iter().for_each(|trouble| health.mention(trouble));
        assert_eq!(health.take_trouble().as_deref(), Some("first"));
        assert_eq!(health.take_trouble(), None);
        health.mention("third");
        assert_eq!(health.take_trouble().as_deref(), Some("third"));
    }
}
