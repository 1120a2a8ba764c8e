//! Resolving names: in the text where it decides, in live namespaces where it does not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_key::{Context, Digest, Hasher};
use thrifty_source::LocalImport;
use thrifty_source::outline::FromModule;

use super::arguments::Extent;
use super::guard::Guard;
use super::origin::{self, Place, Scope};
use super::registered::{self, Accessor};
use super::text::Piece;
use super::{Closure, Depth, Encoder, Kind, Unit};

/// A definition whose references wait to be resolved.
struct Pending<'py> {
    name: String,
    kind: Kind,
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
    /// Parameters of functions, by their addresses, whose defaults do not count where the function
    /// is met next: inputs of its calls, or ignored ones.
    pub(super) inputs: HashMap<usize, Vec<String>>,
    /// Functions and classes followed, by address; held so that no other gets the address.
    pub(super) objects: HashMap<usize, Bound<'py, PyAny>>,
    /// What was met under a name that is not its own, by address, with the first of them.
    pub(super) met: HashMap<usize, (Bound<'py, PyAny>, String)>,
    units: BTreeMap<String, Unit>,
    notes: BTreeSet<String>,
    places: HashMap<String, Place>,
    pub(super) names: HashSet<(String, Vec<String>)>,
    pending: Vec<Pending<'py>>,
    /// How deep containers and wrappers are nested where the walk is.
    pub(super) nesting: usize,
    /// Names of namespaces that have a guard.
    pub(super) guarded: HashSet<(usize, String)>,
    pub(super) modules: Bound<'py, PyDict>,
    pub(super) builtins: Bound<'py, PyDict>,
    /// Docstrings and annotations count.
    pub(super) shown: bool,
    /// Something that was found reads docstrings or annotations.
    reads_definitions: bool,
    /// Modules that are imported inside functions.
    imported: BTreeSet<String>,
    /// An empty container of a module that was not loaded: others may fill it when they are imported.
    pub(super) has_registry: bool,
    /// Classes whose subclasses are followed, by address; guards hold them.
    pub(super) subclassed: HashSet<usize>,
    /// What the project registered with libraries, once it was asked for.
    pub(super) accessors: Option<Rc<Vec<Accessor<'py>>>>,
}

impl<'a, 'py> Walk<'a, 'py> {
    pub(super) fn new(py: Python<'py>, encoder: Encoder<'a, 'py>, depth: Depth) -> PyResult<Self> {
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        Ok(Self {
            py,
            encoder,
            depth,
            guards: Vec::new(),
            inputs: HashMap::new(),
            objects: HashMap::new(),
            met: HashMap::new(),
            units: BTreeMap::new(),
            notes: BTreeSet::new(),
            places: HashMap::new(),
            names: HashSet::new(),
            pending: Vec::new(),
            nesting: 0,
            guarded: HashSet::new(),
            modules: modules.cast_into::<PyDict>()?,
            builtins: py.import(intern!(py, "builtins"))?.dict(),
            shown: false,
            reads_definitions: false,
            imported: BTreeSet::new(),
            has_registry: false,
            subclassed: HashSet::new(),
            accessors: None,
        })
    }

