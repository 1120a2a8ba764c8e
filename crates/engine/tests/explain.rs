//! Every reason a node can have, told from a past made by hand.

#![allow(clippy::unwrap_used)]

mod past;

use past::{Past, digest, made_of, scope};
use thrifty_engine::catalog::{Catalog, Node, RunStatus, Selector, Sqlite};
use thrifty_engine::explain::{Cause, Explained, HIDDEN, Reason, Root, Upstream, explain};
use thrifty_engine::key::{Ingredients, Kind, Preview};

const CODE: Kind = Kind::Code;
const INPUTS: Kind = Kind::Inputs;

fn catalog() -> Sqlite {
    Sqlite::in_memory().unwrap()
}

fn explained(run: &Past<'_>) -> Vec<Explained> {
    explain(run.catalog, &run.run(), None).unwrap().nodes
}

fn only(run: &Past<'_>) -> Explained {
    let mut all = explained(run);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// A run in which `clean` and, on its output, `train` ran.
fn cascade<'a>(
    catalog: &'a Sqlite,
    limit: &str,
    frame: &str,
    rate: &str,
    stored: bool,
) -> Past<'a> {
    let run = Past::begin(catalog, "experiment");
    run.computed(7, "m.clean", &[(CODE, "m.LIMIT", limit)], frame, &[]);
    let train = [(INPUTS, "frame", frame), (INPUTS, "lr", rate)];
    if stored {
        run.computed(3, "m.train", &train, &format!("{frame} {rate}"), &[7]);
    }
    run
}

#[test]
fn what_never_ran_before_ran_for_the_first_time() {
    let catalog = catalog();
    let run = cascade(&catalog, "1440", "frame", "0.1", true);
    for node in explained(&run) {
        assert_eq!(
            (node.reason, node.against, node.differences),
            (Reason::FirstTime, None, vec![])
        );
    }
}

#[test]
fn a_changed_constant_is_named_with_both_values_and_the_run_it_changed_since() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "experiment");
    first.computed(0, "m.clean", &[(CODE, "m.LIMIT", "1440"), (CODE, "m.clean", "x")], "a", &[]);
    let second = Past::begin(&catalog, "experiment");
    second.computed(0, "m.clean", &[(CODE, "m.LIMIT", "1400"), (CODE, "m.clean", "x")], "b", &[]);
    let node = only(&second);
    assert_eq!(node.reason, Reason::Changed);
    assert_eq!(node.against.unwrap().run, Some(first.id));
    let [shown] = node.differences.as_slice() else { panic!("{:?}", node.differences) };
    assert_eq!((shown.kind, shown.name.as_str(), shown.change), (CODE, "m.LIMIT", "changed"));
    assert_eq!((shown.old.as_deref(), shown.new.as_deref()), (Some("1440"), Some("1400")));
    assert_eq!(shown.diff, None);
}

#[test]
fn the_nearest_earlier_call_is_compared_and_not_the_newest() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "experiment");
    for (number, rate) in [(1, "0.1"), (2, "0.2"), (3, "0.3")] {
        first.computed(number, "train", &[(CODE, "train", "old"), (INPUTS, "lr", rate)], rate, &[]);
    }
    let second = Past::begin(&catalog, "experiment");
    second.computed(1, "train", &[(CODE, "train", "new"), (INPUTS, "lr", "0.1")], "c", &[]);
    let node = only(&second);
    assert_eq!(node.against.unwrap().node, 1);
    assert_eq!(node.differences.iter().map(|d| d.kind).collect::<Vec<_>>(), [CODE]);
}

#[test]
fn a_cascade_names_its_root_first_and_what_followed_names_its_upstream() {
    let catalog = catalog();
    cascade(&catalog, "1440", "frame", "0.1", true);
    let second = cascade(&catalog, "1400", "other frame", "0.1", true);
    let nodes = explained(&second);
    let order: Vec<_> = nodes.iter().map(|node| (node.node, node.reason)).collect();
    assert_eq!(order, [(7, Reason::Changed), (3, Reason::Upstream)]);
    let [shown] = nodes[1].differences.as_slice() else { panic!("{nodes:?}") };
    assert_eq!(shown.name, "frame");
    assert_eq!(shown.upstream, [Upstream { node: 7, operation: "m.clean".to_owned() }]);
}

