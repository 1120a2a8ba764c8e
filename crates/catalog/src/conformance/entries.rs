//! Entries: found as committed, for those and as long as they should be.

use std::time::Duration;

use super::{
    HOUR, Make, WORKS, blob, by_id, by_operation, claim, entry, find, hit, key, let_time_pass,
    miss, only, put, scope, take, ticket,
};
use crate::entry::{
    Claim, Committed, EntryId, Found, Holder, Invalidated, Origin, Request, Reserved, RunId, Scope,
    Selector, Why,
};

/// A committed entry is found, alone and among others, with all that was given.
pub fn finds_what_was_committed(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    assert_eq!(catalog.lookup(&scope, &[]).expect(WORKS), []);
    assert_eq!(miss(&*catalog, &scope, "a").1, Why::Absent);

    let before = catalog.now().expect(WORKS);
    let mut new = entry("a", "forty-two");
    new.blobs = vec![blob("x", 2), blob("x", 1), blob("w", 9)];
    new.expires_at = Some(before + 3_600_000);
    new.origin = Origin {
        run: Some(RunId("run".to_owned())),
        node: 3,
        host: "host".to_owned(),
        user: "user".to_owned(),
    };
    new.observed = b"what was seen".to_vec();
    let id = put(&*catalog, &scope, &new);

    let found = hit(&*catalog, &scope, "a");
    let after = catalog.now().expect(WORKS);
    assert!((before..=after).contains(&found.created_at));
    assert_eq!(found.entry, id);
    assert_eq!(found.output, new.output);
    assert_eq!(found.output_digest, new.output_digest);
    assert_eq!(found.cost, new.cost);
    assert_eq!(found.expires_at, new.expires_at);
    assert_eq!(found.run, new.origin.run);
    assert_eq!(found.observed, new.observed);

    let whole = only(&*catalog, &by_id(id));
    let mut blobs = new.blobs.clone();
    blobs.sort_unstable();
    assert_eq!((whole.id, &whole.scope), (id, &scope));
    assert_eq!((whole.key, whole.ingredients), (new.key, new.ingredients));
    assert_eq!((whole.operation, whole.output), (new.operation, new.output));
    assert_eq!((whole.blobs, whole.size), (blobs, 9 + 3));
    assert_eq!((whole.origin, whole.cost), (new.origin, new.cost));
    assert_eq!(whole.observed, new.observed);
    assert_eq!(whole.created_at, found.created_at);
    assert_eq!(whole.expires_at, found.expires_at);
    assert_eq!((whole.used_at, whole.hits), (found.created_at, 0));
    assert!(!whole.nondeterministic);

    let requests = ["b", "a", "c", "a"].map(|name| Request { key: key(name), max_age: None });
    let found = catalog.lookup(&scope, &requests).expect(WORKS);
    let hits: Vec<_> = found.iter().map(|f| matches!(f, Found::Hit(_))).collect();
    assert_eq!(hits, [false, true, false, true], "answers keep the order");
}

