//! Whether this process is a clean one, made to execute one operation again.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use thrifty_engine::{Mode, Stream};
use thrifty_key::plain;

use super::body;
use super::context::Frame;
use super::ingredients::{Around, encode_result};
use super::on_disk::OnDisk;
use super::secret;
use super::seed;
use super::session::Session;
use super::task::Task;
use crate::observe::{Gathered, Watch, Wish};

/// An ordinary process.
const ORDINARY: u8 = 0;
/// A clean process that imports what it needs: modules may take from the cache.
const IMPORTING: u8 = 1;
/// A clean process that executes its operation, and all that this calls, without the cache.
const REPEATING: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(ORDINARY);

/// How every operation uses the cache here, whatever anybody chose.
pub fn mode() -> Option<Mode> {
    match STATE.load(Ordering::Relaxed) {
        ORDINARY => None,
        IMPORTING => Some(Mode::ReadOnly),
        _ => Some(Mode::Off),
    }
}

/// Whether this is a clean process, which leaves no history and checks nothing itself.
pub fn is_clean() -> bool {
    mode().is_some()
}

/// A check that was asked for in a clean process.
///
/// # Errors
///
/// `RuntimeError`: the program would start processes without end.
pub fn refuse_check() -> PyResult<()> {
    if !is_clean() {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "the main module of the program starts a check when it is imported: put that under \
         `if __name__ == \"__main__\":`",
    ))
}

/// Makes this process a clean one; it imports next.
#[pyfunction]
fn begin_clean() {
    STATE.store(IMPORTING, Ordering::Relaxed);
    // What fails here is told when it is over: what was secret in it stays known.
    std::mem::forget(secret::begin());
}

/// A value; what its body read; what it did that cannot be followed, in words.
type Repeated<'py> = (Bound<'py, PyAny>, Vec<String>, Vec<String>);

/// In a clean process: executes an operation without the cache, observed whatever it says. The
/// stream is what it draws from.
#[pyfunction]
fn repeat<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    stream: Option<[u8; 32]>,
) -> PyResult<Repeated<'py>> {
    let py = slf.py();
    let session = Session::current(py)?;
    let (name, scenery) = (slf.get().name(), session.scenery(py)?);
    let watch = Watch::begin(py, name, Wish::Observe, scenery, given(args, kwargs), None)?;
    STATE.store(REPEATING, Ordering::Relaxed);
    let value = execute(slf, args, kwargs, stream.map(Stream::from_bytes))?;
    let Gathered { observed, problem, notes, .. } = watch.end(py);
    let reads = observed.iter().map(|it| it.what.to_string()).collect();
    let notes = notes.into_iter().map(|note| format!("it {}", note.text()));
    let problem = problem.map(|problem| problem.text);
    Ok((value, reads, notes.chain(problem).collect()))
}

/// Where the files among the arguments are. What has no digest holds none that a key knows.
fn given(args: &Bound<'_, PyTuple>, kwargs: &Bound<'_, PyDict>) -> Vec<PathBuf> {
    let mut around = Around::of_arguments(None);
    for value in args.iter().chain(kwargs.values()) {
        _ = around.encode(&value, "argument", &mut plain::Writer::new());
    }
    OnDisk::new(around.into_files(), Arc::default()).paths()
}

fn execute<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    stream: Option<Stream>,
) -> PyResult<Bound<'py, PyAny>> {
    let task = slf.get();
    if task.is_workflow {
        return slf.call(args, Some(kwargs));
    }
    let options = task.run_options(slf.py(), &super::RunOptions::default())?;
    let value = seed::call_with(slf, args, kwargs, Frame::Running(options), stream)?;
    body::forced(&value)
}

/// The digest that a value has as the result of a task, in hexadecimal; `None` if it has none.
/// Without a task there is no annotation that says how it is hashed.
#[pyfunction]
#[pyo3(signature = (value, task = None))]
fn result_digest(
    value: &Bound<'_, PyAny>,
    task: Option<&Bound<'_, Task>>,
) -> PyResult<Option<String>> {
    let py = value.py();
    let hashed = match task {
        Some(task) => task.get().hooks(py)?.result.digest(value, "the result")?,
        None => None,
    };
    if let Some(digest) = hashed {
        return Ok(Some(digest.to_string()));
    }
    match encode_result(value) {
        Ok(encoded) => Ok(plain::digest(&encoded.bytes).ok().map(|digest| digest.to_string())),
        Err(error) if error.is_interrupt(py) => Err(super::error::unhashable(py, error)),
        Err(_) => Ok(None),
    }
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(begin_clean, module)?)?;
    module.add_function(wrap_pyfunction!(repeat, module)?)?;
    module.add_function(wrap_pyfunction!(result_digest, module)?)
}
