//! Which binding does a name mean? Python's scoping rules over one definition.
//!
//! The whole definition is read first ([`build`]), because a name is local to a function wherever
//! in it the assignment stands. Then every use can be resolved, and it is known which bindings can be
//! renamed without anybody seeing it.
//!
//! The rules, each with the case that is easily got wrong:
//!
//! * A function's parameters, assignments, imports, captures and bare annotations are its locals,
//!   in the whole of its body: a load before the assignment is an error, never the global.
//! * A class body encloses nothing. Its methods do not see its names; it falls through to the
//!   *global* for a name that it binds only later: `n = n` in a class reads the global `n`.
//! * A comprehension is a function, but its first iterable is evaluated around it: in
//!   `[a for a in a]` the last `a` is another one. `:=` in it binds around it.
//! * Defaults, decorators and bases are evaluated around the function or class; bounds of type
//!   parameters and bases of generic classes in a scope between.
//! * `global` and `nonlocal` outweigh every binding of their scope; a `global` also holds for the
//!   functions inside that only read the name.
//! * An exception name, a `with` target, a pattern's capture and a deleted name are bindings.
//! * Private names are mangled by the innermost class around, inside functions too.
//!
//! A binding can be renamed only where its scope is a function or comprehension and no list in
//! [`crate::visible`] says that somebody may look. Being wrong here is being stale: two different
//! programs would share one digest. So the default for everything unknown is to keep the name.

mod build;
mod uses;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ruff_text_size::TextSize;

pub(crate) use build::Builder;
use uses::Use;

use crate::definition::{LocalImport, OpaqueKind};
use crate::visible::mangle;

/// Index of a scope, in order of appearance. Zero is everything around the definition.
pub(crate) type ScopeId = usize;

/// The scope around the definition, where every name is free.
pub(crate) const OUTSIDE: ScopeId = 0;

/// What opened a scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ScopeKind {
    /// Around the definition.
    Outside,
    /// A function or lambda.
    Function,
    /// All of a comprehension but its first iterable.
    Comprehension,
    /// The body of a class: the one kind that functions inside it cannot see.
    Class,
    /// The type parameters of a function, class or alias.
    TypeParameters,
}

/// How a scope holds a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Held {
    /// Bound here.
    Local,
    /// Declared `global`.
    Global,
    /// Declared `nonlocal`.
    Nonlocal,
}

/// A name in a scope.
#[derive(Debug)]
struct Binding {
    held: Held,
    /// Position among the names of its scope, by first binding.
    index: usize,
    /// The name can be seen: of a function, a class, a type parameter.
    kept: bool,
    /// Callers may pass it by its name.
    parameter: bool,
    /// Bound by an import.
    imported: bool,
    /// Bound whenever the end of the scope is reached, so a later load cannot fall through.
    certain: bool,
    /// The scope of the function or lambda bound to it.
    callee: Option<ScopeId>,
    /// Number of statements that bind it, `nonlocal` ones included.
    stores: usize,
    /// Used otherwise than in calls with positional arguments.
    escapes: bool,
}

/// One scope.
#[derive(Debug)]
struct Scope {
    kind: ScopeKind,
    /// The scope around, also where that is a class whose names are not seen from here.
    parent: ScopeId,
    /// The class whose name mangles private names here.
    class: Option<String>,
    /// Mangled names that it holds.
    names: BTreeMap<String, Binding>,
    /// Every call is known to pass arguments by position.
    positional: bool,
}

/// Where a name is bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resolved {
    /// Outside the definition.
    Free,
    /// In this scope of the definition.
    Local(ScopeId),
}

/// How a name is written in the encoding.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Spelling {
    /// By itself: bound outside the definition.
    Free(String),
    /// A local whose name somebody may see.
    Named(ScopeId, String),
    /// A local that nobody can tell by its name.
    Numbered(ScopeId, usize),
}

