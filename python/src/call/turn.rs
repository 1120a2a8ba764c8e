//! Turns: who may use the random number generators that a process has only once.
//!
//! The generators of `random`, numpy and others belong to the process. A body that is seeded
//! therefore runs *alone*: no other body runs while it does. All others run *together*. Nothing
//! of this costs a process in which nothing is seeded.
//!
//! A body that calls into Thrifty may wait for another body, and must not keep that one out: its
//! turn is *paused* until the call returns, and its generators are put aside. The call may come
//! from a thread that the body started: `thrifty._threads` tells [`thread_starts`] of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::lock_api::GuardNoSend;
use parking_lot::{Condvar, Mutex};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::session;
use crate::observe;

/// How long a thread waits before it looks for signals.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long a wait is worth a word.
const LONG: Duration = Duration::from_secs(60);
const WAITING: &str = "a task waits for its turn: while a seeded task runs, no other does in its process. Tasks with a \
     parameter `rng` run side by side, and so do those with `seed=None`; with executor=\"processes\" all do";

/// The attribute of a `threading.Thread` that holds the turn of the body that started it.
const STARTED_BY: &str = "_thrifty_turn";

/// Whether anything in this process may be seeded.
static IN_USE: AtomicBool = AtomicBool::new(false);
/// Whether somebody who waits has said so.
static TOLD: AtomicBool = AtomicBool::new(false);
static ROOM: Mutex<Room> = Mutex::new(Room::new());
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// The turns of the bodies that this thread runs, each called by the one before.
    static TURNS: RefCell<Vec<Arc<Turn>>> = const { RefCell::new(Vec::new()) };
}

/// Who is inside. Its lock is never held by a thread that waits for the interpreter.
struct Room {
    alone: bool,
    together: usize,
    places: BTreeMap<u64, Place>,
    last: u64,
}

/// Where one turn stands.
#[derive(Clone, Copy)]
struct Place {
    is_alone: bool,
    stage: Stage,
    /// How many calls into Thrifty the body has under way.
    calls: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It may draw.
    Inside,
    /// A thread is putting its generators in place or aside.
    Moving,
    /// Others may be inside.
    Paused,
}

impl Room {
    const fn new() -> Self {
        Self { alone: false, together: 0, places: BTreeMap::new(), last: 0 }
    }

    /// Takes the room for one more, if there is.
    fn take(&mut self, is_alone: bool) -> bool {
        let is_free = !self.alone && (!is_alone || self.together == 0);
        if is_free {
            self.alone = is_alone;
            self.together += usize::from(!is_alone);
        }
        is_free
    }

    fn leave(&mut self, is_alone: bool) {
        if is_alone {
            self.alone = false;
        } else {
            self.together -= 1;
        }
    }

    fn enter(&mut self, is_alone: bool) -> Option<u64> {
        let is_in = self.take(is_alone);
        is_in.then(|| {
            self.last += 1;
            self.places.insert(self.last, Place { is_alone, stage: Stage::Inside, calls: 0 });
            self.last
        })
    }

    /// Begins a call of the body; `Some(true)` for the one that has to put its generators aside.
    fn begin_call(&mut self, id: u64) -> Option<bool> {
        let Some(place) = self.places.get_mut(&id) else {
            return Some(false);
        };
        if place.stage == Stage::Moving {
            return None;
        }
        place.calls += 1;
        let is_first = place.stage == Stage::Inside;
        if is_first {
            place.stage = Stage::Moving;
        }
        Some(is_first)
    }

    /// After the end of a call; `Some(true)` for the one that has to put the generators back.
    fn resume(&mut self, id: u64) -> Option<bool> {
        let Some(Place { is_alone, stage, calls }) = self.places.get(&id).copied() else {
            return Some(false);
        };
        if stage != Stage::Paused || calls > 0 {
            return Some(false);
        }
        let is_in = self.take(is_alone);
        is_in.then(|| self.stage(id, Stage::Moving))
    }

