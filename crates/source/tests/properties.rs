//! What must hold for every text: layout and hidden names do not count, nothing panics.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Decorator, Expr, FString, Pattern, Stmt, TString};
use ruff_python_parser::parse_module;
use ruff_text_size::Ranged;
use thrifty_key::Digest;
use thrifty_source::Module;

const SAMPLE: &str = include_str!("samples/features.py");

/// Names of all functions and classes of a text, and that of lambdas.
fn names(source: &str) -> BTreeSet<&str> {
    let mut words = source.split(|c: char| !c.is_alphanumeric() && c != '_').peekable();
    let mut names = BTreeSet::from(["<lambda>"]);
    while let Some(word) = words.next() {
        if let ("def" | "class", Some(name)) = (word, words.peek()) {
            names.insert(*name);
        }
    }
    names
}

/// Digests of everything that begins on any line, in order, without the lines.
fn digests(source: &str) -> Vec<(String, Digest)> {
    let module = Module::parse(source).unwrap_or_else(|error| panic!("{error}\n{source}"));
    let lines = 1..=u32::try_from(source.lines().count()).unwrap();
    let names = names(source);
    let at = |line| {
        let found = names.iter().map(move |name| (name, line));
        found.filter_map(|(name, line)| {
            let found = module.definition_at(line, name, &|_| false).ok()?;
            Some(((*name).to_owned(), found.digest))
        })
    };
    lines.flat_map(at).collect()
}

/// Digests of what is not defined inside a function: there the names around it, which are locals of the
/// function, are free.
fn outermost(source: &str) -> Vec<(String, Digest)> {
    let inner = ["haversine", "bump", "<lambda>"];
    digests(source).into_iter().filter(|(name, _)| !inner.contains(&&**name)).collect()
}

/// Asks a text everything there is to ask.
fn exercise(source: &str) {
    let Ok(module) = Module::parse(source) else {
        return;
    };
    let _ = module.outline();
    for name in names(source) {
        for line in 0..=u32::try_from(source.lines().count()).unwrap() {
            let _ = module.definition_at(line, name, &|_| false);
        }
        let _ = module.class_named(name, &|_| true);
        let _ = module.assignment(name);
    }
}

/// Ends of logical lines and of lines inside brackets: where a comment may stand.
fn line_ends(source: &str) -> Vec<(usize, bool)> {
    let parsed = parse_module(source).unwrap();
    let ends = parsed.tokens().iter().filter_map(|token| match token.kind() {
        TokenKind::Newline => Some((token.start().to_usize(), true)),
        TokenKind::NonLogicalNewline => Some((token.start().to_usize(), false)),
        _ => None,
    });
    ends.collect()
}

/// Expressions around which parentheses change nothing.
struct Parenthesisable(Vec<(usize, usize)>);

