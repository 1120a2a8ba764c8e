//! What a module binds at its top level, and how surely its text says so.
//!
//! A module may be loaded or not when a key is made, and the key must be the same. So whoever
//! follows names asks the text first, and the live module only where the text leaves a doubt. An
//! [`Outline`] is the text's answer, one [`Binding`] a name:
//!
//! ```
//! use thrifty_source::Module;
//! use thrifty_source::outline::Binding;
//!
//! let module = Module::parse("import numpy as np\nRATE = 0.5 * 3.0\nif RATE: MODE = 1\n")?;
//! let names = &module.outline().names;
//! assert_eq!(names["np"], Binding::Module("numpy".to_owned()));
//! assert!(matches!(names["RATE"], Binding::Literal { mutable: false, .. }));
//! assert_eq!(names["MODE"], Binding::Undecided);
//! # Ok::<(), thrifty_source::ParseError>(())
//! ```
//!
//! Being wrong here is being stale, for a module that is not loaded is believed by its text alone.
//! So a name is decided only if one statement, directly in the body of the module, binds it, and
//! nothing else in the text can bind it again or change its value:
//!
//! * no second assignment, loop, `with`, `except`, capture of a pattern or `:=`, whatever its
//!   condition, and no `global` in a function, called or not;
//! * no `from … import *` behind it, which may bring the same name (`local_settings` does);
//! * no `exec`, no `globals()` and no `sys.modules[…]`, which bind names that no text shows;
//! * of a list, dict or set: no change in place, and no other mention while the module is
//!   imported, for whoever is handed it then may change it.
//!
//! What another module puts into this one can only be seen in the live module.

mod bound;
mod changes;

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{Expr, Stmt, StmtClassDef, StmtFunctionDef, StmtImport, StmtImportFrom};
use ruff_text_size::Ranged;
use thrifty_key::Digest;

use crate::find::start_of;
use crate::lines::Lines;
use crate::literal::Literal;
use bound::Bound;
use changes::Changes;

/// What one name of a module or class is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Binding {
    /// A `def`, with or without `async`.
    Function {
        /// Line of its first decorator, or of the `def`, from 1: the `co_firstlineno` of its code.
        line: u32,
        /// The dotted name of each decorator, called or not, from the top; empty for one that is
        /// another expression.
        decorators: Vec<String>,
    },
    /// A `class`.
    Class {
        /// What makes or changes it besides its body: the dotted name of each decorator and of the
        /// metaclass; an empty one for another expression, also as a base, for another keyword,
        /// and if the module assigns attributes of it.
        makers: Vec<String>,
    },
    /// A value that the text decides.
    Literal {
        /// The digest that the live value has as well.
        digest: Digest,
        /// The digest of the order of keys in its dicts, which the other does not have; none if there
        /// is none.
        order: Option<Digest>,
        /// A list, dict or set, or a tuple with one in it: the live value may have changed.
        mutable: bool,
        /// The expression as it stands in the source.
        text: String,
    },
    /// The module of this absolute name: `import a.b as x` gives `a.b`. Without `as`, `import a.b`
    /// binds the first package, `a`.
    Module(String),
    /// `from … import name`: an attribute of the module, or a submodule of that name.
    Member {
        /// Where it is taken from.
        from: FromModule,
        /// Its name there; the name that is bound here may be another.
        name: String,
    },
    /// Bound more than once, under a condition or by an expression: only the live module knows.
    Undecided,
}

/// The module that a `from` import names, as written: relative to the package of the importer
/// where it begins with dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromModule {
    /// The name behind the dots; none in `from . import x`.
    pub module: Option<String>,
    /// Number of leading dots; 0 is absolute.
    pub level: u32,
}

/// The bindings of one module.
#[derive(Debug, Default)]
pub struct Outline {
    /// Names of the module. One that is bound only by a star import, or under
    /// `if TYPE_CHECKING:`, is not among them.
    pub names: HashMap<String, Binding>,
    /// Names of the module that are bound under `if TYPE_CHECKING:`, for annotations.
    pub typed: HashSet<String>,
    /// Modules of `from … import *` in the body of the module, in order: a later one outweighs.
    pub stars: Vec<FromModule>,
    /// Names in the bodies of classes, by the qualified name of the class. Classes in functions
    /// are made by calls and are not here.
    pub classes: HashMap<String, HashMap<String, Binding>>,
    /// Defaults of the functions and methods of the module, by first line and name.
    pub defaults: HashMap<(u32, String), Defaults>,
}

/// Defaults of the parameters of a function; none for a value that the text does not decide.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// In the order of `__defaults__`: of the last positional parameters.
    pub positional: Vec<Option<Digest>>,
    /// Of keyword-only parameters, by name, as in `__kwdefaults__`.
    pub keyword: Vec<(String, Option<Digest>)>,
}

