//! Values of libraries, as buffers that their own structures lie in.
//!
//! What such a value consists of is the library's own affair, so a module of the package takes it
//! apart and puts it together; the header is its description. Where parts remain that only a
//! pickle can hold, the codec has another name, so that a policy against pickles can tell.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use thrifty_engine::record::Buffer;

use super::error::NotStorable;
use super::memory::{self, Open};
use super::{Parts, header, loaded_type};

/// A library and the module that knows its values.
struct Library {
    codec: &'static str,
    /// The same with pickles among the buffers, if there can be any.
    pickled: Option<&'static str>,
    /// The module that is loaded if there are values of the library.
    module: &'static str,
    /// The types of the values, with the modules they are found in.
    types: &'static [(&'static str, &'static str)],
    half: &'static str,
}

const LIBRARIES: [Library; 5] = [
    Library {
        codec: "frame/1",
        pickled: Some("frame+pickle/1"),
        module: "pandas",
        types: &[("pandas", "DataFrame"), ("pandas", "Series"), ("pandas", "Index")],
        half: "thrifty._frame",
    },
    Library {
        codec: "arrow/1",
        pickled: None,
        module: "pyarrow",
        types: &[
            ("pyarrow", "Table"),
            ("pyarrow", "RecordBatch"),
            ("pyarrow", "ChunkedArray"),
            ("pyarrow", "Array"),
        ],
        half: "thrifty._arrow",
    },
    Library {
        codec: "polars/1",
        pickled: None,
        module: "polars",
        types: &[("polars", "DataFrame"), ("polars", "Series")],
        half: "thrifty._polars",
    },
    Library {
        codec: "sparse/1",
        pickled: None,
        module: "scipy.sparse",
        types: &[("scipy.sparse", "sparray"), ("scipy.sparse", "spmatrix")],
        half: "thrifty._sparse",
    },
    Library {
        codec: "tensor/1",
        pickled: None,
        module: "torch",
        // State dicts are ordered dicts.
        types: &[("torch", "Tensor"), ("collections", "OrderedDict")],
        half: "thrifty._torch",
    },
];

/// Whether the codec unpickles some of its buffers.
pub(super) fn holds_pickles(codec: &str) -> bool {
    LIBRARIES.iter().any(|library| library.pickled == Some(codec))
}

/// The buffers of the value if it is of one of the libraries.
pub(super) fn draft(value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
    for library in &LIBRARIES {
        if library.has(value)?
            && let Some(parts) = library.take_apart(value)?
        {
            return Ok(Some(parts));
        }
    }
    Ok(None)
}

impl Library {
    fn has(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = value.py();
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        if !modules.contains(self.module)? {
            return Ok(false);
        }
        for (module, name) in self.types {
            let (module, name) = (PyString::intern(py, module), PyString::intern(py, name));
            if let Some(kind) = loaded_type(py, &module, &name)?
                && value.is_instance(&kind)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_apart(&self, value: &Bound<'_, PyAny>) -> PyResult<Option<Parts>> {
        let py = value.py();
        let taken = py
            .import(self.half)?
            .call_method1(intern!(py, "take_apart"), (value,))
            .map_err(|error| not_storable(value, error))?;
        if taken.is_none() {
            return Ok(None);
        }
        let (description, memory, has_pickles): (Bound<'_, PyAny>, Vec<Bound<'_, PyAny>>, bool) =
            taken.extract()?;
        let codec = match self.pickled {
            Some(codec) if has_pickles => codec,
            _ => self.codec,
        };
        Ok(Some(Parts {
            codec,
            header: header::write(&description)?,
            buffers: memory.iter().map(memory::pin).collect::<PyResult<_>>()?,
        }))
    }
}

fn not_storable(value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    let py = value.py();
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let name = value
        .get_type()
        .name()
        .map_or_else(|_| "value".to_owned(), |name| name.to_string_lossy().into_owned());
    let refusal = NotStorable::new_err(format!(
        "a {name} holds a value that cannot be stored: {error}; it is passed on, and computed \
         again next time. Keep plain data in it"
    ));
    refusal.set_cause(py, Some(error));
    refusal
}

/// The value again; `None` if no library has such a codec.
pub(super) fn load<'py>(
    py: Python<'py>,
    codec: &str,
    header: &[u8],
    buffers: &[Buffer],
    open: &Open<'_>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let known = |library: &&Library| library.codec == codec || library.pickled == Some(codec);
    let Some(library) = LIBRARIES.iter().find(known) else {
        return Ok(None);
    };
    let description = header::read(py, header)?;
    let lent = PyList::empty(py);
    for buffer in buffers {
        lent.append(memory::lend(py, buffer, open)?)?;
    }
    let pickles = library.pickled == Some(codec);
    py.import(library.half)?
        .call_method1(intern!(py, "put_together"), (description, lent, pickles))
        .map(Some)
}
