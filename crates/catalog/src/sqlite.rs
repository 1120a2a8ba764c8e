//! The embedded backend.
/// A catalog in one SQLite file.
#[derive(Debug)]
pub struct Sqlite {}
