//! What a command gave: files, directories and values, in its directory or in the cache.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use thrifty_engine::annotations::Annotations;
use thrifty_engine::record::{Buffer, Draft, Object, Record, Shape, Source, Step};
use thrifty_key::plain::{self, Container, Writer};
use thrifty_key::tree::{self, Manifest};
use thrifty_key::{Digest, Preview};
use thrifty_store::Blobs;
use thrifty_store::scan::{self, Memo};

use crate::attempt::Attempt;
use crate::document::Output;
use crate::error::AttemptError;
use crate::json;
use crate::metrics;
use crate::share;
use crate::stamp::Stamp;

/// What stands for a log in keys: that there is one. Two runs that differ in their logs alone
/// gave the same.
const LOG: &[u8] = b"the log of a command";

/// The outputs of a command that has just run, in its directory.
pub(crate) struct Given {
    attempt: Attempt,
    outputs: Vec<(String, Output, Made)>,
    /// What the filesystem said of each output.
    stamps: Vec<Stamp>,
}

/// One output that was found.
enum Made {
    File(tree::File),
    Directory(Manifest),
    Value(Json),
}

impl Given {
    /// Looks for everything the command declares.
    pub(crate) fn gather(
        attempt: Attempt,
        outputs: &[(String, Output)],
        memo: &dyn Memo,
    ) -> Result<Self, AttemptError> {
        let mut found = Vec::with_capacity(outputs.len());
        for (name, output) in outputs {
            let path = attempt.place().join(output.path());
            // The directory is gone when this is read.
            let place = format!("{}/", attempt.place().display());
            let wrong = |reason: String| AttemptError::Output {
                name: name.clone(),
                reason: reason.replace(&place, ""),
            };
            if path.symlink_metadata().is_err() {
                return Err(wrong(format!("the command ended without making `{}`", output.path())));
            }
            if !matches!(output, Output::Json { .. }) && path.exists() {
                let relative = Path::new(output.path());
                share::own_below(&attempt.place(), relative).map_err(|e| wrong(e.to_string()))?;
            }
            let made = match output {
                Output::Value => return Err(wrong("a command makes no such value".to_owned())),
                Output::File(_) | Output::Metrics(_) | Output::Plot(_) => {
                    Made::File(scan::file(&path, memo).map_err(|e| wrong(e.to_string()))?)
                }
                Output::Directory(_) => {
                    Made::Directory(scan::directory(&path, memo).map_err(|e| wrong(e.to_string()))?)
                }
                Output::Json { at, .. } => Made::Value(value_in(&path, at).map_err(wrong)?),
            };
            found.push((name.clone(), output.clone(), made));
        }
        let stamps =
            outputs.iter().map(|(_, output)| Stamp::of(&attempt.place().join(output.path())));
        let stamps = stamps.collect();
        Ok(Self { attempt, outputs: found, stamps })
    }

    /// Keeps its directory, for runs that go on from this one.
    pub(crate) fn keep(&mut self, at: PathBuf) -> std::io::Result<()> {
        self.attempt.keep(at)
    }

    /// What is kept with it besides: what was measured, and which of it are pictures. With what
    /// could not be read of the measurements.
    pub(crate) fn annotations(&self) -> (Annotations, Vec<String>) {
        let (mut notes, mut wrong) = (Annotations::default(), Vec::new());
        for (name, output, _) in &self.outputs {
            match output {
                Output::Plot(_) => notes.plots.push(name.clone()),
                Output::Metrics(path) => {
                    let bytes = fs::read(self.attempt.place().join(path)).unwrap_or_default();
                    let (metrics, reason) = metrics::read(&bytes);
                    notes.metrics.extend(metrics);
                    wrong.extend(reason.map(|reason| format!("metrics `{name}`: {reason}")));
                }
                Output::Value | Output::File(_) | Output::Directory(_) | Output::Json { .. } => {}
            }
        }
        (notes, wrong)
    }

    /// How to store it: a pair of the outputs by name, and the log.
    pub(crate) fn draft(&self) -> Result<Draft, String> {
        let keys = self.outputs.iter().map(|(name, ..)| plain::text(name).into());
        let mut parts = Vec::with_capacity(self.outputs.len());
        for (_, output, made) in &self.outputs {
            parts.push(self.part(output, made)?);
        }
        let outputs = Draft::Composite { container: Shape::Dict(keys.collect()), parts };
        let mut log = Writer::new();
        let bytes = self.attempt.kept_log();
        log.bytes(&bytes);
        let digest = plain::digest(log.as_bytes()).map_err(|error| error.to_string())?;
        let buffers = vec![Source::Memory(Box::new(bytes))];
        let log = Draft::Object {
            codec: "bytes/1".to_owned(),
            digest,
            classes: Vec::new(),
            header: Vec::new(),
            buffers,
        };
        let log = Draft::Hashed { digest: Digest::of_blob(LOG), value: Box::new(log) };
        Ok(Draft::Composite { container: Shape::Tuple, parts: vec![outputs, log] })
    }

