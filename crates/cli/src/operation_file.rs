//! Runs and plans of operation files, which need no host.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::Pattern;
use jiff::Timestamp;
use thrifty_engine::catalog::RunStatus;
use thrifty_engine::config::{self, Settings, Source};
use thrifty_engine::event::Listener;
use thrifty_engine::explain::foresee;
use thrifty_engine::graph::Failure as Failed;
use thrifty_engine::{Cache, Context, Mode};
use thrifty_pipeline::{
    Chosen, Demand, Ended, FileError, Gave, Keeping, Language, Pipeline, PrepareError, Ticks,
    Variation, unspread,
};

use crate::console::Console;
use crate::failure::Failure;
use crate::host::{self, End, Host, HostError, PlanReport, RunReport, RunRequest};
use crate::room::Room;

/// Whether a target of `thrifty run` is an operation file.
pub(crate) fn is_one(target: &str) -> bool {
    Path::new(target).extension().is_some_and(|it| it == "yaml" || it == "yml")
}

/// What is chosen of an operation file, and how it is varied, beside its parameters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    /// These operations and what they need; all if empty.
    pub(crate) only: Vec<String>,
    /// Presets by name.
    pub(crate) presets: Vec<String>,
    /// Fields by their paths, with their values.
    pub(crate) fields: Vec<(String, String)>,
    /// What of the machine there is for it.
    pub(crate) room: Room,
    /// What of the run is kept, and what it goes on from.
    pub(crate) keeping: Keeping,
    /// Whether it does an earlier run again.
    pub(crate) does_again: bool,
    /// The tick of its schedule that it is for; the last that was due unless given.
    pub(crate) tick: Option<Timestamp>,
}

