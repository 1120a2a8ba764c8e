//! Objects without a rule of their own, taken apart by the reduce protocol of pickle.
//!
//! Nothing is pickled: what `__reduce_ex__` returns is encoded as it stands, so that a set in a
//! state is sorted, an array in it follows the rule for arrays, and nothing depends on which
//! strings happen to be interned.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use thrifty_key::plain::Container;

use super::attributes;
use super::class::{Rule, Standard};
use super::encoder::Encoder;
use super::unhashable::{Outcome, Reason, Unhashable};
use crate::program::imported_as;
use crate::stand_ins::original;

/// What an object costs of the parts that a value may have: taking one apart runs Python code.
const OBJECT: u64 = 10;
/// How many items a reduce method may give one by one that nobody knows the number of.
pub(super) const UNCOUNTED: usize = 4_000_000;
/// The protocol asked for: the last without out-of-band buffers, which are for pickling.
const PROTOCOL: u8 = 4;

impl<'py> Encoder<'_, 'py> {
    /// Writes a value that is no plain builtin.
    pub(super) fn object(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let original = match self.rule(value)? {
            Rule::Standard(Standard::Function | Standard::Builtin) => Some(original(value)),
            _ => None,
        };
        let value = original.as_ref().unwrap_or(value);
        match self.rule(value)? {
            Rule::Registered => self.registered(value),
            Rule::Class => self.code(value),
            Rule::Standard(rule) => self.standard(value, rule),
            Rule::Array(rule) => self.array(value, rule),
            Rule::Frame(rule) => self.frame(value, rule),
            Rule::Arrow(rule) => self.once(value, |encoder| encoder.arrow(value, rule)),
            Rule::Polars(rule) => self.once(value, |encoder| encoder.polars(value, rule)),
            Rule::Torch(rule) => self.once(value, |encoder| encoder.torch(value, rule)),
            Rule::Science(rule) => self.once(value, |encoder| encoder.science(value, rule)),
            Rule::Refused(way) => Err(Unhashable::new(value, Reason::Refused(way))),
            Rule::Reduce => self.once(value, |encoder| encoder.reduced(value)),
        }
    }

    /// Writes an object by what its reduce method returns.
    pub(super) fn reduced(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        self.reduced_without(value, None)
    }

    /// The same, without one attribute of its state.
    pub(super) fn reduced_without(
        &mut self,
        value: &Bound<'py, PyAny>,
        left_out: Option<&str>,
    ) -> Outcome {
        // SAFETY: any object.
        if unsafe { ffi::PyIter_Check(value.as_ptr()) } == 1 {
            return Err(Unhashable::new(value, Reason::Iterator));
        }
        self.spend(value, OBJECT)?;
        let reduced = reduce(value).map_err(|error| Unhashable::raised(value, error))?;
        if let Ok(name) = reduced.cast::<PyString>() {
            return self.global(value, name);
        }
        let mut parts = Parts::new(&reduced).map_err(|error| Unhashable::raised(value, error))?;
        if let (Some(name), Ok(state)) = (left_out, parts.state.cast_exact::<PyDict>()) {
            let state = state.copy().map_err(|error| Unhashable::raised(value, error))?;
            // It need not be there.
            _ = state.del_item(name);
            parts.state = state.into_any();
        }
        let class = self.class_of(value)?;
        self.beside(value, attributes::of_reduced(value, &parts.state), |encoder| {
            encoder.writer.typed(&class);
            encoder.writer.open(Container::Tuple, 6);
            encoder.constructor(value, &parts)?;
            encoder.state(&parts.state)?;
            encoder.setter(&parts.setter)?;
            encoder.items(value, &parts.items)?;
            encoder.pairs(value, &parts.pairs)
        })
    }

    /// An object that is found under a name in its module.
    fn global(&mut self, value: &Bound<'py, PyAny>, name: &Bound<'py, PyString>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let is_universal = value.get_type().name().map_err(raised)? == "ufunc";
        if is_universal && !leads_to(name, value).map_err(raised)? {
            let text = format!("it says that it is `{name}`, and nothing or something else is");
            return Err(raised(PyTypeError::new_err(text)));
        }
        let module = module_of(value).map_err(raised)?;
        let class = self.class_of(value)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 2);
        self.encode(&module)?;
        self.encode(name.as_any())
    }

    /// How the object is made, and from which arguments.
    fn constructor(&mut self, value: &Bound<'py, PyAny>, parts: &Parts<'py>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let name = parts.callable.getattr_opt(intern!(self.py, "__name__"));
        let name = name.map_err(raised)?;
        let name = name.and_then(|name| name.extract::<String>().ok());
        let module = parts.callable.getattr_opt(intern!(self.py, "__module__"));
        let module = module.map_err(raised)?;
        let module = module.and_then(|module| module.extract::<String>().ok());
        let skipped = match (module.as_deref(), name.as_deref()) {
            (Some("copyreg"), Some("__newobj__" | "__newobj_ex__")) => 1,
            _ => 0,
        };
        match skipped {
            1 => {
                let class = parts.arguments.get_item(0).map_err(raised)?;
                self.writer.typed("new");
                self.constructed(&class)?;
            }
            _ => self.constructed(&parts.callable)?,
        }
        let count = parts.arguments.len().saturating_sub(skipped);
        self.writer.open(Container::Tuple, count);
        for (index, argument) in parts.arguments.iter().skip(skipped).enumerate() {
            self.encode(&argument)
                .map_err(|unhashable| unhashable.below(&format!(".args[{index}]")))?;
        }
        Ok(())
    }

    /// The class of an instance goes by name, unlike a class that is a value.
    fn constructed(&mut self, callable: &Bound<'py, PyAny>) -> Outcome {
        match callable.cast::<PyType>() {
            Ok(class) => {
                let name = self.class_name(class)?;
                self.writer.text(name.as_bytes());
                Ok(())
            }
            Err(_) => self.part(callable, ".__reduce__"),
        }
    }

    /// The state: a dict of attributes, or whatever `__getstate__` returned.
    fn state(&mut self, state: &Bound<'py, PyAny>) -> Outcome {
        // SAFETY: any object.
        if unsafe { ffi::PyDict_CheckExact(state.as_ptr()) } == 1 {
            return self.once(state, |encoder| encoder.dict(state, &attribute_step));
        }
        // Attributes in a dict and slots in another.
        if let Ok(pair) = state.cast_exact::<PyTuple>()
            && pair.len() == 2
        {
            self.writer.open(Container::Tuple, 2);
            return pair.iter().try_for_each(|half| self.attributes(&half));
        }
        self.part(state, ".__getstate__()")
    }

    pub(super) fn attributes(&mut self, half: &Bound<'py, PyAny>) -> Outcome {
        // SAFETY: any object.
        if unsafe { ffi::PyDict_CheckExact(half.as_ptr()) } == 1 {
            return self.once(half, |encoder| encoder.dict(half, &attribute_step));
        }
        self.part(half, ".__getstate__()")
    }

    fn setter(&mut self, setter: &Bound<'py, PyAny>) -> Outcome {
        self.part(setter, ".__reduce__")
    }

    /// What is appended to the object, in order.
    fn items(&mut self, value: &Bound<'py, PyAny>, items: &Bound<'py, PyAny>) -> Outcome {
        if items.is_none() {
            self.writer.none();
            return Ok(());
        }
        let items = self.collected(value, items)?;
        self.writer.open(Container::List, items.len());
        for (index, item) in items.iter().enumerate() {
            self.encode(item).map_err(|unhashable| unhashable.below(&format!("[{index}]")))?;
        }
        Ok(())
    }

    /// What is set on the object by key: in any order, unless it is an ordered dict.
    fn pairs(&mut self, value: &Bound<'py, PyAny>, pairs: &Bound<'py, PyAny>) -> Outcome {
        if pairs.is_none() {
            self.writer.none();
            return Ok(());
        }
        let ordered = is_ordered(value).map_err(|error| Unhashable::raised(value, error))?;
        let pairs = self.collected(value, pairs)?;
        let container = if ordered { Container::List } else { Container::Dict };
        self.writer.open(container, pairs.len());
        for pair in &pairs {
            let raised = |error| Unhashable::raised(value, error);
            let key = pair.get_item(0).map_err(raised)?;
            let item = pair.get_item(1).map_err(raised)?;
            if ordered {
                self.writer.open(Container::Tuple, 2);
            }
            self.part(&key, "{…}")?;
            self.encode(&item)
                .map_err(|unhashable| unhashable.below(&super::builtin::item_step(&key)))?;
        }
        Ok(())
    }

    /// All of an iterator that a reduce method returned, as far as the budget goes.
    fn collected(
        &mut self,
        value: &Bound<'py, PyAny>,
        items: &Bound<'py, PyAny>,
    ) -> Outcome<Vec<Bound<'py, PyAny>>> {
        let raised = |error| Unhashable::raised(value, error);
        let most = UNCOUNTED.max(length_hint(items));
        let mut all = Vec::new();
        for item in items.try_iter().map_err(raised)? {
            all.push(item.map_err(raised)?);
            if self.is_spent(all.len()) {
                return Err(Unhashable::new(value, Reason::Size));
            }
            if all.len() > most {
                return Err(Unhashable::new(value, Reason::Endless));
            }
        }
        Ok(all)
    }
}

