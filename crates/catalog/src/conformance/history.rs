//! Runs, texts and memos.

use std::thread;
use std::time::Duration;

use thrifty_key::{Kind, Preview};

use super::{HOUR, Make, WORKS, entry, key, put, scope};
use crate::entry::{EntryId, RunId, Scope};
use crate::run::{NewRun, Node, Reasoned, RunFilter, RunStatus, Shortened};

/// Runs are listed with what became of their nodes.
pub fn keeps_runs(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let new = NewRun {
        name: "nightly".to_owned(),
        arguments: "lr=0.1".to_owned(),
        host: "host".to_owned(),
        user: "user".to_owned(),
        process: "7".to_owned(),
    };
    let older = catalog.begin_run(&scope, &NewRun::default()).expect(WORKS);
    let run = catalog.begin_run(&scope, &new).expect(WORKS);
    assert_ne!(older, run);
    assert_eq!(run.0.len(), 8, "{run}");

    let nodes = [node(0, "hit", 1), node(1, "computed", 1), node(2, "hit", 5)];
    catalog.record(&run, &nodes[1..]).expect(WORKS);
    let first = Node { outcome: "computed".to_owned(), ..nodes[0].clone() };
    catalog.record(&run, &[first]).expect(WORKS);
    catalog.record(&run, &nodes[..1]).expect(WORKS);
    assert_eq!(catalog.nodes(&run).expect(WORKS), nodes);
    catalog.finish_run(&run, RunStatus::Failed).expect(WORKS);

    // Of two that have it go on, one does; what it did before stays.
    assert!(catalog.resume_run(&run, "7", "8").expect(WORKS));
    assert!(!catalog.resume_run(&run, "7", "9").expect(WORKS));
    let filter = RunFilter { id_prefix: Some(run.0.clone()), ..RunFilter::default() };
    let resumed = catalog.runs(None, &filter).expect(WORKS).remove(0);
    assert_eq!((resumed.status, resumed.finished_at), (RunStatus::Running, None));
    assert_eq!((resumed.process.as_str(), resumed.name.as_str()), ("8", "nightly"));
    assert!(catalog.resume_run(&run, "8", "7").expect(WORKS));
    assert_eq!(catalog.nodes(&run).expect(WORKS), nodes);
    catalog.finish_run(&run, RunStatus::Failed).expect(WORKS);

    let unknown = RunId("nobody".to_owned());
    assert!(!catalog.resume_run(&unknown, "", "7").expect(WORKS));
    assert!(catalog.record(&unknown, &nodes).is_err());
    assert!(catalog.finish_run(&unknown, RunStatus::Failed).is_err());
    assert_eq!(catalog.nodes(&unknown).expect(WORKS), []);

    let list = |filter: RunFilter| catalog.runs(Some(&scope), &filter).expect(WORKS);
    let all = list(RunFilter::default());
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0].id, &all[1].id), (&run, &older));
    assert_eq!(all[0].name, new.name);
    assert_eq!(all[0].process, new.process);
    assert_eq!(all[0].status, RunStatus::Failed);
    assert!(all[0].finished_at >= Some(all[0].started_at));
    let outcomes = [("computed".to_owned(), 1), ("hit".to_owned(), 6)];
    assert_eq!(all[0].outcomes, outcomes);
    assert_eq!(all[0].reasons, [Reasoned { reason: "full".to_owned(), count: 1 }]);
    assert_eq!(all[0].saved, Duration::from_secs(3));
    assert_eq!(all[1].status, RunStatus::Running);
    assert_eq!((all[1].finished_at, all[1].outcomes.len()), (None, 0));
    let named = RunFilter { name: Some(new.name), ..RunFilter::default() };
    assert_eq!(list(named), all[..1]);
    let prefixed = RunFilter { id_prefix: Some(older.0[..7].to_owned()), ..RunFilter::default() };
    assert_eq!(list(prefixed), all[1..]);
    let limited = RunFilter { limit: Some(1), ..RunFilter::default() };
    assert_eq!(list(limited), all[..1]);
    let began = |run: &crate::run::Run| Some(run.started_at);
    let early = RunFilter { until: began(&all[1]).map(|at| at - 1), ..RunFilter::default() };
    assert_eq!(list(early), []);
    let late = RunFilter { until: began(&all[0]), ..RunFilter::default() };
    assert_eq!(list(late), all);

    let totals = catalog.totals(Some(&scope)).expect(WORKS);
    let counts: Vec<_> = totals.iter().map(|t| (t.outcome.as_str(), t.count)).collect();
    assert_eq!(counts, [("computed", 1), ("hit", 6)]);
    assert_eq!(totals[1].saved, Duration::from_secs(2));
    assert_eq!(totals[1].spent, Duration::from_millis(4));
    let production = Scope { domain: "production".to_owned(), ..scope.clone() };
    for elsewhere in [self::scope("shop"), production] {
        assert_eq!(catalog.totals(Some(&elsewhere)).expect(WORKS), []);
        let runs = catalog.runs(Some(&elsewhere), &RunFilter::default());
        assert_eq!(runs.expect(WORKS), []);
    }
    let many = self::scope("many");
    for _ in 0..51 {
        catalog.begin_run(&many, &NewRun::default()).expect(WORKS);
    }
    for (limit, listed) in [(None, 50), (Some(51), 51)] {
        let filter = RunFilter { limit, ..RunFilter::default() };
        assert_eq!(catalog.runs(Some(&many), &filter).expect(WORKS).len(), listed);
    }
}

