//! What would a run do? The graph is looked up as a run would look it up, and nothing else is
//! done: no body runs, nothing is reserved or stored, no history is written.
//!
//! What takes the output of an operation that would run has no key yet. Whether it would run
//! depends on whether that output will be another one: it [may run](Forecast::MayRun). Nested
//! workflows are taken apart, as that computes nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{Node as Record, Request, Time};
use thrifty_key::plain::{self, PlainError};
use thrifty_key::{Digest, Ingredients, Key, Kind, Part};

use crate::answer::Terms;
use crate::cache::Cache;
use crate::graph::{Edge, Expansion, Failure, Node, Taken, Value};
use crate::lookup::Looked;
use crate::operation::Operation;
use crate::outcome::{Miss, Outcome};
use crate::policy::Mode;
use crate::record::Draft;
use crate::schedule::place;

/// What would become of the operations of a graph.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The operations, by number.
    pub nodes: Vec<Planned>,
    /// Source texts that their ingredients refer to, and that the catalog may not have.
    pub(crate) texts: HashMap<Digest, String>,
    /// Those that were taken apart: their operations stand for them.
    pub(crate) apart: HashSet<u32>,
}

/// What would become of one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The operation as the history would keep it, as far as that can be known.
    pub node: Record,
    /// What would become of it.
    pub forecast: Forecast,
}

/// What would become of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forecast {
    /// Its result is known.
    Hit,
    /// It would take the result of another operation of the same key.
    WouldWait,
    /// It would run if what it takes is not what it was.
    MayRun,
    /// It would run.
    WouldRun,
}

impl Forecast {
    /// What is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::WouldWait => "would-wait",
            Self::MayRun => "may-run",
            Self::WouldRun => "would-run",
        }
    }
}

impl Plan {
    /// What would become of the operation of this number.
    pub fn forecast(&self, number: u32) -> Forecast {
        self.at(number).map_or(Forecast::Hit, |planned| planned.forecast)
    }

    /// The inputs of an operation that hold outputs which are not known yet.
    pub(crate) fn pending(&self, number: u32) -> Vec<&str> {
        let is_known =
            |ingredients: &Ingredients, name: &str| ingredients.part(Kind::Inputs, name).is_some();
        let Some(planned) = self.at(number).filter(|planned| planned.node.key.is_none()) else {
            return Vec::new();
        };
        let Some(ingredients) = &planned.node.ingredients else {
            return Vec::new();
        };
        let taken = planned.node.takes.iter().map(|(name, _)| name.as_str());
        taken.filter(|name| !is_known(ingredients, name)).collect()
    }

    fn at(&self, number: u32) -> Option<&Planned> {
        self.nodes.get(usize::try_from(number).ok()?)
    }
}

/// Plans a graph. Edges refer to nodes by their position, and never lead in a circle.
///
/// # Errors
///
/// [`Failure`] of a nested workflow, while its operations were told.
pub fn plan(cache: &Cache, nodes: Vec<Node>) -> Result<Plan, Failure> {
    let mut planner = Planner { cache, slots: Vec::new(), leaders: HashSet::new() };
    planner.add(nodes, None);
    planner.settle()?;
    let now = cache.wall_clock();
    let nodes = (0..planner.slots.len()).map(|number| planner.planned(number, now)).collect();
    let apart = planner.slots.iter().filter_map(|slot| slot.parent).map(numbered).collect();
    Ok(Plan { nodes, texts: planner.texts(), apart })
}

/// The outcome of an operation for which others stand.
const EXPANDED: &str = Outcome::Expanded.word();

struct Planner<'a> {
    cache: &'a Cache,
    slots: Vec<Slot>,
    /// Keys that an operation of this plan would compute.
    leaders: HashSet<Key>,
}

struct Slot {
    node: Arc<Node>,
    parent: Option<usize>,
    dependents: Vec<usize>,
    /// How many operations it waits for.
    waits: usize,
    state: State,
    key: Option<Key>,
    /// The digests of its inputs, where they are known.
    digests: Vec<Option<Digest>>,
    made: Made,
    /// The output, if it is known.
    value: Option<Value>,
}

enum State {
    /// Nothing is known of it yet.
    Open,
    /// It became other operations; its value is made of their outputs.
    Parts(Draft, Vec<Edge>),
    /// All is known that can be.
    Done,
}

/// What would become of an operation.
#[derive(Clone)]
struct Made {
    forecast: Forecast,
    outcome: &'static str,
    detail: String,
    saved: Duration,
}

impl Made {
    fn new(forecast: Forecast, outcome: &'static str, detail: &str) -> Self {
        Self { forecast, outcome, detail: detail.to_owned(), saved: Duration::ZERO }
    }
}

