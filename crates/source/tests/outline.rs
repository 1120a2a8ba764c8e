//! What the text of a module decides, and every way in which it leaves a doubt.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use proptest::prelude::*;
use thrifty_key::Digest;
use thrifty_key::plain::{self, Container, Writer};
use thrifty_source::Module;
use thrifty_source::outline::{Binding, Defaults, FromModule};

fn names(text: &str) -> HashMap<String, Binding> {
    Module::parse(text).unwrap().outline().names.clone()
}

/// Whether the text decides `name`.
fn decides(text: &str, name: &str) -> bool {
    !matches!(names(text).get(name), None | Some(Binding::Undecided))
}

fn encoded(write: impl FnOnce(&mut Writer)) -> Digest {
    let mut writer = Writer::new();
    write(&mut writer);
    plain::digest(writer.as_bytes()).unwrap()
}

fn int(value: i64) -> Digest {
    encoded(|writer| writer.int(value))
}

/// The digest of a name that is a literal.
fn value(text: &str, name: &str) -> Option<Digest> {
    match names(text).get(name)? {
        Binding::Literal { digest, .. } => Some(*digest),
        _ => None,
    }
}

#[test]
fn names_each_kind_of_binding() {
    let names = names(
        "import a.b, c.d as e, a.c\nfrom ..up import x as y\nfrom . import z\n\
         @one.two(3)\n@(lambda f: f)\nasync def run(): pass\nclass C: pass\nn: int = 1\nm: int\n",
    );
    let member = |module: Option<&str>, level, name: &str| Binding::Member {
        from: FromModule { module: module.map(str::to_owned), level },
        name: name.to_owned(),
    };
    let decorators = vec!["one.two".to_owned(), String::new()];
    assert_eq!(names["a"], Binding::Module("a".to_owned()));
    assert_eq!(names["e"], Binding::Module("c.d".to_owned()));
    assert_eq!(names["y"], member(Some("up"), 2, "x"));
    assert_eq!(names["z"], member(None, 1, "z"));
    assert_eq!(names["run"], Binding::Function { line: 4, decorators });
    assert_eq!(names["C"], Binding::Class { makers: Vec::new() });
    assert!(matches!(&names["n"], Binding::Literal { mutable: false, text, .. } if text == "1"));
    assert_eq!(names.len(), 7, "{names:?}");
}

#[test]
fn works_out_what_every_interpreter_would() {
    let table = [
        ("x = 2 ** 10 - 24", Some(int(1000))),
        ("a = 6\nb = a * 7\nx = b", Some(int(42))),
        ("x = --5", Some(int(5))),
        ("x = 0x_ff", Some(int(255))),
        ("x = 1.5 + .5", Some(encoded(|w| w.float(2.0)))),
        ("x = -0.0", Some(encoded(|w| w.float(-0.0)))),
        ("x = not False", Some(encoded(|w| w.bool(true)))),
        ("x = 'a' \"b\" + '''c'''", Some(encoded(|w| w.text(b"abc")))),
        ("x = b'\\x00'", Some(encoded(|w| w.bytes(b"\0")))),
        (
            "x = (1,) + (2,)",
            Some(encoded(|w| {
                w.open(Container::Tuple, 2);
                w.int(1);
                w.int(2);
            })),
        ),
        (
            "x = {'k': [None]}",
            Some(encoded(|w| {
                w.open(Container::Dict, 1);
                w.text(b"k");
                w.open(Container::List, 1);
                w.none();
            })),
        ),
        // What could fail, round, fold or leave the range.
        ("x = 9223372036854775807 + 1", None),
        ("x = 1 / 2", None),
        ("x = 1.0 / 0.0", None),
        ("x = 7 // 2", None),
        ("x = 2 ** -1", None),
        ("x = -True", None),
        ("x = 1 + 1.0", None),
        ("x = 'ab' * 2", None),
        ("x = {1, True, 1.0}", None),
        ("x = {1, 1}", None),
        ("x = {'a': 1, 'a': 2}", None),
        ("x = {**y}", None),
        ("x = '\\ud800'", None),
        ("x = f'{y}'", None),
        ("x = [1] + (2,)", None),
        ("x = unknown", None),
        ("x = y = 1", None),
        ("x, y = 1, 2", None),
    ];
    for (text, expected) in table {
        assert_eq!(value(text, "x"), expected, "{text}");
    }
}

