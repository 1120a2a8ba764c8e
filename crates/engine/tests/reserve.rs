//! One execution among processes, and none that hangs on another.

#![allow(clippy::unwrap_used)]

mod stage;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use stage::*;
use thrifty_engine::catalog::{
    Catalog, Clock, Ended, Holder, Mode as Access, Reserved, Sqlite, System, Time,
};
use thrifty_engine::compute::{Came, Computed, Settled, Task};
use thrifty_engine::graph::{Failure, Loss, Product, Value};
use thrifty_engine::{Alone, Cache, Looked, Miss, OnFailure, Operation, Outcome, Policy, Reason};

const LEASE: Duration = Duration::from_secs(10);

fn by(nonce: u128) -> Holder {
    Holder { nonce, ..Holder::default() }
}

fn one_at_a_time() -> Policy {
    Policy { serialize: true, ..Policy::default() }
}

fn shared() -> Policy {
    Policy { on_failure: OnFailure::Share, ..one_at_a_time() }
}

/// Never again, but for a wait that has no end: then the test fails, and does not hang.
fn patience() -> impl Fn() -> bool {
    let asked = AtomicUsize::new(0);
    move || asked.fetch_add(1, Ordering::SeqCst) > 300
}

/// A call that other processes wait for; its outcome as a word, and the number.
fn call(
    cache: &Arc<Cache>,
    interrupted: &dyn Fn() -> bool,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> (&'static str, i64) {
    match call_as(cache, "f", one_at_a_time(), interrupted, body) {
        Computed::Settled(settled) => {
            let value = load(&Shaky::default(), &settled.value, &[]).unwrap();
            (settled.outcome.word(), value)
        }
        Computed::Failed(Failure::Cancelled, _) => ("cancelled", 0),
        _ => panic!("it failed"),
    }
}

fn call_as(
    cache: &Arc<Cache>,
    name: &str,
    policy: Policy,
    interrupted: &dyn Fn() -> bool,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> Computed {
    call_of(cache, &operation(name), policy, interrupted, body)
}

fn call_of(
    cache: &Arc<Cache>,
    operation: &Operation,
    policy: Policy,
    interrupted: &dyn Fn() -> bool,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> Computed {
    let key = operation.key([].into_iter());
    let (miss, slot) = match cache.look(&key, None) {
        Looked::Miss(miss, slot) => (miss, slot),
        Looked::Hit(answer, outcome) => {
            return Computed::Settled(Settled {
                entry: answer.entry,
                value: Value::Known(answer),
                outcome,
                came: Came::Now,
                spent: Duration::ZERO,
                alone: None,
                made: None,
            });
        }
    };
    let task = Task {
        operation,
        key: Ok(key),
        ingredients: &|| operation.ingredients([]),
        policy,
        run: (None, 0),
        interrupted,
    };
    cache.compute(&task, miss, slot, body)
}

fn settled(computed: Computed) -> Settled {
    match computed {
        Computed::Settled(settled) => settled,
        Computed::Failed(failure, _) => panic!("it failed: {}", failure.message()),
        Computed::Expanded(..) => panic!("it became other operations"),
    }
}

fn timed(directory: &Path, clock: &Arc<Moved>) -> Stage {
    let path = directory.join("catalog.sqlite");
    let time = || Arc::<Moved>::clone(clock);
    let catalog = Sqlite::open_with_clock(&path, Access::ReadWrite, time()).unwrap();
    Stage::timed(Arc::new(catalog), time())
}

#[test]
fn handles_on_one_directory_compute_once() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let (barrier, runs) = (Barrier::new(6), AtomicUsize::new(0));
    let stages: Vec<_> = (0..6).map(|_| timed(directory.path(), &clock)).collect();
    let mut words: Vec<_> = std::thread::scope(|scope| {
        let one = |stage: &Stage| {
            barrier.wait();
            call(&stage.cache, &|| false, &mut || {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(number(5))
            })
        };
        let threads: Vec<_> = stages.iter().map(|stage| scope.spawn(move || one(stage))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    words.sort_unstable();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(words[0], ("computed", 5));
    assert!(words[1..].iter().all(|word| ["waited", "hit-local"].contains(&word.0) && word.1 == 5));
}

#[test]
fn a_dead_holders_place_is_taken_when_its_lease_has_passed() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let stage = timed(directory.path(), &clock);
    let key = operation("f").key([].into_iter());
    let reserved = stage.catalog.reserve(&scope(), &key, &by(7), LEASE).unwrap();
    assert!(matches!(reserved, Reserved::Taken(_)));
    let asked = AtomicUsize::new(0);
    let runs = AtomicUsize::new(0);
    let interrupted = || {
        // Asked between two looks: as long as the lease holds, nothing runs.
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        if asked.fetch_add(1, Ordering::SeqCst) == 2 {
            clock.pass(LEASE + Duration::from_millis(1));
        }
        false
    };
    let word = call(&stage.cache, &interrupted, &mut || {
        runs.fetch_add(1, Ordering::SeqCst);
        Ok(number(5))
    });
    assert_eq!(word, ("computed", 5));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    // The slot was given back.
    let free = stage.catalog.reserve(&scope(), &key, &by(8), LEASE).unwrap();
    assert!(matches!(free, Reserved::Taken(_)));
}

#[test]
fn who_waits_for_another_process_may_give_up() {
    let stage = Stage::new();
    let key = operation("f").key([].into_iter());
    stage.catalog.reserve(&scope(), &key, &by(7), LEASE).unwrap();
    let word = call(&stage.cache, &|| true, &mut || Ok(number(5)));
    assert_eq!(word, ("cancelled", 0));
}

#[test]
fn who_was_overtaken_commits_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let (slow, quick) = (timed(directory.path(), &clock), timed(directory.path(), &clock));
    let word = call(&slow.cache, &|| false, &mut || {
        clock.pass(LEASE * 2);
        assert_eq!(call(&quick.cache, &|| false, &mut || Ok(number(2))), ("computed", 2));
        Ok(number(1))
    });
    assert_eq!(word, ("fenced", 1));
    assert_eq!(call(&slow.cache, &|| false, &mut || Ok(number(3))), ("hit-local", 2));
}

#[test]
fn a_lease_that_passed_is_good_while_nobody_took_the_place() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let stage = timed(directory.path(), &clock);
    let word = call(&stage.cache, &|| false, &mut || {
        clock.pass(LEASE * 2);
        Ok(number(1))
    });
    assert_eq!(word, ("computed", 1));
    assert_eq!(call(&stage.again().cache, &|| false, &mut || Ok(number(3))), ("hit-local", 1));
}

#[test]
fn who_waits_asks_the_catalog_only_when_something_happened() {
    let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), |_, _| false);
    let stage = Stage::over(Arc::<Flaky>::clone(&flaky));
    let key = operation("f").key([].into_iter());
    stage.catalog.reserve(&scope(), &key, &by(7), LEASE).unwrap();
    let asked = AtomicUsize::new(0);
    let first = AtomicUsize::new(0);
    let interrupted = || {
        let calls = flaky.calls.load(Ordering::SeqCst);
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => first.store(calls, Ordering::SeqCst),
            _ => assert_eq!(calls, first.load(Ordering::SeqCst)),
        }
        asked.load(Ordering::SeqCst) == 5
    };
    assert_eq!(call(&stage.cache, &interrupted, &mut || Ok(number(5))), ("cancelled", 0));
    // One look at the entry, one at the slot; nothing was written.
    assert!(first.load(Ordering::SeqCst) <= 4);
}

