//! What only the SQLite backend can get wrong: its file, its place, its processes, its clock.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use thrifty_catalog::conformance::{blob, entry, holder, key, scope};
use thrifty_catalog::{
    Catalog, CatalogError, Claim, Clock, Committed, EntryId, Found, Mode, NewRun, Node, Problem,
    Remedy, Request, Reserved, RunFilter, RunStatus, Selector, Shortened, Sqlite, Why,
};
use thrifty_key::{Kind, Preview};

const HOUR: Duration = Duration::from_hours(1);

/// A machine whose clocks stand still unless they are told to move.
#[derive(Clone, Default)]
struct Stopped {
    wall: Arc<AtomicI64>,
    steady: Arc<AtomicI64>,
}

impl Clock for Stopped {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn steady(&self) -> i64 {
        self.steady.load(Ordering::SeqCst)
    }
}

impl Stopped {
    fn pass(&self, millis: i64) {
        self.wall.fetch_add(millis, Ordering::SeqCst);
        self.steady.fetch_add(millis, Ordering::SeqCst);
    }
}

struct Place {
    _directory: TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    Place { _directory: directory, path }
}

fn open(path: &Path) -> Sqlite {
    Sqlite::open(path, Mode::ReadWrite).unwrap()
}

fn look(catalog: &Sqlite, name: &str) -> Found {
    let request = Request { key: key(name), max_age: None };
    catalog.lookup(&scope("lab"), &[request]).unwrap().remove(0)
}

/// An operation of a run of which little is known.
fn node() -> Node {
    Node {
        number: 0,
        operation: "lab.train".to_owned(),
        key: None,
        ingredients: None,
        outcome: "computed".to_owned(),
        detail: String::new(),
        reason: String::new(),
        rule: String::new(),
        entry: None,
        source: None,
        output_digest: None,
        count: 1,
        at: 0,
        spent: Duration::ZERO,
        saved: Duration::ZERO,
        upstream: Vec::new(),
        takes: Vec::new(),
        parent: None,
    }
}

fn why(catalog: &Sqlite, name: &str) -> Option<Why> {
    match look(catalog, name) {
        Found::Hit(_) => None,
        Found::Miss(_, why) => Some(why),
    }
}

fn put(catalog: &Sqlite, name: &str) {
    let Found::Miss(slot, _) = look(catalog, name) else {
        panic!("{name} is there already");
    };
    let claim = Claim { epoch: slot.epoch, ..Claim::default() };
    let mut new = entry(name, name);
    new.blobs = vec![blob(name, 1)];
    let committed = catalog.commit(&scope("lab"), &new, &claim).unwrap();
    assert!(matches!(committed, Committed::Stored(_)), "{committed:?}");
}

#[test]
fn sqlite_has_no_known_fault() {
    let parts: Vec<u32> =
        rusqlite::version().split('.').map(|part| part.parse().unwrap()).collect();
    assert!(parts >= vec![3, 51, 3], "the log of {parts:?} can be corrupted");
}

#[test]
fn entries_outlive_the_process() {
    let place = place();
    put(&open(&place.path), "a");
    let catalog = open(&place.path);
    assert_eq!(why(&catalog, "a"), None);
    assert_eq!(catalog.check().unwrap(), []);
}

#[test]
fn every_flipped_field_is_a_miss() {
    let columns = [
        ("operation", "'lab.other'"),
        ("tail", "'other'"),
        ("output_digest", "zeroblob(32)"),
        ("parts_digest", "zeroblob(31)"),
        ("size", "size + 1"),
        ("cost", "cost + 1"),
        ("created_at", "created_at + 1"),
        ("expires_at", "9000000000000000"),
        ("run", "'run'"),
        ("node", "1"),
        ("host", "'h'"),
        ("user", "'u'"),
        ("seal", "zeroblob(32)"),
        ("observed", "x'01'"),
        ("output", "x'62'"),
        ("made_of", "x'00'"),
        ("project", "'shop'"),
        ("key", "zeroblob(32)"),
    ];
    for (column, value) in columns {
        let place = place();
        let catalog = open(&place.path);
        put(&catalog, "a");
        let changes = catalog.changes();
        let raw = Connection::open(&place.path).unwrap();
        let sql = format!("UPDATE entry SET {column} = {value}");
        assert_eq!(raw.execute(&sql, []).unwrap(), 1);
        assert_eq!(catalog.check().unwrap().len(), 1, "{column}");
        let entries = catalog.entries(None, &Selector::default(), 9).unwrap();
        assert_eq!(entries, [], "{column}");

        let moved = matches!(column, "project" | "key");
        let expected = if moved { Why::Absent } else { Why::Corrupt };
        assert_eq!(why(&catalog, "a"), Some(expected), "{column}");
        if moved {
            continue;
        }
        assert_ne!(catalog.changes(), changes, "{column}: its removal is told");
        assert_eq!(why(&catalog, "a"), Some(Why::Absent), "{column}: removed");
        put(&catalog, "a");
        assert_eq!(catalog.check().unwrap(), []);
    }
}

#[test]
fn an_entry_moved_to_another_key_is_a_miss() {
    let place = place();
    let catalog = open(&place.path);
    put(&catalog, "a");
    let raw = Connection::open(&place.path).unwrap();
    for (column, value) in [("key", &key("b").as_bytes()[..]), ("project", b"lab")] {
        let sql = format!("UPDATE entry SET {column} = CAST(?1 AS {})", {
            if column == "key" { "BLOB" } else { "TEXT" }
        });
        raw.execute(&sql, [value]).unwrap();
    }
    assert_eq!(why(&catalog, "b"), Some(Why::Corrupt));
}

#[test]
fn a_broken_entry_does_not_keep_its_place() {
    let place = place();
    let catalog = open(&place.path);
    put(&catalog, "a");
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE entry SET output = x'00'", []).unwrap();
    let committed = catalog.commit(&scope("lab"), &entry("a", "a"), &Claim::default());
    assert!(matches!(committed.unwrap(), Committed::Stored(_)));
    assert_eq!(why(&catalog, "a"), None);
}

