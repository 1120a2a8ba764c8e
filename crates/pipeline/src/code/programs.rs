//! Programs that a command starts by their names, found on its `PATH`.
//!
//! Those of the system come and go with it, and differ from one machine to the next; what somebody
//! installed besides counts as a script of the project does.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::words::is_interpreter;
use crate::pipeline::Command;
use crate::variables;

/// Where the programs of the system are.
const SYSTEM: [&str; 4] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];

/// Programs that were looked for, each once for all commands of a run.
#[derive(Debug, Default)]
pub(super) struct Programs {
    found: HashMap<(String, OsString), Option<PathBuf>>,
}

impl Programs {
    /// The programs among the words of a command that count, each with its word.
    ///
    /// An interpreter of Python counts by its packages, and what is in a container by its image.
    pub(super) fn of(&mut self, command: &Command) -> Vec<(String, PathBuf)> {
        let declared = command.env.iter().find(|(name, _)| name == "PATH");
        let places = match declared {
            Some((_, value)) => value.clone().map(OsString::from),
            None => std::env::var_os("PATH"),
        };
        let Some(places) = places.filter(|_| command.image.is_none()) else { return Vec::new() };
        let mut programs: Vec<(String, PathBuf)> = Vec::new();
        for word in command.called.iter().filter(|word| !is_interpreter(word)) {
            let known = self.found.entry((word.clone(), places.clone()));
            let found = known.or_insert_with(|| installed(word, &places)).clone();
            if let Some(path) = found
                && !programs.iter().any(|(_, other)| *other == path)
            {
                programs.push((word.clone(), path));
            }
        }
        programs
    }
}

/// Where a program really is that is none of the system's, and that can be read.
fn installed(word: &str, places: &OsString) -> Option<PathBuf> {
    let found = variables::program(word, places)?;
    let is_of_system =
        found.parent().is_some_and(|above| SYSTEM.iter().any(|it| above == Path::new(it)));
    if is_of_system {
        return None;
    }
    let path = found.canonicalize().ok()?;
    File::open(&path).is_ok().then_some(path)
}
