//! What was read within functions that remember what they gave.
//!
//! The first body that calls one reads what it reads; later ones read nothing and depend on it all
//! the same. So each such function has a recorder of its own, which is told of whatever is read
//! within it, and a body in which one gave something that it had remembered has read that, too.
//! Which of several results it was nobody can tell: it has read what all of them read. And so has
//! every such function that ran meanwhile, as it may have taken that result into its own.
//!
//! A function that was made to forget begins anew, if that shows and no run of it is under way that
//! may have read before: that costs computations where it is not seen, and keeps nothing from anybody.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_engine::epochs;

use super::frame::Frame;
use super::note::Note;
use super::recorder::Recorder;
use super::thread;
use crate::remembering::{self, Uses};

/// What was read within a function since it was made to forget.
struct Memory {
    read: Arc<Recorder>,
    /// The epoch of the catalog that had been seen when it began.
    since: i64,
    /// What was read within it since it was made to forget again.
    next: OnceLock<Arc<Self>>,
}

impl Memory {
    fn new(body: &Recorder) -> Arc<Self> {
        let (read, since) = (Arc::new(body.beside()), epochs::last());
        Arc::new(Self { read, since, next: OnceLock::new() })
    }
}

impl Drop for Memory {
    /// One after the other: a body may clear a function without end, and a stack has one.
    fn drop(&mut self) {
        let mut next = self.next.take();
        while let Some(memory) = next {
            next = Arc::into_inner(memory).and_then(|mut memory| memory.next.take());
        }
    }
}

/// What was read within functions, by the identity of their code. Locked for moments in which no
/// Python runs.
static READ: LazyLock<Mutex<HashMap<usize, Arc<Memory>>>> = LazyLock::new(Mutex::default);

/// What functions had remembered when a body began.
pub(super) struct Before {
    uses: HashMap<usize, Uses>,
    read: HashMap<usize, Arc<Memory>>,
}

impl Before {
    /// A body begins.
    pub(super) fn now(py: Python<'_>, body: &Recorder) -> Self {
        let uses = uses(py, !thread::is_anybody_watching(), body);
        let mut read = READ.lock();
        for code in uses.keys() {
            read.entry(*code).or_insert_with(|| Memory::new(body));
        }
        Self { uses, read: read.clone() }
    }

    /// The body is over: what it took that was remembered, it has read.
    pub(super) fn tell(self, py: Python<'_>, body: &Recorder) {
        let now = uses(py, false, body);
        let mut read = READ.lock();
        read.retain(|code, _| now.contains_key(code));
        let (taken, mut is_unseen) = (body.beside(), false);
        for (code, uses) in &now {
            if self.uses.get(code).is_some_and(|before| before.hits == uses.hits) {
                continue;
            }
            let first = self.read.get(code).or_else(|| read.get(code)).cloned();
            for memory in successors(first, |it| it.next.get().cloned()) {
                taken.merge(&memory.read);
                taken.take_parts(&memory.read.parts().of_before(memory.since));
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
            if self.uses.get(&code).is_some_and(|before| before.runs == uses.runs) {
                continue;
            }
            let own = read.entry(code).or_insert_with(|| Memory::new(body));
            own.read.merge(&taken);
            own.read.take_parts(&parts);
            body.read_by_others().into_iter().for_each(|others| own.read.merge_reads(others));
            if is_unseen {
                remembering::took_unseen(code);
            }
        }
    }
}

/// What is known of all functions. Those begin anew that were made to forget.
fn uses(py: Python<'_>, nobody_ran: bool, body: &Recorder) -> HashMap<usize, Uses> {
    let uses = remembering::all(py, nobody_ran);
    for (code, _) in uses.iter().filter(|(_, uses)| uses.has_forgotten) {
        if runs_under_way(py, *code).is_ok_and(|runs| runs == 0) {
            begin_anew(*code, body);
        }
    }
    uses
}

fn begin_anew(code: usize, body: &Recorder) {
    let mut read = READ.lock();
    if let Some(memory) = read.get_mut(&code) {
        let next = Memory::new(body);
        _ = memory.next.set(Arc::clone(&next));
        *memory = next;
    }
}

/// How many runs of a function are under way, in all threads.
fn runs_under_way(py: Python<'_>, code: usize) -> PyResult<usize> {
    let frames = py.import(intern!(py, "sys"))?.call_method0(intern!(py, "_current_frames"))?;
    let runs = |frame: Bound<'_, PyAny>| {
        let frames = successors(Some(Frame::of(frame)), Frame::caller);
        frames.filter(|frame| frame.code().as_ptr() as usize == code).count()
    };
    Ok(frames.cast_into::<PyDict>()?.values().iter().map(runs).sum())
}

/// The recorders of the functions that this thread is within; those that have none get one like
/// that of the body.
pub(super) fn within(py: Python<'_>, body: &Recorder) -> PyResult<Vec<Arc<Recorder>>> {
    let mut inside = Vec::new();
    for frame in successors(Frame::innermost(py), Frame::caller) {
        if remembering::is_one(frame.code(), || frame.definition())? {
            inside.push(read_within(&frame, body));
        }
    }
    if remembering::is_any() {
        inside.extend(thread::started_within(py)?);
    }
    Ok(inside)
}

/// The recorder of the function whose frame this is.
fn read_within(frame: &Frame<'_>, body: &Recorder) -> Arc<Recorder> {
    let (py, code) = (frame.py(), frame.code().as_ptr() as usize);
    // If it has run since and only one run is under way, that is it.
    if remembering::has_run_anew(py, code) && runs_under_way(py, code).is_ok_and(|runs| runs == 1) {
        begin_anew(code, body);
    }
    let mut read = READ.lock();
    Arc::clone(&read.entry(code).or_insert_with(|| Memory::new(body)).read)
}
