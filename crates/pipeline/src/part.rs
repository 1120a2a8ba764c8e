//! A part of what an operation gave, wherever it is: in the cache, in the directory of the command
//! that has just made it, or gathered from other operations.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use thrifty_engine::Gathered;
use thrifty_engine::graph::{Taken, Value};
use thrifty_engine::record::{Buffer, Draft, Object, Record, Shape, Step};
use thrifty_key::Digest;
use thrifty_key::plain::{self, Container, Reader, Token};
use thrifty_key::tree::Manifest;
use thrifty_store::links::Access;
use thrifty_store::{BlobName, Blobs, restore as restoring};

use crate::given::Given;
use crate::json;
use crate::share;

/// A part of what an operation gave.
pub(crate) enum Part {
    /// It is known by its record.
    Stored(Record),
    /// A command has just made it: all it made, and the name of the output.
    Made(Arc<Given>, String),
    /// A list of parts, in order.
    Several(Vec<Part>),
    /// Parts by name.
    Named(Vec<(String, Part)>),
}

impl Part {
    /// What the steps lead to.
    pub(crate) fn of(taken: &Taken) -> Option<Self> {
        match &taken.value {
            Value::Known(answer) => answer.record.select(&taken.steps).map(Self::Stored),
            Value::Live { object, .. } => match Arc::clone(object).downcast::<Given>() {
                Ok(made) => match output_of(&taken.steps) {
                    Some(output) => Some(Self::Made(made, output)),
                    None => within_value(&made, &taken.steps),
                },
                Err(object) => {
                    let gathered = object.downcast_ref::<Gathered>()?;
                    within(&gathered.output, &gathered.taken, &taken.steps)
                }
            },
        }
    }

    /// The value, if it is one of JSON.
    pub(crate) fn value(&self) -> Option<Json> {
        match self {
            Self::Stored(record) => value_of(record),
            Self::Made(made, output) => made.value(output).cloned(),
            Self::Several(parts) => parts.iter().map(Self::value).collect(),
            Self::Named(parts) => {
                parts.iter().map(|(name, part)| Some((name.clone(), part.value()?))).collect()
            }
        }
    }

    /// Where the file or directory is, if its command has just made it.
    fn path(&self) -> Result<Option<PathBuf>, String> {
        match self {
            Self::Made(made, output) => made.path(output),
            Self::Stored(_) | Self::Several(_) | Self::Named(_) => Ok(None),
        }
    }

    /// Puts the file or directory at a path: of several a directory, with each under its number, or
    /// by name in a directory of its own.
    pub(crate) fn put(
        &self,
        blobs: &dyn Blobs,
        target: &Path,
        writable: bool,
    ) -> Result<(), String> {
        match self {
            Self::Stored(Record::Composite { container: Shape::List, parts }) => {
                many(parts.iter().cloned().map(Self::Stored), blobs, target, writable)
            }
            Self::Stored(Record::Composite { container: Shape::Dict(keys), parts }) => {
                let names = keys.iter().map(|key| text_of(key).ok_or("its names are no texts"));
                let names: Vec<String> = names.collect::<Result<_, _>>()?;
                let parts = parts.iter().cloned().map(Self::Stored);
                named(names.iter().map(String::as_str).zip(parts), blobs, target, writable)
            }
            Self::Stored(record) => restore(record, blobs, target, writable),
            Self::Several(parts) => many(parts.iter(), blobs, target, writable),
            Self::Named(parts) => {
                let parts = parts.iter().map(|(name, part)| (name.as_str(), part));
                named(parts, blobs, target, writable)
            }
            Self::Made(made, output) => {
                let path = made.path(output)?.ok_or("there is no such file")?;
                let put =
                    if writable { share::copy(&path, target) } else { share::link(&path, target) };
                put.map_err(|error| format!("{}: {error}", target.display()))
            }
        }
    }

