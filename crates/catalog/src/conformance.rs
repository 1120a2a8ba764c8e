//! The suite every backend passes.
//!
//! [`all`] takes a function that makes a fresh, empty catalog with the real clock. A rule of the
//! contract that no function here checks is not a rule.
//!
//! ```
//! use thrifty_catalog::{Sqlite, conformance};
//!
//! conformance::all(&|| Box::new(Sqlite::in_memory().expect("there is memory")));
//! ```

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use thrifty_key::{Digest, Ingredients, Key, Kind, Preview, plain};

use crate::contract::Catalog;
use crate::entry::{
    BlobRef, Claim, Committed, Entry, EntryId, Found, Hit, NewEntry, Origin, Request, Reserved,
    Scope, Selector, Usage, Why,
};
use crate::run::{NewRun, Node, RunFilter, RunId, RunStatus};

const WORKS: &str = "the catalog under test answers";
const HOUR: Duration = Duration::from_hours(1);

/// Makes a fresh, empty catalog.
pub type Make<'a> = &'a dyn Fn() -> Box<dyn Catalog>;

/// Checks every rule.
///
/// # Panics
///
/// If the catalog breaks one.
pub fn all(make: Make<'_>) {
    finds_what_was_committed(make);
    keeps_scopes_apart(make);
    judges_age_by_its_clock(make);
    keeps_the_first_of_two_results(make);
    replaces_when_told_to(make);
    brings_nothing_invalidated_back(make);
    gives_a_slot_to_one_at_a_time(make);
    refuses_who_was_taken_over(make);
    selects_entries(make);
    counts_uses(make);
    protects_blobs(make);
    buries_collected_blobs(make);
    tells_of_changes(make);
    keeps_runs(make);
    keeps_texts_and_memos(make);
    takes_any_text_and_size(make);
    gives_each_fence_once(make);
}

/// A scope for tests.
pub fn scope(project: &str) -> Scope {
    Scope {
        project: project.to_owned(),
        domain: "development".to_owned(),
    }
}

/// A key for tests.
pub fn key(name: &str) -> Key {
    Digest::of_blob(name.as_bytes())
}

/// An entry for tests: `output` under the key of `name`, by the operation `lab.train`.
pub fn entry(name: &str, output: &str) -> NewEntry {
    let mut ingredients = Ingredients::new();
    let digest = plain::digest_text(name);
    ingredients
        .add(Kind::Operation, "name", digest, Preview::text(name))
        .expect("the first part cannot be a second one");
    NewEntry {
        key: key(name),
        operation: "lab.train".to_owned(),
        ingredients,
        output: output.as_bytes().to_vec(),
        output_digest: Digest::of_blob(output.as_bytes()),
        blobs: Vec::new(),
        cost: Duration::from_secs(7),
        expires_in: None,
        origin: Origin::default(),
    }
}

/// A blob for tests.
pub fn blob(content: &str, generation: u64) -> BlobRef {
    BlobRef {
        digest: Digest::of_blob(content.as_bytes()),
        generation,
        length: content.len() as u64,
    }
}

fn find(catalog: &dyn Catalog, scope: &Scope, name: &str, max_age: Option<Duration>) -> Found {
    let key = key(name);
    let mut found = catalog
        .lookup(scope, &[Request { key, max_age }])
        .expect(WORKS);
    assert_eq!(found.len(), 1, "one answer for one request");
    found.remove(0)
}

fn hit(catalog: &dyn Catalog, scope: &Scope, name: &str) -> Hit {
    match find(catalog, scope, name, None) {
        Found::Hit(hit) => hit,
        Found::Miss(_, why) => panic!("{name} is missed: {why:?}"),
    }
}

/// The claim of a computation that begins now, and why there is a miss.
fn miss(catalog: &dyn Catalog, scope: &Scope, name: &str) -> (Claim, Why) {
    match find(catalog, scope, name, None) {
        Found::Hit(hit) => panic!("{name} is a hit: {hit:?}"),
        Found::Miss(slot, why) => (claim(slot.epoch), why),
    }
}

