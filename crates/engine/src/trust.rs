//! What was hashed before, kept in the catalog's memos so that every process knows.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thrifty_catalog::Catalog;
use thrifty_key::Digest;
use thrifty_store::scan::Memo;
use thrifty_store::verified::Trust;
use thrifty_store::{BlobName, StatIdentity};

use crate::health::Health;

/// The memo table of blobs that were verified.
const VERIFIED: &str = "verified";
/// The memo table of files that were hashed.
const HASHED: &str = "hashed";

/// Trust in blobs and digests of files, kept by a catalog.
///
/// A memo that is not kept costs a hash, nothing more: a catalog in trouble is left alone.
pub(crate) struct CatalogMemos {
    catalog: Arc<dyn Catalog>,
    health: Arc<Health>,
}

impl CatalogMemos {
    pub fn new(catalog: Arc<dyn Catalog>, health: Arc<Health>) -> Self {
        Self { catalog, health }
    }

    fn get<T: DeserializeOwned>(&self, table: &str, name: &[u8]) -> Option<T> {
        if !self.health.may_ask() {
            return None;
        }
        let memo = self.health.note(self.catalog.recall(table, name))??;
        rmp_serde::from_slice(&memo).ok()
    }

    fn set<T: Serialize>(&self, table: &str, name: &[u8], memo: &T) {
        if let Ok(memo) = rmp_serde::to_vec(memo)
            && self.health.may_write().is_ok()
        {
            self.health.note_write(self.catalog.remember(table, &[(name, &memo)]));
        }
    }
}

impl Trust for CatalogMemos {
    fn recall(&self, name: &BlobName) -> Option<StatIdentity> {
        self.get::<Option<StatIdentity>>(VERIFIED, name.to_string().as_bytes()).flatten()
    }

    fn remember(&self, name: &BlobName, identity: StatIdentity) {
        self.set(VERIFIED, name.to_string().as_bytes(), &Some(identity));
    }

    fn forget(&self, name: &BlobName) {
        self.set(VERIFIED, name.to_string().as_bytes(), &None::<StatIdentity>);
    }
}

impl Memo for CatalogMemos {
    fn recall(&self, path: &Path, identity: &StatIdentity) -> Option<Digest> {
        let (known, digest): (StatIdentity, Digest) =
            self.get(HASHED, path.as_os_str().as_bytes())?;
        (known == *identity).then_some(digest)
    }

    fn remember(&self, path: &Path, identity: &StatIdentity, digest: &Digest) {
        self.set(HASHED, path.as_os_str().as_bytes(), &(*identity, *digest));
    }
}
