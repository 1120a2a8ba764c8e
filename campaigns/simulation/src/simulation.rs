//! One seed: chaos, then calm, then the reckoning.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thrifty_engine::catalog::{Catalog, EntryId, Problem, Remedy, Selector, Sqlite};
use thrifty_engine::store::BlobName;

use crate::bytes::Bytes;
use crate::handle::Handle;
use crate::identity::Violation;
use crate::mark::Marks;
use crate::options::{Collector, Micros, Options, SECOND};
use crate::others;
use crate::scheduler::Scheduler;
use crate::worker::{Ended, Worker};
use crate::world::{self, Machine};

/// How long after the end of all faults the cache must be asked again.
const RECOVERY: Micros = 61 * SECOND;
/// How long a blob that was found is protected from collection; no option of the engine.
const PIN: Duration = Duration::from_secs(3600);

/// What became of a seed.
#[derive(Debug)]
pub struct Report {
    /// What the seed decided.
    pub options: Options,
    /// The broken invariant, if one is.
    pub violation: Option<Violation>,
    /// Which rare states were reached, how often.
    pub marks: Marks,
    /// Steps taken.
    pub steps: u64,
    /// What happened, line by line, if it was to be kept.
    pub log: Vec<String>,
}

/// Simulates what a seed decides.
pub fn simulate(seed: u64, keeps_log: bool) -> Report {
    let options = Options::of_seed(seed);
    world::begin(options.clone(), keeps_log);
    let mut scheduler = Scheduler::new();
    let run = catch_unwind(AssertUnwindSafe(|| run(&mut scheduler, &options)));
    world::with(|world| world.kill_all());
    scheduler.clear();
    drop(scheduler);
    if let Err(cause) = run {
        let text = cause.downcast_ref::<String>().cloned();
        let text = text.or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world::with(|world| {
            world.violate("S11", || format!("a panic: {}", text.unwrap_or_default()));
        });
    }
    let mut world = world::end();
    world.spawned.clear();
    let steps = world.step();
    Report {
        options,
        violation: world.model.violation,
        marks: world.model.marks,
        steps,
        log: world.log.unwrap_or_default(),
    }
}

fn run(scheduler: &mut Scheduler, options: &Options) {
    let catalog = Sqlite::in_memory_with_clock(Arc::new(Machine));
    let catalog = Arc::new(catalog.expect("there is memory for a catalog"));
    let turns = || catalog.turns();
    let left = Rc::new(Cell::new(options.workers));
    for _ in 0..options.workers {
        employ(&catalog, options.calls, &left);
    }
    if let Some(collector) = &options.collector {
        others::collect(&catalog, collector);
    }
    if let Some(rest) = options.invalidator {
        others::invalidate(&catalog, rest);
    }
    scheduler.run(&turns);
    sweep(&catalog, scheduler);
    reckon(&catalog, options);
}

/// Starts a worker. One that dies is followed by another, which does the rest. The last to end
/// brings the calm.
fn employ(catalog: &Arc<Sqlite>, calls: usize, left: &Rc<Cell<usize>>) {
    let worker = Worker::new(catalog);
    let done = Rc::new(RefCell::new(0));
    let process = worker.process();
    let next = Rc::new(Successor {
        catalog: Arc::clone(catalog),
        calls,
        done: Rc::clone(&done),
        left: Rc::clone(left),
    });
    let work = move || {
        worker.work(calls, &done);
        drop(next);
        recover(&worker);
    };
    world::with(|world| {
        let delay = world.rng.u64(..=world.options.think.min(SECOND));
        world.spawn(process, delay, work);
    });
}

/// Dropped when a worker ends or dies: starts the next, or the calm.
struct Successor {
    catalog: Arc<Sqlite>,
    calls: usize,
    done: Rc<RefCell<usize>>,
    left: Rc<Cell<usize>>,
}

impl Drop for Successor {
    fn drop(&mut self) {
        let rest = self.calls - *self.done.borrow();
        if rest > 0 && !world::with(|world| world.is_over()) {
            return employ(&self.catalog, rest, &self.left);
        }
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            world::with(|world| world.calm());
        }
    }
}

/// Once faults have stopped: whoever asks gets an answer in time, out of a cache that works.
fn recover(worker: &Worker) {
    let mut pause = SECOND;
    while world::with(|world| world.is_chaos) {
        crate::scheduler::sleep(pause);
        pause *= 2;
    }
    let delay = world::with(|world| world.rng.u64(..SECOND));
    crate::scheduler::sleep(RECOVERY + delay);
    for cell in 0..world::with(|world| world.keys.len()) {
        probe(worker, cell);
    }
}

