//! The code of an operation: which files its command names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use minijinja::value::{Serde, Value};
use serde_json::Value as Json;

use super::Check;
use crate::code::{Mentioned, Values};
use crate::document::{Operation, Output, Run};
use crate::error::FileError;
use crate::paths;
use crate::pipeline::{Given, Origin, Placed, Program, Runs, Script};
use crate::template::{self, For};
use crate::ticks;

/// Directories whose files are the machine's and not the user's.
const SYSTEM: [&str; 10] =
    ["/bin", "/dev", "/etc", "/lib", "/lib64", "/nix", "/proc", "/sbin", "/sys", "/usr"];

/// Directories in which what is left is nobody's input.
const SCRATCH: [&str; 2] = ["/tmp", "/var/tmp"];

/// What a command runs and reads, as far as its words tell.
pub(super) struct Named {
    pub(super) code: Vec<Script>,
    pub(super) programs: Vec<Program>,
    /// Files of the project that it names otherwise than to run them.
    pub(super) texts: Vec<PathBuf>,
    /// Words that may be names of programs.
    pub(super) called: Vec<String>,
    /// What it assigns to variables.
    pub(super) assigned: Vec<(String, String)>,
    /// Files, directories and patterns elsewhere that it names and does not declare.
    pub(super) undeclared: Vec<PathBuf>,
}

/// What an operation takes and gives, for the words of its command.
pub(super) struct Around<'a> {
    pub(super) params: &'a [(String, Given)],
    pub(super) inputs: &'a [Placed],
    pub(super) outputs: &'a [(String, Output)],
}

impl Check<'_> {
    /// The files that the command runs: those declared, and the words of the command that are
    /// files of the project.
    pub(super) fn named(
        &self,
        operation: &Operation,
        run: &Run,
        around: &Around<'_>,
    ) -> Result<Named, FileError> {
        let mut code = BTreeSet::new();
        for path in &operation.code {
            let at = path.referenced;
            let below = paths::below(&path.value)
                .map_err(|why| self.wrong(at, format!("code `{}` {why}", path.value)))?;
            let found = self.scope.base.join(&below);
            if !found.exists() {
                let reason = format!(
                    "code `{below}`: there is no such file or directory beside the operation file"
                );
                return Err(self.wrong(at, reason));
            }
            code.insert(Script { to: Some(below.clone()), word: below, path: found });
        }
        let mut mentioned = Mentioned::by(&around.filled(run));
        // What the command makes is asked for nothing, whatever its name.
        mentioned.programs.retain(|program| !around.makes(&program.interpreter));
        let scripts: BTreeSet<&str> = mentioned.programs.iter().filter_map(Program::file).collect();
        let (mut undeclared, mut texts) = (BTreeSet::new(), BTreeSet::new());
        let declared: Vec<_> = self.variables(&operation.env)?.into_iter().collect();
        let values = Values { assigned: &mentioned.assigned, declared: &declared };
        for word in &mentioned.words {
            let is_script = scripts.contains(word.as_str());
            let is_whole = Path::new(word).is_absolute();
            let script = match elsewhere(word, values) {
                Some(path) if is_whole && (is_script || self.is_near(&path)) && path.is_file() => {
                    Some(Script { word: word.clone(), path, to: None })
                }
                // In a container nothing of the machine is there.
                Some(_) if operation.image.is_some() => None,
                Some(path) => {
                    undeclared.extend(self.undeclared(&path, around));
                    None
                }
                None => self.script(word, around),
            };
            let text = script.as_ref().filter(|_| mentioned.read.contains(word));
            texts.extend(text.map(|script| script.path.clone()));
            code.extend(script);
        }
        let called: BTreeSet<_> = mentioned.words.into_iter().filter(|it| is_name(it)).collect();
        Ok(Named {
            code: code.into_iter().collect(),
            texts: texts.into_iter().collect(),
            called: called.into_iter().collect(),
            programs: mentioned.programs,
            assigned: mentioned.assigned,
            undeclared: undeclared.into_iter().collect(),
        })
    }

    /// The file of the project that a word is. What the command makes is none, and what it takes
    /// counts as an input.
    fn script(&self, word: &str, around: &Around<'_>) -> Option<Script> {
        let below = paths::below(word).ok()?;
        if around.outputs.iter().any(|(_, output)| paths::overlap(output.path(), &below)) {
            return None;
        }
        let input = around.inputs.iter().find(|input| Path::new(&below).starts_with(&input.to));
        if let Some(input) = input {
            let Origin::Path(source) = &input.from else { return None };
            let path = source.join(Path::new(&below).strip_prefix(&input.to).ok()?);
            // Joining nothing leaves a slash behind.
            let path: PathBuf = path.components().collect();
            let is_python = path.extension().is_some_and(|it| it == "py") && path.is_file();
            return is_python.then_some(Script { word: below, path, to: None });
        }
        let path = self.scope.base.join(&below);
        path.is_file().then(|| Script { to: Some(below.clone()), word: below, path })
    }

    /// Whether a path is below the operation file.
    fn is_near(&self, path: &Path) -> bool {
        path.starts_with(&self.scope.base)
    }

    /// The path of a file or directory elsewhere, or of a pattern that some match.
    fn undeclared(&self, path: &Path, around: &Around<'_>) -> Option<PathBuf> {
        // Without what a final slash leaves.
        let path: PathBuf = path.components().collect();
        let is_scratch =
            path == std::env::temp_dir() || SCRATCH.iter().any(|it| path == Path::new(it));
        let is_known = is_scratch
            || SYSTEM.iter().any(|system| path.starts_with(system))
            || around.inputs.iter().any(|input| match &input.from {
                Origin::Path(from) => path.starts_with(from),
                Origin::Output(_) => false,
            });
        (!is_known && path.parent().is_some() && (path.exists() || is_matched(&path)))
            .then_some(path)
    }
}

