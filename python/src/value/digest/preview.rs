//! Short texts that show values to people.

use std::fmt::Write;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySet, PyString, PyTuple};
use thrifty_key::without_passwords;

/// The longest preview, in bytes.
const LIMIT: usize = 120;
/// How many elements of a container are shown.
const ELEMENTS: usize = 4;

/// A text of one line and at most 120 bytes that shows a value: plain values as Python writes
/// them, containers by their first elements and length, arrays and frames by shape and dtype,
/// everything else as `Class(…)`. Calls no code of the value.
pub fn preview(value: &Bound<'_, PyAny>) -> String {
    let mut text = String::new();
    show(value, 0, &mut text);
    cut(&without_passwords(&text), LIMIT)
}

fn cut(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit - '…'.len_utf8();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

fn show(value: &Bound<'_, PyAny>, depth: usize, text: &mut String) {
    let shown = scalar(value).or_else(|| named(value)).or_else(|| shape(value));
    if let Some(shown) = shown {
        text.push_str(&shown);
    } else if depth > 2
        || text.len() > LIMIT
        || !(container(value, depth, text) || record(value, depth, text))
    {
        text.push_str(&unknown(value));
    }
}

/// A plain scalar as Python writes it.
fn scalar(value: &Bound<'_, PyAny>) -> Option<String> {
    if let Ok(exact) = value.cast_exact::<PyString>() {
        // A password is hidden before it is cut; of a long text only the beginning is looked at.
        let shown = |text: &str| cut(&without_passwords(&cut(text, 8 * LIMIT)), LIMIT);
        let exact = exact.to_str().map_or_else(|_| "…".to_owned(), shown);
        return Some(format!("{exact:?}"));
    }
    if let Ok(exact) = value.cast_exact::<PyBytes>() {
        return Some(format!("bytes({})", exact.as_bytes().len()));
    }
    if value.is_exact_instance_of::<pyo3::types::PyInt>() && value.extract::<i64>().is_err() {
        return Some("int(…)".to_owned());
    }
    let plain = value.is_none()
        || value.is_exact_instance_of::<pyo3::types::PyInt>()
        || value.is_exact_instance_of::<pyo3::types::PyFloat>()
        || value.is_exact_instance_of::<pyo3::types::PyBool>()
        || value.is_exact_instance_of::<pyo3::types::PyComplex>();
    plain.then(|| value.repr().ok().map(|text| text.to_string_lossy().into_owned()))?
}

/// The libraries whose arrays and tables have a shape.
const SHAPED: [&str; 6] = ["numpy", "pandas", "polars", "pyarrow", "scipy", "torch"];

/// The class, dtype and shape of an array or table.
fn shape(value: &Bound<'_, PyAny>) -> Option<String> {
    let class = value.get_type();
    let module = class.module().ok()?;
    let root = module.to_str().ok()?.split('.').next()?.to_owned();
    if !SHAPED.contains(&root.as_str()) {
        return None;
    }
    let shape: Vec<usize> = value.getattr("shape").ok()?.extract().ok()?;
    let name = class.name().ok()?;
    let name = name.to_string_lossy();
    let number = (root == "numpy" && shape.is_empty()).then(|| number(value)).flatten();
    if let Some(number) = &number
        && name != "ndarray"
    {
        return Some(format!("{name}({number})"));
    }
    let shape: Vec<_> = shape.iter().map(ToString::to_string).collect();
    let shape = match shape.is_empty() {
        true => number.unwrap_or_else(|| "()".to_owned()),
        false => shape.join("×"),
    };
    let dtype = value.getattr("dtype").ok();
    let dtype = dtype.and_then(|dtype| dtype.str().ok());
    let dtype =
        dtype.map_or_else(String::new, |dtype| format!("{}, ", cut(&dtype.to_string_lossy(), 40)));
    Some(format!("{name}({dtype}{shape})"))
}

/// What numpy keeps without a dimension, as Python writes it.
fn number(value: &Bound<'_, PyAny>) -> Option<String> {
    scalar(&value.call_method0("item").ok()?)
}

/// A builtin container; whether it was one.
fn container(value: &Bound<'_, PyAny>, depth: usize, text: &mut String) -> bool {
    if let Ok(list) = value.cast_exact::<PyList>() {
        elements("[", "]", list.len(), list.iter(), depth, text);
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let close = if tuple.len() == 1 { ",)" } else { ")" };
        elements("(", close, tuple.len(), tuple.iter(), depth, text);
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        pairs(dict, depth, text);
    } else if let Ok(set) = value.cast_exact::<PySet>() {
        // The order of a set differs between processes.
        _ = write!(text, "set({})", set.len());
    } else {
        return false;
    }
    true
}

fn elements<'py>(
    open: &str,
    close: &str,
    count: usize,
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    depth: usize,
    text: &mut String,
) {
    text.push_str(open);
    for (index, item) in items.take(ELEMENTS).enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        show(&item, depth + 1, text);
    }
    if count > ELEMENTS {
        _ = write!(text, ", … {count}");
    }
    text.push_str(close);
}

