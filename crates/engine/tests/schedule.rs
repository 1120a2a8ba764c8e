//! Graphs: what is looked at, what runs, and what comes out.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use stage::*;
use thrifty_engine::catalog::{NewRun, RunStatus, Selector, Sqlite};
use thrifty_engine::event::Event;
use thrifty_engine::graph::{Failure, Loss, Made, Node as Call, Product};
use thrifty_engine::record::Draft;
use thrifty_engine::schedule::Options;
use thrifty_engine::{Looked, Mode, OnFailure, Schedule};

/// A graph in which a node takes from nodes before it, and what it gives.
#[derive(Debug, Clone)]
struct Plan(Vec<(Vec<usize>, i64, bool)>);

impl Plan {
    fn nodes(&self, stage: &Stage) -> Vec<Call> {
        let node = |(number, (from, add, is_big)): (usize, &(Vec<usize>, i64, bool))| {
            let (add, name) = (*add, format!("n{number} + {add}"));
            let sum = move |inputs: &[i64]| inputs.iter().fold(add, |a, b| a.wrapping_mul(3) ^ b);
            if *is_big { stage.big(&name, from, sum) } else { stage.call(&name, from, sum) }
        };
        self.0.iter().enumerate().map(node).collect()
    }

    /// Evaluated one after the other, without a cache.
    fn values(&self) -> Vec<i64> {
        let mut values: Vec<i64> = Vec::new();
        for (from, add, _) in &self.0 {
            let inputs = from.iter().map(|from| values[*from]);
            values.push(inputs.fold(*add, |a, b| a.wrapping_mul(3) ^ b));
        }
        values
    }

    fn needed(&self, demanded: usize) -> Vec<bool> {
        let mut needed = vec![false; self.0.len()];
        let mut stack = vec![demanded];
        while let Some(number) = stack.pop() {
            if !std::mem::replace(&mut needed[number], true) {
                stack.extend(&self.0[number].0);
            }
        }
        needed
    }
}

