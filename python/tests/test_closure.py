"""What the closure of a function holds, and when it changes; each case in fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import thrifty

PACKAGE = Path(thrifty.__file__).resolve().parents[1]

LIST = """
import json, sys
from thrifty import _native
def show(function):
    units, notes = _native.closure(function)
    print(json.dumps({"units": {name: [kind, digest] for name, kind, digest, _ in units}, "notes": notes}))
"""


class Project:
    """Files in a directory, and what a process says about them."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, **files: str) -> None:
        """Writes modules: `pkg__mod` is `pkg/mod.py`."""
        for name, text in files.items():
            path = self.root / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / (name.replace("__", "/") + ".py")
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, code: str, *arguments: str, seed: str = "0") -> list:
        """Runs a program; each line that it prints is JSON."""
        script = self.root / "_probe.py"
        if not arguments:
            script.write_text(LIST + textwrap.dedent(code), encoding="utf-8")
            arguments = (str(script),)
        environment = dict(os.environ, PYTHONHASHSEED=seed, PYTHONDONTWRITEBYTECODE="1")
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(PACKAGE), str(self.root), str(self.root / "site-packages")]
        )
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def units(self, function: str = "step:run", before: str = "") -> dict:
        """The units of a function, after some code ran."""
        module, name = function.split(":")
        return self.run(f"import {module}\n{textwrap.dedent(before)}\nshow({module}.{name})")[-1][
            "units"
        ]

    def current(self, change: str, function: str = "step:run") -> bool:
        """Whether a closure says that it holds after a change in the running process."""
        module, name = function.split(":")
        code = f"import {module}\nheld = _native.Held({module}.{name})\nassert held.is_current()\n"
        return self.run(f"{code}{textwrap.dedent(change)}\nprint(json.dumps(held.is_current()))")[
            -1
        ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


PROBE = {
    "step": """
        import helper
        import fakelib
        LIMIT = 10

        def run(x):
            # a comment
            first = helper.direct(x)
            second = helper.Model().fit(first)
            return fakelib.work(second) + LIMIT
        """,
    "helper": '''
        SCALE = 2
        FACTOR = 7

        def direct(x):
            """Documented."""
            local = x + 1
            return transitive(local) * SCALE

        def transitive(x):
            return x * 3

        class Model:
            def fit(self, x):
                return x - 1

        def unrelated(x):
            return FACTOR
        ''',
    "site-packages__fakelib____init__": "def work(x): return x\n",
}


def probe(project: Project) -> None:
    files = {name: text for name, text in PROBE.items() if name.count("__") < 2}
    project.write(**files)
    package = project.root / "site-packages" / "fakelib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def work(x): return x\n", encoding="utf-8")
    install(project, "1.0")


def install(project: Project, version: str) -> None:
    site = project.root / "site-packages"
    for before in site.glob("fakelib-*.dist-info"):
        for file in before.iterdir():
            file.unlink()
        before.rmdir()
    metadata = site / f"fakelib-{version}.dist-info"
    metadata.mkdir()
    (metadata / "RECORD").write_text("fakelib/__init__.py,,\n", encoding="utf-8")


MUST_RERUN = {
    "own body": ("step", "+ LIMIT", "- LIMIT"),
    "direct helper": ("helper", "x + 1", "x + 2"),
    "transitive helper": ("helper", "x * 3", "x * 4"),
    "class method": ("helper", "x - 1", "x - 2"),
    "own constant": ("step", "LIMIT = 10", "LIMIT = 11"),
    "constant of a helper": ("helper", "SCALE = 2", "SCALE = 3"),
}
MUST_KEEP = {
    "comment": ("step", "# a comment", "# another comment, longer"),
    "docstring": ("helper", "Documented.", "Documented better."),
    "moved lines": ("helper", "SCALE = 2", "\n\n\nSCALE = 2"),
    "renamed local": ("helper", "local", "renamed"),
    "unrelated helper": ("helper", "return FACTOR", "return FACTOR + 1"),
    "unrelated constant": ("helper", "FACTOR = 7", "FACTOR = 8"),
    "formatting": ("helper", "x * 3", "(x\n        * 3)"),
}


@pytest.mark.parametrize("edit", MUST_RERUN.values(), ids=MUST_RERUN)
def test_edits_that_change_the_result_are_seen(
    project: Project, edit: tuple[str, str, str]
) -> None:
    probe(project)
    before = project.units()
    project.edit(*edit)
    assert project.units() != before


@pytest.mark.parametrize("edit", MUST_KEEP.values(), ids=MUST_KEEP)
def test_edits_that_change_nothing_are_not_seen(
    project: Project, edit: tuple[str, str, str]
) -> None:
    probe(project)
    before = project.units()
    project.edit(*edit)
    assert project.units() == before


def test_a_package_upgrade_changes_the_unit_of_its_distribution_only(project: Project) -> None:
    probe(project)
    before = project.units()
    install(project, "1.1")
    after = project.units()
    assert {name for name in before if before[name] != after[name]} == {"fakelib (distribution)"}


def test_the_units_of_the_probe_are_these(project: Project) -> None:
    probe(project)
    assert {name: kind for name, (kind, _) in project.units().items()} == {
        "fakelib (distribution)": "package",
        "helper:Model": "class",
        "helper:SCALE": "constant",
        "helper:direct": "function",
        "helper:transitive": "function",
        "step:LIMIT": "constant",
        "step:run": "function",
    }


def test_the_hash_seed_does_not_matter(project: Project) -> None:
    probe(project)
    code = "import step\nshow(step.run)"
    assert project.run(code, seed="1") == project.run(code, seed="2")


