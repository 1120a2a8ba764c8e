//! Bodies: Python functions as the engine runs them.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use pyo3::exceptions::{PyException, PyKeyboardInterrupt, PyRecursionError, PyRuntimeError};
use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_engine::config::Executor;
use thrifty_engine::graph::{Body, Expansion, Failure, Made, Product, Taken, Unstored};
use thrifty_engine::made_of::Parts;
use thrifty_engine::record::Draft;
use thrifty_engine::{Mode, Stream};
use thrifty_key::{Context, Digest, Hasher, plain};

use super::check;
use super::context::{self, Frame};
use super::error::ArgumentChanged;
use super::graph;
use super::handle::{self, Call, Handle};
use super::ingredients::{Around, encode_result};
use super::load;
use super::options::policy;
use super::parameters::Arguments;
use super::places;
use super::processes;
use super::secret;
use super::seed;
use super::session::Session;
use super::task::Task;
use super::unchanged;
use crate::observe::{self, Gathered, Readers, Watch, Wish};
use crate::value::codec::{self, Encoded, NotStorable};

static EXPANSIONS: AtomicU64 = AtomicU64::new(1);

/// A call of a graph, ready to run.
pub struct CallBody {
    pub call: Arc<Call>,
    pub session: Arc<Session>,
    pub running: Arc<Running>,
}

/// The Python threads that run bodies now, so that an interrupt can reach them; and what ended
/// the run from within one of them.
#[derive(Default)]
pub struct Running {
    threads: Mutex<HashSet<std::os::raw::c_ulong>>,
    ended: Mutex<Option<PyErr>>,
    /// The bodies for which the run is made.
    outer: Readers,
    /// The context variables of who began the run: each body gets a copy, whatever its thread.
    context: Option<Py<PyAny>>,
}

impl Running {
    /// A run that this thread begins.
    ///
    /// # Errors
    ///
    /// What Python raised.
    pub fn begin(py: Python<'_>) -> PyResult<Self> {
        let contextvars = py.import(intern!(py, "contextvars"))?;
        let context = contextvars.call_method0(intern!(py, "copy_context"))?.unbind();
        Ok(Self { outer: observe::readers(py), context: Some(context), ..Self::default() })
    }

    /// Shows the collector what is held.
    ///
    /// # Errors
    ///
    /// What it wants to be told back.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.context)
    }

    /// A context for one body: none can be entered twice at a time.
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let copy = |it: &Py<PyAny>| it.bind(py).call_method0(intern!(py, "copy"));
        self.context.as_ref().map(copy).transpose()
    }

    fn enter(&self) -> std::os::raw::c_ulong {
        // SAFETY: only reads the id of this thread.
        let thread = unsafe { ffi::PyThread_get_thread_ident() } as std::os::raw::c_ulong;
        self.threads.lock().insert(thread);
        thread
    }

    /// Raises this in every thread that runs a body, at its next line of Python.
    pub fn interrupt(&self, exception: &Bound<'_, PyType>) {
        for thread in self.threads.lock().iter() {
            // SAFETY: the interpreter is attached; a thread that has ended is not found.
            unsafe { ffi::PyThreadState_SetAsyncExc(*thread as _, exception.as_ptr()) };
        }
    }

    /// Whether no body runs.
    pub fn is_idle(&self) -> bool {
        self.threads.lock().is_empty()
    }

    /// What a body raised to end the program, such as `KeyboardInterrupt`.
    pub fn take_end(&self) -> Option<PyErr> {
        self.ended.lock().take()
    }
}

/// A body that ends the program ends the run, or the call, and says nothing about what was to be
/// computed; any other failure is its own. What ended it is kept.
pub fn sort(py: Python<'_>, failure: Failure, ended: &Mutex<Option<PyErr>>) -> Failure {
    if let Failure::Raised { cause, .. } = &failure
        && let Some(error) = cause.downcast_ref::<PyErr>()
        && !error.is_instance_of::<PyException>(py)
    {
        ended.lock().get_or_insert_with(|| error.clone_ref(py));
        return Failure::Cancelled;
    }
    failure
}

