//! What of an argument enters the key.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_engine::graph::Input;
use thrifty_key::plain::Container;
use thrifty_key::{Context, Hasher, Preview, plain};

use super::error;
use super::handle::Handle;
use super::hooks::Hook;
use super::ingredients::Around;
use super::session::Session;
use crate::value::digest;

/// The names of keyword arguments that have no parameter of their own, in the order in which they were
/// given, if there are several: as a value, a dict has none, but a body that hands them on shows it.
///
/// # Errors
///
/// What Python raised.
pub fn order_of(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Option<Input>> {
    let Ok(keywords) = value.cast_exact::<PyDict>() else {
        return Ok(None);
    };
    if keywords.len() < 2 {
        return Ok(None);
    }
    let mut writer = plain::Writer::new();
    writer.open(Container::List, keywords.len());
    let names: Vec<String> = keywords.keys().extract()?;
    names.iter().for_each(|name| writer.text(name.as_bytes()));
    let preview = Preview::text(names.join(", "));
    let name = format!("{name} (order)");
    Ok(Some(Input { name, encoding: writer.into_bytes(), preview }))
}

/// Appends the encoding of an argument, as its annotation says, and gives its preview.
///
/// # Errors
///
/// What the user's hash method raised, and what an argument without a digest does.
pub fn encode(
    value: &Bound<'_, PyAny>,
    name: &str,
    hook: &Hook,
    around: &mut Around<'_, '_>,
    writer: &mut plain::Writer,
) -> PyResult<Preview> {
    let py = value.py();
    let is_handle = value.is_instance_of::<Handle>();
    let hashed = if is_handle { None } else { hook.digest(value, name)? };
    match hashed {
        Some(digest) => writer.digest(&digest),
        None => around.encode(value, name, writer).map_err(|error| error::unhashable(py, error))?,
    }
    if !hook.secret {
        return Ok(Preview::text(digest::preview(value)));
    }
    if !is_handle {
        let plain = std::mem::take(writer);
        let session = Session::current(py)?;
        let mut hasher = Hasher::new(Context::Value);
        hasher.framed(b"thrifty.Secret").framed(session.secret_key()?).framed(plain.as_bytes());
        writer.digest(&hasher.finish());
    }
    Ok(Preview::Hidden)
}
