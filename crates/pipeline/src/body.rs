//! A command as the engine runs it.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use minijinja::value::{Serde, Value};
use parking_lot::{Condvar, Mutex};
use serde_json::Value as Json;
use thrifty_engine::annotations::Annotations;
use thrifty_engine::graph::{Body, Failure, Input, Loss, Made, Product, Taken, Unstored};
use thrifty_engine::made_of::Parts;
use thrifty_engine::{Cache, ClaimOn, Reason};
use thrifty_key::Key;

use crate::attempt::{Attempt, Surroundings};
use crate::container::Container;
use crate::copying::Change;
use crate::devices::Devices;
use crate::document::Run;
use crate::endurance::{self, Endurance};
use crate::error::AttemptError;
use crate::given::Given;
use crate::home::{Home, Placement};
use crate::language::{self, Language, Unexported};
use crate::mirror::Mirrors;
use crate::part;
use crate::pipeline::{Command, Origin};
use crate::resources::Pools;
use crate::rundir::{self, RunDirectory};
use crate::seed::Drawing;
use crate::share;
use crate::steady::{Read, Steady};
use crate::ticks;

/// What all commands of a run share.
pub(crate) struct Shared {
    pub(crate) cache: Arc<Cache>,
    /// The language of functions, if there is one.
    pub(crate) language: Option<Arc<dyn Language>>,
    /// Where attempts have their directories.
    pub(crate) work: PathBuf,
    /// The code that commands run.
    pub(crate) mirrors: Mirrors,
    /// Set when the run is interrupted.
    pub(crate) cancelled: AtomicBool,
    /// How many commands are running.
    pub(crate) running: Mutex<usize>,
    /// Told when one of them has ended.
    pub(crate) stopped: Condvar,
    /// Sentences for the user, as they come up.
    pub(crate) notes: Mutex<Vec<String>>,
    /// What of the machine its commands share.
    pub(crate) pools: Pools,
    pub(crate) devices: Devices,
    /// What was said already.
    pub(crate) told: Mutex<HashSet<String>>,
    /// The directory of the run, if it has begun and has one.
    pub(crate) directory: OnceLock<Option<RunDirectory>>,
    /// Artifacts of an earlier run, with which operations begin: a directory for each.
    pub(crate) copied: Mutex<Option<PathBuf>>,
}

/// How long an interrupted run waits for its commands to end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Shared {
    /// Ends all commands that run, and waits for them: they are not to outlive the run.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let mut running = self.running.lock();
        self.stopped.wait_while_for(&mut running, |running| *running > 0, PATIENCE);
        drop(running);
        if let Some(language) = &self.language {
            language.stop();
        }
    }

    pub(crate) fn directory(&self) -> Option<&RunDirectory> {
        self.directory.get()?.as_ref()
    }

    /// The artifacts of an earlier run with which an operation begins, if there are any.
    pub(crate) fn copied_for(&self, operation: &str) -> Option<PathBuf> {
        let copied = self.copied.lock().as_ref()?.join(rundir::file_name(operation));
        Some(copied).filter(|copied| copied.is_dir())
    }

    pub(crate) fn note(&self, note: String) {
        self.notes.lock().push(note);
    }

    /// Counts a command as running until what is given back is dropped.
    fn count(&self) -> impl Drop {
        struct Counted<'a>(&'a Shared);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                *self.0.running.lock() -= 1;
                self.0.stopped.notify_all();
            }
        }
        *self.running.lock() += 1;
        Counted(self)
    }
}

/// A command, ready to be run.
pub(crate) struct Running {
    pub(crate) shared: Arc<Shared>,
    pub(crate) command: Command,
    pub(crate) run: Run,
    /// Where it finds its code.
    pub(crate) placement: Arc<Placement>,
    /// Files of the project that the key was made of, each with the value digest it had.
    pub(crate) read: Vec<Read>,
    /// What it draws from, if it does.
    pub(crate) seed: Option<Drawing>,
    /// The container it runs in, if it does.
    pub(crate) container: Option<Container>,
    /// What it holds while it runs.
    pub(crate) claims: Vec<ClaimOn>,
    /// Whether its result stays with the run, because it goes into no cache.
    pub(crate) keeps: bool,
    /// How many of its attempts have failed so far.
    pub(crate) failed: AtomicU32,
}

