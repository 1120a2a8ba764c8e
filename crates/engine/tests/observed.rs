//! Observations: as bytes, and looked at again.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use proptest::prelude::*;
use thrifty_engine::key::plain::{Container, Writer};
use thrifty_engine::key::{Context, Digest, Hasher};
use thrifty_engine::observed::{
    Aspect, Change, Glance, How, Observation, Observed, Place, Right, State, Surroundings,
    Undecodable, decode, encode,
};
use thrifty_engine::store::StatIdentity;
use thrifty_engine::store::scan::{Memo, NoMemo};

fn file(place: Place, state: State) -> Observation {
    Observation { what: Observed::File(place), state }
}

fn absolute(path: &Path) -> Place {
    Place::Absolute(path.to_str().unwrap().to_owned())
}

fn content(text: &str) -> State {
    State::Digest(Digest::of_blob(text.as_bytes()))
}

fn any_place() -> impl Strategy<Value = Place> {
    let path = ".{0,12}";
    prop_oneof![
        path.prop_map(Place::Absolute),
        path.prop_map(Place::Working),
        path.prop_map(Place::Project),
    ]
}

fn any_observation() -> impl Strategy<Value = Observation> {
    let what = prop_oneof![
        any_place().prop_map(Observed::File),
        any_place().prop_map(Observed::Presence),
        any_place().prop_map(Observed::Listing),
        ".{0,12}".prop_map(Observed::Variable),
        (0..Aspect::ALL.len(), ".{0,12}")
            .prop_map(|(aspect, path)| Observed::Parameter(Aspect::ALL[aspect], path)),
        Just(Observed::WorkingDirectory),
        (0..Right::ALL.len(), any_place())
            .prop_map(|(right, place)| Observed::Permission(Right::ALL[right], place)),
    ];
    let state = prop_oneof![
        Just(State::Absent),
        any::<[u8; 32]>().prop_map(|bytes| State::Digest(Digest::from_bytes(bytes))),
    ];
    (what, state).prop_map(|(what, state)| Observation { what, state })
}

fn one_state_each(all: Vec<Observation>) -> Vec<Observation> {
    let all: HashMap<Observed, State> = all.into_iter().map(|it| (it.what, it.state)).collect();
    all.into_iter().map(|(what, state)| Observation { what, state }).collect()
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_whatever_its_order(
        all in prop::collection::vec(any_observation(), 0..12).prop_map(one_state_each),
        at in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&all).unwrap();
        let mut repeated = all.clone();
        repeated.extend(all.iter().rev().cloned());
        prop_assert_eq!(&encode(&repeated).unwrap(), &bytes);
        let decoded = decode(&bytes).unwrap();
        let mut sorted = all.clone();
        sorted.sort();
        prop_assert_eq!(&decoded, &sorted);
        // One that is gone, or found in another state, shows.
        if !all.is_empty() {
            let at = at.index(all.len());
            let mut fewer = all.clone();
            fewer.remove(at);
            prop_assert_ne!(&encode(&fewer).unwrap(), &bytes);
            let mut other = all;
            other[at].state = match other[at].state {
                State::Absent => content(""),
                State::Digest(_) => State::Absent,
            };
            prop_assert_ne!(&encode(&other).unwrap(), &bytes);
        }
    }

    #[test]
    fn damage_is_found_or_makes_another_canonical_encoding(
        all in prop::collection::vec(any_observation(), 1..4).prop_map(one_state_each),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = encode(&all).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = to }
        if let Ok(decoded) = decode(&bytes) {
            prop_assert_eq!(encode(&decoded).unwrap(), bytes);
        }
    }
}