fn probe(worker: &Worker, cell: usize) {
    let began = world::with(|world| world.now);
    let ended = worker.call(cell, 0);
    world::with(|world| {
        let spent = world.now - began;
        let bodies: Micros = world.options.operations.iter().map(|it| it.takes).sum();
        let bodies = bodies.max(world.options.longest(world.keys.place(cell).number, 0));
        let lease = Micros::try_from(world.options.lease.as_micros()).unwrap_or(Micros::MAX);
        let most = 2 * lease + 3 * bodies + 5 * SECOND;
        if spent > most {
            world.violate("L1", || format!("a call of key {cell} took {} ms", spent / 1000));
        }
        // Who does not wait may overtake: by its policy, in a circle, or after many failures.
        let operation = &world.options.operations[world.keys.place(cell).number];
        let waits = operation.serialize && operation.needs.is_none();
        let is_alone = !waits || world.model.was_left_alone(cell);
        if ended != Ended::Cached && (ended != Ended::Overtaken || !is_alone) {
            world.violate("L5", || format!("a call of key {cell} in calm: {ended:?}"));
        }
    });
}

/// What nothing needs is gone after the time of grace and two collections.
fn sweep(catalog: &Arc<Sqlite>, scheduler: &mut Scheduler) {
    let Some(collector) = world::with(|world| world.options.collector.clone()) else { return };
    let process = world::with(|world| world.process());
    let (handle, blobs) = (Handle::new(catalog, process, true), Bytes::new(process));
    let grace = collector.grace.max(PIN) + Duration::from_secs(1);
    let settled = Collector { older_than: None, budget: None, ..collector };
    // What was written while the wall clock was ahead is young for so much longer.
    let ahead = world::with(|world| {
        let last = world.blobs.values().map(|(_, written)| *written).max();
        Micros::try_from(last.unwrap_or(0) - world.wall()).unwrap_or(0) * 1000
    });
    let work = move || {
        crate::scheduler::sleep(ahead);
        for _ in 0..3 {
            crate::scheduler::sleep(Micros::try_from(grace.as_micros()).unwrap_or(Micros::MAX));
            others::collect_once(&handle, &blobs, &settled);
        }
    };
    world::with(|world| world.spawn(process, 0, work));
    scheduler.run(&|| catalog.turns());
    world::with(|world| {
        let needed: BTreeSet<_> = world.model.needed().into_iter().collect();
        let is_orphan = |name: &BlobName| !needed.contains(name);
        let orphans: Vec<_> = world.blobs.keys().copied().filter(is_orphan).collect();
        if !orphans.is_empty() {
            world.violate("L4", || format!("nobody needs {} blobs: {orphans:?}", orphans.len()));
        }
    });
}

/// The catalog holds what the oracle says, and is sound; undisturbed, each key was computed once.
fn reckon(catalog: &Arc<Sqlite>, options: &Options) {
    if world::with(|world| world.is_over()) {
        return;
    }
    let problems = catalog.check();
    let entries = catalog.entries(None, &Selector::default(), 1000);
    world::with(|world| {
        let found = |problems: &Vec<Problem>| {
            let mut found: Vec<_> = problems.iter().map(|it| it.remedy).collect();
            found.dedup();
            found
        };
        let spoiled = world.model.spoiled_entries();
        let spoiled: Vec<_> = spoiled.into_iter().map(|id| Remedy::Remove(EntryId(id))).collect();
        if !problems.as_ref().is_ok_and(|problems| found(problems) == spoiled) {
            world.violate("S6", || format!("the catalog is damaged: {problems:?}"));
        }
        let mut there: Vec<_> = entries
            .into_iter()
            .flatten()
            .map(|entry| (entry.id.0, world.keys.cell(&entry.scope, &entry.key)))
            .collect();
        there.sort_unstable();
        let expected: Vec<_> = world.model.entries().map(|(id, cell, _)| (id, cell)).collect();
        if there != expected {
            world.violate("S6", || format!("the catalog holds {there:?} and not {expected:?}"));
        }
        for cell in 0..world.keys.len() {
            let operation = &options.operations[cell % options.operations.len()];
            let made = world.model.made(cell);
            if options.is_peaceful && operation.is_made_once() && made > 1 {
                world.violate("E1", || format!("key {cell} was computed {made} times"));
            }
        }
    });
}
