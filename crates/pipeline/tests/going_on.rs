//! Runs that fail, are interrupted, and go on: checkpoints, artifacts, resume, recover, replay.

#![allow(clippy::unwrap_used)]

mod project;

use std::path::PathBuf;

use project::Project;
use serde_json::json;
use thrifty_engine::catalog::{Run, RunFilter, RunId, RunStatus, Selector};
use thrifty_engine::{Cache, Mode};
use thrifty_pipeline::{
    Chosen, Copies, Demand, Ended, Gave, Going, Keeping, Pipeline, PrepareError, Resources,
    RunDirectory, annotations_of,
};

impl Project {
    fn runs(&self) -> PathBuf {
        self.directory.path().join("home/runs")
    }

    fn cache(&self) -> std::sync::Arc<Cache> {
        Cache::open(self.directory.path().join("home")).unwrap()
    }

    /// The run as the catalog knows it.
    fn known(&self, ended: &Ended) -> Run {
        let filter = RunFilter { id_prefix: ended.run.clone(), ..RunFilter::default() };
        self.cache().catalog().runs(None, &filter).unwrap().remove(0)
    }

    fn go_on(
        &self,
        set: &[(&str, &str)],
        mode: Option<Mode>,
        going: Going,
    ) -> (Ended, Vec<String>) {
        self.run_with(set, &|| false, |demand| {
            demand.chosen.mode = mode;
            demand.keeping.going = going;
        })
    }

    fn resume(&self, set: &[(&str, &str)], ended: &Ended) -> (Ended, Vec<String>) {
        self.go_on(set, Some(Mode::Off), Going::Resume(Box::new(self.known(ended))))
    }

    fn refuses(&self, going: Going) -> PrepareError {
        let pipeline = Pipeline::read(&self.at("p.yaml"), &[], &|_| None).unwrap();
        let home = self.directory.path().join("home");
        let demand = Demand {
            cache: self.cache(),
            work: home.join("work"),
            chosen: Chosen::default(),
            only: Vec::new(),
            workers: 1,
            capacity: Resources::BOUNDLESS,
            interrupted: &|| false,
            listener: std::sync::Arc::new(|_: &_| ()),
            arguments: String::new(),
            language: None,
            keeping: Keeping { going, ..Keeping::default() },
        };
        pipeline.run(demand).unwrap_err()
    }
}

fn id(ended: &Ended) -> RunId {
    RunId(ended.run.clone().unwrap())
}

/// Three operations in a row; each says that it ran, and the last fails until it may pass.
const THREE: &str = "params: {rate: 1}
operations:
  first: {run: 'echo first >> RAN; echo one > {{ outputs.o }}', outputs: {o: o}}
  second:
    run: 'echo second >> RAN; cat {{ inputs.o }} > {{ outputs.p }}; echo {{ params.rate }} >> {{ outputs.p }}'
    inputs: {o: {from: first.o}}
    outputs: {p: p}
  third:
    run: 'echo third >> RAN; [ -e PASS ]; cat {{ inputs.p }} > {{ outputs.q }}; echo end >> {{ outputs.q }}'
    inputs: {p: {from: second.p}}
    outputs: {q: q}
outputs: {q: {from: third.q, to: got}}
";

fn three() -> Project {
    let project = Project::new(&[]);
    let place = |name: &str| project.at(name).display().to_string();
    project.write("p.yaml", &THREE.replace("RAN", &place("ran")).replace("PASS", &place("pass")));
    project
}

