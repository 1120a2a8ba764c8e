//! `thrifty recover`: a new run, with what succeeded in a failed one.

use clap::Args;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Going, Keeping};

use crate::console::Console;
use crate::definition::{Anew, Before, Which};
use crate::failure::Failure;
use crate::host::{Host, Telling};
use crate::verb::run::go;

/// Do a failed run of an operation file again, taking what succeeded in it
#[derive(Debug, Args)]
#[command(after_help = "\
What succeeded is taken also where the cache is off, as far as nothing it was made of was edited since.

Examples:
  thrifty recover               the newest run
  thrifty recover k3f9 -p rate=0.1")]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    anew: Anew,
}

pub(crate) fn run(
    arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let before = Before::find(&arguments.which, console)?;
    let id = &before.run.id;
    if matches!(before.run.status, RunStatus::Running | RunStatus::Succeeded) {
        let message = format!(
            "run {id} is {} and has nothing to recover from; `thrifty restart {id}` does it anew",
            before.run.status.word()
        );
        return Err(Failure::Usage(message));
    }
    let (request, mut choice) = before.request(arguments.anew);
    choice.keeping = Keeping { going: Going::Recover(before.run.id), ..Keeping::default() };
    go(&request, &choice, Telling::Text, host, console)
}
