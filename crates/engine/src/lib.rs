//! WHAT now?
//!
//! The engine decides, for every call of an operation, between taking a known result, waiting
//! for one that is being computed, and computing it. A [`Cache`] is a catalog and a store; a
//! [`Schedule`] settles a graph of operations against it; every call ends in one [`Outcome`].
//!
//! From Rust alone, the cache is one call:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! use thrifty_engine::Cache;
//!
//! let cache = Cache::open(directory.path())?;
//! let mut computed = 0;
//! for _ in 0..2 {
//!     let primes: Vec<i64> = cache.get_or_compute("primes v1", &30, || {
//!         computed += 1;
//!         Ok::<_, std::io::Error>((2..30).filter(|n| (2..*n).all(|d| n % d != 0)).collect())
//!     })?;
//!     assert_eq!(primes.len(), 10);
//! }
//! assert_eq!(computed, 1);
//! # Ok(())
//! # }
//! ```

pub mod annotations;
pub mod answer;
mod ballast;
mod cache;
pub mod check;
mod classes;
mod closest;
pub mod compute;
pub mod config;
pub mod environment;
pub mod epochs;
pub mod event;
pub mod evict;
mod expansion;
pub mod explain;
mod flight;
pub mod fsck;
pub mod graph;
mod health;
mod history;
mod label;
mod lookup;
pub mod made_of;
mod memory;
mod notes;
pub mod observed;
mod operation;
mod outcome;
mod parked;
mod place;
pub mod plan;
mod policy;
mod pool;
pub mod process;
mod publish;
mod reason;
pub mod record;
mod recorder;
pub mod removal;
mod reserve;
pub mod schedule;
mod secret;
mod seed;
mod timer;
mod trust;
pub mod units;
mod workers;

pub use ballast::Ballast;
pub use cache::{Cache, OpenError};
pub use classes::{ClassCode, digest_of_codes, encoding_with_code};
pub use closest::{closest, did_you_mean};
pub use expansion::Gathered;
pub use lookup::{Looked, Target, with_variants};
pub use notes::{Note, Unseen, notes};
pub use operation::Operation;
pub use outcome::{Miss, Outcome, observed_change};
pub use policy::{Choices, Context, Mode, OnFailure, Policy, Rule};
pub use pool::{ClaimOn, Pool};
pub use reason::Reason;
pub use recorder::Recorder;
pub use reserve::{Alone, Lease};
pub use schedule::Schedule;
pub use seed::{Seed, Seeding, Stream};
pub use thrifty_catalog as catalog;
pub use thrifty_key as key;
pub use thrifty_store as store;
pub use timer::{Beating, Machine, Timer, about_now};
