//! Why a verb did not do what it was asked, and the exit code for it.

use std::io;

use thrifty_engine::OpenError;
use thrifty_engine::catalog::CatalogError;
use thrifty_engine::config::ConfigError;
use thrifty_engine::evict::CollectError;
use thrifty_engine::fsck::{CheckError, SalvageError};

use crate::host::HostError;

/// What the help says about exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 an operation failed, 2 wrong use, 3 trouble with the cache, 130 interrupted,
143 ended by SIGTERM.";

/// A verb that could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// An operation failed; that was said already.
    #[error("")]
    Operation,
    /// An operation failed, in this way.
    #[error("{0}")]
    Raised(String),
    /// The command is wrong, or names something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// The cache has a problem that was shown already.
    #[error("")]
    Findings,
    /// The cache cannot be used.
    #[error("{0}")]
    Cache(String),
    /// There is no space left for what was asked.
    #[error("{0}")]
    Full(String),
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code. A reader that has seen enough, as in `thrifty runs | head`, is no failure.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Operation | Self::Raised(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Findings | Self::Cache(_) | Self::Full(_) => 3,
            Self::Interrupted => 130,
        }
    }

    const fn of_cache(message: String, is_full: bool) -> Self {
        if is_full { Self::Full(message) } else { Self::Cache(message) }
    }

    /// What is to be said, if it was not said already.
    pub(crate) fn message(&self) -> Option<String> {
        let message = self.to_string();
        let is_silent = message.is_empty() || self.code() == 0;
        (!is_silent).then_some(message)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Interrupted => Self::Interrupted,
            HostError::Failed(message) => Self::Raised(message),
            HostError::Cache(message) => Self::Cache(message),
            HostError::UnknownTarget { .. }
            | HostError::UnknownParameter { .. }
            | HostError::UnknownOperation { .. }
            | HostError::Usage(_)
            | HostError::Unavailable(_) => Self::Usage(error.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::of_cache(error.to_string(), error.is_full())
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::of_cache(error.to_string(), matches!(error, CatalogError::Full { .. }))
    }
}

impl From<CollectError> for Failure {
    fn from(error: CollectError) -> Self {
        Self::of_cache(error.to_string(), error.is_full())
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        Self::Cache(error.to_string())
    }
}

impl From<SalvageError> for Failure {
    fn from(error: SalvageError) -> Self {
        Self::Cache(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}
