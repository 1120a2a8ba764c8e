//! Since when this process can have taken what it remembers.
//!
//! A function may remember what it took of an operation whose result is stored nowhere. What was
//! invalidated before this process opened the cache is no news to that; without a bound, one
//! invalidation would refuse for ever all that is made of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use thrifty_catalog::{Catalog, Scope};
use thrifty_key::Digest;

/// The first cache that this process opened, or one that it was forked from. Nothing that is taken
/// anywhere is older than that; of another catalog, whose epochs are others, nobody knows.
static FIRST: OnceLock<(Option<Identity>, i64)> = OnceLock::new();

/// What tells a catalog's file from others, also from one that is given its number later: its
/// device, its number, and when it was made.
type Identity = (u64, u64, SystemTime);

/// The epoch before which no value was taken that this process has: of a catalog on disk that it opens
/// now. 0 if nobody knows.
pub(crate) fn of_opened(path: &Path, catalog: &dyn Catalog, scope: &Scope) -> i64 {
    let identity = identity(path);
    // The epoch is one for all keys.
    let epoch = || catalog.slot(scope, &Digest::from_bytes([0; 32])).map_or(0, |slot| slot.epoch);
    match FIRST.get() {
        Some((first, epoch)) if identity.is_some() && *first == identity => *epoch,
        Some(_) => 0,
        // Who opens another one at the same time may be the first.
        None => match FIRST.set((identity, epoch())) {
            Ok(()) => FIRST.get().map_or(0, |(_, epoch)| *epoch),
            Err(_) => 0,
        },
    }
}

/// A cache is opened that nothing but its process knows: what is taken from it is older than any that
/// follows.
pub(crate) fn in_memory() {
    _ = FIRST.set((None, 0));
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino(), file.created().ok()?))
}