/// What a reduce method returned.
struct Parts<'py> {
    callable: Bound<'py, PyAny>,
    arguments: Bound<'py, PyTuple>,
    state: Bound<'py, PyAny>,
    items: Bound<'py, PyAny>,
    pairs: Bound<'py, PyAny>,
    setter: Bound<'py, PyAny>,
}

impl<'py> Parts<'py> {
    fn new(reduced: &Bound<'py, PyAny>) -> PyResult<Self> {
        let malformed = || {
            PyTypeError::new_err(
                "__reduce__ must return a text, or a tuple of two to six elements of which the \
                 second is a tuple",
            )
        };
        let reduced = reduced.cast::<PyTuple>().map_err(|_| malformed())?;
        if !(2..=6).contains(&reduced.len()) {
            return Err(malformed());
        }
        let optional = |index: usize| {
            reduced.get_item(index).unwrap_or_else(|_| reduced.py().None().into_bound(reduced.py()))
        };
        Ok(Self {
            callable: reduced.get_item(0)?,
            arguments: reduced.get_item(1)?.cast_into().map_err(|_| malformed())?,
            state: optional(2),
            items: optional(3),
            pairs: optional(4),
            setter: optional(5),
        })
    }
}

/// The module that an object says it is found in, under the name by which that is imported.
fn module_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let module = value.getattr_opt(intern!(py, "__module__"))?;
    let module = module.unwrap_or_else(|| py.None().into_bound(py));
    match module.extract::<String>() {
        Ok(name) => Ok(PyString::new(py, &imported_as(py, &name)?).into_any()),
        Err(_) => Ok(module),
    }
}

