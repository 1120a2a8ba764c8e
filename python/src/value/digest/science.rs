//! scipy's sparse matrices, Pillow's images, scikit-learn's trees of neighbours.

use std::ops::Range;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_key::plain::Container;

use super::attributes;
use super::encoder::Encoder;
use super::library::Science;
use super::unhashable::{Outcome, Reason, Unhashable};

/// What matrices hold under names that do not begin with an underscore.
const SPARSE: [&str; 12] = [
    "maxprint",
    "dtype",
    "indptr",
    "indices",
    "data",
    "row",
    "col",
    "rows",
    "coords",
    "offsets",
    "has_canonical_format",
    "has_sorted_indices",
];

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a library that has few types.
    pub(super) fn science(&mut self, value: &Bound<'py, PyAny>, rule: Science) -> Outcome {
        match rule {
            Science::Sparse => {
                self.beside(value, attributes::of_library(value, &SPARSE), |it| it.sparse(value))
            }
            Science::Image => self.image(value),
            Science::Tree => self.tree(value),
            Science::SpatialTree => self.spatial_tree(value),
            Science::Vectorizer => self.reduced_without(value, Some("_stop_words_id")),
            Science::Bunch => {
                self.writer.typed("sklearn.utils.Bunch");
                let items = self.py.get_type::<PyDict>().call1((value,));
                // Its attributes are notes that a pickle drops.
                self.encode(&items.map_err(|error| Unhashable::raised(value, error))?)
            }
        }
    }

    /// Format, shape, and the elements that are stored, sorted by place: duplicates are added up,
    /// and the width of the indices does not show.
    fn sparse(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = value.get_type().name().map_err(raised)?;
        let parts = sparse_parts(value).map_err(raised)?;
        // The module of the class is private to scipy.
        self.writer.typed(&format!("scipy.sparse.{}", class.to_string_lossy()));
        self.writer.open(Container::Tuple, 1 + parts.len());
        self.encode(&value.getattr("shape").map_err(raised)?)?;
        parts.iter().try_for_each(|part| self.encode(part))
    }

    /// The state without the counters of queries, which each query raises.
    fn tree(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = self.class_of(value)?;
        let state = value.call_method0("__getstate__").map_err(raised)?;
        let mut state: Vec<Bound<'py, PyAny>> =
            state.try_iter().and_then(Iterator::collect).map_err(raised)?;
        if let Some(counters) = counters(value, &state).map_err(raised)? {
            state.drain(counters);
        }
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, state.len());
        state.iter().try_for_each(|part| self.part(part, ".__getstate__()"))
    }

    /// The state, without the addresses that its nodes have beside their numbers.
    fn spatial_tree(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = self.class_of(value)?;
        let state = value.call_method0("__getstate__").map_err(raised)?;
        let mut state: Vec<Bound<'py, PyAny>> =
            state.try_iter().and_then(Iterator::collect).map_err(raised)?;
        if let Some(nodes) = state.first_mut()
            && let Some(numbers) = without_addresses(value, nodes).map_err(raised)?
        {
            *nodes = numbers;
        }
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, state.len());
        state.iter().try_for_each(|part| self.part(part, ".__getstate__()"))
    }

    /// Format, mode, size, palette, metadata, pixels; the name of the file if it was opened.
    fn image(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let is_animated = value.getattr_opt("is_animated").map_err(raised)?;
        if is_animated.is_some_and(|answer| answer.is_truthy().unwrap_or_default()) {
            return Err(Unhashable::new(value, Reason::Refused(FRAMES)));
        }
        let pixels = value.call_method0("tobytes").map_err(raised)?;
        self.writer.typed("PIL.Image.Image");
        self.writer.open(Container::Tuple, 7);
        for attribute in ["format", "mode", "size", "info"] {
            let part = value.getattr(attribute).map_err(raised)?;
            self.part(&part, &format!(".{attribute}"))?;
        }
        let palette = value.call_method1("getpalette", (self.py.None(),)).map_err(raised)?;
        self.encode(&palette)?;
        self.encode(&pixels)?;
        match value.getattr_opt("filename").map_err(raised)? {
            Some(name) => self.part(&name, ".filename"),
            None => {
                self.writer.none();
                Ok(())
            }
        }
    }
}

