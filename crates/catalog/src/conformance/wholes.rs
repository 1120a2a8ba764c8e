//! Removing a result reaches what was made of it.

use std::collections::BTreeSet;

use thrifty_key::Digest;

use super::{
    HOUR, Make, WORKS, by_id, by_operation, entry, hit, key, miss, put, scope, take, ticket,
};
use crate::contract::Catalog;
use crate::entry::{Claim, Committed, EntryId, NewEntry, Part, Scope, Selector, Time};
use crate::made_of::MadeOf;

/// Selects an entry, whose number this is.
type Selecting = fn(EntryId) -> Selector;

/// An entry of the operation that was made of these: operations, and the names of their keys.
fn whole(name: &str, operation: &str, parts: &[(&str, Option<&str>)]) -> NewEntry {
    let mut made_of = MadeOf::default();
    for (operation, name) in parts {
        made_of.add(operation, name.map(key).as_ref());
    }
    NewEntry { operation: operation.to_owned(), made_of, ..entry(name, name) }
}

fn of(operation: &str, name: &str) -> NewEntry {
    whole(name, operation, &[])
}

/// Selects the calls that share the half of this key which all of one call have.
fn by_key(name: &str) -> Selector {
    let prefix = key(name).to_string()[..32].to_owned();
    Selector { key_prefix: Some(prefix), ..Selector::default() }
}

/// The names, of these, under which there is an entry.
fn left<'a>(catalog: &dyn Catalog, scope: &Scope, names: &[&'a str]) -> BTreeSet<&'a str> {
    let entries = catalog.entries(Some(scope), &Selector::default(), 99).expect(WORKS);
    let is_there = |name: &&str| entries.iter().any(|entry| entry.key == key(name));
    names.iter().copied().filter(is_there).collect()
}

/// What was made of a result goes with it, by whatever it is selected; in its scope alone.
pub fn removes_what_was_made_of_it(make: Make<'_>) {
    let selectors: [(&str, Selecting); 4] = [
        ("its number", by_id),
        ("its operation", |_| by_operation("clean")),
        ("a pattern", |_| by_operation("lab.cl*")),
        ("its key", |_| by_key("part")),
    ];
    for (what, selector) in selectors {
        let catalog = make();
        let (lab, other) = (scope("lab"), scope("other"));
        let names = ["part", "whole", "around", "beside", "apart"];
        let id = put(&*catalog, &lab, &of("lab.clean", "part"));
        let parts = [("lab.clean", Some("part")), ("lab.load", Some("apart"))];
        put(&*catalog, &lab, &whole("whole", "lab.flow", &parts));
        put(&*catalog, &lab, &whole("around", "lab.all", &parts));
        put(&*catalog, &lab, &whole("beside", "lab.flow", &parts[1..]));
        put(&*catalog, &lab, &of("lab.load", "apart"));
        put(&*catalog, &other, &whole("whole", "lab.flow", &parts));
        let selector = selector(id);

        let wholes = catalog.wholes(Some(&lab), &selector).expect(WORKS);
        assert_eq!(wholes.len(), 2, "{what}");
        assert_eq!(left(&*catalog, &lab, &names).len(), 5, "{what}: to ask removes nothing");
        let (before, _) = miss(&*catalog, &lab, "new");
        let changes = catalog.changes();
        let removed = catalog.invalidate(Some(&lab), &selector).expect(WORKS);
        assert_eq!(removed.entries, 3, "{what}");
        assert_ne!(catalog.changes(), changes, "{what}");
        let still = BTreeSet::from(["beside", "apart"]);
        assert_eq!(left(&*catalog, &lab, &names), still, "{what}");
        assert_eq!(left(&*catalog, &other, &["whole"]), BTreeSet::from(["whole"]), "{what}");
        let late = catalog.commit(&lab, &whole("whole", "lab.flow", &[]), &before).expect(WORKS);
        assert_eq!(late, Committed::Fenced, "{what}: what was begun before stays away");
    }
}

