//! Why did it run, why did it not, and why would it?
//!
//! A node of a run, or of a plan, is compared ingredient by ingredient with the nearest earlier
//! call of the same operation. Of a cascade of misses the [`Root`]s say what began it: each
//! difference that is an operation's own, with the operations that had it and those that ran only
//! because one of these gave another output.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;
use thrifty_catalog::{Catalog, CatalogError, Node, Run, RunId, Scope, Time};
use thrifty_key::explain::Difference;
use thrifty_key::{Digest, Ingredients, Kind};

use crate::notes::{Unseen, noted};
use crate::outcome::observed_change;
use crate::plan::{Forecast, Plan};
use crate::removal;

mod calls;
mod difference;
mod history;
mod label;
mod root;

use calls::Nearest;
use difference::Texts;
use history::{History, ingredients_of};

pub use difference::unified_diff;
pub use label::labels;
pub use root::{Cause, Root};

/// What may be shown in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// The explanation of a run or a plan, or of some of its nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The run; `None` for a plan.
    pub run: Option<RunId>,
    /// What made nodes run, that which cost most first.
    pub roots: Vec<Root>,
    /// The nodes, those first that did not run for an upstream's output alone, then by number.
    pub nodes: Vec<Explained>,
    /// How many nodes of the run or plan are hits.
    pub hits: usize,
    /// What those hits save.
    pub saved: Duration,
    /// What bodies of its operations did that no key can hold; of a hit, when it was
    /// computed.
    pub unseen: Vec<Unseen>,
}

/// Why one node has its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The number of the node.
    pub node: u32,
    /// The operation.
    pub operation: String,
    /// What tells it from other calls of the operation in this run; may be empty.
    pub label: String,
    /// How many calls of the operation this run makes.
    pub calls: usize,
    /// The word of the outcome, or of the forecast.
    pub outcome: String,
    /// The reason, in one word.
    pub reason: Reason,
    /// More about the reason, for people; may be empty.
    pub detail: String,
    /// The earlier call it was compared with.
    pub against: Option<Against>,
    /// What differs from that call.
    pub differences: Vec<Shown>,
    /// Time its body took; in a plan, time it took when it last ran.
    pub spent: Duration,
}

/// Why a node has its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The result was taken from the cache.
    Hit,
    /// Nothing comparable was called before this run; or only what this run calls as well.
    FirstTime,
    /// Something of its own differs from every earlier call.
    Changed,
    /// The same call was made before, and something that its body observed is not so any more.
    Observed,
    /// Only outputs of upstream operations differ from the nearest earlier call.
    Upstream,
    /// The same call was made before, and its result was not there or not to be used.
    NotReused,
    /// The cache was off for it, or it had no key.
    Uncached,
    /// It did not run: something it needs failed, or the run was cancelled.
    NotRun,
    /// What its key was made of is no longer known.
    Unknown,
}

/// The earlier call a node was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// The run it belonged to.
    pub run: Option<RunId>,
    /// Its number in that run.
    pub node: u32,
    /// When it was settled.
    pub at: Time,
}

/// One difference, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The kind of ingredient.
    pub kind: Kind,
    /// The name of the part.
    pub name: String,
    /// `added`, `removed`, `changed`; or `pending` for an input that a plan cannot know.
    pub change: &'static str,
    /// What may be shown of the earlier part; of source text, if it is one line.
    pub old: Option<String>,
    /// What may be shown of this part; of source text, if it is one line.
    pub new: Option<String>,
    /// The unified difference of longer source texts.
    pub diff: Option<String>,
    /// The upstream nodes whose outputs it came from.
    pub upstream: Vec<Upstream>,
    /// Both digests: equal ones are the same edit, whatever operation it was found at.
    pub(crate) digests: (Option<Digest>, Option<Digest>),
}

/// An upstream node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its number.
    pub node: u32,
    /// Its operation.
    pub operation: String,
}

/// Explains the nodes of these numbers, or every node of the run that was not a hit.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be read.
pub fn explain(
    catalog: &dyn Catalog,
    run: &Run,
    numbers: Option<&[u32]>,
) -> Result<Explanation, CatalogError> {
    let nodes = catalog.nodes(&run.id)?.into_iter().map(|node| (node.number, node)).collect();
    let subject = Subject { scope: &run.scope, name: &run.name, run: Some(run), nodes, plan: None };
    subject.explain(catalog, numbers)
}

