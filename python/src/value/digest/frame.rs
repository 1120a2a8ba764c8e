//! pandas: frames, series and indexes by class, labels, dtype and values; blocks do not show.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use thrifty_key::plain::Container;

use super::attributes;
use super::class::Frame;
use super::encoder::Encoder;
use super::unhashable::{Outcome, Unhashable};

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a type of pandas.
    pub(super) fn frame(&mut self, value: &Bound<'py, PyAny>, rule: Frame) -> Outcome {
        match rule {
            Frame::Table => self.labelled(value, Self::data_frame),
            Frame::Series => self.labelled(value, Self::series),
            Frame::RangeIndex => self.labelled(value, Self::range_index),
            Frame::MultiIndex => self.labelled(value, Self::multi_index),
            Frame::Index => self.labelled(value, Self::index),
            Frame::Extension => self.once(value, |encoder| encoder.extension(value)),
            Frame::Timestamp => self.moment(value, "pandas.Timestamp", &["asm8", "tz", "fold"]),
            Frame::Timedelta => self.moment(value, "pandas.Timedelta", &["asm8"]),
            Frame::Period => self.moment(value, "pandas.Period", &["freqstr", "ordinal"]),
            Frame::Interval => self.moment(value, "pandas.Interval", &["left", "right", "closed"]),
            Frame::Dtype => self.once(value, |encoder| encoder.extension_dtype(value)),
            Frame::Missing => {
                let name =
                    value.get_type().name().map_err(|error| Unhashable::raised(value, error))?;
                self.writer.typed(&format!("pandas.{}", name.to_string_lossy()));
                self.writer.none();
                Ok(())
            }
        }
    }

    fn labelled(
        &mut self,
        value: &Bound<'py, PyAny>,
        write: fn(&mut Self, &Bound<'py, PyAny>) -> Outcome,
    ) -> Outcome {
        self.once(value, |encoder| {
            encoder.beside(value, attributes::of_library(value, &["sortorder"]), |encoder| {
                write(encoder, value)
            })
        })
    }

    fn moment(&mut self, value: &Bound<'py, PyAny>, name: &str, attributes: &[&str]) -> Outcome {
        self.once(value, |encoder| encoder.attributes_of(value, name, attributes))
    }

    /// `pandas.<class>` for pandas' own classes, whose modules change between versions.
    pub(super) fn pandas_class(&mut self, value: &Bound<'py, PyAny>) -> Outcome<std::rc::Rc<str>> {
        let class = self.class_of(value)?;
        match class.rsplit_once('.') {
            Some((module, name)) if module.split('.').next() == Some("pandas") => {
                Ok(format!("pandas.{name}").into())
            }
            _ => Ok(class),
        }
    }

    fn data_frame(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = self.pandas_class(value)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 6);
        self.part(&value.getattr("columns").map_err(raised)?, ".columns")?;
        self.part(&value.getattr("index").map_err(raised)?, ".index")?;
        let columns: Vec<Bound<'py, PyAny>> = value
            .call_method0("items")
            .and_then(|items| items.try_iter()?.map(|item| item?.get_item(1)).collect())
            .map_err(raised)?;
        self.writer.open(Container::List, columns.len());
        for column in &columns {
            self.values(column).map_err(|unhashable| {
                let name = column.getattr("name");
                let step =
                    name.map_or_else(|_| String::new(), |name| super::builtin::item_step(&name));
                unhashable.below(&step)
            })?;
        }
        self.metadata(value)
    }

    fn series(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = self.pandas_class(value)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 6);
        self.part(&value.getattr("name").map_err(raised)?, ".name")?;
        self.part(&value.getattr("index").map_err(raised)?, ".index")?;
        self.values(value)?;
        self.metadata(value)
    }

    /// Attributes, flags, and what a subclass says it adds.
    fn metadata(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let parts = metadata(value).map_err(|error| Unhashable::raised(value, error))?;
        self.part(&parts.0, ".attrs")?;
        self.part(&parts.1, ".flags")?;
        self.part(&parts.2, "._metadata")
    }

    /// The values of a series or an index: a numpy array, or an extension array.
    fn values(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let dtype = value.getattr(intern!(self.py, "dtype")).map_err(raised)?;
        let numpy = self.numpy(value)?.getattr(intern!(self.py, "dtype")).map_err(raised)?;
        if dtype.is_instance(&numpy).map_err(raised)? {
            let values = value.getattr(intern!(self.py, "values")).map_err(raised)?;
            // Not through `encode`: the array is made anew at each access, and only memory counts.
            return self.ndarray(&values);
        }
        let array = value.getattr(intern!(self.py, "array")).map_err(raised)?;
        self.extension(&array)
    }

    /// Start, stop and step: not the same value as an index that lists the same numbers.
    fn range_index(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        self.attributes_of(value, "pandas.RangeIndex", &["start", "stop", "step", "name"])
    }

    fn index(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = self.pandas_class(value)?;
        let frequency = value.getattr_opt("freqstr").map_err(raised)?;
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, 3);
        self.part(&value.getattr("name").map_err(raised)?, ".name")?;
        match frequency {
            Some(frequency) => self.encode(&frequency)?,
            None => self.writer.none(),
        }
        self.values(value)
    }

    /// Names, levels as they are (their order shows when unstacking), and codes.
    fn multi_index(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let class = self.pandas_class(value)?;
        let lists = ["names", "levels", "codes"].map(|name| {
            let items = value.getattr(name)?;
            items.try_iter()?.collect::<PyResult<Vec<_>>>()
        });
        self.writer.typed(&class);
        self.writer.open(Container::Tuple, lists.len());
        for list in lists {
            let list = list.map_err(|error| Unhashable::raised(value, error))?;
            self.writer.open(Container::List, list.len());
            list.iter().try_for_each(|item| self.encode(item))?;
        }
        Ok(())
    }
}

type Metadata<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

fn metadata<'py>(value: &Bound<'py, PyAny>) -> PyResult<Metadata<'py>> {
    let flags = value.getattr("flags")?.getattr("allows_duplicate_labels")?;
    let added = PyDict::new(value.py());
    for name in value.getattr("_metadata")?.try_iter()? {
        let name = name?;
        // A series lists its name, which is encoded already.
        if let Some(attribute) = value.getattr_opt(name.cast()?)?
            && name.extract::<String>()? != "_name"
        {
            added.set_item(name, attribute)?;
        }
    }
    Ok((value.getattr("attrs")?, flags, added.into_any()))
}
