//! The history of runs, written behind their back.
//!
//! History is not needed to be right about values, so it is gathered in memory and written now
//! and then by a thread of its own; a killed process may lose its last moments of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thrifty_catalog::{
    BlobRef, Catalog, CatalogError, EntryId, NewRun, Node, Run, RunId, RunStatus, Scope, Usage,
};

use crate::evict::GRACE;
use crate::health::Health;
use crate::process;

/// Lone hits of more entries than this are written at once.
const LONE: usize = 4096;
/// How long history is gathered before it is written.
const GATHERING: Duration = Duration::from_millis(100);
/// Nodes written in one transaction: a commit waits for no more than these.
const TOGETHER: usize = 256;

/// Writes runs and their nodes to the catalog.
pub struct Recorder {
    history: Arc<History>,
    scope: Scope,
    /// Never held while the catalog is asked: every hit comes here.
    lone: Mutex<Lone>,
    /// Held while the run of the lone calls begins.
    beginning: Mutex<()>,
}

/// What is to be written, and where.
struct History {
    catalog: Arc<dyn Catalog>,
    health: Arc<Health>,
    pending: Mutex<Pending>,
    /// Held while writing, so that what was gathered first is written first.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Pending {
    nodes: Vec<(RunId, Vec<Node>)>,
    uses: Vec<(EntryId, Usage)>,
    pins: Vec<BlobRef>,
    ended: Vec<(RunId, RunStatus)>,
    /// Whether a thread is going to write this.
    has_writer: bool,
}

/// Calls outside of workflows: one run gathers those of this process.
#[derive(Default)]
struct Lone {
    name: String,
    run: Option<Option<RunId>>,
    next: u32,
    hits: HashMap<EntryId, Node>,
}

impl Recorder {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, health: Arc<Health>, scope: Scope) -> Self {
        Self {
            history: Arc::new(History {
                catalog,
                health,
                pending: Mutex::default(),
                writing: Mutex::default(),
            }),
            scope,
            lone: Mutex::default(),
            beginning: Mutex::default(),
        }
    }

    /// Begins a run; `None` if the catalog does not take it, or is left alone because it kept
    /// failing.
    pub fn begin(&self, run: &NewRun) -> Option<RunId> {
        let History { catalog, health, .. } = &*self.history;
        health.may_write().ok()?;
        let run = NewRun { process: process::identity(), ..run.clone() };
        health.note_write(catalog.begin_run(&self.scope, &run))
    }

    /// Has a run go on in this process, if no other one has had it go on since it was looked at.
    pub fn resume(&self, run: &Run) -> bool {
        let now = process::identity();
        self.history.catalog.resume_run(&run.id, &run.process, &now).unwrap_or(false)
    }

    /// Adds or replaces nodes of a run.
    pub fn nodes(&self, run: &RunId, nodes: Vec<Node>) {
        self.history.pending.lock().add(run, nodes);
        self.history.write_soon();
    }

    /// Says that entries are in use by a run under way, so that their bytes are not collected
    /// before it loads them. Their hits are counted with the nodes of the run.
    pub(crate) fn in_use(&self, entries: Vec<EntryId>) {
        let uses = entries.into_iter().map(|entry| (entry, Usage::default()));
        self.history.pending.lock().uses.extend(uses);
        self.history.write_soon();
    }

    /// Keeps blobs from being collected for the time of grace.
    pub(crate) fn pin(&self, blobs: Vec<BlobRef>) {
        self.history.pending.lock().pins.extend(blobs);
        self.history.write_soon();
    }

    /// Ends a run.
    pub fn finish(&self, run: &RunId, status: RunStatus) {
        self.history.pending.lock().ended.push((run.clone(), status));
        self.history.write_soon();
    }

    /// The name of the run that gathers the lone calls of this process.
    pub fn name_lone(&self, name: &str) {
        self.lone.lock().name = name.to_owned();
    }

    /// The run that gathers the lone calls of this process, and a number for one more.
    pub fn lone(&self) -> (Option<RunId>, u32) {
        let run = self.lone_run();
        let mut lone = self.lone.lock();
        lone.next += 1;
        (run, lone.next)
    }

    /// The run that gathers the lone calls of this process, if one of them was computed.
    pub fn lone_begun(&self) -> Option<RunId> {
        self.lone.lock().run.clone().flatten()
    }

    fn lone_run(&self) -> Option<RunId> {
        let _beginning = self.beginning.lock();
        let lone = self.lone.lock();
        let (name, known) = (lone.name.clone(), lone.run.clone());
        drop(lone);
        known.unwrap_or_else(|| {
            let run = self.begin(&NewRun { name, ..NewRun::default() });
            self.lone.lock().run.insert(run).clone()
        })
    }

    /// Counts a lone hit of an entry; `node` describes the first. Asks nothing of the catalog;
    /// says whether there are so many that [`Recorder::write_lone_hits`] is to be called.
    pub fn lone_hit(&self, entry: EntryId, saved: Duration, node: impl FnOnce() -> Node) -> bool {
        let mut lone = self.lone.lock();
        let known = lone.hits.len();
        let counted = lone.hits.entry(entry).or_insert_with(|| Node {
            count: 0,
            saved: Duration::ZERO,
            ..node()
        });
        counted.count += 1;
        counted.saved += saved;
        known >= LONE
    }

    /// Sees to it that the lone hits are written before long.
    pub fn write_lone_hits(&self) {
        self.gather_lone();
        self.history.write_soon();
    }

    fn gather_lone(&self) {
        if self.lone.lock().hits.is_empty() {
            return;
        }
        let run = self.lone_run();
        let mut lone = self.lone.lock();
        let mut nodes: Vec<_> = lone.hits.drain().map(|(_, node)| node).collect();
        nodes.sort_by_key(|node| node.entry);
        for node in &mut nodes {
            lone.next += 1;
            node.number = lone.next;
        }
        drop(lone);
        if let Some(run) = run {
            self.history.pending.lock().add(&run, nodes);
        }
    }

    /// Writes everything that is not written yet.
    pub fn flush(&self) {
        self.gather_lone();
        self.history.write();
    }

    /// Writes everything, and ends the run of lone calls.
    pub fn close(&self) {
        self.gather_lone();
        let run = self.lone.lock().run.take().flatten();
        if let Some(run) = run {
            let ended = (run, RunStatus::Succeeded);
            self.history.pending.lock().ended.push(ended);
        }
        self.history.write();
    }
}

