//! Publishing an output: its bytes become blobs, then one transaction makes the entry visible.
//!
//! A crash before the transaction leaves blobs that nothing refers to, and no entry; a crash
//! after it leaves everything.

use std::sync::Arc;
use std::time::Duration;

use thrifty_catalog::{BlobRef, CatalogError, Claim, Committed, EntryId, NewEntry, Part, Selector};
use thrifty_key::{Digest, Key, Kind};
use thrifty_store::{BlobName, PutError, parallel};

use crate::answer::{Answer, Terms};
use crate::cache::Cache;
use crate::compute::{Goal, Task};
use crate::epochs;
use crate::graph::Taken;
use crate::lookup::Looked;
use crate::notes::{self, Note};
use crate::observed::{self, Change, Glance};
use crate::operation::Operation;
use crate::outcome::Outcome;
use crate::reason::Reason;
use crate::record::{Buffer, Draft, Record, Source, reference};
use crate::removal::remember_removed;
use crate::reserve::{nonce, repeated};

/// The longest buffer that stands in the record itself, in bytes.
const INLINE: usize = 16 << 10;
/// From how many bytes on several cores hash faster than one.
const SEVERAL_CORES: usize = 128 << 10;
/// How long a blob found in the store is protected until the entry refers to it.
const PIN: Duration = Duration::from_secs(3600);
/// How many entries, with their results, are in memory at once to tell their keys.
const TOLD_AT_ONCE: usize = 100;

/// What became of an output.
pub(crate) enum Published {
    /// It can be loaded from now on; an outcome other than *computed* says what is special.
    Stored(Arc<Answer>, Option<Outcome>),
    /// The key was invalidated, replaced or taken over meanwhile.
    Fenced,
    /// It was not stored, for this reason; and what there is to say about it.
    Failed(Reason, String),
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
    /// The draft refers to other operations, one of which is not stored.
    #[error("it takes a value that is not stored")]
    Edge,
    /// The catalog does not say whether the bytes are there already.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What is to be published, and what its edges lead to.
#[derive(Clone, Copy)]
pub(crate) struct Writing<'a> {
    /// The value.
    pub draft: &'a Draft,
    /// What its edges lead to.
    pub taken: &'a [Taken],
}

impl Cache {
    /// Writes a value and makes it visible under its key. A blob that was collected between
    /// being found and being referred to is found no longer, and written anew.
    pub(crate) fn publish(
        &self,
        task: &Task<'_>,
        goal: Goal,
        writing: Writing<'_>,
        terms: &Terms,
        cost: Duration,
    ) -> Published {
        if let Err((reason, text)) = self.may_write() {
            return Published::Failed(reason, text);
        }
        let publish = || self.publish_once(task, goal, writing, terms, cost);
        publish().or_else(|_| publish()).unwrap_or_else(|gone| {
            let text = format!("blob {} was collected meanwhile", gone.digest);
            Published::Failed(Reason::Collected, text)
        })
    }

    /// Whether the cache may be written now; if not, why, and what there is to say about it.
    fn may_write(&self) -> Result<(), (Reason, String)> {
        self.health.may_write().map_err(|reason| {
            (reason, format!("the cache is left alone for a while: {}", reason.text()))
        })
    }

    /// The claim of a computation that begins now and is to replace the entry of a key; if none
    /// is to be had, why its result cannot be stored.
    pub(crate) fn draw_ticket(&self, key: &Key) -> Result<Claim, (Reason, String)> {
        self.may_write()?;
        let drawn = repeated(|| self.catalog.draw_ticket(&self.scope, key));
        self.health.wrote(drawn).map_err(|error| (Reason::from(&error), error.to_string()))
    }

