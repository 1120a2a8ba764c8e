//! What must be true: a model of the catalog and the store that is told of every call in the
//! order in which they took effect, and says which invariant a call broke.
//!
//! It knows more than the product: which execution made which value, and when it began. It is
//! written from the contract, and shares no code with what it judges.

mod blobs;
mod entries;
mod slots;

pub use self::entries::Meant;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thrifty_engine::catalog::{BlobRef, Committed, Time};
use thrifty_engine::store::BlobName;

use crate::identity::{At, CellId, ExecutionId, ProcessId, Violation};
use crate::mark::{Mark, Marks};
use crate::options::Options;
use crate::value::Value;

/// Which of the catalog's words a call changed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// The count of turns.
    pub turns: bool,
    /// The count of commits.
    pub commits: bool,
    /// The count of changes.
    pub changes: bool,
}

/// What is true.
pub struct Model {
    /// Which rare states were reached.
    pub marks: Marks,
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// What the call that is looked at told other processes.
    pub told: Told,
    /// What is known of each key.
    pub cells: Vec<Cell>,
    /// Blobs that the medium lost or damaged.
    pub damaged: BTreeSet<BlobName>,
    executions: Vec<Execution>,
    running: HashMap<ProcessId, Vec<ExecutionId>>,
    entries: BTreeMap<i64, Kept>,
    removed: HashMap<i64, u64>,
    /// What each commit that was not refused was answered, and when.
    answers: HashMap<u128, (Committed, Time)>,
    last_entry: i64,
    /// What every entry was made of that ever was.
    took: HashMap<i64, Vec<(CellId, u64)>>,
    blobs: BTreeMap<BlobRef, Bytes>,
    committing: HashMap<ProcessId, CellId>,
    claims: HashMap<(ProcessId, CellId), Claimed>,
    failing: BTreeSet<ProcessId>,
    /// When a process read the count of commits last.
    counted: HashMap<ProcessId, u64>,
    /// Whose a nonce is.
    nonces: HashMap<u128, ProcessId>,
    /// When an epoch was seen first.
    epochs: BTreeMap<i64, u64>,
    /// Who drew a ticket, and for which key.
    tickets: HashMap<i64, (ProcessId, CellId)>,
    clock: (Time, Time),
}

/// What is known of a key.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// The state of the world that its body reads.
    pub version: u64,
    /// Calls that begin now must see at least this version: an invalidation was acknowledged.
    pub required: u64,
    /// When that was acknowledged.
    pub required_since: u64,
    /// Its entry, valid or expired.
    pub entry: Option<i64>,
    /// When its entry was removed last so that it stays away.
    disturbed: u64,
    /// When the ticket was drawn of the last commit that replaced its entry, and when it did.
    replaced: (u64, u64),
    /// When another value took the place of its result last, or of what that was made of: who took it
    /// before has something stale.
    superseded: u64,
    /// When it was invalidated last.
    invalidated: u64,
    fence: i64,
    nonce: u128,
    holder: Option<Holder>,
    /// What ended last, a reservation or a commit, if nothing has happened since.
    ended: Option<u128>,
    failures: u32,
    alone_until: Time,
    has_failed: bool,
    /// When a failure of it was shared last.
    failed: u64,
}

/// Who has a slot.
#[derive(Debug, Clone, Copy)]
struct Holder {
    process: ProcessId,
    until: Time,
}

/// An entry.
#[derive(Debug, Clone)]
struct Kept {
    cell: CellId,
    value: Value,
    digest: thrifty_engine::key::Digest,
    blobs: Vec<BlobRef>,
    created: Time,
    expires: Option<Time>,
    used: Time,
    step: u64,
    is_spoiled: bool,
    /// As of the [`Execution`] that made it.
    took: Vec<(CellId, u64)>,
    /// The keys that it says it was made of.
    made_of: BTreeSet<CellId>,
}

/// A row of a blob.
#[derive(Debug, Clone, Copy, Default)]
struct Bytes {
    is_condemned: bool,
    used: Time,
    pinned: Time,
}

/// What a process was told of a key's slot.
#[derive(Debug, Clone, Copy, Default)]
struct Claimed {
    /// When it was given the slot that it has.
    taken: Option<u64>,
    /// How often blobs of its output were gone.
    gone: u32,
}

/// One run of a body.
#[derive(Debug, Clone)]
struct Execution {
    cell: CellId,
    process: ProcessId,
    began: u64,
    is_reserved: bool,
    made: Option<Value>,
    /// The states of the world of which it took values by calling others, and they in turn.
    took: Vec<(CellId, u64)>,
}

/// What an entry to be committed says that it was made of.
#[derive(Debug, Clone)]
pub struct Whole {
    /// The keys.
    pub made_of: BTreeSet<CellId>,
    /// Those whose results its body took.
    pub taken: Vec<Part>,
}

/// A result that a body took.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// Its key.
    pub cell: CellId,
    /// Its entry.
    pub entry: Option<i64>,
    /// The epoch after which it was taken, if that was before the body began.
    pub since: Option<i64>,
}