# Each: the module `step`, the module `lib`, and an edit of `lib` that must be seen. In all of
# them the closure must be the same whether `lib` was imported before or not.
REACHED = {
    "function": ("from lib import f\ndef run(): return f()", "def f(): return 1", "1", "2"),
    "alias": ("from lib import f as g\ndef run(): return g()", "def f(): return 1", "1", "2"),
    "module alias": ("import lib as l\ndef run(): return l.f()", "def f(): return 1", "1", "2"),
    "local import": (
        "def run():\n    import lib\n    return lib.f()",
        "def f(): return 1",
        "1",
        "2",
    ),
    "local from import": (
        "def run():\n    from lib import f as g\n    return g()",
        "def f(): return 1",
        "1",
        "2",
    ),
    "local import in a nested function": (
        "def run():\n    def inner():\n        from lib import f\n        return f()\n    return inner()",
        "def f(): return 1",
        "1",
        "2",
    ),
    "local star": ("from lib import *\ndef run(): return f()", "def f(): return 1", "1", "2"),
    "constant": ("def run():\n    from lib import N\n    return N", "N = 1", "1", "2"),
    "constant in a tuple": (
        "def run():\n    from lib import N\n    return N",
        "N = (1, [2, 3])",
        "3",
        "4",
    ),
    "constant dict": ("def run():\n    from lib import N\n    return N", "N = {'a': 1}", "1", "2"),
    "arithmetic": (
        "def run():\n    from lib import N\n    return N",
        "B = 60\nN = 24 * B",
        "60",
        "61",
    ),
    "float": ("def run():\n    from lib import N\n    return N", "N = -0.5 * 3.0", "0.5", "0.25"),
    "computed": (
        "def run():\n    from lib import N\n    return N",
        "N = [i for i in range(3)]",
        "3",
        "4",
    ),
    "filled later": (
        "def run():\n    from lib import N\n    return N",
        "N = {}\nN['a'] = 1",
        "1",
        "2",
    ),
    "appended later": (
        "def run():\n    from lib import N\n    return N",
        "N = [0]\nN.append(1)",
        "1",
        "2",
    ),
    "augmented": ("def run():\n    from lib import N\n    return N", "N = 1\nN += 5", "5", "6"),
    "unpacked": ("def run():\n    from lib import N\n    return N", "M, N = 0, 1", "1", "2"),
    "class": (
        "def run():\n    from lib import C\n    return C().m()",
        "class C:\n    def m(self): return 1",
        "1",
        "2",
    ),
    "base class": (
        "def run():\n    from lib import C\n    return C().m()",
        "class B:\n    def m(self): return 1\nclass C(B):\n    pass",
        "1",
        "2",
    ),
    "class attribute": (
        "def run():\n    from lib import C\n    return C.a",
        "class C:\n    a = 1",
        "1",
        "2",
    ),
    "constant read by a method": (
        "def run():\n    from lib import C\n    return C().m()",
        "N = 1\nclass C:\n    def m(self): return N",
        "1",
        "2",
    ),
    "metaclass": (
        "def run():\n    from lib import C\n    return C()",
        "class M(type):\n    def __call__(cls): return 1\nclass C(metaclass=M): pass",
        "1",
        "2",
    ),
    "staticmethod": (
        "def run():\n    from lib import C\n    return C.m()",
        "class C:\n    @staticmethod\n    def m(): return 1",
        "1",
        "2",
    ),
    "property": (
        "def run():\n    from lib import C\n    return C().m",
        "class C:\n    @property\n    def m(self): return 1",
        "1",
        "2",
    ),
    "dataclass": (
        "def run():\n    from lib import C\n    return C()",
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    x: int = 1",
        "1",
        "2",
    ),
    "enum": (
        "def run():\n    from lib import C\n    return C.A",
        "from enum import Enum\nclass C(Enum):\n    A = 1",
        "1",
        "2",
    ),
    "namedtuple": (
        "def run():\n    from lib import C\n    return C(1)",
        "from collections import namedtuple\nC = namedtuple('C', 'a b')",
        "'a b'",
        "'a c'",
    ),
    "decorator": (
        "def run():\n    from lib import f\n    return f()",
        "def d(g):\n    def w(): return g() + 1\n    return w\n@d\ndef f(): return 5",
        "+ 1",
        "+ 2",
    ),
    "decorated": (
        "def run():\n    from lib import f\n    return f()",
        "def d(g):\n    def w(): return g()\n    return w\n@d\ndef f(): return 5",
        "5",
        "6",
    ),
    "decorator with wraps": (
        "def run():\n    from lib import f\n    return f()",
        "import functools\ndef d(g):\n    @functools.wraps(g)\n    def w(): return g() + 1\n    return w\n@d\ndef f(): return 5",
        "5",
        "6",
    ),
    "decorator argument": (
        "def run():\n    from lib import f\n    return f()",
        "N = 3\ndef d(n):\n    return lambda g: lambda: g() * n\n@d(N)\ndef f(): return 5",
        "N = 3",
        "N = 4",
    ),
    "lru_cache": (
        "def run():\n    from lib import f\n    return f()",
        "import functools\n@functools.lru_cache\ndef f(): return 1",
        "1",
        "2",
    ),
    "partial": (
        "def run():\n    from lib import p\n    return p()",
        "import functools\ndef f(x): return x\np = functools.partial(f, 1)",
        "1",
        "2",
    ),
    "function in a partial": (
        "def run():\n    from lib import p\n    return p()",
        "import functools\ndef f(x): return x + 5\np = functools.partial(f, 1)",
        "5",
        "6",
    ),
    "lambda": ("def run():\n    from lib import f\n    return f()", "f = lambda: 1", "1", "2"),
    "closure": (
        "def run():\n    from lib import f\n    return f()",
        "def make(n):\n    def inner(): return n\n    return inner\nf = make(1)",
        "make(1)",
        "make(2)",
    ),
    "function in a closure": (
        "def run():\n    from lib import f\n    return f()",
        "def g(): return 1\ndef make(h):\n    def inner(): return h()\n    return inner\nf = make(g)",
        "1",
        "2",
    ),
    "options of what a library made": (
        "def run():\n    from lib import f\n    return f([1.5])",
        "import numpy as np\ndef g(x): return x\nf = np.vectorize(g, otypes=[float])",
        "float",
        "int",
    ),
    "function of what a library made": (
        "def run():\n    from lib import f\n    return f([1.5])",
        "import numpy as np\ndef g(x): return x\nf = np.vectorize(g, otypes=[float])",
        "return x",
        "return -x",
    ),
    "options of what a library made, in a table": (
        "def run():\n    from lib import T\n    return T['f']([1.5])",
        "import numpy as np\ndef g(x): return x\nT = {'f': np.vectorize(g, otypes=[float])}",
        "float",
        "int",
    ),
    "options of a universal function": (
        "def run():\n    from lib import f\n    return f([1.5])",
        "import numpy as np\ndef g(x, y=0): return x\nf = np.frompyfunc(g, 1, 1)",
        "1, 1",
        "2, 1",
    ),
    "default": (
        "def run():\n    from lib import f\n    return f()",
        "def f(x=1): return x",
        "1",
        "2",
    ),
    "default by name": (
        "def run():\n    from lib import f\n    return f()",
        "N = 1\ndef f(x=N): return x",
        "1",
        "2",
    ),
    "keyword default": (
        "def run():\n    from lib import f\n    return f()",
        "def f(*, x=1): return x",
        "1",
        "2",
    ),
    "function as default": (
        "def run():\n    from lib import f\n    return f()",
        "def g(): return 1\ndef f(x=g): return x()",
        "1",
        "2",
    ),
    "condition": (
        "def run():\n    from lib import f\n    return f()",
        "import sys\nif sys.version_info > (3, 0):\n    def f(): return 1\nelse:\n    def f(): return 5",
        "1",
        "2",
    ),
    "fallback import": (
        "def run():\n    from lib import f\n    return f()",
        "try:\n    from nothing_like_it import f\nexcept ImportError:\n    def f(): return 1",
        "1",
        "2",
    ),
    "registry": (
        "def run():\n    from lib import table\n    return table['f']()",
        "table = {}\ndef register(f):\n    table[f.__name__] = f\n    return f\n@register\ndef f(): return 1",
        "return 1",
        "return 2",
    ),
    "dispatch": (
        "def run():\n    from lib import f\n    return f(1)",
        "import functools\n@functools.singledispatch\ndef f(x): return 5\n@f.register\ndef _(x: int): return 1",
        "1",
        "2",
    ),
    "recursion": (
        "def run():\n    from lib import f\n    return f(3)",
        "def f(n): return 1 if n else f(n - 1)",
        "return 1",
        "return 2",
    ),
    "mutual recursion": (
        "def run():\n    from lib import f\n    return f(3)",
        "def f(n): return g(n)\ndef g(n): return 1 if n else f(n - 1)",
        "return 1",
        "return 2",
    ),
    "import cycle": (
        "import lib\ndef back(): return 0\ndef run(): return lib.f()",
        "import step\ndef f(): return step.back() + 1",
        "1",
        "2",
    ),
    "generator": (
        "def run():\n    from lib import f\n    return list(f())",
        "def f():\n    yield 1",
        "1",
        "2",
    ),
    "async": (
        "def run():\n    from lib import f\n    return f()",
        "async def f():\n    return 1",
        "1",
        "2",
    ),
    "comprehension": (
        "def run():\n    from lib import f\n    return [f(i) for i in range(3)]",
        "def f(i): return 1",
        "1",
        "2",
    ),
    "passed as argument": (
        "def run():\n    from lib import f\n    return list(map(f, [1]))",
        "def f(i): return 5",
        "5",
        "6",
    ),
    "module as a value": (
        "def run(name='f'):\n    import lib\n    return getattr(lib, name)()",
        "def f(): return 1",
        "1",
        "2",
    ),
    "instance": (
        "def run():\n    from lib import c\n    return c.m()",
        "class C:\n    def m(self): return 1\nc = C()",
        "1",
        "2",
    ),
    "instance argument": (
        "def run():\n    from lib import c\n    return c.m()",
        "class C:\n    def __init__(self, n): self.n = n\n    def m(self): return self.n\nc = C(1)",
        "C(1)",
        "C(2)",
    ),
    "bound method": (
        "def run():\n    from lib import f\n    return f()",
        "class C:\n    def m(self): return 1\nf = C().m",
        "1",
        "2",
    ),
    "global statement": (
        "def run():\n    from lib import f\n    return f()",
        "N = 1\ndef set():\n    global N\n    N = 5\nset()\ndef f(): return N",
        "5",
        "6",
    ),
    "conditional expression": (
        "def run():\n    from lib import N\n    return N",
        "N = 1 if True else 5",
        "1",
        "2",
    ),
    "text": ("def run():\n    from lib import N\n    return N", "N = 'grün' + 'x'", "grün", "blau"),
    "bytes": ("def run():\n    from lib import N\n    return N", "N = b'a'", "b'a'", "b'b'"),
    "set": ("def run():\n    from lib import N\n    return N", "N = {1, 2}", "2", "3"),
    "annotated constant": (
        "def run():\n    from lib import N\n    return N",
        "N: int = 1",
        "1",
        "2",
    ),
    "bound again under a condition": (
        "def run():\n    from lib import M\n    return M",
        "N = 0\nif True:\n    N = 1\nM = N",
        "= 1",
        "= 2",
    ),
    "bound again by a global statement": (
        "def run():\n    from lib import M\n    return M",
        "N = 0\ndef set():\n    global N\n    N = 1\nset()\nM = N",
        "= 1",
        "= 2",
    ),
    "bound again by an expression": (
        "def run():\n    from lib import N\n    return N",
        "N = 0\nprint(end=(N := '1') and '')",
        "1",
        "2",
    ),
    "bound again by a star": (
        "def run():\n    from lib import N\n    return N",
        "N = 0\nM = 1\nimport sys, types\nother = types.ModuleType('other')\nother.N = M\nsys.modules['other'] = other\n"
        "try:\n    from other import *\nexcept ImportError:\n    pass",
        "M = 1",
        "M = 2",
    ),
    "bound again by its name": (
        "def run():\n    from lib import N\n    return N",
        "N = 0\nglobals()['N'] = 1",
        "1",
        "2",
    ),
    "filled deep inside": (
        "def run():\n    from lib import N\n    return N",
        "N = {'a': {}}\nN['a']['b'] = 1",
        "1",
        "2",
    ),
    "filled by another function": (
        "def run():\n    from lib import N\n    return N",
        "N = {}\ndef fill(table): table['b'] = 1\nfill(N)",
        "1",
        "2",
    ),
    "other branch of type checking": (
        "def run():\n    from lib import N\n    return N",
        "from typing import TYPE_CHECKING\nN = 0\nif TYPE_CHECKING:\n    pass\nelse:\n    N = 1",
        "1",
        "2",
    ),
    "constant of a class": (
        "def run():\n    from lib import C\n    return C.B",
        "A = 0\nclass C:\n    A = 1\n    B = A",
        "= 1",
        "= 2",
    ),
    "attribute of a function": (
        "def run():\n    from lib import f\n    return f.n",
        "def f(): pass\nf.n = 1",
        "1",
        "2",
    ),
    "computed attribute of a class": (
        "def run():\n    from lib import C\n    return C.a",
        "def make(): return [1]\nclass C:\n    a = make()",
        "1",
        "2",
    ),
    "attribute of a class put there later": (
        "def run():\n    from lib import C\n    return C.a",
        "class C:\n    a = len([0])\nC.a = [1]",
        "[1]",
        "[2]",
    ),
    "member of an enumeration": (
        "def run():\n    from lib import C\n    return C.A",
        "from enum import Enum\nvalues = [1]\nvalues.append(5)\nclass C(Enum):\n    A = values[1]",
        "5",
        "6",
    ),
    "alias of a builtin": (
        "def run():\n    from lib import f\n    return f(1, 2)",
        "f = max",
        "max",
        "min",
    ),
    "function of Python under another name": (
        "def run():\n    from lib import f\n    return f(1)",
        "from math import sqrt as f",
        "sqrt",
        "exp",
    ),
    "module of Python under another name": (
        "def run():\n    import lib\n    return lib.m.loads('1')",
        "import json as m",
        "json",
        "pickle",
    ),
    "one of two lambdas on a line": (
        "def run():\n    from lib import g\n    return g(1)",
        "f, g = lambda x: x + 1, lambda x: x + 2",
        "+ 2",
        "+ 3",
    ),
    "bound method of a builtin": (
        "def run():\n    from lib import f\n    return f('a')",
        "f = 'abc'.count",
        "abc",
        "aabc",
    ),
    "given on demand": (
        "def run():\n    import lib\n    return lib.x",
        "import types\n_home = types.SimpleNamespace(x=[1])\ndef __getattr__(name): return getattr(_home, name)",
        "1",
        "2",
    ),
    "class that globals replaces": (
        "def run():\n    from lib import C\n    return C()",
        "class C: pass\ndef make(): return 5\nglobals()['C'] = make",
        "5",
        "6",
    ),
    "class that a decorator replaces": (
        "def run():\n    from lib import c\n    return c.m()",
        "def make(cls): return cls()\n@make\nclass c:\n    def m(self): return 1",
        "1",
        "2",
    ),
    "module getattr": (
        "def run():\n    import lib\n    return lib.x",
        "def __getattr__(name): return 1",
        "1",
        "2",
    ),
}


