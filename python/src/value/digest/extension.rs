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
            "ArrowExtensionArray" => self.arrow(value),
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