    /// Puts the file or directory into a directory, under the name it has; what is several things
    /// becomes the directory.
    fn put_in(&self, blobs: &dyn Blobs, above: &Path, writable: bool) -> Result<(), String> {
        let name = match self {
            Self::Stored(Record::Object(object)) => name_in(object)?,
            Self::Made(made, output) => {
                let path = made.path(output)?.ok_or("there is no such file")?;
                path.file_name().ok_or("it has no name")?.to_owned()
            }
            Self::Stored(_) | Self::Several(_) | Self::Named(_) => {
                return self.put(blobs, above, writable);
            }
        };
        fs::create_dir_all(above).map_err(|error| format!("{}: {error}", above.display()))?;
        self.put(blobs, &above.join(name), writable)
    }

    /// Whether it stands for what there is none of: the output of a trial that failed.
    fn is_none(&self) -> bool {
        matches!(self, Self::Stored(Record::Plain(encoding)) if *encoding == nothing())
    }
}

/// What something is whose parts are to be told.
pub(crate) enum Whole {
    /// A list of this length.
    List(usize),
    /// A mapping with these names.
    Mapping(Vec<String>),
    /// A directory.
    Directory,
    /// Nothing of these.
    Other,
}

/// What is at the end of an edge, as far as that is known without its language.
pub(crate) fn whole(taken: &Taken) -> Option<Whole> {
    let part = Part::of(taken).or_else(|| match &taken.value {
        Value::Live { outline: Some(outline), .. } => {
            outline.select(&taken.steps).map(Part::Stored)
        }
        _ => None,
    })?;
    Some(match &part {
        Part::Several(parts) => Whole::List(parts.len()),
        Part::Named(parts) => Whole::Mapping(parts.iter().map(|(name, _)| name.clone()).collect()),
        Part::Stored(Record::Composite { container: Shape::List | Shape::Tuple, parts }) => {
            Whole::List(parts.len())
        }
        Part::Stored(Record::Composite { container: Shape::Dict(keys), .. }) => {
            match keys.iter().map(|key| text_of(key)).collect() {
                Some(names) => Whole::Mapping(names),
                None => Whole::Other,
            }
        }
        Part::Stored(Record::Object(object)) if object.codec == "dir/1" => Whole::Directory,
        Part::Made(made, output) if made.value(output).is_none() => Whole::Directory,
        other => match other.value() {
            Some(Json::Array(items)) => Whole::List(items.len()),
            Some(Json::Object(table)) => Whole::Mapping(table.keys().cloned().collect()),
            _ => Whole::Other,
        },
    })
}

/// The names in the mapping at the end of an edge.
pub(crate) fn names(taken: &Taken) -> Option<Vec<String>> {
    let mut names = match &taken.value {
        // The parts of a directory that has just been taken apart.
        Value::Live { object, .. } if object.is::<Given>() => {
            object.downcast_ref::<Given>()?.names().map(str::to_owned).collect()
        }
        _ => match whole(taken)? {
            Whole::Mapping(names) => names,
            Whole::List(_) | Whole::Directory | Whole::Other => return None,
        },
    };
    names.sort();
    Some(names)
}

/// The value at the end of an edge.
pub(crate) fn value(taken: &Taken) -> Result<Json, String> {
    let part = Part::of(taken).ok_or("there is no such value")?;
    part.value().ok_or_else(|| "it is no value of JSON".to_owned())
}

/// An output of a command that has just run, for a language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handed {
    /// A value, in its plain encoding.
    Value(Vec<u8>),
    /// A file or directory, which is there as long as what it was taken from.
    Path(PathBuf),
}

/// The output at the end of an edge, if its command has just run; else it is in the cache, or of
/// another kind.
pub fn handed(taken: &Taken) -> Option<Handed> {
    let Part::Made(made, output) = Part::of(taken)? else { return None };
    match made.value(&output) {
        Some(value) => json::encode(value).ok().map(Handed::Value),
        None => made.path(&output).ok().flatten().map(Handed::Path),
    }
}

/// Whether commands have just made what is at the end of an edge.
pub(crate) fn is_made(taken: &Taken) -> bool {
    matches!(Part::of(taken), Some(Part::Made(..) | Part::Several(_) | Part::Named(_)))
}

