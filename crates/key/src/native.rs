//! Plain values of Rust.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::plain::{Container, PlainError, Reader, Token, Writer};

/// A type whose values are plain: written in the canonical encoding, and read back.
///
/// The encoding is shared with every other language, so `7_i64` here and `7` in Python are the
/// same value. A type of your own writes a tuple of its parts, or [`Writer::typed`] and one.
pub trait Plain: Sized {
    /// Appends the value.
    fn write(&self, writer: &mut Writer);

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`PlainError`] if the next value is not one of this type.
    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError>;
}

/// The next value is not of the type that was asked for.
fn mismatch<T>(reader: &Reader<'_>) -> Result<T, PlainError> {
    Err(PlainError::Mismatch { at: reader.position() })
}

impl Plain for () {
    fn write(&self, writer: &mut Writer) {
        writer.none();
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
        match reader.token()? {
            Token::None => Ok(()),
            _ => mismatch(reader),
        }
    }
}

impl Plain for bool {
    fn write(&self, writer: &mut Writer) {
        writer.bool(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
        match reader.token()? {
            Token::Bool(value) => Ok(value),
            _ => mismatch(reader),
        }
    }
}

impl Plain for f64 {
    fn write(&self, writer: &mut Writer) {
        writer.float(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
        match reader.token()? {
            Token::Float(value) => Ok(value),
            _ => mismatch(reader),
        }
    }
}

impl Plain for String {
    fn write(&self, writer: &mut Writer) {
        writer.text(self.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
        match reader.token()? {
            Token::Text(text) => Self::from_utf8(text.to_vec()).or_else(|_| mismatch(reader)),
            _ => mismatch(reader),
        }
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl Plain for $integer {
            fn write(&self, writer: &mut Writer) {
                writer.big_int(&i128::from(*self).to_le_bytes());
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
                match reader.token()? {
                    Token::Int(bytes) => widen(bytes)
                        .and_then(|wide| Self::try_from(wide).ok())
                        .map_or_else(|| mismatch(reader), Ok),
                    _ => mismatch(reader),
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

fn widen(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(wide))
}

impl<T: Plain> Plain for Option<T> {
    fn write(&self, writer: &mut Writer) {
        match self {
            Some(value) => value.write(writer),
            None => writer.none(),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
        if let Token::None = reader.clone().token()? {
            reader.token()?;
            return Ok(None);
        }
        T::read(reader).map(Some)
    }
}

impl<T: Plain> Plain for Vec<T> {
    fn write(&self, writer: &mut Writer) {
        writer.open(Container::List, self.len());
        self.iter().for_each(|value| value.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
        match reader.token()? {
            Token::Open(Container::List, count) => (0..count).map(|_| T::read(reader)).collect(),
            _ => mismatch(reader),
        }
    }
}

macro_rules! maps {
    ($($map:ident: $($bound:ident)+;)*) => {$(
        impl<K: Plain $(+ $bound)+, V: Plain> Plain for $map<K, V> {
            fn write(&self, writer: &mut Writer) {
                writer.open(Container::Dict, self.len());
                self.iter().for_each(|(key, value)| {
                    key.write(writer);
                    value.write(writer);
                });
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
                match reader.token()? {
                    Token::Open(Container::Dict, count) => {
                        (0..count).map(|_| Ok((K::read(reader)?, V::read(reader)?))).collect()
                    }
                    _ => mismatch(reader),
                }
            }
        }
    )*};
}

maps! {
    BTreeMap: Ord;
    HashMap: Eq Hash;
}

macro_rules! tuples {
    ($($count:literal: $($part:ident)+;)*) => {$(
        impl<$($part: Plain),+> Plain for ($($part,)+) {
            #[allow(non_snake_case)]
            fn write(&self, writer: &mut Writer) {
                let ($($part,)+) = self;
                writer.open(Container::Tuple, $count);
                $($part.write(writer);)+
            }

            fn read(reader: &mut Reader<'_>) -> Result<Self, PlainError> {
                match reader.token()? {
                    Token::Open(Container::Tuple, $count) => Ok(($($part::read(reader)?,)+)),
                    _ => mismatch(reader),
                }
            }
        }
    )*};
}

tuples! {
    1: A;
    2: A B;
    3: A B C;
    4: A B C D;
}
