//! Whole commands: arguments in; output, errors and exit code out.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thrifty_cli::{
    CheckReport, CheckRequest, Console, End, Failed, Given, Host, HostError, PlanReport, RunReport,
    RunRequest, main_in,
};
use thrifty_engine::catalog::{
    BlobRef, Catalog, Claim, Committed, Found, Holder, NewEntry, NewRun, Node, Origin, Request,
    Reserved, RunId, RunStatus, Scope,
};
use thrifty_engine::config::Executor;
use thrifty_engine::event::{Event, Listener};
use thrifty_engine::key::{Digest, Ingredients, Kind, Preview, plain};
use thrifty_engine::observed::{Observation, Observed, Place, State, encode};
use thrifty_engine::record::Record;
use thrifty_engine::store::BlobName;
use thrifty_engine::{Cache, Miss, Mode, Outcome, Seed};

/// A host that answers as told and keeps what it was asked.
struct Told {
    answer: Result<RunReport, HostError>,
    planned: Option<Result<PlanReport, HostError>>,
    asked: Mutex<Vec<RunRequest>>,
}

impl Told {
    fn new(answer: Result<RunReport, HostError>) -> Self {
        Self { answer, planned: None, asked: Mutex::default() }
    }
}

impl Host for Told {
    fn is_interrupted(&self) -> bool {
        false
    }

    fn run_workflow(
        &self,
        request: &RunRequest,
        listener: Arc<Listener>,
    ) -> Result<RunReport, HostError> {
        self.asked.lock().unwrap().push(request.clone());
        let settled = |number, outcome: Outcome, saved| Event::Settled {
            number,
            operation: "m:train".to_owned(),
            label: "lr=0.1".to_owned(),
            reason: outcome.reason(),
            outcome,
            spent: Duration::from_millis(2_000),
            saved: Duration::from_secs(saved),
        };
        listener(&Event::Begun { run: None, operations: 3 });
        listener(&Event::Started { number: 0, operation: "m:train".to_owned() });
        listener(&settled(0, Outcome::Computed(Miss::Absent), 0));
        listener(&settled(1, Outcome::HitLocal, 5));
        listener(&settled(2, Outcome::UpstreamFailed("x".to_owned()), 0));
        listener(&Event::Ended);
        self.answer.clone()
    }

    fn plan_workflow(&self, request: &RunRequest) -> Result<PlanReport, HostError> {
        self.asked.lock().unwrap().push(request.clone());
        self.planned.clone().expect("the test told what would run")
    }

    fn check_workflow(
        &self,
        _request: &CheckRequest,
        _listener: Arc<Listener>,
    ) -> Result<CheckReport, HostError> {
        unreachable!("nobody checks here")
    }
}

/// What a command wrote, and its exit code.
#[derive(Debug)]
struct Done {
    code: u8,
    out: String,
    err: String,
}

struct World {
    home: tempfile::TempDir,
    cache: Arc<Cache>,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let scope = Scope { project: "flights".to_owned(), domain: "development".to_owned() };
        let cache = Cache::open_scope(home.path().join("cache"), scope).unwrap();
        Self { home, cache }
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.run_as(arguments, &Told::new(Err(HostError::Unavailable("nobody".to_owned()))), None)
    }

    fn run_as(&self, arguments: &[&str], host: &dyn Host, answer: Option<&str>) -> Done {
        self.run_on(arguments, host, answer, None)
    }

    /// On a terminal of this width, with colours, or on none.
    fn run_on(
        &self,
        arguments: &[&str],
        host: &dyn Host,
        answer: Option<&str>,
        width: Option<u16>,
    ) -> Done {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let variables = HashMap::from([
            ("THRIFTY_HOME", self.home.path().join("cache").into_os_string()),
            ("THRIFTY_PROJECT", OsString::from("flights")),
        ]);
        let mut answer = answer.map(str::as_bytes);
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            input: answer.as_mut().map(|answer| answer as &mut dyn std::io::BufRead),
            width,
            is_live: false,
            is_coloured: width.is_some(),
            directory: PathBuf::from(self.home.path()),
            variables: &|name| variables.get(name).cloned(),
        };
        let arguments = ["thrifty"].iter().chain(arguments).map(OsString::from).collect();
        let code = main_in(arguments, host, &mut console);
        Done { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
    }

    fn begin(&self, name: &str) -> RunId {
        self.begin_in(name, "")
    }

    /// A run that this process began.
    fn begin_in(&self, name: &str, process: &str) -> RunId {
        let (name, process) = (name.to_owned(), process.to_owned());
        let run = NewRun { name, process, ..NewRun::default() };
        self.cache.catalog().begin_run(self.cache.scope(), &run).unwrap()
    }

    fn finish(&self, run: &RunId) {
        self.cache.catalog().finish_run(run, RunStatus::Succeeded).unwrap();
    }

    /// A node that ran and was stored.
    fn computed(&self, run: &RunId, number: u32, operation: &str, parts: &[(Kind, &str, Preview)]) {
        self.stored(run, number, operation, parts, |_| ());
    }

    /// As [`World::computed`], of an entry that is made so.
    fn stored(
        &self,
        run: &RunId,
        number: u32,
        operation: &str,
        parts: &[(Kind, &str, Preview)],
        made: impl FnOnce(&mut NewEntry),
    ) {
        let mut ingredients = Ingredients::new();
        for (kind, name, preview) in parts {
            let digest = plain::digest_text(&format!("{preview:?}"));
            ingredients.add(*kind, *name, digest, preview.clone()).unwrap();
        }
        let mut entry = NewEntry {
            id: 1,
            key: ingredients.key(),
            operation: operation.to_owned(),
            output: Record::Plain(plain::text(&ingredients.key().to_string())).to_bytes(),
            output_digest: plain::digest_text(&ingredients.key().to_string()),
            ingredients,
            blobs: vec![],
            cost: Duration::from_secs(90),
            expires_at: None,
            origin: Origin {
                run: Some(run.clone()),
                node: number,
                host: "desk".to_owned(),
                user: "ada".to_owned(),
            },
            observed: vec![],
            made_of: Default::default(),
            parts: vec![],
        };
        made(&mut entry);
        let id = commit(self.cache.catalog().as_ref(), self.cache.scope(), &entry);
        let node = Node {
            number,
            operation: operation.to_owned(),
            key: Some(entry.key),
            ingredients: None,
            outcome: "computed".to_owned(),
            detail: "no entry".to_owned(),
            reason: String::new(),
            rule: "default".to_owned(),
            entry: Some(id),
            source: None,
            output_digest: Some(entry.output_digest),
            count: 1,
            at: self.cache.catalog().now().unwrap(),
            spent: Duration::from_secs(90),
            saved: Duration::ZERO,
            upstream: vec![],
            takes: vec![],
            parent: None,
        };
        self.cache.catalog().record(run, &[node]).unwrap();
    }

    /// A node that was a hit on the first node of another run.
    fn hit(&self, run: &RunId, number: u32, source: &RunId) {
        let node = self.cache.catalog().nodes(source).unwrap().remove(0);
        let node = Node {
            number,
            outcome: "hit-local".to_owned(),
            detail: String::new(),
            reason: String::new(),
            source: Some(source.clone()),
            spent: Duration::from_micros(200),
            saved: Duration::from_secs(90),
            ..node
        };
        self.cache.catalog().record(run, &[node]).unwrap();
    }
}

fn commit(
    catalog: &dyn Catalog,
    scope: &Scope,
    entry: &NewEntry,
) -> thrifty_engine::catalog::EntryId {
    let request = Request { key: entry.key, max_age: None };
    let Found::Miss(slot, _) = catalog.lookup(scope, &[request]).unwrap().remove(0) else {
        panic!("there already")
    };
    let claim = Claim { epoch: slot.epoch, ..Claim::default() };
    let Committed::Stored(id) = catalog.commit(scope, entry, &claim).unwrap() else {
        panic!("not stored")
    };
    id
}

