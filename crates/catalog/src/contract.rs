//! The contract of a catalog.

use std::time::Duration;

use thrifty_key::{Digest, Key};

use crate::entry::{
    BlobRef, Claim, Committed, Ended, Entry, EntryId, Found, Holder, Invalidated, NewEntry,
    Request, Reservation, Reserved, RunId, Scope, Selector, Slot, Standing, Time, Usage,
};
use crate::error::CatalogError;
use crate::problem::Problem;
use crate::run::{NewRun, Node, Run, RunFilter, RunStatus, Shortened, Totals};

/// The longest lease there is. A longer one is cut; one that reaches further was not written
/// by anybody, and counts as lapsed.
pub const LONGEST_LEASE: Duration = Duration::from_secs(60);

/// What is known about operations, and the only clock.
///
/// Every call of the protocol (reserve, heartbeat, commit, release, wait for, stop waiting) can
/// be repeated with the same arguments after a failure that is not certain: it then changes
/// nothing further, and answers as it did or would have done. A commit does so for two days at
/// least, whatever has happened to its key since; the others, until somebody else has the slot.
/// Whoever asks for a ticket again is given a later one.
/// An invalidation that is repeated removes what is selected by then.
///
/// Implementations are shared by threads and, on disk, by processes. A method either did all it
/// says in one transaction or nothing; [`CatalogError::is_certain`] tells whether a failed call
/// certainly did nothing.
pub trait Catalog: Send + Sync {
    /// The database's clock, which never runs backwards.
    fn now(&self) -> Result<Time, CatalogError>;

    /// A number that every invalidation, replacement or removal of an entry changes, in whatever
    /// process it happens. Costs nanoseconds.
    ///
    /// Whoever keeps hits in memory takes the number *before* the lookup and keeps it with the
    /// hit; while the number is the same, the entry is there still. Expiry is not a change: the
    /// keeper judges it by [`Catalog::now`]. The number changes before an invalidation is
    /// acknowledged, and also where a process dies between committing and acknowledging; it may
    /// change without anything having happened.
    fn changes(&self) -> u64;

    /// A number that every entry made visible changes, in whatever process it happens and before
    /// the commit is acknowledged. Costs nanoseconds.
    ///
    /// Whoever took the number before a lookup that found nothing need not look again while it
    /// is the same. A process that dies right after its commit may leave it as it was; it may
    /// change without anything having happened.
    fn commits(&self) -> u64;

    /// A number that every commit, release and invalidation changes, in whatever process. Costs
    /// nanoseconds.
    ///
    /// Whoever waits for a slot takes it *before* looking at the slot, and looks again when it
    /// differs. A process that dies right after what it did may leave it as it was, so nobody
    /// waits for it without an end; it may change without anything having happened.
    fn turns(&self) -> u64;

    /// Returns when [`Catalog::turns`] may differ from `seen`, or after `timeout`. It may return
    /// early for no reason.
    fn await_turn(&self, seen: u64, timeout: Duration);

    /// Looks up keys, in one request. Expiry and age are judged by the database's clock.
    fn lookup(&self, scope: &Scope, requests: &[Request]) -> Result<Vec<Found>, CatalogError>;

    /// The slot to commit to when a key is computed without being looked up.
    fn slot(&self, scope: &Scope, key: &Key) -> Result<Slot, CatalogError>;

    /// The claim of a computation that begins now and is to replace what there is then, without a
    /// reservation. Its epoch is a ticket: above all that were handed out before, and nobody
    /// else's. Of several that replace an entry the last to draw wins, in whatever order they
    /// commit. A ticket that is never used does nothing.
    fn draw_ticket(&self, scope: &Scope, key: &Key) -> Result<Claim, CatalogError>;

    /// Makes an entry visible, or says why not. Checks epoch, and fence and nonce where the
    /// claim has a reservation, in the transaction that inserts. Ends the reservation, unless it
    /// answers [`Committed::Fenced`] or [`Committed::BlobGone`]. A loss of power may take the entry
    /// away again; what it was to replace does not come back. One that replaces removes what was made
    /// of the entry there, unless that is known to hold the same value, and refuses who took it or
    /// one of those; who computes one of those may commit it if he did not.
    fn commit(
        &self,
        scope: &Scope,
        entry: &NewEntry,
        claim: &Claim,
    ) -> Result<Committed, CatalogError>;

