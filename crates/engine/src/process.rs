//! Which process began a run, and is it still there?
//!
//! A killed process cannot say that its run ended. So a run keeps who began it, and whoever
//! lists runs judges those that never ended. Where the system does not tell one process from
//! a later one of the same number, nothing is judged.

use std::cell::RefCell;
use std::fs;
use std::io::ErrorKind;

use thrifty_catalog::{Run, RunStatus};

/// What tells this process from all others of this machine; empty if the system does not say.
pub fn identity() -> String {
    identity_of(std::process::id()).unwrap_or_default()
}

/// As [`identity`], of another process that is there: boot, namespace of numbers, number, and
/// when it started.
pub fn identity_of(process: u32) -> Option<String> {
    let (boot, namespace) = here()?;
    let start = start_of(process).ok()??;
    Some(format!("{boot} {namespace} {process} {start}"))
}

/// The number in an identity, for people; `None` if it is none.
pub fn number_in(identity: &str) -> Option<u32> {
    identity.split(' ').nth(2)?.parse().ok()
}

/// As [`identity`], asked of the system once in each thread.
pub(crate) fn own_identity() -> String {
    thread_local! {
        static KNOWN: RefCell<(u32, String)> = const { RefCell::new((0, String::new())) };
    }
    let process = std::process::id();
    KNOWN.with_borrow_mut(|known| {
        // A forked child has a copy of what its parent knew.
        if known.0 != process {
            *known = (process, identity());
        }
        known.1.clone()
    })
}

/// The identities of the processes that this one descends from, nearest first, as far as the
/// system tells; `None` if it does not even tell which process this is.
pub(crate) fn ancestors() -> Option<Vec<String>> {
    let known = !own_identity().is_empty();
    known.then(|| line_of(std::process::id(), parent_of).map_while(identity_of).collect())
}

/// The parent of a process, its parent, and so on. The first process of a container is one like
/// others: it may be the very program that the rest descends from.
fn line_of(process: u32, parent: impl Fn(u32) -> Option<u32>) -> impl Iterator<Item = u32> {
    // The first of all, and of a container, says that nobody, 0, started it.
    std::iter::successors(Some(process), move |process| parent(*process).filter(|it| *it > 0))
        .skip(1)
}

/// The run with the status it has if its process is gone.
pub fn judged(run: Run) -> Run {
    let is_lost = run.status == RunStatus::Running && is_gone(&run.process);
    Run { status: if is_lost { RunStatus::Lost } else { run.status }, ..run }
}

/// Whether the process of this identity is surely there no longer.
pub fn is_gone(identity: &str) -> bool {
    let mut parts = identity.split(' ');
    let parts = [(); 4].map(|()| parts.next());
    let ([Some(boot), Some(namespace), Some(process), Some(start)], Some(here)) = (parts, here())
    else {
        return false;
    };
    if boot != here.0 {
        return true;
    }
    let Ok(process) = process.parse() else {
        return false;
    };
    // A process of another container has a number that means another one here, or none.
    namespace == here.1 && start_of(process).is_ok_and(|now| now.as_deref() != Some(start))
}

/// The boot of this machine, and the namespace in which its processes have their numbers.
fn here() -> Option<(String, String)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some((boot.trim().to_owned(), namespace.to_str()?.to_owned()))
}

/// When a process started, in ticks since boot; `None` if there is none, or only its remains.
fn start_of(process: u32) -> std::io::Result<Option<String>> {
    const START: usize = 19;
    let Some(fields) = fields_of(process)? else { return Ok(None) };
    let is_alive = !matches!(fields.first().map(String::as_str), Some("Z" | "X"));
    Ok(fields.into_iter().nth(START).filter(|_| is_alive))
}

/// The process that started a process, or has taken it over since; `None` if the system does not
/// say.
fn parent_of(process: u32) -> Option<u32> {
    const PARENT: usize = 1;
    fields_of(process).ok()??.get(PARENT)?.parse().ok()
}

/// What the system says of a process, from its state on; `None` if there is none.
fn fields_of(process: u32) -> std::io::Result<Option<Vec<String>>> {
    let stat = match fs::read_to_string(format!("/proc/{process}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name of the program stands in parentheses and may hold anything.
    match stat.rsplit_once(") ") {
        Some((_, rest)) => Ok(Some(rest.split(' ').map(str::to_owned).collect())),
        None => Err(ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The line of 9 where these are the parents of these.
    fn line(parents: &[(u32, u32)]) -> Vec<u32> {
        let parents: BTreeMap<_, _> = parents.iter().copied().collect();
        line_of(9, |process| parents.get(&process).copied()).collect()
    }

    #[test]
    fn a_line_goes_up_to_the_first_process_and_with_it() {
        assert_eq!(line(&[(9, 7), (7, 4), (4, 1), (1, 0)]), [7, 4, 1]);
        assert_eq!(line(&[(9, 1), (1, 0)]), [1], "a container");
        assert_eq!(line(&[(9, 0)]), [], "another container is above");
        assert_eq!(line(&[(9, 7), (8, 1)]), [7], "the system says no more");
    }

    #[test]
    fn the_line_of_this_process_is_told() {
        let parent = std::os::unix::process::parent_id();
        assert_eq!(ancestors().unwrap().first(), identity_of(parent).as_ref());
    }
}
