//! WHAT can a Python function reach? Its code closure, as digests.
//!
//! [`Closure::of`] starts at a live function and resolves every name that its text mentions:
//! through cells, globals, imports and attributes of modules, down to functions, classes and
//! constants of the project, each a [`Unit`]. What lies outside of the project is a unit by
//! distribution and version. The text decides wherever it can, so that a closure is the same
//! whether a module was imported before or not; live objects decide the rest, and overrule the
//! text where somebody changed them at run time. The rules are `docs/formats/code.md`, *What is
//! followed*.
//!
//! [`Closure::is_current`] asks the live objects, by identity, whether a closure still holds.

mod arguments;
mod attribute;
mod class;
mod classes;
mod constant;
mod decorator;
mod distribution;
mod fresh;
mod function;
mod guard;
mod hooks;
mod inspect;
mod live;
mod name;
mod order;
mod origin;
mod registered;
mod source;
mod target;
mod text;
mod walk;

use std::cell::RefCell;
use std::io;
use std::path::Path;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use rustix::io::Errno;
use thrifty_key::{Digest, plain};

use crate::value::digest;

use guard::Guard;

pub use classes::{code_of_class, code_of_named, project_class};
pub use hooks::code_of_hook;
pub use origin::is_installed;
use walk::Walk;

pyo3::create_exception!(
    thrifty,
    Unfollowable,
    pyo3::exceptions::PyTypeError,
    "Code that cannot be followed, so that a change of it would go unnoticed."
);

pyo3::create_exception!(
    thrifty,
    SourceChanged,
    Unfollowable,
    "A file was changed after it was imported: what runs is not what the file says."
);

/// Gives the digest of a value, or none if it has none.
pub type Encoder<'a, 'py> = &'a dyn Fn(&Bound<'py, PyAny>) -> Option<Digest>;

/// How far the code of a function is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything that can be reached.
    Closure,
    /// The function's own text.
    Function,
    /// Not at all.
    None,
}

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A function, method or lambda.
    Function,
    /// A class with all that its body defines.
    Class,
    /// A value that the code reads.
    Constant,
    /// An installed distribution.
    Package,
    /// A whole module, used as a value.
    Module,
    /// Something whose inside cannot be read.
    Opaque,
}

impl Kind {
    /// The word for it, in lowercase.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Class => "class",
            Self::Constant => "constant",
            Self::Package => "package",
            Self::Module => "module",
            Self::Opaque => "opaque",
        }
    }
}

/// One thing that a function can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// `package.module:function`, `package.module:CONSTANT`, `numpy (distribution)`. One closure has no two
    /// units of a name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Changes with whatever can change behaviour.
    pub digest: Digest,
    /// Source or value, for showing differences.
    pub text: Option<String>,
}

/// Everything that a function can reach.
pub struct Closure {
    /// The units, by name.
    pub units: Vec<Unit>,
    /// What was not followed, and by which rule something was resolved; sentences for a person.
    pub notes: Vec<String>,
    guards: Vec<Guard>,
}

impl Closure {
    /// Shows the collector what is held.
    ///
    /// # Errors
    /// What it wants to be told back.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.guards.iter().try_for_each(|guard| guard.traverse(visit))
    }

    /// Follows a function.
    ///
    /// # Errors
    /// [`Unfollowable`] if a change of something that is reached could not be noticed; the
    /// message names the thing, the place and the ways out.
    pub fn of<'py>(
        function: &Bound<'py, PyAny>,
        depth: Depth,
        encoder: Encoder<'_, 'py>,
    ) -> PyResult<Self> {
        Self::with(function, &[], &[], depth, encoder)
    }

    /// Follows a function, and what else decides about its results: named objects. What is known
    /// of its calls, or ignored, are inputs: defaults of these parameters do not count.
    ///
    /// # Errors
    /// As [`Closure::of`].
    pub fn with<'py>(
        function: &Bound<'py, PyAny>,
        inputs: &[String],
        beside: &[(String, Bound<'py, PyAny>)],
        depth: Depth,
        encoder: Encoder<'_, 'py>,
    ) -> PyResult<Self> {
        let _following = Following::enter(function)?;
        let mut walk = Walk::new(function.py(), encoder, depth)?;
        if depth != Depth::None {
            walk.start(function, inputs, beside)?;
        }
        if walk.fill_registries()? {
            walk = Walk::new(function.py(), encoder, depth)?;
            walk.start(function, inputs, beside)?;
        }
        if let Some(mut showing) = walk.showing()? {
            showing.start(function, inputs, beside)?;
            walk = showing;
        }
        Ok(walk.finish())
    }

    /// Follows what stands under a name in a module, which need not be loaded.
    ///
    /// # Errors
    /// As [`Closure::of`].
    fn named<'py>(
        py: Python<'py>,
        module: &str,
        path: &[String],
        encoder: Encoder<'_, 'py>,
    ) -> PyResult<Self> {
        let mut walk = Walk::new(py, encoder, Depth::Closure)?;
        walk.member(module, path)?;
        walk.follow()?;
        Ok(walk.finish())
    }

    /// Follows a function that works on values for an operation, and can belong to a package.
    ///
    /// # Errors
    /// As [`Closure::of`].
    fn of_hook<'py>(hook: &Bound<'py, PyAny>, encoder: Encoder<'_, 'py>) -> PyResult<Self> {
        let _following = Following::enter(hook)?;
        let mut walk = Walk::new(hook.py(), encoder, Depth::Closure)?;
        walk.start_at(&[("the hook".to_owned(), hook.clone())])?;
        Ok(walk.finish())
    }

    /// Whether following again would find the same: every name still is bound to the identical
    /// object, and no value that can change in place did.
    pub fn is_current<'py>(&self, py: Python<'py>, encoder: Encoder<'_, 'py>) -> bool {
        self.guards.iter().all(|guard| guard.holds(py, encoder).unwrap_or(false))
    }
}

