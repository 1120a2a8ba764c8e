//! Reservations: one owner a fence, fences that grow, and nobody kept waiting for nothing.

use thrifty_engine::catalog::{Claim, Reserved, Time};

use super::{Holder, Model};
use crate::identity::{At, CellId};
use crate::mark::Mark;

impl Model {
    /// A slot was asked for.
    pub fn reserved(&mut self, at: At, cell: CellId, nonce: u128, lease: Time, answer: &Reserved) {
        let (process, now) = (at.process, at.now);
        let slot = self.cells[cell].clone();
        let is_held = slot.holder.is_some_and(|holder| holder.until > now);
        let is_own = slot.holder.is_some() && slot.nonce == nonce;
        match answer {
            Reserved::Taken(claim) => {
                let Some((fence, own)) = claim.reservation else {
                    return self.violate("S3", || format!("key {cell} was given without a fence"));
                };
                self.require(own == nonce, "S3", || format!("key {cell}: a foreign nonce"));
                self.require(!is_held || is_own, "S3", || {
                    format!("process {process} was given key {cell}, which {slot:?} holds")
                });
                // A repetition that comes when all is over takes nothing.
                if slot.holder.is_none() && slot.nonce == nonce && fence == slot.fence {
                    return;
                }
                let is_next = fence > slot.fence || (is_own && fence == slot.fence);
                self.require(is_next, "S3", || {
                    format!("key {cell} was given with fence {fence} after {}", slot.fence)
                });
                let is_fresh = slot.nonce != nonce || slot.fence == 0 || fence == slot.fence;
                self.require(is_fresh, "S3", || format!("key {cell}: a nonce came twice"));
                self.saw_epoch(at, claim.epoch);
                self.mark_taken(cell, is_own);
                let slot = &mut self.cells[cell];
                slot.holder = Some(Holder { process, until: now.saturating_add(lease) });
                (slot.fence, slot.nonce) = (fence, nonce);
            }
            Reserved::Held(held) => {
                self.require(is_held && !is_own, "L1", || {
                    format!("process {process} waits for key {cell}, which nobody holds")
                });
                let until = slot.holder.map_or(0, |holder| holder.until);
                let left = Time::try_from(held.left.as_millis()).unwrap_or(Time::MAX);
                self.require(now.saturating_add(left) <= until, "L1", || {
                    format!("process {process} waits for key {cell} beyond its lease")
                });
            }
            Reserved::Unserialised(_) => {}
        }
    }

    /// A process learned that it has a slot.
    pub fn granted(&mut self, at: At, cell: CellId) {
        self.claims.entry((at.process, cell)).or_default().taken = Some(at.step);
    }

    /// A process gives a slot up, whether the catalog hears of it or not.
    pub fn gave_up(&mut self, at: At, cell: CellId) {
        self.claims.entry((at.process, cell)).or_default().taken = None;
    }

    fn mark_taken(&mut self, cell: CellId, is_own: bool) {
        let slot = &self.cells[cell];
        if slot.has_failed {
            self.marks.hit(Mark::FailedLeader);
        }
        let Some(before) = slot.holder.filter(|_| !is_own) else { return };
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
    pub fn released(&mut self, cell: CellId, claim: &Claim) {
        if self.has_slot(cell, claim) {
            self.require(self.told.turns, "L1", || {
                format!("nobody learns that key {cell} is free")
            });
            self.cells[cell].holder = None;
        }
    }
}
