//! Columns that pandas holds in Arrow memory: the same whatever the chunks and offsets.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_key::plain::Container;

use super::encoder::Encoder;
use super::texts::Texts;
use super::unhashable::{Outcome, Unhashable};

impl<'py> Encoder<'_, 'py> {
    /// Writes a column of any Arrow type: its type, validity and values.
    pub(super) fn arrow(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let chunked = value.getattr("_pa_array").map_err(raised)?;
        let class = chunked.getattr("type").map_err(raised)?;
        let name = class.call_method0("__str__").map_err(raised)?;
        let arrow = self.module(value, "pyarrow")?;
        let types = arrow.getattr("types").map_err(raised)?;
        let is = |question: &str| -> Outcome<bool> {
            types
                .call_method1(question, (&class,))
                .and_then(|answer| answer.is_truthy())
                .map_err(raised)
        };
        self.writer.typed("pandas.ArrowExtensionArray");
        self.writer.open(Container::Tuple, 2);
        self.text(&name)?;
        if is("is_string")? || is("is_large_string")? {
            return self.arrow_texts(&chunked);
        }
        if is("is_primitive")? {
            return self.arrow_numbers(&arrow, &chunked);
        }
        let items: Vec<Bound<'py, PyAny>> = chunked
            .call_method0("to_pylist")
            .and_then(|items| items.try_iter()?.collect())
            .map_err(raised)?;
        self.writer.open(Container::List, items.len());
        items.iter().try_for_each(|item| self.encode(item))
    }

    /// Numbers, truth values and moments: zeros where there is none, and the validity.
    fn arrow_numbers(&mut self, arrow: &Bound<'py, PyAny>, chunked: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(chunked, error);
        let (values, missing) = numbers(arrow, chunked).map_err(raised)?;
        self.writer.open(Container::Tuple, 2);
        self.ndarray(&values)?;
        self.ndarray(&missing)
    }

    /// Text, in the form of [`super::texts`].
    pub(super) fn arrow_texts(&mut self, chunked: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(chunked, error);
        let arrow = self.module(chunked, "pyarrow")?;
        let count = chunked.len().map_err(raised)?;
        let mut texts = Texts::with_capacity(count);
        let chunks = whole_texts(&arrow, chunked).map_err(raised)?;
        for chunk in chunks.try_iter().map_err(raised)? {
            let chunk = chunk.map_err(raised)?;
            let buffers = Buffers::of(&chunk).map_err(raised)?;
            buffers
                .read(&mut texts)
                .ok_or_else(|| Unhashable::new(chunked, super::Reason::Changed))?;
        }
        self.column(&texts, &[])
    }
}

/// The chunks, with 64-bit offsets.
fn whole_texts<'py>(
    arrow: &Bound<'py, PyAny>,
    chunked: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let large = arrow.call_method0("large_string")?;
    chunked.call_method1("cast", (large,))?.getattr("chunks")
}

fn numbers<'py>(
    arrow: &Bound<'py, PyAny>,
    chunked: &Bound<'py, PyAny>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let missing = chunked.call_method0("is_null")?.call_method0("to_numpy")?;
    let class = chunked.getattr("type")?;
    let types = arrow.getattr("types")?;
    let width: usize = class.getattr("bit_width")?.extract()?;
    let plain = ["is_integer", "is_floating"]
        .iter()
        .map(|question| types.call_method1(*question, (&class,))?.is_truthy())
        .collect::<PyResult<Vec<_>>>()?
        .contains(&true);
    let values = if plain {
        chunked.clone()
    } else {
        let integer = match width {
            1 => "uint8",
            32 => "int32",
            _ => "int64",
        };
        chunked.call_method1("cast", (arrow.call_method0(integer)?,))?
    };
    let zero = PyDict::new(arrow.py());
    zero.set_item("type", values.getattr("type")?)?;
    let zero = arrow.call_method("scalar", (0,), Some(&zero))?;
    let values = values.call_method1("fill_null", (zero,))?;
    Ok((values.call_method0("to_numpy")?, missing))
}

/// The memory of an array of text with 64-bit offsets.
struct Buffers<'py> {
    /// One bit an element, set where there is a text; all are if absent.
    validity: Option<(usize, usize)>,
    offsets: (usize, usize),
    text: (usize, usize),
    first: usize,
    count: usize,
    _owner: Bound<'py, PyAny>,
}

impl<'py> Buffers<'py> {
    fn of(array: &Bound<'py, PyAny>) -> PyResult<Self> {
        let buffers: Vec<Option<Bound<'py, PyAny>>> = array.call_method0("buffers")?.extract()?;
        let place = |index: usize| -> PyResult<Option<(usize, usize)>> {
            let Some(Some(buffer)) = buffers.get(index) else {
                return Ok(None);
            };
            let address = buffer.getattr("address")?.extract()?;
            Ok(Some((address, buffer.getattr("size")?.extract()?)))
        };
        Ok(Self {
            validity: place(0)?,
            offsets: place(1)?.unwrap_or_default(),
            text: place(2)?.unwrap_or_default(),
            first: array.getattr("offset")?.extract()?,
            count: array.len()?,
            _owner: array.clone(),
        })
    }

    /// Adds the texts; `None` if the offsets lead out of the memory.
    fn read(&self, texts: &mut Texts) -> Option<()> {
        let (offsets, text) = (bytes(self.offsets), bytes(self.text));
        let offset = |index: usize| -> Option<usize> {
            let at = index.checked_mul(8)?;
            let eight = offsets.get(at..at.checked_add(8)?)?.try_into().ok()?;
            usize::try_from(i64::from_le_bytes(eight)).ok()
        };
        for index in self.first..self.first.checked_add(self.count)? {
            if self.is_valid(index)? {
                texts.add(text.get(offset(index)?..offset(index + 1)?)?);
            } else {
                texts.add_missing();
            }
        }
        Some(())
    }

    fn is_valid(&self, index: usize) -> Option<bool> {
        match self.validity {
            None => Some(true),
            Some(validity) => Some(bytes(validity).get(index / 8)? >> (index % 8) & 1 == 1),
        }
    }
}

/// The memory of a buffer, which the owner of the [`Buffers`] keeps alive.
fn bytes<'a>((address, size): (usize, usize)) -> &'a [u8] {
    if size == 0 {
        return &[];
    }
    // SAFETY: address and size came from an Arrow buffer, which is immutable and alive.
    unsafe { std::slice::from_raw_parts(std::ptr::without_provenance(address), size) }
}