/// The vectors that `docs/formats/entry.md` refers to.
#[test]
fn the_encoding_is_the_published_one() {
    let text = |text: &str| format!("06{:02x}00000000000000{}", text.len(), hex(text.as_bytes()));
    let tuple = "100400000000000000";
    let digest = Digest::of_blob(b"a,b\n");
    let all = [
        file(Place::Working("data.csv".to_owned()), content("a,b\n")),
        file(Place::Project("notes/x".to_owned()), State::Absent),
        file(Place::Absolute("/etc/é".to_owned()), State::Absent),
        Observation { what: Observed::WorkingDirectory, state: State::Digest(digest) },
        Observation { what: Observed::Variable("MODE".to_owned()), state: State::Absent },
        Observation {
            what: Observed::Listing(Place::Project(String::new())),
            state: State::Digest(digest),
        },
        Observation {
            what: Observed::Permission(Right::Execute, Place::Working("run".to_owned())),
            state: State::Absent,
        },
    ];
    let expected = [
        "01110700000000000000".to_owned(),
        format!("{tuple}{}{}{}00", text("file"), text("absolute"), text("/etc/é")),
        format!("{tuple}{}{}{}30{digest}", text("file"), text("working"), text("data.csv")),
        format!("{tuple}{}{}{}00", text("file"), text("project"), text("notes/x")),
        format!("{tuple}{}{}{}30{digest}", text("listing"), text("project"), text("")),
        format!("{tuple}{}{}{}00", text("variable"), text(""), text("MODE")),
        format!("{tuple}{}{}{}30{digest}", text("working directory"), text(""), text("")),
        format!("{tuple}{}{}{}00", text("permission to execute"), text("working"), text("run")),
    ];
    assert_eq!(hex(&encode(&all).unwrap()), expected.concat());
    assert_eq!(encode(&[]).unwrap(), Vec::<u8>::new());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_was_seen_in_two_states_cannot_be_kept() {
    let place = Place::Working("data.csv".to_owned());
    let both = [file(place.clone(), content("a")), file(place.clone(), State::Absent)];
    let change = encode(&both).unwrap_err();
    assert_eq!(change, Change { what: Observed::File(place), how: How::Changed });
}

#[test]
fn only_the_canonical_form_is_read() {
    let list = |words: &[[&str; 3]]| {
        let mut writer = Writer::new();
        writer.open(Container::List, words.len());
        for tuple in words {
            writer.open(Container::Tuple, 4);
            tuple.iter().for_each(|word| writer.text(word.as_bytes()));
            writer.none();
        }
        [vec![1], writer.into_bytes()].concat()
    };
    let (a, b) = (["file", "working", "a"], ["file", "working", "b"]);
    assert_eq!(decode(&list(&[a, b])).unwrap().len(), 2);
    let wrong = [
        ("nothing", list(&[])),
        ("order", list(&[b, a])),
        ("twice", list(&[a, a])),
        ("kind", list(&[["socket", "working", "a"]])),
        ("base", list(&[["file", "home", "a"]])),
        ("base of a variable", list(&[["variable", "working", "A"]])),
        ("name of the directory", list(&[["working directory", "", "a"]])),
        ("more", [list(&[a]), vec![0]].concat()),
        ("no list", vec![1, 0]),
        ("no utf-8", {
            let mut bytes = list(&[["variable", "", "a"]]);
            let name = bytes.len() - 2;
            bytes[name] = 0xff;
            bytes
        }),
    ];
    for (what, bytes) in wrong {
        assert!(matches!(decode(&bytes), Err(Undecodable::Damaged(_))), "{what}");
    }
    let newer = decode(&[2, 0]).unwrap_err();
    assert_eq!(newer, Undecodable::Format { found: 2 });
    assert!(newer.to_string().contains("format 2"), "{newer}");
}

type Variables = Arc<Mutex<HashMap<String, String>>>;

fn surroundings(root: Option<&Path>, variables: &Variables) -> Surroundings {
    let variables = Arc::clone(variables);
    let read = move |name: &str| variables.lock().get(name).map(|it| it.as_bytes().to_vec());
    Surroundings::new(root.map(Path::to_owned), Box::new(read), Arc::new(NoMemo))
}

#[test]
fn a_path_is_kept_by_what_it_hangs_on() {
    let inside = surroundings(Some(Path::new("/lab/trips")), &Variables::default());
    let cases = [
        ("data.csv", Place::Working("data.csv".to_owned())),
        ("../data.csv", Place::Working("../data.csv".to_owned())),
        ("", Place::Working(String::new())),
        ("/lab/trips/data.csv", Place::Project("data.csv".to_owned())),
        ("/lab/trips/../x", Place::Project("../x".to_owned())),
        ("/lab/trips", Place::Project(String::new())),
        ("/lab/trips2/data.csv", Place::Absolute("/lab/trips2/data.csv".to_owned())),
        ("/etc/hosts", Place::Absolute("/etc/hosts".to_owned())),
    ];
    for (path, place) in cases {
        assert_eq!(inside.place(path), place, "{path}");
    }
    let outside = surroundings(None, &Variables::default());
    let path = "/lab/trips/data.csv";
    assert_eq!(outside.place(path), Place::Absolute(path.to_owned()));
    assert_eq!(outside.path(&Place::Project("data.csv".to_owned())), None);
    let elsewhere = surroundings(Some(Path::new("/ci/trips")), &Variables::default());
    let there = elsewhere.path(&inside.place(path)).unwrap();
    assert_eq!(there, PathBuf::from("/ci/trips/data.csv"));
}

/// A change of what is there changes what is found, and back.
#[test]
fn each_thing_is_found_as_it_is_now() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let variables = Variables::default();
    let around = surroundings(Some(root), &variables);
    let at = |name: &str| root.join(name);
    let look = |what: Observed| around.state(&what);
    let data = || look(Observed::File(Place::Project("data".to_owned())));
    let listing = || look(Observed::Listing(Place::Project(String::new())));

    assert_eq!((data(), data()), (Some(State::Absent), Some(State::Absent)));
    let empty = listing();
    fs::write(at("data"), "one").unwrap();
    assert_eq!(data(), Some(content("one")));
    // Right after the first and of the same length: too fresh to be trusted to its stat.
    fs::write(at("data"), "two").unwrap();
    assert_eq!(data(), Some(content("two")));
    let one_file = listing();
    fs::write(at("other"), "").unwrap();
    let two_files = listing();
    fs::remove_file(at("data")).unwrap();
    assert_eq!(data(), Some(State::Absent));
    fs::create_dir(at("data")).unwrap();
    let is_directory = data();
    let as_directory = listing();
    assert!(is_directory.is_some() && is_directory != Some(content("")));
    let all = [empty, one_file, two_files, as_directory];
    for (n, one) in all.iter().enumerate() {
        assert!(one.is_some());
        assert!(!all[..n].contains(one), "listing {n}");
    }
    fs::remove_dir(at("data")).unwrap();
    fs::write(at("data"), "one").unwrap();
    assert_eq!(listing(), two_files, "a listing is names and kinds, not contents");

    let under_a_file = Observed::File(Place::Project("data/x".to_owned()));
    assert_eq!(look(under_a_file), Some(State::Absent));
    let of_a_file = Observed::Listing(Place::Project("data".to_owned()));
    assert!(![None, Some(State::Absent)].contains(&look(of_a_file)));
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    assert_eq!(look(Observed::File(Place::Project("loop".to_owned()))), None);
    let pipe = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(pipe.success());
    assert_eq!(look(Observed::File(Place::Project("pipe".to_owned()))), None);

    let mode = || look(Observed::Variable("MODE".to_owned()));
    assert_eq!(mode(), Some(State::Absent));
    variables.lock().insert("MODE".to_owned(), String::new());
    let unset_and_empty_differ = mode();
    variables.lock().insert("MODE".to_owned(), "fast".to_owned());
    let fast = mode();
    assert_ne!(unset_and_empty_differ, Some(State::Absent));
    assert_ne!(unset_and_empty_differ, fast);
}