/// The first of two handles computes, and its body ends only when the second waits for it.
fn one_waits(
    policy: Policy,
    first: impl Fn() -> Result<Product, Failure> + Sync,
    second: impl Fn() -> Result<Product, Failure> + Sync,
) -> (Computed, Computed) {
    let directory = tempfile::tempdir().unwrap();
    // Time stands still: whoever waits is woken, or waits for ever.
    let clock = Arc::new(Moved::default());
    let (leader, waiter) = (timed(directory.path(), &clock), timed(directory.path(), &clock));
    let (runs, waits) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        let leading = threads.spawn(|| {
            call_as(&leader.cache, "f", policy, &|| false, &mut || {
                runs.store(1, Ordering::SeqCst);
                while waits.load(Ordering::SeqCst) == 0 {
                    std::thread::yield_now();
                }
                first()
            })
        });
        while runs.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let give_up = patience();
        let interrupted = || {
            waits.store(1, Ordering::SeqCst);
            give_up()
        };
        let waited = call_as(&waiter.cache, "f", policy, &interrupted, &mut || second());
        (leading.join().unwrap(), waited)
    })
}

#[test]
fn the_next_computes_at_once_when_the_first_fails() {
    let (first, second) = one_waits(one_at_a_time(), || failed("broken"), || Ok(number(2)));
    assert!(matches!(first, Computed::Failed(Failure::Raised { .. }, _)));
    let second = settled(second);
    assert_eq!(second.outcome.word(), "computed");
    assert_eq!(second.alone, None);
}

