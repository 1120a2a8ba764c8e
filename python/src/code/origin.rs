//! Where a module comes from: the project, an installed distribution or Python itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyString};
use thrifty_source::outline::FromModule;

use super::distribution::{self, Distribution};
use super::fresh;
use super::text::{self, ReadError, Text};
use crate::program;

/// A module of the project, loaded or not.
pub(super) struct Scope {
    /// The name it has in units: that of the import, also when it runs as a script.
    pub(super) name: String,
    /// Its key in `sys.modules`.
    pub(super) import_name: String,
    /// What relative imports start from.
    package: String,
    /// The source file.
    pub(super) file: Option<PathBuf>,
    /// The parsed source; none in notebooks, whose cells are found by function.
    pub(super) text: Option<Arc<Text>>,
    /// The live namespace.
    pub(super) globals: RefCell<Option<Py<PyDict>>>,
    is_package: bool,
}

/// Where a module comes from.
#[derive(Clone)]
pub(super) enum Place {
    /// Source of the project.
    Project(Rc<Scope>),
    /// A directory of the project without `__init__.py`.
    Namespace(String),
    /// A file that has no source to read: by its content.
    Opaque(PathBuf),
    /// Installed distributions.
    Installed(BTreeSet<Distribution>),
    /// Python itself, or Thrifty: named elsewhere in the key.
    Standard,
    /// Not to be found.
    Missing,
}

impl Scope {
    /// The namespace of functions that belong to no importable module.
    pub(super) fn detached(name: String, globals: &Bound<'_, PyDict>) -> Self {
        Self {
            import_name: name.clone(),
            name,
            package: String::new(),
            file: None,
            text: None,
            globals: RefCell::new(Some(globals.clone().unbind())),
            is_package: false,
        }
    }

    /// The same module, with another namespace.
    pub(super) fn in_namespace(&self, globals: &Bound<'_, PyDict>) -> Self {
        self.with(self.text.clone(), Some(globals.clone().unbind()))
    }

    /// The same module, with docstrings and annotations in the digests of its text.
    pub(super) fn shown(&self, py: Python<'_>) -> Self {
        let globals = self.globals(py).map(Bound::unbind);
        self.with(self.text.as_ref().map(text::shown), globals)
    }

    fn with(&self, text: Option<Arc<Text>>, globals: Option<Py<PyDict>>) -> Self {
        Self {
            import_name: self.import_name.clone(),
            name: self.name.clone(),
            package: self.package.clone(),
            file: self.file.clone(),
            text,
            globals: RefCell::new(globals),
            is_package: self.is_package,
        }
    }

    /// Tells scopes apart: by name, and those that belong to no file by their namespace.
    pub(super) fn identity(&self) -> String {
        match (&self.file, self.globals.borrow().as_ref()) {
            (None, Some(globals)) => format!("{}@{:p}", self.import_name, globals.as_ptr()),
            _ => self.import_name.clone(),
        }
    }

    /// The live namespace, if the module is loaded.
    pub(super) fn globals<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyDict>> {
        self.globals.borrow().as_ref().map(|globals| globals.bind(py).clone())
    }

    /// The absolute name of a module that this one imports from; none for too many dots.
    pub(super) fn absolute(&self, from: &FromModule) -> Option<String> {
        let module = from.module.clone().unwrap_or_default();
        if from.level == 0 {
            return Some(module);
        }
        let mut package = self.package.as_str();
        for _ in 1..from.level {
            package = package.rsplit_once('.')?.0;
        }
        match (package.is_empty(), module.is_empty()) {
            (true, _) => None,
            (_, true) => Some(package.to_owned()),
            _ => Some(format!("{package}.{module}")),
        }
    }

    /// The import name of a submodule, if this is a package.
    pub(super) fn submodule(&self, name: &str) -> Option<String> {
        self.is_package.then(|| format!("{}.{name}", self.import_name))
    }
}

/// What the import system says about a module.
struct Found {
    file: Option<PathBuf>,
    search: Vec<PathBuf>,
    package: String,
    globals: Option<Py<PyDict>>,
    /// Its name if it were imported: `__main__` has another.
    name: String,
}

/// Finds where a module comes from, without importing it.
pub(super) fn locate(py: Python<'_>, name: &str) -> PyResult<Place> {
    let top = name.split('.').next().unwrap_or(name);
    if top == "thrifty" {
        return Ok(Place::Standard);
    }
    let Some(found) = find(py, name)? else {
        return Ok(Place::Missing);
    };
    let Some(home) = found.file.as_ref().or(found.search.first()) else {
        return Ok(match is_standard(py, top)? {
            true => Place::Standard,
            false => match &found.globals {
                Some(globals) => {
                    Place::Project(Rc::new(Scope::detached(name.to_owned(), globals.bind(py))))
                }
                None => Place::Missing,
            },
        });
    };
    let installed = site_of(home);
    if is_standard(py, top)? && installed.is_none() && is_in_library(py, home)? {
        return Ok(Place::Standard);
    }
    let top = found.name.split('.').next().unwrap_or(top);
    if let Some(site) = installed.clone().or_else(|| root_of(&found)) {
        let distributions = distribution::providing(&site, top);
        if !distributions.is_empty() {
            return Ok(Place::Installed(distributions));
        }
    }
    let Some(file) = found.file.clone() else {
        return Ok(Place::Namespace(name.to_owned()));
    };
    if installed.is_some() || file.extension().is_none_or(|extension| extension != "py") {
        return Ok(Place::Opaque(file));
    }
    Ok(Place::Project(Rc::new(scope(py, name, found, file)?)))
}

