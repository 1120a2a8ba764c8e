//! What is saved of a damaged catalog, and what stays as it was.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;
use thrifty_catalog::conformance::{blob, entry, holder, key, scope};
use thrifty_catalog::{
    BlobRef, Catalog, CatalogError, Claim, Committed, Found, Mode, NewRun, Request, Reserved,
    RunFilter, SalvageError, Salvaged, Selector, Sqlite, Usage,
};

const COUNT: usize = 150;
const PAGE: usize = 4096;

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

fn open(path: &Path) -> Sqlite {
    Sqlite::open(path, Mode::ReadWrite).unwrap()
}

fn blob_of(number: usize) -> BlobRef {
    blob(&format!("bytes {number}"), number as u64)
}

/// A catalog of many entries, each with a blob, and what else there is.
fn place() -> Place {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let catalog = open(&path);
    let lab = scope("lab");
    let run = catalog.begin_run(&lab, &NewRun::default()).unwrap();
    for number in 0..COUNT {
        let mut new = entry(&number.to_string(), &"output ".repeat(30));
        new.blobs = vec![blob_of(number)];
        new.origin.run = Some(run.clone());
        let stored = catalog.commit(&lab, &new, &Claim::default()).unwrap();
        assert!(matches!(stored, Committed::Stored(_)));
    }
    let old = Selector { key_prefix: Some("00".repeat(32)), ..Selector::default() };
    catalog.invalidate(None, &old).unwrap();
    catalog.reserve(&lab, &key("held"), &holder(7), Duration::from_secs(10)).unwrap();
    Place { _directory: directory, path }
}

/// How many entries are hits, all of them right.
fn hits(catalog: &Sqlite) -> usize {
    let requests: Vec<_> =
        (0..COUNT).map(|number| Request { key: key(&number.to_string()), max_age: None }).collect();
    let found = catalog.lookup(&scope("lab"), &requests).unwrap();
    let hits = found.iter().filter_map(|found| match found {
        Found::Hit(hit) => Some(hit),
        Found::Miss(..) => None,
    });
    hits.inspect(|hit| assert_eq!(hit.output, "output ".repeat(30).as_bytes())).count()
}

fn salvaged(path: &Path) -> (Salvaged, Sqlite) {
    let saved = Sqlite::salvage(path).unwrap();
    let catalog = open(path);
    assert_eq!(catalog.check().unwrap(), []);
    assert_eq!(hits(&catalog), usize::try_from(saved.entries).unwrap());
    assert!(!path.with_extension("rebuild").exists());
    (saved, catalog)
}

#[test]
fn around_any_bad_page_everything_else_is_saved() {
    let place = place();
    let sound = fs::read(&place.path).unwrap();
    let mut without = 0;
    for page in 0..sound.len() / PAGE {
        let mut damaged = sound.clone();
        damaged[page * PAGE..][..PAGE].fill(0x5a);
        fs::write(&place.path, &damaged).unwrap();
        let (saved, catalog) = salvaged(&place.path);
        without += usize::from(hits(&catalog) == 0);
        assert_eq!(fs::read(&saved.aside).unwrap(), damaged, "what was found is kept");
        let blobs = catalog.blobs().unwrap();
        let all = catalog.entries(None, &Selector::default(), COUNT).unwrap();
        assert!(all.iter().all(|entry| entry.blobs.iter().all(|blob| blobs.contains(blob))));
        fs::remove_file(saved.aside).unwrap();
    }
    // Without the root of one of the four trees of an entry there is no way to its leaves.
    assert!(without <= 4, "nothing was saved around {without} of the pages");
}

#[test]
fn a_header_that_says_nothing_costs_nothing() {
    for damage in [
        |bytes: &mut Vec<u8>| bytes[..100].fill(0),
        |bytes: &mut Vec<u8>| bytes[..PAGE].fill(0xff),
        |bytes: &mut Vec<u8>| bytes[16] = 0x40,
        |bytes: &mut Vec<u8>| bytes[28..32].fill(0xff),
    ] {
        let place = place();
        let mut damaged = fs::read(&place.path).unwrap();
        damage(&mut damaged);
        fs::write(&place.path, &damaged).unwrap();
        let (saved, catalog) = salvaged(&place.path);
        assert_eq!((saved.entries, saved.lost), (COUNT as u64, 0));
        assert_eq!(catalog.runs(None, &RunFilter::default()).unwrap().len(), 1);
    }
}

