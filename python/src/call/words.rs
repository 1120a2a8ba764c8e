//! Durations and names as people write them, for the Python half.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use thrifty_engine::did_you_mean as closest;
use thrifty_engine::units;

/// The seconds that a text such as `1h30m` stands for.
#[pyfunction]
#[pyo3(signature = (text, /))]
fn parse_duration(text: &str) -> PyResult<f64> {
    let duration = units::parse_duration(text);
    duration.map(|it| it.as_secs_f64()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The end of an error message about an unknown name: what was meant, or what there is.
#[pyfunction]
#[pyo3(signature = (unknown, known, /))]
fn did_you_mean(unknown: &str, known: Vec<String>) -> String {
    closest(unknown, known.iter().map(String::as_str))
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(parse_duration, module)?)?;
    module.add_function(wrap_pyfunction!(did_you_mean, module)?)
}
