//! Single calls: looked up, computed once, published, and never harmed by the cache.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use stage::*;
use thrifty_engine::answer::Terms;
use thrifty_engine::catalog::*;
use thrifty_engine::compute::{Computed, Settled, Task};
use thrifty_engine::graph::{Failure, Loss, Made, Product, Value};
use thrifty_engine::key::{Digest, Ingredients, Key, plain};
use thrifty_engine::made_of::Parts;
use thrifty_engine::record::{Draft, Record, Source};
use thrifty_engine::store::StatIdentity;
use thrifty_engine::{Cache, Looked, Miss, Mode, OnFailure, Outcome, Policy, Reason, Target};

fn key(name: &str) -> Key {
    operation(name).key([].into_iter())
}

fn with(mode: Mode) -> Policy {
    Policy { mode, ..Policy::default() }
}

/// One call as a front end makes it: looked up, and computed on a miss.
fn call(
    cache: &Arc<Cache>,
    name: &str,
    policy: Policy,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> Computed {
    let operation = operation(name);
    let key = operation.key([].into_iter());
    let (miss, target) = match policy.mode.reads().then(|| cache.look(&key, policy.max_age)) {
        Some(Looked::Hit(answer, outcome)) => {
            return Computed::Settled(Settled {
                came: thrifty_engine::compute::Came::Now,
                entry: answer.entry,
                value: Value::Known(answer),
                outcome,
                spent: Duration::ZERO,
                alone: None,
                made: None,
            });
        }
        Some(Looked::Miss(miss, target)) => (miss, target),
        None => (Miss::Refresh, cache.slot(&key)),
    };
    compute(cache, name, policy, miss, target, body)
}

fn compute(
    cache: &Arc<Cache>,
    name: &str,
    policy: Policy,
    miss: Miss,
    target: Option<Target>,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> Computed {
    let operation = operation(name);
    let task = Task {
        operation: &operation,
        key: Ok(operation.key([].into_iter())),
        ingredients: &|| operation.ingredients([]),
        policy,
        run: (None, 0),
        interrupted: &|| false,
    };
    cache.compute(&task, miss, target, body)
}

/// The outcome as text, and the number.
fn shown(stage: &Stage, computed: Computed) -> (String, i64) {
    match computed {
        Computed::Settled(settled) => {
            let value = load(&stage.blobs, &settled.value, &[]).unwrap();
            (settled.outcome.to_string(), value)
        }
        Computed::Failed(failure, _) => (format!("failed: {}", failure.message()), 0),
        Computed::Expanded(..) => unreachable!("no body here expands"),
    }
}

fn simple(stage: &Stage, policy: Policy, value: i64) -> (String, i64) {
    let computed = call(&stage.cache, "f", policy, &mut || Ok(number(value)));
    shown(stage, computed)
}

fn is(outcome: &str, value: i64) -> (String, i64) {
    (outcome.to_owned(), value)
}

/// Looking again costs as much as looking, and finds nothing where nothing was stored since.
#[test]
fn a_miss_is_looked_up_once_unless_something_was_stored() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let flaky = Flaky::new(Arc::clone(&catalog), move |_, method| {
        counted.fetch_add(usize::from(method == "lookup"), Ordering::SeqCst);
        false
    });
    let stage = Stage::over(Arc::<Flaky>::clone(&flaky));
    assert_eq!(simple(&stage, Policy::default(), 1).0, "computed (no entry)");
    assert_eq!(lookups.swap(0, Ordering::SeqCst), 1);
    *flaky.after_lookup.lock() = Some(Box::new(move || {
        call(&Stage::over(catalog).cache, "h", Policy::default(), &mut || Ok(number(2)));
    }));
    let other = call(&stage.cache, "g", Policy::default(), &mut || Ok(number(4)));
    assert_eq!(shown(&stage, other), is("computed (no entry)", 4));
    assert_eq!(lookups.load(Ordering::SeqCst), 2, "another entry came meanwhile");
}

#[test]
fn modes_read_and_write_as_they_say() {
    let stage = Stage::new();
    assert_eq!(simple(&stage, with(Mode::ReadOnly), 1), is("uncached (read-only (default))", 1));
    assert_eq!(simple(&stage, with(Mode::On), 2), is("computed (no entry)", 2));
    assert_eq!(simple(&stage, with(Mode::ReadOnly), 3), is("hit-memory", 2));
    assert_eq!(simple(&stage, with(Mode::Off), 4), is("uncached (default)", 4));
    assert_eq!(simple(&stage, with(Mode::On), 5), is("hit-memory", 2));
    assert_eq!(simple(&stage, with(Mode::Refresh), 6), is("computed (refresh)", 6));
    assert_eq!(simple(&stage, with(Mode::On), 7).1, 6);
    assert_eq!(simple(&stage.again(), with(Mode::On), 8), is("hit-local", 6));
}

#[test]
fn an_invalidation_by_another_process_is_seen_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) =
        (Cache::open(directory.path()).unwrap(), Cache::open(directory.path()).unwrap());
    let cube = |cache: &Arc<Cache>, value: i64| -> i64 {
        cache.get_or_compute("cube", &3_i64, || Ok::<_, std::io::Error>(value)).unwrap()
    };
    assert_eq!(cube(&one, 27), 27);
    assert_eq!(cube(&one, 0), 27);
    assert_eq!(cube(&other, 0), 27);
    other.catalog().invalidate(None, &Selector::default()).unwrap();
    assert_eq!(cube(&one, 28), 28);
    assert_eq!(cube(&other, 0), 28);
}

fn timed() -> (Arc<Moved>, Stage) {
    let clock = Arc::new(Moved::default());
    let catalog = Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap();
    (clock, Stage::over(Arc::new(catalog)))
}

#[test]
fn what_expires_is_not_served_from_anywhere_by_the_catalogs_clock() {
    let (clock, stage) = timed();
    let policy = Policy { expires: Some(Duration::from_secs(10)), ..Policy::default() };
    assert_eq!(simple(&stage, policy, 1).0, "computed (no entry)");
    clock.pass(Duration::from_secs(9));
    for outcome in ["hit-local", "hit-memory"] {
        assert_eq!(simple(&stage, policy, 2), is(outcome, 1));
    }
    clock.pass(Duration::from_secs(1));
    assert_eq!(simple(&stage, policy, 3), is("computed (expired)", 3));
}

