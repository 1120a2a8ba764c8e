//! Handles: what a call gives inside a workflow, before anything has run.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyTuple};
use thrifty_engine::graph::Input;
use thrifty_engine::record::Step;
use thrifty_engine::{Choices, Operation};
use thrifty_key::plain;

use super::context::RunOptions;
use super::error::HandleError;
use super::on_disk::OnDisk;
use super::options::Options;
use super::task::Task;
use crate::value::digest;

static CALLS: AtomicU64 = AtomicU64::new(0);

/// How many handles this process has made: what a body makes, it may return.
pub fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

/// The output of an operation that has not run yet, or a part of it.
///
/// Hand it to other tasks, put it into lists, tuples and dicts, take parts of it with
/// subscripts, or return it from the workflow. Its value is known only to the tasks that take it.
#[pyclass(frozen, weakref, module = "thrifty")]
pub struct Handle {
    pub(super) origin: Origin,
    pub(super) subscripts: Vec<Subscript>,
}

/// Where the value of a handle comes from.
#[derive(Clone)]
pub enum Origin {
    /// From a call.
    Call(Arc<Call>),
    /// From an argument of the nested workflow that is being expanded.
    Argument {
        /// The expansion, so that a handle which escaped from another is noticed.
        expansion: u64,
        /// The number of the workflow's edge.
        number: usize,
    },
}

/// One subscript, as given and in canonical form.
pub struct Subscript {
    /// The index or key.
    pub object: Py<PyAny>,
    /// Its encoding.
    pub step: Step,
}

/// A call inside a workflow.
pub struct Call {
    /// Calls count up in the order they are made.
    pub id: u64,
    /// What is called.
    pub task: Py<Task>,
    /// What is called, by its key ingredients.
    pub operation: Arc<Operation>,
    /// Why it has no key, if it has none.
    pub unkeyed: Option<String>,
    /// The arguments, by parameter.
    pub arguments: Vec<Option<Py<PyAny>>>,
    /// What enters the key.
    pub inputs: Vec<Input>,
    /// The files that entered it.
    pub on_disk: OnDisk,
    /// The handles among the arguments, as edges in the order of their numbers.
    pub takes: Vec<Py<Handle>>,
    /// What was chosen before the run.
    pub choices: Choices,
    /// The fields of `Cache` that apply.
    pub options: Arc<Options>,
    /// What was chosen for the run.
    pub run: Arc<RunOptions>,
}

impl Call {
    /// The next number of a call.
    pub fn next_id() -> u64 {
        CALLS.fetch_add(1, Ordering::Relaxed)
    }
}

thread_local! {
    /// What dropped calls held, while one of them is being dropped.
    static REMAINS: RefCell<Option<Vec<Remains>>> = const { RefCell::new(None) };
}

type Remains = (Vec<Option<Py<PyAny>>>, Vec<Py<Handle>>);

impl Drop for Call {
    /// Drops what it holds without recursion: a chain of calls may be longer than the stack.
    fn drop(&mut self) {
        let remains = (std::mem::take(&mut self.arguments), std::mem::take(&mut self.takes));
        let first = REMAINS.with_borrow_mut(|held| match held {
            Some(held) => {
                held.push(remains);
                false
            }
            None => {
                *held = Some(vec![remains]);
                true
            }
        });
        if !first {
            return;
        }
        while let Some(remains) = REMAINS.with_borrow_mut(|held| held.as_mut().and_then(Vec::pop)) {
            drop(remains);
        }
        REMAINS.with_borrow_mut(|held| *held = None);
    }
}

impl Handle {
    /// The output of a call.
    pub fn of(call: Arc<Call>) -> Self {
        Self { origin: Origin::Call(call), subscripts: Vec::new() }
    }

    /// An argument of the workflow that is being expanded.
    pub const fn argument(expansion: u64, number: usize) -> Self {
        Self { origin: Origin::Argument { expansion, number }, subscripts: Vec::new() }
    }

    /// The subscripts, in canonical form.
    pub fn steps(&self) -> Vec<Step> {
        self.subscripts.iter().map(|subscript| subscript.step.clone()).collect()
    }

