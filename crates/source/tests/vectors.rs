//! Golden vectors of format 1, and the specification against the code.
//!
//! A vector that fails says that digests changed for everybody: raise `FORMAT` and write new ones.
#![allow(clippy::unwrap_used)]

use thrifty_key::{Context, Digest, Hasher};
use thrifty_source::{FORMAT, Module};

fn digest(source: &str, name: &str) -> Digest {
    let module = Module::parse(source).unwrap();
    let task = |path: &[String]| path == ["task"];
    module.definition_at(1, name, &task).unwrap().digest
}

#[test]
fn vectors_hold() {
    let mut wrong = Vec::new();
    for vector in include_str!("vectors.txt").split("=== ").skip(1) {
        let (head, source) = vector.split_once('\n').unwrap();
        let (title, expected) = head.rsplit_once(": ").unwrap();
        let name = title.rsplit_once('(').unwrap().1.trim_end_matches(')');
        let digest = digest(source, name).to_string();
        if digest != expected {
            wrong.push(format!("{title}: {digest}"));
        }
    }
    assert!(wrong.is_empty(), "these digests changed:\n{}", wrong.join("\n"));
}

/// The specification alone, without the code: `lambda a, b=2: a`.
#[test]
fn the_specification_gives_the_same_bytes() {
    let (lambda, named, integer) = (50, 2, 84);
    let mut hasher = Hasher::new(Context::Code);
    hasher.count(1).tag(lambda);
    hasher.count(0); // positional-only
    hasher.count(2); // ordinary
    hasher.tag(named).count(0).framed(b"a").tag(0);
    hasher.tag(named).count(0).framed(b"b").tag(1).tag(integer).framed(&[2]);
    hasher.count(0); // keyword-only
    hasher.tag(0).tag(0); // * and **
    hasher.tag(named).count(0).framed(b"a");
    assert_eq!(digest("f = lambda a, b=2: a", "<lambda>"), hasher.finish());
    assert_eq!(FORMAT, 1);
}

#[test]
fn the_specification_lists_every_tag() {
    let specification = include_str!("../../../docs/formats/code.md");
    let code = include_str!("../src/normalise/tag.rs");
    let tags = code.lines().filter_map(|line| line.strip_suffix(',')?.trim().split_once(" = "));
    let mut count = 0;
    for (name, number) in tags.filter(|(_, number)| number.parse::<u8>().is_ok()) {
        assert!(specification.contains(&format!("\n| {number} | {name} |")), "{name} = {number}");
        count += 1;
    }
    let rows = specification.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    assert_eq!(count, rows.filter(|(number, _)| number.parse::<u8>().is_ok()).count());
}
