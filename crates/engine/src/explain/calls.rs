//! The calls of one operation, and which earlier one is nearest to another.
//!
//! A run may have ten thousand nodes and an operation a thousand entries to compare each of them
//! with. So ingredients are compared by numbers: every input gets one, and all that is not an input
//! gets one together, of which a run has few. Only the nearest call is compared part by part, and
//! the search ends where nothing nearer can come.

use std::collections::HashMap;

use thrifty_catalog::{EntryId, RunId, Time};
use thrifty_key::explain::{Difference, differences};
use thrifty_key::{Digest, Ingredients, Key, Kind};

use super::Against;

/// How many calls are compared, most recent first.
const COMPARED: usize = 500;

/// An earlier call of an operation.
pub(super) struct Earlier {
    pub(super) run: Option<RunId>,
    pub(super) output: Option<Digest>,
    pub(super) node: u32,
    pub(super) at: Time,
    pub(super) entry: Option<EntryId>,
    pub(super) key: Option<Key>,
    pub(super) ingredients: Ingredients,
    /// How long it took.
    pub(super) cost: std::time::Duration,
    /// The word of its outcome, where no entry is left of it.
    pub(super) outcome: Option<String>,
    /// Whether the run that is explained made it.
    pub(super) is_sibling: bool,
    /// Whether the run that is explained calls its key.
    pub(super) is_called: bool,
}

impl Earlier {
    pub(super) fn reference(&self) -> Against {
        Against { run: self.run.clone(), node: self.node, at: self.at }
    }
}

/// Earlier calls of one operation, most recent first within each source they came from.
#[derive(Default)]
pub(super) struct Calls {
    all: Vec<Earlier>,
    forms: Vec<Form>,
    /// The calls of equal inputs.
    by_inputs: HashMap<Vec<(u32, u32)>, Vec<usize>>,
    /// How many kinds and parts of two surroundings differ.
    apart: HashMap<(u32, u32), (usize, usize)>,
    numbers: Numbers,
}

/// A call to be compared.
pub(super) struct Query<'a> {
    pub(super) ingredients: &'a Ingredients,
    /// Inputs of which nothing is known yet.
    pub(super) pending: &'a [&'a str],
}

/// The nearest call, by its place among the calls, and what differs from it.
pub(super) struct Nearest {
    pub(super) call: usize,
    pub(super) differences: Vec<Difference>,
}

impl Calls {
    pub(super) fn add(&mut self, call: Earlier) {
        let form = self.numbers.form(&call.ingredients);
        self.by_inputs.entry(form.inputs.clone()).or_default().push(self.all.len());
        self.forms.push(form);
        self.all.push(call);
    }

    pub(super) fn all(&self) -> &[Earlier] {
        &self.all
    }

    /// The call that shares most with this one: the fewest kinds differ, then the fewest parts;
    /// of several, one of the best `rank`, then one of the same inputs, then the most recent.
    /// Calls without a rank are left out. All calls of the same inputs are compared, and the most
    /// recent of the others.
    pub(super) fn nearest(
        &mut self,
        query: &Query<'_>,
        rank: impl Fn(&Earlier) -> Option<u8>,
    ) -> Option<Nearest> {
        let own = self.numbers.form(query.ingredients);
        let pending: Vec<u32> = query.pending.iter().map(|name| self.numbers.name(name)).collect();
        // Of the others, one input differs at least, unless it is pending.
        let differs = usize::from(pending.is_empty());
        let mut best: Option<(usize, usize, u8, bool, usize)> = None;
        let same = self.by_inputs.get(&own.inputs).into_iter().flatten().copied();
        let ranked = |at: usize| Some((at, rank(&self.all[at])?));
        let same = same.filter_map(ranked).take(COMPARED).map(|call| (call, false));
        let recent = (0..self.all.len()).filter_map(ranked).take(COMPARED).map(|call| (call, true));
        for ((at, rank), is_other) in same.chain(recent) {
            let least = (differs, differs, 0, true, at);
            if is_other && best.is_some_and(|best| best < least) {
                break;
            }
            let form = &self.forms[at];
            let inputs = own.inputs_apart(form, &pending);
            let pair = (own.surroundings, form.surroundings);
            let (kinds, parts) = *self
                .apart
                .entry(pair)
                .or_insert_with(|| apart(query.ingredients, &self.all[at].ingredients));
            let distance = (kinds + usize::from(inputs > 0), parts + inputs, rank, is_other, at);
            if best.is_none_or(|least| distance < least) {
                best = Some(distance);
            }
        }
        let (.., call) = best?;
        let mut differences = differences(&self.all[call].ingredients, query.ingredients);
        let is_pending = |difference: &Difference| {
            difference.kind == Kind::Inputs && query.pending.contains(&difference.name.as_str())
        };
        differences.retain(|difference| !is_pending(difference));
        Some(Nearest { call, differences })
    }
}

