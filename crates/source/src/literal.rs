//! Expressions whose value the text alone decides.
//!
//! A constant of a module that is not loaded is known by its text, and once the module is loaded
//! by its value; both must have one digest. So only what every interpreter works out the same way
//! is worked out here: displays of literals, arithmetic that cannot overflow or fail, and names
//! whose value is known. Everything else is `None`, and the live value is asked.

use ruff_python_ast::{DictItem, Expr, Number, Operator, UnaryOp};
use thrifty_key::Digest;
use thrifty_key::plain::{self, Container, Writer};

/// The largest value that other expressions may use by its name, in elements and bytes of text.
/// Each of forty lines can double the one before: together they would fill all memory.
const LARGEST_CONSTANT: usize = 4_096;

/// A value that was worked out from its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    None,
    Bool(bool),
    /// Integers of 64 bits; larger ones are left to the live value.
    Int(i64),
    Float(f64),
    /// A text without lone surrogates.
    Text(String),
    Bytes(Vec<u8>),
    /// A tuple, list or set, in the order of its display.
    Sequence(Container, Vec<Literal>),
    Dict(Vec<(Literal, Literal)>),
}

/// Gives the value of a name, where it is known.
pub(crate) type Known<'k> = &'k dyn Fn(&str) -> Option<&'k Literal>;

impl Literal {
    /// The value of an expression, if it is made of literals, arithmetic on them and `known` names.
    /// None where the text leaves a doubt.
    pub(crate) fn of(expression: &Expr, known: Known<'_>) -> Option<Self> {
        Some(match expression {
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
            Expr::Tuple(tuple) => Self::Sequence(Container::Tuple, all(&tuple.elts, known)?),
            Expr::List(list) => Self::Sequence(Container::List, all(&list.elts, known)?),
            Expr::Set(set) => {
                let elements = all(&set.elts, known)?;
                are_distinct(elements.iter()).then_some(Self::Sequence(Container::Set, elements))?
            }
            Expr::Dict(dict) => {
                let pairs = dict.items.iter().map(|item| pair(item, known));
                let pairs: Vec<_> = pairs.collect::<Option<_>>()?;
                are_distinct(pairs.iter().map(|(key, _)| key)).then_some(Self::Dict(pairs))?
            }
            Expr::Name(name) => known(name.id.as_str())?.clone(),
            Expr::UnaryOp(unary) => negated(unary.op, Self::of(&unary.operand, known)?)?,
            Expr::BinOp(binary) => {
                let left = Self::of(&binary.left, known)?;
                combined(left, binary.op, Self::of(&binary.right, known)?)?
            }
            _ => return None,
        })
    }

    /// Whether a later statement can change the value in place.
    pub(crate) fn is_mutable(&self) -> bool {
        match self {
            Self::Sequence(Container::Tuple, children) => children.iter().any(Self::is_mutable),
            Self::Sequence(..) | Self::Dict(_) => true,
            _ => false,
        }
    }

    /// Whether expressions may use the value by its name: nothing can change it, and using it many
    /// times costs little.
    pub(crate) fn is_constant(&self) -> bool {
        !self.is_mutable() && self.size() <= LARGEST_CONSTANT
    }

    /// Elements and bytes of text: what a copy costs.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Sequence(_, children) => 1 + children.iter().map(Self::size).sum::<usize>(),
            Self::Dict(pairs) => pairs.iter().map(|(key, value)| key.size() + value.size()).sum(),
            _ => 1,
        }
    }

    /// The digest that the live value has as well. None for a nesting beyond all use.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        plain::digest(writer.as_bytes()).ok()
    }

    /// The digest of the order of the keys in the dicts of the value: of a list of the keys of each dict that
    /// has several, outermost first. None if there is none.
    pub(crate) fn order(&self) -> Option<Digest> {
        let mut dicts = Vec::new();
        self.find_dicts(&mut dicts);
        if dicts.is_empty() {
            return None;
        }
        let mut writer = Writer::new();
        writer.open(Container::List, dicts.len());
        for pairs in dicts {
            writer.open(Container::List, pairs.len());
            pairs.iter().for_each(|(key, _)| key.write(&mut writer));
        }
        plain::digest(writer.as_bytes()).ok()
    }

    fn find_dicts<'a>(&'a self, dicts: &mut Vec<&'a [(Literal, Literal)]>) {
        match self {
            Self::Sequence(Container::Tuple | Container::List, children) => {
                children.iter().for_each(|child| child.find_dicts(dicts));
            }
            Self::Dict(pairs) => {
                if pairs.len() > 1 {
                    dicts.push(pairs);
                }
                pairs.iter().for_each(|(_, value)| value.find_dicts(dicts));
            }
            _ => {}
        }
    }

    /// Writes the plain encoding, which `docs/formats/key.md` specifies for live values.
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

/// The values of all elements; none if one has none, as `*other` has.
fn all(elements: &[Expr], known: Known<'_>) -> Option<Vec<Literal>> {
    let value = |element: &Expr| Literal::of(element, known);
    elements.iter().map(value).collect()
}

/// One entry of a dict display; none for `**other`.
fn pair(item: &DictItem, known: Known<'_>) -> Option<(Literal, Literal)> {
    let key = Literal::of(item.key.as_ref()?, known)?;
    Some((key, Literal::of(&item.value, known)?))
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

/// A unary operator on a value. `-True` and `not 0` are the live value's business.
fn negated(op: UnaryOp, operand: Literal) -> Option<Literal> {
    match (op, operand) {
        (UnaryOp::USub, Literal::Int(value)) => value.checked_neg().map(Literal::Int),
        (UnaryOp::USub, Literal::Float(value)) => Some(Literal::Float(-value)),
        (UnaryOp::Not, Literal::Bool(value)) => Some(Literal::Bool(!value)),
        _ => None,
    }
}

/// A binary operator on two values of one type. Floats are IEEE 754 in both worlds; integers that
/// leave 64 bits, and a division by zero, are none.
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
