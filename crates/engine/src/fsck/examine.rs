//! Looking at everything, and putting right what can be.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use thrifty_catalog::{BlobRef, Catalog, CatalogError, Entry, EntryId, Problem, Remedy, Selector};
use thrifty_key::{Digest, plain};
use thrifty_store::{Blobs, GetError};

use super::{CheckError, Finding, Level, Report};
use crate::evict::name_of;
use crate::lookup::with_variants;
use crate::observed;
use crate::record::{Record, RecordError};

/// Entries read in one request.
const BATCH: usize = 500;

/// Each blob with the entries that need it; none for one that is merely known.
type Users = BTreeMap<BlobRef, Vec<EntryId>>;

/// Digest and generation of the blobs in the store, with their lengths.
type Present = HashMap<(Digest, u64), u64>;

/// What cannot be served: blobs, and rows that tell another length of a blob than it has.
#[derive(Debug, Default)]
pub(super) struct Broken {
    blobs: Vec<BlobRef>,
    rows: Vec<BlobRef>,
}

pub(super) struct Examination<'a> {
    catalog: &'a dyn Catalog,
    blobs: &'a dyn Blobs,
    level: Level,
    pub(super) report: Report,
}

impl<'a> Examination<'a> {
    pub(super) fn new(catalog: &'a dyn Catalog, blobs: &'a dyn Blobs, level: Level) -> Self {
        Self { catalog, blobs, level, report: Report::default() }
    }

    pub(super) fn catalog_itself(&mut self) -> Result<Vec<Problem>, CatalogError> {
        let problems = self.catalog.check()?;
        self.report.findings.extend(problems.iter().cloned().map(Finding::from));
        Ok(problems)
    }

    /// Checks what the catalog says against itself and against the store; returns what cannot be
    /// served.
    pub(super) fn entries_and_blobs(&mut self) -> Result<Broken, CheckError> {
        if self.level == Level::Catalog {
            self.entries()?;
            return Ok(Broken::default());
        }
        // Listed first: what is put and committed meanwhile is known by then.
        let present = self.present()?;
        let mut users = self.entries()?;
        for blob in self.live()? {
            users.entry(blob).or_default();
        }
        self.count_needless(&present)?;
        Ok(self.check_blobs(&present, &users)?)
    }

    fn entries(&mut self) -> Result<Users, CatalogError> {
        let mut users = Users::new();
        let mut selector = Selector::default();
        loop {
            let batch = self.catalog.entries(None, &selector, BATCH)?;
            let Some(oldest) = batch.iter().map(|entry| entry.id).min() else {
                return Ok(users);
            };
            selector.before = Some(oldest);
            for entry in &batch {
                self.report.entries += 1;
                if let Some(problem) = self.problem_of(entry) {
                    let operation = entry.operation.clone();
                    let finding = Finding::Record { entry: entry.id, operation, problem };
                    self.report.findings.push(finding);
                }
                for blob in &entry.blobs {
                    users.entry(*blob).or_default().push(entry.id);
                }
            }
        }
    }

    /// A record and what was observed must be readable, and name no blob that the entry does not
    /// hold.
    fn problem_of(&self, entry: &Entry) -> Option<String> {
        let record = match Record::from_bytes(&entry.output) {
            Ok(record) => record,
            Err(error) => return Some(error.to_string()),
        };
        if let Err(error) = observed::decode(&entry.observed) {
            return Some(error.to_string());
        }
        let held: Vec<_> = entry.blobs.iter().map(name_of).collect();
        if let Some(name) = record.blobs().into_iter().find(|name| !held.contains(name)) {
            return Some(format!("its record needs blob {name}, which it does not hold"));
        }
        if self.level == Level::Full { problem_of_digests(entry, &record) } else { None }
    }

    /// The blobs in the store, with their lengths. What cannot be looked at is looked at again,
    /// by name, when it turns out to be needed.
    fn present(&self) -> Result<Present, GetError> {
        let names = self.blobs.list()?.flatten().map(|listed| listed.name);
        Ok(names.map(|name| ((name.digest, name.generation), name.length)).collect())
    }

    /// The blobs that the catalog takes for live. One that is condemned may be gone already.
    fn live(&self) -> Result<Vec<BlobRef>, CatalogError> {
        let condemned: HashSet<_> =
            self.catalog.condemn(Duration::MAX, true)?.into_iter().collect();
        let known = self.catalog.blobs()?;
        Ok(known.into_iter().filter(|blob| !condemned.contains(blob)).collect())
    }

    fn count_needless(&mut self, present: &Present) -> Result<(), CatalogError> {
        let known = self.catalog.blobs()?;
        let known: HashSet<_> = known.iter().map(|blob| (blob.digest, blob.generation)).collect();
        for (_, length) in present.iter().filter(|(name, _)| !known.contains(name)) {
            self.report.orphans += 1;
            self.report.orphan_bytes += length;
        }
        // A store that cannot be listed now has been said to be unreadable, or is about to be.
        self.report.leftovers =
            self.blobs.leftovers(Duration::ZERO).map_or(0, |paths| paths.len() as u64);
        Ok(())
    }

