//! The suite, against both kinds of SQLite catalog.

use std::sync::Mutex;

use tempfile::TempDir;
use thrifty_catalog::{Mode, Sqlite, conformance};

#[test]
fn in_memory() {
    conformance::all(&|| Box::new(Sqlite::in_memory().unwrap()));
}

#[test]
fn in_a_file() {
    let directories = Mutex::new(Vec::new());
    conformance::all(&|| {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("catalog.db");
        directories.lock().unwrap().push(directory);
        Box::new(Sqlite::open(&path, Mode::ReadWrite).unwrap())
    });
}
