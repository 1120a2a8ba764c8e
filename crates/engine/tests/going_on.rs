//! Runs that go on: attempts that are made once more, failures that end a run, and results that
//! are taken from before.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stage::*;
use thrifty_engine::annotations::{Annotations, Metric};
use thrifty_engine::catalog::{RunStatus, Sqlite};
use thrifty_engine::compute::Settled;
use thrifty_engine::event::Event;
use thrifty_engine::graph::{Failure, Made, Node as Call, Product, Value};
use thrifty_engine::key::{Key, plain};
use thrifty_engine::record::{Draft, Record};
use thrifty_engine::schedule::{Earlier, Options};
use thrifty_engine::{Outcome, Policy, Schedule};

const HOUR: Duration = Duration::from_secs(3600);

/// A stage whose clock moves an hour on whenever an attempt is put off.
fn hurried() -> (Arc<Moved>, Stage) {
    let clock = Arc::new(Moved::default());
    let stage = Stage::timed(Arc::new(Sqlite::in_memory().unwrap()), Arc::<Moved>::clone(&clock));
    (clock, stage)
}

/// Moves the clock on to the time of each next attempt.
fn hurrying(clock: &Arc<Moved>) -> Arc<thrifty_engine::event::Listener> {
    let clock = Arc::clone(clock);
    Arc::new(move |event: &Event| {
        if let Event::PutOff { after, .. } = event {
            clock.pass(*after);
        }
    })
}

/// Fails so many times, each time to be attempted again after an hour.
fn stubborn(stage: &Stage, name: &str, times: usize) -> (Call, Arc<AtomicUsize>) {
    let tried = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tried);
    let call = stage.scripted(name, vec![], move |_| {
        if counted.fetch_add(1, Ordering::SeqCst) < times {
            return Err(Failure::Again { after: HOUR, message: "not yet".to_owned() });
        }
        Ok(number(7))
    });
    (call, tried)
}

#[test]
fn an_attempt_that_is_to_be_made_again_is_made_when_its_time_has_come() {
    for (workers, serialize) in [(1, false), (1, true), (3, true)] {
        let (clock, stage) = hurried();
        let (call, tried) = stubborn(&stage, "stubborn", 2);
        let call = Call { policy: Policy { serialize, ..Policy::default() }, ..call };
        let listener = hurrying(&clock);
        let nodes = vec![call, stage.call("behind", &[0], |i| i[0] + 1)];
        let run = Options { workers, run: None, interrupted: &|| false, listener };
        let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes, run);
        schedule.settle(&[1]);
        assert_eq!(tried.load(Ordering::SeqCst), 3);
        assert_eq!(schedule.outcome(0).unwrap().word(), "computed");
        assert_eq!(schedule.status(), RunStatus::Succeeded);
        let (again, _) = stubborn(&stage, "stubborn", 0);
        assert_eq!(stage.settle(vec![again], &[0], 1).words(), ["hit-memory"]);
    }
}

#[test]
fn what_waits_for_another_attempt_holds_no_worker_and_no_reservation() {
    let (clock, stage) = hurried();
    let serialize = Policy { serialize: true, ..Policy::default() };
    let other = stage.again();
    let ran_meanwhile = Arc::new(AtomicUsize::new(0));
    // The clock does not move by itself: the other operation, with the only worker, moves it; and
    // meanwhile somebody else takes the key that waits.
    let (first, tried) = stubborn(&stage, "stubborn", 1);
    let (moved, ran) = (Arc::clone(&clock), Arc::clone(&ran_meanwhile));
    let meanwhile = stage.scripted("other", vec![], move |_| {
        let call = other.call("stubborn", &[], |_| 7);
        let call = Call { policy: serialize, ..call };
        assert_eq!(other.settle(vec![call], &[0], 1).words(), ["computed"]);
        ran.fetch_add(1, Ordering::SeqCst);
        moved.pass(HOUR);
        Ok(number(1))
    });
    let nodes = vec![Call { policy: serialize, ..first }, meanwhile];
    let run = Options {
        workers: 1,
        run: None,
        interrupted: &|| false,
        listener: Arc::new(|_: &Event| {}),
    };
    let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes, run);
    schedule.settle(&[0, 1]);
    assert_eq!(ran_meanwhile.load(Ordering::SeqCst), 1);
    assert_eq!(tried.load(Ordering::SeqCst), 1, "the result was there when the time had come");
    assert_eq!(schedule.outcome(0).unwrap(), Outcome::Waited);
}

