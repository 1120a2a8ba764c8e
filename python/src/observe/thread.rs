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

/// The innermost body of this thread is over; the one around it, if that is observed.
pub(super) fn pop() -> Option<Arc<Recorder>> {
    let over = HERE.with_borrow_mut(Vec::pop).flatten();
    if let Some(over) = over {
        over.end();
        let mut active = ACTIVE.lock();
        let before = active.len();
        active.retain(|it| !Arc::ptr_eq(it, &over));
        // A forked child has none of its parent's.
        COUNT.fetch_sub(before - active.len(), Ordering::Relaxed);
    }
    HERE.with_borrow(|here| here.last().cloned().flatten())
}

/// The bodies that are observed now, in whatever thread.
pub(super) fn all() -> Vec<Arc<Recorder>> {
    ACTIVE.lock().clone()
}

/// The bodies that this thread reads for.
pub(super) fn readers(py: Python<'_>) -> Vec<Arc<Recorder>> {
    let (known, is_known) = known_readers(py);
    if is_known { known } else { all() }
}

/// The bodies that this thread is known to read for, and whether it is known to read for no other.
pub(super) fn known_readers(py: Python<'_>) -> (Vec<Arc<Recorder>>, bool) {
    let here = HERE.with_borrow(|here| here.last().cloned());
    match here {
        Some(Some(recorder)) => (vec![recorder], true),
        Some(None) => (Vec::new(), true),
        None => readers_elsewhere(py).unwrap_or_default(),
    }
}

fn readers_elsewhere(py: Python<'_>) -> PyResult<(Vec<Arc<Recorder>>, bool)> {
    let threading = py.import(intern!(py, "threading"))?;
    // SAFETY: only reads the id of this thread.
    let id = unsafe { ffi::PyThread_get_thread_ident() };
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    if main.getattr(intern!(py, "ident"))?.extract::<std::os::raw::c_ulong>().ok() == Some(id as _)
    {
        return Ok((Vec::new(), true));
    }
    let threads = threading.getattr(intern!(py, "_active"))?.cast_into::<PyDict>()?;
    let tag = threads.get_item(id)?.and_then(|thread| thread.getattr(STARTED_BY).ok());
    let started_by = match tag.as_ref().map(|tag| tag.cast::<StartedBy>()) {
        Some(Ok(tag)) => tag.get().0.iter().filter_map(Weak::upgrade).collect(),
        _ => Vec::new(),
    };
    let mut running = started_by;
    running.retain(|recorder: &Arc<Recorder>| !recorder.is_over());
    let is_known = !running.is_empty();
    Ok((running, is_known))
}

/// The bodies that a thread was started by.
#[pyclass(frozen, module = "thrifty._native")]
struct StartedBy(Vec<Weak<Recorder>>);

/// A thread is about to be started.
pub(super) fn starting(thread: &Bound<'_, PyAny>) -> PyResult<()> {
    let readers = readers(thread.py());
    if readers.is_empty() {
        return Ok(());
    }
    let tag = StartedBy(readers.iter().map(Arc::downgrade).collect());
    thread.setattr(STARTED_BY, Bound::new(thread.py(), tag)?)
}

/// Does something for the bodies that this thread reads for. What goes wrong never reaches the
/// user's code: what was read is not known then, so the results are not stored.
pub(super) fn observing(py: Python<'_>, act: impl FnOnce(&[Arc<Recorder>]) -> PyResult<()>) {
    if !is_anybody_watching() || BUSY.replace(true) {
        return;
    }
    let readers = readers(py);
    if let Some(body) = readers.first() {
        let all = || {
            let mut all = readers.clone();
            all.extend(remembered::within(py, body)?);
            act(&all)
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(all));
        let trouble = match done {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("a defect of thrifty".to_owned()),
        };
        if let Some(trouble) = trouble {
            readers.iter().for_each(|reader| reader.trouble(&trouble));
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
