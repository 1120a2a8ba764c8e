//! Patterns of `match`.
//!
//! A name alone is a capture and binds a local; a dotted name is a value that is compared. `_` is a
//! capture without a name, and is written as one.

use ruff_python_ast::{self as ast, Pattern, Singleton};

use super::{Encoder, Tag};

impl Encoder<'_> {
    /// One pattern, whatever it is nested in.
    pub(super) fn pattern(&mut self, pattern: &Pattern) {
        match pattern {
            Pattern::MatchValue(one) => {
                self.tag(Tag::MatchValue);
                self.expression(&one.value);
            }
            Pattern::MatchSingleton(one) => {
                self.tag(Tag::MatchSingleton);
                self.tag(match one.value {
                    Singleton::None => Tag::None,
                    Singleton::True => Tag::True,
                    Singleton::False => Tag::False,
                });
            }
            Pattern::MatchSequence(one) => {
                self.tag(Tag::MatchSequence);
                self.list(&one.patterns, Self::pattern);
            }
            Pattern::MatchMapping(one) => {
                self.tag(Tag::MatchMapping);
                self.expressions(&one.keys);
                self.list(&one.patterns, Self::pattern);
                self.capture(one.rest.as_ref());
            }
            Pattern::MatchClass(one) => {
                self.tag(Tag::MatchClass);
                self.expression(&one.cls);
                self.list(&one.arguments.patterns, Self::pattern);
                self.list(&one.arguments.keywords, |encoder, keyword| {
                    encoder.text(&keyword.attr);
                    encoder.pattern(&keyword.pattern);
                });
            }
            Pattern::MatchStar(one) => {
                self.tag(Tag::MatchStar);
                self.capture(one.name.as_ref());
            }
            Pattern::MatchAs(one) => {
                self.tag(Tag::MatchAs);
                self.optional(one.pattern.as_deref(), Self::pattern);
                self.capture(one.name.as_ref());
            }
            Pattern::MatchOr(one) => {
                self.tag(Tag::MatchOr);
                self.list(&one.patterns, Self::pattern);
            }
        }
    }

    /// The local that a pattern binds, if it does.
    fn capture(&mut self, name: Option<&ast::Identifier>) {
        self.optional(name, |encoder, name| encoder.name(name));
    }
}
