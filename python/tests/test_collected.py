"""What a program holds goes when it ends, or when nobody needs it, with tasks as without."""

from __future__ import annotations

import gc
import weakref

import pytest
from thrifty import task, testing, workflow

HEAD = """
import dataclasses
from thrifty import task, workflow

@task
def f(i: int) -> int:
    return i
"""

PROGRAMS = {
    "a task": "",
    "a call": "f(1)",
    "a workflow": """
@workflow
def w(n: int):
    return [f(i) for i in range(n)]
w(3)
""",
    "a run": """
@workflow
def w(n: int):
    return [f(i) for i in range(n)]
run = w.run(3)
""",
    "a run that failed": """
@task
def fails(i: int):
    raise ValueError(i)
run = fails.run(3)
""",
    "a handle": "handle = f.defer(1)",
    "parts of a handle": "parts = f.defer(1)[0][1]",
    "a default": """
@task
def g(other=f, i: int = 3) -> int:
    return i
g.operation_name
""",
    "an instance of its class": """
@dataclasses.dataclass
class Config:
    rate: float
@task
def h(config: Config) -> Config:
    return config
config = h(Config(0.1))
run = h.run(config)
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_file_that_is_never_closed_has_all_that_was_written(programs, name):
    path = programs.directory / "out.txt"
    end = f"\nout = open({str(path)!r}, 'w')\nout.write('all of it')\n"
    programs.run(str(programs.write("program.py", HEAD + PROGRAMS[name] + end)))
    assert path.read_text() == "all of it"


def test_what_the_globals_hold_is_deleted(programs):
    program = """
class Held:
    def __del__(self):
        print("deleted", flush=True)
held = Held()
"""
    path = programs.write("program.py", HEAD + "f(1)\n" + program)
    assert "deleted" in programs.run(str(path))


def local():
    def inner(i: int) -> int:
        return named(i - 1) + 1 if i else 0

    named = task(inner)
    return named


def test_a_local_task_that_names_itself_is_collected():
    with testing.memory_cache():
        made = local()
        assert made(3) == 3
        gone = weakref.ref(made)
        del made
        gc.collect()
        assert gone() is None


def test_a_task_whose_own_attribute_it_is_is_collected():
    @task
    def named(i: int) -> int:
        return i

    named.own = named
    gone = weakref.ref(named)
    del named
    gc.collect()
    assert gone() is None


def test_a_collection_while_a_task_is_made():
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        made = [local() for _ in range(50)]
    finally:
        gc.set_threshold(*before)
    assert len(made) == 50


def test_what_is_in_use_is_not_collected():
    @task
    def one(i: int) -> list:
        gc.collect()
        return [i, i + 1]

    @task
    def total(parts: list, more: int) -> int:
        gc.collect()
        return sum(parts) + more

    @workflow
    def both(n: int) -> list:
        made = [one(i) for i in range(n)]
        gc.collect()
        return [total(part, part[0]) for part in made]

    with testing.memory_cache():
        run = both.run(5)
        gc.collect()
        assert run.value == [3 * i + 1 for i in range(5)]
        gc.collect()
        assert both(5) == [3 * i + 1 for i in range(5)]
        assert one(7) == [7, 8]