#[test]
fn a_permission_is_whether_it_is_granted() {
    let directory = tempfile::tempdir().unwrap();
    let around = surroundings(Some(directory.path()), &Variables::default());
    let look = |right| {
        around.state(&Observed::Permission(right, Place::Project("it".to_owned()))).unwrap()
    };
    assert_eq!(look(Right::Execute), State::Absent);
    fs::write(directory.path().join("it"), "one").unwrap();
    let denied = look(Right::Execute);
    fs::set_permissions(directory.path().join("it"), fs::Permissions::from_mode(0o700)).unwrap();
    let granted = Right::ALL.map(look);
    assert_eq!(granted, [granted[0]; 3]);
    assert_ne!(denied, granted[0]);
    let seen = |word: &[u8]| {
        let mut seen = Hasher::new(Context::Value);
        seen.framed(b"thrifty observed").framed(b"permission").raw(word);
        State::Digest(seen.finish())
    };
    assert_eq!((denied, granted[0]), (seen(b"denied"), seen(b"granted")), "as published");
}

#[test]
fn presence_is_what_is_there_and_where_a_link_leads() {
    let directory = tempfile::tempdir().unwrap();
    let variables = Variables::default();
    let around = surroundings(Some(directory.path()), &variables);
    let at = |name: &str| directory.path().join(name);
    let look = || around.state(&Observed::Presence(Place::Project("it".to_owned()))).unwrap();
    assert_eq!(look(), State::Absent);
    let mut all = vec![look()];
    fs::write(at("it"), "one").unwrap();
    all.push(look());
    fs::write(at("it"), "another").unwrap();
    assert_eq!(look(), all[1], "its content does not count");
    fs::rename(at("it"), at("file")).unwrap();
    fs::create_dir(at("it")).unwrap();
    all.push(look());
    fs::remove_dir(at("it")).unwrap();
    fs::copy(at("file"), at("copy")).unwrap();
    for target in ["file", "copy", "nothing"] {
        std::os::unix::fs::symlink(target, at("it")).unwrap();
        all.push(look());
        fs::remove_file(at("it")).unwrap();
    }
    for (n, one) in all.iter().enumerate() {
        assert!(!all[..n].contains(one), "presence {n}");
    }
    let mut seen = Hasher::new(Context::Value);
    seen.framed(b"thrifty observed").framed(b"presence").raw(b"file\0");
    assert_eq!(all[1], State::Digest(seen.finish()), "as published");
}

