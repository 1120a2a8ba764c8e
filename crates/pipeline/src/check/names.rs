//! Names: what may be one.

use std::path::Path;

use super::World;
use crate::document::{Document, Operation, Table};
use crate::error::{FileError, Place};
use crate::place::Location;

impl World<'_> {
    /// Every name in the document is one.
    pub(super) fn names(&self, path: &Path, document: &Document) -> Result<(), FileError> {
        if document.operations.is_empty() {
            let place = Place { path: path.to_owned(), line: 0, column: 0 };
            let reason = "it has no `operations`; at least one is needed".to_owned();
            return Err(FileError::Meaning { place, reason });
        }
        for (name, param) in &document.params {
            self.is_name("parameter", name, param.referenced)?;
        }
        for (name, input) in &document.inputs {
            self.is_name("input", name, input.referenced)?;
        }
        for (name, output) in &document.outputs {
            self.is_name("output", name, output.referenced)?;
        }
        self.are_variables(&document.env)?;
        self.are_operations(&document.operations)
    }

    fn are_operations(&self, operations: &Table<Operation>) -> Result<(), FileError> {
        for (name, operation) in operations {
            let at = operation.referenced;
            self.is_name("operation", name, at)?;
            if name == "inputs" {
                let reason = "no operation can be named `inputs`: `from: inputs.x` is an input of the file or process around";
                return Err(self.wrong(at, reason));
            }
            self.in_operation(&operation.value)?;
        }
        Ok(())
    }

    fn in_operation(&self, operation: &Operation) -> Result<(), FileError> {
        for (name, param) in &operation.params {
            self.is_name("param", name, param.referenced)?;
        }
        for (name, input) in &operation.inputs {
            self.is_name("input", name, input.referenced)?;
            if operation.params.contains_key(name) {
                let reason = format!("`{name}` is both an input and a param");
                return Err(self.wrong(input.referenced, reason));
            }
        }
        for (name, join) in &operation.joins {
            self.is_name("join", name, join.referenced)?;
        }
        for (name, output) in &operation.outputs {
            self.is_name("output", name, output.referenced)?;
        }
        self.are_variables(&operation.env)?;
        self.are_operations(&operation.operations)
    }

    pub(super) fn is_name(&self, what: &str, name: &str, at: Location) -> Result<(), FileError> {
        let mut letters = name.chars();
        let begins = letters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
        if begins && name.len() <= 100 && letters.all(|it| it.is_alphanumeric() || it == '_') {
            return Ok(());
        }
        let reason = format!(
            "`{}` is no name for {what}: use letters, digits and `_`, at most 100, not beginning with a digit",
            name.escape_debug()
        );
        Err(self.wrong(at, reason))
    }

    fn are_variables(&self, env: &Table<Option<String>>) -> Result<(), FileError> {
        for (name, value) in env {
            if name.is_empty() || name.contains(['=', '\0']) {
                let reason = format!("`{}` is no name of a variable", name.escape_debug());
                return Err(self.wrong(value.referenced, reason));
            }
        }
        Ok(())
    }
}
