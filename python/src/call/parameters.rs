//! The parameters of a function, and the binding of arguments to them.
//!
//! What `inspect.signature(function).bind(…)` gives, read from the code object, in a fraction of
//! the time. Arguments that do not fit bind to nothing: calling the function with them raises
//! what Python raises.

use pyo3::exceptions::PyImportError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use thrifty_key::{Part, Preview, plain};

use super::seed::Fill;

/// `co_flags` of a function with `*args`.
const VARARGS: u32 = 0x04;
/// `co_flags` of a function with `**kwargs`.
const VARKEYWORDS: u32 = 0x08;

/// The parameters of one function.
pub struct Parameters {
    /// Positional ones, keyword-only ones, then `*args` and `**kwargs` if there are.
    pub all: Vec<Parameter>,
    positional_only: usize,
    positional: usize,
    named: usize,
    varargs: Option<usize>,
    varkeywords: Option<usize>,
}

/// One parameter.
pub struct Parameter {
    /// Its name.
    pub name: String,
    interned: Py<PyString>,
    default: Option<Py<PyAny>>,
    /// What is put in under a seed if the caller gives nothing.
    pub fill: Option<Fill>,
}

impl Parameter {
    /// Shows the collector what is held.
    ///
    /// # Errors
    ///
    /// What it wants to be told back.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.default)
    }

    /// Whether the value is the very object that is the default.
    pub fn is_default(&self, value: &Bound<'_, PyAny>) -> bool {
        let default = self.default.as_ref();
        default.is_some_and(|default| default.is(value))
    }
}

/// The argument of each parameter; `None` for an empty `*args` or `**kwargs`.
pub type Arguments<'py> = Vec<Option<Bound<'py, PyAny>>>;

impl Parameters {
    /// The parameters of a Python function.
    ///
    /// # Errors
    ///
    /// What Python raises if it is not one.
    pub fn of(function: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = function.py();
        let code = function.getattr(intern!(py, "__code__"))?;
        let count = |name: &Bound<'_, PyString>| code.getattr(name)?.extract::<usize>();
        let positional = count(intern!(py, "co_argcount"))?;
        let keyword_only = count(intern!(py, "co_kwonlyargcount"))?;
        let flags: u32 = code.getattr(intern!(py, "co_flags"))?.extract()?;
        let named = positional + keyword_only;
        let varargs = (flags & VARARGS != 0).then_some(named);
        let after = named + usize::from(varargs.is_some());
        let varkeywords = (flags & VARKEYWORDS != 0).then_some(after);
        let total = after + usize::from(varkeywords.is_some());
        let names: Vec<Bound<'_, PyString>> =
            code.getattr(intern!(py, "co_varnames"))?.extract()?;
        let mut all: Vec<_> = names
            .into_iter()
            .take(total)
            .map(|name| Parameter {
                name: name.to_string_lossy().into_owned(),
                interned: name.unbind(),
                default: None,
                fill: None,
            })
            .collect();
        let defaults: Option<Bound<'_, PyTuple>> =
            function.getattr(intern!(py, "__defaults__"))?.extract()?;
        if let Some(defaults) = defaults {
            let first = positional - defaults.len();
            for (parameter, default) in all[first..positional].iter_mut().zip(defaults.iter()) {
                parameter.default = Some(default.unbind());
            }
        }
        let defaults: Option<Bound<'_, PyDict>> =
            function.getattr(intern!(py, "__kwdefaults__"))?.extract()?;
        if let Some(defaults) = defaults {
            for parameter in &mut all[positional..named] {
                parameter.default = defaults.get_item(&parameter.interned)?.map(Bound::unbind);
            }
        }
        for parameter in &mut all[..named] {
            parameter.fill = fill_of(function, &parameter.name)?;
        }
        let positional_only = count(intern!(py, "co_posonlyargcount"))?;
        Ok(Self { all, positional_only, positional, named, varargs, varkeywords })
    }

