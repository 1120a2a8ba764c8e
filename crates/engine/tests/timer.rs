//! Beats that nothing holds up, and that end when they are told to.

#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use thrifty_engine::{Beating, Machine, Timer};

const SOON: Duration = Duration::from_millis(1);

/// A beat that tells, and goes on while it is listened to.
fn told() -> (Box<dyn Beating>, Receiver<()>) {
    let (tell, heard) = mpsc::channel();
    (Machine.every(SOON, Box::new(move || tell.send(()).is_ok())), heard)
}

#[test]
fn beats_go_on_beside_each_other() {
    let (_one, first) = told();
    let (_two, second) = told();
    for _ in 0..5 {
        first.recv().unwrap();
        second.recv().unwrap();
    }
}

#[test]
fn a_beat_ends_with_its_guard() {
    let (guard, heard) = told();
    heard.recv().unwrap();
    drop(guard);
    // Whatever held the sender is dropped, so the channel closes.
    while heard.recv().is_ok() {}
}

#[test]
fn a_beat_ends_with_its_own_word_or_panic() {
    let (tell, heard) = mpsc::channel();
    let _guard = Machine.every(
        SOON,
        Box::new(move || {
            tell.send(()).unwrap();
            false
        }),
    );
    heard.recv().unwrap();
    assert!(heard.recv().is_err());
    let _panics = Machine.every(SOON, Box::new(|| panic!("on purpose")));
    let (_other, beats) = told();
    for _ in 0..5 {
        beats.recv().unwrap();
    }
}

#[test]
fn ending_does_not_wait_for_a_beat_under_way() {
    let (tell, began) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let guard = Machine.every(
        SOON,
        Box::new(move || {
            tell.send(()).unwrap();
            gate.recv().is_ok()
        }),
    );
    began.recv().unwrap();
    drop(guard);
    open.send(()).unwrap();
    assert!(began.recv().is_err(), "it did not beat again");
}

/// In a process of its own: other tests have beats, too.
#[test]
fn no_thread_is_left_behind() {
    const ALONE: &str = "THRIFTY_ENGINE_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_thread_is_left_behind"])
            .env(ALONE, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(0);
    let before = threads();
    for _ in 0..20 {
        let guard = Machine.every(Duration::from_secs(60), Box::new(|| true));
        let other = Machine.every(Duration::from_secs(60), Box::new(|| true));
        drop(guard);
        drop(other);
        // The system lists a thread for a moment longer than it runs.
        while threads() > before {
            std::thread::yield_now();
        }
    }
}

/// In a process of its own: a fork must not meet another test's thread in the middle of something.
#[test]
fn a_forked_child_beats_for_itself_and_leaves_its_parents_beats_alone() {
    const ALONE: &str = "THRIFTY_ENGINE_TEST_FORKS";
    if std::env::var_os(ALONE).is_none() {
        let name = "a_forked_child_beats_for_itself_and_leaves_its_parents_beats_alone";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(alone.args(["--exact", name]).env(ALONE, "1").status().unwrap().success());
        return;
    }
    let (guard, heard) = told();
    heard.recv().unwrap();
    // SAFETY: no other test runs, and the child ends below without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: always sound. Who waits for a thread of the parent waits for ever.
        unsafe { libc::alarm(60) };
        let beating = std::panic::AssertUnwindSafe(|| {
            let (own, beats) = told();
            beats.recv().unwrap();
            drop(guard);
            beats.recv().unwrap();
            drop(own);
            while beats.recv().is_ok() {}
        });
        let beaten = std::panic::catch_unwind(beating);
        // SAFETY: always sound.
        unsafe { libc::_exit(i32::from(beaten.is_err())) };
    }
    let mut status = 0;
    // SAFETY: the status is valid as long as the call, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    heard.recv().unwrap();
    drop(guard);
    while heard.recv().is_ok() {}
}

/// In a process of its own: the beats of other tests would wake it.
#[cfg(target_os = "linux")]
#[test]
fn a_beat_that_is_due_sooner_does_not_wait_for_the_others() {
    const ALONE: &str = "THRIFTY_ENGINE_TEST_SLEEPS";
    if std::env::var_os(ALONE).is_none() {
        let name = "a_beat_that_is_due_sooner_does_not_wait_for_the_others";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        assert!(alone.args(["--exact", name]).env(ALONE, "1").status().unwrap().success());
        return;
    }
    let (tell, late) = mpsc::channel();
    let _late = Machine.every(Duration::from_hours(1), Box::new(move || tell.send(()).is_ok()));
    while !sleeps("thrifty-heartbe") {
        std::thread::yield_now();
    }
    let (_soon, heard) = told();
    heard.recv_timeout(Duration::from_mins(1)).unwrap();
    assert!(late.try_recv().is_err(), "nor does it come before its time");
}

/// Whether a thread whose name begins so waits.
#[cfg(target_os = "linux")]
fn sleeps(name: &str) -> bool {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let states = threads.map(|it| std::fs::read_to_string(it.unwrap().path().join("stat")));
    states.flatten().any(|state| state.contains(&format!("({name}")) && state.contains(") S "))
}

#[test]
fn time_passes() {
    let began = Machine.now();
    while Machine.now() == began {}
    assert!(Machine.now() > began);
}
