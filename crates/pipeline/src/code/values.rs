//! What variables in the words of a command stand for, as far as its text and its `env` tell.

/// Variables of the caller that every command gets and that may stand in a path.
const PASSED: [&str; 3] = ["HOME", "VIRTUAL_ENV", "CONDA_PREFIX"];
/// How deep variables within the values of variables are filled in.
const DEEPEST: usize = 4;

/// The variables of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Values<'a> {
    /// Those that its text assigns, in order.
    pub(crate) assigned: &'a [(String, String)],
    /// Those that it declares.
    pub(crate) declared: &'a [(String, Option<String>)],
}

impl Values<'_> {
    /// A word with its variables filled in; nothing if one of them is not known.
    pub(crate) fn filled(self, text: &str) -> Option<String> {
        self.within(text, 0)
    }

    fn within(self, text: &str, depth: usize) -> Option<String> {
        let text = match text.strip_prefix("~/") {
            Some(rest) => format!("$HOME/{rest}"),
            None => text.to_owned(),
        };
        if text.contains('`') || depth > DEEPEST {
            return None;
        }
        let mut parts = text.split('$');
        let mut filled = parts.next()?.to_owned();
        for part in parts {
            let (name, rest) = match part.strip_prefix('{') {
                Some(inner) => inner.split_once('}')?,
                None => {
                    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
                    part.split_at(part.find(|it| !is_name(it)).unwrap_or(part.len()))
                }
            };
            filled += &self.value(name, depth)?;
            filled += rest;
        }
        Some(filled)
    }

    /// The one value that a variable has.
    fn value(self, name: &str, depth: usize) -> Option<String> {
        let values = self.assigned.iter().filter(|(_, value)| !is_several(value));
        let mut assigned = values.filter(|(known, _)| known == name);
        if let Some((_, value)) = assigned.next() {
            let is_one = assigned.next().is_none() && !value.is_empty();
            return if is_one { self.within(value, depth + 1) } else { None };
        }
        match self.declared.iter().find(|(known, _)| known == name) {
            Some((_, value)) => value.clone(),
            None if PASSED.contains(&name) => std::env::var(name).ok(),
            None => None,
        }
    }
}

/// Whether a value is several words: most likely no value, but a command to another program.
pub(super) fn is_several(value: &str) -> bool {
    value.contains(char::is_whitespace)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_filled_in_where_it_has_one_value() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let assigned = [
            pair("V", "/v"),
            pair("W", "${V}/w"),
            pair("TWO", "a"),
            pair("TWO", "b"),
            pair("SAID", ""),
            pair("SELF", "$SELF/x"),
        ];
        let declared = [
            ("HOME".to_owned(), Some("/h".to_owned())),
            ("NONE".to_owned(), None),
            ("V".to_owned(), Some("/hidden".to_owned())),
        ];
        let values = Values { assigned: &assigned, declared: &declared };
        for (text, filled) in [
            ("$V/bin", Some("/v/bin")),
            ("${W}x$V", Some("/v/wx/v")),
            ("~/f", Some("/h/f")),
            ("$HOME", Some("/h")),
            ("plain", Some("plain")),
            ("$TWO/x", None),
            ("$SAID/x", None),
            ("$NONE/x", None),
            ("$UNKNOWN/x", None),
            ("$SELF", None),
            ("${V:-x}/y", None),
            ("$(pwd)/x", None),
            ("`pwd`/x", None),
            ("$", None),
        ] {
            assert_eq!(values.filled(text).as_deref(), filled, "{text}");
        }
    }
}
