//! A run of a pipeline, from its graph to what it gives.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex};
use thrifty_engine::catalog::{NewRun, RunStatus};
use thrifty_engine::event::Listener;
use thrifty_engine::graph::{Failure, Loss};
use thrifty_engine::plan::{Forecast, Plan, Planned, plan};
use thrifty_engine::schedule::{Options, Problem};
use thrifty_engine::{Cache, Schedule, did_you_mean};

use crate::again::{Before, Going, Keeping};
use crate::answers::Answers;
use crate::body::Shared;
use crate::deliver::{Gave, Undelivered, deliver};
use crate::devices::Devices;
use crate::error::PrepareError;
use crate::graph::{self, Chosen};
use crate::language::Language;
use crate::mirror::Mirrors;
use crate::pipeline::{Command, Pipeline, Work, unspread};
use crate::replica;
use crate::resources::{Pools, Resources};
use crate::rounds::{Searched, searched};
use crate::tools::Tool;

/// How a pipeline is run.
pub struct Demand<'a> {
    /// The cache.
    pub cache: Arc<Cache>,
    /// Where commands get their directories, on the filesystem of the cache if possible.
    pub work: PathBuf,
    /// How the cache is used.
    pub chosen: Chosen,
    /// Run these operations, and what they need, and nothing else; all if empty.
    pub only: Vec<String>,
    /// How many commands run at once.
    pub workers: usize,
    /// What there is for commands that say what they need, all together.
    pub capacity: Resources,
    /// Asked a few times a second: stop?
    pub interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Told what happens.
    pub listener: Arc<Listener>,
    /// What the run is recorded with.
    pub arguments: String,
    /// What of it is kept, and what it goes on from.
    pub keeping: Keeping,
    /// The language of the functions that the pipeline calls, if it calls any.
    pub language: Option<Arc<dyn Language>>,
}

/// A run that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its id, if its history is kept.
    pub run: Option<String>,
    /// How it ended.
    pub status: RunStatus,
    /// What the pipeline gave, in the order of the file, if it succeeded.
    pub given: Vec<(String, Gave)>,
    /// The operations that failed, each with what it said.
    pub failures: Vec<(String, String)>,
    /// The searches, with what became of their trials.
    pub searches: Vec<Searched>,
    /// Sentences for the user.
    pub notes: Vec<String>,
}

impl Pipeline {
    /// Runs the pipeline: what is known already is not computed again.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] if it cannot begin. That operations failed is part of [`Ended`].
    pub fn run(&self, demand: Demand<'_>) -> Result<Ended, PrepareError> {
        let demanded = self.demanded(&demand.only)?;
        self.fits(&demand.capacity)?;
        let (shared, runs) = (self.shared(&demand), demand.work.with_file_name("runs"));
        demand.keeping.stage(&runs, &shared)?;
        // What it holds in files stays there until the run has ended.
        let mut answers = Answers::new(&demand.cache, &demand.work);
        let answered = answers.to(self)?;
        shared.notes.lock().append(&mut answers.notes);
        let nodes = graph::nodes(&answered, &demand.chosen, &shared, replica::node)?;
        if matches!(demand.keeping.going, Going::Anew) {
            self.has_tools(&demand, &demanded)?;
        }
        let before = Before::of(&answered, &demand.keeping, &runs, &demand.cache)?;
        let (host, user) = demand.cache.who();
        let new = NewRun {
            name: self.name.clone(),
            arguments: demand.arguments.clone(),
            host: host.to_owned(),
            user: user.to_owned(),
            ..NewRun::default()
        };
        let run = demand.keeping.begin(&new, &runs, &shared)?;
        let options = Options {
            workers: demand.workers,
            run: run.clone(),
            interrupted: demand.interrupted,
            listener: Arc::clone(&demand.listener),
        };
        let mut schedule = Schedule::new(Arc::clone(&demand.cache), nodes, options);
        if let Some(before) = before {
            before.hand_to(&mut schedule);
        }
        let given = self.settle(&mut schedule, &demanded, &demand, &shared);
        let mut status = schedule.status();
        let mut failures = failures(&schedule, self, demand.language.as_deref());
        let given = given.unwrap_or_else(|(output, reason)| {
            status = RunStatus::Failed;
            failures.push((format!("output {output}"), reason));
            Vec::new()
        });
        if let (RunStatus::Succeeded, Some(directory)) = (status, shared.directory()) {
            directory.forget_results();
        }
        if let Some(run) = &run {
            demand.cache.recorder().nodes(run, schedule.history());
            demand.cache.recorder().finish(run, status);
            demand.cache.recorder().flush();
        }
        let mut notes = std::mem::take(&mut *shared.notes.lock());
        notes.extend(demand.cache.take_trouble());
        let searches = searched(&schedule);
        Ok(Ended { run: run.map(|run| run.0), status, given, failures, searches, notes })
    }

