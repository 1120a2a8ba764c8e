//! torch: tensors by type, shape and elements; modules by their class and what they hold.

use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use thrifty_key::plain::Container;

use super::encoder::Encoder;
use super::library::Torch;
use super::unhashable::{Outcome, Reason, Unhashable};

/// The attributes in which a module keeps its parts by name.
const PARTS: [&str; 3] = ["_parameters", "_buffers", "_modules"];
/// The attribute that says which buffers a state dict leaves out.
const UNSAVED: &str = "_non_persistent_buffers_set";

const HOOKS: &str = "a hook is code that runs behind the value; remove it";

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a type of torch.
    pub(super) fn torch(&mut self, value: &Bound<'py, PyAny>, rule: Torch) -> Outcome {
        match rule {
            Torch::Tensor => self.tensor(value),
            Torch::Module => self.neural_module(value),
            Torch::Optimizer => self.optimizer(value),
            Torch::Generator => self.torch_generator(value),
        }
    }

    /// Type, shape, kind of device, elements in C order, whether gradients are asked for, the
    /// gradient, attributes.
    fn tensor(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        if let Some(way) = unfit(value).map_err(raised)? {
            return Err(Unhashable::new(value, Reason::Refused(way)));
        }
        let class = self.torch_class(value)?;
        let dtype = value.getattr(intern!(self.py, "dtype")).map_err(raised)?;
        let device = value.getattr(intern!(self.py, "device")).map_err(raised)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 7);
        // The text by which torch pickles a type.
        self.encode(&dtype.call_method0("__reduce__").map_err(raised)?)?;
        let shape = value.getattr(intern!(self.py, "shape")).map_err(raised)?;
        let shape = self.py.get_type::<PyTuple>().call1((shape,)).map_err(raised)?;
        self.encode(&shape)?;
        self.encode(&device.getattr(intern!(self.py, "type")).map_err(raised)?)?;
        self.elements(value)?;
        self.encode(&value.getattr(intern!(self.py, "requires_grad")).map_err(raised)?)?;
        self.part(&value.getattr(intern!(self.py, "grad")).map_err(raised)?, ".grad")?;
        self.part(&value.getattr(intern!(self.py, "__dict__")).map_err(raised)?, ".__dict__")
    }

    /// The elements in C order, as one bytes leaf.
    fn elements(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let plain = elements(&self.module(value, "torch")?, value).map_err(raised)?;
        let size: usize = plain
            .getattr(intern!(self.py, "nbytes"))
            .and_then(|size| size.extract())
            .map_err(raised)?;
        let address: usize = plain
            .call_method0(intern!(self.py, "data_ptr"))
            .and_then(|address| address.extract())
            .map_err(raised)?;
        match (size, address) {
            (0, _) => self.leaf(&[]),
            (_, 0) => return Err(Unhashable::new(value, Reason::Refused("it holds no elements"))),
            // SAFETY: a contiguous tensor in the memory of the process, alive until after the
            // call. Another thread may write to it meanwhile, as with any use of torch.
            _ => self.leaf(unsafe {
                std::slice::from_raw_parts(std::ptr::without_provenance(address), size)
            }),
        }
        Ok(())
    }

    /// `torch.Tensor` and `torch.nn.Parameter` for those classes themselves.
    fn torch_class(&mut self, value: &Bound<'py, PyAny>) -> Outcome<std::rc::Rc<str>> {
        let class = self.class_of(value)?;
        Ok(match &*class {
            "torch.nn.parameter.Parameter" => "torch.nn.Parameter".into(),
            _ => class,
        })
    }

    /// Parts in order, buffers that are not saved, parameters that are one object, and all other
    /// attributes. What torch notes for itself differs between its versions and does not count.
    fn neural_module(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        if !has_default_reduce(value).map_err(raised)? {
            return self.reduced(value);
        }
        let state = value.call_method0(intern!(self.py, "__getstate__")).map_err(raised)?;
        let state = state.cast_into::<PyDict>().map_err(|error| raised(error.into()))?;
        let attributes = self.own_attributes(value, &state)?;
        let class = self.class_of(value)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, PARTS.len() + 3);
        for part in PARTS {
            self.named_parts(value, &state, part)?;
        }
        let unsaved = state.get_item(UNSAVED).map_err(raised)?;
        self.encode(&unsaved.unwrap_or_else(|| self.py.None().into_bound(self.py)))?;
        self.tied(value)?;
        self.writer.open(Container::Dict, attributes.len());
        for (name, attribute) in attributes {
            self.writer.text(name.as_bytes());
            self.part(&attribute, &format!(".{name}"))?;
        }
        Ok(())
    }

    /// The attributes of a module that a bare one does not have, and whether it trains.
    fn own_attributes(
        &self,
        value: &Bound<'py, PyAny>,
        state: &Bound<'py, PyDict>,
    ) -> Outcome<Vec<(String, Bound<'py, PyAny>)>> {
        let raised = |error| Unhashable::raised(value, error);
        let bare = self
            .module(value, "torch")?
            .getattr("nn")
            .and_then(|nn| nn.getattr("Module")?.call0()?.getattr("__dict__"))
            .map_err(raised)?;
        let mut attributes = Vec::new();
        for (name, attribute) in state.iter() {
            let is_own = !bare.contains(&name).map_err(raised)?;
            let name: String = name.extract().map_err(raised)?;
            if PARTS.contains(&name.as_str()) || name == UNSAVED {
                continue;
            }
            if is_own || name == "training" {
                attributes.push((name, attribute));
            } else if attribute.is_truthy().map_err(raised)? {
                let refused = Unhashable::new(&attribute, Reason::Refused(HOOKS));
                return Err(refused.below(&format!(".{name}")));
            }
        }
        Ok(attributes)
    }

    /// Writes parts as pairs of name and value: their order shows.
    fn named_parts(
        &mut self,
        value: &Bound<'py, PyAny>,
        state: &Bound<'py, PyDict>,
        part: &str,
    ) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let parts = state.get_item(part).map_err(raised)?;
        let parts: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = match parts {
            Some(parts) => parts
                .call_method0("items")
                .and_then(|items| items.try_iter()?.map(|item| item?.extract()).collect())
                .map_err(raised)?,
            None => Vec::new(),
        };
        self.writer.open(Container::List, parts.len());
        for (name, part) in parts {
            self.writer.open(Container::Tuple, 2);
            self.encode(&name)?;
            let step = name.extract::<String>().unwrap_or_default();
            self.part(&part, &format!(".{step}"))?;
        }
        Ok(())
    }

    /// Writes the names under which one parameter is found more than once: it trains as one.
    fn tied(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let tied = tied(value).map_err(|error| Unhashable::raised(value, error))?;
        self.writer.open(Container::List, tied.len());
        tied.iter().try_for_each(|names| self.encode(names.as_any()))
    }

    /// The state dict, which calls parameters by number, and the parameters of each group.
    fn optimizer(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let attributes = value.getattr(intern!(self.py, "__dict__")).map_err(raised)?;
        let attributes = attributes.cast_into::<PyDict>().map_err(|error| raised(error.into()))?;
        for (name, attribute) in attributes.iter() {
            let name: String = name.extract().map_err(raised)?;
            if name.ends_with("_hooks") && attribute.is_truthy().map_err(raised)? {
                let refused = Unhashable::new(&attribute, Reason::Refused(HOOKS));
                return Err(refused.below(&format!(".{name}")));
            }
        }
        let class = self.class_of(value)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 3);
        self.part(&value.call_method0("state_dict").map_err(raised)?, ".state_dict()")?;
        self.part(&value.getattr("defaults").map_err(raised)?, ".defaults")?;
        let groups: Vec<Bound<'py, PyAny>> = value
            .getattr("param_groups")
            .and_then(|groups| groups.try_iter()?.map(|group| group?.get_item("params")).collect())
            .map_err(raised)?;
        self.writer.open(Container::List, groups.len());
        groups.iter().try_for_each(|group| self.part(group, ".param_groups"))
    }

    fn torch_generator(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let device = value.getattr("device").and_then(|device| device.getattr("type"));
        self.writer.typed("torch.Generator");
        self.writer.open(Container::Tuple, 2);
        self.encode(&device.map_err(raised)?)?;
        self.encode(&value.call_method0("get_state").map_err(raised)?)
    }
}

