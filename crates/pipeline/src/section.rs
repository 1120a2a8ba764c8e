//! The parts of a key that may be left out.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of the key of an operation that counts unless it is left out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// What is run, as it is written.
    Command,
    /// Scripts, and what they import from the project.
    Code,
    /// Packages, and the interpreter.
    Packages,
    /// Environment variables.
    Env,
    /// The image of the container.
    Image,
    /// The values.
    Params,
    /// The files and directories.
    Inputs,
}

impl Section {
    /// The word in an operation file.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Code => "code",
            Self::Packages => "packages",
            Self::Env => "env",
            Self::Image => "image",
            Self::Params => "params",
            Self::Inputs => "inputs",
        }
    }
}

/// The sections that count, as a person reads them.
pub(crate) fn described(sections: &BTreeSet<Section>) -> String {
    let words: Vec<_> = sections.iter().map(|section| section.word()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
