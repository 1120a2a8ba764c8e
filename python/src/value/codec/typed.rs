//! The standard library's values that the plain encoding can hold, and how they are made again.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::error::unreadable;

/// How the encoded child makes the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// The child is the only argument.
    Child,
    /// The child is the tuple of the arguments.
    Arguments,
    /// As `Arguments`, of which these go by name.
    Keywords(&'static [&'static str]),
}

/// Encoded name of a type, which is its module and its name there, and its [`Call`].
const TYPES: [(&str, Call); 14] = [
    ("builtins.bytearray", Call::Child),
    ("builtins.range", Call::Arguments),
    ("builtins.slice", Call::Arguments),
    ("datetime.date", Call::Arguments),
    (
        "datetime.datetime",
        Call::Keywords(&[
            "year",
            "month",
            "day",
            "hour",
            "minute",
            "second",
            "microsecond",
            "fold",
            "tzinfo",
        ]),
    ),
    (
        "datetime.time",
        Call::Keywords(&["hour", "minute", "second", "microsecond", "fold", "tzinfo"]),
    ),
    ("datetime.timedelta", Call::Arguments),
    ("datetime.timezone", Call::Arguments),
    ("decimal.Decimal", Call::Arguments),
    ("fractions.Fraction", Call::Arguments),
    ("pathlib.PosixPath", Call::Child),
    ("pathlib.PurePosixPath", Call::Child),
    ("uuid.UUID", Call::Keywords(&["int"])),
    ("zoneinfo.ZoneInfo", Call::Child),
];

fn find(name: &[u8]) -> Option<(&'static str, &'static str, Call)> {
    let (known, call) = TYPES.iter().find(|known| known.0.as_bytes() == name)?;
    let (module, class) = known.split_once('.')?;
    Some((module, class, *call))
}

/// Whether [`revive`] knows the type. That it gives back what was encoded is checked when the
/// value is drafted.
pub(super) fn is_known(name: &[u8]) -> bool {
    find(name).is_some()
}

/// The value of a named type.
pub(super) fn revive<'py>(name: &[u8], child: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = child.py();
    let unknown = || unreadable(format_args!("unknown type {}", String::from_utf8_lossy(name)));
    let (module, name, call) = find(name).ok_or_else(unknown)?;
    let class = py.import(module)?.getattr(name)?;
    if call == Call::Child {
        return class.call1((child,));
    }
    let arguments = child
        .cast::<PyTuple>()
        .map_err(|_| unreadable(format_args!("{name} without a tuple of arguments")))?;
    let Call::Keywords(names) = call else {
        return class.call1(arguments);
    };
    if names.len() != arguments.len() {
        return Err(unreadable(format_args!("{name} with too many or too few arguments")));
    }
    let keywords = PyDict::new(py);
    for (name, argument) in names.iter().zip(arguments) {
        keywords.set_item(name, argument)?;
    }
    class.call((), Some(&keywords))
}
