//! What goes, what stays, and in which order it is safe.

#![allow(clippy::unwrap_used)]

mod past;
mod stage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use past::{commit, new_entry};
use proptest::prelude::*;
use thrifty_engine::Schedule;
use thrifty_engine::catalog::{
    BlobRef, Catalog, Claim, Clock, Committed, EntryId, NewEntry, NewRun, Scope, Selector, Sqlite,
    Time, Usage,
};
use thrifty_engine::event::Event;
use thrifty_engine::evict::{Collected, GRACE, Goal, HISTORY, Means, Victim, collect, plan};
use thrifty_engine::key::Digest;
use thrifty_engine::record::{Buffer, Object, Record};
use thrifty_engine::schedule::Options;
use thrifty_engine::store::hold::Holds;
use thrifty_engine::store::memory::Memory;
use thrifty_engine::store::{Blob, BlobName, Blobs, GetError, Listing, PutError, RemoveError};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock that the test moves.
#[derive(Default)]
struct Moved(AtomicI64);

impl Moved {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis().try_into().unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Moved {
    fn wall(&self) -> Time {
        1_700_000_000_000 + self.0.load(Ordering::SeqCst)
    }

    fn steady(&self) -> Time {
        self.0.load(Ordering::SeqCst)
    }
}

struct World {
    clock: Arc<Moved>,
    catalog: Sqlite,
    blobs: Memory,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(Moved::default());
        let catalog = Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap();
        Self { clock, catalog, blobs: Memory::new() }
    }

    fn upload(&self, bytes: &[u8]) -> BlobRef {
        let BlobName { digest, generation, length } = self.blobs.put(&[bytes]).unwrap();
        BlobRef { digest, generation, length }
    }

    fn entry(&self, input: &str, cost: Duration, blobs: Vec<BlobRef>) -> EntryId {
        commit(&self.catalog, &NewEntry { cost, ..new_entry("f", input, blobs) })
    }

    /// Plans for a budget, or an age, and names the inputs of the victims.
    fn victims(&self, goal: Goal) -> Vec<EntryId> {
        plan(&self.catalog, &goal).unwrap().iter().map(|victim| victim.id).collect()
    }

    fn plan(&self, ids: &[EntryId]) -> Vec<Victim> {
        let all = plan(&self.catalog, &Goal { budget: Some(0), ..Goal::default() }).unwrap();
        all.into_iter().filter(|victim| ids.contains(&victim.id)).collect()
    }

    fn collect(&self, victims: &[Victim], dry_run: bool) -> Collected {
        self.collect_after(victims, GRACE, dry_run)
    }

    fn collect_after(&self, victims: &[Victim], grace: Duration, dry_run: bool) -> Collected {
        let means = Means { grace, now: SystemTime::now(), files: None, history: HISTORY, dry_run };
        collect(&self.catalog, &self.blobs, victims, &means).unwrap()
    }

    fn is_there(&self, blob: &BlobRef) -> bool {
        let BlobRef { digest, generation, length } = *blob;
        self.blobs.open(&BlobName { digest, generation, length }).is_ok()
    }

    fn entries(&self) -> usize {
        self.catalog.entries(None, &Selector::default(), 1_000).unwrap().len()
    }
}

#[test]
fn without_a_goal_nothing_goes_but_what_has_expired() {
    let world = World::new();
    world.entry("stays", HOUR, vec![]);
    let expiring = NewEntry {
        expires_at: Some(world.catalog.now().unwrap() + 3_600_000),
        ..new_entry("f", "goes", vec![])
    };
    let expiring = commit(&world.catalog, &expiring);
    assert_eq!(world.victims(Goal::default()), []);
    world.clock.pass(2 * HOUR);
    assert_eq!(world.victims(Goal::default()), [expiring]);
}

#[test]
fn age_counts_from_the_commit_and_idleness_from_the_last_use() {
    let world = World::new();
    let [old, used] = ["old", "used"].map(|input| world.entry(input, HOUR, vec![]));
    world.clock.pass(10 * DAY);
    let new = world.entry("new", HOUR, vec![]);
    world.catalog.touch(&[(used, Usage { hits: 1 })]).unwrap();
    let older = Goal { older_than: Some(5 * DAY), ..Goal::default() };
    let unused = Goal { unused_for: Some(5 * DAY), ..Goal::default() };
    let mut gone = world.victims(older.clone());
    gone.sort();
    assert_eq!(gone, [old, used]);
    assert_eq!(world.victims(unused), [old]);
    assert!(!world.victims(older).contains(&new));
}

