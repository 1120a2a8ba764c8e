//! What is done before a body runs: a look, and a turn among processes.

use std::sync::Arc;

use thrifty_catalog::{Claim as CatalogClaim, Ended};
use thrifty_key::Key;

use super::{Goal, Manner, Missing};
use crate::cache::Cache;
use crate::flight::{self, Landing};
use crate::lookup::{Looked, Target};
use crate::outcome::Miss;
use crate::policy::{Mode, Policy};
use crate::reason::Reason;
use crate::reserve::{Alone, Reservation, Turn, Waiting, Wanted};

/// What a leader computes with.
pub(super) struct Start {
    /// Where its result goes; else why it cannot be committed, and what there is to say about it.
    pub(super) goal: Result<Goal, (Reason, String)>,
    /// Held until something is committed, or there is nothing to commit.
    pub(super) reservation: Option<Reservation>,
    /// Why it does without the reservation that it was to have.
    pub(super) alone: Option<Alone>,
}

impl Start {
    /// There is nothing to commit under the reservation.
    pub(super) fn give_back(self, ended: Ended<'_>) {
        if let Some(reservation) = self.reservation {
            reservation.end(ended);
        }
    }
}

/// Why a leader does not compute.
pub(super) enum Instead {
    /// Somebody else did, or failed and shares that; with nothing, the caller gave up waiting.
    Landed(Landing),
    /// It is not its turn, and it does not wait for it.
    Held(Box<Waiting>),
}

impl Cache {
    /// What a leader does before it computes: it looks again, because the answer may have come
    /// while it was claiming, and takes its turn among processes.
    pub(super) fn prepare(
        &self,
        missing: &Missing<'_>,
        manner: Manner<'_>,
    ) -> Result<Start, Instead> {
        let commits = self.catalog.commits();
        let goal = self.goal(missing, commits)?;
        let Missing { task, key, miss, .. } = missing;
        let Policy { serialize, now, mode, .. } = task.policy;
        let Some(unreserved) = goal.filter(|_| serialize && !now && mode.writes()) else {
            return Ok(self.start(mode, goal, None, None));
        };
        let lineage = match &manner {
            Manner::Parks(_, lineage) => Arc::clone(lineage),
            Manner::Waits | Manner::Beside => flight::lineage(),
        };
        let wanted = Wanted { task, key, goal: &unreserved.key, miss, commits, lineage: &lineage };
        let turn = match manner {
            Manner::Waits => self.take_turn(&wanted).ok_or(Instead::Landed(Landing::Nothing))?,
            Manner::Parks(waiting, _) => self.try_turn(&wanted, waiting).map_err(Instead::Held)?,
            Manner::Beside => Turn::Unserialised(Alone::Unshared),
        };
        match turn {
            Turn::Mine(reservation) => {
                let replace = unreserved.claim.replace;
                let claim = CatalogClaim { replace, ..reservation.claim() };
                let goal = Some(Goal { claim, ..unreserved });
                Ok(self.start(mode, goal, Some(reservation), None))
            }
            Turn::Unserialised(why) => {
                // It may have waited for long, and comes to compute as one that was just looked up.
                let goal = self.goal(missing, self.catalog.commits())?;
                Ok(self.start(mode, goal, None, Some(why)))
            }
            Turn::Landed(landing) => Err(Instead::Landed(landing)),
        }
    }

    /// A computation begins. If it is to replace an entry it draws its ticket now, behind all that
    /// it waited for: what began before is refused once it has committed.
    fn start(
        &self,
        mode: Mode,
        goal: Option<Goal>,
        reservation: Option<Reservation>,
        alone: Option<Alone>,
    ) -> Start {
        let goal = match goal {
            Some(Goal { key, claim }) if claim.replace && mode.writes() => {
                let drawn = self.draw_ticket(&key);
                let reservation = claim.reservation;
                drawn.map(|ticket| Goal { key, claim: CatalogClaim { reservation, ..ticket } })
            }
            Some(goal) => Ok(goal),
            None => Err((self.health.reading_trouble(), Miss::Unavailable.word().to_owned())),
        };
        Start { goal, reservation, alone }
    }

    /// Where the result goes that is computed from now on. The cache is asked again if something
    /// was stored since the lookup: nothing new can be found otherwise.
    fn goal(&self, missing: &Missing<'_>, commits: u64) -> Result<Option<Goal>, Instead> {
        let Missing { task, key, miss, target } = missing;
        let goal = target.map(|target| Goal::new(key, target, miss));
        // An entry whose bytes are gone may still be there, if it could not be removed.
        let looks_again = task.policy.mode.reads()
            && !matches!(miss, Miss::Unavailable | Miss::Unreadable)
            && target.is_none_or(|target| target.commits != commits);
        if !looks_again {
            return Ok(goal.map(|goal| self.begun_now(goal, *target)));
        }
        match self.look_again(key, task.policy.max_age) {
            Looked::Hit(answer, _) => Err(Instead::Landed(Landing::Answer(answer))),
            Looked::Miss(again, Some(target)) => Ok(goal.map(|before| {
                let mut goal = Goal::new(key, target, &again);
                goal.claim.replace |= before.claim.replace;
                goal
            })),
            Looked::Miss(_, None) => Ok(goal),
        }
    }

    /// A call may have stood in a queue, or waited for somebody else, since it was looked up. What
    /// was invalidated meanwhile was so before this computation begins, and does not refuse it.
    fn begun_now(&self, goal: Goal, target: Option<Target>) -> Goal {
        if target.is_some_and(|target| target.turns == self.catalog.turns()) {
            return goal;
        }
        let epoch = self.slot(&goal.key).map_or(goal.claim.epoch, |now| now.slot.epoch);
        Goal { claim: CatalogClaim { epoch, ..goal.claim }, ..goal }
    }
}

impl Goal {
    /// Where a result goes after this miss of `key`.
    fn new(key: &Key, target: Target, miss: &Miss) -> Self {
        // A lookup that was led on to a variant has found no entry there. One that could not be
        // led on puts its result in the place of the first.
        let replace = match miss {
            Miss::Refresh | Miss::TooOld | Miss::Unreadable => true,
            Miss::Observed(_) => target.key == *key,
            Miss::Absent | Miss::Expired | Miss::Unavailable => false,
        };
        let claim = CatalogClaim { epoch: target.slot.epoch, reservation: None, replace };
        Self { key: target.key, claim }
    }
}