/// A call of an operation, as its caller sees it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The key.
    pub cell: CellId,
    /// When it began.
    pub began: At,
    /// The version it must see at least.
    pub required: u64,
    /// It does not ask the cache.
    pub is_refreshing: bool,
    /// The oldest entry it accepts, in milliseconds.
    pub max_age: Option<Time>,
}

impl Model {
    /// Nothing happened yet.
    pub fn new(options: &Options) -> Self {
        let cells = vec![Cell::default(); options.scopes * options.operations.len()];
        Self {
            marks: Marks::default(),
            violation: None,
            told: Told::default(),
            cells,
            damaged: BTreeSet::new(),
            executions: Vec::new(),
            running: HashMap::new(),
            entries: BTreeMap::new(),
            removed: HashMap::new(),
            answers: HashMap::new(),
            last_entry: 0,
            took: HashMap::new(),
            blobs: BTreeMap::new(),
            committing: HashMap::new(),
            claims: HashMap::new(),
            failing: BTreeSet::new(),
            counted: HashMap::new(),
            nonces: HashMap::new(),
            epochs: BTreeMap::new(),
            tickets: HashMap::new(),
            clock: (Time::MIN, 0),
        }
    }

    /// Says that an invariant is broken; the first one is kept.
    pub fn violate(&mut self, invariant: &'static str, text: impl FnOnce() -> String) {
        self.violation.get_or_insert_with(|| Violation { invariant, text: text() });
    }

