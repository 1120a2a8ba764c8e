//! Who waits for somebody else holds no worker, and goes on when it can.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use stage::*;
use thrifty_engine::catalog::{Catalog, NewRun, RunId, Selector};
use thrifty_engine::event::Event;
use thrifty_engine::graph::Node as Call;
use thrifty_engine::schedule::Options;
use thrifty_engine::{OnFailure, Policy, Schedule};

/// Longer than anything here takes: a test that waits for it has failed.
const WATCHDOG: Duration = Duration::from_secs(60);

fn serialized(call: Call) -> Call {
    let policy = Policy { serialize: true, ..call.policy };
    Call { policy, ..call }
}

/// A computation of `f` by somebody else that ends when it is told how.
struct Slow {
    go: Sender<Result<i64, &'static str>>,
    thread: JoinHandle<Settlement>,
}

impl Slow {
    /// Begins, and returns when its body runs.
    fn begin(stage: Stage, policy: Policy) -> Self {
        let (go, told) = channel();
        let (begun, begins) = channel();
        let thread = std::thread::spawn(move || {
            let told = Mutex::new(told);
            let body = stage.scripted("f", vec![], move |_| {
                begun.send(()).unwrap();
                match told.lock().recv_timeout(WATCHDOG).unwrap() {
                    Ok(value) => Ok(number(value)),
                    Err(message) => failed(message),
                }
            });
            stage.settle(vec![Call { policy, ..body }], &[0], 1)
        });
        begins.recv_timeout(WATCHDOG).unwrap();
        Self { go, thread }
    }
}

fn held_by_another_process(policy: Policy) -> (Stage, Slow) {
    let stage = Stage::new();
    let slow = Slow::begin(stage.again(), policy);
    (stage, slow)
}

fn once() -> Policy {
    Policy { serialize: true, ..Policy::default() }
}

/// A stage of the same process: the same cache, and what ran kept apart.
fn beside(stage: &Stage) -> Stage {
    Stage { cache: Arc::clone(&stage.cache), ..stage.again() }
}

/// The graph of `f` and of `g`, whose body ends the wait of the other; by one worker.
fn settle_with(
    stage: &Stage,
    policy: Policy,
    end: impl Fn() + Send + Sync + 'static,
) -> Settlement {
    let f = Call { policy, ..stage.call("f", &[], |_| 2) };
    let g = stage.scripted("g", vec![], move |_| {
        end();
        Ok(number(7))
    });
    stage.settle(vec![f, g], &[0, 1], 1)
}

fn waits(stage: &Stage) -> Vec<(usize, String)> {
    let events = stage.events.lock();
    let waits = events.iter().filter_map(|event| match event {
        Event::Waiting { number, behind, .. } => Some((*number, behind.clone())),
        _ => None,
    });
    waits.collect()
}

/// What is told of the first operation.
fn told_of_first(stage: &Stage) -> Vec<&'static str> {
    let events = stage.events.lock();
    let told = events.iter().filter_map(|event| match event {
        Event::Started { number: 0, .. } => Some("started"),
        Event::Waiting { number: 0, .. } => Some("waiting"),
        Event::Settled { number: 0, outcome, .. } => Some(outcome.word()),
        _ => None,
    });
    told.collect()
}

#[test]
fn that_a_body_began_is_told_when_it_begins_after_a_wait_and_not_before() {
    for (ends, is_process) in [(Ok(1), true), (Ok(1), false), (Err("no"), true), (Err("no"), false)]
    {
        let stage = Stage::new();
        let other = if is_process { stage.again() } else { beside(&stage) };
        let slow = Slow::begin(other, once());
        let go = slow.go.clone();
        settle_with(&stage, once(), move || go.send(ends).unwrap());
        let mut told = vec!["started", "waiting", "started", "computed"];
        if ends.is_ok() {
            told.splice(2.., ["waited"]);
        }
        assert_eq!(told_of_first(&stage), told, "{ends:?} {is_process}");
        slow.thread.join().unwrap();
    }
}

/// Invalidates `f`, of which nothing is stored.
fn invalidate_f(catalog: &dyn Catalog) {
    let f = Selector { operation: Some("f".to_owned()), ..Selector::default() };
    catalog.invalidate(None, &f).unwrap();
}

#[test]
fn what_was_invalidated_while_a_call_waited_for_its_turn_does_not_refuse_its_result() {
    let stage = Stage::new();
    let catalog = Arc::clone(&stage.catalog);
    let g = stage.scripted("g", vec![], move |_| {
        invalidate_f(catalog.as_ref());
        Ok(number(7))
    });
    // Both are looked up at once, and run one after the other.
    let nodes = vec![g, stage.call("f", &[], |_| 2)];
    assert_eq!(stage.settle(nodes, &[0, 1], 1).words(), ["computed", "computed"]);
    let again = stage.again();
    let f = again.call("f", &[], |_| 2);
    assert_eq!(again.settle(vec![f], &[0], 1).words(), ["hit-local"]);
}

