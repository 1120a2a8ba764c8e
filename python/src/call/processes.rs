//! Bodies in other processes.
//!
//! A worker is told which task to call, which records its arguments have, and where the cache
//! is. It loads the arguments, calls the function, writes the large parts of the result to the
//! store, and returns a record: values never travel between the processes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::Arc;

use glob::Pattern;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use thrifty_engine::answer::Terms;
use thrifty_engine::catalog::{EntryId, MadeOf, Part, Time};
use thrifty_engine::epochs;
use thrifty_engine::graph::{Failure, Made, Taken, Unstored, Value};
use thrifty_engine::key::Key;
use thrifty_engine::made_of::Parts;
use thrifty_engine::observed;
use thrifty_engine::record::{Draft, Record};
use thrifty_engine::{Mode, Reason, Stream};

use super::body;
use super::context::Frame;
use super::handle::{Call, Handle};
use super::load;
use super::options::policy;
use super::places;
use super::secret;
use super::seed;
use super::session::Session;
use super::task::Task;
use crate::observe::{self, Gathered, Note};

/// Under which name the stream of a call is sent.
const STREAM: &str = "stream";
/// Under which name the paths of the files that the body is given are sent.
const GIVEN: &str = "given";

/// Runs a call in a worker process.
pub fn run(
    py: Python<'_>,
    session: &Arc<Session>,
    call: &Arc<Call>,
    inputs: &[Taken],
    stream: Option<Stream>,
) -> Result<Made, Failure> {
    let mut edge = None;
    let sent = send(py, session, call, inputs, stream, &mut edge);
    let failed = |error| load::failure(py, error, edge);
    let (record, gathered) = match sent {
        Ok(Ok(sent)) => sent,
        Ok(Err(Raised { error, terms })) => return Err(failed(error).on(terms)),
        Err(error) => return Err(failed(error).on(unknown())),
    };
    let gathered = call.on_disk.check(py, gathered);
    let mode = policy(call.choices, &call.options, &call.run).mode;
    observe::tell(py, &session.cache, &call.operation, mode, &gathered.notes);
    // What is not going to be stored has to be here.
    let object: Arc<dyn std::any::Any + Send + Sync> = match &gathered.problem {
        None => Arc::new(load::Elsewhere),
        Some(_) => Arc::new(load::record(py, session, &record).map_err(failed)?.unbind()),
    };
    Ok(gathered.onto(Made::new(object, Draft::Stored(record))))
}

/// What a worker gives: the record of a result and words for what was noted, or nothing; what the
/// body read; what it raised.
type Sent<'py> = (Option<(Bound<'py, PyBytes>, Words)>, SentRead<'py>, Option<Py<PyAny>>);
type Words = Vec<&'static str>;

