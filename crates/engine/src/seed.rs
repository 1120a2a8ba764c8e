//! Seeds: one number for a whole project, and out of it a stream of its own for every call.
//!
//! What a call draws depends on the [`Seed`], the name of the operation and its inputs, and on
//! nothing else: not on the order of calls, nor on where and beside what they run. Two elements
//! of a `map` draw different numbers, and an element added in front moves no other. The
//! derivation is a published format, `docs/formats/seed.md`.

use thrifty_key::{Context, Digest, Hasher, Kind, Part, Preview, digest_parts, plain};

/// The seed of random number generators, as a user gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(u64);

/// What one level says about the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seeding {
    /// No generator is seeded.
    Off,
    /// Generators are seeded with what this seed gives.
    With(Seed),
}

impl Seeding {
    /// The seed, if there is one.
    pub const fn seed(self) -> Option<Seed> {
        match self {
            Self::Off => None,
            Self::With(seed) => Some(seed),
        }
    }
}

impl Seed {
    /// The largest seed: what configuration files and all languages can write down.
    pub const LARGEST: u64 = i64::MAX as u64;

    /// The seed of this number; `None` if it is larger than [`Seed::LARGEST`].
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::LARGEST { Some(Self(number)) } else { None }
    }

    /// The seed of a text of decimal digits.
    pub fn from_text(text: &str) -> Option<Self> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().ok().and_then(Self::new) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The part of the ingredient [`Kind::Seed`] that the seed is.
    pub fn part(self) -> Part {
        let encoding = plain::int(self.0.cast_signed());
        let mut hasher = Hasher::new(Context::Value);
        hasher.raw(&encoding);
        Part { digest: hasher.finish(), preview: Preview::text(self.0.to_string()) }
    }

    /// What a call draws from. The inputs come as they enter the key, sorted by name and without
    /// repetition; none for a call one of whose arguments has no digest.
    pub fn stream<'a>(
        self,
        operation: &str,
        inputs: impl ExactSizeIterator<Item = (&'a str, Digest)>,
    ) -> Stream {
        let mut hasher = Hasher::new(Context::Seed);
        hasher.tag(0).raw(&self.0.to_le_bytes());
        hasher.framed(operation.as_bytes()).digest(&digest_parts(Kind::Inputs, inputs));
        Stream(hasher.finish())
    }
}

/// What one call draws from, whichever generators it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream(Digest);

impl Stream {
    /// The stream of these bytes: one that another process derived.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The 32 bytes that one generator is seeded with. No two generators get the same ones:
    /// several of them are one algorithm, and would draw the same numbers.
    pub fn bytes(&self, generator: &str) -> [u8; 32] {
        let mut hasher = Hasher::new(Context::Seed);
        hasher.tag(1).digest(&self.0).framed(generator.as_bytes());
        *hasher.finish().as_bytes()
    }

    /// The number that a parameter called `seed` gets: one that every library takes.
    pub fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.bytes("seed");
        u32::from_le_bytes([a, b, c, d])
    }
}
