//! Source texts, read once in a process, and the definitions in them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use thrifty_key::Digest;
use thrifty_source::outline::{Binding, Defaults, Outline};
use thrifty_source::{Definition, LocalImport, LookupError, Module, ParseError, Reference};
use thrifty_store::StatIdentity;

/// One definition, detached from its text.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) digest: Digest,
    pub(super) references: Vec<Vec<String>>,
    /// Paths in texts in which something looks names up: references, if something binds them.
    pub(super) in_texts: Vec<Vec<String>>,
    /// Names of all attributes.
    pub(super) attributes: BTreeSet<String>,
    pub(super) imports: Vec<LocalImport>,
    pub(super) text: String,
    /// What reading cannot follow: the word for it, and its line.
    pub(super) opaque: Vec<(&'static str, u32)>,
    /// It may read docstrings or annotations of what it reaches.
    pub(super) reads_definitions: bool,
    /// It has the arguments of the program parsed.
    pub(super) parses_arguments: bool,
}

impl From<Definition<'_>> for Piece {
    fn from(definition: Definition<'_>) -> Self {
        let paths = |all: Vec<Reference>| all.into_iter().map(|one| one.path).collect();
        Self {
            digest: definition.digest,
            references: paths(definition.references),
            in_texts: paths(definition.in_texts),
            opaque: definition.opaque.iter().map(|one| (one.kind.word(), one.line)).collect(),
            attributes: definition.attributes,
            imports: definition.imports,
            reads_definitions: definition.reads_definitions,
            parses_arguments: definition.parses_arguments,
            text: definition.text.to_owned(),
        }
    }
}

/// Which definition of a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Which {
    At(u32, String),
    LambdaAround(u32, u32),
    Class(String),
    Assignment(String),
}

/// One parsed text.
pub(super) struct Text {
    module: Module,
    compiled: Mutex<Option<Py<PyAny>>>,
    pieces: Mutex<HashMap<Which, Arc<Piece>>>,
    shown: OnceLock<Option<Arc<Text>>>,
    /// Size and time of the file when it was read.
    stamp: Option<StatIdentity>,
}

impl Text {
    /// Parses a text.
    pub(super) fn parse(text: &str, stamp: Option<StatIdentity>) -> Result<Self, ParseError> {
        Ok(Self::of(Module::parse(text)?, stamp))
    }

    fn of(module: Module, stamp: Option<StatIdentity>) -> Self {
        let (pieces, compiled, shown) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Self { module, pieces, compiled, shown, stamp }
    }

    /// The text itself.
    pub(super) fn source(&self) -> &str {
        self.module.text()
    }

    /// What the module binds, and how surely.
    pub(super) fn outline(&self) -> &Outline {
        self.module.outline()
    }

    fn piece(
        &self,
        which: Which,
        find: impl FnOnce(&Module) -> Result<Piece, LookupError>,
    ) -> Result<Arc<Piece>, LookupError> {
        if let Some(piece) = locked(&self.pieces).get(&which) {
            return Ok(piece.clone());
        }
        let piece = Arc::new(find(&self.module)?);
        locked(&self.pieces).insert(which, piece.clone());
        Ok(piece)
    }

    /// Whether the text does not decide all defaults of the function that begins at a line.
    pub(super) fn computes_defaults(&self, which: &(u32, String)) -> bool {
        let is_computed = |written: &Defaults| {
            let keyword = written.keyword.iter().map(|(_, digest)| digest);
            written.positional.iter().chain(keyword).any(Option::is_none)
        };
        self.outline().defaults.get(which).is_some_and(is_computed)
    }

    /// Whether an expression, and not its name alone, says what a class is made of.
    pub(super) fn is_made_by_expression(&self, class: &str) -> bool {
        let outline = self.outline();
        let binding = match class.rsplit_once('.') {
            Some((outer, name)) => outline.classes.get(outer).and_then(|it| it.get(name)),
            None => outline.names.get(class),
        };
        matches!(binding, Some(Binding::Class { makers }) if makers.iter().any(String::is_empty))
    }

    /// The function or lambda that begins at a line.
    pub(super) fn at(
        &self,
        line: u32,
        name: &str,
        ignore: &dyn Fn(&[String]) -> bool,
    ) -> Result<Arc<Piece>, LookupError> {
        let which = Which::At(line, name.to_owned());
        self.piece(which, |module| Ok(module.definition_at(line, name, ignore)?.into()))
    }

