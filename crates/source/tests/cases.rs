//! Pairs of sources that must agree or differ, each with a name: `cases/*.txt`.
#![allow(clippy::unwrap_used)]

use thrifty_key::Digest;
use thrifty_source::Module;

/// Decorators of the product, as the binding would know them.
fn ours(path: &[String]) -> bool {
    path.last().is_some_and(|name| name == "task" || name == "workflow")
}

/// The digest of the one function `f…` or class of a case.
fn digest(source: &str) -> Digest {
    let module = Module::parse(source).unwrap_or_else(|error| panic!("{error}:\n{source}"));
    let lines = 1..=u32::try_from(source.lines().count()).unwrap();
    let at = |line| {
        ["f", "f_"].into_iter().find_map(|name| module.definition_at(line, name, &ours).ok())
    };
    let class = |name| module.class_named(name, &ours).ok();
    let found = lines.into_iter().find_map(at).or_else(|| class("C")).or_else(|| class("D"));
    found.unwrap_or_else(|| panic!("nothing to look at:\n{source}")).digest
}

fn pairs(cases: &str) -> Vec<(&str, &str, &str)> {
    let cases = cases.split("=== ").skip(1).map(|case| {
        let (name, sources) = case.split_once('\n').unwrap();
        let (left, right) = sources.split_once("---\n").unwrap();
        (name, left, right)
    });
    cases.collect()
}

fn assert_all(cases: &str, agree: bool) {
    let pairs = pairs(cases);
    let wrong: Vec<_> = pairs
        .iter()
        .filter(|(_, left, right)| (digest(left) == digest(right)) != agree)
        .map(|(name, _, _)| name)
        .collect();
    assert!(wrong.is_empty(), "of {} pairs these do not hold: {wrong:#?}", pairs.len());
}

#[test]
fn agree() {
    assert_all(include_str!("cases/agree.txt"), true);
}

#[test]
fn differ() {
    assert_all(include_str!("cases/differ.txt"), false);
}