#[test]
fn around_an_entry_whose_scope_is_no_text_everything_else_is_saved() {
    let place = place();
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE entry SET project = CAST(x'ec6162' AS TEXT) WHERE id = 5", []).unwrap();
    drop(raw);
    let (saved, _) = salvaged(&place.path);
    assert_eq!((saved.entries, saved.lost), (COUNT as u64 - 1, 1));
}

#[test]
fn an_entry_is_saved_though_nothing_tells_of_its_use() {
    let place = place();
    let raw = Connection::open(&place.path).unwrap();
    raw.execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE usage SET pinned = 7").unwrap();
    drop(raw);
    let (saved, _) = salvaged(&place.path);
    assert_eq!((saved.entries, saved.lost), (COUNT as u64, 0));
}

#[test]
fn an_entry_whose_bytes_may_be_deleted_at_any_moment_is_not_saved() {
    let place = place();
    let raw = Connection::open(&place.path).unwrap();
    let condemned = blob_of(5);
    let sql = "UPDATE blob SET state = 1 WHERE digest = ?1";
    assert_eq!(raw.execute(sql, [condemned.digest.as_bytes()]).unwrap(), 1);
    drop(raw);
    let (saved, catalog) = salvaged(&place.path);
    assert_eq!((saved.entries, saved.lost), (COUNT as u64 - 1, 1));
    assert_eq!(catalog.condemn(Duration::MAX, false).unwrap(), [condemned]);
}

#[test]
fn of_half_a_file_the_half_is_saved() {
    let place = place();
    let sound = fs::read(&place.path).unwrap();
    fs::write(&place.path, &sound[..sound.len() * 7 / 8 + 100]).unwrap();
    let (saved, _) = salvaged(&place.path);
    assert!(saved.entries > 0 && saved.entries + saved.lost <= COUNT as u64, "{saved:?}");
    fs::write(&place.path, "a letter").unwrap();
    let (saved, catalog) = salvaged(&place.path);
    assert_eq!((saved.entries, fs::read(&saved.aside).unwrap()), (0, b"a letter".to_vec()));
    assert!(catalog.slot(&scope("lab"), &key("a")).unwrap().epoch > 0);
}

#[test]
fn numbers_go_on_and_commits_begun_before_are_refused() {
    let place = place();
    let catalog = open(&place.path);
    let lab = scope("lab");
    let before = catalog.slot(&lab, &key("new")).unwrap();
    let claim = Claim { epoch: before.epoch, ..Claim::default() };
    let held = catalog.reserve(&lab, &key("mine"), &holder(9), Duration::from_secs(10)).unwrap();
    let Reserved::Taken(mine) = held else { panic!("{held:?}") };
    let last = catalog.entries(None, &Selector::default(), 1).unwrap()[0].id;
    drop(catalog);
    for damage in ["UPDATE meta SET epoch = 0", "DELETE FROM meta; DELETE FROM slot"] {
        let raw = Connection::open(&place.path).unwrap();
        raw.execute_batch(damage).unwrap();
        drop(raw);
        let (_, catalog) = salvaged(&place.path);
        assert!(catalog.slot(&lab, &key("new")).unwrap().epoch > before.epoch);
        for (name, claim) in [("new", claim), ("mine", mine)] {
            let late = catalog.commit(&lab, &entry(name, "late"), &claim).unwrap();
            assert_eq!(late, Committed::Fenced, "{damage}");
        }
        let taken =
            catalog.reserve(&lab, &key("mine"), &holder(11), Duration::from_secs(10)).unwrap();
        let Reserved::Taken(taken) = taken else { panic!("{taken:?}") };
        let fence = |claim: Claim| claim.reservation.unwrap().0;
        assert!(fence(taken) > fence(mine), "{damage}: a fence was given twice");
        let stored = catalog.commit(&lab, &entry("mine", "in time"), &taken).unwrap();
        let Committed::Stored(id) = stored else { panic!("{stored:?}") };
        assert!(id > last);
        catalog.invalidate(None, &Selector { ids: Some(vec![id]), ..Selector::default() }).unwrap();
    }
}