    fn publish_once(
        &self,
        task: &Task<'_>,
        goal: Goal,
        writing: Writing<'_>,
        terms: &Terms,
        cost: Duration,
    ) -> Result<Published, BlobRef> {
        let record = match self.write(writing) {
            Ok(record) => record,
            Err(error) => {
                return Ok(self.not_written_because(&error));
            }
        };
        let answer = match Answer::unstored(record, cost, terms.clone()) {
            Ok(answer) => answer,
            Err(error) => return Ok(Published::Failed(Reason::Unstorable, error.to_string())),
        };
        let entry = match self.entry(task, goal, &answer, cost) {
            Ok(entry) => entry,
            Err(change) => return Ok(Published::Failed(Reason::Changed, change.to_string())),
        };
        let superseded = match goal.claim.replace {
            true => self.superseded_by(&entry).unwrap_or_default(),
            false => Vec::new(),
        };
        self.health.begin();
        // Read before the commit: an answer that is removed right after it is never kept.
        let changes = self.catalog.changes();
        let committed = self
            .keep_texts(task.operation)
            .and_then(|()| repeated(|| self.catalog.commit(&self.scope, &entry, &goal.claim)));
        let is_new = matches!(committed, Ok(Committed::Stored(_)));
        if is_new && !superseded.is_empty() {
            let gone = superseded.iter().map(|key| (&self.scope, key));
            let how = format!("refresh of {}", entry.operation);
            _ = remember_removed(self.catalog.as_ref(), gone, &how, self.who());
        }
        let committed = match self.health.wrote(committed) {
            Ok(committed) => committed,
            Err(error) => {
                return Ok(Published::Failed(Reason::from(&error), error.to_string()));
            }
        };
        let (id, outcome) = match committed {
            Committed::Stored(id) => (Some(id), None),
            Committed::Same(id) => return Ok(Published::Stored(self.same(goal, id, answer), None)),
            // The entry holds another value than this one: the consumer gets what was
            // computed, and the stored value goes on answering the key.
            Committed::Different(_) => (None, Some(Outcome::Nondeterministic)),
            Committed::Fenced => return Ok(Published::Fenced),
            Committed::BlobGone(blob) => return Err(blob),
        };
        let bytes = entry.output.len() + entry.observed.len() + entry.made_of.size();
        let size = bytes + size_of::<Answer>();
        let answer = Answer { entry: id, size, ..answer };
        if is_new && entry.expires_at.is_none() {
            // What expires is taken from the catalog, whose clock it expires by.
            let remembered = Answer { run: entry.origin.run, ..answer.clone() };
            self.memory.put(goal.key, Arc::new(remembered), changes);
        }
        Ok(Published::Stored(Arc::new(answer), outcome))
    }