#[test]
fn relative_paths_are_looked_at_from_the_working_directory() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let around = Surroundings::bare(Arc::new(NoMemo));
    let look = |directory: &Path| {
        std::env::set_current_dir(directory).unwrap();
        let data = Observed::File(Place::Working("data".to_owned()));
        let here = Observed::Listing(Place::Working(String::new()));
        [data, here, Observed::WorkingDirectory].map(|what| around.state(&what).unwrap())
    };
    fs::write(one.path().join("data"), "one").unwrap();
    fs::write(other.path().join("data"), "other").unwrap();
    let (in_one, in_other) = (look(one.path()), look(other.path()));
    assert_eq!((in_one[0], in_other[0]), (content("one"), content("other")));
    assert_eq!(in_one[1], in_other[1], "the same names");
    assert_ne!(in_one[2], in_other[2]);
    let path = one.path().canonicalize().unwrap();
    let mut seen = Hasher::new(Context::Value);
    seen.framed(b"thrifty observed").framed(b"working directory").raw(path.as_os_str().as_bytes());
    assert_eq!(in_one[2], State::Digest(seen.finish()), "as published");
}

/// Counts what is asked of it, and knows nothing.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Memo for Counting {
    fn recall(&self, _: &Path, _: &StatIdentity) -> Option<Digest> {
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }

    fn remember(&self, _: &Path, _: &StatIdentity, _: &Digest) {}
}

#[test]
fn an_unchanged_file_is_read_once_and_one_just_written_each_time() {
    let memo = Arc::new(Counting::default());
    let around = Surroundings::bare(Arc::<Counting>::clone(&memo));
    let settled = Path::new("/bin/sh").canonicalize().unwrap();
    let fresh = tempfile::NamedTempFile::new().unwrap();
    for (path, reads) in [(settled.as_path(), 1), (fresh.path(), 3)] {
        let before = memo.0.load(Ordering::SeqCst);
        for _ in 0..3 {
            let state = around.state(&Observed::File(absolute(path)));
            assert!(matches!(state, Some(State::Digest(_))));
        }
        assert_eq!(memo.0.load(Ordering::SeqCst) - before, reads, "{}", path.display());
    }
}

#[test]
fn a_glance_looks_at_each_place_once() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let read = move |_: &str| {
        counted.fetch_add(1, Ordering::SeqCst);
        Some(b"1".to_vec())
    };
    let around = Surroundings::new(None, Box::new(read), Arc::new(NoMemo));
    let what = Observed::Variable("MODE".to_owned());
    let now = Observation { what: what.clone(), state: around.state(&what).unwrap() };
    let then = Observation { what: what.clone(), state: State::Absent };
    let mut glance = Glance::new(&around);
    assert_eq!(glance.first_change(&[]), None);
    assert_eq!(glance.first_change(std::slice::from_ref(&now)), None);
    let new = Change { what, how: How::New };
    assert_eq!(glance.first_change(&[now.clone(), then.clone()]), Some(new.clone()));
    assert_eq!(glance.changes(&[then.clone(), now.clone()]), [new]);
    assert_eq!(glance.again(&[then]), Some(vec![now]));
    assert_eq!(looks.load(Ordering::SeqCst), 2);
}

#[test]
fn a_change_is_said_in_words() {
    let data = Observed::File(Place::Project("data.csv".to_owned()));
    let here = Observed::Listing(Place::Working(String::new()));
    let mode = Observed::Variable("MODE".to_owned());
    let cases = [
        (data.clone(), How::Changed, "data.csv has changed since it was read"),
        (data.clone(), How::Gone, "data.csv is gone since it was read"),
        (data.clone(), How::New, "data.csv is new: it was looked for and not there"),
        (data, How::Unreadable, "data.csv was read and cannot be read now"),
        (here, How::Changed, "the list of files in . has changed since it was read"),
        (mode, How::Gone, "the variable MODE is gone since it was read"),
        (
            Observed::WorkingDirectory,
            How::Changed,
            "the working directory has changed since it was read",
        ),
    ];
    for (what, how, said) in cases {
        assert_eq!(Change { what, how }.to_string(), said);
    }
}
