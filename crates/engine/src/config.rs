//! The configuration: where the cache lives, who shares it, and how runs behave.
//!
//! Each value comes from the most specific of: a `THRIFTY_*` variable, `thrifty.toml` or
//! `[tool.thrifty]` in `pyproject.toml` in the nearest directory upward that has one, a default.
//! Every value remembers where it came from, for `thrifty config`.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::closest::did_you_mean;
use crate::policy::Mode;
use crate::reserve::Lease;
use crate::seed::Seed;
use crate::units::{parse_duration, parse_size};

mod file;

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An environment variable.
    Variable(&'static str),
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// The name of the project's root directory.
    Directory(PathBuf),
    /// Nobody chose.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Directory(path) => write!(f, "directory {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Where the bodies of operations run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Executor {
    /// Threads of this process.
    #[default]
    Threads,
    /// Processes of this machine.
    Processes,
}

impl Executor {
    /// All executors.
    pub const ALL: [Self; 2] = [Self::Threads, Self::Processes];

    /// The word in configuration and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Processes => "processes",
        }
    }

    /// The executor of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|executor| executor.word() == word)
    }
}

/// All configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The directory of the embedded cache.
    pub home: Setting<PathBuf>,
    /// The project whose entries are shared.
    pub project: Setting<String>,
    /// The domain within the project.
    pub domain: Setting<String>,
    /// How operations use the cache, if the configuration says so.
    pub cache: Setting<Option<Mode>>,
    /// Whether what bodies read while they run is observed.
    pub observe: Setting<bool>,
    /// Where the bodies of operations run.
    pub executor: Setting<Executor>,
    /// How many operations run at once; `None` for one a core.
    pub workers: Setting<Option<usize>>,
    /// The size, in bytes, that `thrifty gc` cuts the cache down to; `None` for any.
    pub budget: Setting<Option<u64>>,
    /// The size, in bytes, that it cuts the entries of this project down to; `None` for any.
    pub project_budget: Setting<Option<u64>>,
    /// The seed of all operations that state none; `None` for none.
    pub seed: Setting<Option<Seed>>,
    /// How long a reservation outlives the last sign of life of its holder.
    pub lease: Setting<Lease>,
}

/// The configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A file is there and cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file is no TOML.
    #[error("{}:{line}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A file has a field that does not exist.
    #[error("{}:{line}: unknown field `{field}`; {hint}", path.display())]
    UnknownField {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        field: String,
        /// The closest names.
        hint: String,
    },
    /// A value is not allowed.
    #[error("{source_text}: `{field}` must be {allowed}, not {found}")]
    Value {
        /// Where the value stands.
        source_text: String,
        /// The field.
        field: &'static str,
        /// What is allowed.
        allowed: &'static str,
        /// What is there.
        found: String,
    },
    /// The working directory is gone, and nobody knows where it was.
    #[error(
        "cannot tell the working directory ({reason}), and so not which thrifty.toml counts: \
         change to a directory that is there"
    )]
    NoDirectory {
        /// What the system said.
        reason: String,
    },
    /// There is no place for the cache.
    #[error("cannot tell where the user's cache directory is: set THRIFTY_HOME or HOME")]
    NoHome,
}

/// One field of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Home,
    Project,
    Domain,
    Cache,
    Observe,
    Executor,
    Workers,
    Budget,
    ProjectBudget,
    Seed,
    Lease,
}

impl Field {
    const ALL: [Self; 11] = [
        Self::Home,
        Self::Project,
        Self::Domain,
        Self::Cache,
        Self::Observe,
        Self::Executor,
        Self::Workers,
        Self::Budget,
        Self::ProjectBudget,
        Self::Seed,
        Self::Lease,
    ];