#[test]
fn an_own_change_stays_a_root_beside_a_changed_upstream() {
    let catalog = catalog();
    cascade(&catalog, "1440", "frame", "0.1", true);
    let second = cascade(&catalog, "1400", "other frame", "0.2", true);
    let train = explained(&second).into_iter().find(|node| node.node == 3).unwrap();
    assert_eq!(train.reason, Reason::Changed);
    let sources: Vec<_> =
        train.differences.iter().map(|d| (d.name.as_str(), d.upstream.len())).collect();
    assert_eq!(sources, [("frame", 1), ("lr", 0)]);
}

#[test]
fn an_upstream_that_reran_to_an_equal_result_is_no_cause() {
    let catalog = catalog();
    cascade(&catalog, "1440", "frame", "0.1", true);
    let second = cascade(&catalog, "1400", "frame", "0.1", false);
    second.computed(3, "m.train", &[(INPUTS, "frame", "frame"), (INPUTS, "lr", "9")], "m", &[7]);
    let train = explained(&second).into_iter().find(|node| node.node == 3).unwrap();
    assert_eq!(train.reason, Reason::Changed);
    assert!(train.differences.iter().all(|d| d.name == "lr" && d.upstream.is_empty()));
}

#[test]
fn an_input_that_holds_several_outputs_names_those_that_changed_and_no_others() {
    let catalog = catalog();
    let run = |limit, frame: &str, rate: &str| {
        let run = Past::begin(&catalog, "experiment");
        run.computed(1, "clean", &[(CODE, "m.LIMIT", limit)], frame, &[]);
        run.computed(2, "load", &[(INPUTS, "x", "1")], "weather", &[]);
        run.computed(3, "tune", &[(INPUTS, "rate", rate)], rate, &[]);
        let frames = format!("[{frame}, weather]");
        let parts = [(INPUTS, "frames", frames.as_str()), (INPUTS, "rate", rate)];
        let takes = vec![("frames".to_owned(), vec![1, 2]), ("rate".to_owned(), vec![3])];
        run.computed_taking(4, "join", &parts, &frames, &[1, 2, 3], takes);
        run
    };
    run("1440", "frame", "0.1");
    let second = Past::begin(&catalog, "experiment");
    second.computed(1, "clean", &[(CODE, "m.LIMIT", "1400")], "other", &[]);
    second.computed(3, "tune", &[(CODE, "tune", "new"), (INPUTS, "rate", "0.2")], "0.2", &[]);
    let parts = [(INPUTS, "frames", "[other, weather]"), (INPUTS, "rate", "0.2")];
    let takes = vec![("frames".to_owned(), vec![1, 2]), ("rate".to_owned(), vec![3])];
    second.computed_taking(4, "join", &parts, "x", &[1, 2, 3], takes);
    let join = explained(&second).into_iter().find(|node| node.node == 4).unwrap();
    assert_eq!(join.reason, Reason::Upstream);
    let sources: Vec<_> = join
        .differences
        .iter()
        .map(|it| (it.name.as_str(), it.upstream.iter().map(|it| it.node).collect::<Vec<_>>()))
        .collect();
    assert_eq!(sources, [("frames", vec![1]), ("rate", vec![3])]);
}