#[test]
fn a_failure_is_shared_with_those_who_waited_for_it_alone() {
    let (first, second) = one_waits(shared(), || failed("broken"), || panic!("it waited"));
    let mut of = Vec::new();
    for (computed, has_run) in [(first, true), (second, false)] {
        let Computed::Failed(failure, spent) = computed else { panic!("it did not fail") };
        assert_eq!(spent > Duration::ZERO, has_run, "waiting is no work");
        assert!(failure.message().contains("broken"), "{}", failure.message());
        of.push(failure.terms().cloned().unwrap_or_default().made_of);
    }
    // Who goes on after the failure of another process does not know what that was made of.
    assert_eq!([of[0].is_unknown(), of[1].is_unknown()], [false, true]);
    let stage = Stage::new();
    let goes_on = settled(call_as(&stage.cache, "g", Policy::default(), &|| false, &mut || {
        let Product::Made(mut made) = number(1) else { panic!("it is made") };
        made.made_of.take("f", None, None, &of[1]);
        Ok(Product::Made(made))
    }));
    assert_eq!(goes_on.reason(), Some(Reason::Unknown));
    assert!(matches!(goes_on.outcome, Outcome::NotStored(..)));
    let stage = Stage::new();
    let fail = || call_as(&stage.cache, "f", shared(), &|| false, &mut || failed("broken"));
    assert!(matches!(fail(), Computed::Failed(..)));
    // Who comes later did not wait for it.
    let later = call_as(&stage.again().cache, "f", shared(), &|| false, &mut || Ok(number(1)));
    assert_eq!(settled(later).outcome.word(), "computed");
}

#[test]
fn after_three_failures_nobody_waits() {
    let stage = Stage::new();
    for _ in 0..3 {
        call_as(&stage.cache, "f", one_at_a_time(), &|| false, &mut || failed("broken"));
    }
    let other = stage.again();
    let mut inner = None;
    let outer = call_as(&stage.cache, "f", one_at_a_time(), &patience(), &mut || {
        let body = &mut || Ok(number(1));
        inner = Some(call_as(&other.cache, "f", one_at_a_time(), &patience(), body));
        Ok(number(1))
    });
    let (outer, inner) = (settled(outer), settled(inner.unwrap()));
    assert_eq!((outer.alone, inner.alone), (Some(Alone::Failing), Some(Alone::Failing)));
    assert_eq!((outer.outcome.word(), inner.outcome.word()), ("computed", "computed"));
}

#[test]
fn what_was_given_up_is_no_failure() {
    let stage = Stage::new();
    for _ in 0..5 {
        let lost = || Err(Failure::Lost { edge: 0, loss: Loss::Bytes, reason: "gone".to_owned() });
        call_as(&stage.cache, "f", one_at_a_time(), &|| false, &mut || lost());
        let cancelled = || Err(Failure::Cancelled);
        call_as(&stage.cache, "f", one_at_a_time(), &|| false, &mut || cancelled());
    }
    let last = call_as(&stage.cache, "f", one_at_a_time(), &|| false, &mut || Ok(number(1)));
    assert_eq!(settled(last).alone, None);
}

