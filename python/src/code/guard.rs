//! What a closure was resolved through, so that it need not be resolved again.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use thrifty_key::Digest;

use super::Encoder;
use super::live::{SETTINGS, Settings};

/// One thing that has to be as it was.
pub(super) enum Guard {
    /// A name of a namespace; none if it was not bound.
    Item {
        namespace: Py<PyDict>,
        name: Py<PyString>,
        value: Option<Py<PyAny>>,
    },
    /// A module was not loaded: once it is, its live values count as well.
    Unloaded {
        modules: Py<PyDict>,
        name: Py<PyString>,
    },
    /// Code and defaults of a function; its cells can be filled, but not replaced.
    Function {
        function: Py<PyAny>,
        parts: [Py<PyAny>; 3],
    },
    /// A cell of a function; none if it was empty.
    Cell {
        cell: Py<PyAny>,
        value: Option<Py<PyAny>>,
    },
    /// All attributes of a class.
    Class {
        class: Py<PyAny>,
        attributes: Vec<(Py<PyString>, Py<PyAny>)>,
    },
    /// The elements of a container.
    Elements {
        container: Py<PyAny>,
        elements: Vec<Py<PyAny>>,
    },
    /// A value that can change in place.
    Value { value: Py<PyAny>, digest: Digest },
    /// What a task asks of its cache: variables and files can change.
    Settings { task: Py<PyAny>, digest: [u8; 32] },
}

impl Guard {
    /// A guard of what a function is made of.
    pub(super) fn of_function(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self::Function {
            function: function.clone().unbind(),
            parts: parts(function)?,
        })
    }

    /// A guard of all attributes of a class.
    pub(super) fn of_class(class: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut attributes = Vec::new();
        for name in class.getattr(intern!(class.py(), "__dict__"))?.try_iter()? {
            let name = name?.cast_into::<PyString>()?;
            let value = class
                .getattr(intern!(class.py(), "__dict__"))?
                .get_item(&name)?;
            attributes.push((name.unbind(), value.unbind()));
        }
        Ok(Self::Class {
            class: class.clone().unbind(),
            attributes,
        })
    }

    /// A guard of the elements of a container.
    pub(super) fn of_elements(container: &Bound<'_, PyAny>) -> PyResult<Self> {
        let elements = elements(container)?
            .into_iter()
            .map(Bound::unbind)
            .collect();
        Ok(Self::Elements {
            container: container.clone().unbind(),
            elements,
        })
    }

    /// Whether nothing changed.
    pub(super) fn holds<'py>(&self, py: Python<'py>, encoder: Encoder<'_, 'py>) -> PyResult<bool> {
        let same = |a: Option<Bound<'_, PyAny>>, b: &Option<Py<PyAny>>| match (a, b) {
            (Some(a), Some(b)) => a.is(b),
            (None, None) => true,
            _ => false,
        };
        Ok(match self {
            Self::Item {
                namespace,
                name,
                value,
            } => same(namespace.bind(py).get_item(name)?, value),
            Self::Unloaded { modules, name } => !modules.bind(py).contains(name)?,
            Self::Function {
                function,
                parts: before,
            } => parts(function.bind(py))?
                .iter()
                .zip(before)
                .all(|(now, before)| now.is(before)),
            Self::Cell { cell, value } => same(
                cell.bind(py).getattr(intern!(py, "cell_contents")).ok(),
                value,
            ),
            Self::Class { class, attributes } => {
                let now = class.bind(py).getattr(intern!(py, "__dict__"))?;
                now.len()? == attributes.len()
                    && attributes
                        .iter()
                        .all(|(name, value)| now.get_item(name).is_ok_and(|now| now.is(value)))
            }
            Self::Elements {
                container,
                elements: before,
            } => {
                let now = elements(container.bind(py))?;
                now.len() == before.len()
                    && now.iter().zip(before).all(|(now, before)| now.is(before))
            }
            Self::Settings { task, digest } => {
                let told = task.bind(py).call_method0(intern!(py, SETTINGS))?;
                let (found, _): (Option<Settings>, Bound<'_, PyAny>) = told.extract()?;
                found.is_some_and(|(now, _)| now == *digest)
            }
            Self::Value { value, digest } => encoder(value.bind(py)) == Some(*digest),
        })
    }
}

fn elements<'py>(container: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match container.cast::<PyDict>() {
        Ok(dict) => Ok(dict.iter().flat_map(|(key, value)| [key, value]).collect()),
        Err(_) => container.try_iter()?.collect(),
    }
}

fn parts(function: &Bound<'_, PyAny>) -> PyResult<[Py<PyAny>; 3]> {
    let py = function.py();
    Ok([
        function.getattr(intern!(py, "__code__"))?.unbind(),
        function.getattr(intern!(py, "__defaults__"))?.unbind(),
        function.getattr(intern!(py, "__kwdefaults__"))?.unbind(),
    ])
}