/// A result that is stored no longer, or never was, is meant by its operation all the same.
pub fn removes_what_was_made_of_what_is_gone(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let part = put(&*catalog, &scope, &of("lab.clean", "part"));
    put(&*catalog, &scope, &whole("a", "lab.flow", &[("lab.clean", Some("part"))]));
    put(&*catalog, &scope, &whole("b", "lab.flow", &[("lab.look", None)]));
    put(&*catalog, &scope, &whole("c", "lab.flow", &[("lab.clean_up", Some("d"))]));
    assert_eq!(catalog.evict(&[part], Time::MAX).expect(WORKS).entries, 1);
    for (operation, removed) in [("clean", 1), ("lab.look", 1), ("clean", 0)] {
        let selector = by_operation(operation);
        assert_eq!(catalog.wholes(Some(&scope), &selector).expect(WORKS).len(), removed);
        let done = catalog.invalidate(Some(&scope), &selector).expect(WORKS);
        assert_eq!(done.entries as usize, removed, "{operation}");
    }
    assert_eq!(left(&*catalog, &scope, &["a", "b", "c"]), BTreeSet::from(["c"]));
}

/// What cannot be read goes alone, and so does what is evicted.
pub fn keeps_what_was_made_of_what_cannot_be_read(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let removals: [fn(&dyn Catalog, EntryId); 3] = [
        |catalog, id| assert_eq!(catalog.remove(&[id]).expect(WORKS).entries, 1),
        |catalog, id| catalog.discard(&[id]).expect(WORKS),
        |catalog, id| assert_eq!(catalog.evict(&[id], Time::MAX).expect(WORKS).entries, 1),
    ];
    let made = whole("whole", "lab.flow", &[("lab.clean", Some("part"))]);
    put(&*catalog, &scope, &made);
    for remove in removals {
        let part = put(&*catalog, &scope, &of("lab.clean", "part"));
        remove(&*catalog, part);
        assert_eq!(left(&*catalog, &scope, &["part", "whole"]), BTreeSet::from(["whole"]));
    }
    assert_eq!(hit(&*catalog, &scope, "whole").made_of, made.made_of);
    let kept = catalog.entries(Some(&scope), &Selector::default(), 9).expect(WORKS);
    assert_eq!(kept[0].made_of, made.made_of);
}

