//! Entries: found when they are there and only then, stored once, gone when they were removed.

use std::collections::{BTreeMap, BTreeSet};

use thrifty_engine::catalog::{
    BlobRef, Claim, Committed, EntryId, Found, Invalidated, NewEntry, Request, Time, Why,
};
use thrifty_engine::record::Record;
use thrifty_engine::store::BlobName;

use super::{Execution, Kept, Model, Part, Whole};
use crate::identity::{At, CellId, ProcessId};
use crate::mark::Mark;
use crate::value::Value;

/// Which entries an invalidation means.
pub struct Meant {
    /// Whose keys it means, stored or not: what began before must not come back.
    pub cells: Vec<CellId>,
    /// The entries of these alone, by number.
    pub ids: Option<Vec<i64>>,
}

/// For how long a commit can be repeated at least, in milliseconds.
const REPEATED: Time = 48 * 3_600_000;

/// Since when what is done to a part counts against what was made of it.
#[derive(Clone, Copy)]
struct Began {
    /// When the body began, or saw the epoch.
    step: u64,
    /// What was removed so shortly before an epoch was seen may be either.
    slack: u64,
}

impl Model {
    /// A key was looked up.
    pub fn looked(&mut self, at: At, cell: CellId, request: &Request, found: &Found) {
        if let Found::Miss(slot, _) = found {
            self.saw_epoch(at, slot.epoch);
        }
        let kept = self.cells[cell].entry.and_then(|id| Some((id, self.entries.get(&id)?.clone())));
        let max_age =
            request.max_age.map(|age| Time::try_from(age.as_millis()).unwrap_or(Time::MAX));
        let expected = match &kept {
            None => Err(Why::Absent),
            Some((_, kept)) if kept.is_spoiled => Err(Why::Corrupt),
            Some((_, kept)) if kept.expires.is_some_and(|at_most| at_most <= at.now) => {
                Err(Why::Expired)
            }
            Some((_, kept)) if max_age.is_some_and(|age| at.now - kept.created > age) => {
                Err(Why::TooOld)
            }
            Some((id, kept)) => Ok((*id, kept.digest)),
        };
        let found = match found {
            Found::Hit(hit) => Ok((hit.entry.0, hit.output_digest)),
            Found::Miss(_, why) => Err(*why),
        };
        let invariant = if found.is_ok() { "S1" } else { "S6" };
        self.require(found == expected, invariant, || {
            format!("key {cell} looked up: {found:?}, and it is {expected:?}")
        });
        if let (Some((id, _)), Err(Why::Corrupt)) = (kept, expected) {
            self.marks.hit(Mark::RowNoticed);
            self.remove(at, id);
        }
    }

    /// The entries whose rows are as they were written.
    pub fn whole(&self) -> impl Iterator<Item = i64> {
        self.entries.iter().filter(|(_, kept)| !kept.is_spoiled).map(|(id, _)| *id)
    }

    /// The row of an entry was damaged.
    pub fn spoiled(&mut self, id: i64) {
        if let Some(kept) = self.entries.get_mut(&id) {
            kept.is_spoiled = true;
        }
    }

    /// The entries whose rows are damaged.
    pub fn spoiled_entries(&self) -> Vec<i64> {
        self.entries.iter().filter(|(_, kept)| kept.is_spoiled).map(|(id, _)| *id).collect()
    }

    /// Somebody learned the epoch.
    pub fn saw_epoch(&mut self, at: At, epoch: i64) {
        self.epochs.entry(epoch).or_insert(at.step);
    }

    /// A process drew a ticket: it begins now, and is to replace what there is. Nobody began later.
    pub fn drew(&mut self, at: At, cell: CellId, claim: &Claim) {
        let last = self.epochs.last_key_value().map_or(0, |(epoch, _)| *epoch);
        let is_one = claim.replace && claim.reservation.is_none() && claim.epoch > last;
        self.require(is_one, "S3", || {
            format!("process {} drew {claim:?} for key {cell} after {last}", at.process)
        });
        self.saw_epoch(at, claim.epoch);
        self.tickets.insert(claim.epoch, (at.process, cell));
    }

    /// A process is about to commit.
    pub fn commits(&mut self, at: At, cell: CellId) {
        self.committing.insert(at.process, cell);
    }

