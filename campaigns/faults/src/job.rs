//! What the worker does.
//!
//! It opens the cache, says `begin`, performs one job as a front end would, says `end`, and tells
//! the driver what became of it, a line a fact: `value right`, `outcome …`, `trouble …`,
//! `refused …`, and `done …` once the caller has been told that it is done.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thrifty_engine::catalog::{
    CatalogError, Claim, Committed, Ended, Holder, MadeOf, NewEntry, NewRun, Origin, Reserved,
    RunStatus, Selector,
};
use thrifty_engine::evict::{CollectError, Collected, Goal, HISTORY, Means, collect, plan};
use thrifty_engine::fsck::{self, Finding, Level};
use thrifty_engine::key::Key;
use thrifty_engine::record::reference;
use thrifty_engine::{Ballast, Cache, Mode, Policy};

use crate::value::{self, Shape};

/// How long a reservation of the worker lives without a heartbeat.
pub const LEASE: Duration = Duration::from_secs(20);
/// Who holds or wants the key.
pub fn holder(nonce: u128) -> Holder {
    let (operation, host) = (COMMITTED.to_owned(), "faults".to_owned());
    Holder { nonce, operation, host, process: String::new() }
}

/// What the worker commits for a reserved key.
pub const COMMITTED: &str = "committed";

/// One operation of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Opens a cache that is not there yet.
    Open,
    /// Opens a cache whose catalog has an earlier format, which brings it up.
    Migrate,
    /// Takes a small value.
    Hit,
    /// Takes a value whose bytes are in three blobs.
    HitBlobs,
    /// Computes a small value.
    Publish,
    /// Computes a value whose bytes go into three blobs.
    PublishBlobs,
    /// Computes a small value, as the only one of all processes.
    Serialize,
    /// Takes a reservation.
    Reserve,
    /// Prolongs a reservation.
    Heartbeat,
    /// Gives a reservation back.
    Release,
    /// Commits an entry with a blob under a reservation.
    Commit,
    /// Computes a value again, in the place of the one there is.
    Refresh,
    /// Removes an entry.
    Invalidate,
    /// Removes an entry by budget, and then the bytes that nobody needs.
    Collect,
    /// Checks every byte.
    Check,
    /// Sets a damaged blob aside, and removes the entry that needs it.
    Repair,
    /// Keeps the history of a run.
    Record,
}

impl Job {
    /// All jobs, each with its word.
    pub const ALL: [(Self, &'static str); 17] = [
        (Self::Open, "open"),
        (Self::Migrate, "migrate"),
        (Self::Hit, "hit"),
        (Self::HitBlobs, "hit-blobs"),
        (Self::Publish, "publish"),
        (Self::PublishBlobs, "publish-blobs"),
        (Self::Serialize, "serialize"),
        (Self::Reserve, "reserve"),
        (Self::Heartbeat, "heartbeat"),
        (Self::Release, "release"),
        (Self::Commit, "commit"),
        (Self::Refresh, "refresh"),
        (Self::Invalidate, "invalidate"),
        (Self::Collect, "collect"),
        (Self::Check, "check"),
        (Self::Repair, "repair"),
        (Self::Record, "record"),
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(job, _)| *job == self).map_or("", |(_, word)| word)
    }

    /// The job of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(job, _)| *job)
    }

    /// What it calls, and the shape of the value, if it calls for a value.
    pub const fn call(self) -> Option<(&'static str, Shape)> {
        match self {
            Self::Hit => Some((value::SMALL, Shape::Inline)),
            Self::HitBlobs => Some((value::LARGE, Shape::Blobs)),
            Self::Publish | Self::Serialize => Some(("new-small", Shape::Inline)),
            Self::PublishBlobs => Some(("new-large", Shape::Blobs)),
            Self::Refresh => Some((value::VICTIM, Shape::Blobs)),
            _ => None,
        }
    }

    /// The mark at which it is acknowledged that something is not served any more.
    pub fn removed(self) -> Option<&'static Path> {
        let mark = match self {
            Self::Refresh => "returned",
            Self::Invalidate => "invalidated",
            Self::Collect => "collected",
            _ => return None,
        };
        Some(Path::new(mark))
    }
}

/// Tells the library between this process and the system where the process is.
fn mark(name: &str) {
    // The library knows the path; without it, there is no such file.
    _ = File::open(Path::new("/faults").join(name));
}

/// Tells the driver.
fn tell(word: &str, text: &str) {
    let line = format!("{word} {}\n", text.replace('\n', " "));
    // A driver that is gone wants to know nothing.
    _ = io::stdout().write_all(line.as_bytes());
}

/// Performs a job on the cache in a directory.
pub fn perform(job: Job, home: &Path) {
    if matches!(job, Job::Open | Job::Migrate) {
        mark("begin");
        told(Cache::open(home).map(drop), "opened");
        return;
    }
    let cache = match Cache::open(home) {
        Ok(cache) => cache,
        Err(error) => return tell("refused", &error.to_string()),
    };
    match job {
        Job::Open | Job::Migrate => {}
        Job::Hit
        | Job::HitBlobs
        | Job::Publish
        | Job::PublishBlobs
        | Job::Serialize
        | Job::Refresh => call(&cache, job),
        Job::Reserve | Job::Heartbeat | Job::Release | Job::Commit => hold(&cache, job),
        Job::Invalidate => {
            mark("begin");
            told(invalidate(&cache), "invalidated");
        }
        Job::Collect => {
            mark("begin");
            told(free(&cache, home), "collected");
        }
        Job::Check | Job::Repair => {
            mark("begin");
            check(&cache, job == Job::Repair);
        }
        Job::Record => {
            mark("begin");
            told(record(&cache), "recorded");
        }
    }
    mark("end");
    if let Some(trouble) = cache.take_trouble() {
        tell("trouble", &trouble);
    }
}

