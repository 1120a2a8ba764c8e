//! One reading of a definition: scopes, bindings and uses.

use std::collections::{BTreeMap, HashMap, HashSet};

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{self as ast, Expr, ExprContext, Stmt};
use ruff_text_size::{Ranged, TextSize};

use super::uses::{PositionalLambda, Role, Use};
use super::{Binding, Held, OUTSIDE, Scope, ScopeId, ScopeKind, Scopes, address};
use crate::definition::{LocalImport, OpaqueKind};
use crate::visible::{self, IgnoreDecorator, mangle};

/// What is bound besides the name itself.
#[derive(Clone, Copy, Default)]
struct Traits {
    kept: bool,
    parameter: bool,
    imported: bool,
    callee: Option<ScopeId>,
}

/// Reads one definition into [`Scopes`].
///
/// It visits exactly what the encoding writes: an annotation or decorator that is left out of one is
/// left out of the other.
pub(crate) struct Builder<'p> {
    scopes: Scopes,
    current: ScopeId,
    ignore: IgnoreDecorator<'p>,
    lambdas: Vec<PositionalLambda>,
    /// Statements around this one that may not run to their end.
    blocks: usize,
    /// Calls around this expression whose arguments may be looked at for names.
    arguments: usize,
}

impl<'p> Builder<'p> {
    /// Begins outside everything, inside the class that mangles private names, if any.
    pub(crate) fn new(class: Option<&str>, ignore: IgnoreDecorator<'p>) -> Self {
        let scopes = Scopes {
            scopes: Vec::new(),
            by_node: HashMap::new(),
            uses: Vec::new(),
            imports: Vec::new(),
            opaque: Vec::new(),
            reads_locals: false,
            reads_docstrings: false,
            words: HashSet::new(),
        };
        let (lambdas, current) = (Vec::new(), OUTSIDE);
        let mut builder = Self {
            scopes,
            current,
            ignore,
            lambdas,
            blocks: 0,
            arguments: 0,
        };
        builder.push(ScopeKind::Outside, class.map(str::to_owned));
        builder
    }

    /// Resolves what was read.
    pub(crate) fn finish(mut self) -> Scopes {
        self.scopes.settle(&self.lambdas);
        self.scopes.imports.sort();
        self.scopes.imports.dedup();
        self.scopes
    }

    fn push(&mut self, kind: ScopeKind, class: Option<String>) -> ScopeId {
        let (parent, names, positional) = (self.current, BTreeMap::new(), false);
        self.scopes.scopes.push(Scope {
            kind,
            parent,
            class,
            names,
            positional,
        });
        self.scopes.scopes.len() - 1
    }

    /// Reads inside a new scope that the node opens.
    fn inside<T>(&mut self, node: &T, kind: ScopeKind, read: impl FnOnce(&mut Self)) -> ScopeId {
        let class = self.scopes.scopes[self.current].class.clone();
        self.inside_class(node, kind, class, read)
    }

    fn inside_class<T>(
        &mut self,
        node: &T,
        kind: ScopeKind,
        class: Option<String>,
        read: impl FnOnce(&mut Self),
    ) -> ScopeId {
        let scope = self.push(kind, class);
        self.scopes.by_node.insert(address(node), scope);
        let outer = std::mem::replace(&mut self.current, scope);
        let blocks = std::mem::take(&mut self.blocks);
        read(self);
        self.blocks = blocks;
        self.current = outer;
        scope
    }

    fn mangled(&self, name: &str) -> String {
        mangle(name, self.scopes.scopes[self.current].class.as_deref())
    }

    fn bind(&mut self, name: &str, at: TextSize, traits: Traits) {
        self.bind_in(self.current, name, at, traits);
    }

    fn bind_in(&mut self, scope: ScopeId, name: &str, at: TextSize, traits: Traits) {
        let name = self.mangled(name);
        self.record(vec![name.clone()], Role::Store, at);
        let certain = self.blocks == 0;
        let binding = self.hold(scope, name, Held::Local);
        binding.kept |= traits.kept;
        binding.parameter |= traits.parameter;
        binding.imported |= traits.imported;
        binding.certain |= certain;
        binding.callee = binding.callee.or(traits.callee);
    }

