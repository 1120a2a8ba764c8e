//! Asking the libraries and functions of Python for the next trials of a search.

use std::path::Path;

use pyo3::intern;
use pyo3::prelude::*;
use thrifty_key::plain::Writer;

use crate::value::digest;

/// The module that knows them.
///
/// # Errors
///
/// What Python raised.
pub fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "thrifty._suggest"))
}

/// The answer to a question for trials, in the plain encoding.
///
/// # Errors
///
/// What was raised; an answer that is no value of JSON.
pub fn ask(question: &Bound<'_, PyAny>, base: &Path, by: &str) -> PyResult<Vec<u8>> {
    let py = question.py();
    let answer = module(py)?.call_method1(intern!(py, "ask"), (base, by, question))?;
    let mut writer = Writer::new();
    digest::encode(&answer, "suggestions", &mut writer, &mut digest::Alone)
        .map_err(|error| super::error::unhashable(py, error))?;
    Ok(writer.into_bytes())
}
