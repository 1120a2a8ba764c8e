//! Every call fails once, with every error there is; and two of them in one job.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rustix::io::Errno;

use crate::child::{Told, Worker};
use crate::examine::{Verdict, examine};
use crate::fault::{Deed, Fault, When};
use crate::job::Job;
use crate::stage::{Setting, Stage};
use crate::sweep::{Tally, sweep};

/// What a call answers.
const ERRORS: [Deed; 8] = [
    Deed::Fail(Errno::IO),
    Deed::Fail(Errno::NOSPC),
    Deed::Fail(Errno::DQUOT),
    Deed::Fail(Errno::ACCESS),
    Deed::Fail(Errno::MFILE),
    Deed::Fail(Errno::INTR),
    Deed::Fail(Errno::ROFS),
    Deed::Fail(Errno::STALE),
];

/// A kind of call that fails, in a job.
struct Failing {
    job: Job,
    kind: String,
    nth: usize,
    when: When,
    deed: Deed,
}

impl Failing {
    fn fault(&self) -> Fault<'_> {
        let Self { kind, nth, when, deed, .. } = self;
        Fault { call: Some(kind), path: "*", nth: *nth, times: 1, when: *when, deed: *deed }
    }

    fn happen(&self, program: &Path, stage: &Stage) -> Verdict {
        let home = stage.copy().map_err(|error| error.to_string())?;
        let told = Worker::new(program)
            .meeting(self.fault())
            .perform(self.job, home.path())
            .map_err(|error| error.to_string())?;
        unharmed(self.job, &told)?;
        fits(&self.kind, self.deed, &told)?;
        examine(program, home.path(), self.job, &told)
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.job.word(), self.fault())
    }
}

/// Two calls of one job that fail.
struct Both<'a>(&'a Failing, &'a Failing);

impl Both<'_> {
    fn happen(&self, program: &Path, stage: &Stage) -> Verdict {
        let Self(one, other) = self;
        let home = stage.copy().map_err(|error| error.to_string())?;
        let told = Worker::new(program)
            .meeting(one.fault())
            .and_meeting(other.fault())
            .perform(one.job, home.path())
            .map_err(|error| error.to_string())?;
        unharmed(one.job, &told)?;
        examine(program, home.path(), one.job, &told)
    }
}

impl fmt::Display for Both<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, and {}", self.0, self.1.fault())
    }
}

/// Why a result was not stored is what the call answered, in the words of the rows 17 and 18 of
/// the table of faults. No reading says that a disk is full, or that it cannot be written.
fn fits(kind: &str, deed: Deed, told: &Told) -> Verdict {
    // SQLite takes what cannot be read for damage itself, if that is all the system says.
    let is_alike = kind == "read" && matches!(deed, Deed::Fail(Errno::IO) | Deed::Short);
    if !is_alike && told.lines.iter().any(|(_, text)| text.contains("is damaged")) {
        return Err(format!("nothing was damaged: {told:?}"));
    }
    let Some(reason) = told.text("reason") else { return Ok(()) };
    let writes = matches!(kind, "write" | "allocate" | "truncate" | "mkdir" | "link" | "rename");
    let words: &[&str] = match deed {
        _ if is_alike && reason == "damaged" => &["damaged"],
        Deed::Fail(Errno::NOSPC | Errno::DQUOT) if writes => &["full"],
        Deed::Fail(Errno::ACCESS | Errno::ROFS) => &["read-only", "unreadable", "failed", "busy"],
        _ => &["full", "unreadable", "failed", "busy"],
    };
    let says = words.contains(&reason);
    if says { Ok(()) } else { Err(format!("{reason} is no word for {deed:?}: {told:?}")) }
}

/// The worker ended by itself and told how: a call for a value gave the right one, and what was
/// not stored has a reason.
pub fn unharmed(job: Job, told: &Told) -> Verdict {
    if !told.is_sound || told.errors.contains("panicked") {
        return Err(format!("it did not end well: {told:?}"));
    }
    if job.call().is_none() {
        let says = told.is_done() || told.text("refused").is_some_and(|why| !why.is_empty());
        return if says { Ok(()) } else { Err(format!("it says nothing: {told:?}")) };
    }
    // A cache that cannot be opened is the caller's to do without.
    if told.text("refused").is_some() {
        return Ok(());
    }
    let outcome = told.text("outcome").unwrap_or_default();
    let is_known = ["computed", "hit-", "waited"].iter().any(|word| outcome.starts_with(word));
    let is_explained =
        !outcome.starts_with("computed-not-stored") || told.text("trouble").is_some();
    match told.text("value") {
        Some("right") if is_known && is_explained => Ok(()),
        _ => Err(format!("{told:?}")),
    }
}

