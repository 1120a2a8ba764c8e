//! Entries, slots, claims and what can be asked of them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thrifty_key::{Digest, Ingredients, Key};

use crate::made_of::MadeOf;

/// Milliseconds since 1970 by the database's clock.
pub type Time = i64;

/// Who shares entries: part of every primary key, never of a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The project.
    pub project: String,
    /// The domain within the project, such as `development` or `production`.
    pub domain: String,
}

/// The number of an entry, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId(pub i64);

/// The id of a run: short, random, typed by people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The physical name of a blob: content, and which upload of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// Tells uploads of the same bytes apart.
    pub generation: u64,
    /// Bytes.
    pub length: u64,
}

/// Where an entry came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The run that computed it.
    pub run: Option<RunId>,
    /// The number of the node within that run.
    pub node: u32,
    /// The host that computed it.
    pub host: String,
    /// The user who computed it.
    pub user: String,
}

/// An entry to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Tells this commit from all others of the key: the nonce of its reservation, or as many
    /// random bits.
    /// A commit repeated with it changes nothing further, and is answered as it was.
    pub id: u128,
    /// The key it answers.
    pub key: Key,
    /// The name of the operation.
    pub operation: String,
    /// What the key was made of.
    pub ingredients: Ingredients,
    /// The output: a record in the entry format, opaque here.
    pub output: Vec<u8>,
    /// The value digest of the output.
    pub output_digest: Digest,
    /// The blobs the output needs.
    pub blobs: Vec<BlobRef>,
    /// How long the computation took.
    pub cost: Duration,
    /// When the entry ceases to be valid, by the catalog's clock: however long it takes to commit it.
    /// `None` for never.
    pub expires_at: Option<Time>,
    /// Where it came from.
    pub origin: Origin,
    /// What the computation observed besides: canonical bytes of the engine, opaque here; empty
    /// for nothing.
    pub observed: Vec<u8>,
    /// What it was made of.
    pub made_of: MadeOf,
    /// The results that it took of these. If one of them is gone, and its key was invalidated or
    /// replaced since this computation began, the commit is refused.
    pub parts: Vec<Part>,
}

/// One operation that a result was made of, as it was when it was taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The name of the operation.
    pub operation: String,
    /// The key under which it was called, if it has one.
    pub key: Option<Key>,
    /// The entry that holds its result, if one does.
    pub entry: Option<EntryId>,
    /// The epoch after which it was taken, if that was before the computation began; 0 if nobody knows
    /// any. If it is gone, all invalidations since count, and the commit is refused if any of them was
    /// forgotten.
    pub since: Option<i64>,
    /// The last ticket with which the computation itself replaced the entry of this key, if it did.
    /// What it had taken before is gone for that, and nobody else replaced or removed it later.
    pub own_ticket: Option<i64>,
}

/// An entry as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// Who shares it.
    pub scope: Scope,
    /// The key it answers.
    pub key: Key,
    /// The name of the operation.
    pub operation: String,
    /// What the key was made of.
    pub ingredients: Ingredients,
    /// The output record.
    pub output: Vec<u8>,
    /// The value digest of the output.
    pub output_digest: Digest,
    /// The blobs the output needs.
    pub blobs: Vec<BlobRef>,
    /// Bytes: the record and its blobs.
    pub size: u64,
    /// How long the computation took.
    pub cost: Duration,
    /// When it was committed.
    pub created_at: Time,
    /// When it ceases to be valid.
    pub expires_at: Option<Time>,
    /// When it was last a hit, or committed.
    pub used_at: Time,
    /// How often it was a hit.
    pub hits: u64,
    /// Where it came from.
    pub origin: Origin,
    /// A later computation of the same key gave another output.
    pub nondeterministic: bool,
    /// Somebody said that it is not to be evicted.
    pub pinned: bool,
    /// As in [`NewEntry`].
    pub observed: Vec<u8>,
    /// As in [`NewEntry`].
    pub made_of: MadeOf,
}

/// One key to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The key.
    pub key: Key,
    /// The oldest entry the reader accepts.
    pub max_age: Option<Duration>,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A valid entry.
    Hit(Hit),
    /// None, and the slot a computation must be committed to.
    Miss(Slot, Why),
}

