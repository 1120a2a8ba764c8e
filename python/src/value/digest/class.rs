//! Classes: which rule the instances fall under, and the name a class has in an encoding.

use std::rc::Rc;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};
use thrifty_key::plain::Container;

use super::encoder::Encoder;
use super::library::{self, Arrow, Polars, Science, Torch};
use super::unhashable::{Outcome, Unhashable};
use crate::program::imported_as;
use crate::stand_ins::original;
use crate::value::registry;

/// The rule for the instances of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Standard(Standard),
    Array(Array),
    Frame(Frame),
    Arrow(Arrow),
    Polars(Polars),
    Torch(Torch),
    Science(Science),
    /// What a registered hook gives.
    Registered,
    /// A class, of any metaclass.
    Class,
    /// Taken apart by the reduce protocol.
    Reduce,
    /// Nothing canonical can be had of it; with what to do instead.
    Refused(&'static str),
}

/// Types of the standard library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standard {
    Bytearray,
    Memoryview,
    Range,
    Slice,
    Singleton,
    MappingProxy,
    Function,
    Builtin,
    Method,
    Module,
    Enum,
    Flag,
    SetSubclass,
    FrozenSetSubclass,
    Path,
    Date,
    Time,
    Datetime,
    Timedelta,
    ZoneInfo,
    Fraction,
    Uuid,
    Pattern,
    Partial,
    Remembering,
    Vectorized,
}

/// Types of numpy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Array {
    Plain,
    Masked,
    Subclass,
    Scalar,
    Dtype,
    /// A legacy generator of random numbers.
    Random,
}

/// Types of pandas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame {
    Table,
    Series,
    RangeIndex,
    MultiIndex,
    Index,
    Extension,
    Timestamp,
    Timedelta,
    Period,
    Interval,
    Missing,
    Dtype,
}

/// What is known of a class.
#[derive(Clone)]
pub(super) struct Facts<'py> {
    pub(super) rule: Rule,
    name: Option<Rc<str>>,
    _class: Bound<'py, PyType>,
}

/// Where code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The interpreter or an installed package: goes by name.
    Installed,
    /// Everything else: changes between runs.
    Project,
}

impl<'py> Encoder<'_, 'py> {
    /// The rule for a value that is no plain builtin.
    pub(super) fn rule(&mut self, value: &Bound<'py, PyAny>) -> Outcome<Rule> {
        let class = value.get_type();
        if let Some(facts) = self.classes.get(&class.as_type_ptr()) {
            return Ok(facts.rule);
        }
        let rule = classify_met(&class).map_err(|error| Unhashable::raised(value, error))?;
        let facts = Facts { rule, name: None, _class: class.clone() };
        self.classes.insert(class.as_type_ptr(), facts);
        Ok(rule)
    }

    /// The name of the class of a value, telling the surroundings of the class.
    pub(super) fn class_of(&mut self, value: &Bound<'py, PyAny>) -> Outcome<Rc<str>> {
        let class = value.get_type();
        self.rule(value)?;
        if let Some(name) = self.known(&class) {
            return Ok(name);
        }
        self.surroundings.met(&class);
        let name = self.class_name(&class)?;
        if let Some(facts) = self.classes.get_mut(&class.as_type_ptr()) {
            facts.name = Some(Rc::clone(&name));
        }
        Ok(name)
    }

    fn known(&self, class: &Bound<'py, PyType>) -> Option<Rc<str>> {
        let facts = self.classes.get(&class.as_type_ptr())?;
        facts.name.clone()
    }

    /// `module.qualified_name` if that finds the class, and with the digest of its code behind
    /// a `#` if not.
    pub(super) fn class_name(&mut self, class: &Bound<'py, PyType>) -> Outcome<Rc<str>> {
        if let Some(name) = self.known(class) {
            return Ok(name);
        }
        let raised = |error| Unhashable::raised(class, error);
        let (name, found) = place(class).map_err(raised)?;
        if found || is_static(class) {
            return Ok(name.into());
        }
        let code = self.surroundings.code(class).map_err(raised)?;
        let code = code.ok_or_else(|| Unhashable::code(class, &name))?;
        Ok(format!("{name}#{code}").into())
    }

    /// Writes a function, class or module: by name if installed, else by its code.
    pub(super) fn code(&mut self, object: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(object, error);
        if let Some(name) = installed(object).map_err(raised)? {
            self.writer.typed("code");
            self.writer.text(name.as_bytes());
            return Ok(());
        }
        let digest = self.surroundings.code(object).map_err(raised)?;
        let name = place(object).map_or_else(|_| String::new(), |(name, _)| name);
        let digest = digest.ok_or_else(|| Unhashable::code(object, &name))?;
        self.writer.typed("code");
        // Of functions that call each other all reach the same.
        self.writer.open(Container::Tuple, 2);
        self.writer.text(name.as_bytes());
        self.writer.digest(&digest);
        Ok(())
    }
}

