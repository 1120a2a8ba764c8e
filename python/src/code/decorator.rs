//! What decorators made of functions, and what they keep.

use std::collections::BTreeSet;
use std::rc::Rc;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyTuple, PyType};

use super::fresh;
use super::guard::{self, Guard};
use super::inspect::{
    WRAPPED, WRAPPERS, attributes, cells, is_function, module_of, plain_function,
};
use super::origin::{Place, Scope};
use super::walk::Walk;
use crate::remembering;

/// How many objects that a decorator made are looked into for the function it was given.
const HELD: usize = 64;

impl<'py> Walk<'_, 'py> {
    /// The line of a code object in the text of its scope, as well as can be told.
    fn line_in_text(
        &self,
        scope: &Rc<Scope>,
        code: &Bound<'py, PyAny>,
        line: u32,
    ) -> PyResult<u32> {
        match scope.text.as_ref().filter(|text| fresh::is_doubtful(text)) {
            Some(text) => Ok(fresh::line_of(text, code)?.unwrap_or(line)),
            None => Ok(line),
        }
    }

    /// The function that the definition at a line made, if that is what a live object is or,
    /// decorated, holds.
    pub(super) fn definition(
        &self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        line: u32,
        name: &str,
        decorated: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (mut waiting, mut seen) = (vec![(value.clone(), 0)], 0);
        while let Some((value, depth)) = waiting.pop().filter(|_| seen < HELD) {
            seen += 1;
            if is_function(&value)? {
                let code = value.getattr(intern!(self.py, "__code__"))?;
                let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
                let file = std::path::absolute(&filename).ok();
                let own: u32 = code.getattr(intern!(self.py, "co_firstlineno"))?.extract()?;
                if self.line_in_text(scope, &code, own)? == line
                    && code.getattr(intern!(self.py, "co_name"))?.extract::<String>()? == name
                    && file.as_deref() == scope.file.as_deref()
                {
                    return Ok(Some(value));
                }
                if decorated && depth < WRAPPERS {
                    let held = cells(&value)?.into_values();
                    let held = held
                        .filter_map(|cell| cell.getattr(intern!(self.py, "cell_contents")).ok());
                    waiting.extend(held.map(|held| (held, depth + 1)));
                }
            }
            if decorated && depth < WRAPPERS && !value.is_instance_of::<PyType>() {
                let held =
                    WRAPPED.iter().filter_map(|part| value.getattr_opt(*part).ok().flatten());
                waiting.extend(held.map(|held| (held, depth + 1)));
                let own = value.getattr_opt(intern!(self.py, "__dict__")).ok().flatten();
                if let Some(Ok(own)) = own.map(|own| own.cast_into::<PyDict>()) {
                    let held = own.values().into_iter();
                    let held = held.filter(|held| is_function(held).unwrap_or(false));
                    waiting.extend(held.map(|held| (held, depth + 1)));
                }
            }
        }
        Ok(None)
    }

    /// Follows what decorators of the project keep: functions, numbers and texts that they were
    /// handed, and containers, for what one remembers there, a body may take in the place of what it
    /// would read. What has no digest is no news.
    pub(super) fn kept_by_decorators(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
        own: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let mut value = value.clone();
        for _ in 0..WRAPPERS {
            let wrapped = value.getattr_opt(intern!(self.py, "__wrapped__"))?;
            for Kept { name, held, guard } in self.kept(&value)? {
                if own.into_iter().chain(&wrapped).any(|it| it.is(&held)) || !is_kept(&held)? {
                    continue;
                }
                self.guards.push(guard);
                let hint = format!("{hint} ({name} of its decorator)");
                match self.value(scope, &held, &hint, &[]) {
                    Err(error) if !error.is_instance_of::<PyException>(self.py) => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            match wrapped {
                Some(wrapped) => value = wrapped,
                None => break,
            }
        }
        Ok(())
    }

    /// What something of the project that a decorator made holds and does not bind again.
    fn kept(&mut self, value: &Bound<'py, PyAny>) -> PyResult<Vec<Kept<'py>>> {
        let mut kept = Vec::new();
        if is_function(value)? {
            if self.scope_of_function(value)?.is_none() {
                return Ok(kept);
            }
            let bound = bound(value, &["STORE_DEREF", "DELETE_DEREF"])?;
            for (name, cell) in cells(value)? {
                // A cell may be empty still.
                let Ok(held) = cell.getattr(intern!(self.py, "cell_contents")) else {
                    continue;
                };
                if !bound.contains(&name) {
                    let guarded = Some(held.clone().unbind());
                    let guard = Guard::Cell { cell: cell.unbind(), value: guarded };
                    kept.push(Kept { name, held, guard });
                }
            }
        } else if matches!(self.place(&module_of(&value.get_type()))?, Place::Project(_)) {
            let namespace = value.getattr_opt(intern!(self.py, "__dict__"))?;
            let Some(Ok(namespace)) = namespace.map(|it| it.cast_into::<PyDict>()) else {
                return Ok(kept);
            };
            let mut rebound = BTreeSet::new();
            for (name, method) in attributes(&value.get_type())? {
                if let Some(method) = plain_function(&method)?.filter(|_| name != "__init__") {
                    rebound.append(&mut bound(&method, &["STORE_ATTR"])?);
                }
            }
            for (name, held) in namespace.iter() {
                let key = name.cast_into::<PyString>()?;
                let name: String = key.extract()?;
                if !rebound.contains(&name) {
                    let guarded = Some(held.clone().unbind());
                    let namespace = namespace.clone().unbind();
                    let guard = Guard::Item { namespace, name: key.unbind(), value: guarded };
                    kept.push(Kept { name, held, guard });
                }
            }
        }
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(kept)
    }

    /// Guards the functions that a decorated definition left behind.
    pub(super) fn guard_wrapped(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut value = value.clone();
        for _ in 0..WRAPPERS {
            if is_function(&value)? {
                self.guards.push(Guard::of_function(&value)?);
            }
            remembering::reaches(&value)?;
            match value.getattr_opt(intern!(self.py, "__wrapped__"))? {
                Some(wrapped) => value = wrapped,
                None => break,
            }
        }
        Ok(())
    }
}

/// Whether what a decorator holds may decide what its functions do.
fn is_kept(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(value.is_instance_of::<PyDict>()
        || value.is_instance_of::<PyList>()
        || value.is_instance_of::<PySet>()
        || value.is_instance_of::<PyTuple>()
        || value.is_instance_of::<PyType>()
        || guard::is_leaf(value)
        || is_function(value)?)
}

/// The names that a function binds by these instructions, as to count its calls.
fn bound(function: &Bound<'_, PyAny>, instructions: &[&str]) -> PyResult<BTreeSet<String>> {
    let py = function.py();
    let mut names = BTreeSet::new();
    for instruction in
        py.import("dis")?.call_method1("get_instructions", (function,))?.try_iter()?
    {
        let instruction = instruction?;
        let operation: String = instruction.getattr(intern!(py, "opname"))?.extract()?;
        if instructions.contains(&operation.as_str()) {
            names.insert(instruction.getattr(intern!(py, "argval"))?.extract()?);
        }
    }
    Ok(names)
}

/// Something that a decorator keeps in a cell or attribute.
struct Kept<'py> {
    name: String,
    held: Bound<'py, PyAny>,
    guard: Guard,
}
