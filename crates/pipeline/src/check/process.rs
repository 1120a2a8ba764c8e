//! An operation that is a process: its steps are checked in a scope of their own.

use std::sync::Arc;

use indexmap::IndexMap;
use thrifty_engine::did_you_mean;

use super::scope::{Scope, stem};
use super::{Built, Check, above, absolute};
use crate::compose;
use crate::document::{Cache, Document, Operation, Output, Table};
use crate::error::FileError;
use crate::layer::Layer;
use crate::params::Values;
use crate::pipeline::{Given, Maker, Origin, Placed, Process, Reference};
use crate::place::{Location, Spanned};

/// What a process takes and gives, checked.
pub(super) struct Checked {
    pub(super) process: Process,
    /// Its outputs, each as the step makes it that gives it.
    pub(super) outputs: Vec<(String, Output)>,
}

/// What a process hands to its steps.
pub(super) struct Handed<'a> {
    pub(super) name: &'a str,
    pub(super) operation: &'a Operation,
    pub(super) params: &'a [(String, Given)],
    pub(super) inputs: &'a [Placed],
}

impl Check<'_> {
    /// The process whose steps stand in the operation itself.
    pub(super) fn steps(&self, handed: &Handed<'_>) -> Result<Checked, FileError> {
        let name = handed.name;
        let (values, late) = split(handed.params);
        let scope = Scope {
            base: Arc::clone(&self.scope.base),
            file: self.scope.file.clone(),
            shown: format!("{}.", self.shown(name)),
            counted: format!("{}{name}.", self.scope.counted),
            values,
            inputs: arguments(handed.inputs, late.len()),
            late,
            env: self.variables(&handed.operation.env)?,
            cache: self.cache_around(handed.operation),
            on_failure: handed.operation.on_failure.or(self.scope.on_failure),
            seed: self.scope.seed,
            drawn: self.scope.drawn,
            copy: Vec::new(),
            parts: None,
        };
        let inner = Check { world: self.world, operations: &handed.operation.operations, scope };
        let built = inner.build()?;
        let written = handed.operation.outputs.iter();
        let outputs = written.map(|(name, output)| match &output.value {
            Output::File(text) => Ok((name.as_str(), output.referenced, text.clone())),
            Output::Value
            | Output::Directory(_)
            | Output::Json { .. }
            | Output::Metrics(_)
            | Output::Plot(_) => {
                let reason = format!("output `{name}` of a process must be step.output");
                Err(self.wrong(output.referenced, reason))
            }
        });
        let outputs: Vec<_> = outputs.collect::<Result<_, _>>()?;
        inner.gives(built, outputs)
    }

    /// The process whose steps are the operations of another file.
    pub(super) fn used(
        &self,
        handed: &Handed<'_>,
        file: &Spanned<String>,
    ) -> Result<Checked, FileError> {
        if let Some((_, output)) = handed.operation.outputs.first() {
            let reason = "the outputs of a used file are those that it gives itself";
            return Err(self.wrong(output.referenced, reason));
        }
        let path = self.scope.base.join(self.text(file.referenced, &file.value)?);
        let path = absolute(&path)
            .map_err(|error| self.wrong(file.referenced, format!("`use`: {error}")))?;
        let mut circle = self.world.using.borrow().clone();
        if let Some(first) = circle.iter().position(|other| *other == path) {
            circle.push(path);
            let names: Vec<_> = circle[first..].iter().map(|it| it.display().to_string()).collect();
            let reason = format!("files use each other in a circle: {}", names.join(" → "));
            return Err(self.wrong(file.referenced, reason));
        }
        let document = compose::read(&path, &self.world.sources)?;
        self.world.names(&path, &document)?;
        self.world.using.borrow_mut().push(path.clone());
        let scope = self.scope_of_used(handed, file.referenced, &path, &document)?;
        let inner = Check { world: self.world, operations: &document.operations, scope };
        let built = inner.build()?;
        self.world.using.borrow_mut().pop();
        let outputs = document.outputs.iter();
        let outputs = outputs
            .map(|(name, given)| (name.as_str(), given.referenced, given.value.from.clone()));
        inner.gives(built, outputs.collect())
    }

    fn scope_of_used(
        &self,
        handed: &Handed<'_>,
        at: Location,
        path: &std::path::Path,
        document: &Document,
    ) -> Result<Scope, FileError> {
        let (given, late) = split(handed.params);
        let values = self.values_of_used(handed, at, document, given, &late)?;
        let file = stem(path);
        let mut inner = Check {
            world: self.world,
            operations: &Table::new(),
            scope: Scope {
                base: above(path),
                shown: format!("{}.", self.shown(handed.name)),
                counted: format!("{file}:"),
                file,
                values,
                inputs: Vec::new(),
                late,
                env: self.variables(&handed.operation.env)?,
                cache: layered(&document.cache, &self.cache_around(handed.operation)),
                on_failure: document
                    .on_failure
                    .or(handed.operation.on_failure)
                    .or(self.scope.on_failure),
                seed: self.world.seed_stated(document)?.or(self.scope.seed),
                drawn: self.scope.drawn,
                copy: Vec::new(),
                parts: None,
            },
        };
        inner.scope.env = inner.variables(&document.env)?;
        let mut given = arguments(handed.inputs, inner.scope.late.len());
        for input in &given {
            if !document.inputs.contains_key(&input.name) {
                let known = document.inputs.keys().map(String::as_str);
                let hint = did_you_mean(&input.name, known);
                let at = handed.operation.inputs.get(&input.name).map_or(at, |it| it.referenced);
                let reason = format!("the used file has no input `{}`; {hint}", input.name);
                return Err(self.wrong(at, reason));
            }
        }
        let left =
            document.inputs.iter().filter(|(name, _)| !given.iter().any(|it| it.name == **name));
        let left: Table<_> = left.map(|(name, input)| (name.clone(), input.clone())).collect();
        if let Some((name, _)) = left.iter().find(|(_, input)| input.value.is_none()) {
            let reason = format!("the used file needs an input `{name}`: give it in `inputs`");
            return Err(self.wrong(at, reason));
        }
        given.extend(inner.inputs_of_file(&left)?);
        inner.scope.inputs = given;
        Ok(inner.scope)
    }

    /// The params of a used file: as given, or their defaults.
    fn values_of_used(
        &self,
        handed: &Handed<'_>,
        at: Location,
        document: &Document,
        mut given: Values,
        late: &IndexMap<String, Reference>,
    ) -> Result<Values, FileError> {
        let place = |name: &str| handed.operation.params.get(name).map_or(at, |it| it.referenced);
        for name in given.keys().chain(late.keys()) {
            if !document.params.contains_key(name) {
                let hint = did_you_mean(name, document.params.keys().map(String::as_str));
                let reason = format!("the used file has no parameter `{name}`; {hint}");
                return Err(self.wrong(place(name), reason));
            }
        }
        let mut values = Values::new();
        for (name, param) in &document.params {
            if late.contains_key(name) {
                continue;
            }
            let value = given.shift_remove(name).or_else(|| param.value.default.clone());
            let Some(value) = value else {
                let reason =
                    format!("the used file needs a parameter `{name}`: give it in `params`");
                return Err(self.wrong(at, reason));
            };
            param.value.admit(&value).map_err(|why| {
                self.wrong(place(name), format!("parameter `{name}` of the used file {why}"))
            })?;
            values.insert(name.clone(), param.value.typed(value));
        }
        Ok(values)
    }

    /// The process that these steps are, with what it gives of theirs.
    fn gives(
        &self,
        built: Built<'_>,
        outputs: Vec<(&str, Location, String)>,
    ) -> Result<Checked, FileError> {
        let (mut gives, mut kinds) = (Vec::new(), Vec::new());
        for (name, at, from) in outputs {
            let (reference, kind) = self.reference(at, &from, &built)?;
            kinds.push((name.to_owned(), kind));
            gives.push((name.to_owned(), reference));
        }
        Ok(Checked { process: Process { steps: built.all(), gives }, outputs: kinds })
    }

    /// What steps do not say about the cache themselves. Those of trials are computed once, as trials.
    fn cache_around(&self, operation: &Operation) -> Cache {
        let mut all = layered(&operation.cache, &self.scope.cache);
        all.serialize = all.serialize.or(operation.matrix.is_some().then_some(true));
        all
    }

    /// What stands in a process must make sense for one.
    pub(super) fn is_process(
        &self,
        name: &str,
        at: Location,
        operation: &Operation,
    ) -> Result<(), FileError> {
        let wrong = |at, field: &str| {
            let reason = format!("`{field}` is for a command: say it at the steps of `{name}`");
            Err(self.wrong(at, reason))
        };
        if let Some(code) = operation.code.first() {
            return wrong(code.referenced, "code");
        }
        if let Some(timeout) = &operation.timeout {
            return wrong(timeout.referenced, "timeout");
        }
        if let Some(seed) = &operation.seed {
            return wrong(seed.referenced, "seed");
        }
        if let Some(join) = operation.joins.values().next() {
            return wrong(join.referenced, "joins");
        }
        if let Some(image) = &operation.image {
            return wrong(image.referenced, "image");
        }
        if let Some(resources) = &operation.resources {
            return wrong(resources.referenced, "resources");
        }
        if let Some(retries) = &operation.retries {
            return wrong(retries.referenced, "retries");
        }
        for (field, directory) in
            [("checkpoints", &operation.checkpoints), ("artifacts", &operation.artifacts)]
        {
            if let Some(directory) = directory {
                return wrong(directory.referenced, field);
            }
        }
        if !operation.tags.is_empty() {
            return wrong(at, "tags");
        }
        match operation.cache.io.as_ref().and_then(|names| names.first()) {
            Some(first) => wrong(first.referenced, "cache.io"),
            None => Ok(()),
        }
    }
}

/// The params of a process that are known, and the numbers of those that come by an edge.
fn split(params: &[(String, Given)]) -> (Values, IndexMap<String, Reference>) {
    let (mut values, mut late) = (Values::new(), IndexMap::new());
    for (name, given) in params {
        match given {
            Given::Value(value) => _ = values.insert(name.clone(), value.clone()),
            Given::From(_) => {
                let from = Reference::new(Maker::Argument(late.len()), name.clone());
                late.insert(name.clone(), from);
            }
        }
    }
    (values, late)
}

/// The inputs of a process as its steps see them: its edges follow those of its params.
fn arguments(inputs: &[Placed], first: usize) -> Vec<Placed> {
    let mut next = first;
    let seen = inputs.iter().map(|input| {
        let from = match &input.from {
            Origin::Path(path) => Origin::Path(path.clone()),
            Origin::Output(_) => {
                let from = Maker::Argument(next);
                next += 1;
                Origin::Output(Reference::new(from, input.name.clone()))
            }
        };
        Placed { from, ..input.clone() }
    });
    seen.collect()
}

/// What operations within do not say themselves: the nearest around them that says something.
fn layered(own: &Cache, around: &Cache) -> Cache {
    let mut own = own.clone();
    own.over(around.clone());
    own
}