#[test]
fn damage_outside_the_entry_is_found_and_mended() {
    // What is done to the file, and whether the entry has to go for it.
    let damages = [
        ("UPDATE ingredients SET body = x'80'", true),
        ("DELETE FROM ingredients", true),
        ("DELETE FROM usage", true),
        ("UPDATE blob SET length = 6", true),
        ("UPDATE blob SET state = 1", true),
        ("UPDATE blob SET state = 7", true),
        ("UPDATE blob SET digest = x'00'", true),
        ("UPDATE blob SET generation = generation + 1", true),
        ("DELETE FROM reference", true),
        ("UPDATE reference SET digest = zeroblob(32)", true),
        ("INSERT INTO usage (entry, used_at, hits, nondeterministic) VALUES (99, 0, 0, 0)", false),
        ("INSERT INTO ingredients VALUES (99, x'80')", false),
        ("INSERT INTO reference VALUES (99, zeroblob(32), 1)", false),
        ("INSERT INTO blob VALUES (x'00', 1, 1, 0, 0, 0)", false),
        ("UPDATE meta SET last_entry = 0", false),
        ("UPDATE meta SET log_floor = 9", false),
        ("INSERT INTO invalidation (epoch) VALUES (99)", false),
        ("UPDATE slot SET epoch = 99", false),
        ("UPDATE slot SET epoch = -1", false),
        ("UPDATE slot SET fence = -1", false),
        ("UPDATE slot SET lease_until = lease_until + (1 << 50)", false),
        ("UPDATE slot SET lease_until = NULL", false),
        ("UPDATE slot SET nonce = x'00'", false),
        ("UPDATE slot SET ended = x'00'", false),
        ("UPDATE slot SET failures = -1", false),
        ("UPDATE slot SET alone_until = 1 << 50", false),
        ("UPDATE meta SET clock = clock + (1 << 43)", false),
        ("UPDATE meta SET clock = -1", false),
        ("UPDATE committed SET how = 3", false),
        ("UPDATE committed SET id = x'00'", false),
    ];
    for (damage, goes) in damages {
        let place = place();
        let catalog = open(&place.path);
        let mut with_blob = entry("a", "a");
        with_blob.blobs = vec![blob("bytes", 1)];
        catalog.commit(&scope("lab"), &with_blob, &Claim::default()).unwrap();
        catalog.reserve(&scope("lab"), &key("b"), &holder(7), Duration::from_secs(10)).unwrap();
        assert_eq!(catalog.check().unwrap(), []);
        let raw = Connection::open(&place.path).unwrap();
        raw.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
            .unwrap();
        raw.execute(damage, []).unwrap();
        let problems = catalog.check().unwrap();
        assert_ne!(problems, [], "{damage}");
        let structural = |it: &&Problem| it.remedy == Remedy::Rebuild;
        // A value that a column must not hold is told by the database's own check as well.
        let told = problems.iter().filter(structural).all(|it| it.what.contains("CHECK"));
        assert!(told, "{damage}: {problems:?}");
        assert_eq!(catalog.mend(&problems).unwrap(), u64::from(goes), "{damage}");
        assert_eq!(catalog.check().unwrap(), [], "{damage}");
        assert_eq!(why(&catalog, "a"), goes.then_some(Why::Absent), "{damage}");
    }
}

#[test]
fn text_that_is_none_keeps_nobody_from_the_rest() {
    let place = place();
    let catalog = open(&place.path);
    put(&catalog, "a");
    let lab = scope("lab");
    let run = catalog.begin_run(&lab, &NewRun::default()).unwrap();
    let held = catalog.reserve(&lab, &key("b"), &holder(7), Duration::from_secs(10)).unwrap();
    let Reserved::Taken(claim) = held else { panic!("{held:?}") };
    catalog.put_texts(&[(key("text"), "def f(): ...")]).unwrap();
    let raw = Connection::open(&place.path).unwrap();
    for (table, columns) in [
        ("slot", &["operation", "host", "process", "failure"][..]),
        ("run", &["project", "domain", "name", "arguments", "host", "user", "process"]),
        ("text", &["body"]),
    ] {
        for column in columns {
            raw.execute(&format!("UPDATE {table} SET {column} = CAST(x'e9' AS TEXT)"), []).unwrap();
        }
    }
    assert_eq!(catalog.check().unwrap(), []);
    assert_eq!(catalog.reservations(None).unwrap()[0].held.holder.host, "\u{fffd}");
    assert_eq!(catalog.runs(None, &RunFilter::default()).unwrap()[0].id, run);
    assert_eq!(catalog.text(&key("text")).unwrap().as_deref(), Some("\u{fffd}"));
    let beat = catalog.heartbeat(&lab, &[(key("b"), claim)], Duration::from_secs(10));
    assert_eq!(beat.unwrap(), [true]);
    let committed = catalog.commit(&lab, &entry("b", "b"), &claim).unwrap();
    assert!(matches!(committed, Committed::Stored(_)), "{committed:?}");

    raw.execute("UPDATE entry SET project = CAST(x'e9' AS TEXT) WHERE id = 1", []).unwrap();
    let problems = catalog.check().unwrap();
    assert_eq!(
        problems.iter().map(|it| it.remedy).collect::<Vec<_>>(),
        [Remedy::Remove(EntryId(1))]
    );
    let removed = catalog.invalidate(None, &Selector::default()).unwrap();
    assert_eq!(removed.entries, 2);
}

#[test]
fn a_clock_that_nobody_wrote_is_none() {
    let place = place();
    let catalog = open(&place.path);
    let before = catalog.now().unwrap();
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE meta SET clock = clock | (1 << 60)", []).unwrap();
    assert_eq!(catalog.check().unwrap()[0].remedy, Remedy::Mend);
    put(&catalog, "a");
    assert_eq!(catalog.check().unwrap(), [], "the next write puts it right");
    let passed = catalog.now().unwrap() - before;
    assert!(passed < 3_600_000, "{passed} ms passed");
}

#[test]
fn a_use_at_a_time_that_is_still_to_come_keeps_nothing() {
    let place = place();
    let catalog = open(&place.path);
    let stored = catalog.commit(&scope("lab"), &entry("a", "a"), &Claim::default()).unwrap();
    let Committed::Stored(id) = stored else { panic!("{stored:?}") };
    let raw = Connection::open(&place.path).unwrap();
    assert_eq!(raw.execute("UPDATE usage SET used_at = used_at + 9000000", []).unwrap(), 1);
    assert_eq!(catalog.evict(&[id], catalog.now().unwrap()).unwrap().entries, 1);
}

#[test]
fn what_was_put_right_meanwhile_is_not_removed() {
    let place = place();
    let catalog = open(&place.path);
    put(&catalog, "a");
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE entry SET cost = cost + 1", []).unwrap();
    let problems = catalog.check().unwrap();
    raw.execute("UPDATE entry SET cost = cost - 1", []).unwrap();
    assert_eq!((problems.len(), catalog.mend(&problems).unwrap()), (1, 0));
    assert_eq!(why(&catalog, "a"), None);
}

#[test]
fn nothing_is_removed_but_what_was_found() {
    let place = place();
    let catalog = open(&place.path);
    for name in ["a", "b", "c"] {
        put(&catalog, name);
    }
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE entry SET cost = cost + 1 WHERE id <> 3", []).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF; INSERT INTO ingredients VALUES (99, x'80')")
        .unwrap();
    let problem = |remedy| Problem { remedy, what: String::new() };
    let found = |remedy| catalog.check().unwrap().iter().any(|it| it.remedy == remedy);
    // What needs a new catalog, and nothing, leave all as it is.
    for problems in [&[problem(Remedy::Rebuild)][..], &[]] {
        assert_eq!(catalog.mend(problems).unwrap(), 0);
        assert!(found(Remedy::Mend));
    }
    let [first, second, third] = [1, 2, 3].map(|id| Remedy::Remove(EntryId(id)));
    let told = [second, third, Remedy::Remove(EntryId(99)), second].map(problem);
    assert_eq!(catalog.mend(&told).unwrap(), 1, "one is sound, one not there, one told twice");
    assert!(found(first) && !found(second) && !found(Remedy::Mend));
    let left: Vec<i64> = (1..=3)
        .filter(|id| {
            let sql = "SELECT count(*) FROM entry WHERE id = ?1";
            raw.query_row(sql, [id], |row| row.get::<_, i64>(0)).unwrap() == 1
        })
        .collect();
    assert_eq!(left, [1, 3]);
}

