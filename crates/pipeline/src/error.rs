//! What can be wrong with an operation file. Nothing has run when one of these is told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_saphyr::Location;
use thrifty_engine::units::show_duration;

/// A place in a file, from 1; line 0 is the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    /// The place of a value in a file.
    pub(crate) fn of(path: &std::path::Path, location: Location) -> Self {
        Self { path: path.to_owned(), line: location.line(), column: location.column() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.path.display()),
            line => write!(f, "{}:{line}:{}", self.path.display(), self.column),
        }
    }
}

/// An operation file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It is no YAML, or its fields are not those of the format.
    #[error("{place}: {reason}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser said.
        reason: String,
    },
    /// Its parts do not fit together.
    #[error("{place}: {reason}")]
    Meaning {
        /// Where.
        place: Place,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// A parameter was set that the file does not have, or to a value that it cannot have.
    #[error("{}: {reason}", path.display())]
    Parameter {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

/// The code of a command cannot be read, so that its key cannot be made. Nothing has run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A Python file does not parse.
    #[error("{}: {reason}; mend it, or set `cache.version` so that the code does not count", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl CodeError {
    pub(crate) fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::odd(path, &error.to_string())
    }

    pub(crate) fn odd(path: &std::path::Path, reason: &str) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: reason.to_owned() }
    }
}

/// An attempt of a command that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// Its directory cannot be prepared.
    #[error("cannot prepare {}: {reason}", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A template of the command cannot be filled in.
    #[error("the command cannot be filled in: {reason}")]
    Template {
        /// What is wrong.
        reason: String,
    },
    /// It cannot be started.
    #[error("cannot run `{program}`: {reason}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// A command of an earlier attempt has not ended.
    #[error(
        "a command of an earlier attempt still runs, and may write to its checkpoints in {}: end it, or wait until it has ended",
        path.display()
    )]
    Held {
        /// The checkpoints.
        path: PathBuf,
    },
    /// Its code is no longer what the key was made of.
    #[error("{} was changed after the run began: run again", path.display())]
    Edited {
        /// The file.
        path: PathBuf,
    },
    /// It wrote into files that it has in common with others.
    #[error("it wrote into {what}, which it has in common with other operations: write to a copy")]
    Overwrote {
        /// Its code, or the input.
        what: String,
    },
    /// It failed.
    #[error("{how}{}{end}{}{missed}", if end.is_empty() { "" } else { ":\n" }, if missed.is_empty() { "" } else { "\n" })]
    Status {
        /// Its status, or the signal.
        how: String,
        /// The end of what it wrote.
        end: String,
        /// What it missed, by what it wrote, that is in the project.
        missed: String,
    },
    /// It took too long and was ended.
    #[error("it took longer than its `timeout` of {} and was ended", show_duration(*after))]
    Timeout {
        /// The time it had.
        after: Duration,
    },
    /// It did not make what it declares.
    #[error("output `{name}`: {reason}")]
    Output {
        /// The output.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// It takes a value that no command can take.
    #[error("`{name}`: {reason}")]
    Unfit {
        /// The input or param.
        name: String,
        /// What it is, and the way out.
        reason: String,
    },
    /// An input is in the cache no longer, or damaged.
    #[error("an input is lost: {reason}")]
    Lost {
        /// The number of the edge.
        edge: usize,
        /// What was found.
        reason: String,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Cancelled,
}

impl AttemptError {
    pub(crate) fn directory(path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Directory { path: path.to_owned(), reason: error.to_string() }
    }

    /// Whether another attempt may do better.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Status { .. } | Self::Timeout { .. } | Self::Output { .. } | Self::Held { .. }
        )
    }
}

/// A pipeline that cannot be prepared for a run. Nothing has run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The code of an operation cannot be read.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Something that an operation takes cannot enter its key.
    #[error("operation `{operation}`, `{input}`: {reason}")]
    Input {
        /// The operation.
        operation: String,
        /// The input or param.
        input: String,
        /// What is wrong.
        reason: String,
    },
    /// An operation draws random numbers, and there is no seed.
    #[error(
        "{place}: `{operation}` draws from the seed, and there is none: write `seed: 1` in the file, or give --seed"
    )]
    Seedless {
        /// Where it says so.
        place: Place,
        /// The operation.
        operation: String,
    },
    /// What an operation asks for is not there.
    #[error("{place}: {reason}")]
    Refused {
        /// Where it says so.
        place: Place,
        /// What is wrong, and the way out.
        reason: String,
    },
    /// Something that the pipeline gives would take the place of its code.
    #[error(
        "output `{output}` would overwrite {}, which the pipeline reads as code: choose another `to`",
        path.display()
    )]
    Overwrites {
        /// The output.
        output: String,
        /// The code.
        path: PathBuf,
    },
    /// An earlier run cannot be gone on from.
    #[error("cannot go on from run {run}: {reason}")]
    Earlier {
        /// The run.
        run: String,
        /// Why not, and what can be done.
        reason: String,
    },
    /// Something of an earlier run cannot be copied.
    #[error("cannot copy {}: {reason}", path.display())]
    Copy {
        /// What.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It is part of an operation.
    #[error("`{name}` is a step, and runs as a part of `{process}`: name `{process}`")]
    Step {
        /// What was asked for.
        name: String,
        /// The process.
        process: String,
    },
    /// There is no such operation.
    #[error("there is no operation `{name}`; {hint}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The closest names.
        hint: String,
    },
}
