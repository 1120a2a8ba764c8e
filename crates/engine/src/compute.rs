//! Computing one operation: claim, look again, run, publish.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thrifty_catalog::{Claim as CatalogClaim, EntryId, Origin, RunId, Slot};
use thrifty_key::{Ingredients, Key};

use crate::answer::Answer;
use crate::cache::Cache;
use crate::flight::{Claim, Landing, Lead};
use crate::graph::{Expansion, Failure, Made, Product, Value};
use crate::lookup::Looked;
use crate::operation::Operation;
use crate::outcome::{Miss, Outcome};
use crate::policy::{OnFailure, Policy};
use crate::publish::Published;
use crate::reserve::{Reservation, Turn};

/// One call, ready to be computed.
pub struct Task<'a> {
    /// What is called.
    pub operation: &'a Operation,
    /// The key, or why there is none.
    pub key: Result<Key, String>,
    /// What the key was made of.
    pub ingredients: &'a dyn Fn() -> Ingredients,
    /// How it uses the cache.
    pub policy: Policy,
    /// The run, and its number in it.
    pub run: (Option<RunId>, u32),
    /// Asked now and then while waiting for others: give up?
    pub interrupted: &'a dyn Fn() -> bool,
}

/// What became of a call.
pub enum Computed {
    /// It has a value.
    Settled(Settled),
    /// It became more operations; its value is published once they are settled.
    Expanded(Expansion, Box<Unfinished>),
    /// It failed.
    Failed(Failure, Duration),
}