/// Fails every `step`th call of every kind of every job, in every way.
///
/// # Errors
///
/// If no stage can be set.
pub fn at_calls(program: &Path, step: usize) -> Setting<Tally> {
    let mut all = Tally::default();
    for (job, _) in Job::ALL {
        let stage = Stage::of(job)?;
        let cases: Vec<_> = failing(program, job, &stage)?.into_iter().step_by(step).collect();
        all.add(sweep(&cases, |case| case.happen(program, &stage)));
    }
    Ok(all)
}

/// Fails two calls of every job at once, so many pairs of each, always the same ones.
///
/// # Errors
///
/// If no stage can be set.
pub fn pairs(program: &Path, of_each: usize) -> Setting<Tally> {
    let mut all = Tally::default();
    for (job, _) in Job::ALL {
        let stage = Stage::of(job)?;
        let cases = failing(program, job, &stage)?;
        // Far from each other, and no pair twice: both steps share no divisor with the count.
        let far = |nth: usize| {
            let (one, other) = (nth * 7919 % cases.len(), (nth * 104_729 + 1) % cases.len());
            (one != other).then(|| Both(&cases[one], &cases[other]))
        };
        let pairs: Vec<_> = (0..of_each).filter_map(far).collect();
        all.add(sweep(&pairs, |pair| pair.happen(program, &stage)));
    }
    Ok(all)
}

/// Every way in which a call of the job can fail.
fn failing(program: &Path, job: Job, stage: &Stage) -> Setting<Vec<Failing>> {
    let (_, calls) = Worker::new(program).calls(job, stage.copy()?.path())?;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls.into_iter().filter(|call| !is_excluded(&call.kind)) {
        *kinds.entry(call.kind).or_default() += 1;
    }
    let mut all = Vec::new();
    for (kind, count) in &kinds {
        for nth in 1..=*count {
            let of_way = |(when, deed)| Failing { job, kind: kind.clone(), nth, when, deed };
            all.extend(ways(kind).map(of_way));
        }
    }
    Ok(all)
}

/// Marks are no calls. An unlock fails on no local filesystem; if it did, SQLite would wait for
/// itself, ten seconds at a time.
fn is_excluded(kind: &str) -> bool {
    matches!(kind, "mark" | "unlock")
}

/// The ways in which a kind of call goes wrong. What changes something may also fail after it has.
fn ways(kind: &str) -> impl Iterator<Item = (When, Deed)> {
    let short = matches!(kind, "read" | "write").then_some((When::Before, Deed::Short));
    let changes = matches!(kind, "write" | "sync" | "rename" | "link" | "unlink" | "truncate");
    let done = changes.then_some((When::After, Deed::Fail(Errno::IO)));
    ERRORS.into_iter().map(|deed| (When::Before, deed)).chain(short).chain(done)
}

/// A sync that fails once is not asked for again: no file is synced after its sync failed.
///
/// # Errors
///
/// If no stage can be set.
pub fn syncs(program: &Path) -> Setting<Tally> {
    let stage = Stage::of(Job::PublishBlobs)?;
    let case = |nth: &usize| {
        let home = stage.copy().map_err(|error| error.to_string())?;
        let (deed, when, path) = (Deed::Fail(Errno::IO), When::Before, "tmp/*");
        let fault = Fault { call: Some("sync"), path, nth: *nth, times: 1, when, deed };
        let (told, calls) = Worker::new(program)
            .meeting(fault)
            .calls(Job::PublishBlobs, home.path())
            .map_err(|error| error.to_string())?;
        unharmed(Job::PublishBlobs, &told)?;
        let failed: Vec<_> =
            calls.iter().filter(|call| call.kind == "sync" && call.result < 0).collect();
        let again = calls
            .iter()
            .filter(|call| call.kind == "sync" && failed.iter().any(|f| f.path == call.path));
        match (failed.len(), again.count()) {
            (1, 1) => examine(program, home.path(), Job::PublishBlobs, &told),
            counts => Err(format!("failed and seen: {counts:?}")),
        }
    };
    Ok(sweep(&[1, 2, 3], case))
}
