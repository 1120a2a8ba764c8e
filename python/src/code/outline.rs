//! What the text of a module binds at its top level, and how surely.

use std::collections::{HashMap, HashSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Decorator, Expr, ExprContext, Stmt, StmtImport, StmtImportFrom};
use ruff_text_size::{Ranged, TextSize};
use thrifty_key::Digest;

use super::literal::Literal;

/// What one name of a module is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Binding {
    /// A `def` at this line (of its first decorator), under these decorators (dotted names).
    Function { line: u32, decorators: Vec<String> },
    /// A `class`.
    Class,
    /// A value that the text decides.
    Literal {
        digest: Digest,
        mutable: bool,
        text: String,
    },
    /// `import a.b as x`; without `as`, the first package.
    Module(String),
    /// `from module import name`.
    Member { from: From, name: String },
    /// Bound more than once, under a condition or by an expression: only the live module knows.
    Undecided,
}

/// The module of a `from` import, as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct From {
    pub(super) module: Option<String>,
    pub(super) level: u32,
}

/// The bindings of one module.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Names of the module.
    pub(super) names: HashMap<String, Binding>,
    /// Modules of `from … import *`.
    pub(super) stars: Vec<From>,
    /// Names in the bodies of classes, by the qualified name of the class.
    pub(super) classes: HashMap<String, HashMap<String, Binding>>,
    /// Defaults of parameters, positional then keyword-only by name, where the text decides them;
    /// by first line and name of the function.
    pub(super) defaults: HashMap<(u32, String), Defaults>,
}

/// Defaults of a function; none where the value is not decided by the text.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub(super) positional: Vec<Option<Digest>>,
    pub(super) keyword: Vec<(String, Option<Digest>)>,
}

impl Outline {
    /// Reads the outline of a parsed module.
    pub(super) fn of(text: &str, body: &[Stmt]) -> Self {
        let mut reader = Reader {
            text,
            line_ends: text
                .bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(i, _)| i)
                .collect(),
            outline: Self::default(),
            known: HashMap::new(),
        };
        let names = reader.body(body, "");
        reader.outline.names = names;
        let mut changes = Changes::default();
        changes.visit_body(body);
        for (name, binding) in &mut reader.outline.names {
            let rebound = changes.rebound.contains(name);
            let is_mutable = matches!(binding, Binding::Literal { mutable: true, .. });
            if rebound || (is_mutable && changes.changed.contains(name)) {
                *binding = Binding::Undecided;
            }
        }
        reader.outline
    }
}

struct Reader<'t> {
    text: &'t str,
    line_ends: Vec<usize>,
    outline: Outline,
    known: HashMap<String, Literal>,
}

impl Reader<'_> {
    fn line(&self, at: TextSize) -> u32 {
        let line = self.line_ends.partition_point(|&end| end < at.to_usize());
        u32::try_from(line + 1).unwrap_or(u32::MAX)
    }

    fn body(&mut self, body: &[Stmt], class: &str) -> HashMap<String, Binding> {
        let mut names = HashMap::new();
        for statement in body {
            self.statement(statement, class, &mut names);
        }
        names
    }

    fn statement(&mut self, statement: &Stmt, class: &str, names: &mut HashMap<String, Binding>) {
        match statement {
            Stmt::FunctionDef(function) => {
                let line = self.first_line(
                    &function.decorator_list,
                    function.range.start(),
                    function.name.range.start(),
                );
                self.defaults(function, line);
                let decorators = function
                    .decorator_list
                    .iter()
                    .map(|d| dotted(&d.expression))
                    .collect();
                bind(
                    names,
                    &function.name,
                    Binding::Function { line, decorators },
                );
            }
            Stmt::ClassDef(inner) => {
                let name = if class.is_empty() {
                    inner.name.to_string()
                } else {
                    format!("{class}.{}", inner.name)
                };
                let attributes = self.body(&inner.body, &name);
                self.outline.classes.insert(name, attributes);
                bind(names, &inner.name, Binding::Class);
            }
            Stmt::Assign(assign) => match assign.targets.as_slice() {
                [Expr::Name(name)] => self.assigned(names, &name.id, &assign.value, class),
                targets => targets.iter().for_each(|target| unsure(names, target)),
            },
            Stmt::AnnAssign(assign) => match (&*assign.target, &assign.value) {
                (Expr::Name(name), Some(value)) => self.assigned(names, &name.id, value, class),
                (_, None) => {}
                (target, _) => unsure(names, target),
            },
            Stmt::Import(import) => imported(names, import),
            Stmt::ImportFrom(import) => self.imported_from(names, import),
            Stmt::If(branch) if is_type_checking(&branch.test) => {}
            Stmt::Expr(_) | Stmt::Pass(_) => {}
            other => {
                let mut bound = Bound::default();
                bound.visit_stmt(other);
                for name in bound.0 {
                    names.insert(name, Binding::Undecided);
                }
            }
        }
    }

    /// Where the interpreter says that a definition begins.
    fn first_line(&self, decorators: &[Decorator], start: TextSize, _name: TextSize) -> u32 {
        self.line(
            decorators
                .first()
                .map_or(start, |decorator| decorator.range().start()),
        )
    }

    fn defaults(&mut self, function: &ruff_python_ast::StmtFunctionDef, line: u32) {
        let parameters = &function.parameters;
        let value = |default: &Expr| Literal::of(default, &self.known)?.digest();
        let positional = parameters.posonlyargs.iter().chain(&parameters.args);
        let defaults = Defaults {
            positional: positional
                .filter_map(|p| p.default.as_deref())
                .map(value)
                .collect(),
            keyword: (parameters.kwonlyargs.iter())
                .filter_map(|p| Some((p.parameter.name.to_string(), value(p.default.as_deref()?))))
                .collect(),
        };
        self.outline
            .defaults
            .insert((line, function.name.to_string()), defaults);
    }

    fn assigned(
        &mut self,
        names: &mut HashMap<String, Binding>,
        name: &str,
        value: &Expr,
        class: &str,
    ) {
        let literal = Literal::of(value, &self.known);
        let binding = literal.as_ref().and_then(|literal| {
            Some(Binding::Literal {
                digest: literal.digest()?,
                mutable: literal.is_mutable(),
                text: self.text[value.range()].to_owned(),
            })
        });
        let first = bind(names, name, binding.unwrap_or(Binding::Undecided));
        match literal {
            Some(literal) if class.is_empty() && first && !literal.is_mutable() => {
                self.known.insert(name.to_owned(), literal);
            }
            _ if class.is_empty() => _ = self.known.remove(name),
            _ => {}
        }
    }

    fn imported_from(&mut self, names: &mut HashMap<String, Binding>, import: &StmtImportFrom) {
        let from = From {
            module: import.module.as_ref().map(ToString::to_string),
            level: import.level,
        };
        for alias in &import.names {
            if &alias.name == "*" {
                self.outline.stars.push(from.clone());
                continue;
            }
            let bound_as = alias.asname.as_ref().unwrap_or(&alias.name);
            let name = alias.name.to_string();
            bind(
                names,
                bound_as,
                Binding::Member {
                    from: from.clone(),
                    name,
                },
            );
        }
    }
}

