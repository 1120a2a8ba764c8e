//! Does everything the catalog promises hold?
//!
//! A check never trusts what was verified before. Entries come and go while it works, so a
//! finding is reported only if it still stands when looked at again. A repair removes what
//! cannot be served, so that the next call computes it; bytes that are wrong are set aside and
//! not deleted, and nothing is touched because it could not be read.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use thrifty_catalog::{BlobRef, Catalog, CatalogError, Entry, EntryId, Selector};
use thrifty_key::Digest;
use thrifty_store::{Blobs, GetError, RemoveError};

use crate::evict::name_of;
use crate::observed;
use crate::record::Record;

/// Entries read in one request.
const BATCH: usize = 500;

/// How much is checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// The catalog itself, that every record can be read, and that every blob is there and has
    /// its length.
    #[default]
    Quick,
    /// Also every byte of every blob.
    Full,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries checked.
    pub entries: u64,
    /// Blobs checked.
    pub blobs: u64,
    /// Bytes read and compared with their digest.
    pub bytes: u64,
    /// What is wrong, worst first.
    pub findings: Vec<Finding>,
    /// Entries removed by the repair.
    pub removed: u64,
    /// Blobs set aside by the repair.
    pub quarantined: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// The catalog's own check failed.
    Catalog {
        /// What it said.
        problem: String,
    },
    /// A record cannot be read.
    Record {
        /// The entry.
        entry: EntryId,
        /// Its operation.
        operation: String,
        /// What is wrong.
        problem: String,
    },
    /// The bytes of a blob are not those of its name.
    Corrupt {
        /// The blob.
        blob: String,
        /// What is wrong.
        problem: String,
        /// The entries that need it.
        entries: Vec<EntryId>,
    },
    /// A blob that entries need is not there.
    Missing {
        /// The blob.
        blob: String,
        /// The entries that need it.
        entries: Vec<EntryId>,
    },
    /// Something could not be read now; it may be sound.
    Unreadable {
        /// What the system said.
        problem: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalog { problem } => write!(f, "catalog: {problem}"),
            Self::Record { entry, operation, problem } => {
                write!(f, "entry {} of {operation}: {problem}", entry.0)
            }
            Self::Corrupt { blob, problem, entries } => {
                write!(f, "blob {blob} is corrupt: {problem}; needed by {} entries", entries.len())
            }
            Self::Missing { blob, entries } => {
                write!(f, "blob {blob} is missing; needed by {} entries", entries.len())
            }
            Self::Unreadable { problem } => write!(f, "cannot be checked now: {problem}"),
        }
    }
}

/// A check that could not go on.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store cannot be listed.
    #[error(transparent)]
    Store(#[from] GetError),
    /// Something wrong could not be set aside.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

/// Checks the cache, and with `repair` makes it so that every entry that is left can be served.
///
/// # Errors
///
/// [`CheckError`] if the catalog or the store cannot be read at all, or not repaired.
pub fn check(
    catalog: &dyn Catalog,
    blobs: &dyn Blobs,
    level: Level,
    repair: bool,
) -> Result<Report, CheckError> {
    let mut check = Check { catalog, blobs, level, report: Report::default() };
    check.catalog_itself()?;
    let users = check.entries()?;
    let broken = check.blobs(&users)?;
    check.report.findings.sort();
    if repair {
        check.repair(&broken)?;
    }
    Ok(check.report)
}

/// Each blob with the entries that need it.
type Users = BTreeMap<BlobRef, Vec<EntryId>>;

struct Check<'a> {
    catalog: &'a dyn Catalog,
    blobs: &'a dyn Blobs,
    level: Level,
    report: Report,
}