/// Whichever answer is lost, the call is repeated and taken for the same one.
#[test]
fn a_lost_answer_changes_nothing() {
    for method in ["standing", "reserve", "commit", "release"] {
        let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), |_, _| false);
        let stage = Stage::over(Arc::<Flaky>::clone(&flaky));
        let lost = AtomicUsize::new(0);
        *flaky.deaf.lock() =
            Box::new(move |_, called| called == method && lost.fetch_add(1, Ordering::SeqCst) < 2);
        let key = operation("f").key([].into_iter());
        let fail = || call_as(&stage.cache, "f", one_at_a_time(), &|| false, &mut || failed("no"));
        assert!(matches!(fail(), Computed::Failed(..)));
        let mut runs = 0;
        let one = settled(call_as(&stage.cache, "f", one_at_a_time(), &|| false, &mut || {
            runs += 1;
            Ok(number(5))
        }));
        assert_eq!((one.outcome.word(), one.alone, runs), ("computed", None, 1), "{method}");
        assert_eq!(call(&stage.again().cache, &|| false, &mut || Ok(number(6))), ("hit-local", 5));
        let standing = stage.catalog.standing(&scope(), &key).unwrap();
        assert_eq!(standing.held, None, "{method}: the place was given back");
    }
}

/// Bytes are looked for, and texts and notes are kept, before an entry is committed.
#[test]
fn a_lost_answer_before_a_commit_changes_nothing() {
    for method in ["find_blob", "put_texts", "remember"] {
        let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), |_, _| false);
        let stage = Stage::over(Arc::<Flaky>::clone(&flaky));
        let lost = Arc::new(AtomicUsize::new(0));
        let losing = Arc::clone(&lost);
        *flaky.deaf.lock() = Box::new(move |_, called| {
            called == method && losing.fetch_add(1, Ordering::SeqCst) < 2
        });
        let annotated = annotated("f");
        let call = |cache, value| {
            let body = &mut || Ok(big(value));
            let policy = Policy::default();
            settled(call_of(cache, &annotated, policy, &|| false, body)).outcome.word()
        };
        assert_eq!(call(&stage.cache, 5), "computed", "{method}");
        assert_eq!(lost.load(Ordering::SeqCst), 3, "{method}");
        assert_eq!(call(&stage.again().cache, 6), "hit-local", "{method}");
    }
}

/// Two processes that each compute what the other's body asks for: one of them computes alone.
#[test]
fn a_circle_of_processes_is_broken_by_the_one_who_closes_it() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let stages = [timed(directory.path(), &clock), timed(directory.path(), &clock)];
    let names = ["left", "right"];
    let (barrier, runs, alone) = (Barrier::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
    let compute = |own: usize| {
        let (other, cache) = (1 - own, &stages[own].cache);
        let inner = || {
            barrier.wait();
            let inner = call_as(cache, names[other], one_at_a_time(), &patience(), &mut || {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(number(other as i64))
            });
            let inner = settled(inner);
            alone.fetch_add(usize::from(inner.alone == Some(Alone::Circle)), Ordering::SeqCst);
            let taken = load(&Shaky::default(), &inner.value, &[]).unwrap();
            assert_eq!(taken, other as i64);
        };
        let outer = call_as(cache, names[own], one_at_a_time(), &patience(), &mut || {
            runs.fetch_add(1, Ordering::SeqCst);
            inner();
            Ok(number(own as i64))
        });
        assert_eq!(settled(outer).outcome.word(), "computed");
    };
    std::thread::scope(|threads| {
        let compute = &compute;
        let running = [0, 1].map(|own| threads.spawn(move || compute(own)));
        for thread in running {
            thread.join().unwrap();
        }
    });
    assert_eq!(alone.load(Ordering::SeqCst), 1, "only one of them closes it");
    assert_eq!(runs.load(Ordering::SeqCst), 3);
}

