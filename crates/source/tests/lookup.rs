//! Finding the definition asked for, or saying why not.
#![allow(clippy::unwrap_used)]

use thrifty_source::{LookupError, Module, ParseError};

const SOURCE: &str = "\
def one(x): return x
def two(x):
    class Local:
        pass
    return lambda y: y + 1
pair = (lambda a: a, lambda b: b + 1)
same = (lambda a: a, lambda a: a)
@decorated(
    lambda q: q
)
async def three(): pass
class Outer:
    class Inner:
        def method(self): return self.__hidden
if one:
    class Either: x = 1
else:
    class Either: x = 2
if one:
    class Twin: x = 1
else:
    class Twin: x = 1
";

fn nothing(_: &[String]) -> bool {
    false
}

#[test]
fn finds_by_first_line_and_name() {
    let module = Module::parse(SOURCE).unwrap();
    let table = [
        (1, "one", "def one(x): return x"),
        (5, "<lambda>", "lambda y: y + 1"),
        (7, "<lambda>", "lambda a: a"),
        (9, "<lambda>", "lambda q: q"),
        (8, "three", "@decorated(\n    lambda q: q\n)\nasync def three(): pass"),
        (14, "method", "def method(self): return self.__hidden"),
        (3, "Local", "class Local:\n        pass"),
    ];
    for (line, name, text) in table {
        let found = module.definition_at(line, name, &nothing).unwrap();
        assert_eq!((found.text, found.first_line), (text, line));
    }
}

#[test]
fn says_when_nothing_begins_there() {
    let module = Module::parse(SOURCE).unwrap();
    for (line, name) in [(2, "one"), (1, "two"), (11, "three"), (0, "one"), (900, "one"), (1, "")] {
        let error = module.definition_at(line, name, &nothing).unwrap_err();
        assert_eq!(error, LookupError::NoDefinitionAt { line, name: name.to_owned() });
    }
    let error = module.class_named("Inner", &nothing).unwrap_err();
    assert_eq!(error, LookupError::NoClass { name: "Inner".to_owned() });
}

#[test]
fn does_not_guess_between_different_definitions() {
    let module = Module::parse(SOURCE).unwrap();
    let ambiguous = |name: &str, lines: &[u32]| LookupError::Ambiguous {
        name: name.to_owned(),
        lines: lines.to_vec(),
    };
    let error = module.definition_at(6, "<lambda>", &nothing).unwrap_err();
    assert_eq!(error, ambiguous("<lambda>", &[6, 6]));
    let error = module.class_named("Either", &nothing).unwrap_err();
    assert_eq!(error, ambiguous("Either", &[16, 18]));
    assert!(module.class_named("Twin", &nothing).is_ok());
}

#[test]
fn finds_classes_by_qualified_name() {
    let module = Module::parse(SOURCE).unwrap();
    for name in ["Outer", "Outer.Inner", "two.<locals>.Local"] {
        let found = module.class_named(name, &nothing).unwrap();
        assert!(found.text.starts_with(&format!("class {}", name.rsplit('.').next().unwrap())));
    }
}

#[test]
fn a_method_found_alone_is_mangled_as_in_its_class() {
    let module = Module::parse(SOURCE).unwrap();
    let inside = module.definition_at(14, "method", &nothing).unwrap().digest;
    let moved = Module::parse("class Other:\n def method(self): return self.__hidden").unwrap();
    let spelled = Module::parse("def method(self): return self._Inner__hidden").unwrap();
    assert_ne!(inside, moved.definition_at(2, "method", &nothing).unwrap().digest);
    assert_eq!(inside, spelled.definition_at(1, "method", &nothing).unwrap().digest);
}

#[test]
fn assignments_are_taken_together() {
    let module = Module::parse(
        "A = 1\nif fast:\n    A = helper.x\nB: int = 2\nB += C\n(D, [E, *F]) = 3\ndef f():\n    G = 1\nH: int\n",
    )
    .unwrap();
    let paths = |name| -> Vec<String> {
        let found = module.assignment(name).unwrap();
        found.references.iter().map(|one| one.path.join(".")).collect()
    };
    assert_eq!(module.assignment("A").unwrap().text, "helper.x");
    assert_eq!(module.assignment("A").unwrap().first_line, 3);
    assert_eq!(paths("A"), ["helper.x"]);
    assert_eq!(paths("B"), ["B", "C"]);
    assert!(["D", "E", "F"].iter().all(|name| module.assignment(name).is_some()));
    assert!(["G", "H", "fast", ""].iter().all(|name| module.assignment(name).is_none()));

    let digest = |text| Module::parse(text).unwrap().assignment("A").unwrap().digest;
    assert_eq!(digest("A = 0x10"), digest("A: int = (16)  # sixteen\nB = 2"));
    assert_ne!(digest("A = 1"), digest("A = 1.0"));
    assert_ne!(digest("A = 2"), digest("A = 1\nA = 2"));
}

#[test]
fn lines_are_those_of_the_interpreter() {
    for end in ["\n", "\r\n", "\r"] {
        let source = ["x = '\u{2028}\x0c'", "", "def f(): pass"].join(end);
        let module = Module::parse(&source).unwrap();
        assert!(module.definition_at(3, "f", &nothing).is_ok(), "{end:?}");
    }
    let marked = Module::parse("\u{feff}def f(): pass").unwrap();
    assert_eq!(marked.definition_at(1, "f", &nothing).unwrap().text, "def f(): pass");
}

#[test]
fn invalid_syntax_is_told_with_its_place() {
    let Err(error) = Module::parse("x = 1\ndef é(: pass") else { panic!("accepted") };
    assert_eq!((error.line, error.column), (2, 7));
    for text in
        ["def f(:", "\0", "x = 'abc", "f'{", "if x:\n", "%matplotlib inline", "x = 1 2", "  x"]
    {
        assert!(matches!(Module::parse(text), Err(ParseError { line: 1.., .. })), "{text:?}");
    }
}

#[test]
fn nothing_is_a_module_too() {
    for text in ["", "\n\n", "# only a comment", "\u{feff}"] {
        assert!(Module::parse(text).unwrap().assignment("x").is_none());
    }
}

#[test]
fn a_module_may_be_shared_between_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&Module::parse("").unwrap());
}

#[test]
fn lambdas_of_one_line_are_told_apart_by_their_place() {
    let source = "é = 1; f, g = lambda x: (x), lambda x: [lambda y: y + x][0]\n";
    let module = Module::parse(source).unwrap();
    let column = |part: &str| u32::try_from(source.find(part).unwrap()).unwrap();
    let text = |column| module.lambda_around(1, column).map(|found| found.text.to_owned());
    assert_eq!(text(column("x), lambda")).unwrap(), "lambda x: (x)");
    assert_eq!(text(column("[lambda y")).unwrap(), "lambda x: [lambda y: y + x][0]");
    assert_eq!(text(column("y + x")).unwrap(), "lambda y: y + x");
    for place in [column("lambda x"), column("f, g"), 1_000] {
        assert!(matches!(text(place), Err(LookupError::NoDefinitionAt { line: 1, .. })));
    }
    for line in [0, 2, 3] {
        assert!(module.lambda_around(line, 0).is_err());
    }
}

#[test]
fn a_lambda_in_a_class_has_its_private_names() {
    let module = Module::parse("class C:\n    f = lambda self: self.__x\n").unwrap();
    let found = module.lambda_around(2, 21).unwrap().digest;
    assert_eq!(found, module.definition_at(2, "<lambda>", &nothing).unwrap().digest);
}
