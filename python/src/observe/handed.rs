//! Was it handed over? A path or a name, looked for in the arguments of a call.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyModule, PySet, PyString,
    PyTuple, PyType,
};

use super::asked::Subject;

/// How something was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// As a path from the working directory.
    pub(super) is_relative: bool,
    /// Through links: the path that leads there, as it was handed over.
    pub(super) through: Option<PathBuf>,
}

/// How deep containers and attributes are looked into.
const DEEP: u32 = 3;
/// What may be looked at, in units of a number in a list. An argument that holds more counts as
/// one that holds the path: a rerun too many costs time, one too few a wrong result.
const MUCH: u32 = 1 << 17;
/// The units of anything but a number.
const OBJECT: u32 = 16;
/// How many links are resolved in one search.
const LINKS: u32 = 1_000;
/// Texts longer than that are no paths.
const LONG: usize = 4096;

/// A search through the arguments of some calls.
pub(super) struct Search<'a> {
    subject: Subject<'a>,
    working: Option<PathBuf>,
    /// The path, without links.
    resolved: Option<PathBuf>,
    left: u32,
    links: u32,
}

impl<'a> Search<'a> {
    /// A search for what happens.
    pub(super) fn new(_: Python<'_>, subject: Subject<'a>) -> Self {
        let is_path = matches!(subject, Subject::Path(_));
        let working = is_path.then(|| std::env::current_dir().ok()).flatten();
        let resolved = match subject {
            Subject::Path(path) => path.canonicalize().ok(),
            _ => None,
        };
        Self { subject, working, resolved, left: MUCH, links: LINKS }
    }

    /// How an argument leads to the subject; `None` if it does not.
    pub(super) fn find(&mut self, argument: &Bound<'_, PyAny>) -> Option<Given> {
        let mut waiting = vec![(argument.clone(), DEEP)];
        while let Some((value, depth)) = waiting.pop() {
            let is_number = value.is_none()
                || value.is_exact_instance_of::<PyInt>()
                || value.is_exact_instance_of::<PyFloat>()
                || value.is_exact_instance_of::<PyBool>();
            let is_path = matches!(self.subject, Subject::Path(_));
            let Some(left) = self.left.checked_sub(if is_number { 1 } else { OBJECT }) else {
                return is_path.then(Given::default);
            };
            self.left = left;
            if is_number {
                continue;
            }
            if is_path && depth + 1 >= DEEP && is_lazy(&value) {
                // What comes out of it cannot be told before.
                return Some(Given { is_relative: true, through: None });
            }
            if let Some(given) = self.text_of(&value).and_then(|text| self.leads(&text)) {
                return Some(given);
            }
            if depth > 0 {
                open(&value, &mut |inner| waiting.push((inner, depth - 1)));
            }
        }
        None
    }

    /// The text that a value is or stands for.
    fn text_of(&self, value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
        let value = if value.get_type().hasattr(intern!(value.py(), "__fspath__")).ok()? {
            // SAFETY: the reference is new, and null with an exception set.
            unsafe {
                Bound::from_owned_ptr_or_err(value.py(), ffi::PyOS_FSPath(value.as_ptr())).ok()?
            }
        } else {
            value.clone()
        };
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return Some(bytes.as_bytes().to_vec()).filter(|bytes| bytes.len() <= LONG);
        }
        let text = value.cast::<PyString>().ok()?;
        (text.len().ok()? <= LONG)
            .then(|| text.to_str().ok().map(|text| text.as_bytes().to_vec()))?
    }

    fn leads(&mut self, text: &[u8]) -> Option<Given> {
        match self.subject {
            Subject::Path(path) => self.leads_to(path, text),
            Subject::Variable(name) => names(text, name.as_bytes()).then(Given::default),
            Subject::WorkingDirectory | Subject::Act => None,
        }
    }

    fn leads_to(&mut self, path: &Path, text: &[u8]) -> Option<Given> {
        let text = text.strip_prefix(b"file://").unwrap_or(text);
        if text.is_empty() || text.contains(&0) || text.contains(&b'\n') {
            return None;
        }
        let is_relative = !matches!(text[0], b'/' | b'~');
        let whole = self.whole(text)?;
        let fixed = fixed(&whole);
        let mut both = [Some(whole), fixed].into_iter().flatten();
        both.find_map(|it| {
            if covers(&it, path) {
                return Some(Given { is_relative, through: None });
            }
            let through = self.through(&it)?;
            Some(Given { is_relative, through: Some(through) })
        })
    }

    /// The path that a text means.
    fn whole(&self, text: &[u8]) -> Option<PathBuf> {
        let path = Path::new(std::ffi::OsStr::from_bytes(text));
        match text.strip_prefix(b"~/") {
            Some(rest) => {
                let home = std::env::var_os("HOME")?;
                Some(Path::new(&home).join(Path::new(std::ffi::OsStr::from_bytes(rest))))
            }
            None => Some(super::path::tidy(&self.working.as_ref()?.join(path))),
        }
    }

    /// The path by which a handed one leads to the wanted one, if it does so through links.
    fn through(&mut self, whole: &Path) -> Option<PathBuf> {
        let wanted = self.resolved.as_ref()?;
        self.links = self.links.checked_sub(1)?;
        let rest = wanted.strip_prefix(whole.canonicalize().ok()?).ok()?;
        Some(super::path::tidy(&whole.join(rest)))
    }
}