fn claim(epoch: i64) -> Claim {
    Claim {
        epoch,
        ..Claim::default()
    }
}

/// Commits as a computation does that begins now.
fn put(catalog: &dyn Catalog, scope: &Scope, entry: &NewEntry) -> EntryId {
    let request = Request {
        key: entry.key,
        max_age: None,
    };
    let found = catalog.lookup(scope, &[request]).expect(WORKS);
    let Found::Miss(slot, _) = &found[0] else {
        panic!("there is an entry already: {found:?}");
    };
    let committed = catalog.commit(scope, entry, &claim(slot.epoch));
    match committed.expect(WORKS) {
        Committed::Stored(id) => id,
        other => panic!("not stored: {other:?}"),
    }
}

fn take(catalog: &dyn Catalog, scope: &Scope, name: &str, nonce: u128, lease: Duration) -> Claim {
    let reserved = catalog.reserve(scope, &key(name), nonce, lease);
    match reserved.expect(WORKS) {
        Reserved::Taken(claim) => claim,
        Reserved::Held(wait) => panic!("{name} is held for {wait:?}"),
    }
}

fn by_operation(pattern: &str) -> Selector {
    Selector {
        operation: Some(pattern.to_owned()),
        ..Selector::default()
    }
}

fn by_id(id: EntryId) -> Selector {
    Selector {
        ids: Some(vec![id]),
        ..Selector::default()
    }
}

fn only(catalog: &dyn Catalog, selector: &Selector) -> Entry {
    let mut found = catalog.entries(None, selector, 10).expect(WORKS);
    assert_eq!(found.len(), 1, "one entry is selected: {found:?}");
    found.remove(0)
}

/// Waits until the catalog's clock has moved.
fn let_time_pass(catalog: &dyn Catalog) {
    let began = catalog.now().expect(WORKS);
    while catalog.now().expect(WORKS) < began + 3 {
        thread::yield_now();
    }
}

/// A committed entry is found, alone and among others, with all that was given.
pub fn finds_what_was_committed(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    assert_eq!(catalog.lookup(&scope, &[]).expect(WORKS), []);
    assert_eq!(miss(&*catalog, &scope, "a").1, Why::Absent);

    let before = catalog.now().expect(WORKS);
    let mut new = entry("a", "forty-two");
    new.blobs = vec![blob("x", 2), blob("x", 1), blob("w", 9)];
    new.expires_in = Some(HOUR);
    new.origin = Origin {
        run: Some(RunId("run".to_owned())),
        node: 3,
        host: "host".to_owned(),
        user: "user".to_owned(),
    };
    let id = put(&*catalog, &scope, &new);

    let found = hit(&*catalog, &scope, "a");
    let after = catalog.now().expect(WORKS);
    assert!((before..=after).contains(&found.created_at));
    assert_eq!(found.entry, id);
    assert_eq!(found.output, new.output);
    assert_eq!(found.output_digest, new.output_digest);
    assert_eq!(found.cost, new.cost);
    assert_eq!(found.expires_at, Some(found.created_at + 3_600_000));
    assert_eq!(found.run, new.origin.run);

    let whole = only(&*catalog, &by_id(id));
    let mut blobs = new.blobs.clone();
    blobs.sort_unstable();
    assert_eq!((whole.id, &whole.scope), (id, &scope));
    assert_eq!((whole.key, whole.ingredients), (new.key, new.ingredients));
    assert_eq!((whole.operation, whole.output), (new.operation, new.output));
    assert_eq!((whole.blobs, whole.size), (blobs, 9 + 3));
    assert_eq!((whole.origin, whole.cost), (new.origin, new.cost));
    assert_eq!(whole.created_at, found.created_at);
    assert_eq!(whole.expires_at, found.expires_at);
    assert_eq!((whole.used_at, whole.hits), (found.created_at, 0));
    assert!(!whole.nondeterministic);

    let requests = ["b", "a", "c", "a"].map(|name| Request {
        key: key(name),
        max_age: None,
    });
    let found = catalog.lookup(&scope, &requests).expect(WORKS);
    let hits: Vec<_> = found.iter().map(|f| matches!(f, Found::Hit(_))).collect();
    assert_eq!(hits, [false, true, false, true], "answers keep the order");
}

