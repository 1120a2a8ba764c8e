//! Types that a program or a package registered: what stands for a value in keys, and how one is
//! kept.
//!
//! Hooks are looked up by the class of a value: its own first, then those of its bases, nearest
//! first. Packages ship theirs behind entry points of the group `thrifty.types`, which are loaded
//! when the first value is met that one of them is for.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::{Mutex, RwLock};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use thrifty_key::Digest;

use crate::program::imported_as;

/// The group of entry points.
const GROUP: &str = "thrifty.types";

/// By the address of the class, which the hooks keep alive. Locked only while the interpreter is
/// held and without calling Python, so that neither a fork nor a destructor finds it locked.
static HOOKS: LazyLock<RwLock<HashMap<usize, Arc<Hooks>>>> = LazyLock::new(RwLock::default);
/// Modules whose entry points are loaded, if there are any.
static MET: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
/// Whether an installed distribution has entry points for us.
static OFFERED: OnceLock<bool> = OnceLock::new();
static FOLLOW: OnceLock<Follow> = OnceLock::new();

/// Gives the digest of the code of a hook, with all that it reaches.
type Follow = fn(&Bound<'_, PyAny>) -> PyResult<Digest>;

/// What was registered for one class.
pub struct Hooks {
    class: Py<PyType>,
    /// `module.qualified_name` of the class.
    pub name: String,
    /// Gives what stands for a value in keys.
    pub digest: Option<Py<PyAny>>,
    /// How a value is kept.
    pub serializer: Option<Serializer>,
    warned: AtomicBool,
}

/// The two halves of keeping a value.
pub struct Serializer {
    /// Gives something that can be stored.
    pub dump: Py<PyAny>,
    /// Gives the value again.
    pub load: Py<PyAny>,
}

impl Hooks {
    /// Warns about the hooks, the first time.
    ///
    /// # Errors
    ///
    /// The warning, if warnings are errors.
    pub fn warn_once(&self, py: Python<'_>, text: &str) -> PyResult<()> {
        if self.warned.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        crate::warning::warn(py, text)
    }
}

/// Says who follows the code of hooks.
pub fn follow_with(follow: Follow) {
    _ = FOLLOW.set(follow);
}

/// The digest of the code of a hook: another hook gives other digests.
///
/// # Errors
///
/// What cannot be followed.
pub fn code_of(hook: &Bound<'_, PyAny>) -> PyResult<Digest> {
    let follow = FOLLOW.get().ok_or_else(|| PyValueError::new_err("nobody follows hooks"))?;
    follow(hook)
}

/// Registers hooks for a class, beside those that it has. Hooks that `yields` leave others alone:
/// what a program registered comes before what a package ships.
///
/// # Errors
///
/// `ValueError` if it has others already, which do not yield.
pub fn add(
    class: &Bound<'_, PyType>,
    digest: Option<&Bound<'_, PyAny>>,
    serializer: Option<(&Bound<'_, PyAny>, &Bound<'_, PyAny>)>,
    yields: bool,
) -> PyResult<()> {
    let py = class.py();
    let name = name_of(class)?;
    let before = find(class);
    let before = before.as_deref();
    let known = before.and_then(|hooks| hooks.digest.as_ref());
    let digest = digest.filter(|_| known.is_none() || !yields);
    let digest = settled(py, &name, "digest", known, digest)?;
    let known = before.and_then(|hooks| hooks.serializer.as_ref());
    let (dump, load) = serializer.filter(|_| known.is_none() || !yields).unzip();
    let dump = settled(py, &name, "dump", known.map(|it| &it.dump), dump)?;
    let load = settled(py, &name, "load", known.map(|it| &it.load), load)?;
    let serializer = dump.zip(load).map(|(dump, load)| Serializer { dump, load });
    let class = class.clone().unbind();
    let address = class.as_ptr() as usize;
    let hooks = Hooks { class, name, digest, serializer, warned: AtomicBool::new(false) };
    // Dropped without the lock: destructors may come back here.
    let outdated = HOOKS.write().insert(address, Arc::new(hooks));
    drop(outdated);
    Ok(())
}

/// The hook that holds from now on.
fn settled(
    py: Python<'_>,
    name: &str,
    which: &str,
    before: Option<&Py<PyAny>>,
    given: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Py<PyAny>>> {
    let Some(given) = given else {
        return Ok(before.map(|before| before.clone_ref(py)));
    };
    if let Some(before) = before
        && !is_same(before.bind(py), given)?
    {
        return Err(PyValueError::new_err(format!(
            "{name} has a {which} hook already: {}. Register each type once, where it is defined \
             or first used",
            described(before.bind(py))
        )));
    }
    Ok(Some(given.clone().unbind()))
}

/// Whether two hooks are one: identical, or the same function defined anew, as a notebook's cell
/// or a reloaded module does. Lambdas have no name, so they go by where they stand.
fn is_same(before: &Bound<'_, PyAny>, given: &Bound<'_, PyAny>) -> PyResult<bool> {
    if before.is(given) {
        return Ok(true);
    }
    for attribute in ["__module__", "__qualname__", "__code__"] {
        if !(before.hasattr(attribute)? && given.hasattr(attribute)?) {
            // A bound method is made anew whenever it is asked for.
            return before.eq(given);
        }
    }
    let is_named = given.getattr("__name__")?.ne("<lambda>")?;
    let code = ["co_filename", "co_firstlineno", "co_code"];
    let parts: &[&str] = if is_named { &[] } else { &code };
    let (a, b) = (before.getattr("__code__")?, given.getattr("__code__")?);
    Ok(before.getattr("__module__")?.eq(given.getattr("__module__")?)?
        && before.getattr("__qualname__")?.eq(given.getattr("__qualname__")?)?
        && parts.iter().all(|part| match (a.getattr(*part), b.getattr(*part)) {
            (Ok(a), Ok(b)) => a.eq(b).unwrap_or(false),
            _ => false,
        }))
}

/// `module.name` of a function, or of the type of something else that can be called.
pub fn described(hook: &Bound<'_, PyAny>) -> String {
    let text = |name: &str| {
        let text = hook.getattr_opt(name).ok().flatten();
        text.and_then(|text| text.extract::<String>().ok())
    };
    match (text("__module__"), text("__qualname__")) {
        (Some(module), Some(name)) => format!("{module}.{name}"),
        (None, Some(name)) => name,
        _ => crate::shown::class_name(&hook.get_type()).unwrap_or_else(|_| "?".to_owned()),
    }
}

fn name_of(class: &Bound<'_, PyType>) -> PyResult<String> {
    let module: String = class.getattr(intern!(class.py(), "__module__"))?.extract()?;
    Ok(format!("{}.{}", imported_as(class.py(), &module)?, class.qualname()?.to_string_lossy()))
}

fn find(class: &Bound<'_, PyType>) -> Option<Arc<Hooks>> {
    HOOKS.read().get(&(class.as_ptr() as usize)).cloned()
}

/// What is registered for exactly this class to stand for values in keys.
pub fn digest_of(class: &Bound<'_, PyType>) -> Option<Arc<Hooks>> {
    find(class).filter(|hooks| hooks.digest.is_some())
}

/// The nearest hooks among a class and its bases that keep values.
///
/// # Errors
///
/// What Python raised.
pub fn serializer_for(class: &Bound<'_, PyType>) -> PyResult<Option<Arc<Hooks>>> {
    if HOOKS.read().is_empty() {
        return Ok(None);
    }
    for base in class.mro().iter() {
        let hooks = find(&base.cast_into::<PyType>()?);
        if let Some(hooks) = hooks.filter(|hooks| hooks.serializer.is_some()) {
            return Ok(Some(hooks));
        }
    }
    Ok(None)
}

/// The hooks that keep values under this name; of a class that was defined anew, the newest.
///
/// # Errors
///
/// What Python raised.
pub fn serializer_named(py: Python<'_>, name: &str) -> PyResult<Option<Arc<Hooks>>> {
    let named = || -> Vec<_> {
        let hooks = HOOKS.read();
        let kept = hooks.values().filter(|it| it.name == name && it.serializer.is_some());
        kept.cloned().collect()
    };
    let mut found = named();
    if found.is_empty() && meet(py, name)? {
        found = named();
    }
    let current = found.iter().position(|hooks| is_current(py, hooks));
    Ok(current.or(Some(0)).filter(|at| *at < found.len()).map(|at| found.swap_remove(at)))
}

/// Whether the class is the one that its name leads to.
fn is_current(py: Python<'_>, hooks: &Hooks) -> bool {
    let class = hooks.class.bind(py);
    let module = class.getattr(intern!(py, "__module__")).ok();
    let modules = py.import(intern!(py, "sys")).and_then(|sys| sys.getattr("modules")).ok();
    let mut at = module.zip(modules).and_then(|(name, modules)| modules.get_item(name).ok());
    for step in class.qualname().iter().flat_map(|name| name.to_str().map(str::to_owned)) {
        for part in step.split('.') {
            at = at.and_then(|place| place.getattr(part).ok());
        }
    }
    at.is_some_and(|found| found.is(class))
}

/// Loads the entry points for the modules of a class and its bases.
///
/// # Errors
///
/// What Python raised; an entry point that fails is a warning.
pub fn meet_class(class: &Bound<'_, PyType>) -> PyResult<()> {
    for base in class.mro().iter() {
        let module = base.cast::<PyType>()?.module()?;
        meet(class.py(), module.to_str().unwrap_or_default())?;
    }
    Ok(())
}

/// Loads the entry points for a module; whether there are any.
fn meet(py: Python<'_>, module: &str) -> PyResult<bool> {
    // Not within one condition: the lock would be held while Python runs.
    let is_met = MET.lock().contains(module);
    if module == "builtins" || is_met || !is_offered(py)? {
        return Ok(false);
    }
    let registry = py.import(intern!(py, "thrifty._registry"))?;
    // Another thread may be loading them: this waits for it, and then there are some as well.
    let any = registry.call_method1(intern!(py, "meet"), (module,))?.extract()?;
    MET.lock().insert(module.to_owned());
    Ok(any)
}

/// Whether any distribution on the path has entry points for us. `importlib.metadata`, which knows
/// them, takes longer to import than a hit in a new process.
fn is_offered(py: Python<'_>) -> PyResult<bool> {
    if let Some(offered) = OFFERED.get() {
        return Ok(*offered);
    }
    let path = py.import(intern!(py, "sys"))?.getattr(intern!(py, "path"))?;
    let mut offered = false;
    for directory in path.try_iter()? {
        if let Ok(directory) = directory?.cast::<PyString>() {
            offered |= offers(Path::new(directory.to_str()?));
        }
    }
    Ok(*OFFERED.get_or_init(|| offered))
}

/// Whether a distribution that is installed in a directory names the group.
fn offers(directory: &Path) -> bool {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    std::fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let is_metadata = Path::new(&entry.file_name())
            .extension()
            .is_some_and(|extension| extension == "dist-info" || extension == "egg-info");
        is_metadata
            && std::fs::read_to_string(entry.path().join("entry_points.txt"))
                .is_ok_and(|text| text.contains(GROUP))
    })
}
