//! What a value was made of: the operations that its own became, and those that its body called.
//!
//! A hit of the whole never looks at these. So their names and keys are kept with it, where whoever
//! removes the result of one of them finds the whole; and a whole is not stored if one of them was
//! removed before it was done.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use thrifty_catalog::{EntryId, MadeOf, Part};
use thrifty_key::Key;

/// What a value was made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// All operations, down to the last.
    pub all: MadeOf,
    /// The results that vouch for them: who commits the value says that they were as they are. One
    /// that has an entry vouches for all that it was made of itself.
    pub taken: BTreeSet<Part>,
}

impl Parts {
    /// Those that an entry names.
    pub(crate) fn kept(all: MadeOf) -> Arc<Self> {
        Self { all, taken: BTreeSet::new() }.shared()
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
        self.taken.insert(Part { operation: operation.to_owned(), key, entry });
        if entry.is_none() {
            self.taken.extend(made_of.taken.iter().cloned());
        }
    }

    /// Adds all that another value was made of.
    pub fn merge(&mut self, other: &Self) {
        self.all.merge(&other.all);
        self.taken.extend(other.taken.iter().cloned());
    }

    /// Whether it was made of no other operation.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