/// What was observed, what it was made of, when that expires, and why a result must not be stored, in
/// one word and for people.
type SentRead<'py> = (Bound<'py, PyBytes>, SentParts, Option<Time>, Option<(&'static str, String)>);

/// As it arrives. Of a body whose process died nobody knows what it read.
type Arrived<'py> =
    (Option<(Vec<u8>, Vec<String>)>, Option<ArrivedRead>, Option<Bound<'py, PyAny>>);
type ArrivedRead = (Vec<u8>, SentParts, Option<Time>, Option<(String, String)>);

/// What it was made of: all, those that vouch for it, and whether nobody knows of what else.
type SentParts = (Vec<u8>, Vec<SentPart>, bool);

/// The operation, its key, the number of its entry, after which epoch it was taken if that was before
/// the body, and the ticket with which the body itself replaced it.
type SentPart = (String, Option<[u8; 32]>, Option<i64>, Option<i64>, Option<i64>);

fn sent_parts(made_of: &Parts) -> SentParts {
    let taken = made_of.taken().map(|Part { operation, key, entry, since, own_ticket }| {
        let key = key.map(|key| *key.as_bytes());
        (operation, key, entry.map(|it| it.0), since.map(epochs::known), own_ticket)
    });
    (made_of.all.to_bytes(), taken.collect(), made_of.is_unknown())
}

fn parts_of((all, taken, is_unknown): SentParts) -> Result<Parts, &'static str> {
    let taken = taken.into_iter().map(|(operation, key, entry, since, own_ticket)| Part {
        operation,
        key: key.map(Key::from_bytes),
        entry: entry.map(EntryId),
        since,
        own_ticket,
    });
    let all = MadeOf::from_bytes(&all).ok_or("what it was made of cannot be read")?;
    Ok(Parts::of(all, taken, is_unknown))
}

fn send(
    py: Python<'_>,
    session: &Arc<Session>,
    call: &Arc<Call>,
    inputs: &[Taken],
    stream: Option<Stream>,
    edge: &mut Option<usize>,
) -> PyResult<Result<(Record, Gathered), Raised>> {
    let Packed { args, kwargs, stream } = packed(py, session, call, inputs, stream, edge)?;
    let submit = py.import(intern!(py, "thrifty._processes"))?.getattr(intern!(py, "submit"))?;
    let around = (origin_of(session), around(py)?);
    let workers = session.workers(&call.run);
    let slf = call.task.bind(py);
    let chosen = chosen(py, call, stream)?;
    let mode = policy(call.choices, &call.options, &call.run).mode;
    let sent = submit.call1((slf, args, kwargs, around, workers, chosen, mode.word()))?;
    let (kept, read, raised): Arrived<'_> = sent.extract()?;
    let read = read.map(read_there).transpose()?;
    if let Some(error) = raised {
        let terms = read.map_or_else(unknown, Gathered::into_terms);
        return Ok(Err(Raised { error: PyErr::from_value(error), terms }));
    }
    let (Some((record, notes)), Some(gathered)) = (kept, read) else {
        return Err(damaged(&"a worker gave no result"));
    };
    let record = Record::from_bytes(&record).map_err(|error| damaged(&error))?;
    let notes = notes.iter().filter_map(|word| Note::from_word(word)).collect();
    Ok(Ok((record, Gathered { notes, ..gathered })))
}

/// What a body raised in a worker, and what that depends on.
struct Raised {
    error: PyErr,
    terms: Terms,
}

/// Of a worker that did not come to say what it had taken, such as one that died.
fn unknown() -> Terms {
    Terms { made_of: Arc::new(Parts::unknown()), ..Terms::default() }
}

fn damaged(error: &dyn std::fmt::Display) -> PyErr {
    super::error::Lost::new_err(error.to_string())
}

/// What a body read in a worker.
fn read_there((observed, made_of, expires_at, problem): ArrivedRead) -> PyResult<Gathered> {
    let observed = observed::decode(&observed).map_err(|error| damaged(&error))?;
    let problem = problem.map(|(word, text)| Unstored {
        reason: Reason::from_word(&word).unwrap_or(Reason::Changed),
        text,
    });
    let made_of = parts_of(made_of).map_err(|error| damaged(&error))?;
    Ok(Gathered { observed, problem, expires_at, made_of, ..Gathered::default() })
}

/// The variables, the directory and the arguments of this process, as they are now.
fn around(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let module = py.import(intern!(py, "thrifty._worker"))?;
    observe::aside(|| module.call_method0(intern!(py, "surroundings")))
}

/// Where and with which variables a session was opened: a worker opens the same cache.
fn origin_of(session: &Session) -> (&OsStr, &[(OsString, OsString)]) {
    (session.origin.directory.as_os_str(), &session.origin.variables)
}

/// What another process needs of a call.
pub struct Packed<'py> {
    pub args: Bound<'py, PyTuple>,
    pub kwargs: Bound<'py, PyDict>,
    /// What the generators of that process are seeded with.
    pub stream: Option<Stream>,
}

/// The arguments of a call for another process, with references in the places of what is in the
/// cache. On an error, `edge` is the input that could not be had.
///
/// # Errors
///
/// [`super::error::Lost`] for such an input.
pub fn packed<'py>(
    py: Python<'py>,
    session: &Session,
    call: &Call,
    inputs: &[Taken],
    stream: Option<Stream>,
    edge: &mut Option<usize>,
) -> PyResult<Packed<'py>> {
    let by_reference =
        py.import(intern!(py, "thrifty._worker"))?.getattr(intern!(py, "Reference"))?;
    let mut with = |handle: &Bound<'_, Handle>| {
        let number = call.takes.iter().position(|taken| taken.get().is_same(handle.get()));
        *edge = number;
        let taken = &inputs[number.unwrap_or(0)];
        match &taken.value {
            Value::Known(answer) => match answer.record.select(&taken.steps) {
                Some(part) => by_reference.call1((PyBytes::new(py, &part.to_bytes()),)),
                None => load::taken(py, session, taken),
            },
            Value::Live { .. } => load::taken(py, session, taken),
        }
    };
    let arguments: PyResult<Vec<_>> = call
        .arguments
        .iter()
        .map(|it| it.as_ref().map(|it| places::substitute(it.bind(py), &mut with)).transpose())
        .collect();
    let (task, mut arguments) = (call.task.bind(py).get(), arguments?);
    let stream = seed::fill(py, task, &mut arguments, stream)?;
    let (args, kwargs) = task.parameters(py)?.unbind(py, &arguments)?;
    Ok(Packed { args, kwargs, stream })
}

/// What was chosen for the run, for the tasks that the body calls, and what it draws from.
fn chosen<'py>(
    py: Python<'py>,
    call: &Call,
    stream: Option<Stream>,
) -> PyResult<Bound<'py, PyDict>> {
    let run = &call.run;
    let chosen = PyDict::new(py);
    chosen.set_item("cache", run.mode.map(Mode::word))?;
    let refresh: Vec<_> = run.refresh.iter().map(Pattern::as_str).collect();
    chosen.set_item("refresh", refresh)?;
    chosen.set_item("now", run.now)?;
    chosen.set_item("serialize", run.serialize)?;
    chosen.set_item("seed", run.seeding.and_then(seed::given))?;
    chosen.set_item(STREAM, stream.map(|stream| PyBytes::new(py, stream.as_bytes())))?;
    chosen.set_item(GIVEN, call.on_disk.paths())?;
    Ok(chosen)
}