#[test]
fn an_entry_another_writer_let_expire_is_not_kept_by_who_computed_the_same() {
    let (clock, stage) = timed();
    let policy = Policy { expires: Some(Duration::from_secs(10)), ..Policy::default() };
    let other = stage.again();
    let mut body = || {
        simple(&other, policy, 1);
        Ok(number(1))
    };
    assert_eq!(shown(&stage, call(&stage.cache, "f", Policy::default(), &mut body)).1, 1);
    clock.pass(Duration::from_secs(11));
    assert_eq!(simple(&stage, Policy::default(), 2), is("computed (expired)", 2));
}

#[test]
fn a_reader_sets_the_age_it_accepts_and_what_is_too_old_is_replaced() {
    let (clock, stage) = timed();
    let young = Policy { max_age: Some(Duration::from_secs(5)), ..Policy::default() };
    simple(&stage, Policy::default(), 1);
    clock.pass(Duration::from_secs(5));
    assert_eq!(simple(&stage, young, 2).1, 1);
    clock.pass(Duration::from_secs(1));
    assert_eq!(simple(&stage, Policy::default(), 2).1, 1);
    assert_eq!(simple(&stage, young, 3), is("computed (too old)", 3));
    assert_eq!(simple(&stage, young, 4).1, 3);
    assert_eq!(simple(&stage, Policy::default(), 4).1, 3);
}

#[test]
fn many_threads_compute_one_key_once() {
    const THREADS: usize = 64;
    for seed in 0..5 {
        let stage = Stage::new();
        let (barrier, runs) = (Barrier::new(THREADS), AtomicUsize::new(0));
        let outcomes = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    let computed = call(&stage.cache, "f", Policy::default(), &mut || {
                        runs.fetch_add(1, Ordering::SeqCst);
                        Ok(big(seed))
                    });
                    outcomes.lock().push(shown(&stage, computed));
                });
            }
        });
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        let outcomes = outcomes.into_inner();
        assert!(outcomes.iter().all(|(_, value)| *value == seed));
        let computed = outcomes.iter().filter(|(word, _)| word == "computed (no entry)");
        assert_eq!(computed.count(), 1);
    }
}

/// Runs a leader that ends by `ending` while one thread waits for it, and gives what the waiter
/// got and how many bodies ran.
fn behind(
    policy: Policy,
    ending: impl Fn() -> Result<Product, Failure> + Sync,
) -> ((String, i64), usize) {
    behind_after(|_| {}, policy, ending)
}

/// As [`behind`]; the waiter comes after something has happened while the body ran.
fn behind_after(
    meanwhile: impl FnOnce(&dyn Catalog),
    policy: Policy,
    ending: impl Fn() -> Result<Product, Failure> + Sync,
) -> ((String, i64), usize) {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let stage = Stage::over(Arc::clone(&catalog));
    let runs = AtomicUsize::new(0);
    let (leading, waiting) = (Barrier::new(2), Barrier::new(2));
    let slot = stage.cache.slot(&key("f"));
    let waited = std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            compute(&stage.cache, "f", policy, Miss::Absent, slot, &mut || {
                runs.fetch_add(1, Ordering::SeqCst);
                leading.wait();
                waiting.wait();
                ending()
            });
        });
        leading.wait();
        meanwhile(catalog.as_ref());
        let slot = stage.cache.slot(&key("f"));
        // The waiter is asked whether it was interrupted once it waits: then the leader ends.
        let released = AtomicUsize::new(0);
        let interrupted = || {
            if released.fetch_add(1, Ordering::SeqCst) == 0 {
                waiting.wait();
            }
            false
        };
        let operation = operation("f");
        let task = Task {
            operation: &operation,
            key: Ok(key("f")),
            ingredients: &|| operation.ingredients([]),
            policy,
            run: (None, 0),
            interrupted: &interrupted,
        };
        let computed = stage.cache.compute(&task, Miss::Absent, slot, &mut || {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok(number(7))
        });
        let shown = shown(&stage, computed);
        _ = leader.join();
        shown
    });
    (waited, runs.into_inner())
}

#[test]
fn who_waits_takes_the_result_or_goes_on_when_there_is_none() {
    let share = Policy { on_failure: OnFailure::Share, ..Policy::default() };
    assert_eq!(behind(Policy::default(), || Ok(number(1))), (is("waited", 1), 1));
    let broken = || failed("broken");
    assert_eq!(behind(Policy::default(), broken), (is("computed (no entry)", 7), 2));
    assert_eq!(behind(share, broken), (is("failed: broken", 0), 1));
    let cancelled = || Err(Failure::Cancelled);
    assert_eq!(behind(share, cancelled), (is("computed (no entry)", 7), 2));
    let panics = || panic!("on purpose");
    assert_eq!(behind(Policy::default(), panics), (is("computed (no entry)", 7), 2));
    let unstored = || Ok(unstorable(5));
    assert_eq!(behind(Policy::default(), unstored), (is("computed (no entry)", 7), 2));
}

#[test]
fn who_comes_after_an_invalidation_takes_nothing_that_was_begun_before() {
    let draft = || Draft::Stored(Record::Plain(plain::int(5)));
    let stored = || Ok(Product::Made(Made::new(Arc::new(()), draft())));
    let policy = Policy::default();
    assert_eq!(behind_after(|_| {}, policy, stored), (is("waited", 5), 1));
    let invalidate = |catalog: &dyn Catalog| {
        catalog.invalidate(None, &Selector::default()).unwrap();
    };
    assert_eq!(behind_after(invalidate, policy, stored), (is("computed (no entry)", 7), 2));
}

#[test]
fn who_asks_that_it_be_computed_takes_nothing_that_was_begun_before() {
    let draft = || Draft::Stored(Record::Plain(plain::int(5)));
    let stored = || Ok(Product::Made(Made::new(Arc::new(()), draft())));
    let ((outcome, value), runs) = behind(with(Mode::Refresh), stored);
    assert_eq!((value, runs), (7, 2), "{outcome}");
}

