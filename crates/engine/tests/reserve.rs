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
use thrifty_engine::compute::{Computed, Task};
use thrifty_engine::graph::{Failure, Product};
use thrifty_engine::{Cache, Looked, Miss, Policy};

const LEASE: Duration = Duration::from_secs(10);

fn by(nonce: u128) -> Holder {
    Holder { nonce, ..Holder::default() }
}

fn one_at_a_time() -> Policy {
    Policy { serialize: true, ..Policy::default() }
}

/// A call that other processes wait for; its outcome as a word, and the number.
fn call(
    cache: &Arc<Cache>,
    interrupted: &dyn Fn() -> bool,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> (&'static str, i64) {
    let operation = operation("f");
    let key = operation.key([].into_iter());
    let (miss, slot) = match cache.look(&key, None) {
        Looked::Miss(miss, slot) => (miss, slot),
        Looked::Hit(answer, outcome) => {
            let value = thrifty_engine::graph::Value::Known(answer);
            return (outcome.word(), load(&Shaky::default(), &value, &[]).unwrap());
        }
    };
    let task = Task {
        operation: &operation,
        key: Ok(key),
        ingredients: &|| operation.ingredients([]),
        policy: one_at_a_time(),
        run: (None, 0),
        interrupted,
    };
    match cache.compute(&task, miss, slot, body) {
        Computed::Settled(settled) => {
            let value = load(&Shaky::default(), &settled.value, &[]).unwrap();
            (settled.outcome.word(), value)
        }
        Computed::Failed(Failure::Cancelled, _) => ("cancelled", 0),
        _ => panic!("it failed"),
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
fn process(home: &Path, what: &str) -> Child {
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
fn processes_on_one_directory_compute_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut children: Vec<_> = (0..4).map(|_| process(directory.path(), "call")).collect();
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
    let mut holder = process(directory.path(), "hang");
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
