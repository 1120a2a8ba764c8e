//! Whether the parts of a document fit together.
//!
//! Everything that can be wrong is found here, before anything runs, and told with its place.

mod command;
mod names;
mod seed;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use minijinja::value::{Serde, Value};
use serde_saphyr::{Location, Spanned};
use thrifty_engine::did_you_mean;

use crate::document::{Delivery, Document, Operation, Output};
use crate::error::{FileError, Place};
use crate::order::order;
use crate::params::{self, Values};
use crate::parse;
use crate::paths;
use crate::pipeline::{Delivered, Pipeline, Reference};
use crate::template::{self, For};

/// How many operations one file may have.
const MOST: usize = 100_000;

impl Pipeline {
    /// Reads an operation file and sets its parameters: pairs of a name and a value as written.
    /// The caller's environment is asked for variables that the file passes on.
    ///
    /// # Errors
    ///
    /// [`FileError`], with the place and what is allowed. Nothing was run.
    pub fn read(
        path: &Path,
        set: &[(String, String)],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, FileError> {
        checked(path, parse::read(path)?, set, variable)
    }
}

/// The pipeline that the document of a file describes.
fn checked(
    path: &Path,
    document: Document,
    set: &[(String, String)],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, FileError> {
    let values = params::settle(path, &document.params, set)?;
    let check = Check { path, base: base_of(path)?, document: &document, values, variable };
    check.names()?;
    let order = check.order()?;
    // Positions are those of the ordered pipeline from here on.
    let position: IndexMap<&str, usize> =
        order.iter().enumerate().map(|(at, from)| (check.name(*from), at)).collect();
    let commands: Result<Vec<_>, _> =
        order.iter().map(|from| check.command(*from, &position)).collect();
    let (commands, deliveries, seed) = (commands?, check.deliveries(&position)?, check.seed()?);
    let name =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Ok(Pipeline { name, base: check.base, commands, deliveries, seed })
}

/// The directory of a file, from the root.
fn base_of(path: &Path) -> Result<PathBuf, FileError> {
    let absolute = path.canonicalize().map_err(|error| FileError::Unreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(absolute.parent().map_or_else(PathBuf::new, Path::to_owned))
}

/// A document being checked.
struct Check<'a> {
    path: &'a Path,
    base: PathBuf,
    document: &'a Document,
    values: Values,
    variable: &'a dyn Fn(&str) -> Option<String>,
}

type Positions<'a> = IndexMap<&'a str, usize>;

impl Check<'_> {
    fn wrong(&self, at: Location, reason: impl Into<String>) -> FileError {
        FileError::Meaning { place: Place::of(self.path, at), reason: reason.into() }
    }

    fn name(&self, position: usize) -> &str {
        self.document.operations.get_index(position).map_or("", |(name, _)| name)
    }

    /// Operations by their position in the file, each after those it takes from.
    fn order(&self) -> Result<Vec<usize>, FileError> {
        let operations = &self.document.operations;
        let mut needs = Vec::with_capacity(operations.len());
        for (_, operation) in operations {
            let taken = self.taken(&operation.value)?;
            let named = operation.value.needs.iter().map(|name| self.operation(name));
            let mut all: Vec<usize> = taken;
            for found in named {
                all.push(found?);
            }
            needs.push(all);
        }
        order(&needs).map_err(|circle| {
            let names: Vec<_> =
                circle.iter().chain(circle.first()).map(|at| self.name(*at)).collect();
            let at = circle.first().and_then(|at| operations.get_index(*at));
            let at = at.map_or(Location::UNKNOWN, |(_, operation)| operation.referenced);
            self.wrong(at, format!("operations need each other in a circle: {}", names.join(" → ")))
        })
    }

    /// The operations that one takes from.
    fn taken(&self, operation: &Operation) -> Result<Vec<usize>, FileError> {
        let mut taken = Vec::new();
        for argument in operation.params.values() {
            if let crate::document::Argument::From(from) = &argument.value {
                taken.push(self.output(argument.referenced, from)?.0);
            }
        }
        for input in operation.inputs.values() {
            if let crate::document::Source::From(from) = &input.value.source {
                taken.push(self.output(input.referenced, from)?.0);
            }
        }
        Ok(taken)
    }

    fn operation(&self, name: &Spanned<String>) -> Result<usize, FileError> {
        self.document.operations.get_index_of(&name.value).ok_or_else(|| {
            let known = self.document.operations.keys().map(String::as_str);
            let hint = did_you_mean(&name.value, known);
            self.wrong(name.referenced, format!("there is no operation `{}`; {hint}", name.value))
        })
    }

    /// The operation, by its position in the file, and the output that a text names.
    fn output(&self, at: Location, text: &str) -> Result<(usize, &str, &Output), FileError> {
        let Some((operation, output)) = text.split_once('.') else {
            return Err(self.wrong(at, format!("`{text}` must be operation.output")));
        };
        let spanned = Spanned::new(operation.to_owned(), at, at);
        let position = self.operation(&spanned)?;
        let outputs = &self.document.operations[position].value.outputs;
        match outputs.get_key_value(output) {
            Some((name, output)) => Ok((position, name, &output.value)),
            None => {
                let hint = did_you_mean(output, outputs.keys().map(String::as_str));
                Err(self.wrong(at, format!("`{operation}` has no output `{output}`; {hint}")))
            }
        }
    }

    /// What a text refers to, in the ordered pipeline.
    fn reference(
        &self,
        at: Location,
        text: &str,
        positions: &Positions<'_>,
    ) -> Result<(Reference, &Output), FileError> {
        let (operation, name, output) = self.output(at, text)?;
        let operation = positions[self.name(operation)];
        Ok((Reference { operation, output: name.to_owned() }, output))
    }

    /// A text in which only parameters may be put.
    fn text(&self, at: Location, text: &str) -> Result<String, FileError> {
        let names = minijinja::context! { params => Value::from(Serde(&self.values)) };
        template::render(text, For::Text, &names).map_err(|reason| self.wrong(at, reason))
    }

    fn deliveries(&self, positions: &Positions<'_>) -> Result<Vec<Delivered>, FileError> {
        if self.document.outputs.is_empty() {
            return Ok(self.ends(positions));
        }
        let mut all: Vec<Delivered> = Vec::new();
        for (name, delivery) in &self.document.outputs {
            let Delivery { from, to } = &delivery.value;
            let at = delivery.referenced;
            let (from, _) = self.reference(at, from, positions)?;
            let to = match to {
                Some(to) => Some(self.target(at, to)?),
                None => None,
            };
            let twice = all.iter().find(|other| to.is_some() && other.to == to);
            if let Some(twice) = twice {
                let reason = format!("outputs `{}` and `{name}` have the same `to`", twice.name);
                return Err(self.wrong(at, reason));
            }
            all.push(Delivered { name: name.clone(), from, to });
        }
        Ok(all)
    }

    fn target(&self, at: Location, to: &str) -> Result<PathBuf, FileError> {
        let to = self.text(at, to)?;
        let below = paths::below(&to).map_err(|why| self.wrong(at, format!("`to: {to}` {why}")))?;
        Ok(self.base.join(below))
    }

    /// Every output that no operation takes.
    fn ends(&self, positions: &Positions<'_>) -> Vec<Delivered> {
        let taken = |name: &str| {
            self.document.operations.values().any(|operation| {
                let params = operation.value.params.values().any(|argument| {
                    matches!(&argument.value, crate::document::Argument::From(from) if from == name)
                });
                params
                    || operation.value.inputs.values().any(|input| {
                        matches!(&input.value.source, crate::document::Source::From(from) if from == name)
                    })
            })
        };
        let mut ends = Vec::new();
        for (name, operation) in &self.document.operations {
            for output in operation.value.outputs.keys() {
                let full = format!("{name}.{output}");
                if !taken(&full) {
                    let operation = positions[name.as_str()];
                    let from = Reference { operation, output: output.clone() };
                    ends.push(Delivered { name: full, from, to: None });
                }
            }
        }
        ends
    }
}
