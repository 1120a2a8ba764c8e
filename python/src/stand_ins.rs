//! Which functions stand in the place of which.
//!
//! They are installed with the first body that is observed. What a program took of `os` before that
//! is what they stand for, what it takes later is a stand-in: to a key both are the same.

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::RwLock;
use pyo3::prelude::*;

/// A stand-in, which is kept so that its address stays its own, and what it stands for.
type Pair = (Py<PyAny>, Py<PyAny>);

/// By the addresses of the stand-ins.
static PAIRS: LazyLock<RwLock<HashMap<usize, Pair>>> = LazyLock::new(RwLock::default);

/// Keeps that a function stands in the place of another one.
#[pyfunction]
fn stands_for(new: Py<PyAny>, old: Py<PyAny>) {
    PAIRS.write().insert(new.as_ptr() as usize, (new, old));
}

/// The function in whose place a value stands; the value itself if it is no stand-in.
pub fn original<'py>(value: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let pairs = PAIRS.read();
    let pair = pairs.get(&(value.as_ptr() as usize));
    pair.map_or_else(|| value.clone(), |(_, old)| old.bind(value.py()).clone())
}

/// Adds the function of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(stands_for, module)?)
}
