//! What a value was made of: the operations that its own became, and those that its body called.
//!
//! A hit of the whole never looks at these. So their names and keys are kept with it, where whoever
//! removes the result of one of them finds the whole; and a whole is not stored if one of them was
//! removed before it was done.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use thrifty_catalog::{EntryId, MadeOf, Part};
use thrifty_key::Key;

/// How many results of one call are told apart. A call has one entry, so of several all but the last
/// are gone; and all that are gone are judged alike.
const MOST: usize = 8;

/// A number that no entry has: what had it is gone.
const GONE: EntryId = EntryId(0);

/// What a value was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// All operations, down to the last.
    pub all: MadeOf,
    /// The results that vouch for them, each that was taken: who commits the value says that they
    /// are so still. One that has an entry vouches for all that it was made of itself, as long as that
    /// is there.
    taken: BTreeMap<Call, Takes>,
    /// Whether it was made of more, and nobody knows of what.
    is_unknown: bool,
}

/// The name of an operation, and the key under which it was called.
type Call = (String, Option<Key>);

/// What was taken of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Takes {
    /// After which epoch each was taken that is old; of others it says nothing.
    results: BTreeMap<Taken, i64>,
    /// The last ticket with which the computation of the value itself replaced what it had taken.
    ticket: Option<i64>,
}

/// A result that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Taken {
    entry: Option<EntryId>,
    /// It was taken before the computation began.
    is_old: bool,
}

impl Takes {
    fn add(&mut self, taken: Taken, since: i64) {
        let least = self.results.entry(taken).or_insert(since);
        *least = since.min(*least);
        let alike = self.results.iter().filter(|(it, _)| it.is_old == taken.is_old);
        if let Some(since) = alike.clone().map(|(_, since)| *since).min()
            && alike.count() > MOST
        {
            self.results.retain(|it, _| it.is_old != taken.is_old);
            self.results.insert(Taken { entry: Some(GONE), ..taken }, since);
        }
    }

    fn replaced(&mut self, ticket: Option<i64>) {
        self.ticket = self.ticket.max(ticket);
    }
}

impl Parts {
    /// Those that an entry names.
    pub(crate) fn kept(all: MadeOf) -> Arc<Self> {
        Self { all, ..Self::default() }.shared()
    }

    /// Of something that nobody knows.
    pub fn unknown() -> Self {
        Self { is_unknown: true, ..Self::default() }
    }

    /// Those of a value of another process.
    pub fn of(all: MadeOf, taken: impl IntoIterator<Item = Part>, is_unknown: bool) -> Self {
        let mut parts = Self { all, taken: BTreeMap::new(), is_unknown };
        for Part { operation, key, entry, since, own_ticket } in taken {
            let takes = parts.taken.entry((operation, key)).or_default();
            takes.add(Taken { entry, is_old: since.is_some() }, since.unwrap_or_default());
            takes.replaced(own_ticket);
        }
        parts
    }

    /// To be handed on. Most values are made of nothing, and then nothing is allocated.
    pub(crate) fn shared(self) -> Arc<Self> {
        static NOTHING: LazyLock<Arc<Parts>> = LazyLock::new(Arc::default);
        if self.is_empty() { Arc::clone(&NOTHING) } else { Arc::new(self) }
    }

    /// Adds an operation whose value was taken, and what that was made of.
    pub fn take(
        &mut self,
        operation: &str,
        key: Option<Key>,
        entry: Option<EntryId>,
        made_of: &Self,
    ) {
        self.all.add(operation, key.as_ref());
        self.is_unknown |= made_of.is_unknown;
        self.all.merge(&made_of.all);
        if entry.is_none() {
            // What others replaced for a value of theirs was replaced by others.
            made_of.taken.iter().for_each(|(call, takes)| _ = self.add(call, takes));
        }
        let takes = self.taken.entry((operation.to_owned(), key)).or_default();
        takes.add(Taken { entry, is_old: false }, 0);
    }

    /// As [`Parts::take`], of a value that was computed for this one: with this ticket, if it replaced
    /// another. What it replaced is gone by no other's doing.
    pub fn take_computed(
        &mut self,
        operation: &str,
        key: Option<Key>,
        entry: Option<EntryId>,
        made_of: &Self,
        ticket: Option<i64>,
    ) {
        self.take(operation, key, entry, made_of);
        if entry.is_none() {
            self.merge(made_of);
        }
        self.taken.entry((operation.to_owned(), key)).or_default().replaced(ticket);
    }

    /// Adds an operation that was called, and whose result is not stored.
    pub fn take_unstored(&mut self, operation: &str, key: Option<Key>) {
        self.take(operation, key, None, &Self::default());
    }