    /// Notes a mangled name in a scope. A declaration outweighs an assignment.
    fn hold(&mut self, scope: ScopeId, name: String, held: Held) -> &mut Binding {
        let names = &mut self.scopes.scopes[scope].names;
        let index = names.len();
        let binding = names.entry(name).or_insert(Binding {
            held,
            index,
            kept: false,
            parameter: false,
            imported: false,
            certain: false,
            callee: None,
            stores: 0,
            escapes: false,
        });
        if held != Held::Local {
            binding.held = held;
        }
        binding
    }

    fn declare(&mut self, names: &[ast::Identifier], held: Held) {
        for name in names {
            let mangled = self.mangled(name);
            self.hold(self.current, mangled.clone(), held);
            self.record(vec![mangled], Role::Store, name.start());
        }
    }

    fn record(&mut self, path: Vec<String>, role: Role, at: TextSize) {
        let scope = self.current;
        let bound = self.scopes.scopes[scope].names.get(&path[0]);
        let bound_before = bound.is_some_and(|binding| binding.certain);
        self.scopes.uses.push(Use {
            scope,
            path,
            role,
            at,
            bound_before,
        });
    }

    /// A name met as an expression.
    fn name(&mut self, name: &ast::ExprName, role: Role) {
        if name.ctx != ExprContext::Load {
            self.bind(&name.id, name.start(), Traits::default());
            if name.ctx == ExprContext::Del {
                let mangled = self.mangled(&name.id);
                self.hold(self.current, mangled, Held::Local).certain = false;
            }
            return;
        }
        self.notice(&name.id);
        let path = vec![self.mangled(&name.id)];
        self.record(path, role, name.start());
    }

    /// Notices names that look at what is usually hidden.
    fn notice(&mut self, name: &str) {
        self.scopes.reads_locals |= visible::reads_locals_by_name(name);
        self.scopes.reads_docstrings |= matches!(name, "__doc__" | "getdoc");
    }

    fn attribute(&mut self, attribute: &ast::ExprAttribute, expression: &Expr) {
        self.notice(&attribute.attr);
        let Some(path) = visible::dotted_path(expression) else {
            self.visit_expr(&attribute.value);
            return;
        };
        for name in &path {
            self.notice(name);
        }
        let path = path.iter().map(|name| self.mangled(name)).collect();
        self.record(path, Role::Load, attribute.start());
    }