    /// A process has its answer to a commit, or none.
    pub fn commit_ended(&mut self, at: At) {
        self.committing.remove(&at.process);
    }

    /// A commit took effect, or was refused.
    pub fn committed(
        &mut self,
        at: At,
        cell: CellId,
        new: &NewEntry,
        whole: &Whole,
        claim: &Claim,
        how: &Committed,
    ) {
        if let Some((before, answered)) = self.answers.get(&new.id).cloned() {
            // After that it is a new one, which the epoch and the entry there keep from doing harm.
            let is_forgotten = at.now - answered >= REPEATED && *how != before;
            if !is_forgotten {
                return self.repeated(cell, new, &before, how);
            }
        }
        if !matches!(how, Committed::Fenced | Committed::BlobGone(_)) {
            self.answers.insert(new.id, (how.clone(), at.now));
        }
        match how {
            Committed::Stored(id) => self.stored(at, cell, new, whole, claim, id.0),
            Committed::Same(id) => {
                let is_so = self
                    .valid(at, cell)
                    .is_some_and(|(there, kept)| there == id.0 && kept.digest == new.output_digest);
                self.require(is_so && !claim.replace, "S6", || {
                    format!("key {cell}: entry {} is not the same", id.0)
                });
            }
            Committed::Different(id) => {
                let is_so = self
                    .valid(at, cell)
                    .is_some_and(|(there, kept)| there == id.0 && kept.digest != new.output_digest);
                self.require(is_so && !claim.replace, "S6", || {
                    format!("key {cell}: entry {} is no other", id.0)
                });
                self.marks.hit(Mark::Nondeterministic);
            }
            Committed::Fenced => self.refused(cell, whole, claim),
            Committed::BlobGone(blob) => {
                let is_gone = self.blobs.get(blob).is_some_and(|bytes| bytes.is_condemned);
                self.require(is_gone, "S6", || format!("{blob:?} is said to be gone"));
                self.marks.hit(Mark::BlobGone);
                self.claims.entry((at.process, cell)).or_default().gone += 1;
            }
        }
        let is_held = self.has_slot(cell, claim);
        if is_held && !matches!(how, Committed::BlobGone(_) | Committed::Fenced) {
            if self.cells[cell].holder.is_some_and(|holder| holder.until <= at.now) {
                self.marks.hit(Mark::LapsedCommit);
            }
            let slot = &mut self.cells[cell];
            (slot.holder, slot.ended, slot.failures) = (None, Some(new.id), 0);
        }
    }

    /// A commit is sent again: nothing happens, and it is answered as it was.
    fn repeated(&mut self, cell: CellId, new: &NewEntry, before: &Committed, how: &Committed) {
        self.marks.hit(Mark::CommitRepeated);
        if self.cells[cell].ended != Some(new.id) {
            self.marks.hit(Mark::CommitRepeatedLater);
        }
        self.require(how == before, "S10", || {
            format!("a commit of key {cell} sent again: {how:?}, and it was {before:?}")
        });
    }

    fn valid(&self, at: At, cell: CellId) -> Option<(i64, &Kept)> {
        let id = self.cells[cell].entry?;
        let kept = self.entries.get(&id)?;
        let is_valid = !kept.is_spoiled && kept.expires.is_none_or(|expires| expires > at.now);
        is_valid.then_some((id, kept))
    }

