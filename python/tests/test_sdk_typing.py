"""Types: what a checker sees, and that the stub tells the truth about the binary."""

from __future__ import annotations

import ast
import json
import pathlib
import re
import subprocess
import sys
import types

import pytest
import thrifty
from thrifty import _native

HERE = pathlib.Path(__file__).parent
PACKAGE = pathlib.Path(thrifty.__file__).parent
STUB = ast.parse((PACKAGE / "_native.pyi").read_text())

# What every class has, and what a stub does not tell.
COMMON = {
    "__doc__",
    "__module__",
    "__repr__",
    "__str__",
    "__dict__",
    "__class_getitem__",
    "__weakref__",
}
ONLY_TYPES = {"Node", "PlannedNode"}


def signature(text):
    """The names of the parameters, with stars; without `self` and `cls`."""
    names = [name.strip() for name in text.strip("()").split(",")]
    names = [name.split("=")[0].split(":")[0].strip() for name in names]
    return [name for name in names if name and name not in ("$self", "$type", "$cls", "/")]


def declared(function):
    text = ast.unparse(function.args)
    # Annotations may hold commas.
    while text != (text := re.sub(r"\[[^\[\]]*\]", "", text)):
        pass
    return [name for name in signature(text) if name not in ("self", "cls")]


def test_the_stub_has_the_names_of_the_binary():
    told = {
        getattr(node, "name", None) or node.target.id
        for node in STUB.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AnnAssign))
    }
    there = set(dir(_native)) - set(dir(types.ModuleType("x"))) - {"__all__", "__file__"}
    assert told - ONLY_TYPES == there


@pytest.mark.parametrize(
    "node", [n for n in STUB.body if isinstance(n, ast.FunctionDef)], ids=lambda n: n.name
)
def test_functions_have_the_signatures_of_the_stub(node):
    assert declared(node) == signature(getattr(_native, node.name).__text_signature__)


@pytest.mark.parametrize(
    "node",
    [n for n in STUB.body if isinstance(n, ast.ClassDef) and n.name not in ONLY_TYPES],
    ids=lambda n: n.name,
)
def test_classes_have_the_members_of_the_stub(node):
    found = getattr(_native, node.name)
    methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
    if issubclass(found, Exception):
        assert {base.id for base in node.bases} == {found.__bases__[0].__name__}
        return
    assert methods.keys() == vars(found).keys() - COMMON
    for name, method in methods.items():
        is_property = any(ast.unparse(it) == "property" for it in method.decorator_list)
        member = vars(found)[name]
        assert is_property == isinstance(member, types.GetSetDescriptorType), name
        if not is_property:
            text = (found if name == "__new__" else member).__text_signature__
            assert declared(method) == signature(text), name


def checked(path, directory):
    """What pyright says of a file: pairs of a line and a rule."""
    pytest.importorskip("pyright")
    configuration = {
        "include": [path.name],
        "extraPaths": [str(PACKAGE.parent)],
        "typeCheckingMode": "strict",
        "reportUnusedExpression": False,
        "reportUnusedCoroutine": False,
        "reportUnknownMemberType": False,
        "reportUnknownVariableType": False,
        "reportUnknownArgumentType": False,
        "pythonVersion": "3.11",
    }
    (directory / path.name).write_text(path.read_text())
    project = directory / "pyrightconfig.json"
    project.write_text(json.dumps(configuration))
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(project)]
    command += ["--pythonpath", sys.executable]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    report = json.loads(process.stdout)
    assert report["summary"]["filesAnalyzed"] >= 1, process.stdout
    return [
        (found["range"]["start"]["line"] + 1, found.get("rule", found["message"]))
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    ]


def test_a_type_checker_sees_through_the_decorators(tmp_path):
    path = HERE / "typing_check.py"
    wanted = {
        number: set(line.split("# error: ")[1].split(", "))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# error: " in line
    }
    found: dict[int, set[str]] = {}
    for line, rule in checked(path, tmp_path):
        found.setdefault(line, set()).add(rule)
    assert found.keys() == wanted.keys(), found
    for line, rules in found.items():
        assert rules & wanted[line], (line, rules)
