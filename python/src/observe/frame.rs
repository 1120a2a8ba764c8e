//! The Python frames of this thread, innermost first.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

/// Flags of a code object that has `*args`, and one that has `**kwargs`.
const EXTRA: [u32; 2] = [0x04, 0x08];

/// One frame.
#[derive(Clone)]
pub(super) struct Frame<'py> {
    frame: Bound<'py, PyAny>,
    code: Bound<'py, PyAny>,
}

impl<'py> Frame<'py> {
    /// The frame that runs now.
    pub(super) fn innermost(py: Python<'py>) -> Option<Self> {
        // SAFETY: the interpreter is attached; the frame that runs is borrowed, and null if
        // there is none.
        let frame = unsafe {
            Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast::<ffi::PyObject>())
        };
        frame.map(Self::of)
    }

    pub(super) fn of(frame: Bound<'py, PyAny>) -> Self {
        // SAFETY: it is a frame, which always has code; the reference is new.
        let code = unsafe {
            let code = ffi::PyFrame_GetCode(frame.as_ptr().cast::<ffi::PyFrameObject>());
            Bound::from_owned_ptr(frame.py(), code.cast::<ffi::PyObject>())
        };
        Self { frame, code }
    }

    /// The interpreter.
    pub(super) fn py(&self) -> Python<'py> {
        self.frame.py()
    }

    /// The frame that called this one.
    pub(super) fn caller(&self) -> Option<Self> {
        let back = self.frame.getattr(intern!(self.frame.py(), "f_back")).ok()?;
        (!back.is_none()).then(|| Self::of(back))
    }

    /// The file its code was compiled from, or a word in angle brackets.
    pub(super) fn file(&self) -> PyResult<Bound<'py, PyString>> {
        let file = self.code.getattr(intern!(self.frame.py(), "co_filename"))?;
        file.cast_into::<PyString>().map_err(PyErr::from)
    }

    /// Its code.
    pub(super) const fn code(&self) -> &Bound<'py, PyAny> {
        &self.code
    }

    /// What its module now has under the name of its function, or a class of the module: the function
    /// itself, or what a decorator made of it.
    pub(super) fn definition(&self) -> Option<Bound<'py, PyAny>> {
        let py = self.py();
        let name: String = self.code.getattr(intern!(py, "co_qualname")).ok()?.extract().ok()?;
        let mut found = self.frame.getattr(intern!(py, "f_globals")).ok()?;
        for (depth, step) in name.split('.').enumerate() {
            if depth > 0 {
                found = found.getattr_opt(intern!(py, "__dict__")).ok()??;
            }
            found = found.get_item(step).ok()?;
        }
        Some(found)
    }

    /// The name of its function.
    pub(super) fn function(&self) -> PyResult<String> {
        self.code.getattr(intern!(self.frame.py(), "co_name"))?.extract()
    }

    /// A name of its module, such as `__name__`, if that is text.
    pub(super) fn global(&self, name: &str) -> Option<String> {
        let globals = self.frame.getattr(intern!(self.frame.py(), "f_globals")).ok()?;
        globals.get_item(name).ok()?.extract().ok()
    }

    /// Which instruction it is at: the same number in the same frame is the same call.
    pub(super) fn position(&self) -> Option<(usize, usize)> {
        let at = self.frame.getattr(intern!(self.frame.py(), "f_lasti")).ok()?;
        Some((self.frame.as_ptr() as usize, at.extract().ok()?))
    }

    /// The values of its parameters, as they are now.
    pub(super) fn arguments(&self) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let py = self.frame.py();
        let count = |name: &Bound<'py, PyString>| self.code.getattr(name)?.extract::<usize>();
        let flags: u32 = self.code.getattr(intern!(py, "co_flags"))?.extract()?;
        let extra = EXTRA.iter().filter(|flag| flags & **flag != 0).count();
        let parameters =
            count(intern!(py, "co_argcount"))? + count(intern!(py, "co_kwonlyargcount"))? + extra;
        if parameters == 0 {
            return Ok(Vec::new());
        }
        let names = self.code.getattr(intern!(py, "co_varnames"))?.cast_into::<PyTuple>()?;
        let locals = self.frame.getattr(intern!(py, "f_locals"))?;
        let values = names.iter().take(parameters).filter_map(|name| locals.get_item(name).ok());
        Ok(values.collect())
    }
}
