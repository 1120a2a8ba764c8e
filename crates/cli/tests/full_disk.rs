//! `thrifty gc` on a disk without a free byte: a small filesystem in memory, which only the
//! superuser can make.

#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use thrifty_cli::{
    CheckReport, CheckRequest, Console, Host, HostError, PlanReport, RunReport, RunRequest, main_in,
};
use thrifty_engine::Cache;
use thrifty_engine::catalog::{Scope, Selector};
use thrifty_engine::event::Listener;

/// A filesystem of this size, until it is dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where nobody may make one.
    fn mount(size: &str) -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "thrifty-test"])
            .arg(place.path())
            .output();
        mount.is_ok_and(|done| done.status.success()).then_some(Self(place))
    }

    fn fill(&self) {
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.0.path().join("filling"))
            .unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn home(&self) -> PathBuf {
        self.0.path().join("cache")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).output().unwrap();
    }
}

struct Nobody;

impl Host for Nobody {
    fn is_interrupted(&self) -> bool {
        false
    }

    fn run_workflow(&self, _: &RunRequest, _: Arc<Listener>) -> Result<RunReport, HostError> {
        Err(HostError::Unavailable("nobody".to_owned()))
    }

    fn plan_workflow(&self, _: &RunRequest) -> Result<PlanReport, HostError> {
        Err(HostError::Unavailable("nobody".to_owned()))
    }

    fn check_workflow(&self, _: &CheckRequest, _: Arc<Listener>) -> Result<CheckReport, HostError> {
        Err(HostError::Unavailable("nobody".to_owned()))
    }
}

fn thrifty(home: &Path, arguments: &[&str]) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let variables = HashMap::from([
        ("THRIFTY_HOME", home.as_os_str().to_owned()),
        ("THRIFTY_PROJECT", OsString::from("lab")),
    ]);
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: None,
        width: None,
        is_live: false,
        is_coloured: false,
        directory: home.to_owned(),
        variables: &|name| variables.get(name).cloned(),
    };
    let arguments = ["thrifty"].iter().chain(arguments).map(OsString::from).collect();
    let code = main_in(arguments, &Nobody, &mut console);
    (code, String::from_utf8([out, err].concat()).unwrap())
}

fn open(home: &Path) -> Arc<Cache> {
    let scope = Scope { project: "lab".to_owned(), domain: "development".to_owned() };
    Cache::open_scope(home, scope).unwrap()
}

/// What does not fit even beside the ballast is no matter for `thrifty gc`.
#[test]
fn a_disk_too_small_for_gc_is_told_another_way_out() {
    let Some(small) = Small::mount("600k") else {
        eprintln!("skipped: only the superuser can mount a filesystem");
        return;
    };
    let home = small.home();
    drop(open(&home));
    small.fill();
    let (code, said) = thrifty(&home, &["gc"]);
    assert_eq!(code, 3, "{said}");
    let place = home.display().to_string();
    assert!(said.contains("no space left") && said.contains(&place), "{said}");
    assert!(!said.contains("run `thrifty gc`"), "{said}");
}

/// Beside a process that has the cache open, and alone, when not even the files beside the
/// catalog can be made.
#[test]
fn gc_works_without_a_free_byte() {
    for is_open in [true, false] {
        let Some(small) = Small::mount("24m") else {
            eprintln!("skipped: only the superuser can mount a filesystem");
            return;
        };
        let home = small.home();
        let cache = open(&home);
        let text = |n: i64| Ok::<_, std::io::Error>(format!("{n:08}").repeat(2_000));
        for n in 0..400_i64 {
            cache.get_or_compute("text v1", &n, || text(n)).unwrap();
        }
        let mut cache = Some(cache).filter(|_| is_open);
        small.fill();
        if let Some(cache) = &mut cache {
            // Hits are served, and what cannot be stored is computed all the same.
            let kept = cache.get_or_compute("text v1", &7_i64, || text(0)).unwrap();
            assert!(kept.starts_with("00000007"));
            let new = cache.get_or_compute("text v1", &1_000_i64, || text(1_000)).unwrap();
            assert!(new.starts_with("00001000"));
        }
        let (code, said) = thrifty(&home, &["gc", "--budget", "1MB"]);
        assert_eq!(code, 0, "{said}");
        drop(cache);
        let left = open(&home).catalog().entries(None, &Selector::default(), 1_000).unwrap();
        assert!((1..80).contains(&left.len()), "{}", left.len());
        let (code, said) = thrifty(&home, &["fsck", "--full"]);
        assert_eq!(code, 0, "{said}");
        assert!(home.join("ballast").metadata().unwrap().len() >= 1 << 20);
        // There is space to work with again.
        fs::write(small.0.path().join("free"), vec![1; 2 << 20]).unwrap();
    }
}