    /// Takes the slot of a key for `lease`, if it is free or its lease has passed.
    ///
    /// After three holders in a row without a commit, nobody is given the slot for a minute. A
    /// lease that passed and was taken over counts as such a holder.
    fn reserve(
        &self,
        scope: &Scope,
        key: &Key,
        holder: &Holder,
        lease: Duration,
    ) -> Result<Reserved, CatalogError>;

    /// Prolongs reservations, all in one transaction; `false` for each that is lost.
    fn heartbeat(
        &self,
        scope: &Scope,
        held: &[(Key, Claim)],
        lease: Duration,
    ) -> Result<Vec<bool>, CatalogError>;

    /// Gives a reservation back. Does nothing if it is lost.
    fn release(
        &self,
        scope: &Scope,
        key: &Key,
        claim: &Claim,
        ended: Ended<'_>,
    ) -> Result<(), CatalogError>;

    /// Who has the slot of a key, and whom those wait for. Writes nothing.
    fn standing(&self, scope: &Scope, key: &Key) -> Result<Standing, CatalogError>;

    /// As [`Catalog::standing`], telling all others that the reservations of the nonces `holding`
    /// end only after this key has come free. If one of those is waited for already, this would
    /// close a circle: then nothing is told, and it is in [`Standing::beyond`], or the holder.
    fn wait_for(
        &self,
        scope: &Scope,
        key: &Key,
        holding: &[u128],
    ) -> Result<Standing, CatalogError>;

    /// Takes back what [`Catalog::wait_for`] told.
    fn stop_waiting(&self, scope: &Scope, key: &Key, holding: &[u128]) -> Result<(), CatalogError>;

    /// The reservations in force, oldest first.
    fn reservations(&self, scope: Option<&Scope>) -> Result<Vec<Reservation>, CatalogError>;

