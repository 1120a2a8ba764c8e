//! The cache of this process, opened at the first call.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, ReentrantMutex, RwLock};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use thrifty_engine::catalog::{NewRun, Node, Scope};
use thrifty_engine::config::{self, Executor, Settings, Source};
use thrifty_engine::store::hold::Holds;
use thrifty_engine::{Cache, Mode, OpenError, Reason, Seeding};
use thrifty_key::Digest;

use super::context::RunOptions;
use super::error::CacheUnavailable;
use super::ingredients::PythonClasses;
use super::{children, clean};
use crate::observe::Scenery;
pub use crate::warning::{tell, warn};

static SESSION: RwLock<Option<Arc<Session>>> = RwLock::new(None);
/// Held by the thread that opens the session, which may come here again: opening runs Python.
static OPENING: ReentrantMutex<()> = ReentrantMutex::new(());

/// How long a directory is left alone that cannot be opened: as long as a cache in trouble.
const PAUSE: Duration = Duration::from_secs(30);

/// More files than an open cache has.
const FILES: usize = 16;

/// The cache of this process, and what its configuration says.
pub struct Session {
    /// The cache; a cache in memory if the directory cannot be used.
    pub cache: Arc<Cache>,
    /// The configuration.
    pub settings: Settings,
    /// Where the configuration was looked for.
    pub origin: Origin,
    /// Where files that come out of the cache are placed.
    pub files: PathBuf,
    /// Whether the cache is a directory, which other processes can open.
    is_shared: bool,
    /// Why the directory cannot be opened that the cache stands in for, and when it is tried again.
    trouble: Option<String>,
    again_at: Mutex<Option<Instant>>,
    /// The mode chosen by the environment, for every run.
    pub run_mode: Option<Mode>,
    /// The mode chosen by the project's configuration.
    pub project_mode: Option<Mode>,
    /// The seed chosen by the configuration.
    pub seeding: Option<Seeding>,
    secret: OnceLock<Vec<u8>>,
    scenery: OnceLock<Scenery>,
    holds: OnceLock<Option<Holds>>,
    /// How many results of lone calls are not in the cache, by the word of the reason.
    unstored: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    /// Where a cache in memory placed files: nobody can come to them when this process has ended.
    passing: Mutex<Vec<PathBuf>>,
}

/// What a configuration was made of.
pub struct Origin {
    /// The working directory.
    pub directory: PathBuf,
    /// The variables of the process.
    pub variables: Vec<(OsString, OsString)>,
}

impl Origin {
    fn now() -> Self {
        let directory = std::env::current_dir().unwrap_or_default();
        Self { directory, variables: std::env::vars_os().collect() }
    }
}

impl Session {
    /// The session of this process.
    ///
    /// # Errors
    ///
    /// `ValueError` for a configuration that makes no sense; trouble with the cache itself is an
    /// error only where `THRIFTY_STRICT` asks for it.
    pub fn current(py: Python<'_>) -> PyResult<Arc<Self>> {
        if let Some(session) = Self::opened() {
            return Ok(session);
        }
        let _opening = loop {
            if let Some(opening) = OPENING.try_lock() {
                break opening;
            }
            py.detach(|| drop(OPENING.lock()));
        };
        if let Some(session) = Self::opened() {
            return Ok(session);
        }
        let before = SESSION.read().clone();
        let session = Self::open(py, before)?;
        let mut current = SESSION.write();
        let kept = current.take().filter(|before| !before.is_over()).unwrap_or(session);
        let kept = Arc::clone(current.insert(kept));
        drop(current);
        super::children::at_end(py)?;
        Ok(kept)
    }

    fn opened() -> Option<Arc<Self>> {
        SESSION.read().as_ref().filter(|session| !session.is_over()).cloned()
    }

    /// Whether the directory is to be tried again, or is no longer the one that was opened.
    fn is_over(&self) -> bool {
        let is_due = || self.again_at.lock().is_some_and(|at| Instant::now() >= at);
        self.cache.is_gone() || (self.trouble.is_some() && is_due())
    }

