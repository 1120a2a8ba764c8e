//! What every backend and decorator must do, as checks to run against it.
//!
//! ```
//! use thrifty_store::{conformance, memory::Memory};
//!
//! conformance::check(&|| Box::new(Memory::new())).unwrap();
//! ```
//!
//! Those that promise verified bytes and keep them in files run [`check_detection`] as well.

use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use thrifty_key::Digest;

use crate::links::Access;
use crate::{BlobName, Blobs, GetError, PlaceError};

/// A rule of the contract that did not hold.
#[derive(Debug, thiserror::Error)]
#[error("{check}: {rule}")]
pub struct Violation {
    /// The check that found it.
    pub check: &'static str,
    /// The rule, or the error that came instead.
    pub rule: String,
}

type Fault = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Fault>;
type Check = (&'static str, fn(&dyn Blobs) -> Outcome);

/// Runs every check, each on a new store without blobs.
///
/// # Errors
///
/// The first [`Violation`].
pub fn check(make: &dyn Fn() -> Box<dyn Blobs>) -> Result<(), Violation> {
    const CHECKS: &[Check] = &[
        ("round trip", round_trip),
        ("put file", put_file),
        ("two uploads", two_uploads),
        ("missing", missing),
        ("late delete", late_delete),
        ("quarantine", quarantine),
        ("private map", private_map),
        ("held over delete", held_over_delete),
        ("list", list),
        ("place", place),
        ("threads", threads),
    ];
    run(CHECKS, make)
}

/// Runs every check of damage to the files of blobs, each on a new store without blobs.
///
/// # Errors
///
/// The first [`Violation`].
pub fn check_detection(make: &dyn Fn() -> Box<dyn Blobs>) -> Result<(), Violation> {
    const CHECKS: &[Check] = &[
        ("flipped bytes", flipped_bytes),
        ("truncated", truncated),
        ("appended", appended),
        ("swapped", swapped),
        ("symlinked", symlinked),
        ("edited through a link", edited_through_a_link),
    ];
    run(CHECKS, make)
}

/// Each check gets a store of its own, so that none depends on another.
fn run(checks: &[Check], make: &dyn Fn() -> Box<dyn Blobs>) -> Result<(), Violation> {
    checks.iter().try_for_each(|(check, body)| {
        body(&*make()).map_err(|error| Violation { check, rule: error.to_string() })
    })
}

fn ensure(holds: bool, rule: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(rule.into()) }
}

/// Bytes without a period that a mixed-up block could hide behind.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

fn is_missing(blobs: &dyn Blobs, name: &BlobName) -> bool {
    matches!(blobs.open(name), Err(error @ GetError::Missing { .. }) if error.is_certain_absence())
}

fn is_corrupt(blobs: &dyn Blobs, name: &BlobName) -> bool {
    matches!(blobs.open(name), Err(error @ GetError::Corrupt { .. }) if error.is_certain_absence())
}

/// What was put comes back: nothing, one byte, many parts, more than is hashed or read at once.
fn round_trip(blobs: &dyn Blobs) -> Outcome {
    let large = noise(5 << 20);
    let (front, back) = large.split_at(1 << 20);
    let cases: [&[&[u8]]; 6] =
        [&[], &[b""], &[b"x"], &[b"a", b"", b"bc"], &[&large], &[front, back]];
    for parts in cases {
        let whole = parts.concat();
        let name = blobs.put(parts)?;
        ensure(name.digest == Digest::of_blob(&whole), "the name has the digest of the bytes")?;
        ensure(name.length == whole.len() as u64, "the name has the length of the bytes")?;
        let blob = blobs.open(&name)?;
        ensure(blob[..] == whole[..], "what was put comes back")?;
        ensure(blob.as_ptr().align_offset(64) == 0, "the bytes are aligned to 64")?;
        ensure(blobs.contains(&name.digest)?.is_some(), "what was put is contained")?;
    }
    Ok(())
}

