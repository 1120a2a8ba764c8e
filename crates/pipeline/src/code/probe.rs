//! Which packages an interpreter would import, asked of the interpreter itself.
//!
//! It is asked as a command would run it: with the same variables, so that the packages of the
//! user, those on `PYTHONPATH` and those installed by a link to their sources are seen.
//!
//! An interpreter takes a tenth of a second to answer, so the catalog remembers what it said, with what
//! the filesystem says of everything the answer stands on: the interpreter, each directory it
//! finds packages in, the files there that link to more, and those that belong to no package.
//! Whatever installs, upgrades or removes a package changes one of these, and more than a time of
//! writing, which images and stores set to one and the same for all they hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thrifty_engine::catalog::Catalog;
use thrifty_key::Digest;
use thrifty_store::StatIdentity;

use crate::variables::{self, surround};

/// The program that an interpreter runs to answer.
const QUESTION: &str = include_str!("question.py");

/// The name that asks for all packages there are.
pub(super) const ALL: &str = "*";

/// The table of memos.
const MEMOS: &str = "interpreters";

/// Variables which say where packages are, beside those that begin with `PYTHON`.
const PLACES: [&str; 5] = ["PATH", "HOME", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX"];

/// An interpreter with the variables that it gets, and the names it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Question {
    path: PathBuf,
    variables: Vec<(String, Option<String>)>,
    names: BTreeSet<String>,
}

/// What an interpreter answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// Its version and the packages, each by name with what was found.
    pub(super) packages: Vec<(String, String)>,
    /// Directories with modules that belong to no installed distribution.
    pub(super) roots: Vec<PathBuf>,
}

impl Answer {
    /// Adds a package, which may be there already: as one of all there are, and as what a name asks for.
    fn add(&mut self, name: &str, found: &str) {
        match self.packages.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) if known == found => {}
            Some((_, known)) => *known = format!("{known}; {found}"),
            None => self.packages.push((name.to_owned(), found.to_owned())),
        }
    }
}

/// What interpreters answered, each asked once for the same names.
pub(crate) struct Interpreters {
    catalog: Arc<dyn Catalog>,
    answers: BTreeMap<Question, Result<Answer, String>>,
}

/// An answer, and what it stands on.
#[derive(Serialize, Deserialize)]
struct Memo {
    answer: Answer,
    /// What the filesystem said of each; `None` if it was not there, or so fresh that a change may
    /// not show.
    stands_on: Vec<(PathBuf, Option<StatIdentity>)>,
}

impl Memo {
    /// Whether nothing that the answer stands on has changed.
    fn is_valid(&self) -> bool {
        self.stands_on.iter().all(|(path, found)| identity(path) == *found)
    }
}

/// What a command gives its interpreter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// The directory of the operation file, in which relative programs are looked for.
    pub(super) base: &'a Path,
    /// The variables that the command declares.
    pub(super) variables: &'a [(String, Option<String>)],
}

impl Interpreters {
    /// Interpreters whose answers a catalog remembers.
    pub(super) fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog, answers: BTreeMap::new() }
    }

    /// The version of an interpreter and what is behind these names.
    ///
    /// # Errors
    ///
    /// Why it cannot be asked.
    pub(super) fn packages(
        &mut self,
        program: &str,
        names: &BTreeSet<String>,
        surroundings: Surroundings<'_>,
    ) -> Result<Answer, String> {
        let path = found(program, surroundings).filter(|path| path.exists());
        let path = path.ok_or("there is no such program")?;
        if path.is_dir() {
            return Err("it is a directory".to_owned());
        }
        let question =
            Question { path, variables: telling(surroundings.variables), names: names.clone() };
        if let Some(answer) = self.answers.get(&question) {
            return answer.clone();
        }
        let name = question.name();
        let remembered = if question.is_shim() { None } else { self.remembered(&name) };
        let answer = match remembered {
            Some(answer) => Ok(answer),
            None => question.ask(surroundings).map(|memo| {
                self.remember(&name, &memo);
                memo.answer
            }),
        };
        self.answers.insert(question, answer.clone());
        answer
    }

    fn remembered(&self, name: &Digest) -> Option<Answer> {
        let memo = self.catalog.recall(MEMOS, name.as_bytes()).ok()??;
        let memo: Memo = serde_json::from_slice(&memo).ok()?;
        memo.is_valid().then_some(memo.answer)
    }

    /// A memo that cannot be kept costs the next run a question.
    fn remember(&self, name: &Digest, memo: &Memo) {
        if let Ok(body) = serde_json::to_vec(memo) {
            _ = self.catalog.remember(MEMOS, &[(name.as_bytes(), &body)]);
        }
    }
}