fn told<T, E: std::fmt::Display>(result: Result<T, E>, point: &str) {
    mark(point);
    match result {
        Ok(_) => tell("done", ""),
        Err(error) => tell("refused", &error.to_string()),
    }
}

fn call(cache: &Arc<Cache>, job: Job) {
    let Some((name, shape)) = job.call() else { return };
    let mode = if job == Job::Refresh { Mode::Refresh } else { Mode::On };
    let policy = Policy { serialize: job == Job::Serialize, mode, ..Policy::default() };
    mark("begin");
    let called = value::call(cache, name, shape, policy, || mark("computing"));
    let outcome = called.outcome;
    mark("returned");
    tell("value", if called.content == shape.content(name) { "right" } else { "wrong" });
    tell("outcome", &outcome);
    if let Some(reason) = called.reason {
        tell("reason", reason);
    }
    if outcome.starts_with("computed (") || outcome.starts_with("hit") {
        tell("done", "");
    }
}

/// Does one thing with the reservation of a key.
fn hold(cache: &Cache, job: Job) {
    let (catalog, scope, key) = (cache.catalog(), cache.scope(), value::key(COMMITTED));
    let holder = holder(process::id().into());
    tell("nonce", &holder.nonce.to_string());
    let reserve = || catalog.reserve(scope, &key, &holder, LEASE);
    if job == Job::Reserve {
        mark("begin");
        let reserved = reserve();
        mark("reserved");
        return match reserved {
            Ok(Reserved::Taken(_)) => tell("done", ""),
            Ok(other) => tell("refused", &format!("{other:?}")),
            Err(error) => tell("refused", &error.to_string()),
        };
    }
    let Ok(Reserved::Taken(claim)) = reserve() else {
        return tell("refused", "the reservation before");
    };
    mark("begin");
    match job {
        // A lease that ends as before would change nothing.
        Job::Heartbeat => match catalog.heartbeat(scope, &[(key, claim)], 2 * LEASE) {
            Ok(alive) if alive == [false] => tell("refused", "lost"),
            alive => told(alive, "alive"),
        },
        Job::Release => told(catalog.release(scope, &key, &claim, Ended::Failed), "released"),
        _ => commit(cache, key, &claim),
    }
}

fn commit(cache: &Cache, key: Key, claim: &Claim) {
    let bytes = Shape::Blobs.content(COMMITTED);
    let name = match cache.blobs().put(&[&bytes]) {
        Ok(name) => name,
        Err(error) => return tell("refused", &error.to_string()),
    };
    mark("put");
    let entry = NewEntry {
        id: claim.reservation.map_or(0, |(_, nonce)| nonce),
        key,
        operation: COMMITTED.to_owned(),
        ingredients: value::ingredients(COMMITTED),
        output: value::record_of(name).to_bytes(),
        output_digest: name.digest,
        blobs: vec![reference(&name)],
        cost: Duration::from_secs(1),
        expires_at: None,
        origin: Origin::default(),
        observed: Vec::new(),
        made_of: MadeOf::default(),
        parts: Vec::new(),
    };
    let committed = cache.catalog().commit(cache.scope(), &entry, claim);
    mark("committed");
    match committed {
        Ok(Committed::Stored(_) | Committed::Same(_)) => tell("done", ""),
        Ok(other) => tell("refused", &format!("{other:?}")),
        Err(error) => tell("refused", &error.to_string()),
    }
}

fn invalidate(cache: &Cache) -> Result<(), CatalogError> {
    let selector = Selector { operation: Some(value::VICTIM.to_owned()), ..Selector::default() };
    cache.catalog().invalidate(Some(cache.scope()), &selector).map(drop)
}

/// Frees what the stage has made dispensable, an entry and an orphan, as the command does: where
/// there is no space left, with that of the ballast.
fn free(cache: &Cache, home: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let ballast = Ballast::of(home);
    let collected = match free_once(cache) {
        Err(CollectError::Catalog(CatalogError::Full { .. })) if ballast.give() => free_once(cache),
        collected => collected,
    };
    ballast.take();
    match collected?.failures.first() {
        Some(failure) => Err(failure.clone().into()),
        None => Ok(()),
    }
}

fn free_once(cache: &Cache) -> Result<Collected, CollectError> {
    let (catalog, blobs) = (cache.catalog().as_ref(), cache.blobs().as_ref());
    let mut victims = plan(catalog, &Goal { budget: Some(0), ..Goal::default() })?;
    victims.retain(|victim| victim.operation == value::VICTIM);
    collect(catalog, blobs, &victims, &without_grace())
}

/// How whoever uses the cache alone collects.
pub fn without_grace() -> Means<'static> {
    Means {
        grace: Duration::ZERO,
        now: SystemTime::now(),
        files: None,
        history: HISTORY,
        dry_run: false,
    }
}

fn check(cache: &Cache, repair: bool) {
    let checked =
        fsck::check(cache.catalog().as_ref(), cache.blobs().as_ref(), Level::Full, repair);
    if let Ok(report) = &checked {
        report.findings.iter().for_each(|finding| tell("finding", &finding.to_string()));
        if let Some(unread) =
            report.findings.iter().find(|it| matches!(it, Finding::Unreadable { .. }))
        {
            return tell("refused", &unread.to_string());
        }
    }
    told(checked, "checked");
}

fn record(cache: &Cache) -> Result<(), CatalogError> {
    let (catalog, scope) = (cache.catalog(), cache.scope());
    let run = catalog.begin_run(scope, &NewRun { name: "run".to_owned(), ..NewRun::default() })?;
    catalog.remember("faults", &[(b"name", b"memo")])?;
    catalog.finish_run(&run, RunStatus::Succeeded)
}
