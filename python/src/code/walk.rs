//! Resolving names: in the text where it decides, in live namespaces where it does not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use thrifty_key::{Context, Digest, Hasher};

use super::guard::Guard;
use super::origin::{self, Place, Scope};
use super::outline::{Binding, From};
use super::text::{Piece, Text};
use super::{Closure, Depth, Encoder, Kind, Unit, unfollowable};

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

/// A definition whose references wait to be resolved.
struct Pending<'py> {
    name: String,
    scope: Rc<Scope>,
    piece: Arc<Piece>,
    cells: HashMap<String, Bound<'py, PyAny>>,
}

/// One walk through everything that a function reaches.
pub(super) struct Walk<'a, 'py> {
    pub(super) py: Python<'py>,
    pub(super) encoder: Encoder<'a, 'py>,
    pub(super) depth: Depth,
    pub(super) guards: Vec<Guard>,
    /// Objects followed, by address; held so that no other gets the address.
    pub(super) objects: HashMap<usize, Bound<'py, PyAny>>,
    units: BTreeMap<String, Unit>,
    notes: BTreeSet<String>,
    places: HashMap<String, Place>,
    names: HashSet<(String, Vec<String>)>,
    pending: Vec<Pending<'py>>,
    modules: Bound<'py, PyDict>,
    builtins: Bound<'py, PyDict>,
}

impl<'a, 'py> Walk<'a, 'py> {
    pub(super) fn new(py: Python<'py>, encoder: Encoder<'a, 'py>, depth: Depth) -> PyResult<Self> {
        let modules = py
            .import(intern!(py, "sys"))?
            .getattr(intern!(py, "modules"))?;
        Ok(Self {
            py,
            encoder,
            depth,
            guards: Vec::new(),
            objects: HashMap::new(),
            units: BTreeMap::new(),
            notes: BTreeSet::new(),
            places: HashMap::new(),
            names: HashSet::new(),
            pending: Vec::new(),
            modules: modules.cast_into::<PyDict>()?,
            builtins: py.import(intern!(py, "builtins"))?.dict(),
        })
    }

