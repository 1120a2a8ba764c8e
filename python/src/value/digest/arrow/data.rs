//! The Arrow C data interface: columns of pandas, polars and pyarrow, read in their own memory.
//!
//! A library hands out structures that say where the buffers of a column lie, and a callback that
//! gives them back. [`Columns`] holds them; [`Schema`] and [`Array`] are views into it.

use std::ffi::{CStr, c_char, c_int, c_void};

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

#[repr(C)]
struct RawSchema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    child_count: i64,
    children: *mut *mut RawSchema,
    dictionary: *mut RawSchema,
    release: Option<unsafe extern "C" fn(*mut RawSchema)>,
    private: *mut c_void,
}

#[repr(C)]
struct RawArray {
    length: i64,
    null_count: i64,
    offset: i64,
    buffer_count: i64,
    child_count: i64,
    buffers: *mut *const c_void,
    children: *mut *mut RawArray,
    dictionary: *mut RawArray,
    release: Option<unsafe extern "C" fn(*mut RawArray)>,
    private: *mut c_void,
}

#[repr(C)]
struct RawStream {
    schema: Option<unsafe extern "C" fn(*mut RawStream, *mut RawSchema) -> c_int>,
    next: Option<unsafe extern "C" fn(*mut RawStream, *mut RawArray) -> c_int>,
    last_error: Option<unsafe extern "C" fn(*mut RawStream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut RawStream)>,
    private: *mut c_void,
}

/// A structure of the interface that is given back when dropped.
struct Owned<T: GiveBack>(Box<T>);

impl<T: GiveBack> Owned<T> {
    /// One to be filled in; giving it back before that does nothing.
    fn empty() -> Self {
        // SAFETY: null pointers, zeros and an absent callback are values of all the structures.
        Self(Box::new(unsafe { std::mem::zeroed() }))
    }

    /// The structure in a capsule, taken out of it: the capsule then gives back nothing.
    fn taken(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<Self> {
        let place = pointer::<T>(capsule, name)?;
        let mut owned = Self::empty();
        // SAFETY: the name says what the capsule holds; the empty structure has no callback.
        unsafe { std::ptr::swap(place, &raw mut *owned.0) };
        Ok(owned)
    }
}

impl<T: GiveBack> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

trait GiveBack {
    fn give_back(&mut self);
}

impl GiveBack for RawSchema {
    fn give_back(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the callback of the structure, called once: it clears itself.
            unsafe { release(self) };
        }
    }
}

impl GiveBack for RawArray {
    fn give_back(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: as above.
            unsafe { release(self) };
        }
    }
}

/// What a capsule of that name points to.
fn pointer<T>(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<*mut T> {
    let capsule = capsule.cast::<PyCapsule>()?;
    Ok(capsule.pointer_checked(Some(name))?.as_ptr().cast())
}

/// The chunks of one column, or of a table, which is a column of structs.
pub(in crate::value::digest) struct Columns {
    schema: Owned<RawSchema>,
    chunks: Vec<Owned<RawArray>>,
}

impl Columns {
    /// A type, field or schema: no chunks.
    pub(in crate::value::digest) fn of_type(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = value.call_method0(intern!(value.py(), "__arrow_c_schema__"))?;
        Ok(Self { schema: Owned::taken(&capsule, c"arrow_schema")?, chunks: Vec::new() })
    }

    /// A value that is one chunk.
    pub(in crate::value::digest) fn of_array(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let pair = value.call_method0(intern!(value.py(), "__arrow_c_array__"))?;
        let pair = pair.cast::<PyTuple>()?;
        let schema = Owned::taken(&pair.get_item(0)?, c"arrow_schema")?;
        let chunk = Owned::taken(&pair.get_item(1)?, c"arrow_array")?;
        Ok(Self { schema, chunks: vec![chunk] })
    }

    /// A value of any number of chunks.
    pub(in crate::value::digest) fn of_stream(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = value.call_method0(intern!(value.py(), "__arrow_c_stream__"))?;
        let stream = pointer::<RawStream>(&capsule, c"arrow_array_stream")?;
        // SAFETY: the capsule holds a stream and is alive, and both callbacks fill in what they
        // are given. The capsule gives the stream back.
        unsafe {
            let (Some(schema), Some(next)) = ((*stream).schema, (*stream).next) else {
                return Err(PyValueError::new_err("an Arrow stream that was used up"));
            };
            let mut columns = Self { schema: Owned::empty(), chunks: Vec::new() };
            checked(stream, schema(stream, &raw mut *columns.schema.0))?;
            loop {
                let mut chunk = Owned::empty();
                checked(stream, next(stream, &raw mut *chunk.0))?;
                if chunk.0.release.is_none() {
                    return Ok(columns);
                }
                columns.chunks.push(chunk);
            }
        }
    }

    pub(super) fn schema(&self) -> Schema<'_> {
        Schema(&self.schema.0)
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = Array<'_>> {
        self.chunks.iter().map(|chunk| Array(&chunk.0))
    }
}

