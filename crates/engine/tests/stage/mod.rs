//! What tests of the engine stand on: scripted bodies, stores and catalogs that fail on demand.

#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use thrifty_engine::catalog::*;
use thrifty_engine::event::{Event, Listener};
use thrifty_engine::graph::{
    Body, Edge, Expansion, Failure, From, Input, Loss, Made, Node as Call, Product, Taken,
    Unstored, Value,
};
use thrifty_engine::key::{Digest, Ingredients, Key, Kind, Preview, plain};
use thrifty_engine::record::{Buffer, Draft, Record, Shape, Source, Step};
use thrifty_engine::schedule::{Options, Problem};
use thrifty_engine::store::memory::Memory;
use thrifty_engine::store::{Blob, BlobName, Blobs, GetError, Listing, PutError, RemoveError};
use thrifty_engine::{
    Beating, Cache, Gathered, Machine, Operation, Outcome, Policy, Schedule, Timer,
};

pub fn scope() -> Scope {
    Scope { project: "default".to_owned(), domain: "development".to_owned() }
}

/// A clock that the test moves.
#[derive(Default)]
pub struct Moved(AtomicI64);

impl Moved {
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Moved {
    fn wall(&self) -> Time {
        1_700_000_000_000 + self.0.load(Ordering::SeqCst)
    }

    fn steady(&self) -> Time {
        self.0.load(Ordering::SeqCst)
    }
}

impl Timer for Moved {
    fn now(&self) -> Duration {
        Machine.now() + Duration::from_millis(self.steady().unsigned_abs())
    }

    fn every(&self, period: Duration, beat: Box<dyn FnMut() -> bool + Send>) -> Box<dyn Beating> {
        Machine.every(period, beat)
    }
}

/// A timer that the test winds.
#[derive(Default)]
pub struct Wound(pub Mutex<Vec<Box<dyn FnMut() -> bool + Send>>>);

struct Unwound;

impl Beating for Unwound {}

impl Timer for Wound {
    fn now(&self) -> Duration {
        Machine.now()
    }

    fn every(&self, _: Duration, beat: Box<dyn FnMut() -> bool + Send>) -> Box<dyn Beating> {
        self.0.lock().push(beat);
        Box::new(Unwound)
    }
}

/// Blobs in memory that count what is opened, refuse writes and lose or hide blobs on demand.
#[derive(Default)]
pub struct Shaky {
    pub inner: Memory,
    pub opened: AtomicUsize,
    pub put: AtomicUsize,
    pub is_full: AtomicBool,
    pub is_blind: AtomicBool,
    /// So many blobs cannot be opened, and then they can.
    pub blinks: AtomicUsize,
}

impl Shaky {
    pub fn lose_all(&self) {
        let names: Vec<_> = self.inner.list().unwrap().map(|l| l.unwrap().name).collect();
        names.iter().for_each(|name| self.inner.delete(name).unwrap());
    }
}

impl Blobs for Shaky {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(PutError::Full {
                path: PathBuf::from("shaky"),
                source: std::io::ErrorKind::StorageFull.into(),
            });
        }
        self.put.fetch_add(1, Ordering::SeqCst);
        self.inner.put(parts)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        self.inner.put_file(path)
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let blinks = self.blinks.load(Ordering::SeqCst);
        self.blinks.store(blinks.saturating_sub(1), Ordering::SeqCst);
        if blinks > 0 || self.is_blind.load(Ordering::SeqCst) {
            return Err(GetError::Transient {
                path: PathBuf::from("shaky"),
                source: std::io::ErrorKind::PermissionDenied.into(),
            });
        }
        self.inner.open(name)
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        self.inner.contains(digest)
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.inner.delete(name)
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.inner.quarantine(name)
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        self.inner.list()
    }

    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError> {
        self.inner.leftovers(age)
    }

    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError> {
        self.inner.remove_leftover(path)
    }
}

