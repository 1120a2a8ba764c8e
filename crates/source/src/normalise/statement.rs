//! Statements.
//!
//! A body is the list of its statements that do something, so a `pass` more or less, a comment in
//! the shape of a text, or the annotation of a local change nothing. The same holds for how
//! branches are spelled: `elif` is `else: if`, and an `else` that does nothing is none.

use ruff_python_ast::{self as ast, Expr, Stmt};

use super::{Encoder, Tag, tag};
use crate::scope::ScopeKind;

/// The branches of an `if`: conditions with their bodies, then the body without condition.
type Branches<'a> = (Vec<(&'a Expr, &'a [Stmt])>, &'a [Stmt]);

impl Encoder<'_> {
    /// The statements that do something.
    pub(super) fn body(&mut self, body: &[Stmt]) {
        let acting: Vec<&Stmt> = body.iter().filter(|one| self.acts(one)).collect();
        self.list(&acting, |encoder, statement| encoder.statement(statement));
    }

    /// Whether a statement does anything: `pass`, a constant alone (docstrings among them) and the
    /// annotation of a local do not.
    fn acts(&self, statement: &Stmt) -> bool {
        match statement {
            Stmt::Pass(_) => false,
            Stmt::Expr(alone) => !alone.value.is_literal_expr(),
            Stmt::AnnAssign(annotated) => {
                self.scopes.kind(self.scope) == ScopeKind::Class
                    || annotated.value.is_some()
                    || !annotated.target.is_name_expr()
            }
            _ => true,
        }
    }

    /// One statement. `pass` never comes here.
    pub(super) fn statement(&mut self, statement: &Stmt) {
        match statement {
            Stmt::FunctionDef(one) => self.function(one),
            Stmt::ClassDef(one) => self.class(one),
            Stmt::Assign(one) => self.assign(&one.targets.iter().collect::<Vec<_>>(), &one.value),
            Stmt::AugAssign(one) => self.augmented(one),
            Stmt::AnnAssign(one) => self.annotated(one),
            Stmt::For(_) | Stmt::While(_) | Stmt::If(_) => self.branching(statement),
            Stmt::With(_) | Stmt::Match(_) | Stmt::Try(_) => self.guarding(statement),
            Stmt::Import(one) => self.import(one),
            Stmt::ImportFrom(one) => self.import_from(one),
            Stmt::TypeAlias(one) => self.type_alias(one),
            _ => self.simple(statement),
        }
    }

    /// Statements without a body.
    fn simple(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Return(one) => {
                self.tag(Tag::Return);
                self.optional_expression(one.value.as_deref());
            }
            Stmt::Delete(one) => {
                self.tag(Tag::Delete);
                self.expressions(&one.targets);
            }
            Stmt::Raise(one) => {
                self.tag(Tag::Raise);
                self.optional_expression(one.exc.as_deref());
                self.optional_expression(one.cause.as_deref());
            }
            Stmt::Assert(one) => {
                self.tag(Tag::Assert);
                self.expression(&one.test);
                self.optional_expression(one.msg.as_deref());
            }
            Stmt::Global(one) => self.declaration(Tag::Global, &one.names),
            Stmt::Nonlocal(one) => self.declaration(Tag::Nonlocal, &one.names),
            Stmt::Expr(one) => {
                self.tag(Tag::Evaluate);
                self.expression(&one.value);
            }
            Stmt::Break(_) => self.tag(Tag::Break),
            Stmt::IpyEscapeCommand(one) => {
                self.tag(Tag::Command);
                self.text(one.kind.as_str());
                self.text(&one.value);
            }
            // What is left after the callers' cases is `continue`; `pass` is never written.
            _ => self.tag(Tag::Continue),
        }
    }

    /// `global` or `nonlocal`: the names in the order of the source.
    fn declaration(&mut self, tag: Tag, names: &[ast::Identifier]) {
        self.tag(tag);
        self.list(names, |encoder, name| encoder.name(name));
    }

    /// `a = b = value`; the targets are bound from left to right.
    fn assign(&mut self, targets: &[&Expr], value: &Expr) {
        self.tag(Tag::Assign);
        self.list(targets, |encoder, target| encoder.expression(target));
        self.expression(value);
    }

    /// `a += value`, which is not `a = a + value`: a list changes in place.
    fn augmented(&mut self, statement: &ast::StmtAugAssign) {
        self.tag(Tag::AugmentedAssign);
        self.hasher.tag(tag::binary(statement.op));
        self.expression(&statement.target);
        self.expression(&statement.value);
    }

    /// In a class the annotation is a field; elsewhere only the assignment counts.
    fn annotated(&mut self, statement: &ast::StmtAnnAssign) {
        if self.scopes.kind(self.scope) == ScopeKind::Class {
            self.tag(Tag::AnnotatedField);
            self.flag(statement.simple);
            self.expression(&statement.target);
            self.expression(&statement.annotation);
            self.optional_expression(statement.value.as_deref());
        } else if let Some(value) = &statement.value {
            self.assign(&[&statement.target], value);
        } else {
            self.tag(Tag::AnnotatedTarget);
            self.expression(&statement.target);
        }
    }

    /// `type Name[T] = value`. The object shows its name, so that is written beside the variable.
    fn type_alias(&mut self, alias: &ast::StmtTypeAlias) {
        self.tag(Tag::TypeAlias);
        if let Expr::Name(name) = &*alias.name {
            self.member(&name.id);
        }
        self.expression(&alias.name);
        self.with_type_parameters(alias.type_params.as_deref(), |encoder| {
            encoder.expression(&alias.value);
        });
    }

    /// Loops and conditions.
    fn branching(&mut self, statement: &Stmt) {
        match statement {
            Stmt::For(one) => {
                self.tag(Tag::For);
                self.flag(one.is_async);
                self.expression(&one.target);
                self.expression(&one.iter);
                self.body(&one.body);
                self.body(&one.orelse);
            }
            Stmt::While(one) => {
                self.tag(Tag::While);
                self.expression(&one.test);
                self.body(&one.body);
                self.body(&one.orelse);
            }
            Stmt::If(one) => {
                self.tag(Tag::If);
                let (conditions, otherwise) = self.branches(one);
                self.list(&conditions, |encoder, (test, body)| {
                    encoder.expression(test);
                    encoder.body(body);
                });
                self.body(otherwise);
            }
            _ => {}
        }
    }

    /// Flattens `else: if …` into `elif …`, which is the same.
    fn branches<'a>(&self, first: &'a ast::StmtIf) -> Branches<'a> {
        let (mut conditions, mut next) = (Vec::new(), Some(first));
        let mut otherwise: &[Stmt] = &[];
        while let Some(one) = next.take() {
            conditions.push((&*one.test, &*one.body));
            for clause in &one.elif_else_clauses {
                match &clause.test {
                    Some(test) => conditions.push((test, &*clause.body)),
                    None => otherwise = &clause.body,
                }
            }
            let mut acting = otherwise.iter().filter(|one| self.acts(one));
            if let (Some(Stmt::If(nested)), None) = (acting.next(), acting.next()) {
                (next, otherwise) = (Some(nested), &[]);
            }
        }
        (conditions, otherwise)
    }

    /// `with`, `match` and `try`.
    fn guarding(&mut self, statement: &Stmt) {
        match statement {
            Stmt::With(one) => {
                self.tag(Tag::With);
                self.flag(one.is_async);
                self.list(&one.items, |encoder, item| {
                    encoder.expression(&item.context_expr);
                    encoder.optional_expression(item.optional_vars.as_deref());
                });
                self.body(&one.body);
            }
            Stmt::Match(one) => {
                self.tag(Tag::Match);
                self.expression(&one.subject);
                self.list(&one.cases, |encoder, case| {
                    encoder.pattern(&case.pattern);
                    encoder.optional_expression(case.guard.as_deref());
                    encoder.body(&case.body);
                });
            }
            Stmt::Try(one) => {
                self.tag(Tag::Try);
                self.flag(one.is_star);
                self.body(&one.body);
                self.list(&one.handlers, Self::handler);
                self.body(&one.orelse);
                self.body(&one.finalbody);
            }
            _ => {}
        }
    }

    /// `except type as name`.
    fn handler(&mut self, handler: &ast::ExceptHandler) {
        let ast::ExceptHandler::ExceptHandler(handler) = handler;
        self.optional_expression(handler.type_.as_deref());
        self.optional(handler.name.as_ref(), |encoder, name| encoder.name(name));
        self.body(&handler.body);
    }

    /// `import a.b as c`: what is imported, and the local that it is bound to.
    fn import(&mut self, import: &ast::StmtImport) {
        self.tag(Tag::Import);
        self.flag(import.is_lazy);
        self.list(&import.names, |encoder, alias| {
            let module = alias.name.as_str();
            encoder.text(module);
            // `import a.b` binds `a`; `import a.b as c` binds the module itself.
            let top = module.split('.').next().unwrap_or(module);
            encoder.flag(alias.asname.is_some() && top != module);
            encoder.name(alias.asname.as_ref().map_or(top, |name| name.as_str()));
        });
    }

    /// `from .a import b as c`.
    fn import_from(&mut self, import: &ast::StmtImportFrom) {
        self.tag(Tag::ImportFrom);
        self.flag(import.is_lazy);
        self.hasher.count(import.level as usize);
        self.optional(import.module.as_ref(), |encoder, module| encoder.text(module));
        self.list(&import.names, |encoder, alias| {
            encoder.text(&alias.name);
            encoder.name(alias.asname.as_ref().unwrap_or(&alias.name));
        });
    }
}
