//! Where handles stand in values: in lists, tuples and dicts, and nowhere else.

use std::collections::{HashMap, HashSet};

use pyo3::exceptions::PyRecursionError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use thrifty_key::{Digest, plain};

use super::error::HandleError;
use super::handle::Handle;
use super::task::Task;
use crate::observe;
use crate::value::codec::Place;
use crate::value::digest::{self, StandIn};

/// Calls `visit` for every handle in a value: itself, or in lists, tuples and dicts.
pub fn visit<'py>(
    value: &Bound<'py, PyAny>,
    found: &mut dyn FnMut(&Bound<'py, Handle>),
) -> PyResult<()> {
    without_handles(value, &mut |part| {
        if let Ok(handle) = part.cast::<Handle>() {
            found(handle);
        }
    });
    Ok(())
}

/// That no handle stands in an object, where nothing would put its value in its place.
///
/// # Errors
///
/// `HandleError` if one does.
pub fn none_in_objects(value: &Bound<'_, PyAny>) -> PyResult<()> {
    let mut within = None;
    without_handles(value, &mut |part| {
        if within.is_none() && !part.is_instance_of::<Handle>() && Looking::into(part) {
            within = Some(part.get_type());
        }
    });
    let Some(class) = within else {
        return Ok(());
    };
    Err(HandleError::new_err(format!(
        "what was returned holds the output of another task inside an object, a {}; return it directly, or in \
         a list, tuple or dict",
        crate::shown::class_name(&class)?
    )))
}

/// Looks for handles where a digest would find them, and digests nothing else.
struct Looking {
    found: bool,
}

impl Looking {
    fn into(object: &Bound<'_, PyAny>) -> bool {
        let mut looking = Self { found: false };
        // What has no digest is looked through as far as it goes.
        let _ = digest::encode(object, "result", &mut plain::Writer::new(), &mut looking);
        looking.found
    }
}

impl digest::Surroundings for Looking {
    fn stand_in(&mut self, value: &Bound<'_, PyAny>) -> PyResult<Option<StandIn>> {
        self.found |= value.is_instance_of::<Handle>();
        let is_own = self.found || value.is_instance_of::<Task>() || Place::of(value)?.is_some();
        Ok(is_own.then_some(StandIn::Edge(0)))
    }

    fn code(&mut self, _: &Bound<'_, PyAny>) -> PyResult<Option<Digest>> {
        Ok(Some(Digest::of_blob(&[])))
    }

    fn met(&mut self, _: &Bound<'_, PyAny>) {}
}

/// A result, with dicts in the place of the mappings that the call was given to read from: all of
/// them counts, and a hit gives dicts as well.
///
/// # Errors
///
/// What Python raised.
pub fn without_params<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    if !observe::is_given_parameters() {
        return Ok(value.clone());
    }
    let params = py.import(intern!(py, "thrifty._params"))?.getattr(intern!(py, "Params"))?;
    let mut found = Ok(false);
    without_handles(value, &mut |part| {
        if matches!(found, Ok(false)) {
            found = part.is_instance(&params);
        }
    });
    if !found? {
        return Ok(value.clone());
    }
    let rebuilt = rebuild(value, &mut |part| match part.is_instance(&params)? {
        true => part.call_method0(intern!(py, "to_dict")),
        false => Ok(part.clone()),
    });
    match rebuilt {
        // It holds itself: it is handed on as it is.
        Err(error) if error.is_instance_of::<PyRecursionError>(py) => Ok(value.clone()),
        rebuilt => rebuilt,
    }
}

/// Calls `found` for everything that lists, tuples and dicts hold; the addresses of those of them
/// that hold no handle.
fn without_handles<'py>(
    value: &Bound<'py, PyAny>,
    found: &mut dyn FnMut(&Bound<'py, PyAny>),
) -> HashSet<usize> {
    let mut handles = 0;
    // Containers that enclose the place, and those without handles: not to be gone through again.
    let mut closed = HashSet::new();
    let mut path: Vec<Open<'py>> = Vec::new();
    let mut next = Some(value.clone());
    loop {
        if let Some(part) = next.take() {
            let address = part.as_ptr() as usize;
            match items(&part) {
                Some(items) if closed.insert(address) => {
                    path.push(Open { address, items, before: handles });
                }
                Some(_) => {}
                None => {
                    handles += usize::from(part.is_instance_of::<Handle>());
                    found(&part);
                }
            }
        }
        let Some(open) = path.last_mut() else {
            return closed;
        };
        next = open.items.next();
        if next.is_none() {
            if handles != open.before {
                closed.remove(&open.address);
            }
            path.pop();
        }
    }
}

