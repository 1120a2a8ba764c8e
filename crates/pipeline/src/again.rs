//! Runs that go on from an earlier one.
//!
//! *Resume* and *recover* take what an operation gave only under the very key it has now: what was
//! edited since runs again. *Replay* takes what stands before an operation as it was. Either way
//! it is the value that enters the keys of what follows, so that whatever is stored is right for
//! its key; and what was taken is itself stored nowhere.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use thrifty_engine::catalog::{Entry, EntryId, NewRun, Node, Run, RunId, Selector};
use thrifty_engine::compute::Settled;
use thrifty_engine::graph::Made;
use thrifty_engine::schedule::Earlier;
use thrifty_engine::{Cache, Schedule};
use thrifty_key::Key;

use crate::attempt::Attempt;
use crate::body::Shared;
use crate::document::Output;
use crate::error::PrepareError;
use crate::given::Given;
use crate::graph::shown;
use crate::pipeline::{Command, Pipeline, Work, unspread};
use crate::rundir::{self, RunDirectory};

/// What of a run is kept, and what it goes on from.
#[derive(Debug, Clone, Default)]
pub struct Keeping {
    /// What the run was asked to do, to be kept with it.
    pub definition: Json,
    /// Where it has its directory, if not with the cache.
    pub elsewhere: Option<PathBuf>,
    /// What it goes on from.
    pub going: Going,
    /// Artifacts of an earlier run that are there before it begins.
    pub copies: Option<Copies>,
}

/// What a run goes on from.
#[derive(Debug, Clone, Default)]
pub enum Going {
    /// Nothing.
    #[default]
    Anew,
    /// It is this run, which goes on.
    Resume(Box<Run>),
    /// What succeeded in this run is taken where its key is still the same.
    Recover(RunId),
    /// What stands before these operations is taken from this run.
    Replay {
        /// The run.
        run: RunId,
        /// The operations that run again, with all that follows.
        from: Vec<String>,
    },
}

/// Artifacts of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Where they are.
    pub from: PathBuf,
    /// Directories among them, as `operation/path`.
    pub directories: Vec<String>,
    /// Files among them. Without a directory and a file, all.
    pub files: Vec<String>,
}

/// What operations are called and give, by their names in the history.
type Commands = HashMap<String, (String, Vec<(String, Output)>)>;

/// An earlier run, as far as it is of use.
pub(crate) struct Before {
    run: RunId,
    cache: Arc<Cache>,
    directory: RunDirectory,
    nodes: Vec<Node>,
    commands: Commands,
    /// What is taken whatever its key is now, if that was asked for.
    given: Option<HashMap<usize, Settled>>,
}

impl Keeping {
    /// Puts copies of artifacts where operations find them, before keys are made.
    pub(crate) fn stage(&self, runs: &Path, shared: &Shared) -> Result<(), PrepareError> {
        if let Going::Resume(run) = &self.going {
            let copied = RunDirectory::of(runs, &run.id.0).all_copied();
            *shared.copied.lock() = Some(copied).filter(|copied| copied.is_dir());
        }
        let Some(copies) = &self.copies else { return Ok(()) };
        let staging = runs.join(format!(".copied-{}", std::process::id()));
        _ = fs::remove_dir_all(&staging);
        copies.copy_to(&staging).inspect_err(|_| _ = fs::remove_dir_all(&staging))?;
        *shared.copied.lock() = Some(staging);
        Ok(())
    }

    /// Begins the run, or has it go on. Without a directory it runs all the same.
    pub(crate) fn begin(
        &self,
        new: &NewRun,
        runs: &Path,
        shared: &Shared,
    ) -> Result<Option<RunId>, PrepareError> {
        let recorder = shared.cache.recorder();
        let (run, directory) = match &self.going {
            Going::Resume(run) => {
                if !recorder.resume(run) {
                    let reason = "another process has it go on, or the catalog cannot be written";
                    return Err(refused(&run.id, reason));
                }
                (Some(run.id.clone()), Some(RunDirectory::of(runs, &run.id.0)))
            }
            Going::Anew | Going::Recover(_) | Going::Replay { .. } => {
                let run = recorder.begin(new);
                let directory = run.as_ref().map(|run| self.make(runs, run, shared));
                (run, directory.flatten())
            }
        };
        if let (Some(directory), None, Some(copied)) =
            (&directory, self.resumed(), shared.copied.lock().as_mut())
            && fs::rename(&*copied, directory.all_copied()).is_ok()
        {
            *copied = directory.all_copied();
        }
        _ = shared.directory.set(directory);
        Ok(run)
    }