fn scope(py: Python<'_>, import_name: &str, found: Found, file: PathBuf) -> PyResult<Scope> {
    let read = match &found.globals {
        Some(globals) => fresh::text_of_loaded(&file, globals.bind(py)),
        None => text::of_file(&file),
    };
    let text = match read {
        Ok(text) => text,
        Err(ReadError::Io(error)) if error.kind() != ErrorKind::NotFound => {
            let what = format!("the source of module `{import_name}`");
            return Err(super::unreadable(&what, &file, &error));
        }
        Err(error) => {
            let what = format!("module `{import_name}`");
            return Err(super::unfollowable(
                &what,
                &file.display().to_string(),
                &error.to_string(),
            ));
        }
    };
    Ok(Scope {
        import_name: import_name.to_owned(),
        name: found.name,
        package: found.package,
        is_package: !found.search.is_empty(),
        text: Some(text),
        file: Some(file),
        globals: RefCell::new(found.globals),
    })
}

fn find(py: Python<'_>, name: &str) -> PyResult<Option<Found>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if let Ok(module) = modules.get_item(name)
        && !module.is_none()
    {
        return loaded(name, &module).map(Some);
    }
    let parent = name.rsplit_once('.').map(|(parent, _)| parent);
    let search = match parent {
        None => None,
        Some(parent) => match find(py, parent)? {
            Some(parent) if !parent.search.is_empty() => Some(parent.search),
            _ => return Ok(None),
        },
    };
    let search: Option<Vec<String>> = search.map(|search| {
        let texts = search.into_iter().map(|path| path.into_os_string().into_string());
        texts.filter_map(Result::ok).collect()
    });
    let finders = py.import(intern!(py, "sys"))?.getattr(intern!(py, "meta_path"))?;
    for finder in finders.try_iter()? {
        let finder = finder?;
        let Ok(spec) = finder.call_method1(intern!(py, "find_spec"), (name, search.clone())) else {
            continue;
        };
        if !spec.is_none() {
            let file = spec.getattr(intern!(py, "origin"))?.extract::<PathBuf>().ok();
            let file = file.filter(|file| file.is_absolute());
            let search = paths(&spec.getattr(intern!(py, "submodule_search_locations"))?);
            let package = if search.is_empty() { parent.unwrap_or_default() } else { name };
            let package = package.to_owned();
            return Ok(Some(Found { file, search, package, globals: None, name: name.to_owned() }));
        }
    }
    Ok(None)
}

fn loaded(name: &str, module: &Bound<'_, PyAny>) -> PyResult<Found> {
    let py = module.py();
    let text = |attribute: &Bound<'_, PyString>| {
        let value = module.getattr_opt(attribute).ok().flatten();
        value.and_then(|value| value.extract::<String>().ok())
    };
    let file = text(intern!(py, "__file__")).map(PathBuf::from);
    let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
    let search = module.getattr_opt(intern!(py, "__path__"))?.map(|search| paths(&search));
    let globals = module.cast::<PyModule>().ok().map(|module| module.dict().unbind());
    let canonical = match name {
        "__main__" | "__mp_main__" => program::name(module, file.as_deref())?,
        _ => name.to_owned(),
    };
    let package = text(intern!(py, "__package__"));
    let package = package
        .unwrap_or_else(|| name.rsplit_once('.').map_or("", |(parent, _)| parent).to_owned());
    Ok(Found { file, search: search.unwrap_or_default(), package, globals, name: canonical })
}

fn paths(search: &Bound<'_, PyAny>) -> Vec<PathBuf> {
    let entries = search.try_iter().into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.extract().ok()).collect()
}

/// The `site-packages` directory that a path is in.
fn site_of(path: &Path) -> Option<PathBuf> {
    let is_site = |path: &&Path| path.ends_with("site-packages") || path.ends_with("dist-packages");
    path.ancestors().skip(1).find(is_site).map(Path::to_owned)
}

/// Whether the file of a loaded module belongs to an installed distribution.
pub fn is_installed(name: &str, file: &Path) -> bool {
    if site_of(file).is_some() {
        return true;
    }
    let is_package = file.file_stem().is_some_and(|stem| stem == "__init__");
    let depth = name.split('.').count() + usize::from(is_package);
    let top = name.split('.').next().unwrap_or(name);
    let root = file.ancestors().nth(depth);
    root.is_some_and(|root| !distribution::providing(root, top).is_empty())
}

/// The directory that the top-level package of a module is in.
fn root_of(found: &Found) -> Option<PathBuf> {
    let depth = found.name.split('.').count();
    let package = found.search.first().map(PathBuf::as_path).or(found.file.as_deref())?;
    package.ancestors().nth(depth).map(Path::to_owned)
}

fn is_standard(py: Python<'_>, top: &str) -> PyResult<bool> {
    py.import(intern!(py, "sys"))?.getattr(intern!(py, "stdlib_module_names"))?.contains(top)
}

fn is_in_library(py: Python<'_>, file: &Path) -> PyResult<bool> {
    let system =
        py.import(intern!(py, "os"))?.getattr(intern!(py, "__file__"))?.extract::<PathBuf>()?;
    let dynamic = file.components().any(|part| part.as_os_str() == "lib-dynload");
    Ok(dynamic || system.parent().is_some_and(|library| file.starts_with(library)))
}