#[test]
fn a_changed_function_shows_the_difference_of_its_source() {
    let catalog = catalog();
    let sources = ["def f():\n    return 1\n", "def f():\n    return 2\n"];
    let texts: Vec<_> = sources.iter().map(|text| (digest(text), *text)).collect();
    catalog.put_texts(&texts).unwrap();
    let ran = |source: &str| {
        let run = Past::begin(&catalog, "f");
        let mut ingredients = Ingredients::new();
        ingredients.add(CODE, "f", digest(source), Preview::Source(digest(source))).unwrap();
        let node = run.node(0, "f", &ingredients);
        run.record(&Node { ingredients: Some(ingredients), ..node });
        run
    };
    ran(sources[0]);
    let node = only(&ran(sources[1]));
    let diff = node.differences[0].diff.clone().unwrap();
    assert_eq!(
        diff,
        "--- before\n+++ now\n@@ -1,2 +1,2 @@\n def f():\n-    return 1\n+    return 2\n"
    );
    assert_eq!((&node.differences[0].old, &node.differences[0].new), (&None, &None));
}

#[test]
fn a_secret_shows_that_it_changed_and_nothing_else() {
    let catalog = catalog();
    let ran = |secret: &str| {
        let run = Past::begin(&catalog, "f");
        let mut ingredients = Ingredients::new();
        ingredients.add(INPUTS, "token", digest(secret), Preview::Hidden).unwrap();
        let node = run.node(0, "f", &ingredients);
        run.record(&Node { ingredients: Some(ingredients), ..node });
        run
    };
    ran("hunter2");
    let node = only(&ran("hunter3"));
    let shown = &node.differences[0];
    assert_eq!((shown.old.as_deref(), shown.new.as_deref()), (Some(HIDDEN), Some(HIDDEN)));
    assert!(!serde_json(&node).contains("hunter"));
}

fn serde_json(node: &Explained) -> String {
    format!("{node:?}")
}

#[test]
fn a_stated_reason_is_handed_on() {
    for detail in ["expired", "too old", "unreadable entry", "refresh", "cache unavailable"] {
        let catalog = catalog();
        let run = Past::begin(&catalog, "f");
        let ingredients = made_of(&[(INPUTS, "x", "1")]);
        run.record(&Node { detail: detail.to_owned(), ..run.node(0, "f", &ingredients) });
        let node = only(&run);
        assert_eq!((node.reason, node.detail.as_str()), (Reason::NotReused, detail));
    }
}

#[test]
fn the_same_call_without_its_result_says_what_became_of_it() {
    let absent = [
        ("failed", "it failed before, and failures are not kept"),
        ("computed-not-stored", "its earlier result was not stored"),
        ("computed", "its earlier result was invalidated or collected since"),
        ("hit-local", "its earlier result was invalidated or collected since"),
    ];
    for (before, detail) in absent {
        for is_kept in [true, false] {
            let catalog = catalog();
            let ingredients = made_of(&[(INPUTS, "x", "1")]);
            let first = Past::begin(&catalog, "f");
            let kept = is_kept.then(|| ingredients.clone());
            let node = first.node(4, "f", &ingredients);
            first.record(&Node { outcome: before.to_owned(), ingredients: kept, ..node });
            let second = Past::begin(&catalog, "f");
            second.computed(0, "f", &[(INPUTS, "x", "1")], "1", &[]);
            let node = only(&second);
            assert_eq!(
                (node.reason, node.detail.as_str()),
                (Reason::NotReused, detail),
                "{before}"
            );
            assert_eq!(node.against.unwrap().run, Some(first.id.clone()));
        }
    }
}

#[test]
fn after_an_invalidation_the_same_call_does_not_pass_for_a_new_one() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "f");
    first.computed(0, "f", &[(INPUTS, "x", "1")], "1", &[]);
    catalog.invalidate(Some(&scope()), &Selector::default()).unwrap();
    let second = Past::begin(&catalog, "f");
    second.computed(0, "f", &[(INPUTS, "x", "1")], "1", &[]);
    assert_eq!(only(&second).reason, Reason::NotReused);
    let third = Past::begin(&catalog, "f");
    third.computed(0, "f", &[(INPUTS, "x", "2")], "2", &[]);
    catalog.invalidate(Some(&scope()), &Selector::default()).unwrap();
    assert_eq!(only(&third).reason, Reason::Unknown);
}