#[test]
fn a_slot_that_was_put_right_meanwhile_is_left_to_its_holder() {
    let place = place();
    let catalog = open(&place.path);
    let lab = scope("lab");
    for (name, nonce) in [("a", 1), ("b", 2)] {
        catalog.reserve(&lab, &key(name), &holder(nonce), HOUR).unwrap();
    }
    let raw = Connection::open(&place.path).unwrap();
    let damage = |by: &str, name: &str| {
        let sql =
            format!("UPDATE slot SET lease_until = lease_until {by} (1 << 50) WHERE key = ?1");
        assert_eq!(raw.execute(&sql, [key(name).as_bytes()]).unwrap(), 1);
    };
    damage("+", "a");
    damage("+", "b");
    let problems = catalog.check().unwrap();
    assert_eq!(problems.iter().map(|it| it.remedy).collect::<Vec<_>>(), [Remedy::Mend]);
    damage("-", "a");
    assert_eq!(catalog.mend(&problems).unwrap(), 0);
    let holders = catalog.reservations(None).unwrap().into_iter().map(|it| it.held.holder.nonce);
    assert_eq!(holders.collect::<Vec<_>>(), [1]);
    assert_eq!(catalog.check().unwrap(), []);
}

#[test]
fn a_changed_layout_is_damage_with_a_way_out() {
    for damage in [
        "ALTER TABLE entry RENAME COLUMN cost TO cosu",
        "ALTER TABLE entry RENAME TO entrz",
        "DELETE FROM meta",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = '' WHERE name = 'entry'",
    ] {
        let place = place();
        put(&open(&place.path), "a");
        let raw = Connection::open(&place.path).unwrap();
        raw.execute_batch(damage).unwrap();
        drop(raw);
        let request = [Request { key: key("a"), max_age: None }];
        let looked = Sqlite::open(&place.path, Mode::ReadWrite).and_then(|catalog| {
            catalog.commit(&scope("lab"), &entry("b", "b"), &Claim::default())?;
            catalog.lookup(&scope("lab"), &request)
        });
        let error = looked.unwrap_err();
        assert!(matches!(error, CatalogError::Damaged { .. }), "{damage}: {error}");
        assert!(error.to_string().contains("thrifty fsck --repair"), "{error}");
        assert!(!error.to_string().contains("SELECT"), "{error}");
    }
}

#[test]
fn what_is_no_catalog_is_refused_and_left_alone() {
    type Make<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Make<'_>); 4] = [
        ("text", &|path| fs::write(path, "a letter ".repeat(1000)).unwrap()),
        ("foreign", &|path| {
            let other = Connection::open(path).unwrap();
            other.execute_batch("CREATE TABLE theirs (a)").unwrap();
        }),
        ("older", &|path| {
            drop(open(path));
            let raw = Connection::open(path).unwrap();
            raw.pragma_update(None, "user_version", 0).unwrap();
        }),
        ("truncated", &|path| {
            put(&open(path), "a");
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2 + 100]).unwrap();
        }),
    ];
    for (what, make) in cases {
        for mode in [Mode::ReadWrite, Mode::ReadOnly] {
            let place = place();
            make(&place.path);
            let before = fs::read(&place.path).unwrap();
            let opened = Sqlite::open(&place.path, mode);
            let damaged = match opened {
                Err(CatalogError::Damaged { .. }) => true,
                // Half a file may only show where it is read.
                Ok(catalog) => catalog.check().is_err() || !catalog.check().unwrap().is_empty(),
                Err(other) => panic!("{what}: {other}"),
            };
            assert!(damaged, "{what}");
            assert_eq!(fs::read(&place.path).unwrap(), before, "{what}");
        }
    }
}

#[test]
fn another_format_is_refused() {
    let place = place();
    drop(open(&place.path));
    let raw = Connection::open(&place.path).unwrap();
    raw.pragma_update(None, "user_version", 7).unwrap();
    for mode in [Mode::ReadWrite, Mode::ReadOnly] {
        let refused = Sqlite::open(&place.path, mode).unwrap_err();
        assert!(matches!(refused, CatalogError::Newer { found: 7, known: 5, .. }), "{refused}");
    }
    raw.pragma_update(None, "user_version", 1).unwrap();
    for mode in [Mode::ReadWrite, Mode::ReadOnly] {
        let refused = Sqlite::open(&place.path, mode).unwrap_err();
        assert!(matches!(refused, CatalogError::Older { found: 1, known: 5, .. }), "{refused}");
        assert!(refused.to_string().contains("delete its directory"), "{refused}");
    }
}

/// Catalogs as earlier formats left them, with the entry `a` in them and a reservation of `b`.
const EARLIER: [(i64, &str); 3] = [
    (2, include_str!("format_2.sql")),
    (3, include_str!("format_3.sql")),
    (4, include_str!("format_4.sql")),
];

fn earlier(sql: &str) -> Place {
    let place = place();
    let raw = Connection::open(&place.path).unwrap();
    raw.execute_batch(sql).unwrap();
    place
}

