//! Publishing an output: its bytes become blobs, then one transaction makes the entry visible.
//!
//! A crash before the transaction leaves blobs that nothing refers to, and no entry; a crash
//! after it leaves everything.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{BlobRef, Claim, Committed, NewEntry};
use thrifty_key::plain::PlainError;
use thrifty_key::{Digest, Key, plain};
use thrifty_store::{BlobName, PutError};

use crate::answer::Answer;
use crate::cache::Cache;
use crate::compute::Task;
use crate::outcome::Outcome;
use crate::record::{Buffer, Draft, Object, Record, RecordError, Shape, Source, reference};

/// The longest buffer that stands in the record itself, in bytes.
const INLINE: usize = 16 << 10;
/// How long a blob found in the store is protected until the entry refers to it.
const PIN: Duration = Duration::from_secs(3600);

/// What became of an output.
pub(crate) enum Published {
    /// It can be loaded from now on; an outcome other than *computed* says what is special.
    Stored(Arc<Answer>, Option<Outcome>),
    /// The key was invalidated or taken over meanwhile.
    Fenced,
    /// It was not stored, for this reason.
    Failed(String),
}

/// Why a draft was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The store failed.
    #[error(transparent)]
    Put(#[from] PutError),
    /// A file is not what it was when it was hashed.
    #[error("{0} was changed while the operation ran")]
    Changed(String),
    /// The draft still refers to other operations.
    #[error("the value refers to the output of an operation that is not stored")]
    Edge,
}

impl Cache {
    pub(crate) fn publish(
        &self,
        task: &Task<'_>,
        key: Key,
        claim: Claim,
        draft: Draft,
        cost: Duration,
    ) -> Published {
        if !self.health.may_ask() {
            return Published::Failed("the cache is not answering".to_owned());
        }
        let record = match self.write(draft) {
            Ok(record) => record,
            Err(WriteError::Put(error)) => {
                return Published::Failed(self.health.trouble(error.to_string()));
            }
            Err(error) => return Published::Failed(error.to_string()),
        };
        let answer = match Answer::unstored(record, cost) {
            Ok(answer) => answer,
            Err(error) => return Published::Failed(error.to_string()),
        };
        let entry = self.entry(task, key, &answer, cost);
        let texts: Vec<_> = task
            .operation
            .texts()
            .iter()
            .map(|(digest, text)| (*digest, text.as_str()))
            .collect();
        let changes = self.catalog.changes();
        let committed = self
            .catalog
            .put_texts(&texts)
            .and_then(|()| self.catalog.commit(&self.scope, &entry, &claim));
        let Some(committed) = self.health.note(committed) else {
            return Published::Failed("the catalog did not take the entry".to_owned());
        };
        let published = Self::committed(answer, &committed);
        // What expires is taken from the catalog, whose clock it expires by.
        if let (Published::Stored(answer, _), Committed::Stored(_), None) =
            (&published, committed, entry.expires_in)
        {
            let remembered = Answer {
                run: entry.origin.run.clone(),
                ..(**answer).clone()
            };
            self.memory.put(key, Arc::new(remembered), changes);
        }
        published
    }

    fn committed(answer: Answer, committed: &Committed) -> Published {
        let (id, outcome) = match committed {
            Committed::Stored(id) | Committed::Same(id) => (Some(*id), None),
            // The entry holds another value than this one: the consumer gets what was computed,
            // and the stored value goes on answering the key.
            Committed::Different(_) => (None, Some(Outcome::Nondeterministic)),
            Committed::Fenced => return Published::Fenced,
            Committed::BlobGone(blob) => {
                return Published::Failed(format!("blob {} was collected meanwhile", blob.digest));
            }
        };
        let answer = Arc::new(Answer {
            entry: id,
            ..answer
        });
        Published::Stored(answer, outcome)
    }

    fn entry(&self, task: &Task<'_>, key: Key, answer: &Answer, cost: Duration) -> NewEntry {
        let mut blobs: Vec<BlobRef> = answer.record.blobs().iter().map(reference).collect();
        blobs.sort_unstable();
        blobs.dedup();
        NewEntry {
            key,
            operation: task.operation.name().to_owned(),
            ingredients: (task.ingredients)(),
            output: answer.record.to_bytes(),
            output_digest: answer.digest(),
            blobs,
            cost,
            expires_in: task.policy.expires,
            origin: self.origin(&task.run),
        }
    }

    /// Turns a draft into a record: large buffers become blobs.
    pub(crate) fn write(&self, draft: Draft) -> Result<Record, WriteError> {
        Ok(match draft {
            Draft::Plain(encoding) => Record::Plain(encoding),
            Draft::Stored(record) => record,
            Draft::Edge(_) => return Err(WriteError::Edge),
            Draft::Hashed { digest, value } => Record::Hashed {
                digest,
                value: Box::new(self.write(*value)?),
            },
            Draft::Composite { container, parts } => {
                let parts: Result<_, _> = parts.into_iter().map(|part| self.write(part)).collect();
                Record::Composite {
                    container,
                    parts: parts?,
                }
            }
            Draft::Object {
                codec,
                digest,
                header,
                buffers,
            } => {
                let buffers: Result<_, _> = buffers
                    .into_iter()
                    .map(|source| self.write_buffer(source))
                    .collect();
                Record::Object(Object {
                    codec,
                    digest,
                    header,
                    buffers: buffers?,
                })
            }
        })
    }

    fn write_buffer(&self, source: Source) -> Result<Buffer, WriteError> {
        match source {
            Source::Memory(bytes) => {
                let bytes = (*bytes).as_ref();
                if bytes.len() <= INLINE {
                    return Ok(Buffer::Inline(bytes.to_vec()));
                }
                let digest = thrifty_key::Digest::of_blob_parallel(bytes);
                let name = match self.known_blob(&digest) {
                    Some(name) => name,
                    None => self.blobs.put(&[bytes])?,
                };
                Ok(Buffer::Blob(name))
            }
            Source::File { path, digest } => {
                let name = match self.known_blob(&digest) {
                    Some(name) => name,
                    None => self.blobs.put_file(&path)?,
                };
                if name.digest != digest {
                    return Err(WriteError::Changed(path.display().to_string()));
                }
                Ok(Buffer::Blob(name))
            }
        }
    }

    /// A blob of this content that entries may go on referring to.
    fn known_blob(&self, digest: &Digest) -> Option<BlobName> {
        let blob = self.catalog.find_blob(digest, PIN).ok()??;
        let name = BlobName {
            digest: blob.digest,
            generation: blob.generation,
            length: blob.length,
        };
        // The catalog may be wrong about the disk; a blob that cannot be opened is written anew.
        self.blobs.open(&name).ok().map(|_| name)
    }
}

impl Draft {
    /// What the value contributes to a container it stands in.
    pub(crate) fn contribution(&self) -> Result<Vec<u8>, RecordError> {
        Ok(match self {
            Self::Plain(encoding) => plain::contribution(encoding)?,
            Self::Stored(record) => record.contribution()?,
            Self::Edge(number) => return Err(PlainError::Edge(*number).into()),
            Self::Hashed { digest, .. } | Self::Object { digest, .. } => {
                plain::contribution_of_digest(digest)
            }
            Self::Composite { container, parts } => {
                let parts: Result<Vec<_>, _> = parts.iter().map(Self::contribution).collect();
                plain::contribution(&Shape::encode(container, &parts?))?
            }
        })
    }
}