#[test]
fn an_interrupt_ends_the_wait_for_another_attempt() {
    let (_, stage) = hurried();
    let stop = Arc::new(AtomicBool::new(false));
    let (call, tried) = stubborn(&stage, "stubborn", 9);
    let stopping = Arc::clone(&stop);
    let listener = Arc::new(move |event: &Event| {
        if matches!(event, Event::PutOff { .. }) {
            stopping.store(true, Ordering::SeqCst);
        }
    });
    let interrupted = || stop.load(Ordering::SeqCst);
    let run = Options { workers: 1, run: None, interrupted: &interrupted, listener };
    let mut schedule = Schedule::new(Arc::clone(&stage.cache), vec![call], run);
    schedule.settle(&[0]);
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    assert_eq!(schedule.status(), RunStatus::Cancelled);
    assert_eq!(schedule.history()[0].outcome, "cancelled");
}

#[test]
fn a_failure_that_ends_the_run_lets_nothing_begin_and_what_runs_end() {
    for workers in [1, 2] {
        let stage = Stage::new();
        let fail_fast = Policy { fail_fast: true, ..Policy::default() };
        let both_run = Arc::new(std::sync::Barrier::new(workers));
        let waits = Arc::clone(&both_run);
        let bad = stage.scripted("bad", vec![], move |_| {
            waits.wait();
            failed("broken")
        });
        // It ends after the failure was told.
        let (tell, told) = std::sync::mpsc::channel();
        let told = parking_lot::Mutex::new(told);
        let runs = stage.scripted("runs", vec![], move |_| {
            both_run.wait();
            told.lock().recv().unwrap();
            Ok(number(1))
        });
        let listener = Arc::new(move |event: &Event| {
            if let Event::Settled { number: 0, .. } = event {
                tell.send(()).unwrap();
            }
        });
        let nodes = vec![
            Call { policy: fail_fast, ..bad },
            runs,
            stage.call("behind bad", &[0], |_| 0),
            stage.call("behind runs", &[1], |i| i[0]),
            stage.call("far behind", &[3], |i| i[0]),
        ];
        let options = Options { workers, run: None, interrupted: &|| false, listener };
        let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes, options);
        schedule.settle(&[2, 4]);
        let words: Vec<_> = (0..5).map(|n| schedule.outcome(n).unwrap().word()).collect();
        let of_runs = if workers == 1 { "not-started" } else { "computed" };
        assert_eq!(words, ["failed", of_runs, "upstream-failed", "not-started", "not-started"]);
        assert_eq!(schedule.history()[4].detail, "bad had failed");
        assert_eq!(schedule.status(), RunStatus::Failed);
        assert_eq!(schedule.failure().unwrap().0, 0);
    }
}

#[test]
fn parts_of_an_operation_that_expanded_do_not_begin_either() {
    let stage = Stage::new();
    let fail_fast = Policy { fail_fast: true, ..Policy::default() };
    let bad = || Call { policy: fail_fast, ..stage.scripted("bad", vec![], |_| failed("broken")) };
    let parts = vec![bad(), stage.call("a", &[], |_| 1), stage.call("b", &[1], |i| i[0])];
    let parts = parking_lot::Mutex::new(Some(parts));
    let nodes = vec![
        stage.scripted("unit", vec![], move |_| Ok(expanded(parts.lock().take().unwrap(), 2))),
    ];
    // `bad` is no part of the value, and is not demanded: nothing stops.
    assert_eq!(stage.settle(nodes, &[0], 1).words(), ["computed", "-", "computed", "computed"]);
    let more = vec![bad(), stage.call("c", &[0], |_| 1)];
    let more = parking_lot::Mutex::new(Some(more));
    let unit =
        stage.scripted("unit 2", vec![], move |_| Ok(expanded(more.lock().take().unwrap(), 1)));
    let nodes = vec![unit, stage.call("late", &[0], |i| i[0])];
    let words = stage.settle(nodes, &[1], 1).words();
    assert_eq!(words, ["upstream-failed", "upstream-failed", "failed", "upstream-failed"]);
}

/// What an operation gave before, in memory.
fn given(value: i64, run: &str) -> Settled {
    let Product::Made(made) = number(value) else { unreachable!() };
    Settled {
        came: thrifty_engine::compute::Came::Before,
        value: Value::Live {
            object: made.object,
            contribution: made.contribution,
            outline: None,
            terms: thrifty_engine::answer::Terms::default(),
        },
        outcome: Outcome::Skipped(run.to_owned()),
        entry: None,
        spent: Duration::ZERO,
        alone: None,
        made: None,
    }
}

