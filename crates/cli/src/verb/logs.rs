//! `thrifty logs`: what a command wrote.

use clap::Args;
use thrifty_engine::catalog::Selector;
use thrifty_pipeline::log_of;

use crate::choose;
use crate::console::Console;
use crate::failure::Failure;
use crate::told;

/// Show what a command of an operation file wrote, also where it was a hit
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  thrifty logs train            of the newest run
  thrifty logs '#4'             of one trial of a search, by its number
  thrifty logs train k3f9       of a run, by the beginning of its id")]
pub(crate) struct Arguments {
    /// The operation, by name or by its number in the run
    #[arg(value_name = "OPERATION")]
    operation: String,
    /// The beginning of a run's id; `last` is the newest run
    #[arg(value_name = "RUN", default_value = "last")]
    run: String,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { operation, run } = arguments;
    let cache = console.cache()?;
    let catalog = cache.catalog().as_ref();
    let (run, nodes) = choose::run_with(catalog, cache.scope(), &run, &operation, console)?;
    let node = choose::stored(catalog, &run, &nodes, &operation)?;
    let ids = Some(node.entry.into_iter().collect());
    let entries = catalog.entries(Some(&run.scope), &Selector { ids, ..Selector::default() }, 1)?;
    let Some(entry) = entries.first() else {
        let message = format!("what {} gave in run {} is stored no longer", node.operation, run.id);
        return Err(Failure::Usage(message));
    };
    match log_of(&entry.output, &**cache.blobs()) {
        Ok(Some(log)) => {
            if node.outcome != "computed" {
                let origin = told::origin(entry, catalog.now()?);
                console.note(&format!("{}: {}, {origin}", node.operation, node.outcome))?;
            }
            // As `cat` would: colours and progress bars of the user's own commands.
            Ok(console.out.write_all(&log)?)
        }
        Ok(None) => {
            let message = format!("{} is no command: it has no log", node.operation);
            Err(Failure::Usage(message))
        }
        Err(reason) => Err(Failure::Cache(format!("the log of {}: {reason}", node.operation))),
    }
}
