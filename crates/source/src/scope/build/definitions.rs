//! Functions, lambdas, classes and their type parameters.
//!
//! What is evaluated around a definition is read before its scope is opened, what its type parameters
//! are seen by within theirs, and the body last; `crate::normalise` writes in the same scopes.

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{self as ast, Expr};
use ruff_text_size::Ranged;

use super::super::{Held, OUTSIDE, ScopeKind};
use super::{Builder, Traits};
use crate::visible;

impl Builder<'_> {
    /// A function. Its name is bound last, as when it runs; defaults are read around it.
    pub(super) fn function(&mut self, function: &ast::StmtFunctionDef) {
        let decorators = visible::decorators(&function.decorator_list, self.ignore);
        for one in &decorators {
            self.visit_expr(&one.expression);
        }
        self.defaults(&function.parameters);
        let read_by_decorator = visible::has_reader(&decorators);
        let mut callee = None;
        self.with_type_parameters(function.type_params.as_deref(), |builder| {
            builder.signature(function, read_by_decorator);
            let scope = builder.inside(function, ScopeKind::Function, |inner| {
                inner.bind_parameters(&function.parameters);
                inner.visit_body(&function.body);
            });
            callee = Some(scope);
        });
        // A method is called through its object, which no one here can follow.
        let local = self.scopes.kind(self.current) == ScopeKind::Function;
        let callee = callee.filter(|_| local && function.decorator_list.is_empty());
        let traits = Traits { kept: true, callee, ..Traits::default() };
        self.bind(&function.name, function.name.start(), traits);
    }

    /// Annotations, where somebody reads them.
    fn signature(&mut self, function: &ast::StmtFunctionDef, read: bool) {
        let parameters = function.parameters.iter().filter_map(|one| one.annotation());
        for annotation in parameters.chain(function.returns.as_deref()) {
            if read || self.scopes.shown || visible::annotation_acts(annotation) {
                self.visit_expr(annotation);
            }
        }
    }

    /// Reads inside the scope of type parameters, if there are any.
    pub(super) fn with_type_parameters(
        &mut self,
        parameters: Option<&ast::TypeParams>,
        read: impl FnOnce(&mut Self),
    ) {
        let Some(parameters) = parameters else {
            return read(self);
        };
        self.inside(parameters, ScopeKind::TypeParameters, |inner| {
            for one in parameters {
                let name = one.name();
                inner.bind(name, name.start(), Traits { kept: true, ..Traits::default() });
            }
            inner.visit_type_params(parameters);
            read(inner);
        });
    }

    /// A class. Decorators are read around it, bases where type parameters are seen.
    pub(super) fn class(&mut self, class: &ast::StmtClassDef) {
        for one in visible::decorators(&class.decorator_list, self.ignore) {
            self.visit_expr(&one.expression);
        }
        self.with_type_parameters(class.type_params.as_deref(), |builder| {
            if let Some(arguments) = &class.arguments {
                builder.visit_arguments(arguments);
            }
            let private = Some(class.name.to_string());
            builder.inside_class(class, ScopeKind::Class, private, |inner| {
                inner.visit_body(&class.body);
            });
        });
        let traits = Traits { kept: true, ..Traits::default() };
        self.bind(&class.name, class.name.start(), traits);
    }

    /// `name = lambda …` in a function is a function whose calls can be followed.
    pub(super) fn assigned_lambda(&mut self, statement: &ast::StmtAssign) {
        let ([Expr::Name(name)], Expr::Lambda(lambda)) =
            (statement.targets.as_slice(), &*statement.value)
        else {
            return;
        };
        if self.scopes.kind(self.current) == ScopeKind::Function {
            let callee = Some(self.scopes.opened_by(lambda, OUTSIDE));
            let name = self.mangled(&name.id);
            self.hold(self.current, name, Held::Local).callee = callee;
        }
    }

    /// A lambda.
    pub(super) fn lambda(&mut self, lambda: &ast::ExprLambda) {
        if let Some(parameters) = lambda.parameters.as_deref() {
            self.defaults(parameters);
        }
        self.inside(lambda, ScopeKind::Function, |inner| {
            if let Some(parameters) = lambda.parameters.as_deref() {
                inner.bind_parameters(parameters);
            }
            inner.visit_expr(&lambda.body);
        });
    }

    /// Defaults of parameters, evaluated around the function.
    fn defaults(&mut self, parameters: &ast::Parameters) {
        for default in parameters.iter_non_variadic_params().filter_map(|one| one.default()) {
            self.visit_expr(default);
        }
    }

    /// Parameters are locals whose names callers may use.
    fn bind_parameters(&mut self, parameters: &ast::Parameters) {
        for one in parameters {
            let traits = Traits { parameter: true, ..Traits::default() };
            self.bind(one.name(), one.as_parameter().name.start(), traits);
        }
    }
}
