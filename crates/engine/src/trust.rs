//! Which blobs were verified, kept in the catalog's memos so that every process knows.

use std::sync::Arc;

use thrifty_catalog::Catalog;
use thrifty_store::verified::Trust;
use thrifty_store::{BlobName, StatIdentity};

/// The memo table.
const TABLE: &str = "verified";

/// Trust in blobs, kept by a catalog.
pub(crate) struct CatalogTrust(Arc<dyn Catalog>);

impl CatalogTrust {
    pub fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self(catalog)
    }
}

impl Trust for CatalogTrust {
    fn recall(&self, name: &BlobName) -> Option<StatIdentity> {
        let memo = self.0.recall(TABLE, name.to_string().as_bytes()).ok()??;
        rmp_serde::from_slice(&memo).ok()
    }

    fn remember(&self, name: &BlobName, identity: StatIdentity) {
        // A memo that is not kept costs a verification, nothing more.
        if let Ok(memo) = rmp_serde::to_vec(&identity) {
            _ = self
                .0
                .remember(TABLE, &[(name.to_string().as_bytes(), &memo)]);
        }
    }

    fn forget(&self, name: &BlobName) {
        _ = self
            .0
            .remember(TABLE, &[(name.to_string().as_bytes(), &[])]);
    }
}
