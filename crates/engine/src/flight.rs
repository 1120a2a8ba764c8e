//! One leader per key in this process.
//!
//! A leader holds a [`Lead`]; dropping it, on whatever path, wakes the followers. Followers that
//! would wait for a computation that itself waits for them are told so instead. A follower waits
//! on its thread, or is *parked*: it holds none, and has itself called when the leader has landed.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use thrifty_key::Key;

use crate::answer::Answer;
use crate::graph::Failure;

/// What a leader leaves behind.
#[derive(Clone)]
pub(crate) enum Landing {
    /// It has a result.
    Answer(Arc<Answer>),
    /// It failed, and waiters share the failure.
    Failure(Failure),
    /// It ended without a result: somebody else may lead.
    Nothing,
}

/// What a leader leaves behind, and what it can know of.
#[derive(Clone)]
pub(crate) struct Landed {
    pub landing: Landing,
    /// The epoch of the catalog when the computation or the look began that led to it, if it is
    /// known: of what was invalidated later it knows nothing.
    pub epoch: Option<i64>,
    /// When it began, by the timer of the cache.
    pub began: Duration,
}

impl Landed {
    const NOTHING: Self = Self { landing: Landing::Nothing, epoch: None, began: Duration::ZERO };
}

/// A thread, and before it those on whose behalf it works: they go on only when it ends.
pub(crate) type Lineage = Arc<[ThreadId]>;

thread_local! {
    static ABOVE: RefCell<Option<Lineage>> = const { RefCell::new(None) };
}

/// The lineage of the current thread.
pub(crate) fn lineage() -> Lineage {
    let me = thread::current().id();
    ABOVE.with_borrow(|above| match above {
        Some(above) => above.iter().copied().chain([me]).collect(),
        None => [me].into(),
    })
}

/// Works on behalf of the threads above.
pub(crate) fn on_behalf_of<T>(above: Lineage, work: impl FnOnce() -> T) -> T {
    ABOVE.set(Some(above));
    let done = work();
    ABOVE.set(None);
    done
}

struct Flight {
    key: Key,
    leader: ThreadId,
    landing: Mutex<Option<Landed>>,
    landed: Condvar,
    parked: Mutex<Vec<Wake>>,
}

/// Called once, on the thread of the leader, when a flight has landed. Must be quick.
pub(crate) type Wake = Box<dyn FnOnce() + Send>;

/// The computations under way in this process.
#[derive(Default)]
pub(crate) struct Flights(Arc<Mutex<Board>>);

#[derive(Default)]
struct Board {
    flights: HashMap<Key, Arc<Flight>>,
    /// Who waits for which flight, and how many did so far: each has a number.
    waiting: HashMap<u64, (Lineage, Arc<Flight>)>,
    waits: u64,
}

/// What became of the wish to compute a key.
pub(crate) enum Claim<'a> {
    /// Compute it.
    Lead(Lead<'a>),
    /// Somebody else computed it meanwhile.
    Landed(Landed),
    /// Waiting would never end: this thread is, through others, part of that computation.
    Cycle,
    /// The caller gave up waiting.
    Interrupted,
}

/// What became of the wish to compute a key without waiting.
pub(crate) enum Attempt<'a> {
    /// Compute it.
    Lead(Lead<'a>),
    /// Somebody else computes it.
    Taken(Follower),
    /// As in [`Claim`].
    Cycle,
}