/// The name of a function, class or module that goes by name.
fn installed(object: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if let Ok(module) = object.cast::<PyModule>() {
        let name = module.name()?.to_str()?.to_owned();
        let origin = origin(object.py(), &name)?;
        return Ok((origin == Origin::Installed).then(|| format!("module {name}")));
    }
    if let Ok(class) = object.cast::<PyType>()
        && is_static(class)
    {
        return Ok(Some(place(object)?.0));
    }
    let (name, found) = place(object)?;
    let module = module_of(object)?;
    let by_name = found && origin(object.py(), &module)? == Origin::Installed;
    Ok(by_name.then_some(name))
}

/// Whether the class is part of a compiled module, and so has its name for good.
fn is_static(class: &Bound<'_, PyType>) -> bool {
    // SAFETY: a type.
    unsafe { ffi::PyType_GetFlags(class.as_type_ptr()) & ffi::Py_TPFLAGS_HEAPTYPE == 0 }
}

fn module_of(object: &Bound<'_, PyAny>) -> PyResult<String> {
    let module = object.getattr(intern!(object.py(), "__module__"))?;
    if module.is_none() {
        return Ok("builtins".to_owned());
    }
    module.extract()
}

/// `module.qualified_name`, and whether that name leads to the object.
fn place(object: &Bound<'_, PyAny>) -> PyResult<(String, bool)> {
    let py = object.py();
    let module = module_of(object)?;
    let name: String = object
        .getattr_opt(intern!(py, "__qualname__"))?
        .map_or_else(|| object.getattr(intern!(py, "__name__")), Ok)?
        .extract()?;
    let mut at = home(py, &module)?;
    for step in name.split('.') {
        at = match at {
            Some(place) => place.getattr_opt(step)?,
            None => None,
        };
    }
    let found = at.is_some_and(|found| original(&found).is(original(object)));
    Ok((format!("{}.{name}", imported_as(py, &module)?), found))
}

/// The module that a class or function says it is from. Some packages load theirs on demand.
fn home<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let found = loaded(py, name)?;
    let root = name.split('.').next().unwrap_or_default();
    if found.is_some() || root == name || loaded(py, root)?.is_none() {
        return Ok(found);
    }
    Ok(py.import(name).ok().map(Bound::into_any))
}

/// A module that is loaded.
pub(super) fn loaded<'py>(py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    match modules.get_item(name) {
        Ok(module) => Ok(Some(module)),
        Err(error) if error.is_instance_of::<pyo3::exceptions::PyKeyError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// By the file of the module, since a file of the project can have any name.
fn origin(py: Python<'_>, module: &str) -> PyResult<Origin> {
    let sys = py.import(intern!(py, "sys"))?;
    let Some(loaded_module) = loaded(py, module)? else {
        return Ok(Origin::Project);
    };
    let file = loaded_module.getattr_opt(intern!(py, "__file__"))?;
    let Some(Ok(file)) = file.map(|file| file.extract::<String>()) else {
        let builtin = sys.getattr(intern!(py, "builtin_module_names"))?.contains(module)?;
        return Ok(if builtin { Origin::Installed } else { Origin::Project });
    };
    let package = ["site-packages", "dist-packages"]
        .iter()
        .any(|folder| file.split(['/', '\\']).any(|part| part == *folder));
    let library: String =
        py.import(intern!(py, "os"))?.getattr(intern!(py, "__file__"))?.extract()?;
    let library = library.trim_end_matches("os.py").trim_end_matches("os.pyc");
    let installed = package || file.starts_with(library);
    Ok(if installed { Origin::Installed } else { Origin::Project })
}

/// Modules of tasks, handles, files and directories, which stand for more than they hold.
const OURS: [&str; 4] = ["thrifty", "thrifty._native", "thrifty._task", "thrifty.files"];