/// Each has written blobs of its own; those of the one that comes later are collected.
#[test]
fn of_two_that_stored_the_same_both_have_the_blobs_that_stay() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let (first, second) = (Stage::over(Arc::clone(&catalog)), Stage::over(catalog));
    let answer = |computed| match computed {
        Computed::Settled(Settled { value: Value::Known(answer), .. }) => answer,
        _ => panic!("it is not stored"),
    };
    let mut stored = None;
    let later = call(&second.cache, "f", Policy::default(), &mut || {
        stored = Some(answer(call(&first.cache, "f", Policy::default(), &mut || Ok(big(1)))));
        Ok(big(1))
    });
    let (stored, later) = (stored.unwrap(), answer(later));
    assert_eq!(later.entry, stored.entry);
    assert_eq!(later.record.blobs(), stored.record.blobs());
}

fn plain_five(expires_at: Time, made_of: Parts) -> Result<Product, Failure> {
    let draft = Draft::Stored(Record::Plain(plain::int(5)));
    let made = Made::new(Arc::new(5_i64), draft);
    Ok(Product::Made(Made { expires_at: Some(expires_at), made_of, ..made }))
}

/// Whoever takes it names the entry, which is removed with what that was made of, and expires as that
/// does.
#[test]
fn of_two_that_stored_the_same_both_say_what_the_entry_says() {
    let (clock, first) = timed();
    let second = Stage::over(Arc::clone(&first.catalog));
    let of = |part: &str, life: Time| {
        let mut made_of = Parts::default();
        made_of.take_unstored(part, Some(key(part)));
        plain_five(first.cache.catalog_clock() + life, made_of)
    };
    let answer = |computed| match computed {
        Computed::Settled(Settled { value: Value::Known(answer), .. }) => answer,
        _ => panic!("it is not stored"),
    };
    let policy = Policy::default();
    let mut made = None;
    let later = call(&second.cache, "f", policy, &mut || {
        made = Some(answer(call(&first.cache, "f", policy, &mut || of("one", 10_000))));
        clock.pass(Duration::from_secs(1));
        of("other", 60_000)
    });
    let (made, later) = (made.unwrap(), answer(later));
    assert_eq!(later.entry, made.entry);
    assert_eq!(later.made_of.all, made.made_of.all);
    assert_eq!(later.expires_at, made.expires_at);
}

/// Whoever waits to commit a result, or sleeps meanwhile, does not make it live longer than what it
/// was made of.
#[test]
fn what_is_committed_late_expires_no_later() {
    let (clock, stage) = timed();
    let late = Flaky::new(Arc::clone(&stage.catalog), move |_, method| {
        if method == "commit" {
            clock.pass(Duration::from_secs(5));
        }
        false
    });
    let late = Arc::new(Cache::new(late, Arc::<Shaky>::clone(&stage.blobs), scope()));
    let expires_at = late.catalog_clock() + 10_000;
    let mut body = || plain_five(expires_at, Parts::default());
    let computed = call(&late, "f", Policy::default(), &mut body);
    assert_eq!(shown(&stage, computed), is("computed (no entry)", 5));
    let kept = stage.catalog.entries(None, &Selector::default(), 9).unwrap();
    assert_eq!(kept[0].expires_at, Some(expires_at));
}

/// What one gets who waits for another that fails; he asks after this was done.
fn waits_for(stage: &Stage, failure: &Failure, meanwhile: impl FnOnce()) -> Computed {
    let policy = Policy { on_failure: OnFailure::Share, ..Policy::default() };
    let (leading, waiting) = (Barrier::new(2), Barrier::new(2));
    let slot = stage.cache.slot(&key("f"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            compute(&stage.cache, "f", policy, Miss::Absent, slot, &mut || {
                leading.wait();
                waiting.wait();
                Err(failure.clone())
            });
        });
        leading.wait();
        meanwhile();
        let slot = stage.cache.slot(&key("f"));
        let released = AtomicUsize::new(0);
        let operation = operation("f");
        let task = Task {
            operation: &operation,
            key: Ok(key("f")),
            ingredients: &|| operation.ingredients([]),
            policy,
            run: (None, 0),
            interrupted: &|| {
                if released.fetch_add(1, Ordering::SeqCst) == 0 {
                    waiting.wait();
                }
                false
            },
        };
        stage.cache.compute(&task, Miss::Absent, slot, &mut || Ok(number(7)))
    })
}

#[test]
fn a_shared_failure_is_the_leaders_own_with_what_it_was_made_of() {
    let mut parts = Parts::default();
    parts.take_computed("clean", None, Some(EntryId(3)), &Parts::default(), Some(7));
    let terms = Terms { made_of: Arc::new(parts), ..Terms::default() };
    let failure = Failure::raised("broken", Arc::new("the error itself")).on(terms);
    let shared = waits_for(&Stage::new(), &failure, || ());
    let Computed::Failed(Failure::Raised { cause, terms, .. }, spent) = shared else {
        panic!("it did not fail")
    };
    assert_eq!(spent, Duration::ZERO, "waiting is no work");
    assert_eq!(cause.downcast_ref::<&str>(), Some(&"the error itself"));
    // What it replaced was replaced by the leader.
    let taken: Vec<_> = terms.made_of.taken().map(|it| (it.entry, it.own_ticket)).collect();
    assert_eq!(taken, [(Some(EntryId(3)), None)]);
}

#[test]
fn a_failure_that_began_before_an_invalidation_is_not_shared_with_who_asks_after_it() {
    let stage = Stage::new();
    let failure = Failure::raised("broken", Arc::new(()));
    let other = Selector { operation: Some("other".to_owned()), ..Selector::default() };
    let invalidates = || _ = stage.catalog.invalidate(None, &other).unwrap();
    let Computed::Settled(settled) = waits_for(&stage, &failure, invalidates) else {
        panic!("it has no value")
    };
    assert_eq!(settled.outcome.word(), "computed");
}

