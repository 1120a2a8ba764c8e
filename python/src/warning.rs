//! Warnings of Python.

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;

/// Warns the user, at the line that called us.
///
/// # Errors
///
/// The warning, if the user made warnings errors.
pub fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let text = std::ffi::CString::new(text.replace('\0', " "))?;
    PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, own_frames(py) + 1)
}

/// How many of the innermost frames are of this package.
fn own_frames(py: Python<'_>) -> i32 {
    // SAFETY: the interpreter is attached; a borrowed reference, or null if no Python runs here.
    let mut frame = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) };
    let mut count = 0;
    while let Some(here) = frame
        && is_own(&here).unwrap_or(false)
    {
        count += 1;
        frame = here.getattr(intern!(py, "f_back")).ok().filter(|outer| !outer.is_none());
    }
    count
}

fn is_own(frame: &Bound<'_, PyAny>) -> PyResult<bool> {
    let globals = frame.getattr(intern!(frame.py(), "f_globals"))?;
    let module: String = globals.get_item(intern!(frame.py(), "__name__"))?.extract()?;
    Ok(module == "thrifty" || module.starts_with("thrifty."))
}

/// Warns of what is no reason to stop: where the user made warnings errors, nothing is raised, and
/// it is written where errors are.
pub fn tell(py: Python<'_>, text: &str) {
    if let Err(warning) = warn(py, text) {
        warning.display(py);
    }
}
