//! Looking at places again.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::RwLock;
use rustix::fs::Access;
use thrifty_key::{Context, Digest, Hasher};
use thrifty_store::StatIdentity;
use thrifty_store::scan::{self, Memo};

use super::{Aspect, Change, Observation, Observed, Place, Right, State};

/// Reads an environment variable as bodies see it.
pub type ReadVariable = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;

/// Reads an entry of the mappings that the call of this thread was given; `None` if it was given
/// none of that name.
pub type ReadParameter = dyn Fn(Aspect, &str) -> Option<State> + Send + Sync;

/// Contents remembered at most; then all are forgotten.
const REMEMBERED: usize = 100_000;

/// What bodies of this process see around them: files, directories and variables, from the
/// working directory and the root of the project.
///
/// An unchanged file costs a stat. The digest of a file is remembered by its [`StatIdentity`],
/// here for this process and in the memo for all, and only once its last change is old enough
/// that a later one would show; until then the file is read each time.
pub struct Surroundings {
    root: Option<PathBuf>,
    variable: Box<ReadVariable>,
    parameter: Box<ReadParameter>,
    memo: Arc<dyn Memo>,
    contents: RwLock<HashMap<StatIdentity, Digest>>,
}

impl Surroundings {
    /// The surroundings of a process.
    pub fn new(root: Option<PathBuf>, variable: Box<ReadVariable>, memo: Arc<dyn Memo>) -> Self {
        let parameter = Box::new(|_, _: &str| None);
        Self { root, variable, parameter, memo, contents: RwLock::default() }
    }

    /// The same, where calls are given mappings to read from.
    #[must_use]
    pub fn with_parameters(self, parameter: Box<ReadParameter>) -> Self {
        Self { parameter, ..self }
    }

    /// Surroundings without a project, variables as the system has them.
    pub fn bare(memo: Arc<dyn Memo>) -> Self {
        let variable = |name: &str| std::env::var_os(name).map(|value| value.as_bytes().to_vec());
        Self::new(None, Box::new(variable), memo)
    }

    /// The place of a path, as it was given.
    ///
    /// A path below the root is taken for one that the code made from where it lies itself:
    /// another checkout looks below its own root.
    pub fn place(&self, path: &str) -> Place {
        if !path.starts_with('/') {
            return Place::Working(path.to_owned());
        }
        let below = self.root.as_ref().and_then(|root| Path::new(path).strip_prefix(root).ok());
        match below.and_then(Path::to_str) {
            Some(below) => Place::Project(below.to_owned()),
            None => Place::Absolute(path.to_owned()),
        }
    }

    /// Where a place is in this process; `None` for one in a project, if this is none.
    pub fn path(&self, place: &Place) -> Option<PathBuf> {
        Some(match place {
            Place::Absolute(path) => PathBuf::from(path),
            Place::Working(path) if path.is_empty() => PathBuf::from("."),
            Place::Working(path) => PathBuf::from(path),
            Place::Project(path) => self.root.as_ref()?.join(path),
        })
    }

    /// What is there now; `None` if that cannot be told.
    pub fn state(&self, what: &Observed) -> Option<State> {
        match what {
            Observed::File(place) => self.file(&self.path(place)?),
            Observed::Presence(place) => presence(&self.path(place)?),
            Observed::Listing(place) => self.listing(&self.path(place)?),
            Observed::Permission(right, place) => Some(permission(*right, &self.path(place)?)),
            Observed::Variable(name) => {
                let value = (self.variable)(name);
                Some(value.map_or(State::Absent, |value| found("variable", &value)))
            }
            Observed::WorkingDirectory => {
                let path = std::env::current_dir().ok()?;
                Some(found("working directory", path.as_os_str().as_bytes()))
            }
            // What another call was given is not what this one was: it never holds, and what is
            // stored for it stays.
            Observed::Parameter(aspect, path) => {
                Some((self.parameter)(*aspect, path).unwrap_or_else(|| found("no parameter", b"")))
            }
        }
    }

    fn file(&self, path: &Path) -> Option<State> {
        let metadata = match look(path) {
            Ok(Some(metadata)) => metadata,
            Ok(None) => return Some(State::Absent),
            Err(_) => return None,
        };
        if metadata.is_dir() {
            return Some(found("directory", b""));
        }
        let read = || scan::file(path, &*self.memo).ok().map(|file| file.digest);
        // What is neither is not read: a pipe would wait, a device has no content.
        metadata.is_file().then(|| self.content(path, &metadata, read))?
    }