/// A result is refused that was made of one which was invalidated or replaced meanwhile; of one that
/// was evicted, or made anew since, it is taken.
pub fn refuses_what_was_made_of_something_invalidated(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let part = |entry| {
        let (operation, key) = ("lab.clean".to_owned(), Some(key("part")));
        Part { operation, key, entry, since: None, own_ticket: None }
    };
    let keyless = Part {
        operation: "lab.look".to_owned(),
        key: None,
        entry: None,
        since: None,
        own_ticket: None,
    };
    let from = |name: &str, parts: &[Part]| {
        let parts = parts.to_vec();
        NewEntry { parts, ..whole(name, "lab.flow", &[("lab.clean", Some("part"))]) }
    };
    let commit =
        |entry: &NewEntry, claim: &Claim| catalog.commit(&scope, entry, claim).expect(WORKS);
    let old = put(&*catalog, &scope, &of("lab.clean", "part"));
    let (begun, _) = miss(&*catalog, &scope, "a");
    catalog.invalidate(Some(&scope), &by_operation("nothing")).expect(WORKS);
    let stored = commit(&from("a", &[part(Some(old)), part(None), keyless.clone()]), &begun);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: nothing of it was meant");

    let (begun, _) = miss(&*catalog, &scope, "b");
    catalog.evict(&[old], Time::MAX).expect(WORKS);
    let stored = commit(&from("b", &[part(Some(old))]), &begun);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: an eviction says nothing");

    let old = put(&*catalog, &scope, &of("lab.clean", "part"));
    let (begun, _) = miss(&*catalog, &scope, "c");
    catalog.invalidate(Some(&scope), &by_id(old)).expect(WORKS);
    assert_eq!(commit(&from("c", &[part(Some(old))]), &begun), Committed::Fenced);
    assert_eq!(commit(&from("c", &[part(None)]), &begun), Committed::Fenced);
    let new = put(&*catalog, &scope, &of("lab.clean", "part"));
    assert_eq!(commit(&from("c", &[part(Some(old))]), &begun), Committed::Fenced);
    let stored = commit(&from("c", &[part(Some(new))]), &begun);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: it was made anew since");

    let (begun, _) = miss(&*catalog, &scope, "d");
    let replacing = catalog.draw_ticket(&scope, &key("part")).expect(WORKS);
    commit(&NewEntry { output: vec![], ..of("lab.clean", "part") }, &replacing);
    assert_eq!(commit(&from("d", &[part(Some(new))]), &begun), Committed::Fenced);

    // It began after the removal, with what it had taken before.
    let old = Part { since: Some(0), ..part(Some(new)) };
    let (begun, _) = miss(&*catalog, &scope, "e");
    assert_eq!(commit(&from("e", &[old]), &begun), Committed::Fenced);
    let stored = commit(&from("e", &[part(Some(new))]), &begun);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}");
    let unstored = |since| Part { since: Some(since), ..part(None) };
    assert_eq!(commit(&from("g", &[unstored(begun.epoch - 1)]), &begun), Committed::Fenced);
    let stored = commit(&from("g", &[unstored(begun.epoch)]), &begun);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: it was taken since");

    let (begun, _) = miss(&*catalog, &scope, "f");
    catalog.invalidate(Some(&scope), &by_operation("l?ok")).expect(WORKS);
    assert_eq!(commit(&from("f", &[keyless]), &begun), Committed::Fenced);
}

/// A part that was evicted vouches no longer for what it was made of itself: who invalidates that
/// finds no entry to remove.
pub fn refuses_what_was_made_of_a_part_of_an_evicted_one(make: Make<'_>) {
    let scope = scope("lab");
    let inner = [("lab.load", Some("inner")), ("lab.look", None)];
    let all = [inner[0], inner[1], ("lab.clean", Some("part"))];
    let from = |part: EntryId, since: Option<i64>| {
        let (operation, key) = ("lab.clean".to_owned(), Some(key("part")));
        let parts = vec![Part { operation, key, entry: Some(part), since, own_ticket: None }];
        NewEntry { parts, ..whole("whole", "lab.flow", &all) }
    };
    let selectors: [(&str, Selecting, bool); 6] = [
        ("its key", |_| by_key("inner"), true),
        ("its operation", |_| by_operation("load"), true),
        ("the number of its entry", by_id, true),
        ("an operation without keys", |_| by_operation("lab.look"), true),
        ("another operation", |_| by_operation("other"), false),
        ("another call", |_| Selector { operation: Some("load".to_owned()), ..by_key("b") }, false),
    ];
    for (what, selector, is_meant) in selectors {
        for takes in [None, Some(false), Some(true)] {
            let catalog = make();
            let inside = put(&*catalog, &scope, &of("lab.load", "inner"));
            let part = put(&*catalog, &scope, &whole("part", "lab.clean", &inner));
            let (before, _) = miss(&*catalog, &scope, "whole");
            catalog.evict(&[part], Time::MAX).expect(WORKS);
            catalog.invalidate(Some(&scope), &selector(inside)).expect(WORKS);
            let (since, _) = miss(&*catalog, &scope, "whole");
            let begun = if takes.is_some() { since } else { before };
            let taken = takes.map(|knows| if knows { before.epoch } else { 0 });
            let done = catalog.commit(&scope, &from(part, taken), &begun).expect(WORKS);
            assert_eq!(done == Committed::Fenced, is_meant, "{what}, {taken:?}: {done:?}");
            let stored =
                catalog.commit(&scope, &from(part, Some(since.epoch)), &since).expect(WORKS);
            assert_ne!(stored, Committed::Fenced, "{what}: it was taken since");
        }
    }
}

