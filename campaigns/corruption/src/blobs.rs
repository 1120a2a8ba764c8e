//! Blobs: every bit, every length, zeros, swaps, and names that changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thrifty_engine::fsck::Finding;
use thrifty_engine::store::disk::Disk;
use thrifty_engine::store::verified::{MemoryTrust, Verified};
use thrifty_engine::store::{BlobName, Blobs, GetError};

use crate::stage::{Expected, Stage, directory, noise};
use crate::tally::{Tally, share};
use crate::{Broken, Sample};

/// Damages every blob: flips each bit, cuts it off at each length, lengthens it, zeroes it. The
/// store must say that it is corrupt; then the value is a miss, and a check names this blob alone.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn bytes(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let mut total = Tally::default();
    for it in stage.expected.iter().filter(|it| !it.blobs.is_empty()) {
        let (name, sound) = &it.blobs[0];
        let damages = sound.len() * 9 + 3;
        total.add(share(damages, sample, |numbers| {
            let home = directory()?;
            stage.make_in(home.path())?;
            let path = path_of(home.path(), name);
            let blobs = Verified::new(Disk::open(home.path())?, Arc::new(MemoryTrust::default()));
            let mut tally = Tally::default();
            for number in numbers {
                let damaged = damage(sound, number);
                let what = || format!("blob of {} bytes: damage {number}", sound.len());
                if damaged == *sound {
                    continue;
                }
                tally.one(what, |tally| {
                    overwrite(&path, &damaged)?;
                    if number % 9 == 0 {
                        named_alone(stage, home.path(), it, tally, &what());
                        // Whoever reads a corrupt blob sets it aside, a check included.
                        overwrite(&path, &damaged)?;
                    }
                    refused(&blobs, name, tally, &what());
                    Ok(())
                })?;
            }
            Ok(tally)
        })?);
    }
    Ok(total)
}

/// Swaps any two blobs, and changes each letter of their names.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn names(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let files: Vec<_> = stage.blob_files().collect();
    let letters = files.first().and_then(|file| file.file_name()).map_or(0, |name| name.len());
    let swaps = files.len() * files.len();
    share(swaps + files.len() * letters, sample, |numbers| {
        let home = directory()?;
        let mut tally = Tally::default();
        for number in numbers {
            let what = || format!("blob names: {number}");
            let damaged = if number < swaps {
                let (one, other) = (files[number / files.len()], files[number % files.len()]);
                if one >= other {
                    continue;
                }
                stage.make_in(home.path())?;
                overwrite(&home.path().join(one), stage.file(other))?;
                overwrite(&home.path().join(other), stage.file(one))?;
                2
            } else {
                let (file, letter) = ((number - swaps) / letters, (number - swaps) % letters);
                stage.make_in(home.path())?;
                rename(&home.path().join(files[file]), letter)?;
                1
            };
            tally.one(what, |tally| {
                let found = Stage::check(home.path(), false).map(|report| report.findings);
                let found = found.unwrap_or_default();
                let is_blob =
                    |it: &Finding| matches!(it, Finding::Corrupt { .. } | Finding::Missing { .. });
                if found.len() != damaged || !found.iter().all(is_blob) {
                    tally.violate(format!("{}: found {found:?}", what()));
                }
                if stage.read(home.path(), tally, &what()) {
                    tally.violate(format!("{}: everything was there", what()));
                }
                let left = Stage::check(home.path(), false).map(|report| report.findings);
                if left != Some(Vec::new()) {
                    tally.violate(format!("{}: readers left {left:?}", what()));
                }
                Ok(())
            })?;
        }
        Ok(tally)
    })
}

/// Flips random bits of a large blob.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn large(flips: usize, sample: Sample) -> Result<Tally, Broken> {
    let sound = noise(1 << 20, 9);
    share(flips, sample, |numbers| {
        let home = directory()?;
        let blobs = Verified::new(Disk::open(home.path())?, Arc::new(MemoryTrust::default()));
        let name = blobs.put(&[&sound])?;
        let path = path_of(home.path(), &name);
        let mut tally = Tally::default();
        for _ in numbers {
            let bit = fastrand::usize(..sound.len() * 8);
            let what = || format!("large blob: bit {bit}");
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            tally.one(what, |tally| {
                overwrite(&path, &damaged)?;
                refused(&blobs, &name, tally, &what());
                Ok(())
            })?;
        }
        Ok(tally)
    })
}

/// The n-th damage: eight flips and a cut for each byte, then the rest.
fn damage(sound: &[u8], number: usize) -> Vec<u8> {
    let mut damaged = sound.to_vec();
    match (number / 9, number % 9) {
        (at, 8) if at < sound.len() => damaged.truncate(at),
        (at, bit) if at < sound.len() => damaged[at] ^= 1 << bit,
        (_, 0) => damaged.push(0),
        (_, 1) => damaged.extend([0; 4096]),
        _ => damaged.fill(0),
    }
    damaged
}

/// The store must refuse it, for certain, and have put it aside.
fn refused(blobs: &dyn Blobs, name: &BlobName, tally: &mut Tally, what: &str) {
    match blobs.open(name) {
        Err(GetError::Corrupt { .. }) => tally.count("refused"),
        Err(error) => tally.violate(format!("{what}: {error}")),
        Ok(_) => tally.violate(format!("{what}: wrong bytes")),
    }
    if !matches!(blobs.open(name), Err(GetError::Missing { .. })) {
        tally.violate(format!("{what}: not put aside"));
    }
}

/// A check must find this blob, with the entry that needs it, and nothing else.
fn named_alone(stage: &Stage, home: &Path, it: &Expected, tally: &mut Tally, what: &str) {
    let name = it.blobs[0].0.to_string();
    let users = |entries: &[_]| {
        let entry = stage.entries.iter().find(|entry| entry.key == it.key);
        entry.is_some_and(|entry| entries == [entry.id])
    };
    let found = Stage::check(home, false).map(|report| report.findings).unwrap_or_default();
    match found.as_slice() {
        [Finding::Corrupt { blob, entries, .. }] if *blob == name && users(entries) => {
            tally.count("named by the check");
        }
        found => tally.violate(format!("{what}: found {found:?}")),
    }
}

fn path_of(home: &Path, name: &BlobName) -> PathBuf {
    let name = name.to_string();
    home.join("blobs/v1").join(&name[..2]).join(name)
}

/// Writes over a blob, as somebody who may do everything.
fn overwrite(path: &Path, bytes: &[u8]) -> Result<(), Broken> {
    if path.exists() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(fs::write(path, bytes)?)
}

/// Changes a letter of a file's name.
fn rename(path: &Path, letter: usize) -> Result<(), Broken> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or("no name")?;
    let mut letters: Vec<char> = name.chars().collect();
    let letter = letter.min(letters.len() - 1);
    letters[letter] = if letters[letter] == '1' { '2' } else { '1' };
    Ok(fs::rename(path, path.with_file_name(String::from_iter(letters)))?)
}
