//! The code of a command: its scripts, what they import from the project, and which packages they
//! need.
//!
//! A Python script counts by what it does: comments, layout and docstrings do not matter, and the
//! modules it imports from beside it or from beside the operation file count with it, as far as
//! imports can be read in the text. One that the command names otherwise than to run it may be read,
//! and counts by its text. Any other file counts by its bytes.

mod environments;
mod files;
mod imports;
mod probe;
mod programs;
mod values;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thrifty_engine::catalog::Catalog;
use thrifty_key::{Digest, Preview};
use thrifty_store::scan::Memo;

use crate::error::CodeError;
use crate::home::Placement;
use crate::mirror::Snapshot;
use crate::pipeline::{Command, Runs};
use environments::Selected;
pub(crate) use files::modules;
use files::{Listed, Read, Readings};
use probe::{Interpreters, Surroundings};
use programs::Programs;
pub(crate) use values::Values;
pub(crate) use words::Mentioned;

/// One file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// `file` and its path, relative to the operation file; or `program` and its name.
    pub(crate) name: String,
    /// What it counts as.
    pub(crate) digest: Digest,
    /// What may be shown of it.
    pub(crate) preview: Preview,
}

/// All that counts of a command's code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Code {
    /// The files, by path.
    pub(crate) parts: Vec<Part>,
    /// Packages and the interpreter, each by its name and what counts of it.
    pub(crate) packages: Vec<(String, String)>,
    /// Source texts that previews refer to.
    pub(crate) texts: Vec<(Digest, String)>,
    /// What could not be followed, for a person.
    pub(crate) notes: Vec<String>,
    /// Where the command finds it.
    pub(crate) placement: Placement,
}

/// What the scripts of a command lead to.
#[derive(Default)]
struct Followed {
    files: BTreeMap<PathBuf, Arc<Read>>,
    /// Names they import that are not of the project.
    foreign: BTreeSet<String>,
    notes: Vec<String>,
    /// What could not be told of interpreters.
    unasked: Vec<String>,
    /// Docstrings and annotations are read, by the code or by a library that is handed it.
    is_read: bool,
}

/// Libraries that make a command line of the definitions they are handed.
const READERS: [&str; 9] =
    ["clize", "cyclopts", "defopt", "docopt", "fire", "jsonargparse", "plac", "typer", "tyro"];

/// Reads the code of commands, each file once for all commands of a run.
pub(crate) struct Codes {
    readings: Readings,
    interpreters: Interpreters,
    programs: Programs,
    /// All files that were found to be code, by where they really are.
    seen: BTreeSet<PathBuf>,
}

impl Codes {
    /// None yet; the catalog remembers what interpreters say.
    pub(crate) fn new(catalog: Arc<dyn Catalog>, memo: Arc<dyn Memo>) -> Self {
        let (readings, interpreters) = (Readings::new(memo), Interpreters::new(catalog));
        let (programs, seen) = (Programs::default(), BTreeSet::new());
        Self { readings, interpreters, programs, seen }
    }

    /// Where a command finds its code that does not count.
    ///
    /// # Errors
    ///
    /// [`CodeError`] names the file.
    pub(crate) fn uncounted(&mut self, command: &Command) -> Result<Code, CodeError> {
        let listed = files::list(command, &command.base)?;
        self.seen.extend(listed.environments.iter().map(|(_, path)| path.clone()));
        for file in &listed.files {
            let own = file.path.parent().unwrap_or(&command.base).to_owned();
            self.seen.extend(files::led_to(file.path.clone(), &[own, command.base.to_path_buf()]));
        }
        Ok(Code { placement: placement(&listed), ..Code::default() })
    }

    /// All files that were found to be code.
    pub(crate) const fn seen(&self) -> &BTreeSet<PathBuf> {
        &self.seen
    }

