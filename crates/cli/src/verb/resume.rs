//! `thrifty resume`: a run goes on.

use clap::Args;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Going, Keeping};

use crate::console::Console;
use crate::definition::{Anew, Before, Which};
use crate::failure::Failure;
use crate::host::{Host, Telling};
use crate::verb::run::go;

/// Have a run of an operation file go on that failed, was interrupted or was killed
#[derive(Debug, Args)]
#[command(after_help = "\
It is the same run: what it finished stays, as far as nothing it was made of was edited since; the rest
runs, with the checkpoints it left. The cache is off for it, unless the file says `cache: {disable: false}`.

Examples:
  thrifty resume                the newest run
  thrifty resume k3f9           a run, by the beginning of its id")]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
}

pub(crate) fn run(
    arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let before = Before::find(&arguments.which, console)?;
    let id = &before.run.id;
    match before.run.status {
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Lost => {}
        RunStatus::Running => {
            let message = format!("run {id} is still running; wait for it, or interrupt it first");
            return Err(Failure::Usage(message));
        }
        RunStatus::Succeeded => {
            let message = format!(
                "run {id} has succeeded: there is nothing left to do; `thrifty restart {id}` does it anew"
            );
            return Err(Failure::Usage(message));
        }
    }
    let (request, mut choice) = before.request(Anew::default());
    choice.does_again = true;
    choice.keeping = Keeping { going: Going::Resume(Box::new(before.run)), ..Keeping::default() };
    go(&request, &choice, Telling::Text, host, console)
}
