//! Following classes.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_key::{Context, Hasher};
use thrifty_source::outline::Binding;

use super::guard::Guard;
use super::inspect::{
    WRAPPERS, attributes, cells, describe, is_descriptor, is_function, module_of, plain_function,
};
use super::origin::{Place, Scope};
use super::registered::SUBCLASSES;
use super::text::{self, Piece, Text};
use super::walk::Walk;
use super::{Kind, source, unfollowable};

impl<'py> Walk<'_, 'py> {
    /// A class that the text of its module defines.
    pub(super) fn class_in_text(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        live: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        if let Some(live) = &live {
            match live.cast::<PyType>() {
                Ok(class) if self.is_class_of(scope, class, name)? => {
                    return self.class(scope, class);
                }
                Ok(_) => return self.value(scope, live, &format!("{}:{name}", scope.name), &[]),
                Err(_) => {}
            }
        }
        let text = scope.text.clone();
        let Some(text) = text else { return Ok(()) };
        if live.is_none() && self.is_computed(scope, &text, name)? {
            let loaded = self.loaded(scope, name)?;
            if loaded.is_some() {
                return self.class_in_text(scope, name, loaded);
            }
        }
        let piece = text
            .class(name)
            .map_err(|error| unfollowable(&format!("`{name}`"), &scope.name, &error.to_string()))?;
        if live.is_none() && piece.attributes.contains(SUBCLASSES) {
            let loaded = self.loaded(scope, name)?;
            if loaded.is_some() {
                return self.class_in_text(scope, name, loaded);
            }
        }
        self.define(scope, name, Kind::Class, piece, HashMap::new());
        Ok(())
    }

    pub(super) fn is_class_of(
        &self,
        scope: &Rc<Scope>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> PyResult<bool> {
        Ok(class.qualname()? == name && module_of(class) == scope.import_name)
    }

    /// Follows a live class.
    pub(super) fn class(&mut self, near: &Rc<Scope>, class: &Bound<'py, PyType>) -> PyResult<()> {
        if self.objects.insert(class.as_ptr() as usize, class.clone().into_any()).is_some() {
            return Ok(());
        }
        let module = module_of(class);
        let scope = match self.place(&module)? {
            Place::Project(scope) => scope,
            Place::Missing | Place::Namespace(_) => near.clone(),
            _ => return self.member(&module, &[]),
        };
        self.guards.push(Guard::of_class(class)?);
        let name = class.qualname()?.to_string_lossy().into_owned();
        let Some((text, piece)) = self.class_text(&scope, class, &name) else {
            return self.built(&scope, class, &name);
        };
        let functions = attributes(class)?;
        let mut free = HashMap::new();
        let is_local = name.contains("<locals>");
        for (_, value) in &functions {
            let Some(function) = plain_function(value)? else {
                continue;
            };
            let function = self.innermost(function)?;
            let code = function.getattr(intern!(self.py, "__code__"))?;
            let qualified: String = code.getattr(intern!(self.py, "co_qualname"))?.extract()?;
            if qualified.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
                && self.is_in(&scope, &code)?
            {
                let line = code.getattr(intern!(self.py, "co_firstlineno"))?.extract()?;
                let line = self.line_of(&scope, &text, &code, line)?;
                self.guards.push(Guard::of_function(&function)?);
                free.extend(cells(&function)?);
                if is_local {
                    let method: String = code.getattr(intern!(self.py, "co_name"))?.extract()?;
                    let hint = format!("{}:{qualified}", scope.name);
                    self.defaults(&scope, &text, &function, &hint, &(line, method))?;
                }
            }
        }
        if piece.attributes.contains(SUBCLASSES) {
            self.subclasses(class)?;
        }
        self.define(&scope, &name, Kind::Class, piece, free);
        if is_local {
            for base in class.getattr(intern!(self.py, "__bases__"))?.try_iter()? {
                self.base(&scope, &base?)?;
            }
            for (attribute, value) in functions {
                self.local_attribute(
                    &scope,
                    &value,
                    &format!("{}:{name}.{attribute}", scope.name),
                )?;
            }
        } else if text.is_made_by_expression(&name) {
            for (at, base) in class.getattr(intern!(self.py, "__bases__"))?.try_iter()?.enumerate()
            {
                self.value(&scope, &base?, &format!("{}:{name}(base {at})", scope.name), &[])?;
            }
        }
        self.changed_attributes(&scope, &text, class, &name)
    }

    fn base(&mut self, scope: &Rc<Scope>, base: &Bound<'py, PyAny>) -> PyResult<()> {
        match base.cast::<PyType>() {
            Ok(class) => self.class(scope, class),
            Err(_) => Ok(()),
        }
    }

    /// An attribute of a class in a function, of whose values no text tells.
    fn local_attribute(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<()> {
        let is_private = hint.rsplit('.').next().is_some_and(|name| name.starts_with("__"));
        if is_private || is_descriptor(value)? {
            return Ok(());
        }
        match value.is_instance_of::<PyType>() || (self.encoder)(value).is_some() {
            true => self.value(scope, value, hint, &[]),
            false => Ok(()),
        }
    }

    /// What decorators were given, through `functools.wraps`.
    fn innermost(&self, function: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let mut function = function;
        for _ in 0..WRAPPERS {
            match function.getattr_opt(intern!(self.py, "__wrapped__"))? {
                Some(wrapped) if is_function(&wrapped)? => function = wrapped,
                _ => break,
            }
        }
        Ok(function)
    }

    fn class_text(
        &self,
        scope: &Rc<Scope>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> Option<(Arc<Text>, Arc<Piece>)> {
        if let Some(text) = &scope.text {
            return Some((text.clone(), text.class(name).ok()?));
        }
        let mut names = Vec::new();
        for (_, value) in attributes(class).ok()? {
            if let Ok(Some(function)) = plain_function(&value) {
                names.extend(
                    function
                        .getattr("__code__")
                        .and_then(|code| code.getattr("co_filename")?.extract::<String>()),
                );
            }
        }
        names.extend(source::cells(self.py));
        names.into_iter().find_map(|filename| {
            let text = source::of(self.py, &filename)?;
            let text = if self.shown { text::shown(&text) } else { text };
            let piece = text.class(name).ok()?;
            Some((text, piece))
        })
    }

    /// A class that no `class` statement made: its bases and attributes.
    fn built(&mut self, scope: &Rc<Scope>, class: &Bound<'py, PyType>, name: &str) -> PyResult<()> {
        let mut hasher = Hasher::new(Context::Code);
        hasher.framed(b"class").framed(name.as_bytes());
        for base in class.getattr(intern!(self.py, "__bases__"))?.try_iter()? {
            let base = base?;
            hasher.framed(describe(&base).as_bytes());
            self.base(scope, &base)?;
        }
        let mut attributes = attributes(class)?;
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        for (attribute, value) in attributes {
            let is_plain = ["_fields", "_field_defaults"].contains(&attribute.as_str())
                || !attribute.starts_with('_');
            if !is_plain {
                continue;
            }
            if plain_function(&value)?.is_some() {
                self.value(scope, &value, &format!("{name}.{attribute}"), &[])?;
            } else if is_descriptor(&value)? {
                // How a field is reached is the interpreter's matter.
                hasher.framed(attribute.as_bytes());
            } else if let Some(digest) = (self.encoder)(&value) {
                hasher.framed(attribute.as_bytes()).digest(&digest);
            }
        }
        self.note(format!(
            "{}:{name}: no class statement; followed by its bases and attributes",
            scope.name
        ));
        self.add(&format!("{}:{name}", scope.name), Kind::Class, hasher.finish(), None);
        Ok(())
    }

    /// Whether only a live class knows the values of some attributes, or of defaults of its methods,
    /// or what decorators made of it or them.
    fn is_computed(&mut self, scope: &Rc<Scope>, text: &Arc<Text>, name: &str) -> PyResult<bool> {
        let Some(attributes) = text.outline().classes.get(name) else {
            return Ok(false);
        };
        for (attribute, binding) in attributes {
            let is_computed = match binding {
                Binding::Undecided => true,
                Binding::Function { line, decorators } => {
                    let dispatches =
                        decorators.iter().any(|it| it.ends_with("singledispatchmethod"));
                    dispatches
                        || text.computes_defaults(&(*line, attribute.clone()))
                        || self.is_made_here(scope, decorators)?
                }
                Binding::Class { makers } => {
                    self.is_made_here(scope, makers)?
                        || self.is_computed(scope, text, &format!("{name}.{attribute}"))?
                }
                _ => false,
            };
            if is_computed {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