#[test]
fn what_is_given_is_neither_looked_up_nor_stored_and_what_follows_is_keyed_by_its_value() {
    let stage = Stage::new();
    let nodes = |stage: &Stage| {
        vec![
            stage.scripted("before", vec![], |_| failed("never runs")),
            stage.call("taken", &[0], |_| 1),
            stage.call("after", &[1], |i| i[0] * 10),
        ]
    };
    let options = || Options {
        workers: 1,
        run: None,
        interrupted: &|| false,
        listener: Arc::new(|_: &Event| {}),
    };
    let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes(&stage), options());
    schedule.give(1, given(5, "k3f9"));
    schedule.settle(&[2]);
    assert_eq!(schedule.status(), RunStatus::Succeeded);
    assert_eq!(schedule.settled(0).map(|_| ()), None, "it is not needed");
    let history = schedule.history();
    assert_eq!((&*history[0].outcome, &*history[0].detail), ("skipped", "taken from run k3f9"));
    assert_eq!(history[0].entry, None);
    let key_after = schedule.key(2);
    drop(schedule);
    // The same input, computed: the result of what followed is right for it, and a hit.
    let honest = vec![stage.call("other", &[], |_| 5), stage.call("after", &[0], |_| 0)];
    let settled = stage.settle(honest, &[1], 1);
    assert_eq!(settled.words(), ["computed", "hit-memory"]);
    assert_eq!((settled.keys[1], settled.values[1]), (key_after, Some(50)));
    // And what was given never answers for the operation itself.
    let settled = stage.settle(
        vec![stage.call("x", &[], |_| 2), stage.call("taken", &[0], |i| i[0])],
        &[1],
        1,
    );
    assert_eq!(settled.words(), ["computed", "computed"]);
}

struct Before(Vec<(&'static str, Option<Key>, i64)>);

impl Earlier for Before {
    fn result(&self, operation: &str, key: &Key) -> Option<Settled> {
        let found = self
            .0
            .iter()
            .find(|(name, known, _)| *name == operation && known.is_none_or(|known| known == *key));
        found.map(|(.., value)| given(*value, "k3f9"))
    }
}

#[test]
fn what_was_computed_before_is_taken_under_the_same_key_alone() {
    let stage = Stage::new();
    let off = Policy { mode: thrifty_engine::Mode::Off, ..Policy::default() };
    let nodes = |name: &str| {
        let call = stage.call(name, &[], |_| 1);
        vec![Call { policy: off, ..call }, stage.call("b", &[0], |i| i[0] + 1)]
    };
    let run = |nodes: Vec<Call>, before: Before| {
        let options = Options {
            workers: 1,
            run: None,
            interrupted: &|| false,
            listener: Arc::new(|_: &Event| {}),
        };
        let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes, options);
        schedule.take_from(before);
        schedule.settle(&[1]);
        let words: Vec<_> = (0..2).map(|n| schedule.outcome(n).unwrap().word()).collect();
        (words, schedule.key(0))
    };
    let (words, key) = run(nodes("a"), Before(Vec::new()));
    assert_eq!(words, ["uncached", "computed"]);
    let (words, _) = run(nodes("a"), Before(vec![("a", key, 4)]));
    assert_eq!(words, ["skipped", "computed"], "caching is off for it, and b takes another value");
    let (words, _) = run(nodes("a edited"), Before(vec![("a edited", key, 4)]));
    assert_eq!(words, ["uncached", "hit-memory"], "the key is another one");
}

fn notes(value: f64) -> Annotations {
    Annotations {
        metrics: vec![Metric { name: "loss".to_owned(), value, step: Some(3) }],
        plots: vec!["curve".to_owned()],
        tags: vec!["best".to_owned()],
        attempt: Some(2),
    }
}

fn told(value: f64) -> Product {
    let draft = Draft::Plain(plain::int(7)).annotated(notes(value));
    Product::Made(Made::new(Arc::new(7_i64), draft))
}

#[test]
fn annotations_come_with_a_hit_and_count_for_nothing() {
    let stage = Stage::new();
    let nodes = |stage: &Stage, value: f64| {
        let call = stage.scripted("told", vec![], move |_| Ok(told(value)));
        vec![call, stage.call("b", &[0], |i| i[0])]
    };
    let first = stage.settle(nodes(&stage, 0.5), &[1], 1);
    let again = stage.again();
    let second = again.settle(nodes(&again, 0.1), &[1], 1);
    assert_eq!(second.words(), ["hit-local", "hit-local"]);
    assert_eq!((second.values[1], &second.keys), (Some(7), &first.keys));
    let entries = stage.catalog.entries(None, &Default::default(), 9).unwrap();
    let record = Record::from_bytes(&entries[1].output).unwrap();
    assert_eq!(record.annotations(), Some(&notes(0.5)));
    assert_eq!(entries[1].output_digest, {
        let plain = Record::Plain(plain::int(7)).contribution().unwrap();
        plain::digest_of_contribution(&plain)
    });
}
