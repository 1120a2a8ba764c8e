//! The text that a live function was compiled from.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::text::{self, Text};

/// Texts of notebook cells and of `exec`, by their name, as last seen.
static CELLS: Mutex<Option<Cells>> = Mutex::new(None);

/// Texts that are in no file: as they were given, and parsed.
type Cells = HashMap<String, (String, Arc<Text>)>;

/// The text under the name that code objects carry: a file, or what `linecache` was given by
/// a notebook. None if there is none, or it cannot be read.
pub(super) fn of(py: Python<'_>, filename: &str) -> Option<Arc<Text>> {
    if let Some(text) = cached_lines(py, filename) {
        return cell(filename, text);
    }
    let path = Path::new(filename);
    if filename.starts_with('<') || !path.is_file() {
        return None;
    }
    text::of_file(&std::path::absolute(path).ok()?).ok()
}

/// Names of all texts that `linecache` was given and that are no files, the newest first.
pub(super) fn cells(py: Python<'_>) -> Vec<String> {
    let Some(cache) = linecache(py).and_then(|it| it.getattr(intern!(py, "cache")).ok()) else {
        return Vec::new();
    };
    let names = cache.try_iter().into_iter().flatten();
    let mut names: Vec<String> = names.filter_map(|name| name.ok()?.extract().ok()).collect();
    names.retain(|name| name.starts_with('<') || name.contains("ipykernel"));
    names.reverse();
    names
}

fn linecache(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    let modules = py.import(intern!(py, "sys")).ok()?.getattr(intern!(py, "modules")).ok()?;
    modules.get_item(intern!(py, "linecache")).ok()
}

fn cached_lines(py: Python<'_>, filename: &str) -> Option<String> {
    if !filename.starts_with('<') && !filename.contains("ipykernel") {
        return None;
    }
    // The function and not its table: `doctest` and newer consoles put their own in its place.
    let lines = linecache(py)?
        .call_method1(intern!(py, "getlines"), (filename,))
        .ok()?
        .cast_into::<PyList>()
        .ok()?;
    if lines.is_empty() {
        return None;
    }
    lines.iter().map(|line| line.extract::<String>().ok()).collect()
}

fn cell(filename: &str, text: String) -> Option<Arc<Text>> {
    let mut cells = CELLS.lock().unwrap_or_else(PoisonError::into_inner);
    let cells = cells.get_or_insert_default();
    if let Some((before, parsed)) = cells.get(filename)
        && *before == text
    {
        return Some(parsed.clone());
    }
    let parsed = Arc::new(Text::parse(&text, None).ok()?);
    cells.insert(filename.to_owned(), (text, parsed.clone()));
    Some(parsed)
}
