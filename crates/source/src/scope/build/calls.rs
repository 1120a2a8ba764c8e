//! Calls and attributes: how functions are called, and what they find by name.
//!
//! Two questions are asked of every call. Does it pass a keyword, so that the names of the callee's
//! parameters matter? And is it handed a text in which it may find names of variables?

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{self as ast, Expr};
use ruff_text_size::Ranged;

use super::super::uses::{PositionalLambda, Role};
use super::super::{OUTSIDE, ScopeId};
use super::Builder;
use crate::definition::OpaqueKind;
use crate::visible;

impl Builder<'_> {
    /// A chain of attributes: one path if it begins with a name.
    pub(super) fn attribute(&mut self, attribute: &ast::ExprAttribute, expression: &Expr) {
        self.notice(&attribute.attr);
        self.scopes.attributes.insert(attribute.attr.to_string());
        let Some(path) = visible::dotted_path(expression) else {
            self.visit_expr(&attribute.value);
            return;
        };
        for name in &path {
            self.notice(name);
        }
        self.scopes.attributes.extend(path[1..].iter().cloned());
        let path = path.iter().map(|name| self.mangled(name)).collect();
        self.record(path, Role::Load, attribute.start());
    }

    /// A call: how the function is used, what it looks at, and its arguments.
    pub(super) fn call(&mut self, call: &ast::ExprCall) {
        let arguments = &call.arguments;
        match &*call.func {
            Expr::Name(name) => {
                let role =
                    if arguments.keywords.is_empty() { Role::PositionalCall } else { Role::Load };
                self.name(name, role);
                self.builtin(&name.id, call);
            }
            Expr::Lambda(_) => {
                self.visit_expr(&call.func);
                if arguments.keywords.is_empty() {
                    self.positional_lambda(&call.func, None);
                }
            }
            function => self.visit_expr(function),
        }
        self.scopes.reads_definitions |= arguments.find_keyword("tools").is_some();
        self.scopes.parses_arguments |= visible::parses_arguments(call);
        if visible::only_tells(&call.func) {
            self.telling(|builder| builder.visit_arguments(arguments));
        } else {
            self.arguments += 1;
            self.visit_arguments(arguments);
            self.arguments -= 1;
        }
        self.calls_by_position(call);
        self.reads_names(call);
    }

    /// Builtins that find names in the texts they are given.
    fn builtin(&mut self, name: &str, call: &ast::ExprCall) {
        let arguments = &call.arguments.args;
        match (name, &**arguments) {
            ("vars" | "dir", [] | [Expr::Starred(_), ..]) => {
                self.scopes.reads_locals = true;
                self.scopes.opaque.push((call.start(), OpaqueKind::LocalsByName));
            }
            ("getattr", [object, Expr::StringLiteral(attribute), ..]) => {
                self.scopes.attributes.insert(attribute.value.to_str().to_owned());
                let Some(mut path) = visible::dotted_path(object) else {
                    return;
                };
                path.iter_mut().for_each(|name| *name = self.mangled(name));
                self.notice(attribute.value.to_str());
                path.push(attribute.value.to_str().to_owned());
                self.record(path, Role::Load, call.start());
            }
            ("getattr", _) => {
                self.scopes.opaque.push((call.start(), OpaqueKind::GetattrDynamic));
            }
            _ => {}
        }
    }

    /// Lambdas that a builtin is known to call by position.
    fn calls_by_position(&mut self, call: &ast::ExprCall) {
        let arguments = &call.arguments;
        let key = arguments.find_keyword("key").map(|keyword| &keyword.value);
        let Expr::Name(name) = &*call.func else {
            return;
        };
        let lambda = match name.id.as_str() {
            "sorted" | "min" | "max" => key,
            "map" | "filter" => arguments.args.first(),
            _ => None,
        };
        if let Some(lambda) = lambda {
            self.positional_lambda(lambda, Some((self.current, self.mangled(&name.id))));
        }
    }

    /// Notes a lambda that is called by position, if the callee proves to be the builtin.
    fn positional_lambda(&mut self, lambda: &Expr, callee: Option<(ScopeId, String)>) {
        let Expr::Lambda(node) = lambda else { return };
        let lambda = self.scopes.opened_by(node, OUTSIDE);
        self.lambdas.push(PositionalLambda { lambda, callee });
    }
}
