//! Values that code reads.

use std::rc::Rc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyModule, PySet, PyTuple, PyType};
use thrifty_key::{Context, Digest, Hasher};

use super::guard::{self, Guard};
use super::inspect::{describe, is_function, is_immutable, module_of};
use super::order;
use super::origin::Scope;
use super::walk::Walk;
use super::{Kind, unfollowable};
use crate::stand_ins::original;

/// Types of objects whose state never decides a result.
const STATELESS: [(&str, &str); 9] = [
    ("logging", "Logger"),
    ("logging", "LoggerAdapter"),
    ("_thread", "lock"),
    ("_thread", "RLock"),
    ("_thread", "_local"),
    ("typing", "TypeVar"),
    ("IPython.core.interactiveshell", "InteractiveShell"),
    ("IPython.terminal.interactiveshell", "TerminalInteractiveShell"),
    ("ipykernel.zmqshell", "ZMQInteractiveShell"),
];

/// The deepest nesting of containers that hold code.
const DEEPEST: usize = 100;

impl<'py> Walk<'_, 'py> {
    /// A value that the code reads.
    pub(super) fn constant(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<()> {
        let kind = value.get_type();
        let (module, name) = (module_of(&kind), kind.name()?.to_string_lossy().into_owned());
        if STATELESS.contains(&(module.as_str(), name.as_str())) {
            return Ok(());
        }
        if module != "builtins" {
            self.class(scope, &kind)?;
        }
        let holds_code = self.holds_code(value, 0)?;
        if !holds_code && let Some(digest) = (self.encoder)(value) {
            if !is_immutable(value) {
                self.guards.push(Guard::of_value(value.clone(), digest));
            }
            let digest = order::with(digest, order::digest(value, self.encoder));
            self.add(hint, Kind::Constant, digest, preview(value));
            return Ok(());
        }
        if !self.is_new(hint, value) || self.container(scope, value, hint)? {
            return Ok(());
        }
        let reason = format!("a value of type `{name}` has no digest");
        let assigned = hint.strip_prefix(&format!("{}:", scope.name));
        let assigned = assigned.and_then(|name| name.split(['.', '[', '(']).next());
        match assigned {
            Some(name) if scope.text.is_some() => self.expression(scope, name, &reason),
            _ => Err(unfollowable(&format!("`{hint}`"), &scope.name, &reason)),
        }
    }

    /// Whether a value is code or a container that holds some: then it is followed, not encoded,
    /// so that a table of functions that use the table has an end.
    pub(super) fn holds_code(&self, value: &Bound<'py, PyAny>, depth: usize) -> PyResult<bool> {
        if guard::is_leaf(value) {
            return Ok(false);
        }
        if is_function(&original(value))?
            || value.is_instance_of::<PyType>()
            || value.is_instance_of::<PyModule>()
        {
            return Ok(true);
        }
        let kind = value.get_type();
        if module_of(&kind) == "functools" || value.hasattr("__wrapped__").unwrap_or(false) {
            return Ok(true);
        }
        let is_container = value.cast_exact::<PyDict>().is_ok()
            || value.cast_exact::<PyList>().is_ok()
            || value.cast_exact::<PyTuple>().is_ok();
        if !is_container || depth >= DEEPEST {
            return Ok(false);
        }
        for element in guard::elements(value)? {
            if self.holds_code(&element, depth + 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The digest of what stands in a container beside code; none of code, and of what has none.
    fn part(&mut self, scope: &Rc<Scope>, value: &Bound<'py, PyAny>) -> PyResult<Option<Digest>> {
        if self.holds_code(value, 0)? {
            return Ok(None);
        }
        let digest = (self.encoder)(value);
        let kind = value.get_type();
        if digest.is_some() && module_of(&kind) != "builtins" {
            self.class(scope, &kind)?;
        }
        if let Some(digest) = digest.filter(|_| !is_immutable(value)) {
            self.guards.push(Guard::of_value(value.clone(), digest));
        }
        Ok(digest.map(|digest| order::with(digest, order::digest(value, self.encoder))))
    }

    /// What tells a key of a table from all others: a number or text as Python writes it, code by its
    /// name, anything else by its digest. Code is followed.
    fn label(
        &mut self,
        scope: &Rc<Scope>,
        key: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<String> {
        // Python refuses to write out long integers.
        if is_immutable(key)
            && let Ok(written) = key.repr()
        {
            return Ok(written.to_string_lossy().into_owned());
        }
        let name = describe(key);
        if let Some(digest) = self.part(scope, key)? {
            return Ok(format!("{name} {digest}"));
        }
        if !self.holds_code(key, 0)? {
            return Ok(name);
        }
        if let Ok(parts) = key.cast_exact::<PyTuple>() {
            let parts: PyResult<Vec<_>> =
                parts.iter().map(|part| self.label(scope, &part, hint)).collect();
            return Ok(format!("({})", parts?.join(", ")));
        }
        self.value(scope, key, &format!("{hint}[{name}]"), &[])?;
        Ok(name)
    }

    /// A container with functions, classes or modules in it: element by element.
    fn container(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<bool> {
        let mut elements: Vec<(String, Bound<'py, PyAny>)> = Vec::new();
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            for (key, element) in dict.iter() {
                elements.push((self.label(scope, &key, hint)?, element));
            }
        } else if value.cast_exact::<PyList>().is_ok() || value.cast_exact::<PyTuple>().is_ok() {
            for (at, element) in value.try_iter()?.enumerate() {
                elements.push((at.to_string(), element?));
            }
        } else if value.cast_exact::<PySet>().is_ok() || value.cast_exact::<PyFrozenSet>().is_ok() {
            for element in value.try_iter()? {
                let element = element?;
                elements.push((self.label(scope, &element, hint)?, element));
            }
            elements.sort_by(|a, b| a.0.cmp(&b.0));
        } else {
            return Ok(false);
        }
        if self.nesting >= DEEPEST {
            let reason = "it is nested too deep";
            return Err(unfollowable(&format!("`{hint}`"), &scope.name, reason));
        }
        self.nesting += 1;
        let mut hasher = Hasher::new(Context::Code);
        hasher
            .framed(value.get_type().name()?.to_string_lossy().into_owned().as_bytes())
            .count(elements.len());
        for (label, element) in &elements {
            hasher.framed(label.as_bytes());
            match self.part(scope, element)? {
                Some(digest) => _ = hasher.tag(1).digest(&digest),
                None => {
                    hasher.tag(2).framed(describe(element).as_bytes());
                    self.value(scope, element, &format!("{hint}[{label}]"), &[])?;
                }
            }
        }
        self.nesting -= 1;
        self.guards.push(Guard::of_elements(value)?);
        self.add(hint, Kind::Constant, hasher.finish(), None);
        Ok(true)
    }
}

/// A short text of a plain value.
pub(super) fn preview(value: &Bound<'_, PyAny>) -> Option<String> {
    const LONGEST: usize = 2_000;
    if module_of(&value.get_type()) != "builtins" {
        return None;
    }
    let text = value.repr().ok()?.to_string_lossy().into_owned();
    Some(text.chars().take(LONGEST).collect())
}
