//! The ingredients of a key: everything that can change the result of an operation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Context, Digest, Hasher};
use crate::preview::Preview;

/// The key of an operation: the digest of all its [`Ingredients`].
pub type Key = Digest;

/// The kinds of ingredient, in the order in which they enter the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The name of the operation.
    Operation,
    /// A version given by the user, which stands in for the code.
    Version,
    /// The code the operation can reach.
    Code,
    /// Names and declared types of parameters and outputs, and ids of serializers.
    Signature,
    /// The values of the arguments.
    Inputs,
    /// Configuration the operation declares.
    Config,
    /// Interpreter, packages and environment variables.
    Environment,
    /// Files declared beside the arguments.
    Files,
    /// The seed of random number generators.
    Seed,
    /// A text of the user that keeps entries apart.
    Salt,
}

impl Kind {
    /// All kinds, in key order.
    pub const ALL: [Self; 10] = [
        Self::Operation,
        Self::Version,
        Self::Code,
        Self::Signature,
        Self::Inputs,
        Self::Config,
        Self::Environment,
        Self::Files,
        Self::Seed,
        Self::Salt,
    ];

    /// The lower-case word for the kind, as in `docs/formats/key.md`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Version => "version",
            Self::Code => "code",
            Self::Signature => "signature",
            Self::Inputs => "inputs",
            Self::Config => "config",
            Self::Environment => "environment",
            Self::Files => "files",
            Self::Seed => "seed",
            Self::Salt => "salt",
        }
    }
}

/// One part of an ingredient: a parameter, a function, a package, a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What the digest stands for.
    pub digest: Digest,
    /// What may be shown of it.
    pub preview: Preview,
}

/// The part was added before: two parts of one name would hide each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} ingredient {name:?} was given twice", kind.word())]
pub struct DuplicatePart {
    /// The kind it was added to.
    pub kind: Kind,
    /// The name given twice.
    pub name: String,
}

/// Everything that can change the result of an operation, ready to become a [`Key`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredients(BTreeMap<Kind, BTreeMap<String, Part>>);

impl Ingredients {
    /// No ingredient yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one part.
    ///
    /// # Errors
    ///
    /// [`DuplicatePart`] if the kind has a part of this name already.
    pub fn add(
        &mut self,
        kind: Kind,
        name: impl Into<String>,
        digest: Digest,
        preview: Preview,
    ) -> Result<(), DuplicatePart> {
        let name = name.into();
        let parts = self.0.entry(kind).or_default();
        if parts.contains_key(&name) {
            return Err(DuplicatePart { kind, name });
        }
        parts.insert(name, Part { digest, preview });
        Ok(())
    }

    /// The parts of one kind, by name.
    pub fn parts(&self, kind: Kind) -> impl Iterator<Item = (&str, &Part)> {
        self.0.get(&kind).into_iter().flatten().map(|(name, part)| (name.as_str(), part))
    }

    /// One part.
    pub fn part(&self, kind: Kind, name: &str) -> Option<&Part> {
        self.0.get(&kind)?.get(name)
    }

    /// The digest of one kind; `None` if it has no part.
    pub fn digest(&self, kind: Kind) -> Option<Digest> {
        let parts = self.0.get(&kind)?;
        Some(digest_parts(kind, parts.iter().map(|(name, part)| (name.as_str(), part.digest))))
    }

    /// The key: the digest over all kinds that have a part.
    pub fn key(&self) -> Key {
        key_of(Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.digest(kind)?))))
    }
}

/// The digest of one kind from its parts, which must come sorted by name and without repetition.
///
/// The hot path of a hit, which knows all other ingredients of a task beforehand, uses this and
/// [`key_of`] instead of building [`Ingredients`].
pub fn digest_parts<'a>(
    kind: Kind,
    parts: impl ExactSizeIterator<Item = (&'a str, Digest)>,
) -> Digest {
    let mut hasher = Hasher::new(Context::Ingredient);
    hasher.tag(kind as u8).count(parts.len());
    for (name, digest) in parts {
        hasher.framed(name.as_bytes()).digest(&digest);
    }
    hasher.finish()
}

/// The key from the digests of its kinds, which must come in the order of [`Kind::ALL`].
pub fn key_of(kinds: impl Iterator<Item = (Kind, Digest)>) -> Key {
    let mut hasher = Hasher::new(Context::Key);
    for (kind, digest) in kinds {
        hasher.tag(kind as u8).digest(&digest);
    }
    hasher.finish()
}
