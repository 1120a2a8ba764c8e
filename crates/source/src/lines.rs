//! Offsets to lines, as the interpreter counts them.
//!
//! Lines tie a code object to its definition, so they must be the interpreter's: a form feed or
//! U+2028 ends no line, although editors and `str.splitlines` say so.

use ruff_text_size::TextSize;

/// Starts of all lines. A line ends with `\n`, `\r\n` or a lone `\r`, and with nothing else.
pub(crate) struct Lines(Vec<u32>);

impl Lines {
    /// Finds the lines of a text shorter than 4 GiB.
    pub(crate) fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|&(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        let starts = ends.filter_map(|(at, _)| u32::try_from(at + 1).ok());
        Self(std::iter::once(0).chain(starts).collect())
    }

    /// The line of an offset, from 1.
    pub(crate) fn line(&self, offset: TextSize) -> u32 {
        let line = self.0.partition_point(|&start| start <= offset.to_u32());
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// Where a place lies in the text: its line, from 1, and its column in bytes, from 0.
    pub(crate) fn offset(&self, line: u32, column: u32) -> Option<TextSize> {
        let start = self.0.get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        start.checked_add(column).map(TextSize::new)
    }

    /// Where the line of an offset begins.
    pub(crate) fn start(&self, offset: TextSize) -> usize {
        self.0[self.line(offset) as usize - 1] as usize
    }
}
