//! One leader per key in this process.
//!
//! A leader holds a [`Lead`]; dropping it, on whatever path, wakes the followers. Followers that
//! would wait for a computation that itself waits for them are told so instead. A follower waits
//! on its thread, or is *parked*: it holds none, and has itself called when the leader has landed.
//!
//! Nobody waits where waiting gives nothing: after three failures of a key in a row, each computes.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use thrifty_key::Key;

use crate::answer::Answer;
use crate::graph::Failure;
use crate::timer::Timer;

/// After how many leaders of a key in a row that failed nobody waits for another: as many as the
/// catalog says of those in other processes.
const FAILURES: usize = 3;
/// Failures longer ago than this count no more.
const ALONE: Duration = Duration::from_secs(60);
/// So many failures are kept in mind.
const KEPT: usize = 256;

/// What a leader leaves behind.
#[derive(Clone)]
pub(crate) enum Landing {
    /// It has a result.
    Answer(Arc<Answer>),
    /// It failed, and waiters share the failure.
    Failure(Failure),
    /// It failed, which is nobody else's: somebody else may lead.
    Failed,
    /// It has a result that nobody else can have: whoever waited for it computes, all at once.
    Own,
    /// It ended without a result, which says nothing about the key: somebody else may lead.
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
    /// What is left by who says nothing, since it panicked.
    const FAILED: Self = Self { landing: Landing::Failed, epoch: None, began: Duration::ZERO };
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
pub(crate) struct Flights {
    board: Arc<Mutex<Board>>,
    timer: Arc<dyn Timer>,
}

#[derive(Default)]
struct Board {
    flights: HashMap<Key, Arc<Flight>>,
    /// Who waits for which flight, and how many did so far: each has a number.
    waiting: HashMap<u64, (Lineage, Arc<Flight>)>,
    waits: u64,
    /// Which keys failed, and when: oldest first, none that had a result since.
    failures: VecDeque<(Key, Duration)>,
}

/// What became of the wish to compute a key.
pub(crate) enum Claim<'a> {
    /// Compute it.
    Lead(Lead<'a>),
    /// Somebody else computed it meanwhile.
    Landed(Landed),
    /// Compute it beside who does: those before failed.
    Beside,
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
    Beside,
    /// As in [`Claim`].
    Cycle,
}

impl Flights {
    pub fn new(timer: Arc<dyn Timer>) -> Self {
        Self { board: Arc::default(), timer }
    }

    /// Whether nobody waits for another who computes this key, since those before failed.
    pub fn is_failing(&self, key: &Key) -> bool {
        self.board.lock().is_failing(key, self.timer.now())
    }

    /// Claims a key, or waits for who has it. While waiting, `interrupted` is asked a few times
    /// a second.
    pub fn claim(&self, key: &Key, interrupted: &dyn Fn() -> bool) -> Claim<'_> {
        match self.try_claim(key, lineage) {
            Attempt::Lead(lead) => Claim::Lead(lead),
            Attempt::Beside => Claim::Beside,
            Attempt::Cycle => Claim::Cycle,
            Attempt::Taken(follower) => {
                follower.flight.wait(interrupted).map_or(Claim::Interrupted, Claim::Landed)
            }
        }
    }