    /// What a run would do. Nothing is done.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::run`].
    pub fn plan(&self, demand: &Demand<'_>) -> Result<Result<Plan, Failure>, PrepareError> {
        self.demanded(&demand.only)?;
        self.fits(&demand.capacity)?;
        let mut answers = Answers::new(&demand.cache, &demand.work);
        let answered = answers.to(self)?;
        let nodes = graph::nodes(&answered, &demand.chosen, &self.shared(demand), replica::node)?;
        Ok(plan(&demand.cache, nodes))
    }

    /// What is to be said before anything runs, a sentence for each: what its joins find now, and
    /// what of its code cannot be known.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::run`].
    pub fn foretold(&self, demand: &Demand<'_>) -> Result<Vec<String>, PrepareError> {
        let mut answers = Answers::new(&demand.cache, &demand.work);
        let answered = answers.to(self)?;
        let shared = self.shared(demand);
        let unseen = graph::unseen(&answered, &demand.chosen, &shared, replica::node)?;
        Ok(answers.notes.into_iter().chain(unseen).collect())
    }

    /// Whether the programs are there that demanded commands begin with: those of commands that are
    /// hits are not needed.
    fn has_tools(&self, demand: &Demand<'_>, demanded: &[usize]) -> Result<(), PrepareError> {
        let (mut open, mut needed) = (demanded.to_vec(), BTreeSet::new());
        while let Some(position) = open.pop() {
            if needed.insert(position) {
                open.extend(self.commands[position].upstream());
            }
        }
        let missing = missing(needed.iter().map(|position| &self.commands[*position]));
        if missing.is_empty() {
            return Ok(());
        }
        let Ok(plan) = self.plan(demand)? else { return Ok(()) };
        let runs = |command: &Command| {
            let name = graph::shown(self, command);
            let is_one = |it: &Planned| it.node.operation == name && it.forecast != Forecast::Hit;
            plan.nodes.iter().any(is_one)
        };
        let needed = missing.into_iter().find(|(command, _)| runs(command));
        needed.map_or(Ok(()), |(_, tool)| Err(tool.refusal()))
    }

    /// Whether every command can ever run.
    fn fits(&self, capacity: &Resources) -> Result<(), PrepareError> {
        fit(&self.commands, capacity)
    }

    fn shared(&self, demand: &Demand<'_>) -> Arc<Shared> {
        let (work, note) = usable(&demand.work);
        Arc::new(Shared {
            cache: Arc::clone(&demand.cache),
            language: demand.language.clone(),
            mirrors: Mirrors::new(&work),
            work,
            cancelled: AtomicBool::new(false),
            running: Mutex::default(),
            stopped: Condvar::new(),
            notes: Mutex::new(note.into_iter().collect()),
            pools: Pools::new(&demand.capacity),
            devices: Devices::new(
                demand.capacity.gpus,
                std::env::var("CUDA_VISIBLE_DEVICES").ok().as_deref(),
            ),
            told: Mutex::default(),
            directory: OnceLock::new(),
            copied: Mutex::default(),
        })
    }

    fn demanded(&self, only: &[String]) -> Result<Vec<usize>, PrepareError> {
        if only.is_empty() {
            return Ok((0..self.commands.len()).collect());
        }
        let mut demanded = Vec::new();
        for name in only {
            demanded.extend(self.named(name)?);
        }
        Ok(demanded)
    }

    /// The positions of the operation, or all its copies, of this name.
    pub(crate) fn named(&self, name: &str) -> Result<Vec<usize>, PrepareError> {
        let positions = self.positions(name);
        let is_within =
            |it: &&Command| name.strip_prefix(&it.name).is_some_and(|rest| rest.starts_with('.'));
        let around = self.commands.iter().find(is_within).filter(|_| self.names().contains(&name));
        if let Some(process) = around {
            let (name, process) = (name.to_owned(), process.name.clone());
            return Err(PrepareError::Step { name, process });
        }
        if positions.is_empty() {
            let known: BTreeSet<_> =
                self.commands.iter().map(|command| unspread(&command.name)).collect();
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            return Err(PrepareError::Unknown { name: name.to_owned(), hint });
        }
        Ok(positions)
    }

