//! Why did it run, or why did it not?
//!
//! A node of a run is compared, ingredient by ingredient, with the nearest earlier call of the
//! same operation. Of a cascade of misses, the nodes that something of their own made run come
//! first; one that ran only because an upstream gave another output names that upstream.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thrifty_catalog::{Catalog, CatalogError, Node, Run, RunId, Time};
use thrifty_key::explain::{Change, Difference};
use thrifty_key::{Digest, Ingredients, Kind, Preview};

use crate::outcome::observed_change;

mod history;

use history::{Earlier, History};

/// What may be shown in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// The explanation of a run, or of some of its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The run.
    pub run: RunId,
    /// The nodes, root causes first, then by number.
    pub nodes: Vec<Explained>,
}

/// Why one node has its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The number of the node.
    pub node: u32,
    /// The operation.
    pub operation: String,
    /// The word of the outcome.
    pub outcome: String,
    /// The reason, in one word.
    pub reason: Reason,
    /// More about the reason, for people; may be empty.
    pub detail: String,
    /// The earlier call it was compared with.
    pub against: Option<Against>,
    /// What differs from that call.
    pub differences: Vec<Shown>,
}

/// Why a node has its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The result was taken from the cache.
    Hit,
    /// Nothing comparable was called before this run.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Against {
    /// The run it belonged to.
    pub run: Option<RunId>,
    /// Its number in that run.
    pub node: u32,
    /// When it was settled.
    pub at: Time,
}

/// One difference, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The kind of ingredient.
    pub kind: Kind,
    /// The name of the part.
    pub name: String,
    /// `added`, `removed` or `changed`.
    pub change: &'static str,
    /// What may be shown of the earlier part; of source text, if it is one line.
    pub old: Option<String>,
    /// What may be shown of this part; of source text, if it is one line.
    pub new: Option<String>,
    /// The unified difference of longer source texts.
    pub diff: Option<String>,
    /// The upstream nodes whose outputs it came from.
    pub upstream: Vec<Upstream>,
}

/// An upstream node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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
    let nodes: BTreeMap<u32, Node> =
        catalog.nodes(&run.id)?.into_iter().map(|node| (node.number, node)).collect();
    let wanted: BTreeSet<u32> = match numbers {
        Some(numbers) => numbers.iter().copied().filter(|n| nodes.contains_key(n)).collect(),
        None => nodes.values().filter(|node| has_run(node)).map(|node| node.number).collect(),
    };
    let upstream = wanted.iter().flat_map(|number| nodes[number].upstream.iter().copied());
    let needed = wanted.iter().copied().chain(upstream).collect::<BTreeSet<u32>>();
    let needed: Vec<&Node> = needed.iter().filter_map(|number| nodes.get(number)).collect();
    let history = History::load(catalog, run, &nodes, &needed)?;
    let compared = Compared::new(&needed, &history);
    let explainer = Explainer { catalog, run, nodes: &nodes, history: &history, compared };
    let mut explained = Vec::with_capacity(wanted.len());
    for number in &wanted {
        explained.push(explainer.node(&nodes[number])?);
    }
    explained.sort_by_key(|node| (node.reason == Reason::Upstream, node.node));
    Ok(Explanation { run: run.id.clone(), nodes: explained })
}

/// Whether the body ran, or began to.
pub fn has_run(node: &Node) -> bool {
    let idle = ["waited", "skipped", "cancelled", "upstream-failed"];
    !is_hit(&node.outcome) && !idle.contains(&node.outcome.as_str())
}

/// Whether the word stands for a result that was taken from the cache.
pub fn is_hit(outcome: &str) -> bool {
    outcome.starts_with("hit")
}

/// Each node's nearest earlier call and the differences to it.
struct Compared<'a>(BTreeMap<u32, (&'a Earlier, Vec<Difference>)>);

