//! Interpreters that a command names without running them by a path: those of environments, which it may activate,
//! and those in directories that it puts on its `PATH`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::Listed;
use crate::pipeline::{Command, Program};

/// The names of interpreters in a directory, beside those that the command calls.
const NAMES: [&str; 2] = ["python3", "python"];
/// Variables of the caller that may stand in a path.
const PASSED: [&str; 3] = ["HOME", "VIRTUAL_ENV", "CONDA_PREFIX"];
/// How deep variables within the values of variables are filled in.
const DEEPEST: usize = 4;

/// Interpreters that what a command runs may be run by.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// Those of environments.
    pub(super) named: Vec<PathBuf>,
    /// Those on a `PATH` that the command sets, for whatever it starts by name.
    pub(super) on_path: Vec<PathBuf>,
    /// What cannot be told of them.
    pub(super) notes: Vec<String>,
}

impl Selected {
    /// The interpreters that a command selects so.
    pub(super) fn by(command: &Command, listed: &Listed) -> Self {
        let mut selected = Self::default();
        if command.image.is_some() {
            return selected;
        }
        if command.programs.is_empty() || bare(command).next().is_some() {
            let within = listed.environments.iter().map(|(_, path)| path.join("bin/python"));
            selected.named.extend(within);
            selected.named.extend(command.undeclared.iter().filter_map(|path| beside(path)));
        }
        let paths = command.assigned.iter().filter(|(name, _)| name == "PATH");
        for entry in paths.flat_map(|(_, value)| value.split(':')).collect::<BTreeSet<_>>() {
            match entry {
                "$PATH" | "${PATH}" => {}
                _ => match filled(entry, command, 0).filter(|path| !path.is_empty()) {
                    Some(place) => selected.on_path.extend(within(&place, command)),
                    // The rest of a command that is a word of another one, and is read for itself.
                    None if is_several(entry) && !entry.contains("$(") => {}
                    None => selected.notes.push(format!(
                        "what `{entry}` on its PATH stands for is not known before it runs: packages of an interpreter there do not count; run it by its path, or say in `env` what PATH is"
                    )),
                },
            }
        }
        selected
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.on_path.is_empty()
    }
}

/// The interpreters that a command calls by a name alone.
fn bare(command: &Command) -> impl Iterator<Item = &str> {
    let words = command.programs.iter().map(|Program { interpreter, .. }| interpreter.as_str());
    words.filter(|word| !word.contains('/'))
}

/// The interpreter of the environment that a file elsewhere, such as `bin/activate`, belongs to.
fn beside(path: &Path) -> Option<PathBuf> {
    let places = path.parent()?;
    places.parent()?.join("pyvenv.cfg").is_file().then(|| places.join("python"))
}

/// The interpreters in a directory, each once.
fn within(place: &str, command: &Command) -> Vec<PathBuf> {
    let place = command.base.join(place);
    let mut seen = BTreeSet::new();
    let names: BTreeSet<&str> = bare(command).chain(NAMES).collect();
    let found = names.into_iter().map(|name| place.join(name));
    let is_new = |path: &PathBuf| path.canonicalize().is_ok_and(|real| seen.insert(real));
    found.filter(is_new).collect()
}

/// A path with its variables filled in; nothing if one of them is not known.
fn filled(text: &str, command: &Command, depth: usize) -> Option<String> {
    let text = match text.strip_prefix("~/") {
        Some(rest) => format!("$HOME/{rest}"),
        None => text.to_owned(),
    };
    if text.contains('`') || depth > DEEPEST {
        return None;
    }
    let mut parts = text.split('$');
    let mut filled = parts.next()?.to_owned();
    for part in parts {
        let (name, rest) = match part.strip_prefix('{') {
            Some(inner) => inner.split_once('}')?,
            None => {
                let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
                part.split_at(part.find(|it| !is_name(it)).unwrap_or(part.len()))
            }
        };
        filled += &value_of(name, command, depth)?;
        filled += rest;
    }
    Some(filled)
}

/// Whether a value is several words: most likely no value, but a command to another program.
fn is_several(value: &str) -> bool {
    value.contains(char::is_whitespace)
}

/// The one value that a variable of a command has.
fn value_of(name: &str, command: &Command, depth: usize) -> Option<String> {
    let values = command.assigned.iter().filter(|(_, value)| !is_several(value));
    let mut assigned = values.filter(|(known, _)| known == name);
    if let Some((_, value)) = assigned.next() {
        let is_one = assigned.next().is_none() && !value.is_empty();
        return if is_one { filled(value, command, depth + 1) } else { None };
    }
    match command.env.iter().find(|(known, _)| known == name) {
        Some((_, value)) => value.clone(),
        None if PASSED.contains(&name) => std::env::var(name).ok(),
        None => None,
    }
}
