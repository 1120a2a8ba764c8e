//! The record of an output: how a value is kept in an entry.
//!
//! A record says what the value is and where its bytes are; it is small, so that a graph of
//! hits is resolved from records alone. Small buffers stand in the record, large ones are
//! blobs. The format is published in `docs/formats/entry.md`.

use serde::{Deserialize, Serialize};
use thrifty_key::{Digest, plain};
use thrifty_store::BlobName;

/// The version of the record format; the first byte of every encoded record.
pub const FORMAT: u8 = 1;

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
    /// A value that is stored already.
    Stored(Record),
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
