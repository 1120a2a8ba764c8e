//! What does the code do? Python source to a fingerprint that layout and names of locals cannot move.
//!
//! [`Module`] is one parsed source text. It answers one question about the code objects of a
//! running program: *which definition is this, and what can it reach?* The answer is a
//! [`Definition`]: a digest over the normalised syntax tree, and every [`Reference`], a free name
//! with the attributes read from it. The caller holds the live objects, resolves the references
//! in them, and asks again for what it finds: that walk is not made here.
//!
//! The digest moves with everything that can change behaviour and, as far as that can be proved
//! from the text, with nothing else: not with comments, layout, docstrings, annotations of
//! parameters and locals, or names of locals that nobody can see. Where a proof fails the name
//! stays in: a needless rerun is an annoyance, a stale value is a fault. The rules and the encoding are
//! `docs/formats/code.md`; the encoding is our own, so neither the interpreter nor the parser's
//! version enters.
//!
//! The crate is pure: no I/O, no clock, no threads. Any text at all gets an answer or an error.
//!
//! ```
//! use thrifty_source::Module;
//!
//! let before = Module::parse("def area(r):\n    square = r * r\n    return math.pi * square\n")?;
//! let after = Module::parse("def area(r):  # a circle\n    s = r * r\n    return math.pi * s\n")?;
//! let before = before.definition_at(1, "area", &|_| false)?;
//! let after = after.definition_at(1, "area", &|_| false)?;
//! assert_eq!(before.digest, after.digest);
//! assert_eq!(before.references[0].path, ["math", "pi"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod definition;
mod depth;
mod error;
mod find;
mod lines;
mod literal;
mod logical;
mod module;
mod normalise;
pub mod outline;
mod scope;
mod visible;

pub use definition::{Definition, LocalImport, Opaque, OpaqueKind, Reference};
pub use error::{LookupError, ParseError};
pub use logical::{LogicalLine, logical_lines};
pub use module::Module;

/// The version of the encoding. It enters every digest; a change of the encoding raises it.
pub const FORMAT: u32 = 1;
