//! From handles to a graph of the engine.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use serde_bytes::ByteBuf;
use thrifty_engine::graph::{Edge, Expansion, From, Node};
use thrifty_engine::record::{Draft, Shape};
use thrifty_engine::{Mode, Policy};
use thrifty_key::plain;

use super::body::{CallBody, Running};
use super::check;
use super::error::HandleError;
use super::handle::{Call, Handle, Origin};
use super::ingredients::{Around, encode_result};
use super::options::policy;
use super::places;
use super::session::Session;
use crate::value::{codec, digest};

/// The calls that some handles need, as nodes in the order in which they were made.
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    numbers: HashMap<*const Call, usize>,
    expansion: u64,
}

impl Graph {
    /// The graph that the handles need. Argument handles may be those of `expansion`.
    ///
    /// # Errors
    ///
    /// [`HandleError`] for a handle that belongs to another workflow.
    pub fn of<'a>(
        py: Python<'_>,
        handles: impl IntoIterator<Item = &'a Handle>,
        session: &Arc<Session>,
        running: &Arc<Running>,
        expansion: u64,
    ) -> PyResult<Self> {
        let mut calls: HashMap<*const Call, Arc<Call>> = HashMap::new();
        let mut stack: Vec<Arc<Call>> = Vec::new();
        let push = |handle: &Handle, stack: &mut Vec<Arc<Call>>| match &handle.origin {
            Origin::Call(call) => stack.push(Arc::clone(call)),
            Origin::Argument { .. } => {}
        };
        handles.into_iter().for_each(|handle| push(handle, &mut stack));
        while let Some(call) = stack.pop() {
            if calls.insert(Arc::as_ptr(&call), Arc::clone(&call)).is_none() {
                call.takes.iter().for_each(|taken| push(taken.get(), &mut stack));
            }
        }
        let mut ordered: Vec<_> = calls.into_values().collect();
        ordered.sort_by_key(|call| call.id);
        let numbers = ordered.iter().enumerate().map(|(n, call)| (Arc::as_ptr(call), n)).collect();
        let mut graph = Self { nodes: Vec::with_capacity(ordered.len()), numbers, expansion };
        for call in ordered {
            let node = graph.node(py, call, session, running)?;
            graph.nodes.push(node);
        }
        Ok(graph)
    }

    fn node(
        &self,
        py: Python<'_>,
        call: Arc<Call>,
        session: &Arc<Session>,
        running: &Arc<Running>,
    ) -> PyResult<Node> {
        call.task.bind(py).get().hide(py, &call.given(py))?;
        let edges: PyResult<Vec<_>> =
            call.takes.iter().map(|taken| self.edge(py, taken.get())).collect();
        Ok(Node {
            operation: Arc::clone(&call.operation),
            policy: policy_of(py, &call),
            inputs: call.inputs.clone(),
            edges: edges?,
            unkeyed: call.unkeyed.clone(),
            body: Arc::new(CallBody {
                call,
                session: Arc::clone(session),
                running: Arc::clone(running),
            }),
        })
    }

    /// The edge that a handle is.
    ///
    /// # Errors
    ///
    /// As [`Graph::of`].
    pub fn edge(&self, py: Python<'_>, handle: &Handle) -> PyResult<Edge> {
        let from = match &handle.origin {
            Origin::Call(call) => self.numbers.get(&Arc::as_ptr(call)).map(|n| From::Node(*n)),
            Origin::Argument { expansion, number } => {
                (*expansion == self.expansion).then_some(From::Argument(*number))
            }
        };
        let _ = py;
        let from = from.ok_or_else(|| {
            HandleError::new_err(
                "a handle was used outside of the workflow it belongs to; pass it as an argument",
            )
        })?;
        Ok(Edge { from, steps: handle.steps() })
    }
}

/// Whether the value is a handle, or a list, tuple or dict with one in it.
pub fn has_handles(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let mut found = false;
    places::visit(value, &mut |_| found = true)?;
    Ok(found)
}