fn text(value: &str) -> Preview {
    Preview::text(value)
}

/// One workflow, run twice: the second time a constant was changed.
fn edited() -> (World, RunId, RunId) {
    let world = World::new();
    let load = [(Kind::Inputs, "path", text("flights.csv"))];
    let clean =
        |limit| [(Kind::Code, "m.LIMIT", text(limit)), (Kind::Inputs, "token", Preview::Hidden)];
    let first = world.begin("m:experiment");
    world.computed(&first, 0, "m:load", &load);
    world.computed(&first, 1, "m:clean", &clean("1440"));
    world.finish(&first);
    let second = world.begin("m:experiment");
    world.hit(&second, 0, &first);
    world.computed(&second, 1, "m:clean", &clean("1400"));
    world.finish(&second);
    (world, first, second)
}

/// The text with ids, ages and times made the same in every test run.
fn steady(done: &str, ids: &[&RunId]) -> String {
    let mut text = done.to_owned();
    for (number, id) in ids.iter().enumerate() {
        text = text.replace(&id.0, &format!("RUN{number}"));
    }
    let words = ["just now"];
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut line = line.to_owned();
            while let Some(end) = line.find(" ago") {
                let start = line[..end].rfind("  ").map_or(0, |at| at + 2);
                let start = start.max(line[..end].rfind(", ").map_or(0, |at| at + 2));
                line.replace_range(start..end + 4, words[0]);
            }
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    lines.join("\n")
}

#[test]
fn runs_lists_the_newest_first() {
    let (world, first, second) = edited();
    let done = world.run(&["runs"]);
    let lines: Vec<_> = done.out.lines().collect();
    assert_eq!((done.code, lines.len()), (0, 3), "{done:?}");
    let heading: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(heading, ["run", "name", "status", "started", "took", "computed", "hits", "saved"]);
    assert!(lines[1].starts_with(&second.0) && lines[1].ends_with("1 m 30 s"), "{done:?}");
    assert!(lines[2].starts_with(&first.0));
    assert!(lines[2].contains("m:experiment") && lines[2].contains("succeeded"));
    assert!(done.out.lines().all(|line| !line.ends_with(' ')));
    assert_eq!(world.run(&["runs", "--limit", "1"]).out.lines().count(), 2);
}

#[test]
fn the_last_run_is_not_what_gathers_the_calls_of_its_bodies() {
    let world = World::new();
    let last = || {
        let shown: serde_json::Value =
            serde_json::from_str(&world.run(&["show", "last", "--json"]).out).unwrap();
        RunId(shown["id"].as_str().unwrap().to_owned())
    };
    let alone = world.begin_in("", "boot 1 10 1");
    assert_eq!(last(), alone, "a script that calls tasks");
    let workflow = world.begin_in("m:experiment", "boot 1 20 1");
    world.begin_in("", "boot 1 20 1");
    world.begin_in("", "boot 1 20 1");
    assert_eq!(last(), workflow, "its bodies and those of its workers called tasks");
    assert!(world.run(&["why", "last"]).out.contains(&workflow.0));
    let said = world.run(&["metrics"]).err;
    assert!(said.contains(&workflow.0), "{said}");
    let later = world.begin_in("", "boot 1 30 1");
    assert_eq!(last(), later, "another script that calls tasks");
    world.begin_in("m:experiment", "");
    let unknown = world.begin_in("", "");
    assert_eq!(last(), unknown, "the system does not tell processes apart");
}

#[test]
fn what_the_last_run_has_not_is_looked_for_in_what_gave_way_to_it() {
    let world = World::new();
    let script = "boot 1 20 1";
    let of = |n: &str| [(Kind::Inputs, "n", text(n))];
    let other = world.begin_in("", "boot 1 10 1");
    world.computed(&other, 0, "m:elsewhere", &of("0"));
    let before = world.begin_in("", script);
    world.computed(&before, 0, "m:early", &of("1"));
    let workflow = world.begin_in("m:experiment", script);
    world.computed(&workflow, 0, "m:train", &of("2"));
    let after = world.begin_in("", script);
    world.computed(&after, 0, "m:train", &of("3"));
    world.computed(&after, 7, "m:late", &of("4"));
    let verbs: [&[&str]; 7] = [
        &["show", "NAME"],
        &["why", "NAME"],
        &["why", "last", "NAME"],
        &["why", "NAME", "--json"],
        &["metrics", "NAME"],
        &["metrics", "NAME", "--run", "latest"],
        &["logs", "NAME"],
    ];
    for verb in verbs {
        let asked = |name: &str| {
            let verb: Vec<_> =
                verb.iter().map(|it| if *it == "NAME" { name } else { it }).collect();
            let done = world.run(&verb);
            (done.code, done.out + &done.err)
        };
        for (name, run) in [("late", &after), ("m:early", &before)] {
            let (code, said) = asked(name);
            assert!(said.contains(&format!("this is of run {run}")), "{verb:?} {name}: {said}");
            assert!(code == 0 || said.contains("no command"), "{verb:?} {name}: {said}");
        }
        assert!(!asked("train").1.contains(&after.0), "the run itself has it");
        for unknown in ["elsewhere", "#7", "nobody"] {
            let (code, said) = asked(unknown);
            assert!(code == 2 && !said.contains("this is of"), "{verb:?} {unknown}: {said}");
        }
    }
    world.computed(&after, 8, "m:late", &of("5"));
    let several = world.run(&["show", "late"]).err;
    let keys: Vec<_> = several.rsplit("by its key: ").next().unwrap().trim().split(", ").collect();
    assert_eq!(keys.len(), 2, "{several}");
    for key in keys {
        let one = world.run(&["show", key.split(' ').next().unwrap()]);
        assert!(one.code == 0 && one.out.starts_with("m:late"), "{key}: {one:?}");
    }
    let left: [&[&str]; 2] = [&["why", &workflow.0, "late"], &["logs", "late", &workflow.0]];
    for verb in left {
        assert_eq!(world.run(verb).code, 2, "{verb:?} names its run");
    }
}