/// Whether the call of this method, counted from 0 over all methods, fails.
pub type Plan = dyn Fn(usize, &'static str) -> bool + Send + Sync;

/// A catalog whose calls fail by plan.
pub struct Flaky {
    pub inner: Arc<dyn Catalog>,
    pub calls: AtomicUsize,
    pub plan: Mutex<Box<Plan>>,
    /// Which calls take effect without their answer being heard.
    pub deaf: Mutex<Box<Plan>>,
    /// Whether what fails says that there is no space left, and not that others are busy.
    pub is_full: AtomicBool,
    /// What happens once, between the next lookup and the use of its answer.
    pub after_lookup: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Flaky {
    pub fn new(
        inner: Arc<dyn Catalog>,
        plan: impl Fn(usize, &'static str) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: AtomicUsize::new(0),
            plan: Mutex::new(Box::new(plan)),
            deaf: Mutex::new(Box::new(|_, _| false)),
            is_full: AtomicBool::new(false),
            after_lookup: Mutex::default(),
        })
    }

    fn pass(&self, method: &'static str) -> Result<(), CatalogError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if (self.plan.lock())(call, method) {
            if self.is_full.load(Ordering::SeqCst) {
                return Err(CatalogError::Full { path: PathBuf::from("flaky") });
            }
            return Err(CatalogError::Busy { path: PathBuf::from("flaky") });
        }
        Ok(())
    }

    fn hear<T>(
        &self,
        method: &'static str,
        answer: Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        if (self.deaf.lock())(self.calls.load(Ordering::SeqCst), method) {
            let reason = "the answer was lost".to_owned();
            return Err(CatalogError::Failed { path: PathBuf::from("flaky"), reason });
        }
        answer
    }
}

macro_rules! by_plan {
    ($($method:ident($($name:ident: $kind:ty),*) -> $answer:ty;)*) => {
        impl Catalog for Flaky {
            fn changes(&self) -> u64 {
                self.inner.changes()
            }

            fn commits(&self) -> u64 {
                self.inner.commits()
            }

            fn turns(&self) -> u64 {
                self.inner.turns()
            }

            fn await_turn(&self, seen: u64, timeout: Duration) {
                self.inner.await_turn(seen, timeout);
            }

            $(fn $method(&self, $($name: $kind),*) -> Result<$answer, CatalogError> {
                self.pass(stringify!($method))?;
                let answer = self.inner.$method($($name),*);
                let answer = self.hear(stringify!($method), answer);
                if let ("lookup", Some(act)) = (stringify!($method), self.after_lookup.lock().take()) {
                    act();
                }
                answer
            })*
        }
    };
}