impl Flights {
    /// Claims a key, or waits for who has it. While waiting, `interrupted` is asked a few times
    /// a second.
    pub fn claim(&self, key: &Key, interrupted: &dyn Fn() -> bool) -> Claim<'_> {
        match self.try_claim(key, lineage) {
            Attempt::Lead(lead) => Claim::Lead(lead),
            Attempt::Cycle => Claim::Cycle,
            Attempt::Taken(follower) => {
                follower.flight.wait(interrupted).map_or(Claim::Interrupted, Claim::Landed)
            }
        }
    }

    /// Claims a key, if nobody has it. The lineage is of those who go on only when it lands.
    pub fn try_claim(&self, key: &Key, lineage: impl FnOnce() -> Lineage) -> Attempt<'_> {
        let mut board = self.0.lock();
        let Some(flight) = board.flights.get(key).cloned() else {
            let flight = Arc::new(Flight {
                key: *key,
                leader: thread::current().id(),
                landing: Mutex::new(None),
                landed: Condvar::new(),
                parked: Mutex::default(),
            });
            board.flights.insert(*key, Arc::clone(&flight));
            return Attempt::Lead(Lead { flights: self, flight, landed: Landed::NOTHING });
        };
        let lineage = lineage();
        if board.leads_to(&flight, &lineage) {
            return Attempt::Cycle;
        }
        board.waits += 1;
        let number = board.waits;
        board.waiting.insert(number, (lineage, Arc::clone(&flight)));
        Attempt::Taken(Follower { board: Arc::clone(&self.0), number, flight })
    }

    /// The threads of a lineage, and all that go on only when one of these does.
    pub fn held_up(&self, lineage: &[ThreadId]) -> HashSet<ThreadId> {
        let board = self.0.lock();
        let mut held_up: HashSet<_> = lineage.iter().copied().collect();
        loop {
            let before = held_up.len();
            for (waiters, flight) in board.waiting.values() {
                if held_up.contains(&flight.leader) && flight.landing.lock().is_none() {
                    held_up.extend(waiters.iter().copied());
                }
            }
            if held_up.len() == before {
                return held_up;
            }
        }
    }
}

/// A wait for somebody else's computation, until it is dropped.
pub(crate) struct Follower {
    board: Arc<Mutex<Board>>,
    number: u64,
    flight: Arc<Flight>,
}

impl Follower {
    /// Has `wake` called when the flight lands, or at once if it has.
    pub fn park(&self, wake: Wake) {
        let landing = self.flight.landing.lock();
        if landing.is_none() {
            // Within the lock: a landing looks here after it has taken it.
            return self.flight.parked.lock().push(wake);
        }
        drop(landing);
        wake();
    }

    /// What the leader left behind, if it has landed.
    pub fn landed(&self) -> Option<Landed> {
        self.flight.landing.lock().clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.board.lock().waiting.remove(&self.number);
    }
}

impl Board {
    /// Whether the flight cannot land before the last thread of the lineage goes on: its leader
    /// is one of them, or waits, itself or through threads that work for it, for such a flight.
    fn leads_to(&self, flight: &Flight, lineage: &[ThreadId]) -> bool {
        let mut seen = HashSet::new();
        let mut leaders = vec![flight.leader];
        while let Some(leader) = leaders.pop() {
            if lineage.contains(&leader) {
                return true;
            }
            if seen.insert(leader) {
                let held_up = self.waiting.values().filter(|(waiter, flight)| {
                    waiter.contains(&leader) && flight.landing.lock().is_none()
                });
                leaders.extend(held_up.map(|(_, flight)| flight.leader));
            }
        }
        false
    }
}

impl Flight {
    fn wait(&self, interrupted: &dyn Fn() -> bool) -> Option<Landed> {
        let mut landing = self.landing.lock();
        loop {
            if let Some(landing) = &*landing {
                return Some(landing.clone());
            }
            let timeout = self.landed.wait_for(&mut landing, Duration::from_millis(50));
            if timeout.timed_out() && landing.is_none() {
                let stop = parking_lot::MutexGuard::unlocked(&mut landing, interrupted);
                if stop {
                    return None;
                }
            }
        }
    }
}

/// The right and duty to compute a key.
pub(crate) struct Lead<'a> {
    flights: &'a Flights,
    flight: Arc<Flight>,
    landed: Landed,
}

impl Lead<'_> {
    /// Says what the followers are to get, and ends the flight.
    pub fn land(mut self, landed: Landed) {
        self.landed = landed;
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        // Landed before it is taken off the board: who still waits for it is held up no longer.
        let landed = std::mem::replace(&mut self.landed, Landed::NOTHING);
        *self.flight.landing.lock() = Some(landed);
        self.flight.landed.notify_all();
        self.flights.0.lock().flights.remove(&self.flight.key);
        let parked = std::mem::take(&mut *self.flight.parked.lock());
        parked.into_iter().for_each(|wake| wake());
    }
}