@pytest.mark.parametrize(("step", "lib", "old", "new"), REACHED.values(), ids=REACHED)
def test_what_is_reached_is_seen_loaded_or_not(
    project: Project, step: str, lib: str, old: str, new: str
) -> None:
    project.write(step=step + "\n", lib=lib + "\n")
    lazy = project.units()
    assert project.units(before="import lib") == lazy
    project.edit("lib", old, new)
    edited = project.units()
    assert edited != lazy
    assert project.units(before="import lib") == edited
    (project.root / "lib.py").write_text(
        "# moved\n\n" + lib.replace(old, new) + "\n", encoding="utf-8"
    )
    assert project.units() == edited


STARS = {
    "step": "def run():\n    from facade import f, g\n    return f() + g()\n",
    "facade": "from one import *\nfrom two import *\n",
    "one": "def f(): return 1\ndef g(): return 2\n",
    "two": "__all__ = ['g']\ndef f(): return 3\ndef g(): return 4\n",
}


def test_a_star_brings_what_its_module_lists(project: Project) -> None:
    project.write(**STARS)
    lazy = project.units()
    assert set(lazy) == {"step:run", "facade:f", "facade:g", "one:f", "two:g"}
    assert project.units(before="import facade") == lazy
    project.edit("two", "['g']", "['f', 'g']")
    assert set(project.units()) == {"step:run", "facade:f", "facade:g", "two:f", "two:g"}


