"""Ways to get a stale value, a needless run or a broken program, each tried for real."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated

import pytest
from thrifty import Cache, HashMethod, Secret, _native, task, workflow

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