/// What one project or domain knows, no other sees, holds up, or removes.
pub fn keeps_scopes_apart(make: Make<'_>) {
    let catalog = make();
    let (lab, shop) = (scope("lab"), scope("shop"));
    let production = Scope {
        domain: "production".to_owned(),
        ..lab.clone()
    };
    put(&*catalog, &lab, &entry("a", "lab"));
    for other in [&shop, &production] {
        assert_eq!(miss(&*catalog, other, "a").1, Why::Absent);
    }
    put(&*catalog, &shop, &entry("a", "shop"));
    take(&*catalog, &lab, "b", 1, HOUR);
    take(&*catalog, &shop, "b", 2, HOUR);

    let all = Selector::default();
    let removed = catalog.invalidate(Some(&lab), &all).expect(WORKS);
    assert_eq!((removed.entries, removed.bytes), (1, 3));
    assert_eq!(hit(&*catalog, &shop, "a").output, b"shop");
    assert_eq!(catalog.entries(Some(&lab), &all, 10).expect(WORKS), []);
    assert_eq!(
        catalog.invalidate(None, &all).expect(WORKS).entries,
        1,
        "no scope means every scope"
    );
}

/// Expiry is the writer's, age the reader's, and the clock the catalog's.
pub fn judges_age_by_its_clock(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let mut short = entry("short", "x");
    short.expires_in = Some(Duration::ZERO);
    put(&*catalog, &scope, &short);
    let (claim, why) = miss(&*catalog, &scope, "short");
    assert_eq!(why, Why::Expired);
    short.expires_in = Some(HOUR);
    let again = catalog.commit(&scope, &short, &claim).expect(WORKS);
    assert!(
        matches!(again, Committed::Stored(_)),
        "an expired entry gives way: {again:?}"
    );
    hit(&*catalog, &scope, "short");

    put(&*catalog, &scope, &entry("old", "x"));
    let_time_pass(&*catalog);
    let found = find(&*catalog, &scope, "old", Some(Duration::from_millis(1)));
    assert!(
        matches!(found, Found::Miss(_, Why::TooOld)),
        "older than the reader accepts: {found:?}"
    );
    let found = find(&*catalog, &scope, "old", Some(HOUR));
    assert!(matches!(found, Found::Hit(_)), "young enough: {found:?}");
}

/// Two results of one key: the first stays, and the difference is noted.
pub fn keeps_the_first_of_two_results(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let (late, _) = miss(&*catalog, &scope, "a");
    let id = put(&*catalog, &scope, &entry("a", "one"));
    let commit = |output| {
        let entry = entry("a", output);
        catalog.commit(&scope, &entry, &late).expect(WORKS)
    };
    assert_eq!(commit("one"), Committed::Same(id));
    assert!(!only(&*catalog, &by_id(id)).nondeterministic);
    assert_eq!(commit("two"), Committed::Different(id));
    assert!(only(&*catalog, &by_id(id)).nondeterministic);
    assert_eq!(hit(&*catalog, &scope, "a").output, b"one");
}

/// A commit that replaces is a new entry, and refuses what was begun before it.
pub fn replaces_when_told_to(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let (before, _) = miss(&*catalog, &scope, "a");
    let first = put(&*catalog, &scope, &entry("a", "one"));
    let replacing = Claim {
        replace: true,
        ..before
    };
    let committed = catalog
        .commit(&scope, &entry("a", "two"), &replacing)
        .expect(WORKS);
    let Committed::Stored(second) = committed else {
        panic!("not replaced: {committed:?}");
    };
    assert_ne!(first, second, "a number is never used twice");
    assert_eq!(hit(&*catalog, &scope, "a").output, b"two");
    for stale in [before, replacing] {
        let late = catalog.commit(&scope, &entry("a", "one"), &stale);
        assert_eq!(late.expect(WORKS), Committed::Fenced);
    }
    assert_eq!(hit(&*catalog, &scope, "a").entry, second);
}