#[test]
fn what_is_only_in_the_log_is_saved_too() {
    let place = place();
    let catalog = open(&place.path);
    catalog.commit(&scope("lab"), &entry("late", "late"), &Claim::default()).unwrap();
    let (copy, sound) = (place.path.with_file_name("copy.db"), fs::read(&place.path).unwrap());
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    fs::copy(log(&place.path), log(&copy)).unwrap();
    drop(catalog);
    let mut damaged = sound;
    let last = damaged.len() - PAGE;
    damaged[last..].fill(0x5a);
    fs::write(&copy, damaged).unwrap();
    let saved = Sqlite::salvage(&copy).unwrap();
    let request = [Request { key: key("late"), max_age: None }];
    let found = open(&copy).lookup(&scope("lab"), &request).unwrap().remove(0);
    assert!(matches!(found, Found::Hit(hit) if hit.output == b"late"), "{saved:?}");
}

#[test]
fn whoever_has_it_open_is_named_and_nothing_happens() {
    let place = place();
    // Not read while it is open: closing any descriptor of a file drops the process's locks on it.
    let before = fs::read(&place.path).unwrap();
    let catalog = open(&place.path);
    let refused = Sqlite::salvage(&place.path).unwrap_err();
    let own = i32::try_from(std::process::id()).unwrap();
    assert!(matches!(refused, SalvageError::InUse { process, .. } if process == own), "{refused}");
    assert_eq!(hits(&catalog), COUNT);
    drop(catalog);
    assert_eq!(fs::read(&place.path).unwrap(), before);
}

#[test]
fn whoever_met_the_damage_does_not_stand_in_the_way_and_goes_on_in_the_new_one() {
    let place = place();
    let catalog = open(&place.path);
    assert_eq!(hits(&catalog), COUNT);
    let raw = Connection::open(&place.path).unwrap();
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    raw.execute("ALTER TABLE meta RENAME COLUMN epoch TO epoque", []).unwrap();
    drop(raw);
    let met = catalog.slot(&scope("lab"), &key("a")).unwrap_err();
    assert!(matches!(met, CatalogError::Damaged { .. }), "{met}");
    let saved = Sqlite::salvage(&place.path).unwrap();
    assert_eq!((saved.entries, hits(&catalog)), (COUNT as u64, COUNT));
    let new = catalog.commit(&scope("lab"), &entry("new", "new"), &Claim::default()).unwrap();
    assert_eq!(new, Committed::Fenced, "an epoch of the old catalog");
    let epoch = catalog.slot(&scope("lab"), &key("new")).unwrap().epoch;
    let claim = Claim { epoch, ..Claim::default() };
    let new = catalog.commit(&scope("lab"), &entry("new", "new"), &claim).unwrap();
    assert!(matches!(new, Committed::Stored(_)));
    drop(catalog);
    assert_eq!(open(&place.path).check().unwrap(), []);
}

#[test]
fn who_met_the_damage_while_writing_does_not_stand_in_the_way_either() {
    let place = place();
    let catalog = open(&place.path);
    assert_eq!(hits(&catalog), COUNT);
    let raw = Connection::open(&place.path).unwrap();
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    raw.execute("ALTER TABLE meta RENAME COLUMN epoch TO epoque", []).unwrap();
    drop(raw);
    let met = catalog.remember("topic", &[(b"name", b"body")]).unwrap_err();
    assert!(matches!(met, CatalogError::Damaged { .. }), "{met}");
    let saved = Sqlite::salvage(&place.path).unwrap();
    assert_eq!((saved.entries, hits(&catalog)), (COUNT as u64, COUNT));
}

#[test]
fn uses_and_pins_and_the_time_are_saved() {
    let place = place();
    let catalog = open(&place.path);
    let used = catalog.entries(None, &Selector::default(), 1).unwrap().remove(0);
    let these = Selector { ids: Some(vec![used.id]), ..Selector::default() };
    catalog.touch(&[(used.id, Usage { hits: 3 })]).unwrap();
    catalog.pin(None, &these, true).unwrap();
    drop(catalog);
    // As from a machine whose wall clock was an hour ahead, of which no other word is left.
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE meta SET clock = clock + 3600000", []).unwrap();
    let clock: i64 = raw.query_row("SELECT clock FROM meta", [], |row| row.get(0)).unwrap();
    drop(raw);
    fs::remove_file(place.path.with_extension("changes")).unwrap();
    let (_, catalog) = salvaged(&place.path);
    let saved = catalog.entries(None, &these, 9).unwrap().remove(0);
    assert_eq!((saved.hits, saved.pinned), (3, true));
    assert!(catalog.now().unwrap() >= clock);
}

