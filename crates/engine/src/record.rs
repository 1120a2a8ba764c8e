//! The record of an output: how a value is kept in an entry.
//!
//! A record says what the value is and where its bytes are; it is small, so that a graph of
//! hits is resolved from records alone. Small buffers stand in the record, large ones are
//! blobs. The format is published in `docs/formats/entry.md`.

use serde::{Deserialize, Serialize};
use thrifty_catalog::BlobRef;
use thrifty_key::plain::{self, Container, PlainError, Reader, Token};
use thrifty_key::{Context, Digest, Hasher};
use thrifty_store::BlobName;

use crate::annotations::Annotations;
use crate::observed::Undecodable;

/// The version of the record format; the first byte of every encoded record.
pub const FORMAT: u8 = 1;

/// The deepest nesting of MessagePack that is read: about a third as many records in each other.
/// Damaged bytes must not cost the stack.
const DEPTH: usize = 300;

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A plain value: its canonical encoding (`thrifty_key::plain`).
    Plain(#[serde(with = "serde_bytes")] Vec<u8>),
    /// A tuple, list or dict with parts of its own, so that a consumer of one part depends on,
    /// and loads, that part alone.
    Composite {
        /// The container.
        container: Shape,
        /// Its parts, in order.
        parts: Vec<Record>,
    },
    /// A value that a codec knows how to read.
    Object(Object),
    /// A value whose type says how it is hashed: the digest stands for it in keys.
    Hashed {
        /// The digest its hash method gave.
        digest: Digest,
        /// The value.
        value: Box<Record>,
    },
    /// A value with what its computation told besides. That counts for nothing, and stands around
    /// a whole output alone.
    Annotated {
        /// What was told.
        notes: Box<Annotations>,
        /// The value.
        value: Box<Record>,
    },
}

/// The container of a composite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// A tuple.
    Tuple,
    /// A list.
    List,
    /// A dict with these keys, in insertion order: each the plain encoding of a key.
    Dict(Vec<serde_bytes::ByteBuf>),
}

/// A value in the format of a codec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The codec and its version, such as `ndarray/1`.
    pub codec: String,
    /// The value digest.
    pub digest: Digest,
    /// The classes of the project whose instances it holds, by the names that the language
    /// gives them, sorted. An input counts with their code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// What the codec must know besides the buffers.
    #[serde(with = "serde_bytes")]
    pub header: Vec<u8>,
    /// The bytes.
    pub buffers: Vec<Buffer>,
}

/// Bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Buffer {
    /// In the record itself.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// In a blob.
    Blob(BlobName),
}

/// A value that is to be stored: a record whose bytes are still with the producer.
pub enum Draft {
    /// As [`Record::Plain`].
    Plain(Vec<u8>),
    /// As [`Record::Composite`].
    Composite {
        /// The container.
        container: Shape,
        /// Its parts, in order.
        parts: Vec<Draft>,
    },
    /// As [`Record::Object`].
    Object {
        /// The codec and its version.
        codec: String,
        /// The value digest.
        digest: Digest,
        /// The classes of the project whose instances it holds.
        classes: Vec<String>,
        /// What the codec must know besides the buffers.
        header: Vec<u8>,
        /// The bytes.
        buffers: Vec<Source>,
    },
    /// As [`Record::Hashed`].
    Hashed {
        /// The digest its hash method gave.
        digest: Digest,
        /// The value.
        value: Box<Draft>,
    },
    /// As [`Record::Annotated`].
    Annotated {
        /// What was told.
        notes: Box<Annotations>,
        /// The value.
        value: Box<Draft>,
    },
    /// A value that is stored already.
    Stored(Record),
    /// The output of another operation, by the caller's number for it.
    Edge(u64),
}

/// Where the bytes of a draft are.
pub enum Source {
    /// In memory of the producer.
    Memory(Box<dyn AsRef<[u8]> + Send + Sync>),
    /// In a file that must hold exactly this content; anything else means that it was changed
    /// meanwhile, and nothing is stored.
    File {
        /// The file.
        path: std::path::PathBuf,
        /// BLAKE3 of its bytes.
        digest: Digest,
    },
}

/// A record that cannot be read. The entry that holds it is treated as a miss.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It was written by a version that knows more.
    #[error("the record has format {found} and this version knows {FORMAT}")]
    Format {
        /// Its format.
        found: u8,
    },
    /// It is damaged.
    #[error("the record is damaged: {0}")]
    Damaged(String),
}

impl From<Undecodable> for RecordError {
    fn from(error: Undecodable) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl From<PlainError> for RecordError {
    fn from(error: PlainError) -> Self {
        Self::Damaged(error.to_string())
    }
}

impl Record {
    /// The bytes an entry keeps.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        // Writing to memory fails only for types that the format lacks; these have none.
        rmp_serde::encode::write_named(&mut bytes, self).expect("records are serialisable");
        bytes
    }

