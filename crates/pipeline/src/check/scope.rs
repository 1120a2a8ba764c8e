//! What operations see besides each other: the params, inputs, variables and cache settings of
//! the file or process around them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use thrifty_engine::Seed;

use super::spread::Which;
use super::{Check, World, above};
use crate::document::{Cache, Document, Input, Operation, Source, Table};
use crate::endurance::OnFailure;
use crate::error::FileError;
use crate::params::Values;
use crate::pipeline::{Placed, Reference};
use crate::place::Spanned;
use crate::template;

/// Environment variables; `None` if the caller has none of that name.
pub(super) type Variables = BTreeMap<String, Option<String>>;

/// What the operations of a file or a process see.
#[derive(Clone)]
pub(super) struct Scope {
    /// The directory of their file.
    pub(super) base: Arc<Path>,
    /// The name of their file.
    pub(super) file: String,
    /// What stands before their names where they are shown: `process.`.
    pub(super) shown: String,
    /// What stands before their names in keys: `file:process.`.
    pub(super) counted: String,
    /// The params whose values are known.
    pub(super) values: Values,
    /// The params whose values only the run tells, and where they come from.
    pub(super) late: IndexMap<String, Reference>,
    /// The inputs.
    pub(super) inputs: Vec<Placed>,
    /// The variables of all operations.
    pub(super) env: Variables,
    /// What operations do not say themselves.
    pub(super) cache: Cache,
    /// What becomes of the rest when one of them fails, if it does not say so itself.
    pub(super) on_failure: Option<OnFailure>,
    /// The seed that their file states.
    pub(super) seed: Option<Seed>,
    /// The one of `seeds` that they, or what is around them, are done with.
    pub(super) drawn: Option<Seed>,
    /// Which copy of an operation is being checked.
    pub(super) copy: Which,
    /// Who tells the partitions that it is done for, if only the run tells them.
    pub(super) parts: Option<usize>,
}

impl Scope {
    /// What the operations of the file at an absolute path see.
    pub(super) fn of_file(
        world: &World<'_>,
        path: &Path,
        document: &Document,
        values: Values,
    ) -> Result<Self, FileError> {
        let file = stem(path);
        let scope = Self {
            base: above(path),
            shown: String::new(),
            counted: format!("{file}:"),
            file,
            values,
            late: IndexMap::new(),
            inputs: Vec::new(),
            env: Variables::new(),
            cache: document.cache.clone(),
            on_failure: document.on_failure,
            seed: world.seed_stated(document)?,
            drawn: None,
            copy: Which::new(),
            parts: None,
        };
        // Paths and variables are checked as those of an operation are, in this very scope.
        let operations = Table::<Operation>::new();
        let mut check = Check { world, operations: &operations, scope };
        check.scope.env = check.variables(&document.env)?;
        check.scope.inputs = check.inputs_of_file(&document.inputs)?;
        Ok(check.scope)
    }

    /// The name of the input that `from: inputs.NAME` names.
    pub(super) fn input_in(from: &str) -> Option<&str> {
        from.strip_prefix("inputs.")
    }

    /// A param in a text whose value is not known yet.
    pub(super) fn late_in(&self, text: &str) -> Option<&str> {
        let names = template::names(text).ok()?;
        let named = names.iter().filter_map(|name| name.strip_prefix("params."));
        named.filter_map(|name| self.late.get_key_value(name)).map(|(name, _)| name.as_str()).next()
    }
}

impl Check<'_> {
    /// The inputs that a file declares for its operations.
    pub(super) fn inputs_of_file(
        &self,
        inputs: &Table<Option<Input>>,
    ) -> Result<Vec<Placed>, FileError> {
        let mut all = Vec::with_capacity(inputs.len());
        for (name, input) in inputs {
            let at = input.referenced;
            match &input.value {
                Some(Input { source: Source::Path(path), to }) => {
                    all.push(self.path_input(name, at, path, to.as_deref())?);
                }
                Some(Input { source: Source::From(_), .. }) => {
                    let reason = format!(
                        "input `{name}` of a file is a path; operations take outputs from each other themselves"
                    );
                    return Err(self.wrong(at, reason));
                }
                None => {
                    let reason = format!(
                        "input `{name}` is given by the file that uses this one; to run this one alone, write a path or --set inputs.{name}=PATH"
                    );
                    return Err(self.wrong(at, reason));
                }
            }
        }
        Ok(all)
    }

    /// The variables of a table, under those of everything around it.
    pub(super) fn variables(&self, table: &Table<Option<String>>) -> Result<Variables, FileError> {
        let mut all = self.scope.env.clone();
        for (name, value) in table {
            let Spanned { value, referenced } = value;
            let value = match value {
                Some(text) => Some(self.text(*referenced, text)?),
                None => (self.world.variable)(name),
            };
            all.insert(name.clone(), value);
        }
        Ok(all)
    }
}

/// The name of a file without its ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
}
