//! Runs: a workflow, or a call on its own, from its graph to its value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::exceptions::{
    PyBaseException, PyKeyboardInterrupt, PyRecursionError, PySystemExit, PyValueError,
};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use thrifty_engine::catalog::{NewRun, Node, RunStatus};
use thrifty_engine::check::Checked;
use thrifty_engine::event::{Event, Listener};
use thrifty_engine::graph::Edge;
use thrifty_engine::schedule::{Options, Problem};
use thrifty_engine::{Reason, Schedule};

use super::body::{self, Running};
use super::context::{self, Frame, RunOptions};
use super::error::{HandleError, Lost, loss};
use super::graph::Graph;
use super::handle::Handle;
use super::seed::{self, is_seeded};
use super::session::{self, Session, tell_of_unstored};
use super::task::Task;
use super::{asked, check, clean, load, places, secret, turn};
use crate::observe;
use crate::value::digest;
use crate::warning::tell;

/// How long an interrupted run waits for its bodies to notice.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The bodies of the runs that are under way.
static UNDER_WAY: Mutex<Vec<Arc<Running>>> = Mutex::new(Vec::new());

/// A run under way, until this is dropped.
pub struct UnderWay(Arc<Running>, secret::UnderWay);

impl UnderWay {
    /// A run begins, whose bodies these are.
    pub fn begin(running: &Arc<Running>) -> Self {
        UNDER_WAY.lock().push(Arc::clone(running));
        Self(Arc::clone(running), secret::begin())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.lock().retain(|it| !Arc::ptr_eq(it, &self.0));
    }
}

/// Ends the runs of threads that the end of the program does not wait for: a body that came back
/// to an interpreter that is gone would crash the process.
pub fn end_all(py: Python<'_>) {
    let runs = UNDER_WAY.lock().clone();
    // Unlike an interrupt, it ends a thread without a word.
    let exception = py.get_type::<PySystemExit>();
    runs.iter().for_each(|running| running.interrupt(&exception));
    let begun = Instant::now();
    while !UNDER_WAY.lock().is_empty() && begun.elapsed() < PATIENCE {
        py.detach(|| std::thread::sleep(Duration::from_millis(5)));
    }
}

/// In a forked child: the threads of the parent's runs are not here.
pub fn forget_all() {
    if let Some(mut runs) = UNDER_WAY.try_lock() {
        std::mem::take(&mut *runs).into_iter().for_each(std::mem::forget);
    }
}

/// What is to be run, and for whom.
pub struct Demand<'a, 'py> {
    /// The name of the run.
    pub name: &'a str,
    /// Its arguments, as text.
    pub arguments: String,
    /// The value, with handles in it.
    pub value: &'a Bound<'py, PyAny>,
    /// What was chosen for the run.
    pub options: &'a RunOptions,
    /// Told what happens.
    pub listener: Option<Arc<Listener>>,
}

/// A run that ended.
pub struct Finished {
    /// The id of the run.
    pub run: Option<String>,
    /// The value, or what was raised.
    pub value: PyResult<Py<PyAny>>,
    /// What was done.
    pub nodes: Vec<Node>,
    /// How it ended.
    pub status: RunStatus,
    /// What each failed operation raised.
    pub failures: Vec<(String, PyErr)>,
    /// What was executed again, if that was asked for.
    pub checks: Vec<Py<PyAny>>,
    /// The same, for the rest of the program.
    pub checked: Vec<Checked>,
}

/// Runs what a value with handles needs, and puts values in their places.
///
/// # Errors
///
/// What kept the run from beginning. What its operations raise is part of what it returns.
pub fn execute(py: Python<'_>, demand: Demand<'_, '_>) -> PyResult<Finished> {
    turn::paused(py, || execute_now(py, demand))
}