/// The path from the root that a word of a command stands for.
fn elsewhere(word: &str, values: Values<'_>) -> Option<PathBuf> {
    let path = match Path::new(word).is_absolute() {
        true => PathBuf::from(word),
        false if word.starts_with(['$', '~']) => PathBuf::from(values.filled(word)?),
        false => return None,
    };
    path.is_absolute().then_some(path)
}

/// Whether a pattern of the shell matches something.
fn is_matched(pattern: &Path) -> bool {
    let pattern = pattern.to_str().filter(|it| it.contains(['*', '?', '[']));
    let found = pattern.and_then(|pattern| glob::glob(pattern).ok());
    found.is_some_and(|mut found| found.next().is_some())
}

/// Whether a word may be the name of a program.
fn is_name(word: &str) -> bool {
    !word.starts_with('-') && !word.is_empty() && !word.contains(['/', '=', ' ', '\n', '{'])
}

impl Around<'_> {
    /// Whether a word is an output.
    fn makes(&self, word: &str) -> bool {
        let is_one = |word: &str, output: &Output| Path::new(output.path()) == Path::new(word);
        let word = paths::below(word);
        word.is_ok_and(|word| self.outputs.iter().any(|(_, output)| is_one(&word, output)))
    }

    /// The command with its templates filled in, as far as what they stand for is known.
    fn filled(&self, run: &Run) -> Run {
        let unknown = Json::from("");
        let params: BTreeMap<&str, &Json> = self
            .params
            .iter()
            .map(|(name, given)| match given {
                Given::Value(value) => (name.as_str(), value),
                Given::From(_) => (name.as_str(), &unknown),
            })
            .collect();
        let inputs = self.inputs.iter().map(|input| (input.name.as_str(), input.to.as_str()));
        let outputs = self.outputs.iter().map(|(name, output)| (name.as_str(), output.path()));
        let known = self.params.iter().filter_map(|(name, given)| match given {
            Given::Value(value) => Some((name.as_str(), value)),
            Given::From(_) => None,
        });
        let names = minijinja::context! {
            seed => 0,
            tick => ticks::named(known),
            params => Value::from(Serde(params)),
            inputs => Value::from(Serde(inputs.collect::<BTreeMap<_, _>>())),
            outputs => Value::from(Serde(outputs.collect::<BTreeMap<_, _>>())),
        };
        let filled = |text: &String, purpose| {
            template::render(text, purpose, &names).unwrap_or_else(|_| text.clone())
        };
        match run {
            Run::Shell(text) => Run::Shell(filled(text, For::Shell)),
            Run::Words(words) => {
                Run::Words(words.iter().map(|word| filled(word, For::Text)).collect())
            }
        }
    }
}

impl Program {
    /// The file that it runs.
    fn file(&self) -> Option<&str> {
        match &self.runs {
            Runs::File(word) => Some(word),
            Runs::Module(_) | Runs::Text(_) | Runs::Unknown => None,
        }
    }
}
