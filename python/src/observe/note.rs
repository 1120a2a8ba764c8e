//! What was seen and cannot be followed.

use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::prelude::*;
pub use thrifty_engine::Note;
use thrifty_engine::{Cache, Mode, Operation};

use crate::warning;

/// What was warned of in this process.
static WARNED: LazyLock<Mutex<HashSet<(String, Note)>>> = LazyLock::new(Mutex::default);

/// Warns of what a body of an operation did, once for each kind, and keeps it for those who ask
/// later, unless the mode is one that stores nothing. A warning that was made an error does not
/// reach the body: it did nothing wrong.
pub fn tell(
    py: Python<'_>,
    cache: &Cache,
    operation: &Operation,
    mode: Mode,
    notes: &BTreeSet<Note>,
) {
    if notes.is_empty() {
        return;
    }
    let name = operation.name();
    for note in notes {
        if WARNED.lock().insert((name.to_owned(), *note)) {
            let text = note.text();
            let text = format!("{name} {text}; or Cache(observe=False) if it does not matter");
            _ = warning::warn(py, &text);
        }
    }
    if mode.writes() {
        py.detach(|| cache.keep_unseen(operation, notes.iter().copied()));
    }
}
