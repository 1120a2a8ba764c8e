//! What a value was made of: the operations that its own became, and those that its body called.
//!
//! A hit of the whole never looks at these. So their names and keys are kept with it, where whoever
//! removes the result of one of them finds the whole; and a whole is not stored if one of them was
//! removed before it was done.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use thrifty_catalog::{EntryId, MadeOf, Part};
use thrifty_key::Key;

/// What a value was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// All operations, down to the last.
    pub all: MadeOf,
    /// The results that vouch for them, as they were taken last: who commits the value says that they
    /// are so still. One that has an entry vouches for all that it was made of itself, as long as that
    /// is there.
    taken: BTreeMap<(String, Option<Key>), Taken>,
}

/// A result that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    entry: Option<EntryId>,
    is_old: bool,
}

impl Parts {
    /// Those that an entry names.
    pub(crate) fn kept(all: MadeOf) -> Arc<Self> {
        Self { all, taken: BTreeMap::new() }.shared()
    }

    /// Those of a value of another process.
    pub fn of(all: MadeOf, taken: impl IntoIterator<Item = Part>) -> Self {
        let taken = taken.into_iter().map(|Part { operation, key, entry, is_old }| {
            ((operation, key), Taken { entry, is_old })
        });
        Self { all, taken: taken.collect() }
    }

    /// To be handed on. Most values are made of nothing, and then nothing is allocated.
    pub(crate) fn shared(self) -> Arc<Self> {
        static NOTHING: LazyLock<Arc<Parts>> = LazyLock::new(Arc::default);
        if self.all.is_empty() { Arc::clone(&NOTHING) } else { Arc::new(self) }
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
        self.all.merge(&made_of.all);
        if entry.is_none() {
            self.taken.extend(made_of.taken.clone());
        }
        self.taken.insert((operation.to_owned(), key), Taken { entry, is_old: false });
    }

    /// Adds an operation that was called, and whose result is not stored.
    pub fn take_unstored(&mut self, operation: &str, key: Option<Key>) {
        self.take(operation, key, None, &Self::default());
    }

    /// Adds all that another value was made of.
    pub fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.taken.extend(other.taken.clone());
    }

    /// The results that vouch for them.
    pub fn taken(&self) -> impl Iterator<Item = Part> {
        self.taken.iter().map(|((operation, key), taken)| Part {
            operation: operation.clone(),
            key: *key,
            entry: taken.entry,
            is_old: taken.is_old,
        })
    }

    /// The same, taken before whatever began to take them now.
    #[must_use]
    pub fn of_before(mut self) -> Self {
        self.taken.values_mut().for_each(|taken| taken.is_old = true);
        self
    }

    /// Whether it was made of no other operation.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