    /// Where modules that the code will import may fill a registry, they are imported now: whether
    /// some were, so that another walk must be made.
    pub(super) fn fill_registries(&mut self) -> PyResult<bool> {
        let mut is_filled = false;
        for module in std::mem::take(&mut self.imported) {
            if !self.has_registry || self.modules.contains(&module)? {
                continue;
            }
            if let Ok(Place::Project(_)) = self.place(&module) {
                match self.py.import(module.as_str()) {
                    Ok(_) => is_filled = true,
                    Err(error) if error.is_instance_of::<PyException>(self.py) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(is_filled)
    }

    /// Where docstrings and annotations of what was found are read, they count: a walk that must be
    /// made instead.
    pub(super) fn showing(&self) -> PyResult<Option<Self>> {
        let walk = Self::new(self.py, self.encoder, self.depth)?;
        let is_read = self.reads_definitions && self.depth == Depth::Closure;
        Ok(is_read.then_some(Self { shown: true, ..walk }))
    }

    pub(super) fn start(
        &mut self,
        function: &Bound<'py, PyAny>,
        inputs: &[String],
        beside: &[(String, Bound<'py, PyAny>)],
    ) -> PyResult<()> {
        self.inputs.insert(function.as_ptr() as usize, inputs.to_vec());
        self.root(function)?;
        self.start_at(beside)
    }

    /// Follows named objects, which need be no code of the project.
    pub(super) fn start_at(&mut self, objects: &[(String, Bound<'py, PyAny>)]) -> PyResult<()> {
        let scope = self.detached("")?;
        for (name, value) in objects {
            self.value(&scope, value, name, &[])?;
        }
        if self.depth == Depth::Function {
            return Ok(());
        }
        self.follow()
    }

    /// Resolves what waits for it, until nothing does.
    pub(super) fn follow(&mut self) -> PyResult<()> {
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
        self.units.insert(unique.clone(), Unit { name: unique, kind, digest, text });
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
        self.reads_definitions |= piece.reads_definitions;
        for (word, line) in &piece.opaque {
            self.note(format!("{name}: what `{word}` at line {line} reaches is not followed"));
        }
        self.pending.push(Pending { name, kind, scope: scope.clone(), piece, cells });
    }

    /// Where a module comes from.
    pub(super) fn place(&mut self, name: &str) -> PyResult<Place> {
        if let Some(place) = self.places.get(name) {
            return Ok(place.clone());
        }
        let place = match origin::locate(self.py, name)? {
            Place::Project(scope) if self.shown => Place::Project(Rc::new(scope.shown(self.py))),
            place => place,
        };
        if let Place::Project(scope) = &place
            && scope.globals.borrow().is_none()
        {
            self.guards.push(Guard::unloaded(&self.modules, name));
        }
        self.places.insert(name.to_owned(), place.clone());
        Ok(place)
    }

    fn references(&mut self, pending: &Pending<'py>) -> PyResult<()> {
        let Pending { name, kind, scope, piece, cells } = pending;
        self.accessors(piece)?;
        self.asked_for_subclasses(scope, name, piece, *kind == Kind::Class)?;
        if piece.parses_arguments {
            self.program_arguments(Extent::Given)?;
        }
        for import in &piece.imports {
            if let Some(module) = scope.absolute(&from_module(import)) {
                let member = import.name.as_ref().map(|name| format!("{module}.{name}"));
                for module in member.into_iter().chain([module]) {
                    self.has_registry |= self.may_register(&module);
                    self.imported.insert(module);
                }
            }
        }
        let mut paths: Vec<&Vec<String>> = piece.references.iter().collect();
        for path in &piece.in_texts {
            let is_imported =
                |import: &LocalImport| import.bound_as.split('.').next() == Some(&path[0]);
            if piece.imports.iter().any(is_imported)
                || cells.contains_key(&path[0])
                || self.is_bound(scope, &path[0])?
            {
                paths.push(path);
            }
        }
        for path in paths {
            let mut imported = false;
            for import in &piece.imports {
                let bound: Vec<&str> = import.bound_as.split('.').collect();
                let shared = path.iter().zip(&bound).take_while(|(a, b)| a == *b).count();
                if shared == bound.len() {
                    let from = from_module(import);
                    self.import(scope, &from, import.name.as_deref(), &path[shared..])?;
                } else if shared > 0 {
                    // `import a.b` binds `a` as well.
                    self.member(bound[0], &path[1..])?;
                }
                imported |= shared > 0;
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
        self.guards.push(Guard::Cell { cell: cell.clone().unbind(), value: guarded });
        match value {
            Some(value) => self.value(scope, &value, &format!("{owner}[{}]", path[0]), &path[1..]),
            None => Ok(()),
        }
    }

    pub(super) fn import(
        &mut self,
        scope: &Rc<Scope>,
        from: &FromModule,
        name: Option<&str>,
        rest: &[String],
    ) -> PyResult<()> {
        let Some(module) = scope.absolute(from) else {
            return Ok(());
        };
        let mut path: Vec<String> =
            name.filter(|name| *name != "*").map(str::to_owned).into_iter().collect();
        path.extend_from_slice(rest);
        self.member(&module, &path)
    }

    /// Whether a word in a text is a name of the module, loaded or not: what a star brings, the live
    /// module knows.
    fn is_bound(&mut self, scope: &Rc<Scope>, name: &str) -> PyResult<bool> {
        let has_stars = scope.text.as_ref().is_some_and(|text| !text.outline().stars.is_empty());
        if has_stars && !self.in_text(scope, name) {
            return Ok(self.loaded(scope, name)?.is_some());
        }
        Ok(self.binds(scope, name))
    }

    fn binds(&self, scope: &Rc<Scope>, name: &str) -> bool {
        self.in_text(scope, name)
            || scope.globals(self.py).is_some_and(|globals| globals.contains(name).unwrap_or(false))
    }

    /// Whether a module that is not loaded may register something when it is. One that cannot be read is
    /// told of where something in it is reached.
    fn may_register(&mut self, module: &str) -> bool {
        match self.place(module) {
            Ok(Place::Project(scope)) if scope.globals.borrow().is_none() => {
                scope.text.as_ref().is_some_and(|text| registered::may_register(text.source()))
            }
            _ => false,
        }
    }

    /// Follows a chain of names out of a module.
    pub(super) fn member(&mut self, module: &str, path: &[String]) -> PyResult<()> {
        match self.place(module)? {
            Place::Standard => self.standard(module, path)?,
            Place::Missing => self.note(format!("module `{module}` is not installed here")),
            Place::Installed(distributions) => {
                if module == "yaml" {
                    self.yaml()?;
                }
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
                Some((first, rest)) => {
                    match scope.submodule(first).filter(|_| !self.in_text(&scope, first)) {
                        Some(submodule) if !matches!(self.place(&submodule)?, Place::Missing) => {
                            self.member(&submodule, rest)?;
                        }
                        _ => self.name(&scope, path)?,
                    }
                }
            },
        }
        Ok(())
    }

    pub(super) fn in_text(&self, scope: &Rc<Scope>, name: &str) -> bool {
        scope.text.as_ref().is_some_and(|text| text.outline().names.contains_key(name))
    }

    pub(super) fn opaque_file(&mut self, module: &str, file: &Path) -> PyResult<()> {
        let bytes = std::fs::read(file).map_err(|error| {
            super::unreadable(&format!("the source of module `{module}`"), file, &error)
        })?;
        let digest = Hasher::new(Context::Code).framed(&bytes).finish();
        self.note(format!("{module}: has no source to read; followed by the content of its file"));
        self.add(&format!("{module} (file)"), Kind::Opaque, digest, None);
        Ok(())
    }

    /// A module used as a value: everything that it binds can be reached.
    fn whole(&mut self, scope: &Rc<Scope>) -> PyResult<()> {
        let Some(text) = scope.text.clone() else {
            return Ok(());
        };
        if !self.names.insert((scope.identity(), Vec::new())) {
            return Ok(());
        }
        let mut names: Vec<&String> = text.outline().names.keys().collect();
        names.sort();
        let mut hasher = Hasher::new(Context::Code);
        names.iter().for_each(|name| _ = hasher.framed(name.as_bytes()));
        self.add(&format!("{} (module)", scope.name), Kind::Module, hasher.finish(), None);
        for name in names {
            self.name(scope, std::slice::from_ref(name))?;
        }
        let stars = text.outline().stars.iter().filter_map(|from| scope.absolute(from));
        stars.collect::<Vec<_>>().iter().try_for_each(|module| self.member(module, &[]))
    }
}

/// Where an import inside a function takes from.
pub(super) fn from_module(import: &LocalImport) -> FromModule {
    FromModule { module: import.module.clone(), level: import.level }
}