/// The error of a callback, if it returned one.
///
/// # Safety
///
/// The stream is alive.
unsafe fn checked(stream: *mut RawStream, status: c_int) -> PyResult<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: as promised by the caller; the text is valid until the next call.
    let text = unsafe {
        let text = (*stream).last_error.map_or(std::ptr::null(), |last| last(stream));
        if text.is_null() { c"" } else { CStr::from_ptr(text) }.to_string_lossy()
    };
    Err(PyValueError::new_err(format!("an Arrow stream ended with error {status}: {text}")))
}

/// What a column is.
#[derive(Clone, Copy)]
pub(super) struct Schema<'a>(&'a RawSchema);

impl<'a> Schema<'a> {
    /// The type, in the short text of the interface.
    pub(super) fn format(self) -> &'a [u8] {
        text(self.0.format)
    }

    pub(super) fn name(self) -> &'a [u8] {
        text(self.0.name)
    }

    /// Whether a dictionary is ordered, there may be nulls, the keys of a map are sorted.
    pub(super) fn flags(self) -> i64 {
        self.0.flags
    }

    pub(super) fn children(self) -> impl ExactSizeIterator<Item = Schema<'a>> {
        let (children, count) = (self.0.children, size(self.0.child_count));
        // SAFETY: there are so many children, which live as long as the parent.
        (0..count).map(move |index| unsafe { Schema(&**children.add(index)) })
    }

    /// The type of the values, if the column holds numbers of theirs.
    pub(super) fn dictionary(self) -> Option<Schema<'a>> {
        // SAFETY: null, or a schema that lives as long as this one.
        unsafe { self.0.dictionary.as_ref() }.map(Schema)
    }

    /// Names and values; `None` if there is no list of them.
    pub(super) fn metadata(self) -> Option<Vec<(&'a [u8], &'a [u8])>> {
        if self.0.metadata.is_null() {
            return None;
        }
        let mut at = self.0.metadata.cast::<u8>();
        // SAFETY: the interface says what follows: the number of pairs, and for each the length
        // and bytes of the name and of the value, numbers in the order of the machine.
        unsafe {
            let count = number(&mut at);
            Some((0..count).map(|_| (framed(&mut at), framed(&mut at))).collect())
        }
    }
}

/// # Safety
///
/// A number of 32 bits lies there.
unsafe fn number(at: &mut *const u8) -> usize {
    // SAFETY: as promised by the caller.
    unsafe {
        let number = at.cast::<i32>().read_unaligned();
        *at = at.add(4);
        usize::try_from(number).unwrap_or_default()
    }
}

/// # Safety
///
/// A number of 32 bits lies there, and behind it so many bytes, which outlive `'a`.
unsafe fn framed<'a>(at: &mut *const u8) -> &'a [u8] {
    // SAFETY: as promised by the caller.
    unsafe {
        let length = number(at);
        let bytes = std::slice::from_raw_parts(*at, length);
        *at = at.add(length);
        bytes
    }
}

/// One chunk of a column. Positions count from the start of its buffers.
#[derive(Clone, Copy)]
pub(super) struct Array<'a>(&'a RawArray);

impl<'a> Array<'a> {
    /// The positions that belong to the chunk.
    pub(super) fn positions(self) -> std::ops::Range<usize> {
        let first = size(self.0.offset);
        first..first + size(self.0.length)
    }

    /// A bit for each position, set if the element is there; null if all of them are.
    pub(super) fn validity(self) -> *const u8 {
        if self.0.null_count == 0 { std::ptr::null() } else { self.buffer(0) }
    }

    /// Whether both are the same elements of the same buffers.
    pub(super) fn is_in_place_of(self, other: Self) -> bool {
        self.positions() == other.positions()
            && self.0.buffer_count == other.0.buffer_count
            && (0..self.buffer_count()).all(|index| self.buffer(index) == other.buffer(index))
            && self.0.child_count == 0
    }

    /// The beginning of a buffer; null if there is no such buffer, or it is empty.
    pub(super) fn buffer(self, index: usize) -> *const u8 {
        if index >= size(self.0.buffer_count) {
            return std::ptr::null();
        }
        // SAFETY: there are so many buffers.
        unsafe { (*self.0.buffers.add(index)).cast() }
    }

    pub(super) fn buffer_count(self) -> usize {
        size(self.0.buffer_count)
    }

    pub(super) fn child(self, index: usize) -> Option<Array<'a>> {
        // SAFETY: there are so many children, which live as long as the parent.
        (index < size(self.0.child_count)).then(|| unsafe { Array(&**self.0.children.add(index)) })
    }

    pub(super) fn dictionary(self) -> Option<Array<'a>> {
        // SAFETY: null, or an array that lives as long as this one.
        unsafe { self.0.dictionary.as_ref() }.map(Array)
    }
}

/// A text of the interface; empty if absent.
fn text<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: a text that ends with a zero and lives as long as its structure.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// A length or count, none of which is negative.
fn size(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}