    fn stored(
        &mut self,
        at: At,
        cell: CellId,
        new: &NewEntry,
        whole: &Whole,
        claim: &Claim,
        id: i64,
    ) {
        let process = at.process;
        let is_told = self.told.turns && self.told.commits;
        self.require(is_told, "L1", || format!("nobody learns that key {cell} was stored"));
        if claim.reservation.is_some() {
            let has_slot = self.has_slot(cell, claim);
            self.require(has_slot, "S4", || {
                format!("process {process} stored key {cell} without having its slot")
            });
        }
        let since = self.epochs.get(&claim.epoch).copied().unwrap_or(0);
        let (drawn, _) = self.cells[cell].replaced;
        self.require(since >= self.cells[cell].disturbed.max(drawn), "S4", || {
            format!("process {process} stored key {cell} on epoch {}", claim.epoch)
        });
        let there = self.valid(at, cell).map(|(id, _)| id);
        self.require(there.is_none() || claim.replace, "S3", || {
            format!("process {process} stored key {cell} over {there:?} without replacing it")
        });
        self.require(id > self.last_entry, "S3", || format!("entry {id} was there before"));
        self.last_entry = self.last_entry.max(id);
        let value = Record::from_bytes(&new.output).ok().as_ref().and_then(Value::described);
        let Some(value) = value else {
            return self.violate("S1", || format!("process {process} stored what has no value"));
        };
        // A commit that arrives late is of an execution before the last.
        let of_value = |it: &&Execution| (it.process, it.made) == (process, Some(value));
        let Some(execution) = self.executions.iter().rev().find(of_value).cloned() else {
            return self.violate("S1", || format!("process {process} stored {value:?} of nobody"));
        };
        self.require(value.cell == cell, "S1", || {
            format!("process {process} stored {value:?} under key {cell}")
        });
        self.require(execution.began > self.cells[cell].invalidated, "S5", || {
            format!("process {process} stored key {cell}, invalidated since its body began")
        });
        let took = self.stored_whole(process, value, whole, since);
        for blob in &new.blobs {
            let is_gone = self.blobs.get(blob).is_some_and(|bytes| bytes.is_condemned);
            self.require(!is_gone, "S8", || {
                format!("entry {id} refers to {blob:?}, which is gone")
            });
            let bytes = self.blobs.entry(*blob).or_default();
            bytes.used = bytes.used.max(at.now);
        }
        let there = self.cells[cell].entry.and_then(|id| self.entries.get(&id));
        let is_same = there.is_some_and(|it| !it.is_spoiled && it.digest == new.output_digest);
        if let Some(old) = self.cells[cell].entry {
            self.remove(at, old);
        }
        if claim.replace {
            self.replaced(at, cell, claim, execution.began);
            if !is_same {
                self.supersede(at, cell);
            }
        }
        let kept = Kept {
            cell,
            value,
            digest: new.output_digest,
            blobs: new.blobs.clone(),
            created: at.now,
            expires: new.expires_at,
            used: at.now,
            step: at.step,
            is_spoiled: false,
            took,
            made_of: whole.made_of.clone(),
        };
        self.took.insert(id, kept.took.clone());
        self.entries.insert(id, kept);
        self.cells[cell].entry = Some(id);
    }

    /// A commit takes the place of what was there: it stands on a ticket of its own, drawn after that
    /// of the last one and before its body began.
    fn replaced(&mut self, at: At, cell: CellId, claim: &Claim, began: u64) {
        let since = self.epochs.get(&claim.epoch).copied().unwrap_or(0);
        let (drawn, replaced) = self.cells[cell].replaced;
        let is_own = self.tickets.get(&claim.epoch) == Some(&(at.process, cell));
        self.require(is_own && since > drawn && since < began, "S3", || {
            format!("process {} replaced key {cell} by what began before", at.process)
        });
        if replaced > since {
            self.marks.hit(Mark::ReplacedAgain);
        }
        self.cells[cell].replaced = (since, at.step);
    }

    /// Another value is in the place of a result, or nobody knows: what was made of it goes.
    fn supersede(&mut self, at: At, cell: CellId) {
        self.cells[cell].superseded = at.step;
        let wholes = self.entries.iter().filter(|(_, kept)| kept.made_of.contains(&cell));
        let wholes: Vec<_> = wholes.map(|(id, kept)| (*id, kept.cell)).collect();
        for (id, whole) in wholes {
            self.marks.hit(Mark::WholeRemoved);
            self.remove(at, id);
            self.cells[whole].superseded = at.step;
        }
    }

    /// A value is stored that says what it was made of: so it was, and all of it is so still. Says
    /// what it took.
    fn stored_whole(
        &mut self,
        process: ProcessId,
        value: Value,
        whole: &Whole,
        since: u64,
    ) -> Vec<(CellId, u64)> {
        let late = self.late_part(whole, Began { step: since, slack: 0 });
        self.require(late.is_none(), "S5", || {
            format!("process {process} stored {value:?}, made of {late:?} of before a removal")
        });
        let took = self.taken_by(process, value);
        let is_told = took.iter().all(|(part, _)| whole.made_of.contains(part));
        self.require(is_told, "S5", || {
            format!("process {process} stored {value:?} as made of {:?}: {took:?}", whole.made_of)
        });
        took
    }

