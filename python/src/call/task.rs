//! Tasks and workflows.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use thrifty_engine::graph::Input;
use thrifty_engine::{Choices, Mode};
use thrifty_key::{Preview, plain};

use super::context::{self, Frame, RunOptions};
use super::error::{self, HandleError};
use super::handle::{Call, Handle};
use super::hooks::Hook;
use super::ingredients::{Around, Prepared, Settings};
use super::inputs::{encode, order_of};
use super::on_disk::OnDisk;
use super::options::Options;
use super::parameters::{Arguments, Parameters};
use super::seed::{self, is_seeded};
use super::session::Session;
use super::{clean, graph, keywords, lone, places, plan, run, turn};
use crate::code::SourceChanged;
use crate::value::digest;

/// A cached function. `thrifty.task` and `thrifty.workflow` make these.
#[pyclass(subclass, frozen, dict, weakref, module = "thrifty._native")]
pub struct Task {
    /// Always set. Python makes room for a task, all zeros, shows it to the collector and then makes
    /// its dict, which may collect, before the task is put there.
    is_there: bool,
    pub(super) function: Py<PyAny>,
    name: String,
    pub(super) is_workflow: bool,
    definition: Arc<Options>,
    invocation_mode: Option<Mode>,
    run: RunOptions,
    parameters: OnceLock<Parameters>,
    hooks: OnceLock<Hooks>,
    prepared: Mutex<Option<Arc<Prepared>>>,
    settings: Mutex<Option<Arc<Settings>>>,
}

/// Digest and text of settings, named functions, and names of parameters.
type Told<'py> = (Option<([u8; 32], String)>, Vec<(String, Bound<'py, PyAny>)>, Vec<String>);

/// What the annotations say, by parameter, and what that of the result says.
pub(super) struct Hooks {
    pub(super) parameters: Vec<Hook>,
    pub(super) result: Hook,
    /// The parameters that enter the key, sorted by name.
    keyed: Vec<usize>,
}

