//! An operation that calls a function of a language.

use super::{Built, Check};
use crate::document::{Operation, Output, Seeded};
use crate::error::FileError;
use crate::pipeline::{Command, Drawn, Function, Work};
use crate::place::{Location, Spanned};

/// The one output of a function that declares none.
const RESULT: &str = "result";

impl Check<'_> {
    /// What a call takes and gives. Whether there is such a function is for its language to say.
    pub(super) fn calls(
        &self,
        command: &mut Command,
        operation: &Operation,
        target: &Spanned<String>,
        built: &Built<'_>,
    ) -> Result<(), FileError> {
        let at = target.referenced;
        if !is_target(&target.value) {
            let reason = format!("`task: {}` must be module:function", target.value);
            return Err(self.wrong(at, reason));
        }
        self.has_nothing_of_a_command(at, operation)?;
        for (name, output) in &operation.outputs {
            if output.value != Output::Value {
                let reason = format!(
                    "output `{name}` of a task is an entry of what it returns: write `outputs: [{name}]`"
                );
                return Err(self.wrong(output.referenced, reason));
            }
        }
        let mut outputs: Vec<_> = operation.outputs.keys().cloned().collect();
        let is_taken_apart = !outputs.is_empty();
        if !is_taken_apart {
            outputs.push(RESULT.to_owned());
        }
        command.outputs = outputs.into_iter().map(|name| (name, Output::Value)).collect();
        command.matrix = self.search(operation)?;
        command.params = self.tried_params(command, operation, built)?;
        command.seed = self.drawn_by_task(operation)?;
        let at = self.world.sources.place(at);
        let target = target.value.clone();
        command.work = Work::Task(Function { target, at, is_taken_apart });
        Ok(())
    }

    /// A task draws from the seed in force as it does in a workflow, whether it says so or not.
    fn drawn_by_task(&self, operation: &Operation) -> Result<Option<Drawn>, FileError> {
        Ok(match &operation.seed {
            None => Some(match self.scope.drawn {
                Some(seed) => Drawn::Own(seed),
                None => Drawn::IfAny { stated: self.scope.seed },
            }),
            Some(seed) => match seed.value {
                Seeded::Used(true) => Some(self.in_force(seed.referenced)),
                Seeded::Used(false) => None,
                Seeded::Pinned(number) => Some(Drawn::Own(self.world.seed_of(seed, number)?)),
            },
        })
    }

    fn has_nothing_of_a_command(
        &self,
        at: Location,
        operation: &Operation,
    ) -> Result<(), FileError> {
        let first = |table: Option<Location>, field| Some((field, table?));
        let fields = [
            first(operation.env.values().next().map(|it| it.referenced), "env"),
            first(operation.code.first().map(|it| it.referenced), "code"),
            first(operation.timeout.as_ref().map(|it| it.referenced), "timeout"),
            first(operation.image.as_ref().map(|it| it.referenced), "image"),
            first(operation.resources.as_ref().map(|it| it.referenced), "resources"),
            first(operation.retries.as_ref().map(|it| it.referenced), "retries"),
            first(operation.checkpoints.as_ref().map(|it| it.referenced), "checkpoints"),
            first(operation.artifacts.as_ref().map(|it| it.referenced), "artifacts"),
            first(operation.cache.sections.as_ref().map(|_| at), "cache.sections"),
        ];
        match fields.into_iter().flatten().next() {
            Some((field, at)) => {
                let way = match field {
                    "env" => "hand it over in `params`",
                    "code" => {
                        "what it reaches counts by itself, and files by `Cache(files=…)` of the task"
                    }
                    "cache.sections" => {
                        "`cache.version`, or the `Cache` of the task, says what counts"
                    }
                    "checkpoints" | "artifacts" => "return a thrifty.File",
                    _ => "call it from a command, such as `run: python -m module`",
                };
                let reason = format!("`{field}` is for commands, and not for functions: {way}");
                Err(self.wrong(at, reason))
            }
            None => Ok(()),
        }
    }
}

/// Whether a text names a function, as `module:function`.
pub(super) fn is_target(text: &str) -> bool {
    text.split_once(':').is_some_and(|(module, name)| {
        let is_word = |it: &str| it.chars().all(|c| c.is_alphanumeric() || c == '_');
        [module, name].iter().all(|path| path.split('.').all(|it| !it.is_empty() && is_word(it)))
    })
}