fn plans() -> impl Strategy<Value = Plan> {
    let node = (prop::collection::vec(any::<prop::sample::Index>(), 0..4), 0..5_i64, any::<bool>());
    prop::collection::vec(node, 1..14).prop_map(|nodes| {
        let place =
            |(number, (from, add, is_big)): (usize, (Vec<prop::sample::Index>, i64, bool))| {
                let mut from: Vec<_> = match number {
                    0 => Vec::new(),
                    _ => from.iter().map(|from| from.index(number)).collect(),
                };
                from.dedup();
                (from, add, is_big)
            };
        Plan(nodes.into_iter().enumerate().map(place).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_graph_gives_what_plain_evaluation_gives_and_runs_once(
        plan in plans(), workers in 1..4_usize,
    ) {
        let stage = Stage::new();
        let last = plan.0.len() - 1;
        let (values, needed) = (plan.values(), plan.needed(last));
        let first = stage.settle(plan.nodes(&stage), &[last], workers);
        for number in 0..plan.0.len() {
            prop_assert_eq!(first.values[number], needed[number].then_some(values[number]));
        }
        let expected = needed.iter().filter(|needed| **needed).count();
        prop_assert_eq!(stage.take_ran().len(), expected);

        let again = stage.again();
        stage.blobs.opened.store(0, Ordering::SeqCst);
        let events = Arc::clone(&again.events);
        let second = again.settle(plan.nodes(&again), &[last], workers);
        prop_assert_eq!(again.take_ran().len(), 0);
        let started = events.lock().iter().any(|event| matches!(event, Event::Started { .. }));
        prop_assert!(!started);
        for (number, needed) in needed.iter().enumerate() {
            let word = if *needed { "hit-local" } else { "-" };
            prop_assert_eq!(second.words()[number], word);
            prop_assert_eq!(second.values[number], first.values[number]);
            prop_assert_eq!(second.keys[number], first.keys[number]);
        }
    }

    #[test]
    fn lost_blobs_change_no_value(plan in plans(), workers in 1..3_usize, extra in 0..5_i64) {
        let stage = Stage::new();
        let last = plan.0.len() - 1;
        stage.settle(plan.nodes(&stage), &[last], workers);
        stage.blobs.lose_all();
        // The last operation is new, so what it takes must be loaded.
        let mut changed = plan.clone();
        changed.0[last].1 += 7 + extra;
        let again = stage.again();
        let settled = again.settle(changed.nodes(&again), &[last], workers);
        prop_assert_eq!(settled.values[last], Some(changed.values()[last]));
        let third = again.again();
        let mut more = changed.clone();
        more.0[last].1 += 100;
        let settled = third.settle(more.nodes(&third), &[last], workers);
        prop_assert_eq!(settled.values[last], Some(more.values()[last]));
        let ran = third.take_ran();
        prop_assert!(ran.iter().all(|name| name.starts_with(&format!("n{last} "))), "{:?}", ran);
    }
}

#[test]
fn a_graph_of_hits_loads_nothing() {
    let stage = Stage::new();
    let nodes = |stage: &Stage| {
        vec![
            stage.big("a", &[], |_| 1),
            stage.big("b", &[0], |i| i[0] + 1),
            stage.big("c", &[1], |i| i[0] + 1),
        ]
    };
    stage.settle(nodes(&stage), &[2], 1);
    let again = stage.again();
    let mut schedule = silent(&again, nodes(&again));
    stage.blobs.opened.store(0, Ordering::SeqCst);
    schedule.settle(&[2]);
    assert_eq!(stage.blobs.opened.load(Ordering::SeqCst), 0);
    assert_eq!(schedule.outcome(2).unwrap().word(), "hit-local");
}

fn silent(stage: &Stage, nodes: Vec<Call>) -> Schedule<'static> {
    let options = Options {
        workers: 2,
        run: None,
        interrupted: &|| false,
        listener: Arc::new(|_: &Event| {}),
    };
    Schedule::new(Arc::clone(&stage.cache), nodes, options)
}

#[test]
fn the_events_of_a_small_graph_are_these() {
    let stage = Stage::new();
    let nodes =
        |stage: &Stage| vec![stage.call("a", &[], |_| 1), stage.call("b", &[0], |i| i[0] + 1)];
    let told = |stage: &Stage| -> Vec<String> {
        let told = stage.events.lock();
        told.iter()
            .map(|event| match event {
                Event::Begun { operations, .. } => format!("begun {operations}"),
                Event::Expanded { number, operations } => format!("{number} expanded {operations}"),
                Event::Started { number, operation } => format!("{number} {operation} started"),
                Event::Waiting { number, .. } => format!("{number} waiting"),
                Event::PutOff { number, message, .. } => format!("{number} put off: {message}"),
                Event::Settled { number, outcome, .. } => format!("{number} {outcome}"),
                Event::Reopened { number, .. } => format!("{number} reopened"),
                Event::Checking { operations } => format!("checking {operations}"),
                Event::Checked(checked) => checked.line(),
                Event::Ended => "ended".to_owned(),
            })
            .collect()
    };
    stage.settle(nodes(&stage), &[1], 1);
    assert_eq!(
        told(&stage),
        [
            "begun 2",
            "0 a started",
            "0 computed (no entry)",
            "1 b started",
            "1 computed (no entry)",
            "ended"
        ]
    );
    stage.settle(nodes(&stage), &[1], 1);
    assert_eq!(told(&stage), ["begun 2", "0 hit-memory", "1 hit-memory", "ended"]);
    let again = stage.again();
    again.settle(nodes(&again), &[1], 1);
    assert_eq!(told(&again), ["begun 2", "0 hit-local", "1 hit-local", "ended"]);
}

#[test]
fn an_upstream_that_gives_the_same_again_reruns_nothing_behind_it() {
    let stage = Stage::new();
    let nodes = |stage: &Stage, name: &str| {
        vec![stage.call(name, &[], |_| 1), stage.call("b", &[0], |i| i[0] + 1)]
    };
    stage.settle(nodes(&stage, "a v1"), &[1], 1);
    stage.take_ran();
    let settled = stage.settle(nodes(&stage, "a v2"), &[1], 1);
    assert_eq!(stage.take_ran(), ["a v2"]);
    assert_eq!(settled.words(), ["computed", "hit-memory"]);
}

#[test]
fn a_failure_stops_only_what_needs_it() {
    for workers in [1, 3] {
        let stage = Stage::new();
        let nodes = vec![
            stage.scripted("bad", vec![], |_| failed("broken")),
            stage.call("behind", &[0], |_| 0),
            stage.call("far behind", &[1], |_| 0),
            stage.call("other", &[], |_| 5),
            stage.call("behind other", &[3], |i| i[0] + 1),
        ];
        let settled = stage.settle(nodes, &[2, 4], workers);
        assert_eq!(
            settled.words(),
            ["failed", "upstream-failed", "upstream-failed", "computed", "computed"]
        );
        assert_eq!(settled.values[4], Some(6));
        assert_eq!(settled.failures, [(0, "broken".to_owned())]);
        assert_eq!(settled.status, RunStatus::Failed);
        assert_eq!(stage.take_ran(), ["bad", "behind other", "other"]);
        // A failure is stored nowhere.
        let again = stage.settle(vec![stage.call("bad", &[], |_| 9)], &[0], 1);
        assert_eq!(again.words(), ["computed"]);
    }
}

#[test]
fn a_panic_is_a_failure_of_its_operation() {
    for workers in [1, 2] {
        let stage = Stage::new();
        let nodes = vec![
            stage.scripted("bad", vec![], |_| panic!("the reason")),
            stage.call("good", &[], |_| 1),
        ];
        let settled = stage.settle(nodes, &[0, 1], workers);
        assert_eq!(settled.words(), ["failed", "computed"]);
        assert_eq!(settled.failures[0].1, "bad panicked: the reason");
        let alone = stage.settle(vec![stage.scripted("bad", vec![], |_| panic!("again"))], &[0], 1);
        assert_eq!(alone.words(), ["failed"]);
    }
}

#[test]
fn the_same_call_twice_in_a_run_runs_once_in_every_mode() {
    for mode in [Mode::On, Mode::Refresh] {
        for workers in [1, 4] {
            let stage = Stage::new();
            let nodes = |stage: &Stage| -> Vec<Call> {
                let calls = (0..4).map(|_| stage.call("same", &[], |_| 3));
                // The last of them is met when the others are settled.
                let late = stage.call("late", &[0], |i| i[0]);
                let same = Call {
                    policy: thrifty_engine::Policy { mode, ..Default::default() },
                    ..stage.call("twin", &[4], |_| 1)
                };
                let twin = stage.call("twin", &[0], |_| 1);
                let mut nodes: Vec<_> = calls.chain([late, same, twin]).collect();
                nodes.iter_mut().for_each(|node| node.policy.mode = mode);
                nodes
            };
            let demanded: Vec<_> = (0..7).collect();
            let settled = stage.settle(nodes(&stage), &demanded, workers);
            assert_eq!(stage.take_ran(), ["late", "same", "twin"], "{mode:?} {workers}");
            assert_eq!(
                settled.words()[..5],
                ["computed", "waited", "waited", "waited", "computed"]
            );
        }
    }
}

#[test]
fn what_a_run_computed_anew_is_not_computed_anew_once_more() {
    let stage = Stage::new();
    let anew = || {
        let mut call = stage.call("a", &[], |_| 1);
        call.policy.mode = Mode::Refresh;
        call
    };
    let mut schedule = silent(&stage, vec![anew(), anew()]);
    schedule.settle(&[0]);
    schedule.settle(&[1]);
    assert_eq!(stage.take_ran(), ["a"]);
    assert_eq!(schedule.outcome(1).unwrap().word(), "waited");
}

#[test]
fn followers_of_a_hit_have_a_hit() {
    let stage = Stage::new();
    let nodes = |stage: &Stage| vec![stage.call("a", &[], |_| 1), stage.call("a", &[], |_| 1)];
    stage.settle(nodes(&stage), &[0, 1], 1);
    let again = stage.again();
    assert_eq!(again.settle(nodes(&again), &[0, 1], 1).words(), ["hit-local", "hit-local"]);
}

#[test]
fn a_call_to_be_computed_anew_takes_no_hit_of_its_twin() {
    let stage = Stage::new();
    stage.settle(vec![stage.call("a", &[], |_| 1)], &[0], 1);
    stage.take_ran();
    let mut fresh = stage.call("a", &[], |_| 2);
    fresh.policy.mode = Mode::Refresh;
    let settled = stage.settle(vec![stage.call("a", &[], |_| 1), fresh], &[0, 1], 1);
    assert_eq!(settled.words(), ["hit-memory", "computed"]);
    assert_eq!(settled.values, [Some(1), Some(2)]);
}

#[test]
fn followers_of_a_failure_fail_with_it_or_go_on_by_choice() {
    for (choice, runs) in [(OnFailure::Share, 1), (OnFailure::Next, 3)] {
        let stage = Stage::new();
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let mut node = stage.scripted("bad", vec![], |_| failed("broken"));
                node.policy.on_failure = choice;
                node
            })
            .collect();
        let settled = stage.settle(nodes, &[0, 1, 2], 2);
        assert_eq!(settled.words(), ["failed"; 3]);
        assert_eq!(stage.take_ran().len(), runs);
    }
}

