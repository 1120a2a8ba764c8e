//! What one body read.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use parking_lot::Mutex;
use thrifty_engine::Reason;
use thrifty_engine::annotations::Metric;
use thrifty_engine::catalog::Time;
use thrifty_engine::graph::Unstored;
use thrifty_engine::made_of::Parts;
use thrifty_engine::observed::{Observation, Observed, Place, Right, State, Surroundings};
use thrifty_store::StatIdentity;

use super::gathered::Gathered;
use super::note::Note;
use super::path::{self, Ignored};

/// How a path is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// Its content is read.
    Content,
    /// It is asked about: its size, its times.
    Facts,
    /// It is handed to native code, which may read it unseen, with all that is in it.
    Whole,
    /// It is asked whether it is there.
    Presence,
    /// Its names are listed.
    Listing,
    /// It is asked whether one may do that with it.
    Permission(Right),
}

impl Way {
    fn of(self, place: Place) -> Observed {
        match self {
            Self::Content | Self::Facts | Self::Whole => Observed::File(place),
            Self::Presence => Observed::Presence(place),
            Self::Listing => Observed::Listing(place),
            Self::Permission(right) => Observed::Permission(right, place),
        }
    }

    /// Whether it may be meant for what the body is about to write.
    const fn only_asks(self) -> bool {
        matches!(self, Self::Facts | Self::Whole | Self::Presence | Self::Permission(_))
    }
}

/// What one body read, while it runs.
pub struct Recorder {
    surroundings: Arc<Surroundings>,
    ignored: Arc<Ignored>,
    /// What the body was given by value, which its key holds.
    given: Vec<PathBuf>,
    began: SystemTime,
    working: PathBuf,
    has_moved: AtomicBool,
    is_over: AtomicBool,
    is_accompanied: AtomicBool,
    /// The mappings that the body, and those around it, were given to read from.
    roots: Vec<String>,
    /// What threads read that may work for any body, and so for any function that the body calls.
    of_others: OnceLock<Arc<Self>>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Paths as they were given that need no second look.
    given: HashSet<(Way, Vec<u8>)>,
    looks: BTreeMap<Observed, Look>,
    /// Directories that were opened: where they lie, and their names, as they were given.
    opened: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// What is known without looking again: variables, and what inner operations observed.
    known: BTreeMap<Observed, State>,
    own: Own,
    notes: BTreeSet<Note>,
    /// Why the result must not be stored: what was looked at in vain, and a sentence.
    problem: Option<(Observed, Unstored)>,
    /// What was measured in threads that the body started.
    metrics: Vec<Metric>,
    /// What operations were called for the body.
    made_of: Parts,
    /// When the first of their results expires.
    expires_at: Option<Time>,
}

/// What the body made itself.
#[derive(Default)]
struct Own {
    files: HashSet<PathBuf>,
    directories: HashSet<PathBuf>,
    variables: HashSet<String>,
}

/// One path that was looked at.
#[derive(Clone)]
struct Look {
    path: PathBuf,
    way: Way,
    found: Found,
}

/// What was there before it was read.
#[derive(Clone, Copy, PartialEq)]
enum Found {
    /// A file whose last change is so old that a later one would show.
    File(StatIdentity),
    /// This.
    State(State),
}

impl Recorder {
    /// The recorder of a body that begins now.
    pub(super) fn new(
        surroundings: Arc<Surroundings>,
        ignored: Arc<Ignored>,
        given: Vec<PathBuf>,
    ) -> Self {
        Self {
            surroundings,
            ignored,
            given,
            began: SystemTime::now(),
            working: std::env::current_dir().unwrap_or_default(),
            has_moved: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            is_accompanied: AtomicBool::new(false),
            roots: super::parameters::roots(),
            of_others: OnceLock::new(),
            seen: Mutex::default(),
        }
    }

    /// One for something else that runs now, which is given nothing.
    pub(super) fn beside(&self) -> Self {
        Self::new(Arc::clone(&self.surroundings), Arc::clone(&self.ignored), Vec::new())
    }

    /// The recorder of what threads read that may work for any body.
    pub(super) fn of_others(&self) -> Arc<Self> {
        Arc::clone(self.of_others.get_or_init(|| Arc::new(self.beside())))
    }

    /// What such threads read.
    pub(super) fn read_by_others(&self) -> Option<&Self> {
        self.of_others.get().map(|it| &**it)
    }

    /// Whether the body is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// The body is over.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// A thread that the body started measured this.
    pub(super) fn measure(&self, metric: Metric) {
        self.seen.lock().metrics.push(metric);
    }

    /// What such threads measured.
    pub(super) fn measured(&self) -> Vec<Metric> {
        std::mem::take(&mut self.seen.lock().metrics)
    }

    /// Another thread runs a body at the same time.
    pub(super) fn accompany(&self) {
        self.is_accompanied.store(true, Ordering::Release);
    }

