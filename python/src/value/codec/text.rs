//! Columns of text: `str` objects in an array to offsets and UTF-8, and back.

use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyFloat, PyString};

/// What an element is, one byte each. Part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Text = 0,
    None = 1,
    NaN = 2,
    NA = 3,
}

/// Elements remembered, so that repeated texts become one object.
const REMEMBERED: usize = 8192;
/// After so many elements, a column of which less than a quarter was remembered is taken for one
/// that does not repeat itself.
const TRIED: usize = 2 * REMEMBERED;

/// The elements of a one-dimensional, contiguous array of objects.
///
/// Only to be used while the interpreter lock is held and no Python code runs.
struct Slots {
    start: *mut *mut ffi::PyObject,
    length: usize,
    _buffer: PyUntypedBuffer,
}

impl Slots {
    fn of(array: &Bound<'_, PyAny>, writable: bool) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(array)?;
        let fits = buffer.format() == c"O"
            && buffer.item_size() == size_of::<*mut ffi::PyObject>()
            && buffer.dimensions() == 1
            && buffer.is_c_contiguous()
            && !(writable && buffer.readonly());
        if !fits {
            return Err(PyTypeError::new_err("expected a contiguous array of objects"));
        }
        Ok(Self { start: buffer.buf_ptr().cast(), length: buffer.item_count(), _buffer: buffer })
    }

    fn get<'py>(&self, py: Python<'py>, number: usize) -> Bound<'py, PyAny> {
        debug_assert!(number < self.length);
        // SAFETY: in bounds; numpy stands a null pointer for None.
        unsafe {
            let object = *self.start.add(number);
            Bound::from_borrowed_ptr_or_opt(py, object).unwrap_or_else(|| py.None().into_bound(py))
        }
    }

    fn set(&self, py: Python<'_>, number: usize, object: Bound<'_, PyAny>) {
        assert!(number < self.length, "callers count to the length");
        // SAFETY: in bounds; the slot owned its former reference, if any, and owns the new one.
        unsafe {
            let former = self.start.add(number).replace(object.into_ptr());
            drop(Bound::from_owned_ptr_or_opt(py, former));
        }
    }
}

/// Offsets, text and, if anything is missing, kinds; `None` if some element is neither text nor
/// missing.
#[pyfunction]
#[pyo3(name = "_pack_text")]
#[allow(clippy::type_complexity)]
fn pack<'py>(
    py: Python<'py>,
    array: &Bound<'py, PyAny>,
    na: &Bound<'py, PyAny>,
) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>)>> {
    let slots = Slots::of(array, false)?;
    let Some((offsets, kinds)) = measure(py, &slots, na) else {
        return Ok(None);
    };
    let total = offsets[slots.length] as usize;
    let text = PyBytes::new_with(py, total, |bytes| {
        let mut rest = bytes;
        for number in 0..slots.length {
            let object = slots.get(py, number);
            if let Some(text) = utf8(&object) {
                let (here, after) = rest.split_at_mut(text.len());
                here.copy_from_slice(text.as_bytes());
                rest = after;
            }
        }
        Ok(())
    })?;
    let offsets = PyBytes::new_with(py, offsets.len() * 8, |bytes| {
        for (place, offset) in bytes.chunks_exact_mut(8).zip(&offsets) {
            place.copy_from_slice(&offset.to_le_bytes());
        }
        Ok(())
    })?;
    let missing = kinds.iter().any(|kind| *kind != Kind::Text as u8);
    Ok(Some((offsets, text, missing.then(|| PyBytes::new(py, &kinds)))))
}

fn measure(py: Python<'_>, slots: &Slots, na: &Bound<'_, PyAny>) -> Option<(Vec<u64>, Vec<u8>)> {
    let mut offsets = Vec::with_capacity(slots.length + 1);
    let mut kinds = Vec::with_capacity(slots.length);
    let mut end = 0_u64;
    offsets.push(end);
    for number in 0..slots.length {
        let object = slots.get(py, number);
        let kind = kind_of(&object, na)?;
        if kind == Kind::Text {
            end += utf8(&object)?.len() as u64;
        }
        kinds.push(kind as u8);
        offsets.push(end);
    }
    Some((offsets, kinds))
}

fn kind_of(object: &Bound<'_, PyAny>, na: &Bound<'_, PyAny>) -> Option<Kind> {
    if object.is_exact_instance_of::<PyString>() {
        Some(Kind::Text)
    } else if object.is_none() {
        Some(Kind::None)
    } else if object.is(na) {
        Some(Kind::NA)
    } else {
        let is_nan = object.cast_exact::<PyFloat>().is_ok_and(|float| float.value().is_nan());
        is_nan.then_some(Kind::NaN)
    }
}

