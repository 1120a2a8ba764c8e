//! What the interpreter tells of: audit events, and calls of functions of `os` that have none.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use rustix::fs::OFlags;

use super::asked::{self, Asked, Subject, asked, nearest, purpose, purpose_of_link, use_of_path};
use super::handed::Given;
use super::note::Note;
use super::path;
use super::recorder::{Recorder, Way};
use super::thread::{self, observing};

static INSTALLED: PyOnceLock<()> = PyOnceLock::new();
/// Whether `linecache` is watched.
static LINES: PyOnceLock<()> = PyOnceLock::new();

/// Begins to listen, before each body; once for the life of the process, since nobody can take a hook
/// away.
///
/// # Errors
///
/// What Python raised.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    INSTALLED.get_or_try_init(py, || {
        py.import(intern!(py, "thrifty._observe"))?.call_method0(intern!(py, "install"))?;
        // SAFETY: the function lives as long as the process, and needs no data.
        match unsafe { PySys_AddAuditHook(audit, std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(py)),
        }
    })?;
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if LINES.get(py).is_none() && modules.contains(intern!(py, "linecache"))? {
        LINES.get_or_try_init(py, || {
            let observe = py.import(intern!(py, "thrifty._observe"))?;
            observe.call_method0(intern!(py, "watch_lines")).map(drop)
        })?;
    }
    Ok(())
}

