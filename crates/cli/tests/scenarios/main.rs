//! What is known to go wrong in other systems, and what they can do, as a user meets it here: a
//! file, the command, its output. `docs/scenarios.md` says which test is about which.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod bad_input;
mod keys;
mod polyaxon_faults;
mod project;
mod running;
mod sharing;
mod switches;
