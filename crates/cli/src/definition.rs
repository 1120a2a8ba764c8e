//! What a run of an operation file was asked to do, as its directory keeps it, and runs that go on
//! from it.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use thrifty_engine::catalog::Run;
use thrifty_engine::{Mode, Seed};
use thrifty_pipeline::RunDirectory;

use crate::choose;
use crate::console::Console;
use crate::failure::Failure;
use crate::host::RunRequest;
use crate::operation_file::Choice;
use crate::room::Room;

/// What a run was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// The operation file, from the root.
    file: PathBuf,
    #[serde(default)]
    params: Vec<(String, String)>,
    #[serde(default)]
    presets: Vec<String>,
    #[serde(default)]
    set: Vec<(String, String)>,
    #[serde(default)]
    only: Vec<String>,
    #[serde(default)]
    seed: Option<u64>,
    #[serde(default)]
    no_cache: bool,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    fail_fast: Option<bool>,
    /// The tick it was for, if that was said.
    #[serde(default)]
    tick: Option<String>,
}

/// Which run is done again, and with how much of the machine.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The beginning of a run's id; `last` is the newest run
    #[arg(value_name = "RUN", default_value = "last")]
    run: String,
    /// How many operations run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    workers: Option<u16>,
    #[command(flatten)]
    room: Room,
}

/// What is not as the run had it.
#[derive(Debug, Default, Args)]
pub(crate) struct Anew {
    /// A parameter in place of the one that the run had; repeat for more
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
}

/// An earlier run, with what it was asked to do.
pub(crate) struct Before {
    pub(crate) run: Run,
    pub(crate) directory: RunDirectory,
    definition: Definition,
    workers: Option<usize>,
    room: Room,
}

impl Definition {
    /// What this request asks for.
    pub(crate) fn of(request: &RunRequest, choice: &Choice, console: &Console<'_>) -> Self {
        let file = console.directory.join(&request.target);
        Self {
            file: file.canonicalize().unwrap_or(file),
            params: request.parameters.clone(),
            presets: choice.presets.clone(),
            set: choice.fields.clone(),
            only: choice.only.clone(),
            seed: request.seed.map(Seed::number),
            no_cache: request.mode == Some(Mode::Off),
            read_only: request.mode == Some(Mode::ReadOnly),
            fail_fast: request.fail_fast,
            tick: choice.tick.map(|tick| tick.to_string()),
        }
    }

    /// As the directory of the run keeps it.
    pub(crate) fn json(&self) -> Json {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Before {
    /// The earlier run that the user means.
    pub(crate) fn find(which: &Which, console: &Console<'_>) -> Result<Self, Failure> {
        let cache = console.cache()?;
        let run = choose::run(cache.catalog().as_ref(), cache.scope(), &which.run)?;
        let runs = console.settings()?.home.value.join("runs");
        let directory = RunDirectory::of(&runs, &run.id.0);
        let kept = directory.definition();
        match kept.and_then(|kept| serde_json::from_value(kept).ok()) {
            Some(definition) => {
                let workers = which.workers.map(usize::from);
                Ok(Self { run, directory, definition, workers, room: which.room })
            }
            None => Err(Failure::Usage(format!(
                "what run {} of {} was asked to do is not kept: it is no run of an operation file, \
                 or its directory is gone; a workflow in Python goes on when it is run again, as \
                 what succeeded is a hit",
                run.id, run.name
            ))),
        }
    }

    /// The same request, but for what is set anew.
    pub(crate) fn request(&self, anew: Anew) -> (RunRequest, Choice) {
        let Definition {
            file,
            params,
            presets,
            set,
            only,
            seed,
            no_cache,
            read_only,
            fail_fast,
            tick,
        } = self.definition.clone();
        let request = RunRequest {
            target: file.display().to_string(),
            // The last one counts.
            parameters: params.into_iter().chain(anew.parameters).collect(),
            mode: match (no_cache, read_only) {
                (true, _) => Some(Mode::Off),
                (_, true) => Some(Mode::ReadOnly),
                (false, false) => None,
            },
            seed: seed.and_then(Seed::new),
            fail_fast,
            workers: self.workers,
            ..RunRequest::default()
        };
        let tick = tick.and_then(|tick| tick.parse().ok());
        let choice =
            Choice { only, presets, fields: set, tick, room: self.room, ..Choice::default() };
        (request, choice)
    }
}

/// Reads `name=value`.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write name=value, such as lr=0.1".to_owned()),
    }
}
