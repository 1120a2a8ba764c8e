//! Processes that multiprocessing started.
//!
//! They end without what is registered with `atexit`, and those of a `multiprocessing.Pool` are
//! killed when the block ends that they were made for.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};
use thrifty_engine::process;

/// Whether this process runs bodies for a program, which tells what is to be told.
static IS_WORKER: AtomicBool = AtomicBool::new(false);
/// Whether this process was started by multiprocessing, for something else.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

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
}

fn is_child(py: Python<'_>) -> PyResult<bool> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let process = modules.cast::<PyDict>()?.get_item(intern!(py, "multiprocessing.process"))?;
    match process {
        Some(process) => Ok(!process.call_method0(intern!(py, "parent_process"))?.is_none()),
        None => Ok(false),
    }
}
