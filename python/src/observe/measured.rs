//! What bodies measure: `thrifty.log_metric`.
//!
//! A measurement belongs to the innermost body of the thread that makes it, whether that body is
//! observed or not; one of a thread that a body started belongs to that body, if it is observed.

use std::cell::RefCell;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use thrifty_engine::annotations::{Annotations, Metric};
use thrifty_engine::record::Draft;

use super::thread;

/// How many are kept with a result: its record is to stay small.
const MOST: usize = 1_000;

thread_local! {
    /// What each body of this thread measured so far, the innermost last.
    static MEASURED: RefCell<Vec<Vec<Metric>>> = const { RefCell::new(Vec::new()) };
}

/// A body of this thread begins.
pub(super) fn begin() {
    MEASURED.with_borrow_mut(|bodies| bodies.push(Vec::new()));
}

/// The innermost body of this thread is over: what it measured.
pub(super) fn end() -> Vec<Metric> {
    MEASURED.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// In a forked child: the bodies of the parent are not here.
pub(super) fn forget() {
    MEASURED.with_borrow_mut(Vec::clear);
}

/// A value with what was measured while it was made; of very much the last.
pub(super) fn with(draft: Draft, mut metrics: Vec<Metric>) -> Draft {
    let more = metrics.len().saturating_sub(MOST);
    metrics.drain(..more);
    draft.annotated(Annotations { metrics, ..Annotations::default() })
}

/// Keeps a measurement with the result of the task that runs.
#[pyfunction]
#[pyo3(signature = (name, value, step = None))]
pub(super) fn log_metric(
    py: Python<'_>,
    name: String,
    value: &Bound<'_, PyAny>,
    step: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let wrong = |what: &str, given: &Bound<'_, PyAny>| {
        let text =
            format!("{what} of the metric {name:?} is {}", crate::value::digest::preview(given));
        PyTypeError::new_err(text)
    };
    let number = value.extract().map_err(|_| wrong("the value, which is a number,", value))?;
    let step =
        step.map(|step| step.extract().map_err(|_| wrong("the step, a whole number,", step)));
    if name.is_empty() {
        return Err(PyValueError::new_err("a metric needs a name"));
    }
    let metric = Metric { name, value: number, step: step.transpose()? };
    let is_kept = MEASURED.with_borrow_mut(|bodies| {
        let body = bodies.last_mut();
        body.map(|body| body.push(metric.clone())).is_some()
    });
    // A thread that was there before may be anybody's.
    if !is_kept && let Some(reader) = thread::readers(py).only() {
        reader.measure(metric);
    }
    Ok(())
}
