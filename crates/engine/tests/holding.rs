//! Results that hold only as long as what their bodies observed does.

#![allow(clippy::unwrap_used)]

mod past;
mod stage;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use stage::*;
use thrifty_engine::catalog::*;
use thrifty_engine::compute::{Computed, Task};
use thrifty_engine::event::Event;
use thrifty_engine::explain::{Reason, explain};
use thrifty_engine::fsck::{self, Level};
use thrifty_engine::graph::{Expansion, Failure, Made, Node as Call, Product, Value};
use thrifty_engine::key::{Key, plain};
use thrifty_engine::observed::{Observation, Observed, Place, State, Surroundings};
use thrifty_engine::record::{Draft, Record};
use thrifty_engine::{Looked, Miss, Mode, Policy};

type Variables = Arc<Mutex<BTreeMap<String, String>>>;

/// A project in a directory of its own, and the variables of its processes.
struct World {
    stage: Stage,
    root: tempfile::TempDir,
    variables: Variables,
}

impl World {
    fn new() -> Self {
        let stage = Stage::new();
        let root = tempfile::tempdir().unwrap();
        let world = Self { stage, root, variables: Variables::default() };
        world.place(&world.stage);
        world
    }

    /// Another process of the project.
    fn again(&self) -> Stage {
        let other = self.stage.again();
        self.place(&other);
        other
    }

    fn place(&self, stage: &Stage) {
        place(stage, self.root.path(), &self.variables);
    }

    fn set(&self, name: &str, value: Option<&str>) {
        let mut variables = self.variables.lock();
        match value {
            Some(value) => variables.insert(name.to_owned(), value.to_owned()),
            None => variables.remove(name),
        };
    }

    fn write(&self, name: &str, content: Option<&str>) {
        let path = self.root.path().join(name);
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => _ = fs::remove_file(path),
        }
    }
}

fn place(stage: &Stage, root: &Path, variables: &Variables) {
    let variables = Arc::clone(variables);
    let read = move |name: &str| variables.lock().get(name).map(|it| it.as_bytes().to_vec());
    stage.cache.set_surroundings(Some(root.to_owned()), Box::new(read), Box::new(|_, _| None));
}

fn variable(name: &str) -> Observed {
    Observed::Variable(name.to_owned())
}

fn project_file(name: &str) -> Observed {
    Observed::File(Place::Project(name.to_owned()))
}

fn observe(around: &Surroundings, what: &Observed) -> Observation {
    Observation { what: what.clone(), state: around.state(what).unwrap() }
}

/// A number, made by a body that observed this.
fn seen(value: i64, observed: Vec<Observation>) -> Product {
    let Product::Made(made) = number(value) else { unreachable!() };
    Product::Made(Made { observed, ..made })
}

/// A call whose body looks at these places.
fn looking(
    stage: &Stage,
    name: &str,
    from: &[usize],
    places: Vec<Observed>,
    value: impl Fn(&[i64]) -> i64 + Send + Sync + 'static,
) -> Call {
    let cache = Arc::clone(&stage.cache);
    stage.scripted(name, from.iter().map(|from| whole(*from)).collect(), move |inputs| {
        let around = cache.surroundings();
        let observed = places.iter().map(|what| observe(&around, what)).collect();
        Ok(seen(value(inputs), observed))
    })
}

/// How an operation that looks at a place is called.
#[derive(Debug, Clone, Copy)]
enum How {
    Lone,
    Graph,
    Unit,
    Expanding,
}

/// Calls `f`, which looks at the places; its outcome, and what ran.
fn call(how: How, stage: &Stage, places: &[Observed]) -> (String, Vec<String>) {
    let places = places.to_vec();
    let cache = Arc::clone(&stage.cache);
    let outcome = match how {
        How::Lone => {
            let ran = Arc::clone(&stage.ran);
            lone(stage, "f", Policy::default(), &mut || {
                ran.lock().push("f".to_owned());
                let around = cache.surroundings();
                Ok(seen(7, places.iter().map(|what| observe(&around, what)).collect()))
            })
        }
        How::Graph => settled(stage, vec![looking(stage, "f", &[], places, |_| 7)]),
        How::Unit => {
            let inner = move || Stage { ran: Arc::default(), ..inside(&cache) };
            let ran = Arc::clone(&stage.ran);
            settled(
                stage,
                vec![stage.scripted("f", vec![], move |_| {
                    let within = Stage { ran: Arc::clone(&ran), ..inner() };
                    let first = looking(&within, "first", &[], places.clone(), |_| 3);
                    let last = within.call("last", &[0], |it| it[0] + 4);
                    Ok(expanded(vec![first, last], 1))
                })],
            )
        }
        How::Expanding => settled(
            stage,
            vec![stage.scripted("f", vec![], move |_| {
                let around = cache.surroundings();
                let observed = places.iter().map(|what| observe(&around, what)).collect();
                let nodes = vec![inside(&cache).call("inner", &[], |_| 7)];
                let (edges, output) = (vec![whole(0)], Draft::Edge(0));
                Ok(Product::Expanded(Expansion {
                    nodes,
                    edges,
                    output,
                    observed,
                    expires_at: None,
                    made_of: Default::default(),
                    unstored: None,
                }))
            })],
        ),
    };
    (outcome, stage.take_ran())
}