    /// Adds all that another value was made of which was computed for this one.
    pub fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.is_unknown |= other.is_unknown;
        for (call, takes) in &other.taken {
            self.add(call, takes).replaced(takes.ticket);
        }
    }

    fn add(&mut self, call: &Call, other: &Takes) -> &mut Takes {
        let takes = self.taken.entry(call.clone()).or_default();
        other.results.iter().for_each(|(taken, since)| takes.add(*taken, *since));
        takes
    }

    /// The results that vouch for them.
    pub fn taken(&self) -> impl Iterator<Item = Part> {
        self.taken.iter().flat_map(|((operation, key), takes)| {
            takes.results.iter().map(|(taken, since)| Part {
                operation: operation.clone(),
                key: *key,
                entry: taken.entry,
                since: taken.is_old.then_some(*since),
                own_ticket: takes.ticket.filter(|_| !taken.is_old),
            })
        })
    }

    /// The same, taken after this epoch and before whatever takes them now began; 0 if nobody knows
    /// any epoch.
    #[must_use]
    pub fn of_before(mut self, since: i64) -> Self {
        for takes in self.taken.values_mut() {
            for (taken, before) in std::mem::take(takes).results {
                let since = if taken.is_old { since.min(before) } else { since };
                takes.add(Taken { is_old: true, ..taken }, since);
            }
        }
        self
    }

    /// The same, of a value that was computed for somebody else: what was replaced for it was replaced by
    /// others.
    #[must_use]
    pub(crate) fn of_others(mut self) -> Self {
        self.taken.values_mut().for_each(|takes| takes.ticket = None);
        self
    }

    /// Whether it was made of no other operation.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && !self.is_unknown
    }

    /// Whether nobody knows all that it was made of: who invalidates that would not find it.
    pub const fn is_unknown(&self) -> bool {
        self.is_unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(parts: &Parts) -> Vec<(Option<i64>, Option<i64>, Option<i64>)> {
        parts.taken().map(|it| (it.entry.map(|id| id.0), it.since, it.own_ticket)).collect()
    }

    fn one(entry: i64, ticket: Option<i64>) -> Parts {
        let mut parts = Parts::default();
        parts.take_computed("clean", None, Some(EntryId(entry)), &Parts::default(), ticket);
        parts
    }

    #[test]
    fn each_result_that_was_taken_counts() {
        let mut parts = one(1, None);
        parts.merge(&one(3, None).of_before(5));
        parts.merge(&one(3, None));
        parts.take("clean", None, None, &Parts::default());
        let all = [(None, None, None), (Some(1), None, None), (Some(3), None, None)];
        assert_eq!(took(&parts), [all[0], all[1], all[2], (Some(3), Some(5), None)]);
        assert_eq!(Parts::of(parts.all.clone(), parts.taken(), false), parts);
    }

    #[test]
    fn what_the_value_itself_replaced_is_told_with_its_last_ticket() {
        let mut parts = one(1, None);
        parts.merge(&one(2, Some(7)));
        parts.merge(&one(3, Some(5)));
        let new = [(Some(1), None, Some(7)), (Some(2), None, Some(7)), (Some(3), None, Some(7))];
        assert_eq!(took(&parts), new);
        // Of what is not stored, and what others computed, it is theirs.
        let (mut own, mut of_others) = (Parts::default(), Parts::default());
        own.take_computed("whole", None, None, &parts, None);
        of_others.take("whole", None, None, &parts);
        assert!(took(&own).contains(&new[0]) && !took(&of_others).contains(&new[0]));
        // It says nothing of what was taken before.
        let old = parts.clone().of_before(5);
        assert_eq!(took(&old), [1, 2, 3].map(|id| (Some(id), Some(5), None)));
        // Of several epochs the first counts.
        let older = old.of_before(4);
        assert_eq!(took(&older), [1, 2, 3].map(|id| (Some(id), Some(4), None)));
        assert_eq!(older.clone().of_before(5), older);
        let mut both = older.clone();
        both.merge(&parts.of_before(5));
        assert_eq!(both, older);
    }

    #[test]
    fn of_many_results_it_is_only_told_that_they_are_gone() {
        let mut parts = Parts::default();
        let most = i64::try_from(MOST).unwrap();
        (1..=most).for_each(|id| parts.merge(&one(id, Some(id))));
        parts.merge(&one(1, None).of_before(5));
        assert_eq!(took(&parts).len(), MOST + 1);
        parts.merge(&one(most + 1, Some(most + 1)));
        let gone = (Some(GONE.0), None, Some(most + 1));
        assert_eq!(took(&parts), [gone, (Some(1), Some(5), None)]);
    }
}
