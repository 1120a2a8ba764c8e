//! Functions of `os` that stand in the place of others, which no audit event tells of.

use std::path::{Path, PathBuf};
use std::slice;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};
use rustix::fs::OFlags;
use thrifty_engine::observed::Right;

use super::asked::{Asked, Subject, asked, purpose, purpose_of_link};
use super::hook::{from_handle, read, reading};
use super::path;
use super::recorder::{Recorder, Way};
use super::thread::{self, observing};

static GETCWD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static STAT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LSTAT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static ACCESS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static READLINK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static OPEN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Keeps what the functions of the same names stand for. To be called once.
#[pyfunction]
fn stand_for(
    py: Python<'_>,
    getcwd: Py<PyAny>,
    stat: Py<PyAny>,
    lstat: Py<PyAny>,
    access: Py<PyAny>,
    readlink: Py<PyAny>,
    open: Py<PyAny>,
) {
    _ = GETCWD.set(py, getcwd);
    _ = STAT.set(py, stat);
    _ = LSTAT.set(py, lstat);
    _ = ACCESS.set(py, access);
    _ = READLINK.set(py, readlink);
    _ = OPEN.set(py, open);
}

/// In the place of `os.getcwd`.
#[pyfunction]
fn getcwd(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    observing(py, |readers| {
        if asked(py, Subject::WorkingDirectory)? != Asked::No {
            readers.iter().for_each(|reader| reader.working_directory());
        }
        Ok(())
    });
    original(py, &GETCWD)?.call0()
}

/// In the place of `os.stat`.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(path, *, dir_fd=None, follow_symlinks=True)")]
fn stat<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    let follows = |kwargs: &Bound<'py, PyDict>| {
        let follows = kwargs.get_item(intern!(py, "follow_symlinks")).ok()?;
        Some(follows.is_none_or(|it| it.is_truthy().unwrap_or(false)))
    };
    if kwargs.is_none_or(|kwargs| follows(kwargs).unwrap_or(false)) {
        asks(args, kwargs, || purpose(py, Way::Facts));
    } else {
        asks(args, kwargs, || purpose_of_link(py));
    }
    original(py, &STAT)?.call(args, kwargs)
}

/// In the place of `os.lstat`.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(path, *, dir_fd=None)")]
fn lstat<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    asks(args, kwargs, || purpose_of_link(py));
    original(py, &LSTAT)?.call(args, kwargs)
}

/// In the place of `os.access`.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(path, mode, *, dir_fd=None, effective_ids=False, follow_symlinks=True)")]
fn access<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    let mode = argument(args, kwargs, 1, intern!(py, "mode"));
    let mode = mode.and_then(|mode| mode.extract::<u32>().ok()).unwrap_or_default();
    // Of a link itself, or for others than who runs this, it is not told what is permitted.
    let is_other = kwargs.is_some_and(|kwargs| {
        let has = |name| kwargs.contains(name).unwrap_or(true);
        has(intern!(py, "follow_symlinks")) || has(intern!(py, "effective_ids"))
    });
    asks(args, kwargs, || {
        Ok(match purpose(py, Way::Presence)? {
            Some(Way::Presence) if mode != 0 => {
                let presence = is_other.then_some(Way::Presence);
                rights(mode).map(Way::Permission).chain(presence).collect()
            }
            other => other.into_iter().collect::<Vec<_>>(),
        })
    });
    original(py, &ACCESS)?.call(args, kwargs)
}

/// What `os.access` asks for.
fn rights(mode: u32) -> impl Iterator<Item = Right> {
    let bits = [(4, Right::Read), (2, Right::Write), (1, Right::Execute)];
    bits.into_iter().filter(move |(bit, _)| mode & bit != 0).map(|(_, right)| right)
}

/// In the place of `os.open`, of which the event does not say from which directory a path is given.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(path, flags, mode=511, *, dir_fd=None)")]
fn open<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    let Some(handle) = handle(kwargs) else {
        return original(py, &OPEN)?.call(args, kwargs);
    };
    let path = argument(args, kwargs, 0, intern!(py, "path"));
    let flags = argument(args, kwargs, 1, intern!(py, "flags"));
    observing(py, |readers| {
        let (Some(path), Some(flags)) = (path.and_then(|it| path::given(&it)), flags) else {
            return Ok(());
        };
        let flags = OFlags::from_bits_retain(flags.extract::<i32>()?.cast_unsigned());
        for reader in readers {
            for given in from(py, reader, &handle, &path)? {
                reader.opened(&given);
                let reading = reading(py, slice::from_ref(reader), flags, &given)?;
                read(py, &reading, Way::Content, &given)?;
            }
        }
        Ok(())
    });
    let original = original(py, &OPEN)?;
    thread::aside(|| original.call(args, kwargs))
}