fn execute_now(py: Python<'_>, demand: Demand<'_, '_>) -> PyResult<Finished> {
    let session = Session::current(py)?;
    let running = Arc::new(Running::begin(py)?);
    let _under_way = UnderWay::begin(&running);
    let mut handles: Vec<Py<Handle>> = Vec::new();
    places::visit(demand.value, &mut |handle| handles.push(handle.clone().unbind()))?;
    places::none_in_objects(demand.value)?;
    let graph = Graph::of(py, handles.iter().map(Py::get), &session, &running, 0)?;
    let edges: PyResult<Vec<_>> = handles.iter().map(|it| graph.edge(py, it.get())).collect();
    let edges = edges?;
    let new = NewRun { name: demand.name.to_owned(), arguments: demand.arguments, ..session.who() };
    let begin = || session.cache.recorder().begin(&new);
    let run = if clean::is_clean() { None } else { py.detach(begin) };
    let interrupt: Mutex<Option<PyErr>> = Mutex::new(None);
    let interrupted = || is_interrupted(&interrupt);
    // Who listens counts as well.
    let is_told = demand.listener.is_some();
    let listener = demand.listener.unwrap_or_else(|| Arc::new(|_: &Event| {}));
    let mut schedule = Schedule::new(
        Arc::clone(&session.cache),
        graph.nodes,
        Options {
            workers: session.workers(demand.options),
            run: run.clone(),
            interrupted: &interrupted,
            listener: Arc::clone(&listener),
        },
    );
    let value = settle(py, &mut schedule, &session, demand.value, &edges);
    if schedule.is_stopped() {
        stop(py, &running);
    }
    if observe::is_in_body(py) {
        observe::absorb(py, || schedule.parts(), &schedule.observed(), schedule.expires_at());
    }
    let report = match value.is_ok() {
        true => check::beside(py, &schedule, &session, demand.options, &*listener),
        false => Ok(None),
    };
    let (value, report) = match report {
        Ok(report) => (value, report),
        Err(error) => (Err(error), None),
    };
    let (checks, checked) = report.map(|it| (it.objects, it.checked)).unwrap_or_default();
    let mut nodes = schedule.history();
    check::note(&mut nodes, &checked);
    let mut status = schedule.status();
    let mut failures = failures(py, &schedule);
    let fault = session::fault(&nodes).filter(|_| value.is_ok());
    let value = match fault {
        Some(fault) => {
            status = RunStatus::Failed;
            failures.push((demand.name.to_owned(), fault.clone_ref(py)));
            Err(fault)
        }
        None => value,
    };
    if let Some(run) = &run {
        if nodes.iter().any(|node| node.entry.is_some() && node.source.is_none()) {
            check::remember_environment(py, &session, run);
        }
        session.cache.recorder().nodes(run, nodes.clone());
        session.cache.recorder().finish(run, status);
    }
    drop(schedule);
    session.tell_of_trouble(py);
    if !is_told {
        tell_of_unstored(py, demand.name, Reason::count(&nodes));
    }
    check::warn_of(py, &checked)?;
    let ended = interrupt.into_inner().or_else(|| running.take_end());
    let value = ended.map_or(value, Err);
    Ok(Finished { run: run.map(|run| run.0), value, nodes, status, failures, checks, checked })
}

/// Whether the user interrupts; what it raises is kept.
pub fn is_interrupted(raised: &Mutex<Option<PyErr>>) -> bool {
    Python::attach(|py| match py.check_signals() {
        Ok(()) => false,
        Err(error) => {
            *raised.lock() = Some(error);
            true
        }
    })
}

