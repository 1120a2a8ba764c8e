//! Settling a graph: resolve in metadata what can be, run what must be.
//!
//! Operations become *ready* when everything they take is settled. All that are ready are looked
//! up together; hits settle at once and make others ready, so a graph of hits is
//! resolved in waves without loading a value. Misses run: on the calling thread when there is
//! nothing else to do meanwhile, on worker threads otherwise. Only what the demanded outputs
//! need is ever looked at.

mod close;
mod earlier;
mod expand;
mod halt;
mod job;
mod kept;
mod label;
mod later;
mod loss;
mod parts;
mod perform;
mod room;
mod wait;

pub use earlier::Earlier;
pub(crate) use expand::place;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use thrifty_catalog::{Request, RunId};
use thrifty_key::{Digest, Key};

use self::job::Missed;
use self::kept::Kept;
use self::label::Labels;
use self::later::Later;
use self::room::Aside;
use self::wait::PutAside;
use crate::answer::Terms;
use crate::cache::Cache;
use crate::compute::{Came, Settled, Unfinished};
use crate::event::{Event, Listener};
use crate::graph::{Edge, Failure, From, Loss, Node, Taken, Value};
use crate::lookup::Looked;
use crate::outcome::Miss;
use crate::parked::{Attempted, Parked, Resumed, Watch};
use crate::policy::Mode;
use crate::record::Draft;
use crate::workers::Workers;

/// How often a waiting run asks whether it was interrupted.
const INTERRUPT: Duration = Duration::from_millis(50);
/// How often one value may be found lost before it is kept in memory instead.
const LOSSES: u32 = 2;

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
    labels: Labels,
    leaders: HashMap<Key, usize>,
    ready: Vec<usize>,
    missed: VecDeque<(usize, Missed)>,
    /// What waits for somebody else, and holds no worker.
    parked: HashMap<usize, PutAside>,
    /// What has waited, and is among the missed again.
    resumed: HashMap<usize, Parked>,
    /// Whose reservation what waits was last told to wait for; none of this process's.
    behind: HashMap<usize, Option<u128>>,
    /// What is to be attempted once more, when its time has come.
    later: Later,
    /// The operation whose failure keeps everything from beginning that has not.
    halted: Option<usize>,
    earlier: Option<Box<dyn Earlier>>,
    running: usize,
    /// What there is no room for now.
    aside: Aside,
    /// How many operations were opened again so far.
    reopened: u64,
    workers: Workers,
    watch: Watch,
    done: (Sender<Report>, Receiver<Report>),
    kept: Kept,
    stopped: bool,
}

/// What the schedule is told by its workers, and by whoever wakes what was put aside.
enum Report {
    Started(usize),
    Attempted(usize, Missed, Box<Attempted>),
    Resumed(Resumed),
}
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
    /// Which opening again of the run its last one was, and how many there had been when its
    /// key was made and when its body began: what it takes may be another value since, and what a
    /// body found lost may have been made again.
    opened: u64,
    keyed: u64,
    began: u64,
    followers: Vec<usize>,
    /// Whether it stood behind one whose result nobody else can have: it stands behind none now.
    is_apart: bool,
    /// The operation whose body became this one and others.
    parent: Option<usize>,
    /// Time its own body took, if it failed or became other operations: theirs is not counted.
    ran: Option<Duration>,
    /// What its body depends on, if that became other operations, one of which failed.
    fell: Option<Terms>,
}

enum State {
    /// Nobody asked for it yet.
    Idle,
    /// It needs this many more operations, in whose dependents it stands.
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
    /// It never began: this operation had failed, and was to end the run.
    NotStarted(usize),
}

