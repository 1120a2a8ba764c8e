//! A process that calls operations: what a program with a cache does.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thrifty_engine::answer::Answer;
use thrifty_engine::catalog::{EntryId, Sqlite, Time};
use thrifty_engine::compute::{Computed, Settled, Task};
use thrifty_engine::graph::{Failure, Loss, Made, Product, Value as Output};
use thrifty_engine::key::Key;
use thrifty_engine::made_of::Parts;
use thrifty_engine::store::verified::{MemoryTrust, Verified};
use thrifty_engine::{Alone, Cache, Lease, Looked, Miss, Mode, OnFailure, Outcome, Policy, Reason};

use crate::bytes::Bytes;
use crate::handle::Handle;
use crate::identity::{At, CellId, ProcessId};
use crate::mark::Mark;
use crate::model::Call;
use crate::options::{MOST_PARTS, Micros, Operation};
use crate::scheduler;
use crate::timer::Simulated;
use crate::value::Value;
use crate::world;

/// Milliseconds after which a waiter has noticed that it may go on.
const WAKING: Time = 150;

/// How many of 100 bodies take what was remembered from before, if anything was.
const RECALLING: u32 = 20;

/// A process with its caches, one for each scope.
#[derive(Clone)]
pub struct Worker {
    process: ProcessId,
    catalog: Arc<Sqlite>,
    caches: Arc<[Arc<Cache>]>,
    breakers: Rc<[Cell<Breaker>]>,
    /// What bodies took first of each key, as a function does that remembers what it gave, and the
    /// epoch before that.
    remembered: Rc<RefCell<BTreeMap<CellId, (i64, Part)>>>,
}

/// How a process treats its catalog, as far as its calls show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Breaker {
    #[default]
    Closed,
    Open,
    HalfOpen,
}

/// How a call ended, for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With a value, and without trouble from the cache.
    Cached,
    /// With a value that somebody else's replaced meanwhile, who did not wait for it.
    Overtaken,
    /// With a value that is not in the cache.
    Uncached,
    /// Its body failed, or the body of whom it waited for.
    Failed,
    /// Its bytes were gone; the next call computes it.
    Lost,
}

/// What a body takes into its value.
#[derive(Clone)]
struct Part {
    made_of: Parts,
    /// The states of the world that are in it.
    states: Vec<(CellId, u64)>,
}

/// What a call gave.
struct Taken {
    value: Value,
    entry: Option<EntryId>,
    made_of: Parts,
}

impl Taken {
    fn of(answer: &Answer) -> Option<Self> {
        let value = Value::described(&answer.record)?;
        let made_of = (*answer.made_of).clone();
        Some(Self { value, entry: answer.entry, made_of })
    }
}

impl Worker {
    /// A new process over the catalog.
    pub fn new(catalog: &Arc<Sqlite>) -> Self {
        let (process, scopes) = world::with(|world| (world.process(), world.options.scopes));
        let per_scope = world::with(|world| world.options.operations.len());
        let caches = (0..scopes).map(|number| {
            let scope = world::with(|world| world.keys.place(number * per_scope).scope.clone());
            let handle = Arc::new(Handle::new(catalog, process, false));
            let blobs = Verified::new(Bytes::new(process), Arc::new(MemoryTrust::default()));
            let timer = Arc::new(Simulated::new(process));
            let cache = Cache::over(handle, Arc::new(blobs), scope, timer);
            let lease = world::with(|world| world.options.lease);
            cache.set_lease(Lease::new(lease).expect("the simulation's leases are lawful"));
            Arc::new(cache)
        });
        Self {
            process,
            catalog: Arc::clone(catalog),
            caches: caches.collect(),
            breakers: (0..scopes).map(|_| Cell::default()).collect(),
            remembered: Rc::default(),
        }
    }

    /// Its number.
    pub const fn process(&self) -> ProcessId {
        self.process
    }

    /// Calls operations of the seed's choice, `calls` times. Answers how many it came to.
    pub fn work(&self, calls: usize, done: &RefCell<usize>) {
        for _ in 0..calls {
            let (think, cell) = world::with(|world| {
                let most = if world.is_chaos { world.options.think } else { 1 };
                (world.rng.u64(..=most), world.rng.usize(..world.keys.len()))
            });
            scheduler::sleep(think);
            *done.borrow_mut() += 1;
            self.call(cell, 0);
        }
    }

