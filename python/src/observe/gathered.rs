//! What is known of a body once it is over.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use thrifty_engine::Reason;
use thrifty_engine::annotations::Metric;
use thrifty_engine::answer::Terms;
use thrifty_engine::catalog::Time;
use thrifty_engine::graph::{Expansion, Made, Unstored};
use thrifty_engine::made_of::Parts;
use thrifty_engine::observed::{Observation, Observed, Place, State};
use thrifty_engine::record::Draft;
use thrifty_key::{Context, Hasher};

use super::measured;
use super::note::Note;

/// What is known of a body once it is over.
#[derive(Debug, Default)]
pub struct Gathered {
    /// What it read. With a problem, there is something among it that never holds, so that
    /// nothing which was made of it can be taken for valid.
    pub observed: Vec<Observation>,
    /// Why its result must not be stored.
    pub problem: Option<Unstored>,
    /// When the first of the results expires that it took from operations it called.
    pub expires_at: Option<Time>,
    /// Those operations.
    pub made_of: Parts,
    /// What it measured.
    pub metrics: Vec<Metric>,
    /// What it did that cannot be followed.
    pub notes: BTreeSet<Note>,
}

impl Gathered {
    /// The same, of a body whose look at this is worth nothing.
    pub(super) fn unsteady(mut self, problem: Option<(Observed, Unstored)>) -> Self {
        if let Some((what, unstored)) = problem {
            self.observed.retain(|it| it.what != what);
            self.observed.push(Observation { what, state: never() });
            self.problem = Some(unstored);
        }
        self
    }

    /// The same, of a body that was given a file which changed meanwhile: a sentence.
    pub fn of_changed(self, path: &Path, text: String) -> Self {
        let what = Observed::File(Place::Absolute(path.to_string_lossy().into_owned()));
        self.unsteady(Some((what, Unstored { reason: Reason::Changed, text })))
    }

    /// Puts it with the value that the body made.
    pub fn onto(mut self, mut made: Made) -> Made {
        made.draft = made.draft.map(|draft| self.measured(draft));
        made.observed = self.observed;
        made.expires_at = self.expires_at;
        made.made_of = self.made_of;
        if let Some(problem) = self.problem {
            made.draft = Err(problem);
        }
        made
    }

    /// The value that the body made, with what it measured.
    pub fn measured(&mut self, draft: Draft) -> Draft {
        measured::with(draft, std::mem::take(&mut self.metrics))
    }

    /// What whoever goes on after the failure of the body depends on.
    pub fn into_terms(self) -> Terms {
        let Self { observed, expires_at, mut made_of, problem, .. } = self;
        if problem.is_some() {
            made_of.merge(&Parts::unknown());
        }
        Terms { observed: observed.into(), expires_at, made_of: Arc::new(made_of) }
    }

    /// Puts it with the operations that the body became.
    pub fn onto_expansion(mut self, mut expansion: Expansion) -> Expansion {
        expansion.output = self.measured(expansion.output);
        let Self { observed, expires_at, made_of, problem, .. } = self;
        Expansion { observed, expires_at, made_of, unstored: problem, ..expansion }
    }
}

/// A state in which nothing ever is.
fn never() -> State {
    State::Digest(Hasher::new(Context::Value).framed(b"thrifty.Unsteady").finish())
}
