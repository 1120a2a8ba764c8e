//! WHAT is known?
//!
//! A [`Catalog`] keeps facts, never bytes: which [`Entry`] answers which key, who is computing a
//! key right now ([`Reserved`]), what happened in a run ([`Run`], [`Node`]), which blobs are
//! referenced, and small memos. Every change is one transaction; the database's clock is the
//! only clock for expiry and leases.
//!
//! [`Sqlite`] is the embedded backend. Every backend passes the suite in [`conformance`].

pub mod conformance;
mod contract;
mod entry;
mod error;
mod made_of;
mod problem;
mod run;
mod sqlite;

pub use contract::{Catalog, LONGEST_LEASE};
pub use entry::{
    BlobRef, Claim, Committed, Ended, Entry, EntryId, Found, Held, Hit, Holder, Invalidated,
    NewEntry, Origin, Part, Request, Reservation, Reserved, RunId, Scope, Selector, Slot, Standing,
    Time, Usage, Why,
};
pub use error::CatalogError;
pub use made_of::{Half, MadeOf, half};
pub use problem::{Problem, Remedy};
pub use run::{NewRun, Node, Reasoned, Run, RunFilter, RunStatus, Shortened, Totals};
pub use sqlite::{Clock, Mode, SalvageError, Salvaged, Sqlite, System, hold_off_forks, uptime};
