//! Which codec a value gets.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use serde_bytes::ByteBuf;
use thrifty_engine::record::{Draft, Shape, Source};
use thrifty_key::plain::{self as canonical, Container, Reader, Token, Writer};
use thrifty_key::{Context, Digest, Hasher};
use thrifty_store::parallel;

use super::content::Content;
use super::error::unreadable;
use super::memory::{self, Text};
use super::{Parts, files, header, kept, library, ndarray, pickle, plain, registered};

/// The plain encoding of a value, digest leaves in it where a part is not written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The encoding.
    pub bytes: Vec<u8>,
    /// The classes of the project whose instances the value holds.
    pub classes: Vec<String>,
    /// Whether it holds attributes, or an object of a class, that a copy may lose.
    pub has_attributes: bool,
}

/// Gives the encoding of a value.
pub type Encode<'a> = dyn Fn(&Bound<'_, PyAny>) -> PyResult<Encoded> + 'a;

/// A plain encoding that is too long for a record.
pub(super) const PLAIN: &str = "plain/1";
/// A long text: UTF-8.
pub(super) const TEXT: &str = "text/1";
/// Long bytes: as they are.
pub(super) const BYTES: &str = "bytes/1";

/// The longest plain encoding that stands in a record, in bytes.
const INLINE: usize = 64 * 1024;
/// The longest encoding made by writing out what a value holds more than once, in bytes.
const WRITTEN_OUT: usize = 16 * 1024 * 1024;
/// The most parts a composite has.
const PARTS: usize = 64;
/// How deeply composites are nested.
const LEVELS: usize = 3;

/// What to keep of a value. Large memory is borrowed; it must not be written to before the
/// draft is stored.
///
/// # Errors
///
/// `NotStorable` if no codec takes the value; what `encode` raises for one without a digest.
pub fn draft(value: &Bound<'_, PyAny>, encode: &Encode<'_>) -> PyResult<Draft> {
    match piece(value, encode, 0)? {
        Piece::Ready(draft) => Ok(draft),
        Piece::Unclaimed(encoded) => pickled(value, encoded, encode),
    }
}

/// As [`draft`]; `None` if the value itself would need a pickle.
///
/// # Errors
///
/// As [`draft`].
pub(super) fn without_pickle(
    value: &Bound<'_, PyAny>,
    encode: &Encode<'_>,
) -> PyResult<Option<Draft>> {
    Ok(match piece(value, encode, 0)? {
        Piece::Ready(draft) => Some(draft),
        Piece::Unclaimed(_) => None,
    })
}

/// A value on the way to its draft.
enum Piece {
    Ready(Draft),
    /// Only a pickle can hold it; this is its encoding, which gives the digest.
    Unclaimed(Encoded),
}

fn pickled(value: &Bound<'_, PyAny>, encoded: Encoded, encode: &Encode<'_>) -> PyResult<Draft> {
    let parts = pickle::draft(value)?;
    kept::check(value, &parts, &encoded, encode)?;
    object(parts, encoded)
}

fn object(parts: Parts, encoded: Encoded) -> PyResult<Draft> {
    let digest = digest_of(&encoded.bytes)?;
    Ok(with_digest(parts, digest, encoded.classes))
}

fn with_digest(parts: Parts, digest: Digest, classes: Vec<String>) -> Draft {
    let Parts { codec, header, buffers } = parts;
    Draft::Object { codec: codec.to_owned(), digest, classes, header, buffers }
}

pub(super) fn digest_of(encoding: &[u8]) -> PyResult<Digest> {
    canonical::digest(encoding)
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}

fn piece(value: &Bound<'_, PyAny>, encode: &Encode<'_>, level: usize) -> PyResult<Piece> {
    if let Some(long) = long(value)? {
        return Ok(Piece::Ready(long));
    }
    let content = Content::of(value)?;
    if content == Content::Parts
        && level < LEVELS
        && let Some(parts) = Split::of(value)?
    {
        return composite(value, &parts, encode, level);
    }
    if content == Content::Other
        && let Some((parts, encoded)) = registered::draft(value, encode)?
    {
        return Ok(Piece::Ready(object(parts, encoded)?));
    }
    if content == Content::Other
        && let Some(parts) = claimed(value)?
    {
        let encoded = encode(value)?;
        kept::check(value, &parts, &encoded, encode)?;
        return Ok(Piece::Ready(object(parts, encoded)?));
    }
    let encoded = encode(value)?;
    if content != Content::Shared && returns(value.py(), &encoded, encode)? {
        return Ok(Piece::Ready(inline(encoded.bytes)?));
    }
    // An encoding may give the digest of what it holds twice; sharing of tuples means nothing,
    // so they are written out.
    if content == Content::Plain
        && plain::has_digest(&encoded.bytes)
        && let Some(written) = header::write_within(value, WRITTEN_OUT)
    {
        return Ok(Piece::Ready(inline(written)?));
    }
    Ok(Piece::Unclaimed(encoded))
}

