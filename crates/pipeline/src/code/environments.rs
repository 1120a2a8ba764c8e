//! Interpreters that a command names without running them by a path: those of environments, which it may activate,
//! and those in directories that it puts on its `PATH`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::Listed;
use super::values::{Values, is_several};
use crate::pipeline::{Command, Program};

/// The names of interpreters in a directory, beside those that the command calls.
const NAMES: [&str; 2] = ["python3", "python"];

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
        let values = Values { assigned: &command.assigned, declared: &command.env };
        let paths = command.assigned.iter().filter(|(name, _)| name == "PATH");
        for entry in paths.flat_map(|(_, value)| value.split(':')).collect::<BTreeSet<_>>() {
            match entry {
                "$PATH" | "${PATH}" => {}
                _ => match values.filled(entry).filter(|path| !path.is_empty()) {
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
    let (places, above) = (path.parent()?, path.ancestors().nth(2)?);
    let interpreter = Some(places.join("python")).filter(|it| it.is_file());
    interpreter.filter(|_| above.join("pyvenv.cfg").is_file())
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