    /// Whether both stand for the same part of the same output.
    pub fn is_same(&self, other: &Self) -> bool {
        let origins = match (&self.origin, &other.origin) {
            (Origin::Call(a), Origin::Call(b)) => Arc::ptr_eq(a, b),
            (
                Origin::Argument { expansion: a, number: n },
                Origin::Argument { expansion: b, number: m },
            ) => a == b && n == m,
            _ => false,
        };
        let steps =
            |handle: &Self| handle.subscripts.iter().map(|s| s.step.clone()).collect::<Vec<_>>();
        origins && self.subscripts.len() == other.subscripts.len() && steps(self) == steps(other)
    }

    fn what(&self, py: Python<'_>) -> String {
        match &self.origin {
            Origin::Call(call) => call.task.bind(py).get().name().to_owned(),
            Origin::Argument { .. } => "an argument of this workflow".to_owned(),
        }
    }

    fn refuse<T>(&self, py: Python<'_>, use_: &str) -> PyResult<T> {
        Err(HandleError::new_err(format!(
            "{use_}: this is the output of {}, which has not run yet. Inside a workflow, hand it to a task; \
             what needs the value belongs into a task of its own",
            self.what(py)
        )))
    }
}

#[pymethods]
impl Handle {
    fn __getitem__(&self, py: Python<'_>, index: Bound<'_, PyAny>) -> PyResult<Self> {
        let mut writer = plain::Writer::new();
        digest::encode(&index, "subscript", &mut writer, &mut digest::Alone)
            .map_err(|error| super::error::unhashable(py, error))?;
        let mut subscripts: Vec<_> = self
            .subscripts
            .iter()
            .map(|s| Subscript { object: s.object.clone_ref(py), step: s.step.clone() })
            .collect();
        subscripts.push(Subscript { object: index.unbind(), step: Step(writer.into_bytes()) });
        CALLS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { origin: self.origin.clone(), subscripts })
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let arity = match &self.origin {
            Origin::Call(call) if self.subscripts.is_empty() => {
                call.task.bind(py).get().arity(py)?
            }
            _ => None,
        };
        let Some(arity) = arity else {
            return self.refuse(
                py,
                "cannot be taken apart: annotate the result as tuple[A, B], or use subscripts",
            );
        };
        let parts: PyResult<Vec<_>> = (0..arity)
            .map(|index| self.__getitem__(py, index.into_pyobject(py)?.into_any()))
            .collect();
        let parts: PyResult<Vec<_>> = parts?.into_iter().map(|part| Py::new(py, part)).collect();
        Ok(PyTuple::new(py, parts?)?.try_iter()?.into_any().unbind())
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        self.refuse(py, "cannot be used as a condition")
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.refuse(py, "has no length yet")
    }

    fn __getattr__(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyAny>> {
        if name.starts_with("__") {
            return Err(pyo3::exceptions::PyAttributeError::new_err(name.to_owned()));
        }
        self.refuse(py, &format!("has no attribute {name:?}"))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let mut text = format!("<output of {}", self.what(py));
        for subscript in &self.subscripts {
            let shown = digest::preview(subscript.object.bind(py));
            text.push_str(&format!("[{shown}]"));
        }
        text + ">"
    }

    /// The same call with other cache settings, for this call only.
    #[pyo3(signature = (*, cache))]
    fn with_overrides(&self, py: Python<'_>, cache: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Origin::Call(call) = &self.origin else {
            return self.refuse(py, "cannot be overridden");
        };
        if !self.subscripts.is_empty() {
            return self.refuse(py, "cannot be overridden in part");
        }
        Task::call_again(py, call, cache).map(Self::of)
    }

    /// Runs what it needs, now, and gives the value.
    fn result(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        super::run::force(slf.as_any())
    }
}

/// Calls `visit` for every handle in a value: itself, or in lists, tuples, dicts and sets.
pub fn visit<'py>(
    value: &Bound<'py, PyAny>,
    found: &mut dyn FnMut(&Bound<'py, Handle>),
) -> PyResult<()> {
    without_handles(value, found);
    Ok(())
}

