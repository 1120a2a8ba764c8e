//! The cache: a catalog, a store, and the memory of this process.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use thrifty_catalog::{Catalog, CatalogError, EntryId, Mode as Access, Scope, Sqlite, Time};
use thrifty_key::{Digest, Part, Preview};
use thrifty_key::{Plain, plain};
use thrifty_store::disk::{self, Disk};
use thrifty_store::filesystem::{self, Filesystem};
use thrifty_store::verified::Verified;
use thrifty_store::{Blobs, GetError};

use crate::answer::Answer;
use crate::ballast::Ballast;
use crate::classes::ClassCode;
use crate::compute::{Computed, Settled, Task};
use crate::epochs;
use crate::flight::Flights;
use crate::graph::{Failure, Loss, Made, Product, Value};
use crate::health::Health;
use crate::lookup::{Looked, Target};
use crate::memory::Memory;
use crate::observed::{ReadParameter, ReadVariable, Surroundings};
use crate::operation::named;
use crate::outcome::{Miss, Outcome};
use crate::place::Place;
use crate::policy::Policy;
use crate::publish::Writing;
use crate::reason::Reason;
use crate::record::{Draft, Record};
use crate::recorder::Recorder;
use crate::reserve::{Lease, Reservations, Rows};
use crate::timer::{Machine, Timer};
use crate::trust::CatalogMemos;

/// The catalog's file in the directory of a cache.
pub(crate) const CATALOG: &str = "catalog.sqlite";

/// A cache: never compute the same operation twice.
///
/// Clones of the `Arc` share everything; several processes may open one directory at once.
pub struct Cache {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) scope: Scope,
    pub(crate) memory: Memory,
    pub(crate) flights: Flights,
    pub(crate) health: Arc<Health>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) reservations: Reservations,
    pub(crate) rows: Rows,
    pub(crate) place: Place,
    lease: OnceLock<Lease>,
    pub(crate) recorder: Recorder,
    /// Source texts that this process has put into the catalog.
    pub(crate) texts_kept: Mutex<HashSet<Digest>>,
    class_code: OnceLock<Box<dyn ClassCode>>,
    pub(crate) host: String,
    pub(crate) user: String,
    surroundings: RwLock<Arc<Surroundings>>,
}

/// A cache that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] disk::OpenError),
    /// The directory is on a network filesystem, where the catalog would be damaged.
    #[error(
        "{} is on a network filesystem ({kind}), where the catalog cannot be kept safely; \
         set THRIFTY_HOME to a directory on a local disk", path.display()
    )]
    Network {
        /// The directory.
        path: PathBuf,
        /// The filesystem.
        kind: &'static str,
    },
    /// The directory cannot be made or looked at.
    #[error("cannot use {} for the cache: {source}; set THRIFTY_HOME to another directory", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl OpenError {
    /// Whether it needed space that is not there.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Catalog(CatalogError::Full { .. }))
    }

    /// Why what is computed without the directory is not stored.
    fn reason(&self) -> Reason {
        match self {
            Self::Catalog(error) => Reason::from(error),
            Self::Directory { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Reason::Full,
                ErrorKind::ReadOnlyFilesystem => Reason::ReadOnly,
                _ => Reason::Unreadable,
            },
            Self::Store(_) | Self::Network { .. } => Reason::Unreadable,
        }
    }
}

impl Cache {
    /// Opens the cache in a directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`OpenError`], which says what to do.
    pub fn open(home: impl AsRef<Path>) -> Result<Arc<Self>, OpenError> {
        let scope = Scope { project: "default".to_owned(), domain: "development".to_owned() };
        Self::open_scope(home, scope)
    }

