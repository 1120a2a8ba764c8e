//! How the elements of an Arrow column lie in its buffers.

/// The layout of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// None of them is there.
    Null,
    /// Bits.
    Bits,
    /// So many bytes each.
    Fixed(usize),
    /// Bytes between two offsets.
    Bytes(Offsets),
    /// Bytes in the element if they are few, else in one of many buffers.
    Views,
    /// Elements of the child between two offsets.
    List(Offsets),
    /// So many elements of the child.
    FixedList(usize),
    /// One element of each child.
    Struct,
}

/// The width of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offsets {
    Narrow,
    Wide,
}

impl Layout {
    /// The layout of a type in the short text of the interface; `None` for one without a rule:
    /// unions, runs, views of lists.
    pub(super) fn of(format: &[u8]) -> Option<Self> {
        Some(match format {
            b"n" => Self::Null,
            b"b" => Self::Bits,
            b"c" | b"C" => Self::Fixed(1),
            b"s" | b"S" | b"e" => Self::Fixed(2),
            b"i" | b"I" | b"f" | b"tdD" | b"tts" | b"ttm" | b"tiM" => Self::Fixed(4),
            b"l" | b"L" | b"g" | b"tdm" | b"ttu" | b"ttn" | b"tiD" => Self::Fixed(8),
            // Integers of 128 bits are polars' own.
            b"tin" | b"_pli128" | b"_plu128" => Self::Fixed(16),
            b"z" | b"u" => Self::Bytes(Offsets::Narrow),
            b"Z" | b"U" => Self::Bytes(Offsets::Wide),
            b"vz" | b"vu" => Self::Views,
            b"+l" | b"+m" => Self::List(Offsets::Narrow),
            b"+L" => Self::List(Offsets::Wide),
            b"+s" => Self::Struct,
            [b't', b's' | b'D', ..] => Self::Fixed(8),
            [b'w', b':', width @ ..] => Self::Fixed(number(width)?),
            [b'd', b':', decimal @ ..] => Self::Fixed(decimal_width(decimal)?),
            [b'+', b'w', b':', width @ ..] => Self::FixedList(number(width)?),
            _ => return None,
        })
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Of precision, scale, and the width in bits unless it is 128.
fn decimal_width(description: &[u8]) -> Option<usize> {
    match description.split(|byte| *byte == b',').nth(2) {
        None => Some(16),
        Some(bits) => Some(number(bits)? / 8),
    }
}