def test_names_behind_a_star_belong_to_a_module_that_is_a_value(project: Project) -> None:
    project.write(
        **STARS | {"step": "import facade\ndef run(name): return getattr(facade, name)()\n"}
    )
    assert {"one:f", "two:g"} <= set(project.units())


@pytest.mark.parametrize("table", ["{}", "dict()", "[]", "set()"])
def test_a_registry_that_a_later_import_fills_is_seen_as_it_will_be(
    project: Project, table: str
) -> None:
    fill = {"[": "append(1)", "s": "add(1)"}.get(table[0], "update(a=1)")
    project.write(
        step="def run():\n    import plugin\n    import lib\n    return lib.table\n",
        lib=f"table = {table}\n",
        plugin=f"import lib\nlib.table.{fill}\n",
    )
    lazy = project.units()
    assert project.units(before="import plugin") == lazy
    project.edit("plugin", "1", "2")
    edited = project.units()
    assert edited != lazy
    assert project.units(before="import plugin") == edited


def test_a_branch_that_did_not_run_is_no_fault(project: Project) -> None:
    project.write(
        step="import sys\nif sys.platform == 'nowhere':\n    import winreg\n"
        "def run():\n    import winreg\n    return winreg\n"
    )
    assert set(project.units()) == {"step:run"}
    assert not project.current("step.winreg = 5")


def test_a_module_that_cannot_be_imported_counts_by_its_file(project: Project) -> None:
    project.write(
        step="def run():\n    from lib import f\n    return f\n",
        lib="import not_there_at_all\nif len('a'):\n    import json as f\n",
    )
    before = project.units()
    assert before["lib (file)"][0] == "opaque"
    project.edit("lib", "json", "pickle")
    assert project.units() != before


def test_what_a_module_keeps_of_what_it_gave_changes_nothing(project: Project) -> None:
    project.write(
        step="import lib\ndef run(): return lib.f()\n",
        lib="def __getattr__(name):\n    import home\n    globals()[name] = getattr(home, name)\n    return globals()[name]\n",
        home="def f(): return 1\n",
    )
    before = project.units()
    assert {"lib:__getattr__", "home:f"} <= set(before)
    assert project.units(before="step.run()") == before


