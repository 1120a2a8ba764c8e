//! Processes that multiprocessing started.
//!
//! They end without what is registered with `atexit`, and those of a `multiprocessing.Pool` are
//! killed when the block ends that they were made for.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use thrifty_engine::process;

use crate::warning;

/// Whether this process runs bodies for a program, which tells what is to be told.
static IS_WORKER: AtomicBool = AtomicBool::new(false);
/// Whether this process was started by multiprocessing, for something else.
static IS_CHILD: AtomicBool = AtomicBool::new(false);
/// Whether it was told that this process cannot have workers.
static IS_TOLD: AtomicBool = AtomicBool::new(false);

/// After all that was registered by others, such as ends of threads that compute.
const LAST: i32 = -1000;

/// This process runs bodies for a program.
pub fn is_a_worker() {
    IS_WORKER.store(true, Ordering::Relaxed);
}

/// The process that this one runs bodies for, if it does and the system tells.
pub fn program() -> Option<String> {
    let parent = std::os::unix::process::parent_id();
    IS_WORKER.load(Ordering::Relaxed).then(|| process::identity_of(parent)).flatten()
}

/// Whether this process may be killed when it has nothing to do any more.
pub fn may_have_no_end() -> bool {
    IS_CHILD.load(Ordering::Relaxed) && !IS_WORKER.load(Ordering::Relaxed)
}

/// Sees to it that a session is closed at the end of a process that multiprocessing started.
///
/// # Errors
///
/// What Python raised.
pub fn at_end(py: Python<'_>) -> PyResult<()> {
    if !is_child(py)? || IS_CHILD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let close = py.import(intern!(py, "thrifty._native"))?.getattr(intern!(py, "close"))?;
    let finalize = py.import(intern!(py, "multiprocessing.util"))?.getattr("Finalize")?;
    let options = [("exitpriority", LAST)].into_py_dict(py)?;
    finalize.call((py.None(), close), Some(&options)).map(drop)
}

/// In a forked child: what was registered for the parent does not hold here.
pub fn after_fork() {
    IS_CHILD.store(false, Ordering::Relaxed);
    IS_WORKER.store(false, Ordering::Relaxed);
    IS_TOLD.store(false, Ordering::Relaxed);
}

/// Whether this process may start workers, which multiprocessing refuses to a daemonic one. That is
/// told once.
pub fn may_start(py: Python<'_>) -> bool {
    let is_daemonic = is_daemonic(py).unwrap_or(false);
    if is_daemonic && !IS_TOLD.swap(true, Ordering::Relaxed) {
        warning::tell(
            py,
            "executor=\"processes\" runs bodies in threads here: a daemonic process, as those of \
             multiprocessing.Pool are, may start no workers. Use executor=\"threads\", or \
             concurrent.futures.ProcessPoolExecutor in the place of the pool",
        );
    }
    !is_daemonic
}

fn is_daemonic(py: Python<'_>) -> PyResult<bool> {
    match processes(py)? {
        Some(processes) => {
            let current = processes.call_method0(intern!(py, "current_process"))?;
            current.getattr(intern!(py, "daemon"))?.extract()
        }
        None => Ok(false),
    }
}

fn is_child(py: Python<'_>) -> PyResult<bool> {
    match processes(py)? {
        Some(processes) => Ok(!processes.call_method0(intern!(py, "parent_process"))?.is_none()),
        None => Ok(false),
    }
}

/// What multiprocessing knows of this process, if that is loaded.
fn processes(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    modules.cast::<PyDict>()?.get_item(intern!(py, "multiprocessing.process"))
}
