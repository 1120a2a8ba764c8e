//! Whether what is stored outlasts this process: a cache in memory may stand in for a directory
//! that could not be opened.

use std::sync::OnceLock;

use crate::reason::Reason;

/// Where a cache keeps what it is given.
#[derive(Default)]
pub(crate) struct Place {
    /// Why the directory could not be opened for which this cache stands in.
    stands_in: OnceLock<(Reason, String)>,
}

impl Place {
    /// The cache stands in for another one, for this reason. Only the first call counts.
    pub(crate) fn stand_in(&self, reason: Reason, text: String) {
        _ = self.stands_in.set((reason, text));
    }

    /// Why nobody else finds what is stored here, if nobody does.
    pub(crate) fn why_lost(&self) -> Option<(Reason, String)> {
        self.stands_in.get().cloned()
    }
}
