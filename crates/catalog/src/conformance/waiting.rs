//! Repetitions, failures, and who waits for whom.

use std::time::Duration;

use super::{
    HOUR, Make, WORKS, by_operation, claim, entry, hit, holder, key, miss, only, put, scope, take,
    ticket,
};
use crate::contract::{Catalog, LONGEST_LEASE};
use crate::entry::{Claim, Committed, Ended, Held, NewEntry, Reserved, Scope, Selector, Time, Why};

/// A call that is repeated because its answer was lost changes nothing further, and answers as
/// it did.
pub fn takes_a_repetition_for_the_same_call(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let commit = |entry, claim| catalog.commit(&scope, entry, claim).expect(WORKS);
    let release =
        |claim: &Claim| catalog.release(&scope, &key("a"), claim, Ended::Failed).expect(WORKS);
    let first = take(&*catalog, &scope, "a", 1, HOUR);
    release(&first);
    assert_eq!(take(&*catalog, &scope, "a", 1, HOUR), first, "answered as before");
    let standing = catalog.standing(&scope, &key("a")).expect(WORKS);
    assert_eq!(standing.held, None, "and nothing is held");
    let second = take(&*catalog, &scope, "a", 2, HOUR);
    release(&first);
    assert_eq!(catalog.heartbeat(&scope, &[(key("a"), second)], HOUR).expect(WORKS), [true]);

    let one = entry("a", "one");
    let Committed::Stored(id) = commit(&one, &second) else { panic!("nothing is there yet") };
    assert_eq!(commit(&one, &second), Committed::Stored(id), "not fenced by itself");
    let standing = catalog.standing(&scope, &key("a")).expect(WORKS);
    assert_eq!(standing.held, None);
    let late = entry("a", "one");
    assert_eq!(commit(&late, &second), Committed::Fenced, "another commit is no repetition");

    let third = take(&*catalog, &scope, "a", 3, HOUR);
    let two = entry("a", "two");
    assert_eq!(commit(&two, &third), Committed::Different(id));
    assert_eq!(commit(&two, &third), Committed::Different(id));
    let (same, unreserved) = (entry("a", "one"), claim(second.epoch));
    assert_eq!(commit(&same, &unreserved), Committed::Same(id));

    let (replacing, three) = (ticket(&*catalog, &scope, "a"), entry("a", "three"));
    let Committed::Stored(newer) = commit(&three, &replacing) else { panic!("it replaces") };
    assert_eq!(commit(&three, &replacing), Committed::Stored(newer));
    assert_eq!(only(&*catalog, &Selector::default()).id, newer);
    assert_eq!(commit(&one, &second), Committed::Stored(id), "whatever has become of it");
    assert_eq!(commit(&same, &unreserved), Committed::Same(id));

    catalog.invalidate(Some(&scope), &by_operation("train")).expect(WORKS);
    assert_eq!(commit(&three, &replacing), Committed::Stored(newer), "it was stored");
    assert_eq!(miss(&*catalog, &scope, "a").1, Why::Absent, "and is gone for good");
    put(&*catalog, &scope, &entry("a", "four"));
    assert_eq!(commit(&three, &replacing), Committed::Stored(newer));
    assert_eq!(hit(&*catalog, &scope, "a").output, b"four");
}

/// A commit whose answer was lost is answered as it was, though somebody else has the slot by
/// then; that one keeps it. So is one whose entry was evicted, and it does not come back.
pub fn answers_a_commit_again_after_others_came(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let commit = |entry, claim| catalog.commit(&scope, entry, claim).expect(WORKS);
    let (first, one) = (take(&*catalog, &scope, "a", 1, HOUR), entry("a", "one"));
    let Committed::Stored(id) = commit(&one, &first) else { panic!("nothing is there yet") };
    let second = take(&*catalog, &scope, "a", 2, HOUR);
    assert_eq!(commit(&one, &first), Committed::Stored(id), "not fenced by another's slot");
    let beat = catalog.heartbeat(&scope, &[(key("a"), second)], HOUR);
    assert_eq!(beat.expect(WORKS), [true], "which is kept");

    let third = entry("a", "two");
    assert_eq!(commit(&third, &second), Committed::Different(id));
    take(&*catalog, &scope, "a", 3, HOUR);
    assert_eq!(commit(&third, &second), Committed::Different(id));
    let elsewhere = NewEntry { id: third.id, ..entry("b", "two") };
    let unreserved = claim(0);
    let committed = commit(&elsewhere, &unreserved);
    assert!(matches!(committed, Committed::Stored(other) if other != id), "{committed:?}");
    let unknown = entry("a", "two");
    assert_eq!(commit(&unknown, &second), Committed::Fenced, "another commit is no repetition");

    catalog.evict(&[id], Time::MAX).expect(WORKS);
    assert_eq!(commit(&one, &first), Committed::Stored(id), "it was stored");
    assert_eq!(miss(&*catalog, &scope, "a").1, Why::Absent, "and is not stored again");
    catalog.shorten(Duration::ZERO).expect(WORKS);
    assert_eq!(commit(&one, &first), Committed::Stored(id), "a history that is cut takes none");
}

