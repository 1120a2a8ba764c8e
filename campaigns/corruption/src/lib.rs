//! What if a bit flips?
//!
//! A small cache is made once, its files are damaged in every way that one can think of, and after
//! each damage a reader comes: what he gets is the right value or a miss, never another value,
//! never a crash. Then a check comes, on the same damage untouched: it finds what he was kept from,
//! and whatever else of an entry is not what was committed.
//!
//! [`Sample`] says how much of it is done: all in `make corruption`, a part in the tests.

pub mod blobs;
pub mod catalog;
pub mod decoders;
pub mod rows;
pub mod stage;
pub mod tally;

/// Why a campaign itself could not go on.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Which of the damages are done: every n-th, from a random one on.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// One of so many.
    pub every: usize,
    /// How many threads do them.
    pub threads: usize,
}
