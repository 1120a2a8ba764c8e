//! One parsed source text and the questions it answers.

use std::sync::OnceLock;

use ruff_python_ast::visitor::Visitor;
use ruff_python_ast::{PySourceType, Stmt, StmtImportFrom, Suite};
use ruff_python_parser::parse_unchecked_source;
use ruff_text_size::{Ranged, TextRange, TextSize};
use thrifty_key::{Context, Digest, Hasher};

use crate::FORMAT;
use crate::definition::Definition;
use crate::depth::{self, MAX_DEPTH, with_stack};
use crate::error::{LookupError, ParseError};
use crate::find::{self, Found};
use crate::lines::Lines;
use crate::normalise::{self, Subject};
use crate::outline::Outline;
use crate::scope::Builder;
use crate::visible::IgnoreDecorator;

/// The longest text accepted, in bytes: the parser counts in 32 bits.
const MAX_BYTES: usize = 256 << 20;

/// One source text: of a module, a script, a notebook cell.
///
/// Parsing costs about a millisecond for three thousand lines; a lookup reads only what can hold
/// the answer. Of the answers only the outline is remembered.
pub struct Module {
    text: String,
    body: Suite,
    lines: Lines,
    /// Upper bound of the depth of the tree: what a walk of it needs as stack.
    depth: usize,
    outline: OnceLock<Outline>,
    /// Docstrings and annotations count everywhere.
    shown: bool,
}

