//! The `thrifty` command inside Python: what it needs of the interpreter.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use glob::Pattern;
use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use thrifty_cli::{
    CheckReport, CheckRequest, End, Failed, Given, Host, HostError, PlanReport, RunReport,
    RunRequest, Which,
};
use thrifty_engine::Seeding;
use thrifty_engine::catalog::RunStatus;
use thrifty_engine::event::Listener;
use thrifty_pipeline::Language;

use crate::call::{self, CacheUnavailable, Chosen, Refused, Report, Run, RunOptions, Task};
use crate::shown::traceback;
use crate::value::digest;

/// Workflows of this interpreter.
struct Interpreter;

impl Host for Interpreter {
    fn run_workflow(
        &self,
        request: &RunRequest,
        listener: Arc<Listener>,
    ) -> Result<RunReport, HostError> {
        Python::attach(|py| {
            let task = seeded(py, request)?;
            let arguments = arguments(py, &task, &request.target, &request.parameters)?;
            let options = options(py, request, &task)?;
            let empty = PyTuple::empty(py);
            let ran = call::run(&task, &empty, Some(&arguments), Arc::new(options), Some(listener));
            match ran {
                Ok(run) => Ok(report(py, run.get())),
                Err(error) => Ok(RunReport {
                    run: None,
                    end: end_of(py, &error),
                    result: None,
                    failures: vec![Failed {
                        operation: request.target.clone(),
                        message: traceback(py, &error),
                    }],
                    checks: Vec::new(),
                    notes: Vec::new(),
                    given: Given::default(),
                }),
            }
        })
    }

    fn plan_workflow(&self, request: &RunRequest) -> Result<PlanReport, HostError> {
        Python::attach(|py| {
            let task = seeded(py, request)?;
            let arguments = arguments(py, &task, &request.target, &request.parameters)?;
            let options = Arc::new(options(py, request, &task)?);
            match call::plan(&task, &PyTuple::empty(py), Some(&arguments), &options) {
                Ok(plan) => Ok(PlanReport::Told(plan.get().explanation().clone())),
                Err(error) => Ok(PlanReport::Failed(Failed {
                    operation: request.target.clone(),
                    message: traceback(py, &error),
                })),
            }
        })
    }

    fn check_workflow(
        &self,
        request: &CheckRequest,
        listener: Arc<Listener>,
    ) -> Result<CheckReport, HostError> {
        Python::attach(|py| Self::check(py, request, &*listener))
    }

    fn language(&self) -> Result<Arc<dyn Language>, HostError> {
        let functions = Python::attach(call::Functions::new).map_err(|error| usage(&error))?;
        Ok(Arc::new(functions))
    }

    fn is_interrupted(&self) -> bool {
        Python::attach(|py| py.check_signals().is_err())
    }

    fn heed_signals(&self) {
        // Off the main thread Python allows no handler: such a signal ends the process then.
        _ = Python::attach(|py| signals(py)?.call_method0(intern!(py, "heed")).map(drop));
    }

    fn ended_by(&self) -> Option<u8> {
        Python::attach(|py| signals(py)?.call_method0(intern!(py, "last"))?.extract()).ok()?
    }
}

impl Interpreter {
    fn check(
        py: Python<'_>,
        request: &CheckRequest,
        listener: &Listener,
    ) -> Result<CheckReport, HostError> {
        let task = load(py, &request.target)?;
        let arguments = arguments(py, &task, &request.target, &request.parameters)?;
        let chosen = match &request.which {
            Which::Share(share) => Chosen::Share(*share),
            Which::Named(names) => Chosen::Named(patterns("NAME", names)?),
        };
        let seeding = task.get().seeding(py).map_err(|error| usage(&error))?;
        let (check, workers) = (Some(chosen), request.workers);
        let options = RunOptions { check, workers, seeding, ..RunOptions::default() };
        let empty = PyTuple::empty(py);
        match call::check(&task, &empty, Some(&arguments), options, listener) {
            Ok(Report { checked: checks, stored, unknown, .. }) => {
                Ok(CheckReport { checks, stored, unknown })
            }
            Err(Refused::Usage(message)) => Err(HostError::Usage(message)),
            Err(Refused::Raised(error)) => Err(match end_of(py, &error) {
                End::Interrupted => HostError::Interrupted,
                End::Failed | End::Succeeded => HostError::Failed(traceback(py, &error)),
            }),
        }
    }
}

/// What is to be run, under the seed that was asked for.
fn seeded<'py>(py: Python<'py>, request: &RunRequest) -> Result<Bound<'py, Task>, HostError> {
    let task = load(py, &request.target)?;
    call::stated(&task, request.seed.map(Seeding::With)).map_err(|error| usage(&error))
}

fn load<'py>(py: Python<'py>, target: &str) -> Result<Bound<'py, Task>, HostError> {
    let command = module(py)?;
    match command.call_method1(intern!(py, "load"), (target,)) {
        Ok(task) => task.cast_into::<Task>().map_err(|error| HostError::Usage(error.to_string())),
        Err(error) if is(py, &error, "UnknownTarget") => {
            let args = error.value(py).getattr(intern!(py, "args"));
            let (reason, name, known) =
                args.and_then(|args| args.extract()).map_err(|error| usage(&error))?;
            Err(HostError::UnknownTarget { target: target.to_owned(), reason, name, known })
        }
        Err(error) => {
            Err(HostError::Usage(format!("cannot import `{target}`:\n{}", traceback(py, &error))))
        }
    }
}