#[test]
fn stored_text_does_nothing_to_a_terminal() {
    let world = World::new();
    let reordering = "\u{202a}\u{202e}\u{2066}\u{2069}\u{200e}\u{200f}\u{61c}";
    let hostile = format!("a\x1b]0;owned\x07b\x1b[31mc\rd\u{9b}2Je\x7f{reordering}f\tg");
    let hostile = hostile.as_str();
    let escaped = "a\\u{1b}]0;owned\\u{7}b\\u{1b}[31mc\\rd\\u{9b}2Je\\u{7f}\\u{202a}\\u{202e}\\u{2066}\\u{2069}\\u{200e}\\u{200f}\\u{61c}f";
    let run = world.begin(hostile);
    world.computed(&run, 0, hostile, &[(Kind::Inputs, "x", text(hostile))]);
    let mut failed = world.cache.catalog().nodes(&run).unwrap().remove(0);
    let error = hostile.to_owned();
    failed = Node { number: 1, outcome: "failed".to_owned(), detail: error, entry: None, ..failed };
    world.cache.catalog().record(&run, &[failed]).unwrap();
    let host = Told::new(Ok(RunReport {
        run: None,
        end: End::Failed,
        result: Some(hostile.to_owned()),
        failures: vec![Failed { operation: hostile.to_owned(), message: hostile.to_owned() }],
        checks: Vec::new(),
        notes: vec![hostile.to_owned()],
        given: Given::default(),
    }));
    let verbs: [&[&str]; 9] = [
        &["runs"],
        &["show"],
        &["show", "#0"],
        &["why"],
        &["why", "last", "#1"],
        &["stats"],
        &["metrics", "nobody"],
        &["invalidate", "--operation", "*", "--dry-run"],
        &["run", "m:experiment"],
    ];
    let colours = ["0", "1", "2", "31", "32", "33", "36"].map(|code| format!("\x1b[{code}m"));
    for (verb, width) in verbs.into_iter().flat_map(|verb| [(verb, None), (verb, Some(1000))]) {
        let done = world.run_on(verb, &host, None, width);
        let own =
            |text: &str| colours.iter().fold(text.to_owned(), |it, code| it.replace(code, ""));
        let seen = own(&done.out) + &own(&done.err);
        assert!(seen.contains(escaped), "{verb:?}: {seen:?}");
        assert!(!seen.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{seen:?}");
        assert!(!(done.out + &done.err).contains("\x1b[31mc"), "{verb:?}: {seen:?}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["runs", "--json"]).out).unwrap();
    assert_eq!(json[0]["name"], hostile);
}

#[test]
fn a_log_is_as_the_command_wrote_it() {
    let world = World::new();
    let file = r"operations:
  say:
    run: printf 'a\033[2Jb\n' && echo 1 > o
    outputs: {o: o}
";
    fs::write(world.home.path().join("p.yaml"), file).unwrap();
    let ran = world.run(&["run", "p.yaml", "--cache"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let host = Told::new(Err(HostError::Usage(String::new())));
    for width in [None, Some(80)] {
        let log = world.run_on(&["logs", "say"], &host, None, width);
        assert_eq!(log.out, "a\x1b[2Jb\n", "{log:?}");
    }
}

#[test]
fn on_a_terminal_tables_are_coloured_and_fit() {
    let (world, ..) = edited();
    let host = Told::new(Err(HostError::Usage(String::new())));
    let out = world.run_on(&["runs"], &host, None, Some(100)).out;
    assert!(out.contains("\x1b[32msucceeded\x1b[0m"), "{out}");
    let plain =
        ["\x1b[0m", "\x1b[1m", "\x1b[32m"].iter().fold(out, |out, code| out.replace(code, ""));
    assert!(!plain.contains('\x1b'), "{plain:?}");
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
    let json = world.run_on(&["runs", "--json"], &host, None, Some(100)).out;
    assert!(!json.contains('\x1b'));
}

#[test]
fn a_long_list_of_what_will_be_lost_is_cut() {
    let world = World::new();
    let run = world.begin("search");
    for number in 0..53 {
        world.computed(&run, number, "train", &[(Kind::Inputs, "n", text(&number.to_string()))]);
    }
    let done = world.run(&["invalidate", "--operation", "train", "--dry-run"]);
    assert_eq!(done.out.lines().count(), 1 + 50 + 1);
    assert!(done.out.ends_with("… and 3 more\n"), "{}", done.out);
}

#[test]
fn runs_as_json_has_the_documented_fields() {
    let (world, _, second) = edited();
    let done = world.run(&["runs", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    let run = &all[0];
    assert_eq!(run["id"], second.0.as_str());
    assert_eq!((&run["name"], &run["status"]), (&"m:experiment".into(), &"succeeded".into()));
    assert_eq!((&run["computed"], &run["hits"]), (&1.into(), &1.into()));
    assert_eq!(run["saved_seconds"], 90.0);
    assert!(run["started_at"].as_str().unwrap().ends_with('Z'));
    assert!(run["seconds"].is_number());
    assert_eq!(World::new().run(&["runs", "--json"]).out, "[]\n");
}

#[test]
fn show_lists_the_operations_of_a_run() {
    let (world, first, second) = edited();
    let done = world.run(&["show"]);
    let shown = steady(&done.out, &[&first, &second]);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("RUN1 m:experiment succeeded, just now, took "), "{shown}");
    assert_eq!(
        lines[1..],
        [
            "# operation outcome time saved from detail",
            "0 load hit-local 200 µs 1 m 30 s RUN0",
            "1 clean computed 1 m 30 s no entry",
        ]
    );
}

#[test]
fn show_as_json_has_the_documented_fields() {
    let (world, first, second) = edited();
    let done = world.run(&["show", &second.0[..second.0.len() - 1], "--json"]);
    let run: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(run["id"], second.0.as_str());
    let [hit, computed] = run["nodes"].as_array().unwrap().as_slice() else { panic!("{run}") };
    assert_eq!((&hit["number"], &hit["name"]), (&0.into(), &"load".into()));
    assert_eq!((&hit["outcome"], &hit["source"]), (&"hit-local".into(), &first.0.as_str().into()));
    assert_eq!((&hit["saved_seconds"], &computed["seconds"]), (&90.0.into(), &90.0.into()));
    assert_eq!((&computed["rule"], &computed["detail"]), (&"default".into(), &"no entry".into()));
    assert_eq!(computed["key"].as_str().unwrap().len(), 64);
}

#[test]
fn show_an_entry_by_the_beginning_of_its_key_without_its_secrets() {
    let (world, _, second) = edited();
    let key = world.cache.catalog().nodes(&second).unwrap()[1].key.unwrap().to_string();
    let done = world.run(&["show", &key[..10].to_uppercase()]);
    assert_eq!(done.code, 0, "{done:?}");
    for part in ["m:clean", &key, "ada@desk", "1 m 30 s", "m.LIMIT", "1400", "(hidden)"] {
        assert!(done.out.contains(part), "{part} in {}", done.out);
    }
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["show", &key, "--json"]).out).unwrap();
    assert_eq!(json[0]["ingredients"][1]["shown"], "(hidden)");
}

#[test]
fn why_names_the_constant_that_changed_and_leaves_out_hits() {
    let (world, first, second) = edited();
    let roots = "RUN1 m:experiment just now: 1 ran, 1 hit\n\
                 code m.LIMIT: 1440 → 1400 since run RUN0\n\
                 1 operation, 1 m 30 s: clean #1";
    let one = "RUN1 m:experiment just now\n\
               clean #1: ran because its code changed since run RUN0\n\
               code m.LIMIT: 1440 → 1400";
    let cases =
        [(vec!["why"], roots), (vec!["why", "clean"], one), (vec!["why", "last", "m:clean"], one)];
    for (arguments, told) in cases {
        let done = world.run(&arguments);
        assert_eq!((steady(&done.out, &[&first, &second]).as_str(), done.code), (told, 0));
    }
    let key = world.cache.catalog().nodes(&second).unwrap()[1].key.unwrap().to_string();
    let by_entry = world.run(&["why", &key[..12]]);
    assert_eq!(steady(&by_entry.out, &[&first, &second]), one);
    let hit = world.run(&["why", &second.0, "#0"]).out;
    let hit = steady(&hit, &[&first, &second]);
    assert!(hit.ends_with("load #0: hit-local, nothing ran: computed in run RUN0"), "{hit}");
}

#[test]
fn why_as_json_gives_one_cause_for_each_difference() {
    let (world, first, second) = edited();
    let answer: serde_json::Value =
        serde_json::from_str(&world.run(&["why", "--json"]).out).unwrap();
    assert_eq!(answer["run"], second.0.as_str());
    let [cause] = answer["causes"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    let expected = serde_json::json!({
        "node": 1, "operation": "m:clean", "label": "", "outcome": "computed", "reason": "changed",
        "detail": "", "against": first.0, "kind": "code", "name": "m.LIMIT", "change": "changed",
        "old": "1440", "new": "1400", "diff": null, "upstream": [],
    });
    assert_eq!(cause, &expected);
    let root = serde_json::json!({
        "reason": "changed", "detail": "", "since": first.0, "direct": [1], "behind": [],
        "seconds": 90.0, "changes": [{
            "kind": "code", "name": "m.LIMIT", "change": "changed", "old": "1440", "new": "1400",
            "diff": null,
        }],
    });
    assert_eq!(answer["roots"], serde_json::json!([root]));
}

#[test]
fn why_shows_the_difference_of_sources() {
    let world = World::new();
    let sources = ["def f():\n    return 1\n", "def f():\n    return 2\n"];
    let digests = sources.map(|text| Digest::of_blob(text.as_bytes()));
    let texts: Vec<_> = digests.into_iter().zip(sources).collect();
    world.cache.catalog().put_texts(&texts).unwrap();
    for digest in digests {
        let run = world.begin("f");
        world.computed(&run, 0, "m:f", &[(Kind::Code, "m.f", Preview::Source(digest))]);
    }
    let out = world.run(&["why", "f"]).out;
    assert!(out.ends_with(
        "  code m.f: changed\n    --- before\n    +++ now\n    @@ -1,2 +1,2 @@\n     def f():\n    \
         -    return 1\n    +    return 2\n"
    ));
}

#[test]
fn why_says_once_what_is_alike() {
    let world = World::new();
    let [first, second] = ["10", "20"].map(|limit| {
        let run = world.begin("m:tune");
        for (number, rate) in ["0.1", "0.2"].into_iter().enumerate() {
            let limit = (Kind::Code, "m.LIMIT", text(limit));
            let parts = [limit, (Kind::Inputs, "rate", text(rate))];
            world.computed(&run, number as u32, "m:train", &parts);
        }
        run
    });
    let out = world.run(&["why"]).out;
    assert_eq!(
        steady(&out, &[&first, &second]),
        "RUN1 m:tune just now: 2 ran, 0 hits\n\
         code m.LIMIT: 10 → 20 since run RUN0\n\
         2 operations, 3 m 0 s: train #0–#1"
    );
}

#[test]
fn why_tells_calls_apart_where_not_all_of_them_ran() {
    let world = World::new();
    let first = world.begin("m:tune");
    let parts = |rate| [(Kind::Inputs, "rate", text(rate))];
    world.computed(&first, 0, "m:train", &parts("0.1"));
    let second = world.begin("m:tune");
    world.hit(&second, 0, &first);
    world.computed(&second, 1, "m:train", &parts("0.2"));
    world.computed(&second, 2, "m:train", &parts("0.3"));
    let out = world.run(&["why"]).out;
    assert!(out.contains("train #1 (rate=0.2) #2 (rate=0.3)"), "{out}");
}

#[test]
fn why_of_a_part_of_a_hit_says_that_it_was_not_looked_at() {
    let world = World::new();
    let first = world.begin("m:experiment");
    world.computed(&first, 0, "m:unit", &[(Kind::Inputs, "x", text("1"))]);
    world.computed(&first, 1, "m:train", &[(Kind::Inputs, "x", text("2"))]);
    world.computed(&first, 2, "m:report", &[(Kind::Inputs, "x", text("3"))]);
    let mut train = world.cache.catalog().nodes(&first).unwrap().remove(1);
    train.parent = Some(0);
    world.cache.catalog().record(&first, &[train]).unwrap();
    let second = world.begin("m:experiment");
    world.hit(&second, 0, &first);
    let done = world.run(&["why", "train"]);
    assert_eq!(
        (steady(&done.out, &[&first, &second]).as_str(), done.code),
        (
            "train was not looked at: unit #0 was a hit as a whole, computed in run RUN0; see \
             `thrifty why RUN0 train`",
            0
        )
    );
    assert_eq!(world.run(&["why", "report"]).code, 2, "it was no part of the unit");
}

#[test]
fn a_miss_after_a_removal_says_who_removed_the_entry_and_how() {
    let removals: [(&[&str], &str); 3] = [
        (&["invalidate", "--operation", "train", "--yes"], "`thrifty invalidate`"),
        (&["clear", "--yes"], "`thrifty clear`"),
        (&["gc", "--older-than", "0s"], "`thrifty gc`"),
    ];
    for (removal, how) in removals {
        let world = World::new();
        let parts = [(Kind::Inputs, "x", text("1"))];
        let first = world.begin("m:w");
        world.computed(&first, 0, "m:train", &parts);
        let created = world.cache.catalog().now().unwrap();
        while world.cache.catalog().now().unwrap() == created {}
        assert_eq!(world.run(removal).code, 0);
        let second = world.begin("m:w");
        world.computed(&second, 0, "m:train", &parts);
        let out = world.run(&["why"]).out;
        assert!(out.contains("nothing changed: its earlier result was removed "), "{out}");
        assert!(out.contains(how), "{out}");
    }
}

#[test]
fn a_long_difference_is_folded_and_counted() {
    let world = World::new();
    let lines = |from: u32| (from..from + 60).map(|n| format!("x{n} = 1\n")).collect::<String>();
    for source in [lines(0), lines(100)] {
        let digest = Digest::of_blob(source.as_bytes());
        world.cache.catalog().put_texts(&[(digest, &source)]).unwrap();
        let run = world.begin("f");
        world.computed(&run, 0, "m:f", &[(Kind::Code, "m.f", Preview::Source(digest))]);
    }
    let out = world.run(&["why"]).out;
    assert!(out.contains("… 83 more lines: 60 added, 23 removed"), "{out}");
    let json: serde_json::Value = serde_json::from_str(&world.run(&["why", "--json"]).out).unwrap();
    assert_eq!(json["causes"][0]["diff"].as_str().unwrap().lines().count(), 123);
}

#[test]
fn a_dry_run_tells_what_the_host_planned_and_runs_nothing() {
    let (world, first, second) = edited();
    let run = choose_run(&world, &second);
    let mut explanation =
        thrifty_engine::explain::explain(world.cache.catalog().as_ref(), &run, None).unwrap();
    explanation.nodes[0].outcome = "would-run".to_owned();
    let mut host = Told::new(Err(HostError::Usage("it was run".to_owned())));
    host.planned = Some(Ok(PlanReport::Told(explanation)));
    let done = world.run_as(&["run", "m:experiment", "--dry-run"], &host, None);
    assert_eq!(
        (steady(&done.out, &[&first, &second]).as_str(), done.code),
        (
            "1 operation would run; 1 m 30 s when last computed; 1 hit saves 1 m 30 s\n\
             code m.LIMIT: 1440 → 1400 since run RUN0\n\
             1 operation would run: clean #1",
            0
        ),
        "{done:?}"
    );
    let done = world.run_as(&["run", "m:experiment", "--dry-run", "--json"], &host, None);
    let json: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(
        (&json["would_run"], &json["may_run"], &json["hits"]),
        (&1.into(), &0.into(), &1.into())
    );
    assert_eq!(json["roots"][0]["changes"][0]["name"], "m.LIMIT");
    assert_eq!(world.run(&["run", "m:experiment", "--json"]).code, 2, "only with --dry-run");
    host.planned = Some(Ok(PlanReport::Failed(Failed {
        operation: "m:experiment".to_owned(),
        message: "ValueError: no".to_owned(),
    })));
    let done = world.run_as(&["run", "m:experiment", "--dry-run"], &host, None);
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert!(done.err.contains("ValueError: no"));
}

fn choose_run(world: &World, id: &RunId) -> thrifty_engine::catalog::Run {
    let filter =
        thrifty_engine::catalog::RunFilter { id_prefix: Some(id.0.clone()), ..Default::default() };
    world.cache.catalog().runs(None, &filter).unwrap().remove(0)
}

#[test]
fn stats_sum_up_by_operation() {
    let (world, ..) = edited();
    let done = world.run(&["stats"]);
    let lines: Vec<String> = done
        .out
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "operation hits computed failed spent saved",
            "m:load 1 1 0 1 m 30 s 1 m 30 s",
            "m:clean 0 2 0 3 m 0 s",
            "all 1 3 0 4 m 30 s 1 m 30 s",
        ]
    );
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["stats", "--json"]).out).unwrap();
    let first = &json["operations"][0];
    assert_eq!((&first["hits"], &first["saved_seconds"]), (&1.into(), &90.0.into()));
    assert_eq!((&json["pinned"], &json["computing"]), (&0.into(), &serde_json::json!([])));
}

#[test]
fn stats_count_what_was_computed_and_not_what_was_waited_for() {
    let (world, first, second) = edited();
    let other = world.cache.catalog().nodes(&first).unwrap().remove(0);
    let waited = Node { number: 7, outcome: "waited".to_owned(), ..other };
    world.cache.catalog().record(&second, &[waited]).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["stats", "--json"]).out).unwrap();
    let load = json["operations"].as_array().unwrap().iter().find(|it| it["operation"] == "m:load");
    let load = load.unwrap();
    assert_eq!((&load["hits"], &load["seconds"]), (&2.into(), &90.0.into()));
}

