//! From one operation to many, with other values of its params: searches.
//!
//! A [`Search`] says which trials there are. Some it knows at once: a grid, points drawn by lot, a
//! list. Others depend on what came before: [`Search::next`] is given the trials so far with
//! their results, and tells the next ones, or that they are to be [`Suggested`], or that it is over. It is a
//! pure function of these and its seed, so that a search that is repeated comes to the same trials,
//! and finds them computed.

mod axis;
mod brackets;
mod draw;
mod search;
mod space;
mod suggest;

pub use brackets::{Resource, Rung};
pub use draw::Draws;
pub use search::{Goal, MOST, Method, Metric, Next, Point, Resulted, Search, Stop, Trial};
pub(crate) use search::{RESUME, bounded};
pub use space::{Distribution, Shape, Space};
pub use suggest::{Suggested, Suggester};
