//! What a result was made of: who removes a part means the whole.

#![allow(clippy::unwrap_used)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stage::*;
use thrifty_engine::catalog::{Catalog, EntryId, Selector, Time};
use thrifty_engine::event::Event;
use thrifty_engine::graph::{Edge, Failure, Made, Node as Call, Product};
use thrifty_engine::record::{Draft, Record};
use thrifty_engine::{Mode, Policy};

/// What happens to the results of `clean` while the rest of the whole is made.
type Meanwhile = fn(&dyn Catalog);

fn by_operation(name: &str) -> Selector {
    Selector { operation: Some(name.to_owned()), ..Selector::default() }
}

fn entries(catalog: &dyn Catalog, name: &str) -> Vec<EntryId> {
    let found = catalog.entries(None, &by_operation(name), 99).unwrap();
    found.into_iter().map(|entry| entry.id).collect()
}

fn invalidate(catalog: &dyn Catalog, name: &str) -> u64 {
    catalog.invalidate(Some(&scope()), &by_operation(name)).unwrap().entries
}

/// An operation that becomes one which becomes `clean`, and `late`, which takes from it.
fn nested(stage: &Arc<Stage>, clean: Policy, meanwhile: Meanwhile) -> Call {
    nested_in(stage, Policy::default(), clean, meanwhile)
}

fn nested_in(stage: &Arc<Stage>, policy: Policy, clean: Policy, meanwhile: Meanwhile) -> Call {
    let (here, catalog) = (Arc::clone(stage), Arc::clone(&stage.catalog));
    let middle = move || {
        let (here, catalog) = (Arc::clone(&here), Arc::clone(&catalog));
        let middle = here.clone().scripted("middle", vec![], move |_| {
            let catalog = Arc::clone(&catalog);
            let cleaned = Call { policy: clean, ..here.call("clean", &[], |_| 1) };
            let late = here.call("late", &[0], move |it| {
                meanwhile(&*catalog);
                it[0] + 1
            });
            Ok(expanded(vec![cleaned, late], 1))
        });
        Call { policy, ..middle }
    };
    stage.scripted("around", vec![], move |_| Ok(expanded(vec![middle()], 0)))
}

#[test]
fn to_remove_a_part_removes_all_around_it() {
    let names = ["around", "clean", "late", "middle"];
    for part in ["clean", "late", "middle"] {
        let stage = Arc::new(Stage::new());
        let settle = |stage: &Arc<Stage>| {
            stage.settle(vec![nested(stage, Policy::default(), |_| ())], &[0], 1);
            stage.take_ran()
        };
        assert_eq!(settle(&stage), names);
        assert_eq!(settle(&stage), [""; 0]);
        // What is in the memory of a process goes, too.
        let wholes = names.iter().filter(|name| match part {
            "middle" => ["around", "middle"].contains(name),
            _ => [part, "around", "middle"].contains(name),
        });
        assert_eq!(invalidate(&*stage.catalog, part), wholes.count() as u64, "{part}");
        let ran = settle(&stage);
        assert!(ran.contains(&"around".to_owned()) && ran.contains(&part.to_owned()), "{ran:?}");
    }
}

#[test]
fn what_was_made_of_a_part_goes_when_the_part_is_refreshed_to_another_value() {
    let stage = Arc::new(Stage::new());
    let settle = |stage: &Arc<Stage>| {
        let settled = stage.settle(vec![nested(stage, Policy::default(), |_| ())], &[0], 1);
        (stage.take_ran(), settled.values[0], settled.keys[0].unwrap())
    };
    let refresh = |to: i64| {
        let policy = Policy { mode: Mode::Refresh, ..Policy::default() };
        let call = Call { policy, ..stage.call("clean", &[], move |_| to) };
        stage.settle(vec![call], &[0], 1);
        assert_eq!(stage.take_ran(), ["clean"]);
    };
    let (_, _, whole) = settle(&stage);
    let noted = || stage.catalog.recall("removed", &whole.as_bytes()[..2]).unwrap();
    refresh(1);
    assert_eq!(settle(&stage), (vec![], Some(2), whole));
    assert_eq!(noted(), None);
    refresh(5);
    let noted = String::from_utf8_lossy(&noted().unwrap()).into_owned();
    assert!(noted.contains("refresh of clean"), "{noted}");
    let ran = ["around", "late", "middle"].map(str::to_owned).to_vec();
    assert_eq!(settle(&stage), (ran, Some(6), whole));
    assert_eq!(settle(&stage), (vec![], Some(6), whole));
}

#[test]
fn a_part_of_a_hit_is_a_part_though_the_hit_is_gone() {
    let stage = Arc::new(Stage::new());
    let settle = |stage: &Arc<Stage>| {
        stage.settle(vec![nested(stage, Policy::default(), |_| ())], &[0], 1);
        stage.take_ran()
    };
    settle(&stage);
    stage.catalog.remove(&entries(&*stage.catalog, "around")).unwrap();
    assert_eq!(settle(&stage), ["around"]);
    assert_eq!(entries(&*stage.catalog, "around").len(), 1);
    // `around` was made of `middle`, a hit, and that of `clean`.
    stage.catalog.evict(&entries(&*stage.catalog, "middle"), Time::MAX).unwrap();
    stage.catalog.evict(&entries(&*stage.catalog, "clean"), Time::MAX).unwrap();
    assert_eq!(invalidate(&*stage.catalog, "clean"), 1);
    assert_eq!(entries(&*stage.catalog, "around").len(), 0);
}

