//! What a closure was resolved through, so that it need not be resolved again.

use std::os::raw::{c_int, c_void};

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use thrifty_key::Digest;

use super::Encoder;
use super::live::{SETTINGS, Told};
use super::order;
use super::registered;

/// One thing that has to be as it was.
pub(super) enum Guard {
    /// A name of a namespace; none if it was not bound.
    Item { namespace: Py<PyDict>, name: Py<PyString>, value: Option<Py<PyAny>> },
    /// A module was not loaded: once it is, its live values count as well.
    Unloaded { modules: Py<PyDict>, name: Py<PyString> },
    /// What a function is made of; its cells can be filled, but not replaced.
    Function {
        function: Py<PyAny>,
        /// Addresses of all that it refers to.
        referents: Vec<usize>,
        /// Code and defaults are kept alive, so that nothing else gets their addresses.
        _parts: [Py<PyAny>; 3],
    },
    /// A cell of a function; none if it was empty.
    Cell { cell: Py<PyAny>, value: Option<Py<PyAny>> },
    /// All attributes of a class.
    Class { class: Py<PyAny>, attributes: Vec<(Py<PyString>, Py<PyAny>)> },
    /// The elements of a container.
    Elements { container: Py<PyAny>, elements: Vec<Py<PyAny>> },
    /// A value that can change in place.
    Value {
        value: Py<PyAny>,
        digest: Digest,
        /// The keys of its dicts, in their order, which the digest does not have.
        keys: Vec<Py<PyAny>>,
        /// What it holds, if that cannot change in place: while it is the same, so is the digest.
        contents: Option<Contents>,
    },
    /// What an attribute gives, of a class that may compute it.
    Attribute { holder: Py<PyAny>, name: String, value: Py<PyAny> },
    /// The subclasses of a class that are alive.
    Subclasses { class: Py<PyType>, found: Vec<Py<PyType>> },
    /// How much is in a container to which things are only added.
    Length { container: Py<PyAny>, length: usize },
    /// How much is registered with `yaml`.
    Yaml { yaml: Py<PyAny>, count: usize },
    /// What a task asks of its cache: variables and files can change.
    Settings { task: Py<PyAny>, digest: [u8; 32] },
}

