//! WHAT if everything goes wrong at once?
//!
//! The real engine and the real catalog, driven by one seeded scheduler in one thread: every
//! process is a coroutine that may be suspended at each call of the catalog, the store and the
//! timer, and every such call may be slow, lost, doubled, refused or the last one. An oracle is
//! told of each call in the order in which they took effect, and knows what must be true.
//!
//! ```
//! let report = thrifty_simulation::simulate(7, false);
//! assert_eq!(report.violation, None);
//! ```

mod bytes;
mod campaign;
mod fate;
mod handle;
mod identity;
mod keys;
mod mark;
mod medium;
mod model;
mod options;
mod others;
mod scheduler;
mod simulation;
mod timer;
mod value;
mod worker;
mod world;

pub use campaign::{Campaign, Tally};
pub use identity::Violation;
pub use mark::{Mark, Marks};
pub use options::Options;
pub use simulation::{Report, simulate};
