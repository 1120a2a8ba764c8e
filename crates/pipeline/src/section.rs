//! What may be said of how operations use the cache, and which parts of a key may be left out.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::endurance::Waiters;
use crate::place::Spanned;

/// How operations use the cache. What an operation does not say, its pipeline says.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// `true`: neither look up nor store; `false`: do both, also where the default is not to.
    #[serde(default)]
    pub disable: Option<bool>,
    /// The oldest result that is accepted, such as `7d`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub ttl: Option<Spanned<String>>,
    /// How long a new result is valid, such as `30d`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub expires: Option<Spanned<String>>,
    /// A version of the code, which then does not count itself.
    #[serde(default)]
    pub version: Option<String>,
    /// A text that keeps results apart.
    #[serde(default)]
    pub salt: Option<String>,
    /// The names of the inputs and params that count; all of them unless given.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub io: Option<Vec<Spanned<String>>>,
    /// What counts besides the names and places of inputs and outputs: any of `command`, `code`, `packages`, `env`, `image`, `params` and `inputs`; all of them unless given.
    #[serde(default)]
    pub sections: Option<Vec<Section>>,
    /// Compute once across processes: others wait.
    #[serde(default)]
    pub serialize: Option<bool>,
    /// What those do who wait for it with `serialize` when it fails: the `next` of them computes, or all `share` the failure.
    #[serde(default)]
    pub on_failure: Option<Waiters>,
}

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
