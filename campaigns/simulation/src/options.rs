//! What a seed decides before anything runs: who takes part, and how often which fault strikes.

use std::time::Duration;

use fastrand::Rng;

/// Microseconds of simulated time.
pub type Micros = u64;

/// A second of simulated time.
pub const SECOND: Micros = 1_000_000;

/// How often a body calls another operation at most.
pub const MOST_PARTS: u64 = 3;

/// Everything that a seed decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed.
    pub seed: u64,
    /// Nothing disturbs the computations, so that each is made once.
    pub is_peaceful: bool,
    /// Processes that call operations.
    pub workers: usize,
    /// Calls that each of them makes.
    pub calls: usize,
    /// The operations.
    pub operations: Vec<Operation>,
    /// How many bodies stand in each other that call others.
    pub deepest: usize,
    /// How many scopes share the catalog.
    pub scopes: usize,
    /// How long a reservation outlives the last heartbeat.
    pub lease: Duration,
    /// How long a process thinks between two calls, at most.
    pub think: Micros,
    /// How long a call of the catalog or the store takes as a rule, at most.
    pub latency: Micros,
    /// The collector, if there is one.
    pub collector: Option<Collector>,
    /// How long the invalidator rests between two invalidations, at most; `None`: there is none.
    pub invalidator: Option<Micros>,
    /// How often which fault strikes.
    pub faults: Faults,
    /// What the wall clock does.
    pub wall: Wall,
}

/// One operation that is called.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its output is large, and stands in a blob.
    pub is_large: bool,
    /// Every execution gives another output.
    pub is_random: bool,
    /// The operation that its body calls.
    pub needs: Option<usize>,
    /// How long an entry of it is valid.
    pub expires: Option<Duration>,
    /// How many of 100 executions fail while there are faults.
    pub failing: u32,
    /// How long its body takes, at most.
    pub takes: Micros,
    /// Its calls wait for each other.
    pub serialize: bool,
    /// Waiters share a failure.
    pub shares_failure: bool,
    /// How many of 100 calls do not ask the cache.
    pub refreshing: u32,
    /// The oldest entry that its calls accept.
    pub max_age: Option<Duration>,
}

/// The collector's settings.
#[derive(Debug, Clone)]
pub struct Collector {
    /// The pause between two collections.
    pub period: Micros,
    /// The time of grace.
    pub grace: Duration,
    /// Entries older than this go.
    pub older_than: Option<Duration>,
    /// Bytes that may stay.
    pub budget: Option<u64>,
}

/// How many of 10,000 calls meet each fault.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The process dies.
    pub crash: u32,
    /// The process stands still, for up to five leases.
    pub pause: u32,
    /// The process stands still right before a commit, for up to three hours.
    pub stall: u32,
    /// The call is lost before it does anything.
    pub lost: u32,
    /// It does all, and its answer is lost.
    pub reply_lost: u32,
    /// It is done twice.
    pub twice: u32,
    /// It is done once more, later.
    pub late: u32,
    /// The catalog is busy.
    pub busy: u32,
    /// There is no space.
    pub full: u32,
    /// The catalog cannot be written.
    pub read_only: u32,
    /// The catalog cannot be read.
    pub unreadable: u32,
    /// The call takes up to twenty seconds.
    pub slow: u32,
    /// The row of an entry is damaged.
    pub row: u32,
    /// A blob cannot be written.
    pub put: u32,
    /// A blob cannot be read now.
    pub open: u32,
    /// A blob is gone.
    pub gone: u32,
    /// A blob has other bytes.
    pub corrupt: u32,
    /// A blob cannot be deleted.
    pub delete: u32,
    /// The caller gives up waiting.
    pub interrupt: u32,
    /// The wall clock jumps.
    pub jump: u32,
    /// No call gets through for a while.
    pub outage: u32,
}

/// What the wall clock does.
#[derive(Debug, Clone)]
pub struct Wall {
    /// Its pace, in thousandths of the true one.
    pub pace: u64,
    /// How far it jumps, at most, in milliseconds.
    pub jump: i64,
}

impl Options {
    /// How long a body takes at most that computes all that it calls, each time that it does.
    pub fn longest(&self, number: usize, depth: usize) -> Micros {
        let operation = &self.operations[number];
        let needed = operation.needs.filter(|_| depth < self.deepest);
        operation.takes + needed.map_or(0, |needed| MOST_PARTS * self.longest(needed, depth + 1))
    }

