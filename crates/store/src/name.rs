//! Physical names of blobs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thrifty_key::Digest;

/// The physical name of one upload: what the bytes are, and which upload of them.
///
/// No two uploads share a generation, not even of the same bytes, so deleting an old upload late
/// can never hit a newer one. Shown, and named on disk, as `digest.generation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobName {
    /// Plain BLAKE3 of the bytes.
    pub digest: Digest,
    /// Random number of the upload, below 2^63 so that SQL integers hold it.
    pub generation: u64,
    /// Length in bytes. No part of the text form.
    pub length: u64,
}

impl BlobName {
    /// A name for a new upload of these bytes.
    pub(crate) fn fresh(digest: Digest, length: u64) -> Result<Self, rustix::io::Errno> {
        // The kernel's generator: a child of a fork would repeat the numbers of its parent's.
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self { digest, generation: u64::from_le_bytes(random) >> 1, length })
    }

    /// Reads the text form, as found in a directory; the length comes from elsewhere.
    pub(crate) fn parse(text: &str, length: u64) -> Option<Self> {
        let (digest, generation) = text.split_once('.')?;
        let digest = Digest::from_str(digest).ok()?;
        let generation = generation.parse().ok().filter(|number: &u64| number >> 63 == 0)?;
        let name = Self { digest, generation, length };
        // One spelling for one name: "+7", "07" and capitals name nothing.
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.digest, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_read_back_and_has_one_spelling() {
        let name = BlobName::fresh(Digest::of_blob(b"x"), 1).unwrap();
        assert_eq!(BlobName::parse(&name.to_string(), 1), Some(name));
        let digest = name.digest;
        for odd in ["", "7", "+7", "07", "18446744073709551615", "7 ", "7.8"] {
            let text = format!("{digest}.{odd}");
            let read = BlobName::parse(&text, 1);
            assert_eq!(read.is_some(), odd == "7", "{text}");
        }
        let capitals = format!("{}.7", digest.to_string().to_uppercase());
        assert_eq!(BlobName::parse(&capitals, 1), None);
    }

    #[test]
    fn uploads_of_the_same_bytes_differ() {
        let digest = Digest::of_blob(b"x");
        let fresh = || BlobName::fresh(digest, 1).unwrap();
        assert_ne!(fresh(), fresh());
    }
}
