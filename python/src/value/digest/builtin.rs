//! Values of exactly the builtin types, told apart by the address of their type.

use std::ffi::c_char;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use thrifty_key::plain::Container;

use super::encoder::Encoder;
use super::unhashable::{Outcome, Reason, Unhashable};

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a plain builtin type; whether it was one.
    pub(super) fn builtin(&mut self, value: &Bound<'py, PyAny>) -> Outcome<bool> {
        let class = value.get_type_ptr();
        let is = |other: *mut ffi::PyTypeObject| std::ptr::eq(class, other);
        if is(&raw mut ffi::PyUnicode_Type) {
            self.text(value)?;
        } else if is(&raw mut ffi::PyLong_Type) {
            self.int(value)?;
        } else if is(&raw mut ffi::PyFloat_Type) {
            // SAFETY: an exact float.
            self.writer.float(unsafe { ffi::PyFloat_AsDouble(value.as_ptr()) });
        } else if value.is_none() {
            self.writer.none();
        } else if is(&raw mut ffi::PyBool_Type) {
            // SAFETY: the two truth values are the only ones, and immortal.
            self.writer.bool(std::ptr::eq(value.as_ptr(), unsafe { ffi::Py_True() }));
        } else if is(&raw mut ffi::PyTuple_Type) {
            self.once(value, |encoder| encoder.sequence(value, Container::Tuple))?;
        } else if is(&raw mut ffi::PyList_Type) {
            self.once(value, |encoder| encoder.sequence(value, Container::List))?;
        } else if is(&raw mut ffi::PyDict_Type) {
            self.once(value, |encoder| encoder.dict(value, &item_step))?;
        } else if is(&raw mut ffi::PyBytes_Type) {
            self.bytes(value)?;
        } else if is(&raw mut ffi::PySet_Type) {
            self.once(value, |encoder| encoder.set(value, Container::Set))?;
        } else if is(&raw mut ffi::PyFrozenSet_Type) {
            self.once(value, |encoder| encoder.set(value, Container::FrozenSet))?;
        } else if is(&raw mut ffi::PyComplex_Type) {
            // SAFETY: an exact complex.
            let (real, imaginary) = unsafe {
                (
                    ffi::PyComplex_RealAsDouble(value.as_ptr()),
                    ffi::PyComplex_ImagAsDouble(value.as_ptr()),
                )
            };
            self.writer.complex(real, imaginary);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn int(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let mut overflow = 0;
        // SAFETY: an exact int; overflow is reported and raises nothing.
        let small = unsafe { ffi::PyLong_AsLongLongAndOverflow(value.as_ptr(), &raw mut overflow) };
        if overflow == 0 {
            self.writer.int(small);
            return Ok(());
        }
        let big = big_int(value).map_err(|error| Unhashable::raised(value, error))?;
        self.writer.big_int(big.as_bytes());
        Ok(())
    }

    pub(super) fn text(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        if let Some(text) = utf8(value) {
            self.writer.text(text);
            return Ok(());
        }
        let arguments = (intern!(self.py, "utf-8"), intern!(self.py, "surrogatepass"));
        let encoded = value
            .call_method1(intern!(self.py, "encode"), arguments)
            .and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?))
            .map_err(|error| Unhashable::raised(value, error))?;
        self.writer.text(encoded.as_bytes());
        Ok(())
    }

    fn bytes(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let bytes =
            value.cast::<PyBytes>().map_err(|error| Unhashable::raised(value, error.into()))?;
        self.leaf(bytes.as_bytes());
        Ok(())
    }

    fn sequence(&mut self, value: &Bound<'py, PyAny>, container: Container) -> Outcome {
        let length = || value.len().map_err(|error| Unhashable::raised(value, error));
        let count = length()?;
        self.writer.open(container, count);
        for index in 0..count {
            let item = item(value, container, index)?;
            self.encode(&item).map_err(|unhashable| unhashable.below(&format!("[{index}]")))?;
        }
        if length()? == count { Ok(()) } else { Err(Unhashable::new(value, Reason::Changed)) }
    }

    /// Writes a set, or the elements of a subclass of one.
    pub(super) fn set(&mut self, value: &Bound<'py, PyAny>, container: Container) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let builtin = match container {
            Container::Set => self.py.get_type::<pyo3::types::PySet>(),
            _ => self.py.get_type::<pyo3::types::PyFrozenSet>(),
        };
        // The method of the builtin type: a subclass may have its own idea of iteration.
        let elements: Vec<_> = builtin
            .call_method1(intern!(self.py, "__iter__"), (value,))
            .and_then(|elements| elements.try_iter()?.collect())
            .map_err(raised)?;
        self.writer.open(container, elements.len());
        elements.iter().try_for_each(|element| self.part(element, "{…}"))
    }

    /// Writes an exact dict; `step` makes the path of the value under a key.
    pub(super) fn dict(
        &mut self,
        value: &Bound<'py, PyAny>,
        step: &dyn Fn(&Bound<'py, PyAny>) -> String,
    ) -> Outcome {
        let dict =
            value.cast::<PyDict>().map_err(|error| Unhashable::raised(value, error.into()))?;
        let count = dict.len();
        self.writer.open(Container::Dict, count);
        let (mut at, mut seen) = (0, 0);
        while let Some((key, item)) = next(dict, &mut at) {
            self.part(&key, "{…}")?;
            self.encode(&item).map_err(|unhashable| unhashable.below(&step(&key)))?;
            seen += 1;
        }
        if seen == count && dict.len() == count {
            Ok(())
        } else {
            Err(Unhashable::new(value, Reason::Changed))
        }
    }
}

