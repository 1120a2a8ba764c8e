//! What a definition reaches: references, imports, places that cannot be followed.
#![allow(clippy::unwrap_used)]

use thrifty_source::{Definition, LocalImport, Module, OpaqueKind};

fn with<T>(source: &str, name: &str, look: impl FnOnce(Definition<'_>) -> T) -> T {
    let module = Module::parse(source).unwrap();
    let ours = |path: &[String]| path == ["task"];
    let lines = 1..=u32::try_from(source.lines().count()).unwrap();
    let found = lines.into_iter().find_map(|line| module.definition_at(line, name, &ours).ok());
    look(found.unwrap())
}

/// References of `f`, dotted, in one line.
fn reached(source: &str) -> String {
    with(source, "f", |found| {
        let paths: Vec<_> = found.references.iter().map(|one| one.path.join(".")).collect();
        paths.join(" ")
    })
}

fn opaque(source: &str) -> Vec<(u32, OpaqueKind)> {
    with(source, "f", |found| found.opaque.iter().map(|one| (one.line, one.kind)).collect())
}

/// Sources, and the references of their `f`.
const REACHED: &[(&str, &str)] = &[
    ("def f(x): return x", ""),
    ("def f(x): return f(x)", "f"),
    ("def f(x): return np.linalg.norm(x).sum()", "np.linalg.norm"),
    ("def f(x): return x.mean() + scale", "scale"),
    ("def f(x): return helpers.SCALE * helpers.SCALE + helpers.f(x)", "helpers.SCALE helpers.f"),
    ("def f(x): return table[0].name + table", "table"),
    ("def f(x): helpers.state = x", "helpers.state"),
    ("def f(x): helpers.count += x", "helpers.count"),
    ("def f(x=default, *, y=other.value): return x", "default other.value"),
    ("def f(x: Annotation) -> Result: return x", ""),
    ("@task\ndef f(x): return x", ""),
    ("@task(cache=Cache(salt=SALT))\ndef f(x): return x", ""),
    ("@wrap(level)\n@task\ndef f(x): return x", "level wrap"),
    ("@wrap\ndef f(x: Kind) -> Result: return x", "Kind Result wrap"),
    ("def f(x):\n y: Local = x\n return y", ""),
    ("def f(x):\n y = 1\n def g(): return y + z\n return g", "z"),
    ("def f(x):\n def g(a=b): return a\n return g", "b"),
    ("def f(x): return lambda a, b=c: a + d", "c d"),
    ("def f(x): return [a + k for a in x if a in allowed]", "allowed k"),
    ("def f(x): return [a for a in a]", "a"),
    ("def f(x): return [b for a in x for b in b]", ""),
    ("def f(x): return {k: v for k, v in pairs}", "pairs"),
    ("def f(x):\n global total\n total = x", "total"),
    ("def f(x):\n global total\n def g(): return total\n return g", "total"),
    ("def f(x):\n y = 1\n def g():\n  global y\n  return y\n return g", "y"),
    ("def f(x):\n y = 1\n def g():\n  nonlocal y\n  y = 2\n return g", ""),
    ("def f(x):\n def g():\n  nonlocal x\n  del x\n return g", ""),
    ("def f(x):\n if (n := size(x)): return n", "size"),
    ("def f(x):\n y = [n := a for a in x]\n return n", ""),
    ("def f(x):\n try: g()\n except E as e: return e", "E g"),
    ("def f(x):\n with lock as l: return l", "lock"),
    ("def f(x):\n for a, (b, *c) in x: print(a, b, c)", "print"),
    (
        "def f(x):\n match x:\n  case Point(x=a) | Other(a): return a\n  case [b, *r]: return b, r\n  case {K.e: d, **m}: return d, m\n  case w: return w",
        "K.e Other Point",
    ),
    ("class C:\n x = 1\n def f[T](self): return x", "x"),
    ("def f(x):\n class C:\n  y = 1\n  def m[T: y](self): return y\n return C", "y"),
    ("def f(x): y: int; return y", ""),
    ("def f(x): (y): int; return y", "y"),
    (
        "def f(x):\n class C(Base, metaclass=Meta):\n  a = 1\n  b = a\n  c: Kind = d\n  def m(self): return a\n return C",
        "Base Kind Meta a d",
    ),
    ("def f(x):\n class C:\n  n = n\n return C", "n"),
    ("def f(x):\n class C:\n  if x: n = 1\n  m = n\n return C", "n"),
    ("def f(x):\n class C:\n  n = 1\n  del n\n  m = n\n return C", "n"),
    (
        "def f(x):\n class C:\n  xs = [1]\n  ys = [z for z in xs]\n  zs = [xs for z in ys]\n return C",
        "xs",
    ),
    ("def f(x):\n class C:\n  def m(self): return super().m(), __class__\n return C", "super"),
    ("def f[T: Bound](x: T) -> T: return T", "Bound"),
    ("def f(x):\n type A[T] = dict[T, Item]\n return A", "Item dict"),
    ("def f(x): return f'{x:{width}}{y!r}' + t'{z}'", "width y z"),
    ("def f(x): return getattr(helpers, 'SCALE')", "getattr helpers helpers.SCALE"),
    ("def f(x): return (yield from gen(x))", "gen"),
    ("async def f(x):\n async with a as b:\n  async for c in d: await e(b, c)", "a d e"),
    ("def f(x):\n import numpy as np\n return np.mean(x)", "np.mean"),
    ("def f(x):\n from . import helpers\n return helpers.f(x)", "helpers.f"),
    ("def f(x):\n import a.b\n return a.b.c(x)", "a.b.c"),
    ("def f(x):\n import unused", ""),
    ("class K:\n def f(self): return __hidden + self.__own + __both__", "_K__hidden __both__"),
    ("class _K:\n def f(self):\n  __v = 1\n  return __v", ""),
];

#[test]
fn references_are_free_names_with_their_attributes() {
    for (source, expected) in REACHED {
        assert_eq!(reached(source), *expected, "{source}");
    }
}

#[test]
fn imports_inside_are_told_as_written() {
    let source = "def f():\n import a.b, c.d as e\n from ..p import q as r, s\n from . import t\n import a.b";
    let expected = [
        (Some("a.b"), 0, None, "a.b"),
        (Some("c.d"), 0, None, "e"),
        (Some("p"), 2, Some("q"), "r"),
        (Some("p"), 2, Some("s"), "s"),
        (None, 1, Some("t"), "t"),
    ];
    let mut expected: Vec<_> = expected
        .into_iter()
        .map(|(module, level, name, bound_as)| LocalImport {
            module: module.map(str::to_owned),
            level,
            name: name.map(str::to_owned),
            bound_as: bound_as.to_owned(),
        })
        .collect();
    expected.sort();
    with(source, "f", |found| assert_eq!(found.imports, expected));
}

#[test]
fn what_cannot_be_followed_is_told_with_its_line() {
    use OpaqueKind::*;
    let table: [(&str, &[(u32, OpaqueKind)]); 11] = [
        ("def f(x): return x", &[]),
        ("def f(x):\n return eval(x)", &[(2, Eval)]),
        ("def f(x):\n exec(x)\n return map(eval, x)", &[(2, Exec), (3, Eval)]),
        ("def f(eval):\n return eval(1)", &[]),
        ("def f(x):\n return __import__(x)", &[(2, DunderImport)]),
        ("def f(x):\n return importlib.import_module(x)", &[(2, ImportlibImport)]),
        (
            "def f(x):\n from importlib import import_module as im\n return im(x)",
            &[(2, ImportlibImport)],
        ),
        ("def f(x):\n return getattr(helpers, x)", &[(2, GetattrDynamic)]),
        ("def f(x):\n return getattr(helpers, 'x')", &[]),
        ("def f(x):\n return globals()[x]", &[(2, GlobalsCall)]),
        ("def f(x):\n return locals(), vars(), vars(x)", &[(2, LocalsByName)]),
    ];
    for (source, expected) in table {
        assert_eq!(opaque(source), expected, "{source}");
    }
}

#[test]
fn the_text_begins_with_the_first_decorator() {
    let source =
        "import a\n\nclass C:\n    @one\n    @two\n    def f(self):\n        return 1\n\nx = 1\n";
    with(source, "f", |found| {
        assert_eq!(found.first_line, 4);
        assert_eq!(found.text, "@one\n    @two\n    def f(self):\n        return 1");
    });
}

#[test]
fn names_in_texts_are_told_where_something_looks_them_up() {
    use OpaqueKind::NamesInText;
    type Noted = [(u32, OpaqueKind)];
    let table: [(&str, &str, &Noted); 9] = [
        ("def f(x): return x['@a']", "", &[]),
        ("def f(x): return x.query('b > @a.c and @ d(1e5)')", "a.c d", &[]),
        ("def f(x): return x.query('b > @x')", "", &[]),
        ("def f(x):\n q = f'{x} > @a'\n return x.query(q)", "a", &[(3, NamesInText("query"))]),
        ("def f(x): return x.y().query('select b FROM c')", "FROM b c select", &[]),
        ("def f(x): return db.query('show t')", "show t", &[]),
        ("def f(x): return x.eval(), '@a'", "", &[]),
        ("def f(x):\n from m import a\n return x.eval('b * @a')", "a", &[]),
        ("def f(x): return x.sql(x)", "", &[(1, NamesInText("sql"))]),
    ];
    for (source, expected, noted) in table {
        let told = with(source, "f", |found| {
            let paths: Vec<_> = found.in_texts.iter().map(|one| one.path.join(".")).collect();
            paths.join(" ")
        });
        assert_eq!((told.as_str(), opaque(source).as_slice()), (expected, noted), "{source}");
    }
}

#[test]
fn calls_that_parse_the_arguments_of_the_program_are_told() {
    let table = [
        ("p.parse_args()", true),
        ("parser().parse_known_args(namespace=n)", true),
        ("p.parse_args(None)", true),
        ("p.parse_args(args=['a'])", false),
        ("p.parse_args(x)", false),
        ("command(standalone_mode=False)", true),
        ("command(['a'], standalone_mode=False)", false),
        ("command()", false),
    ];
    for (call, expected) in table {
        let source = format!("def f(x): return {call}");
        assert_eq!(with(&source, "f", |found| found.parses_arguments), expected, "{call}");
    }
}