/// Whether a call with these arguments is of what is not computed yet.
pub fn takes_handles(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<bool> {
    Ok(has_handles(args)? || kwargs.map_or(Ok(false), |kwargs| has_handles(kwargs))?)
}

/// What a body returned, as operations and a value made of their outputs.
///
/// # Errors
///
/// As [`Graph::of`]; what has no digest.
pub fn expand(
    value: &Bound<'_, PyAny>,
    session: &Arc<Session>,
    running: &Arc<Running>,
    expansion: u64,
) -> PyResult<Expansion> {
    let py = value.py();
    let mut handles: Vec<Py<Handle>> = Vec::new();
    places::visit(value, &mut |handle| handles.push(handle.clone().unbind()))?;
    places::none_in_objects(value)?;
    let graph = Graph::of(py, handles.iter().map(Py::get), session, running, expansion)?;
    let edges: PyResult<Vec<_>> = handles.iter().map(|it| graph.edge(py, it.get())).collect();
    let mut next = 0;
    let (output, edges) = (output(value, &mut next, digest::DEPTH)?, edges?);
    Ok(Expansion::new(graph.nodes, edges, output))
}

/// The draft of a value with edges in the places of its handles, numbered in the order in which
/// [`places::visit`] meets them.
fn output(value: &Bound<'_, PyAny>, next: &mut u64, depth: usize) -> PyResult<Draft> {
    let py = value.py();
    if value.is_instance_of::<Handle>() {
        *next += 1;
        return Ok(Draft::Edge(*next - 1));
    }
    if !has_handles(value)? {
        return codec::draft(value, &|value| {
            encode_result(value).map_err(|error| super::error::unhashable(py, error))
        });
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(HandleError::new_err(
            "what a workflow returned is nested too deeply, or holds itself, with handles in it",
        ));
    };
    let mut parts = |items: &mut dyn Iterator<Item = Bound<'_, PyAny>>| -> PyResult<Vec<Draft>> {
        items.map(|item| output(&item, next, depth)).collect()
    };
    if let Ok(list) = value.cast_exact::<PyList>() {
        Ok(Draft::Composite { container: Shape::List, parts: parts(&mut list.iter())? })
    } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
        Ok(Draft::Composite { container: Shape::Tuple, parts: parts(&mut tuple.iter())? })
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        let keys: PyResult<Vec<_>> = dict.keys().iter().map(|key| encode_key(&key)).collect();
        let parts = parts(&mut dict.values().iter())?;
        Ok(Draft::Composite { container: Shape::Dict(keys?), parts })
    } else {
        let kind: String = value.get_type().getattr(intern!(py, "__name__"))?.extract()?;
        Err(HandleError::new_err(format!(
            "a workflow may return handles in lists, tuples and dicts, and not in a {kind}"
        )))
    }
}

fn encode_key(key: &Bound<'_, PyAny>) -> PyResult<ByteBuf> {
    let mut writer = plain::Writer::new();
    Around::new(None)
        .encode(key, "key", &mut writer)
        .map_err(|error| super::error::unhashable(key.py(), error))?;
    Ok(ByteBuf::from(writer.into_bytes()))
}

/// How a call uses the cache. A nested workflow is looked into if operations of the run are to
/// be computed again: they may be in it.
pub fn policy_of(py: Python<'_>, call: &Call) -> Policy {
    let is_workflow = call.task.bind(py).get().is_workflow;
    if let Some(names) = &call.run.look {
        return check::policy_of_look(call, is_workflow, names);
    }
    let mut policy =
        Policy { fail_fast: call.run.fail_fast, ..policy(call.choices, &call.options, &call.run) };
    if is_workflow && !call.run.refresh.is_empty() {
        policy.mode = match policy.mode {
            Mode::On => Mode::Refresh,
            Mode::ReadOnly => Mode::Off,
            decided => decided,
        };
    }
    policy
}
