"""One closure whatever the interpreter, and whole packages that nobody wrote for this."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import thrifty
from edits.changes import each_file, formatted, with_comments

SDK = Path(thrifty.__file__).resolve().parents[1]
TREES = Path(__file__).parent / "edits"
VERSIONS = ("3.11", "3.12", "3.13")
# Small, pure, and there anyway: pytest and matplotlib need them.
PACKAGES = ("cycler", "iniconfig", "packaging", "pluggy")

LIST = """
import importlib, json, sys
from thrifty import _native
version = ".".join(map(str, sys.version_info[:2]))
found = {}
for name in sys.argv[1:]:
    module, name = name.split(":")
    function = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    units, notes = _native.closure(function)
    found[f"{module}:{name}"] = {unit: digest for unit, kind, digest, _ in units}
print(json.dumps([version, found]))
"""


def run(python: str, directory: Path, code: str, *arguments: str) -> str:
    """What a program prints that finds modules in a directory."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (SDK, directory)))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [python, "-c", code, *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def interpreters() -> dict[str, str]:
    """An interpreter of each supported version that is on this machine."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = {".".join(map(str, sys.version_info[:2])): sys.executable}
    for version in VERSIONS:
        candidates = [*sorted(root.glob(f"versions/{version}.*/bin/python"))]
        candidates += [Path(path) for path in [shutil.which(f"python{version}")] if path]
        for candidate in candidates:
            says = subprocess.run(
                [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
            )
            if says.stdout.strip() == version:
                found.setdefault(version, str(candidate))
    return found


SUBJECTS = [
    f"shop.{name}"
    for name in (
        "cleaning:tidy",
        "cleaning:weight",
        "cleaning:is_even",
        "settings:channel",
        "models:Linear",
        "models:Account",
        "models:Counted",
        "models:Order",
        "models:Color",
        "models:Flags",
        "models:Point",
        "models:Pair",
        "models:Items",
        "registry:export",
        "registry:show",
        "decorators:stacked",
        "decorators:wrapped",
        "decorators:labelled",
        "decorators:Report",
        "functional:closure",
        "functional:bound",
        "functional:grow",
        "functional:with_default",
        "functional:numbers",
        "functional:gather",
        "functional:classify",
        "functional:scopes",
        "functional:nested",
        "functional:several",
        "functional:caught",
        "functional:configured",
        "compat:separator",
        "cycle_a:ping",
        "stars:chosen",
        "lazy:heavy",
        "patches:instead",
    )
]


def test_every_interpreter_finds_the_same(record_property) -> None:
    told = {}
    for version, python in interpreters().items():
        says, found = json.loads(run(python, TREES / "package" / "src", LIST, *SUBJECTS))
        assert says == version
        told[version] = found
    record_property("interpreters", ", ".join(sorted(told)))
    print("interpreters that ran:", ", ".join(sorted(told)))
    first, *others = told.values()
    assert set(first) == set(SUBJECTS)
    for other in others:
        assert other == first


WHOLE = """
import importlib, json, pkgutil, sys, types
from thrifty import _native
package = importlib.import_module(sys.argv[1])
names = [package.__name__]
if hasattr(package, "__path__"):
    names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
names = [name for name in names if not name.endswith("__main__")]
lines = [f"import {name}" for name in names]
text = "def everything():\\n" + "".join(f"    {line}\\n" for line in lines)
text += "    return [" + ", ".join(names) + "]\\n"
open("whole.py", "w").write(text)
import whole
units, notes = _native.closure(whole.everything)
print(json.dumps({name: digest for name, kind, digest, _ in units}))
own = {}
for name in names:
    for key, value in vars(sys.modules.get(name, types)).items():
        if isinstance(value, (type, types.FunctionType)) and value.__module__ == name:
            units, notes = _native.closure(value, "function")
            own[f"{name}.{key}"] = [digest for _, _, digest, _ in units]
print(json.dumps(own))
"""


def stripped(text: str) -> str:
    """No docstrings, but of definitions that read them, or whose decorators may."""
    tree = ast.parse(text)
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if "__doc__" in ast.unparse(node):
            continue
        waiting += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        first = node.body[0]
        is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        if is_docstring and not node.decorator_list:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_whole_package_has_a_fingerprint_that_a_formatter_does_not_move(
    name: str, tmp_path: Path
) -> None:
    __import__(name)
    home = Path(sys.modules[name].__file__ or "").parent
    package = tmp_path / name
    shutil.copytree(home, package, ignore=shutil.ignore_patterns("__pycache__", "*.pyi"))
    whole, own = measured(tmp_path, name)
    functions = sum(
        isinstance(node, (ast.FunctionDef, ast.ClassDef))
        for file in package.rglob("*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
    )
    assert len(whole) >= functions <= len(own) + 10
    each_file(with_comments)(package)
    assert measured(tmp_path, name) == (whole, own)
    # In the whole of a package that reads signatures or docstrings these count, to the letter.
    each_file(stripped)(package)
    formatted(package)
    assert measured(tmp_path, name)[1] == own


def measured(directory: Path, name: str) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The fingerprints of a package: of all that it holds, and of each definition alone."""
    whole, own = run(sys.executable, directory, WHOLE, name).splitlines()
    return json.loads(whole), json.loads(own)
