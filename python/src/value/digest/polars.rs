//! polars: frames and series by names, types and elements, whatever their chunks.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use thrifty_key::plain::Container;

use super::arrow::{Column, Columns, Dictionaries};
use super::attributes;
use super::builtin::item_step;
use super::encoder::Encoder;
use super::library::Polars;
use super::unhashable::{Outcome, Reason, Unhashable};

/// The parameters of types that have some.
const PARAMETERS: [(&str, &[&str]); 8] = [
    ("Decimal", &["precision", "scale"]),
    ("Datetime", &["time_unit", "time_zone"]),
    ("Duration", &["time_unit"]),
    ("List", &["inner"]),
    ("Array", &["inner", "shape"]),
    ("Struct", &["fields"]),
    ("Enum", &["categories"]),
    ("Categorical", &["categories"]),
];

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a type of polars.
    pub(super) fn polars(&mut self, value: &Bound<'py, PyAny>, rule: Polars) -> Outcome {
        match rule {
            Polars::DataFrame => {
                self.beside(value, attributes::of_library(value, &[]), |it| it.polars_frame(value))
            }
            Polars::Series => {
                self.beside(value, attributes::of_library(value, &[]), |it| it.polars_series(value))
            }
            Polars::DataType => self.polars_type(value),
        }
    }

    fn polars_frame(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let columns: Vec<Bound<'py, PyAny>> = value
            .call_method0("get_columns")
            .and_then(|columns| columns.try_iter()?.collect())
            .map_err(raised)?;
        self.writer.typed("polars.DataFrame");
        self.writer.open(Container::Tuple, 2);
        // Without columns, a frame may still have rows.
        self.encode(&value.getattr("height").map_err(raised)?)?;
        self.writer.open(Container::List, columns.len());
        columns.iter().try_for_each(|column| {
            self.polars_series(column).map_err(|unhashable| {
                let name = column.getattr(intern!(self.py, "name"));
                unhashable.below(&name.map_or_else(|_| String::new(), |name| item_step(&name)))
            })
        })
    }

    fn polars_series(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let dtype = value.getattr(intern!(self.py, "dtype")).map_err(raised)?;
        self.writer.typed("polars.Series");
        self.writer.open(Container::Tuple, 3);
        self.encode(&value.getattr(intern!(self.py, "name")).map_err(raised)?)?;
        self.polars_type(&dtype)?;
        if self.polars_type_name(&dtype)? == "Object" {
            let elements = value.call_method0("to_list").map_err(raised)?;
            return self.encode(&elements);
        }
        let columns = Columns::of_stream(value).map_err(raised)?;
        Column { owner: value, dictionaries: Dictionaries::Resolved }.write(self, &columns)
    }

    /// Writes a type, which may be a class or an instance of one: without parameters, both mean
    /// the same.
    fn polars_type(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let name = self.polars_type_name(value)?;
        let class = format!("polars.{name}");
        let is_class = value.cast::<PyType>().is_ok();
        match PARAMETERS.iter().find(|known| known.0 == name) {
            _ if is_class => {
                self.writer.typed(&class);
                self.writer.none();
                Ok(())
            }
            Some((_, parameters)) => {
                self.writer.typed(&class);
                self.writer.open(Container::Tuple, parameters.len());
                parameters.iter().try_for_each(|parameter| self.polars_parameter(value, parameter))
            }
            None => self.polars_simple_type(value, &class),
        }
    }

    fn polars_simple_type(&mut self, value: &Bound<'py, PyAny>, class: &str) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let attributes = value.getattr_opt(intern!(self.py, "__dict__")).map_err(raised)?;
        if attributes.is_some_and(|attributes| attributes.is_truthy().unwrap_or(true)) {
            let way = "cast the column to another type";
            return Err(Unhashable::new(value, Reason::Refused(way)));
        }
        self.writer.typed(class);
        self.writer.none();
        Ok(())
    }

    fn polars_parameter(&mut self, value: &Bound<'py, PyAny>, name: &str) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let parameter = value.getattr(name).map_err(raised)?;
        match name {
            "inner" => self.polars_type(&parameter),
            "fields" => {
                let fields: Vec<Bound<'py, PyAny>> =
                    parameter.try_iter().and_then(Iterator::collect).map_err(raised)?;
                self.writer.open(Container::List, fields.len());
                fields.iter().try_for_each(|field| {
                    self.writer.open(Container::Tuple, 2);
                    self.encode(&field.getattr("name").map_err(raised)?)?;
                    self.polars_type(&field.getattr("dtype").map_err(raised)?)
                })
            }
            // Of an enumeration, a series; of a categorical column, the name of what may grow.
            "categories" if parameter.hasattr("namespace").map_err(raised)? => {
                self.writer.open(Container::Tuple, 2);
                self.encode(&parameter.call_method0("name").map_err(raised)?)?;
                self.encode(&parameter.call_method0("namespace").map_err(raised)?)
            }
            _ => self.encode(&parameter),
        }
    }

    fn polars_type_name(&self, value: &Bound<'py, PyAny>) -> Outcome<String> {
        let class = value.cast::<PyType>().map_or_else(|_| value.get_type(), Clone::clone);
        class
            .name()
            .map(|name| name.to_string_lossy().into_owned())
            .map_err(|error| Unhashable::raised(value, error))
    }
}
