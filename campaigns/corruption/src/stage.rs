//! The cache that is damaged, and what a reader must get from it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use thrifty_engine::catalog::{
    CatalogError, Claim, Committed, Entry, Found, Holder, MadeOf, NewEntry, NewRun, Origin,
    Request, RunId, RunStatus, Scope, Selector,
};
use thrifty_engine::fsck::{CheckError, Level, Report, check};
use thrifty_engine::graph::Loss;
use thrifty_engine::key::tree::{File, Manifest};
use thrifty_engine::key::{Digest, Ingredients, Key, Kind, Preview, plain};
use thrifty_engine::observed::{self, Observation, Observed, State};
use thrifty_engine::record::{Buffer, Object, Record, Shape, reference};
use thrifty_engine::store::BlobName;
use thrifty_engine::{Cache, Looked, OpenError};

use crate::Broken;
use crate::tally::Tally;

/// The name of the catalog in a cache directory.
pub const CATALOG: &str = "catalog.sqlite";

/// The operation of all entries.
const TRAIN: &str = "lab.train";

/// What a reader must get under a key, if anything.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The key.
    pub key: Key,
    /// The record.
    pub record: Record,
    /// The bytes of its blobs.
    pub blobs: Vec<(BlobName, Vec<u8>)>,
}

/// A sound cache, kept in memory so that it can be made again after each damage.
#[derive(Debug)]
pub struct Stage {
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// What is in it.
    pub expected: Vec<Expected>,
    /// Its entries as a listing tells them.
    pub entries: Vec<Entry>,
    /// A computation that began when all was sound: its entry, and its claim.
    late: (NewEntry, Claim),
}

/// What became of an invalidation that met damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obeyed {
    /// Nothing that it meant was served or stored after it, or it was refused.
    Yes,
    /// It was acknowledged, and something was.
    Not,
}

/// Why a check could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The catalog is damaged.
    Damaged,
    /// Anything else.
    Otherwise,
}

/// Whose entries they are.
pub fn scope() -> Scope {
    Scope { project: "lab".to_owned(), domain: "development".to_owned() }
}

/// A new directory, in memory where the system has such.
///
/// # Errors
///
/// What the system said.
pub fn directory() -> Result<TempDir, Broken> {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    Ok(tempfile::Builder::new().prefix("thrifty-corruption-").tempdir_in(place)?)
}

/// Opens the cache of a directory.
///
/// # Errors
///
/// That of the engine.
pub fn open(home: &Path) -> Result<Arc<Cache>, thrifty_engine::OpenError> {
    Cache::open_scope(home, scope())
}

impl Stage {
    /// Makes the cache.
    ///
    /// # Errors
    ///
    /// What kept it from being made.
    pub fn new() -> Result<Self, Broken> {
        let home = directory()?;
        let cache = open(home.path())?;
        let run = cache.catalog().begin_run(&scope(), &NewRun::default())?;
        let expected = records(&cache)?;
        for (number, it) in expected.iter().enumerate() {
            commit(&cache, &entry(number, it, &run)?)?;
        }
        history(&cache, &run)?;
        let entries = list(&cache)?;
        let late = late(&cache, &run)?;
        drop(cache);
        let mut files = BTreeMap::new();
        read_all(home.path(), home.path(), &mut files)?;
        Ok(Self { files, expected, entries, late })
    }