/// The codecs for types of their own.
fn claimed(value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    for codec in [ndarray::draft, library::draft, files::draft] {
        if let Some(parts) = codec(value)? {
            return Ok(Some(parts));
        }
    }
    Ok(None)
}

/// Text and bytes too long for a record, not copied.
fn long(value: &Bound<'_, PyAny>) -> PyResult<Option<Draft>> {
    let (codec, tag, source) = if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        if bytes.as_bytes().len() <= INLINE {
            return Ok(None);
        }
        (BYTES, canonical::tag::BYTES, memory::pin(bytes)?)
    } else if let Ok(text) = value.cast_exact::<PyString>() {
        // Lone surrogates have no UTF-8 and go the way of short text.
        match if text.len()? <= INLINE { None } else { Text::of(text).ok() } {
            Some(text) => (TEXT, canonical::tag::TEXT, Source::Memory(Box::new(text))),
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    let Source::Memory(bytes) = &source else {
        return Ok(None);
    };
    let bytes = (**bytes).as_ref();
    // The digest of the encoded leaf, without writing the leaf out.
    let mut hasher = Hasher::new(Context::Value);
    hasher.tag(tag).count(bytes.len());
    parallel::raw(&mut hasher, bytes);
    let digest = hasher.finish();
    let parts = Parts { codec, header: Vec::new(), buffers: vec![source] };
    Ok(Some(with_digest(parts, digest, Vec::new())))
}

fn inline(encoding: Vec<u8>) -> PyResult<Draft> {
    if encoding.len() <= INLINE {
        return Ok(Draft::Plain(encoding));
    }
    let digest = digest_of(&encoding)?;
    let buffers = vec![Source::Memory(Box::new(encoding))];
    Ok(with_digest(Parts { codec: PLAIN, header: Vec::new(), buffers }, digest, Vec::new()))
}

/// Whether decoding gives the value again. For builtins that holds by construction; a value of
/// a named type is decoded and encoded again to see.
fn returns(py: Python<'_>, encoded: &Encoded, encode: &Encode<'_>) -> PyResult<bool> {
    if !plain::is_invertible(&encoded.bytes) {
        return Ok(false);
    }
    if !has_typed(&encoded.bytes) {
        return Ok(true);
    }
    let again = plain::decode(py, &encoded.bytes).and_then(|value| encode(&value));
    Ok(again.is_ok_and(|again| again == *encoded))
}

fn has_typed(encoding: &[u8]) -> bool {
    let mut reader = Reader::new(encoding);
    while !reader.is_at_end() {
        match reader.token() {
            Ok(Token::Typed(_)) | Err(_) => return true,
            Ok(_) => {}
        }
    }
    false
}

/// A container in its parts.
struct Split<'py> {
    keys: Option<Vec<Bound<'py, PyAny>>>,
    container: Container,
    values: Vec<Bound<'py, PyAny>>,
}

impl<'py> Split<'py> {
    /// The parts of a tuple, list or dict that is small enough.
    fn of(value: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let (container, values, keys) = if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            (Container::Tuple, tuple.iter().collect(), None)
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            (Container::List, list.iter().collect(), None)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            let (keys, values) = dict.iter().unzip();
            (Container::Dict, values, Some(keys))
        } else {
            return Ok(None);
        };
        let values: Vec<_> = values;
        Ok((values.len() <= PARTS).then_some(Self { keys, container, values }))
    }

    fn encoded(&self, keys: &[Vec<u8>], parts: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.open(self.container, parts.len());
        for (number, part) in parts.iter().enumerate() {
            if let Some(key) = keys.get(number) {
                writer.encoded(key);
            }
            writer.encoded(part);
        }
        writer.into_bytes()
    }

    fn shape(&self, keys: Vec<Vec<u8>>) -> Shape {
        match self.container {
            Container::Tuple => Shape::Tuple,
            Container::Dict => Shape::Dict(keys.into_iter().map(ByteBuf::from).collect()),
            _ => Shape::List,
        }
    }
}

