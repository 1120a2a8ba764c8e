//! The embedded backend: one SQLite file, shared by threads and processes of one machine.
//!
//! A read takes an idle connection, or opens one, and never waits for a write. A write takes
//! the one writing connection and `BEGIN IMMEDIATE`. The tables are specified in
//! `docs/formats/catalog.md`.

mod answers;
mod blobs;
mod budget;
mod check;
mod clock;
mod commit;
mod fault;
mod fork;
mod invalidate;
mod lookup;
mod memo;
mod open;
mod pool;
mod queue;
mod reserve;
mod runs;
mod salvage;
mod schema;
mod seal;
mod select;
mod signal;
mod text;
mod upkeep;
mod wait;
mod wholes;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use thrifty_key::{Digest, Key};

use self::budget::{ASK, BEAT, COMMIT};
use self::clock::Ratchet;
pub use self::clock::{Clock, System, uptime};
use self::fault::fault;
pub use self::fork::hold_off_forks;
use self::pool::Pool;
pub use self::salvage::{SalvageError, Salvaged};
use self::signal::Signal;
use crate::contract::Catalog;
use crate::entry::{
    BlobRef, Claim, Committed, Ended, Entry, EntryId, Found, Holder, Invalidated, NewEntry,
    Request, Reservation, Reserved, RunId, Scope, Selector, Slot, Standing, Time, Usage,
};
use crate::error::CatalogError;
use crate::problem::Problem;
use crate::run::{NewRun, Node, Run, RunFilter, RunStatus, Shortened, Totals};

/// What a catalog is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Reading and writing; a missing catalog is made.
    ReadWrite,
    /// Reading only; also from a directory that cannot be written. Every write fails with
    /// [`CatalogError::ReadOnly`].
    ReadOnly,
}

/// A catalog in one SQLite file, or in memory.
///
/// Beside the file `catalog.sqlite` lie SQLite's own `catalog.sqlite-wal` and `catalog.sqlite-shm`, and
/// `catalog.changes`, through which processes tell each other of changes. Forks are safe: no
/// connection is carried across, and both sides open their own when they need one.
///
/// ```
/// use thrifty_catalog::{Catalog, Found, Request, Scope, Sqlite};
/// use thrifty_key::Digest;
///
/// let catalog = Sqlite::in_memory()?;
/// let scope = Scope { project: "demo".into(), domain: "development".into() };
/// let request = Request { key: Digest::of_blob(b"a key"), max_age: None };
/// let found = catalog.lookup(&scope, &[request])?;
/// assert!(matches!(found[0], Found::Miss(..)));
/// # Ok::<(), thrifty_catalog::CatalogError>(())
/// ```
pub struct Sqlite {
    pool: Arc<Pool>,
    signal: Arc<Signal>,
    ratchet: Ratchet,
}

impl Sqlite {
    /// Opens the catalog at `path`; with [`Mode::ReadWrite`] makes it if it is missing. Its
    /// directory must exist.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Newer`] and [`CatalogError::Damaged`] by what the file holds,
    /// [`CatalogError::ReadOnly`], [`CatalogError::Unreadable`] and [`CatalogError::Full`] by
    /// what can be done with it. The file is never deleted or replaced.
    pub fn open(path: &Path, mode: Mode) -> Result<Self, CatalogError> {
        Self::open_with_clock(path, mode, Arc::new(System))
    }