impl Project {
    /// What ran since this was last asked.
    fn ran(&self) -> String {
        let ran = std::fs::read_to_string(self.at("ran")).unwrap_or_default();
        _ = std::fs::remove_file(self.at("ran"));
        ran.lines().collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_failed_run_goes_on_as_the_same_run_and_what_it_finished_stays() {
    let project = three();
    let (failed, _) = project.go_on(&[], Some(Mode::Off), Going::Anew);
    assert_eq!((failed.status, project.ran().as_str()), (RunStatus::Failed, "first second third"));
    project.write("pass", "");
    let (resumed, settled) = project.resume(&[], &failed);
    assert_eq!(settled, ["first skipped", "second skipped", "third uncached"]);
    assert_eq!((resumed.run, project.ran().as_str()), (failed.run.clone(), "third"));
    assert_eq!(project.read("got"), "one\n1\nend\n");
    assert_eq!(project.known(&failed).status, RunStatus::Succeeded);
    // What no cache took stayed only as long as the run was not whole.
    assert!(!project.runs().join(failed.run.unwrap()).join("results").exists());
}

#[test]
fn what_was_edited_meanwhile_runs_again() {
    let project = three();
    let (failed, _) = project.go_on(&[], Some(Mode::Off), Going::Anew);
    project.ran();
    project.write("pass", "");
    let text = project.read("p.yaml").replace("echo one", "echo two");
    project.write("p.yaml", &text);
    let (_, settled) = project.resume(&[], &failed);
    assert_eq!(settled, ["first uncached", "second uncached", "third uncached"]);
    assert_eq!(project.read("got"), "two\n1\nend\n");
}

#[test]
fn of_two_that_have_a_run_go_on_one_does() {
    let project = three();
    let (failed, _) = project.run(&[]);
    let before = project.known(&failed);
    project.write("pass", "");
    project.go_on(&[], None, Going::Resume(Box::new(before.clone())));
    // This process had it go on, so that it is no longer as it was seen.
    let seen = Run { process: "another".to_owned(), ..before };
    let error = project.refuses(Going::Resume(Box::new(seen))).to_string();
    assert!(error.contains("another process has it go on"), "{error}");
}

#[test]
fn a_run_recovers_what_succeeded_before_also_without_a_cache() {
    let project = three();
    let (failed, _) = project.go_on(&[], Some(Mode::Off), Going::Anew);
    project.ran();
    project.write("pass", "");
    let (recovered, settled) = project.go_on(&[], Some(Mode::Off), Going::Recover(id(&failed)));
    assert_eq!(settled, ["first skipped", "second skipped", "third uncached"]);
    assert_ne!(recovered.run, failed.run);
    assert_eq!((project.ran().as_str(), project.read("got").as_str()), ("third", "one\n1\nend\n"));
    // With other params, what they change is not taken.
    let (_, settled) =
        project.go_on(&[("rate", "2")], Some(Mode::Off), Going::Recover(id(&failed)));
    assert_eq!(settled, ["first skipped", "second uncached", "third uncached"]);
    assert_eq!(project.read("got"), "one\n2\nend\n");
}

#[test]
fn a_replay_takes_what_stands_before_as_it_was_and_makes_no_candidate_of_it() {
    let project = three();
    project.write("pass", "");
    let (whole, _) = project.run(&[]);
    project.ran();
    // The first operation is another one by now; it is taken as it was all the same.
    let text = project.read("p.yaml").replace("echo one", "echo two");
    project.write("p.yaml", &text);
    let replay = |from: &str| Going::Replay { run: id(&whole), from: vec![from.to_owned()] };
    let (replayed, settled) = project.go_on(&[("rate", "7")], None, replay("second"));
    assert_eq!(settled, ["first skipped", "second computed", "third computed"]);
    assert_eq!(
        (project.ran().as_str(), project.read("got").as_str()),
        ("second third", "one\n7\nend\n")
    );
    // An ordinary run computes the first operation, and finds nothing that was made of the old one.
    let (_, settled) = project.run(&[("rate", "7")]);
    assert_eq!(settled, ["first computed", "second computed", "third computed"]);
    assert_eq!(project.read("got"), "two\n7\nend\n");
    // With the old text the results of the replay are right, and are hits.
    let text = project.read("p.yaml").replace("echo two", "echo one");
    project.write("p.yaml", &text);
    assert_eq!(project.run(&[("rate", "7")]).1, ["first hit", "second hit", "third hit"]);
    // A replay of a replay finds what that one took.
    let again = Going::Replay { run: id(&replayed), from: vec!["third".to_owned()] };
    let (_, settled) = project.go_on(&[("rate", "7")], Some(Mode::Refresh), again);
    assert_eq!(settled, ["first skipped", "second skipped", "third computed"]);
}

#[test]
fn a_replay_that_lacks_something_is_refused_before_anything_runs() {
    let project = three();
    project.write("pass", "");
    let (whole, _) = project.go_on(&[], Some(Mode::Off), Going::Anew);
    project.ran();
    let replay = |from: &str| Going::Replay { run: id(&whole), from: vec![from.to_owned()] };
    let error = project.refuses(replay("third")).to_string();
    assert!(
        error.contains("the result of `second` is there no longer, or was never kept"),
        "{error}"
    );
    let error = project.refuses(replay("thrid")).to_string();
    assert!(error.contains("there is no operation `thrid`; did you mean `third`?"), "{error}");
    assert_eq!(project.ran(), "");
}

/// Adds a line to a checkpoint in each attempt, and passes when it has three.
const TRAIN: &str = "params: {rate: 1}
operations:
  train:
    run: |
      echo {{ params.rate }} >> {{ run.checkpoints }}/epochs
      [ \"$THRIFTY_CHECKPOINTS/epochs\" -ef ckpt/epochs ]
      [ $(wc -l < ckpt/epochs) -ge 3 ]
      cp ckpt/epochs {{ outputs.model }}
    checkpoints: ckpt/
    RETRIES
    outputs: {model: model}
outputs: {model: {from: train.model, to: got}}
";

#[test]
fn an_attempt_goes_on_from_what_those_before_it_left() {
    let project = Project::new(&[("p.yaml", &TRAIN.replace("RETRIES", "retries: {limit: 2}"))]);
    let (ended, settled) = project.run(&[]);
    assert_eq!((ended.status, settled), (RunStatus::Succeeded, vec!["train computed".to_owned()]));
    assert_eq!(project.read("got"), "1\n1\n1\n");
}

/// As the command of a run that was killed, which nobody ends.
#[test]
fn nothing_goes_on_beside_a_command_that_still_writes_to_its_checkpoints() {
    let text = "operations:
  train:
    run: |
      [ ! -e ckpt/begun ] || exit 0
      echo > ckpt/begun
      python3 -c 'import os, time; os.setsid(); open(\"ckpt/pid\", \"w\").write(str(os.getpid()) + \"\\n\"); time.sleep(600)' &
      while [ ! -s ckpt/pid ]; do sleep 0.01; done
      exit 1
    checkpoints: ckpt/
";
    let project = Project::new(&[("p.yaml", text)]);
    let (failed, _) = project.run(&[]);
    assert_eq!(failed.status, RunStatus::Failed);
    let (again, _) = project.resume(&[], &failed);
    let told = &again.failures[0].1;
    assert!(told.contains("a command of an earlier attempt still runs"), "{told}");
    let all = RunDirectory::of(&project.runs(), &id(&failed).0).path().join("checkpoints/train");
    let found = std::fs::read_dir(all).unwrap().map(|it| it.unwrap().path().join("pid"));
    let pid = found.filter_map(|path| std::fs::read_to_string(path).ok()).next().unwrap();
    assert!(std::process::Command::new("kill").arg(pid.trim()).status().unwrap().success());
    // It ends when it ends.
    let ended = (0..10_000).map(|_| project.resume(&[], &failed).0);
    assert!(ended.into_iter().any(|ended| ended.status == RunStatus::Succeeded));
}

#[test]
fn checkpoints_of_other_params_are_never_found() {
    let project = Project::new(&[("p.yaml", &TRAIN.replace("RETRIES", ""))]);
    let (failed, _) = project.run(&[]);
    let (failed, _) = project.resume(&[], &failed);
    assert_eq!(failed.status, RunStatus::Failed, "there are two of three epochs");
    // With another rate it begins anew, although it is the same run.
    let (failed, _) = project.resume(&[("rate", "2")], &failed);
    assert_eq!(failed.status, RunStatus::Failed);
    let (ended, _) = project.resume(&[], &failed);
    assert_eq!((ended.status, project.read("got").as_str()), (RunStatus::Succeeded, "1\n1\n1\n"));
    // Another run finds none of them.
    assert_eq!(project.run(&[]).0.status, RunStatus::Failed);
}

const DRAW: &str = "operations:
  draw:
    run: 'ls {{ run.artifacts }} | tr \"\\n\" \" \" > {{ outputs.seen }}; echo x > \"$THRIFTY_ARTIFACTS/new\"'
    artifacts: art/
    outputs: {seen: seen}
  other: {run: 'echo other > o', outputs: {o: o}}
outputs: {seen: {from: draw.seen, to: got}}
";

#[test]
fn copied_artifacts_are_there_and_the_key_says_so() {
    let project = Project::new(&[("p.yaml", DRAW)]);
    let (first, _) = project.run(&[]);
    assert_eq!(project.read("got"), "");
    let artifacts = RunDirectory::of(&project.runs(), &id(&first).0).all_artifacts();
    std::fs::write(artifacts.join("draw/more"), "m").unwrap();
    let copies = |directories: &[&str], files: &[&str]| Copies {
        from: artifacts.clone(),
        directories: directories.iter().map(|it| (*it).to_owned()).collect(),
        files: files.iter().map(|it| (*it).to_owned()).collect(),
    };
    let run = |copies: Copies| {
        project.run_with(&[], &|| false, |demand| demand.keeping.copies = Some(copies))
    };
    // What was made with them answers no run without them, nor the other way round.
    assert_eq!(run(copies(&[], &[])).1, ["draw computed", "other hit"]);
    assert_eq!(project.read("got"), "more new ");
    assert_eq!(run(copies(&["draw"], &[])).1, ["draw hit", "other hit"]);
    assert_eq!(run(copies(&[], &["draw/new"])).1, ["draw computed", "other hit"]);
    assert_eq!(project.read("got"), "new ");
    assert_eq!(project.run(&[]).1, ["draw hit", "other hit"]);
    assert_eq!(project.read("got"), "");
    std::fs::write(artifacts.join("draw/more"), "other bytes").unwrap();
    assert_eq!(run(copies(&[], &[])).1, ["draw computed", "other hit"]);
}

#[test]
fn what_cannot_be_copied_is_told_before_anything_runs() {
    let project = Project::new(&[("p.yaml", DRAW)]);
    let (first, _) = project.run(&[]);
    let artifacts = RunDirectory::of(&project.runs(), &id(&first).0).all_artifacts();
    for (directories, files, told) in [
        (vec!["nothing"], vec![], "nothing: there is no such directory"),
        (vec!["draw/new"], vec![], "draw/new: there is no such directory"),
        (vec![], vec!["draw"], "draw: there is no such file"),
        (vec!["../.."], vec![], "`..`"),
    ] {
        let text = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
        let copies =
            Copies { from: artifacts.clone(), directories: text(directories), files: text(files) };
        let pipeline = Pipeline::read(&project.at("p.yaml"), &[], &|_| None).unwrap();
        let demand = Demand {
            cache: project.cache(),
            work: project.directory.path().join("home/work"),
            chosen: Chosen::default(),
            only: Vec::new(),
            workers: 1,
            capacity: Resources::BOUNDLESS,
            interrupted: &|| false,
            listener: std::sync::Arc::new(|_: &_| ()),
            arguments: String::new(),
            language: None,
            keeping: Keeping { copies: Some(copies), ..Keeping::default() },
        };
        let error = pipeline.run(demand).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_run_keeps_what_it_was_asked_to_do() {
    let project = Project::new(&[("p.yaml", DRAW)]);
    let elsewhere = project.directory.path().join("elsewhere");
    let (ended, _) = project.run_with(&[], &|| false, |demand| {
        demand.keeping.definition = json!({"file": "p.yaml", "params": [["a", "1"]]});
        demand.keeping.elsewhere = Some(elsewhere.clone());
    });
    let directory = RunDirectory::of(&project.runs(), &id(&ended).0);
    assert_eq!(directory.definition(), Some(json!({"file": "p.yaml", "params": [["a", "1"]]})));
    assert!(elsewhere.join(id(&ended).0).join("artifacts/draw/new").is_file());
}

#[test]
fn a_file_says_what_a_failure_does_to_the_rest() {
    let text = |file: &str, bad: &str| {
        format!(
            "{file}
operations:
  bad: {{run: 'exit 1', {bad} outputs: {{o: o}}}}
  behind: {{run: 'true', needs: [bad]}}
  late: {{run: 'echo 1 > o', outputs: {{o: o}}}}
"
        )
    };
    let goes_on = ["bad failed", "behind upstream-failed", "late computed"];
    let stops = ["bad failed", "behind upstream-failed", "late not-started"];
    for (file, bad, chosen, expected) in [
        ("", "", None, goes_on),
        ("on_failure: stop", "", None, stops),
        ("", "on_failure: stop,", None, stops),
        ("on_failure: stop", "on_failure: continue,", None, goes_on),
        ("on_failure: stop", "", Some(false), goes_on),
        ("", "", Some(true), stops),
    ] {
        let project = Project::new(&[("p.yaml", &text(file, bad))]);
        let (ended, settled) = project.run_with(&[], &|| false, |demand| {
            demand.chosen.fail_fast = chosen;
            demand.workers = 1;
        });
        assert_eq!(ended.status, RunStatus::Failed);
        assert_eq!(settled, expected, "{file} {bad} {chosen:?}");
    }
}

const MEASURE: &str = "operations:
  train:
    run: |
      echo '{\"loss\": 0.5, \"step\": 1}' > m.jsonl
      echo '{\"name\": \"loss\", \"value\": 0.25, \"step\": 2}' >> m.jsonl
      echo picture > c.png
    tags: [nightly]
    outputs: {loss: {metrics: m.jsonl}, curve: {plot: c.png}}
  use:
    run: 'wc -l < {{ inputs.loss }} > {{ outputs.n }}'
    inputs: {loss: {from: train.loss}}
    outputs: {n: {json: n}}
";

#[test]
fn what_was_measured_comes_with_a_hit() {
    let project = Project::new(&[("p.yaml", MEASURE)]);
    let told = |ended: &Ended| {
        let cache = project.cache();
        let entry = cache.catalog().nodes(&id(ended)).unwrap()[0].entry.unwrap();
        let selector = Selector { ids: Some(vec![entry]), ..Default::default() };
        let output = cache.catalog().entries(None, &selector, 1).unwrap().remove(0).output;
        let notes = annotations_of(&output).unwrap();
        let metrics: Vec<_> = notes
            .metrics
            .iter()
            .map(|it| format!("{} {} {:?}", it.name, it.value, it.step))
            .collect();
        (metrics.join(", "), notes.plots, notes.tags, notes.attempt)
    };
    let (first, settled) = project.run(&[]);
    assert_eq!(settled, ["train computed", "use computed"]);
    let expected = (
        "loss 0.5 Some(1), loss 0.25 Some(2)".to_owned(),
        vec!["curve".to_owned()],
        vec!["nightly".to_owned()],
        None,
    );
    assert_eq!(told(&first), expected);
    let (second, settled) = project.run(&[]);
    assert_eq!(settled, ["train hit", "use hit"]);
    assert_eq!(told(&second), expected);
    let value = second.given.iter().find(|(name, _)| name == "use.n").unwrap();
    assert_eq!(value.1, Gave::Value(json!(2)), "they are a file for others");
    // What cannot be read as a measurement is told, and fails nobody.
    project.write("p.yaml", &MEASURE.replace("0.25", "NaN"));
    let (ended, settled) = project.run(&[]);
    assert_eq!((ended.status, settled[0].as_str()), (RunStatus::Succeeded, "train computed"));
    assert!(ended.notes[0].starts_with("train: metrics `loss`: "), "{:?}", ended.notes);
}

#[test]
fn what_is_done_about_failures_does_not_count_and_the_kind_of_an_output_does() {
    let text = "operations:
  one:
    run: 'echo 1 > o'
    outputs: {o: o}
";
    for (more, outcome) in [
        ("retries: {limit: 2, delay: 1s, backoff: exponential, max_delay: 1m, jitter: 0.5}", "hit"),
        ("on_failure: stop", "hit"),
        ("checkpoints: ckpt/", "hit"),
        ("artifacts: art/", "hit"),
        ("tags: [a, b]", "hit"),
        ("cache: {on_failure: share, serialize: true}", "hit"),
    ] {
        let project = Project::new(&[("p.yaml", text)]);
        project.run(&[]);
        project.write("p.yaml", &format!("{text}    {more}\n"));
        assert_eq!(project.run(&[]).1, [format!("one {outcome}")], "{more}");
    }
    for kind in ["{metrics: o}", "{plot: o}"] {
        let project = Project::new(&[("p.yaml", text)]);
        project.run(&[]);
        project.write("p.yaml", &text.replace("{o: o}", &format!("{{o: {kind}}}")));
        assert_eq!(project.run(&[]).1, ["one computed"], "{kind}");
    }
}
