"""Names that stand for other things: which of two that are reached anyway."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from test_closure import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


FILES = {
    "one": "def f(*args): return 1\ndef g(*args): return 2\n",
    "two": "def f(*args): return 3\ndef g(*args): return 4\n",
    "pkg____init__": "",
    "pkg__a": "def f(): return 1\n",
    "pkg__b": "def f(): return 2\n",
}

FUNCTIONS = "def f(*args): return 1\ndef g(*args): return 2\n"

# Each: a module that reaches two things, with a name for one of them, and the two.
NAMED = {
    "function": (FUNCTIONS + "A = $\ndef run(): return f(), g(), A()", "f", "g"),
    "function in a branch": (
        FUNCTIONS + "A = $ if f() == 1 else None\ndef run(): return f(), g(), A()",
        "f",
        "g",
    ),
    "function of a pair": (FUNCTIONS + "A, B = $, f\ndef run(): return f(), g(), A()", "f", "g"),
    "function from a table": (
        FUNCTIONS + "D = {'f': f, 'g': g}\nA = D['$']\ndef run(): return D, A()",
        "f",
        "g",
    ),
    "function by setattr": (
        "import sys\n"
        + FUNCTIONS
        + "setattr(sys.modules[__name__], 'A', $)\ndef run(): return f(), g(), A()",
        "f",
        "g",
    ),
    "lambda": ("f = lambda: 1\ng = lambda: 2\nA = $\ndef run(): return f(), g(), A()", "f", "g"),
    "class": (
        "class F: x = 1\nclass G: x = 2\nA = $\ndef run(): return F.x, G.x, A.x",
        "F",
        "G",
    ),
    "task": (
        "from thrifty import task\n@task\ndef f(): return 1\n@task\ndef g(): return 2\nA = $\n"
        "def run(): return f(), g(), A()",
        "f",
        "g",
    ),
    "closure of one factory": (
        "def make(n):\n    def inner(): return n\n    return inner\nf = make(1)\ng = make(2)\nA = $\n"
        "def run(): return f(), g(), A()",
        "f",
        "g",
    ),
    "imported name": (
        "from one import f as x, g as y\nfrom one import $ as A\ndef run(): return x(), y(), A()",
        "f",
        "g",
    ),
    "module of an imported name": (
        "import one, two\nfrom $ import f\ndef run(): return one.f(), two.f(), f()",
        "one",
        "two",
    ),
    "module": (
        "import one, two\nimport $ as A\ndef run(): return one.f(), two.f(), A.f()",
        "one",
        "two",
    ),
    "module of a star": (
        "import one, two\nfrom $ import *\ndef run(): return one.f(), two.f(), f()",
        "one",
        "two",
    ),
    "submodule": (
        "from pkg import a, b\nfrom pkg import $ as A\ndef run(): return a.f(), b.f(), A.f()",
        "a",
        "b",
    ),
    "wrapped function": (
        "import functools\n" + FUNCTIONS + "A = functools.$\ndef run(): return f(), g(), A()",
        "partial(f)",
        "partial(g)",
    ),
    "remembered function": (
        "import functools\n" + FUNCTIONS + "A = functools.$\ndef run(): return f(), g(), A()",
        "cache(f)",
        "cache(g)",
    ),
    "function in a closure": (
        FUNCTIONS
        + "def make(h):\n    def inner(): return h()\n    return inner\nA = make($)\n"
        + "def run(): return f(), g(), A()",
        "f",
        "g",
    ),
    "class in a closure": (
        "class F: x = 1\nclass G: x = 2\ndef make(h):\n    def inner(): return h.x\n    return inner\n"
        "A = make($)\ndef run(): return F.x, G.x, A()",
        "F",
        "G",
    ),
    "attribute of a function": (
        FUNCTIONS + "def h(): return h.p()\nh.p = $\ndef run(): return f(), g(), h()",
        "f",
        "g",
    ),
    "implementation by type": (
        "import functools\n"
        + FUNCTIONS
        + "@functools.singledispatch\ndef h(x): return 0\nh.register(int, $)\n"
        + "def run(): return f(), g(), h(1)",
        "f",
        "g",
    ),
    "attribute of a class": (
        FUNCTIONS + "class C: pass\nC.m = $\ndef run(): return f(), g(), C().m()",
        "f",
        "g",
    ),
    "element of a table": (FUNCTIONS + "T = {'a': $}\ndef run(): return f(), g(), T", "f", "g"),
    "table": (FUNCTIONS + "L = [f]\nM = [g]\nZ = $\ndef run(): return L, M, Z", "L", "M"),
    "table in a table": (
        FUNCTIONS + "L = [f]\nM = [g]\nZ = {'a': $}\ndef run(): return L, M, Z",
        "L",
        "M",
    ),
    "partial function": (
        "import functools\n"
        + FUNCTIONS
        + "L = functools.partial(f, 1)\nM = functools.partial(f, 2)\nZ = $\ndef run(): return L, M, Z",
        "L",
        "M",
    ),
    "what has no digest": (
        "L = (n for n in [1])\nM = (n for n in [2])\nZ = $\ndef run(): return L, M, Z",
        "L",
        "M",
    ),
    "what a library made": (
        "import numpy as np\n"
        + FUNCTIONS
        + "A = np.vectorize($)\ndef run(): return f(), g(), A(1)",
        "f",
        "g",
    ),
}


@pytest.mark.parametrize("case", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("lazy", [False, True], ids=["imported", "imported when it runs"])
def test_which_thing_a_name_stands_for_counts(
    project: Project, case: tuple[str, str, str], lazy: bool
) -> None:
    text, *names = case
    importing = "def run():\n    import lib\n" if lazy else "import lib\ndef run():\n"
    project.write(**FILES, step=f"{importing}    return lib.run()\n")
    found = []
    for name in names:
        project.write(lib=text.replace("$", name) + "\n")
        found.append(project.units())
        assert project.units(before="import lib") == found[-1]
    assert found[0] != found[1]


def test_a_swap_of_two_names_counts(project: Project) -> None:
    step = "from one import {} as first, {} as second\ndef run(): return second(first())\n"
    keys = []
    for order in itertools.permutations("fg"):
        project.write(**FILES, step=step.format(*order))
        keys.append(project.units())
    assert keys[0] != keys[1]