#[test]
fn a_waiter_may_give_up() {
    let stage = Stage::new();
    let (leading, ending) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            call(&stage.cache, "f", Policy::default(), &mut || {
                leading.wait();
                ending.wait();
                Ok(number(1))
            });
        });
        leading.wait();
        let operation = operation("f");
        let task = Task {
            operation: &operation,
            key: Ok(key("f")),
            ingredients: &|| operation.ingredients([]),
            policy: Policy::default(),
            run: (None, 0),
            interrupted: &|| true,
        };
        let computed = stage.cache.compute(&task, Miss::Absent, None, &mut || Ok(number(2)));
        assert!(matches!(computed, Computed::Failed(Failure::Cancelled, _)));
        ending.wait();
    });
}

#[test]
fn two_threads_that_would_wait_for_each_other_do_not() {
    let stage = Stage::new();
    let both = Barrier::new(2);
    let one = |outer: &str, inner: &str| {
        let computed = call(&stage.cache, outer, Policy::default(), &mut || {
            both.wait();
            let inside = call(&stage.cache, inner, Policy::default(), &mut || Ok(number(1)));
            Ok(number(shown(&stage, inside).1 + 1))
        });
        shown(&stage, computed).1
    };
    let values = std::thread::scope(|scope| {
        let other = scope.spawn(|| one("b", "a"));
        [one("a", "b"), other.join().unwrap()]
    });
    // One of them found that waiting would never end, and computed for itself.
    assert!(values.iter().all(|value| (2..=3).contains(value)), "{values:?}");
    assert!(values.contains(&2));
    // So does a call that needs itself.
    let computed = call(&stage.cache, "self", Policy::default(), &mut || {
        let inside = call(&stage.cache, "self", Policy::default(), &mut || Ok(number(4)));
        Ok(number(shown(&stage, inside).1))
    });
    assert_eq!(shown(&stage, computed).1, 4);
}

#[test]
fn a_crash_before_the_commit_leaves_no_entry() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let flaky = Flaky::new(Arc::clone(&catalog), |_, method| {
        assert!(method != "commit", "the process dies here");
        false
    });
    let stage = Stage::over(flaky);
    let crashing = std::panic::AssertUnwindSafe(|| {
        call(&stage.cache, "f", Policy::default(), &mut || Ok(big(1)));
    });
    assert!(std::panic::catch_unwind(crashing).is_err());
    let after = Stage::over(catalog);
    let mut body = || Ok(big(2));
    let computed = call(&after.cache, "f", Policy::default(), &mut body);
    assert_eq!(shown(&after, computed), is("computed (no entry)", 2));
}

#[test]
fn what_was_invalidated_while_it_ran_is_not_stored() {
    for invalidated in
        [Selector::default(), Selector { operation: Some("f".to_owned()), ..Selector::default() }]
    {
        let stage = Stage::new();
        let mut body = || {
            stage.catalog.invalidate(None, &invalidated).unwrap();
            Ok(number(1))
        };
        let computed = call(&stage.cache, "f", Policy::default(), &mut body);
        assert_eq!(shown(&stage, computed), is("fenced (invalidated or replaced while it ran)", 1));
        assert_eq!(simple(&stage, Policy::default(), 2), is("computed (no entry)", 2));
    }
}

/// Runs two refreshes of one key at once, as two processes do: the body of the second begins when
/// that of the first has, and ends before it or after its result is stored. Gives the outcomes,
/// and what is stored in the end.
fn refreshed_twice([first, second]: [Policy; 2], second_ends_first: bool) -> [(String, i64); 3] {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let stages = [(); 3].map(|()| Stage::over(Arc::clone(&catalog)));
    simple(&stages[0], Policy::default(), 0);
    let (began, may_end) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|threads| {
        let mut later = None;
        let mut body = || {
            let thread = threads.spawn(|| {
                let mut body = || {
                    began.wait();
                    may_end.wait();
                    Ok(number(2))
                };
                shown(&stages[1], call(&stages[1].cache, "f", second, &mut body))
            });
            began.wait();
            later = Some(match second_ends_first {
                true => {
                    may_end.wait();
                    Ok(thread.join().unwrap())
                }
                false => Err(thread),
            });
            Ok(number(1))
        };
        let earlier = shown(&stages[0], call(&stages[0].cache, "f", first, &mut body));
        let later = later.unwrap().unwrap_or_else(|thread| {
            may_end.wait();
            thread.join().unwrap()
        });
        [earlier, later, simple(&stages[2], Policy::default(), 3)]
    })
}

#[test]
fn of_two_refreshes_the_one_that_began_later_is_stored() {
    let alone = with(Mode::Refresh);
    let reserved = Policy { serialize: true, ..alone };
    let (computed, fenced) =
        ("computed (refresh)", "fenced (invalidated or replaced while it ran)");
    for policies in [[alone, alone], [alone, reserved], [reserved, alone]] {
        let stored = refreshed_twice(policies, false);
        assert_eq!(stored, [is(computed, 1), is(computed, 2), is("hit-local", 2)]);
        let stored = refreshed_twice(policies, true);
        assert_eq!(stored, [is(fenced, 1), is(computed, 2), is("hit-local", 2)]);
    }
}

/// Who has waited for the slot is behind all that was stored meanwhile.
#[test]
fn a_refresh_begins_when_its_turn_has_come() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let inner = Arc::clone(&catalog);
    let stage = Stage::over(Flaky::new(catalog, move |_, method| {
        if method == "reserve" {
            simple(&Stage::over(Arc::clone(&inner)), with(Mode::Refresh), 1);
        }
        false
    }));
    let reserved = Policy { serialize: true, ..with(Mode::Refresh) };
    assert_eq!(simple(&stage, reserved, 2), is("computed (refresh)", 2));
    assert_eq!(simple(&stage.again(), Policy::default(), 3), is("hit-local", 2));
}

