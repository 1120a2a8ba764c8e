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
Levels:
  catalog  tables, indexes, seals and records of the catalog alone: seconds
  quick    also that every blob is there and has its length
  full     also every byte of every blob, and every key and digest made again

A repair removes entries that cannot be served, so that the next call computes them; corrupt
files are set aside, not deleted. Exit code 3 if anything is left that is wrong.

Examples:
  thrifty fsck
  thrifty fsck --full --repair")]
pub(crate) struct Arguments {
    /// How much to check: catalog, quick or full
    #[arg(long, value_name = "LEVEL", default_value = "quick", value_parser = level)]
    level: Level,
    /// The same as --level full
    #[arg(long, conflicts_with = "level")]
    full: bool,
    /// Remove what cannot be served
    #[arg(long)]
    repair: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, console: &mut Console<'_>) -> Result<(), Failure> {
    let Arguments { level, full, repair, json } = arguments;
    let level = if full { Level::Full } else { level };
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
    if !json && report.orphans + report.leftovers > 0 {
        console.line(&format!(
            "{} that nothing refers to ({}) and {}: `thrifty gc` removes them in time",
            count(report.orphans, "blob"),
            show_size(report.orphan_bytes),
            count(report.leftovers, "leftover"),
        ))?;
    }
    if repair && !json && !report.findings.is_empty() {
        let (removed, aside) = (count(report.removed, "entry"), count(report.quarantined, "blob"));
        console.line(&format!("repaired: {removed} removed, {aside} set aside"))?;
    }
    let stays = |finding: &Finding| !repair || finding.outlasts_repair();
    if report.findings.iter().any(stays) { Err(Failure::Findings) } else { Ok(()) }
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "catalog" => Ok(Level::Catalog),
        "quick" => Ok(Level::Quick),
        "full" => Ok(Level::Full),
        _ => Err("it is none of catalog, quick, full".to_owned()),
    }
}
