//! Attributes of live classes that are not what the text says.

use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};
use thrifty_key::Digest;
use thrifty_source::outline::Binding;

use super::guard::Guard;
use super::inspect::{attributes, is_descriptor, is_immutable, module_of, plain_function};
use super::origin::{Place, Scope};
use super::text::Text;
use super::unfollowable;
use super::walk::Walk;

/// A class, and the text that defines it.
struct Told<'a, 'py> {
    scope: &'a Rc<Scope>,
    text: &'a Arc<Text>,
    class: &'a Bound<'py, PyType>,
    name: &'a str,
}

impl<'py> Walk<'_, 'py> {
    /// Follows attributes of a class that are not what its text says.
    pub(super) fn changed_attributes(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> PyResult<()> {
        let Some(written) = text.outline().classes.get(name) else {
            return Ok(());
        };
        let told = Told { scope, text, class, name };
        let is_ordinary = self.is_ordinary(class)?;
        for (attribute, value) in attributes(class)? {
            let hint = format!("{}:{name}.{attribute}", scope.name);
            let attribute = as_written(name, &attribute);
            match (written.get(attribute), plain_function(&value)?) {
                (Some(Binding::Function { line, decorators }), _) => {
                    let which = (*line, attribute.to_owned());
                    self.method(&told, &value, &hint, &which, decorators)?;
                }
                (Some(Binding::Literal { digest, .. }), None) => {
                    self.attribute(scope, class, &value, &hint, Some(*digest))?;
                }
                (Some(Binding::Undecided | Binding::Literal { .. }), Some(function)) => {
                    self.one_of_several(&told, &function, &hint)?;
                }
                (Some(Binding::Class { .. }), _) => self.inner_class(&told, &value, attribute)?,
                (Some(Binding::Undecided), None) if !is_special(attribute) => {
                    self.attribute(scope, class, &value, &hint, None)?;
                }
                (None, Some(function)) => self.put_there(&told, &function, &hint, attribute)?,
                (None, None)
                    if is_ordinary && !attribute.starts_with('_') && !is_descriptor(&value)? =>
                {
                    self.value(scope, &value, &hint, &[])?;
                }
                _ => {}
            }
        }
        self.fields(&told)
    }

    /// Whether public attributes that the text does not have were put there on purpose: metaclasses
    /// of libraries leave some.
    fn is_ordinary(&mut self, class: &Bound<'py, PyType>) -> PyResult<bool> {
        let meta = class.get_type();
        Ok(match self.place(&module_of(&meta))? {
            Place::Standard | Place::Installed(_) | Place::Opaque(_) => {
                let name = meta.name()?.to_string_lossy().into_owned();
                ["type", "ABCMeta", "_ProtocolMeta"].contains(&name.as_str())
            }
            Place::Project(_) | Place::Namespace(_) | Place::Missing => true,
        })
    }

    /// What stands where one `def` is.
    fn method(
        &mut self,
        told: &Told<'_, 'py>,
        value: &Bound<'py, PyAny>,
        hint: &str,
        which: &(u32, String),
        decorators: &[String],
    ) -> PyResult<()> {
        let Told { scope, text, .. } = told;
        let (line, name) = which;
        let is_wrapped = !decorators.is_empty() || plain_function(value)?.is_none();
        let Some(function) = self.definition(scope, value, *line, name, is_wrapped)? else {
            return match self.is_foreign(value, !decorators.is_empty())? {
                true => self.in_place_of_a_method(scope, value, hint),
                false => Ok(()),
            };
        };
        if is_wrapped {
            self.guard_wrapped(value)?;
            self.kept_by_decorators(scope, value, hint, Some(&function))?;
        }
        if let Some(dispatcher) = value.getattr_opt(intern!(self.py, "dispatcher"))? {
            self.registry(scope, &dispatcher, hint)?;
        }
        self.guards.push(Guard::of_function(&function)?);
        self.defaults(scope, text, &function, hint, which)
    }

    /// A function where the text has several definitions, or an expression.
    fn one_of_several(
        &mut self,
        told: &Told<'_, 'py>,
        function: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<()> {
        let code = function.getattr(intern!(self.py, "__code__"))?;
        let qualified: String = code.getattr(intern!(self.py, "co_qualname"))?.extract()?;
        let is_own = qualified.strip_prefix(told.name).is_some_and(|it| it.starts_with('.'));
        match is_own && self.is_in(told.scope, &code)? {
            true => self.function(function),
            false => self.value(told.scope, function, hint, &[]),
        }
    }

    /// A function under a name that the text does not have. Those that no file defines are made by
    /// `dataclass` and the like, and what libraries leave is private.
    fn put_there(
        &mut self,
        told: &Told<'_, 'py>,
        function: &Bound<'py, PyAny>,
        hint: &str,
        attribute: &str,
    ) -> PyResult<()> {
        let code = function.getattr(intern!(self.py, "__code__"))?;
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        let is_private = attribute.starts_with('_');
        if filename.starts_with('<') || is_private && self.scope_of_function(function)?.is_none() {
            return Ok(());
        }
        self.value(told.scope, function, hint, &[])
    }

    /// Defaults of fields that the class does not keep as attributes: those of dataclasses with slots,
    /// what makes them, and those of named tuples.
    fn fields(&mut self, told: &Told<'_, 'py>) -> PyResult<()> {
        let Told { scope, text, class, name } = told;
        let Some(written) = text.outline().classes.get(*name) else {
            return Ok(());
        };
        let namespace = class.getattr(intern!(self.py, "__dict__"))?;
        let held = |name: &str| namespace.get_item(name).ok().and_then(|it| it.cast_into().ok());
        let mut found: Vec<(String, Bound<'py, PyAny>)> = Vec::new();
        let fields: Option<Bound<'py, PyDict>> = held("__dataclass_fields__");
        for (field, about) in fields.iter().flatten() {
            let field: String = field.extract()?;
            found.push((field.clone(), about.getattr(intern!(self.py, "default"))?));
            let factory = about.getattr(intern!(self.py, "default_factory"))?;
            found.push((format!("{field}.default_factory"), factory));
        }
        let defaults: Option<Bound<'py, PyDict>> = held("_field_defaults");
        for (field, default) in defaults.iter().flatten() {
            found.push((field.extract()?, default));
        }
        for (field, value) in found {
            let own = field.split('.').next().and_then(|field| written.get(field));
            let is_missing = value.get_type().name()? == "_MISSING_TYPE";
            if own != Some(&Binding::Undecided) || is_missing {
                continue;
            }
            if self.holds_code(&value, 0)? || (self.encoder)(&value).is_some() {
                self.value(scope, &value, &format!("{}:{name}.{field}", scope.name), &[])?;
            }
        }
        Ok(())
    }

    /// A class in the body of another, whose text is in that of the other.
    fn inner_class(
        &mut self,
        told: &Told<'_, 'py>,
        value: &Bound<'py, PyAny>,
        attribute: &str,
    ) -> PyResult<()> {
        let name = format!("{}.{attribute}", told.name);
        match value.cast::<PyType>() {
            Ok(class) if self.is_class_of(told.scope, class, &name)? => {
                self.guards.push(Guard::of_class(class)?);
                self.changed_attributes(told.scope, told.text, class, &name)
            }
            _ => self.value(told.scope, value, &format!("{}:{name}", told.scope.name), &[]),
        }
    }

    /// What somebody put in the place of a method. The text of the class does not tell it.
    fn in_place_of_a_method(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<()> {
        if self.wrapper(scope, value, hint)? {
            return Ok(());
        }
        if self.holds_code(value, 0)? || (self.encoder)(value).is_some() {
            return self.value(scope, value, hint, &[]);
        }
        let reason = format!("a value of type `{}` has no digest", value.get_type().name()?);
        Err(unfollowable(&format!("`{hint}`"), &scope.name, &reason))
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
            None if is_descriptor(value)? => {
                self.wrapper(scope, value, hint)?;
                return Ok(());
            }
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

/// The name that the text has for an attribute: one that begins with two underscores is kept behind
/// the name of its class.
fn as_written<'a>(class: &str, attribute: &'a str) -> &'a str {
    let class = class.rsplit('.').next().unwrap_or_default().trim_start_matches('_');
    let rest = attribute.strip_prefix('_').and_then(|rest| rest.strip_prefix(class));
    // Behind a name of underscores alone nothing is kept.
    rest.filter(|rest| !class.is_empty() && rest.starts_with("__")).unwrap_or(attribute)
}

/// Whether Python itself gives an attribute its meaning.
fn is_special(attribute: &str) -> bool {
    attribute.starts_with("__") && attribute.ends_with("__")
}