#[test]
fn siblings_of_a_first_run_are_told_apart_and_are_no_change() {
    let catalog = catalog();
    let run = Past::begin(&catalog, "search");
    run.computed(1, "train", &[(INPUTS, "lr", "0.1")], "a", &[]);
    run.computed(2, "train", &[(INPUTS, "lr", "0.2")], "b", &[]);
    let nodes = explained(&run);
    assert!(nodes.iter().all(|node| node.reason == Reason::FirstTime));
    assert_eq!(nodes[1].against.as_ref().unwrap().node, 1);
    assert_eq!(nodes[1].differences[0].new.as_deref(), Some("0.2"));
}

#[test]
fn hits_are_left_out_unless_asked_for_and_name_their_source() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "f");
    let stored = first.computed(0, "f", &[(INPUTS, "x", "1")], "1", &[]);
    first.finish(RunStatus::Succeeded);
    let second = Past::begin(&catalog, "f");
    let hit = Node {
        outcome: "hit-local".to_owned(),
        source: Some(first.id.clone()),
        detail: String::new(),
        reason: String::new(),
        ..stored
    };
    second.record(&hit);
    assert_eq!(explained(&second), []);
    let asked = explain(&catalog, &second.run(), Some(&[0, 99])).unwrap();
    let [node] = asked.nodes.as_slice() else { panic!("{asked:?}") };
    assert_eq!(node.reason, Reason::Hit);
    assert_eq!(node.detail, format!("computed in run {}", first.id));
}

#[test]
fn what_ran_without_the_cache_or_not_at_all_says_so() {
    let catalog = catalog();
    let run = Past::begin(&catalog, "f");
    let ingredients = made_of(&[(INPUTS, "x", "1")]);
    let node = |number, outcome: &str, detail: &str, rule: &str| Node {
        outcome: outcome.to_owned(),
        detail: detail.to_owned(),
        rule: rule.to_owned(),
        key: None,
        ..run.node(number, "f", &ingredients)
    };
    run.record(&node(0, "uncached", "x: generator", "definition"));
    run.record(&node(1, "upstream-failed", "g failed", "default"));
    let all = explain(&catalog, &run.run(), Some(&[0, 1])).unwrap().nodes;
    let told: Vec<_> = all.iter().map(|node| (node.reason, node.detail.as_str())).collect();
    assert_eq!(told, [(Reason::Uncached, "x: generator"), (Reason::NotRun, "g failed")]);
}

#[test]
fn names_with_pattern_characters_are_compared_with_themselves_alone() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "w");
    first.computed(0, "f*[x]?", &[(INPUTS, "x", "1")], "1", &[]);
    first.computed(1, "fghx1", &[(INPUTS, "x", "2"), (INPUTS, "y", "2")], "2", &[]);
    let second = Past::begin(&catalog, "w");
    second.computed(0, "f*[x]?", &[(INPUTS, "x", "2")], "2", &[]);
    let node = only(&second);
    assert_eq!(node.against.unwrap().node, 0);
}

#[test]
fn a_run_larger_than_what_is_compared_still_sees_what_was_before_it() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "map");
    first.computed(0, "f", &[(CODE, "f", "old"), (INPUTS, "x", "0")], "a", &[]);
    let second = Past::begin(&catalog, "map");
    for number in 0..1_001 {
        let x = number.to_string();
        second.computed(number, "f", &[(CODE, "f", "new"), (INPUTS, "x", &x)], &x, &[]);
    }
    for number in [0, 1_000] {
        let mut asked = explain(&catalog, &second.run(), Some(&[number])).unwrap();
        let node = asked.nodes.remove(0);
        assert_eq!(node.against.unwrap().run, Some(first.id.clone()));
        assert_eq!(node.reason, Reason::Changed);
    }
}

fn roots(run: &Past<'_>) -> Vec<Root> {
    explain(run.catalog, &run.run(), None).unwrap().roots
}

/// The names of what changed, the operations that had it, and those behind them.
fn told(root: &Root) -> (Vec<String>, Vec<u32>, Vec<u32>) {
    let Cause::Changed(all) = &root.cause else { panic!("{root:?}") };
    let names = all.iter().map(|shown| format!("{} {}", shown.change, shown.name)).collect();
    (names, root.direct.clone(), root.behind.clone())
}

