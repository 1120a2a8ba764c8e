//! What bodies make: a value that says which state of the world it was made of, and by whom.

use std::sync::Arc;

use thrifty_engine::graph::Made;
use thrifty_engine::key::Digest;
use thrifty_engine::record::{Buffer, Draft, Record, Source};
use thrifty_engine::store::{Blobs, GetError};

use crate::identity::{CellId, ExecutionId};

/// Bytes of a large output: more than the engine keeps in a record.
const LARGE: usize = (16 << 10) + 8;
const CODEC: &str = "simulated/1";

/// The output of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// The key.
    pub cell: CellId,
    /// The state of the world when the body began.
    pub version: u64,
    /// The execution, where each gives another output; 0 elsewhere.
    pub execution: ExecutionId,
}

impl Value {
    /// The value as a body hands it over.
    pub fn made(self, is_large: bool) -> Made {
        let header = self.header();
        let buffers = if is_large { vec![self.payload()] } else { Vec::new() };
        let digest = Digest::of_blob(&header);
        let source = |bytes: Vec<u8>| Source::Memory(Box::new(bytes));
        let draft = Draft::Object {
            codec: CODEC.to_owned(),
            digest,
            classes: Vec::new(),
            header,
            buffers: buffers.into_iter().map(source).collect(),
        };
        Made::new(Arc::new(self), draft)
    }

    /// The value that a record describes, without its bytes.
    pub fn described(record: &Record) -> Option<Self> {
        let Record::Object(object) = record else { return None };
        let mut words = object.header.chunks_exact(8).map(|word| {
            let bytes = word.try_into().expect("a chunk has the length that was asked for");
            u64::from_le_bytes(bytes)
        });
        let [cell, version, execution] = [words.next()?, words.next()?, words.next()?];
        Some(Self { cell: usize::try_from(cell).ok()?, version, execution })
    }

    /// The value that a record describes, with its bytes read and compared.
    pub fn read(record: &Record, blobs: &dyn Blobs) -> Result<Option<Self>, GetError> {
        let (Some(value), Record::Object(object)) = (Self::described(record), record) else {
            return Ok(None);
        };
        for buffer in &object.buffers {
            let is_right = match buffer {
                Buffer::Inline(bytes) => *bytes == value.payload(),
                Buffer::Blob(name) => blobs.open(name)?[..] == value.payload()[..],
            };
            if !is_right {
                return Ok(None);
            }
        }
        Ok(Some(value))
    }

    fn header(self) -> Vec<u8> {
        [self.cell as u64, self.version, self.execution]
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    /// The bytes: those of neighbouring keys are alike, so that entries share blobs.
    fn payload(self) -> Vec<u8> {
        let seed = [(self.cell / 2) as u64, self.version, self.execution];
        let word = seed.into_iter().fold(7_u64, |word, part| {
            (word ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
        });
        let mut bytes = vec![word.to_le_bytes()[0]; LARGE];
        bytes[..8].copy_from_slice(&word.to_le_bytes());
        bytes
    }
}
