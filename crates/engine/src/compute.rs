//! Computing one operation: claim, look again, run, publish.

mod came;
mod prepare;

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{Claim as CatalogClaim, Ended, EntryId, Origin, RunId, Time};
use thrifty_key::{Ingredients, Key};

pub use self::came::Came;
use self::prepare::{Instead, Start};
use crate::answer::{Answer, Terms, shared};
use crate::cache::Cache;
use crate::expansion::Gathered;
use crate::flight::{self, Attempt, Claim, Landed, Landing, Lead, Lineage};
use crate::graph::{Expansion, Failure, Made, Product, Unstored, Value};
use crate::lookup::Target;
use crate::made_of::Parts;
use crate::observed::Observation;
use crate::operation::Operation;
use crate::outcome::{Miss, Outcome};
use crate::policy::{Mode, OnFailure, Policy};
use crate::publish::{Published, Writing};
use crate::reason::Reason;
use crate::record::Draft;
use crate::reserve::{Alone, Waiting};

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

/// A call that has a key, of which the cache had no answer.
pub(crate) struct Missing<'a> {
    /// The call.
    pub task: &'a Task<'a>,
    /// Its key.
    pub key: Key,
    /// Why there was none.
    pub miss: Miss,
    /// Where the result goes, as far as the lookup said.
    pub target: Option<Target>,
}

impl Missing<'_> {
    /// The catalog's epoch when it had no answer, if it was asked.
    fn epoch(&self) -> Option<i64> {
        self.target.map(|target| target.slot.epoch)
    }

    /// Whether what began at that epoch knows of all that was invalidated before this call.
    fn is_known_to(&self, epoch: Option<i64>) -> bool {
        matches!((self.epoch(), epoch), (Some(asked), Some(begun)) if asked <= begun)
    }
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

/// How a call waits for its turn.
pub(crate) enum Manner<'a> {
    /// On its thread.
    Waits,
    /// Not at all; with what it has waited before. These go on only when it is computed.
    Parks(Option<Box<Waiting>>, &'a Lineage),
    /// For nobody any more: it has waited for one whose result nobody else can have.
    Beside,
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
    /// How it came here.
    pub came: Came,
    /// Time spent.
    pub spent: Duration,
    /// Why others may have computed it at the same time, if its policy asks for a reservation.
    pub alone: Option<Alone>,
    /// Whether the body's own object may be handed out instead of loading the value: it was made
    /// by this very call.
    pub made: Option<Arc<dyn std::any::Any + Send + Sync>>,
}

/// An expanded call, until its operations are settled.
pub struct Unfinished {
    /// When its body began, by the cache's timer.
    pub(crate) began: Duration,
    /// Where its value is to be published, or what becomes of it otherwise.
    pub(crate) goal: Result<(Goal, Miss), Outcome>,
    /// What its body observed before it expanded.
    pub(crate) observed: Vec<Observation>,
    /// When what its body took before it expanded expires.
    pub(crate) expires_at: Option<Time>,
    /// What its body called before it expanded.
    pub(crate) made_of: Parts,
}

impl Unfinished {
    /// Its value is handed on and not stored, for a reason.
    pub(crate) fn is_not_stored(&mut self, reason: Reason, text: &str) {
        if let Ok((_, miss)) = &self.goal {
            self.goal = Err(Outcome::NotStored(miss.clone(), reason, text.to_owned()));
        }
    }
}

/// Why a call that would wait for itself is not cached.
pub(crate) const CYCLE: &str = "it is part of its own computation";

/// Why a value is not stored that was made of something unknown.
const UNKNOWN: &str = "it goes on after a failure in another process, and what that was made of is \
     not known here";

/// Under which key a result is committed, and what the commit stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Goal {
    pub key: Key,
    pub claim: CatalogClaim,
}

