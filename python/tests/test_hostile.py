"""Ways to get a stale value, a needless run or a broken program, each tried for real."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import pytest
from thrifty import (
    Cache,
    HandleError,
    HashMethod,
    Secret,
    UnhashableArgument,
    _native,
    task,
    workflow,
)

pytestmark = pytest.mark.usefixtures("home")

HEAD = "from thrifty import Cache, HashMethod, task, workflow\nimport lib\n"


def edited(programs, main: str, before: str, after: str, lib: str = "") -> tuple[str, str]:
    """What a program prints before and after an edit, run twice before it."""
    for old, new in ((before, before), (before, after)):
        programs.write("lib.py", lib.replace(old, new))
        programs.write("main.py", HEAD + main.replace(old, new))
        if old == new:
            first = programs.run("main.py")
            assert programs.run("main.py") == first.replace("ran\n", "")
    return first, programs.run("main.py")


CALLERS = {
    "a task that calls it": "@task\ndef outer(): return inner(1)\nprint(outer())",
    "a task that it is passed to": "@task\ndef outer(run): return run(1)\nprint(outer(inner))",
    "a nested workflow": (
        "@workflow\ndef middle(): return inner(1)\n"
        "@workflow\ndef outer(): return middle()\nprint(outer())"
    ),
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("setting", "before", "after"),
    [
        ("version='1'", "'1'", "'2'"),
        ("salt='a'", "'a'", "'b'"),
        ("env='MODE'", "'here'", "'there'"),
        ("files='data.txt'", "'content'", "'another'"),
        ("sources='data.txt'", "'content'", "'another'"),
        ("ignore='spare'", "ignore='spare'", "ignore=()"),
        ("inputs='number'", "inputs='number'", "inputs=('number', 'spare')"),
        ("key=lambda number, spare: 'a'", "'a'", "'b'"),
    ],
)
def test_what_a_task_asks_of_its_cache_counts_for_its_callers(
    programs, caller, setting, before, after
):
    main = (
        "import os\nos.environ['MODE'] = 'here'\nopen('data.txt', 'w').write('content')\n"
        f"@task(cache=Cache({setting}))\n"
        f"def inner(number, spare=0):\n    print('ran')\n    return number\n{CALLERS[caller]}\n"
    )
    assert edited(programs, main, before, after)[1].startswith("ran")


def test_a_variable_of_a_task_that_is_called_is_watched_while_the_program_runs(monkeypatch):
    monkeypatch.setenv("MODE", "here")

    @task(cache=Cache(env="MODE"))
    def inner():
        return os.environ["MODE"]

    @task
    def outer():
        return inner()

    assert outer() == "here"
    monkeypatch.setenv("MODE", "there")
    assert outer() == "there"


@pytest.mark.parametrize(
    "main",
    [
        "@task(cache=Cache(key=lib.reduced))\ndef run(text):\n",
        "from typing import Annotated\n@task\ndef run(text: Annotated[str, HashMethod(lib.reduced)]):\n",
        "from typing import Annotated\n@task\ndef run(text) -> Annotated[str, HashMethod(lib.reduced)]:\n",
    ],
    ids=["key function", "argument", "result"],
)
@pytest.mark.parametrize("depth", ["direct", "behind another task"])
def test_functions_that_make_keys_are_part_of_them(programs, main, depth):
    main += "    print('ran')\n    return text\n"
    main += "@task\ndef outer(): return run('x')\n"
    main += "print(run('x'))\n" if depth == "direct" else "print(outer())\n"
    lib = "def reduced(text):\n    return text.lower()\n"
    assert edited(programs, main, "lower()", "strip()", lib)[1] == "ran\nx\n"


@pytest.mark.parametrize("main", ["print(run('x'))\n"])
def test_comments_in_functions_that_make_keys_do_not_count(programs, main):
    main = (
        "@task(cache=Cache(key=lib.reduced))\ndef run(text):\n    print('ran')\n    return text\n"
        + main
    )
    lib = "def reduced(text):\n    return text.lower()\n"
    assert edited(programs, main, "lower()", "lower()  # case", lib)[1] == "x\n"


@pytest.mark.parametrize(
    ("lib", "before", "after", "read"),
    [
        (
            "import collections\nA = collections.namedtuple('A', 'x', defaults=(1,))\n",
            "(1,)",
            "(2,)",
            "A().x",
        ),
        (
            "import dataclasses\nA = dataclasses.make_dataclass('A', [('x', int, 1)])\n",
            "int, 1",
            "int, 2",
            "A().x",
        ),
        (
            "def make(x):\n    class A:\n        y = x\n    return A\nA = make(1)\n",
            "make(1)",
            "make(2)",
            "A.y",
        ),
    ],
    ids=["namedtuple", "make_dataclass", "factory"],
)
def test_classes_that_a_call_made_count(programs, lib, before, after, read):
    main = f"@task\ndef run():\n    print('ran')\n    return lib.{read}\nprint(run())\n"
    assert edited(programs, main, before, after, lib) == ("ran\n1\n", "ran\n2\n")


def test_a_class_of_arguments_that_a_call_made_counts(programs):
    lib = "import collections\nA = collections.namedtuple('A', 'x', defaults=(1,))\n"
    main = "@task\ndef run(a):\n    print('ran')\n    return type(a)().x\nprint(run(lib.A(0)))\n"
    assert edited(programs, main, "(1,)", "(2,)", lib) == ("ran\n1\n", "ran\n2\n")


def test_operations_that_run_at_once_do_not_share_arguments():
    reading, changed = threading.Event(), threading.Event()

    @task(cache=Cache(code="none", ignore="events"))
    def change(rows, events):
        reading.wait(10)
        rows.add(9)
        changed.set()
        return len(rows)

    @task(cache=Cache(code="none", ignore="events"))
    def read(rows, events):
        reading.set()
        changed.wait(10)
        return len(rows)

    @workflow
    def both(rows):
        return change(rows, None), read(rows, None)

    rows = {1}
    assert both.with_options(workers=2)(rows) == (2, 1)
    assert rows == {1}


class Model:
    def __init__(self) -> None:
        self.fitted: list[int] = []

    def fit(self, number: int) -> Model:
        self.fitted.append(number)
        return self


def test_one_unfitted_model_for_several_operations():
    @task
    def fit(model, number):
        return model.fit(number).fitted

    @workflow
    def both(model):
        return fit(model, 1), fit(model, 2)

    assert both.with_options(workers=1)(Model()) == ([1], [2])


_MISSING = object()


def test_a_default_that_is_there_to_be_recognised_is_itself():
    @task
    def run(value, other=_MISSING):
        return (value is _MISSING, other is _MISSING)

    @workflow
    def passed():
        return run(_MISSING)

    assert passed() == (True, True)


def test_ignored_arguments_are_the_callers_own():
    @task(cache=Cache(ignore="log"))
    def run(number, log):
        log.add(number)
        return number

    @workflow
    def passed(log):
        return run(1, log)

    log: set[int] = set()
    passed(log)
    assert log == {1}


def wrapped(function):
    import functools

    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


def test_secrets_in_parts_of_annotations_are_written_nowhere(home, reopen):
    @task
    def login(
        maybe: Secret[str] | None,
        several: list[Secret[str]],
        unknown: Secret[Nowhere],  # noqa: F821
        hashed: Annotated[str, HashMethod(len)] | Secret[str],
    ):
        return 1

    @task
    @wrapped
    def behind(token: Secret[str]):
        return 1

    @workflow
    def both(one: Secret[str] | None):
        return login(one, ["hunter2"], "hunter2", "hunter2"), behind(one), behind(token=one)

    both("hunter2")
    login("hunter2", ["hunter2"], "hunter2", "hunter2")
    behind("hunter2")
    _native.close()
    written = [path for path in home.rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"hunter2" in path.read_bytes()]


SCRIPT = """
from thrifty import task, workflow
class Point:
    def __init__(self, x):
        self.x = x
