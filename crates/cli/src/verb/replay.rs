//! `thrifty replay`: a run again from an operation on.

use clap::Args;
use thrifty_engine::catalog::RunStatus;
use thrifty_pipeline::{Going, Keeping};

use crate::console::Console;
use crate::definition::{Anew, Before, Which};
use crate::failure::Failure;
use crate::host::{Host, Telling};
use crate::verb::run::go;

/// Do a run of an operation file again from an operation on; what stands before is taken as it was
#[derive(Debug, Args)]
#[command(after_help = "\
What is taken is `skipped`: it is not looked up, whatever was edited since, and nothing is stored for it.
What follows is looked up and stored under what it was given.

Examples:
  thrifty replay k3f9 --from train
  thrifty replay last --from train -p rate=0.1")]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    /// The operation that runs again, with all that follows from it; repeat for more
    #[arg(long, value_name = "OPERATION", required = true)]
    from: Vec<String>,
    #[command(flatten)]
    anew: Anew,
}

pub(crate) fn run(
    arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let before = Before::find(&arguments.which, console)?;
    if before.run.status == RunStatus::Running {
        let message = format!("run {} is still running", before.run.id);
        return Err(Failure::Usage(message));
    }
    let (request, mut choice) = before.request(arguments.anew);
    let going = Going::Replay { run: before.run.id, from: arguments.from };
    choice.keeping = Keeping { going, ..Keeping::default() };
    go(&request, &choice, Telling::Text, host, console)
}