/// After three holders in a row without a result, nobody waits for another; a result in between
/// begins the count anew, and one that was not needed does not count.
pub fn leaves_failing_keys_alone(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let reserve =
        |name, nonce| catalog.reserve(&scope, &key(name), &holder(nonce), HOUR).expect(WORKS);
    let end = |name, nonce, ended| {
        let Reserved::Taken(claim) = reserve(name, nonce) else { panic!("{name} is not free") };
        catalog.release(&scope, &key(name), &claim, ended).expect(WORKS);
    };
    end("a", 1, Ended::Failed);
    end("a", 2, Ended::Unused);
    end("a", 3, Ended::Shared("broken"));
    end("a", 4, Ended::Failed);
    match reserve("a", 5) {
        Reserved::Unserialised(left) => assert!(left > Duration::ZERO && left <= LONGEST_LEASE),
        given => panic!("given: {given:?}"),
    }
    let (unreserved, _) = miss(&*catalog, &scope, "a");
    let committed = catalog.commit(&scope, &entry("a", "one"), &unreserved).expect(WORKS);
    assert!(matches!(committed, Committed::Stored(_)), "whoever computes commits");

    end("b", 1, Ended::Failed);
    end("b", 2, Ended::Failed);
    let third = take(&*catalog, &scope, "b", 3, HOUR);
    catalog.commit(&scope, &entry("b", "one"), &third).expect(WORKS);
    end("b", 4, Ended::Failed);
    end("b", 5, Ended::Failed);
    take(&*catalog, &scope, "b", 6, HOUR);

    for nonce in 1..=2 {
        take(&*catalog, &scope, "c", nonce, Duration::ZERO);
    }
    let zombie = take(&*catalog, &scope, "c", 3, Duration::ZERO);
    assert!(matches!(reserve("c", 4), Reserved::Unserialised(_)), "a lapse is a failure");
    let committed = catalog.commit(&scope, &entry("c", "one"), &zombie).expect(WORKS);
    assert!(matches!(committed, Committed::Stored(_)), "nobody took it over");
}

/// A failure is left for those who waited for that very reservation, and is no result.
pub fn shares_failures(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let failure = || catalog.standing(&scope, &key("a")).expect(WORKS).failure;
    let fence = |claim: &Claim| claim.reservation.map(|(fence, _)| fence);
    assert_eq!(failure(), None);
    let first = take(&*catalog, &scope, "a", 1, HOUR);
    catalog.release(&scope, &key("a"), &first, Ended::Shared("broken")).expect(WORKS);
    let left = fence(&first).map(|fence| (fence, "broken".to_owned()));
    assert_eq!(failure(), left);
    miss(&*catalog, &scope, "a");
    let second = take(&*catalog, &scope, "a", 2, HOUR);
    assert_eq!(failure(), left, "who was slow to look still finds it");
    catalog.release(&scope, &key("a"), &first, Ended::Shared("late")).expect(WORKS);
    assert_eq!(failure(), left, "who holds nothing leaves nothing");
    catalog.commit(&scope, &entry("a", "one"), &second).expect(WORKS);
    assert_eq!(failure(), None);
}

fn waits_for(catalog: &dyn Catalog, scope: &Scope, name: &str, holding: &[u128]) -> Vec<u128> {
    let found = catalog.wait_for(scope, &key(name), holding).expect(WORKS);
    let holders = found.held.iter().map(|held| held.holder.nonce);
    holders.chain(found.beyond.iter().map(|holder| holder.nonce)).collect()
}