/// What makes calls for a cache, from within a body.
fn inside(cache: &Arc<thrifty_engine::Cache>) -> Stage {
    Stage { cache: Arc::clone(cache), ..Stage::new() }
}

fn settled(stage: &Stage, nodes: Vec<Call>) -> String {
    let settlement = stage.settle(nodes, &[0], 1);
    settlement.outcomes[0].as_ref().unwrap().to_string()
}

fn key(name: &str) -> Key {
    operation(name).key([].into_iter())
}

/// A lone call; its outcome.
fn lone(
    stage: &Stage,
    name: &str,
    policy: Policy,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> String {
    lone_value(stage, name, policy, body).0
}

fn lone_value(
    stage: &Stage,
    name: &str,
    policy: Policy,
    body: &mut dyn FnMut() -> Result<Product, Failure>,
) -> (String, i64) {
    let operation = operation(name);
    let (miss, target) = match policy.mode.reads().then(|| stage.cache.look(&key(name), None)) {
        Some(Looked::Hit(answer, outcome)) => {
            let value = load(&stage.blobs, &Value::Known(answer), &[]).unwrap();
            return (outcome.to_string(), value);
        }
        Some(Looked::Miss(miss, target)) => (miss, target),
        None => (Miss::Refresh, stage.cache.slot(&key(name))),
    };
    let task = Task {
        operation: &operation,
        key: Ok(key(name)),
        ingredients: &|| operation.ingredients([]),
        policy,
        run: (None, 0),
        interrupted: &|| false,
    };
    match stage.cache.compute(&task, miss, target, body) {
        Computed::Settled(settled) => {
            let value = load(&stage.blobs, &settled.value, &[]).unwrap();
            (settled.outcome.to_string(), value)
        }
        _ => panic!("it failed"),
    }
}

/// How a thing is changed and changed back, and what is said of each.
struct Case {
    what: &'static str,
    place: Observed,
    act: fn(&World, bool),
    there: &'static str,
    back: &'static str,
}

const CHANGED: &str = "has changed since it was read";
const GONE: &str = "is gone since it was read";
const NEW: &str = "is new: it was looked for and not there";

fn cases() -> [Case; 7] {
    let (data, mode) = (|| project_file("data"), || variable("MODE"));
    let listing = Observed::Listing(Place::Project(String::new()));
    let case = |what, place, act, there, back| Case { what, place, act, there, back };
    [
        case("data", data(), |w, now| w.write("data", Some(pick(now))), CHANGED, CHANGED),
        case("data", data(), |w, now| w.write("data", (!now).then_some("1")), GONE, NEW),
        case("data", data(), |w, now| w.write("data", now.then_some("1")), NEW, GONE),
        case(
            "the list of files in .",
            listing,
            |w, now| w.write("more", now.then_some("1")),
            CHANGED,
            CHANGED,
        ),
        case("the variable MODE", mode(), |w, now| w.set("MODE", now.then_some("1")), NEW, GONE),
        case("the variable MODE", mode(), |w, now| w.set("MODE", (!now).then_some("1")), GONE, NEW),
        case(
            "the variable MODE",
            mode(),
            |w, now| w.set("MODE", Some(pick(now))),
            CHANGED,
            CHANGED,
        ),
    ]
}

const fn pick(now: bool) -> &'static str {
    if now { "two" } else { "one" }
}

/// A change of what was observed is a miss that names it, once; going back is a hit again. Alone,
/// in a graph, for a nested workflow, and for a body that expands; in this process and another.
#[test]
fn a_result_holds_as_long_as_what_was_observed() {
    for case in cases() {
        for how in [How::Lone, How::Graph, How::Unit, How::Expanding] {
            holds_and_does_not(&case, how);
        }
    }
}

