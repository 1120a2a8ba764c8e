//! The golden vectors of `docs/formats/key.md`.
//!
//! A vector that no longer holds means that every stored key is lost: change the format version
//! instead.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;

use thrifty_key::plain::{self, Reader};
use thrifty_key::{Digest, Kind, digest_parts, key_of};

const VECTORS: &str = include_str!("../../../docs/formats/vectors/key.txt");

fn vectors(kind: &str) -> Vec<Vec<&'static str>> {
    let lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.map(|line| line.split(" | ").collect::<Vec<_>>());
    let found: Vec<_> =
        fields.filter(|fields| fields[0] == kind).map(|fields| fields[1..].to_vec()).collect();
    assert!(!found.is_empty(), "no vectors of kind {kind}");
    found
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "odd number of digits: {hex}");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn digest(hex: &str) -> Digest {
    hex.parse().unwrap()
}

fn named(fields: &str) -> BTreeMap<String, Digest> {
    let pairs = fields.split(", ").map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, hex)| (name.to_owned(), digest(hex))).collect()
}

fn kind(word: &str) -> Kind {
    Kind::ALL.into_iter().find(|kind| kind.word() == word).unwrap()
}

#[test]
fn values() {
    let vectors = vectors("value");
    for fields in &vectors {
        let encoding = bytes(fields[1]);
        assert_eq!(plain::digest(&encoding), Ok(digest(fields[2])), "{}", fields[0]);
        let mut reader = Reader::new(&encoding);
        assert_eq!(reader.skip(), Ok(&encoding[..]), "{}", fields[0]);
        assert!(reader.is_at_end(), "{}", fields[0]);
    }
    let mut digests: Vec<_> = vectors.iter().map(|fields| fields[2]).collect();
    digests.sort_unstable();
    digests.dedup();
    // The same dict in two orders, and nothing else, appears twice.
    assert_eq!(digests.len(), vectors.len() - 1);
}

#[test]
fn folds() {
    for fields in vectors("fold") {
        let folded = plain::fold(&bytes(fields[0]), &mut |_| Ok(bytes(fields[1])));
        assert_eq!(folded, Ok(digest(fields[2])), "{}", fields[0]);
    }
}

#[test]
fn ingredients() {
    for fields in vectors("ingredient") {
        let parts = named(fields[1]);
        let parts = parts.iter().map(|(name, digest)| (name.as_str(), *digest));
        let found = digest_parts(kind(fields[0]), parts);
        assert_eq!(found, digest(fields[2]), "{} {}", fields[0], fields[1]);
    }
}

#[test]
fn keys() {
    for fields in vectors("key") {
        let kinds = named(fields[0]);
        let in_order =
            Kind::ALL.into_iter().filter_map(|kind| Some((kind, *kinds.get(kind.word())?)));
        assert_eq!(key_of(in_order), digest(fields[1]), "{}", fields[0]);
    }
}
