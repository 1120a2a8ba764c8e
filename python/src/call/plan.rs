//! Plans: what a call would run, told before anything is spent.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use thrifty_engine::explain::{Explained, Explanation, foresee};
use thrifty_engine::plan::Planned;

use super::body::{self, Running};
use super::context::{self, RunOptions};
use super::graph::Graph;
use super::handle::Handle;
use super::places;
use super::run;
use super::session::Session;
use super::task::Task;

/// Tells what a call would run. Workflows are called, as they only say what they would call;
/// tasks are not.
///
/// # Errors
///
/// What a workflow raised, or an argument without a digest.
pub fn plan<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    options: &Arc<RunOptions>,
) -> PyResult<Bound<'py, Plan>> {
    let py = slf.py();
    let _planning = context::begin_planning();
    let session = Session::current(py)?;
    let value = run::built(slf, args, kwargs, options)?;
    let mut handles: Vec<Py<Handle>> = Vec::new();
    places::visit(&value, &mut |handle| handles.push(handle.clone().unbind()))?;
    places::none_in_objects(&value)?;
    let running = Arc::new(Running::default());
    let graph = Graph::of(py, handles.iter().map(Py::get), &session, &running, 0)?;
    let (cache, name) = (Arc::clone(&session.cache), slf.get().name());
    let (planned, explanation) = py.detach(|| {
        cache.recorder().flush();
        let planned = thrifty_engine::plan::plan(&cache, graph.nodes);
        let planned = planned.map_err(|failure| Python::attach(|py| body::raise(py, &failure)))?;
        let told = foresee(cache.catalog().as_ref(), cache.scope(), name, &planned);
        let told = told.map_err(|error| {
            pyo3::exceptions::PyRuntimeError::new_err(format!("the cache cannot be read: {error}"))
        })?;
        Ok::<_, PyErr>((planned, told))
    })?;
    Bound::new(py, Plan { nodes: planned.nodes, explanation })
}

/// What a call would run, and why. Its text says it for people.
#[pyclass(frozen, module = "thrifty")]
pub struct Plan {
    nodes: Vec<Planned>,
    explanation: Explanation,
}

impl Plan {
    /// What would run, and why.
    pub const fn explanation(&self) -> &Explanation {
        &self.explanation
    }

    fn with_outcome(&self, outcome: &str) -> Vec<String> {
        let mut nodes: Vec<&Explained> =
            self.explanation.nodes.iter().filter(|node| node.outcome == outcome).collect();
        nodes.sort_by_key(|node| node.node);
        nodes.into_iter().map(|node| node.operation.clone()).collect()
    }
}

#[pymethods]
impl Plan {
    /// The operations that would run, by name, one for each call.
    #[getter]
    fn would_run(&self) -> Vec<String> {
        self.with_outcome("would-run")
    }

    /// Those that would run if the outputs they take are not what they were.
    #[getter]
    fn may_run(&self) -> Vec<String> {
        self.with_outcome("may-run")
    }

    /// How many operations are hits.
    #[getter]
    const fn hits(&self) -> usize {
        self.explanation.hits
    }

    /// All operations, as dicts, in the order in which they would be called.
    #[getter]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let explained = |number| self.explanation.nodes.iter().find(|it| it.node == number);
        let dicts: PyResult<Vec<_>> = self
            .nodes
            .iter()
            .map(|planned| as_dict(py, planned, explained(planned.node.number)))
            .collect();
        PyList::new(py, dicts?)
    }

    fn __str__(&self) -> String {
        thrifty_cli::plan(&self.explanation).trim_end().to_owned()
    }

    fn __repr__(&self) -> String {
        let count = |outcome| self.with_outcome(outcome).len();
        let (certain, possible) = (count("would-run"), count("may-run"));
        let hits = self.explanation.hits;
        format!("<Plan: {certain} would run, {possible} may run, {hits} hits>")
    }
}

fn as_dict<'py>(
    py: Python<'py>,
    planned: &Planned,
    explained: Option<&Explained>,
) -> PyResult<Bound<'py, PyDict>> {
    let node = &planned.node;
    let forecast = planned.forecast.word();
    let outcome = explained.map_or(forecast, |explained| explained.outcome.as_str());
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "number"), node.number)?;
    dict.set_item(intern!(py, "name"), &node.operation)?;
    dict.set_item(intern!(py, "outcome"), outcome)?;
    dict.set_item(intern!(py, "label"), explained.map_or("", |it| it.label.as_str()))?;
    dict.set_item(intern!(py, "detail"), &node.detail)?;
    dict.set_item(intern!(py, "key"), node.key.map(|key| key.to_string()))?;
    dict.set_item(intern!(py, "saved_seconds"), node.saved.as_secs_f64())?;
    Ok(dict)
}
