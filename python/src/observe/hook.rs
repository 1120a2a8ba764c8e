//! What the interpreter tells of: audit events, and calls of functions of `os` that have none.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use rustix::fs::OFlags;

use super::asked::{self, Asked, Subject, asked, nearest, purpose, use_of_path};
use super::handed::Given;
use super::note::Note;
use super::path;
use super::recorder::{Recorder, Way};
use super::thread::{self, observing};

static INSTALLED: PyOnceLock<()> = PyOnceLock::new();
/// Whether `linecache` is watched.
static LINES: PyOnceLock<()> = PyOnceLock::new();
/// Whether `pyarrow` is.
static MAPS: PyOnceLock<()> = PyOnceLock::new();

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
    _ = watch_maps(py);
    Ok(())
}

/// Does the same with what `pyarrow` maps, once that is loaded as far as it has the function. Under
/// its name may be anything else, of a test or loaded when it is first used: that is left alone,
/// and what goes wrong with it is nobody's concern.
fn watch_maps<'py>(py: Python<'py>) -> PyResult<()> {
    if MAPS.get(py).is_some() {
        return Ok(());
    }
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let loaded = |name: &Bound<'py, PyString>| {
        let module = modules.cast::<PyDict>().ok()?.get_item(name).ok()??;
        module.is_exact_instance_of::<PyModule>().then_some(module)
    };
    let package = loaded(intern!(py, "pyarrow"));
    let library = loaded(intern!(py, "pyarrow.lib"));
    if let (Some(package), Some(library)) = (package, library)
        && library.hasattr(intern!(py, "memory_map"))?
        && MAPS.set(py, ()).is_ok()
    {
        let observe = py.import(intern!(py, "thrifty._observe"))?;
        observe.call_method1(intern!(py, "watch_maps"), (package, library))?;
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
const TOLD: [&str; 20] = [
    "import",
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
        "open" => return observing(py, |readers| opens(readers, arguments)),
        "os.listdir" | "os.scandir" => return observing(py, |readers| listed(readers, arguments)),
        "os.mkdir" | "os.rename" | "os.remove" | "os.rmdir" | "shutil.rmtree" => {
            return observing(py, |readers| changed(readers, event, arguments));
        }
        // One of those that follow when pyarrow is imported within a body.
        "import" => return thread::aside(|| _ = watch_maps(py)),
        "os.chdir" => {
            let is_relative = first(arguments).is_some_and(|to| to.is_relative());
            return thread::all().iter().for_each(|body| body.moved(is_relative));
        }
        "subprocess.Popen" | "os.system" | "os.exec" | "os.posix_spawn" | "os.spawn"
        | "os.fork" | "os.forkpty" | "pty.spawn" => Note::Process,
        "socket.connect" | "socket.getaddrinfo" => Note::Network,
        "sqlite3.connect" => Note::Database,
        _ => return,
    };
    observing(py, |readers| noted(readers, note, arguments));
}

/// The path that an event begins with.
pub(super) fn first(arguments: &Bound<'_, PyTuple>) -> Option<PathBuf> {
    path::given(&arguments.get_item(0).ok()?)
}

fn listed(readers: &[Arc<Recorder>], arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let (py, directory) = (arguments.py(), arguments.get_item(0)?);
    match path::given(&directory) {
        Some(given) => read(py, readers, Way::Listing, &given),
        // Who removes a directory lists it by its handle.
        None if purpose(py, Way::Listing)?.is_none() => Ok(()),
        None => readers.iter().try_for_each(|reader| {
            let directories = from_handle(py, reader, &directory)?;
            let read = |given: &PathBuf| read(py, slice::from_ref(reader), Way::Listing, given);
            directories.iter().try_for_each(read)
        }),
    }
}

/// The names of the directory that a handle leads to. Of a handle that the body did not make itself
/// nobody knows to which directory it will lead when it is called again: that is noted.
pub(super) fn from_handle(
    py: Python<'_>,
    reader: &Recorder,
    handle: &Bound<'_, PyAny>,
) -> PyResult<Vec<PathBuf>> {
    let directory = path::of_handle(handle);
    let names = directory.as_deref().map(|directory| reader.as_opened(directory));
    match names.filter(|names| !names.is_empty()) {
        Some(names) => Ok(names),
        None => {
            if !nearest(py)?.is_library() {
                reader.note(Note::Handle);
            }
            Ok(directory.into_iter().collect())
        }
    }
}

fn opens(readers: &[Arc<Recorder>], arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
    let Some(given) = first(arguments) else {
        return Ok(());
    };
    let py = arguments.py();
    let flags = OFlags::from_bits_retain(arguments.get_item(2)?.extract::<i32>()?.cast_unsigned());
    let is_of_os = arguments.get_item(1)?.is_none();
    if is_of_os {
        readers.iter().for_each(|reader| reader.opened(&given));
    }
    let others = reading(py, readers, flags, &given)?;
    if is_of_os && given.is_relative() && others.iter().any(|it| !it.absolute(&given).exists()) {
        return from_unknown_handle(py, &others, &given);
    }
    read(py, &others, Way::Content, &given)
}

