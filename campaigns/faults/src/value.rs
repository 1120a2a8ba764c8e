//! The values of the campaign: each follows from the name of its operation.

use std::sync::Arc;

use thrifty_engine::compute::{Computed, Task};
use thrifty_engine::graph::{Failure, Loss, Made, Product, Value};
use thrifty_engine::key::{Digest, Ingredients, Key, Kind, Preview, plain};
use thrifty_engine::record::{Buffer, Draft, Object, Record, Source};
use thrifty_engine::store::BlobName;
use thrifty_engine::{Cache, Looked, Miss, Operation, Policy, Reason, Target};

/// An operation with a small value, which stays.
pub const SMALL: &str = "small";
/// An operation with a large value, which stays.
pub const LARGE: &str = "large";
/// An operation with a large value, which is to go.
pub const VICTIM: &str = "victim";
/// An operation with a large value, one of whose blobs is damaged.
pub const DAMAGED: &str = "damaged";

/// Blobs of a large value.
const PARTS: usize = 3;
/// Bytes of each: more than stand in a record, and no whole number of pages.
const PART: usize = 20_001;

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// In the entry.
    Inline,
    /// In blobs.
    Blobs,
}

impl Shape {
    /// The value of an operation.
    pub fn content(self, name: &str) -> Vec<u8> {
        let seed = Digest::of_blob(name.as_bytes());
        let length = if self == Self::Inline { 100 } else { PARTS * PART };
        seed.as_bytes()
            .iter()
            .copied()
            .cycle()
            .take(length)
            .zip(0..)
            .map(|(byte, at)| mix(byte, at))
            .collect()
    }

    fn draft(self, name: &str) -> Draft {
        let content = self.content(name);
        if self == Self::Inline {
            return Draft::Plain(encoding_of(&content));
        }
        let part = |bytes: &[u8]| Source::Memory(Box::new(bytes.to_vec()));
        Draft::Object {
            codec: CODEC.to_owned(),
            digest: Digest::of_blob(&content),
            classes: Vec::new(),
            header: Vec::new(),
            buffers: content.chunks(PART).map(part).collect(),
        }
    }
}

const CODEC: &str = "parts/1";

/// No two blocks of a value are alike.
fn mix(byte: u8, at: usize) -> u8 {
    byte ^ at.to_le_bytes().iter().fold(0_u8, |all, byte| all.wrapping_mul(31) ^ byte)
}

fn operation(name: &str) -> Operation {
    let mut fixed = Ingredients::new();
    // The only part there is cannot be there already.
    _ = fixed.add(Kind::Operation, "name", plain::digest_text(name), Preview::text(name));
    Operation::new(name, fixed, Vec::new())
}

/// The key of an operation.
pub fn key(name: &str) -> Key {
    operation(name).key([].into_iter())
}

/// What the key of an operation is made of.
pub fn ingredients(name: &str) -> Ingredients {
    operation(name).ingredients([])
}

/// The record of a value in one blob.
pub fn record_of(name: BlobName) -> Record {
    Record::Object(Object {
        codec: CODEC.to_owned(),
        digest: name.digest,
        classes: Vec::new(),
        header: Vec::new(),
        buffers: vec![Buffer::Blob(name)],
    })
}

/// What a call gave.
#[derive(Debug, Default)]
pub struct Called {
    /// The value; empty if there is none.
    pub content: Vec<u8>,
    /// The outcome, as people read it.
    pub outcome: String,
    /// Why it was not stored, in one word, if it was not.
    pub reason: Option<&'static str>,
}

/// Calls an operation as a front end does. `body` is called when it is computed.
pub fn call(
    cache: &Arc<Cache>,
    name: &str,
    shape: Shape,
    policy: Policy,
    body: impl Fn(),
) -> Called {
    let key = key(name);
    if !policy.mode.reads() {
        let missing = (Miss::Refresh, cache.slot(&key));
        return compute(cache, name, shape, policy, missing, body);
    }
    let (miss, target) = match cache.look(&key, None) {
        Looked::Miss(miss, target) => (miss, target),
        Looked::Hit(answer, outcome) => match load(cache, &answer.record) {
            Ok(content) => {
                return Called { content, outcome: outcome.to_string(), reason: None };
            }
            Err(loss) => (cache.discard(&key, &answer, loss), cache.slot(&key)),
        },
    };
    compute(cache, name, shape, policy, (miss, target), body)
}

fn compute(
    cache: &Arc<Cache>,
    name: &str,
    shape: Shape,
    policy: Policy,
    (miss, target): (Miss, Option<Target>),
    body: impl Fn(),
) -> Called {
    let operation = operation(name);
    let task = Task {
        operation: &operation,
        key: Ok(key(name)),
        ingredients: &|| operation.ingredients([]),
        policy,
        run: (None, 0),
        interrupted: &|| false,
    };
    let mut product = || -> Result<Product, Failure> {
        body();
        Ok(Product::Made(Made::new(Arc::new(shape.content(name)), shape.draft(name))))
    };
    let settled = match cache.compute(&task, miss, target, &mut product) {
        Computed::Settled(settled) => settled,
        Computed::Failed(failure, _) => {
            let outcome = format!("failed: {}", failure.message());
            return Called { outcome, ..Called::default() };
        }
        Computed::Expanded(..) => return Called::default(),
    };
    let own = settled.made.as_ref().and_then(|made| made.downcast_ref::<Vec<u8>>().cloned());
    let content = own.or_else(|| match &settled.value {
        Value::Known(answer) => load(cache, &answer.record).ok(),
        Value::Live { object, .. } => object.downcast_ref::<Vec<u8>>().cloned(),
    });
    let reason = settled.outcome.reason().map(Reason::word);
    let outcome = settled.outcome.to_string();
    Called { content: content.unwrap_or_default(), outcome, reason }
}

/// The value of a record.
///
/// # Errors
///
/// In what way it is lost.
pub fn load(cache: &Cache, record: &Record) -> Result<Vec<u8>, Loss> {
    match record {
        Record::Plain(encoding) => bytes_of(encoding).ok_or(Loss::Sense),
        Record::Object(object) => {
            let parts = object.buffers.iter().map(|buffer| match buffer {
                Buffer::Inline(bytes) => Ok(bytes.clone()),
                Buffer::Blob(name) => match cache.blobs().open(name) {
                    Ok(blob) => Ok(blob.to_vec()),
                    Err(_) => Err(Loss::Bytes),
                },
            });
            Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
        }
        _ => Err(Loss::Sense),
    }
}

fn encoding_of(content: &[u8]) -> Vec<u8> {
    let mut writer = plain::Writer::new();
    writer.bytes(content);
    writer.into_bytes()
}

fn bytes_of(encoding: &[u8]) -> Option<Vec<u8>> {
    match plain::Reader::new(encoding).token().ok()? {
        plain::Token::Bytes(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}