/// A call that has a value.
#[derive(Clone)]
pub struct Settled {
    /// The value.
    pub value: Value,
    /// How it came about.
    pub outcome: Outcome,
    /// The entry that was hit or stored.
    pub entry: Option<EntryId>,
    /// Time spent.
    pub spent: Duration,
    /// Whether the body's own object may be handed out instead of loading the value: it was made
    /// by this very call.
    pub made: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// An expanded call, until its operations are settled.
pub struct Unfinished {
    /// When its body began.
    pub began: Instant,
    /// Where its value is to be published, if anywhere.
    pub(crate) slot: Option<(Key, CatalogClaim, Miss)>,
    /// Why it is not, otherwise.
    pub(crate) uncached: String,
    /// Held until it is published.
    pub(crate) reservation: Option<Reservation>,
}

impl Cache {
    /// Computes a call: the cache was asked and had no answer, for the reason in `miss`.
    ///
    /// Exactly one thread of this process computes a key at a time, and one process with
    /// `serialize`; the others take its answer.
    pub fn compute(
        self: &Arc<Self>,
        task: &Task<'_>,
        miss: Miss,
        slot: Option<Slot>,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Computed {
        let key = match &task.key {
            Ok(key) if task.policy.mode != crate::policy::Mode::Off => *key,
            Ok(_) => return self.run_uncached(task.policy.rule.word(), body),
            Err(reason) => return self.run_uncached(reason, body),
        };
        let began = Instant::now();
        loop {
            match self.flights.claim(&key, task.interrupted) {
                Claim::Lead(lead) => return self.lead(task, key, miss, slot, lead, body),
                Claim::Landed(Landing::Answer(answer)) => return waited(answer, began),
                Claim::Landed(Landing::Failure(message)) => {
                    return Computed::Failed(shared_failure(message), began.elapsed());
                }
                Claim::Landed(Landing::Nothing) => {}
                Claim::Cycle => {
                    return self.run_uncached("it is part of its own computation", body);
                }
                Claim::Interrupted => return Computed::Failed(Failure::Cancelled, began.elapsed()),
            }
        }
    }

    /// Leads the computation of a key: nobody else in this process computes it meanwhile.
    fn lead(
        self: &Arc<Self>,
        task: &Task<'_>,
        key: Key,
        miss: Miss,
        slot: Option<Slot>,
        lead: Lead<'_>,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Computed {
        let began = Instant::now();
        let mut claim = slot.map(|slot| CatalogClaim {
            epoch: slot.epoch,
            reservation: None,
            replace: matches!(miss, Miss::Refresh | Miss::TooOld | Miss::Unreadable),
        });
        let mut reservation = None;
        if task.policy.mode.reads() && miss != Miss::Unavailable {
            // The answer may have come while this thread was claiming.
            match self.look_again(&key, task.policy.max_age) {
                Looked::Hit(answer, _) => {
                    lead.land(Landing::Answer(Arc::clone(&answer)));
                    return waited(answer, began);
                }
                Looked::Miss(_, Some(slot)) => {
                    claim = claim.map(|claim| CatalogClaim {
                        epoch: slot.epoch,
                        ..claim
                    })
                }
                Looked::Miss(_, None) => {}
            }
        }
        if task.policy.serialize && task.policy.mode.writes() && claim.is_some() {
            match self.take_turn(&key, &task.policy, task.interrupted) {
                Turn::Mine(taken) => {
                    claim = claim.map(|claim| CatalogClaim {
                        replace: claim.replace,
                        ..taken.claim()
                    });
                    reservation = Some(taken);
                }
                Turn::Answered(answer) => {
                    lead.land(Landing::Answer(Arc::clone(&answer)));
                    return waited(answer, began);
                }
                Turn::Unserialised => {}
                Turn::Interrupted => return Computed::Failed(Failure::Cancelled, began.elapsed()),
            }
        }
        let began = Instant::now();
        let made = match body() {
            Ok(Product::Made(made)) => made,
            Ok(Product::Expanded(expansion)) => {
                let slot = claim
                    .filter(|_| task.policy.mode.writes())
                    .map(|claim| (key, claim, miss));
                let uncached = not_written(&task.policy, miss);
                return Computed::Expanded(
                    expansion,
                    Box::new(Unfinished {
                        began,
                        slot,
                        uncached,
                        reservation,
                    }),
                );
            }
            Err(failure) => {
                if let (OnFailure::Share, Failure::Raised { message, .. }) =
                    (task.policy.on_failure, &failure)
                {
                    lead.land(Landing::Failure(message.clone()));
                }
                return Computed::Failed(failure, began.elapsed());
            }
        };
        let settled = self.settle(task, key, miss, claim, made, began.elapsed());
        if let Value::Known(answer) = &settled.value {
            lead.land(Landing::Answer(Arc::clone(answer)));
        }
        drop(reservation);
        Computed::Settled(settled)
    }

    /// Publishes what a body made, if the policy says so and it can be stored.
    fn settle(
        &self,
        task: &Task<'_>,
        key: Key,
        miss: Miss,
        claim: Option<CatalogClaim>,
        made: Made,
        spent: Duration,
    ) -> Settled {
        let Made {
            object,
            contribution,
            draft,
        } = made;
        let live = |contribution, outcome| Settled {
            value: Value::Live {
                object: Arc::clone(&object),
                contribution,
            },
            outcome,
            entry: None,
            spent,
            made: Some(Arc::clone(&object)),
        };
        let draft = match draft {
            Ok(draft) => draft,
            Err(reason) => return live(contribution, Outcome::NotStored(miss, reason)),
        };
        let (Some(claim), true) = (claim, task.policy.mode.writes()) else {
            return live(
                contribution,
                Outcome::Uncached(not_written(&task.policy, miss)),
            );
        };
        match self.publish(task, key, claim, draft, spent) {
            Published::Stored(answer, outcome) => Settled {
                entry: answer.entry,
                value: Value::Known(answer),
                outcome: outcome.unwrap_or(Outcome::Computed(miss)),
                spent,
                made: Some(Arc::clone(&object)),
            },
            Published::Fenced => live(contribution, Outcome::Fenced),
            Published::Failed(reason) => live(contribution, Outcome::NotStored(miss, reason)),
        }
    }

    /// Publishes the value of an expanded call, now that its operations are settled.
    pub fn finish(&self, task: &Task<'_>, unfinished: Unfinished, made: Made) -> Settled {
        let Unfinished {
            began,
            slot,
            uncached,
            reservation,
        } = unfinished;
        let spent = began.elapsed();
        let settled = match slot {
            Some((key, claim, miss)) => self.settle(task, key, miss, Some(claim), made, spent),
            None => uncached_value(made, uncached, spent),
        };
        drop(reservation);
        settled
    }

    fn run_uncached(
        &self,
        reason: &str,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Computed {
        let began = Instant::now();
        match body() {
            Ok(Product::Made(made)) => {
                Computed::Settled(uncached_value(made, reason.to_owned(), began.elapsed()))
            }
            Ok(Product::Expanded(expansion)) => Computed::Expanded(
                expansion,
                Box::new(Unfinished {
                    began,
                    slot: None,
                    uncached: reason.to_owned(),
                    reservation: None,
                }),
            ),
            Err(failure) => Computed::Failed(failure, began.elapsed()),
        }
    }

    /// Who computed it: part of every entry.
    pub(crate) fn origin(&self, run: &(Option<RunId>, u32)) -> Origin {
        let (run, node) = run.clone();
        Origin {
            run,
            node,
            host: self.host.clone(),
            user: self.user.clone(),
        }
    }
}

fn uncached_value(made: Made, reason: String, spent: Duration) -> Settled {
    Settled {
        value: Value::Live {
            object: Arc::clone(&made.object),
            contribution: made.contribution,
        },
        outcome: Outcome::Uncached(reason),
        entry: None,
        spent,
        made: Some(made.object),
    }
}

fn not_written(policy: &Policy, miss: Miss) -> String {
    if policy.mode.writes() {
        miss.word().to_owned()
    } else {
        format!("{} ({})", policy.mode.word(), policy.rule.word())
    }
}

fn waited(answer: Arc<Answer>, began: Instant) -> Computed {
    Computed::Settled(Settled {
        entry: answer.entry,
        value: Value::Known(answer),
        outcome: Outcome::Waited,
        spent: began.elapsed(),
        made: None,
    })
}

fn shared_failure(message: String) -> Failure {
    Failure::Raised {
        cause: Arc::new(message.clone()),
        message,
    }
}