impl Body for CallBody {
    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        Python::attach(|py| {
            let thread = self.running.enter();
            let product = self.run_attached(py, inputs);
            self.running.threads.lock().remove(&thread);
            product.map_err(|failure| sort(py, failure, &self.running.ended))
        })
    }

    fn outline(&self) -> Option<Result<Expansion, Failure>> {
        Python::attach(|py| {
            let slf = self.call.task.bind(py);
            // Without its inputs, it draws as if it had none.
            slf.get().is_workflow.then(|| self.expand(slf, &[]))
        })
    }
}

impl CallBody {
    fn run_attached(&self, py: Python<'_>, inputs: &[Taken]) -> Result<Product, Failure> {
        let slf = self.call.task.bind(py);
        let task = slf.get();
        let raised = |error| load::failure(py, error, None);
        if self.call.run.look.is_some() && !task.is_workflow && self.is_cached(py) {
            return Err(check::not_stored());
        }
        if task.is_workflow {
            self.check_unchanged(slf).map_err(raised)?;
            debug_assert_eq!(inputs.len(), self.call.takes.len());
            return self.expand(slf, inputs).map(Product::Expanded);
        }
        if self.session.executor(py, &self.call.run) == Executor::Processes {
            self.check_unchanged(slf).map_err(raised)?;
            let stream = self.stream(inputs);
            return processes::run(py, &self.session, &self.call, inputs, stream)
                .map(Product::Made);
        }
        let own = self.own_arguments(slf).map_err(raised)?;
        let arguments = self.arguments(py, &own, inputs)?;
        let before = handle::calls();
        let watch = self.watch(py).map_err(raised)?;
        let frame = Frame::Running(Arc::clone(&self.call.run));
        let stream = self.stream(inputs);
        let value = self.running.context(py);
        let value = value.and_then(|it| seed::call_within(slf, &arguments, frame, stream, it));
        let value = value.and_then(|value| places::without_params(&value));
        let gathered = self.end(watch, py);
        if value.is_ok() {
            self.tell(py, &gathered);
        }
        let product = value.and_then(|value| {
            // Only a body that made handles can return one.
            if handle::calls() != before && graph::has_handles(&value)? {
                return graph::expand(&value, &self.session, &self.running, 0)
                    .map(Product::Expanded);
            }
            made(slf, &value).map(Product::Made)
        });
        match product {
            Ok(Product::Made(made)) => Ok(Product::Made(gathered.onto(made))),
            Ok(Product::Expanded(it)) => Ok(Product::Expanded(gathered.onto_expansion(it))),
            Ok(Product::Became(it)) => Ok(Product::Became(gathered.onto_expansion(it))),
            Err(error) => Err(failed(py, error, gathered)),
        }
    }

    /// What the body read, which is over, and whether what it was given still is what it was.
    fn end(&self, watch: Watch, py: Python<'_>) -> Gathered {
        self.call.on_disk.check(py, watch.end(py))
    }

    /// Tells what a body that gave something did that could not be followed; the catalog not where
    /// this is a plan.
    fn tell(&self, py: Python<'_>, gathered: &Gathered) {
        let mode = if context::is_planning() { Mode::Off } else { self.mode() };
        let (cache, operation) = (&self.session.cache, &self.call.operation);
        observe::tell(py, cache, operation, mode, &gathered.notes);
    }

    fn mode(&self) -> Mode {
        policy(self.call.choices, &self.call.options, &self.call.run).mode
    }

    /// What becomes of what the body reads that begins now.
    fn watch(&self, py: Python<'_>) -> PyResult<Watch> {
        let wish = match self.call.unkeyed {
            Some(_) => Wish::Pass,
            None => self.call.task.get().definition().wish(&self.session, self.mode()),
        };
        let task = self.call.task.get();
        let scenery = self.session.scenery(py)?;
        let given = self.call.on_disk.paths();
        Watch::begin(py, task.name(), wish, scenery, given, Some(self.running.outer.clone()))
    }