@task
def make(x) -> Point:
    print("ran")
    return Point(x)
@task
def read(point: Point) -> int:
    print("read")
    return point.x
@workflow
def both() -> int:
    return read(make(1))
"""


@pytest.mark.parametrize(
    "second",
    [["-m", "pkg.step"], ["-c", "from pkg.step import *; both(); read(Point(1))"]],
    ids=["module", "import"],
)
def test_a_program_is_the_same_however_it_is_started(programs, second):
    programs.write("pkg/__init__.py", "")
    programs.write("pkg/step.py", SCRIPT + "if __name__ == '__main__': both(); read(Point(1))\n")
    assert programs.run("pkg/step.py") == "ran\nread\n"
    assert programs.run(*second) == ""


def test_classes_of_a_script_are_the_same_in_its_workers(programs):
    programs.write(
        "main.py",
        SCRIPT
        + "import sys\nif __name__ == '__main__': both.with_options(executor=sys.argv[1], refresh=sys.argv[2:])()\n",
    )
    assert sorted(programs.run("main.py", "processes").split()) == ["ran", "read"]
    assert programs.run("main.py", "threads") == ""
    assert programs.run("main.py", "threads", "make") == "ran\n"


def test_the_end_of_the_program_ends_runs_of_daemon_threads(programs):
    programs.write(
        "main.py",
        """
        import threading, time
        from thrifty import task, workflow
        begun = threading.Event()
        @task(cache=False)
        def wait(x):
            begun.set()
            for _ in range(600):
                time.sleep(0.01)
        @workflow
        def both():
            return [wait(1), wait(2)]
        threading.Thread(target=both, daemon=True).start()
        begun.wait()
        print("bye")
        """,
    )
    assert programs.run("main.py") == "bye\n"


def test_options_of_a_run_reach_calls_in_worker_processes(programs):
    programs.write(
        "main.py",
        """
        from thrifty import task, workflow
        @task
        def inner(x):
            print("ran", flush=True)
            return x
        @task
        def outer(x):
            return inner(x)
        @workflow
        def both():
            return outer(1)
        if __name__ == "__main__":
            for _ in range(2):
                both.with_options(cache=False, executor="processes")()
        """,
    )
    assert programs.run("main.py") == "ran\nran\n"


def test_a_lambda_in_an_annotation_that_is_text_is_followed(tmp_path: Path) -> None:
    """As every annotation is under ``from __future__ import annotations``."""
    script = tmp_path / "marked.py"
    source = """
