//! What is said of a value that has no digest.

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;

/// The result of encoding a part of a value.
pub(super) type Outcome<T = ()> = Result<T, Unhashable>;

/// A value, or a part of one, that has no digest.
#[derive(Debug)]
pub struct Unhashable {
    /// The way from the argument to the part, beginning with the name the caller gave the
    /// argument: `model.cfg["hook"][3]`.
    pub path: String,
    /// The qualified name of the type of the part, and the name of a function or class.
    pub type_name: String,
    /// Why it has none.
    pub reason: Reason,
}

/// Why a value has no digest.
#[derive(Debug)]
pub enum Reason {
    /// It is used up by being read: a generator, an open file, another iterator.
    Iterator,
    /// It stands for code of the project, whose digest the caller could not give.
    Code,
    /// A type without a rule whose own state would not be canonical, or not all of its value;
    /// with what to do instead.
    Refused(&'static str),
    /// A column of an Arrow type without a rule, by the text of the type.
    Layout(String),
    /// The chunks of an Arrow column refer to different dictionaries.
    Dictionaries,
    /// Nested deeper than [`super::DEPTH`].
    Depth,
    /// More than [`super::NODES`] parts.
    Size,
    /// Its reduce method gives items without a known end.
    Endless,
    /// Its parts refer to each other in so many cycles that they cannot be put in order.
    Entangled,
    /// It changed while it was read.
    Changed,
    /// A way leads from what its digest hook gives back to the value.
    Circular,
    /// What happened to the digest hook of its type, and the exception for it.
    Hook {
        /// The name of the hook and what it did.
        what: String,
        /// Why.
        error: Box<PyErr>,
    },
    /// It cannot be taken apart: its own code raised this.
    Raised(Box<PyErr>),
}

impl Unhashable {
    pub(super) fn new(value: &Bound<'_, PyAny>, reason: Reason) -> Self {
        let class = value.get_type();
        let type_name = crate::shown::class_name(&class).unwrap_or_else(|_| "?".to_owned());
        Self { path: String::new(), type_name, reason }
    }

    /// Code of the project that has no digest, by its name.
    pub(super) fn code(object: &Bound<'_, PyAny>, name: &str) -> Self {
        let mut unhashable = Self::new(object, Reason::Code);
        unhashable.type_name = format!("{} {name}", unhashable.type_name);
        unhashable
    }

    pub(super) fn raised(value: &Bound<'_, PyAny>, error: PyErr) -> Self {
        Self::new(value, Reason::Raised(Box::new(error)))
    }

    /// The same, seen from the object that holds the part under `step`.
    pub(super) fn below(mut self, step: &str) -> Self {
        self.path.insert_str(0, step);
        self
    }

    /// Whether the user's program is being ended (Ctrl-C, `sys.exit`), which must not be
    /// reported as a fault of the value.
    pub fn is_interrupt(&self, py: Python<'_>) -> bool {
        let (Reason::Raised(error) | Reason::Hook { error, .. }) = &self.reason else {
            return false;
        };
        !error.is_instance_of::<PyException>(py)
    }

    /// A `TypeError` with [`Unhashable::message`], caused by what the value raised; or what ends
    /// the user's program (Ctrl-C, `sys.exit`) as it is.
    pub fn into_error(self, py: Python<'_>) -> PyErr {
        let interrupt = self.is_interrupt(py);
        let error = PyTypeError::new_err(self.message());
        match self.reason {
            Reason::Raised(cause) | Reason::Hook { error: cause, .. } => {
                if interrupt {
                    return *cause;
                }
                error.set_cause(py, Some(*cause));
            }
            _ => {}
        }
        error
    }

    /// One sentence: the thing, the place, and the ways out.
    pub fn message(&self) -> String {
        let parameter: String = self
            .path
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        format!(
            "cannot hash {}: {}: {}; pass a plain value instead, say how to hash it with \
             Annotated[T, HashMethod(f)] or thrifty.register(T, digest=f), or leave it out of the \
             key with ignore=(\"{parameter}\",)",
            elided(&self.path),
            self.type_name,
            self.reason.text(),
        )
    }
}

/// A path with its middle left out if it is too long to read.
fn elided(path: &str) -> String {
    const END: usize = 60;
    let letters: Vec<char> = path.chars().collect();
    if letters.len() <= 2 * END {
        return path.to_owned();
    }
    let start: String = letters[..END].iter().collect();
    let end: String = letters[letters.len() - END..].iter().collect();
    format!("{start}…{end}")
}

impl Reason {
    fn text(&self) -> String {
        match self {
            Self::Iterator => "it is used up by being read".to_owned(),
            Self::Code => "it stands for code that cannot be followed".to_owned(),
            Self::Refused(way) => format!("it has no exact rule: {way}"),
            Self::Layout(format) => {
                format!("a column of the Arrow type {format:?} has no exact rule: cast it")
            }
            Self::Dictionaries => {
                "its chunks refer to different dictionaries: call unify_dictionaries()".to_owned()
            }
            Self::Depth => format!("it is nested deeper than {} levels", super::DEPTH),
            Self::Size => format!("it has more than {} parts", super::NODES),
            Self::Endless => format!(
                "it gives more than {} items, one by one, and no number of them is known",
                super::reduce::UNCOUNTED
            ),
            Self::Entangled => "its parts refer to each other in too many cycles".to_owned(),
            Self::Changed => "it changed while it was read".to_owned(),
            Self::Circular => "what its digest hook gives leads back to it".to_owned(),
            Self::Hook { what, error } => format!("its digest hook {what}: {error}"),
            Self::Raised(error) => error.to_string(),
        }
    }
}
