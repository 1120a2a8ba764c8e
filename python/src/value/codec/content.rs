//! What a value consists of, as far as exact builtin types show.

use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};
use thrifty_key::plain::DEPTH;

use super::loaded_type;

/// What a value consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// Builtins through and through.
    Plain,
    /// No builtin.
    Other,
    /// A builtin container with something else in it.
    Parts,
    /// It holds something that can change twice, or itself, or is nested too deeply: only a
    /// pickle keeps that.
    Shared,
}

impl Content {
    /// Looks through builtin containers, not into other objects.
    pub(super) fn of(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Scan { seen: HashMap::new() }.value(value, 0)?.content)
    }
}

#[derive(Debug, Clone, Copy)]
struct Found {
    content: Content,
    /// Whether nothing in it can change, so that holding it twice is holding two of it.
    frozen: bool,
}

impl Found {
    fn with(self, child: Self) -> Self {
        let content = if child.content == Content::Other { Content::Parts } else { child.content };
        Self { content: self.content.max(content), frozen: self.frozen && child.frozen }
    }
}

/// The containers and objects met, by address; the value keeps them alive.
struct Scan {
    seen: HashMap<usize, Found>,
}

impl Scan {
    fn value(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Found> {
        if is_leaf(value) {
            return Ok(Found { content: Content::Plain, frozen: true });
        }
        let shared = Found { content: Content::Shared, frozen: false };
        let address = value.as_ptr() as usize;
        match self.seen.get(&address) {
            Some(found) if found.frozen => return Ok(*found),
            Some(_) => return Ok(shared),
            None if depth > DEPTH => return Ok(shared),
            None => {}
        }
        // Until it is known what is in it, meeting it again means a cycle.
        self.seen.insert(address, shared);
        let found = self.container(value, depth + 1)?;
        self.seen.insert(address, found);
        Ok(found)
    }

    fn container(&mut self, value: &Bound<'_, PyAny>, depth: usize) -> PyResult<Found> {
        let start = |frozen| Found { content: Content::Plain, frozen };
        if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            self.children(start(true), tuple.iter(), depth)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.children(start(false), list.iter(), depth)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            let found = self.children(start(false), dict.keys().iter(), depth)?;
            self.children(found, dict.values().iter(), depth)
        } else if let Ok(set) = value.cast_exact::<PySet>() {
            self.children(start(false), set.iter(), depth)
        } else if let Ok(set) = value.cast_exact::<PyFrozenSet>() {
            self.children(start(true), set.iter(), depth)
        } else {
            Ok(Found { content: Content::Other, frozen: is_frozen(value)? })
        }
    }

    fn children<'py>(
        &mut self,
        found: Found,
        children: impl Iterator<Item = Bound<'py, PyAny>>,
        depth: usize,
    ) -> PyResult<Found> {
        let mut found = found;
        for child in children {
            found = found.with(self.value(&child, depth)?);
        }
        Ok(found)
    }
}

/// Whether the type has a hash. Types whose values change have none, but for tensors.
fn is_frozen(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    if let Some(tensor) = loaded_type(py, intern!(py, "torch"), intern!(py, "Tensor"))?
        && value.is_instance(&tensor)?
    {
        return Ok(false);
    }
    Ok(!value.get_type().getattr(intern!(py, "__hash__"))?.is_none())
}

fn is_leaf(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
        || value.is_exact_instance_of::<PyComplex>()
}
