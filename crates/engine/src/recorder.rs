//! The history of runs, written behind their back.
//!
//! History is not needed to be right about values, so it is written in batches by a thread of
//! its own, and a killed process may lose its last moments of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use parking_lot::Mutex;
use thrifty_catalog::{Catalog, EntryId, NewRun, Node, RunId, RunStatus, Scope, Usage};

/// Lone hits of more entries than this are written at once.
const LONE: usize = 4096;

enum Message {
    Nodes(RunId, Vec<Node>),
    Finish(RunId, RunStatus),
    Uses(Vec<(EntryId, Usage)>),
    Flush(Sender<()>),
}

/// Writes runs and their nodes to the catalog.
pub struct Recorder {
    catalog: Arc<dyn Catalog>,
    scope: Scope,
    writer: Mutex<Option<Sender<Message>>>,
    lone: Mutex<Lone>,
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
    pub(crate) fn new(catalog: Arc<dyn Catalog>, scope: Scope) -> Self {
        Self {
            catalog,
            scope,
            writer: Mutex::default(),
            lone: Mutex::default(),
        }
    }

    /// Begins a run; `None` if the catalog does not take it.
    pub fn begin(&self, run: &NewRun) -> Option<RunId> {
        self.catalog.begin_run(&self.scope, run).ok()
    }

    /// Adds or replaces nodes of a run.
    pub fn nodes(&self, run: &RunId, nodes: Vec<Node>) {
        let uses: Vec<_> = nodes
            .iter()
            .filter(|node| node.source.is_some() || node.outcome.starts_with("hit"))
            .filter_map(|node| Some((node.entry?, Usage { hits: node.count })))
            .collect();
        self.send(Message::Nodes(run.clone(), nodes));
        if !uses.is_empty() {
            self.send(Message::Uses(uses));
        }
    }

    /// Ends a run.
    pub fn finish(&self, run: &RunId, status: RunStatus) {
        self.send(Message::Finish(run.clone(), status));
    }

    /// The name of the run that gathers the lone calls of this process.
    pub fn name_lone(&self, name: &str) {
        self.lone.lock().name = name.to_owned();
    }

    /// The run that gathers the lone calls of this process, and a number for one more.
    pub fn lone(&self) -> (Option<RunId>, u32) {
        let mut lone = self.lone.lock();
        let run = self.lone_run(&mut lone);
        lone.next += 1;
        (run, lone.next)
    }

    fn lone_run(&self, lone: &mut Lone) -> Option<RunId> {
        let name = lone.name.clone();
        lone.run
            .get_or_insert_with(|| {
                self.begin(&NewRun {
                    name,
                    ..NewRun::default()
                })
            })
            .clone()
    }

    /// Counts a lone hit of an entry; `node` describes the first.
    pub fn lone_hit(&self, entry: EntryId, saved: Duration, node: impl FnOnce() -> Node) {
        let mut lone = self.lone.lock();
        let known = lone.hits.len();
        let counted = lone.hits.entry(entry).or_insert_with(|| Node {
            count: 0,
            saved: Duration::ZERO,
            ..node()
        });
        counted.count += 1;
        counted.saved += saved;
        if known >= LONE {
            self.write_lone(&mut lone);
        }
    }

    fn write_lone(&self, lone: &mut Lone) {
        if lone.hits.is_empty() {
            return;
        }
        let Some(run) = self.lone_run(lone) else {
            lone.hits.clear();
            return;
        };
        let mut nodes: Vec<_> = lone.hits.drain().map(|(_, node)| node).collect();
        nodes.sort_by_key(|node| node.entry);
        for node in &mut nodes {
            lone.next += 1;
            node.number = lone.next;
        }
        self.nodes(&run, nodes);
    }

    /// Writes everything that is not written yet, and waits for it.
    pub fn flush(&self) {
        self.write_lone(&mut self.lone.lock());
        let Some(writer) = self.writer.lock().clone() else {
            return;
        };
        let (done, wait) = mpsc::channel();
        if writer.send(Message::Flush(done)).is_ok() {
            _ = wait.recv();
        }
    }

    /// Writes everything, and ends the run of lone calls.
    pub fn close(&self) {
        let mut lone = self.lone.lock();
        self.write_lone(&mut lone);
        if let Some(run) = lone.run.take().flatten() {
            self.finish(&run, RunStatus::Succeeded);
        }
        drop(lone);
        self.flush();
    }

    fn send(&self, message: Message) {
        let mut writer = self.writer.lock();
        let sender = writer.get_or_insert_with(|| {
            let (sender, messages) = mpsc::channel();
            let catalog = Arc::clone(&self.catalog);
            let work = move || write(catalog.as_ref(), &messages);
            // Without a thread the messages are dropped with their receiver: history is lost.
            _ = std::thread::Builder::new()
                .name("thrifty-history".to_owned())
                .spawn(work);
            sender
        });
        _ = sender.send(message);
    }
}

fn write(catalog: &dyn Catalog, messages: &Receiver<Message>) {
    for message in messages {
        // Trouble with the history is no trouble for anybody.
        match message {
            Message::Nodes(run, nodes) => _ = catalog.record(&run, &nodes),
            Message::Finish(run, status) => _ = catalog.finish_run(&run, status),
            Message::Uses(uses) => _ = catalog.touch(&uses),
            Message::Flush(done) => _ = done.send(()),
        }
    }
}