/// Who waits sees whom he waits for, through others, and so a circle before he closes it.
pub fn shows_circles(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let waits_for = |name, holding: &[u128]| waits_for(&*catalog, &scope, name, holding);
    assert!(waits_for("a", &[9]).is_empty(), "nobody has it");
    for (name, nonce) in [("a", 1), ("b", 2), ("c", 3)] {
        take(&*catalog, &scope, name, nonce, HOUR);
    }
    assert_eq!(waits_for("b", &[1]), [2]);
    assert_eq!(waits_for("b", &[1]), [2], "once more is the same");
    assert_eq!(waits_for("c", &[2, 7]), [3]);
    assert_eq!(waits_for("a", &[3]), [1, 2, 3], "this would close the circle");
    assert_eq!(waits_for("a", &[]), [1, 2, 3]);
    let standing = catalog.standing(&scope, &key("c")).expect(WORKS);
    assert!(standing.beyond.is_empty(), "so it does not wait");
    assert_eq!(waits_for("a", &[1]), [1, 2, 3], "a circle of one");

    catalog.stop_waiting(&scope, &key("c"), &[2, 7]).expect(WORKS);
    catalog.stop_waiting(&scope, &key("c"), &[2, 7]).expect(WORKS);
    assert_eq!(waits_for("a", &[3]), [1, 2], "who gave up holds up nobody");

    let lapsed = take(&*catalog, &scope, "d", 4, Duration::ZERO);
    assert_eq!(waits_for("a", &[4]), [1, 2]);
    assert!(waits_for("d", &[]).is_empty(), "a lapsed reservation is none");
    let fourth = take(&*catalog, &scope, "d", 5, HOUR);
    assert_eq!(waits_for("d", &[]), [5], "and what it waited for is forgotten");
    catalog.release(&scope, &key("d"), &lapsed, Ended::Failed).expect(WORKS);
    assert_eq!(waits_for("a", &[5]), [1, 2]);
    catalog.commit(&scope, &entry("d", "x"), &fourth).expect(WORKS);
    let other = Scope { domain: "production".to_owned(), ..scope.clone() };
    let standing = catalog.standing(&other, &key("a")).expect(WORKS);
    assert_eq!(standing.held, None, "slots belong to a scope");
}

/// The reservations in force can be listed.
pub fn lists_reservations(make: Make<'_>) {
    let catalog = make();
    let (scope, other) = (scope("lab"), scope("shop"));
    let began = catalog.now().expect(WORKS);
    let first = take(&*catalog, &scope, "a", 1, HOUR);
    take(&*catalog, &scope, "b", 2, HOUR);
    take(&*catalog, &other, "c", 3, HOUR);
    take(&*catalog, &scope, "lapsed", 4, Duration::ZERO);
    catalog.wait_for(&scope, &key("a"), &[2]).expect(WORKS);
    let list = |scope: Option<&Scope>| catalog.reservations(scope).expect(WORKS);
    assert_eq!(list(None).len(), 3);
    assert_eq!(list(Some(&other)).len(), 1);
    let found = list(Some(&scope)).into_iter().find(|found| found.key == key("a"));
    let found = found.expect("it is in force");
    let Held { fence, holder: by, since, left } = found.held;
    assert_eq!((Some((fence, 1)), by), (first.reservation, holder(1)));
    assert!(since >= began && left > Duration::ZERO && left <= LONGEST_LEASE);
    assert_eq!((found.scope, found.waiting), (scope.clone(), 1));
    catalog.release(&scope, &key("a"), &first, Ended::Unused).expect(WORKS);
    assert_eq!(list(Some(&scope)).len(), 1);
}

/// Whose reservation ended waits for nobody any more, however it ended.
pub fn forgets_who_waited(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let held = take(&*catalog, &scope, "a", 1, HOUR);
    let waiting = || {
        let all = catalog.reservations(None).expect(WORKS);
        all.iter().find(|found| found.key == key("a")).map(|found| found.waiting)
    };
    let tell = |nonce| {
        catalog.wait_for(&scope, &key("a"), &[nonce]).expect(WORKS);
        assert_eq!(waiting(), Some(1), "{nonce}");
    };
    let second = take(&*catalog, &scope, "b", 2, HOUR);
    tell(2);
    catalog.release(&scope, &key("b"), &second, Ended::Unused).expect(WORKS);
    assert_eq!(waiting(), Some(0), "it was given back");
    let third = take(&*catalog, &scope, "b", 3, HOUR);
    tell(3);
    catalog.commit(&scope, &entry("b", "x"), &third).expect(WORKS);
    assert_eq!(waiting(), Some(0), "it was committed");
    let lapsed = take(&*catalog, &scope, "c", 4, Duration::ZERO);
    tell(4);
    take(&*catalog, &scope, "c", 5, HOUR);
    assert_eq!(waiting(), Some(0), "it was taken over");
    tell(4);
    catalog.release(&scope, &key("c"), &lapsed, Ended::Unused).expect(WORKS);
    assert_eq!(waiting(), Some(0), "it had been lost");
    tell(5);
    catalog.release(&scope, &key("a"), &held, Ended::Unused).expect(WORKS);
    let standing = catalog.wait_for(&scope, &key("a"), &[5]).expect(WORKS);
    assert_eq!(standing.held, None);
    take(&*catalog, &scope, "a", 6, HOUR);
    assert_eq!(waiting(), Some(0), "what it waited for came free");
}
