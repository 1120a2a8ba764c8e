//! Commands in containers. The container engine is a program that stands in for one: it keeps what
//! it was asked, and runs the command right here with the variables it was given.

#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ENGINE: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/asked"
case $1 in
image) cat "$here/images/$5" 2> /dev/null || { echo "Error: no such image $5" >&2; exit 125; } ;;
kill) echo "$3" >> "$here/killed" ;;
run)
  shift
  env="PATH=$PATH"
  while :; do
    case $1 in
    --workdir) cd "$2" || exit 125; shift 2 ;;
    --env) case $2 in *=*) pair=$2 ;; *) pair="$2=$(printenv "$2")" ;; esac
           env="$env
$pair"; shift 2 ;;
    --entrypoint) program=$2; shift 2 ;;
    --rm | --userns=*) shift ;;
    --*) shift 2 ;;
    *) break ;;
    esac
  done
  shift
  IFS='
'
  exec env -i $env "$program" "$@" ;;
esac
"#;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

struct Project(tempfile::TempDir);

impl Project {
    fn new(operation: &str) -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(project.at("bin/images")).unwrap();
        project.write("bin/podman", ENGINE);
        fs::set_permissions(project.at("bin/podman"), fs::Permissions::from_mode(0o755)).unwrap();
        project.write("p/data.txt", "data\n");
        project.write(
            "p/p.yaml",
            &format!("operations:\n  one:\n{operation}    cache: {{disable: false}}\noutputs: {{o: {{from: one.o, to: o}}}}\n"),
        );
        project
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    fn output(&self, more: &[&str], path: Option<&Path>) -> Output {
        let path = path.map_or_else(|| self.at("bin"), Path::to_owned);
        let path = format!("{}:/usr/bin:/bin", path.display());
        Command::new(env!("CARGO_BIN_EXE_thrifty"))
            .args(["run", "p.yaml"])
            .args(more)
            .current_dir(self.at("p"))
            .env("THRIFTY_HOME", self.at("home"))
            .env("PATH", path)
            .env("UNDECLARED", "seen")
            .output()
            .unwrap()
    }

    /// Runs the file, and gives what it told.
    fn run(&self, more: &[&str]) -> String {
        let output = self.output(more, None);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        told
    }