fn imported(names: &mut HashMap<String, Binding>, import: &StmtImport) {
    for alias in &import.names {
        match &alias.asname {
            Some(bound_as) => _ = bind(names, bound_as, Binding::Module(alias.name.to_string())),
            None => {
                let package = alias.name.split('.').next().unwrap_or_default();
                bind(names, package, Binding::Module(package.to_owned()));
            }
        }
    }
}

/// Binds a name. Bound before to something else, it is undecided; returns whether it was not.
fn bind(names: &mut HashMap<String, Binding>, name: &str, binding: Binding) -> bool {
    match names.get_mut(name) {
        Some(before) if *before == binding && matches!(binding, Binding::Module(_)) => true,
        Some(before) => {
            *before = Binding::Undecided;
            false
        }
        None => {
            names.insert(name.to_owned(), binding);
            true
        }
    }
}

fn unsure(names: &mut HashMap<String, Binding>, target: &Expr) {
    let mut bound = Bound::default();
    bound.visit_expr(target);
    for name in bound.0 {
        names.insert(name, Binding::Undecided);
    }
}

/// `a.b.c` of a decorator `@a.b.c(…)`; empty for other expressions.
fn dotted(expr: &Expr) -> String {
    match expr {
        Expr::Name(name) => name.id.to_string(),
        Expr::Attribute(attribute) => format!("{}.{}", dotted(&attribute.value), attribute.attr),
        Expr::Call(call) => dotted(&call.func),
        _ => String::new(),
    }
}

fn is_type_checking(test: &Expr) -> bool {
    let name = dotted(test);
    name == "TYPE_CHECKING" || name.ends_with(".TYPE_CHECKING")
}

/// Names bound by a statement in the scope that it stands in.
#[derive(Default)]
struct Bound(HashSet<String>);

impl Visitor<'_> for Bound {
    fn visit_stmt(&mut self, statement: &Stmt) {
        match statement {
            Stmt::FunctionDef(function) => _ = self.0.insert(function.name.to_string()),
            Stmt::ClassDef(class) => _ = self.0.insert(class.name.to_string()),
            Stmt::Import(import) => {
                let mut names = HashMap::new();
                imported(&mut names, import);
                self.0.extend(names.into_keys());
            }
            Stmt::ImportFrom(import) => {
                let bound = import
                    .names
                    .iter()
                    .map(|alias| alias.asname.as_ref().unwrap_or(&alias.name));
                self.0.extend(bound.map(ToString::to_string));
            }
            _ => walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Name(name) if name.ctx == ExprContext::Store || name.ctx == ExprContext::Del => {
                self.0.insert(name.id.to_string());
            }
            Expr::Lambda(_) => {}
            _ => walk_expr(self, expr),
        }
    }
}

/// Names that some statement anywhere in the module rebinds or changes in place.
#[derive(Default)]
struct Changes {
    rebound: HashSet<String>,
    changed: HashSet<String>,
}

/// Methods of lists, dicts and sets that change them.
const CHANGING: [&str; 19] = [
    "append",
    "extend",
    "insert",
    "remove",
    "pop",
    "clear",
    "sort",
    "reverse",
    "update",
    "setdefault",
    "popitem",
    "add",
    "discard",
    "intersection_update",
    "difference_update",
    "symmetric_difference_update",
    "__setitem__",
    "__delitem__",
    "__ior__",
];

impl Visitor<'_> for Changes {
    fn visit_stmt(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Global(global) => self
                .rebound
                .extend(global.names.iter().map(ToString::to_string)),
            Stmt::AugAssign(assign) => {
                if let Expr::Name(name) = &*assign.target {
                    self.changed.insert(name.id.to_string());
                }
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expr: &Expr) {
        let changed = match expr {
            Expr::Subscript(subscript) if subscript.ctx != ExprContext::Load => {
                Some(&subscript.value)
            }
            Expr::Attribute(attribute) if CHANGING.contains(&attribute.attr.as_str()) => {
                Some(&attribute.value)
            }
            _ => None,
        };
        if let Some(root) = changed
            .map(|base| dotted(base))
            .filter(|name| !name.is_empty())
        {
            self.changed.insert(root);
        }
        walk_expr(self, expr);
    }
}