impl Guard {
    /// Shows the collector what is held, all of it once for each time.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let all = |held: &[Py<PyAny>]| held.iter().try_for_each(|it| visit.call(it));
        match self {
            Self::Item { namespace, name, value } => {
                visit.call(namespace)?;
                visit.call(name)?;
                visit.call(value)
            }
            Self::Unloaded { modules, name } => {
                visit.call(modules)?;
                visit.call(name)
            }
            Self::Function { function, referents: _, _parts } => {
                visit.call(function)?;
                all(_parts)
            }
            Self::Cell { cell, value } => {
                visit.call(cell)?;
                visit.call(value)
            }
            Self::Class { class, attributes } => {
                visit.call(class)?;
                attributes.iter().try_for_each(|(name, value)| {
                    visit.call(name)?;
                    visit.call(value)
                })
            }
            Self::Elements { container, elements } => {
                visit.call(container)?;
                all(elements)
            }
            Self::Value { value, digest: _, keys, contents } => {
                visit.call(value)?;
                all(keys)?;
                let held = contents.iter().flat_map(|contents| &contents.0);
                held.map(|(object, _)| object).try_for_each(|object| visit.call(object))
            }
            Self::Attribute { holder, name: _, value } => {
                visit.call(holder)?;
                visit.call(value)
            }
            Self::Subclasses { class, found } => {
                visit.call(class)?;
                found.iter().try_for_each(|it| visit.call(it))
            }
            Self::Length { container, length: _ } => visit.call(container),
            Self::Yaml { yaml, count: _ } => visit.call(yaml),
            Self::Settings { task, digest: _ } => visit.call(task),
        }
    }

    /// A guard of what a function is made of.
    pub(super) fn of_function(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (mut referents, _parts) = (Vec::new(), parts(function)?);
        each_referent(function, &mut |referent| {
            referents.push(referent);
            true
        });
        Ok(Self::Function { function: function.clone().unbind(), referents, _parts })
    }

    /// A guard of all attributes of a class.
    pub(super) fn of_class(class: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut attributes = Vec::new();
        for name in class.getattr(intern!(class.py(), "__dict__"))?.try_iter()? {
            let name = name?.cast_into::<PyString>()?;
            let value = class.getattr(intern!(class.py(), "__dict__"))?.get_item(&name)?;
            attributes.push((name.unbind(), value.unbind()));
        }
        Ok(Self::Class { class: class.clone().unbind(), attributes })
    }

    /// A guard of what an attribute gives.
    pub(super) fn attribute(
        holder: &Bound<'_, PyAny>,
        name: &str,
        value: &Bound<'_, PyAny>,
    ) -> Self {
        let (holder, value) = (holder.clone().unbind(), value.clone().unbind());
        Self::Attribute { holder, name: name.to_owned(), value }
    }

    /// A guard of a module that is not loaded.
    pub(super) fn unloaded(modules: &Bound<'_, PyDict>, name: &str) -> Self {
        let name = PyString::intern(modules.py(), name).unbind();
        Self::Unloaded { modules: modules.clone().unbind(), name }
    }

    /// A guard of the subclasses of a class.
    pub(super) fn of_subclasses(class: &Bound<'_, PyType>, found: &[Bound<'_, PyType>]) -> Self {
        let found = found.iter().map(|it| it.clone().unbind()).collect();
        Self::Subclasses { class: class.clone().unbind(), found }
    }

    /// A guard of the elements of a container.
    pub(super) fn of_elements(container: &Bound<'_, PyAny>) -> PyResult<Self> {
        let elements = elements(container)?.into_iter().map(Bound::unbind).collect();
        Ok(Self::Elements { container: container.clone().unbind(), elements })
    }

    /// A guard of a value that can change in place.
    pub(super) fn of_value(value: Bound<'_, PyAny>, digest: Digest) -> Self {
        let (keys, contents) = (order::keys(&value), Contents::of(&value));
        Self::Value { digest, keys, contents, value: value.unbind() }
    }

    /// Whether nothing changed.
    pub(super) fn holds<'py>(&self, py: Python<'py>, encoder: Encoder<'_, 'py>) -> PyResult<bool> {
        let same = |a: Option<Bound<'_, PyAny>>, b: &Option<Py<PyAny>>| match (a, b) {
            (Some(a), Some(b)) => a.is(b),
            (None, None) => true,
            _ => false,
        };
        Ok(match self {
            Self::Item { namespace, name, value } => {
                same(namespace.bind(py).get_item(name)?, value)
            }
            Self::Unloaded { modules, name } => !modules.bind(py).contains(name)?,
            Self::Function { function, referents, .. } => {
                let mut left = referents.iter();
                each_referent(function.bind(py), &mut |now| left.next() == Some(&now))
                    && left.next().is_none()
            }
            Self::Cell { cell, value } => {
                same(cell.bind(py).getattr(intern!(py, "cell_contents")).ok(), value)
            }
            Self::Class { class, attributes } => {
                let now = class.bind(py).getattr(intern!(py, "__dict__"))?;
                now.len()? == attributes.len()
                    && attributes
                        .iter()
                        .all(|(name, value)| now.get_item(name).is_ok_and(|now| now.is(value)))
            }
            Self::Elements { container, elements: before } => {
                let now = elements(container.bind(py))?;
                now.len() == before.len()
                    && now.iter().zip(before).all(|(now, before)| now.is(before))
            }
            Self::Attribute { holder, name, value } => {
                holder.bind(py).getattr(name.as_str()).is_ok_and(|now| now.is(value))
            }
            Self::Subclasses { class, found } => {
                let now = registered::subclasses_of(class.bind(py))?;
                now.len() == found.len() && now.iter().zip(found).all(|(now, was)| now.is(was))
            }
            Self::Length { container, length } => container.bind(py).len()? == *length,
            Self::Yaml { yaml, count } => registered::with_yaml(yaml.bind(py))? == *count,
            Self::Settings { task, digest } => {
                let told = task.bind(py).call_method0(intern!(py, SETTINGS))?;
                let (found, ..): Told<'_> = told.extract()?;
                found.is_some_and(|(now, _)| now == *digest)
            }
            Self::Value { value, digest, keys, contents } => {
                let value = value.bind(py);
                let is_same = contents.as_ref().is_some_and(|it| it.is_in(value));
                is_same
                    || order::is_same(&order::keys(value), keys, py)
                        && encoder(value) == Some(*digest)
            }
        })
    }
}