impl<'a> Compared<'a> {
    fn new(nodes: &[&Node], history: &'a History) -> Self {
        let all = nodes.iter().filter_map(|node| Some((node.number, history.nearest(node)?)));
        Self(all.collect())
    }

    /// Whether the node ran and gave another output than the call it is compared with.
    fn gave_another_output(&self, node: &Node) -> bool {
        has_run(node)
            && self.0.get(&node.number).is_none_or(|(earlier, _)| {
                earlier.output.is_none() || earlier.output != node.output_digest
            })
    }
}

struct Explainer<'a> {
    catalog: &'a dyn Catalog,
    run: &'a Run,
    nodes: &'a BTreeMap<u32, Node>,
    history: &'a History,
    compared: Compared<'a>,
}

impl Explainer<'_> {
    fn node(&self, node: &Node) -> Result<Explained, CatalogError> {
        let mut explained = Explained {
            node: node.number,
            operation: node.operation.clone(),
            outcome: node.outcome.clone(),
            reason: Reason::Unknown,
            detail: String::new(),
            against: None,
            differences: Vec::new(),
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
            _ if node.outcome == "uncached" => {
                explained.reason = Reason::Uncached;
                explained.detail = uncached_detail(node);
            }
            Some(ingredients) => self.miss(node, ingredients, &mut explained)?,
            None => match self.why_not_reused(node, None, &mut explained) {
                Some(detail) => {
                    explained.reason = Reason::NotReused;
                    detail.clone_into(&mut explained.detail);
                }
                None => {
                    "what its key was made of is no longer known".clone_into(&mut explained.detail)
                }
            },
        }
        Ok(explained)
    }

    fn miss(
        &self,
        node: &Node,
        ingredients: &Ingredients,
        explained: &mut Explained,
    ) -> Result<(), CatalogError> {
        let compared = self.compared.0.get(&node.number);
        explained.against = compared.map(|(earlier, _)| earlier.reference());
        if let Some(change) = observed_change(&node.detail).filter(|_| node.outcome == "computed") {
            explained.reason = Reason::Observed;
            change.clone_into(&mut explained.detail);
            return Ok(());
        }
        if let Some(detail) = self.why_not_reused(node, compared, explained) {
            explained.reason = Reason::NotReused;
            detail.clone_into(&mut explained.detail);
            return Ok(());
        }
        let Some((earlier, differences)) = compared else {
            explained.reason = Reason::FirstTime;
            if self.history.has_seen(&node.operation) {
                explained.reason = Reason::Unknown;
                "nothing is left of its earlier calls".clone_into(&mut explained.detail);
            }
            return Ok(());
        };
        explained.differences = self.shown(node, ingredients, differences)?;
        explained.reason = if earlier.run.as_ref() == Some(&self.run.id) {
            Reason::FirstTime
        } else if explained.differences.iter().all(|shown| !shown.upstream.is_empty()) {
            Reason::Upstream
        } else {
            Reason::Changed
        };
        Ok(())
    }

    /// Why the result of an earlier call with the same key was not taken, if there was one.
    fn why_not_reused<'a>(
        &'a self,
        node: &'a Node,
        compared: Option<&(&'a Earlier, Vec<Difference>)>,
        explained: &mut Explained,
    ) -> Option<&'a str> {
        if let Some(stated) = stated_reason(node) {
            return Some(stated);
        }
        if let Some((earlier, _)) = compared.filter(|(_, differences)| differences.is_empty()) {
            return Some(earlier.absence());
        }
        let seen = self.history.seen(node)?;
        explained.against = Some(seen.against.clone());
        Some(seen.absence)
    }

    fn shown(
        &self,
        node: &Node,
        ingredients: &Ingredients,
        differences: &[Difference],
    ) -> Result<Vec<Shown>, CatalogError> {
        let sources = Sources::of(self, node, ingredients);
        let mut all = Vec::with_capacity(differences.len());
        for difference in differences {
            let (change, old, new) = parts_of(&difference.change);
            let (old, new, diff) = match self.sources(old, new)? {
                Some((old, new)) if is_line(&old) && is_line(&new) => (Some(old), Some(new), None),
                Some((old, new)) => (None, None, Some(unified_diff(&old, &new))),
                None => (old.and_then(text_of), new.and_then(text_of), None),
            };
            all.push(Shown {
                kind: difference.kind,
                name: difference.name.clone(),
                change,
                old,
                new,
                diff,
                upstream: sources.of_part(difference, ingredients),
            });
        }
        Ok(all)
    }

    /// The two source texts, if both are still kept.
    fn sources(
        &self,
        old: Option<&Preview>,
        new: Option<&Preview>,
    ) -> Result<Option<(String, String)>, CatalogError> {
        let (Some(Preview::Source(old)), Some(Preview::Source(new))) = (old, new) else {
            return Ok(None);
        };
        Ok(self.catalog.text(old)?.zip(self.catalog.text(new)?))
    }
}