/// Settles what is demanded and loads it. A value found lost is computed again.
fn settle(
    py: Python<'_>,
    schedule: &mut Schedule<'_>,
    session: &Session,
    value: &Bound<'_, PyAny>,
    edges: &[Edge],
) -> PyResult<Py<PyAny>> {
    let mut demanded: Vec<_> = edges.iter().filter_map(Edge::node).collect();
    demanded.sort_unstable();
    demanded.dedup();
    loop {
        py.detach(|| schedule.settle(&demanded));
        if schedule.is_stopped() {
            return Err(PyKeyboardInterrupt::new_err(()));
        }
        if let Some(error) = failure(py, schedule, &demanded) {
            return Err(error);
        }
        let mut next = 0;
        let mut lost = None;
        let loaded = places::substitute(value, &mut |_| {
            // A list that holds itself has more places than handles.
            let edge = edges.get(next).ok_or_else(|| {
                PyRecursionError::new_err(
                    "what a workflow returned holds itself, with handles in it",
                )
            })?;
            next += 1;
            let taken =
                schedule.take(edge).ok_or_else(|| Lost::new_err("the value is not there"))?;
            load::taken(py, session, &taken).inspect_err(|_| lost = edge.node())
        });
        match (loaded, lost) {
            (Err(error), Some(number)) if error.is_instance_of::<Lost>(py) => {
                let (loss, message) = (loss(py, &error), secret::message(py, &error));
                py.detach(|| schedule.reopen(number, loss, &message));
            }
            (loaded, _) => return loaded.map(Bound::unbind),
        }
    }
}

/// What made one of the demanded operations fail.
pub fn failure(py: Python<'_>, schedule: &Schedule<'_>, demanded: &[usize]) -> Option<PyErr> {
    let mut problem = demanded.iter().find_map(|n| schedule.settled(*n)?.as_ref().err());
    loop {
        let behind = match problem? {
            Problem::Failed(failure) => return Some(body::raise(py, failure)),
            Problem::Upstream(at) | Problem::NotStarted(at) => *at,
        };
        problem = schedule.settled(behind)?.as_ref().err();
    }
}

fn failures(py: Python<'_>, schedule: &Schedule<'_>) -> Vec<(String, PyErr)> {
    (0..schedule.len())
        .filter_map(|number| match schedule.settled(number)? {
            Err(Problem::Failed(failure)) => {
                let name = schedule.node(number).operation.name().to_owned();
                Some((name, body::raise(py, failure)))
            }
            _ => None,
        })
        .collect()
}

/// Interrupts the bodies that still run and waits a moment for them.
pub fn stop(py: Python<'_>, running: &Running) {
    running.interrupt(&py.get_type::<PyKeyboardInterrupt>());
    let begun = Instant::now();
    while !running.is_idle() && begun.elapsed() < PATIENCE {
        py.detach(|| std::thread::sleep(Duration::from_millis(5)));
    }
}

/// The value of handles, computed now, in a run of its own.
///
/// # Errors
///
/// What computing it raised; in a plan, where nothing is computed, that it has no value.
pub fn force(value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    if context::is_planning() {
        return Err(HandleError::new_err(
            "a workflow asks for a value while it is planned, and a plan computes nothing: what \
             needs the value belongs into a task of its own",
        ));
    }
    let options = match context::frame() {
        Some(
            Frame::Running(options)
            | Frame::Building { options, .. }
            | Frame::Forked { options, .. },
        ) => options,
        None => Arc::default(),
    };
    let options = RunOptions { check: None, ..RunOptions::clone(&options) };
    let demand = Demand {
        name: "deferred calls",
        arguments: String::new(),
        value,
        options: &options,
        listener: None,
    };
    execute(value.py(), demand)?.value
}

/// Runs a call as a run of its own.
///
/// # Errors
///
/// What kept it from beginning.
pub fn run<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    options: Arc<RunOptions>,
    listener: Option<Arc<Listener>>,
) -> PyResult<Bound<'py, Run>> {
    let (py, task) = (slf.py(), slf.get());
    let _under_way = secret::begin();
    let (options, tells) = asked::noted(options, task.name());
    let value = built(slf, args, kwargs, &options)?;
    let arguments = shown(task, py, args, kwargs, &options)?;
    let is_told = listener.is_some();
    let demand =
        Demand { name: task.name(), arguments, value: &value, options: &options, listener };
    let mut run = Run::of(py, execute(py, demand)?);
    if tells {
        run.unasked = asked::unasked(py, &options, &run.nodes, run.status);
    }
    for name in run.unasked.iter().filter(|_| !is_told) {
        tell(py, &format!("refresh={name:?}: {}", asked::NOTHING));
    }
    Bound::new(py, run)
}

