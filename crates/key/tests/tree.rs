//! Manifests have one byte form, and no path leads out of one.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use thrifty_key::Digest;
use thrifty_key::tree::{DecodeError, Entry, File, Manifest, PathFault};

fn file(content: &[u8]) -> File {
    File { digest: Digest::of_blob(content), length: content.len() as u64, executable: false }
}

fn sample() -> Manifest {
    let mut manifest = Manifest::default();
    manifest.add_file("raw/flights.csv", file(b"a,b\n")).unwrap();
    manifest.add_file("run", File { executable: true, ..file(b"#!") }).unwrap();
    manifest.add_directory("empty").unwrap();
    manifest
}

/// The byte form, written by hand: entries need not be valid.
fn bytes(entries: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (tag, path) in entries {
        bytes.push(*tag);
        bytes.extend((path.len() as u64).to_le_bytes());
        bytes.extend(*path);
        if *tag != 0 {
            bytes.extend([7; 40]);
        }
    }
    bytes
}

fn fault(path: &str) -> Option<PathFault> {
    Manifest::default().add_directory(path).err().map(|error| error.reason)
}

#[test]
fn golden_bytes_and_digests_of_layout_1() {
    let hexadecimal: String = sample().encode().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hexadecimal, GOLDEN_BYTES);
    assert_eq!(sample().digest().to_string(), GOLDEN_DIGEST);
    assert_eq!(Manifest::default().digest().to_string(), GOLDEN_EMPTY);
}

#[test]
fn what_is_decoded_is_what_was_encoded() {
    for manifest in [Manifest::default(), sample()] {
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    }
}

#[test]
fn every_fact_of_an_entry_is_in_the_digest() {
    let plain = file(b"x");
    let of = |path: &str, file: File| {
        let mut manifest = Manifest::default();
        manifest.add_file(path, file).unwrap();
        manifest.digest()
    };
    let mut directory = Manifest::default();
    directory.add_directory("a").unwrap();
    let digests = [
        of("a", plain),
        of("b", plain),
        of("a/a", plain),
        of("a", File { executable: true, ..plain }),
        of("a", File { length: 2, ..plain }),
        of("a", file(b"y")),
        directory.digest(),
        Manifest::default().digest(),
    ];
    for (at, digest) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(digest), "number {at}");
    }
}

#[test]
fn the_order_of_adding_does_not_count_and_parents_come_by_themselves() {
    let mut manifest = Manifest::default();
    manifest.add_directory("empty").unwrap();
    manifest.add_file("run", File { executable: true, ..file(b"#!") }).unwrap();
    manifest.add_directory("raw").unwrap();
    manifest.add_file("raw/flights.csv", file(b"a,b\n")).unwrap();
    manifest.add_file("raw/flights.csv", file(b"a,b\n")).unwrap();
    assert_eq!(manifest, sample());
    assert_eq!(manifest.get("raw"), Some(&Entry::Directory));
    assert_eq!((manifest.files().count(), manifest.entries().len(), manifest.length()), (2, 4, 6));
}

#[test]
fn hostile_paths_are_refused_when_added_and_when_decoded() {
    let long = "x".repeat(256);
    let deep = "d/".repeat(2048) + "d";
    let cases = [
        ("", PathFault::Empty),
        ("/etc/passwd", PathFault::Empty),
        ("a//b", PathFault::Empty),
        ("a/", PathFault::Empty),
        (".", PathFault::Dots),
        ("..", PathFault::Dots),
        ("a/../../b", PathFault::Dots),
        ("a/./b", PathFault::Dots),
        ("a\0b", PathFault::Character),
        ("..\\windows", PathFault::Character),
        (&long, PathFault::Long),
        (&deep, PathFault::Long),
    ];
    for (path, expected) in cases {
        assert_eq!(fault(path), Some(expected), "{path:?}");
        for tag in [0, 1, 2] {
            let error = Manifest::decode(&bytes(&[(tag, path.as_bytes())])).unwrap_err();
            assert!(matches!(error, DecodeError::Path(e) if e.reason == expected), "{path:?}");
        }
    }
    for path in ["a", "...", "..a", " ", "größe", "a b/c:d", "-rf", "~", &"x".repeat(255)] {
        assert_eq!(fault(path), None, "{path:?}");
    }
}

#[test]
fn a_path_cannot_be_two_things() {
    let mut manifest = sample();
    for path in ["run/below", "run/far/below", "raw"] {
        let error = manifest.add_file(path, file(b"x")).unwrap_err();
        assert_eq!(error.reason, PathFault::Taken, "{path}");
    }
    assert!(manifest.add_directory("run").is_err());
    assert!(manifest.add_file("run", file(b"other")).is_err());
    assert_eq!(manifest, sample(), "a refused entry changes nothing");
}

#[test]
fn only_the_canonical_order_is_read() {
    let cases: [&[(u8, &[u8])]; 6] = [
        &[(0, b"b"), (0, b"a")],
        &[(0, b"a"), (0, b"a")],
        &[(1, b"a"), (2, b"a")],
        &[(1, b"a"), (1, b"a/b")],
        &[(1, b"a/b")],
        &[(0, b"a"), (0, b"a/b/c")],
    ];
    for entries in cases {
        let error = Manifest::decode(&bytes(entries)).unwrap_err();
        assert!(matches!(error, DecodeError::Order { .. }), "{entries:?}: {error}");
    }
    assert!(Manifest::decode(&bytes(&[(0, b"a"), (0, b"a b"), (1, b"a/b")])).is_ok());
}

#[test]
fn damaged_bytes_are_errors_and_ask_for_no_memory() {
    let whole = sample().encode();
    for end in 0..whole.len() {
        assert!(Manifest::decode(&whole[..end]).is_err(), "cut at {end}");
    }
    assert!(Manifest::decode(&[&whole[..], b"x"].concat()).is_err());
    assert_eq!(Manifest::decode(&[2]), Err(DecodeError::Version { found: 2 }));
    let endless = [&[1][..], &u64::MAX.to_le_bytes(), &[0], &u64::MAX.to_le_bytes()].concat();
    assert!(matches!(Manifest::decode(&endless), Err(DecodeError::Malformed { .. })));
    assert!(matches!(Manifest::decode(&bytes(&[(3, b"a")])), Err(DecodeError::Malformed { .. })));
    assert!(matches!(
        Manifest::decode(&bytes(&[(0, b"\xff")])),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn a_flipped_bit_is_an_error_or_another_manifest() {
    let whole = sample().encode();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = Manifest::decode(&flipped) {
            assert_ne!(read.digest(), sample().digest(), "bit {bit}");
            assert_eq!(read.encode(), flipped, "one form for one manifest");
        }
    }
}

const GOLDEN_BYTES: &str = "010400000000000000000500000000000000656d707479000300000000000000726177010f000000000000007261772f666c69676874732e637376bb8c3eaa219465f5d51a3073a55c338276ecdecd2de5b3aed9797234d2afb676040000000000000002030000000000000072756e5771f17b684b2eed1a255b5be78f759875710142db7b2ae6d291eecd7b38293b0200000000000000";
const GOLDEN_DIGEST: &str = "b31fd02d9e7ad0de41558c238ce496f1c90e71d2eb7575cd1d304423a88606e5";
const GOLDEN_EMPTY: &str = "1a7c5d047252ee4a95d798e174fdde6b92b6b0999d8cccbb51af693f14d26b88";