    fn call(&mut self, call: &ast::ExprCall) {
        let arguments = &call.arguments;
        match &*call.func {
            Expr::Name(name) => {
                let role = if arguments.keywords.is_empty() {
                    Role::PositionalCall
                } else {
                    Role::Load
                };
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
        let looked_at = !visible::only_tells(&call.func);
        self.arguments += usize::from(looked_at);
        self.visit_arguments(arguments);
        self.arguments -= usize::from(looked_at);
        self.calls_by_position(call);
    }

    /// Builtins that find names in the texts they are given.
    fn builtin(&mut self, name: &str, call: &ast::ExprCall) {
        let arguments = &call.arguments.args;
        match (name, &**arguments) {
            ("vars" | "dir", [] | [Expr::Starred(_), ..]) => {
                self.scopes.reads_locals = true;
                self.scopes
                    .opaque
                    .push((call.start(), OpaqueKind::LocalsByName));
            }
            ("getattr", [object, Expr::StringLiteral(attribute), ..]) => {
                let Some(mut path) = visible::dotted_path(object) else {
                    return;
                };
                path.iter_mut().for_each(|name| *name = self.mangled(name));
                self.notice(attribute.value.to_str());
                path.push(attribute.value.to_str().to_owned());
                self.record(path, Role::Load, call.start());
            }
            ("getattr", _) => {
                self.scopes
                    .opaque
                    .push((call.start(), OpaqueKind::GetattrDynamic));
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

    fn positional_lambda(&mut self, lambda: &Expr, callee: Option<(ScopeId, String)>) {
        let Expr::Lambda(node) = lambda else { return };
        let lambda = self.scopes.opened_by(node, OUTSIDE);
        self.lambdas.push(PositionalLambda { lambda, callee });
    }

    fn defaults<'a>(&mut self, parameters: &'a ast::Parameters) {
        for default in parameters
            .iter_non_variadic_params()
            .filter_map(|one| one.default())
        {
            self.visit_expr(default);
        }
    }

    fn bind_parameters(&mut self, parameters: &ast::Parameters) {
        for one in parameters {
            let traits = Traits {
                parameter: true,
                ..Traits::default()
            };
            self.bind(one.name(), one.as_parameter().name.start(), traits);
        }
    }

    fn function<'a>(&mut self, function: &'a ast::StmtFunctionDef) {
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
        let traits = Traits {
            kept: true,
            callee,
            ..Traits::default()
        };
        self.bind(&function.name, function.name.start(), traits);
    }

    /// Annotations, where somebody reads them.
    fn signature<'a>(&mut self, function: &'a ast::StmtFunctionDef, read: bool) {
        let parameters = function
            .parameters
            .iter()
            .filter_map(|one| one.annotation());
        for annotation in parameters.chain(function.returns.as_deref()) {
            if read || visible::annotation_acts(annotation) {
                self.visit_expr(annotation);
            }
        }
    }

    fn with_type_parameters(
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
                inner.bind(
                    name,
                    name.start(),
                    Traits {
                        kept: true,
                        ..Traits::default()
                    },
                );
            }
            inner.visit_type_params(parameters);
            read(inner);
        });
    }

    fn class<'a>(&mut self, class: &'a ast::StmtClassDef) {
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
        let traits = Traits {
            kept: true,
            ..Traits::default()
        };
        self.bind(&class.name, class.name.start(), traits);
    }

    fn annotated(&mut self, statement: &ast::StmtAnnAssign) {
        if let Some(value) = &statement.value {
            self.visit_expr(value);
        }
        if self.scopes.kind(self.current) == ScopeKind::Class {
            self.visit_expr(&statement.annotation);
        }
        if statement.value.is_some() || !statement.target.is_name_expr() {
            return self.visit_expr(&statement.target);
        }
        // It makes the name local and binds nothing, so a load may still fall through.
        self.blocks += 1;
        self.visit_expr(&statement.target);
        self.blocks -= 1;
    }

    /// `name = lambda …` in a function is a function whose calls can be followed.
    fn assigned_lambda(&mut self, statement: &ast::StmtAssign) {
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

    fn import(&mut self, statement: &ast::StmtImport) {
        for alias in &statement.names {
            let module = alias.name.as_str();
            let top = module.split('.').next().unwrap_or(module);
            let (bound, reached) = match &alias.asname {
                Some(name) => (name.as_str(), name.as_str()),
                None => (top, module),
            };
            self.bind(
                bound,
                alias.start(),
                Traits {
                    imported: true,
                    ..Traits::default()
                },
            );
            let bound_as = self.mangled(reached);
            let module = Some(module.to_owned());
            self.scopes.imports.push(LocalImport {
                module,
                level: 0,
                name: None,
                bound_as,
            });
        }
    }

    fn import_from(&mut self, statement: &ast::StmtImportFrom) {
        let module = statement.module.as_ref().map(ToString::to_string);
        for alias in &statement.names {
            let bound = alias.asname.as_ref().unwrap_or(&alias.name);
            self.bind(
                bound,
                alias.start(),
                Traits {
                    imported: true,
                    ..Traits::default()
                },
            );
            if module.as_deref() == Some("importlib") && alias.name.as_str() == "import_module" {
                self.scopes
                    .opaque
                    .push((alias.start(), OpaqueKind::ImportlibImport));
            }
            let (module, level) = (module.clone(), statement.level);
            let (name, bound_as) = (Some(alias.name.to_string()), self.mangled(bound));
            self.scopes.imports.push(LocalImport {
                module,
                level,
                name,
                bound_as,
            });
        }
    }

    fn lambda<'a>(&mut self, lambda: &'a ast::ExprLambda) {
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

    /// The first iterable belongs to the scope around; everything else is inside.
    fn comprehension<'a, T>(
        &mut self,
        node: &T,
        generators: &'a [ast::Comprehension],
        results: &[Option<&'a Expr>],
    ) {
        if let Some(first) = generators.first() {
            self.visit_expr(&first.iter);
        }
        self.inside(node, ScopeKind::Comprehension, |inner| {
            for (position, generator) in generators.iter().enumerate() {
                if position > 0 {
                    inner.visit_expr(&generator.iter);
                }
                inner.visit_expr(&generator.target);
                generator
                    .ifs
                    .iter()
                    .for_each(|condition| inner.visit_expr(condition));
            }
            results
                .iter()
                .flatten()
                .for_each(|result| inner.visit_expr(result));
        });
    }

    /// `name := value` binds in the nearest scope that is no comprehension.
    fn walrus(&mut self, named: &ast::ExprNamed) {
        self.visit_expr(&named.value);
        let Expr::Name(name) = &*named.target else {
            return self.visit_expr(&named.target);
        };
        let mut scope = self.current;
        while self.scopes.kind(scope) == ScopeKind::Comprehension {
            scope = self.scopes.scopes[scope].parent;
        }
        self.blocks += 1;
        self.bind_in(scope, &name.id, name.start(), Traits::default());
        self.blocks -= 1;
    }

    fn text(&mut self, text: &str) {
        if self.arguments > 0 {
            let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
            self.scopes.words.extend(words);
        }
    }

    fn capture(&mut self, name: Option<&ast::Identifier>) {
        if let Some(name) = name {
            self.bind(name, name.start(), Traits::default());
        }
    }
}

