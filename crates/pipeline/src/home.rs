//! Where a command finds its code: in a copy of what counts, or where it is if it does not count.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::AttemptError;
use crate::mirror::{Mirror, Mirrors, Snapshot};

/// How many things a command missed are told.
const TOLD: usize = 5;

/// Where a command finds its code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// The files to be copied; `None` if it is run from where it is.
    pub(crate) snapshot: Option<Snapshot>,
    /// Where in the directory of the command files of the project are found.
    pub(crate) links: Vec<(String, PathBuf)>,
    /// Where modules are looked for beside the directory of the operation file.
    pub(crate) roots: Vec<PathBuf>,
    /// Environments of Python, which are linked as they are.
    pub(crate) environments: Vec<(String, PathBuf)>,
    /// Files that the command names by paths from the root: they are run from where they are.
    pub(crate) absolute: Vec<PathBuf>,
    /// Programs on the `PATH` that count: they, too, are run from where they are.
    pub(crate) programs: Vec<PathBuf>,
    /// What does not count of it and may have to, for a person.
    pub(crate) notes: Vec<String>,
}

/// The code of one attempt.
pub(crate) struct Home {
    base: PathBuf,
    /// Where modules are looked for besides.
    roots: Vec<PathBuf>,
    copies: Copies,
}

enum Copies {
    /// It counts, and this holds all of it.
    Mirror(Mirror),
    /// It counts, and there is none.
    Nothing,
    /// It does not count.
    Project,
}

impl Home {
    /// The code of a command.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    pub(crate) fn of(
        placement: &Placement,
        base: &Path,
        mirrors: &Mirrors,
    ) -> Result<Self, AttemptError> {
        let copies = match &placement.snapshot {
            None => Copies::Project,
            Some(snapshot) if snapshot.files.is_empty() => Copies::Nothing,
            Some(snapshot) => Copies::Mirror(mirrors.of(snapshot)?),
        };
        Ok(Self { base: base.to_owned(), roots: placement.roots.clone(), copies })
    }

    /// Where the command finds a file of the project.
    pub(crate) fn place(&self, path: &Path) -> PathBuf {
        match &self.copies {
            Copies::Mirror(mirror) => mirror.place(path),
            Copies::Nothing | Copies::Project => path.to_owned(),
        }
    }

    /// Where the command finds an input that may be a script, too.
    pub(crate) fn of_input(&self, path: &Path) -> PathBuf {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let copy = self.place(&real);
        if copy.is_file() { copy } else { path.to_owned() }
    }

    /// Where Python looks for modules.
    pub(crate) fn python_path(&self, variables: &[(String, Option<String>)]) -> OsString {
        let declared = variables.iter().find(|(name, _)| name == "PYTHONPATH");
        let mut places: Vec<PathBuf> = self.roots.iter().map(|root| self.place(root)).collect();
        match declared {
            Some((_, value)) => {
                let value = value.as_deref().unwrap_or_default();
                let entries: Vec<_> = std::env::split_paths(value).collect();
                places.extend(entries.iter().map(|entry| self.place(entry)));
                places.extend(entries);
            }
            None if matches!(self.copies, Copies::Nothing) => {}
            None => places.insert(0, self.place(&self.base)),
        }
        let mut seen = BTreeSet::new();
        places.retain(|place| !place.as_os_str().is_empty() && seen.insert(place.clone()));
        std::env::join_paths(places).unwrap_or_default()
    }

    /// Whether the command has left its code as it was.
    pub(crate) fn check(&self) -> Result<(), AttemptError> {
        match &self.copies {
            Copies::Mirror(mirror) if !mirror.is_whole() => {
                Err(AttemptError::Overwrote { what: "its code".to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// What a command that failed may have missed: what it names in its log, is in the project
    /// and was not there.
    pub(crate) fn missed(&self, log: &str, attempt: &Path) -> String {
        let words = log.split(|it: char| it.is_whitespace() || "'\"`:;,()[]".contains(it));
        let mut missed: BTreeSet<String> = words
            .filter(|word| !word.is_empty())
            .filter_map(|word| self.absent(Path::new(word), attempt))
            .collect();
        for module in log.lines().filter_map(|line| line.split("No module named '").nth(1)) {
            let name = module.split(['.', '\'']).next().unwrap_or_default();
            let files = [format!("{name}.py"), name.to_owned()];
            missed.extend(files.into_iter().filter(|file| self.base.join(file).exists()));
        }
        if missed.is_empty() || matches!(self.copies, Copies::Project) {
            return String::new();
        }
        let told: Vec<_> = missed.into_iter().take(TOLD).map(|name| format!("`{name}`")).collect();
        format!(
            "{}: in the project, but not declared, so it is not there for the command: name it in `code` or `inputs`",
            told.join(", ")
        )
    }

    /// The name of something in the project that is not there for the command.
    fn absent(&self, word: &Path, attempt: &Path) -> Option<String> {
        let path = match &self.copies {
            Copies::Mirror(mirror) => {
                word.strip_prefix(mirror.root()).map(|it| Path::new("/").join(it))
            }
            Copies::Nothing | Copies::Project => Ok(word.to_owned()),
        };
        let path = path.as_deref().unwrap_or(word);
        let path = self.base.join(path.strip_prefix(attempt).unwrap_or(path));
        let name = path.strip_prefix(&self.base).ok()?;
        let is_there = attempt.join(name).exists()
            || matches!(&self.copies, Copies::Mirror(mirror) if mirror.place(&path).exists());
        let is_absent = path != self.base && path.exists() && !is_there;
        is_absent.then(|| name.display().to_string())
    }
}
