//! One attempt of a command: a fresh directory, what it takes put in, the process, what it gave.
//!
//! Nothing of an attempt that failed is ever seen by another one: each has a directory of its
//! own, and outputs are read from it only after the command has succeeded and its whole process
//! group is gone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use minijinja::Value;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use shared_child::SharedChild;
use tempfile::TempDir;

use crate::container::{Container, Started};
use crate::document::Run;
use crate::endurance::{ARTIFACTS, CHECKPOINTS, Endurance};
use crate::error::AttemptError;
use crate::home::{Home, Placement};
use crate::pipeline::Command;
use crate::share;
use crate::template::{self, For};
use crate::variables;
use crate::workplace;

/// How often a running command is looked at for an interrupt of the run.
const LOOK: Duration = Duration::from_millis(50);
/// How long a command that is asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long what a command left running is waited for after it was killed. Where nobody reaps orphans, they
/// are never seen to go.
const LEFT: Duration = Duration::from_secs(2);
/// How much of the log is shown with a failure, in lines.
const SHOWN: usize = 20;
/// How much of what a command left is told.
const LEFT_SHOWN: usize = 5;
/// How much of a log is kept, in bytes: its end.
const KEPT: u64 = 4 << 20;

/// The variable in which a command that draws from a seed finds its number.
pub(crate) const SEED: &str = "THRIFTY_SEED";

/// What a command finds around it.
pub(crate) struct Surroundings<'a> {
    /// The number that it draws from.
    pub(crate) seed: Option<u32>,
    /// The container it runs in.
    pub(crate) container: Option<&'a Container>,
    /// The graphics processors that are its own.
    pub(crate) devices: &'a [String],
}

/// An attempt under way, or done. Its directory goes with it, unless it is kept.
#[derive(Debug)]
pub(crate) struct Attempt {
    directory: Directory,
}

#[derive(Debug)]
enum Directory {
    Fresh(TempDir),
    Kept(PathBuf),
}

impl Attempt {
    /// A fresh directory below `work`.
    pub(crate) fn begin(work: &Path) -> Result<Self, AttemptError> {
        let failed = |error: &io::Error| AttemptError::directory(work, error);
        let directory = workplace::for_attempt(work).map_err(|error| failed(&error))?;
        let attempt = Self { directory: Directory::Fresh(directory) };
        fs::create_dir(attempt.place()).map_err(|error| failed(&error))?;
        Ok(attempt)
    }

    /// The directory in which the command runs.
    pub(crate) fn place(&self) -> PathBuf {
        self.path().join("run")
    }

    fn path(&self) -> &Path {
        match &self.directory {
            Directory::Fresh(directory) => directory.path(),
            Directory::Kept(path) => path,
        }
    }

    /// The attempt whose directory was kept there.
    pub(crate) fn kept(path: PathBuf) -> Option<Self> {
        path.is_dir().then_some(Self { directory: Directory::Kept(path) })
    }

    /// Keeps its directory, at this path: all at once, so that what is there is whole.
    pub(crate) fn keep(&mut self, path: PathBuf) -> io::Result<()> {
        parent_of(&path)?;
        _ = fs::remove_dir_all(&path);
        fs::rename(self.path(), &path)?;
        let before = std::mem::replace(&mut self.directory, Directory::Kept(path));
        if let Directory::Fresh(directory) = before {
            _ = directory.keep();
        }
        Ok(())
    }

    /// Gives the command a directory that outlasts the attempt.
    pub(crate) fn link_lasting(&self, target: &Path, at: &str) -> Result<(), AttemptError> {
        fs::create_dir_all(target).map_err(|error| AttemptError::directory(target, &error))?;
        self.link(target, &self.place().join(at))
    }

