//! Were random numbers drawn from the generators that all share?

use std::collections::HashMap;
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// In how many runs of an operation in a process this is looked at: states are kilobytes, and
/// would cost a short body more than all the rest.
const RUNS: u8 = 3;

/// In how many it was, by operation.
static LOOKED: LazyLock<Mutex<HashMap<String, u8>>> = LazyLock::new(Mutex::default);

/// The states of the shared generators when a body begins.
pub(super) struct Before {
    python: Option<Py<PyAny>>,
    numpy: Option<Py<PyAny>>,
}

impl Before {
    /// The states now, if this run of the operation is one of those that are looked at.
    pub(super) fn first_runs(py: Python<'_>, operation: &str) -> Option<Self> {
        let is_first = {
            let mut looked = LOOKED.lock();
            match looked.get_mut(operation) {
                Some(runs) if *runs >= RUNS => false,
                Some(runs) => {
                    *runs += 1;
                    true
                }
                None => looked.insert(operation.to_owned(), 1).is_none(),
            }
        };
        is_first.then(|| Self::now(py))
    }

    /// The states now.
    fn now(py: Python<'_>) -> Self {
        Self { python: python(py), numpy: numpy(py) }
    }

    /// Whether a generator that was there is in another state.
    pub(super) fn was_drawn_from(&self, py: Python<'_>) -> bool {
        let differs = |before: &Option<Py<PyAny>>, now: Option<Py<PyAny>>| match (before, now) {
            (Some(before), Some(now)) => !before.bind(py).eq(now).unwrap_or(true),
            _ => false,
        };
        differs(&self.python, python(py)) || differs(&self.numpy, numpy(py))
    }
}

fn loaded<'py>(py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
    let modules = py.import(intern!(py, "sys")).ok()?.getattr(intern!(py, "modules")).ok()?;
    modules.cast::<PyDict>().ok()?.get_item(name).ok()?
}

fn python(py: Python<'_>) -> Option<Py<PyAny>> {
    let state = loaded(py, "random")?.call_method0(intern!(py, "getstate")).ok()?;
    Some(state.unbind())
}

/// Position and a digest of the words: an array cannot be compared by `==` alone.
fn numpy(py: Python<'_>) -> Option<Py<PyAny>> {
    let generator = loaded(py, "numpy.random.mtrand")?.getattr(intern!(py, "_rand")).ok()?;
    let state = generator.call_method0(intern!(py, "get_state")).ok()?;
    let words = state.get_item(1).ok()?.call_method0(intern!(py, "tobytes")).ok()?;
    let position = state.get_item(2).ok()?;
    Some((words, position).into_pyobject(py).ok()?.into_any().unbind())
}