/// Explains what would run, and what may.
///
/// # Errors
///
/// As [`explain`].
pub fn foresee(
    catalog: &dyn Catalog,
    scope: &Scope,
    name: &str,
    plan: &Plan,
) -> Result<Explanation, CatalogError> {
    let nodes = plan.nodes.iter().map(|planned| (planned.node.number, planned.node.clone()));
    let subject = Subject { scope, name, run: None, nodes: nodes.collect(), plan: Some(plan) };
    subject.explain(catalog, None)
}

/// Whether the body ran, or began to.
pub fn has_run(node: &Node) -> bool {
    let idle = ["waited", "expanded", "skipped", "cancelled", "upstream-failed", "not-started"];
    !is_hit(&node.outcome) && !idle.contains(&node.outcome.as_str())
}

/// Whether the word stands for a result that was taken from the cache.
pub fn is_hit(outcome: &str) -> bool {
    outcome.starts_with("hit")
}

/// What is explained: a run, or a plan.
struct Subject<'a> {
    scope: &'a Scope,
    name: &'a str,
    run: Option<&'a Run>,
    nodes: BTreeMap<u32, Node>,
    plan: Option<&'a Plan>,
}

impl Subject<'_> {
    fn explain(
        &self,
        catalog: &dyn Catalog,
        numbers: Option<&[u32]>,
    ) -> Result<Explanation, CatalogError> {
        let ran = self.nodes.values().filter(|node| has_run(node)).map(|node| node.number);
        let asked = numbers.unwrap_or_default().iter().copied();
        let asked = asked.filter(|number| self.nodes.contains_key(number));
        let wanted: BTreeSet<u32> = ran.chain(asked).collect();
        let wanted: Vec<&Node> = wanted.iter().map(|number| &self.nodes[number]).collect();
        let mut history = History::load(catalog, self, &wanted)?;
        let compared = Compared::new(self, &wanted, &mut history);
        let mut calls: HashMap<&str, usize> = HashMap::new();
        self.nodes.values().for_each(|node| *calls.entry(&node.operation).or_default() += 1);
        let labels = label::labels_of(&wanted, history.all_ingredients());
        let texts = Texts::new(catalog, self.plan.map(|plan| &plan.texts));
        let certain = RefCell::default();
        let explainer =
            Explainer { subject: self, history: &history, compared, labels, calls, texts, certain };
        let mut nodes = Vec::with_capacity(wanted.len());
        for node in wanted {
            nodes.push(explainer.node(node)?);
        }
        let mut roots = root::find(&nodes);
        if let Some(numbers) = numbers {
            nodes.retain(|node| numbers.contains(&node.node));
            roots.retain(|root| root.nodes().any(|number| numbers.contains(&number)));
        }
        nodes.sort_by_key(|node| (node.reason == Reason::Upstream, node.node));
        let hits = self.nodes.values().filter(|node| is_hit(&node.outcome));
        let (hits, saved) = hits.fold((0, Duration::ZERO), |(count, saved), node| {
            (count + 1, saved.saturating_add(node.saved))
        });
        let is_meant = |node: &&Node| numbers.is_none_or(|numbers| numbers.contains(&node.number));
        let unseen = unseen(catalog, self.scope, self.nodes.values().filter(is_meant))?;
        let run = self.run.map(|run| run.id.clone());
        Ok(Explanation { run, roots, nodes, hits, saved, unseen })
    }

    /// The inputs of a planned node that hold outputs which are not known yet.
    fn pending(&self, node: &Node) -> Vec<&str> {
        self.plan.map(|plan| plan.pending(node.number)).unwrap_or_default()
    }
}

/// Each node's nearest earlier call and the differences to it.
struct Compared(BTreeMap<u32, Nearest>);

impl Compared {
    fn new(subject: &Subject<'_>, nodes: &[&Node], history: &mut History) -> Self {
        let with_nearest = nodes
            .iter()
            .filter_map(|node| Some((node.number, history.nearest(node, &subject.pending(node))?)));
        Self(with_nearest.collect())
    }
}

