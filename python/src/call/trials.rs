//! The trials of a sweep: calls of one task that are told in the history as one run, and none of
//! which ends the others.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use thrifty_engine::catalog::{NewRun, Node, RunId, RunStatus};
use thrifty_engine::event::Event;
use thrifty_engine::graph::{Edge, Taken, Value};
use thrifty_engine::schedule::{Options, Problem};
use thrifty_engine::{Outcome, Reason, Schedule};

use super::body::{CallBody, Running};
use super::context::{self, Frame, RunOptions};
use super::error::{HandleError, Lost, loss};
use super::graph::Graph;
use super::handle::Handle;
use super::run::{self, UnderWay};
use super::session::{self, Session, tell_of_unstored};
use super::task::Task;
use super::{check, clean, load, secret, turn};
use crate::observe;

/// A run of trials under way.
#[pyclass(frozen, module = "thrifty._native")]
pub struct Trials {
    task: Py<Task>,
    name: String,
    session: Arc<Session>,
    running: Arc<Running>,
    options: Arc<RunOptions>,
    run: Option<RunId>,
    /// What was done so far.
    told: Mutex<Vec<Node>>,
    /// Until the run is over, so that the end of the program does not leave bodies behind.
    under_way: Mutex<Option<UnderWay>>,
}

/// What became of a trial: its status, its time, what a hit saved, its value, the metric, and what
/// it raised.
type Row<'py> =
    (&'static str, f64, f64, Option<Bound<'py, Kept>>, Option<f64>, Option<Bound<'py, PyAny>>);

/// The value of a trial, which is loaded when it is asked for.
#[pyclass(frozen, module = "thrifty._native")]
pub struct Kept {
    taken: Taken,
    session: Arc<Session>,
}

#[pymethods]
impl Kept {
    /// A value that others hold as well is not shown: nobody may show it twice.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.taken.value {
            Value::Live { object, .. } if Arc::strong_count(object) == 1 => {
                visit.call(object.downcast_ref::<Py<PyAny>>())
            }
            Value::Live { .. } | Value::Known(_) => Ok(()),
        }
    }

    /// The value, nobody else's.
    fn load<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        load::taken(py, &self.session, &self.taken)
    }
}

#[pymethods]
impl Trials {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if Arc::strong_count(&self.running) == 1 {
            self.running.traverse(&visit)?;
        }
        visit.call(&self.task)
    }

    /// Begins a run of this name.
    #[new]
    fn new(
        task: &Bound<'_, Task>,
        name: String,
        arguments: String,
        concurrency: Option<usize>,
    ) -> PyResult<Self> {
        let py = task.py();
        let session = Session::current(py)?;
        let outer = match context::frame() {
            Some(Frame::Building { .. }) => {
                return Err(HandleError::new_err(
                    "a workflow cannot sweep: which trials there are depends on values. Call \
                     sweep outside of it, or in a task",
                ));
            }
            Some(Frame::Running(options) | Frame::Forked { options, .. }) => options,
            None => Arc::default(),
        };
        let mut options = RunOptions::clone(&*task.get().run_options(py, &outer)?);
        if options.check.take().is_some() {
            return Err(PyValueError::new_err(
                "a sweep executes nothing again to compare: say task.check(…) of a trial",
            ));
        }
        options.serialize = true;
        let workers = session.workers(&options);
        options.workers = Some(concurrency.map_or(workers, |most| workers.min(most)));
        let running = Arc::new(Running::begin(py)?);
        let under_way = Mutex::new(Some(UnderWay::begin(&running)));
        let new = NewRun { name: name.clone(), arguments, ..session.who() };
        let begin = || session.cache.recorder().begin(&new);
        let run = if clean::is_clean() { None } else { py.detach(begin) };
        let (task, options) = (task.clone().unbind(), Arc::new(options));
        let told = Mutex::default();
        Ok(Self { task, name, session, running, options, run, told, under_way })
    }

    /// The id of the run, if its history is kept.
    #[getter]
    fn id(&self) -> Option<String> {
        self.run.as_ref().map(|run| run.0.clone())
    }

    /// Makes one call for each of some keywords, and tells what became of them. The metric is what
    /// `weigh` makes of a value.
    #[pyo3(signature = (calls, weigh = None))]
    fn settle<'py>(
        &self,
        py: Python<'py>,
        calls: &Bound<'py, PyList>,
        weigh: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Row<'py>>> {
        turn::paused(py, || self.settle_now(py, calls, weigh))
    }

    /// Ends the run.
    ///
    /// # Errors
    ///
    /// `CacheUnavailable` for results that are not stored, where that is to be an error.
    fn finish(&self, py: Python<'_>, status: &str) -> PyResult<()> {
        let nodes = std::mem::take(&mut *self.told.lock());
        let fault = session::fault(&nodes).filter(|_| status == "succeeded");
        let status = if fault.is_some() { "failed" } else { status };
        *self.under_way.lock() = None;
        if let Some(run) = &self.run {
            if nodes.iter().any(|node| node.entry.is_some() && node.source.is_none()) {
                check::remember_environment(py, &self.session, run);
            }
            let status = match status {
                "succeeded" => RunStatus::Succeeded,
                "failed" => RunStatus::Failed,
                _ => RunStatus::Cancelled,
            };
            self.session.cache.recorder().nodes(run, nodes.clone());
            self.session.cache.recorder().finish(run, status);
        }
        self.session.tell_of_trouble(py);
        tell_of_unstored(py, &self.name, Reason::count(&nodes));
        fault.map_or(Ok(()), Err)
    }
}