#[test]
fn beyond_the_budget_goes_first_what_saves_least_for_its_bytes() {
    let world = World::new();
    let big = vec![0; 10_000];
    let cheap = world.entry("cheap", Duration::from_secs(1), vec![world.upload(&big)]);
    let dear = world.entry("dear", HOUR, vec![world.upload(&[&big[1..], b"x"].concat())]);
    let small = world.entry("small", Duration::from_secs(1), vec![world.upload(b"small")]);
    let order = |budget| world.victims(Goal { budget: Some(budget), ..Goal::default() });
    assert_eq!(order(u64::MAX), []);
    assert_eq!(order(12_000), [cheap]);
    assert_eq!(order(0), [cheap, small, dear]);
}

#[test]
fn of_two_alike_the_one_used_lately_and_often_stays() {
    let world = World::new();
    let [idle, recent] = ["1", "2"].map(|input| world.entry(input, HOUR, vec![]));
    world.clock.pass(28 * DAY);
    world.catalog.touch(&[(recent, Usage { hits: 1 })]).unwrap();
    let all = world.victims(Goal { budget: Some(0), ..Goal::default() });
    assert_eq!(all, [idle, recent]);
}

#[test]
fn a_collection_removes_the_entry_and_after_its_grace_the_bytes() {
    let world = World::new();
    let blob = world.upload(b"bytes");
    let id = world.entry("1", HOUR, vec![blob]);
    let first = world.collect(&world.plan(&[id]), false);
    assert_eq!((first.entries, first.blobs, first.waiting), (1, 0, 5));
    assert!(world.is_there(&blob), "a reader may have looked it up a moment ago");
    world.clock.pass(2 * GRACE);
    let second = world.collect(&[], false);
    assert_eq!((second.entries, second.blobs, second.bytes, second.waiting), (0, 1, 5, 0));
    assert!(!world.is_there(&blob));
    assert_eq!(world.collect(&[], false), Collected::default());
}

#[test]
fn what_is_used_after_it_was_chosen_stays() {
    let world = World::new();
    let [used, other] = ["used", "other"].map(|input| world.entry(input, HOUR, vec![]));
    world.clock.pass(DAY);
    let victims = world.plan(&[used, other]);
    assert_eq!(victims.len(), 2);
    world.clock.pass(Duration::from_secs(1));
    world.catalog.touch(&[(used, Usage { hits: 1 })]).unwrap();
    assert_eq!(world.collect(&victims, false).entries, 1);
    let left = world.catalog.entries(None, &Selector::default(), 9).unwrap();
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), [used]);
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_would_go() {
    let world = World::new();
    let blob = world.upload(b"bytes");
    let id = world.entry("1", HOUR, vec![blob]);
    let victims = world.plan(&[id]);
    let told = world.collect(&victims, true);
    assert_eq!((told.entries, told.blobs, told.waiting), (1, 0, 5));
    world.clock.pass(2 * GRACE);
    world.collect(&victims, true);
    assert_eq!((world.entries(), world.is_there(&blob)), (1, true));
}

#[test]
fn a_blob_that_another_entry_needs_survives() {
    let world = World::new();
    let blob = world.upload(b"shared");
    let goes = world.entry("1", HOUR, vec![blob]);
    world.entry("2", HOUR, vec![blob]);
    world.collect(&world.plan(&[goes]), false);
    world.clock.pass(2 * GRACE);
    assert_eq!(world.collect(&[], false), Collected::default());
    assert!(world.is_there(&blob));
}

#[test]
fn a_pinned_blob_survives_its_grace() {
    let world = World::new();
    let blob = world.upload(b"wanted");
    let id = world.entry("1", HOUR, vec![blob]);
    world.collect(&world.plan(&[id]), false);
    assert_eq!(world.catalog.find_blob(&blob.digest, 10 * DAY).unwrap(), Some(blob));
    world.clock.pass(5 * DAY);
    assert_eq!(world.collect(&[], false).blobs, 0);
    world.entry("2", HOUR, vec![blob]);
    world.clock.pass(10 * DAY);
    assert_eq!(world.collect(&[], false).blobs, 0);
    assert!(world.is_there(&blob));
}

