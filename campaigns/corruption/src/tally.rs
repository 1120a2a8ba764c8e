//! What came out, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::Broken;

/// Violations kept as text; more of them say nothing new.
const SHOWN: usize = 20;

/// The outcome of many damages.
#[derive(Debug, Default)]
pub struct Tally {
    /// Damages done.
    pub done: u64,
    /// What happened, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// What must never happen.
    pub violations: Vec<String>,
    /// How many of them there were.
    pub violated: u64,
    /// The longest that one damage took, and which it was.
    pub slowest: (Duration, String),
}

impl Tally {
    /// Counts something.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Notes something that must never happen.
    pub fn violate(&mut self, what: impl Into<String>) {
        self.violated += 1;
        if self.violations.len() < SHOWN {
            self.violations.push(what.into());
        }
    }

    /// Does one damage and what follows. A panic in it is a violation.
    ///
    /// # Errors
    ///
    /// What kept the campaign from doing it.
    pub fn one(
        &mut self,
        name: impl Fn() -> String,
        act: impl FnOnce(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let began = Instant::now();
        self.done += 1;
        match catch_unwind(AssertUnwindSafe(|| act(self))) {
            Ok(done) => done.map_err(|error| format!("{}: {error}", name()))?,
            Err(_) => self.violate(format!("{}: a panic", name())),
        }
        let took = began.elapsed();
        if took > self.slowest.0 {
            self.slowest = (took, name());
        }
        Ok(())
    }

    /// Adds what another thread counted.
    pub fn add(&mut self, other: Self) {
        self.done += other.done;
        self.violated += other.violated;
        self.violations.extend(other.violations);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if other.slowest.0 > self.slowest.0 {
            self.slowest = other.slowest;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} damages", self.done)?;
        for (what, count) in &self.counts {
            write!(f, ", {what} {count}")?;
        }
        write!(
            f,
            "; slowest {:?} ({}); {} violations",
            self.slowest.0, self.slowest.1, self.violated
        )?;
        for violation in &self.violations {
            write!(f, "\n  {violation}")?;
        }
        Ok(())
    }
}

/// Shares the numbers below `count` out to threads, of the sample only.
///
/// # Errors
///
/// What kept a thread from going on.
pub fn share(
    count: usize,
    sample: crate::Sample,
    work: impl Fn(&mut dyn Iterator<Item = usize>) -> Result<Tally, Broken> + Sync,
) -> Result<Tally, Broken> {
    let crate::Sample { every, threads } = sample;
    let first = fastrand::usize(..every.min(count).max(1));
    std::thread::scope(|scope| {
        let work = &work;
        let start = |thread: usize| {
            scope.spawn(move || {
                let step = every * threads;
                work(&mut (first + thread * every..count).step_by(step))
            })
        };
        let started: Vec<_> = (0..threads).map(start).collect();
        let mut total = Tally::default();
        for thread in started {
            total.add(thread.join().map_err(|_| "a thread of the campaign broke")??);
        }
        Ok(total)
    })
}