#[pymethods]
impl Task {
    /// A function holds its module's globals, and these hold the task: without this the end of
    /// the program would not reach what the module holds. What others hold as well is theirs to
    /// show; nothing is locked, and no Python runs.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.is_there {
            return Ok(());
        }
        visit.call(&self.function)?;
        if Arc::strong_count(&self.definition) == 1 {
            self.definition.traverse(&visit)?;
        }
        let parameters = self.parameters.get().into_iter().flat_map(|it| &it.all);
        parameters.into_iter().try_for_each(|parameter| parameter.traverse(&visit))?;
        if let Some(hooks) = self.hooks.get() {
            let all = hooks.parameters.iter().chain([&hooks.result]);
            all.into_iter().try_for_each(|hook| visit.call(&hook.method))?;
        }
        if let Some(prepared) = self.prepared.try_lock()
            && let Some(prepared) = &*prepared
            && Arc::strong_count(prepared) == 1
        {
            prepared.closure.iter().try_for_each(|closure| closure.traverse(&visit))?;
        }
        Ok(())
    }

    /// What is left can be called still. All other circles lead through something of Python's that
    /// can be cleared.
    fn __clear__(&self) {
        let prepared = self.prepared.try_lock().and_then(|mut prepared| prepared.take());
        drop(prepared);
    }

    #[new]
    #[pyo3(signature = (function, name, is_workflow, definition, invocation, run))]
    fn new(
        function: &Bound<'_, PyAny>,
        name: String,
        is_workflow: bool,
        definition: &Bound<'_, PyAny>,
        invocation: &Bound<'_, PyAny>,
        run: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let py = function.py();
        let definition = Options::of(definition)?;
        let invocation = Options::of(invocation)?;
        let mut merged = invocation.over(py, &definition);
        merged.mode = definition.mode;
        let run = keywords::options(run)?;
        if seed::is_seeded(run.seeding) {
            turn::begin_use();
        }
        Ok(Self {
            is_there: true,
            function: function.clone().unbind(),
            name,
            is_workflow,
            definition: Arc::new(merged),
            invocation_mode: invocation.mode,
            run,
            parameters: OnceLock::new(),
            hooks: OnceLock::new(),
            prepared: Mutex::new(None),
            settings: Mutex::new(None),
        })
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match context::frame() {
            Some(Frame::Forked { options, .. }) if !graph::takes_handles(args, kwargs)? => {
                Self::now(slf, args, kwargs, &options)
            }
            Some(Frame::Building { options, mode } | Frame::Forked { options, mode }) => {
                let options = slf.get().run_options(slf.py(), &options)?;
                Self::defer_in(slf, args, kwargs, options, mode)
            }
            Some(Frame::Running(options)) => Self::now(slf, args, kwargs, &options),
            None => Self::now(slf, args, kwargs, &RunOptions::default()),
        }
    }

    /// The call as a handle, wherever it is made. A task may return it: its value then is the
    /// task's.
    #[pyo3(signature = (*args, **kwargs))]
    fn defer<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (outer, mode) = match context::frame() {
            Some(Frame::Building { options, mode } | Frame::Forked { options, mode }) => {
                (options, mode)
            }
            Some(Frame::Running(options)) => (options, None),
            None => (Arc::default(), None),
        };
        let options = slf.get().run_options(slf.py(), &outer)?;
        Self::defer_in(slf, args, kwargs, options, mode)
    }

    /// Runs the call as a run of its own, and gives the run.
    #[pyo3(signature = (*args, **kwargs))]
    fn run<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, run::Run>> {
        let options = slf.get().run_options(slf.py(), &RunOptions::default())?;
        run::run(slf, args, kwargs, options, None)
    }

    /// Tells what a call would run and why, without computing, storing or recording anything.
    #[pyo3(signature = (*args, **kwargs))]
    fn plan<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, plan::Plan>> {
        let options = slf.get().run_options(slf.py(), &RunOptions::default())?;
        plan::plan(slf, args, kwargs, &options)
    }

    /// The key that a call with these arguments has, in hexadecimal.
    #[pyo3(signature = (*args, **kwargs))]
    fn key(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<String> {
        let seeding = self.seeding(py)?;
        let parameters = self.parameters(py)?;
        let Some(arguments) = parameters.bind(args, kwargs, is_seeded(seeding))? else {
            return Err(PyTypeError::new_err("the arguments do not fit the parameters"));
        };
        let operation = self.prepared(py)?.under(py, seeding, parameters)?;
        let inputs = self.inputs(py, &arguments, &mut Around::new(None))?;
        let digests = inputs
            .iter()
            .map(|input| Ok((input.name.as_str(), plain::digest(&input.encoding)?)))
            .collect::<Result<Vec<_>, plain::PlainError>>()
            .map_err(|error| PyTypeError::new_err(error.to_string()))?;
        Ok(operation.key(digests.into_iter()).to_string())
    }

    /// The key without the arguments, in hexadecimal: what a worker process compares, since its
    /// code may be newer and its globals other.
    fn definition_key(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.prepared(py)?.operation.key(std::iter::empty()).to_string())
    }

    /// What it asks of its cache as digest and text, the functions that make its keys, and the
    /// parameters that it ignores: for the code of what calls it.
    fn __thrifty_settings__<'py>(&self, py: Python<'py>) -> PyResult<Told<'py>> {
        let settings = self.settings(py)?;
        let settings = settings.map(|it| (*it.digest.as_bytes(), it.text.clone()));
        Ok((settings, self.beside(py)?, self.ignored(py)?))
    }

    /// The class itself, so that annotations may say `Task[P, R]`.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        _parameters: &Bound<'py, PyAny>,
    ) -> Bound<'py, PyType> {
        cls.clone()
    }

    /// The parameters that the seed in force fills in if the caller gives nothing.
    fn filled(&self, py: Python<'_>) -> PyResult<Vec<&str>> {
        let is_seeded = is_seeded(self.seeding(py)?);
        let filled = self.parameters(py)?.all.iter().filter(|it| is_seeded && it.fill.is_some());
        Ok(filled.map(|parameter| parameter.name.as_str()).collect())
    }

    /// The name of the operation.
    #[getter(operation_name)]
    fn get_name(&self) -> &str {
        &self.name
    }
}

