//! The memory tier: answers this process has seen, for hits that cost no request.
//!
//! It keeps records, never live values, so that consumers cannot share one. Every removal by any
//! process moves the catalog's change counter, which empties the tier before its next answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use thrifty_key::Key;

use crate::answer::Answer;

/// The most bytes of records kept.
const BUDGET: usize = 64 << 20;

/// Answers by key, valid as long as the change counter stands still.
#[derive(Default)]
pub(crate) struct Memory(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    changes: u64,
    bytes: usize,
    answers: HashMap<Key, Arc<Answer>>,
}

impl Memory {
    /// The answer to a key, if it was seen since the last change and `accept` takes it.
    pub fn get(
        &self,
        key: &Key,
        changes: u64,
        accept: impl Fn(&Answer) -> bool,
    ) -> Option<Arc<Answer>> {
        let inner = self.0.read();
        if inner.changes != changes {
            return None;
        }
        inner.answers.get(key).filter(|answer| accept(answer)).cloned()
    }

    /// Keeps an answer that was true at this state of the change counter. One that was overtaken
    /// by a change is never given again, because the counter never comes back.
    pub fn put(&self, key: Key, answer: Arc<Answer>, changes: u64) {
        let mut inner = self.0.write();
        if inner.changes != changes || inner.bytes + answer.size > BUDGET {
            inner.answers.clear();
            inner.bytes = 0;
            inner.changes = changes;
        }
        inner.bytes += answer.size;
        if let Some(old) = inner.answers.insert(key, answer) {
            inner.bytes -= old.size;
        }
    }

    /// Forgets one key.
    pub fn forget(&self, key: &Key) {
        let mut inner = self.0.write();
        if let Some(old) = inner.answers.remove(key) {
            inner.bytes -= old.size;
        }
    }
}
