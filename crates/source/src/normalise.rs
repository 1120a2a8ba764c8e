//! The normalised tree, written into a digest.
//!
//! Every node is a [`Tag`] and then its fields in a fixed order; lists carry their count, optional
//! fields a presence byte, texts their length. Two trees with the same bytes are the same program but
//! for what nobody can see. `docs/formats/code.md` is the specification.
//!
//! The encoding is injective on what it keeps: every node begins with its tag, every list with its
//! length, every text with its size, so no two trees flatten into the same bytes. What it leaves
//! out is left out by three rules, each in one place: statements that do nothing (`statement.rs`),
//! annotations and docstrings that nobody reads (`function.rs`, by `crate::visible`), and names of
//! locals that nobody sees ([`Encoder::name`], by `crate::scope`).
//!
//! The match over all kinds is split by family, so that each function shows one idea; a family
//! never receives a node of another.

mod expression;
mod function;
mod literal;
mod pattern;
mod statement;
mod tag;

use std::collections::BTreeMap;

use ruff_python_ast::{Expr, Stmt};
use thrifty_key::{Context, Digest, Hasher};

use crate::FORMAT;
use crate::scope::{OUTSIDE, ScopeId, Scopes, Spelling};
use crate::visible::IgnoreDecorator;
use tag::Tag;

/// What is fingerprinted.
#[derive(Clone)]
pub(crate) enum Subject<'a> {
    /// A function or class.
    Statement(&'a Stmt),
    /// A lambda.
    Expression(&'a Expr),
    /// All assignments of the module to one name.
    Assignments(Vec<&'a Stmt>),
    /// The whole module.
    Module(&'a [Stmt]),
}

/// The digest of a subject whose names are known.
pub(crate) fn digest(
    subject: &Subject<'_>,
    scopes: &Scopes,
    ignore: IgnoreDecorator<'_>,
    source: &str,
) -> Digest {
    let hasher = Hasher::new(Context::Code);
    let mut encoder =
        Encoder { hasher, scopes, ignore, source, scope: OUTSIDE, mentioned: BTreeMap::new() };
    encoder.hasher.count(FORMAT as usize);
    match subject {
        Subject::Statement(statement) => encoder.statement(statement),
        Subject::Expression(expression) => encoder.expression(expression),
        Subject::Assignments(statements) => {
            encoder.tag(Tag::Assignments);
            encoder.list(statements, |encoder, statement| encoder.statement(statement));
        }
        Subject::Module(body) => {
            encoder.tag(Tag::Module);
            encoder.body(body);
        }
    }
    encoder.hasher.finish()
}

/// Writes nodes; knows where it stands.
struct Encoder<'e> {
    hasher: Hasher,
    /// What every name of the definition means; complete before the first byte is written.
    scopes: &'e Scopes,
    ignore: IgnoreDecorator<'e>,
    /// The whole text, for the few things that count by their spelling.
    source: &'e str,
    /// The scope of what is written now.
    scope: ScopeId,
    mentioned: BTreeMap<ScopeId, Mentioned>,
}

/// A scope of which a variable was written: numbers are given by first mention, so that they follow from
/// the encoding alone.
struct Mentioned {
    /// Its place among the scopes of which something was written.
    number: usize,
    /// The number of each renamed local, by its place in [`Scopes`].
    locals: BTreeMap<usize, usize>,
}

impl Encoder<'_> {
    /// Begins a node.
    fn tag(&mut self, tag: Tag) {
        self.hasher.tag(tag as u8);
    }

    /// One byte, 0 or 1.
    fn flag(&mut self, flag: bool) {
        self.hasher.tag(u8::from(flag));
    }

    /// Length and UTF-8.
    fn text(&mut self, text: &str) {
        self.hasher.framed(text.as_bytes());
    }

    /// A name that is no variable: of an attribute, a keyword, a function.
    fn member(&mut self, name: &str) {
        let name = self.scopes.mangle(self.scope, name);
        self.text(&name);
    }

    /// A variable.
    fn name(&mut self, name: &str) {
        match self.scopes.spelling(self.scope, name) {
            Spelling::Free(name) => {
                self.tag(Tag::Free);
                self.text(&name);
            }
            Spelling::Named(scope, name) => {
                self.tag(Tag::Named);
                let scope = self.mention(scope).number;
                self.hasher.count(scope);
                self.text(&name);
            }
            Spelling::Numbered(scope, index) => {
                self.tag(Tag::Numbered);
                let scope = self.mention(scope);
                let next = scope.locals.len();
                let (scope, local) = (scope.number, *scope.locals.entry(index).or_insert(next));
                self.hasher.count(scope).count(local);
            }
        }
    }

    /// The number of a scope, given now if this is its first mention.
    fn mention(&mut self, scope: ScopeId) -> &mut Mentioned {
        let number = self.mentioned.len();
        self.mentioned.entry(scope).or_insert(Mentioned { number, locals: BTreeMap::new() })
    }

    /// A count, then the items.
    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.hasher.count(items.len());
        items.iter().for_each(|item| write(self, item));
    }

    /// A presence byte, then the item if it is there.
    fn optional<T>(&mut self, item: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(item.is_some());
        if let Some(item) = item {
            write(self, item);
        }
    }

    /// A list of expressions.
    fn expressions(&mut self, items: &[Expr]) {
        self.list(items, Self::expression);
    }

    /// An expression that may be missing.
    fn optional_expression(&mut self, item: Option<&Expr>) {
        self.optional(item, Self::expression);
    }

    /// Writes inside the scope that the node opened.
    fn inside<T>(&mut self, node: &T, write: impl FnOnce(&mut Self)) {
        let scope = self.scopes.opened_by(node, self.scope);
        self.at(scope, write);
    }

    /// Writes inside another scope.
    fn at(&mut self, scope: ScopeId, write: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.scope, scope);
        write(self);
        self.scope = outer;
    }
}
