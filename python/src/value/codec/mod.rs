//! Python value <-> stored record: `docs/formats/entry.md`.
//!
//! [`draft`] says what to keep of a value, borrowing large memory instead of copying it;
//! [`load`] gives a value of the caller's own again. Every codec is a name with a version and
//! two functions. Which one a value gets is decided in [`drafting`], safest first: the plain
//! encoding, raw arrays and frames, files, a pickle last.

mod content;
mod digested;
mod drafting;
mod error;
mod files;
mod header;
mod kept;
mod library;
mod memory;
mod ndarray;
mod pickle;
mod plain;
mod probe;
mod registered;
mod text;
mod typed;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};
use thrifty_engine::record::{Object, Record, Shape, Source};

pub use self::digested::keep_digests;
pub use self::drafting::{Encode, Encoded, draft};
pub use self::error::{NotStorable, Unreadable};
pub use self::files::{Place, Shelf, encoding as file_encoding, scan_directory, scan_file};
pub use self::memory::Open;

use self::error::{as_unreadable, unreadable};

/// What a codec keeps of a value.
struct Parts {
    codec: &'static str,
    header: Vec<u8>,
    buffers: Vec<Source>,
}

/// The value of a record: nobody else's, writable, what it was when it was drafted.
///
/// # Errors
///
/// [`error::Unreadable`] if the record does not make sense to this program, which is a miss; what
/// `open` raises.
pub fn load<'py>(
    py: Python<'py>,
    record: &Record,
    open: &Open<'_>,
    shelf: &Shelf<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    match record {
        Record::Plain(encoding) => {
            plain::decode(py, encoding).map_err(|error| as_unreadable(py, "plain", error))
        }
        Record::Composite { container, parts } => composite(py, container, parts, open, shelf),
        Record::Object(object) => self::object(py, object, open, shelf)
            .map_err(|error| as_unreadable(py, &object.codec, error)),
        Record::Hashed { value, .. } | Record::Annotated { value, .. } => {
            load(py, value, open, shelf)
        }
    }
}

fn composite<'py>(
    py: Python<'py>,
    container: &Shape,
    parts: &[Record],
    open: &Open<'_>,
    shelf: &Shelf<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let values: PyResult<Vec<_>> = parts.iter().map(|part| load(py, part, open, shelf)).collect();
    let values = values?;
    Ok(match container {
        Shape::Tuple => PyTuple::new(py, values)?.into_any(),
        Shape::List => PyList::new(py, values)?.into_any(),
        Shape::Dict(keys) if keys.len() == values.len() => {
            let dict = PyDict::new(py);
            for (key, value) in keys.iter().zip(values) {
                dict.set_item(plain::decode(py, key)?, value)
                    .map_err(|error| as_unreadable(py, "composite", error))?;
            }
            dict.into_any()
        }
        Shape::Dict(_) => return Err(unreadable("a dict with more keys than values, or less")),
    })
}

fn object<'py>(
    py: Python<'py>,
    object: &Object,
    open: &Open<'_>,
    shelf: &Shelf<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let (header, buffers) = (&object.header, &object.buffers);
    match object.codec.as_str() {
        ndarray::CODEC => ndarray::load(py, header, buffers, open),
        files::FILE => files::load_file(py, header, buffers, shelf),
        files::DIRECTORY => files::load_directory(py, header, buffers, shelf),
        pickle::CODEC => pickle::load(py, header, buffers, open),
        registered::CODEC => registered::load(py, header, buffers, open, shelf),
        drafting::PLAIN => memory::read(only(buffers)?, open, |bytes| plain::decode(py, bytes)),
        drafting::TEXT => memory::read(only(buffers)?, open, |bytes| {
            Ok(PyString::from_bytes(py, bytes)?.into_any())
        }),
        drafting::BYTES => {
            memory::read(only(buffers)?, open, |bytes| Ok(memory::bytes(py, bytes)?.into_any()))
        }
        codec => library::load(py, codec, header, buffers, open)?.ok_or_else(|| {
            unreadable(format_args!("codec {codec:?} is not known to this version of thrifty"))
        }),
    }
}

fn only<T>(buffers: &[T]) -> PyResult<&T> {
    match buffers {
        [buffer] => Ok(buffer),
        _ => Err(unreadable("a value of one buffer with several, or none")),
    }
}

/// A type of a module that is loaded. No value of it can exist before.
fn loaded_type<'py>(
    py: Python<'py>,
    module: &Bound<'py, PyString>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<Bound<'py, PyType>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let Some(module) = modules.cast::<PyDict>()?.get_item(module)? else {
        return Ok(None);
    };
    // A module that is being imported lacks its types yet.
    match module.getattr_opt(name)? {
        Some(found) => Ok(found.cast_into::<PyType>().ok()),
        None => Ok(None),
    }
}

/// Adds the exceptions and the native halves of `thrifty._frame` to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    error::register(module)?;
    memory::register(module)?;
    text::register(module)?;
    probe::register(module)
}
