//! What can go wrong: reading a text, and looking something up in it.

/// The text is not Python that can be fingerprinted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read python source at line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Line of the fault, from 1.
    pub line: u32,
    /// Column of the fault in characters, from 1.
    pub column: u32,
    /// What is wrong, in the parser's words.
    pub message: String,
}

/// The text holds no single answer to the question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No such definition begins at the line: the file changed after it was imported, or another
    /// text was asked.
    #[error(
        "no definition of `{name}` begins at line {line}: import the module again if its file changed"
    )]
    NoDefinitionAt {
        /// The line asked for, from 1.
        line: u32,
        /// The name asked for.
        name: String,
    },
    /// No class of this qualified name.
    #[error("no class `{name}` in the source: import the module again if its file changed")]
    NoClass {
        /// The qualified name asked for.
        name: String,
    },
    /// Several different definitions fit, and guessing could serve a stale value.
    #[error(
        "`{name}` has several definitions, at lines {lines:?}: give each a name or a line of its own"
    )]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// Where the candidates begin, from 1, ascending.
        lines: Vec<u32>,
    },
}
