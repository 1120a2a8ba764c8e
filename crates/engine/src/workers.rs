//! Threads that run bodies.
//!
//! They are started as they are needed, kept for the run, and never joined: a run that was
//! interrupted must not wait for a body that does not end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};

use parking_lot::Mutex;

type Work = Box<dyn FnOnce() + Send>;

/// The threads of one run.
pub(crate) struct Workers {
    most: usize,
    threads: usize,
    queue: Sender<Work>,
    work: Arc<Mutex<mpsc::Receiver<Work>>>,
    stop: StopFlag,
}

/// Set when the run is over, whatever its workers do.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Workers {
    pub fn new(most: usize) -> Self {
        let (queue, work) = mpsc::channel();
        Self {
            most: most.max(1),
            threads: 0,
            queue,
            work: Arc::new(Mutex::new(work)),
            stop: StopFlag::default(),
        }
    }

    pub fn stop_flag(&self) -> StopFlag {
        self.stop.clone()
    }

    /// Whether there is a thread for one more piece of work beside the `running` ones, or at
    /// least one that will be free. Starts one if there may be more.
    pub fn are_there(&mut self, running: usize) -> bool {
        if running >= self.threads && self.threads < self.most {
            self.add_thread();
        }
        self.threads > 0
    }

    /// Runs the work on a thread.
    pub fn run(&self, work: Work) {
        // The receiver lives as long as `self`.
        _ = self.queue.send(work);
    }

    fn add_thread(&mut self) {
        let work = Arc::clone(&self.work);
        let body = move || {
            loop {
                let next = work.lock().recv();
                let Ok(next) = next else { return };
                next();
            }
        };
        let started = std::thread::Builder::new().name("thrifty-worker".to_owned()).spawn(body);
        if started.is_ok() {
            self.threads += 1;
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Relaxed);
    }
}