/// A value that a body made, ready to be published.
struct Output<'a> {
    object: Arc<dyn std::any::Any + Send + Sync>,
    contribution: Option<Vec<u8>>,
    writing: Result<Writing<'a>, &'a Unstored>,
    terms: Terms,
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
        target: Option<Target>,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Computed {
        let key = match key_of(task) {
            Ok(key) => key,
            Err(reason) => return self.run_uncached(&task.policy, reason, body),
        };
        let missing = Missing { task, key, miss, target };
        if task.policy.now {
            return self.compute_beside(missing, body);
        }
        let began = self.timer.now();
        loop {
            match self.flights.claim(&key, task.interrupted) {
                Claim::Lead(lead) => {
                    return done(self.lead(missing, Some(lead), Manner::Waits, body));
                }
                Claim::Landed(landed) => {
                    let is_own = matches!(landed.landing, Landing::Own);
                    if let Some(computed) = self.take_landing(&missing, landed, began) {
                        return computed;
                    }
                    if is_own {
                        return done(self.lead(missing, None, Manner::Beside, body));
                    }
                }
                Claim::Beside => return done(self.lead(missing, None, Manner::Waits, body)),
                Claim::Cycle => return self.run_uncached(&task.policy, CYCLE, body),
                Claim::Interrupted => {
                    return Computed::Failed(Failure::Cancelled, self.since(began));
                }
            }
        }
    }

    /// Computes a key whoever else computes it; leads if nobody else in this process does.
    pub(crate) fn compute_beside(
        self: &Arc<Self>,
        missing: Missing<'_>,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Computed {
        let lead = match self.flights.try_claim(&missing.key, flight::lineage) {
            Attempt::Lead(lead) => Some(lead),
            Attempt::Taken(_) | Attempt::Beside | Attempt::Cycle => None,
        };
        done(self.lead(missing, lead, Manner::Waits, body))
    }

    /// What a leader left behind, if it is of use. Who asks that it be computed now does not take what
    /// somebody had begun to compute before.
    pub(crate) fn take_landing(
        &self,
        missing: &Missing<'_>,
        landed: Landed,
        began: Duration,
    ) -> Option<Computed> {
        let policy = &missing.task.policy;
        match landed.landing {
            Landing::Answer(answer)
                if missing.is_known_to(landed.epoch)
                    && (policy.mode.reads() || landed.began >= began)
                    && self.suits(policy, &answer) =>
            {
                Some(waited(answer, self.since(began)))
            }
            Landing::Failure(failure)
                if policy.on_failure == OnFailure::Share && missing.epoch() <= landed.epoch =>
            {
                Some(Computed::Failed(failure.shared(), Duration::ZERO))
            }
            Landing::Answer(_) | Landing::Failure(_) => None,
            Landing::Failed | Landing::Own | Landing::Nothing => None,
        }
    }

    /// Whether an answer somebody else landed is what a call with this policy asked for. One
    /// without a time was computed just now; but its body may have looked around before this call
    /// began.
    fn suits(&self, policy: &Policy, answer: &Answer) -> bool {
        let is_new = answer.created_at == 0;
        let is_valid = is_new
            || (policy.mode.reads()
                && self.catalog.now().is_ok_and(|now| answer.is_valid(now, policy.max_age)));
        is_valid && self.holds(&answer.observed)
    }

    /// Leads the computation of a key: nobody else in this process computes it meanwhile, if
    /// there is a lead. An error if it would have to wait and is not to.
    pub(crate) fn lead(
        self: &Arc<Self>,
        missing: Missing<'_>,
        mut lead: Option<Lead<'_>>,
        manner: Manner<'_>,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Result<Computed, Box<Waiting>> {
        let began = self.timer.now();
        let mut epoch = missing.epoch();
        let mut land = |landing, epoch| {
            if let Some(lead) = lead.take() {
                lead.land(Landed { landing, epoch, began });
            }
        };
        let (computed, landing) = match self.prepare(&missing, manner) {
            Ok(start) => {
                epoch = start.goal.as_ref().map_or(epoch, |goal| Some(goal.claim.epoch));
                if start.alone == Some(Alone::Failing) {
                    // Nobody waits for another, in this process neither.
                    land(Landing::Nothing, epoch);
                }
                self.run_body(missing, start, body)
            }
            Err(Instead::Landed(landing)) => (self.landed(landing.clone(), began), landing),
            Err(Instead::Held(waiting)) => {
                land(Landing::Nothing, epoch);
                return Err(waiting);
            }
        };
        land(landing, epoch);
        Ok(computed)
    }

    /// The call has what somebody else computed, or his failure; or it was given up.
    fn landed(&self, landing: Landing, began: Duration) -> Computed {
        match landing {
            Landing::Answer(answer) => waited(answer, self.since(began)),
            Landing::Failure(failure) => Computed::Failed(failure, Duration::ZERO),
            Landing::Failed | Landing::Own | Landing::Nothing => {
                Computed::Failed(Failure::Cancelled, self.since(began))
            }
        }
    }

    /// Runs the body, publishes what it made, and says what the followers are to have of it.
    fn run_body(
        &self,
        missing: Missing<'_>,
        start: Start,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> (Computed, Landing) {
        let began = self.timer.now();
        match body() {
            Ok(Product::Made(made)) => self.made(missing, start, made, began),
            Ok(Product::Expanded(expansion)) => self.expanded(missing, start, expansion, began),
            Ok(Product::Became(expansion)) => {
                start.give_back(Ended::Unused);
                (became(expansion, began), Landing::Own)
            }
            Err(failure) => {
                let shares = missing.task.policy.on_failure == OnFailure::Share;
                if let Some(reservation) = start.reservation {
                    reservation.fail(&failure, shares);
                }
                let landing = match &failure {
                    Failure::Raised { .. } if shares => Landing::Failure(failure.clone()),
                    Failure::Raised { .. } => Landing::Failed,
                    Failure::Lost { .. } | Failure::Again { .. } | Failure::Cancelled => {
                        Landing::Nothing
                    }
                };
                (Computed::Failed(failure, self.since(began)), landing)
            }
        }
    }

    fn made(
        &self,
        missing: Missing<'_>,
        start: Start,
        mut made: Made,
        began: Duration,
    ) -> (Computed, Landing) {
        let Missing { task, miss, .. } = missing;
        let Start { goal, reservation, alone } = start;
        let output = self.output(&task.policy, &mut made);
        let settled = self.settle(task, miss, goal, output, self.since(began));
        match (reservation, &settled.outcome) {
            (Some(it), Outcome::Computed(_) | Outcome::Nondeterministic) => it.committed(),
            // What was done to the key meanwhile says nothing about those who compute it.
            (Some(it), Outcome::Fenced) => it.end(Ended::Unused),
            // Dropped, it ends as one without a result.
            (_, _) => {}
        }
        let landing = match &settled.value {
            Value::Known(answer) => Landing::Answer(Arc::clone(answer)),
            Value::Live { .. } => Landing::Own,
        };
        (Computed::Settled(self.told(Settled { alone, ..settled })), landing)
    }

    /// Whoever held a reservation while other operations run could wait for one that waits for
    /// this one in another process.
    fn expanded(
        &self,
        missing: Missing<'_>,
        start: Start,
        mut expansion: Expansion,
        began: Duration,
    ) -> (Computed, Landing) {
        let Missing { task, miss, .. } = missing;
        let goal = match (start.goal, expansion.unstored.take()) {
            _ if !task.policy.mode.writes() => Err(not_written(&task.policy)),
            (_, Some(Unstored { reason, text })) | (Err((reason, text)), None) => {
                Err(Outcome::NotStored(miss, reason, text))
            }
            (Ok(Goal { key, claim }), None) => {
                let claim = CatalogClaim { reservation: None, ..claim };
                Ok((Goal { key, claim }, miss))
            }
        };
        if let Some(reservation) = start.reservation {
            reservation.end(Ended::Unused);
        }
        let landing = if goal.is_ok() { Landing::Nothing } else { Landing::Own };
        (unfinished(expansion, began, goal), landing)
    }

    /// Publishes what a body made, if the policy says so and it can be stored.
    fn settle(
        &self,
        task: &Task<'_>,
        miss: Miss,
        goal: Result<Goal, (Reason, String)>,
        output: Output<'_>,
        spent: Duration,
    ) -> Settled {
        if !task.policy.mode.writes() {
            return output.unstored(not_written(&task.policy), spent);
        }
        let writing = match output.writing {
            Ok(writing) => writing,
            Err(Unstored { reason, text }) => {
                let outcome = Outcome::NotStored(miss, *reason, text.clone());
                return output.unstored(outcome, spent);
            }
        };
        let is_known = || match output.terms.made_of.is_unknown() {
            true => Err((Reason::Unknown, UNKNOWN.to_owned())),
            false => Ok(()),
        };
        let goal = match goal.and_then(|goal| is_known().map(|()| goal)) {
            Ok(goal) => goal,
            Err((reason, text)) => {
                return output.unstored(Outcome::NotStored(miss, reason, text), spent);
            }
        };
        match self.publish(task, goal, writing, &output.terms, spent) {
            Published::Stored(answer, outcome) => Settled {
                entry: answer.entry,
                value: Value::Known(answer),
                outcome: outcome.unwrap_or(Outcome::Computed(miss)),
                came: match goal.claim {
                    CatalogClaim { replace: true, epoch: ticket, .. } => Came::Replacing(ticket),
                    CatalogClaim { replace: false, .. } => Came::Now,
                },
                spent,
                alone: None,
                made: Some(output.object),
            },
            Published::Fenced => output.unstored(Outcome::Fenced, spent),
            Published::Failed(reason, text) => {
                output.unstored(Outcome::NotStored(miss, reason, text), spent)
            }
        }
    }

    /// Publishes the value of an expanded call, now that its operations are settled.
    pub(crate) fn finish(
        &self,
        task: &Task<'_>,
        unfinished: Unfinished,
        gathered: Gathered,
    ) -> Settled {
        let spent = self.since(unfinished.began);
        let gathered = Arc::new(gathered);
        let writing = Writing { draft: &gathered.output, taken: &gathered.taken };
        let outline = writing.draft.outline(writing.taken);
        let Unfinished { goal, observed, expires_at, made_of, .. } = unfinished;
        let output = Output {
            object: Arc::<Gathered>::clone(&gathered),
            contribution: outline.and_then(|outline| outline.contribution().ok()),
            writing: Ok(writing),
            terms: self.terms(&task.policy, observed, expires_at, made_of),
        };
        let mut settled = match goal {
            Ok((goal, miss)) => self.settle(task, miss, Ok(goal), output, spent),
            Err(outcome) => output.unstored(outcome, spent),
        };
        // Nobody made the value itself: it is loaded from its parts.
        settled.made = None;
        self.told(settled)
    }

    pub(crate) fn run_uncached(
        &self,
        policy: &Policy,
        reason: &str,
        body: &mut dyn FnMut() -> Result<Product, Failure>,
    ) -> Computed {
        let began = self.timer.now();
        let outcome = Outcome::Uncached(reason.to_owned());
        match body() {
            Ok(Product::Made(mut made)) => {
                let output = self.output(policy, &mut made);
                Computed::Settled(output.unstored(outcome, self.since(began)))
            }
            Ok(Product::Expanded(expansion)) => unfinished(expansion, began, Err(outcome)),
            Ok(Product::Became(expansion)) => became(expansion, began),
            Err(failure) => Computed::Failed(failure, self.since(began)),
        }
    }

    fn output<'a>(&self, policy: &Policy, made: &'a mut Made) -> Output<'a> {
        let observed = std::mem::take(&mut made.observed);
        let made_of = std::mem::take(&mut made.made_of);
        Output {
            terms: self.terms(policy, observed, made.expires_at, made_of),
            object: Arc::clone(&made.object),
            contribution: made.contribution.clone(),
            writing: match &made.draft {
                Ok(draft) => Ok(Writing { draft, taken: &[] }),
                Err(unstored) => Err(unstored),
            },
        }
    }

    /// What a value depends on that is made now: it lives as long as the policy says, and no
    /// longer than what it was made of.
    fn terms(
        &self,
        policy: &Policy,
        observed: Vec<Observation>,
        expires_at: Option<Time>,
        made_of: Parts,
    ) -> Terms {
        let own = policy.expires.map(|life| {
            let life = Time::try_from(life.as_nanos().div_ceil(1_000_000)).unwrap_or(Time::MAX);
            self.catalog_clock().saturating_add(life)
        });
        let expires_at = own.into_iter().chain(expires_at).min();
        Terms { observed: shared(observed), expires_at, made_of: made_of.shared() }
    }

    /// Who computed it: part of every entry.
    pub(crate) fn origin(&self, run: &(Option<RunId>, u32)) -> Origin {
        let (run, node) = run.clone();
        Origin { run, node, host: self.host.clone(), user: self.user.clone() }
    }
}