unsafe extern "C" {
    /// No part of the stable interface, but of every Python since 3.8. A hook of Python's own
    /// costs every call of `id` in the program five times as much.
    fn PySys_AddAuditHook(
        hook: extern "C" fn(*const c_char, *mut ffi::PyObject, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
}

/// Told of every audit event, also of those in which no Python may run any more. It never objects.
extern "C" fn audit(
    event: *const c_char,
    arguments: *mut ffi::PyObject,
    _data: *mut c_void,
) -> c_int {
    if thread::is_anybody_watching() {
        // SAFETY: the interpreter hands over a text that lives as long as this call.
        let event = unsafe { CStr::from_ptr(event) };
        _ = std::panic::catch_unwind(|| happened(event.to_bytes(), arguments));
    }
    0
}

fn happened(event: &[u8], arguments: *mut ffi::PyObject) {
    let is_told = |names: &[&str]| names.iter().any(|name| name.as_bytes() == event);
    if !is_told(&["open"]) && !is_told(&TOLD) {
        return;
    }
    Python::attach(|py| {
        // SAFETY: it is borrowed for this call, and null for an event without arguments.
        let arguments = unsafe { Bound::from_borrowed_ptr_or_opt(py, arguments) };
        let arguments = arguments.and_then(|it| it.cast_into::<PyTuple>().ok());
        if let (Ok(event), Some(arguments)) = (std::str::from_utf8(event), arguments) {
            sort(event, &arguments);
        }
    });
}

/// The events that matter, apart from `open`.
const TOLD: [&str; 19] = [
    "os.listdir",
    "os.scandir",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.chdir",
    "shutil.rmtree",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
    "socket.connect",
    "socket.getaddrinfo",
    "sqlite3.connect",
];

fn sort(event: &str, arguments: &Bound<'_, PyTuple>) {
    let py = arguments.py();
    let note = match event {
        "open" => return observing(py, |readers| opened(readers, arguments)),
        "os.listdir" | "os.scandir" => {
            return observing(py, |readers| match first(arguments) {
                Some(given) => read(py, readers, Way::Listing, &given),
                None => Ok(()),
            });
        }
        "os.mkdir" | "os.rename" | "os.remove" | "os.rmdir" | "shutil.rmtree" => {
            return observing(py, |readers| changed(readers, event, arguments));
        }
        "os.chdir" => return thread::all().iter().for_each(|body| body.moved()),
        "subprocess.Popen" | "os.system" | "os.exec" | "os.posix_spawn" | "os.spawn"
        | "os.fork" | "os.forkpty" | "pty.spawn" => Note::Process,
        "socket.connect" | "socket.getaddrinfo" => Note::Network,
        "sqlite3.connect" => Note::Database,
        _ => return,
    };
    observing(py, |readers| noted(readers, note, arguments));
}

/// The path that an event begins with.
fn first(arguments: &Bound<'_, PyTuple>) -> Option<std::path::PathBuf> {
    path::given(&arguments.get_item(0).ok()?)
}

fn opened(readers: &[Arc<Recorder>], arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let Some(given) = first(arguments) else {
        return Ok(());
    };
    let py = arguments.py();
    let flags = OFlags::from_bits_retain(arguments.get_item(2)?.extract::<i32>()?.cast_unsigned());
    let (writes, reads) = match flags & OFlags::RWMODE {
        access if access == OFlags::WRONLY => (true, false),
        access if access == OFlags::RDWR => (true, true),
        _ => (false, true),
    };
    let mut others = Vec::new();
    for reader in readers {
        if writes && begins_anew(flags, &reader.absolute(&given)) {
            reader.wrote(reader.absolute(&given));
        } else if reads {
            others.push(Arc::clone(reader));
        }
    }
    let is_of_os = arguments.get_item(1)?.is_none();
    if is_of_os && given.is_relative() && others.iter().any(|it| !it.absolute(&given).exists()) {
        return from_handle(py, &others, &given);
    }
    read(py, &others, Way::Content, &given)
}

/// Whether nothing of what was there is left, if it opens.
fn begins_anew(flags: OFlags, absolute: &Path) -> bool {
    if flags.contains(OFlags::TRUNC) {
        return !absolute.is_dir();
    }
    flags.contains(OFlags::CREATE) && (flags.contains(OFlags::EXCL) || !absolute.exists())
}

/// `os.open` may have been given a directory to start from, of which the event says nothing. The
/// standard library goes through directories that way.
fn from_handle(py: Python<'_>, readers: &[Arc<Recorder>], given: &Path) -> PyResult<()> {
    if nearest(py)?.is_library() {
        return Ok(());
    }
    readers.iter().for_each(|reader| reader.note(Note::Handle));
    read(py, readers, Way::Content, given)
}

/// A path is about to be looked at.
fn read(py: Python<'_>, readers: &[Arc<Recorder>], way: Way, given: &Path) -> PyResult<()> {
    let mut known = None;
    for reader in readers.iter().filter(|reader| !reader.knows(way, given)) {
        let absolute = reader.absolute(given);
        if reader.ignores(&absolute) {
            continue;
        }
        if known.is_none() {
            known = Some(asked(py, Subject::Path(&absolute))?);
        }
        let by = match known.as_ref() {
            Some(Asked::No) => return Ok(()),
            Some(Asked::By(by)) => by.clone(),
            Some(Asked::Directly) | None => Given::default(),
        };
        let (given, absolute) = match &by.through {
            Some(through) => (through.as_path(), through.as_path()),
            None => (given, absolute.as_path()),
        };
        py.detach(|| {
            reader.look(way, given, absolute, by.is_relative);
            if way == Way::Whole {
                reader.look_within(given, by.is_relative);
            }
        });
    }
    Ok(())
}

fn changed(readers: &[Arc<Recorder>], event: &str, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let Some(given) = first(arguments) else {
        return Ok(());
    };
    for reader in readers {
        let absolute = reader.absolute(&given);
        match event {
            "os.mkdir" if absolute.exists() => {}
            "os.mkdir" | "shutil.rmtree" => reader.made(absolute),
            "os.rename" => {
                if let Some(to) = path::given(&arguments.get_item(1)?) {
                    reader.renamed(&absolute, reader.absolute(&to));
                }
            }
            _ => reader.wrote(absolute),
        }
    }
    Ok(())
}

fn noted(readers: &[Arc<Recorder>], note: Note, arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let py = arguments.py();
    let is_nothing = match note {
        Note::Database => arguments
            .get_item(0)?
            .extract::<String>()
            .is_ok_and(|name| name.is_empty() || name == ":memory:"),
        // A socket of the file system leads to this machine, and has no host and port.
        Note::Network if arguments.len() == 2 => {
            let address = arguments.get_item(1)?;
            !address.is_instance_of::<PyTuple>()
        }
        _ => false,
    };
    let counts = match asked(py, Subject::Act)? {
        Asked::Directly => true,
        // Libraries ask the system with programs, for the number of cores say.
        Asked::By(_) => note != Note::Process,
        Asked::No => false,
    };
    if counts && !is_nothing {
        readers.iter().for_each(|reader| reader.note(note));
    }
    Ok(())
}

/// A variable is about to be read.
#[pyfunction]
fn reads_variable(py: Python<'_>, name: &Bound<'_, PyAny>) {
    observing(py, |readers| {
        let Some(name) = text(name).filter(|_| !is_part_of_all(py)) else {
            return Ok(());
        };
        if asked(py, Subject::Variable(&name))? != Asked::No {
            readers.iter().for_each(|reader| reader.variable(&name));
        }
        Ok(())
    });
}

/// A variable is about to be read, and set to this if it is not there.
#[pyfunction]
fn defaults_variable(py: Python<'_>, name: &Bound<'_, PyAny>, default: &Bound<'_, PyAny>) {
    observing(py, |readers| {
        let (Some(name), Some(default)) = (text(name), text(default)) else {
            return Ok(());
        };
        if asked(py, Subject::Variable(&name))? != Asked::No {
            readers.iter().for_each(|reader| reader.variable_or(&name, &default));
        }
        Ok(())
    });
}

/// A variable is about to be set or deleted.
#[pyfunction]
fn sets_variable(py: Python<'_>, name: &Bound<'_, PyAny>) {
    observing(py, |readers| {
        if let Some(name) = text(name) {
            readers.iter().for_each(|reader| reader.set_variable(name.clone()));
        }
        Ok(())
    });
}

fn text(name: &Bound<'_, PyAny>) -> Option<String> {
    match name.cast::<PyBytes>() {
        Ok(bytes) => String::from_utf8(bytes.as_bytes().to_vec()).ok(),
        Err(_) => name.extract().ok(),
    }
}

thread_local! {
    /// The call that last went through all variables.
    static ALL: std::cell::Cell<Option<(usize, usize)>> = const { std::cell::Cell::new(None) };
}

/// All variables are about to be gone through.
#[pyfunction]
fn reads_all_variables(py: Python<'_>) {
    observing(py, |readers| {
        let nearest = nearest(py)?;
        ALL.set(nearest.position);
        if nearest.is_project() {
            readers.iter().for_each(|reader| reader.note(Note::Environment));
        }
        Ok(())
    });
}

/// Whether the variable is read by the very call that goes through all of them, as `dict` does.
fn is_part_of_all(py: Python<'_>) -> bool {
    nearest(py).is_ok_and(|nearest| {
        nearest.goes_through || (nearest.position.is_some() && nearest.position == ALL.get())
    })
}

/// A thread is about to be started.
#[pyfunction]
fn starts_thread(thread: &Bound<'_, PyAny>) {
    if thread::is_anybody_watching() {
        _ = thread::starting(thread);
    }
}

/// A library made this path of what it was handed, often to give it to native code.
#[pyfunction]
fn expands(path: &Bound<'_, PyAny>) {
    let py = path.py();
    observing(py, |readers| match path::given(path) {
        Some(given) if nearest(py)?.is_installed() => {
            let bytes = given.as_os_str().as_bytes();
            let local = OsStr::from_bytes(bytes.strip_prefix(b"file://").unwrap_or(bytes));
            read(py, readers, use_of_path(py)?, Path::new(local))
        }
        _ => Ok(()),
    });
}

static GETCWD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static STAT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static LSTAT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static ACCESS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static READLINK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Keeps what the functions of the same names stand for. To be called once.
#[pyfunction]
fn stand_for(
    py: Python<'_>,
    getcwd: Py<PyAny>,
    stat: Py<PyAny>,
    lstat: Py<PyAny>,
    access: Py<PyAny>,
    readlink: Py<PyAny>,
) {
    _ = GETCWD.set(py, getcwd);
    _ = STAT.set(py, stat);
    _ = LSTAT.set(py, lstat);
    _ = ACCESS.set(py, access);
    _ = READLINK.set(py, readlink);
}

/// Whether the project asks for the content of a file here, for a body that is observed.
#[pyfunction]
fn is_asked_for(py: Python<'_>, path: &Bound<'_, PyAny>) -> bool {
    let mut is_asked = false;
    observing(py, |_| {
        if let Some(given) = path::given(path) {
            is_asked = asked(py, Subject::Path(&given))? != Asked::No;
        }
        Ok(())
    });
    is_asked
}

/// Whether code of the project called the function that runs now, for a body that is observed.
#[pyfunction]
fn is_called_by_project(py: Python<'_>) -> bool {
    let mut is_called = false;
    observing(py, |_| {
        is_called = asked::is_called_by_project(py)?;
        Ok(())
    });
    is_called
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
#[pyo3(signature = (*args, **kwargs))]
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
#[pyo3(signature = (*args, **kwargs))]
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
#[pyo3(signature = (*args, **kwargs))]
fn access<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = args.py();
    asks(args, kwargs, || purpose(py, Way::Presence));
    original(py, &ACCESS)?.call(args, kwargs)
}

/// In the place of `os.readlink`.
#[pyfunction]
#[pyo3(signature = (*args, **kwargs))]
fn readlink<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    asks(args, kwargs, || Ok(Some(Way::Presence)));
    original(args.py(), &READLINK)?.call(args, kwargs)
}

/// Something is asked about a path, which is not given from the handle of a directory.
fn asks<Ways: IntoIterator<Item = Way>>(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    purpose: impl FnOnce() -> PyResult<Ways>,
) {
    let py = args.py();
    if kwargs.is_some_and(|kwargs| kwargs.contains(intern!(py, "dir_fd")).unwrap_or(true)) {
        return;
    }
    observing(py, |readers| match first(args) {
        Some(given) => purpose()?.into_iter().try_for_each(|way| read(py, readers, way, &given)),
        None => Ok(()),
    });
}

fn original<'py>(py: Python<'py>, kept: &PyOnceLock<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let kept = kept.get(py).map(|original| original.bind(py).clone());
    kept.ok_or_else(|| PyRuntimeError::new_err("thrifty observes nothing in this process"))
}

/// Adds the functions of this module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(reads_variable, module)?)?;
    module.add_function(wrap_pyfunction!(defaults_variable, module)?)?;
    module.add_function(wrap_pyfunction!(sets_variable, module)?)?;
    module.add_function(wrap_pyfunction!(reads_all_variables, module)?)?;
    module.add_function(wrap_pyfunction!(starts_thread, module)?)?;
    module.add_function(wrap_pyfunction!(expands, module)?)?;
    module.add_function(wrap_pyfunction!(stand_for, module)?)?;
    module.add_function(wrap_pyfunction!(is_asked_for, module)?)?;
    module.add_function(wrap_pyfunction!(is_called_by_project, module)?)?;
    module.add_function(wrap_pyfunction!(stat, module)?)?;
    module.add_function(wrap_pyfunction!(lstat, module)?)?;
    module.add_function(wrap_pyfunction!(access, module)?)?;
    module.add_function(wrap_pyfunction!(readlink, module)?)?;
    module.add_function(wrap_pyfunction!(getcwd, module)?)
}
