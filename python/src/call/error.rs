//! The exceptions of the package, and how errors of the engine become them.

use pyo3::exceptions::{PyException, PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use thrifty_engine::graph::Loss;

use crate::value::digest::{Reason, Unhashable as NoDigest};

pyo3::create_exception!(
    thrifty,
    UnhashableArgument,
    PyTypeError,
    "An argument has no digest, so that a change of it would go unnoticed."
);
pyo3::create_exception!(
    thrifty,
    ArgumentChanged,
    PyException,
    "An argument was changed between the call in the workflow and the run of the operation."
);
pyo3::create_exception!(
    thrifty,
    HandleError,
    PyTypeError,
    "A handle was used as if it were the value that it stands for."
);
pyo3::create_exception!(
    thrifty,
    CacheUnavailable,
    PyRuntimeError,
    "The cache cannot be opened, or did not store a result; raised only where THRIFTY_STRICT is set."
);
pyo3::create_exception!(
    thrifty._native,
    Lost,
    PyException,
    "A value is in the cache no longer. Told by worker processes, too."
);
pyo3::create_exception!(thrifty._native, Garbled, Lost, "The bytes of a value make no sense here.");

/// In what way a value was lost.
pub fn loss(py: Python<'_>, lost: &PyErr) -> Loss {
    if lost.is_instance_of::<Garbled>(py) { Loss::Sense } else { Loss::Bytes }
}

/// The exception for an argument without a digest. What ends the program passes through.
pub fn unhashable(py: Python<'_>, error: NoDigest) -> PyErr {
    let interrupt = error.is_interrupt(py);
    let message = error.message();
    match error.reason {
        Reason::Raised(cause) | Reason::Hook { error: cause, .. } if interrupt => *cause,
        // A file that is not there is no question of how to hash it.
        Reason::Raised(cause) if cause.is_instance_of::<PyOSError>(py) => {
            let text = format!("{}: {}", error.path, crate::shown::message(py, &cause));
            PyErr::from_type(cause.get_type(py), (text,))
        }
        Reason::Raised(cause) | Reason::Hook { error: cause, .. } => {
            let error = UnhashableArgument::new_err(message);
            error.set_cause(py, Some(*cause));
            error
        }
        _ => UnhashableArgument::new_err(message),
    }
}

/// The exception for a configuration that makes no sense.
pub fn configuration(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Adds the exceptions.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("UnhashableArgument", py.get_type::<UnhashableArgument>())?;
    module.add("ArgumentChanged", py.get_type::<ArgumentChanged>())?;
    module.add("CacheUnavailable", py.get_type::<CacheUnavailable>())?;
    module.add("Lost", py.get_type::<Lost>())?;
    module.add("Garbled", py.get_type::<Garbled>())?;
    module.add("HandleError", py.get_type::<HandleError>())
}