    /// Opens the directory, in the place of the session before, which may stay where it cannot be:
    /// what that has in memory is of use to this process.
    fn open(py: Python<'_>, before: Option<Arc<Self>>) -> PyResult<Arc<Self>> {
        let settings = Settings::load().map_err(super::error::configuration)?;
        let scope = Scope {
            project: settings.project.value.clone(),
            domain: settings.domain.value.clone(),
        };
        let home = settings.home.value.clone();
        match py.detach(|| Cache::open_scope(&home, scope)) {
            Ok(cache) => {
                cache.set_lease(settings.lease.value);
                super::children::program().into_iter().for_each(|it| cache.recorder().lone_for(it));
                crate::value::codec::keep_digests(cache.file_memo());
                let session = Self::new(py, cache, settings, home.join("files"), true);
                Ok(session.after(before.as_deref()))
            }
            Err(error) if is_strict() => {
                Err(CacheUnavailable::new_err(format!("{error}{}", way_out())))
            }
            Err(error) => Self::stand_in(py, settings, &error, before),
        }
    }

    /// A session for as long as the directory cannot be opened. Told of once for the same trouble.
    fn stand_in(
        py: Python<'_>,
        settings: Settings,
        error: &OpenError,
        before: Option<Arc<Self>>,
    ) -> PyResult<Arc<Self>> {
        let trouble = error.to_string();
        let again_at = Some(Instant::now() + PAUSE);
        if let Some(before) = &before
            && before.trouble.as_ref() == Some(&trouble)
        {
            *before.again_at.lock() = again_at;
            return Ok(Arc::clone(before));
        }
        let way_out = way_out();
        tell(py, &format!("thrifty runs without its cache directory: {trouble}{way_out}"));
        let mut session = Self::in_memory(py, settings)?;
        session.cache.stand_in_for(error);
        session.trouble = Some(trouble);
        session.again_at = Mutex::new(again_at);
        Ok(session.after(before.as_deref()))
    }

    /// This session, with what the one before it leaves to be told and removed.
    fn after(mut self, before: Option<&Self>) -> Arc<Self> {
        if let Some(before) = before {
            self.unstored = Arc::clone(&before.unstored);
            self.passing.lock().append(&mut before.passing.lock());
        }
        Arc::new(self)
    }

    /// A session that leaves nothing behind, and that ends with this process.
    fn in_memory(py: Python<'_>, settings: Settings) -> PyResult<Self> {
        let cache =
            Cache::in_memory().map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let random = random()?;
        let name: String = random.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let files = std::env::temp_dir().join(format!("thrifty-{name}"));
        let session = Self::new(py, cache, settings, files.clone(), false);
        session.passing.lock().push(files);
        _ = session.secret.set(random);
        Ok(session)
    }

    fn new(
        py: Python<'_>,
        cache: Arc<Cache>,
        settings: Settings,
        files: PathBuf,
        is_shared: bool,
    ) -> Self {
        super::surroundings::place(py, &cache);
        let from_environment = matches!(settings.cache.source, Source::Variable(_));
        let (run_mode, project_mode) = if from_environment {
            (settings.cache.value, None)
        } else {
            (None, settings.cache.value)
        };
        cache.set_class_code(PythonClasses);
        let seeding = settings.seed.value.map(Seeding::With);
        Self {
            cache,
            settings,
            origin: Origin::now(),
            files,
            is_shared,
            trouble: None,
            again_at: Mutex::default(),
            run_mode,
            project_mode,
            seeding,
            secret: OnceLock::new(),
            scenery: OnceLock::new(),
            holds: OnceLock::new(),
            unstored: Arc::default(),
            passing: Mutex::default(),
        }
    }

