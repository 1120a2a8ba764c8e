//! Who may look at what usually cannot be seen: docstrings, annotations, names of locals.
//!
//! Python lets anything look at anything, so leaving something out of a fingerprint is a claim that
//! nobody looks. Most code does not; the exceptions have names. A decorator may read the signature
//! (a validator, a dispatcher) or the docstring (a tool of a language model). A base class may
//! make a schema or a prompt of the docstring. A data frame's `query`, an SQL engine over local
//! frames or a model formula finds variables of its caller by name.
//!
//! The lists err on the side of seeing. A name that is missing from [`is_transparent`] costs a
//! rerun after an annotation was edited; a wrong name in it could serve a stale value.

use ruff_python_ast::{self as ast, Expr, Stmt};

/// Tells the caller's own decorators, by the dotted path they are written with.
pub(crate) type IgnoreDecorator<'p> = &'p dyn Fn(&[String]) -> bool;

/// Name and attributes of a plain dotted expression; none if a call or an index is in it, whose
/// result the text does not tell.
pub(crate) fn dotted_path(expression: &Expr) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut rest = expression;
    while let Expr::Attribute(attribute) = rest {
        path.push(attribute.attr.to_string());
        rest = &attribute.value;
    }
    let Expr::Name(name) = rest else { return None };
    path.push(name.id.to_string());
    path.reverse();
    Some(path)
}

/// The dotted path of a decorator, called or not.
fn decorator_path(decorator: &ast::Decorator) -> Option<Vec<String>> {
    match &decorator.expression {
        Expr::Call(call) => dotted_path(&call.func),
        other => dotted_path(other),
    }
}

/// The decorators that are part of what the code does: all but those the caller claims, which it
/// knows to call the function and to do nothing else that matters.
pub(crate) fn decorators<'a>(
    all: &'a [ast::Decorator],
    ignore: IgnoreDecorator<'_>,
) -> Vec<&'a ast::Decorator> {
    let ignored = |one: &ast::Decorator| decorator_path(one).is_some_and(|path| ignore(&path));
    all.iter().filter(|one| !ignored(one)).collect()
}

/// Whether a decorator may read the signature and the docstring of what it decorates. Those that
/// only change how a call is made are known by the last part of their name.
pub(crate) fn has_reader(decorators: &[&ast::Decorator]) -> bool {
    let transparent =
        |one: &&ast::Decorator| decorator_path(one).is_some_and(|path| is_transparent(&path));
    !decorators.iter().all(transparent)
}

/// Whether a decorator is known to look at nothing but the calls.
fn is_transparent(path: &[String]) -> bool {
    const TRANSPARENT: [&str; 24] = [
        "abstractmethod",
        "asynccontextmanager",
        "cache",
        "cached_property",
        "classmethod",
        "contextmanager",
        "deleter",
        "enable_grad",
        "final",
        "getter",
        "inference_mode",
        "jit",
        "lru_cache",
        "njit",
        "no_grad",
        "overload",
        "override",
        "property",
        "setter",
        "staticmethod",
        "total_ordering",
        "unique",
        "vectorize",
        "wraps",
    ];
    path.last().is_some_and(|name| TRANSPARENT.binary_search(&name.as_str()).is_ok())
}

/// Whether a class hands its docstring to a model or a schema: by a base or decorator known to.
pub(crate) fn class_shows_docstring(class: &ast::StmtClassDef) -> bool {
    const READERS: [&str; 5] = ["BaseModel", "RootModel", "SQLModel", "Signature", "tool"];
    let bases = class.bases().iter().filter_map(dotted_path);
    let decorators = class.decorator_list.iter().filter_map(decorator_path);
    bases.chain(decorators).any(|path| path.last().is_some_and(|name| READERS.contains(&&**name)))
}

/// Whether an annotation does more than denote a type: binds a name, suspends.
pub(crate) fn annotation_acts(annotation: &Expr) -> bool {
    ast::helpers::any_over_expr(annotation, |part| {
        matches!(part, Expr::Named(_) | Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_))
    })
}

/// The docstring of a body: a text alone, as its first statement. Formatted texts are none.
pub(crate) fn docstring(body: &[Stmt]) -> Option<&ast::ExprStringLiteral> {
    let Stmt::Expr(first) = body.first()? else {
        return None;
    };
    first.value.as_string_literal_expr()
}

