//! Checks: operations that hit, executed again in clean processes and compared.
//!
//! What hits is found as for a run, or by a look at the graph that computes nothing. The
//! processes, the comparison and the verdict are those of `thrifty._checking`.

use std::any::Any;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use glob::Pattern;
use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};
use thrifty_engine::answer::Answer;
use thrifty_engine::catalog::{EntryId, Node, Origin, RunId, Selector};
use thrifty_engine::check::{Checked, Verdict};
use thrifty_engine::environment::Environment;
use thrifty_engine::event::{Event, Listener};
use thrifty_engine::graph::{Edge, Failure, Taken, Value};
use thrifty_engine::record::Record;
use thrifty_engine::schedule::{Options, Problem};
use thrifty_engine::{Choices, Mode, Outcome, Policy, Schedule, did_you_mean};
use thrifty_key::Key;

use super::body::{self, CallBody, Running};
use super::clean;
use super::context::{Chosen, RunOptions, matches};
use super::graph::Graph;
use super::handle::{Call, Handle};
use super::options::policy;
use super::places;
use super::processes::{self, Packed};
use super::run::{self, UnderWay};
use super::secret;
use super::seed;
use super::session::{self, Session};
use super::task::Task;
use super::turn;

/// What was found, and of how much.
pub struct Report {
    /// What was executed again: the objects that Python shows.
    pub objects: Vec<Py<PyAny>>,
    /// The same, for the rest of the program.
    pub checked: Vec<Checked>,
    /// How many operations could have been.
    pub stored: usize,
    /// How many have no stored result, or are behind one that has none.
    pub unknown: usize,
}

/// A check that gave no report.
pub enum Refused {
    /// What was asked for makes no sense.
    Usage(String),
    /// Something raised.
    Raised(PyErr),
}

impl From<PyErr> for Refused {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl From<Refused> for PyErr {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Usage(message) => PyValueError::new_err(message),
            Refused::Raised(error) => error,
        }
    }
}

/// An operation of which a result is stored.
struct Stored {
    number: usize,
    call: Arc<Call>,
    session: Arc<Session>,
    key: Key,
    /// The entry and its answer; `None` where nothing is stored after all.
    entry: Option<(EntryId, Arc<Answer>)>,
    inputs: Vec<Taken>,
}

/// What was found without executing anything.
struct Looked {
    /// What may be checked.
    operations: Vec<Stored>,
    /// How many of all operations have a stored result.
    stored: usize,
    /// How many have none, or are behind one that has none.
    unknown: usize,
}

/// The cause of a failure that only says that nothing was computed.
struct NotStored;

/// What a body gives that is not to run.
pub fn not_stored() -> Failure {
    Failure::raised("no result of it is stored".to_owned(), Arc::new(NotStored))
}

/// How a call uses the cache while it is only looked up what there is. What is not cached by
/// its definition runs; a unit is looked into for operations in it that are meant.
pub fn policy_of_look(call: &Call, is_workflow: bool, names: &[Pattern]) -> Policy {
    let choices = Choices { operation_at_run_time: None, run: None, project: None, ..call.choices };
    let mut policy = policy(choices, &call.options, &call.run);
    let is_passed_by = is_workflow && !names.is_empty() && !is_named(names, call.operation.name());
    policy.serialize = false;
    policy.mode = match policy.mode {
        Mode::Off => Mode::Off,
        _ if is_passed_by => Mode::Off,
        Mode::On | Mode::Refresh | Mode::ReadOnly => Mode::ReadOnly,
    };
    policy
}

fn is_named(names: &[Pattern], operation: &str) -> bool {
    names.iter().any(|name| matches(name, operation))
}

/// Looks up what a call needs, and checks what is chosen of it.
///
/// # Errors
///
/// [`Refused`] for names that mean nothing; what kept it from beginning; what an operation
/// raised that is not cached; an interrupt.
pub fn check(
    slf: &Bound<'_, Task>,
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    options: RunOptions,
    listener: &Listener,
) -> Result<Report, Refused> {
    clean::refuse_check()?;
    let py = slf.py();
    let chosen = options.check.clone().unwrap_or(Chosen::Share(1.0));
    if matches!(chosen, Chosen::Share(share) if share <= 0.0) {
        let message = "this is a check of nothing: give a share above 0, or names";
        return Err(Refused::Usage(message.to_owned()));
    }
    let names = match &chosen {
        Chosen::Named(names) => names.as_slice(),
        Chosen::Share(_) => &[],
    };
    let options = Arc::new(RunOptions { look: Some(names.into()), ..options });
    let value = run::built(slf, args, kwargs, &options)?;
    let session = Session::current(py)?;
    let mut looked = turn::paused(py, || look(py, &session, &value, &options))?;
    match &chosen {
        Chosen::Named(names) => name(&mut looked.operations, names)?,
        Chosen::Share(_) => looked.operations.retain(|it| it.entry.is_some()),
    }
    Ok(carry_out(py, looked, &chosen, 1, session.workers(&options), listener)?)
}

