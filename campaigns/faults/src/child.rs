//! Runs the worker.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fault::Fault;
use crate::job::Job;
use crate::journal::{self, Change};

/// The library that stands between the worker and the C library.
pub const INTERPOSER: &str = env!("INTERPOSER");

/// The worker, and what stands in its way.
#[derive(Debug, Clone, Copy)]
pub struct Worker<'a> {
    /// The program of this package.
    pub program: &'a Path,
    /// What goes wrong.
    pub fault: Option<Fault<'a>>,
    /// What goes wrong beside it.
    pub second: Option<Fault<'a>>,
    /// How many bytes the disk has left.
    pub space: Option<u64>,
}

/// What a worker told before it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The signal that killed it.
    pub signal: Option<i32>,
    /// Whether it ended by itself, with success.
    pub is_sound: bool,
    /// What it told, a word and its text.
    pub lines: Vec<(String, String)>,
    /// What it wrote as an error.
    pub errors: String,
}

impl Told {
    /// The text behind a word, if it was told.
    pub fn text(&self, word: &str) -> Option<&str> {
        let found = self.lines.iter().find(|(known, _)| known == word);
        found.map(|(_, text)| text.as_str())
    }

    /// Whether the job was acknowledged.
    pub fn is_done(&self) -> bool {
        self.text("done").is_some()
    }
}

impl<'a> Worker<'a> {
    /// One that nothing happens to.
    pub const fn new(program: &'a Path) -> Self {
        Self { program, fault: None, second: None, space: None }
    }

    /// One that meets a fault.
    #[must_use]
    pub const fn meeting(self, fault: Fault<'a>) -> Self {
        Self { fault: Some(fault), ..self }
    }

    /// One that meets a second fault.
    #[must_use]
    pub const fn and_meeting(self, fault: Fault<'a>) -> Self {
        Self { second: Some(fault), ..self }
    }

    /// One on a disk with so many bytes left.
    #[must_use]
    pub const fn with_space(self, space: u64) -> Self {
        Self { space: Some(space), ..self }
    }

    /// The command, for those who start it themselves.
    pub fn command(&self, job: Job, home: &Path) -> Command {
        let mut command = Command::new(self.program);
        command.arg("work").arg(job.word()).arg(home).env("LD_PRELOAD", INTERPOSER);
        command.env("FAULTS_ROOT", home).stdin(Stdio::null());
        for (fault, prefix) in [(&self.fault, "FAULTS_"), (&self.second, "FAULTS_2_")] {
            command.envs(fault.iter().flat_map(|fault| fault.environment(prefix)));
        }
        if let Some(space) = self.space {
            command.env("FAULTS_SPACE", space.to_string());
        }
        command
    }

    /// Performs the job.
    ///
    /// # Errors
    ///
    /// If the worker cannot be started.
    pub fn perform(&self, job: Job, home: &Path) -> io::Result<Told> {
        told(&mut self.command(job, home))
    }

    /// Performs the job, and tells of every call: kind, path, and the negative errno or the
    /// result.
    ///
    /// # Errors
    ///
    /// If the worker cannot be started, or its log not be read.
    pub fn calls(&self, job: Job, home: &Path) -> io::Result<(Told, Vec<Call>)> {
        let log = tempfile::NamedTempFile::new()?;
        let told = told(self.command(job, home).env("FAULTS_LOG", log.path()))?;
        let text = std::fs::read_to_string(log.path())?;
        Ok((told, text.lines().filter_map(Call::parse).collect()))
    }

    /// Performs the job, and tells of every change that it made to files, from its beginning to
    /// its end.
    ///
    /// # Errors
    ///
    /// If the worker cannot be started, or its journal not be read.
    pub fn changes(&self, job: Job, home: &Path) -> io::Result<(Told, Vec<Change>)> {
        let kept = tempfile::NamedTempFile::new()?;
        let told = told(self.command(job, home).env("FAULTS_JOURNAL", kept.path()))?;
        Ok((told, journal::parse(&std::fs::read(kept.path())?)?))
    }
}

/// Runs a command to its end, and gives what it told.
///
/// # Errors
///
/// If it cannot be started.
pub fn told(command: &mut Command) -> io::Result<Told> {
    let output = command.output()?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (word, text) = line.split_once(' ').unwrap_or((line, ""));
        (word.to_owned(), text.to_owned())
    };
    Ok(Told {
        signal: output.status.signal(),
        is_sound: output.status.success(),
        lines: lines.lines().map(line).collect(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// One call of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its kind.
    pub kind: String,
    /// The path below the cache directory.
    pub path: PathBuf,
    /// What it gave, or the negative errno.
    pub result: i64,
}

impl Call {
    fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        let (path, result) = rest.rsplit_once(' ')?;
        let (kind, path) = (kind.to_owned(), PathBuf::from(path));
        Some(Self { kind, path, result: result.parse().ok()? })
    }
}
