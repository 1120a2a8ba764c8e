//! Columns of text, and of Python objects among which there is text.
//!
//! A column is a tuple of three: the lengths of its texts in UTF-8 (eight bytes each,
//! little-endian, all ones where there is no text), the texts one behind the other, and the
//! list of the other elements. How the column is held in memory does not show.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyFloat;
use thrifty_key::plain::Container;

use super::builtin::utf8_of;
use super::encoder::Encoder;
use super::unhashable::Outcome;

/// The length that says that there is no text.
pub(super) const NO_TEXT: [u8; 8] = u64::MAX.to_le_bytes();

/// The texts of a column.
#[derive(Default)]
pub(super) struct Texts {
    lengths: Vec<u8>,
    bytes: Vec<u8>,
}

impl Texts {
    pub(super) fn with_capacity(count: usize) -> Self {
        Self { lengths: Vec::with_capacity(count * 8), bytes: Vec::with_capacity(count * 16) }
    }

    pub(super) fn add(&mut self, text: &[u8]) {
        self.lengths.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(text);
    }

    pub(super) fn add_missing(&mut self) {
        self.lengths.extend_from_slice(&NO_TEXT);
    }
}

impl<'py> Encoder<'_, 'py> {
    /// Writes a column of objects, given as the pointers that an array of objects holds.
    pub(super) fn texts(&mut self, pointers: &[*mut ffi::PyObject]) -> Outcome {
        let (texts, others) = self.split(pointers);
        self.column(&texts, &others)
    }

    /// Writes a column of which it is known which missing value stands where there is no text.
    pub(super) fn nullable_texts(&mut self, pointers: &[*mut ffi::PyObject]) -> Outcome {
        let (texts, mut others) = self.split(pointers);
        others.retain(|(_, other)| !is_missing(other));
        self.column(&texts, &others)
    }

    pub(super) fn column(
        &mut self,
        texts: &Texts,
        others: &[(usize, Bound<'py, PyAny>)],
    ) -> Outcome {
        self.writer.open(Container::Tuple, 3);
        self.leaf(&texts.lengths);
        self.leaf(&texts.bytes);
        self.writer.open(Container::List, others.len());
        for (index, other) in others {
            self.encode(other).map_err(|unhashable| unhashable.below(&format!("[{index}]")))?;
        }
        Ok(())
    }

    /// Reads all texts and takes hold of everything else; no code of the user runs meanwhile.
    fn split(&self, pointers: &[*mut ffi::PyObject]) -> (Texts, Vec<(usize, Bound<'py, PyAny>)>) {
        let mut texts = Texts::with_capacity(pointers.len());
        let mut others = Vec::new();
        for (index, pointer) in pointers.iter().enumerate() {
            // SAFETY: an element of an array that is alive; null stands for None.
            match unsafe { exact_text(*pointer) } {
                Some(text) => texts.add(text),
                None => {
                    texts.add_missing();
                    // SAFETY: as above.
                    let other = unsafe { Bound::from_borrowed_ptr_or_opt(self.py, *pointer) };
                    let other = other.unwrap_or_else(|| self.py.None().into_bound(self.py));
                    others.push((index, other));
                }
            }
        }
        (texts, others)
    }
}

/// Whether it is one of the missing values that a column of texts can have.
fn is_missing(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.cast_exact::<PyFloat>().is_ok_and(|number| number.value().is_nan())
        || value.get_type().name().is_ok_and(|name| name == "NAType")
}

/// The UTF-8 of an exact str that has one.
///
/// # Safety
///
/// `object` is null or an object that outlives `'a`, and the interpreter is held.
unsafe fn exact_text<'a>(object: *mut ffi::PyObject) -> Option<&'a [u8]> {
    // SAFETY: as promised by the caller.
    unsafe {
        if object.is_null() || ffi::PyUnicode_CheckExact(object) == 0 {
            return None;
        }
        let text = utf8_of(object);
        if text.is_none() {
            // Lone surrogates: the element goes the way of other objects.
            ffi::PyErr_Clear();
        }
        text
    }
}
