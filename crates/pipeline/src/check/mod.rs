//! Whether the parts of a document fit together.
//!
//! Everything that can be wrong is found here, before anything runs, and told with its place.

mod code;
mod command;
mod deliveries;
mod endurance;
mod joins;
mod machine;
mod matrix;
mod names;
mod process;
mod scope;
mod seed;
mod spread;
mod task;
mod tick;
mod work;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::value::{Serde, Value};
use thrifty_engine::did_you_mean;

use crate::compose::{self, Variation};
use crate::document::{Argument, Document, Operation, Output, Source, Table, WrittenPartitions};
use crate::error::FileError;
use crate::order::order;
use crate::params;
use crate::pipeline::{Pipeline, Reference};
use crate::place::{Location, Sources, Spanned};
use crate::template::{self, For};
use crate::ticks::Tick;
use scope::Scope;
use spread::Built;

/// How many operations one pipeline may have, steps included.
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
        let variation = Variation { params: set.to_vec(), ..Variation::default() };
        Self::read_with(path, &variation, variable)
    }

    /// Reads an operation file with presets and fields laid over it, and sets its parameters.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::read`].
    pub fn read_with(
        path: &Path,
        variation: &Variation,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, FileError> {
        let mut world = World::new(variable);
        let document = compose::read(path, &world.sources)?;
        let document = compose::overridden(path, document, &world.sources, variation)?;
        let schedule = world.schedule(&document, variation.tick)?;
        Ok(Self { schedule, ..world.pipeline(path, &document, &variation.params)? })
    }
}

/// What all files of a pipeline are checked with.
struct World<'a> {
    sources: Sources,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// The files that are being read, each used by the one before it.
    using: RefCell<Vec<PathBuf>>,
    /// How many operations there are by now.
    operations: Cell<usize>,
    /// The tick that the run is for, if the operation file has a schedule.
    tick: Option<Tick>,
}

impl<'a> World<'a> {
    fn new(variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let (sources, using) = (Sources::default(), RefCell::default());
        Self { sources, variable, using, operations: Cell::new(0), tick: None }
    }

    fn wrong(&self, at: Location, reason: impl Into<String>) -> FileError {
        FileError::Meaning { place: self.sources.place(at), reason: reason.into() }
    }

    /// The pipeline that the document of a file describes.
    fn pipeline(
        &self,
        path: &Path,
        document: &Document,
        set: &[(String, String)],
    ) -> Result<Pipeline, FileError> {
        let values = params::settle(path, &self.sources, &document.params, set)?;
        self.names(path, document)?;
        let absolute = absolute(path)?;
        self.using.borrow_mut().push(absolute.clone());
        let scope = Scope::of_file(self, &absolute, document, values)?;
        let name = scope.file.clone();
        let check = Check { world: self, operations: &document.operations, scope };
        let built = check.build()?;
        let deliveries = check.deliveries(&document.outputs, &built)?;
        let base = check.scope.base.to_path_buf();
        Ok(Pipeline { name, base, commands: built.all(), deliveries, schedule: None })
    }
}

/// The path of a file, from the root.
fn absolute(path: &Path) -> Result<PathBuf, FileError> {
    path.canonicalize()
        .map_err(|error| FileError::Unreadable { path: path.to_owned(), reason: error.to_string() })
}

/// Operations that see each other, being checked.
struct Check<'a> {
    world: &'a World<'a>,
    operations: &'a Table<Operation>,
    scope: Scope,
}

impl<'a> Check<'a> {
    fn wrong(&self, at: Location, reason: impl Into<String>) -> FileError {
        self.world.wrong(at, reason)
    }

