//! Is a text what the running code was compiled from?
//!
//! A module keeps running as it was imported when its file is edited. The text on disk would then
//! give a digest of code that did not run, under which a wrong result would be stored. Files
//! last written or moved before the process began are beyond doubt; others are compiled and compared.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::text::{self, Text};

/// How far the clocks of the system and of files may be apart.
const MARGIN: Duration = Duration::from_secs(3);

/// When this process began; the distant past where the system does not tell, so that all is compared.
static BEGAN: LazyLock<SystemTime> = LazyLock::new(|| began().unwrap_or(SystemTime::UNIX_EPOCH));

/// From `/proc`: the boot in seconds since 1970, the start in ticks since boot. A tick is 10 ms on
/// every Linux that Python runs on.
fn began() -> Option<SystemTime> {
    let system = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 =
        system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let process = std::fs::read_to_string("/proc/self/stat").ok()?;
    let ticks: u64 = process.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(boot) + Duration::from_millis(ticks * 10))
}

/// Whether a text may be younger than the code that runs.
pub(super) fn is_doubtful(text: &Text) -> bool {
    text.placed().is_some_and(|time| time + MARGIN >= *BEGAN)
}

/// The text of a loaded module: as first seen, or as it is now if that is what runs.
pub(super) fn text_of_loaded(
    file: &Path,
    globals: &Bound<'_, PyDict>,
) -> Result<Arc<Text>, text::ReadError> {
    let seen = text::of_file(file)?;
    if text::is_unchanged(file, &seen) && !is_doubtful(&seen) {
        return Ok(seen);
    }
    if text::is_unchanged(file, &seen) || runs(file, &seen, globals).unwrap_or(false) {
        return Ok(seen);
    }
    let now = text::read(file)?;
    if runs(file, &now, globals).unwrap_or(false) {
        text::remember(file, &now);
        return Ok(now);
    }
    Ok(seen)
}

/// Whether all functions of a namespace that come from a file are in the text.
fn runs(file: &Path, text: &Text, globals: &Bound<'_, PyDict>) -> PyResult<bool> {
    for value in globals.values() {
        let members = match value.cast::<PyType>() {
            Ok(class) => class
                .getattr("__dict__")?
                .call_method0("values")?
                .try_iter()?
                .collect::<PyResult<Vec<_>>>()?,
            Err(_) => vec![value],
        };
        for member in members {
            let Some(code) = member.getattr_opt("__code__")? else {
                continue;
            };
            let filename: String = code.getattr("co_filename")?.extract()?;
            if Path::new(&filename) == file && line_of(text, &code)?.is_none() {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The line at which a text defines this code; none if it does not.
pub(super) fn line_of(text: &Text, code: &Bound<'_, PyAny>) -> PyResult<Option<u32>> {
    let py = code.py();
    let filename = code.getattr(intern!(py, "co_filename"))?;
    let Ok(compiled) = text.compiled(&filename) else {
        return Ok(None);
    };
    let mut waiting = vec![compiled];
    let mut lines = Vec::new();
    while let Some(candidate) = waiting.pop() {
        if is_same(&candidate, code)? {
            lines.push(candidate.getattr(intern!(py, "co_firstlineno"))?.extract::<u32>()?);
        }
        for constant in candidate.getattr(intern!(py, "co_consts"))?.try_iter()? {
            let constant = constant?;
            if constant.get_type().is(candidate.get_type()) {
                waiting.push(constant);
            }
        }
    }
    let own: u32 = code.getattr(intern!(py, "co_firstlineno"))?.extract()?;
    Ok(lines.into_iter().min_by_key(|line| line.abs_diff(own)))
}

/// Whether two code objects do the same, wherever they stand.
fn is_same(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<bool> {
    let parts = [
        "co_qualname",
        "co_code",
        "co_names",
        "co_varnames",
        "co_freevars",
        "co_cellvars",
        "co_flags",
        "co_argcount",
        "co_kwonlyargcount",
        "co_posonlyargcount",
        "co_exceptiontable",
    ];
    for part in parts {
        if !a.getattr(part)?.eq(b.getattr(part)?)? {
            return Ok(false);
        }
    }
    is_same_constant(&a.getattr("co_consts")?, &b.getattr("co_consts")?)
}

fn is_same_constant(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !a.get_type().is(b.get_type()) {
        return Ok(false);
    }
    match (a.cast::<PyTuple>(), b.cast::<PyTuple>()) {
        (Ok(a), Ok(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !is_same_constant(&a, &b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Ok(_), Ok(_)) => Ok(false),
        _ if a.hasattr("co_consts")? => is_same(a, b),
        // By text, for `0.0` equals `-0.0` and a frozen set has no order to compare.
        _ => Ok(a.eq(b)?
            && (a.hasattr("union")?
                || a.repr()?.to_string_lossy().into_owned()
                    == b.repr()?.to_string_lossy().into_owned())),
    }
}
