//! The canonical encoding of plain values, and its digest.
//!
//! A value is a tag byte and a payload; lengths and counts are eight bytes, little-endian. An
//! encoding without [`tag::DIGEST`] and [`tag::EDGE`] leaves is invertible, and is also how small
//! results are stored.
//!
//! The digest is a Merkle fold. A leaf is hashed as it stands. A container is hashed over what
//! its children *contribute*: a leaf of at most [`SHORT`] bytes its encoding, anything else a
//! digest leaf; sets and dicts sort the contributions. That is why a list which holds the output
//! of another operation ([`tag::EDGE`], filled in by [`fold`]) has the digest of the same list
//! with the value written out, although the value itself need never be loaded.
//!
//! Rules and golden vectors: `docs/formats/key.md`.

use crate::digest::{Context, Digest, Hasher};

/// The tag bytes. Part of the key format: never renumbered.
pub mod tag {
    /// The absent value.
    pub const NONE: u8 = 0x00;
    /// The truth value false.
    pub const FALSE: u8 = 0x01;
    /// The truth value true.
    pub const TRUE: u8 = 0x02;
    /// An integer: length, then two's complement, little-endian, in as few bytes as hold it.
    pub const INT: u8 = 0x03;
    /// A float: eight bytes, little-endian IEEE 754, every NaN as `0x7ff8000000000000`.
    pub const FLOAT: u8 = 0x04;
    /// A complex number: two floats.
    pub const COMPLEX: u8 = 0x05;
    /// Text: length, then UTF-8 as given (lone surrogates in their three-byte form).
    pub const TEXT: u8 = 0x06;
    /// Bytes: length, then the bytes.
    pub const BYTES: u8 = 0x07;
    /// A tuple: count, then the children.
    pub const TUPLE: u8 = 0x10;
    /// A list: count, then the children.
    pub const LIST: u8 = 0x11;
    /// A set: count, then the children in any order.
    pub const SET: u8 = 0x12;
    /// A frozen set: count, then the children in any order.
    pub const FROZENSET: u8 = 0x13;
    /// A dict: count, then key, value, key, value, in any order.
    pub const DICT: u8 = 0x14;
    /// A value of a named type: length, type name, then one child.
    pub const TYPED: u8 = 0x20;
    /// The digest of a value that is not written out: 32 bytes.
    pub const DIGEST: u8 = 0x30;
    /// The output of another operation: eight bytes, the caller's number for it.
    pub const EDGE: u8 = 0x31;
}

/// The longest leaf that contributes its encoding instead of its digest, in bytes.
pub const SHORT: usize = 40;

/// The deepest nesting an encoding may have.
pub const DEPTH: usize = 500;

/// The bytes are not an encoding, or not one that has a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// The bytes end inside a value, or go on behind it.
    #[error("not a plain value: the encoding is cut off or too long at byte {at}")]
    Length {
        /// Where reading stopped.
        at: usize,
    },
    /// A tag that this version does not know.
    #[error("not a plain value: unknown tag {tag:#04x} at byte {at}")]
    Tag {
        /// The tag.
        tag: u8,
        /// Where it stands.
        at: usize,
    },
    /// Deeper than [`DEPTH`].
    #[error(
        "a value nested deeper than {DEPTH} levels; flatten it, or give its type a hash method"
    )]
    Depth,
    /// A value of another type than the reader expects.
    #[error("the plain value before byte {at} is of another type than expected")]
    Mismatch {
        /// Where reading stopped.
        at: usize,
    },
    /// An edge where none may stand.
    #[error("the output of operation {0} is not known yet")]
    Edge(u64),
}