/// `clean` and `load`, a join of both, and a report on the join.
fn pipeline<'a>(catalog: &'a Sqlite, clean: (&str, &str), load: (&str, &str)) -> Past<'a> {
    let run = Past::begin(catalog, "experiment");
    let is_known = |operation: &str, parts: &[(Kind, &str, &str)]| {
        let key = past::made_of(parts).key();
        let all = catalog.entries(None, &Selector::default(), 100).unwrap();
        all.iter().any(|entry| entry.operation == operation && entry.key == key)
    };
    let call = |number, operation: &str, parts: &[(Kind, &str, &str)], out: &str, up: &[u32]| {
        if !is_known(operation, parts) {
            run.computed(number, operation, parts, out, up);
        }
    };
    call(0, "clean", &[(CODE, "m:LIMIT", clean.0)], clean.1, &[]);
    call(1, "load", &[(CODE, "m:PATH", load.0)], load.1, &[]);
    let joined = format!("{} {}", clean.1, load.1);
    call(2, "join", &[(INPUTS, "a", clean.1), (INPUTS, "b", load.1)], &joined, &[0, 1]);
    call(3, "report", &[(INPUTS, "table", &joined)], "page", &[2]);
    run
}

#[test]
fn one_edit_is_one_root_with_all_that_ran_behind_it() {
    let catalog = catalog();
    let first = pipeline(&catalog, ("1440", "frame"), ("a.csv", "rows"));
    let second = pipeline(&catalog, ("1400", "other"), ("a.csv", "rows"));
    let all = roots(&second);
    let [root] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(told(root), (vec!["changed m:LIMIT".to_owned()], vec![0], vec![2, 3]));
    assert_eq!(root.since, Some(first.id));
    assert_eq!(root.spent, std::time::Duration::from_millis(4_500));
}

#[test]
fn two_edits_are_two_roots_and_what_both_made_run_stands_behind_both() {
    let catalog = catalog();
    pipeline(&catalog, ("1440", "frame"), ("a.csv", "rows"));
    let second = pipeline(&catalog, ("1400", "other"), ("b.csv", "more rows"));
    let mut all: Vec<_> = roots(&second).iter().map(told).collect();
    all.sort();
    assert_eq!(
        all,
        [
            (vec!["changed m:LIMIT".to_owned()], vec![0], vec![2, 3]),
            (vec!["changed m:PATH".to_owned()], vec![1], vec![2, 3]),
        ]
    );
}

#[test]
fn an_edit_whose_result_is_equal_has_nothing_behind_it() {
    let catalog = catalog();
    pipeline(&catalog, ("1440", "frame"), ("a.csv", "rows"));
    let second = pipeline(&catalog, ("1400", "frame"), ("a.csv", "rows"));
    assert_eq!(
        roots(&second).iter().map(told).collect::<Vec<_>>(),
        [(vec!["changed m:LIMIT".to_owned()], vec![0], vec![])]
    );
}

#[test]
fn one_edit_that_several_operations_reach_is_one_root() {
    let catalog = catalog();
    let run = |limit: &str, other: &str| {
        let run = Past::begin(&catalog, "w");
        run.computed(0, "clean", &[(CODE, "m:LIMIT", limit)], "a", &[]);
        run.computed(1, "train", &[(CODE, "m:LIMIT", limit), (CODE, "m:RATE", other)], "b", &[]);
        run
    };
    run("1", "1");
    let mut all: Vec<_> = roots(&run("2", "2")).iter().map(told).collect();
    all.sort();
    let limit = (vec!["changed m:LIMIT".to_owned()], vec![0, 1], vec![]);
    let rate = (vec!["changed m:RATE".to_owned()], vec![1], vec![]);
    assert_eq!(all, [limit, rate]);
}

