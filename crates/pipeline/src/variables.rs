//! The environment variables of commands.

use std::ffi::OsStr;
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

/// Gives a command its variables: those it declares, and of the caller's those that are passed on.
pub(crate) fn surround(
    process: &mut process::Command,
    variables: &[(String, Option<String>)],
    python_path: &OsStr,
) {
    let passed = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    process.env_clear().envs(passed).env("LANG", "C.UTF-8").env("PYTHONHASHSEED", "0");
    process.env("PYTHONDONTWRITEBYTECODE", "1");
    for (name, value) in variables {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    if !python_path.is_empty() {
        process.env("PYTHONPATH", python_path);
    }
}
