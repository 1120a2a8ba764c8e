//! Finding definitions in a tree: by line, by qualified name, by module-level assignment.
//!
//! A running function says where it came from by `co_firstlineno` and `co_name`, a class only by
//! its `__qualname__`. Neither need be unique: two lambdas may share a line, the branches of an `if`
//! may define the same class. So a search gives all candidates, and the caller decides whether
//! they are one and the same.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_text_size::{Ranged, TextSize};

use crate::lines::Lines;
use crate::normalise::Subject;

/// A definition, with the class that mangles private names around it.
pub(crate) struct Found<'a> {
    pub(crate) subject: Subject<'a>,
    /// The innermost class around, also if functions are between.
    pub(crate) class: Option<&'a str>,
    /// Where its text begins.
    pub(crate) start: TextSize,
}

/// Where a definition begins: with its first decorator, as `co_firstlineno` has it.
pub(crate) fn start_of(statement: &Stmt) -> TextSize {
    let decorators = match statement {
        Stmt::FunctionDef(function) => &function.decorator_list,
        Stmt::ClassDef(class) => &class.decorator_list,
        _ => return statement.start(),
    };
    decorators.first().map_or(statement.start(), Ranged::start).min(statement.start())
}

/// All definitions of a name that begin at a line, in order.
pub(crate) fn at_line<'a>(
    body: &'a [Stmt],
    lines: &Lines,
    line: u32,
    name: &str,
) -> Vec<Found<'a>> {
    let mut finder = AtLine { lines, line, name, class: None, found: Vec::new() };
    finder.visit_body(body);
    finder.found
}

/// Walks to a line, through whatever covers it, lambdas in defaults and decorators included.
struct AtLine<'a, 'q> {
    lines: &'q Lines,
    line: u32,
    name: &'q str,
    class: Option<&'a str>,
    found: Vec<Found<'a>>,
}

impl AtLine<'_, '_> {
    /// Whether the line is within; everything else is passed over.
    fn covers(&self, start: TextSize, end: TextSize) -> bool {
        self.lines.line(start) <= self.line && self.line <= self.lines.line(end)
    }
}

impl<'a> Visitor<'a> for AtLine<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        let start = start_of(statement);
        if !self.covers(start, statement.end()) {
            return;
        }
        let (name, class) = match statement {
            Stmt::FunctionDef(function) => (function.name.as_str(), self.class),
            Stmt::ClassDef(class) => (class.name.as_str(), Some(class.name.as_str())),
            _ => return visitor::walk_stmt(self, statement),
        };
        if name == self.name && self.lines.line(start) == self.line {
            let subject = Subject::Statement(statement);
            self.found.push(Found { subject, class: self.class, start });
        }
        let outer = std::mem::replace(&mut self.class, class);
        visitor::walk_stmt(self, statement);
        self.class = outer;
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if !self.covers(expression.start(), expression.end()) {
            return;
        }
        let here = self.lines.line(expression.start()) == self.line;
        if here && expression.is_lambda_expr() && self.name == "<lambda>" {
            let (subject, start) = (Subject::Expression(expression), expression.start());
            self.found.push(Found { subject, class: self.class, start });
        }
        visitor::walk_expr(self, expression);
    }
}

/// The innermost lambda whose body holds a place.
pub(crate) fn lambda_around(body: &[Stmt], place: TextSize) -> Option<Found<'_>> {
    let mut finder = Around { place, class: None, found: None };
    finder.visit_body(body);
    finder.found
}

/// Walks down to a place; what is found further down is further in.
struct Around<'a> {
    place: TextSize,
    class: Option<&'a str>,
    found: Option<Found<'a>>,
}

impl<'a> Visitor<'a> for Around<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        if !(start_of(statement)..statement.end()).contains(&self.place) {
            return;
        }
        let outer = self.class;
        if let Stmt::ClassDef(class) = statement {
            self.class = Some(class.name.as_str());
        }
        visitor::walk_stmt(self, statement);
        self.class = outer;
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Lambda(lambda) = expression
            && lambda.body.range().contains(self.place)
        {
            let (subject, start) = (Subject::Expression(expression), expression.start());
            self.found = Some(Found { subject, class: self.class, start });
        }
        visitor::walk_expr(self, expression);
    }
}

