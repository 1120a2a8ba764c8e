//! An answer: the output of an operation, known from an entry.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{Entry, EntryId, Hit, RunId, Time};
use thrifty_key::{Digest, plain};

use crate::made_of::Parts;
use crate::observed::{self, Observation};
use crate::record::{Record, RecordError, Step, contribution_of_part};

/// The output of an operation as an entry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The entry; `None` if the output is not stored under its key.
    pub entry: Option<EntryId>,
    /// The value.
    pub record: Record,
    /// What the value contributes to a container it stands in.
    pub contribution: Vec<u8>,
    /// The classes of the project whose instances it holds.
    pub classes: Vec<String>,
    /// How long the computation took.
    pub cost: Duration,
    /// When it was committed; 0 if that was just now, in this process.
    pub created_at: Time,
    /// When it ceases to be valid.
    pub expires_at: Option<Time>,
    /// The run that computed it.
    pub run: Option<RunId>,
    /// What its body observed, and those of the operations it was made of: the answer to its key
    /// only as long as all of it holds.
    pub observed: Arc<[Observation]>,
    /// What it was made of.
    pub made_of: Arc<Parts>,
    /// About how many bytes this takes in memory.
    pub(crate) size: usize,
}

impl Answer {
    /// The answer that a catalog's hit holds.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if its record or its observations cannot be read.
    pub(crate) fn from_hit(hit: Hit) -> Result<Self, RecordError> {
        let record = Record::from_bytes(&hit.output)?;
        let contribution = record.contribution()?;
        let bytes = hit.output.len() + hit.observed.len() + hit.made_of.size();
        Ok(Self {
            entry: Some(hit.entry),
            classes: record.classes(),
            record,
            contribution,
            cost: hit.cost,
            created_at: hit.created_at,
            expires_at: hit.expires_at,
            run: hit.run,
            observed: shared(observed::decode(&hit.observed)?),
            made_of: Parts::kept(hit.made_of),
            size: bytes + size_of::<Self>(),
        })
    }

    /// The answer that a whole entry holds.
    ///
    /// # Errors
    ///
    /// As [`Answer::from_hit`].
    pub(crate) fn from_entry(entry: Entry) -> Result<Self, RecordError> {
        Self::from_hit(Hit {
            entry: entry.id,
            output: entry.output,
            output_digest: entry.output_digest,
            cost: entry.cost,
            created_at: entry.created_at,
            expires_at: entry.expires_at,
            run: entry.origin.run,
            observed: entry.observed,
            made_of: entry.made_of,
        })
    }

    /// An output that no entry keeps.
    pub(crate) fn unstored(
        record: Record,
        cost: Duration,
        terms: Terms,
    ) -> Result<Self, RecordError> {
        let contribution = record.contribution()?;
        let size = size_of::<Self>();
        Ok(Self {
            entry: None,
            classes: record.classes(),
            record,
            contribution,
            cost,
            created_at: 0,
            expires_at: terms.expires_at,
            run: None,
            observed: terms.observed,
            made_of: terms.made_of,
            size,
        })
    }

    /// The value digest.
    pub fn digest(&self) -> Digest {
        plain::digest_of_contribution(&self.contribution)
    }

    /// What the part at the end of the steps contributes to a container it stands in.
    pub fn contribution_at(&self, steps: &[Step]) -> Vec<u8> {
        if steps.is_empty() {
            return self.contribution.clone();
        }
        let part = self.record.select(steps).and_then(|part| part.contribution().ok());
        part.unwrap_or_else(|| contribution_of_part(&self.contribution, steps))
    }

    /// The classes whose instances the part at the end of the steps holds, or may hold.
    pub(crate) fn classes_at(&self, steps: &[Step]) -> Vec<String> {
        if steps.is_empty() || self.classes.is_empty() {
            return self.classes.clone();
        }
        self.record.select(steps).map_or_else(|| self.classes.clone(), |part| part.classes())
    }

    pub(crate) fn is_valid(&self, now: Time, max_age: Option<Duration>) -> bool {
        let young = max_age.is_none_or(|max_age| {
            u128::try_from(now.saturating_sub(self.created_at))
                .map_or(true, |age| age <= max_age.as_millis())
        });
        young && self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// What the output of an operation depends on besides its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// What was observed while it was computed.
    pub observed: Arc<[Observation]>,
    /// When it ceases to be valid, by the catalog's clock.
    pub expires_at: Option<Time>,
    /// What it was made of.
    pub made_of: Arc<Parts>,
}

/// Observations to be handed on. Most answers have none, and then nothing is allocated.
pub(crate) fn shared(observed: Vec<Observation>) -> Arc<[Observation]> {
    if observed.is_empty() { Arc::default() } else { observed.into() }
}