fn holds_and_does_not(case: &Case, how: How) {
    let Case { what, place, act, there, back } = case;
    let about = format!("{what} {there}, {how:?}");
    let world = World::new();
    let places = [place.clone(), variable("OTHER")];
    let outcome = |stage: &Stage| call(how, stage, &places);
    let hits = |when: &str| {
        for stage in [&world.stage, &world.again()] {
            let found = outcome(stage);
            assert!(found.1.is_empty() && found.0.starts_with("hit"), "{about} {when}: {found:?}");
        }
    };
    act(&world, false);
    assert_eq!(outcome(&world.stage).0, "computed (no entry)", "{about}");
    hits("at first");
    act(&world, true);
    let (said, ran) = outcome(&world.again());
    assert_eq!(said, format!("computed (observed: {what} {there})"), "{about}");
    assert!(ran.contains(&"f".to_owned()), "{about}: {ran:?}");
    hits("when changed");
    act(&world, false);
    hits("when changed back");
    act(&world, true);
    hits("when changed again");
    // Something else it looked at changes: that is what is named, and nothing before it.
    world.set("OTHER", Some("1"));
    let expected = format!("computed (observed: the variable OTHER {NEW})");
    assert_eq!(outcome(&world.stage).0, expected, "{about}");
    act(&world, false);
    let expected = format!("computed (observed: {what} {back})");
    assert_eq!(outcome(&world.stage).0, expected, "{about}");
}

/// Whoever calls waits for it. What is not found in time is told as what changed since the first.
#[test]
fn what_changed_is_looked_for_no_longer_than_a_lookup_takes() {
    let changed = [
        ("entries", format!("computed (observed: the variable OTHER {NEW})")),
        ("entries_in_time", format!("computed (observed: data {CHANGED})")),
    ];
    for (method, expected) in changed {
        let world = World::new();
        let places = [project_file("data"), variable("OTHER")];
        for content in ["one", "two"] {
            world.write("data", Some(content));
            call(How::Lone, &world.stage, &places);
        }
        world.set("OTHER", Some("1"));
        let catalog = Arc::clone(&world.stage.catalog);
        let busy = Stage::over(Flaky::new(catalog, move |_, asked| asked == method));
        world.place(&busy);
        assert_eq!(call(How::Lone, &busy, &places).0, expected, "{method}");
        assert!(call(How::Lone, &world.again(), &places).0.starts_with("hit"), "it is stored");
    }
}

#[test]
fn what_cannot_be_looked_at_is_a_miss_and_replaces_the_first_entry() {
    let world = World::new();
    let place = [project_file("data")];
    world.write("data", Some("one"));
    call(How::Lone, &world.stage, &place);
    world.write("data", None);
    std::os::unix::fs::symlink("data", world.root.path().join("data")).unwrap();
    let said = lone(&world.stage, "f", Policy::default(), &mut || Ok(number(8)));
    assert_eq!(said, "computed (observed: data was read and cannot be read now)");
    let again = lone_value(&world.stage, "f", Policy::default(), &mut || Ok(number(9)));
    assert_eq!(again.1, 8);
}

/// An invalidation of the key, or a refresh, is final for every state of the surroundings.
#[test]
fn results_for_earlier_states_go_with_the_first() {
    for ending in ["invalidate", "prefix", "refresh"] {
        let world = World::new();
        let run = |policy| {
            let cache = Arc::clone(&world.stage.cache);
            lone(&world.stage, "f", policy, &mut || {
                Ok(seen(7, vec![observe(&cache.surroundings(), &variable("MODE"))]))
            })
        };
        for mode in ["a", "b", "c"] {
            world.set("MODE", Some(mode));
            run(Policy::default());
        }
        let key = key("f").to_string();
        let by_key =
            |prefix: &str| Selector { key_prefix: Some(prefix.to_owned()), ..Selector::default() };
        let removed = match ending {
            "invalidate" => Some((by_key(&key), 1)),
            "prefix" => Some((by_key(&key[..12]), 3)),
            _ => None,
        };
        world.set("MODE", Some("a"));
        match removed {
            Some((selector, count)) => {
                let removed = world.stage.catalog.invalidate(None, &selector).unwrap();
                assert_eq!(removed.entries, count, "{ending}");
                assert_eq!(run(Policy::default()), "computed (no entry)", "{ending}");
            }
            None => {
                let refresh = Policy { mode: Mode::Refresh, ..Policy::default() };
                assert_eq!(run(refresh), "computed (refresh)");
            }
        }
        world.set("MODE", Some("b"));
        let said = run(Policy::default());
        assert!(said.starts_with("computed (observed"), "{ending}: {said}");
    }
}

