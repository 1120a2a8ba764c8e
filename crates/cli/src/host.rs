//! Who runs workflows: the command line itself cannot.

use std::fmt;
use std::sync::Arc;

use thrifty_engine::config::Executor;
use thrifty_engine::event::Listener;
use thrifty_engine::{Mode, did_you_mean};

/// Runs workflows for the command line. Implemented by the binding of a language.
pub trait Host {
    /// Runs a workflow to its end, telling the listener what happens. An interrupt cancels the
    /// run and is no error.
    ///
    /// # Errors
    ///
    /// [`HostError`] if the run could not begin.
    fn run_workflow(
        &self,
        request: &RunRequest,
        listener: Arc<Listener>,
    ) -> Result<RunReport, HostError>;
}

/// What is to be run, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunRequest {
    /// The workflow, as `module:name`.
    pub target: String,
    /// Parameters by name, as written.
    pub parameters: Vec<(String, String)>,
    /// How the whole run uses the cache, if that was said.
    pub mode: Option<Mode>,
    /// Names, or patterns of names, of the operations to be computed again.
    pub refresh: Vec<String>,
    /// Where bodies run, if that was said.
    pub executor: Option<Executor>,
    /// How many run at once, if that was said.
    pub workers: Option<usize>,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// The id of the run, if its history is kept.
    pub run: Option<String>,
    /// How it ended.
    pub end: End,
    /// The result, as its language shows it; `None` if there is nothing to show.
    pub result: Option<String>,
    /// The operations that failed.
    pub failures: Vec<Failed>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Everything that was asked for is there.
    Succeeded,
    /// At least one operation failed.
    Failed,
    /// It was interrupted.
    Interrupted,
}

/// An operation that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The operation.
    pub operation: String,
    /// The user's own error, with its traceback.
    pub message: String,
}

/// A run that could not begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostError {
    /// No such module or workflow.
    UnknownTarget {
        /// What was asked for.
        target: String,
        /// What went wrong while looking for it.
        reason: String,
        /// The part of the target that is unknown.
        name: String,
        /// The modules, or workflows and tasks, there are.
        known: Vec<String>,
    },
    /// The workflow has no such parameter.
    UnknownParameter {
        /// The workflow.
        target: String,
        /// What was given.
        parameter: String,
        /// The parameters it has.
        known: Vec<String>,
    },
    /// No operation of the run matches a name given to `--refresh`.
    UnknownOperation {
        /// What was given.
        name: String,
        /// The operations of the run.
        known: Vec<String>,
    },
    /// The request is wrong in another way, such as a value that a parameter does not take.
    Usage(String),
    /// There is nothing here that can run workflows.
    Unavailable(String),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = |unknown: &str, known: &[String]| {
            did_you_mean(unknown, known.iter().map(String::as_str))
        };
        match self {
            Self::UnknownTarget { target, reason, name, known } => {
                write!(f, "cannot run `{target}`: {reason}")?;
                if known.is_empty() { Ok(()) } else { write!(f, "; {}", hint(name, known)) }
            }
            Self::UnknownParameter { target, parameter, known } => {
                write!(f, "`{target}` has no parameter `{parameter}`; {}", hint(parameter, known))
            }
            Self::UnknownOperation { name, known } => {
                write!(f, "--refresh: no operation is named `{name}`; {}", hint(name, known))
            }
            Self::Usage(message) | Self::Unavailable(message) => f.write_str(message),
        }
    }
}