def test_a_source_in_the_encoding_that_it_declares_is_read(project: Project) -> None:
    project.write(step="import lib\ndef run(): return lib.f()\n")
    for letter in "éè":
        text = f"# -*- coding: latin-1 -*-\ndef f(): return '{letter}'\n"
        (project.root / "lib.py").write_bytes(text.encode("latin-1"))
        units = project.units()
        assert set(units) == {"step:run", "lib:f"}
        if letter == "é":
            before = units
    assert units != before


def test_docstrings_and_annotations_that_are_read_count(project: Project) -> None:
    project.write(
        step="import lib\ndef run(): return [f.__doc__ for f in (lib.f, lib.g)]\ndef other(): return lib.f()\n",
        lib="class Order: pass\ndef f(x: Order):\n    'Doubles.'\n    return x\ndef g(): return 1\n",
    )
    read, unread = project.units(), project.units("step:other")
    assert "lib:Order" in read
    assert "lib:Order" not in unread
    project.edit("lib", "Doubles.", "Halves.")
    changed = project.units()
    assert {name for name in read if read[name] != changed[name]} == {"lib:f"}
    assert project.units("step:other") == unread


# Each: the module `step`, what happens in the process before the closure is asked for.
CHANGED_AT_RUN_TIME = {
    "constant of a module": ("import lib\ndef run(): return lib.N", "import lib; lib.N = 5"),
    "constant in place": ("import lib\ndef run(): return lib.L", "import lib; lib.L.append(5)"),
    "constant imported by name": ("from lib import N\ndef run(): return N", "step.N = 5"),
    "function of a module": (
        "import lib\ndef run(): return lib.f()",
        "import lib; lib.f = lambda: 5",
    ),
    "function imported by name": ("from lib import f\ndef run(): return f()", "step.f = lambda: 5"),
    "method": ("from lib import C\ndef run(): return C().m()", "step.C.m = lambda self: 5"),
    "class attribute": ("from lib import C\ndef run(): return C.a", "step.C.a = 5"),
    "new class attribute": ("from lib import C\ndef run(): return C.b", "step.C.b = 5"),
    "method by an object": (
        "from lib import C\ndef run(): return C().m()",
        "import functools; step.C.m = functools.partialmethod(lambda self, x: x, 5)",
    ),
    "method by what remembers": (
        "from lib import C\ndef run(): return C().m()",
        "import functools; step.C.m = functools.cache(lambda self: 5)",
    ),
    "method by a value": ("from lib import C\ndef run(): return C().m()", "step.C.m = 5"),
    "method of an inner class": (
        "from lib import C\ndef run(): return C.I().m()",
        "step.C.I.m = lambda self: 5",
    ),
    "attribute of an inner class": (
        "from lib import C\ndef run(): return C.I().m()",
        "step.C.I.a = 5",
    ),
    "inner class": (
        "from lib import C\ndef run(): return C.I().m()",
        "step.C.I = type('I', (), {'m': lambda self: 5})",
    ),
    "class": ("from lib import C\ndef run(): return C()", "step.C = type('C', (), {'a': 5})"),
    "default": ("from lib import g\ndef run(): return g()", "step.g.__defaults__ = (5,)"),
    "keyword default": (
        "from lib import h\ndef run(): return h()",
        "step.h.__kwdefaults__ = {'x': 5}",
    ),
    "code": ("from lib import f\ndef run(): return f()", "step.f.__code__ = (lambda: 5).__code__"),
    "module": ("import lib\ndef run(): return lib.f()", "import other; step.lib = other"),
    "dict": ("import lib\ndef run(): return lib.D", "import lib; lib.D['k'] = 5"),
    "element of a list in a tuple": (
        "import lib\ndef run(): return lib.T",
        "import lib; lib.T[0].append(5)",
    ),
    "table of functions": ("import lib\ndef run(): return lib.F", "import lib; lib.F['f'] = lib.C"),
    "builtin shadowed": ("import lib\ndef run(): return len([])", "step.len = lambda x: 5"),
    "decorated function": ("from lib import w\ndef run(): return w()", "step.w = lambda: 5"),
    "reload": (
        "import lib\ndef run(): return lib.f()",
        "import importlib, lib, os, pathlib\npath = pathlib.Path(lib.__file__)\n"
        "path.write_text(path.read_text().replace('return 1', 'return 77'))\nimportlib.reload(lib)",
    ),
}
LIB = """
import functools
N = 1
L = [1]
D = {"k": 1}
T = ([1], 2)
def f(): return 1
def g(x=1): return x
def h(*, x=1): return x
class C:
    a = 1
    def m(self): return 1
    class I:
        a = 1
        def m(self): return self.a
F = {"f": f}
@functools.lru_cache
def w(): return 1
"""


@pytest.mark.parametrize("place", ["lib.f", "lib.C.m", "lib.C.I.m"])
def test_what_cannot_be_told_in_the_place_of_code_is_an_error(project: Project, place: str) -> None:
    project.write(step="import lib\ndef run(): return lib.f(), lib.C().m()\n", lib=LIB)
    program = f"""
        import step, lib, unittest.mock
        with unittest.mock.patch("{place}", return_value=5):
            try:
                _native.closure(step.run)
            except _native.Unfollowable as error:
                print(json.dumps(["{place.removeprefix("lib.")}`" in str(error), "MagicMock" in str(error)]))
        _native.closure(step.run)
        """
    assert project.run(program) == [[True, True]]


@pytest.mark.parametrize(("step", "change"), CHANGED_AT_RUN_TIME.values(), ids=CHANGED_AT_RUN_TIME)
def test_changes_at_run_time_are_seen(project: Project, step: str, change: str) -> None:
    project.write(step=step + "\n", lib=LIB, other="def f(): return 9\n")
    plain = project.units(before="import lib")
    changed = project.run(f"import step, lib\n{change}\nshow(step.run)")[-1]["units"]
    project.write(lib=LIB)
    assert changed != plain
    assert not project.current(change)


def test_a_closure_holds_while_nothing_changes(project: Project) -> None:
    project.write(
        step="import lib\ndef run(): return lib.f(), lib.D, lib.C, lib.F, lib.L, lib.w()\n", lib=LIB
    )
    assert project.current(
        "import lib; step.run(); lib.f(); lib.C().m(); unrelated = 5; lib.UNUSED = 1"
    )