    /// All that counts of the code of a command.
    ///
    /// # Errors
    ///
    /// [`CodeError`] names the file.
    pub(crate) fn of(&mut self, command: &Command) -> Result<Code, CodeError> {
        let mut listed = files::list(command, &command.base)?;
        listed.called = self.programs.of(command);
        let selected = Selected::by(command, &listed);
        let mut roots = Vec::new();
        loop {
            let mut followed = self.follow(command, &listed, &roots)?;
            if !selected.on_path.is_empty() {
                followed.foreign.insert(probe::ALL.to_owned());
            }
            let asked = followed.interpreters(command, &selected);
            let (packages, found) = self.packages(command, &selected, &asked, &mut followed);
            let known = roots.len();
            for root in found {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
            if roots.len() == known {
                self.seen.extend(followed.files.keys().cloned());
                self.seen.extend(listed.environments.iter().map(|(_, path)| path.clone()));
                return Ok(composed(&command.base, followed, packages, roots, &listed));
            }
        }
    }

    /// The packages that interpreters have of what was followed, each by its name with what was
    /// found, and where modules lie that belong to none. That one cannot be asked is told, and counts.
    fn packages(
        &mut self,
        command: &Command,
        selected: &Selected,
        asked: &[String],
        followed: &mut Followed,
    ) -> (Vec<(String, String)>, Vec<PathBuf>) {
        let surroundings = Surroundings { base: &command.base, variables: &command.env };
        let (mut packages, mut roots) = (Vec::new(), Vec::new());
        followed.unasked.clone_from(&selected.notes);
        for (number, program) in asked.iter().enumerate() {
            let path = command.base.join(program);
            let shown = path.strip_prefix(&command.base).unwrap_or(&path).display();
            let named = |name: String| match number {
                0 => name,
                _ => format!("{name} of {shown}"),
            };
            match self.interpreters.packages(program, &followed.foreign, surroundings) {
                Ok(answer) => {
                    let found = answer.packages.into_iter();
                    packages.extend(found.map(|(name, found)| (named(name), found)));
                    roots.extend(answer.roots);
                }
                Err(reason) => {
                    packages.push((format!("interpreter {shown}"), "not there".to_owned()));
                    // A bare name may be found on the `PATH` of an environment alone.
                    if program.contains('/') || selected.is_empty() {
                        followed.unasked.push(format!(
                            "`{program}` cannot be asked for its packages, which do not count: {reason}"
                        ));
                    }
                }
            }
        }
        (packages, roots)
    }

    /// Reads everything that the scripts and programs of a command lead to.
    fn follow(
        &mut self,
        command: &Command,
        listed: &Listed,
        more: &[PathBuf],
    ) -> Result<Followed, CodeError> {
        let mut followed = Followed::default();
        let shared: Vec<_> =
            std::iter::once(command.base.to_path_buf()).chain(more.to_vec()).collect();
        for file in &listed.files {
            let own = file.path.parent().unwrap_or(&command.base).to_owned();
            let roots: Vec<_> = std::iter::once(own).chain(shared.iter().cloned()).collect();
            self.enter(
                &command.base,
                vec![file.path.clone()],
                &roots,
                file.is_python,
                &mut followed,
            )?;
        }
        for (_, path) in &listed.called {
            let own = path.parent().unwrap_or(&command.base).to_owned();
            let roots: Vec<_> = std::iter::once(own).chain(shared.iter().cloned()).collect();
            let read = self.readings.program(path, &roots)?;
            self.enter(&command.base, read.imports.clone(), &roots, false, &mut followed)?;
            followed.take(&read, &path.display().to_string());
            followed.files.insert(path.clone(), read);
        }
        for program in &command.programs {
            match &program.runs {
                Runs::File(word) if listed.has(word) => {}
                Runs::File(_) | Runs::Unknown => _ = followed.foreign.insert(probe::ALL.to_owned()),
                Runs::Module(name) => {
                    let files = imports::module(name, &shared);
                    if files.is_empty() {
                        let first = name.split('.').next().unwrap_or(name);
                        followed.foreign.insert(first.to_owned());
                    }
                    self.enter(&command.base, files, &shared, true, &mut followed)?;
                }
                Runs::Text(text) => {
                    let script = command.base.join("-c");
                    match files::python(&script, text.as_bytes(), &shared) {
                        Ok(read) => {
                            self.enter(
                                &command.base,
                                read.imports.clone(),
                                &shared,
                                false,
                                &mut followed,
                            )?;
                            followed.take(&read, "the command");
                        }
                        Err(_) => _ = followed.foreign.insert(probe::ALL.to_owned()),
                    }
                }
            }
        }
        if !listed.environments.is_empty() && command.programs.is_empty() {
            followed.foreign.insert(probe::ALL.to_owned());
        }
        Ok(followed)
    }

    fn enter(
        &mut self,
        base: &Path,
        mut open: Vec<PathBuf>,
        roots: &[PathBuf],
        is_python: bool,
        followed: &mut Followed,
    ) -> Result<(), CodeError> {
        let mut is_python = is_python;
        while let Some(path) = open.pop() {
            if followed.files.contains_key(&path) {
                continue;
            }
            let read = self.readings.read(&path, roots, is_python)?;
            is_python = false;
            open.extend(read.imports.iter().cloned());
            followed.take(&read, &name_of(&path, base, roots));
            followed.files.insert(path, read);
        }
        Ok(())
    }
}

/// What a file is called in the key: nothing that only this machine has, if it can be helped.
fn name_of(path: &Path, base: &Path, roots: &[PathBuf]) -> String {
    let near = path.strip_prefix(base).ok();
    let near = near.or_else(|| roots.iter().find_map(|root| path.strip_prefix(root).ok()));
    near.unwrap_or(path).display().to_string()
}

fn composed(
    base: &Path,
    followed: Followed,
    packages: Vec<(String, String)>,
    roots: Vec<PathBuf>,
    listed: &Listed,
) -> Code {
    let notes = followed.notes.iter().chain(&followed.unasked).cloned().collect();
    let mut code = Code { packages, notes, ..Code::default() };
    let mut snapshot = Snapshot::default();
    for (path, read) in &followed.files {
        let called = listed.called.iter().find(|(_, program)| program == path);
        let mut name = match called {
            Some((word, _)) => format!("program {word}"),
            None => format!("file {}", name_of(path, base, &roots)),
        };
        if code.parts.iter().any(|part: &Part| part.name == name) {
            name = format!("file {}", path.display());
        }
        let by_text = followed.is_read || listed.may_read(path);
        let digest = read.counted(by_text, listed.may_run(path, read));
        let preview = match &read.text {
            Some((digest, _)) => Preview::Source(*digest),
            None => Preview::text("its bytes"),
        };
        code.texts.extend(read.text.clone());
        code.parts.push(Part { name, digest, preview });
        if called.is_none() {
            snapshot.files.push(read.kept.clone());
        }
    }
    let (snapshot, notes) = (Some(snapshot), followed.unasked);
    code.placement = Placement { snapshot, roots, notes, ..placement(listed) };
    code
}

fn placement(listed: &Listed) -> Placement {
    let links = listed.files.iter().filter_map(|file| Some((file.to.clone()?, file.path.clone())));
    Placement {
        links: links.collect(),
        environments: listed.environments.clone(),
        absolute: listed.absolute.clone(),
        programs: listed.called.iter().map(|(_, path)| path.clone()).collect(),
        ..Placement::default()
    }
}

impl Followed {
    fn take(&mut self, read: &Read, name: &str) {
        self.is_read |= read.reads_definitions;
        self.is_read |= read.foreign.iter().any(|library| READERS.contains(&library.as_str()));
        self.foreign.extend(read.foreign.iter().cloned());
        self.notes.extend(read.notes.iter().map(|note| format!("{name}: {note}")));
    }

    /// The interpreters that run what was followed, if it is Python at all: each place once.
    fn interpreters(&self, command: &Command, selected: &Selected) -> Vec<String> {
        // The packages of a container are those of its image.
        if command.image.is_some() {
            return Vec::new();
        }
        let words = command.programs.iter().map(|program| program.interpreter.clone());
        let selected = selected.named.iter().chain(&selected.on_path);
        let mut named: Vec<String> = Vec::new();
        for word in words.chain(selected.map(|path| path.display().to_string())) {
            // A name alone is none of a file beside the operation file.
            let place = |word: &str| word.contains('/').then(|| command.base.join(word));
            let is_known = |known: &String| {
                *known == word || (place(known).is_some() && place(known) == place(&word))
            };
            if !named.iter().any(is_known) {
                named.push(word);
            }
        }
        if named.is_empty() {
            let scripts = self.files.values().filter(|read| read.is_python);
            let first = scripts.map(|read| read.interpreter.clone()).next();
            named.extend(first.map(|named| named.unwrap_or_else(|| "python3".to_owned())));
        }
        named
    }
}
