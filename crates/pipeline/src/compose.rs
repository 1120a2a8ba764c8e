//! A document from all that it is made of: the files it includes, presets, single fields.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use thrifty_engine::did_you_mean;

use crate::document::{Document, Operation, Param, Preset, Table};
use crate::error::{FileError, Place};
use crate::layer::Layer;
use crate::parse;
use crate::place::Sources;

/// How one run varies an operation file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variation {
    /// Presets by name; later ones hold over earlier ones.
    pub presets: Vec<String>,
    /// Single fields: the path of each, as in `operations.train.cache.ttl`, and its value as YAML.
    pub fields: Vec<(String, String)>,
    /// Parameters by name, as written.
    pub params: Vec<(String, String)>,
    /// The tick of the schedule that it is for; the last that was due unless given.
    pub tick: Option<jiff::Timestamp>,
}

/// The document in a file, with all that it includes.
pub(crate) fn read(path: &Path, sources: &Sources) -> Result<Document, FileError> {
    including(path, sources, &mut Vec::new())
}

fn including(
    path: &Path,
    sources: &Sources,
    open: &mut Vec<PathBuf>,
) -> Result<Document, FileError> {
    let mut document = parse::read(path, sources)?;
    open.push(path.canonicalize().unwrap_or_else(|_| path.to_owned()));
    let mut lower = Document::default();
    for include in std::mem::take(&mut document.include) {
        let wrong = |reason: String| FileError::Meaning {
            place: sources.place(include.referenced),
            reason,
        };
        let next = path.parent().unwrap_or(path).join(&include.value);
        let real = next
            .canonicalize()
            .map_err(|error| wrong(format!("include: {}: {error}", next.display())))?;
        if open.contains(&real) {
            let names = open.iter().chain([&real]).skip_while(|it| **it != real);
            let names: Vec<_> = names.map(|it| it.display().to_string()).collect();
            let circle = names.join(" → ");
            return Err(wrong(format!("files include each other in a circle: {circle}")));
        }
        let mut included = including(&next, sources, open)?;
        included.over(lower);
        lower = included;
    }
    open.pop();
    document.over(lower);
    Ok(document)
}

/// The document with presets and single fields laid over it, in this order.
pub(crate) fn overridden(
    path: &Path,
    mut document: Document,
    sources: &Sources,
    variation: &Variation,
) -> Result<Document, FileError> {
    let Variation { presets, fields, params: _, tick: _ } = variation;
    let mut chosen = Vec::with_capacity(presets.len() + fields.len());
    for name in presets {
        let Some(preset) = document.presets.get(name) else {
            let hint = did_you_mean(name, document.presets.keys().map(String::as_str));
            let reason = format!("there is no preset `{name}`; {hint}");
            return Err(FileError::Parameter { path: path.to_owned(), reason });
        };
        let Preset { description: _, params, env, cache, operations } = preset.value.clone();
        chosen.push(Document { params, env, cache, operations, ..Document::default() });
    }
    for (field, value) in fields {
        chosen.push(patch(path, field, value, sources)?);
    }
    for mut upper in chosen {
        is_there(&upper.params, &document.params, "parameter", sources)?;
        are_there(&upper.operations, &document.operations, sources)?;
        upper.over(document);
        document = upper;
    }
    Ok(document)
}

/// The document that has one field and nothing else.
fn patch(path: &Path, field: &str, value: &str, sources: &Sources) -> Result<Document, FileError> {
    let argument = format!("--set {field}={value}");
    let wrong = |reason: String| FileError::Parameter {
        path: path.to_owned(),
        reason: format!("{argument}: {reason}"),
    };
    let value = parse::value(value).map_err(wrong)?;
    let value = field
        .rsplit('.')
        .fold(value, |value, name| Json::Object([(name.to_owned(), value)].into_iter().collect()));
    let read = sources.reading_argument(&argument, || parse::parse(path, &value.to_string()));
    let document = read.map_err(|error| match error {
        FileError::Syntax { reason, .. } => wrong(reason),
        other => other,
    })?;
    match document.include.is_empty() && document.presets.is_empty() {
        true => Ok(document),
        false => Err(wrong("`include` and `presets` stand in files".to_owned())),
    }
}

fn are_there(
    upper: &Table<Operation>,
    lower: &Table<Operation>,
    sources: &Sources,
) -> Result<(), FileError> {
    is_there(upper, lower, "operation", sources)?;
    for (name, operation) in upper {
        if let Some(lower) = lower.get(name).filter(|lower| !lower.value.operations.is_empty()) {
            are_there(&operation.value.operations, &lower.value.operations, sources)?;
        }
    }
    Ok(())
}

/// Whether what is changed is there to be changed.
fn is_there<T>(
    upper: &Table<T>,
    lower: &Table<T>,
    what: &str,
    sources: &Sources,
) -> Result<(), FileError> {
    match upper.iter().find(|(name, _)| !lower.contains_key(*name)) {
        None => Ok(()),
        Some((name, entry)) => {
            let hint = did_you_mean(name, lower.keys().map(String::as_str));
            let place: Place = sources.place(entry.referenced);
            let reason = format!("there is no {what} `{name}` to change; {hint}");
            Err(FileError::Meaning { place, reason })
        }
    }
}

impl Param {
    /// A parameter of which nothing is said.
    pub(crate) const fn empty() -> Self {
        Self { kind: None, default: None, choices: None, help: None }
    }
}
