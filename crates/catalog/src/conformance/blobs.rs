//! Blobs: protected while needed, never named once deleted.

use std::time::Duration;

use super::{HOUR, Make, WORKS, blob, by_id, entry, miss, put, scope};
use crate::entry::{Committed, NewEntry, Why};

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
    catalog.forget(&[shared]).expect(WORKS);
    assert_eq!(catalog.blobs().expect(WORKS), [shared], "nor is it forgotten");
}

/// A blob is kept by its name: another one of the same content is not meant, and one that nobody has
/// committed is.
pub fn keeps_these_very_blobs(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let ids = [1, 2].map(|generation| {
        let mut new = entry(&generation.to_string(), "x");
        new.blobs = vec![blob("x", generation)];
        put(&*catalog, &scope, &new)
    });
    let (kept, other, new) = (blob("x", 1), blob("x", 2), blob("y", 3));
    for id in ids {
        catalog.invalidate(None, &by_id(id)).expect(WORKS);
    }
    catalog.keep_blobs(&[kept, new], HOUR).expect(WORKS);
    let condemn = || catalog.condemn(Duration::ZERO, false).expect(WORKS);
    assert_eq!(condemn(), [other]);
    assert!(catalog.blobs().expect(WORKS).contains(&new));
    catalog.keep_blobs(&[other], HOUR).expect(WORKS);
    assert_eq!(condemn(), [other], "what is condemned stays so");
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
    let mut again = entry("a", "x");
    again.blobs = vec![old];
    let commit = |entry: &NewEntry| catalog.commit(&scope, entry, &claim).expect(WORKS);
    assert_eq!(commit(&again), Committed::BlobGone(old));
    assert_eq!(catalog.blobs().expect(WORKS), [old]);
    catalog.forget(&[old]).expect(WORKS);
    assert_eq!(catalog.blobs().expect(WORKS), []);
    assert_eq!(commit(&again), Committed::BlobGone(old));
    assert_eq!(miss(&*catalog, &scope, "a").1, Why::Absent);

    again.blobs = vec![new];
    assert!(matches!(commit(&again), Committed::Stored(_)));
    catalog.forget(&[new]).expect(WORKS);
    assert_eq!(catalog.blobs().expect(WORKS), [new], "what an entry needs is not forgotten");
}

/// A blob that no row knows can be disowned; then a writer that comes late is refused.
pub fn disowns_what_it_never_knew(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let (orphan, live) = (blob("x", 1), blob("y", u64::MAX));
    let mut known = entry("a", "y");
    known.blobs = vec![live];
    put(&*catalog, &scope, &known);
    let disown = || catalog.disown(&[orphan, live]).expect(WORKS);
    assert_eq!(disown(), [orphan]);
    assert_eq!(disown(), [orphan], "a crash before it was deleted changes nothing");
    assert_eq!(catalog.blobs().expect(WORKS), [live]);
    let found = catalog.find_blob(&orphan.digest, HOUR);
    assert_eq!(found.expect(WORKS), None, "it is not offered");
    let mut late = entry("b", "x");
    late.blobs = vec![orphan];
    let (claim, _) = miss(&*catalog, &scope, "b");
    let committed = catalog.commit(&scope, &late, &claim);
    assert_eq!(committed.expect(WORKS), Committed::BlobGone(orphan));
    assert_eq!(catalog.disown(&[]).expect(WORKS), []);
}
