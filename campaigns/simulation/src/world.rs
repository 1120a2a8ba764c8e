//! What the simulated processes share: time, chance, the bytes, and what the oracle knows.

use std::cell::RefCell;
use std::collections::BTreeMap;

use fastrand::Rng;
use thrifty_engine::catalog::{BlobRef, Clock, Time};
use thrifty_engine::store::{Blob, BlobName};

use crate::identity::ProcessId;
use crate::keys::Keys;
use crate::model::Model;
use crate::options::{Faults, Micros, Options};

/// When every simulation begins by the wall clock, in milliseconds since 1970.
const EPOCH: Time = 1_800_000_000_000;
/// Chances are of so many.
const CHANCES: u32 = 10_000;

/// A coroutine to be started: its process, after which delay, and what it does.
pub type Spawned = (ProcessId, Micros, Box<dyn FnOnce()>);

/// The state of one simulation.
pub struct World {
    /// Microseconds since the machine started.
    pub now: Micros,
    /// The seed's choices.
    pub rng: Rng,
    /// What the seed decided at first.
    pub options: Options,
    /// What must be true.
    pub model: Model,
    /// The keys.
    pub keys: Keys,
    /// Whether faults strike.
    pub is_chaos: bool,
    /// Coroutines to be started, each after a delay.
    pub spawned: Vec<Spawned>,
    /// The bytes in the store, and when they were written by the wall clock.
    pub blobs: BTreeMap<BlobName, (Blob, Time)>,
    /// Processes that do not live to see the calm.
    pub removers: Vec<ProcessId>,
    /// Uploads so far.
    pub uploads: u64,
    /// Until when nothing gets through.
    pub outage: Micros,
    /// The log, if it is kept.
    pub log: Option<Vec<String>>,
    /// What the wall clock is ahead of its pace, in milliseconds.
    jumped: Time,
    processes: Vec<Process>,
    step: u64,
}

#[derive(Default)]
struct Process {
    is_dead: bool,
    paused_until: Micros,
    calls: u64,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Looks at the world. Nothing may be suspended meanwhile.
pub fn with<T>(look: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(|world| look(world.as_mut().expect("a simulation is under way")))
}

/// Begins a simulation on this thread.
pub fn begin(options: Options, keeps_log: bool) {
    let world = World {
        now: 0,
        rng: Rng::with_seed(options.seed ^ 0x7468_7269_6674_7900),
        model: Model::new(&options),
        keys: Keys::new(&options),
        options,
        is_chaos: true,
        spawned: Vec::new(),
        blobs: BTreeMap::new(),
        removers: Vec::new(),
        uploads: 0,
        outage: 0,
        log: keeps_log.then(Vec::new),
        jumped: 0,
        processes: Vec::new(),
        step: 0,
    };
    WORLD.set(Some(world));
}

/// Ends the simulation of this thread.
pub fn end() -> World {
    WORLD.take().expect("a simulation is under way")
}

/// Writes a line to the log, if there is one.
pub fn tell(line: impl FnOnce() -> String) {
    with(|world| world.tell(line));
}

impl World {
    /// A new process.
    pub fn process(&mut self) -> ProcessId {
        self.processes.push(Process::default());
        self.processes.len() - 1
    }

    /// Has a coroutine of a process started after a delay.
    pub fn spawn(&mut self, process: ProcessId, delay: Micros, work: impl FnOnce() + 'static) {
        self.spawned.push((process, delay, Box::new(work)));
    }

    /// The number of the step: time as the order of events.
    pub const fn step(&self) -> u64 {
        self.step
    }

    /// The next event happens at this time.
    pub fn reach(&mut self, at: Micros) {
        self.now = self.now.max(at);
        self.step += 1;
    }

    /// Whether a process died.
    pub fn is_dead(&self, process: ProcessId) -> bool {
        self.processes[process].is_dead
    }

    /// Kills a process: none of its calls has an effect from now on.
    pub fn kill(&mut self, process: ProcessId) {
        self.processes[process].is_dead = true;
        self.model.died(process);
        self.tell(|| format!("process {process} dies"));
    }