def test_a_module_loaded_later_has_the_closure_looked_at_again(project: Project) -> None:
    project.write(step="def run():\n    import lib\n    return lib.N\n", lib=LIB)
    assert not project.current("step.run()")


FACTORY = """
    import functools
    def make(n, hook):
        def inner(x, scale=n * 2):
            return hook(x) * n * scale
        return inner
    def twice(x): return x * 2
    def thrice(x): return x * 3
    a, b, c, d = make(1, twice), make(2, twice), make(1, thrice), make(1, twice)
    lambdas = [lambda x, i=i: x + i for i in range(2)]
    class Callable:
        def __call__(self, x): return twice(x)
    class Outer:
        class Inner:
            def method(self): return twice(1)
        @classmethod
        def build(cls): return cls.Inner().method()
    bound = Outer.build
"""


def test_closures_of_one_factory_differ_by_what_they_hold(project: Project) -> None:
    project.write(step=FACTORY)
    a, b, c, d = (project.units(f"step:{name}") for name in "abcd")
    assert a == d
    assert len({json.dumps(units, sort_keys=True) for units in (a, b, c)}) == 3
    assert "step:thrice" in c
    assert "step:thrice" not in a


def test_lambdas_of_one_line_differ_by_their_defaults(project: Project) -> None:
    project.write(
        step=FACTORY,
        first="from step import lambdas\nf = lambdas[0]",
        second="from step import lambdas\nf = lambdas[1]",
    )
    assert project.units("first:f") != project.units("second:f")


def test_classmethods_and_inner_classes_are_followed(project: Project) -> None:
    project.write(step=FACTORY)
    before = project.units("step:bound")
    assert {"step:Outer", "step:twice"} <= set(before)
    project.edit("step", "x * 2", "x * 4")
    assert project.units("step:bound") != before


PACKAGE_TREE = {
    "pkg____init__": "from .sub import VALUE\n",
    "pkg__sub": "VALUE = 1\ndef f(): return VALUE\n",
    "pkg__deep____init__": "",
    "pkg__deep__mod": "from ..sub import f\nfrom .. import sub as s\nfrom . import leaf\ndef run(): return f() + s.f() + leaf.g()\n",
    "pkg__deep__leaf": "def g(): return 5\n",
    "step": "import pkg.deep.mod\ndef run(): return pkg.deep.mod.run()\ndef value():\n    import pkg\n    return pkg.VALUE\n",
}


def tree(project: Project) -> None:
    project.write(
        **{name: text for name, text in PACKAGE_TREE.items() if not name.endswith("____init__")}
    )
    for name, text in PACKAGE_TREE.items():
        if name.endswith("____init__"):
            (
                project.root / name.removesuffix("____init__").replace("__", "/") / "__init__.py"
            ).write_text(text)


@pytest.mark.parametrize(
    ("old", "new", "module"),
    [("return 5", "return 6", "pkg__deep__leaf"), ("= 1", "= 2", "pkg__sub")],
)
def test_relative_imports_and_submodules_are_followed(
    project: Project, old: str, new: str, module: str
) -> None:
    tree(project)
    before = project.units()
    assert set(before) == {
        "step:run",
        "pkg.deep.mod:run",
        "pkg.deep.mod:f",
        "pkg.deep.mod:s",
        "pkg.deep.mod:leaf",
        "pkg.sub:f",
        "pkg.sub:VALUE",
        "pkg.deep.leaf:g",
    }
    project.edit(module, old, new)
    assert project.units() != before


def test_names_that_a_package_passes_on_are_followed_to_their_module(project: Project) -> None:
    tree(project)
    lazy = project.units("step:value")
    assert set(lazy) == {"step:value", "pkg:VALUE", "pkg.sub:VALUE"}
    assert project.units("step:value", before="import pkg") == lazy


MAIN = """
    import json
    from thrifty import _native
    from helper import f
    LIMIT = 3
    def run(): return f() + LIMIT
    if __name__ == "__main__":
        units, notes = _native.closure(run)
        print(json.dumps({"units": {name: [kind, digest] for name, kind, digest, _ in units}}))
"""


def test_a_script_and_a_module_have_one_closure(project: Project) -> None:
    project.write(program=MAIN, helper="def f(): return 1\n", pkg__inner="", pkg__program=MAIN)
    (project.root / "pkg" / "__init__.py").write_text("")
    as_script = project.run("", str(project.root / "program.py"))[-1]["units"]
    assert project.run("", "-m", "program")[-1]["units"] == as_script
    assert project.units("program:run") == as_script
    inner = project.run("", "-m", "pkg.program")[-1]["units"]
    assert set(inner) == {"pkg.program:run", "pkg.program:LIMIT", "pkg.program:f", "helper:f"}
    assert project.run("", str(project.root / "pkg" / "program.py"))[-1]["units"] == inner
    assert project.units("program:run", before="import pkg.program; program = pkg.program") == inner


NOTEBOOK = """
    import linecache
    cells = 0
    def cell(text):
        global cells
        cells += 1
        name = f"/tmp/ipykernel_1/{cells}.py"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), globals())
    cell("import functools\\nclass Model:\\n    def fit(self): return 1\\n")
    cell("N = 3\\ndef helper(x): return x + N\\n")
    cell("def run(x): return helper(x) + Model().fit()\\n")
    show(run)
"""


def test_notebook_cells_are_followed(project: Project) -> None:
    code = textwrap.dedent(NOTEBOOK)
    changes = {
        "none": "",
        "elsewhere": "cell('def other(): return 1')",
        "comment": "cell('# comment\\ndef helper(x): return x + N  # more')",
        "helper": "cell('def helper(x): return x - N')",
        "constant": "cell('N = 4')",
        "class": "cell('class Model:\\n    def fit(self): return 2\\n')",
        "own": "cell('def run(x): return helper(x)')",
    }
    seen = {}
    for name, change in changes.items():
        first, second = project.run(f"{code}{change}\nshow(run)")
        seen[name] = first["units"] == second["units"]
    assert seen == {name: name in {"none", "elsewhere", "comment"} for name in changes}


