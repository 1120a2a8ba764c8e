//! Which packages an interpreter would import, asked of the interpreter itself.
//!
//! An interpreter takes a tenth of a second to answer, so the catalog remembers what it said, with the
//! times of change of everything the answer stands on: the interpreter, and each directory it
//! finds packages in. Whatever installs, upgrades or removes a package changes one of these.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thrifty_engine::catalog::Catalog;
use thrifty_key::Digest;

use crate::error::CodeError;

/// Prints the directories in which the interpreter finds packages, each behind an empty name; then its
/// version, then for each name given that is not of the standard library the distributions it
/// comes from, with their versions.
const QUESTION: &str = "\
import importlib.metadata as metadata, sys
for place in sys.path:
    print('', place, sep='\\t')
print('python', '%d.%d' % sys.version_info[:2], sep='\\t')
names = [name for name in sys.argv[1:] if name not in sys.stdlib_module_names]
providers = metadata.packages_distributions() if names else {}
for name in names:
    found = sorted({each + ' ' + metadata.version(each) for each in providers.get(name, [])})
    print(name, ', '.join(found) or 'not installed', sep='\\t')
";

/// The table of memos.
const MEMOS: &str = "interpreters";

/// An interpreter, and the names it is asked for.
type Question = (PathBuf, BTreeSet<String>);
/// Names, each with what was found.
type Answer = Vec<(String, String)>;

/// What interpreters answered, each asked once for the same names.
pub(crate) struct Interpreters {
    catalog: Arc<dyn Catalog>,
    answers: BTreeMap<Question, Answer>,
}

/// An answer, and what it stands on.
#[derive(Serialize, Deserialize)]
struct Memo {
    answer: Answer,
    stands_on: Vec<(PathBuf, Option<u64>)>,
}

impl Interpreters {
    /// Interpreters whose answers a catalog remembers.
    pub(super) fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog, answers: BTreeMap::new() }
    }

    /// The version of an interpreter and the packages behind these names, as pairs.
    ///
    /// # Errors
    ///
    /// [`CodeError::Interpreter`] if it cannot be run.
    pub(super) fn packages(
        &mut self,
        program: &str,
        names: &BTreeSet<String>,
    ) -> Result<Answer, CodeError> {
        let failed = |reason: &str| CodeError::Interpreter {
            program: program.to_owned(),
            reason: reason.to_owned(),
        };
        let path = found(program).ok_or_else(|| failed("there is no such program"))?;
        let question = (path, names.clone());
        if let Some(answer) = self.answers.get(&question) {
            return Ok(answer.clone());
        }
        let answer = match self.remembered(&question) {
            Some(answer) => answer,
            None => {
                let memo = ask(&question).map_err(|reason| failed(&reason))?;
                self.remember(&question, &memo);
                memo.answer
            }
        };
        self.answers.insert(question, answer.clone());
        Ok(answer)
    }

    fn remembered(&self, question: &Question) -> Option<Answer> {
        let memo = self.catalog.recall(MEMOS, name_of(question).as_bytes()).ok()??;
        let memo: Memo = serde_json::from_slice(&memo).ok()?;
        memo.stands_on.iter().all(|(path, time)| changed_at(path) == *time).then_some(memo.answer)
    }

    /// A memo that cannot be kept costs the next run a question.
    fn remember(&self, question: &Question, memo: &Memo) {
        if let Ok(body) = serde_json::to_vec(memo) {
            _ = self.catalog.remember(MEMOS, &[(name_of(question).as_bytes(), &body)]);
        }
    }
}

fn name_of((path, names): &Question) -> Digest {
    let mut text = path.as_os_str().as_encoded_bytes().to_vec();
    for name in names {
        text.push(0);
        text.extend(name.as_bytes());
    }
    Digest::of_blob(&text)
}

fn ask((path, names): &Question) -> Result<Memo, String> {
    // Taken before the answer: what changes meanwhile makes the memo worthless, not wrong.
    let own = [path.clone(), path.with_file_name("../pyvenv.cfg")];
    let mut stands_on: Vec<_> =
        own.map(|path| (changed_at(&path), path)).map(|(at, path)| (path, at)).into();
    let began = SystemTime::now();
    let said = Command::new(path)
        .args(["-I", "-c", QUESTION])
        .args(names)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if !said.status.success() {
        let errors = String::from_utf8_lossy(&said.stderr);
        return Err(errors.lines().last().unwrap_or("it failed").to_owned());
    }
    let lines = String::from_utf8_lossy(&said.stdout);
    let (places, answer): (Vec<_>, Vec<_>) = lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .partition(|(name, _)| name.is_empty());
    for (_, place) in places {
        let place = PathBuf::from(place);
        let at = changed_at(&place).filter(|at| *at < nanoseconds(began));
        stands_on.push((place, at));
    }
    let answer = answer.into_iter().map(|(name, found)| (name.to_owned(), found.to_owned()));
    Ok(Memo { answer: answer.collect(), stands_on })
}

/// The program that a command names, as the system finds it.
fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return std::path::absolute(program).ok();
    }
    let places = std::env::var_os("PATH")?;
    std::env::split_paths(&places).map(|place| place.join(program)).find(|path| path.is_file())
}

/// When something was changed, in nanoseconds since 1970; `None` if it is not there.
fn changed_at(path: &Path) -> Option<u64> {
    path.metadata().and_then(|found| found.modified()).ok().map(nanoseconds)
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