/// Checks what is chosen of the operations of a run that hit.
///
/// # Errors
///
/// An interrupt, and what keeps Python from starting.
pub fn beside(
    py: Python<'_>,
    schedule: &Schedule<'_>,
    session: &Arc<Session>,
    options: &RunOptions,
    listener: &Listener,
) -> PyResult<Option<Report>> {
    let Some(chosen) = options.check.as_ref().filter(|_| !clean::is_clean()) else {
        return Ok(None);
    };
    let mut operations: Vec<_> = all(schedule).filter(|it| it.entry.is_some()).collect();
    let stored = operations.len();
    if let Chosen::Named(names) = chosen {
        operations.retain(|it| is_named(names, it.call.operation.name()));
    }
    let looked = Looked { operations, stored, unknown: 0 };
    match carry_out(py, looked, chosen, 0, session.workers(options), listener) {
        // The run has its value: trouble with the check is no trouble with that.
        Err(error) if error.is_instance_of::<PyException>(py) => {
            session::warn(py, &format!("nothing was checked: {error}"))?;
            Ok(None)
        }
        carried_out => carried_out.map(Some),
    }
}

/// The operations that a value needs, as far as what is stored leads.
fn look(
    py: Python<'_>,
    session: &Arc<Session>,
    value: &Bound<'_, PyAny>,
    options: &Arc<RunOptions>,
) -> PyResult<Looked> {
    let running = Arc::new(Running::default());
    let _under_way = UnderWay::begin(&running);
    let mut handles: Vec<Py<Handle>> = Vec::new();
    places::visit(value, &mut |handle| handles.push(handle.clone().unbind()))?;
    let graph = Graph::of(py, handles.iter().map(Py::get), session, &running, 0)?;
    let edges: PyResult<Vec<_>> = handles.iter().map(|it| graph.edge(py, it.get())).collect();
    let demanded: Vec<_> = edges?.iter().filter_map(Edge::node).collect();
    let interrupt: Mutex<Option<PyErr>> = Mutex::new(None);
    let interrupted = || run::is_interrupted(&interrupt);
    let mut schedule = Schedule::new(
        Arc::clone(&session.cache),
        graph.nodes,
        Options {
            workers: session.workers(options),
            run: None,
            interrupted: &interrupted,
            listener: Arc::new(|_: &Event| {}),
        },
    );
    py.detach(|| schedule.settle(&demanded));
    if schedule.is_stopped() {
        run::stop(py, &running);
        let error = interrupt.lock().take().or_else(|| running.take_end());
        return Err(error.unwrap_or_else(|| PyKeyboardInterrupt::new_err(())));
    }
    let mut unknown = 0;
    for number in 0..schedule.len() {
        match schedule.settled(number) {
            Some(Err(Problem::Failed(failure))) if !is_not_stored(failure) => {
                return Err(body::raise(py, failure));
            }
            Some(Err(_)) => unknown += 1,
            Some(Ok(_)) | None => {}
        }
    }
    let operations: Vec<_> = all(&schedule).collect();
    let stored = operations.iter().filter(|it| it.entry.is_some()).count();
    Ok(Looked { operations, stored, unknown })
}

fn is_not_stored(failure: &Failure) -> bool {
    matches!(failure, Failure::Raised { cause, .. } if cause.is::<NotStored>())
}

