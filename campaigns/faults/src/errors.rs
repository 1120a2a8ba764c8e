//! Every call fails once, with every error there is.

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
    deed: Deed,
}

impl Failing {
    fn fault(&self) -> Fault<'_> {
        let Self { kind, nth, deed, .. } = self;
        Fault { call: Some(kind), path: "*", nth: *nth, times: 1, when: When::Before, deed: *deed }
    }

    fn happen(&self, program: &Path, stage: &Stage) -> Verdict {
        let home = stage.copy().map_err(|error| error.to_string())?;
        let told = Worker::new(program)
            .meeting(self.fault())
            .perform(self.job, home.path())
            .map_err(|error| error.to_string())?;
        unharmed(self.job, &told)?;
        examine(program, home.path(), self.job, &told)
    }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.job.word(), self.fault())
    }
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
        let (_, calls) = Worker::new(program).calls(job, stage.copy()?.path())?;
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for call in calls.into_iter().filter(|call| !is_excluded(job, &call.kind)) {
            *kinds.entry(call.kind).or_default() += 1;
        }
        let cases: Vec<_> = kinds
            .iter()
            .flat_map(|(kind, count)| (1..=*count).map(move |nth| (kind, nth)))
            .flat_map(|(kind, nth)| ways(kind).map(move |deed| (kind, nth, deed)))
            .map(|(kind, nth, deed)| Failing { job, kind: kind.clone(), nth, deed })
            .step_by(step)
            .collect();
        all.add(sweep(&cases, |case| case.happen(program, &stage)));
    }
    Ok(all)
}

/// Marks are no calls. An unlock fails on no local filesystem; if it did, SQLite would wait for
/// itself, ten seconds at a time. The check of the catalog takes a page that cannot be read now for
/// one that is damaged.
fn is_excluded(job: Job, kind: &str) -> bool {
    matches!(kind, "mark" | "unlock") || (job == Job::Repair && kind == "read")
}

/// The ways in which a kind of call goes wrong.
fn ways(kind: &str) -> impl Iterator<Item = Deed> {
    let short = matches!(kind, "read" | "write").then_some(Deed::Short);
    ERRORS.into_iter().chain(short)
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
