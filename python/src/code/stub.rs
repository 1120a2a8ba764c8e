//! Digests of plain values, until the encoder of all values is there.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PySet, PyString, PyTuple};
use thrifty_key::Digest;
use thrifty_key::plain::{self, Container, Writer};

pub(super) fn plain_values(value: &Bound<'_, PyAny>) -> Option<Digest> {
    let mut writer = Writer::new();
    write(value, &mut writer)?;
    plain::digest(writer.as_bytes()).ok()
}

fn write(value: &Bound<'_, PyAny>, writer: &mut Writer) -> Option<()> {
    if value.is_none() {
        writer.none();
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        writer.bool(value.is_true());
    } else if let Ok(value) = value.cast_exact::<PyInt>() {
        writer.int(value.extract().ok()?);
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        writer.float(value.value());
    } else if let Ok(value) = value.cast_exact::<PyString>() {
        writer.text(value.extract::<String>().ok()?.as_bytes());
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        writer.bytes(value.as_bytes());
    } else if let Ok(value) = value.cast_exact::<PyDict>() {
        writer.open(Container::Dict, value.len());
        for (key, value) in value.iter() {
            write(&key, writer)?;
            write(&value, writer)?;
        }
    } else {
        let (kind, length) = if let Ok(value) = value.cast_exact::<PyTuple>() {
            (Container::Tuple, value.len())
        } else if let Ok(value) = value.cast_exact::<PyList>() {
            (Container::List, value.len())
        } else {
            (Container::Set, value.cast_exact::<PySet>().ok()?.len())
        };
        writer.open(kind, length);
        for element in value.try_iter().ok()? {
            write(&element.ok()?, writer)?;
        }
    }
    Some(())
}
