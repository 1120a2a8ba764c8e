//! Secrets are kept out of the texts that are kept of failures.
//!
//! While any call is under way in this process, the texts of the secret arguments of all of them
//! are known, whichever thread they were given in: what a body raises passes through the bodies
//! around it, and those know nothing of what it was given.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use parking_lot::lock_api::GuardNoSend;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};

use super::handle::Handle;
use super::parameters::Arguments;
use super::task::Task;

/// What stands in the place of a secret.
const HIDDEN: &str = "[secret]";
/// What stands in the place of a text in which secrets cannot be told from the rest.
const WITHHELD: &str = "[withheld: it may hold a secret]";
/// Texts with fewer characters stand in others by chance.
const SHORT: usize = 4;
/// A secret with more parts is not looked for, so that no call waits for that.
const MOST: usize = 10_000;

static CALLS: AtomicUsize = AtomicUsize::new(0);
static IS_ANY: AtomicBool = AtomicBool::new(false);
/// Locked with the interpreter attached and for a moment, so that no fork can meet it locked.
static KNOWN: Mutex<Known> = Mutex::new(Known::new());

/// What is known of the secrets of the calls that are under way.
struct Known {
    /// Each as it may stand in a text.
    texts: BTreeSet<String>,
    /// Whether there is one whose text nobody knows.
    is_opaque: bool,
}

impl Known {
    const fn new() -> Self {
        Self { texts: BTreeSet::new(), is_opaque: false }
    }

    /// A secret text: as it is, as Python writes it, and each of its lines.
    fn text(&mut self, py: Python<'_>, text: &str) {
        let written = PyString::new(py, text).repr();
        let written = written.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        self.form(text);
        self.form(written.get(1..written.len().saturating_sub(1)).unwrap_or_default());
        let lines = text.lines().map(str::trim).filter(|line| !is_short(line));
        lines.for_each(|line| self.form(line));
    }

    fn form(&mut self, form: &str) {
        let form = form.trim();
        if !form.is_empty() {
            self.texts.insert(form.to_owned());
        }
    }

    /// Takes a value for secret, with all that is in it.
    fn learn(&mut self, value: &Bound<'_, PyAny>) {
        let mut seen: HashMap<usize, Bound<'_, PyAny>> = HashMap::new();
        let mut left = vec![value.clone()];
        while let Some(part) = left.pop() {
            let address = part.as_ptr() as usize;
            if seen.contains_key(&address) {
                continue;
            }
            if seen.len() >= MOST || !self.take(&part, &mut left) {
                self.is_opaque = true;
                return;
            }
            seen.insert(address, part);
        }
    }

