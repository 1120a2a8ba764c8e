//! Epochs, fences and changes: what makes a late result harmless.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::{
    HOUR, Make, WORKS, by_id, by_operation, claim, entry, hit, holder, key, miss, put, scope, take,
    ticket,
};
use crate::contract::LONGEST_LEASE;
use crate::entry::{Claim, Committed, Ended, NewEntry, Reserved, Selector, Why};

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
    let beat = catalog.heartbeat(&scope, &[(key("a"), reserved)], HOUR);
    assert_eq!(beat.expect(WORKS), [false], "the reservation is lost");
    assert_eq!(
        commit(&entry("first", "x"), &old),
        Committed::Fenced,
        "it was computed for the first time while its operation was invalidated"
    );
    assert!(matches!(commit(&other, &old), Committed::Stored(_)));
    assert!(matches!(commit(&entry("a", "one"), &fresh), Committed::Stored(_)));

    let prefix = Selector {
        key_prefix: Some(key("p").to_string()[..9].to_uppercase()),
        ..Selector::default()
    };
    let (begun, _) = miss(&*catalog, &scope, "p");
    catalog.invalidate(None, &prefix).expect(WORKS);
    assert_eq!(commit(&entry("p", "x"), &begun), Committed::Fenced);
    assert!(matches!(commit(&entry("q", "x"), &begun), Committed::Stored(_)));
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
    match catalog.reserve(&scope, &key("a"), &holder(2), HOUR).expect(WORKS) {
        Reserved::Held(held) => {
            assert!(held.left > Duration::ZERO && held.left <= LONGEST_LEASE, "a lease is cut");
            assert_eq!((held.fence, held.holder), (fence, holder(1)));
        }
        taken => panic!("taken twice: {taken:?}"),
    }
    let again = take(&*catalog, &scope, "a", 1, HOUR);
    assert_eq!(again, first, "asking again changes nothing");

    let imposter = Claim { reservation: Some((fence, 2)), ..first };
    let beat = |held: &Claim| {
        let held = [(key("a"), *held), (key("b"), claim(0))];
        let [alive, other] = catalog.heartbeat(&scope, &held, HOUR).expect(WORKS)[..] else {
            panic!("each is answered")
        };
        assert!(!other);
        alive
    };
    assert!(beat(&first));
    assert!(!beat(&imposter) && !beat(&claim(0)));
    catalog.release(&scope, &key("a"), &imposter, Ended::Unused).expect(WORKS);
    assert!(beat(&first), "only its holder releases a slot");

    catalog.release(&scope, &key("a"), &first, Ended::Unused).expect(WORKS);
    assert!(!beat(&first));
    let second = take(&*catalog, &scope, "a", 2, HOUR);
    assert!(second.reservation > first.reservation, "fences only grow");
    let committed = catalog.commit(&scope, &entry("a", "x"), &second);
    assert!(matches!(committed.expect(WORKS), Committed::Stored(_)));
    let third = take(&*catalog, &scope, "a", 3, HOUR);
    assert!(third.reservation > second.reservation, "a commit frees the slot");
}

/// A lease that passed is still good for a commit, unless somebody took the slot over.
pub fn refuses_who_was_taken_over(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let commit = |name, claim| catalog.commit(&scope, &entry(name, "x"), claim).expect(WORKS);
    let lapsed = take(&*catalog, &scope, "a", 1, Duration::ZERO);
    assert!(matches!(commit("a", &lapsed), Committed::Stored(_)));

    let zombie = take(&*catalog, &scope, "b", 1, Duration::ZERO);
    let heir = take(&*catalog, &scope, "b", 2, HOUR);
    assert!(heir.reservation > zombie.reservation);
    let beat = catalog.heartbeat(&scope, &[(key("b"), zombie)], HOUR);
    assert_eq!(beat.expect(WORKS), [false]);
    assert_eq!(commit("b", &zombie), Committed::Fenced);
    assert_eq!(miss(&*catalog, &scope, "b").1, Why::Absent);
    assert!(matches!(commit("b", &heir), Committed::Stored(_)));
    assert_eq!(commit("b", &zombie), Committed::Fenced);
}

/// The number of changes moves with every removal and invalidation, and not with lookups.
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
    let replacing = ticket(&*catalog, &scope, "a");
    catalog.commit(&scope, &entry("a", "two"), &replacing).expect(WORKS);
    moved("replaced");
    // Somebody may have in memory what the catalog does not find any more.
    catalog.invalidate(None, &by_id(id)).expect(WORKS);
    moved("invalidated what is gone");
    catalog.invalidate(None, &Selector::default()).expect(WORKS);
    moved("invalidated");
}

/// The number of commits moves with every entry that becomes visible, before the commit returns.
pub fn tells_of_commits(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let mut last = catalog.commits();
    for name in ["a", "b"] {
        miss(&*catalog, &scope, name);
        assert_eq!(catalog.commits(), last, "nothing was stored");
        put(&*catalog, &scope, &entry(name, "one"));
        assert_ne!(catalog.commits(), last, "{name} was stored");
        last = catalog.commits();
    }
}

/// The number of turns moves with whatever may end somebody's waiting, and waiting ends with it.
pub fn tells_of_turns(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let mut last = catalog.turns();
    let first = take(&*catalog, &scope, "a", 1, HOUR);
    catalog.reserve(&scope, &key("a"), &holder(2), HOUR).expect(WORKS);
    catalog.heartbeat(&scope, &[(key("a"), first)], HOUR).expect(WORKS);
    miss(&*catalog, &scope, "a");
    assert_eq!(catalog.turns(), last, "nobody's turn has come");
    let mut moved = |what: &str| {
        catalog.await_turn(last, HOUR);
        let now = catalog.turns();
        assert_ne!(now, last, "{what}");
        last = now;
    };
    catalog.release(&scope, &key("a"), &first, Ended::Unused).expect(WORKS);
    moved("released");
    let second = take(&*catalog, &scope, "a", 2, HOUR);
    catalog.commit(&scope, &entry("a", "one"), &second).expect(WORKS);
    moved("committed");
    catalog.invalidate(Some(&scope), &by_operation("train")).expect(WORKS);
    moved("invalidated");
    catalog.await_turn(last, Duration::from_nanos(1));
    assert_eq!(catalog.turns(), last, "waiting ends by itself, too");

    let third = take(&*catalog, &scope, "a", 3, HOUR);
    thread::scope(|threads| {
        let waiting = threads.spawn(|| {
            while catalog.turns() == last {
                catalog.await_turn(last, HOUR);
            }
        });
        catalog.release(&scope, &key("a"), &third, Ended::Unused).expect(WORKS);
        waiting.join().expect("no thread panics");
    });
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
                        match catalog.reserve(scope, &key("a"), &holder(nonce), HOUR).expect(WORKS)
                        {
                            Reserved::Taken(claim) => {
                                catalog
                                    .release(scope, &key("a"), &claim, Ended::Unused)
                                    .expect(WORKS);
                                claim.reservation.map(|(fence, _)| fence)
                            }
                            Reserved::Held(_) | Reserved::Unserialised(_) => None,
                        }
                    })
                    .collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..16).map(|n| threads.spawn(contend(n))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
    });
    let distinct: BTreeSet<_> = fences.iter().copied().collect();
    assert_eq!(distinct.len(), fences.len(), "a fence was given twice");
    assert!(!fences.is_empty());
    let last = i64::try_from(fences.len()).expect("a small number");
    assert_eq!(distinct.last(), Some(&last), "a fence was skipped");
}
