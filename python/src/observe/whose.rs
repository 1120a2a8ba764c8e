//! Whose code runs in a frame: of the project, of a library, or of Python itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::frame::Frame;
use crate::code;

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The user's.
    Project,
    /// `os`, what its variables are made of, and what asks them for the user.
    System,
    /// What works on paths.
    Paths,
    /// The rest of the standard library: reads what it is asked to read.
    Standard,
    /// The parts of the standard library that read for themselves.
    Private,
    /// The import system.
    Import,
    /// An installed distribution.
    Installed,
    /// Thrifty.
    Own,
}

/// What an import, a traceback, a time zone or a probe of the system reads is no input.
const PRIVATE: [&str; 15] = [
    "inspect",
    "traceback",
    "warnings",
    "zoneinfo",
    "mimetypes",
    "locale",
    "gettext",
    "platform",
    "ssl",
    "site",
    "sysconfig",
    "encodings",
    "ctypes",
    "uuid",
    "tempfile",
];

const SYSTEM: [&str; 3] = ["os", "_collections_abc", "getpass"];
const PATHS: [&str; 3] = ["posixpath", "genericpath", "pathlib"];

static KNOWN: LazyLock<Mutex<HashMap<String, Whose>>> = LazyLock::new(Mutex::default);

/// Whose code runs in a frame.
pub(super) fn whose(frame: &Frame<'_>) -> PyResult<Whose> {
    let file = frame.file()?;
    let Ok(file) = file.to_str() else {
        return Ok(Whose::Project);
    };
    if let Some(known) = KNOWN.lock().get(file) {
        return Ok(*known);
    }
    match file.strip_prefix('<') {
        Some(word) => match word.strip_prefix("frozen ") {
            Some(name) => Ok(remember(file, standard(name.trim_end_matches('>')))),
            None => generated(frame),
        },
        None => of_file(frame, file),
    }
}

fn remember(file: &str, whose: Whose) -> Whose {
    KNOWN.lock().insert(file.to_owned(), whose);
    whose
}

/// Code that was made from text at run time belongs to the module it runs in: a notebook's and
/// the program's is the user's.
fn generated(frame: &Frame<'_>) -> PyResult<Whose> {
    match (frame.global("__name__").as_deref(), frame.global("__file__")) {
        (Some("__main__"), _) | (_, None) => Ok(Whose::Project),
        (_, Some(file)) => of_file(frame, &file),
    }
}

fn of_file(frame: &Frame<'_>, file: &str) -> PyResult<Whose> {
    let py = frame.py();
    let path = Path::new(file);
    let thrifty = package(py, "thrifty")?;
    if path.starts_with(&thrifty) {
        // `File` and `Dir` read for whoever asks them to.
        let is_wrapper = ["_observe.py", "files.py"].iter().any(|name| path.ends_with(name));
        return Ok(remember(file, if is_wrapper { Whose::System } else { Whose::Own }));
    }
    let module = frame.global("__name__").unwrap_or_default();
    if code::is_installed(&module, path) {
        return Ok(remember(file, Whose::Installed));
    }
    let library = library(py)?;
    let within = library.as_deref().and_then(|library| path.strip_prefix(library).ok());
    let whose = within
        .and_then(Path::to_str)
        .map_or(Whose::Project, |within| standard(within.trim_end_matches(".py")));
    Ok(remember(file, whose))
}

/// A module of the standard library by its name, or by its path in it.
fn standard(name: &str) -> Whose {
    let top = name.split(['.', '/']).next().unwrap_or(name);
    let is_bootstrap = name.starts_with("importlib") && name.contains("_bootstrap");
    let is_metadata = name.starts_with("importlib") && name.contains("metadata");
    if is_bootstrap || top == "zipimport" {
        Whose::Import
    } else if SYSTEM.contains(&top) {
        Whose::System
    } else if PATHS.contains(&top) {
        Whose::Paths
    } else if is_metadata || PRIVATE.contains(&top) {
        Whose::Private
    } else {
        Whose::Standard
    }
}

/// The directory of a loaded package.
fn package(py: Python<'_>, name: &str) -> PyResult<PathBuf> {
    let package = py.import(name)?.getattr(intern!(py, "__path__"))?;
    package.get_item(0)?.extract()
}

/// The directory of the standard library.
pub(super) fn library(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let file = py.import(intern!(py, "os"))?.getattr(intern!(py, "__file__"))?;
    let file: Bound<'_, PyString> = file.cast_into()?;
    Ok(Path::new(file.to_str()?).parent().map(Path::to_owned))
}
