//! Bytes that belong to Python lent to Rust, and bytes that belong to Rust lent to Python.

use std::io::ErrorKind;
use std::os::raw::c_int;

use memmap2::MmapMut;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyMemoryError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use thrifty_engine::record::{Buffer, Source};
use thrifty_store::{Blob, BlobName};

use super::error::unreadable;

/// How a stored blob is opened; what it gives has been verified.
pub type Open<'a> = dyn Fn(&BlobName) -> PyResult<Blob> + 'a;

/// Blobs up to this length are copied: a map costs more, and a process has few (65,530).
const COPIED: usize = 128 * 1024;

/// Contiguous memory of a Python object, kept alive and in place until dropped.
///
/// Reading needs no interpreter lock. Python code that writes to it meanwhile changes what is
/// stored; the digest under which the bytes are stored is of the bytes that were written.
pub(super) struct Pinned(PyUntypedBuffer);

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        match self.0.len_bytes() {
            0 => &[],
            // SAFETY: contiguous, checked when pinned; the buffer is held, so it stays in place.
            length => unsafe { std::slice::from_raw_parts(self.0.buf_ptr().cast(), length) },
        }
    }
}

/// The memory of an object, as a source. It must be contiguous.
pub(super) fn pin(object: &Bound<'_, PyAny>) -> PyResult<Source> {
    let buffer = PyUntypedBuffer::get(object)?;
    if buffer.is_c_contiguous() || buffer.is_fortran_contiguous() {
        return Ok(Source::Memory(Box::new(Pinned(buffer))));
    }
    Err(PyBufferError::new_err("the memory is not contiguous"))
}

/// The text of a `str`, which stays alive with it.
pub(super) struct Text {
    _owner: Py<PyAny>,
    start: *const u8,
    length: usize,
}

// SAFETY: the bytes are immutable and owned by a string that `_owner` keeps alive; the reference
// itself is only touched when dropped, which pyo3 defers to a thread with the interpreter lock.
unsafe impl Send for Text {}
unsafe impl Sync for Text {}

impl Text {
    /// The UTF-8 of a string, which Python caches in it.
    ///
    /// # Errors
    ///
    /// `UnicodeEncodeError` for lone surrogates.
    pub(super) fn of(text: &Bound<'_, pyo3::types::PyString>) -> PyResult<Self> {
        let utf8 = text.to_str()?;
        Ok(Self {
            start: utf8.as_ptr(),
            length: utf8.len(),
            _owner: text.clone().into_any().unbind(),
        })
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: see the impl of `Send`.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// A private, writable map of a blob, as Python memory. Pages are copied when written.
#[pyclass(frozen, module = "thrifty")]
pub(super) struct Mapped {
    start: *mut u8,
    length: usize,
    _map: MmapMut,
}

// SAFETY: the map is owned and stays in place; who writes to it through the buffer protocol
// follows Python's rules for shared memory.
unsafe impl Send for Mapped {}
unsafe impl Sync for Mapped {}

impl Mapped {
    fn new(mut map: MmapMut) -> Self {
        Self { start: map.as_mut_ptr(), length: map.len(), _map: map }
    }
}

#[pymethods]
impl Mapped {
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (start, length) = (slf.get().start, slf.get().length);
        // A map is at most isize::MAX long.
        let length = length as ffi::Py_ssize_t;
        // SAFETY: `view` is Python's; the memory lives as long as `slf`, to which the view
        // holds a reference.
        let status =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), length, 0, flags) };
        if status == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }

    fn __len__(&self) -> usize {
        self.length
    }
}

/// Writable Python memory that holds a copy of the buffer, made now or page by page.
pub(super) fn lend<'py>(
    py: Python<'py>,
    buffer: &Buffer,
    open: &Open<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let blob = match buffer {
        Buffer::Inline(bytes) => return Ok(PyByteArray::new(py, bytes).into_any()),
        Buffer::Blob(name) => open(name)?,
    };
    if blob.len() <= COPIED {
        return Ok(PyByteArray::new(py, &blob).into_any());
    }
    let map = blob.map_private().map_err(|error| match error.kind() {
        ErrorKind::OutOfMemory => PyMemoryError::new_err(error.to_string()),
        _ => unreadable(error),
    })?;
    Ok(Bound::new(py, Mapped::new(map))?.into_any())
}

/// Bytes as Python has them. Where memory is short, that is `MemoryError`: `PyBytes::new` panics.
pub(super) fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // SAFETY: pointer and length are of one slice, which is copied; the result is a new reference
    // to `bytes`, or null with an exception set.
    unsafe {
        // A slice is at most isize::MAX long.
        let length = bytes.len() as ffi::Py_ssize_t;
        let copy = ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), length);
        Ok(Bound::from_owned_ptr_or_err(py, copy)?.cast_into_unchecked())
    }
}

/// Gives the bytes of a buffer, to be read at once.
pub(super) fn read<T>(
    buffer: &Buffer,
    open: &Open<'_>,
    reader: impl FnOnce(&[u8]) -> PyResult<T>,
) -> PyResult<T> {
    match buffer {
        Buffer::Inline(bytes) => reader(bytes),
        Buffer::Blob(name) => reader(&open(name)?),
    }
}

/// Adds the class to the module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Mapped>()
}