#[test]
fn a_second_binding_is_a_doubt() {
    let doubts = [
        "X = 2",
        "X += 1",
        "del X",
        "def X(): pass",
        "class X: pass",
        "import X",
        "from m import X",
        "from m import y as X",
        "if c: X = 2",
        "if TYPE_CHECKING: pass\nelse: X = 2",
        "for X in y: pass",
        "for i in y: (X, z) = i",
        "while c: X = 2",
        "with y as X: pass",
        "with y as (X, z): pass",
        "try: pass\nexcept E as X: pass",
        "try: import X\nexcept E: pass",
        "match y:\n  case {'k': X}: pass",
        "match y:\n  case [*X]: pass",
        "match y:\n  case {**X}: pass",
        "print(X := 2)",
        "y = (X := 2)",
        "[X := i for i in y]",
        "[i for i in y if (X := i)]",
        "def f(a=(X := 2)): pass",
        "@(X := d)\ndef f(): pass",
        "class C(X := B): pass",
        "f = lambda a=(X := 2): a",
        "type X = int",
        "def f():\n  global X",
        "class C:\n  global X\n  X = 2",
        "from m import *",
        "try:\n  from m import *\nexcept E: pass",
        "exec(y)",
        "def f(): globals()['X'] = 2",
        "vars()['X'] = 2",
        "setattr(sys.modules[__name__], 'X', 2)",
    ];
    for doubt in doubts {
        let text = format!("X = 1\n{doubt}\nY = X\n");
        assert!(!decides(&text, "X"), "{text}");
        assert!(!decides(&text, "Y"), "{text}");
    }
}

#[test]
fn what_binds_elsewhere_is_no_doubt() {
    let fine = [
        "def f(): X = 2",
        "def f(X=2): print(X := 3)",
        "f = lambda X: (X := 2)",
        "class C: X = 2",
        "if TYPE_CHECKING: X = 2",
        "if typing.TYPE_CHECKING: from m import X",
        "y.X = 2",
        "y[X] = 2",
        "print(X)",
        "y = [X for X in z]",
        "def f(): return vars(X)",
        "X: int",
    ];
    for text in fine.map(|fine| format!("X = 1\n{fine}\nY = X\n")) {
        assert_eq!(value(&text, "X"), Some(int(1)), "{text}");
        assert_eq!(value(&text, "Y"), Some(int(1)), "{text}");
    }
    assert!(decides("from m import *\nX = 1\n", "X"));
    assert!(decides("import x\nimport x\nimport x.y\n", "x"));
    assert!(!decides("import x\nimport y as x\n", "x"));
}

#[test]
fn what_nobody_finds_in_the_module_is_no_name_of_it() {
    let text = "[a for a in z]\ntry: pass\nexcept E as b: pass\nlambda c: c\nd: int\n";
    let text = format!("{text}if TYPE_CHECKING: import e\ndef f(g): h = 1\n");
    assert_eq!(names(&text).into_keys().collect::<Vec<_>>(), ["f"]);
}

#[test]
fn a_container_that_somebody_may_change_is_a_doubt() {
    let doubts = [
        "X['k'] = 1",
        "X['k']['l'] = 1",
        "del X['k']",
        "X['k'].append(1)",
        "X.setdefault('k', []).append(1)",
        "def f(): X['k'] += 1",
        "def f(): X.update(y)",
        "f = lambda: X.pop()",
        "X |= y",
        "fill(X)",
        "y = X",
        "y = X['k']",
        "for y in X: pass",
        "class C: y = X",
        "def f(y=X): pass",
        "@register(X)\ndef f(): pass",
        "def f(): return globals()",
    ];
    for doubt in doubts {
        assert!(!decides(&format!("X = {{}}\n{doubt}\n"), "X"), "{doubt}");
    }
    let fine = ["def f(): return X['k']", "f = lambda: X", "y: X = 1", "def f(y: X) -> X: pass"];
    for fine in fine {
        assert!(decides(&format!("X = {{}}\n{fine}\n"), "X"), "{fine}");
    }
}

