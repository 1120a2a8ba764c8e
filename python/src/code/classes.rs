//! The code of the classes whose instances are values, and of the hooks that stand for values.
//!
//! A method of an argument's class can change what an operation does with it, although no text
//! of the operation names the class. So an instance of a project's class counts with the code
//! that its class can reach.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_key::{Context, Digest, Hasher};

use super::inspect::is_function;
use super::origin::{Place, locate};
use super::{Closure, Depth, Encoder};
use crate::program::imported_as;

/// The module that runs as the program.
const PROGRAM: &str = "__main__";

/// Classes that were asked for, by address; holding the class keeps the address its own.
static KNOWN: Mutex<Option<HashMap<usize, Known>>> = Mutex::new(None);

/// Forgets all of them: what they hold can be collected then.
pub(super) fn forget() {
    let known = KNOWN.lock().take();
    drop(known);
}

#[derive(Clone)]
struct Known {
    _class: Arc<Py<PyAny>>,
    /// `None` for a class that is not the project's.
    code: Option<(Arc<Closure>, Digest)>,
}

impl Closure {
    /// One digest for all units.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new(Context::Code);
        hasher.count(self.units.len());
        for unit in &self.units {
            hasher.framed(unit.name.as_bytes()).digest(&unit.digest);
        }
        hasher.finish()
    }
}

/// What a record calls a class or function of the project, `module:qualified.name`; `None` for any
/// other, and for one that no name leads to in another process.
///
/// # Errors
///
/// What Python raised.
pub fn project_class(class: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = class.py();
    let module: String = class.getattr(intern!(py, "__module__"))?.extract()?;
    let name: String = class.getattr(intern!(py, "__qualname__"))?.extract()?;
    // A module without a file that is not the program exists in this process alone.
    let lasts = match locate(py, &module)? {
        Place::Project(scope) => scope.file.is_some() || module == PROGRAM,
        Place::Namespace(_) => true,
        Place::Missing | Place::Opaque(_) | Place::Installed(_) | Place::Standard => false,
    };
    let found = lasts
        && modules(py)?.contains(&module)?
        && member(py.import(&module)?.into_any(), &name)?.is_some_and(|found| found.is(class));
    if !found {
        return Ok(None);
    }
    Ok(Some(format!("{}:{name}", imported_as(py, &module)?)))
}

fn is_of_project(py: Python<'_>, module: &str) -> PyResult<bool> {
    Ok(match locate(py, module)? {
        // A module without a file in which no Python ever ran holds what native code put there,
        // such as the types that the modules of Cython share.
        Place::Project(scope) if scope.file.is_none() => {
            scope.globals(py).is_none_or(|globals| globals.contains("__builtins__").unwrap_or(true))
        }
        Place::Project(_) | Place::Missing | Place::Namespace(_) => true,
        Place::Opaque(_) | Place::Installed(_) | Place::Standard => false,
    })
}

/// The digest of the code of a class or function that a record names; `None` if there is none.
///
/// A module that is not loaded is read and not imported, if the class stands at its top.
///
/// # Errors
///
/// [`super::Unfollowable`], as [`Closure::of`]; what importing the module raises.
pub fn code_of_named<'py>(
    py: Python<'py>,
    name: &str,
    encoder: Encoder<'_, 'py>,
) -> PyResult<Option<Digest>> {
    let Some((module, qualified)) = name.split_once(':') else {
        return Ok(None);
    };
    let is_program = imported_as(py, PROGRAM)? == module;
    let module = if is_program { PROGRAM } else { module };
    let is_loaded = modules(py)?.contains(module)?;
    if !is_loaded && !qualified.contains('.') {
        let closure = Closure::named(py, module, &[qualified.to_owned()], encoder)?;
        return Ok((!closure.units.is_empty()).then(|| closure.digest()));
    }
    let found = member(py.import(module)?.into_any(), qualified)?;
    match found {
        Some(found) if found.is_instance_of::<PyType>() || is_function(&found)? => {
            code_of_class(&found, encoder)
        }
        _ => Ok(None),
    }
}

fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))
}

/// What a qualified name leads to.
fn member<'py>(
    mut from: Bound<'py, PyAny>,
    qualified: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    for step in qualified.split('.') {
        match from.getattr_opt(step)? {
            Some(next) => from = next,
            None => return Ok(None),
        }
    }
    Ok(Some(from))
}

/// The digest of the code of a class or function of the project; `None` for any other, which
/// goes by its name.
///
/// # Errors
///
/// [`super::Unfollowable`], as [`Closure::of`].
pub fn code_of_class<'py>(
    class: &Bound<'py, PyAny>,
    encoder: Encoder<'_, 'py>,
) -> PyResult<Option<Digest>> {
    let py = class.py();
    let address = class.as_ptr() as usize;
    let known = KNOWN.lock().as_ref().and_then(|known| known.get(&address).cloned());
    match known {
        Some(Known { code: None, .. }) => return Ok(None),
        Some(Known { code: Some((closure, digest)), .. }) if closure.is_current(py, encoder) => {
            return Ok(Some(digest));
        }
        _ => {}
    }
    let module: String = class.getattr("__module__")?.extract()?;
    let code = if is_of_project(py, &module)? {
        let closure = Closure::of(class, Depth::Closure, encoder)?;
        let digest = closure.digest();
        Some((Arc::new(closure), digest))
    } else {
        None
    };
    let digest = code.as_ref().map(|(_, digest)| *digest);
    let known = Known { _class: Arc::new(class.clone().unbind()), code };
    // Dropped without the lock: it may hold objects whose destructors come back here.
    let outdated = KNOWN.lock().get_or_insert_default().insert(address, known);
    drop(outdated);
    Ok(digest)
}