struct Explainer<'a> {
    subject: &'a Subject<'a>,
    history: &'a History,
    compared: Compared,
    labels: BTreeMap<u32, String>,
    calls: HashMap<&'a str, usize>,
    texts: Texts<'a>,
    /// Planned nodes that would run whatever others give; those around come first.
    certain: RefCell<BTreeSet<u32>>,
}

impl Explainer<'_> {
    fn node(&self, node: &Node) -> Result<Explained, CatalogError> {
        let mut explained = Explained {
            node: node.number,
            operation: node.operation.clone(),
            label: self.labels.get(&node.number).cloned().unwrap_or_default(),
            calls: self.calls.get(node.operation.as_str()).copied().unwrap_or(1),
            outcome: node.outcome.clone(),
            reason: Reason::Unknown,
            detail: String::new(),
            against: None,
            differences: Vec::new(),
            spent: node.spent,
        };
        match self.history.ingredients(node) {
            _ if is_hit(&node.outcome) || node.outcome == "waited" => {
                explained.reason = Reason::Hit;
                explained.detail = hit_detail(node);
            }
            _ if !has_run(node) => {
                explained.reason = Reason::NotRun;
                explained.detail.clone_from(&node.detail);
            }
            // A reader that stores nothing looks up all the same.
            _ if node.outcome == "uncached" && !node.detail.starts_with("read-only") => {
                explained.reason = Reason::Uncached;
                explained.detail = uncached_detail(node);
            }
            Some(ingredients) => self.miss(node, ingredients, &mut explained)?,
            None => match self.why_not_reused(node, None, &mut explained)? {
                Some(detail) => {
                    explained.reason = Reason::NotReused;
                    explained.detail = detail;
                }
                None => {
                    "what its key was made of is no longer known".clone_into(&mut explained.detail)
                }
            },
        }
        self.foresee(node, &mut explained);
        Ok(explained)
    }

    fn miss(
        &self,
        node: &Node,
        ingredients: &Ingredients,
        explained: &mut Explained,
    ) -> Result<(), CatalogError> {
        let compared = self.compared.0.get(&node.number);
        let earlier = compared.and_then(|it| self.history.call(&node.operation, it.call));
        explained.against = earlier.map(calls::Earlier::reference);
        if let Some(change) = observed_change(&node.detail).filter(|_| node.outcome == "computed") {
            explained.reason = Reason::Observed;
            change.clone_into(&mut explained.detail);
            return Ok(());
        }
        if let Some(detail) = self.why_not_reused(node, compared, explained)? {
            explained.reason = Reason::NotReused;
            explained.detail = detail;
            return Ok(());
        }
        let (Some(earlier), Some(compared)) = (earlier, compared) else {
            explained.reason = Reason::FirstTime;
            if self.history.has_seen(&node.operation) {
                explained.reason = Reason::Unknown;
                "nothing is left of its earlier calls".clone_into(&mut explained.detail);
            }
            return Ok(());
        };
        explained.differences = self.shown(node, ingredients, earlier, compared)?;
        let of_inputs = |difference: &Difference| difference.kind == Kind::Inputs;
        let is_new = !compared.differences.is_empty() && compared.differences.iter().all(of_inputs);
        let is_new = is_new && self.history.calls_again(earlier);
        let has_run = |from: &Upstream| self.subject.nodes.get(&from.node).is_some_and(has_run);
        let ran_before = |shown: &Shown| shown.upstream.iter().any(has_run);
        let is_taken = |shown: &Shown| !shown.upstream.is_empty();
        let is_sibling = earlier.run.is_some() && earlier.run == self.history.run;
        explained.reason = if !is_sibling && explained.differences.iter().all(ran_before) {
            Reason::Upstream
        } else if is_new {
            Reason::FirstTime
        } else if explained.differences.iter().all(is_taken) {
            Reason::Upstream
        } else {
            Reason::Changed
        };
        Ok(())
    }

    /// Why the result of an earlier call with the same key was not taken, if there was one.
    fn why_not_reused(
        &self,
        node: &Node,
        compared: Option<&Nearest>,
        explained: &mut Explained,
    ) -> Result<Option<String>, CatalogError> {
        if let Some(stated) = stated_reason(node) {
            return Ok(Some(stated.to_owned()));
        }
        let Some(key) = node.key else { return Ok(None) };
        let nearest = compared.filter(|nearest| nearest.differences.is_empty());
        let nearest = nearest.and_then(|it| self.history.call(&node.operation, it.call));
        let absence = match (nearest, self.history.seen(node)) {
            (Some(earlier), _) => earlier.absence(),
            (None, Some(seen)) => {
                explained.against = Some(seen.against.clone());
                seen.absence
            }
            (None, None) => return Ok(None),
        };
        let since = explained.against.as_ref().map(|against| against.at);
        if let (history::GONE, Some(since)) = (absence, since)
            && let Some(told) =
                removal::told(self.texts.catalog(), self.subject.scope, &key, since)?
        {
            return Ok(Some(told));
        }
        Ok(Some(absence.to_owned()))
    }

    /// Whether a planned node whose inputs are not all known would run all the same: no entry
    /// answers a key of which a part that is known differs from all of them.
    fn would_run(&self, node: &Node) -> bool {
        let compared = self.compared.0.get(&node.number);
        let is_new = compared.is_none_or(|nearest| !nearest.differences.is_empty());
        let is_missing = node.key.is_some() || is_new && self.history.is_whole(&node.operation);
        is_missing && node.parent.is_none_or(|parent| self.certain.borrow().contains(&parent))
    }

    /// Of a plan: what is certain and what is not, and how long it took before.
    fn foresee(&self, node: &Node, explained: &mut Explained) {
        let Some(plan) = self.subject.plan else {
            return;
        };
        let compared = self.compared.0.get(&node.number);
        let earlier = compared.and_then(|it| self.history.call(&node.operation, it.call));
        let own = earlier.filter(|_| !plan.apart.contains(&node.number));
        explained.spent = own.map(|earlier| earlier.cost).unwrap_or_default();
        let mut forecast = plan.forecast(node.number);
        if forecast == Forecast::MayRun && self.would_run(node) {
            forecast = Forecast::WouldRun;
        }
        if forecast == Forecast::WouldRun {
            self.certain.borrow_mut().insert(node.number);
        }
        forecast.word().clone_into(&mut explained.outcome);
    }
}