    fn stage(&mut self, id: u64, stage: Stage) -> bool {
        let place = self.places.get_mut(&id);
        place.map(|place| place.stage = stage).is_some()
    }

    /// Begins the end of a turn; `Some(true)` if its generators are in place.
    fn begin_end(&mut self, id: u64) -> Option<bool> {
        match self.places.get(&id).map(|place| place.stage) {
            Some(Stage::Moving) => None,
            Some(Stage::Inside) => Some(self.stage(id, Stage::Moving)),
            Some(Stage::Paused) | None => Some(false),
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id)
            && place.stage != Stage::Paused
        {
            self.leave(place.is_alone);
        }
    }
}

/// Waits until `step` gives something, with the interpreter free for others.
fn wait<T: Send>(
    py: Python<'_>,
    mut step: impl FnMut(&mut Room) -> Option<T> + Send,
) -> PyResult<T> {
    let begun = Instant::now();
    loop {
        let found = step(&mut ROOM.lock());
        let found = found.or_else(|| py.detach(|| step_or_wait(&mut step)));
        if let Some(found) = found {
            CHANGED.notify_all();
            return Ok(found);
        }
        py.check_signals()?;
        if begun.elapsed() > LONG && !TOLD.swap(true, Ordering::Relaxed) {
            // Where warnings are errors, this is none: the body has not begun.
            _ = session::warn(py, WAITING);
        }
    }
}

fn step_or_wait<T>(step: &mut impl FnMut(&mut Room) -> Option<T>) -> Option<T> {
    let mut room = ROOM.lock();
    let found = step(&mut room);
    if found.is_none() {
        CHANGED.wait_for(&mut room, PATIENCE);
    }
    found
}

/// The turn of one body.
pub struct Turn {
    id: u64,
    /// The generators that are seeded for it; none if it runs together with others.
    generators: Option<Py<PyAny>>,
}

impl Turn {
    /// Puts its generators aside, and lets others in.
    fn pause(&self, py: Python<'_>) -> PyResult<()> {
        if !wait(py, |room| room.begin_call(self.id))? {
            return Ok(());
        }
        let aside = self.generators(py, "put_aside");
        let mut room = ROOM.lock();
        if let Some(place) = room.places.get(&self.id).copied() {
            room.stage(self.id, Stage::Paused);
            room.leave(place.is_alone);
        }
        drop(room);
        CHANGED.notify_all();
        aside
    }

    /// Waits until it may go on, and puts its generators back.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(place) = ROOM.lock().places.get_mut(&self.id) {
            place.calls -= 1;
        }
        if !wait(py, |room| room.resume(self.id))? {
            return Ok(());
        }
        let back = self.generators(py, "put_in_place");
        ROOM.lock().stage(self.id, Stage::Inside);
        CHANGED.notify_all();
        back
    }

    fn generators(&self, py: Python<'_>, step: &str) -> PyResult<()> {
        match &self.generators {
            // What they read of the environment is no matter of the body.
            Some(generators) => observe::aside(|| generators.call_method0(py, step)).map(drop),
            None => Ok(()),
        }
    }
}

/// The turn of the body that this thread runs, while it does.
struct Taken(Arc<Turn>);

impl Taken {
    fn new(py: Python<'_>, generators: Option<Py<PyAny>>) -> PyResult<Self> {
        py.import(intern!(py, "thrifty._threads"))?;
        let is_alone = generators.is_some();
        let id = wait(py, |room| room.enter(is_alone))?;
        let turn = Arc::new(Turn { id, generators });
        TURNS.with_borrow_mut(|turns| turns.push(Arc::clone(&turn)));
        let taken = Self(turn);
        taken.0.generators(py, "put_in_place")?;
        Ok(taken)
    }

    /// Puts the generators of the program back.
    fn end(self, py: Python<'_>) -> PyResult<()> {
        match wait(py, |room| room.begin_end(self.0.id))? {
            true => self.0.generators(py, "end"),
            false => Ok(()),
        }
    }
}

