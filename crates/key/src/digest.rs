//! 256-bit digests and the contexts that keep their kinds apart.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A BLAKE3 digest: 32 bytes, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest made of these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits, for people.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(12);
        text
    }

    /// Plain BLAKE3 of the bytes, without a context: the name of a blob.
    pub fn of_blob(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// As [`Digest::of_blob`], on the threads of the pool that this is called in. Outside of one, a
    /// child of a fork would wait for threads of its parent.
    pub fn of_blob_parallel(bytes: &[u8]) -> Self {
        Self(*blake3::Hasher::new().update_rayon(bytes).finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.short())
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest: expected 64 hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let nibbles = text.as_bytes();
        if nibbles.len() != 64 {
            return Err(ParseDigestError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(nibbles.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or(ParseDigestError)?;
            let low = char::from(pair[1]).to_digit(16).ok_or(ParseDigestError)?;
            *byte = u8::try_from(high << 4 | low).map_err(|_| ParseDigestError)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Digest;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest of 32 bytes or 64 hexadecimal digits")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Digest, E> {
                let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
                Ok(Digest(bytes))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}

/// What a digest is a digest *of*. Two contexts never give the same digest for the same bytes.
///
/// The texts are BLAKE3 derive-key contexts and part of the key format, version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A value: `docs/formats/key.md`, *Values*.
    Value,
    /// One kind of ingredient, made of its parts.
    Ingredient,
    /// A whole key, made of its ingredients.
    Key,
    /// Source code: normalised syntax trees and what they reach.
    Code,
    /// A manifest of a directory.
    Tree,
    /// What random number generators are seeded with: `docs/formats/seed.md`.
    Seed,
}

impl Context {
    fn hasher(self) -> &'static blake3::Hasher {
        static HASHERS: LazyLock<[blake3::Hasher; 6]> = LazyLock::new(|| {
            ["value", "ingredient", "key", "code", "tree", "seed"]
                .map(|name| blake3::Hasher::new_derive_key(&format!("thrifty {name} format 1")))
        });
        &HASHERS[self as usize]
    }
}

/// Hashes length-framed pieces under one [`Context`].
#[derive(Clone)]
pub struct Hasher(blake3::Hasher);

impl Hasher {
    /// An empty hasher under the context.
    pub fn new(context: Context) -> Self {
        Self(context.hasher().clone())
    }

    /// Adds bytes as they are. The caller frames them.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(bytes);
        self
    }

    /// Adds bytes as they are, on the threads of the pool that this is called in. Outside of one, a
    /// child of a fork would wait for threads of its parent.
    pub fn raw_parallel(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update_rayon(bytes);
        self
    }

    /// Adds a length (eight bytes, little-endian) and the bytes.
    pub fn framed(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len());
        self.raw(bytes)
    }

    /// Adds a count: eight bytes, little-endian.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.raw(&(count as u64).to_le_bytes())
    }

    /// Adds one tag byte.
    pub fn tag(&mut self, tag: u8) -> &mut Self {
        self.raw(&[tag])
    }

    /// Adds a digest: its 32 bytes, which need no frame.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.raw(&digest.0)
    }

    /// The digest of everything added.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}
