//! WHAT does a body read behind its arguments' back?
//!
//! While a [`Watch`] is held, what its thread reads, and the threads that it starts, goes to its
//! [`Recorder`]: files, directories, variables, the working directory. The interpreter tells
//! through audit events, and `thrifty/_observe.py` tells of what has none ([`hook`]). A read counts
//! only if code of the project asked for it, itself or by handing a path to a library: the frames
//! of the thread say so ([`asked`], [`whose`], [`handed`]). When the body is over, [`Gathered`]
//! holds what was read, as it still is.

mod asked;
mod frame;
mod gathered;
mod handed;
mod hook;
mod measured;
mod note;
mod parameters;
mod parts;
mod path;
mod random;
mod recorder;
mod remembered;
mod system;
mod thread;
mod whose;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;
use thrifty_engine::annotations::Metric;
use thrifty_engine::catalog::Time;
use thrifty_engine::made_of::Parts;
use thrifty_engine::observed::{Observation, Surroundings};

use crate::remembering;

pub use gathered::Gathered;
pub use note::{Note, tell};
pub use parameters::{after_body, is_given_parameters, parameter};
pub use recorder::Recorder;
pub use thread::{Readers, readers};

/// What is to become of what a body reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is observed.
    Observe,
    /// It does not count, for the bodies around it neither.
    Ignore,
    /// It is part of what the body around it reads.
    Pass,
}

/// What bodies of a session are observed against.
pub struct Scenery {
    /// Where what was read is looked at again.
    pub surroundings: Arc<Surroundings>,
    ignored: Arc<path::Ignored>,
}

impl Scenery {
    /// The scenery of a session whose cache lies in these directories.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn new(
        py: Python<'_>,
        surroundings: Arc<Surroundings>,
        cache: [&Path; 2],
        project: &Path,
    ) -> PyResult<Self> {
        let ignored = Arc::new(path::Ignored::with(py, cache, project)?);
        Ok(Self { surroundings, ignored })
    }
}

thread_local! {
    /// When the first of the results expires that the body of this thread took so far.
    static EXPIRES_AT: Cell<Option<Time>> = const { Cell::new(None) };
    /// What the body of this thread was made of so far; nothing where this thread runs none.
    static MADE_OF: RefCell<Option<Parts>> = const { RefCell::new(None) };
}

/// A body that runs in this thread, until this is dropped.
pub struct Watch {
    wish: Wish,
    recorder: Option<Arc<Recorder>>,
    random: Option<random::Before>,
    remembered: Option<remembered::Before>,
    /// Bodies in other threads for which this one runs; `None` if its thread says for which.
    outer: Option<Readers>,
    /// As of [`EXPIRES_AT`], of the body around this one.
    expires_before: Option<Time>,
    /// As of [`MADE_OF`].
    made_of_before: Option<Parts>,
    is_over: bool,
}

/// What a body took and measured.
struct Taken {
    made_of: Parts,
    expires_at: Option<Time>,
    metrics: Vec<Metric>,
    /// For whom it ran.
    readers: Readers,
}

impl Watch {
    /// A body of the operation begins, on behalf of these bodies of other threads, or of those
    /// for which this thread runs. What it is given by value is no news: files, and directories
    /// with all that is in them.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn begin(
        py: Python<'_>,
        operation: &str,
        wish: Wish,
        scenery: &Scenery,
        given: Vec<PathBuf>,
        outer: Option<Readers>,
    ) -> PyResult<Self> {
        if wish == Wish::Observe {
            hook::install(py)?;
        }
        let mut watch = Self {
            wish,
            recorder: None,
            random: None,
            remembered: None,
            outer,
            expires_before: EXPIRES_AT.take(),
            made_of_before: MADE_OF.replace(Some(Parts::default())),
            is_over: false,
        };
        measured::begin();
        match wish {
            Wish::Pass => {}
            Wish::Ignore => thread::push(None),
            Wish::Observe => {
                watch.random = random::Before::first_runs(py, operation);
                let surroundings = Arc::clone(&scenery.surroundings);
                let ignored = Arc::clone(&scenery.ignored);
                let recorder = Arc::new(Recorder::new(surroundings, ignored, given));
                watch.remembered = Some(remembered::Before::now(py, &recorder));
                parameters::begin(&recorder);
                thread::push(Some(Arc::clone(&recorder)));
                watch.recorder = Some(recorder);
            }
        }
        Ok(watch)
    }

    /// The body is over: what it read.
    pub fn end(mut self, py: Python<'_>) -> Gathered {
        let random = self.random.take();
        let Taken { made_of, expires_at, mut metrics, .. } = self.close(py);
        let Some(recorder) = self.recorder.take() else {
            return Gathered { expires_at, made_of, metrics, ..Gathered::default() };
        };
        metrics.extend(recorder.measured());
        // Another body may have drawn from the generators, which all share.
        let is_alone = !recorder.was_accompanied();
        if is_alone && random.is_some_and(|before| before.was_drawn_from(py)) {
            recorder.note(Note::Random);
        }
        recorder.expires(expires_at);
        let mut gathered = py.detach(|| recorder.gather());
        gathered.made_of.merge(&made_of);
        Gathered { metrics, ..gathered }
    }

    /// This thread goes on as before the body.
    fn close(&mut self, py: Python<'_>) -> Taken {
        self.is_over = true;
        if let (Some(before), Some(recorder)) = (self.remembered.take(), &self.recorder) {
            before.tell(py, recorder);
        }
        let expires_at = EXPIRES_AT.replace(self.expires_before);
        expires(expires_at);
        let made_of = MADE_OF.replace(self.made_of_before.take()).unwrap_or_default();
        note_parts(&made_of);
        let metrics = measured::end();
        if self.wish != Wish::Pass {
            thread::pop();
        }
        let readers = match &self.outer {
            Some(Readers { known, others }) => {
                let known = known.iter().cloned().chain(thread::innermost()).collect();
                Readers { known, others: others.clone() }
            }
            None => thread::readers(py),
        };
        if let Some(recorder) = &self.recorder {
            readers.known.iter().for_each(|body| body.merge(recorder));
        }
        Taken { made_of, expires_at, metrics, readers }
    }

    /// The body came to nothing: no result vouches for what it took, and whoever goes on without
    /// one depends on that as well as on what it read.
    fn fail(&mut self, py: Python<'_>) {
        let Taken { made_of, expires_at, readers, .. } = self.close(py);
        readers.take(&made_of, expires_at);
        if let Some(recorder) = &self.recorder {
            readers.others.iter().for_each(|body| body.merge_reads(recorder));
        }
        absorb(py, || made_of, &[], expires_at);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_over {
            Python::attach(|py| self.fail(py));
        }
    }
}

