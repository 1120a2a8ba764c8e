//! Types of the standard library whose reduce protocol differs between versions of Python, or
//! says less or more than the value.

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyModule};
use thrifty_key::plain::Container;

use super::class::Standard;
use super::encoder::Encoder;
use super::unhashable::{Outcome, Reason, Unhashable};

impl<'py> Encoder<'_, 'py> {
    /// Writes a value of a type of the standard library.
    pub(super) fn standard(&mut self, value: &Bound<'py, PyAny>, rule: Standard) -> Outcome {
        match rule {
            Standard::Function | Standard::Module => self.code(value),
            Standard::Builtin => self.builtin_function(value),
            Standard::Enum => self.enumeration(value, &["_name_", "_value_"]),
            // Combinations of flags have names in some versions of Python only.
            Standard::Flag => self.enumeration(value, &["_value_"]),
            Standard::SetSubclass => self.set_subclass(value, Container::Set),
            Standard::FrozenSetSubclass => self.set_subclass(value, Container::FrozenSet),
            Standard::Bytearray => self.bytearray(value),
            Standard::Memoryview => self.memoryview(value),
            Standard::Singleton => {
                let class = self.class_of(value)?;
                self.writer.typed(&class);
                self.writer.none();
                Ok(())
            }
            Standard::MappingProxy => self.once(value, |encoder| encoder.mapping_proxy(value)),
            Standard::Path => self.path(value),
            Standard::ZoneInfo => self.zone(value),
            _ => self.once(value, |encoder| encoder.described(value, rule)),
        }
    }

    /// A type that a few attributes describe.
    fn described(&mut self, value: &Bound<'py, PyAny>, rule: Standard) -> Outcome {
        let (name, attributes): (_, &[&str]) = match rule {
            Standard::Range => ("builtins.range", &["start", "stop", "step"]),
            Standard::Slice => ("builtins.slice", &["start", "stop", "step"]),
            Standard::Method => ("builtins.method", &["__self__", "__func__"]),
            Standard::Date => ("datetime.date", &["year", "month", "day"]),
            Standard::Time => {
                ("datetime.time", &["hour", "minute", "second", "microsecond", "fold", "tzinfo"])
            }
            Standard::Datetime => (
                "datetime.datetime",
                &[
                    "year",
                    "month",
                    "day",
                    "hour",
                    "minute",
                    "second",
                    "microsecond",
                    "fold",
                    "tzinfo",
                ],
            ),
            Standard::Timedelta => ("datetime.timedelta", &["days", "seconds", "microseconds"]),
            Standard::Fraction => ("fractions.Fraction", &["numerator", "denominator"]),
            Standard::Uuid => ("uuid.UUID", &["int"]),
            Standard::Pattern => ("re.Pattern", &["pattern", "flags"]),
            Standard::Partial => ("functools.partial", &["func", "args", "keywords", "__dict__"]),
            // What they remember is no part of what they do.
            Standard::Remembering => ("functools._lru_cache_wrapper", &["__wrapped__"]),
            Standard::Vectorized => {
                ("numpy.vectorize", &["pyfunc", "otypes", "excluded", "signature", "cache"])
            }
            _ => return Err(Unhashable::new(value, Reason::Code)),
        };
        self.attributes_of(value, name, attributes)
    }

    /// Writes a named type with the values of some attributes.
    pub(super) fn attributes_of(
        &mut self,
        value: &Bound<'py, PyAny>,
        name: &str,
        attributes: &[&str],
    ) -> Outcome {
        self.writer.typed(name);
        self.writer.open(Container::Tuple, attributes.len());
        for attribute in attributes {
            let part =
                value.getattr(*attribute).map_err(|error| Unhashable::raised(value, error))?;
            self.encode(&part).map_err(|unhashable| unhashable.below(&format!(".{attribute}")))?;
        }
        Ok(())
    }

    fn enumeration(&mut self, value: &Bound<'py, PyAny>, attributes: &[&str]) -> Outcome {
        let class = self.class_of(value)?;
        let name = format!("enum:{class}");
        self.once(value, |encoder| encoder.attributes_of(value, &name, attributes))
    }

    /// The elements sorted, and the attributes of the instance.
    fn set_subclass(&mut self, value: &Bound<'py, PyAny>, container: Container) -> Outcome {
        let class = self.class_of(value)?;
        self.once(value, |encoder| {
            encoder.writer.typed(&class);
            encoder.writer.open(Container::Tuple, 2);
            encoder.set(value, container)?;
            let state = value
                .call_method0(intern!(encoder.py, "__getstate__"))
                .map_err(|error| Unhashable::raised(value, error))?;
            encoder.part(&state, ".__dict__")
        })
    }

    fn bytearray(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let bytes = value
            .cast::<PyByteArray>()
            .map_err(|error| Unhashable::raised(value, error.into()))?
            .to_vec();
        self.writer.typed("builtins.bytearray");
        self.leaf(&bytes);
        Ok(())
    }

    /// What the proxy shows.
    fn mapping_proxy(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let shown = value
            .call_method0(intern!(self.py, "copy"))
            .map_err(|error| Unhashable::raised(value, error))?;
        self.writer.typed("types.MappingProxyType");
        self.encode(&shown)
    }

    /// The format, the shape and the bytes in C order.
    fn memoryview(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let bytes = value.call_method0("tobytes").map_err(raised)?;
        self.writer.typed("builtins.memoryview");
        self.writer.open(Container::Tuple, 3);
        self.encode(&value.getattr("format").map_err(raised)?)?;
        self.encode(&value.getattr("shape").map_err(raised)?)?;
        self.encode(&bytes)
    }

    /// The text of the path, not what is there: that is what `File` and `Dir` are for.
    fn path(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let class = value.get_type().name().map_err(raised)?;
        let text = value.call_method0(intern!(self.py, "__fspath__")).map_err(raised)?;
        // The module is `pathlib._local` in some versions of Python.
        self.writer.typed(&format!("pathlib.{}", class.to_string_lossy()));
        self.text(&text)
    }

    /// By key: the rules of the zone belong to the system.
    fn zone(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let key = value
            .getattr(intern!(self.py, "key"))
            .map_err(|error| Unhashable::raised(value, error))?;
        if key.is_none() {
            return Err(Unhashable::new(value, Reason::Code));
        }
        self.writer.typed("zoneinfo.ZoneInfo");
        self.part(&key, ".key")
    }

    /// A function of a compiled module, or a method bound to a value or a class.
    fn builtin_function(&mut self, value: &Bound<'py, PyAny>) -> Outcome {
        let raised = |error| Unhashable::raised(value, error);
        let owner = value.getattr(intern!(self.py, "__self__")).map_err(raised)?;
        if owner.is_none() || owner.cast::<PyModule>().is_ok() {
            return self.code(value);
        }
        // SAFETY: any object.
        let is_type = unsafe { ffi::PyType_Check(owner.as_ptr()) } == 1;
        let name = if is_type { "builtins.classmethod" } else { "builtins.method" };
        self.once(value, |encoder| encoder.attributes_of(value, name, &["__self__", "__name__"]))
    }
}