/// A nested workflow, three deep: `top` becomes `middle`, which becomes `leaf` and `sum`.
fn nested(stage: &Stage, mode: Mode) -> Call {
    let with = move |mut call: Call| {
        call.policy.mode = mode;
        call
    };
    let (ran, blobs) = (Arc::clone(&stage.ran), Arc::clone(&stage.blobs));
    let inner = Stage {
        cache: Arc::clone(&stage.cache),
        catalog: Arc::clone(&stage.catalog),
        blobs,
        ran,
        events: Arc::default(),
    };
    let inner = Arc::new(inner);
    with(stage.scripted("top", vec![], move |_| {
        let deeper = Arc::clone(&inner);
        let middle = inner.scripted("middle", vec![whole(0)], move |_| {
            let leaf = with(deeper.big("leaf", &[], |_| 20));
            let sum =
                with(deeper.scripted("sum", vec![whole(0), argument(0)], |i| Ok(big(i[0] + i[1]))));
            Ok(expanded(vec![leaf, sum], 1))
        });
        let given = with(inner.call("given", &[], |_| 1));
        let unused = with(inner.call("unused", &[], |_| 0));
        Ok(expanded(vec![given, unused, with(middle)], 2))
    }))
}

#[test]
fn nested_workflows_are_one_graph_and_a_hit_skips_what_is_in_them() {
    for workers in [1, 3] {
        let stage = Stage::new();
        let first = stage.settle(vec![nested(&stage, Mode::On)], &[0], workers);
        assert_eq!(first.values[0], Some(21));
        assert_eq!(stage.take_ran(), ["given", "leaf", "middle", "sum", "top"]);
        // `unused` was never looked at.
        assert_eq!(first.words().iter().filter(|word| **word == "-").count(), 1);
        let again = stage.again();
        let second = again.settle(vec![nested(&again, Mode::On)], &[0], workers);
        assert_eq!(second.words(), ["hit-local"]);
        assert_eq!(second.values, [Some(21)]);
    }
}

/// `top` becomes `brief`, whose result is valid for a minute, and `behind`, which takes it.
fn with_a_brief_part(stage: &Stage) -> Call {
    let (ran, blobs) = (Arc::clone(&stage.ran), Arc::clone(&stage.blobs));
    let inner = Stage {
        cache: Arc::clone(&stage.cache),
        catalog: Arc::clone(&stage.catalog),
        blobs,
        ran,
        events: Arc::default(),
    };
    stage.scripted("top", vec![], move |_| {
        let mut brief = inner.call("brief", &[], |_| 1);
        brief.policy.expires = Some(Duration::from_secs(60));
        let behind = inner.call("behind", &[0], |i| i[0] + 1);
        Ok(expanded(vec![brief, behind], 1))
    })
}

#[test]
fn a_nested_workflow_is_valid_no_longer_than_its_parts() {
    let clock = Arc::new(Moved::default());
    let stage =
        Stage::over(Arc::new(Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap()));
    let run = |stage: &Stage| stage.settle(vec![with_a_brief_part(stage)], &[0], 1);
    run(&stage);
    assert_eq!(stage.take_ran(), ["behind", "brief", "top"]);
    clock.pass(Duration::from_secs(59));
    assert_eq!(run(&stage.again()).words(), ["hit-local"]);
    clock.pass(Duration::from_secs(2));
    let later = stage.again();
    run(&later);
    // The part gave an equal result, so what follows it is a hit.
    assert_eq!(later.take_ran(), ["brief", "top"]);
    // Of a part that is a hit, what is left counts.
    later
        .catalog
        .invalidate(None, &Selector { operation: Some("top".to_owned()), ..Selector::default() })
        .unwrap();
    clock.pass(Duration::from_secs(50));
    run(&later.again());
    clock.pass(Duration::from_secs(20));
    let last = later.again();
    run(&last);
    assert_eq!(last.take_ran(), ["brief", "top"]);
}