fn format(path: &Path) -> i64 {
    let raw = Connection::open(path).unwrap();
    raw.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// Names, types and constraints of all tables and indices, as SQLite understands them.
fn layout(path: &Path) -> Vec<String> {
    let raw = Connection::open(path).unwrap();
    let sql = "SELECT m.type || ' ' || m.name || ' ' || coalesce(c.name, '') || ' ' || \
               coalesce(c.type, '') || ' ' || coalesce(c.'notnull', '') || ' ' || \
               coalesce(c.dflt_value, '') || ' ' || coalesce(c.pk, '') \
               FROM sqlite_schema m LEFT JOIN pragma_table_xinfo(m.name) c ORDER BY m.name, c.cid";
    let mut statement = raw.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_catalog_of_an_earlier_format_is_brought_up() {
    let fresh = place();
    drop(open(&fresh.path));
    for (before, sql) in EARLIER {
        let place = earlier(sql);
        assert_eq!(format(&place.path), before);
        let reader = Sqlite::open(&place.path, Mode::ReadOnly).unwrap();
        reads_everything(&reader);
        assert_eq!(format(&place.path), before, "and changes nothing");

        let catalog = open(&place.path);
        assert_eq!(format(&place.path), 5);
        assert_eq!(why(&catalog, "a"), None);
        assert_eq!(catalog.check().unwrap(), []);
        let taken = catalog.reserve(&scope("lab"), &key("b"), &holder(1), HOUR).unwrap();
        let Reserved::Taken(claim) = taken else { panic!("its lease has long passed: {taken:?}") };
        assert_eq!(claim.reservation, Some((5, 1)), "fences go on");
        let new = entry("b", "b");
        let committed = catalog.commit(&scope("lab"), &new, &claim).unwrap();
        assert_eq!(catalog.commit(&scope("lab"), &new, &claim).unwrap(), committed);
        assert_eq!(layout(&place.path), layout(&fresh.path));
        reads_everything(&reader);
        assert_eq!(reader.entries(None, &Selector::default(), 9).unwrap().len(), 2);
    }
}

/// Whoever may only read gets what there is.
fn reads_everything(reader: &Sqlite) {
    assert_eq!(why(reader, "a"), None, "who may only read still hits");
    assert_eq!(reader.check().unwrap(), []);
    let entries = reader.entries(None, &Selector::default(), 9).unwrap();
    assert!(entries.iter().any(|entry| entry.key == key("a")));
    for run in reader.runs(None, &RunFilter::default()).unwrap() {
        assert_eq!(reader.nodes(&run.id).unwrap().len(), 1);
    }
    assert_eq!(reader.reservations(None).unwrap(), []);
    assert_eq!(reader.standing(&scope("lab"), &key("b")).unwrap().held, None);
    reader.totals(None).unwrap();
    assert_eq!(reader.text(&key("a")).unwrap(), None);
    assert_eq!(reader.recall("t", b"n").unwrap(), None);
    assert_eq!(reader.blobs().unwrap().len(), 1);
}

#[test]
fn what_was_known_in_the_format_before_stays() {
    let (_, sql) = EARLIER[1];
    let catalog = open(&earlier(sql).path);
    let kept = catalog.entries(None, &Selector::default(), 9).unwrap().remove(0);
    assert!(kept.pinned && kept.hits == 2, "{kept:?}");
    let run = catalog.runs(None, &RunFilter::default()).unwrap().remove(0);
    assert_eq!(catalog.nodes(&run.id).unwrap()[0].reason, "full");
    let standing = catalog.standing(&scope("lab"), &key("b")).unwrap();
    assert_eq!(standing.failure, Some((3, "broken".to_owned())));
    let again = catalog.reserve(&scope("lab"), &key("a"), &holder(8), HOUR).unwrap();
    let Reserved::Taken(claim) = again else { panic!("it held the slot last: {again:?}") };
    assert_eq!(claim.reservation, Some((1, 8)), "a repetition over the change of format");
}

#[test]
fn processes_bring_one_catalog_up_at_once() {
    if let Some((path, _)) = spawned() {
        let catalog = open(&path);
        assert_eq!(why(&catalog, "a"), None);
        return;
    }
    let place = earlier(EARLIER[0].1);
    let name = "processes_bring_one_catalog_up_at_once";
    let children: Vec<_> = (0..8).map(|role| spawn(name, &place.path, role)).collect();
    assert!(children.into_iter().all(|mut child| child.wait().unwrap().success()));
    assert_eq!(format(&place.path), 5);
}

#[test]
fn a_catalog_that_could_not_be_brought_up_is_as_it_was() {
    for (format, sql) in EARLIER {
        let place = earlier(sql);
        let raw = Connection::open(&place.path).unwrap();
        // The last step fails, as it would in a process that dies there.
        raw.execute_batch("CREATE TABLE entry_made_of (id BLOB PRIMARY KEY) STRICT").unwrap();
        drop(raw);
        let before = layout(&place.path);
        assert!(Sqlite::open(&place.path, Mode::ReadWrite).is_err());
        assert_eq!(self::format(&place.path), format);
        assert_eq!(layout(&place.path), before);
        let reader = Sqlite::open(&place.path, Mode::ReadOnly).unwrap();
        assert_eq!(why(&reader, "a"), None);
    }
}

#[test]
fn a_collection_forgets_answers_of_commits_after_two_days() {
    let (place, clock, catalog) = stopped();
    let known = || {
        let raw = Connection::open(&place.path).unwrap();
        raw.query_row("SELECT count(*) FROM committed", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let ids = [0, 1 << 127, u128::MAX];
    for id in ids {
        let new = thrifty_catalog::NewEntry { id, ..entry("a", "a") };
        catalog.commit(&scope("lab"), &new, &Claim::default()).unwrap();
    }
    clock.pass(48 * 3_600_000);
    catalog.shorten(Duration::ZERO).unwrap();
    assert_eq!(known(), 3);
    clock.pass(1);
    put(&catalog, "b");
    catalog.shorten(Duration::from_hours(9_000)).unwrap();
    assert_eq!(known(), 1, "of commits since");
}

/// A catalog with a clock that stands still.
fn stopped() -> (Place, Stopped, Sqlite) {
    let (place, clock) = (place(), Stopped::default());
    clock.pass(1_000_000);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let catalog = Sqlite::open_with_clock(&place.path, Mode::ReadWrite, shared).unwrap();
    (place, clock, catalog)
}

const NINETY_DAYS: i64 = 90 * 24 * 3_600_000;

#[test]
fn compacting_forgets_what_was_deleted_ninety_days_ago() {
    let (_place, clock, catalog) = stopped();
    let [gone, orphan] = ["gone", "orphan"].map(|content| blob(content, 1));
    catalog.keep_blobs(&[gone], Duration::ZERO).unwrap();
    assert_eq!(catalog.disown(&[orphan]).unwrap(), [orphan]);
    // However long ago they were used, or were to be deleted for the first time.
    clock.pass(NINETY_DAYS);
    assert_eq!(catalog.condemn(Duration::ZERO, false).unwrap(), [gone]);
    catalog.forget(&[gone]).unwrap();
    assert_eq!(catalog.disown(&[orphan]).unwrap(), [orphan]);
    let commit = |blob| {
        let new = thrifty_catalog::NewEntry { blobs: vec![blob], ..entry("a", "a") };
        let claim = catalog.draw_ticket(&scope("lab"), &key("a")).unwrap();
        catalog.commit(&scope("lab"), &new, &claim).unwrap()
    };
    clock.pass(NINETY_DAYS);
    catalog.compact().unwrap();
    for blob in [gone, orphan] {
        assert_eq!(commit(blob), Committed::BlobGone(blob));
    }
    clock.pass(1);
    catalog.compact().unwrap();
    assert!(matches!(commit(gone), Committed::Stored(_)));
}

#[test]
fn what_is_found_or_kept_is_used_and_what_is_condemned_is_told_each_time() {
    let (_place, clock, catalog) = stopped();
    let [found, kept, idle] = ["found", "kept", "idle"].map(|content| blob(content, 1));
    catalog.keep_blobs(&[found, kept, idle], Duration::ZERO).unwrap();
    clock.pass(3_600_000);
    assert_eq!(catalog.find_blob(&found.digest, Duration::ZERO).unwrap(), Some(found));
    catalog.keep_blobs(&[kept], Duration::ZERO).unwrap();
    let condemn = |dry_run| {
        let mut condemned = catalog.condemn(HOUR, dry_run).unwrap();
        condemned.sort_unstable();
        condemned
    };
    for dry_run in [true, false, true] {
        assert_eq!(condemn(dry_run), [idle]);
    }
    clock.pass(3_600_000);
    let mut all = [found, kept, idle];
    all.sort_unstable();
    for dry_run in [true, false] {
        assert_eq!(condemn(dry_run), all);
    }
}

#[test]
fn a_run_that_never_ended_is_forgotten_when_none_lasts_so_long() {
    let (_place, clock, catalog) = stopped();
    catalog.begin_run(&scope("lab"), &NewRun::default()).unwrap();
    clock.pass(NINETY_DAYS);
    assert_eq!(catalog.shorten(HOUR).unwrap(), Shortened::default());
    clock.pass(1);
    assert_eq!(catalog.shorten(HOUR).unwrap(), Shortened { runs: 1, ..Shortened::default() });
}

#[test]
fn what_is_kept_again_is_as_new() {
    let (place, clock, catalog) = stopped();
    let keep = |body: &[u8]| {
        catalog.put_texts(&[(key("text"), "def f(): ...")]).unwrap();
        catalog.remember("topic", &[(b"name", body)]).unwrap();
    };
    keep(b"one");
    clock.pass(1);
    keep(b"two");
    clock.pass(3_600_000);
    assert_eq!(catalog.shorten(HOUR).unwrap(), Shortened::default());
    // Found to be old together, and kept again before their turn comes.
    clock.pass(1);
    let names: Vec<[u8; 1]> = (0..9).map(|name| [name]).collect();
    let memos: Vec<(&[u8], &[u8])> = names.iter().map(|name| (&name[..], &b""[..])).collect();
    catalog.remember("others", &memos).unwrap();
    let texts = ["a", "b", "c", "d"].map(|name| (key(name), name));
    catalog.put_texts(&texts).unwrap();
    clock.pass(3_600_001);
    let raw = Connection::open(&place.path).unwrap();
    for table in ["memo", "text"] {
        raw.execute_batch(&format!(
            "CREATE TRIGGER again_{table} AFTER DELETE ON {table} \
             BEGIN UPDATE {table} SET kept_at = 1 << 40; END"
        ))
        .unwrap();
    }
    let one = Shortened { runs: 0, memos: 1, texts: 1 };
    assert_eq!(catalog.shorten(HOUR).unwrap(), one);
}

#[test]
fn a_text_stays_as_long_as_the_run_that_refers_to_it() {
    let (_place, clock, catalog) = stopped();
    let mut ingredients = entry("a", "a").ingredients;
    let source = Preview::Source(key("text"));
    ingredients.add(Kind::Code, "f", key("code"), source).unwrap();
    let run = catalog.begin_run(&scope("lab"), &NewRun::default()).unwrap();
    let node = Node { ingredients: Some(ingredients), ..node() };
    catalog.record(&run, &[node]).unwrap();
    catalog.put_texts(&[(key("text"), "def f(): ...")]).unwrap();
    clock.pass(3_600_001);
    assert_eq!(catalog.shorten(HOUR).unwrap(), Shortened::default());
    assert!(catalog.text(&key("text")).unwrap().is_some());
    catalog.finish_run(&run, RunStatus::Succeeded).unwrap();
    assert_eq!(catalog.shorten(HOUR).unwrap(), Shortened { runs: 1, memos: 0, texts: 1 });
}

#[test]
fn a_failing_key_is_left_alone_for_a_minute_of_the_catalog() {
    let (_place, clock, catalog) = stopped();
    let reserve = |nonce| catalog.reserve(&scope("lab"), &key("a"), &holder(nonce), HOUR).unwrap();
    for nonce in 1..=3 {
        assert!(matches!(reserve(nonce), Reserved::Taken(_)), "{nonce}");
        clock.pass(60_000);
    }
    let alone = |left| Reserved::Unserialised(Duration::from_millis(left));
    assert_eq!(reserve(4), alone(60_000));
    clock.pass(59_999);
    assert_eq!(reserve(5), alone(1));
    clock.pass(1);
    assert!(matches!(reserve(6), Reserved::Taken(_)));
}

#[test]
fn one_heartbeat_answers_for_each_and_prolongs_those_that_are_not_lost() {
    let (_place, clock, catalog) = stopped();
    let lab = scope("lab");
    let lease = Duration::from_secs(10);
    let names = ["a", "b", "c", "d", "e"];
    let claims = names.map(|name| {
        let nonce = u128::from(name.as_bytes()[0]);
        let taken = catalog.reserve(&lab, &key(name), &holder(nonce), lease).unwrap();
        let Reserved::Taken(claim) = taken else { panic!("{taken:?}") };
        (key(name), claim)
    });
    let [a, b, c, _, e] = claims;
    let lost = Selector { key_prefix: Some(key("b").to_string()), ..Selector::default() };
    put(&catalog, "b");
    catalog.invalidate(Some(&lab), &lost).unwrap();
    clock.pass(9_999);
    // In whatever order they are told, and the fourth is not among them.
    let beat = catalog.heartbeat(&lab, &[b, e, a, (key("never"), a.1), c], lease).unwrap();
    assert_eq!(beat, [false, true, true, false, true]);
    clock.pass(9_999);
    let held = names.map(|name| {
        let standing = catalog.standing(&lab, &key(name)).unwrap();
        standing.held.map(|held| held.left)
    });
    let left = Some(Duration::from_millis(1));
    assert_eq!(held, [left, None, left, None, left]);
}

#[test]
fn compacting_forgets_waits_of_reservations_that_are_no_more() {
    let place = place();
    let catalog = open(&place.path);
    let take = |name, nonce| {
        let taken = catalog.reserve(&scope("lab"), &key(name), &holder(nonce), HOUR).unwrap();
        assert!(matches!(taken, Reserved::Taken(_)));
    };
    take("a", 1);
    take("b", 2);
    // Nothing has the nonce 9: its process died before it was heard of.
    let standing = catalog.wait_for(&scope("lab"), &key("a"), &[2, 9]).unwrap();
    assert_eq!(standing.held.map(|held| held.holder.nonce), Some(1));
    catalog.compact().unwrap();
    let raw = Connection::open(&place.path).unwrap();
    let left: Vec<u8> = raw.query_row("SELECT holder FROM waiting", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2_u128.to_be_bytes());
    let rows: i64 = raw.query_row("SELECT count(*) FROM waiting", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

#[test]
fn what_nobody_wrote_into_a_slot_holds_nobody_up() {
    let place = place();
    let catalog = open(&place.path);
    catalog.reserve(&scope("lab"), &key("a"), &holder(1), HOUR).unwrap();
    let raw = Connection::open(&place.path).unwrap();
    for damage in ["lease_until = lease_until + (1 << 40)", "alone_until = 1 << 50"] {
        raw.execute(&format!("UPDATE slot SET {damage}"), []).unwrap();
        let standing = catalog.standing(&scope("lab"), &key("a")).unwrap();
        assert_eq!(standing.held.map(|held| held.holder.nonce), None, "{damage}");
    }
    let taken = catalog.reserve(&scope("lab"), &key("a"), &holder(2), HOUR).unwrap();
    assert!(matches!(taken, Reserved::Taken(_)), "{taken:?}");
}

#[test]
fn a_place_without_a_catalog_is_named() {
    let place = place();
    let directory = place.path.parent().unwrap();
    let file = directory.join("file");
    fs::write(&file, "").unwrap();
    let cases = [
        (directory.to_owned(), Mode::ReadWrite, "is a directory"),
        (directory.join("no/catalog.db"), Mode::ReadWrite, "No such file"),
        (file.join("catalog.db"), Mode::ReadWrite, "not a directory"),
        (directory.join("none.db"), Mode::ReadOnly, "No such file"),
        (file, Mode::ReadOnly, "empty"),
    ];
    for (path, mode, reason) in cases {
        let refused = Sqlite::open(&path, mode).unwrap_err();
        assert!(matches!(refused, CatalogError::Unreadable { .. }));
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    drop(open(&directory.join("file")));
}

#[test]
fn a_column_of_another_name_is_damage() {
    let place = place();
    drop(open(&place.path));
    let raw = Connection::open(&place.path).unwrap();
    raw.execute_batch(
        "PRAGMA writable_schema = ON; \
         UPDATE sqlite_schema SET sql = replace(sql, 'body', 'bodx') WHERE name = 'memo'",
    )
    .unwrap();
    drop(raw);
    let found = open(&place.path).check().unwrap();
    assert!(found.iter().any(|it| it.remedy == Remedy::Rebuild), "{found:?}");
}

#[test]
fn entries_of_a_catalog_that_was_emptied_are_missed() {
    for length in [0, 1] {
        let place = place();
        let catalog = open(&place.path);
        put(&catalog, "a");
        put(&catalog, "b");
        let again = catalog.commit(&scope("lab"), &entry("b", "b"), &Claim::default());
        assert!(matches!(again, Ok(Committed::Same(_))), "{again:?}");
        assert_eq!(catalog.check().unwrap(), vec![]);
        drop(catalog);
        fs::File::options().write(true).open(&place.path).unwrap().set_len(length).unwrap();
        let catalog = open(&place.path);
        put(&catalog, "c");
        let found = catalog.check().unwrap();
        assert!(found[0].what.starts_with("missing entries that were stored: 2;"), "{found:?}");
        catalog.mend(&found).unwrap();
        assert_eq!((catalog.check().unwrap(), why(&catalog, "c")), (vec![], None));
    }
}

#[test]
fn reading_sees_what_others_write_and_writes_nothing() {
    let place = place();
    let writer = open(&place.path);
    let reader = Sqlite::open(&place.path, Mode::ReadOnly).unwrap();
    put(&writer, "a");
    assert_eq!(why(&reader, "a"), None);
    let (changes, commits) = (reader.changes(), reader.commits());
    assert_eq!((changes, commits), (reader.changes(), reader.commits()));
    put(&writer, "b");
    assert_eq!((changes, commits + 1), (reader.changes(), reader.commits()));
    writer.invalidate(None, &Selector::default()).unwrap();
    assert_ne!(changes, reader.changes());
    assert_eq!(why(&reader, "a"), Some(Why::Absent));
    let refused = reader.commit(&scope("lab"), &entry("a", "a"), &Claim::default());
    assert!(matches!(refused, Err(CatalogError::ReadOnly { .. })));
    assert!(refused.unwrap_err().is_certain());
}

#[test]
fn a_reader_that_cannot_watch_trusts_nothing() {
    let place = place();
    drop(open(&place.path));
    fs::remove_file(place.path.with_extension("changes")).unwrap();
    let reader = Sqlite::open(&place.path, Mode::ReadOnly).unwrap();
    assert_ne!(reader.changes(), reader.changes());
    assert_ne!(reader.commits(), reader.commits());
}

#[test]
fn a_writer_that_died_while_committing_is_noticed() {
    let place = place();
    let (writer, reader) = (open(&place.path), open(&place.path));
    put(&writer, "a");
    let before = reader.changes();
    // The word as a process leaves it that dies between announcing its commit and ending it.
    let words = place.path.with_extension("changes");
    let mut bytes = fs::read(&words).unwrap();
    bytes[0] |= 1;
    fs::write(&words, bytes).unwrap();
    let during = [reader.changes(), reader.changes(), reader.changes()];
    assert!(during[0] != during[1] && during[1] != during[2]);
    put(&writer, "b");
    let after = reader.changes();
    assert_eq!(after, reader.changes(), "the next write settles it");
    assert!(after != before && !during.contains(&after));
}

#[test]
fn beside_a_reader_the_log_is_not_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let (one, other) = (
        Sqlite::open(&path, Mode::ReadWrite).unwrap(),
        Sqlite::open(&path, Mode::ReadWrite).unwrap(),
    );
    put(&one, "before");
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
    put(&one, "after");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            one.compact().unwrap();
            is_over.store(true, Ordering::SeqCst);
        });
        // All of them are stored: a commit gives up after a second and a half without any.
        for number in 0.. {
            put(&other, &number.to_string());
            if is_over.load(Ordering::SeqCst) {
                break;
            }
        }
    });
    reader.execute_batch("COMMIT").unwrap();
}

#[test]
fn what_has_no_row_of_uses_is_invalidated_as_well() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
    put(&catalog, "one");
    let raw = Connection::open(&path).unwrap();
    raw.execute_batch("DELETE FROM usage").unwrap();
    let old = Selector { unused_for: Some(HOUR), ..Selector::default() };
    assert_eq!(catalog.invalidate(None, &old).unwrap().entries, 1);
    assert_eq!(why(&catalog, "one"), Some(Why::Absent));
}

#[test]
fn an_invalidation_that_finds_nothing_is_told_as_well() {
    let catalog = Sqlite::in_memory().unwrap();
    let before = catalog.changes();
    assert_eq!(catalog.invalidate(None, &Selector::default()).unwrap().entries, 0);
    assert_ne!(catalog.changes(), before);
}

#[test]
fn a_log_that_grew_beside_a_reader_is_short_again() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
    let length = || fs::metadata(directory.path().join("catalog.db-wal")).unwrap().len();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM meta").unwrap();
    let bytes = "x".repeat(8 << 20);
    for name in 0..9 {
        let stored =
            catalog.commit(&scope("lab"), &entry(&name.to_string(), &bytes), &Claim::default());
        assert!(matches!(stored, Ok(Committed::Stored(_))));
    }
    assert!(length() > 64 << 20);
    reader.execute_batch("COMMIT").unwrap();
    // The first is written back with all the others, the second begins the log anew.
    put(&catalog, "one");
    put(&catalog, "two");
    assert!(length() <= 64 << 20, "{}", length());
}

