//! x
#![allow(missing_docs, dead_code)]
mod check;
mod document;
mod error;
mod order;
mod params;
mod parse;
mod paths;
mod pipeline;
mod template;
pub use error::*;
pub use pipeline::*;
