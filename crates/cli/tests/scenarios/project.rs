//! A project in a directory of its own, a cache of its own, and the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A project, in whose files `RAN` stands for a file beside it that commands write to.
pub struct Project(TempDir);

impl Project {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    /// With the operation file alone.
    pub fn of(text: &str) -> Self {
        Self::new(&[("p.yaml", text)])
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join("project").join(name)
    }

    /// A place outside of the project.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let text = text.replace("RAN", &self.beside("ran").display().to_string());
        let text = text.replace("GATE", &self.beside("go").display().to_string());
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// Replaces a text that is there.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not hold `{from}`: {text}");
        self.write(name, &text.replace(from, to));
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thrifty"));
        command.args(words).current_dir(self.at("")).env("PATH", path()).env("USER", "ada");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("THRIFTY_")) {
            command.env_remove(name);
        }
        command.env("THRIFTY_HOME", self.beside("home"));
        command
    }

    pub fn said(&self, words: &[&str]) -> Said {
        Said::of(&self.command(words).output().unwrap())
    }

    /// What a command that succeeds tells.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        let said = self.said(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.all());
        said.all()
    }

    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let said = self.said(words);
        let parsed = serde_json::from_str(&said.out);
        parsed.unwrap_or_else(|error| panic!("{words:?}: {error}: {}", said.all()))
    }

    /// Runs the file; gives what became of its operations.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> Vec<String> {
        self.ok(&[&["run", "p.yaml"], words].concat());
        self.outcomes()
    }

    /// `name outcome` of each operation of the newest run; every kind of hit is `hit`.
    #[track_caller]
    pub fn outcomes(&self) -> Vec<String> {
        let nodes = self.nodes();
        nodes
            .iter()
            .map(|node| {
                let outcome = node["outcome"].as_str().unwrap();
                let outcome = if outcome.starts_with("hit") { "hit" } else { outcome };
                format!("{} {outcome}", node["name"].as_str().unwrap())
            })
            .collect()
    }

    /// The operations of the newest run.
    #[track_caller]
    pub fn nodes(&self) -> Vec<Value> {
        self.json(&["show", "--json"])["nodes"].as_array().unwrap().clone()
    }

    pub fn newest(&self) -> String {
        self.json(&["runs", "--limit", "1", "--json"])[0]["id"].as_str().unwrap().to_owned()
    }

    /// What wrote its name into `RAN` since this was last asked, sorted.
    pub fn ran(&self) -> String {
        let text = fs::read_to_string(self.beside("ran")).unwrap_or_default();
        _ = fs::remove_file(self.beside("ran"));
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        lines.join(" ")
    }

    /// Has the command begin, and does not wait for it.
    pub fn begin(&self, words: &[&str]) -> Begun {
        let mut command = self.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Begun(Some(command.spawn().unwrap()))
    }

    /// Waits until so many bodies have written into `RAN`.
    pub fn until_ran(&self, times: usize) {
        let ran = self.beside("ran");
        until("a body runs", || {
            fs::read_to_string(&ran).is_ok_and(|text| text.lines().count() >= times)
        });
    }

    /// Waits until an operation of some run waits for who computes it already.
    pub fn until_waiting(&self) {
        until("somebody waits", || {
            let runs = self.json(&["runs", "--json"]);
            runs.as_array().unwrap().iter().any(|run| {
                let shown = self.json(&["show", run["id"].as_str().unwrap(), "--json"]);
                shown["nodes"].as_array().unwrap().iter().any(|it| it["outcome"] == "waiting")
            })
        });
    }

    /// Lets go on the bodies that wait for `GATE`.
    pub fn go(&self) {
        fs::write(self.beside("go"), "").unwrap();
    }
}

/// What a command wrote, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Self { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// A command that runs; it is killed where nobody waits for it.
pub struct Begun(Option<Child>);

impl Begun {
    pub fn end(mut self) -> Said {
        Said::of(&self.0.take().unwrap().wait_with_output().unwrap())
    }

    /// Kills it as a machine does that has no memory left.
    pub fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "in a minute it is not so that {what}");
        thread::yield_now();
    }
}

/// Where programs are, `python3` itself in front: a program that chooses one takes its time.
fn path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let print =
            "import os, sys; print(os.path.dirname(sys.executable), os.environ['PATH'], sep=':')";
        let said = Command::new("python3").args(["-c", print]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    })
}

/// The files below a directory that have this length.
pub fn of_length(directory: &Path, length: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let metadata = entry.metadata().unwrap();
        match metadata.is_dir() {
            true => found.extend(of_length(&entry.path(), length)),
            false if metadata.len() == length => found.push(entry.path()),
            false => {}
        }
    }
    found
}