    /// As [`Attempt::link_lasting`], of a directory that no command of an earlier attempt may still write
    /// to: one that was killed together with its run may not have been, and goes on.
    ///
    /// Whatever a command has started holds a lock on the log, to which it writes, until it has ended.
    /// The log of the last attempt is found beside the directory.
    pub(crate) fn link_own_lasting(&self, target: &Path, at: &str) -> Result<(), AttemptError> {
        let last = target.with_extension("log");
        if let Ok(log) = File::open(&last)
            && flock(&log, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
        {
            return Err(AttemptError::Held { path: target.to_owned() });
        }
        self.link_lasting(target, at)?;
        File::create(self.log()).map_err(|error| AttemptError::directory(&self.log(), &error))?;
        // Where there are no such links, nobody is found.
        _ = fs::remove_file(&last);
        _ = fs::hard_link(self.log(), &last);
        Ok(())
    }

    /// The directory that stands for one of a run which has none.
    pub(crate) fn passing(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Makes the code of a command found under its own names.
    pub(crate) fn link_code(&self, placement: &Placement, code: &Home) -> Result<(), AttemptError> {
        let files = placement.links.iter().map(|(to, path)| (to, code.place(path)));
        let environments = placement.environments.iter().map(|(to, path)| (to, path.clone()));
        for (to, path) in files.chain(environments) {
            let link = self.place().join(to);
            // An input may have been put there already.
            if link.symlink_metadata().is_err() {
                self.link(&path, &link)?;
            }
        }
        Ok(())
    }

    /// Makes a file or directory elsewhere found at a path.
    pub(crate) fn link(&self, target: &Path, link: &Path) -> Result<(), AttemptError> {
        let linked = parent_of(link).and_then(|()| std::os::unix::fs::symlink(target, link));
        linked.map_err(|error| AttemptError::directory(link, &error))
    }

    /// Makes what another command made found at a path.
    pub(crate) fn share(&self, from: &Path, to: &Path) -> Result<(), AttemptError> {
        let shared = parent_of(to).and_then(|()| share::link(from, to));
        shared.map_err(|error| AttemptError::directory(to, &error))
    }

    /// What the command left beside what it was given and what it declares, a few of it.
    pub(crate) fn left(&self, command: &Command, placement: &Placement) -> Vec<String> {
        let outputs = command.outputs.iter().map(|(_, output)| output.path());
        let inputs = command.inputs.iter().map(|input| input.to.as_str());
        let code = placement.links.iter().map(|(to, _)| to.as_str());
        let environments = placement.environments.iter().map(|(to, _)| to.as_str());
        let Endurance { checkpoints, artifacts, .. } = &command.endurance;
        let lasting = checkpoints.iter().chain(artifacts).map(String::as_str);
        let known = outputs.chain(inputs).chain(code).chain(environments).chain(lasting);
        let known: Vec<_> = known.map(Path::new).collect();
        let (mut left, mut ahead) = (Vec::new(), vec![PathBuf::new()]);
        while let Some(directory) = ahead.pop() {
            let entries = fs::read_dir(self.place().join(&directory)).into_iter().flatten();
            for entry in entries.flatten() {
                let path = directory.join(entry.file_name());
                if known.contains(&path.as_path()) {
                    continue;
                }
                match known.iter().any(|known| known.starts_with(&path)) {
                    true => ahead.push(path),
                    false => left.push(path.display().to_string()),
                }
            }
        }
        left.sort();
        left.truncate(LEFT_SHOWN);
        left
    }

    /// Makes the directories that outputs stand in.
    pub(crate) fn prepare_outputs(&self, command: &Command) -> Result<(), AttemptError> {
        for (_, output) in &command.outputs {
            let path = self.place().join(output.path());
            parent_of(&path).map_err(|error| AttemptError::directory(&path, &error))?;
        }
        Ok(())
    }

    /// Runs the command to its end. When this returns, none of its processes is left.
    pub(crate) fn run(
        &self,
        command: &Command,
        run: &Run,
        code: &Home,
        names: &Value,
        surroundings: &Surroundings<'_>,
        cancelled: &AtomicBool,
    ) -> Result<(), AttemptError> {
        let place = self.place();
        let started = surroundings.container.map(|container| container.started(&place));
        let (words, env) = (words(run, names)?, surroundings.variables(command, code, &place));
        let mut process = match &started {
            Some(started) => started.process(&words, &place, &env),
            None => bare(&words, &env),
        };
        self.log_of(&mut process)?;
        let program = process.get_program().to_string_lossy().into_owned();
        let child = SharedChild::spawn(&mut process)
            .map_err(|error| AttemptError::Start { program, reason: error.to_string() })?;
        let group = Pid::from_raw(child.id().cast_signed());
        let ended = wait(&child, command.timeout, cancelled);
        // Also after a success: what a command left running could still write.
        let status = match ended {
            Ended::By(status) => status,
            Ended::Early(why) => {
                end(&child, group);
                started.iter().for_each(Started::kill);
                return Err(why);
            }
        };
        clear(group);
        if status.success() { Ok(()) } else { Err(self.failed(status, code)) }
    }

    /// Has a process run in the directory, in a group of its own, with the log to write to.
    fn log_of(&self, process: &mut process::Command) -> Result<(), AttemptError> {
        let log = File::create(self.log()).and_then(|log| Ok((log.try_clone()?, log)));
        let (out, err) = log.map_err(|error| AttemptError::directory(&self.log(), &error))?;
        // Held by whoever has it open, whatever becomes of this process.
        _ = flock(&out, FlockOperation::NonBlockingLockExclusive);
        process.current_dir(self.place()).process_group(0);
        process.stdin(Stdio::null()).stdout(out).stderr(err);
        Ok(())
    }

    fn failed(&self, status: ExitStatus, code: &Home) -> AttemptError {
        let log = self.kept_log();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("it ended with status {code}"),
            (None, Some(signal)) => format!("it was ended by signal {signal}"),
            (None, None) => "it ended in no known way".to_owned(),
        };
        let missed = code.missed(&end, &self.place());
        AttemptError::Status { how, end, missed }
    }

    /// What the command wrote to its output and errors: the end of it, if it is long.
    pub(crate) fn kept_log(&self) -> Vec<u8> {
        let read = || {
            let mut log = File::open(self.log())?;
            let length = log.metadata()?.len();
            let mut kept = Vec::new();
            if length > KEPT {
                kept.extend(format!("… {} bytes left out …\n", length - KEPT).into_bytes());
                io::Seek::seek(&mut log, io::SeekFrom::End(-KEPT.cast_signed()))?;
            }
            io::Read::read_to_end(&mut log, &mut kept)?;
            Ok::<_, io::Error>(kept)
        };
        read().unwrap_or_default()
    }
}

impl Surroundings<'_> {
    /// The variables that a command gets besides those of the caller that all get.
    fn variables(&self, command: &Command, code: &Home, place: &Path) -> Vec<(String, OsString)> {
        let mut more = Vec::new();
        if self.container.is_some() {
            // Whoever the user is there, this is a place to write to.
            more.push(("HOME", OsString::from("/tmp")));
        }
        if !self.devices.is_empty() {
            more.push(("CUDA_VISIBLE_DEVICES", self.devices.join(",").into()));
        }
        if let Some(seed) = self.seed {
            more.push((SEED, seed.to_string().into()));
        }
        let Endurance { checkpoints, artifacts, .. } = &command.endurance;
        for (variable, path) in [(CHECKPOINTS, checkpoints), (ARTIFACTS, artifacts)] {
            more.extend(path.as_ref().map(|path| (variable, place.join(path).into())));
        }
        variables::of(&command.env, more, &code.python_path(&command.env))
    }
}

