//! Names of operations that are to be computed again, and that nothing was asked for by.

use std::collections::BTreeSet;
use std::sync::Arc;

use glob::Pattern;
use parking_lot::Mutex;
use pyo3::prelude::*;
use thrifty_engine::catalog::{Node, RunStatus};
use thrifty_engine::config::Executor;
use thrifty_engine::explain::has_run;

use super::context::RunOptions;
use super::session::Session;

/// The patterns that meant an operation that was asked for, in a whole run.
#[derive(Clone, Default)]
pub struct Asked(Arc<Mutex<BTreeSet<String>>>);

impl Asked {
    /// An operation that these mean was asked for.
    pub fn note<'a>(&self, patterns: impl Iterator<Item = &'a Pattern>) {
        self.0.lock().extend(patterns.map(|pattern| pattern.as_str().to_owned()));
    }
}

/// The options of a run of this name with what notes the patterns that mean something; and whether
/// they had none, so that it is this run that tells.
pub fn noted(options: Arc<RunOptions>, name: &str) -> (Arc<RunOptions>, bool) {
    if options.refresh.is_empty() || options.asked.is_some() {
        return (options, false);
    }
    let asked = Some(Asked::default());
    let options = RunOptions { asked, ..RunOptions::clone(&options) };
    // The workflow itself is none of its operations.
    options.of_operation(name);
    (Arc::new(options), true)
}

/// The names by which a run that succeeded asked for nothing.
pub fn unasked(
    py: Python<'_>,
    options: &RunOptions,
    nodes: &[Node],
    status: RunStatus,
) -> Vec<String> {
    let (Some(asked), Ok(session)) = (&options.asked, Session::current(py)) else {
        return Vec::new();
    };
    // What bodies in worker processes ask for is not seen here.
    let is_processes = session.executor(py, options) == Executor::Processes;
    let is_unseen = is_processes && nodes.iter().any(has_run);
    if is_unseen || status != RunStatus::Succeeded {
        return Vec::new();
    }
    let asked = asked.0.lock();
    let names = options.refresh.iter().map(Pattern::as_str);
    names.filter(|name| !asked.contains(*name)).map(str::to_owned).collect()
}

/// What is said of such a name, behind what the user wrote.
pub const NOTHING: &str = "nothing of that name was asked for; if it is called in the body of a \
                           task that was taken from the cache, refresh that task";