    fn resumed(&self) -> Option<&Run> {
        match &self.going {
            Going::Resume(run) => Some(run),
            Going::Anew | Going::Recover(_) | Going::Replay { .. } => None,
        }
    }

    fn make(&self, runs: &Path, run: &RunId, shared: &Shared) -> Option<RunDirectory> {
        match RunDirectory::make(runs, self.elsewhere.as_deref(), run, &self.definition) {
            Ok(directory) => Some(directory),
            Err(error) => {
                shared.note(format!(
                    "run {run} has no directory: {error}; it cannot be resumed, and checkpoints do not outlast an attempt"
                ));
                None
            }
        }
    }
}

impl Copies {
    fn copy_to(&self, staging: &Path) -> Result<(), PrepareError> {
        let wrong =
            |path: &str, reason: String| PrepareError::Copy { path: self.from.join(path), reason };
        let all = self.directories.is_empty() && self.files.is_empty();
        let whole = all.then(|| (String::new(), true));
        let directories = self.directories.iter().map(|path| (path.clone(), true));
        let files = self.files.iter().map(|path| (path.clone(), false));
        for (path, is_directory) in whole.into_iter().chain(directories).chain(files) {
            let below = match path.is_empty() {
                true => String::new(),
                false => crate::paths::below(&path)
                    .map_err(|why| wrong(&path, format!("the path {why}")))?,
            };
            let (source, target) = (self.from.join(&below), staging.join(&below));
            if source.is_dir() != is_directory || !source.exists() {
                let what = if is_directory { "directory" } else { "file" };
                return Err(wrong(&path, format!("there is no such {what}")));
            }
            let above = target.parent().unwrap_or(&target);
            fs::create_dir_all(above)
                .and_then(|()| rundir::copy(&source, &target))
                .map_err(|error| wrong(&path, error.to_string()))?;
        }
        Ok(())
    }
}

impl Before {
    /// What the run goes on from, if it goes on from any.
    pub(crate) fn of(
        pipeline: &Pipeline,
        keeping: &Keeping,
        runs: &Path,
        cache: &Arc<Cache>,
    ) -> Result<Option<Self>, PrepareError> {
        let run = match &keeping.going {
            Going::Anew => return Ok(None),
            Going::Resume(run) => run.id.clone(),
            Going::Recover(run) | Going::Replay { run, .. } => run.clone(),
        };
        let unreadable = |error: &dyn std::fmt::Display| refused(&run, &error.to_string());
        let nodes = cache.catalog().nodes(&run).map_err(|error| unreadable(&error))?;
        let mut commands = Commands::new();
        collect(pipeline, &pipeline.commands, &mut commands);
        let mut before = Self {
            directory: RunDirectory::of(runs, &run.0),
            run,
            cache: Arc::clone(cache),
            nodes,
            commands,
            given: None,
        };
        if let Going::Replay { from, .. } = &keeping.going {
            before.given = Some(before.before(pipeline, from)?);
        }
        Ok(Some(before))
    }

    /// Hands what is known from before to the run that goes on.
    pub(crate) fn hand_to(mut self, schedule: &mut Schedule<'_>) {
        match self.given.take() {
            Some(given) => given.into_iter().for_each(|(at, settled)| schedule.give(at, settled)),
            None => schedule.take_from(self),
        }
    }