    /// As [`Cache::open`], for the entries of one project and domain.
    ///
    /// # Errors
    ///
    /// As [`Cache::open`].
    pub fn open_scope(home: impl AsRef<Path>, scope: Scope) -> Result<Arc<Self>, OpenError> {
        let home = home.as_ref();
        let directory = |source| OpenError::Directory { path: home.to_owned(), source };
        let made = make_private(home);
        // A read-only directory serves hits all the same.
        if !home.is_dir() {
            made.map_err(directory)?;
        }
        if let Filesystem::Network(kind) = filesystem::kind(home).map_err(directory)? {
            return Err(OpenError::Network { path: home.to_owned(), kind });
        }
        let path = home.join(CATALOG);
        let is_new = !path.exists();
        let catalog: Arc<dyn Catalog> = Arc::new(open_catalog(&path)?);
        if is_new {
            Ballast::of(home).take();
        }
        let timer: Arc<dyn Timer> = Arc::new(Machine);
        let health = Arc::new(Health::new(Arc::clone(&timer)));
        let trust = Arc::new(CatalogMemos::new(Arc::clone(&catalog), Arc::clone(&health)));
        let blobs = Arc::new(Verified::new(Disk::open(home)?, trust));
        epochs::opened(&path);
        let place = Place::of(path);
        Ok(Arc::new(Self { place, ..Self::of(catalog, blobs, scope, timer, health) }))
    }

    /// A cache that lives and dies with the process.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if SQLite cannot be had in memory.
    pub fn in_memory() -> Result<Arc<Self>, OpenError> {
        let scope = Scope { project: "default".to_owned(), domain: "development".to_owned() };
        let blobs = Arc::new(thrifty_store::memory::Memory::new());
        epochs::opened_in_memory();
        Ok(Arc::new(Self::new(Arc::new(Sqlite::in_memory()?), blobs, scope)))
    }

    /// A cache over these backends.
    pub fn new(catalog: Arc<dyn Catalog>, blobs: Arc<dyn Blobs>, scope: Scope) -> Self {
        Self::over(catalog, blobs, scope, Arc::new(Machine))
    }

    /// As [`Cache::new`], with the time from `timer`.
    pub fn over(
        catalog: Arc<dyn Catalog>,
        blobs: Arc<dyn Blobs>,
        scope: Scope,
        timer: Arc<dyn Timer>,
    ) -> Self {
        let health = Arc::new(Health::new(Arc::clone(&timer)));
        Self::of(catalog, blobs, scope, timer, health)
    }

