//! The byte that begins every node. Published in `docs/formats/code.md`; a number is never reused.

use ruff_python_ast::{BoolOp, CmpOp, Operator, UnaryOp};

/// The kind of a node.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Tag {
    Free = 1,
    Named = 2,
    Numbered = 3,
    Assignments = 4,
    Function = 10,
    Class = 11,
    Return = 12,
    Delete = 13,
    TypeAlias = 14,
    Assign = 15,
    AugmentedAssign = 16,
    AnnotatedField = 17,
    For = 18,
    While = 19,
    If = 20,
    With = 21,
    Match = 22,
    Raise = 23,
    Try = 24,
    Assert = 25,
    Import = 26,
    ImportFrom = 27,
    Global = 28,
    Nonlocal = 29,
    Evaluate = 30,
    Break = 31,
    Continue = 32,
    /// The target of an annotation without value, evaluated as far as its last step.
    AnnotatedTarget = 33,
    TypeVariable = 40,
    TypeVariableTuple = 41,
    ParameterSpecification = 42,
    Lambda = 50,
    BooleanOperation = 51,
    Walrus = 52,
    BinaryOperation = 53,
    UnaryOperation = 54,
    Conditional = 55,
    Dictionary = 56,
    Set = 57,
    List = 58,
    Tuple = 59,
    ListComprehension = 60,
    SetComprehension = 61,
    DictionaryComprehension = 62,
    Generator = 63,
    Await = 64,
    Yield = 65,
    YieldFrom = 66,
    Compare = 67,
    Call = 68,
    Attribute = 69,
    Subscript = 70,
    Starred = 71,
    Slice = 72,
    FormattedText = 80,
    Template = 81,
    Text = 82,
    Bytes = 83,
    Integer = 84,
    Float = 85,
    Complex = 86,
    True = 87,
    False = 88,
    None = 89,
    Ellipsis = 90,
    Interpolation = 91,
    /// A text with characters that only its spelling tells apart.
    SpelledText = 92,
    /// A decimal number too long to convert.
    LongInteger = 93,
    /// A command of the notebook, which no module holds.
    Command = 94,
    MatchValue = 100,
    MatchSingleton = 101,
    MatchSequence = 102,
    MatchMapping = 103,
    MatchClass = 104,
    MatchStar = 105,
    MatchAs = 106,
    MatchOr = 107,
}

pub(super) fn boolean(operator: BoolOp) -> u8 {
    match operator {
        BoolOp::And => 1,
        BoolOp::Or => 2,
    }
}

pub(super) fn binary(operator: Operator) -> u8 {
    match operator {
        Operator::Add => 1,
        Operator::Sub => 2,
        Operator::Mult => 3,
        Operator::MatMult => 4,
        Operator::Div => 5,
        Operator::Mod => 6,
        Operator::Pow => 7,
        Operator::LShift => 8,
        Operator::RShift => 9,
        Operator::BitOr => 10,
        Operator::BitXor => 11,
        Operator::BitAnd => 12,
        Operator::FloorDiv => 13,
    }
}

pub(super) fn unary(operator: UnaryOp) -> u8 {
    match operator {
        UnaryOp::Invert => 1,
        UnaryOp::Not => 2,
        UnaryOp::UAdd => 3,
        UnaryOp::USub => 4,
    }
}

pub(super) fn comparison(operator: CmpOp) -> u8 {
    match operator {
        CmpOp::Eq => 1,
        CmpOp::NotEq => 2,
        CmpOp::Lt => 3,
        CmpOp::LtE => 4,
        CmpOp::Gt => 5,
        CmpOp::GtE => 6,
        CmpOp::Is => 7,
        CmpOp::IsNot => 8,
        CmpOp::In => 9,
        CmpOp::NotIn => 10,
    }
}
