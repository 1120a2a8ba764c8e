//! Reservations: one owner a fence, fences that grow, and nobody kept waiting for nothing.

use thrifty_engine::catalog::{Claim, Ended, Reserved, Standing, Time};

use super::{Holder, Model};
use crate::identity::{At, CellId};
use crate::mark::Mark;

/// Holders in a row without a commit after which nobody waits for another.
const FAILURES: u32 = 3;
/// Milliseconds for which nobody does.
const ALONE: Time = 60_000;

/// What asking for a slot must give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It is the asker's already.
    Own,
    /// It was the asker's, and that is over: an answer sent again.
    Over,
    Held,
    Alone,
    Taken,
}

impl Model {
    /// A slot was asked for.
    pub fn reserved(&mut self, at: At, cell: CellId, nonce: u128, lease: Time, answer: &Reserved) {
        let process = at.process;
        let expected = self.expected(at, cell, nonce);
        match (answer, expected) {
            (Reserved::Taken(claim), Expected::Own | Expected::Over | Expected::Taken) => {
                self.given(at, cell, nonce, claim, expected);
                if expected != Expected::Over {
                    let until = at.now.saturating_add(lease);
                    self.cells[cell].holder = Some(Holder { process, until });
                }
            }
            (Reserved::Held(held), Expected::Held) => {
                let until = self.cells[cell].holder.map_or(0, |holder| holder.until);
                let left = Time::try_from(held.left.as_millis()).unwrap_or(Time::MAX);
                self.require(at.now.saturating_add(left) <= until, "L1", || {
                    format!("process {process} waits for key {cell} beyond its lease")
                });
            }
            (Reserved::Unserialised(_), Expected::Alone) => {
                self.marks.hit(Mark::PoisonGuard);
                if self.cells[cell].alone_until <= at.now {
                    self.leave_alone(at, cell);
                }
            }
            (answer, expected) => {
                let invariant = if expected == Expected::Held { "S3" } else { "L2" };
                let slot = self.cells[cell].clone();
                self.violate(invariant, || {
                    format!("process {process} asked for key {cell}: {answer:?} of {slot:?}")
                });
            }
        }
    }

    fn expected(&self, at: At, cell: CellId, nonce: u128) -> Expected {
        let slot = &self.cells[cell];
        let lapsed = u32::from(slot.holder.is_some());
        match slot.holder {
            Some(_) if slot.nonce == nonce => Expected::Own,
            None if slot.ended == Some(nonce) => Expected::Over,
            Some(holder) if holder.until > at.now => Expected::Held,
            _ if slot.alone_until > at.now => Expected::Alone,
            _ if slot.failures + lapsed >= FAILURES => Expected::Alone,
            _ => Expected::Taken,
        }
    }

    fn given(&mut self, at: At, cell: CellId, nonce: u128, claim: &Claim, expected: Expected) {
        let Some((fence, own)) = claim.reservation else {
            return self.violate("S3", || format!("key {cell} was given without a fence"));
        };
        self.require(own == nonce, "S3", || format!("key {cell}: a foreign nonce"));
        self.saw_epoch(at, claim.epoch);
        let last = self.cells[cell].fence;
        if expected != Expected::Taken {
            return self.require(fence == last, "S3", || format!("key {cell}: another fence"));
        }
        self.require(fence > last, "S3", || {
            format!("key {cell} was given with fence {fence} after {last}")
        });
        let owner = *self.nonces.entry(nonce).or_insert(at.process);
        self.require(owner == at.process, "S3", || {
            format!("key {cell}: processes {owner} and {} share a nonce", at.process)
        });
        self.mark_taken(cell);
        let slot = &mut self.cells[cell];
        slot.failures += u32::from(slot.holder.is_some());
        (slot.fence, slot.nonce, slot.ended) = (fence, nonce, None);
    }

    fn leave_alone(&mut self, at: At, cell: CellId) {
        let slot = &mut self.cells[cell];
        (slot.failures, slot.alone_until) = (0, at.now + ALONE);
    }

    /// Somebody looked at a slot.
    pub fn stood(&mut self, at: At, cell: CellId, standing: &Standing) {
        let holder = self.cells[cell].holder.filter(|holder| holder.until > at.now);
        let invariant = if holder.is_some() { "S3" } else { "L1" };
        self.require(standing.held.is_some() == holder.is_some(), invariant, || {
            format!("process {} sees {standing:?} of key {cell}", at.process)
        });
    }

    /// A process learned that it has a slot.
    pub fn granted(&mut self, at: At, cell: CellId) {
        self.claims.entry((at.process, cell)).or_default().taken = Some(at.step);
    }

    /// A process gives a slot up, whether the catalog hears of it or not.
    pub fn gave_up(&mut self, at: At, cell: CellId) {
        self.claims.entry((at.process, cell)).or_default().taken = None;
    }

    fn mark_taken(&mut self, cell: CellId) {
        let slot = &self.cells[cell];
        if slot.has_failed {
            self.marks.hit(Mark::FailedLeader);
        }
        let Some(before) = slot.holder else { return };
        self.marks.hit(Mark::Takeover);
        if self.committing.get(&before.process) == Some(&cell) {
            self.marks.hit(Mark::TakeoverDuringCommit);
        }
    }

    /// Whether a claim has the slot now, lapsed or not.
    pub(super) fn has_slot(&self, cell: CellId, claim: &Claim) -> bool {
        let slot = &self.cells[cell];
        slot.holder.is_some() && claim.reservation == Some((slot.fence, slot.nonce))
    }

    /// A reservation was prolonged, or was not.
    pub fn beat(&mut self, at: At, cell: CellId, claim: &Claim, lease: Time, is_alive: bool) {
        let has_slot = self.has_slot(cell, claim);
        self.require(is_alive == has_slot, "S3", || {
            let process = at.process;
            format!("process {process} was told {is_alive} of key {cell}, and it is {has_slot}")
        });
        if let Some(holder) = self.cells[cell].holder.as_mut().filter(|_| has_slot) {
            holder.until = at.now.saturating_add(lease);
        }
    }

    /// A reservation was given back.
    pub fn released(&mut self, at: At, cell: CellId, claim: &Claim, ended: Ended<'_>) {
        if !self.has_slot(cell, claim) {
            return;
        }
        self.require(self.told.turns, "L1", || format!("nobody learns that key {cell} is free"));
        let slot = &mut self.cells[cell];
        slot.holder = None;
        slot.ended = Some(slot.nonce);
        slot.failures += u32::from(ended != Ended::Unused);
        if let Ended::Shared(_) = ended {
            slot.failed = at.step;
        }
        if slot.failures >= FAILURES {
            self.leave_alone(at, cell);
        }
    }
}