    fn refused(&self, path: Option<&Path>) -> String {
        let output = self.output(&[], path);
        assert_eq!(output.status.code(), Some(2));
        let begun = self.read("bin/asked").lines().any(|line| line.starts_with("run "));
        assert!(!begun && !self.at("p/o").exists(), "nothing has run");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

const COPY: &str = "    run: cp {{ inputs.data }} o
    inputs: {data: data.txt}
    outputs: {o: o}
    image: tools:latest
";

#[test]
fn an_image_counts_by_what_it_is_and_not_by_its_name() {
    let project = Project::new(COPY);
    project.write("bin/images/tools:latest", &format!("sha256:{ONE}\n"));
    assert!(project.run(&[]).contains("1 computed, 0 hits"));
    assert_eq!(project.read("p/o"), "data\n");
    assert!(project.run(&[]).contains("1 hit"));
    // The same name is another image now.
    project.write("bin/images/tools:latest", TWO);
    assert!(project.run(&[]).contains("1 computed, 0 hits"));
    // Another name of the first image.
    project.write("bin/images/tools:old", ONE);
    project.write("p/p.yaml", &project.read("p/p.yaml").replace("tools:latest", "tools:old"));
    assert!(project.run(&[]).contains("1 hit"));
    let asked = project.read("bin/asked");
    let started: Vec<_> = asked.lines().filter(|line| line.starts_with("run ")).collect();
    assert_eq!(started.len(), 2);
    assert!(started[0].contains(ONE) && started[1].contains(TWO), "{asked}");
    assert!(!started[0].contains("tools"), "it runs what it was keyed by: {asked}");
}

#[test]
fn whether_there_is_a_network_counts_and_there_is_none_unless_asked_for() {
    let project = Project::new(COPY);
    project.write("bin/images/tools:latest", ONE);
    project.run(&[]);
    assert!(project.read("bin/asked").contains("--network none"));
    fs::remove_file(project.at("bin/asked")).unwrap();
    let file = project.read("p/p.yaml");
    project.write("p/p.yaml", &file.replace("tools:latest", "{name: tools:latest, network: true}"));
    assert!(project.run(&[]).contains("1 computed"));
    assert!(!project.read("bin/asked").contains("--network"));
}

#[test]
fn a_container_has_the_directory_the_inputs_and_the_declared_variables() {
    let project = Project::new(
        "    run: env | sort > o
    inputs: {data: data.txt}
    outputs: {o: o}
    image: tools
    env: {GIVEN: a b, PATH: '/usr/bin:/bin'}
",
    );
    project.write("bin/images/tools", ONE);
    project.run(&[]);
    let seen = project.read("p/o");
    assert!(seen.contains("GIVEN=a b\n") && seen.contains("HOME=/tmp\n"), "{seen}");
    assert!(!seen.contains("UNDECLARED") && !seen.contains("THRIFTY"), "{seen}");
    let asked = project.read("bin/asked");
    let started = asked.lines().find(|line| line.starts_with("run ")).unwrap();
    let data = project.at("p/data.txt").canonicalize().unwrap();
    let readonly = format!("source={0},target={0},readonly", data.display());
    let is_there = started.contains(&readonly) || started.contains("/p,readonly");
    assert!(is_there && started.contains("--env GIVEN "), "{started}");
    assert!(!started.contains("GIVEN=a"), "no value is shown to who lists processes: {started}");
    let uid = rustix::process::geteuid();
    let user = if uid.is_root() { "--user 0:" } else { "--userns=keep-id" };
    assert!(started.contains(user), "{started}");
}

#[test]
fn a_time_out_ends_the_container_and_not_only_who_started_it() {
    let project = Project::new(
        "    run: sleep 60\n    outputs: {o: o}\n    image: tools\n    timeout: 50ms\n",
    );
    project.write("bin/images/tools", ONE);
    let output = project.output(&[], None);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("it took longer than its `timeout`"), "{told}");
    let (asked, killed) = (project.read("bin/asked"), project.read("bin/killed"));
    assert!(!killed.trim().is_empty(), "{asked}");
    assert!(asked.contains(&format!("--name {} ", killed.trim())), "{asked}");
}

#[test]
fn no_engine_and_no_image_are_told_with_their_place_before_anything_runs() {
    let project = Project::new(COPY);
    let told = project.refused(None);
    assert!(told.contains("p.yaml:6:12: image `tools:latest` is not there (Error: no such image"));
    assert!(told.contains("pull tools:latest`"), "{told}");
    project.write("bin/images/tools:latest", "a word\n");
    assert!(project.refused(None).contains("does not say the id of image `tools:latest`"));
    let empty = project.at("empty");
    fs::create_dir(&empty).unwrap();
    if !["podman", "docker"].iter().any(|name| Path::new("/usr/bin").join(name).exists()) {
        let told = project.refused(Some(&empty));
        assert!(told.contains("p.yaml:6:12: `image` needs podman or docker"), "{told}");
    }
    let file = project.read("p/p.yaml");
    project.write("p/p.yaml", &file.replace("tools:latest", "--privileged"));
    assert!(project.refused(None).contains("p.yaml:6:12: `image`: `--privileged` is no name"));
}

#[test]
fn packages_of_a_command_in_an_image_are_those_of_the_image() {
    let operation = "    run: python3.99 train.py > o\n    outputs: {o: o}\n    image: tools\n";
    let project = Project::new(operation);
    project.write("bin/images/tools", ONE);
    project.write("p/train.py", "import numpy\n");
    let plan = project.output(&["--dry-run"], None);
    assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
    project.write("p/p.yaml", &project.read("p/p.yaml").replace("    image: tools\n", ""));
    let plan = project.output(&["--dry-run"], None);
    assert!(String::from_utf8_lossy(&plan.stderr).contains("python3.99"), "outside it is asked");
}