/// A file of any name is copied; what happens to it afterwards does not matter.
fn put_file(blobs: &dyn Blobs) -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("größe \n.bin");
    let bytes = noise(200_000);
    fs::write(&path, &bytes)?;
    let name = blobs.put_file(&path)?;
    fs::write(&path, b"changed afterwards")?;
    ensure(blobs.open(&name)?[..] == bytes[..], "the blob is a copy of the file")?;
    ensure(name.digest == Digest::of_blob(&bytes), "the name is of what was copied")?;
    ensure(blobs.put_file(&directory.path().join("none")).is_err(), "no file is an error")?;
    ensure(blobs.put_file(directory.path()).is_err(), "a directory is an error")
}

/// Uploads of the same bytes are two blobs.
fn two_uploads(blobs: &dyn Blobs) -> Outcome {
    let (one, two) = (blobs.put(&[b"same"])?, blobs.put(&[b"same"])?);
    ensure(one.digest == two.digest, "equal bytes have equal digests")?;
    ensure(one.generation != two.generation, "each upload has a generation of its own")?;
    ensure(blobs.open(&one)?[..] == blobs.open(&two)?[..], "both can be read")
}

/// A blob is found under its whole name only.
fn missing(blobs: &dyn Blobs) -> Outcome {
    let present = blobs.put(&[b"present"])?;
    let other = BlobName { generation: present.generation ^ 1, ..present };
    let absent = Digest::of_blob(b"absent");
    ensure(is_missing(blobs, &other), "another generation is missing")?;
    ensure(
        is_missing(blobs, &BlobName { digest: absent, ..present }),
        "another digest is missing",
    )?;
    ensure(blobs.contains(&absent)?.is_none(), "what was never put is not contained")
}

/// Deleting an upload, late or twice, never hits another upload of the same bytes.
fn late_delete(blobs: &dyn Blobs) -> Outcome {
    let old = blobs.put(&[b"bytes"])?;
    let new = blobs.put(&[b"bytes"])?;
    blobs.delete(&old)?;
    blobs.delete(&old)?;
    ensure(is_missing(blobs, &old), "the deleted upload is missing")?;
    ensure(blobs.open(&new)?[..] == *b"bytes", "a later upload outlives the delete of an earlier")?;
    ensure(blobs.contains(&new.digest)? == Some(new), "only the later upload is contained")?;
    blobs.delete(&new)?;
    ensure(blobs.contains(&new.digest)?.is_none(), "what was deleted is not contained")
}

/// A blob set aside is gone for everybody who reads or lists.
fn quarantine(blobs: &dyn Blobs) -> Outcome {
    let name = blobs.put(&[b"suspect"])?;
    blobs.quarantine(&name)?;
    blobs.quarantine(&name)?;
    ensure(is_missing(blobs, &name), "what was set aside is missing")?;
    ensure(blobs.list()?.next().is_none(), "what was set aside is not listed")
}

/// A consumer may write to its private map, and nobody else sees it.
fn private_map(blobs: &dyn Blobs) -> Outcome {
    let bytes = noise(100_000);
    let name = blobs.put(&[&bytes])?;
    let blob = blobs.open(&name)?;
    let mut private = blob.map_private()?;
    ensure(private[..] == bytes[..], "a private map starts with the bytes")?;
    private.fill(0);
    let again = blobs.open(&name)?;
    ensure(blob[..] == bytes[..], "the blob does not see writes to a private map")?;
    ensure(again[..] == bytes[..], "another opening does not see them")?;
    ensure(again.map_private()?[..] == bytes[..], "another private map does not see them")?;
    let empty = blobs.put(&[])?;
    ensure(blobs.open(&empty)?.map_private()?.is_empty(), "an empty blob has an empty map")
}

/// Who holds a blob keeps it, whatever is deleted meanwhile.
fn held_over_delete(blobs: &dyn Blobs) -> Outcome {
    let bytes = noise(100_000);
    let name = blobs.put(&[&bytes])?;
    let blob = blobs.open(&name)?;
    blobs.delete(&name)?;
    ensure(blob[..] == bytes[..], "deleting does not disturb who holds the blob")?;
    ensure(blob.map_private()?[..] == bytes[..], "nor a private map made afterwards")
}