    /// Whether results of this call may be stored.
    fn is_cached(&self, py: Python<'_>) -> bool {
        self.call.unkeyed.is_none() && graph::policy_of(py, &self.call).mode != Mode::Off
    }

    /// The arguments, with values in the places of handles.
    fn arguments<'py>(
        &self,
        py: Python<'py>,
        own: &Arguments<'py>,
        inputs: &[Taken],
    ) -> Result<Arguments<'py>, Failure> {
        // Each handle is loaded once for each place it stands in: no two places share a value.
        let mut edge = None;
        let mut with = |handle: &Bound<'py, Handle>| {
            let number = self.number_of(handle.get());
            edge = number;
            match number.and_then(|number| inputs.get(number)) {
                Some(taken) => load::taken(py, &self.session, taken),
                None => Err(PyRuntimeError::new_err("an argument is the output of no operation")),
            }
        };
        let substituted: PyResult<Vec<_>> = own
            .iter()
            .map(|it| it.as_ref().map(|it| places::substitute(it, &mut with)).transpose())
            .collect();
        substituted.map_err(|error| load::failure(py, error, edge))
    }

    /// What the call draws from: its inputs are what their digests say, wherever they came from.
    pub fn stream(&self, inputs: &[Taken]) -> Option<Stream> {
        let language = self.session.cache.class_code();
        let mut contribution = |number| {
            let taken = usize::try_from(number).ok().and_then(|number| inputs.get(number));
            let found = taken.and_then(|taken| taken.value.input_at(&taken.steps, language));
            found.ok_or(plain::PlainError::Edge(number))
        };
        let digests = self.call.inputs.iter();
        let digests =
            digests.map(|input| (input, plain::fold(&input.encoding, &mut contribution).ok()));
        seed::stream(self.call.run.seeding, self.call.operation.name(), digests)
    }

    fn number_of(&self, handle: &Handle) -> Option<usize> {
        self.call.takes.iter().position(|taken| taken.get().is_same(handle))
    }

    /// The arguments as the workflow passed them.
    fn given<'py>(&self, py: Python<'py>) -> Arguments<'py> {
        self.call.given(py)
    }

    /// The arguments that the body may change: what other operations were given as well is
    /// copied, and it is the copy that must be what the key was made of.
    fn own_arguments<'py>(&self, slf: &Bound<'py, Task>) -> PyResult<Arguments<'py>> {
        let (py, task) = (slf.py(), slf.get());
        let mut arguments = self.given(py);
        if task.definition().key.is_some() {
            return Ok(arguments);
        }
        for (index, argument) in arguments.iter_mut().enumerate() {
            if let Some(value) = argument
                && task.is_copied(py, index, value)?
            {
                *argument = Some(copied(value)?);
            }
        }
        if self.changed(slf, &arguments)?.is_some() {
            // The argument was changed, or a copy of it is not equal to it.
            self.check_unchanged(slf)?;
            return Ok(self.given(py));
        }
        Ok(arguments)
    }

    /// The key was made when the workflow called; the arguments must still be what they were.
    pub(super) fn check_unchanged(&self, slf: &Bound<'_, Task>) -> PyResult<()> {
        let task = slf.get();
        if task.definition().key.is_some() {
            return Ok(());
        }
        match self.changed(slf, &self.given(slf.py()))? {
            None => Ok(()),
            Some(name) => Err(ArgumentChanged::new_err(format!(
                "the argument {name} of {} was changed after the workflow had passed it; \
                 pass a copy, or change it in a task",
                task.name()
            ))),
        }
    }

    fn changed<'py>(
        &self,
        slf: &Bound<'py, Task>,
        arguments: &Arguments<'py>,
    ) -> PyResult<Option<String>> {
        let mut number_of =
            |handle: &Bound<'_, Handle>| self.number_of(handle.get()).unwrap_or(usize::MAX) as u64;
        let (then, known) = (&self.call.inputs, self.call.on_disk.arguments());
        unchanged::changed(slf, arguments, then, known, Some(&mut number_of))
    }

    /// Builds the nested workflow. What it was given as handles, its function sees as handles.
    fn expand(&self, slf: &Bound<'_, Task>, inputs: &[Taken]) -> Result<Expansion, Failure> {
        let (py, task) = (slf.py(), slf.get());
        let expansion = EXPANSIONS.fetch_add(1, Ordering::Relaxed);
        let mut with = |handle: &Bound<'_, Handle>| {
            let number = self.number_of(handle.get()).unwrap_or(usize::MAX);
            Ok(Bound::new(py, Handle::argument(expansion, number))?.into_any())
        };
        let raised = |error| load::failure(py, error, None);
        let arguments: PyResult<Vec<_>> = self
            .call
            .arguments
            .iter()
            .map(|it| it.as_ref().map(|it| places::substitute(it.bind(py), &mut with)).transpose())
            .collect();
        let arguments = arguments.map_err(raised)?;
        let options = Arc::clone(&self.call.run);
        let mode =
            self.call.choices.invocation.or(task.inner_mode()).or(self.call.choices.workflow);
        let frame = Frame::Building { options, mode };
        let watch = self.watch(py).map_err(raised)?;
        let stream = self.stream(inputs);
        let value = self.running.context(py);
        let value = value.and_then(|it| seed::call_within(slf, &arguments, frame, stream, it));
        let gathered = self.end(watch, py);
        if value.is_ok() {
            self.tell(py, &gathered);
        }
        let expand = |value| graph::expand(&value, &self.session, &self.running, expansion);
        match value.and_then(expand) {
            Ok(expansion) => Ok(gathered.onto_expansion(expansion)),
            Err(error) => Err(failed(py, error, gathered)),
        }
    }
}