/// The slot comes free between the look at it and the telling, and somebody else is faster: who
/// waits for that one tells it, or a circle through it would never be seen.
#[test]
fn who_lost_a_race_for_a_slot_still_tells_whom_it_holds_up() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let flaky = Flaky::new(Arc::clone(&catalog), |_, _| false);
    let stage = Stage::over(Arc::<Flaky>::clone(&flaky));
    let outer_key = operation("outer").key([].into_iter());
    let key = operation("inner").key([].into_iter());
    let take = move |catalog: &dyn Catalog, nonce| match catalog
        .reserve(&scope(), &key, &by(nonce), LEASE)
        .unwrap()
    {
        Reserved::Taken(claim) => claim,
        other => panic!("{other:?}"),
    };
    let (first, beside) = (take(&*catalog, 50), Arc::clone(&catalog));
    *flaky.plan.lock() = Box::new(move |_, called| {
        match called {
            "wait_for"
                if beside.standing(&scope(), &key).unwrap().held.unwrap().holder.nonce == 50 =>
            {
                beside.release(&scope(), &key, &first, Ended::Unused).unwrap();
            }
            "reserve" if beside.standing(&scope(), &outer_key).unwrap().held.is_some() => {
                take(&*beside, 51);
            }
            _ => {}
        }
        false
    });
    let waiting = || {
        let all = catalog.reservations(None).unwrap();
        all.into_iter()
            .find(|found| found.key == key)
            .map(|found| (found.held.holder.nonce, found.waiting))
    };
    let outer = call_as(&stage.cache, "outer", one_at_a_time(), &|| false, &mut || {
        let told = std::cell::Cell::new(None);
        let interrupted = || told.replace(waiting()).is_some();
        let inner = &mut || panic!("somebody else has it");
        let ended = call_as(&stage.cache, "inner", one_at_a_time(), &interrupted, inner);
        assert!(matches!(ended, Computed::Failed(Failure::Cancelled, _)));
        assert_eq!(told.get(), Some((51, 1)), "the outer call is held up by the second holder");
        Ok(number(1))
    });
    assert_eq!(settled(outer).outcome.word(), "computed");
    assert_eq!(waiting(), Some((51, 0)), "and is not any more");
}

/// The wait that closes the circle is one within a process: a thread waits for another one's
/// flight, which waits for a process that waits for the first.
#[test]
fn a_circle_through_threads_of_a_process_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let (own, other) = (timed(directory.path(), &clock), timed(directory.path(), &clock));
    let [own_runs, other_runs, flies] = [(); 3].map(|()| AtomicUsize::new(0));
    let until = |flag: &AtomicUsize| {
        while flag.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
    };
    let plain = || Policy::default();
    std::thread::scope(|threads| {
        // The other process holds `b`, and its body waits for `a`.
        threads.spawn(|| {
            let body = &mut || {
                other_runs.store(1, Ordering::SeqCst);
                until(&own_runs);
                let one = &mut || Ok(number(1));
                settled(call_as(&other.cache, "a", one_at_a_time(), &patience(), one));
                Ok(number(2))
            };
            settled(call_as(&other.cache, "b", one_at_a_time(), &patience(), body));
        });
        // This process holds `a`, and its body waits for the flight of `c`, …
        threads.spawn(|| {
            let body = &mut || {
                own_runs.store(1, Ordering::SeqCst);
                until(&flies);
                let three = &mut || Ok(number(3));
                settled(call_as(&own.cache, "c", plain(), &patience(), three));
                Ok(number(1))
            };
            settled(call_as(&own.cache, "a", one_at_a_time(), &patience(), body));
        });
        // … whose body waits for `b`, which the other process holds.
        threads.spawn(|| {
            until(&own_runs);
            until(&other_runs);
            let body = &mut || {
                flies.store(1, Ordering::SeqCst);
                let two = &mut || Ok(number(2));
                settled(call_as(&own.cache, "b", one_at_a_time(), &patience(), two));
                Ok(number(3))
            };
            settled(call_as(&own.cache, "c", plain(), &patience(), body));
        });
    });
}

