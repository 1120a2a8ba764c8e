//! What annotations say about values: how one is hashed, and which are secret.

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use thrifty_key::{Context, Digest, Hasher, plain};

use super::error::UnhashableArgument;

/// What the annotation of a parameter or result says.
#[derive(Default)]
pub struct Hook {
    /// Gives text or bytes that stand for the value in keys.
    pub method: Option<Py<PyAny>>,
    /// The value is never shown.
    pub secret: bool,
}

impl Hook {
    /// What the annotation of this name says.
    ///
    /// An annotation that is text is evaluated where the function was defined. One that cannot
    /// be, such as a name that only the type checker imports, says at most that there is a secret.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn of(function: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let py = function.py();
        let annotations: Bound<'_, PyDict> =
            function.getattr(intern!(py, "__annotations__"))?.extract()?;
        let Some(mut annotation) = annotations.get_item(name)? else {
            return Ok(Self::default());
        };
        if let Ok(text) = annotation.cast::<PyString>() {
            match evaluate(function, name, text) {
                Ok(value) => annotation = value,
                Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                    return Ok(Self {
                        method: None,
                        secret: text.to_string_lossy().contains("Secret"),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        let mut hook = Self { method: None, secret: holds_secret(&annotation)? };
        let Some(metadata) = annotation.getattr_opt(intern!(py, "__metadata__"))? else {
            return Ok(hook);
        };
        for mark in metadata.cast::<PyTuple>()?.iter() {
            if let Some(method) = mark.getattr_opt(intern!(py, "__thrifty_hash__"))? {
                hook.method = Some(method.unbind());
            }
        }
        Ok(hook)
    }

    /// Whether a function declares a secret under a name that is none of these parameters: a
    /// decorator hides the parameters of what it wraps behind `*args` and `**kwargs`.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn hidden_secret(function: &Bound<'_, PyAny>, parameters: &[&str]) -> PyResult<bool> {
        let annotations = function.getattr(intern!(function.py(), "__annotations__"))?;
        for name in annotations.try_iter()? {
            let name: String = name?.extract()?;
            let is_hidden = name != "return" && !parameters.contains(&name.as_str());
            if is_hidden && Self::of(function, &name)?.secret {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The digest that stands for the value, if the annotation says how it is hashed.
    ///
    /// # Errors
    ///
    /// [`UnhashableArgument`] of what the user's function raised, unless that ends the program;
    /// `TypeError` if it returned something else than text, bytes or an integer.
    pub fn digest(&self, value: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Digest>> {
        let py = value.py();
        let Some(method) = &self.method else {
            return Ok(None);
        };
        let given = method.bind(py).call1((value,)).map_err(|cause| refused(py, name, cause))?;
        let mut hasher = Hasher::new(Context::Value);
        hasher.framed(b"thrifty.HashMethod");
        if let Ok(text) = given.cast::<PyString>() {
            hasher.raw(&plain::text(&text.to_cow()?));
        } else if let Ok(bytes) = given.cast::<PyBytes>() {
            hasher.tag(plain::tag::BYTES).framed(bytes.as_bytes());
        } else if let Ok(number) = given.extract::<i64>() {
            hasher.raw(&plain::int(number));
        } else {
            return Err(PyTypeError::new_err(format!(
                "the hash method of {name} must return str, bytes or int, and returned {}",
                given.get_type().qualname()?.to_string_lossy()
            )));
        }
        Ok(Some(hasher.finish()))
    }
}

/// What a hash method that raised means for the value.
fn refused(py: Python<'_>, name: &str, cause: PyErr) -> PyErr {
    if !cause.is_instance_of::<PyException>(py) {
        return cause;
    }
    let message = crate::shown::message(py, &cause);
    let error = UnhashableArgument::new_err(format!("the hash method of {name} raised {message}"));
    error.set_cause(py, Some(cause));
    error
}

/// The value of an annotation that is text, evaluated where the function was defined. The text of
/// a lambda in it is left where tracebacks look for source, so that its code can be followed.
fn evaluate<'py>(
    function: &Bound<'py, PyAny>,
    name: &str,
    text: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let builtins = py.import(intern!(py, "builtins"))?;
    let globals = function.getattr(intern!(py, "__globals__"))?;
    let eval = builtins.getattr(intern!(py, "eval"))?;
    if !text.to_cow()?.contains("lambda") {
        return eval.call1((text, globals));
    }
    let module: String = function.getattr(intern!(py, "__module__"))?.extract()?;
    let owner: String = function.getattr(intern!(py, "__qualname__"))?.extract()?;
    let file = format!("<annotation of {name} of {module}.{owner}>");
    let code = builtins.call_method1(intern!(py, "compile"), (text, &file, "eval"))?;
    let cache = py.import("linecache")?.getattr("cache")?;
    cache.set_item(
        &file,
        (text.len()?, py.None(), [format!("{}\n", text.to_string_lossy())], &file),
    )?;
    eval.call1((code, globals))
}

/// Whether an annotation is a secret, or one of its parts is, as in `Secret[str] | None`.
fn holds_secret(annotation: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = annotation.py();
    for name in [intern!(py, "__metadata__"), intern!(py, "__args__")] {
        let parts = annotation.getattr_opt(name)?;
        let Some(Ok(parts)) = parts.map(|parts| parts.cast_into::<PyTuple>()) else {
            continue;
        };
        for part in parts.iter() {
            let is_mark = part.getattr_opt(intern!(py, "__thrifty_secret__"))?.is_some();
            if is_mark || holds_secret(&part)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
