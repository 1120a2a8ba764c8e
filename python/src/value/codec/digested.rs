//! Digests of files that were hashed before, in this process and in the catalog.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::{Mutex, RwLock};
use thrifty_key::Digest;
use thrifty_store::StatIdentity;
use thrifty_store::scan::Memo;

/// Files remembered in memory at most; then all are forgotten.
const REMEMBERED: usize = 100_000;

/// The digests of files, by what the filesystem says of them.
pub(super) struct Digested {
    process: u32,
    here: Mutex<HashMap<PathBuf, (StatIdentity, Digest)>>,
    behind: RwLock<Option<Arc<dyn Memo>>>,
}

/// What this process knows. A thread that is not in a forked child may have held the locks of
/// what the child inherited: the child leaks it, and begins anew.
static DIGESTED: AtomicPtr<Digested> = AtomicPtr::new(std::ptr::null_mut());

/// The digests that this process knows.
pub(super) fn digested() -> &'static Digested {
    let process = std::process::id();
    let current = DIGESTED.load(Ordering::Acquire);
    // SAFETY: the pointer is null or came from `Box::leak` below and is never freed.
    if let Some(digested) = unsafe { current.as_ref() }.filter(|it| it.process == process) {
        return digested;
    }
    let fresh = Digested { process, here: Mutex::default(), behind: RwLock::default() };
    let fresh: *mut Digested = Box::leak(Box::new(fresh));
    let winner =
        match DIGESTED.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => fresh,
            Err(other) => other,
        };
    // SAFETY: both came from `Box::leak` above and are never freed.
    unsafe { &*winner }
}

/// Where digests of files are kept beyond this process.
pub fn keep_digests(memo: Arc<dyn Memo>) {
    *digested().behind.write() = Some(memo);
}

impl Digested {
    fn note(&self, path: &Path, identity: &StatIdentity, digest: &Digest) {
        let mut here = self.here.lock();
        if here.len() >= REMEMBERED {
            here.clear();
        }
        here.insert(path.to_owned(), (*identity, *digest));
    }

    /// A call of it may take as long as others hold the catalog: no lock is held meanwhile.
    fn behind(&self) -> Option<Arc<dyn Memo>> {
        self.behind.read().clone()
    }
}

impl Memo for Digested {
    fn recall(&self, path: &Path, identity: &StatIdentity) -> Option<Digest> {
        let found = self.here.lock().get(path).copied();
        if let Some((known, digest)) = found
            && known == *identity
        {
            return Some(digest);
        }
        let digest = self.behind()?.recall(path, identity)?;
        self.note(path, identity, &digest);
        Some(digest)
    }

    fn remember(&self, path: &Path, identity: &StatIdentity, digest: &Digest) {
        self.note(path, identity, digest);
        if let Some(behind) = self.behind() {
            behind.remember(path, identity, digest);
        }
    }
}