#[test]
fn nested_workflows_give_their_value_when_nothing_is_stored() {
    for mode in [Mode::Off, Mode::ReadOnly, Mode::Refresh] {
        let stage = Stage::new();
        stage.blobs.is_full.store(true, Ordering::SeqCst);
        let mut nodes = vec![nested(&stage, mode), stage.call("behind", &[0], |i| i[0] * 2)];
        nodes[1].policy.mode = mode;
        let settled = stage.settle(nodes, &[1], 2);
        assert_eq!(settled.values[..2], [Some(21), Some(42)], "{mode:?}");
    }
    // The parts are stored, the whole is not.
    let stage = Stage::new();
    stage.settle(vec![nested(&stage, Mode::On)], &[0], 2);
    let mut top = nested(&stage, Mode::On);
    top.policy.mode = Mode::Off;
    let settled = stage.settle(vec![top, stage.call("behind", &[0], |i| i[0] * 2)], &[1], 2);
    assert_eq!(settled.values[1], Some(42));
    assert_eq!(settled.words()[0], "uncached");
}

#[test]
fn lost_blobs_inside_nested_workflows_are_made_again() {
    let stage = Stage::new();
    stage.settle(vec![nested(&stage, Mode::On)], &[0], 2);
    stage.take_ran();
    stage.blobs.lose_all();
    let again = stage.again();
    let nodes = vec![nested(&again, Mode::On), again.call("behind", &[0], |i| i[0] * 2)];
    let settled = again.settle(nodes, &[1], 2);
    assert_eq!(settled.values[1], Some(42));
    assert_eq!(again.take_ran(), ["behind", "leaf", "middle", "sum", "top"]);
}

#[test]
fn an_expansion_that_takes_from_nowhere_is_a_failure() {
    let stage = Stage::new();
    for edge in [whole(7), argument(0)] {
        let inner = stage.again();
        let node = stage.scripted("top", vec![], move |_| {
            let mut nodes = vec![inner.call("x", &[], |_| 1)];
            nodes[0].edges = vec![edge.clone()];
            Ok(expanded(nodes, 0))
        });
        let settled = stage.settle(vec![node], &[0], 1);
        assert_eq!(settled.words(), ["failed"]);
    }
}

#[test]
fn an_operation_that_is_not_cached_leaves_what_follows_cached() {
    for reason in ["mode", "value"] {
        let stage = Stage::new();
        let nodes = |stage: &Stage| {
            let mut middle = match reason {
                "mode" => stage.scripted("middle", vec![whole(0)], |i| Ok(pair(i[0], i[0] + 1))),
                _ => stage.scripted("middle", vec![whole(0)], |i| Ok(unstorable(i[0]))),
            };
            let mut last = stage.scripted("last", vec![part(1, 1)], |i| Ok(number(i[0] * 10)));
            if reason == "mode" {
                middle.policy.mode = Mode::Off;
            } else {
                last.edges = vec![whole(1)];
            }
            vec![stage.call("first", &[], |_| 4), middle, last]
        };
        let first = stage.settle(nodes(&stage), &[2], 1);
        stage.take_ran();
        let second = stage.settle(nodes(&stage), &[2], 1);
        assert_eq!(stage.take_ran(), ["middle"]);
        assert_eq!(second.words()[2], "hit-memory");
        assert_eq!(second.values[2], first.values[2]);
        if reason == "mode" {
            // Whether the upstream is stored does not show in the key.
            let mut stored = nodes(&stage);
            stored[1].policy.mode = Mode::On;
            let third = stage.settle(stored, &[2], 1);
            assert_eq!(third.words()[2], "hit-memory");
        }
    }
}

#[test]
fn a_value_without_a_digest_leaves_what_takes_it_uncached() {
    let stage = Stage::new();
    let nodes = || {
        let hidden = stage.scripted("hidden", vec![], |_| {
            let Product::Made(made) = unstorable(1) else { unreachable!() };
            Ok(Product::Made(Made { contribution: None, ..made }))
        });
        vec![hidden, stage.call("next", &[0], |i| i[0] + 1)]
    };
    for _ in 0..2 {
        let settled = stage.settle(nodes(), &[1], 1);
        assert_eq!(settled.words(), ["computed-not-stored", "uncached"]);
        assert_eq!(settled.values, [Some(1), Some(2)]);
        assert_eq!(settled.keys[1], None);
    }
}

#[test]
fn a_lost_value_is_made_again_only_if_it_is_needed() {
    let stage = Stage::new();
    let nodes = |stage: &Stage, last: i64| {
        vec![
            stage.big("a", &[], |_| 1),
            stage.big("b", &[0], |i| i[0] + 1),
            stage.call(&format!("c{last}"), &[1], move |i| i[0] + last),
        ]
    };
    stage.settle(nodes(&stage, 1), &[2], 1);
    stage.blobs.lose_all();
    stage.take_ran();
    let again = stage.again();
    let hits = again.settle(nodes(&again, 1), &[2], 1);
    assert_eq!(hits.words(), ["hit-local"; 3]);
    let settled = again.settle(nodes(&again, 2), &[2], 1);
    assert_eq!(again.take_ran(), ["a", "b", "c2"]);
    assert_eq!(settled.values[2], Some(4));
    assert_eq!(settled.outcomes[1].as_ref().unwrap().to_string(), "computed (unreadable entry)");
    // Repaired: nobody has to do it again.
    let third = stage.again();
    assert_eq!(
        third.settle(nodes(&third, 3), &[2], 1).words(),
        ["hit-local", "hit-local", "computed"]
    );
}

