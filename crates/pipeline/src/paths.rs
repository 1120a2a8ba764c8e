//! Paths that stay where they belong.

use std::path::{Component, Path, PathBuf};

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

/// The same of paths from the root.
pub(crate) fn meet(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Where a path names something that need not be there: links on the way are followed, and not what it names
/// itself.
pub(crate) fn placed(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent(), path.file_name()) {
        (Some(above), Some(name)) => {
            above.canonicalize().unwrap_or_else(|_| placed(above)).join(name)
        }
        _ => path,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
    #[test]
    fn links_on_the_way_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("data")).unwrap();
        std::os::unix::fs::symlink("data", root.join("alias")).unwrap();
        for (path, place) in
            [("alias/new/x", "data/new/x"), ("alias", "alias"), ("none/./x", "none/x")]
        {
            assert_eq!(placed(&root.join(path)), root.join(place), "{path}");
        }
        assert!(meet(&root, &root.join("x")) && !meet(&root.join("x"), &root.join("y")));
    }
}