impl Body for Running {
    fn claims(&self) -> &[ClaimOn] {
        &self.claims
    }

    /// It waits for a process, on whatever thread.
    fn notices_interrupts(&self) -> bool {
        false
    }

    fn run(&self, inputs: &[Taken]) -> Result<Product, Failure> {
        self.run_under(None, inputs)
    }

    fn run_under(&self, key: Option<&Key>, inputs: &[Taken]) -> Result<Product, Failure> {
        match self.attempt(key, inputs) {
            Ok((given, changed)) => {
                let attempt = self.failed.swap(0, Ordering::Relaxed) + 1;
                Ok(Product::Made(self.made(given, key, attempt, changed)))
            }
            Err(error) => Err(self.failure(error)),
        }
    }
}

impl Running {
    fn gpus(&self) -> u64 {
        self.command.resources.as_ref().map_or(0, |needed| needed.amount.gpus)
    }

    /// What becomes of an attempt that gave nothing: another one, if there is to be one.
    fn failure(&self, error: AttemptError) -> Failure {
        let retries = &self.command.endurance.retries;
        let failed = self.failed.load(Ordering::Relaxed) + 1;
        if !error.may_pass() || failed > retries.limit {
            self.failed.store(0, Ordering::Relaxed);
            return failure(error);
        }
        self.failed.store(failed, Ordering::Relaxed);
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        self.shared.note(format!("{}: attempt {failed} failed: {first}", self.command.name));
        Failure::Again { after: retries.wait(failed, endurance::lot()), message }
    }

