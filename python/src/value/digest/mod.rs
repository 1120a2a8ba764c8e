//! The digest of a Python value: its canonical plain encoding.
//!
//! [`encode`] writes what `docs/formats/key.md`, *Values*, says: builtins exactly, numpy and
//! pandas by dtype and content, everything else taken apart by the reduce protocol of pickle.
//! It never calls `__eq__`, `__hash__`, `repr` or `str` of a value, nor pickles one, and two
//! processes always agree. What has no digest is an [`Unhashable`] that names the place.
//!
//! Sharing does not count: `[a, a]` is `[a, copy(a)]`. Each shared part is taken apart once and
//! stands in the encoding as a digest leaf from then on. A cycle is a reference to the enclosing
//! object that closes it.

mod array;
mod arrow;
mod attributes;
mod builtin;
mod class;
mod encoder;
mod extension;
mod frame;
mod library;
mod polars;
mod preview;
mod reduce;
mod registered;
mod science;
mod standard;
mod texts;
mod torch;
mod unhashable;

use pyo3::prelude::*;
use thrifty_key::{Digest, plain};

pub use encoder::Encoder;
pub use preview::preview;
pub use unhashable::{Reason, Unhashable};

/// The deepest nesting of a value: containers, objects, and the dicts of their attributes. The
/// encoding of each takes at most two levels, so that this stays below [`plain::DEPTH`]; the walk
/// fits the half megabyte of stack that a thread has on some systems.
pub const DEPTH: usize = 200;

/// The largest number of parts of a value; an array or a column is one part unless it holds
/// Python objects that are not text, and an object that is taken apart is ten.
pub const NODES: u64 = 50_000_000;

/// What the encoding of a value needs to know of the world around it.
pub trait Surroundings {
    /// What is written for a value instead of its content, if anything. Asked for every part
    /// that is not a plain builtin.
    ///
    /// # Errors
    ///
    /// What Python raised, which makes the part [`Unhashable`].
    fn stand_in(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<StandIn>>;

    /// The digest of the code that a function, class or module of the project stands for;
    /// `None` if it cannot be followed. Not asked for code of the interpreter or of installed
    /// packages, which goes by name; nor for a class of the project that an instance belongs to,
    /// unless the class cannot be found by its name.
    ///
    /// # Errors
    ///
    /// What Python raised, which makes the part [`Unhashable`].
    fn code(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Option<Digest>>;

    /// Told of every class whose instance was taken apart, once: its methods can change what an
    /// operation does with the value, but are no part of the value. Also of the functions that
    /// stand for values: they may change after a value was stored.
    fn met(&mut self, code: &Bound<'_, PyAny>);

    /// Told of a part with attributes, or of a class, that a copy of it may lose.
    fn met_attributes(&mut self) {}
}

/// What is written instead of the content of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandIn {
    /// It is a handle: the output of another operation, by the caller's number for it.
    Edge(u64),
    /// A whole plain encoding.
    Encoding(Vec<u8>),
}

/// Nothing around: no handles, and code of the project has no digest.
#[derive(Debug, Default)]
pub struct Alone;

impl Surroundings for Alone {
    fn stand_in(&mut self, _: &Bound<'_, PyAny>) -> PyResult<Option<StandIn>> {
        Ok(None)
    }

    fn code(&mut self, _: &Bound<'_, PyAny>) -> PyResult<Option<Digest>> {
        Ok(None)
    }

    fn met(&mut self, _: &Bound<'_, PyAny>) {}
}

/// Appends the encoding of `value` to `writer`; `root` is what messages call the value.
///
/// # Errors
///
/// [`Unhashable`]; the writer then holds a torn encoding, to be cleared.
pub fn encode(
    value: &Bound<'_, PyAny>,
    root: &str,
    writer: &mut plain::Writer,
    surroundings: &mut dyn Surroundings,
) -> Result<(), Unhashable> {
    Encoder::new(value.py(), writer, surroundings)
        .encode(value)
        .map_err(|unhashable| unhashable.below(root))
}

/// The digest of a value, in hexadecimal.
#[pyfunction]
#[pyo3(name = "digest")]
fn digest_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let mut writer = plain::Writer::new();
    encode(value, "value", &mut writer, &mut Alone)
        .map_err(|unhashable| unhashable.into_error(value.py()))?;
    plain::digest(writer.as_bytes())
        .map(|digest| digest.to_string())
        .map_err(|error| pyo3::exceptions::PyTypeError::new_err(error.to_string()))
}

/// The canonical encoding of a value.
#[pyfunction]
#[pyo3(name = "encoding")]
fn encoding_of(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut writer = plain::Writer::new();
    encode(value, "value", &mut writer, &mut Alone)
        .map_err(|unhashable| unhashable.into_error(value.py()))?;
    Ok(writer.into_bytes())
}

/// A short text that shows a value without calling its code.
#[pyfunction]
#[pyo3(name = "preview")]
fn preview_of(value: &Bound<'_, PyAny>) -> String {
    preview(value)
}

/// Adds `digest`, `encoding` and `preview` to the native module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(digest_of, module)?)?;
    module.add_function(wrap_pyfunction!(encoding_of, module)?)?;
    module.add_function(wrap_pyfunction!(registered::register_type, module)?)?;
    module.add_function(wrap_pyfunction!(preview_of, module)?)
}
