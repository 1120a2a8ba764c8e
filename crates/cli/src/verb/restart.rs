//! `thrifty restart`: a run anew.

use std::path::PathBuf;

use clap::Args;
use thrifty_pipeline::{Copies, Keeping};

use crate::console::Console;
use crate::definition::{Anew, Before, Which};
use crate::failure::Failure;
use crate::host::{Host, Telling};
use crate::verb::run::go;

/// Do a run of an operation file anew, from its beginning
#[derive(Debug, Args)]
#[command(after_help = "\
The cache is off for it, unless the file says `cache: {disable: false}`. What an operation makes with copied
artifacts counts as made with them, and answers no run without.

Examples:
  thrifty restart k3f9 -p rate=0.1
  thrifty restart last --copy                   with all artifacts of that run
  thrifty restart k3f9 --copy-dir train/logs --copy-file train/best.pt")]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    anew: Anew,
    /// Begin with all artifacts of that run
    #[arg(long, conflicts_with_all = ["directories", "files"])]
    copy: bool,
    /// Begin with this directory of its artifacts, as operation/path; repeat for more
    #[arg(long = "copy-dir", value_name = "DIR")]
    directories: Vec<String>,
    /// Begin with this file of its artifacts, as operation/path; repeat for more
    #[arg(long = "copy-file", value_name = "FILE")]
    files: Vec<String>,
    /// Where the run has its directory, if not with the cache
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

pub(crate) fn run(
    arguments: Arguments,
    host: &dyn Host,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let Arguments { which, anew, copy, directories, files, run_dir } = arguments;
    let before = Before::find(&which, console)?;
    let (request, mut choice) = before.request(anew);
    choice.does_again = true;
    let copies = copy || !directories.is_empty() || !files.is_empty();
    let from = before.directory.all_artifacts();
    choice.keeping = Keeping {
        elsewhere: run_dir.map(|directory| console.directory.join(directory)),
        copies: copies.then_some(Copies { from, directories, files }),
        ..Keeping::default()
    };
    go(&request, &choice, Telling::Text, host, console)
}
