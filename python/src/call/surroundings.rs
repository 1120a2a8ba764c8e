//! Where the project of this process is, and how its bodies read variables.

use std::path::{Path, PathBuf};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use thrifty_engine::Cache;
use thrifty_engine::config::project_root;

/// Lets a cache look again at what bodies of this process observed.
pub fn place(py: Python<'_>, cache: &Cache) {
    let root = root(program(py).ok().flatten(), &std::env::current_dir().unwrap_or_default());
    let variable = |name: &str| Python::attach(|py| variable(py, name));
    cache.set_surroundings(root, Box::new(variable), Box::new(crate::observe::parameter));
}

/// The root of the project whose code runs. Code makes paths from where it lies itself: its
/// program says where that is, whatever directory it was started in. Only a program that was
/// installed, such as a test runner, works on what is around it.
fn root(program: Option<PathBuf>, directory: &Path) -> Option<PathBuf> {
    let is_installed = |program: &PathBuf| {
        let is_module = program.extension().is_some_and(|extension| extension == "py");
        !is_module || program.iter().any(|part| part == "site-packages" || part == "dist-packages")
    };
    match program.filter(|program| !is_installed(program)) {
        Some(program) => {
            let place = program.parent()?;
            Some(project_root(place).unwrap_or(place).to_owned())
        }
        None => project_root(directory).map(Path::to_owned),
    }
}

/// The file of the program.
fn program(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let main = py.import(intern!(py, "__main__"))?;
    let Some(file) = main.getattr_opt(intern!(py, "__file__"))? else {
        return Ok(None);
    };
    Ok(Some(std::path::absolute(file.extract::<PathBuf>()?)?))
}

/// A variable as `os.environ` has it; of `NAME=default`, the default if it has none. That of the system could be written by another thread while
/// it is read, which the system does not forgive.
fn variable(py: Python<'_>, name: &str) -> Option<Vec<u8>> {
    crate::observe::aside(|| read(py, name))
}

fn read(py: Python<'_>, name: &str) -> Option<Vec<u8>> {
    let variables = py.import(intern!(py, "os")).ok()?.getattr(intern!(py, "environb")).ok()?;
    let (name, default) = match name.split_once('=') {
        Some((name, default)) => (name, Some(default.as_bytes().to_vec())),
        None => (name, None),
    };
    let name = PyBytes::new(py, name.as_bytes());
    let value = variables.call_method1(intern!(py, "get"), (name,)).ok()?;
    value.extract::<Option<Vec<u8>>>().ok()?.or(default)
}
