//! Operation files: commands with declared inputs and outputs, as a graph for the engine.
//!
//! An operation file is a [`Document`] in YAML: operations, each a command with the files and
//! values it takes and gives. [`Pipeline::read`] checks that its parts fit together, before anything
//! runs; [`Pipeline::run`] gives the engine a graph in which each operation is a node and each
//! `from:` an edge, so that commands have the same keys, hits, reservations and explanations as
//! tasks in Python.
//!
//! A command runs in a fresh directory that holds what it declares and nothing else, and its outputs are
//! taken only when it has succeeded and all its processes are gone. Its key is made of the
//! command, its scripts by what they do, the values and files it takes, the variables it declares
//! and the places of what it gives.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("greeting.yaml");
//! use std::sync::Arc;
//! use thrifty_engine::Cache;
//! use thrifty_pipeline::{Chosen, Demand, Gave, Keeping, Pipeline, Resources};
//!
//! std::fs::write(&path, "
//! params: {name: world}
//! operations:
//!   greet:
//!     run: 'echo \"{\\\"text\\\": \\\"hello \"{{ params.name }}\"\\\"}\" > greeting.json'
//!     outputs: {text: {json: greeting.json, at: /text}}
//! ")?;
//! let pipeline = Pipeline::read(&path, &[("name".into(), "Ada".into())], &|_| None)?;
//! let home = directory.path().join("home");
//! let ended = pipeline.run(Demand {
//!     cache: Cache::open(&home)?,
//!     work: home.join("work"),
//!     chosen: Chosen::default(),
//!     only: Vec::new(),
//!     workers: 1,
//!     capacity: Resources::BOUNDLESS,
//!     interrupted: &|| false,
//!     listener: Arc::new(|_: &_| {}),
//!     arguments: String::new(),
//!     keeping: Keeping::default(),
//!     language: None,
//! })?;
//! assert_eq!(ended.given, [("greet.text".to_owned(), Gave::Value("hello Ada".into()))]);
//! # Ok(())
//! # }
//! ```

mod again;
mod answers;
mod attempt;
mod body;
mod check;
mod code;
mod compose;
mod container;
mod copying;
mod deliver;
mod devices;
mod document;
mod each;
mod endurance;
mod error;
pub mod expand;
mod gather;
mod given;
mod graph;
mod home;
mod join;
mod json;
mod language;
mod layer;
mod metrics;
mod mirror;
mod order;
mod outputs;
mod params;
mod parse;
mod part;
mod parts;
mod paths;
mod pipeline;
mod place;
mod replica;
mod resources;
mod rounds;
mod run;
mod rundir;
mod schema;
mod section;
mod seed;
mod share;
mod stamp;
mod steady;
mod steps;
mod task;
mod template;
mod ticks;
mod tools;
mod variables;
mod workplace;

pub use again::{Copies, Going, Keeping};
pub use compose::Variation;
pub use container::{Image, ImageText};
pub use deliver::Gave;
pub use document::{
    Argument, Axis, Cache, Delivery, Document, Input, Kind, Operation, Output, Param, Preset, Run,
    Seeded, Source, Table, WrittenPartitions,
};
pub use endurance::{Backoff, Endurance, OnFailure, Retries, Waiters, WrittenRetries};
pub use error::{AttemptError, CodeError, FileError, Place, PrepareError};
pub use given::{annotations_of, log_of};
pub use graph::Chosen;
pub use join::{Join, Joined};
pub use json::{decode as json_of, encode as plain_of};
pub use language::{Call, Exported, Language, Overrides, Passed, Unexported};
pub use part::{Handed, handed};
pub use pipeline::{
    Caching, Command, Delivered, Drawn, Function, Given, Maker, Origin, Pipeline, Placed, Process,
    Program, Reference, Runs, Script, Work, unspread,
};
pub use place::{Location, Spanned};
pub use resources::{Machine, Needed, Resources, millicpus};
pub use rounds::{Searched, Status, Tried};
pub use run::{Demand, Ended};
pub use rundir::{RunDirectory, collect_runs};
pub use schema::schema;
pub use section::Section;
pub use ticks::{Overlap, Schedule, Tick, Ticks};
pub use tools::Tool;
pub use workplace::collect_work;
