//! Many cases on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::examine::Verdict;

/// What came of many cases.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many there were.
    pub cases: usize,
    /// Those in which something did not hold: what was done, and what did not hold.
    pub violations: Vec<String>,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.violations.extend(other.violations);
    }
}

/// Tries every case; a violation is told with the case.
pub fn sweep<C: Sync + std::fmt::Display>(
    cases: &[C],
    try_case: impl Fn(&C) -> Verdict + Sync,
) -> Tally {
    let (next, violations) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(what) = try_case(case)
                && let Ok(mut violations) = violations.lock()
            {
                eprintln!("{case}: {what}");
                violations.push(format!("{case}: {what}"));
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| _ = scope.spawn(work)));
    let violations = violations.into_inner().unwrap_or_default();
    Tally { cases: cases.len(), violations }
}