    fn listing(&self, path: &Path) -> Option<State> {
        match look(path) {
            Ok(Some(metadata)) if metadata.is_dir() => {
                self.content(path, &metadata, || names(path).ok())
            }
            Ok(Some(_)) => Some(found("no directory", b"")),
            Ok(None) => Some(State::Absent),
            Err(_) => None,
        }
    }

    /// The digest of what has these metadata, read only if it is not remembered.
    fn content(
        &self,
        path: &Path,
        metadata: &Metadata,
        read: impl FnOnce() -> Option<Digest>,
    ) -> Option<State> {
        let identity = StatIdentity::of(metadata);
        if let Some(digest) = self.contents.read().get(&identity) {
            return Some(State::Digest(*digest));
        }
        let digest = read()?;
        let after = look(path).ok()??;
        if StatIdentity::of(&after) != identity {
            return None;
        }
        if identity.is_lasting(SystemTime::now()) {
            let mut contents = self.contents.write();
            if contents.len() >= REMEMBERED {
                contents.clear();
            }
            contents.insert(identity, digest);
        }
        Some(State::Digest(digest))
    }
}

/// What is there, or that nothing is.
fn look(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether something is there, which kind of thing, and where it leads if it is a link.
fn presence(path: &Path) -> Option<State> {
    let link = fs::read_link(path).ok();
    let kind = match look(path).ok()? {
        None if link.is_none() => return Some(State::Absent),
        None => "nothing",
        Some(metadata) if metadata.is_file() => "file",
        Some(metadata) if metadata.is_dir() => "directory",
        Some(_) => "neither file nor directory",
    };
    let target = link.unwrap_or_default();
    let content = [kind.as_bytes(), b"\0", target.as_os_str().as_bytes()].concat();
    Some(found("presence", &content))
}

/// Whether this process may do that with what is there.
fn permission(right: Right, path: &Path) -> State {
    if let Ok(None) = look(path) {
        return State::Absent;
    }
    let access = match right {
        Right::Read => Access::READ_OK,
        Right::Write => Access::WRITE_OK,
        Right::Execute => Access::EXEC_OK,
    };
    let is_granted = rustix::fs::access(path, access).is_ok();
    found("permission", if is_granted { b"granted" } else { b"denied" })
}

fn found(kind: &str, content: &[u8]) -> State {
    let mut hasher = Hasher::new(Context::Value);
    State::Digest(hasher.framed(b"thrifty observed").framed(kind.as_bytes()).raw(content).finish())
}

/// The digest of the names in a directory, and of what kind each is.
fn names(path: &Path) -> io::Result<Digest> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = if kind.is_dir() {
            b'd'
        } else if kind.is_symlink() {
            b'l'
        } else {
            b'f'
        };
        names.push((entry.file_name(), kind));
    }
    names.sort_unstable();
    let mut hasher = Hasher::new(Context::Value);
    hasher.framed(b"thrifty listing").count(names.len());
    for (name, kind) in &names {
        hasher.framed(name.as_bytes()).tag(*kind);
    }
    Ok(hasher.finish())
}

/// One look around: each place is looked at once, however many entries observed it.
///
/// It must not outlive the moment. An operation of a run may write what another one observed, so
/// every wave of lookups takes a new glance; within a wave all that is looked up was ready before
/// the first look.
pub struct Glance<'a> {
    surroundings: &'a Surroundings,
    seen: HashMap<Observed, Option<State>>,
}

impl<'a> Glance<'a> {
    /// A look that begins now.
    pub fn new(surroundings: &'a Surroundings) -> Self {
        Self { surroundings, seen: HashMap::new() }
    }

    /// The first of the observations that does not hold; `None` if all do.
    pub fn first_change(&mut self, observations: &[Observation]) -> Option<Change> {
        observations.iter().find_map(|it| Change::of(it, self.state(&it.what)))
    }

    /// All that do not hold.
    pub fn changes(&mut self, observations: &[Observation]) -> Vec<Change> {
        observations.iter().filter_map(|it| Change::of(it, self.state(&it.what))).collect()
    }

    /// What was observed, as it is now; `None` if something of it cannot be told.
    pub fn again(&mut self, observations: &[Observation]) -> Option<Vec<Observation>> {
        let now = |it: &Observation| {
            Some(Observation { what: it.what.clone(), state: self.state(&it.what)? })
        };
        observations.iter().map(now).collect()
    }

    fn state(&mut self, what: &Observed) -> Option<State> {
        if let Some(seen) = self.seen.get(what) {
            return *seen;
        }
        let state = self.surroundings.state(what);
        self.seen.insert(what.clone(), state);
        state
    }
}
