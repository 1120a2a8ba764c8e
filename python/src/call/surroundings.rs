//! Where the project of this process is, and how its bodies read variables.

use std::path::{Path, PathBuf};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use thrifty_engine::Cache;
use thrifty_engine::config::project_root;

/// Lets a cache look again at what bodies of this process observed.
pub fn place(py: Python<'_>, cache: &Cache) {
    let directory = std::env::current_dir().unwrap_or_default();
    let root = project_root(&directory).map(Path::to_owned).or_else(|| program(py).ok().flatten());
    cache.set_surroundings(root, Box::new(|name| Python::attach(|py| variable(py, name))));
}

/// The directory of the program.
fn program(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let main = py.import(intern!(py, "__main__"))?;
    let Some(file) = main.getattr_opt(intern!(py, "__file__"))? else {
        return Ok(None);
    };
    let file = std::path::absolute(file.extract::<PathBuf>()?)?;
    Ok(file.parent().map(Path::to_owned))
}

/// A variable as `os.environ` has it. That of the system could be written by another thread while
/// it is read, which the system does not forgive.
fn variable(py: Python<'_>, name: &str) -> Option<Vec<u8>> {
    crate::observe::aside(|| read(py, name))
}

fn read(py: Python<'_>, name: &str) -> Option<Vec<u8>> {
    let variables = py.import(intern!(py, "os")).ok()?.getattr(intern!(py, "environb")).ok()?;
    let name = PyBytes::new(py, name.as_bytes());
    let value = variables.call_method1(intern!(py, "get"), (name,)).ok()?;
    value.extract::<Option<Vec<u8>>>().ok()?
}
