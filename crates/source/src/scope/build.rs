//! One reading of a definition: scopes, bindings and uses.
//!
//! Nothing is resolved while reading, for what is read later may change what a name means: an
//! assignment at the end of a function makes the name local at its beginning, and a `nonlocal` in
//! an inner function may rebind a function whose calls looked harmless. The reading collects; the
//! answers are worked out once, when it ends.
//!
//! The order of reading decides one thing alone: whether a class body has surely bound a name
//! before it reads it. It never enters a digest.

mod calls;
mod definitions;
mod imports;
mod texts;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{self as ast, Expr, ExprContext, Stmt};
use ruff_text_size::{Ranged, TextSize};

use super::uses::{PositionalLambda, Role, Use};
use super::{Binding, Held, OUTSIDE, Scope, ScopeId, ScopeKind, Scopes, address};
use crate::visible::{self, IgnoreDecorator, mangle};
use texts::Texts;

/// What is bound besides the name itself.
#[derive(Clone, Copy, Default)]
struct Traits {
    /// The object shows the name: a function, a class.
    kept: bool,
    parameter: bool,
    imported: bool,
    /// The scope of the function that the name stands for.
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
    /// Calls and messages around it that only tell people something.
    told: usize,
    texts: Texts,
}

impl<'p> Builder<'p> {
    /// Begins outside everything, inside the class that mangles private names, if any.
    pub(crate) fn new(class: Option<&str>, ignore: IgnoreDecorator<'p>, shown: bool) -> Self {
        let scopes = Scopes {
            scopes: Vec::new(),
            by_node: HashMap::new(),
            uses: Vec::new(),
            imports: Vec::new(),
            opaque: Vec::new(),
            reads_locals: false,
            reads_docstrings: false,
            reads_definitions: false,
            attributes: BTreeSet::new(),
            parses_arguments: false,
            shown,
            words: HashSet::new(),
        };
        let (lambdas, current) = (Vec::new(), OUTSIDE);
        let texts = Texts::default();
        let mut builder =
            Self { scopes, current, ignore, lambdas, blocks: 0, arguments: 0, told: 0, texts };
        builder.push(ScopeKind::Outside, class.map(str::to_owned));
        builder
    }

    /// Resolves what was read.
    pub(crate) fn finish(mut self) -> Scopes {
        self.settle_texts();
        self.scopes.settle(&self.lambdas);
        self.scopes.imports.sort();
        self.scopes.imports.dedup();
        self.scopes
    }

    /// Adds a scope below the current one, and stays where it is.
    fn push(&mut self, kind: ScopeKind, class: Option<String>) -> ScopeId {
        let (parent, names, positional) = (self.current, BTreeMap::new(), false);
        self.scopes.scopes.push(Scope { kind, parent, class, names, positional });
        self.scopes.scopes.len() - 1
    }

    /// Reads inside a new scope that the node opens.
    fn inside<T>(&mut self, node: &T, kind: ScopeKind, read: impl FnOnce(&mut Self)) -> ScopeId {
        let class = self.scopes.scopes[self.current].class.clone();
        self.inside_class(node, kind, class, read)
    }

    /// As [`Self::inside`], with the class that mangles private names from here on. Whether blocks may
    /// be left early is counted anew: a function body runs from its own beginning.
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

    /// A name as stored from inside the current scope.
    fn mangled(&self, name: &str) -> String {
        mangle(name, self.scopes.scopes[self.current].class.as_deref())
    }

    /// Binds a name in the current scope.
    fn bind(&mut self, name: &str, at: TextSize, traits: Traits) {
        self.bind_in(self.current, name, at, traits);
    }

    /// Binds a name in another scope, as `:=` in a comprehension does. The use is recorded here.
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

    /// `global` and `nonlocal`.
    fn declare(&mut self, names: &[ast::Identifier], held: Held) {
        for name in names {
            let mangled = self.mangled(name);
            self.hold(self.current, mangled.clone(), held);
            self.record(vec![mangled], Role::Store, name.start());
        }
    }

    /// Notes a use of a path of mangled names.
    fn record(&mut self, path: Vec<String>, role: Role, at: TextSize) {
        let scope = self.current;
        let bound = self.scopes.scopes[scope].names.get(&path[0]);
        let bound_before = bound.is_some_and(|binding| binding.certain);
        self.scopes.uses.push(Use { scope, path, role, at, bound_before });
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

    /// Notices names that look at what is usually hidden. Once one is met, nothing in the whole
    /// definition is renamed: what a `locals()` hands on can be looked at anywhere.
    fn notice(&mut self, name: &str) {
        self.scopes.reads_locals |= visible::reads_locals_by_name(name);
        self.scopes.reads_docstrings |= matches!(name, "__doc__" | "getdoc");
        self.scopes.reads_definitions |= visible::reads_definitions(name);
        self.notice_reader(name);
    }

    /// `target: annotation = value`. Only a class keeps the annotation, and only a simple name
    /// without value becomes local unbound.
    fn annotated(&mut self, statement: &ast::StmtAnnAssign) {
        if let Some(value) = &statement.value {
            self.visit_expr(value);
        }
        if self.scopes.kind(self.current) == ScopeKind::Class {
            self.visit_expr(&statement.annotation);
        }
        let bare_name = statement.value.is_none() && statement.target.is_name_expr();
        if !bare_name {
            return self.visit_expr(&statement.target);
        }
        if statement.simple {
            // It makes the name local and binds nothing, so a load may still fall through.
            self.blocks += 1;
            self.visit_expr(&statement.target);
            self.blocks -= 1;
        }
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
                generator.ifs.iter().for_each(|condition| inner.visit_expr(condition));
            }
            results.iter().flatten().for_each(|result| inner.visit_expr(result));
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

    /// Words of a text in which somebody may look names up, as in the formula of
    /// `ols("y ~ scale", df)`. A text may get there through a variable; one that is a single word
    /// and handed to nobody is taken for a key.
    fn text(&mut self, text: &str, at: TextSize) {
        self.keep_text(text, at);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        if self.arguments > 0 || (self.told == 0 && !text.chars().all(is_part)) {
            let words = text.split(|c: char| !is_part(c));
            let words = words.filter(|word| !word.is_empty()).map(str::to_owned);
            self.scopes.words.extend(words);
        }
    }

    /// Reads what is only told to people.
    fn telling(&mut self, read: impl FnOnce(&mut Self)) {
        self.told += 1;
        read(self);
        self.told -= 1;
    }

    /// The name bound by a pattern or an exception handler.
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
                    let traits = Traits { kept: true, ..Traits::default() };
                    self.bind(&name.id, name.start(), traits);
                }
                self.with_type_parameters(alias.type_params.as_deref(), |inner| {
                    inner.visit_expr(&alias.value);
                });
            }
            // A docstring, or a text that nobody uses.
            Stmt::Expr(alone) if alone.value.is_string_literal_expr() => {}
            Stmt::Assert(assert) => {
                self.visit_expr(&assert.test);
                if let Some(message) = &assert.msg {
                    self.telling(|builder| builder.visit_expr(message));
                }
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
                self.comprehension(one, &one.generators, &[one.key.as_deref(), Some(&one.value)]);
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
        self.text(&literal.value, literal.start());
    }

    fn visit_interpolated_string_element(&mut self, element: &'a ast::InterpolatedStringElement) {
        match element {
            ast::InterpolatedStringElement::Literal(literal) => {
                self.text(&literal.value, literal.start());
            }
            ast::InterpolatedStringElement::Interpolation(_) => {
                visitor::walk_interpolated_string_element(self, element);
            }
        }
    }
}
