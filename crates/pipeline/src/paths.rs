//! Paths that stay where they belong.

use std::path::{Component, Path};

/// The path without `.` and doubled slashes, if it leads to something below where it starts.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn below(text: &str) -> Result<String, &'static str> {
    if text.contains('\0') {
        return Err("holds a zero byte");
    }
    let mut parts = Vec::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir => return Err("leads out of the operation's directory with `..`"),
            Component::RootDir | Component::Prefix(_) => {
                return Err("is absolute; write one relative to the operation's directory");
            }
        }
    }
    if parts.is_empty() { Err("is empty") } else { Ok(parts.join("/")) }
}

/// Whether one path is the other, or lies within it.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    Path::new(one).starts_with(other) || Path::new(other).starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_pass() {
        assert_eq!(below("a/./b//c"), Ok("a/b/c".to_owned()));
        assert_eq!(below("ä ö/x"), Ok("ä ö/x".to_owned()));
        for outside in ["/etc/passwd", "../x", "a/../../b", "a/..", "", ".", "./", "a\0b"] {
            assert!(below(outside).is_err(), "{outside:?}");
        }
        assert!(overlap("a/b", "a") && overlap("a", "a") && !overlap("a", "ab"));
    }
}
