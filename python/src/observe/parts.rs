//! What native code finds at a path that it was handed: all that is in a directory, or all that
//! fits a pattern.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::handed::{fixed, is_wild};
use super::recorder::{Recorder, Way};

/// A directory that is gone through.
struct Walk<'a> {
    recorder: &'a Recorder,
    /// As [`Recorder::look`] has it.
    is_relative: bool,
    /// The directories that it is in, by device and number: a link may lead back to them.
    above: Vec<(u64, u64)>,
}

impl Recorder {
    /// What is in a directory, or fits a pattern, may be read unseen: the names count, and the
    /// content of each file that may be meant. A file has no parts.
    pub(super) fn look_within(&self, given: &Path, is_relative: bool) {
        let (start, pattern) = match fixed(given) {
            Some(start) if !self.absolute(given).exists() => {
                let depth = start.iter().count();
                (start, given.iter().skip(depth).map(OsStr::to_owned).collect())
            }
            _ => (given.to_owned(), Vec::new()),
        };
        Walk { recorder: self, is_relative, above: Vec::new() }.walk(&start, &pattern);
    }
}

impl Walk<'_> {
    /// Looks at what is in a directory and fits the rest of a pattern; at all if that is empty.
    fn walk(&mut self, directory: &Path, pattern: &[OsString]) {
        let absolute = self.recorder.absolute(directory);
        let metadata = fs::metadata(&absolute);
        let identity = metadata.as_ref().ok().map(|it| (it.dev(), it.ino()));
        let is_directory = metadata.as_ref().is_ok_and(fs::Metadata::is_dir);
        let leads_back = identity.is_some_and(|identity| self.above.contains(&identity));
        let is_file = !is_directory && pattern.is_empty();
        if leads_back || is_file || self.recorder.ignores(&absolute) {
            return;
        }
        // Where there is no directory, one may be when the pattern is followed again.
        self.recorder.look(Way::Listing, directory, &absolute, self.is_relative);
        self.above.extend(identity);
        for entry in fs::read_dir(&absolute).into_iter().flatten().flatten() {
            if let Some(rest) = rest(pattern, &entry.file_name()) {
                self.part(directory.join(entry.file_name()), rest);
            }
        }
        self.above.pop();
    }

    fn part(&mut self, given: PathBuf, rest: &[OsString]) {
        let absolute = self.recorder.absolute(&given);
        if absolute.is_dir() {
            self.walk(&given, rest);
        } else if rest.is_empty() && !self.recorder.ignores(&absolute) {
            self.recorder.look(Way::Facts, &given, &absolute, self.is_relative);
        }
    }
}

/// What is left of a pattern below an entry of that name; `None` if the name does not fit. Below
/// `**` everything may fit.
fn rest<'a>(pattern: &'a [OsString], name: &OsStr) -> Option<&'a [OsString]> {
    match pattern.split_first() {
        None => Some(&[]),
        Some((first, _)) if first.as_bytes().windows(2).any(|it| it == b"**") => Some(&[]),
        Some((first, rest)) => may_fit(first, name).then_some(rest),
    }
}

/// Whether a name begins and ends as a pattern does: more names than those that fit, since what
/// stands between two wildcards is not looked at.
fn may_fit(pattern: &OsStr, name: &OsStr) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let is_special = |byte: &u8| is_wild(*byte) || *byte == b']';
    match (pattern.iter().position(is_special), pattern.iter().rposition(is_special)) {
        (Some(first), Some(last)) => {
            name.starts_with(&pattern[..first]) && name.ends_with(&pattern[last + 1..])
        }
        _ => pattern == name,
    }
}
