//! What the project registers with a library, or with Python, that finds it by a name: accessors of data
//! frames, constructors of YAML, subclasses. No name in the text leads to it.

use std::rc::Rc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use super::guard::Guard;
use super::inspect::module_of;
use super::origin::{Place, Scope};
use super::text::Piece;
use super::walk::{Walk, from_module};

/// The attribute that gives the subclasses of a class.
pub(super) const SUBCLASSES: &str = "__subclasses__";

/// Classes on which accessors are registered, by module.
const HOLDERS: [(&str, &[&str]); 2] = [
    ("pandas", &["DataFrame", "Series", "Index"]),
    ("polars", &["DataFrame", "LazyFrame", "Series", "Expr"]),
];

/// Where they keep the names of their accessors.
const ACCESSORS: &str = "_accessors";

/// Classes of `yaml` with which functions are registered.
const YAML: [&str; 13] = [
    "BaseLoader",
    "CFullLoader",
    "CLoader",
    "CSafeDumper",
    "CSafeLoader",
    "CUnsafeLoader",
    "Dumper",
    "CDumper",
    "FullLoader",
    "Loader",
    "SafeDumper",
    "SafeLoader",
    "UnsafeLoader",
];

/// The tables in which they keep them.
const TABLES: [&str; 4] = [
    "yaml_constructors",
    "yaml_multi_constructors",
    "yaml_representers",
    "yaml_multi_representers",
];

/// How the calls end that register something.
const CALLS: [&str; 6] = [
    "_accessor(",
    "_namespace(",
    "add_constructor(",
    "add_multi_constructor(",
    "add_representer(",
    "add_multi_representer(",
];

/// A class of the project that is reached as an attribute of a library's objects.
pub(super) struct Accessor<'py> {
    module: &'static str,
    holder: Bound<'py, PyType>,
    name: String,
    class: Bound<'py, PyAny>,
}

/// Whether a text may register something when it is imported.
pub(super) fn may_register(text: &str) -> bool {
    CALLS.iter().any(|call| text.contains(call))
}