/// Below the root of the project, each checkout looks at its own files.
#[test]
fn two_checkouts_share_what_is_the_same_in_both() {
    let world = World::new();
    let other_root = tempfile::tempdir().unwrap();
    let other = world.stage.again();
    place(&other, other_root.path(), &world.variables);
    let outcome = |stage: &Stage| call(How::Graph, stage, &[project_file("data")]).0;
    world.write("data", Some("one"));
    assert_eq!(outcome(&world.stage), "computed (no entry)");
    let changed = "computed (observed: data is gone since it was read)";
    assert_eq!(outcome(&other), changed);
    fs::write(other_root.path().join("data"), "one").unwrap();
    assert_eq!(outcome(&other), "hit-memory", "the first entry, which it has read");
    fs::write(other_root.path().join("data"), "two").unwrap();
    let nearest = "computed (observed: data is new: it was looked for and not there)";
    assert_eq!(outcome(&other), nearest, "of two as near the newest is named");
    for _ in 0..2 {
        for stage in [&world.stage, &other] {
            assert!(outcome(stage).starts_with("hit"), "each has its own");
        }
    }
}

/// An operation that wrote what another one observes has run before that is looked up.
#[test]
fn what_an_operation_of_the_run_writes_is_seen_by_those_behind_it() {
    let world = World::new();
    let path = world.root.path().join("data");
    let nodes = |refresh: bool, content: &'static str| {
        let path = path.clone();
        let mut write = world.stage.scripted("write", vec![], move |_| {
            fs::write(&path, content).unwrap();
            Ok(number(1))
        });
        write.policy.mode = if refresh { Mode::Refresh } else { Mode::On };
        let before = looking(&world.stage, "before", &[], vec![project_file("data")], |_| 2);
        let mut after = looking(&world.stage, "before", &[0], vec![project_file("data")], |_| 2);
        // What stands before it does not enter its key: it is the same call as the other.
        after.inputs.clear();
        let mut before = Call { inputs: vec![], ..before };
        before.edges.clear();
        vec![write, before, after]
    };
    world.write("data", Some("one"));
    let first = world.stage.settle(nodes(false, "one"), &[0, 1, 2], 1);
    assert!(
        first.outcomes.iter().all(|it| it.as_ref().unwrap().ran() || it.as_ref().unwrap().is_hit())
    );
    let second = world.stage.settle(nodes(true, "two"), &[1, 0, 2], 1);
    assert_eq!(second.words(), ["computed", "hit-memory", "computed"]);
    let third = world.stage.settle(nodes(false, "two"), &[0, 1, 2], 1);
    assert!(third.outcomes.iter().all(|it| it.as_ref().unwrap().is_hit()), "{:?}", third.words());
}

/// Two calls with one key in one run, the second behind an operation that sets what they look at:
/// the second does not take what the first saw, whether the first is done by then or still runs.
#[test]
fn a_call_behind_a_change_does_not_take_what_was_seen_before_it() {
    for (mode, is_running) in [(Mode::Refresh, false), (Mode::ReadOnly, true)] {
        let world = World::new();
        let has_looked = Arc::new(AtomicBool::new(false));
        let look = |from: &[usize], waits: bool| {
            let (cache, variables) = (Arc::clone(&world.stage.cache), Arc::clone(&world.variables));
            let events = Arc::clone(&world.stage.events);
            let has_looked = Arc::clone(&has_looked);
            let edges = from.iter().map(|from| whole(*from)).collect();
            let mut call = world.stage.scripted("look", edges, move |_| {
                let observed = vec![observe(&cache.surroundings(), &variable("MODE"))];
                let value = if variables.lock().is_empty() { 1 } else { 2 };
                has_looked.store(true, Ordering::SeqCst);
                let is_set = |event: &Event| matches!(event, Event::Settled { number: 1, .. });
                while waits && !events.lock().iter().any(is_set) {
                    std::thread::yield_now();
                }
                let draft = Draft::Stored(Record::Plain(plain::int(value)));
                let made = Made::new(Arc::new(value), draft);
                Ok(Product::Made(Made { observed, ..made }))
            });
            call.inputs.clear();
            call.policy.mode = mode;
            call
        };
        let (variables, looked) = (Arc::clone(&world.variables), Arc::clone(&has_looked));
        let set = world.stage.call("set", if is_running { &[] } else { &[0] }, move |_| {
            while !looked.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            variables.lock().insert("MODE".to_owned(), "fast".to_owned());
            0
        });
        let nodes = vec![look(&[], is_running), set, look(&[1], false)];
        let settlement = world.stage.settle(nodes, &[0, 1, 2], 2);
        assert_eq!(settlement.keys[0], settlement.keys[2]);
        assert_eq!(settlement.values, [Some(1), Some(0), Some(2)], "{mode:?}");
    }
}