/// What replaced its result is an answer: it says nothing about those who would compute it.
#[test]
fn a_holder_that_was_refused_is_no_failure() {
    let stage = Stage::new();
    let reserved = Policy { serialize: true, ..with(Mode::Refresh) };
    for round in 0..4 {
        let mut body = || {
            simple(&stage.again(), with(Mode::Refresh), 9);
            Ok(number(round))
        };
        let Computed::Settled(settled) = call(&stage.cache, "f", reserved, &mut body) else {
            panic!("it failed");
        };
        assert_eq!((settled.outcome.word(), settled.alone), ("fenced", None));
    }
}

/// A write that fails costs a refresh its place, and says why; nothing is replaced.
#[test]
fn a_refresh_that_cannot_say_when_it_began_is_not_stored() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let flaky = Flaky::new(Arc::clone(&catalog), |_, method| method == "draw_ticket");
    flaky.is_full.store(true, Ordering::SeqCst);
    let stage = Stage::over(flaky);
    simple(&stage, Policy::default(), 1);
    let (outcome, value) = simple(&stage, with(Mode::Refresh), 2);
    assert!(outcome.starts_with("computed-not-stored (no space left"), "{outcome}");
    assert_eq!(value, 2);
    assert_eq!(simple(&stage.again(), Policy::default(), 3), is("hit-local", 1));
}

/// A call that is refused its reservation after something has happened.
fn unreserved_after(
    meanwhile: impl Fn(&Arc<dyn Catalog>) + Send + Sync + 'static,
) -> (String, i64) {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let inner = Arc::clone(&catalog);
    let stage = Stage::over(Flaky::new(catalog, move |_, method| {
        if method == "reserve" {
            meanwhile(&inner);
        }
        method == "reserve"
    }));
    simple(&stage, Policy { serialize: true, ..Policy::default() }, 7)
}

#[test]
fn what_was_invalidated_before_a_call_went_on_without_a_reservation_does_not_refuse_it() {
    let invalidate = |catalog: &Arc<dyn Catalog>| {
        let f = Selector { operation: Some("f".to_owned()), ..Selector::default() };
        catalog.invalidate(None, &f).unwrap();
    };
    assert_eq!(unreserved_after(invalidate), is("computed (no entry)", 7));
}

#[test]
fn who_goes_on_without_a_reservation_takes_what_was_stored_meanwhile() {
    let store = |catalog: &Arc<dyn Catalog>| {
        simple(&Stage::over(Arc::clone(catalog)), Policy::default(), 1);
    };
    assert_eq!(unreserved_after(store), is("waited", 1));
}

#[test]
fn another_result_than_the_stored_one_goes_to_who_computed_it() {
    let stage = Stage::new();
    let other = stage.again();
    let mut body = || {
        simple(&other, Policy::default(), 1);
        Ok(number(2))
    };
    let computed = call(&stage.cache, "f", Policy::default(), &mut body);
    let word = "nondeterministic (another result was stored before)";
    assert_eq!(shown(&stage, computed), is(word, 2));
    assert_eq!(simple(&stage, Policy::default(), 3).1, 1);
    let entries = stage.catalog.entries(None, &Selector::default(), 9).unwrap();
    assert!(entries.len() == 1 && entries[0].nondeterministic);
}

#[test]
fn a_full_store_costs_the_entry_and_nothing_else() {
    let stage = Stage::new();
    simple(&stage, Policy::default(), 9);
    stage.blobs.is_full.store(true, Ordering::SeqCst);
    for round in 0..12 {
        let name = format!("g{round}");
        let (outcome, value) = {
            let computed = call(&stage.cache, &name, Policy::default(), &mut || Ok(big(round)));
            shown(&stage, computed)
        };
        assert!(outcome.starts_with("computed-not-stored (no space left"), "{outcome}");
        assert_eq!(value, round);
    }
    assert!(stage.cache.take_trouble().unwrap().contains("no space left"));
    assert_eq!(stage.cache.take_trouble(), None);
    // Hits are served all the same.
    assert_eq!(simple(&stage.again(), Policy::default(), 0), is("hit-local", 9));
}

#[test]
fn known_bytes_are_referred_to_and_collected_ones_written_anew() {
    let (clock, stage) = timed();
    for name in ["f", "g"] {
        call(&stage.cache, name, Policy::default(), &mut || Ok(big(5)));
        assert_eq!(stage.blobs.put.load(Ordering::SeqCst), 1);
    }
    // Collected between being found and being referred to.
    let (inner, once) = (Arc::clone(&stage.catalog), AtomicUsize::new(0));
    let flaky = Flaky::new(Arc::clone(&stage.catalog), move |_, method| {
        if method == "commit" && once.fetch_add(1, Ordering::SeqCst) == 0 {
            let others = Selector { operation: Some("[fg]".to_owned()), ..Selector::default() };
            assert_eq!(inner.invalidate(None, &others).unwrap().entries, 2);
            clock.pass(Duration::from_secs(7_200));
            assert_eq!(inner.condemn(Duration::from_secs(60), false).unwrap().len(), 1);
        }
        false
    });
    let racing = Cache::new(flaky, Arc::<Shaky>::clone(&stage.blobs), scope());
    let computed = call(&Arc::new(racing), "h", Policy::default(), &mut || Ok(big(5)));
    assert_eq!(shown(&stage, computed), is("computed (no entry)", 5));
    assert_eq!(stage.blobs.put.load(Ordering::SeqCst), 2);
    let entries = stage.catalog.entries(None, &Selector::default(), 9).unwrap();
    assert_eq!(entries.len(), 1);
}

#[test]
fn a_file_that_changed_is_not_stored() {
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("output");
    std::fs::write(&path, vec![1; 100]).unwrap();
    let computed = call(&stage.cache, "f", Policy::default(), &mut || {
        let draft = Draft::Object {
            codec: "file/1".to_owned(),
            digest: plain::digest_text("x"),
            classes: Vec::new(),
            header: Vec::new(),
            buffers: vec![Source::File {
                path: path.clone(),
                digest: plain::digest_text("before"),
            }],
        };
        Ok(Product::Made(Made::new(Arc::new(3_i64), draft)))
    });
    let (outcome, value) = shown(&stage, computed);
    assert!(outcome.ends_with("was changed while the operation ran)"), "{outcome}");
    assert_eq!(value, 3);
}