fn pairs(dict: &Bound<'_, PyDict>, depth: usize, text: &mut String) {
    text.push('{');
    let mut first = Vec::new();
    for pair in dict.items().iter().take(ELEMENTS) {
        first.push(pair);
    }
    for (index, pair) in first.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if let Ok((key, item)) = pair.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() {
            show(&key, depth + 1, text);
            text.push_str(": ");
            show(&item, depth + 1, text);
        }
    }
    if dict.len() > ELEMENTS {
        _ = write!(text, ", … {}", dict.len());
    }
    text.push('}');
}

fn unknown(value: &Bound<'_, PyAny>) -> String {
    let name = value.get_type().name();
    let name = name.map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    format!("{}(…)", cut(&name.replace(['\n', '\r'], " "), 60))
}

/// Modules of the standard library whose values are shown as they show themselves.
const TELLING: [&str; 6] = ["datetime", "decimal", "fractions", "pathlib", "uuid", "zoneinfo"];

/// A path, moment or number of the standard library, or a member of an enumeration.
fn named(value: &Bound<'_, PyAny>) -> Option<String> {
    let class = value.get_type();
    let module = class.module().ok()?;
    let module = module.to_str().ok()?;
    // Since Python 3.13, pathlib is a package.
    if TELLING.contains(&module.split('.').next()?) {
        return value.str().ok().map(|text| cut(&text.to_string_lossy(), LIMIT));
    }
    let members = class.getattr("__dict__").ok()?;
    members.contains("_member_map_").ok()?.then_some(())?;
    let name: String = own(value)?.get_item("_name_").ok()??.extract().ok()?;
    Some(format!("{}.{name}", class.name().ok()?.to_string_lossy()))
}

/// A dataclass or named tuple, by its fields; whether it was one. Fields that are not to be seen
/// are left out.
fn record(value: &Bound<'_, PyAny>, depth: usize, text: &mut String) -> bool {
    let Some(fields) = fields(value) else {
        return false;
    };
    let name = value
        .get_type()
        .name()
        .map_or_else(|_| "?".to_owned(), |name| name.to_string_lossy().into_owned());
    _ = write!(text, "{name}(");
    for (index, field) in fields.iter().take(ELEMENTS).enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        match field {
            Some(field) => show(field, depth + 1, text),
            None => text.push('…'),
        }
    }
    if fields.len() > ELEMENTS {
        text.push_str(", …");
    }
    text.push(')');
    true
}

/// The fields of a dataclass or named tuple, in order; `None` for those not to be seen.
fn fields<'py>(value: &Bound<'py, PyAny>) -> Option<Vec<Option<Bound<'py, PyAny>>>> {
    let members = value.get_type().getattr("__dict__").ok()?;
    if let Ok(declared) = members.get_item("__dataclass_fields__") {
        let held = own(value)?;
        let field = |pair: Bound<'py, PyAny>| {
            let (name, field): (String, Bound<'py, PyAny>) = pair.extract().ok()?;
            let is_shown = field.getattr("repr").ok()?.is_truthy().ok()?;
            let declared = field.getattr("type").ok()?.str().ok()?.to_string_lossy().into_owned();
            let is_secret = is_secret(&name) || declared.contains("Secret");
            Some(held.get_item(&name).ok()?.filter(|_| is_shown && !is_secret))
        };
        let declared = declared.cast_into::<PyDict>().ok()?;
        return declared.items().iter().map(field).collect();
    }
    let names: Vec<String> = members.get_item("_fields").ok()?.extract().ok()?;
    let tuple = value.cast::<PyTuple>().ok()?;
    let fields = names.iter().zip(tuple.iter_borrowed());
    Some(fields.map(|(name, it)| (!is_secret(name)).then(|| it.to_owned())).collect())
}

/// The attributes in an object's own dict, read without calling code of its class.
fn own<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let read = value.py().get_type::<PyAny>().getattr("__getattribute__").ok()?;
    read.call1((value, "__dict__")).ok()?.cast_into::<PyDict>().ok()
}

/// Whether the name of a field says that it is nobody's business.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passwd", "secret", "token", "credential", "key"]
        .iter()
        .any(|it| name.contains(it))
}
