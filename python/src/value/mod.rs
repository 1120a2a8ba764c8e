//! Python values: what is the same value, and how one is kept.

pub mod codec;
pub mod digest;
pub mod registry;
