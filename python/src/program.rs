//! The name of the module that runs as the program, and what is pickled by it.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyString, PyType};

/// Names of modules that run as the program, by the address of the module.
static PROGRAM: Mutex<Option<(usize, String)>> = Mutex::new(None);

/// The name by which a module is imported: that of the program, which is `__main__` in one
/// process and `__mp_main__` in another, is the one it would have.
///
/// # Errors
///
/// What Python raised.
pub fn imported_as(py: Python<'_>, name: &str) -> PyResult<String> {
    if !matches!(name, "__main__" | "__mp_main__") {
        return Ok(name.to_owned());
    }
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let Ok(module) = modules.get_item(name) else {
        return Ok(name.to_owned());
    };
    let address = module.as_ptr() as usize;
    if let Some((known, found)) = &*PROGRAM.lock()
        && *known == address
    {
        return Ok(found.clone());
    }
    let file = module.getattr_opt(intern!(py, "__file__"))?;
    let file = file.and_then(|file| file.extract::<PathBuf>().ok());
    let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
    let found = self::name(&module, file.as_deref())?;
    *PROGRAM.lock() = Some((address, found.clone()));
    Ok(found)
}

/// The name by which the module that runs as the program would be imported, so that its functions
/// have one key whether it runs or is imported.
pub fn name(module: &Bound<'_, PyAny>, file: Option<&Path>) -> PyResult<String> {
    let py = module.py();
    if let Some(spec) = module.getattr_opt(intern!(py, "__spec__"))?.filter(|spec| !spec.is_none())
    {
        let name: String = spec.getattr(intern!(py, "name"))?.extract()?;
        return Ok(name
            .strip_suffix(".__main__")
            .map_or(name.clone(), |package| format!("{package}.__main__")));
    }
    let Some(stem) = file.and_then(|file| file.file_stem()?.to_str()) else {
        return Ok("__main__".to_owned());
    };
    let mut name = stem.to_owned();
    let mut directory = file.and_then(Path::parent);
    while let Some(package) = directory.filter(|directory| directory.join("__init__.py").exists()) {
        let Some(part) = package.file_name().and_then(|part| part.to_str()) else {
            break;
        };
        name = format!("{part}.{name}");
        directory = package.parent();
    }
    Ok(name)
}

/// What a pickler writes in the place of an object: `NotImplemented` if it is none of the program's.
#[pyfunction]
#[pyo3(name = "_reduced_by_name")]
fn reduced_by_name<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let is_named = value.is_instance_of::<PyType>() || value.is_instance_of::<PyFunction>();
    if !is_named && !says_it_is_of_program(value) {
        return Ok(py.NotImplemented().into_bound(py));
    }
    py.import(intern!(py, "thrifty._pickles"))?.call_method1(intern!(py, "reduced"), (value,))
}

fn says_it_is_of_program(value: &Bound<'_, PyAny>) -> bool {
    let module = value.getattr_opt(intern!(value.py(), "__module__"));
    let Ok(Some(module)) = module else {
        return false;
    };
    let module = module.cast::<PyString>().ok().and_then(|module| module.to_str().ok());
    matches!(module, Some("__main__" | "__mp_main__"))
}

#[pyfunction]
#[pyo3(name = "_imported_as")]
fn known_as(py: Python<'_>, module: &str) -> PyResult<String> {
    imported_as(py, module)
}

/// Adds what `thrifty._pickles` asks to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(reduced_by_name, module)?)?;
    module.add_function(wrap_pyfunction!(known_as, module)?)
}