from __future__ import annotations
from typing import Annotated
from thrifty import HashMethod, task

WIDTH = 2

@task
def size(text: Annotated[list[str], HashMethod(lambda texts: texts[0][:WIDTH])]) -> int:
    print("ran")
    return len(text)

size(["abc"])
"""
    environment = {**os.environ, "THRIFTY_HOME": str(tmp_path / "home")}

    def run(text: str) -> str:
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, str(script)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(source) == "ran\n"
    assert run(source) == ""
    assert run(source.replace("WIDTH = 2", "WIDTH = 3")) == "ran\n"


# -- values that fight back


class Deepening:
    """Each part of it is a new one."""

    def __reduce__(self):
        return Deepening, (Deepening(),)


class Widening:
    """Each part of it is a million and one more, as far down as is allowed."""

    def __init__(self, levels):
        self.levels = levels

    def __reduce__(self):
        return Widening, (*[None] * 1_000_000, Widening(self.levels - 1))


class Pouring:
    """Gives items without an end."""

    def __reduce__(self):
        return list, (), None, itertools.count()


class PouringPairs:
    def __reduce__(self):
        return dict, (), None, None, ((n, n) for n in itertools.count())


class Returns:
    """Gives what it is told to be taken apart as."""

    def __init__(self, reduced):
        self.reduced = reduced

    def __reduce_ex__(self, protocol):
        return self.reduced


class LyingTuple(tuple):
    def __getitem__(self, index):
        raise AssertionError("asked for an item")

    def __len__(self):
        return 2


class Claims:
    """Says that it is of another class."""

    def __init__(self, other, content):
        self.other, self.content = other, content

    @property
    def __class__(self):
        return self.__dict__["other"]


class Refuses:
    def __getattribute__(self, name):
        raise AttributeError(f"no {name} here")


class Angry:
    def __getattribute__(self, name):
        raise RuntimeError(f"do not ask for {name}")


class Vanishing(list):
    def __iter__(self):
        raise AssertionError("gone through")

    def __len__(self):
        return 10**12


class Unhashable(type):
    def __getattribute__(cls, name):
        if name in ("__module__", "__qualname__", "__name__", "__reduce_ex__"):
            raise RuntimeError(f"do not ask for {name}")
        return super().__getattribute__(name)


def nested(levels, wrap=lambda value: [value]):
    value = None
    for _ in range(levels):
        value = wrap(value)
    return value


@task(cache=Cache(version="1"))
def given(value):
    return None


HOSTILE = {
    "endless": (lambda: Deepening(), "nested deeper"),
    "endless in a dict": (lambda: {"k": [Deepening()]}, "nested deeper"),
    "ever wider": (lambda: Widening(100), "more than 50000000 parts"),
    "endless items": (lambda: Pouring(), "no number of them is known"),
    "endless pairs": (lambda: PouringPairs(), "no number of them is known"),
    "a million lists": (lambda: nested(1_000_000), "nested deeper"),
    "a million tuples": (lambda: nested(1_000_000, lambda value: (value,)), "nested deeper"),
    "a million dicts": (lambda: nested(1_000_000, lambda value: {"k": value}), "nested deeper"),
    "a million objects": (lambda: nested(100_000, Model_of), "nested deeper"),
    "None": (lambda: Returns(None), "two to six"),
    "a number": (lambda: Returns(3), "two to six"),
    "a list": (lambda: Returns([list, ()]), "two to six"),
    "nothing": (lambda: Returns(()), "two to six"),
    "one": (lambda: Returns((list,)), "two to six"),
    "seven": (lambda: Returns((list, (), None, None, None, None, None)), "two to six"),
    "no arguments": (lambda: Returns((list, None)), "two to six"),
    "items that are none": (lambda: Returns((list, (), None, 3)), "not iterable"),
    "pairs that are none": (lambda: Returns((dict, (), None, None, [3])), "not subscriptable"),
    "itself": (lambda: itself(), None),
    "angry": (lambda: Angry(), "do not ask"),
    "angry class": (lambda: Unhashable("Kind", (), {})(), "do not ask"),
}


def Model_of(value):
    model = Model()
    model.fitted = value
    return model


def itself():
    value = Returns(None)
    value.reduced = (list, (value,))
    return value


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_end_in_an_error_that_names_them(name):
    make, reason = HOSTILE[name]
    if reason is None:
        assert given.key(make()) == given.key(make())
        return
    value = make()
    with pytest.raises(UnhashableArgument, match=reason) as raised:
        given.key(value)
    assert "cannot hash value" in str(raised.value)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: Returns(LyingTuple((list, (1,)))), lambda: Returns(LyingTuple((list, (2,))))),
        (lambda: Claims(dict, 1), lambda: Claims(dict, 2)),
        (lambda: Claims(int, 1), lambda: Claims(str, 1)),
        (lambda: Claims(_native.Handle, 1), lambda: Claims(_native.Handle, 2)),
        (lambda: Vanishing([1]), lambda: Vanishing([2])),
    ],
    ids=["tuple", "dict", "class", "handle", "list"],
)
def test_liars_are_taken_for_what_they_hold(one, other):
    try:
        keys = [given.key(value) for value in (one(), one(), other())]
    except UnhashableArgument:
        return
    assert keys[0] == keys[1] != keys[2]


def looped(*before):
    value = [*before]
    value.append(value)
    return value


@pytest.mark.parametrize("make", [lambda: looped(1), lambda: {"k": looped()}, lambda: nested(150)])
def test_values_that_hold_themselves_pass_through_workflows(make):
    @task
    def keep(value):
        return len(value)

    @workflow
    def both(value):
        return keep(value), keep(value)

    assert both(make()) == (len(make()),) * 2


def test_values_too_deep_are_refused_in_workflows_as_well():
    @workflow
    def passed(value):
        return given(value)

    for wrap in (lambda value: [value], lambda value: (value,), lambda value: {"k": value}):
        with pytest.raises(UnhashableArgument, match="nested deeper"):
            passed(nested(100_000, wrap))


def test_ignored_arguments_may_be_as_deep_as_they_like():
    @task(cache=Cache(ignore="value", code="none"))
    def run(value):
        return 1

    @workflow
    def passed(value):
        return run(value)

    assert passed(nested(100_000)) == passed(looped()) == run(nested(100_000)) == 1


@pytest.mark.parametrize("levels", [150, 250, 1_000_000, None])
def test_results_too_deep_are_passed_on(levels):
    def make():
        return looped() if levels is None else nested(levels)

    @task
    def run():
        return make()

    assert len(run()) == len(make())


def test_handles_in_a_list_that_holds_itself_are_refused():
    @task
    def run():
        return 1

    @workflow
    def passed():
        return looped(run())

    with pytest.raises((RecursionError, HandleError)):
        passed()


def test_shared_parts_are_gone_through_once():
    value = [1]
    for _ in range(150):
        value = [value, value]

    @workflow
    def passed(value):
        return given(value)

    assert given.key(value) == given.key(value)
    assert passed(value) is None
