//! Functions, lambdas and classes.
//!
//! Three scopes meet here: decorators and defaults are evaluated around the function or class,
//! annotations and bases among its type parameters, and the body inside. Whoever reads a scope from
//! the wrong one of them takes a global for a local.

use ruff_python_ast as ast;
use ruff_python_ast::Expr;

use super::{Encoder, Tag};
use crate::scope::ScopeId;
use crate::visible;

impl Encoder<'_> {
    /// A function; everything but its body and parameter names is evaluated around it.
    pub(super) fn function(&mut self, function: &ast::StmtFunctionDef) {
        self.tag(Tag::Function);
        self.flag(function.is_async);
        self.member(&function.name);
        self.name(&function.name);
        let decorators = visible::decorators(&function.decorator_list, self.ignore);
        self.list(&decorators, |encoder, one| encoder.expression(&one.expression));
        let read = visible::has_reader(&decorators);
        let body = self.scopes.opened_by(function, self.scope);
        self.parameters(&function.parameters, body);
        self.with_type_parameters(function.type_params.as_deref(), |encoder| {
            encoder.signature(function, read);
        });
        self.at(body, |encoder| {
            encoder.docstring(&function.body, read);
            encoder.body(&function.body);
        });
    }

    /// A lambda: parameters and one expression.
    pub(super) fn lambda(&mut self, lambda: &ast::ExprLambda) {
        self.tag(Tag::Lambda);
        let body = self.scopes.opened_by(lambda, self.scope);
        self.parameters(lambda.parameters.as_deref().unwrap_or(&ast::Parameters::default()), body);
        self.at(body, |encoder| encoder.expression(&lambda.body));
    }

    /// A class with its whole body.
    pub(super) fn class(&mut self, class: &ast::StmtClassDef) {
        self.tag(Tag::Class);
        self.member(&class.name);
        self.name(&class.name);
        let decorators = visible::decorators(&class.decorator_list, self.ignore);
        self.list(&decorators, |encoder, one| encoder.expression(&one.expression));
        let read = visible::class_shows_docstring(class);
        self.with_type_parameters(class.type_params.as_deref(), |encoder| {
            let written = class.arguments.as_deref().filter(|arguments| !arguments.is_empty());
            encoder.optional(written, Self::arguments);
            encoder.inside(class, |encoder| {
                encoder.docstring(&class.body, read);
                encoder.body(&class.body);
            });
        });
    }

    /// Names belong to the body; defaults are evaluated around the function.
    fn parameters(&mut self, parameters: &ast::Parameters, body: ScopeId) {
        for group in [&parameters.posonlyargs, &parameters.args, &parameters.kwonlyargs] {
            self.list(group, |encoder, one| {
                encoder.at(body, |encoder| encoder.name(&one.parameter.name));
                encoder.optional_expression(one.default());
            });
        }
        for variadic in [&parameters.vararg, &parameters.kwarg] {
            self.optional(variadic.as_ref(), |encoder, one| {
                encoder.at(body, |encoder| encoder.name(&one.name));
            });
        }
    }

    /// Annotations by position, where somebody reads them.
    fn signature(&mut self, function: &ast::StmtFunctionDef, read: bool) {
        let annotations: Vec<Option<&Expr>> = function
            .parameters
            .iter()
            .map(|one| one.annotation())
            .chain([function.returns.as_deref()])
            .map(|one| one.filter(|one| read || self.scopes.shown || visible::annotation_acts(one)))
            .collect();
        self.list(&annotations, |encoder, one| encoder.optional_expression(*one));
    }

    /// A list of type parameters, empty if there are none, and what sees them.
    pub(super) fn with_type_parameters(
        &mut self,
        parameters: Option<&ast::TypeParams>,
        write: impl FnOnce(&mut Self),
    ) {
        let Some(parameters) = parameters else {
            self.hasher.count(0);
            return write(self);
        };
        self.inside(parameters, |encoder| {
            encoder.list(parameters, Self::type_parameter);
            write(encoder);
        });
    }

    /// One type parameter; its name is kept, for objects show it.
    fn type_parameter(&mut self, parameter: &ast::TypeParam) {
        self.tag(match parameter {
            ast::TypeParam::TypeVar(_) => Tag::TypeVariable,
            ast::TypeParam::TypeVarTuple(_) => Tag::TypeVariableTuple,
            ast::TypeParam::ParamSpec(_) => Tag::ParameterSpecification,
        });
        self.name(parameter.name());
        let bound = parameter.as_type_var().and_then(|variable| variable.bound.as_deref());
        self.optional_expression(bound);
        self.optional_expression(parameter.default());
    }

    /// The docstring, where somebody reads it.
    fn docstring(&mut self, body: &[ast::Stmt], read: bool) {
        let text = visible::docstring(body)
            .filter(|_| read || self.scopes.reads_docstrings || self.scopes.shown);
        self.optional(text, Self::string);
    }

    /// Arguments by position, then by keyword: the order in which they are evaluated.
    pub(super) fn arguments(&mut self, arguments: &ast::Arguments) {
        self.expressions(&arguments.args);
        self.list(&arguments.keywords, |encoder, keyword| {
            encoder.optional(keyword.arg.as_ref(), |encoder, name| encoder.member(name));
            encoder.expression(&keyword.value);
        });
    }
}
