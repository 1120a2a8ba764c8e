//! The Python skin of Thrifty.

mod code;

use pyo3::prelude::*;

/// The native half of `thrifty`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    code::register(module)
}
