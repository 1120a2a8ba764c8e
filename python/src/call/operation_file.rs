//! Python as the language of operation files: calls of its functions as nodes of a graph that
//! has commands in it as well.

use std::path::Path;
use std::sync::Arc;

use glob::Pattern;
use parking_lot::Mutex;
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use thrifty_engine::graph::{Failure, Node, Taken};
use thrifty_engine::record::Record;
use thrifty_engine::{Cache, Seed};
use thrifty_pipeline::expand::Suggester;
use thrifty_pipeline::{Call, Exported, Language, Overrides, Passed, Unexported};

use super::body::{self, Running};
use super::context::{self, Frame, RunOptions};
use super::error::{Lost, UnhashableArgument};
use super::graph::Graph;
use super::handle::Handle;
use super::load;
use super::run::{self, UnderWay};
use super::session::Session;
use super::suggest;
use super::task::Task;

/// The edges of calls are those of one expansion that is none: no other graph has its number.
const EXPANSION: u64 = u64::MAX;

/// The functions of this interpreter.
pub struct Functions {
    session: Arc<Session>,
    running: Arc<Running>,
    /// Until the run is over, so that the end of the program does not leave bodies behind.
    _under_way: Mutex<UnderWay>,
}

impl Functions {
    /// Functions for one run.
    ///
    /// # Errors
    ///
    /// As [`Session::current`].
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let session = Session::current(py)?;
        let running = Arc::new(Running::default());
        let under_way = Mutex::new(UnderWay::begin(&running));
        Ok(Self { session, running, _under_way: under_way })
    }

    fn call(&self, py: Python<'_>, call: &Call<'_>) -> PyResult<Node> {
        let task = task_of(py, call)?;
        let arguments = PyDict::new(py);
        for (name, argument) in &call.arguments {
            arguments.set_item(name, self.argument(py, argument)?)?;
        }
        let name = task.get().name();
        let refreshed = call.refresh.then(|| Pattern::new(&Pattern::escape(name)));
        let options = RunOptions {
            mode: call.mode,
            refresh: refreshed.and_then(Result::ok).into_iter().collect(),
            seeding: Some(call.seeding),
            ..RunOptions::default()
        };
        let frame = Frame::Building { options: Arc::new(options), mode: call.around };
        let made = {
            let _guard = context::enter(frame);
            task.call((), Some(&arguments))?.cast_into::<Handle>()?
        };
        let graph = Graph::of(py, [made.get()], &self.session, &self.running, EXPANSION)?;
        // One call, whose arguments begin outside, is one node.
        graph.nodes.into_iter().next().ok_or_else(|| refused("it is no call"))
    }

    fn argument<'py>(&self, py: Python<'py>, given: &Passed) -> PyResult<Bound<'py, PyAny>> {
        Ok(match given {
            Passed::Value(encoding) => {
                load::record(py, &self.session, &Record::Plain(encoding.clone()))?
            }
            Passed::Path(path) => helper(py)?.call_method1(intern!(py, "on_disk"), (path,))?,
            Passed::Edge(number) => {
                Bound::new(py, Handle::argument(EXPANSION, *number))?.into_any()
            }
            Passed::List(items) => {
                let items: PyResult<Vec<_>> =
                    items.iter().map(|item| self.argument(py, item)).collect();
                PyList::new(py, items?)?.into_any()
            }
            Passed::Mapping(items) => {
                let mapping = PyDict::new(py);
                for (name, item) in items {
                    mapping.set_item(name, self.argument(py, item)?)?;
                }
                mapping.into_any()
            }
        })
    }

    fn exported(&self, py: Python<'_>, taken: &Taken) -> PyResult<Exported> {
        let value = load::taken(py, &self.session, taken)?;
        let told = helper(py)?.call_method1(intern!(py, "exported"), (value,))?;
        let (kind, text): (String, String) = told.extract()?;
        Ok(if kind == "path" { Exported::Path(text.into()) } else { Exported::Json(text) })
    }
}

