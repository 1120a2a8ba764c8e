//! The name of the module that runs as the program.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;

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