/// One that could not be read for a moment is there the next time that anybody looks.
#[test]
fn what_cannot_be_read_for_a_moment_is_kept() {
    let stage = Stage::new();
    let nodes = |stage: &Stage, last: i64| {
        vec![
            stage.big("a", &[], |_| 1),
            stage.call(&format!("b{last}"), &[0], move |i| i[0] + last),
        ]
    };
    stage.settle(nodes(&stage, 1), &[1], 1);
    let entries = stage.catalog.entries(None, &Selector::default(), 9).unwrap().len();
    let again = stage.again();
    stage.blobs.blinks.store(1, Ordering::SeqCst);
    let settled = again.settle(nodes(&again, 2), &[1], 1);
    assert_eq!((settled.values[1], again.take_ran()), (Some(3), vec!["b2".to_owned()]));
    assert_eq!(stage.catalog.entries(None, &Selector::default(), 9).unwrap().len(), entries + 1);
}

#[test]
fn an_entry_goes_only_if_nobody_can_load_it() {
    let is_blind = |stage: &Stage| stage.blobs.is_blind.store(true, Ordering::SeqCst);
    type Trouble<'a> = &'a dyn Fn(&Stage);
    let cases: [(&str, Trouble<'_>, Loss, bool); 6] = [
        ("nothing", &|_| {}, Loss::Bytes, false),
        (
            "for a moment",
            &|stage| stage.blobs.blinks.store(1, Ordering::SeqCst),
            Loss::Bytes,
            false,
        ),
        ("for longer", &is_blind, Loss::Bytes, false),
        ("gone", &|stage| stage.blobs.lose_all(), Loss::Bytes, true),
        ("makes no sense", &|_| {}, Loss::Sense, true),
        ("made no sense, and is out of reach", &is_blind, Loss::Sense, false),
    ];
    for (what, trouble, loss, goes) in cases {
        let stage = Stage::new();
        stage.settle(vec![stage.big("a", &[], |_| 1)], &[0], 1);
        let entry = stage.catalog.entries(None, &Selector::default(), 1).unwrap().remove(0);
        let again = stage.again();
        let Looked::Hit(answer, _) = again.cache.look(&entry.key, None) else { panic!("{what}") };
        trouble(&stage);
        again.cache.discard(&entry.key, &answer, loss);
        let is_there = matches!(again.cache.look(&entry.key, None), Looked::Hit(..));
        assert_eq!(is_there, !goes, "{what}");
    }
}

/// Two operations take the lost one; the second also takes another. It must never see the
/// other's value in the place of the lost one.
#[test]
fn inputs_keep_their_places_when_one_of_them_is_lost() {
    for workers in [1, 2, 4] {
        let stage = Stage::new();
        let nodes = |stage: &Stage, version: i64| {
            let mut nodes = vec![stage.big("lost", &[], |_| 1), stage.big("kept", &[], |_| 2)];
            for number in 0..6 {
                let name = format!("minus {number} v{version}");
                nodes.push(stage.call(&name, &[0, 1], move |i| i[0] * 100 - i[1] + number));
            }
            nodes
        };
        let demanded: Vec<_> = (2..8).collect();
        stage.settle(nodes(&stage, 1), &demanded, workers);
        stage.blobs.lose_all();
        let again = stage.again();
        let settled = again.settle(nodes(&again, 2), &demanded, workers);
        let expected: Vec<_> = (0..6).map(|number| Some(98 + number)).collect();
        assert_eq!(settled.values[2..], expected);
        assert_eq!(settled.status, RunStatus::Succeeded);
        let ran = again.take_ran();
        assert_eq!(ran.iter().filter(|name| *name == "lost").count(), 1, "{ran:?}");
    }
}

#[test]
fn a_lost_value_that_comes_out_different_changes_the_key_of_what_follows() {
    let stage = Stage::new();
    let draw = Arc::new(AtomicI64::new(0));
    let nodes = |stage: &Stage, version: i64| {
        let draw = Arc::clone(&draw);
        let drawn = stage.big("drawn", &[], move |_| draw.fetch_add(1, Ordering::SeqCst));
        let twin = |stage: &Stage| stage.call(&format!("twin v{version}"), &[0], |i| i[0] * 10);
        vec![drawn, twin(stage), twin(stage)]
    };
    stage.settle(nodes(&stage, 1), &[1, 2], 2);
    stage.blobs.lose_all();
    let again = stage.again();
    let settled = again.settle(nodes(&again, 2), &[1, 2], 2);
    assert_eq!(settled.values, [Some(1), Some(10), Some(10)]);
    assert_eq!(settled.keys[1], settled.keys[2]);
    // What is stored under the new key is what was computed from the new value.
    let third = stage.again();
    let settled = third.settle(nodes(&third, 2), &[1, 2], 2);
    assert_eq!(settled.values, [Some(1), Some(10), Some(10)]);
    assert_eq!(settled.words(), ["hit-local"; 3]);
}

#[test]
fn a_store_that_takes_everything_and_gives_nothing_fails_nobody() {
    let stage = Stage::new();
    stage.blobs.is_blind.store(true, Ordering::SeqCst);
    let nodes = vec![stage.big("a", &[], |_| 1), stage.call("b", &[0], |i| i[0] + 1)];
    let settled = stage.settle(nodes, &[1], 1);
    assert_eq!(settled.values[1], Some(2));
    assert_eq!(settled.status, RunStatus::Succeeded);
    let told = settled.outcomes[0].as_ref().unwrap().to_string();
    assert_eq!(told, "uncached (what is stored of it cannot be read back)");
    // Nobody could tell whether the bytes were gone, so no good entry was removed.
    stage.blobs.is_blind.store(false, Ordering::SeqCst);
    let again = stage.again();
    let nodes = vec![again.big("a", &[], |_| 1), again.call("c", &[0], |i| i[0] + 1)];
    assert_eq!(again.settle(nodes, &[1], 1).words(), ["hit-local", "computed"]);
}

#[test]
fn an_output_lost_after_the_run_can_be_asked_for_again() {
    let stage = Stage::new();
    let mut schedule =
        silent(&stage, vec![stage.big("a", &[], |_| 1), stage.big("b", &[0], |i| i[0] + 1)]);
    schedule.settle(&[1]);
    stage.blobs.lose_all();
    assert!(schedule.reopen(1, Loss::Bytes, "gone"));
    schedule.settle(&[1]);
    let settled = schedule.settled(1).unwrap().as_ref().ok().unwrap();
    assert_eq!(load(&stage.blobs, &settled.value, &[]), Ok(2));
    assert_eq!(schedule.status(), RunStatus::Succeeded);
}

#[test]
fn a_long_chain_needs_no_stack() {
    const LENGTH: usize = 100_000;
    let run = || {
        let stage = Stage::new();
        let nodes = || -> Vec<Call> {
            let link = |number: usize| {
                let from = number.checked_sub(1);
                let next = |i: &[i64]| i.first().map_or(0, |i| i + 1);
                let mut node = stage.call("link", from.as_slice(), next);
                node.policy.mode = Mode::Off;
                node
            };
            (0..LENGTH).map(link).collect()
        };
        let settled = stage.settle(nodes(), &[LENGTH - 1], 1);
        assert_eq!(settled.values[LENGTH - 1], Some(i64::try_from(LENGTH).unwrap() - 1));
        let mut broken = nodes();
        broken[0] = stage.scripted("bad", vec![], |_| failed("broken"));
        let settled = stage.settle(broken, &[LENGTH - 1], 1);
        assert_eq!(settled.words()[LENGTH - 1], "upstream-failed");
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run).unwrap();
    thread.join().unwrap();
}

#[test]
fn an_interrupted_run_ends_at_once_and_says_what_it_did_not_do() {
    let stage = Stage::new();
    let stop = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    let interrupted = || {
        asked.fetch_add(1, Ordering::SeqCst);
        stop.load(Ordering::SeqCst)
    };
    let options = Options {
        workers: 1,
        run: None,
        interrupted: &interrupted,
        listener: Arc::new(|_: &Event| {}),
    };
    let nodes = vec![
        stage.call("a", &[], |_| 1),
        stage.scripted("b", vec![whole(0)], |_| Err(Failure::Cancelled)),
        stage.call("c", &[1], |i| i[0]),
        stage.call("unasked", &[], |_| 1),
    ];
    let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes, options);
    schedule.settle(&[2]);
    assert!(schedule.is_stopped() && schedule.status() == RunStatus::Cancelled);
    let words: Vec<_> = schedule.history().iter().map(|node| node.outcome.clone()).collect();
    assert_eq!(words, ["computed", "cancelled", "cancelled"]);
    drop(schedule);

    stop.store(true, Ordering::SeqCst);
    let options = Options {
        workers: 1,
        run: None,
        interrupted: &interrupted,
        listener: Arc::new(|_: &Event| {}),
    };
    let mut schedule =
        Schedule::new(Arc::clone(&stage.cache), vec![stage.call("d", &[], |_| 1)], options);
    stage.take_ran();
    schedule.settle(&[0]);
    assert!(schedule.is_stopped() && stage.take_ran().is_empty());
    assert!(asked.load(Ordering::SeqCst) > 0);
}

