//! Notes on operations: of their code, what was not followed, and by which rule something was
//! resolved; of their bodies, what they did unseen.
//!
//! They are no part of any key, so they are kept as memos beside the entries: those on code by its
//! digest, a [`Note`] by all that the operation is but its inputs. So every later process can
//! repeat them, also of a hit.

use thrifty_catalog::{Catalog, CatalogError};
use thrifty_key::{Context, Digest, Hasher, Ingredients, Key, Kind, key_of};

use crate::operation::Operation;

/// The memos of notes on code.
const OF_CODE: &str = "notes";
/// The memos of notes on bodies.
const OF_BODIES: &str = "unseen";
/// How many bytes of its digest choose a body's memo: a newer note may take the place of an older
/// one, so that there are never more memos than this allows.
const SLOT: usize = 2;

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
    /// It took what a function had remembered since before any body ran.
    Remembered,
}

impl Note {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Process,
        Self::Network,
        Self::Database,
        Self::Random,
        Self::Environment,
        Self::Handle,
        Self::Remembered,
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
                "draws random numbers that no seed decides, so that each run gives another result: \
                 give it a seed, and if it takes an `rng`, let it draw from that alone"
            }
            Self::Environment => {
                "takes all environment variables at once, which is not observed: name those that \
                 matter with Cache(env=…)"
            }
            Self::Handle => {
                "opens files from the handle of a directory, which is not observed: declare them \
                 with Cache(files=…), or hand the directory over as Dir"
            }
            Self::Remembered => {
                "takes what a function with functools.lru_cache has remembered since before the \
                 task ran, and what that had read is not observed: if it read something, hand its \
                 result over, or clear it with cache_clear()"
            }
        }
    }

    /// The word that stands for it between processes, and in memos.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Network => "network",
            Self::Database => "database",
            Self::Random => "random",
            Self::Environment => "environment",
            Self::Handle => "handle",
            Self::Remembered => "remembered",
        }
    }

    /// The note of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|note| note.word() == word)
    }
}

/// What bodies of an operation did unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// The operation.
    pub operation: String,
    /// What they did.
    pub note: Note,
}

/// The notes on the call with these ingredients, as sentences: on its code, and on its body.
///
/// # Errors
///
/// [`CatalogError`] if the catalog cannot be read.
pub fn notes(
    catalog: &dyn Catalog,
    ingredients: &Ingredients,
) -> Result<Vec<String>, CatalogError> {
    let code = ingredients.digest(Kind::Code);
    let kept = code.map(|code| catalog.recall(OF_CODE, code.as_bytes())).transpose()?;
    let kept = kept.flatten().unwrap_or_default();
    let mut all: Vec<_> = String::from_utf8_lossy(&kept).lines().map(str::to_owned).collect();
    all.extend(noted(catalog, ingredients)?.into_iter().map(|note| format!("it {}", note.text())));
    Ok(all)
}

/// What bodies of the operation with these ingredients did unseen.
pub(crate) fn noted(
    catalog: &dyn Catalog,
    ingredients: &Ingredients,
) -> Result<Vec<Note>, CatalogError> {
    let fixed = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Inputs);
    let fixed = key_of(fixed.filter_map(|kind| Some((kind, ingredients.digest(kind)?))));
    let mut all = Vec::new();
    for note in Note::ALL {
        let name = name_of(&fixed, note);
        let kept = catalog.recall(OF_BODIES, slot(&name))?;
        all.extend(kept.is_some_and(|kept| kept == name.as_bytes()).then_some(note));
    }
    Ok(all)
}

/// Keeps the notes on the code of an operation.
pub(crate) fn remember(catalog: &dyn Catalog, operation: &Operation) -> Result<(), CatalogError> {
    match operation.digest(Kind::Code) {
        Some(code) if !operation.notes().is_empty() => {
            let text = operation.notes().join("\n");
            catalog.remember(OF_CODE, &[(code.as_bytes().as_slice(), text.as_bytes())])
        }
        _ => Ok(()),
    }
}

/// Keeps what a body did unseen, by these digests.
pub(crate) fn remember_unseen(
    catalog: &dyn Catalog,
    digests: &[Digest],
) -> Result<(), CatalogError> {
    let memos: Vec<_> = digests.iter().map(|it| (slot(it), it.as_bytes().as_slice())).collect();
    catalog.remember(OF_BODIES, &memos)
}

/// What stands for a note on bodies of an operation.
pub(crate) fn digest_of(operation: &Operation, note: Note) -> Digest {
    name_of(&operation.key(std::iter::empty()), note)
}

fn name_of(fixed: &Key, note: Note) -> Digest {
    let mut hasher = Hasher::new(Context::Value);
    hasher.framed(b"thrifty unseen").digest(fixed).framed(note.word().as_bytes()).finish()
}

fn slot(name: &Digest) -> &[u8] {
    &name.as_bytes()[..SLOT]
}
