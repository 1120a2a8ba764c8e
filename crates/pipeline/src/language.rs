//! The language of the functions that operations call.
//!
//! What such a function is, what its calls count as and how they are run is known to the
//! [`Language`] alone; to the graph they are nodes like any other. So a call has the key that it
//! has where the language itself makes it, and values of the language go from call to call as
//! they are. Only where a command takes one must it be JSON, a file or a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use thrifty_engine::graph::{Failure, Node, Taken};
use thrifty_engine::{Cache, Mode, Seeding};

use crate::expand::Suggester;
use crate::part;

/// The language of the functions that operations name.
pub trait Language: Send + Sync {
    /// The cache that its values come from and go to: that of the run.
    fn cache(&self) -> Arc<Cache>;

    /// Whether the function is there, and takes arguments of these names and no fewer.
    ///
    /// # Errors
    ///
    /// What is wrong, and what there is.
    fn check(&self, call: &Call<'_>) -> Result<(), String>;

    /// A call as a node, whose edges begin at [`From::Argument`](thrifty_engine::graph::From::Argument): the number that
    /// [`Passed::Edge`] has.
    ///
    /// # Errors
    ///
    /// What has no digest, or cannot be followed.
    fn node(&self, call: &Call<'_>) -> Result<Node, String>;

    /// A value of the language, for a command.
    ///
    /// # Errors
    ///
    /// [`Unexported`].
    fn export(&self, taken: &Taken) -> Result<Exported, Unexported>;

    /// Whether there is who is to suggest trials: a library, or a function beside the file.
    ///
    /// # Errors
    ///
    /// What is missing, and the way out.
    fn finds(&self, base: &Path, by: &Suggester) -> Result<(), String>;

    /// The answer to a question for trials ([`Suggested::question`]); both in the plain encoding.
    ///
    /// # Errors
    ///
    /// What was raised, with its traceback if it is the user's.
    ///
    /// [`Suggested::question`]: crate::expand::Suggested::question
    fn suggest(&self, base: &Path, by: &Suggester, question: &[u8]) -> Result<Vec<u8>, String>;

    /// What is shown of a failure: with the traceback, if it is one of the language.
    fn told(&self, failure: &Failure) -> Option<String>;

    /// Ends the calls that run.
    fn stop(&self);
}

/// A call of a function.
#[derive(Debug)]
pub struct Call<'a> {
    /// The directory of the operation file, where its module is looked for first.
    pub base: &'a Path,
    /// The function, as `module:name`.
    pub target: &'a str,
    /// Its arguments, by name.
    pub arguments: Vec<(String, Passed)>,
    /// What the operation says about the cache.
    pub caching: Overrides<'a>,
    /// What was chosen for the run, and for the operation in it.
    pub mode: Option<Mode>,
    /// Whether it is computed again.
    pub refresh: bool,
    /// The mode that the file chooses.
    pub around: Option<Mode>,
    /// The seed in force for it.
    pub seeding: Seeding,
}

/// What an operation says about the cache, in the place of what its function says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides<'a> {
    /// Whether it is used.
    pub mode: Option<Mode>,
    /// The oldest result that is accepted.
    pub max_age: Option<Duration>,
    /// How long a new result is valid.
    pub expires: Option<Duration>,
    /// What stands in for the code.
    pub version: Option<&'a str>,
    /// What keeps results apart.
    pub salt: Option<&'a str>,
    /// The only arguments that count.
    pub inputs: Option<&'a [String]>,
    /// Whether one process computes while others wait.
    pub serialize: bool,
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Passed {
    /// A value, in its plain encoding.
    Value(Vec<u8>),
    /// A file or directory that is there.
    Path(PathBuf),
    /// The output of another operation: the number of the edge.
    Edge(usize),
    /// Several, in order.
    List(Vec<Passed>),
    /// Several, by name.
    Mapping(Vec<(String, Passed)>),
}

/// A value of a language that a command can take.
#[derive(Debug, Clone, PartialEq)]
pub enum Exported {
    /// A value, as JSON.
    Json(String),
    /// A file or directory.
    Path(PathBuf),
}

/// A value that a command cannot take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unexported {
    /// It is nothing a command can take: what it is, and the way out.
    Unfit(String),
    /// It is in the cache no longer, or damaged.
    Lost(String),
}

/// A value for a command: of JSON as it is, or what its language makes of it.
pub(crate) fn value(taken: &Taken, language: Option<&dyn Language>) -> Result<Json, Unexported> {
    let found = part::value(taken);
    let (Err(reason), Some(language)) = (&found, language) else {
        return found.map_err(Unexported::Lost);
    };
    match language.export(taken)? {
        Exported::Json(text) => serde_json::from_str(&text)
            .map_err(|error| Unexported::Unfit(format!("{reason}: {error}"))),
        Exported::Path(_) => {
            Err(Unexported::Unfit("it is a file or directory: take it in `inputs`".to_owned()))
        }
    }
}

/// The file or directory for a command that a language made, where it is now.
pub(crate) fn path(taken: &Taken, language: &dyn Language) -> Result<PathBuf, Unexported> {
    match language.export(taken)? {
        Exported::Path(path) => Ok(path),
        Exported::Json(_) => Err(Unexported::Unfit(
            "it is no file and no directory: take it in `params`, or return a thrifty.File"
                .to_owned(),
        )),
    }
}