#[test]
fn history_tells_where_hits_came_from() {
    let stage = Stage::new();
    let run = stage.cache.recorder().begin(&Default::default()).unwrap();
    let nodes = || vec![stage.call("a", &[], |_| 1), stage.call("b", &[0, 0], |i| i[0] + i[1])];
    let first = stage.settle_in(nodes(), &[1], 1, Some(run.clone()));
    assert_eq!(first.history[0].source, None);
    assert_eq!(first.history[1].upstream, [0]);
    assert!(first.history.iter().all(|node| node.entry.is_some() && node.ingredients.is_none()));
    for stage in [&stage, &stage.again()] {
        let nodes = vec![stage.call("a", &[], |_| 1), stage.call("b", &[0, 0], |i| i[0] + i[1])];
        let second = stage.settle(nodes, &[1], 1);
        assert_eq!(second.history[0].source.as_ref(), Some(&run));
        assert_eq!(second.history[0].entry, first.history[0].entry);
        assert_eq!(second.history[1].output_digest, first.history[1].output_digest);
    }
    let removed =
        stage.catalog.invalidate(None, &Selector { run: Some(run), ..Selector::default() });
    assert_eq!(removed.unwrap().entries, 2);
}

/// A body that runs a graph of its own, on threads of its own, in which it is itself.
#[test]
fn a_body_whose_graph_needs_itself_does_not_wait_for_itself() {
    let stage = Arc::new(Stage::new());
    let depth = Arc::new(AtomicUsize::new(0));
    fn outer(stage: &Arc<Stage>, depth: &Arc<AtomicUsize>) -> Call {
        let (inner, deep) = (Arc::clone(stage), Arc::clone(depth));
        stage.scripted("outer", vec![], move |_| {
            if deep.fetch_add(1, Ordering::SeqCst) > 0 {
                return Ok(number(3));
            }
            let nodes = vec![outer(&inner, &deep), inner.call("other", &[], |_| 1)];
            let mut schedule = silent(&inner, nodes);
            schedule.settle(&[0, 1]);
            let settled = schedule.settled(0).unwrap().as_ref().ok().unwrap();
            assert_eq!(settled.outcome.word(), "uncached");
            Ok(number(load(&inner.blobs, &settled.value, &[]).unwrap() + 1))
        })
    }
    let node = outer(&stage, &depth);
    let settled = stage.settle(vec![node], &[0], 2);
    assert_eq!(settled.values, [Some(4)]);
}

