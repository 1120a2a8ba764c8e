//! Which bodies a thread reads for.
//!
//! A thread that runs bodies reads for the innermost. A thread that a body started reads for that
//! body, as long as it runs. Any other thread, such as one of a pool that was there before,
//! may read for every body that runs now, so all of them get what it reads: that can cost a
//! rerun, never a stale result. Only the main thread is known to be the program's own.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_engine::catalog::Time;
use thrifty_engine::made_of::Parts;

use super::recorder::Recorder;
use super::remembered;

/// The attribute of a `threading.Thread` that says who started it.
const STARTED_BY: &str = "_thrifty_started_by";

thread_local! {
    /// The bodies that this thread runs, innermost last; none for one that is not observed.
    static HERE: RefCell<Vec<Option<Arc<Recorder>>>> = const { RefCell::new(Vec::new()) };
    /// Whether this thread is looking at something itself.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// The bodies that are observed now. Locked only with the interpreter attached and for a moment,
/// so that no fork can meet it locked.
static ACTIVE: Mutex<Vec<Arc<Recorder>>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether any body is observed now.
pub(super) fn is_anybody_watching() -> bool {
    COUNT.load(Ordering::Relaxed) > 0
}

/// The innermost body of this thread changes.
pub(super) fn push(recorder: Option<Arc<Recorder>>) {
    if let Some(recorder) = &recorder {
        let mut active = ACTIVE.lock();
        let elsewhere = active.iter().filter(|it| !is_here(it));
        let others = elsewhere.inspect(|it| it.accompany()).count();
        if others > 0 {
            recorder.accompany();
        }
        active.push(Arc::clone(recorder));
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
    HERE.with_borrow_mut(|here| here.push(recorder));
}

/// Whether this thread runs the body.
fn is_here(recorder: &Arc<Recorder>) -> bool {
    HERE.with_borrow(|here| here.iter().flatten().any(|it| Arc::ptr_eq(it, recorder)))
}

/// The innermost body of this thread, if it is observed.
pub(super) fn innermost() -> Option<Arc<Recorder>> {
    HERE.with_borrow(|here| here.last().cloned().flatten())
}

/// The innermost body of this thread is over.
pub(super) fn pop() {
    let over = HERE.with_borrow_mut(Vec::pop).flatten();
    if let Some(over) = over {
        over.end();
        let mut active = ACTIVE.lock();
        let before = active.len();
        active.retain(|it| !Arc::ptr_eq(it, &over));
        // A forked child has none of its parent's.
        COUNT.fetch_sub(before - active.len(), Ordering::Relaxed);
    }
}

/// The bodies that are observed now, in whatever thread.
pub(super) fn all() -> Vec<Arc<Recorder>> {
    ACTIVE.lock().clone()
}

/// One of them.
pub(super) fn any() -> Option<Arc<Recorder>> {
    ACTIVE.lock().first().cloned()
}

/// The bodies for which a thread works.
#[derive(Clone, Default)]
pub struct Readers {
    /// Those that it is known to work for.
    pub(super) known: Vec<Arc<Recorder>>,
    /// Those that it may work for. They get what it reads, and nothing else: it would be part of
    /// whatever runs at the same time.
    pub(super) others: Vec<Arc<Recorder>>,
}

impl Readers {
    /// These, and no others.
    pub(super) fn known(known: Vec<Arc<Recorder>>) -> Self {
        Self { known, others: Vec::new() }
    }

    fn anybody() -> Self {
        let mut others = all();
        let functions: Vec<_> = others.iter().map(|body| body.of_others()).collect();
        others.extend(functions);
        Self { known: Vec::new(), others }
    }

    /// All that get what the thread reads.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Recorder>> {
        self.known.iter().chain(&self.others)
    }

    /// Whether the thread works for nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.others.is_empty()
    }

    /// The only body that it may be, if it is the only one.
    pub(super) fn only(&self) -> Option<&Arc<Recorder>> {
        match (self.known.as_slice(), self.others.as_slice()) {
            ([body], _) | ([], [body, _]) => Some(body),
            _ => None,
        }
    }

    /// What an operation that was asked for them took.
    pub(super) fn take(&self, parts: &Parts, expires_at: Option<Time>) {
        for body in &self.known {
            body.take_parts(parts);
            body.expires(expires_at);
        }
    }
}

/// The bodies that this thread works for.
pub fn readers(py: Python<'_>) -> Readers {
    if !is_anybody_watching() {
        return Readers::default();
    }
    let here = HERE.with_borrow(|here| here.last().cloned());
    match here {
        Some(body) => Readers::known(body.into_iter().collect()),
        None => readers_elsewhere(py).unwrap_or_else(|_| Readers::anybody()),
    }
}

