//! Handles: what a call gives inside a workflow, before anything has run.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyDict, PyTuple};
use thrifty_engine::graph::Input;
use thrifty_engine::record::Step;
use thrifty_engine::{Choices, Operation};
use thrifty_key::plain;

use super::context::RunOptions;
use super::error::HandleError;
use super::on_disk::OnDisk;
use super::options::Options;
use super::parameters::Arguments;
use super::task::Task;
use crate::value::digest;

const NO_TEXT: &str = "has no text yet (repr says what it is)";
const NO_NUMBER: &str = "cannot be calculated with";

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

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)?;
        self.arguments.iter().flatten().try_for_each(|argument| visit.call(argument))?;
        self.takes.iter().try_for_each(|handle| visit.call(handle))
    }

    /// The arguments as they were passed.
    pub fn given<'py>(&self, py: Python<'py>) -> Arguments<'py> {
        let given = self.arguments.iter();
        given.map(|it| it.as_ref().map(|it| it.bind(py).clone())).collect()
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
    /// A call that other handles share, or a run, is not shown: nobody may show it twice.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.subscripts.iter().try_for_each(|subscript| visit.call(&subscript.object))?;
        match &self.origin {
            Origin::Call(call) if Arc::strong_count(call) == 1 => call.traverse(&visit),
            Origin::Call(_) | Origin::Argument { .. } => Ok(()),
        }
    }

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

    fn __contains__(&self, py: Python<'_>, _item: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.refuse(py, "cannot be searched")
    }

    fn __richcmp__(
        &self,
        py: Python<'_>,
        _other: &Bound<'_, PyAny>,
        _how: CompareOp,
    ) -> PyResult<bool> {
        self.refuse(py, "cannot be compared")
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.refuse(py, "cannot be in a set, or a key of a dict")
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        self.refuse(py, NO_TEXT)
    }

    fn __format__(&self, py: Python<'_>, format: &Bound<'_, PyAny>) -> PyResult<String> {
        let _ = format;
        self.refuse(py, NO_TEXT)
    }

    #[pyo3(signature = (*_args, **_kwargs))]
    fn __call__(
        &self,
        py: Python<'_>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        self.refuse(py, "cannot be called")
    }

    fn __reduce_ex__(&self, py: Python<'_>, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = protocol;
        self.refuse(py, "cannot be copied or pickled")
    }

    fn __int__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __complex__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __index__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __neg__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __pos__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __abs__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __invert__(&self, py: Python<'_>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __add__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __radd__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __sub__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rsub__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __mul__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rmul__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __matmul__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rmatmul__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __truediv__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rtruediv__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __floordiv__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rfloordiv__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __mod__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rmod__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __divmod__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rdivmod__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __lshift__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rlshift__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rshift__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rrshift__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __and__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rand__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __or__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __ror__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __xor__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rxor__(&self, py: Python<'_>, _other: &Bound<'_, PyAny>) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __pow__(
        &self,
        py: Python<'_>,
        _other: &Bound<'_, PyAny>,
        _modulo: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
    }

    fn __rpow__(
        &self,
        py: Python<'_>,
        _other: &Bound<'_, PyAny>,
        _modulo: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.refuse(py, NO_NUMBER)
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
