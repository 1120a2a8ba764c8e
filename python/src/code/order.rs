//! The order of keys in dicts. As a value a dict has none, but code can tell in which order its source
//! wrote one.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use thrifty_key::{Context, Digest, Hasher};

use super::Encoder;

/// The dicts of a value that have several keys, outermost first, each object once; in objects none are
/// looked for.
fn dicts<'py>(value: &Bound<'py, PyAny>) -> Vec<Bound<'py, PyDict>> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut waiting = vec![value.clone()];
    while let Some(value) = waiting.pop() {
        let dict = value.cast_exact::<PyDict>();
        let held: Vec<Bound<'py, PyAny>> = if let Ok(dict) = dict {
            dict.values().iter().collect()
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            list.iter().collect()
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            tuple.iter().collect()
        } else {
            continue;
        };
        if seen.insert(value.as_ptr()) {
            found.extend(dict.ok().filter(|dict| dict.len() > 1).cloned());
            waiting.extend(held.into_iter().rev());
        }
    }
    found
}

/// The digest of the order in a value that has one: of a list of the keys of each of its dicts.
pub(super) fn digest<'py>(value: &Bound<'py, PyAny>, encoder: Encoder<'_, 'py>) -> Option<Digest> {
    let found = dicts(value);
    if found.is_empty() {
        return None;
    }
    let keys = found.iter().map(|dict| dict.keys());
    encoder(PyList::new(value.py(), keys).ok()?.as_any())
}

/// The digest of a value and of the order in it.
pub(super) fn with(digest: Digest, order: Option<Digest>) -> Digest {
    match order {
        Some(order) => {
            Hasher::new(Context::Code).framed(b"order").digest(&digest).digest(&order).finish()
        }
        None => digest,
    }
}

/// All keys of the dicts of a value, in order.
pub(super) fn keys(value: &Bound<'_, PyAny>) -> Vec<Py<PyAny>> {
    let found = dicts(value);
    found
        .iter()
        .flat_map(|dict| dict.keys().iter().map(Bound::unbind).collect::<Vec<_>>())
        .collect()
}

/// Whether these are the same keys.
pub(super) fn is_same(now: &[Py<PyAny>], before: &[Py<PyAny>], py: Python<'_>) -> bool {
    let same = |a: &Py<PyAny>, b: &Py<PyAny>| a.is(b) || a.bind(py).eq(b).unwrap_or(false);
    now.len() == before.len() && now.iter().zip(before).all(|(a, b)| same(a, b))
}
