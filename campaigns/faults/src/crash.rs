//! Kills: at named moments, and at every call there is.

use std::fmt;
use std::path::Path;

use crate::child::Worker;
use crate::examine::{Verdict, examine};
use crate::fault::{Deed, Fault, When};
use crate::job::Job;
use crate::points::POINTS;
use crate::stage::{Setting, Stage};
use crate::sweep::{Tally, sweep};

const SIGKILL: i32 = 9;

/// A kill in a job.
struct Kill {
    name: String,
    job: Job,
    fault: Fault<'static>,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.job.word(), self.name, self.fault)
    }
}

impl Kill {
    /// Kills a worker, which must die of it if the moment is named, and examines what it left.
    /// Of calls that are merely counted there may be some fewer from one time to the next.
    fn happen(&self, program: &Path, stage: &Stage) -> Verdict {
        let home = stage.copy().map_err(|error| error.to_string())?;
        let told = Worker::new(program)
            .meeting(self.fault)
            .perform(self.job, home.path())
            .map_err(|error| error.to_string())?;
        let has_died = told.signal == Some(SIGKILL);
        if !has_died && (self.fault.call.is_some() || !told.is_done()) {
            return Err(format!("the moment never came: {told:?}"));
        }
        examine(program, home.path(), self.job, &told)
    }
}

/// Kills workers at each of the named moments, so many times.
///
/// # Errors
///
/// If no stage can be set.
pub fn at_points(program: &Path, times: usize) -> Setting<Tally> {
    let mut all = Tally::default();
    for job in Job::ALL.map(|(job, _)| job) {
        let stages = [Stage::of(job)?, Stage::abandoned(job)?];
        let points = POINTS.iter().filter(|point| point.job == job);
        let kills: Vec<_> = points
            .flat_map(|point| (0..times).map(move |time| (point, time)))
            .map(|(point, time)| {
                let kill = Kill { name: point.name.to_owned(), job, fault: point.kill() };
                Numbered { time, kill }
            })
            .collect();
        all.add(sweep(&kills, |Numbered { time, kill }| {
            kill.happen(program, &stages[time % stages.len()])
        }));
    }
    Ok(all)
}

struct Numbered {
    time: usize,
    kill: Kill,
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kill.fmt(f)
    }
}

/// Kills a worker at every `step`th call of every job, before it.
///
/// # Errors
///
/// If no stage can be set.
pub fn at_calls(program: &Path, step: usize) -> Setting<Tally> {
    let mut all = Tally::default();
    for (job, word) in Job::ALL {
        let stage = Stage::of(job)?;
        let (_, calls) = Worker::new(program).calls(job, stage.copy()?.path())?;
        let kills: Vec<_> = (1..=calls.len())
            .step_by(step)
            .map(|nth| {
                let path = "*";
                let (when, deed) = (When::Before, Deed::Kill);
                let fault = Fault { call: None, path, nth, times: 1, when, deed };
                Kill { name: format!("call {nth} of {}", calls.len()), job, fault }
            })
            .collect();
        let tally = sweep(&kills, |kill| kill.happen(program, &stage));
        if calls.is_empty() {
            return Err(format!("{word} makes no calls").into());
        }
        all.add(tally);
    }
    Ok(all)
}
