//! Following live objects: what a name is bound to when the text does not decide, or no longer.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyModule, PySet, PyString, PyTuple, PyType};
use thrifty_key::{Context, Hasher};

use super::guard::Guard;
use super::origin::{Place, Scope};
use super::outline::Binding;
use super::text::Text;
use super::walk::Walk;
use super::{Kind, fresh, source, unfollowable};

/// Attributes under which wrappers of functions keep what they wrap.
const WRAPPED: [&str; 7] = [
    "__wrapped__",
    "__func__",
    "func",
    "fget",
    "py_func",
    "pyfunc",
    "_func",
];

/// How many wrappers around one function are looked through.
const WRAPPERS: usize = 6;

/// Types of objects whose state never decides a result.
const STATELESS: [(&str, &str); 6] = [
    ("logging", "Logger"),
    ("logging", "LoggerAdapter"),
    ("_thread", "lock"),
    ("_thread", "RLock"),
    ("_thread", "_local"),
    ("typing", "TypeVar"),
];

impl<'py> Walk<'_, 'py> {
    /// Begins at the function that was given.
    pub(super) fn root(&mut self, function: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut function = function.clone();
        for _ in 0..WRAPPERS {
            if is_function(&function)? {
                break;
            }
            let Some(wrapped) = function.getattr_opt(intern!(self.py, "__wrapped__"))? else {
                break;
            };
            function = wrapped;
        }
        let name = describe(&function);
        let scope = self.detached("")?;
        self.value(&scope, &function, &name, &[])?;
        match self.has_code() {
            true => Ok(()),
            false => Err(unfollowable(
                &format!("`{name}`"),
                "what was given",
                "it is no code of the project",
            )),
        }
    }

    fn detached(&self, name: &str) -> PyResult<Rc<Scope>> {
        Ok(Rc::new(Scope::detached(
            name.to_owned(),
            &PyDict::new(self.py),
        )))
    }

    /// Follows an object, known to the code of `scope` under `hint`, and the attributes read from it.
    pub(super) fn value(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
        attributes: &[String],
    ) -> PyResult<()> {
        if let Ok(module) = value.cast::<PyModule>() {
            let name: String = module.getattr(intern!(self.py, "__name__"))?.extract()?;
            return self.member(&name, attributes);
        }
        if let Ok(class) = value.cast::<PyType>() {
            return self.class(scope, class);
        }
        if is_function(value)? {
            return self.function(value);
        }
        if self.wrapper(scope, value, hint)? {
            return Ok(());
        }
        self.constant(scope, value, hint)
    }

    /// Follows what a wrapper of functions holds; whether the value is one.
    fn wrapper(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<bool> {
        let py = self.py;
        let kind = value.get_type();
        let (module, name) = (module_of(&kind), kind.name()?.to_string());
        let parts: &[&str] = match (module.as_str(), name.as_str()) {
            (
                "builtins",
                "builtin_function_or_method"
                | "method_descriptor"
                | "wrapper_descriptor"
                | "method-wrapper",
            ) => {
                if let Some(home) = value
                    .getattr_opt(intern!(py, "__module__"))?
                    .and_then(|home| home.extract::<String>().ok())
                {
                    self.member(&home, &[])?;
                }
                return Ok(true);
            }
            ("builtins", "method") => &["__self__", "__func__"],
            ("builtins", "staticmethod" | "classmethod") => &["__func__"],
            ("builtins", "property") => &["fget", "fset", "fdel"],
            ("functools", "partial" | "partialmethod") => &["func", "args", "keywords"],
            ("functools", "cached_property") => &["func"],
            ("functools", "_lru_cache_wrapper") => &["__wrapped__"],
            _ if module.starts_with("thrifty") && value.hasattr("__wrapped__")? => &["__wrapped__"],
            _ if self.is_installed(&module)? && value.is_callable() => {
                let found = WRAPPED.iter().find(|part| {
                    let held = value.getattr_opt(**part).ok().flatten();
                    held.is_some_and(|held| is_function(&held).unwrap_or(false))
                });
                match found {
                    Some(part) => {
                        self.member(&module, &[])?;
                        std::slice::from_ref(part)
                    }
                    None => return Ok(false),
                }
            }
            _ => return Ok(false),
        };
        if self
            .objects
            .insert(value.as_ptr() as usize, value.clone())
            .is_none()
        {
            for part in parts {
                let held = value.getattr(*part)?;
                if !held.is_none() {
                    self.value(scope, &held, &format!("{hint}.{part}"), &[])?;
                }
            }
        }
        Ok(true)
    }

    fn is_installed(&mut self, module: &str) -> PyResult<bool> {
        Ok(module != "builtins" && matches!(self.place(module)?, Place::Installed(_)))
    }

    /// The scope that a function's globals are, or none if it is no code of the project; then what
    /// it belongs to is added.
    fn scope_of_function(&mut self, function: &Bound<'py, PyAny>) -> PyResult<Option<Rc<Scope>>> {
        let globals = function
            .getattr(intern!(self.py, "__globals__"))?
            .cast_into::<PyDict>()?;
        let name = globals
            .get_item(intern!(self.py, "__name__"))?
            .and_then(|name| name.extract::<String>().ok());
        let name = name.unwrap_or_else(|| "builtins".to_owned());
        Ok(match self.place(&name)? {
            Place::Project(scope) if scope.globals(self.py).is_some_and(|own| own.is(&globals)) => {
                Some(scope)
            }
            Place::Project(_) | Place::Missing | Place::Namespace(_) => {
                Some(Rc::new(Scope::detached(name, &globals)))
            }
            Place::Standard | Place::Installed(_) | Place::Opaque(_) => {
                // `exec` with a borrowed name is told by its globals.
                let module = self
                    .py
                    .import("sys")?
                    .getattr("modules")?
                    .get_item(&name)
                    .ok();
                let own = module
                    .and_then(|module| module.getattr("__dict__").ok())
                    .is_none_or(|own| own.is(&globals));
                (!own).then(|| Rc::new(Scope::detached(name, &globals)))
            }
        })
    }

    /// Follows a live function.
    pub(super) fn function(&mut self, function: &Bound<'py, PyAny>) -> PyResult<()> {
        if self
            .objects
            .insert(function.as_ptr() as usize, function.clone())
            .is_some()
        {
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
        let piece = self.piece_at(&scope, &text, line, &name)?;
        self.guards.push(Guard::of_function(function)?);
        let cells = cells(function)?;
        self.define(&scope, &qualified, Kind::Function, piece, cells);
        self.defaults(
            &scope,
            &text,
            function,
            &format!("{}:{qualified}", scope.name),
            (line, name),
        )?;
        self.behind(&scope, function, &format!("{}:{qualified}", scope.name))
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
        self.registry(scope, function)
    }

    /// The text that a code object was compiled from.
    fn text_of(&mut self, scope: &Rc<Scope>, code: &Bound<'py, PyAny>) -> PyResult<Arc<Text>> {
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        let is_own =
            |file: &Path| std::path::absolute(&filename).is_ok_and(|absolute| absolute == file);
        if let Some(text) = scope
            .text
            .as_ref()
            .filter(|_| scope.file.as_deref().is_some_and(is_own))
        {
            return Ok(text.clone());
        }
        source::of(self.py, &filename).ok_or_else(|| {
            let qualified = code
                .getattr("co_qualname")
                .map(|name| name.to_string())
                .unwrap_or_default();
            unfollowable(
                &format!("`{qualified}`"),
                &filename,
                "there is no source text of it",
            )
        })
    }

    /// The line at which the text defines a code object that says it begins at `line`.
    fn line_of(
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
                let name = code.getattr("co_qualname")?.to_string();
                let reason =
                    "its file was changed after it was imported: reload the module or start again";
                Err(unfollowable(&format!("`{name}`"), &scope.name, reason))
            }
        }
    }

    /// Defaults that are not what the text says: evaluated in a scope that is gone, or replaced.
    fn defaults(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        function: &Bound<'py, PyAny>,
        name: &str,
        which: (u32, String),
    ) -> PyResult<()> {
        let positional = function.getattr(intern!(self.py, "__defaults__"))?;
        let keyword = function.getattr(intern!(self.py, "__kwdefaults__"))?;
        let written = text.outline.defaults.get(&which);
        let mut values: Vec<(
            String,
            Bound<'py, PyAny>,
            Option<Option<thrifty_key::Digest>>,
        )> = Vec::new();
        if let Ok(positional) = positional.cast::<PyTuple>() {
            let same = written.filter(|written| written.positional.len() == positional.len());
            for (at, value) in positional.iter().enumerate() {
                values.push((
                    format!("{name}(default {at})"),
                    value,
                    same.map(|same| same.positional[at]),
                ));
            }
        }
        if let Ok(keyword) = keyword.cast::<PyDict>() {
            for (key, value) in keyword.iter() {
                let key: String = key.extract()?;
                let same = written
                    .and_then(|written| written.keyword.iter().find(|(name, _)| *name == key));
                values.push((
                    format!("{name}(default {key})"),
                    value,
                    same.map(|(_, digest)| *digest),
                ));
            }
        }
        for (hint, value, written) in values {
            let decided = match written {
                None => false,
                Some(None) => true,
                Some(digest) => (self.encoder)(&value) == digest,
            };
            if !decided {
                self.value(scope, &value, &hint, &[])?;
            }
        }
        Ok(())
    }

    /// The implementations of a `singledispatch` function.
    fn registry(&mut self, scope: &Rc<Scope>, function: &Bound<'py, PyAny>) -> PyResult<()> {
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
            self.value(scope, value, &format!("dispatch on {class}"), &[])
        })
    }

    /// The line of a code object in the text of its scope, as well as can be told.
    fn line_in_text(
        &self,
        scope: &Rc<Scope>,
        code: &Bound<'py, PyAny>,
        line: u32,
    ) -> PyResult<u32> {
        match scope.text.as_ref().filter(|text| fresh::is_doubtful(text)) {
            Some(text) => Ok(fresh::line_of(text, code)?.unwrap_or(line)),
            None => Ok(line),
        }
    }

    /// Whether a code object comes from the source file of a scope.
    fn is_in(&self, scope: &Rc<Scope>, code: &Bound<'py, PyAny>) -> PyResult<bool> {
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        let Some(file) = scope.file.as_deref() else {
            return Ok(!filename.starts_with("<string>"));
        };
        Ok(std::path::absolute(filename).is_ok_and(|absolute| absolute == file))
    }

    /// Whether a live object is what the definition at a line made: the function itself, or,
    /// decorated, something that holds it.
    pub(super) fn is_definition(
        &self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        line: u32,
        name: &str,
        decorated: bool,
    ) -> PyResult<bool> {
        let mut waiting = vec![(value.clone(), 0)];
        while let Some((value, depth)) = waiting.pop() {
            if is_function(&value)? {
                let code = value.getattr(intern!(self.py, "__code__"))?;
                let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
                let file = std::path::absolute(&filename).ok();
                let own: u32 = code
                    .getattr(intern!(self.py, "co_firstlineno"))?
                    .extract()?;
                if self.line_in_text(scope, &code, own)? == line
                    && code
                        .getattr(intern!(self.py, "co_name"))?
                        .extract::<String>()?
                        == name
                    && file.as_deref() == scope.file.as_deref()
                {
                    return Ok(true);
                }
                if decorated && depth < WRAPPERS {
                    let held = cells(&value)?.into_values();
                    let held = held
                        .filter_map(|cell| cell.getattr(intern!(self.py, "cell_contents")).ok());
                    waiting.extend(held.map(|held| (held, depth + 1)));
                }
            }
            if decorated && depth < WRAPPERS && !value.is_instance_of::<PyType>() {
                let held = WRAPPED
                    .iter()
                    .filter_map(|part| value.getattr_opt(*part).ok().flatten());
                waiting.extend(held.map(|held| (held, depth + 1)));
            }
        }
        Ok(decorated && value.is_none())
    }

    /// Guards the functions that a decorated definition left behind.
    pub(super) fn guard_wrapped(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let mut value = value.clone();
        for _ in 0..WRAPPERS {
            if is_function(&value)? {
                self.guards.push(Guard::of_function(&value)?);
            }
            match value.getattr_opt(intern!(self.py, "__wrapped__"))? {
                Some(wrapped) => value = wrapped,
                None => break,
            }
        }
        Ok(())
    }

    /// A class that the text of its module defines.
    pub(super) fn class_in_text(
        &mut self,
        scope: &Rc<Scope>,
        name: &str,
        live: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        if let Some(live) = &live {
            match live.cast::<PyType>() {
                Ok(class) if self.is_class_of(scope, class, name)? => {
                    return self.class(scope, class);
                }
                Ok(_) => return self.value(scope, live, &format!("{}:{name}", scope.name), &[]),
                Err(_) => {}
            }
        }
        let text = scope.text.clone();
        let Some(text) = text else { return Ok(()) };
        let piece = text
            .class(name)
            .map_err(|error| unfollowable(&format!("`{name}`"), &scope.name, &error.to_string()))?;
        self.define(scope, name, Kind::Class, piece, HashMap::new());
        Ok(())
    }

    fn is_class_of(
        &self,
        scope: &Rc<Scope>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> PyResult<bool> {
        Ok(class.qualname()?.to_string() == name && module_of(class) == scope.import_name)
    }

    /// Follows a live class.
    fn class(&mut self, near: &Rc<Scope>, class: &Bound<'py, PyType>) -> PyResult<()> {
        if self
            .objects
            .insert(class.as_ptr() as usize, class.clone().into_any())
            .is_some()
        {
            return Ok(());
        }
        let module = module_of(class);
        let scope = match self.place(&module)? {
            Place::Project(scope) => scope,
            Place::Missing | Place::Namespace(_) => near.clone(),
            _ => return self.member(&module, &[]),
        };
        self.guards.push(Guard::of_class(class)?);
        let name = class.qualname()?.to_string();
        let Some((text, piece)) = self.class_text(&scope, class, &name) else {
            return self.built(&scope, class, &name);
        };
        let functions = attributes(class)?;
        let mut free = HashMap::new();
        for (_, value) in &functions {
            let Some(function) = plain_function(value)? else {
                continue;
            };
            let code = function.getattr(intern!(self.py, "__code__"))?;
            let qualified: String = code.getattr(intern!(self.py, "co_qualname"))?.extract()?;
            if qualified
                .strip_prefix(&name)
                .is_some_and(|rest| rest.starts_with('.'))
                && self.is_in(&scope, &code)?
            {
                self.line_of(&scope, &text, &code, 0)?;
                free.extend(cells(&function)?);
            }
        }
        self.define(&scope, &name, Kind::Class, piece, free);
        if name.contains("<locals>") {
            for base in class.getattr(intern!(self.py, "__bases__"))?.try_iter()? {
                self.value(&scope, &base?, &name, &[])?;
            }
        }
        self.changed_attributes(&scope, &text, class, &name)
    }

    fn class_text(
        &self,
        scope: &Rc<Scope>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> Option<(Arc<Text>, Arc<super::text::Piece>)> {
        if let Some(text) = &scope.text {
            return Some((text.clone(), text.class(name).ok()?));
        }
        let mut names = Vec::new();
        for (_, value) in attributes(class).ok()? {
            if let Ok(Some(function)) = plain_function(&value) {
                names.extend(
                    function
                        .getattr("__code__")
                        .and_then(|code| code.getattr("co_filename")?.extract::<String>()),
                );
            }
        }
        names.extend(source::cells(self.py));
        names.into_iter().find_map(|filename| {
            let text = source::of(self.py, &filename)?;
            let piece = text.class(name).ok()?;
            Some((text, piece))
        })
    }

    /// A class that no `class` statement made: its bases and attributes.
    fn built(&mut self, scope: &Rc<Scope>, class: &Bound<'py, PyType>, name: &str) -> PyResult<()> {
        let mut hasher = Hasher::new(Context::Code);
        hasher.framed(b"class").framed(name.as_bytes());
        for base in class.getattr(intern!(self.py, "__bases__"))?.try_iter()? {
            let base = base?;
            hasher.framed(describe(&base).as_bytes());
            self.value(scope, &base, name, &[])?;
        }
        let mut attributes = attributes(class)?;
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        for (attribute, value) in attributes {
            let is_plain = attribute == "_fields" || !attribute.starts_with('_');
            if let Some(function) = plain_function(&value)?.filter(|_| is_plain) {
                self.value(scope, &function, &format!("{name}.{attribute}"), &[])?;
            } else if is_plain && let Some(digest) = (self.encoder)(&value) {
                hasher.framed(attribute.as_bytes()).digest(&digest);
            }
        }
        self.note(format!(
            "{}:{name}: no class statement; followed by its bases and attributes",
            scope.name
        ));
        self.add(
            &format!("{}:{name}", scope.name),
            Kind::Class,
            hasher.finish(),
            None,
        );
        Ok(())
    }

    /// Attributes of a class that are not what its text says.
    fn changed_attributes(
        &mut self,
        scope: &Rc<Scope>,
        text: &Arc<Text>,
        class: &Bound<'py, PyType>,
        name: &str,
    ) -> PyResult<()> {
        let py = self.py;
        let Some(written) = text.outline.classes.get(name) else {
            return Ok(());
        };
        let meta = class.get_type();
        let is_ordinary = matches!(meta.name()?.to_string().as_str(), "type" | "ABCMeta");
        for (attribute, value) in attributes(class)? {
            let hint = format!("{}:{name}.{attribute}", scope.name);
            match (written.get(&attribute), plain_function(&value)?) {
                (Some(Binding::Function { line, decorators }), _) => {
                    let decorated = !decorators.is_empty();
                    if !self.is_definition(scope, &value, *line, &attribute, decorated)?
                        && self.is_foreign(&value)?
                    {
                        self.value(scope, &value, &hint, &[])?;
                    }
                }
                (Some(Binding::Literal { digest, .. }), _) if is_ordinary => {
                    if !is_descriptor(&value)? && (self.encoder)(&value) != Some(*digest) {
                        self.value(scope, &value, &hint, &[])?;
                    } else if !is_descriptor(&value)? {
                        self.guards.push(Guard::Value {
                            value: value.unbind(),
                            digest: *digest,
                        });
                    }
                }
                (None, Some(function)) if !attribute.starts_with('_') => {
                    let code = function.getattr(intern!(py, "__code__"))?;
                    let filename: String = code.getattr(intern!(py, "co_filename"))?.extract()?;
                    if !filename.starts_with("<string>") {
                        self.value(scope, &function, &hint, &[])?;
                    }
                }
                (None, None)
                    if is_ordinary && !attribute.starts_with('_') && !is_descriptor(&value)? =>
                {
                    self.value(scope, &value, &hint, &[])?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a method that is not the one in the text was put there, rather than made by the
    /// decorators of the text.
    fn is_foreign(&mut self, value: &Bound<'py, PyAny>) -> PyResult<bool> {
        let Some(function) = plain_function(value)? else {
            return Ok(false);
        };
        let code = function.getattr(intern!(self.py, "__code__"))?;
        let filename: String = code.getattr(intern!(self.py, "co_filename"))?.extract()?;
        Ok(filename != "<string>")
    }

    /// A value that the code reads.
    fn constant(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<()> {
        let kind = value.get_type();
        let (module, name) = (module_of(&kind), kind.name()?.to_string());
        if STATELESS.contains(&(module.as_str(), name.as_str())) {
            return Ok(());
        }
        if module != "builtins" {
            self.class(scope, &kind)?;
        }
        if let Some(digest) = (self.encoder)(value) {
            if !is_immutable(value) {
                self.guards.push(Guard::Value {
                    value: value.clone().unbind(),
                    digest,
                });
            }
            self.add(hint, Kind::Constant, digest, preview(value));
            return Ok(());
        }
        if self
            .objects
            .insert(value.as_ptr() as usize, value.clone())
            .is_some()
            || self.container(scope, value, hint)?
        {
            return Ok(());
        }
        let reason = format!("a value of type `{name}` has no digest");
        let assigned = hint.strip_prefix(&format!("{}:", scope.name));
        let assigned = assigned.and_then(|name| name.split(['.', '[', '(']).next());
        match assigned {
            Some(name) if scope.text.is_some() => self.expression(scope, name, &reason),
            _ => Err(unfollowable(&format!("`{hint}`"), &scope.name, &reason)),
        }
    }

    /// A container with functions, classes or modules in it: element by element.
    fn container(
        &mut self,
        scope: &Rc<Scope>,
        value: &Bound<'py, PyAny>,
        hint: &str,
    ) -> PyResult<bool> {
        let mut elements: Vec<(String, Bound<'py, PyAny>)> = Vec::new();
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            for (key, element) in dict.iter() {
                let label = match key.cast::<PyString>() {
                    Ok(text) => text.repr()?.to_string(),
                    Err(_) => describe(&key),
                };
                elements.push((label, element));
            }
        } else if value.cast_exact::<PyList>().is_ok() || value.cast_exact::<PyTuple>().is_ok() {
            for (at, element) in value.try_iter()?.enumerate() {
                elements.push((at.to_string(), element?));
            }
        } else if value.cast_exact::<PySet>().is_ok() || value.cast_exact::<PyFrozenSet>().is_ok() {
            for element in value.try_iter()? {
                let element = element?;
                elements.push((describe(&element), element));
            }
            elements.sort_by(|a, b| a.0.cmp(&b.0));
        } else {
            return Ok(false);
        }
        let mut hasher = Hasher::new(Context::Code);
        hasher
            .framed(value.get_type().name()?.to_string().as_bytes())
            .count(elements.len());
        for (label, element) in &elements {
            hasher.framed(label.as_bytes());
            match (self.encoder)(element) {
                Some(digest) => _ = hasher.tag(1).digest(&digest),
                None => {
                    hasher.tag(2).framed(describe(element).as_bytes());
                    self.value(scope, element, &format!("{hint}[{label}]"), &[])?;
                }
            }
        }
        self.guards.push(Guard::of_elements(value)?);
        self.add(hint, Kind::Constant, hasher.finish(), None);
        Ok(true)
    }
}

fn is_function(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let kind = value.get_type();
    Ok(kind.name()? == "function" && module_of(&kind) == "builtins")
}

/// The plain function inside a method descriptor, if there is one.
fn plain_function<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    if is_function(value)? {
        return Ok(Some(value.clone()));
    }
    for part in ["__func__", "fget"] {
        if let Some(held) = value.getattr_opt(part).ok().flatten()
            && is_function(&held)?
        {
            return Ok(Some(held));
        }
    }
    Ok(None)
}

/// Slots, properties and the like: how a class gives access, not a value of its own.
fn is_descriptor(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    value.get_type().hasattr("__get__")
}

fn attributes<'py>(class: &Bound<'py, PyType>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let namespace = class.getattr(intern!(class.py(), "__dict__"))?;
    let mut attributes = Vec::new();
    for name in namespace.try_iter()? {
        let name = name?;
        attributes.push((name.extract()?, namespace.get_item(&name)?));
    }
    Ok(attributes)
}

fn cells<'py>(function: &Bound<'py, PyAny>) -> PyResult<HashMap<String, Bound<'py, PyAny>>> {
    let py = function.py();
    let closure = function.getattr(intern!(py, "__closure__"))?;
    if closure.is_none() {
        return Ok(HashMap::new());
    }
    let names: Vec<String> = function
        .getattr(intern!(py, "__code__"))?
        .getattr(intern!(py, "co_freevars"))?
        .extract()?;
    names
        .into_iter()
        .zip(closure.try_iter()?)
        .map(|(name, cell)| Ok((name, cell?)))
        .collect()
}

fn module_of(class: &Bound<'_, PyType>) -> String {
    class
        .getattr(intern!(class.py(), "__module__"))
        .and_then(|module| module.extract())
        .unwrap_or_default()
}

/// A name for an object that does not depend on where it lies in memory.
fn describe(value: &Bound<'_, PyAny>) -> String {
    let text = |name: &str| {
        value
            .getattr_opt(name)
            .ok()
            .flatten()
            .and_then(|text| text.extract::<String>().ok())
    };
    match (text("__module__"), text("__qualname__")) {
        (Some(module), Some(name)) => format!("{module}:{name}"),
        _ => text("__name__")
            .or_else(|| value.get_type().name().map(|name| name.to_string()).ok())
            .unwrap_or_default(),
    }
}

fn is_immutable(value: &Bound<'_, PyAny>) -> bool {
    let name = value
        .get_type()
        .name()
        .map(|name| name.to_string())
        .unwrap_or_default();
    module_of(&value.get_type()) == "builtins"
        && matches!(
            name.as_str(),
            "int" | "float" | "complex" | "str" | "bytes" | "bool" | "NoneType"
        )
}

/// A short text of a plain value.
fn preview(value: &Bound<'_, PyAny>) -> Option<String> {
    const LONGEST: usize = 2_000;
    if module_of(&value.get_type()) != "builtins" {
        return None;
    }
    let text = value.repr().ok()?.to_string();
    Some(text.chars().take(LONGEST).collect())
}
