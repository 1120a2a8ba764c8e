//! What a run tells while it goes on.
//!
//! Terminal, page, metrics and tests read the same events.

use std::time::Duration;

use thrifty_catalog::RunId;

use crate::check::Checked;
use crate::outcome::Outcome;
use crate::reason::Reason;

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A run began. More operations may follow while it goes on.
    Begun {
        /// Its id, if the catalog took it.
        run: Option<RunId>,
        /// How many operations it has at first.
        operations: usize,
    },
    /// An operation added more of them.
    Expanded {
        /// Its number.
        number: usize,
        /// How many it added.
        operations: usize,
    },
    /// A body begins to run, unless it is said right behind this that its operation waits. After
    /// a wait it is told when the body does begin.
    Started {
        /// The number of its operation.
        number: usize,
        /// The name of its operation.
        operation: String,
    },
    /// An operation waits for somebody else who computes it, and holds no worker. It begins to
    /// run later, or takes the result. Told once of each that it waits for.
    Waiting {
        /// Its number.
        number: usize,
        /// Its name.
        operation: String,
        /// Who computes it, and since when, for people.
        behind: String,
    },
    /// An attempt of an operation failed, and another one is made after this time.
    PutOff {
        /// Its number.
        number: usize,
        /// Its name.
        operation: String,
        /// How long until then.
        after: Duration,
        /// What became of the attempt.
        message: String,
    },
    /// An operation has its outcome.
    Settled {
        /// Its number.
        number: usize,
        /// Its name.
        operation: String,
        /// The arguments by which it differs from others of that name, for people; may be empty.
        label: String,
        /// What became of it.
        outcome: Outcome,
        /// Why its result is not in the cache, or went there without protection.
        reason: Option<Reason>,
        /// Time spent on it.
        spent: Duration,
        /// Time a hit saved.
        saved: Duration,
    },
    /// An operation that was settled is needed again: its value is gone from the cache.
    Reopened {
        /// Its number.
        number: usize,
        /// What was found.
        reason: String,
    },
    /// Operations that hit are about to be executed again, to compare.
    Checking {
        /// How many.
        operations: usize,
    },
    /// One of them was executed again.
    Checked(Checked),
    /// The run ended.
    Ended,
}

/// Takes events. Called from any thread, one at a time, and must be quick.
pub type Listener = dyn Fn(&Event) + Send + Sync;