#[test]
fn who_computes_a_key_now_is_told_with_the_lease_that_is_left() {
    let (world, ..) = edited();
    let key = Digest::of_blob(b"a key of nothing");
    let [mine, waiter] = [7, 8].map(|nonce| Holder {
        nonce,
        operation: "m:train".to_owned(),
        host: "desk".to_owned(),
        process: "1 boot 4711 99".to_owned(),
    });
    let (catalog, scope) = (world.cache.catalog(), world.cache.scope());
    let lease = Duration::from_secs(60);
    for (holder, key) in [(&mine, &key), (&waiter, &Digest::of_blob(b"another"))] {
        assert!(matches!(catalog.reserve(scope, key, holder, lease), Ok(Reserved::Taken(_))));
    }
    catalog.wait_for(scope, &key, &[waiter.nonce]).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["stats", "--json"]).out).unwrap();
    let all = json["computing"].as_array().unwrap();
    let told = all.iter().find(|it| it["key"] == key.to_string()).unwrap();
    assert_eq!((&told["operation"], &told["project"]), (&"m:train".into(), &"flights".into()));
    assert_eq!((&told["host"], &told["process"]), (&"desk".into(), &4711.into()));
    assert_eq!((all.len(), &told["held_up"]), (2, &1.into()));
    let left = told["lease_seconds"].as_f64().unwrap();
    assert!(left > 0.0 && left <= 60.0, "{told}");
    assert!(told["since"].as_str().unwrap().ends_with('Z'));
    let stats = world.run(&["stats"]).out;
    assert!(stats.contains("lease left") && stats.contains("4711"), "{stats}");
    let shown = world.run(&["show", &key.to_string()[..12].to_uppercase()]).out;
    assert!(shown.contains("m:train") && shown.contains("by process 4711 on desk"), "{shown}");
    assert!(shown.contains("1 other held up"), "{shown}");
    let shown: serde_json::Value =
        serde_json::from_str(&world.run(&["show", &key.to_string(), "--json"]).out).unwrap();
    assert_eq!((&shown[0]["key"], &shown[0]["held_up"]), (&told["key"], &1.into()));
}