/// As if a newer version had written it.
fn put_unreadable(catalog: &dyn Catalog, name: &str, id: u128) {
    let entry = NewEntry {
        id,
        key: key(name),
        operation: name.to_owned(),
        ingredients: Ingredients::new(),
        output: vec![99, 1, 2, 3],
        output_digest: plain::digest_text("x"),
        blobs: Vec::new(),
        cost: Duration::ZERO,
        expires_at: None,
        origin: Origin::default(),
        observed: vec![],
        made_of: Default::default(),
        parts: vec![],
    };
    catalog.commit(&scope(), &entry, &Claim::default()).unwrap();
}

/// Each removal may wait for others as long as a lookup may.
#[test]
fn records_of_one_wave_that_cannot_be_read_are_removed_together() {
    let inner: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let names: Vec<_> = (0..10).map(|n| format!("f{n}")).collect();
    names.iter().zip(1..).for_each(|(name, id)| put_unreadable(&*inner, name, id));
    let (is_busy, removals) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (busy, counted) = (Arc::clone(&is_busy), Arc::clone(&removals));
    let stage = Stage::over(Flaky::new(Arc::clone(&inner), move |_, method| {
        let removes = method == "discard";
        counted.fetch_add(usize::from(removes), Ordering::SeqCst);
        removes && busy.load(Ordering::SeqCst)
    }));
    let requests: Vec<_> =
        names.iter().map(|name| Request { key: key(name), max_age: None }).collect();
    let left = || inner.entries(None, &Selector::default(), 99).unwrap().len();
    for (busy, expected) in [(true, 10), (false, 0)] {
        is_busy.store(busy, Ordering::SeqCst);
        let looked = stage.cache.look_all(&requests);
        let is_miss = |it: &Looked| matches!(it, Looked::Miss(Miss::Unreadable, Some(_)));
        assert!(looked.iter().all(is_miss), "{looked:?}");
        assert_eq!((removals.swap(0, Ordering::SeqCst), left()), (1, expected));
    }
}

#[test]
fn a_record_that_cannot_be_read_is_a_miss_and_is_replaced() {
    let stage = Stage::new();
    put_unreadable(&*stage.catalog, "f", 1);
    assert_eq!(simple(&stage, Policy::default(), 1), is("computed (unreadable entry)", 1));
    assert_eq!(simple(&stage.again(), Policy::default(), 2), is("hit-local", 1));
}

#[test]
fn an_answer_that_came_since_the_lookup_is_taken() {
    let stage = Stage::new();
    let Looked::Miss(miss, slot) = stage.cache.look(&key("f"), None) else { panic!("a hit") };
    simple(&stage.again(), Policy::default(), 1);
    let mut body = || panic!("it must not run");
    let computed = compute(&stage.cache, "f", Policy::default(), miss, slot, &mut body);
    assert_eq!(shown(&stage, computed), is("waited", 1));
}

#[test]
fn memory_forgets_what_another_thread_removed_between_lookup_and_keeping() {
    let catalog: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let stage = Stage::over(Arc::clone(&catalog));
    simple(&stage, Policy::default(), 1);
    let flaky = Flaky::new(Arc::clone(&catalog), |_, _| false);
    *flaky.after_lookup.lock() = Some(Box::new(move || {
        catalog.invalidate(None, &Selector::default()).unwrap();
    }));
    let overtaken = Stage::over(flaky);
    assert_eq!(simple(&overtaken, Policy::default(), 2), is("hit-local", 1));
    assert_eq!(simple(&overtaken, Policy::default(), 2).0, "computed (no entry)");
}

#[test]
fn a_catalog_that_never_answers_costs_nothing_but_hits() {
    let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), |_, _| true);
    let stage = Stage::over(Arc::<Flaky>::clone(&flaky));
    let runs = AtomicUsize::new(0);
    for mode in [Mode::On, Mode::Refresh] {
        for round in 0..20 {
            for serialize in [false, true] {
                let policy = Policy { serialize, ..with(mode) };
                let computed = call(&stage.cache, "f", policy, &mut || {
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok(number(round))
                });
                let expected = is("computed-not-stored (cache unavailable)", round);
                assert_eq!(shown(&stage, computed), expected);
            }
        }
    }
    assert_eq!(runs.load(Ordering::SeqCst), 80);
    // After a few failures it is left alone.
    assert!(flaky.calls.load(Ordering::SeqCst) < 10);
    let value = stage.cache.get_or_compute("g", &1_i64, || Ok::<_, std::io::Error>(3_i64));
    assert_eq!(value.unwrap(), 3);
    assert!(stage.cache.take_trouble().unwrap().contains("busy"));
}

#[test]
fn a_catalog_that_cannot_be_written_goes_on_serving_hits() {
    const WRITES: [&str; 6] = ["reserve", "commit", "put_texts", "remember", "release", "discard"];
    let inner: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    simple(&Stage::over(Arc::clone(&inner)), Policy::default(), 7);
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&writes);
    let stage = Stage::over(Flaky::new(inner, move |_, method| {
        let writes = WRITES.contains(&method);
        counted.fetch_add(usize::from(writes), Ordering::SeqCst);
        writes
    }));
    for round in 0..20 {
        let policy = Policy { serialize: round % 2 == 0, ..Policy::default() };
        let computed = call(&stage.cache, &format!("g{round}"), policy, &mut || Ok(number(round)));
        let Computed::Settled(settled) = computed else { panic!("it failed") };
        let Outcome::NotStored(Miss::Absent, reason, _) = settled.outcome else {
            panic!("{:?}", settled.outcome)
        };
        assert_eq!(reason, Reason::Busy);
    }
    assert_eq!(writes.load(Ordering::SeqCst), 5);
    assert_eq!(simple(&stage, Policy::default(), 0), is("hit-local", 7));
}