/// SQLite begins the log anew only when it meets no reader by chance.
#[test]
fn a_log_that_somebody_always_reads_does_not_grow_without_end() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
    let length = || fs::metadata(directory.path().join("catalog.db-wal")).unwrap().len();
    let (is_over, commits) =
        (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    let most = std::thread::scope(|threads| {
        threads.spawn(|| {
            let readers = [(); 2].map(|()| Connection::open(&path).unwrap());
            readers[0].execute_batch("BEGIN; SELECT * FROM meta").unwrap();
            // Before one ends, after some commits or a moment, the next one has begun.
            for turn in 1.. {
                let (seen, began) = (commits.load(Ordering::SeqCst), Instant::now());
                let is_early = || {
                    commits.load(Ordering::SeqCst) < seen + 50
                        && began.elapsed() < Duration::from_millis(10)
                };
                while is_early() {
                    std::thread::yield_now();
                }
                readers[turn % 2].execute_batch("BEGIN; SELECT * FROM meta").unwrap();
                readers[(turn + 1) % 2].execute_batch("COMMIT").unwrap();
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        let bytes = "x".repeat(64 << 10);
        let mut most = 0;
        for number in 0..8_000 {
            let name = (number % 100).to_string();
            let new = entry(&name, &format!("{number}{bytes}"));
            let request = Request { key: key(&name), max_age: Some(Duration::ZERO) };
            let found = catalog.lookup(&scope("lab"), &[request]).unwrap().remove(0);
            assert!(matches!(found, Found::Miss(..)), "it is too old");
            let claim = catalog.draw_ticket(&scope("lab"), &key(&name)).unwrap();
            catalog.commit(&scope("lab"), &new, &claim).unwrap();
            commits.fetch_add(1, Ordering::SeqCst);
            most = most.max(length());
        }
        is_over.store(true, Ordering::SeqCst);
        most
    });
    assert!(most < 450 << 20, "{most}");
}

#[test]
fn a_wall_clock_set_back_revives_nothing_and_stops_nothing() {
    let place = place();
    let clock = Stopped::default();
    clock.pass(1_000_000);
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let open =
        || Sqlite::open_with_clock(&place.path, Mode::ReadWrite, Arc::clone(&shared)).unwrap();
    let catalog = open();
    let mut new = entry("a", "a");
    new.expires_at = Some(catalog.now().unwrap() + 3_600_000);
    catalog.commit(&scope("lab"), &new, &Claim::default()).unwrap();
    let lease = Duration::from_secs(60);
    catalog.reserve(&scope("lab"), &key("b"), &holder(1), lease).unwrap();

    clock.pass(3_599_999);
    assert_eq!(why(&catalog, "a"), None);
    clock.pass(1);
    assert_eq!(why(&catalog, "a"), Some(Why::Expired));
    let expired = catalog.now().unwrap();
    clock.wall.store(5, Ordering::SeqCst);
    assert_eq!(why(&catalog, "a"), Some(Why::Expired));
    assert_eq!(why(&open(), "a"), Some(Why::Expired), "nor elsewhere");
    let taken = catalog.reserve(&scope("lab"), &key("b"), &holder(2), lease).unwrap();
    assert!(matches!(taken, Reserved::Taken(_)), "{taken:?}");
    clock.steady.fetch_add(59_999, Ordering::SeqCst);
    let held = catalog.reserve(&scope("lab"), &key("b"), &holder(3), lease).unwrap();
    assert!(matches!(held, Reserved::Held(held) if held.left == Duration::from_millis(1)));
    clock.steady.fetch_add(1, Ordering::SeqCst);
    assert_eq!(catalog.now().unwrap(), expired + 60_000, "time goes on");
    let taken = catalog.reserve(&scope("lab"), &key("b"), &holder(3), lease).unwrap();
    assert!(matches!(taken, Reserved::Taken(_)), "{taken:?}");

    // A restart of the machine: the steady clock begins anew, the shared words may be gone.
    drop(catalog);
    clock.steady.store(0, Ordering::SeqCst);
    fs::remove_file(place.path.with_extension("changes")).unwrap();
    assert_eq!(open().now().unwrap(), expired + 60_000);
}

#[test]
fn who_may_only_read_goes_by_the_clock_of_the_others() {
    let (place, clock, writer) = stopped();
    let showing = |wall| {
        let other = Stopped { wall: Arc::default(), ..clock.clone() };
        other.wall.store(wall, Ordering::SeqCst);
        Arc::new(other) as Arc<dyn Clock>
    };
    let reader = Sqlite::open_with_clock(&place.path, Mode::ReadOnly, showing(5)).unwrap();
    assert_eq!(reader.now().unwrap(), writer.now().unwrap());
    let ahead = Sqlite::open_with_clock(&place.path, Mode::ReadWrite, showing(7_000_000)).unwrap();
    assert_eq!(ahead.now().unwrap(), 7_000_000);
    assert_eq!((reader.now().unwrap(), writer.now().unwrap()), (7_000_000, 7_000_000));
}

#[test]
fn compacting_gives_space_back() {
    let place = place();
    let catalog = open(&place.path);
    let mut large = entry("a", "a");
    large.output = vec![1; 4_000_000];
    catalog.commit(&scope("lab"), &large, &Claim::default()).unwrap();
    catalog.compact().unwrap();
    let full = fs::metadata(&place.path).unwrap().len();
    catalog.invalidate(None, &Selector::default()).unwrap();
    catalog.compact().unwrap();
    let empty = fs::metadata(&place.path).unwrap().len();
    assert!(full > 4_000_000 && empty < 1_000_000, "{full} {empty}");
}

#[test]
fn many_invalidations_are_remembered_and_older_claims_refused() {
    let catalog = Sqlite::in_memory().unwrap();
    let elsewhere = Selector { operation: Some("elsewhere".to_owned()), ..Selector::default() };
    for _ in 0..1_000 {
        catalog.invalidate(None, &elsewhere).unwrap();
    }
    let commit = |name: &str| {
        let committed = catalog.commit(&scope("lab"), &entry(name, "x"), &Claim::default());
        committed.unwrap()
    };
    assert!(matches!(commit("a"), Committed::Stored(_)));
    catalog.invalidate(None, &elsewhere).unwrap();
    assert_eq!(commit("b"), Committed::Fenced, "forgotten means refused");
}

/// Runs this test again in other processes, with `role` and the catalog's path in the environment.
fn spawn(test: &str, path: &Path, role: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("CATALOG_PATH", path)
        .env("CATALOG_ROLE", role.to_string())
        .spawn()
        .unwrap()
}

/// The path and the role, in a process that was spawned by its test.
fn spawned() -> Option<(PathBuf, usize)> {
    let path = std::env::var_os("CATALOG_PATH")?;
    let role = std::env::var("CATALOG_ROLE").unwrap().parse().unwrap();
    Some((path.into(), role))
}

#[test]
fn processes_create_and_hammer_one_catalog() {
    if let Some((path, role)) = spawned() {
        return hammer(&path, role);
    }
    let place = place();
    let children: Vec<_> = (0..16)
        .map(|role| spawn("processes_create_and_hammer_one_catalog", &place.path, role))
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let catalog = open(&place.path);
    assert_eq!(catalog.check().unwrap(), []);
    let counts = catalog.recall("hammer", b"15").unwrap().unwrap();
    assert_eq!(counts, b"done");
}

/// Every key has one value, so whatever a process finds is right or a fault. Every answer of the
/// catalog must be an answer: nobody is told that it is busy.
fn hammer(path: &Path, role: usize) {
    let catalog = open(path);
    let scope = scope("lab");
    for round in 0..60 {
        let name = format!("k{}", (round * 7 + role) % 20);
        let nonce = (role * 1000 + round + 1) as u128;
        match look(&catalog, &name) {
            Found::Hit(hit) => assert_eq!(hit.output, name.as_bytes()),
            Found::Miss(..) => {
                let reserved = catalog.reserve(&scope, &key(&name), &holder(nonce), HOUR).unwrap();
                if let Reserved::Taken(claim) = reserved {
                    let committed = catalog.commit(&scope, &entry(&name, &name), &claim);
                    assert!(!matches!(committed.unwrap(), Committed::Different(_)));
                }
            }
        }
        if round % 10 == role % 10 {
            let selector =
                Selector { key_prefix: Some(key(&name).to_string()), ..Selector::default() };
            catalog.invalidate(Some(&scope), &selector).unwrap();
        }
    }
    let name = role.to_string();
    catalog.remember("hammer", &[(name.as_bytes(), b"done")]).unwrap();
}

#[test]
fn changes_reach_other_processes() {
    if let Some((path, _)) = spawned() {
        open(&path).invalidate(None, &Selector::default()).unwrap();
        return;
    }
    let place = place();
    let catalog = open(&place.path);
    put(&catalog, "a");
    let before = catalog.changes();
    let mut child = spawn("changes_reach_other_processes", &place.path, 0);
    assert!(child.wait().unwrap().success());
    assert_ne!(catalog.changes(), before);
    assert_eq!(why(&catalog, "a"), Some(Why::Absent));
}

/// Does `work` in a forked child and waits for it; `true` if the child did not panic.
fn in_fork(work: impl FnOnce()) -> bool {
    // SAFETY: the child only does `work` and exits at once, without running destructors.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        // SAFETY: always sound.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid, the pid is our child's.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status == 0
}

#[test]
fn a_fork_carries_no_connection_across() {
    // Alone in its process: other tests' threads must not be in the middle of something.
    if spawned().is_none() {
        let place = place();
        let mut child = spawn("a_fork_carries_no_connection_across", &place.path, 0);
        assert!(child.wait().unwrap().success());
        return;
    }
    let (path, _) = spawned().unwrap();
    let catalog = open(&path);
    let memory = Sqlite::in_memory().unwrap();
    put(&memory, "a");
    put(&catalog, "parent");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        let _guard = scopeguard(&stop);
        threads.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                look(&catalog, "parent");
                catalog.remember("t", &[(b"n", b"v")]).unwrap();
            }
        });
        for round in 0..20 {
            let name = format!("child {round}");
            let open_files = || {
                let names = fs::read_dir("/proc/self/fd").unwrap();
                let names = names.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
                names.filter(|name| name.starts_with(path.parent().unwrap())).count()
            };
            assert!(in_fork(|| {
                assert_eq!(open_files(), 0, "nothing of the catalog is open");
                assert_eq!(why(&catalog, "parent"), None);
                assert_eq!(why(&memory, "a"), None);
                put(&catalog, &name);
            }));
            assert_eq!(why(&catalog, &name), None, "the parent sees what the child did");
        }
    });
    assert_eq!(catalog.check().unwrap(), []);
}