#[test]
fn what_no_row_knows_goes_after_its_grace_and_not_before() {
    let world = World::new();
    let orphan = world.upload(b"orphan");
    assert_eq!(world.collect(&[], false).blobs, 0);
    assert!(world.is_there(&orphan), "its entry may be about to be committed");
    // The store has the machine's clock: no grace stands for the time that cannot pass here.
    let known = world.upload(b"known");
    world.entry("1", HOUR, vec![known]);
    let told = world.collect_after(&[], Duration::ZERO, false);
    assert_eq!((told.blobs, told.bytes), (1, 6));
    assert_eq!((world.is_there(&orphan), world.is_there(&known)), (false, true));
}

/// A writer is stopped between writing a blob and committing, or the wall clock is set forward:
/// the bytes look old, and the entry that comes late must not name what is deleted.
#[test]
fn a_commit_that_comes_after_its_bytes_were_collected_is_refused() {
    let world = World::new();
    let blob = world.upload(b"bytes");
    let later = SystemTime::now() + 2 * GRACE;
    let means = Means { grace: GRACE, now: later, files: None, history: HISTORY, dry_run: false };
    let told = collect(&world.catalog, &world.blobs, &[], &means).unwrap();
    assert_eq!((told.blobs, world.is_there(&blob)), (1, false));
    let late = new_entry("f", "late", vec![blob]);
    let committed = world.catalog.commit(&stage::scope(), &late, &Claim::default()).unwrap();
    assert_eq!(committed, Committed::BlobGone(blob));
    assert_eq!(world.entries(), 0);
}

/// Blobs that ask before one of them is deleted.
struct Guarded<'a> {
    inner: &'a Memory,
    may_delete: &'a (dyn Fn(&BlobName) -> bool + Send + Sync),
}

impl Blobs for Guarded<'_> {
    fn put(&self, parts: &[&[u8]]) -> Result<BlobName, PutError> {
        self.inner.put(parts)
    }

    fn put_file(&self, path: &Path) -> Result<BlobName, PutError> {
        self.inner.put_file(path)
    }

    fn open(&self, name: &BlobName) -> Result<Blob, GetError> {
        self.inner.open(name)
    }

    fn contains(&self, digest: &Digest) -> Result<Option<BlobName>, GetError> {
        self.inner.contains(digest)
    }

    fn delete(&self, name: &BlobName) -> Result<(), RemoveError> {
        if (self.may_delete)(name) {
            return self.inner.delete(name);
        }
        let source = std::io::ErrorKind::PermissionDenied.into();
        Err(RemoveError { path: name.to_string().into(), source })
    }

    fn quarantine(&self, name: &BlobName) -> Result<(), RemoveError> {
        self.inner.quarantine(name)
    }

    fn list(&self) -> Result<Listing<'_>, GetError> {
        self.inner.list()
    }

    fn leftovers(&self, age: Duration) -> Result<Vec<PathBuf>, GetError> {
        self.inner.leftovers(age)
    }

    fn remove_leftover(&self, path: &Path) -> Result<(), RemoveError> {
        self.inner.remove_leftover(path)
    }
}