impl<'a> Schedule<'a> {
    /// A graph to be settled. Edges refer to nodes by their position, and never lead in a
    /// circle.
    pub fn new(cache: Arc<Cache>, nodes: Vec<Node>, options: Options<'a>) -> Self {
        let workers = Workers::new(options.workers);
        let watch = Watch::new(Arc::clone(&cache));
        let begun = Event::Begun { run: options.run.clone(), operations: nodes.len() };
        (options.listener)(&begun);
        Self {
            cache,
            options,
            nodes: nodes.into_iter().map(Slate::new).collect(),
            labels: Labels::starting_with(0),
            leaders: HashMap::new(),
            ready: Vec::new(),
            missed: VecDeque::new(),
            parked: HashMap::new(),
            resumed: HashMap::new(),
            behind: HashMap::new(),
            later: Later::default(),
            halted: None,
            earlier: None,
            running: 0,
            aside: Aside::default(),
            reopened: 0,
            workers,
            watch,
            done: mpsc::channel(),
            kept: Kept::default(),
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
            if self.halt() {
                continue;
            }
            self.bring_back();
            // What is put aside goes on as soon as it can: not after a body on this thread.
            let is_alone = self.parked.is_empty() && self.later.is_empty();
            if self.running == 0 && self.missed.len() == 1 && is_alone && self.runs_here() {
                self.run_here();
                continue;
            }
            if self.start() || !self.ready.is_empty() {
                continue;
            }
            if self.running == 0 && self.parked.is_empty() && self.later.is_empty() {
                return;
            }
            match self.done.1.recv_timeout(self.patience()) {
                Ok(Report::Started(number)) => self.tell_started(number),
                Ok(Report::Resumed(resumed)) => self.resume(resumed),
                Ok(Report::Attempted(number, missed, attempted)) => {
                    self.running -= 1;
                    self.receive(number, missed, *attempted);
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

    /// The operation whose body became this one.
    pub fn parent(&self, number: usize) -> Option<usize> {
        self.nodes[number].parent
    }

    /// Time that the body of a failed or expanded operation took.
    pub(crate) fn ran(&self, number: usize) -> Option<Duration> {
        self.nodes[number].ran
    }

    /// Time that was spent on an operation, or on finding out that it fails.
    pub fn spent(&self, number: usize) -> Duration {
        let done = self.settled(number).and_then(|settled| settled.as_ref().ok());
        let own = self.ran(number).or_else(|| done.map(|settled| settled.spent));
        own.unwrap_or_default()
    }

    /// Whether an operation was needed and has no outcome.
    pub(crate) fn is_open(&self, number: usize) -> bool {
        !matches!(self.nodes[number].state, State::Idle | State::Closed(_))
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

    /// Marks an operation and all it needs as needed.
    fn demand(&mut self, number: usize) {
        let mut stack = vec![number];
        while let Some(number) = stack.pop() {
            if !matches!(self.nodes[number].state, State::Idle) {
                continue;
            }
            let upstream = self.nodes[number].node.upstream();
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
            // The first is looked at first.
            stack.extend(open.into_iter().rev());
        }
    }

    /// Everything it takes is settled: it is looked up next, or fails with what it needs.
    fn make_ready(&mut self, number: usize) -> Option<Closing> {
        let node = &self.nodes[number].node;
        let mut upstream = node.upstream().into_iter();
        if !node.body.takes_failures()
            && let Some(from) = upstream.find(|from| self.has_failed(*from))
        {
            return Some((number, Err(self.problem_behind(from))));
        }
        self.nodes[number].state = State::Open;
        self.ready.push(number);
        None
    }

    fn is_closed(&self, number: usize) -> bool {
        matches!(self.nodes[number].state, State::Closed(_))
    }

    fn has_failed(&self, number: usize) -> bool {
        matches!(self.nodes[number].state, State::Closed(Err(_)))
    }

    /// Looks up everything that is ready, with one request.
    fn resolve(&mut self) {
        let mut requests = Vec::new();
        let mut asking = Vec::new();
        for number in std::mem::take(&mut self.ready) {
            let Some(taken) = self.inputs(number) else {
                continue;
            };
            self.derive_key(number, &taken);
            if let Some(settled) = self.earlier_result(number) {
                self.close(number, Ok(settled));
                continue;
            }
            let slate = &self.nodes[number];
            let policy = slate.node.policy;
            let Some(key) = slate.key.filter(|_| policy.mode != Mode::Off) else {
                self.missed.push_back((number, (Miss::Absent, None)));
                continue;
            };
            if slate.losses >= LOSSES {
                self.missed.push_back((number, (Miss::Unreadable, None)));
            } else if self.follows(number, key) {
                continue;
            } else if policy.mode.reads() {
                let max_age = policy.max_age;
                requests.push(Request { key, max_age });
                asking.push(number);
            } else {
                let target = self.cache.slot(&key);
                self.missed.push_back((number, (Miss::Refresh, target)));
            }
        }
        let found = self.cache.look_all(&requests);
        self.protect(&found);
        for (number, looked) in asking.into_iter().zip(found) {
            self.looked_up(number, looked);
        }
    }

    fn looked_up(&mut self, number: usize, looked: Looked) {
        let slate = &self.nodes[number];
        match looked {
            Looked::Hit(answer, outcome) if slate.losses == 0 || self.cache.is_whole(&answer) => {
                let settled = Settled {
                    entry: answer.entry,
                    value: Value::Known(answer),
                    outcome,
                    came: Came::Now,
                    spent: Duration::ZERO,
                    alone: None,
                    made: None,
                };
                self.close(number, Ok(settled));
            }
            Looked::Hit(answer, _) => {
                let missed = slate.key.map(|key| {
                    let miss = self.cache.discard(&key, &answer, Loss::Bytes);
                    (miss, self.cache.slot(&key))
                });
                self.missed.push_back((number, missed.unwrap_or((Miss::Unreadable, None))));
            }
            Looked::Miss(Miss::Absent, target) if slate.losses > 0 => {
                self.missed.push_back((number, (Miss::Unreadable, target)));
            }
            Looked::Miss(miss, target) => self.missed.push_back((number, (miss, target))),
        }
    }

    /// Whether another operation of this run has the key and settles it for this one, too.
    fn follows(&mut self, number: usize, key: Key) -> bool {
        if self.nodes[number].is_apart || self.cache.flights.is_failing(&key) {
            return false;
        }
        let leader = *self.leaders.entry(key).or_insert(number);
        if leader == number {
            return false;
        }
        let node = &self.nodes[number].node;
        match &self.nodes[leader].state {
            State::Closed(Ok(settled)) if matches!(settled.value, Value::Known(_)) => {
                // What this run has just computed is not computed afresh once more.
                let fresh = node.policy.mode == Mode::Refresh
                    && settled.outcome.ran()
                    && self.cache.holds(settled.value.observed());
                if fresh && self.nodes[number].losses == 0 {
                    let followed = close::followed(settled);
                    self.close(number, Ok(followed));
                    return true;
                }
                false
            }
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

    fn derive_key(&mut self, number: usize, taken: &[Taken]) {
        let node = Arc::clone(&self.nodes[number].node);
        let language = self.cache.class_code();
        let contributions: Vec<_> =
            taken.iter().map(|taken| taken.value.input_at(&taken.steps, language)).collect();
        let slate = &mut self.nodes[number];
        // Opened again, it may have another key, or none.
        (slate.key, slate.reason, slate.ran) = (None, None, None);
        slate.keyed = self.reopened;
        match (&node.unkeyed, node.input_digests(&contributions)) {
            (Some(reason), _) => slate.reason = Some(reason.clone()),
            (None, Err(_)) => slate.reason = Some("it takes a value that has no digest".to_owned()),
            (None, Ok(digests)) => {
                slate.key = Some(node.operation.key(digests.iter().copied()));
                slate.digests = digests.into_iter().map(|(_, digest)| digest).collect();
            }
        }
    }

    /// What an operation takes. If something of it was opened again since the operation became
    /// ready, it waits for that once more.
    fn inputs(&mut self, number: usize) -> Option<Vec<Taken>> {
        let node = Arc::clone(&self.nodes[number].node);
        if node.edges.iter().any(|edge| edge.node().is_none()) {
            let message = format!("{} takes an argument of no operation", node.operation.name());
            let cause = Arc::new(message.clone());
            let failure = Failure::raised(message, cause);
            self.close(number, Err(Problem::Failed(failure)));
            return None;
        }
        let taken = match node.body.takes_failures() {
            true => node.edges.iter().map(|edge| self.take_any(edge)).collect(),
            false => self.take_all(&node.edges),
        };
        if taken.is_none() {
            self.begin_anew(number);
        }
        taken
    }

    /// What an operation takes, if that is what its key was made of. If something of it was opened
    /// again since, it may be another value by now: the operation gets its key anew.
    fn keyed_inputs(&mut self, number: usize) -> Option<Vec<Taken>> {
        if self.is_keyed_by_the_past(number) {
            self.begin_anew(number);
            return None;
        }
        self.inputs(number)
    }

    /// Whether something that an operation takes was opened again since its key was made.
    fn is_keyed_by_the_past(&self, number: usize) -> bool {
        let slate = &self.nodes[number];
        slate.node.upstream().into_iter().any(|from| self.nodes[from].opened > slate.keyed)
    }

    /// Has an operation wait for what it takes, and looked up again. What it waited for under the
    /// key it had is of no use to it.
    fn begin_anew(&mut self, number: usize) {
        self.resumed.remove(&number);
        self.unlead(number);
        self.nodes[number].state = State::Idle;
        self.demand(number);
    }

    /// What the edges lead to, in their order; `None` unless all of it is settled.
    fn take_all(&self, edges: &[Edge]) -> Option<Vec<Taken>> {
        edges.iter().map(|edge| self.take(edge)).collect()
    }

    /// What an edge leads to, if it is settled.
    pub fn take(&self, edge: &Edge) -> Option<Taken> {
        let From::Node(from) = edge.from else {
            return None;
        };
        match &self.nodes[from].state {
            State::Closed(Ok(settled)) => {
                Some(Taken { value: settled.value.clone(), steps: edge.steps.clone() })
            }
            _ => None,
        }
    }

    /// What an edge leads to, also if that failed.
    fn take_any(&self, edge: &Edge) -> Option<Taken> {
        let from = edge.node()?;
        match &self.nodes[from].state {
            State::Closed(Err(_)) => {
                Some(Taken { value: Value::failed(), steps: edge.steps.clone() })
            }
            _ => self.take(edge),
        }
    }

    /// The time, for records.
    pub(crate) fn now(&self) -> thrifty_catalog::Time {
        self.cache.wall_clock()
    }

    fn tell(&self, event: &Event) {
        (self.options.listener)(event);
    }
}

impl Drop for Schedule<'_> {
    fn drop(&mut self) {
        (self.options.listener)(&Event::Ended);
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
            opened: 0,
            keyed: 0,
            began: 0,
            followers: Vec::new(),
            is_apart: false,
            parent: None,
            ran: None,
            fell: None,
        }
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