#[test]
fn a_whole_is_not_stored_of_a_part_that_was_invalidated_meanwhile() {
    let refresh = Policy { mode: Mode::Refresh, ..Policy::default() };
    let off = Policy { mode: Mode::Off, ..Policy::default() };
    let cases: [(Policy, Meanwhile, &str); 7] = [
        (Policy::default(), |_| (), "computed"),
        (Policy::default(), |catalog| _ = invalidate(catalog, "clean"), "fenced"),
        (Policy::default(), |catalog| _ = invalidate(catalog, "other"), "computed"),
        (
            Policy::default(),
            |catalog| {
                let ids = Some(entries(catalog, "clean"));
                catalog.invalidate(None, &Selector { ids, ..Selector::default() }).unwrap();
            },
            "fenced",
        ),
        (
            Policy::default(),
            |catalog| _ = catalog.evict(&entries(catalog, "clean"), Time::MAX).unwrap(),
            "computed",
        ),
        (refresh, |_| (), "computed"),
        (off, |catalog| _ = invalidate(catalog, "clean"), "fenced"),
    ];
    for (case, (policy, meanwhile, outcome)) in cases.into_iter().enumerate() {
        let stage = Arc::new(Stage::new());
        let settled = stage.settle(vec![nested(&stage, policy, meanwhile)], &[0], 1);
        assert_eq!(settled.values[0], Some(2), "{case}: its caller has it all the same");
        assert_eq!(settled.words()[..2], [outcome; 2], "{case}");
        let stored = usize::from(outcome == "computed");
        assert_eq!(entries(&*stage.catalog, "around").len(), stored, "{case}");
        assert_eq!(entries(&*stage.catalog, "middle").len(), stored, "{case}");
    }
}

/// What is not stored itself vouches for nothing, and what it took is looked at.
#[test]
fn a_whole_is_not_stored_of_what_was_taken_by_a_part_that_is_not_stored() {
    let off = Policy { mode: Mode::Off, ..Policy::default() };
    let cases: [(Meanwhile, &str); 2] = [
        (|_| (), "computed"),
        (
            |catalog| {
                let ids = Some(entries(catalog, "clean"));
                catalog.invalidate(None, &Selector { ids, ..Selector::default() }).unwrap();
            },
            "fenced",
        ),
    ];
    for (meanwhile, outcome) in cases {
        let stage = Arc::new(Stage::new());
        let call = nested_in(&stage, off, Policy::default(), meanwhile);
        assert_eq!(stage.settle(vec![call], &[0], 1).words()[0], outcome);
        let stored = usize::from(outcome == "computed");
        assert_eq!(invalidate(&*stage.catalog, "clean"), 2 * stored as u64);
    }
}

/// What becomes of a whole that begins after an invalidation, and takes from an operation of the same run
/// what that began before it: `clean`, with this policy and body.
fn follows(
    policy: Policy,
    edges: Vec<Edge>,
    clean: impl Fn(&Stage) -> Result<Product, Failure> + Send + Sync + 'static,
) -> Settlement {
    let stage = Arc::new(Stage::new());
    let (catalog, clean) = (Arc::clone(&stage.catalog), Arc::new(clean));
    let begun = Arc::new(AtomicBool::new(false));
    let cleans = {
        let begun = Arc::clone(&begun);
        move |stage: &Arc<Stage>| {
            let (here, begun, clean) = (Arc::clone(stage), Arc::clone(&begun), Arc::clone(&clean));
            let call = stage.scripted("clean", vec![], move |_| {
                begun.store(true, Ordering::SeqCst);
                clean(&here)
            });
            Call { policy, ..call }
        }
    };
    let invalidates = stage.scripted("invalidates", edges, move |_| {
        while !begun.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        invalidate(&*catalog, "clean");
        Ok(number(1))
    });
    let (here, cleaned) = (Arc::clone(&stage), cleans(&stage));
    let around = stage.scripted("around", vec![whole(1)], move |_| {
        let late = here.call("late", &[0], |it| it[0] + 1);
        Ok(expanded(vec![cleans(&here), late], 1))
    });
    let settled = stage.settle(vec![cleaned, invalidates, around], &[0, 2], 2);
    assert_eq!(stage.take_ran(), ["around", "clean", "invalidates", "late"]);
    assert_eq!((settled.words()[3], settled.values[2]), ("waited", Some(2)));
    settled
}

#[test]
fn a_whole_is_not_stored_of_what_the_run_made_afresh_before_an_invalidation() {
    let refresh = Policy { mode: Mode::Refresh, ..Policy::default() };
    let settled = follows(refresh, vec![whole(0)], |_| Ok(number(1)));
    assert_eq!(settled.words()[..3], ["computed", "computed", "fenced"]);
}

#[test]
fn a_whole_is_not_stored_of_what_was_under_way_in_the_run_at_an_invalidation() {
    let settled = follows(Policy::default(), vec![], |stage| {
        // It ends when the whole waits for it, and is kept in the store though it is refused.
        let is_there = |event: &Event| matches!(event, Event::Expanded { .. });
        while !stage.events.lock().iter().any(is_there) {
            std::thread::yield_now();
        }
        let Product::Made(made) = number(1) else { panic!("it is made") };
        let Ok(Draft::Plain(encoding)) = made.draft else { panic!("it is plain") };
        let stored = Draft::Stored(Record::Plain(encoding));
        Ok(Product::Made(Made::new(made.object, stored)))
    });
    assert_eq!(settled.words()[..3], ["fenced", "computed", "fenced"]);
}
