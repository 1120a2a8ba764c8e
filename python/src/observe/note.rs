//! What was seen and cannot be followed.

use std::collections::HashSet;
use std::sync::LazyLock;

use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::warning;

/// What a body did that decides about its result in ways that no key can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// It started another program or process.
    Process,
    /// It spoke to another machine.
    Network,
    /// It opened a database.
    Database,
    /// It drew random numbers that nobody seeded.
    Random,
    /// It took all environment variables at once.
    Environment,
    /// It opened a file from the handle of a directory.
    Handle,
}

impl Note {
    const ALL: [Self; 6] = [
        Self::Process,
        Self::Network,
        Self::Database,
        Self::Random,
        Self::Environment,
        Self::Handle,
    ];

    /// What was done, and what to do about it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Process => {
                "starts another program, and what that reads is not observed: declare it with \
                 Cache(files=…, env=…), or hand it over as File or Dir"
            }
            Self::Network => {
                "uses the network, and what comes from there is not observed: pass a version or \
                 date as an argument, or say how long it holds with Cache(max_age=…)"
            }
            Self::Database => {
                "opens a database, and what it holds is not observed: declare it with \
                 Cache(files=…), or hand it over as File"
            }
            Self::Random => {
                "draws random numbers without a seed, so that each run gives another result: \
                 give it a seed"
            }
            Self::Environment => {
                "takes all environment variables at once, which is not observed: name those that \
                 matter with Cache(env=…)"
            }
            Self::Handle => {
                "opens files from the handle of a directory, which is not observed: declare them \
                 with Cache(files=…), or hand the directory over as Dir"
            }
        }
    }

    /// The word that stands for it between processes.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Network => "network",
            Self::Database => "database",
            Self::Random => "random",
            Self::Environment => "environment",
            Self::Handle => "handle",
        }
    }

    /// The note of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|note| note.word() == word)
    }
}

/// What was warned of in this process.
static WARNED: LazyLock<Mutex<HashSet<(String, Note)>>> = LazyLock::new(Mutex::default);

/// Warns of what an operation did, once for each kind. A warning that was made an error does not
/// reach the body: it did nothing wrong.
pub fn warn(py: Python<'_>, operation: &str, notes: impl IntoIterator<Item = Note>) {
    for note in notes {
        if WARNED.lock().insert((operation.to_owned(), note)) {
            let text = note.text();
            let text = format!("{operation} {text}; or Cache(observe=False) if it does not matter");
            _ = warning::warn(py, &text);
        }
    }
}
