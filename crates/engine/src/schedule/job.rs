//! One miss on its way to a value, on whatever thread.

use std::any::Any;
use std::sync::Arc;

use thrifty_catalog::RunId;
use thrifty_key::{Digest, Key};

use super::{LOSSES, Schedule};
use crate::cache::Cache;
use crate::compute::{Computed, Task};
use crate::flight::Lineage;
use crate::graph::{Failure, Node, Taken};
use crate::lookup::Target;
use crate::outcome::Miss;
use crate::parked::{Attempted, Coming};

/// An operation, with all that is needed to compute it without the schedule.
pub(super) struct Job {
    pub(super) cache: Arc<Cache>,
    node: Arc<Node>,
    key: Result<Key, String>,
    digests: Vec<Digest>,
    run: (Option<RunId>, u32),
}

/// A miss: why, and where the result goes.
pub(super) type Missed = (Miss, Option<Target>);

/// How one is attempted.
pub(super) struct Attempt<'a> {
    pub(super) missed: Missed,
    /// What it takes.
    pub(super) taken: &'a [Taken],
    /// What it waited with before, if it did.
    pub(super) coming: Coming,
    /// Called when its body begins.
    pub(super) begins: Option<&'a dyn Fn()>,
    /// Those that go on only when it is computed.
    pub(super) lineage: Lineage,
    pub(super) interrupted: &'a dyn Fn() -> bool,
}

impl Schedule<'_> {
    pub(super) fn job(&self, number: usize) -> Job {
        let slate = &self.nodes[number];
        let key = match slate.key {
            // What was stored and could not be read back, again and again, stays in memory.
            Some(_) if slate.losses >= LOSSES => {
                Err("what is stored of it cannot be read back".to_owned())
            }
            Some(key) => Ok(key),
            None => Err(slate.reason.clone().unwrap_or_default()),
        };
        Job {
            cache: Arc::clone(&self.cache),
            node: Arc::clone(&slate.node),
            key,
            digests: slate.digests.clone(),
            run: (self.options.run.clone(), u32::try_from(number).unwrap_or(u32::MAX)),
        }
    }
}

impl Job {
    /// Computes it, takes the result of who did, or finds that it would have to wait. A panic of
    /// the body is its failure.
    pub(super) fn attempt(&self, attempt: Attempt<'_>) -> Attempted {
        let Attempt { missed, taken, coming, begins, lineage, interrupted } = attempt;
        let body = &self.node.body;
        let began = self.cache.timer.now();
        let computing = std::panic::AssertUnwindSafe(|| {
            self.with_task(interrupted, |task| {
                self.cache.attempt(task, missed, coming, &lineage, &mut || {
                    if let Some(begins) = begins {
                        begins();
                    }
                    body.run_under(self.key.as_ref().ok(), taken)
                })
            })
        });
        std::panic::catch_unwind(computing).unwrap_or_else(|cause| {
            let text = cause
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| cause.downcast_ref::<String>().cloned());
            let message = match &text {
                Some(text) => format!("{} panicked: {text}", self.node.operation.name()),
                None => format!("{} panicked", self.node.operation.name()),
            };
            let cause: Arc<dyn Any + Send + Sync> = Arc::new(text.unwrap_or_default());
            let failure = Failure::raised(message, cause);
            Attempted::done(Computed::Failed(failure, self.cache.since(began)))
        })
    }

    /// Lends the operation in the form in which the cache takes it.
    pub(super) fn with_task<T>(
        &self,
        interrupted: &dyn Fn() -> bool,
        act: impl FnOnce(&Task<'_>) -> T,
    ) -> T {
        act(&Task {
            operation: &self.node.operation,
            key: self.key.clone(),
            ingredients: &|| self.node.ingredients(&self.digests),
            policy: self.node.policy,
            run: self.run.clone(),
            interrupted,
        })
    }
}