by_plan! {
    now() -> Time;
    lookup(scope: &Scope, requests: &[Request]) -> Vec<Found>;
    slot(scope: &Scope, key: &Key) -> Slot;
    draw_ticket(scope: &Scope, key: &Key) -> Claim;
    commit(scope: &Scope, entry: &NewEntry, claim: &Claim) -> Committed;
    reserve(scope: &Scope, key: &Key, holder: &Holder, lease: Duration) -> Reserved;
    heartbeat(scope: &Scope, held: &[(Key, Claim)], lease: Duration) -> Vec<bool>;
    release(scope: &Scope, key: &Key, claim: &Claim, ended: Ended<'_>) -> ();
    standing(scope: &Scope, key: &Key) -> Standing;
    wait_for(scope: &Scope, key: &Key, holding: &[u128]) -> Standing;
    stop_waiting(scope: &Scope, key: &Key, holding: &[u128]) -> ();
    reservations(scope: Option<&Scope>) -> Vec<Reservation>;
    invalidate(scope: Option<&Scope>, selector: &Selector) -> Invalidated;
    wholes(scope: Option<&Scope>, selector: &Selector) -> Vec<EntryId>;
    remove(entries: &[EntryId]) -> Invalidated;
    discard(entries: &[EntryId]) -> ();
    entries(scope: Option<&Scope>, selector: &Selector, limit: usize) -> Vec<Entry>;
    entries_in_time(scope: Option<&Scope>, selector: &Selector, limit: usize) -> Vec<Entry>;
    touch(uses: &[(EntryId, Usage)]) -> ();
    evict(entries: &[EntryId], chosen: Time) -> Invalidated;
    pin(scope: Option<&Scope>, selector: &Selector, pinned: bool) -> u64;
    shorten(age: Duration) -> Shortened;
    find_blob(digest: &Digest, pin: Duration) -> Option<BlobRef>;
    keep_blobs(blobs: &[BlobRef], pin: Duration) -> ();
    condemn(grace: Duration, dry_run: bool) -> Vec<BlobRef>;
    disown(blobs: &[BlobRef]) -> Vec<BlobRef>;
    forget(blobs: &[BlobRef]) -> ();
    blobs() -> Vec<BlobRef>;
    begin_run(scope: &Scope, run: &NewRun) -> RunId;
    record(run: &RunId, nodes: &[Node]) -> ();
    finish_run(run: &RunId, status: RunStatus) -> ();
    resume_run(run: &RunId, before: &str, now: &str) -> bool;
    runs(scope: Option<&Scope>, filter: &RunFilter) -> Vec<Run>;
    nodes(run: &RunId) -> Vec<Node>;
    totals(scope: Option<&Scope>) -> Vec<Totals>;
    put_texts(texts: &[(Digest, &str)]) -> ();
    text(digest: &Digest) -> Option<String>;
    recall(table: &str, name: &[u8]) -> Option<Vec<u8>>;
    remember(table: &str, memos: &[(&[u8], &[u8])]) -> ();
    check() -> Vec<thrifty_engine::catalog::Problem>;
    mend(problems: &[thrifty_engine::catalog::Problem]) -> u64;
    compact() -> ();
}

/// A cache, and what its bodies did.
pub struct Stage {
    pub cache: Arc<Cache>,
    pub catalog: Arc<dyn Catalog>,
    pub blobs: Arc<Shaky>,
    pub ran: Arc<Mutex<Vec<String>>>,
    pub events: Arc<Mutex<Vec<Event>>>,
}

impl Stage {
    pub fn new() -> Self {
        Self::over(Arc::new(Sqlite::in_memory().unwrap()))
    }

    pub fn over(catalog: Arc<dyn Catalog>) -> Self {
        Self::timed(catalog, Arc::new(Machine))
    }

    /// With the time from a timer.
    pub fn timed(catalog: Arc<dyn Catalog>, timer: Arc<dyn Timer>) -> Self {
        let blobs = Arc::new(Shaky::default());
        let cache = Cache::over(Arc::clone(&catalog), Arc::<Shaky>::clone(&blobs), scope(), timer);
        Self { cache: Arc::new(cache), catalog, blobs, ran: Arc::default(), events: Arc::default() }
    }

    /// The same catalog and store, as a process sees them that starts now.
    pub fn again(&self) -> Self {
        let blobs = Arc::clone(&self.blobs);
        let cache = Cache::new(Arc::clone(&self.catalog), Arc::<Shaky>::clone(&blobs), scope());
        Self {
            cache: Arc::new(cache),
            catalog: Arc::clone(&self.catalog),
            blobs,
            ran: Arc::default(),
            events: Arc::default(),
        }
    }

    /// What ran since this was last asked, sorted.
    pub fn take_ran(&self) -> Vec<String> {
        let mut ran = std::mem::take(&mut *self.ran.lock());
        ran.sort();
        ran
    }

    /// A call of an operation that takes whole outputs and gives a number.
    pub fn call(
        &self,
        name: &str,
        from: &[usize],
        f: impl Fn(&[i64]) -> i64 + Send + Sync + 'static,
    ) -> Call {
        self.scripted(name, from.iter().map(|from| whole(*from)).collect(), move |inputs| {
            Ok(number(f(inputs)))
        })
    }

    /// As [`Stage::call`], the number kept in a blob.
    pub fn big(
        &self,
        name: &str,
        from: &[usize],
        f: impl Fn(&[i64]) -> i64 + Send + Sync + 'static,
    ) -> Call {
        self.scripted(name, from.iter().map(|from| whole(*from)).collect(), move |inputs| {
            Ok(big(f(inputs)))
        })
    }

    /// A call that does what the script says.
    pub fn scripted(
        &self,
        name: &str,
        edges: Vec<Edge>,
        script: impl Fn(&[i64]) -> Result<Product, Failure> + Send + Sync + 'static,
    ) -> Call {
        let mut writer = plain::Writer::new();
        writer.open(plain::Container::List, edges.len());
        (0..edges.len()).for_each(|edge| writer.edge(edge as u64));
        Call {
            operation: operation(name),
            policy: Policy::default(),
            inputs: vec![Input {
                name: "inputs".to_owned(),
                encoding: writer.into_bytes(),
                preview: Preview::Hidden,
            }],
            edges,
            unkeyed: None,
            body: Arc::new(Script {
                name: name.to_owned(),
                blobs: Arc::clone(&self.blobs),
                ran: Arc::clone(&self.ran),
                script: Box::new(script),
            }),
        }
    }

    /// Settles a graph, and hands it over.
    pub fn settle(&self, nodes: Vec<Call>, demanded: &[usize], workers: usize) -> Settlement {
        self.settle_in(nodes, demanded, workers, None)
    }

    pub fn settle_in(
        &self,
        nodes: Vec<Call>,
        demanded: &[usize],
        workers: usize,
        run: Option<RunId>,
    ) -> Settlement {
        let events = Arc::clone(&self.events);
        events.lock().clear();
        let told = Arc::clone(&events);
        let listener: Arc<Listener> =
            Arc::new(move |event: &Event| told.lock().push(event.clone()));
        let mut schedule = Schedule::new(
            Arc::clone(&self.cache),
            nodes,
            Options { workers, run, interrupted: &|| false, listener },
        );
        schedule.settle(demanded);
        Settlement {
            outcomes: (0..schedule.len()).map(|n| schedule.outcome(n)).collect(),
            values: (0..schedule.len())
                .map(|n| match schedule.settled(n)? {
                    Ok(settled) => load(&self.blobs, &settled.value, &[]).ok(),
                    Err(_) => None,
                })
                .collect(),
            failures: (0..schedule.len())
                .filter_map(|n| match schedule.settled(n)? {
                    Err(Problem::Failed(failure)) => Some((n, failure.message().to_owned())),
                    _ => None,
                })
                .collect(),
            keys: (0..schedule.len()).map(|n| schedule.key(n)).collect(),
            history: schedule.history(),
            status: schedule.status(),
        }
    }
}

/// A settled graph.
pub struct Settlement {
    pub outcomes: Vec<Option<Outcome>>,
    pub values: Vec<Option<i64>>,
    pub failures: Vec<(usize, String)>,
    pub keys: Vec<Option<Key>>,
    pub history: Vec<Node>,
    pub status: RunStatus,
}

impl Settlement {
    pub fn words(&self) -> Vec<&'static str> {
        self.outcomes.iter().map(|outcome| outcome.as_ref().map_or("-", Outcome::word)).collect()
    }
}

