//! Following live functions.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use thrifty_key::Digest;
use thrifty_source::outline;

use super::guard::Guard;
use super::inspect::{body_start, cells, describe, is_immutable, module_of};
use super::origin::{Place, Scope};
use super::text::{self, Piece, Text};
use super::walk::Walk;
use super::{Depth, Kind, fresh, source, unfollowable};

impl<'py> Walk<'_, 'py> {
    /// The scope that a function's globals are, or none if it is no code of the project; then what
    /// it belongs to is added.
    pub(super) fn scope_of_function(
        &mut self,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Rc<Scope>>> {
        let globals = function.getattr(intern!(self.py, "__globals__"))?.cast_into::<PyDict>()?;
        let name = globals
            .get_item(intern!(self.py, "__name__"))?
            .and_then(|name| name.extract::<String>().ok());
        let name = name.unwrap_or_else(|| "builtins".to_owned());
        Ok(match self.place(&name)? {
            Place::Project(scope) if scope.globals(self.py).is_some_and(|own| own.is(&globals)) => {
                Some(scope)
            }
            // A spawned worker runs the script in one namespace and copies that into the module.
            Place::Project(scope) if name == "__mp_main__" && scope.file.is_some() => {
                Some(Rc::new(scope.in_namespace(&globals)))
            }
            Place::Project(_) | Place::Missing | Place::Namespace(_) => {
                Some(Rc::new(Scope::detached(name, &globals)))
            }
            Place::Standard | Place::Installed(_) | Place::Opaque(_) => {
                // `exec` with a borrowed name is told by its globals.
                let module = self.py.import("sys")?.getattr("modules")?.get_item(&name).ok();
                let own = module
                    .and_then(|module| module.getattr("__dict__").ok())
                    .is_none_or(|own| own.is(&globals));
                (!own).then(|| Rc::new(Scope::detached(name, &globals)))
            }
        })
    }

    /// Follows a live function.
    pub(super) fn function(&mut self, function: &Bound<'py, PyAny>) -> PyResult<()> {
        if self.objects.insert(function.as_ptr() as usize, function.clone()).is_some() {
            return Ok(());
        }
        let py = self.py;
        let Some(scope) = self.scope_of_function(function)? else {
            let globals = function.getattr(intern!(py, "__globals__"))?;
            let home: String = globals.get_item("__name__")?.extract()?;
            self.member(&home, &[])?;
            return self.behind(&self.detached(&home)?, function, &describe(function));
        };
        let code = function.getattr(intern!(py, "__code__"))?;
        let line: u32 = code.getattr(intern!(py, "co_firstlineno"))?.extract()?;
        let name: String = code.getattr(intern!(py, "co_name"))?.extract()?;
        let qualified: String = code.getattr(intern!(py, "co_qualname"))?.extract()?;
        let text = self.text_of(&scope, &code)?;
        let line = self.line_of(&scope, &text, &code, line)?;
        let piece = match self.lambda_of(&text, &code, line, &name)? {
            Some(piece) => piece,
            None => self.piece_at(&scope, &text, line, &name)?,
        };
        self.guards.push(Guard::of_function(function)?);
        let cells = cells(function)?;
        self.define(&scope, &qualified, Kind::Function, piece, cells);
        if self.depth == Depth::Function {
            return Ok(());
        }
        let hint = format!("{}:{qualified}", scope.name);
        self.defaults(&scope, &text, function, &hint, &(line, name))?;
        self.behind(&scope, function, &hint)
    }

    /// One of several lambdas that begin at a line.
    fn lambda_of(
        &self,
        text: &Arc<Text>,
        code: &Bound<'py, PyAny>,
        line: u32,
        name: &str,
    ) -> PyResult<Option<Arc<Piece>>> {
        if name != "<lambda>" || text.at(line, name, &|_| false).is_ok() {
            return Ok(None);
        }
        let start = body_start(code)?;
        Ok(start.and_then(|(below, column)| text.lambda_around(line + below, column).ok()))
    }

    /// Follows what `functools` keeps beside a function: what it wraps, what it dispatches to.
    fn behind(
        &mut self,
        scope: &Rc<Scope>,
        function: &Bound<'py, PyAny>,
        name: &str,
    ) -> PyResult<()> {
        if let Some(wrapped) = function.getattr_opt(intern!(self.py, "__wrapped__"))? {
            self.value(scope, &wrapped, &format!("{name}.__wrapped__"), &[])?;
        }
        self.registry(scope, function, name)
    }

    /// The text that a code object was compiled from.
    fn text_of(&mut self, scope: &Rc<Scope>, code: &Bound<'py, PyAny>) -> PyResult<Arc<Text>> {
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        let is_own =
            |file: &Path| std::path::absolute(&filename).is_ok_and(|absolute| absolute == file);
        if let Some(text) =
            scope.text.as_ref().filter(|_| scope.file.as_deref().is_some_and(is_own))
        {
            return Ok(text.clone());
        }
        let found = source::of(self.py, &filename);
        let found = found.map(|text| if self.shown { text::shown(&text) } else { text });
        found.ok_or_else(|| {
            let qualified = code
                .getattr("co_qualname")
                .and_then(|name| name.extract::<String>())
                .unwrap_or_default();
            unfollowable(&format!("`{qualified}`"), &filename, "there is no source text of it")
        })
    }

    /// The line at which the text defines a code object that says it begins at `line`.
    pub(super) fn line_of(
        &self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        code: &Bound<'py, PyAny>,
        line: u32,
    ) -> PyResult<u32> {
        if !fresh::is_doubtful(text) {
            return Ok(line);
        }
        match fresh::line_of(text, code)? {
            Some(line) => Ok(line),
            None => {
                let name = code.getattr("co_qualname")?.extract::<String>()?;
                Err(super::SourceChanged::new_err(format!(
                    "the file of `{name}` ({}) was changed after it was imported, so that what runs \
                     is not what it says: reload the module or start again",
                    scope.name
                )))
            }
        }
    }

    /// Defaults that are not what the text says: computed, evaluated in a scope that is gone, or
    /// replaced. One that the text computes counts by its expression if it has no digest.
    pub(super) fn defaults(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        function: &Bound<'py, PyAny>,
        name: &str,
        which: &(u32, String),
    ) -> PyResult<()> {
        let inputs = self.inputs.remove(&(function.as_ptr() as usize)).unwrap_or_default();
        let written = text.outline().defaults.get(which);
        for DefaultValue { parameter, value, written } in defaults_of(function, written)? {
            if inputs.contains(&parameter) {
                continue;
            }
            match (written, (self.encoder)(&value)) {
                (Written::As(written), Some(digest)) if written == digest => {
                    if !is_immutable(&value) {
                        self.guards.push(Guard::of_value(value, digest));
                    }
                }
                (Written::Computed, None) if !self.holds_code(&value, 0)? => {}
                _ => self.value(scope, &value, &format!("{name}(default {parameter})"), &[])?,
            }
        }
        Ok(())
    }

    /// The implementations of a `singledispatch` function.
    pub(super) fn registry(
        &mut self,
        scope: &Rc<Scope>,
        function: &Bound<'py, PyAny>,
        name: &str,
    ) -> PyResult<()> {
        let Some(registry) = function.getattr_opt(intern!(self.py, "registry"))? else {
            return Ok(());
        };
        if module_of(&registry.get_type()) != "builtins" || !function.hasattr("dispatch")? {
            return Ok(());
        }
        let mut implementations = Vec::new();
        for class in registry.try_iter()? {
            let class = class?;
            let implementation = registry.get_item(&class)?;
            implementations.push((describe(&class), implementation));
        }
        implementations.sort_by(|a, b| a.0.cmp(&b.0));
        implementations.iter().try_for_each(|(class, value)| {
            self.value(scope, value, &format!("{name}(dispatch on {class})"), &[])
        })
    }

    /// Whether a code object comes from the source file of a scope.
    pub(super) fn is_in(&self, scope: &Rc<Scope>, code: &Bound<'py, PyAny>) -> PyResult<bool> {
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        let Some(file) = scope.file.as_deref() else {
            return Ok(!filename.starts_with('<') && !filename.starts_with("<ipython"));
        };
        Ok(std::path::absolute(filename).is_ok_and(|absolute| absolute == file))
    }
}

