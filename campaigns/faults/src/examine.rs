//! What must hold once a worker has ended, whatever happened to it.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thrifty_engine::catalog::{
    Catalog, Claim, Clock, Committed, Ended, Mode, Reserved, Sqlite, System, Time,
};
use thrifty_engine::evict::collect;
use thrifty_engine::fsck::{self, Level};
use thrifty_engine::{Cache, Looked};

use crate::child::{Told, Worker};
use crate::job::{COMMITTED, Job, LEASE, holder, without_grace};
use crate::stage::blobs_of;
use crate::value::{self, DAMAGED, LARGE, SMALL, Shape, VICTIM};

/// The number of the entry that a refresh replaces: the third of the stage.
const REPLACED: i64 = 3;

/// What does not hold, in one line.
pub type Verdict = Result<(), String>;

fn failed<E: Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// Examines the cache that a worker left: nothing acknowledged is lost, nothing is half, what
/// has nothing to do with the job is untouched; the job can be done now; and what is left over
/// can be collected.
///
/// # Errors
///
/// What does not hold.
pub fn examine(program: &Path, home: &Path, job: Job, told: &Told) -> Verdict {
    found(home, job, told.is_done())?;
    if matches!(job, Job::Reserve | Job::Heartbeat | Job::Release | Job::Commit) {
        taken_over(home, job, told)?;
    }
    goes_on(program, home, job)
}

/// Examines the cache that is left when the power was gone: as [`examine`], but what was
/// acknowledged last may be lost, wholly, unless it was that something `is_removed`.
///
/// # Errors
///
/// What does not hold.
pub fn examine_without_power(program: &Path, home: &Path, job: Job, is_removed: bool) -> Verdict {
    found(home, job, is_removed)?;
    // Who held the key is gone with the power, and his lease has passed when it is back.
    require(!holder_of(&later(home)?)?, || "a lease that passed holds the key".to_owned())?;
    goes_on(program, home, job)
}

fn found(home: &Path, job: Job, is_done: bool) -> Verdict {
    let cache = Cache::open(home).map_err(failed("it cannot be opened"))?;
    sound(&cache, if is_done { None } else { Some(job) })?;
    stays(&cache, job)?;
    target(&cache, job, is_done)
}

fn goes_on(program: &Path, home: &Path, job: Job) -> Verdict {
    again(program, home, job)?;
    let cache = Cache::open(home).map_err(failed("it cannot be opened after the job"))?;
    sound(&cache, None)?;
    stays(&cache, job)?;
    target(&cache, job, true)?;
    collectable(&cache)
}

/// The check finds nothing. An unfinished repair may leave what it was to repair.
fn sound(cache: &Cache, unfinished: Option<Job>) -> Verdict {
    let report = fsck::check(cache.catalog().as_ref(), cache.blobs().as_ref(), Level::Full, false)
        .map_err(failed("it cannot be checked"))?;
    if unfinished == Some(Job::Repair) {
        return require(report.findings.len() <= 1, || format!("{:?}", report.findings));
    }
    require(report.findings.is_empty(), || format!("findings: {:?}", report.findings))
}

/// What the job has nothing to do with is there, under its first number, and right.
fn stays(cache: &Arc<Cache>, job: Job) -> Verdict {
    if job == Job::Open {
        return Ok(());
    }
    for (number, name, shape) in [(1, SMALL, Shape::Inline), (2, LARGE, Shape::Blobs)] {
        let found = stored(cache, name, shape)?;
        require(found == Some(number), || format!("{name} was entry {number} and is {found:?}"))?;
    }
    Ok(())
}

/// The number of an operation's entry, if it has one; its value must be right then.
fn stored(cache: &Cache, name: &str, shape: Shape) -> Result<Option<i64>, String> {
    let answer = match cache.look(&value::key(name), None) {
        Looked::Hit(answer, _) => answer,
        Looked::Miss(..) => return Ok(None),
    };
    let content = value::load(cache, &answer.record);
    require(content.is_ok(), || format!("{name} is a hit whose bytes cannot be had"))?;
    require(content == Ok(shape.content(name)), || format!("{name} has a wrong value"))?;
    Ok(answer.entry.map(|entry| entry.0))
}

/// What the job is about is wholly there or wholly absent, and as acknowledged.
fn target(cache: &Cache, job: Job, is_done: bool) -> Verdict {
    let (name, shape, is_wanted) = match (job, job.call()) {
        (_, Some((name, shape))) => (name, shape, true),
        (Job::Commit, _) => (COMMITTED, Shape::Blobs, true),
        (Job::Invalidate | Job::Collect, _) => (VICTIM, Shape::Blobs, false),
        (Job::Repair, _) => (DAMAGED, Shape::Blobs, false),
        _ => return Ok(()),
    };
    let is_there = if job == Job::Repair && !is_done {
        // Before the repair it is there and damaged.
        false
    } else {
        let found = stored(cache, name, shape)?;
        found.is_some() && (job != Job::Refresh || found != Some(REPLACED))
    };
    require(!is_done || is_there == is_wanted, || {
        format!("{name} was acknowledged, and is there: {is_there}")
    })
}

