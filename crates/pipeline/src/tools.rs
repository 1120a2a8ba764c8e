//! Programs that commands begin with. One that is not there is told before anything runs, where
//! the command would run at all.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::document::Run;
use crate::error::{Place, PrepareError};
use crate::variables;

/// The program with which a command certainly begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name, which is no path.
    name: String,
    /// Whether the shell looks for it, which knows words of its own.
    by_shell: bool,
    /// Where the command stands.
    place: Place,
}

impl Tool {
    /// The one of a command; `None` if it is a path, is computed, or may be passed over.
    pub(crate) fn of(run: &Run, place: &Place) -> Option<Self> {
        let (name, by_shell) = match run {
            Run::Words(words) => (words.first().map(String::as_str), false),
            Run::Shell(text) => (begins_with(text), true),
        };
        let name = name.filter(|name| is_plain(name))?.to_owned();
        Some(Self { name, by_shell, place: place.clone() })
    }

    /// Whether it is not there for a command that declares these variables.
    pub(crate) fn is_missing(&self, declared: &[(String, Option<String>)]) -> bool {
        let own = declared.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
        let path = own.map_or_else(|| env::var_os("PATH"), |value| value.map(OsString::from));
        let Some(path) = path else { return false };
        // What a place in the directory of the attempt will hold is not known.
        let is_known = env::split_paths(&path).all(|place| place.is_absolute());
        is_known
            && variables::program(&self.name, &path).is_none()
            && !(self.by_shell && self.is_of_shell(declared))
    }

    /// Whether the shell itself knows the word.
    fn is_of_shell(&self, declared: &[(String, Option<String>)]) -> bool {
        let mut shell = Command::new("sh");
        shell.args(["-c", "command -v \"$1\"", "sh", &self.name]);
        variables::surround(&mut shell, declared, OsStr::new(""));
        let asked = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    /// That it is not there.
    pub(crate) fn refusal(&self) -> PrepareError {
        let reason = format!(
            "`{}` is not on the PATH: install it, say in `env` on which `PATH` it is, or write the path of the program",
            self.name
        );
        PrepareError::Refused { place: self.place.clone(), reason }
    }
}

fn is_plain(word: &str) -> bool {
    let is_name = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '.' | '+');
    !word.is_empty() && word.starts_with(char::is_alphanumeric) && word.chars().all(is_name)
}

/// The first word of a text for the shell, if its first command stands for itself: whether one
/// within a list or a pipe is missing does not decide how the text ends.
fn begins_with(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let mut quote = None;
    let mut rest = text.char_indices().peekable();
    while let Some((at, letter)) = rest.next() {
        match (letter, quote) {
            ('\\', Some('"') | None) => _ = rest.next(),
            (it, Some(open)) => quote = (it != open).then_some(open),
            ('\'' | '"', None) => quote = Some(letter),
            ('{', None) if text[at..].starts_with("{%") => return None,
            ('{', None) if text[at..].starts_with("{{") => {
                let end = text[at..].find("}}")?;
                while rest.next_if(|(next, _)| *next < at + end).is_some() {}
            }
            (';' | '\n', None) => break,
            ('|' | '&' | '(' | ')' | '`', None) => return None,
            _ => {}
        }
    }
    text.split([' ', '\t', '\n', ';']).next().filter(|word| Path::new(word).is_relative())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_counts_where_the_text_cannot_do_without_it() {
        for (text, word) in [
            ("tool --x {{ inputs.i | join(' ') }} > o; other", Some("tool")),
            ("  tool 'a; b | c'\nother | more", Some("tool")),
            ("tool", Some("tool")),
            ("tool +%Y \\\n  \"a\\\"; b\"", Some("tool")),
            ("tool \"a\\\"; b\" || true", None),
            ("tool || true", None),
            ("tool 'a' | cat", None),
            ("tool && other", None),
            ("tool() { true; }", None),
            ("{% if params.x %}tool{% endif %}", None),
            ("X=1 tool", Some("X=1")),
            ("./tool", Some("./tool")),
        ] {
            assert_eq!(begins_with(text), word, "{text}");
        }
        for word in ["X=1", "./tool", "{{", "$T", "[", "!", "-x", ""] {
            assert!(!is_plain(word), "{word}");
        }
        assert!(is_plain("python3.11") && is_plain("g++"));
    }

    #[test]
    fn words_of_the_shell_and_programs_on_the_path_of_the_command_are_there() {
        let place = Place { path: "p.yaml".into(), line: 1, column: 1 };
        let is_missing = |run: &Run, env: &[(String, Option<String>)]| {
            Tool::of(run, &place).is_some_and(|tool| tool.is_missing(env))
        };
        let shell = |text: &str| Run::Shell(text.to_owned());
        let words = |word: &str| Run::Words(vec![word.to_owned()]);
        for there in [shell("cd x"), shell("while true; do x; done"), shell("cat x"), words("cat")]
        {
            assert!(!is_missing(&there, &[]), "{there:?}");
        }
        for missing in [shell("no-such-tool"), words("no-such-tool"), words("cd")] {
            assert!(is_missing(&missing, &[]), "{missing:?}");
        }
        let path = |path: &str| [("PATH".to_owned(), Some(path.to_owned()))];
        assert!(is_missing(&words("cat"), &path("/nowhere")));
        assert!(!is_missing(&words("cat"), &path("bin:/nowhere")), "that is not known yet");
    }
}
