//! `registered/1`: a value of a registered type, as what its `dump` hook gave.
//!
//! What `dump` gave is drafted like any value and must not need a pickle. The header is the plain
//! tuple `(name, code, record)`: the name of the registered type, the digest of the code of both
//! hooks, and the record of what was dumped, each of whose buffers is replaced by its number
//! among the buffers of the object.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use thrifty_engine::record::{Buffer, Draft, Object, Record, Source};
use thrifty_key::{Context, Digest, Hasher};

use super::drafting::{self, Encode, Encoded};
use super::error::{NotStorable, unreadable};
use super::{Open, Parts, Shelf, header, kept, library, pickle};
use crate::value::registry::{self, Hooks, Serializer};

/// The codec and its version.
pub(super) const CODEC: &str = "registered/1";

/// How many registered types may be dumped as one another.
const LEVELS: usize = 16;

thread_local! {
    /// How many `dump` hooks this thread is within.
    static LEVEL: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// What is kept of a value of a registered type, and its encoding; `None` for any other.
///
/// # Errors
///
/// `NotStorable` if a hook fails, or if they do not give the value back; what `encode` raises.
pub(super) fn draft(
    value: &Bound<'_, PyAny>,
    encode: &Encode<'_>,
) -> PyResult<Option<(Parts, Encoded)>> {
    let py = value.py();
    let class = value.get_type();
    registry::meet_class(&class)?;
    let Some(hooks) = registry::serializer_for(&class)? else {
        return Ok(None);
    };
    let Some(serializer) = &hooks.serializer else {
        return Ok(None);
    };
    let code = code_of(py, serializer).map_err(|error| refused(py, &hooks, "code", error))?;
    let dumped = serializer.dump.bind(py).call1((value,));
    let dumped = dumped.map_err(|error| refused(py, &hooks, "dump", error))?;
    let Some(draft) = within(&hooks, || drafting::without_pickle(&dumped, encode))? else {
        return Err(not_storable(&hooks, "what dump returned needs a pickle, or files"));
    };
    let mut buffers = Vec::new();
    let Some(record) = flattened(draft, &mut buffers) else {
        return Err(not_storable(&hooks, "what dump returned needs a pickle, or files"));
    };
    let again = restored(py, &hooks, serializer, &record, &buffers)?;
    let encoded = agreed(value, &again, &hooks, encode)?;
    let header = (
        hooks.name.as_str(),
        PyBytes::new(py, code.as_bytes()),
        PyBytes::new(py, &record.to_bytes()),
    );
    let header = header::write(header.into_pyobject(py)?.as_any())?;
    Ok(Some((Parts { codec: CODEC, header, buffers }, encoded)))
}

/// Runs `write` one level deeper.
fn within<T>(hooks: &Hooks, write: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let level = LEVEL.get();
    if level >= LEVELS {
        return Err(not_storable(hooks, "dump returns values that are dumped again without end"));
    }
    LEVEL.set(level + 1);
    let written = write();
    LEVEL.set(level);
    written
}

/// The record of a draft whose buffers are kept apart; `None` if it holds what cannot be.
fn flattened(draft: Draft, buffers: &mut Vec<Source>) -> Option<Record> {
    Some(match draft {
        Draft::Plain(encoding) => Record::Plain(encoding),
        Draft::Composite { container, parts } => {
            let parts = parts.into_iter().map(|part| flattened(part, buffers));
            Record::Composite { container, parts: parts.collect::<Option<_>>()? }
        }
        Draft::Object { codec, digest, classes, header, buffers: own } => {
            if codec == pickle::CODEC || library::holds_pickles(&codec) {
                return None;
            }
            let mut numbers = Vec::new();
            for source in own {
                if matches!(source, Source::File { .. }) {
                    return None;
                }
                numbers.push(Buffer::Inline((buffers.len() as u64).to_le_bytes().to_vec()));
                buffers.push(source);
            }
            Record::Object(Object { codec, digest, classes, header, buffers: numbers })
        }
        Draft::Hashed { .. } | Draft::Annotated { .. } | Draft::Stored(_) | Draft::Edge(_) => {
            return None;
        }
    })
}

/// The record with its own buffers in the place of their numbers.
fn filled(record: Record, buffers: &[Buffer]) -> PyResult<Record> {
    Ok(match record {
        Record::Composite { container, parts } => {
            let parts = parts.into_iter().map(|part| filled(part, buffers));
            Record::Composite { container, parts: parts.collect::<PyResult<_>>()? }
        }
        Record::Object(object) => {
            let own = object.buffers.iter().map(|number| numbered(number, buffers));
            let own = own.collect::<PyResult<_>>()?;
            Record::Object(Object { buffers: own, ..object })
        }
        Record::Plain(_) => record,
        Record::Hashed { .. } | Record::Annotated { .. } => {
            return Err(unreadable("a hashed value in a registered one"));
        }
    })
}

fn numbered(number: &Buffer, buffers: &[Buffer]) -> PyResult<Buffer> {
    let found = match number {
        Buffer::Inline(bytes) => {
            let number = bytes.as_slice().try_into().map(u64::from_le_bytes).ok();
            number.and_then(|number| buffers.get(usize::try_from(number).ok()?))
        }
        Buffer::Blob(_) => None,
    };
    found.cloned().ok_or_else(|| unreadable("a registered value with a buffer that is not there"))
}

/// The value as a later load would give it, from copies of all memory: what `load` does to what
/// it is given must not reach the value.
fn restored<'py>(
    py: Python<'py>,
    hooks: &Hooks,
    serializer: &Serializer,
    record: &Record,
    buffers: &[Source],
) -> PyResult<Bound<'py, PyAny>> {
    let copies = kept::copied(buffers);
    let copies = copies.ok_or_else(|| not_storable(hooks, "what dump returned needs files"))?;
    let record = filled(record.clone(), &copies)?;
    let dumped = kept::in_memory(|open, shelf| super::load(py, &record, open, shelf))?;
    let loaded = serializer.load.bind(py).call1((dumped,));
    loaded.map_err(|error| refused(py, hooks, "load", error))
}

