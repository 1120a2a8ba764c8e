//! `thrifty schedule`: runs an operation file at the ticks of its schedule.

mod emit;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use thrifty_engine::event::Listener;
use thrifty_pipeline::{Language, Tick, Ticks};

use crate::console::Console;
use crate::definition::parameter;
use crate::failure::Failure;
use crate::host::{
    CheckReport, CheckRequest, Host, HostError, PlanReport, RunReport, RunRequest, Telling,
};
use crate::operation_file::{self, Choice};
use crate::room::Room;
use crate::scheduler::{self, Clock, Moment, Told, Went};
use crate::verb::run;

/// How often a scheduler that waits looks at the clock, which may jump, and for an interrupt.
const LOOK: Duration = Duration::from_millis(200);

/// Run an operation file at the ticks of its schedule, until it is interrupted
#[derive(Debug, Args)]
#[command(after_help = "\
The first Ctrl-C ends the scheduler when the run in progress is done, the second cancels that run;
SIGTERM cancels it at once.

Examples:
  thrifty schedule nightly.yaml
  thrifty schedule nightly.yaml --ticks 5            when it will run
  thrifty schedule nightly.yaml --once               the last tick that was due, now
  thrifty schedule nightly.yaml --emit systemd       for another scheduler, which calls --once")]
pub(crate) struct Arguments {
    /// The operation file, which has a `schedule`
    #[arg(value_name = "FILE")]
    file: String,
    /// A parameter; repeat for more
    #[arg(short, long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,
    /// A preset of the file; repeat for more
    #[arg(long = "preset", value_name = "NAME")]
    presets: Vec<String>,
    /// How many operations run at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    workers: Option<u16>,
    #[command(flatten)]
    room: Room,
    /// Only say when the next N runs are
    #[arg(long, value_name = "N", conflicts_with_all = ["once", "emit"])]
    ticks: Option<usize>,
    /// Run the last tick that was due, and end
    #[arg(long, conflicts_with = "emit")]
    once: bool,
    /// Only write what has another scheduler run it
    #[arg(long, value_name = "FOR")]
    emit: Option<For>,
    /// With --emit kubernetes: the image of the container that has thrifty and the file
    #[arg(long, value_name = "NAME", requires = "emit")]
    image: Option<String>,
}

/// Other schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum For {
    /// A line of a crontab.
    Cron,
    /// A timer and a service.
    Systemd,
    /// A `CronJob`.
    Kubernetes,
}

pub(crate) fn run(
    arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let (request, choice) = (request(&arguments), choice(&arguments, None));
    let (pipeline, ticks) = operation_file::scheduled(&request, &choice, console)?;
    if let Some(count) = arguments.ticks {
        return list(&ticks, count, console);
    }
    if let Some(target) = arguments.emit {
        return console.line(&emit::write(&arguments, target, &ticks, console)?);
    }
    let host = Patient { host, asked: AtomicU32::new(0) };
    if arguments.once {
        host.asked.store(1, Ordering::Relaxed);
        return match ticks.due(Timestamp::now()) {
            Some(tick) => went(run_tick(&arguments, &tick, &host, console)?),
            None => Err(Failure::Usage("no tick of the schedule was due yet".to_owned())),
        };
    }
    if pipeline.needs_language() {
        console.note(IMPORTED)?;
    }
    host.heed_signals();
    let clock = Wall { host: &host };
    let shared = std::cell::RefCell::new(console);
    let mut tell = |told: &Told| shared.borrow_mut().note(&sentence(told));
    let mut run = |tick: &Tick| run_tick(&arguments, tick, &host, *shared.borrow_mut());
    went(scheduler::follow(&ticks, &clock, &mut tell, &mut run)?)
}

/// What is told of a file with functions. Each run has the key of the code that it ran.
const IMPORTED: &str = "modules of its functions stay as they are when they are first imported: start anew after an edit of one";

const fn went(went: Went) -> Result<(), Failure> {
    match went {
        Went::Well => Ok(()),
        Went::Wrong => Err(Failure::Operation),
    }
}