/// The moments of a collection: the entry is gone, then nobody can come to need the bytes, then
/// they go, and then what is known of them.
#[test]
fn bytes_go_when_nobody_can_come_to_need_them_and_are_forgotten_when_they_are_gone() {
    let world = World::new();
    let needed = world.upload(b"needed");
    let id = world.entry("1", HOUR, vec![needed]);
    let orphan = world.upload(b"orphan");
    let is_open = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    let may_delete = |name: &BlobName| {
        let blob =
            BlobRef { digest: name.digest, generation: name.generation, length: name.length };
        let is_first = blob == orphan && asked.load(Ordering::SeqCst) == 0;
        assert_eq!(world.entries(), usize::from(is_first), "orphans go before any entry");
        assert_eq!(world.catalog.find_blob(&blob.digest, HOUR).unwrap(), None);
        let late = new_entry("f", "late", vec![blob]);
        let committed = world.catalog.commit(&stage::scope(), &late, &Claim::default()).unwrap();
        assert_eq!(committed, Committed::BlobGone(blob));
        assert_eq!(world.catalog.blobs().unwrap(), [needed], "it is known until it is gone");
        asked.fetch_add(1, Ordering::SeqCst);
        is_open.load(Ordering::SeqCst)
    };
    let blobs = Guarded { inner: &world.blobs, may_delete: &may_delete };
    let collect_now = |victims: &[Victim]| {
        let (grace, now) = (Duration::ZERO, SystemTime::now());
        let means = Means { grace, now, files: None, history: HISTORY, dry_run: false };
        collect(&world.catalog, &blobs, victims, &means).unwrap()
    };
    let told = collect_now(&world.plan(&[id]));
    assert_eq!((told.entries, told.blobs, told.failures.len()), (1, 0, 2));
    assert!(world.is_there(&needed) && world.is_there(&orphan));
    // The next collection finds both, though nothing refers to them.
    is_open.store(true, Ordering::SeqCst);
    assert_eq!(world.catalog.blobs().unwrap(), [needed]);
    let told = collect_now(&[]);
    assert_eq!((told.entries, told.blobs, told.failures.len()), (0, 2, 0));
    assert!(!world.is_there(&needed) && !world.is_there(&orphan));
    assert_eq!((world.catalog.blobs().unwrap(), asked.into_inner()), (vec![], 4));
}

/// Between the removal of its entry and the moment when it is condemned.
#[test]
fn a_blob_that_a_reader_holds_meanwhile_stays() {
    let world = World::new();
    let [held, idle] = [&b"held"[..], b"idle"].map(|bytes| world.upload(bytes));
    let ids = [held, idle].map(|blob| world.entry(&blob.digest.to_string(), HOUR, vec![blob]));
    let victims = world.plan(&ids);
    let catalog = Arc::new(world.catalog);
    let reader = Arc::clone(&catalog);
    let watched = stage::Flaky::new(Arc::<Sqlite>::clone(&catalog), move |_, method| {
        if method == "condemn" {
            let entries = reader.entries(None, &Selector::default(), 9).unwrap();
            assert_eq!(
                (entries, reader.find_blob(&held.digest, HOUR).unwrap()),
                (vec![], Some(held))
            );
        }
        false
    });
    let (grace, now) = (Duration::ZERO, SystemTime::now());
    let means = Means { grace, now, files: None, history: HISTORY, dry_run: false };
    let told = collect(watched.as_ref(), &world.blobs, &victims, &means).unwrap();
    assert_eq!((told.entries, told.blobs, told.waiting), (2, 1, held.length));
    assert_eq!(catalog.blobs().unwrap(), [held]);
    let names: Vec<_> = world.blobs.list().unwrap().map(|it| it.unwrap().name.digest).collect();
    assert_eq!(names, [held.digest]);
}

#[test]
fn what_is_pinned_stays_and_counts() {
    let world = World::new();
    let big = vec![0; 10_000];
    let pinned = world.entry("pinned", Duration::from_millis(1), vec![world.upload(&big)]);
    let small = world.entry("small", HOUR, vec![world.upload(b"small")]);
    let expiring = NewEntry {
        expires_at: Some(world.catalog.now().unwrap() + 3_600_000),
        ..new_entry("f", "expiring", vec![])
    };
    let expiring = commit(&world.catalog, &expiring);
    let by_id = |id| Selector { ids: Some(vec![id]), ..Selector::default() };
    for id in [pinned, expiring] {
        assert_eq!(world.catalog.pin(None, &by_id(id), true).unwrap(), 1);
    }
    let beyond = || world.victims(Goal { budget: Some(5_000), ..Goal::default() });
    assert_eq!(beyond(), [small]);
    world.clock.pass(DAY);
    let old = Goal { older_than: Some(HOUR), unused_for: Some(HOUR), ..Goal::default() };
    assert_eq!(world.victims(old), [small]);
    // Pinned after it was chosen.
    let victims = world.plan(&[small]);
    world.catalog.pin(None, &by_id(small), true).unwrap();
    assert_eq!(world.collect(&victims, false).entries, 0);
    world.catalog.pin(None, &by_id(expiring), false).unwrap();
    assert_eq!(beyond(), [expiring]);
}

