//! Plain encoding -> Python value.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyList, PySet, PyString, PyTuple,
};
use thrifty_key::plain::{Container, DEPTH, PlainError, Reader, Token};

use super::error::unreadable;
use super::{memory, typed};

/// The value of which the bytes are the plain encoding.
///
/// # Errors
///
/// `Unreadable` if they are not one whole encoding, hold a digest, or name a type that is not
/// one of [`typed`]'s.
pub fn decode<'py>(py: Python<'py>, encoding: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let mut decoder = Decoder { py, reader: Reader::new(encoding) };
    let value = decoder.value(0)?;
    if decoder.reader.is_at_end() {
        return Ok(value);
    }
    Err(unreadable(PlainError::Length { at: decoder.reader.position() }))
}

/// Whether [`decode`] gives the value again that was encoded.
pub fn is_invertible(encoding: &[u8]) -> bool {
    let mut reader = Reader::new(encoding);
    while !reader.is_at_end() {
        match reader.token() {
            Ok(Token::Digest(_) | Token::Edge(_)) | Err(_) => return false,
            Ok(Token::Typed(name)) if !typed::is_known(name) => return false,
            Ok(_) => {}
        }
    }
    true
}

/// Whether a digest stands in the encoding in place of a value.
pub fn has_digest(encoding: &[u8]) -> bool {
    let mut reader = Reader::new(encoding);
    std::iter::from_fn(|| if reader.is_at_end() { None } else { reader.token().ok() })
        .any(|token| matches!(token, Token::Digest(_)))
}

struct Decoder<'a, 'py> {
    py: Python<'py>,
    reader: Reader<'a>,
}

impl<'a, 'py> Decoder<'a, 'py> {
    fn value(&mut self, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        if depth > DEPTH {
            return Err(unreadable(PlainError::Depth));
        }
        let py = self.py;
        Ok(match self.reader.token().map_err(unreadable)? {
            Token::None => py.None().into_bound(py),
            Token::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
            Token::Int(bytes) => int(py, bytes)?,
            Token::Float(value) => PyFloat::new(py, value).into_any(),
            Token::Complex(real, imaginary) => {
                PyComplex::from_doubles(py, real, imaginary).into_any()
            }
            Token::Text(bytes) => text(py, bytes)?,
            Token::Bytes(bytes) => memory::bytes(py, bytes)?.into_any(),
            Token::Open(container, count) => self.container(container, count, depth + 1)?,
            Token::Typed(name) => {
                let child = self.value(depth + 1)?;
                typed::revive(name, &child)?
            }
            Token::Digest(_) | Token::Edge(_) => {
                return Err(unreadable("a plain value holds a digest in place of a value"));
            }
        })
    }

    fn container(
        &mut self,
        container: Container,
        count: usize,
        depth: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        match container {
            Container::Dict => return self.dict(count, depth),
            Container::Set => return self.set(count, depth),
            Container::Tuple | Container::List | Container::FrozenSet => {}
        }
        // The reader has checked the count against the bytes that are left.
        let mut children = Vec::with_capacity(count);
        for _ in 0..count {
            children.push(self.value(depth)?);
        }
        Ok(match container {
            Container::Tuple => PyTuple::new(self.py, children)?.into_any(),
            Container::List => PyList::new(self.py, children)?.into_any(),
            _ => PyFrozenSet::new(self.py, children)?.into_any(),
        })
    }

    fn dict(&mut self, count: usize, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let dict = PyDict::new(self.py);
        for _ in 0..count {
            let key = self.value(depth)?;
            dict.set_item(key, self.value(depth)?)?;
        }
        Ok(dict.into_any())
    }

    fn set(&mut self, count: usize, depth: usize) -> PyResult<Bound<'py, PyAny>> {
        let set = PySet::empty(self.py)?;
        for _ in 0..count {
            set.add(self.value(depth)?)?;
        }
        Ok(set.into_any())
    }
}

fn int<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match bytes.len() {
        0 => Err(unreadable("an integer without bytes")),
        length @ 1..=8 => {
            let sign = if bytes[length - 1] < 0x80 { 0x00 } else { 0xff };
            let mut wide = [sign; 8];
            wide[..length].copy_from_slice(bytes);
            Ok(i64::from_le_bytes(wide).into_pyobject(py)?.into_any())
        }
        _ => {
            let signed = PyDict::new(py);
            signed.set_item("signed", true)?;
            let bytes = PyBytes::new(py, bytes);
            py.get_type::<pyo3::types::PyInt>().call_method(
                "from_bytes",
                (bytes, "little"),
                Some(&signed),
            )
        }
    }
}

/// Text, lone surrogates in their three-byte form.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(PyString::from_bytes(py, text.as_bytes())?.into_any());
    }
    // SAFETY: pointer and length are of one slice; the result is a new reference or an error.
    unsafe {
        let text = ffi::PyUnicode_DecodeUTF8(
            bytes.as_ptr().cast(),
            bytes.len() as ffi::Py_ssize_t,
            c"surrogatepass".as_ptr(),
        );
        Bound::from_owned_ptr_or_err(py, text)
    }
    .map_err(|error| super::error::as_unreadable(py, "plain", error))
}