impl Pending {
    fn add(&mut self, run: &RunId, nodes: Vec<Node>) {
        for node in &nodes {
            if let Some(entry) = node.entry
                && (node.source.is_some() || node.outcome.starts_with("hit"))
            {
                // What was taken from a run was not looked up; it is in use all the same.
                let hits = if node.outcome == "skipped" { 0 } else { node.count };
                self.uses.push((entry, Usage { hits }));
            }
        }
        match self.nodes.last_mut() {
            Some((last, gathered)) if last == run => gathered.extend(nodes),
            _ => self.nodes.push((run.clone(), nodes)),
        }
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty()
            && self.uses.is_empty()
            && self.pins.is_empty()
            && self.ended.is_empty()
    }

    /// What could not be written comes before what was gathered since.
    fn put_back(&mut self, left: Self) {
        self.nodes.splice(..0, left.nodes);
        self.uses.splice(..0, left.uses);
        self.pins.splice(..0, left.pins);
        self.ended.splice(..0, left.ended);
    }

    /// Everything gathered so far.
    fn take(&mut self) -> Self {
        let has_writer = self.has_writer;
        std::mem::replace(self, Self { has_writer, ..Self::default() })
    }
}

impl History {
    /// Sees to it that what is gathered is written before long.
    fn write_soon(self: &Arc<Self>) {
        let mut pending = self.pending.lock();
        if pending.has_writer {
            return;
        }
        let history = Arc::clone(self);
        // Without a thread, what is gathered waits for a flush.
        pending.has_writer = std::thread::Builder::new()
            .name("thrifty-history".to_owned())
            .spawn(move || history.write_on())
            .is_ok();
    }

    /// Writes now and then, as long as there is something to write.
    fn write_on(&self) {
        loop {
            std::thread::sleep(GATHERING);
            let mut pending = self.pending.lock();
            if pending.is_empty() {
                pending.has_writer = false;
                return;
            }
            drop(pending);
            self.write();
        }
    }

    /// Writes what is gathered; whatever was being written is written when this returns, or waits
    /// for the next time, for the catalog was busy: somebody waits for this, at the end of a process.
    fn write(&self) {
        let _writing = self.writing.lock();
        let gathered = self.pending.lock().take();
        let left = self.write_until_busy(gathered);
        self.pending.lock().put_back(left);
    }

    /// Writes as long as the catalog is not busy; gives what is left. Other trouble with the history
    /// is no trouble for anybody.
    fn write_until_busy(&self, gathered: Pending) -> Pending {
        let (mut left, mut is_busy) = (Pending::default(), false);
        let mut is_left = |write: &dyn Fn() -> Result<(), CatalogError>| {
            is_busy = is_busy || matches!(write(), Err(CatalogError::Busy { .. }));
            is_busy
        };
        for (run, nodes) in gathered.nodes {
            for some in nodes.chunks(TOGETHER) {
                if is_left(&|| self.catalog.record(&run, some)) {
                    left.nodes.push((run.clone(), some.to_vec()));
                }
            }
        }
        for some in gathered.uses.chunks(TOGETHER) {
            if is_left(&|| self.catalog.touch(some)) {
                left.uses.extend_from_slice(some);
            }
        }
        if is_left(&|| self.catalog.keep_blobs(&gathered.pins, GRACE)) {
            left.pins = gathered.pins;
        }
        for (run, status) in gathered.ended {
            if is_left(&|| self.catalog.finish_run(&run, status)) {
                left.ended.push((run, status));
            }
        }
        left
    }
}
