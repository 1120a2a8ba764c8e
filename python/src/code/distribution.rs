//! Which installed distribution a top-level module belongs to, without `importlib.metadata`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A distribution: its name, normalised, and its version.
pub(super) type Distribution = (String, String);

/// Distributions whose modules have another name: tried before all records are read, and
/// believed only if the record says so.
const ALIASES: [(&str, &str); 12] = [
    ("sklearn", "scikit_learn"),
    ("yaml", "pyyaml"),
    ("PIL", "pillow"),
    ("cv2", "opencv_python"),
    ("cv2", "opencv_python_headless"),
    ("dateutil", "python_dateutil"),
    ("bs4", "beautifulsoup4"),
    ("skimage", "scikit_image"),
    ("dotenv", "python_dotenv"),
    ("attr", "attrs"),
    ("git", "gitpython"),
    ("jwt", "pyjwt"),
];

/// One directory that modules are imported from.
struct Site {
    /// Normalised name, version and metadata directory.
    installed: Vec<(Distribution, PathBuf)>,
    /// What was asked for before.
    answers: Mutex<HashMap<String, BTreeSet<Distribution>>>,
}

static SITES: LazyLock<Mutex<HashMap<PathBuf, Arc<Site>>>> = LazyLock::new(Mutex::default);

/// The distributions in this directory that install the top-level module `top`.
pub(super) fn providing(directory: &Path, top: &str) -> BTreeSet<Distribution> {
    let site = {
        let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
        sites.entry(directory.to_owned()).or_insert_with(|| Arc::new(Site::read(directory))).clone()
    };
    let mut answers = site.answers.lock().unwrap_or_else(PoisonError::into_inner);
    answers.entry(top.to_owned()).or_insert_with(|| site.find(directory, top)).clone()
}

impl Site {
    fn read(directory: &Path) -> Self {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let installed = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let stem =
                name.strip_suffix(".dist-info").or_else(|| name.strip_suffix(".egg-info"))?;
            let mut fields = stem.split('-');
            let distribution = (normalised(fields.next()?), fields.next()?.to_owned());
            Some((distribution, entry.path()))
        });
        let mut installed: Vec<_> = installed.collect();
        installed.sort();
        Self { installed, answers: Mutex::default() }
    }

    fn find(&self, directory: &Path, top: &str) -> BTreeSet<Distribution> {
        let is_package = directory.join(top).join("__init__.py").exists();
        let own = normalised(top);
        let aliases =
            ALIASES.iter().filter(|(alias, _)| *alias == top).map(|(_, name)| (*name).to_owned());
        for candidate in std::iter::once(own.clone()).chain(aliases).filter(|_| is_package) {
            let sure = candidate == own;
            let mut found = self.installed.iter().filter(|((name, _), _)| *name == candidate);
            if let Some((distribution, _)) =
                found.find(|(_, metadata)| sure || installs(metadata, top))
            {
                return BTreeSet::from([distribution.clone()]);
            }
        }
        let installing = self.installed.iter().filter(|(_, metadata)| installs(metadata, top));
        installing.map(|(distribution, _)| distribution.clone()).collect()
    }
}

/// Whether the metadata of a distribution name a top-level module.
fn installs(metadata: &Path, top: &str) -> bool {
    if let Ok(names) = fs::read_to_string(metadata.join("top_level.txt")) {
        return names.lines().any(|line| line.trim() == top);
    }
    let Ok(record) = fs::read_to_string(metadata.join("RECORD")) else {
        return false;
    };
    record
        .lines()
        .any(|line| line.strip_prefix(top).is_some_and(|rest| rest.starts_with(['/', '.', ','])))
}

/// A distribution name as the packaging standards compare it.
fn normalised(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if normal.ends_with('_') => {}
            '-' | '_' | '.' => normal.push('_'),
            _ => normal.extend(letter.to_lowercase()),
        }
    }
    normal
}