/// The catalog remembers so many invalidations and no more. Whether one of those forgotten meant what
/// was taken long ago, and is gone since, nobody knows; what is there still is vouched for.
pub fn refuses_what_was_taken_before_all_that_is_remembered(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let from = |name: &str, part: EntryId, since: Option<i64>| {
        let (operation, key) = ("lab.clean".to_owned(), Some(key("part")));
        let parts = vec![Part { operation, key, entry: Some(part), since, own_ticket: None }];
        NewEntry { parts, ..whole(name, "lab.flow", &[("lab.clean", Some("part"))]) }
    };
    let part = put(&*catalog, &scope, &of("lab.clean", "part"));
    let commit = |name: &str, since: Option<i64>| {
        let (begun, _) = miss(&*catalog, &scope, name);
        catalog.commit(&scope, &from(name, part, since), &begun).expect(WORKS)
    };
    for _ in 0..1_000 {
        catalog.invalidate(Some(&scope), &by_operation("other")).expect(WORKS);
    }
    catalog.evict(&[part], Time::MAX).expect(WORKS);
    let stored = commit("a", Some(0));
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: none of them meant it");

    let part_again = put(&*catalog, &scope, &of("lab.clean", "part"));
    catalog.invalidate(Some(&scope), &by_operation("other")).expect(WORKS);
    assert_eq!(commit("b", Some(0)), Committed::Fenced);
    let stored = commit("b", None);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: it was taken since");
    let (begun, _) = miss(&*catalog, &scope, "c");
    let stored = catalog.commit(&scope, &from("c", part_again, Some(0)), &begun).expect(WORKS);
    assert!(matches!(stored, Committed::Stored(_)), "{stored:?}: it is there");
}

/// All that was taken of one call counts, whatever was taken of it last; and what the computation itself
/// replaced is as good as it was when it was taken, unless somebody else meant it.
pub fn refuses_what_was_made_of_any_that_is_gone(make: Make<'_>) {
    let scope = scope("lab");
    let begins = |catalog: &dyn Catalog| {
        put(catalog, &scope, &of("lab.load", "inner"));
        let first =
            put(catalog, &scope, &whole("part", "lab.clean", &[("lab.load", Some("inner"))]));
        (first, miss(catalog, &scope, "whole").0)
    };
    let replace = |catalog: &dyn Catalog, output: u8| {
        let claim = catalog.draw_ticket(&scope, &key("part")).expect(WORKS);
        let output_digest = Digest::of_blob(&[output]);
        let new = NewEntry { output_digest, ..of("lab.clean", "part") };
        let Committed::Stored(id) = catalog.commit(&scope, &new, &claim).expect(WORKS) else {
            panic!("a ticket replaces");
        };
        (id, claim.epoch)
    };
    let commit = |catalog: &dyn Catalog, begun: &Claim, taken: [Option<EntryId>; 2], own, since| {
        let part = |entry, since| {
            let (operation, key) = ("lab.clean".to_owned(), Some(key("part")));
            Part { operation, key, entry, since, own_ticket: own }
        };
        let parts = vec![part(taken[0], since), part(taken[1], None)];
        let all = [("lab.load", Some("inner")), ("lab.clean", Some("part"))];
        let entry = NewEntry { parts, ..whole("whole", "lab.flow", &all) };
        catalog.commit(&scope, &entry, begun).expect(WORKS) == Committed::Fenced
    };

    let catalog = make();
    let (first, begun) = begins(&*catalog);
    catalog.invalidate(Some(&scope), &by_id(first)).expect(WORKS);
    let again = put(&*catalog, &scope, &of("lab.clean", "part"));
    assert!(commit(&*catalog, &begun, [Some(first), Some(again)], None, None), "the first is gone");
    assert!(!commit(&*catalog, &begun, [Some(again); 2], None, None), "the last is there");

    let catalog = make();
    let (first, begun) = begins(&*catalog);
    let (second, own) = replace(&*catalog, 1);
    assert!(
        commit(&*catalog, &begun, [Some(first), Some(second)], None, None),
        "another replaced it"
    );
    assert!(
        commit(&*catalog, &begun, [Some(first), Some(second)], Some(own), Some(0)),
        "it was taken before"
    );
    assert!(!commit(&*catalog, &begun, [Some(first), Some(second)], Some(own), None), "by itself");

    let selectors: [Selecting; 3] =
        [|_| by_operation("clean"), |_| by_key("part"), |_| by_operation("load")];
    for selector in selectors {
        let catalog = make();
        let (first, begun) = begins(&*catalog);
        catalog.invalidate(Some(&scope), &selector(first)).expect(WORKS);
        let (second, own) = replace(&*catalog, 1);
        assert!(
            commit(&*catalog, &begun, [Some(first), Some(second)], Some(own), None),
            "in between"
        );
        // What was never stored has no entry of which that was made.
        let is_refused = commit(&*catalog, &begun, [None, Some(second)], Some(own), None);
        assert_eq!(is_refused, selector(first) != by_operation("load"));
    }

    let catalog = make();
    let (first, begun) = begins(&*catalog);
    let (second, own) = replace(&*catalog, 1);
    replace(&*catalog, 2);
    assert!(
        commit(&*catalog, &begun, [Some(first), Some(second)], Some(own), None),
        "another did it later"
    );
}

