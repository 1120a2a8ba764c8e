//! Expressions.
//!
//! Nothing is folded here: `1 + 1` and `2` differ, as do `x * 2` and `2 * x`, for the operators of
//! unknown types can do anything. Parentheses and line breaks are not in the tree, and the order of
//! fields is that of evaluation, so two equal encodings evaluate the same things in the same order.

use ruff_python_ast::{self as ast, Expr};

use super::{Encoder, Tag, tag};

impl Encoder<'_> {
    /// One expression. Whether it is read, bound or deleted follows from where it stands.
    pub(super) fn expression(&mut self, expression: &Expr) {
        match expression {
            Expr::Name(one) => self.name(&one.id),
            Expr::Attribute(one) => {
                self.tag(Tag::Attribute);
                self.expression(&one.value);
                self.member(&one.attr);
            }
            Expr::Call(one) => {
                self.tag(Tag::Call);
                self.expression(&one.func);
                self.arguments(&one.arguments);
            }
            Expr::Lambda(one) => self.lambda(one),
            Expr::BoolOp(_)
            | Expr::BinOp(_)
            | Expr::UnaryOp(_)
            | Expr::Compare(_)
            | Expr::If(_)
            | Expr::Named(_) => self.operation(expression),
            Expr::Dict(_)
            | Expr::Set(_)
            | Expr::List(_)
            | Expr::Tuple(_)
            | Expr::Starred(_)
            | Expr::Subscript(_)
            | Expr::Slice(_) => self.collection(expression),
            Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
                self.comprehension(expression);
            }
            Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) => self.suspension(expression),
            _ => self.literal(expression),
        }
    }

    /// Operators.
    fn operation(&mut self, expression: &Expr) {
        match expression {
            Expr::BoolOp(one) => {
                self.tag(Tag::BooleanOperation);
                self.hasher.tag(tag::boolean(one.op));
                self.expressions(&one.values);
            }
            Expr::BinOp(one) => {
                self.tag(Tag::BinaryOperation);
                self.hasher.tag(tag::binary(one.op));
                self.expression(&one.left);
                self.expression(&one.right);
            }
            Expr::UnaryOp(one) => {
                self.tag(Tag::UnaryOperation);
                self.hasher.tag(tag::unary(one.op));
                self.expression(&one.operand);
            }
            Expr::Compare(one) => {
                self.tag(Tag::Compare);
                self.expression(&one.left);
                self.list(&one.ops, |encoder, op| {
                    encoder.hasher.tag(tag::comparison(*op));
                });
                self.expressions(&one.comparators);
            }
            Expr::If(one) => {
                self.tag(Tag::Conditional);
                self.expression(&one.test);
                self.expression(&one.body);
                self.expression(&one.orelse);
            }
            Expr::Named(one) => {
                self.tag(Tag::Walrus);
                self.expression(&one.target);
                self.expression(&one.value);
            }
            _ => {}
        }
    }

    /// Displays of containers, and access to their items.
    fn collection(&mut self, expression: &Expr) {
        match expression {
            Expr::Dict(one) => {
                self.tag(Tag::Dictionary);
                self.list(&one.items, |encoder, item| {
                    encoder.optional_expression(item.key.as_ref());
                    encoder.expression(&item.value);
                });
            }
            Expr::Set(one) => {
                self.tag(Tag::Set);
                self.expressions(&one.elts);
            }
            Expr::List(one) => {
                self.tag(Tag::List);
                self.expressions(&one.elts);
            }
            Expr::Tuple(one) => {
                self.tag(Tag::Tuple);
                self.expressions(&one.elts);
            }
            Expr::Starred(one) => {
                self.tag(Tag::Starred);
                self.expression(&one.value);
            }
            Expr::Subscript(one) => {
                self.tag(Tag::Subscript);
                self.expression(&one.value);
                self.expression(&one.slice);
            }
            Expr::Slice(one) => {
                self.tag(Tag::Slice);
                for bound in [&one.lower, &one.upper, &one.step] {
                    self.optional_expression(bound.as_deref());
                }
            }
            _ => {}
        }
    }

    /// What makes a coroutine or generator stop; a function with one of these is itself another kind of
    /// function.
    fn suspension(&mut self, expression: &Expr) {
        match expression {
            Expr::Await(one) => {
                self.tag(Tag::Await);
                self.expression(&one.value);
            }
            Expr::Yield(one) => {
                self.tag(Tag::Yield);
                self.optional_expression(one.value.as_deref());
            }
            Expr::YieldFrom(one) => {
                self.tag(Tag::YieldFrom);
                self.expression(&one.value);
            }
            _ => {}
        }
    }

    /// Comprehensions by kind.
    fn comprehension(&mut self, expression: &Expr) {
        match expression {
            Expr::ListComp(one) => {
                self.tag(Tag::ListComprehension);
                self.generators(one, &one.generators, &[&one.elt]);
            }
            Expr::SetComp(one) => {
                self.tag(Tag::SetComprehension);
                self.generators(one, &one.generators, &[&one.elt]);
            }
            Expr::Generator(one) => {
                self.tag(Tag::Generator);
                self.generators(one, &one.generators, &[&one.elt]);
            }
            Expr::DictComp(one) => {
                self.tag(Tag::DictionaryComprehension);
                let results: Vec<&Expr> =
                    one.key.as_deref().into_iter().chain([&*one.value]).collect();
                self.generators(one, &one.generators, &results);
            }
            _ => {}
        }
    }

    /// The first iterable is evaluated around the comprehension, everything else inside: in
    /// `[a for a in a]` the last `a` is not the first. The interpreters that inline comprehensions
    /// (PEP 709) keep that rule, so the encoding needs no version of Python.
    fn generators<T>(&mut self, node: &T, generators: &[ast::Comprehension], results: &[&Expr]) {
        if let Some(first) = generators.first() {
            self.expression(&first.iter);
        }
        self.inside(node, |encoder| {
            encoder.hasher.count(generators.len());
            for (position, generator) in generators.iter().enumerate() {
                encoder.flag(generator.is_async);
                if position > 0 {
                    encoder.expression(&generator.iter);
                }
                encoder.expression(&generator.target);
                encoder.expressions(&generator.ifs);
            }
            encoder.list(results, |encoder, result| encoder.expression(result));
        });
    }
}