impl Planner<'_> {
    fn add(&mut self, nodes: Vec<Node>, parent: Option<usize>) {
        let base = self.slots.len();
        self.slots.extend(nodes.into_iter().map(|node| Slot {
            node: Arc::new(node),
            parent,
            dependents: Vec::new(),
            waits: 0,
            state: State::Open,
            key: None,
            digests: Vec::new(),
            made: Made::new(Forecast::MayRun, "computed", ""),
            value: None,
        }));
        for number in base..self.slots.len() {
            let node = Arc::clone(&self.slots[number].node);
            self.wait_for(number, &node.edges);
        }
    }

    fn wait_for(&mut self, number: usize, edges: &[Edge]) {
        let mut upstream: Vec<_> = edges.iter().filter_map(Edge::node).collect();
        upstream.sort_unstable();
        upstream.dedup();
        upstream.retain(|from| !matches!(self.slots[*from].state, State::Done));
        self.slots[number].waits = upstream.len();
        for from in upstream {
            self.slots[from].dependents.push(number);
        }
    }

    /// Decides all operations, those together that are ready at the same time.
    fn settle(&mut self) -> Result<(), Failure> {
        let mut ready = self.waiting_for_nothing(0);
        while !ready.is_empty() {
            let (mut decided, mut asking) = (Vec::new(), Vec::new());
            for number in std::mem::take(&mut ready) {
                match self.request(number) {
                    Some(request) => asking.push((number, request)),
                    None => decided.push(number),
                }
            }
            let requests: Vec<_> = asking.iter().map(|(_, request)| *request).collect();
            for ((number, _), looked) in asking.into_iter().zip(self.cache.look_all(&requests)) {
                self.looked_up(number, looked);
                decided.push(number);
            }
            for number in decided {
                let first = self.slots.len();
                if self.becomes_others(number)? {
                    ready.extend(self.waiting_for_nothing(first));
                    ready.extend((self.slots[number].waits == 0).then_some(number));
                } else {
                    self.close(number, &mut ready);
                }
            }
        }
        Ok(())
    }

    fn waiting_for_nothing(&self, first: usize) -> Vec<usize> {
        (first..self.slots.len()).filter(|number| self.slots[*number].waits == 0).collect()
    }

    fn close(&mut self, number: usize, ready: &mut Vec<usize>) {
        self.slots[number].state = State::Done;
        for dependent in std::mem::take(&mut self.slots[number].dependents) {
            self.slots[dependent].waits -= 1;
            ready.extend((self.slots[dependent].waits == 0).then_some(dependent));
        }
    }

    /// Everything it takes, or became, is decided: what is to be looked up, if it is not decided
    /// without asking.
    fn request(&mut self, number: usize) -> Option<Request> {
        if matches!(self.slots[number].state, State::Parts(..)) {
            self.gather(number);
            return None;
        }
        let node = Arc::clone(&self.slots[number].node);
        let policy = node.policy;
        self.slots[number].digests = self.digests(&node);
        let certain = self.certain(number);
        if policy.mode == Mode::Off || node.unkeyed.is_some() {
            let reason = node.unkeyed.as_deref().unwrap_or_default();
            self.slots[number].made = Made::new(certain, "uncached", reason);
            return None;
        }
        let known: Option<Vec<Digest>> = self.slots[number].digests.iter().copied().collect();
        let key = known.map(|known| {
            let names = node.inputs.iter().map(|input| input.name.as_str());
            node.operation.key(names.zip(known))
        });
        self.slots[number].key = key;
        if key.is_some_and(|key| self.leaders.contains(&key)) {
            self.slots[number].made = Made::new(Forecast::WouldWait, "waited", "");
            return None;
        }
        if !policy.mode.reads() {
            self.leaders.extend(key);
            self.slots[number].made = Made::new(certain, "computed", Miss::Refresh.word());
            return None;
        }
        Some(Request { key: key?, max_age: policy.max_age })
    }

    /// The digests of its inputs, where everything in them is known.
    fn digests(&self, node: &Node) -> Vec<Option<Digest>> {
        let contribution = |number: u64| {
            let edge = node.edges.get(usize::try_from(number).ok()?)?;
            self.slots[edge.node()?].value.as_ref()?.contribution_at(&edge.steps)
        };
        let digest = |encoding: &[u8]| {
            let mut outputs = |number| contribution(number).ok_or(PlainError::Edge(number));
            plain::fold(encoding, &mut outputs).ok()
        };
        node.inputs.iter().map(|input| digest(&input.encoding)).collect()
    }

    /// What becomes of an operation that has no result: it would run if whatever it is a part of
    /// would.
    fn certain(&self, number: usize) -> Forecast {
        let mut parent = self.slots[number].parent;
        while let Some(above) = parent {
            let made = &self.slots[above].made;
            if made.forecast != Forecast::WouldRun && made.outcome != EXPANDED {
                return Forecast::MayRun;
            }
            parent = self.slots[above].parent;
        }
        Forecast::WouldRun
    }

    fn looked_up(&mut self, number: usize, looked: Looked) {
        let certain = self.certain(number);
        let slot = &mut self.slots[number];
        match looked {
            Looked::Hit(answer, outcome) => {
                slot.made = Made::new(Forecast::Hit, outcome.word(), "");
                slot.made.saved = answer.cost;
                slot.value = Some(Value::Known(answer));
            }
            Looked::Miss(..) if slot.key.is_some_and(|key| !self.leaders.insert(key)) => {
                slot.made = Made::new(Forecast::WouldWait, "waited", "");
            }
            Looked::Miss(miss, _) => {
                slot.made = Made::new(certain, "computed", &Outcome::Computed(miss).detail());
            }
        }
    }

    /// Takes a nested workflow apart that is not a hit: its operations come into the plan.
    fn becomes_others(&mut self, number: usize) -> Result<bool, Failure> {
        let slot = &self.slots[number];
        let would = matches!(slot.made.forecast, Forecast::WouldRun | Forecast::MayRun);
        if !would || !matches!(slot.state, State::Open) {
            return Ok(false);
        }
        let node = Arc::clone(&slot.node);
        let Some(expansion) = node.body.outline() else {
            return Ok(false);
        };
        let Expansion { mut nodes, mut edges, output, .. } = expansion?;
        let (base, count) = (self.slots.len(), nodes.len());
        let mut every = nodes.iter_mut().flat_map(|node| node.edges.iter_mut()).chain(&mut edges);
        if !every.all(|edge| place(edge, base, count, &node.edges)) {
            return Ok(false);
        }
        self.add(nodes, Some(number));
        self.wait_for(number, &edges);
        let slot = &mut self.slots[number];
        slot.state = State::Parts(output, edges);
        // One without a key stands for its operations, and is nothing itself.
        if node.unkeyed.is_some() {
            slot.made = Made::new(Forecast::Hit, EXPANDED, "");
        }
        Ok(true)
    }

    /// All that a nested workflow became is decided. If every part of its value is known, so is
    /// the value.
    fn gather(&mut self, number: usize) {
        let state = std::mem::replace(&mut self.slots[number].state, State::Done);
        let State::Parts(output, edges) = state else {
            return;
        };
        let take = |edge: &Edge| {
            let value = self.slots[edge.node()?].value.clone()?;
            Some(Taken { value, steps: edge.steps.clone() })
        };
        let taken: Option<Vec<Taken>> = edges.iter().map(take).collect();
        let outline = taken.and_then(|taken| output.outline(&taken));
        self.slots[number].value = outline.map(|outline| Value::Live {
            object: Arc::new(()),
            contribution: outline.contribution().ok(),
            outline: Some(Arc::new(outline)),
            // Nothing is stored of a plan.
            terms: Terms::default(),
        });
    }

    /// The source texts of what would run.
    fn texts(&self) -> HashMap<Digest, String> {
        let running = self.slots.iter().filter(|slot| slot.made.forecast > Forecast::WouldWait);
        let operations: HashMap<*const Operation, &Operation> = running
            .map(|slot| (Arc::as_ptr(&slot.node.operation), slot.node.operation.as_ref()))
            .collect();
        operations.values().flat_map(|operation| operation.texts()).cloned().collect()
    }

    fn planned(&self, number: usize, at: Time) -> Planned {
        let Slot { node, parent, key, digests, made, value, .. } = &self.slots[number];
        let known = node.inputs.iter().zip(digests).filter_map(|(input, digest)| {
            let part = Part { digest: (*digest)?, preview: input.preview.clone() };
            Some((input.name.clone(), part))
        });
        let answer = match value {
            Some(Value::Known(answer)) => Some(answer),
            _ => None,
        };
        let record = Record {
            number: numbered(number),
            operation: node.operation.name().to_owned(),
            key: *key,
            ingredients: (![EXPANDED, "uncached"].contains(&made.outcome))
                .then(|| node.operation.ingredients(known)),
            outcome: made.outcome.to_owned(),
            detail: made.detail.clone(),
            reason: String::new(),
            rule: node.policy.rule.word().to_owned(),
            entry: answer.and_then(|answer| answer.entry),
            source: answer.and_then(|answer| answer.run.clone()),
            output_digest: value.as_ref().and_then(Value::digest),
            count: 1,
            at,
            spent: Duration::ZERO,
            saved: made.saved,
            upstream: node.upstream().into_iter().map(numbered).collect(),
            takes: node.takes(),
            parent: parent.map(numbered),
        };
        Planned { node: record, forecast: made.forecast }
    }
}

fn numbered(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