#[test]
fn nor_what_was_while_it_waited_for_another_run() {
    let stage = Stage::new();
    let slow = Slow::begin(beside(&stage), Policy::default());
    let (go, catalog) = (slow.go.clone(), Arc::clone(&stage.catalog));
    let settled = settle_with(&stage, Policy::default(), move || {
        invalidate_f(catalog.as_ref());
        go.send(Err("broken")).unwrap();
    });
    assert_eq!(settled.words(), ["computed", "computed"]);
    slow.thread.join().unwrap();
}

#[test]
fn what_is_invalidated_while_its_body_runs_is_not_stored() {
    let stage = Stage::new();
    let catalog = Arc::clone(&stage.catalog);
    let f = stage.scripted("f", vec![], move |_| {
        invalidate_f(catalog.as_ref());
        Ok(number(2))
    });
    assert_eq!(stage.settle(vec![f], &[0], 1).words(), ["fenced"]);
}

#[test]
fn a_wait_for_another_process_holds_no_worker() {
    let (stage, slow) = held_by_another_process(once());
    let go = slow.go.clone();
    let settled = settle_with(&stage, once(), move || go.send(Ok(1)).unwrap());
    assert_eq!(settled.words(), ["waited", "computed"]);
    assert_eq!(settled.values, [Some(1), Some(7)]);
    assert_eq!(stage.take_ran(), ["g"]);
    let waits = waits(&stage);
    assert_eq!(waits[0].0, 0);
    let (process, host) = (std::process::id().to_string(), stage.cache.who().0.to_owned());
    assert!(waits[0].1.starts_with(&format!("process {process} on {host}")), "{waits:?}");
    assert_eq!(slow.thread.join().unwrap().words(), ["computed"]);
}

#[test]
fn a_wait_for_another_run_of_this_process_holds_no_worker() {
    let stage = Stage::new();
    let slow = Slow::begin(beside(&stage), Policy::default());
    let go = slow.go.clone();
    let settled = settle_with(&stage, Policy::default(), move || go.send(Ok(1)).unwrap());
    assert_eq!(settled.words(), ["waited", "computed"]);
    assert_eq!((stage.take_ran(), waits(&stage).len()), (vec!["g".to_owned()], 1));
    slow.thread.join().unwrap();
}

#[test]
fn when_the_other_fails_the_one_that_was_put_aside_computes() {
    for is_process in [true, false] {
        let stage = Stage::new();
        let other = if is_process { stage.again() } else { beside(&stage) };
        let slow = Slow::begin(other, once());
        let go = slow.go.clone();
        let settled = settle_with(&stage, once(), move || go.send(Err("broken")).unwrap());
        assert_eq!(settled.words(), ["computed", "computed"]);
        assert_eq!(settled.values, [Some(2), Some(7)]);
        assert_eq!(slow.thread.join().unwrap().words(), ["failed"]);
    }
}

#[test]
fn a_shared_failure_reaches_the_one_that_was_put_aside() {
    for is_process in [true, false] {
        let stage = Stage::new();
        let other = if is_process { stage.again() } else { beside(&stage) };
        let policy = Policy { on_failure: OnFailure::Share, ..once() };
        let slow = Slow::begin(other, policy);
        let go = slow.go.clone();
        let settled = settle_with(&stage, policy, move || go.send(Err("broken")).unwrap());
        assert_eq!(settled.words(), ["failed", "computed"]);
        assert_eq!(settled.failures, [(0, "broken".to_owned())]);
        slow.thread.join().unwrap();
    }
}

#[test]
fn who_is_told_to_wait_for_nobody_computes_beside() {
    for is_process in [true, false] {
        let stage = Stage::new();
        let other = if is_process { stage.again() } else { beside(&stage) };
        let slow = Slow::begin(other, once());
        let now = Policy { now: true, ..once() };
        let f = Call { policy: now, ..stage.call("f", &[], |_| 2) };
        let settled = stage.settle(vec![f], &[0], 1);
        assert_eq!((settled.words(), waits(&stage).len()), (vec!["computed"], 0));
        slow.go.send(Ok(2)).unwrap();
        // The slot was held until now: what was stored first stays.
        let slower = slow.thread.join().unwrap();
        assert_eq!(slower.values, [Some(2)]);
        assert_eq!(stage.catalog.entries(None, &Selector::default(), 9).unwrap().len(), 1);
    }
}