/// Two operations find the same value lost, the second when it was made again already.
#[test]
fn a_loss_reported_late_makes_nothing_again() {
    let stage = Stage::new();
    let events = Arc::clone(&stage.events);
    let settled_twice = move || {
        let told = events.lock();
        let of_first = |event: &&Event| matches!(event, Event::Settled { number: 0, .. });
        told.iter().filter(of_first).count() > 1
    };
    let both = Arc::new(std::sync::Barrier::new(2));
    let losing = |name: &str, waits: bool| {
        let (seen, both, again) =
            (AtomicBool::new(false), Arc::clone(&both), settled_twice.clone());
        stage.scripted(name, vec![whole(0)], move |inputs| {
            if seen.swap(true, Ordering::SeqCst) {
                return Ok(number(inputs[0] + 1));
            }
            both.wait();
            while waits && !again() {
                std::thread::yield_now();
            }
            Err(Failure::Lost { edge: 0, loss: Loss::Sense, reason: "gone".to_owned() })
        })
    };
    let nodes = vec![stage.call("a", &[], |_| 1), losing("b", false), losing("c", true)];
    let settled = stage.settle(nodes, &[1, 2], 2);
    assert_eq!(settled.values, [Some(1), Some(2), Some(2)]);
    assert_eq!(stage.take_ran(), ["a", "a", "b", "b", "c", "c"]);
}

#[test]
fn a_lost_value_whose_entry_cannot_be_removed_fails_nobody() {
    let inner: Arc<dyn thrifty_engine::catalog::Catalog> =
        Arc::new(thrifty_engine::catalog::Sqlite::in_memory().unwrap());
    let stage = Stage::over(Arc::clone(&inner));
    let nodes = |stage: &Stage, last: &str| {
        vec![stage.big("a", &[], |_| 1), stage.call(last, &[0], |i| i[0] + 1)]
    };
    stage.settle(nodes(&stage, "b"), &[1], 1);
    stage.blobs.lose_all();
    let writes = ["discard", "commit", "reserve", "find_blob", "put_texts"];
    let read_only = Flaky::new(inner, move |_, method| writes.contains(&method));
    let blobs = Arc::clone(&stage.blobs);
    let cache = thrifty_engine::Cache::new(read_only, Arc::<Shaky>::clone(&blobs), scope());
    let frozen = Stage { cache: Arc::new(cache), blobs, ..stage.again() };
    for workers in [1, 2] {
        let settled = frozen.settle(nodes(&frozen, "c"), &[1], workers);
        assert_eq!(settled.values[1], Some(2));
        assert_eq!(settled.words()[0], "computed-not-stored");
        assert_eq!(frozen.take_ran(), ["a", "c"]);
    }
}

#[test]
fn a_lost_value_that_comes_back_without_a_digest_takes_the_key_from_what_follows() {
    let stage = Stage::new();
    let nodes = |stage: &Stage, has_digest: bool, last: &str| {
        let first = stage.scripted("first", vec![], move |_| {
            let (Product::Made(kept), Product::Made(hidden)) = (big(1), unstorable(1)) else {
                unreachable!("both are made")
            };
            let hidden = Made { contribution: None, ..hidden };
            Ok(Product::Made(if has_digest { kept } else { hidden }))
        });
        vec![first, stage.call(last, &[0], |i| i[0] + 1)]
    };
    stage.settle(nodes(&stage, true, "next"), &[1], 1);
    stage.blobs.lose_all();
    let again = stage.again();
    let settled = again.settle(nodes(&again, false, "other"), &[1], 1);
    assert_eq!(settled.words(), ["computed-not-stored", "uncached"]);
    assert_eq!(settled.values[1], Some(2));
    assert_eq!(settled.keys[1], None);
}

/// A body in another process leaves its result in the store and hands over the record alone.
#[test]
fn a_result_made_elsewhere_can_be_taken_even_if_no_entry_keeps_it() {
    for mode in [Mode::Off, Mode::ReadOnly, Mode::On] {
        let stage = Stage::new();
        let cache = Arc::clone(&stage.cache);
        let mut elsewhere = stage.scripted("elsewhere", vec![], move |_| {
            let Product::Made(made) = big(4) else { unreachable!("it is made") };
            let record = cache.keep(made.draft.unwrap()).unwrap();
            Ok(Product::Made(Made::new(Arc::new(()), Draft::Stored(record))))
        });
        elsewhere.policy.mode = mode;
        let nodes = vec![elsewhere, stage.call("next", &[0], |i| i[0] + 1)];
        assert_eq!(stage.settle(nodes, &[1], 1).values, [Some(4), Some(5)], "{mode:?}");
    }
}