/// The job is done, now that nothing stands in its way.
fn again(program: &Path, home: &Path, job: Job) -> Verdict {
    // Every operation but the last try has ended: whatever a dead holder held has lapsed.
    let told = Worker::new(program).perform(job, home).map_err(failed("the worker"))?;
    require(told.is_sound && told.is_done(), || format!("again: {told:?}"))
}

/// What nobody needs can be collected, and nothing else goes.
fn collectable(cache: &Arc<Cache>) -> Verdict {
    let (catalog, blobs) = (cache.catalog().as_ref(), cache.blobs().as_ref());
    let collected = collect(catalog, blobs, &[], &without_grace())
        .map_err(failed("nothing can be collected"))?;
    require(collected.failures.is_empty(), || format!("{:?}", collected.failures))?;
    let known = catalog.blobs().map_err(failed("the catalog's blobs"))?.len();
    let listed = blobs.list().map_err(failed("the store's blobs"))?.flatten().count();
    require(known == listed, || format!("{known} blobs are known and {listed} are there"))?;
    for path in blobs.leftovers(Duration::ZERO).map_err(failed("the leftovers"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours =
            name.starts_with("put-") || path.parent().is_some_and(|p| p.ends_with("quarantine"));
        require(is_ours, || format!("a leftover that nobody made: {name}"))?;
        blobs.remove_leftover(&path).map_err(failed("a leftover cannot be removed"))?;
    }
    sound(cache, None)?;
    let wanted = blobs_of(cache, LARGE);
    require(wanted.iter().all(|name| blobs.open(name).is_ok()), || "a needed blob went".to_owned())
}

/// The machine's clocks, some time later.
struct Later(Duration);

impl Clock for Later {
    fn wall(&self) -> Time {
        System.wall() + Time::try_from(self.0.as_millis()).unwrap_or(0)
    }

    fn steady(&self) -> Time {
        System.steady() + Time::try_from(self.0.as_millis()).unwrap_or(0)
    }
}

/// The catalog when every lease has passed.
fn later(home: &Path) -> Result<Sqlite, String> {
    let (path, clock) = (home.join("catalog.sqlite"), Arc::new(Later(3 * LEASE)));
    Sqlite::open_with_clock(&path, Mode::ReadWrite, clock)
        .map_err(failed("it cannot be opened later"))
}

/// Once the holder's lease has passed, exactly one of many takes over, and the holder's own
/// commit, should it come after all, is refused.
fn taken_over(home: &Path, job: Job, told: &Told) -> Verdict {
    let is_done = told.is_done();
    let nonce = told.text("nonce").and_then(|nonce| nonce.parse().ok()).unwrap_or_default();
    let path = home.join("catalog.sqlite");
    let now = Sqlite::open(&path, Mode::ReadWrite).map_err(failed("it cannot be opened"))?;
    let later = later(home)?;
    let is_held = holder_of(&now)?;
    let must_hold = job == Job::Heartbeat || (job == Job::Reserve && is_done);
    require(is_held || !must_hold, || "an acknowledged reservation is gone".to_owned())?;
    let must_not = is_done && matches!(job, Job::Release | Job::Commit);
    require(!(is_held && must_not), || "a reservation given back is still held".to_owned())?;
    let claims: Vec<Claim> = (100..104)
        .map(|nonce| take(&later, nonce))
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    require(claims.len() == 1, || format!("{} take over", claims.len()))?;
    for claim in claims {
        for old in 0..claim.reservation.map_or(0, |(fence, _)| fence) {
            refused(&later, &Claim { reservation: Some((old, nonce)), ..claim })?;
        }
        later
            .release(&scope(), &value::key(COMMITTED), &claim, Ended::Unused)
            .map_err(failed("release"))?;
    }
    Ok(())
}

fn scope() -> thrifty_engine::catalog::Scope {
    thrifty_engine::catalog::Scope {
        project: "default".to_owned(),
        domain: "development".to_owned(),
    }
}

/// Whether somebody holds the key now; a probe that gets it gives it back.
fn holder_of(catalog: &Sqlite) -> Result<bool, String> {
    match take(catalog, 99)? {
        None => Ok(true),
        Some(claim) => {
            catalog
                .release(&scope(), &value::key(COMMITTED), &claim, Ended::Unused)
                .map_err(failed("release"))?;
            Ok(false)
        }
    }
}

fn take(catalog: &Sqlite, nonce: u128) -> Result<Option<Claim>, String> {
    let reserved = catalog.reserve(&scope(), &value::key(COMMITTED), &holder(nonce), LEASE);
    match reserved.map_err(failed("reserve"))? {
        Reserved::Taken(claim) => Ok(Some(claim)),
        Reserved::Held(_) => Ok(None),
        Reserved::Unserialised(_) => Err("nobody is given the key".to_owned()),
    }
}

fn refused(catalog: &Sqlite, zombie: &Claim) -> Verdict {
    let mut entry = thrifty_engine::catalog::conformance::entry("zombie", "zombie");
    entry.key = value::key(COMMITTED);
    entry.blobs.clear();
    let committed =
        catalog.commit(&scope(), &entry, zombie).map_err(failed("a zombie's commit"))?;
    require(committed == Committed::Fenced, || format!("a zombie's commit was {committed:?}"))
}