    /// What a seed decides. Most faults are absent from most seeds, so that each is also seen
    /// without the others.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let is_peaceful = rng.u32(..8) == 0;
        let workers = 2 + rng.usize(..=4) + if rng.u32(..6) == 0 { rng.usize(..=6) } else { 0 };
        let count = 1 + rng.usize(..3) + if rng.bool() { 0 } else { rng.usize(..=3) };
        let lease = Duration::from_secs(*pick(rng, &[10, 10, 10, 1, 60]));
        let think = *pick(rng, &[SECOND / 10, SECOND, 20 * SECOND, 600 * SECOND, 7200 * SECOND]);
        let mut operations: Vec<_> =
            (0..count).map(|n| operation(rng, n, count, is_peaceful)).collect();
        if count > 1 && rng.u32(..8) == 0 {
            close_circle(&mut operations);
        }
        let mut options = Self {
            seed,
            is_peaceful,
            workers,
            calls: 2 + rng.usize(..5),
            operations,
            deepest: 1,
            scopes: if rng.u32(..4) == 0 { 2 } else { 1 },
            lease,
            think,
            latency: *pick(rng, &[100, 1_000, 20_000]),
            collector: (!is_peaceful && rng.bool()).then(|| collector(rng, think)),
            invalidator: (!is_peaceful && rng.bool()).then(|| think.max(SECOND) * 2),
            faults: if is_peaceful { Faults::default() } else { faults(rng) },
            wall: wall(rng, is_peaceful),
        };
        if rng.u32(..16) == 0 {
            options.collect_under_writers();
        }
        if !is_peaceful && rng.u32(..16) == 0 {
            options.remove_under_chains();
        }
        options
    }

    /// Many writers stand still before they commit, for longer than the collector spares what they
    /// wrote: rare where each of that is left to chance.
    fn collect_under_writers(&mut self) {
        let Some(collector) = &mut self.collector else { return };
        collector.grace = Duration::from_secs(121);
        self.faults.stall = 2_000;
        self.operations.iter_mut().for_each(|operation| operation.is_large = true);
    }

    /// Results are made of each other in a row, for as long as it takes to evict and to invalidate
    /// some of them.
    fn remove_under_chains(&mut self) {
        self.deepest = 2;
        let last = self.operations.len() - 1;
        for (number, operation) in self.operations.iter_mut().enumerate() {
            operation.needs = (number < last).then_some(number + 1);
            (operation.takes, operation.failing) = (30 * SECOND, 0);
            operation.expires = None;
        }
        self.think = 20 * SECOND;
        self.invalidator = Some(200 * SECOND);
        let grace = Duration::from_secs(3600);
        self.collector = Some(Collector {
            period: 10 * SECOND,
            grace,
            older_than: Some(Duration::from_secs(1)),
            budget: None,
        });
    }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

fn operation(rng: &mut Rng, number: usize, count: usize, is_peaceful: bool) -> Operation {
    let needs =
        (count > 1 && rng.u32(..3) == 0).then(|| (number + 1 + rng.usize(..count - 1)) % count);
    let rarely = |rng: &mut Rng, of: &[u64]| {
        (!is_peaceful && rng.u32(..5) == 0).then(|| Duration::from_secs(*pick(rng, of)))
    };
    let failing = if is_peaceful { 0 } else { *pick(rng, &[0, 0, 0, 20, 50, 100]) };
    Operation {
        is_large: rng.u32(..3) == 0,
        is_random: rng.bool(),
        needs,
        expires: rarely(rng, &[1, 30, 3600]),
        failing,
        takes: *pick(rng, &[SECOND / 100, SECOND, 4 * SECOND, 30 * SECOND]),
        serialize: is_peaceful || rng.u32(..5) != 0,
        shares_failure: rng.u32(..4) == 0,
        refreshing: if is_peaceful { 0 } else { *pick(rng, &[0, 0, 0, 10, 50]) },
        max_age: rarely(rng, &[1, 60, 7200]),
    }
}

/// Each body calls the next operation, and waits for whoever computes it.
fn close_circle(operations: &mut [Operation]) {
    let count = operations.len();
    for (number, operation) in operations.iter_mut().enumerate() {
        operation.needs = Some((number + 1) % count);
        operation.serialize = true;
    }
}

fn collector(rng: &mut Rng, think: Micros) -> Collector {
    let evicts = rng.bool();
    Collector {
        period: (think * (1 + rng.u64(..4))).max(SECOND),
        grace: Duration::from_secs(*pick(rng, &[121, 600, 3600, 3600, 7200])),
        older_than: evicts.then(|| Duration::from_secs(*pick(rng, &[60, 1800, 7200]))),
        budget: (rng.u32(..4) == 0).then_some(20_000),
    }
}

fn faults(rng: &mut Rng) -> Faults {
    let mut rate = |most: u32| if rng.u32(..3) == 0 { 1 + rng.u32(..most) } else { 0 };
    Faults {
        crash: rate(200),
        pause: rate(200),
        stall: rate(1000),
        lost: rate(500),
        reply_lost: rate(800),
        twice: rate(1000),
        late: rate(500),
        busy: rate(300),
        full: rate(500),
        read_only: rate(300),
        unreadable: rate(300),
        slow: rate(300),
        put: rate(1000),
        open: rate(1000),
        gone: rate(500),
        corrupt: rate(500),
        delete: rate(2000),
        interrupt: rate(300),
        jump: rate(300),
        outage: rate(60),
        row: rate(300),
    }
}

fn wall(rng: &mut Rng, is_peaceful: bool) -> Wall {
    if is_peaceful {
        return Wall { pace: 1000, jump: 0 };
    }
    Wall {
        pace: *pick(rng, &[1000, 1000, 1000, 100, 900, 1100, 10_000]),
        jump: *pick(rng, &[100, 10_000, 3_600_000]),
    }
}

impl Operation {
    /// Whether each key of it is computed once while nothing disturbs it.
    pub const fn is_made_once(&self) -> bool {
        let is_kept = self.expires.is_none() && self.max_age.is_none() && self.refreshing == 0;
        self.serialize && is_kept && self.needs.is_none()
    }
}
