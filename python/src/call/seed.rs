//! Seeds in Python: which seed is in force, what parameters it fills, what it makes of a body.

use pyo3::exceptions::{PyImportError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyTuple};
use thrifty_engine::graph::Input;
use thrifty_engine::{Seed, Seeding, Stream};
use thrifty_key::{Digest, Preview};

use super::context::{self, Frame, RunOptions};
use super::ending;
use super::error::{HandleError, UnhashableArgument};
use super::ingredients::{Around, describe};
use super::parameters::Arguments;
use super::task::Task;
use super::turn;

/// The generators that are seeded for a body, as `docs/formats/seed.md` names them.
const GLOBAL: [&str; 5] = ["random", "numpy", "torch", "tensorflow", "hash"];

/// Whether a seed is in force.
pub fn is_seeded(seeding: Option<Seeding>) -> bool {
    seeding.and_then(Seeding::seed).is_some()
}

impl Task {
    /// The seed of a run of this task.
    ///
    /// # Errors
    ///
    /// A configuration that makes no sense.
    pub fn seeding(&self, py: Python<'_>) -> PyResult<Option<Seeding>> {
        self.run_options(py, &RunOptions::default()).map(|options| options.seeding)
    }
}

/// What stands behind `seed=`: `None` is no seed.
///
/// # Errors
///
/// `ValueError` for a number that is no seed. What else may be given was checked before.
pub fn seeding(given: &Bound<'_, PyAny>) -> PyResult<Seeding> {
    if given.is_none() {
        return Ok(Seeding::Off);
    }
    let seed = given.extract::<u64>().ok().and_then(Seed::new).ok_or_else(|| {
        let largest = Seed::LARGEST;
        PyValueError::new_err(format!("a seed is a whole number from 0 to {largest}"))
    })?;
    Ok(Seeding::With(seed))
}

/// The seed in force, as [`seeding`] takes it.
pub fn given(seeding: Seeding) -> Option<u64> {
    seeding.seed().map(Seed::number)
}

/// The task, stating this seed itself: for another process, or before all else.
///
/// # Errors
///
/// What Python raised.
pub fn stated<'py>(slf: &Bound<'py, Task>, seeding: Option<Seeding>) -> PyResult<Bound<'py, Task>> {
    let Some(seeding) = seeding else {
        return Ok(slf.clone());
    };
    let keywords = PyDict::new(slf.py());
    keywords.set_item("seed", given(seeding))?;
    Ok(slf.call_method("with_options", (), Some(&keywords))?.cast_into::<Task>()?)
}

/// What is put into a parameter that the caller leaves to the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// A number.
    Number,
    /// A `numpy.random.Generator`.
    Generator,
    /// A `numpy.random.RandomState`.
    RandomState,
    /// A `random.Random`.
    Random,
}

impl Fill {
    /// Whether a parameter of this name may take something of a seed.
    pub fn may_be(name: &str) -> bool {
        matches!(name, "seed" | "rng")
    }

    /// What the parameter takes, by its name and annotation; `None` for one that takes nothing
    /// of the seed.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn of(name: &str, annotation: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Self>> {
        let declared = annotation.map_or_else(|| Ok(String::new()), describe)?;
        let words = declared.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '_');
        let words = words.map(|word| word.rsplit('.').next().unwrap_or(word));
        let blank = ["", "None", "NoneType", "Optional", "Union", "UnionType", "Any", "object"];
        let words: Vec<_> = words.filter(|word| !blank.contains(word)).collect();
        Ok(match (name, &words[..]) {
            ("seed", [] | ["int"]) => Some(Self::Number),
            ("rng", []) => Some(Self::Generator),
            ("rng", ["Generator"]) if !declared.contains("torch") => Some(Self::Generator),
            ("rng", ["RandomState"]) => Some(Self::RandomState),
            ("rng", ["Random"]) => Some(Self::Random),
            _ => None,
        })
    }

    /// Whether it is one of numpy's, whose numbers may change with its version.
    pub const fn is_of_numpy(self) -> bool {
        matches!(self, Self::Generator | Self::RandomState)
    }

    fn make<'py>(self, py: Python<'py>, stream: &Stream) -> PyResult<Bound<'py, PyAny>> {
        if self == Self::Number {
            return Ok(stream.number().into_pyobject(py)?.into_any());
        }
        let seed = integer(py, &stream.bytes("rng"))?;
        let seeds = py.import(intern!(py, "thrifty._seeds"))?;
        let name = match self {
            Self::Generator => "generator",
            Self::RandomState => "random_state",
            Self::Number | Self::Random => "random_of",
        };
        seeds.call_method1(name, (seed,))
    }
}

/// The bytes as one number, the least significant first.
fn integer<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new(py, bytes);
    py.get_type::<PyInt>().call_method1(intern!(py, "from_bytes"), (bytes, "little"))
}