pub fn operation(name: &str) -> Arc<Operation> {
    Arc::new(Operation::new(name, named(name), Vec::new()))
}

/// An operation with code, its text, and a note on it.
pub fn annotated(name: &str) -> Operation {
    let (text, code) = ("return 5".to_owned(), plain::digest_text("return 5"));
    let mut fixed = named(name);
    fixed.add(Kind::Code, "", code, Preview::text("return 5")).unwrap();
    let operation = Operation::new(name, fixed, vec![(code, text)]);
    operation.with_notes(vec!["it calls what was not followed".to_owned()])
}

fn named(name: &str) -> Ingredients {
    let mut fixed = Ingredients::new();
    fixed.add(Kind::Operation, "name", plain::digest_text(name), Preview::text(name)).unwrap();
    fixed
}

pub fn whole(from: usize) -> Edge {
    Edge { from: From::Node(from), steps: Vec::new() }
}

pub fn part(from: usize, index: i64) -> Edge {
    Edge { from: From::Node(from), steps: vec![Step(plain::int(index))] }
}

pub fn argument(number: usize) -> Edge {
    Edge { from: From::Argument(number), steps: Vec::new() }
}

/// A number in the record itself.
pub fn number(value: i64) -> Product {
    Product::Made(Made::new(Arc::new(value), Draft::Plain(plain::int(value))))
}

fn big_draft(value: i64) -> Draft {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(20_000, 7);
    Draft::Object {
        codec: "number/1".to_owned(),
        digest: Digest::of_blob(&bytes),
        classes: Vec::new(),
        header: Vec::new(),
        buffers: vec![Source::Memory(Box::new(bytes))],
    }
}