fn node(number: u32, outcome: &str, count: u64) -> Node {
    Node {
        number,
        operation: "lab.train".to_owned(),
        key: Some(key("a")),
        ingredients: (number == 1).then(|| entry("a", "x").ingredients),
        outcome: outcome.to_owned(),
        detail: "because".to_owned(),
        reason: if number == 1 { "full".to_owned() } else { String::new() },
        rule: "default".to_owned(),
        entry: Some(EntryId(5)),
        source: Some(RunId("source".to_owned())),
        output_digest: Some(key("x")),
        count,
        at: 17,
        spent: Duration::from_millis(2),
        saved: Duration::from_secs(1),
        upstream: (0..number).collect(),
        takes: (0..number).map(|n| (format!("input {n}"), vec![n])).collect(),
        parent: number.checked_sub(1),
    }
}

/// Texts are kept by digest, memos by topic and name.
pub fn keeps_texts_and_memos(make: Make<'_>) {
    let catalog = make();
    let text = |name: &str| catalog.text(&key(name)).expect(WORKS);
    assert_eq!(text("a"), None);
    let texts = [(key("a"), "def f():\n    π\0"), (key("b"), "")];
    catalog.put_texts(&texts).expect(WORKS);
    catalog.put_texts(&texts).expect(WORKS);
    assert_eq!(text("a").as_deref(), Some(texts[0].1));
    assert_eq!(text("b").as_deref(), Some(""));

    let recall = |topic: &str| catalog.recall(topic, b"\0n").expect(WORKS);
    assert_eq!(recall("t"), None);
    for body in [&b"one"[..], b"two"] {
        catalog.remember("t", &[(b"\0n", body), (b"m", b"")]).expect(WORKS);
        assert_eq!(recall("t").as_deref(), Some(body));
    }
    assert_eq!(recall("other"), None);
}

/// History is forgotten by its age, but for what is still referred to.
pub fn forgets_what_is_old(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let mut kept = entry("a", "x");
    let source = Preview::Source(key("needed"));
    kept.ingredients.add(Kind::Code, "f", key("code"), source).expect("it is the first");
    put(&*catalog, &scope, &kept);
    let run = catalog.begin_run(&scope, &NewRun::default()).expect(WORKS);
    catalog.record(&run, &[node(0, "computed", 1)]).expect(WORKS);
    catalog.finish_run(&run, RunStatus::Succeeded).expect(WORKS);
    let running = catalog.begin_run(&scope, &NewRun::default()).expect(WORKS);
    catalog.put_texts(&[(key("needed"), "a"), (key("unneeded"), "b")]).expect(WORKS);
    catalog.remember("t", &[(b"n", b"body")]).expect(WORKS);
    let none = Shortened::default();
    assert_eq!(catalog.shorten(HOUR).expect(WORKS), none, "it is new");
    // Times are milliseconds: what was kept in this very one is not older than nothing.
    thread::sleep(Duration::from_millis(2));
    let all = Shortened { runs: 1, memos: 1, texts: 1 };
    assert_eq!(catalog.shorten(Duration::ZERO).expect(WORKS), all);
    let left = catalog.runs(None, &RunFilter::default()).expect(WORKS);
    assert_eq!(left.iter().map(|run| &run.id).collect::<Vec<_>>(), [&running], "it still runs");
    catalog.record(&running, &[node(0, "computed", 1)]).expect(WORKS);
    assert_eq!(catalog.nodes(&run).expect(WORKS), []);
    assert_eq!(catalog.recall("t", b"n").expect(WORKS), None);
    assert_eq!(catalog.text(&key("unneeded")).expect(WORKS), None);
    assert!(catalog.text(&key("needed")).expect(WORKS).is_some());
    assert_eq!(catalog.shorten(Duration::ZERO).expect(WORKS), none);
}