    /// What a seed makes of these parameters, beside the seed: the numbers of numpy's generators
    /// are those of its version.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn generators(&self, py: Python<'_>) -> PyResult<Option<(String, Part)>> {
        if !self.all.iter().any(|parameter| parameter.fill.is_some_and(Fill::is_of_numpy)) {
            return Ok(None);
        }
        let metadata = py.import("importlib.metadata")?;
        let version: String = match metadata.call_method1("version", ("numpy",)) {
            Ok(version) => version.extract()?,
            // What puts the generator in says so.
            Err(error) if error.is_instance_of::<PyImportError>(py) => return Ok(None),
            Err(error) => return Err(error),
        };
        let digest = plain::digest_text(&version);
        Ok(Some(("numpy".to_owned(), Part { digest, preview: Preview::text(version) })))
    }

    /// Binds arguments; `None` if they do not fit. Under a seed, a parameter that it fills is
    /// left empty if the caller gave nothing, or `None`.
    pub fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        is_seeded: bool,
    ) -> PyResult<Option<Arguments<'py>>> {
        let py = args.py();
        let mut bound: Arguments<'py> = vec![None; self.all.len()];
        let given = args.len();
        for (index, argument) in args.iter().enumerate().take(self.positional) {
            bound[index] = Some(argument);
        }
        if given > self.positional {
            let Some(varargs) = self.varargs else {
                return Ok(None);
            };
            bound[varargs] = Some(args.get_slice(self.positional, given).into_any());
        }
        if let Some(kwargs) = kwargs
            && !self.bind_keywords(kwargs, &mut bound)?
        {
            return Ok(None);
        }
        for (parameter, slot) in self.all[..self.named].iter().zip(&mut bound) {
            let is_filled = is_seeded && parameter.fill.is_some();
            if slot.is_none() {
                *slot = parameter.default.as_ref().map(|default| default.bind(py).clone());
            }
            if is_filled && slot.as_ref().is_some_and(|given| given.is_none()) {
                *slot = None;
            }
            if slot.is_none() && !is_filled {
                return Ok(None);
            }
        }
        Ok(Some(bound))
    }

    /// Whether a parameter takes the keywords that have none of their own.
    pub fn is_varkeywords(&self, index: usize) -> bool {
        self.varkeywords == Some(index)
    }

    fn bind_keywords<'py>(
        &self,
        kwargs: &Bound<'py, PyDict>,
        bound: &mut Arguments<'py>,
    ) -> PyResult<bool> {
        let mut left = kwargs.len();
        for (index, slot) in
            bound.iter_mut().enumerate().take(self.named).skip(self.positional_only)
        {
            if left == 0 {
                return Ok(true);
            }
            if let Some(value) = kwargs.get_item(&self.all[index].interned)? {
                if slot.is_some() {
                    return Ok(false);
                }
                *slot = Some(value);
                left -= 1;
            }
        }
        if left == 0 {
            return Ok(true);
        }
        let Some(varkeywords) = self.varkeywords else {
            return Ok(false);
        };
        let rest = kwargs.copy()?;
        for parameter in &self.all[self.positional_only..self.named] {
            if rest.contains(&parameter.interned)? {
                rest.del_item(&parameter.interned)?;
            }
        }
        bound[varkeywords] = Some(rest.into_any());
        Ok(true)
    }

    /// The arguments as a call takes them; `None` in the places of what a seed fills.
    pub fn unbind<'py>(
        &self,
        py: Python<'py>,
        arguments: &[Option<Bound<'py, PyAny>>],
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let mut positional: Vec<_> =
            arguments[..self.positional].iter().map(|it| or_none(py, it.as_ref())).collect();
        if let Some(rest) = self.varargs.and_then(|index| arguments[index].as_ref()) {
            for argument in rest.try_iter()? {
                positional.push(argument?);
            }
        }
        let keywords = match self.varkeywords.and_then(|index| arguments[index].as_ref()) {
            Some(rest) => rest.cast::<PyDict>()?.copy()?,
            None => PyDict::new(py),
        };
        for (parameter, argument) in
            self.all[..self.named].iter().zip(arguments).skip(self.positional)
        {
            keywords.set_item(&parameter.interned, or_none(py, argument.as_ref()))?;
        }
        Ok((PyTuple::new(py, positional)?, keywords))
    }
}

fn or_none<'py>(py: Python<'py>, argument: Option<&Bound<'py, PyAny>>) -> Bound<'py, PyAny> {
    argument.cloned().unwrap_or_else(|| py.None().into_bound(py))
}

fn fill_of(function: &Bound<'_, PyAny>, name: &str) -> PyResult<Option<Fill>> {
    if !Fill::may_be(name) {
        return Ok(None);
    }
    let annotations = function.getattr(intern!(function.py(), "__annotations__"))?;
    Fill::of(name, annotations.cast::<PyDict>()?.get_item(name)?.as_ref())
}