    /// What the execution took that made a value, each key as it was in its oldest state. Where
    /// several of a process made it, nobody knows which of them it is: what all of them took, and of
    /// the oldest states the newest.
    pub(super) fn taken_by(&self, process: ProcessId, value: Value) -> Vec<(CellId, u64)> {
        let of_value = |it: &&Execution| (it.process, it.made) == (process, Some(value));
        let all = self.executions.iter().filter(of_value).map(|execution| {
            let mut oldest = BTreeMap::new();
            for (part, version) in &execution.took {
                let least = oldest.entry(*part).or_insert(*version);
                *least = version.min(least).to_owned();
            }
            oldest
        });
        let common = all.reduce(|one, other| {
            let both = one.into_iter().filter_map(|(part, version)| {
                other.get(&part).map(|in_other| (part, version.max(*in_other)))
            });
            both.collect()
        });
        common.unwrap_or_default().into_iter().collect()
    }

    /// A part whose entry is gone, and that was removed or replaced after this; of one that has been
    /// evicted, also what it was made of.
    fn late_part(&self, whole: &Whole, began: Began) -> Option<CellId> {
        self.late_itself(whole, began).or_else(|| self.late_within(whole, began))
    }

    fn late_itself(&self, whole: &Whole, began: Began) -> Option<CellId> {
        let late = |part: &Part| self.is_late(part.cell, self.taken_since(*part, began));
        self.gone(whole).find(late).map(|part| part.cell)
    }

    /// What counts against a part is what happened after this.
    fn taken_since(&self, part: Part, began: Began) -> u64 {
        let seen = |epoch| self.epochs.get(&epoch).copied().unwrap_or(0);
        let step = part.since.map_or(began.step, |epoch| seen(epoch).min(began.step));
        step.saturating_sub(began.slack)
    }

    fn late_within(&self, whole: &Whole, began: Began) -> Option<CellId> {
        let evicted = self.gone(whole).filter(|part| part.entry.is_some());
        let since = evicted.map(|part| self.taken_since(part, began)).min()?;
        whole.made_of.iter().find(|cell| self.is_late(**cell, since)).copied()
    }

    fn gone(&self, whole: &Whole) -> impl Iterator<Item = Part> {
        let is_gone =
            |part: &Part| part.entry.is_none_or(|entry| !self.entries.contains_key(&entry));
        whole.taken.iter().copied().filter(is_gone)
    }

    fn is_late(&self, cell: CellId, since: u64) -> bool {
        let slot = &self.cells[cell];
        let removed = slot.disturbed.max(slot.invalidated).max(slot.superseded);
        removed.max(slot.replaced.0) > since
    }

    /// A refusal must have a reason: the slot is another's, or something was removed since it
    /// began, of it or of what it took, or replaced by who began later.
    fn refused(&mut self, cell: CellId, whole: &Whole, claim: &Claim) {
        let since = self.epochs.get(&claim.epoch).copied().unwrap_or(0);
        let slot = &self.cells[cell];
        let is_removed = slot.disturbed.max(slot.invalidated) >= since;
        let is_of_late = self.late_part(whole, Began { step: since, slack: 1 }).is_some();
        let is_disturbed = is_removed || slot.replaced.0 > since || is_of_late;
        if is_of_late && !is_removed {
            self.refused_whole(whole, since);
        }
        let slot = &self.cells[cell];
        if slot.invalidated >= since {
            self.marks.hit(Mark::InvalidatedRefused);
        }
        if claim.replace && !is_removed && is_disturbed {
            self.marks.hit(Mark::ReplacementRefused);
        }
        if claim.reservation.is_none() {
            self.require(is_disturbed, "S6", || format!("key {cell} was refused without a reason"));
        } else if self.has_slot(cell, claim) {
            self.require(is_disturbed, "S6", || format!("the holder of key {cell} was refused"));
        } else {
            self.marks.hit(Mark::ZombieRefused);
        }
    }

    fn refused_whole(&mut self, whole: &Whole, since: u64) {
        self.marks.hit(Mark::WholeRefused);
        let since = Began { step: since, slack: 0 };
        let is_new = |part: &&Part| part.since.is_none();
        let taken = whole.taken.iter().filter(is_new).copied().collect();
        let as_taken_now = Whole { made_of: whole.made_of.clone(), taken };
        if self.late_part(&as_taken_now, since).is_none() {
            self.marks.hit(Mark::RememberedRefused);
        }
        if self.late_itself(whole, since).is_none() {
            self.marks.hit(Mark::PartOfEvictedRefused);
        }
    }