/// Neither fails often: each takes as long as anybody waits.
#[test]
fn a_catalog_that_takes_long_to_fail_is_soon_left_alone() {
    for (slow, failures) in [("lookup", 2), ("commit", 1)] {
        let clock = Arc::new(Moved::default());
        let (passes, asked) = (Arc::clone(&clock), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), move |_, method| {
            if method == slow {
                counted.fetch_add(1, Ordering::SeqCst);
                passes.pass(Duration::from_secs(10));
            }
            method == slow
        });
        let stage = Stage::timed(flaky, clock);
        for round in 0..5 {
            let name = format!("f{round}");
            let computed = call(&stage.cache, &name, Policy::default(), &mut || Ok(number(round)));
            assert_eq!(shown(&stage, computed).1, round);
        }
        assert_eq!(asked.load(Ordering::SeqCst), failures, "{slow}");
    }
}

/// Somebody holds it for writing: who waits does so as long as the catalog has patience.
#[test]
fn a_catalog_that_is_held_for_good_costs_little_and_is_asked_again_soon() {
    for serialize in [false, true] {
        let clock = Arc::new(Moved::default());
        let is_held = Arc::new(AtomicBool::new(true));
        let waited = Arc::new(AtomicUsize::new(0));
        let (passes, holds, counted) =
            (Arc::clone(&clock), Arc::clone(&is_held), Arc::clone(&waited));
        let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), move |_, method| {
            let patience = match method {
                "begin_run" | "reserve" | "release" => 1000,
                "commit" => 1500,
                _ => return false,
            };
            let is_held = holds.load(Ordering::SeqCst);
            if is_held {
                counted.fetch_add(patience, Ordering::SeqCst);
                passes.pass(Duration::from_millis(u64::try_from(patience).unwrap()));
            }
            is_held
        });
        let stage = Stage::timed(flaky, Arc::<Moved>::clone(&clock));
        let policy = Policy { serialize, ..Policy::default() };
        let one = |name: &str| {
            let computed = call(&stage.cache, name, policy, &mut || Ok(number(5)));
            shown(&stage, computed).0
        };
        assert!(stage.cache.recorder().begin(&NewRun::default()).is_none());
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert!(one(name).starts_with("computed-not-stored"), "{name}");
        }
        assert!(waited.load(Ordering::SeqCst) <= 2500, "{serialize} {waited:?}");
        is_held.store(false, Ordering::SeqCst);
        clock.pass(Duration::from_secs(2));
        assert_eq!(one("g"), "computed (no entry)", "{serialize}");
        assert_eq!(one("h"), "computed (no entry)", "{serialize}");
    }
}

#[test]
fn keys_of_one_wave_are_answered_though_some_are_not() {
    let inner: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let stage = Stage::over(Arc::clone(&inner));
    let names: Vec<_> = (0..600).map(|n| format!("f{n}")).collect();
    for name in &names {
        call(&stage.cache, name, Policy::default(), &mut || Ok(number(1)));
    }
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let second = Stage::over(Flaky::new(inner, move |_, method| {
        method == "lookup" && counted.fetch_add(1, Ordering::SeqCst) == 1
    }));
    let requests: Vec<_> =
        names.iter().map(|name| Request { key: key(name), max_age: None }).collect();
    let looked = second.cache.look_all(&requests);
    let hits: Vec<_> = looked.iter().map(|it| matches!(it, Looked::Hit(..))).collect();
    let refused = hits.iter().filter(|is_hit| !**is_hit).count();
    let asked = lookups.load(Ordering::SeqCst);
    assert!(asked > 2 && refused <= 600 / (asked - 1), "{refused} refused in {asked} requests");
    assert!(refused > 0 && hits[0] && hits[599]);
    assert!(second.cache.look_all(&requests).iter().all(|it| matches!(it, Looked::Hit(..))));
}

