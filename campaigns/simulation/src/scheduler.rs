//! One thread, many coroutines: who runs next is decided by simulated time and the seed.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::identity::ProcessId;
use crate::options::Micros;
use crate::world;

/// Bytes of stack for each coroutine: the engine and SQLite run on it.
const STACK: usize = 512 << 10;
/// Steps after which a simulation is taken for one that never ends.
const STEPS: u64 = 200_000;

/// What a coroutine waits for.
enum Wait {
    /// This much time.
    For(Micros),
    /// The catalog's count of turns to differ, or this much time.
    Turn(u64, Micros),
}

type Fiber = Coroutine<(), Wait, (), DefaultStack>;

thread_local! {
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
    /// Stacks that were used before.
    static STACKS: RefCell<Vec<DefaultStack>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct Current {
    yielder: *const Yielder<(), Wait>,
}

/// Whether a process is there to do anything. The last look of a process that just died does not
/// return, unless it is being unwound already.
pub fn is_alive(process: ProcessId) -> bool {
    if CURRENT.get().is_none() || std::thread::panicking() {
        return false;
    }
    if world::with(|world| world.is_dead(process)) {
        sleep(0);
    }
    true
}

/// Lets simulated time pass. Returns at once from a coroutine that is being unwound.
pub fn sleep(time: Micros) {
    suspend(Wait::For(time));
}

/// Lets simulated time pass until the catalog's count of turns differs from `seen`.
pub fn await_turn(seen: u64, timeout: Micros) {
    suspend(Wait::Turn(seen, timeout));
}

fn suspend(wait: Wait) {
    let Some(current) = CURRENT.get() else { return };
    // A coroutine that is being unwound runs its destructors, which must not wait.
    if std::thread::panicking() {
        return;
    }
    // SAFETY: the yielder lives on the stack of the coroutine that runs now: `CURRENT` is set by
    // that coroutine alone, and set anew after every suspension, before anything else runs.
    unsafe { &*current.yielder }.suspend(wait);
    CURRENT.set(Some(current));
}

/// A coroutine of a process.
struct Actor {
    process: ProcessId,
    fiber: Option<Fiber>,
    /// The number of its latest place in the queue; earlier ones do not count.
    ticket: u64,
    /// The count of turns that it waits to see changed.
    awaits: Option<u64>,
}

/// When, the seed's choice among equals, the actor, its ticket.
type Place = (Micros, u32, usize, u64);

/// The coroutines of one simulation.
pub struct Scheduler {
    actors: Vec<Actor>,
    queue: BinaryHeap<Reverse<Place>>,
    turns: u64,
}

impl Scheduler {
    /// No coroutines yet.
    pub fn new() -> Self {
        Self { actors: Vec::new(), queue: BinaryHeap::new(), turns: 0 }
    }

    /// Runs everything until nothing is left to run, or an invariant is broken. `turns` answers
    /// the catalog's count of turns.
    pub fn run(&mut self, turns: &dyn Fn() -> u64) {
        for step in 0.. {
            self.admit();
            let Some(Reverse((at, _, number, ticket))) = self.queue.pop() else { return };
            if world::with(|world| world.is_over()) {
                return;
            }
            if step > STEPS {
                world::with(|world| world.violate("L3", || "it never ends".to_owned()));
                return;
            }
            if self.actors[number].ticket == ticket {
                world::with(|world| world.reach(at));
                self.step(number);
                self.wake(turns());
            }
        }
    }

    /// Unwinds all coroutines. Their processes must be dead.
    pub fn clear(&mut self) {
        for actor in &mut self.actors {
            actor.end();
        }
    }

    /// Takes in the coroutines that were made since.
    fn admit(&mut self) {
        for (process, delay, work) in world::with(|world| std::mem::take(&mut world.spawned)) {
            let stack = STACKS.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
                DefaultStack::new(STACK).expect("there is memory for a stack of a coroutine")
            });
            let fiber = Coroutine::with_stack(stack, move |yielder, ()| {
                CURRENT.set(Some(Current { yielder }));
                work();
            });
            self.actors.push(Actor { process, fiber: Some(fiber), ticket: 0, awaits: None });
            self.enqueue(self.actors.len() - 1, delay);
        }
    }

    fn enqueue(&mut self, number: usize, delay: Micros) {
        let actor = &mut self.actors[number];
        actor.ticket += 1;
        let (now, tie) = world::with(|world| (world.now, world.rng.u32(..)));
        self.queue.push(Reverse((now + delay, tie, number, actor.ticket)));
    }

    fn step(&mut self, number: usize) {
        let actor = &mut self.actors[number];
        let (is_dead, pause) =
            world::with(|world| (world.is_dead(actor.process), world.pause_left(actor.process)));
        if is_dead {
            return actor.end();
        }
        if pause > 0 {
            return self.enqueue(number, pause);
        }
        actor.awaits = None;
        let Some(fiber) = &mut actor.fiber else { return };
        let result = fiber.resume(());
        CURRENT.set(None);
        match result {
            CoroutineResult::Yield(Wait::For(time)) => self.enqueue(number, time),
            CoroutineResult::Yield(Wait::Turn(seen, timeout)) => {
                actor.awaits = Some(seen);
                self.enqueue(number, timeout);
                // It may have changed before it was waited for.
                if self.turns != seen {
                    self.enqueue(number, 1);
                }
            }
            CoroutineResult::Return(()) => actor.end(),
        }
    }

    fn wake(&mut self, turns: u64) {
        if turns == self.turns {
            return;
        }
        self.turns = turns;
        for number in 0..self.actors.len() {
            if self.actors[number].awaits.is_some_and(|seen| seen != turns) {
                self.actors[number].awaits = None;
                let delay = world::with(|world| world.rng.u64(1..=world.options.latency));
                self.enqueue(number, delay);
            }
        }
    }
}

impl Actor {
    fn end(&mut self) {
        let Some(mut fiber) = self.fiber.take() else { return };
        if !fiber.done() {
            fiber.force_unwind();
            CURRENT.set(None);
        }
        STACKS.with_borrow_mut(|stacks| stacks.push(fiber.into_stack()));
    }
}
