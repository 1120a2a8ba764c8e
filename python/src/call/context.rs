//! What the calls of this thread are part of.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use glob::Pattern;
use thrifty_engine::config::Executor;
use thrifty_engine::{Mode, Seeding};

use super::asked::Asked;

/// What was chosen for a whole run, at run time.
#[derive(Default, Clone)]
pub struct RunOptions {
    /// How it uses the cache.
    pub mode: Option<Mode>,
    /// Operations that are computed again.
    pub refresh: Vec<Pattern>,
    /// Notes which of these mean something, if the run tells of the others.
    pub asked: Option<Asked>,
    /// Where bodies run.
    pub executor: Option<Executor>,
    /// How many bodies run at once.
    pub workers: Option<usize>,
    /// Whether it waits for nobody who computes the same.
    pub now: bool,
    /// Whether each operation is computed once across processes, unless its `Cache` says otherwise.
    pub serialize: bool,
    /// Whether nothing begins any more once an operation has failed.
    pub fail_fast: bool,
    /// Which operations that hit are executed again, to compare.
    pub check: Option<Chosen>,
    /// Nothing is computed or stored: it is only looked up what is. If there are names, units
    /// are looked into for operations of these.
    pub look: Option<Arc<[Pattern]>>,
    /// The seed in force: of what is called, unless it states one.
    pub seeding: Option<Seeding>,
}

/// Which of some operations.
#[derive(Clone)]
pub enum Chosen {
    /// So many of them, as a share of all, drawn by lot.
    Share(f64),
    /// Those of which a name matches.
    Named(Vec<Pattern>),
}

impl RunOptions {
    /// What these say, and where they say nothing, those that are around them.
    pub fn inside(&self, outer: &Self) -> Self {
        Self {
            mode: self.mode.or(outer.mode),
            refresh: self.refresh.iter().chain(&outer.refresh).cloned().collect(),
            asked: outer.asked.clone(),
            executor: self.executor.or(outer.executor),
            workers: self.workers.or(outer.workers),
            now: self.now || outer.now,
            serialize: self.serialize || outer.serialize,
            fail_fast: self.fail_fast || outer.fail_fast,
            // What is called inside a checked run is checked as a part of what calls it.
            check: self.check.clone(),
            look: outer.look.clone(),
            seeding: self.seeding.or(outer.seeding),
        }
    }

    /// What was chosen at run time for the operation of this name.
    pub fn of_operation(&self, name: &str) -> Option<Mode> {
        let mut meant = self.refresh.iter().filter(|pattern| matches(pattern, name)).peekable();
        meant.peek()?;
        self.asked.iter().for_each(|asked| asked.note(meant.by_ref()));
        Some(Mode::Refresh)
    }
}

/// Whether a pattern means an operation: its whole name, or what stands behind the last dot.
pub fn matches(pattern: &Pattern, operation: &str) -> bool {
    let last = operation.rsplit('.').next().unwrap_or(operation);
    pattern.matches(operation) || pattern.matches(last)
}

/// What the calls of a thread are part of.
#[derive(Clone)]
pub enum Frame {
    /// A body that runs: tasks run at once.
    Running(Arc<RunOptions>),
    /// A workflow that is being built: calls become handles.
    Building {
        /// What was chosen for the run.
        options: Arc<RunOptions>,
        /// The mode the workflow's definition chose for what is in it.
        mode: Option<Mode>,
    },
    /// One that the parent of this forked process builds. A call gives its value, unless it is of
    /// what is not computed yet: whoever goes on with the workflow here holds handles from before.
    Forked {
        /// As of [`Frame::Building`].
        options: Arc<RunOptions>,
        /// As of [`Frame::Building`].
        mode: Option<Mode>,
    },
}

thread_local! {
    /// How many plans are being made.
    static PLANS: Cell<usize> = const { Cell::new(0) };
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// Puts a frame around what is called while the returned guard lives.
pub fn enter(frame: Frame) -> Guard {
    FRAMES.with_borrow_mut(|frames| frames.push(frame));
    Guard(())
}

/// Takes the frame away when it is dropped.
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        FRAMES.with_borrow_mut(|frames| _ = frames.pop());
    }
}

/// The innermost frame of this thread.
pub fn frame() -> Option<Frame> {
    FRAMES.with_borrow(|frames| frames.last().cloned())
}

/// In a forked child: a workflow that is being built is its parent's.
pub fn after_fork() {
    FRAMES.with_borrow_mut(|frames| {
        for frame in frames {
            if let Frame::Building { options, mode } = frame {
                *frame = Frame::Forked { options: Arc::clone(options), mode: *mode };
            }
        }
    });
}

/// Says that workflows are called to be planned while the returned guard lives.
pub fn begin_planning() -> Planning {
    PLANS.set(PLANS.get() + 1);
    Planning(())
}

/// Ends when it is dropped.
pub struct Planning(());

impl Drop for Planning {
    fn drop(&mut self) {
        PLANS.set(PLANS.get() - 1);
    }
}

/// Whether workflows are called to be planned, so that nothing may be computed.
pub fn is_planning() -> bool {
    PLANS.get() > 0
}
