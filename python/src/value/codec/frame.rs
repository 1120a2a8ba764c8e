//! `frame/1`: frames, series and indexes of pandas, as raw buffers.
//!
//! What they consist of is pandas' own affair, so `thrifty/_frame.py` takes them apart and puts
//! them together; the header is its description. A frame with parts that only a pickle can hold
//! is `frame+pickle/1`, so that a policy against pickles can tell by the name.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use thrifty_engine::record::Buffer;

use super::error::NotStorable;
use super::memory::{self, Open};
use super::{Parts, header, loaded_type};

/// The codec and its version.
pub(super) const CODEC: &str = "frame/1";
/// The same with pickles among the buffers.
pub(super) const CODEC_WITH_PICKLES: &str = "frame+pickle/1";

/// Whether buffers of a record may be unpickled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pickles {
    Allowed,
    Refused,
}

/// The buffers of the value if it is of pandas.
pub(super) fn draft(value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    let py = value.py();
    if !is_of_pandas(value)? {
        return Ok(None);
    }
    let taken = py
        .import(intern!(py, "thrifty._frame"))?
        .call_method1(intern!(py, "take_apart"), (value,))
        .map_err(|error| not_storable(py, error))?;
    if taken.is_none() {
        return Ok(None);
    }
    let (description, memory, pickled): (Bound<'_, PyAny>, Vec<Bound<'_, PyAny>>, bool) =
        taken.extract()?;
    Ok(Some(Parts {
        codec: if pickled { CODEC_WITH_PICKLES } else { CODEC },
        header: header::write(&description)?,
        buffers: memory.iter().map(memory::pin).collect::<PyResult<_>>()?,
    }))
}

fn is_of_pandas(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let pandas = intern!(py, "pandas");
    for name in [intern!(py, "DataFrame"), intern!(py, "Series"), intern!(py, "Index")] {
        match loaded_type(py, pandas, name)? {
            Some(kind) if value.is_instance(&kind)? => return Ok(true),
            Some(_) => {}
            None => return Ok(false),
        }
    }
    Ok(false)
}

fn not_storable(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let refusal = NotStorable::new_err(format!(
        "a frame holds a value that cannot be stored: {error}; it is passed on, and computed \
         again next time. Keep plain data in its columns and attrs"
    ));
    refusal.set_cause(py, Some(error));
    refusal
}

/// The value again.
pub(super) fn load<'py>(
    py: Python<'py>,
    header: &[u8],
    buffers: &[Buffer],
    open: &Open<'_>,
    pickles: Pickles,
) -> PyResult<Bound<'py, PyAny>> {
    let description = header::read(py, header)?;
    let lent = PyList::empty(py);
    for buffer in buffers {
        lent.append(memory::lend(py, buffer, open)?)?;
    }
    py.import(intern!(py, "thrifty._frame"))?
        .call_method1(intern!(py, "put_together"), (description, lent, pickles == Pickles::Allowed))
}