    /// Name in a file, variable, and what is allowed.
    const fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Home => ("home", "THRIFTY_HOME", "a directory, as text"),
            Self::Project => ("project", "THRIFTY_PROJECT", NAME),
            Self::Domain => ("domain", "THRIFTY_DOMAIN", NAME),
            Self::Cache => ("cache", "THRIFTY_CACHE", "`on`, `refresh`, `read-only` or `off`"),
            Self::Observe => ("observe", "THRIFTY_OBSERVE", "`true` or `false`"),
            Self::Executor => ("executor", "THRIFTY_EXECUTOR", "`threads` or `processes`"),
            Self::Workers => ("workers", "THRIFTY_WORKERS", "a whole number from 1 to 4096"),
            Self::Budget => ("budget", "THRIFTY_BUDGET", SIZE),
            Self::ProjectBudget => ("project_budget", "THRIFTY_PROJECT_BUDGET", SIZE),
            Self::Seed => ("seed", "THRIFTY_SEED", "a whole number from 0 to 9223372036854775807"),
            Self::Lease => ("lease", "THRIFTY_LEASE", "a duration from `1s` to `1m`"),
        }
    }

    const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Whether a file may give it as a number, and not only as text.
    const fn is_number(self) -> bool {
        matches!(self, Self::Workers | Self::Seed)
    }

    fn wrong(self, source: &Source, found: impl Into<String>) -> ConfigError {
        let (field, _, allowed) = self.facts();
        let (source_text, found) = (source.to_string(), found.into());
        ConfigError::Value { source_text, field, allowed, found }
    }
}

const SIZE: &str = "a size such as `500MB` or `20GB`";
const NAME: &str = "a name of 1 to 100 characters without `/` and control characters";

/// A value as text, before it is understood.
type Raw = Setting<String>;

/// The raw values, by field.
type Raws = [Option<Raw>; Field::ALL.len()];

/// What may be asked for an environment variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Settings {
    /// The configuration of this process: its environment and its working directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], naming the file and line or the variable.
    pub fn load() -> Result<Self, ConfigError> {
        Self::find(&working_directory()?, &|name| std::env::var_os(name))
    }

    /// The configuration in a directory with these variables. An empty variable counts as unset.
    ///
    /// # Errors
    ///
    /// As [`Settings::load`].
    pub fn find(directory: &Path, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let mut raws = file::read_nearest(directory)?;
        for (field, raw) in Field::ALL.into_iter().zip(&mut raws) {
            if let Some(set) = from_variable(field, variables)? {
                *raw = Some(set);
            }
        }
        let [
            home,
            project,
            domain,
            cache,
            observe,
            executor,
            workers,
            budget,
            project_budget,
            seed,
            lease,
        ] = raws;
        Ok(Self {
            home: home.map_or_else(default_home, |raw| Ok(at_home(raw, directory)))?,
            project: project
                .map_or_else(|| Ok(default_project(directory)), |raw| name(Field::Project, raw))?,
            domain: domain.map_or_else(
                || Ok(unset("development".to_owned())),
                |raw| name(Field::Domain, raw),
            )?,
            cache: optional(Field::Cache, cache, Mode::from_word)?,
            observe: yes_unless(optional(Field::Observe, observe, truth)?),
            executor: or_default(optional(Field::Executor, executor, Executor::from_word)?),
            workers: optional(Field::Workers, workers, |text| {
                text.parse().ok().filter(|count| (1..=4096).contains(count))
            })?,
            budget: optional(Field::Budget, budget, |text| parse_size(text).ok())?,
            project_budget: optional(Field::ProjectBudget, project_budget, |text| {
                parse_size(text).ok()
            })?,
            seed: optional(Field::Seed, seed, Seed::from_text)?,
            lease: or_default(optional(Field::Lease, lease, |text| {
                Lease::new(parse_duration(text).ok()?)
            })?),
        })
    }
}

/// Where the working directory is, or was before it was removed: what is above it still counts.
fn working_directory() -> Result<PathBuf, ConfigError> {
    std::env::current_dir().or_else(|error| {
        let link = std::fs::read_link("/proc/self/cwd").ok();
        let before = link.as_deref().and_then(|link| link.to_str()?.strip_suffix(" (deleted)"));
        before.map(PathBuf::from).ok_or(ConfigError::NoDirectory { reason: error.to_string() })
    })
}

fn unset<T>(value: T) -> Setting<T> {
    Setting { value, source: Source::Default }
}