#[test]
fn a_star_outweighs_what_was_before_it() {
    let text = "import a\nfrom m import b\n@d\ndef c(): pass\ndef e(): pass\nclass F: pass\n\
                from .one import *\nfrom two import *\ndef g(): pass\n";
    let module = Module::parse(text).unwrap();
    let stars: Vec<_> = module.outline().stars.iter().collect();
    assert_eq!((stars[0].module.as_deref(), stars[0].level), (Some("one"), 1));
    assert_eq!((stars[1].module.as_deref(), stars[1].level), (Some("two"), 0));
    for (name, decided) in
        [("a", true), ("b", true), ("c", true), ("e", false), ("F", false), ("g", true)]
    {
        assert_eq!(decides(text, name), decided, "{name}");
    }
}

#[test]
fn a_class_has_names_of_its_own() {
    let text = "A = 1\nclass C:\n  B = A\n  A = 2\n  D = A\n  class E:\n    F = A\n  def f(self, x=A): pass\n";
    let module = Module::parse(text).unwrap();
    let classes = &module.outline().classes;
    let literal = |class: &str, name: &str| match classes[class][name] {
        Binding::Literal { digest, .. } => Some(digest),
        _ => None,
    };
    assert_eq!(literal("C", "B"), Some(int(1)));
    assert_eq!(literal("C", "A"), Some(int(2)));
    assert_eq!(literal("C", "D"), None, "the class's own `A`, of which a class knows no value");
    assert_eq!(literal("C.E", "F"), Some(int(1)), "a class body encloses nothing");
    assert_eq!(module.outline().defaults[&(8, "f".to_owned())].positional, [None]);
}

#[test]
fn defaults_are_found_by_line_and_name() {
    let text = "N = 3\ndef f(a, b=N, /, c=[], *rest, d, e=g(), h='t', **more): pass\n";
    let module = Module::parse(text).unwrap();
    let empty = encoded(|writer| writer.open(Container::List, 0));
    let expected = Defaults {
        positional: vec![Some(int(3)), Some(empty)],
        keyword: vec![
            ("e".to_owned(), None),
            ("h".to_owned(), Some(encoded(|writer| writer.text(b"t")))),
        ],
    };
    assert_eq!(module.outline().defaults[&(2, "f".to_owned())], expected);
}

#[test]
fn lines_are_those_of_the_interpreter() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["x = 1", "@d", "def f(): pass", ""].join(end);
        let line = match &names(&text)["f"] {
            Binding::Function { line, .. } => *line,
            other => panic!("{other:?}"),
        };
        let module = Module::parse(&text).unwrap();
        assert_eq!(line, 2);
        assert!(module.definition_at(line, "f", &|_| false).is_ok());
    }
}

#[test]
fn doubling_constants_stays_small() {
    for (first, next) in [("'ten bytes!'", "+"), ("(1,)", ",")] {
        let mut text = format!("a0 = {first}\n");
        for at in 1..60 {
            text += &format!("a{at} = (a{0} {next} a{0})\n", at - 1);
        }
        assert!(decides(&text, "a5") && !decides(&text, "a59"));
    }
}

#[test]
fn deep_texts_have_an_outline() {
    let lists = format!("x = {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let chain = format!("x = {{}}\nx{} = 1\n", ".append".repeat(2_500));
    for text in [lists, chain] {
        let module = Module::parse(&text).unwrap();
        assert_eq!(module.outline().names["x"], Binding::Undecided);
    }
}

proptest! {
    /// A name is decided only by a single binding: with any second one, whatever the order, it is not.
    #[test]
    fn two_bindings_never_decide(
        first in "X = [1-9][0-9]{0,3}|class X: pass|def X\\(\\): pass|if c: X = 1",
        second in "X = [1-9][0-9]{0,3}|class X: pass|def X\\(\\): pass|for X in y: pass|with y as X: pass",
        between in "|import a|z = 3|def h\\(\\): pass",
    ) {
        let text = format!("{first}\n{between}\n{second}\n");
        prop_assert_eq!(&names(&text)["X"], &Binding::Undecided);
    }

    /// Integers by their text have the digest that the value has.
    #[test]
    fn integers_have_the_digest_of_their_value(number: i64, bracketed in any::<bool>()) {
        let spelled = if bracketed { format!("({number})") } else { number.to_string() };
        let expected = number.checked_abs().map(|_| int(number));
        prop_assert_eq!(value(&format!("x = {spelled}\n"), "x"), expected);
    }
}
