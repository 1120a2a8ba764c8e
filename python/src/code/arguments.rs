//! The arguments of the program, which code reads wherever it is.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::Kind;
use super::constant::preview;
use super::guard::Guard;
use super::walk::Walk;

/// How much of them counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All, with the name of the program.
    All,
    /// Those behind it, which parsers go by.
    Given,
}

impl<'py> Walk<'_, 'py> {
    /// Something that a module of the standard library gives: whether it reads them.
    pub(super) fn standard(&mut self, module: &str, path: &[String]) -> PyResult<()> {
        match (module, path.first().map_or("", String::as_str)) {
            ("sys", "argv" | "orig_argv") => self.program_arguments(Extent::All),
            ("fileinput", "input" | "FileInput") => self.program_arguments(Extent::Given),
            _ => Ok(()),
        }
    }

    /// They count by value.
    pub(super) fn program_arguments(&mut self, extent: Extent) -> PyResult<()> {
        let namespace: Bound<'py, PyDict> = self.py.import(intern!(self.py, "sys"))?.dict();
        let name = PyString::intern(self.py, "argv");
        let arguments = namespace.get_item(&name)?;
        let value = arguments.clone().map(Bound::unbind);
        self.guards.push(Guard::Item { namespace: namespace.unbind(), name: name.unbind(), value });
        let Some(arguments) = arguments.and_then(|it| it.cast_into::<PyList>().ok()) else {
            return Ok(());
        };
        let (hint, counted) = match extent {
            Extent::All => ("sys:argv", arguments.clone()),
            Extent::Given => ("sys:argv[1:]", arguments.get_slice(1, arguments.len())),
        };
        let (all, counted) = (arguments.into_any(), counted.into_any());
        if let (Some(now), Some(digest)) = ((self.encoder)(&all), (self.encoder)(&counted)) {
            self.guards.push(Guard::of_value(all, now));
            self.add(hint, Kind::Constant, digest, preview(&counted));
        }
        Ok(())
    }
}
