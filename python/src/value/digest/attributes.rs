//! Attributes that somebody put into an object of which its rule, or its reduce method, tells
//! nothing: `df.name = "a"`, or those of a class derived from `Decimal`.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use thrifty_key::plain::Container;

use super::encoder::Encoder;
use super::unhashable::{Outcome, Unhashable};

/// Classes whose instances have attributes that their own reduce methods leave out, and what these
/// do tell of.
const FORGETFUL: [(&str, &str, &str); 2] =
    [("collections", "Counter", ""), ("random", "Random", "gauss_next")];

impl<'py> Encoder<'_, 'py> {
    /// Writes an object and, beside it, the attributes that `write` says nothing of, if any.
    pub(super) fn beside(
        &mut self,
        value: &Bound<'py, PyAny>,
        attributes: PyResult<Option<Bound<'py, PyDict>>>,
        write: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome {
        let Some(attributes) = attributes.map_err(|error| Unhashable::raised(value, error))? else {
            return write(self);
        };
        self.surroundings.met_attributes();
        self.writer.typed("attributes");
        self.writer.open(Container::Tuple, 2);
        write(self)?;
        self.attributes(attributes.as_any())
    }
}

/// The attributes of a value of a library; these names, and those that begin with an underscore,
/// are its own.
pub(super) fn of_library<'py>(
    value: &Bound<'py, PyAny>,
    own: &[&str],
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(all) = dict_of(value)? else {
        return Ok(None);
    };
    let class = value.get_type();
    let py = value.py();
    let told = [intern!(py, "_accessors"), intern!(py, "_metadata")];
    let told: Vec<_> = told.iter().map(|name| class.getattr_opt(name)).collect::<PyResult<_>>()?;
    let is_own = |name: &Bound<'py, PyAny>| -> PyResult<bool> {
        let text = name.cast::<PyString>()?.to_string_lossy();
        if text.starts_with('_') || own.contains(&text.as_ref()) {
            return Ok(true);
        }
        told.iter().flatten().try_fold(false, |is_own, names| Ok(is_own || names.contains(name)?))
    };
    without(&all, is_own)
}

/// The attributes of an object that was reduced to no state by a method of a class whose own
/// instances have none. Where one module defines that class and the one whose instances do have
/// some, they are left out on purpose: networks of `ipaddress` remember answers in theirs.
pub(super) fn of_reduced<'py>(
    value: &Bound<'py, PyAny>,
    state: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let Some(all) = dict_of(value)? else {
        return Ok(None);
    };
    // The module of the class, of those gone through, that first gave instances their attributes.
    let mut opens: Option<String> = None;
    let object = value.py().get_type::<PyAny>();
    for class in value.get_type().mro().iter().take_while(|class| !class.is(&object)) {
        let (module, name, reduces, has_dict) = told_of(&class)?;
        if let Some((_, _, told)) = FORGETFUL.iter().find(|it| it.0 == module && it.1 == name) {
            return without(&all, |name| name.eq(told));
        }
        if reduces {
            let is_lost = state.is_none() && !has_dict && opens.is_some_and(|at| at != module);
            return Ok(is_lost.then_some(all));
        }
        if has_dict {
            opens = Some(module);
        }
    }
    Ok(None)
}

/// Module and name of a class, whether it says how instances are reduced, and whether these have
/// attributes.
fn told_of(class: &Bound<'_, PyAny>) -> PyResult<(String, String, bool, bool)> {
    let py = class.py();
    let members = class.getattr(intern!(py, "__dict__"))?;
    let reduces = members.contains(intern!(py, "__reduce_ex__"))?
        || members.contains(intern!(py, "__reduce__"))?;
    let offset: isize = class.getattr(intern!(py, "__dictoffset__"))?.extract()?;
    let module = class.getattr(intern!(py, "__module__"))?.extract()?;
    let name = class.getattr(intern!(py, "__qualname__"))?.extract()?;
    Ok((module, name, reduces, offset != 0))
}

/// The attributes of an object that has some.
pub(super) fn dict_of<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let found = value.getattr_opt(intern!(value.py(), "__dict__"))?;
    let found = found.and_then(|found| found.cast_into_exact::<PyDict>().ok());
    Ok(found.filter(|found| !found.is_empty()))
}

fn without<'py>(
    all: &Bound<'py, PyDict>,
    is_told: impl Fn(&Bound<'py, PyAny>) -> PyResult<bool>,
) -> PyResult<Option<Bound<'py, PyDict>>> {
    let others = PyDict::new(all.py());
    for (name, held) in all.iter() {
        if !is_told(&name)? {
            others.set_item(name, held)?;
        }
    }
    Ok((!others.is_empty()).then_some(others))
}