/// The words of a command, templates filled in.
fn words(run: &Run, names: &Value) -> Result<Vec<String>, AttemptError> {
    let rendered = |text: &str, purpose| {
        template::render(text, purpose, names).map_err(|reason| AttemptError::Template { reason })
    };
    match run {
        Run::Shell(text) => {
            let text = rendered(text, For::Shell)?;
            Ok(vec!["sh".to_owned(), "-e".to_owned(), "-c".to_owned(), text])
        }
        Run::Words(words) => words.iter().map(|word| rendered(word, For::Text)).collect(),
    }
}

/// The process that runs these words right here, with these variables.
fn bare(words: &[String], env: &[(String, OsString)]) -> process::Command {
    let (program, arguments) = words.split_first().map_or(("", words), |(it, rest)| (it, rest));
    // Named by its path a program is started without a fork, at which the catalog would close its
    // connections.
    let declared = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let found = declared
        .or_else(|| std::env::var_os("PATH"))
        .filter(|_| !program.contains('/'))
        .and_then(|path| variables::program(program, &path))
        .filter(|path| variables::is_started(path));
    let mut process = process::Command::new(found.as_deref().unwrap_or(program.as_ref()));
    process.arg0(program).args(arguments).env_clear().envs(variables::passed_on());
    process.envs(env.iter().map(|(name, value)| (name, value)));
    process
}

/// How a command ended.
enum Ended {
    By(ExitStatus),
    Early(AttemptError),
}

fn wait(child: &SharedChild, timeout: Option<Duration>, cancelled: &AtomicBool) -> Ended {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match child.wait_timeout(left.map_or(LOOK, |left| left.min(LOOK))) {
            Ok(Some(status)) => return Ended::By(status),
            Ok(None) if cancelled.load(Ordering::Relaxed) => {
                return Ended::Early(AttemptError::Cancelled);
            }
            Ok(None) if left.is_some_and(|left| left.is_zero()) => {
                return Ended::Early(AttemptError::Timeout { after: timeout.unwrap_or_default() });
            }
            Ok(None) => {}
            Err(error) => {
                let reason = error.to_string();
                return Ended::Early(AttemptError::Start { program: "wait".to_owned(), reason });
            }
        }
    }
}

/// Ends the whole group: first asks, then kills.
fn end(child: &SharedChild, group: Option<Pid>) {
    signal(group, Signal::TERM);
    if !matches!(child.wait_timeout(GRACE), Ok(Some(_))) {
        signal(group, Signal::KILL);
        _ = child.wait();
    }
    clear(group);
}

/// Kills what is left of a group, and waits until it is gone: a process that is being killed may
/// still be within a write.
fn clear(group: Option<Pid>) {
    let begun = Instant::now();
    while group.is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok())
        && begun.elapsed() < LEFT
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A group that is gone needs no signal.
fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        _ = kill_process_group(group, signal);
    }
}

fn parent_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