/// A container that [`visit`] is within.
struct Open<'py> {
    address: usize,
    items: Items<'py>,
    /// How many handles were found before it.
    before: usize,
}

type Items<'py> = Box<dyn Iterator<Item = Bound<'py, PyAny>> + 'py>;

/// What a container holds where handles may stand; `None` if it is none.
fn items<'py>(value: &Bound<'py, PyAny>) -> Option<Items<'py>> {
    if let Ok(list) = value.cast_exact::<PyList>() {
        Some(Box::new(list.iter()))
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        Some(Box::new(tuple.iter()))
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        Some(Box::new(dict.iter().map(|(_, item)| item)))
    } else {
        None
    }
}

/// A copy of a value with something in the place of each handle in its lists, tuples and dicts.
pub fn substitute<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, Handle>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let substituted = rebuild(value, &mut |part| match part.cast::<Handle>() {
        Ok(handle) => with(handle),
        Err(_) => Ok(part.clone()),
    });
    match substituted {
        // It holds itself, or is nested for no purpose; either is a value, unless handles are in it.
        Err(error) if error.is_instance_of::<PyRecursionError>(value.py()) => {
            let mut handles = 0;
            visit(value, &mut |_| handles += 1)?;
            if handles == 0 { Ok(value.clone()) } else { Err(error) }
        }
        substituted => substituted,
    }
}

/// A copy of a value's lists, tuples and dicts, with what `with` gives for everything in them.
///
/// # Errors
///
/// `RecursionError` if they are nested deeper than any value that has a digest, or hold
/// themselves; what `with` raises.
pub fn rebuild<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let shared = without_handles(value, &mut |_| {});
    rebuild_within(value, with, &mut Rebuilt { shared, made: HashMap::new() }, digest::DEPTH)
}

/// What was rebuilt already: a container that stands in several places and holds no handle is one
/// in the copy, too, or copies of copies would fill the memory.
struct Rebuilt<'py> {
    shared: HashSet<usize>,
    made: HashMap<usize, Bound<'py, PyAny>>,
}

fn rebuild_within<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    rebuilt: &mut Rebuilt<'py>,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let address = value.as_ptr() as usize;
    if let Some(made) = rebuilt.made.get(&address) {
        return Ok(made.clone());
    }
    let copy = container(value, with, rebuilt, depth)?;
    if rebuilt.shared.contains(&address) {
        rebuilt.made.insert(address, copy.clone());
    }
    Ok(copy)
}

fn container<'py>(
    value: &Bound<'py, PyAny>,
    with: &mut dyn FnMut(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    rebuilt: &mut Rebuilt<'py>,
    depth: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let mut inner = |item: &Bound<'py, PyAny>| match depth.checked_sub(1) {
        Some(depth) => rebuild_within(item, with, rebuilt, depth),
        None => Err(PyRecursionError::new_err(format!(
            "lists, tuples and dicts are nested deeper than {} levels, or one holds itself",
            digest::DEPTH
        ))),
    };
    if let Ok(list) = value.cast_exact::<PyList>() {
        let items: PyResult<Vec<_>> = list.iter().map(|item| inner(&item)).collect();
        Ok(PyList::new(py, items?)?.into_any())
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        let items: PyResult<Vec<_>> = tuple.iter().map(|item| inner(&item)).collect();
        Ok(PyTuple::new(py, items?)?.into_any())
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let copy = PyDict::new(py);
        for (key, item) in dict.iter() {
            copy.set_item(key, inner(&item)?)?;
        }
        Ok(copy.into_any())
    } else {
        with(value)
    }
}
