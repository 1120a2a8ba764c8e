//! Where the system starts no thread, all of a run happens on the thread that runs it.

#![allow(clippy::unwrap_used)]

mod stage;

use std::process::Command;

use stage::*;

/// The size of a stack that no system grants, for all threads that do not ask for another.
const STACK: (&str, &str) = ("RUST_MIN_STACK", "1000000000000000000");
const ALONE: &str = "alone";

#[test]
fn all_of_a_run_happens_here() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "alone", "--ignored", "--nocapture", "--test-threads=1"]);
    let output = command.env(STACK.0, STACK.1).env("THREADLESS", ALONE).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by the other one, in a process that can start no thread"]
fn alone() {
    if std::env::var("THREADLESS").as_deref() != Ok(ALONE) {
        return;
    }
    assert!(std::thread::Builder::new().spawn(|| {}).is_err());
    let stage = Stage::new();
    let mut nodes: Vec<_> = (0..4).map(|n| stage.call(&format!("n{n}"), &[], move |_| n)).collect();
    nodes.push(stage.call("sum", &[0, 1, 2, 3], |inputs| inputs.iter().sum()));
    nodes.push(stage.call("last", &[4], |inputs| inputs[0] + 1));
    let settled = stage.settle(nodes, &[4, 5], 4);
    assert_eq!(settled.words(), ["computed"; 6]);
    assert_eq!((settled.values[4], settled.values[5]), (Some(6), Some(7)));
}
