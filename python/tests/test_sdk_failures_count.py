"""What an operation that failed had read and taken counts for whoever goes on without its result."""

from __future__ import annotations

import json

import pytest

FLOWS = """
    import concurrent.futures
    import os
    import subprocess
    import sys
    from typing import Annotated
    from thrifty import Cache, HashMethod, task, workflow

    POOL = concurrent.futures.ThreadPoolExecutor(1)

    @task
    def reads(n: int) -> int:
        number = int(open("number").read())
        if number == 1:
            raise ValueError("not that one")
        return number

    def digest(number):
        if number == 1:
            raise ValueError("not that one")
        return number

    @task
    def gives(n: int) -> Annotated[int, HashMethod(digest)]:
        return int(open("number").read())

    @task
    def part(n: int) -> int:
        return n

    @task
    def takes(n: int) -> int:
        if part(n) == 1:
            raise ValueError("not that one")
        return n

    @task(cache=Cache(observe=False))
    def takes_unobserved(n: int) -> int:
        return takes(n)

    @task
    def dies(n: int) -> int:
        if open("number").read() == "1":
            os._exit(3)
        return 2

    @workflow
    def reads_flow(n: int) -> int:
        return reads(n)

    @workflow
    def gives_flow(n: int) -> int:
        return gives(n)

    @workflow
    def takes_flow(n: int) -> int:
        return takes(n)

    @workflow
    def dies_flow(n: int) -> int:
        return dies(n)

    def on_its_own_thread(called, n):
        return called(n)

    def in_a_thread(called, *given):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(called, *given).result()

    def in_a_thread_of_before(called, n):
        return POOL.submit(called, n).result()

    def in_a_flow(called, n):
        return globals()[f"{called.__name__}_flow"](n)

    def in_a_flow_of_a_thread(called, n):
        return in_a_thread(in_a_flow, called, n)

    def in_a_process(called, n):
        flow = globals()[f"{called.__name__}_flow"]
        return flow.with_options(executor="processes", workers=1)(n)

    @task
    def goes_on(way: str, what: str, then: str = "") -> int:
        print("goes_on")
        try:
            return globals()[way](globals()[what], 1)
        except (ValueError, RuntimeError):
            return -1
        finally:
            if then == "invalidate":
                command = [sys.executable, "-m", "thrifty", "invalidate", "--operation", "part"]
                subprocess.run([*command, "--yes"], check=True, capture_output=True)

    if __name__ == "__main__":
        POOL.submit(len, "").result()
        print(goes_on(*sys.argv[1:]))
    """


@pytest.fixture
def flows(programs):
    programs.write("flows.py", FLOWS)
    programs.write("number", "1")
    return programs


def invalidate(flows, *selection):
    said = flows.run("-m", "thrifty", "invalidate", *selection, "--yes", "--json")
    return json.loads(said)["entries"]


WAYS = [
    "on_its_own_thread",
    "in_a_thread",
    "in_a_thread_of_before",
    "in_a_flow",
    "in_a_flow_of_a_thread",
    "in_a_process",
]


# A worker cannot hand on what it cannot store.
READS = [("reads", way, -1) for way in WAYS] + [
    ("gives", way, 1) for way in WAYS if way != "in_a_process"
]


@pytest.mark.parametrize(("what", "way", "first"), READS)
def test_what_it_read(flows, way, what, first):
    """Of an operation that fails, or gives what has no digest."""
    assert flows.run("flows.py", way, what) == f"goes_on\n{first}\n"
    assert flows.run("flows.py", way, what) == f"{first}\n"
    flows.write("number", "2")
    assert flows.run("flows.py", way, what) == "goes_on\n2\n"


TAKES = [
    ("on_its_own_thread", "takes"),
    ("in_a_thread", "takes"),
    ("in_a_flow", "takes"),
    ("in_a_flow_of_a_thread", "takes"),
    ("in_a_process", "takes"),
    ("on_its_own_thread", "takes_unobserved"),
    ("in_a_thread", "takes_unobserved"),
]


@pytest.mark.parametrize(("way", "what"), TAKES)
def test_what_it_was_made_of(flows, way, what):
    assert flows.run("flows.py", way, what) == "goes_on\n-1\n"
    assert flows.run("flows.py", way, what) == "-1\n"
    assert invalidate(flows, "--operation", "part") == 2


@pytest.mark.parametrize(("way", "what"), TAKES)
def test_what_it_took_and_is_invalidated_before_the_end(flows, way, what):
    assert flows.run("flows.py", way, what, "invalidate") == "goes_on\n-1\n"
    assert flows.run("flows.py", way, what, "invalidate") == "goes_on\n-1\n"


def test_whose_process_died(flows):
    assert flows.run("flows.py", "in_a_process", "dies") == "goes_on\n-1\n"
    flows.write("number", "2")
    assert flows.run("flows.py", "in_a_process", "dies") == "goes_on\n2\n"