    /// The keys of the results that go if this entry takes the place of another value, since they were
    /// made of that. Only so that a later miss can say it: what others store meanwhile is not told.
    fn superseded_by(&self, entry: &NewEntry) -> Result<Vec<Key>, CatalogError> {
        let scope = Some(&self.scope);
        let selector = Selector { key_prefix: Some(entry.key.to_string()), ..Selector::default() };
        let there = self.catalog.entries_in_time(scope, &selector, 1)?;
        if there.iter().any(|there| there.output_digest == entry.output_digest) {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        for ids in self.catalog.wholes(scope, &selector)?.chunks(TOLD_AT_ONCE) {
            let these = Selector { ids: Some(ids.to_vec()), ..Selector::default() };
            let entries = self.catalog.entries_in_time(scope, &these, ids.len())?;
            keys.extend(entries.iter().map(|entry| entry.key));
        }
        Ok(keys)
    }

    /// An answer that somebody else has stored as well, in blobs of his own: nothing refers to
    /// those of this one, so that they are collected while it is used. And he may have made it of
    /// others: whoever names the entry takes all that it says, and not what this one was made of.
    fn same(&self, goal: Goal, id: EntryId, answer: Answer) -> Arc<Answer> {
        Arc::new(match self.look_again(&goal.key, None) {
            Looked::Hit(stored, _) if stored.entry == Some(id) => Answer {
                cost: answer.cost,
                created_at: answer.created_at,
                run: answer.run,
                ..(*stored).clone()
            },
            Looked::Hit(..) | Looked::Miss(..) => answer,
        })
    }

    /// What became of an output whose bytes could not be written. A full store says nothing about
    /// the next, smaller output; a catalog that failed does.
    fn not_written_because(&self, error: &WriteError) -> Published {
        let text = error.to_string();
        let reason = match error {
            WriteError::Put(error) => {
                self.health.mention(&text);
                Reason::from(error)
            }
            WriteError::Changed(_) => Reason::Changed,
            WriteError::Edge => Reason::Unstorable,
            WriteError::Catalog(error) => {
                self.health.failed_to_write(error);
                Reason::from(error)
            }
        };
        Published::Failed(reason, text)
    }

    /// Keeps the source texts of an operation, the first time this process publishes with them.
    fn keep_texts(&self, operation: &Operation) -> Result<(), CatalogError> {
        self.keep_notes(operation)?;
        let texts = operation.texts();
        let new: Vec<_> = {
            let kept = self.texts_kept.lock();
            let is_new = |text: &&(Digest, String)| !kept.contains(&text.0);
            texts.iter().filter(is_new).collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let texts: Vec<_> = new.iter().map(|(digest, text)| (*digest, text.as_str())).collect();
        repeated(|| self.catalog.put_texts(&texts))?;
        self.texts_kept.lock().extend(new.iter().map(|(digest, _)| *digest));
        Ok(())
    }

    /// Keeps the notes of an operation, the first time this process publishes with its code.
    fn keep_notes(&self, operation: &Operation) -> Result<(), CatalogError> {
        let Some(code) = operation.digest(Kind::Code) else {
            return Ok(());
        };
        if operation.notes().is_empty() || self.texts_kept.lock().contains(&code) {
            return Ok(());
        }
        repeated(|| notes::remember(self.catalog.as_ref(), operation))?;
        self.texts_kept.lock().insert(code);
        Ok(())
    }

    /// Keeps what a body of an operation did unseen, the first time this process sees it.
    pub fn keep_unseen(&self, operation: &Operation, notes: impl IntoIterator<Item = Note>) {
        let digests = notes.into_iter().map(|note| notes::digest_of(operation, note));
        let new: Vec<Digest> = {
            let kept = self.texts_kept.lock();
            digests.filter(|digest| !kept.contains(digest)).collect()
        };
        if new.is_empty() || self.health.may_write().is_err() {
            return;
        }
        let kept = notes::remember_unseen(self.catalog.as_ref(), &new);
        if self.health.note_write(kept).is_some() {
            self.texts_kept.lock().extend(new);
        }
    }

    /// The entry to be committed. One whose observations do not hold any more is none: something
    /// was changed while the operation ran.
    fn entry(
        &self,
        task: &Task<'_>,
        goal: Goal,
        answer: &Answer,
        cost: Duration,
    ) -> Result<NewEntry, Change> {
        let observed = observed::encode(&answer.observed)?;
        if !observed.is_empty()
            && let Some(change) = Glance::new(&self.surroundings()).first_change(&answer.observed)
        {
            return Err(change);
        }
        let mut blobs: Vec<BlobRef> = answer.record.blobs().iter().map(reference).collect();
        blobs.sort_unstable();
        blobs.dedup();
        Ok(NewEntry {
            id: goal.claim.reservation.map_or_else(nonce, |(_, nonce)| nonce),
            key: goal.key,
            operation: task.operation.name().to_owned(),
            ingredients: (task.ingredients)(),
            output: answer.record.to_bytes(),
            output_digest: answer.digest(),
            blobs,
            cost,
            expires_at: answer.expires_at,
            origin: self.origin(&task.run),
            observed,
            made_of: answer.made_of.all.clone(),
            parts: answer.made_of.taken().map(as_known).collect(),
        })
    }

    /// Turns a draft into a record: large buffers become blobs.
    pub(crate) fn write(&self, writing: Writing<'_>) -> Result<Record, WriteError> {
        let Writing { draft, taken } = writing;
        draft.record(taken, &mut |source| self.write_buffer(source))?.ok_or(WriteError::Edge)
    }

    fn write_buffer(&self, source: &Source) -> Result<Buffer, WriteError> {
        match source {
            Source::Memory(bytes) => {
                let bytes = (**bytes).as_ref();
                if bytes.len() <= INLINE {
                    return Ok(Buffer::Inline(bytes.to_vec()));
                }
                let name = match self.known_blob(&digest_of(bytes))? {
                    Some(name) => name,
                    None => self.blobs.put(&[bytes])?,
                };
                Ok(Buffer::Blob(name))
            }
            Source::File { path, digest } => {
                let name = match self.known_blob(digest)? {
                    Some(name) => name,
                    None => self.blobs.put_file(path)?,
                };
                if name.digest != *digest {
                    return Err(WriteError::Changed(path.display().to_string()));
                }
                Ok(Buffer::Blob(name))
            }
        }
    }

    /// A blob of this content that entries may go on referring to.
    fn known_blob(&self, digest: &Digest) -> Result<Option<BlobName>, CatalogError> {
        let found = repeated(|| self.catalog.find_blob(digest, PIN))?;
        let Some(blob) = found else { return Ok(None) };
        let name =
            BlobName { digest: blob.digest, generation: blob.generation, length: blob.length };
        // The catalog may be wrong about the disk; a blob that cannot be opened is written anew.
        Ok(self.blobs.open(&name).ok().map(|_| name))
    }
}

/// BLAKE3 of the bytes, on all cores where that is faster, and safe after a fork.
fn digest_of(bytes: &[u8]) -> Digest {
    match parallel::pool().filter(|_| bytes.len() >= SEVERAL_CORES) {
        Some(pool) => pool.install(|| Digest::of_blob_parallel(bytes)),
        None => Digest::of_blob(bytes),
    }
}

/// A result that was taken, as the catalog is told of it.
fn as_known(part: Part) -> Part {
    Part { since: part.since.map(epochs::known), ..part }
}