/// Whether the end of an edge is a file or directory that the cache keeps, or a list of them.
pub(crate) fn is_kept(taken: &Taken) -> bool {
    fn is_file(record: &Record) -> bool {
        match record {
            Record::Object(object) => matches!(object.codec.as_str(), "file/1" | "dir/1"),
            Record::Composite { container: Shape::List | Shape::Dict(_), parts } => {
                parts.iter().all(is_file)
            }
            _ => false,
        }
    }
    match Part::of(taken) {
        Some(Part::Stored(record)) => is_file(&record),
        Some(Part::Several(_) | Part::Named(_)) => true,
        Some(Part::Made(..)) | None => false,
    }
}

/// Where the file or directory at the end of an edge is, if its command has just run; else it is
/// in the cache.
///
/// # Errors
///
/// Somebody has written to it since: it is not what was made.
pub(crate) fn place_of(taken: &Taken) -> Result<Option<PathBuf>, String> {
    Part::of(taken).map_or(Ok(None), |part| part.path())
}

/// Puts the file or directory at the end of an edge at a path.
pub(crate) fn put(
    taken: &Taken,
    blobs: &dyn Blobs,
    target: &Path,
    writable: bool,
) -> Result<(), String> {
    Part::of(taken).ok_or("there is no such file")?.put(blobs, target, writable)
}

/// Puts a file or directory at a path, out of the cache.
fn restore(
    record: &Record,
    blobs: &dyn Blobs,
    target: &Path,
    writable: bool,
) -> Result<(), String> {
    let Record::Object(object) = record else {
        return Err("there is no such file".to_owned());
    };
    match object.codec.as_str() {
        "file/1" => restore_file(object, blobs, target, writable),
        "dir/1" => restore_directory(object, blobs, target, writable),
        other => Err(format!("`{other}` is no file and no directory")),
    }
}

/// Puts a file or directory that a record keeps into a directory, under the name it had.
pub(crate) fn restore_in(record: &Record, blobs: &dyn Blobs, above: &Path) -> Result<(), String> {
    let Record::Object(object) = record else {
        return Err("it is a value, and `to` is for files".to_owned());
    };
    restore(record, blobs, &above.join(name_in(object)?), false)
}

/// The name that a file or directory had.
fn name_in(object: &Object) -> Result<OsString, String> {
    let mut header = Reader::new(&object.header);
    let name = match (header.token(), header.token()) {
        (Ok(Token::Open(Container::Tuple, 1 | 2)), Ok(Token::Text(name))) => name,
        _ => return Err("its header is damaged".to_owned()),
    };
    let name = String::from_utf8_lossy(name);
    // A name is one of a file beside others, and never leads elsewhere.
    Ok(Path::new(&*name).file_name().ok_or("its header is damaged")?.to_owned())
}

fn restore_file(
    object: &Object,
    blobs: &dyn Blobs,
    target: &Path,
    writable: bool,
) -> Result<(), String> {
    let mut header = Reader::new(&object.header);
    let tokens = (header.token(), header.token(), header.token());
    let (Ok(Token::Open(Container::Tuple, 2)), Ok(Token::Text(_)), Ok(Token::Bool(executable))) =
        tokens
    else {
        return Err("its header is damaged".to_owned());
    };
    let [Buffer::Blob(blob)] = object.buffers.as_slice() else {
        return Err("it is a file without a blob".to_owned());
    };
    let access = Access { writable, executable };
    blobs.place(blob, target, access).map(drop).map_err(|error| error.to_string())
}

fn restore_directory(
    object: &Object,
    blobs: &dyn Blobs,
    target: &Path,
    writable: bool,
) -> Result<(), String> {
    let Some((manifest, files)) = object.buffers.split_first() else {
        return Err("it is a directory without a manifest".to_owned());
    };
    let manifest = match manifest {
        Buffer::Inline(bytes) => Manifest::decode(bytes),
        Buffer::Blob(name) => {
            let bytes = blobs.open(name).map_err(|error| error.to_string())?;
            Manifest::decode(&bytes)
        }
    };
    let manifest = manifest.map_err(|error| error.to_string())?;
    let named: HashMap<Digest, BlobName> = files
        .iter()
        .filter_map(|buffer| match buffer {
            Buffer::Blob(name) => Some((name.digest, *name)),
            Buffer::Inline(_) => None,
        })
        .collect();
    let find = |digest: &Digest| Ok(named.get(digest).copied());
    restoring::directory(&manifest, blobs, &find, target, writable)
        .map_err(|error| error.to_string())
}

