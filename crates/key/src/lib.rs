//! WHAT is this operation?
//!
//! Everything that can change the result of an operation becomes an *ingredient*, every
//! ingredient a [`Digest`], and the [`Ingredients`] together one [`Key`]. Values enter through
//! the canonical [`plain`] encoding, so that equal values have equal digests in every process,
//! language and version, and `1`, `1.0`, `True` and `"1"` never meet.
//!
//! The crate is pure: no I/O, no clock, no threads. The formats it defines are published in
//! `docs/formats/key.md` with golden vectors.
//!
//! ```
//! use thrifty_key::{Ingredients, Kind, Preview, plain};
//!
//! let seven = plain::digest(&plain::int(7)).unwrap();
//! let mut ingredients = Ingredients::new();
//! ingredients.add(Kind::Operation, "name", plain::digest_text("square"), Preview::text("square")).unwrap();
//! ingredients.add(Kind::Inputs, "n", seven, Preview::text("7")).unwrap();
//! assert_eq!(ingredients.key().to_string().len(), 64);
//! ```

mod digest;
pub mod explain;
mod ingredient;
mod native;
pub mod plain;
mod preview;
pub mod tree;

pub use digest::{Context, Digest, Hasher, ParseDigestError};
pub use ingredient::{DuplicatePart, Ingredients, Key, Kind, Part, digest_parts, key_of};
pub use native::Plain;
pub use preview::{Preview, without_passwords};