impl<'a> Visitor<'a> for Builder<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => self.function(function),
            Stmt::ClassDef(class) => self.class(class),
            Stmt::AnnAssign(annotated) => self.annotated(annotated),
            Stmt::Assign(assign) => {
                visitor::walk_stmt(self, statement);
                self.assigned_lambda(assign);
            }
            Stmt::AugAssign(augmented) => {
                visitor::walk_stmt(self, statement);
                if let Expr::Name(name) = &*augmented.target {
                    let path = vec![self.mangled(&name.id)];
                    self.record(path, Role::Load, name.start());
                }
            }
            Stmt::Global(global) => self.declare(&global.names, Held::Global),
            Stmt::Nonlocal(nonlocal) => self.declare(&nonlocal.names, Held::Nonlocal),
            Stmt::Import(import) => self.import(import),
            Stmt::ImportFrom(import) => self.import_from(import),
            Stmt::TypeAlias(alias) => {
                if let Expr::Name(name) = &*alias.name {
                    let traits = Traits {
                        kept: true,
                        ..Traits::default()
                    };
                    self.bind(&name.id, name.start(), traits);
                }
                self.with_type_parameters(alias.type_params.as_deref(), |inner| {
                    inner.visit_expr(&alias.value);
                });
            }
            Stmt::For(_)
            | Stmt::While(_)
            | Stmt::If(_)
            | Stmt::With(_)
            | Stmt::Match(_)
            | Stmt::Try(_) => {
                self.blocks += 1;
                visitor::walk_stmt(self, statement);
                self.blocks -= 1;
            }
            _ => visitor::walk_stmt(self, statement),
        }
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        match expression {
            Expr::Name(name) => self.name(name, Role::Load),
            Expr::Attribute(attribute) => self.attribute(attribute, expression),
            Expr::Call(call) => self.call(call),
            Expr::Lambda(lambda) => self.lambda(lambda),
            Expr::Named(named) => self.walrus(named),
            Expr::ListComp(one) => self.comprehension(one, &one.generators, &[Some(&one.elt)]),
            Expr::SetComp(one) => self.comprehension(one, &one.generators, &[Some(&one.elt)]),
            Expr::Generator(one) => self.comprehension(one, &one.generators, &[Some(&one.elt)]),
            Expr::DictComp(one) => {
                self.comprehension(
                    one,
                    &one.generators,
                    &[one.key.as_deref(), Some(&one.value)],
                );
            }
            _ => visitor::walk_expr(self, expression),
        }
    }

    fn visit_except_handler(&mut self, handler: &'a ast::ExceptHandler) {
        let ast::ExceptHandler::ExceptHandler(handler) = handler;
        if let Some(kind) = &handler.type_ {
            self.visit_expr(kind);
        }
        self.capture(handler.name.as_ref());
        self.visit_body(&handler.body);
    }

    fn visit_pattern(&mut self, pattern: &'a ast::Pattern) {
        visitor::walk_pattern(self, pattern);
        match pattern {
            ast::Pattern::MatchAs(one) => self.capture(one.name.as_ref()),
            ast::Pattern::MatchStar(one) => self.capture(one.name.as_ref()),
            ast::Pattern::MatchMapping(one) => self.capture(one.rest.as_ref()),
            _ => {}
        }
    }

    fn visit_string_literal(&mut self, literal: &'a ast::StringLiteral) {
        self.text(&literal.value);
    }

    fn visit_interpolated_string_element(&mut self, element: &'a ast::InterpolatedStringElement) {
        match element {
            ast::InterpolatedStringElement::Literal(literal) => self.text(&literal.value),
            ast::InterpolatedStringElement::Interpolation(_) => {
                visitor::walk_interpolated_string_element(self, element);
            }
        }
    }
}