/// After an invalidation, nothing begun before it is stored: neither under keys that had an
/// entry, nor under keys that were only being computed.
pub fn brings_nothing_invalidated_back(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let mut other = entry("other", "x");
    other.operation = "lab.clean".to_owned();
    let (old, _) = miss(&*catalog, &scope, "a");
    put(&*catalog, &scope, &entry("a", "one"));
    let reserved = take(&*catalog, &scope, "a", 1, HOUR);

    let removed = catalog.invalidate(Some(&scope), &by_operation("train"));
    assert_eq!(removed.expect(WORKS).entries, 1);
    let (fresh, why) = miss(&*catalog, &scope, "a");
    assert_eq!(why, Why::Absent);
    assert!(fresh.epoch > old.epoch, "the epoch is raised");
    let commit = |entry: &NewEntry, claim| catalog.commit(&scope, entry, claim).expect(WORKS);
    assert_eq!(commit(&entry("a", "one"), &old), Committed::Fenced);
    assert_eq!(commit(&entry("a", "one"), &reserved), Committed::Fenced);
    let beat = catalog.heartbeat(&scope, &key("a"), &reserved, HOUR);
    assert!(!beat.expect(WORKS), "the reservation is lost");
    assert_eq!(
        commit(&entry("first", "x"), &old),
        Committed::Fenced,
        "it was computed for the first time while its operation was invalidated"
    );
    assert!(matches!(commit(&other, &old), Committed::Stored(_)));
    assert!(matches!(
        commit(&entry("a", "one"), &fresh),
        Committed::Stored(_)
    ));

    let prefix = Selector {
        key_prefix: Some(key("p").to_string()[..9].to_uppercase()),
        ..Selector::default()
    };
    let (begun, _) = miss(&*catalog, &scope, "p");
    catalog.invalidate(None, &prefix).expect(WORKS);
    assert_eq!(commit(&entry("p", "x"), &begun), Committed::Fenced);
    assert!(matches!(
        commit(&entry("q", "x"), &begun),
        Committed::Stored(_)
    ));
    let from_elsewhere = claim(i64::MAX);
    assert_eq!(commit(&entry("r", "x"), &from_elsewhere), Committed::Fenced);
}

/// A slot has one holder until it is released or its lease passes.
pub fn gives_a_slot_to_one_at_a_time(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let first = take(&*catalog, &scope, "a", 1, HOUR);
    let (fence, nonce) = first.reservation.expect("a taken slot has a fence");
    assert_eq!(nonce, 1);
    match catalog.reserve(&scope, &key("a"), 2, HOUR).expect(WORKS) {
        Reserved::Held(wait) => assert!(wait > Duration::ZERO && wait <= HOUR),
        taken => panic!("taken twice: {taken:?}"),
    }
    let again = take(&*catalog, &scope, "a", 1, HOUR);
    assert_eq!(again, first, "asking again changes nothing");

    let imposter = Claim {
        reservation: Some((fence, 2)),
        ..first
    };
    let beat = |claim: &Claim| {
        catalog
            .heartbeat(&scope, &key("a"), claim, HOUR)
            .expect(WORKS)
    };
    assert!(beat(&first));
    assert!(!beat(&imposter) && !beat(&claim(0)));
    catalog.release(&scope, &key("a"), &imposter).expect(WORKS);
    assert!(beat(&first), "only its holder releases a slot");

    catalog.release(&scope, &key("a"), &first).expect(WORKS);
    assert!(!beat(&first));
    let second = take(&*catalog, &scope, "a", 2, HOUR);
    assert!(second.reservation > first.reservation, "fences only grow");
    let committed = catalog.commit(&scope, &entry("a", "x"), &second);
    assert!(matches!(committed.expect(WORKS), Committed::Stored(_)));
    let third = take(&*catalog, &scope, "a", 3, HOUR);
    assert!(
        third.reservation > second.reservation,
        "a commit frees the slot"
    );
}