#[test]
fn what_is_remembered_and_removed_leaves_a_catalog_in_trouble_alone() {
    let inner: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    simple(&Stage::over(Arc::clone(&inner)), Policy::default(), 7);
    let asked: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let told = Arc::clone(&asked);
    let failing = ["recall", "remember", "discard"];
    let stage = Stage::over(Flaky::new(inner, move |_, method| {
        told.lock().push(method);
        failing.contains(&method)
    }));
    let Looked::Hit(answer, _) = stage.cache.look(&key("f"), None) else { panic!("no hit") };
    let file = tempfile::NamedTempFile::new().unwrap();
    let identity = StatIdentity::of(&file.as_file().metadata().unwrap());
    let (memo, digest) = (stage.cache.file_memo(), Digest::of_blob(b""));
    asked.lock().clear();
    for _ in 0..20 {
        assert_eq!(memo.recall(file.path(), &identity), None);
        memo.remember(file.path(), &identity, &digest);
        stage.cache.discard(&key("f"), &answer, Loss::Sense);
    }
    let count = |method| asked.lock().iter().filter(|it| **it == method).count();
    assert_eq!(count("recall"), 5);
    assert_eq!(count("remember") + count("discard"), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_catalog_that_fails_now_and_then_gives_no_wrong_value(
        failing in prop::collection::vec(any::<bool>(), 1..40),
        calls in prop::collection::vec((0..4_i64, any::<bool>(), 0..3_usize), 1..25),
    ) {
        let plan = failing.clone();
        let inner: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
        let stage = Stage::over(Flaky::new(inner, move |call, _| plan[call % plan.len()]));
        for (which, serialize, mode) in calls {
            let runs = AtomicUsize::new(0);
            let policy = Policy { serialize, ..with([Mode::On, Mode::Refresh, Mode::ReadOnly][mode]) };
            let computed = call(&stage.cache, &format!("f{which}"), policy, &mut || {
                runs.fetch_add(1, Ordering::SeqCst);
                Ok(big(which * 11))
            });
            let Computed::Settled(settled) = computed else {
                return Err(TestCaseError::fail("it failed"));
            };
            prop_assert_eq!(load(&stage.blobs, &settled.value, &[]), Ok(which * 11));
            prop_assert_eq!(runs.load(Ordering::SeqCst), usize::from(settled.outcome.ran()));
        }
    }
}

/// A hit in the history.
fn hit_of(number: u32, entry: EntryId) -> Node {
    Node {
        number,
        operation: "f".to_owned(),
        key: Some(key("f")),
        ingredients: None,
        outcome: "hit-local".to_owned(),
        detail: String::new(),
        reason: String::new(),
        rule: "default".to_owned(),
        entry: Some(entry),
        source: None,
        output_digest: None,
        count: 1,
        at: 0,
        spent: Duration::ZERO,
        saved: Duration::ZERO,
        upstream: Vec::new(),
        takes: Vec::new(),
        parent: None,
    }
}

#[test]
fn lone_hits_are_counted_together_and_written_on_demand() {
    let stage = Stage::new();
    simple(&stage, Policy::default(), 1);
    let Looked::Hit(answer, _) = stage.cache.look(&key("f"), None) else { panic!("no hit") };
    let entry = answer.entry.unwrap();
    let recorder = stage.cache.recorder();
    recorder.name_lone("script.py");
    for _ in 0..5 {
        recorder.lone_hit(entry, Duration::from_secs(2), Duration::ZERO, || hit_of(0, entry));
    }
    assert!(stage.catalog.runs(None, &RunFilter::default()).unwrap().is_empty());
    recorder.flush();
    let runs = stage.catalog.runs(None, &RunFilter::default()).unwrap();
    assert_eq!((runs[0].name.as_str(), runs[0].status), ("script.py", RunStatus::Running));
    let nodes = stage.catalog.nodes(&runs[0].id).unwrap();
    assert_eq!((nodes.len(), nodes[0].count, nodes[0].saved), (1, 5, Duration::from_secs(10)));
    let entries = stage.catalog.entries(None, &Selector::default(), 9).unwrap();
    assert_eq!(entries[0].hits, 5);
    let (run, number) = recorder.lone();
    assert_eq!(run.as_ref(), Some(&runs[0].id));
    assert!(number > nodes[0].number);
    recorder.close();
    let runs = stage.catalog.runs(None, &RunFilter::default()).unwrap();
    assert_eq!((runs.len(), runs[0].status), (1, RunStatus::Succeeded));
}

/// Each wait is a second: whoever writes the rest at the end of a process would wait for all.
#[test]
fn history_is_not_written_to_a_busy_catalog_again_and_again() {
    let is_busy = Arc::new(AtomicBool::new(false));
    let tried = Arc::new(AtomicUsize::new(0));
    let (busy, counted) = (Arc::clone(&is_busy), Arc::clone(&tried));
    let inner: Arc<dyn Catalog> = Arc::new(Sqlite::in_memory().unwrap());
    let flaky = Flaky::new(Arc::clone(&inner), move |_, _| {
        let fails = busy.load(Ordering::SeqCst);
        counted.fetch_add(usize::from(fails), Ordering::SeqCst);
        fails
    });
    let stage = Stage::over(flaky);
    simple(&stage, Policy::default(), 1);
    let Looked::Hit(answer, _) = stage.cache.look(&key("f"), None) else { panic!("no hit") };
    let (recorder, entry) = (stage.cache.recorder(), answer.entry.unwrap());
    let run = recorder.begin(&NewRun::default()).unwrap();
    let nodes: Vec<_> = (0..1000).map(|number| hit_of(number, entry)).collect();
    is_busy.store(true, Ordering::SeqCst);
    recorder.nodes(&run, nodes);
    recorder.flush();
    // By the thread that writes now and then, and by the flush.
    let tries = tried.load(Ordering::SeqCst);
    assert!((1..=2).contains(&tries), "{tries}");
    is_busy.store(false, Ordering::SeqCst);
    recorder.close();
    assert_eq!(inner.nodes(&run).unwrap().len(), 1000);
}

/// Each wait is a second, for which the end of a process waits.
#[test]
fn the_end_of_a_process_finds_the_catalog_busy_once() {
    // Hits alone, a run alone, and both.
    for (has_hits, has_run) in [(true, false), (false, true), (true, true)] {
        let (is_busy, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (busy, counted) = (Arc::clone(&is_busy), Arc::clone(&tried));
        let me = std::thread::current().id();
        let flaky = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), move |_, _| {
            let fails = busy.load(Ordering::SeqCst);
            let is_mine = fails && std::thread::current().id() == me;
            counted.fetch_add(usize::from(is_mine), Ordering::SeqCst);
            fails
        });
        let stage = Stage::over(flaky);
        simple(&stage, Policy::default(), 1);
        let Looked::Hit(answer, _) = stage.cache.look(&key("f"), None) else { panic!("no hit") };
        let (recorder, entry) = (stage.cache.recorder(), answer.entry.unwrap());
        let run = recorder.begin(&NewRun::default()).unwrap();
        recorder.flush();
        is_busy.store(true, Ordering::SeqCst);
        if has_run {
            recorder.nodes(&run, vec![hit_of(0, entry)]);
            recorder.finish(&run, RunStatus::Succeeded);
        }
        if has_hits {
            recorder.lone_hit(entry, Duration::ZERO, Duration::ZERO, || hit_of(0, entry));
        }
        assert!(!recorder.close());
        let tries = tried.load(Ordering::SeqCst);
        assert!(tries <= 1, "{tries} of hits: {has_hits}, of a run: {has_run}");
    }
}

#[test]
fn outcomes_that_ran_are_no_hits() {
    let all = [
        Outcome::HitMemory,
        Outcome::HitLocal,
        Outcome::Waited,
        Outcome::Computed(Miss::Absent),
        Outcome::Nondeterministic,
        Outcome::Fenced,
        Outcome::NotStored(Miss::Absent, Reason::Full, String::new()),
        Outcome::Uncached(String::new()),
        Outcome::Failed(String::new()),
        Outcome::UpstreamFailed(String::new()),
        Outcome::Cancelled,
    ];
    let mut words: Vec<_> = all.iter().map(Outcome::word).collect();
    assert!(all.iter().all(|outcome| !(outcome.is_hit() && outcome.ran())));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len());
}

#[test]
fn the_directory_of_a_cache_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let above = tempfile::tempdir().unwrap();
    let home = above.path().join("new/home");
    drop(thrifty_engine::Cache::open(&home).unwrap());
    let mode = std::fs::metadata(&home).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}
