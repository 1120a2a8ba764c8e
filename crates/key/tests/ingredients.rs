//! Properties of ingredients, keys and their differences.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use thrifty_key::explain::{Change, differences};
use thrifty_key::{Digest, Ingredients, Kind, Preview, digest_parts, plain};

type Parts = Vec<(Kind, String, u8)>;

fn of(number: u8) -> Digest {
    plain::digest(&plain::int(number.into())).unwrap()
}

fn made(parts: &Parts) -> Ingredients {
    let mut ingredients = Ingredients::new();
    for (kind, name, number) in parts {
        let preview = Preview::text(number.to_string());
        // Repeated names are refused, so the first of them counts.
        _ = ingredients.add(*kind, name.as_str(), of(*number), preview);
    }
    ingredients
}

fn parts() -> impl Strategy<Value = Parts> {
    let part = (prop::sample::select(Kind::ALL.to_vec()), "[a-c]{0,2}", 0_u8..4);
    prop::collection::vec(part, 0..12)
}

/// The parts without what only people see.
fn facts(ingredients: &Ingredients) -> Vec<(Kind, String, Digest)> {
    let of_kind = |kind| {
        ingredients.parts(kind).map(move |(name, part)| (kind, name.to_owned(), part.digest))
    };
    Kind::ALL.into_iter().flat_map(of_kind).collect()
}

proptest! {
    #[test]
    fn keys_agree_exactly_if_the_parts_do(one in parts(), other in parts()) {
        let (one, other) = (made(&one), made(&other));
        prop_assert_eq!(one.key() == other.key(), facts(&one) == facts(&other));
        prop_assert_eq!(differences(&one, &other).is_empty(), one.key() == other.key());
    }

    #[test]
    fn the_order_of_adding_does_not_count(parts in parts()) {
        let forward = made(&parts);
        let mut backward = Ingredients::new();
        for (kind, name, digest) in facts(&forward).into_iter().rev() {
            backward.add(kind, name, digest, Preview::text("")).unwrap();
        }
        prop_assert_eq!(backward.key(), forward.key());
    }

    #[test]
    fn differences_lead_from_one_to_the_other(one in parts(), other in parts()) {
        let (one, other) = (made(&one), made(&other));
        let differences = differences(&one, &other);
        for difference in &differences {
            let old = one.part(difference.kind, &difference.name).map(|part| &part.preview);
            let new = other.part(difference.kind, &difference.name).map(|part| &part.preview);
            let shown = match &difference.change {
                Change::Added { new } => (None, Some(new)),
                Change::Removed { old } => (Some(old), None),
                Change::Changed { old, new } => (Some(old), Some(new)),
            };
            prop_assert_eq!(shown, (old, new));
        }
        let places: Vec<_> = differences.iter().map(|difference| (difference.kind, &difference.name)).collect();
        let mut sorted = places.clone();
        sorted.sort();
        sorted.dedup();
        prop_assert_eq!(places, sorted);
    }

    #[test]
    fn a_preview_is_cut_at_its_limit(text in ".{0,400}") {
        let Preview::Text(shown) = Preview::text(text.clone()) else { unreachable!() };
        prop_assert!(shown.len() <= Preview::LIMIT);
        prop_assert!(shown == text || text.starts_with(shown.strip_suffix('…').unwrap()));
    }
}

fn single(kind: Kind, name: &str, number: u8, preview: &str) -> Ingredients {
    let mut ingredients = Ingredients::new();
    ingredients.add(Kind::Operation, "name", of(0), Preview::text("op")).unwrap();
    let name = format!("{name}!");
    ingredients.add(kind, name, of(number), Preview::text(preview)).unwrap();
    ingredients
}

#[test]
fn every_kind_changes_the_key_and_no_two_alike() {
    let mut keys: Vec<_> = Kind::ALL
        .into_iter()
        .flat_map(|kind| {
            [
                single(kind, "p", 1, "").key(),
                single(kind, "p", 2, "").key(),
                single(kind, "q", 1, "").key(),
            ]
        })
        .collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

#[test]
fn previews_do_not_change_the_key() {
    for kind in Kind::ALL {
        assert_eq!(single(kind, "p", 1, "a").key(), single(kind, "p", 1, "b").key());
    }
}

#[test]
fn a_name_given_twice_is_refused_and_named() {
    let mut ingredients = single(Kind::Inputs, "p", 1, "");
    let key = ingredients.key();
    let refused = ingredients.add(Kind::Inputs, "p!", of(2), Preview::text("")).unwrap_err();
    assert_eq!(refused.to_string(), "inputs ingredient \"p!\" was given twice");
    assert_eq!(ingredients.key(), key);
}

#[test]
fn names_are_framed() {
    let digest = |parts: &[(&str, Digest)]| digest_parts(Kind::Inputs, parts.iter().copied());
    assert_ne!(digest(&[("ab", of(1))]), digest(&[("a", of(1)), ("b", of(1))]));
    assert_ne!(digest(&[]), digest(&[("", of(1))]));
}

#[test]
fn the_words_of_the_kinds_are_theirs_alone() {
    let mut words: Vec<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Kind::ALL.len());
}
