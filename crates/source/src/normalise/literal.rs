//! Constants, formatted texts and templates: by value, whatever their spelling.
//!
//! `0x10` and `16`, `'a' "b"` and `"ab"`, `f"a"` and `"a"` are the same. Three things keep their
//! spelling: what the parser cannot represent (lone surrogates, numbers that CPython refuses to
//! convert), the source that a template hands to its reader, and the one that `f"{x=}"` shows.

use ruff_python_ast::{self as ast, Expr, FStringPart, InterpolatedStringElement, Number};
use ruff_text_size::{Ranged, TextRange};

use super::{Encoder, Tag};

/// Decimal numbers up to here are converted; CPython itself refuses longer ones.
const MAX_DECIMAL_DIGITS: usize = 4_300;

impl Encoder<'_> {
    /// One constant, or text with fields.
    pub(super) fn literal(&mut self, expression: &Expr) {
        match expression {
            Expr::StringLiteral(one) => self.string(one),
            Expr::FString(one) => self.formatted(one),
            Expr::TString(one) => {
                self.tag(Tag::Template);
                let elements: Vec<_> = one.value.elements().collect();
                self.elements(&elements, true);
            }
            Expr::BytesLiteral(one) => {
                self.tag(Tag::Bytes);
                let bytes: Vec<u8> = one.value.bytes().collect();
                self.hasher.framed(&bytes);
            }
            Expr::NumberLiteral(one) => self.number(&one.value),
            Expr::BooleanLiteral(one) => self.tag(if one.value { Tag::True } else { Tag::False }),
            Expr::NoneLiteral(_) => self.tag(Tag::None),
            Expr::IpyEscapeCommand(one) => {
                self.tag(Tag::Command);
                self.text(one.kind.as_str());
                self.text(&one.value);
            }
            // What is left after the callers' cases is `...`.
            _ => self.tag(Tag::Ellipsis),
        }
    }

    /// A text, of however many pieces it is put together.
    pub(super) fn string(&mut self, string: &ast::ExprStringLiteral) {
        self.characters(string.value.to_str(), string.range());
    }

    /// A text by value. A lone surrogate has no place in the parser's texts, which hold U+FFFD for
    /// all of them: there the spelling decides.
    fn characters(&mut self, text: &str, range: TextRange) {
        let spelling = &self.source[range];
        if text.contains('\u{fffd}') && escapes_surrogate(spelling) {
            self.tag(Tag::SpelledText);
            self.text(spelling);
        } else {
            self.tag(Tag::Text);
        }
        self.text(text);
    }

    /// A number by type and value.
    fn number(&mut self, number: &Number) {
        match number {
            Number::Int(value) => match value.as_u64() {
                Some(small) => self.integer(&small.to_be_bytes()),
                None => self.long_integer(&value.to_string()),
            },
            Number::Float(value) => {
                self.tag(Tag::Float);
                self.hasher.raw(&value.to_bits().to_le_bytes());
            }
            Number::Complex { real, imag } => {
                self.tag(Tag::Complex);
                self.hasher.raw(&real.to_bits().to_le_bytes()).raw(&imag.to_bits().to_le_bytes());
            }
        }
    }

    /// Big-endian bytes, without leading zeros.
    fn integer(&mut self, bytes: &[u8]) {
        self.tag(Tag::Integer);
        let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(bytes.len());
        self.hasher.framed(&bytes[first..]);
    }

    /// A number beyond 64 bits, as the parser hands it over: with its prefix, if any.
    fn long_integer(&mut self, spelled: &str) {
        let digits = spelled.replace('_', "").to_ascii_lowercase();
        let bits = match digits.get(..2) {
            Some("0x") => 4,
            Some("0o") => 3,
            Some("0b") => 1,
            _ if digits.len() > MAX_DECIMAL_DIGITS => {
                self.tag(Tag::LongInteger);
                return self.text(&digits);
            }
            _ => return self.integer(&from_decimal(&digits)),
        };
        self.integer(&from_power_of_two(&digits[2..], bits));
    }

    /// An f-string with nothing to fill in is a text.
    fn formatted(&mut self, string: &ast::ExprFString) {
        let plain = string.value.iter().all(|part| match part {
            FStringPart::Literal(_) => true,
            FStringPart::FString(one) => one.elements.iter().all(|element| element.is_literal()),
        });
        let mut pieces = Vec::new();
        for part in &string.value {
            match part {
                FStringPart::Literal(one) => pieces.push(Piece::Text(one.as_str(), one.range)),
                FStringPart::FString(one) => pieces.extend(one.elements.iter().map(Piece::of)),
            }
        }
        if plain {
            let text: String = pieces.iter().filter_map(Piece::text).collect();
            return self.characters(&text, string.range());
        }
        self.tag(Tag::FormattedText);
        self.pieces(&pieces, false);
    }

    /// The pieces of a template, or of a format such as `>{width}`, which may nest.
    fn elements(&mut self, elements: &[&InterpolatedStringElement], template: bool) {
        let pieces: Vec<_> = elements.iter().map(|element| Piece::of(element)).collect();
        self.pieces(&pieces, template);
    }

    /// Writes pieces in order, adjacent texts as one and empty ones not at all.
    fn pieces(&mut self, pieces: &[Piece<'_>], template: bool) {
        let runs: Vec<&[Piece<'_>]> =
            pieces.chunk_by(|one, next| one.text().is_some() && next.text().is_some()).collect();
        let filled = |run: &&&[Piece<'_>]| run.iter().any(|piece| piece.text() != Some(""));
        let runs: Vec<_> = runs.iter().filter(filled).collect();
        self.list(&runs, |encoder, run| match run {
            [Piece::Filled(one)] => encoder.interpolation(one, template),
            [first, .., last] => {
                let text: String = run.iter().filter_map(Piece::text).collect();
                encoder.characters(&text, first.range().cover(last.range()));
            }
            [one] => encoder.characters(one.text().unwrap_or_default(), one.range()),
            [] => {}
        });
    }

    /// A template keeps the source of what it interpolates, so there the spelling counts.
    fn interpolation(&mut self, element: &ast::InterpolatedElement, template: bool) {
        self.tag(Tag::Interpolation);
        self.expression(&element.expression);
        self.optional(template.then_some(()), |encoder, ()| {
            let source = encoder.source;
            encoder.text(&source[element.expression.range()]);
        });
        self.optional(element.debug_text.as_ref(), |encoder, shown| {
            encoder.text(shown.leading());
            encoder.text(shown.expression());
            encoder.text(shown.trailing());
        });
        self.hasher.tag(match element.conversion {
            ast::ConversionFlag::None => 0,
            ast::ConversionFlag::Str => 1,
            ast::ConversionFlag::Ascii => 2,
            ast::ConversionFlag::Repr => 3,
        });
        self.optional(element.format_spec.as_deref(), |encoder, format| {
            let elements: Vec<_> = format.elements.iter().collect();
            encoder.elements(&elements, template);
        });
    }
}

/// A part of a formatted text.
enum Piece<'a> {
    Text(&'a str, TextRange),
    Filled(&'a ast::InterpolatedElement),
}

impl<'a> Piece<'a> {
    fn of(element: &'a InterpolatedStringElement) -> Self {
        match element {
            InterpolatedStringElement::Literal(one) => Self::Text(&one.value, one.range),
            InterpolatedStringElement::Interpolation(one) => Self::Filled(one),
        }
    }

    /// The characters, if nothing is filled in.
    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text, _) => Some(text),
            Self::Filled(_) => None,
        }
    }

    fn range(&self) -> TextRange {
        match self {
            Self::Text(_, range) => *range,
            Self::Filled(one) => one.range,
        }
    }
}

