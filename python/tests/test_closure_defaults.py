"""Defaults of parameters that no literal tells: computed when their module was imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_closure import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


READ = """
import functools, json, pathlib
def read(): return json.loads(pathlib.Path('k.json').read_text())
def passed(f):
    @functools.wraps(f)
    def inner(*args, **kwargs): return f(*args, **kwargs)
    return inner
"""

# Each: a module, and what reads a default of it.
COMPUTED = {
    "function": ("def f(a, x=read()): return x", "lib.f(1)"),
    "by name only": ("def f(*, x=read()): return x", "lib.f()"),
    "one of several": ("def f(a=1, x=read(), *, b=2): return x", "lib.f()"),
    "part of an expression": ("def f(x=[0, read()]): return x", "lib.f()"),
    "decorated": ("@passed\ndef f(x=read()): return x", "lib.f()"),
    "lambda": ("f = lambda x=read(): x", "lib.f()"),
    "task": ("from thrifty import task\n@task\ndef f(x: int = read()) -> int: return x", "lib.f()"),
    "method": ("class C:\n    def f(self, x=read()): return x", "lib.C().f()"),
    "decorated method": (
        "class C:\n    @passed\n    def f(self, x=read()): return x",
        "lib.C().f()",
    ),
    "class method": ("class C:\n    @classmethod\n    def f(cls, x=read()): return x", "lib.C.f()"),
    "static method": ("class C:\n    @staticmethod\n    def f(x=read()): return x", "lib.C.f()"),
    "constructor": (
        "class C:\n    def __init__(self, *, x=read()): self.x = x",
        "lib.C().x",
    ),
    "inherited": (
        "class B:\n    def f(self, x=read()): return x\nclass C(B): pass",
        "lib.C().f()",
    ),
    "method of an inner class": (
        "class B:\n    class C:\n        def f(self, x=read()): return x",
        "lib.B.C().f()",
    ),
    "attribute of an inner class": (
        "class B:\n    class C:\n        X = read()",
        "lib.B.C.X",
    ),
    "method of a class that a call made": (
        "def make():\n    class C:\n        def f(self, x=read()): return x\n    return C\nC = make()",
        "lib.C().f()",
    ),
    "object": (
        "class P:\n    def __init__(self, n): self.n = n\ndef f(x=P(read())): return x.n",
        "lib.f()",
    ),
}


@pytest.mark.parametrize("case", COMPUTED.values(), ids=COMPUTED)
@pytest.mark.parametrize("lazy", [False, True], ids=["imported", "imported when it runs"])
def test_what_a_default_was_computed_to_counts(
    project: Project, case: tuple[str, str], lazy: bool
) -> None:
    module, reading = case
    body = f"    import lib\n    return {reading}\n" if lazy else f"    return {reading}\n"
    top = "" if lazy else "import lib\n"
    project.write(lib=READ + module, step=f"{top}def run():\n{body}")

    def under(data: object, before: str = "") -> dict:
        (project.root / "k.json").write_text(json.dumps(data))
        return project.units(before=before)

    one, two = under(1), under(2)
    assert one != two
    assert under(1) == one
    assert under(1, before="step.run()") == one
    assert under(1, before="import lib") == one


def test_what_a_default_says_of_a_variable_counts(project: Project) -> None:
    project.write(
        step="import os\ndef f(x=os.environ.get('MODE', 'a')): return x\ndef run(): return f()\n"
    )
    program = "import os\nos.environ['MODE'] = {!r}\nimport step\nshow(step.run)"
    assert project.run(program.format("b")) == project.run(program.format("b"))
    assert project.run(program.format("b")) != project.run(program.format("c"))


@pytest.mark.parametrize(
    "default",
    ["(n for n in ())", "threading.Lock()", "g", "{'g': g}", "K", "functools.partial(g, 1)"],
)
def test_a_default_without_a_digest_and_code_count_as_written(
    project: Project, default: str
) -> None:
    step = (
        "import functools, threading\ndef g(n=0): return 111\nclass K:\n    def m(self): return 111\n"
        f"def f(x={default}): return x\ndef run(): return f()\n"
    )
    project.write(step=step)
    before = project.units()
    assert not [name for name in before if "(default" in name]
    assert project.units() == before
    if "(n " not in default and "Lock" not in default:
        project.edit("step", "111", "222")
        assert project.units() != before


CHANGED = """
import functools
def made(): return {'k': [1]}
def passed(f):
    @functools.wraps(f)
    def inner(*args): return f(*args)
    return inner
def f(x=made()): return x
@passed
def g(x=made()): return x
class C:
    def m(self, x=made()): return x
    @passed
    def n(self, x=made()): return x
def run(): return f(), g(), C().m(), C().n()
"""


@pytest.mark.parametrize(
    "changed", ["step.f", "step.g.__wrapped__", "step.C.m", "step.C.n.__wrapped__"]
)
def test_a_computed_default_that_changes_is_seen(project: Project, changed: str) -> None:
    project.write(step=CHANGED)
    in_place = f"{changed}.__defaults__[0]['k'].append(2)"
    assert not project.current(in_place)
    assert project.units() != project.units(before=in_place)
    replaced = f"{changed}.__defaults__ = (5,)"
    assert not project.current(replaced)
    assert project.units() != project.units(before=replaced)


OWN = """
import json, pathlib
from thrifty import Cache, task, workflow
def read(): return json.loads(pathlib.Path('k.json').read_text())
@task
def keyed(n: int, x: int = read()) -> int: return n + x
@task(cache=Cache(ignore="x"))
def ignoring(n: int, x: int = read()) -> int: return n
@task(cache=Cache(inputs=["n"]))
def taking(n: int, x: int = read()) -> int: return n
@task
def calling(n: int) -> int: return keyed(n)
@task
def calling_ignoring(n: int) -> int: return ignoring(n) + taking(n)
@task
def given(f) -> int: return f(1)
@task
def itself(n: int, x: int = read()) -> int: return x if n == 0 else itself(0)
"""

# Each: a call, and whether its key depends on what the defaults were computed to.
CALLS = {
    "keyed.key(1)": True,
    "keyed.key(1, 5)": False,
    "ignoring.key(1)": False,
    "taking.key(1)": False,
    "calling.key(1)": True,
    "calling_ignoring.key(1)": False,
    "given.key(keyed)": True,
    "given.key(ignoring)": False,
    "given.key(taking)": False,
    "itself.key(1, 5)": True,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_default_of_a_task_counts_where_it_decides(project: Project, call: str) -> None:
    project.write(step=OWN)

    def key(data: int) -> list:
        (project.root / "k.json").write_text(json.dumps(data))
        return project.run(f"from step import *\nprint(json.dumps({call}))")

    assert (key(1) != key(2)) == CALLS[call]
    assert key(1) == key(1)