    /// Kills every process.
    pub fn kill_all(&mut self) {
        self.processes.iter_mut().for_each(|process| process.is_dead = true);
    }

    /// How long a process still stands still.
    pub fn pause_left(&self, process: ProcessId) -> Micros {
        self.processes[process].paused_until.saturating_sub(self.now)
    }

    /// Stops a process for a time.
    pub fn pause(&mut self, process: ProcessId, time: Micros) {
        self.processes[process].paused_until = self.now + time;
        self.tell(|| format!("process {process} stands still for {} ms", time / 1000));
    }

    /// A process makes a call.
    pub fn count_call(&mut self, process: ProcessId) {
        self.processes[process].calls += 1;
    }

    /// How many calls a process has made.
    pub fn calls(&self, process: ProcessId) -> u64 {
        self.processes[process].calls
    }

    /// No faults from now on.
    pub fn calm(&mut self) {
        let wall = self.wall();
        self.options.wall.pace = 1000;
        self.jumped += wall - self.wall();
        self.is_chaos = false;
        // What they were about to remove would be a fault in what follows.
        for process in std::mem::take(&mut self.removers) {
            self.kill(process);
        }
        self.outage = 0;
        self.processes.iter_mut().for_each(|process| process.paused_until = 0);
        self.tell(|| "calm".to_owned());
    }

    /// Whether one of the faults strikes that this picks.
    pub fn strikes(&mut self, rate: impl Fn(&Faults) -> u32) -> bool {
        let rate = rate(&self.options.faults);
        self.is_chaos && rate > 0 && self.rng.u32(..CHANCES) < rate
    }

    /// How long a call takes.
    pub fn latency(&mut self) -> Micros {
        let most = self.options.latency;
        let slow = self.strikes(|faults| faults.slow);
        self.rng.u64(1..=if slow { 20_000_000 } else { most })
    }

    /// Moves the wall clock.
    pub fn jump(&mut self) {
        let most = self.options.wall.jump;
        let by = self.rng.i64(-most..=most);
        self.jumped += by;
        self.tell(|| format!("the wall clock jumps by {by} ms"));
    }

    /// Milliseconds since 1970 by the wall clock.
    pub fn wall(&self) -> Time {
        let paced = self.now / 1000 * self.options.wall.pace / 1000;
        EPOCH + paced.cast_signed() + self.jumped
    }

    /// Milliseconds since the machine started.
    pub const fn steady(&self) -> Time {
        (self.now / 1000).cast_signed()
    }

    /// What nobody refers to yet has its time of grace, by a wall clock that does not jump.
    pub fn check_age(&mut self, blob: &BlobRef) {
        let BlobRef { digest, generation, length } = *blob;
        let Some((_, written)) = self.blobs.get(&BlobName { digest, generation, length }) else {
            return;
        };
        let (age, jumps) = (self.wall() - written, self.options.faults.jump > 0);
        let grace = self.options.collector.as_ref().map_or(0, |it| it.grace.as_millis());
        if u128::try_from(age).unwrap_or(0) < grace && !jumps {
            self.violate("S7", || format!("{blob:?} is {age} ms old, and disowned"));
        }
    }

    /// Says that an invariant is broken; the first one is kept.
    pub fn violate(&mut self, invariant: &'static str, text: impl FnOnce() -> String) {
        self.model.violate(invariant, text);
    }

    /// Whether nothing more is to be run.
    pub const fn is_over(&self) -> bool {
        self.model.violation.is_some()
    }

    /// Writes a line to the log, if there is one.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        let (step, now) = (self.step, self.now);
        if let Some(log) = &mut self.log {
            log.push(format!("{step:6} {:>13.6}s {}", now as f64 / 1e6, line()));
        }
    }
}

/// The clocks of the simulated machine.
pub struct Machine;

impl Clock for Machine {
    fn wall(&self) -> Time {
        with(|world| world.wall())
    }

    fn steady(&self) -> Time {
        with(|world| world.steady())
    }
}
