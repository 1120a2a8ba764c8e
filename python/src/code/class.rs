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
use super::inspect::{attributes, cells, describe, is_descriptor, module_of, plain_function};
use super::origin::{Place, Scope};
use super::text::{Piece, Text};
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
        let name = class.qualname()?.to_string();
        let Some((text, piece)) = self.class_text(&scope, class, &name) else {
            return self.built(&scope, class, &name);
        };
        let functions = attributes(class)?;
        let mut free = HashMap::new();
        for (_, value) in &functions {
            let Some(function) = plain_function(value)? else {
                continue;
            };
            let code = function.getattr(intern!(self.py, "__code__"))?;
            let qualified: String = code.getattr(intern!(self.py, "co_qualname"))?.extract()?;
            if qualified.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'))
                && self.is_in(&scope, &code)?
            {
                self.line_of(&scope, &text, &code, 0)?;
                self.guards.push(Guard::of_function(&function)?);
                free.extend(cells(&function)?);
            }
        }
        self.define(&scope, &name, Kind::Class, piece, free);
        if name.contains("<locals>") {
            for base in class.getattr(intern!(self.py, "__bases__"))?.try_iter()? {
                self.value(&scope, &base?, &name, &[])?;
            }
        }
        self.changed_attributes(&scope, &text, class, &name)
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
            self.value(scope, &base, name, &[])?;
        }
        let mut attributes = attributes(class)?;
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        for (attribute, value) in attributes {
            let is_plain = ["_fields", "_field_defaults"].contains(&attribute.as_str())
                || !attribute.starts_with('_');
            if let Some(function) = plain_function(&value)?.filter(|_| is_plain) {
                self.value(scope, &function, &format!("{name}.{attribute}"), &[])?;
            } else if is_plain && let Some(digest) = (self.encoder)(&value) {
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
        let meta = class.get_type();
        let is_ordinary = matches!(meta.name()?.to_string().as_str(), "type" | "ABCMeta");
        for (attribute, value) in attributes(class)? {
            let hint = format!("{}:{name}.{attribute}", scope.name);
            match (written.get(&attribute), plain_function(&value)?) {
                (Some(Binding::Function { line, decorators }), _) => {
                    let decorated = !decorators.is_empty();
                    if !self.is_definition(scope, &value, *line, &attribute, decorated)?
                        && self.is_foreign(&value)?
                    {
                        self.value(scope, &value, &hint, &[])?;
                    }
                }
                (Some(Binding::Literal { digest, .. }), _) if is_ordinary => {
                    if !is_descriptor(&value)? && (self.encoder)(&value) != Some(*digest) {
                        self.value(scope, &value, &hint, &[])?;
                    } else if !is_descriptor(&value)? {
                        self.guards.push(Guard::of_value(value, *digest));
                    }
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

    /// Whether a method that is not the one in the text was put there, rather than made by the
    /// decorators of the text.
    fn is_foreign(&mut self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        let Some(function) = plain_function(value)? else {
            return Ok(false);
        };
        let code = function.getattr(intern!(self.py, "__code__"))?;
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        Ok(!filename.starts_with('<'))
    }
}