    /// Calls one operation.
    pub fn call(&self, cell: CellId, depth: usize) -> Ended {
        self.take_from(cell, depth).0
    }

    /// Calls one operation, and says what it gave. `depth` is how many bodies are around the call.
    fn take_from(&self, cell: CellId, depth: usize) -> (Ended, Option<Taken>) {
        let (place, operation, refreshes) = world::with(|world| {
            let place = world.keys.place(cell).clone();
            let operation = world.options.operations[place.number].clone();
            let refreshes = world.is_chaos && world.rng.u32(..100) < operation.refreshing;
            (place, operation, refreshes)
        });
        let policy = policy(&operation, refreshes);
        let at = self.at();
        let call = world::with(|world| {
            world.tell(|| format!("process {} calls {cell}", self.process));
            let max_age = operation.max_age.map(|age| age.as_millis() as Time);
            world.model.calls(at, cell, refreshes, max_age)
        });
        let cache = self.cache(cell);
        let looked = policy.mode.reads().then(|| self.look(cell, &place.key, policy.max_age));
        let (miss, target) = match looked {
            None => (Miss::Refresh, cache.slot(&place.key)),
            Some(Looked::Miss(miss, target)) => (miss, target),
            Some(Looked::Hit(answer, outcome)) => {
                if self.take(call, &answer, outcome == Outcome::HitMemory) {
                    return (Ended::Cached, Taken::of(&answer));
                }
                (Miss::Unreadable, cache.slot(&place.key))
            }
        };
        world::tell(|| format!("process {} computes {cell}: {miss}", self.process));
        let asks = policy.mode.reads() && miss != Miss::Unreadable;
        let task = Task {
            operation: &place.operation,
            key: Ok(place.key),
            ingredients: &|| place.operation.ingredients([]),
            policy,
            run: (None, 0),
            interrupted: &|| world::with(|world| world.strikes(|faults| faults.interrupt)),
        };
        let mut has_failed = false;
        let mut body = || {
            let product = self.run(call, &operation, depth, asks);
            has_failed = product.is_err();
            product
        };
        let computed = cache.compute(&task, miss, target, &mut body);
        world::with(|world| world.model.is_over(self.process, cell));
        if let Computed::Failed(Failure::Raised { .. }, _) = &computed {
            let shares = operation.shares_failure;
            world::with(|world| world.model.failed_call(call, has_failed, shares));
        }
        self.end(call, computed)
    }

    /// Looks a key up, and notices whether the catalog was asked at all.
    fn look(&self, cell: CellId, key: &Key, max_age: Option<Duration>) -> Looked {
        let calls = || world::with(|world| world.calls(self.process));
        let before = calls();
        let looked = self.cache(cell).look(key, max_age);
        let breaker = &self.breakers[self.scope(cell)];
        let was_asked = calls() != before;
        let failed = matches!(looked, Looked::Miss(Miss::Unavailable, _));
        let (now, mark) = match (breaker.get(), was_asked, failed) {
            (Breaker::Closed, false, true) => (Breaker::Open, Mark::BreakerOpen),
            (Breaker::Open, true, _) => (Breaker::HalfOpen, Mark::BreakerHalfOpen),
            (Breaker::HalfOpen, true, false) => (Breaker::Closed, Mark::BreakerClosed),
            _ => return looked,
        };
        breaker.set(now);
        world::with(|world| world.model.marks.hit(mark));
        looked
    }

