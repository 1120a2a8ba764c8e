//! Calls that wait for somebody else and hold no thread meanwhile.
//!
//! A call of a graph that finds its key taken, by another run of this process or by another
//! process, is put aside. Its worker goes on with other calls. When there may be news it is
//! attempted again. It leads nothing while it is put aside, so that whoever asks for its key
//! meanwhile, perhaps a body on the very thread that it would need, is not held up by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::cache::Cache;
use crate::compute::{CYCLE, Computed, Manner, Missing, Settled, Task, key_of};
use crate::flight::{Attempt, Follower, Landing, Lineage};
use crate::graph::{Failure, Product};
use crate::lookup::Target;
use crate::outcome::{Miss, Outcome};
use crate::process::number_in;
use crate::reserve::Waiting;
use crate::units::show_duration;

/// A call that was put aside.
pub(crate) struct Parked {
    /// When it first was, by the cache's timer.
    pub since: Duration,
    /// What it waits for.
    pub on: On,
}

/// What a call waits for.
pub(crate) enum On {
    /// A computation of this process.
    Flight(Follower),
    /// A reservation of another process.
    Turn(Box<Waiting>),
}

/// How a call comes to be attempted.
pub(crate) enum Coming {
    /// For the first time.
    First,
    /// Once more, with what the attempt before gave.
    Again(Parked),
    /// Without waiting any more: it stood behind one whose result nobody else can have.
    Beside,
}

/// What became of an attempt to compute a call without waiting.
pub(crate) enum Attempted {
    /// It is done.
    Done(Box<Computed>),
    /// Somebody else computes it. To be attempted again.
    Parked(Parked),
}

impl Attempted {
    /// It is done, this way.
    pub fn done(computed: Computed) -> Self {
        Self::Done(Box::new(computed))
    }
}

impl Parked {
    /// The reservation that it waits for; none if that is a computation of this process.
    pub fn whose(&self) -> Option<u128> {
        match &self.on {
            On::Flight(_) => None,
            On::Turn(waiting) => Some(waiting.held.holder.nonce),
        }
    }

    /// Who computes it, and since when, for people.
    pub fn behind(&self, cache: &Cache) -> String {
        match &self.on {
            On::Flight(_) => "another run of this process".to_owned(),
            On::Turn(waiting) => {
                let holder = &waiting.held.holder;
                let number = number_in(&holder.process);
                let number = number.map_or_else(|| "?".to_owned(), |number| number.to_string());
                let since = cache.catalog_clock().saturating_sub(waiting.held.since);
                let held = Duration::from_millis(u64::try_from(since).unwrap_or(0));
                let held = show_duration(held);
                format!("process {number} on {}, at it for {held}", holder.host)
            }
        }
    }
}

impl Cache {
    /// As [`Cache::compute`], without waiting for who computes it already. Those of the lineage go
    /// on only when it is computed; the current thread need not be one of them.
    pub(crate) fn attempt(
        self: &Arc<Self>,
        task: &Task<'_>,
        (miss, target): (Miss, Option<Target>),
        coming: Coming,
        lineage: &Lineage,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Attempted {
        let key = match key_of(task) {
            Ok(key) => key,
            Err(reason) => return Attempted::done(self.run_uncached(&task.policy, reason, body)),
        };
        let missing = Missing { task, key, miss, target };
        if task.policy.now {
            return Attempted::done(self.compute_beside(missing, body));
        }
        let (since, manner) = match coming {
            Coming::First => (self.timer.now(), Manner::Parks(None, lineage)),
            Coming::Beside => (self.timer.now(), Manner::Beside),
            Coming::Again(Parked { since, on: On::Turn(waiting) }) => {
                (since, Manner::Parks(Some(waiting), lineage))
            }
            Coming::Again(Parked { since, on: On::Flight(follower) }) => {
                let landed = follower.landed();
                let is_own = landed.as_ref().is_some_and(|it| matches!(it.landing, Landing::Own));
                if let Some(computed) = landed.and_then(|it| self.take_landing(&missing, it, since))
                {
                    return Attempted::done(computed);
                }
                (since, if is_own { Manner::Beside } else { Manner::Parks(None, lineage) })
            }
        };
        let led = if matches!(manner, Manner::Beside) {
            self.lead(missing, None, manner, body)
        } else {
            match self.flights.try_claim(&key, || Arc::clone(lineage)) {
                Attempt::Lead(lead) => self.lead(missing, Some(lead), manner, body),
                Attempt::Beside => self.lead(missing, None, manner, body),
                Attempt::Taken(follower) => {
                    return Attempted::Parked(Parked { since, on: On::Flight(follower) });
                }
                Attempt::Cycle => Ok(self.run_uncached(&task.policy, CYCLE, body)),
            }
        };
        match led {
            Ok(Computed::Settled(settled)) if settled.outcome == Outcome::Waited => {
                let spent = self.since(since);
                Attempted::done(Computed::Settled(Settled { spent, ..settled }))
            }
            Ok(computed) => Attempted::done(computed),
            Err(waiting) => Attempted::Parked(Parked { since, on: On::Turn(waiting) }),
        }
    }
}

/// Waits for reservations on behalf of the calls of one run, on a thread of its own while there
/// are any.
pub(crate) struct Watch(Arc<Watched>);

struct Watched {
    cache: Arc<Cache>,
    state: Mutex<State>,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    waits: Vec<Wait>,
    has_thread: bool,
}

struct Wait {
    number: usize,
    waiting: Box<Waiting>,
    tell: Box<dyn FnOnce(Resumed) + Send>,
}

/// The number of a call that is to be attempted again, and what it waited with.
pub(crate) type Resumed = (usize, Option<Box<Waiting>>);

impl Watch {
    pub fn new(cache: Arc<Cache>) -> Self {
        let is_over = AtomicBool::new(false);
        Self(Arc::new(Watched { cache, state: Mutex::default(), is_over }))
    }

    /// Tells, once, when a wait may be over. Without a thread for it, that is at once.
    pub fn add(
        &self,
        number: usize,
        waiting: Box<Waiting>,
        tell: impl FnOnce(Resumed) + Send + 'static,
    ) {
        let mut state = self.0.state.lock();
        state.waits.push(Wait { number, waiting, tell: Box::new(tell) });
        if !state.has_thread {
            let watched = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("thrifty-waiting".to_owned());
            state.has_thread = thread.spawn(move || watched.watch()).is_ok();
        }
        if !state.has_thread {
            state.waits.drain(..).for_each(Wait::end);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Watched {
    fn watch(&self) {
        loop {
            // Before the looks, so that no turn goes unnoticed.
            let seen = self.cache.catalog.turns();
            let Some(rest) = self.look() else { return };
            self.cache.catalog.await_turn(seen, rest);
        }
    }

    /// Ends the waits that may be over. Says for how long the others need no look if nobody acts;
    /// nothing if there are none.
    fn look(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        let waits = std::mem::take(&mut state.waits);
        if self.is_over.load(Ordering::Relaxed) {
            state.has_thread = false;
            return None;
        }
        let (over, waits): (Vec<_>, Vec<_>) =
            waits.into_iter().partition(|wait| wait.waiting.is_over(&self.cache));
        over.into_iter().for_each(Wait::end);
        let rest = waits.iter().map(|wait| wait.waiting.rest(&self.cache)).min();
        state.has_thread = rest.is_some();
        state.waits = waits;
        rest
    }
}

impl Wait {
    fn end(self) {
        (self.tell)((self.number, Some(self.waiting)));
    }
}
