//! Calls of tasks and workflows: binding, keys, graphs, runs.
//!
//! A lone call of a [`task::Task`] is bound, keyed and looked up without leaving this module.
//! Inside a workflow the same call becomes a [`handle::Handle`]; what a workflow demands becomes
//! a graph of the engine ([`graph`]), whose nodes come back here to run ([`body`]).

mod asked;
mod body;
mod check;
mod children;
mod clean;
mod context;
mod ending;
mod error;
mod graph;
mod handle;
mod hooks;
mod ingredients;
mod inputs;
mod keywords;
mod load;
mod lone;
mod on_disk;
mod operation_file;
mod options;
mod parameters;
mod places;
mod plan;
mod processes;
mod run;
mod search;
mod secret;
mod seed;
mod session;
mod suggest;
mod surroundings;
mod task;
mod trials;
mod turn;
mod unchanged;
mod words;

use pyo3::prelude::*;

pub use asked::NOTHING;
pub use check::{Refused, Report, check};
pub use context::{Chosen, RunOptions, matches};
pub use error::CacheUnavailable;
pub use operation_file::Functions;
pub use plan::plan;
pub use run::{Run, run};
pub use seed::stated;
pub use task::Task;

/// Adds the classes and functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    crate::value::registry::follow_with(ingredients::encode_hook);
    module.add_class::<task::Task>()?;
    module.add_class::<handle::Handle>()?;
    module.add_class::<plan::Plan>()?;
    module.add_class::<run::Run>()?;
    error::register(module)?;
    session::register(module)?;
    processes::register(module)?;
    clean::register(module)?;
    check::register(module)?;
    run::register(module)?;
    secret::register(module)?;
    trials::register(module)?;
    turn::register(module)?;
    on_disk::register(module)?;
    words::register(module)
}
