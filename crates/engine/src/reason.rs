//! Why a result was not stored, or a call went without the protection it asked for.

use std::collections::BTreeMap;

use thrifty_catalog::{CatalogError, Node};
use thrifty_store::PutError;

/// The reason in one word: counted, recorded and shown at the end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Others held the catalog for too long.
    Busy,
    /// There is no space left.
    Full,
    /// The cache cannot be written here.
    ReadOnly,
    /// The cache cannot be opened or read now.
    Unreadable,
    /// The catalog is damaged, or of another format.
    Damaged,
    /// The catalog failed in another way.
    Failed,
    /// The value is of a kind that cannot be stored.
    Unstorable,
    /// What the operation read changed while it ran.
    Changed,
    /// The key was invalidated, or taken over by another process.
    Fenced,
    /// Another result was stored before.
    Nondeterministic,
    /// It was made of something that nobody knows.
    Unknown,
    /// What it refers to was collected meanwhile.
    Collected,
    /// There is no key: an input or the code has no digest.
    Unkeyed,
    /// It was computed without waiting for who else computes it.
    Unserialised,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::Busy,
        Self::Full,
        Self::ReadOnly,
        Self::Unreadable,
        Self::Damaged,
        Self::Failed,
        Self::Unstorable,
        Self::Changed,
        Self::Fenced,
        Self::Nondeterministic,
        Self::Unknown,
        Self::Collected,
        Self::Unkeyed,
        Self::Unserialised,
    ];

    /// The word that is kept with the run, and that programs read.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Unreadable => "unreadable",
            Self::Damaged => "damaged",
            Self::Failed => "failed",
            Self::Unstorable => "unstorable",
            Self::Changed => "changed",
            Self::Fenced => "fenced",
            Self::Nondeterministic => "nondeterministic",
            Self::Unknown => "unknown",
            Self::Collected => "collected",
            Self::Unkeyed => "unkeyed",
            Self::Unserialised => "unserialised",
        }
    }

    /// The reason of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }

    /// What it says to people, after a number of operations.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Busy => "the cache was busy",
            Self::Full => "no space left",
            Self::ReadOnly => "the cache is read-only",
            Self::Unreadable => "the cache could not be read",
            Self::Damaged => "the catalog is damaged",
            Self::Failed => "the cache failed",
            Self::Unstorable => "a value that cannot be stored",
            Self::Changed => "an input changed meanwhile",
            Self::Fenced => "invalidated, replaced or taken over meanwhile",
            Self::Nondeterministic => "another result was stored before",
            Self::Unknown => "made of something that is not known",
            Self::Collected => "a part was collected meanwhile",
            Self::Unkeyed => "no key could be made",
            Self::Unserialised => "computed without waiting for others",
        }
    }

    /// Whether the result is in the cache all the same.
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Unserialised)
    }

    /// Whether the cache failed, and not the value, the key or what others did meanwhile.
    pub const fn is_fault(self) -> bool {
        match self {
            Self::Busy
            | Self::Full
            | Self::ReadOnly
            | Self::Unreadable
            | Self::Damaged
            | Self::Failed => true,
            Self::Unstorable
            | Self::Changed
            | Self::Fenced
            | Self::Nondeterministic
            | Self::Unknown
            | Self::Collected
            | Self::Unkeyed
            | Self::Unserialised => false,
        }
    }

    /// How many operations of a run have which reason, by its word.
    pub fn count(nodes: &[Node]) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for node in nodes.iter().filter(|node| !node.reason.is_empty()) {
            *counts.entry(node.reason.as_str()).or_default() += node.count;
        }
        counts
    }

    /// What is to be said of results that are not in the cache, or went there without protection,
    /// by the words of the reasons:
    /// `3 not stored (2 no space left, 1 the cache was busy), 1 computed without waiting for others`.
    /// Nothing if there are none.
    pub fn summary<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>) -> Option<String> {
        let (mut all, mut why, mut parts) = (0, Vec::new(), Vec::new());
        for (word, times) in counts {
            let reason = Self::from_word(word);
            let shown = format!("{times} {}", reason.map_or(word, |reason| reason.text()));
            if reason.is_some_and(Self::is_stored) {
                parts.push(shown);
            } else {
                all += times;
                why.push(shown);
            }
        }
        if all > 0 {
            parts.insert(0, format!("{all} not stored ({})", why.join(", ")));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

impl From<&CatalogError> for Reason {
    fn from(error: &CatalogError) -> Self {
        match error {
            CatalogError::Busy { .. } => Self::Busy,
            CatalogError::Full { .. } => Self::Full,
            CatalogError::ReadOnly { .. } => Self::ReadOnly,
            CatalogError::Unreadable { .. } => Self::Unreadable,
            CatalogError::Newer { .. }
            | CatalogError::Older { .. }
            | CatalogError::Damaged { .. } => Self::Damaged,
            CatalogError::Failed { .. } => Self::Failed,
        }
    }
}

impl From<&PutError> for Reason {
    fn from(error: &PutError) -> Self {
        match error {
            PutError::Full { .. } => Self::Full,
            PutError::ReadOnly { .. } | PutError::Denied { .. } => Self::ReadOnly,
            PutError::Unreadable { .. } => Self::Changed,
            PutError::Io { .. } => Self::Failed,
        }
    }
}
