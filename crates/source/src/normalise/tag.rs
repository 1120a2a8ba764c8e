//! The byte that begins every node. Published in `docs/formats/code.md`; a number is never reused.

use ruff_python_ast::{BoolOp, CmpOp, Operator, UnaryOp};

/// The kind of a node, with what it looks like in the source. The fields that follow each are in the
/// table of the specification; whatever is left out there cannot change what the code does.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Tag {
    /// A name bound outside of the definition.
    Free = 1,
    /// A local that keeps its name.
    Named = 2,
    /// A local by scope and position.
    Numbered = 3,
    /// All assignments of a module to one name.
    Assignments = 4,
    /// A whole module.
    Module = 5,
    /// `def f(a, b=1): …`
    Function = 10,
    /// `class C(Base): …`
    Class = 11,
    /// `return x`
    Return = 12,
    /// `del x`
    Delete = 13,
    /// `type X[T] = list[T]`
    TypeAlias = 14,
    /// `x = y = 1`; `x: int = 1` outside of a class.
    Assign = 15,
    /// `x += 1`
    AugmentedAssign = 16,
    /// `x: int = 1` in a class, with or without value.
    AnnotatedField = 17,
    /// `for x in y: … else: …`
    For = 18,
    /// `while x: … else: …`
    While = 19,
    /// `if x: … elif y: … else: …`
    If = 20,
    /// `with x as y: …`
    With = 21,
    /// `match x: …`
    Match = 22,
    /// `raise x from y`
    Raise = 23,
    /// `try: … except X as y: … else: … finally: …`
    Try = 24,
    /// `assert x, y`
    Assert = 25,
    /// `import a.b as c`
    Import = 26,
    /// `from ..a import b as c`
    ImportFrom = 27,
    /// `global x`
    Global = 28,
    /// `nonlocal x`
    Nonlocal = 29,
    /// An expression as a statement.
    Evaluate = 30,
    /// `break`
    Break = 31,
    /// `continue`
    Continue = 32,
    /// The target of an annotation without value, evaluated as far as its last step.
    AnnotatedTarget = 33,
    /// `T: bound = default` among type parameters.
    TypeVariable = 40,
    /// `*Ts`
    TypeVariableTuple = 41,
    /// `**P`
    ParameterSpecification = 42,
    /// `lambda a: a`
    Lambda = 50,
    /// `a and b and c`
    BooleanOperation = 51,
    /// `(x := 1)`
    Walrus = 52,
    /// `a + b`
    BinaryOperation = 53,
    /// `not a`
    UnaryOperation = 54,
    /// `a if b else c`
    Conditional = 55,
    /// `{a: b, **c}`
    Dictionary = 56,
    /// `{a, b}`
    Set = 57,
    /// `[a, b]`
    List = 58,
    /// `(a, b)`
    Tuple = 59,
    /// `[a for a in b if c]`
    ListComprehension = 60,
    /// `{a for a in b}`
    SetComprehension = 61,
    /// `{a: b for a in c}`
    DictionaryComprehension = 62,
    /// `(a for a in b)`
    Generator = 63,
    /// `await a`
    Await = 64,
    /// `yield a`
    Yield = 65,
    /// `yield from a`
    YieldFrom = 66,
    /// `a < b <= c`
    Compare = 67,
    /// `f(a, *b, c=d, **e)`
    Call = 68,
    /// `a.b`
    Attribute = 69,
    /// `a[b]`
    Subscript = 70,
    /// `*a`
    Starred = 71,
    /// `a:b:c`
    Slice = 72,
    /// `f"…{a}…"` with something to fill in.
    FormattedText = 80,
    /// `t"…{a}…"`
    Template = 81,
    /// A text by its characters.
    Text = 82,
    /// `b"…"`
    Bytes = 83,
    /// A number of any size by value.
    Integer = 84,
    /// By its bits, so that `0.0` and `-0.0` differ.
    Float = 85,
    /// `1j`
    Complex = 86,
    /// `True`
    True = 87,
    /// `False`
    False = 88,
    /// `None`
    None = 89,
    /// `...`
    Ellipsis = 90,
    /// `{a!r:>10}` in a formatted text or template.
    Interpolation = 91,
    /// A text with characters that only its spelling tells apart.
    SpelledText = 92,
    /// A decimal number too long to convert.
    LongInteger = 93,
    /// A command of the notebook, which no module holds.
    Command = 94,
    /// `case 1:`
    MatchValue = 100,
    /// `case None:`
    MatchSingleton = 101,
    /// `case [a, b]:`
    MatchSequence = 102,
    /// `case {"k": a, **rest}:`
    MatchMapping = 103,
    /// `case C(a, k=b):`
    MatchClass = 104,
    /// `*rest` in a sequence.
    MatchStar = 105,
    /// `case a:`, `case 1 as a:`, `case _:`
    MatchAs = 106,
    /// `case 1 | 2:`
    MatchOr = 107,
}

/// The byte of `and` or `or`.
pub(super) fn boolean(operator: BoolOp) -> u8 {
    match operator {
        BoolOp::And => 1,
        BoolOp::Or => 2,
    }
}

/// The byte of an operator between two operands, also of `+=` and its like.
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

/// The byte of an operator before an operand.
pub(super) fn unary(operator: UnaryOp) -> u8 {
    match operator {
        UnaryOp::Invert => 1,
        UnaryOp::Not => 2,
        UnaryOp::UAdd => 3,
        UnaryOp::USub => 4,
    }
}

/// The byte of one comparison of a chain.
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
