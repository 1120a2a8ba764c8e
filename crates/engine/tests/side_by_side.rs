//! Who would wait in vain does not: where no result is to be had, all compute at the same time.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use stage::*;
use thrifty_engine::catalog::{Selector, Sqlite};
use thrifty_engine::compute::{Computed, Task};
use thrifty_engine::event::Event;
use thrifty_engine::graph::{Failure, Node as Call, Product};
use thrifty_engine::schedule::Options;
use thrifty_engine::{Alone, Cache, Miss, Mode, Policy, Schedule};

/// Longer than anything here takes: a test that waits for it has failed.
const WATCHDOG: Duration = Duration::from_secs(60);
/// So many wait for one.
const WAITERS: usize = 6;
/// After so many failures in a row nobody waits.
const FAILURES: usize = 3;

type Ending<'a> = dyn Fn() -> Result<Product, Failure> + Sync + 'a;

/// A body that so many are in at the same time.
struct Meeting {
    missing: Mutex<usize>,
    all: Condvar,
}

impl Meeting {
    fn of(size: usize) -> Self {
        Self { missing: Mutex::new(size), all: Condvar::new() }
    }

    /// Comes, and goes when all have come.
    fn come(&self) {
        let mut missing = self.missing.lock();
        *missing = missing.saturating_sub(1);
        self.all.notify_all();
        let late = self.all.wait_while_for(&mut missing, |missing| *missing > 0, WATCHDOG);
        if late.timed_out() {
            // Nobody else need come in vain.
            *missing = 0;
            self.all.notify_all();
            panic!("the others did not come");
        }
    }
}

fn serialized(policy: Policy) -> [Policy; 2] {
    [policy, Policy { serialize: true, ..policy }]
}

fn call(
    cache: &Arc<Cache>,
    policy: Policy,
    interrupted: &dyn Fn() -> bool,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> Computed {
    let operation = operation("f");
    let key = operation.key([].into_iter());
    let slot = cache.slot(&key);
    let task = Task {
        operation: &operation,
        key: Ok(key),
        ingredients: &|| operation.ingredients([]),
        policy,
        run: (None, 0),
        interrupted,
    };
    cache.compute(&task, Miss::Absent, slot, body)
}

fn word(computed: &Computed) -> &'static str {
    match computed {
        Computed::Settled(settled) => settled.outcome.word(),
        Computed::Failed(Failure::Cancelled, _) => "cancelled",
        Computed::Failed(..) => "failed",
        Computed::Expanded(..) => "expanded",
    }
}

/// Says once that its caller waits, by being asked whether that gives up.
fn waiting(barrier: &Barrier) -> impl Fn() -> bool {
    let asked = AtomicUsize::new(0);
    move || {
        if asked.fetch_add(1, Ordering::SeqCst) == 0 {
            barrier.wait();
        }
        false
    }
}

/// Has threads wait for one that computes, until it ends by `ending`; then each of them runs
/// `body`. Says what became of them.
fn behind(
    stage: &Stage,
    policy: Policy,
    ending: &Ending<'_>,
    body: &Ending<'_>,
) -> Vec<&'static str> {
    let (leading, all_wait) = (Barrier::new(WAITERS + 1), Barrier::new(WAITERS + 1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            call(&stage.cache, policy, &|| false, &mut || {
                leading.wait();
                all_wait.wait();
                ending()
            })
        });
        let wait = || {
            leading.wait();
            word(&call(&stage.cache, policy, &waiting(&all_wait), &mut || body()))
        };
        let waiters = [(); WAITERS].map(|()| scope.spawn(wait));
        waiters.map(|waiter| waiter.join().unwrap()).to_vec()
    })
}

#[test]
fn behind_a_value_that_cannot_be_stored_all_compute_at_once() {
    for policy in serialized(Policy::default()) {
        let (stage, meeting) = (Stage::new(), Meeting::of(WAITERS));
        let words = behind(&stage, policy, &|| Ok(unstorable(5)), &|| {
            meeting.come();
            Ok(unstorable(5))
        });
        assert_eq!(words, ["computed-not-stored"; WAITERS]);
    }
}

#[test]
fn behind_one_that_only_reads_all_compute_at_once() {
    for policy in serialized(Policy { mode: Mode::ReadOnly, ..Policy::default() }) {
        let (stage, meeting) = (Stage::new(), Meeting::of(WAITERS));
        let words = behind(&stage, policy, &|| Ok(number(5)), &|| {
            meeting.come();
            Ok(number(5))
        });
        assert_eq!(words, ["uncached"; WAITERS]);
    }
}

