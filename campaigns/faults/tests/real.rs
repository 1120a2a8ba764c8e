//! Faults that the system itself makes: a full disk, no descriptors, a directory or a mount that
//! cannot be written, another user. What the emulated ones give must be what these give.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use tempfile::TempDir;
use thrifty_faults::child::{Told, told};
use thrifty_faults::examine::examine;
use thrifty_faults::job::Job;
use thrifty_faults::stage::{Setting, Stage};

const NOBODY: u32 = 65534;
const PROGRAM: &str = env!("CARGO_BIN_EXE_thrifty-faults");

/// A filesystem in memory of so many KiB, until it is dropped.
struct Mount(TempDir);

impl Mount {
    /// `None` where this user may not mount.
    fn of(kibibytes: usize) -> Setting<Option<Self>> {
        let directory = TempDir::new()?;
        let options = format!("size={kibibytes}k,mode=0755");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], directory.path())?;
        if !mounted {
            eprintln!("not shown here: this user may not mount");
        }
        Ok(mounted.then(|| Self(directory)))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|it| it.success()) || thread::panicking(), "still mounted");
    }
}

fn mount(arguments: &[&str], at: &Path) -> io::Result<bool> {
    let mut command = Command::new("mount");
    let output = command.args(arguments).arg(at).output();
    match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        output => Ok(output?.status.success()),
    }
}

fn worker(job: Job, home: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("work").arg(job.word()).arg(home);
    command
}

/// What a job told that must hand over the right value: its outcome, and why it was not stored.
fn handed_over(told: &Told) -> (&str, Option<&str>) {
    assert_eq!(told.text("value"), Some("right"), "{told:?}");
    let outcome = told.text("outcome").and_then(|text| text.split(' ').next());
    (outcome.expect("a value has an outcome"), told.text("reason"))
}

/// Row 17: where a cache can be opened, hits are served, results are handed over and not stored,
/// and a collection makes room.
#[test]
fn on_a_full_filesystem_hits_are_served_and_a_collection_makes_room() -> Setting<()> {
    let Some(disk) = Mount::of(16 << 10)? else { return Ok(()) };
    let home = disk.path().join("home");
    fs::create_dir(&home)?;
    Stage::of(Job::PublishBlobs)?.copy_to(&home)?;
    let filler = fill(disk.path())?;
    let perform = |job| told(&mut worker(job, &home));
    let opened = perform(Job::Open)?;
    let refused = opened.text("refused").unwrap_or_default();
    assert!(refused.contains("no space left") && refused.contains("thrifty gc"), "{opened:?}");

    // What opens a catalog needs a few pages; its values are larger.
    filler.set_len(filler.metadata()?.len() - (56 << 10))?;
    assert_eq!(handed_over(&perform(Job::Hit)?), ("hit-local", None));
    assert_eq!(handed_over(&perform(Job::HitBlobs)?), ("hit-local", None));
    assert_eq!(handed_over(&perform(Job::PublishBlobs)?), ("computed-not-stored", Some("full")));
    let collected = perform(Job::Collect)?;
    assert!(collected.is_done(), "{collected:?}");
    fs::remove_file(disk.path().join("filler"))?;
    examine(Path::new(PROGRAM), &home, Job::Collect, &collected)?;
    Ok(())
}

/// Fills what is left of the filesystem.
fn fill(disk: &Path) -> io::Result<fs::File> {
    use std::io::Write;
    let mut file = fs::File::create(disk.join("filler"))?;
    for size in [65_536, 4096, 1] {
        let bytes = vec![7; size];
        while file.write_all(&bytes).is_ok() {}
    }
    Ok(file)
}

