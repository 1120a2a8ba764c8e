//! What a body was seen to read behind its arguments' back.
//!
//! The entry of such a body keeps an [`Observation`] for each file, directory and variable it
//! looked at. A lookup is a hit only if all of them still hold: [`Glance`] looks at each place
//! again, in the [`Surroundings`] of this process. What is kept is small and opaque to the
//! catalog; [`encode`] and [`decode`] are its form, published in `docs/formats/entry.md`.

use std::fmt;

use thrifty_key::Digest;

mod encoding;
mod surroundings;

pub use encoding::{Undecodable, decode, encode};
pub use surroundings::{Glance, ReadParameter, ReadVariable, Surroundings};

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Observed {
    /// The content of a file.
    File(Place),
    /// Whether there is a file or a directory.
    Presence(Place),
    /// The names in a directory.
    Listing(Place),
    /// An environment variable.
    Variable(String),
    /// The path of the working directory.
    WorkingDirectory,
    /// An entry of a mapping that a body was given to read from: the path to it, from the name of
    /// the mapping on.
    Parameter(Aspect, String),
    /// Whether this process may do that with what is there.
    Permission(Right, Place),
}

/// What one may do with a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// Read it, or list its names.
    Read,
    /// Write it, or make something in it.
    Write,
    /// Execute it, or go through it.
    Execute,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Execute];

    /// The word by which it is kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execute",
        }
    }
}

/// What was asked about an entry of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// Its value; of a mapping, only that it is one.
    Value,
    /// Whether it is there.
    Presence,
    /// The names of its entries, in order.
    Names,
    /// Everything in it.
    Whole,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Value, Self::Presence, Self::Names, Self::Whole];

    /// The word by which it is kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Presence => "presence",
            Self::Names => "names",
            Self::Whole => "whole",
        }
    }

    /// The aspect of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aspect| aspect.word() == word)
    }
}

/// Where a file is. Two checkouts of a project share a cache, so a path is kept by what it hung
/// on when it was used, and looked at again from there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Neither of the others.
    Absolute(String),
    /// Given relative: from the working directory.
    Working(String),
    /// Absolute and below the project's root: from that root.
    Project(String),
}

/// One thing that was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observation {
    /// What was looked at.
    pub what: Observed,
    /// What was found.
    pub state: State,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing: an open that failed because nothing was there counts, too.
    Absent,
    /// Something of this content.
    Digest(Digest),
}

/// An observation that does not hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What was looked at.
    pub what: Observed,
    /// What became of it.
    pub how: How,
}

/// What became of something that was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is another one.
    Changed,
    /// It was there and is there no longer.
    Gone,
    /// It was not there and is there now.
    New,
    /// It cannot be looked at.
    Unreadable,
}

impl Change {
    /// What became of an observation; `None` if it holds. A state of `None` cannot be told.
    pub fn of(observation: &Observation, now: Option<State>) -> Option<Self> {
        let how = match (observation.state, now) {
            (_, None) => How::Unreadable,
            (then, Some(now)) if then == now => return None,
            (_, Some(State::Absent)) => How::Gone,
            (State::Absent, Some(_)) => How::New,
            (State::Digest(_), Some(State::Digest(_))) => How::Changed,
        };
        Some(Self { what: observation.what.clone(), how })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(path) | Self::Working(path) | Self::Project(path) if path.is_empty() => {
                f.write_str(".")
            }
            Self::Absolute(path) | Self::Working(path) | Self::Project(path) => f.write_str(path),
        }
    }
}

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => write!(f, "{place}"),
            Self::Presence(place) => write!(f, "whether there is {place}"),
            Self::Listing(place) => write!(f, "the list of files in {place}"),
            Self::Variable(name) => write!(f, "the variable {name}"),
            Self::WorkingDirectory => f.write_str("the working directory"),
            Self::Parameter(Aspect::Value | Aspect::Whole, path) => {
                write!(f, "the parameter {path}")
            }
            Self::Parameter(Aspect::Presence, path) => {
                write!(f, "whether there is a parameter {path}")
            }
            Self::Parameter(Aspect::Names, path) => write!(f, "the names in the parameter {path}"),
            Self::Permission(right, place) => {
                write!(f, "the permission to {} {place}", right.word())
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match self.how {
            How::Changed => write!(f, "{what} has changed since it was read"),
            How::Gone => write!(f, "{what} is gone since it was read"),
            How::New => write!(f, "{what} is new: it was looked for and not there"),
            How::Unreadable => write!(f, "{what} was read and cannot be read now"),
        }
    }
}