#[test]
fn a_failure_and_a_panic_give_the_place_back() {
    let stage = Stage::new();
    let key = operation("f").key([].into_iter());
    let is_free = |nonce| match stage.catalog.reserve(&scope(), &key, &by(nonce), LEASE).unwrap() {
        Reserved::Taken(claim) => {
            stage.catalog.release(&scope(), &key, &claim, Ended::Unused).unwrap();
            true
        }
        Reserved::Held(_) | Reserved::Unserialised(_) => false,
    };
    let (operation, interrupted) = (operation("f"), || false);
    let task = Task {
        operation: &operation,
        key: Ok(key),
        ingredients: &|| operation.ingredients([]),
        policy: one_at_a_time(),
        run: (None, 0),
        interrupted: &interrupted,
    };
    let slot = stage.cache.slot(&key);
    stage.cache.compute(&task, Miss::Absent, slot, &mut || {
        assert!(!is_free(1));
        failed("broken")
    });
    assert!(is_free(2));
    let panicking = std::panic::AssertUnwindSafe(|| {
        stage.cache.compute(&task, Miss::Absent, slot, &mut || panic!("on purpose"));
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert!(is_free(3));
}

/// Two processes that each held one nested workflow and waited for the other's would never end.
#[test]
fn nothing_is_reserved_while_other_operations_run() {
    let stage = Stage::new();
    let inner = stage.again();
    let catalog = Arc::clone(&stage.catalog);
    let mut top = stage.scripted("top", vec![], move |_| {
        let (catalog, key) = (Arc::clone(&catalog), key_of("top"));
        let child = inner.call("child", &[], move |_| {
            let free = catalog.reserve(&scope(), &key, &by(9), LEASE).unwrap();
            let Reserved::Taken(claim) = free else { panic!("it is held") };
            catalog.release(&scope(), &key, &claim, Ended::Unused).unwrap();
            4
        });
        Ok(expanded(vec![child], 0))
    });
    top.policy = one_at_a_time();
    let settled = stage.settle(vec![top], &[0], 1);
    assert_eq!(settled.words(), ["computed", "computed"]);
    assert_eq!(settled.values, [Some(4), Some(4)]);
}

/// The key of a call that [`Stage::scripted`] makes without edges.
fn key_of(name: &str) -> thrifty_engine::key::Key {
    use thrifty_engine::key::plain;
    let mut writer = plain::Writer::new();
    writer.open(plain::Container::List, 0);
    let digest = plain::digest(writer.as_bytes()).unwrap();
    operation(name).key([("inputs", digest)].into_iter())
}

const HOME: &str = "THRIFTY_ENGINE_TEST_HOME";

/// Starts this test program as a process that makes one call in the cache of `home`.
fn process_of(home: &Path, what: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "one_of_several_processes", "--nocapture", "--test-threads=1"])
        .env(HOME, home)
        .env("THRIFTY_ENGINE_TEST_DOES", what)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the process says the word, and gives the line.
fn said(output: &mut impl BufRead, word: &str) -> String {
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if line.contains(word) {
            return line;
        }
        line.clear();
    }
    panic!("the process ended without saying {word}");
}

/// Not a test of its own: what the processes of the tests below do.
#[test]
fn one_of_several_processes() {
    let Some(home) = std::env::var_os(HOME) else {
        return;
    };
    let hangs = std::env::var("THRIFTY_ENGINE_TEST_DOES").unwrap() == "hang";
    let cache = Cache::open(&home).unwrap();
    println!("\nREADY");
    if !hangs {
        std::io::stdin().read_exact(&mut [0]).unwrap();
    }
    let (word, value) = call(&cache, &|| false, &mut || {
        println!("\nRUNS");
        if hangs {
            std::io::stdin().read_exact(&mut [0]).unwrap();
        }
        Ok(number(i64::from(std::process::id())))
    });
    println!("\nSETTLED {word} {value}");
}

#[test]
fn nobody_waits_for_the_process_that_started_it() {
    let directory = tempfile::tempdir().unwrap();
    let catalog =
        Sqlite::open(&directory.path().join("catalog.sqlite"), Access::ReadWrite).unwrap();
    let key = operation("f").key([].into_iter());
    let process = thrifty_engine::process::identity();
    let holder = Holder { nonce: 7, process, ..Holder::default() };
    catalog.reserve(&scope(), &key, &holder, LEASE).unwrap();
    let mut child = process_of(directory.path(), "call");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    child.stdin.take().unwrap().write_all(b"!").unwrap();
    let said = said(&mut output, "SETTLED");
    assert!(said.contains("SETTLED computed"), "{said}");
    assert!(child.wait().unwrap().success());
    let held = catalog.standing(&scope(), &key).unwrap().held;
    assert_eq!(held.map(|held| held.holder.nonce), Some(7), "and the place is still taken");
}