    /// Entries were removed.
    pub fn invalidated(&mut self, at: At, meant: &Meant, is_semantic: bool, how: Invalidated) {
        let doomed: Vec<i64> = match &meant.ids {
            Some(ids) => {
                let known = |id: &&i64| {
                    self.entries.get(id).is_some_and(|kept| meant.cells.contains(&kept.cell))
                };
                ids.iter().filter(known).copied().collect()
            }
            None => {
                let cells: BTreeSet<_> = meant.cells.iter().copied().collect();
                let is_meant =
                    |kept: &Kept| cells.contains(&kept.cell) || !kept.made_of.is_disjoint(&cells);
                let all = self.entries.iter().filter(|(_, kept)| is_meant(kept));
                all.map(|(id, _)| *id).collect()
            }
        };
        if doomed.iter().any(|id| !meant.cells.contains(&self.entries[id].cell)) {
            self.marks.hit(Mark::WholeRemoved);
        }
        self.require(how.entries == doomed.len() as u64, "S5", || {
            format!("{} entries were removed, and {} were meant", how.entries, doomed.len())
        });
        self.require(doomed.is_empty() || self.told.turns, "L1", || {
            format!("nobody learns that {:?} may be free", meant.cells)
        });
        for id in doomed {
            let cell = self.entries[&id].cell;
            self.remove(at, id);
            self.disturb(at, cell);
            (self.cells[cell].holder, self.cells[cell].ended) = (None, None);
        }
        if is_semantic {
            for cell in &meant.cells {
                self.invalidate(at, *cell);
            }
        }
    }

    fn invalidate(&mut self, at: At, cell: CellId) {
        self.cells[cell].invalidated = at.step;
        let runs = |id: &u64| self.executions[*id as usize - 1].cell == cell;
        if self.running.values().flatten().any(runs) {
            self.marks.hit(Mark::InvalidatedDuringCompute);
        }
    }

    fn disturb(&mut self, at: At, cell: CellId) {
        self.cells[cell].disturbed = at.step;
    }

    /// Entries were evicted that were not used since; who computes one of them meanwhile may commit it.
    pub fn evicted(&mut self, at: At, entries: &[EntryId], chosen: Time, how: Invalidated) {
        let is_idle = |id: &&EntryId| self.entries.get(&id.0).is_some_and(|it| it.used <= chosen);
        let doomed: Vec<i64> = entries.iter().filter(is_idle).map(|id| id.0).collect();
        self.require(how.entries == doomed.len() as u64, "S6", || {
            format!("{} entries were evicted, and {} were idle", how.entries, doomed.len())
        });
        doomed.into_iter().for_each(|id| self.remove(at, id));
    }

    fn remove(&mut self, at: At, id: i64) {
        let Some(kept) = self.entries.remove(&id) else { return };
        self.require(self.told.changes, "S5", || format!("nobody learns that entry {id} is gone"));
        self.cells[kept.cell].entry = None;
        self.removed.insert(id, at.step);
        for blob in &kept.blobs {
            if let Some(bytes) = self.blobs.get_mut(blob) {
                bytes.used = bytes.used.max(kept.used);
            }
        }
    }

    /// Somebody asks to have an entry removed since its bytes are gone; they must be.
    pub fn discards(&mut self, id: i64) {
        let Some(kept) = self.entries.get(&id) else { return };
        let is_damaged = kept.blobs.iter().any(|blob| self.is_damaged(blob));
        self.require(is_damaged, "S6", || format!("entry {id} is discarded, and is whole"));
    }

    /// All blobs that entries need.
    pub fn needed(&self) -> Vec<BlobName> {
        let name = |blob: &BlobRef| {
            let BlobRef { digest, generation, length } = *blob;
            BlobName { digest, generation, length }
        };
        self.entries.values().flat_map(|kept| kept.blobs.iter().map(name)).collect()
    }

    /// The entries that can be had, by number.
    pub fn entries(&self) -> impl Iterator<Item = (i64, CellId, Value)> {
        let whole = self.entries.iter().filter(|(_, kept)| !kept.is_spoiled);
        whole.map(|(id, kept)| (*id, kept.cell, kept.value))
    }
}
