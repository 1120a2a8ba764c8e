//! The environment variables of commands.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

/// Variables of the caller that every command gets: where programs and temporary files are, and
/// who the user is. None of them counts.
const PASSED_ON: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Those that every command is given.
const GIVEN: [(&str, &str); 3] =
    [("LANG", "C.UTF-8"), ("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1")];

/// The variables of the caller that every command gets.
pub(crate) fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)))
}

/// The variables of a command besides: those that every one is given, then `more`, then what it
/// declares.
pub(crate) fn of(
    declared: &[(String, Option<String>)],
    more: Vec<(&str, OsString)>,
    python_path: &OsStr,
) -> Vec<(String, OsString)> {
    let given = GIVEN.map(|(name, value)| (name, OsString::from(value)));
    let mut all: BTreeMap<String, OsString> =
        given.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in declared {
        match value {
            Some(value) => all.insert(name.clone(), value.into()),
            None => all.remove(name),
        };
    }
    if !python_path.is_empty() {
        all.insert("PYTHONPATH".to_owned(), python_path.to_owned());
    }
    all.into_iter().collect()
}

/// The program of a name, as the system finds it on this `PATH`; `None` if it is not there, or if
/// that depends on the directory it is started in.
pub(crate) fn program(name: &str, path: &OsStr) -> Option<PathBuf> {
    for place in std::env::split_paths(path) {
        if !place.is_absolute() {
            return None;
        }
        let found = place.join(name);
        let is_executable = found
            .metadata()
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if is_executable {
            return Some(found);
        }
    }
    None
}

/// Whether the system starts a file by itself. Others it hands to the shell, if it looks for them.
pub(crate) fn is_started(path: &Path) -> bool {
    let mut begin = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && (begin == *b"\x7fELF" || begin.starts_with(b"#!"))
}

/// Gives a process the variables of a command right here.
pub(crate) fn surround(
    process: &mut process::Command,
    declared: &[(String, Option<String>)],
    python_path: &OsStr,
) {
    process.env_clear().envs(passed_on()).envs(of(declared, Vec::new(), python_path));
}
