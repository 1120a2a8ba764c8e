//! What a killed run leaves, and who collects it.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Says that it runs, and goes on when it is told to, by way of two pipes with names.
const FILE: &str = "operations:
  slow:
    run: sh slow.sh BEGUN GO > {{ outputs.o }}
    outputs: {o: o}
";

struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        for name in ["killed", "alive"] {
            let pipe = |kind: &str| {
                let path = project.at(&format!("{name}.{kind}"));
                assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
                path.display().to_string()
            };
            let text = FILE.replace("BEGUN", &pipe("begun")).replace("GO", &pipe("go"));
            fs::write(project.at(&format!("{name}.yaml")), text).unwrap();
        }
        fs::write(project.at("slow.sh"), "echo begun > $1\nread go < $2\necho $go\n").unwrap();
        project
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn thrifty(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_thrifty"));
        command.current_dir(self.0.path()).env("THRIFTY_HOME", self.at("home"));
        command
    }

    /// Begins a run, and returns when its command runs.
    fn begin(&self, name: &str) -> Child {
        let mut command = self.thrifty();
        let run = command.args(["run", &format!("{name}.yaml")]).stderr(Stdio::null());
        let child = run.stdout(Stdio::null()).spawn().unwrap();
        let mut begun = String::new();
        File::open(self.at(&format!("{name}.begun"))).unwrap().read_to_string(&mut begun).unwrap();
        assert_eq!(begun, "begun\n");
        child
    }

    fn go_on(&self, name: &str) {
        File::create(self.at(&format!("{name}.go"))).unwrap().write_all(b"on\n").unwrap();
    }

    /// How many directories there are in which somebody works.
    fn working(&self) -> usize {
        let names = fs::read_dir(self.at("home/work")).unwrap().map(|it| it.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains('-')).count()
    }

    fn leftovers(&self, words: &[&str]) -> u64 {
        let output = self.thrifty().args(["gc", "--json"]).args(words).output().unwrap();
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        told["leftovers"].as_u64().unwrap()
    }
}

#[test]
fn the_directories_of_a_killed_run_are_collected_and_those_of_a_live_one_stay() {
    let project = Project::new();
    let mut killed = project.begin("killed");
    let mut alive = project.begin("alive");
    let each = project.working() / 2;
    assert!(each > 0);
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Its command is not killed with it; it ends without anybody to take what it gives.
    project.go_on("killed");
    assert_eq!(project.leftovers(&["--dry-run"]), each as u64);
    assert_eq!(project.working(), 2 * each);
    assert_eq!(project.leftovers(&[]), each as u64);
    assert_eq!((project.working(), project.leftovers(&[])), (each, 0));
    project.go_on("alive");
    assert!(alive.wait().unwrap().success());
    assert_eq!(project.working(), 0);
}