/// A catalog that was made anew gives the numbers of another one again. What was taken from that is
/// vouched for by no entry of another call or scope.
pub fn takes_no_other_entry_for_a_part(make: Make<'_>) {
    let (lab, other) = (scope("lab"), scope("other"));
    let name = "part";
    let half: Vec<u8> = key(name).as_bytes()[..16].iter().chain(&[0; 16]).copied().collect();
    let variant = Digest::from_bytes(half.try_into().expect("it has 32 bytes"));
    let of_variant = NewEntry { key: variant, ..of("lab.clean", name) };
    let foreign = [
        ("this call", &lab, of("lab.clean", name), Some(key(name)), true),
        ("this call elsewhere", &lab, of_variant, Some(key(name)), true),
        ("another call", &lab, of("lab.clean", "b"), Some(key(name)), false),
        ("another scope", &other, of("lab.clean", name), Some(key(name)), false),
        ("no key", &lab, of("lab.clean", name), None, false),
    ];
    for (what, where_it_is, there, key, is_vouched) in foreign {
        let catalog = make();
        let (begun, _) = miss(&*catalog, &lab, "whole");
        catalog.invalidate(None, &by_operation("clean")).expect(WORKS);
        let entry = Some(put(&*catalog, where_it_is, &there));
        let part =
            Part { operation: "lab.clean".to_owned(), key, entry, since: None, own_ticket: None };
        let new =
            NewEntry { parts: vec![part], ..whole("whole", "lab.flow", &[("lab.clean", None)]) };
        let done = catalog.commit(&lab, &new, &begun).expect(WORKS);
        assert_eq!(done != Committed::Fenced, is_vouched, "{what}: {done:?}");
    }
}