impl Language for Functions {
    fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.session.cache)
    }

    fn check(&self, call: &Call<'_>) -> Result<(), String> {
        let names: Vec<_> = call.arguments.iter().map(|(name, _)| name.as_str()).collect();
        let seed = call.seeding.seed().map(Seed::number);
        Python::attach(|py| {
            let given = (call.base, call.target, names, seed);
            let checked = helper(py).and_then(|it| it.call_method1(intern!(py, "check"), given));
            checked.map(drop).map_err(|error| told(py, &error))
        })
    }

    fn node(&self, call: &Call<'_>) -> Result<Node, String> {
        Python::attach(|py| self.call(py, call).map_err(|error| told(py, &error)))
    }

    fn export(&self, taken: &Taken) -> Result<Exported, Unexported> {
        let why = |py: Python<'_>, error: PyErr| match error.is_instance_of::<Lost>(py) {
            true => Unexported::Lost(crate::shown::message(py, &error)),
            false => Unexported::Unfit(told(py, &error)),
        };
        Python::attach(|py| self.exported(py, taken).map_err(|error| why(py, error)))
    }

    fn finds(&self, base: &Path, by: &Suggester) -> Result<(), String> {
        Python::attach(|py| {
            let found = suggest::module(py)
                .and_then(|it| it.call_method1(intern!(py, "find"), (base, by.word())));
            found.map(drop).map_err(|error| told(py, &error))
        })
    }

    fn suggest(&self, base: &Path, by: &Suggester, question: &[u8]) -> Result<Vec<u8>, String> {
        Python::attach(|py| {
            let question = load::record(py, &self.session, &Record::Plain(question.to_vec()));
            let answer = question.and_then(|question| suggest::ask(&question, base, by.word()));
            answer.map_err(|error| told(py, &error))
        })
    }

    fn told(&self, failure: &Failure) -> Option<String> {
        let Failure::Raised { cause, .. } = failure else { return None };
        cause.downcast_ref::<PyErr>()?;
        Python::attach(|py| Some(crate::shown::traceback(py, &body::raise(py, failure))))
    }

    fn stop(&self) {
        Python::attach(|py| run::stop(py, &self.running));
    }
}

/// The task that is called, as the operation overrides it.
fn task_of<'py>(py: Python<'py>, call: &Call<'_>) -> PyResult<Bound<'py, Task>> {
    let helper = helper(py)?;
    let found = helper.call_method1(intern!(py, "load"), (call.base, call.target))?;
    let Overrides { mode, max_age, expires, version, salt, inputs, serialize } = call.caching;
    let fields = PyDict::new(py);
    let set = |name: &str, value: Option<Bound<'py, PyAny>>| match value {
        Some(value) => fields.set_item(name, value),
        None => Ok(()),
    };
    let any = |text: &str| text.into_pyobject(py).map(|it| Some(it.into_any()));
    set("mode", mode.map_or(Ok(None), |mode| any(mode.word()))?)?;
    set("version", version.map_or(Ok(None), any)?)?;
    set("salt", salt.map_or(Ok(None), any)?)?;
    set("inputs", inputs.map(|names| PyList::new(py, names)).transpose()?.map(Bound::into_any))?;
    for (name, duration) in [("max_age", max_age), ("expires", expires)] {
        let seconds = duration.map(|it| it.as_secs_f64().into_pyobject(py)).transpose()?;
        set(name, seconds.map(Bound::into_any))?;
    }
    if serialize {
        fields.set_item("serialize", true)?;
    }
    let task = helper.call_method1(intern!(py, "overridden"), (found, fields))?;
    Ok(task.cast_into::<Task>()?)
}

fn helper(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "thrifty._operation_file"))
}

fn refused(reason: impl Into<String>) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(reason.into())
}

/// What went wrong, for a person: the user's own errors with their traceback.
fn told(py: Python<'_>, error: &PyErr) -> String {
    let is_ours = helper(py)
        .and_then(|it| it.getattr(intern!(py, "Refused")))
        .is_ok_and(|class| error.matches(py, class).unwrap_or(false));
    let is_interrupt = error.is_instance_of::<PyKeyboardInterrupt>(py);
    if is_ours || is_interrupt || error.is_instance_of::<UnhashableArgument>(py) {
        return crate::shown::message(py, error);
    }
    crate::shown::traceback(py, error)
}