#[test]
fn a_quota_is_for_its_project_alone() {
    let world = World::new();
    let in_project = |project: &str, input: &str, cost| {
        let scope = Scope { project: project.to_owned(), domain: "development".to_owned() };
        let bytes = world.upload(input.repeat(1_000).as_bytes());
        let entry = NewEntry { cost, ..new_entry("f", input, vec![bytes]) };
        match world.catalog.commit(&scope, &entry, &Claim::default()).unwrap() {
            Committed::Stored(id) => id,
            other => panic!("{other:?}"),
        }
    };
    let cheap = in_project("lab", "1", Duration::from_secs(1));
    let dear = in_project("lab", "2", HOUR);
    let other = in_project("fab", "3", Duration::from_millis(1));
    let quota = |bytes| Some(("lab".to_owned(), bytes));
    assert_eq!(world.victims(Goal { quota: quota(1_500), ..Goal::default() }), [cheap]);
    // What stays of the project counts for the budget of all.
    let both = Goal { quota: quota(1_500), budget: Some(1_500), ..Goal::default() };
    assert_eq!(world.victims(both), [cheap, other]);
    world.clock.pass(DAY);
    let only = Some("lab".to_owned());
    let old = Goal { only, older_than: Some(HOUR), ..Goal::default() };
    let mut gone = world.victims(old);
    gone.sort();
    assert_eq!(gone, [cheap, dear]);
}

/// Each removal of more than a few entries needs more space than there is.
#[test]
fn on_a_full_disk_fewer_entries_go_at_once() {
    let world = World::new();
    let ids: Vec<_> = (0..20).map(|n| world.entry(&n.to_string(), HOUR, vec![])).collect();
    let victims = world.plan(&ids);
    let catalog = stage::Flaky::new(Arc::new(world.catalog), {
        let attempts = AtomicI64::new(0);
        move |_, method| method == "evict" && attempts.fetch_add(1, Ordering::SeqCst) < 3
    });
    catalog.is_full.store(true, Ordering::SeqCst);
    let means = Means {
        grace: GRACE,
        now: SystemTime::now(),
        files: None,
        history: HISTORY,
        dry_run: false,
    };
    let told = collect(catalog.as_ref(), &world.blobs, &victims, &means).unwrap();
    assert_eq!(told.entries, 20);
    // Full even for one: it is said.
    *catalog.plan.lock() = Box::new(|_, method| method == "evict");
    let refused = collect(catalog.as_ref(), &world.blobs, &victims, &means).unwrap_err();
    assert!(refused.is_full(), "{refused}");
}

#[test]
fn placed_files_go_with_the_last_entry_that_is_loaded_as_them() {
    let world = World::new();
    let files = tempfile::tempdir().unwrap();
    let record = |codec: &str, bytes: &[u8]| {
        let blob = world.upload(bytes);
        let name =
            BlobName { digest: blob.digest, generation: blob.generation, length: blob.length };
        let record = Record::Object(Object {
            codec: codec.to_owned(),
            digest: blob.digest,
            classes: Vec::new(),
            header: Vec::new(),
            buffers: vec![Buffer::Blob(name)],
        });
        let place = files.path().join("file").join(blob.digest.to_string());
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("report.txt"), bytes).unwrap();
        (NewEntry { output: record.to_bytes(), ..new_entry("f", codec, vec![blob]) }, place)
    };
    let (kept, needed) = record("file/1", b"kept");
    let (_, unneeded) = record("other/1", b"gone");
    let id = commit(&world.catalog, &kept);
    let other = files.path().join("file/notes");
    std::fs::create_dir(&other).unwrap();
    let collect_in = |days: u32, victims: &[Victim], dry_run| {
        let now = SystemTime::now() + days * DAY;
        let means =
            Means { grace: GRACE, now, files: Some(files.path()), history: HISTORY, dry_run };
        collect(&world.catalog, &world.blobs, victims, &means).unwrap().placed
    };
    assert_eq!(collect_in(0, &[], false), 0, "somebody may be about to read it");
    assert_eq!((collect_in(2, &[], true), unneeded.exists()), (1, true));
    assert_eq!((collect_in(2, &[], false), unneeded.exists()), (1, false));
    assert!(needed.exists() && other.exists(), "what is not ours is left alone");
    assert_eq!((collect_in(2, &world.plan(&[id]), false), needed.exists()), (1, false));
    // What a living process loaded stays, however long ago, and whatever became of the entry.
    std::fs::create_dir(&needed).unwrap();
    let reader = Holds::open(files.path()).unwrap();
    reader.hold(&needed.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap();
    assert_eq!((collect_in(2, &[], true), collect_in(2, &[], false)), (0, 0));
    assert!(needed.exists());
    drop(reader);
    assert_eq!((collect_in(2, &[], false), needed.exists()), (1, false));
    // What an interrupted collection left.
    std::fs::create_dir(files.path().join("file/.going-0123")).unwrap();
    assert_eq!(collect_in(0, &[], false), 1);
}