fn readers_elsewhere(py: Python<'_>) -> PyResult<Readers> {
    let threading = py.import(intern!(py, "threading"))?;
    // SAFETY: only reads the id of this thread.
    let id = unsafe { ffi::PyThread_get_thread_ident() };
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    if main.getattr(intern!(py, "ident"))?.extract::<std::os::raw::c_ulong>().ok() == Some(id as _)
    {
        return Ok(Readers::default());
    }
    let tag = tag(py)?.filter(|tag| tag.get().is_for_these);
    let running = tag.map(|tag| tag.get().running()).unwrap_or_default();
    Ok(if running.is_empty() { Readers::anybody() } else { Readers::known(running) })
}

/// By whom a thread was started.
#[pyclass(frozen, module = "thrifty._native")]
struct StartedBy {
    /// The bodies that ran then.
    bodies: Vec<Weak<Recorder>>,
    /// Whether it works for these alone.
    is_for_these: bool,
    /// What the functions read that remember, and within which it was started: as long as one of
    /// the bodies runs, since nobody tells when a function is over.
    functions: Vec<Weak<Recorder>>,
}

impl StartedBy {
    fn running(&self) -> Vec<Arc<Recorder>> {
        let bodies = self.bodies.iter().filter_map(Weak::upgrade);
        bodies.filter(|recorder| !recorder.is_over()).collect()
    }
}

fn tag(py: Python<'_>) -> PyResult<Option<Bound<'_, StartedBy>>> {
    // SAFETY: only reads the id of this thread.
    let id = unsafe { ffi::PyThread_get_thread_ident() };
    let threading = py.import(intern!(py, "threading"))?;
    let threads = threading.getattr(intern!(py, "_active"))?.cast_into::<PyDict>()?;
    let tag = threads.get_item(id)?.and_then(|thread| thread.getattr(STARTED_BY).ok());
    Ok(tag.and_then(|tag| tag.cast_into::<StartedBy>().ok()))
}

/// What the functions read within which this thread was started.
pub(super) fn started_within(py: Python<'_>) -> PyResult<Vec<Arc<Recorder>>> {
    let Some(tag) = tag(py)?.filter(|tag| !tag.get().functions.is_empty()) else {
        return Ok(Vec::new());
    };
    match tag.get().running().is_empty() {
        true => Ok(Vec::new()),
        false => Ok(tag.get().functions.iter().filter_map(Weak::upgrade).collect()),
    }
}

/// A thread is about to be started.
pub(super) fn starting(thread: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = thread.py();
    let Readers { known, .. } = readers(py);
    let is_for_these = !known.is_empty();
    let bodies = if is_for_these { known } else { all() };
    let Some(body) = bodies.first() else {
        return Ok(());
    };
    let functions = aside(|| remembered::within(py, body)).unwrap_or_else(|error| {
        bodies.iter().for_each(|body| body.trouble(&error.to_string()));
        Vec::new()
    });
    if !is_for_these && functions.is_empty() {
        return Ok(());
    }
    let weak = |all: &[Arc<Recorder>]| all.iter().map(Arc::downgrade).collect();
    let tag = StartedBy { bodies: weak(&bodies), is_for_these, functions: weak(&functions) };
    thread.setattr(STARTED_BY, Bound::new(py, tag)?)
}

/// Does something for the bodies that this thread reads for, and the functions that remember. What
/// goes wrong never reaches the user's code: what was read is not known then, so the results are
/// not stored.
pub(super) fn observing(py: Python<'_>, act: impl FnOnce(&[Arc<Recorder>]) -> PyResult<()>) {
    if !is_anybody_watching() || BUSY.replace(true) {
        return;
    }
    let mut told: Vec<_> = readers(py).all().cloned().collect();
    if let Some(body) = told.first().cloned().or_else(any) {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            told.extend(remembered::within(py, &body)?);
            if told.is_empty() { Ok(()) } else { act(&told) }
        }));
        let trouble = match done {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a defect of thrifty".to_owned()),
        };
        if let Some(trouble) = trouble {
            told.iter().for_each(|reader| reader.trouble(&trouble));
        }
    }
    BUSY.set(false);
}

/// Does something of which nothing is observed.
pub(super) fn aside<T>(act: impl FnOnce() -> T) -> T {
    let before = BUSY.replace(true);
    let done = act();
    BUSY.set(before);
    done
}

/// In a forked child: nobody gathers what it reads.
pub(super) fn forget() {
    COUNT.store(0, Ordering::Relaxed);
    HERE.with_borrow_mut(Vec::clear);
    ACTIVE.lock().clear();
}