/// A draft with parts of its own; or, if its parts may refer to each other, one for a pickle.
fn composite(
    whole: &Bound<'_, PyAny>,
    split: &Split<'_>,
    encode: &Encode<'_>,
    level: usize,
) -> PyResult<Piece> {
    let py = whole.py();
    let has_attributes = Cell::new(false);
    let encode: &Encode<'_> = &|part| {
        let encoded = encode(part)?;
        has_attributes.set(has_attributes.get() || encoded.has_attributes);
        Ok(encoded)
    };
    let mut keys = Vec::new();
    let mut plain_keys = true;
    let mut classes = Vec::new();
    for key in split.keys.iter().flatten() {
        let encoding = encode(key)?;
        plain_keys &= returns(py, &encoding, encode)?;
        classes.extend(encoding.classes);
        keys.push(encoding.bytes);
    }
    let mut pieces = Vec::with_capacity(split.values.len());
    for value in &split.values {
        pieces.push(piece(value, encode, level + 1)?);
    }
    let encodings: Vec<_> = pieces.iter().map(contribution).collect::<PyResult<_>>()?;
    let encoding = split.encoded(&keys, &encodings);
    if pieces.iter().all(|piece| matches!(piece, Piece::Ready(Draft::Plain(_)))) && plain_keys {
        return Ok(Piece::Ready(inline(encoding)?));
    }
    // Two parts that are pickled may refer to the same object, which they would stop to do.
    if !plain_keys || pieces.iter().map(pickles).sum::<usize>() > 1 {
        pieces.iter().for_each(|piece| collect_classes(piece, &mut classes));
        classes.sort_unstable();
        classes.dedup();
        let has_attributes = has_attributes.get();
        return Ok(Piece::Unclaimed(Encoded { bytes: encoding, classes, has_attributes }));
    }
    let mut parts = Vec::with_capacity(pieces.len());
    for (value, piece) in split.values.iter().zip(pieces) {
        parts.push(match piece {
            Piece::Ready(draft) => draft,
            Piece::Unclaimed(encoded) => pickled(value, encoded, encode)?,
        });
    }
    Ok(Piece::Ready(Draft::Composite { container: split.shape(keys), parts }))
}

/// What stands for the part in the encoding of its container: plain values in full, so that the
/// container is plain if all parts are.
fn contribution(piece: &Piece) -> PyResult<Vec<u8>> {
    Ok(match piece {
        Piece::Unclaimed(encoded) => canonical::contribution_of_digest(&digest_of(&encoded.bytes)?),
        Piece::Ready(draft) => draft_contribution(draft)?,
    })
}

fn draft_contribution(draft: &Draft) -> PyResult<Vec<u8>> {
    Ok(match draft {
        Draft::Plain(encoding) => encoding.clone(),
        Draft::Object { digest, .. } | Draft::Hashed { digest, .. } => {
            canonical::contribution_of_digest(digest)
        }
        Draft::Composite { container, parts } => {
            let parts: Vec<_> = parts.iter().map(draft_contribution).collect::<PyResult<_>>()?;
            let (container, keys) = match container {
                Shape::Tuple => (Container::Tuple, Vec::new()),
                Shape::List => (Container::List, Vec::new()),
                Shape::Dict(keys) => {
                    (Container::Dict, keys.iter().map(|key| key.to_vec()).collect())
                }
            };
            Split { keys: None, container, values: Vec::new() }.encoded(&keys, &parts)
        }
        // Only the engine's callers make these; nothing here drafts one.
        Draft::Annotated { .. } | Draft::Stored(_) | Draft::Edge(_) => {
            return Err(unreadable("a draft with parts that are no values"));
        }
    })
}

fn collect_classes(piece: &Piece, classes: &mut Vec<String>) {
    fn within(draft: &Draft, found: &mut Vec<String>) {
        match draft {
            Draft::Object { classes, .. } => found.extend_from_slice(classes),
            Draft::Composite { parts, .. } => parts.iter().for_each(|part| within(part, found)),
            Draft::Annotated { value, .. } => within(value, found),
            Draft::Hashed { .. } | Draft::Plain(_) | Draft::Stored(_) | Draft::Edge(_) => {}
        }
    }
    match piece {
        Piece::Ready(draft) => within(draft, classes),
        Piece::Unclaimed(encoded) => classes.extend_from_slice(&encoded.classes),
    }
}

/// How many pickles the piece holds.
fn pickles(piece: &Piece) -> usize {
    fn within(draft: &Draft) -> usize {
        match draft {
            Draft::Object { codec, .. } => {
                usize::from(codec == pickle::CODEC || library::holds_pickles(codec))
            }
            Draft::Composite { parts, .. } => parts.iter().map(within).sum(),
            Draft::Hashed { value, .. } | Draft::Annotated { value, .. } => within(value),
            Draft::Plain(_) | Draft::Stored(_) | Draft::Edge(_) => 0,
        }
    }
    match piece {
        Piece::Ready(draft) => within(draft),
        Piece::Unclaimed(_) => 1,
    }
}