    /// Claims a key, if nobody has it. The lineage is of those who go on only when it lands.
    pub fn try_claim(&self, key: &Key, lineage: impl FnOnce() -> Lineage) -> Attempt<'_> {
        let mut board = self.board.lock();
        let Some(flight) = board.flights.get(key).cloned() else {
            let flight = Arc::new(Flight {
                key: *key,
                leader: thread::current().id(),
                landing: Mutex::new(None),
                landed: Condvar::new(),
                parked: Mutex::default(),
            });
            board.flights.insert(*key, Arc::clone(&flight));
            return Attempt::Lead(Lead { flights: self, flight, landed: Landed::FAILED });
        };
        let lineage = lineage();
        if board.leads_to(&flight, &lineage) {
            return Attempt::Cycle;
        }
        if board.is_failing(key, self.timer.now()) {
            return Attempt::Beside;
        }
        board.waits += 1;
        let number = board.waits;
        board.waiting.insert(number, (lineage, Arc::clone(&flight)));
        Attempt::Taken(Follower { board: Arc::clone(&self.board), number, flight })
    }

    /// The threads of a lineage, and all that go on only when one of these does.
    pub fn held_up(&self, lineage: &[ThreadId]) -> HashSet<ThreadId> {
        let board = self.board.lock();
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
    fn is_failing(&self, key: &Key, now: Duration) -> bool {
        let is_recent = |at: &Duration| now.saturating_sub(*at) < ALONE;
        let failures = self.failures.iter().filter(|(failed, at)| failed == key && is_recent(at));
        failures.count() >= FAILURES
    }

    /// Keeps in mind how a leader ended, as far as that says something about the key.
    fn note(&mut self, key: Key, landing: &Landing, now: Duration) {
        match landing {
            Landing::Answer(_) => self.failures.retain(|(failed, _)| *failed != key),
            Landing::Failure(_) | Landing::Failed => {
                if self.failures.len() == KEPT {
                    self.failures.pop_front();
                }
                self.failures.push_back((key, now));
            }
            Landing::Own | Landing::Nothing => {}
        }
    }

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
        let landed = std::mem::replace(&mut self.landed, Landed::FAILED);
        let (key, now) = (self.flight.key, self.flights.timer.now());
        // Noted before, so that whoever goes on finds it.
        self.flights.board.lock().note(key, &landed.landing, now);
        *self.flight.landing.lock() = Some(landed);
        self.flight.landed.notify_all();
        self.flights.board.lock().flights.remove(&key);
        let parked = std::mem::take(&mut *self.flight.parked.lock());
        parked.into_iter().for_each(|wake| wake());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use thrifty_key::Digest;

    use super::*;
    use crate::timer::Machine;

    fn flights() -> Flights {
        Flights::new(Arc::new(Machine))
    }

    fn lead(attempt: Attempt<'_>) -> Lead<'_> {
        match attempt {
            Attempt::Lead(lead) => lead,
            Attempt::Taken(_) | Attempt::Beside | Attempt::Cycle => {
                panic!("somebody else has it")
            }
        }
    }

    fn follow(attempt: Attempt<'_>) -> Follower {
        match attempt {
            Attempt::Taken(follower) => follower,
            Attempt::Lead(_) | Attempt::Beside | Attempt::Cycle => {
                panic!("nobody has it, or it is not to be waited for")
            }
        }
    }

    fn is_cycle(attempt: Attempt<'_>) -> bool {
        matches!(attempt, Attempt::Cycle)
    }

    /// This thread leads `a`, for which another waits that leads `b`.
    #[test]
    fn a_wait_counts_until_it_ends_or_what_it_is_for_has_landed() {
        let (flights, a, b) = (flights(), Digest::of_blob(b"a"), Digest::of_blob(b"b"));
        let me = thread::current().id();
        let wait = || {
            let led = lead(flights.try_claim(&a, lineage));
            thread::scope(|threads| {
                let other = threads.spawn(|| {
                    let leads = lead(flights.try_claim(&b, lineage));
                    (leads, follow(flights.try_claim(&a, lineage)), thread::current().id())
                });
                (led, other.join().unwrap())
            })
        };
        let (led, (leads, follower, other)) = wait();
        assert_eq!(flights.held_up(&[me]), [me, other].into());
        assert!(is_cycle(flights.try_claim(&b, lineage)));
        drop(follower);
        assert_eq!(flights.held_up(&[me]), [me].into(), "it waits no longer");
        drop(follow(flights.try_claim(&b, lineage)));
        drop((led, leads));

        let (led, (leads, follower, _)) = wait();
        drop(led);
        // It has not been told yet that it may go on.
        assert_eq!(flights.held_up(&[me]), [me].into());
        drop(follow(flights.try_claim(&b, lineage)));
        assert!(follower.landed().is_some());
        drop(leads);
        assert!(matches!(flights.claim(&b, &|| false), Claim::Lead(_)), "it was let go of");
    }

    #[test]
    fn who_works_for_others_holds_them_up_and_only_meanwhile() {
        let (flights, a, b) = (flights(), Digest::of_blob(b"a"), Digest::of_blob(b"b"));
        let me = thread::current().id();
        let led = lead(flights.try_claim(&a, lineage));
        let above = lineage();
        thread::scope(|threads| {
            let worker = || {
                let own = thread::current().id();
                on_behalf_of(above, || {
                    assert_eq!(*lineage(), [me, own]);
                    assert!(is_cycle(flights.try_claim(&a, lineage)), "it is for who leads it");
                    drop(lead(flights.try_claim(&b, lineage)));
                });
                assert_eq!(*lineage(), [own]);
                drop(follow(flights.try_claim(&a, lineage)));
            };
            threads.spawn(worker).join().unwrap();
        });
        drop(led);
    }

    #[test]
    fn those_are_held_up_too_who_wait_for_others_that_are() {
        let flights = flights();
        let keys = [b"a", b"b", b"c"].map(|name| Digest::of_blob(name));
        let me = thread::current().id();
        let led = lead(flights.try_claim(&keys[0], lineage));
        // Each leads one, and waits for the one before.
        let waiting = thread::scope(|threads| {
            [1, 2].map(|number| {
                let (flights, keys) = (&flights, &keys);
                let waiter = threads.spawn(move || {
                    let leads = lead(flights.try_claim(&keys[number], lineage));
                    let before = follow(flights.try_claim(&keys[number - 1], lineage));
                    (leads, before, thread::current().id())
                });
                waiter.join().unwrap()
            })
        });
        let [(_, _, second), (_, _, third)] = &waiting;
        assert_eq!(flights.held_up(&[me]), [me, *second, *third].into());
        assert_eq!(flights.held_up(&[*third]), [*third].into());
        assert!(is_cycle(flights.try_claim(&keys[2], lineage)));
        drop((led, waiting));
    }

    #[test]
    fn who_is_parked_is_woken_once_however_late_he_parks() {
        let (flights, key) = (flights(), Digest::of_blob(b"a"));
        let led = lead(flights.try_claim(&key, lineage));
        let follower = follow(flights.try_claim(&key, || [].into()));
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = || {
            let woken = Arc::clone(&woken);
            Box::new(move || _ = woken.fetch_add(1, Ordering::SeqCst))
        };
        follower.park(wake());
        assert!(follower.landed().is_none());
        assert_eq!(woken.load(Ordering::SeqCst), 0);
        led.land(Landed { epoch: Some(7), ..Landed::FAILED });
        assert_eq!(woken.load(Ordering::SeqCst), 1);
        follower.park(wake());
        assert_eq!(woken.load(Ordering::SeqCst), 2);
        assert_eq!(follower.landed().and_then(|landed| landed.epoch), Some(7));
    }

    #[test]
    fn who_gives_up_waits_no_longer() {
        let (flights, key) = (flights(), Digest::of_blob(b"a"));
        let (led, asked) = (lead(flights.try_claim(&key, lineage)), AtomicUsize::new(0));
        thread::scope(|threads| {
            let waiter = threads.spawn(|| {
                let gives_up = || asked.fetch_add(1, Ordering::SeqCst) > 0;
                matches!(flights.claim(&key, &gives_up), Claim::Interrupted)
            });
            // One that is asked further waits in vain no longer than this.
            while !waiter.is_finished() && asked.load(Ordering::SeqCst) < 9 {
                thread::yield_now();
            }
            drop(led);
            assert!(waiter.join().unwrap());
        });
    }
}