/// What bodies of the operations of these nodes did unseen, hits included: of each operation what
/// is known of its first node.
fn unseen<'a>(
    catalog: &dyn Catalog,
    scope: &Scope,
    nodes: impl Iterator<Item = &'a Node>,
) -> Result<Vec<Unseen>, CatalogError> {
    let mut firsts: BTreeMap<&str, &Node> = BTreeMap::new();
    for node in nodes.filter(|node| node.entry.is_some() || node.ingredients.is_some()) {
        firsts.entry(&node.operation).or_insert(node);
    }
    let known = ingredients_of(catalog, scope, firsts.values().copied())?;
    let mut all = Vec::new();
    for (operation, node) in firsts {
        let Some(ingredients) = known.get(&node.number) else { continue };
        let noted = noted(catalog, ingredients)?.into_iter();
        all.extend(noted.map(|note| Unseen { operation: operation.to_owned(), note }));
    }
    Ok(all)
}

/// Why the cache was not used although the key may have been known, if the node says so.
fn stated_reason(node: &Node) -> Option<&str> {
    let stated = ["expired", "too old", "unreadable entry", "refresh", "cache unavailable"];
    stated.into_iter().find(|reason| node.detail == *reason)
}

fn hit_detail(node: &Node) -> String {
    match &node.source {
        Some(run) => format!("computed in run {run}"),
        None => node.detail.clone(),
    }
}

fn uncached_detail(node: &Node) -> String {
    let switched_off = match node.rule.as_str() {
        _ if !node.detail.is_empty() && node.detail != node.rule => return node.detail.clone(),
        "operation at run time" => "for this operation, when the run was started",
        "run" => "for the whole run",
        "invocation" => "at this call",
        "definition" => "at its definition",
        "workflow" => "at the definition of the workflow around it",
        "project" => "in the configuration of the project",
        "operation within" => "because an operation within it is off: say `disable: false` here to have the whole cached all the same",
        "lone operation" => return "a lone operation is not cached unless its `cache` says `disable: false`".to_owned(),
        "restart or resume" => return "a run that is restarted or resumed is not cached unless `cache` says `disable: false`".to_owned(),
        rule => rule,
    };
    format!("it was switched off {switched_off}")
}
