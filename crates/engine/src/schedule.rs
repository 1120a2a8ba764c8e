//! Settling a graph: resolve in metadata what can be, run what must be.
//!
//! Operations become *ready* when everything they take is settled. All that are ready are looked
//! up with one request; hits settle at once and make others ready, so a graph of hits is
//! resolved in waves without loading a value. Misses run: on the calling thread when there is
//! nothing else to do meanwhile, on worker threads otherwise. Only what the demanded outputs
//! need is ever looked at.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use thrifty_catalog::{Request, RunId, Slot};
use thrifty_key::{Digest, Key};

use crate::cache::Cache;
use crate::compute::{Computed, Settled, Task, Unfinished};
use crate::event::{Event, Listener};
use crate::graph::{Body, Edge, Failure, From, Node, Taken, Value};
use crate::lookup::Looked;
use crate::outcome::{Miss, Outcome};
use crate::policy::{Mode, OnFailure};
use crate::record::Draft;
use crate::workers::Workers;

/// How often a waiting run asks whether it was interrupted.
const INTERRUPT: Duration = Duration::from_millis(50);
/// How often one value may be found lost before its operation fails.
const PATIENCE: u32 = 3;

/// How a graph is settled.
pub struct Options<'a> {
    /// How many bodies run at once.
    pub workers: usize,
    /// The run, if the catalog took it.
    pub run: Option<RunId>,
    /// Asked on the calling thread, a few times a second: stop?
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Told what happens.
    pub listener: Arc<Listener>,
}

/// A graph being settled.
pub struct Schedule<'a> {
    cache: Arc<Cache>,
    options: Options<'a>,
    nodes: Vec<Slate>,
    leaders: HashMap<Key, usize>,
    ready: Vec<usize>,
    missed: Vec<(usize, Miss, Option<Slot>)>,
    running: usize,
    workers: Workers,
    done: (Sender<Report>, Receiver<Report>),
    stopped: bool,
}

type Report = (usize, Computed);
/// An operation that is to be closed, and how.
type Closing = (usize, Result<Settled, Problem>);

/// A node, and how far it is.
struct Slate {
    node: Arc<Node>,
    state: State,
    dependents: Vec<usize>,
    key: Option<Key>,
    digests: Vec<Digest>,
    reason: Option<String>,
    losses: u32,
    followers: Vec<usize>,
}

enum State {
    /// Nobody asked for it yet.
    Idle,
    /// It needs this many more operations.
    Waiting(usize),
    /// It is to be looked up, or runs.
    Open,
    /// Its body became other operations, this many of them not settled yet.
    Expanded(usize, Box<Expanded>),
    /// It has an outcome.
    Closed(Result<Settled, Problem>),
}

struct Expanded {
    output: Draft,
    edges: Vec<Edge>,
    unfinished: Unfinished,
}

/// Why an operation has no value.
#[derive(Clone)]
pub enum Problem {
    /// It failed.
    Failed(Failure),
    /// This operation, which it needs, failed.
    Upstream(usize),
}

impl<'a> Schedule<'a> {
    /// A graph to be settled. Edges refer to nodes by their position.
    pub fn new(cache: Arc<Cache>, nodes: Vec<Node>, options: Options<'a>) -> Self {
        let workers = Workers::new(options.workers);
        let begun = Event::Begun {
            run: options.run.clone(),
            operations: nodes.len(),
        };
        (options.listener)(&begun);
        Self {
            cache,
            options,
            nodes: nodes.into_iter().map(Slate::new).collect(),
            leaders: HashMap::new(),
            ready: Vec::new(),
            missed: Vec::new(),
            running: 0,
            workers,
            done: mpsc::channel(),
            stopped: false,
        }
    }

