//! The content of an Arrow column: the same whatever its chunks, offsets and slices, and whatever
//! lies where an element is missing.
//!
//! A column is `(count, missing, body)`. `missing` is none if no element is missing, else a bytes
//! leaf with a byte for each element, 1 where it is missing. The body has only the elements that
//! are there, in a form that its [`Layout`] decides.

use std::ops::Range;

use pyo3::prelude::*;
use thrifty_key::plain::{Container, Writer};

use super::data::{Array, Columns, Schema};
use super::layout::{Layout, Offsets};
use super::piece::Piece;
use crate::value::digest::Alone;
use crate::value::digest::encoder::Encoder;
use crate::value::digest::texts::NO_TEXT;
use crate::value::digest::unhashable::{Outcome, Reason, Unhashable};

/// What stands for a column of numbers into a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::value::digest) enum Dictionaries {
    /// The numbers and the dictionary: its order shows, and what no number refers to.
    Kept,
    /// The values: the dictionary tells of the history of the process.
    Resolved,
}

/// A column on its way into an encoding.
pub(in crate::value::digest) struct Column<'a, 'py> {
    /// The value that errors name.
    pub(in crate::value::digest) owner: &'a Bound<'py, PyAny>,
    pub(in crate::value::digest) dictionaries: Dictionaries,
}