fn or_default<T: Default>(setting: Setting<Option<T>>) -> Setting<T> {
    Setting { value: setting.value.unwrap_or_default(), source: setting.source }
}

fn yes_unless(setting: Setting<Option<bool>>) -> Setting<bool> {
    Setting { value: setting.value.unwrap_or(true), source: setting.source }
}

/// Whether `THRIFTY_STRICT` asks that a cache that cannot be used be an error. Unlike what a
/// configuration says, a word that means nothing asks for it: it is not a time to be lenient.
pub fn is_strict(variables: Variables<'_>) -> bool {
    let off = ["", "0", "false", "no", "off"];
    let is_off = |value: OsString| off.iter().any(|word| value.eq_ignore_ascii_case(word));
    variables("THRIFTY_STRICT").is_some_and(|value| !is_off(value))
}

fn truth(word: &str) -> Option<bool> {
    match word {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn from_variable(field: Field, variables: Variables<'_>) -> Result<Option<Raw>, ConfigError> {
    let (_, variable, _) = field.facts();
    let source = Source::Variable(variable);
    match variables(variable) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => match value.into_string() {
            Ok(value) => Ok(Some(Setting { value, source })),
            Err(value) => Err(field.wrong(&source, format!("{value:?}, which is not UTF-8"))),
        },
    }
}

fn optional<T>(
    field: Field,
    raw: Option<Raw>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Setting<Option<T>>, ConfigError> {
    let Some(Setting { value, source }) = raw else {
        return Ok(unset(None));
    };
    match parse(value.trim()) {
        Some(value) => Ok(Setting { value: Some(value), source }),
        None => Err(field.wrong(&source, format!("{value:?}"))),
    }
}

fn name(field: Field, raw: Raw) -> Result<Raw, ConfigError> {
    if is_name(&raw.value) {
        Ok(raw)
    } else {
        Err(field.wrong(&raw.source, format!("{:?}", raw.value)))
    }
}

fn is_name(text: &str) -> bool {
    !text.trim().is_empty()
        && text.chars().count() <= 100
        && !text.contains(|c: char| c == '/' || c.is_control())
}

/// A relative home is relative to the file that names it, or to the working directory.
fn at_home(raw: Raw, directory: &Path) -> Setting<PathBuf> {
    let base = match &raw.source {
        Source::File(path, _) => path.parent().unwrap_or(directory),
        _ => directory,
    };
    let value = match raw.value.strip_prefix("~/") {
        Some(rest) => etcetera::home_dir().map(|home| home.join(rest)).ok(),
        None => None,
    };
    let value = value.unwrap_or_else(|| base.join(&raw.value));
    Setting { value, source: raw.source }
}

fn default_home() -> Result<Setting<PathBuf>, ConfigError> {
    use etcetera::BaseStrategy;
    let strategy = etcetera::choose_base_strategy().map_err(|_| ConfigError::NoHome)?;
    Ok(unset(strategy.cache_dir().join("thrifty")))
}

/// The root of the project that a directory belongs to: the nearest directory upward that has
/// `thrifty.toml`, `pyproject.toml` or a repository.
pub fn project_root(directory: &Path) -> Option<&Path> {
    const MARKS: [&str; 3] = ["thrifty.toml", "pyproject.toml", ".git"];
    let mut above = directory.ancestors();
    above.find(|directory| MARKS.iter().any(|mark| directory.join(mark).exists()))
}

fn default_project(directory: &Path) -> Setting<String> {
    let named = project_root(directory).and_then(|root| {
        let name = root.file_name()?.to_string_lossy().into_owned();
        is_name(&name).then(|| Setting { value: name, source: Source::Directory(root.to_owned()) })
    });
    named.unwrap_or_else(|| unset("default".to_owned()))
}

/// The error for a field that does not exist.
fn unknown_field(path: &Path, line: usize, field: &str) -> ConfigError {
    ConfigError::UnknownField {
        path: path.to_owned(),
        line,
        field: field.to_owned(),
        hint: did_you_mean(field, Field::ALL.map(Field::name)),
    }
}
