//! A call outside of workflows: bound, keyed, looked up, and its value handed over.
//!
//! This is the hot path. A hit allocates what the value needs and little else.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use thrifty_engine::answer::Answer;
use thrifty_engine::catalog::Node;
use thrifty_engine::compute::{Computed, Settled, Task as EngineTask};
use thrifty_engine::graph::{Failure, Input, Product, Taken, Value};
use thrifty_engine::made_of::Parts;
use thrifty_engine::{Looked, Miss, Mode, Operation, Outcome, Policy, Reason, Target, about_now};
use thrifty_key::{Digest, Key, Part, plain};

use super::body;
use super::context::{Frame, RunOptions};
use super::error::{Lost, loss};
use super::ingredients::{Around, Prepared};
use super::load;
use super::on_disk::{Argument, OnDisk};
use super::options::policy;
use super::parameters::Arguments;
use super::places;
use super::secret;
use super::seed::{self, is_seeded};
use super::session::{self, Session};
use super::task::Task;
use super::turn;
use super::unchanged::Shared;
use crate::observe;

/// Calls a task with values.
///
/// # Errors
///
/// What the body raises, as it raised it; an argument without a digest.
pub fn call<'py>(
    slf: &Bound<'py, Task>,
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    outer: &RunOptions,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, task) = (slf.py(), slf.get());
    let session = Session::current(py)?;
    let run = task.run_options_in(&session, outer);
    let parameters = task.parameters(py)?;
    let _under_way = secret::begin();
    let Some(arguments) = parameters.bind(args, kwargs, is_seeded(run.seeding))? else {
        // The function itself says what is wrong, before its first line.
        return task.function.bind(py).call(args, kwargs);
    };
    task.hide(py, &arguments)?;
    let policy = policy(task.choices(&session, &run), task.definition(), &run);
    if policy.mode == Mode::Off {
        return uncached(slf, &arguments, run);
    }
    let prepared = task.prepared(py)?;
    if prepared.unkeyed.is_some() {
        return uncached(slf, &arguments, run);
    }
    let operation = prepared.under(py, run.seeding, parameters)?;
    let mut around = Around::of_arguments(None);
    let inputs = task.inputs(py, &arguments, &mut around)?;
    let files = around.into_files();
    let digests = digests(&inputs)?;
    let names = inputs.iter().map(|input| input.name.as_str());
    let key = operation.key(names.zip(digests.iter().copied()));
    let call = Lone {
        slf,
        session: &session,
        operation: &operation,
        inputs: &inputs,
        files: &files,
        prepared: &prepared,
        digests: &digests,
        key,
        policy,
    };
    let slot = || py.detach(|| session.cache.slot(&key));
    let (miss, target) = match policy.mode.reads().then(|| call.look()) {
        Some(Looked::Hit(answer, outcome)) => match call.load(&answer, &outcome)? {
            Ok(value) => return Ok(value),
            Err(miss) => (miss, slot()),
        },
        Some(Looked::Miss(miss, target)) => (miss, target),
        None => (Miss::Refresh, slot()),
    };
    let computed = turn::paused(py, || call.compute(&arguments, &run, miss, target))?;
    // What somebody else computed meanwhile cannot be had: nobody is waited for once more.
    computed.map_or_else(|| uncached(slf, &arguments, run), Ok)
}

/// Calls the function as if there were no cache.
fn uncached<'py>(
    slf: &Bound<'py, Task>,
    arguments: &Arguments<'py>,
    run: Arc<RunOptions>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    observe::absorb(py, || unstored(slf.get().name(), None), &[], None);
    let stream = seed::stream_of_call(py, slf.get(), arguments, run.seeding)?;
    let value = seed::call(slf, arguments, Frame::Running(run), stream)?;
    places::without_params(&body::forced(&value)?)
}

/// What a body was made of that called an operation whose result is not stored.
fn unstored(operation: &str, key: Option<Key>) -> Parts {
    let mut parts = Parts::default();
    parts.take_unstored(operation, key);
    parts
}

fn digests(inputs: &[Input]) -> PyResult<Vec<Digest>> {
    inputs
        .iter()
        .map(|input| plain::digest(&input.encoding))
        .collect::<Result<_, _>>()
        .map_err(|error| pyo3::exceptions::PyValueError::new_err(error.to_string()))
}