struct Stop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Stops the other thread also when an assertion fails.
fn scopeguard(stop: &std::sync::atomic::AtomicBool) -> Stop<'_> {
    Stop(stop)
}

#[test]
fn a_directory_that_cannot_be_written_is_read() {
    if let Some((path, _)) = spawned() {
        let refused = Sqlite::open(&path, Mode::ReadWrite).unwrap_err();
        assert!(matches!(refused, CatalogError::ReadOnly { .. }), "{refused}");
        let catalog = Sqlite::open(&path, Mode::ReadOnly).unwrap();
        assert_eq!(why(&catalog, "a"), None);
        assert_eq!(why(&catalog, "b"), Some(Why::Absent));
        // What is in a log cannot be read there, and must not be left out.
        let refused = Sqlite::open(&path.with_file_name("logged.db"), Mode::ReadOnly);
        assert!(refused.is_err(), "{refused:?}");
        return;
    }
    let place = place();
    put(&open(&place.path), "a");
    let directory = place.path.parent().unwrap();
    let logged = open(&place.path);
    put(&logged, "in the log");
    fs::copy(&place.path, directory.join("logged.db")).unwrap();
    fs::copy(directory.join("catalog.db-wal"), directory.join("logged.db-wal")).unwrap();
    drop(logged);
    let program = directory.join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o555)).unwrap();
    let mut child = Command::new(&program);
    child
        .args(["--exact", "a_directory_that_cannot_be_written_is_read"])
        .env("CATALOG_PATH", &place.path)
        .env("CATALOG_ROLE", "0")
        .current_dir("/");
    if rustix::process::geteuid().is_root() {
        // Nothing is read-only to the superuser.
        child.uid(65534).gid(65534);
    }
    let done = child.status().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(done.success());
}