/// The encoding of nothing.
pub(crate) fn nothing() -> Vec<u8> {
    let mut writer = plain::Writer::new();
    writer.none();
    writer.into_bytes()
}

fn many<P: std::borrow::Borrow<Part>>(
    parts: impl Iterator<Item = P>,
    blobs: &dyn Blobs,
    target: &Path,
    writable: bool,
) -> Result<(), String> {
    fs::create_dir_all(target).map_err(|error| format!("{}: {error}", target.display()))?;
    for (number, part) in parts.enumerate() {
        let part = part.borrow();
        if !part.is_none() {
            part.put(blobs, &target.join(number.to_string()), writable)?;
        }
    }
    Ok(())
}

fn named<'n, P: std::borrow::Borrow<Part>>(
    parts: impl Iterator<Item = (&'n str, P)>,
    blobs: &dyn Blobs,
    target: &Path,
    writable: bool,
) -> Result<(), String> {
    fs::create_dir_all(target).map_err(|error| format!("{}: {error}", target.display()))?;
    for (name, part) in parts {
        let plain = Path::new(name).file_name().is_some_and(|it| it == name);
        if !plain {
            return Err(format!("`{name}` is no name of a directory"));
        }
        let part = part.borrow();
        if !part.is_none() {
            part.put_in(blobs, &target.join(name), writable)?;
        }
    }
    Ok(())
}

/// The part of a draft that the steps lead to, through the operations it was made of.
fn within(draft: &Draft, taken: &[Taken], steps: &[Step]) -> Option<Part> {
    match (draft, steps.split_first()) {
        (Draft::Edge(number), _) => {
            let from = taken.get(usize::try_from(*number).ok()?)?;
            let steps = from.steps.iter().chain(steps).cloned().collect();
            Part::of(&Taken { value: from.value.clone(), steps })
        }
        (Draft::Plain(encoding), _) => {
            Record::Plain(encoding.clone()).select(steps).map(Part::Stored)
        }
        (Draft::Stored(record), _) => record.select(steps).map(Part::Stored),
        (Draft::Composite { parts, container: Shape::List }, None) => {
            let parts: Option<_> = parts.iter().map(|part| within(part, taken, &[])).collect();
            parts.map(Part::Several)
        }
        (Draft::Composite { parts, container: Shape::Dict(keys) }, None) => {
            let parts = keys.iter().zip(parts);
            let parts: Option<_> =
                parts.map(|(key, part)| Some((text_of(key)?, within(part, taken, &[])?))).collect();
            parts.map(Part::Named)
        }
        (draft, Some((step, rest))) => within(draft.part(step)?, taken, rest),
        _ => None,
    }
}

fn value_of(record: &Record) -> Option<Json> {
    match record {
        Record::Plain(encoding) => json::decode(encoding),
        Record::Composite { container: Shape::List, parts } => parts.iter().map(value_of).collect(),
        Record::Composite { container: Shape::Dict(keys), parts } => {
            let parts = keys.iter().zip(parts);
            parts.map(|(key, part)| Some((text_of(key)?, value_of(part)?))).collect()
        }
        _ => None,
    }
}

/// The text of a key.
fn text_of(key: &[u8]) -> Option<String> {
    Some(json::decode(key)?.as_str()?.to_owned())
}

/// A part of a value that a command has just made.
fn within_value(made: &Given, steps: &[Step]) -> Option<Part> {
    let output = output_of(steps.get(..2)?)?;
    let value = Record::Plain(json::encode(made.value(&output)?).ok()?);
    value.select(&steps[2..]).map(Part::Stored)
}

/// The name of the output that steps lead to.
fn output_of(steps: &[Step]) -> Option<String> {
    let [_, Step(name)] = steps else { return None };
    text_of(name)
}