    /// As [`Sqlite::open`], with a clock of the caller's.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::open`].
    pub fn open_with_clock(
        path: &Path,
        mode: Mode,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CatalogError> {
        let gate = fork::enter();
        let (first, signal) = match mode {
            Mode::ReadWrite => (open::writer(path)?, open::signal(path)?),
            Mode::ReadOnly => (open::reader(path)?.0, open::watched(path)),
        };
        let signal = Arc::new(signal);
        let pool = Arc::new(Pool::of_file(path.to_owned(), mode, Arc::clone(&signal), first));
        fork::register(&pool);
        drop(gate);
        Self::over(pool, signal, clock)
    }

    /// A catalog that lives and dies with this value.
    ///
    /// # Errors
    ///
    /// [`CatalogError::Failed`] if there is no memory for it.
    pub fn in_memory() -> Result<Self, CatalogError> {
        Self::in_memory_with_clock(Arc::new(System))
    }

    /// As [`Sqlite::in_memory`], with a clock of the caller's.
    ///
    /// # Errors
    ///
    /// As [`Sqlite::in_memory`].
    pub fn in_memory_with_clock(clock: Arc<dyn Clock>) -> Result<Self, CatalogError> {
        let signal = Arc::new(Signal::private());
        let pool = Arc::new(Pool::in_memory(Arc::clone(&signal), open::memory()?));
        Self::over(pool, signal, clock)
    }

    fn over(
        pool: Arc<Pool>,
        signal: Arc<Signal>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CatalogError> {
        let ratchet = Ratchet::new(clock, Arc::clone(&signal));
        let catalog = Self { pool, signal, ratchet };
        let seen = catalog.read(|conn| {
            conn.query_row("SELECT clock FROM meta", [], |row| row.get::<_, Time>(0))
        })?;
        catalog.ratchet.now_after(seen);
        Ok(catalog)
    }

    /// Changes what is stored of an entry behind everybody's back, as a medium may: one of three
    /// columns, by `which`. Only [`crate::conformance`] does so.
    pub(crate) fn spoil(&self, entry: EntryId, which: u8) -> Result<(), CatalogError> {
        let change = match which % 3 {
            0 => "output_digest = zeroblob(32)",
            1 => "output = zeroblob(length(output))",
            _ => "cost = cost + 1",
        };
        let sql = format!("UPDATE entry SET {change} WHERE id = ?1");
        self.pool.write(|conn| {
            let changed = conn.execute(&sql, [entry.0]);
            changed.map(drop).map_err(|error| fault(&self.pool.path, &error))
        })
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, CatalogError> {
        self.pool.read(|conn| work(conn).map_err(|error| fault(&self.pool.path, &error)))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let _gate = fork::enter();
        self.pool.shut();
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.pool.path).finish_non_exhaustive()
    }
}

impl Catalog for Sqlite {
    fn slot(&self, _: &Scope, _: &Key) -> Result<Slot, CatalogError> {
        // The epoch is one for the whole catalog.
        ASK.spend(|| self.read(lookup::epoch)).map(|epoch| Slot { epoch })
    }

    fn now(&self) -> Result<Time, CatalogError> {
        Ok(self.ratchet.now())
    }

    fn changes(&self) -> u64 {
        self.signal.changes()
    }

    fn commits(&self) -> u64 {
        self.signal.commits()
    }

    fn turns(&self) -> u64 {
        self.signal.turns()
    }

    fn await_turn(&self, seen: u64, timeout: Duration) {
        self.signal.await_turn(seen, timeout);
    }

    fn lookup(&self, scope: &Scope, requests: &[Request]) -> Result<Vec<Found>, CatalogError> {
        ASK.spend(|| self.look_up(scope, requests))
    }

    fn draw_ticket(&self, _: &Scope, _: &Key) -> Result<Claim, CatalogError> {
        // The epoch is one for the whole catalog.
        ASK.spend(|| self.hand_out_ticket())
    }

    fn commit(
        &self,
        scope: &Scope,
        entry: &NewEntry,
        claim: &Claim,
    ) -> Result<Committed, CatalogError> {
        COMMIT.spend(|| self.publish(scope, entry, claim))
    }

    fn reserve(
        &self,
        scope: &Scope,
        key: &Key,
        holder: &Holder,
        lease: Duration,
    ) -> Result<Reserved, CatalogError> {
        ASK.spend(|| self.take_slot(scope, key, holder, lease))
    }

    fn heartbeat(
        &self,
        scope: &Scope,
        held: &[(Key, Claim)],
        lease: Duration,
    ) -> Result<Vec<bool>, CatalogError> {
        BEAT.spend(|| self.prolong(scope, held, lease))
    }

    fn release(
        &self,
        scope: &Scope,
        key: &Key,
        claim: &Claim,
        ended: Ended<'_>,
    ) -> Result<(), CatalogError> {
        ASK.spend(|| self.give_back(scope, key, claim, ended))
    }

    fn standing(&self, scope: &Scope, key: &Key) -> Result<Standing, CatalogError> {
        ASK.spend(|| self.stand(scope, key))
    }

    fn wait_for(
        &self,
        scope: &Scope,
        key: &Key,
        holding: &[u128],
    ) -> Result<Standing, CatalogError> {
        ASK.spend(|| self.tell_waiting(scope, key, holding))
    }

    fn stop_waiting(&self, scope: &Scope, key: &Key, holding: &[u128]) -> Result<(), CatalogError> {
        ASK.spend(|| self.take_back(scope, key, holding))
    }

    fn reservations(&self, scope: Option<&Scope>) -> Result<Vec<Reservation>, CatalogError> {
        self.list_reservations(scope)
    }

    fn invalidate(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> Result<Invalidated, CatalogError> {
        self.sweep_selected(scope, selector)
    }

    fn entries(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        limit: usize,
    ) -> Result<Vec<Entry>, CatalogError> {
        self.list_entries(scope, selector, limit)
    }

    fn entries_in_time(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        limit: usize,
    ) -> Result<Vec<Entry>, CatalogError> {
        ASK.spend(|| self.list_entries(scope, selector, limit))
    }

    fn wholes(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> Result<Vec<EntryId>, CatalogError> {
        self.list_wholes(scope, selector)
    }

    fn remove(&self, entries: &[EntryId]) -> Result<Invalidated, CatalogError> {
        self.sweep_useless(entries)
    }

    fn discard(&self, entries: &[EntryId]) -> Result<(), CatalogError> {
        ASK.spend(|| self.sweep_useless(entries)).map(drop)
    }

    fn evict(&self, entries: &[EntryId], chosen: Time) -> Result<Invalidated, CatalogError> {
        self.remove_unused(entries, chosen)
    }

    fn pin(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        pinned: bool,
    ) -> Result<u64, CatalogError> {
        self.mark_pinned(scope, selector, pinned)
    }

    fn shorten(&self, age: Duration) -> Result<Shortened, CatalogError> {
        self.shorten_history(age)
    }

    fn touch(&self, uses: &[(EntryId, Usage)]) -> Result<(), CatalogError> {
        ASK.spend(|| self.count_uses(uses))
    }

    fn find_blob(&self, digest: &Digest, pin: Duration) -> Result<Option<BlobRef>, CatalogError> {
        COMMIT.spend(|| self.pin_blob(digest, pin))
    }

    fn keep_blobs(&self, blobs: &[BlobRef], pin: Duration) -> Result<(), CatalogError> {
        COMMIT.spend(|| self.pin_blobs(blobs, pin))
    }

    fn condemn(&self, grace: Duration, dry_run: bool) -> Result<Vec<BlobRef>, CatalogError> {
        self.condemn_idle(grace, dry_run)
    }

    fn disown(&self, blobs: &[BlobRef]) -> Result<Vec<BlobRef>, CatalogError> {
        self.forget_unknown(blobs)
    }

    fn forget(&self, blobs: &[BlobRef]) -> Result<(), CatalogError> {
        self.bury(blobs)
    }

    fn blobs(&self) -> Result<Vec<BlobRef>, CatalogError> {
        self.known_blobs()
    }

    fn begin_run(&self, scope: &Scope, run: &NewRun) -> Result<RunId, CatalogError> {
        ASK.spend(|| self.start_run(scope, run))
    }

    fn record(&self, run: &RunId, nodes: &[Node]) -> Result<(), CatalogError> {
        ASK.spend(|| self.record_nodes(run, nodes))
    }

    fn finish_run(&self, run: &RunId, status: RunStatus) -> Result<(), CatalogError> {
        ASK.spend(|| self.end_run(run, status))
    }

    fn resume_run(&self, run: &RunId, before: &str, now: &str) -> Result<bool, CatalogError> {
        ASK.spend(|| self.go_on(run, before, now))
    }

    fn runs(&self, scope: Option<&Scope>, filter: &RunFilter) -> Result<Vec<Run>, CatalogError> {
        self.list_runs(scope, filter)
    }

    fn nodes(&self, run: &RunId) -> Result<Vec<Node>, CatalogError> {
        self.list_nodes(run)
    }

    fn totals(&self, scope: Option<&Scope>) -> Result<Vec<Totals>, CatalogError> {
        self.sum_totals(scope)
    }

    fn put_texts(&self, texts: &[(Digest, &str)]) -> Result<(), CatalogError> {
        COMMIT.spend(|| self.keep_texts(texts))
    }

    fn text(&self, digest: &Digest) -> Result<Option<String>, CatalogError> {
        ASK.spend(|| self.kept_text(digest))
    }

    fn recall(&self, table: &str, name: &[u8]) -> Result<Option<Vec<u8>>, CatalogError> {
        ASK.spend(|| self.memo(table, name))
    }

    fn remember(&self, table: &str, memos: &[(&[u8], &[u8])]) -> Result<(), CatalogError> {
        ASK.spend(|| self.keep_memos(table, memos))
    }

    fn check(&self) -> Result<Vec<Problem>, CatalogError> {
        self.problems()
    }

    fn mend(&self, problems: &[Problem]) -> Result<u64, CatalogError> {
        self.mend_rows(problems)
    }

    fn compact(&self) -> Result<(), CatalogError> {
        self.shrink()
    }
}