    /// Reads the bytes of an entry.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for another format or damaged bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes {
            [FORMAT, record @ ..] => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(record);
                reader.set_max_depth(DEPTH);
                Self::deserialize(&mut reader)
                    .map_err(|error| RecordError::Damaged(error.to_string()))
            }
            [found, ..] => Err(RecordError::Format { found: *found }),
            [] => Err(RecordError::Damaged("it is empty".to_owned())),
        }
    }

    /// What the value contributes to a container it stands in (`thrifty_key::plain`).
    ///
    /// # Errors
    ///
    /// [`RecordError`] if a plain part is damaged.
    pub fn contribution(&self) -> Result<Vec<u8>, RecordError> {
        Ok(match self {
            Self::Plain(encoding) => plain::contribution(encoding)?,
            Self::Object(object) => plain::contribution_of_digest(&object.digest),
            Self::Hashed { digest, .. } => plain::contribution_of_digest(digest),
            Self::Annotated { value, .. } => value.contribution()?,
            Self::Composite { container, parts } => {
                let parts: Result<Vec<_>, _> = parts.iter().map(Self::contribution).collect();
                plain::contribution(&container.encode(&parts?))?
            }
        })
    }

    /// The classes of the project whose instances the value holds, sorted.
    pub fn classes(&self) -> Vec<String> {
        let mut classes = Vec::new();
        self.collect_classes(&mut classes);
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    fn collect_classes(&self, classes: &mut Vec<String>) {
        match self {
            // A hash method has the last word on what counts.
            Self::Plain(_) | Self::Hashed { .. } => {}
            Self::Annotated { value, .. } => value.collect_classes(classes),
            Self::Object(object) => classes.extend_from_slice(&object.classes),
            Self::Composite { parts, .. } => {
                parts.iter().for_each(|part| part.collect_classes(classes));
            }
        }
    }

    /// The part that the steps lead to, if the record says so without loading anything.
    pub fn select(&self, steps: &[Step]) -> Option<Self> {
        if let Self::Annotated { value, .. } = self {
            return value.select(steps);
        }
        let Some((step, rest)) = steps.split_first() else {
            return Some(self.clone());
        };
        match self {
            Self::Hashed { value, .. } | Self::Annotated { value, .. } => value.select(steps),
            Self::Composite { container, parts } => {
                parts.get(container.position(step, parts.len())?)?.select(rest)
            }
            Self::Plain(encoding) => Self::Plain(step.within(encoding)?).select(rest),
            Self::Object(_) => None,
        }
    }

    /// What the computation told besides its value.
    pub fn annotations(&self) -> Option<&Annotations> {
        match self {
            Self::Annotated { notes, .. } => Some(notes),
            Self::Plain(_) | Self::Composite { .. } | Self::Object(_) | Self::Hashed { .. } => None,
        }
    }

    /// Whether the value needs any blob.
    pub(crate) fn has_blobs(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Hashed { value, .. } | Self::Annotated { value, .. } => value.has_blobs(),
            Self::Composite { parts, .. } => parts.iter().any(Self::has_blobs),
            Self::Object(object) => {
                object.buffers.iter().any(|buffer| matches!(buffer, Buffer::Blob(_)))
            }
        }
    }

    /// The blobs the value needs.
    pub fn blobs(&self) -> Vec<BlobName> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Hashed { value, .. } | Self::Annotated { value, .. } => value.blobs(),
            Self::Composite { parts, .. } => parts.iter().flat_map(Self::blobs).collect(),
            Self::Object(object) => object
                .buffers
                .iter()
                .filter_map(|buffer| match buffer {
                    Buffer::Blob(name) => Some(*name),
                    Buffer::Inline(_) => None,
                })
                .collect(),
        }
    }
}

impl Shape {
    /// The canonical encoding of the container around parts that are encoded already.
    pub(crate) fn encode(&self, parts: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = plain::Writer::new();
        match self {
            Self::Tuple => writer.open(Container::Tuple, parts.len()),
            Self::List => writer.open(Container::List, parts.len()),
            Self::Dict(keys) => {
                writer.open(Container::Dict, parts.len());
                for (key, part) in keys.iter().zip(parts) {
                    writer.encoded(key);
                    writer.encoded(part);
                }
                return writer.into_bytes();
            }
        }
        parts.iter().for_each(|part| writer.encoded(part));
        writer.into_bytes()
    }

    pub(crate) fn position(&self, step: &Step, length: usize) -> Option<usize> {
        match self {
            Self::Tuple | Self::List => step.index(length),
            Self::Dict(keys) => keys.iter().position(|key| key.as_slice() == step.0),
        }
    }
}

/// One subscript: the plain encoding of an index or a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step(pub Vec<u8>);

impl Step {
    fn index(&self, length: usize) -> Option<usize> {
        let Ok(Token::Int(bytes)) = Reader::new(&self.0).token() else {
            return None;
        };
        if bytes.len() > 8 {
            return None;
        }
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let index = i64::from_le_bytes(wide);
        let index = if index < 0 { index.checked_add_unsigned(length as u64)? } else { index };
        usize::try_from(index).ok().filter(|index| *index < length)
    }

    /// The encoding of the child this step leads to, in the encoding of a plain container.
    fn within(&self, encoding: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader::new(encoding);
        match reader.token().ok()? {
            Token::Open(Container::Tuple | Container::List, count) => {
                for _ in 0..self.index(count)? {
                    reader.skip().ok()?;
                }
                Some(reader.skip().ok()?.to_vec())
            }
            Token::Open(Container::Dict, count) => (0..count).find_map(|_| {
                let key = reader.skip().ok()?;
                let value = reader.skip().ok()?;
                (key == self.0).then(|| value.to_vec())
            }),
            _ => None,
        }
    }
}

/// The contribution of a part that only loading the value would show: it stands for *this
/// subscript of that value*.
pub fn contribution_of_part(whole: &[u8], steps: &[Step]) -> Vec<u8> {
    let mut hasher = Hasher::new(Context::Value);
    hasher.raw(b"part").framed(whole).count(steps.len());
    steps.iter().for_each(|step| _ = hasher.framed(&step.0));
    plain::contribution_of_digest(&hasher.finish())
}

/// The catalog's name for a blob of the store.
pub fn reference(name: &BlobName) -> BlobRef {
    BlobRef { digest: name.digest, generation: name.generation, length: name.length }
}