def test_a_redefined_helper_ends_the_closure(project: Project) -> None:
    code = textwrap.dedent(NOTEBOOK) + "held = _native.Held(run)\nfound = [held.is_current()]\n"
    code += "cell('def helper(x): return x - N')\nfound.append(held.is_current())\nprint(json.dumps(found))"
    assert project.run(code)[-1] == [True, False]


NO_SOURCE = {
    "prompt": "exec(compile('def run(): return 1', '<stdin>', 'exec'))",
    "exec without a text": "exec('def run(): return 1')",
    "lost helper": "exec('def helper(): return 1')\ndef run(): return helper()",
    "generator in a cell": "def make(g):\n    def run(): return next(g)\n    return run\nrun = make(i for i in [1])",
    "installed": "import textwrap as t\nrun = t.dedent",
    "builtin": "run = 5",
}


@pytest.mark.parametrize("code", NO_SOURCE.values(), ids=NO_SOURCE)
def test_what_cannot_be_followed_is_an_error_with_ways_out(project: Project, code: str) -> None:
    code += "\ntry:\n    show(run)\nexcept _native.Unfollowable as error:\n    print(json.dumps(str(error)))"
    message = project.run(code)[-1]
    assert "cannot follow `" in message
    assert 'version="1"' in message
    assert 'code="none"' in message


def test_values_without_a_digest_are_followed_by_the_text_of_their_assignment(
    project: Project,
) -> None:
    project.write(
        step="import socket\nPORT = 5\nS = [socket.socket(), PORT][:1]\ndef run(): return S\n"
    )
    before = project.units()
    project.edit("step", "PORT = 5", "PORT = 6")
    assert project.units() != before


def test_loggers_and_locks_do_not_count(project: Project) -> None:
    project.write(
        step="import logging, threading\nLOG = logging.getLogger('a')\nLOCK = threading.Lock()\ndef run():\n    with LOCK: LOG.info('x')\n"
    )
    assert set(project.units()) == {"step:run"}


def test_distributions_are_found_by_record_and_top_level(project: Project) -> None:
    site = project.root / "site-packages"
    for name in ("odd", "ns/inner", "single"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / f"{name}.py").write_text("def f(): return 1\n")
    for directory, file, text in [
        ("Strange_Name-2.0.dist-info", "RECORD", "odd.py,,\n"),
        ("ns.one-1.0.dist-info", "RECORD", "ns/inner.py,,\n"),
        ("ns.two-3.0.dist-info", "RECORD", "ns/other.py,,\n"),
        ("other-4.0.dist-info", "top_level.txt", "single\n"),
    ]:
        (site / directory).mkdir()
        (site / directory / file).write_text(text)
    project.write(
        step="def run():\n    import odd, single\n    from ns import inner\n    return odd.f() + single.f() + inner.f()\n"
    )
    lazy = project.units()
    assert set(lazy) == {
        "step:run",
        "strange_name (distribution)",
        "ns_one (distribution)",
        "ns_two (distribution)",
        "other (distribution)",
    }
    assert project.units(before="import odd, single, ns.inner") == lazy


def test_installed_modules_of_no_distribution_count_by_content(project: Project) -> None:
    (project.root / "site-packages").mkdir()
    loose = project.root / "site-packages" / "loose.py"
    loose.write_text("def f(): return 1\n")
    project.write(step="import loose\ndef run(): return loose.f()\n")
    before = project.units()
    loose.write_text("def f(): return 2\n")
    assert project.units() != before


def test_the_standard_library_and_missing_modules_are_no_units(project: Project) -> None:
    project.write(
        step="import os, json\ndef run():\n    import xml.dom\n    import not_there\n    return os.path.join(json.dumps(1), 'a')\n"
    )
    assert set(project.units()) == {"step:run"}


EDIT = """
import importlib, pathlib, step, lib
path = pathlib.Path(lib.__file__)
def edit(old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
def attempt():
    try:
        show(step.run)
    except _native.Unfollowable as error:
        print(json.dumps(str(error)))
"""


def test_code_edited_after_its_import_is_never_given_the_digest_of_the_new_text(
    project: Project,
) -> None:
    project.write(step="import lib\ndef run(): return lib.f() + lib.C().m()\n", lib=LIB)
    message = project.run(EDIT + "edit('def f(): return 1', 'def f(): return 2')\nattempt()")[-1]
    assert "changed after it was imported" in message
    project.write(lib=LIB)
    message = project.run(
        EDIT + "edit('def m(self): return 1', 'def m(self): return 2')\nattempt()"
    )[-1]
    assert "changed after it was imported" in message


def test_a_text_that_was_seen_before_an_edit_still_counts(project: Project) -> None:
    project.write(step="import lib\ndef run(): return lib.f()\n", lib=LIB)
    before, after = project.run(
        EDIT + "attempt()\nedit('def f(): return 1', 'def f(): return 2')\nattempt()"
    )
    assert before == after


def test_an_edit_that_only_moves_code_of_a_running_module_changes_nothing(project: Project) -> None:
    project.write(step="import lib\ndef run(): return lib.f(), lib.C()\n", lib=LIB)
    before = project.units()
    assert (
        project.run(EDIT + "edit('import functools', '# moved\\n\\nimport functools')\nattempt()")[
            -1
        ]["units"]
        == before
    )


def test_a_reloaded_module_has_the_closure_of_its_new_text(project: Project) -> None:
    project.write(step="import lib\ndef run(): return lib.f()\n", lib=LIB)
    change = "edit('def f(): return 1', 'def f(): return 22')\nimportlib.reload(lib)\nattempt()"
    before, after = project.run(EDIT + "attempt()\n" + change)
    assert before != after
    assert project.units() == after["units"]


def test_a_package_is_reached_through_the_import_of_its_submodule(project: Project) -> None:
    tree(project)
    project.write(step="def run():\n    import pkg.deep.mod\n    return pkg.VALUE, pkg.sub.f()\n")
    lazy = project.units()
    assert set(lazy) == {"step:run", "pkg:VALUE", "pkg.sub:VALUE", "pkg.sub:f"}
    assert project.units(before="import pkg.deep.mod") == lazy


