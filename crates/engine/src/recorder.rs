//! The history of runs, written behind their back.
//!
//! History is not needed to be right about values, so it is gathered in memory and written now
//! and then by a thread of its own; a killed process may lose its last moments of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// How long a use of an entry by a lone hit may be unknown to the catalog: collections go by uses.
const UNKNOWN: Duration = Duration::from_secs(10);
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
    /// How often the catalog was busy.
    busy: AtomicU64,
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
    process: String,
    run: Option<Option<RunId>>,
    next: u32,
    hits: HashMap<EntryId, Hits>,
}

/// The lone hits of an entry.
struct Hits {
    node: Node,
    /// How many of them were told as uses, and when the last were.
    told: u64,
    told_at: Duration,
}

impl Hits {
    /// Those that were not told as uses yet.
    const fn untold(&mut self) -> Usage {
        let hits = self.node.count - self.told;
        self.told = self.node.count;
        Usage { hits }
    }
}

impl Recorder {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, health: Arc<Health>, scope: Scope) -> Self {
        Self {
            history: Arc::new(History {
                catalog,
                health,
                pending: Mutex::default(),
                writing: Mutex::default(),
                busy: AtomicU64::new(0),
            }),
            scope,
            lone: Mutex::default(),
            beginning: Mutex::default(),
        }
    }

    /// Begins a run, of this process unless it names one; `None` if the catalog does not take it,
    /// or is left alone because it kept failing.
    pub fn begin(&self, run: &NewRun) -> Option<RunId> {
        let History { catalog, health, .. } = &*self.history;
        health.may_write().ok()?;
        let mut run = run.clone();
        if run.process.is_empty() {
            run.process = process::identity();
        }
        health.note_write(self.history.counted(catalog.begin_run(&self.scope, &run)))
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

    /// Says that the lone calls of this process are made for another one, which began the run that
    /// gathers them.
    pub fn lone_for(&self, process: String) {
        self.lone.lock().process = process;
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
        let (name, process) = (lone.name.clone(), lone.process.clone());
        let known = lone.run.clone();
        drop(lone);
        known.unwrap_or_else(|| {
            let run = self.begin(&NewRun { name, process, ..NewRun::default() });
            self.lone.lock().run.insert(run).clone()
        })
    }

    /// Counts a lone hit of an entry, by the clock of [`crate::about_now`]; `node` describes the
    /// first. Asks nothing of the catalog; says whether there are so many that
    /// [`Recorder::write_lone_hits`] is to be called.
    pub fn lone_hit(
        &self,
        entry: EntryId,
        saved: Duration,
        now: Duration,
        node: impl FnOnce() -> Node,
    ) -> bool {
        let mut lone = self.lone.lock();
        let known = lone.hits.len();
        let hits = lone.hits.entry(entry).or_insert_with(|| Hits {
            node: Node { count: 0, saved: Duration::ZERO, ..node() },
            told: 0,
            told_at: now,
        });
        hits.node.count += 1;
        hits.node.saved += saved;
        // The clock may be set, in either direction.
        if hits.told == 0 || now.abs_diff(hits.told_at) >= UNKNOWN {
            hits.told_at = now;
            let usage = hits.untold();
            drop(lone);
            self.history.pending.lock().uses.push((entry, usage));
            self.history.write_soon();
        }
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
        let mut all: Vec<_> = lone.hits.drain().collect();
        all.sort_by_key(|(entry, _)| *entry);
        let (mut nodes, mut uses) = (Vec::new(), Vec::new());
        for (entry, mut hits) in all {
            lone.next += 1;
            uses.push((entry, hits.untold()));
            nodes.push(Node { number: lone.next, ..hits.node });
        }
        drop(lone);
        let mut pending = self.history.pending.lock();
        pending.uses.extend(uses.into_iter().filter(|(_, usage)| usage.hits > 0));
        if let Some(run) = run {
            pending.add_nodes(&run, nodes);
        }
    }

    /// Writes everything that is not written yet.
    pub fn flush(&self) {
        self.gather_lone();
        self.history.write();
    }

    /// Writes everything, and ends the run of lone calls: for the end of a process, which waits for
    /// a busy catalog once. `false` if it was, so that nothing more is to be written.
    pub fn close(&self) -> bool {
        let before = self.history.busy.load(Ordering::Relaxed);
        self.gather_lone();
        let run = self.lone.lock().run.take().flatten();
        if let Some(run) = run {
            let ended = (run, RunStatus::Succeeded);
            self.history.pending.lock().ended.push(ended);
        }
        self.history.write_unless_busy(before)
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
        self.add_nodes(run, nodes);
    }

    /// Nodes whose uses are told apart from them.
    fn add_nodes(&mut self, run: &RunId, nodes: Vec<Node>) {
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
        self.write_gathered();
    }

    /// Writes what is gathered, unless the catalog was busy since it was so often, also for whoever
    /// writes now; whether it was not.
    fn write_unless_busy(&self, before: u64) -> bool {
        let is_free = || self.busy.load(Ordering::Relaxed) == before;
        let writing = is_free().then(|| self.writing.lock());
        if writing.is_some() && is_free() {
            self.write_gathered();
        }
        is_free()
    }

    fn write_gathered(&self) {
        let gathered = self.pending.lock().take();
        let left = self.write_until_busy(gathered);
        self.pending.lock().put_back(left);
    }

    fn counted<T>(&self, answer: Result<T, CatalogError>) -> Result<T, CatalogError> {
        let is_busy = matches!(answer, Err(CatalogError::Busy { .. }));
        self.busy.fetch_add(u64::from(is_busy), Ordering::Relaxed);
        answer
    }

    /// Writes as long as the catalog is not busy; gives what is left. Other trouble with the history
    /// is no trouble for anybody.
    fn write_until_busy(&self, gathered: Pending) -> Pending {
        let (mut left, mut is_busy) = (Pending::default(), false);
        let mut is_left = |write: &dyn Fn() -> Result<(), CatalogError>| {
            is_busy = is_busy || matches!(self.counted(write()), Err(CatalogError::Busy { .. }));
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

#[cfg(test)]
mod tests {
    use thrifty_catalog::Sqlite;

    use super::*;
    use crate::Cache;
    use crate::timer::Machine;

    fn recorder() -> Recorder {
        let health = Arc::new(Health::new(Arc::new(Machine)));
        let scope = Scope { project: "lab".to_owned(), domain: "development".to_owned() };
        let recorder = Recorder::new(Arc::new(Sqlite::in_memory().unwrap()), health, scope);
        // What is gathered stays, as no thread is begun beside one.
        recorder.history.pending.lock().has_writer = true;
        recorder
    }

    /// Hits that are to be told, by entry, since this was last asked.
    fn told(recorder: &Recorder) -> Vec<(i64, u64)> {
        let uses = std::mem::take(&mut recorder.history.pending.lock().uses);
        uses.into_iter().map(|(entry, usage)| (entry.0, usage.hits)).collect()
    }

    fn node() -> Node {
        Node {
            number: 0,
            operation: "clean".to_owned(),
            key: None,
            ingredients: None,
            outcome: "hit-local".to_owned(),
            detail: String::new(),
            reason: String::new(),
            rule: String::new(),
            entry: None,
            source: None,
            output_digest: None,
            count: 1,
            at: 1,
            spent: Duration::ZERO,
            saved: Duration::ZERO,
            upstream: Vec::new(),
            takes: Vec::new(),
            parent: None,
        }
    }

    /// A process that is killed loses no more of its hits, and one that rests hides no use.
    #[test]
    fn the_use_of_an_entry_by_lone_hits_is_told_at_once_and_then_every_ten_seconds() {
        let recorder = recorder();
        let hit = |entry, seconds| {
            let now = Duration::from_secs(seconds);
            recorder.lone_hit(EntryId(entry), Duration::ZERO, now, node);
            told(&recorder)
        };
        assert_eq!(hit(1, 1000), [(1, 1)]);
        assert_eq!(hit(2, 1003), [(2, 1)]);
        assert_eq!((hit(1, 1001), hit(1, 1009), hit(2, 1010)), (vec![], vec![], vec![]));
        assert_eq!(hit(1, 1010), [(1, 3)], "ten seconds after it was last told");
        assert_eq!((hit(1, 1011), hit(1, 1019)), (vec![], vec![]));
        assert_eq!(hit(1, 5000), [(1, 3)]);
        assert_eq!(hit(1, 900), [(1, 1)], "the clock was set back");
        assert_eq!(hit(1, 901), []);
        recorder.gather_lone();
        assert_eq!(told(&recorder), [(1, 1), (2, 1)], "each is told once");
        let pending = recorder.history.pending.lock();
        let counts: Vec<_> = pending.nodes[0].1.iter().map(|node| node.count).collect();
        assert_eq!(counts, [9, 2], "and all are counted in the run");
    }

    #[test]
    fn the_end_asks_nothing_of_a_catalog_that_another_thread_found_busy_meanwhile() {
        let cache = Cache::in_memory().unwrap();
        let history = &cache.recorder().history;
        let run = cache.recorder().begin(&NewRun::default()).unwrap();
        history.pending.lock().ended.push((run, RunStatus::Succeeded));
        let before = history.busy.load(Ordering::Relaxed);
        let busy = || CatalogError::Busy { path: "catalog".into() };
        assert!(history.counted::<()>(Err(busy())).is_err());
        assert!(!history.write_unless_busy(before));
        assert!(!history.pending.lock().is_empty());
        assert!(history.write_unless_busy(before + 1));
        assert!(history.pending.lock().is_empty());
    }
}
