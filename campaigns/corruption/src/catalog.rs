//! Every bit of a catalog's file, and of the words beside it.

use std::fs;
use std::path::Path;

use thrifty_engine::fsck::{Finding, salvage};

use crate::stage::{CATALOG, Obeyed, Refused, Stage, directory};
use crate::tally::{Tally, share};
use crate::{Broken, Sample};

/// Bytes of a page.
const PAGE: usize = 4096;

/// One of so many damages is repaired as well, and one meets an invalidation: a prime, so that each
/// bit of a byte has its turn.
const REPAIRED: usize = 17;

/// Flips every bit of the catalog's file, one after the other.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn bits(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let sound = stage.file(Path::new(CATALOG));
    share(sound.len() * 8, sample, |bits| {
        let home = directory()?;
        stage.make_in(home.path())?;
        let mut tally = Tally::default();
        for bit in bits {
            let mut damaged = sound.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let name = || format!("catalog: bit {} of byte {}", bit % 8, bit / 8);
            tally.one(name, |tally| judge(stage, home.path(), &damaged, tally, &name()))?;
            if (bit / sample.every).is_multiple_of(REPAIRED) {
                tally.one(name, |tally| repair(stage, home.path(), &damaged, tally, &name()))?;
                tally
                    .one(name, |tally| invalidate(stage, home.path(), &damaged, tally, &name()))?;
            }
        }
        Ok(tally)
    })
}

/// Cuts the catalog's file off at every length, lengthens it, and writes zeros and copies over its
/// pages.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn pages(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let sound = stage.file(Path::new(CATALOG));
    let count = sound.len() / PAGE;
    share(sound.len() + 2 + count * count, sample, |numbers| {
        let home = directory()?;
        stage.make_in(home.path())?;
        let mut tally = Tally::default();
        for number in numbers {
            let (what, damaged) = paged(sound, number);
            let name = || format!("catalog: {what}");
            tally.one(name, |tally| judge(stage, home.path(), &damaged, tally, &name()))?;
            if (number / sample.every).is_multiple_of(REPAIRED) {
                tally.one(name, |tally| repair(stage, home.path(), &damaged, tally, &name()))?;
                tally
                    .one(name, |tally| invalidate(stage, home.path(), &damaged, tally, &name()))?;
            }
        }
        Ok(tally)
    })
}

/// The n-th damage to whole pages, and what it is.
fn paged(sound: &[u8], number: usize) -> (String, Vec<u8>) {
    if number < sound.len() {
        return (format!("cut at {number}"), sound[..number].to_vec());
    }
    let mut damaged = sound.to_vec();
    let what = match number - sound.len() {
        0 => {
            damaged.push(0);
            "a byte more".to_owned()
        }
        1 => {
            damaged.extend([0; PAGE]);
            "a page more".to_owned()
        }
        pair => {
            let count = sound.len() / PAGE;
            let (at, other) = ((pair - 2) / count, (pair - 2) % count);
            if at == other {
                damaged[at * PAGE..][..PAGE].fill(0);
                format!("page {at} zeroed")
            } else {
                damaged.copy_within(other * PAGE..(other + 1) * PAGE, at * PAGE);
                format!("page {other} over page {at}")
            }
        }
    };
    (what, damaged)
}

/// Flips every bit of the words beside the catalog, and cuts them off.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn words(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let file = Path::new("catalog.changes");
    let sound = stage.file(file);
    let catalog = stage.file(Path::new(CATALOG));
    share(sound.len() * 9, sample, |numbers| {
        let home = directory()?;
        stage.make_in(home.path())?;
        let mut tally = Tally::default();
        for number in numbers {
            let (at, bit) = (number / 9, number % 9);
            let mut damaged = sound.to_vec();
            if bit == 8 {
                damaged.truncate(at)
            } else {
                damaged[at] ^= 1 << bit
            }
            let name = || format!("words: byte {at}, {bit}");
            tally.one(name, |tally| {
                stage.put_catalog(home.path(), catalog)?;
                fs::write(home.path().join(file), &damaged)?;
                if !stage.read(home.path(), tally, &name()) {
                    tally.violate(format!("{}: something is missing", name()));
                }
                Ok(())
            })?;
        }
        Ok(tally)
    })
}

/// A reader comes, then a check comes to the same damage.
fn judge(
    stage: &Stage,
    home: &Path,
    damaged: &[u8],
    tally: &mut Tally,
    damage: &str,
) -> Result<(), Broken> {
    stage.put_catalog(home, damaged)?;
    let whole = stage.read(home, tally, damage);
    stage.put_catalog(home, damaged)?;
    let same = stage.lists_the_same(home);
    stage.put_catalog(home, damaged)?;
    let report = Stage::check(home, false);
    let found = report.as_ref().is_none_or(|report| !report.findings.is_empty());
    match (whole, found) {
        (true, false) => tally.count("nothing to see"),
        (true, true) => tally.count("found before it was met"),
        (false, true) => tally.count("met and found"),
        (false, false) => tally.violate(format!("{damage}: a reader is kept from what is sound")),
    }
    if same != Some(true) && !found {
        tally.violate(format!("{damage}: an entry is not what was committed, and is not found"));
    }
    Ok(())
}

/// Somebody invalidates. What is searched for by an index that is damaged may not be found: then the
/// check says so.
fn invalidate(
    stage: &Stage,
    home: &Path,
    damaged: &[u8],
    tally: &mut Tally,
    damage: &str,
) -> Result<(), Broken> {
    stage.put_catalog(home, damaged)?;
    if stage.invalidate(home, tally) == Obeyed::Not {
        stage.put_catalog(home, damaged)?;
        match Stage::check(home, false) {
            Some(report) if report.findings.is_empty() => {
                tally.violate(format!("{damage}: an invalidation was not obeyed"));
            }
            _ => tally.count("invalidation not obeyed and damage found"),
        }
    }
    Ok(())
}

/// After a repair, whoever comes gets what is right or nothing, and a check finds nothing more.
fn repair(
    stage: &Stage,
    home: &Path,
    damaged: &[u8],
    tally: &mut Tally,
    damage: &str,
) -> Result<(), Broken> {
    stage.put_catalog(home, damaged)?;
    let lasts = match Stage::try_check(home, true) {
        Ok(report) => report.findings.iter().any(Finding::outlasts_repair),
        Err(Refused::Damaged) => true,
        // Of another version, by its header: nothing is changed.
        Err(Refused::Otherwise) => return Ok(()),
    };
    if lasts {
        let saved = salvage(home).map_err(|error| format!("{damage}: {error}"))?;
        fs::remove_file(saved.aside)?;
        let lost = usize::try_from(saved.entries)? < stage.entries.len();
        tally.count(if lost { "saved in part" } else { "saved whole" });
    } else {
        tally.count("repaired in place");
    }
    match Stage::try_check(home, false) {
        Ok(report) if report.findings.is_empty() => {}
        left => tally.violate(format!("{damage}: left after its repair: {left:?}")),
    }
    stage.read(home, tally, damage);
    Ok(())
}
