//! Whether what is kept of a value gives the value again.

use std::path::Path;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use thrifty_engine::record::{Buffer, Object, Source};
use thrifty_store::memory::Memory;

use super::drafting::{Encode, Encoded, digest_of};
use super::error::{NotStorable, unreadable};
use super::{Open, Parts, Shelf};

/// That a value with attributes has them when it is loaded from copies of these parts.
///
/// # Errors
///
/// `NotStorable` if it has another digest then; what `encode` raises.
pub(super) fn check(
    value: &Bound<'_, PyAny>,
    parts: &Parts,
    encoded: &Encoded,
    encode: &Encode<'_>,
) -> PyResult<()> {
    let Some(buffers) = copied(&parts.buffers).filter(|_| encoded.has_attributes) else {
        return Ok(());
    };
    let digest = digest_of(&encoded.bytes)?;
    let (codec, header) = (parts.codec.to_owned(), parts.header.clone());
    let object = Object { codec, digest, classes: Vec::new(), header, buffers };
    let again = in_memory(|open, shelf| super::object(value.py(), &object, open, shelf));
    match again.and_then(|again| digest_of(&encode(&again)?.bytes)) {
        Ok(again) if again == digest => return Ok(()),
        Err(error) if !error.is_instance_of::<PyException>(value.py()) => return Err(error),
        _ => {}
    }
    Err(NotStorable::new_err(format!(
        "a result of type {} cannot be stored: it is, or holds, an object that loses its attributes \
         or its class when it is copied; it is passed on, and computed again next time. Return \
         the attributes beside the object, in a tuple or dict, or register the type with dump and load",
        crate::shown::class_name(&value.get_type())?
    )))
}

/// Copies of buffers: what is done to them must not reach the value. `None` if some are files.
pub(super) fn copied(buffers: &[Source]) -> Option<Vec<Buffer>> {
    let copy = |source: &Source| match source {
        Source::Memory(memory) => Some(Buffer::Inline((**memory).as_ref().to_vec())),
        Source::File { .. } => None,
    };
    buffers.iter().map(copy).collect()
}

/// Loads what has no blobs.
pub(super) fn in_memory<T>(load: impl FnOnce(&Open<'_>, &Shelf<'_>) -> PyResult<T>) -> PyResult<T> {
    let open: &Open<'_> = &|_| Err(unreadable("a copy has no blobs"));
    load(open, &Shelf { blobs: &Memory::default(), files: Path::new(""), hold: &|_| () })
}