/// Those of the bodies for which the opening of a path reads what is there. What it begins anew is
/// the body's own.
pub(super) fn reading(
    py: Python<'_>,
    readers: &[Arc<Recorder>],
    flags: OFlags,
    given: &Path,
) -> PyResult<Vec<Arc<Recorder>>> {
    let access = flags & OFlags::RWMODE;
    let writes = access == OFlags::WRONLY || access == OFlags::RDWR;
    let mut reading = Vec::new();
    for reader in readers {
        let absolute = reader.absolute(given);
        let is_exclusive = flags.contains(OFlags::CREATE | OFlags::EXCL);
        if is_exclusive && absolute.symlink_metadata().is_ok() {
            // It fails, which tells that something is there.
            read(py, slice::from_ref(reader), Way::Presence, given)?;
        } else if writes && begins_anew(flags, &absolute) {
            reader.wrote(absolute);
        } else if access != OFlags::WRONLY {
            reading.push(Arc::clone(reader));
        }
    }
    Ok(reading)
}

/// Whether nothing of what was there is left, if it opens.
fn begins_anew(flags: OFlags, absolute: &Path) -> bool {
    if flags.contains(OFlags::TRUNC) {
        return !absolute.is_dir();
    }
    flags.contains(OFlags::CREATE) && !absolute.exists()
}

/// What stood for `os.open` before [`install`] may have been given a directory to start from, of
/// which the event says nothing. The standard library goes through directories that way.
fn from_unknown_handle(py: Python<'_>, readers: &[Arc<Recorder>], given: &Path) -> PyResult<()> {
    if nearest(py)?.is_library() {
        return Ok(());
    }
    readers.iter().for_each(|reader| reader.note(Note::Handle));
    read(py, readers, Way::Content, given)
}

/// A path is about to be looked at.
pub(super) fn read(
    py: Python<'_>,
    readers: &[Arc<Recorder>],
    way: Way,
    given: &Path,
) -> PyResult<()> {
    let mut known = None;
    for reader in readers.iter().filter(|reader| !reader.knows(way, given)) {
        let absolute = reader.absolute(given);
        if reader.ignores_look(way, &absolute) {
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
    // Where each event tells the handle that a path is given from.
    let handle = if matches!(event, "os.mkdir" | "os.rename") { 2 } else { 1 };
    for reader in readers {
        for absolute in told(reader, arguments, 0, handle) {
            match event {
                "os.mkdir" if absolute.exists() => {}
                "os.mkdir" | "shutil.rmtree" => reader.made(absolute),
                "os.rename" => {
                    let to = told(reader, arguments, 1, 3).into_iter();
                    to.for_each(|to| reader.renamed(&absolute, to));
                }
                _ => reader.wrote(absolute),
            }
        }
    }
    Ok(())
}

/// The path that an event tells, by each name of the directory whose handle it tells too unless that
/// is negative.
fn told(
    reader: &Recorder,
    arguments: &Bound<'_, PyTuple>,
    path: usize,
    handle: usize,
) -> Vec<PathBuf> {
    let given = arguments.get_item(path).ok().and_then(|path| path::given(&path));
    let Some(given) = given else {
        return Vec::new();
    };
    let handle = arguments.get_item(handle).ok();
    match handle.filter(|it| it.extract::<i32>().is_ok_and(|number| number >= 0)) {
        Some(handle) => {
            let names = path::of_handle(&handle).map(|directory| {
                let names = reader.as_opened(&directory);
                if names.is_empty() { vec![directory] } else { names }
            });
            let names = names.unwrap_or_default();
            names.iter().map(|name| reader.absolute(&name.join(&given))).collect()
        }
        None => vec![reader.absolute(&given)],
    }
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

/// The content of a file is about to be mapped.
#[pyfunction]
fn maps(path: &Bound<'_, PyAny>) {
    observing(path.py(), |readers| match path::given(path) {
        Some(given) => read(path.py(), readers, Way::Content, &given),
        None => Ok(()),
    });
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

/// Adds the functions of this module.
pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(reads_variable, module)?)?;
    module.add_function(wrap_pyfunction!(defaults_variable, module)?)?;
    module.add_function(wrap_pyfunction!(sets_variable, module)?)?;
    module.add_function(wrap_pyfunction!(reads_all_variables, module)?)?;
    module.add_function(wrap_pyfunction!(starts_thread, module)?)?;
    module.add_function(wrap_pyfunction!(expands, module)?)?;
    module.add_function(wrap_pyfunction!(maps, module)?)?;
    module.add_function(wrap_pyfunction!(is_asked_for, module)?)?;
    module.add_function(wrap_pyfunction!(is_called_by_project, module)?)?;
    super::system::register(module)
}
