//! What began a cascade of misses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use thrifty_catalog::RunId;
use thrifty_key::{Digest, Kind};

use super::{Explained, Reason, Shown};

/// From how many values on the changes of one input are told as one.
const VALUES: usize = 4;

/// One thing that made operations run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// What it was.
    pub cause: Cause,
    /// The operations that it made run by itself, by number.
    pub direct: Vec<u32>,
    /// Those that ran because one of these, or of those behind it, gave another output.
    pub behind: Vec<u32>,
    /// Time all of them took.
    pub spent: Duration,
    /// The run that the direct ones were compared with, if it was one.
    pub since: Option<RunId>,
}

/// What made operations run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Parts of their keys changed: one edit, and what came or went with it.
    Changed(Vec<Shown>),
    /// Nothing changed, and the earlier result was not there or not to be used, for this reason.
    NotReused(String),
    /// Something that their bodies had observed is not so any more: what.
    Observed(String),
    /// They were never called so before.
    FirstTime,
    /// The cache was off for them, or they have no key, for this reason.
    Uncached(String),
    /// Too little is left to tell.
    Unknown(String),
}

impl Root {
    /// All operations that ran for it.
    pub fn nodes(&self) -> impl Iterator<Item = u32> {
        self.direct.iter().chain(&self.behind).copied()
    }
}

/// What makes two causes one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Identity {
    Part(Kind, String, Option<Digest>, Option<Digest>),
    /// An input, with so many values that they are not told apart.
    Input(String),
    NotReused(String),
    Observed(String),
    FirstTime,
    Uncached(String),
    Unknown(String),
}

/// The roots of what is explained, that which cost most first.
pub(super) fn find(nodes: &[Explained]) -> Vec<Root> {
    let mut causes = Causes::default();
    let many = inputs_of_many_values(nodes);
    for node in nodes {
        causes.add_own(node, &many);
    }
    let behind = causes.follow(nodes);
    let by_number: BTreeMap<u32, &Explained> = nodes.iter().map(|it| (it.node, it)).collect();
    let mut roots: Vec<Root> =
        fold(causes.found).into_iter().map(|found| found.root(&behind, &by_number)).collect();
    roots.sort_by_key(|root| {
        let count = root.direct.len() + root.behind.len();
        (std::cmp::Reverse((root.spent, count)), root.direct.first().copied())
    });
    roots
}

/// Inputs that were changed to so many different values that no edit stands behind them.
fn inputs_of_many_values(nodes: &[Explained]) -> BTreeSet<String> {
    of_many_values(nodes.iter().filter(|it| it.reason == Reason::Changed).flat_map(own))
}

fn of_many_values<'a>(differences: impl Iterator<Item = &'a Shown>) -> BTreeSet<String> {
    let mut values: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
    for shown in differences.filter(|shown| shown.kind == Kind::Inputs) {
        values.entry(&shown.name).or_default().insert(shown.digests);
    }
    let many = values.into_iter().filter(|(_, values)| values.len() >= VALUES);
    many.map(|(name, _)| name.to_owned()).collect()
}

/// The name of a part at the step of a process that has it: the process has it under the step's
/// name, and it is the same edit.
fn name_within(shown: &Shown) -> &str {
    let within = match shown.kind {
        Kind::Inputs => shown.name.rsplit_once('.'),
        _ => shown.name.rsplit_once(": "),
    };
    within.map_or(shown.name.as_str(), |(_, name)| name)
}

/// The differences that are a node's own.
fn own(node: &Explained) -> impl Iterator<Item = &Shown> {
    node.differences.iter().filter(|shown| shown.upstream.is_empty())
}

/// A cause, and the nodes that have it.
struct Found {
    cause: Cause,
    direct: Vec<u32>,
    since: Option<RunId>,
    /// Its places among all that were found.
    places: BTreeSet<usize>,
}

impl Found {
    fn root(self, behind: &[Vec<u32>], nodes: &BTreeMap<u32, &Explained>) -> Root {
        let mut after: BTreeSet<u32> =
            self.places.iter().flat_map(|place| behind[*place].iter().copied()).collect();
        self.direct.iter().for_each(|number| _ = after.remove(number));
        let spent = self.direct.iter().chain(&after).filter_map(|number| nodes.get(number));
        Root {
            spent: spent.map(|node| node.spent).sum(),
            cause: self.cause,
            direct: self.direct,
            behind: after.into_iter().collect(),
            since: self.since,
        }
    }
}

#[derive(Default)]
struct Causes {
    found: Vec<Found>,
    places: HashMap<Identity, usize>,
    /// The causes of each node, its own first.
    of_node: BTreeMap<u32, BTreeSet<usize>>,
}

