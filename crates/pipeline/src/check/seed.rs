//! Seeds: who draws from one.

use thrifty_engine::Seed;

use super::{Check, World};
use crate::attempt::SEED;
use crate::document::{Document, Operation, Run, Seeded};
use crate::error::FileError;
use crate::pipeline::Drawn;
use crate::place::{Location, Spanned};
use crate::template;

impl World<'_> {
    /// The seed that a file states.
    pub(super) fn seed_stated(&self, document: &Document) -> Result<Option<Seed>, FileError> {
        document.seed.as_ref().map(|seed| self.seed_of(seed, seed.value)).transpose()
    }

    pub(super) fn seed_of<T>(&self, at: &Spanned<T>, number: u64) -> Result<Seed, FileError> {
        Seed::new(number).ok_or_else(|| {
            let reason = format!("a seed is a whole number from 0 to {}", Seed::LARGEST);
            self.wrong(at.referenced, reason)
        })
    }
}

impl Check<'_> {
    /// The seed that a command draws from: its operation says so, or it names it. A command
    /// that does neither is given none, so that it cannot depend on it.
    pub(super) fn drawn(
        &self,
        operation: &Operation,
        run: &Spanned<Run>,
    ) -> Result<Option<Drawn>, FileError> {
        let in_force = |at| Some(self.in_force(at));
        let is_declared = self.scope.env.contains_key(SEED) || operation.env.contains_key(SEED);
        let named = names_a_seed(&run.value, is_declared);
        Ok(match &operation.seed {
            Some(seed) => match seed.value {
                Seeded::Pinned(number) => Some(Drawn::Own(self.world.seed_of(seed, number)?)),
                Seeded::Used(true) => in_force(seed.referenced),
                Seeded::Used(false) if named => {
                    let reason = "`seed: false`, and the command names the seed: leave one out";
                    return Err(self.wrong(seed.referenced, reason));
                }
                Seeded::Used(false) => None,
            },
            None => {
                let at = operation.seeds.as_ref().map(|seeds| seeds.referenced);
                at.or(named.then_some(run.referenced)).and_then(in_force)
            }
        })
    }

    /// The seed in force for what asks for one there: of `seeds`, that of the copy.
    pub(super) fn in_force(&self, at: Location) -> Drawn {
        match self.scope.drawn {
            Some(seed) => Drawn::Own(seed),
            None => Drawn::InForce { at: self.world.sources.place(at), stated: self.scope.seed },
        }
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
