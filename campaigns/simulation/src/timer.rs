//! Time and heartbeats of a simulated process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thrifty_engine::{Beating, Timer};

use crate::identity::ProcessId;
use crate::options::Micros;
use crate::scheduler;
use crate::world;

/// The timer of a process: each beat is a coroutine of its own.
pub struct Simulated {
    process: ProcessId,
}

struct Guard(Arc<AtomicBool>);

impl Simulated {
    /// The timer of `process`.
    pub const fn new(process: ProcessId) -> Self {
        Self { process }
    }
}

impl Timer for Simulated {
    fn now(&self) -> Duration {
        Duration::from_micros(world::with(|world| world.now))
    }

    fn every(
        &self,
        period: Duration,
        mut beat: Box<dyn FnMut() -> bool + Send>,
    ) -> Box<dyn Beating> {
        let is_over = Arc::new(AtomicBool::new(false));
        let guard = Guard(Arc::clone(&is_over));
        let period = Micros::try_from(period.as_micros()).unwrap_or(Micros::MAX);
        let beat_on = move || loop {
            scheduler::sleep(period);
            if is_over.load(Ordering::Relaxed) || !beat() {
                return;
            }
        };
        world::with(|world| world.spawn(self.process, 0, beat_on));
        Box::new(guard)
    }
}

impl Beating for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
