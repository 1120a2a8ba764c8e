//! The Python skin of Thrifty.

pub mod value;

use pyo3::prelude::*;

/// The native half of `thrifty`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    value::digest::register(module)?;
    value::codec::register(module)
}