    /// Settles the operations of these numbers and all they need. Operations that do not depend
    /// on a failed one go on. Returns early, with operations left open, only if interrupted.
    pub fn settle(&mut self, demanded: &[usize]) {
        for number in demanded {
            self.demand(*number);
        }
        loop {
            while !self.ready.is_empty() {
                self.resolve();
            }
            if self.stopped || (self.options.interrupted)() {
                self.stopped = true;
                return;
            }
            if self.running == 0 && self.missed.len() == 1 {
                self.run_here();
                continue;
            }
            self.start();
            if self.running == 0 {
                return;
            }
            match self.done.1.recv_timeout(INTERRUPT) {
                Ok(report) => {
                    self.running -= 1;
                    self.receive(report);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// How many operations there are by now.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The operation of this number.
    pub fn node(&self, number: usize) -> &Arc<Node> {
        &self.nodes[number].node
    }

    /// The key of an operation, once it could be made.
    pub fn key(&self, number: usize) -> Option<Key> {
        self.nodes[number].key
    }

    /// The digests of an operation's inputs, once they are known.
    pub fn digests(&self, number: usize) -> &[Digest] {
        &self.nodes[number].digests
    }

    /// What became of an operation; `None` if it was not needed, or the run was interrupted.
    pub fn settled(&self, number: usize) -> Option<&Result<Settled, Problem>> {
        match &self.nodes[number].state {
            State::Closed(settled) => Some(settled),
            _ => None,
        }
    }

    /// Whether the run was interrupted.
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Opens a settled operation again, because its value is in the cache no longer or damaged.
    /// Its entry is removed. Returns whether that makes sense: an operation whose value is lost
    /// again and again is closed as failed.
    pub fn reopen(&mut self, number: usize, reason: &str) -> bool {
        let slate = &mut self.nodes[number];
        let State::Closed(Ok(settled)) = &slate.state else {
            return true;
        };
        if let (Some(key), Value::Known(answer)) = (&slate.key, &settled.value) {
            self.cache.discard(key, answer);
        }
        slate.losses += 1;
        if slate.losses >= PATIENCE {
            let message = format!(
                "the result of {} cannot be read back: {reason}",
                slate.node.operation.name()
            );
            let failure = Failure::Raised {
                cause: Arc::new(message.clone()),
                message,
            };
            slate.state = State::Closed(Err(Problem::Failed(failure)));
            return false;
        }
        slate.state = State::Idle;
        if let Some(key) = slate.key {
            self.leaders.remove(&key);
        }
        self.tell(&Event::Reopened {
            number,
            reason: reason.to_owned(),
        });
        self.demand(number);
        true
    }

    /// Marks an operation and all it needs as needed.
    fn demand(&mut self, number: usize) {
        let mut stack = vec![number];
        while let Some(number) = stack.pop() {
            if !matches!(self.nodes[number].state, State::Idle) {
                continue;
            }
            let upstream = self.nodes[number].upstream();
            let open: Vec<_> = upstream
                .into_iter()
                .filter(|from| !matches!(self.nodes[*from].state, State::Closed(_)))
                .collect();
            self.nodes[number].state = State::Waiting(open.len());
            for from in &open {
                self.nodes[*from].dependents.push(number);
            }
            if open.is_empty()
                && let Some((number, result)) = self.make_ready(number)
            {
                self.close(number, result);
            }
            stack.extend(open);
        }
    }

    /// Everything it takes is settled: it is looked up next, or fails with what it needs.
    fn make_ready(&mut self, number: usize) -> Option<Closing> {
        let failed = self.nodes[number]
            .upstream()
            .into_iter()
            .find(|from| matches!(self.nodes[*from].state, State::Closed(Err(_))));
        match failed {
            Some(from) => Some((number, Err(Problem::Upstream(from)))),
            None => {
                self.nodes[number].state = State::Open;
                self.ready.push(number);
                None
            }
        }
    }

    /// Looks up everything that is ready, with one request.
    fn resolve(&mut self) {
        let mut requests = Vec::new();
        let mut asking = Vec::new();
        for number in std::mem::take(&mut self.ready) {
            self.derive_key(number);
            let policy = self.nodes[number].node.policy;
            let Some(key) = self.nodes[number].key.filter(|_| policy.mode != Mode::Off) else {
                self.missed.push((number, Miss::Absent, None));
                continue;
            };
            if self.follows(number, key) {
                continue;
            }
            if policy.mode.reads() && self.nodes[number].losses == 0 {
                requests.push(Request {
                    key,
                    max_age: policy.max_age,
                });
                asking.push(number);
            } else {
                let miss = if policy.mode.reads() {
                    Miss::Unreadable
                } else {
                    Miss::Refresh
                };
                self.missed.push((number, miss, self.cache.slot(&key)));
            }
        }
        for (number, looked) in asking.into_iter().zip(self.cache.look_all(&requests)) {
            match looked {
                Looked::Hit(answer, outcome) => {
                    let entry = answer.entry;
                    let value = Value::Known(answer);
                    let settled = Settled {
                        value,
                        outcome,
                        entry,
                        spent: Duration::ZERO,
                        made: None,
                    };
                    self.close(number, Ok(settled));
                }
                Looked::Miss(miss, slot) => self.missed.push((number, miss, slot)),
            }
        }
    }

    /// Whether another operation of this run has the key and settles it for this one, too.
    fn follows(&mut self, number: usize, key: Key) -> bool {
        let leader = *self.leaders.entry(key).or_insert(number);
        if leader == number {
            return false;
        }
        match &self.nodes[leader].state {
            State::Closed(Ok(settled)) if matches!(settled.value, Value::Known(_)) => false,
            State::Closed(_) | State::Idle => {
                self.leaders.insert(key, number);
                false
            }
            _ => {
                self.nodes[leader].followers.push(number);
                true
            }
        }
    }

    fn derive_key(&mut self, number: usize) {
        let node = Arc::clone(&self.nodes[number].node);
        let contributions: Vec<_> = self
            .taken(number)
            .iter()
            .map(|taken| taken.value.contribution_at(&taken.steps))
            .collect();
        let slate = &mut self.nodes[number];
        match (&node.unkeyed, node.input_digests(&contributions)) {
            (Some(reason), _) => slate.reason = Some(reason.clone()),
            (None, Err(_)) => slate.reason = Some("it takes a value that has no digest".to_owned()),
            (None, Ok(digests)) => {
                slate.key = Some(node.operation.key(digests.iter().copied()));
                slate.digests = digests.into_iter().map(|(_, digest)| digest).collect();
            }
        }
    }

    /// What the edges of an operation lead to; they are settled.
    fn taken(&self, number: usize) -> Vec<Taken> {
        self.nodes[number]
            .node
            .edges
            .iter()
            .filter_map(|edge| self.take(edge))
            .collect()
    }

    /// What an edge leads to, if it is settled.
    pub fn take(&self, edge: &Edge) -> Option<Taken> {
        let From::Node(from) = edge.from else {
            return None;
        };
        match &self.nodes[from].state {
            State::Closed(Ok(settled)) => Some(Taken {
                value: settled.value.clone(),
                steps: edge.steps.clone(),
            }),
            _ => None,
        }
    }

    /// Runs the only thing there is to do on this thread.
    fn run_here(&mut self) {
        if let Some((number, miss, slot)) = self.missed.pop() {
            let job = self.job(number, miss, slot);
            let computed = job.compute(self.options.interrupted);
            self.receive((number, computed));
        }
    }

    /// Hands misses to free workers.
    fn start(&mut self) {
        while self.running < self.options.workers.max(1) && !self.missed.is_empty() {
            let (number, miss, slot) = self.missed.remove(0);
            let job = self.job(number, miss, slot);
            let done = self.done.0.clone();
            let stop = self.workers.stop_flag();
            self.workers.run(
                self.running,
                Box::new(move || {
                    let computed = job.compute_guarded(&|| stop.is_set());
                    // Nobody listens if the run was interrupted.
                    _ = done.send((number, computed));
                }),
            );
            self.running += 1;
        }
    }

    fn job(&self, number: usize, miss: Miss, slot: Option<Slot>) -> Job {
        let slate = &self.nodes[number];
        let operation = slate.node.operation.name().to_owned();
        self.tell(&Event::Started { number, operation });
        Job {
            cache: Arc::clone(&self.cache),
            node: Arc::clone(&slate.node),
            key: slate
                .key
                .ok_or_else(|| slate.reason.clone().unwrap_or_default()),
            digests: slate.digests.clone(),
            taken: self.taken(number),
            run: (
                self.options.run.clone(),
                u32::try_from(number).unwrap_or(u32::MAX),
            ),
            miss,
            slot,
        }
    }

    fn receive(&mut self, (number, computed): Report) {
        match computed {
            Computed::Settled(settled) => self.close(number, Ok(settled)),
            Computed::Expanded(expansion, unfinished) => {
                let base = self.nodes.len();
                let operations = expansion.nodes.len();
                let parent = Arc::clone(&self.nodes[number].node);
                let place = |edge: &mut Edge| place(edge, base, &parent.edges);
                for mut node in expansion.nodes {
                    node.edges.iter_mut().for_each(place);
                    self.nodes.push(Slate::new(node));
                }
                self.tell(&Event::Expanded { number, operations });
                let mut edges = expansion.edges;
                edges.iter_mut().for_each(place);
                self.expand(
                    number,
                    Expanded {
                        output: expansion.output,
                        edges,
                        unfinished: *unfinished,
                    },
                );
            }
            Computed::Failed(Failure::Lost { edge, reason }, _) => {
                self.recover(number, edge, &reason)
            }
            Computed::Failed(Failure::Cancelled, _) => self.stopped = true,
            Computed::Failed(failure, _) => self.close(number, Err(Problem::Failed(failure))),
        }
    }

    fn expand(&mut self, number: usize, expanded: Expanded) {
        let mut needed: Vec<_> = expanded.edges.iter().filter_map(Edge::node).collect();
        needed.sort_unstable();
        needed.dedup();
        for child in &needed {
            self.demand(*child);
        }
        needed.retain(|child| !matches!(self.nodes[*child].state, State::Closed(_)));
        for child in &needed {
            self.nodes[*child].dependents.push(number);
        }
        let left = needed.len();
        self.nodes[number].state = State::Expanded(left, Box::new(expanded));
        if left == 0
            && let Some((number, result)) = self.collapse(number)
        {
            self.close(number, result);
        }
    }

    /// All operations that an expanded one became are settled: so is it.
    fn collapse(&mut self, number: usize) -> Option<Closing> {
        let state = std::mem::replace(&mut self.nodes[number].state, State::Open);
        let State::Expanded(_, expanded) = state else {
            return None;
        };
        let Expanded {
            output,
            edges,
            unfinished,
        } = *expanded;
        let failed = edges
            .iter()
            .filter_map(Edge::node)
            .find(|child| matches!(self.nodes[*child].state, State::Closed(Err(_))));
        if let Some(child) = failed {
            return Some((number, Err(Problem::Upstream(child))));
        }
        let taken: Vec<_> = edges.iter().filter_map(|edge| self.take(edge)).collect();
        let job = self.job_again(number);
        let made = crate::expansion::gather(output, taken);
        let settled = job.with_task(&|| false, |task| self.cache.finish(task, unfinished, made));
        Some((number, Ok(settled)))
    }

    fn job_again(&self, number: usize) -> Job {
        let slate = &self.nodes[number];
        Job {
            cache: Arc::clone(&self.cache),
            node: Arc::clone(&slate.node),
            key: slate
                .key
                .ok_or_else(|| slate.reason.clone().unwrap_or_default()),
            digests: slate.digests.clone(),
            taken: Vec::new(),
            run: (
                self.options.run.clone(),
                u32::try_from(number).unwrap_or(u32::MAX),
            ),
            miss: Miss::Absent,
            slot: None,
        }
    }

    /// An input of an operation was found lost: settle that again first.
    fn recover(&mut self, number: usize, edge: usize, reason: &str) {
        let from = self.nodes[number].node.edges.get(edge).and_then(Edge::node);
        self.nodes[number].state = State::Idle;
        if let Some(from) = from {
            self.reopen(from, reason);
        }
        self.demand(number);
    }

    fn close(&mut self, number: usize, result: Result<Settled, Problem>) {
        let mut stack = vec![(number, result)];
        while let Some((number, result)) = stack.pop() {
            self.tell_settled(number, &result);
            let slate = &mut self.nodes[number];
            let followers = std::mem::take(&mut slate.followers);
            let dependents = std::mem::take(&mut slate.dependents);
            self.lead_followers(followers, &result, &mut stack);
            self.nodes[number].state = State::Closed(result);
            for dependent in dependents {
                stack.extend(self.advance(dependent));
            }
        }
    }

    /// Followers take a result that can be loaded; otherwise the first of them computes.
    fn lead_followers(
        &mut self,
        followers: Vec<usize>,
        result: &Result<Settled, Problem>,
        stack: &mut Vec<Closing>,
    ) {
        for follower in followers {
            let share = self.nodes[follower].node.policy.on_failure == OnFailure::Share;
            match result {
                Ok(settled) if matches!(settled.value, Value::Known(_)) => {
                    // Nobody waited for a computation where the leader had a hit itself.
                    let outcome = if settled.outcome.is_hit() {
                        settled.outcome.clone()
                    } else {
                        Outcome::Waited
                    };
                    let waited = Settled {
                        outcome,
                        spent: Duration::ZERO,
                        made: None,
                        ..settled.clone()
                    };
                    stack.push((follower, Ok(waited)));
                }
                Err(problem) if share => stack.push((follower, Err(problem.clone()))),
                _ => {
                    if let Some(key) = self.nodes[follower].key {
                        self.leaders.remove(&key);
                    }
                    self.ready.push(follower);
                }
            }
        }
    }

    /// One operation that this one needs is settled.
    fn advance(&mut self, number: usize) -> Option<Closing> {
        match &mut self.nodes[number].state {
            State::Waiting(left) => {
                *left -= 1;
                if *left == 0 {
                    self.make_ready(number)
                } else {
                    None
                }
            }
            State::Expanded(left, _) => {
                *left -= 1;
                if *left == 0 {
                    self.collapse(number)
                } else {
                    None
                }
            }
            State::Idle | State::Open | State::Closed(_) => None,
        }
    }

    /// The time, for records.
    pub(crate) fn now(&self) -> thrifty_catalog::Time {
        self.cache.wall_clock()
    }

    fn tell(&self, event: &Event) {
        (self.options.listener)(event);
    }

    fn tell_settled(&self, number: usize, result: &Result<Settled, Problem>) {
        let operation = self.nodes[number].node.operation.name().to_owned();
        let (outcome, spent, saved) = match result {
            Ok(settled) => (settled.outcome.clone(), settled.spent, settled.saved()),
            Err(problem) => (self.outcome_of(problem), Duration::ZERO, Duration::ZERO),
        };
        self.tell(&Event::Settled {
            number,
            operation,
            outcome,
            spent,
            saved,
        });
    }

    /// The outcome of an operation that has no value.
    pub fn outcome_of(&self, problem: &Problem) -> Outcome {
        match problem {
            Problem::Failed(failure) => Outcome::Failed(failure.message().to_owned()),
            Problem::Upstream(from) => {
                Outcome::UpstreamFailed(self.nodes[*from].node.operation.name().to_owned())
            }
        }
    }
}

impl Drop for Schedule<'_> {
    fn drop(&mut self) {
        (self.options.listener)(&Event::Ended);
    }
}

impl Settled {
    /// The time that a hit saved.
    pub fn saved(&self) -> Duration {
        match &self.value {
            Value::Known(answer) if self.outcome.is_hit() => answer.cost,
            _ => Duration::ZERO,
        }
    }
}

impl Slate {
    fn new(node: Node) -> Self {
        Self {
            node: Arc::new(node),
            state: State::Idle,
            dependents: Vec::new(),
            key: None,
            digests: Vec::new(),
            reason: None,
            losses: 0,
            followers: Vec::new(),
        }
    }

    /// The operations it takes from, each once.
    fn upstream(&self) -> Vec<usize> {
        let mut upstream: Vec<_> = self.node.edges.iter().filter_map(Edge::node).collect();
        upstream.sort_unstable();
        upstream.dedup();
        upstream
    }
}

impl Edge {
    /// The node it begins at, in a graph without argument edges.
    pub fn node(&self) -> Option<usize> {
        match self.from {
            From::Node(number) => Some(number),
            From::Argument(_) => None,
        }
    }
}

/// Gives an edge of an expansion its place in the whole graph.
fn place(edge: &mut Edge, base: usize, arguments: &[Edge]) {
    match edge.from {
        From::Node(number) => edge.from = From::Node(base + number),
        From::Argument(number) => {
            let argument = &arguments[number];
            edge.from = argument.from;
            edge.steps.splice(0..0, argument.steps.iter().cloned());
        }
    }
}

/// One miss, to be computed on whatever thread.
struct Job {
    cache: Arc<Cache>,
    node: Arc<Node>,
    key: Result<Key, String>,
    digests: Vec<Digest>,
    taken: Vec<Taken>,
    run: (Option<RunId>, u32),
    miss: Miss,
    slot: Option<Slot>,
}

impl Job {
    fn compute(&self, interrupted: &dyn Fn() -> bool) -> Computed {
        let body: &Arc<dyn Body> = &self.node.body;
        self.with_task(interrupted, |task| {
            self.cache
                .compute(task, self.miss, self.slot, &mut || body.run(&self.taken))
        })
    }

    /// As [`Job::compute`]; a panic of the body is its failure.
    fn compute_guarded(&self, interrupted: &dyn Fn() -> bool) -> Computed {
        let computing = std::panic::AssertUnwindSafe(|| self.compute(interrupted));
        std::panic::catch_unwind(computing).unwrap_or_else(|cause| {
            let message = format!("{} panicked", self.node.operation.name());
            let cause: Arc<dyn std::any::Any + Send + Sync> =
                Arc::new(cause.downcast_ref::<String>().cloned().unwrap_or_default());
            Computed::Failed(Failure::Raised { message, cause }, Duration::ZERO)
        })
    }

    fn with_task<T>(&self, interrupted: &dyn Fn() -> bool, act: impl FnOnce(&Task<'_>) -> T) -> T {
        act(&Task {
            operation: &self.node.operation,
            key: self.key.clone(),
            ingredients: &|| self.node.ingredients(&self.digests),
            policy: self.node.policy,
            run: self.run.clone(),
            interrupted,
        })
    }
}