/// Appends canonical encodings to a buffer.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The encoding so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoding.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets the encoding and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn framed(&mut self, tag: u8, payload: &[u8]) {
        self.opened(tag, payload.len());
        self.bytes.extend_from_slice(payload);
    }

    fn opened(&mut self, tag: u8, count: usize) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    /// The absent value.
    pub fn none(&mut self) {
        self.bytes.push(tag::NONE);
    }

    /// A truth value.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(if value { tag::TRUE } else { tag::FALSE });
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.big_int(&value.to_le_bytes());
    }

    /// An integer of any size: two's complement, little-endian, at least one byte.
    /// Superfluous sign bytes are removed.
    pub fn big_int(&mut self, bytes: &[u8]) {
        let mut length = bytes.len();
        while length > 1 {
            let (last, before) = (bytes[length - 1], bytes[length - 2]);
            let redundant = (last == 0x00 && before < 0x80) || (last == 0xff && before >= 0x80);
            if !redundant {
                break;
            }
            length -= 1;
        }
        self.framed(tag::INT, &bytes[..length]);
    }

    /// A float, by bits, with one NaN.
    pub fn float(&mut self, value: f64) {
        self.bytes.push(tag::FLOAT);
        self.bits(value);
    }

    /// A complex number.
    pub fn complex(&mut self, real: f64, imaginary: f64) {
        self.bytes.push(tag::COMPLEX);
        self.bits(real);
        self.bits(imaginary);
    }

    fn bits(&mut self, value: f64) {
        const NAN: u64 = 0x7ff8_0000_0000_0000;
        let bits = if value.is_nan() { NAN } else { value.to_bits() };
        self.bytes.extend_from_slice(&bits.to_le_bytes());
    }

    /// Text, as UTF-8 bytes.
    pub fn text(&mut self, text: &[u8]) {
        self.framed(tag::TEXT, text);
    }

    /// Bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.framed(tag::BYTES, bytes);
    }

    /// Begins a container of `count` children, which must follow; a dict has `count` pairs.
    pub fn open(&mut self, container: Container, count: usize) {
        self.opened(container as u8, count);
    }

    /// Begins a value of a named type; one child must follow.
    pub fn typed(&mut self, name: &str) {
        self.framed(tag::TYPED, name.as_bytes());
    }

    /// A value known by its digest.
    pub fn digest(&mut self, digest: &Digest) {
        self.bytes.push(tag::DIGEST);
        self.bytes.extend_from_slice(digest.as_bytes());
    }

    /// The output of another operation, by the caller's number for it.
    pub fn edge(&mut self, number: u64) {
        self.bytes.push(tag::EDGE);
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// A whole encoding made before.
    pub fn encoded(&mut self, encoding: &[u8]) {
        self.bytes.extend_from_slice(encoding);
    }
}

/// The containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Container {
    /// A tuple.
    Tuple = tag::TUPLE,
    /// A list.
    List = tag::LIST,
    /// A set.
    Set = tag::SET,
    /// A frozen set.
    FrozenSet = tag::FROZENSET,
    /// A dict.
    Dict = tag::DICT,
}

