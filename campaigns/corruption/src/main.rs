//! `corrupt [EVERY [PART]]`: all of it, as `make corruption` runs it, or one damage in so many, and
//! the parts with this in their names. Prints what came out, and fails if something did that must
//! never.

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Instant;

use thrifty_corruption::stage::Stage;
use thrifty_corruption::tally::Tally;
use thrifty_corruption::{Broken, Sample, blobs, catalog, decoders, rows};

/// Random flips of the large blob.
const FLIPS: usize = 100_000;

fn main() -> Result<ExitCode, Broken> {
    let every = std::env::args().nth(1).map_or(Ok(1), |every| every.parse())?;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let sample = Sample { every, threads };
    let stage = Stage::new()?;
    let mut violated = 0;
    let mut tell = |name: &str, began: Instant, tally: &Tally| {
        println!("{name}: {tally}; {:.0?}", began.elapsed());
        violated += tally.violated;
    };
    let only = std::env::args().nth(2).unwrap_or_default();
    type Part = (&'static str, fn(&Stage, Sample) -> Result<Tally, Broken>);
    let parts: [Part; 9] = [
        ("decoders", decoders::bytes),
        ("words beside the catalog", catalog::words),
        ("blobs", blobs::bytes),
        ("names of blobs", blobs::names),
        ("a large blob", |_, sample| blobs::large(FLIPS, sample)),
        ("swapped rows", rows::swaps),
        ("values in rows", rows::values),
        ("pages of the catalog", catalog::pages),
        ("bits of the catalog", catalog::bits),
    ];
    if !parts.iter().any(|(name, _)| name.contains(&only)) {
        return Err(format!("no part has `{only}` in its name").into());
    }
    for (name, part) in parts.into_iter().filter(|(name, _)| name.contains(&only)) {
        let began = Instant::now();
        tell(name, began, &part(&stage, sample)?);
    }
    println!("{violated} violations");
    Ok(if violated == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
