//! Names that stand in texts: of SQL over frames, of formulas, of expressions for data frames.
//!
//! Which text is handed to a reader is not asked, for it may get there through a variable: where
//! the definition mentions a reader, all its texts are read. What a text names and the module does
//! not bind is a word or a column, which whoever resolves the names finds out.

use ruff_python_ast::{self as ast, Expr};
use ruff_text_size::{Ranged, TextSize};

use super::super::uses::{Role, Use};
use super::super::{Resolved, ScopeId};
use super::Builder;
use crate::definition::OpaqueKind;
use crate::visible;

/// What was met of texts, and of what reads names in them.
#[derive(Default)]
pub(super) struct Texts {
    /// Scope, text and place of each.
    met: Vec<(ScopeId, String, TextSize)>,
    /// Something reads names behind `@`.
    marked: bool,
    /// Something reads all names.
    all: bool,
    /// Scope and name of what is asked to `query` or `eval`: of a module, all names are read.
    asked: Vec<(ScopeId, String)>,
}

impl Builder<'_> {
    /// Keeps a text.
    pub(super) fn keep_text(&mut self, text: &str, at: TextSize) {
        self.texts.met.push((self.current, text.to_owned(), at));
    }

    /// Notices what reads names in texts. Methods `eval` are many; they are told by their calls.
    pub(super) fn notice_reader(&mut self, name: &str) {
        match name {
            "eval" => {}
            "query" => self.texts.marked = true,
            name => self.texts.all |= visible::reads_text(name).is_some(),
        }
    }

    /// A call that may be handed a text with names.
    pub(super) fn reads_names(&mut self, call: &ast::ExprCall) {
        let (name, object) = match &*call.func {
            Expr::Name(function) => (function.id.as_str(), None),
            Expr::Attribute(method) => (method.attr.as_str(), Some(&*method.value)),
            _ => return,
        };
        let Some(reader) = visible::reads_text(name) else {
            return;
        };
        let arguments = &call.arguments;
        if arguments.is_empty() {
            return;
        }
        let object = object.map(Expr::as_name_expr);
        match (name, object) {
            ("eval", None) => self.texts.all = true,
            ("eval" | "query", Some(Some(module))) => {
                let module = self.mangled(&module.id);
                self.texts.asked.push((self.current, module));
                self.texts.marked = true;
            }
            ("eval" | "query", _) => self.texts.marked = true,
            _ => {}
        }
        // The builtin is told of as itself. Models and methods of other libraries have these names.
        let is_likely = match name {
            "eval" => object.is_some(),
            "evaluate" => object.is_some_and(|it| it.is_some()),
            "query" | "sql" | "execute" | "dmatrix" | "dmatrices" | "from_formula" => true,
            _ => arguments.len() > 1,
        };
        if is_likely && !visible::text_argument(arguments).is_some_and(visible::is_written_out) {
            self.scopes.opaque.push((call.start(), OpaqueKind::NamesInText(reader)));
        }
    }

    /// The uses that texts amount to; once all bindings are known.
    pub(super) fn settle_texts(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        let is_of_a_module = |(scope, name): &(ScopeId, String)| self.scopes.is_outer(*scope, name);
        let all = texts.all || texts.asked.iter().any(is_of_a_module);
        if !all && !texts.marked {
            return;
        }
        for (scope, text, at) in texts.met {
            for path in names_in(&text, all || is_sql(&text)) {
                self.scopes.uses.push(Use {
                    scope,
                    path,
                    role: Role::InText,
                    at,
                    bound_before: false,
                });
            }
        }
    }
}

/// Whether a text is a query of SQL: `from` is no name in an expression of Python.
fn is_sql(text: &str) -> bool {
    text.split(|c: char| !is_part(c)).any(|word| word.eq_ignore_ascii_case("from"))
}

/// Whether a character can be part of a name.
fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names in a text with the attributes read from them: all, or those behind `@`.
fn names_in(text: &str, all: bool) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut is_marked = false;
    while let Some(first) = rest.chars().next() {
        let is_dotted = |c: char| is_part(c) || c == '.';
        let length = rest.find(|c| !is_dotted(c)).unwrap_or(rest.len());
        if length == 0 {
            is_marked = first == '@' || is_marked && first.is_whitespace();
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        let path: Vec<&str> = word.split('.').take_while(|part| !part.is_empty()).collect();
        if (all || is_marked) && !path.is_empty() && !first.is_numeric() {
            found.push(path.into_iter().map(str::to_owned).collect());
        }
        (rest, is_marked) = (after, false);
    }
    found
}

impl super::super::Scopes {
    /// Whether a name stands for something outside of the definition.
    fn is_outer(&self, from: ScopeId, name: &str) -> bool {
        match self.resolve(from, name) {
            Resolved::Free => true,
            Resolved::Local(owner) => self.scopes[owner].names[name].imported,
        }
    }
}