impl Outline {
    /// Reads the outline of a parsed module.
    pub(crate) fn of(text: &str, body: &[Stmt], lines: &Lines) -> Self {
        let mut changes = Changes::default();
        changes.visit_body(body);
        let mut reader =
            Reader { text, lines, changes, outline: Self::default(), known: HashMap::new() };
        let names = reader.body(body, "");
        reader.outline.names = names;
        for (name, binding) in &mut reader.outline.names {
            if reader.changes.undo(name, binding) {
                *binding = Binding::Undecided;
            } else if let Binding::Class { makers } = binding
                && reader.changes.assigns_to(name)
            {
                makers.push(String::new());
            }
        }
        reader.outline
    }
}

/// The body of the module or of a class, read so far.
struct Scope<'c> {
    /// The qualified name of the class; empty for the module.
    class: &'c str,
    /// What the statements so far bound.
    names: HashMap<String, Binding>,
}

/// A name that a statement binds for sure.
struct Sure {
    name: String,
    binding: Binding,
    /// What it is, for the statements behind it.
    value: Option<Literal>,
}

impl Sure {
    fn new(name: &str, binding: Binding) -> Self {
        Self { name: name.to_owned(), binding, value: None }
    }
}

/// Reads bodies from top to bottom, as they run.
struct Reader<'t> {
    text: &'t str,
    lines: &'t Lines,
    changes: Changes,
    outline: Outline,
    /// Values that names of the module have at this point of its body, whatever happens.
    known: HashMap<String, Literal>,
}

impl Reader<'_> {
    /// The names of a body, in which one statement may undo what another one bound.
    fn body(&mut self, body: &[Stmt], class: &str) -> HashMap<String, Binding> {
        let names = HashMap::new();
        let mut scope = Scope { class, names };
        for statement in body {
            self.statement(statement, &mut scope);
        }
        scope.names
    }

    /// One statement: what it binds for sure, then what it may bind besides.
    fn statement(&mut self, statement: &Stmt, scope: &mut Scope<'_>) {
        let mut bound = Bound::by(statement);
        if scope.class.is_empty() {
            self.outline.typed.extend(std::mem::take(&mut bound.typed));
        }
        for sure in self.sure(statement, scope) {
            bound.names.remove(&sure.name);
            self.bind(scope, sure);
        }
        for name in bound.names {
            self.known.remove(&name);
            scope.names.insert(name, Binding::Undecided);
        }
        for name in bound.caught {
            self.known.remove(&name);
            if let Some(binding) = scope.names.get_mut(&name) {
                *binding = Binding::Undecided;
            }
        }
        if bound.star {
            self.star(statement, scope);
        }
    }

    /// The names of which the statement itself says what they are.
    fn sure(&mut self, statement: &Stmt, scope: &Scope<'_>) -> Vec<Sure> {
        match statement {
            Stmt::FunctionDef(function) => vec![self.function(statement, function, scope)],
            Stmt::ClassDef(class) => vec![self.class(class, scope)],
            Stmt::Assign(assign) => match assign.targets.as_slice() {
                [Expr::Name(name)] => vec![self.assigned(&name.id, &assign.value, scope)],
                _ => Vec::new(),
            },
            Stmt::AnnAssign(assign) => match (&*assign.target, &assign.value) {
                (Expr::Name(name), Some(value)) => vec![self.assigned(&name.id, value, scope)],
                _ => Vec::new(),
            },
            Stmt::Import(import) => imported(import),
            Stmt::ImportFrom(import) => imported_from(import),
            _ => Vec::new(),
        }
    }

    /// Binds a name. Bound before to something else, it is undecided; a module may be imported
    /// twice.
    fn bind(&mut self, scope: &mut Scope<'_>, sure: Sure) {
        let is_again = |before: &Binding| {
            *before == sure.binding && matches!(sure.binding, Binding::Module(_))
        };
        let is_only = scope.names.get(&sure.name).is_none_or(is_again);
        let binding = if is_only { sure.binding } else { Binding::Undecided };
        if scope.class.is_empty() {
            self.known.remove(&sure.name);
            let value = sure.value.filter(|value| is_only && value.is_constant());
            if let Some(value) = value.filter(|_| !self.changes.may_rebind(&sure.name)) {
                self.known.insert(sure.name.clone(), value);
            }
        }
        scope.names.insert(sure.name, binding);
    }

    /// A star import may bind every name again. Imports and decorated functions stay, for their live
    /// objects often have no digest, and are compared with the text wherever the module is loaded.
    fn star(&mut self, statement: &Stmt, scope: &mut Scope<'_>) {
        self.known.clear();
        for binding in scope.names.values_mut() {
            let stays = match binding {
                Binding::Function { decorators, .. } => !decorators.is_empty(),
                Binding::Module(_) | Binding::Member { .. } => true,
                Binding::Class { .. } | Binding::Literal { .. } | Binding::Undecided => false,
            };
            if !stays {
                *binding = Binding::Undecided;
            }
        }
        if let Stmt::ImportFrom(import) = statement {
            self.outline.stars.push(source_of(import));
        }
    }

    /// A function with its defaults, which are evaluated here and now.
    fn function(
        &mut self,
        statement: &Stmt,
        function: &StmtFunctionDef,
        scope: &Scope<'_>,
    ) -> Sure {
        let line = self.lines.line(start_of(statement));
        let defaults = self.defaults(function, scope);
        let key = (line, function.name.to_string());
        self.outline.defaults.insert(key, defaults);
        let decorators = function.decorator_list.iter();
        let decorators = decorators.map(|one| dotted(&one.expression)).collect();
        Sure::new(&function.name, Binding::Function { line, decorators })
    }

    /// A class, whose body runs here and now and whose names are kept apart.
    fn class(&mut self, class: &StmtClassDef, scope: &Scope<'_>) -> Sure {
        let name = match scope.class {
            "" => class.name.to_string(),
            outer => format!("{outer}.{}", class.name),
        };
        let attributes = self.body(&class.body, &name);
        self.outline.classes.insert(name, attributes);
        let decorators = class.decorator_list.iter().map(|one| dotted(&one.expression));
        let keywords = class.arguments.iter().flat_map(|arguments| &arguments.keywords);
        let keywords = keywords.map(|keyword| match keyword.arg.as_deref() {
            Some("metaclass") => dotted(&keyword.value),
            _ => String::new(),
        });
        let bases = class.arguments.iter().flat_map(|arguments| &arguments.args);
        let bases = bases.filter(|base| !is_name(base)).map(|_| String::new());
        let makers = decorators.chain(keywords).chain(bases).collect();
        Sure::new(&class.name, Binding::Class { makers })
    }

    /// Defaults are evaluated where the function stands: in a method, among the names of the class.
    fn defaults(&self, function: &StmtFunctionDef, scope: &Scope<'_>) -> Defaults {
        let parameters = &function.parameters;
        let value = |default: &Expr| self.literal(default, scope)?.digest();
        let positional = parameters.posonlyargs.iter().chain(&parameters.args);
        Defaults {
            positional: positional.filter_map(|one| one.default.as_deref()).map(value).collect(),
            keyword: (parameters.kwonlyargs.iter())
                .filter_map(|one| Some((one.name().to_string(), value(one.default()?))))
                .collect(),
        }
    }

    /// `name = value`, with or without an annotation.
    fn assigned(&self, name: &str, value: &Expr, scope: &Scope<'_>) -> Sure {
        let literal = self.literal(value, scope);
        let binding = literal.as_ref().and_then(|literal| {
            Some(Binding::Literal {
                digest: literal.digest()?,
                order: literal.order(),
                mutable: literal.is_mutable(),
                text: self.text[value.range()].to_owned(),
            })
        });
        Sure {
            name: name.to_owned(),
            binding: binding.unwrap_or(Binding::Undecided),
            value: literal,
        }
    }

    /// The value of an expression in a body. A class has names of its own, of which it knows none
    /// by value.
    fn literal(&self, expression: &Expr, scope: &Scope<'_>) -> Option<Literal> {
        Literal::of(expression, &|name| {
            let is_own = !scope.class.is_empty() && scope.names.contains_key(name);
            self.known.get(name).filter(|_| !is_own)
        })
    }
}

