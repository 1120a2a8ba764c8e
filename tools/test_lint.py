from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import lint
import rust
from lint import Breach, Tree

MANIFEST = '[package]\nname = "thrifty-{name}"\n\n[dependencies]\n{dependencies}\n'
DRAWING = "# Architecture\n\n```crates\nkey\nengine -> key\n```\n"


def source(text: str) -> rust.Source:
    return rust.Source(Path("crates/key/src/lib.rs"), text, is_test=False)


class Checkout:
    """A repository in which every rule is kept, to be broken one file at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        self.write("Cargo.toml", "[workspace]\n")
        self.write("ARCHITECTURE.md", DRAWING)
        self.write("crates/key/Cargo.toml", MANIFEST.format(name="key", dependencies=""))
        self.write("crates/key/src/lib.rs", "pub mod plain;\n\npub use plain::Digest;\n")
        self.write("crates/key/src/plain.rs", "pub struct Digest;\n")
        engine = MANIFEST.format(name="engine", dependencies="thrifty-key.workspace = true")
        self.write("crates/engine/Cargo.toml", engine)
        self.write("crates/engine/src/lib.rs", "pub use thrifty_key as key;\n")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def breaches(self) -> list[Breach]:
        tree = Tree(self.root)
        return sorted({breach for rule in lint.RULES for breach in rule(tree)})

    def only_breach(self) -> str:
        (breach,) = self.breaches()
        return str(breach)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_clean_tree_breaks_nothing(checkout: Checkout) -> None:
    assert checkout.breaches() == []


@pytest.mark.parametrize(
    "hidden",
    [
        "// fn no() {",
        "/* fn no() { /* nested { */ } */",
        '"fn no() { \\" }"',
        'r#"fn no() { " "#',
        'br##"{"# {"##',
        "'{'",
        "b'{'",
        r"'\''",
        r"'\u{7b}'",
    ],
)
def test_braces_in_comments_and_literals_do_not_count(hidden: str) -> None:
    text = f"fn yes() {{\n    let x = {hidden}\n;}}\nfn after() {{}}\n"
    found = [(function.name, function.length) for function in source(text).functions()]
    assert found == [("yes", 3), ("after", 1)]
    assert len(rust.blank(text)) == len(text)


def test_a_lifetime_is_not_a_character() -> None:
    text = "fn a<'a>(x: &'a str) -> &'a str { x }\nfn b() { '}'; }\n"
    assert [function.name for function in source(text).functions()] == ["a", "b"]


def test_signatures_span_lines_and_contracts_have_no_body() -> None:
    contract = "trait T {\n    fn contract(&self, x: [u8; 4]);\n}\n"
    long = "fn long(\n    x: [u8; 4],\n)\nwhere\n    T: U,\n{\n\n    // nothing\n}\n"
    found = [(f.name, f.line, f.length) for f in source(contract + long).functions()]
    assert found == [("long", 4, 7)]


def test_tests_are_neither_code_nor_documentation() -> None:
    one = "/// One.\nfn one() {}\n"
    tests = "#[cfg(test)]\n#[allow(x[0])]\nmod tests {\n    /// Two.\n    fn two() {}\n}\n"
    three = "/// Three.\nfn three() {}\n#[test]\nfn four() {}\n"
    read = source(one + tests + three)
    assert [function.name for function in read.functions()] == ["one", "three"]
    assert (read.code_lines, read.test_lines, read.doc_lines) == (2, 7, 2)


def test_a_test_module_in_a_file_of_its_own_is_tests(checkout: Checkout) -> None:
    checkout.write("crates/key/src/plain.rs", "pub struct Digest;\n#[cfg(test)]\nmod golden;\n")
    checkout.write("crates/key/src/plain/golden.rs", "fn check() { None::<u8>.unwrap(); }\n")
    assert checkout.breaches() == []


def test_a_long_function(checkout: Checkout) -> None:
    body = "    x();\n" * lint.FUNCTION_LIMIT
    short = "fn s() {}\n" * 3
    checkout.write("crates/key/src/plain.rs", f"{short}fn long() {{\n{body}}}\n")
    assert checkout.only_breach().startswith("crates/key/src/plain.rs:4: `long` has 82 lines")


def test_functions_long_as_a_rule(checkout: Checkout) -> None:
    checkout.write("crates/key/src/plain.rs", "fn long() {\n" + "    x();\n" * 8 + "}\n")
    assert "the median function has 10 lines" in checkout.only_breach()


def test_a_long_file_but_not_for_its_tests(checkout: Checkout) -> None:
    lines = "const A: u8 = 1;\n" * 150
    tests = "#[cfg(test)]\nmod tests {\n" + "const A: u8 = 1;\n" * 600 + "}\n"
    checkout.write("crates/key/src/plain.rs", lines + tests)
    assert checkout.breaches() == []
    checkout.write("crates/key/src/plain.rs", "// a\n" * 601)
    assert "601 lines without tests" in checkout.only_breach()


def test_a_long_python_function_but_not_for_its_docstring(checkout: Checkout) -> None:
    docstring = '    """Said.\n\n' + "    more\n" * 90 + '    """\n'
    checkout.write("tools/a.py", f"def f():\n{docstring}    # why\n    pass\n")
    assert checkout.breaches() == []
    checkout.write("tools/a.py", "def f():\n" + "    pass\n" * 80)
    assert checkout.only_breach().startswith("tools/a.py:1: `f` has 81 lines")


def test_documentation_is_measured_where_there_is_enough_code(checkout: Checkout) -> None:
    checkout.write("crates/key/src/plain.rs", "const A: u8 = 1;\n" * lint.SMALL_CRATE)
    assert checkout.only_breach().startswith("crates/key: 0 lines of documentation")
    described = "/// One.\n" * 60 + "const A: u8 = 1;\n" * lint.SMALL_CRATE
    checkout.write("crates/key/src/plain.rs", described)
    assert checkout.breaches() == []


@pytest.mark.parametrize(
    ("call", "kept"),
    [
        ("x.unwrap()", False),
        ("x.unwrap_or(1)", True),
        ('x.expect("the lock is never poisoned")', True),
        ('x.expect(\n"the lock is never poisoned")', True),
        ('x.expect("lock")', False),
        ("x.expect(&text)", False),
        ("// x.unwrap()", True),
        ('"x.unwrap()"', True),
    ],
)
def test_panics_state_an_invariant(checkout: Checkout, call: str, kept: bool) -> None:
    checkout.write("crates/key/src/plain.rs", f"fn f() {{\n    {call}\n;}}\n")
    assert bool(checkout.breaches()) is not kept


@pytest.mark.parametrize(
    ("attribute", "kept"),
    [
        ("#[allow(clippy::too_many_lines)]", False),
        ('#[expect(clippy::unwrap_used, reason = "short")]', False),
        ("#![allow(unused, dead_code)]", False),
        ('#[expect(dead_code, reason = "kept alive by being held")]', True),
        ("#[allow(clippy::too_many_arguments)]", True),
    ],
)
def test_limits_are_not_excused(checkout: Checkout, attribute: str, kept: bool) -> None:
    checkout.write("crates/key/src/plain.rs", f"{attribute}\nfn f() {{}}\n")
    assert bool(checkout.breaches()) is not kept


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# TODO: later\n", "unfinished work"),
        ("# mine: /home/me/x\n", "a path of somebody's machine"),
        ("# https://a.example/home/ and {x}/home/\n", ""),
    ],
)
def test_words_that_do_not_belong(checkout: Checkout, text: str, said: str) -> None:
    checkout.write("docs/a.md", text)
    assert [said in breach.rule for breach in checkout.breaches()] == ([True] if said else [])


@pytest.mark.parametrize("path", ["crates/key/src/util.rs", "python/thrifty/helpers/a.py"])
def test_rooms_without_a_purpose(checkout: Checkout, path: str) -> None:
    checkout.write(path, "")
    assert checkout.only_breach().startswith(f"{path}: a file is named for what it does")


def test_an_edge_that_is_not_drawn(checkout: Checkout) -> None:
    checkout.write("ARCHITECTURE.md", DRAWING.replace("engine -> key", "engine"))
    assert "`engine -> key` is not drawn" in checkout.only_breach()


def test_an_edge_that_is_only_drawn(checkout: Checkout) -> None:
    checkout.write("ARCHITECTURE.md", DRAWING.replace("key\nengine", "key -> engine\nengine"))
    assert "`key -> engine` is drawn in ARCHITECTURE.md, not real" in checkout.only_breach()


def test_a_crate_that_is_only_drawn(checkout: Checkout) -> None:
    checkout.write("ARCHITECTURE.md", DRAWING.replace("key\n", "key\nserve\n"))
    assert "`serve` is drawn, but is no crate" in checkout.only_breach()


def test_modules_in_a_circle_also_by_a_name_of_the_root(checkout: Checkout) -> None:
    checkout.write("crates/key/src/lib.rs", "mod a;\nmod b;\npub use a::{First, Other as Same};\n")
    checkout.write("crates/key/src/a.rs", "use crate::{b::{c, d}, e};\npub struct First;\n")
    checkout.write("crates/key/src/b.rs", "use super::First;\n")
    assert "2 of 3 modules import each other in a circle: a, b" in checkout.only_breach()


def test_a_part_of_a_module_may_use_the_whole(checkout: Checkout) -> None:
    checkout.write("crates/key/src/plain/part.rs", "use super::Digest;\nuse crate::plain::x;\n")
    assert checkout.breaches() == []


def test_the_engine_may_turn_a_little(checkout: Checkout) -> None:
    modules = [chr(ord("a") + i) for i in range(10)]
    for module in modules:
        checkout.write(f"crates/engine/src/{module}.rs", "")
    checkout.write("crates/engine/src/a.rs", "use crate::b::B;\n")
    checkout.write("crates/engine/src/b.rs", "use crate::a::A;\n")
    assert checkout.breaches() == []
    checkout.write("crates/engine/src/b.rs", "use crate::c::C;\n")
    checkout.write("crates/engine/src/c.rs", "use crate::a::A;\n")
    assert "3 of 10 modules" in checkout.only_breach()


def test_python_modules_in_a_circle(checkout: Checkout) -> None:
    checkout.write("python/thrifty/__init__.py", "from thrifty.a import A\n")
    checkout.write("python/thrifty/a.py", "from .b import B\n")
    late = "from thrifty import _native\n\ndef late():\n    from thrifty.a import A\n"
    checkout.write("python/thrifty/b.py", late)
    assert checkout.breaches() == []
    checkout.write("python/thrifty/b.py", "from . import a\n")
    assert "['thrifty.a', 'thrifty.b']" in checkout.only_breach()
    checkout.write("python/thrifty/b.py", "from thrifty import A\n")
    assert "['thrifty', 'thrifty.a', 'thrifty.b']" in checkout.only_breach()


def test_a_dependency_that_nobody_uses(checkout: Checkout) -> None:
    manifest = MANIFEST.format(name="key", dependencies='rmp-serde = "1"')
    checkout.write("crates/key/Cargo.toml", manifest)
    assert checkout.only_breach() == "crates/key/Cargo.toml: nothing uses `rmp-serde`"
    checkout.write("crates/key/src/plain.rs", "use rmp_serde::Serializer;\n")
    assert checkout.breaches() == []


def test_a_shared_version_that_nobody_takes(checkout: Checkout) -> None:
    checkout.write("Cargo.toml", '[workspace.dependencies]\nserde = "1"\n')
    assert checkout.only_breach() == "Cargo.toml: no crate takes `serde`"


def test_formats_and_what_refers_to_them(checkout: Checkout) -> None:
    checkout.write("docs/formats/key.md", "# Keys\n")
    assert "nothing refers to this format" in checkout.only_breach()
    checkout.write("crates/key/src/plain.rs", "//! `docs/formats/key.md`\n")
    assert checkout.breaches() == []
    checkout.write("crates/key/src/plain.rs", "//! docs/formats/key.md docs/formats/blob.md\n")
    assert checkout.only_breach() == "crates/key/src/plain.rs: there is no docs/formats/blob.md"


def test_the_table_has_a_line_for_every_crate(checkout: Checkout) -> None:
    lines = lint.table(Tree(checkout.root)).splitlines()
    assert [line.split()[0] for line in lines] == ["crate", "engine", "key"]
