//! What can become of an operation.

use std::fmt;

use crate::observed::Change;
use crate::reason::Reason;

/// What the detail of an outcome begins with, where something observed has changed.
const OBSERVED: &str = "observed";

/// The outcome of one operation of a run. Its word is what the catalog keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The result was known, and in this process's memory.
    HitMemory,
    /// The result was known, in the catalog of this machine.
    HitLocal,
    /// Somebody else was computing it; their result was taken.
    Waited,
    /// It ran, and its result was stored.
    Computed(Miss),
    /// It ran, and another result was stored before: the stored one stays.
    Nondeterministic,
    /// It ran, and meanwhile the key was invalidated, replaced or taken over: not stored.
    Fenced,
    /// It ran, and its result could not be stored.
    NotStored(Miss, Reason, String),
    /// It ran, with the cache off or without a key.
    Uncached(String),
    /// Other operations stood in its place, each with an outcome of its own.
    Expanded,
    /// It failed.
    Failed(String),
    /// It never ran, because an operation it needs failed.
    UpstreamFailed(String),
    /// It never began, because this operation had failed and was to end the run.
    NotStarted(String),
    /// Its result was taken from this earlier run, or attempt of the run, and nothing was looked up.
    Skipped(String),
    /// It has no value, because the run was cancelled.
    Cancelled,
}

/// Why the cache had no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// No entry has this key.
    Absent,
    /// The entry's expiry has passed.
    Expired,
    /// The entry is older than the reader accepts.
    TooOld,
    /// The entry is damaged, of an unknown format, or its bytes are gone; it was removed.
    Unreadable,
    /// The body that made the entry observed something that is not so any more.
    Observed(Box<Change>),
    /// The cache was not asked: the mode is `refresh`.
    Refresh,
    /// The cache did not answer.
    Unavailable,
}

impl Miss {
    /// The reason in one word or two.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Absent => "no entry",
            Self::Expired => "expired",
            Self::TooOld => "too old",
            Self::Unreadable => "unreadable entry",
            Self::Observed(_) => OBSERVED,
            Self::Refresh => "refresh",
            Self::Unavailable => "cache unavailable",
        }
    }
}

impl Outcome {
    /// The word the catalog keeps.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::HitMemory => "hit-memory",
            Self::HitLocal => "hit-local",
            Self::Waited => "waited",
            Self::Computed(_) => "computed",
            Self::Nondeterministic => "nondeterministic",
            Self::Fenced => "fenced",
            Self::NotStored(..) => "computed-not-stored",
            Self::Uncached(_) => "uncached",
            Self::Expanded => "expanded",
            Self::Failed(_) => "failed",
            Self::UpstreamFailed(_) => "upstream-failed",
            Self::NotStarted(_) => "not-started",
            Self::Skipped(_) => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// More about it, for people; may be empty.
    pub fn detail(&self) -> String {
        match self {
            Self::HitMemory | Self::HitLocal | Self::Waited | Self::Expanded | Self::Cancelled => {
                String::new()
            }
            Self::Computed(miss) => miss.to_string(),
            Self::Nondeterministic => "another result was stored before".to_owned(),
            Self::Fenced => "invalidated or replaced while it ran".to_owned(),
            Self::NotStored(_, _, why) | Self::Uncached(why) => why.clone(),
            Self::Failed(error) => error.clone(),
            Self::UpstreamFailed(name) => format!("{name} failed"),
            Self::NotStarted(name) => format!("{name} had failed"),
            Self::Skipped(run) => format!("taken from run {run}"),
        }
    }

    /// Why it is not in the cache though it ran, if it is not and nobody chose so.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::NotStored(_, reason, _) => Some(*reason),
            Self::Fenced => Some(Reason::Fenced),
            Self::Nondeterministic => Some(Reason::Nondeterministic),
            Self::HitMemory
            | Self::HitLocal
            | Self::Waited
            | Self::Computed(_)
            | Self::Uncached(_)
            | Self::Expanded
            | Self::Failed(_)
            | Self::UpstreamFailed(_)
            | Self::NotStarted(_)
            | Self::Skipped(_)
            | Self::Cancelled => None,
        }
    }

    /// Whether the result was taken and not computed.
    pub const fn is_hit(&self) -> bool {
        matches!(self, Self::HitMemory | Self::HitLocal | Self::Waited)
    }

    /// Whether the body ran to its end.
    pub const fn ran(&self) -> bool {
        matches!(
            self,
            Self::Computed(_)
                | Self::Nondeterministic
                | Self::Fenced
                | Self::NotStored(..)
                | Self::Uncached(_)
        )
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Observed(change) => write!(f, "{OBSERVED}: {change}"),
            miss => f.write_str(miss.word()),
        }
    }
}

/// What changed, of the detail of an outcome that came about because something observed did.
pub fn observed_change(detail: &str) -> Option<&str> {
    detail.strip_prefix(OBSERVED)?.strip_prefix(": ")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail() {
            detail if detail.is_empty() => f.write_str(self.word()),
            detail => write!(f, "{} ({detail})", self.word()),
        }
    }
}