fn list(ticks: &Ticks, count: usize, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut at = Timestamp::now();
    for number in 0..count {
        let is_over = ticks.most.is_some_and(|most| number as u64 >= most);
        let Some(tick) = ticks.after(at).filter(|tick| {
            !is_over && ticks.number(tick).is_none_or(|it| ticks.most.is_none_or(|most| it <= most))
        }) else {
            break;
        };
        at = tick.timestamp();
        console.line(&tick.to_string())?;
    }
    Ok(())
}

fn sentence(told: &Told) -> String {
    match told {
        Told::Next(tick) => format!("next run: {tick}"),
        Told::Missed(count, tick) => {
            format!("{count} ticks were missed; {tick} runs for all of them")
        }
        Told::Skipped(count) => format!("{count} ticks passed during the run, and are left out"),
        Told::Over => "the schedule has no more ticks".to_owned(),
    }
}

fn request(arguments: &Arguments) -> RunRequest {
    RunRequest {
        target: arguments.file.clone(),
        parameters: arguments.parameters.clone(),
        workers: arguments.workers.map(usize::from),
        ..RunRequest::default()
    }
}

fn choice(arguments: &Arguments, tick: Option<&Tick>) -> Choice {
    let Arguments { presets, room, .. } = arguments;
    let tick = tick.map(Tick::timestamp);
    Choice { presets: presets.clone(), room: *room, tick, ..Choice::default() }
}

/// Runs the file for a tick. It is read anew, so that what was changed meanwhile counts; what is
/// wrong with it then fails this run alone.
fn run_tick(
    arguments: &Arguments,
    tick: &Tick,
    host: &Patient<'_>,
    console: &mut Console<'_>,
) -> Result<Went, Failure> {
    console.note(&format!("tick {tick}"))?;
    let (request, choice) = (request(arguments), choice(arguments, Some(tick)));
    let told = run::go(&request, &choice, Telling::Text, host, console);
    match told {
        Ok(()) => Ok(Went::Well),
        Err(Failure::Interrupted) => Err(Failure::Interrupted),
        Err(failure) => {
            if let Some(message) = failure.message() {
                console.note(&message)?;
            }
            Ok(Went::Wrong)
        }
    }
}

/// A host whose first interrupt asks for the end of the scheduler, and only the second for that of
/// the run. The system says only once that all is to end.
struct Patient<'a> {
    host: &'a dyn Host,
    asked: AtomicU32,
}

impl Patient<'_> {
    /// How often the user has asked for an end so far.
    fn asked(&self) -> u32 {
        let asked = u32::from(self.host.is_interrupted());
        self.asked.fetch_add(asked, Ordering::Relaxed) + asked
    }
}

impl Host for Patient<'_> {
    fn run_workflow(
        &self,
        request: &RunRequest,
        listener: Arc<Listener>,
    ) -> Result<RunReport, HostError> {
        self.host.run_workflow(request, listener)
    }

    fn plan_workflow(&self, request: &RunRequest) -> Result<PlanReport, HostError> {
        self.host.plan_workflow(request)
    }

    fn check_workflow(
        &self,
        request: &CheckRequest,
        listener: Arc<Listener>,
    ) -> Result<CheckReport, HostError> {
        self.host.check_workflow(request, listener)
    }

    fn language(&self) -> Result<Arc<dyn Language>, HostError> {
        self.host.language()
    }

    fn is_interrupted(&self) -> bool {
        self.asked() > 1 || self.ended_by().is_some()
    }

    fn heed_signals(&self) {
        self.host.heed_signals();
    }

    fn ended_by(&self) -> Option<u8> {
        self.host.ended_by()
    }
}

/// The clock on the wall.
struct Wall<'a> {
    host: &'a Patient<'a>,
}

impl Clock for Wall<'_> {
    fn now(&self) -> Moment {
        Timestamp::now()
    }

    fn wait(&self, until: Moment) -> bool {
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        if !left.is_zero() {
            std::thread::sleep(left.min(LOOK));
        }
        self.host.asked() == 0
    }
}

/// The file, from the root.
fn absolute(file: &str, console: &Console<'_>) -> PathBuf {
    let path = console.directory.join(file);
    path.canonicalize().unwrap_or(path)
}