    fn end(&self, call: Call, computed: Computed) -> (Ended, Option<Taken>) {
        let cell = call.cell;
        match computed {
            Computed::Settled(settled) => {
                world::tell(|| format!("process {}: {cell} is {}", self.process, settled.outcome));
                if settled.alone == Some(Alone::Circle) {
                    world::with(|world| world.model.marks.hit(Mark::CircleBroken));
                }
                if let Outcome::NotStored(_, Reason::Collected, _) = &settled.outcome {
                    world::with(|world| world.model.lost_blobs(self.process, cell));
                }
                self.heard(&settled);
                let own = settled.made.as_ref().and_then(|made| made.downcast_ref::<Value>());
                if let Some(own) = own {
                    world::with(|world| world.model.returned(call, *own));
                    let ended = match settled.outcome {
                        Outcome::Computed(_) | Outcome::Nondeterministic => Ended::Cached,
                        Outcome::Fenced => Ended::Overtaken,
                        _ => Ended::Uncached,
                    };
                    let made_of = settled.value.made_of().clone();
                    let (value, entry) = (*own, settled.entry);
                    return (ended, Some(Taken { value, entry, made_of }));
                }
                let Output::Known(answer) = &settled.value else {
                    world::with(|world| {
                        world.violate("S11", || format!("a call of key {cell} has no value"));
                    });
                    return (Ended::Lost, None);
                };
                if self.take(call, answer, false) {
                    return (Ended::Cached, Taken::of(answer));
                }
                (Ended::Lost, None)
            }
            Computed::Failed(failure, _) => {
                world::tell(|| {
                    format!("process {}: {cell} failed: {}", self.process, failure.message())
                });
                (Ended::Failed, None)
            }
            Computed::Expanded(..) => unreachable!("no body expands"),
        }
    }

    /// Takes a value out of the cache; `false` if its bytes cannot be had.
    fn take(&self, call: Call, answer: &Answer, in_memory: bool) -> bool {
        let entry = answer.entry.map(|entry| entry.0);
        let at = self.at();
        if in_memory {
            // Before anything else happens: memory must be right at this very moment.
            let described = Value::described(&answer.record);
            world::with(|world| match described {
                Some(value) => world.model.took(call, at, value, entry, true),
                None => world.violate("S2", || "a hit has no value".to_owned()),
            });
        }
        match Value::read(&answer.record, self.cache(call.cell).blobs().as_ref()) {
            Ok(Some(value)) => {
                world::with(|world| {
                    world.tell(|| format!("process {} takes {value:?}", self.process));
                    world.model.took(call, at, value, entry, false);
                });
                true
            }
            Ok(None) => {
                world::with(|world| {
                    world.violate("S2", || format!("the bytes of entry {entry:?} are wrong"));
                });
                true
            }
            Err(error) => {
                let mark = if error.to_string().contains("corrupt") {
                    Mark::DamageNoticed
                } else {
                    Mark::HitLost
                };
                world::with(|world| {
                    world.tell(|| format!("process {}: {error}", self.process));
                    world.model.marks.hit(mark);
                });
                let key = world::with(|world| world.keys.place(call.cell).key);
                self.cache(call.cell).discard(&key, answer, Loss::Bytes);
                false
            }
        }
    }

    /// Whoever waited gets the answer soon after it was stored.
    fn heard(&self, settled: &Settled) {
        if settled.outcome != Outcome::Waited {
            return;
        }
        let now = self.at().now;
        world::with(|world| {
            world.model.marks.hit(Mark::Waited);
            let entry = settled.entry.map_or(0, |entry| entry.0);
            let stored = world.model.stored_at(entry).unwrap_or(now);
            let soon = WAKING + Time::try_from(20 * world.options.latency / 1000).unwrap_or(0);
            if world.options.is_peaceful && now - stored > soon {
                world.violate("L1", || format!("entry {entry} was awaited {} ms", now - stored));
            }
        });
    }

