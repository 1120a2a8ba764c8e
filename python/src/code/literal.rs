//! Expressions whose value the text alone decides.

use std::collections::HashMap;

use ruff_python_ast::{Expr, Number, Operator, UnaryOp};
use thrifty_key::Digest;
use thrifty_key::plain::{self, Container, Writer};

/// A value that was worked out from its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Sequence(Container, Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

impl Literal {
    /// The value of an expression, if it is made of literals, arithmetic on them and `known` names.
    /// None where the text leaves a doubt: the live value is asked then.
    pub(super) fn of(expr: &Expr, known: &HashMap<String, Literal>) -> Option<Self> {
        let all = |elements: &[Expr]| -> Option<Vec<Self>> {
            elements.iter().map(|e| Self::of(e, known)).collect()
        };
        Some(match expr {
            Expr::NoneLiteral(_) => Self::None,
            Expr::BooleanLiteral(literal) => Self::Bool(literal.value),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(int) => Self::Int(int.as_i64()?),
                Number::Float(float) => Self::Float(*float),
                Number::Complex { .. } => return None,
            },
            // The parser puts U+FFFD for a lone surrogate.
            Expr::StringLiteral(literal) if !literal.value.to_str().contains('\u{fffd}') => {
                Self::Text(literal.value.to_str().to_owned())
            }
            Expr::BytesLiteral(literal) => Self::Bytes(literal.value.bytes().collect()),
            Expr::Tuple(tuple) => Self::Sequence(Container::Tuple, all(&tuple.elts)?),
            Expr::List(list) => Self::Sequence(Container::List, all(&list.elts)?),
            Expr::Set(set) => {
                let elements: Vec<Self> = all(&set.elts)?;
                are_distinct(elements.iter()).then_some(Self::Sequence(Container::Set, elements))?
            }
            Expr::Dict(dict) => {
                let pair = |item: &ruff_python_ast::DictItem| {
                    let key = Self::of(item.key.as_ref()?, known)?;
                    Some((key, Self::of(&item.value, known)?))
                };
                let pairs: Vec<_> = dict.items.iter().map(pair).collect::<Option<_>>()?;
                are_distinct(pairs.iter().map(|(key, _)| key)).then_some(Self::Dict(pairs))?
            }
            Expr::Name(name) => known.get(name.id.as_str())?.clone(),
            Expr::UnaryOp(unary) => negated(unary.op, Self::of(&unary.operand, known)?)?,
            Expr::BinOp(binary) => {
                let left = Self::of(&binary.left, known)?;
                combined(left, binary.op, Self::of(&binary.right, known)?)?
            }
            _ => return None,
        })
    }

    /// Whether a later statement can change the value in place.
    pub(super) fn is_mutable(&self) -> bool {
        match self {
            Self::Sequence(Container::Tuple, children) => children.iter().any(Self::is_mutable),
            Self::Sequence(..) | Self::Dict(_) => true,
            _ => false,
        }
    }

    /// The digest that the live value has as well. None for a nesting beyond all use.
    pub(super) fn digest(&self) -> Option<Digest> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        plain::digest(writer.as_bytes()).ok()
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::None => writer.none(),
            Self::Bool(value) => writer.bool(*value),
            Self::Int(value) => writer.int(*value),
            Self::Float(value) => writer.float(*value),
            Self::Text(value) => writer.text(value.as_bytes()),
            Self::Bytes(value) => writer.bytes(value),
            Self::Sequence(container, children) => {
                writer.open(*container, children.len());
                children.iter().for_each(|child| child.write(writer));
            }
            Self::Dict(pairs) => {
                writer.open(Container::Dict, pairs.len());
                for (key, value) in pairs {
                    key.write(writer);
                    value.write(writer);
                }
            }
        }
    }
}

/// Whether all are texts, or all are integers, and no two are equal: only then does a set or a
/// dict hold as many entries as its display has (`{1, True, 1.0}` holds one).
fn are_distinct<'a>(keys: impl Iterator<Item = &'a Literal>) -> bool {
    let mut seen: Vec<&Literal> = keys.collect();
    let texts = seen.iter().all(|key| matches!(key, Literal::Text(_)));
    let ints = seen.iter().all(|key| matches!(key, Literal::Int(_)));
    let count = seen.len();
    seen.sort_by(|a, b| match (a, b) {
        (Literal::Text(a), Literal::Text(b)) => a.cmp(b),
        (Literal::Int(a), Literal::Int(b)) => a.cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    seen.dedup();
    (texts || ints) && seen.len() == count
}

fn negated(op: UnaryOp, operand: Literal) -> Option<Literal> {
    match (op, operand) {
        (UnaryOp::USub, Literal::Int(value)) => value.checked_neg().map(Literal::Int),
        (UnaryOp::USub, Literal::Float(value)) => Some(Literal::Float(-value)),
        (UnaryOp::Not, Literal::Bool(value)) => Some(Literal::Bool(!value)),
        _ => None,
    }
}

fn combined(left: Literal, op: Operator, right: Literal) -> Option<Literal> {
    use Literal::{Float, Int, Sequence, Text};
    Some(match (left, op, right) {
        (Int(a), Operator::Add, Int(b)) => Int(a.checked_add(b)?),
        (Int(a), Operator::Sub, Int(b)) => Int(a.checked_sub(b)?),
        (Int(a), Operator::Mult, Int(b)) => Int(a.checked_mul(b)?),
        (Int(a), Operator::Pow, Int(b)) => Int(a.checked_pow(u32::try_from(b).ok()?)?),
        (Float(a), Operator::Add, Float(b)) => Float(a + b),
        (Float(a), Operator::Sub, Float(b)) => Float(a - b),
        (Float(a), Operator::Mult, Float(b)) => Float(a * b),
        (Float(a), Operator::Div, Float(b)) if b != 0.0 => Float(a / b),
        (Text(a), Operator::Add, Text(b)) => Text(a + &b),
        (Sequence(kind, mut a), Operator::Add, Sequence(other, b))
            if kind == other && kind != Container::Set =>
        {
            a.extend(b);
            Sequence(kind, a)
        }
        _ => return None,
    })
}
