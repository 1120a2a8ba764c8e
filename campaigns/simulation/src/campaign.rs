//! Many seeds on all cores.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::mark::Marks;
use crate::simulation::{Report, simulate};

/// Which seeds.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first one.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Threads.
    pub threads: usize,
}

/// What became of a campaign.
#[derive(Debug, Default)]
pub struct Tally {
    /// Seeds simulated.
    pub seeds: u64,
    /// Steps taken.
    pub steps: u64,
    /// Which rare states were reached.
    pub marks: Marks,
    /// The seeds that broke an invariant: the first of each thread.
    pub broken: Vec<Report>,
}

impl Campaign {
    /// Simulates the seeds, and stops soon after the first that breaks an invariant.
    pub fn run(&self) -> Tally {
        let (next, stop) = (AtomicU64::new(self.first), AtomicBool::new(false));
        let end = self.first + self.count;
        let work = || {
            let mut tally = Tally::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= end || stop.load(Ordering::Relaxed) {
                    return tally;
                }
                let report = simulate(seed, false);
                tally.seeds += 1;
                tally.steps += report.steps;
                tally.marks.add(&report.marks);
                if report.violation.is_some() {
                    stop.store(true, Ordering::Relaxed);
                    tally.broken.push(report);
                }
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(work)).collect();
            let mut all = Tally::default();
            for thread in threads {
                all.add(thread.join().expect("a simulation catches what its processes panic with"));
            }
            all.broken.sort_by_key(|report| report.options.seed);
            all
        })
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.marks.add(&other.marks);
        self.broken.extend(other.broken);
    }
}
