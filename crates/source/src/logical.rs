//! A text by logical lines, without comments and docstrings: what a difference is shown of.

use ruff_python_ast::PySourceType;
use ruff_python_ast::token::TokenKind;
use ruff_python_parser::parse_unchecked_source;
use ruff_text_size::{Ranged, TextRange, TextSize};

use crate::depth::{self, MAX_DEPTH, with_stack};
use crate::lines::Lines;

/// The longest text that is taken apart, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// A statement of one line, or the head of a longer one, over as many lines as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalLine {
    /// Equal if nothing but layout and comments differs.
    pub key: String,
    /// The text, whole lines with their ends, comments left out.
    pub text: String,
}

/// The logical lines of a Python text, which may be indented as a whole; `None` if it does not
/// parse.
///
/// ```
/// use thrifty_source::logical_lines;
///
/// let one = logical_lines("def f(a):\n    '''Adds.'''\n    return (a +  # once\n        1)\n").unwrap();
/// let other = logical_lines("  def f(a):\n    return (a + 1)\n").unwrap();
/// let keys = |lines: Vec<thrifty_source::LogicalLine>| -> Vec<String> {
///     lines.into_iter().map(|line| line.key).collect()
/// };
/// assert_eq!(one[1].text, "    return (a +\n        1)\n");
/// assert_eq!(keys(one), keys(other));
/// ```
pub fn logical_lines(text: &str) -> Option<Vec<LogicalLine>> {
    let text = dedented(text);
    let depth = depth::of(&text);
    if text.len() > MAX_BYTES || depth > MAX_DEPTH {
        return None;
    }
    with_stack(depth, || {
        let parsed = parse_unchecked_source(&text, PySourceType::Python);
        if !parsed.errors().is_empty() {
            return None;
        }
        let mut reader = LineReader::new(&text);
        for token in parsed.tokens() {
            reader.take(token.kind(), token.range());
        }
        reader.flush();
        Some(reader.found)
    })
}

/// The text moved to the left margin, as far as its first line is indented.
fn dedented(text: &str) -> String {
    let indent: String = text.chars().take_while(|it| matches!(it, ' ' | '\t')).collect();
    let lines = text.split_inclusive('\n');
    lines.map(|line| line.strip_prefix(&indent).unwrap_or(line)).collect()
}

struct LineReader<'a> {
    text: &'a str,
    lines: Lines,
    found: Vec<LogicalLine>,
    depth: usize,
    /// The tokens of the line that is being read.
    key: String,
    range: Option<TextRange>,
    is_string: bool,
    comments: Vec<TextRange>,
}

impl<'a> LineReader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            lines: Lines::of(text),
            found: Vec::new(),
            depth: 0,
            key: String::new(),
            range: None,
            is_string: true,
            comments: Vec::new(),
        }
    }

    fn take(&mut self, kind: TokenKind, range: TextRange) {
        match kind {
            TokenKind::Comment => self.comments.push(range),
            TokenKind::NonLogicalNewline | TokenKind::EndOfFile => {}
            TokenKind::Indent => self.depth += 1,
            TokenKind::Dedent => self.depth = self.depth.saturating_sub(1),
            TokenKind::Newline => self.flush(),
            kind => {
                self.is_string &= kind == TokenKind::String;
                self.key.push_str(&self.text[range]);
                // No token holds it, so that `a b` and `ab` stay apart.
                self.key.push('\u{1f}');
                self.range = Some(self.range.map_or(range, |line| line.cover(range)));
            }
        }
    }

    /// Ends a line. Text alone says nothing: a docstring.
    fn flush(&mut self) {
        let is_string = std::mem::replace(&mut self.is_string, true);
        let key = std::mem::take(&mut self.key);
        if let Some(range) = self.range.take().filter(|_| !is_string) {
            let key = format!("{}\u{1f}{key}", self.depth);
            self.found.push(LogicalLine { key, text: self.written(range) });
        }
        self.comments.clear();
    }

    /// The lines of a range, without what of them was nothing but comment.
    fn written(&self, range: TextRange) -> String {
        let mut at = self.lines.start(range.start());
        let mut written = String::new();
        let end = usize::from(range.end());
        while at < end {
            let rest = &self.text[at..end];
            let stop = at + rest.find('\n').unwrap_or(rest.len());
            let offset = |at: usize| TextSize::try_from(at).unwrap_or_default();
            let line = TextRange::new(offset(at), offset(stop));
            let comment = self.comments.iter().find(|it| line.contains_range(**it));
            let until = comment.map_or(stop, |comment| usize::from(comment.start()));
            let kept = self.text[at..until].trim_end();
            if comment.is_none() || !kept.is_empty() {
                written.push_str(kept);
                written.push('\n');
            }
            at = stop + 1;
        }
        written
    }
}
