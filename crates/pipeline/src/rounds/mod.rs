//! Searches as the engine runs them.
//!
//! What stands for a search in the graph ([`round`]) becomes its trials and, behind them, the
//! next round of itself; the last round gathers what the trials gave. Each trial is the operation
//! with some of its params set: it has the key that a lone run with these params has, whichever
//! search it is part of. Nothing of a search is cached but its trials.

mod prepared;
mod round;
mod suggest;
mod table;

pub(crate) use prepared::{OF_TRIAL, Prepared, Template, Tried as What};
pub(crate) use round::Round;
pub(crate) use table::searched;
pub use table::{Searched, Status, Tried};