#[test]
fn what_a_run_may_still_load_stays_however_long_it_runs() {
    let clock = Arc::new(Moved::default());
    let catalog = Arc::new(Sqlite::in_memory_with_clock(Arc::<Moved>::clone(&clock)).unwrap());
    let timer = Arc::new(stage::Wound::default());
    let stage =
        stage::Stage::timed(Arc::<Sqlite>::clone(&catalog), Arc::<stage::Wound>::clone(&timer));
    let nodes = || vec![stage.big("a", &[], |_| 1)];
    stage.settle(nodes(), &[0], 1);
    let recorder = stage.cache.recorder();
    let options = Options {
        workers: 1,
        run: recorder.begin(&NewRun::default()),
        interrupted: &|| false,
        listener: Arc::new(|_: &Event| {}),
    };
    let mut schedule = Schedule::new(Arc::clone(&stage.cache), nodes(), options);
    schedule.settle(&[0]);
    recorder.flush();
    let all = catalog.entries(None, &Selector::default(), 9).unwrap();
    catalog.evict(&all.iter().map(|entry| entry.id).collect::<Vec<_>>(), Time::MAX).unwrap();
    for _ in 0..9 {
        clock.pass(HOUR / 3);
        assert!(timer.0.lock().iter_mut().all(|beat| beat()));
        recorder.flush();
        assert_eq!(catalog.condemn(GRACE, true).unwrap(), []);
    }
    drop(schedule);
    clock.pass(2 * HOUR);
    assert_eq!(catalog.condemn(GRACE, true).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the entries share: what is left fits the budget, and no less was removed than
    /// needed.
    #[test]
    fn a_plan_fits_the_budget_and_takes_no_entry_too_many(
        entries in prop::collection::vec((1_u64..100, prop::collection::vec(0_usize..6, 0..4)), 1..12),
        budget in 0_u64..4_000,
    ) {
        let world = World::new();
        let blobs: Vec<_> = (0..6_usize).map(|n| world.upload(&vec![n as u8; 300 * n + 1])).collect();
        for (number, (cost, needs)) in entries.iter().enumerate() {
            let mut needs: Vec<_> = needs.iter().map(|n| blobs[*n]).collect();
            needs.sort();
            needs.dedup();
            world.entry(&number.to_string(), Duration::from_secs(*cost), needs);
        }
        let held = |gone: &[EntryId]| {
            let all = world.catalog.entries(None, &Selector::default(), 100).unwrap();
            let left = all.iter().filter(|entry| !gone.contains(&entry.id));
            let mut shared: Vec<_> = left.clone().flat_map(|entry| entry.blobs.clone()).collect();
            let own = left.map(|entry| {
                entry.size - entry.blobs.iter().map(|blob| blob.length).sum::<u64>()
            });
            let own: u64 = own.sum();
            shared.sort();
            shared.dedup();
            own + shared.iter().map(|blob| blob.length).sum::<u64>()
        };
        let gone = world.victims(Goal { budget: Some(budget), ..Goal::default() });
        prop_assert!(held(&gone) <= budget);
        if let Some((_, fewer)) = gone.split_last() {
            prop_assert!(held(fewer) > budget);
        }
    }
}
