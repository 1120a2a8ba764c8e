//! Forking without carrying SQLite across.
//!
//! SQLite's Unix layer keeps one record per file and process of which locks it holds. A forked
//! child inherits the record but not the locks, so even a connection the child opens itself
//! would believe in locks that do not exist. Leaking the parent's connections is not enough:
//! none may be open at the moment of the fork. Handlers of `pthread_atfork` see to that: they
//! wait for the calls under way, close every connection, and let both sides open anew on
//! demand. `vfork` and `posix_spawn` do not run them and need not.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

/// Something whose connections must be closed before a fork.
pub(super) trait Closes: Send + Sync {
    /// Closes all connections to files. No call is under way.
    fn close(&self);
}

type Open = Vec<Weak<dyn Closes>>;
type Held = (RwLockWriteGuard<'static, ()>, MutexGuard<'static, Open>);

// Locks of the standard library: unlocking them in the child touches no table that another
// thread of the parent may have held.
static GATE: RwLock<()> = RwLock::new(());
static OPEN: Mutex<Open> = Mutex::new(Vec::new());

thread_local! {
    static FORKING: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Has forks wait for calls of catalogs from now on. Opening a catalog sees to it as well; a
/// program that may fork while it opens its first one calls this before.
pub fn hold_off_forks() {
    // Not a `Once`: a child that is forked while another thread is inside would wait for it for
    // ever. Registered twice, the second handler finds nothing to do.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Ordering::Acquire) {
        // SAFETY: the handlers capture nothing and never unwind: they lock, close and unlock.
        unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
        REGISTERED.store(true, Ordering::Release);
    }
}

/// Holds off forks while a call uses a connection. Calls must not nest.
pub(super) fn enter() -> RwLockReadGuard<'static, ()> {
    hold_off_forks();
    GATE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Has `pool` closed at every fork from now on. Its first connection was opened under the same
/// guard of [`enter`].
pub(super) fn register(pool: &Arc<impl Closes + 'static>) {
    let pool: Weak<dyn Closes> = Arc::downgrade(pool) as Weak<dyn Closes>;
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|other| other.strong_count() > 0);
    open.push(pool);
}

unsafe extern "C" fn before() {
    if FORKING.with_borrow(Option::is_some) {
        return;
    }
    let gate = GATE.write().unwrap_or_else(PoisonError::into_inner);
    let open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    for pool in open.iter().filter_map(Weak::upgrade) {
        pool.close();
    }
    FORKING.set(Some((gate, open)));
}

unsafe extern "C" fn after() {
    FORKING.take();
}