#[test]
fn unknown_names_get_the_closest_and_exit_code_2() {
    let (world, _, second) = edited();
    let cases: [(&[&str], &str); 9] = [
        (&["run", "m:w", "--preset", "x"], "--preset is for operation files; `m:w` is none"),
        (&["run", "m:w", "--set", "a=b"], "--set is for operation files; `m:w` is none"),
        (&["run", "m:w", "train"], "an operation's name is for operation files; `m:w` is none"),
        (&["why", "last", "claen"], "has no operation `claen`; did you mean `clean`?"),
        (
            &["show", "zzz"],
            "no run and no entry begins with `zzz`, and no operation of the newest run is called so; ",
        ),
        (&["why", "zzz", "clean"], "there is no run `zzz`; known: "),
        (&["why", "claen"], "has no operation `claen`; did you mean `clean`?"),
        (&["statz"], "tip: a similar subcommand exists: 'stats'"),
        (&["run", "pipeline"], "write module:workflow, such as pipeline:experiment"),
    ];
    for (arguments, said) in cases {
        let done = world.run(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{arguments:?}");
        assert!(done.err.contains(said), "{arguments:?}: {}", done.err);
    }
    let mut other = second.0.clone();
    other.truncate(second.0.len() - 1);
    other.push('!');
    assert!(world.run(&["show", &other]).err.contains(&format!("`{second}`")));
    let none = World::new().run(&["why"]);
    assert_eq!(none.code, 2);
    assert!(none.err.contains("there is no run in flights/development yet"), "{}", none.err);
}

#[test]
fn invalidate_shows_asks_and_removes() {
    let (world, ..) = edited();
    let entries = |world: &World| {
        let all = thrifty_engine::catalog::Selector::default();
        world.cache.catalog().entries(None, &all, 100).unwrap().len()
    };
    let dry = world.run(&["invalidate", "--operation", "cl*", "--dry-run"]);
    assert_eq!((dry.code, dry.out.lines().count(), entries(&world)), (0, 3, 3));
    assert_eq!(dry.err, "would remove 2 entries; `thrifty gc` frees the bytes\n");
    let unasked = world.run(&["invalidate", "--operation", "clean"]);
    assert_eq!((unasked.code, entries(&world)), (2, 3));
    assert!(unasked.err.contains("add --yes to go on"), "{}", unasked.err);
    let host = Told::new(Err(HostError::Usage(String::new())));
    let refused = world.run_as(&["invalidate", "--operation", "clean"], &host, Some("\n"));
    assert_eq!((refused.code, entries(&world)), (130, 3));
    let agreed = world.run_as(&["invalidate", "--operation", "clean"], &host, Some("y\n"));
    assert_eq!((agreed.code, entries(&world)), (0, 1));
    let nothing = world.run(&["invalidate", "--operation", "laod", "--yes"]);
    assert!(nothing.err.contains("did you mean `m:load`?"), "{}", nothing.err);
    let before = world.cache.catalog().changes();
    world.run(&["invalidate", "--operation", "laod", "--dry-run"]);
    assert_eq!(world.cache.catalog().changes(), before);
    world.run(&["invalidate", "--operation", "laod"]);
    assert_ne!(world.cache.catalog().changes(), before, "what is being computed has no entry yet");
    assert_eq!(world.run(&["invalidate"]).code, 2, "nothing selected is not everything");
    assert_eq!(world.run(&["invalidate", "--key", "xyz"]).code, 2);
}

#[test]
fn an_invalidated_run_takes_what_its_bodies_called_along() {
    let world = World::new();
    let script = world.begin("");
    let inputs = |n: &str| [(Kind::Inputs, "n", text(n))];
    let keys = ["1", "2"].map(|n| {
        world.computed(&script, n.parse().unwrap(), "m:part", &inputs(n));
        let all = world.cache.catalog().nodes(&script).unwrap();
        all.last().unwrap().key.unwrap()
    });
    let run = world.begin("m:experiment");
    let whole = [(Kind::Inputs, "whole", text("1"))];
    world.stored(&run, 0, "m:whole", &whole, |entry| entry.made_of.add("m:part", Some(&keys[0])));
    let left = || {
        let all = world.cache.catalog().entries(None, &Default::default(), 10).unwrap();
        let mut left: Vec<_> = all.into_iter().map(|it| (it.operation, it.key)).collect();
        left.sort();
        left
    };
    let whole = left().pop().unwrap();
    let none = world.run(&["invalidate", "--run", "last", "--operation", "whol", "--yes"]);
    assert_eq!((left().len(), none.out.as_str()), (3, ""), "the other conditions hold as well");
    let part = ["invalidate", "--run", &run.0, "--operation", "part", "--dry-run", "--json"];
    let part: serde_json::Value = serde_json::from_str(&world.run(&part).out).unwrap();
    assert_eq!(part["keys"], serde_json::json!([keys[0].to_string(), whole.1.to_string()]));
    assert_eq!(world.run(&["invalidate", "--run", &run.0, "--yes"]).code, 0);
    assert_eq!(left(), [("m:part".to_owned(), keys[1])]);
}

#[test]
fn all_calls_that_results_of_an_invalidated_run_name_go_with_them() {
    let world = World::new();
    let script = world.begin("");
    let key_of = |number: u32, operation: &str| {
        world.computed(
            &script,
            number,
            operation,
            &[(Kind::Inputs, operation, text(&number.to_string()))],
        );
        let all = world.cache.catalog().nodes(&script).unwrap();
        all.last().unwrap().key.unwrap()
    };
    let parts = [0, 1, 2].map(|number| key_of(number, "m:part"));
    let (kept, _) = (key_of(3, "m:kept"), [4, 5].map(|number| key_of(number, "m:any")));
    let run = world.begin("m:experiment");
    for number in [0, 1] {
        let whole = [(Kind::Inputs, "whole", text(&number.to_string()))];
        world.stored(&run, number, "m:whole", &whole, |entry| {
            entry.made_of.add("m:part", Some(&parts[number as usize]));
            // Of this operation any call may be one, whatever the other result names.
            let any = Some(&kept).filter(|_| number == 0);
            entry.made_of.add("m:any", any);
            entry.made_of.add("m:another", Some(&kept));
        });
    }
    assert_eq!(world.run(&["invalidate", "--run", &run.0, "--yes"]).code, 0);
    let mut left = world.cache.catalog().entries(None, &Default::default(), 10).unwrap();
    left.sort_by_key(|it| it.operation.clone());
    let left: Vec<_> = left.into_iter().map(|it| it.key).collect();
    assert_eq!(left, [kept, parts[2]]);
}

#[test]
fn what_is_computed_for_the_first_time_is_invalidated_and_that_is_said() {
    let (world, ..) = edited();
    let (catalog, scope) = (world.cache.catalog(), world.cache.scope());
    let mut ingredients = Ingredients::new();
    ingredients.add(Kind::Inputs, "x", plain::digest_text("x"), text("x")).unwrap();
    let key = ingredients.key();
    let holder = Holder {
        nonce: 7,
        operation: "m:score".to_owned(),
        host: "desk".to_owned(),
        process: String::new(),
    };
    let lease = Duration::from_secs(60);
    let Reserved::Taken(claim) = catalog.reserve(scope, &key, &holder, lease).unwrap() else {
        panic!("there already")
    };
    let told = |arguments: &[&str]| {
        let done = world.run(&[&["invalidate", "--yes"], arguments].concat());
        assert_eq!((done.code, done.out.as_str()), (0, ""));
        done.err
    };
    let other = told(&["--operation", "nobody"]);
    assert!(other.starts_with("no entry of ") && other.contains("known: `m:clean`"), "{other}");
    let entries = told(&["--operation", "score", "--older-than", "1s"]);
    assert!(entries.contains("matches `score`"), "entries alone are meant: {entries}");
    let dry = told(&["--operation", "score", "--dry-run"]);
    assert!(dry.ends_with("1 computation under way would not be stored\n"), "{dry}");
    assert!(told(&["--key", &key.to_string()[..8], "--dry-run"]).contains("1 computation"));
    let said = told(&["--operation", "score"]);
    let plain = "0 entries of flights/development; 1 computation under way will not be stored\n";
    assert_eq!(said, plain);
    let entry = NewEntry { id: 7, ..bare("m:score", ingredients) };
    let refused = catalog.commit(scope, &entry, &claim).unwrap();
    assert!(matches!(refused, Committed::Fenced), "{refused:?}");
}

#[test]
fn clear_takes_this_project_alone_unless_told_otherwise() {
    let (world, ..) = edited();
    let other = Scope { project: "other".to_owned(), domain: "development".to_owned() };
    let cache = Cache::open_scope(world.home.path().join("cache"), other).unwrap();
    cache.get_or_compute("f", &1, || Ok::<_, std::io::Error>(1)).unwrap();
    let count = || cache.catalog().entries(None, &Default::default(), 100).unwrap().len();
    assert_eq!(world.run(&["clear"]).code, 2);
    assert_eq!((world.run(&["clear", "--yes"]).code, count()), (0, 1));
    assert_eq!((world.run(&["clear", "--yes", "--all-projects"]).code, count()), (0, 0));
}

#[test]
fn gc_frees_down_to_the_budget() {
    let (world, ..) = edited();
    let dry = world.run(&["gc", "--budget", "0B", "--dry-run"]);
    assert_eq!((dry.code, dry.out.lines().count()), (0, 5), "{}", dry.out);
    assert!(
        dry.out.ends_with(
            "would remove 3 entries and free 0 B in 0 files; 0 B stay for up to an hour\n"
        )
    );
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["gc", "--budget", "0B", "--json"]).out).unwrap();
    assert_eq!((&json["dry_run"], &json["entries"]), (&false.into(), &3.into()));
    let wrong = world.run(&["gc", "--budget", "20"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("\"20\" is not a size"), "{}", wrong.err);
}