impl Module {
    /// Parses a text as the newest Python, whatever interpreter runs.
    ///
    /// # Errors
    /// [`ParseError`] if it is no valid syntax, nests deeper than any interpreter accepts, or is
    /// longer than 256 MiB.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.len() > MAX_BYTES {
            let message = format!("{} bytes of source are more than {MAX_BYTES}", text.len());
            return Err(ParseError { line: 1, column: 1, message });
        }
        let depth = depth::of(text);
        if depth > MAX_DEPTH {
            let message =
                format!("nested about {depth} levels deep, more than {MAX_DEPTH}: split it");
            return Err(ParseError { line: 1, column: 1, message });
        }
        let lines = Lines::of(text);
        with_stack(depth, || {
            let parsed = parse_unchecked_source(text, PySourceType::Python);
            if let Some(first) = parsed.errors().first() {
                let message = first.error.to_string();
                return Err(fault(text, &lines, first.location.start(), message));
            }
            let body = parsed.into_syntax().body;
            Ok(Self {
                text: text.to_owned(),
                body,
                lines,
                depth,
                outline: OnceLock::new(),
                shown: false,
            })
        })
    }

    /// The same text, of which docstrings and annotations count: for definitions that are handed to
    /// something that reads them ([`Definition::reads_definitions`]).
    ///
    /// ```
    /// use thrifty_source::Module;
    ///
    /// let text = "def add(a: int):\n    'Adds one.'\n    return a + 1\n";
    /// let plain = Module::parse(text)?.definition_at(1, "add", &|_| false)?.digest;
    /// let other = Module::parse(&text.replace("one", "1"))?.shown();
    /// assert_ne!(other.definition_at(1, "add", &|_| false)?.digest, plain);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// The text itself, as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the module binds at its top level, and how surely; read when first asked for.
    pub fn outline(&self) -> &Outline {
        self.outline.get_or_init(|| {
            with_stack(self.depth, || Outline::of(&self.text, &self.body, &self.lines))
        })
    }

    /// The function, class or lambda that begins at this line (from 1): `co_firstlineno`, which is
    /// the line of the first decorator. A lambda has the name `<lambda>`.
    ///
    /// `ignore_decorators` is given the dotted path of each decorator, called or not; the ones it
    /// claims, with their arguments, are no part of the definition.
    ///
    /// ```
    /// use thrifty_source::Module;
    ///
    /// let module = Module::parse("@cache.task(retries=3)\ndef load(path):\n    return read(path)\n")?;
    /// let ours = |path: &[String]| path[0] == "cache";
    /// let load = module.definition_at(1, "load", &ours)?;
    /// assert_eq!(load.references.len(), 1, "`read`, and no decorator");
    /// assert!(module.definition_at(2, "load", &ours).is_err(), "it begins with its decorator");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LookupError::NoDefinitionAt`] if none begins there under that name, and
    /// [`LookupError::Ambiguous`] if several do that are not the same.
    pub fn definition_at(
        &self,
        line: u32,
        name: &str,
        ignore_decorators: &dyn Fn(&[String]) -> bool,
    ) -> Result<Definition<'_>, LookupError> {
        with_stack(self.depth, || {
            let found = find::at_line(&self.body, &self.lines, line, name);
            self.single(found, name, ignore_decorators)?
                .ok_or_else(|| LookupError::NoDefinitionAt { line, name: name.to_owned() })
        })
    }

    /// The innermost lambda whose body holds a place: a line, from 1, and a column in bytes, from 0, as
    /// `co_positions` has them. It tells lambdas of one line apart.
    ///
    /// ```
    /// use thrifty_source::Module;
    ///
    /// let module = Module::parse("up, down = lambda x: x + 1, lambda x: x - 1\n")?;
    /// assert!(module.definition_at(1, "<lambda>", &|_| false).is_err(), "which of the two?");
    /// assert_eq!(module.lambda_around(1, 38)?.text, "lambda x: x - 1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LookupError::NoDefinitionAt`] if the place is in the body of none.
    pub fn lambda_around(&self, line: u32, column: u32) -> Result<Definition<'_>, LookupError> {
        with_stack(self.depth, || {
            let place = self.lines.offset(line, column);
            let found = place.and_then(|place| find::lambda_around(&self.body, place));
            let none = || LookupError::NoDefinitionAt { line, name: "<lambda>".to_owned() };
            found.map(|found| self.describe(&found, &|_| false)).ok_or_else(none)
        })
    }

    /// The class of this `__qualname__`: `Outer.Inner`, `function.<locals>.Inner`.
    ///
    /// A live class tells no line before Python 3.13, so its name is all there is. The definition is the
    /// whole statement, methods included: an instance may be asked for any of them.
    ///
    /// # Errors
    /// [`LookupError::NoClass`] if there is none, and [`LookupError::Ambiguous`] if several
    /// different ones have that name, as in the branches of an `if`.
    pub fn class_named(
        &self,
        qualified_name: &str,
        ignore_decorators: &dyn Fn(&[String]) -> bool,
    ) -> Result<Definition<'_>, LookupError> {
        with_stack(self.depth, || {
            let found = find::classes(&self.body, qualified_name);
            self.single(found, qualified_name, ignore_decorators)?
                .ok_or_else(|| LookupError::NoClass { name: qualified_name.to_owned() })
        })
    }

    /// What the module assigns to a name at its top level.
    ///
    /// The digest is over all such assignments in their order, for which of them ran cannot be
    /// read; the text is the expression of the last. None if no assignment binds the name.
    ///
    /// ```
    /// use thrifty_source::Module;
    ///
    /// let module = Module::parse("rate = read('a')\nif fast:\n    rate = 2 * read('b')\n")?;
    /// let rate = module.assignment("rate").expect("it is assigned twice");
    /// assert_eq!(rate.text, "2 * read('b')");
    /// assert_eq!(rate.references[0].path, ["read"]);
    /// # Ok::<(), thrifty_source::ParseError>(())
    /// ```
    pub fn assignment(&self, name: &str) -> Option<Definition<'_>> {
        with_stack(self.depth, || {
            let found = find::assignments(&self.body, name);
            let last = found.last().copied().and_then(find::assigned)?.range();
            let start = last.start();
            let found = Found { subject: Subject::Assignments(found), class: None, start };
            let mut definition = self.describe(&found, &|_| false);
            definition.text = &self.text[last];
            Some(definition)
        })
    }

    /// All that the module does when it is run: for scripts, which are code as a whole.
    ///
    /// The names it binds stay, and so does its docstring where the code mentions `__doc__`. The
    /// imports are those of the whole text.
    ///
    /// ```
    /// use thrifty_source::Module;
    ///
    /// let before = Module::parse("'Adds.'\nimport sys  # for arguments\nprint(sys.argv)\n")?;
    /// let after = Module::parse("import sys\nprint( sys.argv )\n")?;
    /// assert_eq!(before.whole().digest, after.whole().digest);
    /// assert_eq!(after.whole().imports[0].module.as_deref(), Some("sys"));
    /// # Ok::<(), thrifty_source::ParseError>(())
    /// ```
    pub fn whole(&self) -> Definition<'_> {
        with_stack(self.depth, || {
            let start = TextSize::new(0);
            let found = Found { subject: Subject::Module(&self.body), class: None, start };
            let mut definition = self.describe(&found, &|_| false);
            if definition.references.iter().any(|name| name.path[0] == "__doc__") {
                let text = self.text.as_bytes();
                let mut hasher = Hasher::new(Context::Code);
                definition.digest =
                    hasher.count(FORMAT as usize).digest(&definition.digest).framed(text).finish();
            }
            definition
        })
    }

    /// The one definition among the candidates, if there are any.
    fn single(
        &self,
        found: Vec<Found<'_>>,
        name: &str,
        ignore: IgnoreDecorator<'_>,
    ) -> Result<Option<Definition<'_>>, LookupError> {
        let mut candidates: Vec<_> = found.iter().map(|one| self.describe(one, ignore)).collect();
        if candidates.windows(2).any(|pair| pair[0].digest != pair[1].digest) {
            let lines = candidates.iter().map(|one| one.first_line).collect();
            return Err(LookupError::Ambiguous { name: name.to_owned(), lines });
        }
        Ok(if candidates.is_empty() { None } else { Some(candidates.swap_remove(0)) })
    }

    /// Fingerprints what was found: one reading for its names, a second one that writes.
    fn describe(&self, found: &Found<'_>, ignore: IgnoreDecorator<'_>) -> Definition<'_> {
        let mut builder = Builder::new(found.class, ignore, self.shown);
        let end = match &found.subject {
            Subject::Statement(statement) => {
                builder.visit_stmt(statement);
                statement.end()
            }
            Subject::Expression(expression) => {
                builder.visit_expr(expression);
                expression.end()
            }
            Subject::Module(body) => {
                builder.visit_body(body);
                TextSize::of(self.text.as_str())
            }
            Subject::Assignments(statements) => {
                statements.iter().for_each(|statement| builder.visit_stmt(statement));
                found.start
            }
        };
        let mut scopes = builder.finish();
        let digest = normalise::digest(&found.subject, &scopes, ignore, &self.text);
        Definition {
            digest: if self.shown { self.with_future(digest) } else { digest },
            references: scopes.references(),
            in_texts: scopes.in_texts(),
            text: &self.text[TextRange::new(found.start, end)],
            first_line: self.lines.line(found.start),
            opaque: scopes.opaque(|offset| self.lines.line(offset)),
            imports: std::mem::take(&mut scopes.imports),
            reads_definitions: scopes.reads_definitions,
            parses_arguments: scopes.parses_arguments,
            attributes: std::mem::take(&mut scopes.attributes),
        }
    }
}

impl Module {
    /// A digest in which annotations count; `from __future__ import annotations` makes texts of them.
    fn with_future(&self, digest: Digest) -> Digest {
        let is_future = |import: &StmtImportFrom| {
            import.module.as_deref() == Some("__future__")
                && import.names.iter().any(|alias| &alias.name == "annotations")
        };
        let mut imports = self.body.iter().filter_map(Stmt::as_import_from_stmt);
        match imports.any(is_future) {
            true => Hasher::new(Context::Code).count(FORMAT as usize).digest(&digest).finish(),
            false => digest,
        }
    }
}

impl Drop for Module {
    /// A deep tree needs its stack to be dropped, too.
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body);
        with_stack(self.depth, move || drop(body));
    }
}

/// An error of the parser, with its offset as line and column.
fn fault(text: &str, lines: &Lines, offset: TextSize, message: String) -> ParseError {
    let before = text.get(lines.start(offset)..offset.to_usize()).unwrap_or_default();
    let column = u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX);
    ParseError { line: lines.line(offset), column, message }
}
