//! A sample of each campaign; `make crash` and `make faults` run them whole.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::io::Errno;
use thrifty_faults::child::Worker;
use thrifty_faults::fault::{Deed, Fault, When};
use thrifty_faults::job::Job;
use thrifty_faults::points::POINTS;
use thrifty_faults::stage::{Setting, Stage};
use thrifty_faults::sweep::Tally;
use thrifty_faults::{crash, errors, full, power};

const PROGRAM: &str = env!("CARGO_BIN_EXE_thrifty-faults");

fn holds(campaign: impl Fn(&Path) -> Setting<Tally>, cases: usize) {
    let Tally { cases: tried, violations } =
        campaign(Path::new(PROGRAM)).expect("a stage can be set");
    assert!(violations.is_empty(), "{} of {tried}: {violations:#?}", violations.len());
    assert!(tried >= cases, "{tried} cases");
}

#[test]
fn a_kill_at_a_named_moment_loses_nothing_acknowledged_and_leaves_nothing_half() {
    let names: BTreeSet<_> = POINTS.iter().map(|point| point.name).collect();
    assert!(names.len() == POINTS.len() && names.len() >= 26);
    holds(|program| crash::at_points(program, 10), 260);
}

#[test]
fn a_kill_at_any_call_loses_nothing_acknowledged_and_leaves_nothing_half() {
    holds(|program| crash::at_calls(program, 20), 60);
}

#[test]
fn a_call_that_fails_costs_no_value_and_no_entry() {
    holds(|program| errors::at_calls(program, 53), 100);
}

#[test]
fn two_calls_that_fail_cost_no_value_and_no_entry() {
    holds(|program| errors::pairs(program, 5), 60);
}

#[test]
fn a_sync_that_failed_is_not_tried_again() {
    holds(errors::syncs, 3);
}

#[test]
fn a_loss_of_power_leaves_nothing_half() {
    holds(|program| power::at_changes(program, 4, 1), 100);
}

#[test]
fn what_was_removed_does_not_come_back_when_the_power_goes() {
    holds(|program| power::once_removed(program, 10), 60);
}

#[test]
fn a_disk_that_fills_up_costs_no_value_and_no_entry() {
    holds(|program| full::at_steps(program, 64), 100);
}

#[test]
fn a_quota_that_is_spent_is_a_full_disk() {
    for job in [Job::Publish, Job::PublishBlobs, Job::Refresh] {
        let home = Stage::of(job).and_then(|stage| Ok(stage.copy()?)).expect("a stage can be set");
        let (path, deed) = ("catalog.sqlite-wal", Deed::Fail(Errno::DQUOT));
        let spent = Fault { call: Some("write"), path, nth: 1, times: 0, when: When::Before, deed };
        let told = Worker::new(Path::new(PROGRAM)).meeting(spent).perform(job, home.path());
        let told = told.expect("the worker ends");
        assert_eq!((told.text("value"), told.text("reason")), (Some("right"), Some("full")));
    }
}