impl<'a> Visitor<'a> for Parenthesisable {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        let stays = match expression {
            Expr::Starred(_) | Expr::Slice(_) | Expr::Generator(_) => false,
            Expr::Name(name) => name.ctx.is_load(),
            Expr::Attribute(attribute) => attribute.ctx.is_load(),
            Expr::Subscript(subscript) => subscript.ctx.is_load(),
            Expr::List(list) => list.ctx.is_load(),
            Expr::Tuple(tuple) => {
                tuple.ctx.is_load()
                    && !tuple.elts.iter().any(|one| one.is_starred_expr() || one.is_slice_expr())
            }
            _ => true,
        };
        if stays {
            let range = expression.range();
            self.0.push((range.start().to_usize(), range.end().to_usize()));
        }
        walk_expr(self, expression);
    }

    fn visit_decorator(&mut self, _: &'a Decorator) {}
    fn visit_pattern(&mut self, _: &'a Pattern) {}
    fn visit_f_string(&mut self, _: &'a FString) {}
    fn visit_t_string(&mut self, _: &'a TString) {}
}

fn insert(source: &str, mut insertions: Vec<(usize, String)>) -> String {
    insertions.sort_by_key(|(at, _)| *at);
    let mut text = source.to_owned();
    for (at, inserted) in insertions.into_iter().rev() {
        text.insert_str(at, &inserted);
    }
    text
}

/// The locals of the sample: names that begin with `local_`.
fn locals() -> Vec<&'static str> {
    let words = SAMPLE.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("local_")).collect::<BTreeSet<_>>().into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn comments_and_blank_lines_do_not_count(
        places in prop::collection::vec((any::<Index>(), "[^\r\n]{0,20}", 0..3usize), 1..40),
    ) {
        let ends = line_ends(SAMPLE);
        let mut seen = BTreeSet::new();
        let insertions = places.iter().filter_map(|(place, comment, blank)| {
            let &(at, logical) = place.get(&ends);
            let blank = if logical { "\n   \t# alone\n".repeat(*blank) } else { "\n".repeat(*blank) };
            seen.insert(at).then(|| (at, format!("  #{comment}{blank}")))
        });
        let changed = insert(SAMPLE, insertions.collect());
        prop_assert_eq!(digests(SAMPLE), digests(&changed), "{}", changed);
    }

    #[test]
    fn parentheses_do_not_count(places in prop::collection::vec(any::<Index>(), 1..20)) {
        let mut all = Parenthesisable(Vec::new());
        let tree = parse_module(SAMPLE).unwrap();
        all.visit_body(&tree.syntax().body);
        let chosen: BTreeSet<_> = places.iter().map(|place| *place.get(&all.0)).collect();
        let mut changed = SAMPLE.to_owned();
        // Inner ones first, so that no offset still to come has moved out of place.
        let mut edits: Vec<(usize, u8, usize, char)> = Vec::new();
        for (start, end) in chosen {
            edits.push((start, 1, end, '('));
            edits.push((end, 0, start, ')'));
        }
        edits.sort_by_key(|&(at, kind, other, _)| (at, kind, std::cmp::Reverse(other)));
        for (at, _, _, bracket) in edits.into_iter().rev() {
            changed.insert(at, bracket);
        }
        prop_assert_eq!(digests(SAMPLE), digests(&changed), "{}", changed);
    }

    #[test]
    fn names_of_locals_do_not_count(order in Just(locals()).prop_shuffle(), salt in 0..1000u32) {
        let mut changed = SAMPLE.to_owned();
        let mut longest_first = locals();
        longest_first.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in longest_first {
            let place = order.iter().position(|one| *one == name).unwrap();
            changed = changed.replace(name, &format!("n{salt}_{place}_"));
        }
        prop_assert_ne!(SAMPLE, &changed);
        prop_assert_eq!(outermost(SAMPLE), outermost(&changed));
    }

    #[test]
    fn any_text_gets_an_answer(text in any::<String>()) {
        exercise(&text);
    }

    #[test]
    fn any_words_get_an_answer(words in prop::collection::vec(prop::sample::select(vec![
        "def ", "f", "(", ")", ":", "\n", "    ", "lambda ", "class ", "x", ",", "=", "async ", "await ",
        "for ", " in ", "if ", "else", "[", "]", "{", "}", "f'", "'", "*", "**", "@", "global ", "nonlocal ",
        "return ", "yield ", "match ", "case ", "_", ":=", "1", "0x", "...", "import ", "from ", ".", "try",
        "except ", "as ", "del ", "type ", "\\", "#", "\"\"\"", "eval", "not ", "-", "!r", "=}", "with ",
    ]), 0..60)) {
        exercise(&words.concat());
    }

    #[test]
    fn damaged_sources_get_an_answer(
        cuts in prop::collection::vec((any::<Index>(), 0..40usize, any::<Index>()), 1..6),
    ) {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        for (from, length, to) in cuts {
            let from = from.index(text.len());
            let piece: Vec<_> = text.drain(from..(from + length).min(text.len())).collect();
            let to = to.index(text.len() + 1);
            text.splice(to..to, piece);
        }
        exercise(&text.into_iter().collect::<String>());
    }
}

#[test]
fn every_definition_of_the_sample_is_told_apart() {
    let all = digests(SAMPLE);
    let different: BTreeSet<_> = all.iter().map(|(_, digest)| digest).collect();
    assert_eq!(all.len(), 15, "{all:?}");
    assert_eq!(different.len(), all.len());
}