    /// The same, for an attempt of its own.
    pub(crate) fn again(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            command: self.command.clone(),
            run: self.run.clone(),
            placement: Arc::clone(&self.placement),
            read: self.read.clone(),
            seed: self.seed.clone(),
            container: self.container.clone(),
            claims: self.claims.clone(),
            keeps: self.keeps,
            failed: AtomicU32::new(0),
        }
    }

    /// The same under another name.
    pub(crate) fn copy(&self, change: &Change<'_>) -> Self {
        let mut copy = self.again();
        copy.command.name = (change.name)(&copy.command.name);
        copy.claims.extend(change.claims.iter().cloned());
        copy
    }

    /// Has it draw as a call with these inputs.
    pub(crate) fn draws_with(&mut self, inputs: &[Input]) {
        if let Some(seed) = &mut self.seed {
            seed.inputs = inputs.to_vec();
        }
    }

    /// What a command gave, and how to store it: not at all if what the key was made of did not
    /// stay what it was.
    fn made(
        &self,
        mut given: Given,
        key: Option<&Key>,
        attempt: u32,
        changed: Option<&Path>,
    ) -> Made {
        if self.keeps
            && let Some(directory) = self.shared.directory()
        {
            // Without it a run that goes on computes it once more.
            _ = given.keep(directory.result(&self.command.name, key));
        }
        let notes = self.annotations(&given, attempt);
        let draft = given.draft().map(|draft| draft.annotated(notes));
        let object: Arc<dyn Any + Send + Sync> = Arc::new(given);
        match draft {
            Ok(draft) => {
                let made = Made::new(object, draft);
                match changed {
                    Some(path) => {
                        let text =
                            format!("{} was changed while the operation ran", path.display());
                        Made { draft: Err(Unstored { reason: Reason::Changed, text }), ..made }
                    }
                    None => made,
                }
            }
            Err(reason) => Made {
                object,
                contribution: None,
                draft: Err(Unstored::unstorable(reason)),
                observed: Vec::new(),
                expires_at: None,
                made_of: Parts::default(),
            },
        }
    }

    /// What is kept with the result besides. What cannot be read of it is no failure.
    fn annotations(&self, given: &Given, attempt: u32) -> Annotations {
        let (notes, wrong) = given.annotations();
        for reason in wrong {
            self.shared.note(format!("{}: {reason}", self.command.name));
        }
        let tags = self.command.endurance.tags.clone();
        Annotations { tags, attempt: (attempt > 1).then_some(attempt), ..notes }
    }

    /// Gives the command the directories that outlast the attempt: what earlier attempts under
    /// this very key left as checkpoints, and for artifacts those of an earlier run that were
    /// copied, which the key knows of.
    fn put_lasting(&self, attempt: &Attempt, key: Option<&Key>) -> Result<(), AttemptError> {
        let Endurance { checkpoints, artifacts, .. } = &self.command.endurance;
        let (name, directory) = (&self.command.name, self.shared.directory());
        if let Some(at) = checkpoints {
            match directory.map(|directory| directory.checkpoints(name, key)) {
                Some(kept) => attempt.link_own_lasting(&kept, at)?,
                None => attempt.link_lasting(&attempt.passing("checkpoints"), at)?,
            }
        }
        if let Some(at) = artifacts {
            let kept = directory.map(|directory| directory.artifacts(name));
            let kept = kept.unwrap_or_else(|| attempt.passing("artifacts"));
            let failed = |error| AttemptError::directory(&kept, &error);
            _ = std::fs::remove_dir_all(&kept);
            std::fs::create_dir_all(&kept).map_err(failed)?;
            if let Some(copied) = self.shared.copied_for(name) {
                rundir::copy(&copied, &kept).map_err(failed)?;
            }
            attempt.link_lasting(&kept, at)?;
        }
        Ok(())
    }

    /// One attempt, in a directory of its own. With a file, if there is one, that did not stay what
    /// the key was made of.
    fn attempt(
        &self,
        key: Option<&Key>,
        taken: &[Taken],
    ) -> Result<(Given, Option<&Path>), AttemptError> {
        let _counted = self.shared.count();
        if self.shared.cancelled.load(Ordering::Relaxed) {
            return Err(AttemptError::Cancelled);
        }
        let attempt = Attempt::begin(&self.shared.work)?;
        let code = Home::of(&self.placement, &self.command.base, &self.shared.mirrors)?;
        let shared = self.put_inputs(&attempt, taken, &code)?;
        attempt.link_code(&self.placement, &code)?;
        attempt.prepare_outputs(&self.command)?;
        self.put_lasting(&attempt, key)?;
        let seed = self.seed.as_ref().map(|seed| seed.number(taken, &self.shared.cache));
        let names = self.names(taken, seed)?;
        let lent = self.shared.devices.lend(self.gpus());
        let surroundings =
            Surroundings { seed, container: self.container.as_ref(), devices: &lent.names };
        let (steady, memo) = (Steady::begin(&self.read), self.shared.cache.file_memo());
        attempt.run(
            &self.command,
            &self.run,
            &code,
            &names,
            &surroundings,
            &self.shared.cancelled,
        )?;
        let changed = steady.changed(&*memo);
        code.check()?;
        if let Some(input) = shared.iter().find(|input| input.is_written()) {
            return Err(AttemptError::Overwrote { what: format!("input `{}`", input.name) });
        }
        self.tell(&attempt);
        let given = Given::gather(attempt, &self.command.outputs, &*memo)?;
        Ok((given, changed))
    }

    /// The edge, by its number, that an output of another operation came by.
    fn put_inputs(
        &self,
        attempt: &Attempt,
        taken: &[Taken],
        code: &Home,
    ) -> Result<Vec<share::Shared>, AttemptError> {
        let mut shared = Vec::new();
        let mut edge = self.command.value_edges();
        for input in &self.command.inputs {
            let target = attempt.place().join(&input.to);
            match &input.from {
                Origin::Path(path) => attempt.link(&code.of_input(path), &target)?,
                Origin::Output(_) => {
                    let lost = |reason| AttemptError::Lost { edge, reason };
                    let taken =
                        taken.get(edge).ok_or_else(|| lost("it was not handed over".to_owned()))?;
                    let blobs = &**self.shared.cache.blobs();
                    match (part::place_of(taken).map_err(lost)?, &self.shared.language) {
                        (Some(path), _) => attempt.share(&path, &target)?,
                        (None, Some(speaker)) if !part::is_kept(taken) => {
                            let path = language::path(taken, &**speaker)
                                .map_err(|why| unexported(&input.name, edge, why))?;
                            attempt.link(&path, &target)?;
                        }
                        (None, _) => {
                            part::put(taken, blobs, &target, false).map_err(lost)?;
                        }
                    }
                    shared.push(share::Shared::new(&input.name, target));
                    edge += 1;
                }
            }
        }
        Ok(shared)
    }

    /// Says once what an operation read and left without declaring it.
    fn tell(&self, attempt: &Attempt) {
        let mut notes = self.placement.notes.clone();
        let left = attempt.left(&self.command, &self.placement);
        if !left.is_empty() {
            let left = left.join(", ");
            notes.push(format!("it left {left}, which is no output: it is gone"));
        }
        for path in &self.command.undeclared {
            let path = path.display();
            notes.push(format!("it names {path} and does not declare it: a change of it goes unnoticed; take it in `inputs`"));
        }
        for path in self.placement.absolute.iter().filter(|_| self.placement.snapshot.is_some()) {
            let path = path.display();
            notes.push(format!("{path} is run from where it is: what lies beside it can be read, and does not count; name it relative to the operation file"));
        }
        let mut told = self.shared.told.lock();
        let new = notes.into_iter().map(|note| format!("{}: {note}", self.command.name));
        let new: Vec<_> = new.filter(|note| told.insert(note.clone())).collect();
        self.shared.notes.lock().extend(new);
    }

    /// What the templates of the command may name.
    fn names(&self, taken: &[Taken], seed: Option<u32>) -> Result<Value, AttemptError> {
        let mut params: BTreeMap<&str, Json> = BTreeMap::new();
        let mut edge = 0;
        for (name, given) in &self.command.params {
            let value = match given {
                crate::pipeline::Given::Value(value) => value.clone(),
                crate::pipeline::Given::From(_) => {
                    let lost = |reason| AttemptError::Lost { edge, reason };
                    let taken =
                        taken.get(edge).ok_or_else(|| lost("it was not handed over".to_owned()))?;
                    let value = language::value(taken, self.shared.language.as_deref())
                        .map_err(|why| unexported(name, edge, why))?;
                    edge += 1;
                    value
                }
            };
            params.insert(name, value);
        }
        let inputs: BTreeMap<&str, &str> = self
            .command
            .inputs
            .iter()
            .map(|input| (input.name.as_str(), input.to.as_str()))
            .chain(self.command.absent.iter().map(|name| (name.as_str(), "")))
            .collect();
        let outputs: BTreeMap<&str, &str> = self
            .command
            .outputs
            .iter()
            .map(|(name, output)| (name.as_str(), output.path()))
            .collect();
        // Without a seed there is no such name.
        let seed = seed.map_or(Value::UNDEFINED, Value::from);
        let tick = ticks::named(params.iter().map(|(name, value)| (*name, value)));
        let Endurance { checkpoints, artifacts, .. } = &self.command.endurance;
        let lasting = |path: &Option<String>| path.as_deref().map_or(Value::UNDEFINED, Value::from);
        Ok(minijinja::context! {
            seed,
            tick,
            run => minijinja::context! {
                checkpoints => lasting(checkpoints),
                artifacts => lasting(artifacts),
            },
            params => Value::from(Serde(params)),
            inputs => Value::from(Serde(inputs)),
            outputs => Value::from(Serde(outputs)),
        })
    }
}

fn unexported(name: &str, edge: usize, why: Unexported) -> AttemptError {
    match why {
        Unexported::Unfit(reason) => AttemptError::Unfit { name: name.to_owned(), reason },
        Unexported::Lost(reason) => AttemptError::Lost { edge, reason },
    }
}

fn failure(error: AttemptError) -> Failure {
    match error {
        AttemptError::Lost { edge, reason } => Failure::Lost { edge, loss: Loss::Bytes, reason },
        AttemptError::Cancelled => Failure::Cancelled,
        other => Failure::raised(other.to_string(), Arc::new(other)),
    }
}