    /// What stands before operations that run again. What those need of it must be there.
    fn before(
        &self,
        pipeline: &Pipeline,
        from: &[String],
    ) -> Result<HashMap<usize, Settled>, PrepareError> {
        let mut again = pipeline.following(from)?;
        // What puts results together, or tells their parts, has none of its own.
        for (number, command) in pipeline.commands.iter().enumerate().rev() {
            let upstream = command.upstream();
            if again.contains(&number) {
                let gathers = upstream.into_iter().filter(|it| pipeline.commands[*it].is_between());
                again.extend(gathers);
            }
        }
        let mut given = HashMap::new();
        for (number, command) in pipeline.commands.iter().enumerate() {
            let name = shown(pipeline, command);
            let node = self.nodes.iter().find(|it| it.operation == name && it.parent.is_none());
            if let Some(settled) = node.and_then(|node| self.settled(node, false))
                && !again.contains(&number)
            {
                given.insert(number, settled);
            }
        }
        let needed = again.iter().flat_map(|number| pipeline.commands[*number].upstream());
        let mut missing = needed.filter(|it| !again.contains(it) && !given.contains_key(it));
        match missing.next() {
            None => Ok(given),
            Some(missing) => {
                let name = &pipeline.commands[missing].name;
                let reason = format!(
                    "the result of `{name}` is there no longer, or was never kept; replay from `{name}`"
                );
                Err(refused(&self.run, &reason))
            }
        }
    }

    /// What an operation of the earlier run gave, if it is there still.
    fn settled(&self, node: &Node, strict: bool) -> Option<Settled> {
        let entry = node.entry.and_then(|entry| self.entry(entry));
        let stored = entry.and_then(|it| self.cache.taken_from(&self.run.0, it, strict));
        stored.or_else(|| self.kept(&node.operation, node.key.as_ref()))
    }

    /// An entry, if it is there now: it may have been invalidated since the run began.
    fn entry(&self, id: EntryId) -> Option<Entry> {
        let selector = Selector { ids: Some(vec![id]), ..Selector::default() };
        let found = self.cache.catalog().entries(Some(self.cache.scope()), &selector, 1);
        found.ok()?.pop()
    }

    /// A result that went into no cache and stayed with the run.
    fn kept(&self, operation: &str, key: Option<&Key>) -> Option<Settled> {
        // Copies that only the run tells are not known by their own names.
        let is_copy = |known: &&String| unspread(known) == unspread(operation);
        let known = self.commands.get_key_value(operation);
        let (full, (name, outputs)) = known.or_else(|| {
            let known = self.commands.keys().find(is_copy)?;
            self.commands.get_key_value(known)
        })?;
        let name = operation.strip_prefix(full.strip_suffix(&**name)?)?;
        let attempt = Attempt::kept(self.directory.result(name, key))?;
        let given = Given::gather(attempt, outputs, &*self.cache.file_memo()).ok()?;
        let draft = given.draft().ok()?;
        Some(Settled::skipped(&self.run.0, Made::new(Arc::new(given), draft)))
    }
}

impl Earlier for Before {
    fn result(&self, operation: &str, key: &Key) -> Option<Settled> {
        let same = |node: &&Node| node.operation == operation && node.key.as_ref() == Some(key);
        let stored = self.nodes.iter().filter(same).find_map(|node| self.settled(node, true));
        // What was made last may not be in the history of a run that was killed.
        stored.or_else(|| self.kept(operation, Some(key)))
    }
}

impl Pipeline {
    /// The positions of operations and of all that takes from them.
    fn following(&self, from: &[String]) -> Result<HashSet<usize>, PrepareError> {
        let mut again = HashSet::new();
        for name in from {
            again.extend(self.named(name)?);
        }
        // Each comes after those it takes from.
        for (number, command) in self.commands.iter().enumerate() {
            if command.upstream().iter().any(|it| again.contains(it)) {
                again.insert(number);
            }
        }
        Ok(again)
    }
}

impl Command {
    /// The operations beside it that it needs.
    pub(crate) fn upstream(&self) -> Vec<usize> {
        let taken = self.takes().filter_map(|reference| reference.operation());
        taken.chain(self.needs.iter().copied()).collect()
    }
}

fn collect(pipeline: &Pipeline, commands: &[Command], found: &mut Commands) {
    for command in commands {
        match &command.work {
            Work::Run(_) => {
                let known = (command.name.clone(), command.outputs.clone());
                found.insert(shown(pipeline, command), known);
            }
            // What a function gave is no file of a command.
            Work::Task(_) | Work::Gather(_) | Work::Parts => {}
            Work::Process(process) => collect(pipeline, &process.steps, found),
        }
    }
}

fn refused(run: &RunId, reason: &str) -> PrepareError {
    PrepareError::Earlier { run: run.0.clone(), reason: reason.to_owned() }
}