/// A lease that passed is still good for a commit, unless somebody took the slot over.
pub fn refuses_who_was_taken_over(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let commit = |name, claim| {
        catalog
            .commit(&scope, &entry(name, "x"), claim)
            .expect(WORKS)
    };
    let lapsed = take(&*catalog, &scope, "a", 1, Duration::ZERO);
    assert!(matches!(commit("a", &lapsed), Committed::Stored(_)));

    let zombie = take(&*catalog, &scope, "b", 1, Duration::ZERO);
    let heir = take(&*catalog, &scope, "b", 2, HOUR);
    assert!(heir.reservation > zombie.reservation);
    let beat = catalog.heartbeat(&scope, &key("b"), &zombie, HOUR);
    assert!(!beat.expect(WORKS));
    assert_eq!(commit("b", &zombie), Committed::Fenced);
    assert_eq!(miss(&*catalog, &scope, "b").1, Why::Absent);
    assert!(matches!(commit("b", &heir), Committed::Stored(_)));
    assert_eq!(commit("b", &zombie), Committed::Fenced);
}

/// Every field of a selector narrows the selection.
pub fn selects_entries(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let mut ids = Vec::new();
    for (name, operation) in [("a", "lab.train"), ("b", "m:train_all"), ("c", "train")] {
        let mut new = entry(name, name);
        new.operation = operation.to_owned();
        new.origin.run = Some(RunId(format!("run-{name}")));
        ids.push(put(&*catalog, &scope, &new));
    }
    let (a, b, c) = (ids[0], ids[1], ids[2]);
    let select = |selector: Selector| -> Vec<EntryId> {
        let found = catalog.entries(None, &selector, 10).expect(WORKS);
        found.iter().map(|entry| entry.id).collect()
    };
    let all = Selector::default;
    assert_eq!(select(all()), [c, b, a], "most recent first");
    let two = catalog.entries(None, &all(), 2).expect(WORKS);
    assert_eq!(two.len(), 2);

    for (pattern, expected) in [
        ("train", vec![c, a]),
        ("lab.train", vec![a]),
        ("train*", vec![c, b, a]),
        ("lab.*", vec![a]),
        ("*train_al?", vec![b]),
        ("[lm]*", vec![b, a]),
        ("tra", vec![]),
        ("", vec![]),
        ("TRAIN", vec![]),
    ] {
        assert_eq!(select(by_operation(pattern)), expected, "{pattern:?}");
    }
    let prefixed = |digits: &str| {
        select(Selector {
            key_prefix: Some(digits.to_owned()),
            ..all()
        })
    };
    let digits = key("b").to_string();
    assert_eq!(prefixed(&digits), [b]);
    assert_eq!(prefixed(&digits[..7]), [b]);
    assert_eq!(prefixed(""), [c, b, a]);
    assert_eq!(prefixed("no digits"), []);
    assert_eq!(prefixed(&(digits + "0")), []);

    assert_eq!(select(by_id(a)), [a]);
    let none = Selector {
        ids: Some(Vec::new()),
        ..all()
    };
    assert_eq!(select(none), []);
    let run = Some(RunId("run-b".to_owned()));
    assert_eq!(select(Selector { run, ..all() }), [b]);
    let before = Some(c);
    assert_eq!(select(Selector { before, ..all() }), [b, a]);
    for age in [
        Selector {
            older_than: Some(HOUR),
            ..all()
        },
        Selector {
            unused_for: Some(HOUR),
            ..all()
        },
    ] {
        assert_eq!(select(age), []);
    }
    let_time_pass(&*catalog);
    catalog.touch(&[(b, Usage { hits: 1 })]).expect(WORKS);
    let moment = Some(Duration::from_millis(1));
    let rested = Selector {
        unused_for: moment,
        ..all()
    };
    assert_eq!(select(rested), [c, a]);
    let older_than = moment;
    assert_eq!(
        select(Selector {
            older_than,
            ..all()
        }),
        [c, b, a]
    );
}

