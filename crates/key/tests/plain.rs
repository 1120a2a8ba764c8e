//! Properties of the canonical encoding and its fold.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::prelude::*;
use thrifty_key::plain::{self, Container, PlainError, Reader, SHORT, Token, Writer};

/// A plain value, as a test sees it.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Complex(f64, f64),
    Text(String),
    Bytes(Vec<u8>),
    Many(Container, Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Typed(String, Box<Value>),
}

fn write(value: &Value, writer: &mut Writer) {
    match value {
        Value::None => writer.none(),
        Value::Bool(value) => writer.bool(*value),
        Value::Int(value) => writer.int(*value),
        Value::Float(value) => writer.float(*value),
        Value::Complex(real, imaginary) => writer.complex(*real, *imaginary),
        Value::Text(text) => writer.text(text.as_bytes()),
        Value::Bytes(bytes) => writer.bytes(bytes),
        Value::Many(container, items) => {
            writer.open(*container, items.len());
            items.iter().for_each(|item| write(item, writer));
        }
        Value::Dict(pairs) => {
            writer.open(Container::Dict, pairs.len());
            for (key, value) in pairs {
                write(key, writer);
                write(value, writer);
            }
        }
        Value::Typed(name, value) => {
            writer.typed(name);
            write(value, writer);
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Value {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match reader.token().unwrap() {
        Token::None => Value::None,
        Token::Bool(value) => Value::Bool(value),
        Token::Int(bytes) => {
            let sign = if bytes[bytes.len() - 1] >= 0x80 { 0xff } else { 0 };
            let mut eight = [sign; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            Value::Int(i64::from_le_bytes(eight))
        }
        Token::Float(value) => Value::Float(value),
        Token::Complex(real, imaginary) => Value::Complex(real, imaginary),
        Token::Text(bytes) => Value::Text(text(bytes)),
        Token::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
        Token::Open(Container::Dict, count) => {
            Value::Dict((0..count).map(|_| (read(reader), read(reader))).collect())
        }
        Token::Open(container, count) => {
            Value::Many(container, (0..count).map(|_| read(reader)).collect())
        }
        Token::Typed(name) => Value::Typed(text(name), Box::new(read(reader))),
        Token::Digest(_) | Token::Edge(_) => unreachable!("never written here"),
    }
}

fn encoding(value: &Value) -> Vec<u8> {
    let mut writer = Writer::new();
    write(value, &mut writer);
    writer.into_bytes()
}

fn value() -> impl Strategy<Value = Value> {
    let float = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE;
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-300_i64..300).prop_map(Value::Int),
        float.prop_map(Value::Float),
        (any::<i8>(), any::<i8>()).prop_map(|(a, b)| Value::Complex(a.into(), b.into())),
        ".{0,40}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let many = prop::collection::vec(inner.clone(), 0..5);
        let container = prop::sample::select(vec![
            Container::Tuple,
            Container::List,
            Container::Set,
            Container::FrozenSet,
        ]);
        prop_oneof![
            (container, many).prop_map(|(container, items)| Value::Many(container, items)),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::Dict),
            ("[a-z.]{1,8}", inner).prop_map(|(name, inner)| Value::Typed(name, inner.into())),
        ]
    })
}

/// The value with dicts and sets in an order that a test can compare.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Many(container, items) => {
            let mut items: Vec<_> = items.iter().map(sorted).collect();
            if matches!(container, Container::Set | Container::FrozenSet) {
                items.sort_by_key(encoding);
            }
            Value::Many(*container, items)
        }
        Value::Dict(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (sorted(key), sorted(value)));
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort_by_key(|(key, value)| [encoding(key), encoding(value)].concat());
            Value::Dict(pairs)
        }
        Value::Typed(name, inner) => Value::Typed(name.clone(), sorted(inner).into()),
        leaf => leaf.clone(),
    }
}

/// Replaces the part with this number, counted depth first, by an edge; returns the part.
fn cut(value: &Value, number: &mut usize, writer: &mut Writer) -> Option<Value> {
    if *number == 0 {
        *number = usize::MAX;
        writer.edge(7);
        return Some(value.clone());
    }
    *number -= 1;
    match value {
        Value::Many(container, items) => {
            writer.open(*container, items.len());
            items.iter().fold(None, |found, item| found.or(cut(item, number, writer)))
        }
        Value::Dict(pairs) => {
            writer.open(Container::Dict, pairs.len());
            let parts = pairs.iter().flat_map(|(key, value)| [key, value]);
            parts.fold(None, |found, part| {
                let cut = cut(part, number, writer);
                found.or(cut)
            })
        }
        Value::Typed(name, inner) => {
            writer.typed(name);
            cut(inner, number, writer)
        }
        leaf => {
            write(leaf, writer);
            None
        }
    }
}