/// An invalidation that somebody asked for waits longer.
#[test]
fn while_another_process_holds_the_catalog_what_is_of_no_use_soon_stays() {
    let place = place();
    let (catalog, patient) = (open(&place.path), open(&place.path));
    let stored = catalog.commit(&scope("lab"), &entry("a", "a"), &Claim::default()).unwrap();
    let Committed::Stored(id) = stored else { panic!("{stored:?}") };
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (tell, begins) = std::sync::mpsc::channel();
    let waits = std::thread::spawn(move || {
        tell.send(()).unwrap();
        patient.invalidate(None, &Selector::default()).unwrap().entries
    });
    begins.recv().unwrap();
    let discarded = catalog.discard(&[id]);
    assert!(matches!(discarded, Err(CatalogError::Busy { .. })), "{discarded:?}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(waits.join().unwrap(), 1);
    catalog.discard(&[id]).unwrap();
}

/// Looking for it takes the longer the more there is, and would keep others from storing.
#[test]
fn what_is_old_is_looked_for_while_another_process_holds_the_catalog() {
    let place = place();
    let catalog = open(&place.path);
    catalog.commit(&scope("lab"), &entry("a", "a"), &Claim::default()).unwrap();
    let run = catalog.begin_run(&scope("lab"), &NewRun::default()).unwrap();
    catalog.finish_run(&run, RunStatus::Succeeded).unwrap();
    catalog.remember("topic", &[(b"name", b"body")]).unwrap();
    let other = Connection::open(&place.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(catalog.shorten(HOUR).unwrap(), Shortened::default());
    other.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn while_another_process_holds_the_catalog_reads_are_answered_and_writes_give_up() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("catalog.db");
    let catalog = Sqlite::open(&path, Mode::ReadWrite).unwrap();
    catalog.commit(&scope("lab"), &entry("a", "a"), &Claim::default()).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy =
        |error: CatalogError| matches!(error, CatalogError::Busy { .. }) && error.is_certain();
    let reserved = catalog.reserve(&scope("lab"), &key("b"), &holder(1), Duration::from_secs(1));
    assert!(busy(reserved.unwrap_err()));
    let committed = catalog.commit(&scope("lab"), &entry("b", "b"), &Claim::default());
    assert!(busy(committed.unwrap_err()));
    let request = Request { key: key("a"), max_age: None };
    let found = catalog.lookup(&scope("lab"), &[request]).unwrap();
    assert!(matches!(found[0], Found::Hit(_)));
    other.execute_batch("ROLLBACK").unwrap();
    let committed = catalog.commit(&scope("lab"), &entry("b", "b"), &Claim::default());
    assert!(matches!(committed, Ok(Committed::Stored(_))));
}

/// The part goes last: whoever is interrupted in between finds the rest of the wholes by it.
#[test]
fn of_more_wholes_than_go_at_once_all_go() {
    let catalog = Sqlite::in_memory().unwrap();
    let commit = |new: &thrifty_catalog::NewEntry| {
        catalog.commit(&scope("lab"), new, &Claim::default()).unwrap();
    };
    let part = thrifty_catalog::NewEntry { operation: "lab.clean".to_owned(), ..entry("p", "p") };
    commit(&part);
    let mut made_of = thrifty_catalog::MadeOf::default();
    made_of.add("lab.clean", Some(&part.key));
    for number in 0..10_050 {
        let made_of = made_of.clone();
        commit(&thrifty_catalog::NewEntry { made_of, ..entry(&number.to_string(), "x") });
    }
    commit(&entry("apart", "x"));
    let clean = Selector { operation: Some("clean".to_owned()), ..Selector::default() };
    let removed = catalog.invalidate(None, &clean).unwrap();
    assert_eq!(removed.entries, 10_051);
    assert_eq!(catalog.entries(None, &Selector::default(), 9).unwrap().len(), 1);
}