/// A copy of an argument.
fn copied<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match places::rebuild(value, &mut copy) {
        // Copying it as a whole can cope with what holds itself.
        Err(error) if error.is_instance_of::<PyRecursionError>(value.py()) => load::own(value),
        copied => copied,
    }
}

/// A copy of what stands in an argument. A bare `object()` is nothing but its identity.
fn copy<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let is_marker = value.get_type().is(value.py().get_type::<PyAny>());
    match is_marker || value.is_instance_of::<Handle>() {
        true => Ok(value.clone()),
        false => load::own(value),
    }
}

/// The failure of a body that is over: whoever goes on after it depends on what the body had read and
/// called.
fn failed(py: Python<'_>, error: PyErr, gathered: Gathered) -> Failure {
    load::failure(py, error, None).on(gathered.into_terms())
}

/// A body for a call of its own begins.
pub fn watch(
    slf: &Bound<'_, Task>,
    session: &Session,
    mode: Mode,
    given: Vec<PathBuf>,
) -> PyResult<Watch> {
    let (py, task) = (slf.py(), slf.get());
    let wish = task.definition().wish(session, mode);
    Watch::begin(py, task.name(), wish, session.scenery(py)?, given, None)
}

/// What a call of its own returned, which holds no handles.
pub fn returned<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    places::without_params(&forced(value)?)
}

/// Calls a task, for a call of its own.
pub fn perform<'py>(
    slf: &Bound<'py, Task>,
    session: &Session,
    mode: Mode,
    given: Vec<PathBuf>,
    call: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> Result<(Made, Gathered), Failure> {
    let py = slf.py();
    let failure = |error| load::failure(py, error, None);
    let watch = watch(slf, session, mode, given).map_err(failure)?;
    let value = call().and_then(|value| returned(&value));
    let gathered = watch.end(py);
    match value.and_then(|value| made(slf, &value)) {
        Ok(made) => Ok((made, gathered)),
        Err(error) => Err(failed(py, error, gathered)),
    }
}