/// One step of reading an encoding. Children of containers and typed values follow as tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// The absent value.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer: two's complement, little-endian.
    Int(&'a [u8]),
    /// A float.
    Float(f64),
    /// A complex number: real, imaginary.
    Complex(f64, f64),
    /// Text, as UTF-8 bytes.
    Text(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A container and the number of its children; a dict has twice as many, in pairs.
    Open(Container, usize),
    /// A value of a named type; one child follows.
    Typed(&'a [u8]),
    /// A value known by its digest.
    Digest(Digest),
    /// The output of another operation.
    Edge(u64),
}

/// Reads an encoding token by token.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads from the first byte on.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The number of bytes read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PlainError> {
        let cut_off = PlainError::Length { at: self.at };
        let end = self.at.checked_add(length).ok_or(cut_off)?;
        let taken = self.bytes.get(self.at..end).ok_or(cut_off)?;
        self.at = end;
        Ok(taken)
    }

    fn eight(&mut self) -> Result<[u8; 8], PlainError> {
        let mut eight = [0; 8];
        eight.copy_from_slice(self.take(8)?);
        Ok(eight)
    }

    fn count(&mut self) -> Result<usize, PlainError> {
        let at = self.at;
        usize::try_from(u64::from_le_bytes(self.eight()?)).map_err(|_| PlainError::Length { at })
    }

    fn framed(&mut self) -> Result<&'a [u8], PlainError> {
        let length = self.count()?;
        self.take(length)
    }

    fn float(&mut self) -> Result<f64, PlainError> {
        Ok(f64::from_le_bytes(self.eight()?))
    }

    fn opened(&mut self, container: Container) -> Result<Token<'a>, PlainError> {
        let at = self.at;
        let count = self.count()?;
        // Every child takes a byte at least, so a count beyond the rest is not worth believing.
        if count > self.bytes.len() - self.at {
            return Err(PlainError::Length { at });
        }
        Ok(Token::Open(container, count))
    }

    /// The next token.
    ///
    /// # Errors
    ///
    /// [`PlainError::Length`] at a cut-off end, [`PlainError::Tag`] at an unknown tag.
    pub fn token(&mut self) -> Result<Token<'a>, PlainError> {
        let at = self.at;
        Ok(match self.take(1)?[0] {
            tag::NONE => Token::None,
            tag::FALSE => Token::Bool(false),
            tag::TRUE => Token::Bool(true),
            tag::INT => Token::Int(self.framed()?),
            tag::FLOAT => Token::Float(self.float()?),
            tag::COMPLEX => Token::Complex(self.float()?, self.float()?),
            tag::TEXT => Token::Text(self.framed()?),
            tag::BYTES => Token::Bytes(self.framed()?),
            tag::TUPLE => self.opened(Container::Tuple)?,
            tag::LIST => self.opened(Container::List)?,
            tag::SET => self.opened(Container::Set)?,
            tag::FROZENSET => self.opened(Container::FrozenSet)?,
            tag::DICT => self.opened(Container::Dict)?,
            tag::TYPED => Token::Typed(self.framed()?),
            tag::DIGEST => {
                let mut digest = [0; 32];
                digest.copy_from_slice(self.take(32)?);
                Token::Digest(Digest::from_bytes(digest))
            }
            tag::EDGE => Token::Edge(u64::from_le_bytes(self.eight()?)),
            tag => return Err(PlainError::Tag { tag, at }),
        })
    }

    /// Passes over one whole value and returns its encoding.
    ///
    /// # Errors
    ///
    /// As [`Reader::token`].
    pub fn skip(&mut self) -> Result<&'a [u8], PlainError> {
        let start = self.at;
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            left = left.saturating_add(match self.token()? {
                Token::Open(Container::Dict, count) => count.saturating_mul(2),
                Token::Open(_, count) => count,
                Token::Typed(_) => 1,
                _ => 0,
            });
        }
        Ok(&self.bytes[start..self.at])
    }
}

/// The digest of an encoding that has no [`tag::EDGE`].
///
/// # Errors
///
/// [`PlainError`] if the bytes are not one whole encoding, or hold an edge.
///
/// ```
/// use thrifty_key::plain;
/// let digest = |encoding: Vec<u8>| plain::digest(&encoding).unwrap();
/// assert_ne!(digest(plain::int(1)), digest(plain::text("1")));
/// ```
pub fn digest(encoding: &[u8]) -> Result<Digest, PlainError> {
    fold(encoding, &mut |number| Err(PlainError::Edge(number)))
}

/// The digest of an encoding, its edges replaced by what `outputs` gives: the
/// [`contribution`] of that operation's output.
///
/// # Errors
///
/// [`PlainError`] if the bytes are not one whole encoding, or what `outputs` returns.
pub fn fold(
    encoding: &[u8],
    outputs: &mut dyn FnMut(u64) -> Result<Vec<u8>, PlainError>,
) -> Result<Digest, PlainError> {
    let mut reader = Reader::new(encoding);
    let contribution = Fold { outputs }.child(&mut reader, 0)?;
    if !reader.is_at_end() {
        return Err(PlainError::Length { at: reader.position() });
    }
    Ok(digest_of_contribution(&contribution))
}

