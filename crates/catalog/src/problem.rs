//! What a check of a catalog finds.

use std::fmt;

use crate::entry::EntryId;

/// Something in a catalog that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What puts it right.
    pub remedy: Remedy,
    /// What was found.
    pub what: String,
}

/// What puts a [`Problem`] right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// This entry is not what was committed, and has to go.
    Remove(EntryId),
    /// Rows beside the entries contradict each other; one of them can be made to fit.
    Mend,
    /// The database itself is damaged: what is sound in it has to be saved into a new one.
    Rebuild,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
