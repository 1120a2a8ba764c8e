//! The parts of what an operation gave: of a list or mapping its items, of a directory what is in it.
//!
//! A directory is taken apart once: its parts are kept, so that they are known next time without
//! the directory. The items of values are known by the value.

use std::fs;
use std::sync::Arc;

use thrifty_engine::graph::{
    Body, Edge, Expansion, Failure, From, Input, Loss, Made, Node, Product, Taken,
};
use thrifty_engine::record::{Draft, Shape, Step};
use thrifty_engine::{Operation, Policy};
use thrifty_key::plain::{self, Writer};
use thrifty_key::{Ingredients, Kind, Preview};

use crate::attempt::Attempt;
use crate::body::Shared;
use crate::document::Output;
use crate::given::Given;
use crate::language::{self, Unexported};
use crate::part::{self, Whole};

/// What counts beside the directory: how it is taken apart.
const FORMAT: &str = "thrifty.parts/1";

/// Tells the parts of what it takes.
struct Parts {
    shared: Arc<Shared>,
}

/// The node that tells the parts of what its edge leads to.
pub(crate) fn node(name: String, edges: Vec<Edge>, policy: Policy, shared: &Arc<Shared>) -> Node {
    let mut fixed = Ingredients::new();
    // The only ingredient of an empty set is no second one.
    _ = fixed.add(
        Kind::Operation,
        "name".to_owned(),
        plain::digest_text(FORMAT),
        Preview::text(FORMAT),
    );
    let mut writer = Writer::new();
    writer.edge(0);
    let preview = Preview::text("an output of another operation");
    let input = Input { name: "of".to_owned(), encoding: writer.into_bytes(), preview };
    Node {
        operation: Arc::new(Operation::new(name, fixed, Vec::new())),
        policy,
        inputs: vec![input],
        edges,
        unkeyed: None,
        body: Arc::new(Parts { shared: Arc::clone(shared) }),
    }
}

impl Body for Parts {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        let lost =
            |reason: &str| Failure::Lost { edge: 0, loss: Loss::Bytes, reason: reason.to_owned() };
        let taken = inputs.first().ok_or_else(|| lost("it was not handed over"))?;
        match part::whole(taken) {
            Some(Whole::List(length)) => {
                let items = (0..length).map(|at| (at.to_string(), plain::int(at as i64)));
                Ok(Product::Became(items_of(items)))
            }
            Some(Whole::Mapping(names)) => {
                let items = names.into_iter().map(|name| (name.clone(), plain::text(&name)));
                Ok(Product::Became(items_of(items)))
            }
            Some(Whole::Directory) | None => self.of_directory(taken).map(Product::Made),
            Some(Whole::Other) => Err(raised(
                "it is no directory, no list and no mapping, and has no parts".to_owned(),
            )),
        }
    }
}

impl Parts {
    fn of_directory(&self, taken: &Taken) -> Result<Made, Failure> {
        let told = |error: &dyn std::fmt::Display| raised(error.to_string());
        let attempt = Attempt::begin(&self.shared.work).map_err(|error| told(&error))?;
        let (base, at) = (attempt.place(), attempt.place().join("parts"));
        let lost = |reason| Failure::Lost { edge: 0, loss: Loss::Bytes, reason };
        match (part::place_of(taken).map_err(lost)?, &self.shared.language) {
            (Some(path), _) => attempt.share(&path, &at).map_err(|error| told(&error))?,
            (None, Some(speaker)) if !part::is_kept(taken) => {
                let path = language::path(taken, &**speaker).map_err(|why| match why {
                    Unexported::Lost(reason) => lost(reason),
                    Unexported::Unfit(reason) => raised(reason),
                })?;
                attempt.share(&path, &at).map_err(|error| told(&error))?;
            }
            (None, _) => {
                part::put(taken, &**self.shared.cache.blobs(), &at, false).map_err(lost)?
            }
        }
        if !at.is_dir() {
            return Err(raised("it is a file, which has no parts".to_owned()));
        }
        let mut outputs = Vec::new();
        for entry in fs::read_dir(&at).map_err(|error| told(&error))? {
            let path = entry.map_err(|error| told(&error))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let name =
                name.ok_or_else(|| raised(format!("{}: its name is no text", path.display())))?;
            let below = path.strip_prefix(&base).unwrap_or(&path).to_string_lossy().into_owned();
            let kind = if path.is_dir() { Output::Directory(below) } else { Output::File(below) };
            outputs.push((name.to_owned(), kind));
        }
        outputs.sort_by(|one, other| one.0.cmp(&other.0));
        let given = Given::gather(attempt, &outputs, &*self.shared.cache.file_memo());
        let given = given.map_err(|error| told(&error))?;
        let draft = given.draft().map_err(raised)?;
        Ok(Made::new(Arc::new(given), draft))
    }
}

/// The items by their names, each at the end of its step, in the shape in which a command gives.
fn items_of(items: impl Iterator<Item = (String, Vec<u8>)>) -> Expansion {
    let (mut names, mut parts, mut edges) = (Vec::new(), Vec::new(), Vec::new());
    for (name, step) in items {
        names.push(plain::text(&name).into());
        parts.push(Draft::Edge(edges.len() as u64));
        edges.push(Edge { from: From::Argument(0), steps: vec![Step(step)] });
    }
    let items = Draft::Composite { container: Shape::Dict(names), parts };
    let output = Draft::Composite { container: Shape::Tuple, parts: vec![items] };
    Expansion::new(Vec::new(), edges, output)
}

fn raised(message: String) -> Failure {
    Failure::raised(message.clone(), Arc::new(message))
}
