//! Seeds: the vectors of `docs/formats/seed.md`, and what a seed does to a key.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use thrifty_engine::key::{Digest, Ingredients, Kind, Part, Preview, plain};
use thrifty_engine::{Operation, Seed, Stream};

const VECTORS: &str = include_str!("../../../docs/formats/vectors/seed.txt");

fn vectors(kind: &str) -> Vec<Vec<&'static str>> {
    let lines = VECTORS.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    let found: Vec<_> = lines.filter(|fields| fields[0] == kind).collect();
    assert!(found.len() > 3, "no vectors of kind {kind}");
    found
}

fn seed(text: &str) -> Seed {
    Seed::from_text(text).unwrap()
}

#[test]
fn streams_are_those_of_the_vectors() {
    for fields in vectors("stream") {
        let inputs = fields[3].split(", ").filter(|input| *input != "none");
        let inputs: Vec<(&str, Digest)> = inputs
            .map(|input| input.split_once('=').unwrap())
            .map(|(name, digest)| (name, digest.parse().unwrap()))
            .collect();
        let stream = seed(fields[1]).stream(fields[2], inputs.into_iter());
        assert_eq!(Digest::from_bytes(*stream.as_bytes()).to_string(), fields[4], "{fields:?}");
    }
}

#[test]
fn generators_get_the_bytes_of_the_vectors() {
    for fields in vectors("generator") {
        let stream = Stream::from_bytes(*fields[1].parse::<Digest>().unwrap().as_bytes());
        let bytes = stream.bytes(fields[2]);
        assert_eq!(Digest::from_bytes(bytes).to_string(), fields[3], "{fields:?}");
        if fields[2] == "seed" {
            assert_eq!(stream.number().to_le_bytes(), bytes[..4]);
        }
    }
}

#[test]
fn the_part_of_the_key_is_the_digest_of_the_integer() {
    for fields in vectors("ingredient") {
        assert_eq!(seed(fields[1]).part().digest.to_string(), fields[2]);
        assert_eq!(seed(fields[1]).part().preview, Preview::text(fields[1]));
    }
}

#[test]
fn no_two_generators_of_a_stream_get_the_same() {
    let stream = seed("7").stream("m.f", std::iter::empty());
    let names = ["seed", "rng", "random", "numpy", "torch", "tensorflow", "hash"];
    let all: BTreeSet<_> = names.iter().map(|name| stream.bytes(name)).collect();
    assert_eq!(all.len(), names.len());
}

#[test]
fn seeds_are_whole_numbers_that_every_language_can_write() {
    for (text, number) in [("0", 0), ("7", 7), ("007", 7), ("9223372036854775807", Seed::LARGEST)] {
        assert_eq!(Seed::from_text(text).map(Seed::number), Some(number), "{text}");
    }
    for text in ["", "-1", "+1", "1.0", "1e3", " 1", "x", "٣", "9223372036854775808", "1_000"] {
        assert_eq!(Seed::from_text(text), None, "{text:?}");
    }
    assert_eq!(Seed::new(u64::MAX), None);
}

fn operation() -> Operation {
    let mut fixed = Ingredients::new();
    let add = |fixed: &mut Ingredients, kind, name: &str| {
        fixed.add(kind, name, plain::digest_text(name), Preview::text(name)).unwrap();
    };
    add(&mut fixed, Kind::Operation, "name");
    add(&mut fixed, Kind::Salt, "salt");
    Operation::new("m.f", fixed, Vec::new())
}

#[test]
fn a_seed_is_an_ingredient_of_its_own() {
    let plain_one = operation();
    let of = |text| plain_one.seeded(seed(text), None).unwrap();
    let key = |operation: &Operation| operation.key(std::iter::empty());
    let keys = [key(&plain_one), key(&of("0")), key(&of("7")), key(&of("8"))];
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    assert_eq!(key(&of("7")), keys[2]);
    let ingredients = of("7").ingredients([]);
    assert_eq!(ingredients.key(), keys[2], "the quick way and the whole give one key");
    assert_eq!(ingredients.parts(Kind::Seed).collect::<Vec<_>>(), [("seed", &seed("7").part())]);
    assert!(of("7").seeded(seed("8"), None).is_err(), "no operation has two seeds");
}

#[test]
fn what_generators_are_belongs_to_the_seed() {
    let part = |version: &str| {
        let digest = plain::digest_text(version);
        Some(("numpy".to_owned(), Part { digest, preview: Preview::text(version) }))
    };
    let key = |version| {
        let seeded = operation().seeded(seed("7"), part(version)).unwrap();
        seeded.key(std::iter::empty())
    };
    assert_eq!(key("2.0"), key("2.0"));
    assert_ne!(key("2.0"), key("2.1"));
}

proptest! {
    #[test]
    fn streams_differ_with_all_that_they_are_made_of(
        (one, other) in (0..=Seed::LARGEST, 0..=Seed::LARGEST),
        (name, renamed) in ("[a-z.]{1,12}", "[a-z.]{1,12}"),
        (input, changed) in (any::<i64>(), any::<i64>()),
    ) {
        let digest = |number| plain::digest(&plain::int(number)).unwrap();
        let of = |number, name: &str, input| {
            Seed::new(number).unwrap().stream(name, [("n", digest(input))].into_iter())
        };
        let stream = of(one, &name, input);
        prop_assert_eq!(stream, of(one, &name, input));
        prop_assert_eq!(stream == of(other, &name, input), one == other);
        prop_assert_eq!(stream == of(one, &renamed, input), name == renamed);
        prop_assert_eq!(stream == of(one, &name, changed), input == changed);
        prop_assert_ne!(stream, Seed::new(one).unwrap().stream(&name, std::iter::empty()));
    }
}