/// A run may load what it found long after it has looked it up, and records its hits at its end.
#[test]
fn what_a_run_has_found_is_in_use_before_the_run_ends() {
    let clock = Arc::new(Moved::default());
    let catalog = Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap();
    let stage = Stage::over(Arc::new(catalog));
    let nodes = || vec![stage.scripted("big", vec![], |_| Ok(big(1)))];
    stage.settle(nodes(), &[0], 1);
    clock.pass(Duration::from_secs(40 * 86_400));
    let new = stage.again();
    let run = new.cache.recorder().begin(&NewRun::default());
    assert_eq!(new.settle_in(nodes(), &[0], 1, run).words(), ["hit-local"]);
    new.cache.recorder().flush();
    new.catalog.invalidate(None, &Selector::default()).unwrap();
    assert_eq!(new.catalog.condemn(Duration::from_secs(3_600), false).unwrap(), []);
}

/// Computes `first` elsewhere, as another process would, so that it is this number from now on.
fn first_becomes(elsewhere: &Stage, value: i64) {
    let mut first = elsewhere.scripted("first", vec![], move |_| Ok(number(value)));
    first.policy.mode = Mode::Refresh;
    elsewhere.settle(vec![first], &[0], 1);
}

/// An operation that finds its input lost when it runs first, after it did something.
fn losing(stage: &Stage, before: impl Fn() + Send + Sync + 'static) -> Call {
    let has_run = AtomicBool::new(false);
    stage.scripted("losing", vec![whole(0)], move |inputs| {
        if has_run.swap(true, Ordering::SeqCst) {
            return Ok(number(inputs[0]));
        }
        before();
        Err(Failure::Lost { edge: 0, loss: Loss::Sense, reason: "gone".to_owned() })
    })
}

/// What `last` gives where `first` is 1: nothing that is not so may have been stored for it.
fn last_of_one(stage: &Stage, last: impl Fn(&Stage) -> Call) -> Option<i64> {
    let fresh = stage.again();
    let mut one = fresh.scripted("one", vec![], |_| Ok(number(1)));
    one.policy.mode = Mode::Off;
    let last = last(&fresh);
    fresh.settle(vec![one, last], &[1], 1).values[1]
}

/// What an operation takes was settled, lost, and settled again as another value, while the
/// operation waited for a worker.
#[test]
fn an_input_that_became_another_value_gives_another_key() {
    let stage = Stage::new();
    let elsewhere = stage.again();
    let last = |stage: &Stage| stage.call("last", &[0], |i| i[0] * 10);
    let nodes = vec![
        stage.call("first", &[], |_| 1),
        losing(&stage, move || first_becomes(&elsewhere, 2)),
        last(&stage),
    ];
    let settled = stage.settle(nodes, &[1, 2], 1);
    assert_eq!(settled.values, [Some(2), Some(2), Some(20)]);
    assert_eq!(last_of_one(&stage, last), Some(10));
}

/// The same, while the operation waited for another run that computed it under the old key.
#[test]
fn an_operation_does_not_take_the_result_of_the_key_it_had() {
    let stage = Stage::new();
    let (entered, goes_on) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let other = Stage { cache: Arc::clone(&stage.cache), ..stage.again() };
    let (told, waits) = (Arc::clone(&entered), Arc::clone(&goes_on));
    let thread = std::thread::spawn(move || {
        let mut one = other.scripted("one", vec![], |_| Ok(number(1)));
        one.policy.mode = Mode::Off;
        let last = other.scripted("last", vec![whole(0)], move |inputs| {
            told.wait();
            waits.wait();
            Ok(number(inputs[0] * 10))
        });
        other.settle(vec![one, last], &[1], 1).values[1]
    });
    entered.wait();
    let (thread, computed) = (Mutex::new(Some(thread)), AtomicUsize::new(0));
    let first = stage.scripted("first", vec![], move |_| {
        if computed.fetch_add(1, Ordering::SeqCst) > 0 {
            // The operation that waits is told before this one is settled.
            goes_on.wait();
            let other = thread.lock().take().unwrap().join().unwrap();
            assert_eq!(other, Some(10));
            return Ok(number(2));
        }
        Ok(number(1))
    });
    let events = Arc::clone(&stage.events);
    let is_put_aside =
        move || events.lock().iter().any(|event| matches!(event, Event::Waiting { number: 2, .. }));
    let losing = losing(&stage, move || {
        while !is_put_aside() {
            std::thread::yield_now();
        }
    });
    let nodes = vec![first, losing, stage.call("last", &[0], |i| i[0] * 10)];
    let settled = stage.settle(nodes, &[1, 2], 2);
    assert_eq!(settled.values, [Some(2), Some(2), Some(20)]);
}

/// The same, while the operations that it became had not run yet.
#[test]
fn a_unit_whose_input_became_another_value_is_not_stored() {
    let stage = Stage::new();
    let elsewhere = stage.again();
    let unit = |stage: &Stage| {
        let inner = stage.again();
        stage.scripted("last", vec![whole(0)], move |_| {
            let edges = vec![argument(0)];
            Ok(expanded(vec![inner.scripted("inner", edges, |i| Ok(number(i[0] * 10)))], 0))
        })
    };
    let nodes = vec![
        stage.call("first", &[], |_| 1),
        unit(&stage),
        losing(&stage, move || first_becomes(&elsewhere, 2)),
    ];
    let settled = stage.settle(nodes, &[1, 2], 1);
    assert_eq!(settled.values[..3], [Some(2), Some(20), Some(2)]);
    assert_eq!(settled.words()[1], "computed-not-stored");
    assert_eq!(last_of_one(&stage, unit), Some(10));
}