    /// Takes one part; whether its text is known. What it holds comes to what is left.
    fn take<'py>(&mut self, part: &Bound<'py, PyAny>, left: &mut Vec<Bound<'py, PyAny>>) -> bool {
        let py = part.py();
        if let Ok(text) = part.cast::<PyString>() {
            self.text(py, &text.to_string_lossy());
        } else if let Ok(bytes) = part.cast::<PyBytes>() {
            self.bytes(py, bytes.as_bytes());
        } else if let Ok(bytes) = part.cast::<PyByteArray>() {
            self.bytes(py, &bytes.to_vec());
        } else if part.is_exact_instance_of::<PyInt>() || part.is_exact_instance_of::<PyFloat>() {
            match part.repr() {
                Ok(text) => self.form(&text.to_string_lossy()),
                Err(_) => return false,
            }
        } else if let Ok(dict) = part.cast::<PyDict>() {
            dict.iter().for_each(|(key, item)| left.extend([key, item]));
        } else if let Ok(items) = part.cast::<PyList>() {
            left.extend(items.iter());
        } else if let Ok(items) = part.cast::<PyTuple>() {
            left.extend(items.iter());
        } else if let Ok(items) = part.cast::<PySet>() {
            left.extend(items.iter());
        } else if let Ok(items) = part.cast::<PyFrozenSet>() {
            left.extend(items.iter());
        } else {
            let is_plain = part.is_none() || part.is_instance_of::<PyBool>();
            return is_plain || part.is_instance_of::<Handle>();
        }
        true
    }

    fn bytes(&mut self, py: Python<'_>, bytes: &[u8]) {
        self.text(py, &String::from_utf8_lossy(bytes));
        let written = PyBytes::new(py, bytes).repr();
        let written = written.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        self.form(written.get(2..written.len().saturating_sub(1)).unwrap_or_default());
    }

    /// The text without what is secret in it.
    fn hide(&self, text: String) -> String {
        let holds_short = || self.texts.iter().any(|it| is_short(it) && text.contains(&**it));
        if !text.is_empty() && (self.is_opaque || holds_short()) {
            return WITHHELD.to_owned();
        }
        let found = self.texts.iter().flat_map(|it| text.match_indices(&**it));
        let mut places: Vec<_> = found.map(|(at, it)| (at, at + it.len())).collect();
        places.sort_unstable();
        let (mut hidden, mut end) = (String::new(), 0);
        for (begins, ends) in places {
            // What overlaps or follows at once is one place.
            if begins > end || end == 0 {
                hidden.push_str(&text[end..begins]);
                hidden.push_str(HIDDEN);
            }
            end = end.max(ends);
        }
        hidden + &text[end..]
    }
}

fn is_short(text: &str) -> bool {
    text.chars().nth(SHORT - 1).is_none()
}

impl Task {
    /// Keeps what is secret among the arguments out of the texts of failures, as long as calls are
    /// under way.
    pub fn hide(&self, py: Python<'_>, arguments: &Arguments<'_>) -> PyResult<()> {
        let hooks = self.hooks(py)?.parameters.iter().zip(arguments);
        let secrets = hooks.filter_map(|(hook, value)| value.as_ref().filter(|_| hook.secret));
        secrets.for_each(learn);
        Ok(())
    }
}

/// A call is under way, until this is dropped: what was secret in it stays known as long.
pub struct UnderWay(());

/// A call begins.
pub fn begin() -> UnderWay {
    CALLS.fetch_add(1, Ordering::SeqCst);
    UnderWay(())
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if CALLS.fetch_sub(1, Ordering::SeqCst) == 1 && IS_ANY.load(Ordering::SeqCst) {
            let mut known = KNOWN.lock();
            // Another call may have begun, and told of its secrets.
            if CALLS.load(Ordering::SeqCst) == 0 {
                *known = Known::new();
                IS_ANY.store(false, Ordering::SeqCst);
            }
        }
    }
}

/// Takes an argument for secret.
fn learn(value: &Bound<'_, PyAny>) {
    let mut found = Known::new();
    found.learn(value);
    let mut known = KNOWN.lock();
    known.texts.append(&mut found.texts);
    known.is_opaque |= found.is_opaque;
    IS_ANY.store(true, Ordering::SeqCst);
}

/// What may be kept of a text that tells of a failure.
fn hide(text: String) -> String {
    if IS_ANY.load(Ordering::SeqCst) { KNOWN.lock().hide(text) } else { text }
}

/// What may be kept of what an exception says.
pub fn message(py: Python<'_>, error: &PyErr) -> String {
    hide(crate::shown::message(py, error))
}

/// In a forked child: a thread that is not here may have held the lock.
pub fn after_fork() {
    if KNOWN.try_lock().is_none() {
        // SAFETY: the thread that held it is not in this process.
        unsafe { KNOWN.force_unlock(GuardNoSend::new()) };
    }
}

/// What may be kept of a text that tells of a failure.
#[pyfunction]
#[pyo3(name = "hide_secrets")]
fn hide_secrets(text: String) -> String {
    hide(text)
}

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(hide_secrets, module)?)
}