impl<'py> Walk<'_, 'py> {
    /// Follows what a definition reaches by attributes that the project registered, under whatever
    /// object they stand.
    pub(super) fn accessors(&mut self, piece: &Piece) -> PyResult<()> {
        let known = match &self.accessors {
            Some(known) => known.clone(),
            None => {
                let known = Rc::new(self.accessors_of_project()?);
                self.accessors.insert(known).clone()
            }
        };
        for Accessor { module, holder, name, class } in known.iter() {
            if piece.attributes.contains(name) {
                let hint = format!("{module}:{}.{name}", holder.name()?);
                self.guards.push(Guard::attribute(holder, name, class));
                self.value(&self.detached(module)?, class, &hint, &[])?;
            }
        }
        Ok(())
    }

    /// What the project registered, and guards of what is registered later.
    fn accessors_of_project(&mut self) -> PyResult<Vec<Accessor<'py>>> {
        for (module, _) in HOLDERS {
            if !self.modules.contains(module)? {
                self.guards.push(Guard::unloaded(&self.modules, module));
            }
        }
        let mut found = Vec::new();
        for (module, holder) in self.holders()? {
            let names = holder.getattr(ACCESSORS)?;
            let container = names.clone().unbind();
            self.guards.push(Guard::Length { length: names.len()?, container });
            for name in names.try_iter()? {
                let name: String = name?.extract()?;
                // Of the class itself it gives what was registered.
                let Some(class) = holder.getattr_opt(name.as_str())? else {
                    continue;
                };
                if let Ok(registered) = class.cast::<PyType>()
                    && self.is_of_project(&module_of(registered))?
                {
                    found.push(Accessor { module, holder: holder.clone(), name, class });
                }
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The classes of loaded libraries on which accessors are registered.
    fn holders(&self) -> PyResult<Vec<(&'static str, Bound<'py, PyType>)>> {
        let mut found = Vec::new();
        for (name, classes) in HOLDERS {
            let Some(module) = self.modules.get_item(name)? else {
                continue;
            };
            for class in classes {
                let class = module.getattr_opt(*class)?;
                let class = class.and_then(|class| class.cast_into::<PyType>().ok());
                let class = class.filter(|it| it.hasattr(ACCESSORS).unwrap_or(false));
                found.extend(class.map(|class| (name, class)));
            }
        }
        Ok(found)
    }

    /// Follows what the project registered with `yaml`.
    pub(super) fn yaml(&mut self) -> PyResult<()> {
        let Some(yaml) = self.modules.get_item("yaml")? else {
            self.guards.push(Guard::unloaded(&self.modules, "yaml"));
            return Ok(());
        };
        if !self.names.insert(("yaml".to_owned(), Vec::new())) {
            return Ok(());
        }
        let guarded = yaml.clone().unbind();
        self.guards.push(Guard::Yaml { count: with_yaml(&yaml)?, yaml: guarded });
        for (class, table) in tables(&yaml)? {
            let mut of_project = Vec::new();
            for (tag, function) in table.iter() {
                // A method of `yaml` may be bound to a class of the project.
                let owner = function.getattr_opt(intern!(self.py, "__self__"))?;
                let owner = owner.filter(|it| it.is_instance_of::<PyType>());
                let home = owner.as_ref().unwrap_or(&function);
                let home = home.getattr_opt(intern!(self.py, "__module__"))?;
                let home: Option<String> = home.and_then(|home| home.extract().ok());
                if home.is_some_and(|home| self.is_of_project(&home).unwrap_or(false)) {
                    of_project.push((tag.str()?.to_string_lossy().into_owned(), function));
                }
            }
            if !of_project.is_empty() {
                self.guards.push(Guard::of_elements(&table)?);
            }
            of_project.sort_by(|a, b| a.0.cmp(&b.0));
            for (tag, function) in of_project {
                let hint = format!("yaml:{class}({tag})");
                self.value(&self.detached("yaml")?, &function, &hint, &[])?;
            }
        }
        Ok(())
    }

    /// Follows the subclasses of what a definition asks for them, or says that it does not.
    pub(super) fn asked_for_subclasses(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        piece: &Piece,
        is_class: bool,
    ) -> PyResult<()> {
        if !piece.attributes.contains(SUBCLASSES) {
            return Ok(());
        }
        // Modules that the code imports may define some.
        self.has_registry = true;
        let mut is_known = is_class;
        for path in &piece.references {
            let Some((_, holder)) = path.split_last().filter(|(last, _)| *last == SUBCLASSES)
            else {
                continue;
            };
            if let Some(class) = self.class_at(scope, piece, holder)? {
                is_known = true;
                self.subclasses(&class)?;
            }
        }
        if !is_known {
            self.note(format!("{name}: what `{SUBCLASSES}` reaches is not followed"));
        }
        Ok(())
    }

    /// The class that a path leads to, out of the names of a module or what a definition imports.
    fn class_at(
        &mut self,
        scope: &Rc<Scope>,
        piece: &Piece,
        path: &[String],
    ) -> PyResult<Option<Bound<'py, PyType>>> {
        let Some((root, rest)) = path.split_first() else {
            return Ok(None);
        };
        let mut found = match piece.imports.iter().find(|import| import.bound_as == *root) {
            Some(import) => {
                let Some(module) = scope.absolute(&from_module(import)) else {
                    return Ok(None);
                };
                let module = self.py.import(module.as_str()).ok();
                match &import.name {
                    Some(name) => module.and_then(|module| module.getattr(name.as_str()).ok()),
                    None => module.map(Bound::into_any),
                }
            }
            None => self.loaded(scope, root)?,
        };
        for name in rest {
            found = found.and_then(|it| it.getattr(name.as_str()).ok());
        }
        Ok(found.and_then(|it| it.cast_into::<PyType>().ok()))
    }

    /// Follows the subclasses of a class, and theirs, that are of the project.
    pub(super) fn subclasses(&mut self, class: &Bound<'py, PyType>) -> PyResult<()> {
        let mut waiting = vec![class.clone()];
        while let Some(class) = waiting.pop() {
            if !self.subclassed.insert(class.as_ptr() as usize) {
                continue;
            }
            let mut found = subclasses_of(&class)?;
            self.guards.push(Guard::of_subclasses(&class, &found));
            found.sort_by_cached_key(|it| {
                (module_of(it), it.qualname().ok().map(|it| it.to_string()))
            });
            for subclass in found {
                if self.is_of_project(&module_of(&subclass))? {
                    let scope = self.detached(&module_of(&subclass))?;
                    self.class(&scope, &subclass)?;
                    waiting.push(subclass);
                }
            }
        }
        Ok(())
    }

    fn is_of_project(&mut self, module: &str) -> PyResult<bool> {
        Ok(matches!(self.place(module)?, Place::Project(_) | Place::Namespace(_) | Place::Missing))
    }
}

/// The direct subclasses of a class that are alive.
pub(super) fn subclasses_of<'py>(class: &Bound<'py, PyType>) -> PyResult<Vec<Bound<'py, PyType>>> {
    let py = class.py();
    let found = py.get_type::<PyType>().call_method1(intern!(py, SUBCLASSES), (class,))?;
    found.try_iter()?.map(|it| Ok(it?.cast_into::<PyType>()?)).collect()
}

/// The tables of `yaml`, each with the name of its class.
fn tables<'py>(yaml: &Bound<'py, PyAny>) -> PyResult<Vec<(&'static str, Bound<'py, PyDict>)>> {
    let mut found = Vec::new();
    for name in YAML {
        let Some(class) = yaml.getattr_opt(name)? else {
            continue;
        };
        for table in TABLES {
            let table = class.getattr_opt(table)?.and_then(|it| it.cast_into::<PyDict>().ok());
            found.extend(table.map(|table| (name, table)));
        }
    }
    Ok(found)
}

/// How much is registered with `yaml`.
pub(super) fn with_yaml(yaml: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(tables(yaml)?.iter().map(|(_, table)| table.len()).sum())
}
