//! Seeds: who draws from one.

use serde_saphyr::Spanned;
use thrifty_engine::Seed;

use super::Check;
use crate::attempt::SEED;
use crate::document::{Operation, Run, Seeded};
use crate::error::{FileError, Place};
use crate::pipeline::Drawn;
use crate::template;

impl Check<'_> {
    /// The seed that the file states.
    pub(super) fn seed(&self) -> Result<Option<Seed>, FileError> {
        self.document.seed.as_ref().map(|seed| self.seed_of(seed, seed.value)).transpose()
    }

    /// The seed that an operation draws from: it says so, or its command names it. A command
    /// that does neither is given none, so that it cannot depend on it.
    pub(super) fn drawn(&self, operation: &Operation) -> Result<Option<Drawn>, FileError> {
        let in_force = |at| Some(Drawn::InForce(Place::of(self.path, at)));
        let is_declared =
            [&self.document.env, &operation.env].iter().any(|it| it.contains_key(SEED));
        let named = names_a_seed(&operation.run.value, is_declared);
        Ok(match &operation.seed {
            Some(seed) => match seed.value {
                Seeded::Pinned(number) => Some(Drawn::Own(self.seed_of(seed, number)?)),
                Seeded::Used(true) => in_force(seed.referenced),
                Seeded::Used(false) if named => {
                    let reason = "`seed: false`, and the command names the seed: leave one out";
                    return Err(self.wrong(seed.referenced, reason));
                }
                Seeded::Used(false) => None,
            },
            None if named => in_force(operation.run.referenced),
            None => None,
        })
    }

    pub(super) fn seed_of<T>(&self, at: &Spanned<T>, number: u64) -> Result<Seed, FileError> {
        Seed::new(number).ok_or_else(|| {
            let reason = format!("a seed is a whole number from 0 to {}", Seed::LARGEST);
            self.wrong(at.referenced, reason)
        })
    }
}

/// Whether a command says that it uses its seed. The variable may be one that it declares itself.
fn names_a_seed(run: &Run, is_declared: bool) -> bool {
    let words = match run {
        Run::Shell(text) => std::slice::from_ref(text),
        Run::Words(words) => words,
    };
    let in_template = |word: &String| {
        word.contains("seed") && template::names(word).is_ok_and(|it| it.contains("seed"))
    };
    words.iter().any(|word| (!is_declared && word.contains(SEED)) || in_template(word))
}