impl Trials {
    /// The calls, as handles.
    fn calls(&self, py: Python<'_>, calls: &Bound<'_, PyList>) -> PyResult<Vec<Py<Handle>>> {
        let task = self.task.bind(py);
        let frame = Frame::Building { options: Arc::clone(&self.options), mode: None };
        let _guard = context::enter(frame);
        let call = |keywords: Bound<'_, PyAny>| {
            let called = task.call(PyTuple::empty(py), Some(keywords.cast::<PyDict>()?))?;
            Ok(called.cast_into::<Handle>()?.unbind())
        };
        calls.iter().map(call).collect()
    }

    fn settle_now<'py>(
        &self,
        py: Python<'py>,
        calls: &Bound<'py, PyList>,
        weigh: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Row<'py>>> {
        let handles = self.calls(py, calls)?;
        let graph = Graph::of(py, handles.iter().map(Py::get), &self.session, &self.running, 0)?;
        let edges: PyResult<Vec<_>> = handles.iter().map(|it| graph.edge(py, it.get())).collect();
        let edges = edges?;
        let interrupt: Mutex<Option<PyErr>> = Mutex::new(None);
        let interrupted = || run::is_interrupted(&interrupt);
        let options = Options {
            workers: self.session.workers(&self.options),
            run: self.run.clone(),
            interrupted: &interrupted,
            listener: Arc::new(|_: &Event| {}),
        };
        let mut schedule = Schedule::new(Arc::clone(&self.session.cache), graph.nodes, options);
        let rows = self.rows(py, &mut schedule, &edges, weigh);
        if schedule.is_stopped() {
            run::stop(py, &self.running);
        }
        if observe::is_in_body(py) {
            observe::absorb(py, || schedule.parts(), &schedule.observed(), schedule.expires_at());
        }
        self.tell(&schedule);
        drop(schedule);
        let ended = interrupt.into_inner().or_else(|| self.running.take_end());
        ended.map_or(rows, Err)
    }

    /// Keeps what was done, behind what was done before.
    fn tell(&self, schedule: &Schedule<'_>) {
        let mut told = self.told.lock();
        let before = told.iter().map(|node| node.number + 1).max().unwrap_or_default();
        told.extend(schedule.history().into_iter().map(|node| {
            Node {
                number: node.number + before,
                upstream: node.upstream.iter().map(|from| from + before).collect(),
                takes: node
                    .takes
                    .into_iter()
                    .map(|(name, from)| (name, from.iter().map(|from| from + before).collect()))
                    .collect(),
                parent: node.parent.map(|parent| parent + before),
                ..node
            }
        }));
    }

    /// Settles all calls. A value found lost is computed again.
    fn rows<'py>(
        &self,
        py: Python<'py>,
        schedule: &mut Schedule<'_>,
        edges: &[Edge],
        weigh: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Vec<Row<'py>>> {
        let demanded: Vec<_> = edges.iter().filter_map(Edge::node).collect();
        'settled: loop {
            py.detach(|| schedule.settle(&demanded));
            if schedule.is_stopped() {
                return Err(PyKeyboardInterrupt::new_err(()));
            }
            let work = work_of(schedule);
            let mut rows = Vec::with_capacity(edges.len());
            for (edge, number) in edges.iter().zip(&demanded) {
                match self.row(py, schedule, (edge, *number), &work[*number], weigh) {
                    Err(error) if error.is_instance_of::<Lost>(py) => {
                        let (loss, text) = (loss(py, &error), secret::message(py, &error));
                        py.detach(|| schedule.reopen(*number, loss, &text));
                        continue 'settled;
                    }
                    row => rows.push(row?),
                }
            }
            return Ok(rows);
        }
    }

    fn row<'py>(
        &self,
        py: Python<'py>,
        schedule: &Schedule<'_>,
        (edge, number): (&Edge, usize),
        work: &Worked,
        weigh: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Row<'py>> {
        let (spent, saved) = (work.spent.as_secs_f64(), work.saved.as_secs_f64());
        let Some(taken) = schedule.take(edge) else {
            let has_begun =
                !matches!(schedule.settled(number), None | Some(Err(Problem::NotStarted(_))));
            let status = if has_begun { "failed" } else { "not-run" };
            let raised = run::failure(py, schedule, &[number]);
            let raised = raised.map(|error| error.into_value(py).into_bound(py).into_any());
            return Ok((status, spent, saved, None, None, raised));
        };
        let metric = match weigh {
            Some(weigh) => {
                let value = load::taken(py, &self.session, &taken)?;
                weigh.call1((value,))?.extract()?
            }
            None => None,
        };
        let status = work.status(schedule.outcome(number).as_ref());
        let kept = Kept { taken, session: Arc::clone(&self.session) };
        Ok((status, spent, saved, Some(Bound::new(py, kept)?), metric, None))
    }
}

