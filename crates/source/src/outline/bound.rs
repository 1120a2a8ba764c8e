//! Names that a statement binds in the scope in which it stands, as one sees by looking at it from
//! outside: whether, and to what, is another question.

use std::collections::HashSet;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, ExceptHandler, Expr, ExprContext, Pattern, Stmt};

use super::is_type_checking;

/// What a statement may bind or unbind.
#[derive(Default)]
pub(super) struct Bound {
    /// Names that it may bind, or delete.
    pub(super) names: HashSet<String>,
    /// Names of caught exceptions: bound while the handler runs, and gone after it. They are no
    /// names of the module, but whatever had the name before is gone as well.
    pub(super) caught: HashSet<String>,
    /// It holds a `from … import *`, and so may bind any name.
    pub(super) star: bool,
    /// Names that only type checkers see.
    pub(super) typed: HashSet<String>,
}

impl Bound {
    /// All that a statement may bind, its branches and `:=` within its expressions included.
    pub(super) fn by(statement: &Stmt) -> Self {
        let mut bound = Self::default();
        bound.visit_stmt(statement);
        bound
    }

    /// Notes a name.
    fn add(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }
}

impl Visitor<'_> for Bound {
    fn visit_stmt(&mut self, statement: &Stmt) {
        match statement {
            Stmt::FunctionDef(function) => {
                self.add(&function.name);
                for decorator in &function.decorator_list {
                    self.visit_decorator(decorator);
                }
                self.visit_parameters(&function.parameters);
            }
            Stmt::ClassDef(class) => {
                self.add(&class.name);
                for decorator in &class.decorator_list {
                    self.visit_decorator(decorator);
                }
                if let Some(arguments) = &class.arguments {
                    self.visit_arguments(arguments);
                }
            }
            // `x: int` alone binds nothing in the body of a module or class.
            Stmt::AnnAssign(assign) if assign.value.is_none() => {}
            Stmt::If(branch) if is_type_checking(&branch.test) => {
                let seen = branch.body.iter().flat_map(|statement| Self::by(statement).names);
                self.typed.extend(seen);
                for clause in &branch.elif_else_clauses {
                    self.visit_elif_else_clause(clause);
                }
            }
            Stmt::Import(import) => {
                for alias in &import.names {
                    let package = alias.name.split('.').next().unwrap_or_default();
                    self.add(alias.asname.as_deref().unwrap_or(package));
                }
            }
            Stmt::ImportFrom(import) => {
                for alias in &import.names {
                    match alias.name.as_str() {
                        "*" => self.star = true,
                        name => self.add(alias.asname.as_deref().unwrap_or(name)),
                    }
                }
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &Expr) {
        match expression {
            Expr::Name(name) if matches!(name.ctx, ExprContext::Store | ExprContext::Del) => {
                self.add(&name.id);
            }
            // A `:=` in the body binds in the lambda, one in a default around it.
            Expr::Lambda(lambda) => {
                if let Some(parameters) = &lambda.parameters {
                    self.visit_parameters(parameters);
                }
            }
            _ => visitor::walk_expr(self, expression),
        }
    }

    /// The targets are names of the comprehension alone; a `:=` in the rest binds around it.
    fn visit_comprehension(&mut self, comprehension: &Comprehension) {
        self.visit_expr(&comprehension.iter);
        for condition in &comprehension.ifs {
            self.visit_expr(condition);
        }
    }

    fn visit_except_handler(&mut self, handler: &ExceptHandler) {
        let ExceptHandler::ExceptHandler(caught) = handler;
        if let Some(name) = &caught.name {
            self.caught.insert(name.to_string());
        }
        visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &Pattern) {
        let name = match pattern {
            Pattern::MatchAs(capture) => capture.name.as_ref(),
            Pattern::MatchStar(capture) => capture.name.as_ref(),
            Pattern::MatchMapping(mapping) => mapping.rest.as_ref(),
            _ => None,
        };
        if let Some(name) = name {
            self.add(name);
        }
        visitor::walk_pattern(self, pattern);
    }
}
