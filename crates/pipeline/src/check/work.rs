//! What an operation does: exactly one thing.

use super::Check;
use crate::document::{Operation, Run};
use crate::error::FileError;
use crate::place::{Location, Spanned};

/// What an operation is written to do.
pub(super) enum Written<'a> {
    /// It runs a command.
    Run(&'a Spanned<Run>),
    /// It calls a function.
    Task(&'a Spanned<String>),
    /// It has steps.
    Steps,
    /// Its steps are the operations of a file.
    Use(&'a Spanned<String>),
}

impl Check<'_> {
    /// What an operation is written to do.
    pub(super) fn written<'o>(
        &self,
        name: &str,
        at: Location,
        operation: &'o Operation,
    ) -> Result<Written<'o>, FileError> {
        let run = operation.run.as_ref().map(Written::Run);
        let task = operation.task.as_ref().map(Written::Task);
        let steps = (!operation.operations.is_empty()).then_some(Written::Steps);
        let used = operation.uses.as_ref().map(Written::Use);
        let all = [("run", run), ("task", task), ("operations", steps), ("use", used)];
        let mut given: Vec<_> =
            all.into_iter().filter_map(|(field, what)| Some((field, what?))).collect();
        if given.len() > 1 {
            let fields: Vec<_> = given.iter().map(|(field, _)| format!("`{field}`")).collect();
            let reason =
                format!("operation `{name}` has {}: it may have one of them", fields.join(" and "));
            return Err(self.wrong(at, reason));
        }
        match given.pop() {
            Some((_, written)) => Ok(written),
            None => {
                let reason =
                    format!("operation `{name}` has none of `run`, `task`, `operations` and `use`");
                Err(self.wrong(at, reason))
            }
        }
    }
}