/// All classes of a qualified name, in order.
pub(crate) fn classes<'a>(body: &'a [Stmt], name: &str) -> Vec<Found<'a>> {
    let mut finder = Classes { name, path: String::new(), class: None, found: Vec::new() };
    finder.visit_body(body);
    finder.found
}

/// Builds qualified names on its way down, as the interpreter does: `f.<locals>.C`.
struct Classes<'a, 'q> {
    name: &'q str,
    /// The qualified name of what is around, with the dot that ends it.
    path: String,
    class: Option<&'a str>,
    found: Vec<Found<'a>>,
}

impl<'a> Classes<'a, '_> {
    /// Searches a body whose names are prefixed by `name`, if what is looked for can be in it.
    fn enter(&mut self, name: &str, class: Option<&'a str>, body: &'a [Stmt]) {
        let (length, outer) = (self.path.len(), self.class);
        self.path.push_str(name);
        if self.name.starts_with(&self.path) {
            self.class = class;
            self.visit_body(body);
        }
        self.path.truncate(length);
        self.class = outer;
    }
}

impl<'a> Visitor<'a> for Classes<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                let name = format!("{}.<locals>.", function.name);
                self.enter(&name, self.class, &function.body);
            }
            Stmt::ClassDef(class) => {
                if self.name.strip_prefix(&self.path) == Some(class.name.as_str()) {
                    let (subject, start) = (Subject::Statement(statement), start_of(statement));
                    self.found.push(Found { subject, class: self.class, start });
                }
                let name = format!("{}.", class.name);
                self.enter(&name, Some(&class.name), &class.body);
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    /// No class stands in an expression.
    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// All assignments to a name at module level, conditional ones included, in order.
pub(crate) fn assignments<'a>(body: &'a [Stmt], name: &str) -> Vec<&'a Stmt> {
    let mut finder = Assignments { name, found: Vec::new() };
    finder.visit_body(body);
    finder.found
}

/// Walks the statements of a module, those under conditions included, but into no function or class:
/// a name that is assigned there is another one.
struct Assignments<'a, 'q> {
    name: &'q str,
    found: Vec<&'a Stmt>,
}

impl Assignments<'_, '_> {
    /// Whether a target assigns the name itself: `x.a = 1` and `x[0] = 1` do not.
    fn binds(&self, target: &Expr) -> bool {
        match target {
            Expr::Name(name) => name.id.as_str() == self.name,
            Expr::Starred(starred) => self.binds(&starred.value),
            Expr::Tuple(ast::ExprTuple { elts, .. }) | Expr::List(ast::ExprList { elts, .. }) => {
                elts.iter().any(|element| self.binds(element))
            }
            _ => false,
        }
    }
}

impl<'a> Visitor<'a> for Assignments<'a, '_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        let binds = match statement {
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => return,
            Stmt::Assign(assign) => assign.targets.iter().any(|target| self.binds(target)),
            Stmt::AnnAssign(assign) => assign.value.is_some() && self.binds(&assign.target),
            Stmt::AugAssign(assign) => self.binds(&assign.target),
            _ => return visitor::walk_stmt(self, statement),
        };
        if binds {
            self.found.push(statement);
        }
    }

    /// An assignment inside an expression gives no value of its own to show.
    fn visit_expr(&mut self, _: &'a Expr) {}
}

/// What an assignment assigns.
pub(crate) fn assigned(statement: &Stmt) -> Option<&Expr> {
    match statement {
        Stmt::Assign(assign) => Some(&assign.value),
        Stmt::AnnAssign(assign) => assign.value.as_deref(),
        Stmt::AugAssign(assign) => Some(&assign.value),
        _ => None,
    }
}
