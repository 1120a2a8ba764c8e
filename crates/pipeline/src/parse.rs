//! From text to a document.

use std::path::Path;

use serde_json::Value as Json;
use serde_saphyr::Options;

use crate::document::Document;
use crate::error::{FileError, Place};
use crate::place::Sources;

/// The largest operation file, in bytes.
const LARGEST: u64 = 16 << 20;

/// Reads the document in a file.
pub(crate) fn read(path: &Path, sources: &Sources) -> Result<Document, FileError> {
    let unreadable = |reason: String| FileError::Unreadable { path: path.to_owned(), reason };
    let length = path.metadata().map_err(|error| unreadable(error.to_string()))?.len();
    if length > LARGEST {
        return Err(unreadable(format!("it has {length} bytes, more than {LARGEST}")));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        unreadable(format!("line {} is not UTF-8", line + 1))
    })?;
    sources.reading(path, || parse(path, text))
}

/// Reads the document in a text; `path` is where it stands.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Document, FileError> {
    let whole = || Place { path: path.to_owned(), line: 0, column: 0 };
    if text.trim().is_empty() {
        let reason = "it is empty: an operation file has `operations`".to_owned();
        return Err(FileError::Syntax { place: whole(), reason });
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let place = error.location().map_or_else(whole, |location| Place::of(path, location));
        FileError::Syntax { place, reason: without_place(&error.to_string()) }
    })
}

/// Reads one value.
pub(crate) fn value(text: &str) -> Result<Json, String> {
    serde_saphyr::from_str_with_options(text, options())
        .map_err(|error| without_place(&error.to_string()))
}

fn options() -> Options {
    serde_saphyr::options! { strict_booleans: true, with_snippet: false }
}

/// The message without the place, which is said before it.
fn without_place(message: &str) -> String {
    let end = message.find(" at line ").unwrap_or(message.len());
    let first = message[..end].lines().next().unwrap_or_default();
    let first = first.trim_start_matches("error: ");
    if first.starts_with("invalid boolean") {
        return "it is `true` or `false`, and nothing else".to_owned();
    }
    // What follows is advice for who calls the reader.
    match first.strip_prefix("duplicate mapping key: ").and_then(|it| it.rsplit_once(", set ")) {
        Some((key, _)) => format!("`{key}` stands here for the second time"),
        None => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(Path::new("p.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_document_is_told_with_its_place() {
        for (text, told) in [
            ("", "p.yaml: it is empty"),
            ("operations: [", "p.yaml:"),
            ("operations:\n  a:\n    run: x\n    rnu: y\n", "p.yaml:4:5: unknown field"),
            ("operations:\n  a:\n    run: x\n    run: y\n", "p.yaml:4:5: `run` stands"),
            ("operations:\n  a:\n    run: {x: y}\n", "p.yaml:3:10: "),
            ("operations:\n  a:\n    run: x\n    retries: -1\n", "p.yaml:4:14: "),
            ("operations: 3\n", "p.yaml:1:13: "),
            ("operations:\n  a:\n    run: x\n    outputs: {o: {file: a, dir: b}}\n", "p.yaml:4:"),
            (
                "operations:\n  a:\n    run: x\n    cache: {disable: yes}\n",
                "p.yaml:4:22: it is `true` or `false`",
            ),
        ] {
            let found = fault(text);
            assert!(found.starts_with(told), "{text:?}: {found}");
            assert!(!found.contains('\n'), "{found}");
        }
    }
}
