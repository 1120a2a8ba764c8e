//! Which functions remember what they gave, as `functools.lru_cache` and `cache` make them.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

/// A function that remembers.
struct Remembering {
    function: Py<PyWeakrefReference>,
    /// How often it had given what it remembered, and run, when this was last looked at.
    hits: u64,
    runs: u64,
    /// Whether it ran while no body did, so that nobody knows what it read.
    ran_unseen: bool,
}

/// What was known of a function, to be looked at without the lock.
struct Copied {
    function: Py<PyWeakrefReference>,
    before: (u64, u64),
}

/// How often it gave what it remembered, and ran: now, and as was known before.
struct Look {
    hits: u64,
    runs: u64,
    before: (u64, u64),
}

impl Copied {
    fn now(self, py: Python<'_>) -> Option<Look> {
        let (hits, runs) = counted(&self.function.bind(py).upgrade()?).ok()?;
        Some(Look { hits, runs, before: self.before })
    }
}

impl Remembering {
    fn copied(&self, py: Python<'_>) -> Copied {
        Copied { function: self.function.clone_ref(py), before: (self.hits, self.runs) }
    }

    /// Takes on what was looked at; whether the function was made to forget since what was known
    /// before. Who comes second, of two that look at once, does not say so again.
    fn take(&mut self, look: &Look) -> bool {
        let is_first = (self.hits, self.runs) == look.before;
        (self.hits, self.runs) = (look.hits, look.runs);
        is_first && (look.hits < look.before.0 || look.runs < look.before.1)
    }
}

/// The functions that are known, by the identity of their code, as long as they live. Locked for
/// moments in which no Python runs.
static KNOWN: LazyLock<Mutex<HashMap<usize, Remembering>>> = LazyLock::new(Mutex::default);

/// Code of functions that remember nothing, by its identity: it lives as long as it is here.
static ORDINARY: LazyLock<Mutex<HashMap<usize, Py<PyAny>>>> = LazyLock::new(Mutex::default);
/// How much of it is kept.
const MOST: usize = 10_000;
/// Where decorators keep what they are around.
const AROUND: [&str; 3] = ["__wrapped__", "__func__", "fget"];
/// How many of them are looked through.
const WRAPPERS: usize = 6;

/// What is known of a function now.
#[derive(Debug, Clone, Copy)]
pub struct Uses {
    /// How often it gave what it had remembered.
    pub hits: u64,
    /// How often it ran.
    pub runs: u64,
    /// Whether it ran while no body did.
    pub ran_unseen: bool,
    /// Whether it was made to forget since this was last asked; not always noticed.
    pub has_forgotten: bool,
}

/// A task can reach this object: if it is a function that remembers, it is known from now on.
///
/// # Errors
///
/// What Python raised.
pub fn reaches(function: &Bound<'_, PyAny>) -> PyResult<()> {
    match remembers(function)? {
        Some(code) => know(function, code, 0),
        None => Ok(()),
    }
}

/// Whether the function whose code runs remembers; `definition` is what its module has under its
/// name.
///
/// # Errors
///
/// What Python raised.
pub fn is_one<'py>(
    code: &Bound<'py, PyAny>,
    definition: impl FnOnce() -> Option<Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let identity = code.as_ptr() as usize;
    if ORDINARY.lock().contains_key(&identity) {
        return Ok(false);
    }
    if KNOWN.lock().contains_key(&identity) {
        return Ok(true);
    }
    if let Some(function) = behind(definition(), identity)? {
        // The run that this is was counted when it began.
        know(&function, identity, 1)?;
        return Ok(true);
    }
    let mut ordinary = ORDINARY.lock();
    if ordinary.len() >= MOST {
        ordinary.clear();
    }
    ordinary.insert(identity, code.clone().unbind());
    Ok(false)
}

/// Whether any function is known to remember.
pub fn is_any() -> bool {
    !KNOWN.lock().is_empty()
}

/// All functions that live, by the identity of their code. `nobody_ran` if no body ran since this
/// was last asked: what ran since then, nobody saw.
pub fn all(py: Python<'_>, nobody_ran: bool) -> HashMap<usize, Uses> {
    let known: Vec<_> = {
        let known = KNOWN.lock();
        let copies = known.iter().map(|(code, it)| (*code, it.copied(py)));
        copies.collect()
    };
    let counts: Vec<_> =
        known.into_iter().filter_map(|(code, it)| Some((code, it.now(py)?))).collect();
    let living: HashSet<usize> = counts.iter().map(|(code, _)| *code).collect();
    let mut known = KNOWN.lock();
    known.retain(|code, _| living.contains(code));
    let mut all = HashMap::new();
    for (code, look) in counts {
        if let Some(it) = known.get_mut(&code) {
            // With fewer hits than before it was made to forget, and has run since.
            it.ran_unseen |= nobody_ran && (it.runs != look.runs || it.hits > look.hits);
            let has_forgotten = it.take(&look);
            let (hits, runs, ran_unseen) = (it.hits, it.runs, it.ran_unseen);
            all.insert(code, Uses { hits, runs, ran_unseen, has_forgotten });
        }
    }
    all
}

/// Whether the function with this code was made to forget since this was last asked, and ran since.
pub fn has_run_anew(py: Python<'_>, code: usize) -> bool {
    let known = KNOWN.lock().get(&code).map(|it| it.copied(py));
    let Some(look) = known.and_then(|it| it.now(py)) else {
        return false;
    };
    KNOWN.lock().get_mut(&code).is_some_and(|it| it.take(&look)) && look.runs > 0
}

/// The function with this code has taken something of which nobody knows what it read.
pub fn took_unseen(code: usize) {
    if let Some(it) = KNOWN.lock().get_mut(&code) {
        it.ran_unseen = true;
    }
}

/// The identity of the code of a function that remembers; `None` for anything else.
fn remembers(function: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let py = function.py();
    let kind = function.get_type();
    if kind.name()? != "_lru_cache_wrapper" || kind.module()? != "functools" {
        return Ok(None);
    }
    let inner = function.getattr(intern!(py, "__wrapped__"))?;
    Ok(inner.getattr_opt(intern!(py, "__code__"))?.map(|code| code.as_ptr() as usize))
}

/// The function with this code that remembers, where a decorator may have put something around it.
fn behind<'py>(
    definition: Option<Bound<'py, PyAny>>,
    code: usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut next = definition;
    for _ in 0..WRAPPERS {
        let Some(value) = next else { break };
        if remembers(&value)? == Some(code) {
            return Ok(Some(value));
        }
        let held = AROUND.iter().find_map(|part| value.getattr_opt(*part).ok().flatten());
        next = held.filter(|it| !it.is_none());
    }
    Ok(None)
}

/// Knows a function, of whose runs so many are seen.
fn know(function: &Bound<'_, PyAny>, code: usize, seen: u64) -> PyResult<()> {
    let (hits, runs) = counted(function)?;
    let weak = PyWeakrefReference::new(function)?.unbind();
    let new = Remembering { function: weak, hits, runs, ran_unseen: runs > seen };
    KNOWN.lock().entry(code).or_insert(new);
    // It may have run before a decorator was put around it.
    ORDINARY.lock().remove(&code);
    Ok(())
}

/// How often a function gave what it had remembered, and how often it ran.
fn counted(function: &Bound<'_, PyAny>) -> PyResult<(u64, u64)> {
    let (hits, runs, _, _): (u64, u64, Option<u64>, u64) =
        function.call_method0(intern!(function.py(), "cache_info"))?.extract()?;
    Ok((hits, runs))
}