impl Task {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls with values at once: from the cache, or computed now.
    fn now<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        outer: &RunOptions,
    ) -> PyResult<Bound<'py, PyAny>> {
        let task = slf.get();
        if task.is_workflow || task.run.check.is_some() {
            let options = task.run_options(slf.py(), outer)?;
            let run = run::run(slf, args, kwargs, options, None)?;
            return run::Run::take(&run);
        }
        lone::call(slf, args, kwargs, outer)
    }

    /// Makes a handle of a call.
    fn defer_in<'py>(
        slf: &Bound<'py, Self>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        run: Arc<RunOptions>,
        workflow: Option<Mode>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, task) = (slf.py(), slf.get());
        let is_seeded = is_seeded(run.seeding);
        let Some(arguments) = task.parameters(py)?.bind(args, kwargs, is_seeded)? else {
            // Python's own words for arguments that do not fit; nothing runs.
            let signature = py.import("inspect")?.call_method1("signature", (&task.function,))?;
            signature.call_method("bind", args, kwargs)?;
            return Err(PyTypeError::new_err("the arguments do not fit the parameters"));
        };
        let session = Session::current(py)?;
        let choices = Choices { workflow, ..task.choices(&session, &run) };
        let call = task.call(slf, &arguments, choices, run)?;
        Ok(Bound::new(py, Handle::of(Arc::new(call)))?.into_any())
    }

    fn call(
        &self,
        slf: &Bound<'_, Self>,
        arguments: &Arguments<'_>,
        choices: Choices,
        run: Arc<RunOptions>,
    ) -> PyResult<Call> {
        let py = slf.py();
        let prepared = self.prepared(py)?;
        let mut takes: Vec<Py<Handle>> = Vec::new();
        let mut number_of = |handle: &Bound<'_, Handle>| {
            let known = takes.iter().position(|taken| taken.get().is_same(handle.get()));
            known.unwrap_or_else(|| {
                takes.push(handle.clone().unbind());
                takes.len() - 1
            }) as u64
        };
        // Handles in ignored parameters are edges, too: the body needs their values.
        for argument in arguments.iter().flatten() {
            places::visit(argument, &mut |handle| _ = number_of(handle))?;
        }
        let visible = takes.len();
        let mut number_of = |handle: &Bound<'_, Handle>| {
            let known = takes.iter().position(|taken| taken.get().is_same(handle.get()));
            known.unwrap_or_else(|| {
                takes.push(handle.clone().unbind());
                takes.len() - 1
            }) as u64
        };
        let mut around = Around::of_arguments(Some(&mut number_of));
        let inputs = self.inputs(py, arguments, &mut around)?;
        let on_disk = OnDisk::new(around.into_files(), prepared.named());
        if takes.len() > visible {
            return Err(HandleError::new_err(format!(
                "an argument of {} holds the output of another task inside an object; \
                 pass it directly, or in a list, tuple or dict",
                self.name
            )));
        }
        Ok(Call {
            id: Call::next_id(),
            task: slf.clone().unbind(),
            operation: prepared.under(py, run.seeding, self.parameters(py)?)?,
            unkeyed: prepared.unkeyed.clone(),
            arguments: arguments
                .iter()
                .map(|argument| argument.clone().map(Bound::unbind))
                .collect(),
            inputs,
            on_disk,
            takes,
            choices,
            options: Arc::clone(&self.definition),
            run,
        })
    }

    /// The same call under other cache settings.
    pub(super) fn call_again(
        py: Python<'_>,
        call: &Arc<Call>,
        cache: &Bound<'_, PyAny>,
    ) -> PyResult<Arc<Call>> {
        let other = call.task.bind(py).call_method1(intern!(py, "_with_invocation"), (cache,))?;
        let other = other.cast_into::<Self>()?;
        let task = other.get();
        let arguments = call.given(py);
        let choices = Choices { invocation: task.invocation_mode, ..call.choices };
        task.call(&other, &arguments, choices, Arc::clone(&call.run)).map(Arc::new)
    }

    /// What enters the key, sorted by name.
    pub(super) fn inputs(
        &self,
        py: Python<'_>,
        arguments: &Arguments<'_>,
        around: &mut Around<'_, '_>,
    ) -> PyResult<Vec<Input>> {
        if let Some(key) = &self.definition.key {
            return self.custom_key(key.bind(py), arguments, around);
        }
        let parameters = self.parameters(py)?;
        let hooks = self.hooks(py)?;
        let mut inputs = Vec::with_capacity(hooks.keyed.len());
        for index in &hooks.keyed {
            let Some(value) = &arguments[*index] else {
                continue;
            };
            let name = &parameters.all[*index].name;
            let hook = &hooks.parameters[*index];
            let mut writer = plain::Writer::new();
            let preview = encode(value, name, hook, around, &mut writer)?;
            inputs.push(Input { name: name.clone(), encoding: writer.into_bytes(), preview });
            if parameters.is_varkeywords(*index) && hook.method.is_none() {
                inputs.extend(order_of(name, value)?);
            }
        }
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(inputs)
    }

    fn custom_key(
        &self,
        key: &Bound<'_, PyAny>,
        arguments: &Arguments<'_>,
        around: &mut Around<'_, '_>,
    ) -> PyResult<Vec<Input>> {
        let py = key.py();
        for argument in arguments.iter().flatten() {
            let mut handles = 0;
            places::visit(argument, &mut |_| handles += 1)?;
            if handles > 0 {
                return Err(HandleError::new_err(format!(
                    "the key function of {} needs values, and an argument is the output of another \
                     task; call it outside the workflow, or annotate the parameter with a HashMethod",
                    self.name
                )));
            }
        }
        let (args, kwargs) = self.parameters(py)?.unbind(py, arguments)?;
        let given = key.call(args, Some(&kwargs))?;
        let mut writer = plain::Writer::new();
        around.encode(&given, "key", &mut writer).map_err(|error| error::unhashable(py, error))?;
        // It may give a secret as it is.
        let hooks = self.hooks(py)?;
        let preview = match hooks.parameters.iter().any(|hook| hook.secret) {
            true => Preview::text("(hidden)".to_owned()),
            false => Preview::text(digest::preview(&given)),
        };
        Ok(vec![Input { name: "key".to_owned(), encoding: writer.into_bytes(), preview }])
    }

    /// The operation, with the ingredients that hold now.
    pub(super) fn prepared(&self, py: Python<'_>) -> PyResult<Arc<Prepared>> {
        let observes =
            self.definition.key.is_some() || self.definition.observes(&*Session::current(py)?);
        let held = self.prepared.lock().clone();
        if let Some(prepared) = held
            && prepared.observes == observes
            && prepared.is_current(py)
        {
            return Ok(prepared);
        }
        let function = self.function.bind(py);
        let parameters = self.parameters(py)?;
        let beside = self.beside(py)?;
        let found =
            Prepared::of(function, &self.name, parameters, &self.definition, &beside, observes);
        let prepared = match found {
            Ok(prepared) => Arc::new(prepared),
            // Somebody works on the file while this process runs: no reason to stop it.
            Err(error) if error.is_instance_of::<SourceChanged>(py) => {
                let reason = crate::shown::message(py, &error);
                let text = format!("{} runs without the cache: {reason}", self.name);
                super::session::tell(py, &text);
                return Prepared::unkeyed(&self.name, reason).map(Arc::new);
            }
            Err(error) => return Err(error),
        };
        // Dropped without the lock: it may hold the last reference to objects whose destructors
        // call this task.
        let outdated = self.prepared.lock().replace(Arc::clone(&prepared));
        drop(outdated);
        Ok(prepared)
    }

    /// The functions that make keys and digests for this task, each with what it is for.
    pub fn beside<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let mut beside = Vec::new();
        if let Some(key) = &self.definition.key {
            beside.push(("key function".to_owned(), key.bind(py).clone()));
        }
        let (parameters, hooks) = (self.parameters(py)?, self.hooks(py)?);
        let named = parameters.all.iter().zip(&hooks.parameters);
        let named = named.map(|(parameter, hook)| (parameter.name.as_str(), hook));
        for (name, hook) in named.chain([("the result", &hooks.result)]) {
            if let Some(method) = &hook.method {
                beside.push((format!("hash method of {name}"), method.bind(py).clone()));
            }
        }
        Ok(beside)
    }

    /// What the definition asks of the cache, as it holds now; `None` if nothing that decides
    /// about results.
    pub fn settings(&self, py: Python<'_>) -> PyResult<Option<Arc<Settings>>> {
        let held = self.settings.lock().clone();
        if let Some(settings) = held.filter(|settings| settings.is_current()) {
            return Ok(Some(settings));
        }
        let settings = Settings::of(py, &self.definition, self.run.seeding)?.map(Arc::new);
        self.settings.lock().clone_from(&settings);
        Ok(settings)
    }

    /// The parameters that do not enter its keys.
    pub(super) fn ignored(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let names = self.parameters(py)?.all.iter().map(|parameter| &parameter.name);
        Ok(names.filter(|name| !self.definition.takes(name)).cloned().collect())
    }

    pub(super) fn parameters(&self, py: Python<'_>) -> PyResult<&Parameters> {
        if let Some(parameters) = self.parameters.get() {
            return Ok(parameters);
        }
        let parameters = Parameters::of(self.function.bind(py))?;
        Ok(self.parameters.get_or_init(|| parameters))
    }

    pub(super) fn hooks(&self, py: Python<'_>) -> PyResult<&Hooks> {
        if let Some(hooks) = self.hooks.get() {
            return Ok(hooks);
        }
        let function = self.function.bind(py);
        let parameters = self.parameters(py)?;
        let found: PyResult<Vec<Hook>> =
            parameters.all.iter().map(|parameter| Hook::of(function, &parameter.name)).collect();
        let mut keyed: Vec<_> = (0..parameters.all.len())
            .filter(|index| self.definition.takes(&parameters.all[*index].name))
            .collect();
        keyed.sort_by_key(|index| &parameters.all[*index].name);
        let mut found: Vec<Hook> = found?;
        let names: Vec<_> = parameters.all.iter().map(|it| it.name.as_str()).collect();
        if Hook::hidden_secret(function, &names)? {
            found.iter_mut().for_each(|hook| hook.secret = true);
        }
        let hooks = Hooks { parameters: found, result: Hook::of(function, "return")?, keyed };
        Ok(self.hooks.get_or_init(|| hooks))
    }

    pub(super) fn is_secret(&self, py: Python<'_>, index: usize) -> PyResult<bool> {
        Ok(self.hooks(py)?.parameters[index].secret)
    }

    /// Whether an argument or the result is never shown.
    pub(super) fn has_secrets(&self, py: Python<'_>) -> PyResult<bool> {
        let hooks = self.hooks(py)?;
        Ok(hooks.result.secret || hooks.parameters.iter().any(|hook| hook.secret))
    }

    /// Whether each body gets a copy of this argument: not of one that the key does not
    /// describe, nor of a default, which may be there to be recognised.
    pub(super) fn is_copied(
        &self,
        py: Python<'_>,
        index: usize,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let hooks = self.hooks(py)?;
        let is_described = hooks.keyed.contains(&index) && hooks.parameters[index].method.is_none();
        Ok(is_described && !self.parameters(py)?.all[index].is_default(value))
    }

    pub(super) fn choices(&self, session: &Session, run: &RunOptions) -> Choices {
        let repeating = clean::mode();
        Choices {
            operation_at_run_time: repeating.or_else(|| run.of_operation(&self.name)),
            run: run.mode.or(session.run_mode),
            invocation: self.invocation_mode,
            definition: self.definition.mode,
            workflow: None,
            project: session.project_mode,
            ..Choices::default()
        }
    }

    /// What was chosen for the run by `with_options`, and by what is around it. The seed is
    /// decided: what is inside sees no other choice, so that a result depends on no seed but
    /// the one in its key.
    pub(super) fn run_options(
        &self,
        py: Python<'_>,
        outer: &RunOptions,
    ) -> PyResult<Arc<RunOptions>> {
        Ok(self.run_options_in(&*Session::current(py)?, outer))
    }

    /// As [`Task::run_options`], in this session.
    pub(super) fn run_options_in(&self, session: &Session, outer: &RunOptions) -> Arc<RunOptions> {
        let mut options = self.run.inside(outer);
        options.seeding = options.seeding.or(session.seeding);
        if is_seeded(options.seeding) {
            turn::begin_use();
        }
        Arc::new(options)
    }

    /// The mode that the definition chooses for what is inside a workflow.
    pub(super) fn inner_mode(&self) -> Option<Mode> {
        self.invocation_mode.or(self.definition.mode)
    }

    pub(super) fn definition(&self) -> &Options {
        &self.definition
    }

    /// How many outputs the declared result has, if it is a tuple of a fixed length.
    pub(super) fn arity(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let parse = py.import(intern!(py, "thrifty._annotations"))?;
        parse.call_method1(intern!(py, "arity"), (&self.function,))?.extract()
    }
}
