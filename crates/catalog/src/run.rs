//! Runs, their nodes, and totals over them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thrifty_key::{Digest, Ingredients, Key};

use crate::entry::{EntryId, RunId, Scope, Time};

/// A run that begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewRun {
    /// The workflow or task, or the script whose lone calls this run gathers.
    pub name: String,
    /// The arguments, as previews.
    pub arguments: String,
    /// The host.
    pub host: String,
    /// The user.
    pub user: String,
    /// Which process began it: text of the engine, opaque here; empty if unknown.
    pub process: String,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It has begun and not ended, as far as the catalog knows.
    Running,
    /// Its process is gone and did not end it. Judged by who lists it, never kept.
    Lost,
    /// Everything demanded is there.
    Succeeded,
    /// At least one demanded operation failed.
    Failed,
    /// It was interrupted.
    Cancelled,
}

impl RunStatus {
    /// The lower-case word for the status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Lost => "lost",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A run as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Who shares its entries.
    pub scope: Scope,
    /// As in [`NewRun`].
    pub name: String,
    /// As in [`NewRun`].
    pub arguments: String,
    /// As in [`NewRun`].
    pub host: String,
    /// As in [`NewRun`].
    pub user: String,
    /// As in [`NewRun`].
    pub process: String,
    /// Where it stands.
    pub status: RunStatus,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// Nodes by outcome word, counts summed.
    pub outcomes: Vec<(String, u64)>,
    /// Nodes by the reason why they are not in the cache, or did without its protection, where
    /// there is one.
    pub reasons: Vec<Reasoned>,
    /// Seconds that hits saved.
    pub saved: Duration,
}

/// One operation of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number within the run.
    pub number: u32,
    /// The name of the operation.
    pub operation: String,
    /// The key, where one could be made.
    pub key: Option<Key>,
    /// What the key was made of; kept where no entry keeps it.
    pub ingredients: Option<Ingredients>,
    /// The word of the outcome.
    pub outcome: String,
    /// More about the outcome, for people.
    pub detail: String,
    /// The word of the reason why it is not in the cache, or did without its protection; empty if
    /// there is none.
    pub reason: String,
    /// Which rule decided whether the cache was used.
    pub rule: String,
    /// The entry that was hit or stored.
    pub entry: Option<EntryId>,
    /// The run that computed the entry, if it was a hit.
    pub source: Option<RunId>,
    /// The value digest of the output.
    pub output_digest: Option<Digest>,
    /// How many calls this node stands for: more than one for repeated lone hits.
    pub count: u64,
    /// When it was settled.
    pub at: Time,
    /// Time spent on it.
    pub spent: Duration,
    /// Time a hit saved.
    pub saved: Duration,
    /// Numbers of the nodes whose outputs it took.
    pub upstream: Vec<u32>,
    /// Which of them stand in which input of its key.
    pub takes: Vec<(String, Vec<u32>)>,
    /// The number of the node that became this one, such as a nested workflow.
    pub parent: Option<u32>,
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Ids that begin so.
    pub id_prefix: Option<String>,
    /// Runs of this name.
    pub name: Option<String>,
    /// Runs that began no later than this.
    pub until: Option<Time>,
    /// How many at most; `None` for 50.
    pub limit: Option<usize>,
}

/// What was forgotten of the history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shortened {
    /// Runs, with their nodes.
    pub runs: u64,
    /// Memos.
    pub memos: u64,
    /// Source texts.
    pub texts: u64,
}

/// Operations of a run that ended with a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasoned {
    /// The word of the reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// What was done with one operation, over all runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// The operation.
    pub operation: String,
    /// The word of the outcome.
    pub outcome: String,
    /// How often.
    pub count: u64,
    /// Time spent.
    pub spent: Duration,
    /// Time saved.
    pub saved: Duration,
}
