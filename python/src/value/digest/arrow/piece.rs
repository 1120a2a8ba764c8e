//! Chosen elements of one chunk of an Arrow column, read in its own memory.

use std::ops::Range;

use super::data::Array;
use super::layout::Offsets;

/// Elements of a chunk, as positions in its buffers, in order.
pub(super) struct Piece<'a> {
    array: Array<'a>,
    ranges: Vec<Range<usize>>,
}

impl<'a> Piece<'a> {
    /// All of a chunk.
    pub(super) fn whole(array: Array<'a>) -> Self {
        // The buffers of an empty chunk may be absent.
        let ranges = Some(array.positions()).filter(|range| !range.is_empty());
        Self { array, ranges: ranges.into_iter().collect() }
    }

    /// Whether the chunk says of no element that it is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.array.validity().is_null()
    }

    pub(super) fn count(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    /// The ranges of positions, neighbours joined.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.ranges.iter().cloned()
    }

    fn positions(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranges().flatten()
    }

    pub(super) fn dictionary(&self) -> Option<Array<'a>> {
        self.array.dictionary()
    }

    /// Elements of a child; the ranges count from the beginning of the child.
    pub(super) fn child(
        &self,
        index: usize,
        ranges: impl Iterator<Item = Range<usize>>,
    ) -> Option<Self> {
        Some(Self::chosen(self.array.child(index)?, ranges))
    }

    /// Elements of an array; the ranges count from its beginning.
    pub(super) fn chosen(array: Array<'a>, ranges: impl Iterator<Item = Range<usize>>) -> Self {
        let offset = array.positions().start;
        let mut joined: Vec<Range<usize>> = Vec::new();
        for range in ranges.filter(|range| !range.is_empty()) {
            let (start, end) = (range.start + offset, range.end + offset);
            match joined.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => joined.push(start..end),
            }
        }
        Self { array, ranges: joined }
    }

    /// The elements that are there; adds to `missing` a byte for each element, 1 if it is not.
    pub(super) fn present(self, missing: &mut Vec<u8>) -> Self {
        let validity = self.array.validity();
        if validity.is_null() {
            missing.resize(missing.len() + self.count(), 0);
            return self;
        }
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for at in self.positions() {
            // SAFETY: the buffer has a bit for each position of the chunk.
            let is_there = unsafe { *validity.add(at / 8) } >> (at % 8) & 1 == 1;
            missing.push(u8::from(!is_there));
            match ranges.last_mut() {
                _ if !is_there => {}
                Some(last) if last.end == at => last.end += 1,
                _ => ranges.push(at..at + 1),
            }
        }
        Self { array: self.array, ranges }
    }

    /// Adds a byte for each element of a column of bits.
    pub(super) fn bits(&self, bytes: &mut Vec<u8>) {
        let start = self.array.buffer(1);
        for at in self.positions() {
            // SAFETY: the buffer has a bit for each position of the chunk.
            bytes.push(unsafe { *start.add(at / 8) } >> (at % 8) & 1);
        }
    }

    /// The elements of so many bytes, each range in one slice.
    pub(super) fn fixed(&self, width: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        let start = self.array.buffer(1);
        // SAFETY: the buffer has so many bytes for each position of the chunk.
        self.ranges()
            .map(move |range| unsafe { memory(start, range.start * width, range.len() * width) })
    }

    /// Adds what lies between the two offsets of each element: eight bytes for its length.
    ///
    /// Returns what lies between the first and last offset of each range; `None` if an offset is
    /// smaller than the one before it.
    pub(super) fn spans(
        &self,
        offsets: Offsets,
        lengths: &mut Vec<u8>,
    ) -> Option<Vec<Range<usize>>> {
        let mut spans = Vec::with_capacity(self.ranges.len());
        for range in self.ranges() {
            let first = self.offset(offsets, range.start)?;
            let mut last = first;
            for at in range {
                let next = self.offset(offsets, at + 1)?;
                lengths.extend_from_slice(&(next.checked_sub(last)? as u64).to_le_bytes());
                last = next;
            }
            spans.push(first..last);
        }
        Some(spans)
    }

    fn offset(&self, offsets: Offsets, at: usize) -> Option<usize> {
        let start = self.array.buffer(1);
        // SAFETY: the buffer has an offset for each position of the chunk, and one more.
        let offset = unsafe {
            match offsets {
                Offsets::Narrow => i64::from(start.cast::<i32>().add(at).read_unaligned()),
                Offsets::Wide => start.cast::<i64>().add(at).read_unaligned(),
            }
        };
        usize::try_from(offset).ok()
    }

    /// The bytes of spans between offsets.
    pub(super) fn bytes(&self, spans: &[Range<usize>]) -> impl Iterator<Item = &'a [u8]> {
        let start = self.array.buffer(2);
        // SAFETY: the offsets of a column lead into its buffer of bytes.
        spans.iter().map(move |span| unsafe { memory(start, span.start, span.len()) })
    }

    /// The bytes of each element of a column of views; `None` if one leads out of its buffer.
    pub(super) fn views(&self) -> impl Iterator<Item = Option<&'a [u8]>> + '_ {
        self.positions().map(|at| self.view(at))
    }

    /// A view is a length; then the bytes if they are at most 12, else four of them, the number
    /// of a buffer and a position in it.
    fn view(&self, at: usize) -> Option<&'a [u8]> {
        const FEW: usize = 12;
        // SAFETY: the buffer has 16 bytes for each position of the chunk.
        let view = unsafe { memory(self.array.buffer(1), at * 16, 16) };
        let number = |at: usize| -> Option<usize> {
            let four = view.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(i32::from_le_bytes(four)).ok()
        };
        let length = number(0)?;
        if length <= FEW {
            return view.get(4..4 + length);
        }
        let (buffer, first) = (number(8)?, number(12)?);
        // The first two buffers are validity and views, the last has the sizes of the others.
        let sizes = self.array.buffer_count().checked_sub(1)?;
        if buffer + 2 >= sizes {
            return None;
        }
        // SAFETY: a size for each buffer between, checked before that buffer is read.
        unsafe {
            let size = self.array.buffer(sizes).cast::<i64>().add(buffer).read_unaligned();
            let fits = first + length <= usize::try_from(size).ok()?;
            fits.then(|| memory(self.array.buffer(buffer + 2), first, length))
        }
    }

    /// The values that the numbers of a chunk refer to; `None` if a number is negative.
    pub(super) fn resolved(&self, format: &[u8]) -> Option<Self> {
        let numbers = self.numbers(format)?.into_iter();
        Some(Self::chosen(self.dictionary()?, numbers.map(|number| number..number + 1)))
    }

    fn numbers(&self, format: &[u8]) -> Option<Vec<usize>> {
        let start = self.array.buffer(1);
        let number = |at: usize| -> Option<usize> {
            // SAFETY: the buffer has a number of that width for each position of the chunk.
            let number = unsafe {
                match format {
                    b"c" => i64::from(start.cast::<i8>().add(at).read_unaligned()),
                    b"C" => i64::from(start.add(at).read_unaligned()),
                    b"s" => i64::from(start.cast::<i16>().add(at).read_unaligned()),
                    b"S" => i64::from(start.cast::<u16>().add(at).read_unaligned()),
                    b"i" => i64::from(start.cast::<i32>().add(at).read_unaligned()),
                    b"I" => i64::from(start.cast::<u32>().add(at).read_unaligned()),
                    b"l" | b"L" => start.cast::<i64>().add(at).read_unaligned(),
                    _ => return None,
                }
            };
            usize::try_from(number).ok()
        };
        self.positions().map(number).collect()
    }
}

/// # Safety
///
/// `start` is null or has so many bytes from `first` on, which outlive `'a`.
unsafe fn memory<'a>(start: *const u8, first: usize, length: usize) -> &'a [u8] {
    if length == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { std::slice::from_raw_parts(start.add(first), length) }
}