    /// The body of an operation.
    fn run(
        &self,
        call: Call,
        operation: &Operation,
        depth: usize,
        asks: bool,
    ) -> Result<Product, Failure> {
        let (at, cell) = (self.at(), call.cell);
        let (execution, version, fails, parts) = world::with(|world| {
            let (execution, version) = world.model.begins(at, call, asks);
            world.tell(|| format!("process {} runs {cell} as {execution}", self.process));
            let fails = world.is_chaos && world.rng.u32(..100) < operation.failing;
            (execution, version, fails, world.rng.u64(1..=MOST_PARTS))
        });
        let takes: Micros = world::with(|world| world.rng.u64(1..=operation.takes));
        let deepest = world::with(|world| world.options.deepest);
        let mut made_of = Parts::default();
        for part in 0..parts {
            scheduler::sleep(takes / parts);
            let takes_again = part == 0 || world::with(|world| world.rng.bool());
            if let (true, Some(needed), true) = (takes_again, operation.needs, depth < deepest) {
                let count = world::with(|world| world.options.operations.len());
                let needed = cell / count * count + needed;
                if let Some(part) = self.recall(needed).or_else(|| self.part(needed, depth)) {
                    world::with(|world| world.model.takes_part(execution, &part.states));
                    made_of.merge(&part.made_of);
                }
            }
        }
        let which = if operation.is_random { execution } else { 0 };
        let value = Value { cell, version, execution: which };
        let at = self.at();
        world::with(|world| {
            world.model.ends(at, execution, (!fails).then_some(value));
            world.tell(|| format!("process {} ends {execution} of {cell}", self.process));
        });
        if fails {
            let message = "it fails".to_owned();
            return Err(Failure::raised(message, Arc::new(())));
        }
        Ok(Product::Made(Made { made_of, ..value.made(operation.is_large) }))
    }

    /// A body calls another operation, and takes what that gives; or it goes on without, which it
    /// does because of the state in which that failed.
    fn part(&self, cell: CellId, depth: usize) -> Option<Part> {
        let version = world::with(|world| world.model.cells[cell].version);
        let since = epoch(&self.catalog, self.process);
        let (ended, taken) = self.take_from(cell, depth + 1);
        let part = world::with(|world| {
            let (place, mut made_of) = (world.keys.place(cell), Parts::default());
            let (name, key) = (place.operation.name(), Some(place.key));
            match taken {
                Some(taken) => {
                    let entry = taken.entry.map(|entry| entry.0);
                    let states = world.model.taken_with(self.process, taken.value, entry);
                    made_of.take(name, key, taken.entry, &taken.made_of);
                    Some(Part { made_of, states })
                }
                None if ended == Ended::Failed => {
                    made_of.take_unstored(name, key);
                    Some(Part { made_of, states: vec![(cell, version)] })
                }
                None => None,
            }
        })?;
        if ended != Ended::Failed {
            self.remembered.borrow_mut().entry(cell).or_insert_with(|| (since, part.clone()));
        }
        Some(part)
    }

    /// A body calls a function that remembers what another operation gave to an earlier one.
    fn recall(&self, cell: CellId) -> Option<Part> {
        let is_asked = world::with(|world| world.is_chaos && world.rng.u32(..100) < RECALLING);
        let (since, part) = self.remembered.borrow().get(&cell).filter(|_| is_asked).cloned()?;
        let is_known = world::with(|world| world.rng.bool());
        let since = if is_known { since } else { 0 };
        Some(Part { made_of: part.made_of.of_before(since), ..part })
    }

    fn cache(&self, cell: CellId) -> &Arc<Cache> {
        &self.caches[self.scope(cell)]
    }

    fn scope(&self, cell: CellId) -> usize {
        cell / world::with(|world| world.options.operations.len())
    }

    fn at(&self) -> At {
        use thrifty_engine::catalog::Catalog;
        let now = self.catalog.now().unwrap_or(0);
        At { process: self.process, step: world::with(|world| world.step()), now }
    }
}

/// The epoch that a process sees now.
fn epoch(catalog: &Sqlite, process: ProcessId) -> i64 {
    use thrifty_engine::catalog::Catalog;
    let place = world::with(|world| world.keys.place(0).clone());
    let epoch = catalog.slot(&place.scope, &place.key).map_or(0, |slot| slot.epoch);
    let now = catalog.now().unwrap_or(0);
    world::with(|world| {
        world.model.saw_epoch(At { process, step: world.step(), now }, epoch);
    });
    epoch
}

fn policy(operation: &Operation, refreshes: bool) -> Policy {
    Policy {
        mode: if refreshes { Mode::Refresh } else { Mode::On },
        serialize: operation.serialize,
        on_failure: if operation.shares_failure { OnFailure::Share } else { OnFailure::Next },
        max_age: operation.max_age,
        expires: operation.expires.map(|life| life.max(Duration::from_millis(1))),
        ..Policy::default()
    }
}
