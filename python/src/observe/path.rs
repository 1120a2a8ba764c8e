//! Paths as they are given to the system, and which of them are no input.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

/// Where the system shows itself.
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Prefixes that hold more than an installation of Python.
const SHARED: [&str; 3] = ["/", "/usr", "/usr/local"];

/// A path as an event tells it; `None` for a number and for what is no path.
pub(super) fn given(value: &Bound<'_, PyAny>) -> Option<PathBuf> {
    if value.is_none() {
        return Some(PathBuf::from("."));
    }
    if value.is_instance_of::<PyInt>() {
        return None;
    }
    // SAFETY: the reference is new, and null with an exception set.
    let path =
        unsafe { Bound::from_owned_ptr_or_err(value.py(), ffi::PyOS_FSPath(value.as_ptr())).ok()? };
    if let Ok(bytes) = path.cast::<PyBytes>() {
        return Some(PathBuf::from(OsStr::from_bytes(bytes.as_bytes())));
    }
    path.cast::<PyString>().ok()?.extract().ok()
}

/// Where the directory lies that a number is a handle of, if the system tells.
pub(super) fn of_handle(handle: &Bound<'_, PyAny>) -> Option<PathBuf> {
    let number: i32 = handle.extract().ok()?;
    let path = std::fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    path.is_dir().then_some(path)
}

/// The same path without `.` and doubled slashes.
pub(super) fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// Where a path with `..` leads to; any other one, and one that leads nowhere, is left as it is.
pub(super) fn resolved(path: &Path) -> Cow<'_, Path> {
    if !goes_up(path) {
        return Cow::Borrowed(path);
    }
    path.canonicalize().map_or(Cow::Borrowed(path), Cow::Owned)
}

fn goes_up(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

/// Whether a path stays in a directory, or is it. One that goes up again may leave it.
pub(super) fn is_within(path: &Path, directory: &Path) -> bool {
    path.strip_prefix(directory).is_ok_and(|inside| !goes_up(inside))
}

/// The path and those of the directories that it stays in.
pub(super) fn around(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().take_while(|above| !above.ends_with(".."))
}

/// Directories whose files are no input: those of Python, of the system and of the cache.
#[derive(Debug, Clone, Default)]
pub(super) struct Ignored {
    directories: Vec<PathBuf>,
    /// Those among them, or in them, in which programs are looked for: which are there counts.
    programs: Vec<PathBuf>,
}

impl Ignored {
    /// What this process never counts, and the directories of the cache. An installation that
    /// the project lies in is not ignored as a whole.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub(super) fn with(py: Python<'_>, cache: [&Path; 2], project: &Path) -> PyResult<Self> {
        let mut all: Vec<_> = SYSTEM.iter().map(PathBuf::from).collect();
        let mut programs = Vec::new();
        all.extend(super::whose::library(py)?);
        let system = py.import(intern!(py, "sys"))?;
        for name in [intern!(py, "prefix"), intern!(py, "base_prefix")] {
            let prefix: PathBuf = system.getattr(name)?.extract()?;
            let is_shared = SHARED.iter().any(|shared| Path::new(shared) == prefix);
            if !is_shared && !project.starts_with(&prefix) {
                programs.push(prefix.join("bin"));
                all.push(prefix);
            }
        }
        all.extend(cache.map(Path::to_owned));
        Ok(Self { directories: all, programs })
    }

    /// Whether a program that is looked for may be at a path.
    pub(super) fn may_be_program(&self, path: &Path) -> bool {
        self.programs.iter().any(|bin| path == bin || path.parent() == Some(bin))
    }

    /// Whether a path is no input, whoever reads it.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.directories.iter().any(|directory| is_within(path, directory))
            || path.extension().is_some_and(|extension| extension == "pyc")
            || around(path).any(|above| {
                let name = above.file_name().map(OsStr::as_bytes);
                matches!(name, Some(b"site-packages" | b"dist-packages" | b"__pycache__"))
            })
    }
}

/// Whether a path is in a directory for temporary files.
pub(super) fn is_temporary(path: &Path) -> bool {
    is_within(path, &std::env::temp_dir())
        || is_within(path, Path::new("/tmp"))
        || is_within(path, Path::new("/var/tmp"))
}