/// The step to the item under a key: `["hook"]`, `[3]`, or `[…]`.
pub(super) fn item_step(key: &Bound<'_, PyAny>) -> String {
    let exact = key.get_type_ptr();
    if std::ptr::eq(exact, &raw mut ffi::PyUnicode_Type)
        && let Some(text) = utf8(key)
    {
        let text: String = String::from_utf8_lossy(text).chars().take(40).collect();
        return format!("[{text:?}]");
    }
    match key.extract::<i64>() {
        Ok(number) if std::ptr::eq(exact, &raw mut ffi::PyLong_Type) => format!("[{number}]"),
        _ => "[…]".to_owned(),
    }
}

/// The text of a str as UTF-8; `None` if it holds lone surrogates.
pub(super) fn utf8<'a>(value: &'a Bound<'_, PyAny>) -> Option<&'a [u8]> {
    // SAFETY: a str, kept alive by the bound reference; the text lives as long as the str.
    let text = unsafe { utf8_of(value.as_ptr()) };
    if text.is_none() {
        // The UnicodeEncodeError is not for the user.
        drop(PyErr::take(value.py()));
    }
    text
}

/// The text of a str as UTF-8, or `None` with an exception set.
///
/// # Safety
///
/// `value` is a str that outlives `'a`, and the interpreter is held.
pub(super) unsafe fn utf8_of<'a>(value: *mut ffi::PyObject) -> Option<&'a [u8]> {
    let mut length = 0;
    // SAFETY: as promised by the caller.
    let text: *const c_char = unsafe { ffi::PyUnicode_AsUTF8AndSize(value, &raw mut length) };
    if text.is_null() {
        return None;
    }
    // SAFETY: Python keeps `length` bytes there, and a length is never negative.
    Some(unsafe { std::slice::from_raw_parts(text.cast(), length.unsigned_abs()) })
}

/// Two's complement, little-endian.
fn big_int<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let bits: usize = value.call_method0("bit_length")?.extract()?;
    let keywords = PyDict::new(value.py());
    keywords.set_item("signed", true)?;
    let bytes = value.call_method("to_bytes", (bits / 8 + 1, "little"), Some(&keywords))?;
    Ok(bytes.cast_into::<PyBytes>()?)
}

/// The item of an exact list or tuple.
fn item<'py>(
    value: &Bound<'py, PyAny>,
    container: Container,
    index: usize,
) -> Outcome<Bound<'py, PyAny>> {
    let at = index as ffi::Py_ssize_t;
    // SAFETY: an exact list or tuple; both check the index and return a borrowed reference,
    // which is owned before anything else can run.
    let found = unsafe {
        let item = match container {
            Container::List => ffi::PyList_GetItem(value.as_ptr(), at),
            _ => ffi::PyTuple_GetItem(value.as_ptr(), at),
        };
        Bound::from_borrowed_ptr_or_opt(value.py(), item)
    };
    found.ok_or_else(|| {
        drop(PyErr::take(value.py()));
        Unhashable::new(value, Reason::Changed)
    })
}

/// The next pair of a dict, which may have changed meanwhile.
fn next<'py>(
    dict: &Bound<'py, PyDict>,
    at: &mut ffi::Py_ssize_t,
) -> Option<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let (mut key, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: a dict; the borrowed references are owned before anything else can run.
    unsafe {
        if ffi::PyDict_Next(dict.as_ptr(), at, &raw mut key, &raw mut value) == 0 {
            return None;
        }
        Some((Bound::from_borrowed_ptr(dict.py(), key), Bound::from_borrowed_ptr(dict.py(), value)))
    }
}