    /// The lambda whose body holds a place: line, and column in bytes.
    pub(super) fn lambda_around(&self, line: u32, column: u32) -> Result<Arc<Piece>, LookupError> {
        let which = Which::LambdaAround(line, column);
        self.piece(which, |module| Ok(module.lambda_around(line, column)?.into()))
    }

    /// The class of a qualified name.
    pub(super) fn class(&self, name: &str) -> Result<Arc<Piece>, LookupError> {
        let which = Which::Class(name.to_owned());
        self.piece(which, |module| Ok(module.class_named(name, &|_| false)?.into()))
    }

    /// The expressions assigned to a name of the module.
    pub(super) fn assignment(&self, name: &str) -> Option<Arc<Piece>> {
        let none = || LookupError::NoClass { name: name.to_owned() };
        let which = Which::Assignment(name.to_owned());
        self.piece(which, |module| Ok(module.assignment(name).ok_or_else(none)?.into())).ok()
    }

    /// The code object of the whole text.
    pub(super) fn compiled<'py>(
        &self,
        filename: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = filename.py();
        if let Some(compiled) = locked(&self.compiled).as_ref() {
            return Ok(compiled.bind(py).clone());
        }
        let compile = py.import("builtins")?.getattr("compile")?;
        let compiled = compile.call1((self.module.text(), filename, "exec", 0, true))?;
        *locked(&self.compiled) = Some(compiled.clone().unbind());
        Ok(compiled)
    }

    /// When the file was last written or put in its place, if it was one. A file that was moved
    /// there has kept the time at which it was written.
    pub(super) fn placed(&self) -> Option<SystemTime> {
        let last = self.stamp.map(|it| it.modified.max(it.changed))?;
        Some(UNIX_EPOCH + Duration::from_nanos(u64::try_from(last).unwrap_or(0)))
    }
}

/// The same text, with docstrings and annotations in all digests. It was parsed before, so it is
/// parsed again.
pub(super) fn shown(text: &Arc<Text>) -> Arc<Text> {
    let parse = || Module::parse(text.module.text()).map(Module::shown);
    let shown =
        text.shown.get_or_init(|| parse().ok().map(|it| Arc::new(Text::of(it, text.stamp))));
    shown.clone().unwrap_or_else(|| text.clone())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a file gives no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Parse(#[from] ParseError),
    #[error("it is not UTF-8, nor in an encoding that it declares")]
    Encoding,
}

static FILES: Mutex<Option<HashMap<PathBuf, Arc<Text>>>> = Mutex::new(None);

/// The text of a file as first seen by this process, or as last remembered.
pub(super) fn of_file(path: &Path) -> Result<Arc<Text>, ReadError> {
    if let Some(text) = locked(&FILES).as_ref().and_then(|files| files.get(path)) {
        return Ok(text.clone());
    }
    let text = read(path)?;
    remember(path, &text);
    Ok(text)
}

/// The text of a file as it is now.
pub(super) fn read(path: &Path) -> Result<Arc<Text>, ReadError> {
    let stamp = stamp(path)?;
    let bytes = std::fs::read(path)?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => declared(error.as_bytes()).ok_or(ReadError::Encoding)?,
    };
    Ok(Arc::new(Text::parse(text.trim_start_matches('\u{feff}'), Some(stamp))?))
}

/// A text in the encoding that its first lines declare.
fn declared(bytes: &[u8]) -> Option<String> {
    Python::attach(|py| {
        let decode = py.import("importlib.util").ok()?.getattr("decode_source").ok()?;
        decode.call1((bytes,)).ok()?.extract().ok()
    })
}

/// Makes a text the one of its file.
pub(super) fn remember(path: &Path, text: &Arc<Text>) {
    locked(&FILES).get_or_insert_default().insert(path.to_owned(), text.clone());
}

/// Whether a file still is what was read.
pub(super) fn is_unchanged(path: &Path, text: &Text) -> bool {
    stamp(path).ok() == text.stamp
}

fn stamp(path: &Path) -> std::io::Result<StatIdentity> {
    Ok(StatIdentity::of(&std::fs::metadata(path)?))
}