    /// The bytes of one of its files.
    pub fn file(&self, name: &Path) -> &[u8] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }

    /// The files of its blobs.
    pub fn blob_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys().filter(|name| name.starts_with("blobs"))
    }

    /// Makes the whole cache anew in a directory.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn make_in(&self, home: &Path) -> Result<(), Broken> {
        for left in fs::read_dir(home)? {
            let left = left?.path();
            if left.is_dir() { fs::remove_dir_all(left)? } else { fs::remove_file(left)? }
        }
        for (name, bytes) in &self.files {
            let path = home.join(name);
            fs::create_dir_all(path.parent().unwrap_or(home))?;
            fs::write(&path, bytes)?;
            if name.starts_with("blobs") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
            }
        }
        Ok(())
    }

    /// Puts a catalog in the place of the one in a directory.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn put_catalog(&self, home: &Path, bytes: &[u8]) -> Result<(), Broken> {
        for beside in ["-wal", "-shm"] {
            let _ = fs::remove_file(home.join(format!("{CATALOG}{beside}")));
        }
        fs::write(home.join("catalog.changes"), self.file(Path::new("catalog.changes")))?;
        Ok(fs::write(home.join(CATALOG), bytes)?)
    }

    /// Looks everything up and loads it. Returns whether there was everything.
    pub fn read(&self, home: &Path, tally: &mut Tally, damage: &str) -> bool {
        let cache = match open(home) {
            Ok(cache) => cache,
            Err(_) => {
                tally.count("not opened");
                return false;
            }
        };
        let mut whole = true;
        for it in &self.expected {
            whole &= it.read(&cache, tally, damage);
        }
        whole
    }

    /// Somebody removes all, in the catalog as it was damaged; then readers come, and a computation
    /// ends that began before.
    pub fn invalidate(&self, home: &Path, tally: &mut Tally) -> Obeyed {
        let removed = Selector { operation: Some(TRAIN.to_owned()), ..Selector::default() };
        let done = open(home).is_ok_and(|it| it.catalog().invalidate(None, &removed).is_ok());
        // What only the process that invalidated has in memory is not what others see.
        let (true, Ok(cache)) = (done, open(home)) else {
            tally.count("invalidations refused");
            return Obeyed::Yes;
        };
        tally.count("invalidations");
        let is_served = |it: &Expected| matches!(cache.look(&it.key, None), Looked::Hit(..));
        let (entry, claim) = &self.late;
        let stored = cache.catalog().commit(&scope(), entry, claim);
        let is_stored = matches!(stored, Ok(Committed::Stored(_)));
        if is_stored || self.expected.iter().any(is_served) { Obeyed::Not } else { Obeyed::Yes }
    }

    /// Checks the cache; `None` if it cannot be opened, or the check could not go on.
    pub fn check(home: &Path, repair: bool) -> Option<Report> {
        Self::try_check(home, repair).ok()
    }

    /// As [`Stage::check`], or whether damage is why it could not.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn try_check(home: &Path, repair: bool) -> Result<Report, Refused> {
        let cache = open(home).map_err(|error| match error {
            OpenError::Catalog(CatalogError::Damaged { .. }) => Refused::Damaged,
            _ => Refused::Otherwise,
        })?;
        check(cache.catalog().as_ref(), cache.blobs().as_ref(), Level::Full, repair).map_err(
            |error| match error {
                CheckError::Catalog(CatalogError::Damaged { .. }) => Refused::Damaged,
                _ => Refused::Otherwise,
            },
        )
    }

    /// Whether a listing tells of every entry what was committed. Uses and pins are not sealed.
    pub fn lists_the_same(&self, home: &Path) -> Option<bool> {
        let cache = open(home).ok()?;
        let listed = list(&cache).ok()?;
        Some(listed == self.entries)
    }
}

impl Expected {
    /// Looks it up and loads it. Returns whether it was there.
    fn read(&self, cache: &Arc<Cache>, tally: &mut Tally, damage: &str) -> bool {
        let (answer, _) = match cache.look(&self.key, None) {
            Looked::Hit(answer, outcome) => (answer, outcome),
            Looked::Miss(..) => {
                tally.count("misses");
                return false;
            }
        };
        if answer.record != self.record {
            tally.violate(format!("{damage}: a wrong record"));
        }
        for (name, bytes) in &self.blobs {
            match cache.blobs().open(name) {
                Ok(blob) if blob[..] == bytes[..] => {}
                Ok(_) => tally.violate(format!("{damage}: wrong bytes")),
                Err(_) => {
                    tally.count("blobs refused");
                    cache.discard(&self.key, &answer, Loss::Bytes);
                    return false;
                }
            }
        }
        true
    }
}

/// The entries, without what is not sealed.
fn list(cache: &Cache) -> Result<Vec<Entry>, Broken> {
    let listed = cache.catalog().entries(None, &Selector::default(), usize::MAX)?;
    let sealed =
        |it: Entry| Entry { used_at: 0, hits: 0, nondeterministic: false, pinned: false, ..it };
    Ok(listed.into_iter().map(sealed).collect())
}

