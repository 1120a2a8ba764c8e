//! Following live objects: what a name is bound to when the text does not decide, or no longer.

use std::rc::Rc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString, PyType};
use thrifty_key::Digest;

use super::Kind;
use super::guard::Guard;
use super::inspect::{WRAPPED, WRAPPERS, describe, is_function, module_of};
use super::origin::{Place, Scope};
use super::unfollowable;
use super::walk::Walk;
use crate::remembering;
use crate::stand_ins::original;

/// The method by which a task tells the digest and text of what it asks of its cache, if that
/// decides about results, and the functions that make its keys.
pub(super) const SETTINGS: &str = "__thrifty_settings__";

/// Digest and text.
pub(super) type Settings = ([u8; 32], String);

/// What a task tells: its settings, the functions that make its keys, and the parameters that it
/// ignores.
pub(super) type Told<'py> = (Option<Settings>, Vec<(String, Bound<'py, PyAny>)>, Vec<String>);

impl<'py> Walk<'_, 'py> {
    /// Begins at the function that was given.
    pub(super) fn root(&mut self, function: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut function = function.clone();
        for _ in 0..WRAPPERS {
            if is_function(&function)? {
                break;
            }
            self.settings(&function, &describe(&function))?;
            let Some(wrapped) = function.getattr_opt(intern!(self.py, "__wrapped__"))? else {
                break;
            };
            function = wrapped;
        }
        let (_, name) = self.own_name(&function)?;
        let scope = self.detached("")?;
        self.value(&scope, &function, &name, &[])?;
        match self.has_code() {
            true => Ok(()),
            false => Err(unfollowable(
                &format!("`{name}`"),
                "what was given",
                "it is no code of the project",
            )),
        }
    }

    pub(super) fn detached(&self, name: &str) -> PyResult<Rc<Scope>> {
        Ok(Rc::new(Scope::detached(name.to_owned(), &PyDict::new(self.py))))
    }

    /// Follows an object, known to the code of `scope` under `hint`, and the attributes read from it.
    pub(super) fn value(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
        attributes: &[String],
    ) -> PyResult<()> {
        let value = &original(value);
        if let Ok(module) = value.cast::<PyModule>() {
            let name: String = module.getattr(intern!(self.py, "__name__"))?.extract()?;
            self.stands_for(hint, value)?;
            return self.member(&name, attributes);
        }
        if let Ok(class) = value.cast::<PyType>() {
            self.stands_for(hint, value)?;
            return self.class(scope, class);
        }
        if is_function(value)? {
            self.stands_for(hint, value)?;
            self.function(value)?;
            return self.attribute_of(scope, value, hint, attributes);
        }
        if self.wrapper(scope, value, hint)? {
            return Ok(());
        }
        self.constant(scope, value, hint)
    }

    /// Follows what somebody put beside a function, where it is read: `step.retries = 3`.
    pub(super) fn attribute_of(
        &mut self,
        scope: &Rc<Scope>,
        holder: &Bound<'py, PyAny>,
        hint: &str,
        attributes: &[String],
    ) -> PyResult<()> {
        let Some(name) = attributes.first().filter(|name| !name.starts_with("__")) else {
            return Ok(());
        };
        let namespace = holder.getattr_opt(intern!(self.py, "__dict__"))?;
        let Some(Ok(namespace)) = namespace.map(|namespace| namespace.cast_into::<PyDict>()) else {
            return Ok(());
        };
        let value = namespace.get_item(name)?;
        let guarded = value.clone().map(Bound::unbind);
        let key = PyString::intern(self.py, name).unbind();
        self.guards.push(Guard::Item { namespace: namespace.unbind(), name: key, value: guarded });
        match value {
            Some(value) => self.value(scope, &value, &format!("{hint}.{name}"), &attributes[1..]),
            None => Ok(()),
        }
    }

    /// Follows what a wrapper of functions holds; whether the value is one.
    pub(super) fn wrapper(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<bool> {
        let py = self.py;
        let kind = value.get_type();
        let (module, name) = (module_of(&kind), kind.name()?.to_string_lossy().into_owned());
        let parts: &[&str] = match (module.as_str(), name.as_str()) {
            (
                "builtins",
                "builtin_function_or_method"
                | "method_descriptor"
                | "wrapper_descriptor"
                | "method-wrapper",
            ) => {
                self.add_target(hint, Kind::Opaque, &describe(value));
                let owner = value.getattr_opt(intern!(py, "__self__"))?;
                if let Some(owner) =
                    owner.filter(|it| !it.is_none() && !it.is_instance_of::<PyModule>())
                {
                    self.value(scope, &owner, &format!("{hint}.__self__"), &[])?;
                }
                if let Some(home) = value
                    .getattr_opt(intern!(py, "__module__"))?
                    .and_then(|home| home.extract::<String>().ok())
                {
                    self.member(&home, &[])?;
                }
                return Ok(true);
            }
            ("builtins", "method") => &["__self__", "__func__"],
            ("builtins", "staticmethod" | "classmethod") => &["__func__"],
            ("builtins", "property") => &["fget", "fset", "fdel"],
            ("functools", "partial" | "partialmethod") => &["func", "args", "keywords"],
            ("functools", "cached_property") => &["func"],
            ("functools", "_lru_cache_wrapper") => {
                remembering::reaches(value)?;
                &["__wrapped__"]
            }
            _ if module.starts_with("thrifty") && value.hasattr("__wrapped__")? => {
                self.settings(value, hint)?;
                &["__wrapped__"]
            }
            ("numpy", "vectorize") => {
                self.member(&module, &[])?;
                &["pyfunc", "otypes", "excluded", "signature"]
            }
            _ => match self.made_by_a_library(value)? {
                Some(part) => {
                    self.member(&module, &[])?;
                    std::slice::from_ref(part)
                }
                None => return Ok(false),
            },
        };
        if self.is_new(hint, value) {
            for part in parts {
                let held = value.getattr(*part)?;
                if !held.is_none() {
                    self.value(scope, &held, &format!("{hint}.{part}"), &[])?;
                }
            }
        }
        Ok(true)
    }

    /// What a task that is reached asks of its cache decides which of its results are served, so
    /// it decides about the results of whatever calls it.
    pub(super) fn settings(&mut self, value: &Bound<'py, PyAny>, hint: &str) -> PyResult<()> {
        let py = self.py;
        let Some(settings) = value.getattr_opt(intern!(py, SETTINGS))? else {
            return Ok(());
        };
        let name = format!("{hint} (cache)");
        let (found, beside, ignored): Told<'py> = settings.call0()?.extract()?;
        let mut function = value.clone();
        for _ in 0..WRAPPERS {
            let Some(wrapped) = function.getattr_opt(intern!(py, "__wrapped__"))? else {
                break;
            };
            self.inputs.insert(wrapped.as_ptr() as usize, ignored.clone());
            function = wrapped;
        }
        if let Some((digest, text)) = found {
            self.add(&name, Kind::Constant, Digest::from_bytes(digest), Some(text));
            self.guards.push(Guard::Settings { task: value.clone().unbind(), digest });
        }
        let scope = self.detached("")?;
        beside
            .iter()
            .try_for_each(|(part, value)| self.value(&scope, value, &format!("{name}.{part}"), &[]))
    }

    /// The attribute by which something that an installed library made of a function holds it.
    pub(super) fn made_by_a_library(
        &mut self,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Option<&'static &'static str>> {
        if !value.is_callable() || !self.is_installed(&module_of(&value.get_type()))? {
            return Ok(None);
        }
        Ok(WRAPPED.iter().find(|part| {
            let held = value.getattr_opt(**part).ok().flatten();
            held.is_some_and(|held| is_function(&held).unwrap_or(false))
        }))
    }

    fn is_installed(&mut self, module: &str) -> PyResult<bool> {
        Ok(module != "builtins" && matches!(self.place(module)?, Place::Installed(_)))
    }
}