    /// Checks the bytes; returns what cannot be served.
    fn check_blobs(&mut self, present: &Present, users: &Users) -> Result<Broken, CatalogError> {
        let mut broken = Broken::default();
        for (blob, entries) in users {
            self.report.blobs += 1;
            let length = present.get(&(blob.digest, blob.generation));
            if self.level == Level::Quick && length == Some(&blob.length) {
                continue;
            }
            // The entries that need it are sealed with its length. Without one, only the row tells it;
            // and opened with a wrong length, a sound blob would be set aside.
            if let Some(length) = length.filter(|it| **it != blob.length && entries.is_empty()) {
                let problem =
                    format!("{} in the catalog, whose blob has {length} bytes", name_of(blob));
                self.report.findings.push(Finding::Rows { problem });
                broken.rows.push(*blob);
                continue;
            }
            let Some(finding) = self.bytes(blob, entries)? else { continue };
            if !matches!(finding, Finding::Unreadable { .. }) {
                broken.blobs.push(*blob);
            }
            match finding {
                // Whoever needed it found it missing, and removed the entry.
                Finding::Missing { entries, .. } if entries.is_empty() => self.report.unbacked += 1,
                finding => self.report.findings.push(finding),
            }
        }
        Ok(broken)
    }

    /// Reads the whole blob.
    fn bytes(
        &mut self,
        blob: &BlobRef,
        users: &[EntryId],
    ) -> Result<Option<Finding>, CatalogError> {
        let name = name_of(blob);
        let problem = match self.blobs.open(&name) {
            Ok(bytes) if bytes.len() as u64 != blob.length => {
                format!("it has {} bytes", bytes.len())
            }
            Ok(bytes) => {
                self.report.bytes += blob.length;
                match Digest::of_blob(&bytes) {
                    digest if digest == blob.digest => return Ok(None),
                    digest => format!("its bytes have the digest {digest}"),
                }
            }
            Err(GetError::Corrupt { found, .. }) => found.to_string(),
            Err(GetError::Missing { .. }) => return self.missing(blob, users),
            Err(GetError::Transient { path, source }) => {
                let problem = format!("{}: {source}", path.display());
                return Ok(Some(Finding::Unreadable { problem }));
            }
        };
        Ok(Some(Finding::Corrupt { blob: name.to_string(), problem, entries: users.to_vec() }))
    }

    /// A blob that is not there is no finding if it was collected, with its entries, meanwhile.
    fn missing(&self, blob: &BlobRef, users: &[EntryId]) -> Result<Option<Finding>, CatalogError> {
        let selector = Selector { ids: Some(users.to_vec()), ..Selector::default() };
        let found = self.catalog.entries(None, &selector, users.len())?;
        let entries: Vec<_> = found.into_iter().map(|entry| entry.id).collect();
        if entries.is_empty() && !self.live()?.contains(blob) {
            return Ok(None);
        }
        Ok(Some(Finding::Missing { blob: name_of(blob).to_string(), entries }))
    }

    pub(super) fn repair(&mut self, broken: Broken) -> Result<(), CheckError> {
        let dangling: Vec<EntryId> =
            self.report.findings.iter().flat_map(Finding::entries).copied().collect();
        if !dangling.is_empty() {
            self.report.removed += self.catalog.remove(&dangling)?.entries;
        }
        for finding in &self.report.findings {
            self.report.quarantined += u64::from(matches!(finding, Finding::Corrupt { .. }));
        }
        for blob in &broken.blobs {
            // One that is missing counts as set aside.
            self.blobs.quarantine(&name_of(blob))?;
        }
        let needless = [broken.blobs, broken.rows].concat();
        if needless.is_empty() {
            return Ok(());
        }
        // Until then a writer would be told that the bytes are there.
        Ok(self.catalog.forget(&needless)?)
    }
}

/// What a record tells must be what its key and its digest stand for.
fn problem_of_digests(entry: &Entry, record: &Record) -> Option<String> {
    let made = entry.ingredients.key().to_string();
    // The key of a variant begins as that of the entry it hangs on.
    if !entry.key.to_string().starts_with(with_variants(&made)) {
        return Some(format!("its ingredients make the key {made}, and it has {}", entry.key));
    }
    let digest = |contribution: Vec<u8>| plain::digest_of_contribution(&contribution);
    match record.contribution().map(digest) {
        Err(RecordError::Damaged(problem)) => Some(problem),
        Err(error @ RecordError::Format { .. }) => Some(error.to_string()),
        Ok(found) if found == entry.output_digest => None,
        Ok(found) => {
            Some(format!("its record has the digest {found}, not {}", entry.output_digest))
        }
    }
}

impl From<Problem> for Finding {
    fn from(Problem { remedy, what }: Problem) -> Self {
        match remedy {
            Remedy::Remove(entry) => Self::Entry { entry, problem: what },
            Remedy::Mend => Self::Rows { problem: what },
            Remedy::Rebuild => Self::Catalog { problem: what },
        }
    }
}