/// How many closures may be made for values that hold functions, one within the other.
const WITHIN: usize = 3;

thread_local! {
    /// What this thread follows, by address, outermost first.
    static FOLLOWED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// One closure in the making. An encoder may ask for the closure of a function that a value
/// holds; without this, a function that reads a value that holds it would be followed for ever.
struct Following;

impl Following {
    fn enter(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        let address = function.as_ptr() as usize;
        FOLLOWED.with_borrow_mut(|followed| {
            if followed.len() > WITHIN || followed.contains(&address) {
                let reason = "it is reached from itself through a value that holds it";
                return Err(unfollowable("a function", "a value", reason));
            }
            followed.push(address);
            Ok(Self)
        })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        FOLLOWED.with_borrow_mut(|followed| _ = followed.pop());
    }
}

fn unfollowable(what: &str, place: &str, reason: &str) -> PyErr {
    Unfollowable::new_err(format!(
        "cannot follow {what} ({place}): {reason}. Put the code into a file of the project, or say what \
         identifies it: `Cache(version=\"1\")`, or `Cache(code=\"function\")` to follow nothing that it calls, or \
         `Cache(code=\"none\")`"
    ))
}

/// A file that decides about a result, and is there, cannot be read now.
fn unreadable(what: &str, file: &Path, error: &io::Error) -> PyErr {
    let way_out = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => "Close files, or raise the limit (`ulimit -n`)",
        _ => "Make it readable, or say what identifies the code: `Cache(version=\"1\")`",
    };
    Unfollowable::new_err(format!("cannot read {what} ({}): {error}. {way_out}", file.display()))
}

/// Name, kind, digest and text of each unit, and the notes.
type Listing = (Vec<(String, &'static str, String, Option<String>)>, Vec<String>);

/// The digest of a value in which nothing of a workflow stands.
fn value_digest(value: &Bound<'_, PyAny>) -> Option<Digest> {
    let mut writer = plain::Writer::new();
    digest::encode(value, "constant", &mut writer, &mut digest::Alone).ok()?;
    plain::digest(writer.as_bytes()).ok()
}

/// Everything that a function reaches, for tests and inspection.
#[pyfunction]
#[pyo3(signature = (function, depth = "closure"))]
fn closure(function: &Bound<'_, PyAny>, depth: &str) -> PyResult<Listing> {
    let depth = match depth {
        "closure" => Depth::Closure,
        "function" => Depth::Function,
        "none" => Depth::None,
        _ => {
            return Err(PyValueError::new_err("depth is `closure`, `function` or `none`"));
        }
    };
    let found = Closure::of(function, depth, &value_digest)?;
    let units = found.units.into_iter();
    let units = units.map(|unit| (unit.name, unit.kind.word(), unit.digest.to_string(), unit.text));
    Ok((units.collect(), found.notes))
}

/// A closure that is held, for tests of [`Closure::is_current`].
#[pyclass(unsendable, frozen)]
struct Held(Closure);

#[pymethods]
impl Held {
    #[new]
    fn new(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        Closure::of(function, Depth::Closure, &value_digest).map(Self)
    }

    fn is_current(&self, py: Python<'_>) -> bool {
        self.0.is_current(py, &value_digest)
    }
}

/// Forgets what is known of the program's classes and hooks, as the program ends: they lead to the
/// globals of its modules, which could not be collected.
pub fn forget() {
    classes::forget();
    hooks::forget();
}

/// Adds the functions of this module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Unfollowable", module.py().get_type::<Unfollowable>())?;
    module.add("SourceChanged", module.py().get_type::<SourceChanged>())?;
    module.add_class::<Held>()?;
    module.add_function(wrap_pyfunction!(closure, module)?)
}