#[test]
fn behind_a_catalog_that_takes_no_result_all_compute_at_once() {
    for policy in serialized(Policy::default()) {
        let catalog = Arc::new(Sqlite::in_memory().unwrap());
        let stage = Stage::over(Flaky::new(catalog, |_, method| method == "commit"));
        let meeting = Meeting::of(WAITERS);
        let words = behind(&stage, policy, &|| Ok(number(5)), &|| {
            meeting.come();
            Ok(number(5))
        });
        assert_eq!(words, ["computed-not-stored"; WAITERS]);
    }
}

#[test]
fn behind_one_that_was_fenced_all_compute_at_once_and_store() {
    for policy in serialized(Policy::default()) {
        let (stage, meeting) = (Stage::new(), Meeting::of(WAITERS));
        let ending = || {
            stage.catalog.invalidate(None, &Selector::default()).unwrap();
            Ok(number(4))
        };
        let words = behind(&stage, policy, &ending, &|| {
            meeting.come();
            Ok(number(5))
        });
        assert_eq!(words, ["computed"; WAITERS]);
        assert_eq!(stage.catalog.entries(None, &Selector::default(), 9).unwrap().len(), 1);
    }
}

#[test]
fn who_computes_because_the_result_was_somebody_elses_alone_says_so() {
    let stage = Stage::new();
    let policy = Policy { serialize: true, ..Policy::default() };
    let (leading, waits) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            call(&stage.cache, policy, &|| false, &mut || {
                leading.wait();
                waits.wait();
                Ok(unstorable(5))
            })
        });
        leading.wait();
        match call(&stage.cache, policy, &waiting(&waits), &mut || Ok(number(5))) {
            Computed::Settled(settled) => assert_eq!(settled.alone, Some(Alone::Unshared)),
            _ => panic!("it has no value"),
        }
    });
}

#[test]
fn behind_failures_one_computes_after_the_other_until_three_have_failed() {
    for policy in serialized(Policy::default()) {
        let stage = Stage::new();
        let (failures, running) = (AtomicUsize::new(1), AtomicUsize::new(0));
        let meeting = Meeting::of(WAITERS + 1 - FAILURES);
        let mut words = behind(&stage, policy, &|| failed("broken"), &|| {
            if failures.fetch_add(1, Ordering::SeqCst) < FAILURES {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                std::thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                return failed("broken");
            }
            meeting.come();
            Ok(number(5))
        });
        words.sort_unstable();
        assert_eq!(words, ["computed", "computed", "computed", "computed", "failed", "failed"]);
    }
}

/// Whether one that comes while another computes waits for it.
fn is_waited_for(stage: &Stage) -> bool {
    let mut later = None;
    call(&stage.cache, Policy::default(), &|| false, &mut || {
        std::thread::scope(|scope| {
            let comes = || {
                word(&call(&stage.cache, Policy::default(), &|| true, &mut || Ok(unstorable(5))))
            };
            later = Some(scope.spawn(comes).join().unwrap());
        });
        Err(Failure::Cancelled)
    });
    match later.unwrap() {
        "cancelled" => true,
        "computed-not-stored" => false,
        other => panic!("{other}"),
    }
}

#[test]
fn after_three_failures_in_a_row_nobody_is_waited_for_within_a_minute() {
    let clock = Arc::new(Moved::default());
    let stage = Stage::timed(Arc::new(Sqlite::in_memory().unwrap()), Arc::<Moved>::clone(&clock));
    let one =
        |body: &Ending<'_>| _ = call(&stage.cache, Policy::default(), &|| false, &mut || body());
    let fail = || one(&|| failed("broken"));
    (0..2).for_each(|_| fail());
    assert!(is_waited_for(&stage), "two are not three");
    one(&|| Ok(number(5)));
    stage.catalog.invalidate(None, &Selector::default()).unwrap();
    fail();
    assert!(is_waited_for(&stage), "they are not in a row");
    (0..2).for_each(|_| fail());
    assert!(!is_waited_for(&stage));
    clock.pass(Duration::from_secs(59));
    assert!(!is_waited_for(&stage));
    clock.pass(Duration::from_secs(2));
    assert!(is_waited_for(&stage), "they are long ago");
}

