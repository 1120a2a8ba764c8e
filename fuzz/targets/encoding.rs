//! Any bytes as a plain encoding: an error or a digest, and the same digest however much of the
//! value is replaced by its digest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use thrifty_key::Digest;
use thrifty_key::plain::{self, Container, PlainError, Reader, Token, Writer};

fuzz_target!(|bytes: &[u8]| {
    let mut outputs = |number: u64| Ok(plain::int(number.cast_signed()));
    let Ok(digest) = plain::fold(bytes, &mut outputs) else {
        return;
    };
    let rewritten = written_again(bytes).expect("what folds can be read");
    assert_eq!(again(&rewritten), digest, "token by token");
    let shortened = shortened(bytes).expect("what folds can be read");
    assert_eq!(again(&shortened), digest, "with digests in the place of parts");
});

fn again(encoding: &[u8]) -> Digest {
    let mut outputs = |number: u64| Ok(plain::int(number.cast_signed()));
    plain::fold(encoding, &mut outputs).expect("the same value folds again")
}

/// The same value, read and written token by token.
fn written_again(bytes: &[u8]) -> Result<Vec<u8>, PlainError> {
    let (mut reader, mut writer) = (Reader::new(bytes), Writer::new());
    while !reader.is_at_end() {
        let at = reader.position();
        match reader.token()? {
            Token::Open(container, count) => writer.open(container, count),
            Token::Bool(value) => writer.bool(value),
            Token::None => writer.none(),
            Token::Text(text) => writer.text(text),
            Token::Bytes(content) => writer.bytes(content),
            Token::Digest(digest) => writer.digest(&digest),
            Token::Edge(number) => writer.edge(number),
            // Whoever writes these makes them canonical; a reader takes them as they are.
            Token::Int(_) | Token::Float(_) | Token::Complex(..) | Token::Typed(_) => {
                writer.encoded(&bytes[at..reader.position()]);
            }
        }
    }
    Ok(writer.into_bytes())
}

/// The same value with every second child of its outermost sequence as a contribution.
fn shortened(bytes: &[u8]) -> Result<Vec<u8>, PlainError> {
    let mut reader = Reader::new(bytes);
    let Token::Open(container @ (Container::Tuple | Container::List), count) = reader.token()?
    else {
        return Ok(bytes.to_vec());
    };
    let mut writer = Writer::new();
    writer.open(container, count);
    for index in 0..count {
        let child = reader.skip()?;
        match plain::contribution(child) {
            Ok(contribution) if index % 2 == 0 => writer.encoded(&contribution),
            // It holds an edge.
            _ => writer.encoded(child),
        }
    }
    Ok(writer.into_bytes())
}