/// How many kinds, and how many parts of them, are not the same on both sides, the inputs left
/// out.
fn apart(one: &Ingredients, other: &Ingredients) -> (usize, usize) {
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Inputs);
    let differing = kinds.filter(|kind| one.digest(*kind) != other.digest(*kind));
    differing
        .fold((0, 0), |(kinds, parts), kind| (kinds + 1, parts + parts_apart(kind, one, other)))
}

fn parts_apart(kind: Kind, one: &Ingredients, other: &Ingredients) -> usize {
    let is_other = |name: &str, digest| other.part(kind, name).is_none_or(|it| it.digest != digest);
    let own = one.parts(kind).filter(|(name, part)| is_other(name, part.digest)).count();
    own + other.parts(kind).filter(|(name, _)| one.part(kind, name).is_none()).count()
}

/// Ingredients as numbers: equal numbers are equal digests.
struct Form {
    /// All kinds but the inputs.
    surroundings: u32,
    /// Name and value of each input, sorted.
    inputs: Vec<(u32, u32)>,
}

impl Form {
    /// How many inputs differ, those left out that are pending.
    fn inputs_apart(&self, other: &Self, pending: &[u32]) -> usize {
        let (mut one, mut two) = (self.inputs.as_slice(), other.inputs.as_slice());
        let mut count = 0;
        while let Some(name) = one.first().or(two.first()).map(|_| least(one, two)) {
            let (mine, theirs) = (take(&mut one, name), take(&mut two, name));
            count += usize::from(mine != theirs && !pending.contains(&name));
        }
        count
    }
}

/// The least name that either begins with.
fn least(one: &[(u32, u32)], two: &[(u32, u32)]) -> u32 {
    let name = |inputs: &[(u32, u32)]| inputs.first().map_or(u32::MAX, |(name, _)| *name);
    name(one).min(name(two))
}

/// The value of this name, if the inputs begin with it.
fn take(inputs: &mut &[(u32, u32)], name: u32) -> Option<u32> {
    let (first, rest) = inputs.split_first()?;
    if first.0 != name {
        return None;
    }
    *inputs = rest;
    Some(first.1)
}

/// The numbers of digests and names.
#[derive(Default)]
struct Numbers {
    surroundings: HashMap<[Option<Digest>; Kind::ALL.len()], u32>,
    digests: HashMap<Digest, u32>,
    names: HashMap<String, u32>,
}

impl Numbers {
    fn form(&mut self, ingredients: &Ingredients) -> Form {
        let of_kind = |kind| ingredients.digest(kind).filter(|_| kind != Kind::Inputs);
        let next = u32::try_from(self.surroundings.len()).unwrap_or(u32::MAX);
        let surroundings = *self.surroundings.entry(Kind::ALL.map(of_kind)).or_insert(next);
        let inputs = ingredients.parts(Kind::Inputs);
        let mut inputs: Vec<_> =
            inputs.map(|(name, part)| (self.name(name), self.digest(part.digest))).collect();
        inputs.sort_unstable();
        Form { surroundings, inputs }
    }

    fn digest(&mut self, digest: Digest) -> u32 {
        let next = u32::try_from(self.digests.len() + 1).unwrap_or(u32::MAX);
        *self.digests.entry(digest).or_insert(next)
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let next = u32::try_from(self.names.len() + 1).unwrap_or(u32::MAX);
        self.names.insert(name.to_owned(), next);
        next
    }
}

