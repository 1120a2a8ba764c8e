//! Selectors and use counts.

use std::time::Duration;

use super::{HOUR, Make, WORKS, by_id, by_operation, entry, key, let_time_pass, only, put, scope};
use crate::entry::{EntryId, RunId, Selector, Usage};

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
    let prefixed = |digits: &str| select(Selector { key_prefix: Some(digits.to_owned()), ..all() });
    let digits = key("b").to_string();
    assert_eq!(prefixed(&digits), [b]);
    assert_eq!(prefixed(&digits[..7]), [b]);
    assert_eq!(prefixed(""), [c, b, a]);
    assert_eq!(prefixed("no digits"), []);
    assert_eq!(prefixed(&(digits + "0")), []);

    assert_eq!(select(by_id(a)), [a]);
    let none = Selector { ids: Some(Vec::new()), ..all() };
    assert_eq!(select(none), []);
    let run = Some(RunId("run-b".to_owned()));
    assert_eq!(select(Selector { run, ..all() }), [b]);
    let before = Some(c);
    assert_eq!(select(Selector { before, ..all() }), [b, a]);
}

/// Age and rest are measured from the commit and from the last use.
pub fn selects_by_time(make: Make<'_>) {
    let catalog = make();
    let scope = scope("lab");
    let [a, b, c] = ["a", "b", "c"].map(|name| put(&*catalog, &scope, &entry(name, name)));
    let all = Selector::default;
    let select = |selector: Selector| -> Vec<EntryId> {
        let found = catalog.entries(None, &selector, 10).expect(WORKS);
        found.iter().map(|entry| entry.id).collect()
    };
    for age in
        [Selector { older_than: Some(HOUR), ..all() }, Selector { unused_for: Some(HOUR), ..all() }]
    {
        assert_eq!(select(age), []);
    }
    let_time_pass(&*catalog);
    catalog.touch(&[(b, Usage { hits: 1 })]).expect(WORKS);
    let moment = Some(Duration::from_millis(1));
    let rested = select(Selector { unused_for: moment, ..all() });
    let used_at = only(&*catalog, &by_id(b)).used_at;
    assert!(used_at > only(&*catalog, &by_id(a)).used_at);
    // On a machine that took its time, the one that was used has rested as well by now.
    if catalog.now().expect(WORKS) - used_at <= 1 {
        assert_eq!(rested, [c, a]);
    } else {
        assert!(rested.contains(&c) && rested.contains(&a), "{rested:?}");
    }
    let older_than = moment;
    assert_eq!(select(Selector { older_than, ..all() }), [c, b, a]);
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
