//! The extension arrays of pandas.

use pyo3::intern;
use pyo3::prelude::*;
use thrifty_key::plain::Container;

use super::class::Rule;
use super::encoder::Encoder;
use super::unhashable::{Outcome, Unhashable};

impl<'py> Encoder<'_, 'py> {
    /// Writes an extension array by what it means, not by how it is held.
    pub(super) fn extension(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        if self.rule(value)? != Rule::Frame(super::class::Frame::Extension) {
            return self.encode(value);
        }
        let module: String =
            value.get_type().module().and_then(|module| module.extract()).map_err(raised)?;
        if module.split('.').next() != Some("pandas") {
            return self.reduced(value);
        }
        let class = value.get_type().name().map_err(raised)?;
        match class.to_str().map_err(raised)? {
            "Categorical" => {
                self.attributes_of(value, "pandas.Categorical", &["categories", "ordered", "codes"])
            }
            "DatetimeArray" => {
                self.attributes_of(value, "pandas.DatetimeArray", &["unit", "tz", "asi8"])
            }
            "TimedeltaArray" => {
                self.attributes_of(value, "pandas.TimedeltaArray", &["unit", "asi8"])
            }
            "PeriodArray" => self.attributes_of(value, "pandas.PeriodArray", &["freqstr", "asi8"]),
            "IntervalArray" => {
                self.attributes_of(value, "pandas.IntervalArray", &["closed", "left", "right"])
            }
            "IntegerArray" | "FloatingArray" | "BooleanArray" => self.nullable(value),
            "NumpyExtensionArray" => {
                let array = value.call_method0("to_numpy").map_err(raised)?;
                self.writer.typed("pandas.NumpyExtensionArray");
                self.ndarray(&array)
            }
            "StringArray" | "ArrowStringArray" => self.strings(value),
            "SparseArray" => self.sparse_array(value),
            "ArrowExtensionArray" => self.arrow_extension(value),
            _ => self.reduced(value),
        }
    }

    /// Values and mask; what is under the mask does not count.
    fn nullable(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let numpy = self.numpy(value)?;
        let mask = value.getattr(intern!(self.py, "_mask")).map_err(raised)?;
        let data = value.getattr(intern!(self.py, "_data")).map_err(raised)?;
        let data = shown(&numpy, &mask, data).map_err(raised)?;
        self.writer.typed("pandas.MaskedArray");
        self.writer.open(Container::Tuple, 2);
        self.ndarray(&data)?;
        self.ndarray(&mask)
    }

    /// Length, what is not stored, the kind of index, which elements are stored, and their values.
    fn sparse_array(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let index = value
            .getattr("sp_index")
            .and_then(|index| index.call_method0("to_int_index")?.getattr("indices"))
            .map_err(raised)?;
        self.writer.typed("pandas.SparseArray");
        self.writer.open(Container::Tuple, 5);
        self.writer.int(value.len().map_err(raised)? as i64);
        self.encode(&value.getattr("fill_value").map_err(raised)?)?;
        self.encode(&value.getattr("kind").map_err(raised)?)?;
        self.ndarray(&index)?;
        self.ndarray(&value.getattr("sp_values").map_err(raised)?)
    }

    /// The attributes by which a dtype says it is told apart; others only remember.
    pub(super) fn extension_dtype(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = self.pandas_class(value)?;
        if !class.starts_with("pandas.") {
            return self.reduced(value);
        }
        let names: Vec<String> = value
            .getattr("_metadata")
            .and_then(|names| names.try_iter()?.map(|name| name?.extract()).collect())
            .map_err(raised)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.attributes_of(value, &class, &names)
    }

    /// Text with its storage, and which missing value stands where there is none.
    fn strings(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let dtype = value.getattr(intern!(self.py, "dtype")).map_err(raised)?;
        let storage = dtype.getattr("storage").map_err(raised)?;
        let missing = dtype.getattr("na_value").map_err(raised)?;
        self.writer.typed("pandas.StringArray");
        self.writer.open(Container::Tuple, 3);
        self.encode(&storage)?;
        self.encode(&missing)?;
        match value.getattr_opt("_pa_array").map_err(raised)? {
            Some(chunked) => self.arrow_texts(&chunked),
            None => {
                let objects = value.getattr("_ndarray").map_err(raised)?;
                self.nullable_objects(&objects)
            }
        }
    }
}

/// The data with zeros under the mask.
fn shown<'py>(
    numpy: &Bound<'py, PyAny>,
    mask: &Bound<'py, PyAny>,
    data: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    if !mask.call_method0("any")?.is_truthy()? {
        return Ok(data);
    }
    let zero = numpy.call_method1("zeros", ((), data.getattr("dtype")?))?;
    numpy.call_method1("where", (mask, zero, data))
}