#[test]
fn what_comes_and_goes_with_an_edit_belongs_to_it() {
    let catalog = catalog();
    let run = |parts: &[(Kind, &str, &str)]| {
        let run = Past::begin(&catalog, "w");
        run.computed(0, "clean", parts, "a", &[]);
        run
    };
    run(&[(CODE, "m:clean", "old"), (CODE, "m:helper", "x")]);
    let second = run(&[(CODE, "m:clean", "new"), (CODE, "m:newer", "x")]);
    let names = ["changed m:clean", "removed m:helper", "added m:newer"].map(str::to_owned);
    assert_eq!(
        roots(&second).iter().map(told).collect::<Vec<_>>(),
        [(names.to_vec(), vec![0], vec![])]
    );
}

#[test]
fn a_call_that_is_made_beside_the_earlier_one_is_new_and_no_change() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "tune");
    let stored = first.computed(0, "train", &[(INPUTS, "lr", "0.1")], "a", &[]);
    let second = Past::begin(&catalog, "tune");
    let hit = Node { outcome: "hit-local".to_owned(), source: Some(first.id.clone()), ..stored };
    second.record(&hit);
    second.computed(1, "train", &[(INPUTS, "lr", "0.2")], "b", &[]);
    let node = only(&second);
    assert_eq!((node.reason, node.differences.len()), (Reason::FirstTime, 1));
    assert_eq!(roots(&second)[0].cause, Cause::FirstTime);
    let third = Past::begin(&catalog, "tune");
    third.computed(0, "train", &[(INPUTS, "lr", "0.3")], "c", &[]);
    assert_eq!(only(&third).reason, Reason::Changed);
}

#[test]
fn an_input_changed_to_many_values_is_one_root() {
    let catalog = catalog();
    let run = |offset: u32| {
        let run = Past::begin(&catalog, "map");
        for number in 0..9 {
            let x = (number + offset).to_string();
            run.computed(number, "f", &[(INPUTS, "x", &x)], &x, &[]);
        }
        run
    };
    run(0);
    let all = roots(&run(100));
    let [root] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(root.direct, (0..9).collect::<Vec<_>>());
}

#[test]
fn reasons_without_a_difference_are_roots_too() {
    let catalog = catalog();
    let first = Past::begin(&catalog, "f");
    first.computed(0, "f", &[(INPUTS, "x", "1")], "1", &[]);
    let second = Past::begin(&catalog, "f");
    let ingredients = made_of(&[(INPUTS, "x", "1")]);
    let refreshed = Node { detail: "refresh".to_owned(), ..second.node(0, "f", &ingredients) };
    second.record(&Node { ingredients: Some(ingredients), ..refreshed });
    second.computed(1, "g", &[(INPUTS, "y", "1")], "1", &[]);
    let uncached = Node { rule: "run".to_owned(), ..second.node(2, "h", &made_of(&[])) };
    second.record(&Node { outcome: "uncached".to_owned(), detail: "run".to_owned(), ..uncached });
    let mut causes: Vec<_> =
        roots(&second).into_iter().map(|root| (root.direct, root.cause)).collect();
    causes.sort_by_key(|(direct, _)| direct[0]);
    assert_eq!(
        causes,
        [
            (vec![0], Cause::NotReused("refresh".to_owned())),
            (vec![1], Cause::FirstTime),
            (vec![2], Cause::Uncached("it was switched off for the whole run".to_owned())),
        ]
    );
}

#[test]
fn what_is_asked_for_by_name_keeps_the_root_it_stands_behind() {
    let catalog = catalog();
    pipeline(&catalog, ("1440", "frame"), ("a.csv", "rows"));
    let second = pipeline(&catalog, ("1400", "other"), ("a.csv", "rows"));
    let asked = explain(&catalog, &second.run(), Some(&[3])).unwrap();
    assert_eq!(asked.nodes.iter().map(|node| node.node).collect::<Vec<_>>(), [3]);
    assert_eq!(asked.roots.iter().map(told).collect::<Vec<_>>()[0].1, [0]);
}