/// What belongs to a nested workflow counts for the whole, stored or not, cached or not.
#[test]
fn a_whole_observes_what_all_its_parts_do() {
    for part in ["stored", "off", "unstorable", "nested", "ahead"] {
        let world = World::new();
        let run = || {
            let (cache, ran) = (Arc::clone(&world.stage.cache), Arc::clone(&world.stage.ran));
            let whole_call = world.stage.scripted("whole", vec![], move |_| {
                let within = Stage { ran: Arc::clone(&ran), ..inside(&cache) };
                let cache = Arc::clone(&cache);
                let look = move || vec![observe(&cache.surroundings(), &variable("MODE"))];
                let mut first = within.scripted("first", vec![], move |_| {
                    Ok(match part {
                        "unstorable" => {
                            let Product::Made(made) = unstorable(3) else { unreachable!() };
                            Product::Made(Made { observed: look(), ..made })
                        }
                        "nested" => {
                            let (edges, output) = (vec![whole(0)], Draft::Edge(0));
                            let nodes = vec![within_call(3)];
                            let observed = look();
                            let expires_at = None;
                            Product::Expanded(Expansion {
                                nodes,
                                edges,
                                output,
                                observed,
                                expires_at,
                                made_of: Default::default(),
                                unstored: None,
                            })
                        }
                        "ahead" => number(3),
                        _ => seen(3, look()),
                    })
                });
                if part == "off" {
                    first.policy.mode = Mode::Off;
                }
                let last = within.call("last", &[0], |it| it[0] + 4);
                Ok(expanded(vec![first, last], 1))
            });
            world.stage.settle(vec![whole_call], &[0], 1)
        };
        let first = run();
        assert_eq!(first.words()[0], "computed", "{part}");
        assert_eq!(run().words(), ["hit-memory"], "{part}");
        world.set("MODE", Some("fast"));
        let words = run().words();
        if part == "ahead" {
            assert_eq!(words, ["hit-memory"], "nothing was observed");
        } else {
            assert_eq!(words[0], "computed", "{part}");
        }
    }
}

fn within_call(value: i64) -> Call {
    Stage::new().call("innermost", &[], move |_| value)
}

#[test]
fn a_run_tells_what_all_its_operations_observed() {
    let world = World::new();
    let observed = || {
        let nodes = vec![
            looking(&world.stage, "a", &[], vec![variable("A")], |_| 1),
            looking(&world.stage, "b", &[0], vec![variable("B")], |it| it[0]),
            looking(&world.stage, "not needed", &[], vec![variable("C")], |_| 1),
        ];
        let options = thrifty_engine::schedule::Options {
            workers: 1,
            run: None,
            interrupted: &|| false,
            listener: Arc::new(|_| {}),
        };
        let mut schedule =
            thrifty_engine::Schedule::new(Arc::clone(&world.stage.cache), nodes, options);
        schedule.settle(&[1]);
        schedule.observed().into_iter().map(|it| it.what).collect::<Vec<_>>()
    };
    assert_eq!(observed(), [variable("A"), variable("B")], "computed");
    assert_eq!(observed(), [variable("A"), variable("B")], "hits");
}

/// What changed while the operation ran is not stored, and the next call computes it.
#[test]
fn what_changes_while_it_is_computed_is_not_stored() {
    let world = World::new();
    let run = |meanwhile: Option<&str>| {
        let cache = Arc::clone(&world.stage.cache);
        lone(&world.stage, "f", Policy::default(), &mut || {
            let observed = vec![observe(&cache.surroundings(), &variable("MODE"))];
            if let Some(value) = meanwhile {
                world.set("MODE", Some(value));
            }
            Ok(seen(7, observed))
        })
    };
    let reason = "the variable MODE is new: it was looked for and not there";
    assert_eq!(run(Some("fast")), format!("computed-not-stored ({reason})"));
    assert_eq!(run(None), "computed (no entry)");
    assert_eq!(run(None), "hit-memory");
    // One thing in two states: a part looked before another one wrote it.
    let both = [Some(State::Absent), world.stage.cache.surroundings().state(&variable("MODE"))];
    let both: Vec<_> = both
        .into_iter()
        .map(|state| Observation { what: variable("MODE"), state: state.unwrap() })
        .collect();
    let said = lone(&world.stage, "g", Policy::default(), &mut || Ok(seen(7, both.clone())));
    assert_eq!(said, "computed-not-stored (the variable MODE has changed since it was read)");
}

