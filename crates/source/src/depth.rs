//! How deep a text nests, and stack enough to walk it.
//!
//! Parser, visitors and destructors of the tree call themselves once a level. A text such as
//! `((((…))))` of a few kilobytes would overflow the stack of any of them, which ends the process and
//! cannot be caught. So the depth is bounded before the tree exists, and every walk runs on a
//! stack that fits it.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// The deepest tree accepted. CPython 3.11 itself gives up at about half of it.
pub(crate) const MAX_DEPTH: usize = 6_000;

/// Stack for one level of the tree, with room to spare in an unoptimised build.
const BYTES_PER_LEVEL: usize = 16 * 1024;

/// Runs `walk` with stack enough for a tree of this depth. Ordinary sources fit the stack they
/// have; a deep one gets a stack of its own.
pub(crate) fn with_stack<T>(depth: usize, walk: impl FnOnce() -> T) -> T {
    let needed = 128 * 1024 + depth * BYTES_PER_LEVEL;
    stacker::maybe_grow(needed, needed, walk)
}

/// One bracket that is open, or the statement around all brackets.
#[derive(Default)]
struct Level {
    /// Tokens since the last comma that can each put one tree below another.
    nesting: usize,
    /// Lambdas whose parameters have not ended. Their commas end no expression.
    lambdas: usize,
}

/// An upper bound of the depth of the tree that a text parses to.
///
/// Every level of a tree takes a token: an operator, a keyword, a bracket, an indentation. Tokens
/// before a comma are not above those after it. Counting tells before the parser is asked, whose
/// tree cannot even be dropped when it is too deep.
pub(crate) fn of(text: &str) -> usize {
    let mut lexer = lexer::lex(text, Mode::Module);
    let (mut levels, mut total, mut deepest) = (vec![Level::default()], 0, 0);
    loop {
        let token = lexer.next_token();
        let Some(level) = levels.last_mut() else {
            return deepest;
        };
        match token {
            TokenKind::EndOfFile => return deepest,
            TokenKind::Indent => total += 4,
            TokenKind::Dedent => total = usize::saturating_sub(total, 4),
            TokenKind::Newline | TokenKind::Semi => total -= std::mem::take(level).nesting,
            TokenKind::Comma if level.lambdas == 0 => total -= std::mem::take(level).nesting,
            token if opens(token) => {
                level.nesting += 1;
                total += 1;
                levels.push(Level::default());
            }
            token if closes(token) => {
                total -= level.nesting;
                levels.pop();
                if levels.is_empty() {
                    levels.push(Level::default());
                }
            }
            token if is_atom(token) => {}
            token => {
                match token {
                    TokenKind::Lambda => level.lambdas += 1,
                    TokenKind::Colon => level.lambdas = level.lambdas.saturating_sub(1),
                    _ => {}
                }
                level.nesting += 1;
                total += 1;
            }
        }
        deepest = deepest.max(total);
    }
}

/// Brackets, and texts with expressions in them.
fn opens(token: TokenKind) -> bool {
    use TokenKind::{FStringStart, Lbrace, Lpar, Lsqb, TStringStart};
    matches!(token, Lpar | Lsqb | Lbrace | FStringStart | TStringStart)
}

/// What ends what [`opens`] begins.
fn closes(token: TokenKind) -> bool {
    use TokenKind::{FStringEnd, Rbrace, Rpar, Rsqb, TStringEnd};
    matches!(token, Rpar | Rsqb | Rbrace | FStringEnd | TStringEnd)
}

/// Tokens that are leaves of the tree, or no part of it.
fn is_atom(token: TokenKind) -> bool {
    use TokenKind::{
        Comment, Complex, Ellipsis, FStringMiddle, False, Float, Int, Name, NonLogicalNewline,
        None, String, TStringMiddle, True,
    };
    matches!(
        token,
        Name | Int | Float | Complex | String | FStringMiddle | TStringMiddle | True | False | None
    ) || matches!(token, Ellipsis | Comment | NonLogicalNewline)
}