    fn part(&self, output: &Output, made: &Made) -> Result<Draft, String> {
        let path = self.attempt.place().join(output.path());
        let name =
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let object = |codec: &str, encoding: &[u8], header: Vec<u8>, buffers| {
            let digest = plain::digest(encoding).map_err(|error| error.to_string())?;
            Ok(Draft::Object {
                codec: codec.to_owned(),
                digest,
                classes: Vec::new(),
                header,
                buffers,
            })
        };
        match made {
            Made::Value(value) => Ok(Draft::Plain(json::encode(value)?)),
            Made::File(file) => {
                let mut header = Writer::new();
                header.open(Container::Tuple, 2);
                header.text(name.as_bytes());
                header.bool(file.executable);
                let source = Source::File { path, digest: file.digest };
                object("file/1", &encoding_of_file(file), header.into_bytes(), vec![source])
            }
            Made::Directory(manifest) => {
                let mut header = Writer::new();
                header.open(Container::Tuple, 1);
                header.text(name.as_bytes());
                let mut buffers = vec![Source::Memory(Box::new(manifest.encode()))];
                let mut seen = std::collections::HashSet::new();
                let contents = manifest.files().filter(|(_, file)| seen.insert(file.digest));
                buffers.extend(contents.map(|(inside, file)| Source::File {
                    path: path.join(inside),
                    digest: file.digest,
                }));
                object("dir/1", &encoding_of_directory(manifest), header.into_bytes(), buffers)
            }
        }
    }

    /// Where an output is, if there is one of that name.
    ///
    /// # Errors
    ///
    /// Somebody has written to it since: it is not what was made.
    pub(crate) fn path(&self, name: &str) -> Result<Option<PathBuf>, String> {
        let mut all = self.outputs.iter().zip(&self.stamps);
        let Some(((_, output, _), stamp)) = all.find(|((known, ..), _)| known == name) else {
            return Ok(None);
        };
        let path = self.attempt.place().join(output.path());
        match *stamp == Stamp::of(&path) {
            true => Ok(Some(path)),
            false => Err(format!("{} was written to after it was made", path.display())),
        }
    }

    /// The names of all outputs.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|(name, ..)| name.as_str())
    }

    /// An output that is a value.
    pub(crate) fn value(&self, name: &str) -> Option<&Json> {
        match self.outputs.iter().find(|(known, ..)| known == name)? {
            (_, _, Made::Value(value)) => Some(value),
            _ => None,
        }
    }
}

/// The subscripts that lead to an output, or with dots to a part of it, in what an operation
/// gives.
pub(crate) fn steps(output: &str) -> Vec<Step> {
    let within = output.split('.').map(|name| Step(plain::text(name)));
    std::iter::once(Step(plain::int(0))).chain(within).collect()
}

/// What was told besides, with the stored output of an operation.
///
/// # Errors
///
/// What is wrong with the output.
pub fn annotations_of(output: &[u8]) -> Result<Annotations, String> {
    let record = Record::from_bytes(output).map_err(|error| error.to_string())?;
    Ok(record.annotations().cloned().unwrap_or_default())
}

/// Whether a record is what a command gave.
pub(crate) fn is_of_command(record: &Record) -> bool {
    let log = record.select(&[Step(plain::int(1))]);
    matches!(log, Some(Record::Hashed { digest, .. }) if digest == Digest::of_blob(LOG))
}

/// The log in the stored output of a command; `None` if it is the output of something else.
///
/// # Errors
///
/// What is wrong with the output, or that the log is gone.
pub fn log_of(output: &[u8], blobs: &dyn Blobs) -> Result<Option<Vec<u8>>, String> {
    let record = Record::from_bytes(output).map_err(|error| error.to_string())?;
    let log = match record.select(&[Step(plain::int(1))]) {
        Some(Record::Hashed { digest, value }) if digest == Digest::of_blob(LOG) => value,
        _ => return Ok(None),
    };
    match *log {
        Record::Object(Object { buffers, .. }) => match buffers.as_slice() {
            [Buffer::Inline(bytes)] => Ok(Some(bytes.clone())),
            [Buffer::Blob(name)] => {
                Ok(Some(blobs.open(name).map_err(|error| error.to_string())?.to_vec()))
            }
            _ => Err("it is damaged".to_owned()),
        },
        _ => Err("it is damaged".to_owned()),
    }
}

/// The plain encoding of a file, as `thrifty.File` has it.
pub(crate) fn encoding_of_file(file: &tree::File) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.typed("thrifty.File");
    writer.open(Container::Tuple, 2);
    writer.bytes(file.digest.as_bytes());
    writer.bool(file.executable);
    writer.into_bytes()
}

/// The plain encoding of a directory, as `thrifty.Dir` has it.
pub(crate) fn encoding_of_directory(manifest: &Manifest) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.typed("thrifty.Dir");
    writer.bytes(manifest.digest().as_bytes());
    writer.into_bytes()
}

/// The encoding and the preview of a file or directory that is there now.
pub(crate) fn found_at(path: &Path, memo: &dyn Memo) -> Result<(Vec<u8>, Preview), String> {
    let told = |error: scan::ScanError| error.to_string();
    let is_directory =
        fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.is_dir();
    let encoding = match is_directory {
        true => encoding_of_directory(&scan::directory(path, memo).map_err(told)?),
        false => encoding_of_file(&scan::file(path, memo).map_err(told)?),
    };
    Ok((encoding, Preview::text(path.display().to_string())))
}

fn value_in(path: &Path, pointer: &str) -> Result<Json, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let whole: Json = serde_json::from_slice(&bytes)
        .map_err(|error| format!("{} is no JSON: {error}", path.display()))?;
    let value = whole
        .pointer(pointer)
        .ok_or_else(|| format!("there is nothing at `{pointer}` in {}", path.display()))?;
    json::encode(value)?;
    Ok(value.clone())
}
