//! `pickle/1`: pickle protocol 5, every large buffer beside the stream.
//!
//! The first buffer is the stream, the others what it refers to; the header is empty.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;
use thrifty_engine::record::{Buffer, Source};

use super::error::{NotStorable, unreadable};
use super::memory::{self, Open};
use super::{Parts, loaded_type};

/// The codec and its version.
pub(super) const CODEC: &str = "pickle/1";

/// The bytes of any value that can be pickled.
///
/// # Errors
///
/// `NotStorable` if it cannot.
pub(super) fn draft(value: &Bound<'_, PyAny>) -> PyResult<Parts> {
    let py = value.py();
    let beside = PyList::empty(py);
    let stream = dumps(value, &beside).map_err(|error| not_storable(value, error))?;
    let mut buffers = vec![memory::pin(&stream)?];
    for buffer in beside.iter() {
        buffers.push(contiguous(&buffer)?);
    }
    Ok(Parts { codec: CODEC, header: Vec::new(), buffers })
}

fn dumps<'py>(
    value: &Bound<'py, PyAny>,
    beside: &Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    // `append` returns None, which tells pickle to leave the buffer out of the stream.
    let append = beside.getattr(intern!(py, "append"))?;
    // torch writes its memory into the stream, twice over.
    if loaded_type(py, intern!(py, "torch"), intern!(py, "Tensor"))?.is_some() {
        let torch = py.import(intern!(py, "thrifty._torch"))?;
        return torch.call_method1(intern!(py, "dumps"), (value, append));
    }
    let pickles = py.import(intern!(py, "thrifty._pickles"))?;
    pickles.call_method1(intern!(py, "dumps"), (value, append))
}

/// A `PickleBuffer` as bytes; it is contiguous in either order, or was copied into the stream.
fn contiguous(buffer: &Bound<'_, PyAny>) -> PyResult<Source> {
    memory::pin(&buffer.call_method0(intern!(buffer.py(), "raw"))?)
}

fn not_storable(value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    // Ctrl-C and exits are no fault of the value.
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let name = crate::shown::class_name(&value.get_type()).unwrap_or_else(|_| "value".to_owned());
    let refusal = NotStorable::new_err(format!(
        "a result of type {name} cannot be stored: {error}; it is passed on, and computed again \
         next time. Return plain data, or give the class `__reduce__` or `__getstate__`"
    ));
    refusal.set_cause(py, Some(error));
    refusal
}

/// The value again, over private copies of the buffers.
pub(super) fn load<'py>(
    py: Python<'py>,
    _header: &[u8],
    buffers: &[Buffer],
    open: &Open<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let Some((stream, beside)) = buffers.split_first() else {
        return Err(unreadable("a pickle without a stream"));
    };
    let lent = PyList::empty(py);
    for buffer in beside {
        lent.append(memory::lend(py, buffer, open)?)?;
    }
    let stream = memory::lend(py, stream, open)?;
    let pickles = py.import(intern!(py, "thrifty._pickles"))?;
    pickles.call_method1(intern!(py, "loads"), (stream, lent))
}