/// The listing is complete, and free of what writers leave while they write.
fn list(blobs: &dyn Blobs) -> Outcome {
    let mut put = HashSet::new();
    for number in 0..100_u32 {
        put.insert(blobs.put(&[&number.to_le_bytes()])?);
    }
    let listed = blobs.list()?.map(|listed| listed.map(|listed| listed.name));
    let listed: Vec<BlobName> = listed.collect::<Result<_, _>>()?;
    ensure(listed.len() == put.len(), "each blob is listed once")?;
    ensure(listed.into_iter().collect::<HashSet<_>>() == put, "names come back as they were")?;
    ensure(blobs.leftovers(Duration::ZERO)?.is_empty(), "finished writers leave nothing behind")
}

/// A blob becomes a file with the permissions asked for, and the caller's copy is its own.
fn place(blobs: &dyn Blobs) -> Outcome {
    let directory = tempfile::tempdir()?;
    let name = blobs.put(&[b"content"])?;
    for (writable, executable) in [(false, false), (true, false), (false, true), (true, true)] {
        let path = directory.path().join(format!("new/{writable}/{executable}"));
        for _ in 0..2 {
            blobs.place(&name, &path, Access { writable, executable })?;
        }
        let mode = fs::metadata(&path)?.permissions().mode();
        ensure(fs::read(&path)? == b"content", "the file has the bytes")?;
        ensure((mode & 0o200 != 0) == writable, "it is writable only if asked for")?;
        ensure((mode & 0o100 != 0) == executable, "it is executable only if asked for")?;
        if writable {
            fs::write(&path, b"edited!")?;
            ensure(blobs.open(&name)?[..] == *b"content", "the caller's file is its own")?;
        }
    }
    let placed = fs::read_dir(directory.path().join("new/true"))?.count();
    ensure(placed == 2, "no temporary stays beside the file")?;
    place_after_a_change(blobs, &name, directory.path())?;
    place_over_a_symlink(blobs, &name, directory.path())
}

/// What became of the permissions of one file is nothing that another one has.
fn place_after_a_change(blobs: &dyn Blobs, name: &BlobName, directory: &Path) -> Outcome {
    let (changed, fresh) = (directory.join("changed"), directory.join("fresh"));
    blobs.place(name, &changed, Access::READ)?;
    fs::set_permissions(&changed, Permissions::from_mode(0o4777))?;
    for path in [&fresh, &changed] {
        blobs.place(name, path, Access::READ)?;
        let mode = fs::metadata(path)?.permissions().mode();
        ensure(mode & 0o7733 == 0o400, "a file to be read has the permissions of one")?;
    }
    Ok(())
}

/// Placing replaces the symlink itself, and never a directory.
fn place_over_a_symlink(blobs: &dyn Blobs, name: &BlobName, directory: &Path) -> Outcome {
    let (victim, path) = (directory.join("victim"), directory.join("symlink"));
    fs::write(&victim, b"untouched")?;
    std::os::unix::fs::symlink(&victim, &path)?;
    blobs.place(name, &path, Access::WRITE)?;
    ensure(fs::read(&victim)? == b"untouched", "a symlink at the target is not followed")?;
    ensure(fs::read(&path)? == b"content", "a symlink at the target is replaced")?;
    let refused = blobs.place(name, directory, Access::READ);
    ensure(matches!(refused, Err(PlaceError::Target { .. })), "a directory is not replaced")
}

/// Sixteen threads write, read and delete blobs, half of which have the same bytes.
fn threads(blobs: &dyn Blobs) -> Outcome {
    let work = |worker: usize| -> Outcome {
        for round in 0..20_usize {
            let same = noise(300 + round);
            let own = [&[worker as u8], &same[..]].concat();
            for bytes in [same, own] {
                let name = blobs.put(&[&bytes])?;
                ensure(blobs.open(&name)?[..] == bytes[..], "what was put comes back")?;
                blobs.delete(&name)?;
                ensure(is_missing(blobs, &name), "what was deleted is missing")?;
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..16).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread panicked")?)
    })?;
    ensure(blobs.list()?.next().is_none(), "nothing is left of what all deleted")
}

/// Opens the file of a blob for writing, as its owner can.
fn tamper(blobs: &dyn Blobs, name: &BlobName) -> Result<fs::File, Fault> {
    let blob = blobs.open(name)?;
    let path = blob.path().ok_or("detection is checked on stores that keep files")?;
    fs::set_permissions(path, Permissions::from_mode(0o644))?;
    Ok(OpenOptions::new().read(true).write(true).append(false).open(path)?)
}

