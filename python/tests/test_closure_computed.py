"""Values that no literal tells: computed when their module was imported, and kept in defaults,
attributes, decorators and classes.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_closure import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


READ = """
import dataclasses, functools, json, pathlib, typing
def read(): return json.loads(pathlib.Path('k.json').read_text())
def passed(f):
    @functools.wraps(f)
    def inner(*args, **kwargs): return f(*args, **kwargs)
    return inner
def scaled(n):
    def decorator(f):
        @functools.wraps(f)
        def inner(*args): return f(*args), n
        return inner
    return decorator
def made(n):
    def inner(): return n
    return inner
def one(*args): return 1
def two(*args): return 2
"""

# Each: a module, and what reads a value of it.
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
    "code": ("def f(x=made(read())): return x()", "lib.f()"),
    "partial function": ("def f(x=functools.partial(one, read())): return x()", "lib.f()"),
    "table with code": ("def f(x={'f': one, 'v': read()}): return x['v']", "lib.f()"),
    "one of two functions": ("def f(x=one if read() == 1 else two): return x()", "lib.f()"),
    "attribute": ("class C:\n    X = read()", "lib.C.X"),
    "private attribute": (
        "class C:\n    __x = read()\n    def f(self): return self.__x",
        "lib.C().f()",
    ),
    "private method": (
        "class C:\n    def __m(self, x=read()): return x\n    def f(self): return self.__m()",
        "lib.C().f()",
    ),
    "attribute of a class that a call made": (
        "def make(n):\n    class C:\n        X = n\n    return C\nC = make(read())",
        "lib.C.X",
    ),
    "decorated method of a class that a call made": (
        "def make(n):\n    class C:\n        @passed\n        def f(self): return n\n    return C\n"
        "C = make(read())",
        "lib.C().f()",
    ),
    "field": ("@dataclasses.dataclass\nclass C:\n    x: int = read()", "lib.C().x"),
    "field of a class with slots": (
        "@dataclasses.dataclass(slots=True)\nclass C:\n    x: int = read()",
        "lib.C().x",
    ),
    "factory of a field": (
        "@dataclasses.dataclass\nclass C:\n    x: int = dataclasses.field(default_factory=made(read()))",
        "lib.C().x",
    ),
    "field of a named tuple": ("class C(typing.NamedTuple):\n    x: int = read()", "lib.C().x"),
    "lambda as an attribute": ("class C:\n    f = staticmethod(lambda x=read(): x)", "lib.C.f()"),
    "method in a branch": (
        "class C:\n    if read() == 1:\n        def f(self): return 1\n    else:\n"
        "        def f(self): return 2",
        "lib.C().f()",
    ),
    "property with a setter": (
        "class C:\n    @property\n    def f(self, x=read()): return x\n    @f.setter\n"
        "    def f(self, x): pass",
        "lib.C().f",
    ),
    "partial method": ("class C:\n    f = functools.partialmethod(one, read())", "lib.C().f()"),
    "method that was put there": (
        "class C: pass\nC._f = one if read() == 1 else two\ndef f(): return C()._f()",
        "lib.f()",
    ),
    "constructor that was put there": (
        "def new(c):\n    n = read()\n    def __init__(self): self.x = n\n    c.__init__ = __init__\n"
        "    return c\n@new\nclass C: pass",
        "lib.C().x",
    ),
    "base": ("class A: x = 1\nclass B: x = 2\nclass C(A if read() == 1 else B): pass", "lib.C.x"),
    "keyword of a class": (
        "class B:\n    def __init_subclass__(cls, n): cls.x = n\nclass C(B, n=read()): pass",
        "lib.C.x",
    ),
    "metaclass": (
        "class M(type):\n    def __new__(cls, name, bases, body):\n"
        "        return super().__new__(cls, name, bases, {**body, 'x': read()})\n"
        "class C(metaclass=M): pass",
        "lib.C.x",
    ),
    "attribute by a decorator": (
        "def new(n):\n    def decorator(c):\n        c.x = n\n        return c\n    return decorator\n"
        "@new(read())\nclass C: pass",
        "lib.C.x",
    ),
    "argument of a decorator": ("@scaled(read())\ndef f(): return 0", "lib.f()"),
    "list that a decorator is given": ("@scaled([read()])\ndef f(): return 0", "lib.f()"),
    "function that a decorator is given": (
        "@scaled(one if read() == 1 else two)\ndef f(): return 0",
        "lib.f()[1]()",
    ),
    "argument of the decorator of a method": (
        "class C:\n    @scaled(read())\n    def f(self): return 0",
        "lib.C().f()",
    ),
    "object that a decorator made": (
        "class D:\n    def __init__(self, f, n): self.f, self.n = f, n\n"
        "    def __call__(self): return self.f(), self.n\n"
        "def new(n): return lambda f: D(f, n)\n@new(read())\ndef f(): return 0",
        "lib.f()",
    ),
    "implementation for a class": (
        "class C:\n    @functools.singledispatchmethod\n    def f(self, x): return 0\n"
        "C.f.register(int, one if read() == 1 else two)",
        "lib.C().f(1)",
    ),
    "object": (
        "class P:\n    def __init__(self, n): self.n = n\ndef f(x=P(read())): return x.n",
        "lib.f()",
    ),
}


@pytest.mark.parametrize("case", COMPUTED.values(), ids=COMPUTED)
@pytest.mark.parametrize("lazy", [False, True], ids=["imported", "imported when it runs"])
def test_what_was_computed_when_a_module_was_imported_counts(
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
    ["g", "{'g': g}", "K", "functools.partial(g, 1)", "[[g]]"],
)
def test_a_default_that_is_code_is_followed(project: Project, default: str) -> None:
    step = (
        "import functools\ndef g(n=0): return 111\nclass K:\n    def m(self): return 111\n"
        f"def f(x={default}): return x\ndef run(): return f()\n"
    )
    project.write(step=step)
    before = project.units()
    assert project.units() == before
    project.edit("step", "111", "222")
    assert project.units() != before


@pytest.mark.parametrize("default", ["(n for n in ())", "threading.Lock()"])
def test_a_default_without_a_digest_counts_as_written(project: Project, default: str) -> None:
    step = f"import threading\ndef f(x={default}): return x\ndef run(): return f()\n"
    project.write(step=step)
    before = project.units()
    assert not [name for name in before if "(default" in name]
    assert project.units() == before


COUNTING = """
import functools
def counted(f):
    calls = 0
    @functools.wraps(f)
    def inner(*args):
        nonlocal calls
        calls += 1
        return f(*args)
    return inner
class Counted:
    def __init__(self, f): self.f, self.calls = f, 0
    def __call__(self, *args):
        self.calls += 1
        return self.f(*args)
    def __get__(self, owner, cls=None): return functools.partial(self, owner)
def methods(c):
    for name in ("n", "o"): setattr(c, name, Counted(vars(c)[name]))
    return c
@counted
def f(): return 1
@Counted
def g(): return 1
@methods
class C:
    @counted
    def m(self): return 1
    @Counted
    def n(self): return 1
    def o(self): return C.__name__
def run(): return f(), g(), C().m(), C().n(), C().o()
"""


def test_a_decorator_that_counts_calls_changes_nothing(project: Project) -> None:
    project.write(lib=COUNTING, step="import lib\ndef run(): return lib.run()\n")
    assert project.units() == project.units(before="step.run()")
    assert project.current("step.run()")
    project.write(step="def run():\n    import lib\n    return lib.run()\n")
    assert project.units() == project.units(before="step.run()")


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