/// Who waits for a body that looked around before the wait began does not take its result if
/// something changed since.
#[test]
fn a_result_that_does_not_hold_is_not_handed_to_who_waits() {
    use std::sync::Barrier;
    let world = World::new();
    let (leading, waiting) = (Barrier::new(2), Barrier::new(2));
    let value = |interrupted: &dyn Fn() -> bool, body: &mut dyn FnMut() -> Product| {
        let operation = operation("f");
        let task = Task {
            operation: &operation,
            key: Ok(key("f")),
            ingredients: &|| operation.ingredients([]),
            policy: Policy::default(),
            run: (None, 0),
            interrupted,
        };
        let target = world.stage.cache.slot(&key("f"));
        match world.stage.cache.compute(&task, Miss::Absent, target, &mut || Ok(body())) {
            Computed::Settled(settled) => load(&world.stage.blobs, &settled.value, &[]).unwrap(),
            _ => panic!("it failed"),
        }
    };
    let mode = || observe(&world.stage.cache.surroundings(), &variable("MODE"));
    let waited = std::thread::scope(|scope| {
        scope.spawn(|| {
            value(&|| false, &mut || {
                let observed = vec![mode()];
                leading.wait();
                waiting.wait();
                // Its record is in the store already, as of a body in another process.
                let record = Record::Plain(plain::int(1));
                let draft = Draft::Stored(record);
                Product::Made(Made { observed, ..Made::new(Arc::new(1_i64), draft) })
            });
        });
        leading.wait();
        world.set("MODE", Some("fast"));
        let released = std::sync::atomic::AtomicBool::new(false);
        let interrupted = || {
            if !released.swap(true, std::sync::atomic::Ordering::SeqCst) {
                waiting.wait();
            }
            false
        };
        value(&interrupted, &mut || seen(2, vec![mode()]))
    });
    assert_eq!(waited, 2);
}

#[test]
fn observations_that_cannot_be_read_are_a_miss_and_found_by_a_check() {
    for (what, bytes) in [("damaged", &b"\x01junk"[..]), ("newer", b"\x02")] {
        let world = World::new();
        let sound = past::new_entry("f", "1", vec![]);
        let entry = NewEntry {
            id: 1,
            key: key("f"),
            output: Record::Plain(plain::int(1)).to_bytes(),
            observed: bytes.to_vec(),
            ..sound
        };
        let stage = &world.stage;
        stage.catalog.commit(&scope(), &entry, &Claim::default()).unwrap();
        let report = fsck::check(&*stage.catalog, &*stage.blobs, Level::Quick, false).unwrap();
        assert_eq!(report.findings.len(), 1, "{what}");
        let found = report.findings[0].to_string();
        assert!(found.contains("observations"), "{what}: {found}");
        let said = lone_value(stage, "f", Policy::default(), &mut || Ok(number(2)));
        assert_eq!(said, ("computed (unreadable entry)".to_owned(), 2), "{what}");
        assert_eq!(lone_value(stage, "f", Policy::default(), &mut || Ok(number(3))).1, 2);
    }
}

/// A body that looks at another place each time never makes a lookup long.
#[test]
fn a_trail_has_an_end() {
    let lookups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&lookups);
    let catalog = Flaky::new(Arc::new(Sqlite::in_memory().unwrap()), move |_, method| {
        counted.fetch_add(usize::from(method == "lookup"), Ordering::SeqCst);
        false
    });
    let (stage, variables) = (Stage::over(catalog), Variables::default());
    place(&stage, Path::new("/"), &variables);
    for round in 0..40 {
        let name = format!("V{round}");
        let cache = Arc::clone(&stage.cache);
        let said = lone(&stage, "f", Policy::default(), &mut || {
            Ok(seen(round, vec![observe(&cache.surroundings(), &variable(&name))]))
        });
        assert!(said.starts_with("computed"), "{round}: {said}");
        let other = stage.again();
        place(&other, Path::new("/"), &variables);
        let before = lookups.load(Ordering::SeqCst);
        let again = lone_value(&other, "f", Policy::default(), &mut || Ok(number(-1)));
        assert_eq!(again, ("hit-local".to_owned(), round));
        let asked = lookups.load(Ordering::SeqCst) - before;
        assert!((1..=9).contains(&asked), "{round}: {asked} lookups");
        variables.lock().insert(name, "1".to_owned());
    }
}

#[test]
fn why_names_what_changed() {
    let world = World::new();
    let stage = &world.stage;
    let run = || {
        let new = NewRun { name: "trips".to_owned(), ..NewRun::default() };
        let id = stage.catalog.begin_run(&scope(), &new).unwrap();
        let nodes = vec![looking(stage, "f", &[], vec![project_file("data.csv")], |_| 1)];
        let settlement = stage.settle_in(nodes, &[0], 1, Some(id.clone()));
        stage.catalog.record(&id, &settlement.history).unwrap();
        let filter = RunFilter { id_prefix: Some(id.0), ..RunFilter::default() };
        let run = stage.catalog.runs(None, &filter).unwrap().remove(0);
        explain(&*stage.catalog, &run, None).unwrap().nodes
    };
    world.write("data.csv", Some("one"));
    assert_eq!(run()[0].reason, Reason::FirstTime);
    assert_eq!(run(), []);
    world.write("data.csv", Some("two"));
    let why = run().remove(0);
    assert_eq!(why.reason, Reason::Observed);
    assert_eq!(why.detail, "data.csv has changed since it was read");
    assert_eq!(why.differences, []);
}