#[test]
fn calls_of_one_operation_are_told_apart_by_what_differs_and_secrets_are_not_shown() {
    let catalog = catalog();
    let run = Past::begin(&catalog, "tune");
    let mut numbers = Vec::new();
    for (number, (rate, depth)) in
        [("0.1", "3"), ("0.2", "3"), ("0.2", "5")].into_iter().enumerate()
    {
        let mut ingredients =
            made_of(&[(INPUTS, "depth", depth), (INPUTS, "rate", rate), (INPUTS, "same", "1")]);
        ingredients
            .add(INPUTS, "token", digest(&format!("hunter{number}")), Preview::Hidden)
            .unwrap();
        let node = run.node(number as u32, "train", &ingredients);
        run.record(&Node { ingredients: Some(ingredients), ..node });
        numbers.push(number);
    }
    run.computed(9, "alone", &[(INPUTS, "x", "1")], "1", &[]);
    let labels: Vec<_> = explained(&run).into_iter().map(|node| node.label).collect();
    assert_eq!(labels, ["depth=3, rate=0.1", "depth=3, rate=0.2", "depth=5, rate=0.2", ""]);
    let nodes = catalog.nodes(&run.id).unwrap();
    let of_show = labels_of_show(&catalog, &nodes);
    assert_eq!(of_show, labels[..3]);
}

fn labels_of_show(catalog: &Sqlite, nodes: &[Node]) -> Vec<String> {
    thrifty_engine::explain::labels(catalog, &scope(), nodes).unwrap().into_values().collect()
}

fn ran_with_source(catalog: &Sqlite, name: &str, source: &str, key: &str) -> Explained {
    catalog.put_texts(&[(digest(source), source)]).unwrap();
    let run = Past::begin(catalog, "f");
    let mut ingredients = Ingredients::new();
    ingredients.add(CODE, name, digest(key), Preview::Source(digest(source))).unwrap();
    let node = run.node(0, "f", &ingredients);
    run.record(&Node { ingredients: Some(ingredients), ..node });
    only(&run)
}

#[test]
fn a_difference_of_python_shows_what_counts_and_no_comment_layout_or_docstring() {
    let catalog = catalog();
    let old = "def f(a,\n      b):\n    # once\n    x = (a +\n         b)\n    return x\n";
    let new = "def f(a, b):\n    \"\"\"Adds.\"\"\"\n    x = (a + b)  # twice\n    return x + 1\n";
    ran_with_source(&catalog, "m:f", old, "old");
    let node = ran_with_source(&catalog, "m:f", new, "new");
    assert_eq!(
        node.differences[0].diff.as_deref(),
        Some(
            "--- before\n+++ now\n@@ -1,3 +1,3 @@\n def f(a, b):\n     x = (a + b)\n-    return x\n+    return x + 1\n"
        )
    );
}

#[test]
fn comments_are_shown_where_they_count_or_nothing_else_differs() {
    for (name, old, new) in [
        ("kernel.cu", "# one\nx = 1\ny = 1\n", "# two\nx = 1\ny = 1\n"),
        ("m:f", "def f():\n    'one'\n    return 1\n", "def f():\n    'two'\n    return 1\n"),
        ("m:broken", "def f(:\n    one # two\n", "def f(:\n    one # three\n"),
    ] {
        let catalog = catalog();
        ran_with_source(&catalog, name, old, "old");
        let diff = ran_with_source(&catalog, name, new, "new").differences[0].diff.clone().unwrap();
        assert!(diff.contains("\n+"), "{name}: {diff}");
    }
}

#[test]
fn each_call_of_a_large_run_is_compared_with_its_own_counterpart() {
    let catalog = catalog();
    let run = |code: &str| {
        let run = Past::begin(&catalog, "map");
        for number in 0..600 {
            let x = number.to_string();
            run.computed(number, "f", &[(CODE, "m:f", code), (INPUTS, "x", &x)], &x, &[]);
        }
        run
    };
    run("old");
    let all = roots(&run("new"));
    let [root] = all.as_slice() else { panic!("{} roots", all.len()) };
    assert_eq!(told(root), (vec!["changed m:f".to_owned()], (0..600).collect(), vec![]));
}
