//! The power goes, at every change that a job makes to the disk.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::child::Worker;
use crate::disk::Disk;
use crate::examine::{Verdict, examine_without_power};
use crate::job::Job;
use crate::journal::Change;
use crate::stage::{Setting, Stage, scratch};
use crate::sweep::{Tally, sweep};

/// One loss of power.
struct Loss {
    job: Job,
    disk: Arc<Disk>,
    changes: Arc<Vec<Change>>,
    /// How many of the changes had been made.
    made: usize,
    seed: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, changes, made, seed, .. } = self;
        write!(f, "{}: {made} of {} changes made, seed {seed}", job.word(), changes.len())
    }
}

impl Loss {
    fn happen(&self, program: &Path) -> Verdict {
        let home = scratch().map_err(|error| error.to_string())?;
        let mut disk = Disk::clone(&self.disk);
        self.changes[..self.made].iter().for_each(|change| disk.meets(change));
        disk.lose_power(home.path(), &mut fastrand::Rng::with_seed(self.seed))
            .map_err(|error| format!("the disk: {error}"))?;
        examine_without_power(program, home.path(), self.job, self.is_removed())
    }

    /// Whether it had been acknowledged that something is not served any more.
    fn is_removed(&self) -> bool {
        removed(self.job, &self.changes).is_some_and(|at| at < self.made)
    }
}

/// The place among the changes at which that was acknowledged.
fn removed(job: Job, changes: &[Change]) -> Option<usize> {
    let mark = job.removed()?;
    changes.iter().position(|change| matches!(change, Change::Mark(place) if place == mark))
}

/// Takes the power away after every `step`th change of every job, in so many ways.
///
/// # Errors
///
/// If no stage can be set.
pub fn at_changes(program: &Path, step: usize, ways: u64) -> Setting<Tally> {
    at(program, ways, |_, changes| (0..=changes.len()).step_by(step).collect())
}

/// Takes the power away as soon as it was acknowledged that something is not served any more.
///
/// # Errors
///
/// If no stage can be set.
pub fn once_removed(program: &Path, ways: u64) -> Setting<Tally> {
    at(program, ways, |job, changes| removed(job, changes).map(|at| at + 1).into_iter().collect())
}

fn at(program: &Path, ways: u64, moments: impl Fn(Job, &[Change]) -> Vec<usize>) -> Setting<Tally> {
    let mut all = Tally::default();
    let mut first = 0;
    for (job, word) in Job::ALL {
        for stage in [Stage::of(job)?, Stage::abandoned(job)?] {
            let home = stage.copy()?;
            let disk = Arc::new(Disk::read(home.path())?);
            let (told, changes) = Worker::new(program).changes(job, home.path())?;
            if !told.is_done() {
                return Err(format!("{word}: {told:?}").into());
            }
            let changes = Arc::new(changes);
            let losses: Vec<_> = moments(job, &changes)
                .into_iter()
                .flat_map(|made| (0..ways).map(move |_| made))
                .zip(first..)
                .map(|(made, seed)| {
                    let (disk, changes) = (Arc::clone(&disk), Arc::clone(&changes));
                    Loss { job, disk, changes, made, seed }
                })
                .collect();
            first += losses.len() as u64;
            all.add(sweep(&losses, |loss| loss.happen(program)));
        }
    }
    Ok(all)
}
