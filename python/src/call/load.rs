//! From the outputs of operations to Python values.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyList, PyString, PyTuple};
use thrifty_engine::Gathered;
use thrifty_engine::graph::{Failure, Taken, Value};
use thrifty_engine::record::{Buffer, Draft, Object, Record, Shape, Source, Step};
use thrifty_pipeline::Handed;

use super::error::{Garbled, Lost, loss};
use super::secret;
use super::session::Session;
use crate::value::codec::{self, Shelf, Unreadable};

/// The value of a record, nobody else's.
///
/// # Errors
///
/// [`Lost`] if its bytes are in the cache no longer or damaged, or make no sense here.
pub fn record<'py>(
    py: Python<'py>,
    session: &Session,
    record: &Record,
) -> PyResult<Bound<'py, PyAny>> {
    let cache = &session.cache;
    let open = |name: &_| {
        py.detach(|| cache.blobs().open(name)).map_err(|error| Lost::new_err(error.to_string()))
    };
    let hold = |digest: &_| session.hold(digest);
    let shelf = Shelf { blobs: cache.blobs().as_ref(), files: &session.files, hold: &hold };
    codec::load(py, record, &open, &shelf).map_err(|error| {
        if error.is_instance_of::<Unreadable>(py) {
            Garbled::new_err(error.to_string())
        } else {
            error
        }
    })
}

/// What an edge leads to.
///
/// # Errors
///
/// [`Lost`], as [`record`]; what the subscripts raise.
pub fn taken<'py>(
    py: Python<'py>,
    session: &Session,
    taken: &Taken,
) -> PyResult<Bound<'py, PyAny>> {
    match &taken.value {
        Value::Known(answer) => match answer.record.select(&taken.steps) {
            Some(part) => record(py, session, &part),
            None => subscript(session, record(py, session, &answer.record)?, &taken.steps),
        },
        Value::Live { object, .. } => {
            if let Some(object) = object.downcast_ref::<Py<PyAny>>() {
                subscript(session, own(object.bind(py))?, &taken.steps)
            } else if let Some(handed) = thrifty_pipeline::handed(taken) {
                self::handed(py, session, handed)
            } else if let Some(gathered) = object.downcast_ref::<Gathered>() {
                within(py, session, &gathered.output, &gathered.taken, &taken.steps)
            } else {
                Err(Lost::new_err("the value is not one of Python"))
            }
        }
    }
}

/// What a command of an operation file has just given.
fn handed<'py>(py: Python<'py>, session: &Session, handed: Handed) -> PyResult<Bound<'py, PyAny>> {
    match handed {
        Handed::Value(encoding) => record(py, session, &Record::Plain(encoding)),
        Handed::Path(path) => {
            let module = py.import(intern!(py, "thrifty._operation_file"))?;
            module.call_method1(intern!(py, "on_disk"), (path,))
        }
    }
}

/// A copy of a live value, so that consumers cannot see each other's changes. What cannot be
/// copied is handed over as it is.
///
/// # Errors
///
/// What ends the program.
pub fn own<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    // By this mark a mapping of parameters knows that it is handed to a body: it stays one.
    let memo = [(intern!(py, "thrifty"), true)].into_py_dict(py)?;
    let copied =
        py.import(intern!(py, "copy"))?.call_method1(intern!(py, "deepcopy"), (object, memo));
    match copied {
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
            Ok(object.clone())
        }
        copied => copied,
    }
}

fn subscript<'py>(
    session: &Session,
    mut value: Bound<'py, PyAny>,
    steps: &[Step],
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    for step in steps {
        let key = record(py, session, &Record::Plain(step.0.clone()))?;
        value = match (value.get_item(&key), key.cast::<PyString>()) {
            // The fields of a data class are entries, too.
            (Err(_), Ok(name)) if value.hasattr(intern!(py, "__dataclass_fields__"))? => {
                value.getattr(name)?
            }
            (found, _) => found?,
        };
    }
    Ok(value)
}