/// What to do instead of passing a tensor that is more than its elements, or has none.
fn unfit(value: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
    let py = value.py();
    let torch = py.import(intern!(py, "torch"))?;
    let is = |name: &str| value.getattr(name)?.is_truthy();
    let way = if !value.getattr("layout")?.is(&torch.getattr("strided")?) {
        "pass to_dense() of it"
    } else if is("is_quantized")? {
        "pass dequantize() of it"
    } else if is("is_meta")? {
        "it holds no elements"
    } else if !value.getattr("grad_fn")?.is_none() {
        "it belongs to a graph of gradients; pass or return detach() of it"
    } else if is("_backward_hooks")? || is("_post_accumulate_grad_hooks")? {
        HOOKS
    } else {
        return Ok(None);
    };
    Ok(Some(way))
}

/// The elements as a plain tensor in C order in the memory of the process.
fn elements<'py>(
    torch: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let plain = torch.getattr("Tensor")?;
    let mut tensor = value.call_method0("detach")?;
    if !tensor.get_type().is(&plain) {
        tensor = tensor.call_method1("as_subclass", (plain,))?;
    }
    for step in ["resolve_conj", "resolve_neg", "cpu", "contiguous"] {
        tensor = tensor.call_method0(step)?;
    }
    Ok(tensor)
}

/// Whether pickle would take an object apart by its attributes.
fn has_default_reduce(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let object = value.py().get_type::<PyAny>();
    let class = value.get_type();
    let inherits =
        |name: &str| -> PyResult<bool> { Ok(class.getattr(name)?.is(&object.getattr(name)?)) };
    Ok(inherits("__reduce__")? && inherits("__reduce_ex__")?)
}

/// The names of parameters that are one object, for each such object.
fn tied<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyList>>> {
    let py = value.py();
    let all = PyDict::new(py);
    all.set_item("remove_duplicate", false)?;
    let mut names: Vec<(usize, Bound<'py, PyList>)> = Vec::new();
    let mut known: HashMap<usize, usize> = HashMap::new();
    for pair in value.call_method("named_parameters", (), Some(&all))?.try_iter()? {
        let (name, parameter): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
        let address = parameter.as_ptr() as usize;
        let index = *known.entry(address).or_insert(names.len());
        if index == names.len() {
            names.push((address, PyList::empty(py)));
        }
        names[index].1.append(name)?;
    }
    Ok(names.into_iter().map(|(_, names)| names).filter(|names| names.len() > 1).collect())
}
