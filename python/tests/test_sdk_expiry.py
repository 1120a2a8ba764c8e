"""What a body took expires: so does what it made, wherever it took it."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

FLOWS = """
    import concurrent.futures
    import functools
    import sys
    from thrifty import Cache, task, workflow

    @task(cache=Cache(expires="1h"))
    def part(n: int) -> int:
        return n

    @task(cache=Cache(max_age="1h"))
    def aging(n: int) -> int:
        return n

    @workflow
    def part_flow(n: int) -> int:
        return part(n)

    @workflow
    def aging_flow(n: int) -> int:
        return aging(n)

    @task
    def part_fails(n: int) -> int:
        raise ValueError(part(n))

    @workflow
    def part_fails_flow(n: int) -> int:
        return part_fails(n)

    @functools.cache
    def remembered(called):
        return called(1)

    @functools.cache
    def remembers_another(called):
        return remembered(called)

    def directly(called):
        return called(1)

    def in_a_thread(called):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(called, 1).result()

    def in_a_process(called):
        flow = globals()[f"{called.__name__}_flow"]
        return flow.with_options(executor="processes", workers=1)(1)

    WAYS = {
        "directly": directly,
        "in_a_thread": in_a_thread,
        "in_a_process": in_a_process,
        "remembered": remembered,
        "remembers_another": remembers_another,
    }

    @task
    def first(way: str, what: str) -> int:
        return WAYS[way](globals()[what])

    @task
    def whole(way: str, what: str) -> int:
        try:
            return WAYS[way](globals()[what])
        except ValueError:
            return -1

    @task(cache=Cache(observe=False))
    def unobserved(way: str, what: str) -> int:
        return whole(way, what)

    if __name__ == "__main__":
        name, *given = sys.argv[1:]
        if name == "first":
            print(first(*given))
            name = "whole"
        print(globals()[name](*given))
    """


@pytest.fixture
def flows(programs):
    programs.write("flows.py", FLOWS)
    return programs


def entries(home):
    """When each function's result was stored, and expires."""
    (catalog,) = home.rglob("catalog.sqlite")
    with contextlib.closing(sqlite3.connect(catalog)) as database:
        rows = database.execute("select tail, created_at, expires_at from entry").fetchall()
    return {name: {"created_at": created, "expires_at": expires} for name, created, expires in rows}


HOUR = 3_600_000


def is_about(time, other):
    """Whether it is the same time; the moment of a commit is known only after it."""
    return time is not None and abs(time - other) < HOUR / 2


@pytest.mark.parametrize(
    ("name", "way", "what"),
    [
        ("whole", "directly", "part"),
        ("whole", "in_a_thread", "part"),
        ("whole", "in_a_thread", "part_flow"),
        ("whole", "in_a_process", "part"),
        ("whole", "directly", "part_fails"),
        ("whole", "in_a_thread", "part_fails"),
        ("whole", "directly", "part_fails_flow"),
        ("whole", "in_a_process", "part_fails"),
        ("first", "remembered", "part"),
        ("first", "remembers_another", "part"),
        ("unobserved", "directly", "part"),
        ("unobserved", "in_a_thread", "part"),
    ],
)
def test_with_what_it_took(flows, home, name, way, what):
    flows.run("flows.py", name, way, what)
    stored = entries(home)
    assert stored["part"]["expires_at"] is not None
    for whole in {"whole", name}:
        assert is_about(stored[whole]["expires_at"], stored["part"]["expires_at"])


@pytest.mark.parametrize(
    ("way", "what"),
    [
        ("directly", "aging"),
        ("directly", "aging_flow"),
        ("in_a_thread", "aging"),
        ("in_a_thread", "aging_flow"),
        ("in_a_process", "aging"),
        ("remembered", "aging"),
    ],
)
def test_when_what_it_took_is_too_old_for_it(flows, home, way, what):
    flows.run("flows.py", "first", way, what)
    stored = entries(home)
    assert stored["aging"]["expires_at"] is None
    too_old = stored["aging"]["created_at"] + HOUR
    assert is_about(stored["whole"]["expires_at"], too_old)
    assert is_about(stored["first"]["expires_at"], too_old)
