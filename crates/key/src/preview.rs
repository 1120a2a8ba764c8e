//! What may be shown of a part of a key.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What may be shown of a part. Never enters a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preview {
    /// A short text; cut to [`Preview::LIMIT`] bytes.
    Text(String),
    /// The digest under which the catalog keeps the source text.
    Source(Digest),
    /// Nothing may be shown: a secret.
    Hidden,
}

impl Preview {
    /// The longest preview, in bytes.
    pub const LIMIT: usize = 120;

    /// A text preview without passwords, cut at a character boundary if it is longer than
    /// [`Preview::LIMIT`].
    pub fn text(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if let Cow::Owned(hidden) = without_passwords(&text) {
            text = hidden;
        }
        if text.len() > Self::LIMIT {
            let end = (0..=Self::LIMIT - '…'.len_utf8())
                .rev()
                .find(|end| text.is_char_boundary(*end))
                .unwrap_or(0);
            text.truncate(end);
            text.push('…');
        }
        Self::Text(text)
    }
}

/// The text with `…` in place of the passwords of its URLs. Where a text ends within what may be
/// one, that is hidden, too: it may have been cut.
///
/// ```
/// use thrifty_key::without_passwords;
///
/// assert_eq!(without_passwords("pg://ada:s3cr:et@db/x"), "pg://ada:…@db/x");
/// assert_eq!(without_passwords("'pg://ada:s3c"), "'pg://ada:…");
/// assert_eq!(without_passwords("http://localhost:8080"), "http://localhost:8080");
/// ```
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    if !text.contains("://") {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        kept.push_str(before);
        let ends = |it: char| it.is_whitespace() || "/?#\"'`<>".contains(it);
        let end = after.find(ends);
        let authority = &after[..end.unwrap_or(after.len())];
        rest = &after[authority.len()..];
        push_authority(authority, end.is_none(), &mut kept);
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Appends `user:password@host` without the password.
fn push_authority(authority: &str, may_be_cut: bool, kept: &mut String) {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, Some(host)),
        None => (authority, None),
    };
    let is_password =
        |it: &str| host.is_some() || may_be_cut && it.chars().any(|digit| !digit.is_ascii_digit());
    match user.split_once(':') {
        Some((name, password)) if is_password(password) => {
            kept.push_str(name);
            kept.push_str(":…");
        }
        _ => kept.push_str(user),
    }
    if let Some(host) = host {
        kept.push('@');
        kept.push_str(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_hidden_and_nothing_else() {
        let cases = [
            ("postgres://u:pw@h:5432/db?x=1", "postgres://u:…@h:5432/db?x=1"),
            ("a https://u:p@h b ftp://v:q@i/", "a https://u:…@h b ftp://v:…@i/"),
            ("\"redis://:pw@h\"", "\"redis://:…@h\""),
            ("s3://bucket/key:with@both", "s3://bucket/key:with@both"),
            ("https://host:443", "https://host:443"),
            ("https://me@host", "https://me@host"),
            ("mail me@host: no url", "mail me@host: no url"),
            ("pg://u:p@ss@h", "pg://u:…@h"),
            ("pg://u:p…", "pg://u:…"),
            ("://", "://"),
            ("ü://ü:ü@ü", "ü://ü:…@ü"),
        ];
        for (text, shown) in cases {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn a_password_is_hidden_before_a_preview_is_cut() {
        let long = format!("pg://user:{}@host", "secret".repeat(40));
        assert_eq!(Preview::text(long), Preview::Text("pg://user:…@host".to_owned()));
    }
}