/// Puts what the stream gives into the parameters that were left to it, and gives what the
/// generators of the process are seeded with. They are not if there is a generator among the
/// parameters: such a body draws from that one alone.
///
/// # Errors
///
/// `ImportError` if numpy is needed and not there.
pub fn fill<'py>(
    py: Python<'py>,
    task: &Task,
    arguments: &mut Arguments<'py>,
    stream: Option<Stream>,
) -> PyResult<Option<Stream>> {
    let Some(stream) = stream else {
        return Ok(None);
    };
    let mut has_generator = false;
    for (parameter, slot) in task.parameters(py)?.all.iter().zip(arguments) {
        let Some(fill) = parameter.fill.filter(|_| slot.is_none()) else {
            continue;
        };
        let made = fill.make(py, &stream).map_err(|error| {
            if !error.is_instance_of::<PyImportError>(py) {
                return error;
            }
            let text = format!(
                "the parameter rng of {} gets a generator of numpy, which cannot be imported: \
                 annotate it as `rng: random.Random`",
                task.name()
            );
            let wanted = PyImportError::new_err(text);
            wanted.set_cause(py, Some(error));
            wanted
        })?;
        *slot = Some(made);
        has_generator |= fill != Fill::Number;
    }
    Ok((!has_generator).then_some(stream))
}

/// What a call draws from, given its inputs and their digests. A secret is no part of it: its
/// digest is another one in each cache.
pub fn stream<'a>(
    seeding: Option<Seeding>,
    operation: &str,
    inputs: impl Iterator<Item = (&'a Input, Option<Digest>)>,
) -> Option<Stream> {
    let seed = seeding.and_then(Seeding::seed)?;
    let shown = inputs.filter(|(input, _)| !matches!(input.preview, Preview::Hidden));
    let digests: Option<Vec<_>> =
        shown.map(|(input, digest)| Some((input.name.as_str(), digest?))).collect();
    Some(seed.stream(operation, digests.unwrap_or_default().into_iter()))
}

/// As [`stream`], for a call whose key is not asked for. An argument without a digest, which
/// keeps a call out of the cache, must not keep it from running there.
///
/// # Errors
///
/// What the hash methods and key functions of the user raise.
pub fn stream_of_call(
    py: Python<'_>,
    task: &Task,
    arguments: &Arguments<'_>,
    seeding: Option<Seeding>,
) -> PyResult<Option<Stream>> {
    if !is_seeded(seeding) {
        return Ok(None);
    }
    let inputs = match task.inputs(py, arguments, &mut Around::new(None)) {
        Ok(inputs) => inputs,
        Err(error)
            if error.is_instance_of::<UnhashableArgument>(py)
                || error.is_instance_of::<HandleError>(py) =>
        {
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let digest = |input: &Input| thrifty_key::plain::digest(&input.encoding).ok();
    Ok(stream(seeding, task.name(), inputs.iter().map(|input| (input, digest(input)))))
}

/// Calls the function of a task with bound arguments, in its turn.
///
/// # Errors
///
/// What the function raises.
pub fn call<'py>(
    slf: &Bound<'py, Task>,
    arguments: &Arguments<'py>,
    frame: Frame,
    stream: Option<Stream>,
) -> PyResult<Bound<'py, PyAny>> {
    call_within(slf, arguments, frame, stream, None)
}

/// As [`call`], in a context of its own if there is one.
///
/// # Errors
///
/// What the function raises.
pub fn call_within<'py>(
    slf: &Bound<'py, Task>,
    arguments: &Arguments<'py>,
    frame: Frame,
    stream: Option<Stream>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, task) = (slf.py(), slf.get());
    let mut arguments = arguments.clone();
    task.hide(py, &arguments)?;
    let stream = fill(py, task, &mut arguments, stream)?;
    let (args, kwargs) = task.parameters(py)?.unbind(py, &arguments)?;
    let function = slf.get().function.bind(py);
    let Some(context) = context else {
        return enter(function, &args, &kwargs, frame, stream);
    };
    let mut run = vec![function.clone()];
    run.extend(args.iter());
    let within = context.getattr(intern!(py, "run"))?;
    enter(&within, &PyTuple::new(py, run)?, &kwargs, frame, stream)
}

/// As [`call`], with all parameters filled in, and for a body that draws from the generators of
/// the process if there is a stream.
///
/// # Errors
///
/// What the function raises.
pub fn call_with<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    frame: Frame,
    stream: Option<Stream>,
) -> PyResult<Bound<'py, PyAny>> {
    enter(slf.get().function.bind(slf.py()), args, kwargs, frame, stream)
}

fn enter<'py>(
    function: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    kwargs: &Bound<'py, PyDict>,
    frame: Frame,
    stream: Option<Stream>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let generators = stream.map(|stream| generators(py, &stream)).transpose()?;
    turn::run(py, generators, || {
        let _guard = context::enter(frame);
        ending::call(function, args, kwargs)
    })
}

/// The generators of the process, as they are for a body with this stream.
fn generators(py: Python<'_>, stream: &Stream) -> PyResult<Py<PyAny>> {
    turn::begin_use();
    let seeds = PyDict::new(py);
    for name in GLOBAL {
        seeds.set_item(name, integer(py, &stream.bytes(name))?)?;
    }
    let module = py.import(intern!(py, "thrifty._seeds"))?;
    module.call_method1(intern!(py, "Generators"), (seeds,)).map(Bound::unbind)
}
