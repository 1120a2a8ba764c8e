//! Resolving one name of a module: in its text where that decides, in the live module where not.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyType};
use thrifty_key::Digest;
use thrifty_source::outline::{Binding, FromModule};

use super::guard::Guard;
use super::order;
use super::origin::{Place, Scope};
use super::text::{Piece, Text};
use super::walk::Walk;
use super::{Kind, unfollowable};
use crate::stand_ins::original;

/// Names of a module that the import system sets.
const IMPORT_SYSTEM: [&str; 9] = [
    "__name__",
    "__file__",
    "__doc__",
    "__spec__",
    "__package__",
    "__builtins__",
    "__path__",
    "__loader__",
    "__class__",
];

impl<'py> Walk<'_, 'py> {
    /// The live value of a name, if its module is loaded and binds it.
    fn live(&mut self, scope: &Rc<Scope>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(globals) = scope.globals(self.py) else {
            return Ok(None);
        };
        let key = (globals.as_ptr() as usize, name.to_owned());
        let name = PyString::intern(self.py, name);
        let value = globals.get_item(&name)?;
        if !self.guarded.insert(key) {
            return Ok(value);
        }
        let guarded = value.clone().map(Bound::unbind);
        self.guards.push(Guard::Item {
            namespace: globals.unbind(),
            name: name.unbind(),
            value: guarded,
        });
        Ok(value)
    }

    /// The live value of a name that the text does not decide: its module is imported if need be,
    /// so that the closure does not depend on what was imported before.
    pub(super) fn loaded(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let was_loaded = scope.globals.borrow().is_some();
        if !was_loaded {
            match self.py.import(scope.import_name.as_str()) {
                Ok(module) => *scope.globals.borrow_mut() = Some(module.dict().unbind()),
                Err(error) => self.note(format!(
                    "{}: could not be imported to learn `{name}`: {error}",
                    scope.name
                )),
            }
        }
        let live = self.live(scope, name)?;
        let is_empty = |it: &Bound<'_, PyAny>| is_container(it) && it.len().is_ok_and(|it| it == 0);
        self.has_registry |= !was_loaded && live.as_ref().is_some_and(is_empty);
        Ok(live)
    }

    /// Follows a name of a module, and what is read from it.
    pub(super) fn name(&mut self, scope: &Rc<Scope>, path: &[String]) -> PyResult<()> {
        let root = path[0].as_str();
        if IMPORT_SYSTEM.contains(&root) || !self.names.insert((scope.identity(), path.to_vec())) {
            return Ok(());
        }
        let live = self.live(scope, root)?;
        let hint = format!("{}:{root}", scope.name);
        let text = scope.text.clone();
        let Some((text, binding)) =
            text.as_ref().and_then(|text| Some((text, text.outline().names.get(root)?)))
        else {
            return self.unbound(scope, path, live);
        };
        match binding {
            Binding::Literal { digest, order, mutable, text } => match live {
                Some(live) if !self.is_literal(&live, *digest, *order) => {
                    self.value(scope, &live, &hint, &[])
                }
                live => {
                    self.has_registry |= live.is_none() && ["{}", "[]"].contains(&text.as_str());
                    if let Some(live) = live.filter(|_| *mutable) {
                        self.guards.push(Guard::of_value(live, *digest));
                    }
                    let digest = order::with(*digest, *order);
                    self.add(&hint, Kind::Constant, digest, Some(text.clone()));
                    Ok(())
                }
            },
            Binding::Function { line, decorators } => {
                self.function_in_text(scope, text, root, *line, decorators, live)?;
                let beside = path.get(1).is_some_and(|name| !name.starts_with("__"));
                match beside.then(|| self.loaded(scope, root)).transpose()?.flatten() {
                    Some(live) => self.attribute_of(scope, &live, &hint, &path[1..]),
                    None => Ok(()),
                }
            }
            Binding::Class { makers } => {
                let live = match self.is_made_here(scope, makers)? {
                    true => self.loaded(scope, root)?,
                    false => live,
                };
                self.class_in_text(scope, root, live)
            }
            Binding::Module(module) => match live {
                Some(live) if !self.is_module(&live, module) => {
                    self.value(scope, &live, &hint, &path[1..])
                }
                _ => {
                    if module != root {
                        self.is_bound_to(&hint, module, "")?;
                    }
                    self.member(module, &path[1..])
                }
            },
            Binding::Member { from, name } => match live {
                Some(live) if !self.is_member(scope, &live, from, name) => {
                    self.value(scope, &live, &hint, &path[1..])
                }
                _ => {
                    if let Some(module) = scope.absolute(from) {
                        self.is_bound_to(&hint, &module, name)?;
                    }
                    self.import(scope, from, Some(name), &path[1..])
                }
            },
            Binding::Undecided => match self.loaded(scope, root)? {
                Some(live) => {
                    // A class that a call made has no text of its own but this; what a library made
                    // of a function need not tell with what options.
                    let is_made =
                        live.is_instance_of::<PyType>() || self.made_by_a_library(&live)?.is_some();
                    if is_made && let Some(made) = text.assignment(root) {
                        self.define(scope, root, Kind::Constant, made, HashMap::new());
                    }
                    self.value(scope, &live, &hint, &path[1..])
                }
                None => self.not_bound(scope, root),
            },
        }
    }

    /// Whether a live value is what the text says, in the order that the text says.
    fn is_literal(&self, live: &Bound<'py, PyAny>, digest: Digest, order: Option<Digest>) -> bool {
        (self.encoder)(live) == Some(digest) && order::digest(live, self.encoder) == order
    }

    /// A name that the text may bind, and that the live module does not: it could not be imported, or
    /// the branch that binds it did not run.
    fn not_bound(&mut self, scope: &Rc<Scope>, name: &str) -> PyResult<()> {
        let is_loaded = scope.globals.borrow().is_some();
        let text = scope.text.as_ref();
        if text.is_some_and(|text| text.assignment(name).is_some()) {
            let reason = match is_loaded {
                true => "its module does not bind it",
                false => "its module could not be imported",
            };
            return self.expression(scope, name, reason);
        }
        match &scope.file {
            Some(file) if !is_loaded => self.opaque_file(&scope.import_name, file),
            _ => {
                self.note(format!("{}: nothing is bound to `{name}`", scope.name));
                Ok(())
            }
        }
    }

    fn function_in_text(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        name: &str,
        line: u32,
        decorators: &[String],
        live: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let dispatches = decorators.iter().any(|decorator| decorator.ends_with("singledispatch"));
        // What a task asks of its cache is not in the text, which a variable may decide.
        let is_task = decorators.iter().any(|decorator| {
            let path: Vec<String> = decorator.split('.').map(str::to_owned).collect();
            self.is_ours(scope, &path)
        });
        let which = (line, name.to_owned());
        let is_live = dispatches
            || is_task
            || text.computes_defaults(&which)
            || self.is_made_here(scope, decorators)?;
        let live = if is_live { self.loaded(scope, name)? } else { live };
        let hint = format!("{}:{name}", scope.name);
        if let Some(live) = live {
            let decorated = !decorators.is_empty();
            let function = self.definition(scope, &live, line, name, decorated)?;
            let is_own = function.is_some() || decorated && live.is_none();
            if !is_own || dispatches || !decorated {
                return self.value(scope, &live, &hint, &[]);
            }
            self.settings(&live, &hint)?;
            self.guard_wrapped(&live)?;
            self.kept_by_decorators(scope, &live, &hint, function.as_ref())?;
            if let Some(function) = function {
                self.defaults(scope, text, &function, &hint, &which)?;
            }
        }
        let piece = self.piece_at(scope, text, line, name)?;
        self.define(scope, name, Kind::Function, piece, HashMap::new());
        Ok(())
    }

    /// The definition at a line, without Thrifty's own decorators.
    pub(super) fn piece_at(
        &self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        line: u32,
        name: &str,
    ) -> PyResult<Arc<Piece>> {
        text.at(line, name, &|path| self.is_ours(scope, path)).map_err(|error| {
            let place = scope
                .file
                .as_deref()
                .map_or_else(|| scope.name.clone(), |file| file.display().to_string());
            unfollowable(&format!("`{name}`"), &format!("{place}, line {line}"), &error.to_string())
        })
    }

    /// Whether code of the project, or an expression that is no name, is among what makes a function
    /// or class: then the live one can be more than the text says.
    pub(super) fn is_made_here(&mut self, scope: &Rc<Scope>, makers: &[String]) -> PyResult<bool> {
        for maker in makers {
            let root = maker.split('.').next().unwrap_or_default();
            let bound = scope.text.as_ref().and_then(|text| text.outline().names.get(root));
            let module = match bound {
                Some(Binding::Module(module)) => Some(module.clone()),
                Some(Binding::Member { from, .. }) => scope.absolute(from),
                Some(_) => None,
                None if self.builtins.contains(root)? => continue,
                None => None,
            };
            let place = module.map(|module| self.place(&module)).transpose()?;
            if !matches!(place, Some(Place::Standard | Place::Installed(_) | Place::Opaque(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a decorator is Thrifty's.
    fn is_ours(&self, scope: &Rc<Scope>, path: &[String]) -> bool {
        let Some(root) = path.first() else {
            return false;
        };
        let ours = |module: &str| module == "thrifty" || module.starts_with("thrifty.");
        if let Some(binding) = scope.text.as_ref().and_then(|text| text.outline().names.get(root)) {
            return match binding {
                Binding::Module(module) => ours(module),
                Binding::Member { from, .. } => {
                    from.level == 0 && from.module.as_deref().is_some_and(ours)
                }
                _ => false,
            };
        }
        let live = scope.globals(self.py).and_then(|globals| globals.get_item(root).ok().flatten());
        let module = live.and_then(|live| {
            let name = live.getattr_opt(intern!(self.py, "__module__")).ok().flatten();
            name.or_else(|| live.getattr_opt(intern!(self.py, "__name__")).ok().flatten())?
                .extract::<String>()
                .ok()
        });
        module.is_some_and(|module| ours(&module))
    }

    fn unbound(
        &mut self,
        scope: &Rc<Scope>,
        path: &[String],
        live: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let root = path[0].as_str();
        let text = scope.text.clone();
        let stars = text.as_ref().map(|text| text.outline().stars.clone()).unwrap_or_default();
        // Which star brings a name depends on `__all__`, and on what ran: the live module knows.
        let live = if stars.is_empty() { live } else { self.loaded(scope, root)? };
        let is_loaded = scope.globals.borrow().is_some();
        let hint = format!("{}:{root}", scope.name);
        for from in stars.iter().rev() {
            let Some(module) = scope.absolute(from) else {
                continue;
            };
            if let Place::Project(star) = self.place(&module)?
                && self.in_text(&star, root)
                && live.as_ref().map_or(!is_loaded, |it| self.is_member(scope, it, from, root))
            {
                self.is_bound_to(&hint, &module, root)?;
                return self.name(&star, path);
            }
        }
        if live.is_none() && self.builtins.contains(root)? {
            return Ok(());
        }
        let live = self.loaded(scope, root)?;
        let live = match self.in_text(scope, "__getattr__") {
            true => self.on_demand(scope, root, live)?,
            false => live,
        };
        match live {
            Some(live) => self.value(scope, &live, &hint, &path[1..]),
            // Only an annotation can mention it: there is nothing to run.
            None if text.is_some_and(|text| text.outline().typed.contains(root)) => Ok(()),
            None => {
                self.note(format!("{}: nothing is bound to `{root}`", scope.name));
                Ok(())
            }
        }
    }

    /// A name that the module's `__getattr__` gives. It is followed also where the module keeps
    /// what it gave, so that the closure is the same before and after.
    fn on_demand(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        live: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.name(scope, &["__getattr__".to_owned()])?;
        let module = self.modules.get_item(scope.import_name.as_str())?;
        match module.filter(|_| live.is_none()).map(|module| module.getattr(name)) {
            Some(Ok(given)) => Ok(Some(given)),
            Some(Err(error)) if !error.is_instance_of::<PyException>(self.py) => Err(error),
            Some(Err(_)) | None => Ok(live),
        }
    }

    fn is_module(&self, live: &Bound<'py, PyAny>, module: &str) -> bool {
        self.modules.get_item(module).ok().flatten().is_some_and(|module| module.is(live))
    }

    /// Whether a name that was imported from a module still is what the module has.
    fn is_member(
        &self,
        scope: &Rc<Scope>,
        live: &Bound<'py, PyAny>,
        from: &FromModule,
        name: &str,
    ) -> bool {
        let Some(module) = scope.absolute(from) else {
            return false;
        };
        if self.is_module(live, &format!("{module}.{name}")) {
            return true;
        }
        let Some(module) = self.modules.get_item(&module).ok().flatten() else {
            return false;
        };
        let member = module.getattr_opt(name).ok().flatten();
        member.is_some_and(|member| original(&member).is(original(live)))
    }

    /// A constant known by the text of its assignment.
    pub(super) fn expression(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        reason: &str,
    ) -> PyResult<()> {
        // What a decorator made of a class is known by the class.
        let written = |text: &Arc<Text>| text.assignment(name).or_else(|| text.class(name).ok());
        let Some(piece) = scope.text.as_ref().and_then(written) else {
            let place = scope
                .file
                .as_deref()
                .map_or_else(|| scope.name.clone(), |file| file.display().to_string());
            return Err(unfollowable(&format!("`{name}`"), &place, reason));
        };
        self.note(format!(
            "{}:{name}: followed by the text of its assignment, for {reason}",
            scope.name
        ));
        self.define(scope, &format!("{name} (expression)"), Kind::Constant, piece, HashMap::new());
        Ok(())
    }
}

/// Whether a value is a container in which things register themselves.
fn is_container(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PySet>()
}