/// What a consumer needs of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The entry.
    pub entry: EntryId,
    /// The output record.
    pub output: Vec<u8>,
    /// The value digest of the output.
    pub output_digest: Digest,
    /// How long the computation took.
    pub cost: Duration,
    /// When it was committed.
    pub created_at: Time,
    /// When it ceases to be valid.
    pub expires_at: Option<Time>,
    /// The run that computed it.
    pub run: Option<RunId>,
    /// As in [`NewEntry`].
    pub observed: Vec<u8>,
    /// As in [`NewEntry`].
    pub made_of: MadeOf,
}

/// Why there is no valid entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is no entry.
    Absent,
    /// Its writer's expiry has passed.
    Expired,
    /// It is older than the reader accepts.
    TooOld,
    /// Its row does not match its seal; it was removed.
    Corrupt,
}

/// The state of a key at the time of a lookup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slot {
    /// How many invalidations and tickets the catalog has seen, of whatever key. A commit is
    /// refused if its key was invalidated, or replaced by who drew a ticket, under a later one.
    pub epoch: i64,
}

/// What a commit stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Claim {
    /// The epoch seen before the computation began; the ticket of one that replaces.
    pub epoch: i64,
    /// Fence and nonce of the reservation, if there is one.
    pub reservation: Option<(i64, u128)>,
    /// Replace an entry that is already there, and refuse whoever began before the ticket was
    /// drawn; a ticket replaces once. Needed after [`Why::TooOld`] as well: the catalog does not
    /// remember what age a reader accepts, and would keep the entry; and after an output whose
    /// blobs are gone.
    pub replace: bool,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The entry is visible.
    Stored(EntryId),
    /// An equal output was there already.
    Same(EntryId),
    /// Another output was there already; it stays, and is marked as nondeterministic.
    Different(EntryId),
    /// The claim is stale: the slot was invalidated or taken over, or its entry replaced by who
    /// began later.
    Fenced,
    /// A blob of the entry was collected meanwhile.
    BlobGone(BlobRef),
}

/// Who holds a slot, or asks for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// 128 random bits, which no other attempt to reserve shares, in whatever process.
    pub nonce: u128,
    /// The name of the operation.
    pub operation: String,
    /// The host, for people.
    pub host: String,
    /// What tells its process from all others; opaque here, empty if that is not known.
    pub process: String,
}

/// A reservation in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its fence.
    pub fence: i64,
    /// Who has it.
    pub holder: Holder,
    /// When it was taken.
    pub since: Time,
    /// How long it lasts, unless it is prolonged.
    pub left: Duration,
}

/// What became of an attempt to reserve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Taken: compute, and commit with this claim.
    Taken(Claim),
    /// Somebody else has it.
    Held(Held),
    /// Holder after holder ended without a result: for this long nobody waits for another, and
    /// nobody is given the slot. Compute without.
    Unserialised(Duration),
}

/// How a reservation ended without a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<'a> {
    /// It was not needed after all. That says nothing about the key.
    Unused,
    /// There is no result.
    Failed,
    /// As `Failed`, and whoever waited for this reservation may fail with this message.
    Shared(&'a str),
}

/// A slot as those see it who wait for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The reservation in force, if there is one.
    pub held: Option<Held>,
    /// Whom its holder waits for, and whom those wait for, and so on.
    pub beyond: Vec<Holder>,
    /// The last failure that was shared: the fence of the reservation, and the message.
    pub failure: Option<(i64, String)>,
}

/// A reservation in force, as people list them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Whose key.
    pub scope: Scope,
    /// The key.
    pub key: Key,
    /// The reservation.
    pub held: Held,
    /// How many other reservations are held up by it.
    pub waiting: u64,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// These entries.
    pub ids: Option<Vec<EntryId>>,
    /// Keys that begin with these hexadecimal digits.
    pub key_prefix: Option<String>,
    /// Operations whose name matches this glob pattern (`*`, `?`, `[…]`), whole, or its part
    /// behind the last `.` or `:`.
    pub operation: Option<String>,
    /// Entries computed in this run.
    pub run: Option<RunId>,
    /// Entries committed longer ago than this.
    pub older_than: Option<Duration>,
    /// Entries not used for longer than this.
    pub unused_for: Option<Duration>,
    /// Entries committed before this one.
    pub before: Option<EntryId>,
}

/// What an invalidation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Invalidated {
    /// Entries removed.
    pub entries: u64,
    /// Bytes they held, shared blobs counted once for each entry.
    pub bytes: u64,
}

/// Hits of one entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many.
    pub hits: u64,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.domain)
    }
}