    fn require(&mut self, holds: bool, invariant: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.violate(invariant, text);
        }
    }

    /// The catalog's clock never runs backwards, and never stands still.
    pub fn ticked(&mut self, now: Time, steady: Time, wall: Time) {
        let (seen, at) = self.clock;
        let least = seen.saturating_add(steady - at);
        self.require(now >= least, "S1", || {
            format!("the catalog's clock says {now} after it said {seen}, {} ms later", steady - at)
        });
        if now > wall {
            self.marks.hit(Mark::ClockRatcheted);
        }
        self.clock = (now, steady);
    }

    /// A process died.
    pub fn died(&mut self, process: ProcessId) {
        if self.committing.remove(&process).is_some() {
            self.marks.hit(Mark::CrashDuringCommit);
        }
        self.running.remove(&process);
    }

    /// A process was told that a call of the catalog failed.
    pub fn failed(&mut self, process: ProcessId) {
        self.failing.insert(process);
    }

    /// A process reads the count of commits.
    pub fn counts(&mut self, process: ProcessId, step: u64) {
        self.counted.insert(process, step);
    }

    /// A body begins; `asks` if its caller would have taken what is stored.
    pub fn begins(&mut self, at: At, call: Call, asks: bool) -> (ExecutionId, u64) {
        let cell = call.cell;
        let claimed = self.claims.get(&(at.process, cell)).copied().unwrap_or_default();
        let is_reserved = claimed.taken.is_some();
        if is_reserved && self.others_run(at.process, cell) {
            self.marks.hit(Mark::TwoLeaders);
        }
        let known = self.cells[cell].entry.and_then(|id| self.entries.get(&id));
        // Whoever has the slot, or read the count of commits, looks again.
        let looked = claimed.taken.max(self.counted.get(&at.process).copied());
        if let (true, Some(looked), Some(known)) = (asks, looked, known) {
            let is_young = call.max_age.is_none_or(|age| at.now - known.created <= age);
            let is_valid = is_young && known.expires.is_none_or(|expires| expires > at.now);
            let is_whole =
                !known.is_spoiled && !known.blobs.iter().any(|blob| self.is_damaged(blob));
            let noticed = known.step < looked && !self.failing.contains(&at.process);
            self.require(!(is_valid && is_whole && noticed), "E1", || {
                format!("process {} computes key {cell} although it was stored", at.process)
            });
        }
        let version = self.cells[cell].version;
        let (process, began) = (at.process, at.step);
        let took = Vec::new();
        self.executions.push(Execution { cell, process, began, is_reserved, made: None, took });
        let id = self.executions.len() as ExecutionId;
        self.running.entry(at.process).or_default().push(id);
        (id, version)
    }

    /// What is taken with a value: its state of the world, and those that were taken to make it. If it
    /// is that of an entry, to make that one, whoever did.
    pub fn taken_with(
        &self,
        process: ProcessId,
        value: Value,
        entry: Option<i64>,
    ) -> Vec<(CellId, u64)> {
        let stored = entry.and_then(|entry| self.took.get(&entry).cloned());
        let mut states = stored.unwrap_or_else(|| self.taken_by(process, value));
        states.push((value.cell, value.version));
        states
    }

    /// A body took a value, and all that was taken with it.
    pub fn takes_part(&mut self, id: ExecutionId, taken: &[(CellId, u64)]) {
        self.executions[id as usize - 1].took.extend_from_slice(taken);
    }

    /// A body ends, with a value or without.
    pub fn ends(&mut self, at: At, id: ExecutionId, made: Option<Value>) {
        let process = at.process;
        self.running.entry(process).or_default().retain(|running| *running != id);
        let execution = &mut self.executions[id as usize - 1];
        execution.made = made;
        let cell = execution.cell;
        self.cells[cell].has_failed = made.is_none();
    }

    fn others_run(&self, process: ProcessId, cell: CellId) -> bool {
        self.running
            .iter()
            .filter(|(other, _)| **other != process)
            .flat_map(|(_, running)| running)
            .map(|id| &self.executions[*id as usize - 1])
            .any(|execution| execution.cell == cell && execution.is_reserved)
    }

    fn is_damaged(&self, blob: &BlobRef) -> bool {
        let BlobRef { digest, generation, length } = *blob;
        self.damaged.contains(&BlobName { digest, generation, length })
    }

    /// A call begins.
    pub fn calls(&self, at: At, cell: CellId, is_refreshing: bool, max_age: Option<Time>) -> Call {
        Call { cell, began: at, required: self.cells[cell].required, is_refreshing, max_age }
    }

    /// A call ended with a value that it did not make itself, out of this entry.
    pub fn took(&mut self, call: Call, at: At, value: Value, entry: Option<i64>, in_memory: bool) {
        self.returned(call, value);
        let Some(id) = entry else { return };
        let process = at.process;
        let removed = self.removed.get(&id).copied().unwrap_or(u64::MAX);
        self.require(removed >= call.began.step, "S5", || {
            format!("process {process} took entry {id}, which was removed before it asked")
        });
        let Some(kept) = self.entries.get(&id).cloned() else {
            return self.require(!in_memory, "S5", || {
                format!("process {process} took entry {id} from memory, which is gone")
            });
        };
        for (cell, version) in &kept.took {
            let part = &self.cells[*cell];
            let is_late = *version < part.required && part.required_since < call.began.step;
            self.require(!is_late, "S5", || {
                format!(
                    "process {process} took entry {id}, made of version {version} of key {cell}, \
                     which was invalidated before it asked"
                )
            });
        }
        let expired = kept.expires.is_some_and(|expires| expires <= call.began.now);
        self.require(!expired, "S1", || {
            format!("process {process} took entry {id}, which had expired before it asked")
        });
        let age = call.began.now - kept.created;
        self.require(call.max_age.is_none_or(|most| age <= most), "S1", || {
            format!("process {process} took entry {id}, which is {age} ms old and too old for it")
        });
        self.require(!call.is_refreshing || kept.step >= call.began.step, "S1", || {
            format!("process {process} wanted a new value and took entry {id}")
        });
        if in_memory {
            self.marks.hit(Mark::MemoryHit);
        }
    }

    /// A call ended with a value.
    pub fn returned(&mut self, call: Call, value: Value) {
        self.require(value.cell == call.cell, "S1", || {
            format!("a call of key {} got a value of key {}", call.cell, value.cell)
        });
        let made = self.executions.iter().any(|execution| execution.made == Some(value));
        self.require(made, "S1", || format!("no execution made {value:?}"));
        self.require(value.version >= call.required, "S5", || {
            format!("{value:?} was returned, and version {} is required", call.required)
        });
    }

    /// A call ended without a value; `own` if its own body failed, `shares` if it may fail with
    /// another's.
    pub fn failed_call(&mut self, call: Call, own: bool, shares: bool) {
        let is_shared = shares && self.cells[call.cell].failed >= call.began.step;
        self.require(own || is_shared, "S11", || {
            format!("a call of key {} failed, and nobody failed meanwhile", call.cell)
        });
        if !own {
            self.marks.hit(Mark::FailureShared);
        }
    }

    /// A call could not store its value since blobs were collected: they are written anew once.
    pub fn lost_blobs(&mut self, process: ProcessId, cell: CellId) {
        let gone = self.claims.get(&(process, cell)).map_or(0, |claimed| claimed.gone);
        self.require(gone > 1, "E1", || {
            format!("process {process} did not write the blobs of key {cell} anew")
        });
    }

    /// A call is over: its process keeps no slot, unless it could not say so.
    pub fn is_over(&mut self, process: ProcessId, cell: CellId) {
        let keeps = self.cells[cell].holder.is_some_and(|holder| holder.process == process);
        let could_say = !self.failing.contains(&process);
        self.require(!(keeps && could_say), "L1", || {
            format!("process {process} keeps the slot of key {cell} after its call")
        });
        self.claims.entry((process, cell)).or_default().taken = None;
    }

    /// Whether a key ever failed so often that nobody waited for another.
    pub fn was_left_alone(&self, cell: CellId) -> bool {
        self.cells[cell].alone_until > 0
    }

    /// When an entry was stored.
    pub fn stored_at(&self, entry: i64) -> Option<Time> {
        self.entries.get(&entry).map(|kept| kept.created)
    }

    /// How many executions of a key gave a value.
    pub fn made(&self, cell: CellId) -> usize {
        let of = |execution: &&Execution| execution.cell == cell && execution.made.is_some();
        self.executions.iter().filter(of).count()
    }
}