/// A part of a value with edges: no other part of it is loaded.
fn within<'py>(
    py: Python<'py>,
    session: &Session,
    output: &Draft,
    edges: &[Taken],
    steps: &[Step],
) -> PyResult<Bound<'py, PyAny>> {
    if let Some((step, rest)) = steps.split_first()
        && let Some(part) = output.part(step)
    {
        return within(py, session, part, edges, rest);
    }
    match output {
        Draft::Edge(number) => {
            let edge = usize::try_from(*number).ok().and_then(|number| edges.get(number));
            let edge =
                edge.ok_or_else(|| Lost::new_err("an edge of the value leads to nothing"))?;
            let steps = edge.steps.iter().chain(steps).cloned().collect();
            taken(py, session, &Taken { value: edge.value.clone(), steps })
        }
        output => subscript(session, draft(py, session, output, edges)?, steps),
    }
}

fn draft<'py>(
    py: Python<'py>,
    session: &Session,
    output: &Draft,
    edges: &[Taken],
) -> PyResult<Bound<'py, PyAny>> {
    match output {
        Draft::Plain(encoding) => record(py, session, &Record::Plain(encoding.clone())),
        Draft::Stored(stored) => record(py, session, stored),
        Draft::Hashed { value, .. } | Draft::Annotated { value, .. } => {
            draft(py, session, value, edges)
        }
        Draft::Edge(number) => match usize::try_from(*number).ok().and_then(|n| edges.get(n)) {
            Some(edge) => taken(py, session, edge),
            None => Err(Lost::new_err("an edge of the value leads to nothing")),
        },
        Draft::Object { codec, digest, classes, header, buffers } => {
            let buffers: PyResult<_> = buffers.iter().map(inline).collect();
            let object = Object {
                codec: codec.clone(),
                digest: *digest,
                classes: classes.clone(),
                header: header.clone(),
                buffers: buffers?,
            };
            record(py, session, &Record::Object(object))
        }
        Draft::Composite { container, parts } => {
            let parts: PyResult<Vec<_>> =
                parts.iter().map(|part| draft(py, session, part, edges)).collect();
            composite(py, session, container, parts?)
        }
    }
}

fn inline(source: &Source) -> PyResult<Buffer> {
    Ok(Buffer::Inline(match source {
        Source::Memory(bytes) => (**bytes).as_ref().to_vec(),
        Source::File { path, .. } => std::fs::read(path)?,
    }))
}

fn composite<'py>(
    py: Python<'py>,
    session: &Session,
    container: &Shape,
    parts: Vec<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match container {
        Shape::Tuple => PyTuple::new(py, parts)?.into_any(),
        Shape::List => PyList::new(py, parts)?.into_any(),
        Shape::Dict(keys) => {
            let dict = PyDict::new(py);
            for (key, part) in keys.iter().zip(parts) {
                dict.set_item(record(py, session, &Record::Plain(key.to_vec()))?, part)?;
            }
            dict.into_any()
        }
    })
}

/// The failure that an exception of a body or of loading its inputs is.
pub fn failure(py: Python<'_>, error: PyErr, edge: Option<usize>) -> Failure {
    if let (Some(edge), true) = (edge, error.is_instance_of::<Lost>(py)) {
        let (loss, reason) = (loss(py, &error), secret::message(py, &error));
        return Failure::Lost { edge, loss, reason };
    }
    let class = error
        .get_type(py)
        .qualname()
        .map_or_else(|_| "error".to_owned(), |name| name.to_string_lossy().into_owned());
    let text = secret::message(py, &error);
    let line = text.lines().next().unwrap_or_default();
    let message = if line.is_empty() { class } else { format!("{class}: {line}") };
    Failure::raised(message, Arc::new(error))
}

/// Stands for a value that another process made: it is loaded from its record.
pub struct Elsewhere;