/// In the place of `os.readlink`.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs), text_signature = "(path, *, dir_fd=None)")]
fn readlink<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    asks(args, kwargs, || Ok(Some(Way::Presence)));
    original(args.py(), &READLINK)?.call(args, kwargs)
}

/// An argument by its position or name.
fn argument<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    position: usize,
    name: &Bound<'py, PyString>,
) -> Option<Bound<'py, PyAny>> {
    let named = || kwargs?.get_item(name).ok()?;
    args.get_item(position).ok().or_else(named)
}

/// The handle of a directory that a path is given from.
fn handle<'py>(kwargs: Option<&Bound<'py, PyDict>>) -> Option<Bound<'py, PyAny>> {
    let kwargs = kwargs?;
    kwargs.get_item(intern!(kwargs.py(), "dir_fd")).ok()?.filter(|handle| !handle.is_none())
}

/// What a path means that is given from the handle of a directory, by each name of that; nothing if
/// it cannot be told, which is noted.
fn from(
    py: Python<'_>,
    reader: &Recorder,
    handle: &Bound<'_, PyAny>,
    path: &Path,
) -> PyResult<Vec<PathBuf>> {
    if path.is_absolute() {
        return Ok(vec![path.to_owned()]);
    }
    let directories = from_handle(py, reader, handle)?;
    Ok(directories.iter().map(|directory| directory.join(path)).collect())
}

/// Something is asked about the path that is an argument.
fn asks<Ways: IntoIterator<Item = Way>>(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    purpose: impl FnOnce() -> PyResult<Ways>,
) {
    let py = args.py();
    if let Some(path) = argument(args, kwargs, 0, intern!(py, "path")) {
        asks_about(&path, handle(kwargs).as_ref(), purpose);
    }
}

/// Something is asked about a path, from the handle of a directory if there is one.
fn asks_about<Ways: IntoIterator<Item = Way>>(
    path: &Bound<'_, PyAny>,
    handle: Option<&Bound<'_, PyAny>>,
    purpose: impl FnOnce() -> PyResult<Ways>,
) {
    let py = path.py();
    observing(py, |readers| {
        let Some(path) = path::given(path) else {
            return Ok(());
        };
        let Some(handle) = handle else {
            return purpose()?.into_iter().try_for_each(|way| read(py, readers, way, &path));
        };
        let ways: Vec<_> = purpose()?.into_iter().collect();
        for reader in readers.iter().filter(|_| !ways.is_empty()) {
            for given in from(py, reader, handle, &path)? {
                let read = |way: &Way| read(py, slice::from_ref(reader), *way, &given);
                ways.iter().try_for_each(read)?;
            }
        }
        Ok(())
    });
}

/// An entry that `os.scandir` gave is about to be asked what it is, or what it leads to.
#[pyfunction]
#[pyo3(signature = (path, handle, follows))]
fn asks_of_entry(path: &Bound<'_, PyAny>, handle: Option<&Bound<'_, PyAny>>, follows: bool) {
    let py = path.py();
    asks_about(path, handle, || match follows {
        true => Ok(purpose(py, Way::Facts)?.into_iter().collect()),
        false => purpose_of_link(py),
    });
}

fn original<'py>(py: Python<'py>, kept: &PyOnceLock<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let kept = kept.get(py).map(|original| original.bind(py).clone());
    kept.ok_or_else(|| PyRuntimeError::new_err("thrifty observes nothing in this process"))
}

/// Adds the functions of this module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(stand_for, module)?)?;
    module.add_function(wrap_pyfunction!(stat, module)?)?;
    module.add_function(wrap_pyfunction!(lstat, module)?)?;
    module.add_function(wrap_pyfunction!(access, module)?)?;
    module.add_function(wrap_pyfunction!(readlink, module)?)?;
    module.add_function(wrap_pyfunction!(open, module)?)?;
    module.add_function(wrap_pyfunction!(asks_of_entry, module)?)?;
    module.add_function(wrap_pyfunction!(getcwd, module)?)
}