    /// Settles what is demanded and hands out what the pipeline gives. A value found lost is
    /// computed again.
    fn settle(
        &self,
        schedule: &mut Schedule<'_>,
        demanded: &[usize],
        demand: &Demand<'_>,
        shared: &Shared,
    ) -> Result<Vec<(String, Gave)>, (String, String)> {
        loop {
            schedule.settle(demanded);
            if schedule.is_stopped() {
                shared.cancel();
                return Ok(Vec::new());
            }
            if schedule.status() != RunStatus::Succeeded {
                return Ok(Vec::new());
            }
            let delivered = self
                .deliveries
                .iter()
                .filter_map(|delivered| Some((delivered, delivered.from.operation()?)))
                .filter(|(_, operation)| schedule.settled(*operation).is_some())
                .map(|(delivered, operation)| {
                    deliver(delivered, schedule, &demand.cache, demand.language.as_deref())
                        .map(|gave| (delivered.name.clone(), gave))
                        .map_err(|why| (delivered, operation, why))
                })
                .collect::<Result<Vec<_>, _>>();
            match delivered {
                Ok(delivered) => return Ok(delivered),
                Err((_, operation, Undelivered::Lost(reason)))
                    if schedule.reopen(operation, Loss::Bytes, &reason) => {}
                Err((delivered, _, why)) => return Err((delivered.name.clone(), why.to_string())),
            }
        }
    }
}

/// The commands among these, steps included, whose programs are not there.
fn missing<'a>(commands: impl Iterator<Item = &'a Command>) -> Vec<(&'a Command, &'a Tool)> {
    let mut open: Vec<&Command> = commands.collect();
    let mut missing = Vec::new();
    while let Some(command) = open.pop() {
        match &command.work {
            Work::Process(process) => open.extend(&process.steps),
            // In a container there are the programs of its image.
            Work::Run(_) if command.image.is_some() => {}
            Work::Run(_) => {
                let tool = command.tool.as_ref().filter(|tool| tool.is_missing(&command.env));
                missing.extend(tool.map(|tool| (command, tool)));
            }
            Work::Task(_) | Work::Gather(_) | Work::Parts => {}
        }
    }
    missing
}

fn fit(commands: &[Command], capacity: &Resources) -> Result<(), PrepareError> {
    commands.iter().try_for_each(|command| match (&command.work, &command.resources) {
        (Work::Process(process), _) => fit(&process.steps, capacity),
        (Work::Run(_), Some(needed)) => needed.check(&command.name, capacity),
        (Work::Run(_), None) | (Work::Task(_) | Work::Gather(_) | Work::Parts, _) => Ok(()),
    })
}

/// A directory that can be written to: this one, or else that for temporary files, with what is to
/// be said about it. Trouble with the cache is none of the commands'.
fn usable(work: &Path) -> (PathBuf, Option<String>) {
    let tried = fs::create_dir_all(work).and_then(|()| tempfile::tempdir_in(work));
    match tried {
        Ok(_) => (work.to_owned(), None),
        Err(error) => {
            let other = std::env::temp_dir();
            let note = format!(
                "cannot write to {}: {error}; commands run in {}",
                work.display(),
                other.display()
            );
            (other, Some(note))
        }
    }
}

/// What failed by itself, steps of processes included.
fn failures(
    schedule: &Schedule<'_>,
    pipeline: &Pipeline,
    language: Option<&dyn Language>,
) -> Vec<(String, String)> {
    let message = |failure: &Failure| {
        let told = language.and_then(|language| language.told(failure));
        told.unwrap_or_else(|| failure.message().to_owned())
    };
    (0..schedule.len())
        .filter_map(|number| match schedule.settled(number)? {
            Err(Problem::Failed(failure)) => {
                let name = schedule.node(number).operation.name();
                let short = name.strip_prefix(&pipeline.name).and_then(|it| it.strip_prefix(':'));
                Some((short.unwrap_or(name).to_owned(), message(failure)))
            }
            _ => None,
        })
        .collect()
}
