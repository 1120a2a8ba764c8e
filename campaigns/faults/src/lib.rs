//! What if a call to the system fails, is cut short, or is the last one this process makes?
//!
//! A worker performs one [`Job`](job::Job) on a real cache directory. A small library between it
//! and the C library makes one of its calls go wrong: [`Fault`](fault::Fault) says which, and how.
//! Afterwards [`examine`] looks at what is left. Or the library writes down every change to files, and
//! a [`disk`] forgets what was not synced. The production code knows nothing of this.

pub mod child;
pub mod crash;
pub mod disk;
pub mod errors;
pub mod examine;
pub mod fault;
pub mod full;
pub mod job;
pub mod journal;
pub mod points;
pub mod power;
pub mod stage;
pub mod sweep;
pub mod value;
