//! Values of JSON in the encoding in which they count and are kept.

use serde_json::{Map, Number, Value as Json};
use thrifty_key::plain::{Container, Reader, Token, Writer};

/// The plain encoding of a value.
///
/// # Errors
///
/// A number that no integer of 64 bits and no float holds.
pub fn encode(value: &Json) -> Result<Vec<u8>, String> {
    let mut writer = Writer::new();
    write(value, &mut writer)?;
    Ok(writer.into_bytes())
}

fn write(value: &Json, writer: &mut Writer) -> Result<(), String> {
    match value {
        Json::Null => writer.none(),
        Json::Bool(value) => writer.bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => writer.int(number),
            (None, Some(float)) if number.is_f64() => writer.float(float),
            _ => return Err(format!("{number} does not fit into 64 bits")),
        },
        Json::String(text) => writer.text(text.as_bytes()),
        Json::Array(items) => {
            writer.open(Container::List, items.len());
            for item in items {
                write(item, writer)?;
            }
        }
        Json::Object(table) => {
            writer.open(Container::Dict, table.len());
            for (name, item) in table {
                writer.text(name.as_bytes());
                write(item, writer)?;
            }
        }
    }
    Ok(())
}

/// The value of an encoding, if it is one of JSON.
pub fn decode(encoding: &[u8]) -> Option<Json> {
    let mut reader = Reader::new(encoding);
    let value = read(&mut reader)?;
    reader.is_at_end().then_some(value)
}

fn read(reader: &mut Reader<'_>) -> Option<Json> {
    Some(match reader.token().ok()? {
        Token::None => Json::Null,
        Token::Bool(value) => Json::Bool(value),
        Token::Int(bytes) => Json::from(integer(bytes)?),
        Token::Float(value) => Json::Number(Number::from_f64(value)?),
        Token::Text(bytes) => Json::from(std::str::from_utf8(bytes).ok()?),
        Token::Open(Container::List | Container::Tuple, count) => {
            Json::Array((0..count).map(|_| read(reader)).collect::<Option<_>>()?)
        }
        Token::Open(Container::Dict, count) => {
            let mut table = Map::new();
            for _ in 0..count {
                let Json::String(name) = read(reader)? else { return None };
                table.insert(name, read(reader)?);
            }
            Json::Object(table)
        }
        _ => return None,
    })
}

fn integer(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_one_that_was_written_to_the_last_bit() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..10_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let number = f64::from_bits(bits);
            if !number.is_finite() {
                continue;
            }
            let value: Json = serde_json::from_str(&format!("{number:?}")).unwrap();
            let read = decode(&encode(&value).unwrap()).unwrap();
            assert_eq!(read.as_f64().unwrap().to_bits(), number.to_bits(), "{number:?}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in [
            "null",
            "true",
            "0",
            "-1",
            "127",
            "128",
            "-129",
            "9223372036854775807",
            "-9223372036854775808",
            "0.5",
            "1e300",
            "\"\"",
            "\"ä\"",
            "[]",
            "[1,[2,\"x\"]]",
            "{}",
            "{\"b\":1,\"a\":{\"c\":[null,false]}}",
        ] {
            let value: Json = serde_json::from_str(text).unwrap();
            assert_eq!(decode(&encode(&value).unwrap()), Some(value), "{text}");
        }
        assert!(encode(&serde_json::from_str("9223372036854775808").unwrap()).is_err());
        assert_eq!(decode(b"x"), None);
    }

    #[test]
    fn types_are_kept_apart() {
        let all = ["1", "1.0", "\"1\"", "true", "[1]", "null", "{\"1\":1}"];
        let encoded: std::collections::BTreeSet<_> =
            all.iter().map(|text| encode(&serde_json::from_str(text).unwrap()).unwrap()).collect();
        assert_eq!(encoded.len(), all.len());
    }
}