/// The body of one operation asks for what another operation of its run waits for, on the only
/// worker there is.
#[test]
fn a_body_may_ask_for_what_its_own_run_was_put_aside_for() {
    let (stage, slow) = held_by_another_process(once());
    let f = serialized(stage.call("f", &[], |_| 2));
    let cache = Arc::clone(&stage.cache);
    let go = Mutex::new(Some(slow.go.clone()));
    let inner = beside(&stage);
    let g = stage.scripted("g", vec![], move |_| {
        let inner_f = Call { policy: once(), ..inner.call("f", &[], |_| 3) };
        let told = go.lock().take();
        // The other ends as soon as this asks.
        let interrupted = move || {
            if let Some(go) = &told {
                _ = go.send(Ok(1));
            }
            false
        };
        let options = Options {
            workers: 1,
            run: None,
            interrupted: &interrupted,
            listener: Arc::new(|_: &Event| {}),
        };
        let mut schedule = Schedule::new(Arc::clone(&cache), vec![inner_f], options);
        schedule.settle(&[0]);
        let settled = schedule.settled(0).unwrap().as_ref().ok().unwrap();
        Ok(number(10 * load(&inner.blobs, &settled.value, &[]).unwrap()))
    });
    let settled = stage.settle(vec![f, g], &[0, 1], 1);
    assert_eq!(settled.values, [Some(1), Some(10)]);
    assert_eq!(stage.take_ran(), ["g"]);
    slow.thread.join().unwrap();
}

#[test]
fn a_run_that_only_waits_can_be_interrupted() {
    let (stage, slow) = held_by_another_process(once());
    let stop = AtomicBool::new(false);
    let f = serialized(stage.call("f", &[], |_| 2));
    // Asked before anything is attempted, and again while it waits.
    let interrupted = || stop.swap(true, Ordering::SeqCst);
    let options =
        Options { workers: 1, run: None, interrupted: &interrupted, listener: Arc::new(|_| {}) };
    let mut schedule = Schedule::new(Arc::clone(&stage.cache), vec![f], options);
    schedule.settle(&[0]);
    assert!(schedule.is_stopped());
    drop(schedule);
    slow.go.send(Ok(1)).unwrap();
    assert_eq!(slow.thread.join().unwrap().words(), ["computed"]);
}

fn run_of(stage: &Stage) -> RunId {
    stage.cache.recorder().begin(&NewRun::default()).unwrap()
}

#[test]
fn a_wait_is_recorded_while_it_lasts() {
    let (stage, slow) = held_by_another_process(once());
    let run = run_of(&stage);
    let (cache, catalog) = (Arc::clone(&stage.cache), Arc::clone(&stage.catalog));
    let (seen, sees): (_, Receiver<Vec<(String, String)>>) = channel();
    let looked_at = run.clone();
    let g = stage.scripted("g", vec![], move |_| {
        cache.recorder().flush();
        let nodes = catalog.nodes(&looked_at).unwrap();
        seen.send(nodes.into_iter().map(|node| (node.outcome, node.detail)).collect()).unwrap();
        slow.go.send(Ok(1)).unwrap();
        Ok(number(7))
    });
    let f = serialized(stage.call("f", &[], |_| 2));
    let settled = stage.settle_in(vec![f, g], &[0, 1], 1, Some(run.clone()));
    let during = sees.recv_timeout(WATCHDOG).unwrap();
    assert_eq!(during.len(), 1);
    assert_eq!(during[0].0, "waiting");
    assert!(during[0].1.starts_with("for process "), "{during:?}");
    stage.cache.recorder().nodes(&run, settled.history);
    stage.cache.recorder().flush();
    let after: Vec<_> =
        stage.catalog.nodes(&run).unwrap().into_iter().map(|node| node.outcome).collect();
    assert_eq!(after, ["waited", "computed"]);
}

#[test]
fn many_that_wait_need_one_worker() {
    const MANY: usize = 100;
    let stage = Stage::new();
    let other = stage.again();
    let (begun, begins) = channel();
    let (go, told) = channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let theirs = std::thread::spawn(move || {
        let call = |n: usize| {
            let (begun, told) = (begun.clone(), Arc::clone(&told));
            let call = other.scripted(&format!("f{n}"), vec![], move |_| {
                begun.send(()).unwrap();
                told.lock().recv_timeout(WATCHDOG).unwrap();
                Ok(number(1))
            });
            serialized(call)
        };
        other.settle((0..MANY).map(call).collect(), &(0..MANY).collect::<Vec<_>>(), MANY)
    });
    (0..MANY).for_each(|_| begins.recv_timeout(WATCHDOG).unwrap());
    let mut nodes: Vec<_> =
        (0..MANY).map(|n| serialized(stage.call(&format!("f{n}"), &[], |_| 2))).collect();
    nodes.push(stage.scripted("g", vec![], move |_| {
        (0..MANY).for_each(|_| go.send(()).unwrap());
        Ok(number(7))
    }));
    let settled = stage.settle(nodes, &(0..=MANY).collect::<Vec<_>>(), 1);
    assert!(settled.values[..MANY].iter().all(|value| *value == Some(1)));
    assert_eq!(stage.take_ran(), ["g"]);
    theirs.join().unwrap();
}