impl Check<'_> {
    fn catalog_itself(&mut self) -> Result<(), CatalogError> {
        let problems = self.catalog.check()?.into_iter();
        self.report.findings.extend(problems.map(|problem| Finding::Catalog { problem }));
        Ok(())
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
                self.record(entry);
                for blob in &entry.blobs {
                    users.entry(*blob).or_default().push(entry.id);
                }
            }
        }
    }

    /// A record and what was observed must be readable, and name no blob that the entry does not
    /// hold.
    fn record(&mut self, entry: &Entry) {
        let observed = observed::decode(&entry.observed);
        let problem = match (Record::from_bytes(&entry.output), observed) {
            (Err(error), _) => error.to_string(),
            (Ok(_), Err(error)) => error.to_string(),
            (Ok(record), Ok(_)) => {
                let held: Vec<_> = entry.blobs.iter().map(name_of).collect();
                match record.blobs().into_iter().find(|name| !held.contains(name)) {
                    Some(name) => format!("its record needs blob {name}, which it does not hold"),
                    None => return,
                }
            }
        };
        let operation = entry.operation.clone();
        self.report.findings.push(Finding::Record { entry: entry.id, operation, problem });
    }

    /// Checks the bytes; returns the blobs that cannot be served.
    fn blobs(&mut self, users: &Users) -> Result<Vec<BlobRef>, CheckError> {
        let mut present: HashMap<(Digest, u64), u64> = HashMap::new();
        // What cannot be looked at is looked at again, by name, below.
        for listed in self.blobs.list()?.flatten() {
            present.insert((listed.name.digest, listed.name.generation), listed.name.length);
        }
        let mut broken = Vec::new();
        for (blob, entries) in users {
            self.report.blobs += 1;
            let length = present.get(&(blob.digest, blob.generation));
            if self.level == Level::Quick && length == Some(&blob.length) {
                continue;
            }
            if let Some(finding) = self.bytes(blob, entries)? {
                if !matches!(finding, Finding::Unreadable { .. }) {
                    broken.push(*blob);
                }
                self.report.findings.push(finding);
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
            Err(GetError::Missing { .. }) => {
                let entries = self.still_there(users)?;
                let missing = Finding::Missing { blob: name.to_string(), entries };
                return Ok((!missing.entries().is_empty()).then_some(missing));
            }
            Err(GetError::Transient { path, source }) => {
                let problem = format!("{}: {source}", path.display());
                return Ok(Some(Finding::Unreadable { problem }));
            }
        };
        Ok(Some(Finding::Corrupt { blob: name.to_string(), problem, entries: users.to_vec() }))
    }

    /// The entries that were not removed meanwhile, together with their bytes.
    fn still_there(&self, entries: &[EntryId]) -> Result<Vec<EntryId>, CatalogError> {
        let selector = Selector { ids: Some(entries.to_vec()), ..Selector::default() };
        let found = self.catalog.entries(None, &selector, entries.len())?;
        Ok(found.into_iter().map(|entry| entry.id).collect())
    }

    fn repair(&mut self, broken: &[BlobRef]) -> Result<(), CheckError> {
        let dangling: Vec<EntryId> =
            self.report.findings.iter().flat_map(Finding::entries).copied().collect();
        if !dangling.is_empty() {
            let selector = Selector { ids: Some(dangling), ..Selector::default() };
            self.report.removed = self.catalog.invalidate(None, &selector)?.entries;
        }
        for finding in &self.report.findings {
            self.report.quarantined += u64::from(matches!(finding, Finding::Corrupt { .. }));
        }
        if broken.is_empty() {
            return Ok(());
        }
        for blob in broken {
            // One that is missing counts as set aside.
            self.blobs.quarantine(&name_of(blob))?;
        }
        // Only a condemned blob can be forgotten, and until then a writer would be told that
        // the bytes are there. Others condemned on the way are idle too and cost an upload.
        self.catalog.condemn(Duration::ZERO, false)?;
        Ok(self.catalog.forget(broken)?)
    }
}

impl Finding {
    /// The entries that cannot be served because of it.
    pub fn entries(&self) -> &[EntryId] {
        match self {
            Self::Record { entry, .. } => std::slice::from_ref(entry),
            Self::Corrupt { entries, .. } | Self::Missing { entries, .. } => entries,
            Self::Catalog { .. } | Self::Unreadable { .. } => &[],
        }
    }
}