#[test]
fn what_says_nothing_about_a_computation_is_no_failure() {
    let stage = Stage::new();
    for _ in 0..5 {
        call(&stage.cache, Policy::default(), &|| false, &mut || Err(Failure::Cancelled));
        call(&stage.cache, Policy::default(), &|| false, &mut || Ok(unstorable(5)));
    }
    assert!(is_waited_for(&stage));
}

#[test]
fn where_three_failed_in_other_processes_nobody_waits_either() {
    let policy = Policy { serialize: true, ..Policy::default() };
    let stage = Stage::new();
    for _ in 0..FAILURES {
        call(&stage.again().cache, policy, &|| false, &mut || failed("broken"));
    }
    let meeting = Meeting::of(WAITERS);
    std::thread::scope(|scope| {
        let one = || {
            let body = &mut || {
                meeting.come();
                Ok(unstorable(5))
            };
            word(&call(&stage.cache, policy, &|| false, body))
        };
        for thread in [(); WAITERS].map(|()| scope.spawn(one)) {
            assert_eq!(thread.join().unwrap(), "computed-not-stored");
        }
    });
}

/// A stage of the same process: the same cache, and what ran kept apart.
fn beside(stage: &Stage) -> Stage {
    Stage { cache: Arc::clone(&stage.cache), ..stage.again() }
}

/// The bodies that `number` of the copies of one operation run: the first `alone` of them end by
/// `ending` one after the other, and the rest are in their bodies at the same time.
fn copies(
    number: usize,
    alone: usize,
    ending: impl Fn() -> Result<Product, Failure> + Send + Sync + 'static,
) -> impl Fn(&Stage) -> Call {
    let (begun, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(ending));
    let meeting = Arc::new(Meeting::of(number - alone));
    move |stage| {
        let (begun, ending, meeting) =
            (Arc::clone(&begun), Arc::clone(&ending), Arc::clone(&meeting));
        stage.scripted("f", vec![], move |_| {
            if begun.fetch_add(1, Ordering::SeqCst) >= alone {
                meeting.come();
            }
            ending()
        })
    }
}

#[test]
fn copies_in_one_run_follow_the_same_rule() {
    let unstored: fn() -> Result<Product, Failure> = || Ok(unstorable(5));
    let cases = [(1, unstored, "computed-not-stored"), (FAILURES, || failed("broken"), "failed")];
    for (alone, ending, word) in cases {
        for policy in serialized(Policy::default()) {
            let stage = Stage::new();
            let copy = copies(WAITERS, alone, ending);
            let nodes = (0..WAITERS).map(|_| Call { policy, ..copy(&stage) }).collect();
            let all: Vec<_> = (0..WAITERS).collect();
            assert_eq!(stage.settle(nodes, &all, WAITERS).words(), [word; WAITERS]);
        }
    }
}

#[test]
fn runs_that_were_put_aside_follow_the_same_rule() {
    for policy in serialized(Policy::default()) {
        let stage = Stage::new();
        let [leading, all_wait] = [(); 2].map(|()| Arc::new(Barrier::new(WAITERS + 1)));
        let copy = copies(WAITERS, 0, || Ok(unstorable(5)));
        std::thread::scope(|scope| {
            let (leads, waited_for) = (Arc::clone(&leading), Arc::clone(&all_wait));
            let other = beside(&stage);
            let leader = other.scripted("f", vec![], move |_| {
                leads.wait();
                waited_for.wait();
                Ok(unstorable(5))
            });
            scope.spawn(move || other.settle(vec![Call { policy, ..leader }], &[0], 1));
            let run = || {
                let stage = beside(&stage);
                let node = Call { policy, ..copy(&stage) };
                let barrier = Arc::clone(&all_wait);
                let listener = move |event: &Event| {
                    if matches!(event, Event::Waiting { .. }) {
                        barrier.wait();
                    }
                };
                let options = Options {
                    workers: 1,
                    run: None,
                    interrupted: &|| false,
                    listener: Arc::new(listener),
                };
                leading.wait();
                let mut schedule = Schedule::new(Arc::clone(&stage.cache), vec![node], options);
                schedule.settle(&[0]);
                let outcome = schedule.outcome(0);
                assert_eq!(outcome.unwrap().word(), "computed-not-stored");
            };
            let runs = [(); WAITERS].map(|()| scope.spawn(run));
            runs.into_iter().for_each(|run| run.join().unwrap());
        });
    }
}
