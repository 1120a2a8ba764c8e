//! Text of objects of Python.
//!
//! `Display` of PyO3 asks Python for the text, and Python looks for signals first: an interrupt
//! that arrives there is swallowed, and the text says that the object is unprintable. Some of
//! these texts end in keys. So text is read from what is text already, or asked for here.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// What an exception says. An interrupt that arrives meanwhile is raised by the next line of
/// Python.
pub fn message(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    let shown = value.str().or_else(|raised| {
        if raised.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py) {
            // SAFETY: only marks the signal as arrived.
            unsafe { ffi::PyErr_SetInterrupt() };
        }
        value.repr()
    });
    shown.map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}

/// The name of a class with its module; of those that need none, its own.
///
/// # Errors
///
/// What Python raised.
pub fn class_name(class: &Bound<'_, PyType>) -> PyResult<String> {
    let name: String = class.qualname()?.extract()?;
    let module = class.getattr(intern!(class.py(), "__module__"))?.extract::<String>();
    Ok(match module {
        Ok(module) if module != "builtins" && module != "__main__" => format!("{module}.{name}"),
        _ => name,
    })
}

/// The exception as Python shows it.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let text = || -> PyResult<String> {
        // Before Python 3.12, an error that was not raised again does not know its own traceback.
        let parts = (error.get_type(py), error.value(py), error.traceback(py));
        let lines = py.import("traceback")?.call_method1("format_exception", parts)?;
        Ok(lines.extract::<Vec<String>>()?.concat())
    };
    text().unwrap_or_else(|_| error.to_string())
}
