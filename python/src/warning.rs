//! Warnings of Python.

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;

/// Warns the user.
///
/// # Errors
///
/// The warning, if the user made warnings errors.
pub fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let text = std::ffi::CString::new(text.replace('\0', " "))?;
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 2)
}

/// Warns of what is no reason to stop: where the user made warnings errors, nothing is raised, and
/// it is written where errors are.
pub fn tell(py: Python<'_>, text: &str) {
    if let Err(warning) = warn(py, text) {
        warning.display(py);
    }
}