/// Lists, tuples and dicts within each other, and what stands in them, all of types that are
/// Python's own. Comparing addresses costs a hundredth of a digest.
pub(super) struct Contents(Vec<(Py<PyAny>, usize)>);

/// How many objects are compared by address at most.
const MANY: usize = 100_000;
/// The deepest nesting that is compared by address.
const DEEP: usize = 16;

impl Contents {
    /// None if something in the value is of another type, which could change in place.
    fn of(value: &Bound<'_, PyAny>) -> Option<Self> {
        let mut all = Vec::new();
        let is_plain = visit(value, DEEP, &mut |object, length| {
            all.push((object.clone().unbind(), length));
            all.len() <= MANY
        });
        is_plain.then_some(Self(all))
    }

    /// Whether the value holds the identical objects. None of them can have been replaced by
    /// another one at its address, for they are kept alive here.
    fn is_in(&self, value: &Bound<'_, PyAny>) -> bool {
        let mut left = self.0.iter();
        let is_same = visit(value, DEEP, &mut |object, length| {
            left.next().is_some_and(|(was, long)| object.is(was) && length == *long)
        });
        is_same && left.next().is_none()
    }
}

/// Hands over a value and all it holds, outermost first, each with how much it holds itself.
/// Whether all are of plain types, and `each` agreed to them.
fn visit<'py>(
    value: &Bound<'py, PyAny>,
    depth: usize,
    each: &mut dyn FnMut(&Bound<'py, PyAny>, usize) -> bool,
) -> bool {
    if let Ok(dict) = value.cast_exact::<PyDict>() {
        return depth > 0
            && each(value, dict.len())
            && dict
                .iter()
                .all(|(key, item)| visit(&key, depth - 1, each) && visit(&item, depth - 1, each));
    }
    if let Ok(list) = value.cast_exact::<PyList>() {
        let mut items = list.iter();
        return depth > 0
            && each(value, list.len())
            && items.all(|item| visit(&item, depth - 1, each));
    }
    if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let mut items = tuple.iter();
        return depth > 0
            && each(value, tuple.len())
            && items.all(|item| visit(&item, depth - 1, each));
    }
    is_leaf(value) && each(value, 0)
}

/// Whether a value is of a type of which none can change.
pub(super) fn is_leaf(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyString>()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
}

/// What a container holds, of a dict keys and values.
pub(super) fn elements<'py>(container: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match container.cast::<PyDict>() {
        Ok(dict) => Ok(dict.iter().flat_map(|(key, value)| [key, value]).collect()),
        Err(_) => container.try_iter()?.collect(),
    }
}

/// Hands over the address of everything that a function refers to, as the garbage collector sees it, as
/// long as `each` agrees: whether it always did. Reading three attributes takes five times as long, and
/// each of them is an audit event.
fn each_referent(function: &Bound<'_, PyAny>, each: &mut dyn FnMut(usize) -> bool) -> bool {
    unsafe extern "C" fn visit(referent: *mut ffi::PyObject, each: *mut c_void) -> c_int {
        // SAFETY: `each` is what is passed below, for the time of the call.
        let each = unsafe { &mut *each.cast::<&mut dyn FnMut(usize) -> bool>() };
        c_int::from(!each(referent as usize))
    }
    let mut each = each;
    let argument = std::ptr::from_mut(&mut each).cast::<c_void>();
    // SAFETY: the type of functions has a traverse slot of this very type, which has no side effects,
    // and the interpreter is attached.
    unsafe {
        let slot = ffi::PyType_GetSlot(ffi::Py_TYPE(function.as_ptr()), ffi::Py_tp_traverse);
        if slot.is_null() {
            return false;
        }
        let traverse: ffi::traverseproc = std::mem::transmute(slot);
        traverse(function.as_ptr(), visit, argument) == 0
    }
}

fn parts(function: &Bound<'_, PyAny>) -> PyResult<[Py<PyAny>; 3]> {
    let py = function.py();
    Ok([
        function.getattr(intern!(py, "__code__"))?.unbind(),
        function.getattr(intern!(py, "__defaults__"))?.unbind(),
        function.getattr(intern!(py, "__kwdefaults__"))?.unbind(),
    ])
}