/// Which upstream nodes an input came from.
struct Sources<'a> {
    upstream: Vec<&'a Node>,
    /// Upstream nodes with another output that no input of the node is the whole of: parts of
    /// them were taken, or they stand in a container.
    scattered: Vec<&'a Node>,
}

impl<'a> Sources<'a> {
    fn of(explainer: &'a Explainer<'_>, node: &Node, ingredients: &Ingredients) -> Self {
        let upstream: Vec<&Node> =
            node.upstream.iter().filter_map(|number| explainer.nodes.get(number)).collect();
        let inputs: BTreeSet<Digest> =
            ingredients.parts(Kind::Inputs).map(|(_, part)| part.digest).collect();
        let is_whole_input =
            |node: &Node| node.output_digest.is_some_and(|digest| inputs.contains(&digest));
        let scattered = upstream
            .iter()
            .copied()
            .filter(|node| explainer.compared.gave_another_output(node) && !is_whole_input(node))
            .collect();
        Self { upstream, scattered }
    }

    fn of_part(&self, difference: &Difference, ingredients: &Ingredients) -> Vec<Upstream> {
        if difference.kind != Kind::Inputs {
            return Vec::new();
        }
        let digest = ingredients.part(Kind::Inputs, &difference.name).map(|part| part.digest);
        let mut nodes: Vec<&Node> = self.upstream.clone();
        nodes.retain(|node| digest.is_some() && node.output_digest == digest);
        if nodes.is_empty() {
            nodes.clone_from(&self.scattered);
        }
        let upstream = nodes.into_iter();
        upstream
            .map(|node| Upstream { node: node.number, operation: node.operation.clone() })
            .collect()
    }
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
    match node.rule.as_str() {
        "" => node.detail.clone(),
        rule if node.detail.is_empty() => format!("decided by: {rule}"),
        rule => format!("{}; decided by: {rule}", node.detail),
    }
}

const fn parts_of(change: &Change) -> (&'static str, Option<&Preview>, Option<&Preview>) {
    match change {
        Change::Added { new } => ("added", None, Some(new)),
        Change::Removed { old } => ("removed", Some(old), None),
        Change::Changed { old, new } => ("changed", Some(old), Some(new)),
    }
}

fn text_of(preview: &Preview) -> Option<String> {
    match preview {
        Preview::Text(text) => Some(text.clone()),
        Preview::Hidden => Some(HIDDEN.to_owned()),
        Preview::Source(_) => None,
    }
}

/// Whether a source text is shown whole, as a constant mostly can be.
fn is_line(source: &str) -> bool {
    const LIMIT: usize = 80;
    source.len() <= LIMIT && !source.trim_end().contains('\n')
}

/// The changed lines of a text with three lines around them, in the form of `diff -u`.
pub fn unified_diff(old: &str, new: &str) -> String {
    let diff = similar::TextDiff::from_lines(old, new);
    diff.unified_diff()
        .context_radius(3)
        .missing_newline_hint(false)
        .header("before", "now")
        .to_string()
}