/// A value, with the values in the places of handles that it holds.
pub fn forced<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if handle::calls() > 0 && graph::has_handles(value)? {
        return super::run::force(value).map(|forced| forced.into_bound(value.py()));
    }
    Ok(value.clone())
}

/// A value that a body returned, with what is to be stored of it.
pub fn made(slf: &Bound<'_, Task>, value: &Bound<'_, PyAny>) -> PyResult<Made> {
    observe::after_body(|| taken_apart(slf, value))
}

fn taken_apart(slf: &Bound<'_, Task>, value: &Bound<'_, PyAny>) -> PyResult<Made> {
    let (py, task) = (slf.py(), slf.get());
    let object: Arc<dyn std::any::Any + Send + Sync> = Arc::new(value.clone().unbind());
    let hashed = match task.hooks(py)?.result.digest(value, "the result") {
        Ok(hashed) => hashed,
        Err(error) if error.is_instance_of::<PyException>(py) => {
            places::none_in_objects(value)?;
            return Ok(not_stored(object, None, secret::message(py, &error)));
        }
        Err(error) => return Err(error),
    };
    let draft = match codec::draft(value, &encode_or_draw) {
        Ok(draft) => draft,
        Err(error) if error.is_instance_of::<NotStorable>(py) => {
            places::none_in_objects(value)?;
            let contribution = match hashed {
                Some(digest) => Some(plain::contribution_of_digest(&digest)),
                None => live_contribution(value),
            };
            return Ok(not_stored(object, contribution, secret::message(py, &error)));
        }
        Err(error) => return Err(error),
    };
    Ok(Made::new(
        object,
        match hashed {
            Some(digest) => Draft::Hashed { digest, value: Box::new(draft) },
            None => draft,
        },
    ))
}

/// What is handed on, and not stored for this reason.
fn not_stored(
    object: Arc<dyn std::any::Any + Send + Sync>,
    contribution: Option<Vec<u8>>,
    reason: String,
) -> Made {
    let draft = Err(Unstored::unstorable(reason));
    let (observed, made_of) = (Vec::new(), Parts::default());
    Made { object, contribution, draft, observed, expires_at: None, made_of }
}

/// What a value that stays in memory contributes: it has no record that names its classes, so
/// their code counts here.
fn live_contribution(value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
    let mut writer = plain::Writer::new();
    Around::new(None).encode(value, "result", &mut writer).ok()?;
    plain::contribution(writer.as_bytes()).ok()
}

/// The encoding of a result. One that has no digest of its own gets one that no other result
/// has, so that what follows runs again whenever this ran again.
fn encode_or_draw(value: &Bound<'_, PyAny>) -> PyResult<Encoded> {
    let py = value.py();
    match encode_result(value) {
        Ok(encoded) => Ok(encoded),
        Err(error) if error.is_interrupt(py) => Err(super::error::unhashable(py, error)),
        Err(_) => {
            let random =
                py.import(intern!(py, "os"))?.call_method1(intern!(py, "urandom"), (32,))?;
            let mut hasher = Hasher::new(Context::Value);
            hasher.framed(b"thrifty.Drawn").framed(random.extract::<&[u8]>()?);
            let digest: Digest = hasher.finish();
            let bytes = plain::contribution_of_digest(&digest);
            Ok(Encoded { bytes, classes: Vec::new(), has_attributes: false })
        }
    }
}

/// The exception that a failure is: the user's own, with its traceback.
pub fn raise(py: Python<'_>, failure: &Failure) -> PyErr {
    match failure {
        Failure::Raised { cause, message, .. } => match cause.downcast_ref::<PyErr>() {
            Some(error) => error.clone_ref(py),
            None => PyRuntimeError::new_err(message.clone()),
        },
        Failure::Lost { reason: message, .. } | Failure::Again { message, .. } => {
            PyException::new_err(message.clone())
        }
        Failure::Cancelled => PyKeyboardInterrupt::new_err(()),
    }
}
