//! The code of the classes whose instances are values.
//!
//! A method of a class can change what an operation does with an instance that it is given,
//! although no text of the operation names the class. So an input that holds instances counts
//! with the code of their classes *as it is now*: a record names the classes, and the language
//! that made it says what their code is.

use thrifty_key::plain::{self, Container, Writer};
use thrifty_key::{Context, Digest, Hasher};

/// A language that knows the code of its classes.
pub trait ClassCode: Send + Sync {
    /// The digest of all code that a class can reach, by the name that a record gives it;
    /// `None` if that cannot be told.
    fn code(&self, class: &str) -> Option<Digest>;
}

/// One digest for the code of several classes, in any order; `None` for no class.
pub fn digest_of_codes(mut codes: Vec<Digest>) -> Option<Digest> {
    codes.sort_unstable();
    codes.dedup();
    let mut hasher = Hasher::new(Context::Code);
    codes.iter().for_each(|code| _ = hasher.digest(code));
    (!codes.is_empty()).then(|| hasher.finish())
}

/// The encoding of a value that counts with the code of its classes (`docs/formats/key.md`).
pub fn encoding_with_code(encoding: &[u8], code: &Digest) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.typed("thrifty.WithCode");
    writer.open(Container::Tuple, 2);
    writer.encoded(encoding);
    writer.digest(code);
    writer.into_bytes()
}

/// What a value contributes to the key of an operation that takes it: its own contribution, with
/// the code of its classes. `None` if the code of one cannot be told, since a change of it would
/// go unnoticed.
pub(crate) fn contribution_with_code(
    contribution: Vec<u8>,
    classes: &[String],
    language: Option<&dyn ClassCode>,
) -> Option<Vec<u8>> {
    if classes.is_empty() {
        return Some(contribution);
    }
    let language = language?;
    let codes: Option<Vec<_>> = classes.iter().map(|class| language.code(class)).collect();
    let code = digest_of_codes(codes?)?;
    plain::contribution(&encoding_with_code(&contribution, &code)).ok()
}