/// What was made of a result goes when another value takes its place, also where nobody knows what was
/// there; what holds the same value again leaves everything as it is.
pub fn removes_what_was_made_of_what_is_replaced_by_another(make: Make<'_>) {
    let catalog = make();
    let (lab, other) = (scope("lab"), scope("other"));
    let names = ["part", "whole", "around", "beside"];
    let parts = [("lab.clean", Some("part")), ("lab.load", Some("apart"))];
    let outer = [parts[0], ("lab.flow", Some("whole"))];
    put(&*catalog, &lab, &of("lab.clean", "part"));
    put(&*catalog, &other, &whole("whole", "lab.flow", &parts));
    let replace = |output: &str| {
        let output_digest = Digest::of_blob(output.as_bytes());
        let part = NewEntry { output_digest, ..of("lab.clean", "part") };
        let ticket = ticket(&*catalog, &lab, "part");
        let done = catalog.commit(&lab, &part, &ticket).expect(WORKS);
        let Committed::Stored(id) = done else { panic!("{output}: {done:?}") };
        id
    };
    let replacements: [(&str, &dyn Fn() -> EntryId, bool); 4] = [
        ("the same", &|| replace("part"), false),
        ("another", &|| replace("new"), true),
        ("the same as the last", &|| replace("new"), false),
        (
            "nothing there",
            &|| {
                let id = hit(&*catalog, &lab, "part").entry;
                catalog.evict(&[id], Time::MAX).expect(WORKS);
                replace("new")
            },
            true,
        ),
    ];
    for (what, replace, is_removed) in replacements {
        for (name, operation, parts) in [
            ("whole", "lab.flow", &parts[..]),
            ("around", "lab.all", &outer),
            ("beside", "lab.flow", &parts[1..]),
        ] {
            catalog.invalidate(Some(&lab), &by_key(name)).expect(WORKS);
            put(&*catalog, &lab, &whole(name, operation, parts));
        }
        let changes = catalog.changes();
        replace();
        assert_ne!(catalog.changes(), changes, "{what}");
        let still = left(&*catalog, &lab, &names);
        assert_eq!(still.len(), if is_removed { 2 } else { 4 }, "{what}: {still:?}");
        assert!(still.contains("part") && still.contains("beside"), "{what}");
        assert_eq!(left(&*catalog, &other, &["whole"]).len(), 1, "{what}");
    }
}

/// Whoever is computing what goes so is not disturbed, unless he took what was there before, whenever
/// he began.
pub fn refuses_who_took_what_is_replaced_by_another(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let clean = ("lab.clean", Some("part"));
    let old = put(&*catalog, &scope, &of("lab.clean", "part"));
    let whole_there = put(&*catalog, &scope, &whole("whole", "lab.flow", &[clean]));
    let commit = |claim: &Claim, name: &str, (operation, part, entry): (&str, &str, EntryId)| {
        // Of so many calls that the part of the part cannot be told.
        let mut made_of = MadeOf::default();
        made_of.add("lab.clean", None);
        let (operation, key) = (operation.to_owned(), Some(key(part)));
        let parts =
            vec![Part { operation, key, entry: Some(entry), since: None, own_ticket: None }];
        let new = NewEntry { parts, made_of, ..of("lab.flow", name) };
        catalog.commit(&scope, &new, claim).expect(WORKS)
    };
    let (before, _) = miss(&*catalog, &scope, "new");
    let [first, last] = [0; 2].map(|_| ticket(&*catalog, &scope, "part"));
    let (since, _) = miss(&*catalog, &scope, "new");
    let held = take(&*catalog, &scope, "whole", 1, HOUR);
    let replace = |output: &str, ticket: &Claim| {
        let output_digest = Digest::of_blob(output.as_bytes());
        let part = NewEntry { output_digest, ..of("lab.clean", "part") };
        match catalog.commit(&scope, &part, ticket).expect(WORKS) {
            Committed::Stored(id) => id,
            refused => panic!("{refused:?}"),
        }
    };
    replace("first", &first);
    let new = replace("last", &last);
    for (what, claim) in [("before the ticket", &before), ("after the ticket", &since)] {
        for part in [("lab.clean", "part", old), ("lab.flow", "whole", whole_there)] {
            assert_eq!(commit(claim, "new", part), Committed::Fenced, "{what}: {part:?}");
        }
    }
    let done = commit(&held, "whole", ("lab.clean", "part", new));
    assert!(matches!(done, Committed::Stored(_)), "{done:?}: he took the new one");
}