/// Whether a path is the wanted one, a directory above it, or its name without a suffix.
fn covers(path: &Path, wanted: &Path) -> bool {
    let (path, wanted) = (path.as_os_str().as_bytes(), wanted.as_os_str().as_bytes());
    path.len() > 1
        && wanted
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'/' | b'.'))
}

/// The directory that a pattern with wildcards begins with.
pub(super) fn fixed(pattern: &Path) -> Option<PathBuf> {
    let is_fixed = |part: &std::ffi::OsStr| !part.as_bytes().iter().copied().any(is_wild);
    (!pattern.iter().all(is_fixed))
        .then(|| pattern.iter().take_while(|part| is_fixed(part)).collect())
}

/// Whether a byte of a pattern stands for others, or begins what does.
pub(super) fn is_wild(byte: u8) -> bool {
    b"*?[".contains(&byte)
}

/// Whether a text is the name of a variable, or mentions it as shells do.
fn names(text: &[u8], name: &[u8]) -> bool {
    let is_home = name == b"HOME" && (text == b"~" || text.starts_with(b"~/"));
    is_home || text == name || {
        let plain = [b"$", name].concat();
        let braced = [b"${", name, b"}"].concat();
        [plain, braced].iter().any(|it| text.windows(it.len()).any(|window| window == it))
    }
}

/// Whether it is one of Python's own iterators, such as a generator or `map`.
fn is_lazy(value: &Bound<'_, PyAny>) -> bool {
    let class = value.get_type();
    let is_iterator = class.hasattr(intern!(value.py(), "__next__")).unwrap_or(false);
    is_iterator && class.module().is_ok_and(|module| module == "builtins" || module == "itertools")
}

/// Hands over what a container or an object holds.
fn open<'py>(value: &Bound<'py, PyAny>, each: &mut dyn FnMut(Bound<'py, PyAny>)) {
    if let Ok(dict) = value.cast::<PyDict>() {
        dict.iter().for_each(|(key, item)| {
            each(key);
            each(item);
        });
    } else if let Ok(list) = value.cast::<PyList>() {
        list.iter().for_each(each);
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        tuple.iter().for_each(each);
    } else if let Ok(set) = value.cast::<PySet>() {
        set.iter().for_each(each);
    } else if let Ok(set) = value.cast::<PyFrozenSet>() {
        set.iter().for_each(each);
    } else if !value.is_instance_of::<PyModule>()
        && !value.is_instance_of::<PyType>()
        && !value.is_instance_of::<PyString>()
        && let Some(attributes) = attributes(value)
    {
        attributes.values().into_iter().for_each(each);
    }
}

/// The attributes that an object holds itself. Nothing of its class runs.
fn attributes<'py>(value: &Bound<'py, PyAny>) -> Option<Bound<'py, PyDict>> {
    let py = value.py();
    // SAFETY: generic lookup of a name on a live object; the reference is new, and null with an
    // exception set.
    let found = unsafe {
        let name = intern!(py, "__dict__");
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyObject_GenericGetAttr(value.as_ptr(), name.as_ptr()),
        )
    };
    found.ok()?.cast_into::<PyDict>().ok()
}
