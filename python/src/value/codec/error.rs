//! What can go wrong between a value and its record.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::{PyTypeInfo, create_exception};

create_exception!(
    thrifty,
    NotStorable,
    PyException,
    "A value that no codec can keep; it is passed on and not stored."
);
create_exception!(
    thrifty,
    Unreadable,
    PyException,
    "A stored value that this program cannot read; the operation runs again."
);

/// The error for a stored value that does not make sense.
pub(super) fn unreadable(what: impl std::fmt::Display) -> PyErr {
    Unreadable::new_err(format!("the stored value cannot be read: {what}"))
}

/// What reading a stored value raised, as [`Unreadable`] with that as its cause.
///
/// Out of memory and Ctrl-C say nothing about the stored value and stay what they are.
pub(super) fn as_unreadable(py: Python<'_>, codec: &str, error: PyErr) -> PyErr {
    let is_exception = error.is_instance_of::<PyException>(py);
    if !is_exception
        || error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)
        || error.is_instance_of::<Unreadable>(py)
    {
        return error;
    }
    let wrapped = unreadable(format_args!("{codec}: {error}"));
    wrapped.set_cause(py, Some(error));
    wrapped
}

/// Adds the exceptions to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("NotStorable", NotStorable::type_object(py))?;
    module.add("Unreadable", Unreadable::type_object(py))
}
