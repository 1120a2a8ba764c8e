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

mod blobs;
mod entries;
mod history;
mod select;
mod slots;
mod waiting;
mod wholes;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use thrifty_key::{Digest, Ingredients, Key, Kind, Preview, plain};

pub use self::blobs::{
    buries_collected_blobs, disowns_what_it_never_knew, keeps_these_very_blobs, protects_blobs,
};
pub use self::entries::{
    discards_what_is_of_no_use, evicts_without_refusing, finds_what_was_committed,
    has_the_last_replacement_win, judges_age_by_its_clock, keeps_scopes_apart,
    keeps_the_first_of_two_results, replaces_when_told_to, takes_any_text_and_size,
};
pub use self::history::{forgets_what_is_old, keeps_runs, keeps_texts_and_memos};
pub use self::select::{counts_uses, selects_by_time, selects_entries};
pub use self::slots::{
    brings_nothing_invalidated_back, gives_a_slot_to_one_at_a_time, gives_each_fence_once,
    refuses_who_was_taken_over, tells_of_changes, tells_of_commits, tells_of_turns,
};
pub use self::waiting::{
    answers_a_commit_again_after_others_came, forgets_who_waited, leaves_failing_keys_alone,
    lists_reservations, shares_failures, shows_circles, takes_a_repetition_for_the_same_call,
};
pub use self::wholes::{
    keeps_what_was_made_of_what_cannot_be_read, refuses_what_was_made_of_a_part_of_an_evicted_one,
    refuses_what_was_made_of_any_that_is_gone, refuses_what_was_made_of_something_invalidated,
    refuses_what_was_taken_before_all_that_is_remembered,
    refuses_who_took_what_is_replaced_by_another, removes_what_was_made_of_it,
    removes_what_was_made_of_what_is_gone, removes_what_was_made_of_what_is_replaced_by_another,
    takes_no_other_entry_for_a_part,
};
use crate::contract::Catalog;
use crate::entry::{
    BlobRef, Claim, Committed, Entry, EntryId, Found, Hit, Holder, NewEntry, Origin, Request,
    Reserved, Scope, Selector, Why,
};
use crate::error::CatalogError;
use crate::made_of::MadeOf;
use crate::sqlite::Sqlite;

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
    has_the_last_replacement_win(make);
    brings_nothing_invalidated_back(make);
    gives_a_slot_to_one_at_a_time(make);
    refuses_who_was_taken_over(make);
    selects_entries(make);
    selects_by_time(make);
    counts_uses(make);
    protects_blobs(make);
    keeps_these_very_blobs(make);
    buries_collected_blobs(make);
    disowns_what_it_never_knew(make);
    tells_of_changes(make);
    tells_of_commits(make);
    tells_of_turns(make);
    takes_a_repetition_for_the_same_call(make);
    answers_a_commit_again_after_others_came(make);
    leaves_failing_keys_alone(make);
    shares_failures(make);
    shows_circles(make);
    lists_reservations(make);
    forgets_who_waited(make);
    keeps_runs(make);
    keeps_texts_and_memos(make);
    forgets_what_is_old(make);
    evicts_without_refusing(make);
    discards_what_is_of_no_use(make);
    takes_any_text_and_size(make);
    gives_each_fence_once(make);
    removes_what_was_made_of_it(make);
    removes_what_was_made_of_what_is_gone(make);
    keeps_what_was_made_of_what_cannot_be_read(make);
    refuses_what_was_made_of_something_invalidated(make);
    refuses_what_was_made_of_a_part_of_an_evicted_one(make);
    refuses_what_was_taken_before_all_that_is_remembered(make);
    refuses_what_was_made_of_any_that_is_gone(make);
    takes_no_other_entry_for_a_part(make);
    removes_what_was_made_of_what_is_replaced_by_another(make);
    refuses_who_took_what_is_replaced_by_another(make);
}

/// Damages the row of an entry in one of three ways, for simulations.
///
/// # Errors
///
/// If the catalog cannot be written.
pub fn damage(catalog: &Sqlite, entry: EntryId, which: u8) -> Result<(), CatalogError> {
    catalog.spoil(entry, which)
}

/// A scope for tests.
pub fn scope(project: &str) -> Scope {
    Scope { project: project.to_owned(), domain: "development".to_owned() }
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
        id: fresh(),
        key: key(name),
        operation: "lab.train".to_owned(),
        ingredients,
        output: output.as_bytes().to_vec(),
        output_digest: Digest::of_blob(output.as_bytes()),
        blobs: Vec::new(),
        cost: Duration::from_secs(7),
        expires_at: None,
        origin: Origin::default(),
        observed: Vec::new(),
        made_of: MadeOf::default(),
        parts: Vec::new(),
    }
}

/// The holder of this nonce, for tests.
pub fn holder(nonce: u128) -> Holder {
    Holder {
        nonce,
        operation: "lab.train".to_owned(),
        host: "here".to_owned(),
        process: format!("process {nonce}"),
    }
}

/// An id no commit of this process or of its children has, and none of the small nonces of tests.
fn fresh() -> u128 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let process = u128::from(std::process::id()) + 1;
    (process << 64) + u128::from(LAST.fetch_add(1, Ordering::Relaxed))
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
    let mut found = catalog.lookup(scope, &[Request { key, max_age }]).expect(WORKS);
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
    Claim { epoch, ..Claim::default() }
}

/// The claim of a computation that begins now and is to replace.
fn ticket(catalog: &dyn Catalog, scope: &Scope, name: &str) -> Claim {
    catalog.draw_ticket(scope, &key(name)).expect(WORKS)
}

/// Commits as a computation does that begins now.
fn put(catalog: &dyn Catalog, scope: &Scope, entry: &NewEntry) -> EntryId {
    let request = Request { key: entry.key, max_age: None };
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
    let reserved = catalog.reserve(scope, &key(name), &holder(nonce), lease);
    match reserved.expect(WORKS) {
        Reserved::Taken(claim) => claim,
        refused => panic!("{name} is not to be had: {refused:?}"),
    }
}

fn by_operation(pattern: &str) -> Selector {
    Selector { operation: Some(pattern.to_owned()), ..Selector::default() }
}

fn by_id(id: EntryId) -> Selector {
    Selector { ids: Some(vec![id]), ..Selector::default() }
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