/// Hits are counted, for entries that are there.
pub fn counts_uses(make: Make<'_>) {
    let catalog = make();
    let id = put(&*catalog, &scope("lab"), &entry("a", "x"));
    let created = only(&*catalog, &by_id(id)).used_at;
    let_time_pass(&*catalog);
    let unknown = EntryId(id.0 + 1000);
    let uses = [(id, Usage { hits: 2 }), (unknown, Usage { hits: 9 })];
    catalog.touch(&uses).expect(WORKS);
    catalog.touch(&uses[..1]).expect(WORKS);
    catalog.touch(&[]).expect(WORKS);
    let entry = only(&*catalog, &by_id(id));
    assert_eq!(entry.hits, 4);
    assert!(entry.used_at > created);
}

/// Neither a referenced nor a pinned nor a recently used blob is condemned.
pub fn protects_blobs(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let shared = blob("shared", 1);
    let condemn = |grace| catalog.condemn(grace, false).expect(WORKS);
    let missing = catalog.find_blob(&shared.digest, HOUR).expect(WORKS);
    assert_eq!(missing, None);

    let ids = ["a", "b"].map(|name| {
        let mut new = entry(name, name);
        new.blobs = vec![shared];
        put(&*catalog, &scope, &new)
    });
    assert_eq!(catalog.blobs().expect(WORKS), [shared]);
    assert_eq!(condemn(Duration::ZERO), []);
    catalog.invalidate(None, &by_id(ids[0])).expect(WORKS);
    assert_eq!(condemn(Duration::ZERO), [], "the other entry needs it");
    catalog.invalidate(None, &by_id(ids[1])).expect(WORKS);
    assert_eq!(condemn(HOUR), [], "it was used less than an hour ago");

    let found = catalog.find_blob(&shared.digest, HOUR).expect(WORKS);
    assert_eq!(found, Some(shared));
    let found = catalog.find_blob(&shared.digest, Duration::ZERO);
    assert_eq!(found.expect(WORKS), Some(shared));
    assert_eq!(condemn(Duration::ZERO), [], "the longest pin counts");
}

/// What is condemned stays so, and what was deleted cannot be named again.
pub fn buries_collected_blobs(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let (old, new) = (blob("x", u64::MAX), blob("x", 2));
    let mut first = entry("a", "x");
    first.blobs = vec![old];
    let id = put(&*catalog, &scope, &first);
    catalog.invalidate(None, &by_id(id)).expect(WORKS);
    let dry = catalog.condemn(Duration::ZERO, true).expect(WORKS);
    assert_eq!(dry, [old]);
    let found = catalog.find_blob(&old.digest, Duration::ZERO);
    assert_eq!(found.expect(WORKS), Some(old), "a dry run marks nothing");

    let condemn = |grace| catalog.condemn(grace, false).expect(WORKS);
    assert_eq!(condemn(Duration::ZERO), [old]);
    assert_eq!(condemn(HOUR), [old], "until it is forgotten");
    let found = catalog.find_blob(&old.digest, HOUR).expect(WORKS);
    assert_eq!(found, None, "a condemned blob is not offered");
    let (claim, _) = miss(&*catalog, &scope, "a");
    let commit = |entry: &NewEntry| catalog.commit(&scope, entry, &claim).expect(WORKS);
    assert_eq!(commit(&first), Committed::BlobGone(old));
    assert_eq!(catalog.blobs().expect(WORKS), [old]);
    catalog.forget(&[old]).expect(WORKS);
    assert_eq!(catalog.blobs().expect(WORKS), []);
    assert_eq!(commit(&first), Committed::BlobGone(old));
    assert_eq!(miss(&*catalog, &scope, "a").1, Why::Absent);

    first.blobs = vec![new];
    assert!(matches!(commit(&first), Committed::Stored(_)));
    catalog.forget(&[new]).expect(WORKS);
    assert_eq!(
        catalog.blobs().expect(WORKS),
        [new],
        "only what is condemned is forgotten"
    );
}

