//! Which thing a name stands for, where that is not the thing of that name.
//!
//! The units of `f` and `g` are the same whether `METHOD` is `f` or `g`, where both are reached; so
//! `METHOD` is a unit of its own, which names the one that it is.

use std::collections::hash_map::Entry;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyModule, PyType};
use thrifty_key::{Context, Hasher};

use super::Kind;
use super::inspect::{describe, module_of};
use super::origin::Place;
use super::walk::Walk;

impl<'py> Walk<'_, 'py> {
    /// Says that a name stands for a module, function or class, by its own name or by another one
    /// under which it was met before: closures of one factory share their own.
    pub(super) fn stands_for(&mut self, hint: &str, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let (kind, own) = self.own_name(value)?;
        if hint == own {
            return Ok(());
        }
        let met = self.met.entry(value.as_ptr() as usize);
        let (_, first) = met.or_insert_with(|| (value.clone(), hint.to_owned()));
        let target = if first == hint { own } else { first.clone() };
        self.add_target(hint, kind, &target);
        Ok(())
    }

    /// Says that the text binds a name to a module, or to what a module has under a name.
    pub(super) fn is_bound_to(&mut self, hint: &str, module: &str, name: &str) -> PyResult<()> {
        let (kind, target) = self.in_module(module, name)?;
        self.add_target(hint, kind, &target);
        Ok(())
    }

    /// Whether a value is met for the first time. If not, the name stands for what the first one
    /// does.
    pub(super) fn is_new(&mut self, hint: &str, value: &Bound<'py, PyAny>) -> bool {
        match self.met.entry(value.as_ptr() as usize) {
            Entry::Vacant(entry) => {
                entry.insert((value.clone(), hint.to_owned()));
                true
            }
            Entry::Occupied(entry) => {
                let first = entry.get().1.clone();
                if first != hint {
                    self.add_target(hint, Kind::Constant, &first);
                }
                false
            }
        }
    }

    pub(super) fn add_target(&mut self, hint: &str, kind: Kind, target: &str) {
        let digest = Hasher::new(Context::Code).framed(target.as_bytes()).finish();
        self.add(hint, kind, digest, Some(target.to_owned()));
    }

    /// The name of the unit that a module, function or class is, or would be.
    pub(super) fn own_name(&mut self, value: &Bound<'py, PyAny>) -> PyResult<(Kind, String)> {
        if let Ok(module) = value.cast::<PyModule>() {
            let name: String = module.getattr(intern!(self.py, "__name__"))?.extract()?;
            return self.in_module(&name, "");
        }
        let home = match value.cast::<PyType>() {
            Ok(class) => module_of(class),
            Err(_) => {
                let home = value.getattr_opt(intern!(self.py, "__module__"))?;
                home.and_then(|home| home.extract().ok()).unwrap_or_default()
            }
        };
        let described = describe(value);
        let name = described.strip_prefix(&format!("{home}:")).unwrap_or(&described).to_owned();
        self.in_module(&home, &name)
    }

    fn in_module(&mut self, module: &str, name: &str) -> PyResult<(Kind, String)> {
        let (kind, home) = match self.place(module)? {
            Place::Project(scope) => (Kind::Constant, scope.name.clone()),
            Place::Namespace(_) | Place::Missing => (Kind::Constant, module.to_owned()),
            Place::Standard | Place::Installed(_) | Place::Opaque(_) => {
                (Kind::Opaque, module.to_owned())
            }
        };
        Ok((kind, if name.is_empty() { home } else { format!("{home}:{name}") }))
    }
}