/// The operations that hit, each entry once, and those of which nothing is stored.
fn all<'a>(schedule: &'a Schedule<'_>) -> impl Iterator<Item = Stored> + 'a {
    let mut seen = HashSet::new();
    (0..schedule.len()).filter_map(move |number| {
        let entry = match schedule.settled(number)? {
            Ok(settled) => match (&settled.outcome, &settled.value) {
                (Outcome::HitMemory | Outcome::HitLocal, Value::Known(answer)) => {
                    Some((answer.entry?, Arc::clone(answer)))
                }
                _ => return None,
            },
            Err(Problem::Failed(failure)) if is_not_stored(failure) => None,
            Err(_) => return None,
        };
        let node = schedule.node(number);
        let body: &dyn Any = &*node.body;
        let CallBody { call, session, .. } = body.downcast_ref::<CallBody>()?;
        let key = schedule.key(number)?;
        let inputs: Option<Vec<_>> = node.edges.iter().map(|edge| schedule.take(edge)).collect();
        let (call, session, inputs) = (Arc::clone(call), Arc::clone(session), inputs?);
        seen.insert(key).then_some(Stored { number, call, session, key, entry, inputs })
    })
}

/// Leaves those that are named. A name that means none is a mistake.
fn name(operations: &mut Vec<Stored>, names: &[Pattern]) -> Result<(), Refused> {
    for name in names {
        let is_meant = |it: &Stored| matches(name, it.call.operation.name());
        if !operations.iter().any(is_meant) {
            let known: Vec<_> = operations.iter().map(|it| it.call.operation.name()).collect();
            let last = known.iter().map(|name| name.rsplit('.').next().unwrap_or(name));
            let hint = did_you_mean(name.as_str(), last);
            let message = format!("no operation that could be looked up is named `{name}`; {hint}");
            return Err(Refused::Usage(message));
        }
    }
    operations.retain(|it| is_named(names, it.call.operation.name()));
    Ok(())
}

/// Executes again what is drawn, and tells each verdict as it comes.
fn carry_out(
    py: Python<'_>,
    looked: Looked,
    chosen: &Chosen,
    at_least: usize,
    workers: usize,
    listener: &Listener,
) -> PyResult<Report> {
    let checking = py.import(intern!(py, "thrifty._checking"))?;
    let Looked { operations, stored, unknown } = looked;
    let count = operations.len();
    let drawn: Vec<usize> = match chosen {
        Chosen::Share(share) => {
            checking.call_method1("drawn", (count, *share, at_least))?.extract()?
        }
        Chosen::Named(_) => (0..count).collect(),
    };
    listener(&Event::Checking { operations: drawn.len() });
    let jobs: PyResult<Vec<_>> = drawn.iter().map(|index| operations[*index].job(py)).collect();
    let mut found: Vec<_> = drawn.iter().map(|_| None).collect();
    for judged in checking.call_method1("judged", (jobs?, workers))?.try_iter()? {
        let (index, object): (usize, Bound<'_, PyAny>) = judged?.extract()?;
        let checked = read(&object)?;
        listener(&Event::Checked(checked.clone()));
        found[index] = Some((object.unbind(), checked));
    }
    let (objects, checked) = found.into_iter().flatten().unzip();
    Ok(Report { objects, checked, stored, unknown })
}

/// A verdict of Python.
fn read(object: &Bound<'_, PyAny>) -> PyResult<Checked> {
    let text = |name: &str| object.getattr(name)?.extract::<String>();
    let word = text("verdict")?;
    let seconds: f64 = object.getattr("seconds")?.extract()?;
    Ok(Checked {
        number: object.getattr("number")?.extract()?,
        operation: text("operation")?,
        key: text("key")?.parse().ok(),
        verdict: Verdict::from_word(&word)
            .ok_or_else(|| PyRuntimeError::new_err(format!("no verdict is called {word}")))?,
        differences: object.getattr("differences")?.extract()?,
        reads: object.getattr("reads")?.extract()?,
        causes: object.getattr("causes")?.extract()?,
        reason: text("reason")?,
        spent: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
    })
}

impl Stored {
    /// What `thrifty._checking` needs of it.
    fn job<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let slf = self.call.task.bind(py);
        let job = PyDict::new(py);
        job.set_item("number", self.number)?;
        job.set_item("operation", slf.get().name())?;
        job.set_item("key", self.key.to_string())?;
        match self.fill(py, &job) {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                job.set_item("unusable", secret::message(py, &error))?;
            }
            filled => filled?,
        }
        Ok(job)
    }

    fn fill(&self, py: Python<'_>, job: &Bound<'_, PyDict>) -> PyResult<()> {
        let slf = self.call.task.bind(py);
        let task = slf.get();
        let Some((entry, answer)) = &self.entry else {
            return job.set_item("unusable", "no result of it is stored");
        };
        if !self.session.is_shared() {
            let reason = "the cache is in memory, where a clean process cannot reach it";
            return job.set_item("unusable", reason);
        }
        let body = CallBody {
            call: Arc::clone(&self.call),
            session: Arc::clone(&self.session),
            running: Arc::default(),
        };
        body.check_unchanged(slf)?;
        let mut edge = None;
        // A workflow is built there, and fills its parameters itself.
        let stream = body.stream(&self.inputs).filter(|_| !task.is_workflow);
        let packed =
            processes::packed(py, &self.session, &self.call, &self.inputs, stream, &mut edge)?;
        let Packed { args, kwargs, stream } = packed;
        job.set_item("task", seed::stated(slf, self.call.run.seeding)?)?;
        job.set_item("stream", stream.map(|stream| PyBytes::new(py, stream.as_bytes())))?;
        job.set_item("args", args)?;
        job.set_item("kwargs", kwargs)?;
        job.set_item("record", PyBytes::new(py, &answer.record.to_bytes()))?;
        job.set_item("digest", answer.digest().to_string())?;
        let hooked = task.hooks(py)?.result.method.is_some();
        job.set_item("hashes_parts", hashes_parts(&answer.record, hooked))?;
        job.set_item("is_secret", task.has_secrets(py)?)?;
        job.set_item("blind", PyList::new(py, task.definition().blind_spots())?)?;
        let reads = answer.observed.iter().map(|it| it.what.to_string());
        job.set_item("reads", reads.collect::<Vec<_>>())?;
        let (host, user) = self.session.cache.who();
        job.set_item("here", (host, user))?;
        let (origin, environment) = self.origin(py, *entry);
        job.set_item("there", (origin.host, origin.user))?;
        job.set_item("environment", environment)
    }

    /// Who computed what is stored, and in which environment.
    fn origin(&self, py: Python<'_>, entry: EntryId) -> (Origin, Environment) {
        let cache = &self.session.cache;
        py.detach(|| {
            let selector = Selector { ids: Some(vec![entry]), ..Selector::default() };
            let found = cache.catalog().entries(Some(cache.scope()), &selector, 1);
            let origin = found.ok().and_then(|mut found| found.pop()).map(|entry| entry.origin);
            let origin = origin.unwrap_or_default();
            let environment = origin.run.as_ref().and_then(|run| cache.environment_of(run));
            (origin, environment.unwrap_or_default())
        })
    }
}