struct Lone<'a, 'py> {
    slf: &'a Bound<'py, Task>,
    session: &'a Arc<Session>,
    operation: &'a Arc<Operation>,
    inputs: &'a [Input],
    files: &'a [Argument],
    prepared: &'a Prepared,
    digests: &'a [Digest],
    key: Key,
    policy: Policy,
}

impl<'py> Lone<'_, 'py> {
    /// The catalog is asked with the interpreter free for others.
    fn look(&self) -> Looked {
        let (cache, key, max_age) = (&self.session.cache, &self.key, self.policy.max_age);
        let here = cache.look_here(key, max_age);
        here.unwrap_or_else(|| self.slf.py().detach(|| cache.look(key, max_age)))
    }

    /// The value of a hit; a miss if it cannot be had.
    fn load(
        &self,
        answer: &Arc<Answer>,
        outcome: &Outcome,
    ) -> PyResult<Result<Bound<'py, PyAny>, Miss>> {
        let py = self.slf.py();
        match load::record(py, self.session, &answer.record) {
            Ok(value) => {
                let parts = || {
                    let mut parts = Parts::default();
                    let (operation, key) = (self.operation.name(), Some(self.key));
                    parts.take(operation, key, answer.entry, &answer.made_of);
                    parts
                };
                self.depends_on(&Value::Known(Arc::clone(answer)), parts);
                if let Some(entry) = answer.entry {
                    let node = || Node {
                        entry: Some(entry),
                        source: answer.run.clone(),
                        ..self.node(outcome)
                    };
                    let recorder = self.session.cache.recorder();
                    if recorder.lone_hit(entry, answer.cost, about_now(), node) {
                        py.detach(|| recorder.write_lone_hits());
                    }
                }
                Ok(Ok(value))
            }
            Err(error) => Ok(Err(self.discard(answer, error)?)),
        }
    }

    /// Does without an answer that could not be loaded, if that was why.
    fn discard(&self, answer: &Answer, error: PyErr) -> PyResult<Miss> {
        let (py, cache, key) = (self.slf.py(), &self.session.cache, &self.key);
        if !error.is_instance_of::<Lost>(py) {
            return Err(error);
        }
        let loss = loss(py, &error);
        Ok(py.detach(|| cache.discard(key, answer, loss)))
    }

    /// The computed value; `None` if somebody else computed it and it cannot be had.
    fn compute(
        &self,
        arguments: &Arguments<'py>,
        run: &Arc<RunOptions>,
        miss: Miss,
        target: Option<Target>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.slf.py();
        let cache = &self.session.cache;
        let numbered = py.detach(|| cache.recorder().lone());
        let raised: parking_lot::Mutex<Option<PyErr>> = parking_lot::Mutex::new(None);
        let interrupted = || {
            Python::attach(|py| match py.check_signals() {
                Ok(()) => false,
                Err(error) => {
                    *raised.lock() = Some(error);
                    true
                }
            })
        };
        let inputs = self.inputs.iter().zip(self.digests.iter().copied().map(Some));
        let stream = seed::stream(run.seeding, self.operation.name(), inputs);
        let given: Vec<_> = arguments.iter().map(|it| it.clone().map(Bound::unbind)).collect();
        let task = self.slf.clone().unbind();
        let (session, mode, operation) = (self.session, self.policy.mode, self.operation);
        let on_disk = &OnDisk::new(self.files.to_vec(), self.prepared.named());
        let mut body = || -> Result<Product, Failure> {
            Python::attach(|py| {
                let task = task.bind(py);
                let arguments: Vec<_> =
                    given.iter().map(|it| it.as_ref().map(|it| it.bind(py).clone())).collect();
                let frame = Frame::Running(Arc::clone(run));
                let shared = || Shared::with_others(task, &arguments, self.inputs, self.files);
                let shared = mode.writes().then(shared).flatten();
                let call = || seed::call(task, &arguments, frame, stream);
                body::perform(task, session, mode, on_disk.paths(), call)
                    .map(|(made, gathered)| {
                        observe::tell(py, cache, operation, mode, &gathered.notes);
                        let gathered = on_disk.check(py, gathered);
                        let gathered = match shared {
                            Some(shared) => shared.end(gathered),
                            None => gathered,
                        };
                        Product::Made(gathered.onto(made))
                    })
                    .map_err(|failure| body::sort(py, failure, &raised))
            })
        };
        let (key, policy) = (self.key, self.policy);
        let parts: Vec<_> = self.parts().collect();
        let computed = py.detach(|| {
            let engine = EngineTask {
                operation,
                key: Ok(key),
                ingredients: &|| operation.ingredients(parts.iter().cloned()),
                policy,
                run: numbered.clone(),
                interrupted: &interrupted,
            };
            cache.compute(&engine, miss, target, &mut body)
        });
        self.session.tell_of_trouble(py);
        match computed {
            Computed::Settled(settled) => self.settled(settled, numbered),
            Computed::Failed(failure, spent) => {
                self.absorb_failure(&failure);
                let outcome = Outcome::Failed(failure.message().to_owned());
                self.record(numbered, Node { spent, ..self.node(&outcome) });
                Err(raised.into_inner().unwrap_or_else(|| body::raise(py, &failure)))
            }
            Computed::Expanded(..) => unreachable!("a lone body forces what it returns"),
        }
    }

    fn settled(
        &self,
        settled: Settled,
        numbered: (Option<thrifty_engine::catalog::RunId>, u32),
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.slf.py();
        self.absorb(&settled);
        let reason = settled.reason();
        if let Some(reason) = reason {
            self.session.is_not_stored(reason);
        }
        let node = Node {
            reason: reason.map_or("", Reason::word).to_owned(),
            entry: settled.entry,
            spent: settled.spent,
            saved: settled.saved(),
            output_digest: settled.value.digest(),
            ..self.node(&settled.outcome)
        };
        let fault = session::fault([&node]);
        self.record(numbered, node);
        if let Some(fault) = fault {
            return Err(fault);
        }
        if let Some(object) =
            settled.made.as_ref().and_then(|made| made.downcast_ref::<Py<PyAny>>())
        {
            return Ok(Some(object.bind(py).clone()));
        }
        let taken = Taken { value: settled.value.clone(), steps: Vec::new() };
        match (load::taken(py, self.session, &taken), &settled.value) {
            (Err(error), Value::Known(answer)) => self.discard(answer, error).map(|_| None),
            (loaded, _) => loaded.map(Some),
        }
    }

    /// The body that called it, if any, depends on it.
    fn absorb(&self, settled: &Settled) {
        let parts = || {
            let mut parts = Parts::default();
            settled.add_to(&mut parts, self.operation.name(), Some(self.key));
            parts
        };
        self.depends_on(&settled.value, parts);
    }

    fn depends_on(&self, value: &Value, parts: impl FnOnce() -> Parts) {
        let now = || self.session.cache.wall_clock();
        let too_old = self.policy.max_age.map(|max_age| value.too_old_at(max_age, now));
        let expires_at = value.expires_at().into_iter().chain(too_old).min();
        observe::absorb(self.slf.py(), parts, value.observed(), expires_at);
    }

    /// As [`Lone::absorb`], of a failure: the body may go on without the value.
    fn absorb_failure(&self, failure: &Failure) {
        let terms = failure.terms().cloned().unwrap_or_default();
        let parts = || {
            let mut parts = unstored(self.operation.name(), Some(self.key));
            parts.merge(&terms.made_of);
            parts
        };
        observe::absorb(self.slf.py(), parts, &terms.observed, terms.expires_at);
    }

    fn parts(&self) -> impl Iterator<Item = (String, Part)> {
        self.inputs.iter().zip(self.digests).map(|(input, digest)| {
            (input.name.clone(), Part { digest: *digest, preview: input.preview.clone() })
        })
    }

    fn record(&self, (run, number): (Option<thrifty_engine::catalog::RunId>, u32), node: Node) {
        if let Some(run) = run {
            self.session.cache.recorder().nodes(&run, vec![Node { number, ..node }]);
        }
    }

    fn node(&self, outcome: &Outcome) -> Node {
        let keeps_ingredients = !outcome.is_hit() && !matches!(outcome, Outcome::Computed(_));
        Node {
            number: 0,
            operation: self.operation.name().to_owned(),
            key: Some(self.key),
            ingredients: keeps_ingredients.then(|| self.operation.ingredients(self.parts())),
            outcome: outcome.word().to_owned(),
            detail: outcome.detail(),
            reason: String::new(),
            rule: self.policy.rule.word().to_owned(),
            entry: None,
            source: None,
            output_digest: None,
            count: 1,
            at: self.session.cache.wall_clock(),
            spent: Duration::ZERO,
            saved: Duration::ZERO,
            upstream: Vec::new(),
            takes: Vec::new(),
            parent: None,
        }
    }
}
