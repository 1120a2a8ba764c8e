//! Arguments in memory that a key was made of. Whoever changes them before the body is over makes
//! its result one of something else, which must not be stored under that key.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_engine::Reason;
use thrifty_engine::graph::{Input, Unstored};

use super::ingredients::{Around, Numbering};
use super::on_disk::Argument;
use super::parameters::Arguments;
use super::task::Task;
use crate::observe::Gathered;

/// Where threads come from that change nothing of the program's: they talk to notebooks, debuggers
/// and worker processes, and draw bars.
const BYSTANDERS: [&str; 8] = [
    "IPython",
    "_pydevd_bundle",
    "concurrent.futures.process",
    "debugpy",
    "ipykernel",
    "joblib.externals.loky",
    "multiprocessing.queues",
    "tqdm",
];

/// The first argument that is not what the key was made of.
///
/// # Errors
///
/// What has no digest, now.
pub fn changed<'py>(
    slf: &Bound<'py, Task>,
    arguments: &Arguments<'py>,
    then: &[Input],
    known: &[Argument],
    edges: Option<&mut Numbering<'_>>,
) -> PyResult<Option<String>> {
    // Files count as they were then: a change of theirs is noticed when the body is over.
    let mut around = Around::of_arguments_with(edges, known);
    let inputs = slf.get().inputs(slf.py(), arguments, &mut around)?;
    let mut pairs = inputs.into_iter().zip(then);
    Ok(pairs.find(|(now, then)| now.encoding != then.encoding).map(|(input, _)| input.name))
}

/// The arguments of a lone call. Its body is given the objects of the caller, and may change them:
/// a result stands for what they were when it began. With other threads about, nobody knows who
/// changed them, and when.
pub struct Shared<'a, 'py> {
    slf: &'a Bound<'py, Task>,
    arguments: &'a Arguments<'py>,
    inputs: &'a [Input],
    files: &'a [Argument],
    /// What was wrong when the body began.
    problem: Option<Unstored>,
}

impl<'a, 'py> Shared<'a, 'py> {
    /// The body begins; `None` if no other thread can reach its arguments.
    pub fn with_others(
        slf: &'a Bound<'py, Task>,
        arguments: &'a Arguments<'py>,
        inputs: &'a [Input],
        files: &'a [Argument],
    ) -> Option<Self> {
        let has_own_key = slf.get().definition().key.is_some();
        // Where they cannot be counted, there may be some.
        if has_own_key || inputs.is_empty() || !others_run(slf.py()).unwrap_or(true) {
            return None;
        }
        let shared = Self { slf, arguments, inputs, files, problem: None };
        let problem = shared.change("before the task began, by another thread");
        Some(Self { problem, ..shared })
    }

    /// The body is over.
    pub fn end(mut self, gathered: Gathered) -> Gathered {
        if gathered.problem.is_some() {
            return gathered;
        }
        let problem = self
            .problem
            .take()
            .or_else(|| self.change("while the task ran, by the task or by another thread"));
        Gathered { problem, ..gathered }
    }

    fn change(&self, when: &str) -> Option<Unstored> {
        let text = match changed(self.slf, self.arguments, self.inputs, self.files, None) {
            Ok(None) => return None,
            Ok(Some(name)) => format!("the argument {name} was changed {when}"),
            Err(error) => format!("an argument was changed {when}: {error}"),
        };
        let text = format!("{text}; pass a copy");
        Some(Unstored { reason: Reason::Changed, text })
    }
}

/// Whether there are threads beside this one that run code of the program.
fn others_run(py: Python<'_>) -> PyResult<bool> {
    // Without the main thread.
    let started: usize = py.import(intern!(py, "_thread"))?.call_method0("_count")?.extract()?;
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading.call_method0(intern!(py, "main_thread"))?;
    let is_main = main.getattr(intern!(py, "ident"))?.eq(threading.call_method0("get_ident")?)?;
    if started == 0 || !is_main {
        return Ok(!is_main);
    }
    let threads = threading.getattr(intern!(py, "_active"))?.cast_into::<PyDict>()?;
    let bystanders = threads.values().iter().filter(is_bystander).count();
    Ok(started > bystanders)
}

/// Whether a thread is of a class, or runs a function, of a library that leaves values alone.
fn is_bystander(thread: &Bound<'_, PyAny>) -> bool {
    let module = |of: Bound<'_, PyAny>| {
        let module = of.getattr(intern!(of.py(), "__module__"))?;
        module.extract::<String>()
    };
    let of_class = module(thread.get_type().into_any());
    let of_target = thread.getattr(intern!(thread.py(), "_target")).and_then(module);
    of_class.into_iter().chain(of_target).any(|module| {
        BYSTANDERS.iter().any(|library| {
            module.strip_prefix(library).is_some_and(|it| it.is_empty() || it.starts_with('.'))
        })
    })
}
