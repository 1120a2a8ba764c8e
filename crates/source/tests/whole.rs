//! A script as a whole: what it does counts, how it is written does not.

#![allow(clippy::unwrap_used)]

use thrifty_key::Digest;
use thrifty_source::Module;

fn digest(text: &str) -> Digest {
    Module::parse(text).unwrap().whole().digest
}

const SCRIPT: &str = "\"\"\"Counts.\"\"\"
import argparse
import csv as table

from tools.names import clean

RATE = 0.5


def count(rows):
    total = 0
    for row in rows:
        total += len(row)
    return total * RATE


class Reader:
    def read(self, path):
        return list(table.reader(open(path)))


if __name__ == '__main__':
    print(count(Reader().read('a.csv')))
";

#[test]
fn what_a_script_does_counts() {
    for (from, to) in [
        ("0.5", "0.6"),
        ("total += len(row)", "total -= len(row)"),
        ("'a.csv'", "'b.csv'"),
        ("import argparse\n", ""),
        ("import clean", "import clear"),
        ("class Reader:", "class Reader(dict):"),
        ("'__main__'", "'__mp_main__'"),
        ("RATE", "SHARE"),
    ] {
        assert!(SCRIPT.contains(from));
        assert_ne!(digest(&SCRIPT.replace(from, to)), digest(SCRIPT), "{from} to {to}");
    }
}

#[test]
fn how_a_script_is_written_does_not() {
    for (from, to) in [
        ("Counts.", "Counts rows."),
        ("\n\nRATE", "\n# how much\nRATE"),
        ("total", "sum_of_all"),
        ("def count(rows):", "def count(rows):\n    'Counts.'"),
        ("RATE = 0.5", "RATE = .50"),
        ("'a.csv'", "\"a.csv\""),
        ("\n", "\r\n"),
    ] {
        assert!(SCRIPT.contains(from));
        assert_eq!(digest(&SCRIPT.replace(from, to)), digest(SCRIPT), "{from} to {to}");
    }
}

#[test]
fn a_docstring_that_is_read_counts() {
    let script = "'Adds.'\nimport argparse\nargparse.ArgumentParser(description=__doc__)\n";
    assert_ne!(digest(script), digest(&script.replace("Adds", "Subtracts")));
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let text = "import a.b\nfrom . import c\nfrom ..d import e as f\ntry:\n    import g\nexcept ImportError:\n    g = None\ndef h():\n    from i import *\n";
    let module = Module::parse(text).unwrap();
    let mut found: Vec<_> = module
        .whole()
        .imports
        .into_iter()
        .map(|import| {
            (import.level, import.module.unwrap_or_default(), import.name.unwrap_or_default())
        })
        .collect();
    found.sort();
    let expected = [(0, "a.b", ""), (0, "g", ""), (0, "i", "*"), (1, "", "c"), (2, "d", "e")];
    assert_eq!(
        found,
        expected.map(|(level, module, name)| (level, module.to_owned(), name.to_owned()))
    );
}

#[test]
fn an_empty_script_is_one() {
    assert_eq!(digest(""), digest("# nothing\npass\n'text'\n"));
}