/// The UTF-8 of a text; `None` for other objects and lone surrogates.
fn utf8<'a>(object: &'a Bound<'_, PyAny>) -> Option<&'a str> {
    object.cast_exact::<PyString>().ok()?.to_str().ok()
}

/// Fills an array of objects with what [`pack`] packed.
#[pyfunction]
#[pyo3(name = "_unpack_text")]
fn unpack(
    py: Python<'_>,
    offsets: &Bound<'_, PyAny>,
    text: &Bound<'_, PyAny>,
    kinds: Option<&Bound<'_, PyAny>>,
    nan: &Bound<'_, PyAny>,
    na: &Bound<'_, PyAny>,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let slots = Slots::of(out, true)?;
    let offsets = Bytes::of(offsets)?;
    let text = Bytes::of(text)?;
    let kinds = kinds.map(Bytes::of).transpose()?;
    let (offsets, text) = (offsets.get(), text.get());
    let kinds = kinds.as_ref().map(Bytes::get);
    if Some(offsets.len()) != slots.length.checked_add(1).and_then(|count| count.checked_mul(8))
        || kinds.is_some_and(|kinds| kinds.len() != slots.length)
    {
        return Err(PyValueError::new_err("a column of text and its offsets differ in length"));
    }
    let mut texts =
        Texts { py, text, remembered: (0..REMEMBERED).map(|_| None).collect(), asked: 0, found: 0 };
    let mut starts = offsets.chunks_exact(8).map(offset);
    let mut start = starts.next().unwrap_or(0);
    for (number, end) in starts.enumerate() {
        let object = match kinds.map_or(0, |kinds| kinds[number]) {
            0 => texts.make(start, end)?,
            1 => py.None().into_bound(py),
            2 => nan.clone(),
            3 => na.clone(),
            _ => return Err(PyValueError::new_err("an element of unknown kind")),
        };
        slots.set(py, number, object);
        start = end;
    }
    Ok(())
}

fn offset(bytes: &[u8]) -> usize {
    let mut eight = [0; 8];
    eight.copy_from_slice(bytes);
    // An offset beyond memory is beyond the text, where it is refused.
    usize::try_from(u64::from_le_bytes(eight)).unwrap_or(usize::MAX)
}

/// Makes `str` objects of pieces of a text.
struct Texts<'a, 'py> {
    py: Python<'py>,
    text: &'a [u8],
    /// Empty once it proved useless.
    remembered: Vec<Option<(&'a [u8], Bound<'py, PyAny>)>>,
    asked: usize,
    found: usize,
}

impl<'py> Texts<'_, 'py> {
    fn make(&mut self, start: usize, end: usize) -> PyResult<Bound<'py, PyAny>> {
        let piece = self
            .text
            .get(start..end)
            .ok_or_else(|| PyValueError::new_err("an offset outside the text"))?;
        if self.remembered.is_empty() {
            return self.decode(piece);
        }
        self.asked += 1;
        let place = slot(piece);
        if let Some((known, object)) = &self.remembered[place]
            && *known == piece
        {
            self.found += 1;
            return Ok(object.clone());
        }
        let object = self.decode(piece)?;
        self.remembered[place] = Some((piece, object.clone()));
        if self.asked == TRIED && self.found < TRIED / 4 {
            self.remembered.clear();
        }
        Ok(object)
    }

    fn decode(&self, piece: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        // SAFETY: pointer and length are of one slice; a new reference or an error.
        unsafe {
            Bound::from_owned_ptr_or_err(
                self.py,
                ffi::PyUnicode_DecodeUTF8(
                    piece.as_ptr().cast(),
                    piece.len() as ffi::Py_ssize_t,
                    std::ptr::null(),
                ),
            )
        }
    }
}

/// A place by length, ends and middle: enough to tell apart what a column repeats.
fn slot(piece: &[u8]) -> usize {
    let mut mixed = piece.len() as u64;
    let head = &piece[..piece.len().min(8)];
    let tail = &piece[piece.len() - head.len()..];
    for part in [head, tail] {
        let mut eight = [0; 8];
        eight[..part.len()].copy_from_slice(part);
        mixed = (mixed ^ u64::from_le_bytes(eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 32;
    }
    mixed as usize % REMEMBERED
}

/// Contiguous bytes of an object.
struct Bytes(PyUntypedBuffer);

impl Bytes {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyUntypedBuffer::get(object)?;
        if buffer.is_c_contiguous() {
            Ok(Self(buffer))
        } else {
            Err(PyTypeError::new_err("expected contiguous bytes"))
        }
    }

    fn get(&self) -> &[u8] {
        match self.0.len_bytes() {
            0 => &[],
            // SAFETY: contiguous and held; nobody else has the memory yet.
            length => unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), length) },
        }
    }
}

/// Adds the functions to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(pack, module)?)?;
    module.add_function(wrap_pyfunction!(unpack, module)?)
}