impl<'py> Column<'_, 'py> {
    /// Writes all chunks as one column.
    pub(in crate::value::digest) fn write(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        columns: &Columns,
    ) -> Outcome {
        self.pieces(encoder, columns.schema(), columns.chunks().map(Piece::whole).collect())
    }

    /// Writes all chunks of text in the form of [`super::super::texts`].
    pub(in crate::value::digest) fn write_texts(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        columns: &Columns,
    ) -> Outcome {
        let mut missing = Vec::new();
        let pieces: Vec<_> =
            columns.chunks().map(|chunk| Piece::whole(chunk).present(&mut missing)).collect();
        let (present, slices) = self.strings(self.layout(columns.schema())?, &pieces)?;
        let mut lengths = Vec::with_capacity(missing.len() * NO_TEXT.len());
        let mut present = present.chunks_exact(NO_TEXT.len());
        for missing in missing {
            let length = if missing == 1 { None } else { present.next() };
            lengths.extend_from_slice(length.unwrap_or(&NO_TEXT));
        }
        encoder.writer.open(Container::Tuple, 3);
        encoder.leaf(&lengths);
        encoder.joined(&slices);
        encoder.writer.open(Container::List, 0);
        Ok(())
    }

    fn pieces(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        schema: Schema<'_>,
        pieces: Vec<Piece<'_>>,
    ) -> Outcome {
        let layout = self.layout(schema)?;
        let count: usize = pieces.iter().map(Piece::count).sum();
        encoder.writer.open(Container::Tuple, 3);
        encoder.writer.int(count as i64);
        let pieces = present(encoder, pieces);
        match schema.dictionary() {
            None => self.body(encoder, schema, layout, &pieces),
            Some(values) if self.dictionaries == Dictionaries::Resolved => {
                self.resolved(encoder, schema, values, &pieces)
            }
            Some(values) => {
                encoder.writer.open(Container::Tuple, 2);
                self.body(encoder, schema, layout, &pieces)?;
                self.dictionary(encoder, values, &pieces)
            }
        }
    }

    fn layout(&self, schema: Schema<'_>) -> Outcome<Layout> {
        Layout::of(schema.format()).ok_or_else(|| {
            let format = String::from_utf8_lossy(schema.format()).into_owned();
            Unhashable::new(self.owner, Reason::Layout(format))
        })
    }

    fn body(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        schema: Schema<'_>,
        layout: Layout,
        pieces: &[Piece<'_>],
    ) -> Outcome {
        match layout {
            Layout::Null => encoder.writer.none(),
            Layout::Bits => {
                let mut bytes = Vec::new();
                pieces.iter().for_each(|piece| piece.bits(&mut bytes));
                encoder.leaf(&bytes);
            }
            Layout::Fixed(width) => {
                let slices: Vec<_> = pieces.iter().flat_map(|piece| piece.fixed(width)).collect();
                encoder.joined(&slices);
            }
            Layout::Bytes(_) | Layout::Views => {
                let (lengths, slices) = self.strings(layout, pieces)?;
                encoder.writer.open(Container::Tuple, 2);
                encoder.leaf(&lengths);
                encoder.joined(&slices);
            }
            Layout::List(offsets) => self.list(encoder, schema, offsets, pieces)?,
            Layout::FixedList(length) => {
                let times = |range: Range<usize>| range.start * length..range.end * length;
                self.children(encoder, schema, pieces, 0, times)?;
            }
            Layout::Struct => {
                let count = schema.children().len();
                encoder.writer.open(Container::List, count);
                for index in 0..count {
                    self.children(encoder, schema, pieces, index, |range| range)?;
                }
            }
        }
        Ok(())
    }

    /// The lengths of all elements, eight bytes each, and the slices of which they consist.
    fn strings<'a>(
        &self,
        layout: Layout,
        pieces: &[Piece<'a>],
    ) -> Outcome<(Vec<u8>, Vec<&'a [u8]>)> {
        let torn = || Unhashable::new(self.owner, Reason::Changed);
        let (mut lengths, mut slices) = (Vec::new(), Vec::new());
        for piece in pieces {
            if let Layout::Bytes(offsets) = layout {
                let spans = piece.spans(offsets, &mut lengths).ok_or_else(torn)?;
                slices.extend(piece.bytes(&spans));
                continue;
            }
            for view in piece.views() {
                let view = view.ok_or_else(torn)?;
                lengths.extend_from_slice(&(view.len() as u64).to_le_bytes());
                slices.push(view);
            }
        }
        Ok((lengths, slices))
    }

    /// Writes lengths, and as a column the elements of all lists.
    fn list(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        schema: Schema<'_>,
        offsets: Offsets,
        pieces: &[Piece<'_>],
    ) -> Outcome {
        let torn = || Unhashable::new(self.owner, Reason::Changed);
        let mut lengths = Vec::new();
        let mut children = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let spans = piece.spans(offsets, &mut lengths).ok_or_else(torn)?;
            children.push(piece.child(0, spans.into_iter()).ok_or_else(torn)?);
        }
        encoder.writer.open(Container::Tuple, 2);
        encoder.leaf(&lengths);
        let child = schema.children().next().ok_or_else(torn)?;
        self.pieces(encoder, child, children)
    }

    /// Writes the elements of a child that belong to ranges of elements.
    fn children(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        schema: Schema<'_>,
        pieces: &[Piece<'_>],
        index: usize,
        range: impl Fn(Range<usize>) -> Range<usize>,
    ) -> Outcome {
        let torn = || Unhashable::new(self.owner, Reason::Changed);
        let children = pieces.iter().map(|piece| piece.child(index, piece.ranges().map(&range)));
        let children: Option<Vec<_>> = children.collect();
        let child = schema.children().nth(index).ok_or_else(torn)?;
        self.pieces(encoder, child, children.ok_or_else(torn)?)
    }

    /// Writes the values that the numbers refer to, as a column.
    fn resolved(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        schema: Schema<'_>,
        values: Schema<'_>,
        pieces: &[Piece<'_>],
    ) -> Outcome {
        let chosen: Option<Vec<_>> =
            pieces.iter().map(|piece| piece.resolved(schema.format())).collect();
        let chosen = chosen.ok_or_else(|| Unhashable::new(self.owner, Reason::Changed))?;
        self.pieces(encoder, values, chosen)
    }

    /// Writes the dictionary, which must be the same for all chunks.
    fn dictionary(
        &self,
        encoder: &mut Encoder<'_, 'py>,
        values: Schema<'_>,
        pieces: &[Piece<'_>],
    ) -> Outcome {
        let mut dictionaries: Vec<Array<'_>> =
            pieces.iter().filter_map(Piece::dictionary).collect();
        dictionaries.dedup_by(|one, other| one.is_in_place_of(*other));
        let mut written: Option<Vec<u8>> = None;
        for dictionary in dictionaries {
            let mut writer = Writer::new();
            let mut surroundings = Alone;
            let mut alone = Encoder::new(encoder.py, &mut writer, &mut surroundings);
            self.pieces(&mut alone, values, vec![Piece::whole(dictionary)])?;
            let encoding = writer.into_bytes();
            match &written {
                Some(before) if *before != encoding => {
                    return Err(Unhashable::new(self.owner, Reason::Dictionaries));
                }
                _ => written = Some(encoding),
            }
        }
        match written {
            Some(encoding) => encoder.writer.encoded(&encoding),
            None => encoder.writer.none(),
        }
        Ok(())
    }
}

/// Writes which elements are missing, and gives the others.
fn present<'a>(encoder: &mut Encoder<'_, '_>, pieces: Vec<Piece<'a>>) -> Vec<Piece<'a>> {
    let mut missing = Vec::new();
    let mut present = pieces;
    if !present.iter().all(Piece::is_complete) {
        present = present.into_iter().map(|piece| piece.present(&mut missing)).collect();
    }
    if missing.contains(&1) {
        encoder.leaf(&missing);
    } else {
        encoder.writer.none();
    }
    present
}