/// What a value contributes to the container it stands in: the encoding of a leaf of at most
/// [`SHORT`] bytes, or a digest leaf.
///
/// # Errors
///
/// As [`digest`].
pub fn contribution(encoding: &[u8]) -> Result<Vec<u8>, PlainError> {
    let mut outputs = |number| Err(PlainError::Edge(number));
    Fold { outputs: &mut outputs }.child(&mut Reader::new(encoding), 0)
}

/// The digest of the value that contributes these bytes.
pub fn digest_of_contribution(contribution: &[u8]) -> Digest {
    match Reader::new(contribution).token() {
        Ok(Token::Digest(digest)) => digest,
        _ => leaf(contribution),
    }
}

/// What a value known by its digest alone contributes.
pub fn contribution_of_digest(digest: &Digest) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.digest(digest);
    writer.into_bytes()
}

#[inline(never)]
fn leaf(encoding: &[u8]) -> Digest {
    Hasher::new(Context::Value).raw(encoding).finish()
}

struct Fold<'a> {
    outputs: &'a mut dyn FnMut(u64) -> Result<Vec<u8>, PlainError>,
}

impl Fold<'_> {
    fn child(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<Vec<u8>, PlainError> {
        if depth > DEPTH {
            return Err(PlainError::Depth);
        }
        let start = reader.at;
        let digest = match reader.token()? {
            Token::Open(container, count) => self.container(reader, container, count, depth)?,
            Token::Typed(name) => {
                let child = self.child(reader, depth + 1)?;
                digest_of_typed(name, &child)
            }
            Token::Edge(number) => return (self.outputs)(number),
            Token::Digest(digest) => digest,
            _ => {
                let encoding = &reader.bytes[start..reader.at];
                if encoding.len() <= SHORT {
                    return Ok(encoding.to_vec());
                }
                leaf(encoding)
            }
        };
        Ok(contribution_of_digest(&digest))
    }

    fn container(
        &mut self,
        reader: &mut Reader<'_>,
        container: Container,
        count: usize,
        depth: usize,
    ) -> Result<Digest, PlainError> {
        let mut contributions = Vec::new();
        match container {
            Container::Tuple | Container::List => {
                for _ in 0..count {
                    contributions.extend(self.child(reader, depth + 1)?);
                }
            }
            Container::Set | Container::FrozenSet => {
                let mut children = Vec::with_capacity(count);
                for _ in 0..count {
                    children.push(self.child(reader, depth + 1)?);
                }
                children.sort_unstable();
                children.into_iter().for_each(|child| contributions.extend(child));
            }
            Container::Dict => {
                let mut pairs = Vec::with_capacity(count);
                for _ in 0..count {
                    let key = self.child(reader, depth + 1)?;
                    pairs.push((key, self.child(reader, depth + 1)?));
                }
                pairs.sort_unstable();
                for (key, value) in pairs {
                    contributions.extend(key);
                    contributions.extend(value);
                }
            }
        }
        Ok(digest_of_container(container, count, &contributions))
    }
}

// A hasher takes two kilobytes: kept out of the frames of the recursion, so that the deepest
// encoding fits the two megabytes of stack that a thread has.
#[inline(never)]
fn digest_of_container(container: Container, count: usize, contributions: &[u8]) -> Digest {
    Hasher::new(Context::Value).tag(container as u8).count(count).raw(contributions).finish()
}

#[inline(never)]
fn digest_of_typed(name: &[u8], contribution: &[u8]) -> Digest {
    Hasher::new(Context::Value).tag(tag::TYPED).framed(name).raw(contribution).finish()
}

/// The encoding of one integer.
pub fn int(value: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.int(value);
    writer.into_bytes()
}

/// The encoding of one text.
pub fn text(value: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.text(value.as_bytes());
    writer.into_bytes()
}

/// The digest of one text.
pub fn digest_text(value: &str) -> Digest {
    leaf(&text(value))
}
