//! Following classes.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_key::{Context, Digest, Hasher};
use thrifty_source::outline::Binding;

use super::guard::Guard;
use super::inspect::{
    attributes, cells, describe, is_descriptor, is_immutable, module_of, plain_function,
};
use super::origin::{Place, Scope};
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
        if live.is_none() && is_computed(&text, name) {
            let loaded = self.loaded(scope, name)?;
            if loaded.is_some() {
                return self.class_in_text(scope, name, loaded);
            }
        }
        let piece = text
            .class(name)
            .map_err(|error| unfollowable(&format!("`{name}`"), &scope.name, &error.to_string()))?;
        self.define(scope, name, Kind::Class, piece, HashMap::new());
        Ok(())
    }

    fn is_class_of(
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
        self.define(&scope, &name, Kind::Class, piece, free);
        if is_local {
            for base in class.getattr(intern!(self.py, "__bases__"))?.try_iter()? {
                self.base(&scope, &base?)?;
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

    /// Attributes of a class that are not what its text says.
    fn changed_attributes(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> PyResult<()> {
        let py = self.py;
        let Some(written) = text.outline().classes.get(name) else {
            return Ok(());
        };
        let meta = class.get_type().name()?.to_string_lossy().into_owned();
        let is_ordinary = ["type", "ABCMeta", "_ProtocolMeta"].contains(&meta.as_str());
        for (attribute, value) in attributes(class)? {
            let hint = format!("{}:{name}.{attribute}", scope.name);
            match (written.get(&attribute), plain_function(&value)?) {
                (Some(Binding::Function { line, decorators }), _) => {
                    let decorated = !decorators.is_empty();
                    let own = self.definition(scope, &value, *line, &attribute, decorated)?;
                    if let Some(function) = own {
                        self.guards.push(Guard::of_function(&function)?);
                        self.defaults(scope, text, &function, &hint, &(*line, attribute))?;
                    } else if self.is_foreign(&value, decorated)? {
                        self.in_place_of_a_method(scope, &value, &hint)?;
                    }
                }
                (Some(Binding::Literal { digest, .. }), None) => {
                    self.attribute(scope, class, &value, &hint, Some(*digest))?;
                }
                (Some(Binding::Undecided | Binding::Literal { .. }), Some(function)) => {
                    let code = function.getattr(intern!(py, "__code__"))?;
                    let qualified: String = code.getattr(intern!(py, "co_qualname"))?.extract()?;
                    let is_own = qualified.strip_prefix(name).is_some_and(|it| it.starts_with('.'));
                    if !is_own || !self.is_in(scope, &code)? {
                        self.value(scope, &function, &hint, &[])?;
                    }
                }
                (Some(Binding::Class), _) => {
                    self.inner_class(scope, text, &value, name, &attribute)?
                }
                (Some(Binding::Undecided), None) if !attribute.starts_with("__") => {
                    self.attribute(scope, class, &value, &hint, None)?;
                }
                (None, Some(function)) if !attribute.starts_with('_') => {
                    let code = function.getattr(intern!(py, "__code__"))?;
                    let filename: String = code.getattr(intern!(py, "co_filename"))?.extract()?;
                    if !filename.starts_with('<') {
                        self.value(scope, &function, &hint, &[])?;
                    }
                }
                (None, None)
                    if is_ordinary && !attribute.starts_with('_') && !is_descriptor(&value)? =>
                {
                    self.value(scope, &value, &hint, &[])?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What somebody put in the place of a method. The text of the class does not tell it.
    fn in_place_of_a_method(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<()> {
        if self.holds_code(value, 0)? || (self.encoder)(value).is_some() {
            return self.value(scope, value, hint, &[]);
        }
        let reason = format!("a value of type `{}` has no digest", value.get_type().name()?);
        Err(unfollowable(&format!("`{hint}`"), &scope.name, &reason))
    }

    /// A class in the body of another, whose text is in that of the other.
    fn inner_class(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        value: &Bound<'py, PyAny>,
        outer: &str,
        attribute: &str,
    ) -> PyResult<()> {
        let name = format!("{outer}.{attribute}");
        match value.cast::<PyType>() {
            Ok(class) if self.is_class_of(scope, class, &name)? => {
                self.guards.push(Guard::of_class(class)?);
                self.changed_attributes(scope, text, class, &name)
            }
            _ => self.value(scope, value, &format!("{}:{name}", scope.name), &[]),
        }
    }

    /// An attribute that is no function: by value, as a constant of a module, if that is not what the
    /// text says. One without a digest counts by its expression, in the class.
    fn attribute(
        &mut self,
        scope: &Rc<Scope>,
        class: &Bound<'py, PyType>,
        value: &Bound<'py, PyAny>,
        hint: &str,
        written: Option<Digest>,
    ) -> PyResult<()> {
        // A member of an enumeration is what it holds.
        let member = value.getattr_opt(intern!(self.py, "_value_")).ok().flatten();
        let held = match member.filter(|_| value.is_instance(class).unwrap_or(false)) {
            Some(held) => held,
            None if is_descriptor(value)? => return Ok(()),
            None => value.clone(),
        };
        let digest = (self.encoder)(&held);
        if let Some(written) = written.filter(|written| digest == Some(*written)) {
            if !is_immutable(&held) {
                self.guards.push(Guard::of_value(held, written));
            }
            return Ok(());
        }
        match digest.is_some() || self.holds_code(&held, 0)? {
            true => self.value(scope, &held, hint, &[]),
            false => Ok(()),
        }
    }

    /// Whether a method that is not the one in the text was put there, rather than made by the
    /// decorators of the text.
    fn is_foreign(&self, value: &Bound<'py, PyAny>, decorated: bool) -> PyResult<bool> {
        let Some(function) = plain_function(value)? else {
            return Ok(!decorated);
        };
        let code = function.getattr(intern!(self.py, "__code__"))?;
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        Ok(!filename.starts_with('<'))
    }
}

/// Whether only a live class knows the values of some attributes, or of defaults of its methods.
fn is_computed(text: &Text, name: &str) -> bool {
    let attributes = text.outline().classes.get(name);
    attributes.is_some_and(|attributes| {
        attributes.iter().any(|(attribute, binding)| match binding {
            Binding::Undecided => true,
            Binding::Function { line, .. } => text.computes_defaults(&(*line, attribute.clone())),
            Binding::Class => is_computed(text, &format!("{name}.{attribute}")),
            _ => false,
        })
    })
}
