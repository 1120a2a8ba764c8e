//! Values in Arrow memory: those of pyarrow, and columns of pandas and polars that are held so.

mod column;
mod data;
mod layout;
mod piece;

use pyo3::intern;
use pyo3::prelude::*;
use thrifty_key::plain::Container;

pub(super) use column::{Column, Dictionaries};
pub(super) use data::Columns;
use data::Schema;

use super::encoder::Encoder;
use super::library::Arrow;
use super::unhashable::{Outcome, Unhashable};

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a type of pyarrow.
    pub(super) fn arrow(&mut self, value: &Bound<'py, PyAny>, rule: Arrow) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        // A type of the project may extend one of pyarrow.
        self.class_of(value)?;
        match rule {
            Arrow::DataType => self.arrow_type(value, "pyarrow.DataType"),
            Arrow::Field => self.arrow_type(value, "pyarrow.Field"),
            Arrow::Schema => self.arrow_type(value, "pyarrow.Schema"),
            Arrow::Array => self.arrow_array(value, value, "pyarrow.Array"),
            Arrow::RecordBatch => self.arrow_array(value, value, "pyarrow.RecordBatch"),
            Arrow::Table => self.arrow_chunks(value, "pyarrow.Table"),
            Arrow::ChunkedArray => self.arrow_chunks(value, "pyarrow.ChunkedArray"),
            Arrow::Scalar => {
                let pyarrow = self.module(value, "pyarrow")?;
                let array = pyarrow.call_method1("repeat", (value, 1)).map_err(raised)?;
                self.arrow_array(value, &array, "pyarrow.Scalar")
            }
            Arrow::Buffer => {
                let bytes = value.call_method0("to_pybytes").map_err(raised)?;
                self.writer.typed("pyarrow.Buffer");
                self.encode(&bytes)
            }
        }
    }

    fn arrow_type(&mut self, value: &Bound<'py, PyAny>, name: &str) -> Outcome {
        let columns = Columns::of_type(value).map_err(|error| Unhashable::raised(value, error))?;
        self.writer.typed(name);
        self.arrow_schema(columns.schema());
        Ok(())
    }

    fn arrow_array(
        &mut self,
        value: &Bound<'py, PyAny>,
        array: &Bound<'py, PyAny>,
        name: &str,
    ) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        // Of an array made of buffers, nothing says yet that they are long enough.
        array.call_method0(intern!(self.py, "validate")).map_err(raised)?;
        self.arrow_columns(value, &Columns::of_array(array).map_err(raised)?, name)
    }

    fn arrow_chunks(&mut self, value: &Bound<'py, PyAny>, name: &str) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        value.call_method0(intern!(self.py, "validate")).map_err(raised)?;
        let unified = value.call_method0(intern!(self.py, "unify_dictionaries")).map_err(raised)?;
        self.arrow_columns(value, &Columns::of_stream(&unified).map_err(raised)?, name)
    }

    fn arrow_columns(
        &mut self,
        value: &Bound<'py, PyAny>,
        columns: &Columns,
        name: &str,
    ) -> Outcome {
        self.writer.typed(name);
        self.writer.open(Container::Tuple, 2);
        self.arrow_schema(columns.schema());
        Column { owner: value, dictionaries: Dictionaries::Kept }.write(self, columns)
    }

    /// Writes a type with the names, flags and metadata of its parts.
    fn arrow_schema(&mut self, schema: Schema<'_>) {
        self.writer.open(Container::Tuple, 6);
        self.writer.text(schema.format());
        self.writer.text(schema.name());
        self.writer.int(schema.flags());
        match schema.metadata() {
            None => self.writer.none(),
            Some(pairs) => {
                self.writer.open(Container::Dict, pairs.len());
                for text in pairs.iter().flat_map(|pair| [pair.0, pair.1]) {
                    self.leaf(text);
                }
            }
        }
        self.writer.open(Container::List, schema.children().len());
        schema.children().for_each(|child| self.arrow_schema(child));
        match schema.dictionary() {
            None => self.writer.none(),
            Some(values) => self.arrow_schema(values),
        }
    }

    /// Writes an array that pandas holds in Arrow memory.
    pub(super) fn arrow_extension(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let chunked = value
            .getattr(intern!(self.py, "_pa_array"))
            .map_err(|error| Unhashable::raised(value, error))?;
        self.arrow_chunks(&chunked, "pandas.ArrowExtensionArray")
    }

    /// Writes a column of text in Arrow memory in the form of [`super::texts`].
    pub(super) fn arrow_texts(&mut self, chunked: &Bound<'py, PyAny>) -> Outcome {
        let columns =
            Columns::of_stream(chunked).map_err(|error| Unhashable::raised(chunked, error))?;
        Column { owner: chunked, dictionaries: Dictionaries::Kept }.write_texts(self, &columns)
    }
}