/// The number of changes moves with every removal, and not with lookups.
pub fn tells_of_changes(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let id = put(&*catalog, &scope, &entry("a", "one"));
    let mut last = catalog.changes();
    hit(&*catalog, &scope, "a");
    assert_eq!(catalog.changes(), last, "nothing was removed");
    let mut moved = |what: &str| {
        let now = catalog.changes();
        assert_ne!(now, last, "{what}");
        last = now;
    };
    let replacing = Claim {
        replace: true,
        ..claim(0)
    };
    catalog
        .commit(&scope, &entry("a", "two"), &replacing)
        .expect(WORKS);
    moved("replaced");
    let now = catalog.changes();
    catalog.invalidate(None, &by_id(id)).expect(WORKS);
    assert_eq!(catalog.changes(), now, "there was no such entry any more");
    catalog.invalidate(None, &Selector::default()).expect(WORKS);
    moved("invalidated");
}

/// Runs are listed with what became of their nodes.
pub fn keeps_runs(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let new = NewRun {
        name: "nightly".to_owned(),
        arguments: "lr=0.1".to_owned(),
        host: "host".to_owned(),
        user: "user".to_owned(),
    };
    let older = catalog.begin_run(&scope, &NewRun::default()).expect(WORKS);
    let run = catalog.begin_run(&scope, &new).expect(WORKS);
    assert_ne!(older, run);
    assert_eq!(run.0.len(), 8, "{run}");

    let nodes = [node(0, "hit", 1), node(1, "computed", 1), node(2, "hit", 5)];
    catalog.record(&run, &nodes[1..]).expect(WORKS);
    let first = Node {
        outcome: "computed".to_owned(),
        ..nodes[0].clone()
    };
    catalog.record(&run, &[first]).expect(WORKS);
    catalog.record(&run, &nodes[..1]).expect(WORKS);
    assert_eq!(catalog.nodes(&run).expect(WORKS), nodes);
    catalog.finish_run(&run, RunStatus::Failed).expect(WORKS);

    let unknown = RunId("nobody".to_owned());
    assert!(catalog.record(&unknown, &nodes).is_err());
    assert!(catalog.finish_run(&unknown, RunStatus::Failed).is_err());
    assert_eq!(catalog.nodes(&unknown).expect(WORKS), []);

    let list = |filter: RunFilter| catalog.runs(Some(&scope), &filter).expect(WORKS);
    let all = list(RunFilter::default());
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0].id, &all[1].id), (&run, &older));
    assert_eq!(all[0].name, new.name);
    assert_eq!(all[0].status, RunStatus::Failed);
    assert!(all[0].finished_at >= Some(all[0].started_at));
    let outcomes = [("computed".to_owned(), 1), ("hit".to_owned(), 6)];
    assert_eq!(all[0].outcomes, outcomes);
    assert_eq!(all[0].saved, Duration::from_secs(3));
    assert_eq!(all[1].status, RunStatus::Running);
    assert_eq!((all[1].finished_at, all[1].outcomes.len()), (None, 0));
    let named = RunFilter {
        name: Some(new.name),
        ..RunFilter::default()
    };
    assert_eq!(list(named), all[..1]);
    let prefixed = RunFilter {
        id_prefix: Some(older.0[..7].to_owned()),
        ..RunFilter::default()
    };
    assert_eq!(list(prefixed), all[1..]);
    let limited = RunFilter {
        limit: Some(1),
        ..RunFilter::default()
    };
    assert_eq!(list(limited), all[..1]);

    let totals = catalog.totals(Some(&scope)).expect(WORKS);
    let counts: Vec<_> = totals
        .iter()
        .map(|t| (t.outcome.as_str(), t.count))
        .collect();
    assert_eq!(counts, [("computed", 1), ("hit", 6)]);
    assert_eq!(totals[1].saved, Duration::from_secs(2));
    assert_eq!(totals[1].spent, Duration::from_millis(4));
    let elsewhere = self::scope("shop");
    assert_eq!(catalog.totals(Some(&elsewhere)).expect(WORKS), []);
    let runs = catalog.runs(Some(&elsewhere), &RunFilter::default());
    assert_eq!(runs.expect(WORKS), []);
}