/// Whether a class, or a base of it in the same package, has a rule that no hook may replace.
pub(super) fn has_rule(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let module = class.module()?;
    let root = root(text(&module));
    if OURS.contains(&text(&module)) || root == "builtins" || class.is_subclass_of::<PyType>()? {
        return Ok(true);
    }
    for base in class.mro().iter() {
        let exact = base.is(class);
        let base = base.cast_into::<PyType>()?;
        let (module, name) = (base.module()?, base.qualname()?);
        let (module, name) = (text(&module), text(&name));
        if self::root(module) != root {
            break;
        }
        let rule = rule_of(module, name, exact).or_else(|| library::rule(root, module, name));
        if rule.is_some_and(|rule| !matches!(rule, Rule::Reduce | Rule::Refused(_))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The package that a module is in.
fn root(module: &str) -> &str {
    module.split('.').next().unwrap_or_default()
}

/// The rule for a class, after what its package ships for it.
fn classify_met(class: &Bound<'_, PyType>) -> PyResult<Rule> {
    if registry::digest_of(class).is_none() && !has_rule(class)? {
        registry::meet_class(class)?;
    }
    classify(class)
}

fn classify(class: &Bound<'_, PyType>) -> PyResult<Rule> {
    if class.is_subclass_of::<PyType>()? {
        return Ok(Rule::Class);
    }
    let module = class.module()?;
    let root = root(text(&module));
    let mut refusal = None;
    for base in class.mro().iter() {
        let exact = base.is(class);
        let base = base.cast_into::<PyType>()?;
        if registry::digest_of(&base).is_some() {
            return Ok(Rule::Registered);
        }
        let (module, name) = (base.module()?, base.qualname()?);
        let (module, name) = (text(&module), text(&name));
        let rule = rule_of(module, name, exact).or_else(|| library::rule(root, module, name));
        if let Some(rule) = rule {
            return Ok(rule);
        }
        refusal = refusal.or_else(|| library::refusal(module));
    }
    // What went wrong is told by its arguments, whoever raised it.
    if class.is_subclass_of::<pyo3::exceptions::PyBaseException>()? {
        return Ok(Rule::Reduce);
    }
    Ok(refusal.map_or(Rule::Reduce, Rule::Refused))
}

fn text<'a>(text: &'a Bound<'_, PyString>) -> &'a str {
    text.to_str().unwrap_or_default()
}

/// The rule that a class imposes on its instances, or if not `exact` on those of subclasses.
fn rule_of(module: &str, name: &str, exact: bool) -> Option<Rule> {
    let root = module.split('.').next().unwrap_or_default();
    match root {
        "builtins" => builtin(name, exact).map(Rule::Standard),
        "enum" => match name {
            "Flag" => Some(Rule::Standard(Standard::Flag)),
            "Enum" => Some(Rule::Standard(Standard::Enum)),
            _ => None,
        },
        "pathlib" if exact => Some(Rule::Standard(Standard::Path)),
        "numpy" => match standard(module, name).filter(|_| exact) {
            Some(rule) => Some(Rule::Standard(rule)),
            None => array(module, name, exact).map(Rule::Array),
        },
        "pandas" => frame(name).map(Rule::Frame),
        _ if exact => standard(module, name).map(Rule::Standard),
        _ => None,
    }
}

fn builtin(name: &str, exact: bool) -> Option<Standard> {
    Some(match name {
        "set" => Standard::SetSubclass,
        "frozenset" => Standard::FrozenSetSubclass,
        _ if !exact => return None,
        "bytearray" => Standard::Bytearray,
        "memoryview" => Standard::Memoryview,
        "range" => Standard::Range,
        "slice" => Standard::Slice,
        "ellipsis" | "NotImplementedType" => Standard::Singleton,
        "mappingproxy" => Standard::MappingProxy,
        "function" => Standard::Function,
        "builtin_function_or_method" => Standard::Builtin,
        "method" => Standard::Method,
        "module" => Standard::Module,
        _ => return None,
    })
}

fn standard(module: &str, name: &str) -> Option<Standard> {
    Some(match (module, name) {
        ("datetime", "date") => Standard::Date,
        ("datetime", "time") => Standard::Time,
        ("datetime", "datetime") => Standard::Datetime,
        ("datetime", "timedelta") => Standard::Timedelta,
        ("zoneinfo", "ZoneInfo") => Standard::ZoneInfo,
        ("fractions", "Fraction") => Standard::Fraction,
        ("uuid", "UUID") => Standard::Uuid,
        ("re", "Pattern") => Standard::Pattern,
        ("functools", "partial") => Standard::Partial,
        ("functools", "_lru_cache_wrapper") => Standard::Remembering,
        ("numpy", "vectorize") => Standard::Vectorized,
        _ => return None,
    })
}

fn array(module: &str, name: &str, exact: bool) -> Option<Array> {
    Some(match name {
        "ndarray" | "memmap" if exact => Array::Plain,
        "MaskedArray" => Array::Masked,
        "ndarray" => Array::Subclass,
        "generic" if module == "numpy" => Array::Scalar,
        "dtype" => Array::Dtype,
        "RandomState" if exact => Array::Random,
        _ => return None,
    })
}

fn frame(name: &str) -> Option<Frame> {
    Some(match name {
        "DataFrame" => Frame::Table,
        "Series" => Frame::Series,
        "RangeIndex" => Frame::RangeIndex,
        "MultiIndex" => Frame::MultiIndex,
        "Index" => Frame::Index,
        "ExtensionArray" => Frame::Extension,
        "Timestamp" => Frame::Timestamp,
        "Timedelta" => Frame::Timedelta,
        "Period" => Frame::Period,
        "Interval" => Frame::Interval,
        "NaTType" | "NAType" => Frame::Missing,
        "ExtensionDtype" => Frame::Dtype,
        _ => return None,
    })
}
