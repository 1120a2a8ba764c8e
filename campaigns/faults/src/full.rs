//! A disk with so many bytes left.

use std::fmt;
use std::path::Path;

use crate::child::Worker;
use crate::errors::unharmed;
use crate::examine::{Verdict, examine};
use crate::job::Job;
use crate::stage::{Setting, Stage};
use crate::sweep::{Tally, sweep};

const BLOCK: u64 = 4096;
/// More than any job takes.
const ENOUGH: u64 = 512 * BLOCK;

/// A job on a disk that is nearly full.
struct Nearly {
    job: Job,
    space: u64,
}

impl Nearly {
    fn happen(&self, program: &Path, stage: &Stage) -> Verdict {
        let home = stage.copy().map_err(|error| error.to_string())?;
        let told = Worker::new(program)
            .with_space(self.space)
            .perform(self.job, home.path())
            .map_err(|error| error.to_string())?;
        unharmed(self.job, &told)?;
        if matches!(self.job, Job::Hit | Job::HitBlobs | Job::Check) && !told.is_done() {
            return Err(format!("reading needs no space: {told:?}"));
        }
        if self.space == ENOUGH && !told.is_done() {
            return Err(format!("there was enough: {told:?}"));
        }
        examine(program, home.path(), self.job, &told)
    }
}

impl fmt::Display for Nearly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes left", self.job.word(), self.space)
    }
}

/// Does every job with 0, `step`, 2 × `step` … blocks of 4 KiB left, up to more than it takes.
///
/// # Errors
///
/// If no stage can be set.
pub fn at_steps(program: &Path, step: usize) -> Setting<Tally> {
    let mut all = Tally::default();
    for (job, _) in Job::ALL {
        let stage = Stage::of(job)?;
        let sizes = (0..ENOUGH).step_by(step * BLOCK as usize).chain([ENOUGH]);
        let cases: Vec<_> = sizes.map(|space| Nearly { job, space }).collect();
        all.add(sweep(&cases, |case| case.happen(program, &stage)));
    }
    Ok(all)
}