/// What `import a.b, c as d` binds: `a` and `d`.
fn imported(import: &StmtImport) -> Vec<Sure> {
    let bound = |alias: &ruff_python_ast::Alias| match &alias.asname {
        Some(name) => Sure::new(name, Binding::Module(alias.name.to_string())),
        None => {
            let package = alias.name.split('.').next().unwrap_or_default();
            Sure::new(package, Binding::Module(package.to_owned()))
        }
    };
    import.names.iter().map(bound).collect()
}

/// What a `from` import binds; nothing that can be told for a star.
fn imported_from(import: &StmtImportFrom) -> Vec<Sure> {
    let named = import.names.iter().filter(|alias| &alias.name != "*");
    let bound = named.map(|alias| {
        let binding = Binding::Member { from: source_of(import), name: alias.name.to_string() };
        Sure::new(alias.asname.as_ref().unwrap_or(&alias.name), binding)
    });
    bound.collect()
}

/// The module that an import names, leading dots counted.
fn source_of(import: &StmtImportFrom) -> FromModule {
    FromModule { module: import.module.as_ref().map(ToString::to_string), level: import.level }
}

/// `a.b.c` of a decorator `@a.b.c(…)`; empty where the chain does not begin with a name.
fn dotted(expression: &Expr) -> String {
    match expression {
        Expr::Name(name) => name.id.to_string(),
        Expr::Attribute(attribute) => format!("{}.{}", dotted(&attribute.value), attribute.attr),
        Expr::Call(call) => dotted(&call.func),
        _ => String::new(),
    }
}

/// Whether a base is a name, with or without parameters: `a.B` or `a.B[T]`.
fn is_name(base: &Expr) -> bool {
    match base {
        Expr::Name(_) => true,
        Expr::Attribute(attribute) => is_name(&attribute.value),
        Expr::Subscript(subscript) => is_name(&subscript.value),
        _ => false,
    }
}

/// Whether a condition is `TYPE_CHECKING`, which no interpreter ever finds true.
fn is_type_checking(test: &Expr) -> bool {
    let name = dotted(test);
    name == "TYPE_CHECKING" || name.ends_with(".TYPE_CHECKING")
}