    pub(super) fn start(&mut self, function: &Bound<'py, PyAny>) -> PyResult<()> {
        self.root(function)?;
        if self.depth == Depth::Function {
            return Ok(());
        }
        while let Some(pending) = self.pending.pop() {
            self.references(&pending)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Closure {
        Closure {
            units: self.units.into_values().collect(),
            notes: self.notes.into_iter().collect(),
            guards: self.guards,
        }
    }

    /// Whether any code of the project was found.
    pub(super) fn has_code(&self) -> bool {
        let mut units = self.units.values();
        units.any(|unit| matches!(unit.kind, Kind::Function | Kind::Class))
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.insert(note);
    }

    /// Adds a unit. Two different things of one name are told apart by a number, in the order in
    /// which they are found, which the texts decide.
    pub(super) fn add(&mut self, name: &str, kind: Kind, digest: Digest, text: Option<String>) {
        let mut unique = name.to_owned();
        let mut number = 2;
        while let Some(before) = self.units.get(&unique) {
            if before.digest == digest && before.kind == kind {
                return;
            }
            unique = format!("{name}#{number}");
            number += 1;
        }
        self.units.insert(
            unique.clone(),
            Unit {
                name: unique,
                kind,
                digest,
                text,
            },
        );
    }

    /// Adds a definition and has what it mentions resolved.
    pub(super) fn define(
        &mut self,
        scope: &Rc<Scope>,
        qualified: &str,
        kind: Kind,
        piece: Arc<Piece>,
        cells: HashMap<String, Bound<'py, PyAny>>,
    ) {
        let name = format!("{}:{qualified}", scope.name);
        self.add(&name, kind, piece.digest, Some(piece.text.clone()));
        for opaque in &piece.opaque {
            self.note(format!("{name}: what {opaque} reaches is not followed"));
        }
        self.pending.push(Pending {
            name,
            scope: scope.clone(),
            piece,
            cells,
        });
    }

    /// Where a module comes from.
    pub(super) fn place(&mut self, name: &str) -> PyResult<Place> {
        if let Some(place) = self.places.get(name) {
            return Ok(place.clone());
        }
        let place = origin::locate(self.py, name)?;
        if let Place::Project(scope) = &place
            && scope.globals.borrow().is_none()
        {
            let modules = self.modules.clone().unbind();
            self.guards.push(Guard::Unloaded {
                modules,
                name: PyString::intern(self.py, name).unbind(),
            });
        }
        self.places.insert(name.to_owned(), place.clone());
        Ok(place)
    }

    fn references(&mut self, pending: &Pending<'py>) -> PyResult<()> {
        let Pending {
            name,
            scope,
            piece,
            cells,
        } = pending;
        for path in &piece.references {
            let mut imported = false;
            for import in &piece.imports {
                let bound: Vec<&str> = import.bound_as.split('.').collect();
                let shared = path.iter().zip(&bound).take_while(|(a, b)| a == *b).count();
                if shared == bound.len() || (shared == path.len() && import.name.is_none()) {
                    let from = From {
                        module: import.module.clone(),
                        level: import.level,
                    };
                    self.import(scope, &from, import.name.as_deref(), &path[shared..])?;
                    imported = true;
                } else if shared > 0 {
                    imported = true;
                }
            }
            if let Some(cell) = cells.get(&path[0]) {
                self.cell(scope, name, cell, path)?;
            } else if !imported || self.binds(scope, &path[0]) {
                self.name(scope, path)?;
            }
        }
        Ok(())
    }

    fn cell(
        &mut self,
        scope: &Rc<Scope>,
        owner: &str,
        cell: &Bound<'py, PyAny>,
        path: &[String],
    ) -> PyResult<()> {
        let value = cell.getattr(intern!(self.py, "cell_contents")).ok();
        let guarded = value.clone().map(Bound::unbind);
        self.guards.push(Guard::Cell {
            cell: cell.clone().unbind(),
            value: guarded,
        });
        match value {
            Some(value) => self.value(scope, &value, &format!("{owner}[{}]", path[0]), &path[1..]),
            None => Ok(()),
        }
    }

    fn import(
        &mut self,
        scope: &Rc<Scope>,
        from: &From,
        name: Option<&str>,
        rest: &[String],
    ) -> PyResult<()> {
        let Some(module) = scope.absolute(from) else {
            return Ok(());
        };
        let mut path: Vec<String> = name
            .filter(|name| *name != "*")
            .map(str::to_owned)
            .into_iter()
            .collect();
        path.extend_from_slice(rest);
        self.member(&module, &path)
    }

    fn binds(&self, scope: &Rc<Scope>, name: &str) -> bool {
        let in_text = scope
            .text
            .as_ref()
            .is_some_and(|text| text.outline.names.contains_key(name));
        in_text
            || scope
                .globals(self.py)
                .is_some_and(|globals| globals.contains(name).unwrap_or(false))
    }

    /// Follows a chain of names out of a module.
    pub(super) fn member(&mut self, module: &str, path: &[String]) -> PyResult<()> {
        match self.place(module)? {
            Place::Standard => {}
            Place::Missing => self.note(format!("module `{module}` is not installed here")),
            Place::Installed(distributions) => {
                for (name, version) in distributions {
                    let digest = Hasher::new(Context::Code)
                        .framed(name.as_bytes())
                        .framed(version.as_bytes())
                        .finish();
                    self.add(
                        &format!("{name} (distribution)"),
                        Kind::Package,
                        digest,
                        Some(version),
                    );
                }
            }
            Place::Opaque(file) => self.opaque_file(module, &file)?,
            Place::Namespace(name) => {
                if let Some((first, rest)) = path.split_first() {
                    self.member(&format!("{name}.{first}"), rest)?;
                }
            }
            Place::Project(scope) => match path.split_first() {
                None => self.whole(&scope)?,
                Some((first, rest)) => match scope
                    .submodule(first)
                    .filter(|_| !self.in_text(&scope, first))
                {
                    Some(submodule) if !matches!(self.place(&submodule)?, Place::Missing) => {
                        self.member(&submodule, rest)?;
                    }
                    _ => self.name(&scope, path)?,
                },
            },
        }
        Ok(())
    }

    fn in_text(&self, scope: &Rc<Scope>, name: &str) -> bool {
        scope
            .text
            .as_ref()
            .is_some_and(|text| text.outline.names.contains_key(name))
    }

    fn opaque_file(&mut self, module: &str, file: &Path) -> PyResult<()> {
        let bytes = std::fs::read(file).map_err(|error| {
            unfollowable(
                &format!("module `{module}`"),
                &file.display().to_string(),
                &error.to_string(),
            )
        })?;
        let digest = Hasher::new(Context::Code).framed(&bytes).finish();
        self.note(format!(
            "{module}: has no source to read; followed by the content of its file"
        ));
        self.add(&format!("{module} (file)"), Kind::Opaque, digest, None);
        Ok(())
    }

    /// A module used as a value: everything that it binds can be reached.
    fn whole(&mut self, scope: &Rc<Scope>) -> PyResult<()> {
        let Some(text) = scope.text.clone() else {
            return Ok(());
        };
        let mut names: Vec<&String> = text.outline.names.keys().collect();
        names.sort();
        let mut hasher = Hasher::new(Context::Code);
        names
            .iter()
            .for_each(|name| _ = hasher.framed(name.as_bytes()));
        self.add(
            &format!("{} (module)", scope.name),
            Kind::Module,
            hasher.finish(),
            None,
        );
        for name in names {
            self.name(scope, std::slice::from_ref(name))?;
        }
        Ok(())
    }

    /// The live value of a name, if its module is loaded and binds it.
    fn live(&mut self, scope: &Rc<Scope>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(globals) = scope.globals(self.py) else {
            return Ok(None);
        };
        let name = PyString::intern(self.py, name);
        let value = globals.get_item(&name)?;
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
    fn loaded(&mut self, scope: &Rc<Scope>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        if scope.globals.borrow().is_none() {
            match self.py.import(scope.import_name.as_str()) {
                Ok(module) => *scope.globals.borrow_mut() = Some(module.dict().unbind()),
                Err(error) => self.note(format!(
                    "{}: could not be imported to learn `{name}`: {error}",
                    scope.name
                )),
            }
        }
        self.live(scope, name)
    }

    /// Follows a name of a module, and what is read from it.
    pub(super) fn name(&mut self, scope: &Rc<Scope>, path: &[String]) -> PyResult<()> {
        let root = path[0].as_str();
        if IMPORT_SYSTEM.contains(&root)
            || !self
                .names
                .insert((scope.import_name.clone(), path.to_vec()))
        {
            return Ok(());
        }
        let live = self.live(scope, root)?;
        let hint = format!("{}:{root}", scope.name);
        let text = scope.text.clone();
        let Some((text, binding)) = text
            .as_ref()
            .and_then(|text| Some((text, text.outline.names.get(root)?)))
        else {
            return self.unbound(scope, path, live);
        };
        match binding {
            Binding::Literal {
                digest,
                mutable,
                text,
            } => match live {
                Some(live) if (self.encoder)(&live) != Some(*digest) => {
                    self.value(scope, &live, &hint, &[])
                }
                live => {
                    if let Some(live) = live.filter(|_| *mutable) {
                        self.guards.push(Guard::Value {
                            value: live.unbind(),
                            digest: *digest,
                        });
                    }
                    self.add(&hint, Kind::Constant, *digest, Some(text.clone()));
                    Ok(())
                }
            },
            Binding::Function { line, decorators } => {
                self.function_in_text(scope, text, root, *line, decorators, live)
            }
            Binding::Class => self.class_in_text(scope, root, live),
            Binding::Module(module) => match live {
                Some(live) if !self.is_module(&live, module) => {
                    self.value(scope, &live, &hint, &path[1..])
                }
                _ => self.member(module, &path[1..]),
            },
            Binding::Member { from, name } => match live {
                Some(live) if !self.is_member(scope, &live, from, name) => {
                    self.value(scope, &live, &hint, &path[1..])
                }
                _ => self.import(scope, from, Some(name), &path[1..]),
            },
            Binding::Undecided => match self.loaded(scope, root)? {
                Some(live) => self.value(scope, &live, &hint, &path[1..]),
                None => self.expression(scope, root, "its module could not be imported"),
            },
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
        let dispatches = decorators
            .iter()
            .any(|decorator| decorator.ends_with("singledispatch"));
        let live = if dispatches {
            self.loaded(scope, name)?
        } else {
            live
        };
        let hint = format!("{}:{name}", scope.name);
        if let Some(live) = live {
            let own = self.is_definition(scope, &live, line, name, !decorators.is_empty())?;
            if !own || dispatches || decorators.is_empty() {
                return self.value(scope, &live, &hint, &[]);
            }
            self.guard_wrapped(&live)?;
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
        text.at(line, name, &|path| self.is_ours(scope, path))
            .map_err(|error| {
                let place = scope
                    .file
                    .as_deref()
                    .map_or_else(|| scope.name.clone(), |file| file.display().to_string());
                unfollowable(
                    &format!("`{name}`"),
                    &format!("{place}, line {line}"),
                    &error.to_string(),
                )
            })
    }

    /// Whether a decorator is Thrifty's.
    fn is_ours(&self, scope: &Rc<Scope>, path: &[String]) -> bool {
        let Some(root) = path.first() else {
            return false;
        };
        let ours = |module: &str| module == "thrifty" || module.starts_with("thrifty.");
        if let Some(binding) = scope
            .text
            .as_ref()
            .and_then(|text| text.outline.names.get(root))
        {
            return match binding {
                Binding::Module(module) => ours(module),
                Binding::Member { from, .. } => {
                    from.level == 0 && from.module.as_deref().is_some_and(ours)
                }
                _ => false,
            };
        }
        let live = scope
            .globals(self.py)
            .and_then(|globals| globals.get_item(root).ok().flatten());
        let module = live.and_then(|live| {
            let name = live
                .getattr_opt(intern!(self.py, "__module__"))
                .ok()
                .flatten();
            name.or_else(|| {
                live.getattr_opt(intern!(self.py, "__name__"))
                    .ok()
                    .flatten()
            })?
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
        let stars = scope
            .text
            .as_ref()
            .map(|text| text.outline.stars.clone())
            .unwrap_or_default();
        for from in stars.iter().rev() {
            let Some(module) = scope.absolute(from) else {
                continue;
            };
            if let Place::Project(star) = self.place(&module)?
                && self.in_text(&star, root)
                && live
                    .as_ref()
                    .is_none_or(|live| self.is_member(scope, live, from, root))
            {
                return self.name(&star, path);
            }
        }
        if let Some(live) = live {
            return self.value(scope, &live, &format!("{}:{root}", scope.name), &path[1..]);
        }
        if self.builtins.contains(root)? {
            return Ok(());
        }
        match self.loaded(scope, root)? {
            Some(live) => self.value(scope, &live, &format!("{}:{root}", scope.name), &path[1..]),
            None if self.in_text(scope, "__getattr__") => {
                self.name(scope, &["__getattr__".to_owned()])
            }
            None => {
                self.note(format!("{}: nothing is bound to `{root}`", scope.name));
                Ok(())
            }
        }
    }

    fn is_module(&self, live: &Bound<'py, PyAny>, module: &str) -> bool {
        self.modules
            .get_item(module)
            .ok()
            .flatten()
            .is_some_and(|module| module.is(live))
    }

    /// Whether a name that was imported from a module still is what the module has.
    fn is_member(
        &self,
        scope: &Rc<Scope>,
        live: &Bound<'py, PyAny>,
        from: &From,
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
        module
            .getattr_opt(name)
            .ok()
            .flatten()
            .is_some_and(|member| member.is(live))
    }

    /// A constant known by the text of its assignment.
    pub(super) fn expression(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        reason: &str,
    ) -> PyResult<()> {
        let Some(piece) = scope.text.as_ref().and_then(|text| text.assignment(name)) else {
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
        self.define(scope, name, Kind::Constant, piece, HashMap::new());
        Ok(())
    }
}