impl Output<'_> {
    /// The value, kept in memory for this run alone.
    fn unstored(self, outcome: Outcome, spent: Duration) -> Settled {
        let writing = self.writing.ok();
        let value = match writing.map(|writing| writing.draft) {
            // Its bytes are in the store although no entry refers to them.
            Some(Draft::Stored(record)) => {
                Answer::unstored(record.clone(), spent, self.terms.clone()).ok()
            }
            _ => None,
        };
        let outline = writing.and_then(|writing| writing.draft.outline(writing.taken));
        let live = |made: &Arc<_>| Value::Live {
            object: Arc::clone(made),
            contribution: self.contribution,
            outline: outline.map(Arc::new),
            terms: self.terms,
        };
        Settled {
            value: match value {
                Some(answer) => Value::Known(Arc::new(answer)),
                None => live(&self.object),
            },
            outcome,
            entry: None,
            came: Came::Now,
            spent,
            alone: None,
            made: Some(self.object),
        }
    }
}

/// The outcome of a call whose value is not to be stored.
fn not_written(policy: &Policy) -> Outcome {
    Outcome::Uncached(format!("{} ({})", policy.mode.word(), policy.rule.word()))
}

/// Why a call has no key of use: it has none, or the cache is off.
pub(crate) fn key_of<'a>(task: &'a Task<'_>) -> Result<Key, &'a str> {
    match &task.key {
        Ok(key) if task.policy.mode != Mode::Off => Ok(*key),
        Ok(_) => Err(task.policy.rule.word()),
        Err(reason) => Err(reason),
    }
}

fn done(led: Result<Computed, Box<Waiting>>) -> Computed {
    led.unwrap_or_else(|_| unreachable!("who waits on its thread is not put aside"))
}

/// The operations that stand in the place of one from now on.
fn became(expansion: Expansion, began: Duration) -> Computed {
    unfinished(expansion, began, Err(Outcome::Expanded))
}

fn unfinished(
    mut expansion: Expansion,
    began: Duration,
    goal: Result<(Goal, Miss), Outcome>,
) -> Computed {
    let observed = std::mem::take(&mut expansion.observed);
    let made_of = std::mem::take(&mut expansion.made_of);
    let expires_at = expansion.expires_at;
    let unfinished = Unfinished { began, goal, observed, expires_at, made_of };
    Computed::Expanded(expansion, Box::new(unfinished))
}

fn waited(answer: Arc<Answer>, spent: Duration) -> Computed {
    Computed::Settled(Settled {
        entry: answer.entry,
        value: Value::Known(answer),
        outcome: Outcome::Waited,
        came: Came::Now,
        spent,
        alone: None,
        made: None,
    })
}
