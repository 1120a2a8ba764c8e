//! Values that are not stored, or not yet: drafts, and what an expanded operation gathers.

use thrifty_key::plain::{self, PlainError};

use crate::graph::{Taken, Value};
use crate::record::{Buffer, Draft, Object, Record, RecordError, Shape, Source, Step};

/// The value of an operation that became other operations: made of their outputs.
pub struct Gathered {
    /// The value, with edges.
    pub output: Draft,
    /// What the edges lead to.
    pub taken: Vec<Taken>,
}

impl Draft {
    /// The part that one subscript leads to, if it is a part of its own: not within a plain
    /// value, a stored one or another operation's.
    pub fn part(&self, step: &Step) -> Option<&Self> {
        match self {
            Self::Composite { container, parts } => {
                parts.get(container.position(step, parts.len())?)
            }
            Self::Hashed { value, .. } | Self::Annotated { value, .. } => value.part(step),
            Self::Plain(_) | Self::Object { .. } | Self::Stored(_) | Self::Edge(_) => None,
        }
    }

    /// What the value contributes to a container it stands in.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if a plain part is damaged, or the draft has edges.
    pub(crate) fn contribution(&self) -> Result<Vec<u8>, RecordError> {
        Ok(match self {
            Self::Plain(encoding) => plain::contribution(encoding)?,
            Self::Stored(record) => record.contribution()?,
            Self::Edge(number) => return Err(PlainError::Edge(*number).into()),
            Self::Hashed { digest, .. } | Self::Object { digest, .. } => {
                plain::contribution_of_digest(digest)
            }
            Self::Annotated { value, .. } => value.contribution()?,
            Self::Composite { container, parts } => {
                let parts: Result<Vec<_>, _> = parts.iter().map(Self::contribution).collect();
                plain::contribution(&Shape::encode(container, &parts?))?
            }
        })
    }

    /// The record this would become, without the bytes of its buffers: what each part
    /// contributes can be told from it. `None` if an edge leads to a value without a digest.
    pub(crate) fn outline(&self, taken: &[Taken]) -> Option<Record> {
        Some(match self {
            Self::Plain(encoding) => Record::Plain(encoding.clone()),
            Self::Stored(record) => record.clone(),
            Self::Edge(number) => edge(*number, taken)?.outline()?,
            Self::Hashed { digest, value } => {
                Record::Hashed { digest: *digest, value: Box::new(value.outline(taken)?) }
            }
            Self::Annotated { value, .. } => value.outline(taken)?,
            Self::Composite { container, parts } => {
                let parts: Option<_> = parts.iter().map(|part| part.outline(taken)).collect();
                Record::Composite { container: container.clone(), parts: parts? }
            }
            Self::Object { codec, digest, classes, header, buffers: _ } => Record::Object(Object {
                codec: codec.clone(),
                digest: *digest,
                classes: classes.clone(),
                header: header.clone(),
                buffers: Vec::new(),
            }),
        })
    }

    /// The record, its sources made buffers by `write`. `None` stands for a part that leads to
    /// a value which is not stored.
    ///
    /// # Errors
    ///
    /// What `write` returns.
    pub(crate) fn record<E>(
        &self,
        taken: &[Taken],
        write: &mut dyn FnMut(&Source) -> Result<Buffer, E>,
    ) -> Result<Option<Record>, E> {
        Ok(Some(match self {
            Self::Plain(encoding) => Record::Plain(encoding.clone()),
            Self::Stored(record) => record.clone(),
            Self::Edge(number) => match edge(*number, taken).and_then(Taken::stored) {
                Some(record) => record,
                None => return Ok(None),
            },
            Self::Hashed { digest, value } => match value.record(taken, write)? {
                Some(value) => Record::Hashed { digest: *digest, value: Box::new(value) },
                None => return Ok(None),
            },
            Self::Annotated { notes, value } => match value.record(taken, write)? {
                Some(value) => Record::Annotated { notes: notes.clone(), value: Box::new(value) },
                None => return Ok(None),
            },
            Self::Composite { container, parts } => {
                let parts: Result<Option<Vec<_>>, E> =
                    parts.iter().map(|part| part.record(taken, write)).collect();
                match parts? {
                    Some(parts) => Record::Composite { container: container.clone(), parts },
                    None => return Ok(None),
                }
            }
            Self::Object { codec, digest, classes, header, buffers } => {
                let buffers: Result<_, E> = buffers.iter().map(write).collect();
                Record::Object(Object {
                    codec: codec.clone(),
                    digest: *digest,
                    classes: classes.clone(),
                    header: header.clone(),
                    buffers: buffers?,
                })
            }
        }))
    }
}

impl Taken {
    /// The record of the part, if it is stored and need not be loaded to be found.
    fn stored(&self) -> Option<Record> {
        match &self.value {
            Value::Known(answer) => answer.record.select(&self.steps),
            // What puts stored outputs together is stored as these are.
            Value::Live { object, .. } => {
                let Gathered { output, taken } = object.downcast_ref()?;
                let whole = output.record(taken, &mut |_: &Source| Err(())).ok()??;
                whole.select(&self.steps)
            }
        }
    }

    fn outline(&self) -> Option<Record> {
        let whole = match &self.value {
            Value::Known(answer) => Some(&answer.record),
            Value::Live { outline, .. } => outline.as_deref(),
        };
        whole.and_then(|whole| whole.select(&self.steps)).or_else(|| self.unselected())
    }

    /// Stands for a part that only loading the value would show.
    fn unselected(&self) -> Option<Record> {
        let contribution = self.value.contribution_at(&self.steps)?;
        let classes = self.value.classes_at(&self.steps);
        if classes.is_empty() {
            // A contribution is a plain encoding that contributes itself.
            return Some(Record::Plain(contribution));
        }
        let digest = plain::digest_of_contribution(&contribution);
        let (codec, header, buffers) = (String::new(), Vec::new(), Vec::new());
        Some(Record::Object(Object { codec, digest, classes, header, buffers }))
    }
}

fn edge(number: u64, taken: &[Taken]) -> Option<&Taken> {
    taken.get(usize::try_from(number).ok()?)
}
