//! Where in which file something stands.
//!
//! A pipeline may be read from several files, and what is wrong with it is told with the place in
//! the right one: each value knows the number of its file among the [`Sources`].

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::error::Place;

thread_local! {
    /// The file that this thread is reading: a value being deserialised cannot be told it.
    static READING: Cell<u32> = const { Cell::new(0) };
}

/// A value, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it is used: of an alias, where the alias stands.
    pub referenced: Location,
}

/// A place in one of the files that a pipeline was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    source: u32,
    line: u64,
    column: u64,
}

/// The files that a pipeline was read from, the operation file first.
#[derive(Debug, Default)]
pub(crate) struct Sources(RefCell<Vec<Source>>);

/// Where something was written.
#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// On the command line: it has no lines.
    Argument(PathBuf),
}

impl<T> Spanned<T> {
    /// A value that stands there.
    pub const fn new(value: T, referenced: Location) -> Self {
        Self { value, referenced }
    }
}

impl Location {
    /// No place: the file as a whole.
    pub const UNKNOWN: Self = Self { source: 0, line: 0, column: 0 };
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = serde_saphyr::Spanned::<T>::deserialize(deserializer)?;
        let (line, column) = (found.referenced.line(), found.referenced.column());
        let referenced = Location { source: READING.get(), line, column };
        Ok(Self { value: found.value, referenced })
    }
}

impl Sources {
    /// Reads something of a file: what is deserialised meanwhile stands in it.
    pub(crate) fn reading<T>(&self, path: &Path, read: impl FnOnce() -> T) -> T {
        self.reading_from(Source::File(path.to_owned()), read)
    }

    /// Reads something of the command line.
    pub(crate) fn reading_argument<T>(&self, argument: &str, read: impl FnOnce() -> T) -> T {
        self.reading_from(Source::Argument(argument.into()), read)
    }

    fn reading_from<T>(&self, source: Source, read: impl FnOnce() -> T) -> T {
        let mut sources = self.0.borrow_mut();
        let number = sources.len();
        sources.push(source);
        drop(sources);
        let before = READING.replace(u32::try_from(number).unwrap_or(u32::MAX));
        let read = read();
        READING.set(before);
        read
    }

    /// The files that were read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let file = |source: &Source| match source {
            Source::File(path) => Some(path.clone()),
            Source::Argument(_) => None,
        };
        self.0.borrow().iter().filter_map(file).collect()
    }

    /// The place, for a person.
    pub(crate) fn place(&self, at: Location) -> Place {
        let sources = self.0.borrow();
        match usize::try_from(at.source).ok().and_then(|source| sources.get(source)) {
            Some(Source::File(path)) => {
                Place { path: path.clone(), line: at.line, column: at.column }
            }
            Some(Source::Argument(text)) => Place { path: text.clone(), line: 0, column: 0 },
            None => Place { path: PathBuf::new(), line: at.line, column: at.column },
        }
    }
}