#[cfg(test)]
mod tests {
    use thrifty_key::{Preview, plain};

    use super::*;

    fn made(parts: &[(Kind, &str, i64)]) -> Ingredients {
        let mut all = Ingredients::new();
        for (kind, name, value) in parts {
            let digest = plain::digest(&plain::int(*value)).expect("a number has a digest");
            all.add(*kind, *name, digest, Preview::Hidden).expect("names differ");
        }
        all
    }

    fn earlier(node: u32, ingredients: &Ingredients) -> Earlier {
        Earlier {
            run: None,
            output: None,
            node,
            at: 0,
            entry: None,
            key: None,
            ingredients: ingredients.clone(),
            cost: std::time::Duration::ZERO,
            outcome: None,
            is_sibling: false,
            is_called: false,
        }
    }

    #[test]
    fn the_nearest_differs_in_the_fewest_kinds_then_parts_then_by_rank_then_is_first() {
        let of = |code, x, y| {
            made(&[(Kind::Code, "f", code), (Kind::Inputs, "x", x), (Kind::Inputs, "y", y)])
        };
        let wanted = of(1, 1, 1);
        let find = |candidates: &[&Ingredients], pending: &[&str], last: u32| {
            let mut calls = Calls::default();
            for (node, ingredients) in candidates.iter().enumerate() {
                calls.add(earlier(node as u32, ingredients));
            }
            let query = Query { ingredients: &wanted, pending };
            let nearest = calls.nearest(&query, |call| Some(u8::from(call.node == last)));
            nearest.map(|nearest| (nearest.call, nearest.differences.len()))
        };
        let (two_kinds, two_parts, one_part) = (of(2, 2, 1), of(1, 2, 2), of(1, 3, 1));
        assert_eq!(find(&[&two_kinds, &two_parts], &[], 9), Some((1, 2)));
        assert_eq!(find(&[&two_parts, &one_part], &[], 9), Some((1, 1)));
        assert_eq!(find(&[&one_part, &one_part], &[], 9), Some((0, 1)));
        assert_eq!(find(&[&one_part, &one_part], &[], 0), Some((1, 1)));
        assert_eq!(find(&[&two_kinds, &two_parts], &["x", "y"], 9), Some((1, 0)));
        assert_eq!(find(&[], &[], 9), None);
    }

    #[test]
    fn inputs_that_only_one_side_has_count_as_different() {
        let wanted = made(&[(Kind::Inputs, "b", 1)]);
        let mut calls = Calls::default();
        for parts in [&[("a", 1), ("b", 1), ("c", 1)][..], &[("b", 1), ("d", 1)]] {
            let parts: Vec<_> = parts.iter().map(|(name, it)| (Kind::Inputs, *name, *it)).collect();
            calls.add(earlier(0, &made(&parts)));
        }
        let query = Query { ingredients: &wanted, pending: &[] };
        let nearest = calls.nearest(&query, |_| Some(0)).expect("there are two");
        assert_eq!((nearest.call, nearest.differences.len()), (1, 1));
    }
    #[test]
    fn the_search_ends_where_nothing_nearer_can_come() {
        let of = |code, x| made(&[(Kind::Code, "f", code), (Kind::Inputs, "x", x)]);
        let mut calls = Calls::default();
        let many = 1_000;
        (0..many).for_each(|x| calls.add(earlier(x as u32, &of(1, x))));
        let mut compared = |wanted: Ingredients| {
            let count = std::cell::Cell::new(0);
            let query = Query { ingredients: &wanted, pending: &[] };
            let nearest = calls.nearest(&query, |_| {
                count.set(count.get() + 1);
                Some(0)
            });
            (nearest.expect("there are many").call, count.get())
        };
        // Its own inputs with other code; other inputs, the code as before; all other.
        assert_eq!(compared(of(2, 700)), (700, 2));
        assert_eq!(compared(of(1, many)), (0, 2));
        assert_eq!(compared(of(2, many)), (0, COMPARED));
    }
}