/// Names that, as a function or method, read variables of their caller by name. `query`, `sql` and the
/// like are those of pandas, duckdb, polars and numexpr; a formula looks names up in its caller.
pub(crate) fn reads_locals_by_name(name: &str) -> bool {
    const READERS: [&str; 32] = [
        "_getframe",
        "currentframe",
        "dmatrices",
        "dmatrix",
        "eval",
        "evaluate",
        "exec",
        "execute",
        "extract_stack",
        "f_back",
        "f_locals",
        "from_formula",
        "gee",
        "getinnerframes",
        "getouterframes",
        "glm",
        "gls",
        "locals",
        "logit",
        "mixedlm",
        "ols",
        "poisson",
        "probit",
        "quantreg",
        "query",
        "rlm",
        "run_line_magic",
        "sql",
        "stack",
        "trace",
        "walk_stack",
        "wls",
    ];
    READERS.binary_search(&name).is_ok()
}

/// Names that, as a function or method, are handed a text in which names of the caller stand: SQL over
/// frames, formulas, expressions. In a text for `query` and `eval` they stand behind `@`, unless
/// a module is asked: what they name otherwise is columns.
pub(crate) fn reads_text(name: &str) -> Option<&'static str> {
    const READERS: [&str; 19] = [
        "dmatrices",
        "dmatrix",
        "eval",
        "evaluate",
        "execute",
        "from_formula",
        "gee",
        "glm",
        "gls",
        "logit",
        "mixedlm",
        "ols",
        "poisson",
        "probit",
        "quantreg",
        "query",
        "rlm",
        "sql",
        "wls",
    ];
    READERS.binary_search(&name).ok().map(|at| READERS[at])
}

/// Whether a call has the arguments of the program parsed: by a parser that is handed no others, or
/// by a command of `click` that is called as a function.
pub(crate) fn parses_arguments(call: &ast::ExprCall) -> bool {
    let name = match &*call.func {
        Expr::Name(function) => function.id.as_str(),
        Expr::Attribute(method) => method.attr.as_str(),
        _ => return false,
    };
    let is_parser = match name {
        "parse_args" | "parse_known_args" => true,
        "parse_intermixed_args" | "parse_known_intermixed_args" => true,
        _ => call.arguments.find_keyword("standalone_mode").is_some(),
    };
    let given = call.arguments.find_argument_value("args", 0);
    is_parser && given.is_none_or(Expr::is_none_literal_expr)
}

/// The first argument of a call, or what is passed by one of the names that readers have for a text.
pub(crate) fn text_argument(arguments: &ast::Arguments) -> Option<&Expr> {
    const NAMES: [&str; 6] = ["ex", "expr", "formula", "formula_like", "query", "sql"];
    let named = || NAMES.iter().find_map(|name| arguments.find_keyword(name));
    arguments.args.first().or_else(|| named().map(|keyword| &keyword.value))
}

/// Whether an expression is a text that the source shows whole.
pub(crate) fn is_written_out(expression: &Expr) -> bool {
    match expression {
        Expr::StringLiteral(_) => true,
        Expr::FString(text) => {
            text.value.elements().all(ast::InterpolatedStringElement::is_literal)
        }
        Expr::BinOp(sum) => is_written_out(&sum.left) && is_written_out(&sum.right),
        _ => false,
    }
}

/// Names by which code reads docstrings or annotations of other code, or hands it to a library that
/// does: a framework of agents makes the prompt of a tool of them.
pub(crate) fn reads_definitions(name: &str) -> bool {
    const READERS: [&str; 10] = [
        "__annotations__",
        "__doc__",
        "__signature__",
        "bind_tools",
        "from_function",
        "get_annotations",
        "get_type_hints",
        "getdoc",
        "getfullargspec",
        "signature",
    ];
    READERS.binary_search(&name).is_ok()
}

/// Whether the function only shows its arguments to people: text in them names no variable.
pub(crate) fn only_tells(function: &Expr) -> bool {
    const TELLERS: [&str; 9] =
        ["critical", "debug", "error", "exception", "info", "log", "print", "warn", "warning"];
    let Some(path) = dotted_path(function) else {
        return false;
    };
    let Some(name) = path.last() else {
        return false;
    };
    let raised = ["Error", "Exception", "Warning"].iter().any(|end| name.ends_with(end));
    raised || TELLERS.contains(&name.as_str())
}

/// The name as the interpreter stores it: `__x` inside class `_C` is `_C__x`. Names that end in two
/// underscores stay, as do all in a class of underscores alone.
pub(crate) fn mangle(name: &str, class: Option<&str>) -> String {
    let private = name.starts_with("__") && !name.ends_with("__") && !name.contains('.');
    let class = class.map(|class| class.trim_start_matches('_')).unwrap_or_default();
    if private && !class.is_empty() { format!("_{class}{name}") } else { name.to_owned() }
}
