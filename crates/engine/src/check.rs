//! What it says about an entry that its operation was executed again.
//!
//! Executing is the business of the language binding: in a process of its own, with the values
//! that the key was made of. Here is what it found, in the words that events, history, terminal
//! and programs share. Nothing of it touches an entry.

use std::time::Duration;

use thrifty_key::Key;

/// One operation that hit and was executed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its number in the run.
    pub number: u32,
    /// Its name.
    pub operation: String,
    /// The key of its entry.
    pub key: Option<Key>,
    /// What was found.
    pub verdict: Verdict,
    /// Where what came out is not what is stored, and how: a line a place.
    pub differences: Vec<String>,
    /// What its body reads without declaring it: files, directories, variables.
    pub reads: Vec<String>,
    /// What may have made the difference, likeliest first.
    pub causes: Vec<String>,
    /// What was raised, or why it could not be checked; may be empty.
    pub reason: String,
    /// How long it took to execute it, as often as that was done.
    pub spent: Duration,
}

/// What a check found of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// What came out is what is stored.
    Same,
    /// It came out different each time: the operation is not deterministic.
    Nondeterministic,
    /// It came out twice the same, and not as it is stored: the key misses something.
    Differs,
    /// It fails now.
    Failed,
    /// It cannot be executed in a clean process, or its result cannot be compared.
    NotCheckable,
}

impl Verdict {
    /// All verdicts, the good one first and the worst in the middle.
    pub const ALL: [Self; 5] =
        [Self::Same, Self::Nondeterministic, Self::Differs, Self::Failed, Self::NotCheckable];

    /// The word that is shown and kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Nondeterministic => "nondeterministic",
            Self::Differs => "differs",
            Self::Failed => "failed",
            Self::NotCheckable => "not-checkable",
        }
    }

    /// The verdict of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }

    /// Whether the entry is in doubt.
    pub const fn is_finding(self) -> bool {
        match self {
            Self::Nondeterministic | Self::Differs | Self::Failed => true,
            Self::Same | Self::NotCheckable => false,
        }
    }
}

impl Checked {
    /// One line for records and logs.
    ///
    /// ```
    /// use thrifty_engine::check::{Checked, Verdict};
    ///
    /// let checked = Checked {
    ///     number: 3,
    ///     operation: "pipeline.train".to_owned(),
    ///     key: None,
    ///     verdict: Verdict::Differs,
    ///     differences: vec!["result[\"rmse\"]: 0.1 → 0.2".to_owned(), "…".to_owned()],
    ///     reads: Vec::new(),
    ///     causes: Vec::new(),
    ///     reason: String::new(),
    ///     spent: std::time::Duration::ZERO,
    /// };
    /// assert_eq!(checked.line(), "checked: differs: result[\"rmse\"]: 0.1 → 0.2");
    /// ```
    pub fn line(&self) -> String {
        let first = self.differences.first().unwrap_or(&self.reason);
        let first = first.lines().next().unwrap_or_default();
        let colon = if first.is_empty() { "" } else { ": " };
        format!("checked: {}{colon}{first}", self.verdict.word())
    }
}

/// Whether everything that was checked is as it is stored, and something was.
pub fn is_proven(checks: &[Checked]) -> bool {
    let mut verdicts = checks.iter().map(|checked| checked.verdict);
    verdicts.clone().any(|verdict| verdict == Verdict::Same) && !verdicts.any(Verdict::is_finding)
}
