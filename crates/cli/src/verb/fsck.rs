//! `thrifty fsck`: checks the cache.

use clap::Args;
use thrifty_engine::fsck::{Finding, Level, check};
use thrifty_engine::units::show_size;

use crate::console::{Console, Paint};
use crate::failure::Failure;
use crate::show::count;

/// Check that everything the cache promises holds
#[derive(Debug, Args)]
#[command(after_help = "\
A repair removes entries that cannot be served, so that the next call computes them; corrupt
files are set aside, not deleted. Exit code 3 if anything is left that is wrong.

Examples:
  thrifty fsck
  thrifty fsck --full --repair")]
pub(crate) struct Arguments {
    /// Read every byte again
    #[arg(long)]
    full: bool,
    /// Remove what cannot be served
    #[arg(long)]
    repair: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { full, repair, json } = arguments;
    let level = if full { Level::Full } else { Level::Quick };
    let cache = console.cache()?;
    let report = check(cache.catalog().as_ref(), cache.blobs().as_ref(), level, repair)?;
    if json {
        console.json(&report)?;
    } else {
        for finding in &report.findings {
            let line = console.paint(Paint::Red, &finding.to_string());
            console.line(&line)?;
        }
        console.line(&format!(
            "{} and {} checked, {} read: {}",
            count(report.entries, "entry"),
            count(report.blobs, "blob"),
            show_size(report.bytes),
            if report.findings.is_empty() {
                "clean".to_owned()
            } else {
                count(report.findings.len() as u64, "finding")
            },
        ))?;
    }
    if repair && !json && !report.findings.is_empty() {
        let (removed, aside) = (count(report.removed, "entry"), count(report.quarantined, "blob"));
        console.line(&format!("repaired: {removed} removed, {aside} set aside"))?;
    }
    let stays = |finding: &Finding| {
        !repair || matches!(finding, Finding::Catalog { .. } | Finding::Unreadable { .. })
    };
    if report.findings.iter().any(stays) { Err(Failure::Findings) } else { Ok(()) }
}
