//! Values of registered types: what their digest hook gives stands for them.

use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_key::Digest;
use thrifty_key::plain::Container;

use super::class::has_rule;
use super::encoder::Encoder;
use super::unhashable::{Outcome, Reason, Unhashable};
use crate::value::registry::{self, Hooks};

impl<'py> Encoder<'_, 'py> {
    /// Writes the code of the hook and what it gives, under the name of the class.
    pub(super) fn registered(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let class = self.class_of(value)?;
        let (hooks, code) = self.hooks_of(value)?;
        self.once(value, |encoder| {
            let given = given(value, &hooks)?;
            encoder.writer.typed(&format!("registered:{class}"));
            encoder.writer.open(Container::Tuple, 2);
            encoder.writer.digest(&code);
            let step = format!(".<digest of {}>", hooks.name);
            encoder.below_hook(|encoder| encoder.part(&given, &step))
        })
    }

    /// The hooks for a value and the digest of their code, found once for each class.
    fn hooks_of(&mut self, value: &Bound<'py, PyAny>) -> Outcome<(Arc<Hooks>, Digest)> {
        let class = value.get_type();
        if let Some((hooks, code)) = self.hooks.get(&class.as_type_ptr()) {
            return Ok((Arc::clone(hooks), *code));
        }
        let hooks = nearest(&class).map_err(|error| Unhashable::raised(value, error))?;
        let hooks = hooks.ok_or_else(|| Unhashable::new(value, Reason::Changed))?;
        let code = match &hooks.digest {
            Some(hook) => registry::code_of(hook.bind(self.py)),
            None => Err(PyValueError::new_err("there is no digest hook")),
        };
        let code = code.map_err(|error| failed(value, &hooks, "cannot be followed", error))?;
        if let Some(hook) = &hooks.digest {
            self.surroundings.met(hook.bind(self.py));
        }
        self.hooks.insert(class.as_type_ptr(), (Arc::clone(&hooks), code));
        Ok((hooks, code))
    }
}

fn nearest(class: &Bound<'_, PyType>) -> PyResult<Option<Arc<Hooks>>> {
    for base in class.mro().iter() {
        if let Some(hooks) = registry::digest_of(base.cast::<PyType>()?) {
            return Ok(Some(hooks));
        }
    }
    Ok(None)
}

/// What the hook gives for a value. None is what a function without a `return` gives, and would
/// make all values of the type one.
fn given<'py>(value: &Bound<'py, PyAny>, hooks: &Hooks) -> Outcome<Bound<'py, PyAny>> {
    let Some(hook) = &hooks.digest else {
        return Err(Unhashable::new(value, Reason::Changed));
    };
    let given = hook.bind(value.py()).call1((value,));
    let given = given.map_err(|error| failed(value, hooks, "raised", error))?;
    if given.is_none() {
        let error = PyTypeError::new_err("None would stand for every value of the type");
        return Err(failed(value, hooks, "returned None", error));
    }
    Ok(given)
}

fn failed(value: &Bound<'_, PyAny>, hooks: &Hooks, what: &str, error: PyErr) -> Unhashable {
    let hook = hooks.digest.as_ref().map(|hook| registry::described(hook.bind(value.py())));
    let hook = hook.unwrap_or_default();
    Unhashable::new(value, Reason::Hook { what: format!("{hook} {what}"), error: Box::new(error) })
}

/// Registers hooks for a type.
#[pyfunction]
#[pyo3(signature = (kind, digest, dump, load, yields, /))]
pub(super) fn register_type(
    kind: &Bound<'_, PyAny>,
    digest: Option<&Bound<'_, PyAny>>,
    dump: Option<&Bound<'_, PyAny>>,
    load: Option<&Bound<'_, PyAny>>,
    yields: bool,
) -> PyResult<()> {
    let Ok(class) = kind.cast::<PyType>() else {
        let given = kind.get_type().qualname()?.to_string_lossy().into_owned();
        return Err(PyTypeError::new_err(format!("register takes a class, not a {given}")));
    };
    let name = crate::shown::class_name(class)?;
    for (which, hook) in [("digest", digest), ("dump", dump), ("load", load)] {
        if let Some(hook) = hook.filter(|hook| !hook.is_callable()) {
            return Err(PyTypeError::new_err(format!(
                "{which} of {name} is called with one argument, and a {} cannot be called",
                hook.get_type().qualname()?.to_string_lossy()
            )));
        }
    }
    if dump.is_some() != load.is_some() {
        return Err(PyTypeError::new_err(format!(
            "dump and load of {name} come together: load gives back what dump was given"
        )));
    }
    if has_rule(class)? {
        return Err(PyValueError::new_err(format!(
            "{name} cannot be registered: its values have an exact rule already. Register a class \
             of your own that derives from it, or annotate a parameter with HashMethod"
        )));
    }
    registry::add(class, digest, dump.zip(load), yields)
}
