//! One operation: everything it takes is there, everything it makes has a place of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use thrifty_engine::did_you_mean;
use thrifty_engine::units::parse_duration;

use super::code::{Around, Named};
use super::process::Handed;
use super::scope::Scope;
use super::spread::suffix;
use super::work::Written;
use super::{Built, Check, MOST};
use crate::document::{Argument, Cache, Input, Operation, Output, Run, Source};
use crate::endurance::{Endurance, Waiters};
use crate::error::FileError;
use crate::expand::RESUME;
use crate::paths;
use crate::pipeline::{Caching, Command, Given, Maker, Origin, Placed, Process, Reference, Work};
use crate::place::{Location, Spanned};
use crate::template;
use crate::tools::Tool;

impl Check<'_> {
    /// The operation at a position in the file.
    pub(super) fn command(&self, from: usize, built: &Built<'_>) -> Result<Command, FileError> {
        let (name, spanned) = (self.name(from), &self.operations[from]);
        let (at, operation) = (spanned.referenced, &spanned.value);
        self.count(at)?;
        let written = self.written(name, at, operation)?;
        if matches!(written, Written::Steps | Written::Use(_)) {
            self.is_process(name, at, operation)?;
        }
        let inputs = self.inputs(operation, built)?;
        let mut needs = Vec::new();
        for name in &operation.needs {
            needs.extend(self.before(self.name(self.operation(name)?), built));
        }
        let mut command = Command {
            name: self.shown(name),
            operation: format!("{}{name}", self.scope.counted),
            base: Arc::clone(&self.scope.base),
            work: Work::Process(Process { steps: Vec::new(), gives: Vec::new() }),
            code: Vec::new(),
            programs: Vec::new(),
            texts: Vec::new(),
            called: Vec::new(),
            assigned: Vec::new(),
            tool: None,
            undeclared: Vec::new(),
            env: Vec::new(),
            cache: self.caching(operation)?,
            seed: None,
            joins: self.joins(operation, &inputs)?,
            image: self.image(operation)?,
            resources: self.resources(operation)?,
            endurance: Endurance {
                fail_fast: self.ends_the_run(operation),
                ..Endurance::default()
            },
            timeout: self.duration("timeout", operation.timeout.as_ref())?,
            needs,
            params: Vec::new(),
            inputs,
            outputs: Vec::new(),
            absent: operation.resumes().then(|| RESUME.to_owned()).into_iter().collect(),
            matrix: None,
        };
        match written {
            Written::Run(run) => self.runs(&mut command, operation, run, built)?,
            Written::Task(target) => self.calls(&mut command, operation, target, built)?,
            Written::Steps | Written::Use(_) => {
                command.matrix = self.search(operation)?;
                command.params = self.tried_params(&command, operation, built)?;
                let (params, inputs) = (&command.params, &command.inputs);
                let handed = Handed { name, operation, params, inputs };
                let checked = match written {
                    Written::Use(file) => self.used(&handed, file)?,
                    Written::Steps | Written::Run(_) | Written::Task(_) => self.steps(&handed)?,
                };
                command.work = Work::Process(checked.process);
                command.outputs = checked.outputs;
            }
        }
        self.is_measured(operation, &command.outputs)?;
        Ok(command)
    }

    fn runs(
        &self,
        command: &mut Command,
        operation: &Operation,
        run: &Spanned<Run>,
        built: &Built<'_>,
    ) -> Result<(), FileError> {
        command.outputs = self.outputs(operation, &command.inputs)?;
        command.endurance = self.endurance(operation, &command.inputs, &command.outputs)?;
        command.matrix = self.search(operation)?;
        let varied = command.matrix.as_ref().map_or(&[][..], |search| &search.names);
        command.params = self.used_params(operation, run, varied, built)?;
        let Command { params, inputs, outputs, .. } = &*command;
        let named = self.named(operation, &run.value, &Around { params, inputs, outputs })?;
        let Named { code, texts, programs, called, assigned, undeclared } = named;
        (command.code, command.texts) = (code, texts);
        (command.programs, command.called) = (programs, called);
        (command.assigned, command.undeclared) = (assigned, undeclared);
        command.env = self.variables(&operation.env)?.into_iter().collect();
        command.seed = self.drawn(operation, run)?;
        command.tool = Tool::of(&run.value, &self.world.sources.place(run.referenced));
        command.work = Work::Run(run.value.clone());
        Ok(())
    }

    /// The name by which the operation that is being checked is shown.
    pub(super) fn shown(&self, name: &str) -> String {
        format!("{}{name}{}", self.scope.shown, suffix(&self.scope.copy))
    }

    fn count(&self, at: Location) -> Result<(), FileError> {
        let count = self.world.operations.get() + 1;
        self.world.operations.set(count);
        if count > MOST {
            let reason = format!("this is one operation more than {MOST}, which is the most");
            return Err(self.wrong(at, reason));
        }
        Ok(())
    }

    fn inputs(&self, operation: &Operation, built: &Built<'_>) -> Result<Vec<Placed>, FileError> {
        let mut all: Vec<Placed> = Vec::new();
        for (name, input) in &operation.inputs {
            let at = input.referenced;
            let placed = self.input(name, at, &input.value, built)?;
            if let Some(other) = all.iter().find(|other| paths::overlap(&other.to, &placed.to)) {
                let reason = format!(
                    "inputs `{}` and `{name}` both come to {}: give one another `to`",
                    other.name, placed.to
                );
                return Err(self.wrong(at, reason));
            }
            all.push(placed);
        }
        Ok(all)
    }

    fn input(
        &self,
        name: &str,
        at: Location,
        input: &Input,
        built: &Built<'_>,
    ) -> Result<Placed, FileError> {
        let text = match &input.source {
            Source::Path(path) => return self.path_input(name, at, path, input.to.as_deref()),
            Source::From(text) => text,
        };
        let (from, own) = match Scope::input_in(text) {
            Some(around) => self.input_around(at, around)?,
            None => {
                let (reference, output) = self.reference(at, text, built)?;
                let path = match output {
                    Output::Value => name,
                    _ => output.as_file().ok_or_else(|| {
                        self.wrong(at, format!("`{text}` is a value: take it in `params`"))
                    })?,
                };
                // What several copies gave has no place of its own.
                let path = if path.is_empty() { name } else { path };
                (Origin::Output(reference), path.to_owned())
            }
        };
        self.placed(name, at, from, own, input.to.as_deref())
    }

    /// An input that is there.
    pub(super) fn path_input(
        &self,
        name: &str,
        at: Location,
        path: &str,
        to: Option<&str>,
    ) -> Result<Placed, FileError> {
        let text = self.text(at, path)?;
        let path = self.scope.base.join(&text);
        if let Err(error) = path.metadata() {
            let reason = format!("input `{name}`: {}: {error}", path.display());
            return Err(self.wrong(at, reason));
        }
        self.placed(name, at, Origin::Path(path), self.place_of(&text, name), to)
    }

    /// An input of the process or file around.
    fn input_around(&self, at: Location, name: &str) -> Result<(Origin, String), FileError> {
        let inputs = &self.scope.inputs;
        match inputs.iter().find(|input| input.name == name) {
            Some(input) => Ok((input.from.clone(), input.to.clone())),
            None => {
                let hint = did_you_mean(name, inputs.iter().map(|input| input.name.as_str()));
                Err(self.wrong(at, format!("there is no input `{name}` around it; {hint}")))
            }
        }
    }

    fn placed(
        &self,
        name: &str,
        at: Location,
        from: Origin,
        own: String,
        to: Option<&str>,
    ) -> Result<Placed, FileError> {
        let to = match to {
            Some(to) => self.text(at, to)?,
            None => own,
        };
        let to = paths::below(&to).map_err(|why| {
            self.wrong(at, format!("input `{name}`: `{to}` {why}; or give it a `to`"))
        })?;
        Ok(Placed { name: name.to_owned(), from, to })
    }

    /// Where a file finds its place in the directory of the command: where it is below the
    /// operation file, or by its name if it is elsewhere.
    fn place_of(&self, text: &str, name: &str) -> String {
        match paths::below(text) {
            Ok(path) => path,
            Err(_) => match Path::new(text).file_name() {
                Some(file) => format!("{name}/{}", file.to_string_lossy()),
                None => name.to_owned(),
            },
        }
    }

    fn outputs(
        &self,
        operation: &Operation,
        inputs: &[Placed],
    ) -> Result<Vec<(String, Output)>, FileError> {
        let mut all: Vec<(String, Output)> = Vec::new();
        for (name, output) in &operation.outputs {
            let at = output.referenced;
            let output = self.output_below(name, at, &output.value)?;
            let path = output.path();
            if let Some(input) = inputs.iter().find(|input| paths::overlap(&input.to, path)) {
                let reason = format!(
                    "output `{name}` would overwrite input `{}` at {path}: choose another path",
                    input.name
                );
                return Err(self.wrong(at, reason));
            }
            // Values may be read from a JSON file that is an output itself.
            let clash = all.iter().find(|(_, other)| {
                let is_value = [other, &output].iter().any(|it| matches!(it, Output::Json { .. }));
                paths::overlap(other.path(), path) && !(is_value && other.path() == path)
            });
            if let Some((other, _)) = clash {
                let reason = format!("outputs `{other}` and `{name}` are both at {path}");
                return Err(self.wrong(at, reason));
            }
            all.push((name.clone(), output));
        }
        Ok(all)
    }

    fn output_below(&self, name: &str, at: Location, output: &Output) -> Result<Output, FileError> {
        let below = |path: &str| {
            let path = self.text(at, path)?;
            paths::below(&path)
                .map_err(|why| self.wrong(at, format!("output `{name}`: `{path}` {why}")))
        };
        Ok(match output {
            Output::Value => {
                let reason = format!("output `{name}` has no path: a list of names is for `task`");
                return Err(self.wrong(at, reason));
            }
            Output::File(path) => Output::File(below(path)?),
            Output::Directory(path) => Output::Directory(below(path)?),
            Output::Metrics(path) => Output::Metrics(below(path)?),
            Output::Plot(path) => Output::Plot(below(path)?),
            Output::Json { path, at: pointer } => {
                if !pointer.is_empty() && !pointer.starts_with('/') {
                    let reason = format!("output `{name}`: `at: {pointer}` must begin with `/`");
                    return Err(self.wrong(at, reason));
                }
                Output::Json { path: below(path)?, at: pointer.clone() }
            }
        })
    }

    /// The values that the command uses: what it declares itself, and those around it that it
    /// names.
    fn used_params(
        &self,
        operation: &Operation,
        run: &Spanned<Run>,
        varied: &[String],
        built: &Built<'_>,
    ) -> Result<Vec<(String, Given)>, FileError> {
        let mut given = self.own_params(operation, built)?;
        // Each trial has values of its own in their places.
        given.extend(varied.iter().map(|name| (name.clone(), Given::Value(Json::Null))));
        for name in self.names_in(operation, run, varied)? {
            if let Some(part) = name.strip_prefix("tick.") {
                let (name, value) = self.tick_part(run.referenced, part)?;
                given.insert(name, Given::Value(value));
                continue;
            }
            if let Some(value) = self.param_around(&name) {
                given.entry(name).or_insert(value);
            }
        }
        Ok(given.into_iter().collect())
    }

    /// The values that an operation declares, and those that each trial of it brings.
    pub(super) fn tried_params(
        &self,
        command: &Command,
        operation: &Operation,
        built: &Built<'_>,
    ) -> Result<Vec<(String, Given)>, FileError> {
        let mut given = self.own_params(operation, built)?;
        for name in command.matrix.iter().flat_map(|search| &search.names) {
            let from = Reference::new(Maker::Trial, name.clone());
            given.insert(name.clone(), Given::From(from));
        }
        Ok(given.into_iter().collect())
    }

    /// The values that an operation declares.
    pub(super) fn own_params(
        &self,
        operation: &Operation,
        built: &Built<'_>,
    ) -> Result<BTreeMap<String, Given>, FileError> {
        let mut given = BTreeMap::new();
        for (name, argument) in &operation.params {
            let at = argument.referenced;
            let value = match &argument.value {
                Argument::Value(Json::String(text)) => match self.whole(text) {
                    Some(given) => given,
                    None => Given::Value(Json::from(self.text(at, text)?)),
                },
                Argument::Value(value) => Given::Value(self.filled(at, value)?),
                Argument::From(text) => {
                    let (reference, output) = self.reference(at, text, built)?;
                    if !matches!(output, Output::Json { .. } | Output::Value) {
                        let reason = format!("`{text}` is a file: take it in `inputs`");
                        return Err(self.wrong(at, reason));
                    }
                    Given::From(reference)
                }
            };
            given.insert(name.clone(), value);
        }
        Ok(given)
    }

    /// A param of the file or process around.
    fn param_around(&self, name: &str) -> Option<Given> {
        let value = self.scope.values.get(name).cloned().map(Given::Value);
        value.or_else(|| self.scope.late.get(name).cloned().map(Given::From))
    }

    fn params_around(&self) -> impl Iterator<Item = &str> {
        self.scope.values.keys().chain(self.scope.late.keys()).map(String::as_str)
    }

    /// The params that the command names; every other name in it is one it has, too.
    fn names_in(
        &self,
        operation: &Operation,
        run: &Spanned<Run>,
        varied: &[String],
    ) -> Result<BTreeSet<String>, FileError> {
        let at = run.referenced;
        let words = match &run.value {
            Run::Shell(text) => std::slice::from_ref(text),
            Run::Words(words) => words,
        };
        if words.first().is_none_or(|first| first.trim().is_empty()) {
            return Err(self.wrong(at, "`run` is empty"));
        }
        let mut params = BTreeSet::new();
        for word in words {
            let names = template::names(word).map_err(|reason| self.wrong(at, reason))?;
            template::check(word).map_err(|reason| self.wrong(at, reason))?;
            for name in names {
                params.extend(self.known(at, operation, varied, &name)?);
            }
        }
        Ok(params)
    }

    /// Checks a dotted name of a template; the name of a param if it is one.
    fn known(
        &self,
        at: Location,
        operation: &Operation,
        varied: &[String],
        dotted: &str,
    ) -> Result<Option<String>, FileError> {
        let (space, rest) = dotted.split_once('.').unwrap_or((dotted, ""));
        let name = rest.split('.').next().unwrap_or_default();
        let known: Vec<&str> = match space {
            "params" => {
                let own = operation.params.keys().chain(varied).map(String::as_str);
                own.chain(joins(operation, false)).chain(self.params_around()).collect()
            }
            "inputs" => {
                let resume = operation.resumes().then_some(RESUME);
                let own = operation.inputs.keys().map(String::as_str).chain(resume);
                own.chain(joins(operation, true)).collect()
            }
            // No param has a dot in its name.
            "tick" => return Ok(Some(format!("tick.{rest}"))),
            "outputs" => operation.outputs.keys().map(String::as_str).collect(),
            "seed" if rest.is_empty() => return Ok(None),
            "run" => {
                let checkpoints = operation.checkpoints.is_some().then_some("checkpoints");
                let artifacts = operation.artifacts.is_some().then_some("artifacts");
                checkpoints.into_iter().chain(artifacts).collect()
            }
            _ => {
                let reason = format!(
                    "`{dotted}` in `run`: names begin with `params.`, `inputs.` or `outputs.`, or are `seed` or `tick`"
                );
                return Err(self.wrong(at, reason));
            }
        };
        if !known.contains(&name) {
            let hint = did_you_mean(name, known);
            return Err(
                self.wrong(at, format!("`{dotted}` in `run`: there is no such name; {hint}"))
            );
        }
        Ok((space == "params").then(|| name.to_owned()))
    }

    /// A value with the pipeline's parameters put into its texts. A text that is one parameter
    /// and nothing else becomes its value, whatever its type.
    pub(super) fn filled(&self, at: Location, value: &Json) -> Result<Json, FileError> {
        Ok(match value {
            Json::String(text) => match self.whole(text) {
                Some(Given::Value(value)) => value,
                Some(Given::From(_)) | None => Json::from(self.text(at, text)?),
            },
            Json::Array(items) => Json::Array(
                items.iter().map(|item| self.filled(at, item)).collect::<Result<_, _>>()?,
            ),
            Json::Object(table) => {
                let filled =
                    table.iter().map(|(name, item)| Ok((name.clone(), self.filled(at, item)?)));
                Json::Object(filled.collect::<Result<_, FileError>>()?)
            }
            other => other.clone(),
        })
    }

    /// The param that a text is and nothing else.
    fn whole(&self, text: &str) -> Option<Given> {
        let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
        self.param_around(inside.strip_prefix("params.")?)
    }

    fn caching(&self, operation: &Operation) -> Result<Caching, FileError> {
        let (own, all) = (&operation.cache, &self.scope.cache);
        let chosen =
            |field: fn(&Cache) -> Option<&Spanned<String>>| field(own).or_else(|| field(all));
        let io = match own.io.as_ref().or(all.io.as_ref()) {
            Some(names) if own.io.is_some() => Some(self.io(operation, names)?),
            Some(names) => Some(names.iter().map(|name| name.value.clone()).collect()),
            None => None,
        };
        Ok(Caching {
            disable: own.disable,
            disable_all: all.disable,
            ttl: self.duration("ttl", chosen(|cache| cache.ttl.as_ref()))?,
            expires: self.duration("expires", chosen(|cache| cache.expires.as_ref()))?,
            version: own.version.clone().or_else(|| all.version.clone()),
            salt: own.salt.clone().or_else(|| all.salt.clone()),
            io,
            sections: own
                .sections
                .as_ref()
                .or(all.sections.as_ref())
                .map(|all| all.iter().copied().collect()),
            serialize: own.serialize.or(all.serialize).unwrap_or(operation.matrix.is_some()),
            shares_failure: own.on_failure.or(all.on_failure) == Some(Waiters::Share),
        })
    }

    fn io(
        &self,
        operation: &Operation,
        names: &[Spanned<String>],
    ) -> Result<Vec<String>, FileError> {
        let known: Vec<&str> = operation
            .inputs
            .keys()
            .chain(operation.params.keys())
            .chain(operation.matrix.iter().flat_map(|matrix| matrix.value.params.keys()))
            .chain(operation.joins.keys())
            .map(String::as_str)
            .chain(self.params_around())
            .collect();
        for name in names {
            if !known.contains(&name.value.as_str()) {
                let hint = did_you_mean(&name.value, known.iter().copied());
                let reason =
                    format!("`io` names `{}`, which is no input and no param; {hint}", name.value);
                return Err(self.wrong(name.referenced, reason));
            }
        }
        Ok(names.iter().map(|name| name.value.clone()).collect())
    }

    fn duration(
        &self,
        field: &str,
        text: Option<&Spanned<String>>,
    ) -> Result<Option<Duration>, FileError> {
        let Some(text) = text else { return Ok(None) };
        match parse_duration(&text.value) {
            Ok(duration) => Ok(Some(duration)),
            Err(error) => Err(self.wrong(text.referenced, format!("`{field}`: {error}"))),
        }
    }
}

impl Output {
    /// The path that the command writes.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Value => "",
            Self::File(path)
            | Self::Directory(path)
            | Self::Metrics(path)
            | Self::Plot(path)
            | Self::Json { path, .. } => path,
        }
    }

    /// The path, unless it is a value.
    pub(crate) fn as_file(&self) -> Option<&str> {
        (!matches!(self, Self::Json { .. } | Self::Value)).then(|| self.path())
    }
}

/// The names of joins that become values, or files.
fn joins(operation: &Operation, files: bool) -> impl Iterator<Item = &str> {
    let joins = operation.joins.iter().filter(move |(_, it)| it.value.to.is_some() == files);
    joins.map(|(name, _)| name.as_str())
}
