//! `thrifty fsck`: checks the cache.

use clap::Args;
use thrifty_engine::OpenError;
use thrifty_engine::catalog::CatalogError;
use thrifty_engine::fsck::{Finding, Level, Report, Salvaged, check, salvage};
use thrifty_engine::store::disk::Disk;
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

Without --repair nothing is changed. A repair removes entries that cannot be served, so that the next
call computes them; corrupt files are set aside, not deleted. A damaged catalog is replaced by what is sound in it, and kept
beside it: for that alone nobody else may have the cache open. Exit code 3 if anything is left that is wrong.

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
    let report = examine(console, level, repair)?;
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
    if !json && report.orphans + report.unbacked + report.leftovers > 0 {
        console.line(&format!(
            "needed by nothing: {} ({}), {} that are gone, {}; `thrifty gc` removes them in time",
            count(report.orphans, "blob"),
            show_size(report.orphan_bytes),
            report.unbacked,
            count(report.leftovers, "leftover"),
        ))?;
    }
    if repair && !json && !report.findings.is_empty() {
        let (removed, aside) = (count(report.removed, "entry"), count(report.quarantined, "blob"));
        console.line(&format!("repaired: {removed} removed, {aside} set aside"))?;
    }
    if let Some(Salvaged { entries, lost, aside }) = report.salvaged.as_ref().filter(|_| !json) {
        console.line(&format!(
            "saved into a new catalog: {}, {lost} lost; the damaged one is kept as {}",
            count(*entries, "entry"),
            aside.display(),
        ))?;
    }
    let is_replaced =
        |finding: &Finding| report.salvaged.is_some() && matches!(finding, Finding::Catalog { .. });
    let stays = |finding: &Finding| !repair || finding.outlasts_repair() && !is_replaced(finding);
    if report.findings.iter().any(stays) { Err(Failure::Findings) } else { Ok(()) }
}

/// Checks the cache of the configuration. A damaged catalog is replaced by what is sound in it,
/// and that is checked anew.
fn examine(console: &Console<'_>, level: Level, repair: bool) -> Result<Report, Failure> {
    let settings = console.settings()?;
    let look = || match console.open(settings.clone()) {
        Err(OpenError::Catalog(error @ CatalogError::Damaged { .. })) => {
            let findings = vec![Finding::Catalog { problem: error.to_string() }];
            Ok(Report { findings, ..Report::default() })
        }
        cache => {
            let cache = cache?;
            // As they are: the blobs of a cache set aside what turns out corrupt when it is read.
            let blobs = Disk::open(&settings.home.value).map_err(OpenError::from)?;
            Ok::<_, Failure>(check(cache.catalog().as_ref(), &blobs, level, repair)?)
        }
    };
    let first = look()?;
    let is_damage = |finding: &&Finding| matches!(finding, Finding::Catalog { .. });
    let damage: Vec<_> = first.findings.iter().filter(is_damage).cloned().collect();
    if !repair || damage.is_empty() {
        return Ok(first);
    }
    let salvaged = salvage(&settings.home.value)?;
    let mut report = look()?;
    report.findings.splice(..0, damage);
    report.salvaged = Some(salvaged);
    Ok(report)
}

fn level(text: &str) -> Result<Level, String> {
    match text {
        "catalog" => Ok(Level::Catalog),
        "quick" => Ok(Level::Quick),
        "full" => Ok(Level::Full),
        _ => Err("it is none of catalog, quick, full".to_owned()),
    }
}