const FRAMES: &str = "it has several frames; pass its thrifty.File, or a list of the frames";

/// Where the counters stand in the state of a tree; `None` if it is laid out differently.
fn counters(tree: &Bound<'_, PyAny>, state: &[Bound<'_, PyAny>]) -> PyResult<Option<Range<usize>>> {
    const PLACES: Range<usize> = 7..11;
    let Some(found) = state.get(PLACES) else {
        return Ok(None);
    };
    let mut told: Vec<Bound<'_, PyAny>> =
        tree.call_method0("get_tree_stats")?.try_iter()?.collect::<PyResult<_>>()?;
    told.push(tree.call_method0("get_n_calls")?);
    for (one, other) in found.iter().zip(&told) {
        if !one.eq(other)? {
            return Ok(None);
        }
    }
    Ok((told.len() == PLACES.len()).then_some(PLACES))
}

/// The nodes of a tree of scipy as a table, without the two columns that are addresses; `None` if they
/// are laid out differently.
fn without_addresses<'py>(
    tree: &Bound<'py, PyAny>,
    nodes: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    const COLUMNS: usize = 9;
    let kept = [0, 1, 2, 3, 4, 7, 8];
    let size: usize = tree.getattr("size")?.extract()?;
    let bytes: usize = nodes.getattr("nbytes")?.extract()?;
    if bytes != size * COLUMNS * size_of::<i64>() {
        return Ok(None);
    }
    let table = nodes.call_method1("view", ("<i8",))?.call_method1("reshape", (size, COLUMNS))?;
    table.call_method1("take", (kept, 1)).map(Some)
}

/// The stored elements: their places as 64-bit integers, and the values.
fn sparse_parts<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let format: String = value.getattr("format")?.extract()?;
    if matches!(format.as_str(), "csr" | "csc" | "bsr") {
        let summed = summed(value)?;
        let [pointers, indices] = [summed.getattr("indptr")?, summed.getattr("indices")?];
        return Ok(vec![wide(&pointers)?, wide(&indices)?, summed.getattr("data")?]);
    }
    let copied = PyDict::new(value.py());
    copied.set_item("copy", true)?;
    let pairs = value.call_method("tocoo", (), Some(&copied))?;
    // A dict of keys claims to be sorted, whatever the order of its keys.
    pairs.setattr("has_canonical_format", false)?;
    pairs.call_method0("sum_duplicates")?;
    let mut parts = Vec::new();
    for axis in pairs.getattr("coords")?.try_iter()? {
        parts.push(wide(&axis?)?);
    }
    if format == "dia" {
        let offsets = wide(&value.getattr("offsets")?)?;
        offsets.call_method0("sort")?;
        parts.push(offsets);
    }
    parts.push(pairs.getattr("data")?);
    Ok(parts)
}

/// A copy of indices in 64 bits.
fn wide<'py>(indices: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    indices.call_method1("astype", ("<i8",))
}

/// The matrix itself if its indices are sorted and unique, or a copy for which that holds.
fn summed<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let arguments = PyDict::new(value.py());
    arguments.set_item("shape", value.getattr("shape")?)?;
    let arrays = (value.getattr("data")?, value.getattr("indices")?, value.getattr("indptr")?);
    // Not the value itself: asking would leave a note in it.
    let same = value.get_type().call((arrays,), Some(&arguments))?;
    if same.getattr("has_canonical_format")?.is_truthy()? {
        return Ok(same);
    }
    let copy = same.call_method0("copy")?;
    copy.call_method0("sum_duplicates")?;
    Ok(copy)
}
