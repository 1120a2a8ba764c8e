//! Mappings that a call was given to read from, of which only what its body reads counts.
//!
//! While a call lasts, its mappings stand in the [`Frame`]s of its thread: lookups look there for
//! what an entry of the call observed. A view of a mapping knows its frame and tells it of each
//! read, from whatever thread; the frame tells the bodies that began within it. What a call made
//! further inside was given is not theirs: they made it themselves.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use thrifty_engine::observed::{Aspect, Observation, Observed, State};
use thrifty_key::Digest;

use super::Recorder;
use crate::value::codec::NotStorable;

thread_local! {
    /// The frames of the calls of this thread, the innermost last.
    static FRAMES: RefCell<Vec<Arc<Given>>> = const { RefCell::new(Vec::new()) };
}

thread_local! {
    /// Whether the result of a body is being taken apart.
    static IS_OVER: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Takes the result of a body apart. A body that is over is told of no reads, so a mapping that
/// stands in its result must refuse them.
pub fn after_body<T>(act: impl FnOnce() -> T) -> T {
    let before = IS_OVER.replace(true);
    let done = act();
    IS_OVER.set(before);
    done
}

/// One mapping that a call was given, under a name that no other call uses.
struct Given {
    root: String,
    mapping: Py<PyAny>,
    recorders: Mutex<Vec<Arc<Recorder>>>,
}

/// One mapping that a call was given, for Python.
#[pyclass(frozen, module = "thrifty._native")]
pub struct Frame(Arc<Given>);

#[pymethods]
impl Frame {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match Arc::strong_count(&self.0) {
            1 => visit.call(&self.0.mapping),
            _ => Ok(()),
        }
    }

    #[new]
    fn new(root: String, mapping: Py<PyAny>) -> Self {
        Self(Arc::new(Given { root, mapping, recorders: Mutex::default() }))
    }

    /// The name that it has here.
    #[getter]
    fn root(&self) -> &str {
        &self.0.root
    }

    /// Whether the calls of this thread were given it.
    fn is_entered(&self) -> bool {
        FRAMES.with_borrow(|frames| frames.iter().any(|frame| Arc::ptr_eq(frame, &self.0)))
    }

    /// The call that was given the mapping begins.
    fn enter(&self) {
        FRAMES.with_borrow_mut(|frames| frames.push(Arc::clone(&self.0)));
    }

    /// It is over.
    fn leave(&self) {
        FRAMES.with_borrow_mut(|frames| {
            let last = frames.iter().rposition(|frame| Arc::ptr_eq(frame, &self.0));
            last.map(|last| frames.remove(last))
        });
    }

    /// An entry of it is read.
    fn reads(&self, py: Python<'_>, aspect: &str, pointer: &str) -> PyResult<()> {
        if IS_OVER.get() {
            return Err(NotStorable::new_err(
                "the result holds parameters that the task was given to read from: return \
                 params.to_dict(), or what is needed of it",
            ));
        }
        let aspect = Aspect::from_word(aspect)
            .ok_or_else(|| PyValueError::new_err(format!("there is no aspect {aspect:?}")))?;
        let recorders = self.0.recorders.lock().clone();
        if recorders.is_empty() {
            return Ok(());
        }
        let state = self.0.state(py, aspect, pointer)?;
        let what = Observed::Parameter(aspect, format!("{}{pointer}", self.0.root));
        let observation = Observation { what, state };
        let open = recorders.iter().filter(|recorder| !recorder.is_over());
        open.for_each(|recorder| recorder.absorb(std::slice::from_ref(&observation)));
        Ok(())
    }
}

impl Given {
    fn state(&self, py: Python<'_>, aspect: Aspect, pointer: &str) -> PyResult<State> {
        let module = py.import(intern!(py, "thrifty._params"))?;
        let asked = (&self.mapping, aspect.word(), pointer);
        let digest = module.call_method1(intern!(py, "state"), asked)?;
        match digest.extract::<Option<String>>()? {
            None => Ok(State::Absent),
            Some(text) => match text.parse::<Digest>() {
                Ok(digest) => Ok(State::Digest(digest)),
                Err(_) => Err(PyValueError::new_err(format!("{text:?} is no digest"))),
            },
        }
    }
}

/// What there is now in the mappings that the call of this thread was given; `None` if it was
/// given none of that name, or if that cannot be told.
pub fn parameter(aspect: Aspect, path: &str) -> Option<State> {
    let (root, pointer) = path.split_at(path.find('/').unwrap_or(path.len()));
    let frame = FRAMES.with_borrow(|frames| {
        frames.iter().rev().find(|frame| frame.root == root).map(Arc::clone)
    })?;
    Python::attach(|py| super::aside(|| frame.state(py, aspect, pointer).ok()))
}

/// A body begins within the calls of this thread: it is told what is read of their mappings.
/// Their names.
pub(super) fn begin(recorder: &Arc<Recorder>) {
    FRAMES.with_borrow(|frames| {
        for frame in frames {
            frame.recorders.lock().push(Arc::clone(recorder));
        }
    });
}

/// Whether the calls of this thread were given mappings to read from.
pub fn is_given_parameters() -> bool {
    FRAMES.with_borrow(|frames| !frames.is_empty())
}

/// The names of the mappings that the calls of this thread were given.
pub(super) fn roots() -> Vec<String> {
    FRAMES.with_borrow(|frames| frames.iter().map(|frame| frame.root.clone()).collect())
}
