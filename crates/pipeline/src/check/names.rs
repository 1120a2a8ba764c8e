//! Names: what may be one.

use serde_saphyr::Location;

use super::{Check, MOST};
use crate::error::FileError;

impl Check<'_> {
    /// Every name in the document is one.
    pub(super) fn names(&self) -> Result<(), FileError> {
        let document = self.document;
        let count = document.operations.len();
        if count == 0 || count > MOST {
            let reason = format!("`operations` has {count} operations; 1 to {MOST} are allowed");
            return Err(self.wrong(Location::UNKNOWN, reason));
        }
        for (name, param) in &document.params {
            self.is_name("parameter", name, param.referenced)?;
        }
        for (name, output) in &document.outputs {
            self.is_name("output", name, output.referenced)?;
        }
        self.are_variables(&document.env)?;
        for (name, operation) in &document.operations {
            self.is_name("operation", name, operation.referenced)?;
            let operation = &operation.value;
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
            for (name, output) in &operation.outputs {
                self.is_name("output", name, output.referenced)?;
            }
            self.are_variables(&operation.env)?;
        }
        Ok(())
    }

    fn is_name(&self, what: &str, name: &str, at: Location) -> Result<(), FileError> {
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

    fn are_variables(&self, env: &crate::document::Table<Option<String>>) -> Result<(), FileError> {
        for (name, value) in env {
            if name.is_empty() || name.contains(['=', '\0']) {
                let reason = format!("`{}` is no name of a variable", name.escape_debug());
                return Err(self.wrong(value.referenced, reason));
            }
        }
        Ok(())
    }
}