/// What the operation of the model gives: a variable names the one it reads.
fn model(variables: &BTreeMap<String, String>) -> i64 {
    let read = |name: &str| variables.get(name).and_then(|it| it.parse().ok());
    match read("WHICH") {
        Some(1) => 10 + read("ONE").unwrap_or(-1),
        Some(2) => 20 + read("TWO").unwrap_or(-1) + 100 * read("MORE").unwrap_or(0),
        _ => 0,
    }
}

fn model_call(stage: &Stage, variables: &Variables) -> Call {
    let (cache, variables) = (Arc::clone(&stage.cache), Arc::clone(variables));
    stage.scripted("model", vec![], move |_| {
        let around = cache.surroundings();
        let now = variables.lock().clone();
        let reads: &[&str] = match now.get("WHICH").map(String::as_str) {
            Some("1") => &["WHICH", "ONE"],
            Some("2") => &["WHICH", "TWO", "MORE"],
            _ => &["WHICH"],
        };
        let observed = reads.iter().map(|name| observe(&around, &variable(name))).collect();
        Ok(seen(model(&now), observed))
    })
}

#[derive(Debug, Clone)]
enum Step {
    Set(&'static str, Option<&'static str>),
    Run(usize, bool),
    Forget(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = prop::sample::select(vec!["WHICH", "ONE", "TWO", "MORE"]);
    let value = prop::sample::select(vec![None, Some("1"), Some("2")]);
    prop_oneof![
        4 => (name, value).prop_map(|(name, value)| Step::Set(name, value)),
        6 => (0..2_usize, any::<bool>()).prop_map(|(process, unit)| Step::Run(process, unit)),
        1 => any::<bool>().prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever changes between runs, in whatever process they are: a run gives what computing
    /// would give, and a run after it without a change computes nothing.
    #[test]
    fn no_run_gives_what_computing_now_would_not(
        steps in prop::collection::vec(any_step(), 1..30),
    ) {
        let world = World::new();
        let processes = [world.again(), world.again()];
        for step in steps {
            match step {
                Step::Set(name, value) => world.set(name, value),
                Step::Forget(first_only) => {
                    let key_prefix = first_only.then(|| key("model").to_string());
                    let selector = Selector { key_prefix, ..Selector::default() };
                    world.stage.catalog.invalidate(None, &selector).unwrap();
                }
                Step::Run(process, unit) => {
                    let stage = &processes[process];
                    let run = || {
                        if !unit {
                            return stage.settle(vec![model_call(stage, &world.variables)], &[0], 1);
                        }
                        let (cache, variables) =
                            (Arc::clone(&stage.cache), Arc::clone(&world.variables));
                        let unit = stage.scripted("unit", vec![], move |_| {
                            Ok(expanded(vec![model_call(&inside(&cache), &variables)], 0))
                        });
                        stage.settle(vec![unit], &[0], 1)
                    };
                    let expected = model(&world.variables.lock());
                    prop_assert_eq!(run().values[0], Some(expected));
                    let again = run();
                    prop_assert_eq!(again.values[0], Some(expected));
                    prop_assert!(again.outcomes[0].as_ref().unwrap().is_hit());
                }
            }
        }
    }
}

#[test]
fn a_state_seen_before_is_not_computed_again() {
    let world = World::new();
    let states: Vec<_> = (0..3_i64)
        .flat_map(|one| (0..3_i64).map(move |two| (one, two)))
        .map(|(one, two)| (one.to_string(), two.to_string()))
        .collect();
    let run = |(one, two): &(String, String)| {
        world.set("ONE", Some(one));
        world.set("TWO", Some(two));
        let places = vec![variable("ONE"), variable("TWO")];
        let nodes = vec![looking(&world.stage, "f", &[], places, |_| 1)];
        world.stage.settle(nodes, &[0], 1).outcomes[0].clone().unwrap()
    };
    assert!(states.iter().all(|state| run(state).ran()));
    assert!(states.iter().rev().all(|state| run(state).is_hit()));
    let all = world.stage.catalog.entries(None, &Selector::default(), 100).unwrap();
    assert_eq!(all.len(), states.len(), "one entry for each state");
}

/// A reader's age and a writer's expiry hold for results of every state.
#[test]
fn ages_count_for_each_state() {
    let clock = Arc::new(Moved::default());
    let catalog = Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap();
    let stage = Stage::over(Arc::new(catalog));
    let variables = Variables::default();
    place(&stage, Path::new("/"), &variables);
    let expires = Policy { expires: Some(Duration::from_secs(10)), ..Policy::default() };
    let run = |mode: &str| {
        variables.lock().insert("MODE".to_owned(), mode.to_owned());
        let cache = Arc::clone(&stage.cache);
        lone(&stage, "f", expires, &mut || {
            Ok(seen(7, vec![observe(&cache.surroundings(), &variable("MODE"))]))
        })
    };
    assert_eq!(run("a"), "computed (no entry)");
    clock.pass(Duration::from_secs(6));
    assert!(run("b").starts_with("computed (observed"));
    assert!(run("b").starts_with("hit"));
    clock.pass(Duration::from_secs(5));
    // The first is gone, and what hung on it with it.
    assert_eq!(run("b"), "computed (expired)");
    assert!(run("b").starts_with("hit"));
    assert!(run("a").starts_with("computed (observed"));
}

/// A body that took a result which expires, by calling another operation, made a value that does.
#[test]
fn a_value_lives_no_longer_than_what_its_body_took() {
    for (how, own, taken, lives) in [
        (How::Lone, None, Some(10), Some(10)),
        (How::Lone, Some(5), Some(10), Some(5)),
        (How::Lone, Some(10), Some(5), Some(5)),
        (How::Lone, Some(10), None, Some(10)),
        (How::Lone, None, None, None),
        (How::Expanding, None, Some(10), Some(10)),
        (How::Expanding, Some(5), Some(10), Some(5)),
        (How::Expanding, None, None, None),
        // Of a nested workflow, for a part whose own value cannot be stored.
        (How::Unit, None, Some(10), Some(10)),
    ] {
        let clock = Arc::new(Moved::default());
        let catalog = Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap();
        let stage = Stage::over(Arc::new(catalog));
        let expires = own.map(Duration::from_secs);
        let run = || {
            let expires_at = taken.map(|it: i64| stage.cache.catalog_clock() + it * 1_000);
            let mut call = stage.scripted("f", vec![], move |_| {
                let (edges, output, observed) = (vec![whole(0)], Draft::Edge(0), vec![]);
                Ok(match how {
                    How::Lone | How::Graph => expiring(number(1), expires_at),
                    How::Expanding => {
                        let nodes = vec![within_call(1)];
                        Product::Expanded(Expansion {
                            nodes,
                            edges,
                            output,
                            observed,
                            expires_at,
                            made_of: Default::default(),
                            unstored: None,
                        })
                    }
                    How::Unit => {
                        let within = Stage::new();
                        let part = within.scripted("part", vec![], move |_| {
                            Ok(expiring(unstorable(1), expires_at))
                        });
                        expanded(vec![part, within.call("last", &[0], |it| it[0])], 1)
                    }
                })
            });
            call.policy.expires = expires;
            stage.settle(vec![call], &[0], 1).words()[0]
        };
        let about = format!("{how:?} {own:?} {taken:?}");
        assert_eq!(run(), "computed", "{about}");
        clock.pass(Duration::from_secs(lives.unwrap_or(1_000_000) - 1));
        assert!(run().starts_with("hit"), "{about}");
        clock.pass(Duration::from_secs(1));
        assert_eq!(run() == "computed", lives.is_some(), "{about}");
    }
}

fn expiring(product: Product, expires_at: Option<Time>) -> Product {
    let Product::Made(made) = product else { return product };
    Product::Made(Made { expires_at, ..made })
}

/// One process computes the result for what is there, and the other takes it.
#[test]
fn a_reservation_is_for_what_is_there() {
    let world = World::new();
    let policy = Policy { serialize: true, ..Policy::default() };
    let run = |stage: &Stage| {
        let cache = Arc::clone(&stage.cache);
        lone(stage, "f", policy, &mut || {
            Ok(seen(7, vec![observe(&cache.surroundings(), &variable("MODE"))]))
        })
    };
    let other = world.again();
    assert_eq!(run(&world.stage), "computed (no entry)");
    world.set("MODE", Some("fast"));
    assert!(run(&other).starts_with("computed (observed"));
    assert_eq!(run(&world.stage), "hit-local");
    world.set("MODE", None);
    assert!(run(&other).starts_with("hit"));
}

#[test]
fn the_root_of_a_project_is_the_nearest_directory_that_is_marked() {
    use thrifty_engine::config::project_root;
    let directory = tempfile::tempdir().unwrap();
    let deep: PathBuf = directory.path().join("a/b/c");
    fs::create_dir_all(&deep).unwrap();
    fs::create_dir(directory.path().join(".git")).unwrap();
    assert_eq!(project_root(&deep), Some(directory.path()));
    fs::write(directory.path().join("a/thrifty.toml"), "").unwrap();
    assert_eq!(project_root(&deep), Some(directory.path().join("a").as_path()));
}
