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
//! Three ideas carry the crate:
//!
//! * **A name is one upload.** It holds the digest and a random generation, so that deleting an
//!   old upload late can never hit a newer one of the same bytes.
//! * **Whole or not there.** A blob appears by a rename after its bytes are durable. Whatever
//!   crashes, and whenever, leaves a leftover which no reader sees.
//! * **Certain or transient.** Only a blob that is surely gone, or surely corrupt, may lead to a
//!   deletion elsewhere; what cannot be told now is a miss, and everything is kept:
//!   [`GetError::is_certain_absence`].
//!
//! Files of the user come in by [`scan`], which gives their digests without keeping their bytes,
//! and go out by [`Blobs::place`] and [`restore`], without copying where the filesystem can.
//!
//! The layout on disk is published in `docs/formats/blob.md`. A new backend implements [`Blobs`]
//! and passes [`conformance`].

mod blob;
pub mod conformance;
mod contract;
pub mod disk;
mod error;
pub mod filesystem;
pub mod hold;
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