    /// Removes the selected entries, and those in their scope that were made of them, and raises
    /// the epoch of their slots, so that nothing begun before can come back. A selector of keys
    /// and operations alone means results that were made of such operations also where the results
    /// of these are not stored. `None` as scope selects in all scopes. What it removed does not come
    /// back with a loss of power.
    fn invalidate(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> Result<Invalidated, CatalogError>;

    /// The entries besides the selected ones that [`Catalog::invalidate`] would remove.
    fn wholes(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
    ) -> Result<Vec<EntryId>, CatalogError>;

    /// Removes these entries alone, and raises the epoch of their slots: they cannot be read, which
    /// says nothing about what was made of them.
    fn remove(&self, entries: &[EntryId]) -> Result<Invalidated, CatalogError>;

    /// As [`Catalog::remove`], for somebody who waits for an answer: it takes no longer than a
    /// lookup may.
    fn discard(&self, entries: &[EntryId]) -> Result<(), CatalogError> {
        self.remove(entries).map(drop)
    }

    /// Removes entries that are not pinned and were not used after they were `chosen`, and nothing
    /// else: a computation of the same key that is under way may commit, and one that was
    /// invalidated before stays so.
    fn evict(&self, entries: &[EntryId], chosen: Time) -> Result<Invalidated, CatalogError>;

    /// Pins the selected entries, or takes their pins back: one that is pinned is not evicted,
    /// and what replaces it is pinned as well. Says how many were selected.
    fn pin(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        pinned: bool,
    ) -> Result<u64, CatalogError>;

    /// The selected entries, whole, most recent first, `limit` at most.
    fn entries(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        limit: usize,
    ) -> Result<Vec<Entry>, CatalogError>;

    /// As [`Catalog::entries`], for somebody who waits for an answer: it takes no longer than a
    /// lookup may.
    fn entries_in_time(
        &self,
        scope: Option<&Scope>,
        selector: &Selector,
        limit: usize,
    ) -> Result<Vec<Entry>, CatalogError> {
        self.entries(scope, selector, limit)
    }

    /// Adds to the use counts of entries; unknown ids are passed over.
    fn touch(&self, uses: &[(EntryId, Usage)]) -> Result<(), CatalogError>;

    /// A live blob of this content, protected from collection for `pin`.
    fn find_blob(&self, digest: &Digest, pin: Duration) -> Result<Option<BlobRef>, CatalogError>;

    /// Protects these very blobs from collection for `pin`: also those that nobody has committed, of
    /// which nothing is known yet. One that is condemned or forgotten stays so.
    fn keep_blobs(&self, blobs: &[BlobRef], pin: Duration) -> Result<(), CatalogError>;

    /// Marks as condemned every blob that no entry references and nothing pins, and that was
    /// last used more than `grace` ago; returns all condemned blobs. With `dry_run` nothing is
    /// marked.
    fn condemn(&self, grace: Duration, dry_run: bool) -> Result<Vec<BlobRef>, CatalogError>;

    /// Sees to it that no commit can name these blobs that has not done so yet; answers those of
    /// them whose bytes may be deleted. A blob that an entry references, or that is known and not
    /// forgotten, is none of them.
    fn disown(&self, blobs: &[BlobRef]) -> Result<Vec<BlobRef>, CatalogError>;

    /// Forgets blobs whose bytes are gone: those of them that are condemned, or that no entry
    /// references and nothing pins.
    fn forget(&self, blobs: &[BlobRef]) -> Result<(), CatalogError>;

    /// Every blob known, live or condemned.
    fn blobs(&self) -> Result<Vec<BlobRef>, CatalogError>;

    /// Begins a run; its id is new.
    fn begin_run(&self, scope: &Scope, run: &NewRun) -> Result<RunId, CatalogError>;

    /// Adds or replaces nodes of a run, by their number.
    fn record(&self, run: &RunId, nodes: &[Node]) -> Result<(), CatalogError>;

    /// Ends a run.
    fn finish_run(&self, run: &RunId, status: RunStatus) -> Result<(), CatalogError>;

    /// Has a run go on that ended, or whose process is gone: it is running from now on, in the
    /// process `now`. Answers whether it does: only if its process is still `before`, so that of
    /// many who want it, one gets it.
    fn resume_run(&self, run: &RunId, before: &str, now: &str) -> Result<bool, CatalogError>;

    /// Runs, most recent first.
    fn runs(&self, scope: Option<&Scope>, filter: &RunFilter) -> Result<Vec<Run>, CatalogError>;

    /// The nodes of a run, by number.
    fn nodes(&self, run: &RunId) -> Result<Vec<Node>, CatalogError>;

    /// Forgets runs that ended and began, memos that were kept and texts that are needed no longer and were
    /// kept longer ago than this.
    fn shorten(&self, age: Duration) -> Result<Shortened, CatalogError>;

    /// Counts and seconds by operation and outcome.
    fn totals(&self, scope: Option<&Scope>) -> Result<Vec<Totals>, CatalogError>;

    /// Keeps source texts by digest, for differences.
    fn put_texts(&self, texts: &[(Digest, &str)]) -> Result<(), CatalogError>;

    /// A source text kept before.
    fn text(&self, digest: &Digest) -> Result<Option<String>, CatalogError>;

    /// A memo: a small fact that may be lost at any time.
    fn recall(&self, table: &str, name: &[u8]) -> Result<Option<Vec<u8>>, CatalogError>;

    /// Keeps memos of one table.
    fn remember(&self, table: &str, memos: &[(&[u8], &[u8])]) -> Result<(), CatalogError>;

    /// Checks the catalog's own integrity.
    fn check(&self) -> Result<Vec<Problem>, CatalogError>;

    /// Puts right what [`Catalog::check`] found and still is so, except for what only a new
    /// catalog can; returns how many entries it removed.
    fn mend(&self, problems: &[Problem]) -> Result<u64, CatalogError>;

    /// Gives free space back to the medium.
    fn compact(&self) -> Result<(), CatalogError>;
}