/// What one project or domain knows, no other sees, holds up, or removes.
pub fn keeps_scopes_apart(make: Make<'_>) {
    let catalog = make();
    let (lab, shop) = (scope("lab"), scope("shop"));
    let production = Scope { domain: "production".to_owned(), ..lab.clone() };
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
    short.expires_at = Some(catalog.now().expect(WORKS));
    put(&*catalog, &scope, &short);
    let (claim, why) = miss(&*catalog, &scope, "short");
    assert_eq!(why, Why::Expired);
    let mut short = entry("short", "x");
    short.expires_at = Some(catalog.now().expect(WORKS) + 3_600_000);
    let again = catalog.commit(&scope, &short, &claim).expect(WORKS);
    assert!(matches!(again, Committed::Stored(_)), "an expired entry gives way: {again:?}");
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

/// A commit that replaces is a new entry, and refuses what was begun before its ticket was drawn.
pub fn replaces_when_told_to(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let (before, _) = miss(&*catalog, &scope, "a");
    let first = put(&*catalog, &scope, &entry("a", "one"));
    let without_ticket = Claim { replace: true, ..before };
    let refused = catalog.commit(&scope, &entry("a", "two"), &without_ticket);
    assert_eq!(refused.expect(WORKS), Committed::Fenced);
    let replacing = ticket(&*catalog, &scope, "a");
    let committed = catalog.commit(&scope, &entry("a", "two"), &replacing).expect(WORKS);
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

/// Of several that replace one entry the last to begin wins, in whatever order they commit, with
/// a reservation or without; who never commits stands in nobody's way.
pub fn has_the_last_replacement_win(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    put(&*catalog, &scope, &entry("a", "zero"));
    let commit =
        |output, claim: Claim| catalog.commit(&scope, &entry("a", output), &claim).expect(WORKS);
    let stored = |committed| matches!(committed, Committed::Stored(_));
    let draw = || ticket(&*catalog, &scope, "a");
    let (first, second, third) = (draw(), draw(), draw());
    assert!(first.epoch < second.epoch && second.epoch < third.epoch, "tickets only grow");
    assert!(stored(commit("one", first)) && stored(commit("two", second)));
    let fourth = draw();
    assert!(stored(commit("four", fourth)));
    assert_eq!(commit("three", third), Committed::Fenced, "it began before");
    assert_eq!(hit(&*catalog, &scope, "a").output, b"four");

    // Who has the slot keeps it when somebody else replaces, and wins if he began later.
    let (early, held) = (draw(), take(&*catalog, &scope, "a", 1, HOUR));
    let late = Claim { reservation: held.reservation, ..draw() };
    assert!(stored(commit("early", early)));
    let beat = catalog.heartbeat(&scope, &[(key("a"), late)], HOUR);
    assert_eq!(beat.expect(WORKS), [true]);
    assert!(stored(commit("late", late)));
    let held = take(&*catalog, &scope, "a", 2, HOUR);
    let early = Claim { reservation: held.reservation, ..draw() };
    assert!(stored(commit("later", draw())));
    assert_eq!(commit("early", early), Committed::Fenced);
    assert_eq!(hit(&*catalog, &scope, "a").output, b"later");

    // What began after the ticket was drawn is refused no more than after any other commit.
    let replacing = draw();
    let absent = Request { key: key("a"), max_age: None };
    catalog.invalidate(Some(&scope), &by_operation("train")).expect(WORKS);
    assert_eq!(commit("old", replacing), Committed::Fenced, "invalidated since");
    let replacing = draw();
    let Found::Miss(slot, _) = catalog.lookup(&scope, &[absent]).expect(WORKS).remove(0) else {
        panic!("it was invalidated");
    };
    let Committed::Stored(id) = commit("new", replacing) else { panic!("nothing refuses it") };
    assert_eq!(commit("new", claim(slot.epoch)), Committed::Same(id));
    assert!(stored(catalog.commit(&scope, &entry("b", "other"), &claim(slot.epoch)).expect(WORKS)));
}

/// Names and outputs of any content come back as they were, and harm nothing.
pub fn takes_any_text_and_size(make: Make<'_>) {
    let catalog = make();
    for (n, name) in ["", "'; DROP TABLE entry; --", "π\u{0}\n\"%_*[", "x/y\\z"].iter().enumerate()
    {
        let odd = Scope { project: (*name).to_owned(), domain: format!("{name}{name}") };
        let mut new = entry(name, "");
        new.operation = (*name).to_owned();
        new.output = vec![7; n * 700_000];
        new.observed = vec![9; n * 300_000];
        new.origin.host = (*name).to_owned();
        put(&*catalog, &odd, &new);
        let request = Request { key: new.key, max_age: None };
        let found = catalog.lookup(&odd, &[request]).expect(WORKS);
        assert!(matches!(&found[0], Found::Hit(hit) if hit.output == new.output
            && hit.observed == new.observed));
        let selected = catalog.entries(Some(&odd), &by_operation("no such*'"), 9);
        assert_eq!(selected.expect(WORKS), []);
        let selected = catalog.entries(Some(&odd), &Selector::default(), 9);
        assert_eq!(selected.expect(WORKS)[0].operation, *name);
    }
    assert_eq!(catalog.check().expect(WORKS), []);
    assert_eq!(catalog.mend(&[]).expect(WORKS), 0);
    catalog.invalidate(None, &Selector::default()).expect(WORKS);
    catalog.compact().expect(WORKS);
    assert_eq!(catalog.check().expect(WORKS), []);
}

/// What is of no use goes, pinned or not, with what is being made in its place; nothing else does.
pub fn discards_what_is_of_no_use(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let [first, second, _] = ["a", "b", "c"].map(|name| put(&*catalog, &scope, &entry(name, name)));
    let pinned = Selector { ids: Some(vec![first]), ..Selector::default() };
    assert_eq!(catalog.pin(Some(&scope), &pinned, true).expect(WORKS), 1);
    let (begun, _) = miss(&*catalog, &scope, "d");
    let changes = catalog.changes();
    let discarded = [first, second, second, EntryId(i64::MAX)];
    catalog.discard(&discarded).expect(WORKS);
    assert_ne!(catalog.changes(), changes, "memories are told");
    let left = catalog.entries(None, &Selector::default(), 9).expect(WORKS);
    assert_eq!(left.iter().map(|entry| entry.key).collect::<Vec<_>>(), [key("c")]);
    let commit = |name, claim| catalog.commit(&scope, &entry(name, "new"), claim).expect(WORKS);
    assert_eq!(commit("a", &begun), Committed::Fenced);
    assert!(matches!(commit("d", &begun), Committed::Stored(_)));
    let (fresh, _) = miss(&*catalog, &scope, "a");
    assert!(matches!(commit("a", &fresh), Committed::Stored(_)));
}

/// An eviction removes entries that are not pinned or used since, and refuses nobody.
pub fn evicts_without_refusing(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let ids: Vec<_> =
        ["a", "b"].map(|name| put(&*catalog, &scope, &entry(name, name))).into_iter().collect();
    let by_id = |id| Selector { ids: Some(vec![id]), ..Selector::default() };
    let pin = |id, pinned| catalog.pin(Some(&scope), &by_id(id), pinned).expect(WORKS);
    assert_eq!(pin(ids[0], true), 1);
    assert_eq!(pin(EntryId(i64::MAX), true), 0);
    let elsewhere = catalog.pin(Some(&self::scope("elsewhere")), &by_id(ids[1]), true);
    assert_eq!(elsewhere.expect(WORKS), 0);
    let pinned = |name: &str| {
        let selector = Selector { key_prefix: Some(key(name).to_string()), ..Selector::default() };
        let found = catalog.entries(None, &selector, 9).expect(WORKS);
        found.first().map(|entry| entry.pinned)
    };
    assert_eq!((pinned("a"), pinned("b")), (Some(true), Some(false)));
    let taken = Holder { nonce: 5, ..Holder::default() };
    let held = catalog.reserve(&scope, &key("b"), &taken, HOUR).expect(WORKS);
    let Reserved::Taken(claim) = held else { panic!("{held:?}") };
    let (changes, commits) = (catalog.changes(), catalog.commits());
    let used = catalog.entries(None, &by_id(ids[1]), 1).expect(WORKS)[0].used_at;
    let removed = catalog.evict(&ids, used - 1).expect(WORKS);
    assert_eq!(removed, Invalidated::default(), "one is pinned, and one was used since");
    assert_eq!(catalog.changes(), changes);
    let removed = catalog.evict(&ids, used).expect(WORKS);
    assert_eq!(removed, Invalidated { entries: 1, bytes: 1 });
    assert_ne!(catalog.changes(), changes, "memories are told");
    assert_eq!(catalog.commits(), commits);
    assert_eq!((pinned("a"), pinned("b")), (Some(true), None));
    let committed = catalog.commit(&scope, &entry("b", "new"), &claim).expect(WORKS);
    assert!(matches!(committed, Committed::Stored(_)), "{committed:?}");

    // What replaces a pinned entry is pinned as well.
    let replacing = ticket(&*catalog, &scope, "a");
    let new = catalog.commit(&scope, &entry("a", "newer"), &replacing).expect(WORKS);
    assert!(matches!(new, Committed::Stored(_)), "{new:?}");
    assert_eq!(pinned("a"), Some(true));
    assert_eq!(catalog.pin(None, &Selector::default(), false).expect(WORKS), 2);
    assert_eq!(pinned("a"), Some(false));
}