impl Causes {
    fn add_own(&mut self, node: &Explained, many: &BTreeSet<String>) {
        let detail = || node.detail.clone();
        match node.reason {
            Reason::Hit | Reason::NotRun => {}
            Reason::Upstream => _ = self.of_node.entry(node.node).or_default(),
            Reason::Changed => {
                for shown in own(node) {
                    self.add_part(node, shown, many);
                }
            }
            Reason::FirstTime => _ = self.add(node, Identity::FirstTime, || Cause::FirstTime),
            Reason::Observed => {
                self.add(node, Identity::Observed(detail()), || Cause::Observed(detail()));
            }
            Reason::NotReused => {
                self.add(node, Identity::NotReused(detail()), || Cause::NotReused(detail()));
            }
            Reason::Uncached => {
                self.add(node, Identity::Uncached(detail()), || Cause::Uncached(detail()));
            }
            Reason::Unknown => {
                self.add(node, Identity::Unknown(detail()), || Cause::Unknown(detail()));
            }
        }
    }

    fn add_part(&mut self, node: &Explained, shown: &Shown, many: &BTreeSet<String>) {
        if shown.kind == Kind::Inputs && many.contains(&shown.name) {
            let upstream = Vec::new();
            let whole = || Shown { old: None, new: None, diff: None, upstream, ..shown.clone() };
            let cause = || Cause::Changed(vec![whole()]);
            self.add(node, Identity::Input(shown.name.clone()), cause);
            return;
        }
        let (old, new) = shown.digests;
        let identity = Identity::Part(shown.kind, name_within(shown).to_owned(), old, new);
        let place = self.add(node, identity, || Cause::Changed(vec![shown.clone()]));
        // The name that the step itself has for it says enough.
        if let Cause::Changed(parts) = &mut self.found[place].cause
            && let Some(first) = parts.first_mut()
            && first.name.len() > shown.name.len()
        {
            first.name.clone_from(&shown.name);
        }
    }

    fn add(
        &mut self,
        node: &Explained,
        identity: Identity,
        cause: impl FnOnce() -> Cause,
    ) -> usize {
        let place = *self.places.entry(identity).or_insert_with(|| {
            let place = self.found.len();
            self.found.push(Found {
                cause: cause(),
                direct: Vec::new(),
                since: node.against.as_ref().and_then(|against| against.run.clone()),
                places: BTreeSet::from([place]),
            });
            place
        });
        self.found[place].direct.push(node.node);
        self.of_node.entry(node.node).or_default().insert(place);
        place
    }

    /// For each cause the nodes that took another output from one that has it, or that stands
    /// behind one.
    fn follow(&mut self, nodes: &[Explained]) -> Vec<Vec<u32>> {
        let mut dependents: HashMap<u32, Vec<&Explained>> = HashMap::new();
        for node in nodes {
            let upstream = node.differences.iter().flat_map(|shown| &shown.upstream);
            for from in upstream.map(|upstream| upstream.node).collect::<BTreeSet<_>>() {
                dependents.entry(from).or_default().push(node);
            }
        }
        let mut behind = vec![Vec::new(); self.found.len()];
        for (place, reached) in behind.iter_mut().enumerate() {
            let direct: BTreeSet<u32> = self.found[place].direct.iter().copied().collect();
            let mut seen = direct.clone();
            let mut stack: Vec<u32> = direct.into_iter().collect();
            while let Some(from) = stack.pop() {
                for node in dependents.get(&from).into_iter().flatten() {
                    if seen.insert(node.node) {
                        reached.push(node.node);
                        stack.push(node.node);
                        self.of_node.entry(node.node).or_default().insert(place);
                    }
                }
            }
        }
        self.add_the_rest(nodes, &mut behind);
        behind
    }

    /// Nodes that took other outputs of operations which did not run: of other calls of theirs.
    fn add_the_rest(&mut self, nodes: &[Explained], behind: &mut Vec<Vec<u32>>) {
        let has_none = |node: &&Explained| {
            node.reason == Reason::Upstream
                && self.of_node.get(&node.node).is_none_or(BTreeSet::is_empty)
        };
        let rest: Vec<&Explained> = nodes.iter().filter(has_none).collect();
        let many = of_many_values(rest.iter().flat_map(|node| &node.differences));
        for node in rest {
            for shown in &node.differences {
                self.add_part(node, shown, &many);
            }
        }
        behind.resize(self.found.len(), Vec::new());
    }
}

/// Brings together what one edit did: parts that came or went with a part that changed, at the
/// very same operations.
fn fold(found: Vec<Found>) -> Vec<Found> {
    let is_companion = |found: &Found| matches!(&found.cause, Cause::Changed(shown) if shown.iter().all(|it| it.change != "changed"));
    let (companions, mut roots): (Vec<_>, Vec<_>) = found.into_iter().partition(is_companion);
    let mut places: HashMap<Vec<u32>, usize> = HashMap::new();
    for (place, root) in roots.iter().enumerate() {
        if matches!(root.cause, Cause::Changed(_)) {
            places.entry(root.direct.clone()).or_insert(place);
        }
    }
    for companion in companions {
        match places.get(&companion.direct) {
            Some(place) => {
                if let (Cause::Changed(all), Cause::Changed(more)) =
                    (&mut roots[*place].cause, companion.cause)
                {
                    all.extend(more);
                }
                roots[*place].places.extend(companion.places);
            }
            None => {
                places.insert(companion.direct.clone(), roots.len());
                roots.push(companion);
            }
        }
    }
    roots
}