/// Row 18: without descriptors a value is computed, no entry goes, and nothing breaks.
#[test]
fn without_descriptors_values_are_computed_and_entries_are_kept() -> Setting<()> {
    for job in [Job::Hit, Job::HitBlobs, Job::Publish, Job::PublishBlobs] {
        let stage = Stage::of(job)?;
        for descriptors in 4..20 {
            let home = stage.copy()?;
            let mut limited = Command::new("sh");
            limited.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$@\"")).arg("sh");
            limited.arg(PROGRAM).arg("work").arg(job.word()).arg(home.path());
            let told = told(&mut limited)?;
            if told.text("value").is_none() {
                // Whoever cannot open a cache does without, or has none to start the program with.
                assert!(told.text("refused").is_some() || !told.is_sound, "{told:?}");
                continue;
            }
            let (outcome, reason) = handed_over(&told);
            let is_known = match outcome {
                "hit-local" | "computed" => reason.is_none(),
                "computed-not-stored" => reason.is_some_and(|it| it != "damaged" && it != "full"),
                _ => false,
            };
            assert!(is_known, "{descriptors} descriptors: {told:?}");
            examine(Path::new(PROGRAM), home.path(), job, &told)
                .map_err(|what| format!("{} with {descriptors}: {what}", job.word()))?;
        }
    }
    Ok(())
}

/// A copy of what a job finds, that belongs to nobody and lies where everybody comes.
fn for_nobody(job: Job, mode: u32) -> Setting<(TempDir, PathBuf, PathBuf)> {
    let directory = TempDir::new()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let (home, program) = (directory.path().join("home"), directory.path().join("worker"));
    fs::create_dir(&home)?;
    Stage::of(job)?.copy_to(&home)?;
    // The program may lie where another user does not come.
    fs::copy(PROGRAM, &program)?;
    permit(&home, mode)?;
    Ok((directory, home, program))
}

/// Gives all directories a mode, and lets everybody read all files.
fn permit(directory: &Path, mode: u32) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            permit(&path, mode)?;
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
        }
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(mode))
}

/// Row 18: another user who may read serves hits; who may not even read is told so. Neither
/// changes anything.
#[test]
fn another_user_reads_what_he_may_and_changes_nothing() -> Setting<()> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not shown here: only root becomes another user");
        return Ok(());
    }
    for (job, mode, expected) in [
        (Job::Hit, 0o555, ("hit-local", None)),
        (Job::HitBlobs, 0o555, ("hit-local", None)),
        (Job::PublishBlobs, 0o555, ("computed-not-stored", Some("read-only"))),
    ] {
        let (_directory, home, program) = for_nobody(job, mode)?;
        let mut command = Command::new(program);
        command.arg("work").arg(job.word()).arg(&home).uid(NOBODY).gid(NOBODY);
        let told = told(&mut command)?;
        if let Some(refused) = told.text("refused") {
            // A cache of somebody else's is refused when it is opened, and named.
            assert!(refused.contains(&*home.to_string_lossy()), "{told:?}");
        } else {
            assert_eq!(handed_over(&told), expected, "{}", job.word());
        }
        permit(&home, 0o755)?;
        for file in ["catalog.sqlite", "catalog.changes"] {
            fs::set_permissions(home.join(file), fs::Permissions::from_mode(0o644))?;
        }
        examine(Path::new(PROGRAM), &home, job, &told)?;
    }
    Ok(())
}

/// Row 18: a mount that became read-only serves hits, and results are handed over.
#[test]
fn a_mount_that_cannot_be_written_serves_hits() -> Setting<()> {
    let Some(disk) = Mount::of(16 << 10)? else { return Ok(()) };
    let home = disk.path().join("home");
    fs::create_dir(&home)?;
    Stage::of(Job::Hit)?.copy_to(&home)?;
    assert!(mount(&["-o", "remount,ro"], disk.path())?, "it cannot be mounted again");
    let perform = |job| told(&mut worker(job, &home));
    assert_eq!(handed_over(&perform(Job::Hit)?), ("hit-local", None));
    assert_eq!(handed_over(&perform(Job::HitBlobs)?), ("hit-local", None));
    let published = perform(Job::PublishBlobs)?;
    assert_eq!(handed_over(&published), ("computed-not-stored", Some("read-only")));
    assert!(mount(&["-o", "remount,rw"], disk.path())?, "it cannot be mounted again");
    examine(Path::new(PROGRAM), &home, Job::PublishBlobs, &published)?;
    Ok(())
}