/// A body of this thread is about to take the content of a file as a value, or of a directory with
/// all that is in it.
pub fn read(py: Python<'_>, path: &Path, is_directory: bool) {
    thread::observing(py, |readers| {
        for reader in readers {
            reader.take(path, is_directory);
        }
        Ok(())
    });
}

/// What bodies of this thread depend on that asked for operations: which these are, what they
/// observed, and when the first of them expires.
///
/// What a thread asks for that may work for any body, each of them has observed. It is part of none:
/// that would make whatever runs at the same time parts of each other.
pub fn absorb(
    py: Python<'_>,
    parts: impl FnOnce() -> Parts,
    observed: &[Observation],
    expires_at: Option<Time>,
) {
    expires(expires_at);
    let readers = readers(py);
    let functions = functions_around(py, readers.all().next(), observed);
    readers.all().chain(&functions).for_each(|reader| reader.absorb(observed));
    let is_in_body = MADE_OF.with_borrow(Option::is_some);
    if is_in_body || !readers.known.is_empty() || !functions.is_empty() {
        let parts = parts();
        note_parts(&parts);
        readers.take(&parts, expires_at);
        Readers::known(functions).take(&parts, expires_at);
    }
}

/// Where what the functions that this thread is within read, and remember, is recorded; nothing
/// where it cannot be any of them.
fn functions_around(
    py: Python<'_>,
    body: Option<&Arc<Recorder>>,
    observed: &[Observation],
) -> Vec<Arc<Recorder>> {
    if !thread::is_anybody_watching() || (observed.is_empty() && !remembering::is_any()) {
        return Vec::new();
    }
    let Some(body) = body.cloned().or_else(thread::any) else {
        return Vec::new();
    };
    thread::aside(|| remembered::within(py, &body)).unwrap_or_else(|error| {
        body.trouble(&error.to_string());
        Vec::new()
    })
}

/// Whether a body of this thread, or one that it may work for, depends on what is asked for here.
pub fn is_in_body(py: Python<'_>) -> bool {
    MADE_OF.with_borrow(Option::is_some) || !readers(py).is_empty()
}

/// The body of this thread was made of these.
fn note_parts(parts: &Parts) {
    MADE_OF.with_borrow_mut(|made_of| {
        if let Some(made_of) = made_of {
            made_of.merge(parts);
        }
    });
}

/// The body of this thread took a result that expires then.
fn expires(at: Option<Time>) {
    if let Some(at) = at {
        EXPIRES_AT.set(Some(EXPIRES_AT.get().map_or(at, |before| before.min(at))));
    }
}

/// Does something of Thrifty's own in the midst of a body, which reads nothing by it.
pub fn aside<T>(act: impl FnOnce() -> T) -> T {
    thread::aside(act)
}

/// In a forked child: the bodies of the parent are not here.
pub fn after_fork() {
    thread::forget();
    MADE_OF.set(None);
    measured::forget();
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<parameters::Frame>()?;
    module.add_function(wrap_pyfunction!(measured::log_metric, module)?)?;
    hook::register(module)
}