/// Everything that is known of the names of one definition.
pub(crate) struct Scopes {
    scopes: Vec<Scope>,
    /// Address of the node that opens a scope, while the tree is borrowed. Never enters a digest.
    by_node: HashMap<usize, ScopeId>,
    uses: Vec<Use>,
    /// Import statements, by what their names are reached as.
    pub(crate) imports: Vec<LocalImport>,
    /// Calls that cannot be followed for what they are given; names such as `eval` are found among
    /// the uses.
    opaque: Vec<(TextSize, OpaqueKind)>,
    /// Somebody may look locals up by name: nothing is renamed.
    reads_locals: bool,
    /// Docstrings are read by the code itself.
    pub(crate) reads_docstrings: bool,
    /// Docstrings and annotations of what is reached are read.
    pub(crate) reads_definitions: bool,
    /// Names of attributes.
    pub(crate) attributes: BTreeSet<String>,
    /// The arguments of the program are parsed.
    pub(crate) parses_arguments: bool,
    /// Docstrings and annotations count everywhere.
    pub(crate) shown: bool,
    /// Words in texts that are handed to functions: they may name a variable.
    words: HashSet<String>,
}

/// The address of a node, its identity while the tree is borrowed.
fn address<T>(node: &T) -> usize {
    std::ptr::from_ref(node).addr()
}

impl Scopes {
    /// The scope that a node opens; the current one if it opens none.
    pub(crate) fn opened_by<T>(&self, node: &T, current: ScopeId) -> ScopeId {
        self.by_node.get(&address(node)).copied().unwrap_or(current)
    }

    pub(crate) fn kind(&self, scope: ScopeId) -> ScopeKind {
        self.scopes[scope].kind
    }

    /// A name as stored from inside a scope.
    pub(crate) fn mangle(&self, scope: ScopeId, name: &str) -> String {
        mangle(name, self.scopes[scope].class.as_deref())
    }

    /// Finds the binding of a mangled name, by the rules of the language: class bodies enclose
    /// nothing but themselves and, directly in them, expressions among type parameters.
    pub(crate) fn resolve(&self, from: ScopeId, name: &str) -> Resolved {
        let mut at = from;
        let mut sees_class = true;
        while at != OUTSIDE {
            let scope = &self.scopes[at];
            let visible = scope.kind != ScopeKind::Class || sees_class;
            match scope.names.get(name).filter(|_| visible).map(|binding| binding.held) {
                Some(Held::Local) => return Resolved::Local(at),
                Some(Held::Global) => return Resolved::Free,
                // A class body that declares `nonlocal` and a function alike look further out.
                Some(Held::Nonlocal) | None => {}
            }
            sees_class = at == from && scope.kind == ScopeKind::TypeParameters;
            at = scope.parent;
        }
        Resolved::Free
    }

    /// Whether `__class__` from here is the implicit cell of a class inside the definition.
    fn is_class_cell(&self, from: ScopeId, name: &str) -> bool {
        let mut at = from;
        while name == "__class__" && at != OUTSIDE {
            if self.scopes[at].kind == ScopeKind::Class {
                return true;
            }
            at = self.scopes[at].parent;
        }
        false
    }

    /// How a name used in a scope is encoded.
    pub(crate) fn spelling(&self, from: ScopeId, name: &str) -> Spelling {
        let name = self.mangle(from, name);
        match self.resolve(from, &name) {
            Resolved::Free => Spelling::Free(name),
            Resolved::Local(owner) => match self.number(owner, &name) {
                Some(index) => Spelling::Numbered(owner, index),
                None => Spelling::Named(owner, name),
            },
        }
    }

    /// The number that stands for a local, if nobody can see its name.
    fn number(&self, owner: ScopeId, name: &str) -> Option<usize> {
        let scope = &self.scopes[owner];
        let binding = scope.names.get(name)?;
        let anonymous = matches!(scope.kind, ScopeKind::Function | ScopeKind::Comprehension);
        let seen = self.reads_locals
            || binding.kept
            || (binding.parameter && !scope.positional)
            || name.starts_with("__")
            || self.words.contains(name);
        (anonymous && !seen).then_some(binding.index)
    }
}