    fn name(&self, position: usize) -> &'a str {
        self.operations.get_index(position).map_or("", |(name, _)| name)
    }

    /// All operations, each after those it takes from.
    fn build(&self) -> Result<Built<'a>, FileError> {
        let mut built = Built::default();
        for from in self.order()? {
            self.copies(from, &mut built)?;
        }
        Ok(built)
    }

    /// Operations by their position in the file, each after those it takes from.
    fn order(&self) -> Result<Vec<usize>, FileError> {
        let mut needs = Vec::with_capacity(self.operations.len());
        for (_, operation) in self.operations {
            let mut all = self.taken(&operation.value)?;
            for name in &operation.value.needs {
                all.push(self.operation(name)?);
            }
            needs.push(all);
        }
        order(&needs).map_err(|circle| {
            let names: Vec<_> =
                circle.iter().chain(circle.first()).map(|at| self.name(*at)).collect();
            let at = circle.first().and_then(|at| self.operations.get_index(*at));
            let at = at.map_or(Location::UNKNOWN, |(_, operation)| operation.referenced);
            self.wrong(at, format!("operations need each other in a circle: {}", names.join(" → ")))
        })
    }

    /// The operations that one takes from.
    fn taken(&self, operation: &Operation) -> Result<Vec<usize>, FileError> {
        let mut taken = Vec::new();
        for argument in operation.params.values() {
            if let Argument::From(from) = &argument.value {
                taken.push(self.output(argument.referenced, from)?.0);
            }
        }
        for input in operation.inputs.values() {
            if let Source::From(from) = &input.value.source
                && Scope::input_in(from).is_none()
            {
                taken.push(self.output(input.referenced, from)?.0);
            }
        }
        if let Some(Spanned { value: WrittenPartitions::From(from), referenced }) =
            &operation.partitions
            && Scope::input_in(from).is_none()
        {
            taken.push(self.output(*referenced, from)?.0);
        }
        Ok(taken)
    }

    fn operation(&self, name: &Spanned<String>) -> Result<usize, FileError> {
        self.operations.get_index_of(&name.value).ok_or_else(|| {
            let known = self.operations.keys().map(String::as_str);
            let hint = did_you_mean(&name.value, known);
            self.wrong(name.referenced, format!("there is no operation `{}`; {hint}", name.value))
        })
    }

    /// The operation, by its position in the file, and the name of the output that a text names.
    fn output<'t>(&self, at: Location, text: &'t str) -> Result<(usize, &'t str), FileError> {
        let Some((operation, output)) = text.split_once('.') else {
            return Err(self.wrong(at, format!("`{text}` must be operation.output")));
        };
        Ok((self.operation(&Spanned::new(operation.to_owned(), at))?, output))
    }

    /// What a text refers to, among the operations before.
    fn reference(
        &self,
        at: Location,
        text: &str,
        built: &Built<'_>,
    ) -> Result<(Reference, Output), FileError> {
        let (operation, output) = self.output(at, text)?;
        let name = self.name(operation);
        let command = built.first(name);
        let outputs = &command.outputs;
        let found = match &command.matrix {
            Some(search) => search.output(outputs, output),
            None => outputs.iter().find(|(known, _)| known == output).map(|(_, it)| it.clone()),
        };
        match found {
            Some(kind) => Ok(self.taken_of(name, output, kind, built)),
            None => {
                let hint = did_you_mean(output, outputs.iter().map(|(known, _)| known.as_str()));
                Err(self.wrong(at, format!("`{name}` has no output `{output}`; {hint}")))
            }
        }
    }

    /// A text in which only parameters may be put.
    fn text(&self, at: Location, text: &str) -> Result<String, FileError> {
        let names = minijinja::context! {
            params => Value::from(Serde(&self.scope.values)),
            tick => self.world.tick.as_ref().map_or(Value::UNDEFINED, Tick::named),
        };
        template::render(text, For::Text, &names).map_err(|reason| {
            let reason = self.scope.late_in(text).map_or(reason, |late| {
                format!(
                    "`params.{late}` is known only when the run has come so far: name it in `run`"
                )
            });
            self.wrong(at, reason)
        })
    }
}

/// The directory of a file.
fn above(path: &Path) -> Arc<Path> {
    Arc::from(path.parent().unwrap_or(path))
}