    /// Whether another thread ran a body at the same time.
    pub(super) fn was_accompanied(&self) -> bool {
        self.is_accompanied.load(Ordering::Acquire)
    }

    /// The working directory is about to be left, perhaps; `is_relative` if what it is left for is
    /// given from it.
    pub(super) fn moved(&self, is_relative: bool) {
        let is_first = !self.has_moved.load(Ordering::Acquire);
        let mut hangs_on_it = is_relative;
        let mut seen = self.seen.lock();
        seen.given.clear();
        for names in seen.opened.values_mut() {
            hangs_on_it |= names.iter().any(|name| name.is_relative());
            *names = names.iter().map(|name| self.absolute(name)).collect();
        }
        drop(seen);
        if is_first && hangs_on_it {
            // The paths that are given from now on do not show that.
            self.working_directory();
        }
        self.has_moved.store(true, Ordering::Release);
    }

    /// A path is opened, perhaps that of a directory, which has a handle then.
    pub(super) fn opened(&self, given: &Path) {
        let absolute = self.absolute(given);
        if absolute.is_dir()
            && let Ok(place) = absolute.canonicalize()
        {
            self.seen.lock().opened.entry(place).or_default().insert(given.to_owned());
        }
    }

    /// The names of a directory, from those by which the body opened it, or one that it is in.
    pub(super) fn as_opened(&self, directory: &Path) -> Vec<PathBuf> {
        let seen = self.seen.lock();
        let names = directory.ancestors().find_map(|above| {
            let rest = directory.strip_prefix(above).ok()?;
            let names = seen.opened.get(above)?;
            Some(names.iter().map(|name| name.join(rest)).collect())
        });
        names.unwrap_or_default()
    }

    /// Whether a path, as it was given, needs no look.
    pub(super) fn knows(&self, way: Way, given: &Path) -> bool {
        self.seen.lock().given.contains(&(way, given.as_os_str().as_bytes().to_vec()))
    }

    /// Where a path that was given leads to.
    pub(super) fn absolute(&self, given: &Path) -> PathBuf {
        if given.is_absolute() || !self.has_moved.load(Ordering::Acquire) {
            return path::tidy(&self.working.join(given));
        }
        path::tidy(&std::env::current_dir().unwrap_or_default().join(given))
    }

    /// Whether what is at a path is no input, whoever reads it.
    pub(super) fn ignores(&self, absolute: &Path) -> bool {
        self.ignores_look(Way::Content, absolute)
    }

    /// Whether a look at a path tells no input, whoever takes it.
    pub(super) fn ignores_look(&self, way: Way, absolute: &Path) -> bool {
        let place = path::resolved(absolute);
        let looks_for = matches!(way, Way::Presence | Way::Listing | Way::Permission(_));
        let is_program = looks_for && self.ignored.may_be_program(&place);
        (!is_program && self.ignored.holds(&place))
            || self.given.iter().any(|given| path::is_within(&place, given))
            || self.is_own_place(absolute, &place)
            || self.is_made_for_now(&place)
    }

    fn is_own_place(&self, absolute: &Path, resolved: &Path) -> bool {
        let own = &self.seen.lock().own;
        own.has(absolute) || own.has(resolved)
    }

    /// Temporary files that came into being while the body ran.
    fn is_made_for_now(&self, absolute: &Path) -> bool {
        let created = || fs::metadata(absolute).and_then(|metadata| metadata.created());
        path::is_temporary(absolute) && created().is_ok_and(|created| created >= self.began)
    }

    /// A path is about to be read. `is_relative` if it was first given relative to the working
    /// directory.
    pub(super) fn look(&self, way: Way, given: &Path, absolute: &Path, is_relative: bool) {
        let Some(found) = self.found(way, absolute) else {
            return;
        };
        let what = match self.place(given, absolute, is_relative) {
            Some(place) => way.of(place),
            None => {
                let path = absolute.to_string_lossy().into_owned();
                let problem = format!("the path {path} is not valid UTF-8");
                let what = Observed::File(Place::Absolute(path));
                let problem = Unstored::unstorable(problem);
                self.seen.lock().problem.get_or_insert((what, problem));
                return;
            }
        };
        let mut seen = self.seen.lock();
        seen.given.insert((way, given.as_os_str().as_bytes().to_vec()));
        let look = Look { path: absolute.to_owned(), way, found };
        let known = seen.looks.entry(what).or_insert(look);
        if way == Way::Content {
            known.way = way;
        }
    }