    /// How many bodies run at once.
    pub fn workers(&self, options: &RunOptions) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        options.workers.or(self.settings.workers.value).unwrap_or_else(cores)
    }

    /// Where bodies run. A worker process could not reach a cache that is in memory.
    /// Those of a clean process would not be clean, and a daemonic one can have none.
    pub fn executor(&self, py: Python<'_>, options: &RunOptions) -> Executor {
        match options.executor.unwrap_or(self.settings.executor.value) {
            Executor::Processes if self.is_shared && !clean::is_clean() => {
                if children::may_start(py) { Executor::Processes } else { Executor::Threads }
            }
            _ => Executor::Threads,
        }
    }

    /// Whether other processes can open the cache.
    pub const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Keeps what is placed by a digest from being collected while this process lives. Where
    /// nobody may write, nobody collects.
    pub fn hold(&self, digest: &Digest) {
        let open = || if self.is_shared { Holds::open(&self.files).ok() } else { None };
        _ = self.holds.get_or_init(open).as_ref().map(|holds| holds.hold(digest));
    }

    fn remove_files(&self) {
        for files in std::mem::take(&mut *self.passing.lock()) {
            _ = std::fs::remove_dir_all(files);
        }
    }

    /// A run by this user on this host.
    pub fn who(&self) -> NewRun {
        let (host, user) = self.cache.who();
        NewRun { host: host.to_owned(), user: user.to_owned(), ..NewRun::default() }
    }

    /// What the bodies of this session are observed against.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn scenery(&self, py: Python<'_>) -> PyResult<&Scenery> {
        if let Some(scenery) = self.scenery.get() {
            return Ok(scenery);
        }
        let cache = [self.settings.home.value.as_path(), self.files.as_path()];
        let project = std::env::current_dir().unwrap_or_default();
        let scenery = Scenery::new(py, self.cache.surroundings(), cache, &project)?;
        Ok(self.scenery.get_or_init(|| scenery))
    }

    /// The key under which digests of secrets are made, so that nobody without it can guess one.
    ///
    /// # Errors
    ///
    /// `RuntimeError` if it can neither be read nor made.
    pub fn secret_key(&self) -> PyResult<&[u8]> {
        if let Some(key) = self.secret.get() {
            return Ok(key);
        }
        let key = self.cache.secret_key(&self.settings.home.value).map_err(|error| {
            PyRuntimeError::new_err(format!("cannot keep the key for secrets: {error}"))
        })?;
        Ok(self.secret.get_or_init(|| key))
    }

    /// Tells of trouble with the cache, once for each time that it begins.
    pub fn tell_of_trouble(&self, py: Python<'_>) {
        if let Some(trouble) = self.cache.take_trouble() {
            tell(py, &format!("the cache is in trouble, and the work goes on: {trouble}"));
        }
    }

    /// Counts a lone call whose result is not in the cache, for the end of the program.
    pub fn is_not_stored(&self, reason: Reason) {
        self.are_not_stored(reason, 1);
    }

    /// Counts several. A process that may have no end tells of the first one at once.
    pub fn are_not_stored(&self, reason: Reason, count: u64) {
        let mut unstored = self.unstored.lock();
        let is_first = !unstored.contains_key(reason.word());
        let before = unstored.entry(reason.word()).or_default();
        if !is_first || !super::children::may_have_no_end() {
            *before += count;
            return;
        }
        drop(unstored);
        let counts = [(reason.word(), count)];
        Python::attach(|py| tell_of_unstored(py, "calls outside of workflows", counts));
    }

    /// The lone calls whose results are not in the cache, by the word of the reason.
    pub fn take_unstored(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.unstored.lock())
    }

    /// Tells of the lone calls whose results are not in the cache.
    fn tell_of_unstored(&self, py: Python<'_>) {
        let counts = self.take_unstored().into_iter().filter(|(_, count)| *count > 0);
        tell_of_unstored(py, "calls outside of workflows", counts);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.remove_files();
    }
}

/// Tells of the results of a run that are not in the cache, grouped by the reason.
pub fn tell_of_unstored<'a>(
    py: Python<'_>,
    run: &str,
    counts: impl IntoIterator<Item = (&'a str, u64)>,
) {
    if let Some(summary) = Reason::summary(counts) {
        tell(py, &format!("{run}: {summary}; `thrifty show` says which"));
    }
}

/// Whether a cache that fails is an error.
fn is_strict() -> bool {
    config::is_strict(&|name| std::env::var_os(name))
}

/// The error for results that are not stored because the cache failed, where that is to be one.
pub fn fault<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Option<PyErr> {
    let is_fault = |node: &&Node| Reason::from_word(&node.reason).is_some_and(Reason::is_fault);
    let mut failed = nodes.into_iter().filter(is_fault);
    let Node { operation, reason, detail, .. } = failed.next().filter(|_| is_strict())?;
    let more = match failed.count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some(CacheUnavailable::new_err(format!(
        "{operation} was computed and is not stored ({reason}: {detail}){more}; THRIFTY_STRICT makes \
         that an error: mend the cache and run it again, or go on without THRIFTY_STRICT"
    )))
}

