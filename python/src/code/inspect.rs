//! Looking at live objects without running their code.

use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Attributes under which wrappers of functions keep what they wrap.
pub(super) const WRAPPED: [&str; 7] =
    ["__wrapped__", "__func__", "func", "fget", "py_func", "pyfunc", "_func"];

/// How many wrappers around one function are looked through.
pub(super) const WRAPPERS: usize = 6;

pub(super) fn is_function(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let kind = value.get_type();
    Ok(kind.name()? == "function" && module_of(&kind) == "builtins")
}

/// The plain function inside a method descriptor, if there is one.
pub(super) fn plain_function<'py>(
    value: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if is_function(value)? {
        return Ok(Some(value.clone()));
    }
    for part in ["__func__", "fget"] {
        if let Some(held) = value.getattr_opt(part).ok().flatten()
            && is_function(&held)?
        {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// Slots, properties and the like: how a class gives access, not a value of its own.
pub(super) fn is_descriptor(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.get_type().hasattr("__get__")
}

pub(super) fn attributes<'py>(
    class: &Bound<'py, PyType>,
) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let namespace = class.getattr(intern!(class.py(), "__dict__"))?;
    let mut attributes = Vec::new();
    for name in namespace.try_iter()? {
        let name = name?;
        attributes.push((name.extract()?, namespace.get_item(&name)?));
    }
    Ok(attributes)
}

pub(super) fn cells<'py>(
    function: &Bound<'py, PyAny>,
) -> PyResult<HashMap<String, Bound<'py, PyAny>>> {
    let py = function.py();
    let closure = function.getattr(intern!(py, "__closure__"))?;
    if closure.is_none() {
        return Ok(HashMap::new());
    }
    let names: Vec<String> = function
        .getattr(intern!(py, "__code__"))?
        .getattr(intern!(py, "co_freevars"))?
        .extract()?;
    names.into_iter().zip(closure.try_iter()?).map(|(name, cell)| Ok((name, cell?))).collect()
}

/// Where the body of a code object begins: lines below its first one, and column in bytes. None if
/// the interpreter was told to forget columns.
pub(super) fn body_start(code: &Bound<'_, PyAny>) -> PyResult<Option<(u32, u32)>> {
    type Position = (Option<u32>, Option<u32>, Option<u32>, Option<u32>);
    let py = code.py();
    let first: u32 = code.getattr(intern!(py, "co_firstlineno"))?.extract()?;
    let mut start = None;
    for position in code.call_method0(intern!(py, "co_positions"))?.try_iter()? {
        let (Some(line), Some(last), Some(column), Some(end)) = position?.extract::<Position>()?
        else {
            continue;
        };
        // What the interpreter adds has no width.
        if (last, end) > (line, column) && line >= first {
            let place = (line - first, column);
            start = Some(start.map_or(place, |before: (u32, u32)| before.min(place)));
        }
    }
    Ok(start)
}

pub(super) fn module_of(class: &Bound<'_, PyType>) -> String {
    class
        .getattr(intern!(class.py(), "__module__"))
        .and_then(|module| module.extract())
        .unwrap_or_default()
}

/// A name for an object that does not depend on where it lies in memory.
pub(super) fn describe(value: &Bound<'_, PyAny>) -> String {
    let text = |name: &str| {
        value.getattr_opt(name).ok().flatten().and_then(|text| text.extract::<String>().ok())
    };
    match (text("__module__"), text("__qualname__")) {
        (Some(module), Some(name)) => format!("{module}:{name}"),
        _ => text("__name__")
            .or_else(|| {
                value.get_type().name().map(|name| name.to_string_lossy().into_owned()).ok()
            })
            .unwrap_or_default(),
    }
}

/// Whether a value can never change in place.
pub(super) fn is_immutable(value: &Bound<'_, PyAny>) -> bool {
    let name =
        value.get_type().name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    module_of(&value.get_type()) == "builtins"
        && matches!(
            name.as_str(),
            "int" | "float" | "complex" | "str" | "bytes" | "bool" | "NoneType"
        )
}