impl Drop for Taken {
    /// Whatever happened, others can go on.
    fn drop(&mut self) {
        TURNS.with_borrow_mut(|turns| turns.retain(|turn| turn.id != self.0.id));
        ROOM.lock().end(self.0.id);
        CHANGED.notify_all();
    }
}

/// Runs a body in a turn of its own: alone, with these generators in place, or together with
/// others.
///
/// # Errors
///
/// What the body raises; what setting generators raises; an interrupt while it waited.
pub fn run<'py>(
    py: Python<'py>,
    generators: Option<Py<PyAny>>,
    body: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if !IN_USE.load(Ordering::Relaxed) {
        return body();
    }
    paused(py, || {
        let taken = Taken::new(py, generators)?;
        let value = body();
        let ended = taken.end(py);
        value.and_then(|value| ended.map(|()| value))
    })
}

/// Does what may wait for other bodies, with the turn of the body that calls paused.
///
/// # Errors
///
/// As [`run`].
pub fn paused<T>(py: Python<'_>, work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let Some(turn) = current(py) else {
        return work();
    };
    turn.pause(py)?;
    let done = work();
    let resumed = turn.resume(py);
    done.and_then(|done| resumed.map(|()| done))
}

/// The turn of the body that this thread runs, or that started this thread.
fn current(py: Python<'_>) -> Option<Arc<Turn>> {
    if !IN_USE.load(Ordering::Relaxed) {
        return None;
    }
    let own = TURNS.with_borrow(|turns| turns.last().cloned());
    own.or_else(|| started_by(py).ok().flatten())
}

/// The turn that was left on the object of this thread. `threading.current_thread` would make an
/// object for a thread that has none.
fn started_by(py: Python<'_>) -> PyResult<Option<Arc<Turn>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let Some(threading) = modules.cast::<PyDict>()?.get_item(intern!(py, "threading"))? else {
        return Ok(None);
    };
    // SAFETY: only reads the id of this thread.
    let ident = unsafe { ffi::PyThread_get_thread_ident() };
    let active = threading.getattr(intern!(py, "_active"))?;
    let Some(thread) = active.cast::<PyDict>()?.get_item(ident)? else {
        return Ok(None);
    };
    let turn = thread.getattr_opt(STARTED_BY)?;
    Ok(turn.and_then(|turn| turn.cast_into::<Started>().ok()).map(|it| Arc::clone(&it.get().0)))
}

/// What a thread remembers of the body that started it.
#[pyclass(frozen, module = "thrifty._native")]
struct Started(Arc<Turn>);

/// From now on, bodies take turns.
pub fn begin_use() {
    IN_USE.store(true, Ordering::Relaxed);
}

/// A thread that a body starts belongs to the body.
#[pyfunction]
fn thread_starts(thread: &Bound<'_, PyAny>) -> PyResult<()> {
    let Some(turn) = current(thread.py()) else {
        return Ok(());
    };
    thread.setattr(STARTED_BY, Bound::new(thread.py(), Started(turn))?)
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(thread_starts, module)?)
}

/// In a forked child: the bodies of other threads are not here.
pub fn after_fork() {
    if ROOM.try_lock().is_none() {
        // SAFETY: the thread that held the lock is not in this process.
        unsafe { ROOM.force_unlock(GuardNoSend::new()) };
    }
    let own: Vec<u64> = TURNS.with_borrow(|turns| turns.iter().map(|turn| turn.id).collect());
    let mut room = ROOM.lock();
    room.places.retain(|id, _| own.contains(id));
    let inside = room.places.values().filter(|place| place.stage != Stage::Paused);
    let (alone, together): (Vec<_>, Vec<_>) =
        inside.copied().partition(|place: &Place| place.is_alone);
    (room.alone, room.together) = (!alone.is_empty(), together.len());
}