/// Whether parts of a value were hashed as the annotation of another operation says: of what is
/// computed again, nobody knows how to hash them.
fn hashes_parts(record: &Record, is_hooked: bool) -> bool {
    match record {
        Record::Plain(_) | Record::Object(_) => false,
        Record::Hashed { value, .. } => !is_hooked || hashes_parts(value, false),
        Record::Annotated { value, .. } => hashes_parts(value, is_hooked),
        Record::Composite { parts, .. } => parts.iter().any(|part| hashes_parts(part, false)),
    }
}

/// Keeps the environment of a run in which something was computed, for checks to come.
pub fn remember_environment(py: Python<'_>, session: &Session, run: &RunId) {
    let facts = || -> PyResult<Environment> {
        py.import(intern!(py, "thrifty._environment"))?.call_method0("facts")?.extract()
    };
    if let Ok(environment) = facts() {
        py.detach(|| session.cache.remember_environment(run, &environment));
    }
}

/// Puts what was found into the history of a run.
pub fn note(nodes: &mut [Node], checked: &[Checked]) {
    for checked in checked {
        if let Some(node) = nodes.iter_mut().find(|node| node.number == checked.number) {
            node.detail = checked.line();
        }
    }
}

/// Warns of each entry in doubt.
pub fn warn_of(py: Python<'_>, checked: &[Checked]) -> PyResult<()> {
    let mut findings = checked.iter().filter(|checked| checked.verdict.is_finding());
    findings.try_for_each(|it| session::warn(py, &format!("{}, {}", it.operation, it.line())))
}

/// Checks a call: what was executed again, how many results of it are stored, how many not.
#[pyfunction]
#[pyo3(name = "check")]
fn check_call(
    slf: &Bound<'_, Task>,
    args: &Bound<'_, PyTuple>,
    kwargs: &Bound<'_, PyDict>,
) -> PyResult<(Vec<Py<PyAny>>, usize, usize)> {
    let options = RunOptions::clone(&*slf.get().run_options(slf.py(), &RunOptions::default())?);
    let report = check(slf, args, Some(kwargs), options, &|_: &Event| {}).map_err(PyErr::from)?;
    Ok((report.objects, report.stored, report.unknown))
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(check_call, module)?)
}
