//! The descriptions in headers: plain encodings of builtin values.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyComplexMethods, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple,
};
use thrifty_key::plain::{Container, DEPTH, Writer};

use super::plain;

/// The plain encoding of a description: None, bool, int, float, complex, str, bytes, and tuples,
/// lists and dicts of these, all of exactly these types.
///
/// # Errors
///
/// `TypeError` for anything else.
pub(super) fn write(description: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    written(description, usize::MAX)
}

/// As [`write`], unless it takes more bytes than that or is no description.
pub(super) fn write_within(description: &Bound<'_, PyAny>, longest: usize) -> Option<Vec<u8>> {
    written(description, longest).ok()
}

fn written(description: &Bound<'_, PyAny>, longest: usize) -> PyResult<Vec<u8>> {
    let mut description_writer = Description { writer: Writer::new(), longest };
    description_writer.value(description, 0)?;
    Ok(description_writer.writer.into_bytes())
}

/// The description.
///
/// # Errors
///
/// `Unreadable` if the bytes are none.
pub(super) fn read<'py>(py: Python<'py>, header: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    plain::decode(py, header)
}

struct Description {
    writer: Writer,
    longest: usize,
}

impl Description {
    fn value(&mut self, item: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        let writer = &mut self.writer;
        if writer.as_bytes().len() > self.longest {
            return Err(PyTypeError::new_err("a description that is too long"));
        }
        if item.is_none() {
            writer.none();
        } else if let Ok(value) = item.cast_exact::<PyBool>() {
            writer.bool(value.is_true());
        } else if item.is_exact_instance_of::<PyInt>() {
            match item.extract() {
                Ok(value) => writer.int(value),
                Err(_) => writer.big_int(&two_s_complement(item)?),
            }
        } else if let Ok(value) = item.cast_exact::<PyFloat>() {
            writer.float(value.value());
        } else if let Ok(value) = item.cast_exact::<PyComplex>() {
            writer.complex(value.real(), value.imag());
        } else if let Ok(text) = item.cast_exact::<PyString>() {
            match text.to_str() {
                Ok(text) => writer.text(text.as_bytes()),
                // Lone surrogates.
                Err(_) => {
                    let utf8 = item.call_method1("encode", ("utf-8", "surrogatepass"))?;
                    writer.text(utf8.extract()?);
                }
            }
        } else if let Ok(bytes) = item.cast_exact::<PyBytes>() {
            writer.bytes(bytes.as_bytes());
        } else {
            return self.container(item, depth + 1);
        }
        Ok(())
    }

    fn container(&mut self, item: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
        if depth > DEPTH {
            return Err(PyTypeError::new_err("a description nested too deeply"));
        }
        if let Ok(tuple) = item.cast_exact::<PyTuple>() {
            self.writer.open(Container::Tuple, tuple.len());
            return tuple.iter().try_for_each(|child| self.value(&child, depth));
        }
        if let Ok(list) = item.cast_exact::<PyList>() {
            self.writer.open(Container::List, list.len());
            return list.iter().try_for_each(|child| self.value(&child, depth));
        }
        if let Ok(dict) = item.cast_exact::<PyDict>() {
            self.writer.open(Container::Dict, dict.len());
            return dict.iter().try_for_each(|(key, child)| {
                self.value(&key, depth)?;
                self.value(&child, depth)
            });
        }
        let name = crate::shown::class_name(&item.get_type())?;
        Err(PyTypeError::new_err(format!("a description cannot hold a {name}")))
    }
}

/// An integer of any size, little-endian, with room for its sign.
fn two_s_complement(integer: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let bits: usize = integer.call_method0("bit_length")?.extract()?;
    let signed = PyDict::new(integer.py());
    signed.set_item("signed", true)?;
    integer.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&signed))?.extract()
}
