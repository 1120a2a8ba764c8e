//! Who runs workflows: the command line itself cannot.

use std::fmt;
use std::sync::Arc;

use thrifty_engine::check::Checked;
use thrifty_engine::config::Executor;
use thrifty_engine::event::Listener;
use thrifty_engine::explain::Explanation;
use thrifty_engine::{Mode, Seed, did_you_mean};
use thrifty_pipeline::Language;
use thrifty_pipeline::Searched;

/// Runs workflows for the command line. Implemented by the binding of a language.
pub trait Host: Sync {
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

    /// Tells what a run would do, and does nothing of it.
    ///
    /// # Errors
    ///
    /// As [`Host::run_workflow`].
    fn plan_workflow(&self, request: &RunRequest) -> Result<PlanReport, HostError>;

    /// Executes operations of a workflow again whose results are stored, and compares.
    ///
    /// # Errors
    ///
    /// [`HostError`] if the check could not begin, or was interrupted.
    fn check_workflow(
        &self,
        request: &CheckRequest,
        listener: Arc<Listener>,
    ) -> Result<CheckReport, HostError>;

    /// The language of the functions that an operation file names, for one run of it.
    ///
    /// # Errors
    ///
    /// [`HostError`] if there is none, or its cache cannot be had.
    fn language(&self) -> Result<Arc<dyn Language>, HostError> {
        Err(HostError::Unavailable("there is nothing here that knows functions".to_owned()))
    }

    /// Whether the user has asked, since this was last called, that what runs be ended. Asked now
    /// and then on the main thread.
    fn is_interrupted(&self) -> bool;

    /// From now on a signal by which the system asks this process to end is an interrupt, and no
    /// end in the midst of what runs.
    fn heed_signals(&self) {}

    /// The number of the last such signal, if there was one.
    fn ended_by(&self) -> Option<u8> {
        None
    }
}

/// What is to be checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRequest {
    /// The workflow, as `module:name`.
    pub target: String,
    /// Parameters by name, as written.
    pub parameters: Vec<(String, String)>,
    /// Which of its operations.
    pub which: Which,
    /// How many clean processes run at once, if that was said.
    pub workers: Option<usize>,
    /// Whether the report is written for programs.
    pub json: bool,
}

/// Which operations are checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Which {
    /// A share of those with a stored result, drawn by lot.
    Share(f64),
    /// Those of these names, or patterns of names.
    Named(Vec<String>),
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// What was executed again.
    pub checks: Vec<Checked>,
    /// How many operations have a stored result.
    pub stored: usize,
    /// How many have none, or are behind one that has none.
    pub unknown: usize,
}

/// What is to be run, and how.
#[derive(Debug, Clone, Default, PartialEq)]
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
    /// Whether it waits for nobody who computes the same.
    pub now: bool,
    /// Whether nothing begins any more once an operation has failed, if that was said.
    pub fail_fast: Option<bool>,
    /// Which share of the hits is executed again, if that was said.
    pub check: Option<f64>,
    /// Only tell what would run: for people, or as JSON.
    pub dry_run: Option<Telling>,
    /// The seed of the run, if that was said.
    pub seed: Option<Seed>,
}

/// For whom something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanReport {
    /// What would run, and why.
    Told(Explanation),
    /// A workflow failed while it said what it would call.
    Failed(Failed),
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// The id of the run, if its history is kept.
    pub run: Option<String>,
    /// How it ended.
    pub end: End,
    /// The result, as its language shows it; `None` if there is nothing to show.
    pub result: Option<String>,
    /// The operations that failed.
    pub failures: Vec<Failed>,
    /// The hits that were executed again.
    pub checks: Vec<Checked>,
    /// Sentences for the user.
    pub notes: Vec<String>,
    /// What an operation file gave, by name, and its searches.
    pub given: Given,
}

/// What a run of an operation file gave besides its result.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// Values, and paths of files that were put somewhere, by name.
    pub outputs: Vec<(String, serde_json::Value)>,
    /// The searches, with their trials.
    pub searches: Vec<Searched>,
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
    /// An operation that is needed to find out what is stored failed: its traceback.
    Failed(String),
    /// It was interrupted.
    Interrupted,
    /// The cache cannot be used, and is to be.
    Cache(String),
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
            Self::Interrupted => f.write_str("interrupted"),
            Self::Usage(message)
            | Self::Failed(message)
            | Self::Cache(message)
            | Self::Unavailable(message) => f.write_str(message),
        }
    }
}
