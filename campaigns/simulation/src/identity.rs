//! The numbers by which everything is known, and what it means to be wrong.

use std::fmt;

use thrifty_engine::catalog::Time;

/// A simulated process, never used twice.
pub type ProcessId = usize;
/// A key of a scope.
pub type CellId = usize;
/// An execution of a body, counted from 1.
pub type ExecutionId = u64;

/// Who did something, and when.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// The process.
    pub process: ProcessId,
    /// The order of events.
    pub step: u64,
    /// By the catalog's clock.
    pub now: Time,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its short name, such as `S4`.
    pub invariant: &'static str,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}