/// The value of a call with handles in it: nothing ran yet.
///
/// # Errors
///
/// What the function of a workflow raises, and arguments that do not fit.
pub fn built<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    options: &Arc<RunOptions>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, task) = (slf.py(), slf.get());
    let mode = task.is_workflow.then(|| task.inner_mode()).flatten();
    let frame = Frame::Building { options: Arc::clone(options), mode };
    if !task.is_workflow {
        let _guard = context::enter(frame);
        return slf.call(args, kwargs);
    }
    let seeding = options.seeding;
    let Some(arguments) = task.parameters(py)?.bind(args, kwargs, is_seeded(seeding))? else {
        // The function itself says what is wrong, before its first line.
        return task.function.bind(py).call(args, kwargs);
    };
    let stream = seed::stream_of_call(py, task, &arguments, seeding)?;
    seed::call(slf, &arguments, frame, stream)
}

/// The arguments, as text; secrets left out.
fn shown(
    task: &Task,
    py: Python<'_>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    options: &RunOptions,
) -> PyResult<String> {
    let is_seeded = is_seeded(options.seeding);
    let Some(bound) = task.parameters(py)?.bind(args, kwargs, is_seeded)? else {
        return Ok(String::new());
    };
    let texts: PyResult<Vec<_>> = task
        .parameters(py)?
        .all
        .iter()
        .enumerate()
        .filter_map(|(index, parameter)| {
            let value = bound[index].as_ref()?;
            Some(task.is_secret(py, index).map(|secret| {
                let shown = if secret { "(hidden)".to_owned() } else { digest::preview(value) };
                format!("{}={shown}", parameter.name)
            }))
        })
        .collect();
    Ok(texts?.join(", "))
}

/// A run that ended: its value, and what was done for it.
#[pyclass(frozen, module = "thrifty")]
pub struct Run {
    /// The id of the run, or `None` if its history is not kept.
    #[pyo3(get)]
    id: Option<String>,
    value: Mutex<Option<Result<Py<PyAny>, Py<PyBaseException>>>>,
    nodes: Vec<Node>,
    status: RunStatus,
    failures: Vec<(String, Py<PyBaseException>)>,
    checks: Vec<Py<PyAny>>,
    checked: Vec<Checked>,
    /// Names of operations to be computed again by which nothing was asked for.
    unasked: Vec<String>,
}

impl Run {
    fn of(py: Python<'_>, finished: Finished) -> Self {
        let Finished { run, value, nodes, status, failures, checks, checked } = finished;
        let value = Mutex::new(Some(value.map_err(|error| error.into_value(py))));
        let failures =
            failures.into_iter().map(|(name, error)| (name, error.into_value(py))).collect();
        let unasked = Vec::new();
        Self { id: run, value, nodes, status, failures, checks, checked, unasked }
    }

    /// Names of operations to be computed again by which nothing was asked for.
    pub fn unasked(&self) -> &[String] {
        &self.unasked
    }

    /// What was executed again, and what that showed.
    pub fn checked(&self) -> &[Checked] {
        &self.checked
    }

    /// The id of the run.
    pub fn identity(&self) -> Option<String> {
        self.id.clone()
    }

    /// How it ended.
    pub const fn ended(&self) -> RunStatus {
        self.status
    }

    /// What each failed operation raised.
    pub fn failed(&self) -> &[(String, Py<PyBaseException>)] {
        &self.failures
    }

    /// The value as text, if there is one.
    pub fn shown(
        &self,
        py: Python<'_>,
        show: &dyn Fn(&Bound<'_, PyAny>) -> String,
    ) -> Option<String> {
        match &*self.value.lock() {
            Some(Ok(value)) if !value.is_none(py) => Some(show(value.bind(py))),
            _ => None,
        }
    }

    /// The value, which nobody else is given.
    ///
    /// # Errors
    ///
    /// What was raised.
    pub fn take<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let taken = slf.get().value.lock().take();
        match taken {
            Some(Ok(value)) => Ok(value.into_bound(slf.py())),
            Some(Err(error)) => Err(PyErr::from_value(error.into_bound(slf.py()).into_any())),
            None => Err(PyValueError::new_err("the value was taken before")),
        }
    }
}