/// Bytes that nobody can guess.
fn random() -> PyResult<Vec<u8>> {
    let mut bytes = vec![0; 32];
    // Less than the 256 bytes that the system gives at once, and without a file to open.
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(std::io::Error::from)?;
    Ok(bytes)
}

/// What to do about a directory that cannot be opened, where that is not for the directory.
fn way_out() -> &'static str {
    let files: Result<Vec<_>, _> = (0..FILES).map(|_| File::open("/dev/null")).collect();
    match files.map_err(|error| Errno::from_io_error(&error)) {
        Err(Some(Errno::MFILE | Errno::NFILE)) => {
            "; this process may open too few files: close some, or raise the limit (`ulimit -n`)"
        }
        _ => "",
    }
}

/// Writes what is not written yet; called when the interpreter ends.
#[pyfunction]
fn close(py: Python<'_>) {
    super::run::end_all(py);
    let session = SESSION.read().clone();
    if let Some(session) = session {
        session.tell_of_unstored(py);
        let run = session.cache.recorder().lone_begun();
        let is_free = py.detach(|| session.cache.recorder().close());
        if let Some(run) = run.filter(|_| is_free) {
            super::check::remember_environment(py, &session, &run);
        }
        py.detach(|| session.remove_files());
    }
    crate::code::forget();
}

/// Puts a cache in memory in the place of the session's, for tests. Returns what was there.
#[pyfunction]
fn enter_memory(py: Python<'_>) -> PyResult<Previous> {
    let settings = Settings::load().map_err(super::error::configuration)?;
    let mut session = Session::in_memory(py, settings)?;
    session.run_mode = None;
    session.project_mode = None;
    Ok(Previous(SESSION.write().replace(Arc::new(session))))
}

/// Ends the pause after which a directory is tried again that could not be opened, for tests.
#[pyfunction]
fn end_pause() {
    if let Some(session) = &*SESSION.read()
        && let Some(again_at) = &mut *session.again_at.lock()
    {
        *again_at = Instant::now();
    }
}

/// Puts back what [`enter_memory`] returned.
#[pyfunction]
fn leave(previous: &Previous) {
    *SESSION.write() = previous.0.clone();
}

/// How often there was which outcome, by operation: triples of both and the number.
#[pyfunction]
fn totals(py: Python<'_>) -> PyResult<Vec<(String, String, u64)>> {
    let session = Session::current(py)?;
    let totals = py.detach(|| {
        session.cache.recorder().flush();
        session.cache.catalog().totals(None)
    });
    let totals = totals.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    Ok(totals.into_iter().map(|it| (it.operation, it.outcome, it.count)).collect())
}

/// In a forked child: leaves the parent's session alone and opens another when it is needed.
#[pyfunction]
fn after_fork() {
    crate::observe::after_fork();
    super::context::after_fork();
    super::run::forget_all();
    super::turn::after_fork();
    super::secret::after_fork();
    super::children::after_fork();
    while OPENING.try_lock().is_none() {
        // SAFETY: the thread that held the lock is not in this process.
        unsafe { OPENING.force_unlock() };
    }
    // The parent's connections and threads must not be touched, not even to close them; and its
    // lock may have been held by a thread that is not here.
    if let Some(mut session) = SESSION.try_write() {
        std::mem::forget(session.take());
    }
}

/// A session that was put aside.
#[pyclass(frozen, module = "thrifty._native")]
struct Previous(Option<Arc<Session>>);

/// Adds the functions of this module.
///
/// # Errors
///
/// What Python raised.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(close, module)?)?;
    module.add_function(wrap_pyfunction!(enter_memory, module)?)?;
    module.add_function(wrap_pyfunction!(end_pause, module)?)?;
    module.add_function(wrap_pyfunction!(leave, module)?)?;
    module.add_function(wrap_pyfunction!(totals, module)?)?;
    module.add_function(wrap_pyfunction!(after_fork, module)?)
}
