//! Which packages an interpreter would import, asked of the interpreter itself.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use crate::error::CodeError;

/// Prints the interpreter's version, then for each name given that is not of the standard library
/// the distributions it comes from, with their versions.
const QUESTION: &str = "\
import importlib.metadata as metadata, sys
print('python', '%d.%d' % sys.version_info[:2], sep='\\t')
names = [name for name in sys.argv[1:] if name not in sys.stdlib_module_names]
providers = metadata.packages_distributions() if names else {}
for name in names:
    found = sorted({each + ' ' + metadata.version(each) for each in providers.get(name, [])})
    print(name, ', '.join(found) or 'not installed', sep='\\t')
";

/// An interpreter, and the names it is asked for.
type Question = (String, BTreeSet<String>);
/// Names, each with what was found.
type Answer = Vec<(String, String)>;

/// What interpreters answered, each asked once for the same names.
#[derive(Default)]
pub(crate) struct Interpreters {
    answers: BTreeMap<Question, Answer>,
}

impl Interpreters {
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
        let question = (program.to_owned(), names.clone());
        if let Some(answer) = self.answers.get(&question) {
            return Ok(answer.clone());
        }
        let failed =
            |reason: String| CodeError::Interpreter { program: program.to_owned(), reason };
        let answer = Command::new(program)
            .args(["-I", "-c", QUESTION])
            .args(names)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        if !answer.status.success() {
            let said = String::from_utf8_lossy(&answer.stderr);
            return Err(failed(said.lines().last().unwrap_or("it failed").to_owned()));
        }
        let lines = String::from_utf8_lossy(&answer.stdout);
        let pairs: Vec<_> = lines
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(name, found)| (name.to_owned(), found.to_owned()))
            .collect();
        self.answers.insert(question, pairs.clone());
        Ok(pairs)
    }
}