#[test]
fn processes_on_one_directory_compute_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut children: Vec<_> = (0..4).map(|_| process_of(directory.path(), "call")).collect();
    let mut outputs: Vec<_> =
        children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap())).collect();
    outputs.iter_mut().for_each(|output| _ = said(output, "READY"));
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"!").unwrap();
    }
    let mut runs = 0;
    let mut values = Vec::new();
    for mut output in outputs {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        runs += text.matches("RUNS").count();
        let settled = text.lines().find(|line| line.contains("SETTLED")).unwrap();
        values.push(settled.rsplit(' ').next().unwrap().to_owned());
    }
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    assert_eq!(runs, 1);
    values.dedup();
    assert_eq!(values.len(), 1);
}

/// The clock of the machine, an hour ahead.
struct Ahead;

impl Clock for Ahead {
    fn wall(&self) -> Time {
        System.wall() + 3_600_000
    }

    fn steady(&self) -> Time {
        System.steady()
    }
}

#[test]
fn the_place_of_a_killed_process_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut holder = process_of(directory.path(), "hang");
    let mut output = BufReader::new(holder.stdout.take().unwrap());
    said(&mut output, "RUNS");
    let path = directory.path().join("catalog.sqlite");
    let key = operation("f").key([].into_iter());
    let before = Sqlite::open(&path, Access::ReadWrite).unwrap();
    assert!(matches!(before.reserve(&scope(), &key, &by(3), LEASE).unwrap(), Reserved::Held(_)));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let ahead = Sqlite::open_with_clock(&path, Access::ReadWrite, Arc::new(Ahead)).unwrap();
    let stage = Stage::over(Arc::new(ahead));
    assert_eq!(call(&stage.cache, &|| false, &mut || Ok(number(1))), ("computed", 1));
}

#[test]
fn one_beat_prolongs_all_that_a_process_holds() {
    let clock = Arc::new(Moved::default());
    let inner = Arc::new(Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap());
    let beats = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&beats);
    let flaky = Flaky::new(Arc::<Sqlite>::clone(&inner), move |_, method| {
        counted.fetch_add(usize::from(method == "heartbeat"), Ordering::SeqCst);
        false
    });
    let timer = Arc::new(Wound::default());
    let stage = Stage::timed(flaky, Arc::<Wound>::clone(&timer));
    let almost = LEASE - Duration::from_millis(1);
    let mut within = || {
        clock.pass(almost);
        assert!(timer.0.lock().iter_mut().all(|beat| beat()));
        clock.pass(almost);
        for name in ["f", "g"] {
            let asked = inner
                .reserve(&scope(), &operation(name).key([].into_iter()), &by(9), LEASE)
                .unwrap();
            assert!(matches!(asked, Reserved::Held(_)), "{name}: {asked:?}");
        }
        Ok(number(1))
    };
    let never = || false;
    let mut outer = || {
        call_as(&stage.cache, "g", one_at_a_time(), &never, &mut within);
        Ok(number(2))
    };
    call_as(&stage.cache, "f", one_at_a_time(), &never, &mut outer);
    assert_eq!(beats.load(Ordering::SeqCst), 1);
    // Neither is held any more, and nothing is prolonged.
    assert!(timer.0.lock().iter_mut().all(|beat| beat()));
    assert_eq!(beats.load(Ordering::SeqCst), 1);
    assert_eq!(inner.reservations(None).unwrap(), []);
}