    fn of(
        catalog: Arc<dyn Catalog>,
        blobs: Arc<dyn Blobs>,
        scope: Scope,
        timer: Arc<dyn Timer>,
        health: Arc<Health>,
    ) -> Self {
        let memo = CatalogMemos::new(Arc::clone(&catalog), Arc::clone(&health));
        Self {
            recorder: Recorder::new(Arc::clone(&catalog), Arc::clone(&health), scope.clone()),
            surroundings: RwLock::new(Arc::new(Surroundings::bare(Arc::new(memo)))),
            catalog,
            blobs,
            scope,
            memory: Memory::default(),
            flights: Flights::new(Arc::clone(&timer)),
            health,
            timer,
            reservations: Reservations::default(),
            rows: Rows::default(),
            place: Place::default(),
            lease: OnceLock::new(),
            texts_kept: Mutex::default(),
            class_code: OnceLock::new(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            user: std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default(),
        }
    }

    /// Says what the code of classes is. Without it, values that hold instances of a project's
    /// classes cannot be taken from a hit under a key. Only the first call counts.
    pub fn set_class_code(&self, language: impl ClassCode + 'static) {
        _ = self.class_code.set(Box::new(language));
    }

    /// What says what the code of classes is, if anybody does.
    pub fn class_code(&self) -> Option<&dyn ClassCode> {
        self.class_code.get().map(Box::as_ref)
    }

    /// Says how long the leases of this process are. Only the first call counts.
    pub fn set_lease(&self, lease: Lease) {
        _ = self.lease.set(lease);
    }

    /// How long the leases of this process are.
    pub fn lease(&self) -> Lease {
        self.lease.get().copied().unwrap_or_default()
    }

    /// The catalog.
    pub fn catalog(&self) -> &Arc<dyn Catalog> {
        &self.catalog
    }

    /// The store.
    pub fn blobs(&self) -> &Arc<dyn Blobs> {
        &self.blobs
    }

    /// Whose entries these are.
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The history of runs.
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The digests of files that this catalog remembers.
    pub fn file_memo(&self) -> Arc<dyn thrifty_store::scan::Memo> {
        Arc::new(CatalogMemos::new(Arc::clone(&self.catalog), Arc::clone(&self.health)))
    }

    /// What the bodies of this process see around them.
    pub fn surroundings(&self) -> Arc<Surroundings> {
        Arc::clone(&self.surroundings.read())
    }

    /// Says where the project of this process is, and how its bodies read variables. Without it,
    /// there is no project and variables are those of the system.
    pub fn set_surroundings(
        &self,
        root: Option<PathBuf>,
        variable: Box<ReadVariable>,
        parameter: Box<ReadParameter>,
    ) {
        let surroundings = Surroundings::new(root, variable, self.file_memo());
        *self.surroundings.write() = Arc::new(surroundings.with_parameters(parameter));
    }

    /// The host and the user that entries and runs are marked with.
    pub fn who(&self) -> (&str, &str) {
        (&self.host, &self.user)
    }

    /// Turns a draft into a record without publishing it: for a process that publishes itself.
    ///
    /// # Errors
    ///
    /// What kept it from being written, as text.
    pub fn keep(&self, draft: Draft) -> Result<Record, String> {
        let writing = Writing { draft: &draft, taken: &[] };
        self.write(writing).map_err(|error| error.to_string())
    }

    /// Says that this cache stands in for one that could not be opened: what it is given is gone
    /// with the process, and counts as not stored. Only the first call counts.
    pub fn stand_in_for(&self, error: &OpenError) {
        self.place.stand_in(error.reason(), error.to_string());
    }

    /// Whether the directory was removed, moved or replaced since it was opened. What is stored and
    /// invalidated there from then on is not of this cache: it is to be opened anew. A look is good
    /// for some milliseconds.
    pub fn is_gone(&self) -> bool {
        self.place.is_gone()
    }

    /// What became of a call, if what it gave ends with this process.
    pub(crate) fn told(&self, mut settled: Settled) -> Settled {
        if let Outcome::Computed(miss) = &settled.outcome
            && let Some((reason, text)) = self.place.why_lost()
        {
            if self.is_gone() {
                self.health.mention(&text);
            }
            settled.outcome = Outcome::NotStored(miss.clone(), reason, text);
        }
        settled
    }

    /// The first trouble with the cache since this was last asked, for one warning.
    pub fn take_trouble(&self) -> Option<String> {
        self.health.take_trouble()
    }

    /// The result of an operation: from the cache, or computed now and kept.
    ///
    /// The key is made of the name and the inputs. Change the name, or make a version one of the
    /// inputs, whenever the code changes.
    ///
    /// # Errors
    ///
    /// What `compute` returns. Trouble with the cache is never an error here.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// use thrifty_engine::Cache;
    ///
    /// let cache = Cache::open(directory.path())?;
    /// let cube = |n: i64| cache.get_or_compute("cube v1", &n, || Ok::<_, std::io::Error>(n * n * n));
    /// assert_eq!(cube(3)?, 27);
    /// assert_eq!(cube(3)?, 27); // a hit: nothing is computed
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_or_compute<T: Plain, I: Plain, E>(
        self: &Arc<Self>,
        name: &str,
        inputs: &I,
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = plain::Writer::new();
        inputs.write(&mut writer);
        let Ok(digest) = plain::digest(writer.as_bytes()) else {
            return compute();
        };
        let operation = named(name);
        let key = operation.key([("inputs", digest)].into_iter());
        let (miss, target) = match self.look(&key, None) {
            Looked::Hit(answer, _) => match read(&answer.record) {
                Some(value) => return Ok(value),
                None => return compute(),
            },
            Looked::Miss(miss, target) => (miss, target),
        };
        let task = Task {
            operation: &operation,
            key: Ok(key),
            ingredients: &|| {
                let part = Part { digest, preview: Preview::text("") };
                operation.ingredients([("inputs".to_owned(), part)])
            },
            policy: Policy::default(),
            run: (None, 0),
            interrupted: &|| false,
        };
        self.compute_plain(&task, (miss, target), compute)
    }

    fn compute_plain<T: Plain, E>(
        self: &Arc<Self>,
        task: &Task<'_>,
        (miss, target): (Miss, Option<Target>),
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut compute = Some(compute);
        let mut own: Option<Result<T, E>> = None;
        let mut body = || {
            let made = match compute.take().map(|compute| compute()) {
                Some(Ok(value)) => {
                    let mut writer = plain::Writer::new();
                    value.write(&mut writer);
                    own = Some(Ok(value));
                    writer.into_bytes()
                }
                failed => {
                    own = failed;
                    let message = format!("{} failed", task.operation.name());
                    return Err(Failure::raised(message, Arc::new(())));
                }
            };
            Ok(Product::Made(Made::new(Arc::new(()), Draft::Plain(made))))
        };
        let computed = self.compute(task, miss, target, &mut body);
        if let Some(own) = own {
            return own;
        }
        let taken = match computed {
            Computed::Settled(settled) => match settled.value {
                Value::Known(answer) => read(&answer.record),
                Value::Live { .. } => None,
            },
            Computed::Expanded(..) | Computed::Failed(..) => None,
        };
        match (taken, compute) {
            (Some(value), _) => Ok(value),
            (None, Some(compute)) => compute(),
            (None, None) => unreachable!("a body that ran left its result"),
        }
    }

    /// The wall clock, for answers in memory. Entries in the catalog are judged by its clock.
    pub fn wall_clock(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::try_from(since.as_millis()).unwrap_or(Time::MAX)
    }

    /// The time since a moment of the timer.
    pub(crate) fn since(&self, began: Duration) -> Duration {
        self.timer.now().saturating_sub(began)
    }

    /// The catalog's clock, by which entries expire; the wall clock while it does not answer.
    pub fn catalog_clock(&self) -> Time {
        self.catalog.now().unwrap_or_else(|_| self.wall_clock())
    }

    /// Removes the entry behind an answer that nobody can load, so that the next lookup misses.
    ///
    /// Bytes that could not be read are looked for once more, and only if some are certainly gone
    /// does the entry go: the disk may have failed, or files been short, for a moment. Says as
    /// what miss the key is to be computed: an entry that stays is not replaced either.
    pub fn discard(&self, key: &thrifty_key::Key, answer: &Answer, loss: Loss) -> Miss {
        self.memory.forget(key);
        let found: Vec<_> =
            answer.record.blobs().iter().filter_map(|name| self.blobs.open(name).err()).collect();
        let is_gone = found.iter().any(GetError::is_certain_absence);
        match loss {
            Loss::Bytes if !is_gone => return Miss::Unavailable,
            // What could not be read now may have been read wrong before.
            Loss::Sense if !is_gone && !found.is_empty() => return Miss::Unavailable,
            Loss::Bytes | Loss::Sense => {}
        }
        if let Some(entry) = answer.entry {
            self.remove(entry);
        }
        Miss::Unreadable
    }

    /// Removes an entry that is of no use. One that stays is found to be so again.
    pub(crate) fn remove(&self, entry: EntryId) {
        self.remove_all(&[entry]);
    }

    /// As [`Cache::remove`], in one call: somebody waits for what else there is.
    pub(crate) fn remove_all(&self, entries: &[EntryId]) {
        if !entries.is_empty() && self.health.may_write().is_ok() {
            self.health.note_write(self.catalog.discard(entries));
        }
    }

    /// Whether all bytes of an answer are in the store.
    pub(crate) fn is_whole(&self, answer: &Answer) -> bool {
        let is_there = |name| self.blobs.open(&name).is_ok();
        answer.record.blobs().into_iter().all(is_there)
    }
}

fn read<T: Plain>(record: &Record) -> Option<T> {
    let Record::Plain(encoding) = record else {
        return None;
    };
    let mut reader = plain::Reader::new(encoding);
    let value = T::read(&mut reader).ok()?;
    reader.is_at_end().then_some(value)
}

/// Opens for reading and writing, or for reading alone where the medium allows no more.
fn open_catalog(path: &Path) -> Result<Sqlite, CatalogError> {
    match Sqlite::open(path, Access::ReadWrite) {
        Err(CatalogError::ReadOnly { .. }) if path.exists() => Sqlite::open(path, Access::ReadOnly),
        opened => opened,
    }
}

/// Makes the directory, for its user alone: its entries may say much about his data.
pub(crate) fn make_private(home: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home)
}
