//! The answer: one definition, its fingerprint and what it can reach.

use std::collections::BTreeSet;

use thrifty_key::Digest;

/// One function, class, lambda or module-level assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition<'m> {
    /// Digest of the normalised tree, as `docs/formats/code.md` says. It tells nothing of what the
    /// references mean: the same text in two modules has one digest.
    pub digest: Digest,
    /// Names that are not the definition's own, sorted, each path once. Builtins are among them, for a
    /// module may have put another object under their name.
    pub references: Vec<Reference>,
    /// Names, with their attributes, that stand in texts which something looks variables up in, as in
    /// `df.query("a > @LIMIT")`; sorted, each once. One that the module does not bind is no name but
    /// a word, or a column.
    pub in_texts: Vec<Reference>,
    /// The names of all attributes that it reads or sets, of whatever objects: something may be registered
    /// under one.
    pub attributes: BTreeSet<String>,
    /// The source, from the first decorator on, for showing differences.
    pub text: &'m str,
    /// Line where `text` begins, from 1.
    pub first_line: u32,
    /// Imports inside the definition, sorted, each once.
    pub imports: Vec<LocalImport>,
    /// What cannot be followed by reading, in order of lines.
    pub opaque: Vec<Opaque>,
    /// It may read docstrings or annotations of what it reaches, or hand it to something that does:
    /// then [`crate::Module::shown`] gives the digests that count.
    pub reads_definitions: bool,
    /// It calls what parses the arguments of the program where it is given no others, as
    /// `parser.parse_args()`.
    pub parses_arguments: bool,
}

/// A free name and the chain of attributes read from it: `np.linalg.norm(x)` gives
/// `["np", "linalg", "norm"]`.
///
/// Names are mangled as the interpreter does: `__x` inside class `C` is `_C__x`. The consumer
/// follows the path as far as its objects have a digest of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The name, then the attributes; never empty.
    pub path: Vec<String>,
}

/// An import statement inside a definition. References made through it are in
/// [`Definition::references`] under the name it binds.
///
/// One name may be both imported here in one scope and free in another: then both hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalImport {
    /// The module as written, without leading dots; none in `from . import x`.
    pub module: Option<String>,
    /// Number of leading dots; 0 is absolute.
    pub level: u32,
    /// The name taken out of the module by `from … import name`; `*` takes all.
    pub name: Option<String>,
    /// What the imported thing is reached by. `import a.b` without `as` binds `a`, but `a.b` is how
    /// the module is reached, and so is given here: dotted.
    pub bound_as: String,
}

/// One place that reading the source cannot follow. What it reaches is not in the references, so a
/// change there can go unnoticed: whoever uses the digest should tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opaque {
    /// Line, from 1.
    pub line: u32,
    /// What stands there.
    pub kind: OpaqueKind,
}

/// Why a place cannot be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpaqueKind {
    /// `eval`.
    Eval,
    /// `exec`.
    Exec,
    /// `__import__`.
    DunderImport,
    /// `importlib.import_module`, under whatever name it was imported from `importlib`.
    ImportlibImport,
    /// `getattr` with a name that is not a literal.
    GetattrDynamic,
    /// `globals`.
    GlobalsCall,
    /// Local variables by name: `locals()`, `vars()` or `dir()` without argument, or a stack frame.
    LocalsByName,
    /// A function or method that looks names up in a text, handed one that the source does not show.
    NamesInText(&'static str),
}

impl OpaqueKind {
    /// The function that hides what is reached.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eval => "eval",
            Self::Exec => "exec",
            Self::DunderImport => "__import__",
            Self::ImportlibImport => "import_module",
            Self::GetattrDynamic => "getattr",
            Self::GlobalsCall => "globals",
            Self::LocalsByName => "locals",
            Self::NamesInText(reader) => reader,
        }
    }
}