/// A number in a blob.
pub fn big(value: i64) -> Product {
    Product::Made(Made::new(Arc::new(value), big_draft(value)))
}

/// A pair of numbers in blobs, each to be taken alone.
pub fn pair(one: i64, other: i64) -> Product {
    let draft =
        Draft::Composite { container: Shape::Tuple, parts: vec![big_draft(one), big_draft(other)] };
    Product::Made(Made::new(Arc::new((one, other)), draft))
}

/// A value that cannot be stored.
pub fn unstorable(value: i64) -> Product {
    Product::Made(Made {
        object: Arc::new(value),
        contribution: plain::contribution(&plain::int(value)).ok(),
        draft: Err(Unstored::unstorable("it is a number of the wrong kind".to_owned())),
        observed: Vec::new(),
        made_of: Default::default(),
        expires_at: None,
    })
}

/// More operations, and the output of one of them.
pub fn expanded(nodes: Vec<Call>, output: usize) -> Product {
    Product::Expanded(Expansion::new(nodes, vec![whole(output)], Draft::Edge(0)))
}

pub fn failed<T>(message: &str) -> Result<T, Failure> {
    Err(Failure::raised(message.to_owned(), Arc::new(())))
}

type Scripted = dyn Fn(&[i64]) -> Result<Product, Failure> + Send + Sync;

struct Script {
    name: String,
    blobs: Arc<Shaky>,
    ran: Arc<Mutex<Vec<String>>>,
    script: Box<Scripted>,
}

impl Body for Script {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        let mut numbers = Vec::new();
        for (edge, taken) in inputs.iter().enumerate() {
            let loaded = load(&self.blobs, &taken.value, &taken.steps);
            numbers.push(loaded.map_err(|reason| Failure::Lost {
                edge,
                loss: Loss::Bytes,
                reason,
            })?);
        }
        self.ran.lock().push(self.name.clone());
        (self.script)(&numbers)
    }
}

/// The number behind a value, or why it cannot be had.
pub fn load(blobs: &Shaky, value: &Value, steps: &[Step]) -> Result<i64, String> {
    match value {
        Value::Known(answer) => {
            let record = answer.record.select(steps).ok_or("there is no such part")?;
            read(blobs, &record)
        }
        Value::Live { object, .. } => {
            if let Some(gathered) = object.downcast_ref::<Gathered>() {
                return unfold(blobs, &gathered.output, &gathered.taken);
            }
            if let Some((one, other)) = object.downcast_ref::<(i64, i64)>() {
                return Ok(if steps == [Step(plain::int(0))] { *one } else { *other });
            }
            object.downcast_ref::<i64>().copied().ok_or_else(|| "not a number".to_owned())
        }
    }
}

fn unfold(blobs: &Shaky, output: &Draft, taken: &[Taken]) -> Result<i64, String> {
    match output {
        Draft::Edge(number) => {
            let taken = &taken[usize::try_from(*number).unwrap()];
            load(blobs, &taken.value, &taken.steps)
        }
        Draft::Composite { parts, .. } => {
            let parts: Result<Vec<_>, _> =
                parts.iter().map(|part| unfold(blobs, part, taken)).collect();
            Ok(parts?.iter().sum())
        }
        _ => Err("not a number".to_owned()),
    }
}

fn read(blobs: &Shaky, record: &Record) -> Result<i64, String> {
    match record {
        Record::Plain(encoding) => {
            let mut reader = plain::Reader::new(encoding);
            <i64 as thrifty_engine::key::Plain>::read(&mut reader).map_err(|e| e.to_string())
        }
        Record::Object(object) => match &object.buffers[..] {
            [Buffer::Blob(name)] => {
                let blob = blobs.open(name).map_err(|error| error.to_string())?;
                Ok(i64::from_le_bytes(blob[..8].try_into().unwrap()))
            }
            _ => Err("no blob".to_owned()),
        },
        Record::Composite { parts, .. } => {
            let parts: Result<Vec<_>, _> = parts.iter().map(|part| read(blobs, part)).collect();
            Ok(parts?.iter().sum())
        }
        Record::Hashed { value, .. } | Record::Annotated { value, .. } => read(blobs, value),
    }
}