impl Choice {
    /// The first option that is only for operation files, if one was given.
    pub(crate) fn first_option(&self) -> Option<&'static str> {
        let given = [
            ("an operation's name", !self.only.is_empty()),
            ("--preset", !self.presets.is_empty()),
            ("--set", !self.fields.is_empty()),
            ("--tick", self.tick.is_some()),
            ("--cpus, --memory or --gpus", self.room.is_said()),
            ("--run-dir", self.keeping.elsewhere.is_some()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// How it is said on a command line, with the parameters.
    fn written(&self, parameters: &[(String, String)]) -> String {
        let presets = self.presets.iter().map(|name| format!("--preset {name}"));
        let fields = self.fields.iter().map(|(field, value)| format!("--set {field}={value}"));
        let parameters = parameters.iter().map(|(name, value)| format!("{name}={value}"));
        let tick = self.tick.iter().map(|tick| format!("--tick {tick}"));
        presets.chain(fields).chain(tick).chain(parameters).collect::<Vec<_>>().join(", ")
    }
}

/// Runs the operation file of a request.
pub(crate) fn run(
    request: &RunRequest,
    choice: &Choice,
    host: &dyn Host,
    console: &Console<'_>,
    listener: Arc<Listener>,
) -> Result<RunReport, Failure> {
    host.heed_signals();
    let pipeline = read(request, choice, console)?;
    let interrupted = || host.is_interrupted();
    let called = Called { request, choice, console };
    let language = language(&pipeline, host)?;
    // Values of a language come from its own cache, and go there.
    let (cache, without) = match &language {
        Some(language) => (language.cache(), None),
        None => cache(console)?,
    };
    let demand = demand(&pipeline, &called, (cache, language), &interrupted, listener)?;
    let mut report = report(pipeline.run(demand)?, &console.directory);
    report.notes.extend(without);
    Ok(report)
}

/// When the operation file of a request runs.
///
/// # Errors
///
/// It cannot be used, or has no schedule.
pub(crate) fn scheduled(
    request: &RunRequest,
    choice: &Choice,
    console: &Console<'_>,
) -> Result<(Pipeline, Ticks), Failure> {
    let mut pipeline = read(request, choice, console)?;
    let ticks = pipeline.schedule.take().ok_or_else(|| {
        let file = &request.target;
        Failure::Usage(format!("{file} has no `schedule`, such as `schedule: {{every: 1h}}`"))
    })?;
    Ok((pipeline, ticks))
}

/// Tells what a run of the operation file would do.
pub(crate) fn plan(
    request: &RunRequest,
    choice: &Choice,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<PlanReport, Failure> {
    let pipeline = read(request, choice, console)?;
    let interrupted = || false;
    let listener = Arc::new(|_: &_| {});
    let called = Called { request, choice, console };
    let language = language(&pipeline, host)?;
    let cache = language.as_ref().map_or_else(|| console.cache(), |it| Ok(it.cache()))?;
    let demand = demand(&pipeline, &called, (cache, language), &interrupted, listener)?;
    let (catalog, scope) = (Arc::clone(demand.cache.catalog()), demand.cache.scope().clone());
    for found in pipeline.foretold(&demand)? {
        console.note(&found)?;
    }
    match pipeline.plan(&demand)? {
        Ok(plan) => {
            let told = foresee(catalog.as_ref(), &scope, &pipeline.name, &plan);
            Ok(PlanReport::Told(told?))
        }
        Err(failure) => Ok(PlanReport::Failed(failed(&pipeline.name, &failure))),
    }
}

fn failed(operation: &str, failure: &Failed) -> host::Failed {
    host::Failed { operation: operation.to_owned(), message: failure.message().to_owned() }
}

fn read(request: &RunRequest, choice: &Choice, console: &Console<'_>) -> Result<Pipeline, Failure> {
    let RunRequest { target, parameters, executor, check, .. } = request;
    let refused = [("--executor", executor.is_some()), ("--check", check.is_some())];
    if let Some((option, _)) = refused.iter().find(|(_, given)| *given) {
        let message =
            format!("{option} is for workflows in Python; `{target}` is an operation file");
        return Err(Failure::Usage(message));
    }
    let variable =
        |name: &str| (console.variables)(name).and_then(|value| value.into_string().ok());
    let variation = Variation {
        presets: choice.presets.clone(),
        fields: choice.fields.clone(),
        params: parameters.clone(),
        tick: choice.tick,
    };
    Ok(Pipeline::read_with(&console.directory.join(target), &variation, &variable)?)
}

/// The language of the functions that a pipeline calls, if it calls any.
fn language(pipeline: &Pipeline, host: &dyn Host) -> Result<Option<Arc<dyn Language>>, HostError> {
    pipeline.needs_language().then(|| host.language()).transpose()
}

/// What was called, and where.
struct Called<'a, 'c> {
    request: &'a RunRequest,
    choice: &'a Choice,
    console: &'a Console<'c>,
}

fn demand<'a>(
    pipeline: &Pipeline,
    called: &Called<'_, '_>,
    (cache, language): (Arc<Cache>, Option<Arc<dyn Language>>),
    interrupted: &'a (dyn Fn() -> bool + Sync),
    listener: Arc<Listener>,
) -> Result<Demand<'a>, Failure> {
    let Called { request, choice, console } = called;
    let settings = console.settings()?;
    let workers = request.workers.or(settings.workers.value);
    let workers =
        workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    Ok(Demand {
        cache,
        work: settings.home.value.join("work"),
        chosen: Chosen {
            context: match choice.does_again {
                true => Context::Again,
                false => pipeline.context(),
            },
            ..chosen(pipeline, request, &settings)?
        },
        only: choice.only.clone(),
        workers,
        capacity: choice.room.capacity(),
        interrupted,
        listener,
        arguments: choice.written(&request.parameters),
        keeping: choice.keeping.clone(),
        language,
    })
}

/// The cache, or one that ends with the run, with what is to be said about it: that a cache cannot
/// be opened must not keep anybody from their work.
fn cache(console: &Console<'_>) -> Result<(Arc<Cache>, Option<String>), Failure> {
    let is_strict = config::is_strict(console.variables);
    match console.open(console.settings()?) {
        Ok(cache) => Ok((cache, None)),
        Err(error) if is_strict => Err(error.into()),
        Err(error) => {
            let note = format!("it ran without its cache directory: {error}");
            let cache = Cache::in_memory()?;
            cache.stand_in_for(&error);
            Ok((cache, Some(note)))
        }
    }
}

/// What was chosen on the command line, in the environment and in the configuration.
fn chosen(
    pipeline: &Pipeline,
    request: &RunRequest,
    settings: &Settings,
) -> Result<Chosen, Failure> {
    let configured: Option<Mode> = settings.cache.value;
    let by_variable = matches!(settings.cache.source, Source::Variable(_));
    let names = pipeline.names();
    let mut refresh = Vec::new();
    for pattern in &request.refresh {
        let matcher = Pattern::new(pattern)
            .map_err(|error| Failure::Usage(format!("--refresh {pattern}: {error}")))?;
        let before = refresh.len();
        // The name of a copy, `train[seed=1]`, looks like a pattern, and is none.
        let is_meant = |name: &&&str| {
            **name == pattern || matcher.matches(name) || matcher.matches(&unspread(name))
        };
        refresh.extend(names.iter().filter(is_meant).map(|name| (*name).to_owned()));
        if refresh.len() == before {
            let known = names.iter().map(|name| (*name).to_owned()).collect();
            return Err(HostError::UnknownOperation { name: pattern.clone(), known }.into());
        }
    }
    Ok(Chosen {
        mode: request.mode.or(configured.filter(|_| by_variable)),
        refresh,
        project: configured.filter(|_| !by_variable),
        context: Context::default(),
        now: request.now,
        fail_fast: request.fail_fast,
        seed: request.seed,
        project_seed: settings.seed.value,
    })
}

fn report(ended: Ended, directory: &Path) -> RunReport {
    let Ended { run, status, given, failures, searches, notes } = ended;
    let end = match status {
        RunStatus::Succeeded => End::Succeeded,
        RunStatus::Cancelled => End::Interrupted,
        RunStatus::Failed | RunStatus::Running | RunStatus::Lost => End::Failed,
    };
    let failures = failures
        .into_iter()
        .map(|(operation, message)| host::Failed { operation, message })
        .collect();
    let lines: Vec<_> = given.iter().map(|(name, gave)| shown(name, gave, directory)).collect();
    let result = (!lines.is_empty()).then(|| lines.join("\n"));
    let outputs = given.into_iter().filter_map(|(name, gave)| match gave {
        Gave::Value(value) => Some((name, value)),
        Gave::Placed(path) => Some((name, path.to_string_lossy().into())),
        Gave::Kept | Gave::Foreign(_) => None,
    });
    let given = host::Given { outputs: outputs.collect(), searches };
    RunReport { run, end, result, failures, checks: Vec::new(), notes, given }
}

/// One line for something that a pipeline gave.
fn shown(name: &str, gave: &Gave, directory: &Path) -> String {
    match gave {
        Gave::Value(value) => format!("{name} = {value}"),
        Gave::Placed(path) => {
            let near: PathBuf = path.strip_prefix(directory).unwrap_or(path).to_owned();
            format!("{name} -> {}", near.display())
        }
        Gave::Foreign(what) => format!("{name}: {what}"),
        Gave::Kept => format!("{name} is in the cache; say where to put it under `outputs`"),
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        Self::Usage(error.to_string())
    }
}