/// The default of one parameter.
struct DefaultValue<'py> {
    parameter: String,
    value: Bound<'py, PyAny>,
    written: Written,
}

/// What the text says of a default.
enum Written {
    /// It does not define the function, or with other parameters.
    Nowhere,
    /// An expression that only running it decides.
    Computed,
    /// A value with this digest.
    As(Digest),
}

impl Written {
    fn of(digest: Option<&Option<Digest>>) -> Self {
        match digest {
            None => Self::Nowhere,
            Some(None) => Self::Computed,
            Some(Some(digest)) => Self::As(*digest),
        }
    }
}

/// The defaults of a live function, and what the text says of each.
fn defaults_of<'py>(
    function: &Bound<'py, PyAny>,
    written: Option<&outline::Defaults>,
) -> PyResult<Vec<DefaultValue<'py>>> {
    let py = function.py();
    let mut found = Vec::new();
    let positional = function.getattr(intern!(py, "__defaults__"))?;
    if let Ok(positional) = positional.cast::<PyTuple>() {
        let code = function.getattr(intern!(py, "__code__"))?;
        let variables: Vec<String> = code.getattr(intern!(py, "co_varnames"))?.extract()?;
        let parameters: usize = code.getattr(intern!(py, "co_argcount"))?.extract()?;
        let with_default = &variables[parameters.saturating_sub(positional.len())..parameters];
        let same = written.filter(|written| written.positional.len() == positional.len());
        for (at, (parameter, value)) in with_default.iter().zip(positional.iter()).enumerate() {
            let written = Written::of(same.map(|same| &same.positional[at]));
            found.push(DefaultValue { parameter: parameter.clone(), value, written });
        }
    }
    let keyword = function.getattr(intern!(py, "__kwdefaults__"))?;
    if let Ok(keyword) = keyword.cast::<PyDict>() {
        for (parameter, value) in keyword.iter() {
            let parameter: String = parameter.extract()?;
            let mut same = written.into_iter().flat_map(|written| &written.keyword);
            let same = same.find(|(name, _)| *name == parameter);
            let written = Written::of(same.map(|(_, digest)| digest));
            found.push(DefaultValue { parameter, value, written });
        }
    }
    Ok(found)
}