impl Question {
    /// What its answer is remembered by.
    fn name(&self) -> Digest {
        let passed = PLACES.map(|name| (name, std::env::var_os(name)));
        let whole = format!("{QUESTION}\0{self:?}\0{passed:?}");
        Digest::of_blob(whole.as_bytes())
    }

    /// Whether the program chooses an interpreter each time (pyenv, asdf, mise): nothing that
    /// could be looked at changes with the choice.
    fn is_shim(&self) -> bool {
        self.path.parent().and_then(Path::file_name).is_some_and(|above| above == "shims")
    }

    fn ask(&self, surroundings: Surroundings<'_>) -> Result<Memo, String> {
        // Taken before the answer: what changes meanwhile makes the memo worthless, not wrong.
        let began = SystemTime::now();
        let settled = |path: &Path| identity(path).filter(|found| found.is_settled(began));
        let own = [self.path.clone(), self.path.with_file_name("../pyvenv.cfg")];
        let mut stands_on: Vec<_> =
            own.map(|path| (settled(&path), path)).map(|(at, path)| (path, at)).into();
        let mut process = Command::new(&self.path);
        process.args(["-c", QUESTION]).args(&self.names).current_dir("/").stdin(Stdio::null());
        // What lies beside the operation file was looked for already.
        surround(&mut process, surroundings.variables, "".as_ref());
        let said = process.output().map_err(|error| error.to_string())?;
        if !said.status.success() {
            let errors = String::from_utf8_lossy(&said.stderr);
            return Err(errors.lines().last().unwrap_or("it failed").to_owned());
        }
        let mut answer = Answer::default();
        for line in String::from_utf8_lossy(&said.stdout).lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["place", place] => {
                    let place = PathBuf::from(place);
                    let found = settled(&place);
                    stands_on.push((place, found));
                }
                ["package", name, found] => answer.add(name, found),
                ["root", place] => answer.roots.push(PathBuf::from(place)),
                _ => {}
            }
        }
        Ok(Memo { answer, stands_on })
    }
}

/// The variables among these that say where packages are.
fn telling(variables: &[(String, Option<String>)]) -> Vec<(String, Option<String>)> {
    let tells = |name: &str| name.starts_with("PYTHON") || PLACES.contains(&name);
    variables.iter().filter(|(name, _)| tells(name)).cloned().collect()
}

/// The program that a command names, as the system finds it.
fn found(program: &str, surroundings: Surroundings<'_>) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(surroundings.base.join(program));
    }
    let declared = surroundings.variables.iter().find(|(name, _)| name == "PATH");
    let places = match declared {
        Some((_, value)) => value.clone()?.into(),
        None => std::env::var_os("PATH")?,
    };
    variables::program(program, &places)
}

/// What the filesystem says of a file or directory, if it is there.
fn identity(path: &Path) -> Option<StatIdentity> {
    path.metadata().ok().map(|found| StatIdentity::of(&found))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, File};
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_memo_is_void_once_something_was_replaced_whatever_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("python3"), directory.path().join("new"));
        for path in [&path, &new] {
            fs::write(path, "3.12").unwrap();
            File::open(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        let stands_on = vec![(path.clone(), identity(&path)), (directory.path().join("no"), None)];
        let memo = Memo { answer: Answer::default(), stands_on };
        assert!(memo.is_valid());
        fs::rename(new, path).unwrap();
        assert!(!memo.is_valid());
    }

    #[test]
    fn an_answer_stands_on_modules_that_belong_to_no_package() {
        let directory = tempfile::tempdir().unwrap();
        let site = directory.path().join("site-packages");
        fs::create_dir_all(site.join("whole/within")).unwrap();
        for file in ["lone.py", "whole/__init__.py", "whole/within/table.csv"] {
            fs::write(site.join(file), "").unwrap();
        }
        let python = variables::program("python3", &std::env::var_os("PATH").unwrap()).unwrap();
        let variables = vec![("PYTHONPATH".to_owned(), Some(site.to_str().unwrap().to_owned()))];
        let names = ["lone".to_owned(), "whole".to_owned()].into();
        let question = Question { path: python, variables: variables.clone(), names };
        let base = directory.path();
        let memo = question.ask(Surroundings { base, variables: &variables }).unwrap();
        for place in ["", "lone.py", "whole", "whole/__init__.py", "whole/within/table.csv"] {
            let place = site.join(place);
            assert!(memo.stands_on.iter().any(|(path, _)| *path == place), "{place:?}");
        }
    }
}