#[test]
fn before_and_behind_a_bad_page_what_is_remembered_is_saved() {
    let place = place();
    let catalog = open(&place.path);
    let names: Vec<_> = (1_000..3_000).map(|number| format!("name of {number}")).collect();
    let memos: Vec<_> = names.iter().map(|name| (name.as_bytes(), name.as_bytes())).collect();
    catalog.remember("topic", &memos).unwrap();
    drop(catalog);
    let mut bytes = fs::read(&place.path).unwrap();
    let middle = names[1_000].as_bytes();
    let at = bytes.windows(middle.len()).position(|it| it == middle).unwrap();
    bytes[at / PAGE * PAGE..][..PAGE].fill(0x5a);
    fs::write(&place.path, bytes).unwrap();
    let (_, catalog) = salvaged(&place.path);
    let recall = |number: usize| catalog.recall("topic", names[number].as_bytes()).unwrap();
    assert_eq!(recall(1_000), None);
    for number in [0, 1_999] {
        assert_eq!(recall(number).as_deref(), Some(names[number].as_bytes()));
    }
}

#[test]
fn an_interrupted_repair_is_taken_up_where_it_ended() {
    let place = place();
    let sound = fs::read(&place.path).unwrap();
    let aside = place.path.with_extension("damaged-1");
    fs::write(&aside, &sound).unwrap();
    for written in [PAGE, 3 * PAGE, sound.len()] {
        let mut torn = sound.clone();
        torn[PAGE..written].fill(0x11);
        torn[..PAGE].fill(0);
        let note = b"thrifty catalog under repair, saved as catalog.damaged-1\n";
        torn[..note.len()].copy_from_slice(note);
        fs::write(&place.path, &torn).unwrap();
        for mode in [Mode::ReadWrite, Mode::ReadOnly] {
            let refused = Sqlite::open(&place.path, mode).unwrap_err();
            assert!(refused.to_string().contains("fsck --repair"), "{refused}");
        }
        let (saved, _) = salvaged(&place.path);
        assert_eq!((saved.entries, &saved.aside), (COUNT as u64, &aside));
        assert_eq!(fs::read(&aside).unwrap(), sound);
    }
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(other);
    let before = fs::read(&path).unwrap();
    let refused = Sqlite::salvage(&path).unwrap_err();
    assert!(matches!(refused, SalvageError::Foreign { .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// In a process of its own: opens the catalog again and again, and commits.
#[test]
fn comes_and_goes() {
    let Some(path) = std::env::var_os("THRIFTY_TEST_CATALOG").map(PathBuf::from) else { return };
    let role = std::process::id();
    let mut acknowledged = String::new();
    for number in 0..40 {
        let name = format!("{role} {number}");
        let Ok(catalog) = Sqlite::open(&path, Mode::ReadWrite) else { continue };
        let Ok(slot) = catalog.slot(&scope("lab"), &key(&name)) else { continue };
        let claim = Claim { epoch: slot.epoch, ..Claim::default() };
        match catalog.commit(&scope("lab"), &entry(&name, &name), &claim) {
            Ok(Committed::Stored(_)) => acknowledged += &format!("{name}\n"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(matches!(error, CatalogError::Busy { .. }), "{error}"),
        }
    }
    fs::write(path.with_extension(format!("acknowledged-{role}")), acknowledged).unwrap();
}

#[test]
fn whoever_comes_while_it_is_repaired_writes_into_the_new_one() {
    let place = place();
    let start = || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["comes_and_goes", "--exact"])
            .env("THRIFTY_TEST_CATALOG", &place.path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children = [start(), start()];
    let mut repaired = 0;
    // Not for as long as they work: they would hardly get in between.
    while repaired < 10 && children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        match Sqlite::salvage(&place.path) {
            Ok(saved) => {
                assert_eq!(saved.lost, 0);
                fs::remove_file(saved.aside).unwrap();
                repaired += 1;
            }
            Err(error) => assert!(matches!(error, SalvageError::InUse { .. }), "{error}"),
        }
    }
    assert!(repaired > 0);
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let catalog = open(&place.path);
    assert_eq!((catalog.check().unwrap(), hits(&catalog)), (vec![], COUNT));
    let mut acknowledged = 0;
    for child in children {
        let list = place.path.with_extension(format!("acknowledged-{}", child.id()));
        for name in fs::read_to_string(list).unwrap().lines() {
            let request = [Request { key: key(name), max_age: None }];
            let found = catalog.lookup(&scope("lab"), &request).unwrap().remove(0);
            assert!(matches!(found, Found::Hit(hit) if hit.output == name.as_bytes()), "{name}");
            acknowledged += 1;
        }
    }
    assert!(acknowledged > 0);
}
