//! Operations and their keys.

use thrifty_key::{
    Digest, DuplicatePart, Ingredients, Key, Kind, Part, Preview, digest_parts, key_of,
};

use crate::seed::Seed;

/// A unit of work, by everything that can change its result except its inputs.
///
/// Made once for each version of its code; the key of a call needs only the digests of the
/// inputs.
#[derive(Debug)]
pub struct Operation {
    name: String,
    fixed: Ingredients,
    digests: Vec<(Kind, Digest)>,
    texts: Vec<(Digest, String)>,
    notes: Vec<String>,
}

impl Operation {
    /// An operation whose fixed ingredients are given; those of kind [`Kind::Inputs`] belong to
    /// a call and must not be among them. The texts are source texts that previews refer to.
    pub fn new(name: impl Into<String>, fixed: Ingredients, texts: Vec<(Digest, String)>) -> Self {
        let digests = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::Inputs)
            .filter_map(|kind| Some((kind, fixed.digest(kind)?)))
            .collect();
        Self { name: name.into(), fixed, digests, texts, notes: Vec::new() }
    }

    /// The same, with what is to be known about its code: sentences for a person.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes = notes;
        self
    }

    /// What is to be known about its code.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The digest of a kind of its fixed ingredients.
    pub(crate) fn digest(&self, kind: Kind) -> Option<Digest> {
        let found = self.digests.iter().find(|(known, _)| *known == kind);
        found.map(|(_, digest)| *digest)
    }

    /// The same operation under a seed, with what makes its generators what they are: further
    /// parts of [`Kind::Seed`].
    ///
    /// # Errors
    ///
    /// [`DuplicatePart`] if it has a seed already.
    pub fn seeded(
        &self,
        seed: Seed,
        generators: impl IntoIterator<Item = (String, Part)>,
    ) -> Result<Self, DuplicatePart> {
        let mut fixed = self.fixed.clone();
        for (name, part) in generators.into_iter().chain([("seed".to_owned(), seed.part())]) {
            fixed.add(Kind::Seed, name, part.digest, part.preview)?;
        }
        let seeded = Self::new(self.name.clone(), fixed, self.texts.clone());
        Ok(seeded.with_notes(self.notes.clone()))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Source texts that the previews of the fixed ingredients refer to.
    pub fn texts(&self) -> &[(Digest, String)] {
        &self.texts
    }

    /// The key of a call with these inputs, sorted by name and without repetition.
    pub fn key<'a>(&self, inputs: impl ExactSizeIterator<Item = (&'a str, Digest)>) -> Key {
        let inputs = (inputs.len() > 0).then(|| digest_parts(Kind::Inputs, inputs));
        let split = self.digests.partition_point(|(kind, _)| *kind < Kind::Inputs);
        let (before, after) = self.digests.split_at(split);
        let inputs = inputs.map(|digest| (Kind::Inputs, digest));
        key_of(before.iter().copied().chain(inputs).chain(after.iter().copied()))
    }

    /// All ingredients of a call with these inputs.
    pub fn ingredients(&self, inputs: impl IntoIterator<Item = (String, Part)>) -> Ingredients {
        let mut all = self.fixed.clone();
        for (name, part) in inputs {
            // The binder of a call gives each parameter once, so no part can be a duplicate.
            let added = all.add(Kind::Inputs, name, part.digest, part.preview);
            debug_assert!(added.is_ok(), "{added:?}");
        }
        all
    }
}

/// The fixed ingredients of an operation that is known by its name alone.
pub(crate) fn named(name: &str) -> Operation {
    let mut fixed = Ingredients::new();
    let digest = thrifty_key::plain::digest_text(name);
    let added = fixed.add(Kind::Operation, "name", digest, Preview::text(name));
    debug_assert!(added.is_ok(), "{added:?}");
    Operation::new(name, fixed, Vec::new())
}