/// As [`visit`]; the addresses of the containers that hold no handle.
fn without_handles<'py>(
    value: &Bound<'py, PyAny>,
    found: &mut dyn FnMut(&Bound<'py, Handle>),
) -> HashSet<usize> {
    let mut handles = 0;
    // Containers that enclose the place, and those without handles: not to be gone through again.
    let mut closed = HashSet::new();
    let mut path: Vec<Open<'py>> = Vec::new();
    let mut next = Some(value.clone());
    loop {
        if let Some(part) = next.take() {
            let address = part.as_ptr() as usize;
            if let Ok(handle) = part.cast::<Handle>() {
                handles += 1;
                found(handle);
            } else if let Some(items) = items(&part)
                && closed.insert(address)
            {
                path.push(Open { address, items, before: handles });
            }
        }
        let Some(open) = path.last_mut() else {
            return closed;
        };
        next = open.items.next();
        if next.is_none() {
            if handles != open.before {
                closed.remove(&open.address);
            }
            path.pop();
        }
    }
}

/// A container that [`visit`] is within.
struct Open<'py> {
    address: usize,
    items: Items<'py>,
    /// How many handles were found before it.
    before: usize,
}

type Items<'py> = Box<dyn Iterator<Item = Bound<'py, PyAny>> + 'py>;

/// What a container holds where handles may stand; `None` if it is none.
fn items<'py>(value: &Bound<'py, PyAny>) -> Option<Items<'py>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        Some(Box::new(list.iter()))
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        Some(Box::new(tuple.iter()))
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        Some(Box::new(dict.iter().map(|(_, item)| item)))
    } else if let Ok(set) = value.cast_exact::<PySet>() {
        Some(Box::new(set.iter()))
    } else {
        None
    }
}

/// A copy of a value with something in the place of each handle in its lists, tuples and dicts.
pub fn substitute<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let substituted = rebuild(value, &mut |part| match part.cast::<Handle>() {
        Ok(handle) => with(handle),
        Err(_) => Ok(part.clone()),
    });
    match substituted {
        // It holds itself, or is nested for no purpose; either is a value, unless handles are in it.
        Err(error) if error.is_instance_of::<PyRecursionError>(value.py()) => {
            let mut handles = 0;
            visit(value, &mut |_| handles += 1)?;
            if handles == 0 { Ok(value.clone()) } else { Err(error) }
        }
        substituted => substituted,
    }
}

/// A copy of a value's lists, tuples and dicts, with what `with` gives for everything in them.
///
/// # Errors
///
/// `RecursionError` if they are nested deeper than any value that has a digest, or hold
/// themselves; what `with` raises.
pub fn rebuild<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let shared = without_handles(value, &mut |_| {});
    rebuild_within(value, with, &mut Rebuilt { shared, made: HashMap::new() }, digest::DEPTH)
}

/// What was rebuilt already: a container that stands in several places and holds no handle is one
/// in the copy, too, or copies of copies would fill the memory.
struct Rebuilt<'py> {
    shared: HashSet<usize>,
    made: HashMap<usize, Bound<'py, PyAny>>,
}

fn rebuild_within<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    rebuilt: &mut Rebuilt<'py>,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let address = value.as_ptr() as usize;
    if let Some(made) = rebuilt.made.get(&address) {
        return Ok(made.clone());
    }
    let copy = container(value, with, rebuilt, depth)?;
    if rebuilt.shared.contains(&address) {
        rebuilt.made.insert(address, copy.clone());
    }
    Ok(copy)
}

fn container<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    rebuilt: &mut Rebuilt<'py>,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let mut inner = |item: &Bound<'py, PyAny>| match depth.checked_sub(1) {
        Some(depth) => rebuild_within(item, with, rebuilt, depth),
        None => Err(PyRecursionError::new_err(format!(
            "lists, tuples and dicts are nested deeper than {} levels, or one holds itself",
            digest::DEPTH
        ))),
    };
    if let Ok(list) = value.cast_exact::<PyList>() {
        let items: PyResult<Vec<_>> = list.iter().map(|item| inner(&item)).collect();
        Ok(PyList::new(py, items?)?.into_any())
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let items: PyResult<Vec<_>> = tuple.iter().map(|item| inner(&item)).collect();
        Ok(PyTuple::new(py, items?)?.into_any())
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let copy = PyDict::new(py);
        for (key, item) in dict.iter() {
            copy.set_item(key, inner(&item)?)?;
        }
        Ok(copy.into_any())
    } else {
        with(value)
    }
}
