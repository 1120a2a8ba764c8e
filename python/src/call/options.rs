//! The fields of `thrifty.Cache`, as the definition or an invocation of an operation gives them.

use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use thrifty_engine::{Choices, Mode, OnFailure, Policy};

use super::context::RunOptions;
use super::session::Session;
use crate::code::Depth;
use crate::observe::Wish;

/// What one level says about the cache. A field that is `None` says nothing.
#[derive(Default)]
pub struct Options {
    /// Whether it is read and written.
    pub mode: Option<Mode>,
    /// Stands in for the code.
    pub version: Option<String>,
    /// How far the code is followed.
    pub code: Option<Depth>,
    /// Parameters that do not enter the key.
    pub ignore: Option<Vec<String>>,
    /// The only parameters that enter the key.
    pub inputs: Option<Vec<String>>,
    /// Keeps entries apart.
    pub salt: Option<String>,
    /// The user's own key function.
    pub key: Option<Py<PyAny>>,
    /// Environment variables that enter the key.
    pub env: Option<Vec<String>>,
    /// Distributions whose versions enter the key.
    pub packages: Option<Vec<String>>,
    /// Files whose contents enter the key.
    pub files: Option<Vec<String>>,
    /// Source files whose contents enter the code.
    pub sources: Option<Vec<String>>,
    /// Whether what the body reads is observed.
    pub observe: Option<bool>,
    /// Compute once across processes.
    pub serialize: Option<bool>,
    /// What waiters do when the computation fails.
    pub on_failure: Option<OnFailure>,
    /// The oldest entry the reader accepts.
    pub max_age: Option<Duration>,
    /// How long a new entry is valid.
    pub expires: Option<Duration>,
}

impl Options {
    /// Shows the collector what is held.
    ///
    /// # Errors
    ///
    /// What it wants to be told back.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.key)
    }

    /// Reads the attributes of a `thrifty.Cache`; nothing of `None`.
    ///
    /// # Errors
    ///
    /// What Python raises for an object that is not one. Its fields were checked when it was
    /// made.
    pub fn of(cache: &Bound<'_, PyAny>) -> PyResult<Self> {
        if cache.is_none() {
            return Ok(Self::default());
        }
        let word = |name: &str| cache.getattr(name)?.extract::<Option<String>>();
        let words = |name: &str| cache.getattr(name)?.extract::<Option<Vec<String>>>();
        let duration = |name: &str| {
            let seconds: Option<f64> = cache.getattr(name)?.extract()?;
            seconds
                .map(|seconds| named(Duration::try_from_secs_f64(seconds).ok(), name))
                .transpose()
        };
        let key = cache.getattr("key")?;
        Ok(Self {
            mode: word("mode")?.map(|word| named(Mode::from_word(&word), "mode")).transpose()?,
            version: word("version")?,
            code: word("code")?.map(|word| named(depth(&word), "code")).transpose()?,
            ignore: words("ignore")?,
            inputs: words("inputs")?,
            salt: word("salt")?,
            key: (!key.is_none()).then(|| key.unbind()),
            env: words("env")?,
            packages: words("packages")?,
            files: words("files")?,
            sources: words("sources")?,
            observe: cache.getattr("observe")?.extract()?,
            serialize: cache.getattr("serialize")?.extract()?,
            on_failure: word("on_failure")?
                .map(|word| named(on_failure(&word), "on_failure"))
                .transpose()?,
            max_age: duration("_max_age_seconds")?,
            expires: duration("_expires_seconds")?,
        })
    }

    /// What this level says, and `below` where it says nothing.
    pub fn over(&self, py: Python<'_>, below: &Self) -> Self {
        macro_rules! pick {
            ($field:ident) => {
                self.$field.clone().or_else(|| below.$field.clone())
            };
        }
        let key = self.key.as_ref().or(below.key.as_ref()).map(|key| key.clone_ref(py));
        Self {
            mode: pick!(mode),
            version: pick!(version),
            code: pick!(code),
            ignore: pick!(ignore),
            inputs: pick!(inputs),
            salt: pick!(salt),
            key,
            env: pick!(env),
            packages: pick!(packages),
            files: pick!(files),
            sources: pick!(sources),
            observe: pick!(observe),
            serialize: pick!(serialize),
            on_failure: pick!(on_failure),
            max_age: pick!(max_age),
            expires: pick!(expires),
        }
    }

    /// What these options keep out of the key, in words.
    pub fn blind_spots(&self) -> Vec<String> {
        let mut spots = Vec::new();
        if let Some(version) = &self.version {
            spots.push(format!(
                "version={version:?} stands in for its code, which may have changed"
            ));
        } else if let Some(depth @ (Depth::Function | Depth::None)) = self.code {
            let what = if depth == Depth::None { "its code" } else { "what it calls" };
            spots.push(format!("its key does not see {what}, which may have changed"));
        }
        if self.key.is_some() {
            spots.push("its key function stands in for its arguments".to_owned());
        }
        if let Some(names) = &self.inputs {
            spots.push(format!("of its arguments only {} enter its key", names.join(", ")));
        }
        if let Some(names) = self.ignore.as_ref().filter(|names| !names.is_empty()) {
            spots.push(format!("its key does not see the arguments {}", names.join(", ")));
        }
        spots
    }

    /// Whether what the body reads is observed.
    pub fn observes(&self, session: &Session) -> bool {
        self.observe.unwrap_or(session.settings.observe.value)
    }

    /// What is to become of what the body reads, in a call of this mode.
    pub fn wish(&self, session: &Session, mode: Mode) -> Wish {
        if mode == Mode::Off {
            Wish::Pass
        } else if self.key.is_none() && self.observes(session) {
            Wish::Observe
        } else {
            Wish::Ignore
        }
    }

    /// Whether the parameter enters the key.
    pub fn takes(&self, parameter: &str) -> bool {
        let among = |names: &Option<Vec<String>>| {
            names.as_ref().map(|names| names.iter().any(|name| name == parameter))
        };
        among(&self.inputs).unwrap_or(true) && !among(&self.ignore).unwrap_or(false)
    }
}

fn named<T>(value: Option<T>, field: &str) -> PyResult<T> {
    value.ok_or_else(|| {
        PyValueError::new_err(format!("the field {field} of Cache has no such value"))
    })
}

fn depth(word: &str) -> Option<Depth> {
    match word {
        "closure" => Some(Depth::Closure),
        "function" => Some(Depth::Function),
        "none" => Some(Depth::None),
        _ => None,
    }
}

fn on_failure(word: &str) -> Option<OnFailure> {
    match word {
        "next" => Some(OnFailure::Next),
        "share" => Some(OnFailure::Share),
        _ => None,
    }
}

/// How a call uses the cache, given who chose what.
pub(super) fn policy(choices: Choices, options: &Options, run: &RunOptions) -> Policy {
    let (mode, rule) = choices.decide();
    Policy {
        mode,
        rule,
        serialize: options.serialize.unwrap_or(run.serialize),
        now: run.now,
        on_failure: options.on_failure.unwrap_or_default(),
        fail_fast: false,
        max_age: options.max_age,
        expires: options.expires,
    }
}