/// The encoding of the value, unless the hooks do not give the value back. A value without a digest
/// has one that is drawn anew each time, and cannot be compared.
fn agreed(
    value: &Bound<'_, PyAny>,
    again: &Bound<'_, PyAny>,
    hooks: &Hooks,
    encode: &Encode<'_>,
) -> PyResult<Encoded> {
    let before = encode(value)?;
    let digest = drafting::digest_of(&before.bytes)?;
    let is_same = drafting::digest_of(&encode(again)?.bytes)? == digest;
    if is_same || drafting::digest_of(&encode(value)?.bytes)? != digest {
        return Ok(before);
    }
    let class = crate::shown::class_name(&value.get_type())?;
    let reason = format!(
        "load(dump(value)) has another digest than the value, a {class}: what was stored would \
         not be what the function returned"
    );
    hooks.warn_once(
        value.py(),
        &format!("results of type {} are not stored: {reason}", hooks.name),
    )?;
    Err(not_storable(hooks, &reason))
}

fn not_storable(hooks: &Hooks, reason: &str) -> PyErr {
    NotStorable::new_err(format!(
        "a result of the registered type {} cannot be stored: {reason}; it is passed on, and \
         computed again next time. Correct dump and load: dump gives builtin values, arrays, \
         frames, or tuples, lists and dicts of them",
        hooks.name
    ))
}

fn refused(py: Python<'_>, hooks: &Hooks, which: &str, error: PyErr) -> PyErr {
    // Ctrl-C and exits are no fault of the hooks.
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let refusal = not_storable(hooks, &format!("{which}: {error}"));
    refusal.set_cause(py, Some(error));
    refusal
}

/// The code of both hooks: what one version dumped, another might load as something else.
fn code_of(py: Python<'_>, serializer: &Serializer) -> PyResult<Digest> {
    let mut hasher = Hasher::new(Context::Code);
    for hook in [&serializer.dump, &serializer.load] {
        hasher.digest(&registry::code_of(hook.bind(py))?);
    }
    Ok(hasher.finish())
}

/// The value again, if its type is registered here with the hooks that it was dumped by.
pub(super) fn load<'py>(
    py: Python<'py>,
    header: &[u8],
    buffers: &[Buffer],
    open: &Open<'_>,
    shelf: &Shelf<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let header = header::read(py, header)?;
    let (name, code, record): (String, Bound<'_, PyBytes>, Bound<'_, PyBytes>) =
        header.cast_into::<PyTuple>()?.extract()?;
    let hooks = registry::serializer_named(py, &name)?;
    let Some((hooks, serializer)) =
        hooks.as_ref().and_then(|hooks| Some((hooks, hooks.serializer.as_ref()?)))
    else {
        return Err(unreadable(format_args!(
            "{name} is registered by no module that is imported here"
        )));
    };
    if code_of(py, serializer)?.as_bytes() != code.as_bytes() {
        return Err(unreadable(format_args!("{} was dumped by other hooks", hooks.name)));
    }
    let record = Record::from_bytes(record.as_bytes()).map_err(unreadable)?;
    let dumped = super::load(py, &filled(record, buffers)?, open, shelf)?;
    serializer.load.bind(py).call1((dumped,))
}