#[pymethods]
impl Run {
    /// What it gave or raised can lead back to it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(value) = self.value.try_lock() {
            match &*value {
                Some(Ok(value)) => visit.call(value)?,
                Some(Err(error)) => visit.call(error)?,
                None => {}
            }
        }
        self.failures.iter().try_for_each(|(_, error)| visit.call(error))?;
        self.checks.iter().try_for_each(|check| visit.call(check))
    }

    /// The value; raises what the run raised.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &*self.value.lock() {
            Some(Ok(value)) => Ok(value.clone_ref(py)),
            Some(Err(error)) => Err(PyErr::from_value(error.bind(py).clone().into_any())),
            None => Err(PyValueError::new_err("the value was taken before")),
        }
    }

    /// How it ended: `succeeded`, `failed` or `cancelled`.
    #[getter]
    fn status(&self) -> &'static str {
        self.status.word()
    }

    /// The operations that were looked at, as dicts, in the order in which they were called.
    #[getter]
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let dicts: PyResult<Vec<_>> = self.nodes.iter().map(|node| as_dict(py, node)).collect();
        PyList::new(py, dicts?)
    }

    /// How many of its results are not in the cache, or went there without protection, by a word
    /// for the reason.
    #[getter]
    fn reasons(&self) -> BTreeMap<&str, u64> {
        Reason::count(&self.nodes)
    }

    /// What each failed operation raised, as pairs of its name and the exception.
    #[getter]
    fn failures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let pairs = self.failures.iter().map(|(name, error)| (name.clone(), error.clone_ref(py)));
        PyList::new(py, pairs)
    }

    /// What was executed again to compare, if `check` was among the options.
    #[getter]
    fn checks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, &self.checks)
    }

    /// Why each operation ran, or of one of them: text for people.
    #[pyo3(signature = (operation = None))]
    fn why(&self, py: Python<'_>, operation: Option<String>) -> PyResult<String> {
        let Some(id) = &self.id else {
            return Err(PyValueError::new_err("the history of this run is not kept"));
        };
        let session = Session::current(py)?;
        py.detach(|| {
            session.cache.recorder().flush();
            thrifty_cli::why(&session.cache, id, operation.as_deref())
        })
        .map_err(PyValueError::new_err)
    }

    fn __repr__(&self) -> String {
        let hits = self.nodes.iter().filter(|node| node.outcome.starts_with("hit")).count();
        let id = self.id.as_deref().unwrap_or("?");
        format!("<Run {id}: {}, {} operations, {hits} hits>", self.status.word(), self.nodes.len())
    }
}

fn as_dict<'py>(py: Python<'py>, node: &Node) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "number"), node.number)?;
    dict.set_item(intern!(py, "name"), &node.operation)?;
    dict.set_item(intern!(py, "outcome"), &node.outcome)?;
    dict.set_item(intern!(py, "detail"), &node.detail)?;
    dict.set_item(intern!(py, "reason"), &node.reason)?;
    dict.set_item(intern!(py, "rule"), &node.rule)?;
    dict.set_item(intern!(py, "seconds"), node.spent.as_secs_f64())?;
    dict.set_item(intern!(py, "saved_seconds"), node.saved.as_secs_f64())?;
    dict.set_item(intern!(py, "key"), node.key.map(|key| key.to_string()))?;
    dict.set_item(intern!(py, "source"), node.source.as_ref().map(|run| run.0.clone()))?;
    Ok(dict)
}

/// Runs what the handles in a value need.
#[pyfunction]
fn compute(value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    force(value)
}

/// Whether a workflow is being built on this thread.
#[pyfunction]
fn is_building() -> bool {
    matches!(context::frame(), Some(Frame::Building { .. } | Frame::Forked { .. }))
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compute, module)?)?;
    module.add_function(wrap_pyfunction!(is_building, module)?)
}