/// Whether a literal may hold an escape of U+D800 to U+DFFF.
fn escapes_surrogate(spelling: &str) -> bool {
    let spelling = spelling.to_ascii_lowercase();
    spelling.contains("\\ud") || spelling.contains("\\u0000d")
}

/// Big-endian bytes of a decimal number. Quadratic, which [`MAX_DECIMAL_DIGITS`] keeps small.
fn from_decimal(digits: &str) -> Vec<u8> {
    let mut little: Vec<u8> = Vec::new();
    for digit in digits.bytes().filter(u8::is_ascii_digit) {
        let mut carry = u32::from(digit - b'0');
        for byte in &mut little {
            let value = u32::from(*byte) * 10 + carry;
            *byte = value.to_le_bytes()[0];
            carry = value >> 8;
        }
        if carry > 0 {
            little.push(carry.to_le_bytes()[0]);
        }
    }
    little.reverse();
    little
}

/// Big-endian bytes of a number in base 2, 8 or 16.
fn from_power_of_two(digits: &str, bits: u32) -> Vec<u8> {
    let (mut little, mut held, mut width) = (Vec::new(), 0u32, 0);
    for digit in digits.chars().rev().filter_map(|digit| digit.to_digit(16)) {
        held |= digit << width;
        width += bits;
        if width >= 8 {
            little.push(held.to_le_bytes()[0]);
            held >>= 8;
            width -= 8;
        }
    }
    little.push(held.to_le_bytes()[0]);
    little.reverse();
    little
}