fn read_all(
    root: &Path,
    directory: &Path,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<(), Broken> {
    for found in fs::read_dir(directory)? {
        let path = found?.path();
        if path.is_dir() {
            read_all(root, &path, files)?;
        } else {
            files.insert(path.strip_prefix(root)?.to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

/// Bytes without a pattern, the same each time.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// A directory's manifest.
pub fn manifest() -> Result<Manifest, Broken> {
    let mut manifest = Manifest::default();
    manifest.add_directory("empty")?;
    for (path, length) in [("a.csv", 3), ("deep/b.bin", 700), ("deep/er/c", 0)] {
        let digest = Digest::of_blob(path.as_bytes());
        manifest.add_file(path, File { digest, length, executable: length == 3 })?;
    }
    Ok(manifest)
}

/// Records of every shape.
fn records(cache: &Cache) -> Result<Vec<Expected>, Broken> {
    let text = |text: &str| Record::Plain(plain::text(text));
    let object = |seed: u64, buffers: Vec<Buffer>| {
        Record::Object(Object {
            codec: "ndarray/1".to_owned(),
            digest: Digest::of_blob(&seed.to_le_bytes()),
            classes: Vec::new(),
            header: noise(40, seed),
            buffers,
        })
    };
    let mut all = vec![
        (text("small"), vec![]),
        (text(&"long ".repeat(700)), vec![]),
        (
            Record::Composite {
                container: Shape::List,
                parts: vec![text("one"), object(1, vec![Buffer::Inline(noise(100, 1))])],
            },
            vec![],
        ),
        (Record::Hashed { digest: Digest::of_blob(b"hash"), value: text("v").into() }, vec![]),
        (object(2, vec![Buffer::Inline(noise(2_000, 2))]), vec![]),
    ];
    for (seed, length) in [(3, 1), (4, 64), (5, 700), (6, 4_000), (7, 4_096)] {
        let bytes = noise(length, seed);
        let name = cache.blobs().put(&[&bytes])?;
        all.push((object(seed, vec![Buffer::Blob(name)]), vec![(name, bytes)]));
    }
    let tree = manifest()?.encode();
    let name = cache.blobs().put(&[&tree])?;
    all.push((object(8, vec![Buffer::Blob(name)]), vec![(name, tree)]));
    let expected = all.into_iter().enumerate().map(|(number, (record, blobs))| {
        Ok(Expected { key: ingredients(number)?.key(), record, blobs })
    });
    expected.collect()
}

fn ingredients(number: usize) -> Result<Ingredients, Broken> {
    let mut all = Ingredients::new();
    let name = plain::digest_text(TRAIN);
    all.add(Kind::Operation, "name", name, Preview::text(TRAIN))?;
    let input = plain::digest_text(&number.to_string());
    all.add(Kind::Inputs, "n", input, Preview::text(number.to_string()))?;
    Ok(all)
}

/// A computation that begins now.
fn late(cache: &Cache, run: &RunId) -> Result<(NewEntry, Claim), Broken> {
    let record = Record::Plain(plain::text("late"));
    let number = usize::MAX;
    let it = Expected { key: ingredients(number)?.key(), record, blobs: Vec::new() };
    let asked = [Request { key: it.key, max_age: None }];
    match cache.catalog().lookup(&scope(), &asked)?.as_slice() {
        [Found::Miss(slot, _)] => {
            let claim = Claim { epoch: slot.epoch, ..Claim::default() };
            Ok((NewEntry { id: 2, ..entry(number, &it, run)? }, claim))
        }
        other => Err(format!("it was computed before: {other:?}").into()),
    }
}

fn entry(number: usize, it: &Expected, run: &RunId) -> Result<NewEntry, Broken> {
    let contribution = it.record.contribution()?;
    let observed = Observation {
        what: Observed::Variable("NO_SUCH_VARIABLE".to_owned()),
        state: State::Absent,
    };
    let mut made_of = MadeOf::default();
    if number.is_multiple_of(3) {
        made_of.add("lab.clean", Some(&it.key));
    }
    Ok(NewEntry {
        id: 1,
        key: it.key,
        operation: TRAIN.to_owned(),
        ingredients: ingredients(number)?,
        output: it.record.to_bytes(),
        output_digest: plain::digest_of_contribution(&contribution),
        blobs: it.blobs.iter().map(|(name, _)| reference(name)).collect(),
        cost: Duration::from_secs(3),
        expires_at: None,
        origin: Origin { run: Some(run.clone()), node: 1, host: "desk".into(), user: "ada".into() },
        observed: if number.is_multiple_of(4) {
            observed::encode(&[observed]).map_err(|change| format!("{change:?}"))?
        } else {
            Vec::new()
        },
        made_of,
        parts: Vec::new(),
    })
}

fn commit(cache: &Cache, entry: &NewEntry) -> Result<(), Broken> {
    match cache.catalog().commit(&scope(), entry, &Claim::default())? {
        Committed::Stored(_) => Ok(()),
        other => Err(format!("not stored: {other:?}").into()),
    }
}

/// What a catalog has besides entries.
fn history(cache: &Cache, run: &RunId) -> Result<(), Broken> {
    let catalog = cache.catalog();
    let removed = Selector { operation: Some("lab.old".to_owned()), ..Selector::default() };
    catalog.invalidate(None, &removed)?;
    let key = Digest::of_blob(b"held");
    catalog.reserve(
        &scope(),
        &key,
        &Holder { nonce: 7, ..Holder::default() },
        Duration::from_secs(10),
    )?;
    catalog.finish_run(run, RunStatus::Succeeded)?;
    catalog.put_texts(&[(Digest::of_blob(b"text"), "def train(): ...")])?;
    Ok(catalog.remember("notes", &[(b"name", b"body")])?)
}