#[test]
fn fsck_finds_repairs_and_says_so_by_its_exit_code() {
    let (world, ..) = edited();
    let clean = world.run(&["fsck", "--full"]);
    assert_eq!(
        (clean.code, clean.out.as_str()),
        (0, "3 entries and 0 blobs checked, 0 B read: clean\n")
    );
    let mut torn = Ingredients::new();
    torn.add(Kind::Inputs, "x", plain::digest_text("x"), text("x")).unwrap();
    let entry = NewEntry { id: 1, output: b"\xff".to_vec(), ..bare("m:torn", torn) };
    commit(world.cache.catalog().as_ref(), world.cache.scope(), &entry);
    let found = world.run(&["fsck"]);
    assert_eq!(found.code, 3);
    assert!(found.out.contains("of m:torn: ") && found.out.ends_with("1 finding\n"));
    let repaired = world.run(&["fsck", "--repair"]);
    assert!(repaired.out.ends_with("repaired: 1 entry removed, 0 blobs set aside\n"));
    assert_eq!((repaired.code, world.run(&["fsck"]).code), (0, 0));
}

#[test]
fn fsck_changes_nothing_unless_it_repairs() {
    let world = World::new();
    let run = world.begin("m:experiment");
    let blobs = [b"sound", b"wrong"].map(|bytes| world.cache.blobs().put(&[bytes]).unwrap());
    for (number, name) in blobs.iter().enumerate() {
        let BlobName { digest, generation, length } = *name;
        let blob = BlobRef { digest, generation, length };
        let parts = [(Kind::Inputs, "n", text(&number.to_string()))];
        world.stored(&run, number as u32, "m:load", &parts, |entry| entry.blobs.push(blob));
    }
    let places = files(&world.home.path().join("cache/blobs"));
    let (short, turned) = (places.keys().next().unwrap(), places.keys().last().unwrap());
    for (path, bytes) in [(short, "shor"), (turned, "torns")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let home = world.home.path().join("cache");
    let before = files(&home);
    for (level, found) in [("quick", "1 finding"), ("full", "2 findings")] {
        let seen = world.run(&["fsck", "--level", level]);
        assert!(seen.out.trim_end().ends_with(found), "{}", seen.out);
        assert_eq!((seen.code, files(&home) == before), (3, true), "{level}: {}", seen.out);
    }
    let repaired = world.run(&["fsck", "--full", "--repair"]);
    assert!(repaired.out.ends_with("repaired: 2 entries removed, 2 blobs set aside\n"));
    assert_eq!(files(&home.join("quarantine")).len(), 2);
    assert_eq!(world.run(&["fsck", "--full"]).code, 0);
}

/// An entry of no output, made of nothing.
fn bare(operation: &str, ingredients: Ingredients) -> NewEntry {
    NewEntry {
        id: 0,
        key: ingredients.key(),
        operation: operation.to_owned(),
        ingredients,
        output: vec![],
        output_digest: plain::digest_text("y"),
        blobs: vec![],
        cost: Duration::ZERO,
        expires_at: None,
        origin: Origin::default(),
        observed: vec![],
        made_of: Default::default(),
        parts: vec![],
    }
}

/// The files below a directory with their bytes; of a catalog, not those that it writes itself.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().contains("/catalog.") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn fsck_saves_what_is_sound_in_a_damaged_catalog() {
    let (mut world, ..) = edited();
    let catalog = world.home.path().join("cache/catalog.sqlite");
    // Closes the one in the directory.
    world.cache = Cache::in_memory().unwrap();
    let mut bytes = std::fs::read(&catalog).unwrap();
    bytes[..100].fill(0);
    std::fs::write(&catalog, &bytes).unwrap();
    let run = |arguments: &[&str]| world.run(arguments);
    for verb in ["runs", "stats", "gc"] {
        let refused = run(&[verb]);
        assert_eq!(refused.code, 3, "{verb}");
        assert!(refused.err.contains("`thrifty fsck --repair`"), "{}", refused.err);
    }
    assert_eq!(run(&["fsck"]).code, 3);
    assert_eq!(std::fs::read(&catalog).unwrap(), bytes, "only a repair changes it");
    let repaired = run(&["fsck", "--repair"]);
    assert_eq!(repaired.code, 0, "{} {}", repaired.out, repaired.err);
    assert!(repaired.out.contains("saved into a new catalog: 3 entries, 0 lost; "));
    let checked = run(&["fsck", "--full", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
    assert_eq!((&json["entries"], checked.code), (&3.into(), 0));
    assert_eq!(run(&["runs"]).code, 0);
}

#[test]
fn config_tells_where_each_value_comes_from() {
    let world = World::new();
    std::fs::write(world.home.path().join("thrifty.toml"), "budget = '20GB'\n").unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&world.run(&["config", "--json"]).out).unwrap();
    let find = |name: &str| {
        let all = json.as_array().unwrap().iter();
        let line = all.into_iter().find(|line| line["name"] == name).unwrap();
        (line["value"].as_str().unwrap().to_owned(), line["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(find("project"), ("flights".to_owned(), "THRIFTY_PROJECT".to_owned()));
    let file = world.home.path().join("thrifty.toml");
    assert_eq!(find("budget"), ("20.0 GB".to_owned(), format!("{}:1", file.display())));
    assert_eq!(find("domain"), ("development".to_owned(), "default".to_owned()));
    std::fs::write(file, "bugdet = '20GB'\n").unwrap();
    let wrong = world.run(&["config"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("unknown field `bugdet`; did you mean `budget`?"), "{}", wrong.err);
}

#[test]
fn run_asks_the_host_and_reports() {
    let world = World::new();
    let report = RunReport {
        run: Some("k3f9".to_owned()),
        end: End::Succeeded,
        result: Some("0.93".to_owned()),
        failures: vec![],
        checks: vec![],
        notes: vec![],
        given: Given::default(),
    };
    let host = Told::new(Ok(report));
    let arguments = [
        "run",
        "m:w",
        "-p",
        "lr=0.1",
        "-p",
        "note=a=b",
        "--workers",
        "2",
        "--now",
        "--executor",
        "processes",
        "--seed",
        "7",
        "--refresh",
        "train",
        "clean_*",
    ];
    let done = world.run_as(&arguments, &host, None);
    assert_eq!((done.code, done.out.as_str()), (0, "0.93\n"));
    assert!(
        done.err.starts_with("run k3f9: 1 computed, 1 hit, 1 not run, saved 5.0 s, took "),
        "{}",
        done.err
    );
    let expected = RunRequest {
        target: "m:w".to_owned(),
        parameters: vec![
            ("lr".to_owned(), "0.1".to_owned()),
            ("note".to_owned(), "a=b".to_owned()),
        ],
        mode: None,
        refresh: vec!["train".to_owned(), "clean_*".to_owned()],
        executor: Some(Executor::Processes),
        workers: Some(2),
        now: true,
        fail_fast: None,
        check: None,
        dry_run: None,
        seed: Seed::new(7),
    };
    assert_eq!(host.asked.into_inner().unwrap(), [expected]);
}

#[test]
fn run_wide_switches_become_a_mode_and_contradictions_are_refused() {
    let world = World::new();
    let mode = |flags: &[&str]| {
        let host = Told::new(Err(HostError::Usage("x".to_owned())));
        let arguments = [&["run", "m:w"], flags].concat();
        let done = world.run_as(&arguments, &host, None);
        assert_eq!(done.code, 2);
        host.asked.into_inner().unwrap().pop().map(|request| request.mode)
    };
    assert_eq!(mode(&[]), Some(None));
    assert_eq!(mode(&["--no-cache"]), Some(Some(Mode::Off)));
    assert_eq!(mode(&["--read-only"]), Some(Some(Mode::ReadOnly)));
    assert_eq!(mode(&["--refresh"]), Some(Some(Mode::Refresh)));
    assert_eq!(mode(&["--read-only", "--refresh", "train"]), Some(Some(Mode::ReadOnly)));
    assert_eq!(mode(&["--no-cache", "--refresh"]), None);
    assert_eq!(mode(&["--no-cache", "--read-only"]), None);
    assert_eq!(mode(&["--workers", "0"]), None);
    assert_eq!(mode(&["-p", "lr"]), None);
    for seed in ["-1", "1.5", "x", "9223372036854775808"] {
        assert_eq!(mode(&["--seed", seed]), None, "{seed}");
    }
}

#[test]
fn run_exit_codes_tell_failure_interruption_and_wrong_use_apart() {
    let world = World::new();
    let ended = |end, failures| RunReport {
        run: None,
        end,
        result: None,
        failures,
        checks: vec![],
        notes: vec![],
        given: Given::default(),
    };
    let failed = Failed { operation: "train".to_owned(), message: "Traceback…\nE: x".to_owned() };
    let failed = Told::new(Ok(ended(End::Failed, vec![failed])));
    let done = world.run_as(&["run", "m:w"], &failed, None);
    assert_eq!(done.code, 1);
    assert!(done.err.starts_with("train failed\nTraceback…\nE: x\nrun (not recorded): "));
    let interrupted = Told::new(Ok(ended(End::Interrupted, vec![])));
    assert_eq!(world.run_as(&["run", "m:w"], &interrupted, None).code, 130);
    let known = vec!["experiment".to_owned()];
    let unknown = HostError::UnknownTarget {
        target: "m:experimnt".to_owned(),
        reason: "module `m` has no workflow `experimnt`".to_owned(),
        name: "experimnt".to_owned(),
        known: known.clone(),
    };
    let unknown = Told::new(Err(unknown));
    let done = world.run_as(&["run", "m:experimnt"], &unknown, None);
    assert_eq!(done.code, 2);
    assert_eq!(
        done.err,
        "thrifty: cannot run `m:experimnt`: module `m` has no workflow `experimnt`; \
         did you mean `experiment`?\n"
    );
}

#[test]
fn help_names_every_verb_and_the_exit_codes_and_completion_is_a_script() {
    let world = World::new();
    let help = world.run(&["--help"]);
    assert_eq!(help.code, 0);
    for verb in [
        "run",
        "why",
        "runs",
        "show",
        "stats",
        "invalidate",
        "clear",
        "gc",
        "fsck",
        "config",
        "completion",
    ] {
        assert!(help.out.contains(&format!("\n  {verb} ")), "{verb}: {}", help.out);
        assert!(world.run(&[verb, "--help"]).out.contains("Example"), "{verb}");
    }
    assert!(help.out.contains("130 interrupted"));
    for shell in ["bash", "zsh", "fish"] {
        let script = world.run(&["completion", shell]);
        assert!(script.code == 0 && script.out.contains("invalidate"), "{shell}");
    }
}

#[test]
fn an_operation_file_runs_without_a_cache_that_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("file");
    std::fs::write(&home, "").unwrap();
    let text =
        "operations:\n  one: {run: echo 1 >> BASE/count; echo 2 > o, outputs: {o: {json: o}}}\n";
    let base = directory.path().display().to_string();
    std::fs::write(directory.path().join("p.yaml"), text.replace("BASE", &base)).unwrap();
    let host = Told::new(Err(HostError::Usage(String::new())));
    let run = |strict: &'static str| {
        let variables = |name: &str| match name {
            "THRIFTY_HOME" => Some(home.clone().into_os_string()),
            "THRIFTY_STRICT" => Some(strict.into()),
            _ => None,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console {
            out: &mut out,
            err: &mut err,
            input: None,
            width: None,
            is_live: false,
            is_coloured: false,
            directory: directory.path().to_owned(),
            variables: &variables,
        };
        let arguments = vec!["thrifty".into(), "run".into(), "p.yaml".into()];
        let code = main_in(arguments, &host, &mut console);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    for lenient in ["", "false", "No", "off"] {
        assert_eq!(run(lenient).0, 0, "{lenient}");
    }
    std::fs::remove_file(directory.path().join("count")).unwrap();
    let (code, out, err) = run("0");
    assert_eq!((code, out.as_str()), (0, "one.o = 2\n"), "{err}");
    assert!(err.contains("without its cache directory"), "{err}");
    assert_eq!(std::fs::read_to_string(directory.path().join("count")).unwrap(), "1\n");
    assert_eq!(run("1").0, 3);
}

#[test]
fn a_cache_that_cannot_be_opened_is_exit_code_3() {
    let world = World::new();
    let home = world.home.path().join("file");
    std::fs::write(&home, "").unwrap();
    let variables = |name: &str| (name == "THRIFTY_HOME").then(|| home.clone().into_os_string());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        input: None,
        width: None,
        is_live: false,
        is_coloured: false,
        directory: world.home.path().to_owned(),
        variables: &variables,
    };
    let host = Told::new(Err(HostError::Usage(String::new())));
    let arguments = vec!["thrifty".into(), "runs".into()];
    assert_eq!(main_in(arguments, &host, &mut console), 3);
    assert!(String::from_utf8(err).unwrap().starts_with("thrifty: "));
}

/// A run that read a file and a variable, and one after the file had changed.
fn observing() -> (World, String) {
    let world = World::new();
    let state = |text| State::Digest(plain::digest_text(text));
    let data = Observed::File(Place::Project("data.csv".to_owned()));
    let mut key = String::new();
    for (content, detail) in
        [("one", "no entry"), ("two", "observed: data.csv has changed since it was read")]
    {
        let run = world.begin("m:experiment");
        let observed = [
            Observation { what: data.clone(), state: state(content) },
            Observation { what: Observed::Variable("TOKEN".to_owned()), state: State::Absent },
        ];
        let mut ingredients = Ingredients::new();
        ingredients.add(Kind::Inputs, "x", plain::digest_text("x"), text("x")).unwrap();
        let mut bytes = *ingredients.key().as_bytes();
        bytes[31] = content.as_bytes()[0];
        let entry = NewEntry {
            id: 1,
            key: Digest::from_bytes(bytes),
            operation: "m:clean".to_owned(),
            output: Record::Plain(plain::text(content)).to_bytes(),
            output_digest: plain::digest_text(content),
            ingredients,
            blobs: vec![],
            cost: Duration::from_secs(90),
            expires_at: None,
            origin: Origin { run: Some(run.clone()), ..Origin::default() },
            observed: encode(&observed).unwrap(),
            made_of: Default::default(),
            parts: vec![],
        };
        key = entry.key.to_string();
        let id = commit(world.cache.catalog().as_ref(), world.cache.scope(), &entry);
        let node = Node {
            number: 0,
            operation: entry.operation,
            key: Some(entry.ingredients.key()),
            ingredients: None,
            outcome: "computed".to_owned(),
            detail: detail.to_owned(),
            reason: String::new(),
            rule: "default".to_owned(),
            entry: Some(id),
            source: None,
            output_digest: Some(entry.output_digest),
            count: 1,
            at: world.cache.catalog().now().unwrap(),
            spent: Duration::from_secs(90),
            saved: Duration::ZERO,
            upstream: vec![],
            takes: vec![],
            parent: None,
        };
        world.cache.catalog().record(&run, &[node]).unwrap();
        world.finish(&run);
    }
    (world, key)
}

#[test]
fn show_lists_what_was_observed_and_no_values() {
    let (world, key) = observing();
    let out = world.run(&["show", &key]).out;
    let lines: Vec<_> =
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let found = plain::digest_text("two").to_string()[..12].to_owned();
    assert!(lines.contains(&vec!["observed", "found"]), "{out}");
    assert!(lines.contains(&vec!["data.csv", &found]), "{out}");
    assert!(lines.contains(&vec!["the", "variable", "TOKEN", "nothing"]), "{out}");
    let all: serde_json::Value =
        serde_json::from_str(&world.run(&["show", &key, "--json"]).out).unwrap();
    assert_eq!(all[0]["observed"][0]["what"], "data.csv");
    assert_eq!(all[0]["observed"][1]["found"], "nothing");
}

#[test]
fn why_names_what_was_observed_and_has_changed() {
    let (world, _) = observing();
    let out = world.run(&["why"]).out;
    assert!(out.contains("\ndata.csv has changed since it was read\n"), "{out}");
    let one = world.run(&["why", "#0"]).out;
    assert!(one.contains("ran because data.csv has changed since it was read\n"), "{one}");
    let json: serde_json::Value = serde_json::from_str(&world.run(&["why", "--json"]).out).unwrap();
    assert_eq!(json["causes"][0]["reason"], "observed", "{json}");
}

/// Results for other states of the surroundings share the first half of the key.
#[test]
fn a_whole_key_means_its_variants_too() {
    let (world, key) = observing();
    let other = format!("{}{}", &key[..63], if key.ends_with('0') { 1 } else { 0 });
    let shown: serde_json::Value =
        serde_json::from_str(&world.run(&["show", &other, "--json"]).out).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    let removed = world.run(&["invalidate", "--key", &other, "--yes"]);
    assert!(removed.err.contains("removed 2 entries"), "{removed:?}");
}

#[test]
fn a_run_of_a_process_that_is_gone_is_lost() {
    let world = World::new();
    let here = thrifty_engine::process::identity();
    let Some((before, start)) = here.rsplit_once(' ') else { return };
    let gone = format!("{before} {}", start.parse::<u64>().unwrap() + 1);
    for (process, status) in [(here, "running"), (gone, "lost"), (String::new(), "running")] {
        let run = NewRun { name: "m:experiment".to_owned(), process, ..NewRun::default() };
        world.cache.catalog().begin_run(world.cache.scope(), &run).unwrap();
        for out in [world.run(&["runs", "--limit", "1"]).out, world.run(&["show"]).out] {
            assert!(out.contains(status), "{status}: {out}");
        }
    }
}