def test_a_session_without_a_file_is_followed(project: Project) -> None:
    code = LIST + textwrap.dedent(NOTEBOOK)
    before = project.run("", "-c", code)[-1]["units"]
    assert set(before) == {
        "__main__:Model",
        "__main__:Model.fit",
        "__main__:N",
        "__main__:helper",
        "__main__:run",
    }
    assert project.run("", "-c", code.replace("N = 3", "N = 4"))[-1]["units"] != before


def test_depths(project: Project) -> None:
    project.write(step="N = 1\ndef helper(): return N\ndef run(x=helper): return helper()\n")
    code = "import step\nfor depth in ('closure', 'function', 'none'):\n    units, _ = _native.closure(step.run, depth)\n"
    found = project.run(code + "    print(json.dumps([name for name, *_ in units]))")
    assert found == [
        ["step:N", "step:helper", "step:run", "step:run(default x)"],
        ["step:run"],
        [],
    ]


def test_a_mutable_default_that_changed_is_seen(project: Project) -> None:
    project.write(
        step="def f(x, seen=[]):\n    seen.append(x)\n    return seen\ndef run(): return f(1)\n"
    )
    assert project.units() != project.units(before="step.run()")
    assert not project.current("step.run()")


TABLE = "T = {'a': [[1], 2.5], 'b': ('x', None, [True])}\ndef run(): return T\n"


@pytest.mark.parametrize(
    "change",
    [
        "T['a'][0].append(T['a'].pop())",
        "T['a'][0][0] = 1.0",
        "T['b'][2][0] = 1",
        "T['b'][2].clear()",
        "T['c'] = 1",
        "T['a'] = T['b']",
        "T['a'].append(T)",
        "T['a'] = T.pop('a')",
    ],
)
def test_a_table_changed_in_place_is_seen(project: Project, change: str) -> None:
    project.write(step=TABLE)
    assert not project.current(f"from step import T\n{change}")


@pytest.mark.parametrize(
    "change",
    [
        "T['a'] = [[1], 2.5]",
        "T['a'][1] = float('2.5')",
        "T['b'] = tuple(T['b'])",
        "T['c'] = 1; del T['c']",
    ],
)
def test_a_table_with_the_same_content_is_the_same(project: Project, change: str) -> None:
    project.write(step=TABLE)
    assert project.current(f"from step import T\n{change}")


def test_a_method_patched_in_place_is_seen(project: Project) -> None:
    project.write(step="from lib import C\ndef run(): return C().m()\n", lib=LIB)
    change = "step.C.m.__code__ = (lambda self: 5).__code__"
    assert project.units() != project.units(before=change)
    assert not project.current(change)


def test_nesting_without_end_is_an_error(project: Project) -> None:
    project.write(
        step="nest = [len]\nfor _ in range(300):\n    nest = [nest]\ndef run(): return nest\n"
    )
    code = "import step\ntry:\n    show(step.run)\nexcept _native.Unfollowable as error:\n    print(json.dumps(str(error)))"
    assert "nested too deep" in project.run(code)[-1]


def test_source_that_nests_as_deep_as_python_takes_is_read(project: Project) -> None:
    project.write(step="N = 1\ndef run(): return N + " + " + ".join(["1"] * 900) + "\n")
    assert set(project.units()) == {"step:run", "step:N"}


def test_a_broken_module_is_a_note_when_it_is_never_read(project: Project) -> None:
    project.write(step="def run():\n    import broken\n    return 1\n", broken="def f(:\n")
    assert set(project.units()) == {"step:run"}


def test_a_broken_module_that_is_read_is_an_error(project: Project) -> None:
    project.write(step="def run():\n    import broken\n    return broken.f()\n", broken="def f(:\n")
    code = "import step\ntry:\n    show(step.run)\nexcept _native.Unfollowable as error:\n    print(json.dumps(str(error)))"
    assert "broken.py" in project.run(code)[-1]


def test_eval_and_the_like_are_noted(project: Project) -> None:
    project.write(step="def run(): return eval('1')\n")
    notes = project.run("import step\nshow(step.run)")[-1]["notes"]
    assert len(notes) == 1
    assert "step:run" in notes[0]


@pytest.mark.parametrize("decorator", ["task", "task(cache=Cache(version=1))", "thrifty.task"])
def test_our_own_decorators_are_no_part_of_the_code(project: Project, decorator: str) -> None:
    double = """
        import functools
        class Task:
            __module__ = "thrifty.task"
            def __init__(self, function): functools.update_wrapper(self, function)
        def task(function=None, cache=None):
            return Task(function) if function else task
        Cache = dict
        """
    body = "def helper(): return 2\ndef run(): return helper()\n"
    project.write(
        plain=body,
        step=f"import thrifty\nfrom thrifty import task, Cache\n{body.replace('def', f'@{decorator}{chr(10)}def')}",
    )
    patch = f"import thrifty\nexec({textwrap.dedent(double)!r}, vars(thrifty))\n"
    plain = project.run("import plain\nshow(plain.run)")[-1]["units"]
    decorated = project.run(f"{patch}import step\nshow(step.run)")[-1]["units"]
    assert [decorated[f"step:{name}"] for name in ("helper", "run")] == [
        plain[f"plain:{name}"] for name in ("helper", "run")
    ]
    assert set(decorated) == {"step:helper", "step:run"}


def test_a_table_of_functions_that_use_the_table_has_an_end(project: Project) -> None:
    functions = "\n".join(f"def f{i}(n): return TABLE['f0'](n) + {i}" for i in range(12))
    table = ", ".join(f"'f{i}': f{i}" for i in range(12))
    project.write(
        step=f"{functions}\nTABLE = {{{table}}}\nNEST = [[TABLE]]\ndef run(): return NEST[0][0]['f3'](1)\n"
    )
    before = project.units()
    assert {f"step:f{i}" for i in range(12)} <= set(before)
    project.edit("step", "+ 7", "+ 8")
    assert project.units() != before


def test_a_name_for_annotations_alone_is_no_gap(project: Project) -> None:
    step = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from somewhere import Model, Other as Alias

@dataclass
class Fitted:
    model: Model
    others: list[Alias]

def run():
    return Fitted, nowhere
"""
    project.write(step=step)
    notes = project.run("import step\nshow(step.run)")[-1]["notes"]
    assert notes == ["step: nothing is bound to `nowhere`"]
