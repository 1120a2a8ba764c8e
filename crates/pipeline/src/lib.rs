//! x
#![allow(missing_docs)]
mod attempt;
mod body;
mod check;
mod code;
mod document;
mod error;
mod given;
mod graph;
mod json;
mod order;
mod params;
mod parse;
mod paths;
mod pipeline;
mod run;
mod template;
pub use document::{Document, Output, Run};
pub use error::*;
pub use graph::Chosen;
pub use pipeline::*;
pub use run::*;