fn arguments<'py>(
    py: Python<'py>,
    task: &Bound<'py, Task>,
    target: &str,
    parameters: &[(String, String)],
) -> Result<Bound<'py, PyDict>, HostError> {
    let found = module(py)?.call_method1(intern!(py, "arguments"), (task, parameters.to_vec()));
    let found = found.and_then(|found| Ok(found.cast_into::<PyDict>()?));
    found.map_err(|error| {
        if is(py, &error, "UnknownParameter") {
            let args = error.value(py).getattr(intern!(py, "args"));
            match args.and_then(|args| args.extract()) {
                Ok((parameter, known)) => {
                    HostError::UnknownParameter { target: target.to_owned(), parameter, known }
                }
                Err(error) => usage(&error),
            }
        } else if error.is_instance_of::<CacheUnavailable>(py) {
            usage(&error)
        } else {
            HostError::Usage(crate::shown::message(py, &error))
        }
    })
}

fn options(
    py: Python<'_>,
    request: &RunRequest,
    task: &Bound<'_, Task>,
) -> Result<RunOptions, HostError> {
    let seeding = task.get().seeding(py).map_err(|error| usage(&error))?;
    let known = module(py)?.call_method0(intern!(py, "operations"));
    let known: Vec<String> =
        known.and_then(|known| known.extract()).map_err(|error| usage(&error))?;
    let mut refresh = Vec::new();
    for name in &request.refresh {
        let pattern = Pattern::new(name)
            .map_err(|error| HostError::Usage(format!("--refresh {name}: {error}")))?;
        let matches = |operation: &String| call::matches(&pattern, operation);
        if !known.iter().any(matches) {
            return Err(HostError::UnknownOperation { name: name.clone(), known });
        }
        refresh.push(pattern);
    }
    Ok(RunOptions {
        mode: request.mode,
        refresh,
        executor: request.executor,
        workers: request.workers,
        now: request.now,
        fail_fast: request.fail_fast.unwrap_or(false),
        check: request.check.map(Chosen::Share),
        seeding,
        ..RunOptions::default()
    })
}

fn patterns(option: &str, names: &[String]) -> Result<Vec<Pattern>, HostError> {
    let wrong = |name, error| HostError::Usage(format!("{option} {name}: {error}"));
    names.iter().map(|name| Pattern::new(name).map_err(|error| wrong(name, error))).collect()
}

fn report(py: Python<'_>, run: &Run) -> RunReport {
    let end = match run.ended() {
        RunStatus::Succeeded => End::Succeeded,
        RunStatus::Cancelled => End::Interrupted,
        RunStatus::Failed | RunStatus::Running | RunStatus::Lost => End::Failed,
    };
    let failures = run.failed().iter().map(|(operation, error)| Failed {
        operation: operation.clone(),
        message: traceback(py, &PyErr::from_value(error.bind(py).clone().into_any())),
    });
    let result = run.shown(py, &shown);
    let unasked = run.unasked().iter();
    let notes = unasked.map(|name| format!("--refresh {name}: {}", call::NOTHING)).collect();
    let (run, checks) = (run.identity(), run.checked().to_vec());
    RunReport {
        run,
        end,
        result,
        failures: failures.collect(),
        checks,
        notes,
        given: Given::default(),
    }
}

/// The result for people: where a file or directory is, and a preview of anything else.
fn shown(value: &Bound<'_, PyAny>) -> String {
    match value.extract::<PathBuf>() {
        Ok(path) if !value.is_instance_of::<PyString>() => path.display().to_string(),
        _ => digest::preview(value),
    }
}

fn end_of(py: Python<'_>, error: &PyErr) -> End {
    if error.is_instance_of::<PyKeyboardInterrupt>(py) { End::Interrupted } else { End::Failed }
}

fn module(py: Python<'_>) -> Result<Bound<'_, PyModule>, HostError> {
    py.import(intern!(py, "thrifty._command")).map_err(|error| usage(&error))
}

fn signals(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "thrifty._signals"))
}

fn usage(error: &PyErr) -> HostError {
    Python::attach(|py| match error.is_instance_of::<CacheUnavailable>(py) {
        true => HostError::Cache(crate::shown::message(py, error)),
        false => HostError::Usage(error.to_string()),
    })
}

fn is(py: Python<'_>, error: &PyErr, name: &str) -> bool {
    let class = module(py).ok().and_then(|module| module.getattr(name).ok());
    class.is_some_and(|class| error.matches(py, class).unwrap_or(false))
}

/// Adds `main`.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(main, module)?)
}

/// Runs the command with these arguments, the name of the program first, and ends the
/// interpreter with its exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<()> {
    let code = py.detach(|| thrifty_cli::main(arguments, &Interpreter));
    Err(PySystemExit::new_err(code))
}