    /// The content of a file is taken as a value, or of a directory with all that is in it.
    pub(super) fn take(&self, path: &Path, is_directory: bool) {
        let mut waiting = vec![(path::tidy(path), is_directory)];
        while let Some((path, is_directory)) = waiting.pop() {
            if self.ignores(&path) {
                continue;
            }
            if !is_directory {
                self.look(Way::Content, &path, &path, false);
                continue;
            }
            self.look(Way::Listing, &path, &path, false);
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| {
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                (entry.path(), is_directory)
            }));
        }
    }

    /// What is there now; `None` for what has no content of its own, such as a pipe.
    fn found(&self, way: Way, absolute: &Path) -> Option<Found> {
        let is_content = matches!(way, Way::Content | Way::Facts | Way::Whole);
        if is_content && let Ok(metadata) = fs::metadata(absolute) {
            let identity = StatIdentity::of(&metadata);
            if metadata.is_file() && identity.is_lasting(SystemTime::now()) {
                return Some(Found::File(identity));
            }
            // Opening a directory reads nothing.
            if metadata.is_dir() && way == Way::Content {
                return None;
            }
        }
        // The content itself if a second change of it would not show.
        let place = Place::Absolute(absolute.to_str().unwrap_or_default().to_owned());
        self.surroundings.state(&way.of(place)).map(Found::State)
    }

    fn place(&self, given: &Path, absolute: &Path, is_relative: bool) -> Option<Place> {
        let from_here = absolute.strip_prefix(&self.working).ok();
        let has_moved = self.has_moved.load(Ordering::Acquire);
        if !has_moved && given.is_relative() {
            return path::tidy(given).to_str().map(|path| Place::Working(path.to_owned()));
        }
        if !has_moved && is_relative {
            match from_here {
                Some(path) => return path.to_str().map(|path| Place::Working(path.to_owned())),
                None => self.working_directory(),
            }
        }
        absolute.to_str().map(|path| self.surroundings.place(path))
    }

    /// The path of the working directory is taken.
    pub(super) fn working_directory(&self) {
        self.know(Observed::WorkingDirectory);
    }

    /// A variable is read.
    pub(super) fn variable(&self, name: &str) {
        if !self.seen.lock().own.variables.contains(name) {
            self.know(Observed::Variable(name.to_owned()));
        }
    }

    /// A variable is read that the body itself sets to this where it is not there: that is no change
    /// of what was read.
    pub(super) fn variable_or(&self, name: &str, default: &str) {
        if !self.seen.lock().own.variables.contains(name) {
            self.know(Observed::Variable(format!("{name}={default}")));
        }
    }

    fn know(&self, what: Observed) {
        if self.seen.lock().known.contains_key(&what) {
            return;
        }
        if let Some(state) = self.surroundings.state(&what) {
            self.seen.lock().known.entry(what).or_insert(state);
        }
    }

    /// The body writes a file.
    pub(super) fn wrote(&self, absolute: PathBuf) {
        self.seen.lock().own.files.insert(absolute);
    }

    /// The body makes a directory.
    pub(super) fn made(&self, absolute: PathBuf) {
        self.seen.lock().own.directories.insert(absolute);
    }

    /// The body moves something.
    pub(super) fn renamed(&self, from: &Path, to: PathBuf) {
        let mut seen = self.seen.lock();
        if seen.own.directories.contains(from) {
            seen.own.directories.insert(to);
        } else if seen.own.has(from) {
            seen.own.files.insert(to);
        }
    }

    /// The body sets or deletes a variable.
    pub(super) fn set_variable(&self, name: String) {
        self.seen.lock().own.variables.insert(name);
    }

    /// The body does what cannot be followed.
    pub(super) fn note(&self, note: Note) {
        self.seen.lock().notes.insert(note);
    }

    /// What the body reads could not be told.
    pub(super) fn trouble(&self, trouble: &str) {
        let problem = format!("what the task reads could not be observed: {trouble}");
        let problem = (Observed::WorkingDirectory, Unstored::unstorable(problem));
        self.seen.lock().problem.get_or_insert(problem);
    }

    /// What an operation that the body asked for observed.
    pub(super) fn absorb(&self, observed: &[Observation]) {
        let mut seen = self.seen.lock();
        for it in observed {
            if self.is_own(&seen.own, &it.what) {
                continue;
            }
            match seen.known.insert(it.what.clone(), it.state) {
                Some(before) if before != it.state => seen.changed(&it.what),
                _ => {}
            }
        }
    }

    /// The body called these operations.
    pub(super) fn take_parts(&self, parts: &Parts) {
        self.seen.lock().made_of.merge(parts);
    }

    /// What operations were called for the body.
    pub(super) fn parts(&self) -> Parts {
        self.seen.lock().made_of.clone()
    }

    /// The body took a result that expires then.
    pub(super) fn expires(&self, at: Option<Time>) {
        self.seen.lock().expires(at);
    }

    fn is_own(&self, own: &Own, what: &Observed) -> bool {
        match what {
            Observed::File(place)
            | Observed::Listing(place)
            | Observed::Presence(place)
            | Observed::Permission(_, place) => {
                let path = self.surroundings.path(place);
                path.is_some_and(|path| own.has(&path::tidy(&self.working.join(path))))
            }
            Observed::Variable(name) => own.has_set(name),
            Observed::WorkingDirectory => false,
            Observed::Parameter(_, path) => self.made_mapping(path),
        }
    }

    /// Whether a mapping is of the body's own making: it was given none of that name.
    fn made_mapping(&self, path: &str) -> bool {
        let root = path.split('/').next().unwrap_or(path);
        !self.roots.iter().any(|known| known == root)
    }

    /// What a body read, made and took that ran for this one.
    pub(super) fn merge(&self, inner: &Self) {
        self.merge_reads(inner);
        let (inner, mut seen) = (inner.seen.lock(), self.seen.lock());
        let Own { files, directories, variables } = &inner.own;
        seen.own.files.extend(files.iter().cloned());
        seen.own.directories.extend(directories.iter().cloned());
        seen.own.variables.extend(variables.iter().cloned());
        // The results that it took are vouched for by its own.
        seen.made_of.all.merge(&inner.made_of.all);
        seen.expires(inner.expires_at);
    }

    /// What a body read that may have run for this one.
    pub(super) fn merge_reads(&self, inner: &Self) {
        let (inner, mut seen) = (inner.seen.lock(), self.seen.lock());
        for (what, look) in &inner.looks {
            if !seen.own.has(&look.path) {
                seen.looks.entry(what.clone()).or_insert_with(|| look.clone());
            }
        }
        for (what, state) in &inner.known {
            match what {
                Observed::Variable(name) if seen.own.has_set(name) => {}
                Observed::Parameter(_, path) if self.made_mapping(path) => {}
                _ => _ = seen.known.entry(what.clone()).or_insert(*state),
            }
        }
        if seen.problem.is_none() {
            seen.problem.clone_from(&inner.problem);
        }
    }

    /// What was read, as it still is; a problem if something is not.
    pub(super) fn gather(&self) -> Gathered {
        let mut seen = std::mem::take(&mut *self.seen.lock());
        for (what, look) in std::mem::take(&mut seen.looks) {
            if look.way.only_asks() && seen.own.has(&look.path) {
                // It asked where its own output would go.
                continue;
            }
            match self.still(&look) {
                // What was asked for and is new was made by the body where nobody could see it.
                None if look.way.only_asks() && self.is_new(&look.path) => {}
                Some(state) => match seen.known.insert(what.clone(), state) {
                    Some(before) if before != state => seen.changed(&what),
                    _ => {}
                },
                None if seen.own.has(&look.path) => seen.wrote_after_reading(&what),
                None => seen.changed(&what),
            }
        }
        let Seen { known, notes, problem, made_of, expires_at, .. } = seen;
        let observed = known.into_iter().map(|(what, state)| Observation { what, state });
        let observed = observed.collect();
        Gathered { observed, notes, made_of, expires_at, ..Gathered::default() }.unsteady(problem)
    }

    /// Whether the file came into being, or was written, while the body ran.
    fn is_new(&self, path: &Path) -> bool {
        let metadata = fs::metadata(path);
        metadata.and_then(|it| it.modified()).is_ok_and(|modified| modified >= self.began)
    }

    /// The state of what was looked at, if it is as it was.
    fn still(&self, look: &Look) -> Option<State> {
        let place = Place::Absolute(look.path.to_str()?.to_owned());
        let what = look.way.of(place);
        let state = self.surroundings.state(&what)?;
        let is_same = match look.found {
            Found::State(before) => before == state,
            Found::File(identity) => {
                let now = fs::metadata(&look.path).ok()?;
                StatIdentity::of(&now) == identity
            }
        };
        is_same.then_some(state)
    }
}

impl Seen {
    fn expires(&mut self, at: Option<Time>) {
        self.expires_at = self.expires_at.into_iter().chain(at).min();
    }

    fn changed(&mut self, what: &Observed) {
        self.problem.get_or_insert_with(|| {
            (what.clone(), changed(format!("{what} was changed while the task ran")))
        });
    }

    fn wrote_after_reading(&mut self, what: &Observed) {
        self.problem.get_or_insert_with(|| {
            let text = format!("the task read {what} and changed it afterwards");
            (what.clone(), changed(text))
        });
    }
}

const fn changed(text: String) -> Unstored {
    Unstored { reason: Reason::Changed, text }
}

impl Own {
    /// Whether the body has set a variable, however it is observed.
    fn has_set(&self, name: &str) -> bool {
        self.variables.contains(name.split('=').next().unwrap_or(name))
    }

    fn has(&self, path: &Path) -> bool {
        self.files.contains(path)
            || (!self.directories.is_empty()
                && path::around(path).any(|above| self.directories.contains(above)))
    }
}
