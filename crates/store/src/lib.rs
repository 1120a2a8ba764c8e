//! WHERE are the bytes?
//!
//! [`Blobs`] is the contract: a [`BlobName`] on one side, the bytes of a [`Blob`] on the other.
//! [`disk::Disk`] and [`memory::Memory`] keep them; [`verified::Verified`] wraps either, so that
//! nobody gets bytes that are not those of the name. What the bytes mean is the catalog's part.
//!
//! ```
//! use std::sync::Arc;
//! use thrifty_store::{Blobs, disk::Disk, verified::{MemoryTrust, Verified}};
//!
//! let home = tempfile::tempdir()?;
//! let blobs = Verified::new(Disk::open(home.path())?, Arc::new(MemoryTrust::default()));
//! let name = blobs.put(&[b"header", b"column"])?;
//! let blob = blobs.open(&name)?;
//! assert_eq!(&blob[..], b"headercolumn");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`scan`] turns a directory into a manifest of digests, [`restore`] the other way round.

mod blob;
pub mod conformance;
mod contract;
pub mod disk;
mod error;
pub mod filesystem;
mod identity;
pub mod links;
pub mod memory;
mod name;
pub mod parallel;
pub mod restore;
pub mod scan;
pub mod verified;

pub use blob::Blob;
pub use contract::{Blobs, Listed, Listing};
pub use error::{Damage, GetError, PlaceError, PutError, RemoveError};
pub use identity::StatIdentity;
pub use name::BlobName;
