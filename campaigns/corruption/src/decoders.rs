//! Decoders of bytes that a seal or a digest stands before: they must not break all the same.

use thrifty_engine::catalog::MadeOf;
use thrifty_engine::key::tree::Manifest;
use thrifty_engine::observed;
use thrifty_engine::record::Record;

use crate::stage::{Stage, manifest};
use crate::tally::{Tally, share};
use crate::{Broken, Sample};

/// Flips every bit of every record, of what was observed and of a manifest, and cuts them off at
/// every length. What has one form only, and is read, must be read as the bytes that it is.
///
/// # Errors
///
/// What kept the campaign from going on.
pub fn bytes(stage: &Stage, sample: Sample) -> Result<Tally, Broken> {
    let mut artefacts = vec![("manifest", manifest()?.encode())];
    for entry in &stage.entries {
        artefacts.push(("record", entry.output.clone()));
        artefacts.push(("observed", entry.observed.clone()));
        artefacts.push(("made of", entry.made_of.to_bytes()));
    }
    let mut total = Tally::default();
    for (kind, sound) in &artefacts {
        total.add(share(sound.len() * 9, sample, |numbers| {
            let mut tally = Tally::default();
            for number in numbers {
                let (at, bit) = (number / 9, number % 9);
                let mut damaged = sound.clone();
                if bit == 8 {
                    damaged.truncate(at)
                } else {
                    damaged[at] ^= 1 << bit
                }
                let name = || format!("{kind}: byte {at}, {bit}");
                tally.one(name, |tally| {
                    match read_back(kind, &damaged) {
                        None => tally.count("refused"),
                        Some(true) => tally.count("read as another one"),
                        Some(false) => tally.violate(format!("{}: read as what it is not", name())),
                    }
                    Ok(())
                })?;
            }
            Ok(tally)
        })?);
    }
    Ok(total)
}

/// Whether the bytes are read, and written again as they were. Records may be written in several
/// ways; what their decoder does with damage is only that it ends.
fn read_back(kind: &str, bytes: &[u8]) -> Option<bool> {
    match kind {
        "manifest" => Some(Manifest::decode(bytes).ok()?.encode() == bytes),
        "observed" => {
            let read = observed::decode(bytes).ok()?;
            Some(observed::encode(&read).is_ok_and(|again| again == bytes))
        }
        "made of" => Some(MadeOf::from_bytes(bytes)?.to_bytes() == bytes),
        _ => {
            let record = Record::from_bytes(bytes).ok()?;
            let _ = (record.contribution(), record.blobs(), record.classes());
            Some(true)
        }
    }
}
