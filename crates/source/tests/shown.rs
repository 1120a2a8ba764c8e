//! Docstrings and annotations, where something that was found reads them.
#![allow(clippy::unwrap_used)]

use thrifty_key::Digest;
use thrifty_source::Module;

const SOURCE: &str = "def f(x: int) -> str:\n    'Doubles.'\n    y: int = 2\n    return x * y\n";

fn shown(source: &str) -> Digest {
    let module = Module::parse(source).unwrap().shown();
    module.definition_at(1, "f", &|_| false).unwrap().digest
}

#[test]
fn docstrings_and_annotations_count_where_they_are_shown() {
    let changes = [("Doubles", "Halves"), ("x: int", "x: float"), ("-> str", "-> int")];
    for (old, new) in changes {
        let (before, after) = (Module::parse(SOURCE).unwrap(), SOURCE.replace(old, new));
        let plain = |module: &Module| module.definition_at(1, "f", &|_| false).unwrap().digest;
        assert_eq!(plain(&before), plain(&Module::parse(&after).unwrap()), "{old}");
        assert_ne!(shown(SOURCE), shown(&after), "{old}");
    }
}

#[test]
fn what_nobody_reads_does_not_count_even_there() {
    for (old, new) in [
        ("'Doubles.'", "\"Doubles.\"  # it does"),
        ("y: int", "y: float"),
        ("(x: int)", "(x:int, )"),
    ] {
        assert_eq!(shown(SOURCE), shown(&SOURCE.replace(old, new)), "{old}");
    }
    let renamed = SOURCE.replace("y: int", "z: int").replace("* y", "* z");
    assert_eq!(shown(SOURCE), shown(&renamed));
}

#[test]
fn annotations_that_are_texts_are_others() {
    let with = |line: &str| {
        let module = Module::parse(&format!("{SOURCE}{line}\n")).unwrap().shown();
        module.definition_at(1, "f", &|_| false).unwrap().digest
    };
    // The interpreter wants it at the top; where it stands does not matter here.
    assert_ne!(with("from __future__ import annotations"), with(""));
    assert_eq!(with("from __future__ import division"), with(""));
}

#[test]
fn a_shown_annotation_is_a_reference() {
    let source = "def f(x: Order): pass\n";
    let found = |module: Module| {
        let found = module.definition_at(1, "f", &|_| false).unwrap();
        found.references.iter().map(|one| one.path.join(".")).collect::<Vec<_>>()
    };
    assert_eq!(found(Module::parse(source).unwrap()), Vec::<String>::new());
    assert_eq!(found(Module::parse(source).unwrap().shown()), ["Order"]);
}

#[test]
fn readers_are_known() {
    let reads = |body: &str| {
        let module = Module::parse(&format!("def f(g, **k): return {body}\n")).unwrap();
        module.definition_at(1, "f", &|_| false).unwrap().reads_definitions
    };
    for body in [
        "g.__doc__",
        "g.__annotations__",
        "getattr(g, '__doc__')",
        "inspect.getdoc(g)",
        "inspect.signature(g)",
        "signature(g)",
        "typing.get_type_hints(g)",
        "get_annotations(g)",
        "inspect.getfullargspec(g)",
        "agent(tools=[g])",
        "llm.bind_tools([g])",
        "Tool.from_function(g)",
    ] {
        assert!(reads(body), "{body}");
    }
    for body in ["g.__name__", "g(doc=1)", "tools(g)", "'__doc__'"] {
        assert!(!reads(body), "{body}");
    }
}
