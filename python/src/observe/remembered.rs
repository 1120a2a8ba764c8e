//! What was read within functions that remember what they gave.
//!
//! The first body that calls one reads what it reads; later ones read nothing and depend on it all
//! the same. So each such function has a recorder of its own, which is told of whatever is read
//! within it, and a body in which one gave something that it had remembered has read that, too.
//! Which of several results it was nobody can tell: it has read what all of them read. And so has
//! every such function that ran meanwhile, as it may have taken that result into its own.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use pyo3::prelude::*;

use super::frame::Frame;
use super::note::Note;
use super::recorder::Recorder;
use super::thread;
use crate::remembering::{self, Uses};

/// What was read within functions, by the identity of their code. Locked for moments in which no
/// Python runs.
static READ: LazyLock<Mutex<HashMap<usize, Arc<Recorder>>>> = LazyLock::new(Mutex::default);

/// What functions had remembered when a body began.
pub(super) struct Before(HashMap<usize, Uses>);

impl Before {
    /// A body begins.
    pub(super) fn now(py: Python<'_>) -> Self {
        Self(remembering::all(py, !thread::is_anybody_watching()))
    }

    /// The body is over: what it took that was remembered, it has read.
    pub(super) fn tell(self, py: Python<'_>, body: &Recorder) {
        let now = remembering::all(py, false);
        let mut read = READ.lock();
        read.retain(|code, _| now.contains_key(code));
        let (taken, mut is_unseen) = (body.beside(), false);
        for (code, uses) in &now {
            if self.0.get(code).is_some_and(|before| before.hits == uses.hits) {
                continue;
            }
            if let Some(recorder) = read.get(code) {
                taken.merge(recorder);
                taken.take_parts(&recorder.parts().of_before());
            }
            is_unseen |= uses.ran_unseen && uses.hits > 0;
        }
        body.merge(&taken);
        let parts = taken.parts();
        body.take_parts(&parts);
        if is_unseen {
            body.note(Note::Remembered);
        }
        for (code, uses) in now {
            if self.0.get(&code).is_some_and(|before| before.runs == uses.runs) {
                continue;
            }
            let own = read.entry(code).or_insert_with(|| Arc::new(body.beside()));
            own.merge(&taken);
            own.take_parts(&parts);
            if is_unseen {
                remembering::took_unseen(code);
            }
        }
    }
}

/// The recorders of the functions that this thread is within; those that have none get one like
/// that of the body.
pub(super) fn within(py: Python<'_>, body: &Recorder) -> PyResult<Vec<Arc<Recorder>>> {
    let mut inside = Vec::new();
    let mut next = Frame::innermost(py);
    while let Some(frame) = next {
        if remembering::is_one(frame.code(), || frame.definition())? {
            let mut read = READ.lock();
            let own = read.entry(frame.code().as_ptr() as usize);
            inside.push(Arc::clone(own.or_insert_with(|| Arc::new(body.beside()))));
        }
        next = frame.caller();
    }
    if remembering::is_any() {
        inside.extend(thread::started_within(py)?);
    }
    Ok(inside)
}
