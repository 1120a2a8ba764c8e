//! A project in a directory of its own, with a cache.

#![allow(clippy::unwrap_used, dead_code)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use thrifty_engine::Cache;
use thrifty_engine::event::Event;
use thrifty_pipeline::{Chosen, Demand, Ended, Pipeline, Resources, Tick, Variation};

/// A project and a cache of its own.
pub struct Project {
    pub directory: TempDir,
}

impl Project {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        files.iter().for_each(|(name, text)| project.write(name, text));
        project
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join("project").join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        std::fs::write(self.at(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    pub fn run(&self, set: &[(&str, &str)]) -> (Ended, Vec<String>) {
        self.run_with(set, &|| false, |_| ())
    }

    /// Runs the pipeline; gives its end, and `name outcome` of each operation, sorted.
    pub fn run_with(
        &self,
        set: &[(&str, &str)],
        interrupted: &(dyn Fn() -> bool + Sync),
        change: impl FnOnce(&mut Demand<'_>),
    ) -> (Ended, Vec<String>) {
        let params = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let variation = Variation { params, ..Variation::default() };
        self.run_file("p.yaml", &variation, interrupted, change)
    }

    /// The same of another file, or of a variation.
    pub fn run_file(
        &self,
        file: &str,
        variation: &Variation,
        interrupted: &(dyn Fn() -> bool + Sync),
        change: impl FnOnce(&mut Demand<'_>),
    ) -> (Ended, Vec<String>) {
        let pipeline = Pipeline::read_with(&self.at(file), variation, &|_| None).unwrap();
        self.run_pipeline(&pipeline, interrupted, change)
    }

    /// Runs the pipeline for a tick of its schedule.
    pub fn run_for(&self, tick: &Tick) -> (Ended, Vec<String>) {
        let variation = Variation { tick: Some(tick.timestamp()), ..Variation::default() };
        let read = Pipeline::read_with(&self.at("p.yaml"), &variation, &|_| None);
        self.run_pipeline(&read.unwrap(), &|| false, |_| ())
    }

    fn run_pipeline(
        &self,
        pipeline: &Pipeline,
        interrupted: &(dyn Fn() -> bool + Sync),
        change: impl FnOnce(&mut Demand<'_>),
    ) -> (Ended, Vec<String>) {
        let home = self.directory.path().join("home");
        let settled = Arc::new(Mutex::new(Vec::new()));
        let listener = {
            let settled = Arc::clone(&settled);
            Arc::new(move |event: &Event| {
                if let Event::Settled { operation, outcome, .. } = event {
                    let word = if outcome.is_hit() { "hit" } else { outcome.word() };
                    settled
                        .lock()
                        .unwrap()
                        .push(format!("{} {word}", operation.split_once(':').unwrap().1));
                }
            })
        };
        let mut demand = Demand {
            cache: Cache::open(&home).unwrap(),
            work: home.join("work"),
            chosen: Chosen::default(),
            only: Vec::new(),
            workers: 2,
            capacity: Resources::BOUNDLESS,
            interrupted,
            listener,
            arguments: String::new(),
            keeping: thrifty_pipeline::Keeping::default(),
            language: None,
        };
        change(&mut demand);
        let ended = pipeline.run(demand).unwrap();
        let mut settled = settled.lock().unwrap().clone();
        settled.sort();
        let left = std::fs::read_dir(home.join("work")).into_iter().flatten();
        // What is locked for those who collect is no directory of anybody.
        let left: Vec<_> = left.map(|it| it.unwrap().path()).filter(|it| it.is_dir()).collect();
        assert!(left.is_empty(), "no attempt leaves its directory: {left:?}");
        (ended, settled)
    }

    /// Why a run cannot begin.
    pub fn refused(&self, set: &[(&str, &str)]) -> String {
        self.refused_with(set, |_| ())
    }

    /// The same of a run that is demanded otherwise.
    pub fn refused_with(
        &self,
        set: &[(&str, &str)],
        change: impl FnOnce(&mut Demand<'_>),
    ) -> String {
        let set: Vec<_> = set.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let pipeline = Pipeline::read(&self.at("p.yaml"), &set, &|_| None).unwrap();
        let home = self.directory.path().join("home");
        let mut demand = Demand {
            cache: Cache::open(&home).unwrap(),
            work: home.join("work"),
            chosen: Chosen::default(),
            only: Vec::new(),
            workers: 2,
            capacity: Resources::BOUNDLESS,
            interrupted: &|| false,
            listener: Arc::new(|_: &_| ()),
            arguments: String::new(),
            keeping: thrifty_pipeline::Keeping::default(),
            language: None,
        };
        change(&mut demand);
        pipeline.run(demand).unwrap_err().to_string()
    }
}

/// Where programs are, `python3` itself in front: a program that chooses one takes its time.
pub fn path() -> &'static str {
    static PATH: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    PATH.get_or_init(|| {
        let print =
            "import os, sys; print(os.path.dirname(sys.executable), os.environ['PATH'], sep=':')";
        let said = std::process::Command::new("python3").args(["-c", print]).output().unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    })
}