fn digest(value: &Value) -> thrifty_key::Digest {
    plain::digest(&encoding(value)).unwrap()
}

proptest! {
    #[test]
    fn what_was_written_is_read(value in value()) {
        let encoding = encoding(&value);
        let mut reader = Reader::new(&encoding);
        prop_assert_eq!(read(&mut reader), value);
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn skip_passes_over_exactly_one_value(value in value(), behind in any::<u8>()) {
        let mut bytes = encoding(&value);
        let length = bytes.len();
        bytes.push(behind);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.skip().unwrap().len(), length);
        prop_assert_eq!(reader.position(), length);
        prop_assert!(plain::digest(&bytes).is_err());
    }

    #[test]
    fn digests_agree_exactly_if_values_do(one in value(), other in value()) {
        prop_assert_eq!(digest(&one) == digest(&other), encoding(&sorted(&one)) == encoding(&sorted(&other)));
        prop_assert_eq!(digest(&one), digest(&sorted(&one)));
    }

    #[test]
    fn an_edge_stands_for_its_value(value in value(), part in 0_usize..20) {
        let (mut number, mut writer) = (part, Writer::new());
        let Some(removed) = cut(&value, &mut number, &mut writer) else { return Ok(()) };
        let contribution = plain::contribution(&encoding(&removed)).unwrap();
        let mut outputs = |number| { assert_eq!(number, 7); Ok(contribution.clone()) };
        prop_assert_eq!(plain::fold(writer.as_bytes(), &mut outputs), Ok(digest(&value)));
        prop_assert!(matches!(plain::digest(writer.as_bytes()), Err(PlainError::Edge(7))));
    }

    #[test]
    fn a_contribution_has_the_digest_of_its_value(value in value()) {
        let contribution = plain::contribution(&encoding(&value)).unwrap();
        prop_assert!(contribution.len() <= SHORT);
        prop_assert_eq!(plain::digest_of_contribution(&contribution), digest(&value));
        prop_assert_eq!(plain::digest(&contribution), Ok(digest(&value)));
    }

    #[test]
    fn integers_take_no_more_bytes_than_they_need(value in any::<i64>(), more in 0_usize..20) {
        let sign = if value < 0 { 0xff } else { 0 };
        let mut long = value.to_le_bytes().to_vec();
        long.extend(vec![sign; more]);
        let mut writer = Writer::new();
        writer.big_int(&long);
        prop_assert_eq!(writer.as_bytes(), &plain::int(value)[..]);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_another_value(value in value(), at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = encoding(&value);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        _ = plain::digest(&bytes);
        bytes[at] ^= flip;
        bytes.truncate(at);
        prop_assert!(plain::digest(&bytes).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        _ = plain::digest(&bytes);
        _ = Reader::new(&bytes).skip();
    }
}

#[test]
fn there_is_one_nan() {
    let negative = Value::Float(f64::from_bits(0xfff8_0000_0000_0001));
    assert_eq!(encoding(&negative), encoding(&Value::Float(f64::NAN)));
    assert_ne!(encoding(&Value::Float(-0.0)), encoding(&Value::Float(0.0)));
}

#[test]
fn a_leaf_contributes_itself_up_to_the_limit() {
    let longest = Value::Bytes(vec![7; SHORT - 9]);
    assert_eq!(plain::contribution(&encoding(&longest)), Ok(encoding(&longest)));
    let longer = plain::contribution(&encoding(&Value::Bytes(vec![7; SHORT - 8]))).unwrap();
    assert_eq!(longer, plain::contribution_of_digest(&digest(&Value::Bytes(vec![7; SHORT - 8]))));
}

#[test]
fn a_count_beyond_the_bytes_is_not_believed() {
    let mut bytes = vec![plain::tag::LIST];
    bytes.extend(u64::MAX.to_le_bytes());
    assert!(matches!(plain::digest(&bytes), Err(PlainError::Length { .. })));
    assert!(Reader::new(&bytes).skip().is_err());
}

#[test]
fn an_unknown_tag_is_named_with_its_place() {
    let bytes = [plain::tag::LIST, 1, 0, 0, 0, 0, 0, 0, 0, 0xee];
    assert_eq!(plain::digest(&bytes), Err(PlainError::Tag { tag: 0xee, at: 9 }));
}

#[test]
fn nesting_beyond_the_limit_is_an_error_not_an_overflow() {
    let nested = |levels: usize| {
        let mut writer = Writer::new();
        (0..levels).for_each(|_| writer.open(Container::List, 1));
        writer.none();
        plain::digest(writer.as_bytes())
    };
    assert!(nested(plain::DEPTH).is_ok());
    assert_eq!(nested(plain::DEPTH + 1), Err(PlainError::Depth));
    assert_eq!(nested(1_000_000), Err(PlainError::Depth));
}