#[test]
fn what_a_process_lost_is_prolonged_no_more_and_the_others_are() {
    let clock = Arc::new(Moved::default());
    let inner = Arc::new(Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap());
    let beats = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&beats);
    let flaky = Flaky::new(Arc::<Sqlite>::clone(&inner), move |_, method| {
        counted.fetch_add(usize::from(method == "heartbeat"), Ordering::SeqCst);
        false
    });
    let timer = Arc::new(Wound::default());
    let stage = Stage::timed(flaky, Arc::<Wound>::clone(&timer));
    let beat = || assert!(timer.0.lock().iter_mut().all(|beat| beat()));
    let almost = LEASE - Duration::from_millis(1);
    let mut keys = ["f", "g", "h"].map(|name| operation(name).key([].into_iter()));
    keys.sort_unstable();
    let [lost, others @ ..] = keys;
    let ask = |key, nonce| inner.reserve(&scope(), key, &by(nonce), LEASE).unwrap();
    let take_over = |key, nonce| {
        let taken = ask(key, nonce);
        assert!(matches!(taken, Reserved::Taken(_)), "{taken:?}");
    };
    let mut within = || {
        clock.pass(LEASE);
        take_over(&lost, 9);
        beat();
        clock.pass(almost);
        beat();
        clock.pass(almost);
        for key in &others {
            assert!(matches!(ask(key, 8), Reserved::Held(_)), "{:?}", ask(key, 8));
        }
        take_over(&lost, 8);
        // Where all are lost there is nothing to prolong.
        clock.pass(LEASE);
        others.iter().for_each(|key| take_over(key, 7));
        let before = beats.load(Ordering::SeqCst);
        beat();
        beat();
        assert_eq!(beats.load(Ordering::SeqCst), before + 1);
        Ok(number(1))
    };
    let never = || false;
    let mut middle = || {
        call_as(&stage.cache, "h", one_at_a_time(), &never, &mut within);
        Ok(number(2))
    };
    let mut outer = || {
        call_as(&stage.cache, "g", one_at_a_time(), &never, &mut middle);
        Ok(number(3))
    };
    call_as(&stage.cache, "f", one_at_a_time(), &never, &mut outer);
}

/// Alone in its process: a fork must not meet another test's thread in the middle of something.
#[test]
fn a_forked_child_neither_prolongs_nor_gives_back_what_its_parent_holds() {
    const ALONE: &str = "THRIFTY_ENGINE_TEST_FORKS";
    if std::env::var_os(ALONE).is_none() {
        let name = "a_forked_child_neither_prolongs_nor_gives_back_what_its_parent_holds";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        assert!(alone.args(["--exact", name]).env(ALONE, "1").status().unwrap().success());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (clock, timer) = (Arc::new(Moved::default()), Arc::new(Wound::default()));
    let time: Arc<dyn Clock> = Arc::<Moved>::clone(&clock);
    let path = directory.path().join("catalog.sqlite");
    let catalog = Arc::new(Sqlite::open_with_clock(&path, Access::ReadWrite, time).unwrap());
    let stage = Stage::timed(Arc::<Sqlite>::clone(&catalog), Arc::<Wound>::clone(&timer));
    let (never, almost) = (|| false, LEASE - Duration::from_millis(1));
    let in_force = || catalog.reservations(None).unwrap();
    // What the child holds itself is prolonged there, though the time of the parent's passes.
    let in_child = || {
        let mut own = || {
            clock.pass(almost);
            let mut beats = timer.0.lock();
            assert!(beats.len() == 2 && beats[1]());
            clock.pass(almost);
            let keys: Vec<_> = in_force().iter().map(|held| held.key).collect();
            assert_eq!(keys, [operation("g").key([].into_iter())]);
            Ok(number(2))
        };
        settled(call_as(&stage.cache, "g", one_at_a_time(), &never, &mut own));
    };
    let (is_child, is_well) = (std::cell::Cell::new(false), std::cell::Cell::new(false));
    let mut body = || {
        let before = in_force();
        assert_eq!(before.len(), 1);
        // SAFETY: no other thread runs, and the child ends below without running destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            is_child.set(true);
            in_child();
            is_well.set(true);
            panic!("the child leaves the call on purpose, with a copy of what its parent holds");
        }
        let mut status = 0;
        // SAFETY: the status is valid as long as the call, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(in_force(), before);
        Ok(number(1))
    };
    let calling = std::panic::AssertUnwindSafe(|| {
        settled(call_as(&stage.cache, "f", one_at_a_time(), &never, &mut body))
    });
    let called = std::panic::catch_unwind(calling);
    if is_child.get() {
        // SAFETY: always sound.
        unsafe { libc::_exit(i32::from(!is_well.get())) };
    }
    assert_eq!(called.unwrap().outcome.word(), "computed");
    assert_eq!(in_force(), []);
}
