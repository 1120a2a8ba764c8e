//! Bodies in other processes.
//!
//! A worker is told which task to call, which records its arguments have, and where the cache
//! is. It loads the arguments, calls the function, writes the large parts of the result to the
//! store, and returns a record: values never travel between the processes.

use std::sync::Arc;

use glob::Pattern;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use thrifty_engine::Mode;
use thrifty_engine::graph::{Failure, Made, Taken, Value};
use thrifty_engine::record::{Draft, Record};

use super::body;
use super::context::{self, Frame, RunOptions};
use super::handle::{self, Call, Handle};
use super::load;
use super::session::Session;
use super::task::Task;

/// Runs a call in a worker process.
pub fn run(
    py: Python<'_>,
    session: &Arc<Session>,
    call: &Arc<Call>,
    inputs: &[Taken],
) -> Result<Made, Failure> {
    let mut edge = None;
    let sent = send(py, session, call, inputs, &mut edge);
    let record = sent.map_err(|error| load::failure(py, error, edge))?;
    let object: Arc<dyn std::any::Any + Send + Sync> = Arc::new(load::Elsewhere);
    Ok(Made::new(object, Draft::Stored(record)))
}

fn send(
    py: Python<'_>,
    session: &Arc<Session>,
    call: &Arc<Call>,
    inputs: &[Taken],
    edge: &mut Option<usize>,
) -> PyResult<Record> {
    let (args, kwargs) = packed(py, session, call, inputs, edge)?;
    let submit = py.import(intern!(py, "thrifty._processes"))?.getattr(intern!(py, "submit"))?;
    let workers = session.workers(&call.run);
    let slf = call.task.bind(py);
    let bytes = submit.call1((slf, args, kwargs, workers, chosen(py, &call.run)?))?;
    Record::from_bytes(bytes.extract()?)
        .map_err(|error| super::error::Lost::new_err(error.to_string()))
}

/// The arguments of a call for another process, with references in the places of what is in the
/// cache. On an error, `edge` is the input that could not be had.
///
/// # Errors
///
/// [`super::error::Lost`] for such an input.
pub fn packed<'py>(
    py: Python<'py>,
    session: &Session,
    call: &Call,
    inputs: &[Taken],
    edge: &mut Option<usize>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let by_reference =
        py.import(intern!(py, "thrifty._processes"))?.getattr(intern!(py, "Reference"))?;
    let mut with = |handle: &Bound<'_, Handle>| {
        let number = call.takes.iter().position(|taken| taken.get().is_same(handle.get()));
        *edge = number;
        let taken = &inputs[number.unwrap_or(0)];
        match &taken.value {
            Value::Known(answer) => match answer.record.select(&taken.steps) {
                Some(part) => by_reference.call1((PyBytes::new(py, &part.to_bytes()),)),
                None => load::taken(py, session, taken),
            },
            Value::Live { .. } => load::taken(py, session, taken),
        }
    };
    let arguments: PyResult<Vec<_>> = call
        .arguments
        .iter()
        .map(|it| it.as_ref().map(|it| handle::substitute(it.bind(py), &mut with)).transpose())
        .collect();
    call.task.bind(py).get().parameters(py)?.unbind(py, &arguments?)
}

/// What was chosen for the run, for the tasks that the body calls.
fn chosen<'py>(py: Python<'py>, run: &RunOptions) -> PyResult<Bound<'py, PyDict>> {
    let chosen = PyDict::new(py);
    chosen.set_item("cache", run.mode.map(Mode::word))?;
    let refresh: Vec<_> = run.refresh.iter().map(Pattern::as_str).collect();
    chosen.set_item("refresh", refresh)?;
    Ok(chosen)
}

/// In a worker: the value behind a reference.
#[pyfunction]
fn dereference(py: Python<'_>, record: &[u8]) -> PyResult<Py<PyAny>> {
    let session = Session::current(py)?;
    let record = Record::from_bytes(record)
        .map_err(|error| super::error::Lost::new_err(error.to_string()))?;
    load::record(py, &session, &record).map(Bound::unbind)
}

/// In a worker: calls the function of a task and keeps its result in the store.
#[pyfunction]
fn perform<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    chosen: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = slf.py();
    let session = Session::current(py)?;
    let value = {
        let run = Arc::new(super::run::options(chosen)?);
        let _guard = context::enter(Frame::Running(run));
        slf.get().function.bind(py).call(args, Some(kwargs))?
    };
    let made = body::made(slf, &body::forced(&value)?)?;
    let draft = made.draft.map_err(crate::value::codec::NotStorable::new_err)?;
    let record = py
        .detach(|| session.cache.keep(draft))
        .map_err(|error| pyo3::exceptions::PyOSError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &record.to_bytes()))
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dereference, module)?)?;
    module.add_function(wrap_pyfunction!(perform, module)?)
}