fn node(number: u32, outcome: &str, count: u64) -> Node {
    Node {
        number,
        operation: "lab.train".to_owned(),
        key: Some(key("a")),
        ingredients: (number == 1).then(|| entry("a", "x").ingredients),
        outcome: outcome.to_owned(),
        detail: "because".to_owned(),
        rule: "default".to_owned(),
        entry: Some(EntryId(5)),
        source: Some(RunId("source".to_owned())),
        output_digest: Some(key("x")),
        count,
        at: 17,
        spent: Duration::from_millis(2),
        saved: Duration::from_secs(1),
        upstream: (0..number).collect(),
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
        catalog
            .remember("t", &[(b"\0n", body), (b"m", b"")])
            .expect(WORKS);
        assert_eq!(recall("t").as_deref(), Some(body));
    }
    assert_eq!(recall("other"), None);
}

/// Names and outputs of any content come back as they were, and harm nothing.
pub fn takes_any_text_and_size(make: Make<'_>) {
    let catalog = make();
    for (n, name) in ["", "'; DROP TABLE entry; --", "π\u{0}\n\"%_*[", "x/y\\z"]
        .iter()
        .enumerate()
    {
        let odd = Scope {
            project: (*name).to_owned(),
            domain: format!("{name}{name}"),
        };
        let mut new = entry(name, "");
        new.operation = (*name).to_owned();
        new.output = vec![7; n * 700_000];
        new.origin.host = (*name).to_owned();
        put(&*catalog, &odd, &new);
        let request = Request {
            key: new.key,
            max_age: None,
        };
        let found = catalog.lookup(&odd, &[request]).expect(WORKS);
        assert!(matches!(&found[0], Found::Hit(hit) if hit.output == new.output));
        let selected = catalog.entries(Some(&odd), &by_operation("no such*'"), 9);
        assert_eq!(selected.expect(WORKS), []);
        let selected = catalog.entries(Some(&odd), &Selector::default(), 9);
        assert_eq!(selected.expect(WORKS)[0].operation, *name);
    }
    assert_eq!(catalog.check().expect(WORKS), Vec::<String>::new());
    catalog.invalidate(None, &Selector::default()).expect(WORKS);
    catalog.compact().expect(WORKS);
    assert_eq!(catalog.check().expect(WORKS), Vec::<String>::new());
}

/// Sixteen threads contend for one slot: no fence is given twice, none is skipped.
pub fn gives_each_fence_once(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let fences: Vec<i64> = thread::scope(|threads| {
        let contend = |thread: u128| {
            let (catalog, scope) = (&catalog, &scope);
            move || {
                (0..20_u128)
                    .filter_map(|round| {
                        let nonce = thread * 1000 + round;
                        match catalog.reserve(scope, &key("a"), nonce, HOUR).expect(WORKS) {
                            Reserved::Taken(claim) => {
                                catalog.release(scope, &key("a"), &claim).expect(WORKS);
                                claim.reservation.map(|(fence, _)| fence)
                            }
                            Reserved::Held(_) => None,
                        }
                    })
                    .collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..16).map(|n| threads.spawn(contend(n))).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("no thread panics"))
            .collect()
    });
    let distinct: BTreeSet<_> = fences.iter().copied().collect();
    assert_eq!(distinct.len(), fences.len(), "a fence was given twice");
    assert!(!fences.is_empty());
    let last = i64::try_from(fences.len()).expect("a small number");
    assert_eq!(distinct.last(), Some(&last), "a fence was skipped");
}