fn reduce<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let registered = py
        .import(intern!(py, "copyreg"))?
        .getattr(intern!(py, "dispatch_table"))?
        .call_method1(intern!(py, "get"), (value.get_type(),))?;
    if registered.is_none() {
        value.call_method1(intern!(py, "__reduce_ex__"), (PROTOCOL,))
    } else {
        registered.call1((value,))
    }
}

/// Whether a function of numpy is found under its name, where pickle looks for it: one that
/// `np.frompyfunc` made is not, and no other attribute tells it from others of the name.
fn leads_to(name: &Bound<'_, PyString>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = value.py();
    let module = py.import(intern!(py, "pickle"))?.call_method1("whichmodule", (value, name))?;
    let mut found = py.import(module.cast::<PyString>()?)?.into_any();
    for part in name.to_str()?.split('.') {
        match found.getattr_opt(part)? {
            Some(held) => found = held,
            None => return Ok(false),
        }
    }
    Ok(found.is(value))
}

/// How many items an iterator says that it has left.
fn length_hint(items: &Bound<'_, PyAny>) -> usize {
    let hint = items.py().import(intern!(items.py(), "operator"));
    let hint = hint.and_then(|it| it.call_method1(intern!(items.py(), "length_hint"), (items, 0)));
    hint.and_then(|hint| hint.extract()).unwrap_or(0)
}

/// Whether a dict remembers its order as part of its value.
fn is_ordered(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match super::class::loaded(value.py(), "collections")? {
        Some(collections) => value.is_instance(&collections.getattr("OrderedDict")?),
        None => Ok(false),
    }
}

fn attribute_step(key: &Bound<'_, PyAny>) -> String {
    match key.extract::<String>() {
        Ok(name) => format!(".{name}"),
        Err(_) => super::builtin::item_step(key),
    }
}