/// In a worker: the value behind a reference.
#[pyfunction]
fn dereference(py: Python<'_>, record: &[u8]) -> PyResult<Py<PyAny>> {
    let session = Session::current(py)?;
    let record = Record::from_bytes(record)
        .map_err(|error| super::error::Lost::new_err(error.to_string()))?;
    load::record(py, &session, &record).map(Bound::unbind)
}

/// In a worker: calls the function of a task and keeps its result in the store. What the function
/// raises is part of what is given: what it read counts for whoever goes on without a result.
#[pyfunction]
fn perform<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    chosen: &Bound<'py, PyDict>,
    mode: &str,
) -> PyResult<Sent<'py>> {
    let py = slf.py();
    let session = Session::current(py)?;
    let chosen = chosen.copy()?;
    let stream: Option<[u8; 32]> = chosen.call_method1("pop", (STREAM,))?.extract()?;
    let stream = stream.map(Stream::from_bytes);
    let given: Vec<PathBuf> = chosen.call_method1("pop", (GIVEN,))?.extract()?;
    let frame = Frame::Running(Arc::new(super::keywords::options(&chosen)?));
    let _under_way = secret::begin();
    if let Some(arguments) = slf.get().parameters(py)?.bind(args, Some(kwargs), true)? {
        slf.get().hide(py, &arguments)?;
    }
    let mode = Mode::from_word(mode).unwrap_or_default();
    let watch = body::watch(slf, &session, mode, given)?;
    let value = seed::call_with(slf, args, kwargs, frame, stream);
    let value = value.and_then(|value| body::returned(&value));
    let mut gathered = watch.end(py);
    let kept = value.and_then(|value| keep(slf, &session, &value, &mut gathered));
    let notes = gathered.notes.iter().map(|note| note.word()).collect();
    let read = sent_read(py, gathered);
    Ok(match kept {
        Ok(record) => (Some((record, notes)), read, None),
        Err(error) => (None, read, Some(error.into_value(py).into_any())),
    })
}

/// In a worker: the record of a result, whose bytes are in the store.
fn keep<'py>(
    slf: &Bound<'py, Task>,
    session: &Session,
    value: &Bound<'py, PyAny>,
    gathered: &mut Gathered,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = slf.py();
    let made = body::made(slf, value)?;
    let unstorable = |unstored: Unstored| crate::value::codec::NotStorable::new_err(unstored.text);
    let draft = gathered.measured(made.draft.map_err(unstorable)?);
    let record = py
        .detach(|| session.cache.keep(draft))
        .map_err(|error| pyo3::exceptions::PyOSError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &record.to_bytes()))
}

fn sent_read(py: Python<'_>, gathered: Gathered) -> SentRead<'_> {
    let Gathered { observed, problem, expires_at, made_of, .. } = gathered;
    let (observed, problem) = match observed::encode(&observed) {
        Ok(observed) => (observed, problem),
        // Without what was observed, its result would hold for ever.
        Err(change) => {
            let changed = Unstored { reason: Reason::Changed, text: change.to_string() };
            (Vec::new(), problem.or(Some(changed)))
        }
    };
    let problem = problem.map(|Unstored { reason, text }| (reason.word(), text));
    (PyBytes::new(py, &observed), sent_parts(&made_of), expires_at, problem)
}

/// In a worker: opens the session. What its bodies do not store is told by the program.
#[pyfunction]
fn open_session(py: Python<'_>) -> PyResult<()> {
    super::children::is_a_worker();
    Session::current(py).map(drop)
}

/// In a worker: how many results of lone calls were not stored since it was asked, by the reason.
#[pyfunction]
fn take_unstored(py: Python<'_>) -> PyResult<BTreeMap<&'static str, u64>> {
    Ok(Session::current(py)?.take_unstored())
}

/// Counts what a worker took.
#[pyfunction]
fn count_unstored(py: Python<'_>, counts: BTreeMap<String, u64>) -> PyResult<()> {
    let session = Session::current(py)?;
    for (word, count) in counts {
        Reason::from_word(&word).into_iter().for_each(|it| session.are_not_stored(it, count));
    }
    Ok(())
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(dereference, module)?)?;
    module.add_function(wrap_pyfunction!(perform, module)?)?;
    module.add_function(wrap_pyfunction!(open_session, module)?)?;
    module.add_function(wrap_pyfunction!(take_unstored, module)?)?;
    module.add_function(wrap_pyfunction!(count_unstored, module)?)
}