/// Damage is found at every opening, then the blob is missing, and a new upload is whole.
fn ensure_caught(blobs: &dyn Blobs, name: &BlobName, bytes: &[u8]) -> Outcome {
    ensure(is_corrupt(blobs, name), "damaged bytes are never handed over")?;
    ensure(is_missing(blobs, name), "a corrupt blob is set aside")?;
    ensure(blobs.contains(&name.digest)?.is_none(), "a corrupt blob is not contained")?;
    let again = blobs.put(&[bytes])?;
    ensure(blobs.open(&again)?[..] == *bytes, "the bytes can be stored again")
}

/// A single bit, wherever it is.
fn flipped_bytes(blobs: &dyn Blobs) -> Outcome {
    let bytes = noise(300);
    for at in (0..bytes.len()).step_by(7) {
        let name = blobs.put(&[&bytes])?;
        tamper(blobs, &name)?.write_all_at(&[bytes[at] ^ 1], at as u64)?;
        ensure(is_corrupt(blobs, &name), "a flipped bit is found wherever it is")?;
    }
    let name = blobs.put(&[&bytes])?;
    tamper(blobs, &name)?.write_all_at(b"....", 0)?;
    ensure_caught(blobs, &name, &bytes)
}

/// A file cut short, also at the end of a page, where a map would not notice.
fn truncated(blobs: &dyn Blobs) -> Outcome {
    let bytes = noise(10_000);
    for length in [0, 1, 4096, 9_999] {
        let name = blobs.put(&[&bytes])?;
        tamper(blobs, &name)?.set_len(length)?;
        ensure_caught(blobs, &name, &bytes)?;
        blobs.list()?.try_for_each(|listed| Ok::<_, Fault>(blobs.delete(&listed?.name)?))?;
    }
    Ok(())
}

/// A file that grew.
fn appended(blobs: &dyn Blobs) -> Outcome {
    let name = blobs.put(&[])?;
    tamper(blobs, &name)?.write_all(b"x")?;
    ensure_caught(blobs, &name, b"")
}

/// The bytes of another blob, of the same length.
fn swapped(blobs: &dyn Blobs) -> Outcome {
    let (one, two) = (blobs.put(&[b"one"])?, blobs.put(&[b"two"])?);
    let path = |name| Ok::<_, GetError>(blobs.open(name)?.path().map(Path::to_owned));
    if let (Some(first), Some(second)) = (path(&one)?, path(&two)?) {
        fs::rename(second, first)?;
    }
    ensure(is_missing(blobs, &two), "what was moved away is missing")?;
    ensure_caught(blobs, &one, b"one")
}

/// A symlink in place of the blob, even one to the right bytes.
fn symlinked(blobs: &dyn Blobs) -> Outcome {
    let name = blobs.put(&[b"bytes"])?;
    let blob = blobs.open(&name)?;
    let path = blob.path().ok_or("detection is checked on stores that keep files")?;
    let moved = tempfile::tempdir()?;
    let elsewhere = moved.path().join("blob");
    fs::copy(path, &elsewhere)?;
    fs::remove_file(path)?;
    std::os::unix::fs::symlink(&elsewhere, path)?;
    ensure_caught(blobs, &name, b"bytes")
}

/// A user who got the blob as a hard link, and writes to it all the same.
fn edited_through_a_link(blobs: &dyn Blobs) -> Outcome {
    let directory = tempfile::tempdir()?;
    let name = blobs.put(&[b"shared"])?;
    let path = directory.path().join("link");
    blobs.place(&name, &path, Access::READ)?;
    ensure(blobs.open(&name)?[..] == *b"shared", "a link does no harm")?;
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    fs::write(&path, b"edited")?;
    let blob_changed = blobs.open(&name).map_or(true, |blob| blob[..] != *b"shared");
    if !blob_changed {
        // A filesystem with reflinks, or without links: the file was a copy.
        return Ok(());
    }
    ensure(is_missing(blobs, &name), "an edit through a link is found, and the blob set aside")
}