/// What was done for an operation and all that it became.
#[derive(Clone, Copy, Default)]
struct Worked {
    spent: Duration,
    saved: Duration,
    ran: bool,
    waited: bool,
}

impl Worked {
    fn status(&self, outcome: Option<&Outcome>) -> &'static str {
        match outcome {
            Some(Outcome::Waited) => "waited",
            Some(outcome) if outcome.is_hit() => "hit",
            _ if self.ran => "computed",
            // A workflow of which everything was known.
            _ if self.waited => "waited",
            _ => "hit",
        }
    }
}

fn work_of(schedule: &Schedule<'_>) -> Vec<Worked> {
    let mut all = vec![Worked::default(); schedule.len()];
    // What an operation became stands behind it.
    for number in (0..schedule.len()).rev() {
        let outcome = schedule.outcome(number);
        let own = &mut all[number];
        match &outcome {
            Some(Outcome::Waited) => own.waited = true,
            // A workflow itself does nothing but call others.
            Some(_) if is_workflow(schedule, number) => {}
            Some(outcome) if outcome.ran() || matches!(outcome, Outcome::Failed(_)) => {
                own.ran = true;
                own.spent += schedule.spent(number);
            }
            _ => {}
        }
        let settled = schedule.settled(number).and_then(|settled| settled.as_ref().ok());
        own.saved += settled.map(|settled| settled.saved()).unwrap_or_default();
        let own = *own;
        if let Some(parent) = schedule.parent(number) {
            let parent = &mut all[parent];
            parent.spent += own.spent;
            parent.saved += own.saved;
            parent.ran |= own.ran;
            parent.waited |= own.waited;
        }
    }
    all
}

fn is_workflow(schedule: &Schedule<'_>, number: usize) -> bool {
    let body: &dyn Any = &*schedule.node(number).body;
    let call = body.downcast_ref::<CallBody>();
    call.is_some_and(|body| Python::attach(|py| body.call.task.bind(py).get().is_workflow))
}

/// Adds the classes of sweeps.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<super::search::Search>()?;
    module.add_class::<Trials>()?;
    module.add_class::<Kept>()
}
